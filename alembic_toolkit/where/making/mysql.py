"""The SQL that creates missing objects on MariaDB and MySQL, from SHOW CREATE."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.sql.normal import RESERVED
from alembic_toolkit.sql.quoting import identifier
from alembic_toolkit.where.making.order import (
    VALUE,
    Wanted,
    forbids_null,
    has_values,
    is_unnamed,
    needs_value,
)

_PARTS = ("column", "primary key", "unique", "index", "check")


def make(wanted: Wanted) -> list[str]:
    """Return the statements in an executable order."""
    state = {thing: _requoted(thing, text, wanted) for thing, text in wanted.state.items()}
    wanted = replace(wanted, state=state)
    return [*_tables(wanted), *_keys(wanted), *_programs(wanted)]


def _requoted(thing: Thing, text: str, wanted: Wanted) -> str:
    """Quote column names that are SQL keywords again, in expressions and views."""
    names = {one.name for one in wanted.state if one.kind == "column"}
    reserved = "|".join(sorted(name for name in names if name.lower() in RESERVED))
    if not reserved or thing.kind not in ("column", "check", "view"):
        return text
    word = re.compile(rf"('(?:[^'\\]|\\.|'')*')|(?<!`)\b({reserved})\b(?!`| by\b)")
    head, marker, rest = text.partition(" AS (") if thing.kind == "column" else ("", "", text)
    quoted = word.sub(lambda found: found[1] or _q(found[2]), rest)
    return f"{head}{marker}{quoted}" if marker or thing.kind != "column" else text


def _q(name: str) -> str:
    return identifier("`", name)


def _tables(wanted: Wanted) -> Iterator[str]:
    for thing, text in wanted.lacks("sequence"):
        yield f"CREATE SEQUENCE {_q(thing.name)} {text}"
    for thing, text in wanted.new_tables():
        parts = [_clause(*one) for one in wanted.of(thing.name, *_PARTS) if not _is_made(*one)]
        yield f"CREATE TABLE {_q(thing.name)} ({', '.join(parts)}) {text}"
    for table in dict.fromkeys([*wanted.old_owners(*_PARTS), *_altered(wanted)]):
        gone = [_drop(thing) for thing, _ in wanted.differs(*_PARTS[1:]) if thing.owner == table]
        other = [
            f"MODIFY COLUMN {_clause(thing, text)}"
            for thing, text in wanted.differs("column")
            if thing.owner == table
        ]
        again = [one for one in wanted.differs(*_PARTS[1:]) if one[0].owner == table]
        added = [one for one in [*wanted.of(table, *_PARTS), *again] if not _is_made(*one)]
        made = [f"{_way(thing, text)}{_clause(thing, text)}" for thing, text in added]
        yield from _filled(table, wanted)
        if parts := [*gone, *other, *made]:
            yield f"ALTER TABLE {_q(table)} {', '.join(parts)}"


def _altered(wanted: Wanted) -> list[str]:
    return [thing.owner for thing, _ in wanted.differs(*_PARTS)]


def _is_made(thing: Thing, _: str) -> bool:
    """Tell whether the server creates an index by itself, with a foreign key."""
    return thing.kind == "index" and is_unnamed(thing)


def _way(thing: Thing, text: str) -> str:
    if needs_value(thing, text):
        return "MODIFY COLUMN "  # `_filled` has created it
    return "ADD COLUMN " if thing.kind == "column" else "ADD "


def _filled(table: str, wanted: Wanted) -> Iterator[str]:
    """Give columns that become NOT NULL values first; the server would use '' and 0."""
    found = {thing: was for thing, (was, _) in wanted.changed.items()}
    for thing, text in [*wanted.of(table, "column"), *wanted.differs("column")]:
        if thing.owner != table or not forbids_null(thing, text, found.get(thing, "")):
            continue
        if (thing not in found and has_values(text)) or "AUTO_INCREMENT" in text:
            continue
        name, way = _q(thing.name), "MODIFY" if thing in found else "ADD"
        yield f"ALTER TABLE {_q(table)} {way} COLUMN {_nullable(thing, text)}"
        value = "DEFAULT" if has_values(text) else VALUE
        yield f"UPDATE {_q(table)} SET {name} = {value} WHERE {name} IS NULL"


def _nullable(thing: Thing, text: str) -> str:
    return _clause(thing, text.replace("NOT NULL", "NULL", 1))


def _drop(thing: Thing) -> str:
    if thing.kind == "primary key":
        return "DROP PRIMARY KEY"
    kind = "CONSTRAINT" if thing.kind == "check" else "INDEX"
    return f"DROP {kind} {_q(thing.name)}"


def _clause(thing: Thing, text: str) -> str:
    """Write a part of a table as in its CREATE."""
    named = "" if is_unnamed(thing) else f"CONSTRAINT {_q(thing.name)} "
    if thing.kind == "column":
        return f"{_q(thing.name)} {text}"
    if thing.kind == "primary key":
        return f"PRIMARY KEY {_columns(text)}"
    if thing.kind == "check":
        return f"{named}CHECK {text}"
    if thing.kind == "unique":
        return f"UNIQUE KEY {_q(thing.name)} {_columns(text)}"
    if thing.kind == "foreign key":
        head, _, rest = text.partition(" REFERENCES ")
        parent, columns, actions = re.split(r" (\([^)]*\))", rest, maxsplit=1)
        target = ".".join(_q(one.strip("`")) for one in parent.split("."))
        reference = f"{target} {_columns(columns)}{actions}"
        return f"{named}FOREIGN KEY {_columns(head)} REFERENCES {reference}"
    before, _, columns = text.partition("(")
    return f"{before}KEY {_q(thing.name)} {_columns(f'({columns}')}"


_KEY = re.compile(r"(?<=[(,])(?!\d+\))\w+(?=[(,) ])")  # but the length of a prefix


def _columns(text: str) -> str:
    """Quote the columns of a key again, except those of an expression."""
    if "((" in text:
        return text
    end = text.rfind(")") + 1
    return _KEY.sub(lambda found: _q(found[0]), text[:end]) + text[end:]


def _keys(wanted: Wanted) -> Iterator[str]:
    for thing, _ in wanted.differs("foreign key"):
        yield f"ALTER TABLE {_q(thing.owner)} DROP FOREIGN KEY {_q(thing.name)}"
    for thing, text in [*wanted.lacks("foreign key"), *wanted.differs("foreign key")]:
        yield f"ALTER TABLE {_q(thing.owner)} ADD {_clause(thing, text)}"


def _programs(wanted: Wanted) -> Iterator[str]:
    for thing, text in [*wanted.lacks("view"), *wanted.differs("view")]:
        options, _, query = f" {text}".partition(" AS ")
        or_replace = "OR REPLACE " if thing in wanted.changed else ""
        yield f"CREATE {or_replace}{options.strip()} VIEW {_q(thing.name)} AS {query}"
    for kind in ("function", "procedure", "event", "trigger"):
        for thing, _ in wanted.differs(kind):
            yield f"DROP {kind.upper()} {_q(thing.name)}"
    for _, text in [*wanted.lacks(*_ROUTINES), *wanted.differs(*_ROUTINES)]:
        yield f"CREATE {text}"
    for thing, text in [*wanted.lacks("trigger"), *wanted.differs("trigger")]:
        timing, event, body = text.split(" ", 2)
        body = re.sub(r" ORDER \d+$", "", body)
        head = f"CREATE TRIGGER {_q(thing.name)} {timing} {event} ON {_q(thing.owner)}"
        yield f"{head} FOR EACH ROW {body}"


_ROUTINES = ("function", "procedure", "event")
