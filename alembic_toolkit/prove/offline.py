"""Run the ``--sql`` script of each revision instead of the revision."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alembic_toolkit.prove import results
from alembic_toolkit.prove.known import Known
from alembic_toolkit.prove.results import Outcome, Running
from alembic_toolkit.prove.steps import Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.schema.snapshot import Snapshot
from alembic_toolkit.sql.statements import is_comment

# Most round trips do not ask for scripts, and import this all the same.
if TYPE_CHECKING:
    from alembic_toolkit.prove.scripts import Written


@dataclass
class Offline:
    """Proves the scripts of a history, by direction and revision."""

    steps: Steps
    known: Known
    verdicts: Verdicts
    scripts: dict[bool, dict[str, Written]] = field(default_factory=dict)
    elsewhere: dict[str, list[str]] = field(default_factory=dict)

    def write(self) -> None:
        """Have every script written, in two processes; note why, where that is impossible."""
        from alembic_toolkit.prove.scripts import scripts, scripts_elsewhere

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
        skipped = self.steps.at(position).skipped
        written = {
            up: None if (results.OFFLINE, up) in skipped else self._script(position, up)
            for up in (True, False)
        }
        if written[True] is written[False] is None:
            return
        for up, wanted in ((True, after), (False, before)):
            yield from self._go(position, up, written[up], wanted)

    def upwards(self, wanted: dict[int, Snapshot], start: int) -> Walking:
        """Run the scripts of revisions that are not taken back, from base on.

        :param wanted: the schema that each has to make.
        :param start: the first that is judged.
        """
        self.known.look(None)
        self.known.read_rows(None)
        for position in range(max(wanted) + 1):
            is_judged = position >= start and position in wanted
            written = self._script(position, True) if is_judged else None
            yield from self._go(position, True, written, wanted.get(position, Snapshot()))

    def _go(self, position: int, up: bool, written: Written | None, wanted: Snapshot) -> Walking:
        """Run the script of one direction; without one, the direction itself."""
        if written is None:
            running = Running(position, up, results.OFFLINE, silent=True)
            executed = yield from self.steps.step(running, fresh=True)
            self.known.look(executed)
            self.known.read_rows(executed)
            return
        from alembic_toolkit.script.servers import server_of

        self.steps.running, self.steps.is_inside = Running(position, up, results.OFFLINE), True
        self.steps.executed = written.statements
        with self.steps.scratch.engine.connect() as connection:
            connection = connection.execution_options(
                isolation_level="AUTOCOMMIT", no_parameters=True
            )
            server = server_of(connection.dialect.name)
            for statement in written.statements:
                if server is None or not is_comment(statement, server.syntax):
                    connection.exec_driver_sql(statement)
        self.steps.is_inside = False
        yield from self.steps.stamp(position, up)
        found = self.known.look(written.statements)
        self.verdicts.judge_same(position, results.OFFLINE, wanted, found, up)
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
            remedy = "sort what is in a set: sorted(...); generate no names or dates"
            self.verdicts.find(results.OFFLINE, position, problem, lines, remedy)
        return written
