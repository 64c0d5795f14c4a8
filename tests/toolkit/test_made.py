"""What the page of a round trip says of its circumstances."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from alembic_toolkit.project.commit import repository
from alembic_toolkit.report.made import made_now
from tests.copies import ROOT, Copy, environment, run
from tests.smoke import ENV, REVISION

COMMIT = "git -c user.name=test -c user.email=test@localhost commit -qm test"


def git(directory: Path, command: str) -> None:
    subprocess.run(["sh", "-ec", command], cwd=directory, env=environment(), check=True)


@pytest.fixture
def clone(tmp_path: Path) -> Copy:
    """Make a clone of a small history, all committed."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    git(tmp_path / "clone", f"git init -q && git add -A && {COMMIT}")
    return Copy(tmp_path / "clone")


def test_made_names_the_commit_and_says_what_is_not_committed(clone: Copy) -> None:
    ini = clone.directory / "alembic.ini"
    commit = clone.run("git rev-parse --short=10 HEAD").printed.strip()
    assert repository(clone.directory) == commit
    (clone.directory / "page.html").touch()  # changes nothing of what is proven
    assert repository(clone.directory) == commit
    (clone.directory / "0002 größe.py").touch()
    assert repository(clone.directory) == f"{commit}, and 1 changed file not committed"
    ini.write_text("[alembic]\n")
    assert repository(clone.directory) == f"{commit}, and 2 changed files not committed"


def test_made_has_no_commit_where_there_is_none(
    clone: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "mkdir empty && cd empty && git init -q")  # not one commit yet
    assert repository(tmp_path / "empty") == ""
    assert repository(tmp_path) == ""
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert repository(clone.directory) == ""


def test_made_has_time_and_versions(tmp_path: Path) -> None:
    made = made_now("")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", made.when)
    python = ".".join(map(str, sys.version_info[:3]))
    assert f"Alembic {version('alembic')}, SQLAlchemy {version('sqlalchemy')}" in made.versions
    assert made.versions.endswith(f"Python {python}")


def test_page_of_a_round_trip_says_how_it_was_made(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    assert copy.run("alembic init migrations").status == 0
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    (tmp_path / "migrations" / "versions" / "0001_create_notes.py").write_text(REVISION)
    git(tmp_path, f"git init -q && git add -A && {COMMIT}")
    command = f"'{sys.executable}' -m alembic_toolkit.cli roundtrip --html page.html"
    outcome = run(command, tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert outcome.status == 0, outcome.printed
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.search(r"<p class=made><small>[\d :-]+ UTC, commit [0-9a-f]{10}; .*Alembic ", page)
    [upgrade, *_] = re.findall(r"<details><summary>upgrade.*?<details class=looks>", page, re.S)
    assert "CREATE TABLE notes" in upgrade
    assert "CREATE INDEX ix_notes_text" in upgrade
    assert "sqlite_master" not in upgrade
