"""Find objects that a step makes unusable: views, triggers, functions, sequences.

No server checks all references when a table or a column is dropped: SQLite and MariaDB let a view
lose its table, and no server reads the body of a function. So after each step every affected view
is read, and every affected trigger is planned, or fired by rows that are rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import ask, identifier
from alembic_toolkit.database.errors import code, message
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.steps import Steps
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import Table
from alembic_toolkit.rows.write import literal_of, savepoint, undone
from alembic_toolkit.schema.snapshot import Snapshot, Thing

Broken = dict[Thing, str]  # what cannot be used, and why
_VIEWS, _ROUTINES = ("view",), ("function", "procedure")
_CALLING = ("column", "check", "index")
_PROGRAMS = (*_VIEWS, "trigger", *_ROUTINES)
_NAMED = (*_VIEWS, *_ROUTINES, "table", "materialized view", "sequence", "enum", "domain")


@dataclass
class Health:
    """Knows which objects of a database are usable, from one step to the next."""

    steps: Steps
    known: Known
    seen: Snapshot = field(default_factory=Snapshot)
    programs: dict[Thing, str] = field(default_factory=dict)  # what runs code when it is used
    broken: Broken = field(default_factory=dict)

    def begin(self) -> None:
        """Check everything: what is broken now is not the fault of a later step."""
        self.seen, self.programs, self.broken = Snapshot(), {}, {}
        self.look()

    def look(self) -> Broken:
        """Return what cannot be used since the last look, after the schema was looked at."""
        was, now = _differing(self.seen, self.known.snap)
        self.seen = self.known.snap
        self.programs = {t: text for t, text in self.programs.items() if t not in was}
        self.programs |= {t: text for t, text in now.items() if t.kind in _PROGRAMS}
        changed = {t for t in was.keys() | now.keys() if was.get(t) != now.get(t)}
        found = _narrower(was, now)
        if changed and (self.programs or self._has_keys):
            names = {name for thing in changed for name in _names(thing)}
            concerned = _concerned(self.programs, names) | self._keys(names)
            concerned |= self._calling([t for t in concerned if t.kind in _ROUTINES])
            with self.steps.aside() as connection:
                found |= self._tried(connection, concerned)
            healthy = concerned - found.keys()
            self.broken = {t: e for t, e in self.broken.items() if t not in healthy}
        self.broken = {t: e for t, e in self.broken.items() if t in self.seen}
        new = {thing: why for thing, why in found.items() if thing not in self.broken}
        self.broken |= found
        return new

    def _tried(self, connection: Connection, concerned: Collection[Thing]) -> Broken:
        """Use objects, and return the unusable ones."""
        server, broken = self.steps.scratch.server, Broken()
        for thing in sorted(concerned):
            sql = ""
            if thing.kind in _VIEWS:
                sql = server.reads(identifier(connection, *_parts(thing.name)))
            elif thing.kind in _ROUTINES and server.validates_routines:
                sql = _COMMENT.sub("", self.programs[thing])
            if sql and (why := self._error(connection, sql)):
                broken[thing] = why
        for table in sorted({thing.owner for thing in concerned if thing.owner}):
            own = [thing for thing in concerned if thing.owner == table]
            broken |= self._fired(connection, table, own)
        return broken

    @property
    def _has_keys(self) -> bool:
        """Return whether a foreign key may refer to nothing: SQLite checks only on use."""
        return self.steps.scratch.server.plan is not None and bool(self.steps.project.enforces)

    def _keys(self, names: set[str]) -> set[Thing]:
        """Return the foreign keys that may refer to nothing, to tables with these names."""
        keys = ((t, text) for t, text in self.known.snap.items() if t.kind == "foreign key")
        if not self._has_keys:
            return set()
        leads = ((t, text.partition(" REFERENCES ")[2]) for t, text in keys)
        return {t for t, parent in leads if any(_words(name) <= _words(parent) for name in names)}

    def _calling(self, routines: Collection[Thing]) -> set[Thing]:
        """Return the parts of tables that call functions: generated columns, checks, indexes."""
        if not routines:
            return set()
        names = {name for thing in routines for name in _names(thing)}
        return {
            thing
            for thing, text in self.known.snap.items()
            if thing.kind in _CALLING and any(_words(name) <= _words(text) for name in names)
        }

    def _error(self, connection: Connection, sql: str) -> str:
        """Run a statement and undo it; return the error if an object that it uses is missing."""
        try:
            with undone(connection):
                ask(connection, sql)
        except DBAPIError as error:
            return self._why(error)
        return ""

    def _why(self, error: DBAPIError) -> str:
        is_broken = self.steps.scratch.server.is_broken(code(error.orig))
        words = message(error)
        # The application sets it: https://www.postgresql.org/docs/current/runtime-config-custom.html
        is_set_elsewhere = "unrecognized configuration parameter" in words
        return words if is_broken and not is_set_elsewhere else ""

    def _fired(self, connection: Connection, table: str, things: list[Thing]) -> Broken:
        """Write to a table, which fires its triggers, and undo the effects."""
        server, errors = self.steps.scratch.server, dict[str, str]()
        if server.plan is not None:
            for event, sql in _plans(connection, table, self.known.snap).items():
                errors[event] = self._error(connection, server.plan(sql))
        elif table in self.known.tables and server.takes_back(self.known.snap):
            off, on = server.without_keys
            with undone(connection):
                for sql in [*filter(None, [off]), *server.before_firing(table, self.known.snap)]:
                    ask(connection, sql)
                for event, sql in self._writes(connection, self.known.tables[table]):
                    try:
                        with savepoint(connection):
                            ask(connection, sql)
                    except DBAPIError as error:
                        errors[event] = self._why(error)
            if on:
                ask(connection, on)
        # What is known to be broken is in the way of the others: that is not their fault.
        known = {why for thing, why in self.broken.items() if thing.owner == table}
        return {
            thing: why
            for event, why in errors.items()
            for thing in _meant(things, event, why, self.known.snap)
            if why and (why not in known or thing in self.broken)
        }

    def _writes(self, connection: Connection, table: Table) -> Iterator[tuple[str, str]]:
        """Yield statements that change all rows of a table, delete them, and insert one again."""
        server, content = server_of(connection), self.known.contents.get(table.name)
        columns = [column for column in table.columns if not column.generated]
        plain = [identifier(connection, c.name) for c in columns if not c.always]
        if plain:
            yield "UPDATE", f"UPDATE {table.sql} SET {', '.join(f'{c} = {c}' for c in plain)}"
        yield "DELETE", f"DELETE FROM {table.sql}"
        if content is None or not content.rows or not columns:
            return
        row = dict(zip(content.table.names, content.rows[0], strict=True))
        names = ", ".join(identifier(connection, column.name) for column in columns)
        kept = {*table.primary, *chain.from_iterable(table.uniques)}
        values = ", ".join(
            "DEFAULT"
            if c.default and not c.serial and c.name not in kept
            else literal_of(server, row.get(c.name), c)
            for c in columns
        )
        always = " OVERRIDING SYSTEM VALUE" if any(c.always for c in columns) else ""
        yield "INSERT", f"INSERT INTO {table.sql} ({names}){always} VALUES ({values})"


def _plans(connection: Connection, table: str, snapshot: Snapshot) -> dict[str, str]:
    """Return the statements whose plans hold those of all triggers on a table, or a view."""
    name = identifier(connection, *_parts(table))
    columns = [
        identifier(connection, thing.name)
        for thing in snapshot
        if thing.kind == "column" and thing.owner == table and "GENERATED" not in snapshot[thing]
    ]
    plans = {"INSERT": f"INSERT INTO {name} DEFAULT VALUES", "DELETE": f"DELETE FROM {name}"}
    if columns:
        plans["UPDATE"] = f"UPDATE {name} SET {', '.join(f'{c} = {c}' for c in columns)}"
    return plans


# What is concerned


def _differing(before: Snapshot, after: Snapshot) -> tuple[dict[Thing, str], dict[Thing, str]]:
    """Return the things of the groups that are not the same: those that were, and those now."""
    old, new = before.groups, after.groups
    groups = [g for g in old.keys() | new.keys() if old.get(g) is not new.get(g)]
    groups = [group for group in groups if old.get(group) != new.get(group)]
    return (
        dict(chain.from_iterable(old.get(group, {}).items() for group in groups)),
        dict(chain.from_iterable(new.get(group, {}).items() for group in groups)),
    )


def _names(thing: Thing) -> list[str]:
    """Return the names by which others may use an object, or its owner."""
    name = thing.name.partition("(")[0] if thing.kind in _ROUTINES else thing.name
    names = [thing.owner] if thing.owner else []
    names += [name] if thing.kind in _NAMED or thing.kind in _PROGRAMS else []
    return [name.rpartition(".")[2].lower() for name in names]


@lru_cache(maxsize=8192)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _concerned(programs: Mapping[Thing, str], names: set[str]) -> set[Thing]:
    """Return the objects that use these names, directly or indirectly."""
    concerned: set[Thing] = set()
    while True:
        more = {
            thing
            for thing, text in programs.items()
            if thing not in concerned
            and (names & {*_names(thing)} or any(_words(name) <= _words(text) for name in names))
        }
        if not more:
            return concerned
        concerned |= more
        named = (thing for thing in more if thing.kind != "trigger")
        names = names | {name for thing in named for name in _names(thing)}


_HEAD = re.compile(
    r"(?:CONSTRAINT )?(?:BEFORE |AFTER |INSTEAD OF )?((?:INSERT|UPDATE|DELETE)\b.*?) ON ",
    re.I | re.S,
)
_EVENT = re.compile(r"\b(?:INSERT|UPDATE|DELETE)\b", re.I)


def _events(thing: Thing, text: str) -> set[str]:
    """Return the objects that use another. MariaDB's trigger does not name its table."""
    if thing.kind != "trigger":
        return {"INSERT", "UPDATE"}
    head = _HEAD.match(text)
    events = [event.upper() for event in _EVENT.findall(head[1] if head else text)]
    return {*events} if head and " OR " in head[1].upper() else {*events[:1]}


def _meant(things: list[Thing], event: str, why: str, texts: Mapping[Thing, str]) -> list[Thing]:
    """Return the objects that an error may concern: those whose text has its names, or all."""
    used = [thing for thing in things if event in _events(thing, texts[thing])]
    names = _words(" ".join(re.findall(r"[\w.]+$", why) + re.findall(r"[\"'`]([^\"'`]+)", why)))
    return [thing for thing in used if names & _words(texts[thing])] or used


# How it is said

_COMMENT = re.compile(r" COMMENT E?'(?:[^']|'')*'$", re.S)
_WIDTHS = ("smallint", "integer", "bigint")
_SEQUENCE = re.compile(r" OWNS (\S+) AS (smallint|integer)\b")


def _narrower(was: Mapping[Thing, str], now: Mapping[Thing, str]) -> Broken:
    """Return the sequences that end before their column does, since that was made or widened.

    PostgreSQL widens the sequence of an identity column with it, and not that of a serial one.
    https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-SERIAL
    """
    found = Broken()
    for thing, text in now.items():
        sequence = _SEQUENCE.search(text) if thing.kind == "column" else None
        # a new column is made and widened by one step
        types = [one.partition(" ")[0] for one in (was.get(thing, _WIDTHS[0]), text)]
        if sequence and all(type_ in _WIDTHS for type_ in types):
            width, of_sequence = _WIDTHS.index(types[1]), _WIDTHS.index(sequence[2])
            if of_sequence < width and _WIDTHS.index(types[0]) < width:
                why = f"{thing.owner}.{thing.name} is {types[1]} now, and it still ends as"
                found[Thing("sequence", "", sequence[1])] = f"{why} {sequence[2]}"
    return found


def _parts(name: str) -> list[str]:
    return [part for part in name.rpartition(".")[::2] if part]


def lines(broken: Broken) -> list[str]:
    """Describe which objects are unusable, and why."""
    return [
        f"{thing.kind} {thing.name}{f' on {thing.owner}' if thing.owner else ''}: {why}"
        for thing, why in sorted(broken.items())
    ]


def remedy(broken: Broken) -> str:
    """Return how to make the objects usable again."""
    calls = []
    for thing in sorted(broken):
        name = thing.name.partition("(")[0]
        if thing.kind == "sequence":
            calls.append(f"ALTER SEQUENCE {name} AS {broken[thing].split(' is ')[1].split()[0]}")
        elif thing.kind == "view":
            calls.append(
                f'helpers.drop_view("{name}") before it, create_view("{name}", ...) after it'
            )
        elif thing.kind == "trigger":
            calls.append(f"DROP TRIGGER {name} before it, CREATE TRIGGER {name} ... after it")
        elif thing.kind not in _ROUTINES:
            calls.append(f"what {thing.kind} {name} on {thing.owner} uses; or drop that before it")
        else:
            calls.append(f"CREATE OR REPLACE {thing.kind.upper()} {name} ... after it")
    return "\n".join(calls[:3]) + ("\n..." if len(calls) > 3 else "")
