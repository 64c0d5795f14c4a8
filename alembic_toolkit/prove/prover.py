"""Prove every revision of a history on one database: up, down and up again, with rows in it.

The database is empty at first and walks through the history once, looked at after each step. What
goes wrong is a `Finding`, and the walk begins anew above the revision that it is about, on a fresh
database: the other revisions are proven all the same.
"""

from __future__ import annotations

import difflib
import gc
import re
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util import to_tuple
from sqlalchemy import Connection

from alembic_toolkit.database.own import own
from alembic_toolkit.project import models
from alembic_toolkit.project.env import Project, history_path
from alembic_toolkit.project.revisions import shown
from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.gentle import GENTLE, Gentle, allowed, attempts, reached
from alembic_toolkit.prove.recorder import Recorder, enforce, recorder
from alembic_toolkit.prove.results import Finding, Outcome, Proof, RevisionProof, Running
from alembic_toolkit.prove.scratch import Scratch, empty, restore, saved
from alembic_toolkit.prove.scripts import Written, scripts, scripts_elsewhere
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.prove.statements import KEEPS, LOOKS, SPARES_OTHERS, about, run_script
from alembic_toolkit.prove.walk import Step, forget_temporary, load_in_env, temporary, walk
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.fill import fill
from alembic_toolkit.rows.filling import Filled
from alembic_toolkit.rows.lost import changed_by, lost_after_down, lost_after_up, since
from alembic_toolkit.rows.read import content, read, same
from alembic_toolkit.rows.tables.look import look
from alembic_toolkit.rows.tables.table import Table, Tables, labelled, related
from alembic_toolkit.rows.write import alone
from alembic_toolkit.schema.names import names_in
from alembic_toolkit.schema.snapshot import Snapshot, Thing, difference
from alembic_toolkit.schema.take import take

Walking = Generator[Step, None, None]


class _Anew(Exception):
    """Begin anew above the revision at hand, on a fresh database."""


def prove(
    project: Project,
    scratch: Scratch,
    wanted: Settings,
    found: Proof,
    progress: Callable[[int, int, str], None],
) -> None:
    """Prove all that is wanted on one database, and note it in ``found``.

    :param progress: called with the steps done, all of them, and the revision at hand.
    :raises CommandError: ``env.py`` cannot be run on the database.
    """
    with recorder(scratch) as listening:
        if not project.order:
            load_in_env(project, scratch)
        prover = Prover(project, scratch, wanted, listening, found, progress)
        prover.run()
        if prover.misled:  # something changed that no statement named: look at everything
            for noted in (found.revisions, found.findings, found.checks, found.notes):
                noted.clear()
            Prover(project, scratch, wanted, listening, found, progress, whole=True).run()


@dataclass
class Prover:
    """One database on its way through the history."""

    project: Project
    scratch: Scratch
    wanted: Settings
    recorder: Recorder
    proof: Proof
    progress: Callable[[int, int, str], None]
    whole: bool = False  # look at everything after each step: slow, and never wrong
    context: Any = None
    running: Running | None = None
    is_inside: bool = False  # a step, and not between two
    is_aside: bool = False  # between two, looking
    executed: list[str] = field(default_factory=list)
    misled: bool = False
    at_base: Snapshot | None = None
    snap: Snapshot = field(default_factory=Snapshot)
    known: Tables = field(default_factory=dict)
    contents: Rows = field(default_factory=dict)
    read_at: Snapshot = field(default_factory=Snapshot)  # what it was when they were read
    looked_at: dict[Any, Table | None] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)  # whose rows are others since `_fill`
    unfilled: dict[str, str] = field(default_factory=dict)
    scripts: dict[bool, dict[str, Written]] = field(default_factory=dict)
    elsewhere: dict[str, list[str]] = field(default_factory=dict)
    gentle: Gentle | None = None
    loose: dict[int, str] = field(default_factory=dict)  # the check that foreign keys made fail
    saved: tuple[int, Any] | None = None  # how many revisions a copy of the database has

    @property
    def order(self) -> list[Script]:
        return self.project.order

    def run(self) -> None:
        """Prove the revisions one by one, then the models, then the way down to base."""
        self.proof.revisions += [self._record(revision) for revision in self.order]
        if results.OFFLINE in self.wanted.checks:
            self._write_scripts()
        start = 0
        while start < len(self.order):
            start = self._walk(partial(self._from, start), anew=False)
            if self.gentle is not None and self.gentle.position != start:
                self.gentle = None
        if not self.misled:
            self._models_after_all()
            if results.CRASH in self.wanted.checks:
                self._crashes()
            self._base()
            self._complete()
            self.proof.notes += [f"no rows in {t}: {why}" for t, why in self.unfilled.items()]

    def _complete(self) -> None:
        """Say why what was not judged of the whole database was not."""
        outcome = Outcome(results.NOT_JUDGED, "head cannot be reached")
        for found in self.proof.findings:
            if found.check == results.BASE:  # the finding of a downgrade that fails on the way
                self.proof.checks.setdefault(results.BASE, Outcome(results.FAULTY, found.problem))
        for check in results.OF_DATABASE:
            if check in self.wanted.checks:
                self.proof.checks.setdefault(check, outcome)

    def _record(self, revision: Script) -> RevisionProof:
        title = " ".join(str(revision.doc or "").split("\n")[0].split())
        path = shown(Path(revision.path))
        needs = tuple(str(id_) for id_ in to_tuple(revision.dependencies, default=()))
        parents = tuple(id_ for id_ in self.project.parents(revision) if id_ not in needs)
        return RevisionProof(revision.revision, path, title, parents, needs)

    # Walking

    def _walk(self, steps: Callable[[], Walking], anew: bool = True) -> int:
        """Walk a fresh database; return the position to begin anew at, after what went wrong.

        :param anew: from the first revision on, and not from where a copy was saved.
        """
        empty(self.scratch)
        if not anew and self.saved:
            restore(self.scratch, self.saved[1])
        self.running, self.is_inside = None, False

        def begun(context: MigrationContext) -> Walking:
            self.context = context
            yield from steps()

        try:
            walk(self.project, self.scratch, begun)
        except _Anew:
            assert self.running is not None
            return self.running.position + 1
        except Exception as error:
            if self.running is None or not self.is_inside:
                raise
            return self._failed(error, self.running)
        return len(self.order)

    def _step(self, running: Running, fresh: bool = False) -> Generator[Step, None, list[str]]:
        """Run a step; return the statements that it executed, the version table's not."""
        self.running, self.is_inside = running, True
        if self.loose:  # else env.py decides
            driver = self.context.connection.connection.driver_connection
            enforce(driver, running.position not in self.loose)
        record = self.proof.revisions[running.position]
        begin = time.perf_counter()
        if fresh or not running.silent:
            # Another process has made no enum type yet, and makes those again that are there, or
            # that were dropped.
            self.context.impl.memo.clear()
        with self.recorder.on() as executed:
            self.executed = executed
            yield self.project.step(self.order[running.position], running.up, fresh)
        self.is_inside = False
        if made := temporary(executed):
            with self._aside() as connection:
                forget_temporary(connection, made)
        if not running.silent:
            record.seconds[running.check] = time.perf_counter() - begin
        marks = re.compile(rf"(INSERT INTO|UPDATE|DELETE FROM) \W?{self._version_table}\b")
        return [sql for sql in executed if not marks.match(sql)]

    def _stamp(self, position: int, up: bool) -> Walking:
        yield self.project.stamp(self.order[position], up)

    @property
    def _version_table(self) -> str:
        return str(self.context.version_table)

    @property
    def _own_tables(self) -> tuple[str, ...]:
        """Return the tables that belong to no revision: versions, and marks of unfinished steps."""
        return own(self._version_table)

    @contextmanager
    def _aside(self) -> Iterator[Connection]:
        """Give the connection of the walk, between two steps; leave it in no transaction.

        Inside another one, in the same transaction: each costs a message to the server.
        """
        connection: Connection = self.context.connection
        outer, self.is_aside = self.is_aside, True
        try:
            with nullcontext() if outer else alone(connection):
                yield connection
        finally:
            self.is_aside = outer
        if not outer and not self.context._in_external_transaction:
            connection.commit()  # before the first step, Alembic's version table

    def _tell(self, steps: int, position: int) -> None:
        total = len(self.order) * (2 if results.BASE in self.wanted.checks else 1)
        self.progress(steps, total, self.order[position].revision)

    # One revision

    def _from(self, start: int) -> Walking:
        """Prove from a revision on."""
        first = self._look(None)
        self.at_base = first if self.at_base is None else self.at_base
        yield from self._lead(start)
        self._look(None)
        self._read_rows(None)
        self._fill(None)
        for position in range(start, len(self.order)):
            yield from self._prove(position)
            self._tell(position + 1, position)
            if self.gentle is not None:
                failed = self.gentle.failures[0][1].check
                judged = Outcome(results.NOT_JUDGED, self.gentle.why)
                self.proof.revisions[position].checks[failed] = judged
                raise _Anew
        self._models()
        self._compare_with_whole()

    def _prove(self, position: int) -> Walking:
        """Prove one revision: up, down, up again."""
        record = self.proof.revisions[position]
        before, rows_before, known = self.snap, self.contents, self.known
        executed = yield from self._step(Running(position, True, results.UP))
        record.upgrade = executed
        with self._aside():
            after, rows_between = self._look(executed), self._read_rows(executed)
            lost = lost_after_up(rows_before, rows_between, changed_by(executed))
            self._say(position, results.UP)
            self._say_lost(position, "upgrade", lost)
            said = {differences.subject(line) for line in lost}
            self._fill(executed, within=known, but=differences.emptied(rows_before, rows_between))
        if wording.refuses(self.order[position]):
            return self._say_declared(position, str(self._declared(position)))
        if not hasattr(self.order[position].module, "downgrade"):
            return self._say_missing(position)
        written = since(rows_between, self.contents)
        executed = yield from self._step(Running(position, False, results.DOWN), fresh=True)
        record.downgrade = executed
        with self._aside():
            back = self._look(executed)
            self._judge_down(position, before, back, executed)
            rows_after = self._read_rows(executed)
        lost = lost_after_up(written, rows_after, changed_by(executed))
        fed = any(content.rows and n not in rows_before for n, content in written.items())
        lost += lost_after_down(rows_before, rows_between, rows_after, fed=fed)
        lost = [line for line in lost if differences.subject(line) not in said]
        self._say_lost(position, "downgrade", lost)
        if results.RERUN in self.wanted.checks:
            yield from self._again(position, False, back)
        if self.scripts:
            yield from self._offline(position, before, after)
        start = self.snap
        executed = yield from self._step(Running(position, True, results.UP_AGAIN), fresh=True)
        with self._aside():
            # The same statements make the same of the same: it need not be looked at.
            is_same = start == before and executed == record.upgrade
            found = self._look(executed, expected=after if is_same else None)
            self._judge_same(position, results.UP_AGAIN, after, found)
            self._judge_doubled(position, rows_before, rows_between, rows_after, executed)
            if results.RERUN not in self.wanted.checks:
                self._fill(executed)
        if results.RERUN in self.wanted.checks:
            yield from self._again(position, True, after)
            self._fill(executed)
        for check in (results.UP_AGAIN, results.ROWS, results.RERUN, results.OFFLINE):
            self._say(position, check)

    def _judge_down(
        self, position: int, before: Snapshot, back: Snapshot, executed: list[str]
    ) -> None:
        left = difference(before, back)
        if not left:
            return self._say(position, results.DOWN)
        problem = "downgrade() leaves the schema other than it was before upgrade()"
        remedy = f"in downgrade(), what makes it as it was: {wording.undo(left)}"
        if all(map(LOOKS.match, executed)):
            problem = "downgrade() does nothing, and upgrade() did something"
            remedy = f'{remedy}\nor, where nothing can: irreversible = "why", in the module'
        self._find(results.DOWN, position, problem, left, remedy)
        raise _Anew

    def _judge_same(
        self, position: int, check: str, wanted: Snapshot, got: Snapshot, what: str = "upgrade()"
    ) -> None:
        differing = difference(wanted, got)
        if not differing:
            return
        problem, remedy = {
            results.UP_AGAIN: (
                "upgrade() after the downgrade makes another schema than the first time",
                "names and values that are the same each time: written, not made up when it runs",
            ),
            results.RERUN: (
                f"{what} run a second time, after only its mark was lost, changes the schema again",
                "verbs that look first (if_not_exists=True, if_exists=True, or guarded ones)",
            ),
            results.OFFLINE: (
                f"the --sql script of {what} makes another schema than {what} itself",
                "the same operations in both: nothing that depends on what the database answers",
            ),
        }[check]
        self._find(check, position, problem, differing, remedy)
        raise _Anew

    def _judge_doubled(
        self,
        position: int,
        before: Rows,
        between: Rows,
        after: Rows,
        executed: list[str],
    ) -> None:
        """Say which rows the downgrade left, and the upgrade inserted a second time."""
        doubled = []
        changed = changed_by(executed)
        for name, now in self._read_rows(executed).items():
            # Without a key it cannot be told which row is new where values were changed.
            told = now.table.primary or (changed is not None and name not in changed)
            there = name in before and name in between and name in after
            if told and there and now is not after[name]:
                seen = before[name], between[name], after[name], now
                doubled += [f"+ row of {name}: {row}" for row in differences.doubled(*seen)]
        if doubled:
            problem = "downgrade() leaves rows that upgrade() inserted, and inserts again"
            remedy = (
                "in downgrade(), a DELETE of what upgrade() inserted; or insert what is missing"
            )
            self._find(results.ROWS, position, problem, doubled, remedy)

    def _again(self, position: int, up: bool, wanted: Snapshot) -> Walking:
        """Take the mark of a step away, and run it again."""
        before, marks = self.contents, self.recorder.marks
        yield from self._stamp(position, not up)
        with self._aside() as connection:
            # They went in the commit that noted the revision: without that they are there.
            for statement, values in marks if len(marks) > 1 else ():
                connection.exec_driver_sql(statement, values or None)
        executed = yield from self._step(Running(position, up, results.RERUN), fresh=True)
        what = running_name(up)
        self._judge_same(position, results.RERUN, wanted, self._look(executed), what)
        differing = differences.changed(before, self._read_rows(executed))
        if differing:
            problem = f"{what} run a second time, after only its mark was lost, changes rows again"
            remedy = "a condition that is false once it is done: WHERE ..., NOT EXISTS (...)"
            self._find(results.RERUN, position, problem, differing, remedy)

    # What was looked at

    def _look(self, executed: list[str] | None, expected: Snapshot | None = None) -> Snapshot:
        """Look at the schema; after these statements only at what they name.

        :param expected: what it is, unless that cannot be told from the statements.
        """
        whole = executed is None or self.whole
        names = None if whole or executed is None else names_in(executed)
        if expected is not None and names is not None:
            self.snap = expected
            return expected
        with self._aside() as connection:
            ignore = self._own_tables
            self.snap = take(connection, self.snap or None, names, ignore)
        return self.snap

    def _touched(self, executed: Collection[str] | None) -> set[str] | None:
        """Return the tables that statements are about; None: any, it cannot be told which."""
        names = None if executed is None else names_in(executed)
        if names is None or executed is None or self.whole:
            return None
        names = names_in(map(about, executed)) or frozenset()
        found = {n for n in names if n in self.known or Thing("table", "", n) in self.snap}
        return found | {name for name in self.known if "." in name and names >= {*name.split(".")}}

    def _read_rows(self, executed: list[str] | None) -> Rows:
        """Read the rows of the tables that statements can have changed."""
        moving = None if executed is None else [sql for sql in executed if not KEEPS.match(sql)]
        touched = self._touched(moving)
        ignore = self._own_tables
        with self._aside() as connection:
            if touched is None:
                self.known = self._labelled(look(connection, None, ignore))
                self.contents = read(connection, self.known)
                self.changed = {*self.contents}
            else:
                if not all(map(SPARES_OTHERS.match, moving or ())):
                    touched = related(self.known, touched)
                self._read_touched(connection, touched)
        self.read_at = self.snap
        return self.contents

    def _read_touched(self, connection: Connection, touched: set[str]) -> None:
        altered = self.snap.changed(self.read_at)
        there = self._look_at(connection, touched | altered)
        touched |= {name for name in altered if there.get(name) != self.known.get(name)}
        before, gone = self.contents, (touched | altered) - there.keys()
        self.known = {n: t for n, t in self.known.items() if n not in gone} | there
        fresh = read(connection, {n: t for n, t in there.items() if n in touched})
        fresh = {name: content for name, content in fresh.items() if content != before.get(name)}
        self.contents = {n: r for n, r in before.items() if n not in gone} | fresh
        self.changed |= {*fresh}

    def _look_at(self, connection: Connection, names: set[str]) -> Tables:
        """Look at tables; not again at one that is what it was when it was looked at."""
        types = self.snap.types
        keys = {name: (name, self.snap.table(name), types) for name in names}
        unknown = {n for n, key in keys.items() if key not in self.looked_at}
        if self.scratch.server == "mariadb":  # whose snapshot has one database of several
            unknown |= {name for name, key in keys.items() if not key[1]}
        else:
            unknown = {name for name in unknown if keys[name][1]}
        found = look(connection, unknown, self._own_tables)
        found = self._labelled(found)
        self.looked_at |= {keys[name]: found.get(name) for name in unknown}
        seen = {name: self.looked_at.get(key) for name, key in keys.items()}
        return {name: table for name, table in seen.items() if table is not None}

    def _labelled(self, found: Tables) -> Tables:
        return labelled(found, self.recorder.labels, self.recorder.forms)

    def _fill(
        self,
        executed: list[str] | None,
        within: Tables | None = None,
        but: Collection[str] = (),
    ) -> None:
        """Put rows into what is new, and read them.

        :param within: the older tables, which must be able to hold the values as well.
        :param but: tables that are left alone.
        """
        names = None if executed is None or self.whole else self.changed & self.known.keys()
        self.changed = set()
        likely = self.known if names is None else sorted(names)
        wanted = [name for name in likely if name in self.known and name not in but]
        if not wanted or (self.gentle and self.gentle.texts is None):
            return
        with self._aside() as connection:
            filled = fill(
                connection,
                self.known,
                wanted,
                texts=self.gentle.texts if self.gentle else None,
                given=self.wanted.rows,
                within=within,
                there=self.contents,
            )
            self.unfilled |= filled.failed
            for name in filled.written:
                self.unfilled.pop(name, None)
            self._note_written(connection, filled)

    def _note_written(self, connection: Connection, filled: Filled) -> None:
        """Take over what the server said that it wrote; read it where triggers may do more."""
        written = {name: self.known[name] for name in filled.written}
        told = {
            name: content(table, self.contents[name].rows + filled.returned[name])
            for name, table in written.items()
            if name in filled.returned and not self.snap.is_programmed(name)
        }
        unknown = {name: table for name, table in written.items() if name not in told}
        self.contents = self.contents | told | read(connection, unknown)

    def _compare_with_whole(self) -> None:
        """Look at everything once: what was kept of it must be right."""
        if self.whole:
            return
        kept, kept_rows = self.snap, self.contents
        seen = self._look(None), self._read_rows(None)
        self.misled = seen[0] != kept or not same(seen[1], kept_rows)

    def _models(self) -> None:
        if results.MODELS not in self.wanted.checks:
            return
        metadata, why = models.of(self.context, self.wanted.metadata)
        if why:
            self.proof.checks[results.MODELS] = Outcome(results.NOT_JUDGED, why)
            return
        with self._aside():
            differing = models.differences(self.context, metadata)
        self.proof.checks[results.MODELS] = Outcome(results.PROVEN)
        if differing:
            problem = "at head, the database is not what the models say"
            remedy = 'a revision that makes it so: alembic revision -m "..."'
            self._find(results.MODELS, None, problem, differing, remedy)

    def _models_after_all(self) -> None:
        """Compare the models where the walk had no end at head: the last revision had a finding."""
        if results.MODELS not in self.wanted.checks or results.MODELS in self.proof.checks:
            return
        if not self._unreachable:
            self._walk(partial(self._from, len(self.order)), anew=False)
        why = "head cannot be reached"
        self.proof.checks.setdefault(results.MODELS, Outcome(results.NOT_JUDGED, why))

    @property
    def _unreachable(self) -> bool:
        ups = (r.checks.get(results.UP) for r in self.proof.revisions)
        return any(up is not None and up.status == results.NOT_REACHED for up in ups)

    # Findings

    def _say(self, position: int, check: str) -> None:
        if check in self.wanted.checks:
            outcome = Outcome(results.PROVEN)
            if self.loose.get(position) == check:
                why = "fails where SQLite enforces foreign keys, which nothing in this project does"
                outcome = Outcome(results.NOT_JUDGED, why)
            self.proof.revisions[position].checks.setdefault(check, outcome)

    def _say_of_all(self, record: RevisionProof, checks: Iterable[str], outcome: Outcome) -> None:
        """Say the same of each of these checks that is wanted, and of which nothing was said."""
        for check in checks:
            if check in self.wanted.checks:
                record.checks.setdefault(check, replace(outcome))

    def _say_declared(self, position: int, why: str) -> None:
        outcome = Outcome(results.DECLARED, why)
        self._say_of_all(self.proof.revisions[position], results.OF_REVISION[1:], outcome)

    def _say_missing(self, position: int) -> None:
        remedy = (
            'what takes the change back; where nothing can: irreversible = "why", in the module'
        )
        declared = self._declared(position)
        if declared is not None:
            return self._say_declared(position, declared)
        self._find(results.DOWN, position, "there is no downgrade()", (), remedy)

    def _say_lost(self, position: int, direction: str, lost: list[str]) -> None:
        if not lost:
            return
        remedy = (
            "copy what would be lost to where the other direction finds it again\n"
            'or, where that cannot be: irreversible = "why", in the module'
        )
        if direction == "upgrade":
            remedy = "keep the rows and values: copy them before what holds them is dropped"
        problem = f"{direction}() loses rows or values that both schemas can hold"
        self._find(results.ROWS, position, problem, lost, remedy)

    def _declared(self, position: int) -> str | None:
        return wording.declared(self.order[position])

    def _find(
        self,
        check: str,
        position: int | None,
        problem: str,
        details: Iterable[str] = (),
        remedy: str = "",
    ) -> None:
        """Note that something is wrong, unless the project knows, or the same was said before."""
        record = self.proof.revisions[position] if position is not None else None
        id_, path = (record.id, record.path) if record else ("", "")
        checks = record.checks if record else self.proof.checks
        declared = self._declared(position) if position is not None else None
        if declared is not None and check in (results.DOWN, results.ROWS) and self._is_below():
            checks[check] = Outcome(results.DECLARED, declared)
            return
        reason = self.wanted.exceptions.get((id_, check))
        if reason is not None:
            checks[check] = Outcome(results.EXCEPTED, reason)
            return
        checks[check] = Outcome(results.FAULTY, problem)
        lines = tuple(wording.shortened(list(details)))
        finding = Finding(check, self.proof.database, id_, path, problem, lines, remedy)
        if finding not in self.proof.findings:
            self.proof.findings.append(finding)

    def _is_below(self) -> bool:
        """Say whether the step at hand is a downgrade, or was to be taken back by one."""
        return self.running is not None and not self.running.up

    def _failed(self, error: BaseException, running: Running) -> int:
        """Note that a step failed; return the position to begin anew at."""
        position, checks = running.position, self.proof.revisions[running.position].checks
        direction = "upgrade" if running.up else "downgrade"
        why = wording.why_irreversible(error)
        if why is not None and not running.up:
            self._say_declared(position, why)
            return position + 1
        known = checks.get(running.check)
        if running.silent:
            if known is None or known.status == results.PROVEN:
                problem = f"{direction}() fails on empty tables"
                self._fail(running, error, problem)
            elif known.status == results.FAULTY and running.check == results.UP:
                self._correct(running, error, f"{direction}() fails, with rows and without")
            self._unreached(position + 1)
            return len(self.order)
        if self._looser(error, running) or self._gentler(error, running):
            return position
        if self._lacking(error, running):
            return len(self.order)
        if self.gentle is not None:  # nothing helped: what came furthest says most
            error, running, self.executed = max(self.gentle.failures, key=reached)
            direction = "upgrade" if running.up else "downgrade"
        again = (
            " when it is run again" if running.check in (results.UP_AGAIN, results.RERUN) else ""
        )
        rows_ = " on tables with rows" if running.check == results.UP else ""
        rows_ = ", run by itself" if rows_ and wording.TYPE_IS_THERE.search(str(error)) else rows_
        self._fail(running, error, f"{direction}() fails{again}{rows_}")
        return position + 1

    def _looser(self, error: BaseException, running: Running) -> bool:
        """Say whether to try a revision again without SQLite's foreign keys.

        They are enforced, because many applications have SQLite do so. Where nothing of the project
        does, what fails on them alone is no fault of it.
        """
        fails = "FOREIGN KEY constraint failed" in str(error) and self.scratch.server == "sqlite"
        if not fails or self.project.enforces or running.position in self.loose:
            return False
        self.loose[running.position] = running.check
        return True

    def _lacking(self, error: BaseException, running: Running) -> bool:
        """Say whether a revision needs what the server has not got; then nothing can be told."""
        match = wording.NO_EXTENSION.search(str(error))
        if match is None or running.check != results.UP:
            return False
        record = self.proof.revisions[running.position]
        why = f"it needs the extension {match[1] or match[2]}, which this server does not have"
        self._say_of_all(record, results.OF_REVISION, Outcome(results.NOT_JUDGED, why))
        self._unreached(running.position + 1)
        self.proof.error = f"{record.id}: {why}\nThe way on: --url of a PostgreSQL that has it"
        return True

    def _gentler(self, error: BaseException, running: Running) -> bool:
        """Say whether to try a revision again, with rows that it may have a right to expect."""
        position = running.position
        if not allowed(error) and any(content.rows for content in self.contents.values()):
            self.gentle = self.gentle or Gentle(
                position, left=attempts(error, self.order[position])
            )
        if self.gentle is None:
            return False
        self.gentle.failures.append((error, running, self.executed))
        if allowed(error) or not self.gentle.left or running.check not in GENTLE:
            return False
        self.gentle.texts = self.gentle.left.pop(0)
        return True

    def _fail(self, running: Running, error: BaseException, problem: str) -> None:
        script = self.order[running.position]
        details = wording.error_lines(error, Path(script.path), self.executed)
        details += self._caught_before(error)
        remedy = wording.remedy(error, running, Path(script.path))
        self._find(running.check, running.position, problem, details, remedy)

    def _caught_before(self, error: BaseException) -> list[str]:
        """Say what a revision caught, when PostgreSQL goes on with nothing after it."""
        aborted = "current transaction is aborted" in str(error) and self.recorder.failed
        return [f"after it caught: {self.recorder.failed[:400]}"] if aborted else []

    def _correct(self, running: Running, error: BaseException, problem: str) -> None:
        """Say of a step that failed on tables with rows that it fails without them as well."""
        record = self.proof.revisions[running.position]
        remedy = wording.remedy(error, running, Path(self.order[running.position].path))
        for number, found in enumerate(self.proof.findings):
            if (found.check, found.revision) == (running.check, record.id):
                self.proof.findings[number] = replace(found, problem=problem, remedy=remedy)
                record.checks[running.check].why = problem

    def _unreached(self, start: int) -> None:
        outcome = Outcome(results.NOT_REACHED, "a revision before it cannot be run")
        for record in self.proof.revisions[start:]:
            self._say_of_all(record, results.OF_REVISION, outcome)

    # The whole way, on empty tables

    def _base(self) -> None:
        """Go up to head and down to base on empty tables: nothing may be left."""
        if results.BASE not in self.wanted.checks:
            return
        if self._unreachable:
            why = "head cannot be reached"
            self.proof.checks[results.BASE] = Outcome(results.NOT_JUDGED, why)
            return
        top = self._reversible()
        done = self._walk(partial(self._up_and_down, top))
        if top < len(self.order) and done == len(self.order):
            self._walk(partial(self._up_and_down, top, below=True))

    def _reversible(self) -> int:
        """Return how many revisions from the first on can be taken back."""
        for position, record in enumerate(self.proof.revisions):
            outcome = record.checks.get(results.DOWN)
            if outcome is None or outcome.status != results.PROVEN:
                return position
        return len(self.order)

    def _up_and_down(self, top: int, below: bool = False) -> Walking:
        steps = len(self.order)
        highest = top if below else steps
        for position in range(highest):
            yield from self._step(Running(position, True, results.UP, silent=True))
            self._tell(steps + position // 2, position)
        if highest != top:
            return
        for position in reversed(range(top)):
            yield from self._step(Running(position, False, results.BASE))
            self._tell(2 * steps - position // 2, position)
        left = difference(self.at_base or Snapshot(), self._look(None))
        outcome = Outcome(results.PROVEN)
        if top < steps:
            outcome.why = f"below {self.proof.revisions[top].id}, which cannot be taken back"
        self.proof.checks[results.BASE] = outcome
        if left:
            remedy = f"in a downgrade(): {wording.undo(left)}"
            self._find(results.BASE, None, "at base, something is left", left, remedy)

    # Scripts

    def _write_scripts(self) -> None:
        url = self.scratch.url.render_as_string(hide_password=False)
        try:
            self.scripts = {up: scripts(self.project, url, up) for up in (True, False)}
            self.elsewhere = scripts_elsewhere(self.project, url)
        except Exception as error:
            self.scripts = {}
            said = " ".join(f"{type(error).__name__}: {error}".split())
            why = f"{history_path(self.project)} cannot write a script (--sql): {said}"
            for record in self.proof.revisions:
                record.checks[results.OFFLINE] = Outcome(results.NOT_JUDGED, why)

    def _offline(self, position: int, before: Snapshot, after: Snapshot) -> Walking:
        """Run the script of a revision, up and down, instead of the revision."""
        for up, wanted in ((True, after), (False, before)):
            written = self._script(position, up)
            if written is None and up:
                return
            if written is None:  # back to where the others begin
                yield from self._step(
                    Running(position, up, results.OFFLINE, silent=True), fresh=True
                )
                self._look(None)
                self._read_rows(None)
                return
            self.running, self.is_inside = Running(position, up, results.OFFLINE), True
            self.executed = written.statements
            with self.scratch.engine.connect() as connection:
                run_script(connection, written.statements)
            self.is_inside = False
            yield from self._stamp(position, up)
            found = self._look(written.statements)
            self._judge_same(position, results.OFFLINE, wanted, found, running_name(up))
            self._read_rows(written.statements)

    def _script(self, position: int, up: bool) -> Written | None:
        """Return the script of one direction; say why, where there is none."""
        record = self.proof.revisions[position]
        written = self.scripts[up][record.id]
        if written.error:
            problem = f"{running_name(up)} fails when it is written as a script (--sql)"
            remedy = "nothing that needs an answer from the database, or a clear refusal"
            self._find(results.OFFLINE, position, problem, [written.error], remedy)
        elif written.refused:
            why = Outcome(results.NOT_JUDGED, written.refused.partition("\n")[0])
            record.checks.setdefault(results.OFFLINE, why)
        else:
            self._judge_elsewhere(position, up, written)
            return written
        return None

    def _judge_elsewhere(self, position: int, up: bool, written: Written) -> None:
        record = self.proof.revisions[position]
        there = self.elsewhere.get(f"{'up' if up else 'down'} {record.id}", [])
        if there != written.statements:
            lines = [*difflib.unified_diff(written.statements, there, lineterm="", n=0)][2:]
            problem = "the --sql script differs from one process to the next"
            remedy = "what is in a set, in order: sorted(...); no names or dates made up on the way"
            self._find(results.OFFLINE, position, problem, lines, remedy)

    # Crashes

    def _crashes(self) -> None:
        """Stop each revision after each of its statements, and run it again."""
        at = -1  # how many revisions the database has; -1: not known any more
        self.saved = None
        for position, record in enumerate(self.proof.revisions):
            status = {
                check: record.checks[check].status
                for check in (results.UP, results.DOWN)
                if check in record.checks
            }
            if status.get(results.UP) == results.NOT_REACHED:
                return
            if [*status.values()] != [results.PROVEN, results.PROVEN]:
                why = "only what goes up and down can be stopped and run again"
                record.checks.setdefault(results.CRASH, Outcome(results.NOT_JUDGED, why))
                at = -1
                continue
            if at != position:
                self._walk(partial(self._lead, position), anew=False)
            at = position + 1 if self._crash(position) else -1
            self._say(position, results.CRASH)

    def _lead(self, position: int) -> Walking:
        """Go up to a revision on empty tables; on SQLite, from where that was done last."""
        for before in range(self.saved[0] if self.saved else 0, position):
            yield from self._step(Running(before, True, results.UP, silent=True))
        if position and not self.context.version_table_schema:
            copy = saved(self.scratch, self.context.connection)
            self.saved = (position, copy) if copy else self.saved

    def _crash(self, position: int) -> bool:
        """Stop one revision wherever it can be stopped; say whether it arrived each time."""
        seen = differences.Seen()
        self._go_on(partial(self._uninterrupted, position, seen))
        for up in (True, False):
            if not up:
                self._go_on(partial(self._plainly, position, True))
            for number, sql in enumerate(seen.statements[up], start=1):
                if not LOOKS.match(sql) and not self._survives(position, up, number, seen):
                    return False
        return True

    def _go_on(self, steps: Callable[[], Walking]) -> None:
        """Walk on where the database stands."""

        def begun(context: MigrationContext) -> Walking:
            self.context = context
            yield from steps()

        self.running, self.is_inside = None, False
        walk(self.project, self.scratch, begun)

    def _plainly(self, position: int, up: bool) -> Walking:
        yield from self._step(Running(position, up, results.CRASH, silent=True), fresh=True)

    def _uninterrupted(self, position: int, seen: differences.Seen) -> Walking:
        """Go up and down twice: what is the same each time is what a crash must not change."""
        seen.snaps[False] = self._look(None)
        self._read_rows(None)
        self._fill(None)  # what the revision before has made is empty as yet
        for turn in range(2):
            for up in (True, False):
                running = Running(position, up, results.CRASH, silent=True)
                with_marks = yield from self._step(running, fresh=True)
                seen.statements[up] = list(self.executed)
                seen.snaps[up] = self._look(with_marks)
                seen.keep(up, turn, self._read_rows(with_marks))

    def _survives(self, position: int, up: bool, number: int, seen: differences.Seen) -> bool:
        running = Running(position, up, results.CRASH)
        sql = " ".join(seen.statements[up][number - 1].split())
        where = f"stopped after statement {number} of {len(seen.statements[up])}: {sql[:200]}"
        self.recorder.stop_after = number
        self.recorder.killed = False
        try:
            self._go_on(partial(self._plainly, position, up))
        except BaseException:  # what env.py does on its way out may fail by itself
            if not self.recorder.killed:
                raise
        finally:
            self.recorder.stop_after = None
        gc.collect()  # what the stack held of a connection keeps SQLite's lock
        try:
            self._go_on(partial(self._resumed, position, up, seen))
        except _Differs as differs:
            problem = f"{running_name(up)}, run again after a crash, arrives somewhere else"
            details, remedy = [where, *differs.args[0]], wording.remedy(differs, running, Path())
            self._find(results.CRASH, position, problem, details, remedy)
            return False
        except Exception as error:
            if not self.is_inside:
                raise
            path = Path(self.order[position].path)
            details = [where, *wording.error_lines(error, path, self.executed)]
            problem = f"{running_name(up)}, run again after a crash, fails"
            remedy = wording.remedy(error, running, Path())
            self._find(results.CRASH, position, problem, details, remedy)
            return False
        return True

    def _resumed(self, position: int, up: bool, seen: differences.Seen) -> Walking:
        """Run a step again that was stopped, and take it back."""
        if self._applied(position) != up:  # stopped before its mark was written
            yield from self._step(Running(position, up, results.CRASH, silent=True), fresh=True)
        differing = difference(seen.snaps[up], self._look(None))
        differing += seen.differing(up, self._read_rows(None))
        if differing:
            raise _Differs(differing)
        yield from self._step(Running(position, not up, results.CRASH, silent=True), fresh=True)
        self._look(None)

    def _applied(self, position: int) -> bool:
        with self._aside():
            heads = self.context.get_current_heads()
        walked = self.project.directory.iterate_revisions(heads, "base") if heads else ()
        return self.order[position] in {*walked}


class _Differs(Exception):
    """What came of it is not what should."""


def running_name(up: bool) -> str:
    """Return the name of a direction's function."""
    return "upgrade()" if up else "downgrade()"
