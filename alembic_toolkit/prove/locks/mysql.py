"""The locks of a statement on MariaDB and MySQL: by how an empty twin may be altered.

https://mariadb.com/kb/en/innodb-online-ddl-overview/
https://dev.mysql.com/doc/refman/8.4/en/innodb-locks-set.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.copying import Way, altered, asked, plain, way_of
from alembic_toolkit.database.driver import commits_each, run
from alembic_toolkit.database.online import online
from alembic_toolkit.database.servers import is_mariadb
from alembic_toolkit.prove.locks.rows import is_endless, joined, named, sources, target
from alembic_toolkit.prove.locks.seen import Observing, Use
from alembic_toolkit.prove.results import COPIED, END, EVERYBODY, MOMENT, NOBODY, READ, WRITERS
from alembic_toolkit.sql.quoting import literal

_OPAQUE = re.compile(r"\s*(CALL|EXECUTE|BEGIN\s+NOT\s+ATOMIC|PREPARE)\b", re.I)
_HIDDEN = "it runs in a procedure: the server cannot be asked how it does each statement"
_LOCKS = re.compile(r"\s*LOCK\s+TABLES?\s+(.+)", re.I | re.S)
_LOCKED = re.compile(r"((?:[\w$]+|`[^`]+`)+)(?:\s+(?:AS\s+)?\w+)?\s+(READ|WRITE)\b", re.I)
# A moment of everybody's
_MOMENTS = re.compile(
    r"\s*(?:DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?|TRUNCATE\s+(?:TABLE\s+)?|RENAME\s+TABLE\s+"
    r"|DROP\s+INDEX\s+.*?\s+ON\s+)((?:[\w$.]+|`[^`]+`)+)",
    re.I | re.S,
)
# What is done in place, and yet while nobody may write
_ALSO_LOCKS = re.compile(r"\b(FULLTEXT|SPATIAL|AUTO_INCREMENT)\b", re.I)
_OF_PARTS = re.compile(r"\bPARTITION\b", re.I)  # on MySQL, which does not count such rows
# What a twin does not have, and takes no time
_FREES = re.compile(
    r"\s*ALTER\s+TABLE\s+\S+(?:[\s,]+DROP\s+(?:FOREIGN\s+KEY|CONSTRAINT|CHECK|PARTITION)\s+"
    r"(?:IF\s+EXISTS\s+)?[^\s,;]+)+\s*;?\s*",
    re.I,
)
_NOT_ASKED = "how the server alters {} cannot be asked, and no rows of it tell"
_ONLINE = (11, 2)  # from there on MariaDB copies while others write
_CALLED = re.compile(r"(\w+)`?\s*\(")
_FUNCTIONS = (
    "SELECT 1 FROM information_schema.routines"
    " WHERE routine_schema = DATABASE() AND routine_name IN ({})"
)
_ISOLATION = (
    "SHOW SESSION VARIABLES WHERE variable_name IN ('transaction_isolation', 'tx_isolation')"
)


@dataclass
class Observer(Observing):
    """Observes one step; see `watch`."""

    holds: bool = False
    reads_lock: bool = True  # INSERT ... SELECT locks the rows that it reads

    def begin(self, connection: Connection) -> None:
        """Know how rows are locked."""
        levels = {str(value) for _, value in run(connection, _ISOLATION)}
        self.reads_lock = bool(levels & {"REPEATABLE-READ", "SERIALIZABLE"})
        connection.connection.dbapi_connection.rollback()  # type: ignore[union-attr]

    def end(self, connection: Connection) -> None:
        """Leave the session as it is."""

    def before(self, connection: Connection, sql: str, _: Any) -> Way | None:
        """Ask how the server would run a statement, if the rows that it copies do not tell."""
        self.transaction = "" if commits_each(connection) else "one"
        name, written = altered(sql)
        if named(plain(name), self.tables) is None or _tells(connection, sql, name):
            return None
        # The server commits before it alters. Else what was read before has the twin wait.
        connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
        try:
            with self.scratch.engine.connect() as aside:
                way = way_of(connection, aside, sql)
        except DBAPIError:
            way = None
        if way is None and written is not None and not _FREES.fullmatch(sql):
            self.unseen.append(_NOT_ASKED.format(plain(name)))
        return way

    def after(
        self, connection: Connection, sql: str, before: Way | None, rows: int | None, failed: bool
    ) -> list[Use]:
        """Return what a statement did to the earlier tables."""
        if _OPAQUE.match(sql) or _calls(connection, sql):
            self.unseen.append(_HIDDEN)
        name, _written = altered(sql)
        table = named(plain(name), self.tables)
        if table is not None:
            use = _altering(table.name, before, rows or 0)
            waits = use.is_finding and not failed
            return [replace(use, command=online(connection, sql) if waits else "")]
        if moment := _MOMENTS.match(sql):
            table = named(plain(moment[1]), self.tables)
            return [Use(table.name, EVERYBODY, MOMENT, "its metadata")] if table else []
        return [*self._locking(sql), *self._changing(sql, rows)]

    def finish(self, _: Connection, failed: bool) -> None:
        """Do nothing, because nothing was begun."""

    def _locking(self, sql: str) -> list[Use]:
        match = _LOCKS.match(sql)
        found = _LOCKED.findall(match[1]) if match else ()
        who = {"READ": WRITERS, "WRITE": EVERYBODY}
        tables = [(named(plain(name), self.tables), how.upper()) for name, how in found]
        return [Use(t.name, who[how], END, f"LOCK TABLES {how}", True) for t, how in tables if t]

    def _changing(self, sql: str, rows: int | None) -> list[Use]:
        """Return what a statement does that changes rows: those that it reads are locked, too."""
        uses = []
        verb, name = target(sql)
        table = named(name, self.tables)
        if table is not None and verb:
            endless = is_endless(sql, name, self.tables, rows)
            who, how = (WRITERS, END) if endless else (NOBODY, MOMENT)
            uses.append(Use(table.name, who, how, f"{rows} rows changed", endless))
        beside = [one for one in joined(sql, self.tables) if one is not table]
        joins = "a lock on each row that is joined"  # at any isolation level
        uses += [Use(one.name, WRITERS, END, joins, True) for one in beside]
        for read in sources(sql, self.tables) if self.reads_lock else ():
            if read is not table and read not in beside:
                seen = "a shared lock on each row read, as at REPEATABLE READ"
                how = END if verb else READ  # CREATE TABLE ... SELECT commits by itself
                uses.append(Use(read.name, WRITERS, how, seen, True))
        return uses


def _calls(connection: Connection, sql: str) -> bool:
    """Return whether a query calls a function of the author's, which may do anything."""
    called = _CALLED.findall(sql) if re.match(r"\s*(?:SELECT|DO)\b", sql, re.I) else ()
    listed = ", ".join(literal(name) for name in sorted({*called}))
    return bool(listed and run(connection, _FUNCTIONS.format(listed)))


def _tells(connection: Connection, sql: str, name: str) -> bool:
    """Return whether a completed statement shows if it made others wait.

    A copy affects the rows that there are; and nothing else has anybody wait, but for a few kinds.
    https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html
    """
    dialect: Any = connection.dialect
    copies_online = is_mariadb(dialect) and dialect.server_version_info >= _ONLINE
    is_in_parts = not is_mariadb(dialect) and _OF_PARTS.search(sql)
    if copies_online or is_in_parts or _ALSO_LOCKS.search(sql) or asked(sql):
        return False
    return bool(run(connection, f"SELECT 1 FROM {name} LIMIT 1"))


def _altering(name: str, way: Way | None, rows: int) -> Use:
    """Return who waits for an ALTER."""
    if way is None and rows <= 0:
        return Use(name, EVERYBODY, MOMENT, "0 rows copied")
    way = way or Way("COPY", "SHARED")
    seen = str(way) + (f", {rows} rows copied" if rows > 0 else "")
    who = EVERYBODY if way.lock == "EXCLUSIVE" else WRITERS
    if way.copies:
        return Use(name, who, COPIED, seen, True)
    if way.lock in ("SHARED", "EXCLUSIVE"):
        return Use(name, who, READ, seen, True)
    return Use(name, EVERYBODY, MOMENT, seen)
