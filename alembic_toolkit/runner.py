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
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import ModuleType
from typing import Any, cast

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep, StampStep
from alembic.util import CommandError, messaging, to_tuple
from sqlalchemy import URL, Connection, Engine, MetaData, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import journal, marks, record
from alembic_toolkit.database.address import explained, parse, same
from alembic_toolkit.database.own import hidden
from alembic_toolkit.database.portrait import refuse_untested
from alembic_toolkit.database.schemas import real_schema, translations
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.database.standby import refuse_standby
from alembic_toolkit.project.baselines import baselines_of
from alembic_toolkit.run.baseline import begin_script, seeing, stand
from alembic_toolkit.run.deploy import (
    ARGUMENTS,
    Deployment,
    loss_in_words,
    run_migrations,
    silenced,
)
from alembic_toolkit.run.galera import causal
from alembic_toolkit.run.interrupts import interruptible
from alembic_toolkit.run.number import numbering
from alembic_toolkit.run.options import Options, read
from alembic_toolkit.run.refusals import (
    checked,
    is_walk,
    refuse_autocommit,
    refuse_autogenerate,
    refuse_elsewhere,
    refuse_overlap,
    refuse_transaction,
    refuse_translations,
    refuse_unknown,
)
from alembic_toolkit.run.rewrites import refused_over
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
     goes, and any others of `EnvironmentContext.configure()`. With ``engine_name``, as in Alembic's
     template for several databases, the functions of the revisions get it; `run` is then called
     once for each database.
    :raises CommandError: the database cannot be used; the connection is in a transaction; a
     revision to run is not written, or its id does not fit into the version table;
     ``--autogenerate`` was asked for; a revision broke a foreign key on SQLite; another deployer
     does not end; a lock is not to be had.
    """
    # The module's functions all call this object, which has the command's options.
    environment = cast(EnvironmentContext, getattr(context, "_proxy", context))
    arguments = {n: options.pop(n) for n in ("engine_name",) if n in options}
    given = environment.context_opts
    # What is configured here must not be that of a second call.
    environment.context_opts = {**given, ARGUMENTS: arguments}
    try:
        _run(environment, database, target_metadata, options)
    finally:
        environment.context_opts = given


def _run(
    environment: EnvironmentContext, database: Any, target_metadata: Any, options: dict[str, Any]
) -> None:
    # Each function of alembic.command passes a function that is defined inside itself.
    function = environment.context_opts["fn"]
    command = str(getattr(function, "__qualname__", "")).partition(".")[0]
    _print_errors_once(environment)
    logging.getLogger("alembic_toolkit").disabled = False  # by fileConfig(), in most an env.py
    refuse_autogenerate(environment, command)
    wanted = read(options, environment.get_x_argument(as_dictionary=True))
    options["target_metadata"] = target_metadata
    options["transaction_per_migration"] = True
    seen = seeing(environment, function)
    options["fn"] = checked(seen, environment.context_opts[ARGUMENTS])
    options["include_name"] = hidden(
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
        return _run_offline(environment, target, options, wanted)
    if command in _LOOKING:
        options["dont_mutate"] = True
    with interruptible(environment.config):
        _run_online(environment, target, options, wanted, command)


log = logging.getLogger("alembic_toolkit")

# Which command


# These change nothing: they create no version table either.
_LOOKING = {"check", "current", "history", "show"}
_LOOKING_UP = {"check", "current"}  # the revision of the database, in the files


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


# The three ways to run


def _run_without_database(environment: EnvironmentContext, options: dict[str, Any]) -> None:
    """Run a command that writes or lists files; number a new revision."""
    stand(environment)
    hooks = [numbering(environment), options.pop("process_revision_directives", None)]

    def process(*arguments: Any) -> None:
        for hook in filter(None, hooks):
            hook(*arguments)

    options |= {"as_sql": True, "output_buffer": io.StringIO()}
    with silenced("alembic.runtime.migration"):  # it would log "Generating static SQL"
        environment.configure(dialect_name="sqlite", process_revision_directives=process, **options)
        run_migrations(environment)


def _run_offline(
    environment: EnvironmentContext,
    target: Engine | Connection | URL,
    options: dict[str, Any],
    wanted: Options,
) -> None:
    """Write the script, after a look at the revisions in it."""
    url = _url(target)
    refuse_translations(target)
    options = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}, **options}
    with explained(url):
        environment.configure(url=url, **options)
    with ExitStack() as stack:
        if not environment.config.attributes.get(PLAIN):
            # The default is for a wait that is tried again; whoever runs a script tries once.
            is_asked = "lock_timeout" in environment.get_x_argument(as_dictionary=True)
            timeout = wanted.lock_timeout if is_asked else None
            stack.enter_context(guard(environment.get_context(), timeout, wanted.journal))
        walks = is_walk(options["fn"])
        if not walks:
            begin_script(environment)
        _steps(environment, walks=walks)
        stack.enter_context(environment.begin_transaction())
        run_migrations(environment)


def _run_online(
    environment: EnvironmentContext,
    target: Engine | Connection | URL,
    options: dict[str, Any],
    wanted: Options,
    command: str,
) -> None:
    """Look at the steps to run, then run them."""
    given = to_tuple(options.get("on_version_apply"), default=())
    walks = is_walk(options["fn"])
    with (
        _connection(target) as connection,
        nullcontext() if walks else loss_in_words(connection),
        ExitStack() as stack,
    ):
        refuse_transaction(connection)
        if not walks:  # which have looked
            refuse_untested(connection)
            stack.enter_context(causal(connection))
        deployment = Deployment(environment, connection, wanted, options["fn"])
        options["fn"] = deployment.steps
        options["on_version_apply"] = (deployment.applied, *given)
        if translations(connection):  # Alembic looks for its version table without them
            schema = options.get("version_table_schema")
            options["version_table_schema"] = real_schema(connection, schema)
        with explained(_url(target), DBAPIError):
            environment.configure(connection=connection, **options)
            steps = _look(environment, deployment, target, command)
            if walks and steps:
                stack.enter_context(deployment.server.transactional_ddl(connection))
                deployment.begin()
            elif not walks:
                steps = _prepare(environment, deployment, steps, command, stack)
        if not walks:
            for step in steps:
                deployment.run(step)
        if walks or not steps:
            with environment.begin_transaction():
                run_migrations(environment)
        if connection.in_transaction():
            connection.commit()  # the version table, when no revision's commit kept it


def _look(
    environment: EnvironmentContext,
    deployment: Deployment,
    target: Engine | Connection | URL,
    command: str,
) -> list[RevisionStep | StampStep]:
    """Return the steps to run; refuse what must not, and warn of edited files."""
    connection, walks = deployment.connection, is_walk(deployment.wanted)
    if "destination_rev" in environment.context_opts and not walks:
        refuse_elsewhere(environment.get_context())
    steps = _steps(environment, command, walks)
    if deployment.options.journal and not walks and _runs_revisions(environment, steps):
        _warn_of_edits(environment, connection)
    connection.rollback()  # what was read may be old when the first revision begins
    if steps and not walks:
        refuse_autocommit(connection, target)
        refuse_standby(connection)
    return steps


def _prepare(
    environment: EnvironmentContext,
    deployment: Deployment,
    steps: list[RevisionStep | StampStep],
    command: str,
    stack: ExitStack,
) -> list[RevisionStep | StampStep]:
    """Keep other deployers out, forget what is no longer half done, watch the connection."""
    if steps and deployment.options.deploy_lock:
        stack.enter_context(deployment.alone())
        steps = _steps(environment)  # the deployer before may have run them
        deployment.connection.rollback()
    marks.forget_stale(environment.get_context(), steps)
    if command == "stamp":
        record.forget(environment.get_context())
    if steps:
        stack.enter_context(deployment.server.transactional_ddl(deployment.connection))
        stack.enter_context(deployment.prepared())
        limit = deployment.options.refuse_rewrite_over
        stack.enter_context(refused_over(deployment.connection, limit))
    return steps


def _runs_revisions(environment: EnvironmentContext, steps: Sequence[Any]) -> bool:
    runs = "destination_rev" in environment.context_opts
    return runs and not any(isinstance(step, StampStep) for step in steps)


def _warn_of_edits(environment: EnvironmentContext, connection: Connection) -> None:
    """Say which applied revisions have another file now."""
    context = environment.get_context()
    place = context.version_table, context.version_table_schema
    try:
        replaced = baselines_of(environment.script).all_replaced
        found = journal.edited(connection, environment.script, *place, replaced)
    except DBAPIError:  # it may be for others to read
        connection.rollback()
        return
    if found:
        some = f"{', '.join(found[:3])}{', ...' if len(found) > 3 else ''}"
        also = "its file has" if len(found) == 1 else "their files have"
        log.warning(
            "%s: %s been edited or deleted since: alembic-toolkit status says more, "
            "and takes what is meant: --accept %s",
            some,
            also,
            found[0],
        )


def _steps(
    environment: EnvironmentContext, command: str = "", walks: bool = False
) -> list[RevisionStep | StampStep]:
    """Return what the command will do; refuse it before Alembic creates its version table.

    :param walks: it is a round trip, which sees the part of the history that it is about.
    """
    migration = environment.get_context()
    heads = () if migration.purge else migration.get_current_heads()
    # Upgrade, downgrade and stamp have a destination; all others leave the version table alone.
    if "destination_rev" not in environment.context_opts:
        if command in _LOOKING_UP:
            refuse_unknown(environment, stand(environment, heads).heads)
        return []
    known = tuple(heads) if walks else stand(environment, heads).heads
    refuse_unknown(environment, known)
    refuse_overlap(environment, known)
    steps: list[RevisionStep | StampStep] = environment.context_opts["fn"](heads, migration)
    return steps


# The database


def _target(
    environment: EnvironmentContext, database: Engine | Connection | URL | str | None
) -> Engine | Connection | URL:
    config = environment.config
    given = config.attributes.get("connection") or database
    if isinstance(given, Connection) and isinstance(database, Connection):
        # An event loop of env.py's own cannot wait for a driver that belongs to another one.
        given = database if given.dialect.is_async and same(database, given.engine.url) else given
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
