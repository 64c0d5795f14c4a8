"""Judge the observed statements of a revision: who waits for longer than a moment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_toolkit.prove import results
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.locks.rows import in_one_line, is_several, last, target
from alembic_toolkit.prove.locks.seen import HOW, WHO, Seen, Use
from alembic_toolkit.prove.results import Lock
from alembic_toolkit.prove.steps import Steps
from alembic_toolkit.prove.verdicts import Verdicts

# Most round trips do not ask for locks, and import this all the same.
if TYPE_CHECKING:
    from alembic_toolkit.prove.locks.instead import Author
    from alembic_toolkit.prove.locks.watch import Watch

_WAITS = {
    results.WRITERS: "who writes to {} waits",
    results.EVERYBODY: "everybody who uses {} waits",
}
_ONE_WRITER = "who writes, to any table, waits while all rows of {} are {}"
_LONGEST = 200  # letters of a statement


@dataclass
class Locks:
    """Judges the locks of upgrades, if requested."""

    steps: Steps
    known: Known
    verdicts: Verdicts
    watch: Watch | None  # None: it is not wanted

    def watching(self, position: int) -> AbstractContextManager[None]:
        """Watch the upgrade of a revision."""
        only = self.verdicts.wanted.only
        id_ = self.steps.order[position].revision
        if self.watch is None or (only is not None and id_ not in only):
            return nullcontext()
        own, tables = self.steps.own_tables, self.known.tables
        return self.watch.on(self.steps.context.connection, tables, own, self._rows())

    def _rows(self) -> dict[str, int]:
        return {name: len(content.rows) for name, content in self.known.contents.items()}

    def judge(self, position: int) -> None:
        """Judge the upgrade that has just run."""
        if self.watch is None:
            return
        record = self.steps.proof.revisions[position]
        seen = _row_by_row(self.watch.seen, self._rows())
        record.locks = [
            Lock(one.path, one.line, _brief(one.sql), use.table, use.who, use.how, use.observed)
            for one in seen
            for use in one.uses
        ]
        held = [*_held(seen)]
        self.watch.unseen += _unordered(seen)
        for found in held:
            self._find_held(position, found)
        for group in _by_line(seen, held):
            self._find(position, group)
        if self.watch.unseen:
            why = "; ".join(sorted({*self.watch.unseen}))
            if results.LOCKS in record.checks:
                self.steps.proof.notes.append(f"{record.id}: its locks are judged in part: {why}")
            self.verdicts.excuse(position, results.LOCKS, why)
        self.verdicts.note(position, results.LOCKS)
        self.watch.seen, self.watch.unseen = [], []

    def _find(self, position: int, group: _Group) -> None:
        from alembic_toolkit.prove.locks.instead import instead

        tables = " or ".join(sorted(group.uses))
        rows = "its rows" if len(group.uses) == 1 else "their rows"
        how = group.how.replace("all rows", f"all {rows}")
        of = f"the same rows of {tables}" if group.how == results.END else tables
        problem = f"{_WAITS[group.who].format(of)} {how}"
        if self.steps.scratch.server.facts.is_file:
            tables = " and ".join(sorted(group.uses))
            problem = _ONE_WRITER.format(
                tables, "copied" if group.how == results.COPIED else "read"
            )
        details = [f"statement: {_brief(group.seen.sql)}"]
        details += [f"observed: {use.observed} ({name})" for name, use in group.uses.items()]
        remedy = instead(self._author(group.seen), group.seen, [*group.uses.values()])
        self._note(position, group.seen, problem, details, remedy)

    def _find_held(self, position: int, found: _Held) -> None:
        from alembic_toolkit.prove.locks.instead import apart, torn

        table, long = found.use.table, found.long
        while_ = _does(long, found.of)
        problem = f"holds {table} while it {while_}: {_WAITS[found.use.who].format(table)} "
        problem += "until the transaction ends"
        details = [
            f"statement: {_brief(found.seen.sql)}",
            f"observed: {found.use.observed} ({table})",
            f"then, line {long.line}: {_brief(long.sql)}",
            *(f"observed: {use.observed} ({use.table})" for use in long.uses if use.is_long),
        ]
        author = self._author(found.seen)
        is_one = found.seen is long
        remedy = torn(table, found.of.table) if is_one else apart(author, found.seen, long)
        self._note(position, found.seen, problem, details, remedy)

    def _note(
        self, position: int, seen: Seen, problem: str, details: list[str], remedy: str
    ) -> None:
        where = f"line {seen.line}: " if seen.line else ""
        self.verdicts.find(
            results.LOCKS, position, f"{where}{problem}", details, remedy, True, line=seen.line
        )

    def _author(self, seen: Seen) -> Author:
        from alembic_toolkit.prove.locks.instead import Author

        server = self.steps.scratch.server
        return Author(Path(seen.path) if seen.path else None, server.schema_is_database,
                      server.facts.is_file)  # fmt: skip


def _row_by_row(seen: list[Seen], rows: dict[str, int]) -> list[Seen]:
    """Return the observations, with one statement for a whole loop over a table's rows."""
    places = [(one.transaction, one.path, one.line, *target(one.sql)) for one in seen]
    times: Counter[tuple[str, str, int, str, str]] = Counter()
    for one, place in zip(seen, places, strict=True):
        times[place] += one.times
    found = []
    for one, place in zip(seen, places, strict=True):
        uses, number, (transaction, *_, verb, of) = one.uses, times[place], place
        if transaction and verb in ("UPDATE", "DELETE"):
            said = f"{number} statements, one for each row"
            uses = [
                replace(use, who=results.WRITERS, how=results.END, observed=said, is_long=True)
                if last(use.table) == last(of)
                and number >= max(2, rows.get(use.table, 2))
                and not use.is_finding
                else use
                for use in uses
            ]
        found.append(replace(one, uses=uses))
    return found


@dataclass
class _Group:
    """The uses on one line that make the application wait in the same way."""

    seen: Seen
    who: str
    how: str
    uses: dict[str, Use]


def _by_line(seen: list[Seen], held: list[_Held]) -> Iterator[_Group]:
    """Yield the findings in themselves: the worst one for each line and table."""
    covered = {(one.seen.transaction, one.use.table) for one in held}
    worst: dict[tuple[str, int], dict[str, tuple[Use, Seen]]] = {}
    for one in seen:
        for use in one.uses:
            is_told = use.how == results.END and (one.transaction, use.table) in covered
            if not use.is_finding or is_told:
                continue
            of_line = worst.setdefault((one.path, one.line), {})
            known = of_line.get(use.table)
            if known is None or _badness(use) > _badness(known[0]):
                of_line[use.table] = use, one
    for of_line in worst.values():
        groups: dict[tuple[str, str], _Group] = {}
        for name, (use, one) in of_line.items():
            group = groups.setdefault((use.who, use.how), _Group(one, use.who, use.how, {}))
            group.uses[name] = use
        yield from groups.values()


def _badness(use: Use) -> tuple[int, int]:
    return WHO.index(use.who), HOW.index(use.how)


@dataclass
class _Held:
    """A short lock that long work in the same transaction holds."""

    seen: Seen
    use: Use
    long: Seen
    of: Use  # what the long work is about


def _held(seen: list[Seen]) -> Iterator[_Held]:
    """Yield each short lock, with the first long work that holds it."""
    told: set[tuple[str, str]] = set()
    for number, one in enumerate(seen):
        for use in one.uses:
            key = one.transaction, use.table
            kept = use.is_kept and use.blocks and use.how == results.MOMENT and one.transaction
            if not kept or key in told:
                continue
            for later in seen[number:]:
                if later is not one and use.table in later.freed:
                    break
                is_told = any(_says_itself(work, use) for work in later.uses)
                works = [u for u in later.uses if u.is_long and not is_told]
                if later is one:
                    works = [u for u in works if u.table != use.table and _follows(one, use, u)]
                if later.transaction == one.transaction and works:
                    told.add(key)
                    yield _Held(one, use, later, works[0])
                    break


def _follows(one: Seen, held: Use, work: Use) -> bool | None:
    """Return whether a block of code works after it took a lock; None if its text does not tell.

    The order is that of the names.
    """
    text = in_one_line(one.sql)
    if not is_several(one.sql):
        return False  # see `_at_once`
    first, then = (
        [m.start() for m in re.finditer(rf"(?<![\w$]){re.escape(last(u.table))}(?![\w$])", text)]
        for u in (held, work)
    )
    return first[0] < then[-1] if first and then else None


_NO_ORDER = "a function locks {} and works on {}: in which order is not seen"


def _unordered(seen: list[Seen]) -> Iterator[str]:
    """Yield why it is unknown whether work in the same statement holds a lock."""
    for one in seen:
        for use in one.uses:
            moment = use.is_kept and use.blocks and use.how == results.MOMENT
            for work in one.uses if moment else ():
                if work.is_long and work is not use and _follows(one, use, work) is None:
                    yield _NO_ORDER.format(use.table, work.table)


def _says_itself(work: Use, held: Use) -> bool:
    """Return whether the long work is itself a finding about the same table."""
    same = work.table == held.table and work.is_finding and work.how != results.END
    return same and WHO.index(work.who) >= WHO.index(held.who)


def _does(long: Seen, of: Use) -> str:
    """Return the long work as a part of a sentence."""
    verb, name = target(long.sql)
    words = {"INSERT": "fills", "REPLACE": "fills", "UPDATE": "changes", "DELETE": "deletes from"}
    what = f"{words[verb]} {name}" if verb in words else f"reads all rows of {of.table}"
    what = f"copies {of.table}" if of.how == results.COPIED else what
    return f"{what} (line {long.line})" if long.line else what


def _brief(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
