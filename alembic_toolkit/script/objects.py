"""The objects that a script for SQLite creates and drops, so that it can refuse before doing harm.

SQLite has no conditions for CREATE and DROP: when a script is run again, it repeats them.  So the
script checks first, and stops if they would change an object that it has not created itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from alembic_toolkit.sql.quoting import identifier, literal
from alembic_toolkit.sql.tokens import TOKEN, is_noise, unquoted

KINDS = ("TABLE", "INDEX", "VIEW", "TRIGGER")
ROWS = ("INSERT", "UPDATE", "DELETE", "REPLACE")
Thing = tuple[str, str, str]
"""A kind, a schema, and a name in small letters."""
THERE = "temp.alembic_there"  # the objects that existed before the script


def master(schema: str) -> str:
    """Return the table in which SQLite stores the objects of a schema."""
    mark = '"'
    return f"{identifier(mark, schema)}.sqlite_master"


@dataclass(frozen=True)
class Ddl:
    """A statement that creates or drops one object."""

    creates: bool
    kind: str
    schema: str
    name: str
    owner: str  # the table of an index or a trigger
    guarded: str  # the statement, with IF [NOT] EXISTS
    was_guarded: bool

    @property
    def thing(self) -> Thing:
        return self.kind, self.schema, self.name.lower()

    @property
    def owner_thing(self) -> Thing:
        return "TABLE", self.schema, self.owner

    def exists(self, where: str = "") -> str:
        """Return the condition that it exists now, or existed before the script."""
        place = f"type = '{self.kind.lower()}' AND name = {literal(self.name)} COLLATE NOCASE"
        table = where or master(self.schema)
        place += f" AND place = {literal(self.schema)}" if where else ""
        return f"EXISTS (SELECT 1 FROM {table} WHERE {place})"

    @property
    def shown(self) -> str:
        return f"{self.kind.lower()} {self.name}"


def ddl_of(sql: str) -> Ddl | None:
    """Return the object that a statement creates or drops; None for any other statement."""
    found = (match for match in TOKEN.finditer(sql) if not is_noise(match[0]))
    tokens = list(islice(found, 16))
    words = [match[0].upper() for match in tokens]
    verb = words.pop(0) if words else ""
    if words[:1] == ["UNIQUE"]:
        words.pop(0)
    if verb not in ("CREATE", "DROP") or not words or words[0] not in KINDS:
        return None
    kind, words = words[0], words[1:]
    condition = ["IF", "NOT", "EXISTS"] if verb == "CREATE" else ["IF", "EXISTS"]
    was_guarded = words[: len(condition)] == condition
    words = words[len(condition) :] if was_guarded else words
    rest = tokens[len(tokens) - len(words) :]
    if not rest:
        return None
    names = [unquoted(match[0]) for match in rest]
    schema, names = (names[0], names[2:]) if words[1:2] == ["."] else ("main", names)
    if not names:
        return None
    start = rest[0].start()
    guarded = sql if was_guarded else f"{sql[:start]}{' '.join(condition)} {sql[start:]}"
    on = words.index("ON") + 1 if "ON" in words and kind in ("INDEX", "TRIGGER") else 0
    owner = unquoted(rest[on][0]).lower() if on and on < len(rest) else ""
    return Ddl(verb == "CREATE", kind, schema, names[0], owner, guarded, was_guarded)


class Things:
    """All objects that a script creates and drops, in order, by the numbers of its parts."""

    def __init__(self, found: Iterable[tuple[int, Ddl]]) -> None:
        self.of_part: dict[int, list[tuple[int, Ddl]]] = {}
        self.last: dict[bool, dict[Thing, int]] = {True: {}, False: {}}  # made, dropped
        self.anew: tuple[int, Ddl] | None = None  # a table that was dropped before
        for place, (part, ddl) in enumerate(found):
            self.of_part.setdefault(part, []).append((place, ddl))
            if ddl.creates and ddl.kind == "TABLE" and ddl.thing in self.last[False]:
                self.anew = self.anew or (part, ddl)
            self.last[ddl.creates][ddl.thing] = place

    @property
    def schemas(self) -> set[str]:
        return {ddl.schema for found in self.of_part.values() for _, ddl in found}

    def _is_later(self, place: int, creates: bool, *things: Thing) -> bool:
        return any(self.last[creates].get(thing, -1) > place for thing in things)

    def refusals(self, part: int, id_: str, todo: str) -> Iterator[tuple[str, str]]:
        """Yield conditions under which a part must not run, each with the message."""
        seen = set()
        for place, ddl in self.of_part.get(part, ()):
            verb = "makes" if ddl.creates else "drops"
            why = f"but {id_} {verb} it and is not to be run here"
            known = f"NOT {todo} AND {'NOT ' if ddl.creates else ''}{ddl.exists(THERE)}"
            if ddl.creates and not self._is_later(place, False, ddl.thing, ddl.owner_thing):
                yield known, f"{ddl.shown} is not there, {why}"
            elif not ddl.creates and not self._is_later(place, True, ddl.thing):
                yield known, f"{ddl.shown} is there, {why}"
            if not ddl.was_guarded and ddl.thing not in seen:
                now = f"{todo} AND {'' if ddl.creates else 'NOT '}{ddl.exists()}"
                yield now, f"there is {'already a' if ddl.creates else 'no'} {ddl.shown}"
            seen.add(ddl.thing)

    def outcome(self, part: int) -> list[str]:
        """Return conditions that are true after all statements of a part have run."""
        held: dict[Thing, str] = {}
        for _, ddl in self.of_part.get(part, ()):
            held[ddl.thing] = f"{'' if ddl.creates else 'NOT '}{ddl.exists()}"
            for _, other in self.of_part[part]:
                if not ddl.creates and other.owner_thing == ddl.thing:  # it goes with its table
                    held.pop(other.thing, None)
        return [*held.values()]


def is_rows(sql: str) -> bool:
    """Tell whether a statement only writes rows."""
    found = next((match[0] for match in TOKEN.finditer(sql) if not is_noise(match[0])), "")
    return found.upper() in ROWS
