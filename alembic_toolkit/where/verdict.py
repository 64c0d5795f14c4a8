"""What a schema says of a database, beside what its version table says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from alembic_toolkit.schema.moments import as_wanted
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import Part, is_ignored
from alembic_toolkit.where.states import Compared, Difference, State, nearest

RIGHT, OTHER, UNMARKED = "right", "another revision", "not marked"
HALF, EQUAL, NEAR = "half-way", "several revisions", "near"
FOREIGN, EMPTY = "another application", "empty"
EXACT = (RIGHT, OTHER, UNMARKED, EMPTY)
# What else says where a database stands, and how much farther from the schema that may be than
# the nearest state, in changes by hand.
MARK, JOURNAL = "the version table", "the journal"
_FARTHER = {MARK: 1.0, JOURNAL: 2.0}


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
    ran: tuple[str, ...] = ()  # revisions that have run, by the journal
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
    witness: str = ""  # what else says the first state: the journal, or the version table
    nearer: list[State] = field(default_factory=list)  # of the states, than the first one
    is_exact: bool = False  # the nearer ones are just what the database has
    may_be_mark: bool = False  # one change by hand would make it another revision

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
    if found.kind in (OTHER, UNMARKED, EQUAL):
        found = _unless_it_ran(seen, compared, found)
    found.outside = outside
    said = mark_of(seen, part)
    if said is not None and said not in found.states and found.kind not in (FOREIGN, HALF):
        found.of_mark = compared.difference(said)
        is_near = compared.distance(said) <= _FARTHER[MARK]
        found.may_be_mark = is_near and found.kind in (OTHER, EQUAL) and not found.witness
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
        thing: as_wanted(part.moments.get(thing), text)
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


def ran_of(seen: Seen, part: Part) -> State | None:
    """Return the state that the journal says; None when it says none that is known."""
    if seen.inside or not seen.ran or not all(id_ in part.revisions for id_ in seen.ran):
        return None
    passed = {parent for id_ in seen.ran for parent in part.below([id_]) - {id_}}
    heads = tuple(sorted({*seen.ran} - passed))
    # The journal may be younger than a branch of the history.
    mark = mark_of(seen, part)
    return mark if mark is not None and {*heads} <= {*mark.heads} else State(heads)


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
    passed = [state for state in whole if state not in few and state.heads]
    kind, witness = OTHER if seen.heads else UNMARKED, ""
    if len(few) > 1:
        ran = ran_of(seen, compared.part)
        few.sort(key=lambda state: state != ran)
        kind, witness = (kind, JOURNAL) if ran in few else (EQUAL, "")
    return Verdict(kind, few, same=passed, witness=witness)


def _unless_it_ran(seen: Seen, compared: Compared, found: Verdict) -> Verdict:
    """Return what the journal says instead, if little of it was undone by hand.

    By chance that was just what the last revision did.
    """
    ran = ran_of(seen, compared.part)
    if ran is None or ran in [*found.states, *found.same]:
        return found
    if compared.distance(ran) > _FARTHER[JOURNAL]:
        return found
    return Verdict(
        NEAR,
        [ran, *found.states],
        compared.difference(ran),
        compared.shares(ran),
        witness=JOURNAL,
        nearer=found.states,
        is_exact=True,
    )


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
    near = [state for state in near if state.heads or state.within]
    witness, told = _witness(seen, compared, near, least)
    if not near or not (witness == JOURNAL or compared.is_ours(near[0])):
        return _foreign(compared, ranked, near)
    nearer = near if told is not None and told not in near else []
    states = near if told is None else [told, *(state for state in near if state != told)]
    best = states[0]
    found = Verdict(NEAR, states, compared.difference(best), compared.shares(best))
    found.witness, found.nearer = witness, nearer
    if told is None or nearer:  # else both say the same
        limit = least + _FARTHER[MARK]
        whole = [state for far, state in ranked if far <= limit and not state.within]
        found.next = [state for state in whole if state not in states and state.heads][:3]
    return found


def _witness(
    seen: Seen, compared: Compared, near: list[State], least: float
) -> tuple[str, State | None]:
    """Return what else says where the database stands, if the schema may be that, and what."""
    mark, ran = mark_of(seen, compared.part), ran_of(seen, compared.part)
    if near and near[0].within and compared.is_likely(near[0]):  # begun where the mark says
        return "", None
    if mark in near:
        return MARK, mark
    for witness, state in ((JOURNAL, ran), (MARK, mark)):
        if state is not None and compared.distance(state) <= least + _FARTHER[witness]:
            return witness, state
    return "", None


def _foreign(compared: Compared, ranked: list[tuple[float, State]], near: list[State]) -> Verdict:
    whole = [state for _, state in ranked if state.heads and not state.within]
    most = max(whole or near or [State(())], key=compared.shares)
    return Verdict(FOREIGN, [most], compared.difference(most), compared.shares(most))
