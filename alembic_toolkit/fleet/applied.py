"""Tell whether databases have run a revision, from their journals and version tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from alembic_toolkit.database import journal
from alembic_toolkit.database.same import Same
from alembic_toolkit.database.schemas import schema_beside
from alembic_toolkit.fleet.databases import AT_ONCE, TIMEOUT, Database
from alembic_toolkit.fleet.env import name_of
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Answer, Task, each


def applied(
    config: Path,
    databases: Sequence[Database],
    revision: str,
    file: Path,
    *,
    is_only: bool,
    x: Iterable[str] = (),
) -> dict[str, str]:
    """Return which databases have run a revision's file, or may have; nothing is written.

    :param is_only: no other file has this id.
    :returns: for each database, why it prevents a change; empty if it does not.
    """
    tasks = [Task(one, str(config), tuple(x), revision=revision) for one in databases]
    found = dict[str, str]()

    def ended(task: Task, answer: Answer) -> None:
        name = name_of(task)
        words = answer.error and f"cannot be asked: {answer.error}"
        words = words or next(filter(None, answer.value or ()), "")
        found[name] = task.database.concealed(words)

    work = partial(_ask, str(file), is_only)
    each(work, tasks, ended, at_once=AT_ONCE, timeout=TIMEOUT)
    return found


def _ask(file: str, is_only: bool, task: Task, answered: Callable[[], None]) -> list[str]:
    return look(task, answered, partial(_answer, task.revision, file, is_only))


def _answer(revision: str, file: str, is_only: bool, context: MigrationContext) -> str:
    """Return why a file must not be changed; empty if it may."""
    connection = context.connection
    assert connection is not None
    place = context.version_table, context.version_table_schema
    is_at = revision in context.get_current_heads()
    table = journal.table(place[0], schema_beside(connection, *place))
    rows: Sequence[Any] = ()
    if inspect(connection).has_table(table.name, table.schema):
        columns = table.c
        query = sa.select(columns.direction, columns.outcome, columns.sha256)
        query = query.where(Same(columns.revision, revision)).order_by(columns.id)
        rows = connection.execute(query).all()
    ours = [row for row in rows if is_only or row.sha256 in (None, *journal.hashes(file))]
    if is_at and not rows:
        return f"is at {revision}, and its journal does not say which file that is"
    if not is_only and ours != list(rows):
        others = [row for row in rows if row not in ours]
        if not ours and others:
            return ""  # the other file of this id
    if not ours or (ours[-1].direction, ours[-1].outcome) == (journal.DOWN, journal.DONE):
        return f"is at {revision}" if is_at and is_only else ""
    last = ours[-1]
    return f"has run {revision}: its journal says {last.direction}, {last.outcome}"
