"""``execute(once=...)``: a step that is done exactly once, whatever ends the revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy import event

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_skipped,
    assert_unsafe,
    heard,
    is_act,
    outcome_of,
    prepare,
    revision,
    rows,
)
from tests.toolkit.conftest import Project, current

# What most projects have: Alembic's own template, and nothing of the toolkit.
PLAIN_ENV = """\
from alembic import context

connection = context.config.attributes.get("connection")
url = context.config.get_main_option("sqlalchemy.url")
options = {"transaction_per_migration": True}
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"})
else:
    context.configure(connection=connection, **options)
with context.begin_transaction():
    context.run_migrations()
"""
DOUBLE = 'helpers.execute("UPDATE bills SET amount = amount * 2", once="{}")\n'
UPGRADE = (
    DOUBLE.format("first")
    + """\
helpers.create_table("made", sa.Column("id", sa.Integer))
helpers.create_index("ix_made", "made", ["id"], postgresql_concurrently=True)
"""
    + DOUBLE.format("second")
    + 'helpers.create_table("last", sa.Column("id", sa.Integer))\n'
)
DOWNGRADE = """\
helpers.drop_table("last")
helpers.execute("UPDATE bills SET amount = amount / 4", once="first")
helpers.drop_table("made")
"""


@pytest.fixture(params=["plain", "run"])
def project(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Project:
    """Return a project at its first revision, with one bill of 1."""
    project = Project(tmp_path / "project", database.url)
    if request.param == "plain":
        project.write("migrations/env.py", PLAIN_ENV)
    head = "import alembic_helpers as helpers"
    bills = 'helpers.create_table("bills", sa.Column("amount", sa.Integer))'
    project.revision("a1", None, bills, 'helpers.drop_table("bills")', head)
    project.revision("a2", "a1", UPGRADE, DOWNGRADE, head)
    half = 'helpers.execute("UPDATE bills SET amount = amount / 2", once="half")'
    project.revision("a3", "a2", DOUBLE.format("double"), half, head)
    assert go(project, database, "upgrade", "a1") == 0
    prepare(database, "INSERT INTO bills VALUES (1)")
    return project


def go(project: Project, database: Database, *argv: str) -> Any:
    with database.engine.connect() as connection:
        project.attributes["connection"] = connection
        return project.alembic(*argv).status


def amount(database: Database) -> int:
    with database.engine.connect() as connection:
        [(found,)] = rows(connection, "SELECT amount FROM bills")
        return int(found)


def tables(database: Database) -> set[str]:
    with database.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


class Killed(Exception):
    """What ends a run in the middle."""


@contextmanager
def acts(database: Database, *kill_at: int) -> Iterator[list[str]]:
    """Collect the statements of revisions that change something; die before this one."""
    seen: list[str] = []

    def note(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if is_act(statement) and "alembic_version_history" not in statement:
            if len(seen) in kill_at:
                raise Killed
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("project", "direction", "start", "end", "wanted"),
    [("plain", "upgrade", "a1", "a2", 4), ("run", "downgrade", "a2", "a1", 1)],
    indirect=["project"],
)
def test_execute_is_done_once_when_killed_at_any_statement(
    direction: str, start: str, end: str, wanted: int, project: Project, database: Database
) -> None:
    back = {"upgrade": "downgrade", "downgrade": "upgrade"}[direction]
    go(project, database, "upgrade", start)
    with acts(database) as statements:
        go(project, database, direction, end)
    for number, statement in enumerate(statements):
        go(project, database, back, start)
        with acts(database, number), suppress(Killed):
            go(project, database, direction, end)
        go(project, database, direction, end)
        assert amount(database) == wanted, f"killed at {statement}"
        assert current(database) == [end]


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("project", ["run"], indirect=True)
def test_execute_runs_again_when_what_is_below_was_taken_back(
    project: Project, database: Database
) -> None:
    """Whoever goes down from a revision that is half done, instead of up."""
    with acts(database, 9), suppress(Killed):  # behind the first mark, and a DDL that commits it
        go(project, database, "upgrade", "a2")
    assert (amount(database), current(database)) == (2, ["a1"])
    prepare(database, "DROP TABLE made")
    go(project, database, "downgrade", "base")
    go(project, database, "upgrade", "a1")
    prepare(database, "INSERT INTO bills VALUES (1)")
    go(project, database, "upgrade", "a2")
    assert amount(database) == 4


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("project", ["plain"], indirect=True)
def test_execute_is_done_once_when_another_branch_goes_on_meanwhile(
    project: Project, database: Database
) -> None:
    head = "import alembic_helpers as helpers"
    project.revision(
        "b1", "a1", 'helpers.execute("UPDATE bills SET amount = 7", once="seven")\n', "pass", head
    )
    with acts(database, 6), suppress(Killed):
        go(project, database, "upgrade", "a2")
    assert amount(database) == 2
    assert go(project, database, "upgrade", "b1") == 0
    assert amount(database) == 7
    assert go(project, database, "upgrade", "a2") == 0
    assert amount(database) == 14  # doubled by the second step alone
    assert "alembic_version_once" not in tables(database)


def test_execute_leaves_no_mark_when_the_revision_is_done(
    project: Project, database: Database
) -> None:
    for _ in range(2):
        assert go(project, database, "upgrade", "a3") == 0
        assert amount(database) == 8
        assert "alembic_version_once" not in tables(database)
        assert go(project, database, "downgrade", "a1") == 0
        assert amount(database) == 1
        assert "alembic_version_once" not in tables(database)


def test_script_is_safe_to_run_twice(project: Project, database: Database) -> None:
    up = project.alembic("upgrade", "a1:a3", "--sql").out
    check_script(database, up, 8)
    is_guarded = "alembic_applied" in up
    if is_guarded and database.name == "sqlite":
        return  # it has no IF for a table that is made anew
    check_script(database, project.alembic("downgrade", "a3:a1", "--sql").out, 1)
    check_script(database, up, 8)


def check_script(database: Database, text: str, wanted: int) -> None:
    version = current(database)
    # The client dies in the middle of it, after the first step.
    if database.kin == "mariadb" and wanted == 8:
        half = text[: text.index("CREATE INDEX")]
        run_with_client(database, half[: half.rindex(";\n") + 1])
        assert (amount(database), current(database)) == (2, version)
    for _ in range(2):
        run_with_client(database, text)
        assert amount(database) == wanted
    assert current(database) != version
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT * FROM alembic_version_once") == []


# In one revision, without Alembic's commands


@pytest.fixture
def bills(database: Database) -> Database:
    prepare(database, "CREATE TABLE bills (amount INTEGER)", "INSERT INTO bills VALUES (1)")
    return database


def double(name: str = "cents") -> None:
    helpers.execute("UPDATE bills SET amount = amount * 2", once=name)


def test_execute_skips_when_its_mark_is_there(bills: Database) -> None:
    with revision(bills):
        assert_applied(double)
        assert assert_skipped(double).lines == ["skip execute cents: already done, says its mark"]
        assert_applied(lambda: double("other"))
        assert_applied(lambda: double("Other"))
    assert amount(bills) == 8


def test_execute_commits_its_mark_with_its_rows_when_in_an_autocommit_block(
    bills: Database,
) -> None:
    def both(sql: str) -> None:
        with helpers.get_context().autocommit_block():
            helpers.execute(sql, once="cents")

    with revision(bills):
        with pytest.raises(sa.exc.DBAPIError):
            both("UPDATE bills SET nothing = 1")
        with heard() as lines:
            both("UPDATE bills SET amount = amount * 2")
            both("UPDATE bills SET amount = amount * 2")
    assert [line.split()[0] for line in lines] == ["executed", "skip"]
    assert amount(bills) == 2


def test_execute_refuses_when_both_unless_and_once_are_given(bills: Database) -> None:
    with revision(bills), pytest.raises(CommandError, match="either unless or once"):
        helpers.execute("UPDATE bills SET amount = 2", unless="SELECT 1", once="cents")


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE bills ADD COLUMN paid INT",
        "/* hi */ ALTER TABLE bills ADD COLUMN paid INT",
        "-- hi\n  # ho\n/**/ALTER TABLE bills ADD COLUMN paid INT",
        "/*!40000 ALTER TABLE bills ADD COLUMN paid INT */",
        "/*M! DROP TABLE bills */",
        "OPTIMIZE TABLE bills",
        "ANALYZE LOCAL TABLE bills",
        "START TRANSACTION",
        "SET autocommit = 1",
        "SET @@session.autocommit = 1",
    ],
)
def test_execute_refuses_when_the_server_commits_the_statement_by_itself(
    sql: str, bills: Database
) -> None:
    if bills.name == "mysql" and sql.startswith(("ANALYZE UPDATE", "BEGIN NOT")):
        pytest.skip("MySQL has no such statement")
    with revision(bills):
        message = assert_unsafe(lambda: helpers.execute(sql, once="paid"), "commits it by itself")
    assert "helpers.create_index(...)" in message


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMPORARY TABLE scratch (id INT)",
        "/* ALTER TABLE */ UPDATE bills SET amount = 2",
        "-- ALTER TABLE\nUPDATE bills SET amount = 2",
        "ANALYZE UPDATE bills SET amount = 2",
        "BEGIN NOT ATOMIC UPDATE bills SET amount = 2; END",
        "SET @autocommit = 1",
    ],
)
def test_execute_is_done_once_when_the_statement_only_looks_as_if_it_committed(
    sql: str, bills: Database
) -> None:
    if bills.name == "mysql" and sql.startswith(("ANALYZE UPDATE", "BEGIN NOT")):
        pytest.skip("MySQL has no such statement")
    with revision(bills) as connection:
        helpers.execute("SET @marked = 1", once="first")  # which makes the table of marks
        marked = "SELECT COUNT(*) FROM alembic_version_once"
        helpers.execute(sql, once="second")
        assert rows(connection, marked) == [(2,)]
        connection.rollback()
        assert rows(connection, marked) == [(0,)]  # nothing was committed


@pytest.mark.parametrize("name", ["é" * 201, "cents ", "\ncents"])
def test_execute_refuses_when_the_name_cannot_be_a_mark(name: str, bills: Database) -> None:
    with revision(bills):
        outcome = outcome_of(lambda: double(name))
        assert isinstance(outcome.error, CommandError), outcome
        assert not outcome.changes, outcome
        assert "no name for a mark" in str(outcome.error)
        assert_applied(lambda: double("é" * 200))
    with pytest.raises(CommandError, match="no name for a mark"):
        written(bills, lambda: double(name))


@pytest.mark.databases("sqlite")
def test_execute_keeps_its_marks_beside_a_version_table_of_another_name(bills: Database) -> None:
    with revision(bills, version_table="versions"):
        double()
        assert helpers.table_exists("versions_once")


# Statements that commit by themselves, and do not look so

PROCEDURE = "CREATE PROCEDURE made() BEGIN {} END"
HIDDEN = {
    "prepared": "EXECUTE IMMEDIATE '{0}'",
    "with a setting": "SET STATEMENT max_statement_time = 100 FOR {0}",
    "in a block": "BEGIN NOT ATOMIC {0}; END",
    "called": "CALL made()",
}
MADE = "CREATE TABLE made (id INTEGER)"


def hidden(database: Database, how: str, *statements: str) -> str:
    """Return a statement that does others, in a way that its first word does not tell."""
    if database.name == "mysql" and how != "called":
        pytest.skip("MySQL has no such statement, and prepares no other within one")
    if how == "called":
        prepare(database, "DROP PROCEDURE IF EXISTS made")
        prepare(database, PROCEDURE.format("".join(f"{one};" for one in statements)))
    return HIDDEN[how].format("; ".join(statements))


@pytest.fixture
def hiding(tmp_path: Path, database: Database, request: pytest.FixtureRequest) -> Project:
    prepare(database, "CREATE TABLE bills (amount INTEGER)", "INSERT INTO bills VALUES (1)")
    project = Project(tmp_path / "project", database.url)
    if request.param == "plain":
        project.write("migrations/env.py", PLAIN_ENV)
    return project


def write(project: Project, sql: str) -> None:
    body = f"helpers.execute({sql!r}, once='made')\n" + DOUBLE.format("double")
    down = "helpers.execute('SELECT 1')"
    project.revision("a1", None, body, down, "import alembic_helpers as helpers")


on_mariadb = pytest.mark.databases("mariadb", "mysql")
both_ways = pytest.mark.parametrize("hiding", ["plain", "run"], indirect=True)


@on_mariadb
@both_ways
@pytest.mark.parametrize("how", HIDDEN)
def test_execute_runs_again_when_it_failed_behind_its_own_commit_and_was_mended(
    how: str, hiding: Project, database: Database
) -> None:
    write(hiding, hidden(database, how, "ALTER TABLE bills ADD COLUMN amount INTEGER"))
    with suppress(sa.exc.DBAPIError):
        assert go(hiding, database, "upgrade", "head") != 0
    assert (amount(database), current(database)) == (1, [])
    write(hiding, hidden(database, how, MADE))
    assert go(hiding, database, "upgrade", "head") == 0
    assert "made" in tables(database)
    assert amount(database) == 2
    assert "alembic_version_once" not in tables(database)


@on_mariadb
@both_ways
@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("is_done", [True, False])
def test_execute_stops_with_the_choice_when_it_was_killed_behind_its_own_commit(
    how: str, hiding: Project, database: Database, is_done: bool
) -> None:
    write(hiding, hidden(database, how, MADE))
    is_killed: list[bool] = []

    def kill(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if statement == HIDDEN[how].format(MADE) and not is_killed:
            is_killed.append(True)
            raise Killed

    event.listen(database.engine, "after_cursor_execute", kill)
    with suppress(Killed):
        go(hiding, database, "upgrade", "head")
    event.remove(database.engine, "after_cursor_execute", kill)
    assert is_killed
    for _ in range(2):
        with database.engine.connect() as connection:
            hiding.attributes["connection"] = connection
            message = hiding.refusal("upgrade", "head")
        assert "a run that was killed began it" in message
        assert "made" in tables(database)
        assert amount(database) == 1
    ways = [line.strip(" ;") for line in message.splitlines() if "WHERE" in line]
    if is_done:
        prepare(database, ways[0])
    else:
        prepare(database, "DROP TABLE made", ways[1])
    assert go(hiding, database, "upgrade", "head") == 0
    assert "made" in tables(database)
    assert amount(database) == 2
    assert "alembic_version_once" not in tables(database)


@on_mariadb
@both_ways
@pytest.mark.parametrize("how", ["in a block", "called"])
def test_execute_that_commits_in_its_middle_is_done_once_when_killed_anywhere(
    how: str, hiding: Project, database: Database
) -> None:
    more = "UPDATE bills SET amount = amount + 10"
    write(hiding, hidden(database, how, more, MADE, more))
    for _ in range(2):  # the first one makes the version table
        with acts(database) as statements:
            assert go(hiding, database, "upgrade", "head") == 0
        assert amount(database) == 42
        go(hiding, database, "downgrade", "base")
        prepare(database, "DROP TABLE made", "UPDATE bills SET amount = 1")
    for number, statement in enumerate(statements):
        with acts(database, number), suppress(Killed):
            go(hiding, database, "upgrade", "head")
        half = amount(database)
        if go(hiding, database, "upgrade", "head") == 0:
            assert amount(database) == 42, f"killed at {statement}"
        else:  # it cannot know
            assert half == amount(database) == 11, f"killed at {statement}"
            prepare(database, "DELETE FROM alembic_version_once")
            prepare(database, "DROP TABLE made", "UPDATE bills SET amount = 1")
            assert go(hiding, database, "upgrade", "head") == 0
        go(hiding, database, "downgrade", "base")
        prepare(database, "DROP TABLE made", "UPDATE bills SET amount = 1")
