"""The answer for one database: its revision, its differences, and what to type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic_toolkit.messages import shortest
from alembic_toolkit.schema.snapshot import Thing, described
from alembic_toolkit.schema.stored import Part
from alembic_toolkit.schema.within import within
from alembic_toolkit.where import verdict as kinds
from alembic_toolkit.where.making.order import Wanted, needs_value
from alembic_toolkit.where.making.servers import make
from alembic_toolkit.where.states import Compared, Difference, State
from alembic_toolkit.where.verdict import Seen, Verdict, judge, mark_of


@dataclass
class Lack:
    """An object that is missing, different or extra."""

    thing: Thing
    wanted: str | None  # its definition in the revision
    found: str | None = None  # in the database
    revision: str | None = None  # the revision that defined it
    file: str | None = None
    line: int | None = None

    @property
    def place(self) -> str:
        """Return the revision and the line that created it; empty if none did."""
        if self.revision is None:
            return "in no revision"
        where = f", {shortest(self.file)}:{self.line}" if self.file else ""
        return f"{self.revision}{where}"


@dataclass
class Answer:
    """The facts about one database."""

    name: str
    server: str = ""
    error: str = ""  # why nothing is known
    kind: str = ""
    marked: list[str] = field(default_factory=list)  # the revisions in the version table
    unknown: list[str] = field(default_factory=list)  # of these, the ones without a file
    revisions: list[list[str]] = field(default_factory=list)  # possible ones, likeliest first
    within: str = ""  # the revision that has begun
    after: str = ""  # how much of it is done, as text
    shares: float = 1.0
    missing: list[Lack] = field(default_factory=list)
    changed: list[Lack] = field(default_factory=list)
    extra: list[Lack] = field(default_factory=list)
    sql: list[str] = field(default_factory=list)  # fixes missing and different objects
    notes: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)  # commands

    @property
    def is_sound(self) -> bool:
        """Return whether the schema matches the version table."""
        return self.kind == kinds.RIGHT and not self.error


def answer(seen: Seen, part: Part, files: Mapping[str, str | Path]) -> Answer:
    """Judge one database, and say what to do.

    :param files: that of each revision.
    """
    return _Speaker(seen, part, files, judge(seen, part)).answer()


@dataclass
class _Speaker:
    seen: Seen
    part: Part
    files: Mapping[str, str | Path]
    verdict: Verdict

    def answer(self) -> Answer:
        found, seen = self.verdict, self.seen
        one = Answer(seen.name, seen.server, kind=found.kind, marked=[*seen.marked])
        known = seen.marked if self._is_renamed or seen.inside else self.part.revisions
        one.unknown = [head for head in seen.marked if head not in known]
        one.revisions = [[*state.heads] for state in found.states]
        one.within, one.shares = found.state.within, round(found.shares, 4)
        one.after = self._after(found.state)
        if found.kind == kinds.NEAR:
            self._tell_difference(one, found.state, found.difference)
        if found.of_mark is not None and found.may_be_mark:
            one.sql = self._sql(State(seen.heads), found.of_mark)
        one.notes = [*self._notes(one)]
        one.todo = [*self._todo(one)]
        return one

    def _tell_difference(self, one: Answer, state: State, difference: Difference) -> None:
        made = self._made(state)
        for thing, wanted in _few(difference.missing):
            one.missing.append(self._lack(thing, wanted, None, made))
        for thing, (was, wanted) in difference.changed.items():
            one.changed.append(self._lack(thing, wanted, was, made))
        for thing, was in _few(difference.extra):
            one.extra.append(Lack(thing, None, was))
        one.sql = self._sql(state, difference)

    def _sql(self, state: State, difference: Difference) -> list[str]:
        things, _ = within(self.seen.things, self.part, self.seen.ignore)
        compared = Compared(self.part, things, self.seen.ignore)
        wanted = compared.things(state)
        return make(
            self.part.server, Wanted(difference.missing, difference.changed, wanted, things)
        )

    def _made(self, state: State) -> dict[Thing, tuple[str, int]]:
        """Return the revision and line that gave each object its present definition."""
        found: dict[Thing, tuple[str, int]] = {}
        below = self.part.below(state.heads)
        chosen = [made for id_, made in self.part.revisions.items() if id_ in below]
        for made in chosen:
            for step in made.steps:
                found |= dict.fromkeys(step.changes, (made.revision, step.line))
        if state.within:
            for step in self.part.revisions[state.within].steps[: state.steps]:
                found |= dict.fromkeys(step.changes, (state.within, step.line))
        return found

    def _lack(
        self, thing: Thing, wanted: str, was: str | None, made: Mapping[Thing, tuple[str, int]]
    ) -> Lack:
        revision, line = made[thing]
        file = self.files.get(revision)
        return Lack(thing, wanted, was, revision, str(file) if file else None, line)

    def _after(self, state: State) -> str:
        """Return how much of a revision is done."""
        if not state.within:
            return ""
        made = self.part.revisions[state.within]
        first = made.steps[state.steps - 1].number if state.steps else 0
        is_all = state.steps == len(made.steps)  # of the schema
        last = made.statements if is_all else made.steps[state.steps].number - 1
        number = str(first)
        if last > first:
            number += f" or {last}" if last == first + 1 else f" to {last}"
        return f"after {number} of {made.statements} statements"

    # In words

    def _notes(self, one: Answer) -> Iterator[str]:
        found = self.verdict
        if self._is_renamed:
            now = ", ".join(self.seen.heads)
            yield f"{', '.join(one.marked)} is {now} now, which replaces it"
        for head in one.unknown:
            yield f"no file here has {head}: the code here is older, or from elsewhere"
        yield from self._others(found)
        if found.same:
            names = "; ".join(state.words for state in found.same)
            yield f"or {names}: what comes after does nothing on this server"
        if found.next:
            yield f"nearly as near: {', '.join(state.words for state in found.next)}"
        yield from self._filling(one)
        if found.kind in (kinds.OTHER, kinds.UNMARKED, kinds.EQUAL) and not found.witness:
            yield from self._rows()
        if found.of_mark is not None and found.kind != kinds.EMPTY:
            yield from self._of_mark(found.of_mark)
        if found.outside:
            yield f"not looked at, for no revision names them: schema {', '.join(found.outside)}"

    def _others(self, found: Verdict) -> Iterator[str]:
        """Name the other possible revisions, and the evidence for the first one."""
        first, *others = found.states
        names = ", ".join(self._words(state) for state in others)
        if others and found.kind in (kinds.RIGHT, kinds.OTHER, kinds.UNMARKED):
            yield f"{names} has the same schema: only rows differ"
            if found.witness:
                yield f"{found.witness} says {first.words}"
        elif found.nearer:
            nearer = ", ".join(self._words(state) for state in found.nearer)
            how = "is just the same" if found.is_exact else "is nearer"
            yield f"{nearer} {how}, but {found.witness} says {first.words}"
        elif others and found.kind == kinds.NEAR:
            says = f"; {found.witness} says {first.words}" if found.witness else ""
            yield f"as near as that: {names}{says}"

    def _filling(self, one: Answer) -> Iterator[str]:
        """Name what the SQL cannot do for existing rows: nobody else knows their values."""
        for lack in [*one.missing, *one.changed]:
            if needs_value(lack.thing, lack.wanted or "", lack.found or ""):
                name = f"{lack.thing.owner}.{lack.thing.name}"
                yield (
                    f"{name} is NOT NULL without a default: where {lack.thing.owner} has rows,"
                    f" write their value into the SQL in place of NULL, as in {lack.place}"
                )

    def _words(self, state: State) -> str:
        return f"{state.words} {self._after(state)}".strip() if state.within else state.words

    def _rows(self) -> Iterator[str]:
        """Name the revisions that change rows, which no schema shows."""
        states, mark = self.verdict.states, mark_of(self.seen, self.part)
        below = [self.part.below(state.heads) for state in [*states, *([mark] if mark else [])]]
        every, common = set[str]().union(*below), set.intersection(*below)
        unsure = every - common if len(below) > 1 else every
        places = [
            f"{id_} ({shortest(str(self.files.get(id_, '?')))}:{made.rows[0][0]})"
            for id_, made in self.part.revisions.items()
            if id_ in unsure and made.rows
        ]
        if places:
            yield f"no schema shows whether these changed rows: {', '.join(places)}"

    def _of_mark(self, difference: Difference) -> Iterator[str]:
        mark = ", ".join(self.seen.heads)
        lines = [f"- {described(thing)}" for thing, _ in _few(difference.missing)]
        lines += [f"~ {described(thing)}" for thing in difference.changed]
        lines += [f"+ {described(thing)}" for thing, _ in _few(difference.extra)]
        some = f"{'; '.join(lines[:4])}{'; ...' if len(lines) > 4 else ''}"
        if self.verdict.may_be_mark:
            yield f"or it is {mark}, and this was changed by hand: {some}"
        else:
            yield f"it is not {mark}, from which it differs: {some}"

    # What to type

    def _todo(self, one: Answer) -> Iterator[str]:
        kind, state = self.verdict.kind, self.verdict.state
        heads = " ".join(state.heads) or "base"
        if kind == kinds.EMPTY or (kind == kinds.RIGHT and self._is_renamed):
            yield "alembic upgrade head"
        elif kind == kinds.UNMARKED:
            yield self._adopt()
        elif kind == kinds.OTHER and self.verdict.may_be_half:
            half = self.verdict.may_be_half
            yield f"{self._stamp(one, heads)}  # if {half} has changed its rows too"
            yield f"alembic upgrade head  # if {half} was stopped before that"
        elif kind == kinds.OTHER:
            mark, either = " ".join(self.seen.heads), self.verdict.may_be_mark
            yield self._stamp(one, heads) + f"  # if {mark} has not run here" * either
        elif kind == kinds.HALF:
            if state.heads != self.seen.heads:
                yield self._stamp(one, heads)
            yield "alembic upgrade head"
        elif kind == kinds.EQUAL:
            for other in self.verdict.states:
                heads = " ".join(other.heads) or "base"
                adopts = other.heads and not one.marked
                way = f"{self._adopt()} --revision {heads}" if adopts else self._stamp(one, heads)
                yield f"{way}  # if this has run, and nothing after it"
        elif kind == kinds.NEAR:
            yield from self._mend(one, heads)
        elif kind == kinds.FOREIGN:
            yield "alembic-toolkit where --url URL  # of the database that is meant"
        if self.verdict.may_be_mark and one.sql:
            yield f"run the SQL above  # if {' '.join(self.seen.heads)} has run here"

    def _mend(self, one: Answer, heads: str) -> Iterator[str]:
        if one.sql:
            yield "run the SQL above"
        if one.extra:
            yield "drop what is extra, or write a revision that makes it; a job's tables: ignore"
        if not one.marked:
            yield f"{self._adopt()}  # when nothing differs any more"
        elif self.seen.heads != tuple(heads.split()):
            yield f"{self._stamp(one, heads)}  # when nothing differs any more"
        if self.verdict.is_exact:
            nearer = " ".join(self.verdict.nearer[0].heads) or "base"
            yield f"{self._stamp(one, nearer)}  # instead, if the rest was taken back by hand"

    @property
    def _is_renamed(self) -> bool:
        """Return whether a root has replaced the revision in the version table."""
        return self.seen.heads != self.seen.marked

    def _stamp(self, one: Answer, heads: str) -> str:
        purges = one.unknown or self.seen.inside or heads == "base"
        return f"alembic stamp {'--purge ' if purges else ''}{heads}"

    def _adopt(self) -> str:
        return f"alembic-toolkit adopt{self.seen.option}"


def _few(things: Mapping[Thing, str]) -> Iterator[tuple[Thing, str]]:
    """Omit parts of a table that is itself listed."""
    whole = {thing.name for thing in things if thing.kind in ("table", "foreign table")}
    for thing, text in things.items():
        if thing.owner not in whole:
            yield thing, text


# What is shown


def to_json(answers: list[Answer]) -> list[dict[str, Any]]:
    """Return the facts about each database for machines."""

    def lack(one: Lack) -> dict[str, Any]:
        return {**one.thing._asdict(), **{k: v for k, v in vars(one).items() if k != "thing"}}

    found = []
    for one in answers:
        document: dict[str, Any] = {**vars(one), "sound": one.is_sound, "error": one.error or None}
        for name in ("missing", "changed", "extra"):
            document[name] = [lack(thing) for thing in getattr(one, name)]
        found.append(document)
    return found
