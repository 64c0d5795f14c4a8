"""Find the tables and views that a revision changes for the code that uses them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from alembic_toolkit.prove.deploy.code import Key
from alembic_toolkit.rows.tables.table import Tables
from alembic_toolkit.schema.snapshot import Snapshot, Thing

_VIEWS = ("view", "materialized view")
_TYPES = ("enum", "domain")
_ROUTINES = ("function", "procedure")
_PROGRAMS = ("trigger", "rule", "policy")


@dataclass(frozen=True)
class Concerned:
    """The objects of a schema that differ for code."""

    tables: frozenset[str]
    parents: frozenset[str]  # to which other foreign keys lead
    views: frozenset[str]
    keys: tuple[Key, ...] = ()  # foreign keys that are not in both

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self.tables or self.parents or self.views)


def concerned(
    before: Snapshot, after: Snapshot, tables: Iterable[Tables], views: dict[str, str]
) -> Concerned:
    """Return the objects that differ between two schemas.

    :param tables: those before, and those after.
    :param views: the texts of all views before; they are those after, then.
    """
    was, now = _differing(before, after)
    changed = {t for t in was.keys() | now.keys() if was.get(t) != now.get(t)}
    changed = {t for t in changed if _matters(t, was.get(t, ""), now.get(t, ""))}
    if not changed:
        return Concerned(frozenset(), frozenset(), frozenset())
    by_name = [*tables]
    names = {thing.owner or thing.name for thing in changed if thing.kind not in _VIEWS}
    names |= _users(changed, (before, after))
    found = {name for one in by_name for name in names & one.keys()}
    keyed = {thing.owner for thing in changed if thing.kind == "foreign key"}
    foreign = {
        Key(name, key.columns, key.target, key.target_columns)
        for one in by_name
        for name in keyed & one.keys()
        for key in one[name].foreign
    }
    parents = {key.parent for key in foreign}
    both = frozenset.intersection(*(frozenset(one) for one in by_name))
    foreign = {key for key in foreign if key.child in both}
    read = _reading(found, changed, views)
    for thing in was:
        if thing.kind in _VIEWS:
            views.pop(thing.name, None)
    views |= views_in(now)
    read |= _reading(found, changed, views)
    return Concerned(
        frozenset(found),
        frozenset(parents),
        frozenset(read),
        tuple(sorted(foreign, key=repr)),
    )


def views_in(things: Mapping[Thing, str]) -> dict[str, str]:
    """Return the texts of the views among some things."""
    return {thing.name: text for thing, text in things.items() if thing.kind in _VIEWS}


def _matters(thing: Thing, was: str, now: str) -> bool:
    """Tell whether a difference may affect whether a statement runs."""
    return thing.kind != "index" or "UNIQUE" in was[:7] or "UNIQUE" in now[:7]


def _differing(before: Snapshot, after: Snapshot) -> tuple[dict[Thing, str], dict[Thing, str]]:
    """Return the things of the groups that are not the same: those that were, and those now."""
    old, new = before.groups, after.groups
    groups = [g for g in old.keys() | new.keys() if old.get(g) is not new.get(g)]
    return _joined(old, groups), _joined(new, groups)


def _joined(groups: Mapping[str, dict[Thing, str]], names: Collection[str]) -> dict[Thing, str]:
    return {thing: text for name in names for thing, text in groups.get(name, {}).items()}


def _users(changed: Collection[Thing], snaps: Collection[Snapshot]) -> set[str]:
    """Return the tables whose columns are of a type, or that run a routine, that is changed."""
    types = {_last(thing.name) for thing in changed if thing.kind in _TYPES}
    routines = {_last(t.name.partition("(")[0]) for t in changed if t.kind in _ROUTINES}
    if not types and not routines:
        return set()
    return {
        thing.owner
        for snap in snaps
        for thing, text in snap.items()
        if thing.owner
        and (
            (thing.kind == "column" and types & _words(text))
            or (thing.kind not in ("foreign key", "index") and routines & _words(text))
        )
    }


def _reading(names: Iterable[str], changed: Iterable[Thing], views: Mapping[str, str]) -> set[str]:
    """Return the views that are changed, or whose texts name what is, or a view that does."""
    found = {thing.name for thing in changed if thing.kind in _VIEWS and thing.name in views}
    words = {_last(name) for name in (*names, *found)}
    while more := {n for n, text in views.items() if n not in found and words & _words(text)}:
        found |= more
        words |= {_last(name) for name in more}
    return found


def _last(name: str) -> str:
    return name.rpartition(".")[2].lower()


@lru_cache(maxsize=8192)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))
