"""Prove every revision of a history on one database: up, down and up again, with rows in it.

The database is empty at first. It goes through the history once, and is checked after each step. A
problem becomes a `Finding`, and the walk starts again above its revision, on a fresh database, so
that the other revisions are proven all the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.script import Script
from alembic.util import to_tuple

from alembic_toolkit.project.env import Project
from alembic_toolkit.project.revisions import Revision, read_file, shown
from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.crash import Crashes
from alembic_toolkit.prove.deploy.judge import OldCode
from alembic_toolkit.prove.failures import Failures
from alembic_toolkit.prove.fallback import Attempt
from alembic_toolkit.prove.health import Health
from alembic_toolkit.prove.idle import Idle
from alembic_toolkit.prove.known import Known, Moment
from alembic_toolkit.prove.locks.judge import Locks
from alembic_toolkit.prove.offline import Offline
from alembic_toolkit.prove.recorder import Recorder, recorder
from alembic_toolkit.prove.results import Finding, Outcome, Proof, RevisionProof, Running
from alembic_toolkit.prove.scratch import Scratch, empty
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.prove.steps import Restart, Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.walk import Step, load_in_env
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.lost import changed_by, lost_after_down, lost_after_up, since
from alembic_toolkit.schema.snapshot import Snapshot, difference

# What few need, or nobody at first, is imported where it is used.
if TYPE_CHECKING:
    from alembic_toolkit.drift.judge import Drift, Looked
    from alembic_toolkit.prove.locks.watch import Watch


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
    watched: AbstractContextManager[Watch | None] = nullcontext()
    if results.LOCKS in wanted.checks:
        from alembic_toolkit.prove.locks.watch import watching

        watched = watching(scratch)
    with recorder(scratch) as listening, watched as watch:
        if not project.order:
            load_in_env(project, scratch)
        prover = Prover(project, scratch, wanted, listening, found, progress, watch)
        prover.run()
        if prover.misled:  # something changed that no statement names: look at everything
            for noted in (found.revisions, found.findings, found.checks, found.notes):
                noted.clear()
            Prover(project, scratch, wanted, listening, found, progress, watch, whole=True).run()


_ENDS = (results.FAULTY, results.EXCEPTED, results.NOT_JUDGED)  # for the checks that come after


@dataclass
class Prover:
    """Makes all checks on one database."""

    project: Project
    scratch: Scratch
    wanted: Settings
    recorder: Recorder
    proof: Proof
    progress: Callable[[int, int, str], None]
    watch: Watch | None = None  # of locks, where they are asked for
    whole: bool = False  # look at everything after each step: slow, but always right
    misled: bool = False
    at_base: Snapshot | None = None
    made: dict[int, Snapshot] = field(default_factory=dict)  # what each upgrade makes
    looked: Looked | None = None  # at head, by the eyes of the models
    only_up: set[int] = field(default_factory=set)  # the revisions that are not taken back
    steps: Steps = field(init=False)
    known: Known = field(init=False)
    verdicts: Verdicts = field(init=False)
    health: Health = field(init=False)
    idle: Idle = field(init=False)
    failures: Failures = field(init=False)
    offline: Offline = field(init=False)
    locks: Locks = field(init=False)
    old_code: OldCode = field(init=False)

    def __post_init__(self) -> None:
        self.steps = Steps(self.project, self.scratch, self.recorder, self.proof)
        self.known = Known(self.steps, self.wanted.rows, self.whole)
        self.verdicts = Verdicts(self.steps, self.wanted, self.proof)
        self.health = Health(self.steps, self.known)
        self.idle = Idle(self.steps, self.verdicts)
        self.failures = Failures(self.steps, self.known, self.verdicts)
        self.offline = Offline(self.steps, self.known, self.verdicts)
        self.locks = Locks(self.steps, self.known, self.verdicts, self.watch)
        self.old_code = OldCode(self.steps, self.known, self.verdicts)

    def run(self) -> None:
        """Prove the revisions one by one, then the models, then the way down to base."""
        self.proof.revisions += [self._record(revision) for revision in self.project.order]
        self._note_left_out()
        if results.OFFLINE in self.wanted.checks:
            self.offline.write()
        start = self._wanted.start
        while start < self._wanted.stop:
            start = self.failures.walk(partial(self._from, start), from_base=False)
        if not self.misled:
            self._scripts()
            # Where the last revision has a finding, the walk did not end at head.
            is_left = results.MODELS in self.wanted.checks - self.proof.checks.keys()
            if is_left and not self._unreachable:
                self.failures.walk(partial(self._from, len(self.project.order)), from_base=False)
            self._drift()
            if results.CRASH in self.wanted.checks:
                Crashes(self.steps, self.known, self.verdicts, self.failures).run()
            if results.BASE in self.wanted.checks and not self._unreachable:
                self._base()
            self._orders()
            self._complete()
            self._note_unjudged()
            if not self.wanted.downgrades:
                self.proof.notes.append(wording.ONLY_UP)
            self.proof.notes += [f"no rows in {t}: {why}" for t, why in self.known.unfilled.items()]
            self.proof.notes += wording.unused(self.known.unused)

    def _complete(self) -> None:
        """Record why checks of the whole database were not made."""
        outcome = Outcome(results.NOT_JUDGED, "head cannot be reached")
        for found in self.proof.findings:
            if found.check == results.BASE:  # the finding of a downgrade that fails on the way
                self.proof.checks.setdefault(results.BASE, Outcome(results.FAULTY, found.problem))
        for check in results.OF_DATABASE:
            if check in self.wanted.checks:
                self.proof.checks.setdefault(check, outcome)

    def _scripts(self) -> None:
        """Judge the scripts of the upgrades that are not taken back."""
        left: dict[int, Snapshot] = {}
        for position, snap in self.made.items() if self.offline.scripts else ():
            outcome = self.proof.revisions[position].checks.get(results.OFFLINE)
            if outcome is None or outcome.status == results.DECLARED:
                left[position] = snap
        start = 0
        while start <= max(left, default=-1):
            start = self.failures.walk(partial(self.offline.upwards, left, start))
        for position in left:
            self.verdicts.note_upwards(position, results.OFFLINE)

    def _orders(self) -> None:
        """Judge in which order irreversible revisions can be deployed."""
        start, left = 0, self.old_code.left()
        while start <= max(left, default=-1):
            walk = partial(self.old_code.upwards, max(start, min(left)))
            start = self.failures.walk(walk)

    def _note_unjudged(self) -> None:
        """Record why checks of a revision were not made."""
        aside = (results.LOCKS, results.OLD_CODE)  # which never stand in the way
        for record in self.proof.revisions:
            checks = [c for c in (results.DOWN, *results.OF_REVISION) if c not in aside]
            ends = (
                f"{check!r} stands in the way: {record.checks[check].why}"
                for status in _ENDS
                for check in checks
                if check in record.checks and record.checks[check].status == status
            )
            why = next(ends, "another check stands in the way")
            self.verdicts.note_all(record, results.OF_REVISION, Outcome(results.NOT_JUDGED, why))

    def _note_left_out(self) -> None:
        """Note the files that cannot be imported, and what comes after a file that is left out."""
        for path, error in self.project.failed.items():
            one = read_file(path)
            id_ = one.id if isinstance(one, Revision) else ""
            problem = "the file cannot be imported: it, and what comes after it, is not proven"
            remedy = "what a revision needs, in its file, or installed: nothing else lasts"
            lines = tuple(wording.error_lines(error, path, ()))
            finding = Finding(
                results.UP, self.proof.database, id_, shown(path), problem, lines, remedy
            )
            self.proof.findings.append(finding)
        why = "it comes after a file that cannot be loaded"
        for script in self.project.beyond:
            parents = to_tuple(script.down_revision, default=())
            record = RevisionProof(
                script.revision, shown(Path(script.path)), _title(script), parents
            )
            self.verdicts.note_all(record, results.OF_REVISION, Outcome(results.NOT_REACHED, why))
            self.proof.revisions.append(record)

    def _record(self, revision: Script) -> RevisionProof:
        path = shown(Path(revision.path))
        needs = tuple(str(id_) for id_ in to_tuple(revision.dependencies, default=()))
        parents = tuple(id_ for id_ in self.project.parents(revision) if id_ not in needs)
        return RevisionProof(revision.revision, path, _title(revision), parents, needs)

    def _report(self, steps: int, position: int) -> None:
        total = self._wanted.stop * (2 if results.BASE in self.wanted.checks else 1)
        self.progress(steps, total, self.project.order[position].revision)

    @property
    def _wanted(self) -> range:
        """Return the positions of the revisions to prove: all, or from the first one on."""
        only = self.wanted.only
        every = range(len(self.project.order))
        if only is None:
            return every
        among = [n for n in every if self.project.order[n].revision in only]
        return range(min(among, default=0), max(among, default=-1) + 1)

    # One revision

    def _from(self, start: int) -> Walking:
        """Prove the revisions from this one on."""
        first = self.known.look(None)
        self.at_base = first if self.at_base is None else self.at_base
        yield from self.steps.lead(start)
        if start:
            self.known.look(None)
        self.known.read_rows(None)
        self.known.fill(None, sort=self.steps.at(start).sort)
        self.health.begin()
        self.old_code.begin()
        for position in range(start, self._wanted.stop):
            if position in self.steps.beyond:
                continue
            yield from self._prove(position)
            self._report(position + 1, position)
            self._end(self.steps.at(position))
        if not self.steps.beyond:
            self._models()
        self.misled = self.known.is_misled()

    def _end(self, attempt: Attempt) -> None:
        """End the proof of a revision, or try again with other rows than its first ones."""
        if attempt.is_probe:
            raise Restart(attempt.position + 1)  # or rather there, with other rows
        is_first = attempt.is_first
        self.steps.passed[attempt.position] = attempt.sort
        if attempt.position not in self.only_up:
            self.steps.both_ways.add(attempt.position)
        self.failures.settle(attempt)
        if not is_first:  # what follows is proven with rows of ours
            raise Restart(attempt.position + 1)

    def _prove(self, position: int) -> Walking:
        """Prove one revision: up, down, up again."""
        attempt = self.steps.at(position)
        before, tables = self.known.now, self.known.tables
        with self.locks.watching(position):
            executed = yield from self.steps.step(Running(position, True, results.UP))
        if not attempt.is_probe:
            self.locks.judge(position)
            attempt.upgraded = attempt.upgraded or attempt.sort
        self.proof.revisions[position].upgrade = executed
        with self.steps.aside():
            after = Moment(self.known.look(executed), self.known.read_rows(executed))
            self.made[position] = after.snap
            lost = lost_after_up(before.rows, after.rows, changed_by(executed))
            self.idle.judge(position, True, before.snap, after.snap, executed)
            if not attempt.failures_of(results.UP):
                self.verdicts.note(position, results.UP)
            self.verdicts.judge_lost(position, True, lost)
            gone = differences.thinned(before.rows, after.rows)
            self.old_code.migrated(position, before, tables)
            self.known.fill(executed, within=tables, but=gone, sort=attempt.above)
            self.old_code.filled(position)
            self.verdicts.judge_broken(position, self.health.look())
        if not self.wanted.downgrades:
            yield from self._only_up(position, after)
            for check in (results.ROWS, results.RERUN):
                self.verdicts.note(position, check)
            return
        revision = self.project.order[position]
        if wording.refuses(revision) or not hasattr(revision.module, "downgrade"):
            self.verdicts.judge_missing(position)
            return (yield from self._only_up(position, after))
        if (results.DOWN, False) in attempt.skipped:
            return (yield from self._only_up(position, after))
        known = {differences.subject(line) for line in lost}
        yield from self._down_and_up(position, before, after, known)
        if (results.RERUN, False) not in attempt.skipped:
            self.verdicts.note(position, results.RERUN)

    def _only_up(self, position: int, after: Moment) -> Walking:
        """Judge what is possible without a downgrade: whether the upgrade can be run again."""
        self.only_up.add(position)
        if results.RERUN in self.wanted.checks:
            yield from self._again(position, True, after.snap)

    def _down_and_up(
        self, position: int, before: Moment, after: Moment, known: set[str]
    ) -> Walking:
        """Downgrade a revision, and run it again.

        :param known: what the way up is known to lose, and is not reported again.
        """
        skipped = self.steps.at(position).skipped
        back, left = yield from self._down(position, before, after, known)
        if results.RERUN in self.wanted.checks and (results.RERUN, False) not in skipped:
            yield from self._again(position, False, back.snap)
        if left:
            raise Restart(self.steps.at(position).without(results.DOWN, False, self.wanted.checks))
        if self.offline.scripts:
            yield from self.offline.prove(position, before.snap, after.snap)
            self.verdicts.note(position, results.OFFLINE)
        yield from self._up_again(position, before, after, back)
        self.idle.judge_unreversed(position)

    def _down(
        self, position: int, before: Moment, after: Moment, known: set[str]
    ) -> Generator[Step, None, tuple[Moment, list[str]]]:
        """Downgrade a revision; return what exists then, and what is left of the revision.

        :param known: what the way up is known to lose, and is not reported again.
        """
        written = since(after.rows, self.known.contents)
        executed = yield from self.steps.step(Running(position, False, results.DOWN), fresh=True)
        self.proof.revisions[position].downgrade = executed
        with self.steps.aside():
            snap = self.known.look(executed)
            snaps, in_vain = (before.snap, after.snap, snap), self.idle.in_vain(after.snap)
            left = self.verdicts.judge_down(position, snaps, executed, in_vain)
            if not left:
                self.idle.judge(position, False, after.snap, snap, executed)
            rows = self.known.read_rows(executed)
            self.old_code.taken_back(position)
        lost = lost_after_up(written, rows, changed_by(executed))
        fed = any(content.rows and n not in before.rows for n, content in written.items())
        lost += lost_after_down(before.rows, after.rows, rows, fed=fed)
        lost = [line for line in lost if differences.subject(line) not in known]
        lost = [line for line in lost if not differences.follows(line, left)]
        self.verdicts.judge_lost(position, False, lost)
        return Moment(snap, rows), left

    def _up_again(self, position: int, before: Moment, after: Moment, back: Moment) -> Walking:
        """Run a revision after its downgrade, and once more if requested."""
        start = self.known.snap
        executed = yield from self.steps.step(Running(position, True, results.UP_AGAIN), fresh=True)
        with self.steps.aside():
            # The same statements on the same schema lead to the same one: no need to look.
            record = self.proof.revisions[position]
            is_same = start == before.snap and executed == record.upgrade
            found = self.known.look(executed, expected=after.snap if is_same else None)
            rows = self.known.read_rows(executed)
            self.old_code.again(position)
            seen = before.rows, after.rows, back.rows, rows
            self.verdicts.judge_doubled(position, seen, executed)
            self.verdicts.note(position, results.ROWS)
            self.verdicts.judge_same(
                position, results.UP_AGAIN, after.snap, found, between=back.snap
            )
            if not self.steps.at(position).failures_of(results.UP_AGAIN):
                self.verdicts.note(position, results.UP_AGAIN)
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
        self.verdicts.judge_same(position, results.RERUN, wanted, self.known.look(executed), up)
        differing = differences.changed(before, self.known.read_rows(executed))
        if differing:
            problem = f"{what} run a second time, after only its mark was lost, changes rows again"
            remedy = "a condition that is false once it is done: WHERE ..., NOT EXISTS (...)"
            self.verdicts.find(results.RERUN, position, problem, differing, remedy)

    # At head

    def _models(self) -> None:
        if results.MODELS not in self.wanted.checks:
            return
        from alembic_toolkit.drift.judge import look

        context, own = self.steps.context, self.steps.own_tables
        with self.steps.aside():
            self.looked, why = look(context, self.wanted.metadata, own, self.known.snap)
        # Without rights to look it cannot be told; else it is judged below, in an empty database.
        self.proof.checks[results.MODELS] = Outcome(results.NOT_JUDGED, why)

    def _drift(self) -> None:
        """Make the models' tables in the empty database, and compare them with those at head."""
        if self.looked is None:
            return
        from alembic_toolkit.drift.judge import judge

        empty(self.scratch)
        drift = judge(self.looked, self.scratch.engine)
        empty(self.scratch)
        why = " ".join(drift.unjudged.split("\n"))
        done = Outcome(results.NOT_JUDGED, why) if why else None
        self.proof.checks[results.MODELS] = done or Outcome(results.PROVEN)
        if drift.lines:
            self._find_drift(drift)

    def _find_drift(self, drift: Drift) -> None:
        from alembic_toolkit.drift.instead import in_the_models

        problem = "at head, the database is not what the models say"
        more = [f"not judged: {line}" for line in drift.unjudged.splitlines()[:1]]
        code = "\n".join(f"    {line}" for line in drift.code)
        remedy = f'a revision that makes it so: alembic revision -m "..."\n{code}'
        if instead := "\n".join(f"    {line}" for line in in_the_models(drift.lines)):
            remedy += f"\nor, where the database is right, in the models:\n{instead}"
        self.verdicts.find(results.MODELS, None, problem, [*drift.lines, *more], remedy)

    @property
    def _unreachable(self) -> bool:
        ups = (r.checks.get(results.UP) for r in self.proof.revisions)
        is_left = any(up is not None and up.status == results.NOT_REACHED for up in ups)
        return is_left or bool(self.steps.beyond)

    # The whole way, on empty tables

    def _base(self) -> None:
        """Go up to head and down to base with empty tables: nothing may be left."""
        downs = [(record.checks.get(results.DOWN), record.idle) for record in self.proof.revisions]
        fine = (results.PROVEN, results.WARNED)
        proven = (
            down is not None and (down.status in fine or results.DOWN in idle)
            for down, idle in downs
        )
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


def _title(revision: Script) -> str:
    return " ".join(str(revision.doc or "").split("\n")[0].split())
