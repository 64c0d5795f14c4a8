"""Every ``env.py`` that templates, plugins and applications suggest."""

from __future__ import annotations

import importlib.util
import shutil
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from alembic_toolkit.cli import main
from alembic_toolkit.prove import results
from alembic_toolkit.prove.roundtrip import roundtrip
from alembic_toolkit.prove.settings import Settings
from tests.databases import Database
from tests.roundtrip.test_projects import INI, History, outcome, told

pytestmark = pytest.mark.long

sqlite = pytest.mark.databases("sqlite")


@pytest.fixture
def history(tmp_path: Path, database: Database) -> History:
    made = History(tmp_path / "project", database.url)
    create = "op.create_table('bills', sa.Column('id', sa.Integer, primary_key=True),"
    made.revision("0001", f"{create} sa.Column('title', sa.String(20)))", "op.drop_table('bills')")
    # It fails, and so the walk starts again, on an emptied database.
    made.revision("0002", "op.drop_table('missing')", "pass")
    made.revision("0003", "op.add_column('bills', sa.Column('paid', sa.Integer))", DROP)
    return made


DROP = """\
with op.batch_alter_table("bills") as batch:
    batch.drop_column("paid")
"""


def is_judged(history: History) -> None:
    """See that all is judged, that one fault is found, and nothing else."""
    found = history.prove()
    assert found.error == ""
    assert [line.partition(":")[0] for line in told(found)] == ["0002 up"], told(found)
    assert outcome(found, "0001", results.DOWN).status == results.PROVEN


HEAD = """\
import asyncio
import sqlalchemy as sa
from alembic import context
from sqlalchemy import Connection, Engine, pool

config = context.config
connectable = config.attributes.get("connection", None)

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

"""
FORMS = {
    "engine of pytest-alembic": """\
if connectable is None:
    connectable = sa.engine_from_config(config.get_section("alembic"))
with connectable.connect() as connection:
    migrate(connection)
""",
    "connection of the cookbook": "migrate(connectable)\n",
    "transaction of an engine": """\
with connectable.begin() as connection:
    migrate(connection)
""",
    "transaction of a connection": """\
context.configure(connection=connectable)
with connectable.begin():
    context.run_migrations()
""",
    "connection in a with": "with connectable as connection:\n    migrate(connection)\n",
    "connected twice, and disposed of": """\
with connectable.connect() as connection:
    connection.execute(sa.text("SELECT 1"))
    connection.commit()
with connectable.connect() as connection:
    migrate(connection)
connectable.dispose()
""",
    "asked what it is": """\
if isinstance(connectable, Connection):
    migrate(connectable)
elif isinstance(connectable, Engine):
    with connectable.connect() as connection:
        migrate(connection)
else:
    raise TypeError(type(connectable))
""",
    "asked whether it connects": """\
if hasattr(connectable, "connect"):
    assert connectable.url.get_backend_name() == connectable.dialect.name == connectable.name
    assert connectable.engine.pool and connectable.driver
    with connectable.connect() as connection:
        migrate(connection)
else:
    migrate(connectable)
""",
    "options of an engine": """\
connectable = connectable.execution_options(schema_translate_map={"tenant": None})
with connectable.connect() as connection:
    assert connection.get_execution_options()["schema_translate_map"] == {"tenant": None}
    migrate(connection)
""",
    "awaited": """\
async def main():
    async with connectable.connect() as connection:
        await connection.execute(sa.text("SELECT 1"))
        await connection.commit()
        await connection.run_sync(migrate)
    await connectable.dispose()

asyncio.run(main())
""",
    "awaited, in a transaction": """\
async def main():
    async with connectable.begin() as connection:
        await connection.run_sync(migrate)

asyncio.run(main())
""",
    "awaited, and closed": """\
async def main():
    connection = await connectable.connect()
    try:
        async with connection.begin():
            await connection.run_sync(migrate)
    finally:
        await connection.close()

asyncio.run(main())
""",
    "awaited, with what else there is": """\
async def main():
    async with connectable.connect() as connection:
        connection = await connection.execution_options(compiled_cache=None)
        assert (await connection.get_raw_connection()).dbapi_connection
        await connection.run_sync(migrate)
        await connection.aclose()

asyncio.run(main())
""",
    "level of isolation": """\
with connectable.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    migrate(connection)
""",
    "engine below": """\
with connectable.sync_engine.connect() as connection:
    migrate(connection)
""",
    "either, as it comes": """\
if hasattr(connectable, "run_sync"):
    asyncio.run(connectable.run_sync(migrate))
else:
    migrate(connectable)
""",
}


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("form", FORMS)
def test_connection_that_is_handed_over_is_an_engine_too(history: History, form: str) -> None:
    history.write("migrations/env.py", HEAD + FORMS[form])
    is_judged(history)


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize(
    "form",
    ["connection of the cookbook", "engine of pytest-alembic", "awaited", "level of isolation"],
)
def test_driver_of_the_project_is_used_when_it_is_asynchronous(history: History, form: str) -> None:
    driver = asynchronous(history)
    check = f"\nassert connectable.dialect.driver == {driver!r}\n"
    history.write("migrations/env.py", HEAD + check + FORMS[form])
    if driver == "asyncpg":  # psycopg would take it for a parameter
        head = "op.get_bind().exec_driver_sql(\"SELECT format('%I', 'a')\")\n"
        history.revision("0004", f"{head}op.create_table('t')", "op.drop_table('t')")
    is_judged(history)


def asynchronous(history: History) -> str:
    url = sa.make_url(history.url)
    driver = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}[url.get_backend_name()]
    pytest.importorskip(driver)
    url = url.set(drivername=f"{url.get_backend_name()}+{driver}", query={})
    history.url = url.render_as_string(hide_password=False)
    return driver


OF_VERSIONS = """\
from alembic import context
import sqlalchemy as sa

with sa.create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS meta"))
    connection.commit()
    context.configure(
        connection=connection, version_table="versions", version_table_schema="meta"
    )
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.databases("postgresql")
def test_version_table_in_a_schema_of_its_own_is_no_table_of_the_history(history: History) -> None:
    (history.directory / "migrations" / "env.py").write_text(OF_VERSIONS)
    is_judged(history)


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_driver_that_is_used_instead_is_named(history: History) -> None:
    url = sa.make_url(history.url)
    driver = {"postgresql": "psycopg_async"}.get(url.get_backend_name(), "asyncmy")
    if driver == "psycopg_async":
        history.write("migrations/env.py", HEAD + FORMS["awaited"])
    elif importlib.util.find_spec(driver):
        pytest.skip("the driver is there")
    url = url.set(drivername=f"{url.get_backend_name()}+{driver}", query={})
    history.url = url.render_as_string(hide_password=False)
    notes = history.prove().notes
    missing = ["pymysql is used, because No module named 'asyncmy'"]
    assert [note for note in notes if "is used" in note] == (missing if driver == "asyncmy" else [])


# Templates


@pytest.mark.parametrize("name", ["generic", "async", "pyproject", "pyproject_async"])
@pytest.mark.parametrize("driver", ["", "asynchronous"])
@pytest.mark.databases("sqlite", "postgresql")
def test_template_of_alembic_is_proven(history: History, name: str, driver: str) -> None:
    if driver:
        if "async" not in name:
            pytest.skip("the template wants another driver")
        asynchronous(history)
    elif "async" in name and history.url.startswith("sqlite"):
        pytest.skip("the driver cannot be awaited")
    versions = shutil.move(history.directory / "migrations" / "versions", history.directory)
    shutil.rmtree(history.directory / "migrations")
    (history.directory / "alembic.ini").unlink()
    files = Config(history.directory / "alembic.ini", history.directory / "pyproject.toml")
    command.init(files, str(history.directory / "migrations"), template=name)
    shutil.copytree(versions, history.directory / "migrations" / "versions", dirs_exist_ok=True)
    is_judged(history)


# Engines of an application

APPLICATION = """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from alembic import context
from app_of_test.db import engine

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.parametrize("options", ["", ", pool_size=1, max_overflow=0", ", pool_pre_ping=True"])
def test_pool_of_the_application_gives_out_no_session_of_an_emptied_database(
    history: History, options: str
) -> None:
    history.write("migrations/env.py", APPLICATION)
    history.write("app_of_test/__init__.py", "")
    engine = "import os\nimport sqlalchemy as sa\n"
    engine += f"engine = sa.create_engine(os.environ['DATABASE_URL']{options})\n"
    history.write("app_of_test/db.py", engine)
    is_judged(history)


@pytest.mark.databases("sqlite", "postgresql")
def test_asynchronous_pool_of_the_application_gives_out_no_such_session(history: History) -> None:
    asynchronous(history)
    env = APPLICATION.replace(
        "with engine.connect() as connection:\n", "def migrate(connection):\n"
    )
    env += "async def main():\n    async with engine.connect() as connection:\n"
    env += "        await connection.run_sync(migrate)\nimport asyncio\nasyncio.run(main())\n"
    history.write("migrations/env.py", env)
    history.write("app_of_test/__init__.py", "")
    engine = "import os\nfrom sqlalchemy.ext.asyncio import create_async_engine\n"
    engine += "engine = create_async_engine(os.environ['DATABASE_URL'])\n"
    history.write("app_of_test/db.py", engine)
    is_judged(history)


KEPT = {
    "connection": ("connection = engine.connect()", "db.connection"),
    "session": ("session = Session(engine)", "db.session.connection()"),
    "scoped session": ("session = scoped_session(sessionmaker(engine))", "db.session.connection()"),
    "one for all": ("", "db.engine.connect()"),
}


@pytest.mark.parametrize("kind", KEPT)
def test_connection_that_the_application_keeps_is_not_one_of_an_emptied_database(
    history: History, kind: str
) -> None:
    head, connection = KEPT[kind]
    with_, rest = APPLICATION.split("with engine.connect() as connection:\n")
    env = with_.replace(".db import engine", " import db") + f"connection = {connection}\n"
    history.write("migrations/env.py", env + textwrap.dedent(rest))
    history.write("app_of_test/__init__.py", "")
    engine = "import os\nimport sqlalchemy as sa\nfrom sqlalchemy.orm import *\n"
    pool = ", poolclass=sa.StaticPool" if kind == "one for all" else ""
    engine += f"engine = sa.create_engine(os.environ['DATABASE_URL']{pool})\n"
    history.write("app_of_test/db.py", f"{engine}{head}\n")
    is_judged(history)


# An asynchronous env.py that calls `run`, as in the README


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("given", ["", ", os.environ['DATABASE_URL']", ", engine"])
def test_run_that_makes_the_event_loop_is_proven(history: History, given: str) -> None:
    asynchronous(history)
    env = "import os\nfrom alembic import context\nfrom alembic_toolkit import run\n"
    env += "from sqlalchemy.ext.asyncio import create_async_engine\n"
    env += "engine = create_async_engine(os.environ['DATABASE_URL'])\n"
    history.write("migrations/env.py", f"{env}run(context{given})\n")
    is_judged(history)


@pytest.mark.databases("sqlite", "postgresql")
def test_run_in_an_event_loop_is_proven(history: History) -> None:
    asynchronous(history)
    env = """\
import asyncio
import os
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from alembic_toolkit.runner import run

async def main():
    async with create_async_engine(os.environ["DATABASE_URL"]).connect() as connection:
        await connection.run_sync(lambda synchronous: run(context, synchronous))

asyncio.run(main())
"""
    history.write("migrations/env.py", env)
    is_judged(history)


# Flask-Migrate


def as_flask_migrate(history: History) -> Path:
    (history.directory / "alembic.ini").unlink()
    history.write("migrations/alembic.ini", "[alembic]\n# template used to generate files\n")
    return history.directory / "migrations" / "alembic.ini"


@sqlite
def test_ini_of_flask_migrate_is_read_as_it_does(
    history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = as_flask_migrate(history)
    history.write("names_of_flask.py", "TITLE = 'title'\n")
    history.revision(
        "0004",
        "op.drop_column('bills', TITLE)",
        "op.add_column('bills', sa.Column(TITLE, sa.String(20)))",
        "from names_of_flask import TITLE",
    )
    monkeypatch.chdir(history.directory)
    assert main(["check", "-c", "migrations/alembic.ini"]) == 1
    assert "imports names_of_flask" in capsys.readouterr().out
    [found] = roundtrip(ini, Settings(urls=[history.url])).proofs
    assert (found.error, len(found.revisions)) == ("", 4)


# Which server


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_history_of_another_server_is_not_proven_on_sqlite(history: History) -> None:
    history.write("alembic.ini", INI + f"sqlalchemy.url = {history.url.replace('%', '%%')}\n")
    [found] = roundtrip(history.directory / "alembic.ini", Settings()).proofs
    titles = {"postgresql": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL"}
    title = titles[history.url.partition("+")[0]]
    assert f"the project's own is one of {title}" in found.error
    assert "What to do next:\n    alembic-toolkit roundtrip --url " in found.error


@sqlite
@pytest.mark.parametrize("url", ["", "driver://user:pass@localhost/dbname", "sqlite:///own.db"])
def test_history_is_proven_on_sqlite_when_no_other_server_is_known(
    history: History, url: str
) -> None:
    history.write("alembic.ini", INI + f"sqlalchemy.url = {url}\n")
    [found] = roundtrip(history.directory / "alembic.ini", Settings()).proofs
    assert found.error == ""
    assert not (history.directory / "own.db").exists()


def test_database_with_an_empty_version_table_is_empty(
    history: History, database: Database
) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    is_judged(history)


def test_database_with_a_version_is_not_empty(history: History, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0001')")
    with pytest.raises(CommandError, match="is not empty: it has table alembic_version"):
        history.prove()
