# ruff: noqa: E501 – a statement of a revision stays in one line
"""More revisions, and who waits: which rows, in which block of code, under which name."""

from __future__ import annotations

from alembic_toolkit.prove.results import COPIED, END, EVERYBODY, READ, WRITERS
from tests.roundtrip.locking import (
    BILLS_COPIED,
    BILLS_READ,
    COPY,
    HELD,
    MARIADB,
    MYSQL,
    NOBODY,
    POSTGRESQL,
    SCAN,
    SQLITE,
    VERBS,
    Case,
    everywhere,
    sql,
)

ROWS = {("bills", WRITERS, END)}
USERS = {("users", WRITERS, END)}
BOTH = {POSTGRESQL: ROWS, MARIADB: ROWS}
FREE = {POSTGRESQL: NOBODY, MARIADB: NOBODY}
HELD_BILLS = {("bills", EVERYBODY, HELD)}
FROM_USERS = "FROM users WHERE users.id = bills.user_id"
DAYS = sql("UPDATE bills SET days = 1")


def alone(*statements: str) -> str:
    lines = sql(*statements).replace("\n", "\n    ")
    return f"with op.get_context().autocommit_block():\n    {lines}"


BESIDE = [
    Case(
        f"another table's rows read by {sql_}",
        (sql(sql_),),
        {MARIADB: {("bills", WRITERS, END), ("users", WRITERS, END)}},
    )
    for sql_ in (
        "UPDATE bills JOIN users ON users.id = bills.user_id SET bills.days = 1",
        "UPDATE bills AS b, users AS u SET b.days = 1 WHERE u.id = b.user_id",
        "UPDATE users AS u JOIN bills AS b ON u.id = b.user_id SET b.days = 1",
        "DELETE b FROM bills AS b JOIN users AS u ON u.id = b.user_id",
        "DELETE FROM b USING bills AS b JOIN users AS u ON u.id = b.user_id",
    )
] + [
    Case(
        "one row of another table",
        (
            sql(
                "UPDATE bills JOIN users ON users.id = bills.user_id SET days = 1 WHERE users.id = 1"
            ),
        ),
        {MARIADB: ROWS},
    ),
    Case(
        "the whole file",
        (alone("VACUUM"),),
        {SQLITE: {(name, WRITERS, COPIED) for name in ("bills", "payments", "users")}},
    ),
    Case(
        "primary key of an index whose column may be NULL",
        (
            sql(
                "CREATE TABLE k (id int CHECK (coalesce(id, 0) > 0))",
                "CREATE UNIQUE INDEX ku ON k (id)",
            ),
            sql("ALTER TABLE k ADD CONSTRAINT kp PRIMARY KEY USING INDEX ku"),
        ),
        {POSTGRESQL: {("k", EVERYBODY, READ)}},
        ("# before it, on k: a CHECK that no column of the index is NULL",),
    ),
    Case(
        "the same once it may not",
        (
            sql("CREATE TABLE k (id int NOT NULL)", "CREATE UNIQUE INDEX ku ON k (id)"),
            sql("ALTER TABLE k ADD CONSTRAINT kp PRIMARY KEY USING INDEX ku"),
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "check of a domain",
        (
            sql("CREATE DOMAIN length AS int", "ALTER TABLE bills ADD COLUMN long length"),
            sql("ALTER DOMAIN length ADD CONSTRAINT c CHECK (VALUE > -2147483648 OR VALUE < 0)"),
        ),
        {POSTGRESQL: {("bills", WRITERS, READ)}},
        ("ALTER DOMAIN length VALIDATE CONSTRAINT c",),
    ),
]

SELECTED = 'bind = op.get_bind()\nrows = bind.execute(sa.text("SELECT id FROM bills")).all()\n'
WIDEN = "CREATE FUNCTION widen() RETURNS void LANGUAGE sql AS 'ALTER TABLE bills ALTER days TYPE bigint'"


# Names that need quotes
def copied(name: str) -> dict[str, set[tuple[str, str, str]]]:
    return {MARIADB: {(name, WRITERS, COPIED)}}


NAMED = [
    Case(
        f"a table called {name}",
        (
            sql(f"CREATE TABLE {quoted} (id int PRIMARY KEY, n int)"),
            sql(f"ALTER TABLE {quoted} MODIFY n bigint"),
        ),
        copied(name),
        (f"t={'|'.join((name, repr(name)))}",),
    )
    for name, quoted in (("dots.x", "`dots.x`"), ("back`tick", "`back``tick`"), ("a b", "`a b`"))
]

# What the advice is code for: pasted, it runs, and nobody waits.
PASTED = [
    (POSTGRESQL, "UPDATE bills AS b SET days = 1 WHERE b.note IS NULL"),
    (
        POSTGRESQL,
        "UPDATE bills b SET days = u.id, note = 'a b.c' FROM users u WHERE u.id = b.user_id",
    ),
    (POSTGRESQL, "DO $$ BEGIN UPDATE bills SET days = 1; UPDATE users SET email = NULL; END $$"),
    (POSTGRESQL, "ALTER TABLE bills ADD COLUMN n serial"),
    (POSTGRESQL, "ALTER TABLE bills ADD COLUMN n bigserial NOT NULL"),
    (MARIADB, "UPDATE bills b SET b.days = 1 WHERE b.note IS NULL"),
    (
        MARIADB,
        "UPDATE bills AS b JOIN users AS u ON u.id = b.user_id SET b.days = u.id WHERE u.id > 0",
    ),
    (MYSQL, "UPDATE bills INNER JOIN users ON users.id = bills.user_id SET bills.days = 7"),
]
# For these, only a person can write it.
NOT_PASTED = [
    (MARIADB, "UPDATE users AS u JOIN bills AS b ON u.id = b.user_id SET b.days = 1"),
    (POSTGRESQL, "DO $$ BEGIN IF true THEN UPDATE bills SET days = 1; END IF; END $$"),
]

# Which rows a statement may change
WHICH = [
    Case(
        "rows from a key on",
        (sql("UPDATE bills SET days = 1 WHERE id > 0"),),
        everywhere({("bills", WRITERS, END)}),
    ),
    Case(
        "rows between two keys",
        (sql("UPDATE bills SET days = 1 WHERE id >= 1 AND id < 9"),),
        everywhere(NOBODY),
    ),
    Case(
        "the key of another table",
        (sql("UPDATE bills SET days = 1, note = 'a' FROM users WHERE users.id = bills.user_id"),),
        {POSTGRESQL: ROWS},
        (
            f"helpers.backfill('bills', {{'days': sa.text('(SELECT 1 {FROM_USERS})'), 'note': sa.text(\"(SELECT 'a' {FROM_USERS})\")}}, where=\"EXISTS (SELECT 1 {FROM_USERS}) AND (days IS DISTINCT FROM",
        ),
    ),
    Case(
        "the same in pages",
        (
            f'{VERBS}helpers.backfill("bills", {{"days": sa.text("(SELECT 1 {FROM_USERS})")}}, where="EXISTS (SELECT 1 {FROM_USERS}) AND (days IS DISTINCT FROM (SELECT 1 {FROM_USERS}))")',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "a value that is another one when it is done twice",
        (sql("UPDATE bills SET days = days + 1"),),
        BOTH,
        ("# what is not done yet",),
    ),
    Case(
        "a key that is another table's, of a name with a digit",
        (sql("UPDATE bills SET days = 1 FROM users AS u2 WHERE bills.id = u2.id"),),
        {POSTGRESQL: ROWS},
    ),
    Case(
        "a key by the table's other name",
        (sql("UPDATE bills AS b2 SET days = 1 FROM users AS u2 WHERE b2.id = 5 AND u2.id > 0"),),
        {POSTGRESQL: NOBODY},
    ),
    Case("a key, or anything", (sql("UPDATE bills SET days = 1 WHERE id = 3 OR days = 7"),), BOTH),
    Case(
        "a key and either of two",
        (
            sql(
                "UPDATE bills SET days = 1 WHERE (id = 3 OR id IN (4, 5)) AND (days = 7 OR days = 8)"
            ),
        ),
        FREE,
    ),
    Case(
        "the row that a query finds",
        (sql("UPDATE bills SET days = 1 WHERE id = (SELECT max(id) FROM users)"),),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "a limit in another query",
        (sql("UPDATE bills SET days = (SELECT id FROM users WHERE id = 1 LIMIT 1)"),),
        BOTH,
    ),
    Case(
        "some rows",
        (sql("UPDATE bills SET days = 1 WHERE days IS NULL LIMIT 1000"),),
        {MARIADB: NOBODY},
    ),
    Case(
        "rows of a join",
        (
            "# a table's rows, by those of another\n"
            + sql("DELETE payments FROM payments JOIN bills ON bills.id > payments.id - 100000000"),
        ),
        {MARIADB: {("payments", WRITERS, END), ("bills", WRITERS, END)}},
    ),
    Case(
        "a query before an UPDATE",
        (
            sql(
                "WITH x AS (SELECT id FROM bills) UPDATE bills SET days = 1 FROM x WHERE x.id = bills.id"
            ),
        ),
        {POSTGRESQL: ROWS},
    ),
    Case(
        "rows that are there already",
        (
            sql(
                "INSERT INTO payments (id, bill_id) SELECT id, id FROM payments ON CONFLICT (id) DO UPDATE SET bill_id = 1"
            ),
        ),
        {POSTGRESQL: {("payments", WRITERS, END)}},
    ),
    Case(
        "rows that are replaced",
        (sql("REPLACE INTO payments (id, bill_id) SELECT id, id FROM users"),),
        {MARIADB: {("payments", WRITERS, END), ("users", WRITERS, END)}},
    ),
    Case(
        "one row that is read to write another",
        (sql("INSERT INTO payments (bill_id) SELECT id FROM bills WHERE id = 1"),),
        {MARIADB: NOBODY},
    ),
    Case(
        "rows that are locked",
        (
            sql("SELECT id FROM bills FOR UPDATE")
            + "\n"
            + sql("UPDATE users SET email = NULL WHERE id = 1"),
        ),
        BOTH,
    ),
    Case(
        "all rows, as one statement with many values",
        (
            SELECTED
            + 'bind.execute(sa.text("UPDATE bills SET days = 1 WHERE id = :id"), [{"id": row.id} for row in rows])',
        ),
        everywhere(ROWS),
        ("one for each row",),
        3,
    ),
    Case(
        "the same, each committed",
        (
            SELECTED
            + 'with op.get_context().autocommit_block():\n    for row in rows:\n        op.get_bind().execute(sa.text("UPDATE bills SET days = 1 WHERE id = :id"), {"id": row.id})',
        ),
        FREE,
    ),
]

# Blocks of code, functions, several statements in one; what commits by itself
BLOCKS = [
    Case(
        "a block that locks, and works on another table",
        (sql("DO $$ BEGIN ALTER TABLE bills ADD due date; UPDATE users SET email = NULL; END $$"),),
        {POSTGRESQL: HELD_BILLS | USERS},
    ),
    Case(
        "the same the other way round",
        (sql("DO $$ BEGIN UPDATE users SET email = NULL; ALTER TABLE bills ADD due date; END $$"),),
        {POSTGRESQL: USERS},
    ),
    Case(
        "several statements in one",
        (sql("ALTER TABLE bills ADD due date; UPDATE users SET email = NULL"),),
        {POSTGRESQL: HELD_BILLS | USERS},
    ),
    Case(
        "a block that commits by itself",
        (
            DAYS,
            alone("DO $$ BEGIN EXECUTE 'ALTER TABLE bi' || 'lls ALTER days SET NOT NULL'; END $$"),
        ),
        {POSTGRESQL: BILLS_READ},
    ),
    Case(
        "a function that commits by itself",
        (sql(WIDEN), alone("SELECT widen()")),
        {POSTGRESQL: BILLS_COPIED},
    ),
    Case(
        "a foreign key that commits by itself",
        (
            sql("UPDATE bills SET user_id = NULL"),
            alone("ALTER TABLE bills ADD FOREIGN KEY (user_id) REFERENCES users (id)"),
        ),
        {POSTGRESQL: {("bills", WRITERS, READ), ("users", WRITERS, READ)}},
    ),
    Case(
        "a column with a foreign key",
        ('op.add_column("bills", sa.Column("owner", sa.Integer, sa.ForeignKey("users.id")))',),
        {POSTGRESQL: {("bills", EVERYBODY, READ), ("users", WRITERS, READ)}, MARIADB: COPY},
    ),
    Case(
        "a lock that a savepoint gives up",
        (
            'nested = op.get_bind().begin_nested()\nop.execute("ALTER TABLE bills ADD due date")\nnested.rollback()\n'
            + sql("UPDATE users SET email = NULL"),
        ),
        {POSTGRESQL: USERS},
    ),
    Case(
        "a lock, and a few rows that are read",
        (
            'op.add_column("bills", sa.Column("due", sa.Date))\n'
            + sql(
                "SELECT email FROM users LIMIT 1",
                "SELECT setval(pg_get_serial_sequence('bills', 'id'), (SELECT max(id) FROM bills))",
            ),
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "a comment before it",
        (sql("-- why\n/* and how */ ALTER TABLE bills ALTER days TYPE bigint"),),
        {POSTGRESQL: BILLS_COPIED},
    ),
    Case(
        "a comment before it, otherwise",
        (sql("/* why */ ALTER TABLE bills MODIFY days bigint"),),
        {MARIADB: COPY},
    ),
    Case(
        "a lock that the author asks for",
        (sql("ALTER TABLE bills ADD INDEX i (days), LOCK = EXCLUSIVE"),),
        {MARIADB: BILLS_READ},
    ),
]

# Names, and kinds of tables
NAMES = [
    Case(
        "a name that needs quotes",
        (
            sql(
                'CREATE SCHEMA "Odd One"',
                'CREATE TABLE "Odd One"."We ird.T%" (id int PRIMARY KEY, n int)',
            ),
            alone('CREATE INDEX i ON "Odd One"."We ird.T%" (n)'),
        ),
        {POSTGRESQL: {('"Odd One"."We ird.T%"', WRITERS, READ)}},
    ),
    Case(
        "the same concurrently",
        (
            sql('CREATE TABLE "We ird.T%" (id int PRIMARY KEY, n int)'),
            alone('CREATE INDEX CONCURRENTLY i ON "We ird.T%" (n)')
            + "\n"
            + sql('UPDATE "We ird.T%" SET n = 1 WHERE id = 1'),
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "a materialized view is filled again",
        (
            sql("CREATE MATERIALIZED VIEW m AS SELECT id FROM bills"),
            sql("REFRESH MATERIALIZED VIEW m"),
        ),
        {POSTGRESQL: {("m", EVERYBODY, COPIED)}},
    ),
    Case(
        "the same concurrently, and an index on it",
        (
            sql(
                "CREATE MATERIALIZED VIEW m AS SELECT id FROM bills",
                "CREATE UNIQUE INDEX i ON m (id)",
            ),
            sql("REFRESH MATERIALIZED VIEW CONCURRENTLY m", "CREATE INDEX j ON m (id)"),
        ),
        {POSTGRESQL: NOBODY},
    ),
]

# SQLite
FILE = [
    Case(
        "rows are counted",
        (sql("UPDATE bills SET days = (SELECT count(*) FROM users)"),),
        {SQLITE: SCAN | {("users", WRITERS, READ)}},
    ),
    Case(
        "the last key is read",
        (sql("INSERT INTO payments (bill_id) SELECT max(id) FROM bills"),),
        {SQLITE: NOBODY},
    ),
    Case(
        "rows are read after a row was written",
        (sql("UPDATE users SET email = NULL WHERE id = 1", "SELECT count(*) FROM bills"),),
        {SQLITE: SCAN},
    ),
]

# The verb's own pages
PAGES = [
    Case(
        "pages of a key of two columns",
        (
            sql("CREATE TABLE pairs (a int, b int, n int, PRIMARY KEY (a, b))"),
            f'{VERBS}helpers.backfill("pairs", {{"n": 1}}, where="n IS NULL")',
        ),
        FREE,
    ),
]

PARTED = "CREATE TABLE parted (id INT PRIMARY KEY, n INT) PARTITION BY {}"
RANGES = "RANGE (id) (PARTITION p0 VALUES LESS THAN (1000))"

# How a twin is asked
TWINS = [
    Case(
        "a foreign key of a table without rows, to one that was read before",
        (
            sql("DELETE FROM bills WHERE id > 0"),
            sql(
                "SELECT id FROM users",
                "ALTER TABLE bills ADD CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users (id)",
            ),
        ),
        {MARIADB: COPY},
        cascades=True,
    ),
    Case(
        "one more part of those that a hash fills",
        (
            sql(PARTED.format("HASH (id) PARTITIONS 2")),
            sql("ALTER TABLE parted ADD PARTITION PARTITIONS 1"),
        ),
        {MARIADB: {("parted", WRITERS, COPIED)}, MYSQL: {("parted", WRITERS, READ)}},
        cascades=True,
    ),
    Case(
        "one more part of ranges",
        (
            sql(PARTED.format(RANGES)),
            sql("ALTER TABLE parted ADD PARTITION (PARTITION p1 VALUES LESS THAN (2000))"),
        ),
        {MARIADB: NOBODY},
    ),
]

MORE = [*NAMED, *BESIDE, *WHICH, *BLOCKS, *NAMES, *FILE, *PAGES, *TWINS]

MORE_UNSEEN = [
    (
        POSTGRESQL,
        "a connection of the driver's own",
        "import psycopg\nurl = op.get_bind().engine.url\npsycopg.connect(host=url.host, port=url.port, user=url.username, dbname=url.database).close()\n"
        + sql("CREATE TABLE aside (id int)"),
        "a connection of its own",
    ),
    (
        SQLITE,
        "a connection of the driver's own",
        "import sqlite3\nsqlite3.connect(':memory:').close()\n"
        + sql("CREATE TABLE aside (id int)"),
        "a connection of its own",
    ),
    (
        SQLITE,
        "a script",
        "op.get_bind().connection.dbapi_connection.executescript('CREATE INDEX i ON bills (days); DROP INDEX i; CREATE TABLE aside (id int)')",
        "executescript",
    ),
    (
        POSTGRESQL,
        "rows that are sent",
        "with op.get_bind().connection.cursor().copy('COPY payments (id) FROM STDIN') as copy:\n    copy.write('77777\\n')\n"
        + sql("CREATE TABLE aside (id int)"),
        "sends rows",
    ),
    (
        POSTGRESQL,
        "a procedure that commits",
        sql("CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'")
        + "\n"
        + alone("CALL p()"),
        "ends its own transactions",
    ),
    (
        MYSQL,
        "a table without rows, of which nothing can be asked",
        sql("CREATE TABLE aside (id int)")
        + "\n"
        + sql("DELETE FROM bills WHERE id BETWEEN 0 AND 99999")
        + "\n"
        + sql("ALTER TABLE bills PARTITION BY HASH (id) PARTITIONS 2"),
        "no rows of it tell",
    ),
    (
        MARIADB,
        "a block of code",
        sql("BEGIN NOT ATOMIC CREATE TABLE aside (id int); END"),
        "procedure",
    ),
    (
        MYSQL,
        "a function",
        sql(
            "CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA BEGIN UPDATE bills SET days = 1; RETURN 1; END",
            "SELECT f()",
        ),
        "procedure",
    ),
]
