"""The outcome of each check: proven, a finding, a known exception, or why it was not judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.results import Finding, Outcome, Proof, RevisionProof, Running
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.prove.statements import LOOKS
from alembic_toolkit.prove.steps import Restart, Steps
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.lost import changed_by
from alembic_toolkit.schema.snapshot import Snapshot, difference


@dataclass
class Verdicts:
    """Judges what was seen, and notes the outcome in a proof."""

    steps: Steps
    wanted: Settings
    proof: Proof

    def judge_down(
        self, position: int, before: Snapshot, back: Snapshot, executed: list[str]
    ) -> None:
        left = difference(before, back)
        if not left:
            return self.note(position, results.DOWN)
        problem = "downgrade() leaves the schema other than it was before upgrade()"
        remedy = f"in downgrade(), what makes it as it was: {wording.undo(left)}"
        if all(map(LOOKS.match, executed)):
            problem = "downgrade() does nothing, and upgrade() did something"
            remedy = f'{remedy}\nor, where nothing can: irreversible = "why", in the module'
        self.find(results.DOWN, position, problem, left, remedy)
        raise Restart

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
        raise Restart

    def judge_doubled(self, position: int, rows: Sequence[Rows], executed: list[str]) -> None:
        """Find rows that the downgrade left, and the upgrade inserted a second time.

        :param rows: before the upgrade, after it, after the downgrade, and now.
        """
        doubled = []
        changed = changed_by(executed)
        for name, now in rows[-1].items():
            # Without a key, a row with changed values cannot be told from a new row.
            is_clear = now.table.primary or (changed is not None and name not in changed)
            if is_clear and all(name in some for some in rows) and now is not rows[-2][name]:
                seen = [some[name] for some in rows]
                doubled += [f"+ row of {name}: {row}" for row in differences.doubled(*seen)]
        if doubled:
            problem = "downgrade() leaves rows that upgrade() inserted, and inserts again"
            remedy = (
                "in downgrade(), a DELETE of what upgrade() inserted; or insert what is missing"
            )
            self.find(results.ROWS, position, problem, doubled, remedy)

    def note(self, position: int, check: str) -> None:
        """Note a check as proven, unless there is an outcome."""
        if check in self.wanted.checks:
            outcome = Outcome(results.PROVEN)
            if self.steps.loose.get(position) == check:
                why = "fails where SQLite enforces foreign keys, which nothing in this project does"
                outcome = Outcome(results.NOT_JUDGED, why)
            self.proof.revisions[position].checks.setdefault(check, outcome)

    def note_all(self, record: RevisionProof, checks: Iterable[str], outcome: Outcome) -> None:
        """Note an outcome of each of these checks that is wanted and has none."""
        for check in checks:
            if check in self.wanted.checks:
                record.checks.setdefault(check, replace(outcome))

    def note_declared(self, position: int, why: str) -> None:
        outcome = Outcome(results.DECLARED, why)
        self.note_all(self.proof.revisions[position], results.OF_REVISION[1:], outcome)

    def judge_missing(self, position: int) -> None:
        """Judge a revision without a downgrade."""
        declared = self.declared(position)
        if declared is not None:
            return self.note_declared(position, declared)
        problem = "there is no downgrade()"
        self.find(results.DOWN, position, problem, remedy=wording.TAKE_BACK)

    def judge_lost(self, position: int, direction: str, lost: list[str]) -> None:
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
        """Note that something is wrong, unless the project knows or it was noted before."""
        record = self.proof.revisions[position] if position is not None else None
        id_, path = (record.id, record.path) if record else ("", "")
        checks = record.checks if record else self.proof.checks
        declared = self.declared(position) if position is not None else None
        is_down = self.steps.running is not None and not self.steps.running.up
        if declared is not None and check in (results.DOWN, results.ROWS) and is_down:
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

    def unreached(self, start: int) -> None:
        outcome = Outcome(results.NOT_REACHED, "a revision before it cannot be run")
        for record in self.proof.revisions[start:]:
            self.note_all(record, results.OF_REVISION, outcome)

    def fail(self, running: Running, error: BaseException, problem: str) -> None:
        script = self.steps.order[running.position]
        details = wording.error_lines(error, Path(script.path), self.steps.executed)
        # PostgreSQL refuses every statement after the error that the revision caught.
        if "current transaction is aborted" in str(error) and self.steps.recorder.failed:
            details.append(f"after it caught: {self.steps.recorder.failed[:400]}")
        remedy = wording.remedy(error, running, Path(script.path))
        self.find(running.check, running.position, problem, details, remedy)

    def correct(self, running: Running, error: BaseException, problem: str) -> None:
        """Note that a step that failed on tables with rows fails without them as well."""
        record = self.proof.revisions[running.position]
        remedy = wording.remedy(error, running, Path(self.steps.order[running.position].path))
        for number, found in enumerate(self.proof.findings):
            if (found.check, found.revision) == (running.check, record.id):
                self.proof.findings[number] = replace(found, problem=problem, remedy=remedy)
                record.checks[running.check].why = problem
