"""One deployer at a time: a lock that a killed process cannot leave behind.

It belongs to the session that runs the revisions: the lock of another session would be free while a
statement of a killed deployer still runs. It is requested again and again in separate transactions,
because a session that waits *in* ``pg_advisory_lock`` deadlocks with a ``CREATE INDEX
CONCURRENTLY`` of the holder.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import journal
from alembic_toolkit.database.errors import is_lock_error
from alembic_toolkit.deployer import lockfile
from alembic_toolkit.deployer.galera import Row, is_node, refuse_left
from alembic_toolkit.messages import printable
from alembic_toolkit.sql.pinned import pinned

log = logging.getLogger("alembic_toolkit")

_LOG_EVERY = 30.0
PROBE = 2.0  # seconds for a second connection to respond; a pool may be exhausted


class Lock(Protocol):
    """The lock on one kind of server."""

    def take(self) -> bool:
        """Try to acquire it without waiting; return whether it was free."""

    def free(self) -> None:
        """Release it; the end of the session, or of the process, also releases it."""

    def is_held(self) -> bool:
        """Return whether this very session holds it."""

    def is_shared(self) -> bool:
        """Return whether others would hold it as well, because a pooler shares this session."""
        return False

    may_end_alone: bool = False  # while the session that runs the revisions continues

    def lost(self) -> CommandError:
        """Return the error for a lock that was acquired and is no longer held."""
        return _pooled("was taken, and this session does not hold it")

    def holder(self) -> str:
        """Return who holds it, as far as the server shows."""


@contextmanager
def held(migration: MigrationContext, wait: float) -> Iterator[Lock | None]:
    """Hold the lock of a database and its version table; wait for another deployer to finish.

    The connection must be in no transaction, and is left in none.

    :param wait: the longest time to wait, in seconds.
    :raises CommandError: another deployer holds it for longer, or the session does not keep it.
    """
    connection = migration.connection
    assert connection is not None
    lock = _lock(connection, migration)
    if lock is None:
        yield None
        return
    if lock.is_shared():
        raise _pooled("would be that of others, too")
    _roll_back(connection)
    _wait_for(lock, connection, migration, wait)
    try:
        confirm(lock)
        _roll_back(connection)
        yield lock
    finally:
        with suppress(DBAPIError):  # a connection that is gone holds nothing
            _roll_back(connection)
            lock.free()
            _roll_back(connection)


def confirm(lock: Lock) -> None:
    """Refuse to continue unless this session holds the lock.

    Within a revision's transaction the session is certain to be the same.

    :raises CommandError: it does not; behind a pooler each transaction may have another session.
    """
    if not lock.is_held():
        raise lock.lost()


def _pooled(what: str) -> CommandError:
    return CommandError(
        f"the deployers' lock {what}: nothing is run\n"
        "  found   each transaction may run in another session: "
        "PgBouncer, with pool_mode = transaction?\n"
        "  wanted  one session from the first revision to the last\n"
        "What to do next: a URL that leads to the server itself, or to a pool with\n"
        "pool_mode = session; or -x deploy_lock=no, when nobody else can be deploying."
    )


def _wait_for(lock: Lock, connection: Connection, migration: MigrationContext, wait: float) -> None:
    begun, logged = time.monotonic(), -_LOG_EVERY
    pause = 0.05
    while not _take(lock, connection):
        waited = time.monotonic() - begun
        if waited >= wait or waited - logged >= _LOG_EVERY:
            holder, logged = printable(_holder(lock, connection, migration)), waited
            if waited >= wait:
                raise CommandError(
                    f"another deployer holds the lock, after {wait:g} s: nothing was run\n"
                    f"  held by  {holder}\n"
                    "What to do next: run the command again when it has ended; or wait longer,\n"
                    f"with -x deploy_wait={2 * wait or 600:g}."
                )
            log.warning("waiting for another deployer: %s", holder)
        time.sleep(min(pause, max(0.0, wait - waited)) * random.uniform(0.5, 1.0))
        pause = min(2 * pause, 1.0)


def _take(lock: Lock, connection: Connection) -> bool:
    try:
        return lock.take()
    finally:
        if connection.in_transaction():
            connection.commit()


def _holder(lock: Lock, connection: Connection, migration: MigrationContext) -> str:
    """Return who holds the lock, since when, and what they run."""
    found, entry = lock.holder(), None
    _roll_back(connection)
    with suppress(DBAPIError):  # no right to read it
        entry = journal.last(connection, migration.version_table, migration.version_table_schema)
    _roll_back(connection)
    if entry is not None and entry.outcome == journal.RUNNING:
        runs = f"{entry.direction} {entry.revision} since {entry.started:%Y-%m-%d %H:%M:%S} UTC"
        found += f"; {entry.who} runs {runs}" if entry.who not in found else f"; it runs {runs}"
    return found


def _roll_back(connection: Connection) -> None:
    if connection.in_transaction():
        connection.rollback()


def _lock(connection: Connection, migration: MigrationContext) -> Lock | None:
    place = f"{migration.version_table_schema or ''}.{migration.version_table}"
    if connection.dialect.name == "postgresql":
        return _PostgreSQL(connection, place)
    if connection.dialect.name in ("mysql", "mariadb"):
        locks_nodes = is_node(connection)
        return _Galera(connection, place, migration) if locks_nodes else _MariaDB(connection, place)
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("PRAGMA database_list").all()
        path = next((row[2] for row in rows if row[1] == "main"), "")
        _roll_back(connection)
        if path and lockfile.is_possible():
            return _SQLite(Path(path))
        if path:  # a database in memory is never shared
            log.warning(
                "nothing keeps a second deployer out: this system has no flock for SQLite; "
                "see that nobody else is deploying (-x deploy_lock=no: without this line)"
            )
    return None


class _PostgreSQL(Lock):
    # https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    def __init__(self, connection: Connection, place: str) -> None:
        self.connection = connection
        schema = connection.scalar(text("SELECT pg_catalog.current_schema()"))
        connection.rollback()
        # Advisory locks belong to one database; each tenant schema in it has its own lock.
        named = f"{schema}{place}" if place.startswith(".") else place
        digest = hashlib.sha256(f"alembic:{named}".encode()).digest()
        self.key = int.from_bytes(digest[:8], "big", signed=True)

    _KEY = "(:key)::bigint"

    def _ask(self, query: str) -> Any:
        return self.connection.execute(text(query), {"key": self.key})

    def take(self) -> bool:
        return bool(self._ask(f"SELECT pg_catalog.pg_try_advisory_lock({self._KEY})").scalar())

    def free(self) -> None:
        self._ask(f"SELECT pg_catalog.pg_advisory_unlock({self._KEY})")
        self.connection.commit()

    # classid and objid are the halves of the key
    _OURS = pinned(
        "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND int8or(int8shl(l.classid::bigint, 32), l.objid::bigint) = (:key)::bigint"
    )

    def is_held(self) -> bool:
        ours = pinned("SELECT count(*) FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND ")
        query = f"{ours}{self._OURS}"
        return bool(self._ask(query).scalar())

    def is_shared(self) -> bool:
        ours = {self._pid()}
        if _pid_at_connect(self.connection) in (None, *ours):
            return False  # a direct connection, or unknown
        # Transactions of two clients, one after the other: a pool gives both the same sessions.
        theirs = _pids_of_another(self.connection)
        ours |= {self._pid() for _ in range(_TRANSACTIONS)}
        return bool(theirs) and (len(ours) > 1 or len(theirs) > 1 or ours == theirs)

    def _pid(self) -> int:
        pid: int = self.connection.execute(text(_PID)).scalar_one()
        self.connection.rollback()
        return pid

    def holder(self) -> str:
        row = self._ask(
            pinned(
                "SELECT l.pid, a.usename, host(a.client_addr),"
                " a.backend_start AT TIME ZONE 'UTC', a.state"
                " FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE "
            )
            + self._OURS
        ).first()
        if row is None:
            return "nobody, just now"
        since = f", connected since {row[3]:%Y-%m-%d %H:%M:%S} UTC" if row[3] else ""
        return f"session {row[0]}, {row[1]} from {row[2] or 'this host'}{since}"


_PID, _TRANSACTIONS = "SELECT pg_catalog.pg_backend_pid()", 5


def _pid_at_connect(connection: Connection) -> int | None:
    """Return the session id the driver got at connect; a pooler invents one."""
    driver: Any = connection.connection.driver_connection
    with suppress(AttributeError):
        return int(driver.info.backend_pid)  # psycopg
    with suppress(AttributeError):
        return int(driver.get_server_pid())  # asyncpg
    return None


def _pids_of_another(connection: Connection) -> set[int]:
    """Return the sessions that run a second client's transactions; none if it gets none."""
    pool, found = connection.engine.pool.recreate(), list[int]()

    def ask() -> None:
        with suppress(Exception), closing(pool.connect()) as other:
            cursor = other.cursor()
            for _ in range(_TRANSACTIONS):
                cursor.execute(_PID)
                found.extend(cursor.fetchone() or ())
                other.rollback()

    # In a thread, because it waits if all sessions of a pool are in use.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE)
    pool.dispose()
    return set(found)


class _MariaDB(Lock):
    # https://mariadb.com/kb/en/get_lock/
    def __init__(self, connection: Connection, place: str) -> None:
        self.connection = connection
        database = connection.scalar(text("SELECT database()"))
        connection.rollback()
        # These locks apply to the whole server, and a name has at most 64 characters.
        digest = hashlib.sha256(f"{database}:{place}".encode()).hexdigest()
        self.name = f"alembic:{digest[:40]}"

    def _ask(self, query: str) -> Any:
        return self.connection.execute(text(query), {"name": self.name})

    def take(self) -> bool:
        return bool(self._ask("SELECT GET_LOCK(:name, 0)").scalar())

    def free(self) -> None:
        self._ask("SELECT RELEASE_LOCK(:name)")

    def is_held(self) -> bool:
        return bool(self._ask("SELECT IS_USED_LOCK(:name) = CONNECTION_ID()").scalar())

    def holder(self) -> str:
        session = self._ask("SELECT IS_USED_LOCK(:name)").scalar()
        if session is None:
            return "nobody, just now"
        query = text("SELECT user, host FROM information_schema.processlist WHERE id = :id")
        row = self.connection.execute(query, {"id": session}).first()
        return f"session {session}" + (f", {row[0]} from {row[1]}" if row else "")


class _Galera(_MariaDB):
    """A row, locked on all nodes; and `GET_LOCK`, which lasts while a statement is running."""

    may_end_alone: bool = True

    def __init__(self, connection: Connection, place: str, migration: MigrationContext) -> None:
        super().__init__(connection, place)
        self.row = Row(connection, migration)

    def take(self) -> bool:
        try:
            if not super().take():
                return False
        except DBAPIError as error:
            if not is_lock_error(error):
                raise
            refuse_left(self.connection)
            return False
        has_row = False
        try:
            has_row = self.row.take()
        finally:
            if not has_row:
                with suppress(DBAPIError):  # the node is gone: so is the lock
                    super().free()
        if has_row:
            log.info("a Galera cluster: what alters a table makes the writers of all nodes wait")
        return has_row

    def free(self) -> None:
        self.row.free()
        super().free()

    def is_held(self) -> bool:
        return self.row.is_held() and super().is_held()

    def lost(self) -> CommandError:
        refuse_left(self.connection)
        if self.row.is_held():
            return super().lost()
        return CommandError(
            "the deployers' lock was lost: nothing more is run\n"
            "  found   the session that held it on all nodes has ended\n"
            "  wanted  that session, to the end of the last revision\n"
            "Stopped, because another deployer may be running by now.\n"
            "What to do next: run the command again, when the cluster has all its nodes:\n"
            "it waits for the other deployer, and goes on behind what is done."
        )

    def holder(self) -> str:
        return self.row.holder() or super().holder()


class _SQLite(Lock):
    """A file beside the database, which the operating system unlocks when a process dies.

    The write lock of the database itself is free between two revisions.
    """

    def __init__(self, database: Path) -> None:
        real = database.resolve()
        self.file = lockfile.LockFile(real.with_name(f"{real.name}-deploy"))

    def take(self) -> bool:
        return self.file.take()

    def free(self) -> None:
        self.file.free()

    def is_held(self) -> bool:
        return self.file.held is not None

    def holder(self) -> str:
        return self.file.holder()
