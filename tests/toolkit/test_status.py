"""`alembic-toolkit status`: a line for each database, whatever state it is in."""

import json
import os
import re
import socket
from pathlib import Path

import pytest
import sqlalchemy as sa

from alembic_toolkit.fleet import processes
from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, execute, tables
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
    assert outcome.status == 1
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
    assert outcome.status == 1
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
    assert outcome.status == 1
    assert cells(outcome, "one") == ["one", "not looked at within 0.5 seconds"]


@pytest.mark.databases("postgresql", "mariadb")
def test_status_shows_no_password_when_it_is_wrong(project: Project, database: Database) -> None:
    url = stranger(database, "s3cr t/@")
    outcome = status(project, f"--url={url}", one=url)
    assert outcome.status == 1
    assert "nobody_here" in row(outcome, "one")
    assert "nobody_here:***@" in outcome.out
    assert "s3cr" not in outcome.out + outcome.err


def test_status_makes_no_file_when_there_is_none(offline: Project, tmp_path: Path) -> None:
    outcome = status(offline, one=f"sqlite:///{tmp_path / 'none.db'}")
    assert outcome.status == 1
    assert cells(outcome, "one") == ["one", "there is no such file"]
    assert not (tmp_path / "none.db").exists()


def test_status_is_a_line_when_the_file_is_no_database(offline: Project, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database. " * 100)
    outcome = status(offline, one=f"sqlite:///{tmp_path / 'text.db'}")
    assert outcome.status == 1
    assert "file is not a database" in row(outcome, "one")


def test_status_writes_nothing_when_env_py_would(project: Project, database: Database) -> None:
    project.revision("0001")
    database.engine.connect().close()  # SQLite's file
    plain(project)
    env = project.directory / "migrations" / "env.py"
    creates = "connection.exec_driver_sql('CREATE TABLE made (id INTEGER)')\n    context.configure"
    env.write_text(env.read_text().replace("context.configure", creates))
    outcome = status(project, one=database.url)
    assert outcome.status == 1
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
    assert outcome.status == 1
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
    assert cells(outcome, "one")[1:4] == ["0002 (unknown)", "?", "edited: 0002"]
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
    first.write_text(first.read_text() + "# a remark\n")
    outcome = status(project, one=database.url)
    assert outcome.status == 1
    assert cells(outcome, "one")[1:4] == ["0001", "1", "edited: 0001"]


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


def test_status_says_drift_when_the_models_differ(project: Project, database: Database) -> None:
    project.table("0001")
    model = "sa.Table('t_0001', sa.MetaData(), sa.Column('id', sa.Integer, primary_key=True))"
    env = "import sqlalchemy as sa\nfrom alembic import context\n"
    env += "from alembic_toolkit.runner import run\n"
    project.write("migrations/env.py", f"{env}run(context, target_metadata={model}.metadata)\n")
    assert project.alembic("upgrade", "head").status == 0
    execute(database, "CREATE TABLE alembic_version_once (revision VARCHAR(9))")
    outcome = status(project, "--drift", one=database.url)
    assert outcome.status == 0
    assert cells(outcome, "one")[4] == "none"
    execute(database, "CREATE TABLE other (id INTEGER)")
    outcome = status(project, "--drift", one=database.url)
    assert outcome.status == 1
    assert cells(outcome, "one")[4] == "1"
    assert "  - remove_table: other" in outcome.out.splitlines()


@pytest.mark.databases("sqlite")
def test_status_is_a_line_when_there_are_no_models(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    outcome = status(project, "--drift", one=database.url)
    assert outcome.status == 1
    assert "--drift: env.py gives no target_metadata" in row(outcome, "one")


# Many


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
    assert outcome.status == 1
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
        "empty": False,
        "edited": [],
        "drift": None,
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
    assert outcome.status == 1
    assert cells(outcome, "staging")[1] == "(empty)"
    assert cells(outcome, "production") == ["production", "the environment has no PRODUCTION_URL"]
    assert "production" not in status(offline, "--url=staging").out


def test_status_is_refused_when_there_is_no_history(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    (project.directory / "alembic.ini").unlink()
    outcome = status(project, one="sqlite:///a.db")
    assert outcome.status == 2
    assert "with an [alembic] section" in outcome.err
