"""Under which circumstances a report was made: when, of which commit, with which versions."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = {"alembic-toolkit": "alembic-toolkit", "Alembic": "alembic", "SQLAlchemy": "sqlalchemy"}
_CODE = (".py", ".sql", ".ini", ".toml", ".mako")  # new files that can change what a history does


@dataclass(frozen=True)
class Made:
    """When a report was made, of what, with what."""

    when: str  # "2026-11-30 09:15 UTC"
    commit: str = ""  # "1a2b3c4d", with what was not committed; empty without git
    versions: str = ""  # "alembic-toolkit 0.1.0, Alembic 1.20.1, SQLAlchemy 2.1.9, Python 3.11.7"


def made_now(config: Path) -> Made:
    """Return the circumstances of now.

    :param config: the configuration file of the history; its directory says which repository.
    """
    found = []
    for name, package in _PACKAGES.items():
        with suppress(PackageNotFoundError):  # a clone that is not installed
            found.append(f"{name} {version(package)}")
    found.append(f"Python {platform.python_version()}")
    when = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    return Made(when, _commit(config.resolve().parent), ", ".join(found))


def _commit(directory: Path) -> str:
    """Return the commit of a directory, and whether there is more; nothing where git has none."""
    try:
        commit = _git(directory, "rev-parse", "--short=10", "HEAD").strip()
        status = _git(directory, "status", "--porcelain", "--untracked-files=all")
    except (OSError, subprocess.CalledProcessError, UnicodeError):  # no git, no repository
        return ""
    changed = [
        line
        for line in status.splitlines()
        # A page or a database that lies about changes nothing.
        if not line.startswith("??") or line.strip('"').endswith(_CODE)
    ]
    more = f", and {len(changed)} changed file{'s'[len(changed) == 1 :]} not committed"
    return commit + (more if changed else "")


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=True
    ).stdout
