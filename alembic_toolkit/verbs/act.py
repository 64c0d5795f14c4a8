"""Run an operation: in the server's own way if it has one, otherwise as Alembic does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import sqlalchemy as sa
from alembic.operations import Operations

from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql, replace_view_sql
from alembic_toolkit.verbs.refused import refusals
from alembic_toolkit.verbs.require import refuse_hidden
from alembic_toolkit.verbs.translate import CONSTRAINT_KINDS
from alembic_toolkit.verbs.values import Step
from alembic_toolkit.verbs.words import log_done


def act(step: Step, more: str = "") -> Any:
    """Run the operation, and log it when it is done.

    :param more: a further text for the log line.
    """
    refuse_hidden(step)
    try:
        with refusals(step):
            result = act_silently(step)
    finally:
        step.database.read.clear()
    log_done(step, more)
    return result


def act_silently(step: Step) -> Any:
    """Run the operation: in the server's own way if it has one, otherwise as Alembic does."""
    operation = step.operation = copy_of(step.operation)
    for flag in ("if_exists", "if_not_exists"):  # these have been checked already
        if getattr(operation, flag, None) is not None:
            setattr(operation, flag, None)
    if step.verb in step.server.acts:
        return step.server.acts[step.verb](step)
    sql = statement_of(step)
    if sql is not None:
        return step.database.run(sql)
    return ACTS.get(step.verb, run_alembic)(step)


def copy_of(operation: Any) -> Any:
    """Return a shallow copy of an operation; the module `copy` takes ten times as long."""
    if operation is None:
        return None
    made = object.__new__(type(operation))
    vars(made).update(vars(operation))
    return made


def statement_of(step: Step) -> str | None:
    """Return the SQL of a verb for which Alembic has no operation."""
    say = step.server.statements.get(step.verb, STATEMENTS.get(step.verb))
    return None if say is None else say(step)


def run_alembic(step: Step) -> Any:
    return Operations(step.operations.migration_context).invoke(step.operation)


def default_create_table(step: Step) -> sa.Table:
    table: sa.Table = step.wanted
    if not step.offline:
        step.operations.impl.create_table(table)
        return table
    indexes, table.indexes = table.indexes, set()  # in a script they are separate steps
    impl: Any = step.operations.impl
    impl.create_table(table, if_not_exists=not step.is_plain or step.operation.if_not_exists)
    table.indexes = indexes
    return table


def default_create_index(step: Step) -> None:
    """Create the index that the step derived from the operation."""
    step.operations.impl.create_index(step.wanted, if_not_exists=step.operation.if_not_exists)


def default_add_constraint(step: Step) -> None:
    """Add the constraint that the step derived from the operation."""
    step.operations.impl.add_constraint(step.wanted)


def default_add_column(step: Step) -> None:
    """Add the column alone: its constraints and indexes are separate steps."""
    operation, impl, column = step.operation, step.operations.impl, step.wanted
    names = ("if_not_exists", "inline_references", "inline_primary_key")
    flags = {name: getattr(operation, name) for name in names}
    kw = {k: v for k, v in operation.kw.items() if k not in ("insert_before", "insert_after")}
    impl.add_column(step.table, column, schema=step.schema, **flags, **kw)
    dialect = step.database.dialect
    if column.comment is not None and dialect.supports_comments and not dialect.inline_comments:
        impl.create_column_comment(column)


def refuse_exclusion(step: Step) -> NoReturn:
    stop(
        UnsafeOperation,
        f"{step.call}: this server has no exclusion constraint.",
        (step.server.name, "PostgreSQL"),
        "Stopped, because rows that the constraint forbids could be inserted.",
        'if helpers.get_bind().dialect.name == "postgresql":  # or a trigger of your own, here',
    )


def rename_column_sql(step: Step, new_name: str) -> str:
    old, new = step.database.quoted(str(step.name)), step.database.quoted(new_name)
    return f"ALTER TABLE {step.quoted_table} RENAME COLUMN {old} TO {new}"


STATEMENTS: dict[str, Callable[[Step], str]] = {
    "create_view": create_view_sql,
    "drop_view": drop_sql,
    "replace_view": replace_view_sql,
}
ACTS: dict[str, Callable[[Step], Any]] = {
    "create_table": default_create_table,
    "add_column": default_add_column,
    "create_index": default_create_index,
    **{verb: default_add_constraint for verb, _ in CONSTRAINT_KINDS.values()},
}
