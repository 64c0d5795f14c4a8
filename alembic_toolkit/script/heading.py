"""When a script was written, by what version, and from which commit."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.installed import OURS, installed
from alembic_toolkit.project.commit import commit

EPOCH = "SOURCE_DATE_EPOCH"


def written(directory: ScriptDirectory) -> str:
    """Return the line: a comment.

    :raises CommandError: SOURCE_DATE_EPOCH is no number of seconds.
    """
    tool = f"{OURS} {installed()}"
    found = commit(directory)
    return f"-- Written on {_day()} by {tool}{f' from commit {found}' if found else ''}"


def _day() -> str:
    """Return today in UTC, or the day set for reproducible output.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    given = os.environ.get(EPOCH)
    if not given:
        return f"{datetime.now(timezone.utc):%Y-%m-%d}"
    try:
        return f"{datetime.fromtimestamp(int(given), timezone.utc):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            f"{EPOCH} is {given!r}, which is not a number of seconds since 1970; "
            "nothing was written\n"
            f"What to do next:\n    export {EPOCH}=$(git log -1 --format=%ct)"
        ) from None
