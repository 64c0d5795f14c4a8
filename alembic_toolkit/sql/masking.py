"""Mask values in SQL: the part of a statement that may be stored, without passwords or tokens."""

from __future__ import annotations

import re

from alembic_toolkit.sql.tokens import is_noise, tokenize

HIDDEN = "…"
_DOLLARS = re.compile(r"(?<![\w$])\$(\w*)\$.*?(?:\$\1\$|\Z)", re.S)
# After these the end of a string is unknown: possible escapes; nested comments, which PostgreSQL
# supports; and MariaDB's executable comments, in which a quote may or may not count.
_UNCLEAR = re.compile(r"\\ | /\*(?:(?!\*/).)*/\*", re.S | re.X)
_UNCLEAR_TO_MYSQL = re.compile(rf"{_UNCLEAR.pattern} | \# | --(?!\s)", re.S | re.X)


def masked(sql: str, quotes: str = "'") -> str:
    """Return a statement on one line, with ``…`` for each literal, and without comments.

    :param quotes: characters that begin a string: on MariaDB, MySQL and SQLite also ``"``.
    """
    if (_UNCLEAR_TO_MYSQL if '"' in quotes else _UNCLEAR).search(sql):
        first = min((at for at in map(sql.find, quotes) if at >= 0), default=len(sql))
        sql = sql[:first] + (f"'{HIDDEN}'" if first < len(sql) else "")
    parts = []
    for token in tokenize(_DOLLARS.sub(f"'{HIDDEN}'", sql)):
        if token in quotes:  # an unterminated string
            parts.append(f"'{HIDDEN}")
            break
        if token[0] in quotes:
            parts.append(f"'{HIDDEN}'")
        elif token[0].isdigit() or (token[0] == "." and token[1:2].isdigit()):
            parts.append(HIDDEN)
        else:
            parts.append(" " if is_noise(token) else token)
    return " ".join("".join(parts).split())


def literals(sql: str) -> set[str]:
    """Return the values in a statement: its strings, and its long numbers."""
    tokens = tokenize(sql)
    strings = {token[1:-1].replace("''", "'") for token in tokens if token[0] in "'\""}
    return strings | {token for token in tokens if token[0].isdigit() and len(token) > 5}


# How servers quote values that they refuse. A value may itself contain quotes and parentheses.
_VALUES = re.compile(
    r"(?<=near\ )([\"']).*\1"  # a piece of the statement
    r" | (?<=\)=)\(.*\) | (?<=contains\ )\(.*\) | (?<=entry\ )'.*'(?=\ for)"
    r" | (?<=value:\ )'.*'(?=\ for\ column) | (?<=value:\ )'.*' | (?<=:\ )\".*\""
    r" | (?<=value\ )\".*\"(?=\ is\ out) | ^\".*\"(?=\ is\ out) | '.*'(?=\ value\ found)"
    r" | (?<=Token\ )\".*\"(?=\ is\ invalid) | (?<=found\ )\".*\" | (?<=time\ zone\ )\".*\""
    r" | (?<=range\ in\ )'.*' | (?<=convert\ )'.*'(?=\ to)",
    re.X | re.S,
)
# How SQLAlchemy and PostgreSQL's drivers show a statement in an error's text.
_SHOWN = re.compile(
    r"\n?\[SQL:\ .*?(?=\n\(Background\ on|\Z) | \nLINE\ \d+:[^\n]*(?:\n[ \t]*\^)?", re.X | re.S
)


def masked_words(text: str, values: set[str]) -> str:
    """Return a server's message without these values, and without values of rows."""
    text = _VALUES.sub(HIDDEN, _SHOWN.sub("", text))
    for value in sorted(filter(None, values), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    return text
