"""``bulk_insert(key=...)``: insert the rows whose keys are missing."""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import alembic.op
import sqlalchemy as sa
from alembic.util import CommandError

from alembic_toolkit.verbs.ask import ask_all, inspected_columns
from alembic_toolkit.verbs.errors import MissingParent, at_place, stop
from alembic_toolkit.verbs.passed import PASSED, is_passed
from alembic_toolkit.verbs.recorded import recorded
from alembic_toolkit.verbs.refused import refusals, refused_sql
from alembic_toolkit.verbs.require import require_tables
from alembic_toolkit.verbs.running import current_connection, migration_context
from alembic_toolkit.verbs.script import compiled
from alembic_toolkit.verbs.texts import require_values
from alembic_toolkit.verbs.values import Database, Step
from alembic_toolkit.verbs.words import log_line, log_skip, meant

ROWS_AT_ONCE = 200  # looked up by one query


def placed(database: Database, table: sa.Table | sa.TableClause) -> sa.Table | sa.TableClause:
    """Return the table in its real schema: SQLAlchemy translates only that of a ``Table``."""
    real = database.real_schema(table.schema)
    if isinstance(table, sa.Table) or real == table.schema:
        return table
    columns = [sa.column(c.name, c.type) for c in table.columns]
    return sa.table(table.name, *columns, schema=real)


def require_rows(table: Any, rows: Any, keys: list[str]) -> None:
    """Refuse, before any change, rows that cannot be looked up."""
    if not isinstance(rows, list):
        raise TypeError("List expected")
    lacking = [f"table {table.name}"] if not keys or set(keys) - set(table.c.keys()) else []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise TypeError("List of dictionaries expected")
        lacking += [f"row {number}"] if set(keys) - row.keys() else []
        if unknown := sorted(row.keys() - set(table.c.keys())):
            lacking.append(f"table {table.name}: it has no {', '.join(unknown)} of row {number},")
    if lacking:
        call = f"bulk_insert({table.fullname!r}, ..., key={keys!r})"
        raise CommandError(
            f"{at_place(call)}: no such column in {lacking[0]}.\n"
            f"  table has:       {', '.join(table.c.keys())}\n"
            f"  revision wants:  {', '.join(keys) or 'no column'} as the key\n"
            "Stopped, because without the key it is unknown which rows exist.\n"
            "What to do next:\n"
            f"    helpers.bulk_insert({table.name}, rows, key=[...])  # columns that each row has"
        )


def insert_plainly(table: Any, rows: Any, multiinsert: bool) -> None:
    """Insert the rows as Alembic does."""
    offline = migration_context().as_sql
    into = with_types(table, rows) if offline else table
    insert = partial(alembic.op.bulk_insert, into, rows, multiinsert=multiinsert)
    with refused_sql(f"bulk_insert({table.fullname!r}, ...)"):
        if offline:
            return insert()
        recorded(current_connection(), inserting(table, rows), insert)


def with_types(table: Any, rows: Any) -> Any:
    """Give untyped columns the types of their values, which a script needs to write them."""
    types = {column.name: column.type for column in table.columns}
    for row in rows:
        for name, value in row.items():
            if value is not None and isinstance(types.get(name), sa.types.NullType):
                types[name] = sa.literal(value).type
    columns = [sa.column(name, type_) for name, type_ in types.items()]
    is_typed = not any(isinstance(column.type, sa.types.NullType) for column in table.columns)
    return table if is_typed else sa.table(table.name, *columns, schema=table.schema)


def inserting(table: Any, rows: Any) -> str:
    """Return the call without its values, which may differ each time."""
    return f"bulk_insert({table.fullname!r}, {list(table.c.keys())}, {len(rows)} rows)"


def insert_missing(
    step: Step, table: Any, rows: Any, key: Sequence[str], multiinsert: bool
) -> None:
    """Insert the rows whose keys are missing."""
    keys = list(key)
    require_rows(table, rows, keys)
    sql = (v for row in rows for v in row.values() if isinstance(v, sa.ClauseElement))
    require_values(f"bulk_insert({table.name!r}, ..., key={keys!r})", *sql)
    if step.is_plain:
        return insert_plainly(table, rows, multiinsert)
    if step.offline:
        for row in rows:
            step.write(guarded_insert(step.database, table, row, keys))
        return
    insert = partial(look_and_insert, step, table, rows, keys, multiinsert)
    recorded(step.database.connection, inserting(table, rows), insert)


def look_and_insert(
    step: Step, table: Any, rows: list[dict[str, Any]], keys: list[str], multiinsert: bool
) -> None:
    inserted = 0
    if is_passed(step):
        return log_skip(step, PASSED)
    if rows:
        require_columns(step, table, keys, rows)
    for turn in rounds(rows, keys):
        for start in range(0, len(turn), ROWS_AT_ONCE):
            some = turn[start : start + ROWS_AT_ONCE]
            there = [key_is_there(table, row, keys).label(f"c{n}") for n, row in enumerate(some)]
            found = step.database.connection.execute(sa.select(*there)).one()
            missing = [row for row, is_there in zip(some, found, strict=True) if not is_there]
            inserted += len(missing)
            for batch, plain in alike(missing):
                with refusals(step):
                    step.operations.bulk_insert(table, batch, multiinsert=multiinsert and plain)
    if inserted:
        log_line(f"inserted {inserted} of {len(rows)} rows into {table.fullname}")
    else:
        log_line(f"skip bulk_insert on {table.fullname}: all {len(rows)} rows are there")


def require_columns(
    step: Step, table: Any, keys: list[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Refuse a table, or a column of it, that does not exist in the database."""
    named = dict.fromkeys([*keys, *(name for row in rows for name in row)])
    columns = [table.c[name] for name in named]
    kinds = [step.question("table"), step.question("view")]  # both accept inserts
    asked = [step.question("column", column.name) for column in columns]
    found = ask_all(step.database, [*kinds, *asked])
    if all(there is None for there in found[: len(kinds)]):
        require_tables(step, kinds, [None])
    for column, there in zip(columns, found[len(kinds) :], strict=True):
        if there is None:
            known = inspected_columns(step.database, table.name, table.schema)
            near = meant(column.name, [one["name"] for one in known])
            is_key = column.key in keys
            wanted = f"{', '.join(keys)} as the key" if is_key else f"values for {column.name}"
            stop(
                MissingParent,
                f"bulk_insert({table.fullname!r}, ...): there is no such column.{near}",
                (f"no column {column.name} in {table.name}", wanted),
                "Stopped, because without the key it is unknown which rows exist."
                if is_key
                else "Stopped, because there is nothing to write to.",
                f"helpers.add_column({table.name!r}, sa.Column({column.name!r}, ...))  # before",
            )


def rounds(rows: list[dict[str, Any]], keys: list[str]) -> list[list[dict[str, Any]]]:
    """Split rows so that no two of a round can have the same key on any server.

    The second of two similar rows is looked up after the first one has been inserted.
    """
    turns: list[list[dict[str, Any]]] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        alike = tuple(loose_text(row[key]) for key in keys)
        turns += [[]] if seen[alike] == len(turns) else []
        turns[seen[alike]].append(row)
        seen[alike] += 1
    return turns


def loose_text(value: Any) -> str:
    """Return a text that is the same for all values that a server may treat as equal."""
    if isinstance(value, sa.BindParameter):
        value = value.value
    if isinstance(value, (int, float, Decimal)) and math.isfinite(value):
        return str(int(value)) if value == int(value) else f"{float(value):.12g}"
    letters = unicodedata.normalize("NFKD", str(value)).casefold()
    return "".join(c for c in letters if c.isalnum()) or letters  # no accents, no spaces


def key_is_there(table: Any, row: dict[str, Any], keys: list[str]) -> Any:
    same = [
        table.c[key].is_(None) if row[key] is None else table.c[key] == row[key] for key in keys
    ]
    return sa.exists(sa.select(sa.literal_column("1")).select_from(table).where(*same))


def alike(rows: list[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], bool]]:
    """Split rows into batches with the same columns; tell for each whether it has only values."""
    for names, batch in itertools.groupby(rows, key=dict.keys):
        same = list(batch)
        yield same, not any(isinstance(row[n], sa.ClauseElement) for row in same for n in names)


def guarded_insert(database: Database, table: Any, row: dict[str, Any], keys: list[str]) -> str:
    """Return an INSERT of one row that does nothing if its key exists."""
    filled = python_defaults(table, row) | row
    values = {name: as_literal(database, table.c[name], value) for name, value in filled.items()}
    key = {k: None if row[k] is None else values[k] for k in keys}
    new = sa.select(*values.values()).where(~key_is_there(table, key, keys))
    insert = table.insert().from_select(list(values), new, include_defaults=False)
    return compiled(database, insert, "bulk_insert")


def python_defaults(table: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults that SQLAlchemy would fill in: a script would write NULL instead."""
    defaults = {c.key: getattr(c, "default", None) for c in table.c if c.key not in row}
    return {
        key: default.arg(None) if default.is_callable else default.arg
        for key, default in defaults.items()
        if default is not None and not default.is_sequence
    }


def as_literal(database: Database, column: Any, value: Any) -> Any:
    if isinstance(value, sa.ClauseElement):
        return value
    if isinstance(value, (bytes, bytearray)):
        return sa.literal_column(database.server.bytes_literal.format(value.hex()))
    typed = None if isinstance(column.type, sa.types.NullType) else column.type
    if isinstance(typed, sa.JSON) and not (value is None and typed.none_as_null):
        dialect: Any = database.dialect
        return sa.literal((dialect._json_serializer or json.dumps)(value), sa.String())
    return sa.null() if value is None and typed is None else sa.literal(value, typed)
