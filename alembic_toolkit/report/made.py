"""The circumstances of a report: when it was made, from which commit, with which versions."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime, timezone

from alembic_toolkit.installed import OURS, named


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
    packages = named([OURS, "Alembic", "SQLAlchemy"])
    when = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    return Made(when, commit, f"{packages and f'{packages}, '}Python {platform.python_version()}")
