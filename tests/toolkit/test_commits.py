"""Statements that commit, and do not say so: what they kept is not done again after a lock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from tests.databases import Database
from tests.toolkit.conftest import Project, execute, rows
from tests.toolkit.test_attempts import ADD, ADD_OTHER, reading, reading_until_tried, waits

MULTIPLY = "UPDATE counts SET n = n * 100"
TOUCH = "op.execute('UPDATE bills SET id = id + 1')\n"
PROCEDURE = f"CREATE PROCEDURE bump() BEGIN {MULTIPLY}; COMMIT; UPDATE counts SET m = m + 1; END"
UNFORESEEN = {
    "a procedure": "CALL bump()",
    "a block": f"BEGIN NOT ATOMIC {MULTIPLY}; COMMIT; UPDATE counts SET m = m + 1; END",
    "a label": f"BEGIN NOT ATOMIC {MULTIPLY}; CREATE TABLE made (id INTEGER); END",
}


@pytest.fixture
def bills(project: Project, database: Database) -> Project:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)", "INSERT INTO bills VALUES (1)")
    execute(database, "CREATE TABLE other (id INTEGER PRIMARY KEY)")
    execute(database, "CREATE TABLE counts (n INTEGER, m INTEGER)")
    execute(database, "INSERT INTO counts VALUES (1, 1)")
    return project


@contextmanager
def holding_row(database: Database) -> Iterator[None]:
    """Hold the row of `bills`."""
    with database.engine.connect() as connection:
        connection.execute(sa.text("SELECT id FROM bills FOR UPDATE"))
        yield
        connection.rollback()


SHORT = ("-x", "lock_timeout=1", "-x", "retry_for=2")


@pytest.mark.databases("mariadb")
@pytest.mark.parametrize("on", ["op", "helpers"])
@pytest.mark.parametrize("sql", UNFORESEEN.values(), ids=UNFORESEEN.keys())
def test_a_statement_that_commits_within_is_not_done_again(
    bills: Project, database: Database, sql: str, on: str
) -> None:
    execute(database, PROCEDURE)
    upgrade = f"{on}.execute({sql!r})\n{TOUCH}"
    bills.revision("0001", upgrade=upgrade, head="import alembic_helpers as helpers")
    with holding_row(database):
        message = bills.refusal(*SHORT, "upgrade", "head")
    assert "what ran before this statement is kept" in message
    assert rows(database, "SELECT n FROM counts") == [100]
    if on == "helpers":  # whose record knows what is done
        assert bills.alembic("upgrade", "head").status == 0
        assert rows(database, "SELECT n FROM counts") == [100]


@pytest.mark.databases("mariadb")
def test_what_a_statement_with_its_own_settings_did_is_not_done_again(
    bills: Project, database: Database
) -> None:
    sql = f"SET STATEMENT max_statement_time=100 FOR {MULTIPLY}"
    add = ADD_OTHER.replace("op.", "helpers.")  # commits it
    upgrade = f"op.execute({sql!r})\n{add}{TOUCH}"
    bills.revision("0001", upgrade=upgrade, head="import alembic_helpers as helpers")
    with holding_row(database):
        message = bills.refusal(*SHORT, "upgrade", "head")
    assert "what ran before this statement is kept" in message
    assert rows(database, "SELECT n FROM counts") == [100]


@contextmanager
def deadlock(database: Database) -> Iterator[None]:
    """Have a revision that changes `counts` and then `bills` be the victim of a deadlock."""
    begun = threading.Event()

    def application() -> None:
        with database.engine.begin() as connection:
            # InnoDB rolls back who changed fewer rows.
            connection.execute(sa.text("INSERT INTO other SELECT seq FROM seq_1_to_500"))
            connection.execute(sa.text("UPDATE bills SET id = 5"))
            begun.set()
            for _ in range(200):
                if waits(database):
                    break
            connection.execute(sa.text("UPDATE counts SET n = n + 1"))

    thread = threading.Thread(target=application)
    thread.start()
    begun.wait(30)
    yield
    thread.join()


@pytest.mark.databases("mariadb")
def test_what_a_deadlock_took_back_is_done_again(bills: Project, database: Database) -> None:
    touch = "EXECUTE IMMEDIATE 'UPDATE bills SET id = 2'"
    bills.revision("0001", upgrade=f"op.execute({MULTIPLY!r})\nop.execute({touch!r})")
    with deadlock(database):
        assert bills.alembic("-x", "lock_timeout=30", "upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [200]


@pytest.mark.databases("mariadb")
@pytest.mark.parametrize("commits", [True, False])
def test_of_a_block_that_met_a_deadlock_only_the_server_knows_what_is_kept(
    bills: Project, database: Database, commits: bool
) -> None:
    touch = f"BEGIN NOT ATOMIC {'COMMIT; ' * commits}{MULTIPLY}; UPDATE bills SET id = 2; END"
    bills.revision("0001", upgrade=f"op.execute({MULTIPLY!r})\nop.execute({touch!r})")
    with deadlock(database):
        message = bills.refusal("-x", "lock_timeout=30", "upgrade", "head")
    assert "what ran before this statement is rolled back, unless it committed it" in message
    assert rows(database, "SELECT n FROM counts") == [101 if commits else 2]


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    "sql",
    [
        f"{MULTIPLY}; COMMIT; BEGIN; UPDATE counts SET m = 2",
        f"{MULTIPLY}; COMMIT; BEGIN",
        f"{MULTIPLY};\n-- kept\ncommit and chain; UPDATE counts SET m = 2",
        f"{MULTIPLY}; END; BEGIN; LOCK TABLE counts",
    ],
)
def test_a_string_that_commits_and_begins_again_is_not_done_again(
    bills: Project, database: Database, sql: str
) -> None:
    bills.revision("0001", upgrade=f"op.execute({sql!r})\n{ADD}")
    with reading(database):
        message = bills.refusal("-x", "retry_for=0.4", "upgrade", "head")
    assert rows(database, "SELECT n FROM counts") == [100]
    assert "what ran before this statement is kept" in message


@pytest.mark.databases("postgresql")
def test_a_string_that_meets_a_lock_behind_its_commit_is_not_done_again(
    bills: Project, database: Database
) -> None:
    sql = f"{MULTIPLY}; COMMIT; SET lock_timeout = 99; ALTER TABLE bills ADD x INTEGER"
    bills.revision("0001", upgrade=f"op.execute({sql!r})")
    with reading(database):
        message = bills.refusal("-x", "retry_for=0.4", "upgrade", "head")
    assert rows(database, "SELECT n FROM counts") == [100]
    assert "what ran before this statement is kept" in message


@pytest.mark.databases("postgresql")
def test_a_body_with_a_commit_in_it_is_no_commit(bills: Project, database: Database) -> None:
    body = "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$BEGIN NULL; COMMIT; END$$; SELECT 1"
    bills.revision("0001", upgrade=f"op.execute({MULTIPLY!r})\nop.execute({body!r})\n{ADD}")
    with reading_until_tried(database):
        assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [100]
