"""The SQL that an operation was given as text, and the parameters in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import CommandError

from alembic_toolkit.sql.quoting import brief


def with_text_conditions(operation: Any) -> Any:
    """Return the operation with the conditions that it has as strings in the form of SQL."""
    kw = getattr(operation, "kw", None) or {}
    strings = {k: sa.text(v) for k, v in kw.items() if k.endswith("_where") and isinstance(v, str)}
    where = getattr(operation, "where", None)
    if not strings and not isinstance(where, str):
        return operation
    operation = copy.copy(operation)
    operation.kw = {**kw, **strings}
    if isinstance(where, str):
        operation.where = sa.text(where)
    return operation


# What holds SQL in an operation, a constraint, an index, a default or a computed column
HOLDERS = {"kw", "dialect_kwargs", "columns", "expressions", "elements", "_render_exprs", "where"}
HOLDERS |= {"sqltext", "arg", "modify_server_default", "existing_server_default"}


def texts_in(thing: Any) -> Iterator[sa.TextClause]:
    """Yield the SQL that was given as text, wherever it is in an operation or a table."""
    if isinstance(thing, sa.Table):
        yield from texts_in([*thing.columns, *thing.constraints, *thing.indexes])
    elif isinstance(thing, sa.Column):
        yield from texts_in([thing.server_default, thing.server_onupdate])
    elif isinstance(thing, sa.ClauseElement):
        yield from (t for t in sa.sql.visitors.iterate(thing) if isinstance(t, sa.TextClause))
    elif isinstance(thing, Mapping):
        yield from texts_in(list(thing.values()))
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from texts_in(part)
    elif isinstance(thing, ops.MigrateOperation | sa.schema.SchemaItem | sa.FetchedValue):
        yield from texts_in([getattr(thing, name, None) for name in HOLDERS])


def parameters_without_value(text: sa.TextClause) -> list[str]:
    return [name for name, value in text._bindparams.items() if getattr(value, "required", False)]


def keep_colons(*things: Any) -> None:
    """Have ``:name`` in the SQL of DDL mean itself: SQLAlchemy would write NULL in its place.

    DDL has no parameters, and a check ``kind <> ':b'`` means what it says.
    """
    for text in texts_in(things):
        kept: dict[str, Any] = {
            n: sa.literal_column(f":{n}") for n in parameters_without_value(text)
        }
        text._bindparams = text._bindparams | kept if kept else text._bindparams


def require_values(call: str, *things: Any) -> None:
    """Refuse a parameter without a value, for which a script would have NULL."""
    given = [sa.text(thing) if isinstance(thing, str) else thing for thing in things]
    for text in texts_in(given):
        for name in parameters_without_value(text):
            raise CommandError(
                f"{call}: :{name} is a parameter, and has no value.\n"
                f"  statement:       {brief(text)}\n"
                "Stopped before anything was run, because the parameter has no value.\n"
                "What to do next:\n"
                f"    r'... \\:{name} ...'  # for a colon that begins no parameter; or a value:\n"
                f"    sa.text('... :{name} ...').bindparams({name}=...)"
            )
