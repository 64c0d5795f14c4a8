"""What a script writes into the journal: the rows that `alembic upgrade` writes under `run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.schema import CreateTable

from alembic_toolkit.database import journal
from alembic_toolkit.sql.quoting import literal


@dataclass(frozen=True)
class Moments:
    """How the server that runs a script says when, and by whom: SQL expressions."""

    started: str  # when the revision began, which the script has noted
    now: str
    who: str


@dataclass(frozen=True)
class Journal:
    """The journal of a script: a row for each revision, written when it is done."""

    context: MigrationContext
    moments: Moments

    @property
    def create(self) -> str:
        """Return what makes the journal where it is not there."""
        create = CreateTable(self._table, if_not_exists=True)
        return str(create.compile(dialect=self.context.dialect)).strip()

    def insert(self, step: RevisionStep, end: str) -> str:
        """Return the row of a revision that was run.

        :param end: what the SELECT of it ends with: its condition.
        """
        known = journal.described(step)
        values = {
            "revision": literal(known["revision"]),
            "direction": literal(known["direction"]),
            "started": self.moments.started,
            "finished": self.moments.now,
            "outcome": literal(journal.DONE),
            "sha256": literal(known["sha256"]) if known["sha256"] else "NULL",
            "who": self.moments.who,
            "versions": literal(known["versions"][:255]),
            "retries": "0",
        }
        name = self.context.dialect.identifier_preparer.format_table(self._table)
        columns, row = ", ".join(values), ", ".join(values.values())
        return f"INSERT INTO {name} ({columns})\n  SELECT {row}{end}"

    @property
    def _table(self) -> Any:
        return journal.table(self.context.version_table, self.context.version_table_schema)
