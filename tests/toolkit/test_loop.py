"""`run` with an asynchronous driver: it makes the loop, or finds one that runs already."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.databases import Database
from tests.toolkit.conftest import Project, current, rows, tables
from tests.toolkit.deployers import journal, start, until
from tests.toolkit.test_interrupts import SIGNALS, assert_in_words, interrupted
from tests.toolkit.test_refusals import SLOW

DRIVERS = {
    "sqlite": "aiosqlite",
    "postgresql": "asyncpg",
    "mariadb": "aiomysql",
    "mysql": "asyncmy",
}
# How env.py comes to its database.
FORMS = {
    "ini": "run(context)",
    "url": "run(context, {url!r})",
    "engine": "run(context, create_async_engine({url!r}))",
    "engine below": "run(context, create_async_engine({url!r}).sync_engine)",
    "options of an engine": "run(context, create_async_engine({url!r})"
    ".execution_options(compiled_cache=None))",
}
HEAD = """\
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from alembic_toolkit import run
"""


def asynchronous(database: Database) -> str:
    url = sa.make_url(database.url)
    driver = DRIVERS[database.name]
    pytest.importorskip(driver)
    query = {} if driver == "asyncpg" else url.query
    url = url.set(drivername=f"{url.get_backend_name()}+{driver}", query=query)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def url(database: Database) -> str:
    """Return the URL of the test's database, with an asynchronous driver."""
    return asynchronous(database)


@pytest.fixture
def project(tmp_path: Path, url: str) -> Project:
    """Return a project whose env.py names an asynchronous driver in its ini file."""
    made = Project(tmp_path / "project", url)
    made.write("migrations/env.py", HEAD + "run(context)\n")
    made.table("0001")
    made.table("0002", "0001")
    return made


def config(project: Project) -> Config:
    return Config(project.directory / "alembic.ini")


@pytest.mark.parametrize("form", FORMS)
def test_loop_is_made(project: Project, database: Database, url: str, form: str) -> None:
    project.write("migrations/env.py", HEAD + FORMS[form].format(url=url))
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0002"]
    assert project.alembic("current").out == "0002 (head)\n"
    assert project.alembic("downgrade", "base").status == 0
    assert tables(database) == {"alembic_version"}
    assert [one for *_, one in journal(database)] == ["done"] * 4


@pytest.mark.parametrize("form", FORMS)
def test_loop_that_runs_is_left_alone(
    project: Project, database: Database, url: str, form: str
) -> None:
    project.write("migrations/env.py", HEAD + FORMS[form].format(url=url))

    async def application() -> None:
        command.upgrade(config(project), "head")
        await asyncio.sleep(0)  # the loop goes on
        await asyncio.to_thread(command.downgrade, config(project), "0001")

    asyncio.run(application())
    assert current(database) == ["0001"]


def test_engine_of_an_application_is_used_by_both(
    project: Project, database: Database, url: str
) -> None:
    async def application() -> None:
        engine = create_async_engine(url, pool_size=1, max_overflow=0)
        count = "SELECT count(*) FROM alembic_version"
        given = config(project)
        given.attributes["connection"] = engine
        async with engine.connect() as connection:  # of a pool that has no more of them
            assert (await connection.execute(sa.text("SELECT 1"))).scalar() == 1
            await connection.rollback()
            command.upgrade(given, "head")
            assert (await connection.execute(sa.text(count))).scalar() == 1
        async with engine.connect() as connection:
            assert (await connection.execute(sa.text(count))).scalar() == 1
        await engine.dispose()

    asyncio.run(application())
    assert current(database) == ["0002"]


def test_connection_of_run_sync_is_used(project: Project, database: Database, url: str) -> None:
    async def application() -> None:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            given = config(project)

            def upgrade(synchronous: sa.Connection) -> None:
                given.attributes["connection"] = synchronous
                command.upgrade(given, "head")

            await connection.run_sync(upgrade)
        await engine.dispose()

    asyncio.run(application())
    assert current(database) == ["0002"]


def test_asynchronous_connection_is_refused_in_words(
    project: Project, database: Database, url: str
) -> None:
    async def application(engine: AsyncEngine) -> str:
        async with engine.connect() as connection:
            project.attributes["connection"] = connection
            message = project.refusal("upgrade", "head")
        await engine.dispose()
        return message

    message = asyncio.run(application(create_async_engine(url)))
    assert message.startswith("run() cannot use an AsyncConnection: nothing was run")
    assert "await connection.run_sync(" in message
    assert tables(database) == set()


@pytest.mark.databases("sqlite")
def test_database_in_memory_is_the_one_of_the_engine(project: Project) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=sa.StaticPool)
    project.attributes["connection"] = engine
    assert project.alembic("upgrade", "head").status == 0

    async def found() -> list[str]:
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda one: sa.inspect(one).get_table_names())
        await engine.dispose()
        return names

    assert "t_0002" in asyncio.run(found())


def test_no_session_is_left(project: Project, database: Database, url: str) -> None:
    query = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
        "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE db = database()",
    }
    for form in FORMS.values():
        project.write("migrations/env.py", HEAD + form.format(url=url))
        assert project.alembic("upgrade", "head").status == 0
        assert project.alembic("downgrade", "base").status == 0
    if database.kin in query:
        for _ in range(100):
            if rows(database, query[database.kin]) == [1]:
                break
            rows(database, {"postgresql": "SELECT pg_sleep(0.1)"}.get(database.kin, "DO SLEEP(.1)"))
        assert rows(database, query[database.kin]) == [1]


def test_error_of_a_revision_comes_through(project: Project, database: Database) -> None:
    project.revision("0003", "0002", upgrade="1 / 0")

    async def application() -> None:
        command.upgrade(config(project), "head")

    with pytest.raises(ZeroDivisionError):
        project.alembic("upgrade", "head")
    with pytest.raises(ZeroDivisionError):
        asyncio.run(application())
    assert current(database) == ["0002"]


# What needs no database


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "mysql+asyncmy", "sqlite+aiosqlite"])
def test_nothing_is_connected_to_for_scripts_and_files(tmp_path: Path, driver: str) -> None:
    path = "/none/none.db" if driver.startswith("sqlite") else "nobody:secret@127.0.0.1:1/none"
    project = Project(tmp_path / "project", f"{driver}://{path}")
    project.table("0001")
    assert "t_0001" in project.alembic("upgrade", "head", "--sql").out
    for argv in (["revision", "-m", "x"], ["heads"], ["history"], ["merge", "heads"]):
        assert project.alembic(*argv).status == 0
    if driver.startswith("sqlite"):
        return  # what fails to open leaves aiosqlite's own thread behind, which pytest sees
    message = project.refusal("upgrade", "0001")
    assert " cannot be used: " in message
    assert "secret" not in message
    assert "\n" not in message


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("package", "said"),
    [("aiosqlite", "its driver is not installed"), ("greenlet", "    pip install greenlet")],
)
def test_package_that_is_missing_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch, package: str, said: str
) -> None:
    env = "from alembic import context\nfrom alembic_toolkit import run\nrun(context)\n"
    project.write("migrations/env.py", env)
    monkeypatch.setitem(sys.modules, package, None)
    assert said in project.refusal("upgrade", "head")


# Ctrl-C


@pytest.mark.parametrize(
    ("form", "how", "code"), [("ini", *SIGNALS[0]), ("engine", *SIGNALS[1])], ids=["ini", "engine"]
)
def test_signal_ends_it_in_words(
    project: Project, database: Database, url: str, form: str, how: signal.Signals, code: int
) -> None:
    project.write("migrations/env.py", HEAD + FORMS[form].format(url=url))
    upgrade = "op.create_table('t_0001', sa.Column('id', sa.Integer))\nflag.touch()\n"
    upgrade += f"op.execute({SLOW[database.kin]!r})"
    for path in project.versions.glob("*.py"):
        path.unlink()
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bills (id INTEGER)"))
    status, printed = interrupted(project, how, upgrade=upgrade)
    assert_in_words(printed)
    assert status == code, printed
    assert "upgrade of 0001 was interrupted; " in printed
    assert journal(database) == [("0001", "up", "failed")]
    assert current(database) == []


APPLICATION = """\
import asyncio, signal
from alembic import command
from alembic.config import Config

async def application():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not the one of asyncio.run
    command.upgrade(Config("alembic.ini"), "head")

asyncio.run(application())
"""


def test_signal_of_an_application_interrupts_the_other_thread(
    project: Project, database: Database
) -> None:
    if database.name == "sqlite" and sys.version_info < (3, 11):
        pytest.skip("before Python 3.11 a task does not tell that it was cancelled")
    flag = project.write("application.py", APPLICATION).with_name("running")
    upgrade = f"import pathlib\npathlib.Path({str(flag)!r}).touch()\n"
    project.revision("0001", upgrade=f"{upgrade}op.execute({SLOW[database.kin]!r})")
    process = start(project, module="application")
    until(flag.exists)
    if query := RUNNING.get(database.kin):
        until(lambda: rows(database, query) == [1])
    else:
        time.sleep(0.5)  # SQLite cannot be asked
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT, printed  # a shell says 130
    assert printed.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in printed
    assert journal(database) == [("0001", "up", "failed")]
    assert current(database) == []


RUNNING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'",
    "mariadb": "SELECT count(*) FROM information_schema.processlist"
    " WHERE info = 'SELECT SLEEP(60)'",
}
