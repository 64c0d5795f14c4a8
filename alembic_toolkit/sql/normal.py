"""One spelling for equivalent SQL texts, whatever their white space, quotes and case."""

from __future__ import annotations

import re
from collections.abc import Collection

from alembic_toolkit.sql.quoting import identifier
from alembic_toolkit.sql.tokens import unquoted


def words(text: str, separator: str | None = None) -> frozenset[str]:
    return frozenset(text.split(separator))


# Reserved on every server: these can be names only if they are quoted.
RESERVED = words(
    "add all alter and as asc between by case check column constraint create current_date"
    " current_time current_timestamp default delete desc distinct drop else exists for foreign from"
    " grant group having if in index insert integer int into is join key left like limit not null"
    " on or order primary references select set table then to trigger union unique update using"
    " values varchar varchar2 char numeric decimal when where with cascade restrict bigint smallint"
    " double float auto_increment"
)
_SPACED_BEFORE_PARENTHESIS = words(
    "in and or not check as values references over when then else like between is where from on"
    " select by join using exists case"
)


def quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else identifier('"', name)


def text(tokens: list[str], fold: bool = True, columns: Collection[str] = ()) -> str:
    """Write tokens in one way, whatever white space, quotes and letter case the author chose."""
    text = ""
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        if token[0] in '"`[':
            name = unquoted(token)
            token = quoted(name.lower() if name.lower() in columns else name)
        elif token[0] != "'" and (fold or token.lower() in RESERVED):
            token = token.lower()
        text += _gap(before, token, tokens[place - 2] if place > 1 else "") + token
    return text


def _gap(before: str, token: str, earlier: str) -> str:
    """Return the white space between two tokens."""
    if not before or before in "(." or token in "),.;":
        return ""
    if token == "(" and (before[0].isalnum() or before[0] in '_"`['):
        return " " if before.lower() in _SPACED_BEFORE_PARENTHESIS else ""
    sign = before in "+-" and (not earlier or not (earlier[-1].isalnum() or earlier[-1] in "_)'\""))
    return "" if sign else " "
