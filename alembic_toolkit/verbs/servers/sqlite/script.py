"""What SQLite's scripts do in their own way."""

from __future__ import annotations

import re

from alembic_toolkit.sql.guarded import Guarded
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql
from alembic_toolkit.verbs.running import refuse_script
from alembic_toolkit.verbs.values import Step


def write_view(step: Step) -> None:
    step.write(drop_sql(step))
    step.write(create_view_sql(step))


def write_unless(step: Step, condition: str, sql: str) -> None:
    """Write DML as the body of a temporary trigger: SQLite has no other condition in a script."""
    if re.match(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", sql, re.I) is None:
        refuse_script(
            step.database,
            f"execute({brief(sql)!r}, unless=...)",
            "SQLite can make only an INSERT, UPDATE, DELETE or REPLACE depend on a query",
            "alembic upgrade head  # without --sql, on the database itself",
        )
    step.write(Guarded("CREATE TEMP TABLE alembic_unless (done INTEGER)"))
    body = f"AFTER INSERT ON alembic_unless BEGIN\n  {sql};\nEND"
    step.write(Guarded(f"CREATE TEMP TRIGGER alembic_execute {body}"))
    step.write(f"INSERT INTO alembic_unless SELECT 0 WHERE {condition}")
    step.write(Guarded("DROP TABLE alembic_unless"))  # and the trigger with it
