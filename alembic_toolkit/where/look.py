"""Read the state of a database, in a separate process; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import inspect, select
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import journal, marks
from alembic_toolkit.database.address import shown
from alembic_toolkit.database.own import own_of
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.project import baselines
from alembic_toolkit.schema.servers import part_of
from alembic_toolkit.schema.stored import judged
from alembic_toolkit.schema.take import take
from alembic_toolkit.where.servers import closed_schemas, refuse_without_rights
from alembic_toolkit.where.verdict import Seen


@dataclass(frozen=True)
class Looking(Task):
    """The databases that one process examines."""

    ignore: tuple[str, ...] = ()


def read(task: Task, answered: Callable[[], None]) -> list[Seen]:
    """Return the state of each database of a task."""
    ignore = task.ignore if isinstance(task, Looking) else ()
    return look(task, answered, lambda context: seen(task.database.name, ignore, context))


def seen(name: str, ignore: tuple[str, ...], context: MigrationContext) -> Seen:
    """Return the contents of the version table, and the schema.

    :raises CommandError: the user cannot see the whole schema.
    """
    connection = context.connection
    assert connection is not None
    refuse_without_rights(connection)
    marked = tuple(sorted(context.get_current_heads()))
    heads, inside = standing(context, marked)
    tables = own_of(context)
    return Seen(
        name or shown(connection.engine.url),
        part_of(connection),
        bool(marked) or context._has_version_table(),
        heads,
        marked,
        inside,
        begun_in(context),
        ran_in(context),
        judged(take(connection, ignore=tables), connection),
        ignore,
        closed=closed_schemas(connection),
    )


def standing(context: MigrationContext, marked: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return a database's revisions by their present names, in a history with replacing roots.

    In the middle of the replaced revisions it keeps its own names, and the reason is returned.
    """
    directory = context.script
    if directory is None:
        return marked, ""
    try:
        heads = baselines.apply(directory, marked).heads
        baselines.refuse_inside(directory)
    except CommandError as error:
        return marked, str(error)
    return tuple(sorted(heads)), ""


def ran_in(context: MigrationContext) -> tuple[str, ...]:
    """Return the revisions that have run, according to the journal."""
    connection = context.connection
    assert connection is not None
    try:
        return journal.ran(connection, context.version_table, context.version_table_schema)
    except DBAPIError:  # it may be for others to read
        connection.rollback()
        return ()


def begun_in(context: MigrationContext) -> tuple[str, ...]:
    """Return the upgrades that have begun and not ended, according to their marks."""
    connection, table = context.connection, marks.table_of(context)
    assert connection is not None
    try:
        if not inspect(connection).has_table(table.name, table.schema):
            return ()
        rows = connection.execute(select(table.c.revision, table.c.direction)).all()
    except DBAPIError:  # it may be for others to read
        connection.rollback()
        return ()
    return tuple(sorted({revision for revision, way in rows if str(way).startswith("up")}))
