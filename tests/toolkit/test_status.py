"""`alembic-toolkit status`: a line for each database, whatever state it is in."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alembic_toolkit.fleet import processes
from tests.databases import Database, new_database
from tests.toolkit.conftest import Outcome, Project, execute, rows, tables
from tests.toolkit.fleets import command, made, plain, row, stranger, tenants


def status(project: Project, *argv: str, **urls: str) -> Outcome:
    return command(project, "status", *argv, **urls)


def cells(outcome: Outcome, name: str) -> list[str]:
    return re.split(r" {2,}", row(outcome, name))


# What cannot be looked at


def test_status_is_a_line_when_nobody_listens(offline: Project) -> None:
    outcome = status(
        offline,
        one="postgresql+psycopg://me:s3cret@127.0.0.1:1/none",
        two="mariadb+pymysql://me:s3cret@127.0.0.1:1/none",
        three="postgresql+nothing://me:s3cret@127.0.0.1:1/none",
    )
    assert outcome.status == 2
    assert row(outcome, "one").startswith("one       cannot be reached: ")
    assert row(outcome, "two").startswith("two       cannot be reached: ")
    assert "driver cannot be used" in row(outcome, "three")
    assert "s3cret" not in outcome.out + outcome.err


def test_status_is_a_line_when_the_host_does_not_answer(offline: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        outcome = status(
            offline,
            "--timeout=0.5",
            one=f"postgresql+psycopg://me:s3cret@{address}/none",
            two=f"mariadb+pymysql://me:s3cret@{address}/none",
        )
    assert outcome.status == 2
    assert cells(outcome, "one") == ["one", "no answer within 0.5 seconds"]
    assert cells(outcome, "two") == ["two", "no answer within 0.5 seconds"]


@pytest.mark.databases("sqlite")
def test_status_is_a_line_when_env_py_does_not_end(
    project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.05)
    database.engine.connect().close()
    project.write("migrations/env.py", "import time\ntime.sleep(60)\n")
    outcome = status(project, "--timeout=10", one=database.url)
    assert outcome.status == 2
    assert cells(outcome, "one") == ["one", "not looked at within 0.5 seconds"]


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_status_shows_no_password_when_it_is_wrong(project: Project, database: Database) -> None:
    url = stranger(database, "s3cr t/@")
    outcome = status(project, f"--url={url}", one=url)
    assert outcome.status == 2
    assert "nobody_here" in row(outcome, "one")
    assert "nobody_here:***@" in outcome.out
    assert "s3cr" not in outcome.out + outcome.err


def test_status_makes_no_file_when_there_is_none(offline: Project, tmp_path: Path) -> None:
    outcome = status(offline, one=f"sqlite:///{tmp_path / 'none.db'}")
    assert outcome.status == 2
    assert cells(outcome, "one") == ["one", "there is no such file"]
    assert not (tmp_path / "none.db").exists()


def test_status_is_a_line_when_the_file_is_no_database(offline: Project, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database. " * 100)
    outcome = status(offline, one=f"sqlite:///{tmp_path / 'text.db'}")
    assert outcome.status == 2
    assert "file is not a database" in row(outcome, "one")


def test_status_writes_nothing_when_env_py_would(project: Project, database: Database) -> None:
    project.revision("0001")
    database.engine.connect().close()  # SQLite's file
    plain(project)
    env = project.directory / "migrations" / "env.py"
    creates = "connection.exec_driver_sql('CREATE TABLE made (id INTEGER)')\n    context.configure"
    env.write_text(env.read_text().replace("context.configure", creates))
    outcome = status(project, one=database.url)
    assert outcome.status == 2
    assert "CREATE TABLE made" in outcome.out
    assert tables(database) == set()


def test_status_is_a_line_when_env_py_uses_another_database(
    project: Project, database: Database, tmp_path: Path
) -> None:
    plain(project, url=repr(f"sqlite:///{tmp_path / 'other.db'}"))
    env = project.directory / "migrations" / "env.py"
    env.write_text(env.read_text().replace("given or", "False or"))
    (tmp_path / "other.db").touch()
    database.engine.connect().close()
    outcome = status(project, one=database.url)
    assert outcome.status == 2
    assert "does not use the database that it is told to" in row(outcome, "one")
    assert "What to do next, in env.py:" in outcome.out


# What is in it


def test_status_says_empty_when_the_database_is(project: Project, database: Database) -> None:
    project.table("0001")
    project.table("0002", "0001")
    database.engine.connect().close()
    outcome = status(project)  # of env.py
    assert outcome.status == 1
    name = sa.make_url(database.url).set(query={}).render_as_string()
    assert cells(outcome, name) == [name, "(empty)", "2", "-", "-"]
    assert tables(database) == set()
    execute(database, "CREATE TABLE t (id INTEGER)")
    assert cells(status(project, one=database.url), "one") == ["one", "(none)", "2", "-", "-"]


def test_status_says_unknown_when_no_file_has_the_revision(
    project: Project, database: Database
) -> None:
    project.table("0001")
    last = project.table("0002", "0001")
    assert project.alembic("upgrade", "head").status == 0
    last.unlink()
    outcome = status(project, one=database.url)
    assert outcome.status == 1
    assert cells(outcome, "one")[1:4] == ["0002 (unknown)", "?", "deleted: 0002"]
    assert "one: no file here has 0002" in outcome.out


def test_status_is_sound_when_the_database_is_at_head(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, one=database.url)
    assert outcome.status == 0
    name, revision, behind, files, last = cells(outcome, "one")
    assert (name, revision, behind, files) == ("one", "0001 (head)", "0", "as applied")
    assert re.fullmatch(
        rf"0001 up, done in \d+\.\d s, \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \S+ pid {os.getpid()}",
        last,
    )


def test_status_says_edited_when_a_file_changed(project: Project, database: Database) -> None:
    first = project.table("0001")
    project.table("0002", "0001")
    assert project.alembic("upgrade", "0001").status == 0
    first.write_text(first.read_text() + "x = 1\n")
    outcome = status(project, one=database.url)
    assert outcome.status == 1
    assert cells(outcome, "one")[1:4] == ["0001", "1", "edited: 0001"]
    assert "one: the file of 0001 was edited" in outcome.out


def test_status_accepts_a_file_that_changed(project: Project, database: Database) -> None:
    files = [project.table("0001"), project.table("0002", "0001"), project.table("0003", "0002")]
    assert project.alembic("upgrade", "head").status == 0
    files[0].write_text(files[0].read_text() + "x = 1\n")
    files[1].unlink()
    project.table("0003", "0001")
    assert cells(status(project, one=database.url), "one")[3] == "edited: 0001, 0003; deleted: 0002"
    outcome = status(project, "--accept=0001", "--accept=0002", one=database.url)
    assert outcome.status == 1
    assert cells(outcome, "one")[3] == "edited: 0003"
    assert status(project, "--accept=0003", one=database.url).status == 0
    files[0].write_text(files[0].read_text() + "y = 1\n")
    assert cells(status(project, one=database.url), "one")[3] == "edited: 0001"


def test_status_accepts_nothing_when_the_file_is_as_applied(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, "--accept=0001", one=database.url)
    assert outcome.status == 2
    assert "--accept 0001: its file has not changed" in row(outcome, "one")
    assert len(execute_all(database, "SELECT 1 FROM alembic_version_history")) == 1


def test_upgrade_says_which_files_changed(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first = project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    first.write_text(first.read_text() + "# a remark\n")
    assert project.alembic("upgrade", "head").status == 0
    assert "edited or deleted since" not in caplog.text
    first.write_text(first.read_text() + "x = 1\n")
    assert project.alembic("upgrade", "head").status == 0
    assert "0001: its file has been edited or deleted since" in caplog.text


def test_status_says_why_when_the_last_run_failed(project: Project, database: Database) -> None:
    project.table("0001", upgrade="1 / 0")
    with pytest.raises(ZeroDivisionError):
        project.alembic("upgrade", "head")
    outcome = status(project, one=database.url)
    assert outcome.status == 1
    assert "0001 up, failed in" in row(outcome, "one")
    assert "one: 0001 failed: ZeroDivisionError: division by zero" in outcome.out


@pytest.mark.databases("postgresql")
def test_status_shows_no_password_when_the_journal_has_it(
    project: Project, database: Database
) -> None:
    project.table("0001", upgrade="raise ValueError('s3cr t/@')")
    with pytest.raises(ValueError, match="s3cr"):
        project.alembic("upgrade", "head")
    given = sa.make_url(database.url).set(password="s3cr t/@")
    outcome = status(project, one=given.render_as_string(hide_password=False))
    assert "one: 0001 failed: ValueError: ***" in outcome.out


def test_status_has_no_journal_when_env_py_keeps_none(project: Project, database: Database) -> None:
    project.table("0001")
    plain(project, ", version_table='versions'")
    project.attributes["connection"] = database.engine.connect()
    assert project.alembic("upgrade", "head").status == 0
    project.attributes["connection"].close()
    outcome = status(project, one=database.url)
    assert outcome.status == 0
    assert cells(outcome, "one") == ["one", "0001 (head)", "0", "-", "-"]


@pytest.mark.databases("postgresql")
def test_status_looks_where_the_version_table_is(project: Project, database: Database) -> None:
    project.table("0001")
    env = project.directory / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace(
            "run(context", "run(context, version_table='versions', version_table_schema='apart'"
        )
    )
    execute(database, "CREATE SCHEMA apart")
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, one=database.url)
    assert outcome.status == 0
    assert cells(outcome, "one")[1:4] == ["0001 (head)", "0", "as applied"]


# Drift


MODELS = """\
import sqlalchemy as sa
from alembic import context
from alembic_toolkit.runner import run

metadata = sa.MetaData()
sa.Table(
    "t_0001",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),{more}
)
run(context, target_metadata=metadata)
"""
CURRENCY = """
    sa.Column("currency", sa.String(3), server_default="EUR"),
    sa.CheckConstraint("currency <> ''", name="ck_id"),"""


@pytest.fixture
def scratch(database: Database) -> Iterator[list[str]]:
    """Return the options that give a scratch database of a server, where one must be given."""
    if database.name in ("sqlite", "postgresql"):
        yield []
        return
    empty = new_database(database.name)
    yield ["--scratch", empty.url]
    with empty.engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    empty.close()


def test_status_says_drift_when_the_models_differ(
    project: Project, database: Database, scratch: list[str]
) -> None:
    project.table("0001")
    project.write("migrations/env.py", MODELS.format(more=""))
    assert project.alembic("upgrade", "head").status == 0
    execute(database, "CREATE TABLE alembic_version_once (revision VARCHAR(9))")
    outcome = status(project, "--drift", *scratch, one=database.url)
    assert outcome.status == 0
    assert cells(outcome, "one")[4] == "none"
    execute(database, "CREATE TABLE other (id INTEGER)")
    execute(database, "ALTER TABLE t_0001 ADD currency VARCHAR(3) DEFAULT 'USD'")
    project.write("migrations/env.py", MODELS.format(more=CURRENCY))
    outcome = status(project, "--drift", *scratch, one=database.url)
    assert outcome.status == 1
    assert cells(outcome, "one")[4] == "3", outcome.out
    lines = outcome.out.splitlines()
    assert "  - table other" in lines
    assert "  ~ column t_0001.currency: default 'USD' -> 'EUR'" in lines
    assert any(line.startswith("  + check ck_id on t_0001: ") for line in lines)
    assert "    helpers.create_check_constraint('ck_id', 't_0001', \"currency <> ''\")" in lines
    # The database may be right, too; but then nothing is to be done for the check.
    place = lines.index("  or, where the database is right, in the models:")
    assert lines[place + 1 : place + 3] == [
        "    add table other",
        "    change column t_0001.currency",
    ]


@pytest.mark.databases("mariadb")
def test_status_says_what_is_not_judged_without_a_scratch_database(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.write("migrations/env.py", MODELS.format(more=CURRENCY))
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, "--drift", one=database.url)
    assert cells(outcome, "one")[4] == "1"  # by Alembic alone
    assert "one, not judged: there is no scratch database of MariaDB" in outcome.out
    assert "--scratch mariadb+pymysql://user:password@host/scratch" in outcome.out
    assert "not checks, server defaults" in outcome.out
    outcome = status(project, "--drift", "--scratch", database.url, one=database.url)
    assert "is not empty" in outcome.out
    assert outcome.status == 1


@pytest.mark.databases("sqlite")
def test_status_judges_no_drift_when_the_models_are_incomplete(
    project: Project, database: Database
) -> None:
    project.table("0001")
    key = '\n    sa.Column("user", sa.Integer, sa.ForeignKey("users.id")),'
    project.write("migrations/env.py", MODELS.format(more=key))
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, "--drift", one=database.url)
    assert outcome.status == 2
    assert cells(outcome, "one")[4] == "?"
    assert "one, not judged: the models cannot be compared: NoReferencedTableError" in outcome.out


@pytest.mark.databases("sqlite")
def test_status_is_a_line_when_there_are_no_models(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, "--drift", one=database.url)
    assert outcome.status == 2
    assert "--drift: env.py gives no target_metadata" in row(outcome, "one")


def execute_all(database: Database, query: str) -> list[Any]:
    with database.engine.connect() as connection:
        return [*connection.execute(sa.text(query))]


# Many


@pytest.mark.long
def test_status_asks_all_of_fifty_tenants(offline: Project, tmp_path: Path) -> None:
    offline.table("0001")
    urls = tenants(tmp_path, 50)
    for url in urls.values():
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0001')")
    outcome = status(offline, **urls)
    assert outcome.status == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["database", *urls]
    assert made(urls["tenant50"]) == {"alembic_version"}


def test_status_is_json_when_asked(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, "--json", one=database.url, two="sqlite:////none/none.db")
    assert outcome.status == 2
    one, two = json.loads(outcome.out)["databases"]
    assert {*one} == {*two}
    assert one["last"].pop("who").endswith(f"pid {os.getpid()}")
    assert one["last"].pop("started") <= one["last"].pop("finished")
    assert one["last"]["outcome"] == "done"
    del one["last"], two["last"]
    assert one == {
        "name": "one",
        "error": None,
        "revisions": ["0001"],
        "unknown": [],
        "behind": 0,
        "heads": ["0001"],
        "empty": False,
        "edited": [],
        "drift": None,
        "write": [],
        "unjudged": None,
        "sound": True,
    }
    assert (two["error"], two["behind"], two["sound"]) == ("there is no such file", None, False)


# Their names


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("one=postgresql+psycopg://me:s3@cret@host/name", "cannot be read"),
        ("one=nonsense s3cret", "cannot be read"),
        ("production", "neither a URL nor the name of a database; pyproject.toml names staging"),
    ],
)
def test_status_is_refused_when_a_url_cannot_be_read(
    offline: Project, url: str, words: str
) -> None:
    offline.write("pyproject.toml", '[tool.alembic-toolkit.databases]\nstaging = "sqlite://"\n')
    outcome = status(offline, f"--url={url}")
    assert outcome.status == 2
    assert words in outcome.err
    assert "cret" not in outcome.err


def test_status_is_refused_when_two_databases_have_one_name(offline: Project) -> None:
    outcome = status(offline, "--url=one=sqlite:///a.db", "--url=one=sqlite:///b.db")
    assert outcome.status == 2
    assert "two databases are called one" in outcome.err


def test_status_takes_databases_from_the_settings(
    offline: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.table("0001")
    (tmp_path / "here.db").touch()
    monkeypatch.setenv("HERE", str(tmp_path / "here.db"))
    offline.write(
        "pyproject.toml",
        "[tool.alembic-toolkit.databases]\n"
        'staging = "sqlite:///$HERE"\n'
        'production = "${PRODUCTION_URL}"\n',
    )
    outcome = status(offline)
    assert outcome.status == 2  # of one nothing can be told
    assert cells(outcome, "staging")[1] == "(empty)"
    assert cells(outcome, "production") == ["production", "the environment has no PRODUCTION_URL"]
    assert "production" not in status(offline, "--url=staging").out


def test_status_is_refused_when_there_is_no_history(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    (project.directory / "alembic.ini").unlink()
    outcome = status(project, one="sqlite:///a.db")
    assert outcome.status == 2
    assert "with an [alembic] section" in outcome.err


# An env.py for an engine


@pytest.mark.parametrize("awaited", [False, True])
def test_connection_that_is_handed_over_is_an_engine_too(
    project: Project, database: Database, awaited: bool
) -> None:
    project.table("0001")
    database.engine.connect().close()
    env = """\
import asyncio
from alembic import context

connectable = context.config.attributes.get("connection", None)

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

"""
    if awaited:
        env += "async def main():\n    async with connectable.connect() as connection:\n"
        env += "        await connection.run_sync(migrate)\nasyncio.run(main())\n"
    else:
        env += "with connectable.connect() as connection:\n    migrate(connection)\n"
    project.write("migrations/env.py", env)
    url = sa.make_url(database.url)
    if awaited and url.get_backend_name() == "sqlite":
        pytest.importorskip("aiosqlite")
        url = url.set(drivername="sqlite+aiosqlite")
    shown = url.render_as_string(hide_password=False)
    assert cells(status(project, one=shown), "one")[:3] == ["one", "(empty)", "1"]
    assert command(project, "upgrade", one=shown).status == 0
    assert cells(status(project, one=shown), "one")[:3] == ["one", "0001 (head)", "0"]


# Nothing can write


TAKES_BACK = (
    "SELECT 1",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET SESSION TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET transaction_read_only = off",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SET @@session.tx_read_only = 0",
    "COMMIT",
    "/* now */ COMMIT",
    "START TRANSACTION READ WRITE",
    "SET autocommit = 1",
    "PRAGMA query_only = OFF",
)


@pytest.mark.parametrize(
    "level",
    ["", ", isolation_level='AUTOCOMMIT'", ", connect_args={'autocommit': True}"],
    ids=["", "AUTOCOMMIT", "driver"],
)
def test_status_writes_nothing_when_env_py_takes_the_right_to(
    project: Project, database: Database, level: str
) -> None:
    project.revision("0001")
    database.engine.connect().close()
    if database.url.startswith("sqlite"):  # the driver has another word for it
        level = level.replace("'autocommit': True", "'isolation_level': None")
    env = f"""\
import contextlib
import sqlalchemy as sa
from alembic import context

url = context.config.get_main_option("sqlalchemy.url")

def refused(function, *given):
    try:
        function(*given)
    except Exception:
        connection.rollback()

for statement in {TAKES_BACK!r}:
    for then in ("begin", "commit", "rollback", "get_isolation_level"):
        with sa.create_engine(url{level}).connect() as connection:
            refused(connection.exec_driver_sql, statement)
            with contextlib.suppress(sa.exc.InvalidRequestError):
                getattr(connection, then)()
            refused(connection.exec_driver_sql, "CREATE TABLE made (id INTEGER)")
            connection.commit()
for commits in (None, True, False):
    for end in ("", "commit", "rollback"):
        with contextlib.closing(sa.create_engine(url).raw_connection()) as raw:
            if commits is not None and not url.startswith(("sqlite", "mariadb")):
                raw.dbapi_connection.autocommit = commits
            with contextlib.suppress(Exception):
                getattr(raw, end, bool)()
                raw.cursor().execute("CREATE TABLE made (id INTEGER)")
                raw.commit()
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
    project.write("migrations/env.py", env)
    outcome = status(project, one=database.url)
    assert tables(database) == set()
    assert cells(outcome, "one")[1] == "(empty)"


PAST_SQLALCHEMY = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET SESSION TRANSACTION READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET @@session.tx_read_only = 0",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "START TRANSACTION READ WRITE",
    "BEGIN READ WRITE",
    "EXECUTE IMMEDIATE CONCAT('SET SESSION TRANS', 'ACTION READ WRITE')",
    "/* now */ PRAGMA query_only = OFF",
    "PRAGMA main.query_only(0)",
)
CREATORS = {
    "sqlite": "sqlite3.connect(url.database)",
    "postgresql": "psycopg.connect(host=url.host, port=url.port, user=url.username,"
    " dbname=url.database, autocommit=commits)",
    "mariadb": "pymysql.connect(host=url.host, port=url.port, user=url.username,"
    " database=url.database, autocommit=commits)",
}


@pytest.mark.parametrize("own", [False, True], ids=["ours", "creator"])
def test_status_writes_nothing_when_a_cursor_of_the_driver_takes_the_right_to(
    project: Project, database: Database, own: bool
) -> None:
    project.revision("0001")
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE there (id INTEGER)"))
    imported = {"sqlite": "sqlite3", "postgresql": "psycopg", "mariadb": "pymysql"}[database.kin]
    env = f"""\
import contextlib
import {imported}
import sqlalchemy as sa
from alembic import context

url = sa.make_url(context.config.get_main_option("sqlalchemy.url"))
for commits in (False, True):
    creator = {{"creator": lambda: {CREATORS[database.kin]}}} if {own} else {{}}
    for statement in {PAST_SQLALCHEMY!r}:
        engine = sa.create_engine(url, poolclass=sa.NullPool, **creator)
        with contextlib.closing(engine.raw_connection()) as raw:
            for one in (
                "ROLLBACK",
                statement,
                "SELECT 1",
                "ATTACH '" + str(url.database) + "' AS z",
                "INSERT INTO there VALUES (1)",
                "INSERT INTO z.there VALUES (1)",
                "CREATE TABLE made (id INTEGER)",
                "COMMIT",
            ):
                with contextlib.suppress(Exception):
                    cursor = raw.cursor()
                    cursor.execute(one)
                    cursor.close()
            with contextlib.suppress(Exception):
                raw.commit()
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
    project.write("migrations/env.py", env)
    outcome = status(project, "--timeout", "60", one=database.url)
    assert tables(database) == {"there"}
    assert rows(database, "SELECT * FROM there") == []
    assert cells(outcome, "one")[1] == "(none)", outcome


@pytest.mark.databases("postgresql", "mariadb")
def test_status_lets_a_listener_set_what_is_no_right(project: Project, database: Database) -> None:
    project.revision("0001")
    env = """\
import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"), **given)

@sa.event.listens_for(engine, "connect")
def connected(connection, _):
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    connection.commit()

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
    statements = {
        "postgresql": [
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET search_path = public",
            "SET default_transaction_read_only = on",
        ],
        "mariadb": ["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET autocommit = 0"],
    }[database.name]
    for level in ({}, {"isolation_level": "READ COMMITTED"}):
        names = f"given = {level!r}\nstatements = {statements!r}\n"
        project.write("migrations/env.py", f"{names}{env}")
        assert cells(status(project, one=database.url), "one")[1] == "(empty)"


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("driver", ["psycopg", "pg8000", "asyncpg", "psycopg_async"])
def test_status_writes_nothing_past_sqlalchemy_with_any_driver(
    project: Project, database: Database, driver: str
) -> None:
    pytest.importorskip(driver.partition("_")[0])
    env = """\
import asyncio
import contextlib
import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine

def write(connection):
    raw = connection.connection
    for commits in (False, True):
        raw.dbapi_connection.autocommit = commits
        with contextlib.suppress(CommandError):
            raw.cursor().execute("BEGIN READ WRITE")
        try:
            raw.cursor().execute("CREATE TABLE made (id INTEGER)")
            raw.commit()
        except Exception as error:
            raw.rollback()
            assert "read-only" in str(error), error
        else:
            raise ValueError("it was written")

async def main():
    async with create_async_engine(url).connect() as connection:
        await connection.run_sync(write)

url = context.config.get_main_option("sqlalchemy.url")
if sa.make_url(url).get_dialect().is_async:
    asyncio.run(main())
else:
    with sa.create_engine(url).connect() as connection:
        write(connection)
context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
    project.revision("0001")
    project.write("migrations/env.py", env)
    url = sa.make_url(database.url).set(drivername=f"postgresql+{driver}")
    outcome = status(project, one=url.render_as_string(hide_password=False))
    assert cells(outcome, "one")[1] == "(empty)", outcome
    assert tables(database) == set()


def test_status_names_the_statement_with_which_env_py_would_end_what_is_read_only(
    project: Project, database: Database
) -> None:
    if database.url.startswith("sqlite"):
        pytest.skip("the file is opened read-only")
    project.revision("0001")
    plain(project)
    env = project.directory / "migrations" / "env.py"
    ends = "connection.exec_driver_sql('COMMIT')\n    context.configure"
    env.write_text(env.read_text().replace("context.configure", ends))
    outcome = status(project, one=database.url)
    assert "  asked  COMMIT" in outcome.out
    assert "What to do next, in env.py:" in outcome.out
