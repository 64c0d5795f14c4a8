"""Run revisions: all that the ``env.py`` of an Alembic environment needs::

    from alembic import context
    from alembic_toolkit.runner import run

    run(context, "postgresql+psycopg://user@host/name", target_metadata=Base.metadata)

One deployer runs at a time, each revision in a transaction of its own, which waits for no lock long
enough to stall the application. A journal records each run. What must not run is refused before
anything is changed, with an error that `alembic` prints without a traceback.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, cast

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep, StampStep
from alembic.util import CommandError, messaging, to_tuple
from sqlalchemy import URL, Connection, Engine, MetaData, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import journal, marks
from alembic_toolkit.database.address import explained, parse
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.run.deploy import Deployment, silenced
from alembic_toolkit.run.number import numbering
from alembic_toolkit.run.options import Options, read
from alembic_toolkit.run.refusals import (
    checked,
    is_walk,
    refuse_autogenerate,
    refuse_overlap,
    refuse_transaction,
    refuse_unknown,
)
from alembic_toolkit.script.writer import PLAIN, guard


def run(
    context: ModuleType | EnvironmentContext,
    database: Engine | Connection | URL | str | None = None,
    *,
    target_metadata: MetaData | Sequence[MetaData] | None = None,
    **options: Any,
) -> None:
    """Do what the running `alembic` command asks for: upgrade, write a script, a new revision, ...

    Another deployer is waited for. A revision that meets a lock is rolled back and run again, until
    it gets through. On SQLite a revision is as atomic as on PostgreSQL, and leaves no
    row without its parent. A round trip runs the revisions alone: no lock, no journal.
    Offline (``--sql``) only the dialect of the database matters: nothing is connected to. Neither
    is it for ``alembic revision``, ``merge`` and a ``history`` that does not ask for the current
    revision.

    :param context: the module ``alembic.context``.
    :param database: a URL, an engine, or a connection that is in no transaction; by default
     ``sqlalchemy.url`` of ``alembic.ini``. ``config.attributes["connection"]`` goes before it.
    :param target_metadata: the models, for ``alembic check``.
    :param options: those of `alembic_toolkit.run.options.Options`, over which ``-x name=value``
     goes, and any others of `EnvironmentContext.configure()`.
    :raises CommandError: the database cannot be used; the connection is in a transaction; a
     revision to run is not written, or its id does not fit into the version table;
     ``--autogenerate`` was asked for; a revision broke a foreign key on SQLite; another deployer
     does not end; a lock is not to be had.
    """
    # The module's functions all call this object, which has the command's options.
    environment = cast(EnvironmentContext, getattr(context, "_proxy", context))
    # Each function of alembic.command passes a function that is defined inside itself.
    function = environment.context_opts["fn"]
    command = str(getattr(function, "__qualname__", "")).partition(".")[0]
    _print_errors_once(environment)
    logging.getLogger("alembic_toolkit").disabled = False  # by fileConfig(), in most an env.py
    refuse_autogenerate(environment, command)
    wanted = read(options, environment.get_x_argument(as_dictionary=True))
    options["target_metadata"] = target_metadata
    options["transaction_per_migration"] = True
    options["fn"] = checked(function)
    options["include_name"] = journal.hidden(
        options.get("version_table", "alembic_version"),
        options.get("version_table_schema"),
        options.get("include_name"),
    )
    if not _needs_database(environment, command):
        return _run_without_database(environment, options)
    target = _target(environment, database)
    if server_of(_url(target).get_backend_name()).has_transactional_ddl:
        options.setdefault("transactional_ddl", True)  # of SQLite, Alembic does not know it
    if environment.is_offline_mode():
        return _run_offline(environment, target, options)
    if command in _LOOKING:
        options["dont_mutate"] = True
    with _interruptible(environment):
        _run_online(environment, target, options, wanted)


# Which command


# These change nothing: they create no version table either.
_LOOKING = {"check", "current", "history", "show"}


def _needs_database(environment: EnvironmentContext, command: str) -> bool:
    if command == "history":
        # Run from Python there are no arguments to look at: be safe.
        arguments = environment.config.cmd_opts
        current = getattr(arguments, "indicate_current", True)
        return current or "current" in (getattr(arguments, "rev_range", None) or "")
    return command not in {"revision", "merge"}


def _print_errors_once(environment: EnvironmentContext) -> None:
    """Have Alembic print an error as it was written, and not twice."""
    # It wraps what it prints to the width of the terminal, and so ruins aligned lines:
    # https://github.com/sqlalchemy/alembic/blob/main/alembic/util/messaging.py
    messaging.TERMWIDTH = None
    # It logs the error and prints it on standard output. The log line is the only one to be seen
    # when that is a script (`--sql > file`), or with --quiet.
    redirected = environment.is_offline_mode() and not sys.stdout.isatty()
    quiet = environment.config.messaging_opts.get("quiet", False)
    messaging.log.disabled = not redirected and not quiet


@contextmanager
def _interruptible(environment: EnvironmentContext) -> Iterator[None]:
    """End the command `alembic` by Ctrl-C as a shell does, without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        # Who calls Alembic from Python, and may hand something to env.py, is interrupted.
        config = environment.config
        if config.attributes or not getattr(config.cmd_opts, "cmd", ()):
            raise
        raise SystemExit(128 + signal.SIGINT) from None


# The three ways to run


def _run_without_database(environment: EnvironmentContext, options: dict[str, Any]) -> None:
    """Run a command that writes or lists files; number a new revision."""
    hooks = [numbering(environment), options.pop("process_revision_directives", None)]

    def process(*arguments: Any) -> None:
        for hook in filter(None, hooks):
            hook(*arguments)

    options |= {"as_sql": True, "output_buffer": io.StringIO()}
    with silenced("alembic.runtime.migration"):  # it would log "Generating static SQL"
        environment.configure(dialect_name="sqlite", process_revision_directives=process, **options)
        environment.run_migrations()


def _run_offline(
    environment: EnvironmentContext, target: Engine | Connection | URL, options: dict[str, Any]
) -> None:
    """Write the script, after a look at the revisions in it."""
    url = _url(target)
    options = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}, **options}
    with explained(url):
        environment.configure(url=url, **options)
    _steps(environment)
    with ExitStack() as stack:
        if not environment.config.attributes.get(PLAIN):
            stack.enter_context(guard(environment.get_context()))
        stack.enter_context(environment.begin_transaction())
        environment.run_migrations()


def _run_online(
    environment: EnvironmentContext,
    target: Engine | Connection | URL,
    options: dict[str, Any],
    wanted: Options,
) -> None:
    """Look at the steps to run, then run them."""
    given = to_tuple(options.get("on_version_apply"), default=())
    walks = is_walk(options["fn"])
    with _connection(target) as connection, ExitStack() as stack:
        refuse_transaction(connection)
        deployment = Deployment(environment, connection, wanted, options["fn"])
        options["fn"] = deployment.steps
        options["on_version_apply"] = (deployment.applied, *given)
        with explained(_url(target), DBAPIError):
            environment.configure(connection=connection, **options)
            steps = _steps(environment)
            connection.rollback()  # what was read may be old when the first revision begins
            if steps and wanted.deploy_lock and not walks:
                stack.enter_context(deployment.alone())
                steps = _steps(environment)  # the deployer before may have run them
                connection.rollback()
            if not walks:
                marks.forget_stale(environment.get_context(), steps)
            if steps:
                stack.enter_context(deployment.server.transactional_ddl(connection))
            if steps and not walks:
                stack.enter_context(deployment.prepared())
            elif steps:
                deployment.begin()
        if not walks:
            for step in steps:
                deployment.run(step)
        if walks or not steps:
            with environment.begin_transaction():
                environment.run_migrations()
        if connection.in_transaction():
            connection.commit()  # the version table, when no revision's commit kept it


def _steps(environment: EnvironmentContext) -> list[RevisionStep | StampStep]:
    """Return what the command will do; refuse it before Alembic creates its version table."""
    migration = environment.get_context()
    heads = () if migration.purge else migration.get_current_heads()
    # Upgrade, downgrade and stamp have a destination; all others leave the version table alone.
    if "destination_rev" not in environment.context_opts:
        return []
    refuse_unknown(environment, heads)
    refuse_overlap(environment, heads)
    steps: list[RevisionStep | StampStep] = environment.context_opts["fn"](heads, migration)
    return steps


# The database


def _target(
    environment: EnvironmentContext, database: Engine | Connection | URL | str | None
) -> Engine | Connection | URL:
    config = environment.config
    given = config.attributes.get("connection") or database
    given = given or config.get_alembic_option("sqlalchemy.url")
    if not given:
        raise CommandError(
            "no database is named: write run(context, url) in env.py, "
            "or sqlalchemy.url in alembic.ini"
        )
    return given if isinstance(given, Engine | Connection) else parse(given)


def _url(target: Engine | Connection | URL) -> URL:
    return target if isinstance(target, URL) else target.engine.url


@contextmanager
def _connection(target: Engine | Connection | URL) -> Iterator[Connection]:
    """Open a connection, or borrow the one given and leave it in no transaction."""
    if isinstance(target, Connection):
        try:
            yield target
        finally:
            if target.in_transaction():
                target.rollback()
        return
    with explained(_url(target)):
        engine = target if isinstance(target, Engine) else create_engine(target, poolclass=NullPool)
        connection = engine.connect()
    with connection:
        yield connection
