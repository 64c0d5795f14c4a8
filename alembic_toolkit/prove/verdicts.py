"""What is said of each check: proven, a finding, a known exception, or why it was not judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.results import Finding, Outcome, Proof, RevisionProof, Running
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.prove.statements import LOOKS
from alembic_toolkit.prove.steps import Anew, Steps
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.lost import changed_by
from alembic_toolkit.schema.snapshot import Snapshot, difference


@dataclass
class Verdicts:
    """Judge what was seen, and note it in a proof."""

    steps: Steps
    wanted: Settings
    proof: Proof

    def judge_down(
        self, position: int, before: Snapshot, back: Snapshot, executed: list[str]
    ) -> None:
        left = difference(before, back)
        if not left:
            return self.say(position, results.DOWN)
        problem = "downgrade() leaves the schema other than it was before upgrade()"
        remedy = f"in downgrade(), what makes it as it was: {wording.undo(left)}"
        if all(map(LOOKS.match, executed)):
            problem = "downgrade() does nothing, and upgrade() did something"
            remedy = f'{remedy}\nor, where nothing can: irreversible = "why", in the module'
        self.find(results.DOWN, position, problem, left, remedy)
        raise Anew

    def judge_same(
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
        self.find(check, position, problem, differing, remedy)
        raise Anew

    def judge_doubled(
        self,
        position: int,
        before: Rows,
        between: Rows,
        after: Rows,
        again: Rows,
        executed: list[str],
    ) -> None:
        """Say which rows the downgrade left, and the upgrade inserted a second time.

        :param again: the rows that are there now, after what was executed.
        """
        doubled = []
        changed = changed_by(executed)
        for name, now in again.items():
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
            self.find(results.ROWS, position, problem, doubled, remedy)

    def say(self, position: int, check: str) -> None:
        if check in self.wanted.checks:
            outcome = Outcome(results.PROVEN)
            if self.steps.loose.get(position) == check:
                why = "fails where SQLite enforces foreign keys, which nothing in this project does"
                outcome = Outcome(results.NOT_JUDGED, why)
            self.proof.revisions[position].checks.setdefault(check, outcome)

    def say_of_all(self, record: RevisionProof, checks: Iterable[str], outcome: Outcome) -> None:
        """Say the same of each of these checks that is wanted, and of which nothing was said."""
        for check in checks:
            if check in self.wanted.checks:
                record.checks.setdefault(check, replace(outcome))

    def say_declared(self, position: int, why: str) -> None:
        outcome = Outcome(results.DECLARED, why)
        self.say_of_all(self.proof.revisions[position], results.OF_REVISION[1:], outcome)

    def say_missing(self, position: int) -> None:
        remedy = (
            'what takes the change back; where nothing can: irreversible = "why", in the module'
        )
        declared = self.declared(position)
        if declared is not None:
            return self.say_declared(position, declared)
        self.find(results.DOWN, position, "there is no downgrade()", (), remedy)

    def say_lost(self, position: int, direction: str, lost: list[str]) -> None:
        if not lost:
            return
        remedy = (
            "copy what would be lost to where the other direction finds it again\n"
            'or, where that cannot be: irreversible = "why", in the module'
        )
        if direction == "upgrade":
            remedy = "keep the rows and values: copy them before what holds them is dropped"
        problem = f"{direction}() loses rows or values that both schemas can hold"
        self.find(results.ROWS, position, problem, lost, remedy)

    def declared(self, position: int) -> str | None:
        return wording.declared(self.steps.order[position])

    def find(
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
        declared = self.declared(position) if position is not None else None
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
        return self.steps.running is not None and not self.steps.running.up

    def unreached(self, start: int) -> None:
        outcome = Outcome(results.NOT_REACHED, "a revision before it cannot be run")
        for record in self.proof.revisions[start:]:
            self.say_of_all(record, results.OF_REVISION, outcome)

    def fail(self, running: Running, error: BaseException, problem: str) -> None:
        script = self.steps.order[running.position]
        details = wording.error_lines(error, Path(script.path), self.steps.executed)
        details += self._caught_before(error)
        remedy = wording.remedy(error, running, Path(script.path))
        self.find(running.check, running.position, problem, details, remedy)

    def _caught_before(self, error: BaseException) -> list[str]:
        """Say what a revision caught, when PostgreSQL goes on with nothing after it."""
        aborted = "current transaction is aborted" in str(error) and self.steps.recorder.failed
        return [f"after it caught: {self.steps.recorder.failed[:400]}"] if aborted else []

    def correct(self, running: Running, error: BaseException, problem: str) -> None:
        """Say of a step that failed on tables with rows that it fails without them as well."""
        record = self.proof.revisions[running.position]
        remedy = wording.remedy(error, running, Path(self.steps.order[running.position].path))
        for number, found in enumerate(self.proof.findings):
            if (found.check, found.revision) == (running.check, record.id):
                self.proof.findings[number] = replace(found, problem=problem, remedy=remedy)
                record.checks[running.check].why = problem
