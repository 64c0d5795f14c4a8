"""What has the name is of another kind: a view, or a table of this session alone."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    Act,
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    assert_unsafe,
    follow,
    prepare,
    revision,
    rows,
    run,
    way_on,
)

VIEW = ["CREATE TABLE t (id INT PRIMARY KEY, a INT)", "CREATE VIEW vw AS SELECT id, a FROM t"]
ALTERED: dict[str, Act] = {  # what no server does to a view
    "type": lambda: helpers.alter_column("vw", "a", type_=sa.BigInteger()),
    "null": lambda: helpers.alter_column("vw", "a", nullable=False, server_default="1"),
    "concurrently": lambda: helpers.alter_column(
        "vw", "a", nullable=False, postgresql_concurrently=True
    ),
    "renamed type": lambda: helpers.alter_column(
        "vw", "a", new_column_name="b", type_=sa.BigInteger()
    ),
    "drop": lambda: helpers.drop_column("vw", "a"),
    "add": lambda: helpers.add_column("vw", sa.Column("b", sa.Integer())),
    "index": lambda: helpers.create_index("ix", "vw", ["a"]),
    "unique": lambda: helpers.create_unique_constraint("uq", "vw", ["a"]),
    "check": lambda: helpers.create_check_constraint("ck", "vw", "a > 0"),
    "foreign key": lambda: helpers.create_foreign_key("fk", "t", "vw", ["a"], ["id"]),
    "backfill": lambda: helpers.backfill("vw", {"a": 1}, where="a = 2"),
}


@pytest.fixture
def view(database: Database) -> Database:
    prepare(database, *VIEW)
    return database


def test_verbs_of_tables_refuse_a_view(view: Database) -> None:
    with revision(view):
        for act in ALTERED.values():
            message = assert_missing_parent(act, "'vw' is a view, and no table")
            assert "helpers.replace_view('vw', 'SELECT ...')" in way_on(message)[0]
        assert_skipped(lambda: helpers.drop_column("vw", "nothing"))
        assert_skipped(lambda: helpers.drop_constraint("uq", "vw"))


def test_create_refuses_when_the_name_is_that_of_another_kind(view: Database) -> None:
    table = partial(helpers.create_table, "vw", sa.Column("id", sa.Integer()))
    acts: list[Act] = [
        lambda: helpers.create_view("t", "SELECT 1 AS a"),
        lambda: helpers.replace_view("t", "SELECT 1 AS a"),
    ]
    with revision(view):
        for act in acts:
            message = assert_conflict(act, "this is the name of a table")
            assert way_on(message)[2] == "helpers.rename_table('t', 't_old')"
        message = assert_conflict(lambda: helpers.rename_table("t", "vw"), "both 't' and 'vw'")
        assert way_on(message)[2] == "helpers.drop_view('vw')"
        follow(assert_conflict(table, "this is the name of a view"))
        assert_applied(table)
        assert_skipped(table)


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_rename_refuses_a_view_where_the_server_cannot(view: Database) -> None:
    with revision(view):
        rename = partial(helpers.rename_table, "vw", "owed")
        message = assert_missing_parent(rename, "'vw' is a view")
        assert "helpers.create_view('owed', 'SELECT ...')" in way_on(message)[0]
        column = partial(helpers.alter_column, "vw", "a", new_column_name="b")
        assert_missing_parent(column, "'vw' is a view")


@pytest.mark.databases("postgresql")
def test_verbs_do_to_a_view_what_the_server_does(view: Database) -> None:
    """As ``op`` does: ``ALTER TABLE`` takes a view for what it can do to one."""
    acts: list[Act] = [
        lambda: helpers.alter_column("vw", "a", server_default="1"),
        lambda: helpers.alter_column("vw", "a", comment="owed"),
        lambda: helpers.alter_column("vw", "a", new_column_name="b"),
        lambda: helpers.rename_table("vw", "owed"),
    ]
    with revision(view):
        for act in acts:
            assert_applied(act)
            assert_skipped(act)


@pytest.mark.databases("postgresql")
def test_script_renames_a_view(view: Database) -> None:
    def upgrade() -> None:
        helpers.alter_column("vw", "a", new_column_name="b")
        helpers.rename_table("vw", "owed")

    script = written(view, upgrade)
    run_with_client(view, script)
    with revision(view):
        assert helpers.view_exists("owed")
        assert helpers.table_has_column("owed", "b")


@pytest.mark.databases("postgresql")
def test_verbs_refuse_what_is_neither_a_table_nor_a_view(view: Database) -> None:
    prepare(
        view,
        "CREATE MATERIALIZED VIEW mv AS SELECT id, a FROM t",
        "CREATE SEQUENCE sq",
        "CREATE TYPE pair AS (a INT, b INT)",
    )
    kinds = {"mv": "a materialized view", "sq": "a sequence", "pair": "a type"}
    with revision(view):
        for name, kind in kinds.items():
            column = "last_value" if name == "sq" else "a"
            for act in (
                partial(helpers.drop_column, name, column),
                partial(helpers.alter_column, name, column, type_=sa.SmallInteger()),
                partial(helpers.alter_column, name, column, server_default="1"),
                partial(helpers.create_table_comment, name, "c"),
            ):
                assert_missing_parent(act, f"'{name}' is {kind}, and no table")
        for name in ("mv", "sq"):
            table = partial(helpers.create_table, name, sa.Column("id", sa.Integer()))
            assert_conflict(table, f"this is the name of {kinds[name]}")
            assert_conflict(
                partial(helpers.create_view, name, "SELECT 1 AS a"), f"the name of {kinds[name]}"
            )
        renamed = partial(helpers.rename_table, "mv", "mv2")
        assert_applied(renamed)
        assert_skipped(renamed)


# Tables of this session alone


HIDDEN: dict[str, Act] = {
    "add": lambda: helpers.add_column("t", sa.Column("b", sa.Integer())),
    "type": lambda: helpers.alter_column("t", "a", type_=sa.BigInteger()),
    "drop": lambda: helpers.drop_column("t", "a"),
    "check": lambda: helpers.create_check_constraint("ck", "t", "id > 0"),
    "index": lambda: helpers.create_index("ix", "t", ["id"]),
    "foreign key": lambda: helpers.create_foreign_key("fk", "t", "t", ["a"], ["id"]),
    "rename": lambda: helpers.rename_table("t", "t2"),
    "table": lambda: helpers.drop_table("t"),
}
SEEN = ("type", "drop")  # what MariaDB, which lists no temporary table, can be seen to hide


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_verbs_refuse_what_a_temporary_table_hides(view: Database) -> None:
    with revision(view) as connection:
        run(connection, "CREATE TEMPORARY TABLE t (id INTEGER, mine INTEGER)")
        assert helpers.table_exists("t") is True
        assert helpers.table_has_column("t", "a") is True
        assert helpers.table_has_column("t", "mine") is False
        for verb, act in HIDDEN.items():
            if view.name == "sqlite" or verb in SEEN:
                message = assert_unsafe(act, "a temporary table hides it")
                assert "helpers.execute('DROP TABLE t')" in way_on(message)[0]
        follow(message)
        assert_applied(HIDDEN["add"])
        assert_skipped(HIDDEN["add"])
        assert helpers.table_has_column("t", "b") is True


@pytest.mark.databases("postgresql")
def test_verbs_mean_the_temporary_table_when_one_hides_another(view: Database) -> None:
    with revision(view) as connection:
        run(connection, "CREATE TEMPORARY TABLE t (id INTEGER, mine INTEGER) ON COMMIT DROP")
        assert helpers.table_has_column("t", "mine") is True
        assert helpers.table_has_column("t", "a") is False
        assert helpers.table_has_column("t", "a", schema="public") is True
        assert_applied(lambda: helpers.drop_column("t", "mine"))
    with revision(view):
        assert helpers.table_has_column("t", "a") is True


def test_temporary_table_is_made_as_with_op(database: Database) -> None:
    with revision(database) as connection:
        for _ in range(2):
            helpers.create_table("mine", sa.Column("id", sa.Integer()), prefixes=["TEMPORARY"])
            run(connection, "INSERT INTO mine VALUES (1)")
            assert rows(connection, "SELECT * FROM mine") == [(1,)]
            run(connection, "DROP TABLE mine")


@pytest.mark.databases("sqlite")
def test_drop_table_refuses_when_the_table_is_of_this_session_alone(database: Database) -> None:
    with revision(database) as connection:
        run(connection, "CREATE TEMPORARY TABLE mine (id INTEGER)")
        message = assert_unsafe(lambda: helpers.drop_table("mine"), "a temporary table hides it")
        exec(way_on(message)[0], {"helpers": helpers})
        assert_skipped(lambda: helpers.drop_table("mine"))
