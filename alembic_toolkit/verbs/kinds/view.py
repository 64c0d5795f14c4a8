"""Views: the existing one, the wanted one, and its SQL."""

from __future__ import annotations

import sqlalchemy as sa

from alembic_toolkit.database.errors import is_denied
from alembic_toolkit.sql.guarded import Verbatim
from alembic_toolkit.verbs.ask import view_select
from alembic_toolkit.verbs.scratch import SCRATCH, discarded
from alembic_toolkit.verbs.values import Definition, Step


def find_view(step: Step) -> Definition | None:
    text = view_select(step.database, str(step.name), step.place)
    return None if text is None else {"definition": " ".join(text.split())}


def want_view(step: Step) -> Definition | None:
    if not step.server.temporary_views and step.verb != "replace_view":
        return None  # it has no temporary views, and creating a permanent one commits
    temporary = "TEMPORARY " if step.server.temporary_views else ""
    try:
        with discarded(step.database, "VIEW"):
            step.database.run(f"CREATE {temporary}VIEW {SCRATCH} AS {step.wanted}")
            text = view_select(step.database, SCRATCH, step.server.scratch_schema)
    except sa.exc.DBAPIError as error:
        if not is_denied(error):
            raise
        return None
    return None if text is None else {"definition": " ".join(text.split())}


def create_view_sql(step: Step) -> str:
    name = step.database.quoted(str(step.name), step.schema)
    looks = step.offline and not step.is_plain
    exists = "IF NOT EXISTS " if looks and "create_view" in step.server.if_exists else ""
    return Verbatim(f"CREATE VIEW {exists}{name} AS {step.wanted}")


def drop_sql(step: Step) -> str:
    exists = "IF EXISTS " if step.offline and not step.is_plain else ""
    what = "VIEW" if step.kind == "view" else "TYPE"
    return f"DROP {what} {exists}{step.database.quoted(str(step.name), step.schema)}"


def replace_view_sql(step: Step) -> str:
    return Verbatim(create_view_sql(step).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
