"""`alembic-toolkit upgrade`: many databases, some of which fail, are killed, or are left."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, current, execute, tables
from tests.toolkit.deployers import DEADLINE, journal, start, until
from tests.toolkit.fleets import command, made, plain, row, stranger, tenants, value


def upgrade(project: Project, *argv: str, **urls: str) -> Outcome:
    return command(project, "upgrade", *argv, **urls)


def said(outcome: Outcome, name: str) -> str:
    """Return what is said of a database, without its name."""
    return row(outcome, name).partition("  ")[2].strip()


# What fails


def test_upgrade_carries_on_when_one_of_five_fails(
    project: Project, database: Database, tmp_path: Path
) -> None:
    project.table("0001")
    project.table("0002", "0001", upgrade="op.execute('INSERT INTO taken VALUES (1)')")
    urls = tenants(tmp_path, 4)
    for url in urls.values():
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
            connection.exec_driver_sql("CREATE TABLE taken (id INTEGER)")
    outcome = upgrade(project, "-j2", broken=database.url, **urls)
    assert outcome.status == 1
    assert said(outcome, "broken") == "failed, (none) -> 0001"
    assert {said(outcome, name) for name in urls} == {"(none) -> 0002"}
    listed = outcome.out.partition("broken:\n")[2]
    assert "taken" in listed
    assert "  revision wants:  INSERT INTO taken VALUES (1)" in listed
    assert outcome.out.endswith("\n4 done, 1 failed\n")
    assert current(database) == ["0001"]
    assert [value(url, "SELECT id FROM taken") for url in urls.values()] == [1] * 4
    execute(database, "CREATE TABLE taken (id INTEGER)")
    if database.kin == "mariadb":
        execute(database, "DROP TABLE t_0002")
    outcome = upgrade(project, broken=database.url, **urls)
    assert outcome.status == 0
    assert said(outcome, "broken") == "0001 -> 0002"
    assert said(outcome, "tenant01") == "0002, nothing to do"


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_upgrade_shows_no_password_when_it_is_wrong(project: Project, database: Database) -> None:
    project.table("0001")
    url = stranger(database, "s3cr t/@")
    outcome = upgrade(project, f"--url={url}", one=url)
    assert outcome.status == 1
    assert "cannot be reached" in outcome.out
    assert "nobody_here" in outcome.out
    assert "s3cr" not in outcome.out + outcome.err


@pytest.mark.databases("postgresql")  # which takes any password here
def test_upgrade_shows_no_password_when_a_revision_does(
    project: Project, database: Database
) -> None:
    url = "op.get_bind().engine.url"
    shows = f"raise ValueError({url}.render_as_string(hide_password=False), {url}.password)"
    project.revision("0001", upgrade=shows)
    given = sa.make_url(database.url).set(password="s3cr t/@")
    outcome = upgrade(project, one=given.render_as_string(hide_password=False))
    assert outcome.status == 1
    assert "postgres:***@" in outcome.out
    assert "s3cr" not in outcome.out + outcome.err


def test_upgrade_runs_nothing_when_there_is_no_such_revision(offline: Project) -> None:
    offline.table("0001")
    outcome = upgrade(offline, "0009", one="sqlite:///none.db")
    assert (outcome.status, outcome.out) == (2, "")
    assert "0009" in outcome.err


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the process ended before it was done"),
        ("raise SystemExit(3)", "ended the process: exit(3)"),
    ],
)
def test_upgrade_is_a_line_when_its_process_ends(
    offline: Project, tmp_path: Path, statement: str, words: str
) -> None:
    offline.table("0001")
    offline.revision("0002", "0001", upgrade=statement)
    [(name, url)] = tenants(tmp_path, 1).items()
    outcome = upgrade(offline, f"--url={name}={url}")
    assert outcome.status == 1
    assert said(outcome, name) == "failed"
    assert words in outcome.out
    assert "t_0001" in made(url)


def test_upgrade_touches_nothing_when_env_py_uses_another_database(
    project: Project, database: Database, tmp_path: Path
) -> None:
    project.table("0001")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    plain(project, url=repr(other))
    env = project.directory / "migrations" / "env.py"
    env.write_text(env.read_text().replace("given or", "False or"))
    outcome = upgrade(project, one=database.url)
    assert outcome.status == 1
    assert "does not use the database that it is told to" in outcome.out
    assert tables(database) == set()
    assert made(other) == set()


# What works


def test_upgrade_brings_databases_to_a_revision(
    project: Project, database: Database, tmp_path: Path
) -> None:
    project.table("0001")
    project.table("0002", "0001")
    [(name, url)] = tenants(tmp_path, 1).items()
    outcome = upgrade(project, "0001", f"--url={name}={url}", one=database.url)
    assert outcome.status == 0
    assert said(outcome, "one") == said(outcome, name) == "(none) -> 0001"
    assert outcome.out.endswith("\n2 done\n")
    assert tables(database) == {"alembic_version", "t_0001"}
    assert journal(database) == [("0001", "up", "done")]


def test_upgrade_runs_an_env_py_that_is_not_ours(project: Project, database: Database) -> None:
    project.table("0001")
    plain(project, ", version_table='versions'")
    assert upgrade(project, one=database.url).status == 0
    assert tables(database) == {"versions", "t_0001"}


@pytest.mark.databases("sqlite")
def test_upgrade_names_the_database_in_the_environment(
    project: Project, database: Database
) -> None:
    project.table("0001")
    env = "import os\nfrom alembic import context\nfrom alembic_toolkit.runner import run\n"
    project.write(
        "migrations/env.py",
        f"{env}context.config.attributes.clear()\nrun(context, os.environ['APP_DATABASE_URL'])\n",
    )
    assert upgrade(project, one=database.url).status == 0
    assert current(database) == ["0001"]


@pytest.mark.databases("sqlite")
def test_upgrade_hands_options_to_env_py(project: Project, database: Database) -> None:
    project.table("0001")
    assert upgrade(project, "-x", "journal=no", one=database.url).status == 0
    assert tables(database) == {"alembic_version", "t_0001"}
    assert "alembic_version_history" not in made(database.url)
    project.table("0002", "0001")
    outcome = upgrade(project, "-x", "lock_timeout=soon", one=database.url)
    assert outcome.status == 1
    assert "'soon' is not a number of seconds" in outcome.out


@pytest.mark.long
def test_upgrade_brings_all_of_fifty_tenants(offline: Project, tmp_path: Path) -> None:
    offline.table("0001")
    urls = tenants(tmp_path, 50)
    outcome = upgrade(offline, "-j8", **urls)
    assert outcome.status == 0
    assert outcome.out.endswith("\n50 done\n")
    found = {value(url, "SELECT version_num FROM alembic_version") for url in urls.values()}
    assert found == {"0001"}


LOUD = """
import logging
log = logging.getLogger("alembic.helpers")
log.info("added column bills.note")
log.warning("%s", op.get_bind().engine.url.render_as_string(hide_password=False))
op.create_table("t", sa.Column("id", sa.Integer))
"""
# Whatever the project's own logging is, also none.
LOGGING = """
from logging.config import dictConfig
dictConfig({"version": 1, "root": {"level": "ERROR"}})
"""


@pytest.mark.databases("postgresql")  # which takes any password here
@pytest.mark.parametrize("logging", ["", LOGGING])
def test_upgrade_shows_what_revisions_log(
    project: Project, database: Database, logging: str
) -> None:
    project.revision("0001", upgrade=LOUD, downgrade="op.drop_table('t')")
    env = project.directory / "migrations" / "env.py"
    env.write_text(logging + env.read_text())
    url = sa.make_url(database.url).set(password="s3cret").render_as_string(hide_password=False)
    warning = f"  WARNING {url.replace('s3cret', '***')}"
    lines = upgrade(project, one=url).out.splitlines()
    assert lines[:2] == ["one  (none) -> 0001", warning]
    assert upgrade(project, "-v", one=url).out == "one  0001, nothing to do\n1 nothing to do\n"
    again = "DROP TABLE t", "DELETE FROM alembic_version"  # without that env.py in this process
    execute(database, *again)
    assert upgrade(project, "--verbose", one=url).out.splitlines() == [
        "one  (none) -> 0001",
        "  INFO Running upgrade  -> 0001, Revision 0001.",
        "  INFO added column bills.note",
        warning,
        "1 done",
    ]
    execute(database, *again)
    [found] = json.loads(upgrade(project, "--json", one=url).out)["databases"]
    assert [line["level"] for line in found["log"]] == ["INFO", "INFO", "WARNING"]
    assert "s3cret" not in str(found)


@pytest.mark.databases("sqlite")
def test_upgrade_is_json_when_asked(project: Project, database: Database) -> None:
    project.table("0001")
    outcome = upgrade(project, "--json", one=database.url, two="sqlite:////none/none.db")
    assert outcome.status == 1
    report = json.loads(outcome.out)
    one, two = report.pop("databases")
    assert [(f["check"], f["database"]) for f in report.pop("findings")] == [("failed", "two")]
    assert report == {"version": 2, "command": "upgrade", "status": 1, "interrupted": False}
    assert one == {
        "name": "one",
        "outcome": "done",
        "before": [],
        "after": ["0001"],
        "ran": ["0001"],
        "log": [{"level": "INFO", "message": "Running upgrade  -> 0001, Revision 0001."}],
        "error": None,
        "plan": [],
    }
    assert (two["outcome"], two["ran"]) == ("failed", [])
    assert "unable to open database file" in two["error"]


# What is interrupted


def test_upgrade_leaves_nothing_running_when_it_is_interrupted(
    project: Project, database: Database, tmp_path: Path
) -> None:
    # A terminal sends Ctrl-C to all of its processes.
    interrupt(project, database, tmp_path, signal.SIGINT, os.killpg)


@pytest.mark.databases("sqlite")
def test_upgrade_leaves_nothing_running_when_it_is_terminated(
    project: Project, database: Database, tmp_path: Path
) -> None:
    interrupt(project, database, tmp_path, signal.SIGTERM, os.kill)


def interrupt(
    project: Project,
    database: Database,
    directory: Path,
    number: signal.Signals,
    send: Callable[[int, int], None],
) -> None:
    """Interrupt three upgrades, one at a time, in the second revision of the first."""
    flag = directory / "flag"
    project.table("0001")
    waits = f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); "
    waits += "op.execute('SELECT pg_sleep(60)')" if "post" in database.name else "time.sleep(60)"
    project.table("0002", "0001", upgrade=waits)
    urls = {"one": database.url, **tenants(directory, 2)}
    given = [f"--url={name}={url}" for name, url in urls.items()]
    argv = ["upgrade", "-j1", *given]
    process = start(project, *argv, module="alembic_toolkit.cli", start_new_session=True)
    until(flag.exists)
    children = psutil.Process(process.pid).children(recursive=True)
    send(process.pid, number)
    printed, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 128 + number, printed
    outcome = Outcome(1, printed, "")
    assert said(outcome, "one") == "failed, (none) -> 0001"
    assert said(outcome, "tenant01") == said(outcome, "tenant02") == "not begun"
    assert "alembic-toolkit upgrade: interrupted" in printed
    assert "Traceback" not in printed
    until(lambda: not any(child.is_running() for child in children))
    assert current(database) == ["0001"]
    assert journal(database) == [("0001", "up", "done"), ("0002", "up", "failed")]
    assert not (directory / "tenant01.db").exists()
