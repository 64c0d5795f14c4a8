"""A schema as a value, and how two of them differ.

A snapshot holds what the server knows of tables and all that belongs to them, views, types,
sequences, triggers and routines; not privileges, rows, counters or the order of columns. Two
definitions are equal when the server would treat the things the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Thing(NamedTuple):
    """One thing in a database."""

    kind: str
    owner: str  # the table it belongs to, as "schema.table" when not in the default schema
    name: str  # for an unnamed constraint, its text


Item = tuple[str, Thing, str]


Row = tuple[str, str, str, str, str]  # schema and ".", kind, name, table, text


class Snapshot(dict[Thing, str]):
    """The definition of each thing; and by group what is read together, usually a table."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        super().__init__()
        self.groups: dict[str, dict[Thing, str]] = {}
        self.indexes: dict[tuple[str, str], str] = {}  # PostgreSQL: groups, by schema and name
        self.rows: frozenset[Row] = frozenset()  # SQLite: the texts as they were
        self.implicit: frozenset[str] = frozenset()  # groups whose text alone does not suffice
        self.spaces: tuple[str, ...] = ("",)  # PostgreSQL: what groups may begin with, by schema
        self.watched = False  # PostgreSQL: DDL fires an event trigger, which may do anything
        self.types: frozenset[tuple[Thing, str]] = frozenset()  # beside the server's own

    def copy(self) -> Snapshot:
        """Return another one that can be changed."""
        other = Snapshot()
        other.update(self)
        vars(other).update(vars(self))
        other.groups, other.indexes = self.groups.copy(), self.indexes.copy()
        return other

    def __eq__(self, other: object) -> bool:
        """Tell whether all things are the same; groups are shared by copies, and few."""
        return (isinstance(other, Snapshot) and self.groups == other.groups) or dict.__eq__(
            self, other
        )

    def add(self, group: str, thing: Thing, definition: str) -> None:
        """Add a thing; a name that occurs twice (SQLite allows it) is told apart by its text."""
        if thing in self:
            thing = thing._replace(name=f"{thing.name} {definition}")
        self[thing] = self.groups.setdefault(group, {})[thing] = definition
        space, separator, _ = group.partition("\0")
        if separator and thing.kind == "index":
            self.indexes[space, thing.name] = group
        if next(iter(self.groups[group])).kind in _TYPES:  # a domain has checks as well
            self.types |= {(thing, definition)}

    def forget(self, group: str) -> None:
        """Remove a group, if it is there."""
        things = self.groups.pop(group, {})
        space = group.partition("\0")[0]
        for thing in things:
            del self[thing]
            if thing.kind == "index":
                self.indexes.pop((space, thing.name), None)
        if self.types:
            self.types -= frozenset(things.items())

    def changed(self, since: Snapshot) -> set[str]:
        """Return the names of the tables and views that are not as they were."""
        ours, theirs = self.groups, since.groups
        groups = {group for group, things in ours.items() if theirs.get(group) is not things}
        groups = {group for group in groups if ours[group] != theirs.get(group)}
        return {group.replace("\0", "") for group in groups | (theirs.keys() - ours.keys())}

    def table(self, name: str) -> frozenset[tuple[Thing, str]]:
        """Return all that decides which rows a table can hold; nothing when it is not there."""
        return frozenset(item for item in self._group(name).items() if _decides(*item))

    def is_programmed(self, name: str) -> bool:
        """Tell whether a table may do more with rows than keep them."""
        return any(thing.kind in ("trigger", "rule") for thing in self._group(name))

    def _group(self, name: str) -> dict[Thing, str]:
        space, _, own = name.rpartition(".")
        groups = map(self.groups.get, (name, f"\0{name}", f"{space}.\0{own}"))
        return next(filter(None, groups), {})


_TYPES = ("enum", "domain")


def _decides(thing: Thing, text: str) -> bool:
    return thing.kind not in ("index", "trigger", "rule", "policy") or text.startswith("UNIQUE")


def replaced(
    known: Snapshot, gone: Iterable[str], items: Collection[tuple[str, Thing, str]]
) -> Snapshot:
    """Return a copy in which these groups, and those of the items, are what the items say."""
    snapshot = known.copy()
    for group in {*gone, *(group for group, _, _ in items)} & snapshot.groups.keys():
        snapshot.forget(group)
    for item in items:
        snapshot.add(*item)
    return snapshot


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """Return short lines that say what came (+), went (-) and changed (~), in a stable order."""
    lines: list[str] = []
    if before == after:  # as it should be, and much faster
        return lines
    same = _made_by_server(before, after)
    for thing in sorted((before.keys() | after.keys()) - same):
        old, new = before.get(thing), after.get(thing)
        if old is None or new is None:
            sign, text = ("+", new) if old is None else ("-", old)
            lines.append(f"{sign} {_title(thing)}{_definition(thing, text or '')}")
        elif old != new:
            old, new = _parts_that_differ(_line(old) or "(plain)", _line(new) or "(plain)")
            lines.append(f"~ {_title(thing)}: {old} -> {new}")
    return lines


def described(thing: Thing, text: str = "") -> str:
    """Return a thing in a short line, as `difference` does; with its definition, if given."""
    return f"{_title(thing)}{_definition(thing, text)}"


MADE = ", made by the server for foreign key "


def _made_by_server(before: Snapshot, after: Snapshot) -> set[Thing]:
    """Return the indexes of both that only have another name, which MariaDB chose.

    It depends on how their foreign key was added: https://mariadb.com/kb/en/foreign-keys/
    """
    places: list[dict[tuple[str, str], Thing]] = [
        {
            (thing.owner, text.partition(MADE)[0]): thing
            for thing in one.keys() - other.keys()
            if thing.kind == "index" and MADE in (text := one[thing])
        }
        for one, other in ((before, after), (after, before))
    ]
    both = places[0].keys() & places[1].keys()
    return {place[index] for place in places for index in both}


def _line(text: str) -> str:
    return " ".join(text.split())


def _parts_that_differ(old: str, new: str) -> tuple[str, str]:
    """Cut from long texts what they have in common, but for some words around."""
    if max(len(old), len(new)) < 200 or old == new:
        return old, new
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    start, end = max(0, start - 30), max(0, end - 30)
    before, after = "..." if start else "", "..." if end else ""
    old, new = (f"{before}{text[start : len(text) - end]}{after}" for text in (old, new))
    return old, new


def _same(old: str, new: str) -> int:
    """Return how many characters are the same at the beginning of both."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (one, two) in pairs if one != two), min(len(old), len(new)))


def _title(thing: Thing) -> str:
    if thing.kind == "column":
        return f"column {thing.owner}.{thing.name}"
    # An unnamed constraint has its text for a name.
    name = "" if thing.name.startswith("(") else f" {thing.name}"
    return f"{thing.kind}{name} on {thing.owner}" if thing.owner else f"{thing.kind}{name}"


def _definition(thing: Thing, text: str) -> str:
    return f": {_line(text)}" if text else ""
