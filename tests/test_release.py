"""What scripts/release does, in a clone of its own: it uploads nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import alembic_helpers
from tests.copies import Copy, Outcome, copy_repository

VERSION = alembic_helpers.__version__
COMMIT = "git -c user.name=test -c user.email=test@localhost commit -qm test"


@pytest.fixture
def clone(tmp_path: Path) -> Copy:
    """Make a clone that could be released: all is committed, and the changelog has the version."""
    copy = copy_repository(tmp_path / "clone")
    put_version(copy, VERSION)
    outcome = copy.run(f"git init -q && git add -A && {COMMIT}")
    assert outcome.status == 0, outcome.printed
    return copy


def put_version(copy: Copy, version: str) -> None:
    """Write the newest heading of the changelog."""
    path = copy.directory / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^## .*", f"## {version} (2026-11-30)", text, count=1), "utf-8")


def release(copy: Copy) -> Outcome:
    return copy.run("scripts/release", 900, PYTHON=sys.executable)


def test_release_is_refused_when_something_is_not_committed(clone: Copy) -> None:
    (clone.directory / "new.txt").touch()
    assert release(clone) == Outcome(
        1, "scripts/release: some changes are not committed; see git status\n"
    )


def test_release_is_refused_when_the_changelog_is_of_another_version(clone: Copy) -> None:
    put_version(clone, "9.9.9")
    outcome = release(clone)
    assert outcome.status == 1
    assert outcome.printed == (
        "scripts/release: CHANGELOG.md begins with '9.9.9 (2026-11-30)', "
        f"and not with '{VERSION} (date)'\n"
    )


def test_release_is_refused_outside_a_clone(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "archive")
    put_version(copy, VERSION)
    outcome = release(copy)
    assert outcome.status == 1
    assert outcome.printed.startswith("scripts/release: fatal: not a git repository")
    assert not (copy.directory / "dist").exists()


@pytest.mark.long  # half a minute, most of it for installing
def test_release_is_built_checked_and_tried_and_not_uploaded(clone: Copy) -> None:
    outcome = release(clone)
    if "No matching distribution" in outcome.printed:
        pytest.skip("not on this machine: a package index")
    assert outcome.status == 0, outcome.printed
    names = {f"alembic_toolkit-{VERSION}.tar.gz", f"alembic_toolkit-{VERSION}-py3-none-any.whl"}
    assert {path.name for path in (clone.directory / "dist").iterdir()} == names
    assert outcome.printed.count("PASSED") == 2
    assert outcome.printed.count(f"smoke: {VERSION} works") == 2
    assert outcome.printed.endswith("twine upload dist/*\n")
    assert clone.run("git status --porcelain").printed == ""
