"""Read rows by value: values equal for the server are equal here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import fetch, identifier
from alembic_toolkit.rows.content import Content, Rows
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import Table


def read(connection: Connection, tables: Mapping[str, Table]) -> Rows:
    """Read every row of these tables, by value: values equal for the server are equal here."""
    found = {}
    for name, table in tables.items():
        source = f"ONLY {table.sql}" if table.only else table.sql
        rows = _fetch(connection, f"SELECT {every_column(connection, table)} FROM {source}")
        found[name] = content(table, by_value(table, rows))
    return found


def _fetch(connection: Connection, sql: str) -> list[Any]:
    """Fetch rows; SQLite stores any bytes as a string: invalid UTF-8 is replaced."""
    try:
        return fetch(connection, sql)
    except Exception as error:  # the driver's own
        if "Could not decode to UTF-8" not in str(error):
            raise
    driver: Any = connection.connection.driver_connection
    before = driver.text_factory
    driver.text_factory = lambda found: found.decode("utf-8", "replace")
    try:
        return fetch(connection, sql)
    finally:
        driver.text_factory = before


def content(table: Table, rows: list[tuple[Any, ...]]) -> Content:
    """Put the rows of a table in order."""
    positions = [at for at, name in enumerate(table.names) if name in table.primary]
    positions = positions or [*range(len(table.columns))]
    if len(positions) == 1:
        [at] = positions
        return Content(table, sorted(rows, key=lambda row: _order(row[at])))
    return Content(table, sorted(rows, key=lambda row: [_order(row[n]) for n in positions]))


def every_column(connection: Connection, table: Table) -> str:
    """Write what selects all columns of a table of this server."""
    kept = vars(table)  # as `cached_property` does: a table is read after each step
    if "selected" not in kept:
        kept["selected"] = _every_column(connection, table)
    return str(kept["selected"])


def _every_column(connection: Connection, table: Table) -> str:
    select = server_of(connection).selected
    columns = (select(identifier(connection, column.name), column) for column in table.columns)
    return ", ".join(columns) or "NULL"


def by_value(table: Table, answer: list[Any]) -> list[tuple[Any, ...]]:
    if not table.columns:
        return [() for _ in answer]
    makers = [_BY_KIND.get(column.kind, plain) for column in table.columns]
    columns = (
        _made(make, values) for make, values in zip(makers, zip(*answer, strict=True), strict=False)
    )
    return [*zip(*columns, strict=True)]


def _made(make: Callable[[Any], Any], values: Sequence[Any]) -> Sequence[Any]:
    if make is plain and {*map(type, values)} <= _PLAIN:
        return values
    return [None if value is None else make(value) for value in values]


_PLAIN = {str, type(None)}


def same(one: Rows, other: Rows) -> bool:
    """Return whether tables and rows are equal, in any order of columns."""
    return one.keys() == other.keys() and all(
        content == other[name] or _unordered(content) == _unordered(other[name])
        for name, content in one.items()
    )


def _unordered(content: Content) -> Any:
    table = content.table
    places = sorted(range(len(table.columns)), key=lambda at: table.columns[at].name)
    rows = Counter(tuple(row[at] for at in places) for row in content.rows)
    keys = {(key.columns, key.target, key.target_columns) for key in table.foreign}
    sets = ({*part} for part in (table.columns, table.primary, table.uniques, table.checks))
    return [table.name, *sets, keys, rows]


def _order(value: Any) -> Any:
    if isinstance(value, Decimal) and not value.is_nan():
        return (1, value, "")
    return (0, 0, "") if value is None else (2, 0, str(value))


def plain(value: Any) -> Any:
    if type(value) is str:  # most are, or numbers
        return value
    if type(value) is int:
        return Decimal(value)
    if isinstance(value, bool | int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return number if number.is_finite() else str(number)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return value if isinstance(value, str) else str(value)


def _moment(value: Any) -> Any:
    """Return a date or time without a fraction of zeros, and without the T."""
    text = plain(value)
    if not isinstance(text, str) or not ("T" in text or "." in text):
        return text
    text = re.sub(r"^(\d+-\d+-\d+)T", r"\1 ", text)
    return re.sub(r"(\.\d*[1-9])0+$|\.0+$", r"\1", text)


def same_json(value: Any) -> Any:
    try:
        return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return plain(value)


# The functions that make fetched values of a kind comparable; for all others: `plain`.
_BY_KIND: dict[str, Callable[[Any], Any]] = {
    "char": lambda value: value.rstrip(" ") if isinstance(value, str) else plain(value),
    "datetime": _moment,
    "datetimetz": _moment,
    "time": _moment,
    "json": same_json,
}
