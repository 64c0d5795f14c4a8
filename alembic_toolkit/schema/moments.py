"""Defaults that are the time at which a revision ran: ``server_default=str(datetime.now())``.

Every database has a different one, so none of them is a property of the schema. When the history is
built, such a default is recognized by the clock: it lies within that run. The file of schemas
contains `MOMENT` instead, which then matches any time in a database.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

MOMENT = "1970-01-02 00:00:00"  # every server accepts this, in any time zone
_LITERAL = re.compile(
    r"'(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[+-]\d\d(?::?\d\d)?|Z)?'"
)
_ZONES = timedelta(minutes=15)  # the clocks of all time zones differ by a multiple of that
_FARTHEST = timedelta(hours=14)
_ROUNDED = timedelta(seconds=1)  # MySQL rounds up


def masked(text: str, since: datetime | None = None) -> str:
    """Return a definition in which `MOMENT` replaces times.

    :param since: in UTC; only times since then are replaced, in any time zone.
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
    """Return a database's definition in which a time equals the wanted one."""
    return masked(got) if wanted is not None and f"'{MOMENT}'" in wanted else got
