"""Indexes: the existing one, and the wanted one."""

from __future__ import annotations

from sqlalchemy.schema import CreateIndex

from alembic_toolkit.sql.create_table import index_definition
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.verbs.ask import describe_index, is_on
from alembic_toolkit.verbs.scratch import NoScratch
from alembic_toolkit.verbs.values import Definition, Step


def find_index(step: Step) -> Definition | None:
    found = describe_index(step.database, step.table or None, str(step.name), step.place)
    if found is None:
        return None
    is_ours = is_on(step.database, found, step.table)
    if step.verb == "drop_index":
        return found if is_ours or not step.table else None
    step.is_invalid = is_ours and "invalid" in found
    if step.is_invalid:
        return None
    found = step.server.index_defined(step.database, found)
    if "constraint" in found:
        found["definition"] = f"CONSTRAINT {found['constraint']} {found['definition']}"
    return found


def want_index(step: Step) -> Definition | None:
    on = f"ON {step.database.truncated(step.table)}"
    try:
        return {"table": on, "definition": step.server.index_text(step)}
    except NoScratch:
        return None


def compiled_index_text(step: Step) -> str:
    sql = str(CreateIndex(step.wanted).compile(dialect=step.database.dialect))
    return index_definition(unescaped_percent(sql, step.database.dialect))
