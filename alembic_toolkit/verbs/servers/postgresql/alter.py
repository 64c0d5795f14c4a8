"""``alter_column`` on PostgreSQL: what is kept, and the order of the steps."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.verbs.act import run_alembic
from alembic_toolkit.verbs.ask import type_text
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.column import with_collation
from alembic_toolkit.verbs.remedy import code_of
from alembic_toolkit.verbs.scratch import SCRATCH, scratch_table, verbatim
from alembic_toolkit.verbs.servers.postgresql.concurrently import alter_column as alter_nullable
from alembic_toolkit.verbs.texts import keep_colons
from alembic_toolkit.verbs.values import Definition, Step


def kept_type(step: Step, found: Definition) -> Any:
    return with_collation(step, found.get("collate", ""))


def alter_column(step: Step) -> None:
    """Alter it; a given default is dropped before the type changes, and set afterwards.

    The server casts the existing default to the new type, and usually cannot:
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    if step.operation.modify_type is not None and (step.found or {}).get("default"):
        if step.operation.modify_server_default is False:
            require_castable_default(step)
        else:
            run_alembic(replace(step, operation=without_default(step)))
    alter_nullable(step)


def without_default(step: Step) -> ops.AlterColumnOp:
    """Return the operation that drops the default."""
    given = step.table, str(step.name)
    return ops.AlterColumnOp(*given, modify_server_default=None, schema=step.schema)


def require_castable_default(step: Step) -> None:
    """Refuse a new type for a column whose default the server cannot cast to it."""
    database, operation, found = step.database, step.operation, step.found or {}
    default = found["default"].removeprefix("DEFAULT ")
    type_ = type_text(operation.modify_type, database.dialect)
    name, scratch = database.quoted(str(step.name)), database.quoted(SCRATCH)
    column: sa.Column[Any] = sa.Column(step.name, verbatim(database, found["type"]))
    try:
        with scratch_table(step, column):
            alter = f"ALTER TABLE {scratch} ALTER {name}"
            database.run(f"{alter} SET DEFAULT {default}")
            database.run(f"{alter} TYPE {type_} USING NULL::{type_.partition(' COLLATE ')[0]}")
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in UNCASTABLE:
            return  # the server reports that for the column itself
        said = copy.copy(operation)
        said.modify_server_default = default_as(step, default, type_)
        keep_colons(said)
        stop(
            UnsafeOperation,
            f"{step.call}: its default cannot be one of the new type.",
            (f"{found['type']} {found['default']}", type_),
            "Stopped, because the server does not cast the default, and the call does not say"
            " what it is to be.",
            f"{code_of(said)}  # in place of this line; or with the default that it is to have",
        )


def default_as(step: Step, default: str, type_: str) -> sa.TextClause | None:
    """Return the default in another type if its value is valid there, else None."""
    value = LITERAL.fullmatch(default)
    if value is None:
        return None
    wanted: sa.Column[Any] = sa.Column(step.name, verbatim(step.database, type_))
    try:
        with scratch_table(step, wanted):
            name, scratch = step.database.quoted(str(step.name)), step.database.quoted(SCRATCH)
            step.database.run(f"ALTER TABLE {scratch} ALTER {name} SET DEFAULT {value[1]}")
    except sa.exc.DBAPIError:
        return None
    return sa.text(value[1])


# 'x'::character varying: a value and its type
LITERAL = re.compile(r"('(?:[^']|'')*'|[\w.+-]+)(?:::[\w\s.\"(),]+)?")


# datatype_mismatch, and the errors of casting the value itself:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
UNCASTABLE = {"42804", "42846", "22P02"}
