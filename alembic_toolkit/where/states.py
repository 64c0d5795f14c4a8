"""The possible states of a database under a history, and the distance of a schema to each.

A state is a set of revisions with all their ancestors; if each statement is committed by itself, it
may also include the first statements of another revision. The distance counts changes that somebody
may have made by hand: a missing table counts once, whatever was in it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property

from alembic_toolkit.schema.servers import comparable
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import Made, Part, apply, is_ignored

MOST_STATES = 3000  # for a history with branches
_SHORTLIST = 60
_MUCH, _AGREES = 0.4, 0.7  # shares of a state, or of the common tables
_NEAR = 0.25  # smaller differences between distances are not significant


@dataclass(frozen=True)
class State:
    """A state in which a database can be."""

    heads: tuple[str, ...]  # the contents of the version table then
    within: str = ""  # the revision that has begun, after the heads
    steps: int = 0  # completed steps of that one

    @property
    def words(self) -> str:
        return self.within or ", ".join(self.heads) or "base"


@dataclass
class Difference:
    """The differences between a schema and a state."""

    missing: dict[Thing, str] = field(default_factory=dict)
    extra: dict[Thing, str] = field(default_factory=dict)
    changed: dict[Thing, tuple[str, str]] = field(default_factory=dict)  # found and wanted

    @property
    def is_none(self) -> bool:
        return not (self.missing or self.extra or self.changed)


@dataclass
class Compared:
    """A schema, compared with all states of a history."""

    part: Part
    got: Mapping[Thing, str]
    ignore: Collection[str] = ()
    mark: tuple[str, ...] | None = None  # the rows of the version table, if there is one
    begun: Collection[str] = ()

    @cached_property
    def history(self) -> dict[Thing, set[str]]:
        """Return all definitions that an object has in any revision."""
        found = defaultdict[Thing, set[str]](set)
        for made in self.part.revisions.values():
            for step in made.steps:
                for thing, text in step.changes.items():
                    if text is not None:
                        found[thing].add(self._text(thing, text))
        return found

    @cached_property
    def _got(self) -> dict[Thing, str]:
        return {thing: self._text(thing, text) for thing, text in self.got.items()}

    @cached_property
    def _texts(self) -> dict[tuple[Thing, str], str]:
        return {}

    def _text(self, thing: Thing, text: str) -> str:
        key = thing, text
        if key not in self._texts:
            self._texts[key] = comparable(self.part.server, thing, text)
        return self._texts[key]

    def things(self, state: State) -> dict[Thing, str]:
        """Return the objects of a database in a state."""
        found = self.part.things(state.heads)
        if state.within:
            for step in self.part.revisions[state.within].steps[: state.steps]:
                apply(found, step.changes)
        return {thing: t for thing, t in found.items() if not is_ignored(thing, self.ignore)}

    def difference(self, state: State) -> Difference:
        """Return the differences between the schema and a state."""
        wanted, found = self.things(state), Difference()
        for thing, text in wanted.items():
            if thing not in self._got:
                found.missing[thing] = text
            elif self._got[thing] != self._text(thing, text):
                found.changed[thing] = (self.got[thing], text)
        found.extra = {thing: text for thing, text in self.got.items() if thing not in wanted}
        return found

    def shares(self, state: State) -> float:
        """Return the share of objects that schema and state have in common."""
        wanted, found = self.things(state), self.difference(state)
        same = len(wanted) - len(found.missing) - len(found.changed)
        return same / max(1, len(wanted) + len(found.extra))

    def is_ours(self, state: State) -> bool:
        """Tell whether this history created a schema: it has much of a state, or agrees with it.

        Another application may have a table of the same name, with other columns.
        """
        wanted, found = self.things(state), self.difference(state)
        same = len(wanted) - len(found.missing) - len(found.changed)
        tables = {thing.name for thing in wanted if thing.kind in _WHOLE and thing in self.got}
        other = [*found.missing, *found.extra, *found.changed]
        others = sum(thing.owner in tables for thing in other)
        return same >= _MUCH * len(wanted) or same >= _AGREES * (same + others)

    # How far

    def ranked(self) -> list[tuple[float, State]]:
        """Return the nearest states, nearest first, each with its distance."""
        rough = sorted(self._rough(), key=lambda one: one[0])
        exact = [one for one in rough if not one[0] and self.is_likely(one[1])]
        if exact:
            return exact
        limit = rough[min(len(rough), _SHORTLIST) - 1][0]
        few = [state for distance, state in rough if distance <= limit][: 2 * _SHORTLIST]
        return sorted(((self.distance(state), state) for state in few), key=lambda one: one[0])

    def is_likely(self, state: State) -> bool:
        """Tell whether a state is complete; or partial where the version table says it began."""
        return not state.within or state.within in self.begun or state.heads == self.mark

    def _rough(self) -> Iterator[tuple[float, State]]:
        """Count the differing objects, from state to state by what changes."""
        for state, schema, total, after in self._walk():
            yield total, state
            for made in after:
                partial, within = dict[Thing, str | None](), total
                for number, step in enumerate(made.steps[:-1] if made.commits else (), start=1):
                    for thing, text in step.changes.items():
                        before = partial.get(thing, schema.get(thing))
                        within += self._weight(thing, text) - self._weight(thing, before)
                        partial[thing] = text
                    yield within, State(state.heads, made.revision, number)

    def _weight(self, thing: Thing, text: str | None) -> float:
        if is_ignored(thing, self.ignore):
            return 0.0
        got = self._got.get(thing)
        if text is None:
            return 0.0 if got is None else 1.0
        return 0.0 if got == self._text(thing, text) else 1.0

    def _walk(self) -> Iterator[tuple[State, Mapping[Thing, str], float, list[Made]]]:
        """Yield each state from the empty one up: its schema, differences, and next states."""
        total = sum(self._weight(thing, None) for thing in self._got)
        waiting = {frozenset[str](): (State(()), dict[Thing, str](), total)}
        seen = 1
        while waiting:
            passed = next(iter(waiting))
            state, schema, total = waiting.pop(passed)
            after = self._next(passed)
            yield state, schema, total, after
            for made in after:
                key = passed | {made.revision}
                if key in waiting or (seen >= MOST_STATES and made is not after[0]):
                    continue
                differs = total
                for thing, text in made.changes.items():
                    differs += self._weight(thing, text) - self._weight(thing, schema.get(thing))
                own = schema if len(after) == 1 else dict(schema)
                apply(own, made.changes)
                heads = tuple(sorted({*state.heads} - {*made.after} | {made.revision}))
                waiting[key] = (State(heads), own, differs)
                seen += 1

    def _next(self, passed: Collection[str]) -> list[Made]:
        """Return the revisions that can run after these."""
        ends = {child for id_ in passed for child in self._children.get(id_, ())}
        return [
            self.part.revisions[id_]
            for id_ in [*self._roots, *sorted(ends)]
            if id_ not in passed and {*self.part.revisions[id_].after} <= {*passed}
        ]

    @cached_property
    def _roots(self) -> list[str]:
        return [id_ for id_, made in self.part.revisions.items() if not made.after]

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        found = defaultdict[str, list[str]](list)
        for id_, made in self.part.revisions.items():
            for parent in made.after:
                found[parent].append(id_)
        return found

    def distance(self, state: State) -> float:
        """Return the number of manual changes, if the database was in this state before."""
        found = self.difference(state)
        gone = {thing.name for thing in found.missing if thing.kind in _WHOLE}
        made = {thing.name for thing in found.extra if thing.kind in _WHOLE}
        total = 0.0 if not state.within else 0.2 if self.is_likely(state) else 0.8
        for thing in found.missing:
            if thing.owner not in gone:
                total += 0.2 if self._follows(thing, found.missing, gone) else 1.0
        for thing, text in found.extra.items():
            surprise = self._surprise(thing, text)
            # For a new table, only exact matches with a revision are significant.
            total += surprise if thing.owner not in made else 0.5 * (surprise == _JUST_SO)
        for was, wanted in found.changed.values():
            total += 1 - 0.5 * SequenceMatcher(None, was, wanted, autojunk=False).ratio()
        return total

    def _surprise(self, thing: Thing, text: str) -> float:
        """Return how much extra objects count against a state: more if another state has them."""
        texts = self.history.get(thing)
        if texts is None:
            return 1.0
        return _JUST_SO if self._text(thing, text) in texts else 1.2

    def _follows(self, thing: Thing, missing: Mapping[Thing, str], gone: Collection[str]) -> bool:
        """Tell whether an object was dropped with a column or table that is missing too."""
        if thing.kind in ("column", *_WHOLE):
            return False
        words = {*re.findall(r"\w+", missing[thing])}
        return bool(words & {*gone}) or any(
            one.kind == "column" and one.owner == thing.owner and one.name in words
            for one in missing
        )


_JUST_SO = 2.0
_WHOLE = ("table", "foreign table")


def nearest(ranked: list[tuple[float, State]]) -> list[State]:
    """Return the states of `ranked` that are as near as the nearest one."""
    least = ranked[0][0]
    limit = least + (_NEAR if least else 0)
    return [state for distance, state in ranked if distance <= limit]
