"""Tell whether a statement may commit, as far as its text shows."""

from __future__ import annotations

import re

from alembic_toolkit.sql.statements import Syntax, Unreadable, apart

_COMMENTS = re.compile(r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*", re.S)
COMMITS = re.compile(r"(COMMIT|END)\b")
_MAY_COMMIT = re.compile(r";.*\b(COMMIT|END)\b", re.I | re.S)

# On MariaDB and MySQL: statements that run others, by name, prepared or nested.  Only the server
# knows whether they commit.  https://mariadb.com/kb/en/using-compound-statements-outside-of-stored-programs/
_PREPARED = r"EXECUTE|DO|SET\s+STATEMENT"
_COMPOUND = r"CALL|BEGIN\s+NOT\s+ATOMIC|IF|CASE|FOR|LOOP|REPEAT|WHILE"
UNFORESEEN = re.compile(rf"({_PREPARED}|{_COMPOUND})\b")
COMPOUND = re.compile(rf"({_COMPOUND})\b")


def beginning(statement: str) -> str:
    """Return the beginning of a statement in upper case, without leading comments."""
    match = _COMMENTS.match(statement)
    return statement[match.end() if match else 0 :][:80].upper()


def behind_commit(statement: str, syntax: Syntax | None) -> list[str] | None:
    """Return the part of a string of several statements after its last commit, if any.

    None if it is one statement, or does not commit.
    """
    if syntax is None or not _MAY_COMMIT.search(statement):
        return None
    try:
        starts = [beginning(part) for part in apart(statement, syntax)]
    except Unreadable:
        return None  # the server will report it
    starts = [start for start in starts if start]
    last = max((at for at, start in enumerate(starts) if COMMITS.match(start)), default=0)
    return starts[last + 1 :] if last else None
