"""What happens when a step fails: which revision the finding is about, and how to try again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.gentle import GENTLE, Gentle, allowed, attempts, progress
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.results import Outcome, Running
from alembic_toolkit.prove.scratch import empty, restore
from alembic_toolkit.prove.steps import Restart, Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts


@dataclass
class Failures:
    """Walks, and notes the steps that fail."""

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
        except Restart:
            assert self.steps.running is not None
            return self.steps.running.position + 1
        except Exception as error:
            if self.steps.running is None or not self.steps.is_inside:
                raise
            return self._failed(error, self.steps.running)
        return len(self.steps.order)

    def _failed(self, error: BaseException, running: Running) -> int:
        """Note that a step failed; return the position to restart at."""
        position = running.position
        function = wording.running_name(running.up)
        # The error of a declaration is known by its name: a project may have its own copy.
        names = {kind.__name__ for kind in type(error).__mro__}
        if "Irreversible" in names and not running.up:
            self.verdicts.note_declared(position, str(error).partition("\n")[0])
            return position + 1
        known = self.verdicts.proof.revisions[position].checks.get(running.check)
        if running.silent:
            if known is None or known.status == results.PROVEN:
                self.verdicts.fail(running, error, f"{function} fails on empty tables")
            elif known.status == results.FAULTY and running.check == results.UP:
                self.verdicts.correct(running, error, f"{function} fails, with rows and without")
            self.verdicts.unreached(position + 1)
            return len(self.steps.order)
        if self._looser(error, running) or self._gentler(error, running):
            return position
        if self._lacking(error, running):
            return len(self.steps.order)
        if self.known.gentle is not None:  # nothing helped: report the attempt that came furthest
            error, running, self.steps.executed = max(self.known.gentle.failures, key=progress)
            function = wording.running_name(running.up)
        is_again = running.check in (results.UP_AGAIN, results.RERUN)
        again = " when it is run again" if is_again else ""
        rows_ = " on tables with rows" if running.check == results.UP else ""
        rows_ = ", run by itself" if rows_ and wording.TYPE_IS_THERE.search(str(error)) else rows_
        self.verdicts.fail(running, error, f"{function} fails{again}{rows_}")
        return position + 1

    def _looser(self, error: BaseException, running: Running) -> bool:
        """Return whether to try a revision again without SQLite's foreign keys.

        They are enforced, because many applications have SQLite do so. In a project that never
        does, a step that fails only on them is not faulty.
        """
        unenforced = self.steps.scratch.server.unenforced
        fails = unenforced and unenforced in str(error)
        if not fails or self.steps.project.enforces or running.position in self.steps.loose:
            return False
        self.steps.loose[running.position] = running.check
        return True

    def _lacking(self, error: BaseException, running: Running) -> bool:
        """Return whether a revision needs an extension that the server does not have."""
        match = wording.NO_EXTENSION.search(str(error))
        if match is None or running.check != results.UP:
            return False
        record = self.verdicts.proof.revisions[running.position]
        why = f"it needs the extension {match[1] or match[2]}, which this server does not have"
        self.verdicts.note_all(record, results.OF_REVISION, Outcome(results.NOT_JUDGED, why))
        self.verdicts.unreached(running.position + 1)
        way_on = "What to do next: --url of a PostgreSQL that has it"
        self.verdicts.proof.error = f"{record.id}: {why}\n{way_on}"
        return True

    def _gentler(self, error: BaseException, running: Running) -> bool:
        """Return whether to try a revision again, with rows that it may have a right to expect."""
        position = running.position
        if not allowed(error) and any(content.rows for content in self.known.contents.values()):
            self.known.gentle = self.known.gentle or Gentle(
                position, left=attempts(error, self.steps.order[position])
            )
        if self.known.gentle is None:
            return False
        self.known.gentle.failures.append((error, running, self.steps.executed))
        if allowed(error) or not self.known.gentle.left or running.check not in GENTLE:
            return False
        self.known.gentle.texts = self.known.gentle.left.pop(0)
        return True
