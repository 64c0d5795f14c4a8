"""What a snapshot holds, what it takes for the same, and that looking at a part of it is exact."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.schema import mysql
from alembic_toolkit.schema.names import names_in
from alembic_toolkit.schema.snapshot import difference
from alembic_toolkit.schema.take import take
from tests.databases import Database


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    with database.engine.connect() as connection:
        yield connection


def run(connection: sa.Connection, *statements: str) -> None:
    options = {"no_parameters": True}
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options=options)


def lines(connection: sa.Connection, *statements: str) -> list[str]:
    """Return what the statements change; looking at their names must tell as much."""
    before = take(connection)
    run(connection, *statements)
    after = take(connection)
    assert difference(take(connection, before, names_in(statements)), after) == []
    return difference(before, after)


TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(9) NOT NULL DEFAULT 'x', b INTEGER)"


def test_difference_is_empty_when_nothing_changed(connection: sa.Connection) -> None:
    assert lines(connection) == []
    assert lines(connection, TABLE, "DROP TABLE t") == []


def test_difference_names_what_came_and_went(connection: sa.Connection) -> None:
    run(connection, TABLE)
    assert lines(connection, "CREATE UNIQUE INDEX ix ON t (b)") in (
        ["+ index ix on t: UNIQUE (b)"],
        ["+ unique ix on t: (b)"],  # MariaDB tells them apart by nothing
    )
    on = "" if connection.dialect.name in ("sqlite", "postgresql") else " ON t"
    [line] = lines(connection, f"DROP INDEX ix{on}")
    assert line.startswith("- ")
    assert lines(connection, "CREATE VIEW v AS SELECT id FROM t")[0].startswith("+ view v: ")


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_difference_shows_both_types_when_a_type_changed(
    database: Database, connection: sa.Connection
) -> None:
    run(connection, TABLE)
    verb = "ALTER COLUMN b TYPE" if database.name == "postgresql" else "MODIFY b"
    [line] = lines(connection, f"ALTER TABLE t {verb} BIGINT")
    old, new = {
        "postgresql": ("integer", "bigint"),
        "mariadb": ("int(11)", "bigint(20)"),
        "mysql": ("int", "bigint"),
    }[database.name]
    assert line in (
        f"~ column t.b: {old} -> {new}",
        f"~ column t.b: {old} DEFAULT NULL -> {new} DEFAULT NULL",
    )


def test_ignored_table_is_not_there(connection: sa.Connection) -> None:
    run(connection, "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    before = take(connection)
    assert not any("alembic_version" in thing for thing in before)
    run(connection, "CREATE TABLE u (id INTEGER)")
    names = names_in(["UPDATE alembic_version SET version_num = 'u'", "CREATE TABLE u"])
    assert take(connection, before, names) == take(connection)


def test_counters_do_not_count(database: Database, connection: sa.Connection) -> None:
    column = {
        "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "postgresql": "SERIAL PRIMARY KEY",
        "mariadb": "INTEGER PRIMARY KEY AUTO_INCREMENT",
    }[database.kin]
    run(connection, f"CREATE TABLE c (id {column}, a INTEGER)")
    assert lines(connection, "INSERT INTO c (a) VALUES (1), (2)") == []


# SQLite: the author's text

SAME = [
    ("a INT, CHECK (a>0)", "a INT, check  ( ( A > 0 ) ) -- why"),
    ("a INT DEFAULT 1", "[a] int default (1)"),
    ("a TEXT DEFAULT 'x'", 'a text default "x"'),
    ("a INT DEFAULT '-1'", "a INT DEFAULT -1"),
    ("a INT DEFAULT '-1'", "a INT DEFAULT (-1)"),
    ("a NUMERIC(8, 2) DEFAULT '1.50'", "a NUMERIC(8, 2) DEFAULT 1.5"),
    ("a REAL DEFAULT 1", "a REAL DEFAULT 1.0"),
    ("a BOOLEAN DEFAULT 1", "a BOOLEAN DEFAULT true"),
    ("a BOOLEAN DEFAULT '0'", "a BOOLEAN DEFAULT false"),
    ("a INT DEFAULT NULL", "a INT"),
    ("a INT PRIMARY KEY, b INT", "b INT, a INT, PRIMARY KEY (a)"),
    ("id INTEGER PRIMARY KEY", "id INTEGER NOT NULL, PRIMARY KEY (id)"),
    ("id INTEGER PRIMARY KEY AUTOINCREMENT", "id INTEGER, PRIMARY KEY (id AUTOINCREMENT)"),
    ("a INT UNIQUE", 'a INT, UNIQUE ("a" ASC)'),
    ("a INT, b BOOL", "a INTEGER, b BOOLEAN"),
    ("a INT REFERENCES p", "a INT, FOREIGN KEY (a) REFERENCES p (id) ON DELETE NO ACTION"),
    ("a INT REFERENCES p MATCH FULL", "a INT REFERENCES P(id) NOT DEFERRABLE"),
    ("a VARCHAR(5) NOT NULL", "a varchar ( 5 ) not null on conflict abort"),
    ("a INT, b INT GENERATED ALWAYS AS (a+1)", "b INT AS (a + 1) VIRTUAL, a INT"),
    ("a INT CONSTRAINT x CHECK (a IN (1,2))", "a INT, CONSTRAINT 'x' CHECK (a in ( 1 , 2 ))"),
    ("a TEXT COLLATE BINARY", "a TEXT /* , b INT */"),
    ("a INT, UNIQUE (a) CHECK (a <> -1)", "a INT, CHECK (a <> - 1), UNIQUE (a)"),
    ("a INT NOT NULL", "a INT CONSTRAINT w CONSTRAINT x NOT NULL, CONSTRAINT y"),
    ("a INT, CHECK (a <> 1.5e+3)", "a INT CHECK (a<>1.5E+3), CONSTRAINT x CONSTRAINT 'y'"),
    (
        "a INT NOT NULL REFERENCES p ON DELETE SET NULL",
        "a INT REFERENCES p (id) ON DELETE SET NULL NOT NULL",
    ),
]
OTHER = [
    ("a INT", "a INT NOT NULL"),
    ("a TEXT DEFAULT 'x'", "a TEXT DEFAULT 'X'"),
    ("a TEXT DEFAULT '1'", "a TEXT DEFAULT 1"),
    ("a INT DEFAULT '-1'", "a INT DEFAULT 1"),
    ("a INT DEFAULT '1'", "a INT DEFAULT '1 day'"),
    ("a BLOB DEFAULT '1'", "a BLOB DEFAULT 1"),
    ("a TEXT CHECK (a <> 'x')", "a TEXT CHECK (a <> 'X')"),
    ("a TEXT", "a TEXT COLLATE NOCASE"),
    ("a TEXT PRIMARY KEY", "a TEXT NOT NULL PRIMARY KEY"),
    ("id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT"),
    ("a INT, b INT, UNIQUE (a, b)", "a INT, b INT, UNIQUE (b, a)"),
    ("a INT UNIQUE", "a INT UNIQUE ON CONFLICT REPLACE"),
    ("a INT UNIQUE", "a INT CONSTRAINT u UNIQUE"),
    ("a INT REFERENCES p", "a INT REFERENCES p ON DELETE CASCADE"),
    ("a INT REFERENCES p", "a INT REFERENCES p DEFERRABLE INITIALLY DEFERRED"),
    ("a INT, b AS (a+1)", "a INT, b AS (a+1) STORED"),
    ("a INT PRIMARY KEY", "a INTEGER PRIMARY KEY"),
]


def sqlite_snapshots(pair: tuple[str, str]) -> list[dict[Any, str]]:
    snapshots = []
    for columns in pair:
        with sa.create_engine("sqlite://").connect() as connection:
            run(connection, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
            run(connection, f"CREATE TABLE t ({columns}\n)")
            snapshots.append(dict(take(connection)))
    return snapshots


@pytest.mark.parametrize("pair", SAME, ids=lambda pair: pair[1])
def test_sqlite_text_is_the_same_when_the_server_means_the_same(pair: tuple[str, str]) -> None:
    one, two = sqlite_snapshots(pair)
    assert one == two


@pytest.mark.parametrize("pair", OTHER, ids=lambda pair: pair[1])
def test_sqlite_text_is_another_when_the_server_means_another(pair: tuple[str, str]) -> None:
    one, two = sqlite_snapshots(pair)
    assert one != two


@pytest.mark.databases("sqlite")
def test_sqlite_table_options_are_seen(connection: sa.Connection) -> None:
    run(connection, "CREATE TABLE t (a TEXT PRIMARY KEY)")
    rebuilt = ["DROP TABLE t", "CREATE TABLE t (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"]
    assert lines(connection, *rebuilt) == [
        "~ column t.a: TEXT -> TEXT NOT NULL",
        "~ table t: (plain) -> STRICT, WITHOUT ROWID",
    ]


@pytest.mark.databases("sqlite")
def test_sqlite_batch_rebuild_with_the_same_facts_changes_nothing(
    connection: sa.Connection,
) -> None:
    run(
        connection,
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT)",
        "CREATE TABLE 't' (id integer primary key, a varchar(20) default 'it''s' not null,"
        " n NUMERIC(10,2) default -1.5, [C c] TEXT DEFAULT (lower('X')), p int, q int references p,"
        " foreign key(p) references p (id) on delete cascade,"
        " CONSTRAINT uq unique (a), constraint ck check(n>-2))",
        "CREATE INDEX ix ON t (n, a)",
    )
    before = take(connection)
    op = Operations(MigrationContext.configure(connection))
    with op.batch_alter_table("t", recreate="always"):
        pass
    assert "\n".join(difference(before, take(connection))) == ""


@pytest.mark.databases("sqlite")
def test_sqlite_attached_database_is_read(connection: sa.Connection) -> None:
    run(connection, "ATTACH ':memory:' AS aux")
    assert lines(connection, "CREATE TABLE aux.t (id INTEGER)") == [
        "+ column aux.t.id: INTEGER",
        "+ table aux.t",
    ]


# PostgreSQL and MariaDB


@pytest.mark.databases("postgresql")
def test_postgresql_session_settings_change_nothing(connection: sa.Connection) -> None:
    run(
        connection,
        "CREATE SCHEMA other",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, d TIMESTAMPTZ DEFAULT '2020-02-01 00:00Z')",
        "CREATE TABLE other.t (p INTEGER REFERENCES p)",
    )
    settings = ["SET search_path = other", "SET TimeZone = 'Asia/Tokyo'", "SET DateStyle = German"]
    assert lines(connection, *settings) == []
    shown = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in ("TimeZone",)]
    assert shown == ["Asia/Tokyo"]
    assert connection.exec_driver_sql("SELECT current_schema()").scalar() == "other"


@pytest.mark.databases("postgresql")
def test_postgresql_renamed_enum_is_seen_in_what_uses_it(connection: sa.Connection) -> None:
    run(
        connection,
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "CREATE TABLE t (m mood DEFAULT 'a', n mood[])",
    )
    assert lines(connection, "ALTER TYPE mood RENAME TO feeling") == [
        "~ column t.m: mood DEFAULT 'a'::mood -> feeling DEFAULT 'a'::feeling",
        "~ column t.n: mood[] -> feeling[]",
        "+ enum feeling: ('a', 'b')",
        "- enum mood: ('a', 'b')",
    ]


@pytest.mark.databases("postgresql")
def test_postgresql_index_and_constraint_states_are_seen(connection: sa.Connection) -> None:
    run(connection, TABLE, "CREATE INDEX ix ON t (b)")
    check = "ALTER TABLE t ADD CONSTRAINT ck CHECK (b > 0) NOT VALID"
    assert lines(connection, check) == ["+ check ck on t: ((b > 0)) NOT VALID"]
    validate = "ALTER TABLE t VALIDATE CONSTRAINT ck"
    assert lines(connection, validate) == ["~ check ck on t: ((b > 0)) NOT VALID -> ((b > 0))"]
    run(connection, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass")
    assert lines(connection, "REINDEX INDEX ix") == ["~ index ix on t: (b) INVALID -> (b)"]


@pytest.mark.databases("mariadb", "mysql")
def test_mariadb_index_made_for_a_foreign_key_is_called_so(connection: sa.Connection) -> None:
    run(connection, "CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE t (p INT)")
    key = "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)"
    assert lines(connection, key) == [
        "+ foreign key fk on t: (p) REFERENCES p (id)",
        "+ index fk on t: (p), made by the server for foreign key fk",
    ]
    assert lines(connection, "ALTER TABLE t DROP FOREIGN KEY fk") == [
        "- foreign key fk on t: (p) REFERENCES p (id)",
        "~ index fk on t: (p), made by the server for foreign key fk -> (p)",
    ]


@pytest.mark.databases("mariadb", "mysql")
def test_mariadb_default_collation_is_no_change_of_columns(connection: sa.Connection) -> None:
    run(connection, TABLE)
    [line] = lines(connection, "ALTER TABLE t DEFAULT CHARACTER SET latin1")
    assert line.startswith("~ table t: ")


# Names


@pytest.mark.databases("mariadb", "mysql")
def test_many_tables_are_read_in_few_round_trips(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        f"CREATE TABLE `t{n}` (id INT PRIMARY KEY, `a;'` INT, CHECK (id > 0))" for n in range(9)
    ]
    run(connection, *made, "CREATE VIEW v AS SELECT id FROM t1")
    run(connection, *(f"CREATE FUNCTION f{n}() RETURNS INT NO SQL RETURN 1" for n in range(3)))
    driver: Any = connection.connection.driver_connection
    sent: list[object] = []
    execute = driver._execute_command

    def counted(*command: object) -> None:
        sent.append(command)
        execute(*command)

    monkeypatch.setattr(driver, "_execute_command", counted)
    few = take(connection)
    trips = len(sent)
    monkeypatch.setattr("alembic_toolkit.database.driver.AT_ONCE", 1)
    assert take(connection) == few
    assert (trips < 11, len(sent) - trips >= 17) == (True, True), (trips, len(sent))
    with pytest.raises(sa.exc.ProgrammingError):  # the connection takes one statement, as before
        run(connection, "SELECT 1; SELECT 2")


@pytest.mark.databases("mariadb", "mysql")
def test_table_that_is_gone_takes_no_other_one_along(connection: sa.Connection) -> None:
    run(connection, "CREATE TABLE a (id INT)", "CREATE TABLE b (id INT)")
    assert [name for name, _ in mysql._shown(connection, ["a", "gone", "b"])] == ["a", "b"]


def test_names_are_those_of_the_statement_in_any_quotes() -> None:
    names = names_in(["ALTER TABLE `A``b` ADD x INT", 'DROP TABLE "C""d"', "DROP INDEX [e f]"])
    assert names is not None
    assert {"A`b", "a`b", 'C"d', 'c"d', "e f", "x"} <= names


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN DROP TABLE t; END $$",
        "CALL f()",
        "DROP TABLE t CASCADE",
        "/* x */ alter table t drop column a cascade",
        "SELECT 1; DO 'x'",
        "ALTER SCHEMA a RENAME TO b",
        "ALTER TABLE t SET SCHEMA b",
        "CREATE EXTENSION x",
        "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION f()",
        "PREPARE x FROM 'DROP TABLE t'",
        "EXECUTE x",
        "ROLLBACK TO a",
        "DISCARD ALL",
        "UPDATE pg_catalog.pg_attribute SET attnotnull = false",
        "what is this",
    ],
)
def test_names_do_not_suffice_when_anything_may_have_changed(statement: str) -> None:
    assert names_in([statement]) is None


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE",
        "INSERT INTO t VALUES ('drop table x cascade; do')",
        "COMMENT ON TABLE t IS 'it''s; DO'",
        "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $x$ BEGIN EXECUTE 'x'; END $x$",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM a; SELECT 1; END",
        "/*!50003 CREATE*/ TRIGGER t AFTER INSERT ON t FOR EACH ROW SET @a = 1",
        "SELECT 1; -- DO it\nSELECT 2 FROM t",
    ],
)
def test_names_suffice_when_a_word_only_looks_like_a_command(statement: str) -> None:
    names = names_in([statement])
    assert names is not None
    assert "t" in names


def test_statement_that_can_be_read_in_two_ways_gives_the_names_of_both() -> None:
    names = names_in([r"INSERT INTO t VALUES ('\'); INSERT INTO u VALUES ('b')"])
    assert names is None or {"t", "u"} <= names


# Random histories

NAMES = ["t0", "t1", "T2", "t 3", "order", "x.y", "q'uo\"te"]
COLUMNS = ["a", "b", "C c", "key", "e"]


class Author:
    """Writes random statements; many of them fail, as nothing is known of the schema."""

    def __init__(self, seed: int, server: str) -> None:
        self.random = random.Random(seed)
        self.server = server

    def quoted(self, name: str) -> str:
        quote = "`" if self.server == "mariadb" else '"'
        if name.islower() and name.isalnum() and name not in ("order", "key"):
            return name.upper() if self.server == "sqlite" and self.random.random() < 0.1 else name
        return quote + name.replace(quote, quote * 2) + quote

    def one(self, *choices: str) -> str:
        return self.random.choice(choices)

    def table(self) -> str:
        return self.quoted(self.random.choice(NAMES))

    def column(self) -> str:
        return self.quoted(self.random.choice(COLUMNS))

    def other(self, kind: str) -> str:
        return self.quoted(f"{kind}{self.random.randrange(4)}")

    def type(self) -> str:
        types = ["INTEGER", "VARCHAR(20)", "NUMERIC(10, 2)", "TEXT"]
        if self.server == "postgresql":
            types += [
                "SERIAL",
                "INTEGER GENERATED BY DEFAULT AS IDENTITY",
                "e0",
                "e1[]",
                "d0",
                "d1",
            ]
            types += [f"{self.table()}"]
        if self.server == "mariadb":
            types += ["ENUM('a', 'b''c')", "VARCHAR(5) CHARACTER SET latin1", "TIMESTAMP"]
        return self.random.choice(types)

    def definition(self, column: str) -> str:
        extras = ["", "", "NOT NULL", "DEFAULT 1", "UNIQUE", f"CHECK ({column} <> '3')"]
        extras += [f"REFERENCES {self.table()} (id) ON DELETE CASCADE"]
        if self.server == "sqlite":
            extras += [f"REFERENCES {self.table()}", "COLLATE NOCASE"]
        if self.server == "mariadb":
            extras += ["COMMENT 'it''s \\' #'"]
        return f"{column} {self.type()} {self.random.choice(extras)}"

    def create_table(self) -> str:
        columns = self.random.sample(COLUMNS, self.random.randrange(4))
        parts = ["id INTEGER PRIMARY KEY", *(self.definition(self.quoted(c)) for c in columns)]
        if columns and self.random.random() < 0.4:
            parts.append(f"CONSTRAINT {self.other('uq')} UNIQUE ({self.quoted(columns[0])})")
        end = ""
        if self.server == "postgresql" and self.random.random() < 0.3:
            end = self.one(f" INHERITS ({self.table()})", " PARTITION BY RANGE (id)")
        return f"CREATE TABLE {self.table()} ({', '.join(parts)}){end}"

    def alter_table(self) -> str:
        table, column = self.table(), self.column()
        actions = [
            f"ADD COLUMN {self.definition(column)}",
            f"ADD COLUMN {self.definition(column)}",
            f"DROP COLUMN {column}",
            f"RENAME COLUMN {column} TO {self.column()}",
            f"RENAME TO {self.table()}",
        ]
        if self.server != "sqlite":
            actions += [
                f"ADD CONSTRAINT {self.other('fk')} FOREIGN KEY ({column})"
                f" REFERENCES {self.table()} (id)",
                f"ADD CONSTRAINT {self.other('uq')} UNIQUE ({column})",
                f"ADD CONSTRAINT {self.other('ck')} CHECK ({column} <> 'x')",
                f"DROP CONSTRAINT {self.other(self.one('fk', 'uq', 'ck'))}",
                f"ALTER COLUMN {column} SET DEFAULT 7",
            ]
        actions += getattr(self, f"alter_{self.server}")(column)
        return f"ALTER TABLE {table} {self.random.choice(actions)}"

    def alter_sqlite(self, column: str) -> list[str]:
        return []

    def alter_mariadb(self, column: str) -> list[str]:
        return [
            f"MODIFY {column} BIGINT",
            f"CHANGE {column} {self.column()} BIGINT",
            "CONVERT TO CHARACTER SET latin1",
            "DEFAULT CHARACTER SET latin1",
            "COMMENT 'x'",
            f"DROP KEY {self.other('ix')}",
            f"ADD KEY {self.other('ix')} ({column})",
            f"RENAME INDEX {self.other('ix')} TO {self.other('ix')}",
            "PARTITION BY HASH (id) PARTITIONS 2",
        ]

    def alter_postgresql(self, column: str) -> list[str]:
        return [
            f"ALTER COLUMN {column} TYPE BIGINT",
            f"ALTER COLUMN {column} SET NOT NULL",
            f"RENAME CONSTRAINT {self.other('uq')} TO {self.other('uq')}",
            f"ADD CONSTRAINT {self.other('ck')} CHECK ({column} <> 'y') NOT VALID",
            f"VALIDATE CONSTRAINT {self.other('ck')}",
            f"INHERIT {self.table()}",
            f"NO INHERIT {self.table()}",
            f"ATTACH PARTITION {self.table()} FOR VALUES FROM (1) TO (9)",
            f"DETACH PARTITION {self.table()}",
            "ENABLE ROW LEVEL SECURITY",
            "SET UNLOGGED",
            "SET (fillfactor = 70)",
            "SET SCHEMA elsewhere",
            f"DROP COLUMN {column} CASCADE",
        ]

    def common(self) -> str:
        table, column = self.table(), self.column()
        view, index, trigger = self.other("v"), self.other("ix"), self.other("tr")
        choice = self.random.random()
        if choice < 0.2:
            return self.create_table()
        if choice < 0.55:
            return self.alter_table()
        on = f" ON {table}" if self.server == "mariadb" else ""
        unique = self.one("", "", "UNIQUE ")
        columns = self.one("*", f"id, {column}", "id")
        return self.one(
            f"DROP TABLE {table}",
            f"CREATE {unique}INDEX {index} ON {table} ({column})",
            f"CREATE {unique}INDEX {index} ON {table} ({column} DESC, id)",
            f"DROP INDEX {index}{on}",
            f"CREATE VIEW {view} AS SELECT {columns} FROM {self.one(table, view)}",
            f"DROP VIEW {view}",
            f"CREATE TABLE {table} AS SELECT id, {column} FROM {self.table()}",
            self.create_trigger(trigger, table),
            f"DROP TRIGGER {trigger}" + (f" ON {table}" if self.server == "postgresql" else ""),
            f"INSERT INTO {table} (id) VALUES ({self.random.randrange(99)})",
        )

    def create_trigger(self, trigger: str, table: str) -> str:
        event = self.one("BEFORE INSERT", "AFTER UPDATE", "AFTER DELETE")
        body = {
            "sqlite": f"BEGIN DELETE FROM {self.table()}; SELECT 1; END",
            "mariadb": f"FOR EACH ROW BEGIN DELETE FROM {self.table()}; SET @a = 1; END",
            "postgresql": "FOR EACH ROW EXECUTE FUNCTION f0()",
        }[self.server]
        return f"CREATE TRIGGER {trigger} {event} ON {table} {body}"

    def statement(self) -> str:
        if self.random.random() < 0.6:
            return self.common()
        return str(getattr(self, self.server)())

    def sqlite(self) -> str:
        table = self.table()
        return self.one(
            self.common(),
            f"CREATE TABLE {table} (id integer not null primary key autoincrement, a, b unique)",
            f"CREATE TABLE {table} (id text, a int, primary key (id, a)) without rowid",
            f"CREATE INDEX {self.other('ix')} ON {table} (lower(a)) WHERE a IS NOT NULL",
        )

    def mariadb(self) -> str:
        table, function = self.table(), self.other("f")
        return self.one(
            self.common(),
            f"CREATE TABLE {table} LIKE {self.table()}",
            f"RENAME TABLE {table} TO {self.table()}, {self.table()} TO {self.table()}",
            f"CREATE FUNCTION {function} (a INT) RETURNS INT DETERMINISTIC RETURN a",
            f"CREATE PROCEDURE {function} () SELECT 1",
            f"DROP FUNCTION {function}",
            f"CREATE SEQUENCE {self.other('s')} START 5",
            f"ALTER SEQUENCE {self.other('s')} INCREMENT 3",
            f"DROP SEQUENCE {self.other('s')}",
            f"CREATE EVENT {self.other('ev')} ON SCHEDULE EVERY 1 DAY DO DELETE FROM {table}",
            f"ALTER EVENT {self.other('ev')} DISABLE",
            f"CREATE OR REPLACE VIEW {self.other('v')} AS SELECT id FROM {table}",
            f"CREATE OR REPLACE TABLE {table} (id INT PRIMARY KEY) COMMENT 'x'",
            f"CREATE TEMPORARY TABLE {self.other('tmp')} (id INT)",
        )

    def postgresql(self) -> str:
        table, column, enum = self.table(), self.column(), self.other("e")
        domain, sequence, function = self.other("d"), self.other("s"), self.other("f")
        return self.one(
            self.common(),
            f"CREATE TYPE {enum} AS ENUM ('a', 'b''c')",
            f"ALTER TYPE {enum} ADD VALUE 'v{self.random.randrange(3)}'",
            f"ALTER TYPE {enum} RENAME VALUE 'a' TO 'z'",
            f"ALTER TYPE {enum} RENAME TO {self.other('e')}",
            f"DROP TYPE {enum}",
            f"CREATE DOMAIN {domain} AS INTEGER DEFAULT 3 CHECK (VALUE > 0)",
            f"ALTER DOMAIN {domain} ADD CONSTRAINT {self.other('ck')} CHECK (VALUE < 99)",
            f"ALTER DOMAIN {domain} RENAME TO {self.other('d')}",
            f"DROP DOMAIN {domain}",
            f"CREATE TYPE {self.other('ct')} AS (a INTEGER, b {enum})",
            f"ALTER TYPE {self.other('ct')} ADD ATTRIBUTE {column} TEXT",
            f"CREATE SEQUENCE {sequence}",
            f"ALTER SEQUENCE {sequence} INCREMENT 5",
            f"ALTER SEQUENCE {sequence} OWNED BY {table}.{column}",
            f"ALTER SEQUENCE {sequence} RENAME TO {self.other('s')}",
            f"ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{sequence}')",
            f"DROP SEQUENCE {sequence}",
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN new; -- it's\nEND $$",
            f"CREATE FUNCTION {function}(a INTEGER) RETURNS INTEGER LANGUAGE sql AS 'SELECT 1'",
            f"DROP FUNCTION {function}(INTEGER)",
            f"CREATE MATERIALIZED VIEW {self.other('mv')} AS SELECT id FROM {table}",
            f"REFRESH MATERIALIZED VIEW {self.other('mv')} WITH NO DATA",
            f"DROP MATERIALIZED VIEW {self.other('mv')}",
            f"ALTER VIEW {self.other('v')} RENAME COLUMN id TO {column}",
            f"CREATE POLICY {self.other('po')} ON {table} USING (id IN (SELECT id FROM t0))",
            f"DROP POLICY {self.other('po')} ON {table}",
            f"CREATE RULE {self.other('ru')} AS ON DELETE TO {table} DO ALSO DELETE FROM t1",
            f"ALTER INDEX {self.other('ix')} RENAME TO {self.other('ix')}",
            f"ALTER INDEX {self.other('uq')} RENAME TO {self.other('uq')}",
            f"COMMENT ON TABLE {table} IS 'it''s'",
            f"COMMENT ON COLUMN {table}.{column} IS 'x'",
            f"COMMENT ON INDEX {self.other('ix')} IS E'\\'x'",
            f"CREATE TABLE {table} PARTITION OF {self.table()} FOR VALUES FROM (10) TO (20)",
            f"CREATE TABLE {table} (LIKE {self.table()} INCLUDING ALL)",
            f"SELECT id INTO {table} FROM {self.table()}",
            f"DROP TABLE {table} CASCADE",
            f"DROP VIEW {self.other('v')} CASCADE",
            f"CREATE TABLE elsewhere.{table} (id INTEGER PRIMARY KEY, a {enum})",
            f"ALTER TABLE elsewhere.{table} RENAME TO {self.table()}",
            f"DROP TABLE elsewhere.{table}",
            f"CREATE TEMPORARY TABLE {self.other('tmp')} (id INT)",
            "DO $$ BEGIN CREATE TABLE IF NOT EXISTS t1 (id INTEGER PRIMARY KEY, a INTEGER); END $$",
            "SET search_path = elsewhere, public",
            "RESET search_path",
            "DISCARD ALL",
        )


def try_to(connection: sa.Connection, statement: str) -> bool:
    try:
        run(connection, statement)
    except sa.exc.DBAPIError:
        return False
    return True


STATEMENTS = 300


@pytest.mark.parametrize("seed", range(2))
def test_look_at_names_is_exact_when_history_is_random(database: Database, seed: int) -> None:
    author = Author(seed, database.kin)
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if database.name == "postgresql":
            run(connection, "CREATE SCHEMA elsewhere")
        known = take(connection)
        done = changed = 0
        for _ in range(STATEMENTS):
            statement = author.statement()
            done += (succeeded := try_to(connection, statement))
            if not succeeded and author.random.random() < 0.8:
                continue
            whole = take(connection)
            known, before = take(connection, known, names_in([statement])), known
            assert difference(known, whole) == [], statement
            assert known.groups == whole.groups, statement
            changed += before != known
    assert done > STATEMENTS / 8
    assert changed > STATEMENTS / 10
