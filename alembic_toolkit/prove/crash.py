"""Stop each revision after each of its statements, and run it again."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.failures import Failures
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.results import Outcome, Running
from alembic_toolkit.prove.statements import LOOKS
from alembic_toolkit.prove.steps import Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.rows import differences
from alembic_toolkit.schema.snapshot import difference


class _Differs(Exception):
    """The database is not as it should be."""


@dataclass
class Crashes:
    """Proves that a revision continues after its process was killed."""

    steps: Steps
    known: Known
    verdicts: Verdicts
    failures: Failures

    def run(self) -> None:
        """Stop each revision after each of its statements, and run it again."""
        at = -1  # how many revisions the database has; -1: not known any more
        self.steps.saved = None
        for position, record in enumerate(self.verdicts.proof.revisions):
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
                self.failures.walk(partial(self.steps.lead, position), from_base=False)
            at = position + 1 if self._crash(position) else -1
            self.verdicts.note(position, results.CRASH)

    def _crash(self, position: int) -> bool:
        """Stop one revision after each of its statements; return whether all went well."""
        seen = differences.Seen()
        self.steps.go_on(partial(self._uninterrupted, position, seen))
        for up in (True, False):
            if not up:
                self.steps.go_on(partial(self._plainly, position, True))
            for number, sql in enumerate(seen.statements[up], start=1):
                if not LOOKS.match(sql) and not self._survives(position, up, number, seen):
                    return False
        return True

    def _plainly(self, position: int, up: bool) -> Walking:
        yield from self.steps.step(Running(position, up, results.CRASH, silent=True), fresh=True)

    def _uninterrupted(self, position: int, seen: differences.Seen) -> Walking:
        """Go up and down twice: a crash must not change what is the same each time."""
        seen.snaps[False] = self.known.look(None)
        self.known.read_rows(None)
        self.known.fill(None)  # the tables of the revision before are still empty
        for turn in range(2):
            for up in (True, False):
                running = Running(position, up, results.CRASH, silent=True)
                with_marks = yield from self.steps.step(running, fresh=True)
                seen.statements[up] = list(self.steps.executed)
                seen.snaps[up] = self.known.look(with_marks)
                seen.keep(up, turn, self.known.read_rows(with_marks))

    def _survives(self, position: int, up: bool, number: int, seen: differences.Seen) -> bool:
        """Stop a step after one statement and run it again; return whether that went well."""
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
            self.steps.go_on(partial(self._resumed, position, up, seen))
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

    def _resumed(self, position: int, up: bool, seen: differences.Seen) -> Walking:
        """Run a step again that was stopped, and take it back."""
        if self._applied(position) != up:  # stopped before its mark was written
            yield from self._plainly(position, up)
        differing = difference(seen.snaps[up], self.known.look(None))
        differing += seen.differing(up, self.known.read_rows(None))
        if differing:
            raise _Differs(differing)
        yield from self._plainly(position, not up)
        self.known.look(None)

    def _applied(self, position: int) -> bool:
        with self.steps.aside():
            heads = self.steps.context.get_current_heads()
        walked = self.steps.project.directory.iterate_revisions(heads, "base") if heads else ()
        return self.steps.order[position] in {*walked}
