"""Enum types: the existing one, the wanted one, and how to resolve a conflict."""

from __future__ import annotations

from alembic_toolkit.sql.quoting import literal
from alembic_toolkit.verbs.ask import enum_values
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.values import Definition, Step


def find_enum(step: Step) -> Definition | None:
    labels = enum_values(step.database, str(step.name), step.place)
    return None if labels is None else {"values": ", ".join(map(literal, labels))}


def want_enum(step: Step) -> Definition | None:
    return {"values": ", ".join(map(literal, step.wanted))}


def mend_enum(step: Step) -> list[str]:
    """Return code that gives the type its values: one by one, or as a new type."""
    name, values = str(step.name), step.wanted
    schema = schema_code(step.schema)
    found = enum_values(step.database, name, step.place) or []
    if [value for value in values if value in found] != found:
        return [f"helpers.create_enum({name + '_new'!r}, {values!r})  # and alter_column to it"]
    lines = []
    for position, value in enumerate(values):
        if value not in found:
            place = f"after={values[position - 1]!r}" if position else f"before={found[0]!r}"
            lines.append(f"helpers.add_enum_value({name!r}, {value!r}, {place}{schema})")
    return lines
