"""`alembic-toolkit roundtrip`: when it cannot run, what it leaves behind, and what decides."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from alembic_toolkit.prove.roundtrip import roundtrip as prove
from alembic_toolkit.prove.settings import Settings
from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, execute, tables

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "alembic_toolkit.cli", "roundtrip"]
PLAIN_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine

config = context.config
{engine}
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
GIVEN = 'connection = config.attributes["connection"]'
CONNECTED = """\
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""


@contextmanager
def started(project: Project, *argv: str) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [*COMMAND, "-c", str(project.directory / "alembic.ini"), *argv],
        cwd=project.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def roundtrip(project: Project, *argv: str) -> Outcome:
    with started(project, *argv) as process:
        out, err = process.communicate(timeout=120)
        return Outcome(process.returncode, out, err)


def held(database: Database) -> set[str]:
    """Return what a database holds."""
    return tables(database)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


# When it cannot run


def test_database_that_is_not_empty_is_refused_and_left_alone(
    project: Project, database: Database
) -> None:
    project.table("0001")
    execute(database, "CREATE TABLE precious (id INTEGER)", "INSERT INTO precious VALUES (1)")
    outcome = roundtrip(project, "--url", database.url)
    assert (outcome.status, outcome.out) == (2, "")
    assert "is not empty: it has table precious\n" in outcome.err
    assert held(database) == {"precious"}


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_url_that_does_not_answer_is_one_line(project: Project, database: Database) -> None:
    project.table("0001")
    url = sa.make_url(database.url).set(port=1).render_as_string(hide_password=False)
    outcome = roundtrip(project, "--url", url)
    assert (outcome.status, outcome.out) == (2, "")
    assert "cannot be used: " in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("url", ["oracle://host/x", "nonsense", "postgresql+psycopg://host"])
def test_url_that_says_nothing_is_one_line(project: Project, url: str) -> None:
    project.table("0001")
    outcome = roundtrip(project, "--url", url)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("alembic-toolkit roundtrip: ")
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.databases("sqlite")
def test_revision_that_is_no_python_is_named(project: Project) -> None:
    path = project.table("0001")
    path.write_text(path.read_text() + "\ndef broken(:\n")
    outcome = roundtrip(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"{path.name}:13: does not parse" in outcome.err


def test_endless_upgrade_is_ended(project: Project, database: Database) -> None:
    project.table("0001")
    project.table("0002", "0001", upgrade="while True: pass")
    outcome = roundtrip(project, "--url", database.url, "--timeout", "5")
    assert outcome.status == 1
    assert "1 of 2 revisions: proven" in outcome.out
    assert "a step took longer than 5 seconds" in outcome.out
    assert held(database) == set()


@pytest.mark.databases("sqlite")
def test_process_is_a_copy_of_the_command_and_not_of_a_program_that_calls_it(
    project: Project, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    is_new = "'--multiprocessing-fork' in sys.orig_argv"
    saying = f"import sys; open({str(said)!r}, 'w').write(str({is_new}))"
    project.table("0001", upgrade=saying)
    assert roundtrip(project).status == 0
    assert said.read_text() == str(sys.platform != "linux")
    prove(project.directory / "alembic.ini", Settings())
    assert said.read_text() == "True"


@pytest.mark.databases("sqlite")
def test_env_that_uses_another_database_is_named(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    project.write("migrations/env.py", PLAIN_ENV.format(engine=f'engine = create_engine("{url}")'))
    project.table("0001")
    outcome = roundtrip(project)
    assert outcome.status == 2
    said = " ".join(outcome.out.split())
    assert "does not use the database that it is told to" in said
    assert "other.db" in said
    assert 'Tried: config.attributes["connection"], sqlalchemy.url of the ini file' in said


# What it leaves behind


def test_nothing_is_left_when_it_has_run(project: Project, database: Database) -> None:
    project.table("0001", downgrade="pass")
    assert roundtrip(project, "--url", database.url).status == 1
    assert held(database) == set()
    assert roundtrip(project, "--url", database.url).status == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_stopped(
    project: Project, database: Database, how: signal.Signals
) -> None:
    project.table("0001")
    project.table("0002", "0001", upgrade="import time; time.sleep(60)")
    with started(project, "--url", database.url) as process:
        wait_for(lambda: "t_0001" in held(database))
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        if how != signal.SIGKILL:
            assert process.returncode == 128 + how
            assert err.splitlines()[-1] == "alembic-toolkit roundtrip: interrupted"
    wait_for(lambda: held(database) == set())


# Which database


@pytest.mark.parametrize(
    "engine",
    [
        GIVEN + "\n" + CONNECTED + "raise SystemExit",
        'engine = create_engine(config.get_main_option("sqlalchemy.url"))',
        'engine = create_engine(context.get_x_argument(as_dictionary=True)["db_url"])',
        'engine = create_engine(os.environ["DATABASE_URL"])',
        'engine = create_engine(os.getenv("MY_OWN_DSN"))',
    ],
)
def test_env_gets_the_database_in_the_way_it_wants(
    project: Project, database: Database, engine: str
) -> None:
    if "raise" in engine:
        engine = GIVEN
        text = PLAIN_ENV.partition("{engine}")[0] + GIVEN + "\n" + CONNECTED
        project.write("migrations/env.py", text)
    else:
        project.write("migrations/env.py", PLAIN_ENV.format(engine=engine))
    project.table("0001")
    outcome = roundtrip(project, "--url", database.url)
    assert outcome.status == 0, outcome.out + outcome.err


# What decides


def test_json_says_what_was_found(project: Project, database: Database) -> None:
    path = project.table("0001", downgrade="pass")
    outcome = roundtrip(project, "--url", database.url, "--json")
    assert outcome.status == 1
    [finding] = json.loads(outcome.out)["findings"]
    assert finding["check"] == "down leaves no trace"
    assert finding["revision"] == "0001"
    assert finding["path"].endswith(path.name)
    assert finding["problem"] == "downgrade() does nothing, and upgrade() did something"


def excuse(project: Project, reason: str) -> None:
    """Know of the first revision that its downgrade leaves something."""
    project.write(
        "pyproject.toml",
        "[[tool.alembic-toolkit.roundtrip.exceptions]]\n"
        f'revision = "0001"\ncheck = "down leaves no trace"\nreason = "{reason}"\n',
    )


@pytest.mark.databases("sqlite")
def test_known_exception_is_no_finding(project: Project) -> None:
    project.table("0001", downgrade="pass")
    excuse(project, "the first one stays")
    outcome = roundtrip(project)
    assert outcome.status == 0, outcome.out
    assert "the first one stays" in outcome.out
    assert "none any more" not in outcome.out


@pytest.mark.databases("sqlite")
def test_known_exception_that_is_met_no_more_is_noted(project: Project) -> None:
    project.table("0001")
    excuse(project, "it stayed")
    outcome = roundtrip(project)
    assert outcome.status == 0, outcome.out
    assert "is none any more, revision 0001, 'down leaves no trace'" in outcome.out


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.alembic-toolkit.roundtrip]\nurl = 'x'", "has url, which means nothing here"),
        ("[tool.alembic-toolkit.roundtrip]\nchecks = ['crush']", "there is no check 'crush'"),
        ("[[tool.alembic-toolkit.roundtrip.exceptions]]\ncheck = 'up'", "has no reason, revision"),
        ("[tool", "cannot be read"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(project: Project, text: str, said: str) -> None:
    project.write("pyproject.toml", text)
    outcome = roundtrip(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.databases("mariadb", "mysql")
def test_steps_that_are_done_once_are_proven_when_run_again_and_as_scripts(
    project: Project, database: Database
) -> None:
    """Their marks go with the revision's number, and so are there when only that is lost."""
    head = "import alembic_helpers as helpers"
    bills = 'helpers.create_table("bills", sa.Column("id", sa.Integer, primary_key=True),'
    bills += ' sa.Column("amount", sa.Integer))'
    project.revision("a1", None, bills, 'helpers.drop_table("bills")', head)
    step = 'helpers.execute("UPDATE bills SET amount = amount {} 7", once="seven")'
    project.revision("a2", "a1", step.format("+"), step.format("-"), head)
    outcome = roundtrip(project, "--url", database.url, "--re-run", "--offline")
    assert outcome.status == 0, outcome.out
    assert "Proven: 2 revisions" in outcome.out
    assert held(database) == set()
