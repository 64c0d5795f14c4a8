"""Stop each revision after each of its statements, and run it again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.failures import Failures
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.results import Outcome, RevisionProof, Running
from alembic_toolkit.prove.statements import LOOKS
from alembic_toolkit.prove.steps import Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.rows import differences
from alembic_toolkit.schema.snapshot import difference


class _Differs(Exception):
    """The database is not in the expected state."""


@dataclass
class Crashes:
    """Proves that a revision can resume after its process was killed."""

    steps: Steps
    known: Known
    verdicts: Verdicts
    failures: Failures

    def run(self) -> None:
        """Stop each revision after each of its statements, and run it again."""
        at = -1  # how many revisions the database has; -1: not known any more
        self.steps.saved = None
        for position, record in enumerate(self.verdicts.proof.revisions):
            up = record.checks.get(results.UP, Outcome(results.NOT_JUDGED))
            if up.status == results.NOT_REACHED:
                return
            if position not in self.steps.passed:
                why = "only what can be run can be stopped and run again"
                record.checks.setdefault(results.CRASH, Outcome(results.NOT_JUDGED, why))
                at = -1
            elif not self._goes_down(position, record):
                at = -1
                if self._tried(position, self._crash_up):
                    self.verdicts.note_upwards(position, results.CRASH)
            else:
                if at != position:
                    self._lead(position)
                at = position + 1 if self._tried(position, self._crash) else -1
                self.verdicts.note(position, results.CRASH)

    def _goes_down(self, position: int, record: RevisionProof) -> bool:
        down = record.checks.get(results.DOWN)
        is_proven = down is not None and down.status in (results.PROVEN, results.WARNED)
        return is_proven or position in self.steps.both_ways

    def _tried(self, position: int, crash: Callable[[int], bool]) -> bool:
        """Return whether a revision resumes after each crash; not judged if it never ran so."""
        try:
            return crash(position)
        except Exception as error:
            if not self.steps.is_inside:
                raise
            words = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            outcome = Outcome(results.NOT_JUDGED, f"it fails without being stopped: {words}")
            self.verdicts.proof.revisions[position].checks.setdefault(results.CRASH, outcome)
            return False

    def _lead(self, position: int) -> None:
        self.failures.walk(partial(self.steps.lead, position), from_base=False)

    def _crash(self, position: int) -> bool:
        """Stop one revision after each of its statements; return whether all went well."""
        seen = differences.Seen()
        self.steps.go_on(partial(self._uninterrupted, position, seen))
        goes_on = True
        for up in (True, False):
            if not goes_on:  # a finding on the way up does not hide the way down
                self._lead(position)
                self.steps.go_on(partial(self._filled, position))
            if not up:
                self.steps.go_on(partial(self._plainly, position, True))
            numbers = [n for n, sql in enumerate(seen.statements[up], 1) if not LOOKS.match(sql)]
            survived = all(self._survives(position, up, number, seen) for number in numbers)
            goes_on = goes_on and survived
        return goes_on

    def _crash_up(self, position: int) -> bool:
        """Do that with an irreversible revision: each time on a fresh database."""
        seen = differences.Seen()
        for turn in range(2):
            self._lead(position)
            self.steps.go_on(partial(self._once, position, turn, seen))
        for number, sql in enumerate(seen.statements[True], start=1):
            if LOOKS.match(sql):
                continue
            self._lead(position)
            self.steps.go_on(partial(self._filled, position))
            if not self._survives(position, True, number, seen, is_back=False):
                return False
        return True

    def _once(self, position: int, turn: int, seen: differences.Seen) -> Walking:
        yield from self._filled(position)
        yield from self._seen(position, True, turn, seen)

    def _filled(self, position: int) -> Walking:
        """Insert rows into the existing tables."""
        self.known.look(None)
        self.known.read_rows(None)
        self.known.fill(None, sort=self.steps.passed[position])
        yield from ()

    def _seen(self, position: int, up: bool, turn: int, seen: differences.Seen) -> Walking:
        running = Running(position, up, results.CRASH, silent=True)
        with_marks = yield from self.steps.step(running, fresh=True)
        seen.statements[up] = list(self.steps.executed)
        seen.snaps[up] = self.known.look(with_marks)
        seen.keep(up, turn, self.known.read_rows(with_marks))

    def _plainly(self, position: int, up: bool) -> Walking:
        yield from self.steps.step(Running(position, up, results.CRASH, silent=True), fresh=True)

    def _uninterrupted(self, position: int, seen: differences.Seen) -> Walking:
        """Go up and down twice: a crash must not change what is the same each time."""
        yield from self._filled(position)  # the tables of the revision before are still empty
        seen.snaps[False] = self.known.snap
        for turn in range(2):
            for up in (True, False):
                yield from self._seen(position, up, turn, seen)

    def _survives(
        self, position: int, up: bool, number: int, seen: differences.Seen, is_back: bool = True
    ) -> bool:
        """Stop a step after one statement and run it again; return whether that went well.

        :param is_back: take it back at the end.
        """
        running = Running(position, up, results.CRASH)
        remedy = wording.remedy(_Differs(), running, Path())
        sql = " ".join(seen.statements[up][number - 1].split())
        where = f"stopped after statement {number} of {len(seen.statements[up])}: {sql[:200]}"
        self.steps.recorder.stop_after = number
        self.steps.recorder.killed = False
        try:
            self.steps.go_on(partial(self._plainly, position, up))
        except BaseException:  # env.py may raise another error while it ends
            if not self.steps.recorder.killed:
                raise
        finally:
            self.steps.recorder.stop_after = None
        gc.collect()  # a connection left in the traceback would keep SQLite's lock
        try:
            self.steps.go_on(partial(self._resumed, position, up, seen, is_back))
        except _Differs as differs:
            problem, lines = "arrives somewhere else", differs.args[0]
        except Exception as error:
            if not self.steps.is_inside:
                raise
            path = Path(self.steps.order[position].path)
            problem, lines = "fails", wording.error_lines(error, path, self.steps.executed)
            remedy = wording.remedy(error, running, Path())
        else:
            return True
        problem = f"{running_name(up)}, run again after a crash, {problem}"
        self.verdicts.find(results.CRASH, position, problem, [where, *lines], remedy)
        return False

    def _resumed(self, position: int, up: bool, seen: differences.Seen, is_back: bool) -> Walking:
        """Run an interrupted step again, and reverse it."""
        if self._applied(position) != up:  # stopped before its mark was written
            yield from self._plainly(position, up)
        differing = difference(seen.snaps[up], self.known.look(None))
        differing += seen.differing(up, self.known.read_rows(None))
        if differing:
            raise _Differs(differing)
        if is_back:
            yield from self._plainly(position, not up)
            self.known.look(None)

    def _applied(self, position: int) -> bool:
        with self.steps.aside():
            heads = self.steps.context.get_current_heads()
        walked = self.steps.project.directory.iterate_revisions(heads, "base") if heads else ()
        return self.steps.order[position] in {*walked}
