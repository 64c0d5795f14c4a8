"""Defaults that are the moment at which a revision ran: ``server_default=str(datetime.now())``.

Every database has another one, so none of them says anything of the schema. What the history is
built with is known by the clock: it is a moment of that run. The file of schemas has `MOMENT`
instead, and where it does, each moment of a database is taken for it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

MOMENT = "1970-01-02 00:00:00"  # which every server takes, in any time zone
_LITERAL = re.compile(
    r"'(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[+-]\d\d(?::?\d\d)?|Z)?'"
)
_ZONES = timedelta(minutes=15)  # the clocks of all time zones differ by a multiple of that
_FARTHEST = timedelta(hours=14)
_ROUNDED = timedelta(seconds=1)  # up, by MySQL


def masked(text: str, since: datetime | None = None) -> str:
    """Return a definition with `MOMENT` instead of the moments in it.

    :param since: in UTC; only of those that a clock has shown since then, in any time zone.
    """

    def replaced(found: re.Match[str]) -> str:
        is_meant = since is None or _is_since(f"{found[1]} {found[2]}", since)
        return f"'{MOMENT}'" if is_meant else found[0]

    return _LITERAL.sub(replaced, text)


def _is_since(moment: str, since: datetime) -> bool:
    try:
        then = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    begun, now = since.replace(microsecond=0), datetime.now(timezone.utc)
    if not begun - _FARTHEST <= then <= now + _FARTHEST:
        return False
    return (then - begun) % _ZONES <= now - begun + _ROUNDED


def as_wanted(wanted: str | None, got: str) -> str:
    """Return a definition of a database so that a moment is the one that is wanted."""
    return masked(got) if wanted is not None and f"'{MOMENT}'" in wanted else got
