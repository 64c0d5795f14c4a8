"""Enum types."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

from alembic_toolkit.sql.quoting import postgresql_literal
from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.ask import enum_values
from alembic_toolkit.verbs.errors import MissingParent, SchemaConflict, stop
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.transaction import outside_transaction
from alembic_toolkit.verbs.values import Step, log_decision


def add_value(step: Step) -> None:
    value, before, after = step.wanted
    labels = require_values_of(step, [beside for beside in (before, after) if beside])
    if value in labels:
        there = labels.index(value)
        late = before is not None and there > labels.index(before)
        early = after is not None and there < labels.index(after)
        if late or early:
            stop(
                SchemaConflict,
                f"{step.call}: the value {value!r} is there, at another place.",
                (", ".join(labels), f"{value} {'before' if late else 'after'} {before or after}"),
                "Stopped, because the order of the values is what ORDER BY and < go by.",
                value_aside(step, value),
            )
        return log_decision("skip", step, f"{value!r} is there")
    log_decision("apply", step, f"{value!r} was not there")
    held = getattr(step.operations.migration_context, "_in_external_transaction", False)
    block: Any = nullcontext if held else partial(outside_transaction, step)
    with block():
        act(step)


def value_aside(step: Step, value: str) -> str:
    """Return code that puts a value out of the way of the one that is wanted."""
    names = f"{step.name!r}, {value!r}, {value + '_old'!r}{schema_code(step.schema)}"
    return f"helpers.rename_enum_value({names})  # and see to the rows that hold it"


def rename_value(step: Step) -> None:
    labels = require_values_of(step, [])
    old, new = step.wanted
    if (old in labels) == (new in labels):
        both = old in labels
        stop(
            SchemaConflict,
            f"{step.call}: cannot rename {old!r} to {new!r}.",
            (", ".join(labels), f"{old!r} only (to rename), or {new!r} only (renamed already)"),
            "Stopped, because rows may hold either of them."
            if both
            else "Stopped, because there is nothing to rename.",
            value_aside(step, new)
            if both
            else f"helpers.add_enum_value({step.name!r}, {new!r})  # instead of this line",
        )
    if new in labels:
        return log_decision("skip", step, f"is {new!r} already")
    log_decision("apply", step, f"{old!r} becomes {new!r}")
    act(step)


def require_values_of(step: Step, wanted: list[str]) -> list[str]:
    """Return the values of an enum type, which must be there, with the wanted ones."""
    labels = enum_values(step.database, str(step.name), step.schema)
    if labels is None or set(wanted) - set(labels):
        stop(
            MissingParent,
            f"{step.call}: there is no such type, or value.",
            (", ".join(labels or []) or "no type of this name", ", ".join(wanted) or "the type"),
            "Stopped, because there is nothing to build on.",
            f"helpers.create_enum({step.name!r}, [...])  # before this line",
        )
    return labels


def create_enum_sql(step: Step) -> str:
    labels = ", ".join(map(postgresql_literal, step.wanted))
    return f"CREATE TYPE {step.database.quoted(str(step.name), step.schema)} AS ENUM ({labels})"


def add_value_sql(step: Step) -> str:
    value, before, after = step.wanted
    beside = f" {'BEFORE' if before else 'AFTER'} {postgresql_literal(before or after or '')}"
    place = beside if before or after else ""
    name = step.database.quoted(str(step.name), step.schema)
    return f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {postgresql_literal(value)}{place}"


def rename_value_sql(step: Step) -> str:
    old, new = map(postgresql_literal, step.wanted)
    name = step.database.quoted(str(step.name), step.schema)
    return f"ALTER TYPE {name} RENAME VALUE {old} TO {new}"
