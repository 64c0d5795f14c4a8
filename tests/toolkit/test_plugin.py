"""`pytest --roundtrip` in somebody else's project: real sessions of pytest."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from alembic_toolkit.prove import settings as settings_
from tests.copies import environment
from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, execute, tables

pytestmark = pytest.mark.long

LEFT = "op.execute('SELECT 1')"  # a downgrade that does nothing
SHORT = {"down leaves no trace": "down", "up again": "again", "rows survive": "rows"}
EACH = ["up", "down leaves no trace", "up again", "rows survive"]


@pytest.fixture
def scratch(tmp_path: Path) -> Project:
    """Return a project of two revisions, the second of which leaves its table behind."""
    project = Project(tmp_path / "project")
    project.table("0001")
    project.table("0002", "0001", downgrade=LEFT)
    return project


@pytest.fixture
def sound(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.table("0001")
    return project


def run(project: Project, *argv: str, roundtrip: bool = True, columns: str = "200") -> Outcome:
    """Run pytest there; a warning is an error, unless it is said otherwise."""
    options = ["--roundtrip"] if roundtrip else []
    # In continuous integration pytest cuts no line.
    env = {
        name: value for name, value in environment().items() if name not in ("CI", "BUILD_NUMBER")
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-W", "error", *options, *argv],
        cwd=project.directory,
        env=env | {"COLUMNS": columns},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def counts(outcome: Outcome) -> dict[str, int]:
    """Return the numbers of the last line."""
    last = outcome.out.strip().splitlines()[-1].partition(" in ")[0]
    return {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", last)}


def ids(outcome: Outcome) -> list[str]:
    return [line for line in outcome.out.splitlines() if "::" in line]


def settings(project: Project, text: str) -> None:
    project.write("pyproject.toml", text)


# One test for each revision and check


def test_each_revision_and_check_is_a_test_without_any_fixture(scratch: Project) -> None:
    outcome = run(scratch, "--collect-only", "-q")
    assert outcome.status == 0, outcome.out + outcome.err
    named = [f"{stem}[{c}]" for c in ("graph", "self-contained") for stem in ("0001", "0002")]
    named += ["history[graph]"]
    named += [
        f"{stem}[sqlite-{SHORT.get(check, check)}]" for stem in ("0001", "0002") for check in EACH
    ]
    named += ["history[sqlite-models]", "history[sqlite-base]"]
    assert sorted(ids(outcome)) == sorted(f"alembic.ini::{name}" for name in named)


def test_finding_is_a_failure_in_words(scratch: Project) -> None:
    outcome = run(scratch)
    assert outcome.status == 1
    failed = "alembic.ini::0002[sqlite-down]"
    assert (
        f"FAILED {failed} - + table t_0002: downgrade() does nothing, and upgrade()" in outcome.out
    )
    assert "in migrations/versions/0002_test.py on sqlite" in outcome.out
    assert "    + table t_0002" in outcome.out
    assert "Write instead:\n    in downgrade(), what makes it as it was: drop" in (outcome.out)
    assert "Traceback" not in outcome.out
    assert ".py:" not in outcome.out.partition("short test summary")[0]
    assert counts(outcome)["failed"] == 1


def test_sound_history_passes_and_says_what_was_not_judged(sound: Project) -> None:
    outcome = run(sound, "-rs")
    assert outcome.status == 0, outcome.out
    assert "not judged: env.py gives no target_metadata" in outcome.out
    assert counts(outcome) == {"passed": 8, "skipped": 1}


def test_irreversible_and_known_revisions_are_no_failures_and_say_why(scratch: Project) -> None:
    scratch.table("0003", "0002", downgrade="pass", head="irreversible = 'gone for good'")
    path = scratch.versions / "0003_test.py"
    path.write_text(path.read_text() + "\nirreversible = 'gone for good'\n")
    settings(
        scratch,
        "[[tool.alembic-toolkit.roundtrip.exceptions]]\n"
        'revision = "0002"\ncheck = "down leaves no trace"\nreason = "t_0002 stays"\n',
    )
    outcome = run(scratch, "-rsx")
    assert outcome.status == 0, outcome.out
    name = "alembic.ini::0002[sqlite-down]"
    assert f"XFAIL {name} - known exception: t_0002 stays" in outcome.out
    assert "versions/0003_test.py:1: declared irreversible: gone for good" in outcome.out


def test_fault_of_the_graph_is_named_and_nothing_is_run(scratch: Project) -> None:
    scratch.table("0003", "0404")
    outcome = run(scratch)
    assert outcome.status == 1
    assert "FAILED alembic.ini::0003[graph] - " in outcome.out
    assert "ERROR alembic.ini::0001[sqlite-up] - nothing was run on a database" in outcome.out


def test_revision_that_is_no_python_fails_one_test(scratch: Project) -> None:
    scratch.write("migrations/versions/0003_broken.py", "def broken(:\n")
    outcome = run(scratch)
    assert outcome.status == 1
    assert "FAILED alembic.ini::history[graph] - " in outcome.out
    assert "passed" in outcome.out
    assert "0003_broken.py" in outcome.out
    assert "line 1: does not parse" in outcome.out
    assert "Traceback" not in outcome.out


def test_further_checks_are_made_when_they_are_asked_for(sound: Project) -> None:
    outcome = run(sound, "--collect-only", "-q", "--roundtrip-check", "re-run")
    assert "alembic.ini::0001[sqlite-re-run]" in ids(outcome)
    assert "alembic.ini::0001[sqlite-crash]" not in ids(outcome)
    outcome = run(sound, "--roundtrip-all", "-k", "crash")
    assert counts(outcome) == {"passed": 1, "deselected": 11}


# On which databases


def test_databases_of_the_command_line_are_used_and_left_empty(
    scratch: Project, database: Database
) -> None:
    outcome = run(scratch, "--roundtrip-url", database.url)
    assert outcome.status == 1
    failed = f"FAILED alembic.ini::0002[{database.name}-down]"
    assert failed in outcome.out, outcome.out + outcome.err
    assert counts(outcome)["failed"] == 1
    assert tables(database) == set()


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_engine_of_the_project_is_used_with_its_password(
    sound: Project, database: Database
) -> None:
    (sound.directory / "tests").mkdir()
    sound.write(
        "tests/conftest.py",
        "import pytest, sqlalchemy\n"
        "@pytest.fixture(scope='session')\ndef address():\n"
        f"    return {database.url!r}\n"
        "@pytest.fixture(scope='session')\ndef roundtrip_engine(address):\n"
        "    engine = sqlalchemy.create_engine(address)\n    yield engine\n    engine.dispose()\n"
        "@pytest.fixture(autouse=True)\ndef not_for_us():\n    raise RuntimeError\n",
    )
    for argument in ([], ["alembic.ini"], ["alembic.ini::0001[engine-up]"]):
        outcome = run(sound, "-v", *argument)
        assert outcome.status == 0, outcome.out + outcome.err
        assert "alembic.ini::0001[engine-up] PASSED" in outcome.out


@pytest.mark.databases("sqlite")
def test_engines_with_suffixes_name_their_databases(sound: Project, database: Database) -> None:
    sound.write(
        "conftest.py",
        "import pytest\n"
        f"@pytest.fixture\ndef roundtrip_engine_one():\n    return {database.url!r}\n"
        "@pytest.fixture\ndef roundtrip_engine_two():\n    pytest.skip('no such server here')\n"
        "@pytest.fixture\ndef roundtrip_engine_three():\n    raise RuntimeError('out of order')\n",
    )
    outcome = run(sound, "-rAs")
    assert "PASSED alembic.ini::0001[one-up]" in outcome.out, outcome.out
    assert "no such server here" in outcome.out
    said = "ERROR alembic.ini::0001[three-up] - roundtrip_engine_three cannot be had: "
    assert f"{said}RuntimeError: out of order" in outcome.out


def test_database_that_cannot_be_used_is_a_line_and_the_other_is_proven(
    sound: Project, database: Database
) -> None:
    execute(database, "CREATE TABLE precious (id INTEGER)")
    urls = ["--roundtrip-url", database.url, "--roundtrip-url", "sqlite:///other.db"]
    other = "sqlite-2" if database.name == "sqlite" else "sqlite"
    outcome = run(sound, *urls, "-rAs")
    assert outcome.status == 1
    assert f"PASSED alembic.ini::0001[{other}-up]" in outcome.out
    said = re.search(rf"ERROR alembic.ini::0001\[{database.name}-up\] - (.*)", outcome.out)
    assert said
    assert "is not empty: it has table precious" in said[1]
    assert "Traceback" not in outcome.out
    assert tables(database) == {"precious"}


# What else a project gives


MODELS = """\
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("t_0001", metadata, sa.Column("id", sa.Integer, primary_key=True, default=lambda: 1){more})
"""


def give(project: Project, fixture: str, value: str) -> None:
    text = f"import pytest\n@pytest.fixture\ndef {fixture}():\n    {value}\n"
    project.write("conftest.py", text)


@pytest.mark.parametrize("more", ["", ', sa.Column("missing", sa.String(5))'])
def test_metadata_of_the_project_is_compared(sound: Project, more: str) -> None:
    sound.write("models.py", MODELS.format(more=more))
    give(sound, "roundtrip_metadata", "import models; return models.metadata")
    outcome = run(sound, "alembic.ini::history[sqlite-models]")
    if more:
        assert "at head, the database is not what the models say" in outcome.out, outcome.out
        assert "missing" in outcome.out
    else:
        assert counts(outcome)["passed"] == 1, outcome.out


def test_metadata_that_cannot_travel_says_the_way_on(sound: Project) -> None:
    sound.write("models.py", MODELS.format(more=', sa.Column("x", Local())'))
    models = sound.directory / "models.py"
    local = "def local():\n    class Local(sa.String): pass\n    return Local\nLocal = local()\n"
    models.write_text(models.read_text().replace("metadata =", f"{local}metadata =", 1))
    give(sound, "roundtrip_metadata", "import models; return models.metadata")
    outcome = run(sound)
    assert "the metadata cannot be handed to the process that compares it" in outcome.out
    assert 'metadata = "package.module:Base.metadata"' in outcome.out


def test_rows_of_the_project_are_used(sound: Project) -> None:
    check = "op.add_column('t_0001', sa.Column('n', sa.Integer))\n"
    check += "if op.get_bind().execute(sa.text('SELECT MAX(id) FROM t_0001')).scalar() == 4711:\n"
    check += "    op.execute('SELECT seen_4711')"
    sound.revision("0002", "0001", upgrade=check, downgrade="op.drop_column('t_0001', 'n')")
    give(sound, "roundtrip_rows", "return {'t_0001': [{'id': 4711}]}")
    outcome = run(sound)
    assert "FAILED alembic.ini::0002[sqlite-up]" in outcome.out
    assert "seen_4711" in outcome.out


# As any other test


def test_tests_can_be_chosen_by_name_word_and_mark(scratch: Project) -> None:
    outcome = run(scratch, "alembic.ini::0002[sqlite-up]")
    assert counts(outcome)["passed"] == 1
    assert len(ids(run(scratch, "alembic.ini::0002", "--collect-only", "-q"))) == 6
    assert counts(run(scratch, "-k", "0002 and sqlite"))["failed"] == 1
    assert run(scratch, "-m", "not roundtrip").status == 5
    only = run(scratch, "-k", "graph", "--roundtrip-url", "sqlite:///nowhere/x.db")
    assert only.status == 0, only.out  # no database was needed


def test_failed_ones_can_be_run_again_and_the_first_can_end_it(scratch: Project) -> None:
    assert counts(run(scratch, "-x"))["failed"] == 1
    again = run(scratch, "--lf")
    assert counts(again)["failed"] == 1
    assert "passed" not in counts(again)


def test_it_stands_beside_the_tests_of_the_project(scratch: Project) -> None:
    scratch.write("test_own.py", "def test_own(): pass\n")
    outcome = run(scratch, "-v")
    assert "test_own.py::test_own PASSED" in outcome.out
    assert "alembic.ini::0002[sqlite-up] PASSED" in outcome.out
    assert outcome.out.count("::0002[sqlite-up] ") == 1
    assert counts(run(scratch, "test_own.py::test_own")) == {"passed": 1}


def test_junit_has_a_case_for_each(scratch: Project) -> None:
    run(scratch, "--junitxml=out.xml", "-p", "no:terminal", "-p", "no:cacheprovider")
    [suite] = xml.etree.ElementTree.parse(scratch.directory / "out.xml").getroot()
    cases = {case.get("name"): case for case in suite}
    [failure] = cases["0002[sqlite-down]"]
    assert str(failure.get("message")).startswith(
        "+ table t_0002: downgrade() does nothing, and upgrade()"
    )


def test_workers_prove_a_database_once(scratch: Project) -> None:
    """Every run of env.py leaves a line; those of one proof are as many as without workers."""
    env = scratch.directory / "migrations" / "env.py"
    env.write_text("open('runs', 'a').write('x')\n" + env.read_text())
    alone = run(scratch)
    runs = (scratch.directory / "runs").read_text()
    (scratch.directory / "runs").unlink()
    together = run(scratch, "-n", "2")
    assert counts(together) == counts(alone), together.out
    assert (scratch.directory / "runs").read_text() == runs


def test_it_stands_beside_pytest_alembic(scratch: Project) -> None:
    (scratch.directory / "tests").mkdir()
    scratch.write(
        "tests/conftest.py",
        "import pytest, sqlalchemy\n"
        "@pytest.fixture\ndef alembic_engine():\n"
        "    engine = sqlalchemy.create_engine('sqlite://', poolclass=sqlalchemy.StaticPool)\n"
        "    yield engine\n    engine.dispose()\n"
        "@pytest.fixture\ndef alembic_config():\n    return {'file': 'alembic.ini'}\n",
    )
    env = scratch.directory / "migrations" / "env.py"
    text = "from alembic import context\nfrom alembic_toolkit.runner import run\n"
    env.write_text(text + "run(context, context.config.attributes.get('connection'))\n")
    outcome = run(scratch, "--test-alembic", "-v", "-W", "default")
    assert "test_single_head_revision PASSED" in outcome.out, outcome.out
    assert "test_upgrade PASSED" in outcome.out
    assert "alembic.ini::0002[sqlite-up] PASSED" in outcome.out
    assert "alembic.ini::0002[sqlite-down] FAILED" in outcome.out


# What it says in short


@pytest.mark.parametrize(
    ("step", "name", "words"),
    [
        ({"downgrade": LEFT}, "down", "+ table t_1975ea83b712: "),
        ({"upgrade": "op.execute('no SQL')"}, "up", 'OperationalError: near "no"'),
        ({"downgrade": "op.execute('no SQL')"}, "down", 'OperationalError: near "no"'),
    ],
)
def test_failure_says_the_finding_within_80_columns(
    tmp_path: Path, step: dict[str, str], name: str, words: str
) -> None:
    project = Project(tmp_path / "project")
    project.table("1975ea83b712", **step)
    outcome = run(project, columns="80")
    [line] = [one for one in outcome.out.splitlines() if one.startswith("FAILED ")]
    assert len(line) <= 80
    assert line.startswith(f"FAILED alembic.ini::1975ea83b712[sqlite-{name}] - {words}")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_database_that_cannot_be_used_is_one_error(scratch: Project, workers: list[str]) -> None:
    url = "sqlite:////no/such/directory/x.db"
    outcome = run(scratch, "--roundtrip-url", url, "-rfEs", *workers, columns="80")
    assert outcome.status == 1
    found = counts(outcome)
    assert (found["error"], found["passed"], found["skipped"]) == (1, 5, 9), outcome.out
    [line] = [one for one in outcome.out.splitlines() if one.startswith("ERROR alembic")]
    assert line == "ERROR alembic.ini::0001[sqlite-up] - cannot be used: there is no such directory"
    assert "nothing was run on sqlite, see 0001[sqlite-up]: sqlite:" in outcome.out


def test_proof_that_ends_is_one_failure(scratch: Project) -> None:
    env = scratch.directory / "migrations" / "env.py"
    env.write_text("raise ValueError('no settings')\n" + env.read_text())
    outcome = run(scratch)
    assert counts(outcome)["failed"] == 1
    assert "FAILED alembic.ini::0001[sqlite-up] - could not run on sqlite: " in outcome.out


def test_checks_that_can_be_given_are_listed(sound: Project) -> None:
    every = ", ".join(settings_.ASKED)
    help_ = " ".join(run(sound, "--help").out.split())
    assert f"make a further check, once for each: {every}" in help_
    error = run(sound, "--roundtrip-check", "crush").err
    assert "argument --roundtrip-check: invalid choice: 'crush'" in error
    assert all(name in error for name in settings_.ASKED)


# Where it is not asked for, and where it cannot be


def test_nothing_is_imported_when_it_is_not_asked_for(sound: Project) -> None:
    sound.write(
        "test_own.py",
        "import sys, json, pathlib\n"
        "def test_own():\n"
        "    names = [n for n in sys.modules if n.startswith(('alembic_toolkit', 'sqlalchemy'))]\n"
        "    pathlib.Path('modules').write_text(json.dumps(names))\n",
    )
    outcome = run(sound, "-p", "no:pytest_alembic", "test_own.py", roundtrip=False)
    assert counts(outcome)["passed"] == 1, outcome.out
    modules = json.loads((sound.directory / "modules").read_text())
    assert sorted(modules) == ["alembic_toolkit", "alembic_toolkit.plugin"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--roundtrip-config", "none.ini"], "--roundtrip: there is no file"),
        (["--roundtrip-check", "crush"], "crush"),
        (["--roundtrip-url", "oracle://x/y"], "oracle is not known here"),
    ],
)
def test_wrong_options_are_one_line(sound: Project, argv: list[str], said: str) -> None:
    outcome = run(sound, *argv)
    assert outcome.status in (2, 4)
    assert said in outcome.out + outcome.err
    assert "Traceback" not in outcome.out + outcome.err


def test_project_without_configuration_is_told_how_to_name_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    (project.directory / "alembic.ini").unlink()
    outcome = run(project)
    assert outcome.status == 4
    assert "name it: --roundtrip-config path/to/alembic.ini" in outcome.err


def test_pyproject_can_be_the_configuration(sound: Project) -> None:
    (sound.directory / "alembic.ini").unlink()
    settings(sound, '[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    outcome = run(sound, "-v")
    assert outcome.status == 0, outcome.out + outcome.err
    assert "pyproject.toml::0001[sqlite-up] PASSED" in outcome.out
