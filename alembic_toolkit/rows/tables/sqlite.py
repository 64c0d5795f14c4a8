"""Read descriptions of tables from SQLite."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import fetch, identifier
from alembic_toolkit.rows.tables.table import Column, ForeignKey, Table, grouped, names_in, typed
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
    columns, foreign, uniques = (
        grouped(fetch(connection, query.format(where=where)))
        for query in (_COLUMNS, _FOREIGN, _UNIQUES)
    )
    real = {name.lower(): name for (name,) in fetch(connection, _NAMES)}
    return [
        Table(
            name,
            identifier(connection, name),
            columns=tuple(_columns(columns[name])),
            primary=_primary(columns[name]),
            uniques=tuple(_uniques(uniques.get(name, []), columns[name])),
            foreign=tuple(_keys(foreign.get(name, []), real)),
            checks=tuple(_checks(sql or "")),
        )
        for name, sql in source.items()
    ]


_COLUMNS = """
SELECT m.name, x.name, x.type, x."notnull", x.dflt_value, x.pk, x.hidden
FROM sqlite_master m, pragma_table_xinfo(m.name) x WHERE {where} ORDER BY m.name, x.cid"""
_FOREIGN = """
SELECT m.name, f.id, f."from", f."table", f."to"
FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE {where}
ORDER BY m.name, f.id, f.seq"""
_UNIQUES = """
SELECT m.name, l.name, i.name, s.sql
FROM sqlite_master m, pragma_index_list(m.name) l JOIN pragma_index_info(l.name) i
LEFT JOIN sqlite_master s ON s.name = l.name AND s.type = 'index'
WHERE l."unique" AND {where} ORDER BY m.name, l.name, i.seqno"""
_NAMES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def _primary(columns: list[Any]) -> tuple[str, ...]:
    return tuple(row[0] for row in sorted(columns, key=lambda row: row[4]) if row[4])


def _keys(found: list[Any], real: Mapping[str, str]) -> Iterator[ForeignKey]:
    for number, rows in grouped(found).items():
        columns, targets, to = zip(*rows, strict=True)
        target = real.get(targets[0].lower(), targets[0])
        yield ForeignKey(str(number), columns, target, () if None in to else to)


def _uniques(found: list[Any], columns: list[Any]) -> Iterator[tuple[str, ...]]:
    for rows in grouped(found).values():
        names = [name for name, _ in rows if name is not None]
        if len(names) < len(rows):  # an expression: whatever it names
            names = names_in(rows[0][1] or "", [row[0] for row in columns])
        yield tuple(names)


def _columns(found: list[Any]) -> Iterator[Column]:
    primary = _primary(found)
    for name, type_, notnull, default, pk, hidden in found:
        if hidden == 1:
            continue
        nullable, generated = not notnull and not pk, hidden in (2, 3)
        column = typed(Column(name, type_, nullable=nullable, default=default, generated=generated))
        column = replace(column, serial=primary == (name,) and type_.upper() == "INTEGER")
        # FLOAT is a double there, a type that SQLite does not know is what the value is, and CHAR
        # keeps the spaces at the end. https://sqlite.org/datatype3.html
        if column.kind == "float":
            column = replace(column, precision=15)
        yield replace(column, kind="text") if column.kind in ("other", "char") else column


def _checks(sql: str) -> Iterator[str]:
    """Yield the expression in the parentheses after each CHECK."""
    tokens = tokenize(sql)
    for at, token in enumerate(tokens):
        if token.upper() == "CHECK":
            rest = tokens[at:]
            yield "".join(rest[rest.index("(") + 1 : closing_parenthesis(rest)])
