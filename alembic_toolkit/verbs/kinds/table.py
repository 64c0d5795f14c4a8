"""Tables: the existing one, the wanted one, and how to resolve a conflict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.verbs.ask import describe_column, describe_columns, describe_constraints
from alembic_toolkit.verbs.compare import described_as, differing_keys
from alembic_toolkit.verbs.kinds.column import (
    add_code,
    alter_code,
    is_aside,
    known_definition,
    not_aside,
    want_column,
    with_comment,
    without_server_defaults,
)
from alembic_toolkit.verbs.kinds.constraint import foreign_key_text, want_key
from alembic_toolkit.verbs.remedy import code_of, schema_code, wanted_foreign_key
from alembic_toolkit.verbs.require import keys_within, require_free_name
from alembic_toolkit.verbs.scratch import SCRATCH, NoScratch, scratch_table
from alembic_toolkit.verbs.values import Definition, Step

# Storage options, which temporary tables do not accept
STORAGE = ("row_format", "key_block_size", "tablespace", "directory", "partition", "compress")


def find_table(step: Step) -> Definition:
    """Describe the table, or refuse if its name belongs to a view."""
    require_free_name(step)
    return define_table(step, step.table, step.place)


def want_table(step: Step) -> Definition:
    table: sa.Table = step.wanted
    others = [c for c in table.constraints if not isinstance(c, sa.ForeignKeyConstraint)]
    names = {step.database.truncated(str(c.name)) for c in table.constraints if c.name}
    given = table.dialect_kwargs.items()
    options = {k: v for k, v in given if not any(word in k for word in STORAGE)}
    try:
        with scratch_table(step, *table.columns, *others, **options):
            found = define_table(step, SCRATCH, step.server.scratch_schema, names)
    except NoScratch:
        found = known_table(step)
    for key in keys_within(step):
        text = foreign_key_text(step.database, wanted_foreign_key(key))
        name = step.database.truncated(str(key.name))
        found |= {f"foreignkey {name}": text} if key.name else {text: ""}
    return found


def known_table(step: Step) -> Definition:
    """Describe the wanted table without asking the server, with checks by their names."""
    database, table, known = step.database, step.wanted, {}
    fold, there = database.case_folded, describe_columns(step.database, step.table, step.place)
    folded = {fold(name): definition for name, definition in there.items()}
    for column in table.columns:
        definition = folded.get(fold(column.name), {}) | known_definition(database, column)
        definition = without_server_defaults(definition, column)
        known[f"column {column.name}"] = described_as(
            with_comment(step, definition, column.comment)
        )
    checks = {fold(n): text for n, kind, text in describe_constraints(step) if kind == "check"}
    for constraint in table.constraints:
        name = database.truncated(str(constraint.name)) if constraint.name else None
        if isinstance(constraint, sa.CheckConstraint):
            rule: Any = getattr(constraint, "_create_rule", None)
            if name and (rule is None or rule(step.operations.impl)):
                known[f"check {name}"] = checks.get(fold(name), "CHECK")
        elif isinstance(constraint, sa.PrimaryKeyConstraint | sa.UniqueConstraint):
            kind = "unique" if isinstance(constraint, sa.UniqueConstraint) else "primary"
            text = want_key(replace(step, kind=kind, wanted=constraint))["definition"]
            if list(constraint.columns):
                known |= {f"{kind} {name}": text} if name and kind == "unique" else {text: ""}
    return known


def define_table(
    step: Step, table: str, schema: str | None, named: set[str] | None = None
) -> Definition:
    """Describe a table: columns, then constraints, by name if they have one, else by text.

    :param named: the names that count; None lists each constraint by its name and by its text.
    """
    found, wanted = {}, {step.database.case_folded(c.name): c for c in step.wanted.columns}
    for column, definition in describe_columns(step.database, table, schema).items():
        own = wanted.get(step.database.case_folded(column))
        comment = getattr(own, "comment", None)
        if comment is None or table == SCRATCH:
            definition = with_comment(step, definition, comment)
        definition = without_server_defaults(definition, own)
        found[f"column {column}"] = described_as(definition)
    for name, kind, text in describe_constraints(step, table, schema):
        if name and kind != "primary" and (named is None or name in named):
            found[f"{kind} {name}"] = text
        if kind == "primary" or named is None or name not in named:
            found[text] = ""
    return found


def mend_table(step: Step, found: Definition, differing: list[str]) -> list[str]:
    """Return code that gives a table each wanted column and constraint.

    An auto-increment column comes last if the server requires it to be a key first.
    """
    counter = step.wanted._autoincrement_column if step.server.counts_up else None
    parts = {key: mend_part(step, found, key) for key in differing}
    last = parts.get(f"column {counter.name}") if counter is not None else None
    if counter is None or not last or len(differing) == 1:
        return [line for part in parts.values() for line in part]
    *aside, line = last
    counts = ops.AlterColumnOp(step.table, counter.name, schema=step.schema, autoincrement=True)
    after = [line]
    if not line.startswith("helpers.alter_column"):  # once: afterwards it has changed
        schema = schema_code(step.schema)
        there = f"helpers.table_has_column({step.table!r}, {counter.name!r}{schema})"
        aside, after = [*aside, f"if not {there}:", f"    {line}"], [code_of(counts)]
    parts[f"column {counter.name}"] = aside
    return [line for part in parts.values() for line in part] + after


def mend_part(step: Step, found: Definition, key: str) -> list[str]:
    """Return code that gives a table one wanted column or constraint."""
    database, (kind, _, name) = step.database, key.partition(" ")
    if kind == "column":
        columns = {database.case_folded(c.name): c for c in step.wanted.columns}
        column = columns.get(database.case_folded(name))
        return mend_column(step, name, column, is_there=key in found)
    drop = ops.DropConstraintOp(name, step.table, schema=step.schema)
    constraint = wanted_constraint(step, key)
    add: ops.MigrateOperation = ops.AddConstraintOp.from_constraint(constraint)
    if isinstance(constraint, sa.PrimaryKeyConstraint):  # Alembic takes its columns' keys
        names = [column.name for column in constraint.columns]
        given = constraint.name, step.table, names
        add = ops.CreatePrimaryKeyOp(*given, schema=step.schema)
        keys = (name for name, kind, _ in describe_constraints(step) if kind == "primary")
        if (other := next(keys, None)) is not None:  # there can be only one
            drop = ops.DropConstraintOp(other, step.table, "primary", schema=step.schema)
            return [code_of(drop), code_of(add)]
    return [code_of(operation) for operation in ([drop, add] if key in found else [add])]


def mend_column(
    step: Step, name: str, column: sa.Column[Any] | None, *, is_there: bool
) -> list[str]:
    if column is None:  # rows need a value for it
        null = ops.AlterColumnOp(step.table, name, modify_nullable=True, schema=step.schema)
        return [code_of(null)]
    part = replace(step, kind="column", name=name, wanted=column)
    wanted = want_column(part) or {}
    add = add_code(part, wanted)
    if not is_there:
        return [add]
    there = describe_column(step.database, step.table, name, step.place) or {}
    alter = alter_code(part, there, wanted, differing_keys(step.server, there, wanted))
    if not is_aside(alter):
        return [alter]
    return [f"if {not_aside(step, name)}:", f"    {alter}", add]


def wanted_constraint(step: Step, key: str) -> Any:
    """Return the wanted table's constraint that a property of its definition is about."""
    for constraint in step.wanted.constraints:
        if constraint.name and key.endswith(f" {step.database.truncated(constraint.name)}"):
            return constraint
    for constraint in step.wanted.foreign_key_constraints:
        if foreign_key_text(step.database, wanted_foreign_key(constraint)) == key:
            return constraint
    kind: Any = {"UNIQUE": sa.UniqueConstraint, "CHECK": sa.CheckConstraint}.get(key.split(" ")[0])
    unnamed: list[Any] = [c for c in step.wanted.constraints if not c.name]
    same_kind = (c for c in unnamed if kind and isinstance(c, kind))
    return next(same_kind, step.wanted.primary_key)
