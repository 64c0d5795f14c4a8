"""Each kind of thing, found and wanted, and the error when the two differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from alembic_toolkit.verbs.compare import describe_parts, described_as
from alembic_toolkit.verbs.errors import SchemaConflict, stop
from alembic_toolkit.verbs.kinds.column import alter_code, find_column, want_column
from alembic_toolkit.verbs.kinds.constraint import (
    WANT_CONSTRAINT,
    find_constrained,
    find_constraint,
    find_primary,
)
from alembic_toolkit.verbs.kinds.enum import find_enum, mend_enum, want_enum
from alembic_toolkit.verbs.kinds.index import find_index, want_index
from alembic_toolkit.verbs.kinds.table import find_table, mend_part, want_table
from alembic_toolkit.verbs.kinds.view import find_view, want_view
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.values import LONG_NAMES, Definition, Step

FIND: dict[str, Callable[[Step], Definition | None]] = {
    "table": find_table,
    "column": find_column,
    "index": find_index,
    "view": find_view,
    "enum": find_enum,
    "constraint": find_constraint,
    "unique": find_constrained,
    "check": find_constrained,
    "foreignkey": find_constrained,
    "primary": find_primary,
    "exclude": find_constrained,
}
WANT: dict[str, Callable[[Step], Definition | None]] = {
    "table": want_table,
    "column": want_column,
    "index": want_index,
    "view": want_view,
    "enum": want_enum,
    **WANT_CONSTRAINT,
}


def refuse_conflict(
    step: Step, found: Definition, wanted: Definition, differing: list[str]
) -> NoReturn:
    kind = LONG_NAMES.get(step.kind, step.kind)
    shown = described_as(found), described_as(wanted)
    if step.kind == "table":
        shown = describe_parts(found, differing), describe_parts(wanted, differing)
    stop(
        SchemaConflict,
        f"{step.call}: the {kind} is there with another definition.",
        shown,
        "Stopped, because only a person knows which of the two is right.",
        *mend(step, found, wanted, differing),
    )


def mend(step: Step, found: Definition, wanted: Definition, differing: list[str]) -> list[str]:
    """Return code that mends a conflict, with the author's own names."""
    schema = schema_code(step.schema)
    before = "# before this line, if the revision is right:"
    match step.kind:
        case "table":
            lines = [line for key in differing for line in mend_part(step, found, key)]
            code = [f"    {line}" for line in lines]
            return [before, f"if helpers.table_exists({step.table!r}{schema}):", *code]
        case "column":
            there = f"if helpers.table_has_column({step.table!r}, {step.name!r}{schema}):"
            return [before, there, f"    {alter_code(step, wanted, differing)}"]
        case "view":
            return [before, f"helpers.drop_view({step.name!r}{schema})"]
        case "enum":
            return [before, *mend_enum(step)]
        case "index":
            verb = "drop_constraint" if "constraint" in found else "drop_index"
            on = found["table"].removeprefix("ON ")
            return [before, f"helpers.{verb}({step.name!r}, {on!r}{schema})"]
    if found["definition"].endswith(" NOT VALID"):
        sql = f'ALTER TABLE "{step.table}" VALIDATE CONSTRAINT "{step.name}"'
        return [before, f"helpers.execute({sql!r})"]
    # exclude is a type that Alembic does not know
    type_ = "" if step.kind == "exclude" else f", type_={step.kind!r}"
    what = f"{step.name!r}, {step.table!r}{type_}{schema}"
    return [before, f"helpers.drop_constraint({what})"]
