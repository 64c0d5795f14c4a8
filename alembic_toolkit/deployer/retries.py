"""Bounded locks: a revision never waits for a lock long enough to stall the application behind it.

A statement that waits for a strong lock blocks everybody who comes after it, even readers. So it
does not wait at first, then a little longer each time, and between the tries nothing is locked:

- a revision is rolled back and run again from its start, as long as all of its committed parts are
  in the record, which are not done again;
- a statement that commits at once (MariaDB's DDL, anything in an autocommit block) or is the first
  of its transaction holds nothing, and is retried by itself.

Anything else that meets a lock after a part of the revision was committed cannot be repeated
safely, so it stops.
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

from alembic_toolkit.database import errors, savepoint, servers
from alembic_toolkit.database.driver import commits_each, is_idle, run
from alembic_toolkit.database.record import record_of
from alembic_toolkit.deployer.commits import COMMITS, COMPOUND, UNFORESEEN, beginning, behind_commit
from alembic_toolkit.deployer.servers import is_held, server_of

log = logging.getLogger("alembic_toolkit")

AT_ONCE = 10  # tries that do not wait at all; fixed small timeouts starve, a ramp does not
FIRST, PAUSE = 0.05, 0.1
_LOG_EVERY = 10.0

# What a second run of a revision does if a part of it is kept.
RESUMED = (
    "it goes on behind\n"
    "the last verb of alembic_helpers that was done;"
    " what else ran of the revision must be undone by hand before"
)

# What a retry does.
AGAIN = (
    "is run again from its start, so what it does outside of this database"
    " (another engine, a file, an HTTP call) is done again, too"
)

# These wait for other transactions with locks that block neither readers nor writers.
# https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.I)
_VALIDATES = re.compile(r"\bVALIDATE\s+CONSTRAINT\b", re.I)
_READS = re.compile(
    r"(SELECT|SHOW|EXPLAIN|DESCRIBE|VALUES|PRAGMA|SET(?!\s+STATEMENT)|RESET"
    r"|BEGIN(?!\s+NOT\s+ATOMIC)|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b"
)
_ROWS = re.compile(r"(INSERT|UPDATE|DELETE|REPLACE|MERGE|WITH|COPY|CALL)\b")
# Transaction control: these wait for no lock, and a savepoint around them would interfere.
_OF_TRANSACTION = re.compile(r"(BEGIN|START|COMMIT|END|ABORT|ROLLBACK|RELEASE|SET|RESET|SHOW)\b")
_SAVEPOINT = re.compile(r"\bSAVEPOINT\b", re.I)
_TEMPORARY = re.compile(r"(CREATE|DROP)\s+TEMPORARY\b")
_TEMPORARY_TABLE = re.compile(r"CREATE\s+((GLOBAL|LOCAL)\s+)?TEMP(ORARY)?\b")
_ROLLS_BACK = re.compile(r"ROLLBACK(\s+(WORK|TRANSACTION))?\s*;?\s*$")
_OWN_TIMEOUT = re.compile(r"SET\s+(SESSION\s+|LOCAL\s+)?(lock_timeout|lock_wait_timeout)\b", re.I)


class Attempts:
    """Run revisions on one connection, retrying each until it gets its locks."""

    def __init__(self, connection: Connection, lock_timeout: float, retry_for: float) -> None:
        """Set how long to wait; see `on`.

        :param lock_timeout: the longest that a statement waits for a lock.
        :param retry_for: how long a revision is retried.
        """
        self.connection = connection
        self.server = server_of(connection)
        self.lock_timeout, self.retry_for = lock_timeout, retry_for
        self.what, self.tries = "", 0
        self.deadline = self.logged = 0.0
        self.timeout: float | None = None  # the session's present setting, if known
        self.has_own_timeout = False  # the revision has set one
        # Written in this transaction; committed; the commit in progress commits something.
        self.wrote = self.kept = self.commits = False
        # Written outside the verbs, and so not in the record: in this transaction; and committed.
        self.strays = self.kept_strays = False
        self.is_doubtful = False  # only the server knows whether that part is kept
        self.holds = False  # a transaction is open, from its first statement on
        self.resumes = False  # the kept part is from the previous try

    # The session

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch the statements of the connection; restore its settings at the end."""
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
        """Return the settings of the session that will change."""
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
        """Run a revision until it gets its locks; `tries` counts the retries.

        :param what: how messages name it.
        :raises CommandError: it did not get a lock in time, or cannot be repeated.
        """
        self.what, self.tries = what, 0
        self.deadline, self.logged = time.monotonic() + self.retry_for, -math.inf
        self.resumes = False
        while True:
            self.start()
            try:
                act()
                return
            except Exception as error:
                self.roll_back()
                if not errors.is_lock_error(error):
                    raise
                self.server.refuse_lost(self.connection)
                unknown = self.kept and (self.kept_strays or record_of(self.connection) is None)
                if unknown or time.monotonic() >= self.deadline:
                    raise self._refusal(what, error) from error
                self.resumes = self.kept
                self._pause(error)

    def start(self) -> None:
        """Begin a revision: earlier commits are not part of it."""
        self.wrote = self.commits = self.has_own_timeout = False
        self.strays = self.kept_strays = self.is_doubtful = self.holds = False
        self.kept, self.timeout = self.resumes, None

    def roll_back(self) -> None:
        """End whatever transaction there is."""
        if self.connection.closed:
            return
        with suppress(DBAPIError):  # the connection may be gone
            # After a failed commit, SQLAlchemy's transaction is inactive, but still exists.
            if self.connection.get_transaction() is not None:
                self.connection.rollback()
            if self.server.goes_on_after_failed_commit:
                self.connection.connection.rollback()

    def _refusal(self, what: str, error: BaseException) -> CommandError:
        statement = errors.statement(error)
        met, holders = "met changes of other sessions", ""
        way_on = "run the command again"
        if not errors.is_outdated(error):
            held = errors.blockers(self.connection, statement) or [self.server.hides_blockers]
            holders = "  held by  " + "\n           ".join(held) + "\n"
            met, way_on = "got no lock", f"wait for them or end them, then {way_on}"
        kept = "nothing of it is kept"
        if self.kept:
            kept = "what ran before this statement is kept"
            if self.is_doubtful:
                kept = "what ran before this statement is rolled back, unless it committed it"
            if self.kept_strays:
                kept += ", so it cannot be run again as a whole"
            way_on += f": {RESUMED}"
        return CommandError(
            f"{what} {met} in {self.tries + 1} tries; {kept}\n"
            f"  asked    {' '.join(statement.split())[:200]}\n"
            f"  found    {errors.message(error)}\n"
            f"{holders}"
            f"What to do next: {way_on}."
        )

    def _pause(self, error: BaseException | None, statement: str | None = None) -> None:
        """Wait without holding locks; log it now and then."""
        waited = self._ramp()
        self.tries += 1
        now, sudden = time.monotonic(), _sudden(error)
        whole = statement is None
        often = self.tries > AT_ONCE or (whole and self.tries == 1)
        if sudden or (often and now - self.logged > _LOG_EVERY):
            self.logged = now
            held = []
            if whole and not self.connection.in_transaction():
                held = errors.blockers(self.connection, errors.statement(error))
            log.warning(
                "%s, try %s: %s%s%s",
                sudden or "a lock is held",
                self.tries,
                " ".join((statement or errors.statement(error)).split())[:100],
                "".join(f"; held by {line}" for line in held),
                f"; {self.what} {AGAIN}" if whole else "",
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
        return commits_each(self.connection)

    def _commits(self, statement: str) -> bool:
        """Return whether the server commits before and after it, unconditionally."""
        start = beginning(statement)
        reads = _READS.match(start) or _ROWS.match(start) or _TEMPORARY.match(start)
        return self.server.commits_ddl and not reads and not UNFORESEEN.match(start)

    def _notice_commit(self) -> None:
        """Note a commit that only the driver sees: by a cursor, or within a statement."""
        if not (self.wrote or self.holds) or self.connection.closed or self.connection.invalidated:
            return
        if is_idle(self.connection):
            record = record_of(self.connection)
            if record is None or not record.took_commit():
                self.strays = True  # not in the record, which is written at commits
            self._keep(True)
            self.wrote = self.holds = False
            self.timeout = None

    def _before(self, _: Any, cursor: Any, statement: str, *more: Any) -> None:
        self._notice_commit()
        if _OWN_TIMEOUT.match(beginning(statement)):
            self.has_own_timeout = True
        # A statement that fails halfway also leaves something behind: an invalid index.
        if (self._commits(statement) and self.wrote) or _CONCURRENTLY.search(statement):
            self._keep(self._commits(statement) or self._autocommit)
        if behind_commit(statement, self.server.syntax):
            self._stray()  # here as well
        self._bound(statement)

    def _bound(self, statement: str) -> None:
        """Set how long this statement may wait."""
        start, wanted = beginning(statement), self._ramp()
        rows = _READS.match(start) or _ROWS.match(start) or _VALIDATES.search(statement)
        if rows and not start.startswith("BEGIN"):
            wanted = self.lock_timeout  # no reader, and no writer of other rows, queues behind it
        elif self._autocommit and _CONCURRENTLY.search(statement):
            wanted = math.inf
        elif self.wrote:
            wanted = min(wanted, self.server.holding)
        if wanted != self.timeout and not self.has_own_timeout:
            self.timeout = wanted
            with suppress(Exception):  # the transaction is aborted: the statement will report it
                for setting in self.server.bound(self.connection, wanted):
                    run(self.connection, setting)

    def _after(self, _: Any, cursor: Any, statement: str, *more: Any) -> None:
        start = beginning(statement)
        if COMMITS.match(start) or _ROLLS_BACK.match(start):  # the author's own
            self._keep(self.wrote and bool(COMMITS.match(start)))
            self.wrote = self.holds = False
            self.timeout = None
            return
        self.holds = self.server.holds_transaction and not self._autocommit
        if _READS.match(start):
            return
        rest = behind_commit(statement, self.server.syntax)
        if rest is not None:
            self._stray()
            self.wrote = not all(map(_READS.match, rest)) and not self._autocommit
            return
        record = record_of(self.connection)
        self.strays = self.strays or record is None or not record.is_inside
        if record is not None and self._commits(statement):
            record.must_commit = record.is_inside
        if record is not None and _TEMPORARY_TABLE.match(start):
            record.note_temporary(statement)
        self.wrote = not self._commits(statement) and not self._autocommit
        self._keep(not self.wrote)

    def _keep(self, kept: bool) -> None:
        """Note that everything written so far is committed."""
        if kept:
            self.kept, self.kept_strays = True, self.kept_strays or self.strays
            self.strays = False

    def _stray(self) -> None:
        """Note that a committed part is missing from the record."""
        self.strays = True
        self._keep(True)

    def _begun(self, *_: Any) -> None:
        self._keep(self.commits)
        self.wrote = self.commits = self.strays = self.holds = False
        self.timeout = None

    def _committing(self, *_: Any) -> None:
        # If it succeeds, as the next transaction will show.
        self.commits = self.wrote
        if not self.wrote and self.server.wrote and not self._autocommit:
            with suppress(Exception):  # the transaction is aborted: the commit will report it
                [(transaction,)] = run(self.connection, self.server.wrote)
                self.commits = transaction is not None  # a query wrote: ``SELECT a_function()``
                self.strays = self.strays or self.commits
        record = record_of(self.connection)
        if self.commits and record is not None:
            record.write()

    def _rolled_back(self, *_: Any) -> None:
        self.commits, self.timeout = False, None

    def _needs_savepoint(self, statement: str) -> bool:
        """Return whether an error would end the transaction, and a savepoint prevents it."""
        if not servers.server_of(self.connection.dialect.name).error_ends_transaction:
            return False
        ours = _OF_TRANSACTION.match(beginning(statement)) or _SAVEPOINT.search(statement)
        return not ours and not self._autocommit

    def _would_stall(self, statement: str) -> bool:
        """Tell whether a statement would wait longer than this try allows."""
        if time.monotonic() >= self.deadline or not self._commits(statement):
            return False
        return self._ramp() < self.server.least and is_held(self.connection, statement)

    def _insist(self, cursor: Any, statement: str, *more: Any) -> bool | None:
        """Retry a statement that holds no lock while it waits; leave the others to `repeat`.

        :param more: its parameters, if any, and its execution context.
        """
        *parameters, context = more
        if context.root_connection is not self.connection:
            return None
        if self.server.commits_ddl and UNFORESEEN.match(beginning(statement)):
            return self._watch(cursor, statement, *parameters)
        alone = self._autocommit or self._commits(statement) or (self.kept and not self.wrote)
        if not alone or behind_commit(statement, self.server.syntax) is not None:
            return None
        savepoint = self._needs_savepoint(statement)
        refused = self.connection.dialect.loaded_dbapi.Error
        while True:
            if self._would_stall(statement):
                self._pause(None, statement)
                self._bound(statement)
                continue
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
                again = errors.is_lock_error(error)
                if errors.is_outdated(error) and not self._autocommit:
                    again = False  # it would see the same data again
                if late or not again:
                    raise
                self._pause(error, statement)
                self._bound(statement)

    def _watch(self, cursor: Any, statement: str, *parameters: Any) -> bool:
        """Run a statement if only the server knows whether it commits."""
        record, name = record_of(self.connection), "alembic_toolkit_watch"
        refused = self.connection.dialect.loaded_dbapi.Error
        savepoint.make(self.connection, name)
        try:
            cursor.execute(statement, *parameters)
        except refused as error:
            # A deadlock also removes the savepoint, and does not show what a procedure did before.
            is_kept = self.is_doubtful = bool(COMPOUND.match(beginning(statement)))
            if not _sudden(error):
                with suppress(refused):  # otherwise it is unknown
                    is_kept = savepoint.is_gone(self.connection, name)
                    self.is_doubtful = False
            if is_kept:
                self._stray()
            raise
        is_gone = True
        with suppress(refused):  # a driver with unread results cannot ask
            is_gone = savepoint.is_gone(self.connection, name)
        if is_gone and record is not None and record.is_inside:
            record.must_commit = True
            self._keep(True)
        elif is_gone:
            self._stray()
        return True


def _sudden(error: BaseException | None) -> str:
    """Return what ended a try, if it was not a lock timeout."""
    if errors.is_deadlock(error):
        return "a deadlock with another session"
    return "another session changed what was read" if errors.is_outdated(error) else ""
