"""Once a guard of a script has refused, or a statement has failed, nothing acts: in any client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.databases import Database
from tests.helpers.scripts import run_to_the_end, run_with_client
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.test_script import HELPERS, safe, script, sql

SERVERS = ("postgresql", "mariadb", "mysql", "sqlite")


def held(database: Database) -> tuple[Any, ...]:
    """Return the tables of a database, with their rows."""
    found = tables(database)
    return sorted(found), [rows(database, f"SELECT * FROM {name}") for name in sorted(found)]


@pytest.fixture
def history(project: Project) -> Project:
    """Return a history of two branches, with rows."""
    insert = "op.execute('INSERT INTO t_{0} (id) VALUES (1)')\n"
    project.table("0001", upgrade=insert.format("0001"))
    project.table("0002", "0001", upgrade=insert.format("0002"))
    project.table("0003", "0002", upgrade="op.execute('UPDATE t_0001 SET id = id + 10')")
    project.table("0004", "0001", upgrade=insert.format("0004"))
    project.table("0005", "0004", upgrade=insert.format("0005"))
    return project


# The guard refuses


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize("goes_on", [True, False])
def test_nothing_acts_in_a_database_of_another_history(
    history: Project, database: Database, goes_on: bool
) -> None:
    execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(database, "INSERT INTO alembic_version VALUES ('zzz')")
    before = held(database)
    run(history, database, goes_on, "at a revision that this history does not have")
    assert held(database) == before


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize("goes_on", [True, False])
def test_nothing_acts_in_an_empty_database_below_the_beginning(
    history: Project, database: Database, goes_on: bool
) -> None:
    message = "revision 0003 comes after 0002, which is not there"
    run(history, database, goes_on, message, "--from", "0002", "--to", "0003")
    assert tables(database) == set()


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize("goes_on", [True, False])
def test_no_other_branch_acts_after_a_refusal(
    history: Project, database: Database, goes_on: bool
) -> None:
    history.alembic("upgrade", "0004")
    before = held(database)
    upgrade = script(history, "--from", "0002")
    message = "comes after 0002, which is not there"
    printed = goes(database, upgrade, goes_on)
    assert message in printed
    assert held(database) == before


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize("goes_on", [True, False])
def test_nothing_acts_when_a_later_revision_is_there(
    history: Project, database: Database, goes_on: bool
) -> None:
    history.alembic("upgrade", "0003")
    before = held(database)
    message = "0002 cannot be taken back: one that comes after it is there"
    run(history, database, goes_on, message, "--from", "0002", "--to", "0001")
    assert held(database) == before


@pytest.mark.databases("postgresql")
def test_nothing_outside_of_a_transaction_acts_after_a_refusal(
    history: Project, database: Database
) -> None:
    history.revision(
        "0006",
        "0003",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE TABLE outside (id INTEGER)')\n",
    )
    execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(database, "INSERT INTO alembic_version VALUES ('zzz')")
    goes(database, script(history, "--to", "0006"), goes_on=True)
    assert tables(database) == {"alembic_version"}


@pytest.mark.databases(*SERVERS)
def test_script_of_before_in_the_same_session_opens_no_door(
    history: Project, database: Database
) -> None:
    first = script(history, "--to", "0001")
    foreign = "UPDATE alembic_version SET version_num = 'zzz';\n"
    goes(database, first + foreign + script(history), goes_on=True)
    assert (current(database), tables(database)) == (["zzz"], {"alembic_version", "t_0001"})


# A statement fails


@pytest.mark.databases(*SERVERS)
def test_nothing_acts_after_a_statement_that_failed(history: Project, database: Database) -> None:
    history.revision(
        "0006",
        "0003",
        "op.execute('INSERT INTO t_0001 (id) VALUES (5)')\n"
        "op.execute('INSERT INTO t_0002 (id) VALUES (1)')\n"  # it is there already
        "op.execute('INSERT INTO t_0003 (id) VALUES (7)')\n",
    )
    history.table("0007", "0006")
    history.alembic("upgrade", "0003")
    before = held(database)
    goes(database, script(history, "--to", "0007"), goes_on=True)
    assert held(database) == before


@pytest.mark.databases("postgresql")
def test_nothing_acts_after_a_statement_that_failed_outside_of_a_transaction(
    history: Project, database: Database
) -> None:
    history.revision(
        "0006",
        "0003",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE UNIQUE INDEX CONCURRENTLY ix ON twice (id)')\n"
        "    op.execute('CREATE TABLE outside (id INTEGER)')\n",
    )
    history.alembic("upgrade", "0003")
    execute(database, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2)")
    goes(database, script(history, "--to", "0006"), goes_on=True)
    assert current(database) == ["0003"]
    assert "outside" not in tables(database)


@pytest.mark.databases("sqlite")
def test_sqlite_keeps_nothing_when_what_makes_something_failed(
    history: Project, database: Database
) -> None:
    history.revision("0006", "0003", "op.create_index('ix', 'twice', ['id'], unique=True)")
    history.alembic("upgrade", "0003")
    execute(database, "CREATE TABLE twice (id INTEGER)")
    execute(database, "INSERT INTO twice VALUES (1), (1)")
    goes(database, script(history, "--to", "0006"), goes_on=True)
    assert current(database) == ["0003"]


# SQLite has no condition for what makes or drops


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("goes_on", [True, False])
def test_downgrade_drops_nothing_of_a_database_that_stands_below(
    history: Project, database: Database, goes_on: bool
) -> None:
    history.alembic("upgrade", "0001")
    execute(database, "CREATE TABLE t_0002 (v TEXT)")
    execute(database, "INSERT INTO t_0002 VALUES ('mine')")
    before = held(database)
    message = "table t_0002 is there, but 0002 drops it and is not to be run here"
    run(history, database, goes_on, message, "--from", "0003", "--to", "0001")
    assert held(database) == before


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("goes_on", [True, False])
def test_upgrade_that_is_run_again_drops_nothing_that_was_made_since(
    project: Project, database: Database, goes_on: bool
) -> None:
    project.table("0001")
    project.revision("0002", "0001", "op.drop_table('t_0001')")
    run_with_client(database, script(project))
    run_with_client(database, script(project))
    execute(database, "CREATE TABLE T_0001 (v TEXT)")
    before = held(database)
    run(project, database, goes_on, "table t_0001 is there, but 0002 drops it")
    assert held(database) == before


@pytest.mark.databases("sqlite")
def test_upgrade_that_is_run_again_makes_nothing_that_was_dropped_since(
    project: Project, database: Database
) -> None:
    project.table("0001", upgrade="op.create_index('ix', 't_0001', ['id'])")
    run_with_client(database, script(project))
    execute(database, "DROP INDEX ix")
    run(project, database, True, "index ix is not there, but 0001 makes it")
    assert rows(database, "SELECT name FROM sqlite_master WHERE name = 'ix'") == []


@pytest.mark.databases("sqlite")
def test_table_of_that_name_stops_a_revision_that_makes_it(
    project: Project, database: Database
) -> None:
    project.table("0001")
    execute(database, "CREATE TABLE t_0001 (v TEXT)")
    run(project, database, True, "there is already a table t_0001")
    assert tables(database) == {"t_0001"} | (tables(database) & {"alembic_version"})
    assert current(database) == []


@pytest.mark.databases("sqlite")
def test_index_that_goes_with_its_table_is_no_surprise(
    project: Project, database: Database
) -> None:
    project.table("0001", upgrade="op.create_index('ix', 't_0001', ['id'])")
    project.revision("0002", "0001", "op.drop_table('t_0001')")
    for _ in range(3):
        run_with_client(database, script(project))
        assert tables(database) == {"alembic_version"}


@pytest.mark.databases("sqlite")
def test_views_are_replaced_as_often_as_the_script_is_run(
    project: Project, database: Database
) -> None:
    project.revision(
        "0001", upgrade=safe("t") + "helpers.create_view('v', 'SELECT 1 AS a')", head=HELPERS
    )
    project.revision("0002", "0001", "helpers.replace_view('v', 'SELECT 2 AS a')", head=HELPERS)
    for _ in range(3):
        run_with_client(database, script(project))
        assert rows(database, "SELECT a FROM v") == [2]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "text",
    ["SELECT 'open", "INSERT INTO t VALUES ('a", "CREATE TABLE t (a) /* ", "DROP TABLE t; VACUUM"],
)
def test_sqlite_refuses_what_would_swallow_the_rest(project: Project, text: str) -> None:
    project.revision("0001", upgrade=f"op.execute({text!r})")
    outcome = sql(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert "revision 0001 cannot be part of a script for SQLite" in outcome.err


# Marks, and whatever a condition asks for


@pytest.mark.databases(*SERVERS)
def test_script_with_marks_runs_on_a_database_above(project: Project, database: Database) -> None:
    project.revision("0001", upgrade=safe("t"), head=HELPERS)
    once = "helpers.execute('INSERT INTO t VALUES (1)', once='one')\n"
    project.revision("0002", "0001", once, head=HELPERS)
    project.revision("0003", "0002", safe("u"))
    project.alembic("upgrade", "0003")
    for _ in range(2):
        run_with_client(database, script(project))
        assert (current(database), rows(database, "SELECT id FROM t")) == (["0003"], [1])


@pytest.mark.databases("mariadb", "mysql", "postgresql")
def test_condition_may_ask_for_what_is_gone(project: Project, database: Database) -> None:
    project.revision("0001", upgrade=safe("t") + safe("u"), head=HELPERS)
    unless = "helpers.execute('INSERT INTO u VALUES (1)', unless='SELECT 1 FROM t')\n"
    project.revision("0002", "0001", unless, head=HELPERS)
    project.revision("0003", "0002", "op.drop_table('t')")
    for _ in range(2):
        run_with_client(database, script(project))
        assert (current(database), rows(database, "SELECT id FROM u")) == (["0003"], [1])


@pytest.mark.databases("postgresql")
def test_first_line_has_psql_stop(history: Project) -> None:
    assert script(history).splitlines()[0] == r"\set ON_ERROR_STOP on"


def goes(database: Database, text: str, goes_on: bool) -> str:
    if goes_on:
        return run_to_the_end(database, text)
    with pytest.raises(AssertionError) as raised:
        run_with_client(database, text)
    return str(raised.value)


def run(project: Project, database: Database, goes_on: bool, message: str, *argv: str) -> None:
    end = () if "--to" in argv else ("--to", "heads")
    assert message in goes(database, script(project, *argv, *end), goes_on)
