"""Break long statements into lines, where it is certain that nothing but that changes."""

from __future__ import annotations

import re

import sqlparse

_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`)""")
_QUERIES = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def readable(sql: str) -> str:
    """Break a long statement into lines, where it is certain that nothing but that changes."""
    # A backslash, a # and a dollar quote mean one thing here and another there.
    if re.search(r"[\\#$]|--", sql):
        return sql
    pieces = _QUOTED.split(sql)
    pieces[::2] = [re.sub(r" +(?=\n)", "", p.replace("\t", "    ")) for p in pieces[::2]]
    plain = "".join(pieces).strip()
    if len(plain) < 80 or not plain.upper().startswith(_QUERIES):
        return plain
    try:
        broken = sqlparse.format(plain, reindent=True)
    except sqlparse.exceptions.SQLParseError:  # more than 10,000 words
        return plain
    return broken if _essence(broken) == _essence(plain) else plain


def _essence(sql: str) -> list[str]:
    pieces = _QUOTED.split(sql)
    pieces[::2] = ["".join(piece.split()) for piece in pieces[::2]]
    return pieces
