"""Refuse what must not run, before anything is changed."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, cast

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, inspect, text

from alembic_toolkit.database import servers
from alembic_toolkit.database.schemas import real_schema, translations
from alembic_toolkit.messages import printable
from alembic_toolkit.project import revisions
from alembic_toolkit.run.servers import server_of
from alembic_toolkit.sql.quoting import identifier


def is_walk(function: Callable[..., Any]) -> bool:
    """Return whether the function is a round trip's, which has a database of its own."""
    return getattr(function, "is_walk", False)


def refuse_autogenerate(environment: EnvironmentContext, command: str) -> None:
    # `alembic check` compares, with the same function and arguments, but writes nothing.
    revision = environment.context_opts.get("revision_context")
    if command == "revision" and revision is not None and revision.command_args["autogenerate"]:
        raise CommandError(
            "revisions are written by hand here: --autogenerate is refused, nothing was written\n"
            'run: alembic revision -m "...", then write upgrade() and downgrade() in the new file'
        )


def checked(
    function: Callable[..., Iterable[Any]], arguments: Mapping[str, Any]
) -> Callable[..., list[Any]]:
    """Wrap the function that computes the steps: refuse all of them if one must not run.

    :param arguments: what the functions of the revisions are given.
    """
    if is_walk(function):  # it yields one step at a time, and looks in between
        return cast("Callable[..., list[Any]]", function)

    def steps(heads: tuple[str, ...], migration: MigrationContext) -> list[Any]:
        found = list(function(heads, migration))
        refuse_steps(found, migration)
        _refuse_engines(found, arguments)
        return found

    return steps


def refuse_steps(steps: Sequence[RevisionStep | StampStep], migration: MigrationContext) -> None:
    """Refuse what is not written yet, and ids that the version table cannot hold."""
    _refuse_unwritten(steps)
    _refuse_long_ids(steps, migration)


def refuse_unknown(environment: EnvironmentContext, heads: Iterable[str]) -> None:
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


def refuse_overlap(environment: EnvironmentContext, heads: Sequence[str]) -> None:
    """Refuse a version table that has a revision beside one that comes after it."""
    known = environment.script.revision_map
    for head in heads if len(heads) > 1 else ():  # one alone need not walk its whole history
        # Not what it depends on, which has rows of its own.
        walk = known._get_ancestor_nodes(known.get_revisions(head), include_dependencies=False)
        before = sorted({one.revision for one in walk} & {*heads} - {head})
        if before:
            comes = "which comes" if len(before) == 1 else "which come"
            raise CommandError(
                f"the version table holds {printable(head)}, and {', '.join(before)}, "
                f"{comes} before it: "
                "nothing was run\n"
                "once you have checked what its schema is, run: alembic stamp --purge REVISION"
            )


def _refuse_unwritten(steps: Sequence[RevisionStep | StampStep]) -> None:
    # What is only stamped does not run.
    for step in (step for step in steps if isinstance(step, RevisionStep)):
        path = Path(step.revision.path)
        direction = "upgrade" if step.is_upgrade else "downgrade"
        # Without its source (Alembic's option `sourceless`) it cannot be judged.
        tree = ast.parse(path.read_bytes() if path.suffix == ".py" else b"")
        problem, declaration = revisions.placeholder(tree, direction), "empty"
        # One that others come after was not forgotten: autogenerate had nothing to say.
        may_be = step.revision.is_base or step.revision.is_merge_point or not step.revision.is_head
        if revisions.is_empty(tree) and not may_be:
            problem = "upgrade() and downgrade() are both empty"
        if not step.is_upgrade and revisions.takes_nothing_back(tree):
            problem, declaration = "downgrade() is empty", "irreversible"
        if problem:
            raise _unwritten(step, direction, problem, declaration)


def _refuse_engines(steps: Sequence[Any], arguments: Mapping[str, Any]) -> None:
    """Refuse a revision that wants the name of one of several databases, and is given none."""
    for step in (step for step in steps if isinstance(step, RevisionStep)):
        try:
            signature(step.migration_fn).bind(**arguments)
        except TypeError:
            wanted = str(signature(step.migration_fn))
            raise CommandError(
                f"revision {step.revision.revision} is for several databases: "
                f"{revisions.shown(Path(step.revision.path))}\n"
                f"  found   run(context, ...) with {', '.join(arguments) or 'no engine_name'}\n"
                f"  wanted  what its functions take: {wanted}\n"
                "Stopped, because they cannot be called; nothing was run.\n"
                "What to do next, in env.py:\n"
                '    for name in context.config.get_main_option("databases").split(", "):\n'
                '        url = context.config.get_section_option(name, "sqlalchemy.url")\n'
                "        run(context, url, engine_name=name)"
            ) from None


def _unwritten(step: RevisionStep, direction: str, problem: str, declaration: str) -> CommandError:
    does = "make the change" if step.is_upgrade else "take the change back"
    way_on = f"Write its {direction}(), then run the command again."
    if "empty" in problem:
        way_on = (
            "What to do next, in that file: these statements; or, where there is nothing to do,\n"
            f'    {declaration} = "why"'
        )
    return CommandError(
        f"revision {step.revision.revision} is not written yet: "
        f"{revisions.shown(Path(step.revision.path))}\n"
        f"  found   {problem}\n"
        f"  wanted  statements in {direction}() that {does}\n"
        f"Nothing was run. {way_on}"
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
    if migration.as_sql or migration.connection is None:
        return revisions.MAX_ID_LENGTH
    schema = real_schema(migration.connection, migration.version_table_schema)
    place = migration.version_table, schema
    inspector = inspect(migration.connection)
    if not inspector.has_table(*place):
        return revisions.MAX_ID_LENGTH
    types = {column["name"]: column["type"] for column in inspector.get_columns(*place)}
    return getattr(types["version_num"], "length", None) or math.inf


def refuse_translations(target: Any) -> None:
    """Refuse a script for a database whose schemas are called otherwise in the revisions."""
    if names := translations(target):
        shown = ", ".join(f"{written!r} -> {real!r}" for written, real in names.items())
        raise CommandError(
            f"a script cannot follow schema_translate_map ({shown}): nothing is written\n"
            "Stopped, because only a connection translates: the script would name the schemas as"
            " the revisions do.\nWhat to do next:\n"
            "    alembic upgrade head  # without --sql; or, in env.py, an engine without the map"
        )


def refuse_autocommit(connection: Connection, target: Engine | Connection | URL) -> None:
    """Refuse a connection that keeps each statement: no revision could be taken back on it.

    :param target: what `run` was given, which the way out names.
    """
    if not server_of(connection).commits_each(connection):
        return
    back = 'connection.execution_options(isolation_level="READ COMMITTED")'
    if isinstance(target, URL):
        code = "# leave autocommit out of the URL, or give run() an engine"
    elif isinstance(target, Engine):
        code = "with engine.connect() as connection:  # in env.py\n"
        code += f"        run(context, {back})"
    else:
        code = f"connection = {back}  # before run(context, ...)"
    raise CommandError(
        "the connection commits each statement by itself: nothing was run\n"
        "  found   autocommit, of the engine (isolation_level) or of the driver\n"
        "  wanted  a driver that begins transactions, so that a revision runs whole or not at all\n"
        f"What to do next:\n    {code}"
    )


def refuse_elsewhere(migration: MigrationContext) -> None:
    """Refuse a version table that a search path finds in another schema than that of new tables.

    A tenant without one of its own would be taken for as far as the other is, and do nothing.
    """
    connection, schema = migration.connection, migration.version_table_schema
    facts = servers.server_of(migration.dialect.name)
    if connection is None or schema is not None or not facts.elsewhere:
        return
    name = identifier(facts.mark, migration.version_table)
    found = connection.execute(text(facts.elsewhere), {"table": name}).first()
    if found is None:
        return
    there, here = map(printable, found)
    raise CommandError(
        f"the search path leads to the version table of another schema: nothing was run\n"
        f"  found   {there}.{migration.version_table}, and none in {here}\n"
        f"  wanted  the one of {here}, where new tables go\n"
        "Stopped, because the revisions of one schema say nothing of another.\n"
        "What to do next, in env.py:\n"
        f"    run(context, ..., version_table_schema={here!r})  # it has revisions of its own\n"
        f"    run(context, ..., version_table_schema={there!r})  # or: one table for both"
    )


def refuse_transaction(connection: Connection) -> None:
    # Alembic leaves the commit to whoever began, which may have been a mere SET: exit status 0,
    # and nothing is kept. https://alembic.sqlalchemy.org/en/latest/cookbook.html#connection-sharing
    if server_of(connection).in_transaction(connection):
        raise CommandError(
            "the connection is in a transaction already: a statement ran on it, "
            "or it came from engine.begin()\n"
            "call connection.commit() before the revisions run, or give run() the engine or its URL"
        )
