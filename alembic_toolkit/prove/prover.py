"""Prove every revision of a history on one database: up, down and up again, with rows in it.

The database is empty at first and walks through the history once, looked at after each step. What
goes wrong is a `Finding`, and the walk starts again above the revision that it is about, on a fresh
database: the other revisions are proven all the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from alembic.script import Script
from alembic.util import to_tuple

from alembic_toolkit.project import models
from alembic_toolkit.project.env import Project
from alembic_toolkit.project.revisions import shown
from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.crash import Crashes
from alembic_toolkit.prove.failures import Failures
from alembic_toolkit.prove.known import Known, Moment
from alembic_toolkit.prove.offline import Offline
from alembic_toolkit.prove.recorder import Recorder, recorder
from alembic_toolkit.prove.results import Outcome, Proof, RevisionProof, Running
from alembic_toolkit.prove.scratch import Scratch
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.prove.steps import Restart, Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.walk import Step, load_in_env
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.lost import changed_by, lost_after_down, lost_after_up, since
from alembic_toolkit.schema.snapshot import Snapshot, difference


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
        if prover.misled:  # something changed that no statement names: look at everything
            for noted in (found.revisions, found.findings, found.checks, found.notes):
                noted.clear()
            Prover(project, scratch, wanted, listening, found, progress, whole=True).run()


@dataclass
class Prover:
    """Makes all checks on one database."""

    project: Project
    scratch: Scratch
    wanted: Settings
    recorder: Recorder
    proof: Proof
    progress: Callable[[int, int, str], None]
    whole: bool = False  # look at everything after each step: slow, but always right
    misled: bool = False
    at_base: Snapshot | None = None
    steps: Steps = field(init=False)
    known: Known = field(init=False)
    verdicts: Verdicts = field(init=False)
    failures: Failures = field(init=False)
    offline: Offline = field(init=False)

    def __post_init__(self) -> None:
        self.steps = Steps(self.project, self.scratch, self.recorder, self.proof)
        self.known = Known(self.steps, self.wanted.rows, self.whole)
        self.verdicts = Verdicts(self.steps, self.wanted, self.proof)
        self.failures = Failures(self.steps, self.known, self.verdicts)
        self.offline = Offline(self.steps, self.known, self.verdicts)

    def run(self) -> None:
        """Prove the revisions one by one, then the models, then the way down to base."""
        self.proof.revisions += [self._record(revision) for revision in self.project.order]
        if results.OFFLINE in self.wanted.checks:
            self.offline.write()
        start = 0
        while start < len(self.project.order):
            start = self.failures.walk(partial(self._from, start), from_base=False)
            if self.known.gentle is not None and self.known.gentle.position != start:
                self.known.gentle = None
        if not self.misled:
            # Where the last revision has a finding, the walk did not end at head.
            is_left = results.MODELS in self.wanted.checks - self.proof.checks.keys()
            if is_left and not self._unreachable:
                self.failures.walk(partial(self._from, len(self.project.order)), from_base=False)
            if results.CRASH in self.wanted.checks:
                Crashes(self.steps, self.known, self.verdicts, self.failures).run()
            if results.BASE in self.wanted.checks and not self._unreachable:
                self._base()
            self._complete()
            self.proof.notes += [f"no rows in {t}: {why}" for t, why in self.known.unfilled.items()]

    def _complete(self) -> None:
        """Note why checks of the whole database were not made."""
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

    def _report(self, steps: int, position: int) -> None:
        total = len(self.project.order) * (2 if results.BASE in self.wanted.checks else 1)
        self.progress(steps, total, self.project.order[position].revision)

    # One revision

    def _from(self, start: int) -> Walking:
        """Prove the revisions from this one on."""
        first = self.known.look(None)
        self.at_base = first if self.at_base is None else self.at_base
        yield from self.steps.lead(start)
        self.known.look(None)
        self.known.read_rows(None)
        self.known.fill(None)
        for position in range(start, len(self.project.order)):
            yield from self._prove(position)
            self._report(position + 1, position)
            if self.known.gentle is not None:
                failed = self.known.gentle.failures[0][1].check
                judged = Outcome(results.NOT_JUDGED, self.known.gentle.why)
                self.proof.revisions[position].checks[failed] = judged
                raise Restart
        self._models()
        self.misled = self.known.is_misled()

    def _prove(self, position: int) -> Walking:
        """Prove one revision: up, down, up again."""
        before, tables = self.known.now, self.known.tables
        executed = yield from self.steps.step(Running(position, True, results.UP))
        self.proof.revisions[position].upgrade = executed
        with self.steps.aside():
            after = Moment(self.known.look(executed), self.known.read_rows(executed))
            lost = lost_after_up(before.rows, after.rows, changed_by(executed))
            self.verdicts.note(position, results.UP)
            self.verdicts.judge_lost(position, "upgrade", lost)
            emptied = differences.emptied(before.rows, after.rows)
            self.known.fill(executed, within=tables, but=emptied)
        revision = self.project.order[position]
        if wording.refuses(revision) or not hasattr(revision.module, "downgrade"):
            return self.verdicts.judge_missing(position)
        known = {differences.subject(line) for line in lost}
        back = yield from self._down(position, before, after, known)
        if results.RERUN in self.wanted.checks:
            yield from self._again(position, False, back.snap)
        if self.offline.scripts:
            yield from self.offline.prove(position, before.snap, after.snap)
        yield from self._up_again(position, before, after, back)
        for check in (results.UP_AGAIN, results.ROWS, results.RERUN, results.OFFLINE):
            self.verdicts.note(position, check)

    def _down(
        self, position: int, before: Moment, after: Moment, known: set[str]
    ) -> Generator[Step, None, Moment]:
        """Take a revision back; return what is there then.

        :param known: what the way up is known to lose, and is not reported again.
        """
        written = since(after.rows, self.known.contents)
        executed = yield from self.steps.step(Running(position, False, results.DOWN), fresh=True)
        self.proof.revisions[position].downgrade = executed
        with self.steps.aside():
            snap = self.known.look(executed)
            self.verdicts.judge_down(position, before.snap, snap, executed)
            rows = self.known.read_rows(executed)
        lost = lost_after_up(written, rows, changed_by(executed))
        fed = any(content.rows and n not in before.rows for n, content in written.items())
        lost += lost_after_down(before.rows, after.rows, rows, fed=fed)
        lost = [line for line in lost if differences.subject(line) not in known]
        self.verdicts.judge_lost(position, "downgrade", lost)
        return Moment(snap, rows)

    def _up_again(self, position: int, before: Moment, after: Moment, back: Moment) -> Walking:
        """Run a revision after its downgrade, and once more where that is wanted."""
        start = self.known.snap
        executed = yield from self.steps.step(Running(position, True, results.UP_AGAIN), fresh=True)
        with self.steps.aside():
            # The same statements on the same schema lead to the same one: no need to look.
            record = self.proof.revisions[position]
            is_same = start == before.snap and executed == record.upgrade
            found = self.known.look(executed, expected=after.snap if is_same else None)
            self.verdicts.judge_same(position, results.UP_AGAIN, after.snap, found)
            rows = self.known.read_rows(executed)
            seen = before.rows, after.rows, back.rows, rows
            self.verdicts.judge_doubled(position, seen, executed)
            if results.RERUN not in self.wanted.checks:
                self.known.fill(executed)
        if results.RERUN in self.wanted.checks:
            yield from self._again(position, True, after.snap)
            self.known.fill(executed)

    def _again(self, position: int, up: bool, wanted: Snapshot) -> Walking:
        """Delete the mark of a step, and run it again."""
        before, marks = self.known.contents, self.steps.recorder.marks
        yield from self.steps.stamp(position, not up)
        with self.steps.aside() as connection:
            # The commit that noted the revision deleted them; without it they would be there.
            for statement, values in marks if len(marks) > 1 else ():
                connection.exec_driver_sql(statement, values or None)
        executed = yield from self.steps.step(Running(position, up, results.RERUN), fresh=True)
        what = running_name(up)
        self.verdicts.judge_same(position, results.RERUN, wanted, self.known.look(executed), what)
        differing = differences.changed(before, self.known.read_rows(executed))
        if differing:
            problem = f"{what} run a second time, after only its mark was lost, changes rows again"
            remedy = "a condition that is false once it is done: WHERE ..., NOT EXISTS (...)"
            self.verdicts.find(results.RERUN, position, problem, differing, remedy)

    # At head

    def _models(self) -> None:
        if results.MODELS not in self.wanted.checks:
            return
        metadata, why = models.of(self.steps.context, self.wanted.metadata)
        if why:
            self.proof.checks[results.MODELS] = Outcome(results.NOT_JUDGED, why)
            return
        with self.steps.aside():
            differing = models.differences(self.steps.context, metadata)
        self.proof.checks[results.MODELS] = Outcome(results.PROVEN)
        if differing:
            problem = "at head, the database is not what the models say"
            remedy = 'a revision that makes it so: alembic revision -m "..."'
            self.verdicts.find(results.MODELS, None, problem, differing, remedy)

    @property
    def _unreachable(self) -> bool:
        ups = (r.checks.get(results.UP) for r in self.proof.revisions)
        return any(up is not None and up.status == results.NOT_REACHED for up in ups)

    # The whole way, on empty tables

    def _base(self) -> None:
        """Go up to head and down to base on empty tables: nothing may be left."""
        downs = [record.checks.get(results.DOWN) for record in self.proof.revisions]
        proven = (down is not None and down.status == results.PROVEN for down in downs)
        # How many revisions from the first on can be taken back.
        top = sum(1 for _ in itertools.takewhile(bool, proven))
        done = self.failures.walk(partial(self._up_and_down, top))
        if top < len(self.project.order) and done == len(self.project.order):
            self.failures.walk(partial(self._up_and_down, top, below=True))

    def _up_and_down(self, top: int, below: bool = False) -> Walking:
        steps = len(self.project.order)
        highest = top if below else steps
        for position in range(highest):
            yield from self.steps.step(Running(position, True, results.UP, silent=True))
            self._report(steps + position // 2, position)
        if highest != top:
            return
        for position in reversed(range(top)):
            yield from self.steps.step(Running(position, False, results.BASE))
            self._report(2 * steps - position // 2, position)
        left = difference(self.at_base or Snapshot(), self.known.look(None))
        outcome = Outcome(results.PROVEN)
        if top < steps:
            outcome.why = f"below {self.proof.revisions[top].id}, which cannot be taken back"
        self.proof.checks[results.BASE] = outcome
        if left:
            remedy = f"in a downgrade(): {wording.undo(left)}"
            self.verdicts.find(results.BASE, None, "at base, something is left", left, remedy)
