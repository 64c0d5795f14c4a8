"""The SQL that creates missing objects on SQLite, which supports only a few ALTER TABLEs.

Other changes are made with a new table, which gets the rows of the old one.
https://www.sqlite.org/lang_altertable.html#otheralter
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.sql.quoting import identifier
from alembic_toolkit.where.making.order import (
    VALUE,
    Things,
    Wanted,
    forbids_null,
    has_values,
    is_unnamed,
    needs_value,
)

_WORDS = {
    "primary key": "PRIMARY KEY",
    "unique": "UNIQUE",
    "check": "CHECK",
    "foreign key": "FOREIGN KEY",
}
_REBUILT = (*_WORDS, "table")


def make(wanted: Wanted) -> list[str]:
    """Return the statements in an executable order."""
    statements = [*_tables(wanted)]
    rebuilt = [*_rebuilt(wanted)]
    for table in rebuilt:
        statements += _rebuild(table, wanted)
    statements += _added(wanted, rebuilt)
    statements += _others(wanted, rebuilt)
    if rebuilt:
        statements = [*_BEFORE, *statements, *_AFTER]
    return statements


def _q(name: str) -> str:
    space, _, own = name.rpartition(".")
    return identifier('"', *filter(None, (space, own)))


def _tables(wanted: Wanted) -> Iterator[str]:
    for thing, text in wanted.new_tables():
        if text.startswith("VIRTUAL "):
            yield f"CREATE VIRTUAL TABLE {_q(thing.name)} {text.removeprefix('VIRTUAL ')}"
        else:
            yield _create(thing.name, wanted.state)


def _create(table: str, things: Things, name: str = "") -> str:
    """Write a table with all its parts."""
    own = {thing: text for thing, text in things.items() if thing.owner == table}
    counted = next(
        (text for thing, text in own.items() if thing.kind == "primary key" and _COUNTS in text), ""
    )
    parts = []
    for thing, text in own.items():
        if thing.kind == "column":
            key = f"({thing.name.lower()}" in counted.lower().replace('"', "")
            is_key = bool(counted) and key
            parts.append(f"{_q(thing.name)} {text}{' PRIMARY KEY AUTOINCREMENT' * is_key}".strip())
    for thing, text in own.items():
        if thing.kind in _WORDS and text != counted:
            named = "" if is_unnamed(thing) else f"CONSTRAINT {identifier(_MARK, thing.name)} "
            parts.append(f"{named}{_WORDS[thing.kind]} {text}")
    options = things.get(Thing("table", "", table), "")
    return f"CREATE TABLE {_q(name or table)} ({', '.join(parts)}) {options}".strip()


_MARK = '"'
_COUNTS = "AUTOINCREMENT"


def _rebuilt(wanted: Wanted) -> list[str]:
    """Return the tables that ALTER TABLE cannot fix."""
    owners = wanted.old_owners(*_WORDS)
    owners += [thing.owner or thing.name for thing, _ in wanted.differs(*_REBUILT, "column")]
    new = {thing.name for thing, _ in wanted.new_tables()}
    for thing, text in wanted.lacks("column"):
        if thing.owner not in new and not _can_be_added(text):
            owners.append(thing.owner)
    return [*dict.fromkeys(owners)]


def _can_be_added(text: str) -> bool:
    """Tell whether ADD COLUMN supports a column: https://www.sqlite.org/lang_altertable.html."""
    if "GENERATED ALWAYS" in text:
        return not text.endswith(" STORED")
    default = text.partition(" DEFAULT ")[2]
    if "NOT NULL" in text and not default:
        return False
    return not default.startswith(("(", "current_", "CURRENT_"))


def _added(wanted: Wanted, rebuilt: list[str]) -> Iterator[str]:
    new = {thing.name for thing, _ in wanted.new_tables()}
    for thing, text in wanted.lacks("column"):
        if thing.owner not in new and thing.owner not in rebuilt:
            column = f"{identifier(_MARK, thing.name)} {text}".strip()
            yield f"ALTER TABLE {_q(thing.owner)} ADD COLUMN {column}"


def _rebuild(table: str, wanted: Wanted) -> Iterator[str]:
    """Rebuild a table with the wanted definitions, keeping its other parts."""
    got = {thing: text for thing, text in wanted.got.items() if thing.owner == table}
    need = {
        thing: text
        for thing, text in wanted.state.items()
        if thing.owner == table or (thing.kind, thing.name) == ("table", table)
    }
    changed_keys = {thing for thing in wanted.missing if thing.kind == "primary key"}
    if changed_keys:  # there is at most one, and it has no name
        got = {thing: text for thing, text in got.items() if thing.kind != "primary key"}
    both = need | {thing: text for thing, text in got.items() if thing not in need}
    space, _, own = table.rpartition(".")
    old = f"_{own}_old"
    before = _q(".".join(filter(None, (space, old))))
    yield f"ALTER TABLE {_q(table)} RENAME TO {identifier(_MARK, old)}"
    yield _create(table, both)
    values = {
        identifier(_MARK, thing.name): value
        for thing, text in both.items()
        if thing.kind == "column" and "GENERATED ALWAYS" not in text
        if (value := _value(thing, text, got))
    }
    if values:
        columns, read = ", ".join(values), ", ".join(values.values())
        # If it fails, everything is rolled back, and later statements find nothing to drop.
        yield f"INSERT OR ROLLBACK INTO {_q(table)} ({columns}) SELECT {read} FROM {before}"
    yield f"DROP TABLE {before}"
    for thing, text in both.items():
        if thing.kind in ("index", "trigger") and thing not in wanted.missing:
            yield _other(thing, text)


def _value(thing: Thing, text: str, got: Things) -> str:
    """Return an old row's value for a column of the new table; else the column's default."""
    name = identifier(_MARK, thing.name)
    if thing not in got:
        return VALUE if needs_value(thing, text) else ""
    if not forbids_null(thing, text, got[thing]):
        return name
    default = text.partition(" DEFAULT ")[2] if has_values(text) else VALUE
    return f"coalesce({name}, {default})"


# The first two run outside a transaction. Without the second one a rename changes all views,
# triggers and keys. https://www.sqlite.org/pragma.html#pragma_foreign_keys,
# #pragma_legacy_alter_table
_BEFORE = ("PRAGMA foreign_keys = OFF", "PRAGMA legacy_alter_table = ON", "BEGIN")
_AFTER = ("COMMIT", "PRAGMA legacy_alter_table = OFF", "PRAGMA foreign_keys = ON")


def _others(wanted: Wanted, rebuilt: list[str]) -> Iterator[str]:
    for thing, _ in wanted.differs("view"):
        yield f"DROP VIEW {_q(thing.name)}"
    for thing, text in [*wanted.lacks("view"), *wanted.differs("view")]:
        yield _other(thing, text)
    for thing, text in wanted.differs("index", "trigger"):
        if thing.owner not in rebuilt:
            yield f"DROP {thing.kind.upper()} {identifier(_MARK, thing.name)}"
            yield _other(thing, text)
    for thing, text in wanted.lacks("index", "trigger"):
        yield _other(thing, text)


def _other(thing: Thing, text: str) -> str:
    name = identifier(_MARK, thing.name)
    if thing.kind == "index":
        unique = "UNIQUE " if text.startswith("UNIQUE ") else ""
        rest = text.removeprefix("UNIQUE ")
        return f"CREATE {unique}INDEX {name} ON {_q(thing.owner)} {rest}"
    if thing.kind == "trigger":
        return f"CREATE TRIGGER {name} {_begun(text)}"
    return f"CREATE VIEW {_q(thing.name)} {text}"


def _begun(text: str) -> str:
    return re.sub(r"\s+", " ", text) if "'" not in text else text
