"""Rows that an application might write next: like the existing ones, with keys of their own.

If another schema must accept them as well, some have values that it may not hold: a string as long
as this schema allows, a label that only this one has, a value that only the other's check forbids.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from alembic_toolkit.rows.checks import mined, satisfy
from alembic_toolkit.rows.filling import Filling, Row
from alembic_toolkit.rows.plan import distinct, pick_nasty, refer
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import Column, Table, names_in
from alembic_toolkit.rows.values import UNSET, candidates

_LIKE = 3  # rows like those that are there
_BEYOND = 16  # numbers that are left to `fill`: it may add rows before these are tried again
_MOST = 6  # rows that tell two schemas apart


def more(filling: Filling, table: Table, other: Table | None, spare: int) -> list[Row]:
    """Plan more rows for a table with rows; insert nothing.

    :param filling: the existing rows, by table; the new rows refer to parents among them.
    :param other: the table in the other schema.
    :param spare: how many more to plan, for other statements; they are the last ones.
    :return: an empty list if no row can be planned.
    """
    own = _widest(table, other)
    known = [*filling.rows.get(table.name, [])]
    if not known or not {*own.names} <= known[0].keys():  # the rows of the other schema
        made = _made(filling, own)
        known = [one | there for one, there in zip(made, [*known, *[{}] * len(made)], strict=False)]
    if not known:
        return []
    telling = {c.name: found for c in own.columns if (found := _telling(own, c, other))}
    count = min(max(map(len, telling.values()), default=0), _MOST)
    rows = [dict(known[number % len(known)]) for number in range(_LIKE + count + spare)]
    for number in range(count):
        rows[_LIKE + number] |= {
            name: values[number % len(values)] for name, values in telling.items()
        }
    ahead = server_of(filling.connection).ahead + _BEYOND
    for column in (column for column in own.columns if column.serial):
        name, most = column.name, 2 ** max(column.bits - 3, 4)
        used = [int(row[name]) for row in filling.rows.get(table.name, []) if row.get(name)]
        # The last ones first: a number that the server gives is above all that it was given.
        for number, row in enumerate(rows[::-1], max([0, *used]) + min(ahead, most)):
            row[name] = number
    existing = filling.rows.get(table.name, [])
    return distinct(own, existing, rows, len(existing) + _BEYOND)


def _made(filling: Filling, table: Table) -> list[Row]:
    """Plan rows for a table that has none."""
    columns = [column for column in table.columns if not column.generated]
    rows = [
        {c.name: pick_nasty(c, n, _LIKE + 1, at, again=False) for at, c in enumerate(columns)}
        for n in range(_LIKE + 1)
    ]
    if refer(filling, table, set(), rows):
        return []
    satisfy(filling, table, rows, random.Random(table.name))
    return [{**dict.fromkeys(table.names, UNSET), **row} for row in rows]


def _widest(table: Table, other: Table | None) -> Table:
    """Return a table with the keys of both, and with strings too long for the other."""
    if other is None:
        return table

    def column(one: Column) -> Column:
        one, there = replace(one, of=table.name), other.column(one.name)
        is_sized = there is not None and there.kind in _SIZED and one.kind in _SIZED
        if not is_sized or there is None or there.length is None:
            return one
        longer = there.length + 1
        return replace(one, length=longer if one.length is None else min(one.length, longer))

    shared = (key for key in other.uniques if {*key} <= {*table.names})
    uniques = tuple(dict.fromkeys([*table.uniques, *shared]))
    return replace(table, columns=tuple(map(column, table.columns)), uniques=uniques)


_SIZED = ("text", "char", "binary")


def _telling(table: Table, column: Column, other: Table | None) -> list[Any]:
    """Return values of a column that the other schema may refuse; none if it is the same there."""
    if other is None or column.generated or column.serial or column.name in table.references:
        return []
    there = other.column(column.name)
    if there is None:
        return []
    checks = [check for check in other.checks if check not in table.checks]
    named = [check for check in checks if names_in(check, [column.name])]
    values = [v for check in named for v in mined(column, check) if _fits(column, v)]
    if replace(there, default=None, of="") != replace(column, default=None, of=""):
        is_label = bool(column.labels) and bool(there.labels)
        new = [one for one in column.labels if is_label and one not in there.labels]
        wide = _WIDEST.get(column.kind) if column.kind == there.kind else None
        values = [*new, *([wide(column, there)] if wide else []), *candidates(column), *values]
    elif named:
        values = [*candidates(column), *values]
    values = [value for value in values if value is not None]
    return list({str(value): value for value in values}.values())[:_MOST]


def _fits(column: Column, value: Any) -> bool:
    """Tell whether a column should hold a number: SQLite accepts any value."""
    if column.kind == "integer":
        return abs(int(value)) <= _widest_integer(column, column)
    if column.kind == "numeric" and column.precision is not None:
        return abs(Decimal(value)) <= _widest_numeric(column, column)
    return True


def _widest_integer(column: Column, _: Column) -> int:
    most: int = 2 ** (column.bits if column.unsigned else column.bits - 1) - 1
    return most


def _widest_numeric(column: Column, there: Column) -> Decimal:
    if column.precision is None:
        return Decimal(10) ** ((there.precision or 20) - (there.scale or 0))
    scale = column.scale or 0
    return Decimal(10) ** (column.precision - scale) - Decimal(1).scaleb(-scale)


_WIDEST: Mapping[str, Callable[[Column, Column], Any]] = {
    "integer": _widest_integer,
    "numeric": _widest_numeric,
    "float": lambda column, _: 1e300 if (column.precision or 0) > 6 else 3e38,
}
