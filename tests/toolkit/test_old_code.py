"""`--old-code`: how the order of deployment is printed, and checked by every way to ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, tables
from tests.toolkit.test_locks import COMMAND, ROOT, git, locks

COLUMN = "op.add_column('t_0001', sa.Column('n', sa.Integer))"
RENAME = "op.alter_column('t_0001', '{}', new_column_name='{}', existing_type=sa.Integer())"
WORDS = "neither: expand and contract, or a window"


@pytest.fixture
def renamed(tmp_path: Path) -> Project:
    """Return a project whose third revision fits no order."""
    return history(Project(tmp_path / "file"))


def history(project: Project) -> Project:
    project.table("0001")
    project.revision("0002", "0001", COLUMN, "op.drop_column('t_0001', 'n')")
    project.revision("0003", "0002", RENAME.format("n", "m"), RENAME.format("m", "n"))
    return project


def proven(project: Project, *argv: str) -> Outcome:
    done = subprocess.run(
        [*COMMAND, "roundtrip", "--old-code", *argv],
        cwd=project.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.long
def test_the_same_bytes_are_printed_each_time(project: Project, database: Database) -> None:
    history(project)
    argv = ("--old-code", "--url", database.url, "--format", "json")
    found = [locks(project, *argv) for _ in range(3)]
    assert len({one.out for one in found}) == 1
    assert found[0].status == 1, found[0].err
    [proof] = json.loads(found[0].out)["proofs"]
    orders = [one["order"]["verdict"] for one in proof["revisions"]]
    assert orders == ["migrate, then deploy", "migrate, then deploy", WORDS]
    breaks = proof["revisions"][2]["order"]["breaks"]
    assert {one["code"] for one in breaks} == {"old", "new"}
    assert all(one["statement"] and one["error"] for one in breaks)
    assert tables(database) == set()


def test_a_comment_has_a_line_for_each_new_revision(renamed: Project) -> None:
    git(renamed, "init", "-q", "-b", "main")
    git(renamed, "add", ".")
    git(renamed, "commit", "-q", "-m", "before")
    renamed.revision("0004", "0003", "op.drop_column('t_0001', 'm')", COLUMN.replace("'n'", "'m'"))
    outcome = locks(renamed, "--since", "main", "--format", "markdown")
    lines = [line for line in outcome.out.splitlines() if line.startswith("| `")]
    assert len(lines) == 1, outcome.err
    assert "`0004`" in lines[0]
    assert "deploy, then migrate" in lines[0]
    assert "while all rows of t\\_0001 are copied" in lines[0]
    assert "no such column: t_0001.m" in outcome.out
    git(renamed, "add", ".")
    git(renamed, "commit", "-q", "-m", "after")
    assert locks(renamed, "--since", "main", "--format", "markdown").out == "No new revision.\n"


def test_an_annotation_stands_at_the_declaration_or_the_function(renamed: Project) -> None:
    path = renamed.versions / "0002_test.py"
    path.write_text(path.read_text().replace("def upgrade", 'deploy = "after"\n\n\ndef upgrade', 1))
    outcome = locks(renamed, "--old-code", "--format", "github")
    notes = [line for line in outcome.out.splitlines() if "title=old-code" in line]
    for id_, kind, at, words in (
        ("0002", "notice", "deploy = ", "deploy order: migrate, then deploy"),
        ("0003", "error", "def upgrade", "old code fails after it"),
    ):
        [line] = [note for note in notes if f"{id_}_test.py" in note]
        source = (renamed.versions / f"{id_}_test.py").read_text().splitlines()
        number = next(n for n, text in enumerate(source, 1) if text.startswith(at))
        assert line.startswith(f"::{kind} file=migrations/versions/{id_}_test.py,line={number},")
        assert words in line


def test_it_is_a_check_of_the_round_trip_and_its_page(renamed: Project) -> None:
    outcome = proven(renamed, "--html", "page.html")
    assert outcome.status == 1
    assert "old code fails after it, and new code before it" in outcome.out
    assert "  0002 migrate, then deploy" in outcome.out
    page = (renamed.directory / "page.html").read_text()
    assert WORDS in page
    assert "new code, on the old schema" in page
    assert "no such column: t_0001.n" in page
    (renamed.directory / "pyproject.toml").write_text(
        "[[tool.alembic-toolkit.roundtrip.exceptions]]\n"
        'revision = "0003"\ncheck = "old-code"\nreason = "at night"\n'
    )
    outcome = proven(renamed, "--format", "markdown")
    assert outcome.status == 0, outcome.out
    assert f"| {WORDS} |" in outcome.out


def test_it_is_a_test_of_the_plugin(renamed: Project) -> None:
    command = [sys.executable, "-m", "pytest", "--roundtrip", "alembic.ini", "-q", "-k", "old-code"]
    done = subprocess.run(
        [*command, "--roundtrip-check", "old-code", "-p", "no:cacheprovider"],
        cwd=renamed.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "FAILED alembic.ini::0003[sqlite-old-code] - " in done.stdout
    assert "1 failed, 2 passed" in done.stdout
