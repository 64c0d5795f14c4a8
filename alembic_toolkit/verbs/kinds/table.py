"""A table: what is there, what is wanted, and how to mend a conflict."""

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
    want_column,
    with_comment,
    without_server_defaults,
)
from alembic_toolkit.verbs.kinds.constraint import foreign_key_text
from alembic_toolkit.verbs.remedy import code_of, wanted_foreign_key
from alembic_toolkit.verbs.require import keys_within, require_free_name
from alembic_toolkit.verbs.scratch import SCRATCH, scratch_table
from alembic_toolkit.verbs.values import Definition, Step

# Options of a table's storage, which temporary tables refuse
STORAGE = ("row_format", "key_block_size", "tablespace", "directory", "partition", "compress")


def find_table(step: Step) -> Definition:
    """Describe the table, or refuse where its name is that of a view."""
    require_free_name(step)
    return define_table(step, step.table, step.schema)


def want_table(step: Step) -> Definition:
    table: sa.Table = step.wanted
    others = [c for c in table.constraints if not isinstance(c, sa.ForeignKeyConstraint)]
    names = {step.database.truncated(str(c.name)) for c in table.constraints if c.name}
    given = table.dialect_kwargs.items()
    options = {k: v for k, v in given if not any(word in k for word in STORAGE)}
    with scratch_table(step, *table.columns, *others, **options):
        found = define_table(step, SCRATCH, step.server.scratch_schema, names)
    for key in keys_within(step):
        text = foreign_key_text(step.database, wanted_foreign_key(key))
        name = step.database.truncated(str(key.name))
        found |= {f"foreignkey {name}": text} if key.name else {text: ""}
    return found


def define_table(
    step: Step, table: str, schema: str | None, named: set[str] | None = None
) -> Definition:
    """Describe a table: columns, then constraints, by name where they have one, else by text.

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


def mend_part(step: Step, found: Definition, key: str) -> list[str]:
    """Return code that gives a table one column or constraint as it is wanted."""
    database, (kind, _, name) = step.database, key.partition(" ")
    if kind == "column":
        columns = {database.case_folded(c.name): c for c in step.wanted.columns}
        column = columns.get(database.case_folded(name))
        return mend_column(step, name, column, is_there=key in found)
    drop = ops.DropConstraintOp(name, step.table, schema=step.schema)
    constraint = wanted_constraint(step, key)
    add: ops.MigrateOperation = ops.AddConstraintOp.from_constraint(constraint)
    if isinstance(constraint, sa.PrimaryKeyConstraint):  # of which Alembic takes the columns' keys
        names = [column.name for column in constraint.columns]
        given = constraint.name, step.table, names
        add = ops.CreatePrimaryKeyOp(*given, schema=step.schema)
    return [code_of(operation) for operation in ([drop, add] if key in found else [add])]


def mend_column(
    step: Step, name: str, column: sa.Column[Any] | None, *, is_there: bool
) -> list[str]:
    if column is None:  # no row can be inserted without a value for it
        null = ops.AlterColumnOp(step.table, name, modify_nullable=True, schema=step.schema)
        return [code_of(null)]
    part = replace(step, kind="column", name=name, wanted=column)
    wanted = want_column(part) or {}
    add = add_code(part, wanted)
    if not is_there:
        return [add]
    there = describe_column(step.database, step.table, name, step.schema) or {}
    alter = alter_code(part, wanted, differing_keys(step.server, there, wanted))
    # a column that cannot be altered is renamed, and the wanted one added
    return [alter, add] if "new_column_name=" in alter else [alter]


def wanted_constraint(step: Step, key: str) -> Any:
    """Return the constraint of a wanted table that a property of its definition is about."""
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
