"""The known state of a database: schema, tables, rows; and inserting rows into it.

After a step only what its statements name is looked at again: the rest has not changed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.prove.statements import KEEPS, SPARES_OTHERS, about
from alembic_toolkit.prove.steps import Steps
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.fill import fill
from alembic_toolkit.rows.filling import NASTY, NONE, Filled, Sort
from alembic_toolkit.rows.read import content, read, same
from alembic_toolkit.rows.tables.look import look
from alembic_toolkit.rows.tables.table import Table, Tables, labelled, related
from alembic_toolkit.schema.names import names_in
from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.schema.take import take


@dataclass(frozen=True)
class Moment:
    """What a database holds at one moment."""

    snap: Snapshot
    rows: Rows


@dataclass
class Known:
    """The known state of a database between two steps."""

    steps: Steps
    given: dict[str, list[dict[str, Any]]]  # a project's own rows, by table
    whole: bool = False  # look at everything after each step: slow, but always right
    snap: Snapshot = field(default_factory=Snapshot)
    tables: Tables = field(default_factory=dict)
    contents: Rows = field(default_factory=dict)
    read_at: Snapshot = field(default_factory=Snapshot)  # the schema when the rows were read
    looked_at: dict[Any, Table | None] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)  # the tables whose rows changed since `fill`
    unfilled: dict[str, str] = field(default_factory=dict)
    # What a project's own rows name, and what never was there: tables, and their columns.
    unused: set[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        rows = ((name, row) for name, rows in self.given.items() for row in rows)
        self.unused = {(name, column) for name, row in rows for column in ("", *row)}

    @property
    def now(self) -> Moment:
        """Return the state of the database when it was last read."""
        return Moment(self.snap, self.contents)

    def look(self, executed: list[str] | None, expected: Snapshot | None = None) -> Snapshot:
        """Look at the schema; after these statements only at what they name.

        :param expected: what to return without a look, if the statements can be understood.
        """
        names = None if executed is None or self.whole else names_in(executed)
        if expected is not None and names is not None:
            self.snap = expected
            return expected
        with self.steps.aside() as connection:
            ignore = self.steps.own_tables
            self.snap = take(connection, self.snap or None, names, ignore)
        return self.snap

    def _touched(self, executed: Collection[str] | None) -> set[str] | None:
        """Return the tables that statements are about; None: it may be any."""
        if executed is None or self.whole or names_in(executed) is None:
            return None
        names = names_in(map(about, executed)) or frozenset()
        found = {n for n in names if n in self.tables or Thing("table", "", n) in self.snap}
        return found | {name for name in self.tables if "." in name and names >= {*name.split(".")}}

    def read_rows(self, executed: list[str] | None) -> Rows:
        """Read the rows of the tables that statements can have changed."""
        moving = None if executed is None else [sql for sql in executed if not KEEPS.match(sql)]
        touched = self._touched(moving)
        ignore = self.steps.own_tables
        with self.steps.aside() as connection:
            if touched is None:
                self.tables = self._labelled(look(connection, None, ignore))
                self.contents = read(connection, self.tables)
                self.changed = {*self.contents}
            else:
                if not all(map(SPARES_OTHERS.match, moving or ())):
                    touched = related(self.tables, touched)
                self._read_touched(connection, touched)
        self.read_at = self.snap
        return self.contents

    def _read_touched(self, connection: Connection, touched: set[str]) -> None:
        altered = self.snap.changed(self.read_at)
        there = self.look_at(connection, touched | altered)
        touched |= {name for name in altered if there.get(name) != self.tables.get(name)}
        before, gone = self.contents, (touched | altered) - there.keys()
        self.tables = {n: t for n, t in self.tables.items() if n not in gone} | there
        fresh = read(connection, {n: t for n, t in there.items() if n in touched})
        fresh = {name: content for name, content in fresh.items() if content != before.get(name)}
        self.contents = {n: r for n, r in before.items() if n not in gone} | fresh
        self.changed |= {*fresh}

    def look_at(self, connection: Connection, names: set[str]) -> Tables:
        """Look at tables, each only once while its schema stays the same."""
        types = self.snap.types
        keys = {name: (name, self.snap.table(name), types) for name in names}
        unknown = {n for n, key in keys.items() if key not in self.looked_at}
        # Where a schema is a database, a snapshot has one of several.
        if self.steps.scratch.server.schema_is_database:
            unknown |= {name for name, key in keys.items() if not key[1]}
        else:
            unknown = {name for name in unknown if keys[name][1]}
        found = self._labelled(look(connection, unknown, self.steps.own_tables))
        self.looked_at |= {keys[name]: found.get(name) for name in unknown}
        seen = {name: self.looked_at.get(key) for name, key in keys.items()}
        return {name: table for name, table in seen.items() if table is not None}

    def _labelled(self, found: Tables) -> Tables:
        return labelled(found, self.steps.recorder.labels, self.steps.recorder.forms)

    def fill(
        self,
        executed: list[str] | None,
        within: Tables | None = None,
        but: Collection[str] = (),
        sort: Sort = NASTY,
    ) -> None:
        """Put rows into new and changed tables, and read them.

        :param within: the older tables, which must be able to hold the values as well.
        :param but: tables that get no rows.
        :param sort: which rows.
        """
        names = None if executed is None or self.whole else self.changed & self.tables.keys()
        self.changed = set()
        for name in self.given.keys() & self.tables.keys():
            self.unused -= {(name, column) for column in ("", *self.tables[name].names)}
        likely = self.tables if names is None else sorted(names)
        wanted = [name for name in likely if name in self.tables and name not in but]
        if not wanted or sort is NONE:
            return
        with self.steps.aside() as connection:
            filled = fill(
                connection,
                self.tables,
                wanted,
                sort=sort,
                given=self.given,
                within=within,
                there=self.contents,
            )
            self.unfilled |= filled.failed
            for name in filled.written:
                self.unfilled.pop(name, None)
            self._note_written(connection, filled)

    def _note_written(self, connection: Connection, filled: Filled) -> None:
        """Keep the rows that the server returned; read tables where triggers may change rows."""
        written = {name: self.tables[name] for name in filled.written}
        returned = {
            name: content(table, self.contents[name].rows + filled.returned[name])
            for name, table in written.items()
            if name in filled.returned and not self.snap.is_programmed(name)
        }
        unknown = {name: table for name, table in written.items() if name not in returned}
        self.contents = self.contents | returned | read(connection, unknown)

    def is_misled(self) -> bool:
        """Look at everything once; return whether what was known of it is wrong."""
        if self.whole:
            return False
        kept, kept_rows = self.snap, self.contents
        return self.look(None) != kept or not same(self.read_rows(None), kept_rows)
