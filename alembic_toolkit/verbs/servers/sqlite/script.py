"""Scripts specific to SQLite."""

from __future__ import annotations

from alembic_toolkit.sql.bodies import SQLITE
from alembic_toolkit.sql.guarded import Guarded
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.sql.statements import apart, first_words, terminated
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql
from alembic_toolkit.verbs.running import refuse_script
from alembic_toolkit.verbs.values import Step

ROWS = {"INSERT", "UPDATE", "DELETE", "REPLACE"}


def write_view(step: Step) -> None:
    step.write(drop_sql(step))
    step.write(create_view_sql(step))


def write_unless(step: Step, condition: str, sql: str) -> None:
    """Write DML as the body of a temporary trigger: SQLite has no other condition in a script."""
    statements = apart(sql, SQLITE)
    if {word for one in statements for word in first_words(one, SQLITE, 1)} - ROWS:
        refuse_script(
            step.database,
            f"execute({brief(sql)!r}, unless=...)",
            "SQLite can make only an INSERT, UPDATE, DELETE or REPLACE depend on a query",
            "alembic upgrade head  # without --sql, on the database itself",
        )
    step.write(Guarded("CREATE TEMP TABLE alembic_unless (done INTEGER)"))
    lines = "\n".join(f"  {terminated(one)}" for one in statements)
    body = f"AFTER INSERT ON alembic_unless BEGIN\n{lines}\nEND"
    step.write(Guarded(f"CREATE TEMP TRIGGER alembic_execute {body}"))
    step.write(f"INSERT INTO alembic_unless SELECT 0 WHERE {condition}")
    step.write(Guarded("DROP TABLE alembic_unless"))  # this also drops the trigger
