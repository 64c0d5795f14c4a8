"""Find the Git commit of a history's files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from alembic.script import ScriptDirectory

from alembic_toolkit.project import revisions

_WAIT = 10.0  # seconds, for a Git that asks another machine
_CODE = (".py", ".sql", ".ini", ".toml", ".mako")  # new files that can change what a history does


def commit(directory: ScriptDirectory) -> str:
    """Return the commit of a history's files, and whether they differ from it; '' without Git."""
    places = [place.resolve() for place in revisions.locations(directory) if place.is_dir()]
    if not places:
        return ""
    found = git(places[0], "rev-parse", "--short=12", "--verify", "--quiet", "HEAD")
    if not found:
        return ""
    changed = git(places[0], "status", "--porcelain", "--", *map(str, places))
    return f"{found}, with changes that are not committed" if changed else found


def repository(directory: Path) -> str:
    """Return the commit that a directory is at, and how many files differ; '' without Git."""
    found = git(directory, "rev-parse", "--short=10", "--verify", "--quiet", "HEAD")
    if not found:
        return ""
    changed = [
        line
        for line in git(directory, "status", "--porcelain", "--untracked-files=all").splitlines()
        # A page or a database that lies about changes nothing.
        if not line.startswith("??") or line.strip('"').endswith(_CODE)
    ]
    more = f", and {len(changed)} changed file{'s'[len(changed) == 1 :]} not committed"
    return found + (more if changed else "")


def git(place: Path, *arguments: str) -> str:
    """Return Git's output; '' if Git is not installed, or fails."""
    command = ["git", "--no-optional-locks", "-C", str(place), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_WAIT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
