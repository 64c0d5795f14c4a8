"""What a schema says of a database, beside what its version table says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import Part, is_ignored
from alembic_toolkit.where.states import Compared, Difference, State, nearest

RIGHT, OTHER, UNMARKED = "right", "another revision", "not marked"
HALF, EQUAL, NEAR = "half-way", "several revisions", "near"
FOREIGN, EMPTY = "another application", "empty"
EXACT = (RIGHT, OTHER, UNMARKED, EMPTY)
_MARK = 1.0  # so much farther than the nearest state may be what the version table says


@dataclass
class Seen:
    """What was read of one database."""

    name: str
    server: str  # and its major version, as in the file of schemas
    is_marked: bool = False  # there is a version table
    heads: tuple[str, ...] = ()  # its rows, by the names that they have now
    marked: tuple[str, ...] = ()  # its rows
    inside: str = ""  # it goes on by revisions that a root replaces: why that is not compared
    begun: tuple[str, ...] = ()  # revisions that are half done, by their marks
    things: Mapping[Thing, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    option: str = ""  # how the command line names it


@dataclass
class Verdict:
    """Where a database stands."""

    kind: str
    states: list[State]  # those that it may be in; the likeliest one first
    difference: Difference = field(default_factory=Difference)  # from the first of them
    shares: float = 1.0  # which part of all that it, or the first of them, has
    of_mark: Difference | None = None  # from what its version table says, where that is no state
    outside: list[str] = field(default_factory=list)  # schemas that no revision names
    next: list[State] = field(default_factory=list)  # what is nearly as near
    same: list[State] = field(default_factory=list)  # after which only what does nothing comes

    @property
    def state(self) -> State:
        return self.states[0]


def judge(seen: Seen, part: Part) -> Verdict:
    """Compare a database with each revision of the history on its server."""
    things, outside = within(seen.things, part, seen.ignore)
    mark = seen.heads if seen.is_marked else None
    compared = Compared(part, things, seen.ignore, mark, seen.begun)
    ranked = compared.ranked()
    exact = [state for distance, state in ranked if not distance or _is_exact(compared, state)]
    found = _exact(seen, compared, exact) if exact else _inexact(seen, compared, ranked)
    found.outside = outside
    said = mark_of(seen, part)
    if said is not None and said not in found.states and found.kind not in (FOREIGN, HALF):
        found.of_mark = compared.difference(said)
    return found


def _is_exact(compared: Compared, state: State) -> bool:
    return compared.is_likely(state) and compared.difference(state).is_none


def within(
    things: Mapping[Thing, str], part: Part, ignore: Collection[str] = ()
) -> tuple[dict[Thing, str], list[str]]:
    """Return what a history can be judged by, and the schemas that are left out.

    Those that no revision names belong to somebody else, as do extensions.
    """
    named = {thing for made in part.revisions.values() for step in made.steps for thing in step[2]}
    spaces = {_space(thing) for thing in named} | {""}
    ours = {
        thing: text
        for thing, text in things.items()
        if _space(thing) in spaces
        and (thing.kind not in _GIVEN or thing in named)
        and not is_ignored(thing, ignore)
    }
    return ours, sorted({_space(thing) for thing in things} - spaces)


_GIVEN = ("extension", "schema", "event trigger", "foreign-data wrapper", "server", "publication")


def _space(thing: Thing) -> str:
    name = thing.owner or thing.name.partition("(")[0]
    return thing.name if thing.kind == "schema" else name.rpartition(".")[0]


def mark_of(seen: Seen, part: Part) -> State | None:
    """Return the state that the version table says; None when it says none that is known."""
    known = all(head in part.revisions for head in seen.heads)
    return State(tuple(sorted(seen.heads))) if seen.heads and known else None


def _exact(seen: Seen, compared: Compared, exact: list[State]) -> Verdict:
    mark = mark_of(seen, compared.part)
    half = [state for state in exact if state.within]
    whole = [state for state in exact if not state.within]
    if begun := _begun(seen, compared, exact):
        return Verdict(HALF, [begun])
    if mark in whole:
        return Verdict(RIGHT, [mark, *(state for state in whole if state != mark)])
    if after := [state for state in half if mark is not None and state.heads == mark.heads]:
        return Verdict(HALF, after)
    if not whole:
        return Verdict(HALF, half)
    if whole == [State(())] and not seen.heads:
        return Verdict(EMPTY, whole)
    few = without_empty(whole, compared.part)
    kind = EQUAL if len(few) > 1 else OTHER if seen.heads else UNMARKED
    passed = [state for state in whole if state not in few and state.heads]
    return Verdict(kind, few, same=passed)


def _begun(seen: Seen, compared: Compared, exact: list[State]) -> State | None:
    """Return the state of a revision that has begun, as its marks say, if the schema agrees.

    All of its schema may be there, and what it does to rows not yet.
    """
    for revision in seen.begun:
        made = compared.part.revisions.get(revision)
        if made is None:
            continue
        for state in exact:
            if state.within == revision:
                return state
            below = compared.part.below(state.heads)
            if revision not in below and {*made.after} <= below:
                return State(state.heads, revision, 0)
            if revision in state.heads and revision not in seen.heads:
                return State(tuple(sorted(seen.heads)), revision, len(made.steps))
    return None


def without_empty(states: list[State], part: Part) -> list[State]:
    """Leave out a state when another one only adds revisions that do nothing: merges, say."""
    below = {state: part.below(state.heads) for state in states}

    def is_passed(state: State) -> bool:
        later = (below[other] - below[state] for other in states if below[other] > below[state])
        return any(all(_does_nothing(part, id_) for id_ in more) for more in later)

    return [state for state in states if not is_passed(state)]


def _does_nothing(part: Part, revision: str) -> bool:
    made = part.revisions[revision]
    return not (made.steps or made.rows or made.statements)


def _inexact(seen: Seen, compared: Compared, ranked: list[tuple[float, State]]) -> Verdict:
    near, least = nearest(ranked), ranked[0][0]
    # Of equal ones the later: somebody took something away, or has not run the rest.
    whole = [state for state in near if not state.within]
    near = whole[::-1] + [state for state in near if state.within]
    if mark := mark_of(seen, compared.part):
        if mark in near:
            near = [mark, *(state for state in near if state != mark)]
        elif any(state == mark and far <= least + _MARK for far, state in ranked):
            near.append(mark)
    ours = [state for state in near if state.heads or state.within]
    if ours and compared.is_ours(ours[0]):
        best = ours[0]
        found = Verdict(NEAR, ours, compared.difference(best), compared.shares(best))
        whole = [state for far, state in ranked if far <= least + _MARK and not state.within]
        if best != mark:  # else both say the same
            found.next = [state for state in whole if state not in near and state.heads][:3]
        return found
    others = [state for _, state in ranked if state.heads and not state.within] or near
    most = max(others, key=compared.shares)
    return Verdict(FOREIGN, [most], compared.difference(most), compared.shares(most))
