"""Read descriptions of tables from PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import fetch, identifier
from alembic_toolkit.rows.tables.table import Column, ForeignKey, Table, names_in, typed
from alembic_toolkit.schema.postgresql import prepare
from alembic_toolkit.sql import quoting
from alembic_toolkit.sql.pinned import pinned

# https://www.postgresql.org/docs/current/catalogs.html
# Columns and what is on them in one statement, for each costs a message to the server: schema,
# table, "column" or the type of constraint, what it is ordered by, and the rest.
_LOOK = """
SELECT n.nspname, c.relname, 'column', to_char(a.attnum, '00000'), jsonb_build_array(
         n.nspname = current_schema(), c.relkind = 'r', a.attname,
         format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
         a.attidentity, a.attgenerated,
         (CASE WHEN t.typelem = 0 THEN t.oid ELSE t.typelem END)::bigint,
         e.typtype IN ('d', 'e') OR t.typtype IN ('d', 'e'), t.oid::bigint)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
LEFT JOIN LATERAL (  -- by its index, however small the catalog is when this is planned
  SELECT adbin, adrelid FROM pg_attrdef WHERE adrelid = a.attrelid AND adnum = a.attnum OFFSET 0
) d ON true
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {where}
UNION ALL
SELECT n.nspname, c.relname, k.contype::text, k.conname, jsonb_build_array(
         (SELECT array_agg(a.attname ORDER BY u.o) FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n),
         fn.nspname, f.relname,
         (SELECT array_agg(a.attname ORDER BY u.o) FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n),
         pg_get_expr(k.conbin, k.conrelid), fn.nspname = current_schema())::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.contype IN ('p', 'u', 'f', 'c') AND {where}
UNION ALL
SELECT n.nspname, c.relname, 'i', '', jsonb_build_array(
         (SELECT array_agg(a.attname ORDER BY u.o)
          FROM unnest(x.indkey::int2[]) WITH ORDINALITY u(n, o)
          JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.n
          WHERE u.o <= x.indnkeyatts),
         NULL, NULL, NULL, pg_get_expr(x.indexprs, x.indrelid), NULL)::text
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE x.indisunique AND {where}"""
_TYPES = pinned("""
SELECT t.oid::bigint, t.typbasetype::bigint, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
       (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e
        WHERE e.enumtypid = t.oid),
       (SELECT array_agg(pg_get_expr(k.conbin, 0)) FROM pg_constraint k
        WHERE k.contypid = t.oid AND k.contype = 'c')
FROM pg_type t WHERE t.typtype IN ('d', 'e')
AND t.typnamespace <> 'information_schema'::regnamespace
""")
_ALL = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"


# By oid, so that the catalogs' indexes are used.
_NAMED = "c.oid = ANY (ARRAY(SELECT to_regclass(x)::oid FROM unnest($1) x))"
_PREPARED = "alembic_toolkit_tables"


def look(connection: Connection, names: Collection[str] | None) -> list[Table]:
    columns: dict[Any, list[Any]] = {}
    keys: dict[Any, list[Any]] = {}
    for schema, name, kind, place, rest in sorted(_ask(connection, names)):
        found = columns if kind == "column" else keys
        found.setdefault((schema, name), []).append([kind, place, *json.loads(rest)])
    types = {}
    if any(column[11] for group in columns.values() for column in group):
        types = {row[0]: row for row in fetch(connection, _TYPES)}
    return [
        _table(connection, key, group, types, keys.get(key, [])) for key, group in columns.items()
    ]


def _ask(connection: Connection, names: Collection[str] | None) -> list[Any]:
    if names is None:
        connection.info.pop(_PREPARED, None)  # DISCARD ALL may have removed it
        return fetch(connection, pinned(_LOOK.format(where=_ALL)))
    look = pinned(_LOOK.format(where=_NAMED))
    prepare(connection, _PREPARED, "pg_catalog.text[]", look, "ARRAY[]::pg_catalog.text[]")
    quoted = {identifier(connection, name) for name in names}
    # A dot may be a part of the name.
    quoted |= {identifier(connection, *name.split(".", 1)) for name in names if "." in name}
    listed = ", ".join(quoting.postgresql_literal(name) for name in sorted(quoted))
    return fetch(connection, f"EXECUTE {_PREPARED} (ARRAY[{listed}])")


def _table(
    connection: Connection,
    key: tuple[str, str],
    rows: list[Any],
    types: Mapping[int, Any],
    keys: list[Any],
) -> Table:
    schema, name = key
    default, plain = rows[0][2:4]
    columns, checks = [], [key[6] for key in keys if key[0] == "c"]
    for row in rows:
        column, more = _column(row, types)
        columns.append(column)
        checks += more
    names = [column.name for column in columns]
    return Table(
        name if default else f"{schema}.{name}",
        identifier(connection, schema, name),
        tuple(columns),
        next((tuple(key[2]) for key in keys if key[0] == "p"), ()),
        tuple(
            tuple(dict.fromkeys([*(key[2] or ()), *names_in(key[6] or "", names)]))
            for key in keys
            if key[0] in "ui"
        ),
        tuple(
            ForeignKey(
                key[1], tuple(key[2]), key[4] if key[7] else f"{key[3]}.{key[4]}", tuple(key[5])
            )
            for key in keys
            if key[0] == "f"
        ),
        tuple(checks),
        plain,
    )


def _column(row: Any, types: Mapping[int, Any]) -> tuple[Column, list[str]]:
    name, type_, notnull, default, identity, generated, element, _, oid = row[4:13]
    checks: list[str] = []
    while oid in types and not types[oid][4]:  # a domain: the type below, and its checks
        _, oid, type_, required, _, found = types[oid]
        element, notnull = oid, notnull or required
        quoted = quoting.identifier('"', name).replace("\\", r"\\")
        checks += [re.sub(r"\bVALUE\b", quoted, check) for check in found or ()]
    labels = tuple(types[element][4] or ()) if element in types else ()
    column = Column(
        name,
        type_,
        nullable=not notnull,
        default=default,
        serial=bool(identity) or re.match(r'"?nextval"?\(', default or "") is not None,
        always=identity == "a",
        generated=bool(generated),
        labels=labels,
    )
    return typed(column), checks
