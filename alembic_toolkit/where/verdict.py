"""Conclusions from a schema, compared with the version table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import Part
from alembic_toolkit.schema.within import within
from alembic_toolkit.where.states import Compared, Difference, State, nearest

RIGHT, OTHER, UNMARKED = "right", "another revision", "not marked"
HALF, EQUAL, NEAR = "half-way", "several revisions", "near"
FOREIGN, EMPTY = "another application", "empty"
EXACT = (RIGHT, OTHER, UNMARKED, EMPTY)
# Other evidence for a database's revision, and how many more manual changes than for the nearest
# state are acceptable for it.
MARK, JOURNAL = "the version table", "the journal"
_FARTHER = {MARK: 1.0, JOURNAL: 2.0}


@dataclass
class Seen:
    """The facts read from one database."""

    name: str
    server: str  # and its major version, as in the file of schemas
    is_marked: bool = False  # there is a version table
    heads: tuple[str, ...] = ()  # its rows, by their present names
    marked: tuple[str, ...] = ()  # its rows
    inside: str = ""  # it is among revisions that a root replaces: why it is not compared
    begun: tuple[str, ...] = ()  # revisions that are half done, by their marks
    ran: tuple[str, ...] = ()  # revisions that have run, by the journal
    things: Mapping[Thing, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    option: str = ""  # its name on the command line
    closed: Mapping[str, str] = field(default_factory=dict)  # schemas that the user may not use


@dataclass
class Verdict:
    """The conclusion about one database."""

    kind: str
    states: list[State]  # the possible states, most likely first
    difference: Difference = field(default_factory=Difference)  # from the first of them
    shares: float = 1.0  # the share of objects in common with the first
    of_mark: Difference | None = None  # from the marked revisions, if no state
    outside: list[str] = field(default_factory=list)  # schemas that no revision names
    next: list[State] = field(default_factory=list)  # nearly as near states
    same: list[State] = field(default_factory=list)  # differing by revisions without effect
    witness: str = ""  # the evidence for the first state
    nearer: list[State] = field(default_factory=list)  # states nearer than the first one
    is_exact: bool = False  # the nearer ones match the database exactly
    may_be_mark: bool = False  # one manual change would explain the marked revision
    may_be_half: str = ""  # the revision after the mark: a deploy may have ended before its rows

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
        if found.kind == OTHER and not found.witness:
            found.may_be_half = _lacks_rows(seen, part, said, found.state)
    return found


def _lacks_rows(seen: Seen, part: Part, mark: State, state: State) -> str:
    """Return the next revision, if its schema is complete and its changes to rows may be missing.

    Where DDL is committed by itself, a killed deploy leaves that, and the mark of the revision
    before.
    """
    after = part.below(state.heads) - part.below(mark.heads)
    if len(after) != 1 or part.below(mark.heads) - part.below(state.heads):
        return ""
    [revision] = after
    made, server = part.revisions[revision], server_of(part.server.partition(" ")[0])
    commits = made.commits or not server.has_transactional_ddl
    return revision if commits and made.rows and revision not in seen.ran else ""


def _is_exact(compared: Compared, state: State) -> bool:
    return compared.is_likely(state) and compared.difference(state).is_none


def mark_of(seen: Seen, part: Part) -> State | None:
    """Return the state given by the version table; None if it gives no known state."""
    known = all(head in part.revisions for head in seen.heads)
    return State(tuple(sorted(seen.heads))) if seen.heads and known else None


def ran_of(seen: Seen, part: Part) -> State | None:
    """Return the state given by the journal; None if it gives no known state."""
    if seen.inside or not seen.ran or not all(id_ in part.revisions for id_ in seen.ran):
        return None
    passed = {parent for id_ in seen.ran for parent in part.below([id_]) - {id_}}
    heads = tuple(sorted({*seen.ran} - passed))
    # The journal may be more recent than a branch of the history.
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
    """Return the journal's state instead, if few manual changes explain the difference.

    These may happen to undo exactly what the last revision did.
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
    """Return the state of a revision that has begun, by its marks, if the schema agrees.

    Its schema may be complete, while its changes to rows are not.
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
    """Omit a state if another one only adds revisions without effect, such as merges."""
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
    # Of equal ones the later: somebody removed something, or has not run the rest.
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
    """Return other evidence for the database's revision, if the schema may match it."""
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
