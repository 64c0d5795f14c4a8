"""``postgresql_concurrently=True``: steps that block nobody, each committed."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import filled_in, postgresql_literal, unescaped_percent
from alembic_toolkit.sql.tokens import code_tokens, unquoted
from alembic_toolkit.verbs.act import default_add_column, default_add_constraint, run_alembic
from alembic_toolkit.verbs.ask import constraint_type
from alembic_toolkit.verbs.compare import differing_keys
from alembic_toolkit.verbs.conflict import WANT
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.constraint import deferral
from alembic_toolkit.verbs.offending import offending
from alembic_toolkit.verbs.remedy import code_of, schema_code
from alembic_toolkit.verbs.servers.postgresql.act import validate
from alembic_toolkit.verbs.servers.postgresql.types import bring_types
from alembic_toolkit.verbs.transaction import outside_transaction
from alembic_toolkit.verbs.values import Definition, Step
from alembic_toolkit.verbs.words import log_done


def add_column(step: Step) -> None:
    """Add it, unless the server would write a value into each row while it locks the table.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    require_one_default(step)
    bring_types(step, [step.wanted.type])
    default_add_column(step)


def require_one_default(step: Step) -> None:
    """Refuse to add a column concurrently with a default that may differ from row to row."""
    column, dialect = step.wanted, step.database.dialect
    sql: Any = getattr(column.server_default, "arg", "")
    if not step.concurrently or isinstance(sql, str):
        return
    text = unescaped_percent(str(sql.compile(dialect=dialect)), dialect)
    if not differs_by_row(step, text):
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
        f"{step.call}: cannot do this concurrently with a default that differs from row to row.",
        (f"no column {column.name}", f"{column.name} with DEFAULT {text}"),
        "Stopped, because the server would rewrite the whole table, and nobody could use it"
        " meanwhile.",
        *code,
    )


VOLATILE = pinned("SELECT 1 FROM pg_proc WHERE proname = ANY (ARRAY[:names]::name[])")
VOLATILE += pinned(" AND provolatile = 'v' LIMIT 1")


def differs_by_row(step: Step, default: str) -> bool:
    """Tell whether a default calls a function whose result may differ for each row.

    The server knows these functions (https://www.postgresql.org/docs/current/xfunc-volatility.html);
    a script can only know that ``now()`` does not.
    """
    tokens = code_tokens(re.sub(r"::[\w ]+(\([\d, ]*\))?", "", default))  # without casts
    names = {unquoted(name).lower() for name, following in pairwise(tokens) if following == "("}
    called = sorted(name for name in names if re.fullmatch(r"\w+", name))
    if step.offline or not called:
        return bool({*called} - {"now"})
    listed = ", ".join(map(postgresql_literal, called))
    found, _ = step.database.fetch(filled_in(VOLATILE, {"names": listed}))
    return bool(found)


def add_constraint(step: Step) -> None:
    """Add it; concurrently as NOT VALID first, because reading all rows takes long."""
    if not step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid"):
        return default_add_constraint(step)
    step.wanted.dialect_kwargs["postgresql_not_valid"] = True
    with outside_transaction(step):
        default_add_constraint(step)
        validate(step)


def add_unique(step: Step) -> None:
    """Add it; concurrently from an index, which its own verb builds or finds."""
    if not step.concurrently:
        return default_add_constraint(step)
    with outside_transaction(step):
        step.operations.invoke(unique_index(step))
        step.database.run(using_index_sql(step))


def unique_index(step: Step) -> ops.CreateIndexOp:
    """Return the operation that creates the index of a unique constraint."""
    names = [column.name for column in step.wanted.columns]
    kw = {k: v for k, v in step.wanted.dialect_kwargs.items() if k.startswith("postgresql_")}
    kw |= {"postgresql_concurrently": True}
    name = sa.schema.conv(str(step.name))
    return ops.CreateIndexOp(name, step.table, names, schema=step.schema, unique=True, **kw)


def using_index_sql(step: Step) -> str:
    name = step.database.quoted(step.database.truncated(str(step.name)))
    is_deferred = (step.wanted.initially or "").upper() == "DEFERRED"
    later = deferral(step.wanted.deferrable, is_deferred)
    return f"ALTER TABLE {step.quoted_table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{later}"


def alter_column(step: Step) -> None:
    """Alter it; concurrently NOT NULL comes last, after a check has read the rows.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
    """
    if not (step.concurrently and step.operation.modify_nullable is False):
        run_alembic(step)
        return
    rest, not_null = split_nullable(step)
    if rest.operation.has_changes() or rest.operation.modify_name is not None:
        run_alembic(rest)
    step = not_null  # under its new name
    name = sa.schema.conv(not_null_name(step))
    condition: Any = sa.column(str(step.name)).is_not(None)
    kw: dict[str, Any] = {"schema": step.schema, "postgresql_concurrently": True}
    with outside_transaction(step):
        try:
            step.operations.invoke(ops.CreateCheckConstraintOp(name, step.table, condition, **kw))
        except UnsafeOperation:
            drop_not_null_check(step)
            rows = offending(not_null)
            stop(
                UnsafeOperation,
                f"{step.call}: cannot be NOT NULL.",
                (rows.found if rows else f"rows in which {step.name} is NULL", "none"),
                "Stopped, because only a person knows what they should have.",
                f"helpers.backfill({step.table!r}, {{{step.name!r}: ...}},"
                f" where='{step.name} IS NULL')  # before this line",
            )
        run_alembic(step)
        drop_not_null_check(step)


def split_nullable(step: Step) -> tuple[Step, Step]:
    """Return an ``alter_column`` without its NOT NULL, and the NOT NULL alone."""
    rest = replace(step, operation=copy.copy(step.operation))
    rest.operation.modify_nullable = None
    name = str(step.operation.modify_name or step.name)
    alter = ops.AlterColumnOp(step.table, name, modify_nullable=False, schema=step.schema)
    return rest, replace(step, name=name, operation=alter)


def not_null_name(step: Step) -> str:
    """Return the name of the check that reads the rows before NOT NULL is set."""
    return f"_alembic_not_null_{step.name}"


def drop_not_null_check(step: Step) -> None:
    name = sa.schema.conv(not_null_name(step))
    step.operations.invoke(ops.DropConstraintOp(name, step.table, "check", schema=step.schema))


def drop_leftover(step: Step) -> None:
    """Drop the check left by a run that was killed after SET NOT NULL."""
    if step.operation.modify_nullable is not False:
        return
    name = not_null_name(step)
    if constraint_type(step.database, step.table, name, step.schema, "check") is not None:
        drop_not_null_check(step)


def finish(step: Step, found: Definition) -> Definition:
    """Validate a constraint that a killed run left NOT VALID; return its new definition."""
    if not found.get("definition", "").endswith(" NOT VALID"):
        return found
    whole = {"definition": found["definition"].removesuffix(" NOT VALID")}
    if differing_keys(step.server, whole, WANT[step.kind](step) or whole):
        return found
    with outside_transaction(step):
        validate(step)
    log_done(replace(step, verb="validate_constraint"))
    return whole
