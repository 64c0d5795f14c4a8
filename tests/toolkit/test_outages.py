"""A server that is killed in the middle of a statement, and started again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests import databases
from tests.databases import Database, Program
from tests.toolkit.conftest import Project, current, execute, rows
from tests.toolkit.deployers import end, journal, start, until

pytestmark = pytest.mark.long

HEAD = "import alembic_helpers as helpers"
SLOW = {"postgresql": "length(pg_sleep(0.02)::text)", "mariadb": "sleep(0.02)"}
NUMBERS = {
    "postgresql": "SELECT n, NULL FROM generate_series(1, 60) AS s (n)",
    "mariadb": "SELECT seq, NULL FROM seq_1_to_60",
}


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def program(request: pytest.FixtureRequest) -> Program:
    """Give a server of this module's own, that may be killed."""
    return databases.new_program(request.param)


@pytest.fixture
def lasting(program: Program) -> Iterator[Database]:
    """Give a database of that server, with a table to work on."""
    name = str(program.url.get_backend_name())
    database = databases.new_database(name, program)
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, times INTEGER)")
    execute(database, f"INSERT INTO bills {NUMBERS[name]}")
    yield database
    database.close()


@pytest.fixture
def project(tmp_path: Path, lasting: Database) -> Project:
    return Project(tmp_path / "project", lasting.url)


def assert_lost(printed: str, revision: str) -> None:
    assert "Traceback" not in printed, printed
    said = printed.partition("FAILED: ")[2]
    assert said.startswith(f"upgrade of {revision} lost its database; what was not committed is")
    assert "\n  asked  " in said
    assert "\n  found  " in said
    assert "When the database answers again, run the command again" in said


def test_backfill_goes_on_when_the_server_was_killed_in_a_page(
    project: Project, lasting: Database, program: Program
) -> None:
    times = f"COALESCE(times, 0) + 1 + {SLOW[lasting.name]}"
    backfill = f'helpers.backfill("bills", {{"times": sa.text("{times}")}}, '
    backfill += 'where="times IS NULL", batch_size=10)'
    project.revision("0001", None, backfill, head=HEAD)
    process = start(project, "upgrade", "head")
    until(lambda: rows(lasting, "SELECT count(*) FROM bills WHERE times = 1")[0] >= 10)
    databases.kill_all(program.pid)
    status, printed = end(process)
    assert status == 255, printed
    assert_lost(printed, "0001")
    program.start()
    assert 10 <= rows(lasting, "SELECT count(*) FROM bills WHERE times = 1")[0] < 60
    assert project.alembic("upgrade", "head").status == 0
    assert rows(lasting, "SELECT DISTINCT times FROM bills") == [1]
    assert current(lasting) == ["0001"]
    assert [row[-1] for row in journal(lasting)] == ["killed", "done"]


@pytest.mark.parametrize("program", ["postgresql"], indirect=True)  # others leave no part of one
def test_index_is_built_when_the_server_was_killed_in_its_build(
    project: Project, lasting: Database, program: Program
) -> None:
    index = 'helpers.create_index("ix", "bills", ["times"], postgresql_concurrently=True)'
    project.revision("0001", None, index, head=HEAD)
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    with lasting.engine.connect() as application:
        application.execute(sa.text("INSERT INTO bills VALUES (99)"))
        process = start(project, "upgrade", "head")
        until(lambda: rows(lasting, invalid) == [1])
        databases.kill_all(program.pid)
        application.invalidate()
    status, printed = end(process)
    assert status == 255, printed
    assert_lost(printed, "0001")
    program.start()
    assert rows(lasting, invalid) == [1]
    assert project.alembic("upgrade", "head").status == 0
    assert rows(lasting, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass") == [
        True
    ]
    assert rows(lasting, invalid) == [0]
    assert rows(lasting, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [0]
