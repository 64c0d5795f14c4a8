"""Ctrl-C and SIGTERM at any moment: words and a status, with every kind of driver."""

import signal
import textwrap
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import Database
from tests.toolkit.conftest import Project, current, rows
from tests.toolkit.deployers import journal, start, until
from tests.toolkit.test_refusals import SLOW

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
DRIVERS = {
    "sqlite": ["pysqlite", "aiosqlite"],
    "postgresql": ["psycopg", "psycopg_async", "asyncpg"],
    "mariadb": ["pymysql", "aiomysql", "asyncmy"],
}
ASYNCHRONOUS = """\
import asyncio
from alembic import context
from alembic_toolkit.runner import run
from sqlalchemy.ext.asyncio import create_async_engine


async def main():
    engine = create_async_engine({url!r})
    async with engine.connect() as connection:
        await connection.run_sync(lambda given: run(context, given))
    await engine.dispose()


asyncio.run(main())
"""


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bills (id INTEGER)"))
    return Project(tmp_path / "project", database.url)


def interrupted(project: Project, *signals: signal.Signals, upgrade: str) -> tuple[int, str]:
    """Return the status and the output of an upgrade that gets these signals when it is ready."""
    flag = project.directory / "running"
    touch = f"import os, pathlib, signal, time\nflag = pathlib.Path({str(flag)!r})\n"
    project.revision("0001", upgrade=touch + upgrade)
    process = start(
        project,
        "upgrade",
        "head",
        # a shell that starts us in the background has SIGINT ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for number in signals:
        until(flag.exists)
        flag.unlink()
        time.sleep(0.5)
        process.send_signal(number)
    printed, _ = process.communicate(timeout=30)
    return process.returncode, printed


def assert_in_words(printed: str) -> None:
    for noise in ("Traceback", "Exception ignored", "never retrieved", "never awaited"):
        assert noise not in printed, printed


@pytest.mark.long
@pytest.mark.parametrize(("how", "code"), SIGNALS)
@pytest.mark.parametrize("number", range(3))
def test_each_driver_ends_in_words(
    project: Project, database: Database, number: int, how: signal.Signals, code: int
) -> None:
    drivers = DRIVERS[database.kin]
    if number >= len(drivers):
        pytest.skip("no further driver")
    pytest.importorskip(drivers[number].removesuffix("_async").replace("pysqlite", "sqlite3"))
    url = sa.make_url(database.url)
    url = url.set(drivername=f"{url.get_backend_name()}+{drivers[number].removesuffix('_async')}")
    if number:
        address = url.render_as_string(hide_password=False)
        project.write("migrations/env.py", ASYNCHRONOUS.format(url=address))
    upgrade = "op.execute('INSERT INTO bills VALUES (1)')\nflag.touch()\n"
    upgrade += f"op.execute({SLOW[database.kin]!r})"
    status, printed = interrupted(project, how, upgrade=upgrade)
    assert_in_words(printed)
    assert status == code, printed
    assert "upgrade of 0001 was interrupted; nothing of it is kept." in printed
    assert journal(database) == [("0001", "up", "failed")]
    assert rows(database, "SELECT * FROM bills") == []
    assert current(database) == []


def test_statement_past_sqlalchemy_ends_in_words(project: Project, database: Database) -> None:
    upgrade = "from alembic_toolkit.database import driver\n"
    upgrade += "op.execute('INSERT INTO bills VALUES (1)')\nflag.touch()\n"
    upgrade += f"driver.run(op.get_bind(), {SLOW[database.kin]!r})"
    status, printed = interrupted(project, signal.SIGINT, upgrade=upgrade)
    assert_in_words(printed)
    assert status == 130, printed
    assert "upgrade of 0001 was interrupted; nothing of it is kept." in printed
    assert journal(database) == [("0001", "up", "failed")]
    assert rows(database, "SELECT * FROM bills") == []


@pytest.mark.parametrize(("how", "code"), SIGNALS)
@pytest.mark.databases("sqlite")
def test_second_signal_ends_what_the_first_one_has_to_clear_up(
    project: Project, how: signal.Signals, code: int
) -> None:
    upgrade = "try:\n    flag.touch()\n    time.sleep(60)\nfinally:\n    flag.touch()\n"
    status, printed = interrupted(project, how, how, upgrade=f"{upgrade}    time.sleep(60)")
    assert_in_words(printed)
    assert status == code, printed


@pytest.mark.parametrize(("how", "code"), SIGNALS)
@pytest.mark.databases("sqlite")
def test_error_of_what_was_interrupted_is_no_traceback(
    project: Project, how: signal.Signals, code: int
) -> None:
    upgrade = "try:\n    flag.touch()\n    time.sleep(60)\nfinally:\n    raise RuntimeError"
    status, printed = interrupted(project, how, upgrade=upgrade)
    assert_in_words(printed)
    assert status == code, printed


@pytest.mark.parametrize(("how", "code"), SIGNALS)
@pytest.mark.databases("sqlite")
def test_signal_that_comes_where_python_drops_errors_is_not_lost(
    project: Project, database: Database, how: signal.Signals, code: int
) -> None:
    upgrade = f"""
        class Dropped:
            def __del__(self):
                os.kill(os.getpid(), {int(how)})
                time.sleep(0.1)

        op.execute('INSERT INTO bills VALUES (1)')
        Dropped()
        time.sleep(20)
    """
    status, printed = interrupted(project, upgrade=textwrap.dedent(upgrade))
    assert_in_words(printed)
    assert status == code, printed
    assert "was interrupted; nothing of it is kept." in printed
    assert rows(database, "SELECT * FROM bills") == []
