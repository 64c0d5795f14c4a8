"""Read what tables are from SQLite."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import fetch, identifier
from alembic_toolkit.rows.tables.table import (
    Column,
    ForeignKey,
    Table,
    names_in,
    typed,
)
from alembic_toolkit.sql.quoting import literal
from alembic_toolkit.sql.tokens import closing_parenthesis, tokenize


def look(connection: Connection, names: Collection[str] | None) -> list[Table]:
    # https://www.sqlite.org/pragma.html#pragfunc
    where = "m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    if names is not None:
        listed = ", ".join(literal(name) for name in names)
        where += f" AND m.name COLLATE NOCASE IN ({listed})"
    source = {
        name: sql
        for name, sql in fetch(connection, f"SELECT name, sql FROM sqlite_master m WHERE {where}")
        if not re.match(r"\s*CREATE\s+VIRTUAL", sql or "", re.I)
    }
    columns = _grouped(
        connection,
        'SELECT m.name, x.name, x.type, x."notnull", x.dflt_value, x.pk, x.hidden FROM'
        f" sqlite_master m, pragma_table_xinfo(m.name) x WHERE {where} ORDER BY m.name, x.cid",
    )
    foreign = _grouped(
        connection,
        'SELECT m.name, f.id, f."from", f."table", f."to" FROM sqlite_master m,'
        f" pragma_foreign_key_list(m.name) f WHERE {where} ORDER BY m.name, f.id, f.seq",
    )
    uniques = _grouped(
        connection,
        "SELECT m.name, l.name, i.name, s.sql FROM sqlite_master m, pragma_index_list(m.name) l"
        " JOIN pragma_index_info(l.name) i LEFT JOIN sqlite_master s ON s.name = l.name AND"
        f" s.type = 'index' WHERE l.\"unique\" AND {where} ORDER BY m.name, l.name, i.seqno",
    )
    real = {name.lower(): name for (name,) in fetch(connection, _NAMES)}
    return [
        _table(
            connection,
            name,
            sql,
            columns.get(name, []),
            _keys(foreign.get(name, []), real),
            uniques.get(name, []),
        )
        for name, sql in source.items()
    ]


_NAMES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def _grouped(connection: Connection, sql: str) -> dict[str, list[Any]]:
    """Ask, and put the answer into lists by the first column."""
    found: dict[str, list[Any]] = {}
    for first, *rest in fetch(connection, sql):
        found.setdefault(first, []).append(rest)
    return found


def _keys(found: list[Any], real: Mapping[str, str]) -> tuple[ForeignKey, ...]:
    keys = []
    for number, group in itertools.groupby(found, key=lambda row: row[0]):
        rows = list(group)
        target = real.get(rows[0][2].lower(), rows[0][2])
        columns, to = tuple(row[1] for row in rows), tuple(row[3] for row in rows)
        keys.append(ForeignKey(str(number), columns, target, () if None in to else to))
    return tuple(keys)


def _table(
    connection: Connection,
    name: str,
    sql: str,
    columns: list[Any],
    foreign: tuple[ForeignKey, ...],
    uniques: list[Any],
) -> Table:
    primary = [row[0] for row in sorted(columns, key=lambda row: row[4]) if row[4]]
    sets: list[tuple[str, ...]] = []
    for _, group in itertools.groupby(uniques, key=lambda row: row[0]):
        rows = list(group)
        found = [row[1] for row in rows if row[1] is not None]
        if len(found) < len(rows):  # an expression: whatever it names
            found = names_in(rows[0][2] or "", [row[0] for row in columns])
        sets.append(tuple(found))
    return Table(
        name,
        identifier(connection, name),
        tuple(_column(row, primary) for row in columns if row[5] != 1),
        tuple(primary),
        tuple(sets),
        foreign,
        tuple(_checks(sql or "")),
    )


def _column(row: Any, primary: list[str]) -> Column:
    name, type_, notnull, default, pk, hidden = row
    serial = primary == [name] and type_.upper() == "INTEGER"
    column = Column(
        name, type_, nullable=not notnull and not pk, default=default, generated=hidden in (2, 3)
    )
    column = replace(typed(column), serial=serial)
    # FLOAT is a double there, a type that SQLite does not know is what the value is, and CHAR keeps
    # the spaces at the end. https://sqlite.org/datatype3.html
    if column.kind == "float":
        column = replace(column, precision=15)
    return replace(column, kind="text") if column.kind in ("other", "char") else column


def _checks(sql: str) -> Iterator[str]:
    """Yield what stands in the parentheses after each CHECK."""
    tokens = tokenize(sql)
    for at, token in enumerate(tokens):
        if token.upper() == "CHECK":
            rest = tokens[at:]
            yield "".join(rest[rest.index("(") + 1 : closing_parenthesis(rest)])
