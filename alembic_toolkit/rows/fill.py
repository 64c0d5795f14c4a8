"""Fill tables with rows, as nasty as the schema allows.

A table without rows gets about four, and a child table enough for each of its parents; the last row
is a copy of the first as far as keys allow. A table with rows gets a few more only if one of its
columns has the same value in all of them (for example because it is new): otherwise rows that a
revision derived (payments from ``bills.paid``) would no longer match. Each nullable column is NULL
in some row.

Serial numbers are inserted explicitly and sequences advanced, since a revision may insert rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.filling import NASTY, Filled, Filling, Row, Sort
from alembic_toolkit.rows.forms import fits
from alembic_toolkit.rows.plan import is_nullable, plan, reference
from alembic_toolkit.rows.read import read
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import (
    Column,
    ForeignKey,
    Table,
    Tables,
    names_in,
    parents,
    reached,
)
from alembic_toolkit.rows.write import advance, deferred, insert, reason, savepoint, update


def fill(
    connection: Connection,
    tables: Tables,
    names: Iterable[str] | None = None,
    seed: int = 0,
    given: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    within: Mapping[str, Table] | None = None,
    there: Rows | None = None,
    sort: Sort = NASTY,
) -> Filled:
    """Insert rows into the tables named (all), parents first; commit nothing, and never raise.

    :param tables: the result of `look`: the tables to fill, and their `parents`.
    :param seed: the same one gives the same rows.
    :param given: a project's own rows by table: an empty table gets these and no others; a column
     that they do not name gets a value of ours.
    :param within: an older result of `look`: values must fit the older schema as well.
    :param there: rows just found by `read`, so that a table that needs none costs no statement.
    :param sort: simpler rows, for a revision that fails on the nasty ones.
    """
    wanted = [name for name in (tables if names is None else names) if name in tables]
    if within:
        tables = tables | {
            n: _narrowed(tables[n], within[n], tables) for n in wanted if n in within
        }
    tables = tables | {name: _sorted(tables[name], sort) for name in wanted}
    filling = Filling(connection, tables, seed, given or {}, sort)
    known = {*wanted, *parents(tables, wanted)} & {*tables}
    found = {name: content for name, content in (there or {}).items() if name in known}
    found |= read(connection, {name: tables[name] for name in known if name not in found})
    for name, content in found.items():
        names_ = content.table.names
        filling.rows[name] = [dict(zip(names_, row, strict=True)) for row in content.rows]
    for group in _in_order(tables, wanted):
        _fill_group(filling, group)
    advance(filling, wanted)
    return filling.filled


def _sorted(table: Table, sort: Sort) -> Table:
    """Return the table with columns that contain the values of a sort of rows."""
    unique = {name for key in (table.primary, *table.uniques) for name in key}

    def column(one: Column) -> Column:
        if one.of != table.name:
            one = replace(one, of=table.name)
        if one.labels or one.name in table.references or one.form not in ("", "object"):
            return one
        if sort.texts and one.kind in ("text", "char", "json") and one.name not in unique:
            fitting = [text for text in sort.texts if len(text) <= (one.length or len(text))]
            return replace(one, labels=tuple(fitting))
        if sort.form and one.kind in ("text", "char") and fits(sort.form, one.length):
            return replace(one, form=sort.form)
        if sort.binary is not None and one.kind == "binary":
            return replace(one, sample=sort.binary)
        return one

    return replace(table, columns=tuple(map(column, table.columns)))


def _narrowed(table: Table, older: Table, existing: Collection[str]) -> Table:
    """Return the table with the narrower type of each column, and the keys and checks of both."""
    columns = []
    for column in table.columns:
        old = older.column(column.name)
        if old is not None and old.kind == column.kind:
            sizes: dict[str, Any] = {
                name: min(filter(None, (getattr(column, name), getattr(old, name))), default=None)
                for name in ("length", "precision", "bits")
            }
            labels = tuple(label for label in column.labels if label in old.labels)
            column = replace(
                column,
                nullable=column.nullable and old.nullable,
                labels=labels or column.labels,
                ascii=column.ascii or old.ascii,
                form=column.form or old.form,
                **sizes,
            )
        columns.append(column)
    names = {*table.names}
    uniques = [unique for unique in older.uniques if names >= {*unique}]
    targets = [key for key in older.foreign if names >= {*key.columns} and key.target in existing]
    return replace(
        table,
        columns=tuple(columns),
        uniques=tuple(dict.fromkeys([*table.uniques, *uniques])),
        foreign=tuple(dict.fromkeys([*table.foreign, *targets])),
        checks=table.checks + _still_meant(older, table),
    )


def _still_meant(older: Table, table: Table) -> tuple[str, ...]:
    """Return a table's dropped checks if their columns are all unchanged."""
    same = {c.name for c in older.columns if table.column(c.name) == c}
    dropped = (check for check in older.checks if check not in table.checks)
    return tuple(check for check in dropped if same >= {*names_in(check, older.names)})


def _in_order(tables: Tables, names: Sequence[str]) -> list[list[str]]:
    """Put parents before children; mutually dependent tables form one group."""
    targets = {n: {k.target for k in tables[n].foreign} & {*names} for n in names}
    groups: dict[frozenset[str], list[str]] = {}
    for name in names:
        groups.setdefault(frozenset(reached(targets, [name])), []).append(name)
    # A table that needs another one needs everything that one needs, and more.
    return [groups[needed] for needed in sorted(groups, key=len)]


def _fill_group(filling: Filling, group: list[str]) -> None:
    """Plan the rows of mutually dependent tables, then insert them."""
    planned: dict[str, list[Row]] = {}
    for name in group:
        rows = plan(filling, filling.tables[name], set(group) - set(planned))
        if rows:
            planned[name] = rows
            filling.rows[name] = filling.rows.get(name, []) + rows
    later = _close_cycles(filling, group, planned)
    circular = any(not nullable for _, _, nullable in later)
    before = {name: list(filling.rows[name]) for name in planned}
    connection = filling.connection
    try:
        with savepoint(connection, circular), deferred(connection) if circular else nullcontext():
            for name, rows in planned.items():
                put_off = {c for t, key, null in later if t == name and null for c in key.columns}
                insert(filling, filling.tables[name], rows, put_off)
                if circular and filling.filled.written.get(name, 0) < len(rows):
                    raise _HalfFilled(filling.filled.failed.get(name, "not all rows went in"))
            for name in planned if circular else ():
                if problem := server_of(connection).dangling(connection, name):
                    raise _HalfFilled(problem)
    except (DBAPIError, _HalfFilled) as error:
        why = reason(error) if isinstance(error, DBAPIError) else str(error)
        for name in planned:
            filling.rows[name] = before[name][: -len(planned[name])]
            filling.filled.written.pop(name, None)
            filling.filled.returned.pop(name, None)
            filling.filled.failed.setdefault(name, why)
    for name, key, nullable in later:
        if nullable and name in filling.filled.written:
            update(filling, filling.tables[name], planned[name], key)


class _HalfFilled(Exception):
    """Mutually dependent tables are filled all or none."""


def _close_cycles(
    filling: Filling, group: list[str], planned: Mapping[str, list[Row]]
) -> list[tuple[str, ForeignKey, bool]]:
    """Set the foreign keys that had to wait for their parents' rows; return them."""
    later = []
    for at, name in enumerate(group):
        table, new = filling.tables[name], planned.get(name, [])
        for key in table.foreign:
            if not new or key.target not in group[at:]:
                continue
            nullable = any(is_nullable(table, column) for column in key.columns)
            for number, row in enumerate(new):
                choice = filling.rows.get(key.target, [])
                if key.target == name:  # the row before; the first is its own parent, or has none
                    choice = [] if nullable and not number else [new[max(number - 1, 0)]]
                if choice:
                    row.update(reference(filling, key, choice[number % len(choice)]))
            if key.target != name:
                later.append((name, key, nullable))
    return later
