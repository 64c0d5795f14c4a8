"""Compare the rows of one moment with those of another: what was changed, and what came twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from alembic_toolkit.rows.content import Content, Rows
from alembic_toolkit.schema.snapshot import Snapshot


@dataclass
class Seen:
    """What an uninterrupted run of a revision does, by direction."""

    statements: dict[bool, list[str]] = field(default_factory=dict)
    snaps: dict[bool, Snapshot] = field(default_factory=dict)
    values: dict[bool, dict[tuple[str, str], Counter[str]]] = field(default_factory=dict)

    def keep(self, up: bool, turn: int, found: Rows) -> None:
        """Keep the values of the columns that are the same each time: no new ids, no dates."""
        now = _values(found)
        kept = self.values.get(up, {}) if turn else now
        self.values[up] = {key: counts for key, counts in kept.items() if now.get(key) == counts}

    def differing(self, up: bool, found: Rows) -> list[str]:
        """Say in which columns other values are than without a crash."""
        now = _values(found)
        wrong = [key for key, counts in self.values[up].items() if now.get(key) != counts]
        return [f"~ values of {table}.{column}" for table, column in sorted(wrong)]


_MOMENTS = {"datetime", "datetimetz", "time"}  # at which a row was written, perhaps


def _values(found: Rows) -> dict[tuple[str, str], Counter[str]]:
    return {
        (name, column.name): Counter(map(repr, content.values(column.name)))
        for name, content in found.items()
        for column in content.table.columns
        if column.kind not in _MOMENTS and not column.serial  # no server gives a number back
    }


def subject(line: str) -> str:
    """Return what a line about lost rows is about."""
    return line.partition(":")[0]


def emptied(before: Rows, after: Rows) -> set[str]:
    """Return the tables that lost all rows: with new ones, it would not show that they are gone."""
    had = {name for name, content in before.items() if content.rows}
    return {name for name, content in after.items() if name in had and not content.rows}


def changed(before: Rows, after: Rows) -> list[str]:
    """Say which rows a step changed that should have changed nothing; moments do not count."""
    lines = []
    for name, content in before.items():
        if after.get(name, content) is not content:
            had, has = (Counter(_told_apart(one)) for one in (content, after[name]))
            lines += [f"- row of {name}: {row}" for row in had - has]
            lines += [f"+ row of {name}: {row}" for row in has - had]
    return lines


def doubled(before: Content, between: Content, after: Content, now: Content) -> list[str]:
    """Return the rows of one table that came with the upgrade, stayed, and came again."""
    if len(between.rows) <= len(before.rows) or len(now.rows) <= len(after.rows):
        return []
    old, first, left, again = map(_by_key, (before, between, after, now))
    came = first.keys() - old.keys()
    stayed = {left[key] for key in came & left.keys()} & {first[key] for key in came}
    return sorted(stayed & {again[key] for key in again.keys() - left.keys()} - {""})


def _by_key(content: Content) -> dict[tuple[Any, ...], str]:
    """Return the rows by their keys, each `_told_apart`; without one, equal rows by a number.

    A row that was there before, or that `fill` wrote, is not new because a value of it is.
    """
    at = [content.index(name) for name in content.table.primary]
    texts = _told_apart(content)
    if at:
        keys = (tuple(row[n] for n in at) for row in content.rows)
        return dict(zip(keys, texts, strict=True))
    counts = Counter[str]()
    found: dict[tuple[Any, ...], str] = {}
    for text in texts:
        counts[text] += 1
        found[text, counts[text]] = text
    return found


def _told_apart(content: Content) -> list[str]:
    """Return the rows without what is new each time: numbers given by the server, and moments."""
    at = [
        (n, column.name)
        for n, column in enumerate(content.table.columns)
        if not (column.serial or column.volatile or column.kind in _EACH_TIME)
    ]
    return [", ".join(f"{c} = {_plain(row[n])}" for n, c in at) for row in content.rows]


def _plain(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else repr(value)


_EACH_TIME = ("date", "datetime", "datetimetz", "time", "uuid")
