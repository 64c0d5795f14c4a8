"""Delay a statement that commits by itself, so that the lock that it waits for can be read.

A second session holds ROW EXCLUSIVE, as one does that writes a row, on the tables that the
statement may be about; a third one reads what the statement has and waits for, and lets it go.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import run
from alembic_toolkit.prove.scratch import Scratch
from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import postgresql_literal
from alembic_toolkit.sql.tokens import code_tokens, contains_word, unquoted

_OF_INDEXES = pinned("""
SELECT c.relname::text, i.indrelid::int8 FROM pg_index AS i JOIN pg_class AS c
ON c.oid = i.indexrelid WHERE c.relname = ANY (ARRAY[:names]::name[])
""")
_SESSION = pinned("SELECT pg_backend_pid()")
_WAITING = pinned(
    "SELECT relation::int8, mode, granted FROM pg_locks WHERE pid = {session} AND"
    " (NOT granted OR (locktype = 'relation' AND relation = ANY (ARRAY[{ids}]::oid[])))"
)
_EVERY = 0.002  # seconds between two looks


@dataclass(frozen=True)
class Earlier:
    """A table that was there before the revision."""

    name: str  # as a statement writes it
    plain: str  # without quotes and schema
    kind: str  # of `pg_class`


# https://www.postgresql.org/docs/current/sql-commands.html: what no transaction may hold
_ALONE = re.compile(
    r"\s*(?:VACUUM|CALL|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)|ALTER\s+SYSTEM|CLUSTER\s*;?\s*$"
    r"|(?:CREATE|ALTER|DROP)\s+SUBSCRIPTION|REINDEX\s+(?:\([^)]*\)\s*)?(?:SCHEMA|DATABASE|SYSTEM)"
    r"|(?!REFRESH).*\bCONCURRENTLY\b|.*\b(?:COMMIT|ROLLBACK)\b)",
    re.I | re.S,
)


def runs_alone(sql: str) -> bool:
    """Return whether a statement may run only outside a transaction, or ends one."""
    return _ALONE.match(sql) is not None


_HIDDEN = re.compile(
    r"\s*(?:CALL\b|CLUSTER\s*;?\s*$|REINDEX\s+(?:\([^)]*\)\s*)?(?:SCHEMA|DATABASE|SYSTEM)\b"
    r"|VACUUM\s*(?:\([^)]*FULL[^)]*\)|FULL)(?:\s|VERBOSE|ANALYZE)*;?\s*$"
    r"|(?!.*\bCONCURRENTLY\b).*\b(?:COMMIT|ROLLBACK)\b)",
    re.I | re.S,
)


def is_hidden(sql: str) -> bool:
    """Return whether a statement that runs alone does not name the tables that it locks."""
    return _HIDDEN.match(sql) is not None


@dataclass
class Holding:
    """The sessions that delay a statement."""

    scratch: Scratch
    session: int
    ids: dict[int, Earlier]
    modes: dict[int, list[str]] = field(default_factory=dict)
    was: dict[int, Any] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def hold(self) -> None:
        """Take the locks, and release them in another thread when the statement waits."""
        if not self.ids:
            return
        looking = self.scratch.engine.connect()
        try:
            holder = self.scratch.engine.connect()
        except DBAPIError:  # no more of them are allowed
            looking.close()
            raise
        try:
            names = ", ".join(one.name for one in self.ids.values())
            holder.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            holder.exec_driver_sql(f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE")
        except DBAPIError:  # no table that can be locked
            holder.close()
            looking.close()
            return
        self._thread = threading.Thread(target=self._look, args=(holder, looking), daemon=True)
        self._thread.start()

    def _look(self, holder: Connection, looking: Connection) -> None:
        """Look until the statement waits, or has ended."""
        sql = _WAITING.format(session=self.session, ids=", ".join(map(str, self.ids)))
        try:
            with looking:
                while not self._ended.wait(_EVERY):
                    rows = run(looking, sql)
                    looking.rollback()
                    if all(granted for *_, granted in rows):
                        continue
                    for oid, mode, _ in rows:
                        self.modes.setdefault(oid, []).append(mode)
                    return
        finally:
            with suppress(DBAPIError):
                holder.rollback()
                holder.close()

    def release(self) -> None:
        """End both sessions; the statement has ended."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()


def holding(
    scratch: Scratch, connection: Connection, sql: str, earlier: Mapping[int, Earlier]
) -> Holding:
    """Return what delays a statement, on tables that it names, or whose indexes it names."""
    ids = {oid: one for oid, one in earlier.items() if _names(sql, one.plain)}
    if re.match(r"\s*(DROP|ALTER|REINDEX)\b", sql, re.I):
        words = sorted({unquoted(token) for token in code_tokens(sql)})
        listed = ", ".join(map(postgresql_literal, [*words, *map(str.lower, words)]))
        found = run(connection, _OF_INDEXES.replace(":names", listed))
        ids |= {oid: earlier[oid] for _, oid in found if oid in earlier}
    [(session,)] = run(connection, _SESSION)
    return Holding(scratch, session, ids)


def _names(sql: str, name: str) -> bool:
    """Return whether a statement has a name in it."""
    return name.lower() in sql.lower() and contains_word(sql, name)
