"""Give columns values that satisfy their table's checks.

Checks are not parsed. Numbers and strings in their text are candidates in addition to our own
values, and the server evaluates which combinations satisfy them.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import ask, identifier
from alembic_toolkit.rows.filling import Filling, Row
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import Column, Table, names_in, strings_in, without_strings
from alembic_toolkit.rows.values import UNSET, candidates
from alembic_toolkit.rows.write import literal_of, savepoint


def satisfy(filling: Filling, table: Table, rows: list[Row], random_: random.Random) -> None:
    """Give columns with checks values that satisfy them."""
    if not rows or not table.checks:
        return
    names = [column.name for column in table.columns if not column.generated]
    groups = []
    for group, checks in _check_groups(table, names):
        choices = [_choices(filling, table, name, checks, rows) for name in group]
        combinations = _combinations(choices, random_)
        if combinations:
            groups.append((group, checks, combinations))
    allowed = _allowed(filling.connection, table, groups)
    for (group, _, combinations), numbers in zip(groups, allowed, strict=True):
        good = [combinations[number] for number in numbers]
        fixed = [(at, name) for at, name in enumerate(group) if not is_free(table, name)]
        for number, row in enumerate(rows):
            fitting = [c for c in good if all(_equal(c[at], row[name]) for at, name in fixed)]
            choice = fitting or good
            if choice:
                last = number == len(rows) - 1 and number > 1
                row.update(zip(group, choice[0 if last else number % len(choice)], strict=True))


def is_free(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and not column.serial and name not in table.references


def _equal(one: Any, other: Any) -> bool:
    return one is other or (one is not None and str(one) == str(other))


def _check_groups(table: Table, names: list[str]) -> list[tuple[list[str], list[str]]]:
    """Put checks that share a column together."""
    groups: list[tuple[list[str], list[str]]] = []
    for check in table.checks:
        found, checks = names_in(check, names), [check]
        for group in [g for g in groups if set(g[0]) & set(found)]:
            groups.remove(group)
            found, checks = list(dict.fromkeys(group[0] + found)), group[1] + checks
        if found:
            groups.append((found, checks))
    return groups


_MOST = 96  # combinations that the server evaluates for one group of checks
_SHAPES = (
    "A",
    "a",
    "AB",
    "ABC",
    "0",
    "123",
    "user@example.com",
    "https://user.example.com/",
    "a-b",
)


def _choices(
    filling: Filling, table: Table, name: str, checks: list[str], rows: list[Row]
) -> list[Any]:
    """Return candidates for a column: the planned values, ours, those in the checks."""
    column = table.column(name)
    assert column is not None
    found: list[Any] = [row[name] for row in rows if row[name] is not UNSET]
    if is_free(table, name):
        found += [*candidates(column), *mined(column, " ".join(checks))]
        found += [None] if column.nullable else []
    return list(dict.fromkeys(found))


def mined(column: Column, text: str) -> list[Any]:
    """Return values made of the numbers and strings in an expression."""
    strings = list(strings_in(text))
    numbers = {Decimal(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", without_strings(text))}
    if column.kind in ("integer", "numeric", "float", "boolean"):
        numbers |= {Decimal(s) for s in strings if re.fullmatch(r"-?\d+(\.\d+)?", s)}
        step = Decimal(1).scaleb(-(column.scale or 0))
        near = [number + more for number in sorted(numbers) for more in (0, step, -step)]
        return [int(n) for n in near] if column.kind == "integer" else near
    if column.kind not in ("text", "char"):
        return strings
    lengths = sorted({int(n) + more for n in numbers if 0 < n <= 500 for more in (-1, 0, 1)})
    plain = [s.replace("%", "").replace("_", "x").strip("^$") for s in strings]
    own = re.sub(r"\W", "", column.of).lower() or "user"
    shapes = [shape.replace("user", own) for shape in _SHAPES]
    texts = [*strings, *plain, *(s.replace("%", "x") for s in strings), *shapes]
    texts += [
        start.ljust(n, letter)[:n] for n in lengths for start in ["", *plain] for letter in "aA1"
    ]
    return [text for text in texts if not column.length or len(text) <= column.length]


def _combinations(choices: list[list[Any]], random_: random.Random) -> list[Any]:
    """Combine candidates: all combinations, or some."""
    if math.prod(map(len, choices)) <= _MOST:
        return list(itertools.product(*choices))
    some = [tuple(choice[n % len(choice)] for choice in choices) for n in range(_MOST // 3)]
    some += [tuple(random_.choice(choice) for choice in choices) for _ in range(2 * _MOST // 3)]
    return list(dict.fromkeys(some))


def _allowed(connection: Connection, table: Table, groups: list[Any]) -> list[list[int]]:
    """Return the combinations that satisfy the checks, in one statement if the server can."""
    try:
        found = _evaluate(connection, table, groups)
    except DBAPIError:
        if len(groups) == 1:
            # A bounded search.
            return [list(itertools.islice(_one_by_one(connection, table, *groups[0]), 6))]
        return [_allowed(connection, table, [one])[0] for one in groups]
    return [[n for at, n in found if at == number] for number in range(len(groups))]


def _one_by_one(
    connection: Connection, table: Table, group: Any, checks: Any, combinations: list[Any]
) -> Iterator[int]:
    """Yield combinations that satisfy the checks without an error."""
    for number, combination in enumerate(combinations[:48]):
        with suppress(DBAPIError):
            if _evaluate(connection, table, [(group, checks, [combination])]):
                yield number


def _evaluate(connection: Connection, table: Table, groups: list[Any]) -> list[Any]:
    if not groups:
        return []
    server, parts = server_of(connection), []

    def cast(name: str, value: Any) -> str:
        column = table.column(name)
        literal = literal_of(server, value, column)
        return f"CAST({literal} AS {column.type})" if server.casts and column else literal

    for at, (group, checks, combinations) in enumerate(groups):
        names = ", ".join(identifier(connection, name) for name in group)
        rows = " UNION ALL ".join(
            f"SELECT {number}, {', '.join(map(cast, group, values))}"
            for number, values in enumerate(combinations)
        )
        where = " AND ".join(f"({check}) IS NOT FALSE" for check in checks)
        number = identifier(connection, "row number")
        parts.append(
            f"SELECT {at}, t.{number} FROM"
            f" (WITH c({number}, {names}) AS ({rows}) SELECT * FROM c) t WHERE {where}"
        )
    with savepoint(connection):
        return ask(connection, " UNION ALL ".join(parts) + " ORDER BY 1, 2")
