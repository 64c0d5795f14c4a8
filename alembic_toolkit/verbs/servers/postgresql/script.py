"""Scripts specific to PostgreSQL."""

from __future__ import annotations

import copy
from dataclasses import replace

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.sql.guarded import do_block
from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import dollar_quoted, postgresql_literal
from alembic_toolkit.sql.tokens import is_noise, tokenize
from alembic_toolkit.verbs.ask import type_text
from alembic_toolkit.verbs.kinds.column import can_be_collated
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql, replace_view_sql
from alembic_toolkit.verbs.scratch import verbatim
from alembic_toolkit.verbs.script import (
    condition,
    exists_condition,
    filled_question,
    plain_sql,
    write_alter_column,
    write_guarded,
)
from alembic_toolkit.verbs.servers.postgresql.act import validate_sql
from alembic_toolkit.verbs.servers.postgresql.alter import without_default
from alembic_toolkit.verbs.servers.postgresql.concurrently import (
    not_null_name,
    require_one_default,
    split_nullable,
    unique_index,
    using_index_sql,
)
from alembic_toolkit.verbs.servers.postgresql.enums import add_value_sql, rename_value_sql
from alembic_toolkit.verbs.servers.postgresql.types import bring_types
from alembic_toolkit.verbs.values import Step


def write_if(step: Step, condition: str, sql: str) -> None:
    """Write a statement in a DO block, which checks before it runs it."""
    text = f"BEGIN\n  IF {condition} THEN\n    EXECUTE {dollar_quoted(sql)};\n  END IF;\nEND"
    step.write(do_block(text))


def write_index(step: Step) -> None:
    """Write CREATE or DROP INDEX, outside the transaction if it is CONCURRENTLY.

    An index that a failed build left is dropped first: IF NOT EXISTS would accept it.
    """
    if not step.operation.kw.get("postgresql_concurrently", False):
        return write_guarded(step)
    if step.verb == "create_index" and not step.is_plain:
        name = step.database.quoted(step.database.truncated(str(step.name)), step.schema)
        step.write_if(exists_condition(step, what="invalid"), f"DROP INDEX {name}")
    with step.context.autocommit_block():
        write_guarded(step)


def write_add_value(step: Step) -> None:
    """Write ADD VALUE outside the transaction, so that later statements can use the value."""
    with step.context.autocommit_block():
        step.write(add_value_sql(step))


def write_rename_value(step: Step) -> None:
    """Write the rename; it is skipped if only the new value exists.

    If both exist, or neither, the server raises its own error.
    """
    sql = step.server.questions["label"]
    old, new = (condition(step, sql, str(step.name), value) for value in step.wanted)
    step.write_if(f"{old} OR NOT {new}", rename_value_sql(step))


def write_view(step: Step) -> None:
    """Write a replacement that falls back to DROP and CREATE if the columns change."""
    if step.is_plain:
        return step.write(replace_view_sql(step))
    statements = replace_view_sql(step), drop_sql(step), create_view_sql(step)
    replaced, drop, create = map(dollar_quoted, statements)
    text = (
        f"BEGIN\n  EXECUTE {replaced};\nEXCEPTION WHEN invalid_table_definition THEN\n"
        f"  EXECUTE {drop};\n  EXECUTE {create};\nEND"
    )
    step.write(do_block(text))


def write_constraint(step: Step) -> None:
    """Write it; concurrently as NOT VALID, then its validation, each in its own transaction."""
    if not step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid"):
        return write_guarded(step)
    step.wanted.dialect_kwargs["postgresql_not_valid"] = True
    with step.context.autocommit_block():
        write_guarded(step)
        step.write(validate_sql(step))


def write_unique(step: Step) -> None:
    if not step.concurrently:
        return write_guarded(step)
    step.operations.invoke(unique_index(step))
    with step.context.autocommit_block():
        step.write_if(f"NOT {exists_condition(step)}", using_index_sql(step))


def write_add_column(step: Step) -> None:
    require_one_default(step)
    bring_types(step, [step.wanted.type])
    write_guarded(step)


def write_alter(step: Step) -> None:
    """Write it; concurrently the steps to NOT NULL come last, each in its own transaction."""
    if step.operation.modify_type is not None:
        bring_types(step, [step.operation.modify_type])
    if not (step.concurrently and step.operation.modify_nullable is False):
        return write_alter_column(step)
    rest, not_null = split_nullable(step)
    if rest.operation.has_changes() or rest.operation.modify_name:
        write_alter_column(rest)
    is_nullable = condition(not_null, NULLABLE, step.table, str(not_null.name))
    [set_not_null] = plain_sql(not_null)
    alter = f"ALTER TABLE {step.quoted_table}"
    column = step.database.quoted(str(not_null.name))
    check = step.database.quoted(not_null_name(not_null))
    drop = f"DROP CONSTRAINT IF EXISTS {check}"
    add = f"ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID"
    with step.context.autocommit_block():
        step.write_if(is_nullable, f"{alter} {add}" if step.is_plain else f"{alter} {drop}, {add}")
        step.write_if(is_nullable, f"{alter} VALIDATE CONSTRAINT {check}")
        step.write(set_not_null)
        step.write(f"{alter} DROP CONSTRAINT {check}" if step.is_plain else f"{alter} {drop}")


def write_alter_type(step: Step) -> None:
    """Write an ALTER; guarded where an identity is added or dropped."""
    is_identity = condition(step, IS_IDENTITY, step.table, str(step.name))
    for sql in plain_sql(write_type(step)):
        words = [token.upper() for token in tokenize(sql) if not is_noise(token)]
        if words[-2:] == ["DROP", "IDENTITY"] and not step.is_plain:
            step.write(f"{sql} IF EXISTS")
        elif "IDENTITY" in words and "GENERATED" in words and "ADD" in words:
            step.write_if(f"NOT {is_identity}", sql)
        elif words[-2:-1] != ["COLUMN"]:  # Alembic writes that if an identity does not change
            step.write(sql)


def write_type(step: Step) -> Step:
    """Write the change of type, if it needs more than one ALTER; return what is left to do."""
    operation, database = step.operation, step.database
    default = operation.modify_server_default
    if operation.modify_type is None:
        return step
    if default is None or isinstance(default, str | sa.ClauseElement | sa.DefaultClause):
        for sql in plain_sql(replace(step, operation=without_default(step))):
            step.write(sql)  # it would be cast to the new type
    text = type_text(operation.modify_type, database.dialect)
    if not can_be_collated(text) or step.is_plain:
        return step
    alone = ops.AlterColumnOp(step.table, str(step.name), schema=step.schema, **operation.kw)
    alone.modify_type = verbatim(database, f"{text} {PLACE}")
    [sql] = plain_sql(replace(step, operation=alone))
    before, after = map(postgresql_literal, sql.split(f" {PLACE}", 1))
    collation = filled_question(step, OWN_COLLATION, step.table, str(step.name))
    alter = f"EXECUTE {before} || COALESCE(({collation}), '') || {after}"
    step.write(do_block(f"BEGIN\n  {alter};\nEND"))
    rest = replace(step, operation=copy.copy(operation))
    rest.operation.modify_type, rest.operation.kw = None, {}
    return rest


PLACE = "/* its own collation */"
OWN_COLLATION = pinned(
    "SELECT ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(c.collname)"
    " FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid"
    " JOIN pg_collation AS c ON c.oid = a.attcollation"
    " JOIN pg_namespace AS n ON n.oid = c.collnamespace"
    " WHERE a.attrelid = to_regclass(:table) AND a.attname = :name"
    " AND a.attcollation <> t.typcollation"
)
ATTRIBUTE = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :name"
IS_IDENTITY = pinned(f"{ATTRIBUTE} AND attidentity <> ''")
NULLABLE = pinned(f"{ATTRIBUTE} AND NOT attnotnull")
