"""The SQL that was given to an operation as text, and the parameters in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, singledispatch
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import CommandError

from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.verbs.errors import at_place


def with_text_conditions(operation: Any) -> Any:
    """Return the operation with its string conditions converted to SQL expressions."""
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


# Where SQL is in an operation, a constraint, an index, a default or a computed column
HOLDERS = {"kw", "columns", "expressions", "elements", "_render_exprs", "where", "sqltext", "arg"}
HOLDERS |= {"modify_server_default", "existing_server_default"}


def texts_in(*things: Any) -> Iterator[sa.TextClause]:
    """Yield the SQL that was given as text, anywhere in an operation or a table."""
    waiting = [*reversed(things)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, sa.TextClause):
            yield one
        elif one is not None and type(one) is not str:
            find = parts_of_type(type(one))  # type: ignore[arg-type]
            waiting.extend(reversed(find(one)))


@cache
def parts_of_type(type_: Any) -> Callable[[Any], Sequence[Any]]:
    """Return how to find the parts of a type: the lookup takes longer than the search."""
    return parts.dispatch(type_)


@singledispatch
def parts(thing: Any) -> Sequence[Any]:
    """Return the attributes that may contain SQL."""
    return ()


@parts.register(list)
@parts.register(tuple)
def _(thing: Sequence[Any]) -> Sequence[Any]:
    return thing


@parts.register
def _(thing: Mapping) -> Sequence[Any]:  # type: ignore[type-arg]
    return [*thing.values()]


@parts.register
def _(thing: sa.Table) -> Sequence[Any]:
    of_columns = [one for column in thing.columns for one in of_column(column)]
    return [*of_columns, *filter(may_hold_text, thing.constraints), *thing.indexes]


def may_hold_text(constraint: sa.Constraint) -> bool:
    """Tell whether a constraint may contain SQL: a key over columns does so in options only."""
    return type(constraint) not in OF_COLUMNS or "dialect_options" in vars(constraint)


OF_COLUMNS = {sa.PrimaryKeyConstraint, sa.UniqueConstraint, sa.ForeignKeyConstraint}


@parts.register(sa.Column)
def of_column(thing: sa.Column[Any]) -> Sequence[Any]:
    if thing.server_default is None and thing.server_onupdate is None and not thing.constraints:
        return ()
    return thing.server_default, thing.server_onupdate, *thing.constraints


@parts.register
def of_expression(thing: sa.ClauseElement) -> Sequence[Any]:
    return [one for one in sa.sql.visitors.iterate(thing) if isinstance(one, sa.TextClause)]


@parts.register
def _(thing: sa.sql.functions.FunctionElement) -> Sequence[Any]:  # type: ignore[type-arg]
    return of_expression(thing) if thing.clauses.clauses else ()  # now(): the usual default


@parts.register(ops.MigrateOperation)
@parts.register(sa.schema.SchemaItem)
@parts.register(sa.FetchedValue)
def _(thing: Any) -> Sequence[Any]:
    own = vars(thing)
    dialects = (thing.dialect_kwargs,) if "dialect_options" in own else ()
    return [*dialects, *(own[name] for name in own.keys() & HOLDERS)]


def parameters_without_value(text: sa.TextClause) -> list[str]:
    return [name for name, value in text._bindparams.items() if getattr(value, "required", False)]


def keep_colons(*things: Any) -> None:
    """Keep ``:name`` in the SQL of DDL unchanged: SQLAlchemy would write NULL in its place.

    DDL has no parameters, and a check ``kind <> ':b'`` is meant literally.
    """
    for text in texts_in(*things):
        # no column: SQLAlchemy refuses to copy a check of a column that has another one
        kept: dict[str, Any] = {n: sa.text(f"\\:{n}") for n in parameters_without_value(text)}
        text._bindparams = text._bindparams | kept if kept else text._bindparams


def require_values(call: str, *things: Any) -> None:
    """Refuse a parameter without a value, for which a script would contain NULL."""
    given = [sa.text(thing) if isinstance(thing, str) else thing for thing in things]
    for text in texts_in(*given):
        for name in parameters_without_value(text):
            raise CommandError(
                f"{at_place(call)}: :{name} is a parameter, and has no value.\n"
                f"  statement:       {brief(text)}\n"
                "Stopped before anything was run, because the parameter has no value.\n"
                "What to do next:\n"
                f"    r'... \\:{name} ...'  # for a colon that begins no parameter; or a value:\n"
                f"    sa.text('... :{name} ...').bindparams({name}=...)"
            )
