"""The rows that made a server refuse a step: how many, which ones, and how to fix them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping

from alembic_toolkit.messages import printable
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.verbs.ask import describe_column, inspected_columns, inspected_key
from alembic_toolkit.verbs.remedy import schema_code, type_code
from alembic_toolkit.verbs.values import Step

MOST = 1000  # count at most this many rows
SHOWN = 3


@dataclass
class Rows:
    """The rows that are in the way."""

    found: str  # 2 rows in which due is NULL: id = 1, 2
    wanted: str
    why: str
    way: list[str]


@dataclass
class Look:
    """A query for rows that break a rule."""

    step: Step
    table: Any
    breaks: sa.ColumnElement[bool]
    columns: Sequence[str]


def reads_rows(step: Step) -> bool:
    """Tell whether a step can fail because of the contents of rows."""
    if step.kind == "index":
        return step.verb == "create_index" and bool(step.wanted.unique)
    if step.verb == "add_column":
        has_value = isinstance(step.wanted.server_default, sa.DefaultClause)
        return not (step.wanted.nullable or has_value)
    if step.verb == "alter_column":
        operation = step.operation
        return operation.modify_nullable is False or operation.modify_type is not None
    return step.verb.startswith("create") and step.kind in RULES


def offending(step: Step) -> Rows | None:
    """Find the rows that are in the way of a step; None if there are none, or it is unknown."""
    for find in RULES.get(step.kind, ()):
        with suppress(sa.exc.SQLAlchemyError):  # the table, or a type, is not as expected
            found = find(step)
            if found is not None:
                return found
    return None


# One function for each kind of rule


def nulls(step: Step) -> Rows | None:
    names = [str(step.name)]
    if step.kind == "primary":
        names = [str(column.name) for column in step.wanted.columns]
    elif not (step.verb == "alter_column" and step.operation.modify_nullable is False):
        return None
    table = table_of(step, names)
    for name in names:
        look = Look(step, table, table.c[name].is_(None), [name])
        if found := counted(look):
            return Rows(
                f"{found} in which {name} is NULL{keys(look)}",
                f"{name} NOT NULL",
                "Stopped, because only a person knows what these rows should have.",
                [filling(step, name)],
            )
    return None


def filling(step: Step, name: str) -> str:
    """Return code that gives a column a value in rows without one; not for a computed column."""
    there = describe_column(step.database, step.table, name, step.place) or {}
    if computed := there.get("computed"):
        return f"# before this line, fill what {name} is computed from: {computed}"
    update = f"UPDATE {sql_name(step)} SET {name} = ... WHERE {name} IS NULL"
    return f"helpers.execute({update!r})  # before this line"


def no_value(step: Step) -> Rows | None:
    """Find the rows for which a new column has no value."""
    if step.verb != "add_column":
        return None
    name, type_ = str(step.name), type_code(step.wanted.type)
    look = Look(step, table_of(step, []), sa.true(), [])
    found = counted(look)
    if found is None:
        return None
    schema = schema_code(step.schema)
    update = f"UPDATE {sql_name(step)} SET {name} = ... WHERE {name} IS NULL"
    not_null = f"nullable=False, existing_type={type_}{schema}"
    return Rows(
        f"{found}, which have no {name}{keys(look)}",
        f"{name} NOT NULL, without a default",
        "Stopped, because only a person knows what these rows should have.",
        [
            f"helpers.add_column({step.table!r}, sa.Column({name!r}, {type_}){schema})"
            "  # instead of this line",
            f"helpers.execute({update!r})",
            f"helpers.alter_column({step.table!r}, {name!r}, {not_null})",
        ],
    )


def duplicates(step: Step) -> Rows | None:
    """Find the rows with equal values that must be unique."""
    if step.kind == "index" and not step.wanted.unique:
        return None
    index = step.kind == "index"
    given: Any = step.wanted.expressions if index else step.wanted.columns
    # Alembic wraps the text of an expression
    parts = [sa.literal_column(str(p.text)) if hasattr(p, "text") else p for p in given]
    where = step.wanted.dialect_kwargs.get(f"{step.database.dialect.name}_where") if index else None
    name = ", ".join(str(getattr(part, "name", part)) for part in parts)
    labelled = [part.label(f"p{number}") for number, part in enumerate(parts)]
    number = sa.func.count().label("n")
    shared = sa.select(*labelled, number).select_from(step.wanted.table)
    shared = shared.where(*(part.is_not(None) for part in parts))
    shared = shared if where is None else shared.where(where)
    shared = shared.group_by(*parts).having(sa.func.count() > 1)
    some = shared.limit(MOST).subquery()
    run = step.database.connection.execute
    total, groups = run(sa.select(sa.func.sum(some.c.n), sa.func.count())).one()
    if not groups:
        return None
    first = run(shared.order_by(*parts).limit(SHOWN)).all()
    values = ", ".join(shown(row[:-1]) for row in first)
    equal = [part == value for part, value in zip(parts, first[0][:-1], strict=True)]
    one = Look(step, step.wanted.table, sa.and_(*equal), [])
    more = "more than " if groups == MOST else ""
    return Rows(
        f"{more}{rows_(int(total))} in which {name} is {'one value' if groups == 1 else 'a value'}"
        f" that another row has: {name} = {values}{keys(one, 'the first: ')}",
        f"each {name} once",
        "Stopped, because only a person knows which of these rows is right.",
        [
            f"# before this line, correct these rows, or merge them (SELECT {name}, count(*)"
            f" FROM {sql_name(step)} GROUP BY {name} HAVING count(*) > 1):",
            f"helpers.execute({update_one(one, name)!r})",
        ],
    )


def update_one(look: Look, name: str) -> str:
    """Return an UPDATE of one of the rows."""
    where, ids = "...", key_of(look)
    if ids and (found := first_rows(look, ids)):
        pairs = zip(ids, found[-1], strict=True)
        where = " AND ".join(f"{id_} = {value!r}" for id_, value in pairs)
    return f"UPDATE {sql_name(look.step)} SET {name.partition(',')[0]} = ... WHERE {where}"


def broken_check(step: Step) -> Rows | None:
    dialect, kw = step.database.dialect, {"literal_binds": True, "include_table": False}
    # without its table: the check of an Enum or a Boolean has another one
    text = unescaped_percent(
        str(step.wanted.sqltext.compile(dialect=dialect, compile_kwargs=kw)), dialect
    )
    condition: Any = Grouping(sa.literal_column(text))
    look = Look(step, step.wanted.table, sa.not_(condition), [])
    found = counted(look)
    if found is None:
        return None
    update = f"UPDATE {sql_name(step)} SET ... WHERE NOT ({text})"
    return Rows(
        f"{found} that violate it{keys(look)}",
        f"CHECK ({text})",
        "Stopped, because only a person knows what these rows should have.",
        [f"helpers.execute({update!r})  # before this line"],
    )


def orphans(step: Step) -> Rows | None:
    """Find the rows without a parent."""
    child, elements = step.wanted.table, step.wanted.elements
    parent = elements[0].column.table.alias("alembic_parent")
    names = [str(column.name) for column in step.wanted.columns]
    pairs = [
        (child.c[name], parent.c[element.column.name])
        for name, element in zip(names, elements, strict=True)
    ]
    same: Any = (
        sa.select(sa.literal_column("1")).select_from(parent).where(*(a == b for a, b in pairs))
    )
    given = [column.is_not(None) for column, _ in pairs]
    look = Look(step, child, sa.and_(*given, ~same.correlate(child).exists()), names)
    found = counted(look)
    if found is None:
        return None
    there = elements[0].column.table
    referred = ", ".join(str(element.column.name) for element in elements)
    missing = f"SELECT DISTINCT {', '.join(names)} FROM {sql_name(step)}"
    return Rows(
        f"{found} whose {', '.join(names)} is in no row of {there.fullname}{keys(look)}",
        f"({', '.join(names)}) REFERENCES {there.fullname} ({referred})",
        "Stopped, because only a person knows what these rows should refer to.",
        [
            f"# before this line, add the rows that are missing ({missing}), or:",
            f"helpers.execute('UPDATE {sql_name(step)} SET {names[0]} = ... WHERE ...')",
        ],
    )


def unfit(step: Step) -> Rows | None:
    """Find the values that a new type cannot hold."""
    type_ = getattr(step.operation, "modify_type", None)
    if type_ is None:
        return None
    type_, name = sa.types.to_instance(type_), str(step.name)
    table = table_of(step, [name])
    for breaks in limits(table.c[name], type_):
        look = Look(step, table, breaks, [name])
        found = None
        with suppress(sa.exc.SQLAlchemyError), step.database.connection.begin_nested():
            found = counted(look)
        if found:
            is_text = isinstance(type_, sa.String)
            longest = (
                step.database.connection.execute(
                    sa.select(
                        sa.func.max(sa.func.char_length(table.c[name])) if is_text else sa.null()
                    )
                ).scalar()
                if is_text
                else None
            )
            way = f"helpers.execute('UPDATE {sql_name(step)} SET {name} = ... WHERE ...')"
            lines = [f"{way}  # before this line"]
            if longest:
                wide = f"type_=sa.String({longest}){schema_code(step.schema)}"
                lines = [
                    f"helpers.alter_column({step.table!r}, {name!r}, {wide})"
                    "  # instead of this line"
                ]
            return Rows(
                f"{found} whose {name} does not fit{keys(look)}",
                f"{name} {type_.compile(dialect=step.database.dialect)}",
                "Stopped, because values would be cut or lost.",
                lines,
            )
    return None


INTEGERS = {sa.SmallInteger: 15, sa.BigInteger: 63, sa.Integer: 31}
NUMBER = r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"


def limits(column: Any, type_: Any) -> Iterator[sa.ColumnElement[bool]]:
    """Yield conditions that find values which the type cannot hold."""
    if isinstance(type_, sa.String) and type_.length:
        yield sa.func.char_length(column) > type_.length
    bits = next((bits for kind, bits in INTEGERS.items() if isinstance(type_, kind)), None)
    if bits:
        yield ~column.regexp_match(r"^\s*[-+]?[0-9]+\s*$")
        yield sa.not_(column.between(-(2**bits), 2**bits - 1))
    elif isinstance(type_, sa.Numeric):
        yield ~column.regexp_match(NUMBER)
        if type_.precision:
            yield sa.func.abs(column) >= 10 ** (type_.precision - (type_.scale or 0))
    elif isinstance(type_, (sa.Date, sa.DateTime)):
        yield ~column.regexp_match(r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")


RULES: dict[str, tuple[Callable[[Step], Rows | None], ...]] = {
    "column": (no_value, nulls, unfit),
    "unique": (duplicates,),
    "index": (duplicates,),
    "primary": (nulls, duplicates),
    "check": (broken_check,),
    "foreignkey": (orphans,),
}


# Rows, counted and shown


def table_of(step: Step, names: Sequence[str]) -> sa.TableClause:
    return sa.table(step.table, *map(sa.column, names), schema=step.schema)


def sql_name(step: Step) -> str:
    return f"{step.schema}.{step.table}" if step.schema else step.table


def counted(look: Look) -> str | None:
    """Return the number of rows as text; None if there are none."""
    one: Any = sa.literal_column("1").label("one")
    some = sa.select(one).select_from(look.table).where(look.breaks).limit(MOST + 1).subquery()
    query = sa.select(sa.func.count()).select_from(some)
    number = look.step.database.connection.execute(query).scalar() or 0
    return (rows_(number) if number <= MOST else f"more than {rows_(MOST)}") if number else None


def rows_(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def key_of(look: Look) -> list[str]:
    return inspected_key(look.step.database, look.step.table, look.step.schema)


def first_rows(look: Look, names: Sequence[str]) -> Sequence[Any]:
    columns: list[Any] = [sa.column(name, _selectable=look.table) for name in names]
    query = sa.select(*columns).select_from(look.table).where(look.breaks)
    return look.step.database.connection.execute(query.order_by(*columns).limit(SHOWN)).all()


def keys(look: Look, words: str = "") -> str:
    """Return the keys of the first rows (``: id = 1, 2, 3``), or their values without a key."""
    step, names = look.step, key_of(look)
    if not names:
        there = (c["name"] for c in inspected_columns(step.database, step.table, step.schema))
        names = [*dict.fromkeys([*look.columns, *there])][:3]
    found = first_rows(look, names)
    label = names[0] if len(names) == 1 else f"({', '.join(names)})"
    separator = "; " if words else ": "
    return f"{separator}{words}{label} = {', '.join(map(shown, found))}"


def shown(row: Any) -> str:
    """Return the values of a row, each at most 40 characters long."""
    values = [text if len(text) <= 40 else f"{text[:39]}…" for text in map(repr_, row)]
    return values[0] if len(values) == 1 else f"({', '.join(values)})"


def repr_(value: Any) -> str:
    return repr(value) if isinstance(value, str | bytes) else printable(value)
