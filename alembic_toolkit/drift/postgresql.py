"""Acceptable differences between PostgreSQL's texts, and what models' tables may need there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.sql.quoting import identifier

MARK = '"'  # around a name

_TYPE = (
    r"(?:character varying|double precision|timestamp(?:\(\d\))? with(?:out)? time zone"
    r"|time(?:\(\d\))? with(?:out)? time zone|bit varying"
    r'|(?:"(?:[^"]|"")*"|[a-z_][\w$]*)(?:\.(?:"(?:[^"]|"")*"|[a-z_][\w$]*))?)'
    r"(?:\(\d+(?:,\d+)?\))?(?:\[\])*"
)
_LITERAL = r"'(?:[^']|'')*'|-?\d[\d.]*|NULL|true|false"
# Casts that the server adds where a type was another one, or the author wrote none.
_CAST_LITERAL = re.compile(rf"(?:\(({_LITERAL})\)|({_LITERAL}))::{_TYPE}")
_WIDER = r"(?:text|numeric|bigint|integer|double precision|character varying|bpchar)(?:\[\])?"
_CAST_NAME = re.compile(rf"\(([a-z_][\w$]*|\"(?:[^\"]|\"\")*\")\)::{_WIDER}(?!\(\d)")
_CAST_ARRAY = re.compile(rf"\((ARRAY\[[^\[\]]*\])\)::{_TYPE}|(ARRAY\[[^\[\]]*\])::{_TYPE}")
_NUMBER = re.compile(r"(?<![\w.'])\(?'?(-?\d+(?:\.\d+)?)'?\)?(?![\w.'])")
_NOW = re.compile(r"\bnow\(\)|\btransaction_timestamp\(\)")


def same(text: str) -> str:
    """Write an expression without casts that PostgreSQL may or may not have kept.

    https://www.postgresql.org/docs/current/sql-altertable.html
    """
    before = ""
    while before != text:
        before = text
        text = _CAST_LITERAL.sub(lambda match: match[1] or match[2], text)
        text = _CAST_ARRAY.sub(lambda match: match[1] or match[2], text)
        text = _CAST_NAME.sub(lambda match: match[1], text)
    return _NOW.sub("CURRENT_TIMESTAMP", text)


_OF_DBA = re.compile(
    r" ?(?:CLUSTER\b|REPLICA IDENTITY\b(?: \w)?|TABLESPACE (?:\"[^\"]*\"|\S+)"
    r"|(?:FORCE )?ROW LEVEL SECURITY)"
)
_PARTITION = re.compile(r" ?PARTITION OF .*? (?:DEFAULT|FOR VALUES .*)", re.S)


def rename(kind: str, table: str, old: str, new: str) -> str:
    names = [identifier(MARK, name) for name in (old, new)]
    space, _, own = table.rpartition(".")
    if kind == "index":
        return f"ALTER INDEX {identifier(MARK, space, old)} RENAME TO {names[1]}"
    return f"ALTER TABLE {identifier(MARK, space, own)} RENAME CONSTRAINT {names[0]} TO {names[1]}"


def table_settings(text: str) -> str:
    """Return a table's settings, without those that an administrator or a job decides."""
    return _PARTITION.sub("", _OF_DBA.sub("", text)).strip()


def key_text(kind: str, text: str) -> str:
    """Return the text of a key or an index, without parts that an administrator decides."""
    text = _OF_DBA.sub("", text)
    return _COMMENT.sub("", text) if kind == "index" else text


# What models leave to others


def needed(database: Snapshot, own: set[str]) -> Iterator[str]:
    """Yield SQL that creates objects which tables may need and models do not create."""
    yield "SET check_function_bodies = off"
    for kind in _BEFORE:
        for thing, text in sorted(database.items()):
            if thing.kind == kind and thing.name.rpartition(".")[2] not in own:
                space, _, name = thing.name.rpartition(".")
                yield _CREATE[kind](identifier(MARK, space, name), text, thing, database)


# In the order in which one may need another.
_BEFORE = (
    "schema",
    "extension",
    "enum",
    "composite type",
    "range",
    "domain",
    "sequence",
    "function",
)
_Write = Callable[[str, str, Thing, Snapshot], str]
_COMMENT = re.compile(r" ?COMMENT E?'(?:[^'\\]|\\.|'')*'$", re.S)


def _bare(text: str) -> str:
    return _COMMENT.sub("", text)


def _extension(name: str, text: str, *_: Any) -> str:
    space = text.partition(" SCHEMA ")[2]
    return f"CREATE EXTENSION IF NOT EXISTS {name}" + (f" SCHEMA {space}" if space else "")


def _domain(name: str, text: str, thing: Thing, database: Snapshot) -> str:
    checks = "".join(
        f" CONSTRAINT {identifier(MARK, check.name)} CHECK {_bare(of)}"
        for check, of in sorted(database.items())
        if check.kind == "check" and check.owner == thing.name
    )
    return f"CREATE DOMAIN {name} AS {_bare(text)}{checks}"


_CREATE: dict[str, _Write] = {
    "schema": lambda name, *_: f"CREATE SCHEMA IF NOT EXISTS {name}",
    "extension": _extension,
    "enum": lambda name, text, *_: f"CREATE TYPE {name} AS ENUM {_bare(text)}",
    "composite type": lambda name, text, *_: f"CREATE TYPE {name} AS {_bare(text)}",
    "range": lambda name, text, *_: f"CREATE TYPE {name} AS RANGE (SUBTYPE = {text.split()[0]})",
    "domain": _domain,
    "sequence": lambda name, text, *_: f"CREATE SEQUENCE {name} {_bare(text)}",
    "function": lambda _, text, *more: _bare(text),
}
