"""Handle a failed step: which revision the finding is about, and how to retry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic.util import CommandError

from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.fallback import (
    DEPENDS_ON_ROWS,
    Attempt,
    Failure,
    excuse,
    sorts,
    worst,
)
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.results import Outcome, Running
from alembic_toolkit.prove.scratch import empty, restore
from alembic_toolkit.prove.steps import Restart, Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.rows.filling import NONE, Sort
from alembic_toolkit.rows.tables.table import strings_in


@dataclass
class Failures:
    """Walks through the history, and records the steps that fail."""

    steps: Steps
    known: Known
    verdicts: Verdicts

    def walk(self, steps: Callable[[], Walking], from_base: bool = True) -> int:
        """Empty the database, and walk; return the position to restart at after a failure.

        :param from_base: start at base, and not at the copy that was saved.
        """
        empty(self.steps.scratch)
        if self.steps.saved and not from_base:
            restore(self.steps.scratch, self.steps.saved[1])
        try:
            self.steps.go_on(steps)
        except Restart as restart:
            start = restart.position
        except (Exception, SystemExit) as error:
            running = self.steps.running
            if running is None or (isinstance(error, CommandError) and not self.steps.is_inside):
                raise
            failed = self._failed if self.steps.is_inside else self._unseen
            start = failed(error, running)
        else:
            return len(self.steps.order)
        attempt = self.steps.attempt
        if start > attempt.position >= 0:
            if attempt.is_probe:
                attempt.next()
                return attempt.position
            self.settle(attempt)
        return start

    def _failed(self, error: BaseException, running: Running) -> int:
        """Record a failed step; return the position to restart at."""
        position = running.position
        if running.silent:
            return self._failed_below(error, running)
        declared = wording.declaration(error, running, self.steps.order[position])
        if declared is not None:
            self.verdicts.note_declared(position, declared)
            return position + 1
        if self._looser(error, running):
            return position
        if self._lacking(error, running):
            return position + 1
        attempt = self.steps.at(position)
        failure = Failure(error, running, self.steps.executed, attempt.sort)
        attempt.failures.append(failure)
        if self._gentler(attempt, failure):
            return position
        self._give_up(attempt, failure)
        if running.check == results.UP:
            self.verdicts.unreached(self.steps.lose(position))
        return attempt.without(running.check, running.up, self.verdicts.wanted.checks)

    def _unseen(self, error: BaseException, running: Running) -> int:
        """Record that the database could not be read; return the position to restart at."""
        if running.silent or getattr(error, "connection_invalidated", False):
            raise error
        words = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        outcome = Outcome(results.NOT_JUDGED, f"the database cannot be looked at after it: {words}")
        record = self.verdicts.proof.revisions[running.position]
        self.verdicts.note_all(record, results.OF_REVISION, outcome)
        return running.position + 1

    def _failed_below(self, error: BaseException, running: Running) -> int:
        """Note that a step fails that only leads to others; what they prove cannot be reached."""
        record = self.verdicts.proof.revisions[running.position]
        known = record.checks.get(running.check)
        if running.check == results.OLD_CODE:  # it ran before, and all else is judged on that
            words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            outcome = Outcome(results.NOT_JUDGED, f"it fails on a second way up: {words}")
            self.verdicts.note_all(record, [results.OLD_CODE], outcome)
        elif known is None or known.status == results.PROVEN:
            function = wording.running_name(running.up)
            self.verdicts.fail(running, error, f"{function} fails on empty tables")
        self.verdicts.unreached(range(running.position + 1, len(self.steps.order)))
        return len(self.steps.order)

    def _give_up(self, attempt: Attempt, failure: Failure) -> None:
        """Record that a step fails with any rows."""
        running = failure.running
        failures = attempt.failures_of(running.check)
        again = running.check in (results.UP_AGAIN, results.RERUN)
        problem = f"{wording.running_name(running.up)} fails{' when it is run again' * again}"
        if running.check == results.UP:
            # What it says without rows is what is wrong with the revision.
            with_rows = len(failures) > 1
            problem += ", with rows and without" if with_rows else ""
            if wording.TYPE_IS_THERE.search(str(failure.error)):
                problem = f"{wording.running_name(running.up)} fails, run by itself"
            failure.running.silent = with_rows
        attempt.failures = [one for one in attempt.failures if one not in failures]
        self.verdicts.fail(running, failure.error, problem, failure.executed)

    def settle(self, attempt: Attempt) -> None:
        """Judge the failures of a revision, now that it ran with other rows."""
        self.verdicts.judge_enforced(attempt.position)
        if attempt.upgraded is not None:
            self.steps.passed.setdefault(attempt.position, attempt.upgraded)
        left, attempt.failures = attempt.failures, []
        record = self.verdicts.proof.revisions[attempt.position]
        checks = dict.fromkeys(failure.running.check for failure in left)
        if results.UP in checks and results.UP_AGAIN in checks:  # the same function, on such rows
            del checks[results.UP_AGAIN]
            self.verdicts.note(attempt.position, results.UP_AGAIN)
        for check in checks:
            failures = [failure for failure in left if failure.running.check == check]
            passed = attempt.upgraded if check == results.UP else attempt.sort
            self._settle(attempt, failures, passed or NONE)
        if attempt.upgraded is NONE and results.ROWS in record.checks:
            proven = record.checks[results.ROWS].status == results.PROVEN
            why = "upgrade() runs only where there are no rows"
            if proven:
                record.checks[results.ROWS] = Outcome(results.NOT_JUDGED, why)

    def _settle(self, attempt: Attempt, failures: list[Failure], passed: Sort) -> None:
        """Judge the failures of one check, which do not occur with these rows."""
        script = self.steps.order[attempt.position]
        reported = worst(failures)
        running = reported.running
        why = excuse(failures, passed, script)
        if why:
            return self.verdicts.excuse(attempt.position, running.check, why)
        again = " when it is run again" if running.check == results.UP_AGAIN else ""
        problem = f"{wording.running_name(running.up)} fails{again} on tables with rows"
        more = [f"it runs {passed.words}, and the rest is judged on that"]
        self.verdicts.fail(running, reported.error, problem, reported.executed, more)

    def _looser(self, error: BaseException, running: Running) -> bool:
        """Return whether to try a revision again without SQLite's foreign keys.

        They are enforced, because many applications have SQLite do so. In a project that never
        does, a step that fails only on them is not faulty.
        """
        unenforced = self.steps.scratch.server.unenforced
        fails = unenforced and unenforced in str(error)
        if not fails or self.steps.project.enforces:
            return False
        lines = self.verdicts.lines(running, error, self.steps.executed)
        return self.steps.loosen(running, running.check, lines)

    def _lacking(self, error: BaseException, running: Running) -> bool:
        """Return whether a revision needs an extension, or a right, that is not there."""
        why, way_on = wording.lacking(error)
        if not why or running.check != results.UP:
            return False
        record = self.verdicts.proof.revisions[running.position]
        self.verdicts.note_all(record, results.OF_REVISION, Outcome(results.NOT_JUDGED, why))
        self.verdicts.unreached(self.steps.lose(running.position))
        self.verdicts.proof.error = (
            f"{record.id}: {why}\nWhat to do next: --url of a server {way_on}"
        )
        return True

    def _gentler(self, attempt: Attempt, failure: Failure) -> bool:
        """Return whether to retry a revision with simpler rows, which it may rightly expect."""
        has_rows = any(content.rows for content in self.known.contents.values())
        if failure.running.check not in DEPENDS_ON_ROWS or not (has_rows or attempt.sort is NONE):
            return False
        learned = self.steps.recorder.known > self.steps.learned
        named = wording.ENUM_VALUE.search(str(failure.error))
        things = self.known.snap.items() if named else ()
        labels = [
            label
            for thing, text in things
            for label in strings_in(text)
            if named and thing.kind == "enum" and thing.name == named[1]
        ]
        script = self.steps.order[attempt.position]
        return attempt.gentler(failure, sorts(failure, script, learned, labels))
