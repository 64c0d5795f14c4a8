"""``execute(unless=..., once=..., if_exists=...)``: statements that do not run twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import alembic.op
import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.schema import CreateTable

from alembic_toolkit.database import savepoint
from alembic_toolkit.database.marks import BEGUN, COLUMNS, LENGTH, table_of
from alembic_toolkit.database.record import record_of
from alembic_toolkit.database.same import Same
from alembic_toolkit.sql import offline
from alembic_toolkit.sql.guarded import Guarded
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.verbs.ask import ask_all, fill_placeholders, has_table
from alembic_toolkit.verbs.errors import UnsafeOperation, at_place, stop
from alembic_toolkit.verbs.recorded import recorded, recorded_sql
from alembic_toolkit.verbs.refused import refused_sql
from alembic_toolkit.verbs.running import current_connection, direction_of, migration_context
from alembic_toolkit.verbs.script import captured, compiled, with_values, write_both_if
from alembic_toolkit.verbs.texts import require_values
from alembic_toolkit.verbs.transaction import one_transaction
from alembic_toolkit.verbs.values import Question, Step
from alembic_toolkit.verbs.words import log, log_line


def run_plainly(sqltext: Any, options: dict[str, Any] | None) -> None:
    """Run SQL as Alembic does."""
    call = f"execute({brief(sqltext)!r})"
    require_values(call, sqltext)
    run = partial(alembic.op.execute, sqltext, execution_options=options)
    with refused_sql(call):
        if migration_context().as_sql:
            with offline.verbatim(migration_context().impl):
                return run()
        recorded_sql(current_connection(), sqltext, run)


def execute_guarded(
    step: Step, sqltext: Any, guards: dict[str, Any], options: dict[str, Any] | None
) -> None:
    """Run SQL unless a query, a missing object or a mark shows that it is not needed."""
    call = f"execute({brief(sqltext)!r})"
    given = {name: guard for name, guard in guards.items() if guard is not None}
    if len(given) > 1:
        raise CommandError(f"{at_place(call)}: give either {' or '.join(given)}, not both")
    unless, once, needed = guards["unless"], guards["once"], guards["if_exists"]
    require_values(call, sqltext, unless)
    if once is not None:
        with refused_sql(call):
            return execute_once(step, sqltext, once, options)
    question = None if needed is None else question_of(step, call, needed)
    if step.is_plain:
        return write_plainly(step, sqltext)
    if step.offline:
        return write_under_condition(step, sqltext, unless, question)
    run = partial(run_under_condition, step, sqltext, unless, question, options)
    recorded_sql(step.database.connection, sqltext, run)


def question_of(step: Step, call: str, needed: Any) -> Question:
    """Return the question whether a table or a column exists."""
    table = getattr(needed, "table", None) if isinstance(needed, sa.ColumnClause) else needed
    if not isinstance(table, sa.TableClause):
        stop(
            CommandError,
            f"{call}: if_exists must be a table, or a column of one.",
            (f"{needed!r}", "sa.table(...), or one of its columns"),
            "Stopped, because nobody can tell which table is meant.",
            "bills = sa.table('bills', sa.column('status'))  # then if_exists=bills.c.status",
        )
    what, name = ("table", table.name) if needed is table else ("column", needed.name)
    schema = step.database.real_schema(getattr(table, "schema", None))
    return what, str(table.name), str(name), schema


def run_under_condition(
    step: Step, sqltext: Any, unless: Any, question: Question | None, options: Any
) -> None:
    """Run SQL, unless a query returns a row, or an object that it needs is gone."""
    call = f"execute({brief(sqltext)!r})"
    with refused_sql(call):
        done = is_done(step, unless, question)
    if done:
        return log_line(f"skip execute {brief(sqltext)}: {done}")
    with refused_sql(call):
        alembic.op.execute(sqltext, execution_options=options)
    log_line(f"executed {brief(sqltext)}")


def is_done(step: Step, unless: Any, question: Question | None) -> str:
    """Return why a statement need not run; an empty text if it must."""
    if question is not None:
        _, table, name, _ = question
        what = f"table {table}" if question[0] == "table" else f"column {table}.{name}"
        there = ask_all(step.database, [question])[0] is not None
        return "" if there else f"{what} is not there"
    query = sa.text(unless) if isinstance(unless, str) else unless
    return "" if step.database.connection.execute(query).first() is None else "already done"


def write_under_condition(step: Step, sqltext: Any, unless: Any, question: Question | None) -> None:
    """Write the statement so that the server runs it only under its condition."""
    if question is not None:
        asked = fill_placeholders(step.database, step.server.questions[question[0]], question)
        condition = f"EXISTS ({asked})"
    else:
        query = sa.text(unless) if isinstance(unless, str) else unless
        asked = compiled(step.database, query, "execute").strip().removesuffix(";")
        # on a separate line, because the query may end with a comment
        condition = f"NOT EXISTS ({asked}\n)"
    for sql in captured(step, lambda: alembic.op.execute(sqltext)):
        step.server.write_unless(step, condition, sql)


def write_plainly(step: Step, sqltext: Any) -> None:
    """Write the statement into a script for review, without its condition and its mark."""
    for sql in captured(step, lambda: alembic.op.execute(sqltext)):
        step.write(sql)


def require_mark(sqltext: Any, name: str) -> None:
    """Refuse a name that the column cannot hold, or that MariaDB would confuse with another one."""
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
    if step.is_plain:
        return write_plainly(step, sqltext)
    if step.offline:
        return write_once(step, sqltext, marks, mark)
    run = partial(run_once, step, sqltext, marks, mark, options)
    text = f"execute(once={name!r}, {str(sqltext)!r})"
    recorded(step.database.connection, text, run, shown=f"execute(once={name!r})")


def run_once(
    step: Step, sqltext: Any, marks: sa.Table, mark: tuple[str, ...], options: Any
) -> None:
    """Run a statement in one commit with its mark, unless the mark exists."""
    database, connection, name = step.database, step.database.connection, mark[-1]
    if not has_table(database, marks.name, marks.schema):
        marks.create(connection)
    forget_when_complete(step.context)
    begun = mark[0], f"{mark[1]}{BEGUN}", name  # this is a mark as well
    look = sa.select(marks.c.direction).where(is_marked(marks, mark) | is_marked(marks, begun))
    found = connection.scalars(look).all()
    if mark[1] in found:
        return log_line(f"skip execute {name}: already done, says its mark")
    if found:
        refuse_begun(step, sqltext, marks, mark, begun)
    run = partial(alembic.op.execute, sqltext, execution_options=options)
    with one_transaction(database):
        if step.server.commits is None:
            connection.execute(marks.insert().values(mark))
            run()
        else:
            run_between(step, run, marks, mark, begun)
    log_line(f"executed {name}: {brief(sqltext)}")


def run_between(step: Step, run: Any, marks: sa.Table, mark: Sequence[str], begun: Any) -> None:
    """Run a statement that may commit by itself, between a mark for its start and one for its end.

    Its text does not tell whether it commits: it may call a procedure, or prepare a statement.  The
    server does: a commit removes all savepoints.  https://mariadb.com/kb/en/savepoint/
    """
    connection = step.database.connection
    connection.execute(marks.insert().values(begun))
    savepoint.make(connection, SAVEPOINT)
    try:
        run()
    except sa.exc.DBAPIError:
        with suppress(step.database.dialect.loaded_dbapi.Error):  # the session may be gone
            if savepoint.is_gone(connection, SAVEPOINT):
                connection.execute(marks.delete().where(is_marked(marks, begun)))
                step.database.run("COMMIT")
                log.warning(
                    f"execute {mark[-1]} failed behind a commit of its own: what it did before that"
                    " is kept, and the next run runs the whole statement again"
                )
        raise
    committed = savepoint.is_gone(connection, SAVEPOINT)
    connection.execute(marks.insert().values(mark))
    connection.execute(marks.delete().where(is_marked(marks, begun)))
    if committed:  # the statement is kept, so its mark must be kept as well
        step.database.run("COMMIT")


SAVEPOINT = "alembic_toolkit_once"


def refuse_begun(
    step: Step, sqltext: Any, marks: sa.Table, mark: Sequence[str], begun: Sequence[str]
) -> NoReturn:
    """Refuse to run a statement if nobody can know whether an earlier run has done it."""
    table, text = marks.fullname, step.database.literal
    pairs = zip(COLUMNS, begun, strict=True)
    where = " AND ".join(f"{column} = {text(value)}" for column, value in pairs)
    stop(
        UnsafeOperation,
        f"execute({brief(sqltext)!r}, once={mark[-1]!r}): a run that was killed began it.",
        ("the mark of a statement that committed by itself before it ended", "it done, or not"),
        "Stopped, because only a person knows whether it was done: if so, it would be done twice.",
        "# see whether it was done; where it was, in a client of the database:",
        f"UPDATE {table} SET direction = {text(mark[1])} WHERE {where};",
        "# where it was not:",
        f"DELETE FROM {table} WHERE {where};",
    )


def is_marked(marks: sa.Table, mark: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(Same(marks.c[n], value) for n, value in zip(COLUMNS, mark, strict=False)))


def forget_when_complete(context: Any) -> None:
    """Make Alembic delete the marks in the commit that writes the new version."""
    if forget_marks not in context.on_version_apply_callbacks:
        context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, forget_marks)


def forget_marks(*, ctx: Any, step: Any, **_: Any) -> None:
    callbacks = ctx.on_version_apply_callbacks
    ctx.on_version_apply_callbacks = tuple(c for c in callbacks if c is not forget_marks)
    marks = table_of(ctx)
    gone = marks.delete().where(
        sa.or_(*(Same(marks.c.revision, id_) for id_ in ("", *step.up_revision_ids)))
    )
    if ctx.as_sql:  # the table stays: a script cannot know whether it created it
        ctx.impl.static_output(f"{with_values(gone, ctx.dialect)};")
        return
    ctx.connection.execute(gone)  # first, because the DROP may commit both
    record = record_of(ctx.connection)
    if record is not None:
        record.exists = True  # and is dropped when everything is done
        return
    if ctx.connection.execute(sa.select(marks).limit(1)).first() is None:
        marks.drop(ctx.connection)  # otherwise a revision of another branch is half done


def write_once(step: Step, sqltext: Any, marks: sa.Table, mark: Sequence[str]) -> None:
    """Write the statement and its mark so that the server runs both, or neither.

    A mark is deleted when its revision is done, which the script checks in the version table.
    """
    database = step.database
    create = CreateTable(marks, if_not_exists=True).compile(dialect=database.dialect)
    step.write(Guarded(str(create).strip()))
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
    """Return a condition for "the revision was run": the version table has it or a later one."""
    context = step.context
    ids = [revision]
    for id_ in ids if context.script else ():
        ids += sorted(set(context.script.get_revision(id_)._all_nextrev) - {*ids})
    version = context._version.c.version_num
    there = (
        sa.select(sa.literal_column("1"))
        .where(sa.or_(*(Same(version, id_) for id_ in ids)))
        .exists()
    )
    return compiled(step.database, there, "execute")
