"""Refuse what must not run, before anything is changed."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from alembic_toolkit.project import revisions
from alembic_toolkit.run.servers import server_of


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


def checked(function: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    """Wrap the function that computes the steps: refuse all of them if one must not run."""
    if is_walk(function):  # it yields one step at a time, and looks in between
        return cast("Callable[..., list[Any]]", function)

    def steps(heads: tuple[str, ...], migration: MigrationContext) -> list[Any]:
        found = list(function(heads, migration))
        _refuse_unwritten(found)
        _refuse_long_ids(found, migration)
        return found

    return steps


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
                f"the version table holds {head}, and {', '.join(before)}, {comes} before it: "
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
    place = migration.version_table, migration.version_table_schema
    if migration.as_sql or migration.connection is None:
        return revisions.MAX_ID_LENGTH
    inspector = inspect(migration.connection)
    if not inspector.has_table(*place):
        return revisions.MAX_ID_LENGTH
    types = {column["name"]: column["type"] for column in inspector.get_columns(*place)}
    return getattr(types["version_num"], "length", None) or math.inf


def refuse_transaction(connection: Connection) -> None:
    # Alembic leaves the commit to whoever began, which may have been a mere SET: exit status 0,
    # and nothing is kept. https://alembic.sqlalchemy.org/en/latest/cookbook.html#connection-sharing
    if server_of(connection).in_transaction(connection):
        raise CommandError(
            "the connection is in a transaction already: a statement ran on it, "
            "or it came from engine.begin()\n"
            "call connection.commit() before the revisions run, or give run() the engine or its URL"
        )
