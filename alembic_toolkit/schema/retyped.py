"""Distinguish PostgreSQL's own rewrites from a revision's changes.

When the type of a column changes, PostgreSQL rewrites each check, index and default that uses it
with the casts that the new type needs. When it changes back, some casts remain (``quantity > 0`` is
``quantity::numeric > 0::numeric``). Only the server can tell whether that is the only difference,
so the same changes are made to an empty table.

https://www.postgresql.org/docs/current/sql-altertable.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import ask
from alembic_toolkit.schema.servers import casts_anew
from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.schema.take import take
from alembic_toolkit.sql.quoting import identifier

_MARK = '"'
_SCRATCH = "alembic_toolkit_scratch"
# The text after a column's type, and after its default: see the columns in `postgresql`.
_AFTER_TYPE = re.compile(
    r" (?:COLLATE|CONSTRAINT|NOT NULL|GENERATED|DEFAULT|OWNS|STORAGE|STATISTICS"
    r"|WITH \(|OPTIONS \(|COMMENT ')"
)
_DEFAULT = re.compile(
    r" DEFAULT (.*?)"
    r"(?= GENERATED | OWNS | STORAGE | STATISTICS | WITH \(| OPTIONS \(| COMMENT '|$)",
    re.S,
)
_INDEX = re.compile(r"(UNIQUE )?(\w+ )?(\(.*)", re.S)


def settled(
    connection: Connection,
    undone: Callable[[Connection], AbstractContextManager[None]],
    wanted: Snapshot,
    between: Snapshot,
    got: Snapshot,
) -> Snapshot:
    """Return a snapshot with an earlier one's texts, if the server writes them differently.

    :param undone: a context that undoes changes.
    :param between: the types that columns had in between.
    """
    if not casts_anew(connection.dialect.name):
        return got
    differing = [
        thing
        for thing in sorted(wanted.keys() & got.keys())
        if wanted[thing] != got[thing] and thing.kind in _MAKE
    ]
    same = got.copy()
    for thing in differing:
        if thing.kind == "column" and _same_default(connection, undone, wanted[thing], got[thing]):
            same[thing] = wanted[thing]
    for table in sorted({thing.owner for thing in differing}):
        things = [thing for thing in differing if thing.owner == table]
        types = {*_retyped(table, between, got)}
        if types:
            try:
                with undone(connection):
                    texts = _remade(connection, table, types, things, wanted, got)
            except DBAPIError:  # the server refuses these changes
                continue
            same.update({t: wanted[t] for t in things if texts.get(t) == got[t]})
    return same


_CONSTANT = re.compile(r"\(*(?:[+-]?\d[\d.]*|'(?:[^']|'')*'|true|false)(?:::[\w ()\[\],.\"]+|\))*")
_NOW = re.compile(r"(?:now|transaction_timestamp)\(\)|CURRENT_TIMESTAMP")


def _same_default(
    connection: Connection,
    undone: Callable[[Connection], AbstractContextManager[None]],
    wanted: str,
    got: str,
) -> bool:
    """Return whether two texts of a column differ only in the spelling of a default."""
    texts = wanted, got
    found = [_DEFAULT.search(text) for text in texts]
    rests = [_DEFAULT.sub("", text, count=1) for text in texts]
    one, other = (match[1] if match else "" for match in found)
    if rests[0] != rests[1] or one == other:
        return False
    if all(map(_CONSTANT.fullmatch, (one, other))):
        type_ = _type(rests[0])
        query = f"SELECT ({one})::{type_}::text = ({other})::{type_}::text"
        try:
            with undone(connection):
                return bool(ask(connection, query)[0][0])
        except DBAPIError:
            return False
    return all(map(_NOW.fullmatch, (one, other)))


def _retyped(table: str, between: Snapshot, got: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Yield the columns that had another type in between: name, that type, its type."""
    columns = {t for t in got if t.kind == "column" and t.owner == table}
    others = {t for t in between if t.kind == "column" and t.owner == table} - columns
    renamed = columns - between.keys()  # and back: with one column it is clear which one
    names = {
        t: o for t, o in zip(renamed, others, strict=False) if len(renamed) == len(others) == 1
    }
    for thing in columns:
        was = names.get(thing, thing)
        if was in between:
            types = _type(between[was]), _type(got[thing])
            if types[0] != types[1]:
                yield (thing.name, *types)


def _type(text: str) -> str:
    end = _AFTER_TYPE.search(text)
    return text[: end.start()] if end else text


def _remade(
    connection: Connection,
    table: str,
    types: set[tuple[str, str, str]],
    things: list[Thing],
    wanted: Snapshot,
    got: Snapshot,
) -> dict[Thing, str]:
    """Return the texts after changing the types of an empty table there and back."""

    space, _, name = table.rpartition(".")
    ask(connection, f"CREATE TABLE {_SCRATCH} (LIKE {identifier(_MARK, space, name)})")
    for number, thing in enumerate(things):
        ask(connection, _MAKE[thing.kind](number, thing, wanted[thing]))
    for way in (1, 2):
        for one in sorted(types):
            column = identifier(_MARK, one[0])
            ask(connection, f"ALTER TABLE {_SCRATCH} ALTER {column} TYPE {one[way]} USING NULL")
    found = take(connection, got, {"create", "table", _SCRATCH})
    return {
        thing: _read(number, thing, found, wanted[thing]) for number, thing in enumerate(things)
    }


def _read(number: int, thing: Thing, found: Snapshot, wanted: str) -> str:
    if thing.kind != "column":
        return found.get(Thing(thing.kind, _SCRATCH, f"{_SCRATCH}_{number}"), "")
    default = _DEFAULT.search(found.get(Thing("column", _SCRATCH, thing.name), ""))
    return _DEFAULT.sub(lambda _: default[0] if default else "", wanted, count=1)


def _make_constraint(number: int, thing: Thing, text: str) -> str:
    kind = "EXCLUDE" if thing.kind == "exclusion" else "CHECK"
    return f"ALTER TABLE {_SCRATCH} ADD CONSTRAINT {_SCRATCH}_{number} {kind} {text}"


def _make_index(number: int, _: Thing, text: str) -> str:
    match = _INDEX.match(text)
    assert match is not None
    unique, method, rest = match[1] or "", match[2] or "btree ", match[3]
    return f"CREATE {unique}INDEX {_SCRATCH}_{number} ON {_SCRATCH} USING {method}{rest}"


def _make_default(_: int, thing: Thing, text: str) -> str:
    default = _DEFAULT.search(text)
    column = identifier(_MARK, thing.name)
    return f"ALTER TABLE {_SCRATCH} ALTER {column} SET DEFAULT {default[1] if default else 'NULL'}"


_MAKE: dict[str, Callable[[int, Thing, str], str]] = {
    "check": _make_constraint,
    "exclusion": _make_constraint,
    "index": _make_index,
    "column": _make_default,
}
