"""What each of Alembic's operations is about."""

from __future__ import annotations

import copy
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops
from sqlalchemy.sql.base import SchemaEventTarget

from alembic_toolkit.verbs.errors import Nameless, stop
from alembic_toolkit.verbs.texts import keep_colons, with_text_conditions
from alembic_toolkit.verbs.values import Entrance, Step, by_name

SIMPLE = {  # operation -> verb, kind, the attribute that names the thing
    ops.DropTableOp: ("drop_table", "table", "table_name"),
    ops.RenameTableOp: ("rename_table", "table", "new_table_name"),
    ops.DropColumnOp: ("drop_column", "column", "column_name"),
    ops.AlterColumnOp: ("alter_column", "column", "column_name"),
    ops.DropIndexOp: ("drop_index", "index", "index_name"),
    ops.CreateTableCommentOp: ("create_table_comment", "comment", "table_name"),
    ops.DropTableCommentOp: ("drop_table_comment", "comment", "table_name"),
}
CONSTRAINT_KINDS: dict[Any, tuple[str, str]] = {
    ops.CreateUniqueConstraintOp: ("create_unique_constraint", "unique"),
    ops.CreateCheckConstraintOp: ("create_check_constraint", "check"),
    ops.CreateForeignKeyOp: ("create_foreign_key", "foreignkey"),
    ops.CreatePrimaryKeyOp: ("create_primary_key", "primary"),
    CreateExcludeConstraintOp: ("create_exclude_constraint", "exclude"),
}
OTHER_VERBS = (ops.CreateTableOp, ops.AddColumnOp, ops.CreateIndexOp, ops.DropConstraintOp)
VERBS = {*SIMPLE, *CONSTRAINT_KINDS, *OTHER_VERBS}


def is_verb(operation: Any) -> bool:
    """Tell whether an operation is guarded; a table with prefixes (TEMPORARY) is made as it is."""
    return type(operation) in VERBS and not getattr(operation, "kw", {}).get("prefixes")


def step_of(operations: Entrance, operation: Any) -> Step:
    """Say what one of Alembic's operations is about."""
    on, schema = getattr(operation, "table_name", None) or "", getattr(operation, "schema", None)
    operation, concurrently = without_keyword(with_text_conditions(operation))
    dialect = operations.database.dialect
    keep_colons(operation)

    def step(verb: str, kind: str, name: Any, wanted: Any = None) -> Step:
        table = getattr(wanted, "table", wanted)
        if isinstance(table, sa.Table):
            keep_colons(table)
            things: list[Any] = [*table.constraints, *table.indexes]
            for thing in things:
                thing.name = shortened(thing.name, dialect)
        made = Step(operations, operation, verb, kind, shortened(name, dialect), on, schema, wanted)
        made.concurrently = concurrently
        return made

    context, objects = operations.migration_context, operations.schema_obj
    if type(operation) in SIMPLE:
        verb, kind, attribute = SIMPLE[type(operation)]
        return step(verb, kind, getattr(operation, attribute))
    if type(operation) in CONSTRAINT_KINDS:
        constraint = operation.to_constraint(context)
        on, schema = constraint.table.name, constraint.table.schema
        return step(*CONSTRAINT_KINDS[type(operation)], constraint.name, constraint)
    match operation:
        case ops.CreateTableOp():
            return step("create_table", "table", on, operation.to_table(context))
        case ops.AddColumnOp():
            made = objects.table(on, operation.column, schema=schema)
            column = made.columns[operation.column.key]
            return step("add_column", "column", column.name, column)
        case ops.CreateIndexOp():
            index = operation.to_index(context)
            return step("create_index", "index", index.name, index)
        case ops.DropConstraintOp():
            type_ = operation.constraint_type
            named = objects.generic_constraint(operation.constraint_name, on, type_, schema=schema)
            dropped = step("drop_constraint", "constraint", named.name)
            return dropped if dropped.name else refuse_nameless(dropped)
    raise AssertionError(f"{type(operation).__name__} is no verb")


def refuse_nameless(step: Step) -> Step:
    """Refuse to drop a constraint without a name: to skip it would leave it there unsaid."""
    type_ = step.operation.constraint_type
    if type_ == "primary" and step.server.primary_key_name is not None:
        return step
    code = f"drop_constraint('uq_{step.table}_...', "
    convention = "naming_convention={'uq': 'uq_%(table_name)s_%(column_0_name)s'}"
    stop(
        Nameless,
        f"{step.call}: cannot drop a constraint without a name.",
        ("not looked at", f"a {type_ or 'constraint'} without a name to be gone"),
        "Stopped, because nothing says which of the table's constraints is meant.",
        f"helpers.{code}{step.table!r}, type_={type_!r})  # by its name",
        "# where it was made without one, on SQLite:",
        f"with helpers.batch_alter_table({step.table!r}, {convention}) as batch:",
        f"    batch.{code}type_={type_!r})",
    )


def parts_of(step: Step, created: bool) -> list[Step]:
    """Return what belongs to a thing but is made by statements of its own, each to be ensured.

    Where each DDL statement commits, a crash can come between any two of them.
    """
    parts: list[ops.MigrateOperation] = []
    if step.kind == "table" and not created:
        parts = [ops.CreateIndexOp.from_index(index) for index in by_name(step.wanted.indexes)]
    if step.kind == "column":
        table = step.wanted.table
        constraints = table.constraints - {table.primary_key}
        for constraint in sorted(constraints, key=lambda c: (c.__visit_name__, str(c.name))):
            rule: Any = getattr(constraint, "_create_rule", None)
            if rule is None or rule(step.operations.impl):
                parts.append(ops.AddConstraintOp.from_constraint(constraint))
        parts += [ops.CreateIndexOp.from_index(index) for index in by_name(table.indexes)]
    for part in parts if step.concurrently else ():
        part.kw = {**part.kw, "postgresql_concurrently": True}  # type: ignore[attr-defined]
    return [step_of(step.operations, part) for part in parts]


def type_checks(step: Step, type_: Any) -> list[Step]:
    """Return the named checks that a Boolean or an Enum brings along, on this server."""
    made: Any = None if type_ is None else sa.types.to_instance(type_)
    kinds = [made, *getattr(made, "_variant_mapping", {}).values()]
    if not any(isinstance(kind, SchemaEventTarget) for kind in kinds):
        return []
    objects, impl = step.operations.schema_obj, step.operations.impl
    table = objects.table(step.table, sa.Column(step.name, type_), schema=step.schema)
    checks: list[Any] = [c for c in table.constraints if isinstance(c, sa.CheckConstraint)]
    named = [check for check in checks if check.name and check._create_rule(impl)]
    parts = [ops.AddConstraintOp.from_constraint(check) for check in named]
    return [step_of(step.operations, part) for part in parts]


OF_INDEXES = (ops.CreateIndexOp, ops.DropIndexOp)  # which know it


def without_keyword(operation: Any) -> tuple[Any, bool]:
    """Take the keyword out of an operation of which SQLAlchemy would refuse it."""
    kw = getattr(operation, "kw", None) or {}
    if "postgresql_concurrently" not in kw or isinstance(operation, OF_INDEXES):
        return operation, False
    operation = copy.copy(operation)
    operation.kw = {k: v for k, v in kw.items() if k != "postgresql_concurrently"}
    return operation, bool(kw["postgresql_concurrently"])


def shortened(name: Any, dialect: sa.Dialect) -> Any:
    """Return the name that SQLAlchemy writes for a long one of a convention, or of ``f()``.

    https://docs.sqlalchemy.org/en/20/core/constraints.html#configuring-a-naming-convention-for-a-metadata-collection
    """
    if not isinstance(name, sa.schema.conv):
        return name
    preparer = dialect.identifier_preparer
    written = preparer.truncate_and_render_constraint_name(name, _alembic_quote=False)
    return sa.schema.conv(written)
