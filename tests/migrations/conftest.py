"""The history of this repository, run as a person runs it: through `alembic`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from bills import samples
from tests.databases import Database

ROOT = Path(__file__).parents[2]
REVISIONS = [
    script.revision
    for script in ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini"))).walk_revisions()
][::-1]

OURS = {"alembic_version", "alembic_version_history"}  # not of the schema

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class History:
    """A database, and the commands that move it through the history."""

    database: Database
    config: Config

    def upgrade(self, revision: str = "head") -> None:
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str) -> None:
        command.downgrade(self.config, revision)

    def stamp(self, revision: str) -> None:
        command.stamp(self.config, revision)

    def execute(self, sql: str, **values: Any) -> None:
        with self.database.engine.begin() as connection:
            connection.execute(sa.text(sql), values)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]

    def revision(self) -> str | None:
        with self.database.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return None if version is None else str(version)

    def load_samples(self) -> None:
        with Session(self.database.engine) as session:
            samples.load(session)
            session.commit()

    def rows(self) -> Rows:
        """Return every row of every table, with money as text to the cent."""
        with self.database.engine.connect() as connection:
            tables = sorted(set(sa.inspect(connection).get_table_names()) - OURS)
            quote = connection.dialect.identifier_preparer.quote
            selects = {t: f"SELECT * FROM {quote(t)} ORDER BY id" for t in tables}
            return {
                table: [tuple(row) for row in connection.execute(sa.text(select))]
                for table, select in selects.items()
            }

    def schema(self) -> dict[str, Any]:
        """Describe what the server knows of the schema, column order aside."""
        with self.database.engine.connect() as connection:
            inspector = sa.inspect(connection)
            found: dict[str, Any] = {"views": sorted(inspector.get_view_names())}
            for table in sorted(set(inspector.get_table_names()) - OURS):
                found[table] = {
                    "columns": _sorted(
                        {**column, "type": repr(column["type"])}
                        for column in inspector.get_columns(table)
                    ),
                    "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
                    "indexes": _sorted(inspector.get_indexes(table)),
                    "uniques": _sorted(inspector.get_unique_constraints(table)),
                    "foreign keys": _sorted(inspector.get_foreign_keys(table)),
                    "checks": _sorted(inspector.get_check_constraints(table)),
                }
            if self.database.name == "postgresql":
                found["enums"] = connection.execute(
                    sa.text("SELECT enumtypid::regtype::text, enumlabel FROM pg_enum ORDER BY 1, 2")
                ).all()
            # an index's predicate is an expression, which equals nothing but itself
            described: dict[str, Any] = json.loads(json.dumps(found, default=str))
            return described


def _sorted(items: Any) -> list[dict[str, Any]]:
    return sorted((dict(item) for item in items), key=lambda item: str(item["name"]))


@pytest.fixture
def history(database: Database, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATABASE_URL", database.url)
    return History(database, Config(str(ROOT / "alembic.ini")))


@pytest.fixture
def at(history: History) -> Callable[[str], History]:
    """Return the history with its database brought to a revision."""

    def bring(revision: str) -> History:
        history.upgrade(revision)
        return history

    return bring
