"""A verb looks by itself: nothing that a verb before has read is taken for what is there now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_skipped,
    counted,
    looks_of,
    prepare,
    revision,
)

BILLS = "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(50) NOT NULL)"
ADD, DROP = "ALTER TABLE bills ADD COLUMN more INTEGER", "ALTER TABLE bills DROP COLUMN more"
SERVERS = ("postgresql", "mariadb", "mysql")
Run = Callable[[Database, sa.Connection, str], None]


def by_statement(_: Database, connection: sa.Connection, sql: str) -> None:
    connection.exec_driver_sql(sql)


def by_cursor(_: Database, connection: sa.Connection, sql: str) -> None:
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)


def by_block(database: Database, connection: sa.Connection, sql: str) -> None:
    by_cursor(database, connection, f"DO $$ BEGIN {sql}; END $$")


def by_function(database: Database, connection: sa.Connection, sql: str) -> None:
    body = f"RETURNS int LANGUAGE plpgsql AS $$ BEGIN {sql}; RETURN 1; END $$"
    by_cursor(database, connection, f"CREATE OR REPLACE FUNCTION change() {body}")
    by_cursor(database, connection, "SELECT change()")


def by_call(database: Database, connection: sa.Connection, sql: str) -> None:
    by_cursor(database, connection, f"CREATE PROCEDURE change_bills() {sql}")
    by_cursor(database, connection, "CALL change_bills()")
    by_cursor(database, connection, "DROP PROCEDURE change_bills")


WAYS: dict[Run, tuple[str, ...]] = {
    by_statement: (*SERVERS, "sqlite"),
    by_cursor: (*SERVERS, "sqlite"),
    by_block: ("postgresql",),
    by_function: ("postgresql",),
    by_call: ("mariadb", "mysql"),
}


def add(name: str) -> Callable[[], None]:
    return lambda: helpers.add_column("bills", sa.Column(name, sa.Integer()))


@pytest.mark.databases(*SERVERS, "sqlite")
def test_verb_sees_what_other_sql_did_since_the_verb_before(database: Database) -> None:
    prepare(database, BILLS)
    with revision(database) as connection:
        assert_applied(add("other"))
        for run in [run for run, servers in WAYS.items() if database.name in servers]:
            run(database, connection, ADD)
            assert_skipped(add("more"))
            run(database, connection, DROP)
            assert_applied(add("more"))
            run(database, connection, DROP)


@pytest.mark.databases("postgresql")
def test_verb_looks_again_when_another_session_changed_the_table(database: Database) -> None:
    prepare(database, BILLS)
    with revision(database):
        assert not helpers.table_has_column("bills", "more")
        prepare(database, ADD)
        assert_skipped(add("more"))


@pytest.mark.databases("postgresql")
def test_verb_looks_again_when_a_savepoint_was_rolled_back(database: Database) -> None:
    prepare(database, BILLS)
    with revision(database) as connection:
        point = connection.begin_nested()
        assert_applied(add("more"))
        point.rollback()
        assert_applied(add("more"))


@pytest.mark.databases(*SERVERS)
def test_verb_of_a_batch_sees_what_the_one_before_did(database: Database) -> None:
    prepare(database, BILLS)
    with revision(database), helpers.batch_alter_table("bills") as batch:
        batch.add_column(sa.Column("more", sa.Integer()))
        batch.create_index("ix_more", ["more"])
        batch.create_unique_constraint("uq_name", ["name"])
    with revision(database):
        assert helpers.table_has_index("bills", "ix_more")
        assert helpers.table_has_constraint("bills", "uq_name", "unique")
    with revision(database), helpers.batch_alter_table("bills") as batch:
        batch.drop_constraint("uq_name", type_="unique")
        batch.drop_index("ix_more")
        batch.drop_column("more")
    with revision(database):
        assert not helpers.table_has_constraint("bills", "uq_name", "unique")
        assert not helpers.table_has_column("bills", "more")


def widened() -> None:
    helpers.alter_column(
        "bills", "name", type_=sa.String(60), existing_type=sa.String(50), existing_nullable=False
    )


ONE_LOOK: dict[str, Callable[[], None]] = {
    "alter_column": widened,
    "add_column": add("more"),
    "create_index": lambda: helpers.create_index("ix_name", "bills", ["name"]),
    "create_unique_constraint": lambda: helpers.create_unique_constraint(
        "uq_name", "bills", ["name"]
    ),
}


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("verb", ONE_LOOK)
def test_text_of_the_table_is_the_only_look(database: Database, verb: str) -> None:
    prepare(database, BILLS)
    with revision(database), counted(database.engine) as statements:
        ONE_LOOK[verb]()
    looks = looks_of(database.name, statements)
    assert [look.split(" `")[0] for look in looks] == ["SHOW CREATE TABLE"], looks
