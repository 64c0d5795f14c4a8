"""The parts of a script, one for each revision, and the facts each needs about the history."""

from __future__ import annotations

import math
import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.schema import CreateTable

from alembic_toolkit.messages import place
from alembic_toolkit.project.baselines import baselines_of
from alembic_toolkit.project.revisions import shown
from alembic_toolkit.script.journal import Journal
from alembic_toolkit.sql.comments import commented
from alembic_toolkit.sql.quoting import in_parentheses, literal

# The dialects that there are guarded scripts for.
DIALECTS = ("postgresql", "mysql", "mariadb", "sqlite")


# What Alembic writes, taken apart by revision


MOST_IN_MEMORY = 1_000_000  # characters of the statements of one transaction


class Spool:
    """A file for the statements of a script, which may not fit in memory."""

    def __init__(self) -> None:
        self.file: IO[bytes] | None = None

    def keep(self, statements: list[str]) -> int:
        """Return where to find the statements again."""
        if self.file is None:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115
            weakref.finalize(self, self.file.close)
        place = self.file.seek(0, os.SEEK_END)
        pickle.dump(statements, self.file)
        return place

    def read(self, place: int) -> list[str]:
        assert self.file is not None
        self.file.seek(place)
        found: list[str] = pickle.load(self.file)
        return found


@dataclass
class Group:
    """The statements of one transaction, or of none."""

    in_transaction: bool
    spool: Spool
    kept: list[int] = field(default_factory=list)  # where in the spool
    last: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, statement: str) -> None:
        self.last.append(statement)
        self.size += len(statement)
        if self.size > MOST_IN_MEMORY:
            self.kept.append(self.spool.keep(self.last))
            self.last, self.size = [], 0

    def __bool__(self) -> bool:
        return bool(self.kept or self.last)

    def __iter__(self) -> Iterator[str]:
        for start in self.kept:
            yield from self.spool.read(start)
        yield from self.last


Note = tuple[str, str]  # a statement, and who waits for it
Notes = Mapping[str, Mapping[int, Sequence[Note]]]  # by revision, and by the line of its file


def _unplaced(notes: Mapping[int, Sequence[Note]]) -> Iterator[str]:
    """Yield what no statement of the script was written for, as lines."""
    for line, there in sorted(notes.items()):
        for statement, text in there:
            if statement:
                yield f"  {f'line {line}: ' if line else ''}{statement}"
            yield f"    {text}" if statement else text


@dataclass
class Part:
    """One revision of the script: its statements, in groups of one transaction or of none."""

    step: RevisionStep
    path: str
    title: str
    spool: Spool
    groups: list[Group] = field(default_factory=list)
    notes: dict[int, list[Note]] = field(default_factory=dict)  # by line, until they are placed

    def __post_init__(self) -> None:
        self.groups.append(Group(True, self.spool))

    def __iter__(self) -> Iterator[str]:
        for group in self.groups:
            yield from group

    @property
    def id(self) -> str:
        return str(self.step.revision.revision)

    @property
    def up(self) -> bool:
        return bool(self.step.is_upgrade)

    @property
    def parents(self) -> tuple[str, ...]:
        ids = self.step.from_revisions if self.up else self.step.to_revisions
        return tuple(str(id_) for id_ in ids)

    @property
    def comment(self) -> str:
        way = f"{', '.join(self.parents) or '(base)'} -> {self.id}"
        if not self.up:
            way = f"{self.id} -> {', '.join(self.parents) or '(base)'}"
        return f"-- Running {'upgrade' if self.up else 'downgrade'} {way}\n{self.origin}"

    @property
    def origin(self) -> str:
        """Return, as a comment, where the revision is, and why."""
        line = f"-- {self.path}: {self.title}" if self.title else f"-- {self.path}"
        return "\n".join([line, *(commented(text) for text in _unplaced(self.notes))])

    def notes_here(self) -> list[str]:
        """Return, as comments and only once, what is to be said of the line that runs."""
        _, _, line = place().rpartition(":")
        notes = self.notes.pop(int(line), []) if line else []
        one = len({statement for statement, _ in notes}) == 1
        return [
            commented(f"Locks: {text}" if one else f"Locks of {statement}: {text}")
            for statement, text in notes
        ]

    def begin(self, in_transaction: bool) -> None:
        if self.groups[-1].in_transaction != in_transaction or self.groups[-1]:
            self.groups.append(Group(in_transaction, self.spool))

    def add(self, statement: str) -> None:
        self.groups[-1].add(statement)


def part(step: RevisionStep, spool: Spool) -> Part:
    # Of the docstring one line, and nothing that could end a comment.
    title = " ".join(str(step.revision.doc or "").split("\n")[0].split())
    return Part(step, shown(Path(step.revision.path)), title, spool)


# What a script knows of the history


@dataclass
class Script:
    """The parts of a script, and the order of revisions in the whole history."""

    context: MigrationContext
    parts: list[Part]
    edges: dict[str, tuple[str, ...]]
    dual: str
    marks: list[tuple[str, str]] = field(default_factory=list)  # what has another name now
    written: str = ""  # when, and by what; see `heading.written`
    lock_timeout: float | None = None  # seconds that a statement waits for a lock
    journal: Journal | None = None

    def mark_again(self, pin: Callable[[str], str] = str) -> list[str]:
        """Return SQL that moves a database at a replaced revision to the root.

        :param pin: makes the operators of a condition the server's own.
        """
        return [
            f"UPDATE {self.version_table} SET version_num = {literal(root)}"
            f" WHERE {pin(f'version_num = {literal(replaced)}')};"
            for replaced, root in self.marks
        ]

    @property
    def version_table(self) -> str:
        return str(self.context.dialect.identifier_preparer.format_table(self.context._version))

    @property
    def create_version_table(self) -> str:
        create = CreateTable(self.context._version, if_not_exists=True)
        return str(create.compile(dialect=self.context.dialect)).strip()

    @property
    def needs_version_table(self) -> bool:
        """Tell whether a database without a version table stands below the script."""
        return self.parts[0].up and not self.from_base

    def children(self) -> dict[str, list[str]]:
        """Return, for each revision, those that come right after it."""
        after: dict[str, list[str]] = {id_: [] for id_ in self.edges}
        for id_, parents in self.edges.items():
            for parent in parents:
                after[parent].append(id_)
        return after

    def known(self) -> dict[str, tuple[str, ...]]:
        """Return the part of the history in which a database for this script may be.

        That is the revisions below the script, and all their successors: few revisions for a
        script of the last one, all of them for one from base.
        """
        begins = {parent for part in self.parts for parent in part.parents}
        begins -= {part.id for part in self.parts if part.up}
        if self.from_base:
            return self.edges
        found, todo, children = set[str](), sorted(begins), self.children()
        while todo:
            id_ = todo.pop()
            if id_ not in found:
                found.add(id_)
                todo += children[id_]
        return {
            id_: tuple(parent for parent in parents if parent in found)
            for id_, parents in self.edges.items()
            if id_ in found
        }

    @property
    def from_base(self) -> bool:
        return any(not part.parents for part in self.parts)

    def pairs(self) -> list[tuple[str, str]]:
        """Return the known revisions as pairs of a revision and a predecessor, '' for the first."""
        known = self.known().items()
        return [(id_, parent) for id_, parents in known for parent in parents or ("",)]

    def beyond(self) -> list[str]:
        """Return the direct successors of an upgrade's last revisions."""
        ours = {part.id for part in self.parts}
        children = self.children()
        return sorted({child for id_ in ours for child in children[id_]} - ours)


def edges(context: MigrationContext) -> dict[str, tuple[str, ...]]:
    """Return each revision's predecessors, including its dependencies."""
    directory = context.script
    assert directory is not None
    revisions = [*directory.walk_revisions()][::-1]
    steps = [RevisionStep(directory.revision_map, revision, True) for revision in revisions]
    return {step.revision.revision: tuple(step.from_revisions) for step in steps}


def marks(context: MigrationContext) -> list[tuple[str, str]]:
    """Return the replaced revisions at which a database may stand, each with its root."""
    directory = context.script
    assert directory is not None
    known = baselines_of(directory)
    roots = (root for root in known.roots if root in directory.revision_map._revision_map)
    return [(end, root) for root in roots for end in sorted(known.ends(root))]


def listed(ids: Iterable[str]) -> str:
    return in_parentheses(map(literal, ids))


def rows(pairs: list[tuple[str, str]]) -> str:
    """Return the VALUES of an INSERT, some to a line."""
    values = [listed(pair) for pair in pairs]
    lines = [", ".join(values[start : start + 4]) for start in range(0, len(values), 4)]
    return ",\n  ".join(lines)


def reason(part: Part) -> str:
    """Return why a revision cannot run on a database that lacks its predecessors."""
    if part.up:
        return f"revision {part.id} comes after {', '.join(part.parents)}, which is not there"
    return f"revision {part.id} cannot be taken back: one that comes after it is there"


STRAY = "this database is at a revision that this history does not have"


def stray_condition(script: Script, known: str) -> str:
    """Return a condition: the version table names an unknown revision."""
    unknown = f"version_num NOT IN (SELECT revision FROM {known})"
    return f"EXISTS (SELECT 1 FROM {script.version_table} WHERE {unknown})"


# How each server finds out what it has: all that comes before what its version table says.
APPLIED = """\
WITH RECURSIVE applied (revision) AS (
  SELECT {first} FROM {versions}
  UNION
  SELECT known.parent FROM alembic_known AS known
  JOIN applied ON applied.revision = known.revision
)
SELECT revision FROM applied WHERE revision <> ''"""


def blocks(script: Script, applied: str) -> Iterator[tuple[str, str]]:
    """Yield the conditions under which this script must not begin, each with its message.

    What a revision needs of the script itself has run before it, or nothing runs any more.
    """
    ours = {part.id for part in script.parts}
    children = script.children()
    for part in script.parts:
        others = sorted({*(part.parents if part.up else children[part.id])} - ours)
        if not others:
            continue
        # in one look: MySQL opens a temporary table only once in a statement
        # https://dev.mysql.com/doc/refman/8.4/en/temporary-table-problems.html
        here = f"COUNT(CASE WHEN revision = {literal(part.id)} THEN 1 END)"
        there = f"COUNT(CASE WHEN revision IN {listed(others)} THEN 1 END)"
        is_early = f"{here} = 0 AND {there} < {len(others)}"
        is_late = f"{here} > 0 AND {there} > 0"
        yield f"(SELECT {is_early if part.up else is_late} FROM {applied})", reason(part)


def mark_statements(script: Script, part: Part, applied: str, todo: str) -> list[str]:
    """Return the statements that note that a revision was run, each with its condition.

    :param todo: a condition, or an empty text where it is known to hold.
    """
    versions, also = script.version_table, f" AND {todo}" if todo else ""
    ours = literal(part.id)
    one = f"SELECT {ours}{script.dual} WHERE {todo}" if todo else f"VALUES ({ours})"
    if part.up:
        gone = f"DELETE FROM {versions} WHERE version_num IN {listed(part.parents)}{also}"
        return [
            *([gone] if part.parents else []),
            f"INSERT INTO {versions} (version_num) {one}",
            *_journal_row(script, part, todo),
            f"INSERT INTO {applied} (revision) {one}",
        ]
    marks = [f"DELETE FROM {versions} WHERE version_num = {ours}{also}"]
    for parent in part.parents:
        others = sorted(set(script.children()[parent]) - {part.id})
        heads = [todo] if todo else []
        if others:
            there = f"SELECT 1 FROM {applied} WHERE revision IN {listed(others)}"
            heads.append(f"NOT EXISTS ({there})")
        where = f" WHERE {' AND '.join(heads)}" if heads else ""
        select = f"SELECT {literal(parent)}{script.dual}{where}"
        marks.append(f"INSERT INTO {versions} (version_num) {select}")
    marks += _journal_row(script, part, todo)
    return [*marks, f"DELETE FROM {applied} WHERE revision = {ours}{also}"]


def _journal_row(script: Script, part: Part, todo: str) -> list[str]:
    end = f"{script.dual} WHERE {todo}" if todo else ""
    return [script.journal.insert(part.step, end)] if script.journal else []


LONGEST = 86_400.0  # seconds: a day, which the setting of every server can hold


def milliseconds(seconds: float) -> int:
    """Return how long to wait for a lock; never 0, which means no limit on some servers."""
    return max(1, math.ceil(1000 * min(seconds, LONGEST)))


def plain_heading(first: Part, written: str) -> str:
    """Return the heading of a script that does not check before it acts."""
    begin = ", ".join(first.parents) or "base" if first.up else first.id
    return (
        "-- Not to be run twice: plain SQL for review, without guards and without a journal.\n"
        f"-- It is for a database that stands at {begin}, and for no other.\n"
        f"{written}"
    )


def heading(script: Script, command: str) -> str:
    first, last = script.parts[0], script.parts[-1]
    way = "upgrade" if first.up else "downgrade"
    begin = ", ".join(first.parents) or "base" if first.up else first.id
    end = last.id if last.up else ", ".join(last.parents) or "base"
    return (
        f"-- The {way} from {begin} to {end}, for a database that stands anywhere between them.\n"
        "-- What a database has already is skipped, so the script can be run twice.\n"
        f"-- To run it: {command}\n"
        f"{script.written}"
    )
