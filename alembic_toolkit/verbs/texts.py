"""The SQL that an operation was given as text, and the parameters in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import ExcludeConstraint

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


def texts_of_operation(operation: Any) -> Iterator[Any]:
    kw = getattr(operation, "kw", None) or {}
    yield from (value for key, value in kw.items() if key.endswith("_where"))
    yield from getattr(operation, "columns", None) or ()
    yield from (expression for expression, _ in getattr(operation, "elements", None) or ())
    yield getattr(operation, "where", None)
    for attribute in ("modify_server_default", "existing_server_default"):
        yield sql_of(getattr(operation, attribute, None))


def texts_of_table(table: Any) -> Iterator[Any]:
    if not isinstance(table, sa.Table):
        return
    for column in table.columns:
        yield from map(sql_of, (column.server_default, column.server_onupdate))
    yield from (getattr(constraint, "sqltext", None) for constraint in table.constraints)
    things: list[Any] = [*table.constraints, *table.indexes]
    for thing in things:
        yield from getattr(thing, "expressions", ())
        yield from (v for key, v in thing.dialect_kwargs.items() if key.endswith("_where"))
        if isinstance(thing, ExcludeConstraint):
            yield from (thing.where, *(expression for expression, *_ in thing._render_exprs))


def sql_of(default: Any) -> Any:
    """Return the SQL of a default, or of a column that is computed."""
    return getattr(default, "sqltext", getattr(default, "arg", default))


def texts_in(*things: Any) -> Iterator[sa.TextClause]:
    """Yield what of some SQL was given as text."""
    for thing in things:
        if isinstance(thing, sa.ClauseElement):
            yield from (t for t in sa.sql.visitors.iterate(thing) if isinstance(t, sa.TextClause))


def parameters_without_value(text: sa.TextClause) -> list[str]:
    return [name for name, value in text._bindparams.items() if getattr(value, "required", False)]


def keep_colons(*things: Any) -> None:
    """Have ``:name`` in the SQL of DDL mean itself: SQLAlchemy would write NULL in its place.

    DDL has no parameters, and a check that says ``kind <> ':b'`` means it.
    """
    for text in texts_in(*things):
        kept: dict[str, Any] = {
            n: sa.literal_column(f":{n}") for n in parameters_without_value(text)
        }
        text._bindparams = text._bindparams | kept if kept else text._bindparams


def require_values(call: str, *things: Any) -> None:
    """Refuse a parameter without a value, for which a script would say NULL."""
    given = (sa.text(thing) if isinstance(thing, str) else thing for thing in things)
    for text in texts_in(*given):
        for name in parameters_without_value(text):
            raise CommandError(
                f"{call}: :{name} is a parameter, and has no value.\n"
                f"  statement:       {brief(text)}\n"
                "Stopped before anything was run, because nobody knows what to write there.\n"
                "The way on:\n"
                f"    r'... \\:{name} ...'  # for a colon that begins no parameter; or a value:\n"
                f"    sa.text('... :{name} ...').bindparams({name}=...)"
            )
