"""What a statement reads or copies on SQLite, by its program: one writer there stops all others.

https://sqlite.org/lang_explain.html, https://sqlite.org/opcode.html
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import commits_each, is_idle, run
from alembic_toolkit.prove.locks.rows import is_endless, named, target
from alembic_toolkit.prove.locks.seen import Observing, Use, tables_in
from alembic_toolkit.prove.results import COPIED, END, MOMENT, NOBODY, READ, WRITERS

_ROOTS = "SELECT tbl_name, rootpage FROM sqlite_master WHERE rootpage > 0"
_REBUILDS = re.compile(r"\s*INSERT\s+INTO\s+\W?(?:\w+\W+)?_alembic_(?:tmp|new)_", re.I)
_EXPLAINABLE = re.compile(r"\s*(VACUUM|PRAGMA|ATTACH|DETACH|BEGIN|COMMIT|ROLLBACK)\b", re.I)
_REWRITES = re.compile(r"\s*VACUUM\b(?:\s+\w+)??(\s+INTO\b)?", re.I)
# What visits every row of what a cursor is open on: from an end on, in a loop.
_VISITS, _LOOPS = {"Rewind", "Last"}, {"Next", "Prev"}


@dataclass(frozen=True)
class _Program:
    """What a statement's program does to tables, by name."""

    reads: frozenset[str]
    writes: frozenset[str]


@dataclass
class Observer(Observing):
    """Observes one step; see `watch`."""

    connection: Connection | None = None
    was_open: bool = False  # a transaction, after the last statement

    @property
    def holds(self) -> bool:
        """Return whether a transaction that writes is open still: other writers wait."""
        return self.was_open and self.connection is not None and not is_idle(self.connection)

    def begin(self, connection: Connection) -> None:
        """Know whom to ask whether a transaction is open."""
        self.connection = connection

    def end(self, connection: Connection) -> None:
        """Leave the session as it is."""

    def before(self, connection: Connection, sql: str, values: Any) -> _Program:
        """Read the program of a statement, which is not run."""
        self.transaction = "" if commits_each(connection) else "one"
        if _EXPLAINABLE.match(sql):
            return _Program(frozenset(), frozenset())
        roots = {root: name for name, root in run(connection, _ROOTS)}
        driver: Any = connection.connection.dbapi_connection
        with closing(driver.cursor()) as cursor:
            steps = _explained(cursor, sql, values)
        return _read(steps, roots, sql, [*self.tables])

    def after(
        self, connection: Connection, sql: str, before: _Program, rows: int | None, failed: bool
    ) -> list[Use]:
        """Return what a statement did to the tables that were there before."""
        uses = []
        self.was_open = not is_idle(connection)
        if rewrites := _REWRITES.match(sql):
            how = READ if rewrites[1] else COPIED  # VACUUM INTO: others may read meanwhile
            said = "the file is " + ("copied" if rewrites[1] else "written again")
            return [Use(t, WRITERS, how, said, True) for t in sorted({*self.tables} - {*self.own})]
        verb, _name = target(sql)
        for name in sorted(before.reads | before.writes):
            table = named(name, self.tables)
            if table is None or name in self.own:
                continue
            is_read = name in before.reads
            copies = is_read and (
                bool(_REBUILDS.match(sql)) or (not verb and name in before.writes)
            )
            who = WRITERS if is_read else NOBODY
            how = COPIED if copies else READ if is_read else MOMENT
            seen = "rebuilt" if copies else "read from the first row to the last" if is_read else ""
            use = Use(table.name, who, how, seen, is_read)
            if not is_read and is_endless(sql, table.name, self.tables, rows):
                use = Use(table.name, WRITERS, END, "its rows are found by an index", True)
            uses.append(use)
        return uses

    def finish(self, _: Connection, failed: bool) -> None:
        """Nothing was begun."""


def _explained(cursor: Any, sql: str, values: Any) -> list[Any]:
    """Return the program of a statement, with some values."""
    given = values[0] if isinstance(values, list) and values else values
    with suppress(sqlite3.ProgrammingError, sqlite3.OperationalError):
        cursor.execute(f"EXPLAIN {sql}", given or ())
        return list(cursor.fetchall())
    return []


def _read(steps: list[Any], roots: dict[int, str], sql: str, tables: list[str]) -> _Program:
    """Return which tables a program reads whole, and which it writes."""
    opened: dict[int, str] = {}
    reads, writes = set(), set()
    # The first or the last of an index is enough for min() and max(): no step back is reached.
    codes = [code for _, code, *_more in steps]
    loops = {
        first
        for n, (_, code, first, *_more) in enumerate(steps)
        if code in _LOOPS and codes[max(n - 2, 0) : n] != ["AggStep", "Goto"]
    }
    for _, code, first, second, *_more in steps:
        if code in ("OpenRead", "OpenWrite", "ReopenIdx"):
            opened[first] = roots.get(second, "")
        visits = code == "Count" or (code in _VISITS and first in loops)
        if visits and opened.get(first):
            reads.add(opened[first])
        if code in ("Insert", "Delete") and opened.get(first):
            writes.add(opened[first])
        if code == "Clear" and first in roots:
            reads.add(roots[first])
        if code == "VOpen":  # of ALTER TABLE: a check of all rows
            reads |= {*tables_in(sql, tables)[:1]} if not target(sql)[0] else set()
    return _Program(frozenset(reads), frozenset(writes))
