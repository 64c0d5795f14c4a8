"""Each kind of object as found and as wanted, and the error if the two differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from alembic_toolkit.verbs.ask import describe_constraints
from alembic_toolkit.verbs.compare import describe_parts, described_as, is_same
from alembic_toolkit.verbs.errors import SchemaConflict, stop
from alembic_toolkit.verbs.kinds.column import (
    alter_code,
    find_column,
    is_aside,
    key_of_counter,
    not_aside,
    want_column,
)
from alembic_toolkit.verbs.kinds.constraint import (
    WANT_CONSTRAINT,
    find_constrained,
    find_constraint,
    find_primary,
    key_columns,
)
from alembic_toolkit.verbs.kinds.enum import find_enum, mend_enum, want_enum
from alembic_toolkit.verbs.kinds.index import find_index, want_index
from alembic_toolkit.verbs.kinds.table import find_table, mend_table, want_table
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
    if step.server.folds_case:  # the revision's spelling of a name, for both
        spelled = {key.lower(): key for key in wanted}
        found = {spelled.get(key.lower(), key): value for key, value in found.items()}
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
    """Return code that resolves a conflict, with the author's own names."""
    schema = schema_code(step.schema)
    before = "# before this line, if the revision is right:"
    match step.kind:
        case "table":
            code = [f"    {line}" for line in mend_table(step, found, differing)]
            return [before, f"if helpers.table_exists({step.table!r}{schema}):", *code]
        case "column":
            alter = alter_code(step, found, wanted, differing)
            there = f"helpers.table_has_column({step.table!r}, {step.name!r}{schema})"
            if is_aside(alter):  # once: otherwise a second run would rename the new one
                there += f" and {not_aside(step, str(step.name))}"
            code = [f"    {line}" for line in [*key_of_counter(step, wanted), alter]]
            return [before, f"if {there}:", *code]
        case "view":
            return [before, f"helpers.drop_view({step.name!r}{schema})"]
        case "enum":
            return [before, *mend_enum(step)]
        case "index":
            verb = "drop_constraint" if "constraint" in found else "drop_index"
            on = found["table"].removeprefix("ON ")
            return [before, f"helpers.{verb}({step.name!r}, {on!r}{schema})"]
    if is_same(step.server, found["definition"], f"{wanted['definition']} NOT VALID"):
        return [before, f"helpers.validate_constraint({step.name!r}, {step.table!r}{schema})"]
    if step.kind == "primary":
        return mend_primary(step)
    # another kind may have the name; Alembic does not know the type "exclude"
    is_other = found["definition"].startswith("a ") or step.kind == "exclude"
    type_ = "" if is_other else f", type_={step.kind!r}"
    what = f"{step.name!r}, {step.table!r}{type_}{schema}"
    return [before, f"helpers.drop_constraint({what})"]


def mend_primary(step: Step) -> list[str]:
    """Return code that drops the existing primary key by its own name."""
    schema = schema_code(step.schema)
    keys = [(name, text) for name, kind, text in describe_constraints(step) if kind == "primary"]
    name = step.server.primary_key_name or keys[0][0]
    if name is None:  # on SQLite, where a batch can replace it
        columns = [str(column.name) for column in step.wanted.columns]
        return [
            "# instead of this line, if the revision is right:",
            f"with helpers.batch_alter_table({step.table!r}{schema}) as batch:",
            f"    batch.create_primary_key({step.name!r}, {columns})",
        ]
    there = key_columns(keys[0][1])
    what = f"{name!r}, {step.table!r}, type_='primary', columns={there}{schema}"
    return [
        "# before this line, if the revision is right:",
        f"helpers.drop_constraint({what})",
    ]
