"""A view: what is there, what is wanted, and its SQL."""

from __future__ import annotations

from alembic_toolkit.verbs.ask import view_select
from alembic_toolkit.verbs.scratch import wanted_select
from alembic_toolkit.verbs.values import Definition, Step


def find_view(step: Step) -> Definition | None:
    text = view_select(step.database, str(step.name), step.schema)
    return None if text is None else {"definition": " ".join(text.split())}


def want_view(step: Step) -> Definition | None:
    if not step.server.temporary_views and step.verb != "replace_view":
        return None  # it has no temporary views, and to make a lasting one commits
    text = wanted_select(step.database, step.wanted)
    return None if text is None else {"definition": " ".join(text.split())}


def create_view_sql(step: Step) -> str:
    name = step.database.quoted(str(step.name), step.schema)
    exists = "IF NOT EXISTS " if step.offline and "create_view" in step.server.if_exists else ""
    return f"CREATE VIEW {exists}{name} AS {step.wanted}"


def drop_sql(step: Step) -> str:
    exists = "IF EXISTS " if step.offline else ""
    what = "VIEW" if step.kind == "view" else "TYPE"
    return f"DROP {what} {exists}{step.database.quoted(str(step.name), step.schema)}"


def replace_view_sql(step: Step) -> str:
    return create_view_sql(step).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
