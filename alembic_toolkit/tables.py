"""Read what the tables of a database are: what must be known to fill and to read them.

In few statements for all tables, or for those named: a server answers both from its catalogs.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database.driver import fetch, identifier
from alembic_toolkit.database.own import IGNORE
from alembic_toolkit.forms import fits
from alembic_toolkit.schema.postgresql import prepare

# What a table is


@dataclass(frozen=True)
class Column:
    """A column, and what its type can hold."""

    name: str
    type: str  # as the server writes it; of a domain, the type below it
    kind: str = "other"
    nullable: bool = True
    default: str | None = None
    serial: bool = False
    always: bool = False  # GENERATED ALWAYS AS IDENTITY
    generated: bool = False
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    bits: int = 32
    unsigned: bool = False
    labels: tuple[str, ...] = ()
    form: str = ""  # which texts, of `forms`
    ascii: bool = False
    element: Column | None = None
    volatile: bool = False  # every UPDATE of the row changes it


@dataclass(frozen=True)
class ForeignKey:
    """The columns that refer to another table."""

    name: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]  # empty: the primary key


@dataclass(frozen=True)
class Table:
    """What must be known of a table to fill and to read it."""

    name: str  # "table", or "schema.table" outside the default schema
    sql: str  # quoted, for statements
    columns: tuple[Column, ...] = ()
    primary: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    foreign: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()
    only: bool = False  # PostgreSQL: without the rows of tables that inherit

    def column(self, name: str) -> Column | None:
        """Return the column of that name."""
        return next((column for column in self.columns if column.name == name), None)


Tables = dict[str, Table]


def look(
    connection: Connection,
    names: Collection[str] | None = None,
    ignore: Collection[str] = IGNORE,
) -> Tables:
    """Read what the tables are: all of them, or those named ("table", "schema.table")."""
    if names is not None and not names:
        return {}
    reader = {"sqlite": _look_sqlite, "postgresql": _look_postgresql}
    found = reader.get(connection.dialect.name, _look_mysql)(connection, names)
    return {table.name: table for table in found if table.name not in ignore}


def related(tables: Mapping[str, Table], names: Iterable[str]) -> set[str]:
    """Return the names and, in turn, all tables that refer to them: a cascade may reach those."""
    children: dict[str, set[str]] = {}
    for table in tables.values():
        for key in table.foreign:
            children.setdefault(key.target, set()).add(table.name)
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += children.get(name, ())
    return found


def parents(tables: Mapping[str, Table], names: Iterable[str]) -> set[str]:
    """Return the tables that these refer to: `fill` needs their rows."""
    return {key.target for name in names if name in tables for key in tables[name].foreign}


def labelled(
    tables: Tables,
    labels: Mapping[tuple[str, str], tuple[str, ...]],
    forms: Mapping[tuple[str, str], str],
) -> Tables:
    """Say of texts what alone they hold, by table and column."""

    def column(table: Table, one: Column) -> Column:
        key = (table.name.rpartition(".")[2], one.name)
        if one.kind not in ("text", "char") or not (key in labels or key in forms):
            return one
        form = forms.get(key, "")
        form = form if form and fits(form, one.length) else ""
        return replace(one, labels=labels.get(key, ()), form=form)

    if not labels and not forms:
        return tables
    return {
        name: replace(table, columns=tuple(column(table, one) for one in table.columns))
        for name, table in tables.items()
    }


# Types

_KINDS = {
    "integer": "int integer bigint smallint tinyint mediumint int2 int4 int8 serial bigserial",
    "boolean": "boolean bool",
    "numeric": "numeric decimal dec fixed money smallmoney",
    "float": "float real double float4 float8",
    "text": "varchar nvarchar text tinytext mediumtext longtext clob citext string",
    "char": "char character nchar bpchar",
    "binary": "blob tinyblob mediumblob longblob bytea varbinary binary raw",
    "date": "date",
    "datetime": "datetime timestamp",
    "time": "time",
    "interval": "interval",
    "json": "json jsonb",
    "uuid": "uuid",
    "enum": "enum",
    "set": "set",
    "bit": "bit varbit",
    "year": "year",
}
_KIND = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_BITS = {"tinyint": 8, "smallint": 16, "int2": 16, "mediumint": 24, "bigint": 64, "int8": 64}
_TYPE = re.compile(r'^\s*"?([^\W\d]\w*)"?\s*(varying|precision)?\s*(?:\(([^)]*)\))?\s*(.*)$', re.I)


@lru_cache(maxsize=8192)
def _typed(column: Column) -> Column:
    """Say what a column's type can hold, from the text of the type."""
    if column.type.endswith("[]"):
        element = _typed(replace(column, type=column.type[:-2], labels=column.labels))
        return replace(column, kind="array", element=element)
    match = _TYPE.match(column.type)
    if column.labels or match is None:
        return replace(column, kind="enum" if column.labels else "text")
    word, varying, inside, rest = match.groups()
    word, rest = word.lower(), rest.lower()
    kind = _KIND.get(word, "other")
    numbers = [int(number) for number in re.findall(r"\d+", inside or "")]
    if kind in ("enum", "set"):
        return replace(column, kind=kind, labels=strings_in(column.type))
    if word == "tinyint" and numbers == [1]:
        kind = "boolean"
    if varying and kind == "char":
        kind = "text"
    if kind == "datetime" and "with time zone" in rest:
        kind = "datetimetz"
    return replace(_sized(column, word, kind, numbers), unsigned="unsigned" in rest, kind=kind)


def _sized(column: Column, word: str, kind: str, numbers: list[int]) -> Column:
    if kind == "integer":
        return replace(column, bits=_BITS.get(word, 32))
    if kind == "numeric" and word == "money":
        return replace(column, precision=12, scale=2)
    if kind == "numeric":
        precision = numbers[0] if numbers else None
        return replace(column, precision=precision, scale=numbers[1] if len(numbers) > 1 else None)
    if kind == "float":
        single = word in ("real", "float", "float4")
        return replace(column, precision=6 if single else 15)
    if kind in ("datetime", "datetimetz", "time"):
        return replace(column, precision=numbers[0] if numbers else None)
    default = {"char": 1, "bit": 1, "binary": 1 if word == "binary" else None}.get(kind)
    longest = {"tinytext": 255, "tinyblob": 255}.get(word, default)
    return replace(column, length=numbers[0] if numbers else longest)


def strings_in(type_: str) -> tuple[str, ...]:
    return tuple(label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", type_))


# Reading the catalogs


def string(text: str, dialect: str) -> str:
    if dialect in ("mysql", "mariadb"):
        text = text.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"


def _look_sqlite(connection: Connection, names: Collection[str] | None) -> list[Table]:
    # https://www.sqlite.org/pragma.html#pragfunc
    where = "m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    if names is not None:
        listed = ", ".join(string(name, "sqlite") for name in names)
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
    real = {name.lower(): name for (name,) in fetch(connection, _SQLITE_NAMES)}
    return [
        _sqlite_table(
            connection,
            name,
            sql,
            columns.get(name, []),
            _sqlite_keys(foreign.get(name, []), real),
            uniques.get(name, []),
        )
        for name, sql in source.items()
    ]


_SQLITE_NAMES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def _grouped(connection: Connection, sql: str) -> dict[str, list[Any]]:
    """Ask, and put the answer into lists by the first column."""
    found: dict[str, list[Any]] = {}
    for first, *rest in fetch(connection, sql):
        found.setdefault(first, []).append(rest)
    return found


def _sqlite_keys(found: list[Any], real: Mapping[str, str]) -> tuple[ForeignKey, ...]:
    keys = []
    for number, group in itertools.groupby(found, key=lambda row: row[0]):
        rows = list(group)
        target = real.get(rows[0][2].lower(), rows[0][2])
        columns, to = tuple(row[1] for row in rows), tuple(row[3] for row in rows)
        keys.append(ForeignKey(str(number), columns, target, () if None in to else to))
    return tuple(keys)


def _sqlite_table(
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
        tuple(_sqlite_column(row, primary) for row in columns if row[5] != 1),
        tuple(primary),
        tuple(sets),
        foreign,
        tuple(_sqlite_checks(sql or "")),
    )


def _sqlite_column(row: Any, primary: list[str]) -> Column:
    name, type_, notnull, default, pk, hidden = row
    serial = primary == [name] and type_.upper() == "INTEGER"
    column = Column(
        name, type_, nullable=not notnull and not pk, default=default, generated=hidden in (2, 3)
    )
    column = replace(_typed(column), serial=serial)
    # FLOAT is a double there, a type that SQLite does not know is what the value is, and CHAR keeps
    # the spaces at the end. https://sqlite.org/datatype3.html
    if column.kind == "float":
        column = replace(column, precision=15)
    return replace(column, kind="text") if column.kind in ("other", "char") else column


def _sqlite_checks(sql: str) -> Iterator[str]:
    """Return what stands in the parentheses after each CHECK."""
    plain = without_strings(sql)
    for match in re.finditer(r"\bCHECK\s*\(", plain, re.I):
        depth, end = 1, match.end()
        while depth and end < len(plain):
            depth += {"(": 1, ")": -1}.get(plain[end], 0)
            end += 1
        yield sql[match.end() : end - 1]


def without_strings(sql: str) -> str:
    """Blank out strings and comments, and keep every position."""
    pattern = r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/"
    return re.sub(pattern, lambda match: " " * len(match.group()), sql, flags=re.S)


def names_in(text: str, names: Iterable[str]) -> list[str]:
    """Return the names that occur in an expression."""
    plain = without_strings(text)
    return [n for n in names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", plain, re.I)]


# https://www.postgresql.org/docs/current/catalogs.html
# Columns and what is on them in one statement, for each costs a message to the server: schema,
# table, "column" or the type of constraint, what it is ordered by, and the rest.
_PG_LOOK = """
SELECT n.nspname, c.relname, 'column', to_char(a.attnum, '00000'), jsonb_build_array(
         n.nspname = current_schema(), c.relkind = 'r', a.attname,
         format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
         a.attidentity, a.attgenerated, coalesce(nullif(t.typelem, 0), t.oid)::bigint,
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
_PG_TYPES = """
SELECT t.oid::bigint, t.typbasetype::bigint, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
       (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e
        WHERE e.enumtypid = t.oid),
       (SELECT array_agg(pg_get_expr(k.conbin, 0)) FROM pg_constraint k WHERE k.contypid = t.oid)
FROM pg_type t WHERE t.typtype IN ('d', 'e')
AND t.typnamespace <> 'information_schema'::regnamespace
"""
_PG_ALL = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"


# By oid, so that the catalogs' indexes are used.
_PG_NAMED = "c.oid = ANY (ARRAY(SELECT to_regclass(x)::oid FROM unnest($1) x))"
_PG_PREPARED = "alembic_toolkit_tables"


def _look_postgresql(connection: Connection, names: Collection[str] | None) -> list[Table]:
    columns: dict[Any, list[Any]] = {}
    keys: dict[Any, list[Any]] = {}
    for schema, name, kind, place, rest in sorted(_postgresql_ask(connection, names)):
        found = columns if kind == "column" else keys
        found.setdefault((schema, name), []).append([kind, place, *json.loads(rest)])
    types = {}
    if any(column[11] for group in columns.values() for column in group):
        types = {row[0]: row for row in fetch(connection, _PG_TYPES)}
    return [
        _postgresql_table(connection, key, group, types, keys.get(key, []))
        for key, group in columns.items()
    ]


def _postgresql_ask(connection: Connection, names: Collection[str] | None) -> list[Any]:
    if names is None:
        connection.info.pop(_PG_PREPARED, None)  # DISCARD ALL may have removed it
        return fetch(connection, _PG_LOOK.format(where=_PG_ALL))
    look = _PG_LOOK.format(where=_PG_NAMED)
    prepare(connection, _PG_PREPARED, "text[]", look, "ARRAY[]::text[]")
    quoted = {identifier(connection, name) for name in names}
    # A dot may be a part of the name.
    quoted |= {identifier(connection, *name.split(".", 1)) for name in names if "." in name}
    listed = ", ".join(string(name, "postgresql") for name in sorted(quoted))
    return fetch(connection, f"EXECUTE {_PG_PREPARED} (ARRAY[{listed}])")


def _postgresql_table(
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
        column, more = _postgresql_column(row, types)
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


def _postgresql_column(row: Any, types: Mapping[int, Any]) -> tuple[Column, list[str]]:
    name, type_, notnull, default, identity, generated, element, _, oid = row[4:13]
    checks: list[str] = []
    while oid in types and not types[oid][4]:  # a domain: the type below, and its checks
        _, oid, type_, required, _, found = types[oid]
        element, notnull = oid, notnull or required
        quoted = '"' + name.replace('"', '""') + '"'
        checks += [
            re.sub(r"\bVALUE\b", quoted.replace("\\", r"\\"), check) for check in found or ()
        ]
    labels = tuple(types[element][4] or ()) if element in types else ()
    column = Column(
        name,
        type_,
        nullable=not notnull,
        default=default,
        serial=bool(identity) or (default or "").startswith("nextval("),
        always=identity == "a",
        generated=bool(generated),
        labels=labels,
    )
    return _typed(column), checks


def _look_mysql(connection: Connection, names: Collection[str] | None) -> list[Table]:
    # https://mariadb.com/kb/en/information-schema-tables/
    database = fetch(connection, "SELECT database()")[0][0]
    wanted = [(database, "")]
    if names is not None:  # a dot may be a part of the name
        wanted = [(database, name) for name in names]
        wanted += [(*name.split(".", 1),) for name in names if "." in name]  # type: ignore[misc]
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    queries = _MYSQL_QUERIES | {"checks": _MARIADB_CHECKS if mariadb else _MYSQL_CHECKS}
    found = _mysql_ask(connection, queries, wanted)
    columns, keys, uniques, checks = (
        found[kind] for kind in ("columns", "keys", "uniques", "checks")
    )
    return [
        _mysql_table(
            connection,
            key,
            key[0] == database,
            rows,
            keys.get(key, []),
            uniques.get(key, []),
            [row[0] for row in checks.get(key, [])],
        )
        for key, rows in columns.items()
        if key in found["tables"]
    ]


# Each: schema, table, what it is ordered by, and the rest. A join of the first two is slow.
_MYSQL_QUERIES = {
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
_MYSQL_CHECKS = """SELECT c.table_schema, c.table_name, 0, k.check_clause
FROM information_schema.table_constraints c JOIN information_schema.check_constraints k
ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name
WHERE c.constraint_type = 'CHECK' AND {c}"""
_MYSQL_WIDTH = 10  # columns of the widest


def _mysql_ask(
    connection: Connection, queries: Mapping[str, str], wanted: list[tuple[str, str]]
) -> dict[str, dict[Any, list[Any]]]:
    """Ask for all tables of a database, or for each one by its name: only then no file is read.

    All in one statement, for each costs a message to the server and back.
    """
    # https://mariadb.com/kb/en/optimizing-for-latest-and-order-by-and-information-schema-queries/
    parts = []
    for schema, table in wanted:
        name = f" AND c.table_name = {string(table, 'mysql')}" if table else ""
        where, constraint = (
            f"c.{column} = {string(schema, 'mysql')}{name}"
            for column in ("table_schema", "constraint_schema")
        )
        for kind, sql in queries.items():
            head, _, rest = sql.format(c=where, k=constraint).partition("FROM ")
            nulls = ", NULL" * (_MYSQL_WIDTH - 1 - head.count(","))
            parts.append(f"SELECT '{kind}', {head.strip()[7:]}{nulls} FROM {rest}")
    found: dict[str, dict[Any, list[Any]]] = {kind: {} for kind in queries}
    rows = fetch(connection, " UNION ALL ".join(parts))
    # A key or an index by its name, its columns by their order.
    for row in sorted(rows, key=lambda r: ("" if r[0] == "columns" else str(r[4]), int(r[3]))):
        found[row[0]].setdefault((row[1], row[2]), []).append(list(row[4:]))
    return found


def _mysql_table(
    connection: Connection,
    key: tuple[str, str],
    default: bool,
    columns: list[Any],
    keys: list[Any],
    uniques: list[Any],
    checks: list[str],
) -> Table:
    sets = {
        name: tuple(row[1] for row in group if row[1] is not None)
        for name, group in itertools.groupby(uniques, key=lambda row: row[0])
    }
    foreign = []
    for name, group in itertools.groupby(keys, key=lambda row: row[0]):
        rows = list(group)
        target = rows[0][3] if rows[0][2] == key[0] and default else f"{rows[0][2]}.{rows[0][3]}"
        foreign.append(
            ForeignKey(name, tuple(r[1] for r in rows), target, tuple(r[4] for r in rows))
        )
    json_ = {c for check in checks for c in re.findall(r"^json_valid\(`(.+)`\)$", check)}
    return Table(
        key[1] if default else f"{key[0]}.{key[1]}",
        identifier(connection, *key),
        tuple(_mysql_column(row, row[0] in json_) for row in columns),
        sets.get("PRIMARY", ()),
        tuple(sets.values()),
        tuple(foreign),
        tuple(check for check in checks if not check.startswith("json_valid(`")),
    )


def _mysql_column(row: Any, is_json: bool) -> Column:
    name, type_, nullable, default, extra, charset, generation = row
    column = _typed(Column(name, type_, nullable=nullable == "YES", default=default))
    sequence = "nextval(" in (default or "").lower()
    return replace(
        column,
        kind="json" if is_json else column.kind,
        serial="auto_increment" in extra.lower() or sequence,
        generated=bool(generation) or "GENERATED" in extra.replace("DEFAULT_GENERATED", ""),
        volatile="on update" in extra.lower(),
        ascii=charset not in (None, "utf8mb4"),
    )
