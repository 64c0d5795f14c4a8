"""What ends a transaction unseen: by the driver, within a statement, or by a table of our own."""

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Project, execute, rows, tables
from tests.toolkit.test_attempts import ADD, MULTIPLY, reading
from tests.toolkit.test_autocommit import COUNTS

HEAD = "import alembic_helpers as helpers"
CURSOR = "cursor = op.get_bind().connection.cursor()\n"
COMMITS = {
    "the driver": MULTIPLY + "op.get_bind().connection.commit()\n",
    "the last of several statements": MULTIPLY + "op.execute('SELECT 1; COMMIT')\n",
    "the statement itself": "op.execute('UPDATE counts SET n = n * 100; COMMIT')\n",
    "a cursor": MULTIPLY + CURSOR + "cursor.execute('COMMIT')\n",
    "a cursor that wrote": "op.execute('SELECT 1')\n"
    + CURSOR
    + "cursor.execute('UPDATE counts SET n = n * 100')\nop.get_bind().connection.commit()\n",
    "the driver, of a verb": "helpers.execute('UPDATE counts SET n = n * 100')\n"
    "op.get_bind().connection.commit()\n",
}


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", COMMITS)
def test_what_is_committed_unseen_is_not_done_again(
    project: Project, database: Database, name: str
) -> None:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)", *COUNTS)
    project.revision("0001", upgrade=COMMITS[name] + ADD, head=HEAD)
    with reading(database):
        message = project.refusal("-x", "retry_for=0.4", "upgrade", "head")
    assert "what ran before this statement is kept" in message
    assert rows(database, "SELECT n FROM counts") == [100]


@pytest.mark.databases("mariadb", "mysql")
def test_what_the_driver_commits_is_not_done_again_when_rows_are_locked(
    project: Project, database: Database
) -> None:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)", *COUNTS)
    execute(database, "INSERT INTO bills VALUES (1)")
    update = "op.execute('UPDATE bills SET id = id + 1')\n"
    project.revision("0001", upgrade=COMMITS["the driver"] + update)
    with database.engine.connect() as other:
        other.exec_driver_sql("SELECT * FROM bills FOR UPDATE")
        message = project.refusal("-x", "retry_for=4", "-x", "lock_timeout=1", "upgrade", "head")
    assert "what ran before this statement is kept" in message
    assert rows(database, "SELECT n FROM counts") == [100]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("name", ["the driver", "a cursor", "the driver, of a verb"])
def test_what_the_driver_commits_on_sqlite_is_not_done_again(
    project: Project, database: Database, name: str
) -> None:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)", *COUNTS)
    lock = "import sqlite3\nother = sqlite3.connect(op.get_bind().engine.url.database)\n"
    lock += "other.execute('BEGIN IMMEDIATE')\n"
    project.revision("0001", upgrade=COMMITS[name] + lock + ADD, head=HEAD)
    message = project.refusal("-x", "retry_for=0.4", "upgrade", "head")
    assert "what ran before this statement is kept" in message
    assert rows(database, "SELECT n FROM counts") == [100]


@pytest.mark.parametrize("verb", ["", "once='add'"])
def test_record_commits_nothing_of_the_revision(
    project: Project, database: Database, verb: str
) -> None:
    execute(database, *COUNTS)
    verbs = f"helpers.execute('UPDATE counts SET n = n + 1', {verb})\n"
    project.revision("0001", upgrade=MULTIPLY + verbs + "raise RuntimeError('why')", head=HEAD)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="why"):
            project.alembic("upgrade", "head")
        assert rows(database, "SELECT n FROM counts") == [1]
    project.revision("0001", upgrade=MULTIPLY + verbs, head=HEAD)
    assert project.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [101]
    assert tables(database) == {"counts", "alembic_version"}


def test_savepoint_lives_when_a_verb_within_it_is_recorded(
    project: Project, database: Database
) -> None:
    execute(database, *COUNTS)
    nested = "with op.get_bind().begin_nested():\n    helpers.execute('UPDATE counts SET n = 2')\n"
    project.revision("0001", upgrade=nested + "op.execute('SELECT 1')", head=HEAD)
    assert project.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [2]
