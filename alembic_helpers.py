"""Repeatable operations ("verbs") and questions for hand-written Alembic revisions.

Each verb has the name and the arguments of its namesake in ``alembic.op``.  It makes the database
match, does nothing if the database already matches, or stops and reports how the database differs::

    import alembic_helpers as helpers
    import sqlalchemy as sa

    def upgrade() -> None:
        helpers.add_column("bills", sa.Column("last_payment", sa.Date()))
        helpers.create_index("ix_bills_last_payment", "bills", ["last_payment"])

    def downgrade() -> None:
        helpers.drop_index("ix_bills_last_payment", "bills")
        helpers.drop_column("bills", "last_payment")

==============  ===================  ====================  ==================  =================
verb            same thing there     another thing there   not there           its table missing
==============  ===================  ====================  ==================  =================
create, add     skip                 SchemaConflict        act                 MissingParent
drop            act                  act                   skip                skip
alter_column    skip                 emit what differs     MissingParent       MissingParent
rename          new name only: skip  both: SchemaConflict  old name only: act  SchemaConflict
==============  ===================  ====================  ==================  =================

The server decides what **same** means: the wanted object is created on an empty temporary table,
and the server's descriptions of both are compared.  So a default of ``'0'`` equals ``0``.

**Questions and verbs** use the revision's own connection.  They see what its transaction has done
so far, and open no other connection.  Each decision (``apply``, ``skip``) is one line on the logger
``alembic.helpers``.  An error says what was requested, what the database has, what the revision
wants, why the verb stopped, and which lines to write.  Nothing has been changed, unless the error
says what is left behind.  These are errors as well: an unknown keyword, a string in place of a
list, a column or a type, and an ``alter_column`` that asks for no change.
If the server itself refuses, the verb raises DatabaseRefused, which is also the SQLAlchemy error.

**Schemas**: SQLAlchemy's ``schema_translate_map`` applies to all statements, questions, rows and
marks, and to the version table of ``run``.  A script has no connection that could translate names,
so it is refused.

**Servers**: SQLite 3.35, PostgreSQL 12, MariaDB 10.5, MySQL 8 and later.  Others are refused.
``postgresql_concurrently=True`` makes a change in steps that do not block the application.  The
revision's earlier changes are committed first, and a killed run resumes where it stopped.  Other
servers ignore it.  If ``env.py`` began the transaction, such a step raises UnsafeOperation.

**Offline** (``--sql``) a verb writes SQL that the server skips if the object already exists, or is
already gone: with ``IF [NOT] EXISTS``, a ``DO`` block (PostgreSQL) or a prepared statement
(MariaDB, MySQL).  A script does not compare definitions.  If SQLite's grammar has no ``IF [NOT]
EXISTS`` for a statement, the verb raises OfflineUnsupported.  Questions always raise it.

The implementation is in ``alembic_toolkit/``: ``verbs`` (with a folder for each server) uses
``sql`` and ``database``; CONTRIBUTING.md shows the structure on one page.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import alembic.op
import sqlalchemy as sa
from alembic.operations import BatchOperations, ops
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.verbs.arguments import in_words, require_list
from alembic_toolkit.verbs.ask import (
    ask,
    constraint_type,
    describe_index,
    enum_values,
    has_table,
    is_on,
)
from alembic_toolkit.verbs.batch import GuardedBatch
from alembic_toolkit.verbs.data.backfill import run_backfill
from alembic_toolkit.verbs.data.files import run_file
from alembic_toolkit.verbs.data.insert import insert_missing, insert_plainly, placed
from alembic_toolkit.verbs.data.once import execute_guarded, run_plainly
from alembic_toolkit.verbs.ensure import ensure
from alembic_toolkit.verbs.errors import (
    DatabaseRefused,
    Irreversible,
    MissingParent,
    OfflineUnsupported,
    SchemaConflict,
    UnsafeOperation,
)
from alembic_toolkit.verbs.operations import current_database, guarded, online_database, step
from alembic_toolkit.verbs.running import migration_context, refuse_irreversible
from alembic_toolkit.verbs.translate import shortened

__version__ = "0.1.0"

__all__ = [
    "DatabaseRefused",
    "Irreversible",
    "MissingParent",
    "OfflineUnsupported",
    "SchemaConflict",
    "UnsafeOperation",
    "add_column",
    "add_enum_value",
    "alter_column",
    "backfill",
    "batch_alter_table",
    "bulk_insert",
    "create_check_constraint",
    "create_enum",
    "create_exclude_constraint",
    "create_foreign_key",
    "create_index",
    "create_primary_key",
    "create_table",
    "create_table_comment",
    "create_unique_constraint",
    "create_view",
    "drop_column",
    "drop_constraint",
    "drop_enum",
    "drop_index",
    "drop_table",
    "drop_table_comment",
    "drop_view",
    "enum_exists",
    "execute",
    "execute_file",
    "f",
    "get_bind",
    "get_context",
    "implementation_for",
    "inline_literal",
    "invoke",
    "irreversible",
    "register_operation",
    "rename_enum_value",
    "rename_table",
    "replace_view",
    "run_async",
    "table_exists",
    "table_has_column",
    "table_has_constraint",
    "table_has_index",
    "validate_constraint",
    "view_exists",
]


# ---------------------------------------------------------------------------------- questions
# They return True or False on the revision's own connection; a missing table is never an error.
# Offline (``--sql``) there is no database to ask, so they raise OfflineUnsupported.


def table_exists(table_name: str, schema: str | None = None) -> bool:
    """Tell whether the table exists (a view is not a table).

    Without ``schema`` the table is looked up as a statement would look it up: on PostgreSQL along
    the whole search path.  (A verb that creates a table looks only where it would create it.)

    On PostgreSQL a temporary table of this session counts: it hides a table of the same name from
    questions and verbs alike.  On the other servers questions are about permanent tables, and a
    verb refuses to act on a temporary table by mistake, if the server lets it notice one.
    """
    database = online_database("table_exists")
    return has_table(database, table_name, database.real_schema(schema))


def table_has_column(table_name: str, column_name: str, schema: str | None = None) -> bool:
    """Tell whether the table has a column of this name; the server decides whether case matters."""
    database = online_database("table_has_column")
    return (
        ask(database, "column", table_name, column_name, database.real_schema(schema)) is not None
    )


def table_has_index(table_name: str, index_name: str, schema: str | None = None) -> bool:
    """Tell whether the table has this index and it is usable; an INVALID one counts as missing.

    The index behind a constraint does not count, except on MariaDB and MySQL, where a unique
    constraint *is* a unique index and the two cannot be told apart
    (https://mariadb.com/kb/en/getting-started-with-indexes/#unique-index).
    """
    database = online_database("table_has_index")
    name, place = shortened(index_name, database.dialect), database.real_schema(schema)
    found = describe_index(database, table_name, name, place) or {}
    usable = bool(found) and not {"invalid", "constraint"} & found.keys()
    return usable and is_on(database, found, table_name)


def table_has_constraint(
    table_name: str, constraint_name: str, type_: str | None = None, schema: str | None = None
) -> bool:
    """Tell whether the table has this constraint.

    :param type_: ``"unique"``, ``"check"``, ``"foreignkey"``, ``"primary"``, or None for any.
    """
    database = online_database("table_has_constraint")
    likely = type_ if type_ != "primary" else None
    name = shortened(constraint_name, database.dialect)
    found = constraint_type(database, table_name, name, database.real_schema(schema), likely)
    return found is not None and type_ in (None, found)


def view_exists(view_name: str, schema: str | None = None) -> bool:
    """Tell whether the view exists (a table is not a view)."""
    database = online_database("view_exists")
    return ask(database, "view", view_name, view_name, database.real_schema(schema)) is not None


def enum_exists(enum_name: str, schema: str | None = None) -> bool:
    """Tell whether PostgreSQL has this enum type; False on servers without named enums."""
    database = online_database("enum_exists")
    if "enum" in database.server.lacks:
        return False
    return enum_values(database, enum_name, database.real_schema(schema)) is not None


# ------------------------------------------------------------------------------ verbs: tables


def create_table(
    table_name: str, *columns: sa.schema.SchemaItem, if_not_exists: bool | None = None, **kw: Any
) -> sa.Table:
    """Create the table with its indexes, or confirm that it exists as defined.

    If the table exists, each wanted column, key and constraint is compared, and missing indexes are
    created.  Additional columns are not a conflict, because the revision may be run again after
    later revisions have added them.  An additional column that is NOT NULL without a default is a
    conflict, because inserts would fail.  A table with ``prefixes=["TEMPORARY"]`` is passed on to
    Alembic unchecked.  Without ``schema`` the table is looked up where it would be created: on
    PostgreSQL in the first existing schema of the search path, and nowhere else.
    Offline: ``IF NOT EXISTS``.

    :param columns: ``sa.Column`` and constraints, as in ``sa.Table``.
    :return: the ``sa.Table``, whether it was created or confirmed.
    :raises SchemaConflict: a table of that name exists with another definition.
    :raises MissingParent: a foreign key refers to a table that does not exist; not on SQLite, where
        it may be created later (https://www.sqlite.org/foreignkeys.html#fk_schemacommands).
    :raises UnsafeOperation: on PostgreSQL, the search path contains no permanent schema, or a
        temporary table hides the name.
    """
    table: sa.Table = guarded().create_table(
        table_name, *columns, if_not_exists=if_not_exists, **kw
    )
    return table


def drop_table(
    table_name: str, *, schema: str | None = None, if_exists: bool | None = None, **kw: Any
) -> None:
    """Drop the table, or skip if it does not exist.  Offline: ``IF EXISTS``.

    :raises UnsafeOperation: on SQLite with ``foreign_keys=ON``, rows of another table reference
        this one: SQLite would delete those rows as well, while the other servers refuse
        (https://www.sqlite.org/foreignkeys.html#fk_schemacommands); or the table is temporary.
    """
    guarded().drop_table(table_name, schema=schema, if_exists=if_exists, **kw)


def rename_table(old_table_name: str, new_table_name: str, *, schema: str | None = None) -> None:
    """Rename the table, or skip if only the new name exists.

    Offline: guarded in the same way; if both names exist, or neither, the server's own error.

    :raises SchemaConflict: both names exist, or neither.
    :raises OfflineUnsupported: offline on SQLite.
    """
    guarded().rename_table(old_table_name, new_table_name, schema=schema)


def create_table_comment(
    table_name: str,
    comment: str | None,
    *,
    existing_comment: str | None = None,
    schema: str | None = None,
) -> None:
    """Set the table's comment, or skip if it is already set; do nothing on SQLite, which has none.

    Offline: the statement itself, which can be run twice.

    :param existing_comment: not needed, because the database is asked.
    :raises MissingParent: the table does not exist.
    """
    guarded().create_table_comment(
        table_name, comment, existing_comment=existing_comment, schema=schema
    )


def drop_table_comment(
    table_name: str, *, existing_comment: str | None = None, schema: str | None = None
) -> None:
    """Remove the table's comment, or skip if it has none or the table does not exist.

    Does nothing on SQLite.  Offline: the server skips it if the table does not exist.
    """
    guarded().drop_table_comment(table_name, existing_comment=existing_comment, schema=schema)


@contextmanager
def batch_alter_table(
    table_name: str,
    schema: str | None = None,
    recreate: Literal["auto", "always", "never"] = "auto",
    partial_reordering: list[tuple[str, ...]] | None = None,
    copy_from: sa.Table | None = None,
    table_args: tuple[Any, ...] = (),
    table_kwargs: Mapping[str, Any] = MappingProxyType({}),
    reflect_args: tuple[Any, ...] = (),
    reflect_kwargs: Mapping[str, Any] = MappingProxyType({}),
    naming_convention: dict[str, str] | None = None,
) -> Iterator[BatchOperations]:
    """Alter one table: each operation of the block is the verb of the same name, run at its end.

    As in Alembic, nothing happens if the block raises, and an index or a key is created after the
    columns that it uses, wherever in the block they are added.  The table need not be described or
    reflected: when SQLite must rebuild it, the verb starts from the table's own ``CREATE TABLE``
    statement.  So ``reflect_args`` and ``reflect_kwargs`` have no effect.  The other parameters
    apply where Alembic would rebuild the table: for operations on SQLite that need it, or with
    ``recreate="always"`` on any server.  On SQLite the block is all or nothing; on MariaDB and
    MySQL each of its verbs is committed, and a second run continues where the first one failed.

    :param partial_reordering: tuples of column names in their new order; SQLite only.
    :param copy_from: on SQLite, unnamed unique and foreign keys that are not in it are dropped;
        without it, that needs a ``naming_convention``.  Nothing else in it matters.
    :param table_args: constraints and indexes to add, unless they exist.
    :param table_kwargs: on SQLite, ``sqlite_autoincrement`` and the like.
    :param naming_convention: on SQLite, the names by which unnamed constraints can be dropped
        (https://alembic.sqlalchemy.org/en/latest/batch.html#dropping-unnamed-or-named-foreign-keys).
    :raises: the errors of the verbs, online and offline, before the operation that caused them.
    """
    batch = GuardedBatch(current_database(), table_name, schema)
    yield batch
    batch.run(
        recreate=recreate,
        partial_reordering=partial_reordering or [],
        copy_from=copy_from,
        table_args=table_args,
        options={k: v for k, v in table_kwargs.items() if k.startswith("sqlite_")},
        naming_convention=naming_convention,
    )


# ----------------------------------------------------------------------------- verbs: columns


def add_column(
    table_name: str,
    column: sa.Column[Any],
    *,
    schema: str | None = None,
    if_not_exists: bool | None = None,
    inline_references: bool | None = None,
    inline_primary_key: bool | None = None,
    postgresql_concurrently: bool = False,
) -> None:
    """Add the column, or confirm that it exists with the same definition.

    It compares the type, nullability, server default, computed expression and identity, and the
    comment if one is given.  Properties that the same function alters later are not compared.  The
    column's keys, checks and indexes are created or confirmed by their own verbs; on MariaDB and
    MySQL they are created in one statement with the column.  A named type (an enum, also in an
    array) is created or confirmed first.  If the table has no primary key, an INTEGER column can be
    added as its primary key on SQLite, MariaDB and MySQL; it numbers the existing rows.

    :param postgresql_concurrently: create the column's keys, checks and indexes concurrently.
    :raises SchemaConflict: a column of that name exists with another definition.
    :raises MissingParent: the table does not exist.
    :raises UnsafeOperation: concurrently, the default is a function whose value differs
        from row to row (``gen_random_uuid()``), so PostgreSQL would rewrite and block the table
        (https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).  The
        message has the lines to write instead: add, backfill, alter.
    :raises OfflineUnsupported: offline on SQLite.
    """
    flags: dict[str, Any] = {
        "if_not_exists": if_not_exists,
        "inline_references": inline_references,
        "inline_primary_key": inline_primary_key,
    }
    flags |= {"postgresql_concurrently": True} if postgresql_concurrently else {}
    guarded().invoke(ops.AddColumnOp(table_name, column, schema=schema, **flags))


def drop_column(table_name: str, column_name: str, *, schema: str | None = None, **kw: Any) -> None:
    """Drop the column, or skip if it or its table does not exist.

    The indexes and constraints that use the column are dropped with it, as on PostgreSQL; MariaDB
    removes the column from an index over several columns.  This is one statement: if the server
    refuses it, nothing has changed.

    :raises UnsafeOperation: on SQLite, a view or trigger still uses the column; on MariaDB and
        MySQL, a generated column or a foreign key of another table still uses it.
    :raises OfflineUnsupported: offline on SQLite.
    """
    guarded().drop_column(table_name, column_name, schema=schema, **kw)


def alter_column(
    table_name: str,
    column_name: str,
    *,
    nullable: bool | None = None,
    comment: str | Literal[False] | None = False,
    server_default: Any = False,
    new_column_name: str | None = None,
    type_: Any = None,
    existing_type: Any = None,
    existing_server_default: Any = False,
    existing_nullable: bool | None = None,
    existing_comment: str | None = None,
    schema: str | None = None,
    **kw: Any,
) -> None:
    """Change whatever differs from the wanted definition, or skip if nothing differs.

    The ``existing_*`` parameters are not needed, because the database is asked.  But on MariaDB and
    MySQL, where Alembic writes them into the column, they must be true.  A rename acts if only the
    old name exists, and skips if only the new name exists.  Properties that a call does not mention
    are kept: the collation of a string, membership in a key, auto-increment.  So SQLite's 64-bit
    INTEGER primary key remains one.

    On PostgreSQL a named type is created or confirmed first, and a given default is set after the
    type has changed.

    With ``nullable=False``, PostgreSQL reads the whole table, and nobody else can use it meanwhile.
    With ``postgresql_concurrently=True`` a temporary check constraint is validated first, while
    others read and write; it is dropped in the end.

    Offline: the ALTER itself, which can be run twice; on MariaDB and MySQL the server completes the
    definition from its catalog, because a MODIFY loses every property that it leaves out.

    :param type_, nullable, server_default, comment: what to change; the rest is kept.
        ``None`` as ``server_default`` or ``comment`` removes it.
    :raises MissingParent: the table or the column does not exist.
    :raises SchemaConflict: for a rename, both names exist, or neither; on MariaDB and MySQL, the
        column does not match ``existing_*``.
    :raises UnsafeOperation: concurrently, some rows are NULL; on PostgreSQL, the present default
        does not fit the new type, and no new one is given.
    :raises OfflineUnsupported: offline on SQLite.
    """
    guarded().alter_column(
        table_name,
        column_name,
        nullable=nullable,
        comment=comment,
        server_default=server_default,
        new_column_name=new_column_name,
        type_=type_,
        existing_type=existing_type,
        existing_server_default=existing_server_default,
        existing_nullable=existing_nullable,
        existing_comment=existing_comment,
        schema=schema,
        **kw,
    )


# ----------------------------------------------------------------------------- verbs: indexes


def create_index(
    index_name: str | None,
    table_name: str,
    columns: Sequence[str | sa.TextClause | sa.ColumnElement[Any]],
    *,
    schema: str | None = None,
    unique: bool = False,
    if_not_exists: bool | None = None,
    **kw: Any,
) -> None:
    """Create the index, or confirm that it exists with the same definition.

    An INVALID index that a failed build left behind is dropped and built again; after a
    concurrent build the index is checked
    (https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).
    Offline: ``IF NOT EXISTS`` on SQLite and PostgreSQL; on PostgreSQL the script also drops an
    INVALID index before a concurrent build.

    :param columns: names, and SQL expressions as ``sa.text(...)``.
    :raises SchemaConflict: an index of that name exists with another definition; or, on
        PostgreSQL, a table or a view has the name.
    :raises MissingParent: the table does not exist.
    :raises UnsafeOperation: concurrently, the table is partitioned, or the index is INVALID in the
        end.  Duplicates with ``unique=True`` raise the driver's IntegrityError.
    """
    guarded().create_index(
        index_name,
        table_name,
        columns,
        schema=schema,
        unique=unique,
        if_not_exists=if_not_exists,
        **kw,
    )


def drop_index(
    index_name: str,
    table_name: str | None = None,
    *,
    schema: str | None = None,
    if_exists: bool | None = None,
    **kw: Any,
) -> None:
    """Drop the index, or skip if it does not exist.

    The index behind a constraint is skipped: use ``drop_constraint`` for it.  On MariaDB and MySQL
    it is dropped, because a unique constraint is an index there.  On these servers, an index that a
    foreign key then needs is created in the same statement.
    ``postgresql_concurrently=True`` as in :func:`create_index`.

    :param table_name: required on MariaDB and MySQL, where index names are unique per table only.
    :raises UnsafeOperation: on MariaDB and MySQL, a foreign key of another table needs the index.
    """
    guarded().drop_index(index_name, table_name, schema=schema, if_exists=if_exists, **kw)


# ------------------------------------------------------------------------- verbs: constraints


def create_unique_constraint(
    constraint_name: str | None,
    table_name: str,
    columns: Sequence[str],
    *,
    schema: str | None = None,
    **kw: Any,
) -> None:
    """Create the unique constraint, or confirm that it exists on the same columns.

    With ``postgresql_concurrently=True`` it is made from an index that is built as in
    :func:`create_index`, so that others can write meanwhile.

    :raises SchemaConflict: a constraint of that name exists on other columns.
    :raises MissingParent: the table does not exist.
    :raises UnsafeOperation: concurrently, it has no name, or the table is partitioned.
    :raises OfflineUnsupported: offline on SQLite.
    """
    guarded().create_unique_constraint(constraint_name, table_name, columns, schema=schema, **kw)


def create_check_constraint(
    constraint_name: str | None,
    table_name: str,
    condition: str | sa.ColumnElement[bool] | sa.TextClause,
    *,
    schema: str | None = None,
    **kw: Any,
) -> None:
    """Create the check constraint, or confirm that it exists with the same condition.

    With ``postgresql_concurrently=True`` it is added ``NOT VALID``, committed, and then validated,
    which blocks neither readers nor writers.

    :raises SchemaConflict: a constraint of that name exists with another condition.
    :raises MissingParent: the table does not exist.
    :raises UnsafeOperation: concurrently, it has no name, or a row violates it; in that case it
        stays ``NOT VALID`` and is enforced for new rows.
    :raises OfflineUnsupported: offline on SQLite, or without a name.
    """
    guarded().create_check_constraint(constraint_name, table_name, condition, schema=schema, **kw)


def create_foreign_key(
    constraint_name: str | None,
    source_table: str,
    referent_table: str,
    local_cols: list[str],
    remote_cols: list[str],
    *,
    onupdate: str | None = None,
    ondelete: str | None = None,
    deferrable: bool | None = None,
    initially: str | None = None,
    match: str | None = None,
    source_schema: str | None = None,
    referent_schema: str | None = None,
    **dialect_kw: Any,
) -> None:
    """Create the foreign key, or confirm that it exists with the same target and actions.

    ``postgresql_concurrently=True`` as in :func:`create_check_constraint`: others can write to both
    tables while their rows are compared.

    :raises SchemaConflict: a constraint of that name exists and differs.
    :raises MissingParent: the table, or the one that it refers to, does not exist.
    :raises UnsafeOperation: as in :func:`create_check_constraint`; or, before PostgreSQL 18, the
        table is partitioned.
    :raises OfflineUnsupported: offline on SQLite.
    """
    guarded().create_foreign_key(
        constraint_name,
        source_table,
        referent_table,
        local_cols,
        remote_cols,
        onupdate=onupdate,
        ondelete=ondelete,
        deferrable=deferrable,
        initially=initially,
        match=match,
        source_schema=source_schema,
        referent_schema=referent_schema,
        **dialect_kw,
    )


def create_primary_key(
    constraint_name: str | None, table_name: str, columns: list[str], *, schema: str | None = None
) -> None:
    """Create the primary key, or confirm that the table's key has the same columns.

    :raises SchemaConflict: the table has a primary key on other columns.
    :raises MissingParent: the table does not exist.
    :raises OfflineUnsupported: offline on SQLite.
    """
    guarded().create_primary_key(constraint_name, table_name, columns, schema=schema)


def create_exclude_constraint(
    constraint_name: str, table_name: str, *elements: Any, **kw: Any
) -> sa.Table | None:
    """Create PostgreSQL's exclusion constraint, or confirm that it exists as defined.

    :param elements: pairs of a column or an SQL expression, and an operator.
    :raises SchemaConflict: a constraint of that name exists and differs.
    :raises MissingParent: the table does not exist.
    :raises UnsafeOperation: on other servers, which have no such constraint; also offline
        (https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-EXCLUDE).
    """
    create: Any = getattr(guarded(), "create_exclude_constraint")  # noqa: B009
    made: sa.Table | None = create(constraint_name, table_name, *elements, **kw)
    return made


def drop_constraint(
    constraint_name: str | None,
    table_name: str,
    type_: str | None = None,
    *,
    schema: str | None = None,
    if_exists: bool | None = None,
    columns: Sequence[str] | None = None,
) -> None:
    """Drop the constraint, or skip if it or its table does not exist.

    The name is looked up as it is given, and as the naming convention of ``target_metadata`` writes
    it.  If none has that name, but another one, or one without a name, is on the columns that the
    name is made of, the verb stops: that constraint would stay in force.

    :param type_: ``"unique"``, ``"check"``, ``"foreignkey"`` or ``"primary"``: only a constraint of
        that type is dropped.  No server needs it.
    :param columns: the columns of the constraint, which is found by them whatever its name; the
        name may then be None.  For a check constraint, the columns that it uses.
    :raises SchemaConflict: no constraint has that name, but there is one that may be meant.
    :raises UnsafeOperation: the name is None and no columns are given, so it is not clear which
        constraint is meant; or a foreign key needs the index of the constraint.
    :raises OfflineUnsupported: offline on SQLite, or with ``columns`` without a name.
    """
    drop: Any = ops.DropConstraintOp(
        constraint_name, table_name, type_, schema=schema, if_exists=if_exists
    )
    drop.kw = {} if columns is None else {"columns": list(columns)}
    guarded().invoke(drop)


def validate_constraint(
    constraint_name: str, table_name: str, *, schema: str | None = None
) -> None:
    """Validate a ``NOT VALID`` constraint of PostgreSQL: check the rows not checked so far.

    Skipped if it is valid, and on other servers, where constraints are valid from the start.
    It blocks neither reads nor writes
    (https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).
    Offline: the statement itself, which can be run twice.

    :raises MissingParent: the constraint or its table does not exist.
    :raises UnsafeOperation: a row violates it.
    """
    ensure(step("validate_constraint", "constraint", constraint_name, schema, table=table_name))


# --------------------------------------------------------------------- verbs: views and enums


def create_view(view_name: str, definition: str, *, schema: str | None = None) -> None:
    """Create the view from its SELECT, or confirm that it exists.

    On SQLite and PostgreSQL the SELECT is compared.  MariaDB and MySQL store it rewritten, so the
    view is compared by name only, and the log line says so.

    :param definition: the SELECT, without ``CREATE VIEW ... AS``.
    :raises SchemaConflict: a view of that name exists with another SELECT.
    """
    ensure(step("create_view", "view", view_name, schema, wanted=definition))


def replace_view(view_name: str, definition: str, *, schema: str | None = None) -> None:
    """Replace the view's SELECT, whatever it was; create the view if it does not exist.

    Skipped if the SELECT is the same; on MariaDB and MySQL, which store it rewritten, the view is
    replaced each time.  If PostgreSQL refuses to replace a view because its columns change, the
    view is dropped and created again, which loses its privileges.

    :param definition: as in :func:`create_view`.
    :raises UnsafeOperation: on PostgreSQL, the columns change and other views use the view
        (https://www.postgresql.org/docs/current/sql-createview.html).
    """
    ensure(step("replace_view", "view", view_name, schema, wanted=definition))


def drop_view(view_name: str, *, schema: str | None = None) -> None:
    """Drop the view, or skip if it does not exist.  Offline: ``IF EXISTS``."""
    ensure(step("drop_view", "view", view_name, schema))


def create_enum(enum_name: str, values: Sequence[str], *, schema: str | None = None) -> None:
    """Create PostgreSQL's enum type, or confirm that it has the same values in the same order.

    Skipped on other servers, where an enum belongs to its column; the log line says so.

    :raises SchemaConflict: a type of that name exists with other values.
    """
    require_list(f"create_enum({enum_name!r})", "values", values)
    ensure(step("create_enum", "enum", enum_name, schema, wanted=list(values)))


def add_enum_value(
    enum_name: str,
    value: str,
    *,
    before: str | None = None,
    after: str | None = None,
    schema: str | None = None,
) -> None:
    """Add a value to PostgreSQL's enum type, or confirm that it exists; do nothing elsewhere.

    The revision can use the value in its later lines.  PostgreSQL requires the value to be
    committed first, so the revision's earlier changes are committed
    (https://www.postgresql.org/docs/current/sql-altertype.html#id-1.9.3.42.7).  In a transaction
    that ``env.py`` began nothing is committed, and the value can be used after that transaction.
    Offline: ``IF NOT EXISTS``, outside the script's transaction.

    :param before, after: the neighbouring value, one of the two; without them it goes to the end.
    :raises SchemaConflict: the value exists, on the wrong side of ``before`` or ``after``.
    :raises MissingParent: the type, or the neighbouring value, does not exist.
    """
    wanted = (value, before, after)
    ensure(step("add_enum_value", "enum", enum_name, schema, wanted=wanted))


def rename_enum_value(
    enum_name: str, old_value: str, new_value: str, *, schema: str | None = None
) -> None:
    """Rename a value of PostgreSQL's enum type, or skip if only the new one exists.

    Skipped on other servers.  Offline: guarded in the same way.

    :raises SchemaConflict: both values exist, or neither.
    :raises MissingParent: the type does not exist.
    """
    wanted = (old_value, new_value)
    ensure(step("rename_enum_value", "enum", enum_name, schema, wanted=wanted))


def drop_enum(enum_name: str, *, schema: str | None = None) -> None:
    """Drop PostgreSQL's enum type, or skip if it does not exist; do nothing elsewhere."""
    ensure(step("drop_enum", "enum", enum_name, schema))


# -------------------------------------------------------------------------------- verbs: data


def backfill(
    table: str,
    values: Mapping[str, Any],
    *,
    where: sa.ColumnElement[bool] | sa.TextClause | str | None = None,
    batch_size: int = 50_000,
    pause: float = 0,
    schema: str | None = None,
) -> None:
    """Update the rows that ``where`` selects, page by page, each page committed by itself.

    A page is a range of the primary key, and no row stays locked longer than its page takes.  Pages
    grow up to ``batch_size`` rows, and shrink when one takes more than a tenth of a second.  A page
    that meets a lock is retried for about twenty seconds.

    ``where`` must exclude updated rows, so that a killed run resumes where it stopped and no row is
    updated twice.  This is tried on one row, and undone, before anything is changed::

        helpers.backfill("bills", {"cents": sa.text("amount * 100")}, where="cents IS NULL")

    The revision's earlier changes are committed first.  Rows that are inserted meanwhile are
    updated only if their key is still ahead; so let the application, or a default, fill the column
    beforehand.  Progress is shown as a bar on a terminal, otherwise as a log line every few
    seconds.  Skipped if ``where`` selects no row.  Offline: one plain ``UPDATE``.

    :param values: a value, or an SQL expression (``sa.text`` and the like), for each column.
    :param where: a condition; in a string ``:name`` is a parameter, as in :func:`execute`.
    :param batch_size: the maximum number of rows in a page, including those ``where`` excludes.
    :param pause: seconds to wait after each page, for replicas and for other writers.
    :raises MissingParent: the table or a column does not exist.
    :raises UnsafeOperation: ``where`` or a value is missing; ``where`` does not exclude the rows
        that are already updated; there is no usable primary key, or it would be changed; ``env.py``
        began the transaction.
    """
    filling = step("backfill", "table", None, schema, table=table)
    run_backfill(filling, values, where=where, batch_size=batch_size, pause=pause)


def bulk_insert(
    table: sa.Table | sa.TableClause,
    rows: list[dict[str, Any]],
    *,
    multiinsert: bool = True,
    key: Sequence[str] | None = None,
) -> None:
    """Insert the rows; with ``key``, only those whose key is not in the table yet.

    Without ``key`` this is Alembic's own operation.  With ``key``, an existing row with that key is
    left unchanged, and the first of two given rows with the same key counts.  Keys are compared
    with the server's ``=`` and the column's collation, and NULL equals NULL::

        helpers.bulk_insert(kinds, [{"code": "a", "name": "one"}], key=["code"])

    Two sessions may check at the same time: only a unique constraint keeps both from inserting.
    Offline: for each row an ``INSERT`` that checks first, with literal values.

    :param multiinsert: as in Alembic; with ``key``, a row that contains SQL is inserted by itself.
    :param key: names of columns of ``table`` that each row has.
    :raises MissingParent: the table, or a column of the key, does not exist.
    :raises CommandError: a column of the key is missing in ``table`` or in one of the rows.
    """
    table = placed(current_database(), table)
    if key is None:
        insert_plainly(table, rows, multiinsert)
    else:
        require_list(f"bulk_insert({table.name!r})", "key", key)
        inserting = step("bulk_insert", "table", None, table.schema, table=table.name)
        insert_missing(inserting, table, rows, key, multiinsert)


def execute(
    sqltext: sa.Executable | str,
    *,
    execution_options: dict[str, Any] | None = None,
    unless: sa.Executable | str | None = None,
    once: str | None = None,
    if_exists: sa.TableClause | sa.ColumnClause[Any] | None = None,
) -> None:
    r"""Run SQL; with ``unless``, only when that query returns no row; with ``once``, exactly once.

    Without them this is Alembic's own operation.  In a string, here and in ``unless``, ``:name`` is
    a parameter, as in ``sa.text``; write ``\:name`` for a plain colon.  ``%`` and ``::`` have no
    special meaning
    (https://docs.sqlalchemy.org/en/20/core/sqlelement.html#sqlalchemy.sql.expression.text)::

        helpers.execute(
            "UPDATE bills SET paid = 0 WHERE paid IS NULL",
            unless="SELECT 1 FROM bills WHERE paid IS NOT NULL",
        )

    A table or column that a later line drops may be gone on a second run.  With
    ``if_exists=payments`` or ``if_exists=bills.c.status`` the statement runs only if that exists.

    If no query can tell whether the statement has run, use ``once``: a mark of this name is
    committed together with the rows, so a revision that is run again after a crash skips the step.
    Marks are kept in the table ``alembic_version_once``, beside the version table, until the
    revision is complete; after a downgrade the step runs again::

        helpers.execute("UPDATE bills SET amount = amount * 100", once="cents")

    On MariaDB and MySQL the first mark creates that table, which commits all earlier changes, so
    begin with the steps that have a mark.  A statement that may commit internally (``CALL``,
    ``EXECUTE IMMEDIATE``) runs again if it failed; if it was killed, the next run stops and asks.

    Offline the server decides when the script is run: with a ``DO`` block on PostgreSQL, with
    ``PREPARE`` on MariaDB and MySQL, and on SQLite with a temporary trigger, which can only contain
    an INSERT, UPDATE, DELETE or REPLACE, and fails if a table that it reads does not exist.

    :param once: a name that no other step of the revision has, at most 200 characters long.  Only
        one of ``unless``, ``once`` and ``if_exists`` can be given.
    :param if_exists: a table or a column of one, as described with ``sa.table``, with its schema.
    :raises OfflineUnsupported: on SQLite, for any other statement with one of the three.
    :raises UnsafeOperation: with ``once``, on MariaDB and MySQL, the statement commits by itself.
    """
    if unless is None and once is None and if_exists is None:
        run_plainly(sqltext, execution_options)
    else:
        guards = {"unless": unless, "once": once, "if_exists": if_exists}
        execute_guarded(step("execute", "statement", once), sqltext, guards, execution_options)


def execute_file(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> None:
    """Run an SQL file, statement by statement, each exactly as it is written.

    ``%``, ``:name`` and ``?`` have no special meaning.  The file is split by the syntax of the
    current server: bodies of triggers, procedures and functions, dollar quotes, ``DELIMITER``.
    Refused before anything is run: a statement without an end, ``COPY ... FROM stdin``, commands of
    ``psql``, ``sqlite3`` and ``mariadb``, and ``BEGIN``, ``COMMIT`` and ``ROLLBACK``, because the
    transaction is Alembic's.  Savepoints, ``SET`` and ``LOCK TABLES`` are allowed, because dumps
    are full of them.  Their settings last for the rest of the ``alembic`` command.

    The whole file is run each time, without any check, so write ``IF NOT EXISTS`` and the like in
    it, or ask first::

        if not helpers.table_exists("countries"):
            helpers.execute_file("countries.sql")

    The file may be larger than memory: only a few of its statements are held at a time.

    Offline: the statements, unchanged.

    :param path: relative to the directory of the revision's file, or absolute.
    :raises CommandError: the file is missing or cannot be split, or a statement fails; the message
        names its line.  If DDL is transactional, nothing from the file is kept.
    """
    run_file(step("execute_file", "file", str(path)), path, encoding)


def irreversible(why: str) -> NoReturn:
    """Refuse to downgrade the revision, and change nothing; for the body of ``downgrade()``::

        def downgrade() -> None:
            helpers.irreversible("the old passwords were not kept")

    Offline it raises as well, and no script is written.

    :raises Irreversible: always; the message names the revision and what you can do next.
    """
    refuse_irreversible(why)


# ------------------------------------------------------------------- what Alembic has as well
# Alembic's own, with the same signatures, so that ``import alembic_helpers as op`` provides them.

_T = TypeVar("_T")


def get_bind() -> sa.Connection:
    """Return the revision's connection; offline, a substitute that writes to the script."""
    bind: sa.Connection = alembic.op.get_bind()
    return bind


def get_context() -> MigrationContext:
    """Return the ``MigrationContext`` of the running revision: ``autocommit_block``, ``as_sql``."""
    return migration_context()


def f(name: str) -> Any:
    """Mark a name as final, so that no naming convention is applied to it."""
    return alembic.op.f(name)


def inline_literal(value: str | int, type_: Any = None) -> Any:
    """Return a value that is rendered literally in the SQL, for scripts."""
    return alembic.op.inline_literal(value, type_=type_)


def run_async(async_function: Callable[..., Awaitable[_T]], *args: Any, **kw_args: Any) -> _T:
    """Run an async function with the revision's ``AsyncConnection``, if ``env.py`` uses one."""
    return alembic.op.run_async(async_function, *args, **kw_args)


def register_operation(name: str, sourcename: str | None = None) -> Any:
    """Register an operation of your own, which then becomes an attribute of this module."""
    return alembic.op.register_operation(name, sourcename)


def implementation_for(op_cls: Any, replace: bool = False) -> Any:
    """Register the implementation of an operation, either your own or one of Alembic's."""
    return alembic.op.implementation_for(op_cls, replace=replace)


def invoke(operation: ops.MigrateOperation) -> Any:
    """Run one of Alembic's operation objects as the corresponding verb.

    Other operations (your own, ``ops.ExecuteSQLOp``) run unchanged
    (https://alembic.sqlalchemy.org/en/latest/api/operations.html#operation-plugins).
    """
    return guarded().invoke(operation)


for _name in __all__:  # an unknown keyword raises a readable error
    if inspect.isfunction(globals()[_name]):
        globals()[_name] = in_words(globals()[_name])


if not TYPE_CHECKING:  # otherwise a misspelt verb would pass the type checker

    def __getattr__(name: str) -> Any:
        """Return an operation that a plugin added to ``alembic.op``, unchanged."""
        if name.startswith("_") or not hasattr(alembic.op, name):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(alembic.op, name)
