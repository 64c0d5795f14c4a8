"""A schema as a value, and the difference between two of them.

A snapshot contains what the server knows about tables and their parts, views, types, sequences,
triggers and routines; not privileges, rows, counters or the order of columns. Two definitions are
equal if the server would treat the objects the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Thing(NamedTuple):
    """One object in a database."""

    kind: str
    owner: str  # the table it belongs to, as "schema.table" if not in the default schema
    name: str  # for an unnamed constraint, its text


Item = tuple[str, Thing, str]


Row = tuple[str, str, str, str, str]  # schema and ".", kind, name, table, text


class Snapshot(dict[Thing, str]):
    """The definition of each object; and by group the rows read together, usually for a table."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.groups: dict[str, dict[Thing, str]] = {}
        self.indexes: dict[tuple[str, str], str] = {}  # PostgreSQL: groups, by schema and name
        self.rows: frozenset[Row] = frozenset()  # SQLite: the original texts
        self.implicit: frozenset[str] = frozenset()  # groups whose own text is not enough
        self.spaces: tuple[str, ...] = ("",)  # PostgreSQL: prefixes of groups, by schema
        self.watched = False  # PostgreSQL: an event trigger on DDL may do anything
        self.fired: frozenset[Thing] = frozenset()  # triggers, rules, policies
        self.types: frozenset[tuple[Thing, str]] = frozenset()  # without the server's own

    def copy(self) -> Snapshot:
        """Return a copy that can be changed."""
        other = Snapshot()
        other.update(self)
        vars(other).update(vars(self))
        other.groups, other.indexes = self.groups.copy(), self.indexes.copy()
        return other

    def __eq__(self, other: object) -> bool:
        """Tell whether all objects are equal; copies share groups, so few are compared."""
        return (isinstance(other, Snapshot) and self.groups == other.groups) or dict.__eq__(
            self, other
        )

    def add(self, group: str, thing: Thing, definition: str) -> None:
        """Add an object; duplicate names (SQLite allows them) are distinguished by their texts."""
        if thing in self:
            thing = thing._replace(name=f"{thing.name} {definition}")
        self[thing] = self.groups.setdefault(group, {})[thing] = definition
        space, separator, _ = group.partition("\0")
        if separator and thing.kind == "index":
            self.indexes[space, thing.name] = group
        if thing.kind in _FIRED:
            self.fired |= {thing}
        if next(iter(self.groups[group])).kind in _TYPES:  # a domain has checks as well
            self.types |= {(thing, definition)}

    def forget(self, group: str) -> None:
        """Remove a group, if it exists."""
        things = self.groups.pop(group, {})
        space = group.partition("\0")[0]
        for thing in things:
            del self[thing]
            if thing.kind == "index":
                self.indexes.pop((space, thing.name), None)
        if self.fired:
            self.fired -= things.keys()
        if self.types:
            self.types -= frozenset(things.items())

    def changed(self, since: Snapshot) -> set[str]:
        """Return the names of the tables and views that have changed."""
        ours, theirs = self.groups, since.groups
        groups = {group for group, things in ours.items() if theirs.get(group) is not things}
        groups = {group for group in groups if ours[group] != theirs.get(group)}
        return {group.replace("\0", "") for group in groups | (theirs.keys() - ours.keys())}

    def table(self, name: str) -> frozenset[tuple[Thing, str]]:
        """Return everything that decides which rows a table can hold; nothing if it is missing."""
        return frozenset(item for item in self._group(name).items() if _decides(*item))

    def is_programmed(self, name: str) -> bool:
        """Tell whether a table may do more with rows than store them."""
        return any(thing.kind in ("trigger", "rule") for thing in self._group(name))

    def _group(self, name: str) -> dict[Thing, str]:
        space, _, own = name.rpartition(".")
        groups = map(self.groups.get, (name, f"\0{name}", f"{space}.\0{own}"))
        return next(filter(None, groups), {})


_TYPES = ("enum", "domain")
_FIRED = ("trigger", "rule", "policy")


def _decides(thing: Thing, text: str) -> bool:
    return thing.kind not in ("index", "trigger", "rule", "policy") or text.startswith("UNIQUE")


def replaced(
    known: Snapshot, gone: Iterable[str], items: Collection[tuple[str, Thing, str]]
) -> Snapshot:
    """Return a copy in which these groups, and those of the items, are replaced by the items."""
    snapshot = known.copy()
    for group in {*gone, *(group for group, _, _ in items)} & snapshot.groups.keys():
        snapshot.forget(group)
    for item in items:
        snapshot.add(*item)
    return snapshot


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """Return short lines for added (+), removed (-) and changed (~) objects, in a stable order."""
    lines: list[str] = []
    if before == after:  # the normal case, and much faster
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
    """Return an object as a short line, like `difference`; with its definition, if given."""
    return f"{_title(thing)}{_definition(thing, text)}"


MADE = ", made by the server for foreign key "


def _made_by_server(before: Snapshot, after: Snapshot) -> set[Thing]:
    """Return the indexes that differ only in a name, which MariaDB chose.

    The name depends on how their foreign key was added: https://mariadb.com/kb/en/foreign-keys/
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
    """Remove from long texts what they have in common, except some words around it."""
    if max(len(old), len(new)) < 200 or old == new:
        return old, new
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    start, end = max(0, start - 30), max(0, end - 30)
    before, after = "..." if start else "", "..." if end else ""
    old, new = (f"{before}{text[start : len(text) - end]}{after}" for text in (old, new))
    return old, new


def _same(old: str, new: str) -> int:
    """Return the number of equal characters at the beginning of both."""
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
