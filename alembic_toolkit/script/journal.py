"""The journal rows that a script writes: the same as `alembic upgrade` under `run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.schema import CreateTable

from alembic_toolkit.database import journal
from alembic_toolkit.sql.quoting import literal


@dataclass(frozen=True)
class Moments:
    """SQL expressions for the time and the user, on the server that runs a script."""

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
        """Return SQL that creates the journal if it does not exist."""
        create = CreateTable(self._table, if_not_exists=True)
        return str(create.compile(dialect=self.context.dialect)).strip()

    def insert(self, step: RevisionStep, end: str) -> str:
        """Return the row for a revision that was run.

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
