"""Plan the rows of a table: how many, which values, which parents, and no key twice."""

from __future__ import annotations

import itertools
import random
import unicodedata
from functools import partial
from typing import Any

from alembic_toolkit.rows.checks import is_free, satisfy
from alembic_toolkit.rows.filling import Filling, Row
from alembic_toolkit.rows.read import plain
from alembic_toolkit.rows.tables.table import Column, ForeignKey, Table, names_in
from alembic_toolkit.rows.values import UNSET, candidates, series

LEAST = 4  # rows of a table that had none
MOST = 100  # rows of one table: above that nothing is added


def is_nullable(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.nullable


def reference(filling: Filling, key: ForeignKey, parent: Row) -> Row:
    targets = key.target_columns or filling.tables[key.target].primary
    return {column: parent.get(to) for column, to in zip(key.columns, targets, strict=False)}


def plan(filling: Filling, table: Table, waiting: set[str]) -> list[Row]:
    """Plan the new rows of a table, except references to tables that are planned later."""
    existing = filling.rows.get(table.name, [])
    given = [] if existing else filling.given.get(table.name, [])
    count = len(given) or _count(filling, table, existing)
    columns = [column for column in table.columns if not column.generated]
    plain = filling.sort.plain
    pick = _pick_plain if plain else partial(pick_nasty, again=bool(existing))
    rows = [{c.name: pick(c, n, count, at) for at, c in enumerate(columns)} for n in range(count)]
    if count >= 3 and not given and not plain:
        rows[-1] = dict(rows[0])
    for name in (column.name for column in columns if column.serial):
        used = [int(row[name]) for row in existing if row.get(name) is not None]
        for number, row in enumerate(rows, max([0, *used]) + 1):
            row[name] = number
    if problem := refer(filling, table, waiting, rows):
        filling.filled.failed[table.name] = problem
        return []
    satisfy(filling, table, rows, random.Random(f"{filling.seed}:{table.name}"))
    for row, own in zip(rows, given, strict=False):
        row.update({name: value for name, value in own.items() if name in row})
    return rows if given else distinct(table, existing, rows)


def _count(filling: Filling, table: Table, existing: list[Row]) -> int:
    most = filling.sort.most
    if len(existing) >= MOST or (existing and most is not None):
        return 0
    if most is not None:
        return most
    if existing:
        return 2 if any(_never_varies(table, column, existing) for column in table.columns) else 0
    labels = max((len(c.labels) + c.nullable for c in table.columns if c.labels), default=0)
    parents = (len(filling.rows.get(key.target, [])) for key in table.foreign)
    children = max((number + 2 for number in parents), default=0)
    return min(max(LEAST, labels + 1, children), 8)


def _never_varies(table: Table, column: Column, existing: list[Row]) -> bool:
    """Return whether a column has one value in all rows, and new rows could have others."""
    if column.generated or len(candidates(column)) < 2:
        return False
    values = {str(row[column.name]) for row in existing if row[column.name] is not None}
    # A check may allow one value alone.
    if column.name in table.references or (
        table.checks and names_in(" ".join(table.checks), [column.name])
    ):
        return not values
    return len(values) < 2 and len(existing) > 1


def _pick_plain(column: Column, number: int, count: int, position: int) -> Any:
    """Choose a value that is neither NULL nor empty, different in each row if possible."""
    if column.kind in ("text", "char") and not column.labels:
        return next(itertools.islice(series(column, number), number, None))
    choice = [value for value in candidates(column) if value not in ("", b"")]
    return choice[number % len(choice)] if choice else UNSET


def pick_nasty(column: Column, number: int, count: int, position: int, again: bool) -> Any:
    """Choose a value: NULL in the second or third row, another candidate in each row."""
    null = 1 + position % 2 if column.nullable and not again else count
    if number == null or (count == 1 and column.nullable and not again):
        return None
    choice = candidates(column)
    return choice[(number - (number > null)) % len(choice)] if choice else UNSET


def refer(filling: Filling, table: Table, waiting: set[str], rows: list[Row]) -> str | None:
    """Set the foreign keys; return the problem, if there is one."""
    for key in table.foreign:
        wait = key.target in waiting
        parent_rows = [] if wait else filling.rows.get(key.target, [])
        nullable = any(is_nullable(table, column) for column in key.columns)
        if not parent_rows and not wait and not nullable and rows:
            why = filling.filled.failed.get(key.target, "it has no rows")
            return f"{key.target}, which it refers to, cannot be used: {why}"
        position = 0
        for number, row in enumerate(rows):
            some_null = nullable and number == 1 and len(rows) > 1 and not filling.sort.plain
            if not parent_rows or some_null:
                # A column of another reference, or one that is required, keeps its value.
                others = {c for other in table.foreign if other is not key for c in other.columns}
                free = (c for c in key.columns if is_nullable(table, c) and c not in others)
                row.update(dict.fromkeys(free))
                continue
            choice = _agreeing(filling, table, key, row, parent_rows)
            row.update(choice[position % len(choice)])
            position += 1
    return None


def _agreeing(
    filling: Filling, table: Table, key: ForeignKey, row: Row, parent_rows: list[Row]
) -> list[Row]:
    """Return the references that agree with an earlier foreign key over the same columns."""
    before = itertools.takewhile(lambda other: other is not key, table.foreign)
    earlier = {name for other in before for name in other.columns}
    choice = [reference(filling, key, parent) for parent in parent_rows]
    agreeing = [r for r in choice if all(r[c] == row[c] for c in earlier & set(r))]
    return agreeing or choice


def distinct(table: Table, existing: list[Row], rows: list[Row], beyond: int = 0) -> list[Row]:
    """Change values until all keys are unique; omit rows for which no value is left.

    :param beyond: how many values of each key to leave for others, if there are enough.
    """
    sets = list(dict.fromkeys(key for key in [table.primary, *table.uniques] if key))
    used = {key: {_folded(row, key) for row in existing} for key in sets}
    for key in sets:  # two tables may become one, whose texts and bytes must be unique
        column = table.column(key[0]) if len(key) == 1 else None
        if column is not None and column.kind in ("text", "char", "binary"):
            used[key].add(_folded({key[0]: b"" if column.kind == "binary" else ""}, key))
    distinct = []
    for row in rows:
        if all(_free_key(table, key, row, used[key], beyond) for key in sets):
            # Again: what made one key unique may have been part of another.
            if any(_folded(row, key) in used[key] for key in sets):
                continue
            for key in sets:
                if None not in (values := _folded(row, key)):
                    used[key].add(values)
            distinct.append(row)
    return distinct


def _folded(row: Row, key: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the values of a key as the least precise collation compares them."""
    return tuple(_fold(row.get(name)) for name in key)


def _fold(value: Any) -> Any:
    if not isinstance(value, str):
        return None if value is None or value is UNSET else str(plain(value))
    text = unicodedata.normalize("NFKD", value).casefold().rstrip()
    return "".join(c for c in text if not unicodedata.combining(c) and ord(c) < 0x10000)


def _free_key(table: Table, key: tuple[str, ...], row: Row, used: set[Any], beyond: int) -> bool:
    """Give a key unused values; return whether there are any."""
    if _folded(row, key) not in used:
        return True
    names = [name for name in key if is_free(table, name)]
    checked = set(names_in(" ".join(table.checks), names))
    for name in sorted(names, key=lambda n: n in checked):
        column = table.column(name)
        assert column is not None
        old = row[name]
        values = [*series(column, len(used) + beyond)]
        values = [*values[beyond:], *values[:beyond], *([None] if column.nullable else [])]
        for value in values:
            row[name] = value
            if value is None or _folded(row, key) not in used:
                return True
        row[name] = old
    for name in key:  # a child of each parent, once
        if is_nullable(table, name):
            row[name] = None
            return True
    return False
