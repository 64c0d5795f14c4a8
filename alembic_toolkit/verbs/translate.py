"""Map Alembic's operations to verbs and the objects they are about."""

from __future__ import annotations

import copy
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops
from sqlalchemy.sql.base import SchemaEventTarget

from alembic_toolkit.database.schemas import with_schemas
from alembic_toolkit.verbs.errors import Nameless, stop
from alembic_toolkit.verbs.texts import keep_colons, with_text_conditions
from alembic_toolkit.verbs.values import Database, Entrance, Step, by_name

SIMPLE = {  # operation -> verb, kind, the attribute that names the object
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
    """Tell whether an operation is guarded; a table with prefixes (TEMPORARY) is not."""
    return type(operation) in VERBS and not getattr(operation, "kw", {}).get("prefixes")


def step_of(operations: Entrance, operation: Any) -> Step:
    """Return the step for one of Alembic's operations."""
    database = operations.database
    operation, concurrently = without_keyword(with_text_conditions(operation))
    on, schema = getattr(operation, "table_name", None) or "", getattr(operation, "schema", None)
    dialect, real = database.dialect, with_real_schemas(database, operation)

    def step(verb: str, kind: str, name: Any, wanted: Any = None) -> Step:
        table = getattr(wanted, "table", wanted)
        if isinstance(table, sa.Table):  # it has all SQL of the operation
            keep_colons(table)
            place_tables(database, table)
            shorten_names(table, dialect)
        else:
            keep_colons(operation)
        made = Step(operations, real, verb, kind, shortened(name, dialect), on, schema, wanted)
        made.concurrently = concurrently
        return made

    context, objects = operations.migration_context, operations.schema_obj
    if type(operation) in SIMPLE:
        return step(*SIMPLE[type(operation)][:2], named(operation, context))
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
            keep_colons(operation.columns)  # the index hides the text of an expression
            index = operation.to_index(context)
            return step("create_index", "index", index.name, index)
        case ops.DropConstraintOp():
            names = operation.constraint_name, on, operation.constraint_type
            of_it = objects.generic_constraint(*names, schema=schema)
            return refuse_nameless(step("drop_constraint", "constraint", of_it.name))
    raise AssertionError(f"{type(operation).__name__} is no verb")


def named(operation: Any, context: Any) -> Any:
    """Return the name in an operation; for an index, with the naming convention applied."""
    if isinstance(operation, ops.DropIndexOp) and has_convention(operation.index_name, context):
        return operation.to_index(context).name
    return getattr(operation, SIMPLE[type(operation)][2])


def has_convention(name: str | None, context: Any) -> bool:
    """Tell whether a naming convention may change this name."""
    metadata = context.opts.get("target_metadata")
    convention = getattr(metadata, "naming_convention", USUAL_CONVENTION)
    return name is None or convention != USUAL_CONVENTION


USUAL_CONVENTION = sa.MetaData().naming_convention  # only for an index without a name


def refuse_nameless(step: Step) -> Step:
    """Refuse to drop a constraint without a name: a skip would silently leave it in place."""
    type_ = step.operation.constraint_type
    if step.name or getattr(step.operation, "kw", {}).get("columns"):
        return step
    if type_ == "primary" and step.server.primary_key_name is not None:
        return step
    stop(
        Nameless,
        f"{step.call}: cannot drop a constraint without a name.",
        (
            "no constraint that can be told by its name",
            f"a {type_ or 'constraint'} without a name to be gone",
        ),
        "Stopped, because nothing says which of the table's constraints is meant.",
        f"helpers.drop_constraint('uq_{step.table}_...', {step.table!r}, type_={type_!r})"
        "  # by its name",
        f"helpers.drop_constraint(None, {step.table!r}, type_={type_ or 'unique'!r},"
        " columns=['...'])  # or by its columns",
    )


def parts_of(step: Step, created: bool) -> list[Step]:
    """Return the steps for parts of an object that are created by separate statements.

    If each DDL statement commits, a crash can occur between any two of them.
    """
    parts: list[ops.MigrateOperation] = []
    if step.kind == "table" and not created:
        parts = [ops.CreateIndexOp.from_index(index) for index in by_name(step.wanted.indexes)]
    if step.kind == "column" and not (created and step.server.adds_whole):
        table = step.wanted.table
        constraints = table.constraints - {table.primary_key}
        for constraint in sorted(constraints, key=lambda c: (c.__visit_name__, str(c.name))):
            rule: Any = getattr(constraint, "_create_rule", None)
            if rule is None or rule(step.operations.impl):
                parts.append(ops.AddConstraintOp.from_constraint(constraint))
        parts += [ops.CreateIndexOp.from_index(index) for index in by_name(table.indexes)]
    for part in parts if step.concurrently else ():
        part.kw = {**part.kw, "postgresql_concurrently": True}  # type: ignore[attr-defined]
    steps = [step_of(step.operations, part) for part in parts]
    for made in steps:
        made.is_of_new = step.verb == "create_table"
    return steps


def with_real_schemas(database: Database, operation: Any) -> Any:
    """Return the operation with its schema names translated."""
    if not database.translations:
        return operation
    return with_schemas(operation, database.real_schema)


def place_tables(database: Database, table: sa.Table) -> None:
    """Move a wanted table, and the tables its keys refer to, to their translated schemas."""
    for one in (table, *table.metadata.tables.values()) if database.translations else ():
        real = database.real_schema(one.schema)
        if real != one.schema:
            one.schema = real


def type_checks(step: Step, type_: Any) -> list[Step]:
    """Return the named checks that a Boolean or an Enum creates on this server."""
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


OF_INDEXES = (ops.CreateIndexOp, ops.DropIndexOp)  # these accept the keyword


def without_keyword(operation: Any) -> tuple[Any, bool]:
    """Remove ``postgresql_concurrently`` from an operation if SQLAlchemy would refuse it."""
    kw = getattr(operation, "kw", None) or {}
    if "postgresql_concurrently" not in kw or isinstance(operation, OF_INDEXES):
        return operation, False
    operation = copy.copy(operation)
    operation.kw = {k: v for k, v in kw.items() if k != "postgresql_concurrently"}
    return operation, bool(kw["postgresql_concurrently"])


def shorten_names(table: sa.Table, dialect: sa.Dialect) -> None:
    things: list[Any] = [*table.constraints, *table.indexes]
    for thing in things:
        thing.name = shortened(thing.name, dialect)


def shortened(name: Any, dialect: sa.Dialect) -> Any:
    """Return the name that SQLAlchemy writes for a long one from a convention, or from ``f()``.

    https://docs.sqlalchemy.org/en/20/core/constraints.html#configuring-a-naming-convention-for-a-metadata-collection
    """
    if not isinstance(name, sa.schema.conv):
        return name
    preparer = dialect.identifier_preparer
    written = preparer.truncate_and_render_constraint_name(name, _alembic_quote=False)
    return sa.schema.conv(written)
