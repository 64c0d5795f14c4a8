"""The description of a table that is needed to fill and to read it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from alembic_toolkit.rows.forms import fits

# What a table is


@dataclass(frozen=True)
class Column:
    """A column, and the values its type can hold."""

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
    sample: bytes | None = None  # what is to be in it, made for a revision that reads it
    of: str = ""  # its table: `fill` puts other texts into each


@dataclass(frozen=True)
class ForeignKey:
    """The columns that refer to another table."""

    name: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]  # empty: the primary key


@dataclass(frozen=True)
class Table:
    """The description of a table that is needed to fill and to read it."""

    name: str  # "table", or "schema.table" outside the default schema
    sql: str  # quoted, for statements
    columns: tuple[Column, ...] = ()
    primary: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    foreign: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()
    only: bool = False  # PostgreSQL: without the rows of tables that inherit

    @cached_property
    def names(self) -> list[str]:
        """Return the names of all columns."""
        return [column.name for column in self.columns]

    @cached_property
    def references(self) -> frozenset[str]:
        """Return the names of the columns that refer to another table."""
        return frozenset(name for key in self.foreign for name in key.columns)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in reversed(self.columns)}

    def column(self, name: str) -> Column | None:
        """Return the column of that name."""
        return self._by_name.get(name)


Tables = dict[str, Table]


def related(tables: Mapping[str, Table], names: Iterable[str]) -> set[str]:
    """Return these tables and, recursively, all that refer to them: a cascade may reach them."""
    children: dict[str, set[str]] = {}
    for table in tables.values():
        for key in table.foreign:
            children.setdefault(key.target, set()).add(table.name)
    return reached(children, names)


def reached(graph: Mapping[str, Collection[str]], names: Iterable[str]) -> set[str]:
    """Return the names, and everything reachable from them in the graph."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph.get(name, ())
    return found


def parents(tables: Mapping[str, Table], names: Iterable[str]) -> set[str]:
    """Return the tables that these refer to: `fill` needs their rows."""
    return {key.target for name in names if name in tables for key in tables[name].foreign}


def labelled(
    tables: Tables,
    labels: Mapping[tuple[str, str], tuple[str, ...]],
    forms: Mapping[tuple[str, str], str],
) -> Tables:
    """Set the only values that string columns can have, by table and column."""

    def column(table: Table, one: Column) -> Column:
        key = (table.name.rpartition(".")[2], one.name)
        if one.kind not in ("text", "char") or not (key in labels or key in forms):
            return one
        form = forms.get(key)
        form = form if form and fits(form, one.length) else ""
        return replace(one, labels=labels.get(key, ()), form=form)

    if not labels and not forms:
        return tables
    return {
        name: replace(table, columns=tuple(column(table, one) for one in table.columns))
        for name, table in tables.items()
    }


def grouped(rows: Iterable[Sequence[Any]]) -> dict[Any, list[Any]]:
    """Return lists of rows by their first value, without it."""
    found: dict[Any, list[Any]] = {}
    for first, *others in rows:
        found.setdefault(first, []).append(others)
    return found


# Types

_KINDS = {
    "integer": "int integer bigint smallint tinyint mediumint int2 int4 int8 serial bigserial",
    "boolean": "boolean bool",
    "numeric": "numeric decimal dec fixed money smallmoney",
    "float": "float real double float4 float8",
    "text": "varchar nvarchar text tinytext mediumtext longtext clob citext string",
    "char": "char character nchar bpchar",
    "binary": "blob tinyblob mediumblob longblob bytea varbinary binary raw",
    "datetime": "datetime timestamp",
    "json": "json jsonb",
    "bit": "bit varbit",
}
_KIND = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_KIND |= {word: word for word in ("date", "time", "interval", "uuid", "enum", "set", "year")}
_BITS = {"tinyint": 8, "smallint": 16, "int2": 16, "mediumint": 24, "bigint": 64, "int8": 64}
_TYPE = re.compile(r'^\s*"?([^\W\d]\w*)"?\s*(varying|precision)?\s*(?:\(([^)]*)\))?\s*(.*)$', re.I)


@lru_cache(maxsize=8192)
def typed(column: Column) -> Column:
    """Set which values a column's type can hold, from the text of the type."""
    if column.type.endswith("[]"):
        element = typed(replace(column, type=column.type[:-2], labels=column.labels))
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


# Texts of SQL


def without_strings(sql: str) -> str:
    """Blank out strings and comments, keeping every position."""
    pattern = r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/"
    return re.sub(pattern, lambda match: " " * len(match.group()), sql, flags=re.S)


def names_in(text: str, names: Iterable[str]) -> list[str]:
    """Return the names that occur in an expression."""
    if not text:
        return []
    plain = without_strings(text)
    return [n for n in names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", plain, re.I)]
