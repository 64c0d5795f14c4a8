# ruff: noqa: E501 – a statement of a revision stays in one line
"""Revisions, and who waits for each, by server: what has others wait, and its safe twin."""

from __future__ import annotations

from dataclasses import dataclass, field

from alembic_toolkit.prove.results import COPIED, END, EVERYBODY, READ, WRITERS

SQLITE, POSTGRESQL, MARIADB, MYSQL = "sqlite", "postgresql", "mariadb", "mysql"
HELD = "until the transaction ends: held"

FIRST = """\
op.create_table(
    "users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.String(50)),
    mysql_charset="utf8mb4",
)
op.create_table(
    "bills",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.Integer),
    sa.Column("title", sa.String(20)),
    sa.Column("note", sa.String(31)),
    sa.Column("amount", sa.Numeric(10, 2)),
    sa.Column("days", sa.Integer),
    mysql_charset="utf8mb4",
)
op.create_table(
    "payments", sa.Column("id", sa.Integer, primary_key=True), sa.Column("bill_id", sa.Integer),
)
"""

Waits = tuple[str, str, str]  # the table, who waits, how long


@dataclass(frozen=True)
class Case:
    """Some revisions on top of `FIRST`; the last one is judged."""

    name: str
    ups: tuple[str, ...]
    on: dict[str, set[Waits]] = field(default_factory=dict)  # by server; nothing: nobody waits
    says: tuple[str, ...] = ()  # parts of the findings
    line: int = 0  # of the first finding, within the body
    is_mariadbs: bool = False  # MySQL refuses it
    cascades: bool = False  # a foreign key keeps MariaDB 11.2 from copying while others write

    def __str__(self) -> str:
        return self.name

    @property
    def servers(self) -> dict[str, set[Waits]]:
        """Return what is seen on each server: where nothing is said, MySQL is as MariaDB."""
        same = {MYSQL: self.on[MARIADB]} if MARIADB in self.on and not self.is_mariadbs else {}
        return same | self.on


def sql(*statements: str) -> str:
    return "\n".join(f"op.execute({one!r})" for one in statements)


def everywhere(waits: set[Waits]) -> dict[str, set[Waits]]:
    return dict.fromkeys((SQLITE, POSTGRESQL, MARIADB), waits)


NOBODY: set[Waits] = set()
BILLS_COPIED = {("bills", EVERYBODY, COPIED)}
BILLS_READ = {("bills", EVERYBODY, READ)}
COPY = {("bills", WRITERS, COPIED)}
SCAN = {("bills", WRITERS, READ)}
VERBS = "import alembic_helpers as helpers\n"

CASES = [
    Case(
        "nullable column",
        ('op.add_column("bills", sa.Column("due", sa.Date))',),
        everywhere(NOBODY),
    ),
    Case(
        "column with a constant default",
        ('op.add_column("bills", sa.Column("n", sa.Integer, server_default="5", nullable=False))',),
        everywhere(NOBODY),
    ),
    Case(
        "column with a volatile default",
        (sql("ALTER TABLE bills ADD COLUMN r double precision DEFAULT random()"),),
        {POSTGRESQL: BILLS_COPIED},
        ("helpers.backfill('bills', {'r': sa.text('random()')}",),
        1,
    ),
    Case(
        "the same in three steps",
        (
            sql(
                "ALTER TABLE bills ADD COLUMN r double precision",
                "ALTER TABLE bills ALTER r SET DEFAULT random()",
            ),
            f'{VERBS}helpers.backfill("bills", {{"r": sa.text("random()")}}, where="r IS NULL")',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "column with a default that is computed",
        (sql("ALTER TABLE bills ADD COLUMN r varchar(40) DEFAULT (uuid())"),),
        {MARIADB: COPY},
        (
            'pt-online-schema-change --alter "ADD COLUMN r varchar(40) DEFAULT (uuid())"',
            "D=$DATABASE,t=bills",
        ),
        is_mariadbs=True,
    ),
    Case(
        "serial column", (sql("ALTER TABLE bills ADD COLUMN n serial"),), {POSTGRESQL: BILLS_COPIED}
    ),
    Case(
        "stored generated column",
        (
            sql(
                "ALTER TABLE bills ADD COLUMN twice numeric(12, 2) GENERATED ALWAYS AS (amount * 2) STORED"
            ),
        ),
        {POSTGRESQL: BILLS_COPIED, MARIADB: COPY},
    ),
    Case(
        "virtual generated column",
        (sql("ALTER TABLE bills ADD COLUMN twice int GENERATED ALWAYS AS (days * 2) VIRTUAL"),),
        {SQLITE: NOBODY, MARIADB: NOBODY},
    ),
    Case(
        "column with a check",
        (sql("ALTER TABLE bills ADD COLUMN n int CHECK (n > 0)"),),
        {SQLITE: SCAN},
    ),
    Case(
        "longer text",
        ('op.alter_column("bills", "title", type_=sa.String(50), existing_type=sa.String(20))',),
        {POSTGRESQL: NOBODY, MARIADB: NOBODY},
    ),
    Case(
        "longer text that needs another byte for its length",
        ('op.alter_column("users", "email", type_=sa.String(100), existing_type=sa.String(50))',),
        {POSTGRESQL: NOBODY, MARIADB: {("users", WRITERS, COPIED)}},
    ),
    Case(
        "longer text within 127 bytes",
        ('op.alter_column("bills", "note", type_=sa.String(100), existing_type=sa.String(31))',),
        {POSTGRESQL: NOBODY, MARIADB: NOBODY, MYSQL: COPY},
    ),
    Case(
        "more digits",
        (
            'op.alter_column("bills", "amount", type_=sa.Numeric(12, 2), existing_type=sa.Numeric(10, 2))',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "larger integer",
        ('op.alter_column("bills", "days", type_=sa.BigInteger(), existing_type=sa.Integer())',),
        {POSTGRESQL: BILLS_COPIED, MARIADB: COPY},
        ("'days_new', sa.BigInteger()|MODIFY days BIGINT",),
    ),
    Case(
        "larger integer of a table with a foreign key that deletes rows",
        (
            'op.create_table("mine", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer), '
            'sa.Column("bill_id", sa.Integer, sa.ForeignKey("bills.id", ondelete="CASCADE")))',
            'op.alter_column("mine", "n", type_=sa.BigInteger(), existing_type=sa.Integer())',
        ),
        {POSTGRESQL: {("mine", EVERYBODY, COPIED)}, MARIADB: {("mine", WRITERS, COPIED)}},
        cascades=True,
    ),
    Case(
        "shorter text",
        (
            'op.alter_column("bills", "note", type_=sa.String(200), existing_type=sa.String(31))',
            'op.alter_column("bills", "note", type_=sa.String(60), existing_type=sa.String(200))',
        ),
        {POSTGRESQL: BILLS_COPIED, MARIADB: COPY},
    ),
    Case(
        "not null",
        (
            'op.execute("UPDATE bills SET days = 1 WHERE days IS NULL")',
            'op.alter_column("bills", "days", nullable=False, existing_type=sa.Integer())',
        ),
        {POSTGRESQL: BILLS_READ, MARIADB: NOBODY},
        (
            "ADD CONSTRAINT ck_bills_days_not_null CHECK (days IS NOT NULL) NOT VALID",
            "VALIDATE CONSTRAINT",
        ),
    ),
    Case(
        "not null behind a check that is proven",
        (
            sql("UPDATE bills SET days = 1 WHERE days IS NULL"),
            sql("ALTER TABLE bills ADD CONSTRAINT k CHECK (days IS NOT NULL) NOT VALID"),
            sql("ALTER TABLE bills VALIDATE CONSTRAINT k"),
            'op.alter_column("bills", "days", nullable=False)',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "check",
        (
            sql("UPDATE bills SET days = 1"),
            'op.create_check_constraint("ck_days", "bills", "days = days")',
        ),
        {POSTGRESQL: BILLS_READ, MARIADB: COPY},
        ("postgresql_not_valid=True|ADD CONSTRAINT ck_days CHECK",),
    ),
    Case(
        "check that is not validated",
        (
            'op.create_check_constraint("ck_days", "bills", "days = days", postgresql_not_valid=True)',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "validation of a check",
        (
            sql("UPDATE bills SET days = 1"),
            'op.create_check_constraint("ck_days", "bills", "days = days", postgresql_not_valid=True)',
            sql("ALTER TABLE bills VALIDATE CONSTRAINT ck_days"),
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "validation in the same transaction",
        (
            sql("UPDATE bills SET days = 1"),
            sql(
                "ALTER TABLE bills ADD CONSTRAINT k CHECK (days = days) NOT VALID",
                "ALTER TABLE bills VALIDATE CONSTRAINT k",
            ),
        ),
        {POSTGRESQL: {("bills", EVERYBODY, HELD)}},
        ("reads all rows of bills", "# a revision of its own"),
        1,
    ),
    Case(
        "foreign key",
        (
            sql("UPDATE bills SET user_id = NULL"),
            'op.create_foreign_key("fk_user", "bills", "users", ["user_id"], ["id"])',
        ),
        {POSTGRESQL: {("bills", WRITERS, READ), ("users", WRITERS, READ)}, MARIADB: COPY},
    ),
    Case(
        "foreign key that is not validated",
        (
            'op.create_foreign_key("fk_user", "bills", "users", ["user_id"], ["id"], postgresql_not_valid=True)',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "unique",
        (
            sql("UPDATE users SET email = NULL"),
            'op.create_unique_constraint("uq_email", "users", ["email"])',
        ),
        {POSTGRESQL: {("users", EVERYBODY, READ)}, MARIADB: NOBODY},
        ("unique=True, postgresql_concurrently=True", "UNIQUE USING INDEX uq_email"),
    ),
    Case(
        "index",
        ('op.create_index("ix_days", "bills", ["days"])',),
        {POSTGRESQL: SCAN, MARIADB: NOBODY, SQLITE: SCAN},
        ("postgresql_concurrently=True|busy_timeout",),
        1,
    ),
    Case(
        "full-text index",
        (sql("CREATE FULLTEXT INDEX ix_title ON bills (title)"),),
        {MARIADB: SCAN},
        ('--alter "ADD FULLTEXT INDEX ix_title (title)"',),
    ),
    Case(
        "index that is built if it is not there",
        ('op.create_index("ix_days", "bills", ["days"], if_not_exists=True)',),
        {POSTGRESQL: SCAN, MARIADB: NOBODY, SQLITE: SCAN},
        is_mariadbs=True,
    ),
    Case(
        "a function of the catalog in a type",
        (sql("ALTER TABLE bills ALTER days TYPE pg_catalog.int8"),),
        {POSTGRESQL: BILLS_COPIED},
    ),
    Case(
        "index that is built concurrently",
        (
            'with op.get_context().autocommit_block():\n    op.create_index("ix_days", "bills", ["days"], postgresql_concurrently=True)',
        ),
        {POSTGRESQL: NOBODY, MARIADB: NOBODY},
    ),
    Case(
        "index that commits by itself and is not built concurrently",
        (
            'with op.get_context().autocommit_block():\n    op.create_index("ix_days", "bills", ["days"])',
        ),
        {POSTGRESQL: SCAN},
    ),
    Case(
        "index that is dropped, and made again, concurrently",
        (
            'op.create_index("ix_days", "bills", ["days"])',
            "with op.get_context().autocommit_block():\n"
            '    op.execute("REINDEX INDEX CONCURRENTLY ix_days")\n'
            '    op.drop_index("ix_days", "bills", postgresql_concurrently=True)',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "index that is made again",
        ('op.create_index("ix_days", "bills", ["days"])', sql("REINDEX TABLE bills")),
        {POSTGRESQL: SCAN},
    ),
    Case("cluster", (sql("CLUSTER bills USING bills_pkey"),), {POSTGRESQL: BILLS_COPIED}),
    Case("truncate", (sql("TRUNCATE TABLE payments"),), {POSTGRESQL: NOBODY, MARIADB: NOBODY}),
    Case(
        "dropped column",
        (sql("ALTER TABLE bills DROP COLUMN days"),),
        {POSTGRESQL: NOBODY, MARIADB: NOBODY, SQLITE: COPY},
    ),
    Case("dropped table", ('op.drop_table("payments")',), everywhere(NOBODY)),
    Case("renamed table", ('op.rename_table("payments", "paid")',), everywhere(NOBODY)),
    Case(
        "renamed column",
        (sql("ALTER TABLE bills RENAME COLUMN days TO period"),),
        everywhere(NOBODY),
    ),
    Case(
        "a block of code",
        (
            sql("UPDATE bills SET days = 1"),
            sql("DO $$ BEGIN ALTER TABLE bills ALTER days SET NOT NULL; END $$"),
        ),
        {POSTGRESQL: BILLS_READ},
    ),
    Case(
        "another type in a block of code",
        (sql("DO $$ BEGIN ALTER TABLE bills ALTER days TYPE bigint; END $$"),),
        {POSTGRESQL: BILLS_COPIED},
        ("ADD COLUMN days_new bigint')",),
    ),
    Case(
        "a check in a block of code",
        (sql("DO $$ BEGIN ALTER TABLE bills ADD CONSTRAINT c CHECK (id > 0); END $$"),),
        {POSTGRESQL: BILLS_READ},
        ("ADD CONSTRAINT c CHECK (id > 0) NOT VALID')", "VALIDATE CONSTRAINT c')"),
    ),
    Case(
        "a function",
        (
            sql(
                "UPDATE bills SET days = 1",
                "CREATE FUNCTION widen() RETURNS void LANGUAGE sql AS 'ALTER TABLE bills ALTER days TYPE bigint'",
            ),
            sql("SELECT widen()"),
        ),
        {POSTGRESQL: BILLS_COPIED},
    ),
    Case(
        "a cursor of the driver's own",
        (
            'cursor = op.get_bind().connection.cursor()\ncursor.execute("CREATE INDEX ix_days ON bills (days)")',
        ),
        {POSTGRESQL: SCAN, SQLITE: SCAN},
        line=2,
    ),
    Case(
        "a cursor of the driver's own that alters",
        (
            'cursor = op.get_bind().connection.cursor()\ncursor.execute("ALTER TABLE bills MODIFY days BIGINT")',
        ),
        {MARIADB: COPY},
        line=2,
    ),
    Case(
        "a lock that is held while another table is filled",
        (
            'op.add_column("bills", sa.Column("due", sa.Date))\n'
            'op.execute("INSERT INTO payments (bill_id) SELECT id FROM users")',
        ),
        {POSTGRESQL: {("bills", EVERYBODY, HELD)}},
        ("holds bills while it fills payments (line", "op.add_column", "# a revision of its own"),
        1,
    ),
    Case(
        "the same in another order",
        (
            sql("INSERT INTO payments (bill_id) SELECT id FROM users")
            + '\nop.add_column("bills", sa.Column("due", sa.Date))',
        ),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "a lock that is held while rows are read",
        (
            'op.add_column("bills", sa.Column("due", sa.Date))\n'
            'for _ in op.get_bind().execute(sa.text("SELECT id FROM users")):\n    pass',
        ),
        {POSTGRESQL: {("bills", EVERYBODY, HELD)}},
    ),
    Case(
        "a lock that is taken, and a row that is written",
        (
            'op.add_column("bills", sa.Column("due", sa.Date))\n'
            'op.execute("INSERT INTO users (id, email) VALUES (7777, NULL)")\n'
            'op.execute("UPDATE bills SET due = NULL WHERE id = 1")',
        ),
        everywhere(NOBODY),
    ),
    Case(
        "a lock that is asked for",
        (sql("LOCK TABLE bills", "UPDATE users SET email = NULL WHERE id = 1"),),
        {POSTGRESQL: NOBODY},
    ),
    Case(
        "all rows",
        (sql("UPDATE bills SET days = 1 WHERE days IS NULL"),),
        {POSTGRESQL: {("bills", WRITERS, END)}, MARIADB: {("bills", WRITERS, END)}, SQLITE: SCAN},
        ("helpers.backfill('bills', {'days': sa.text('1')}, where='days IS NULL')|busy_timeout",),
    ),
    Case(
        "one row",
        (sql("UPDATE bills SET days = 1 WHERE id = 2", "DELETE FROM payments WHERE id = 1"),),
        everywhere(NOBODY),
    ),
    Case(
        "all rows, one by one",
        (
            'for row in op.get_bind().execute(sa.text("SELECT id FROM bills")).all():\n'
            '    op.get_bind().execute(sa.text("UPDATE bills SET days = 1 WHERE id = :id"), {"id": row.id})',
        ),
        everywhere({("bills", WRITERS, END)}),
        ("one for each row",),
        2,
    ),
    Case(
        "all rows, page by page",
        (f'{VERBS}helpers.backfill("bills", {{"days": 1}}, where="days IS NULL")',),
        everywhere(NOBODY),
    ),
    Case(
        "all rows are deleted",
        (sql("DELETE FROM payments"),),
        {
            POSTGRESQL: {("payments", WRITERS, END)},
            MARIADB: {("payments", WRITERS, END)},
            SQLITE: {("payments", WRITERS, READ)},
        },
    ),
    Case(
        "rows that are copied from another table",
        (sql("INSERT INTO payments (bill_id) SELECT id FROM bills"),),
        {POSTGRESQL: NOBODY, MARIADB: {("bills", WRITERS, END)}, SQLITE: SCAN},
    ),
    Case(
        "a table of its own",
        (
            'op.create_table("mine", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))\n'
            'op.bulk_insert(sa.table("mine", sa.column("id"), sa.column("n")), [{"id": 1, "n": 1}, {"id": 2, "n": 2}])\n'
            'op.execute("UPDATE mine SET n = 3")\n'
            'op.create_index("ix_mine", "mine", ["n"])',
        ),
        everywhere(NOBODY),
    ),
    Case(
        "a table of its own with a foreign key to an old one",
        (
            'op.create_table("mine", sa.Column("id", sa.Integer, primary_key=True), '
            'sa.Column("n", sa.Integer, sa.ForeignKey("bills.id")))',
        ),
        everywhere(NOBODY),
    ),
    Case(
        "a table of an earlier revision",
        (
            'op.create_table("mine", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))',
            'op.create_index("ix_mine", "mine", ["n"])',
        ),
        {POSTGRESQL: {("mine", WRITERS, READ)}, SQLITE: {("mine", WRITERS, READ)}, MARIADB: NOBODY},
    ),
    Case(
        "a batch that rebuilds a table",
        (
            'with op.batch_alter_table("bills", recreate="always") as batch_op:\n    batch_op.alter_column("days", type_=sa.BigInteger())',
        ),
        {SQLITE: COPY},
    ),
    Case("a view", (sql("CREATE VIEW v AS SELECT id FROM bills"),), everywhere(NOBODY)),
    Case(
        "a trigger",
        (sql("CREATE TRIGGER t AFTER INSERT ON payments BEGIN SELECT 1; END"),),
        {SQLITE: NOBODY},
    ),
]

# What the verbs do without having anybody wait.
CONCURRENTLY = {
    "create_index": 'helpers.create_index("ix_days", "bills", ["days"], postgresql_concurrently=True)',
    "create_unique_constraint": 'helpers.create_unique_constraint("uq_email", "users", ["email"], postgresql_concurrently=True)',
    "create_check_constraint": 'helpers.create_check_constraint("ck", "bills", "days = days", postgresql_concurrently=True)',
    "create_foreign_key": 'helpers.create_foreign_key("fk", "bills", "users", ["user_id"], ["id"], postgresql_concurrently=True)',
    "alter_column": 'helpers.alter_column("bills", "days", nullable=False, postgresql_concurrently=True)',
    "drop_index": 'helpers.drop_index("ix_title", "bills", postgresql_concurrently=True)',
    "add_column": 'helpers.add_column("bills", sa.Column("m", sa.Integer, server_default="1", nullable=False))',
}
READY = (
    'op.execute("UPDATE bills SET days = 1, user_id = NULL")\n'
    'op.execute("UPDATE users SET email = NULL")\nop.create_index("ix_title", "bills", ["title"])'
)
# What cannot be seen, by server: a revision, and a part of the reason.
UNSEEN = [
    (
        POSTGRESQL,
        "counts are off",
        sql("SET track_counts = off", "ALTER TABLE bills ALTER days SET DEFAULT 1"),
        "track_counts",
    ),
    (
        POSTGRESQL,
        "a partitioned table",
        sql("ALTER TABLE parted ADD COLUMN m int"),
        "partitioned",
    ),
    (
        POSTGRESQL,
        "a connection of its own",
        'with op.get_bind().engine.connect() as other:\n    other.execute(sa.text("CREATE TABLE aside (id int)"))\n    other.commit()',
        "a connection of its own",
    ),
    (MARIADB, "a procedure", sql("CALL widen()"), "procedure"),
]
