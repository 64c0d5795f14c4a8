"""``postgresql_concurrently=True``: in steps that block nobody, each committed."""

from __future__ import annotations

import copy
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.verbs.act import default_add_column, default_add_constraint, run_alembic
from alembic_toolkit.verbs.ask import constraint_type
from alembic_toolkit.verbs.compare import differing_keys
from alembic_toolkit.verbs.conflict import WANT
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.constraint import deferral
from alembic_toolkit.verbs.remedy import code_of, schema_code
from alembic_toolkit.verbs.servers.postgresql.act import validate
from alembic_toolkit.verbs.transaction import outside_transaction
from alembic_toolkit.verbs.values import Definition, Step, log_decision


def add_column(step: Step) -> None:
    """Add it, unless its rows would each get a value of their own while nobody can use the table.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    require_one_default(step)
    default_add_column(step)


def require_one_default(step: Step) -> None:
    """Refuse to add a column concurrently whose default calls a function, for each row maybe."""
    column = step.wanted
    sql: Any = getattr(column.server_default, "arg", "")
    if not step.concurrently or isinstance(sql, str):
        return
    text = unescaped_percent(str(sql.compile(dialect=step.database.dialect)), step.database.dialect)
    if "(" not in text:
        return
    name, default = str(column.name), sa.DefaultClause(sa.text(text))
    plain = sa.Column(name, column.type)
    kw: dict[str, Any] = {"schema": step.schema}
    code = [
        code_of(ops.AddColumnOp(step.table, plain, **kw)),
        code_of(ops.AlterColumnOp(step.table, name, modify_server_default=default, **kw)),
        f"helpers.backfill({step.table!r}, {{{name!r}: sa.text({text!r})}},"
        f" where='{name} IS NULL'{schema_code(step.schema)})",
    ]
    if not column.nullable:
        kw["postgresql_concurrently"] = True
        code.append(code_of(ops.AlterColumnOp(step.table, name, modify_nullable=False, **kw)))
    stop(
        UnsafeOperation,
        f"{step.call}: cannot do this concurrently with a default that calls a function.",
        (f"no column {column.name}", f"{column.name} with DEFAULT {text}"),
        "Stopped, because a default that differs from row to row has the server write the whole"
        " table while nobody can use it.",
        *code,
    )


def add_constraint(step: Step) -> None:
    """Add it; concurrently NOT VALID first, because to read all rows takes long."""
    if not step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid"):
        return default_add_constraint(step)
    step.wanted.dialect_kwargs["postgresql_not_valid"] = True
    with outside_transaction(step):
        default_add_constraint(step)
        validate(step)


def add_unique(step: Step) -> None:
    """Add it; concurrently of an index, which is built, or found, by its own verb."""
    if not step.concurrently:
        return default_add_constraint(step)
    with outside_transaction(step):
        step.operations.invoke(unique_index(step))
        step.database.run(using_index_sql(step))


def unique_index(step: Step) -> ops.CreateIndexOp:
    """Return what makes the index of which a unique constraint is to be made."""
    names = [column.name for column in step.wanted.columns]
    kw = {k: v for k, v in step.wanted.dialect_kwargs.items() if k.startswith("postgresql_")}
    kw |= {"postgresql_concurrently": True}
    name = sa.schema.conv(str(step.name))
    return ops.CreateIndexOp(name, step.table, names, schema=step.schema, unique=True, **kw)


def using_index_sql(step: Step) -> str:
    table = step.database.quoted(step.table, step.schema)
    name = step.database.quoted(step.database.truncated(str(step.name)))
    deferred = (step.wanted.initially or "").upper() == "DEFERRED"
    later = deferral(step.wanted.deferrable, deferred)
    return f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{later}"


def alter_column(step: Step) -> Any:
    """Alter it; concurrently NOT NULL comes last, when a check has read the rows.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
    """
    if not (step.concurrently and step.operation.modify_nullable is False):
        return run_alembic(step)
    rest, alone = split_nullable(step)
    if rest.operation.has_changes():
        run_alembic(rest)
    with outside_transaction(step):
        try:
            step.operations.invoke(not_null_check(step))
        except UnsafeOperation:
            step.operations.invoke(drop_not_null_check(step))
            stop(
                UnsafeOperation,
                f"{step.call}: cannot be NOT NULL.",
                (f"rows in which {step.name} is NULL", "none"),
                "Stopped, because only a person knows what they should have.",
                f"helpers.backfill({step.table!r}, {{{step.name!r}: ...}},"
                f" where='{step.name} IS NULL')  # before this line",
            )
        run_alembic(alone)
        step.operations.invoke(drop_not_null_check(step))


def split_nullable(step: Step) -> tuple[Step, Step]:
    """Return what an ``alter_column`` asks for without its NOT NULL, and that alone."""
    rest, alone = copy.copy(step), copy.copy(step)
    rest.operation = copy.copy(step.operation)
    rest.operation.modify_nullable = None
    alone.name = step.operation.modify_name or step.name
    alone.operation = ops.AlterColumnOp(
        step.table, str(alone.name), modify_nullable=False, schema=step.schema
    )
    return rest, alone


def not_null_name(step: Step) -> str:
    return f"_alembic_not_null_{step.name}"


def not_null_check(step: Step) -> ops.CreateCheckConstraintOp:
    """Return what makes the check that reads the rows before NOT NULL does."""
    condition: Any = sa.column(str(step.name)).is_not(None)
    kw: dict[str, Any] = {"schema": step.schema, "postgresql_concurrently": True}
    name = sa.schema.conv(not_null_name(step))
    return ops.CreateCheckConstraintOp(name, step.table, condition, **kw)


def drop_not_null_check(step: Step) -> ops.DropConstraintOp:
    name = sa.schema.conv(not_null_name(step))
    return ops.DropConstraintOp(name, step.table, "check", schema=step.schema)


def drop_leftover(step: Step) -> None:
    """Drop the check that a run left which was killed after SET NOT NULL."""
    type_ = constraint_type(step.database, step.table, not_null_name(step), step.schema, "check")
    if step.operation.modify_nullable is False and type_ is not None:
        step.operations.invoke(drop_not_null_check(step))


def finish(step: Step, found: Definition) -> Definition:
    """Finish what a run that was killed began; return what is there then."""
    if step.kind == "column":
        return found
    whole = found.get("definition", "").removesuffix(" NOT VALID")
    wanted = WANT[step.kind](step) or {"definition": whole}
    if whole != found.get("definition") and not differing_keys(
        step.server, {"definition": whole}, wanted
    ):
        log_decision("apply", step, "NOT VALID until now")
        with outside_transaction(step):
            validate(step)
        return {"definition": whole}
    return found
