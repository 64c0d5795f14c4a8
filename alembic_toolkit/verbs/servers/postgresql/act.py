"""The implementations specific to PostgreSQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations, ops
from sqlalchemy.schema import CreateTable

from alembic_toolkit.database.errors import words
from alembic_toolkit.verbs.act import act, default_create_index, default_create_table, run_alembic
from alembic_toolkit.verbs.ask import ask, describe_constraints, describe_index
from alembic_toolkit.verbs.errors import MissingParent, UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql, replace_view_sql
from alembic_toolkit.verbs.offending import offending
from alembic_toolkit.verbs.remedy import code_of, schema_code
from alembic_toolkit.verbs.require import require_table
from alembic_toolkit.verbs.servers.postgresql.types import bring_types, named_types
from alembic_toolkit.verbs.transaction import outside_transaction, undone_by_error
from alembic_toolkit.verbs.values import Step, by_name
from alembic_toolkit.verbs.words import log_line, log_skip, subject


def create_table(step: Step) -> sa.Table:
    """Create the table; an existing type is confirmed, not created twice."""
    table: sa.Table = step.wanted
    types: list[Any] = [column.type for column in table.columns]
    if any(True for type_ in types for _ in named_types(type_, step.database.dialect)):
        bring_types(step, types)
        create_without_types(step, table)
    else:
        default_create_table(step)
    return table


def create_without_types(step: Step, table: sa.Table) -> None:
    impl: Any = step.operations.impl
    impl.execute(CreateTable(table))
    for index in by_name(table.indexes):
        impl.create_index(index)
    if table.comment is not None:
        impl.create_table_comment(table)
    for column in table.columns:
        if column.comment is not None:
            impl.create_column_comment(column)


def create_index(step: Step) -> None:
    if not step.operation.kw.get("postgresql_concurrently", False):
        drop_invalid(step)
        default_create_index(step)
        return
    with outside_transaction(step):
        drop_invalid(step, postgresql_concurrently=True)
        run_alembic(step)
        found = describe_index(step.database, step.table, str(step.name), step.schema)
    if found is None or "invalid" in found:
        stop(
            UnsafeOperation,
            f"{step.call}: the index was built, and is INVALID.",
            ("an INVALID index, which no query uses", "a valid index"),
            "Stopped, because a build that met duplicates or a lock was not repeated.",
            "alembic upgrade head  # again: it drops this index and builds another",
        )


def drop_invalid(step: Step, **flags: Any) -> None:
    """Drop an index that a failed build left behind, with these flags of DROP INDEX."""
    if not step.is_invalid:
        return
    drop = ops.DropIndexOp(str(step.name), step.table, schema=step.schema, **flags)
    Operations(step.context).invoke(drop)
    log_line(f"dropped index {subject(step)}, which a failed build left INVALID")


def drop_index(step: Step) -> None:
    concurrently = step.operation.kw.get("postgresql_concurrently", False)
    if step.schema is None and step.found and "hidden_in" in step.found:
        step.operation.schema = step.found["hidden_in"]  # without it another one would be found
    if not concurrently:
        run_alembic(step)
        return
    name = str(step.name)
    require_undivided(step, ask(step.database, "partitions", name, name, step.operation.schema))
    with outside_transaction(step):
        run_alembic(step)


def replace_view(step: Step) -> None:
    """Replace it; drop and create it if PostgreSQL refuses because its columns change."""
    run = step.database.run
    try:
        with undone_by_error(step.database):
            run(replace_view_sql(step))
        return
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != INVALID_TABLE_DEFINITION:
            raise
    try:
        with undone_by_error(step.database):
            run(drop_sql(step))
            run(create_view_sql(step))
    except sa.exc.DBAPIError as error:
        stop(
            UnsafeOperation,
            f"{step.call}: the columns of the view change, and other things use it.",
            (" ".join(str(error.orig).split()), "no view that uses this one"),
            "Stopped, because what uses the view would have to be dropped with it.",
            "helpers.drop_view(...)  # what uses it, before this line; create_view it after",
        )


INVALID_TABLE_DEFINITION = "42P16"


def require_undivided(step: Step, parts: list[str | None] | None) -> None:
    """Refuse, before any commit, what cannot be done concurrently to a partitioned table.

    :param parts: the partitions, None for a table that is not partitioned.

    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    if parts is None:
        return
    name = str(step.name) if step.verb == "drop_index" else step.table
    plain = undivided_code(step, str(step.name), step.table)
    code = [f"{plain}  # without postgresql_concurrently and the like: it locks"]
    if parts[0] is not None and step.verb != "drop_index":
        part = undivided_code(step, f"{step.name}_{parts[0]}", parts[0])
        code = [f"{part[:-1]}, postgresql_concurrently=True)  # and so for each partition; then"]
        code += [f"{plain}  # which takes those, and is quick"]
    what = "index" if step.verb == "drop_index" else "table"
    stop(
        UnsafeOperation,
        f"{step.call}: cannot do this concurrently to a partitioned {what}.",
        (f"{name}, partitioned into {', '.join(filter(None, parts)) or 'nothing'}", f"a {what}"),
        "Stopped, because this server can only do it to the partitions.",
        *code,
    )


def is_for_undivided(step: Step) -> bool:
    """Tell whether PostgreSQL refuses the step for a partitioned table."""
    if step.kind == "foreignkey":  # https://www.postgresql.org/docs/18/release-18.html
        late = step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid")
        return bool(late) and (step.database.dialect.server_version_info or ()) < (18,)
    concurrently: bool = getattr(step.operation, "kw", {}).get("postgresql_concurrently", False)
    return step.kind in ("unique", "index") and (step.concurrently or concurrently)


def undivided_code(step: Step, name: str, table: str) -> str:
    """Return the call as code, for this name and table, without unsupported options."""
    operation: Any
    if step.verb == "drop_index":
        operation = ops.DropIndexOp(name, table, schema=step.schema)
    elif step.kind == "index":
        columns, unique = list(step.wanted.expressions), step.wanted.unique
        operation = ops.CreateIndexOp(name, table, columns, schema=step.schema, unique=unique)
    else:
        operation = ops.AddConstraintOp.from_constraint(step.wanted)
        operation.constraint_name = name
        operation.kw = {k: v for k, v in operation.kw.items() if k != "postgresql_not_valid"}
        setattr(operation, "source_table" if step.kind == "foreignkey" else "table_name", table)
    return code_of(operation)


def validate_constraint(step: Step) -> None:
    require_table(step)
    name = step.database.truncated(str(step.name))
    found = ask(step.database, "validity", step.table, name, step.schema)
    if found is None:
        there = ", ".join(str(name) for name, _, _ in describe_constraints(step))
        stop(
            MissingParent,
            f"{step.call}: there is no such constraint.",
            (there or "no constraint", name),
            "Stopped, because there is nothing to validate.",
            f"helpers.create_check_constraint({name!r}, {step.table!r}, ...)  # before this line",
        )
    if found == "valid":
        return log_skip(step, "valid already")
    if found == "NOT ENFORCED":
        names = f"{name!r}, {step.table!r}{schema_code(step.schema)}"
        stop(
            UnsafeOperation,
            f"{step.call}: the constraint is not enforced.",
            (f"{name} NOT ENFORCED", f"{name} NOT VALID (to validate), or valid already"),
            "Stopped, because the server lets any row in, and validates no such constraint.",
            f"helpers.drop_constraint({names})  # instead of this line; and create it again",
        )
    act(step)


def validate(step: Step) -> None:
    """Validate the constraint; name a row that breaks it."""
    try:
        step.database.run(validate_sql(step))
    except sa.exc.IntegrityError as error:
        names = f"{str(step.name)!r}, {step.table!r}{schema_code(step.schema)}"
        rows, said = offending(step), words(error)
        stop(
            UnsafeOperation,
            f"{step.call}: some rows violate it.",
            (f"{rows.found} ({said})" if rows else said, "rows that all fulfil it"),
            "Stopped, and left NOT VALID: it holds for what is written from now on, so that an"
            " UPDATE of such a row fails, too, unless it corrects it.",
            f"helpers.execute('UPDATE {step.table} SET ...')  # before this line: correct the rows",
            f"# or lift it until then: helpers.drop_constraint({names})",
        )


def validate_sql(step: Step) -> str:
    name = step.database.quoted(str(step.name))
    return f"ALTER TABLE {step.quoted_table} VALIDATE CONSTRAINT {name}"
