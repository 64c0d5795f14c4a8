"""Which rows a statement can change, by its text."""

from __future__ import annotations

import re

# Statements that change no rows; and those that change none of other tables than they name. Not
# where several are sent at once.
KEEPS = re.compile(
    r"\s*(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX|COMMENT|PRAGMA)\b(?!.*;\s*\S)", re.I | re.S
)
SPARES_OTHERS = re.compile(
    r"\s*(CREATE|ALTER|SELECT|SHOW|INSERT\s+INTO(?!.*\b(CONFLICT|DUPLICATE)\b))\b(?!.*;\s*\S)",
    re.I | re.S,
)
# And those that change the rows of one table alone, whatever else they name.
_ONE_TABLE = re.compile(
    r"""\s*(?:(?:CREATE|ALTER)\s+TABLE(?!.*\b(?:RENAME|PARTITION)\b)
    |INSERT\s+INTO(?!.*\b(?:CONFLICT|DUPLICATE|UPDATE|DELETE)\b))
    (?:\s+IF\s+(?:NOT\s+)?EXISTS)?(?:\s+ONLY)?\s+((?:[\w.$]|"[^"]+"|`[^`]+`)+)(?!.*;\s*\S)""",
    re.I | re.S | re.X,
)
LOOKS = re.compile(r"\s*(SELECT|SHOW|PRAGMA|EXPLAIN|BEGIN|SAVEPOINT|RELEASE|SET)\b", re.I)


def about(sql: str) -> str:
    """Return a statement that names only the table whose rows it changes, if it is one table."""
    match = _ONE_TABLE.match(sql)
    return f"INSERT INTO {match[1]}" if match else sql
