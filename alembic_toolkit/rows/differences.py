"""Compare rows before and after a step: which changed, and which were inserted twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from alembic_toolkit.rows.content import Content, Rows
from alembic_toolkit.schema.snapshot import Snapshot


@dataclass
class Seen:
    """The effects of an uninterrupted run of a revision, by direction."""

    statements: dict[bool, list[str]] = field(default_factory=dict)
    snaps: dict[bool, Snapshot] = field(default_factory=dict)
    values: dict[bool, dict[tuple[str, str], Counter[str]]] = field(default_factory=dict)

    def keep(self, up: bool, turn: int, found: Rows) -> None:
        """Keep the values of columns that are the same each time: no new ids, no dates."""
        now = _values(found)
        before = self.values.get(up, {}) if turn else now
        self.values[up] = {key: counts for key, counts in before.items() if now.get(key) == counts}

    def differing(self, up: bool, found: Rows) -> list[str]:
        """Return the columns whose values differ from those of an uninterrupted run."""
        now = _values(found)
        wrong = [key for key, counts in self.values[up].items() if now.get(key) != counts]
        return [f"~ values of {table}.{column}" for table, column in sorted(wrong)]


_MOMENTS = {"datetime", "datetimetz", "time"}  # possibly the time at which a row was written


def _values(found: Rows) -> dict[tuple[str, str], Counter[str]]:
    return {
        (name, column.name): Counter(map(repr, content.values(column.name)))
        for name, content in found.items()
        for column in content.table.columns
        if column.kind not in _MOMENTS and not column.serial  # no server gives a number back
    }


def subject(line: str) -> str:
    """Return the table or column named in a line about lost rows."""
    return line.partition(":")[0]


def follows(line: str, left: list[str]) -> bool:
    """Return whether the loss belongs to a table or column that no longer exists.

    :param left: the schema's differences, as returned by `difference`.
    """
    about = subject(line).removeprefix("rows of ")
    gone = [one[2:].partition(":")[0].partition(" ")[2] for one in left if one.startswith("- ")]
    return any(about == name or about.startswith(f"{name}.") for name in gone)


def thinned(before: Rows, after: Rows) -> set[str]:
    """Return the tables that lost rows; new rows there could be mistaken for the lost ones."""
    return {
        name
        for name, content in after.items()
        if name in before and before[name] is not content and _lacks(before[name], content)
    }


def _lacks(before: Content, after: Content) -> bool:
    key = before.table.primary
    if len(after.rows) < len(before.rows) or not {*key} <= {*after.table.names}:
        return len(after.rows) < len(before.rows)
    at, to = ([one.index(name) for name in key] for one in (before, after))
    now = {tuple(row[n] for n in to) for row in after.rows}
    return any(tuple(row[n] for n in at) not in now for row in before.rows)


def changed(before: Rows, after: Rows) -> list[str]:
    """Return the rows that a step changed, except times, though it should change nothing."""
    lines = []
    for name, content in before.items():
        if after.get(name, content) is not content:
            had, has = (Counter(_comparable(one)) for one in (content, after[name]))
            lines += [f"- row of {name}: {row}" for row in had - has]
            lines += [f"+ row of {name}: {row}" for row in has - had]
    return lines


def doubled(before: Content, between: Content, after: Content, now: Content) -> list[str]:
    """Return rows that the upgrade inserted, the downgrade kept, and the next one duplicated."""
    if len(between.rows) <= len(before.rows) or len(now.rows) <= len(after.rows):
        return []
    seen = (before, between, after, now)
    names = set[str].intersection(*({*content.table.names} for content in seen))
    old, first, left, again = (_by_key(content, names) for content in seen)
    came = first.keys() - old.keys()
    stayed = {left[key] for key in came & left.keys()} & {first[key] for key in came}
    return sorted(stayed & {again[key] for key in again.keys() - left.keys()} - {""})


def _by_key(content: Content, names: set[str]) -> dict[tuple[Any, ...], str]:
    """Return the rows as `_comparable` texts by key; without a key, equal rows are numbered.

    :param names: the columns to compare.

    A row that existed before, or that `fill` wrote, is not new because a value of it changed.
    """
    at = [content.index(name) for name in content.table.primary]
    texts = _comparable(content, names)
    if at:
        keys = (tuple(row[n] for n in at) for row in content.rows)
        return dict(zip(keys, texts, strict=True))
    counts = Counter(texts)
    return {(text, number): text for text in counts for number in range(counts[text])}


def _comparable(content: Content, names: set[str] | None = None) -> list[str]:
    """Return the rows as texts, without values that differ in each run: serial numbers, times."""

    def plain(value: Any) -> str:
        return f"{value.normalize():f}" if isinstance(value, Decimal) else repr(value)

    at = [
        (n, column.name)
        for n, column in enumerate(content.table.columns)
        if not (column.serial or column.volatile or column.kind in _EACH_TIME)
        and (names is None or column.name in names)
    ]
    return [", ".join(f"{name} = {plain(row[n])}" for n, name in at) for row in content.rows]


_EACH_TIME = ("date", "datetime", "datetimetz", "time", "uuid")
