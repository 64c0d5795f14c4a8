"""Run the steps of one command: exclusively, with retries, and with journal entries."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationInfo, RevisionStep, StampStep
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import errors
from alembic_toolkit.database.address import shown
from alembic_toolkit.database.journal import DONE, Journal
from alembic_toolkit.database.record import Record
from alembic_toolkit.database.standby import Standby, standby
from alembic_toolkit.deployer import lock
from alembic_toolkit.deployer.options import Options
from alembic_toolkit.deployer.retries import RESUMED, Attempts
from alembic_toolkit.deployer.servers import server_of
from alembic_toolkit.deployer.sqlite import ForeignKeyCheck
from alembic_toolkit.deployer.verify import Verification
from alembic_toolkit.messages import at, four_parts, place_of, printable
from alembic_toolkit.project.baselines import MarkAgain

log = logging.getLogger("alembic_toolkit")

Step = RevisionStep | StampStep


ARGUMENTS = "alembic_toolkit_arguments"  # for the revisions' functions, in the options


def run_migrations(environment: EnvironmentContext) -> None:
    """Run the migrations, with the arguments for the revisions' functions."""
    environment.run_migrations(**environment.context_opts[ARGUMENTS])


class Deployment:
    """Give Alembic one step at a time, so that each can be retried by itself.

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
        """Prepare to run the steps of the command.

        :param wanted: returns all steps of the command.
        """
        self.environment, self.connection = environment, connection
        self.options, self.wanted = options, wanted
        self.server = server_of(connection)
        self.foreign_keys = ForeignKeyCheck(self.server.orphans)
        self.attempts = Attempts(connection, options.lock_timeout, options.retry_for)
        self.only: list[Step] | None = None
        self.lock: lock.Lock | None = None
        self.journal: Journal | None = None
        self.record: Record | None = None
        self.verification: Verification | None = None
        self.said: Counter[str] = Counter()  # log lines of the verbs, in the running step

    def steps(self, *arguments: Any) -> Any:
        """Return the steps that Alembic should run now."""
        return self.wanted(*arguments) if self.only is None else self.only

    def applied(self, *, ctx: Any, step: MigrationInfo, **more: Any) -> None:
        """Check foreign keys after a step, and journal its end in the step's transaction."""
        self.foreign_keys(ctx=ctx, step=step, **more)
        self._verify(more["heads"])
        if self.lock is not None and self.lock.may_end_alone:
            lock.confirm(self.lock)
        if self.record is not None:
            self.record.end()
        if self.journal is not None:
            self.journal.end(DONE, self.attempts.tries)

    def _verify(self, heads: Iterable[str]) -> None:
        """Compare the schema with the expected one, after an upgrade or a new mark."""
        if self.verification is None:
            return
        for one in self.only or ():
            if isinstance(one, MarkAgain) or (isinstance(one, RevisionStep) and one.is_upgrade):
                self.verification(_name(one), heads)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the deployers' lock."""
        context = self.environment.get_context()
        with lock.held(context, self.options.deploy_wait) as self.lock:
            yield

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Watch the connection; create the version table and the journal."""
        if self.options.verify:
            self.verification = Verification(self.environment, self.connection)
            self.connection.rollback()
        with self.attempts.on():
            self.attempts.repeat("the version table", self._prepare)
            self.record = Record(self.environment.get_context(), self.connection)
            with self.record.kept():
                yield

    def begin(self) -> None:
        """Begin to write, where the server's driver does not, and check the foreign keys."""
        self.server.begin_to_write(self.connection)
        self.foreign_keys.start(self.connection)

    def _prepare(self) -> None:
        context = self.environment.get_context()
        self.begin()
        ran_before = bool(context.get_current_heads())
        if not context.purge:  # this must not be kept without the stamps that follow
            self._migrate([])
        self.connection.commit()
        self.attempts.start()  # all of this can be done again
        if self.options.journal:
            self.journal = Journal(context, self.connection, self.options.journal_errors)
            self.journal.open(alone=self.lock is not None, expected=ran_before)

    def run(self, step: Step) -> None:
        """Run one step until it gets its locks.

        :raises CommandError: it did not get its locks in time, or the environment prevents it.
        """
        try:
            self.attempts.repeat(_name(step), lambda: self._try(step))
        except BaseException as raised:
            error = KeyboardInterrupt() if errors.is_interrupted(raised) else raised
            if self.record is not None:
                self.record.stop()  # or the journal's commit would keep rolled-back work
            self.attempts.roll_back()
            partly = self.attempts.kept
            if isinstance(error, KeyboardInterrupt | CancelledError):
                way_on = _again("What to do next:", partly)
                log.error("%s was interrupted; %s. %s", _name(step), _remains(partly), way_on)
            if self.journal is not None:
                self.journal.fail(error, self.attempts.tries)
            if reason := _explained(step, error, partly, self.connection):
                raise reason from error
            if error is not raised:
                raise error from raised
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
        if self.record is not None and isinstance(step, RevisionStep):
            self.record.journal = self.journal
            self.record.begin(step)
        with ExitStack() as stack:
            if self.attempts.tries:  # Alembic has logged this step
                stack.enter_context(silenced("alembic.runtime.migration"))
            else:
                self.said = Counter()
            stack.enter_context(said_once("alembic.helpers", self.said))
            self._migrate([step])

    def _migrate(self, steps: list[Step]) -> None:
        self.only = steps
        try:
            with self.environment.begin_transaction():
                run_migrations(self.environment)
        finally:
            self.only = None


def _remains(partly: bool) -> str:
    """Return what a failed step leaves behind: a part of its changes, or nothing."""
    return "what ran before is kept" if partly else "nothing of it is kept"


def _again(first: str, partly: bool) -> str:
    return f"{first} run the command again{f': {RESUMED}' if partly else ''}."


def _explained(
    step: Step, error: BaseException, partly: bool, connection: Connection
) -> CommandError | None:
    """Return an explanation for a failed step; None if its error suffices, or needs a traceback.

    The author must find a Python error: its traceback helps more than a message.
    """
    where = place_of(error)
    if isinstance(error, SystemExit) and not error.code:
        return CommandError(
            f"{at(where, _name(step))} ended the command by sys.exit(); {_remains(partly)}\n"
            "Stopped, because whoever waits for the command would take it for done.\n"
            "What to do next:\n"
            "    return  # instead: ends the revision, and Alembic notes that it ran\n"
            "    raise RuntimeError('why')  # or: it did not run"
        )
    if errors.is_gone(error) or (
        errors.is_operators(error) and not isinstance(error, CommandError)
    ):
        reads = errors.is_read_only(error) and standby(connection)
        return _stopped(step, error, partly, reads or None)
    if not isinstance(error, DBAPIError) or isinstance(error, CommandError):
        return None
    sql = " ".join(errors.statement(error).split())[:200]
    return CommandError(
        four_parts(
            at(where, f"{_name(step)}: the database refused a statement; {_remains(partly)}."),
            (errors.words(error), sql),
            "Stopped, because the server does not run this statement.",
            "# fix the statement, or the data that it conflicts with; then run the command again",
            *([f"# {line}" for line in RESUMED.splitlines()] if partly else []),
            "# the traceback: alembic --raiseerr ...",
        )
    )


def _stopped(step: Step, error: BaseException, partly: bool, reads: Standby | None) -> CommandError:
    what, then = f"was stopped by its database; {_remains(partly)}", "Mend that, then"
    if errors.is_gone(error):
        # Nobody knows whether a COMMIT in progress succeeded; the version table will show it.
        what = "lost its database; what was not committed is rolled back"
        then = "When the database answers again,"
    if reads is not None:  # since the command began
        way = reads.way.removeprefix("# ")
        what, then = f"met {reads.found}; {_remains(partly)}", f"{way[0].upper()}{way[1:]}. Then"
    sql = " ".join(errors.statement(error).split())[:200]
    return CommandError(
        f"{_name(step)} {what}\n"
        f"  asked  {printable(sql)}\n"
        f"  found  {printable(errors.message(error))}\n"
        f"{f'  at     {where}' + chr(10) if (where := place_of(error)) else ''}"
        f"{_again(then, partly)}"
    )


@contextmanager
def loss_in_words(connection: Connection) -> Iterator[None]:
    """Explain a lost session, whenever it is lost: before, between or after steps."""
    url = shown(connection.engine.url)
    try:
        yield
    except CommandError:
        raise
    except Exception as error:
        if not errors.is_lost(error, connection):
            raise
        raise CommandError(
            f"{url} was lost: {errors.message(error)}\n"
            "What was not committed is rolled back.\n"
            "What to do next: when the database answers again, run the command again."
        ) from error


def _name(step: Step) -> str:
    if isinstance(step, RevisionStep):
        return f"{'upgrade' if step.is_upgrade else 'downgrade'} of {step.revision.revision}"
    if isinstance(step, MarkAgain):
        return f"the mark {step.to_[0]} in place of {step.from_[0]}"
    return "stamp"


@contextmanager
def said_once(name: str, said: Counter[str]) -> Iterator[None]:
    """Keep a logger from repeating, in a retry, lines that it has logged before.

    :param said: how often each line was logged; it is updated.
    """
    again: Counter[str] = Counter()

    def was_not_said(record: logging.LogRecord) -> bool:
        line = record.getMessage()
        again[line] += 1
        is_new = again[line] > said[line]
        said[line] = max(said[line], again[line])
        return is_new

    logger = logging.getLogger(name)
    logger.addFilter(was_not_said)
    try:
        yield
    finally:
        logger.removeFilter(was_not_said)


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Disable a logger in the block."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
