"""Give SQLite the guarantees of other servers: atomic revisions that leave no orphans."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.deployer.interrupts import received
from alembic_toolkit.messages import printable

# The value of `autocommit` before Python 3.12 gave the driver transactions to turn on and off.
# https://docs.python.org/3/library/sqlite3.html#sqlite3.Connection.autocommit
_LEGACY = -1


@contextmanager
def transactional_ddl(connection: Connection) -> Iterator[None]:
    """Begin transactions with BEGIN IMMEDIATE and suspend foreign keys; undo both at the end.

    By default the driver begins a transaction before an INSERT but not before a CREATE TABLE, so a
    failed revision keeps half of its tables. And with foreign keys enforced, rebuilding a table
    (SQLite has few ALTERs) deletes its children's rows.

    The connection must be in no transaction, because SQLite ignores the pragma there.
    """
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#transactions-with-sqlite-and-the-sqlite3-driver
    # https://github.com/sqlalchemy/alembic/issues/1655
    # https://www.sqlite.org/lang_altertable.html#otheralter
    driver: Any = connection.connection.dbapi_connection

    def begin(begun: Connection) -> None:
        # An autocommit_block() needs none, and the engine's listener may have begun one already.
        itself: Any = begun.connection.driver_connection  # a different object if asynchronous
        if begun is connection and not commits_each(begun) and not itself.in_transaction:
            # IMMEDIATE: wait for the write lock now, before reading anything that could be stale.
            begun.exec_driver_sql("BEGIN IMMEDIATE")

    with _no_driver_transactions(driver), _interruptible(driver):
        [enforced] = driver.execute("PRAGMA foreign_keys").fetchone()
        driver.execute("PRAGMA foreign_keys = OFF").close()
        # On the engine, because a connection's listeners are called before those of its engine.
        event.listen(connection.engine, "begin", begin)
        try:
            yield
        finally:
            event.remove(connection.engine, "begin", begin)
            if connection.in_transaction():
                connection.rollback()
            if is_open(driver):
                driver.execute(f"PRAGMA foreign_keys = {enforced}").close()


def is_open(driver: Any) -> bool:
    """Return whether a connection can be used: SQLAlchemy closes it after Ctrl-C."""
    itself = getattr(driver, "driver_connection", driver)  # a different object if asynchronous
    try:
        return bool(itself.total_changes >= 0)
    except Exception:  # the driver's own ProgrammingError, or aiosqlite's ValueError
        return False


_INSTRUCTIONS = 100_000  # SQLite instructions between two checks: a few milliseconds


@contextmanager
def _interruptible(driver: Any) -> Iterator[None]:
    """Let Ctrl-C end a statement; Python would notice it only after the statement.

    When SQLite calls Python, Python calls the signal handler; an exception raised there ends the
    statement with the error "interrupted" (see `errors.is_interrupted`).
    https://docs.python.org/3/library/sqlite3.html#sqlite3.Connection.set_progress_handler
    """
    awaited = getattr(driver, "run_async", None)  # then the statement runs in another thread
    cancelled = _cancellations()
    before = cancelled()

    def watch(handler: Callable[[], bool] | None) -> None:
        every = _INSTRUCTIONS if handler else 0
        if awaited is None:
            driver.set_progress_handler(handler, every)
        else:
            awaited(lambda itself: itself.set_progress_handler(handler, every))

    watch(lambda: bool(received) or cancelled() > before)
    try:
        yield
    finally:
        if is_open(driver):
            watch(None)


def _cancellations() -> Callable[[], int]:
    """Return what counts how often the running task was cancelled; Python 3.10 does not know."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        task = None
    return getattr(task, "cancelling", lambda: 0)


@contextmanager
def _no_driver_transactions(driver: Any) -> Iterator[None]:
    """Make the driver begin no transactions by itself, in any of its modes."""
    autocommit = getattr(driver, "autocommit", _LEGACY)
    if autocommit != _LEGACY:
        driver.autocommit = True  # ends the empty transaction that False keeps open
        driver.autocommit = _LEGACY
    isolation_level, driver.isolation_level = driver.isolation_level, None
    try:
        yield
    finally:
        if is_open(driver):
            driver.isolation_level = isolation_level
            if autocommit != _LEGACY:
                driver.autocommit = autocommit


def begin_to_write(connection: Connection) -> None:
    """Begin a transaction; raise the driver's error if the database is locked or read-only."""
    connection.begin()
    # On a read-only file BEGIN IMMEDIATE only begins to read; writing, even the same value, fails.
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def in_transaction(connection: Connection) -> bool:
    """Return whether a transaction has begun, even if only in the driver."""
    driver: Any = connection.connection.driver_connection
    always = getattr(driver, "autocommit", _LEGACY) is False
    return connection.in_transaction() or (bool(driver.in_transaction) and not always)


def commits_each(connection: Connection) -> bool:
    """Return whether no transaction should begin: within an autocommit block.

    Everywhere else `transactional_ddl` begins one, whatever the driver's settings are.
    """
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


class ForeignKeyCheck:
    """Refuse a revision that leaves rows without their parents; for ``on_version_apply``.

    That hook runs in the revision's own transaction, before its commit: an error undoes everything.
    Orphans that existed before are not counted.
    """

    def __init__(self, orphans: Callable[[Connection], Counter[str]]) -> None:
        """Start without known orphans; call `start` before the first revision.

        :param orphans: counts the rows without a parent, by table and parent.
        """
        self.orphans, self.known = orphans, Counter[str]()

    def start(self, connection: Connection) -> None:
        """Remember the existing orphans."""
        self.known = self.orphans(connection)

    def __call__(self, *, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
        """Compare with the previous orphans.

        :raises CommandError: there are new ones.
        """
        assert ctx.connection is not None
        found = self.orphans(ctx.connection)
        new, self.known = found - self.known, found
        if new:
            function = "upgrade()" if step.is_upgrade else "downgrade()"
            lines = "".join(
                f"\n  {printable(what)}: {count} {'row' if count == 1 else 'rows'}"
                for what, count in sorted(new.items())
            )
            raise CommandError(
                f"revision {step.up_revision_id} breaks foreign keys, "
                f"so its {function} was rolled back:{lines}\n"
                f"Fix or delete these rows in {function}, or keep the rows that they refer to."
            )


def orphans(connection: Connection) -> Counter[str]:
    """Count the rows without a parent, by table and parent."""
    # Table by table: a foreign key that is itself wrong is an error, and would hide the others.
    # https://www.sqlite.org/pragma.html#pragma_foreign_key_check
    found: Counter[str] = Counter()
    tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    for table in tables.scalars().all():
        try:
            rows = connection.exec_driver_sql(
                "SELECT parent, count(*) FROM pragma_foreign_key_check(?) GROUP BY parent", (table,)
            ).all()
        except DBAPIError as error:
            found[f"{table}: {error.orig}"] = 1
        else:
            for parent, count in rows:
                found[f"{table} -> {parent}"] = count
    return found
