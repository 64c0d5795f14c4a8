"""`alembic revision`: the next number, the template of this repository, and no database."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Project, current

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ours(offline: Project) -> Project:
    """Return a project with this repository's template."""
    template = (ROOT / "migrations/script.py.mako").read_text(encoding="utf-8")
    offline.write("migrations/script.py.mako", template)
    return offline


def files(project: Project) -> list[str]:
    return sorted(path.name for path in project.versions.glob("*.py"))


def text(project: Project, name: str) -> str:
    return (project.versions / name).read_text(encoding="utf-8")


# Refused


@pytest.mark.parametrize("option", ["--autogenerate", "--autogenerate --rev-id=x"])
def test_autogenerate_is_refused_before_anything_is_touched(offline: Project, option: str) -> None:
    offline.table("0001")
    message = offline.refusal("revision", "-m", "Add due", *option.split())
    assert message.splitlines() == [
        "revisions are written by hand here: --autogenerate is refused, nothing was written",
        'run: alembic revision -m "...", then write upgrade() and downgrade() in the new file',
        "or, in a project whose revisions begin as a comparison with the models, in env.py:",
        "    run(context, ..., autogenerate=True)",
    ]
    assert files(offline) == ["0001_test.py"]


def test_id_is_refused_when_it_is_too_long(offline: Project) -> None:
    message = offline.refusal("revision", "-m", "x", "--rev-id", "a" * 33)
    assert "has 33 characters, the version table holds 32: nothing was written" in message
    assert files(offline) == []


# Numbered


def test_id_is_the_next_number_when_there_are_revisions(offline: Project) -> None:
    offline.table("0009")
    offline.table("0014", "0009")
    outcome = offline.alembic("revision", "-m", "Add due date to bills")
    assert outcome.status == 0
    assert outcome.err == ""
    path = offline.versions / "0015_add_due_date_to_bills.py"
    assert outcome.out == f"Generating {path} ...  done\n"
    assert "revision = '0015'\ndown_revision = '0014'\n" in text(offline, path.name)


def test_id_is_0001_when_there_is_no_revision(offline: Project) -> None:
    assert offline.alembic("revision", "-m", "Begin").status == 0
    assert files(offline) == ["0001_begin.py"]


@pytest.mark.parametrize(
    ("known", "number"),
    [
        (["1", "2"], "3"),
        (["099"], "100"),
        (["9999"], "10000"),
        (["0003", "ab12"], "0004"),
        (["0003", "123456789012"], "0004"),  # one of Alembic's own, by chance without a letter
    ],
)
def test_ids_that_are_no_numbers_do_not_count(
    offline: Project, known: list[str], number: str
) -> None:
    after = None
    for id_ in known:
        offline.table(id_, after)
        after = id_
    assert offline.alembic("revision", "-m", "x").status == 0
    assert f"{number}_x.py" in files(offline)


def test_id_is_alembics_own_in_a_history_without_numbers(offline: Project) -> None:
    offline.table("ab12")
    offline.table("first", "ab12")
    assert offline.alembic("revision", "-m", "x").status == 0
    (written,) = set(files(offline)) - {"ab12_test.py", "first_test.py"}
    assert re.fullmatch(r"[0-9a-f]{12}_x\.py", written)


def test_id_is_that_of_the_user_when_given(offline: Project) -> None:
    offline.table("0001")
    assert offline.alembic("revision", "-m", "x", "--rev-id", "mine").status == 0
    assert files(offline) == ["0001_test.py", "mine_x.py"]


def test_hook_of_the_caller_is_called_too(offline: Project) -> None:
    offline.write(
        "migrations/env.py",
        "from alembic import context\n"
        "from alembic_toolkit.runner import run\n"
        "def rename(context, revision, directives): directives[0].message += ' now'\n"
        "run(context, process_revision_directives=rename)\n",
    )
    assert offline.alembic("revision", "-m", "x").status == 0
    assert files(offline) == ["0001_x_now.py"]


def test_merge_and_history_need_no_database(ours: Project) -> None:
    ours.table("0001")
    ours.table("0002a", "0001")
    ours.table("0002b", "0001")
    outcome = ours.alembic("merge", "heads", "-m", "Join", "--rev-id", "0003")
    assert outcome.status == 0
    assert outcome.err == ""
    assert 'down_revision = ("0002a", "0002b")' in text(ours, "0003_join.py")
    assert "NotImplementedError" not in text(ours, "0003_join.py")
    outcome = ours.alembic("history")
    assert outcome.err == ""
    assert outcome.out.startswith("0002a, 0002b -> 0003 (head) (mergepoint), Join\n")


# Our template


def test_file_asks_why_and_refuses_to_run_until_it_is_written(ours: Project) -> None:
    ours.table("0014")
    assert ours.alembic("revision", "-m", "Add due date to bills").status == 0
    written = text(ours, "0015_add_due_date_to_bills.py")
    assert written.startswith('"""Add due date to bills\n\nWhy: ...')
    assert "import sqlalchemy as sa\n\nimport alembic_helpers as helpers\n" in written
    message = ours.alembic("upgrade", "0014:head", "--sql").out
    assert "FAILED: revision 0015 is not written yet" in message


@pytest.mark.parametrize(
    "message",
    [
        'Say "hi"',
        '"""',
        "ends with a quote'",
        r"back\slash \N \x",
        "Grüße – “x”",
        "word " * 40,
        "",
    ],
)
def test_file_is_sound_whatever_the_message_is(ours: Project, message: str) -> None:
    assert ours.alembic("revision", "-m", message).status == 0
    [name] = files(ours)
    source = text(ours, name)
    module: dict[str, object] = {}
    exec(compile(source, name, "exec"), module)
    assert " ".join(str(module["__doc__"]).split()).startswith(" ".join(message.split()))
    assert max(map(len, source.splitlines())) <= 100


def test_file_passes_the_checks_of_this_repository(ours: Project) -> None:
    pytest.importorskip("ruff")
    assert ours.alembic("revision", "-m", "Begin").status == 0
    ours.alembic("revision", "-m", "Go on", "--branch-label", "a", "--depends-on", "0001")
    ours.alembic("revision", "-m", "Begin again", "--head", "base")
    ours.alembic("merge", "heads", "-m", "Join", "--rev-id", "0004")
    assert len(files(ours)) == 4
    # Until something is written in it, its two imports are not used: F401.
    ruff = [sys.executable, "-m", "ruff"]
    config = f"--config={ROOT / 'pyproject.toml'}"
    own = "--config=lint.isort.known-first-party=['alembic_helpers']"
    check(ours, *ruff, "check", "--no-cache", config, own, "--ignore=F401", str(ours.versions))
    check(ours, *ruff, "format", "--no-cache", config, "--check", str(ours.versions))


def test_revision_runs_when_it_is_written(
    ours: Project, database: Database, tmp_path: Path
) -> None:
    assert ours.alembic("revision", "-m", "Add due date to bills").status == 0
    [name] = files(ours)
    source = text(ours, name)
    for direction in ("add", "drop"):
        line = next(line for line in source.splitlines() if f"helpers.{direction}_column" in line)
        call = (
            'helpers.create_table("bills", sa.Column("id", sa.Integer, primary_key=True))'
            if direction == "add"
            else 'helpers.drop_table("bills")'
        )
        source = source.replace(line, f"    {call}")
    project = Project(tmp_path / "written", database.url)
    project.write(f"migrations/versions/{name}", source)
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0001"]
    assert project.alembic("downgrade", "base").status == 0


def check(project: Project, *command: str) -> None:
    done = subprocess.run(
        command, cwd=project.directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
