"""Read descriptions of tables from MariaDB and MySQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import fetch, identifier
from alembic_toolkit.database.servers import is_mariadb
from alembic_toolkit.rows.tables.table import Column, ForeignKey, Table, grouped, typed
from alembic_toolkit.sql.quoting import mysql_literal
from alembic_toolkit.sql.show_create import as_meant


def look(connection: Connection, names: Collection[str] | None) -> list[Table]:
    # https://mariadb.com/kb/en/information-schema-tables/
    database = fetch(connection, "SELECT database()")[0][0]
    wanted = [(database, "")]
    if names is not None:  # a dot may be a part of the name
        wanted = [(database, name) for name in names]
        wanted += [(*name.split(".", 1),) for name in names if "." in name]  # type: ignore[misc]
    mariadb = is_mariadb(connection.dialect)
    queries = _QUERIES | {"checks": _MARIADB_CHECKS if mariadb else _CHECKS}
    found = _ask(connection, queries, wanted)
    return [
        _table(
            connection, key, key[0] == database, {kind: found[kind].get(key, []) for kind in found}
        )
        for key in found["columns"]
        if key in found["tables"]
    ]


# Each: schema, table, what it is ordered by, and the rest. A join of the first two is slow.
_QUERIES = {
    "tables": """SELECT c.table_schema, c.table_name, 0 FROM information_schema.tables c
WHERE c.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND {c}""",
    "columns": """SELECT c.table_schema, c.table_name, c.ordinal_position, c.column_name,
c.column_type, c.is_nullable, c.column_default, c.extra, c.character_set_name,
c.generation_expression FROM information_schema.columns c WHERE {c}""",
    "keys": """SELECT c.table_schema, c.table_name, c.ordinal_position, c.constraint_name,
c.column_name, c.referenced_table_schema, c.referenced_table_name, c.referenced_column_name
FROM information_schema.key_column_usage c WHERE c.referenced_table_name IS NOT NULL AND {c}""",
    "uniques": """SELECT c.table_schema, c.table_name, c.seq_in_index, c.index_name, c.column_name
FROM information_schema.statistics c WHERE c.non_unique = 0 AND {c}""",
}
_MARIADB_CHECKS = """SELECT c.constraint_schema, c.table_name, 0, c.check_clause
FROM information_schema.check_constraints c WHERE {k}"""
_CHECKS = """SELECT c.table_schema, c.table_name, 0, k.check_clause
FROM information_schema.table_constraints c JOIN information_schema.check_constraints k
ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name
WHERE c.constraint_type = 'CHECK' AND {c}"""
_WIDTH = 10  # columns of the widest


def _ask(
    connection: Connection, queries: Mapping[str, str], wanted: list[tuple[str, str]]
) -> dict[str, dict[Any, list[Any]]]:
    """Ask for all tables of a database, or for each one by its name: only then no file is read.

    All in one statement, for each costs a message to the server and back.
    """
    # https://mariadb.com/kb/en/optimizing-for-latest-and-order-by-and-information-schema-queries/
    parts = []
    for schema, table in wanted:
        name = f" AND c.table_name = {mysql_literal(table)}" if table else ""
        where, constraint = (
            f"c.{column} = {mysql_literal(schema)}{name}"
            for column in ("table_schema", "constraint_schema")
        )
        for kind, sql in queries.items():
            head, _, rest = sql.format(c=where, k=constraint).partition("FROM ")
            nulls = ", NULL" * (_WIDTH - 1 - head.count(","))
            parts.append(f"SELECT '{kind}', {head.strip()[7:]}{nulls} FROM {rest}")
    found: dict[str, dict[Any, list[Any]]] = {kind: {} for kind in queries}
    rows = fetch(connection, " UNION ALL ".join(parts))
    # A key or an index by its name, its columns by their order.
    for row in sorted(rows, key=lambda r: ("" if r[0] == "columns" else str(r[4]), int(r[3]))):
        found[row[0]].setdefault((row[1], row[2]), []).append(list(row[4:]))
    return found


def _table(
    connection: Connection, key: tuple[str, str], default: bool, found: Mapping[str, list[Any]]
) -> Table:
    schema, name = key
    mariadb = is_mariadb(connection.dialect)
    uniques = {
        unique: tuple(row[0] for row in rows if row[0] is not None)
        for unique, rows in grouped(found["uniques"]).items()
    }
    foreign = []
    for constraint, rows in grouped(found["keys"]).items():
        columns, schemas, targets, target_columns, *_ = zip(*rows, strict=True)
        ours = default and schemas[0] == schema
        target = targets[0] if ours else f"{schemas[0]}.{targets[0]}"
        foreign.append(ForeignKey(constraint, columns, target, target_columns))
    checks = [row[0] if mariadb else as_meant(row[0]) for row in found["checks"]]
    json_ = {c for check in checks for c in re.findall(r"^json_valid\(`(.+)`\)$", check)}
    return Table(
        name if default else f"{schema}.{name}",
        identifier(connection, *key),
        columns=tuple(_column(row, row[0] in json_) for row in found["columns"]),
        primary=uniques.get("PRIMARY", ()),
        uniques=tuple(uniques.values()),
        foreign=tuple(foreign),
        checks=tuple(check for check in checks if not check.startswith("json_valid(`")),
    )


def _column(row: Any, is_json: bool) -> Column:
    name, type_, nullable, default, extra, charset, generation = row
    column = typed(Column(name, type_, nullable=nullable == "YES", default=default))
    sequence = "nextval(" in (default or "").lower()
    return replace(
        column,
        kind="json" if is_json else column.kind,
        serial="auto_increment" in extra.lower() or sequence,
        generated=bool(generation) or "GENERATED" in extra.replace("DEFAULT_GENERATED", ""),
        volatile="on update" in extra.lower(),
        ascii=charset not in (None, "utf8mb4"),
    )
