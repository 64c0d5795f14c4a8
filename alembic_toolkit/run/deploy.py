"""Run the steps of one command: alone, each until it gets its locks, each with an entry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationInfo, RevisionStep, StampStep
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database import errors
from alembic_toolkit.database.journal import DONE, Journal
from alembic_toolkit.run import lock
from alembic_toolkit.run.options import Options
from alembic_toolkit.run.retries import RESUMED, Attempts
from alembic_toolkit.run.servers import server_of
from alembic_toolkit.run.sqlite import ForeignKeyCheck

log = logging.getLogger("alembic_toolkit")

Step = RevisionStep | StampStep


class Deployment:
    """Give Alembic one step at a time, so that each can be repeated by itself.

    Alembic calls a function for the steps to run, after it has read the heads. Called for one step
    at a time, it can repeat a step, with its version table and callbacks.
    """

    def __init__(
        self,
        environment: EnvironmentContext,
        connection: Connection,
        options: Options,
        wanted: Callable[..., Any],
    ) -> None:
        """Prepare to run what the command wants.

        :param wanted: returns all its steps.
        """
        self.environment, self.connection = environment, connection
        self.options, self.wanted = options, wanted
        self.server = server_of(connection)
        self.foreign_keys = ForeignKeyCheck(self.server.orphans)
        self.attempts = Attempts(connection, options.lock_timeout, options.retry_for)
        self.only: list[Step] | None = None
        self.lock: lock.Lock | None = None
        self.journal: Journal | None = None

    def steps(self, *arguments: Any) -> Any:
        """Return the steps that Alembic is to run now."""
        return self.wanted(*arguments) if self.only is None else self.only

    def applied(self, *, ctx: Any, step: MigrationInfo, **more: Any) -> None:
        """Check foreign keys after a step, and journal its end, in its own transaction."""
        self.foreign_keys(ctx=ctx, step=step, **more)
        if self.journal is not None:
            self.journal.end(DONE, self.attempts.tries)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the deployers' lock."""
        context = self.environment.get_context()
        with lock.held(context, self.options.deploy_wait) as self.lock:
            yield

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Watch the connection; make the version table and the journal."""
        with self.attempts.on():
            self.attempts.repeat("the version table", self._prepare)
            yield

    def begin(self) -> None:
        """Begin to write, where the server's driver does not, and look at the foreign keys."""
        self.server.begin_to_write(self.connection)
        self.foreign_keys.start(self.connection)

    def _prepare(self) -> None:
        context = self.environment.get_context()
        self.begin()
        ran_before = bool(context.get_current_heads())
        if not context.purge:  # which must not be kept without the stamps that follow
            self._migrate([])
        self.connection.commit()
        self.attempts.start()  # all of this can be done again
        if self.options.journal:
            self.journal = Journal(context, self.connection)
            self.journal.open(alone=self.lock is not None, expected=ran_before)

    def run(self, step: Step) -> None:
        """Run one step until it gets its locks.

        :raises CommandError: it got none in time; its circumstances, and not its author, stop it.
        """
        try:
            self.attempts.repeat(_name(step), lambda: self._try(step))
        except BaseException as error:
            self.attempts.roll_back()
            partly = self.attempts.kept
            if isinstance(error, KeyboardInterrupt):
                way_on = _again("What to do next:", partly)
                log.error("%s was interrupted; %s. %s", _name(step), _remains(partly), way_on)
            if self.journal is not None:
                self.journal.fail(error, self.attempts.tries)
            if errors.is_gone(error) or errors.is_operators(error):
                raise _stopped(step, error, partly) from error
            raise
        if self.journal is not None:
            self.journal.row = None
        self.environment.get_context().purge = False

    def _try(self, step: Step) -> None:
        if self.journal is not None:
            self.journal.begin(step)
        self.attempts.start()
        if self.lock is not None:
            lock.confirm(self.lock)
        with ExitStack() as stack:
            if self.attempts.tries:  # Alembic has logged that it runs
                stack.enter_context(silenced("alembic.runtime.migration"))
            self._migrate([step])

    def _migrate(self, steps: list[Step]) -> None:
        self.only = steps
        try:
            with self.environment.begin_transaction():
                self.environment.run_migrations()
        finally:
            self.only = None


def _remains(partly: bool) -> str:
    """Return what a step leaves behind that ended by an error: a part of it, or nothing."""
    return "what ran before is kept" if partly else "nothing of it is kept"


def _again(first: str, partly: bool) -> str:
    return f"{first} run the command again{f': {RESUMED}' if partly else ''}."


def _stopped(step: Step, error: BaseException, partly: bool) -> CommandError:
    what, then = f"was stopped by its database; {_remains(partly)}", "Mend that, then"
    if errors.is_gone(error):
        # Nobody knows whether a COMMIT under way succeeded; the version table will show it.
        what = "lost its database; what was not committed is rolled back"
        then = "When the database answers again,"
    sql = " ".join(errors.statement(error).split())[:200]
    return CommandError(
        f"{_name(step)} {what}\n"
        f"  asked  {sql}\n"
        f"  found  {errors.message(error)}\n"
        f"{_again(then, partly)}"
    )


def _name(step: Step) -> str:
    if isinstance(step, RevisionStep):
        return f"{'upgrade' if step.is_upgrade else 'downgrade'} of {step.revision.revision}"
    return "stamp"


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Disable a logger."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
