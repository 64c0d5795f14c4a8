"""Run revisions: all that the ``env.py`` of an Alembic environment needs::

    from alembic import context
    from alembic_toolkit.runner import run

    run(context, "postgresql+psycopg://user@host/name", target_metadata=Base.metadata)

One deployer runs at a time, each revision in a transaction of its own, which waits for no lock long
enough to stall the application, and is written down in a journal. What must not run is refused
before anything is changed, with an error that `alembic` prints without a traceback.
"""

from __future__ import annotations

import ast
import io
import logging
import math
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from alembic.operations.ops import MigrationScript
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError, messaging, to_tuple
from sqlalchemy import URL, Connection, Engine, MetaData, NullPool, create_engine, inspect
from sqlalchemy.exc import DBAPIError

from alembic_toolkit import offline, script, sqlite
from alembic_toolkit.database import journal, marks
from alembic_toolkit.database.address import explained, parse
from alembic_toolkit.deploy import Deployment, silenced
from alembic_toolkit.options import Options, read
from alembic_toolkit.project import revisions


def run(
    context: ModuleType | EnvironmentContext,
    database: Engine | Connection | URL | str | None = None,
    *,
    target_metadata: MetaData | Sequence[MetaData] | None = None,
    **options: Any,
) -> None:
    """Do what the running `alembic` command asks for: upgrade, write a script, a new revision, ...

    Another deployer who is at it is waited for. A revision that meets a lock is rolled back and run
    again, until it gets through. On SQLite a revision is as atomic as on PostgreSQL, and leaves no
    row without its parent. A round trip runs the revisions alone: no lock, no journal.
    Offline (``--sql``) only the dialect of the database matters: nothing is connected to. Neither
    is it for ``alembic revision``, ``merge`` and a ``history`` that does not ask for the current
    revision.

    :param context: the module ``alembic.context``.
    :param database: a URL, an engine, or a connection that is in no transaction; by default
     ``sqlalchemy.url`` of ``alembic.ini``. ``config.attributes["connection"]`` goes before it.
    :param target_metadata: the models, for ``alembic check``.
    :param options: those of `alembic_toolkit.options.Options`, over which ``-x name=value`` goes,
     and any others of `EnvironmentContext.configure()`.
    :raises CommandError: the database cannot be used; the connection is in a transaction; a
     revision to run is not written, or its id does not fit into the version table;
     ``--autogenerate`` was asked for; a revision broke a foreign key on SQLite; another deployer
     does not end; a lock is not to be had.
    """
    # The module's functions all call this object, which alone knows what the command handed over.
    environment = cast(EnvironmentContext, getattr(context, "_proxy", context))
    command = _command(environment)
    _print_errors_once(environment)
    logging.getLogger("alembic_toolkit").disabled = False  # by fileConfig(), in most an env.py
    _refuse_autogenerate(environment, command)
    wanted = read(options, environment.get_x_argument(as_dictionary=True))
    options["target_metadata"] = target_metadata
    options["transaction_per_migration"] = True
    options["fn"] = _checked(environment.context_opts["fn"])
    options["include_name"] = journal.hidden(
        options.get("version_table", "alembic_version"),
        options.get("version_table_schema"),
        options.get("include_name"),
    )
    if not _needs_database(environment, command):
        _run_without_database(environment, options)
    elif environment.is_offline_mode():
        _run_offline(environment, _target(environment, database), options)
    else:
        with _interruptible(environment):
            _run_online(environment, _target(environment, database), options, wanted)


# Which command


def _command(environment: EnvironmentContext) -> str:
    """Return the name of the command: ``upgrade``, ``check``, ..."""
    # Nothing says so, but each function of alembic.command hands over one defined inside itself.
    function = environment.context_opts["fn"]
    return str(getattr(function, "__qualname__", "")).partition(".")[0]


# These change nothing: they create no version table either.
_LOOKING = {"check", "current", "history", "show"}


def _moves(environment: EnvironmentContext) -> bool:
    """Say whether the command writes to the version table: upgrade, downgrade and stamp do."""
    return "destination_rev" in environment.context_opts


def _walks(function: Callable[..., Any]) -> bool:
    """Say whether it is a round trip that asks: the database is its own, and so is the walk."""
    return getattr(function, "is_walk", False)


def _needs_database(environment: EnvironmentContext, command: str) -> bool:
    if command == "history":
        # Run from Python there are no arguments to look at: be safe.
        arguments = environment.config.cmd_opts
        current = getattr(arguments, "indicate_current", True)
        return current or "current" in (getattr(arguments, "rev_range", None) or "")
    return command not in {"revision", "merge"}


def _refuse_autogenerate(environment: EnvironmentContext, command: str) -> None:
    # `alembic check` compares, with the same function and arguments, but writes nothing.
    revision = environment.context_opts.get("revision_context")
    if command == "revision" and revision is not None and revision.command_args["autogenerate"]:
        raise CommandError(
            "revisions are written by hand here: --autogenerate is refused, nothing was written\n"
            'run: alembic revision -m "...", then write upgrade() and downgrade() in the new file'
        )


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
    hooks = [_number(environment), options.pop("process_revision_directives", None)]

    def process(*arguments: Any) -> None:
        for hook in filter(None, hooks):
            hook(*arguments)

    options |= {"as_sql": True, "output_buffer": io.StringIO()}
    with silenced("alembic.runtime.migration"):  # it would say "Generating static SQL"
        environment.configure(dialect_name="sqlite", process_revision_directives=process, **options)
        environment.run_migrations()


def _run_offline(
    environment: EnvironmentContext, target: Engine | Connection | URL, options: dict[str, Any]
) -> None:
    """Write the script, after a look at the revisions in it."""
    url = _url(target)
    options = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}, **options}
    if url.get_backend_name() == "sqlite":
        options.setdefault("transactional_ddl", True)
    with explained(url):
        environment.configure(url=url, **options)
    _steps(environment)
    with ExitStack() as stack:
        if not environment.config.attributes.get(offline.PLAIN):
            stack.enter_context(script.guard(environment.get_context()))
        stack.enter_context(environment.begin_transaction())
        environment.run_migrations()


def _run_online(
    environment: EnvironmentContext,
    target: Engine | Connection | URL,
    options: dict[str, Any],
    wanted: Options,
) -> None:
    """Look at the steps to run, then run them."""
    url = _url(target)
    deployment = Deployment(environment, wanted, options["fn"])
    foreign_keys = deployment.foreign_keys
    if url.get_backend_name() == "sqlite":
        options.setdefault("transactional_ddl", True)
    given = to_tuple(options.get("on_version_apply"), default=())
    options["on_version_apply"] = (deployment.applied, *given)
    if _command(environment) in _LOOKING:
        options["dont_mutate"] = True
    walks = _walks(options["fn"])
    with _connection(target) as connection, ExitStack() as stack:
        _refuse_transaction(connection)
        with explained(url, DBAPIError):
            environment.configure(connection=connection, **options | {"fn": deployment.steps})
            steps = _steps(environment)
            connection.rollback()  # what was read may be old when the first revision begins
            if steps and wanted.deploy_lock and not walks:
                stack.enter_context(deployment.alone())
                steps = _steps(environment)  # the deployer before may have run them
                connection.rollback()
            if not walks:
                marks.forget_stale(environment.get_context(), steps)
            if steps and url.get_backend_name() == "sqlite":
                stack.enter_context(sqlite.transactional_ddl(connection))
            if steps and not walks:
                stack.enter_context(deployment.prepared(connection))
            elif steps and url.get_backend_name() == "sqlite":
                sqlite.begin_to_write(connection)
                foreign_keys.start(connection)
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
    if not _moves(environment):
        return []
    _refuse_unknown(environment, heads)
    _refuse_overlap(environment, heads)
    steps: list[RevisionStep | StampStep] = environment.context_opts["fn"](heads, migration)
    return steps


# Refusals


def _checked(function: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    """Wrap the function that computes the steps: refuse all of them if one must not run."""
    if _walks(function):  # it gives one at a time, and looks in between
        return cast("Callable[..., list[Any]]", function)

    def steps(heads: tuple[str, ...], migration: MigrationContext) -> list[Any]:
        found = list(function(heads, migration))
        _refuse_unwritten(found)
        _refuse_long_ids(found, migration)
        return found

    return steps


def _refuse_unknown(environment: EnvironmentContext, heads: Iterable[str]) -> None:
    for head in heads:
        try:
            environment.script.get_revision(head)
        except CommandError:
            raise CommandError(
                f"Can't locate revision identified by {head!r}: the database is at it, "
                "and no file here has it; nothing was run\n"
                "deploy the code that has it; or, once you have checked what its schema is, run: "
                "alembic stamp --purge REVISION"
            ) from None


def _refuse_overlap(environment: EnvironmentContext, heads: Sequence[str]) -> None:
    """Refuse a version table that has a revision beside one that comes after it."""
    for head in heads if len(heads) > 1 else ():  # one alone need not walk its whole history
        before = sorted(_before(environment.script, head) & {*heads})
        if before:
            comes = "which comes" if len(before) == 1 else "which come"
            raise CommandError(
                f"the version table holds {head}, and {', '.join(before)}, {comes} before it: "
                "nothing was run\n"
                "once you have checked what its schema is, run: alembic stamp --purge REVISION"
            )


def _before(directory: ScriptDirectory, head: str) -> set[str]:
    """Return what comes before a revision; not what it depends on, which has rows of its own."""
    found, waiting = set[str](), [head]
    while waiting:
        script = directory.get_revision(waiting.pop())
        new = {*to_tuple(script.down_revision, default=())} - found
        found |= new
        waiting += new
    return found


def _refuse_unwritten(steps: Sequence[RevisionStep | StampStep]) -> None:
    for step in steps:
        if not isinstance(step, RevisionStep):
            continue  # stamped: nothing of it runs
        path = Path(step.revision.path)
        direction = "upgrade" if step.is_upgrade else "downgrade"
        # Without its source (Alembic's option `sourceless`) nothing can be said.
        tree = ast.parse(path.read_bytes() if path.suffix == ".py" else b"")
        problem = revisions.placeholder(tree, direction)
        if not (step.revision.is_base or step.revision.is_merge_point) and revisions.is_empty(tree):
            problem = "upgrade() and downgrade() are both empty"
        if problem:
            does = "make the change" if step.is_upgrade else "take the change back"
            raise CommandError(
                f"revision {step.revision.revision} is not written yet: {revisions.shown(path)}\n"
                f"  found   {problem}\n"
                f"  wanted  statements in {direction}() that {does}\n"
                f"Nothing was run. Write its {direction}(), then run the command again."
            )


def _refuse_long_ids(
    steps: Sequence[RevisionStep | StampStep], migration: MigrationContext
) -> None:
    ids = {id_ for step in steps for id_ in step.to_revisions}
    for id_ in sorted(ids):
        # MariaDB would refuse it when the revision has run and cannot be taken back; SQLite never.
        if len(id_) > revisions.MAX_ID_LENGTH and len(id_) > _capacity(migration):
            raise CommandError(
                f"revision id {id_} has {len(id_)} characters, and the version table "
                f"{migration.version_table} holds {_capacity(migration)}: nothing was run\n"
                "write a shorter id in the file, and in the down_revision of the one after it"
            )


def _capacity(migration: MigrationContext) -> float:
    """Return the length of an id that the version table holds: some projects widen its column."""
    if not migration.as_sql and migration.connection is not None:
        inspector = inspect(migration.connection)
        place = (migration.version_table, migration.version_table_schema)
        if inspector.has_table(*place):
            [length] = [
                getattr(column["type"], "length", None)
                for column in inspector.get_columns(*place)
                if column["name"] == "version_num"
            ]
            return length or math.inf
    return revisions.MAX_ID_LENGTH


def _refuse_transaction(connection: Connection) -> None:
    # Alembic leaves the commit to whoever began, which may have been a mere SET: exit status 0,
    # and nothing is kept. https://alembic.sqlalchemy.org/en/latest/cookbook.html#connection-sharing
    begun = connection.in_transaction()
    if not begun and connection.dialect.name == "sqlite":
        begun = sqlite.driver_in_transaction(connection)
    if begun:
        raise CommandError(
            "the connection is in a transaction already: a statement ran on it, "
            "or it came from engine.begin()\n"
            "call connection.commit() before the revisions run, or give run() the engine or its URL"
        )


# The number of a new revision


def _number(environment: EnvironmentContext) -> Callable[..., None]:
    """Return a hook that gives a new revision the next number, unless --rev-id was given."""

    def number(_: MigrationContext, __: object, directives: list[MigrationScript]) -> None:
        given = environment.context_opts["revision_context"].command_args["rev_id"]
        if given and len(given) > revisions.MAX_ID_LENGTH:
            raise CommandError(
                f"--rev-id {given} has {len(given)} characters, "
                f"the version table holds {revisions.MAX_ID_LENGTH}: nothing was written"
            )
        if not given and directives:
            known = environment.script.walk_revisions()
            directives[0].rev_id = revisions.next_id(script.revision for script in known)

    return number


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
    if isinstance(target, Connection):
        return target.engine.url
    return target.url if isinstance(target, Engine) else target


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
