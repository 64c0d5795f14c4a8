"""Run a whole history once, on an empty database, and record each revision's schema changes.

After each statement that is committed by itself the schema is read, since a crash may leave a
database at that point. For a revision that is one transaction it is read once, and each change is
attributed to the statement that names the object.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import Script
from sqlalchemy import Connection, Engine, event

from alembic_toolkit.database import marks
from alembic_toolkit.database.driver import is_idle
from alembic_toolkit.database.own import own_of
from alembic_toolkit.messages import place
from alembic_toolkit.project.env import Project
from alembic_toolkit.prove.recorder import recorder
from alembic_toolkit.prove.scratch import Scratch
from alembic_toolkit.prove.statements import acts, changes_rows, read_by
from alembic_toolkit.prove.walk import Step as WalkStep
from alembic_toolkit.prove.walk import load_in_env, walk
from alembic_toolkit.rows.write import alone
from alembic_toolkit.schema.moments import masked as masked_moments
from alembic_toolkit.schema.names import names_in
from alembic_toolkit.schema.servers import judge, part_of
from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.schema.stored import Made, Part, Step, file_hash
from alembic_toolkit.schema.take import take
from alembic_toolkit.sql.masking import masked


def build(
    path: Path,
    scratch: Scratch,
    x: tuple[str, ...] = (),
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Part:
    """Return the changes of each revision, on the server of an empty database.

    :param path: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param scratch: afterwards it has the schema of the last revision.
    :param x: for ``env.py``, as ``alembic -x``.
    :param progress: called with the number of revisions done, their total, and the current one.
    :raises CommandError: ``env.py`` uses another database, or a revision cannot be run.
    """
    project = Project.load(path, x, scratch.address)
    found: list[Part] = []
    with recorder(scratch):
        if not project.order:
            load_in_env(project, scratch)
        order = in_order(project)

        def steps(context: MigrationContext) -> Iterator[WalkStep]:
            connection = context.connection
            assert connection is not None
            watch = _Watch(connection, own_of(context))
            with watch.listening():
                beside = frozenset(judge(connection, watch.known))
                found.append(Part(part_of(connection), watch.made, beside))
                _settle(context)
                for number, script in enumerate(order):
                    progress(number, len(order), script.revision)
                    watch.begin(script, project.parents(script))
                    yield project.step(script, up=True)
                    with alone(connection):
                        watch.end()
                    _settle(context)

        walk(project, scratch, steps)
    return found[0]


def _settle(context: MigrationContext) -> None:
    """Leave no transaction open between two steps; the first one has created the version table."""
    if context.connection is not None and not context._in_external_transaction:
        context.connection.commit()


def in_order(project: Project) -> list[Script]:
    """Return the revisions, each after its ancestors, in a deterministic order."""
    by_id = {script.revision: script for script in project.order}
    left = {id_: {*parents_of(project, by_id[id_])} for id_ in by_id}
    ready = [id_ for id_, parents in left.items() if not parents]
    heapq.heapify(ready)
    found = []
    while ready:
        done = heapq.heappop(ready)
        found.append(by_id[done])
        for id_, parents in left.items():
            if done in parents:
                parents.discard(done)
                if not parents:
                    heapq.heappush(ready, id_)
    return found


def parents_of(project: Project, script: Script) -> tuple[str, ...]:
    """Return a revision's predecessors and dependencies, by their full ids."""
    directory = project.directory.revision_map
    step = RevisionStep(directory, script, True)
    below = {*step.from_revisions, *(script._all_down_revisions or ())}
    return tuple(sorted(below))


@dataclass
class _Statement:
    sql: str
    line: int
    names: frozenset[str] | None = None

    def __post_init__(self) -> None:
        # A batch on SQLite makes a table under another name.
        self.names = names_in([self.sql.replace("_alembic_tmp_", "")])


@dataclass
class _Watch:
    """Observes the executed statements, and the resulting schema."""

    connection: Connection
    ignore: tuple[str, ...]
    made: dict[str, Made] = field(default_factory=dict)
    script: Script | None = None
    after: tuple[str, ...] = ()
    known: Snapshot = field(default_factory=Snapshot)
    tables: set[str] = field(default_factory=set)  # in lower case
    since: list[str] = field(default_factory=list)  # statements executed since the last look
    acting: list[_Statement] = field(default_factory=list)
    rows: dict[int, str] = field(default_factory=dict)  # by line
    steps: list[Step] = field(default_factory=list)
    commits: bool = False
    is_looking: bool = False
    begun: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receive all statements in the block."""
        self.known = take(self.connection, ignore=self.ignore)
        event.listen(Engine, "after_cursor_execute", self._hear)
        try:
            yield
        finally:
            event.remove(Engine, "after_cursor_execute", self._hear)

    def begin(self, script: Script, after: tuple[str, ...]) -> None:
        self.script, self.after, self.commits = script, after, False
        self.acting, self.rows, self.steps, self.since = [], {}, [], []

    def _hear(self, connection: Any, _: Any, sql: str, *__: Any) -> None:
        if self.script is None or self.is_looking:
            return
        self.since.append(sql)
        where = place()
        if not where or marks.NOTES.match(sql) or marks.FORGETS.match(sql):
            return  # about the version table, or a mark
        line = int(where.rpartition(":")[2])
        if changes_rows(sql) or self.tables & {*read_by(sql)}:
            self.rows.setdefault(line, " ".join(masked(sql, "'").split())[:100])
        if not acts(sql):
            return
        self.acting.append(_Statement(sql, line))
        if connection is self.connection and is_idle(connection):  # it is committed
            self._look()

    def _look(self) -> None:
        """Record the changes since the last look as the step of the last statement."""
        changes = self._changes()
        if changes:
            self.commits = True
            self.steps.append(Step(self.acting[-1].line, len(self.acting), changes))

    def _changes(self) -> dict[Thing, str | None]:
        names, self.since = names_in(self.since), []
        self.is_looking = True
        try:
            now = take(self.connection, self.known, names, self.ignore)
        finally:
            self.is_looking = False
        before, self.known = self.known, now
        changes = {
            thing: masked_moments(text, self.begun) if text and thing.kind == "column" else text
            for thing, text in changed(self.connection, before, now).items()
        }
        for thing in changes:
            if thing.kind == "table":
                self.tables.add(thing.name.rpartition(".")[2].lower())
        return changes

    def end(self) -> None:
        """Note what the revision has made."""
        assert self.script is not None
        left = self._changes()
        if self.commits and left:
            line = self.acting[-1].line if self.acting else 0
            self.steps.append(Step(line, len(self.acting), left))
        elif left:
            self.steps = _attributed(left, self.acting)
        self.made[self.script.revision] = Made(
            self.script.revision,
            self.after,
            file_hash(self.script.path),
            len(self.acting),
            self.commits and len(self.steps) > 1,
            tuple(sorted(self._rows().items())),
            tuple(self.steps),
        )

    def _rows(self) -> dict[int, str]:
        """Return the statements that change rows, or may; not those that only read for DDL."""
        lines = {one.line for one in self.acting if not changes_rows(one.sql)}
        return {
            line: sql for line, sql in self.rows.items() if changes_rows(sql) or line not in lines
        }


def changed(connection: Connection, before: Snapshot, after: Snapshot) -> dict[Thing, str | None]:
    """Return the differences between two schemas, as far as revisions define them."""
    groups = {
        group
        for group in before.groups.keys() | after.groups.keys()
        if before.groups.get(group) != after.groups.get(group)
    }
    if not groups:
        return {}
    everything = any(thing.kind == "database" for g in groups for thing in after.groups.get(g, ()))
    old, new = (
        judge(connection, one, None if everything else _of(one, groups)) for one in (before, after)
    )
    gone: dict[Thing, str | None] = {thing: None for thing in old if thing not in new}
    return gone | {thing: text for thing, text in new.items() if old.get(thing) != text}


def _of(snapshot: Snapshot, groups: set[str]) -> Mapping[Thing, str]:
    found: dict[Thing, str] = {}
    for group in groups:
        found |= snapshot.groups.get(group, {})
    return found


def _attributed(changes: dict[Thing, str | None], acting: list[_Statement]) -> list[Step]:
    """Attribute each change to a statement: the first that creates, the last that removes."""
    found: dict[int, dict[Thing, str | None]] = {}
    defining = [(n, one) for n, one in enumerate(acting, start=1) if not changes_rows(one.sql)]
    for thing, text in changes.items():
        order = defining if text is not None else defining[::-1]
        number = next(
            (n for wanted in _words(thing) for n, one in order if _says(one, wanted)),
            defining[-1][0] if defining else len(acting),
        )
        found.setdefault(number, {})[thing] = text
    lines = [0, *(one.line for one in acting)]
    return [Step(lines[number], number, found[number]) for number in sorted(found)]


def _words(thing: Thing) -> list[set[str]]:
    """Return the words of a statement that may name an object, the best ones first."""
    owner, name = thing.owner.rpartition(".")[2], thing.name.rpartition(".")[2]
    name = re.split(r"\W", name)[0] if thing.kind in ("function", "procedure") else name
    return [{owner, name}, {owner} if owner else {name}, {name}]


def _says(statement: _Statement, words: set[str]) -> bool:
    return statement.names is None or words - {""} <= statement.names
