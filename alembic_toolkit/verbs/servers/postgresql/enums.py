"""Enum types."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace

from alembic_toolkit.sql.quoting import postgresql_literal
from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.ask import enum_values
from alembic_toolkit.verbs.errors import MissingParent, SchemaConflict, stop
from alembic_toolkit.verbs.transaction import outside_transaction
from alembic_toolkit.verbs.values import Step
from alembic_toolkit.verbs.words import log_skip


def add_value(step: Step) -> None:
    value, before, after = step.wanted
    labels = require_values(step, [label for label in (before, after) if label])
    if value in labels:
        position = labels.index(value)
        is_late = before is not None and position > labels.index(before)
        is_early = after is not None and position < labels.index(after)
        if is_late or is_early:
            place = f"before {before}" if is_late else f"after {after}"
            stop(
                SchemaConflict,
                f"{step.call}: the value {value!r} is there, at another place.",
                (", ".join(labels), f"{value} {place}"),
                "Stopped, because the order of the values is what ORDER BY and < go by.",
                value_aside(step, value),
            )
        return log_skip(step, f"{value!r} is there")
    is_external = getattr(step.context, "_in_external_transaction", False)
    with nullcontext() if is_external else outside_transaction(step):
        act(step)


def rename_value(step: Step) -> None:
    labels = require_values(step, [])
    old, new = step.wanted
    if (old in labels) == (new in labels):
        why = "Stopped, because rows may hold either of them."
        way = value_aside(step, new)
        if old not in labels:
            why = "Stopped, because there is nothing to rename."
            way = f"helpers.add_enum_value({step.name!r}, {new!r})  # instead of this line"
        stop(
            SchemaConflict,
            f"{step.call}: cannot rename {old!r} to {new!r}.",
            (", ".join(labels), f"{old!r} only (to rename), or {new!r} only (renamed already)"),
            why,
            way,
        )
    if new in labels:
        return log_skip(step, f"is {new!r} already")
    act(step)


def value_aside(step: Step, value: str) -> str:
    """Return code that renames a value, once, to make room for the wanted one."""
    aside = f"{value}_old"
    rename = rename_value_sql(replace(step, wanted=(value, aside)))
    type_ = postgresql_literal(step.database.quoted(str(step.name), step.schema))
    done = f"SELECT 1 FROM pg_enum WHERE enumtypid = CAST({type_} AS regtype)"
    done += f" AND enumlabel = {postgresql_literal(aside)}"
    call = f"helpers.execute({keeping_colons(rename)!r}, unless={keeping_colons(done)!r})"
    return f"{call}  # and change the rows that have it"


def keeping_colons(sql: str) -> str:
    """Return SQL for `execute`, in which ``:name`` would be a parameter."""
    return re.sub(r":(?=\w)", r"\\:", sql)


def require_values(step: Step, wanted: list[str]) -> list[str]:
    """Return the values of an enum type; refuse if it does not exist, or lacks a wanted one."""
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
    place = f" BEFORE {postgresql_literal(before)}" if before else ""
    place = place or (f" AFTER {postgresql_literal(after)}" if after else "")
    name = step.database.quoted(str(step.name), step.schema)
    exists = "" if step.is_plain else "IF NOT EXISTS "
    return f"ALTER TYPE {name} ADD VALUE {exists}{postgresql_literal(value)}{place}"


def rename_value_sql(step: Step) -> str:
    old, new = map(postgresql_literal, step.wanted)
    name = step.database.quoted(str(step.name), step.schema)
    return f"ALTER TYPE {name} RENAME VALUE {old} TO {new}"
