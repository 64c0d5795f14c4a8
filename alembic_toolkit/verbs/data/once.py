"""``execute(unless=..., once=...)``: a statement that is not run twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import alembic.op
import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.schema import CreateTable

from alembic_toolkit.database.marks import COLUMNS, LENGTH, table_of
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.verbs.ask import has_table
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.running import direction_of, forget
from alembic_toolkit.verbs.script import captured, compiled, with_values, write_both_if
from alembic_toolkit.verbs.texts import require_values
from alembic_toolkit.verbs.transaction import one_transaction
from alembic_toolkit.verbs.values import Step, log_line


def run_plainly(sqltext: Any, options: dict[str, Any] | None) -> None:
    """Run SQL as Alembic does."""
    forget()
    require_values(f"execute({brief(sqltext)!r})", sqltext)
    alembic.op.execute(sqltext, execution_options=options)


def execute_guarded(
    step: Step, sqltext: Any, *, unless: Any, once: str | None, options: dict[str, Any] | None
) -> None:
    """Run SQL unless it was run: by what a query finds, or by a mark."""
    if unless is not None and once is not None:
        raise CommandError(f"execute({brief(sqltext)!r}): give either unless or once, not both")
    require_values(f"execute({brief(sqltext)!r})", sqltext, unless)
    if once is not None:
        return execute_once(step, sqltext, once, options)
    if step.offline:
        return write_unless(step, sqltext, unless)
    step.database.forget()
    query = sa.text(unless) if isinstance(unless, str) else unless
    if step.database.connection.execute(query).first() is not None:
        return log_line("skip", "execute", brief(sqltext), "already done")
    log_line("apply", "execute", brief(sqltext), "not done yet")
    alembic.op.execute(sqltext, execution_options=options)


def write_unless(step: Step, sqltext: Any, unless: Any) -> None:
    """Write the statement so that the server runs it only when the query returns no row."""
    query = sa.text(unless) if isinstance(unless, str) else unless
    asked = compiled(step.database, query, "execute").strip().removesuffix(";")
    for sql in captured(step, lambda: alembic.op.execute(sqltext)):
        # on a line of its own, because the query may end with a comment
        step.server.write_unless(step, f"NOT EXISTS ({asked}\n)", sql)


def require_mark(sqltext: Any, name: str) -> None:
    """Refuse a name that its column cannot hold, or that MariaDB would take for another one."""
    if len(name) <= LENGTH and name == name.strip():
        return
    found = f"{len(name)} characters" if name == name.strip() else "white space at an end"
    stop(
        CommandError,
        f"execute({brief(sqltext)!r}, once={brief(name)!r}): this is no name for a mark.",
        (f"room for {LENGTH} characters, none of them white space at an end", found),
        "Stopped, because after a crash the step could not be recognised.",
        f"helpers.execute({brief(sqltext)!r}, once={name.strip()[:20]!r})  # a shorter name",
    )


def execute_once(step: Step, sqltext: Any, name: str, options: dict[str, Any] | None) -> None:
    require_mark(sqltext, name)
    if step.server.commits is not None and step.server.commits.match(str(sqltext)):
        stop(
            UnsafeOperation,
            f"execute({brief(sqltext)!r}, once={name!r}): this server commits it by itself.",
            ("a commit within the statement", "one commit of it and its mark"),
            "Stopped, because a crash in between would have it run twice, or never.",
            "helpers.create_index(...)  # and the like: a verb looks whether it is done",
        )
    marks, mark = table_of(step.context), (*direction_of(), name)
    if step.offline:
        return write_once(step, sqltext, marks, mark)
    database, connection = step.database, step.database.connection
    database.forget()
    if not has_table(database, marks.name, marks.schema):
        marks.create(connection)
    forget_when_complete(step.context)
    look = sa.select(sa.literal(1)).where(is_marked(marks, mark))
    if connection.execute(look).first() is not None:
        return log_line("skip", "execute", name, "already done, says its mark")
    log_line("apply", "execute", name, "not done yet")
    with one_transaction(database):
        connection.execute(marks.insert().values(mark))
        alembic.op.execute(sqltext, execution_options=options)


def is_marked(marks: sa.Table, mark: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(marks.c[n] == value for n, value in zip(COLUMNS, mark, strict=False)))


def forget_when_complete(context: Any) -> None:
    """Have Alembic delete the marks in the commit that writes the new version."""
    if forget_marks not in context.on_version_apply_callbacks:
        context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, forget_marks)


def forget_marks(*, ctx: Any, step: Any, **_: Any) -> None:
    callbacks = ctx.on_version_apply_callbacks
    ctx.on_version_apply_callbacks = tuple(c for c in callbacks if c is not forget_marks)
    marks = table_of(ctx)
    gone = marks.delete().where(marks.c.revision.in_(["", *step.up_revision_ids]))
    if ctx.as_sql:  # the table stays: a script cannot know whether it made it
        ctx.impl.static_output(f"{with_values(gone, ctx.dialect)};")
        return
    ctx.connection.execute(gone)  # first, for where the DROP commits the two
    if ctx.connection.execute(sa.select(marks).limit(1)).first() is None:
        marks.drop(ctx.connection)  # else a revision of another branch is half done


def write_once(step: Step, sqltext: Any, marks: sa.Table, mark: Sequence[str]) -> None:
    """Write the statement and its mark so that the server runs both, or none of them.

    A mark goes when its revision is done; that it is done the script asks of the version table.
    """
    database = step.database
    create = CreateTable(marks, if_not_exists=True).compile(dialect=database.dialect)
    step.write(str(create).strip())
    forget_when_complete(step.context)
    there = sa.select(sa.literal_column("1")).where(is_marked(marks, mark)).exists()
    todo = f"NOT {compiled(database, there, 'execute')}"
    if mark[0]:
        todo = f"{'NOT ' if mark[1] == 'up' else ''}{applied(step, mark[0])} AND {todo}"
    values = dict(zip(COLUMNS, [sa.literal(value) for value in mark], strict=True))
    row = compiled(database, marks.insert().values(values), "execute")
    [sql] = captured(step, lambda: alembic.op.execute(sqltext))
    write = step.server.write_both_if or write_both_if
    write(step, todo, sql, row)


def applied(step: Step, revision: str) -> str:
    """Return the condition that the revision was run: the version table has it or a later one."""
    context = step.context
    ids = [revision]
    for id_ in ids if context.script else ():
        ids += sorted(set(context.script.get_revision(id_)._all_nextrev) - {*ids})
    version = context._version.c.version_num
    there = sa.select(sa.literal_column("1")).where(version.in_(ids)).exists()
    return compiled(step.database, there, "execute")
