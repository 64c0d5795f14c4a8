"""Put rows into tables, as nasty as the schema allows, and read them by value.

A table without rows gets about four, a child enough for each of its parents,
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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import ask, fetch, identifier
from alembic_toolkit.forms import made
from alembic_toolkit.tables import (
    Column,
    ForeignKey,
    Table,
    Tables,
    names_in,
    parents,
    string,
    strings_in,
    without_strings,
)

MOST = 100  # rows of one table: above that nothing is added


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
    returned: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)  # where it says them
    failed: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Say which tables could not be filled, and why."""
        return [f"no rows in {name}: {why}" for name, why in sorted(self.failed.items())]


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
    advanced: set[str] = field(default_factory=set)  # whose sequences go on after these rows


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

    ``tables`` are what `look` found: those to fill, and their `parents`. The same seed gives the
    same rows. ``given`` are a project's own rows by table: an empty table gets these and no others;
    a column that they do not name gets a value of ours. With ``within``, an older look, values
    stay such as the older schema can hold too. ``there`` are rows that `read` has just found: with
    them, a table that needs no rows costs no statement. ``texts`` is what free texts hold instead
    of something nasty, as far as they need not be unique.
    """
    wanted = [name for name in (tables if names is None else names) if name in tables]
    if within:
        tables = {
            **tables,
            **{n: _narrowed(tables[n], within[n], tables) for n in wanted if n in within},
        }
    if texts is not None:
        tables = {name: _with_texts(table, texts) for name, table in tables.items()}
    filling = _Filling(connection, tables, seed, per_table, given or {})
    known = {name: tables[name] for name in {*wanted, *parents(tables, wanted)} if name in tables}
    there = there or {}
    unread = {name: table for name, table in known.items() if name not in there}
    known_rows = {**read(connection, unread), **{n: there[n] for n in known if n in there}}
    for name, content in known_rows.items():
        columns = [column.name for column in content.table.columns]
        filling.rows[name] = [dict(zip(columns, row, strict=True)) for row in content.rows]
    for group in _in_order(tables, wanted):
        _fill_group(filling, group)
    _advance(filling, wanted)
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
    """Take the narrower of two types for each column, and the keys and checks of both."""
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
    """Return the checks that a table had and has no more, where all their columns are the same."""
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
    before = {name: list(filling.rows[name]) for name in planned}
    try:
        with _Savepoint(filling.connection, circular), _Deferred(filling.connection, circular):
            for name, rows in planned.items():
                put_off = {c for t, key, null in later if t == name and null for c in key.columns}
                if len(_write(filling, name, rows, put_off)) < len(rows) and circular:
                    raise _HalfFilled(filling.filled.failed.get(name, "not all rows went in"))
            _check_deferred(filling, [*planned] if circular else [])
    except (DBAPIError, _HalfFilled) as error:
        why = _reason(error) if isinstance(error, DBAPIError) else str(error)
        for name in planned:
            filling.rows[name] = before[name][: -len(planned[name])]
            filling.filled.written.pop(name, None)
            filling.filled.returned.pop(name, None)
            filling.filled.failed.setdefault(name, why)
    for name, key, nullable in later:
        if nullable and name in filling.filled.written:
            _update(filling, filling.tables[name], planned[name], key)


class _HalfFilled(Exception):
    """Tables that need each other are filled all or none."""


def _check_deferred(filling: _Filling, names: Iterable[str]) -> None:
    """Have SQLite say now what refers to nothing: by itself it does at the commit.

    :raises _HalfFilled: some row does.
    """
    connection = filling.connection
    for name in names if connection.dialect.name == "sqlite" else ():
        # https://sqlite.org/pragma.html#pragma_foreign_key_check
        dangling = ask(connection, f"PRAGMA foreign_key_check({string(name, 'sqlite')})")
        if dangling:
            raise _HalfFilled(f"FOREIGN KEY constraint failed: {dangling[0][2]}")


def _write(filling: _Filling, name: str, rows: list[Row], put_off: set[str]) -> list[Row]:
    """Insert the planned rows of a table, and remember those that went in."""
    done = _insert(filling, filling.tables[name], rows, put_off)
    filling.rows[name] = filling.rows[name][: -len(rows)] + done
    if done:
        filling.filled.written[name] = len(done)
    return done


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
    _satisfy(filling, table, rows, random_)
    for row, own in zip(rows, given, strict=False):
        row.update({name: value for name, value in own.items() if name in row})
    return _distinct(table, there, rows, bool(given))


def _count(filling: _Filling, table: Table, there: list[Row]) -> int:
    if len(there) >= MOST:
        return 0
    if there:
        return 2 if any(_never_varies(table, column, there) for column in table.columns) else 0
    labels = max((len(c.labels) + c.nullable for c in table.columns if c.labels), default=0)
    children = 0
    for key in table.foreign:
        children = max(children, len(filling.rows.get(key.target, [])) + 2)
    count = min(max(filling.per_table, labels + 1, children), max(8, filling.per_table))
    return count


def _never_varies(table: Table, column: Column, there: list[Row]) -> bool:
    """Say whether rows of ours could make a column vary that does not."""
    if column.generated or len(candidates(column)) < 2:
        return False
    values = {str(row[column.name]) for row in there if row[column.name] is not None}
    if any(column.name in key.columns for key in table.foreign):
        return not values
    if names_in(" ".join(table.checks), [column.name]):  # it may allow one value alone
        return not values
    return len(values) < 2 and len(there) > 1


def _pick(column: Column, number: int, count: int, position: int, again: bool) -> Any:
    """Choose a value: NULL in the second or third row, another candidate in each row."""
    null = 1 + position % 2 if column.nullable and not again else count
    if number == null or (count == 1 and column.nullable and not again):
        return None
    choice = candidates(column)
    return choice[(number - (number > null)) % len(choice)] if choice else _UNSET


_UNSET = object()  # leave it to the default


def _number(column: Column, there: list[Row], rows: list[Row]) -> None:
    """Give rows the numbers after the highest there is."""
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
            choice = _agreeing(filling, table, key, row, parent_rows)
            row.update(choice[position % len(choice)])
            position += 1
    return None


def _fixed(table: Table, key: ForeignKey, column: str) -> bool:
    """Say whether a column must keep its value though the reference is NULL."""
    others = {c for other in table.foreign if other is not key for c in other.columns}
    return not _nullable(table, column) or column in others


def _agreeing(
    filling: _Filling, table: Table, key: ForeignKey, row: Row, parent_rows: list[Row]
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


def _satisfy(filling: _Filling, table: Table, rows: list[Row], random_: random.Random) -> None:
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
        found, checks = names_in(check, names), [check]
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
    strings = list(strings_in(text))
    numbers = {Decimal(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", without_strings(text))}
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
        names = ", ".join(identifier(connection, name) for name in group)
        rows = " UNION ALL ".join(
            f"SELECT {number}, "
            + ", ".join(_cast(connection, table, n, v) for n, v in zip(group, values, strict=True))
            for number, values in enumerate(combinations)
        )
        where = " AND ".join(f"({check}) IS NOT FALSE" for check in checks)
        number = identifier(connection, "row number")
        parts.append(
            f"SELECT {at}, t.{number} FROM"
            f" (WITH c({number}, {names}) AS ({rows}) SELECT * FROM c) t WHERE {where}"
        )
    sql = " UNION ALL ".join(parts) + " ORDER BY 1, 2" if parts else ""
    with _Savepoint(connection):
        return ask(connection, sql) if sql else []


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
    checked = set(names_in(" ".join(table.checks), names))
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
    if column.labels:  # the application keeps to them, though the server does not
        return list(column.labels)
    if column.form:
        return [made(column.form, number, column.length) for number in range(3)]
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
    "json": lambda column: [*column.labels] or ['{"a": [1, null, "Zo\u00eb"]}', "{}", "[]"],
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
    elif column.kind in ("text", "char") and column.form:
        yield from (made(column.form, n, column.length) for n in numbers)
    elif column.kind in ("text", "char"):
        # The number first: MariaDB's keys may hold only the beginning of a text.
        long = str(_texts(replace(column, labels=()))[0])
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
        return f"B{string(text, dialect)}"
    if dialect == "sqlite" and kind == "datetime" and len(text) == 19:
        text += ".000000"  # as SQLAlchemy writes it
    if dialect in ("mysql", "mariadb") and kind in ("datetime", "datetimetz"):
        text = text[:26].replace("+00:00", "")
    return string(text, dialect)


def _insert(filling: _Filling, table: Table, rows: list[Row], put_off: set[str]) -> list[Row]:
    """Insert rows, all at once or, when the server refuses, one by one; return those that went."""
    rows_ = [{k: None if k in put_off else v for k, v in row.items()} for row in rows]
    try:
        _insert_rows(filling, table, rows_)
    except DBAPIError as error:
        done, why = [], _reason(error)
        for row, planned in zip(rows_, rows, strict=True):
            try:
                _insert_rows(filling, table, [row])
                done.append(planned)
            except DBAPIError as again:
                why = _reason(again)
        if not done and not filling.rows[table.name][: -len(rows)]:
            filling.filled.failed[table.name] = why
        return done
    return rows


def _insert_rows(filling: _Filling, table: Table, rows: list[Row]) -> None:
    connection, dialect = filling.connection, filling.connection.dialect.name
    columns = [c for c in table.columns if any(r.get(c.name, _UNSET) is not _UNSET for r in rows)]
    names = ", ".join(identifier(connection, column.name) for column in columns)
    values = ", ".join(
        "(" + ", ".join(_literal(row.get(c.name), c, dialect) for c in columns) + ")"
        for row in rows
    )
    always = " OVERRIDING SYSTEM VALUE" if any(c.always for c in columns) else ""
    sql = f"INSERT INTO {table.sql} ({names}){always} VALUES {values}"
    if _in_one_message(connection) or not connection.dialect.insert_returning:
        _run(connection, sql)
        return
    # each once, whatever the number of rows: it is a subquery
    calls = [f"(SELECT {c})" for c in _setvals(filling, table)] if dialect == "postgresql" else []
    with _Savepoint(connection):
        answer = ask(connection, f"{sql} RETURNING {', '.join([_all(connection, table), *calls])}")
    if calls:
        filling.advanced.add(table.name)
    returned = [row[: len(table.columns) or 1] for row in answer]
    filling.filled.returned.setdefault(table.name, []).extend(_values(table, returned))


def _run(connection: Connection, sql: str) -> None:
    """Run a statement that may fail, and leave the transaction as it was then."""
    if not _in_one_message(connection):
        with _Savepoint(connection):
            ask(connection, sql)
        return
    begin, undo, end = _SAVEPOINT
    try:
        ask(connection, f"{begin}; {sql}; {end}")
    except DBAPIError:
        ask(connection, f"{undo}; {end}")
        raise


def _in_one_message(connection: Connection) -> bool:
    """Say whether a savepoint is needed, and can be sent with the statement it is for."""
    return connection.dialect.driver in _PSYCOPG and not _is_alone(connection)


def _update(filling: _Filling, table: Table, rows: list[Row], key: ForeignKey) -> None:
    """Set the foreign keys that had to be NULL until the parents were there."""
    dialect, connection = filling.connection.dialect.name, filling.connection
    filling.filled.returned.pop(table.name, None)
    for row in rows:
        sets, where = (
            separator.join(
                f"{identifier(connection, name)} = "
                + _literal(row[name], table.column(name), dialect)
                for name in names
            )
            for separator, names in ((", ", key.columns), (" AND ", table.primary))
        )
        if where and row[key.columns[0]] is not None:
            try:
                _run(connection, f"UPDATE {table.sql} SET {sets} WHERE {where}")
            except DBAPIError as error:
                filling.filled.failed.setdefault(table.name, _reason(error))


class _Savepoint:
    """Keep a failed statement from ending the transaction, where it would: on PostgreSQL.

    :param needed: for several statements, which are to be all done or none.
    """

    def __init__(self, connection: Connection, needed: bool | None = None) -> None:
        self.connection = connection
        alone = _is_alone(connection)
        self.needed = connection.dialect.name == "postgresql" and not alone
        self.needed = self.needed if needed is None else needed
        self.begin, self.undo, self.end = _TRANSACTION if alone else _SAVEPOINT

    def __enter__(self) -> None:
        if self.needed:
            ask(self.connection, self.begin)

    def __exit__(self, type_: Any, *_: Any) -> None:
        if self.needed and type_ is not None:
            ask(self.connection, self.undo)
        if self.needed:
            ask(self.connection, self.end)


_SAVEPOINT = (
    "SAVEPOINT before_rows",
    "ROLLBACK TO SAVEPOINT before_rows",
    "RELEASE SAVEPOINT before_rows",
)
_TRANSACTION = ("BEGIN", "ROLLBACK", "COMMIT")  # after a ROLLBACK it only warns


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Have PostgreSQL run each statement by itself: BEGIN and COMMIT are messages to it, too.

    Not within a transaction, and with other drivers everything stays as it is.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver not in _PSYCOPG or driver.autocommit or not _is_idle(driver):
        yield
        return
    driver.autocommit = True
    try:
        yield
    finally:
        driver.rollback()  # does nothing, but after an error within BEGIN
        driver.autocommit = False


_PSYCOPG = ("psycopg", "psycopg2")


def _is_idle(driver: Any) -> bool:
    return int(driver.info.transaction_status) == 0  # of libpq: PQTRANS_IDLE


def _is_alone(connection: Connection) -> bool:
    """Say whether the next statement is run in no transaction."""
    driver: Any = connection.connection.driver_connection
    return connection.dialect.driver in _PSYCOPG and driver.autocommit and _is_idle(driver)


class _Deferred:
    """Have foreign keys that form a circle checked when all of its rows are there."""

    def __init__(self, connection: Connection, needed: bool) -> None:
        self.connection = connection
        before, after = {
            "sqlite": ("PRAGMA defer_foreign_keys = ON", "PRAGMA defer_foreign_keys = OFF"),
            "postgresql": ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS ALL IMMEDIATE"),
        }.get(connection.dialect.name, ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1"))
        self.before, self.after = (before, after) if needed else ("", "")

    def __enter__(self) -> None:
        if self.before:
            ask(self.connection, self.before)

    def __exit__(self, *_: Any) -> None:
        if self.after:
            ask(self.connection, self.after)


def _advance(filling: _Filling, names: Iterable[str]) -> None:
    """Have the sequences go on after the numbers that were given, where they do not yet."""
    written = [name for name in names if name in filling.filled.written]
    left = [name for name in written if name not in filling.advanced]
    calls = [call for name in left for call in _setvals(filling, filling.tables[name])]
    for start in range(0, len(calls), 500):
        ask(filling.connection, f"SELECT {', '.join(calls[start : start + 500])}")


def _setvals(filling: _Filling, table: Table) -> Iterator[str]:
    """Yield the calls that have a table's sequences go on after the numbers that were given."""
    dialect = filling.connection.dialect.name
    for column in table.columns if dialect != "sqlite" else ():
        numbers = [int(row[column.name]) for row in filling.rows[table.name] if column.serial]
        default = column.default or ""
        if not numbers:
            continue
        if dialect == "postgresql":
            of = [string(part, dialect) for part in (table.sql, column.name)]
            owned = f"pg_get_serial_sequence({', '.join(of)})"
            match = re.match(r"nextval\(('(?:[^']|'')*'::regclass)", default)
            yield f"setval({match.group(1) if match else owned}, {max(numbers)})"
        elif match := re.match(r"nextval\((.+)\)$", default, re.I):
            yield f"setval({match.group(1)}, {max(numbers)})"


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
        only = "ONLY " if table.only else ""
        answer = _fetch(connection, f"SELECT {_all(connection, table)} FROM {only}{table.sql}")
        found[name] = content(table, _values(table, answer))
    return found


def _fetch(connection: Connection, sql: str) -> list[Any]:
    """Fetch rows; SQLite keeps any bytes as a text, and what is none is read as far as it goes."""
    try:
        return fetch(connection, sql)
    except Exception as error:  # the driver's own
        if "Could not decode to UTF-8" not in str(error):
            raise
    driver: Any = connection.connection.driver_connection
    before, driver.text_factory = (
        driver.text_factory,
        lambda found: found.decode("utf-8", "replace"),
    )
    try:
        return fetch(connection, sql)
    finally:
        driver.text_factory = before


def content(table: Table, rows: list[tuple[Any, ...]]) -> Content:
    """Put the rows of a table in order."""
    positions = [
        at for at, column in enumerate(table.columns) if column.name in table.primary
    ] or range(len(table.columns))
    return Content(table, sorted(rows, key=lambda row: [_order(row[n]) for n in positions]))


def _all(connection: Connection, table: Table) -> str:
    return ", ".join(_selected(connection, column) for column in table.columns) or "NULL"


def _values(table: Table, answer: list[Any]) -> list[tuple[Any, ...]]:
    if not table.columns:
        return [() for _ in answer]
    makers = [_maker(column) for column in table.columns]
    columns = (
        [None if value is None else make(value) for value in values]
        for make, values in zip(makers, zip(*answer, strict=True), strict=False)
    )
    return [*zip(*columns, strict=True)]


def same(one: Rows, other: Rows) -> bool:
    """Say whether tables and rows are the same, in whatever order their columns are."""
    if one.keys() != other.keys():
        return False
    return all(
        content == other[name] or _unordered(content) == _unordered(other[name])
        for name, content in one.items()
    )


def _unordered(content: Content) -> Any:
    table = content.table
    places = sorted(range(len(table.columns)), key=lambda at: table.columns[at].name)
    rows = Counter(tuple(row[at] for at in places) for row in content.rows)
    keys = {(key.columns, key.target, key.target_columns) for key in table.foreign}
    sets = ({*part} for part in (table.columns, table.primary, table.uniques, table.checks))
    return [table.name, *sets, keys, rows]


def _order(value: Any) -> Any:
    if isinstance(value, Decimal) and not value.is_nan():
        return (1, value, "")
    return (0, 0, "") if value is None else (2, 0, str(value))


def _selected(connection: Connection, column: Column) -> str:
    """Select a value in a form that every driver can fetch."""
    name, dialect = identifier(connection, column.name), connection.dialect.name
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
        return same_json
    return _plain


def _plain(value: Any) -> Any:
    if type(value) is str:  # most are, or numbers
        return value
    if type(value) is int:
        return Decimal(value)
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
    if "T" in text:
        text = re.sub(r"^(\d+-\d+-\d+)T", r"\1 ", text)
    if "." not in text:
        return text
    return re.sub(r"\.(\d*?)0+$", lambda m: f".{m.group(1)}" if m.group(1) else "", text)


def same_json(value: Any) -> Any:
    try:
        return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return _plain(value)
