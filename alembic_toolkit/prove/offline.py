"""Run the ``--sql`` script of each revision instead of the revision."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from alembic_toolkit.prove import results
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.results import Outcome, Running
from alembic_toolkit.prove.scripts import Written, scripts, scripts_elsewhere
from alembic_toolkit.prove.steps import Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.schema.snapshot import Snapshot


@dataclass
class Offline:
    """Prove the scripts of a history, by direction and revision."""

    steps: Steps
    known: Known
    verdicts: Verdicts
    scripts: dict[bool, dict[str, Written]] = field(default_factory=dict)
    elsewhere: dict[str, list[str]] = field(default_factory=dict)

    def write(self) -> None:
        """Have every script written, in two processes; note why, where that is impossible."""
        url = self.steps.scratch.address
        try:
            self.scripts = {up: scripts(self.steps.project, url, up) for up in (True, False)}
            self.elsewhere = scripts_elsewhere(self.steps.project, url)
        except Exception as error:
            self.scripts = {}
            words = " ".join(f"{type(error).__name__}: {error}".split())
            why = f"{self.steps.project.env_path} cannot write a script (--sql): {words}"
            for record in self.verdicts.proof.revisions:
                record.checks[results.OFFLINE] = Outcome(results.NOT_JUDGED, why)

    def prove(self, position: int, before: Snapshot, after: Snapshot) -> Walking:
        """Run the script of a revision, up and down, instead of the revision."""
        for up, wanted in ((True, after), (False, before)):
            written = self._script(position, up)
            if written is None and up:
                return
            if written is None:  # back to where the other checks begin
                running = Running(position, up, results.OFFLINE, silent=True)
                yield from self.steps.step(running, fresh=True)
                self.known.look(None)
                self.known.read_rows(None)
                return
            self.steps.running, self.steps.is_inside = Running(position, up, results.OFFLINE), True
            self.steps.executed = written.statements
            with self.steps.scratch.engine.connect() as connection:
                connection = connection.execution_options(
                    isolation_level="AUTOCOMMIT", no_parameters=True
                )
                for statement in written.statements:
                    if not statement.startswith("--"):
                        connection.exec_driver_sql(statement)
            self.steps.is_inside = False
            yield from self.steps.stamp(position, up)
            found = self.known.look(written.statements)
            self.verdicts.judge_same(position, results.OFFLINE, wanted, found, running_name(up))
            self.known.read_rows(written.statements)

    def _script(self, position: int, up: bool) -> Written | None:
        """Return the script of one direction, or None, and note why there is none."""
        record = self.verdicts.proof.revisions[position]
        written = self.scripts[up][record.id]
        if written.error:
            problem = f"{running_name(up)} fails when it is written as a script (--sql)"
            remedy = "nothing that needs an answer from the database, or a clear refusal"
            self.verdicts.find(results.OFFLINE, position, problem, [written.error], remedy)
            return None
        if written.refused:
            why = Outcome(results.NOT_JUDGED, written.refused.partition("\n")[0])
            record.checks.setdefault(results.OFFLINE, why)
            return None
        there = self.elsewhere.get(f"{'up' if up else 'down'} {record.id}", [])
        if there != written.statements:
            lines = [*difflib.unified_diff(written.statements, there, lineterm="", n=0)][2:]
            problem = "the --sql script differs from one process to the next"
            remedy = "what is in a set, in order: sorted(...); no names or dates made up on the way"
            self.verdicts.find(results.OFFLINE, position, problem, lines, remedy)
        return written
