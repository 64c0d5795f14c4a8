"""Fill tables with rows, as nasty as the schema allows.

A table without rows gets about four, a child enough for each of its parents; the last is a copy of
the first as far as keys allow. A table with rows gets a few more only if one of its columns has the
same value in all of them (it is new, say): otherwise what a revision made of the rows (payments
from ``bills.paid``) would no longer agree with them. Each nullable column is NULL somewhere.

Serial numbers are inserted explicitly and sequences advanced: a revision may insert rows, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.filling import Filled, Filling, Row
from alembic_toolkit.rows.plan import is_nullable, plan, reference
from alembic_toolkit.rows.read import read
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import ForeignKey, Table, Tables, names_in, parents
from alembic_toolkit.rows.write import Deferred, Savepoint, advance, insert, reason, update


def fill(
    connection: Connection,
    tables: Tables,
    names: Iterable[str] | None = None,
    seed: int = 0,
    per_table: int = 4,
    given: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    within: Mapping[str, Table] | None = None,
    there: Rows | None = None,
    texts: str | None = None,
) -> Filled:
    """Insert rows into the tables named (all), parents first; commit nothing, and never raise.

    :param tables: what `look` found: those to fill, and their `parents`.
    :param seed: the same one gives the same rows.
    :param given: a project's own rows by table: an empty table gets these and no others; a column
     that they do not name gets a value of ours.
    :param within: an older look: values are such as the older schema can hold, too.
    :param there: rows that `read` has just found: a table that needs no rows costs no statement.
    :param texts: what free texts hold, instead of something nasty, unless they must be unique.
    """
    wanted = [name for name in (tables if names is None else names) if name in tables]
    if within:
        tables = {
            **tables,
            **{n: _narrowed(tables[n], within[n], tables) for n in wanted if n in within},
        }
    if texts is not None:
        tables = {name: _with_texts(table, texts) for name, table in tables.items()}
    filling = Filling(connection, tables, seed, per_table, given or {})
    known = {name: tables[name] for name in {*wanted, *parents(tables, wanted)} if name in tables}
    there = there or {}
    unread = {name: table for name, table in known.items() if name not in there}
    known_rows = {**read(connection, unread), **{n: there[n] for n in known if n in there}}
    for name, content in known_rows.items():
        columns = [column.name for column in content.table.columns]
        filling.rows[name] = [dict(zip(columns, row, strict=True)) for row in content.rows]
    for group in _in_order(tables, wanted):
        _fill_group(filling, group)
    advance(filling, wanted)
    return filling.filled


def _with_texts(table: Table, text: str) -> Table:
    texts = [c for c in table.columns if c.kind in ("text", "json") and not c.labels]
    free = {column.name for column in texts if column.form in ("", "object")}
    free -= {column for key in table.foreign for column in key.columns}
    return replace(
        table,
        columns=tuple(replace(c, labels=(text,)) if c.name in free else c for c in table.columns),
    )


def _narrowed(table: Table, older: Table, there: Collection[str]) -> Table:
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
            column = replace(column, nullable=column.nullable and old.nullable, **sizes)
            column = replace(column, labels=labels or column.labels, ascii=column.ascii | old.ascii)
            column = replace(column, form=column.form or old.form)
        columns.append(column)
    names = {column.name for column in columns}
    uniques = [unique for unique in older.uniques if names >= {*unique}]
    targets = [key for key in older.foreign if names >= {*key.columns} and key.target in there]
    return replace(
        table,
        columns=tuple(columns),
        uniques=tuple(dict.fromkeys([*table.uniques, *uniques])),
        foreign=tuple(dict.fromkeys([*table.foreign, *targets])),
        checks=table.checks + _still_meant(older, table),
    )


def _still_meant(older: Table, table: Table) -> tuple[str, ...]:
    """Return the dropped checks of a table whose columns are all unchanged."""
    same = {c.name for c in older.columns if table.column(c.name) == c}
    names = [column.name for column in older.columns]
    return tuple(
        check
        for check in older.checks
        if check not in table.checks and same >= {*names_in(check, names)}
    )


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


def _fill_group(filling: Filling, group: list[str]) -> None:
    """Plan the rows of tables that need each other, then insert them."""
    planned: dict[str, list[Row]] = {}
    for name in group:
        rows = plan(filling, filling.tables[name], set(group) - set(planned))
        if rows:
            planned[name] = rows
            filling.rows[name] = filling.rows.get(name, []) + rows
    later = _close_cycles(filling, group, planned)
    circular = any(not nullable for _, _, nullable in later)
    before = {name: list(filling.rows[name]) for name in planned}
    try:
        with Savepoint(filling.connection, circular), Deferred(filling.connection, circular):
            for name, rows in planned.items():
                put_off = {c for t, key, null in later if t == name and null for c in key.columns}
                if len(_write(filling, name, rows, put_off)) < len(rows) and circular:
                    raise _HalfFilled(filling.filled.failed.get(name, "not all rows went in"))
            _check_deferred(filling, [*planned] if circular else [])
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
    """Tables that need each other are filled all or none."""


def _check_deferred(filling: Filling, names: Iterable[str]) -> None:
    """Refuse rows that refer to nothing, where the server would do so at the commit alone.

    :raises _HalfFilled: some row does.
    """
    server = server_of(filling.connection)
    for name in names:
        if problem := server.dangling(filling.connection, name):
            raise _HalfFilled(problem)


def _write(filling: Filling, name: str, rows: list[Row], put_off: set[str]) -> list[Row]:
    """Insert the planned rows of a table, and remember those that went in."""
    done = insert(filling, filling.tables[name], rows, put_off)
    filling.rows[name] = filling.rows[name][: -len(rows)] + done
    if done:
        filling.filled.written[name] = len(done)
    return done


def _close_cycles(
    filling: Filling, group: list[str], planned: Mapping[str, list[Row]]
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
