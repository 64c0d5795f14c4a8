"""The names in statements: what these may have changed, or that this is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from alembic_toolkit.schema.ask import MARK
from alembic_toolkit.sql import normal
from alembic_toolkit.sql.tokens import cut, unquoted

# SQL without any of these words defines nothing: it only changes rows. (A SELECT may have an INTO,
# or call a function of an extension.)
DEFINING = frozenset(
    {"create", "alter", "drop", "rename", "comment", "reindex", "refresh", "cluster", "select"}
)


_WORDS = r"[^\W\d][\w$#]*|\d+[^\W\d][\w$]*"
_SCAN = re.compile(
    rf"""--[^\n]* | /\*(?!M?!).*?\*/ | /\*M?!\d*
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$) .*? (?P=dollar)
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\[\]'"`]*\])
    | (?P<word>{_WORDS}) | (?P<end>;)""",
    re.S | re.X,
)
# For MariaDB, and PostgreSQL's E'...': a backslash escapes a quote; and # begins a comment.
_SCAN_ESCAPED = re.compile(
    _SCAN.pattern.replace("(?:[^']|'')*'", r"(?:[^'\\]|\\.|'')*'").replace("--[", r"(?:--|\#)["),
    re.S | re.X,
)
# Statements that change no schema, or only the objects they name.
_HARMLESS = normal.words(
    "select insert update delete with values set reset show explain pragma begin start commit end"
    " savepoint release truncate lock unlock analyze vacuum optimize comment replace merge copy"
    " refresh reindex cluster grant revoke describe desc rename"
)
_CHANGES = frozenset({"create", "alter", "drop"})
# The kinds of objects in these statements, and the words that may precede the kind.
_KINDS = normal.words(
    "table view index sequence type domain trigger policy rule function procedure aggregate event"
)
_BEFORE_KIND = normal.words(
    "or replace temp temporary unlogged global local unique fulltext spatial materialized recursive"
    " constraint online offline ignore foreign virtual algorithm undefined merge temptable"
    " definer current_user sql security invoker"
)


def names_in(statements: Iterable[str]) -> frozenset[str] | None:
    """Return the words of SQL that can be names, as written and in lower case.

    Keywords are included: `take` needs a few, and no list tells which words a server accepts as
    names. A short string counts as well: SQLite accepts one as a name, and functions such as
    PostGIS's ``AddGeometryColumn`` take one. A long name is also included as PostgreSQL truncates
    it.

    :return: None if it is unknown what a statement changes: ``DO``, ``CALL``, a drop with
     ``CASCADE``, ``ALTER SCHEMA``, and everything that is not known to be harmless.
    """
    found: set[str] = set()
    for statement in statements:
        names = _names_in(statement)
        if names is None:
            return None
        found |= names
    return frozenset(found)


@lru_cache(maxsize=4096)
def _names_in(sql: str) -> frozenset[str] | None:
    found: set[str] = set()
    if sql.startswith(MARK):
        return frozenset()
    for scan in (_SCAN, _SCAN_ESCAPED) if "\\" in sql or "#" in sql else (_SCAN,):
        words: list[str] = []
        for match in scan.finditer(sql):
            kind, token = match.lastgroup, match.group()
            if kind == "word":
                words.append(token.lower())
                found |= {token, words[-1]}
            elif kind == "end":
                words.append(";")
            elif kind == "quoted" or (kind == "text" and len(token) < 130):
                found |= _names_of(token)
        if not _tells(words):
            return None
        of_column = words[:2] == ["alter", "table"] and ";" not in words[:-1]
        if "type" in words and not of_column:
            found.add(ABOUT_TYPES)
    return frozenset(found | {cut(name) for name in found})


ABOUT_TYPES = " type"  # marks a statement about types themselves


def _names_of(token: str) -> set[str]:
    name = unquoted(token)
    names = {name, name.lower()}
    # 'public.t' in a function's argument
    return names | {part for name in names if "." in name for part in name.split(".")}


def _tells(words: list[str]) -> bool:
    """Tell whether the names in statements are enough to know what they change."""
    for place, word in enumerate(words):
        if word == "cascade" and not (place > 1 and words[place - 2] == "on"):
            return False  # a drop; but not ON DELETE CASCADE
        # The owner of a sequence, or the objects in a schema, have moved.
        if word in ("owned", "atomic") or words[place : place + 2] == ["set", "schema"]:
            return False
    statements: list[list[str]] = [[]]
    for word in words:
        if word != ";":
            statements[-1].append(word)
        elif _kind(statements[-1]) not in ("trigger", "function", "procedure", "event"):
            statements.append([])  # otherwise the body continues; more statements after it are rare
    return all(map(_is_plain, filter(None, statements)))


def _is_plain(words: list[str]) -> bool:
    if words[0] in _CHANGES:
        kind = _kind(words)
        return kind in _KINDS and not (kind == "event" and "trigger" in words[:3])
    if words[0] in ("insert", "update", "delete", "with"):
        # Some revisions use shortcuts: UPDATE pg_attribute, DELETE FROM pg_enum.
        return not any(word.startswith("pg_") for word in words)
    if words[:3] == ["comment", "on", "schema"] or words[:2] == ["rename", "user"]:
        return False
    return words[0] in _HARMLESS


def _kind(words: list[str]) -> str | None:
    """Return the kind of object that a statement creates, alters or drops."""
    if not words or words[0] not in _CHANGES:
        return None
    for word in words[1:12]:
        if word in _KINDS or word not in _BEFORE_KIND:
            return word
    return None
