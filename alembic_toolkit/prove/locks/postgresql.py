"""The locks of a statement on PostgreSQL: the session itself shows locks, files and counts.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import commits_each, is_idle, run
from alembic_toolkit.prove.locks.alone import Earlier, Holding, holding, is_hidden, runs_alone
from alembic_toolkit.prove.locks.rows import is_endless, is_several, named, says, target
from alembic_toolkit.prove.locks.seen import HOW, Observing, Use
from alembic_toolkit.prove.results import (
    COPIED,
    DEPLOYERS,
    END,
    EVERYBODY,
    MOMENT,
    NOBODY,
    READ,
    WRITERS,
)
from alembic_toolkit.sql.pinned import pinned

# From the weakest; what conflicts with whom: the table on the page above.
_MODES = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
]
_RANK = {mode: rank for rank, mode in enumerate(_MODES, 1)}
_ROWS, _DEPLOYERS, _WRITERS, _EVERYBODY = (
    _RANK[f"{mode}Lock"]
    for mode in ("RowExclusive", "ShareUpdateExclusive", "Share", "AccessExclusive")
)

# Of indexes, too: the planner may read a table by one.
_COUNTS = """
pg_stat_get{x}_numscans(c.oid), pg_stat_get{x}_tuples_returned(c.oid),
(pg_stat_get{x}_tuples_updated(c.oid) + pg_stat_get{x}_tuples_deleted(c.oid)),
(SELECT coalesce(sum(pg_stat_get{x}_numscans(i.indexrelid)), 0)::int8
 FROM pg_index AS i WHERE i.indrelid = c.oid),
(SELECT coalesce(sum(pg_stat_get{x}_tuples_returned(i.indexrelid)), 0)::int8
 FROM pg_index AS i WHERE i.indrelid = c.oid),
pg_stat_get{x}_tuples_deleted(c.oid),
(SELECT count(*) FROM pg_index AS i WHERE i.indrelid = c.oid)
"""
_ALL = pinned(
    f"""
SELECT c.oid::int8, c.oid::regclass::text, c.relname::text, c.relkind::text, c.relfilenode::int8,
       {_COUNTS.format(x="_xact")}
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
)
_LOCKED = pinned(
    f"""
SELECT l.relation::int8, l.mode, c.relfilenode::int8, {_COUNTS.format(x="_xact")},
       l.virtualtransaction, current_setting('track_counts')
FROM pg_locks AS l LEFT JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.granted AND l.locktype = 'relation'
  AND coalesce(c.relkind, 'r') IN ('r', 'p', 'm')
ORDER BY l.relation
"""
)
_ALTERS = re.compile(r"\s*(?:ALTER|CREATE)\b(?!.*;\s*\S)", re.I | re.S)
_QUERY = re.compile(r"\s*(?:SELECT|WITH|TABLE|VALUES|COPY)\b(?!.*;\s*\S)", re.I | re.S)
_NOT_NAMED = "a statement ends its own transactions: its locks cannot be seen"
_VALIDATES = re.compile(r"\bVALIDATE\s+CONSTRAINT\b", re.I)
_TRANSACTION = pinned(
    "SELECT virtualtransaction FROM pg_locks"
    " WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'"
)
_SETTINGS = pinned("SELECT current_setting('track_counts'), current_setting('server_version_num')")
# A table with few rows is read whole, whatever indexes it has: in production it is not.
_PLANS = ("enable_seqscan", "enable_indexonlyscan")
_FLUSH = pinned("SELECT pg_stat_force_next_flush()")
_FLUSHES = 150000  # the first version that does
_SHARED = pinned(
    f"SELECT c.oid::int8, c.relfilenode::int8, {_COUNTS.format(x='')} FROM pg_class AS c"
    " WHERE c.oid = ANY (ARRAY[{ids}]::oid[]) ORDER BY 1"
)


@dataclass(frozen=True)
class _State:
    """The known state of a table."""

    file: int | None  # None: it was dropped
    scans: int = 0
    rows: int = 0
    changed: int = 0
    looks: int = 0  # by an index
    found: int = 0  # rows, by an index
    deleted: int = 0
    indexes: int = 0


@dataclass
class Observer(Observing):
    """Observes one step; see `watch`."""

    earlier: dict[int, Earlier] | None = None
    is_begun: bool = False  # a transaction, to look into
    known: dict[int, _State] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    counts: bool = True
    flushes: bool = True
    opened: int = 0  # how many transactions

    @property
    def holds(self) -> bool:
        """Return whether the application waits for something now."""
        return any(rank >= _WRITERS for rank in self.held.values())

    def probe(self, connection: Connection) -> None:
        """Look once: later, a refusal would end the revision's transaction."""
        for question in (_SETTINGS, _TRANSACTION, _ALL, _LOCKED):
            run(connection, question)
        self._end(connection)

    def begin(self, connection: Connection) -> None:
        """Make the planner choose as it does on large tables; read the settings."""
        for name in _PLANS:
            run(connection, f"SET {name} = off")
        [(counts, version)] = run(connection, _SETTINGS)
        self.counts, self.flushes = counts == "on", int(version) >= _FLUSHES
        self._end(connection)

    def end(self, connection: Connection) -> None:
        """Leave the session as it was."""
        if connection.invalidated or connection.closed:
            return
        for name in _PLANS:
            run(connection, f"RESET {name}")
        self._end(connection)

    @staticmethod
    def _end(connection: Connection) -> None:
        if not connection.in_transaction() and not commits_each(connection):
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]

    def before(self, connection: Connection, sql: str, _: Any) -> Holding | None:
        """Record the state of each table, when a transaction begins."""
        idle = is_idle(connection)
        if idle and commits_each(connection):
            if runs_alone(sql):
                self.held, self.transaction = {}, ""
                self._look(connection)
                return self._alone(connection, sql)
            run(connection, "BEGIN")  # so that its locks can be read; see `finish`
            self.is_begun = True
        if idle or not self.transaction:
            self._look(connection)
            self.held = {}
            [(name,)] = run(connection, _TRANSACTION)
            self.transaction = str(name)
        return None

    def finish(self, connection: Connection, failed: bool) -> None:
        """Commit a statement that would have committed by itself."""
        if self.is_begun:
            self.is_begun = False
            run(connection, "ROLLBACK" if failed else "COMMIT")

    def _look(self, connection: Connection) -> None:
        found = run(connection, _ALL)
        self.known = {oid: _State(file, *counts) for oid, _, _, _, file, *counts in found}
        if self.earlier is None:
            self.earlier = {
                oid: Earlier(name, plain, kind)
                for oid, name, plain, kind, *_ in found
                if plain not in self.own
            }

    def after(
        self,
        connection: Connection,
        sql: str,
        before: Holding | None,
        rows: int | None,
        failed: bool,
    ) -> list[Use]:
        """Return what a statement did to the earlier tables."""
        if before is not None:
            return self._after_alone(connection, sql, before)
        if failed:
            return []  # the transaction answers no more; to a savepoint it may go back
        found = run(connection, _LOCKED)
        if {row[-2] for row in found} - {self.transaction}:
            self.unseen.append("it ended its transaction by itself: what it holds is not known")
        self.counts = all(row[-1] == "on" for row in found)
        now: dict[int, tuple[int, _State]] = {}
        for oid, mode, file, *counts, _, _ in found:
            rank = max(_RANK[mode], now.get(oid, (0,))[0])
            now[oid] = rank, _State(file, *(counts if file is not None else ()))
        was, self.held = self.held, {oid: rank for oid, (rank, _) in now.items()}
        less = {oid for oid, rank in was.items() if self.held.get(oid, 0) < rank}
        self.freed |= {one.name for oid, one in (self.earlier or {}).items() if oid in less}
        uses = [self._use(sql, oid, was.get(oid, 0), *one) for oid, one in now.items()]
        self.known |= {oid: state for oid, (_, state) in now.items() if state.file is not None}
        return _at_once(sql, [use for use in uses if use is not None])

    def _use(self, sql: str, oid: int, was: int, rank: int, now: _State) -> Use | None:
        """Return what a statement did to a table; None if it is irrelevant."""
        of = (self.earlier or {}).get(oid)
        if of is None:
            return None
        name = of.name
        did = _difference(self.known[oid], now)
        if not self.counts and self._needs_counts(sql, name, was, rank):
            self.unseen.append("track_counts is off: nobody counts the rows that are read")
        if rank <= was and not (did.scans or did.changed or did.file or did.looks):
            return None
        if rank >= _WRITERS and of.kind == "p":
            self.unseen.append(f"{name} is partitioned: its parts are seen, it is not")
        is_there = now.file is not None  # nobody waits for a table that is dropped
        is_query = rank <= was and _QUERY.match(sql) is not None  # the lock came before
        return self._judged(sql, of, rank, did, now.deleted, is_there, is_query)

    def _needs_counts(self, sql: str, name: str, was: int, rank: int) -> bool:
        """Return whether only the counts tell what is done to a table's rows."""
        if is_several(sql) and not says(sql, name):
            return rank >= _ROWS or self.holds
        return rank >= _WRITERS and rank > was

    def _judged(
        self,
        sql: str,
        of: Earlier,
        rank: int,
        did: _State,
        deleted: int,
        is_kept: bool,
        is_query: bool = False,
    ) -> Use:
        """Return who waits, and how long."""
        name = of.name
        verb, _ = target(sql)
        # A validation needs a weak lock: it is the one before that others wait for.
        is_rows = bool(verb) or is_query or rank < _DEPLOYERS or _VALIDATES.search(sql) is not None
        is_emptied = "TRUNCATE" in sql.upper() and not did.rows
        is_copied = bool(did.file) and not is_emptied
        is_read = self._is_read(sql, name, did, deleted, is_rows) and not is_emptied
        who = NOBODY if rank < _DEPLOYERS else DEPLOYERS if rank < _WRITERS else WRITERS
        if of.kind == "m" and who == WRITERS:
            who = DEPLOYERS  # nobody writes to a materialized view
        who = EVERYBODY if rank >= _EVERYBODY else who
        how = COPIED if is_copied else READ if is_read and not is_rows else MOMENT
        is_endless = self._is_endless(sql, name, did)
        if is_rows:  # the lock of the table came before, if it has a strong one
            who, how = (WRITERS, END) if is_endless else (NOBODY, MOMENT)
        seen = [_words(rank)] + ["a new file"] * is_copied + ["an index built"] * bool(did.indexes)
        seen += [f"{did.rows} rows read"] * bool(is_read or is_copied)
        seen += [f"{did.changed} rows changed"] * bool(did.changed)
        is_long = is_copied or is_read or is_endless
        return Use(name, who, how, ", ".join(seen), is_long, is_kept)

    def _is_read(self, sql: str, name: str, did: _State, deleted: int, is_rows: bool) -> bool:
        """Return whether all rows were read: a LIMIT, or a key, has fewer of them read."""
        left = max(self._rows_of(name) - deleted, 0)
        if did.scans and did.rows >= left:
            return True
        return bool(did.looks and not is_rows) and (
            did.found >= max(left, 1) or _ALTERS.match(sql) is not None
        )

    def _rows_of(self, name: str) -> int:
        table = named(name, self.tables)
        return self.rows.get(table.name, 0) if table else 0

    def _is_endless(self, sql: str, name: str, did: _State) -> bool:
        """Return whether any number of rows is changed."""
        if is_endless(sql, name, self.tables, did.changed):
            return True
        # Of a function, or of a trigger, the text says nothing.
        is_all = did.changed >= max(2, self._rows_of(name))
        return bool((did.changed and did.scans) or is_all) and not says(sql, name)

    # What commits by itself

    def _alone(self, connection: Connection, sql: str) -> Holding:
        """Hold up a statement that leaves no lock to be read."""
        if is_hidden(sql):
            self.unseen.append(_NOT_NAMED)
        found = holding(self.scratch, connection, sql, self.earlier or {})
        found.was = self._shared(connection, found.ids)
        found.hold()
        return found

    def _after_alone(self, connection: Connection, sql: str, before: Holding) -> list[Use]:
        before.release()
        now = self._shared(connection, before.ids)
        uses = []
        for oid, of in before.ids.items():
            did = _difference(before.was[oid], now.get(oid, _State(None)))
            rank = max((_RANK[mode] for mode in before.modes.get(oid, ())), default=_ROWS)
            if rank >= _WRITERS and not (self.flushes and self.counts) and not did.file:
                self.unseen.append("this version does not count what a statement alone reads")
            if rank >= _DEPLOYERS or did.file or did.changed or did.scans:
                uses.append(self._judged(sql, of, rank, did, did.deleted, is_kept=False))
        return uses

    def _shared(self, connection: Connection, ids: Collection[int]) -> dict[int, _State]:
        """Return what the server counted of tables, all of this session's included."""
        if not ids:
            return {}
        if self.flushes:
            run(connection, _FLUSH)
        rows = run(connection, _SHARED.format(ids=", ".join(map(str, ids))))
        return {oid: _State(file, *counts) for oid, file, *counts in rows}


def _at_once(sql: str, uses: list[Use]) -> list[Use]:
    """Return what a statement did: what it locks beside the table that it reads waits as long."""
    how = max((use.how for use in uses if use.how in (READ, COPIED)), key=HOW.index, default="")
    if not how or is_several(sql):
        return uses
    return [
        replace(use, how=how) if use.blocks and use.how == MOMENT and use.is_kept else use
        for use in uses
    ]


def _difference(was: _State, now: _State) -> _State:
    """Return what changed; the file counts 1 if it is another one."""
    if now.file is None:
        return _State(0)
    return _State(
        int(now.file != was.file),
        max(now.scans - was.scans, 0),
        max(now.rows - was.rows, 0),
        max(now.changed - was.changed, 0),
        max(now.looks - was.looks, 0),
        max(now.found - was.found, 0),
        max(now.deleted - was.deleted, 0),
        max(now.indexes - was.indexes, 0),
    )


def _words(rank: int) -> str:
    """Return a mode as the documentation writes it: ``ACCESS EXCLUSIVE``."""
    return " ".join(re.findall("[A-Z][a-z]+", _MODES[rank - 1])[:-1]).upper()
