"""The outcome of each check: proven, a finding, a known exception, or why it was not judged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alembic_toolkit.prove import health, results, wording
from alembic_toolkit.prove.results import Finding, Outcome, Proof, RevisionProof, Running
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.prove.statements import LOOKS
from alembic_toolkit.prove.steps import Restart, Steps
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.lost import changed_by
from alembic_toolkit.rows.write import undone
from alembic_toolkit.schema.retyped import settled
from alembic_toolkit.schema.snapshot import Snapshot, difference


@dataclass
class Verdicts:
    """Judges the observations, and records the outcomes in a proof."""

    steps: Steps
    wanted: Settings
    proof: Proof

    def judge_down(
        self,
        position: int,
        snaps: tuple[Snapshot, Snapshot, Snapshot],
        executed: list[str],
        in_vain: list[str],
    ) -> list[str]:
        """Judge what a downgrade leaves of the schema, and return it.

        :param snaps: before the upgrade, after it, after the downgrade.
        :param in_vain: what the downgrade looked for, and did not find.
        """
        left = self._difference(*snaps)
        if not left:
            self.note(position, results.DOWN)
            return left
        problem = "downgrade() does not bring back the schema from before upgrade()"
        remedy = f"in downgrade(), what makes it as it was: {wording.undo(left)}"
        if all(map(LOOKS.match, executed)):
            problem = "downgrade() does nothing, and upgrade() did something"
            remedy = f'{remedy}\nor, where nothing can: irreversible = "why", in the module'
        self.find(results.DOWN, position, problem, [*left, *in_vain], remedy)
        return left

    def _difference(self, wanted: Snapshot, between: Snapshot, got: Snapshot) -> list[str]:
        """Return how two schemas differ, except for the server's own rewrites."""
        differing = difference(wanted, got)
        if differing:
            with self.steps.aside() as connection:
                same = settled(connection, undone, wanted, between, got)
            differing = difference(wanted, same)
        return differing

    def judge_same(
        self,
        position: int,
        check: str,
        wanted: Snapshot,
        got: Snapshot,
        up: bool = True,
        between: Snapshot | None = None,
    ) -> None:
        differing = self._difference(wanted, between or wanted, got)
        what = wording.running_name(up)
        if not differing:
            return
        problem, remedy = {
            results.UP_AGAIN: (
                "upgrade() after the downgrade makes another schema than the first time",
                "names and values that are the same each time: written out, not generated",
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
        raise Restart(self.steps.at(position).without(check, up, self.wanted.checks))

    def judge_doubled(self, position: int, rows: Sequence[Rows], executed: list[str]) -> None:
        """Find rows that the downgrade left, and the upgrade inserted a second time.

        :param rows: before the upgrade, after it, after the downgrade, and now.
        """
        doubled = []
        changed = changed_by(executed)
        changed_now = ((n, now) for n, now in rows[-1].items() if now is not rows[-2].get(n))
        for name, now in changed_now:
            # Without a key, a row with changed values cannot be told from a new row.
            is_clear = now.table.primary or (changed is not None and name not in changed)
            if is_clear and all(name in some for some in rows):
                seen = [some[name] for some in rows]
                doubled += [f"+ row of {name}: {row}" for row in differences.doubled(*seen)]
        if doubled:
            problem = "downgrade() leaves rows that upgrade() inserted, and inserts again"
            remedy = (
                "in downgrade(), a DELETE of what upgrade() inserted; or insert what is missing"
            )
            self.find(results.ROWS, position, problem, doubled, remedy)

    def judge_broken(self, position: int, broken: health.Broken) -> None:
        """Judge which objects a revision leaves unusable.

        The way down needs no look: the schema is what it was before, or that is a finding.
        """
        if broken:
            problem = "upgrade() leaves something that can no longer be used"
            lines, remedy = health.lines(broken), health.remedy(broken)
            self.find(results.UP, position, problem, lines, remedy)

    def note(self, position: int, check: str) -> None:
        """Note a check as proven, unless there is an outcome."""
        if check in self.wanted.checks:
            self.proof.revisions[position].checks.setdefault(check, Outcome(results.PROVEN))

    def note_upwards(self, position: int, check: str) -> None:
        """Note a check as proven for the upgrade alone."""
        if not self.wanted.downgrades:
            return self.note(position, check)
        why = "upgrade() is right; downgrade() cannot be run"
        outcome = Outcome(results.NOT_JUDGED, why)
        self.note_all(self.proof.revisions[position], [check], outcome)

    def note_all(self, record: RevisionProof, checks: Iterable[str], outcome: Outcome) -> None:
        """Record an outcome for each of these requested checks that has none."""
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

    def judge_lost(self, position: int, up: bool, lost: list[str]) -> None:
        """Judge what a direction loses: first of all, whether it does so by itself."""
        if lost and self.steps.loosen(Running(position, up, results.ROWS), results.ROWS, lost):
            raise Restart(position)
        loose = self.steps.loose.get((position, up))
        if loose is not None and loose.check == results.ROWS:
            loose.lines = [line for line in loose.lines if line not in lost]
        if not lost:
            return
        remedy = (
            "copy what would be lost to where the other direction finds it again\n"
            'or, where that cannot be: irreversible = "why", in the module'
        )
        if up:
            remedy = "keep the rows and values: copy them before what holds them is dropped"
        problem = f"{wording.running_name(up)} loses rows or values that both schemas can hold"
        self.find(results.ROWS, position, problem, lost, remedy)

    def judge_enforced(self, position: int) -> None:
        """Judge what goes wrong only where SQLite enforces foreign keys.

        By itself it does not: where nothing in the project turns them on, that is no finding.
        """
        for up in (True, False):
            loose = self.steps.loose.get((position, up))
            if loose is None or not loose.lines:
                continue
            what = "loses rows or values that both schemas can hold,"
            what = what if loose.check == results.ROWS else "fails"
            problem = f"{wording.running_name(up)} {what} only with PRAGMA foreign_keys = ON"
            lines, loose.lines = [*loose.lines, self._turned_on()], []
            if self.steps.project.enforces:
                self.find(loose.check, position, problem, lines, wording.UNENFORCED, up)
            else:
                self._warn(loose.check, position, problem, lines, up)

    def _turned_on(self) -> str:
        where = self.steps.project.enforces or "the round trip, and nothing in this project,"
        return f"PRAGMA foreign_keys = ON: {where} turns it on"

    def _warn(
        self, check: str, position: int, problem: str, details: Iterable[str], up: bool
    ) -> None:
        record = self.proof.revisions[position]
        if not up and self.declared(position) is not None:
            return
        reason = self.wanted.exceptions.get((record.id, check))
        status = results.WARNED if reason is None else results.EXCEPTED
        if record.checks.get(check, Outcome(results.PROVEN)).status == results.PROVEN:
            record.checks[check] = Outcome(status, problem if reason is None else reason)
        lines = tuple(wording.shortened(list(details)))
        name, database = results.FOREIGN_KEYS, self.proof.database
        warning = Finding(
            name, database, record.id, record.path, problem, lines, wording.UNENFORCED
        )
        if reason is None and warning not in self.proof.warnings:
            self.proof.warnings.append(warning)

    def declared(self, position: int) -> str | None:
        return wording.declared(self.steps.order[position])

    def find(
        self,
        check: str,
        position: int | None,
        problem: str,
        details: Collection[str] = (),
        remedy: str = "",
        up: bool | None = None,
        line: int = 0,
    ) -> None:
        """Record a problem, unless it is a known exception or was recorded before.

        :param up: the direction; by default that of the step at hand.
        :param line: of the revision's file, where it is known.
        """
        record = self.proof.revisions[position] if position is not None else None
        id_, path = (record.id, record.path) if record else ("", "")
        checks = record.checks if record else self.proof.checks
        declared = self.declared(position) if position is not None else None
        running = self.steps.running
        is_down = up is False or (up is None and running is not None and not running.up)
        if declared is not None and check in (results.DOWN, results.ROWS) and is_down:
            checks[check] = Outcome(results.DECLARED, declared)
            return
        reason = self.wanted.exceptions.get((id_, check))
        if reason is not None:
            checks[check] = Outcome(results.EXCEPTED, reason)
            return
        checks[check] = Outcome(results.FAULTY, problem)
        most = len(details) if check == results.MODELS else wording.MOST
        lines = tuple(wording.shortened(list(details), most))
        finding = Finding(check, self.proof.database, id_, path, problem, lines, remedy, line)
        same = ((f.check, f.revision, f.problem) for f in self.proof.findings)
        if (check, id_, problem) not in same:  # else with other rows
            self.proof.findings.append(finding)

    def unreached(self, positions: Iterable[int]) -> None:
        outcome = Outcome(results.NOT_REACHED, "a revision before it cannot be run")
        for position in positions:
            record = self.proof.revisions[position]
            self.note_all(record, results.OF_REVISION, outcome)

    def fail(
        self,
        running: Running,
        error: BaseException,
        problem: str,
        executed: list[str] | None = None,
        more: Iterable[str] = (),
    ) -> None:
        """Note that a step failed.

        :param executed: its statements, if it was not the last one.
        :param more: what else there is to be said.
        """
        executed = self.steps.executed if executed is None else executed
        details = [*self.lines(running, error, executed), *more]
        remedy = wording.remedy(error, running, Path(self.steps.order[running.position].path))
        unenforced = self.steps.scratch.server.unenforced
        if unenforced and unenforced in str(error) and self.steps.is_enforced:
            details.append(self._turned_on())
            remedy += f"\nor, where the step is right, {wording.UNENFORCED}"
        self.find(running.check, running.position, problem, details, remedy, running.up)

    def lines(self, running: Running, error: BaseException, executed: list[str]) -> list[str]:
        """Return the description of an error."""
        script = self.steps.order[running.position]
        details = wording.error_lines(error, Path(script.path), executed)
        # PostgreSQL refuses every statement after the error that the revision caught.
        if "current transaction is aborted" in str(error) and self.steps.recorder.failed:
            details.append(f"after it caught: {self.steps.recorder.failed[:400]}")
        return details

    def excuse(self, position: int, check: str, why: str) -> None:
        """Record that a check fails with our rows, and is proven with others."""
        record = self.proof.revisions[position]
        reason = self.wanted.exceptions.get((record.id, check))
        outcome = Outcome(results.NOT_JUDGED, why)
        if reason is not None:
            outcome = Outcome(results.EXCEPTED, reason)
        if record.checks.get(check, outcome).status in (results.PROVEN, outcome.status):
            record.checks[check] = outcome
