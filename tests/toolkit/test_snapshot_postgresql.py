"""What a snapshot of PostgreSQL sees of newer servers, and that it sees no bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from alembic_toolkit.rows.tables.look import look
from alembic_toolkit.schema.take import take
from tests.databases import Database
from tests.toolkit.test_snapshot import lines, run

pytestmark = pytest.mark.databases("postgresql")

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(9))"
STAMP = "UPDATE pg_attribute SET attoptions = array_append(attoptions, 'pg_attver=7')"
STAMP += " WHERE attrelid = 't'::regclass AND attnum > 0"


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    with database.engine.connect() as connection:
        yield connection


def require(connection: sa.Connection, version: int) -> None:
    found = connection.dialect.server_version_info or ()
    if found < (version,):
        pytest.skip(f"PostgreSQL {version} has it, and this is {found[0]}")


def test_stamp_of_the_server_is_no_option_of_a_column(connection: sa.Connection) -> None:
    run(connection, TABLE)
    assert lines(connection, "ALTER TABLE t ADD c INTEGER", "ALTER TABLE t DROP c") == []
    [line] = lines(connection, "ALTER TABLE t ALTER a SET (n_distinct = 5)")
    assert line == "~ column t.a: integer -> integer WITH (n_distinct=5)"
    assert lines(connection, STAMP) == []


def test_stamp_of_the_server_is_no_option_of_a_table(connection: sa.Connection) -> None:
    run(connection, TABLE)
    stamp = "UPDATE pg_class SET reloptions = array_append(reloptions, 'pg_stamp=7')"
    assert lines(connection, f"{stamp} WHERE oid = 't'::regclass") == []


def test_order_in_which_options_were_set_is_no_difference(connection: sa.Connection) -> None:
    run(connection, TABLE, "ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off)")
    again = "ALTER TABLE t RESET (fillfactor)", "ALTER TABLE t SET (fillfactor = 70)"
    assert lines(connection, *again) == []
    [line] = lines(connection, "ALTER TABLE t SET (fillfactor = 80)")
    assert line.endswith("(autovacuum_enabled=off, fillfactor=80)")


def test_domain_that_is_not_null_is_read(connection: sa.Connection) -> None:
    run(connection, "CREATE DOMAIN d AS INTEGER NOT NULL CHECK (VALUE > 0)")
    run(connection, "CREATE TABLE t (a d)")
    table = look(connection)["t"]
    assert not table.columns[0].nullable
    assert table.checks == ('("a" > 0)',)
    drop = "ALTER DOMAIN d DROP NOT NULL"
    assert lines(connection, drop) == ["~ domain d: integer NOT NULL -> integer"]


def test_name_of_a_domains_not_null_is_seen(connection: sa.Connection) -> None:
    require(connection, 17)
    run(connection, "CREATE DOMAIN d AS INTEGER CONSTRAINT given NOT NULL")
    rename = "ALTER DOMAIN d RENAME CONSTRAINT given TO other"
    expected = "~ domain d: integer CONSTRAINT given NOT NULL -> integer CONSTRAINT other NOT NULL"
    assert lines(connection, rename) == [expected]


def test_not_null_is_seen_with_its_name_and_state(connection: sa.Connection) -> None:
    require(connection, 18)
    run(connection, TABLE)
    add = "ALTER TABLE t ADD CONSTRAINT given NOT NULL a NOT VALID"
    not_valid = "integer CONSTRAINT given NOT NULL NOT VALID"
    assert lines(connection, add) == [f"~ column t.a: integer -> {not_valid}"]
    validate = "ALTER TABLE t VALIDATE CONSTRAINT given"
    valid = "integer CONSTRAINT given NOT NULL"
    assert lines(connection, validate) == [f"~ column t.a: {not_valid} -> {valid}"]
    rename = "ALTER TABLE t RENAME CONSTRAINT given TO other"
    other = "integer CONSTRAINT other NOT NULL"
    assert lines(connection, rename) == [f"~ column t.a: {valid} -> {other}"]
    inherit = "ALTER TABLE t ALTER CONSTRAINT other NO INHERIT"
    assert lines(connection, inherit) == [f"~ column t.a: {other} -> {other} NO INHERIT"]
    gone = "ALTER TABLE t DROP CONSTRAINT other"
    assert lines(connection, gone) == [f"~ column t.a: {other} NO INHERIT -> integer"]


def test_name_of_a_not_null_that_the_server_chose_is_none(connection: sa.Connection) -> None:
    run(connection, TABLE)
    before = take(connection)
    run(connection, "ALTER TABLE t ALTER a SET NOT NULL", "ALTER TABLE t RENAME a TO x")
    run(connection, "ALTER TABLE t RENAME TO u", "ALTER TABLE u ALTER x DROP NOT NULL")
    run(connection, "ALTER TABLE u ALTER x SET NOT NULL", "ALTER TABLE u RENAME x TO a")
    run(connection, "ALTER TABLE u RENAME TO t")
    assert lines(connection, "ALTER TABLE t ALTER a DROP NOT NULL") == [
        "~ column t.a: integer NOT NULL -> integer"
    ]
    assert take(connection) == before


def test_inherited_not_null_is_one(connection: sa.Connection) -> None:
    run(connection, "CREATE TABLE p (a INTEGER NOT NULL)", "CREATE TABLE c () INHERITS (p)")
    drop = "ALTER TABLE p ALTER a DROP NOT NULL"
    assert lines(connection, drop)[-1] == "~ column p.a: integer NOT NULL -> integer"


def test_virtual_column_is_no_stored_one(connection: sa.Connection) -> None:
    require(connection, 18)
    run(connection, TABLE, "ALTER TABLE t ADD g INTEGER GENERATED ALWAYS AS (id + 1) VIRTUAL")
    stored = (
        "ALTER TABLE t DROP g",
        "ALTER TABLE t ADD g INTEGER GENERATED ALWAYS AS (id + 1) STORED",
    )
    virtual = "integer GENERATED ALWAYS AS ((id + 1))"
    assert lines(connection, *stored) == [f"~ column t.g: {virtual} -> {virtual} STORED"]


def test_keys_in_time_are_seen(connection: sa.Connection) -> None:
    require(connection, 18)
    ranged = "r int4range, d daterange"
    run(connection, f"CREATE TABLE p ({ranged})", f"CREATE TABLE c ({ranged})")
    key = "ALTER TABLE p ADD CONSTRAINT pk PRIMARY KEY (r, d WITHOUT OVERLAPS)"
    assert "+ primary key pk on p: (r, d WITHOUT OVERLAPS)" in lines(connection, key)
    reference = (
        "ALTER TABLE c ADD CONSTRAINT fk FOREIGN KEY (r, PERIOD d) REFERENCES p (r, PERIOD d)"
    )
    assert lines(connection, reference) == [
        "+ foreign key fk on c: (r, PERIOD d) REFERENCES p(r, PERIOD d)"
    ]


def test_constraint_that_is_not_enforced_is_seen(connection: sa.Connection) -> None:
    require(connection, 18)
    run(connection, TABLE)
    check = "ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT ENFORCED"
    assert lines(connection, check) == ["+ check ck on t: ((a > 0)) NOT ENFORCED"]
    key = "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES t NOT ENFORCED"
    assert lines(connection, key) == ["+ foreign key fk on t: (a) REFERENCES t(id) NOT ENFORCED"]
    enforced = "ALTER TABLE t ALTER CONSTRAINT fk ENFORCED"
    assert lines(connection, enforced) == [
        "~ foreign key fk on t: (a) REFERENCES t(id) NOT ENFORCED -> (a) REFERENCES t(id)"
    ]
