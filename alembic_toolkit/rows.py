"""Put rows into tables, as nasty as the schema allows; read them by value; say what was lost.

What the rows are. A table without rows gets about four, a child enough for each of its parents,
the last a copy of the first as far as keys allow. A table that has rows gets a few more when one
of its columns never varies there (it is new, say); never otherwise, because what a revision made
of the rows (payments from ``bills.paid``) would no longer agree with them. Each nullable column is
NULL somewhere. Values are nasty but fair: an honest revision must be able to live with them.

- Texts: the longest allowed, the empty one, one with quotes, ``%``, backslash and other alphabets.
- Integers stop at 2^21 for 32 bits and at 2^53 for 64: cents made of them still fit, and a float
  holds them. A column called ``..._id`` that is no foreign key gets small ones: it may become one.
- Amounts have odd cents and no more digits than a float holds (15), and two fewer before the point
  than allowed: they may be added and multiplied. Floats are cents too: a float column may become
  exact, and a tenth of a cent, once rounded, may break the very check that held for it.
- Dates: a leap day, the epoch, an hour that clocks show twice. Both truth values, each enum label.
- Checks are not parsed. Numbers and strings in their text are candidates beside our own values,
  and the server says which combinations it takes.
- Serial numbers are given explicitly and sequences advanced: a revision may insert rows as well.

What is lost. A step (an upgrade, or a downgrade for rows written above it) may not lose what both
schemas can hold: a row, or a value of a column that both have (a column gone and a new one with
its values is a rename; so is a table).

1. NULL may become a value: that is a backfill (0014 of our bills).
2. A value must be equal up to its type: 0.50 is 0.5 (0006), true is 1, '12' is 12. What the new
   type cannot hold may be cut: the text to its length, the number to its last digit, no more.
   Where the sort of type changed (text to integer), another value is a conversion; NULL is a loss.
3. In a table that the step's own UPDATE or DELETE names, or a child of it, changes on the way up
   are the author's word (0009 moves e-mails to the audit trail): whether the downgrade knows them
   back is rule 4. Where it cannot be told what a step executed, a value may change, but not become
   NULL or shorter, and no row may go, unless their values turn up elsewhere.
4. After up and down, every row and value from before is back, dropped tables and columns too,
   whatever was deliberate: a revision that cannot bring them back declares itself irreversible.
   Rules 1 and 2 hold: what the newer type cut stays cut.
5. A column that the newer schema has not, and the downgrade computes again (0008: the payments
   added up), is back when two different values at least are back exactly, and the others are
   neither NULL nor damaged copies: generated rows need not agree with each other as real ones do.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

IGNORE = ("alembic_version",)
MOST = 32  # rows of one table: above that nothing is added

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
    ascii: bool = False
    element: Column | None = None


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


@dataclass(frozen=True)
class Content:
    """The rows of a table, by value, in the order of its primary key."""

    table: Table
    rows: list[tuple[Any, ...]]

    def index(self, name: str) -> int:
        """Return the position of a column."""
        return [column.name for column in self.table.columns].index(name)

    def values(self, name: str) -> list[Any]:
        """Return the values of a column, row by row."""
        position = self.index(name)
        return [row[position] for row in self.rows]


Rows = dict[str, Content]


@dataclass
class Filled:
    """What `fill` did: rows written by table, and why a table has none."""

    written: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Say which tables could not be filled, and why."""
        return [f"no rows in {name}: {why}" for name, why in sorted(self.failed.items())]


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
        return replace(column, kind=kind, labels=_labels(column.type))
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


def _labels(type_: str) -> tuple[str, ...]:
    return tuple(label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", type_))


# Reading the catalogs


def _ask(connection: Connection, sql: str) -> list[Any]:
    """Run a statement without parameters, whatever characters it holds."""
    if connection.dialect.paramstyle in ("format", "pyformat"):
        sql = sql.replace("%", "%%")
    result = connection.exec_driver_sql(sql)
    return list(result.all()) if result.returns_rows else []


def _quoted(connection: Connection, *names: str) -> str:
    quote = connection.dialect.identifier_preparer.quote_identifier
    # The preparer doubles percent signs for such drivers, and so does _ask.
    percent = connection.dialect.paramstyle in ("format", "pyformat")
    quoted = ".".join(quote(name) for name in names)
    return quoted.replace("%%", "%") if percent else quoted


def _string(text: str, dialect: str) -> str:
    if dialect in ("mysql", "mariadb"):
        text = text.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"


def _look_sqlite(connection: Connection, names: Collection[str] | None) -> list[Table]:
    # https://www.sqlite.org/pragma.html#pragfunc
    where = "m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    if names is not None:
        listed = ", ".join(_string(name, "sqlite") for name in names)
        where += f" AND m.name COLLATE NOCASE IN ({listed})"
    source = {
        name: sql
        for name, sql in _ask(connection, f"SELECT name, sql FROM sqlite_master m WHERE {where}")
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
    real = {name.lower(): name for (name,) in _ask(connection, _SQLITE_NAMES)}
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
    for first, *rest in _ask(connection, sql):
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
            found = _named(rows[0][2] or "", [row[0] for row in columns])
        sets.append(tuple(found))
    return Table(
        name,
        _quoted(connection, name),
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
    # FLOAT is a double there, and a type that SQLite does not know is what the value is.
    if column.kind == "float":
        column = replace(column, precision=15)
    return replace(column, kind="text") if column.kind == "other" else column


def _sqlite_checks(sql: str) -> Iterator[str]:
    """Return what stands in the parentheses after each CHECK."""
    plain = _without_strings(sql)
    for match in re.finditer(r"\bCHECK\s*\(", plain, re.I):
        depth, end = 1, match.end()
        while depth and end < len(plain):
            depth += {"(": 1, ")": -1}.get(plain[end], 0)
            end += 1
        yield sql[match.end() : end - 1]


def _without_strings(sql: str) -> str:
    """Blank out strings and comments, and keep every position."""
    pattern = r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/"
    return re.sub(pattern, lambda match: " " * len(match.group()), sql, flags=re.S)


def _named(text: str, names: Iterable[str]) -> list[str]:
    """Return the names that occur in an expression."""
    plain = _without_strings(text)
    return [n for n in names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", plain, re.I)]


# https://www.postgresql.org/docs/current/catalogs.html
_PG_COLUMNS = """
SELECT n.nspname, c.relname, n.nspname = current_schema(), c.relkind = 'r', a.attname,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity, a.attgenerated, coalesce(nullif(t.typelem, 0), t.oid)::bigint,
       e.typtype IN ('d', 'e') OR t.typtype IN ('d', 'e'), t.oid::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {where} ORDER BY 1, 2, a.attnum"""
_PG_KEYS = """
SELECT n.nspname, c.relname, k.contype::text, k.conname, (SELECT array_agg(a.attname ORDER BY u.o)
         FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n),
       fn.nspname, f.relname, (SELECT array_agg(a.attname ORDER BY u.o)
         FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
         JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n),
       pg_get_expr(k.conbin, k.conrelid), fn.nspname = current_schema()
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.contype IN ('p', 'u', 'f', 'c') AND {where}
UNION ALL
SELECT n.nspname, c.relname, 'i', '', (SELECT array_agg(a.attname ORDER BY u.o)
         FROM unnest(x.indkey::int2[]) WITH ORDINALITY u(n, o)
         JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.n
         WHERE u.o <= x.indnkeyatts),
       NULL, NULL, NULL, pg_get_expr(x.indexprs, x.indrelid), NULL
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE x.indisunique AND {where}"""
_PG_TYPES = """
SELECT t.oid::bigint, t.typbasetype::bigint, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
       (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e
        WHERE e.enumtypid = t.oid),
       (SELECT array_agg(pg_get_expr(k.conbin, 0)) FROM pg_constraint k WHERE k.contypid = t.oid)
FROM pg_type t WHERE t.typtype IN ('d', 'e') AND t.typnamespace <> 'information_schema'::regnamespace
"""
_PG_ALL = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"


def _look_postgresql(connection: Connection, names: Collection[str] | None) -> list[Table]:
    where = _PG_ALL
    if names is not None:
        # By oid, so that the catalogs' indexes are used. A dot may be a part of the name.
        quoted = {_quoted(connection, name) for name in names}
        quoted |= {_quoted(connection, *name.split(".", 1)) for name in names if "." in name}
        listed = ", ".join(_string(name, "postgresql") for name in sorted(quoted))
        where = f"c.oid = ANY (ARRAY(SELECT to_regclass(x)::oid FROM unnest(ARRAY[{listed}]) x))"
    columns = _ask(connection, _PG_COLUMNS.format(where=where))
    types = {}
    if any(row[11] for row in columns):
        types = {row[0]: row for row in _ask(connection, _PG_TYPES)}
    keys: dict[Any, list[Any]] = {}
    for schema, name, *rest in _ask(connection, _PG_KEYS.format(where=where)):
        keys.setdefault((schema, name), []).append(rest)
    return [
        _postgresql_table(connection, list(group), types, keys.get(key, []))
        for key, group in itertools.groupby(columns, key=lambda row: (row[0], row[1]))
    ]


def _postgresql_table(
    connection: Connection, rows: list[Any], types: Mapping[int, Any], keys: list[Any]
) -> Table:
    schema, name, default, plain = rows[0][:4]
    columns, checks = [], [key[6] for key in keys if key[0] == "c"]
    for row in rows:
        column, more = _postgresql_column(row, types)
        columns.append(column)
        checks += more
    names = [column.name for column in columns]
    return Table(
        name if default else f"{schema}.{name}",
        _quoted(connection, schema, name),
        tuple(columns),
        next((tuple(key[2]) for key in keys if key[0] == "p"), ()),
        tuple(
            tuple(dict.fromkeys([*(key[2] or ()), *_named(key[6] or "", names)]))
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
        checks += [re.sub(r"\bVALUE\b", lambda _: quoted, check) for check in found or ()]
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
    database = _ask(connection, "SELECT database()")[0][0]
    wanted = [(database, "")] if names is None else [_split(name, database) for name in names]
    columns = _mysql_ask(connection, _MYSQL_COLUMNS, wanted)
    keys = _mysql_ask(connection, _MYSQL_KEYS, wanted)
    uniques = _mysql_ask(connection, _MYSQL_UNIQUES, wanted)
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    checks = _mysql_ask(connection, _MARIADB_CHECKS if mariadb else _MYSQL_CHECKS, wanted)
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
    ]


_MYSQL_COLUMNS = """SELECT c.table_schema, c.table_name, c.column_name, c.column_type,
c.is_nullable = 'YES', c.column_default, c.extra, c.character_set_name, c.generation_expression
FROM information_schema.columns c JOIN information_schema.tables t
ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND {t}
WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND {c} ORDER BY 1, 2, c.ordinal_position"""
_MYSQL_KEYS = """SELECT c.table_schema, c.table_name, c.constraint_name, c.column_name,
c.referenced_table_schema, c.referenced_table_name, c.referenced_column_name
FROM information_schema.key_column_usage c
WHERE c.referenced_table_name IS NOT NULL AND {c} ORDER BY 1, 2, 3, c.ordinal_position"""
_MYSQL_UNIQUES = """SELECT c.table_schema, c.table_name, c.index_name, c.column_name
FROM information_schema.statistics c
WHERE c.non_unique = 0 AND {c} ORDER BY 1, 2, 3, c.seq_in_index"""
_MARIADB_CHECKS = """SELECT c.constraint_schema AS s, c.table_name AS n, c.check_clause
FROM information_schema.check_constraints c WHERE {k}"""
_MYSQL_CHECKS = """SELECT c.table_schema, c.table_name, k.check_clause
FROM information_schema.table_constraints c JOIN information_schema.check_constraints k
ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name
WHERE c.constraint_type = 'CHECK' AND {c}"""


def _split(name: str, database: str) -> tuple[str, str]:
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else (database, name)


def _mysql_ask(
    connection: Connection, sql: str, wanted: list[tuple[str, str]]
) -> dict[Any, list[Any]]:
    """Ask for all tables of a database, or for each one by its name: only then no file is read."""
    # https://mariadb.com/kb/en/optimizing-for-latest-and-order-by-and-information-schema-queries/
    found: dict[Any, list[Any]] = {}
    for schema, table in wanted:
        conditions = {}
        for alias, column in (
            ("c", "table_schema"),
            ("t", "table_schema"),
            ("k", "constraint_schema"),
        ):
            at = "c" if alias == "k" else alias
            conditions[alias] = f"{at}.{column} = {_string(schema, 'mysql')}"
            if table:
                conditions[alias] += f" AND {at}.table_name = {_string(table, 'mysql')}"
        for row in _ask(connection, sql.format(**conditions)):
            found.setdefault((row[0], row[1]), []).append(list(row[2:]))
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
        _quoted(connection, *key),
        tuple(_mysql_column(row, row[0] in json_) for row in columns),
        sets.get("PRIMARY", ()),
        tuple(sets.values()),
        tuple(foreign),
        tuple(check for check in checks if not check.startswith("json_valid(`")),
    )


def _mysql_column(row: Any, is_json: bool) -> Column:
    name, type_, nullable, default, extra, charset, generation = row
    column = _typed(Column(name, type_, nullable=bool(nullable), default=default))
    sequence = "nextval(" in (default or "").lower()
    return replace(
        column,
        kind="json" if is_json else column.kind,
        serial="auto_increment" in extra.lower() or sequence,
        generated=bool(generation) or "GENERATED" in extra.replace("DEFAULT_GENERATED", ""),
        ascii=charset not in (None, "utf8mb4"),
    )


# Filling

Row = dict[str, Any]


@dataclass
class _Filling:
    """What `fill` knows while it works."""

    connection: Connection
    tables: Tables
    seed: int
    per_table: int
    given: Mapping[str, Sequence[Mapping[str, Any]]]
    rows: dict[str, list[Row]] = field(default_factory=dict)  # what is there, by table
    filled: Filled = field(default_factory=Filled)


def fill(
    connection: Connection,
    tables: Tables,
    names: Iterable[str] | None = None,
    seed: int = 0,
    per_table: int = 4,
    given: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    within: Mapping[str, Table] | None = None,
) -> Filled:
    """Insert rows into the tables named (all), parents first; commit nothing, and never raise.

    ``tables`` are what `look` found: those to fill, and their `parents`. The same seed gives the
    same rows. ``given`` are a project's own rows by table: an empty table gets these and no others;
    a column that they do not name gets a value of ours. With ``within``, an older look, values
    stay such as the older schema can hold too.
    """
    wanted = [name for name in (tables if names is None else names) if name in tables]
    if within:
        tables = {**tables, **{n: _narrowed(tables[n], within[n]) for n in wanted if n in within}}
    filling = _Filling(connection, tables, seed, per_table, given or {})
    known = {name: tables[name] for name in {*wanted, *parents(tables, wanted)} if name in tables}
    for name, content in read(connection, known).items():
        columns = [column.name for column in content.table.columns]
        filling.rows[name] = [dict(zip(columns, row, strict=True)) for row in content.rows]
    for group in _in_order(tables, wanted):
        _fill_group(filling, group)
    _advance(filling, wanted)
    return filling.filled


def _narrowed(table: Table, older: Table) -> Table:
    """Take the narrower of two types for each column."""
    columns = []
    for column in table.columns:
        old = older.column(column.name)
        if old is not None and old.kind == column.kind:
            sizes: dict[str, Any] = {
                name: min(filter(None, (getattr(column, name), getattr(old, name))), default=None)
                for name in ("length", "precision", "bits")
            }
            labels = tuple(label for label in column.labels if label in old.labels)
            column = replace(column, nullable=column.nullable and old.nullable, **sizes)
            column = replace(column, labels=labels or column.labels, ascii=column.ascii | old.ascii)
        columns.append(column)
    return replace(table, columns=tuple(columns))


def _in_order(tables: Tables, names: Sequence[str]) -> list[list[str]]:
    """Put parents before children; tables that need each other are in one group (Tarjan)."""
    wanted, groups = set(names), list[list[str]]()
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def targets(name: str) -> Iterator[str]:
        return iter(sorted({k.target for k in tables[name].foreign if k.target in wanted}))

    for start in names:
        path = [] if start in index else [(start, targets(start))]
        while path:
            name, left = path[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
            target = next(left, None)
            if target is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[name])
                if low[name] == index[name]:
                    at = stack.index(name)
                    groups.append(stack[at:])
                    del stack[at:]
            elif target not in index:
                path.append((target, targets(target)))
            elif target in stack:
                low[name] = min(low[name], index[target])
    return groups


def _fill_group(filling: _Filling, group: list[str]) -> None:
    """Plan the rows of tables that need each other, then insert them."""
    planned: dict[str, list[Row]] = {}
    for name in group:
        rows = _plan(filling, filling.tables[name], set(group) - set(planned))
        if rows:
            planned[name] = rows
            filling.rows[name] = filling.rows.get(name, []) + rows
    later = _close_cycles(filling, group, planned)
    circular = any(not nullable for _, _, nullable in later)
    with _deferred(filling.connection, circular):
        for name, rows in planned.items():
            put_off = {c for t, key, null in later if t == name and null for c in key.columns}
            done = _insert(filling, filling.tables[name], rows, put_off)
            old = filling.rows[name][: len(filling.rows[name]) - len(rows)]
            filling.rows[name] = old + done
            if done:
                filling.filled.written[name] = len(done)
        for name, key, nullable in later:
            if nullable:
                _update(filling, filling.tables[name], planned[name], key)


def _close_cycles(
    filling: _Filling, group: list[str], planned: Mapping[str, list[Row]]
) -> list[tuple[str, ForeignKey, bool]]:
    """Set the foreign keys that had to wait for their parent's plan; return them."""
    later = []
    for name in group:
        table = filling.tables[name]
        for key in table.foreign:
            new = planned.get(name, [])
            before = group.index(key.target) < group.index(name) if key.target in group else True
            if not new or before:
                continue
            nullable = any(_nullable(table, column) for column in key.columns)
            for number, row in enumerate(new):
                choice = filling.rows.get(key.target, [])
                if key.target == name:  # the row before; the first is its own parent, or has none
                    choice = [] if nullable and not number else [new[max(number - 1, 0)]]
                if choice:
                    row.update(_reference(filling, key, choice[number % len(choice)]))
            if key.target != name:
                later.append((name, key, nullable))
    return later


def _nullable(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.nullable


def _reference(filling: _Filling, key: ForeignKey, parent: Row) -> Row:
    targets = key.target_columns or filling.tables[key.target].primary
    return {column: parent.get(to) for column, to in zip(key.columns, targets, strict=False)}


# Planning


def _plan(filling: _Filling, table: Table, waiting: set[str]) -> list[Row]:
    """Make the new rows of a table; a reference to a table that waits for its plan is left open."""
    there = filling.rows.get(table.name, [])
    given = [] if there else filling.given.get(table.name, [])
    count = len(given) or _count(filling, table, there)
    random_ = random.Random(f"{filling.seed}:{table.name}")
    columns = [column for column in table.columns if not column.generated]
    rows = [
        {c.name: _pick(c, n, count, at, bool(there)) for at, c in enumerate(columns)}
        for n in range(count)
    ]
    if count >= 3 and not given:
        rows[-1] = dict(rows[0])
    for column in columns:
        if column.serial:
            _number(column, there, rows)
    problem = _refer(filling, table, waiting, rows)
    if problem:
        filling.filled.failed[table.name] = problem
        return []
    try:
        _satisfy(filling, table, rows, there, random_)
    except DBAPIError as error:
        if filling.connection.dialect.name == "postgresql":  # pragma: no cover
            raise
        filling.filled.failed[table.name] = _reason(error)
    for row, own in zip(rows, given, strict=False):
        row.update({name: value for name, value in own.items() if name in row})
    return _distinct(table, there, rows, bool(given))


def _count(filling: _Filling, table: Table, there: list[Row]) -> int:
    if len(there) >= MOST:
        return 0
    if there:
        return 3 if any(_never_varies(table, column, there) for column in table.columns) else 0
    labels = max((len(column.labels) for column in table.columns), default=0)
    children = 0
    for key in table.foreign:
        children = max(children, len(filling.rows.get(key.target, [])) + 2)
    count = min(max(filling.per_table, labels + 1, children), max(8, filling.per_table))
    return count


def _never_varies(table: Table, column: Column, there: list[Row]) -> bool:
    """Say whether rows of ours could make a column vary that does not."""
    if column.generated or len(column.labels) == 1:
        return False
    values = {str(row[column.name]) for row in there if row[column.name] is not None}
    if any(column.name in key.columns for key in table.foreign):
        return not values
    return len(values) < 2 and len(there) > 1


def _pick(column: Column, number: int, count: int, position: int, again: bool) -> Any:
    """Choose a value: NULL in the second or third row, another candidate in each row."""
    if column.nullable and not again and (number == 1 + position % 2 or count == 1):
        return None
    choice = candidates(column)
    return choice[number % len(choice)] if choice else _UNSET


_UNSET = object()  # leave it to the default


def _number(column: Column, there: list[Row], rows: list[Row]) -> None:
    """Number rows on from the highest there is."""
    used = [int(row[column.name]) for row in there if row.get(column.name) is not None]
    for number, row in enumerate(rows, max([0, *used]) + 1):
        row[column.name] = number


def _refer(filling: _Filling, table: Table, waiting: set[str], rows: list[Row]) -> str | None:
    """Set the foreign keys; return why that cannot be."""
    for key in table.foreign:
        wait = key.target in waiting
        parent_rows = [] if wait else filling.rows.get(key.target, [])
        nullable = any(_nullable(table, column) for column in key.columns)
        if not parent_rows and not wait and not nullable and rows:
            why = filling.filled.failed.get(key.target, "it has no rows")
            return f"{key.target}, which it refers to, cannot be used: {why}"
        position = 0
        for number, row in enumerate(rows):
            if not parent_rows or (nullable and number == 1 and len(rows) > 1):
                row.update({c: None for c in key.columns if not _fixed(table, key, c)})
                continue
            choice = _agreeing(filling, table, key, row, parent_rows, number > 0)
            row.update(choice[position % len(choice)])
            position += 1
    return None


def _fixed(table: Table, key: ForeignKey, column: str) -> bool:
    """Say whether a column must keep its value though the reference is NULL."""
    others = {c for other in table.foreign if other is not key for c in other.columns}
    return not _nullable(table, column) or column in others


def _agreeing(
    filling: _Filling, table: Table, key: ForeignKey, row: Row, parent_rows: list[Row], _: bool
) -> list[Row]:
    """Return the references that agree with an earlier foreign key over the same columns."""
    earlier: set[str] = set()
    for other in table.foreign:
        if other is key:
            break
        earlier |= set(other.columns)
    choice = [_reference(filling, key, parent) for parent in parent_rows]
    agreeing = [r for r in choice if all(r[c] == row[c] for c in earlier & set(r))]
    return agreeing or choice


def _satisfy(
    filling: _Filling, table: Table, rows: list[Row], there: list[Row], random_: random.Random
) -> None:
    """Give columns with checks values that the server says it takes."""
    if not rows or not table.checks:
        return
    names = [column.name for column in table.columns if not column.generated]
    groups = _check_groups(table, names)
    asked = []
    for group, checks in groups:
        choices = [_choices(filling, table, name, checks, rows) for name in group]
        combinations = _combinations(choices, random_)
        if combinations:
            asked.append((group, checks, combinations))
    taken = _taken(filling.connection, table, asked)
    for at, (group, _, combinations) in enumerate(asked):
        good = [combinations[number] for number in taken[at]]
        free = [at for at, name in enumerate(group) if _is_free(table, name)]
        for number, row in enumerate(rows):
            fixed = [
                c
                for c in good
                if all(_equal(c[i], row[group[i]]) for i in range(len(group)) if i not in free)
            ]
            choice = fixed or good
            if choice:
                last = number == len(rows) - 1 and number > 1
                row.update(zip(group, choice[0 if last else number % len(choice)], strict=True))


def _is_free(table: Table, name: str) -> bool:
    column = table.column(name)
    keys = {c for key in table.foreign for c in key.columns}
    return column is not None and not column.serial and name not in keys


def _equal(one: Any, other: Any) -> bool:
    return one is other or (one is not None and str(one) == str(other))


def _check_groups(table: Table, names: list[str]) -> list[tuple[list[str], list[str]]]:
    """Put checks that share a column together."""
    groups: list[tuple[list[str], list[str]]] = []
    for check in table.checks:
        found, checks = _named(check, names), [check]
        for group in [g for g in groups if set(g[0]) & set(found)]:
            groups.remove(group)
            found, checks = list(dict.fromkeys(group[0] + found)), group[1] + checks
        if found:
            groups.append((found, checks))
    return groups


_SHAPES = ("A", "a", "AB", "ABC", "0", "123", "user@example.com", "https://example.com/", "a-b")


def _choices(
    filling: _Filling, table: Table, name: str, checks: list[str], rows: list[Row]
) -> list[Any]:
    """Return what a column may be given: what the plan has, our values, those in the checks."""
    column = table.column(name)
    assert column is not None
    found: list[Any] = [row[name] for row in rows if row[name] is not _UNSET]
    if _is_free(table, name):
        found += [*candidates(column), *_mined(column, " ".join(checks))]
        found += [None] if column.nullable else []
    return list(dict.fromkeys(found))


def _mined(column: Column, text: str) -> list[Any]:
    """Return values made of the numbers and strings in an expression."""
    strings = list(_labels(text))
    numbers = {Decimal(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", _without_strings(text))}
    if column.kind in ("integer", "numeric", "float", "boolean"):
        numbers |= {Decimal(s) for s in strings if re.fullmatch(r"-?\d+(\.\d+)?", s)}
        step = Decimal(1).scaleb(-(column.scale or 0))
        near = [number + more for number in sorted(numbers) for more in (0, step, -step)]
        return [int(n) for n in near] if column.kind == "integer" else near
    if column.kind not in ("text", "char"):
        return strings
    lengths = sorted({int(n) + more for n in numbers if 0 < n <= 500 for more in (-1, 0, 1)})
    plain = [s.replace("%", "").replace("_", "x").strip("^$") for s in strings]
    texts = [*strings, *plain, *(s.replace("%", "x") for s in strings), *_SHAPES]
    texts += [
        start.ljust(n, letter)[:n] for n in lengths for start in ["", *plain] for letter in "aA1"
    ]
    return [text for text in texts if not column.length or len(text) <= column.length]


def _combinations(choices: list[list[Any]], random_: random.Random, most: int = 96) -> list[Any]:
    """Combine candidates: all ways, or some."""
    total = 1
    for choice in choices:
        total *= len(choice)
    if total <= most:
        return list(itertools.product(*choices))
    some = [tuple(choice[n % len(choice)] for choice in choices) for n in range(most // 3)]
    some += [tuple(random_.choice(choice) for choice in choices) for _ in range(2 * most // 3)]
    return list(dict.fromkeys(some))


def _taken(connection: Connection, table: Table, asked: list[Any]) -> list[list[int]]:
    """Ask the server which combinations the checks take, in one statement if it can."""
    try:
        found = _evaluate(connection, table, asked)
    except DBAPIError:
        if len(asked) == 1:
            group, checks, combinations = asked[0]
            return [list(_one_by_one(connection, table, group, checks, combinations))]
        return [_taken(connection, table, [one])[0] for one in asked]
    return [[n for at, n in found if at == number] for number in range(len(asked))]


def _one_by_one(
    connection: Connection, table: Table, group: Any, checks: Any, combinations: list[Any]
) -> Iterator[int]:
    """Find the first combinations that the server does not choke on: a bounded search."""
    found = 0
    for number, combination in enumerate(combinations[:48]):
        try:
            if _evaluate(connection, table, [(group, checks, [combination])]):
                found += 1
                yield number
        except DBAPIError:
            continue
        if found == 6:
            return


def _evaluate(connection: Connection, table: Table, asked: list[Any]) -> list[Any]:
    parts = []
    for at, (group, checks, combinations) in enumerate(asked):
        names = ", ".join(_quoted(connection, name) for name in group)
        rows = " UNION ALL ".join(
            f"SELECT {number}, "
            + ", ".join(_cast(connection, table, n, v) for n, v in zip(group, values, strict=True))
            for number, values in enumerate(combinations)
        )
        where = " AND ".join(f"({check}) IS NOT FALSE" for check in checks)
        number = _quoted(connection, "row number")
        parts.append(
            f"SELECT {at}, t.{number} FROM (WITH c({number}, {names}) AS ({rows}) SELECT * FROM c) t"
            f" WHERE {where}"
        )
    sql = " UNION ALL ".join(parts) + " ORDER BY 1, 2" if parts else ""
    with _savepoint(connection):
        return _ask(connection, sql) if sql else []


def _cast(connection: Connection, table: Table, name: str, value: Any) -> str:
    literal = _literal(value, table.column(name), connection.dialect.name)
    column = table.column(name)
    if connection.dialect.name == "postgresql" and column is not None:
        return f"CAST({literal} AS {column.type})"
    return literal


def _distinct(table: Table, there: list[Row], rows: list[Row], given: bool) -> list[Row]:
    """Change values until no key has them twice; leave out rows for which there are none left."""
    if given:
        return rows
    sets = list(dict.fromkeys(key for key in [table.primary, *table.uniques] if key))
    used = {key: {_folded(row, key) for row in there} for key in sets}
    kept = []
    for row in rows:
        if all(_free_key(table, key, row, used[key], sets) for key in sets):
            # Again: what made one key unique may have been part of another.
            if any(_folded(row, key) in used[key] for key in sets):
                continue
            for key in sets:
                if None not in (values := _folded(row, key)):
                    used[key].add(values)
            kept.append(row)
    return kept


def _folded(row: Row, key: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the values of a key as the least exact collation compares them."""
    return tuple(_fold(row.get(name)) for name in key)


def _fold(value: Any) -> Any:
    if not isinstance(value, str):
        return None if value is None or value is _UNSET else str(_plain(value))
    text = unicodedata.normalize("NFKD", value).casefold().rstrip()
    return "".join(c for c in text if not unicodedata.combining(c) and ord(c) < 0x10000)


def _free_key(
    table: Table, key: tuple[str, ...], row: Row, used: set[Any], sets: list[tuple[str, ...]]
) -> bool:
    if _folded(row, key) not in used:
        return True
    names = [name for name in key if _is_free(table, name)]
    checked = set(_named(" ".join(table.checks), names))
    for name in sorted(names, key=lambda n: n in checked):
        column = table.column(name)
        assert column is not None
        old = row[name]
        for value in [*_series(column, len(used)), *([None] if column.nullable else [])]:
            row[name] = value
            if value is None or _folded(row, key) not in used:
                return True
        row[name] = old
    for name in key:  # a child of each parent, once
        if _nullable(table, name):
            row[name] = None
            return True
    return False


# Values


def candidates(column: Column) -> list[Any]:
    """Return values for a column, the nastiest first; none where its type is not known."""
    make = _CANDIDATES.get(column.kind)
    return make(column) if make else _of_type(column)


_TEXT = 'O\'Brien "%s" 100% \\ :x; -- '
_WIDE = "Zoë 日本 😀 "


def _texts(column: Column) -> list[Any]:
    longest = min(column.length or 300, 4000)
    text = _TEXT if column.ascii else _TEXT + _WIDE
    long = (text * (longest // len(text) + 1))[: longest - 1] + "."
    return list(dict.fromkeys([long, "", text.strip()[:longest].strip()]))


def _integers(column: Column) -> list[Any]:
    if re.search(r"(^|_)id$", column.name, re.I):
        return [1, 2, 3]
    most = {8: 100, 16: 127}.get(column.bits, 2 ** max(column.bits - 11, 7) - 1)
    return [most, 0, 1] if column.unsigned else [most, 0, -1, 1]


def _numerics(column: Column) -> list[Any]:
    if column.precision is None:
        return [Decimal("12345678.91"), Decimal("0.01"), Decimal("-19.99"), Decimal(0)]
    scale = column.scale or 0
    before = max(column.precision - scale - 2, min(column.precision - scale, 1))
    before = max(min(before, 15 - scale), 0)
    unit = Decimal(1).scaleb(-scale)
    digits = "123456789123456"[:before] or "0"
    most = Decimal(digits) + (1 - 9 * unit if scale else 0)
    less = min(Decimal("19.99"), most).quantize(unit)
    return [most, unit, Decimal(0)] if column.unsigned else [most, unit, -less, Decimal(0)]


def _binaries(column: Column) -> list[Any]:
    longest = min(column.length or 300, 4000)
    return [(b"\x00\xff'\\%" * longest)[: longest - 1] + b"\x01", b"", b"a"]


def _arrays(column: Column) -> list[Any]:
    assert column.element is not None
    values = [_text_of(value) for value in candidates(column.element)[:2]]
    quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    return ["{" + ",".join([*quoted, "NULL"]) + "}", "{}", "{" + ",".join(quoted[:1]) + "}"]


def _bits(column: Column) -> list[Any]:
    length = column.length or 8
    return ["1" * length, "0" * length]


def _datetimes(column: Column) -> list[Any]:
    return ["2024-02-29 23:59:59", "2024-10-27 02:30:00", "1970-01-02 00:00:01"]


def _uuids(column: Column, start: int = 0) -> list[Any]:
    return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{column.name} {start + n}")) for n in range(3)]


_CANDIDATES: dict[str, Callable[[Column], list[Any]]] = {
    "text": _texts,
    "char": _texts,
    "integer": _integers,
    "numeric": _numerics,
    "float": lambda _: [Decimal("12345.67"), Decimal("0.1"), Decimal("-19.99"), Decimal(0)],
    "boolean": lambda _: [True, False],
    "date": lambda _: ["2024-02-29", "1970-01-01", "1999-12-31"],
    "datetime": _datetimes,
    "datetimetz": lambda _: [v + "+05:45" for v in _datetimes(_)],
    "time": lambda _: ["23:59:59", "00:00:00", "02:30:00"],
    "interval": lambda _: ["1 mon 2 days 03:04:05", "-1 day", "0"],
    "year": lambda _: [2024, 1970, 1999],
    "json": lambda _: ['{"a": [1, null, "Zo\u00eb"]}', "{}", "[]"],
    "uuid": _uuids,
    "binary": _binaries,
    "enum": lambda column: list(column.labels),
    "set": lambda column: [",".join(column.labels), "", column.labels[0]],
    "bit": _bits,
    "array": _arrays,
}

# https://www.postgresql.org/docs/current/datatype.html
_OTHERS = {
    "inet": ["10.0.0.1/8", "::1"],
    "cidr": ["10.0.0.0/8", "192.168.0.0/16"],
    "inet4": ["10.0.0.1", "127.0.0.1"],
    "inet6": ["::1", "fe80::1"],
    "macaddr": ["08:00:2b:01:02:03", "08:00:2b:01:02:04"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"],
    "tsvector": ["a b", ""],
    "tsquery": ["a & b", "a"],
    "xml": ["<a/>", "<b/>"],
    "point": ["(1,2)", "(0,0)"],
    "box": ["((1,2),(0,0))"],
    "circle": ["<(0,0),1>"],
    "int4range": ["[1,5)", "empty"],
    "int8range": ["[1,5)", "empty"],
    "numrange": ["[1,5)", "empty"],
    "daterange": ["[2024-02-29,2024-03-01)", "empty"],
    "tsrange": ["[2024-02-29,2024-03-01)", "empty"],
    "tstzrange": ["[2024-02-29,2024-03-01)", "empty"],
    "hstore": ["a=>1", ""],
    "ltree": ["a.b", ""],
    "oid": ["1", "2"],
    "name": ["a", "b"],
}


def _of_type(column: Column) -> list[Any]:
    """Return values for a type that only its name tells of; for an unknown one, some guesses."""
    known = _OTHERS.get(re.split(r"[ (]", column.type.lower())[0].strip('"'))
    if known:
        return list(known)
    return [] if column.nullable or column.default is not None else ["", "0", "{}"]


def _series(column: Column, start: int) -> Iterator[Any]:
    """Return values for a column that must be unique: enough to get past those used."""
    numbers = range(1, start + 12)
    if column.kind in ("integer", "numeric", "float"):
        yield from numbers
    elif column.kind in ("text", "char"):
        # The number first: MariaDB's keys may hold only the beginning of a text.
        long = str(_texts(column)[0])
        yield from (f"{n}{long}"[: len(long)] for n in numbers)
    elif column.kind == "uuid":
        yield from (str(uuid.uuid5(uuid.NAMESPACE_OID, f"{column.name}/{n}")) for n in numbers)
    elif column.kind == "date":
        yield from (str(dt.date(2024, 2, 29) + dt.timedelta(n)) for n in numbers)
    elif column.kind in ("datetime", "datetimetz"):
        yield from (f"{dt.datetime(2024, 2, 29) + dt.timedelta(n)}" for n in numbers)
    elif column.kind == "time":
        yield from (f"01:{n // 60 % 60:02}:{n % 60:02}" for n in numbers)
    elif column.kind == "binary":
        yield from (f"{n}".encode().ljust(column.length or 1, b"\x01") for n in numbers)
    elif column.kind == "year":
        yield from (1970 + n for n in numbers)
    elif column.kind == "interval":
        yield from (f"{n} days" for n in numbers)
    elif column.kind == "json":
        yield from (f'{{"a": {n}}}' for n in numbers)
    else:
        yield from candidates(column)


# Writing


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(getattr(value, "value", value))


def _literal(value: Any, column: Column | None, dialect: str) -> str:
    """Write a value as the server reads it."""
    kind = column.kind if column else "other"
    if value is None or value is _UNSET:
        return "NULL"
    if isinstance(value, bytes | bytearray | memoryview):
        digits = bytes(value).hex()
        return f"'\\x{digits}'" if dialect == "postgresql" else f"X'{digits}'"
    if kind == "boolean" and dialect != "postgresql" and str(value) in ("True", "False", "0", "1"):
        return str(int(value == True or value == "True" or value == "1"))  # noqa: E712
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float | Decimal):
        return _text_of(value)
    text = _text_of(value)
    if kind == "bit" and dialect != "sqlite":
        return f"B{_string(text, dialect)}"
    if dialect == "sqlite" and kind == "datetime" and len(text) == 19:
        text += ".000000"  # as SQLAlchemy writes it
    if dialect in ("mysql", "mariadb") and kind in ("datetime", "datetimetz"):
        text = text[:26].replace("+00:00", "")
    return _string(text, dialect)


def _insert(filling: _Filling, table: Table, rows: list[Row], put_off: set[str]) -> list[Row]:
    """Insert rows, all at once or, when the server refuses, one by one; return those that went."""
    rows_ = [{k: None if k in put_off else v for k, v in row.items()} for row in rows]
    try:
        _insert_rows(filling.connection, table, rows_)
    except DBAPIError as error:
        done, why = [], _reason(error)
        for row, planned in zip(rows_, rows, strict=True):
            try:
                _insert_rows(filling.connection, table, [row])
                done.append(planned)
            except DBAPIError as again:
                why = _reason(again)
        if not done and not filling.rows[table.name][: -len(rows)]:
            filling.filled.failed[table.name] = why
        return done
    return rows


def _insert_rows(connection: Connection, table: Table, rows: list[Row]) -> None:
    dialect = connection.dialect.name
    columns = [c for c in table.columns if any(r.get(c.name, _UNSET) is not _UNSET for r in rows)]
    names = ", ".join(_quoted(connection, column.name) for column in columns)
    values = ", ".join(
        "(" + ", ".join(_literal(row.get(c.name), c, dialect) for c in columns) + ")"
        for row in rows
    )
    always = " OVERRIDING SYSTEM VALUE" if any(c.always for c in columns) else ""
    with _savepoint(connection):
        _ask(connection, f"INSERT INTO {table.sql} ({names}){always} VALUES {values}")


def _update(filling: _Filling, table: Table, rows: list[Row], key: ForeignKey) -> None:
    """Set the foreign keys that had to be NULL until the parents were there."""
    dialect, connection = filling.connection.dialect.name, filling.connection
    for row in rows:
        sets, where = (
            separator.join(
                f"{_quoted(connection, name)} = {_literal(row[name], table.column(name), dialect)}"
                for name in names
            )
            for separator, names in ((", ", key.columns), (" AND ", table.primary))
        )
        if where and row[key.columns[0]] is not None:
            try:
                with _savepoint(connection):
                    _ask(connection, f"UPDATE {table.sql} SET {sets} WHERE {where}")
            except DBAPIError as error:
                filling.filled.failed.setdefault(table.name, _reason(error))


class _savepoint:
    """Keep a failed statement from ending the transaction, where it would: on PostgreSQL."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.needed = connection.dialect.name == "postgresql"

    def __enter__(self) -> None:
        if self.needed:
            _ask(self.connection, "SAVEPOINT rows")

    def __exit__(self, type_: Any, *_: Any) -> None:
        if self.needed:
            if type_ is not None:
                _ask(self.connection, "ROLLBACK TO SAVEPOINT rows")
            _ask(self.connection, "RELEASE SAVEPOINT rows")


class _deferred:
    """Have foreign keys that form a circle checked when all of its rows are there."""

    def __init__(self, connection: Connection, needed: bool) -> None:
        self.connection = connection
        before, after = {
            "sqlite": ("PRAGMA defer_foreign_keys = ON", ""),
            "postgresql": ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS ALL IMMEDIATE"),
        }.get(connection.dialect.name, ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1"))
        self.before, self.after = (before, after) if needed else ("", "")

    def __enter__(self) -> None:
        if self.before:
            _ask(self.connection, self.before)

    def __exit__(self, *_: Any) -> None:
        if self.after:
            _ask(self.connection, self.after)


def _advance(filling: _Filling, names: Iterable[str]) -> None:
    """Have sequences go on after the numbers that were given, in one statement."""
    dialect, connection = filling.connection.dialect.name, filling.connection
    calls = []
    for name in names:
        for column in filling.tables[name].columns if name in filling.filled.written else ():
            numbers = [int(row[column.name]) for row in filling.rows[name] if column.serial]
            default = column.default or ""
            if not numbers or dialect == "sqlite":
                continue
            if dialect == "postgresql":
                sql = filling.tables[name].sql
                owned = f"pg_get_serial_sequence({_string(sql, dialect)}, {_string(column.name, dialect)})"
                match = re.match(r"nextval\(('(?:[^']|'')*'::regclass)", default)
                calls.append(f"setval({match.group(1) if match else owned}, {max(numbers)})")
            elif match := re.match(r"nextval\((.+)\)$", default, re.I):
                calls.append(f"setval({match.group(1)}, {max(numbers)})")
    for start in range(0, len(calls), 500):
        _ask(connection, f"SELECT {', '.join(calls[start : start + 500])}")


def _reason(error: DBAPIError) -> str:
    """Return what the server said, in one line."""
    orig = error.orig
    args: Sequence[Any] = getattr(orig, "args", ())
    said = args[1] if len(args) > 1 and isinstance(args[0], int) else str(orig)
    return " ".join(str(said).split("\n")[0].split())


# Reading rows


def read(connection: Connection, tables: Mapping[str, Table]) -> Rows:
    """Read every row of these tables, by value: what is equal to the server is equal here."""
    found = {}
    for name, table in tables.items():
        columns = ", ".join(_selected(connection, column) for column in table.columns)
        only = "ONLY " if table.only else ""
        answer = _ask(connection, f"SELECT {columns or 'NULL'} FROM {only}{table.sql}")
        makers = [_maker(column) for column in table.columns]
        rows = [
            tuple(None if v is None else make(v) for make, v in zip(makers, row, strict=False))
            for row in answer
        ]
        positions = [
            at for at, column in enumerate(table.columns) if column.name in table.primary
        ] or range(len(table.columns))
        rows.sort(key=lambda row, at=positions: [_order(row[n]) for n in at])  # type: ignore[misc]
        found[name] = Content(table, rows)
    return found


def _order(value: Any) -> Any:
    if isinstance(value, Decimal) and not value.is_nan():
        return (1, value, "")
    return (0, 0, "") if value is None else (2, 0, str(value))


def _selected(connection: Connection, column: Column) -> str:
    """Select a value in a form that every driver can fetch."""
    name, dialect = _quoted(connection, column.name), connection.dialect.name
    if dialect == "postgresql":
        if column.kind in ("integer", "numeric", "float", "boolean", "text", "char", "binary"):
            return f"{name}::numeric" if column.type == "money" else name
        if column.kind == "datetimetz":
            return f"({name} AT TIME ZONE 'UTC')::text"
        return f"{name}::jsonb::text" if column.kind == "json" else f"{name}::text"
    if dialect != "sqlite":
        if column.kind in ("date", "datetime", "time"):
            return f"CAST({name} AS CHAR)"
        return f"{name} + 0" if column.kind == "bit" else name
    return name


def _maker(column: Column) -> Callable[[Any], Any]:
    """Return what turns a fetched value of this column into one that can be compared."""
    if column.kind in ("integer", "numeric", "float", "boolean", "year"):
        return _plain
    if column.kind == "char":
        return lambda value: value.rstrip(" ") if isinstance(value, str) else _plain(value)
    if column.kind in ("datetime", "datetimetz", "time"):
        return _moment
    if column.kind == "json":
        return _json
    return _plain


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return number if number.is_finite() else str(number)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return value if isinstance(value, str) else str(value)


def _moment(value: Any) -> Any:
    """Write a date or time without what says nothing: a fraction of zeros, the T."""
    text = _plain(value)
    if not isinstance(text, str):
        return text
    text = re.sub(r"^(\d+-\d+-\d+)T", r"\1 ", text)
    return re.sub(r"\.(\d*?)0+$", lambda m: f".{m.group(1)}" if m.group(1) else "", text)


def _json(value: Any) -> Any:
    try:
        return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return _plain(value)


# What is lost


def lost_after_up(
    before: Rows,
    after: Rows,
    deliberate: Collection[str] | None = (),
    renamed: Mapping[str, str] | None = None,
) -> list[str]:
    """Say what one step lost of the rows read before it, as short lines (rules 1 to 3).

    ``deliberate`` are the tables that the step's own statements change (see `changed_by`), None
    when that cannot be told. ``renamed`` maps "table" or "table.column" to what it is called now,
    where the values do not say it.
    """
    moved = _moves(before, after) if deliberate is None else None
    excused = related({n: c.table for n, c in before.items()}, deliberate or ())
    excused |= {name for name in before if name.lower() in {d.lower() for d in excused}}
    lines = []
    for name, content in before.items():
        now = _renamed_table(name, content, before, after, renamed or {})
        if now is None or name in excused or now in excused:
            continue
        lines += _compare(content, after[now], renamed or {}, moved)
    return lines


def lost_after_down(
    before: Rows,
    between: Rows,
    after: Rows,
    renamed: Mapping[str, str] | None = None,
) -> list[str]:
    """Say what did not come back (rule 4): ``before`` the upgrade, ``between``, after the downgrade."""
    lines = []
    for name, content in before.items():
        if name not in after:
            if content.rows:
                lines.append(f"rows of {name}: {len(content.rows)} before, no such table after")
            continue
        now = _renamed_table(name, content, before, between, renamed or {})
        newer = between[now] if now is not None else None
        lines += _compare_back(content, newer, after[name], renamed or {})
    return lines


def since(earlier: Rows, now: Rows) -> Rows:
    """Return the rows that are there now and were not earlier: those written in between."""
    new = {}
    for name, content in now.items():
        left = Counter(earlier[name].rows) if name in earlier else Counter[tuple[Any, ...]]()
        rows = []
        for row in content.rows:
            if left[row]:
                left[row] -= 1
            else:
                rows.append(row)
        new[name] = Content(content.table, rows)
    return new


_NAME = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[[^\]]+\]|[^\W\d][\w$]*)'
_CHANGE = re.compile(
    r"(?<!\w)(?:(?<!on )(?<!for )(?<!key )UPDATE(?:\s+(?:IGNORE|LOW_PRIORITY|OR\s+\w+))?"
    r"|DELETE\s+FROM|DELETE\s+\w+\s+FROM|TRUNCATE(?:\s+TABLE)?|MERGE\s+INTO|REPLACE\s+INTO"
    rf"|INSERT\s+OR\s+REPLACE\s+INTO)\s+(?:ONLY\s+)?({_NAME}(?:\s*\.\s*{_NAME})?)",
    re.I,
)
_UNCERTAIN = re.compile(r"^\s*(DO|CALL|EXECUTE|BEGIN\s+NOT|PREPARE)\b", re.I)
_UPSERT = re.compile(
    rf"INSERT\s+INTO\s+({_NAME}(?:\s*\.\s*{_NAME})?).*?(?:ON\s+CONFLICT|ON\s+DUPLICATE)",
    re.I | re.S,
)


def changed_by(statements: Iterable[str]) -> frozenset[str] | None:
    """Return the tables whose rows these statements change on purpose; None: it cannot be told."""
    found = set()
    for statement in statements:
        plain = re.sub(r"\s+", " ", _without_strings(statement)).strip()
        if _UNCERTAIN.match(plain):
            return None
        if re.match(r"(CREATE|ALTER|GRANT|REVOKE|COMMENT)\b", plain, re.I):
            continue
        if re.match(r"SELECT\b(?!.*\bFROM\b).*\w\s*\(", plain, re.I):
            return None  # a function is called for what it does
        found |= {_bare(name) for name in [*_CHANGE.findall(plain), *_UPSERT.findall(plain)]}
    return frozenset(found)


def _bare(name: str) -> str:
    parts = [part.strip() for part in re.findall(_NAME, name)]
    return ".".join(
        part[1:-1].replace(part[0] * 2, part[0]) if part[0] in '"`[' else part for part in parts
    )


# Renames


def _renamed_table(
    name: str, content: Content, before: Rows, after: Rows, renamed: Mapping[str, str]
) -> str | None:
    """Return what a table is called now; None when it is gone."""
    name_ = renamed.get(name, name)
    if name_ in after:
        return name_
    columns = {column.name for column in content.table.columns}
    for other, now in after.items():
        if other not in before and {column.name for column in now.table.columns} >= columns:
            positions = [now.index(column.name) for column in content.table.columns]
            rows = Counter(tuple(row[at] for at in positions) for row in now.rows)
            if content.rows and not Counter(content.rows) - rows:
                return other
    return None


def _renamed_columns(before: Content, after: Content, renamed: Mapping[str, str]) -> dict[str, str]:
    """Map the columns that are still there to what they are called now."""
    old = [column.name for column in before.table.columns]
    new = [column.name for column in after.table.columns]
    folded = {name.lower(): name for name in new}
    same = {
        name: name if name in new else folded[name.lower()]
        for name in old
        if name in new or name.lower() in folded
    }
    for name in old:
        to = renamed.get(f"{before.table.name}.{name}")
        if to in new:
            same[name] = to
    left = [name for name in new if name not in same.values()]
    for name in old:
        if name in same or not any(value is not None for value in before.values(name)):
            continue
        values = Counter(before.values(name))
        for other in left:
            if not values - Counter(after.values(other)):
                same[name] = other
                left.remove(other)
                break
    return same


# Rows and values


_Pairs = list[tuple[tuple[Any, ...], tuple[Any, ...] | None]]


def _pairs(before: Content, after: Content, same: Mapping[str, str]) -> _Pairs:
    """Put each row beside what became of it: by primary key, or by most equal values."""
    key = [name for name in before.table.primary if name in same]
    if key and len(key) == len(before.table.primary):
        old = [before.index(name) for name in key]
        new = [after.index(same[name]) for name in key]
        found: dict[Any, list[tuple[Any, ...]]] = {}
        for row in after.rows:
            found.setdefault(tuple(_key(row[at]) for at in new), []).append(row)
        pairs: _Pairs = []
        for row in before.rows:
            match = found.get(tuple(_key(row[at]) for at in old))
            pairs.append((row, match[0] if match else None))
        if not pairs or any(row is not None for _, row in pairs):
            return pairs
        if len(after.rows) < len(before.rows):
            return pairs
    return _by_values(before, after, same)


def _key(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _by_values(before: Content, after: Content, same: Mapping[str, str]) -> _Pairs:
    old = [before.index(name) for name in same]
    new = [after.index(name) for name in same.values()]
    left = [(tuple(_key(row[at]) for at in new), row) for row in after.rows]
    exact: dict[Any, list[tuple[Any, ...]]] = {}
    for values, row in left:
        exact.setdefault(values, []).append(row)
    pairs: _Pairs = []
    rest = []
    for row in before.rows:
        match = exact.get(tuple(_key(row[at]) for at in old))
        if match:
            pairs.append((row, match.pop()))
        else:
            rest.append(row)
    free = [row for rows in exact.values() for row in rows]
    for row in rest:
        best = max(free, key=lambda r, row=row: _alike(row, old, r, new), default=None)  # type: ignore[misc]
        if best is not None:
            free.remove(best)
        pairs.append((row, best))
    return pairs


def _alike(row: Any, old: Sequence[int], other: Any, new: Sequence[int]) -> int:
    return sum(_key(row[a]) == _key(other[b]) for a, b in zip(old, new, strict=True))


def _moves(before: Rows, after: Rows) -> frozenset[str]:
    """Return the values that are there as often as before, wherever they are now."""

    def cells(rows: Rows) -> Counter[str]:
        return Counter(
            _key(value)
            for content in rows.values()
            for row in content.rows
            for value in row
            if value is not None
        )

    had, has = cells(before), cells(after)
    return frozenset(value for value, count in had.items() if has[value] >= count)


def _compare(
    before: Content, after: Content, renamed: Mapping[str, str], moved: frozenset[str] | None
) -> list[str]:
    """Compare one table before and after a step."""
    name = before.table.name
    same = _renamed_columns(before, after, renamed)
    pairs = _pairs(before, after, same)
    gone = [row for row, now in pairs if now is None and not _went(before, row, moved)]
    lines = [_count_line(before, after)] if gone else []
    for column, now in same.items():
        old, new = before.table.column(column), after.table.column(now)
        assert old is not None
        assert new is not None
        if old.generated or new.generated:
            continue
        at, to = before.index(column), after.index(now)
        changes = [(row[at], other[to]) for row, other in pairs if other is not None]
        wrong = [
            (was, is_)
            for was, is_ in changes
            if not _held(was, is_, old, new) and not (moved is not None and _mild(was, is_, moved))
        ]
        lines += _value_lines(f"{name}.{column}", wrong)
    return lines


def _went(content: Content, row: tuple[Any, ...], moved: frozenset[str] | None) -> bool:
    """Say whether the values of a row, but its key, turned up elsewhere."""
    if moved is None:
        return False
    names = [column.name for column in content.table.columns]
    keys = {c for key in content.table.foreign for c in key.columns} | {*content.table.primary}
    values = [
        v for n, v in zip(names, row, strict=True) if n not in keys and isinstance(v, str) and v
    ]
    return bool(values) and all(_key(value) in moved for value in values)


def _mild(was: Any, now: Any, moved: frozenset[str]) -> bool:
    """Say whether a change may be meant, where it cannot be told what a step executed."""
    if _key(was) in moved:
        return True
    if now is None:
        return False
    return not (isinstance(was, str) and isinstance(now, str) and _cut(was, now))


def _cut(was: str, now: str) -> bool:
    return len(now) < len(was) and was.startswith(now)


def _compare_back(
    before: Content, between: Content | None, after: Content, renamed: Mapping[str, str]
) -> list[str]:
    """Compare one table before the upgrade and after the downgrade."""
    same = {
        column.name: column.name
        for column in before.table.columns
        if after.table.column(column.name)
    }
    pairs = _pairs(before, after, same)
    lines = [_count_line(before, after)] if any(now is None for _, now in pairs) else []
    kept = _renamed_columns(before, between, renamed) if between else {}
    for column in before.table.columns:
        if column.name not in same:
            values = [row[before.index(column.name)] for row in before.rows]
            lost = [(v, None) for v in values if v is not None and not column.generated]
            lines += _value_lines(f"{before.table.name}.{column.name}", lost)
            continue
        if column.generated:
            continue
        at, to = before.index(column.name), after.index(column.name)
        changes = [(row[at], now[to]) for row, now in pairs if now is not None]
        newer = between.table.column(kept[column.name]) if between and column.name in kept else None
        wrong = [
            (was, now)
            for was, now in changes
            if not _held(was, now, column, column)
            and not (newer is not None and _held(was, now, column, newer, back=True))
        ]
        if newer is None and between is not None and _computed(changes, wrong):
            continue
        lines += _value_lines(f"{before.table.name}.{column.name}", wrong)
    return lines


def _computed(changes: list[tuple[Any, Any]], wrong: list[tuple[Any, Any]]) -> bool:
    """Say whether a rebuilt column shows that the downgrade knows how to rebuild it (rule 5)."""
    right = {_key(was) for was, now in changes if was is not None and (was, now) not in wrong}
    return len(right) > 1 and not any(now is None or _damaged(was, now) for was, now in wrong)


def _damaged(was: Any, now: Any) -> bool:
    """Say whether a value looks like a bad copy of another."""
    if isinstance(was, Decimal) and isinstance(now, Decimal):
        return abs(was - now) < 1
    one, two = (re.sub(r"\W", "", _key(value)).casefold() for value in (was, now))
    return one.startswith(two) or two.startswith(one)


def _count_line(before: Content, after: Content) -> str:
    return f"rows of {before.table.name}: {len(before.rows)} before, {len(after.rows)} after"


def _value_lines(name: str, wrong: list[tuple[Any, Any]]) -> list[str]:
    if not wrong:
        return []
    was, now = wrong[0]
    rows = "1 row" if len(wrong) == 1 else f"{len(wrong)} rows"
    return [f"{name}: {_shown(was)} -> {_shown(now)} in {rows}"]


def _shown(value: Any) -> str:
    if value is None:
        return "NULL"
    text = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 48 else f"{text[:30]}... ({len(value)} long)"


# Equal values

_FAMILY = {
    "integer": "number",
    "numeric": "number",
    "float": "number",
    "boolean": "number",
    "year": "number",
    "bit": "number",
    "date": "moment",
    "datetime": "moment",
    "datetimetz": "moment",
    "text": "text",
    "char": "text",
    "enum": "text",
    "set": "text",
    "json": "text",
    "uuid": "text",
    "binary": "text",
}


def _held(was: Any, now: Any, old: Column, new: Column, back: bool = False) -> bool:
    """Say whether a value is what became of another in a type that may hold less.

    With ``back`` the value has been in the new type, and is in the old one again.
    """
    if was is None or was == now:
        return True
    if now is None:
        return False
    if isinstance(was, Decimal) and isinstance(now, Decimal):
        return _close(was, now, old, new)
    families = {_FAMILY.get(column.kind, column.kind) for column in (old, new)}
    if families == {"moment"} and _same_moment(str(was), str(now), old, new):
        return True
    if families == {"text"}:
        return _same_text(was, now, old, new)
    if len(families) > 1 and not back:
        return True  # a conversion: another value is its purpose
    return len(families) > 1 and _loosely(was) == _loosely(now)


def _loosely(value: Any) -> Any:
    text = _key(value).strip().casefold()
    text = {"true": "1", "t": "1", "false": "0", "f": "0"}.get(text, text)
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _close(was: Decimal, now: Decimal, old: Column, new: Column) -> bool:
    if new.kind == "boolean":
        return bool(was) == bool(now)
    digits = (
        min(c.precision or 15 for c in (old, new) if c.kind == "float")
        if "float" in (old.kind, new.kind)
        else None
    )
    if digits and abs(was - now) <= abs(was).scaleb(1 - digits):
        return True
    if new.kind == "numeric" and new.precision is None and new.scale is None:
        return False
    if new.kind not in ("integer", "numeric"):
        return False
    unit = Decimal(1).scaleb(-(new.scale or 0))
    fits = was % unit == 0
    if new.kind == "integer" and abs(was) >= 2 ** (new.bits if new.unsigned else new.bits - 1):
        return True
    if (
        new.kind == "numeric"
        and new.precision
        and abs(was) >= Decimal(10) ** (new.precision - (new.scale or 0))
    ):
        return True
    return not fits and abs(was - now) < unit


def _same_text(was: Any, now: Any, old: Column, new: Column) -> bool:
    one, two = (
        v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in (was, now)
    )
    if "char" in (old.kind, new.kind):
        one, two = one.rstrip(" "), two.rstrip(" ")
    if new.length is not None and len(one) > new.length:
        return True
    if "uuid" in (old.kind, new.kind):
        one, two = (text.replace("-", "").casefold() for text in (one, two))
    if new.kind == "enum" and one not in new.labels:
        return True
    if old.kind == "binary" or new.kind == "binary":
        one, two = one.rstrip("\0"), two.rstrip("\0")
    return one == two or (one[:1] in "{[" and two[:1] in "{[" and _json(one) == _json(two))


def _same_moment(was: str, now: str, old: Column, new: Column) -> bool:
    try:
        one, two = dt.datetime.fromisoformat(_padded(was)), dt.datetime.fromisoformat(_padded(now))
    except ValueError:
        return False
    if new.kind == "date":
        return one.date() == two.date()
    if (one.tzinfo is None) != (two.tzinfo is None):
        one, two = one.replace(tzinfo=None), two.replace(tzinfo=None)
    if "datetimetz" in (old.kind, new.kind) and old.kind != new.kind:
        # The session's time zone: whole quarters of an hour, not a day.
        return abs(one - two) < dt.timedelta(hours=15) and not (one - two) % dt.timedelta(
            minutes=15
        )
    exact = one.microsecond == 0 or (old.precision or 6) <= (new.precision or 6)
    return abs(one - two) < dt.timedelta(seconds=0 if exact else 1) or one == two


def _padded(text: str) -> str:
    """Write a fraction of a second with six digits: Python 3.10 reads no others."""
    return re.sub(r"\.(\d{1,6})\d*", lambda m: "." + m.group(1).ljust(6, "0"), text)
