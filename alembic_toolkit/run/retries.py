"""Bounded locks: a revision waits for no lock long enough to stall the application behind it.

A statement that waits for a strong lock stops everybody who comes after it, readers too. So it does
not wait at first, then each time a little longer, and in between nothing is locked:

- a revision is rolled back and run again from its start, as long as nothing of it is kept;
- a statement that commits at once (MariaDB's DDL, anything in an autocommit block) or is the first
  of its transaction, holds nothing, and is tried again by itself.

Anything else that meets a lock after a part of the revision was committed cannot be repeated
safely: it stops.
"""

from __future__ import annotations

import logging
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import errors, servers
from alembic_toolkit.database.driver import run
from alembic_toolkit.run.servers import server_of

log = logging.getLogger("alembic_toolkit")

AT_ONCE = 10  # tries that do not wait at all; fixed small timeouts starve, a ramp does not
FIRST, PAUSE = 0.05, 0.1
_LOG_EVERY = 10.0

# What a second run of a revision does, when a part of it is kept.
RESUMED = (
    "verbs of alembic_helpers\n"
    "confirm what is there; what else ran of the revision must be undone by hand before"
)

# These wait for other people's transactions with locks that stop no reader and no writer.
# https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.I)
_VALIDATES = re.compile(r"\bVALIDATE\s+CONSTRAINT\b", re.I)
_READS = re.compile(
    r"(SELECT|SHOW|EXPLAIN|DESCRIBE|VALUES|PRAGMA|SET|RESET|BEGIN|COMMIT|END|ROLLBACK)\b"
)
_ROWS = re.compile(r"(INSERT|UPDATE|DELETE|REPLACE|MERGE|WITH|COPY|CALL|SAVEPOINT|RELEASE)\b")
_TEMPORARY = re.compile(r"(CREATE|DROP)\s+TEMPORARY\b")
_COMMITS = re.compile(r"(COMMIT|END)\b")
_ROLLS_BACK = re.compile(r"ROLLBACK(\s+(WORK|TRANSACTION))?\s*;?\s*$")
_COMMENTS = re.compile(r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*", re.S)
_OWN_TIMEOUT = re.compile(r"SET\s+(SESSION\s+|LOCAL\s+)?(lock_timeout|lock_wait_timeout)\b", re.I)


class Attempts:
    """Run revisions on one connection, and each again until it gets its locks."""

    def __init__(self, connection: Connection, lock_timeout: float, retry_for: float) -> None:
        """Know how long to wait; see `on`.

        :param lock_timeout: the longest that a statement waits for a lock.
        :param retry_for: how long a revision is tried again.
        """
        self.connection = connection
        self.server = server_of(connection)
        self.lock_timeout, self.retry_for = lock_timeout, retry_for
        self.tries = 0
        self.deadline = self.logged = 0.0
        self.timeout: float | None = None  # what the session has, as far as is known
        self.has_own_timeout = False  # the revision set one
        # Written in this transaction; committed for good; the commit under way commits something.
        self.wrote = self.kept = self.commits = False

    # The session

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch the statements of the connection; leave its settings as they were."""
        listeners: list[tuple[Any, str, Callable[..., Any]]] = [
            (self.connection, "before_cursor_execute", self._before),
            (self.connection, "after_cursor_execute", self._after),
            (self.connection, "begin", self._begun),
            (self.connection, "commit", self._committing),
            (self.connection, "rollback", self._rolled_back),
            (self.connection, "rollback_savepoint", self._rolled_back),
            (self.connection.engine, "do_execute", self._insist),
            (self.connection.engine, "do_execute_no_params", self._insist),
        ]
        before = self._settings()
        for target, name, function in listeners:
            event.listen(target, name, function)
        try:
            yield
        finally:
            for target, name, function in listeners:
                event.remove(target, name, function)
            with suppress(Exception):  # the connection may be gone
                self.roll_back()
                for name, value in before.items():
                    self._change(name, value)

    def _settings(self) -> dict[str, Any]:
        """Return the settings of the session that are about to change."""
        found = {}
        for name, value in self.server.settings.items():
            with suppress(Exception):  # older servers do not have all of them
                [(found[name],)] = run(self.connection, self.server.show.format(name=name))
                if value is not None:
                    self._change(name, value)
            self.connection.connection.rollback()
        return found

    def _change(self, name: str, value: Any) -> None:
        run(self.connection, self.server.change.format(name=name, value=value))
        self.connection.connection.commit()

    # A revision

    def repeat(self, what: str, act: Callable[[], None]) -> None:
        """Run a revision until it gets its locks; `tries` is how often it was run again.

        :param what: how messages name it.
        :raises CommandError: it got no lock in time, or cannot be repeated.
        """
        self.tries, self.deadline, self.logged = 0, time.monotonic() + self.retry_for, 0.0
        while True:
            self.start()
            try:
                act()
                return
            except Exception as error:
                self.roll_back()
                if not errors.is_lock_error(error):
                    raise
                if self.kept or time.monotonic() >= self.deadline:
                    raise self._refusal(what, error) from error
                self._pause(error)

    def start(self) -> None:
        """Begin a revision: what was committed before is no part of it."""
        self.wrote = self.kept = self.commits = self.has_own_timeout = False
        self.timeout = None

    def roll_back(self) -> None:
        """End whatever transaction there is."""
        if self.connection.closed:
            return
        with suppress(DBAPIError):  # the connection may be gone
            # After a commit that failed, SQLAlchemy's is not active, but there.
            if self.connection.get_transaction() is not None:
                self.connection.rollback()
            if self.server.goes_on_after_failed_commit:
                self.connection.connection.rollback()

    def _refusal(self, what: str, error: BaseException) -> CommandError:
        statement = errors.statement(error)
        held = errors.blockers(self.connection, statement) or [self.server.hides_blockers]
        holders = "\n           ".join(held)
        kept = "nothing of it is kept"
        way_on = "wait for them or end them, then run the command again"
        if self.kept:
            kept = "what ran before this statement is kept, so it cannot be run again as a whole"
            way_on += f": {RESUMED}"
        return CommandError(
            f"{what} got no lock in {self.tries + 1} tries; {kept}\n"
            f"  asked    {' '.join(statement.split())[:200]}\n"
            f"  found    {errors.message(error)}\n"
            f"  held by  {holders}\n"
            f"What to do next: {way_on}."
        )

    def _pause(self, error: BaseException, statement: str | None = None) -> None:
        """Wait outside of any lock; log it now and then."""
        waited = self._ramp()
        self.tries += 1
        now, deadlock = time.monotonic(), errors.is_deadlock(error)
        if deadlock or (self.tries > AT_ONCE and now - self.logged > _LOG_EVERY):
            self.logged = now
            held = []
            if statement is None and not self.connection.in_transaction():
                held = errors.blockers(self.connection, errors.statement(error))
            log.warning(
                "%s, try %s: %s%s",
                "a deadlock with another session" if deadlock else "a lock is held",
                self.tries,
                " ".join((statement or errors.statement(error)).split())[:100],
                "".join(f"\n  by {line}" for line in held),
            )
        time.sleep(max(PAUSE, waited) * random.uniform(0.5, 1.5))

    def _ramp(self) -> float:
        """Return how long a statement of this try may wait: not at all, then 50, 100, 200 ms..."""
        if self.tries < AT_ONCE:
            return 0.0
        return min(FIRST * 2.0 ** min(self.tries - AT_ONCE, 30), self.lock_timeout)

    # Its statements

    @property
    def _autocommit(self) -> bool:
        options = self.connection.get_execution_options()
        return options.get("isolation_level") == "AUTOCOMMIT"

    def _commits(self, statement: str) -> bool:
        """Return whether the server commits before and after it, unconditionally."""
        start = _beginning(statement)
        reads = _READS.match(start) or _ROWS.match(start) or _TEMPORARY.match(start)
        return self.server.commits_ddl and not reads

    def _before(self, _: Any, cursor: Any, statement: str, *more: Any) -> None:
        if _OWN_TIMEOUT.match(_beginning(statement)):
            self.has_own_timeout = True
        # What fails half-way leaves something behind too: an invalid index.
        if (self._commits(statement) and self.wrote) or _CONCURRENTLY.search(statement):
            self.kept = self.kept or self._commits(statement) or self._autocommit
        self._bound(statement)

    def _bound(self, statement: str) -> None:
        """Set how long this statement may wait."""
        start, wanted = _beginning(statement), self._ramp()
        rows = _READS.match(start) or _ROWS.match(start) or _VALIDATES.search(statement)
        if rows and not start.startswith("BEGIN"):
            wanted = self.lock_timeout  # nobody queues behind it who reads, or wants other rows
        elif self._autocommit and _CONCURRENTLY.search(statement):
            wanted = math.inf
        elif self.wrote:
            wanted = min(wanted, self.server.holding)
        if wanted != self.timeout and not self.has_own_timeout:
            self.timeout = wanted
            with suppress(Exception):  # the transaction is aborted: the statement will say so
                for setting in self.server.bound(self.connection, wanted):
                    run(self.connection, setting)

    def _after(self, _: Any, cursor: Any, statement: str, *more: Any) -> None:
        start = _beginning(statement)
        if _COMMITS.match(start) or _ROLLS_BACK.match(start):  # the author's own
            self.kept = self.kept or (self.wrote and bool(_COMMITS.match(start)))
            self.wrote, self.timeout = False, None
        if _READS.match(start):
            return
        if self._commits(statement):
            self.wrote, self.kept = False, True
        elif self._autocommit:
            self.kept = True
        else:
            self.wrote = True

    def _begun(self, *_: Any) -> None:
        self.kept = self.kept or self.commits
        self.wrote, self.commits, self.timeout = False, False, None

    def _committing(self, *_: Any) -> None:
        # If it succeeds, which the next transaction will show.
        self.commits = self.wrote
        if not self.wrote and self.server.wrote and not self._autocommit:
            with suppress(Exception):  # the transaction is aborted: the commit will say so
                [(transaction,)] = run(self.connection, self.server.wrote)
                self.commits = transaction is not None  # a query wrote: ``SELECT a_function()``

    def _rolled_back(self, *_: Any) -> None:
        self.commits, self.timeout = False, None

    def _insist(self, cursor: Any, statement: str, *more: Any) -> bool | None:
        """Repeat a statement that holds no lock while it waits; leave the others to `repeat`.

        :param more: its parameters, if it has any, and the context of its execution.
        """
        *parameters, context = more
        alone = self._autocommit or self._commits(statement) or (self.kept and not self.wrote)
        if context.root_connection is not self.connection or not alone:
            return None
        facts = servers.server_of(self.connection.dialect.name)
        savepoint = facts.error_ends_transaction and not self._autocommit
        refused = self.connection.dialect.loaded_dbapi.Error
        while True:
            try:
                if savepoint:
                    run(self.connection, "SAVEPOINT alembic_toolkit")
                cursor.execute(statement, *parameters)
                if savepoint:
                    run(self.connection, "RELEASE SAVEPOINT alembic_toolkit")
                return True
            except refused as error:
                if savepoint:
                    run(self.connection, "ROLLBACK TO SAVEPOINT alembic_toolkit")
                    self.timeout = None
                late = time.monotonic() >= self.deadline or _CONCURRENTLY.search(statement)
                if late or not errors.is_lock_error(error):
                    raise
                self._pause(error, statement)
                self._bound(statement)


def _beginning(statement: str) -> str:
    """Return the beginning of a statement in capitals, without the comments before it."""
    match = _COMMENTS.match(statement)
    return statement[match.end() if match else 0 :][:80].upper()
