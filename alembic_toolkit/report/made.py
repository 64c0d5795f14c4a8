"""The circumstances of a report: when it was made, from which commit, with which versions."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = {"alembic-toolkit": "alembic-toolkit", "Alembic": "alembic", "SQLAlchemy": "sqlalchemy"}


@dataclass(frozen=True)
class Made:
    """When a report was made, from which commit, and with which versions."""

    when: str  # "2026-11-30 09:15 UTC"
    commit: str = ""  # "1a2b3c4d", with what was not committed; empty without git
    versions: str = ""  # "alembic-toolkit 0.1.0, Alembic 1.20.1, SQLAlchemy 2.1.9, Python 3.11.7"


def made_now(commit: str) -> Made:
    """Return the present circumstances.

    :param commit: that of the history's files, with what was not committed; empty without git.
    """
    found = []
    for name, package in _PACKAGES.items():
        with suppress(PackageNotFoundError):  # a clone that is not installed
            found.append(f"{name} {version(package)}")
    found.append(f"Python {platform.python_version()}")
    when = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    return Made(when, commit, ", ".join(found))
