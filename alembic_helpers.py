"""What a hand-written Alembic revision may say: verbs that can be run again, and questions.

Each verb has the name and the arguments of its namesake in ``alembic.op``.  It makes the database
match, or does nothing because the database matches already, or stops and says how it differs::

    import alembic_helpers as helpers
    import sqlalchemy as sa

    def upgrade() -> None:
        helpers.add_column("bills", sa.Column("last_payment", sa.Date()))
        helpers.create_index("ix_bills_last_payment", "bills", ["last_payment"])

    def downgrade() -> None:
        helpers.drop_index("ix_bills_last_payment", "bills")
        helpers.drop_column("bills", "last_payment")

==============  ====================  ===================  ===========  ====================
verb            same thing there      another thing there  not there    its table is missing
==============  ====================  ===================  ===========  ====================
create, add     skip                  SchemaConflict       act          MissingParent
drop            act                   act                  skip         skip
alter_column    emit what differs     --                   raise        MissingParent
rename          old only: act; new only: skip; both or neither: SchemaConflict
==============  ====================  ===================  ===========  ====================

*Same* is the server's own opinion: the wanted thing is made on an empty temporary table, and what
the server says of both is compared.  Each decision is one line on the logger ``alembic.helpers``.
Every look runs on ``get_bind()``: it sees what the transaction did so far, opens no connection and
keeps nothing.  Servers: SQLite 3.35, PostgreSQL 12, MariaDB 10.5, MySQL 8 and later.

This one file can be copied into any project; it needs SQLAlchemy 2.0 and Alembic 1.18.4.
Rooms, in reading order: errors, questions, verbs (table, column, index, constraint, view, enum,
data), the one mechanism, looking, comparing, dialects.
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import json
import logging
import math
import operator
import os
import re
import sys
import textwrap
import time
import unicodedata
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast

import alembic.op
import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import BatchOperations, Operations, ops
from alembic.operations.batch import BatchOperationsImpl
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable
from sqlalchemy.sql.base import SchemaEventTarget
from sqlalchemy.sql.elements import Grouping

from alembic_toolkit.sql.bodies import MYSQL, POSTGRESQL, SQLITE
from alembic_toolkit.sql.create_table import (
    TableText,
    column_name,
    column_position,
    constraint_uses,
    index_definition,
    inside_parentheses,
    is_column,
    join_clauses,
    kind_of,
    leading_noise,
    parse_create_table,
    references_column,
    split_clauses,
    split_name,
    without_checks_on,
    without_items,
)
from alembic_toolkit.sql.quoting import (
    brief,
    dollar_quoted,
    filled_in,
    identifier,
    in_parentheses,
    literal,
    postgresql_literal,
    qualified,
)
from alembic_toolkit.sql.statements import Statement, Syntax, Unreadable, split_statements
from alembic_toolkit.sql.tokens import (
    closing_parenthesis,
    contains_word,
    is_noise,
    names_in,
    significant_tokens,
    tokenize,
    unqualified,
    unquoted,
)

__version__ = "0.1.0"

__all__ = [
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

log = logging.getLogger("alembic.helpers")


# ------------------------------------------------------------------------------------- errors


class SchemaConflict(CommandError):
    """The database holds something else than the revision wants, and only a person can choose."""


class MissingParent(SchemaConflict):
    """The table (or the column to alter) that the revision builds on is not there."""


class UnsafeOperation(CommandError):
    """The change would lose rows, or cannot be made in the way this ``env.py`` runs revisions."""


class OfflineUnsupported(CommandError):
    """The verb has no form that a ``--sql`` script could guard on this server."""


class Irreversible(CommandError):
    """The revision says of itself that it cannot be taken back."""


# ---------------------------------------------------------------------------------- questions
# True or False on the revision's own connection; never an error for a table that is missing.
# Offline (``--sql``) there is no database to ask: OfflineUnsupported.


def table_exists(table_name: str, schema: str | None = None) -> bool:
    """Tell whether the table is there (a view is not a table).

    A table of this session alone (``CREATE TEMPORARY TABLE``) counts on PostgreSQL, where it hides
    one of its name from questions and verbs alike.  Elsewhere questions are about tables that last,
    and a verb refuses, where the server lets it see, what a temporary one would get in its place.
    """
    return _has_table(_online("table_exists"), table_name, schema)


def table_has_column(table_name: str, column_name: str, schema: str | None = None) -> bool:
    """Tell whether the table has a column of exactly this name, by the server's folding rules."""
    database = _online("table_has_column")
    return _ask(database, "column", table_name, column_name, schema) is not None


def table_has_index(table_name: str, index_name: str, schema: str | None = None) -> bool:
    """Tell whether the table has this index, usable: an INVALID one on PostgreSQL is not there.

    The index behind a constraint is not an index, except on MariaDB and MySQL, where a unique
    constraint *is* a unique index and nothing tells them apart
    (https://mariadb.com/kb/en/getting-started-with-indexes/#unique-index).
    """
    database = _online("table_has_index")
    found = _index(database, table_name, _shortened(index_name, database.dialect), schema) or {}
    usable = bool(found) and not {"invalid", "constraint"} & found.keys()
    return usable and _on(database, found, table_name)


def table_has_constraint(
    table_name: str, constraint_name: str, type_: str | None = None, schema: str | None = None
) -> bool:
    """Tell whether the table has this constraint.

    :param type_: ``"unique"``, ``"check"``, ``"foreignkey"``, ``"primary"``, or None for any.
    """
    database = _online("table_has_constraint")
    likely = type_ if type_ != "primary" else None
    name = _shortened(constraint_name, database.dialect)
    found = _constraint_type(database, table_name, name, schema, likely)
    return found is not None and type_ in (None, found)


def view_exists(view_name: str, schema: str | None = None) -> bool:
    """Tell whether the view is there (a table is not a view)."""
    return _ask(_online("view_exists"), "view", view_name, view_name, schema) is not None


def enum_exists(enum_name: str, schema: str | None = None) -> bool:
    """Tell whether PostgreSQL has this enum type; False on servers that have no named enums."""
    database = _online("enum_exists")
    return (
        "enum" not in database.server.lacks
        and _enum_labels(database, enum_name, schema) is not None
    )


# ------------------------------------------------------------------------------ verbs: tables


def create_table(
    table_name: str, *columns: sa.schema.SchemaItem, if_not_exists: bool | None = None, **kw: Any
) -> sa.Table:
    """Create the table with its indexes, or confirm that it is there as wanted.

    There already: each wanted column, key and constraint is compared, and indexes that are missing
    are made.  What the table has beyond that is no conflict, because a revision that is run again
    has added to it meanwhile; but a column without which no row can be inserted is.

    :raises SchemaConflict: a table of that name is there with another definition.
    :raises MissingParent: a foreign key leads to a table that is not there; not on SQLite, where it
        may come later (https://www.sqlite.org/foreignkeys.html#fk_schemacommands).
    """
    table: sa.Table = _guarded().create_table(
        table_name, *columns, if_not_exists=if_not_exists, **kw
    )
    return table


def drop_table(
    table_name: str, *, schema: str | None = None, if_exists: bool | None = None, **kw: Any
) -> None:
    """Drop the table, or skip when it is not there.

    :raises UnsafeOperation: on SQLite with ``foreign_keys=ON``, rows of another table reference
        this one: SQLite would delete them too, where the other servers refuse
        (https://www.sqlite.org/foreignkeys.html#fk_schemacommands).
    """
    _guarded().drop_table(table_name, schema=schema, if_exists=if_exists, **kw)


def rename_table(old_table_name: str, new_table_name: str, *, schema: str | None = None) -> None:
    """Rename the table, or skip when only the new name is there.

    :raises SchemaConflict: both names are there, or neither.
    """
    _guarded().rename_table(old_table_name, new_table_name, schema=schema)


def create_table_comment(
    table_name: str,
    comment: str | None,
    *,
    existing_comment: str | None = None,
    schema: str | None = None,
) -> None:
    """Give the table this comment, or skip when it has it; nothing on SQLite, which has none.

    :param existing_comment: need not be given: the database is asked.
    :raises MissingParent: the table is not there.
    """
    _guarded().create_table_comment(
        table_name, comment, existing_comment=existing_comment, schema=schema
    )


def drop_table_comment(
    table_name: str, *, existing_comment: str | None = None, schema: str | None = None
) -> None:
    """Take the comment off the table, or skip when it has none or is not there."""
    _guarded().drop_table_comment(table_name, existing_comment=existing_comment, schema=schema)


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
    """Alter one table: each operation of the block is the verb of its name, run when it ends.

    As in Alembic nothing happens if the block raises.  A table that SQLite must rebuild is rebuilt
    from its own text by the verb that needs it, so it need not be described or reflected:
    ``reflect_args`` and ``reflect_kwargs`` change nothing.  What follows counts where Alembic
    would build the table anew: for the operations of the block on SQLite, or with
    ``recreate="always"`` on any server.

    :param partial_reordering: the order of columns, which SQLite alone can change.
    :param copy_from: on SQLite, unnamed unique and foreign keys that it lacks are dropped, which
        otherwise takes a ``naming_convention``.  The rest of it changes nothing.
    :param table_args: constraints and indexes to add, unless they are there.
    :param table_kwargs: on SQLite, ``sqlite_autoincrement`` and the like.
    :param naming_convention: on SQLite, the names by which unnamed constraints can be dropped
        (https://alembic.sqlalchemy.org/en/latest/batch.html#dropping-unnamed-or-named-foreign-keys).
    :raises: what the verbs raise, before the operation that it is about.
    """
    batch = _BatchOperations(_database(), table_name, schema)
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
    """Add the column, or confirm that it is there with the same definition.

    Type, nullability, server default, computed, identity, and a comment that is given, are
    compared, but for what the same function of the revision alters later.  Its keys, checks and
    indexes are verbs of their own: each is made or confirmed.

    ``postgresql_concurrently=True`` makes its keys, checks and indexes as their verbs do; other
    servers ignore it.

    :raises SchemaConflict: a column of that name is there with another definition.
    :raises MissingParent: the table is not there.
    :raises UnsafeOperation: concurrently, its default calls a function: where it differs from row
        to row (``gen_random_uuid()``), PostgreSQL rewrites the whole table while nobody can use it.
    """
    flags: dict[str, Any] = {
        "if_not_exists": if_not_exists,
        "inline_references": inline_references,
        "inline_primary_key": inline_primary_key,
    }
    flags |= {"postgresql_concurrently": True} if postgresql_concurrently else {}
    _guarded().invoke(ops.AddColumnOp(table_name, column, schema=schema, **flags))


def drop_column(table_name: str, column_name: str, *, schema: str | None = None, **kw: Any) -> None:
    """Drop the column, or skip when it or its table is not there.

    The indexes and constraints that use the column go with it, as on PostgreSQL; MariaDB takes the
    column out of an index.

    :raises UnsafeOperation: on SQLite, a view or trigger still uses the column.
    """
    _guarded().drop_column(table_name, column_name, schema=schema, **kw)


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
    """Change what differs from the wanted definition, or skip when nothing does.

    The ``existing_*`` parameters need not be given: the database is asked.  A rename is a step of
    its own: old name only, act; new name only, skip.

    With ``nullable=False``, PostgreSQL reads the whole table while nobody else can.
    ``postgresql_concurrently=True`` has a check read it before, beside readers and writers; it is
    dropped in the end.  What the revision did before is committed.  Other servers ignore it.

    :raises MissingParent: the table or the column is not there.
    :raises SchemaConflict: rename with both names there, or neither.
    :raises UnsafeOperation: concurrently, some rows are NULL.
    """
    _guarded().alter_column(
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
    """Create the index, or confirm that it is there with the same definition.

    ``postgresql_concurrently=True`` opens the autocommit block itself, which commits what the
    revision did before; other servers ignore it.  An INVALID index that a failed build left is
    dropped and built again, and validity is checked before returning
    (https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).

    :raises SchemaConflict: an index of that name is there over something else.
    :raises MissingParent: the table is not there.
    """
    _guarded().create_index(
        index_name,
        table_name,
        list(columns),
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
    """Drop the index, or skip when it is not there.

    The index behind a constraint is skipped: ``drop_constraint`` is its verb.
    ``postgresql_concurrently=True`` as in :func:`create_index`.
    """
    _guarded().drop_index(index_name, table_name, schema=schema, if_exists=if_exists, **kw)


# ------------------------------------------------------------------------- verbs: constraints


def create_unique_constraint(
    constraint_name: str | None,
    table_name: str,
    columns: Sequence[str],
    *,
    schema: str | None = None,
    **kw: Any,
) -> None:
    """Create the unique constraint, or confirm that it is there over the same columns.

    ``postgresql_concurrently=True`` makes it of an index that is built as in :func:`create_index`,
    so that writers go on meanwhile; other servers ignore it.

    :raises SchemaConflict: a constraint of that name is there over other columns.
    :raises MissingParent: the table is not there.
    """
    _guarded().create_unique_constraint(constraint_name, table_name, columns, schema=schema, **kw)


def create_check_constraint(
    constraint_name: str | None,
    table_name: str,
    condition: str | sa.ColumnElement[bool] | sa.TextClause,
    *,
    schema: str | None = None,
    **kw: Any,
) -> None:
    """Create the check, or confirm that it is there with the same condition.

    ``postgresql_concurrently=True`` adds it ``NOT VALID``, commits, and then validates it, which
    blocks neither readers nor writers; other servers ignore it.

    :raises SchemaConflict: a constraint of that name is there with another condition.
    :raises MissingParent: the table is not there.
    """
    _guarded().create_check_constraint(constraint_name, table_name, condition, schema=schema, **kw)


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
    """Create the foreign key, or confirm that it is there with the same target and actions.

    ``postgresql_concurrently=True`` as in :func:`create_check_constraint`: both tables can be
    written to while their rows are compared.

    :raises SchemaConflict: a constraint of that name is there, and differs.
    :raises MissingParent: the table or its referent is not there.
    """
    _guarded().create_foreign_key(
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

    :raises SchemaConflict: the table has a primary key over other columns.
    :raises MissingParent: the table is not there.
    """
    _guarded().create_primary_key(constraint_name, table_name, columns, schema=schema)


def create_exclude_constraint(
    constraint_name: str, table_name: str, *elements: Any, **kw: Any
) -> sa.Table | None:
    """Create PostgreSQL's exclusion constraint, or confirm that it is there as wanted.

    :param elements: pairs of a column or an SQL expression, and an operator.
    :raises SchemaConflict: a constraint of that name is there, and differs.
    :raises MissingParent: the table is not there.
    :raises UnsafeOperation: another server, which has no such constraint
        (https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-EXCLUDE).
    """
    create: Any = getattr(_guarded(), "create_exclude_constraint")  # noqa: B009
    made: sa.Table | None = create(constraint_name, table_name, *elements, **kw)
    return made


def drop_constraint(
    constraint_name: str,
    table_name: str,
    type_: str | None = None,
    *,
    schema: str | None = None,
    if_exists: bool | None = None,
) -> None:
    """Drop the constraint, or skip when it or its table is not there.

    :param type_: ``"unique"``, ``"check"``, ``"foreignkey"`` or ``"primary"``: only a constraint of
        that type is dropped.  Not needed on any server.
    """
    _guarded().drop_constraint(
        constraint_name, table_name, type_, schema=schema, if_exists=if_exists
    )


def validate_constraint(
    constraint_name: str, table_name: str, *, schema: str | None = None
) -> None:
    """Check the rows that a ``NOT VALID`` constraint of PostgreSQL has not seen yet.

    Skipped when it is valid; nothing on other servers, whose constraints are valid from the start.
    It blocks neither reads nor writes
    (https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).

    :raises MissingParent: the constraint or its table is not there.
    """
    step = _step_without_table(
        _guarded(), "validate_constraint", "constraint", constraint_name, schema
    )
    step.table = table_name
    _ensure(step)


# --------------------------------------------------------------------- verbs: views and enums


def create_view(view_name: str, definition: str, *, schema: str | None = None) -> None:
    """Create the view from its SELECT, or confirm that it is there.

    SQLite and PostgreSQL compare the SELECT; MariaDB and MySQL keep it in words of their own, so
    there it is compared by name, and the log line says so.

    :raises SchemaConflict: a view of that name is there with another SELECT.
    """
    _ensure(_step_without_table(_guarded(), "create_view", "view", view_name, schema, definition))


def replace_view(view_name: str, definition: str, *, schema: str | None = None) -> None:
    """Give the view this SELECT, whatever it had; create it when it is not there.

    Skipped when the SELECT is the same; MariaDB and MySQL, which keep it in words of their own, are
    told it each time.  Where PostgreSQL refuses to replace a view because its columns change, the
    view is dropped and made anew, and its privileges with it.

    :raises UnsafeOperation: on PostgreSQL, the columns change and other views use the view
        (https://www.postgresql.org/docs/current/sql-createview.html).
    """
    _ensure(_step_without_table(_guarded(), "replace_view", "view", view_name, schema, definition))


def drop_view(view_name: str, *, schema: str | None = None) -> None:
    """Drop the view, or skip when it is not there."""
    _ensure(_step_without_table(_guarded(), "drop_view", "view", view_name, schema))


def create_enum(enum_name: str, values: Sequence[str], *, schema: str | None = None) -> None:
    """Create PostgreSQL's enum type, or confirm that it has the same values in the same order.

    Nothing on other servers, where an enum belongs to its column; the log line says so.

    :raises SchemaConflict: a type of that name is there with other values.
    """
    _ensure(_step_without_table(_guarded(), "create_enum", "enum", enum_name, schema, list(values)))


def add_enum_value(
    enum_name: str,
    value: str,
    *,
    before: str | None = None,
    after: str | None = None,
    schema: str | None = None,
) -> None:
    """Add a value to PostgreSQL's enum type, or confirm that it is there; nothing elsewhere.

    It can be used later in the same revision: what the revision did before is committed, because
    the server wants a value committed before its use
    (https://www.postgresql.org/docs/current/sql-altertype.html#id-1.9.3.42.7).  In a transaction
    that ``env.py`` began nothing is committed, and the value is of use after that.

    :param before, after: the value beside which it goes, one of them; at the end by default.
    :raises SchemaConflict: the value is there, on the wrong side of ``before`` or ``after``.
    :raises MissingParent: the type, or the value beside which it goes, is not there.
    """
    wanted = (value, before, after)
    _ensure(_step_without_table(_guarded(), "add_enum_value", "enum", enum_name, schema, wanted))


def rename_enum_value(
    enum_name: str, old_value: str, new_value: str, *, schema: str | None = None
) -> None:
    """Rename a value of PostgreSQL's enum type, or skip when only the new one is there.

    :raises SchemaConflict: both values are there, or neither.
    :raises MissingParent: the type is not there.
    """
    wanted = (old_value, new_value)
    _ensure(_step_without_table(_guarded(), "rename_enum_value", "enum", enum_name, schema, wanted))


def drop_enum(enum_name: str, *, schema: str | None = None) -> None:
    """Drop PostgreSQL's enum type, or skip when it is not there; nothing on other servers."""
    _ensure(_step_without_table(_guarded(), "drop_enum", "enum", enum_name, schema))


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
    """Update the rows that ``where`` finds, page by page, each page committed by itself.

    A page is a range of the primary key, and no row stays locked longer than its page takes: pages
    grow up to ``batch_size`` rows, and shrink where one takes more than a tenth of a second.
    A page whose rows somebody else has locked is tried again for some twenty seconds.
    ``where`` must exclude what is done, so that a run that was killed goes on where it stopped, and
    no row is done twice; this is tried out on one row, and undone, before anything is changed::

        helpers.backfill("bills", {"cents": sa.text("amount * 100")}, where="cents IS NULL")

    What the revision did before is committed first.  Rows that come meanwhile are updated where
    their key is still ahead; so let the application (or a default) fill them from before on.  A bar
    on a terminal, and elsewhere a log line every few seconds, say how far it is.  Skipped when
    ``where`` finds no row.  Offline: one plain ``UPDATE``.

    :param values: a value, or an SQL expression (``sa.text`` and the like), for each column.
    :param where: as in :func:`execute`, a string is SQL in which ``:name`` is a parameter.
    :param batch_size: the rows that a page has at most, those that ``where`` excludes included.
    :param pause: seconds to wait after each page, for replicas and for other writers.
    :raises MissingParent: the table is not there.
    :raises UnsafeOperation: ``where`` or a value is not given, or ``where`` does not exclude what
        is done; there is no primary key to go by, or it would be changed; ``env.py`` began the
        transaction.
    """
    step = _Step(_guarded(), None, "backfill", "table", None, table, schema)
    _backfill(step, values, where=where, batch_size=batch_size, pause=pause)


def bulk_insert(
    table: sa.Table | sa.TableClause,
    rows: list[dict[str, Any]],
    *,
    multiinsert: bool = True,
    key: Sequence[str] | None = None,
) -> None:
    """Insert the rows; with ``key``, those alone whose key is not in the table yet.

    Without ``key`` this is Alembic's own.  With it, a row whose key is there is left as it is,
    whatever its other columns hold, and of two rows with one key the first counts.  Keys are equal
    where the server says ``=``, by the column's collation; and NULL is NULL::

        helpers.bulk_insert(kinds, [{"code": "a", "name": "one"}], key=["code"])

    Two sessions may look at the same time: only a unique constraint keeps both from inserting.
    Offline: an ``INSERT`` for each row, which looks first, with the values written into it.

    :param multiinsert: as in Alembic; with ``key``, a row that holds SQL goes by itself anyway.
    :param key: names of columns of ``table`` that each row has.
    :raises MissingParent: the table, or a column of the key, is not there.
    :raises CommandError: a column of the key is not in ``table`` or in one of the rows.
    """
    if key is None:
        alembic.op.bulk_insert(table, rows, multiinsert=multiinsert)
    else:
        keys = [key] if isinstance(key, str) else list(key)
        wanted = _rows_to_insert(table, rows, keys)
        sql = (v for row in wanted for v in row.values() if isinstance(v, sa.ClauseElement))
        _need_values(f"bulk_insert({table.name!r}, ..., key={keys!r})", *sql)
        step = _Step(_guarded(), None, "bulk_insert", "table", None, table.name, table.schema)
        _insert_missing(step, table, wanted, keys, multiinsert)


def execute(
    sqltext: sa.Executable | str,
    *,
    execution_options: dict[str, Any] | None = None,
    unless: sa.Executable | str | None = None,
    once: str | None = None,
) -> None:
    r"""Run SQL; with ``unless``, only when that query returns no row; with ``once``, exactly once.

    Without them this is Alembic's own.  In a string, here and in ``unless``, ``:name`` is a
    parameter, as in ``sa.text``: write ``\:name`` for a colon that is none; ``%`` and ``::`` are
    what they are (https://docs.sqlalchemy.org/en/20/core/sqlelement.html#sqlalchemy.sql.expression.text)::

        helpers.execute(
            "UPDATE bills SET paid = 0 WHERE paid IS NULL",
            unless="SELECT 1 FROM bills WHERE paid IS NOT NULL",
        )

    Where no query can tell, ``once`` does: a mark of this name is written in the same commit as the
    rows, so that a revision that is run again after a crash skips what it has done.  Marks are in
    ``alembic_version_once``, a table beside the version table that is there while such a revision
    is unfinished: with the revision's number they go, so that it runs whole after a downgrade::

        helpers.execute("UPDATE bills SET amount = amount * 100", once="cents")

    On MariaDB and MySQL the first mark makes the table, which commits what came before: begin with
    the steps that have one.

    Offline the script asks where it is run: in a ``DO`` block on PostgreSQL, for what MariaDB and
    MySQL can ``PREPARE``, and on SQLite, by a temporary trigger, for an INSERT, UPDATE, DELETE or
    REPLACE.

    :param once: a name that no other step of the revision has, of 200 characters at most; not
        together with ``unless``.
    :raises OfflineUnsupported: on SQLite, for any other statement with ``unless`` or ``once``.
    :raises UnsafeOperation: with ``once``, on MariaDB and MySQL, what commits by itself.
    """
    options = execution_options
    if unless is None and once is None:
        _forget()
        _need_values(f"execute({brief(sqltext)!r})", sqltext)
        return alembic.op.execute(sqltext, execution_options=options)
    step = _step_without_table(_guarded(), "execute", "statement", once, None)
    _execute(step, sqltext, unless=unless, once=once, options=options)


def execute_file(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> None:
    """Run a file of SQL, statement by statement, each exactly as it is written.

    ``%``, ``:name`` and ``?`` are nothing special.  Bodies of triggers, procedures and functions,
    dollar quotes and ``DELIMITER`` are understood as the server at hand writes them; what cannot be
    is refused before anything is run: an end that is missing, ``COPY ... FROM stdin``, commands of
    ``psql``, ``sqlite3`` and ``mariadb``, and ``BEGIN``, ``COMMIT`` and ``ROLLBACK``, because the
    transaction is Alembic's.  (Savepoints are fine, and so are ``SET`` and ``LOCK TABLES``, which
    dumps are full of; but what they set stays set for the rest of the ``alembic`` command.)

    The file runs whole each time: nothing is looked at, so write ``IF NOT EXISTS`` and the like in
    it, or ask first::

        if not helpers.table_exists("countries"):
            helpers.execute_file("countries.sql")

    Offline the statements are written into the script as they are.

    :param path: taken from where the revision's file is, unless it is absolute.
    :raises CommandError: there is no such file; it cannot be taken apart; or a statement fails: the
        message names its line.  Where DDL is transactional nothing of the file is kept.
    """
    _execute_file(
        _step_without_table(_guarded(), "execute_file", "file", str(path), None), path, encoding
    )


def irreversible(why: str) -> NoReturn:
    """Refuse to take the revision back, and change nothing: the body of its ``downgrade()``::

        def downgrade() -> None:
            helpers.irreversible("the old passwords were not kept")

    Offline the same: no script is written.

    :raises Irreversible: always; the message names the revision and the ways to go on.
    """
    _refuse_irreversible(why)


# --------------------------------------------------------------------- what Alembic says as well
# Passed on as they are, with their signatures, so that ``import alembic_helpers as op`` has them.

_T = TypeVar("_T")


def get_bind() -> sa.Connection:
    """Return the revision's connection; offline Alembic's stand-in, which runs nothing."""
    bind: sa.Connection = alembic.op.get_bind()
    _forget()
    return bind


def get_context() -> MigrationContext:
    """Return the ``MigrationContext`` of the running revision: ``autocommit_block``, ``as_sql``."""
    _forget()
    return _context()


def f(name: str) -> Any:
    """Mark a name as final, so that no naming convention is applied to it."""
    return alembic.op.f(name)


def inline_literal(value: str | int, type_: Any = None) -> Any:
    """Return a value that is written into the SQL itself, for scripts."""
    return alembic.op.inline_literal(value, type_=type_)


def run_async(async_function: Callable[..., Awaitable[_T]], *args: Any, **kw_args: Any) -> _T:
    """Run an async function with the revision's ``AsyncConnection``, where ``env.py`` has one."""
    _forget()
    return alembic.op.run_async(async_function, *args, **kw_args)


def register_operation(name: str, sourcename: str | None = None) -> Any:
    """Register an operation of a project's own, which then is an attribute of this module, too."""
    return alembic.op.register_operation(name, sourcename)


def implementation_for(op_cls: Any, replace: bool = False) -> Any:
    """Register what carries out an operation of a project's own, or one of Alembic's."""
    return alembic.op.implementation_for(op_cls, replace=replace)


def invoke(operation: ops.MigrateOperation) -> Any:
    """Run one of Alembic's operation objects as the verb that it stands for.

    Operations that are no verb of this module (a project's own, ``ops.ExecuteSQLOp``) run as they
    are (https://alembic.sqlalchemy.org/en/latest/api/operations.html#operation-plugins).
    """
    return _guarded().invoke(operation)


if not TYPE_CHECKING:  # or a misspelt verb would pass the type checker

    def __getattr__(name: str) -> Any:
        """Return an operation that a plugin added to ``alembic.op``, as it is."""
        if name.startswith("_") or not hasattr(alembic.op, name):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with suppress(AttributeError, NameError):  # outside of a revision
            _forget()
        return getattr(alembic.op, name)


# ------------------------------------------------------------------------- the one mechanism


def _pass_on(operations: Any, operation: Any) -> Any:
    """Run what is no verb as Alembic does."""
    _forget()
    if isinstance(operation, ops.ExecuteSQLOp):
        _need_values(f"execute({brief(operation.sqltext)!r})", operation.sqltext)
    return Operations(operations.migration_context).invoke(operation)


def _guarded(batch: _Batch | None = None) -> _Guarded:
    return _Guarded(_context(), _database(), batch)


class _BatchPlace:
    """What Alembic's batch operations ask: which table."""

    def __init__(self, table_name: str, schema: str | None, impl: Any) -> None:
        self.table_name, self.schema, self.impl = table_name, schema, impl

    def __getattr__(self, name: str) -> Any:
        return getattr(self.impl, name)


class _BatchOperations(BatchOperations):
    """Alembic's batch operations, kept until the block ends; SQL runs at once, as in Alembic."""

    def __init__(self, database: _Database, table_name: str, schema: str | None) -> None:
        context = _context()
        make: Any = super().__init__
        make(context, _BatchPlace(table_name, schema, context.impl))
        self.database, self.table_name, self.schema = database, table_name, schema
        self.queue: list[ops.MigrateOperation] = []

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if isinstance(operation, ops.DropConstraintOp):
            _step(_guarded(), operation)  # one without a name is refused before all of the block
        if _is_verb(operation):
            return self.queue.append(operation)
        return _pass_on(self, operation)

    def run(
        self,
        *,
        recreate: str,
        partial_reordering: Sequence[Sequence[str]],
        copy_from: sa.Table | None,
        table_args: tuple[Any, ...],
        options: dict[str, Any],
        naming_convention: dict[str, str] | None,
    ) -> None:
        """Run the verbs of the block, and what the batch itself asks for."""
        counts = bool(table_args or partial_reordering or options) or copy_from is not None
        rebuilds = counts and self._rebuilds(recreate)
        batch = _Batch(
            naming_convention,
            makes_key=any(isinstance(o, ops.CreatePrimaryKeyOp) for o in self.queue),
            drops=frozenset(o.column_name for o in self.queue if isinstance(o, ops.DropColumnOp)),
        )
        guarded = _guarded(batch)
        step = _Step(
            guarded,
            ops.AlterTableOp(self.table_name, schema=self.schema),
            "batch_alter_table",
            "table",
            None,
            self.table_name,
            self.schema,
        )
        can = step.server.batch
        if can is not None and rebuilds and copy_from is not None and not step.offline:
            can.drop_uncopied(step, copy_from)
        restore = _indexes_to_restore(guarded, self.queue)
        for operation in [*self.queue, *(self._added(table_args) if rebuilds else [])]:
            guarded.invoke(operation)
        restore()
        if rebuilds and (partial_reordering or options):
            if can is None:
                return _decide("skip", step, "this server cannot change the order of columns")
            can.reshape(step, partial_reordering, options)

    def _rebuilds(self, recreate: str) -> bool:
        """Tell whether Alembic would rebuild the table: only then do a batch's options count."""
        context = self.migration_context
        table = (self.table_name, self.schema)
        make: Any = BatchOperationsImpl  # which Alembic left without types
        batch = make(Operations(context), *table, recreate, None, (), {}, (), {}, None, ())
        for operation in self.queue:
            if isinstance(operation, ops.AddColumnOp):
                # Alembic puts it into a table, and a column of a table is copied without its keys
                operation = ops.AddColumnOp(operation.table_name, operation.column._copy())
            BatchOperations(context, batch).invoke(operation)
        return bool(batch._should_recreate())

    def _added(self, table_args: tuple[Any, ...]) -> list[ops.MigrateOperation]:
        """Return the operations that add a batch's ``table_args``."""
        names = {
            c for arg in table_args for c in getattr(arg, "_pending_colargs", ()) if c is not None
        }
        columns = {str(getattr(name, "name", name)) for name in names}
        # Alembic's own maker of tables also makes those that foreign keys lead to
        table = self.schema_obj.table(
            self.table_name,
            *(sa.Column(name, sa.types.NullType()) for name in sorted(columns)),
            *table_args,
            schema=self.schema,
        )
        keyless = {
            c
            for c in table.constraints
            if not (list(getattr(c, "columns", ())) or hasattr(c, "sqltext"))
        }
        wanted = _by_name(table.constraints - keyless)
        made: list[ops.MigrateOperation] = [ops.AddConstraintOp.from_constraint(c) for c in wanted]
        return made + [ops.CreateIndexOp.from_index(index) for index in _by_name(table.indexes)]


def _indexes_to_restore(
    guarded: _Entrance, queue: Sequence[ops.MigrateOperation]
) -> Callable[[], None]:
    """Return what makes the indexes again that a batch's new column of an old name shall have."""
    can = guarded.database.server.batch
    if can is None or guarded.migration_context.as_sql:
        return lambda: None
    dropped = {o.column_name: o for o in queue if isinstance(o, ops.DropColumnOp)}
    again = [o.column.name for o in queue if isinstance(o, ops.AddColumnOp)]
    steps = [_step(guarded, dropped[name]) for name in again if name in dropped]
    actions = [can.index_keeper(step) for step in steps]

    def restore() -> None:
        for action in actions:
            action()

    return restore


def _database() -> _Database:
    """Return the revision's connection with its server.

    :raises CommandError: the server is not one of those that are known.
    """
    connection = _connection()
    return _Database(connection, _server_of(connection.dialect.name))


def _online(verb: str) -> _Database:
    """Return the revision's database, or refuse: a script has none to look at."""
    database = _database()
    if _context().as_sql:
        _unsupported(
            database,
            verb,
            "it asks the database, and a --sql script has none",
            "alembic upgrade head  # without --sql; or say the step as a verb, which guards itself",
        )
    return database


def _context() -> MigrationContext:
    return alembic.op.get_context()


def _connection() -> sa.Connection:
    """Return the revision's connection; offline, Alembic's stand-in, which knows the dialect."""
    connection: sa.Connection | None = alembic.op.get_bind()
    assert connection is not None
    return connection


_MADE = "alembic_helpers: tables of this transaction"  # under which it is in Connection.info


def _forget() -> None:
    """Forget what is known of the transaction: after other SQL nobody can tell."""
    if not _context().as_sql:
        _connection().info.pop(_MADE, None)


# ... offline: what a --sql script gets


def _unsupported(database: _Database, call: str, why: str, *way: str) -> NoReturn:
    """Refuse what a script cannot say, naming the revision; nothing was written of it."""
    code = "\n".join(f"    {line}" for line in way)
    raise OfflineUnsupported(
        f"{call}: there is no --sql form of this for {database.server.name}{_in_revision()}.\n"
        f"Stopped, because {why}.\nThe way on:\n{code}"
    )


def _in_revision() -> str:
    """Name the revision whose function is running."""
    names = _revision()
    return f", in revision {names['revision']} ({names.get('__file__', '?')})" if names else ""


def _refuse_irreversible(why: str) -> NoReturn:
    revision = _revision()
    below = revision.get("down_revision") or "base"
    target = below if isinstance(below, str) else " ".join(below)
    raise Irreversible(
        f"irreversible({why!r}): there is no way back{_in_revision()}.\n"
        f"Stopped, because {why}.  Nothing was changed.\n"
        "The way on:\n"
        "    # restore the backup that was made before this revision; or, where its changes may\n"
        "    # stay, or were taken back by hand:\n"
        f"    alembic stamp {target}"
    )


def _revision() -> dict[str, Any]:
    """Return the globals of the running revision: Alembic keeps it nowhere, its module does."""
    return next((frame.f_globals for frame in _revision_frames()), {})


def _revision_frames() -> Iterator[FrameType]:
    """Yield the running functions of the revision, innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        if "revision" in frame.f_globals and "down_revision" in frame.f_globals:
            yield frame
        frame = frame.f_back


_Question = tuple[str, str, str, str | None]
"""What is asked of the catalog, of which table, by which name, in which schema."""

_Constraint = tuple[str | None, str, str]
"""A constraint's name, its type as Alembic calls it, and its definition."""

Definition = dict[str, str]
"""What the server says of one thing: property -> text, e.g. ``{"type": "bigint", "null": ""}``."""


@dataclass(frozen=True)
class _ForeignKeys:
    """What of a foreign key a server keeps, and how it writes it."""

    stay_in_schema: bool = False  # a key never leaves its database
    referents_first: bool = True  # the table that a key refers to must be there
    default_actions: frozenset[str] = frozenset({"NO ACTION"})
    are_deferrable: bool = True
    match_full: bool = False
    hidden_schema: Callable[[_Database, str, str], str | None] | None = None


@dataclass(frozen=True)
class _Concurrently:
    """How a server does things in steps that block nobody, each committed."""

    finish: Callable[[_Step, Definition], Definition]  # what a killed run began
    drop_leftover: Callable[[_Step], None]
    is_for_undivided: Callable[[_Step], bool]  # it cannot be done so to a partitioned table
    require_undivided: Callable[[_Step, list[str | None] | None], None]


@dataclass(frozen=True)
class _Paging:
    """How the primary keys of a server divide a table into pages."""

    unpaged: re.Pattern[str] = re.compile(r"(?!)")  # types by whose order no page can be found
    as_text: re.Pattern[str] = re.compile(r"(?!)")  # types that the driver cannot always read
    reads_as_text: bool = False  # whether there are any
    compares_rows: bool = True  # reads a range of the key where rows are compared
    keys_may_be_null: bool = False
    prepare: Callable[[_Database], None] | None = None


@dataclass(frozen=True)
class _Rebuilding:
    """What a batch can ask of a server that rebuilds its tables."""

    reshape: Callable[[_Step, Sequence[Sequence[str]], dict[str, Any]], None]
    drop_uncopied: Callable[[_Step, sa.Table], None]
    index_keeper: Callable[[_Step], Callable[[], None]]


@dataclass(frozen=True, kw_only=True)
class _Server:
    """All that the verbs know of one server: facts, and what it does in its own way."""

    name: str
    # Names and texts
    mark: str = '"'  # around an identifier
    longest_name: int | None = None  # bytes; what is longer is cut without a word
    folds_case: bool = True  # two names that differ in their case are one
    primary_key_name: str | None = None  # of every primary key, where none can be chosen
    literal: Callable[[str, sa.Dialect], str] = lambda text, dialect: literal(text)
    bytes_literal: str = "X'{}'"
    syntax: Callable[[sa.Dialect], Syntax] = lambda dialect: SQLITE
    normal_forms: bool = False  # describes in one form what means the same
    canonical_types: Mapping[str, str] = field(
        default_factory=dict
    )  # a compiled plain type -> its name
    counts_up: str | None = None  # the default of a column that alter_column can have count up
    foreign_keys: _ForeignKeys = _ForeignKeys()
    # What it has
    lacks: frozenset[str] = frozenset()  # kinds
    replaces_key: bool = False  # a batch's new primary key takes the place of an unnamed one
    commits: re.Pattern[str] | None = None  # the statements that commit what came before
    begin: str = "BEGIN"
    needs_cast: bool = False  # of the rows, to be told, when a type changes
    # Looking
    questions: Mapping[str, str] = field(default_factory=dict)
    ask: Callable[[_Database, Sequence[_Question]], list[Any]]
    placeholders: Callable[[_Database, _Question], dict[str, str]]
    columns: Callable[[_Database, str, str | None], dict[str, Definition]]
    column: Callable[[_Database, str, str, str | None], Definition | None] | None = None
    constraints: Callable[[_Database, str, str | None], list[_Constraint]]
    conventional: Callable[[_Step], str | None] | None = None  # finds one by a naming convention
    index: Callable[[_Database, str | None, str, str | None], Definition | None]
    index_defined: Callable[[_Database, Definition], Definition] = lambda database, found: found
    index_text: Callable[[_Step], str]
    view_select: Callable[[str], str] = lambda text: text
    is_hidden: Callable[[_Step], bool] | None = None  # by a temporary table
    # Comparing
    scratch_schema: str | None = None
    undoes_scratch: bool = False  # a savepoint takes back what was made
    drops_temporary: bool = False  # a plain DROP would commit
    temporary_views: bool = True
    table_defaults: Callable[[_Step], dict[str, Any]] = lambda step: {}
    # Acting
    verbs: Mapping[str, Callable[[_Step], Any]] = field(default_factory=dict)  # looked at, and done
    acts: Mapping[str, Callable[[_Step], Any]] = field(
        default_factory=dict
    )  # when there is need to
    statements: Mapping[str, Callable[[_Step], str]] = field(default_factory=dict)
    concurrently: _Concurrently | None = None
    paging: _Paging = _Paging()
    batch: _Rebuilding | None = None
    # Writing scripts
    if_exists: frozenset[str] = frozenset()  # verbs whose grammar has IF [NOT] EXISTS
    scripts: Mapping[str, Callable[[_Step], Any]] = field(default_factory=dict)
    write_if: Callable[[_Step, str, str], None] | None = None
    write_unless: Callable[[_Step, str, str], None]
    write_both_if: Callable[[_Step, str, str, str], None] | None = None
    write_statement: Callable[[_Step, Statement], None] | None = None


@dataclass(frozen=True)
class _Database:
    """The revision's connection, and the server behind it."""

    connection: sa.Connection
    server: _Server

    @property
    def dialect(self) -> sa.Dialect:
        return self.connection.dialect

    @property
    def autocommits(self) -> bool:
        return bool(getattr(self.connection.connection.dbapi_connection, "autocommit", False))

    @property
    def in_transaction(self) -> bool:
        """Tell whether the driver is in a transaction, whoever began it."""
        driver = self.connection.connection.driver_connection
        return bool(getattr(driver, "in_transaction", False))

    def run(self, sql: str, parameters: Any = None) -> Any:
        """Run SQL as it is: without parameters no ``:name`` and no ``%`` in it is one."""
        if parameters is not None:
            return self.connection.exec_driver_sql(sql, parameters)
        return self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def fetch(self, sql: str) -> tuple[Sequence[Any], list[str]]:
        """Return rows and the names of their columns, read through the driver itself.

        SQLAlchemy's way to them takes longer than most looks.  It tells whatever fails.
        """
        if not self.connection.in_transaction():  # which SQLAlchemy has to begin
            result = self.run(sql)
            return result.all(), list(result.keys())
        error: Any = self.dialect.loaded_dbapi.Error
        with closing(self.connection.connection.cursor()) as cursor:
            try:
                cursor.execute(sql)
            except error as raised:
                lost = self.dialect.is_disconnect(raised, self.connection.connection, cursor)
                raise sa.exc.DBAPIError.instance(
                    sql, None, raised, error, connection_invalidated=lost, dialect=self.dialect
                ) from raised
            return cursor.fetchall(), [column[0] for column in cursor.description]

    def forget(self) -> None:
        """Forget what is known of the transaction: after other SQL nobody can tell."""
        self.connection.info.pop(_MADE, None)

    def literal(self, text: str) -> str:
        return self.server.literal(text, self.dialect)

    def quoted(self, name: str, schema: str | None = None) -> str:
        """Quote a name for SQL that is run as it is: SQLAlchemy would double a ``%``."""
        return identifier(self.server.mark, schema, name)

    def quoted_if_needed(self, name: str | None) -> str | None:
        """Quote a name that is not one word."""
        return name if name is None or re.fullmatch(r"\w+", name) else self.quoted(name)

    def truncated(self, name: str) -> str:
        """Return the name as the server keeps it."""
        if self.server.longest_name is None:
            return name
        return name.encode()[: self.server.longest_name].decode(errors="ignore")

    def case_folded(self, name: str | None) -> str:
        """Return the name so that two names of one thing are equal."""
        return str(name).lower() if self.server.folds_case else self.truncated(str(name))


@dataclass
class _Batch:
    """What a batch does besides: its verbs must know it."""

    naming_convention: dict[str, str] | None = None
    makes_key: bool = False  # a primary key that the batch goes on to make
    frees_key: bool = False  # the one that is there, for which it dropped that
    drops: frozenset[str] = frozenset()  # columns


class _Entrance(Operations):
    """Alembic's operations on a database that is known; what it is given is guarded."""

    def __init__(
        self, context: MigrationContext, database: _Database, batch: _Batch | None = None
    ) -> None:
        super().__init__(context)
        self.database = database
        self.batch = batch or _Batch()


@dataclass
class _Step:
    """One verb, about one thing in the database."""

    operations: _Entrance
    operation: Any
    verb: str
    kind: str
    name: str | None
    table: str
    schema: str | None
    wanted: Any = None
    is_invalid: bool = False  # an index that must be dropped before it is made
    found: Definition | None = None  # what is to be dropped
    concurrently: bool = False  # on PostgreSQL: in steps that block nobody, each committed

    def __post_init__(self) -> None:
        self.database: _Database = self.operations.database
        self.server: _Server = self.database.server
        self.context: Any = self.operations.migration_context
        self.batch: _Batch = self.operations.batch

    @property
    def offline(self) -> bool:
        return bool(self.context.as_sql)

    @property
    def call(self) -> str:
        if not self.table or self.kind in ("table", "comment"):
            return f"{self.verb}({self.name or self.table!r}{'' if self.table else ', ...'})"
        first, second = (
            (self.table, self.name) if self.kind == "column" else (self.name, self.table)
        )
        return f"{self.verb}({first!r}, {second!r})"

    def write(self, sql: str) -> None:
        """Write one statement into the script."""
        self.context.impl.static_output(f"{sql};")

    def write_if(self, condition: str, sql: str) -> None:
        """Write one statement that the server runs only where the condition holds.

        :param condition: an SQL expression that names no table that may be missing.
        :param sql: one statement without its semicolon.
        """
        assert self.server.write_if is not None, f"{self.server.name} has no conditions"
        self.server.write_if(self, condition, sql)


class _Guarded(_Entrance):
    """Alembic's operations, each of which looks before it acts."""

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if not _is_verb(operation):
            return _pass_on(self, operation)
        return _ensure(_step(self, operation))


_SIMPLE = {  # operation -> verb, kind, the attribute that names the thing
    ops.DropTableOp: ("drop_table", "table", "table_name"),
    ops.RenameTableOp: ("rename_table", "table", "new_table_name"),
    ops.DropColumnOp: ("drop_column", "column", "column_name"),
    ops.AlterColumnOp: ("alter_column", "column", "column_name"),
    ops.DropIndexOp: ("drop_index", "index", "index_name"),
    ops.CreateTableCommentOp: ("create_table_comment", "comment", "table_name"),
    ops.DropTableCommentOp: ("drop_table_comment", "comment", "table_name"),
}
_CONSTRAINT_KINDS: dict[Any, tuple[str, str]] = {
    ops.CreateUniqueConstraintOp: ("create_unique_constraint", "unique"),
    ops.CreateCheckConstraintOp: ("create_check_constraint", "check"),
    ops.CreateForeignKeyOp: ("create_foreign_key", "foreignkey"),
    ops.CreatePrimaryKeyOp: ("create_primary_key", "primary"),
    CreateExcludeConstraintOp: ("create_exclude_constraint", "exclude"),
}
_OTHER_VERBS = (ops.CreateTableOp, ops.AddColumnOp, ops.CreateIndexOp, ops.DropConstraintOp)


_VERBS = {*_SIMPLE, *_CONSTRAINT_KINDS, *_OTHER_VERBS}


def _is_verb(operation: Any) -> bool:
    """Tell whether an operation is guarded; a table with prefixes (TEMPORARY) is made as it is."""
    return type(operation) in _VERBS and not getattr(operation, "kw", {}).get("prefixes")


def _step(operations: _Entrance, operation: Any) -> _Step:
    """Say what one of Alembic's operations is about."""
    on, schema = getattr(operation, "table_name", None) or "", getattr(operation, "schema", None)
    operation, concurrently = _concurrently(_with_texts(operation))
    dialect = operations.database.dialect
    _keep_colons(*_texts_of_operation(operation))

    def step(verb: str, kind: str, name: Any, wanted: Any = None) -> _Step:
        _shorten_names(wanted, dialect)
        _keep_colons(*_texts_of_table(getattr(wanted, "table", wanted)))
        made = _Step(
            operations, operation, verb, kind, _shortened(name, dialect), on, schema, wanted
        )
        made.concurrently = concurrently
        return made

    context, objects = operations.migration_context, operations.schema_obj
    if type(operation) in _SIMPLE:
        verb, kind, attribute = _SIMPLE[type(operation)]
        return step(verb, kind, getattr(operation, attribute))
    if type(operation) in _CONSTRAINT_KINDS:
        constraint = operation.to_constraint(context)
        on, schema = constraint.table.name, constraint.table.schema
        return step(*_CONSTRAINT_KINDS[type(operation)], constraint.name, constraint)
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
            return dropped if dropped.name else _refuse_nameless(dropped)
    raise AssertionError(f"{type(operation).__name__} is no verb")


class _Nameless(UnsafeOperation, ValueError):
    """Alembic raises a ValueError for SQLite, which some revisions catch."""


def _refuse_nameless(step: _Step) -> _Step:
    """Refuse to drop a constraint without a name: to skip it would leave it there unsaid."""
    type_ = step.operation.constraint_type
    if type_ == "primary" and step.server.primary_key_name is not None:
        return step
    code = f"drop_constraint('uq_{step.table}_...', "
    convention = "naming_convention={'uq': 'uq_%(table_name)s_%(column_0_name)s'}"
    _stop(
        _Nameless,
        f"{step.call}: cannot drop a constraint without a name.",
        ("not looked at", f"a {type_ or 'constraint'} without a name to be gone"),
        "Stopped, because nothing says which of the table's constraints is meant.",
        f"helpers.{code}{step.table!r}, type_={type_!r})  # by its name",
        "# where it was made without one, on SQLite:",
        f"with helpers.batch_alter_table({step.table!r}, {convention}) as batch:",
        f"    batch.{code}type_={type_!r})",
    )


def _concurrently(operation: Any) -> tuple[Any, bool]:
    """Take the keyword out of an operation of which SQLAlchemy would refuse it."""
    kw = getattr(operation, "kw", None) or {}
    if "postgresql_concurrently" not in kw or isinstance(operation, _OF_INDEXES):
        return operation, False
    operation = copy.copy(operation)
    operation.kw = {k: v for k, v in kw.items() if k != "postgresql_concurrently"}
    return operation, bool(kw["postgresql_concurrently"])


def _with_texts(operation: Any) -> Any:
    """Return the operation with the conditions that it has as strings in the form of SQL."""
    kw = getattr(operation, "kw", None) or {}
    strings = {k: sa.text(v) for k, v in kw.items() if k.endswith("_where") and isinstance(v, str)}
    where = getattr(operation, "where", None)
    if not strings and not isinstance(where, str):
        return operation
    operation = copy.copy(operation)
    operation.kw = {**kw, **strings}
    if isinstance(where, str):
        operation.where = sa.text(where)
    return operation


def _texts_of_operation(operation: Any) -> Iterator[Any]:
    kw = getattr(operation, "kw", None) or {}
    yield from (value for key, value in kw.items() if key.endswith("_where"))
    yield from getattr(operation, "columns", None) or ()
    yield from (expression for expression, _ in getattr(operation, "elements", None) or ())
    yield getattr(operation, "where", None)
    for attribute in ("modify_server_default", "existing_server_default"):
        yield _sql_of(getattr(operation, attribute, None))


def _texts_of_table(table: Any) -> Iterator[Any]:
    if not isinstance(table, sa.Table):
        return
    for column in table.columns:
        yield from map(_sql_of, (column.server_default, column.server_onupdate))
    yield from (getattr(constraint, "sqltext", None) for constraint in table.constraints)
    things: list[Any] = [*table.constraints, *table.indexes]
    for thing in things:
        yield from getattr(thing, "expressions", ())
        yield from (v for key, v in thing.dialect_kwargs.items() if key.endswith("_where"))
        if isinstance(thing, ExcludeConstraint):
            yield from (thing.where, *(expression for expression, *_ in thing._render_exprs))


def _sql_of(default: Any) -> Any:
    """Return the SQL of a default, or of a column that is computed."""
    return getattr(default, "sqltext", getattr(default, "arg", default))


def _texts(*things: Any) -> Iterator[sa.TextClause]:
    """Yield what of some SQL was given as text."""
    for thing in things:
        if isinstance(thing, sa.ClauseElement):
            yield from (t for t in sa.sql.visitors.iterate(thing) if isinstance(t, sa.TextClause))


def _without_value(text: sa.TextClause) -> list[str]:
    return [name for name, value in text._bindparams.items() if getattr(value, "required", False)]


def _keep_colons(*things: Any) -> None:
    """Have ``:name`` in the SQL of DDL mean itself: SQLAlchemy would write NULL in its place.

    DDL has no parameters, and a check that says ``kind <> ':b'`` means it.
    """
    for text in _texts(*things):
        kept: dict[str, Any] = {n: sa.literal_column(f":{n}") for n in _without_value(text)}
        text._bindparams = text._bindparams | kept if kept else text._bindparams


def _need_values(call: str, *things: Any) -> None:
    """Refuse a parameter without a value, for which a script would say NULL."""
    given = (sa.text(thing) if isinstance(thing, str) else thing for thing in things)
    for text in _texts(*given):
        for name in _without_value(text):
            raise CommandError(
                f"{call}: :{name} is a parameter, and has no value.\n"
                f"  statement:       {brief(text)}\n"
                "Stopped before anything was run, because nobody knows what to write there.\n"
                "The way on:\n"
                f"    r'... \\:{name} ...'  # for a colon that begins no parameter; or a value:\n"
                f"    sa.text('... :{name} ...').bindparams({name}=...)"
            )


_OF_INDEXES = (ops.CreateIndexOp, ops.DropIndexOp)  # which know it


def _shorten_names(wanted: Any, dialect: sa.Dialect) -> None:
    """Give the constraints and indexes of a wanted thing's table the names that are written."""
    table = getattr(wanted, "table", wanted)
    named: Any
    for named in [*table.constraints, *table.indexes] if isinstance(table, sa.Table) else ():
        named.name = _shortened(named.name, dialect)


def _shortened(name: Any, dialect: sa.Dialect) -> Any:
    """Return the name that SQLAlchemy writes for a long one of a convention, or of ``f()``.

    https://docs.sqlalchemy.org/en/20/core/constraints.html#configuring-a-naming-convention-for-a-metadata-collection
    """
    if not isinstance(name, sa.schema.conv):
        return name
    preparer = dialect.identifier_preparer
    written = preparer.truncate_and_render_constraint_name(name, _alembic_quote=False)
    return sa.schema.conv(written)


def _step_without_table(
    operations: _Entrance,
    verb: str,
    kind: str,
    name: str | None,
    schema: str | None,
    wanted: Any = None,
) -> _Step:
    """Say what a verb is about that Alembic has no operation for, and that has no table."""
    return _Step(operations, None, verb, kind, name, "", schema, wanted)


def _script(step: _Step) -> Any:
    """Write the step into the script, so that the server skips what is done already."""
    if step.kind in step.server.lacks:
        return _decide("skip", step, f"this server has no {step.kind}s of this sort")
    step.server.scripts.get(step.verb, _script_guarded)(step)
    return step.wanted if step.kind == "table" else None


def _script_guarded(step: _Step) -> None:
    """Write what Alembic would write: with IF [NOT] EXISTS where there is such, else wrapped."""
    if step.verb in step.server.if_exists:
        _write_native(step)
    elif step.server.write_if is None:
        _unsupported(
            step.database,
            step.call,
            "SQLite has no IF [NOT] EXISTS for it, so it could not be run twice",
            "alembic upgrade head  # without --sql, on the database itself",
        )
    else:
        condition = _there(step) if step.verb.startswith("drop") else f"NOT {_there(step)}"
        for sql in _plain_sql(step):
            step.write_if(condition, sql)
    if step.kind in ("table", "column") and step.wanted is not None:
        for part in _parts(step, created=False):
            _script(part)


def _write_native(step: _Step) -> None:
    for sql in _native_sql(step):
        is_type = sql.startswith(("CREATE TYPE", "CREATE DOMAIN"))
        _write_new_type(step, sql) if is_type else step.write(sql)


def _native_sql(step: _Step) -> list[str]:
    """Return the statements of a verb that the server can guard by itself."""
    operation = step.operation = copy.copy(step.operation)
    flag = "if_exists" if step.verb.startswith("drop") else "if_not_exists"
    if operation is not None:
        setattr(operation, flag, True)
    statements = _plain_sql(step)
    if step.verb in ("drop_column", "drop_constraint"):
        return [sql.replace("ALTER TABLE ", "ALTER TABLE IF EXISTS ", 1) for sql in statements]
    return statements


def _plain_sql(step: _Step) -> list[str]:
    """Return the statements that Alembic would write, without their semicolons."""
    sql = _statement_of(step)
    if sql is not None:
        return [sql]
    return _written_by(step, lambda: _ACTS.get(step.verb, _invoke)(step))


def _written_by(step: _Step, act: Callable[[], Any]) -> list[str]:
    """Return the statements that Alembic writes meanwhile, and keep them out of the script."""
    impl = step.context.impl
    buffer, impl.output_buffer = impl.output_buffer, _Statements()
    try:
        act()
        written: _Statements = impl.output_buffer
    finally:
        impl.output_buffer = buffer
    return [_unescaped_percent(sql, step.database.dialect) for sql in written]


class _Statements(list[str]):
    """What Alembic writes, statement by statement."""

    def write(self, text: str) -> None:
        self.append(text.strip().removesuffix(";"))

    def flush(self) -> None:
        """Do nothing: a list is written at once."""


def _write_new_type(step: _Step, sql: str) -> None:
    """Write the CREATE TYPE that goes before a table, unless the type is there."""
    match = re.match(r"CREATE (?:TYPE|DOMAIN) (.+?) AS ", sql)
    assert match is not None
    step.write_if(f"to_regtype({postgresql_literal(match[1])}) IS NULL", sql)


def _there(step: _Step, name: str | None = None, what: str | None = None) -> str:
    """Return an SQL condition: the thing that the step is about is there.

    It asks what an online run asks, of the same catalog.
    """
    what = what or step.kind
    name = step.name if name is None else name
    if what in _CONSTRAINED:
        return _constraint_there(step, what, name)
    catalog = step.server.questions
    sql = catalog.get(what, catalog["table"])
    return _exists(step, sql, step.table or str(name), str(name))


def _exists(step: _Step, sql: str, table: str, name: str) -> str:
    """Return a question of the catalog as a condition, with its values written into it."""
    return f"EXISTS ({_asked(step, sql, table, name)})"


def _asked(step: _Step, sql: str, table: str, name: str) -> str:
    return _placed(step.database, sql, ("script", table, name, step.schema))


_CONSTRAINED = {"constraint", "unique", "check", "foreignkey", "primary", "exclude"}


def _constraint_there(step: _Step, kind: str, name: str | None) -> str:
    """Return the condition for a constraint: by its name, or by what it says without one."""
    catalog = step.server.questions
    if kind == "primary":
        return _exists(step, catalog["primary"], step.table, "")
    if name is not None:
        typed = "" if kind == "constraint" else catalog["of type"].format(_TYPE_CODES[kind])
        return _exists(step, catalog["constraint"] + typed, step.table, name)
    columns = [column.name for column in getattr(step.wanted, "columns", ())]
    if kind not in ("unique", "foreignkey"):
        _unsupported(
            step.database,
            step.call,
            "without a name nobody can tell whether it is there",
            f"helpers.{step.verb}('ck_{step.table}_...', ...)  # name it",
        )
    sql = catalog["unnamed"].replace("{type}", _TYPE_CODES[kind].replace(" ", "_")[:1].lower())
    sql = sql.replace("{kind}", _TYPE_CODES[kind])
    return _exists(step, sql, step.table, ",".join(str(column) for column in columns))


_TYPE_CODES = {"unique": "UNIQUE", "check": "CHECK", "foreignkey": "FOREIGN KEY"}
_TYPE_CODES |= {"primary": "PRIMARY KEY", "exclude": "EXCLUDE"}


def _script_rename(step: _Step) -> None:
    """Write a rename: only the new name there, skip; both or neither, the server's own error."""
    old = _there(step, step.table, "renamable")
    renamed = copy.copy(step)
    renamed.table = str(step.name)
    new = _there(renamed, str(step.name), "relation")
    for sql in _plain_sql(step):
        step.write_if(f"{old} OR NOT {new}", sql)


def _script_comment(step: _Step) -> None:
    """Write a comment, which can be said twice; one on a table that may be gone, with a guard."""
    for sql in _plain_sql(step):
        if step.verb == "drop_table_comment":
            step.write_if(_there(step, step.table, "table"), sql)
        else:
            step.write(sql)


def _script_alter_column(step: _Step) -> None:
    """Write an ALTER, which can be said twice; a rename with its guard, and before the rest."""
    operation = step.operation
    new_name = operation.modify_name
    if new_name is not None and new_name != step.name:
        old, new = _there(step), _there(step, new_name)
        step.write_if(f"{old} OR NOT {new}", _rename_column_sql(step, new_name))
        step = copy.copy(step)
        operation = step.operation = copy.copy(operation)
        step.name = operation.column_name = new_name
        operation.modify_name = None
        if not operation.has_changes():
            return
    type_, existing = operation.modify_type, operation.existing_type
    added = _bound_checks(step, type_)
    gone = _bound_checks(step, existing if type_ is not None else None)
    for check in gone:
        if str(check.name) not in {str(new.name) for new in added}:
            _script(_step(step.operations, check.operation.reverse()))
    step.server.scripts.get("alter_type", _write_altered)(_without_checks(step))
    for check in added:
        _script(check)


def _without_checks(step: _Step) -> _Step:
    """Return the step with types that bring no check along: those are steps of their own."""
    step = copy.copy(step)
    operation = step.operation = copy.copy(step.operation)
    database = step.database
    for attribute in ("modify_type", "existing_type"):
        type_ = getattr(operation, attribute)
        if type_ is not None and _bound_checks(step, type_):
            setattr(operation, attribute, _verbatim(database, _type_text(type_, database.dialect)))
    return step


def _write_altered(step: _Step) -> None:
    for sql in _plain_sql(step):
        step.write(sql)


def _rename_column_sql(step: _Step, new_name: str) -> str:
    database = step.database
    table = database.quoted(step.table, step.schema)
    old, new = database.quoted(str(step.name)), database.quoted(new_name)
    return f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}"


_TABLELESS = {"table", "view", "enum"}


def _ensure(step: _Step) -> Any:
    """Look, compare, then act, skip or refuse; offline, write what does so on the server."""
    if step.concurrently and step.server.concurrently is not None:
        _need_names(step)
    if step.offline:
        return _script(step)
    if step.verb not in ("create_table", "create_index"):
        step.database.forget()
    prefix = step.verb.split("_")[0]
    if step.kind == "enum" and "enum" in step.server.lacks:
        return _decide("skip", step, "this server has no named enums")
    own = step.server.verbs.get(step.verb, _OWN_WAY.get(step.verb))
    if own is not None:
        return own(step)
    act = {"create": _create, "add": _create, "drop": _drop, "alter": _alter, "rename": _rename}
    try:
        return act[prefix](step)
    except MissingParent:
        name = _renamed_later(step)
        if name is None:
            raise
        _decide(
            "skip", step, f"table {step.table} is {name} already, as this revision has it later"
        )


def _need_names(step: _Step) -> None:
    """Refuse what is done in steps without a name: run again, nobody could tell whose it is."""
    parts = _parts(step, created=False) if step.verb == "add_column" else []
    unnamed = [one for one in (step, *parts) if one.name is None and one.kind in _CONSTRAINED]
    if unnamed:
        _stop(
            UnsafeOperation,
            f"{step.call}: cannot do this concurrently without a name.",
            (f"a {unnamed[0].kind} without a name", "a name, by which to find it half done"),
            "Stopped, because after a crash nobody could tell whose constraint that is.",
            f"{unnamed[0].verb}('{step.table}_...', ...)  # name it, or leave out"
            " postgresql_concurrently",
        )


def _renamed_later(step: _Step) -> str | None:
    """Return the name that the running revision gives the table further down, if it is there."""
    for call in _calls_in_revision("rename_table", below=True):
        given = {str(keyword.arg): keyword.value for keyword in call.keywords}
        named = dict(zip(("old_table_name", "new_table_name"), call.args, strict=False)) | given
        nodes = [named.get(name) for name in ("old_table_name", "new_table_name")]
        old, new = (node.value if isinstance(node, ast.Constant) else None for node in nodes)
        if old == step.table and new and not _has_table(step.database, old, step.schema):
            return str(new) if _has_table(step.database, str(new), step.schema) else None
    return None


def _create(step: _Step) -> Any:
    parts = _parts(step, created=False)
    asked = [[*_parents(one), *_divided(one), *_likely(one)] for one in (step, *parts)]
    own, *others = _ask_each(step.database, asked)
    _need_tables(step, _parents(step), own)
    found = None if _likely(step) and own[-1] is None else _FIND[step.kind](step)
    if found is None:
        if step.kind == "view" or (step.kind == "index" and own[-1] is not None):
            _need_free_name(step)
        for part, answers in zip(parts, others, strict=True):
            _foresee(part, answers)
        for one, answers in zip((step, *parts), (own, *others), strict=True):
            if _divided(one) and step.server.concurrently is not None:
                step.server.concurrently.require_undivided(one, answers[len(_parents(one))])
        _decide("apply", step, "not there")
        result = _act(step)
    else:
        if step.concurrently and step.server.concurrently is not None:
            found = step.server.concurrently.finish(step, found)
        _confirm(step, found)
        result = step.wanted if step.kind == "table" else None
    for part in _parts(step, created=found is None):
        _ensure(part)
    return result


def _foresee(part: _Step, answers: list[Any]) -> None:
    """Refuse, before anything is changed, what a part of a new thing would refuse after it."""
    _need_tables(part, _parents(part)[1:], answers[1:])  # the first is made with the part
    is_absent = not part.name or (_likely(part) and answers[-1] is None)
    found = None if is_absent else _FIND[part.kind](part)
    if found is not None:
        _conflict(part, found, _spelled(part), ["definition"])


def _divided(step: _Step) -> list[_Question]:
    """Return the question for the partitions of a table that must not have any."""
    server = step.server.concurrently
    is_asked = server is not None and server.is_for_undivided(step)
    return [("partitions", step.table, step.table, step.schema)] if is_asked else []


def _parents(step: _Step) -> list[_Question]:
    """Return the questions for the tables that must be there: the first one is the step's own."""
    what = "indexable" if step.kind == "index" else "table"
    own = [] if step.kind in _TABLELESS else [(what, step.table, step.table, step.schema)]
    return own + [("table", key.name, key.name, key.schema) for key in _referents(step)]


def _likely(step: _Step) -> list[_Question]:
    """Return the question without which there is no need to look further, where there is one.

    An answer of None means that there is no such thing; any other, that it is worth a closer look.
    """
    what = step.kind
    if step.kind in ("table", "column"):
        name = str(step.name if step.kind == "column" else step.table)
        what = "relation" if step.verb == "create_table" else what
    elif step.kind == "primary":
        what, name = "primary", ""
    elif step.verb == "drop_constraint":
        is_key = step.operation.constraint_type == "primary"
        own = step.server.primary_key_name if is_key else None
        what, name = "constraint types", own or str(step.name)
    elif step.kind in ("view", "enum") or not (step.name and step.table):
        return []  # one look finds them
    else:
        what, name = "named index" if step.kind == "index" else "constraint", str(step.name)
    return [(what, step.table, name, step.schema)] if what in step.server.questions else []


def _confirm(step: _Step, found: Definition) -> None:
    """Log that what is there is what is wanted, or refuse."""
    wanted = _WANT[step.kind](step)
    if wanted is None:
        return _decide("skip", step, "already there, compared by name")
    differing = _diff(step.server, found, wanted)
    later = set(differing) & _altered_later(step) if differing and step.kind == "column" else set()
    differing = [key for key in differing if key not in later]
    extra = [key for key in found if key.startswith("column ") and key not in wanted]
    needed = [key for key in extra if _must_be_given(found[key])]
    if differing or needed:
        _conflict(step, found, wanted, differing + needed)
    more = f"; it also has {', '.join(extra)}" if extra else ""
    more += f" but {', '.join(sorted(later))}, which this revision alters later" if later else ""
    _decide("skip", step, f"already there, same definition{more}")


_ALTERED = {"nullable": {"null"}, "type_": {"type"}, "comment": {"comment"}}
_ALTERED |= {"server_default": {"default", "computed", "identity"}}


def _altered_later(step: _Step) -> set[str]:
    """Return the properties of a column that the running revision alters, by its source.

    It adds a column, fills it and makes it NOT NULL: run again, it finds the column as its own last
    step left it.  What that step sets is compared there.
    """
    properties: set[str] = set()
    for call in _calls_in_revision("alter_column"):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        named = [*call.args, *(given[k] for k in ("table_name", "column_name") if k in given)]
        names = [node.value if isinstance(node, ast.Constant) else None for node in named[:2]]
        wanted = [step.table, step.name][-len(names) :]  # a batch names no table
        if names and all(name in (None, want) for name, want in zip(names, wanted, strict=True)):
            properties |= {p for k in given.keys() & _ALTERED.keys() for p in _ALTERED[str(k)]}
    return properties


def _calls_in_revision(verb: str, below: bool = False) -> Iterator[ast.Call]:
    """Find the calls of a verb in the revision's functions that are running, or in what is left."""
    for frame in _revision_frames():
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(frame.f_code)))
        except (OSError, SyntaxError, TypeError):  # no source, or a string that is dedented wrongly
            continue
        line = frame.f_lineno - frame.f_code.co_firstlineno + 1 if below else 0
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.lineno > line:
                called = getattr(node.func, "attr", getattr(node.func, "id", None))
                if called == verb:
                    yield node


def _parts(step: _Step, created: bool) -> list[_Step]:
    """Return what belongs to a thing but is made by statements of its own, each to be ensured.

    Where each DDL statement commits, a crash can come between any two of them.
    """
    parts: list[ops.MigrateOperation] = []
    if step.kind == "table" and not created:
        parts = [ops.CreateIndexOp.from_index(index) for index in _by_name(step.wanted.indexes)]
    if step.kind == "column":
        table = step.wanted.table
        constraints = table.constraints - {table.primary_key}
        for constraint in sorted(constraints, key=lambda c: (c.__visit_name__, str(c.name))):
            rule: Any = getattr(constraint, "_create_rule", None)
            if rule is None or rule(step.operations.impl):
                parts.append(ops.AddConstraintOp.from_constraint(constraint))
        parts += [ops.CreateIndexOp.from_index(index) for index in _by_name(table.indexes)]
    for part in parts if step.concurrently else ():
        part.kw = {**part.kw, "postgresql_concurrently": True}  # type: ignore[attr-defined]
    return [_step(step.operations, part) for part in parts]


def _by_name(things: Iterable[Any]) -> list[Any]:
    return sorted(things, key=lambda thing: str(thing.name))


def _drop(step: _Step) -> Any:
    asked = [] if step.kind in _NAMED_ALONE else _likely(step)
    looks_first = not asked and step.kind not in _NAMED_ALONE
    missing = looks_first and not _has_table(step.database, step.table, step.schema)
    found = None if missing else _to_drop(step, asked)
    if found is None:
        if step.kind == "table":
            _refuse_hidden(step)
        missing = missing or step.kind == "table"
        missing = missing or (
            bool(asked) and not _has_table(step.database, step.table, step.schema)
        )
        return _decide("skip", step, f"table {step.table} is not there" if missing else "not there")
    if "constraint" in found:
        return _decide("skip", step, f"belongs to constraint {found['constraint']}")
    _decide("apply", step, "there")
    step.found = found
    _act(step)


_NAMED_ALONE = {"index", "view", "enum"}  # one look finds them, without their table


def _to_drop(step: _Step, asked: list[_Question]) -> Definition | None:
    """Return what is to be dropped, as far as the answer tells: what is there has a table."""
    if not asked:
        return _FIND[step.kind](step)
    table = [("table", step.table, step.table, step.schema)] if step.kind == "column" else []
    answer, *has_table = _ask_all(step.database, [*asked, *table])  # a view has columns, too
    if answer is not None:
        _need_tables(step, table, has_table)
    if step.kind == "constraint":
        return _of_type(step, _type_among(answer, step.operation.constraint_type))
    return None if answer is None else {}


def _replace_view(step: _Step) -> None:
    found = _find_view(step)
    wanted = _want_view(step) if found is not None else None
    if found is not None and wanted is not None and not _diff(step.server, found, wanted):
        return _decide("skip", step, "already there, same definition")
    if found is None:
        _need_free_name(step)
    _decide("apply", step, "not there" if found is None else f"was {_describe(found)}")
    _act(step)


def _add_label(step: _Step) -> None:
    value, before, after = step.wanted
    labels = _need_labels(step, [beside for beside in (before, after) if beside])
    if value in labels:
        there = labels.index(value)
        late = before is not None and there > labels.index(before)
        early = after is not None and there < labels.index(after)
        if late or early:
            _stop(
                SchemaConflict,
                f"{step.call}: the value {value!r} is there, at another place.",
                (", ".join(labels), f"{value} {'before' if late else 'after'} {before or after}"),
                "Stopped, because the order of the values is what ORDER BY and < go by.",
                _label_aside(step, value),
            )
        return _decide("skip", step, f"{value!r} is there")
    _decide("apply", step, f"{value!r} was not there")
    held = getattr(step.operations.migration_context, "_in_external_transaction", False)
    block: Any = nullcontext if held else partial(_outside_transaction, step)
    with block():
        _act(step)


def _label_aside(step: _Step, value: str) -> str:
    """Return code that puts a value out of the way of the one that is wanted."""
    names = f"{step.name!r}, {value!r}, {value + '_old'!r}{_schema_code(step.schema)}"
    return f"helpers.rename_enum_value({names})  # and see to the rows that hold it"


def _rename_label(step: _Step) -> None:
    labels = _need_labels(step, [])
    old, new = step.wanted
    if (old in labels) == (new in labels):
        both = old in labels
        _stop(
            SchemaConflict,
            f"{step.call}: cannot rename {old!r} to {new!r}.",
            (", ".join(labels), f"{old!r} only (to rename), or {new!r} only (renamed already)"),
            "Stopped, because rows may hold either of them."
            if both
            else "Stopped, because there is nothing to rename.",
            _label_aside(step, new)
            if both
            else f"helpers.add_enum_value({step.name!r}, {new!r})  # instead of this line",
        )
    if new in labels:
        return _decide("skip", step, f"is {new!r} already")
    _decide("apply", step, f"{old!r} becomes {new!r}")
    _act(step)


def _need_labels(step: _Step, wanted: list[str]) -> list[str]:
    """Return the values of an enum type, which must be there, with the wanted ones."""
    labels = _enum_labels(step.database, str(step.name), step.schema)
    if labels is None or set(wanted) - set(labels):
        _stop(
            MissingParent,
            f"{step.call}: there is no such type, or value.",
            (", ".join(labels or []) or "no type of this name", ", ".join(wanted) or "the type"),
            "Stopped, because there is nothing to build on.",
            f"helpers.create_enum({step.name!r}, [...])  # before this line",
        )
    return labels


def _postgresql_validate_verb(step: _Step) -> None:
    _need_table(step, step.table, step.schema)
    found = {name: text for name, _, text in _constraints(step)}
    name = step.database.truncated(str(step.name))
    if name not in found:
        _stop(
            MissingParent,
            f"{step.call}: there is no such constraint.",
            (", ".join(str(name) for name in found) or "no constraint", name),
            "Stopped, because there is nothing to validate.",
            f"helpers.create_check_constraint({name!r}, {step.table!r}, ...)  # before this line",
        )
    if not found[name].endswith(" NOT VALID"):
        return _decide("skip", step, "valid already")
    _decide("apply", step, "NOT VALID until now")
    _act(step)


def _comment_on_table(step: _Step) -> None:
    """Make the table's comment what is asked for: text, or none."""
    wanted = getattr(step.operation, "comment", None)
    if not step.database.dialect.supports_comments:
        return _decide("skip", step, "this server has no comments")
    table = ("table", step.table, step.table, step.schema)
    comment = ("table comment", step.table, "", step.schema)
    has_table, found = _ask_all(step.database, [table, comment])
    if wanted is None and has_table is None:
        return _decide("skip", step, f"table {step.table} is not there")
    _need_tables(step, [table], [has_table])
    if (found or None) == (wanted or None):
        return _decide("skip", step, "already as wanted")
    _decide("apply", step, f"was {found!r}" if found else "had none")
    _act(step)


def _rename(step: _Step) -> None:
    new_name = str(step.name)
    names = {"renamable": step.table, "relation": new_name}
    old, new = _ask_all(step.database, [(what, n, n, step.schema) for what, n in names.items()])
    sort = _ask(step.database, "sort", step.table, "", step.schema) if old is new is None else None
    if sort is not None:
        _no_table(step, step.table, step.schema, sort)
    if _renames(step, old, new, step.table, new_name):
        _decide("apply", step, "only the old name is there")
        _act(step)
    else:
        _decide("skip", step, "only the new name is there")


def _renames(step: _Step, old: Any, new: Any, old_name: str, new_name: str) -> bool:
    """Tell whether a rename is still to be done; both names or neither is a conflict.

    :param old, new: what is there by either name, as the server spells it; None when nothing is.
    """
    if old is None or new is None:
        if old != new:
            return old is not None
    elif old == new:  # one thing, by a server that does not look at the case
        return bool(new != new_name)
    is_view = (
        bool(old)
        and step.kind == "table"
        and _ask(step.database, "view", new_name, new_name, step.schema) is not None
    )
    what = "view" if is_view else step.kind
    way = f"helpers.drop_{what}"
    on = "" if step.kind == "table" else f"{step.table!r}, "
    becomes = repr(new_name) if step.kind == "table" else f"new_column_name={new_name!r}"
    _stop(
        SchemaConflict,
        f"{step.verb}({on}{old_name!r}, {becomes}): cannot rename.",
        (
            f"both {old_name!r} and {new_name!r}"
            if old
            else f"neither {old_name!r} nor {new_name!r}",
            f"{old_name!r} only (to rename), or {new_name!r} only (renamed already)",
        ),
        "Stopped, because nobody knows which of the two holds the rows that count."
        if old
        else "Stopped, because there is nothing to rename.",
        f"{way}({on}{new_name!r})  # if the new one is the mistake: look into it first"
        if old
        else f"helpers.{'create_table' if step.kind == 'table' else 'add_column'}"
        f"({on}{new_name!r}, ...)  # or see where the database stands: alembic current",
    )


def _alter(step: _Step) -> None:
    asked = step
    if step.operation.modify_name in (None, step.name) and step.server.column is not None:
        found = _find_column(step)
    else:
        step, found = _renamed(step)
    if step is not asked and not step.operation.has_changes():
        return
    if found is None:
        _no_column(step)
    rest, type_ = _only_differing(step, found), step.operation.modify_type
    for part in _bound_checks(step, step.operation.existing_type if type_ is not None else None):
        if str(part.name) not in {str(new.name) for new in _bound_checks(step, type_)}:
            step.operations.invoke(part.operation.reverse())
    if rest is None:
        _decide("skip", step, "already as wanted")
        if step.concurrently and step.server.concurrently is not None:
            step.server.concurrently.drop_leftover(step)
    else:
        if found.get("of") and _alters_table(rest, found):
            _need_table(step, step.table, step.schema)
        step.operation = rest
        if step.operation.existing_type is not None and type_ is not None:
            step.operation.existing_type = _verbatim(step.database, found["type"])
        _decide("apply", step, f"was {_describe(found)}")
        _act(step)
    for part in _bound_checks(step, type_):
        _replace_check(part)


def _alters_table(operation: ops.AlterColumnOp, found: Definition) -> bool:
    """Tell whether only a table can be altered so: a view of PostgreSQL can have a default."""
    is_given = operation.modify_server_default is not False and found["of"] != "of a view"
    return is_given or operation.modify_type is not None or operation.modify_nullable is not None


def _renamed(step: _Step) -> tuple[_Step, Definition | None]:
    """Do the rename that is asked for, and return the step that is left and its column."""
    operation = step.operation
    is_plain = operation.modify_type is None and operation.modify_nullable is None
    table = ("renamable" if is_plain else "table", step.table, step.table, step.schema)
    names = [str(step.name), step.operation.modify_name or str(step.name)]
    columns = [("column", step.table, name, step.schema) for name in names]
    has_table, old, new = _ask_all(step.database, [table, *columns])
    _need_tables(step, [table], [has_table])
    rest = _rename_column(step, old, new)
    return rest, None if rest is step and old is None else _find_column(rest)


def _no_column(step: _Step) -> NoReturn:
    if step.server.column is not None:
        asked = [(what, step.table, "", step.schema) for what in ("sort", "columns")]
        sort, names = _ask_all(step.database, asked)
        if sort != "table":
            _no_table(step, step.table, step.schema, sort)
    else:
        names = ", ".join(_columns(step.database, step.table, step.schema))
    _stop(
        MissingParent,
        f"{step.call}: there is no such column.",
        (names, str(step.name)),
        "Stopped, because there is nothing to alter.",
        f"helpers.add_column({step.table!r}, sa.Column({step.name!r}, ...))  # before this",
    )


def _brings_along(type_: Any) -> bool:
    """Tell whether a type does more to its table than to be a column's: SQLAlchemy tells it so."""
    made: Any = None if type_ is None else sa.types.to_instance(type_)
    kinds = [made, *getattr(made, "_variant_mapping", {}).values()]
    return any(isinstance(kind, SchemaEventTarget) for kind in kinds)


def _bound_checks(step: _Step, type_: Any) -> list[_Step]:
    """Return the named checks that a Boolean or an Enum brings along, on this server."""
    if not _brings_along(type_):
        return []
    objects, impl = step.operations.schema_obj, step.operations.impl
    table = objects.table(step.table, sa.Column(step.name, type_), schema=step.schema)
    checks: list[Any] = [c for c in table.constraints if isinstance(c, sa.CheckConstraint)]
    made = [check for check in checks if check.name and check._create_rule(impl)]
    parts = [ops.AddConstraintOp.from_constraint(check) for check in made]
    return [_step(step.operations, part) for part in parts]


def _replace_check(step: _Step) -> None:
    """Make a check that goes with a type, instead of the one that went with the type before."""
    found = _find_constrained(step)
    wanted = _want_check(step) if found is not None else None
    if found is not None and wanted is not None and _diff(step.server, found, wanted):
        drop = ops.DropConstraintOp(str(step.name), step.table, "check", schema=step.schema)
        step.operations.invoke(drop)
    if found is None or wanted is not None:
        step.operations.invoke(step.operation)


def _rename_column(step: _Step, old: Any, new: Any) -> _Step:
    """Do the rename that an ``alter_column`` asks for, and return the step that is left.

    :param old, new: what is there by either name.
    """
    new_name = step.operation.modify_name
    if new_name is None or new_name == step.name:
        return step
    if _renames(step, old, new, str(step.name), new_name):
        rename = ops.AlterColumnOp(
            step.table, step.operation.column_name, modify_name=new_name, schema=step.schema
        )
        renaming = copy.copy(step)
        renaming.operation = rename
        _decide("apply", step, f"renamed to {new_name}")
        _act(renaming)
    else:
        _decide("skip", step, f"is {new_name} already")
    rest = copy.copy(step)
    rest.name, rest.operation = new_name, copy.copy(step.operation)
    rest.operation.column_name, rest.operation.modify_name = new_name, None
    return rest


def _only_differing(step: _Step, found: Definition) -> ops.AlterColumnOp | None:
    """Return the operation without what the column has already, None when nothing is left."""
    rest: Any = copy.copy(step.operation)
    wanted = _want_altered_column(step, found)
    differing = _diff(step.server, found, wanted)
    if not {"type", "collate"} & set(differing):
        rest.modify_type = None
        rest.kw = {key: value for key, value in rest.kw.items() if key not in _OF_THE_TYPE}
    if "null" not in differing:
        rest.modify_nullable = None
    # with a new type the default is said again, or PostgreSQL keeps it as one of the old type
    if not {"type", "default", "computed", "identity", *_COUNTING} & set(differing):
        rest.modify_server_default = False
    if found.get("identity"):
        rest.existing_server_default = _identity(found)
    if "comment" not in differing:
        rest.modify_comment = False
    return rest if differing or _counts_otherwise(step, found) else None


def _counts_otherwise(step: _Step, found: Definition) -> bool:
    """Tell whether a column is to count up and does not, or not to and does, where it is asked."""
    counts, asked = step.server.counts_up, step.operation.kw.get("autoincrement")
    return None not in (counts, asked) and bool(asked) != (found.get("default") == counts)


def _refuse_hidden(step: _Step) -> None:
    """Refuse to alter a table that a temporary one hides, where the server tells so."""
    if step.server.is_hidden is not None and step.table and step.server.is_hidden(step):
        _hides(step.call, step.table)


def _hides(call: str, table: str) -> NoReturn:
    _stop(
        UnsafeOperation,
        f"{call}: a temporary table hides it.",
        (f"a temporary table {table}, of this session alone", f"table {table}"),
        "Stopped, because what is done to it would be gone with the session.",
        f"helpers.execute('DROP TABLE {table}')  # before this line: it finds the temporary one",
    )


def _act(step: _Step) -> Any:
    """Do it: in the server's own way where it has one, else as Alembic does."""
    _refuse_hidden(step)
    operation = step.operation = copy.copy(step.operation)
    for flag in ("if_exists", "if_not_exists"):  # answered by looking; SQLite has no such grammar
        if getattr(operation, flag, None) is not None:
            setattr(operation, flag, None)
    if step.verb in step.server.acts:
        return step.server.acts[step.verb](step)
    sql = _statement_of(step)
    if sql is not None:
        return step.database.run(sql)
    return _ACTS.get(step.verb, _invoke)(step)


def _statement_of(step: _Step) -> str | None:
    """Return the SQL of a verb that Alembic has no operation for."""
    say = step.server.statements.get(step.verb, _STATEMENTS.get(step.verb))
    return None if say is None else say(step)


def _invoke(step: _Step) -> Any:
    return Operations(step.operations.migration_context).invoke(step.operation)


def _referents(step: _Step) -> list[sa.Table]:
    """Return the tables that must be there for the foreign keys that are to be made."""
    if step.kind == "foreignkey":
        return [step.wanted.elements[0].column.table]
    if step.kind != "table" or not step.server.foreign_keys.referents_first:
        return []
    keys = _by_name(_keys_within(step))
    tables = [key.elements[0].column.table for key in keys]
    return [table for table in tables if table is not step.wanted]


def _keys_within(step: _Step) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys that CREATE TABLE makes: one with ``use_alter`` is left for later.

    https://docs.sqlalchemy.org/en/20/core/constraints.html#creating-dropping-foreign-key-constraints-via-alter
    """
    later = step.database.dialect.supports_alter
    return [k for k in step.wanted.foreign_key_constraints if not (k.use_alter and later)]


def _need_table(step: _Step, table: str, schema: str | None) -> None:
    asked = ("table", table, table, schema)
    _need_tables(step, [asked], _ask_all(step.database, [asked]))


def _need_tables(step: _Step, asked: list[_Question], answers: list[Any]) -> None:
    """Refuse when one of the tables that were asked for is not there."""
    pairs = zip(asked, answers, strict=False)
    missing = next((question for question, answer in pairs if answer is None), None)
    if missing is not None:
        _, table, _, schema = missing
        _no_table(step, table, schema, _ask(step.database, "sort", table, table, schema))


def _no_table(step: _Step, table: str, schema: str | None, sort: str | None) -> NoReturn:
    """Say that there is no such table; or that it is a view, and the like.

    :param sort: what there is of this name, None for nothing.
    """
    name = qualified(table, schema)
    if sort is None:
        _stop(
            MissingParent,
            f"{step.call}: there is no table {table!r}.",
            (f"no table {name}", f"table {name}"),
            "Stopped, because there is nothing to build on.",
            f"helpers.create_table({table!r}, ...)  # before this line; or see: alembic current",
        )
    way = f"helpers.execute('ALTER {sort.upper()} ...')"
    if sort == "view":
        verb = "create" if step.verb == "rename_table" else "replace"
        name_ = str(step.name) if step.verb == "rename_table" else table
        way = f"helpers.{verb}_view({name_!r}, 'SELECT ...'{_schema_code(schema)})"
    _stop(
        MissingParent,
        f"{step.call}: {table!r} is a {sort}, and no table.",
        (f"{sort} {name}", f"table {name}"),
        f"Stopped, because a {sort} cannot be altered so.",
        f"{way}  # instead of this line, or name the table that it is made of",
    )


def _need_free_name(step: _Step) -> None:
    """Refuse to make a table or a view whose name something of another kind has."""
    name = str(step.name or step.table)
    sort = _ask(step.database, "sort", name, name, step.schema)
    if sort in (None, step.kind):
        return
    drop = f"helpers.execute('DROP {sort.upper()} ...')"
    if sort in ("table", "view"):
        drop = f"helpers.drop_{sort}({name!r}{_schema_code(step.schema)})"
    _stop(
        SchemaConflict,
        f"{step.call}: this is the name of a {sort}.",
        (f"{sort} {name}", f"{step.kind} {name}"),
        "Stopped, because only a person knows which of the two is right.",
        "# before this line, if the revision is right:",
        drop,
    )


def _conflict(step: _Step, found: Definition, wanted: Definition, differing: list[str]) -> NoReturn:
    shown: tuple[str, str]
    if step.kind == "table":
        shown = (_describe_parts(found, differing), _describe_parts(wanted, differing))
    else:
        shown = (_describe(found), _describe(wanted))
    _stop(
        SchemaConflict,
        f"{step.call}: the {_TYPES.get(step.kind, step.kind)} is there with another definition.",
        shown,
        "Stopped, because only a person knows which of the two is right.",
        *_way_on(step, found, wanted, differing),
    )


def _way_on(step: _Step, found: Definition, wanted: Definition, differing: list[str]) -> list[str]:
    """Return code that mends a conflict, with the author's own names."""
    schema = _schema_code(step.schema)
    before = "# before this line, if the revision is right:"
    match step.kind:
        case "table":
            lines = [line for key in differing for line in _way_to_part(step, found, key)]
            code = [f"    {_in_schema(step, line)}" for line in lines]
            return [before, f"if helpers.table_exists({step.table!r}{schema}):", *code]
        case "column":
            there = f"if helpers.table_has_column({step.table!r}, {step.name!r}{schema}):"
            return [before, there, f"    {_alter_code(step, wanted, differing)[:-1]}{schema})"]
        case "view":
            return [before, f"helpers.drop_view({step.name!r}{schema})"]
        case "enum":
            return [before, *_way_to_enum(step)]
        case "index":
            verb = "drop_constraint" if "constraint" in found else "drop_index"
            on = found["table"].removeprefix("ON ")
            return [before, f"helpers.{verb}({step.name!r}, {on!r}{schema})"]
    if found["definition"].endswith(" NOT VALID"):
        sql = f'ALTER TABLE "{step.table}" VALIDATE CONSTRAINT "{step.name}"'
        return [before, f"helpers.execute({sql!r})"]
    type_ = "" if step.kind == "exclude" else f", type_={step.kind!r}"  # which Alembic knows not
    what = f"{step.name!r}, {step.table!r}{type_}{schema}"
    return [before, f"helpers.drop_constraint({what})"]


def _schema_code(schema: str | None) -> str:
    return f", schema={schema!r}" if schema else ""


def _in_schema(step: _Step, code: str) -> str:
    """Return a call with the schema of the step's table."""
    source = ", source_" if "create_foreign_key(" in code else ", "
    return f"{code[:-1]}{_schema_code(step.schema).replace(', ', source, 1)})"


def _alter_code(step: _Step, wanted: Definition, differing: list[str]) -> str:
    column: sa.Column[Any] = step.wanted
    changes = [f"type_={_code(column.type)}"] if "type" in differing else []
    changes += [f"nullable={column.nullable}"] if "null" in differing else []
    default = wanted.get("default", "").removeprefix("DEFAULT ")
    changes += [f"server_default={_default_code(default)}"] if "default" in differing else []
    changes += [f"comment={column.comment!r}"] if "comment" in differing else []
    changes += _cast_code(step, column.name, wanted["type"]) if "type" in differing else []
    if {"collate", "computed", "identity", *_COUNTING} & set(differing) or not changes:
        changes = [f"new_column_name={column.name + '_old'!r}"]  # cannot be altered: keep it aside
    return f"helpers.alter_column({', '.join([repr(step.table), repr(column.name), *changes])})"


def _way_to_part(step: _Step, found: Definition, key: str) -> list[str]:
    """Return code that gives a table one column or constraint as it is wanted."""
    kind, _, name = key.partition(" ")
    columns = {step.database.case_folded(c.name): c for c in step.wanted.columns}
    if kind == "column" and step.database.case_folded(name) not in columns:
        return [f"helpers.alter_column({step.table!r}, {name!r}, nullable=True)"]
    if kind == "column":
        part = copy.copy(step)
        part.kind, part.name, part.wanted = "column", name, columns[step.database.case_folded(name)]
        wanted = _want_column(part) or {}
        if key in found:
            there = _column(step.database, step.table, name, step.schema) or {}
            alter = _alter_code(part, wanted, _diff(step.server, there, wanted))
            aside = "new_column_name=" in alter  # what cannot be altered is made anew beside it
            return [alter, _add_code(part, wanted)] if aside else [alter]
        return [_add_code(part, wanted)]
    drop = [f"helpers.drop_constraint({name!r}, {step.table!r})"] if key in found else []
    wanted = _wanted_constraint(step, key)
    text = ""
    if isinstance(wanted, sa.CheckConstraint):
        text = str(step.database.dialect.ddl_compiler(step.database.dialect, None).process(wanted))  # type: ignore[arg-type]
        text = text[text.index("CHECK (") + 7 : -1]
    return [
        *drop,
        _constraint_code(step.table, wanted, _unescaped_percent(text, step.database.dialect)),
    ]


def _add_code(step: _Step, wanted: Definition) -> str:
    """Return the verb that adds the wanted column."""
    column: sa.Column[Any] = step.wanted
    code = f"{step.name!r}, {_code(column.type)}"
    if column.computed is not None:
        code += f", sa.Computed({str(column.computed.sqltext)!r}"
        code += f", persisted={column.computed.persisted})"
    if column.identity is not None:
        names = ("always", *_COUNTING, "nominvalue", "nomaxvalue")
        given = {name: getattr(column.identity, name, None) for name in names}
        code += f", sa.Identity({', '.join(f'{k}={v!r}' for k, v in given.items() if v)})"
    default = wanted.get("default", "").removeprefix("DEFAULT ")
    code += f", nullable={column.nullable}"
    code += f", server_default={_default_code(default)}" if default else ""
    return f"helpers.add_column({step.table!r}, sa.Column({code}))"


def _wanted_constraint(step: _Step, key: str) -> Any:
    """Return the constraint of a wanted table that a property of its definition is about."""
    for constraint in step.wanted.constraints:
        if constraint.name and key.endswith(f" {step.database.truncated(constraint.name)}"):
            return constraint
    for constraint in step.wanted.foreign_key_constraints:
        if _foreign_key_text(step.database, _wanted_foreign_key(constraint)) == key:
            return constraint
    kind: Any = {"UNIQUE": sa.UniqueConstraint, "CHECK": sa.CheckConstraint}.get(key.split(" ")[0])
    likely: Any = (
        c for c in step.wanted.constraints if kind and isinstance(c, kind) and not c.name
    )
    return next(likely, step.wanted.primary_key)


def _stop(
    error: type[CommandError], problem: str, shown: tuple[str, str], why: str, *way: str
) -> NoReturn:
    """Raise an error of four parts: what was asked, has and wants, why it stopped, the way on."""
    has, wants = shown
    code = "\n".join(f"    {line}" for line in way)
    compared = f"  database has:    {has}\n  revision wants:  {wants}"
    raise error(f"{problem}\n{compared}\n{why}\nThe way on:\n{code}")


def _decide(decision: str, step: _Step, reason: str) -> None:
    if step.kind in ("table", "comment"):
        _log(decision, step.verb, step.table, reason)
    else:
        name = str("(unnamed)" if step.name is None else step.name)
        name = f"{name} on {step.table}" if step.table else name
        _log(decision, step.verb, name, reason)


def _log(decision: str, verb: str, what: str, reason: str) -> None:
    log.info("%s %s %s: %s", decision, verb, what, reason)


# ... data

_ROWS_AT_ONCE = 200  # that one query looks for
_FILLED = ("table", "view")  # what rows can be inserted into


def _rows_to_insert(table: Any, rows: Any, keys: list[str]) -> list[dict[str, Any]]:
    """Return the rows, or refuse before anything is changed what cannot be looked for."""
    if not isinstance(rows, list):
        raise TypeError("List expected")
    lacking = [f"table {table.name}"] if not keys or set(keys) - set(table.c.keys()) else []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise TypeError("List of dictionaries expected")
        lacking += [f"row {number}"] if set(keys) - row.keys() else []
        if unknown := sorted(row.keys() - set(table.c.keys())):
            lacking.append(f"table {table.name}: it has no {', '.join(unknown)} of row {number},")
    if lacking:
        raise CommandError(
            f"bulk_insert({table.name!r}, ..., key={keys!r}): no such column in {lacking[0]}.\n"
            f"  table has:       {', '.join(table.c.keys())}\n"
            f"  revision wants:  {', '.join(keys) or 'no column'} as the key\n"
            "Stopped, because without the key nobody can tell which rows are there.\n"
            "The way on:\n"
            f"    helpers.bulk_insert({table.name}, rows, key=[...])  # columns that each row has"
        )
    return rows


def _insert_missing(
    step: _Step, table: Any, rows: list[dict[str, Any]], keys: list[str], multiinsert: bool
) -> None:
    if step.offline:
        for row in rows:
            step.write(_guarded_insert(step.database, table, row, keys))
        return
    what, inserted = f"on {table.name}", 0
    if rows:
        _need_key(step, table, keys)
    for turn in _turns(rows, keys):
        for start in range(0, len(turn), _ROWS_AT_ONCE):
            some = turn[start : start + _ROWS_AT_ONCE]
            missing = _missing_rows(step.database, table, some, keys)
            inserted += len(missing)
            for batch, plain in _alike(missing):
                step.operations.bulk_insert(table, batch, multiinsert=multiinsert and plain)
    if inserted:
        _log("apply", "bulk_insert", what, f"{inserted} of {len(rows)} rows were not there")
    else:
        _log("skip", "bulk_insert", what, f"all {len(rows)} rows are there")


def _need_key(step: _Step, table: Any, keys: list[str]) -> None:
    """Refuse a table, or a column of it, that the database does not have."""
    columns = [table.c[key] for key in keys]
    kinds = [(what, table.name, table.name, table.schema) for what in _FILLED]
    asked = [("column", table.name, column.name, table.schema) for column in columns]
    found = _ask_all(step.database, [*kinds, *asked])
    if all(there is None for there in found[: len(kinds)]):
        _need_tables(step, kinds, [None])
    for column, there in zip(columns, found[len(kinds) :], strict=True):
        if there is None:
            _stop(
                MissingParent,
                f"bulk_insert({table.name!r}, ...): there is no such column.",
                (f"no column {column.name} in {table.name}", f"{', '.join(keys)} as the key"),
                "Stopped, because without the key nobody can tell which rows are there.",
                f"helpers.add_column({table.name!r}, sa.Column({column.name!r}, ...))  # before",
            )


def _turns(rows: list[dict[str, Any]], keys: list[str]) -> list[list[dict[str, Any]]]:
    """Split rows so that no two of a turn can have one key, whatever the server takes for equal.

    The second of two that look alike is looked for when the first has been inserted.
    """
    turns: list[list[dict[str, Any]]] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        alike = tuple(_loosely(row[key]) for key in keys)
        turns += [[]] if seen[alike] == len(turns) else []
        turns[seen[alike]].append(row)
        seen[alike] += 1
    return turns


def _loosely(value: Any) -> str:
    """Return a text that is the same for all values that some server may find equal."""
    if isinstance(value, sa.BindParameter):
        value = value.value
    if isinstance(value, (int, float, Decimal)) and math.isfinite(value):
        return str(int(value)) if value == int(value) else f"{float(value):.12g}"
    letters = unicodedata.normalize("NFKD", str(value)).casefold()
    return "".join(c for c in letters if c.isalnum()) or letters  # no accents, no spaces


def _missing_rows(
    database: _Database, table: Any, rows: list[dict[str, Any]], keys: list[str]
) -> list[dict[str, Any]]:
    """Return those of the rows whose key is not there, by one query."""
    there = [_key_is_there(table, row, keys).label(f"c{n}") for n, row in enumerate(rows)]
    found = database.connection.execute(sa.select(*there)).one()
    return [row for row, is_there in zip(rows, found, strict=True) if not is_there]


def _key_is_there(table: Any, row: dict[str, Any], keys: list[str]) -> Any:
    same = [
        table.c[key].is_(None) if row[key] is None else table.c[key] == row[key] for key in keys
    ]
    return sa.exists(sa.select(sa.literal_column("1")).select_from(table).where(*same))


def _alike(rows: list[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], bool]]:
    """Split rows into batches that give the same columns; tell of each whether it is all values."""
    for names, batch in itertools.groupby(rows, key=dict.keys):
        same = list(batch)
        yield same, not any(isinstance(row[n], sa.ClauseElement) for row in same for n in names)


def _guarded_insert(database: _Database, table: Any, row: dict[str, Any], keys: list[str]) -> str:
    """Return an INSERT of one row that does nothing where its key is."""
    filled = _python_defaults(table, row) | row
    values = {name: _as_literal(database, table.c[name], value) for name, value in filled.items()}
    key = {k: None if row[k] is None else values[k] for k in keys}
    new = sa.select(*values.values()).where(~_key_is_there(table, key, keys))
    insert = table.insert().from_select(list(values), new, include_defaults=False)
    return _compiled(database, insert, "bulk_insert")


def _python_defaults(table: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return what SQLAlchemy would fill in: in a script it would write NULL instead."""
    given: dict[str, Any] = {
        column.key: column.default
        for column in table.c
        if column.key not in row and getattr(column, "default", None) is not None
    }
    return {
        key: default.arg(None) if default.is_callable else default.arg
        for key, default in given.items()
        if not default.is_sequence
    }


def _as_literal(database: _Database, column: Any, value: Any) -> Any:
    if isinstance(value, sa.ClauseElement):
        return value
    if isinstance(value, (bytes, bytearray)):
        return sa.literal_column(database.server.bytes_literal.format(value.hex()))
    typed = None if isinstance(column.type, sa.types.NullType) else column.type
    if isinstance(typed, sa.JSON) and not (value is None and typed.none_as_null):
        dialect: Any = database.dialect
        return sa.literal((dialect._json_serializer or json.dumps)(value), sa.String())
    return sa.null() if value is None and typed is None else sa.literal(value, typed)


def _compiled(database: _Database, statement: Any, call: str) -> str:
    """Return SQL with its values written into it, or refuse a value that has no literal form."""
    try:
        return _with_values(statement, database.dialect)
    except (sa.exc.CompileError, NotImplementedError, TypeError, ValueError) as error:
        why = str(error).split(" (Background")[0]
        way = "alembic upgrade head  # without --sql; or write the value as sa.text(...)"
        _unsupported(database, call, f"SQLAlchemy cannot write it: {why}", way)


def _with_values(statement: Any, dialect: sa.Dialect) -> str:
    options: Any = {"literal_binds": True}
    sql = statement.compile(dialect=dialect, compile_kwargs=options)
    return _unescaped_percent(str(sql), dialect)


def _execute(
    step: _Step, sqltext: Any, *, unless: Any, once: str | None, options: dict[str, Any] | None
) -> None:
    """Run SQL unless it was run: by what a query finds, or by a mark."""
    if unless is not None and once is not None:
        raise CommandError(f"execute({brief(sqltext)!r}): give either unless or once, not both")
    _need_values(f"execute({brief(sqltext)!r})", sqltext, unless)
    if once is not None:
        return _execute_once(step, sqltext, once, options)
    if step.offline:
        return _script_unless(step, sqltext, unless)
    step.database.forget()
    query = sa.text(unless) if isinstance(unless, str) else unless
    if step.database.connection.execute(query).first() is not None:
        return _log("skip", "execute", brief(sqltext), "already done")
    _log("apply", "execute", brief(sqltext), "not done yet")
    alembic.op.execute(sqltext, execution_options=options)


def _script_unless(step: _Step, sqltext: Any, unless: Any) -> None:
    """Write the statement so that the server runs it only when the query returns no row."""
    query = sa.text(unless) if isinstance(unless, str) else unless
    asked = _compiled(step.database, query, "execute").strip().removesuffix(";")
    for sql in _written_by(step, lambda: alembic.op.execute(sqltext)):
        # on a line of its own, because the query may end with a comment
        step.server.write_unless(step, f"NOT EXISTS ({asked}\n)", sql)


# ... once

_MARKED = ("revision", "direction", "name")
_MARK_LENGTH = 200
# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/, behind comments, of
# which those that begin with an exclamation mark are run
_COMMITS = re.compile(
    r"""(?: \s | /\*M?!\d* | /\*(?!M?!).*?\*/ | (?:\#|--\s)[^\n]*(?:\n|$) )*
    (?: (?:CREATE|DROP)\b(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY)
      | (?:ALTER|RENAME|TRUNCATE|LOCK|UNLOCK|GRANT|REVOKE|LOAD|OPTIMIZE|REPAIR|CHECK|CACHE|FLUSH
        |RESET|CHANGE|START|STOP|INSTALL|UNINSTALL|IMPORT|COMMIT|ROLLBACK|XA|SHUTDOWN)\b
      | ANALYZE\s+(?:\w+\s+)?TABLE\b | BEGIN\b(?!\s+NOT) | SET\s+PASSWORD\b
      | SET\s+(?:@@)?(?:(?:SESSION|LOCAL|GLOBAL)[.\s]\s*)?autocommit\b )""",
    re.I | re.S | re.X,
)


def _need_mark(sqltext: Any, name: str) -> None:
    """Refuse a name that its column cannot hold, or that MariaDB would take for another one."""
    if len(name) <= _MARK_LENGTH and name == name.strip():
        return
    found = f"{len(name)} characters" if name == name.strip() else "white space at an end"
    _stop(
        CommandError,
        f"execute({brief(sqltext)!r}, once={brief(name)!r}): this is no name for a mark.",
        (f"room for {_MARK_LENGTH} characters, none of them white space at an end", found),
        "Stopped, because the step could not be told from others when it is run again.",
        f"helpers.execute({brief(sqltext)!r}, once={name.strip()[:20]!r})  # a shorter name",
    )


def _execute_once(step: _Step, sqltext: Any, name: str, options: dict[str, Any] | None) -> None:
    _need_mark(sqltext, name)
    if step.server.commits is not None and step.server.commits.match(str(sqltext)):
        _stop(
            UnsafeOperation,
            f"execute({brief(sqltext)!r}, once={name!r}): this server commits it by itself.",
            ("a commit within the statement", "one commit of it and its mark"),
            "Stopped, because a crash in between would have it run twice, or never.",
            "helpers.create_index(...)  # and the like: a verb looks whether it is done",
        )
    marks, mark = _marks(step.context), (*_running(), name)
    if step.offline:
        return _script_once(step, sqltext, marks, mark)
    database, connection = step.database, step.database.connection
    database.forget()
    if not _has_table(database, marks.name, marks.schema):
        marks.create(connection)
    _forget_when_complete(step.context)
    if connection.execute(sa.select(sa.literal(1)).where(_marked(marks, mark))).first() is not None:
        return _log("skip", "execute", name, "already done, says its mark")
    _log("apply", "execute", name, "not done yet")
    with _together(database):
        connection.execute(marks.insert().values(mark))
        alembic.op.execute(sqltext, execution_options=options)


def _marks(context: MigrationContext) -> sa.Table:
    """Return the table of marks, which stands beside the version table."""
    columns = [sa.Column(name, sa.String(_MARK_LENGTH), primary_key=True) for name in _MARKED]
    schema, options = context.version_table_schema, {"engine": "InnoDB", "collate": "utf8mb4_bin"}
    kw: dict[str, Any] = {f"{d}_{k}": v for d in ("mysql", "mariadb") for k, v in options.items()}
    name = f"{context.version_table}_once"
    return sa.Table(name, sa.MetaData(), *columns, schema=schema, **kw)


def _marked(marks: sa.Table, mark: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(marks.c[n] == value for n, value in zip(_MARKED, mark, strict=False)))


def _running() -> tuple[str, str]:
    """Return the revision that is running, and its direction."""
    frames = list(_revision_frames())
    if not frames:
        return "", "up"
    is_down = frames[-1].f_code.co_name.startswith("downgrade")
    return str(frames[-1].f_globals["revision"]), "down" if is_down else "up"


def _forget_when_complete(context: Any) -> None:
    """Have Alembic forget its marks in the commit in which it notes that the revision is done."""
    if _forget_marks not in context.on_version_apply_callbacks:
        context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, _forget_marks)


def _forget_marks(*, ctx: Any, step: Any, **_: Any) -> None:
    ctx.on_version_apply_callbacks = tuple(
        callback for callback in ctx.on_version_apply_callbacks if callback is not _forget_marks
    )
    marks = _marks(ctx)
    gone = marks.delete().where(marks.c.revision.in_(["", *step.up_revision_ids]))
    if ctx.as_sql:  # the table stays: a script cannot know whether it made it
        ctx.impl.static_output(f"{_with_values(gone, ctx.dialect)};")
        return
    ctx.connection.execute(gone)  # first, for where the DROP commits the two
    if ctx.connection.execute(sa.select(marks).limit(1)).first() is None:
        marks.drop(ctx.connection)  # else a revision of another branch is half done


@contextmanager
def _together(database: _Database) -> Iterator[None]:
    """Make one commit of what is done within, where each statement would have its own."""
    if database.connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        yield
        return
    database.run(database.server.begin)
    try:
        yield
    except BaseException:
        database.run("ROLLBACK")
        raise
    database.run("COMMIT")


def _script_once(step: _Step, sqltext: Any, marks: sa.Table, mark: Sequence[str]) -> None:
    """Write the statement and its mark so that the server runs both, or none of them.

    A mark goes when its revision is done; that it is done the script asks of the version table.
    """
    database = step.database
    create = CreateTable(marks, if_not_exists=True).compile(dialect=database.dialect)
    step.write(str(create).strip())
    _forget_when_complete(step.context)
    there = sa.select(sa.literal_column("1")).where(_marked(marks, mark)).exists()
    todo = f"NOT {_compiled(database, there, 'execute')}"
    if mark[0]:
        todo = f"{'NOT ' if mark[1] == 'up' else ''}{_applied(step, mark[0])} AND {todo}"
    values = dict(zip(_MARKED, [sa.literal(value) for value in mark], strict=True))
    row = _compiled(database, marks.insert().values(values), "execute")
    [sql] = _written_by(step, lambda: alembic.op.execute(sqltext))
    write = step.server.write_both_if or _write_both_if
    write(step, todo, sql, row)


def _applied(step: _Step, revision: str) -> str:
    """Return the condition that the revision was run: the version table has it or a later one."""
    context = step.context
    ids = [revision]
    for id_ in ids if context.script else ():
        ids += sorted(set(context.script.get_revision(id_)._all_nextrev) - {*ids})
    version = context._version.c.version_num
    there = sa.select(sa.literal_column("1")).where(version.in_(ids)).exists()
    return _compiled(step.database, there, "execute")


# ... backfill

_PAGE_SECONDS = 0.1  # that a page shall take at most: so long its rows are locked
_FIRST_PAGE = 1_000  # rows, at most, before it is known how long they take
_TOLD_EVERY = 5.0  # seconds between two log lines
_WAITS = (0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds, before a page is tried again


@dataclass
class _Progress:
    """How far a backfill is."""

    table: str
    total: int = 0
    rows: int = 0
    pages: int = 0
    begun: float = field(default_factory=lambda: time.monotonic())
    told: float = field(default_factory=lambda: time.monotonic())

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self.begun, 0.001)
        left = round(max(0, self.total - self.rows) * seconds / max(self.rows, 1))
        pace = f"{self.rows / seconds:.0f} rows/s, {left // 60}:{left % 60:02} left"
        return f"{self.rows} of {self.total} rows in {self.pages} pages, {pace}"


@dataclass
class _Pages:
    """What a backfill writes, where, and the primary key by which it goes."""

    step: _Step
    table: sa.TableClause
    values: Mapping[str, Any]
    where: sa.ColumnElement[bool]
    keys: list[sa.ColumnClause[Any]]
    as_text: dict[str, Any]  # the keys that the driver cannot always read, with their types
    progress: _Progress

    def update(self, *more: Any) -> int:
        """Update the rows that are to be done and fulfil more conditions; return their number."""
        update = sa.update(self.table).values(self.values).where(self.where, *more)
        return self.step.database.connection.execute(update).rowcount

    def look(self, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).select_from(self.table)

    def look_for_key(self) -> sa.Select[Any]:
        read = [sa.cast(k, sa.Text()) if k.name in self.as_text else k for k in self.keys]
        return self.look(*read).order_by(*self.keys).limit(1)


def _backfill(
    step: _Step, values: Mapping[str, Any], *, where: Any, batch_size: int, pause: float
) -> None:
    """Update the rows that ``where`` finds, page by page."""
    if where is None:
        _refuse_pages(step, "without where it would begin anew each time it is run", "no where")
    if not values:
        _refuse_pages(step, "there is nothing to write into a row", "no values")
    _need_values(step.call, where, *(v for v in values.values() if not isinstance(v, str)))
    if step.offline:
        return _script_backfill(step, values, where)
    step.database.forget()
    _need_table(step, step.table, step.schema)
    pages = _pages(step, values, _grouped(where))
    if not pages.progress.total:
        return _decide("skip", step, "no row is to be done")
    _decide("apply", step, f"{pages.progress.total} rows are to be done")
    with _outside_transaction(step, "go page by page"), _bar():
        _turn_pages(pages, batch_size, pause)
    _decide("apply", step, f"{pages.progress.rows} rows done in {pages.progress.pages} pages")


def _script_backfill(step: _Step, values: Mapping[str, Any], where: Any) -> None:
    """Write all of it as one plain UPDATE."""
    target = sa.table(step.table, *map(sa.column, values), schema=step.schema)
    given = {
        name: _as_literal(step.database, sa.column(name), value) for name, value in values.items()
    }
    update = sa.update(target).values(given).where(_grouped(where))
    step.write(_compiled(step.database, update, step.call))


def _grouped(where: Any) -> sa.ColumnElement[bool]:
    end = "\n" if "--" in str(where) or "#" in str(where) else ""  # of a comment
    text: Any = sa.text(f"{where}{end}") if isinstance(where, str) else where
    grouped: Any = Grouping  # which SQLAlchemy left without types
    return cast(sa.ColumnElement[bool], grouped(text))


def _pages(step: _Step, values: Mapping[str, Any], where: Any) -> _Pages:
    """Look at the table, and refuse before anything is changed what cannot go by its key."""
    names = _inspected_key(step.database, step.table, step.schema)
    if not names:
        why = "without a primary key there are no pages to go by"
        _refuse_pages(step, why, f"no primary key on {step.table}")
    given = {step.database.case_folded(name) for name in values}
    if changed := sorted(name for name in names if step.database.case_folded(name) in given):
        _refuse_pages(step, "it goes by the key that it would change", ", ".join(changed))
    there = _inspected_columns(step.database, step.table, step.schema)
    columns = {c["name"]: sa.column(c["name"], c["type"]) for c in there}
    typed = {name: _type_text(columns[name].type, step.database.dialect) for name in names}
    paging = step.server.paging
    if unpaged := [f"{n} {t}" for n, t in typed.items() if paging.unpaged.match(t)]:
        why = "values of this type are not read as they are, or not compared as they are sorted"
        _refuse_pages(step, why, f"the primary key {', '.join(unpaged)}")
    known = {step.database.case_folded(name): name for name in columns}
    if unknown := [name for name in values if step.database.case_folded(name) not in known]:
        _stop(
            MissingParent,
            f"{step.call}: there is no such column.",
            (", ".join(columns), ", ".join(unknown)),
            "Stopped, because there is nothing to fill.",
            f"helpers.add_column({step.table!r}, sa.Column({unknown[0]!r}, ...))  # before this",
        )
    values = {known[step.database.case_folded(name)]: value for name, value in values.items()}
    table = sa.table(step.table, *columns.values(), schema=step.schema)
    keys = [sa.column(name, sa.types.NULLTYPE) for name in names]
    as_text = {name: columns[name].type for name in names if paging.as_text.match(typed[name])}
    pages = _Pages(step, table, values, where, keys, as_text, _Progress(step.table))
    count = pages.look(sa.func.count()).where(where)
    pages.progress.total = step.database.connection.execute(count).scalar() or 0
    return pages


def _refuse_pages(step: _Step, why: str, found: str, *way: str) -> NoReturn:
    both = (
        f"helpers.backfill({step.table!r}, {{...}}, where='... IS NULL')  # or, all at once:",
        f"helpers.execute('UPDATE {step.table} SET ...', once='{step.table}')",
    )
    _stop(
        UnsafeOperation,
        f"{step.call}: cannot go page by page.",
        (found, "values, a where that excludes what is done, and a primary key that stays"),
        f"Stopped, because {why}.",
        *(way or both),
    )


def _turn_pages(pages: _Pages, batch_size: int, pause: float) -> None:
    """Update page after page, and make the next one as large as its time allows."""
    progress, size = pages.progress, max(1, min(batch_size, _FIRST_PAGE))
    paging = pages.step.server.paging
    if paging.prepare is not None:
        paging.prepare(pages.step.database)
    if paging.keys_may_be_null:
        progress.rows += pages.update(sa.or_(*(key.is_(None) for key in pages.keys)))
    _refuse_repeating(pages)
    last: Sequence[Any] | None = None
    while (first := _first_key(pages, last)) is not None:
        last = _last_key(pages, first, size)
        page = [_beside(pages, operator.ge, first)]
        page += [] if last is None else [_beside(pages, operator.le, last)]
        begun = time.monotonic()
        progress.rows += _update_patiently(pages, page)
        took = max(time.monotonic() - begun, 0.001)
        size = max(1, min(batch_size, int(size * min(2, _PAGE_SECONDS / took))))
        progress.pages += 1
        _tell(progress)
        if last is None:
            break
        time.sleep(pause)


def _update_patiently(pages: _Pages, page: Sequence[Any]) -> int:
    """Update a page; when somebody holds one of its rows for long, wait without a lock, and again.

    To begin the revision anew for that would be no harm, but might never come to the end.
    """
    for seconds in _WAITS:
        try:
            return pages.update(*page)
        except sa.exc.DBAPIError as error:
            if not _is_locked(error):
                raise
        _log("retry", "backfill", pages.step.table, f"a row is locked, again in {seconds} s")
        time.sleep(seconds)
    return pages.update(*page)


def _first_key(pages: _Pages, last: Sequence[Any] | None) -> Sequence[Any] | None:
    """Return the key of the next row that is to be done: looking locks nothing."""
    query = pages.look_for_key().where(pages.where)
    if last is not None:
        query = query.where(_beside(pages, operator.gt, last))
    return pages.step.database.connection.execute(query).first()


def _last_key(pages: _Pages, first: Sequence[Any], size: int) -> Sequence[Any] | None:
    """Return the key with which a page ends; None for the last page.

    It counts all rows, not only those to be done: the server locks what it reads.
    """
    query = pages.look_for_key().where(_beside(pages, operator.ge, first))
    return pages.step.database.connection.execute(query.offset(size - 1)).first()


def _beside(pages: _Pages, compare: Any, key: Sequence[Any]) -> Any:
    """Return the condition that a row's key is before, at or after another one.

    MariaDB and MySQL read the whole table where rows are compared, but a range of the key where
    their columns are, one by one; PostgreSQL does the opposite.
    """
    # untyped: what the driver gave is what it takes, be it an enum or a date of SQLite's
    values = [
        sa.cast(sa.literal(value, sa.Text()), pages.as_text[column.name])
        if column.name in pages.as_text
        else sa.bindparam(None, value, type_=sa.types.NULLTYPE, unique=True)
        for column, value in zip(pages.keys, key, strict=True)
    ]
    if len(key) > 1 and pages.step.server.paging.compares_rows:
        return compare(sa.tuple_(*pages.keys), sa.tuple_(*values))
    strict = {operator.ge: operator.gt, operator.le: operator.lt}.get(compare, compare)
    *others, (column, value) = zip(pages.keys, values, strict=True)
    condition = compare(column, value)
    for column, value in reversed(others):
        condition = sa.or_(strict(column, value), sa.and_(column == value, condition))
    return condition


def _refuse_repeating(pages: _Pages) -> None:
    """Try one row, twice, and undo it: refuse when the second time changes it again.

    A row that ``where`` still finds is no harm if it stays the same, as a NULL copied from a NULL.
    """
    first, database = _first_key(pages, None), pages.step.database
    if first is None:
        return
    row = [_beside(pages, compare, first) for compare in (operator.ge, operator.le)]
    written: list[Any] = [sa.column(name) for name in pages.values]
    if pages.step.server.paging.reads_as_text:
        written = [sa.cast(column, sa.Text()) for column in written]
    look = pages.look(*written).where(pages.where, *row)
    after = []
    database.run(database.server.begin)
    try:
        for _ in range(2):
            pages.update(*row)
            after.append(database.connection.execute(look).first())
    finally:
        database.run("ROLLBACK")
    if after[0] is not None and after[0] != after[1]:
        why = "a run that is killed would do again what it has done"
        _refuse_pages(pages.step, why, "a row that where still finds after it was done")


def _tell(progress: _Progress) -> None:
    """Draw a bar on a terminal; elsewhere write a log line every few seconds."""
    now, on_terminal = time.monotonic(), _on_terminal()
    if now - progress.told < (0.1 if on_terminal else _TOLD_EVERY):
        return
    progress.told = now
    if not on_terminal:
        return _log("apply", "backfill", progress.table, str(progress))
    share = min(1.0, progress.rows / max(progress.total, 1))
    bar = f"{progress.table} [{'#' * int(share * 20):.<20}] {progress}"
    sys.stderr.write(f"\r{bar[:79]}\x1b[K")
    sys.stderr.flush()


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def _bar() -> Iterator[None]:
    """Take the bar away in the end."""
    try:
        yield
    finally:
        if _on_terminal():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# ... files


def _beside_revision(path: str | os.PathLike[str]) -> Path:
    """Return where the file is: beside the revision that names it."""
    return Path(_revision().get("__file__", "")).parent / path


def _execute_file(step: _Step, path: str | os.PathLike[str], encoding: str) -> None:
    where = _beside_revision(path)
    statements = _read_statements(step.database, where, encoding)
    if not statements:
        return _log("skip", "execute_file", str(path), "no statement in it")
    if step.offline:
        return _script_statements(step, statements)
    _log("apply", "execute_file", str(path), f"{len(statements)} statements")
    step.database.forget()
    for number, statement in enumerate(statements, 1):
        try:
            step.database.run(statement.text).close()
        except sa.exc.DBAPIError as error:
            _failed(step, where, statement, f"{number} of {len(statements)}", error)


def _read_statements(database: _Database, path: Path, encoding: str) -> list[Statement]:
    try:
        text = path.read_bytes().decode(encoding).removeprefix("\ufeff")
    except OSError as error:
        _refuse_file(path, f"cannot be read: {error.strerror}", "it is beside the revision's file")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        why = f"line {line} is not {encoding}"
        _refuse_file(path, why, f"helpers.execute_file({path.name!r}, encoding='latin-1')")
    try:
        return list(split_statements(text, database.server.syntax(database.dialect)))
    except Unreadable as error:
        _refuse_file(path, f"line {error.line}: {error.problem}", error.way, error.line)


def _refuse_file(path: Path, problem: str, way: str, line: int | None = None) -> NoReturn:
    where = f"{path}:{line}" if line else str(path)
    raise CommandError(
        f"execute_file({path.name!r}): {problem}.\n  looked at:       {where}\n"
        f"Stopped before anything was run.\nThe way on:\n    # {way}"
    )


def _failed(
    step: _Step, path: Path, statement: Statement, number: str, error: sa.exc.DBAPIError
) -> NoReturn:
    """Say which statement of a file the server refused, and what is kept of those before it."""
    kept = (
        "Stopped there: the statements before it are undone with the revision."
        if step.context.impl.transactional_ddl
        else "Stopped there: what the server committed of the statements before it is kept."
    )
    raise CommandError(
        f"execute_file({path.name!r}): statement {number} failed, {path}:{statement.line}.\n"
        f"  database says:   {' '.join(str(error.orig).split())}\n"
        f"  statement:       {brief(statement.text)}\n"
        f"{kept}\nThe way on:\n    # mend line {statement.line}, then: alembic upgrade head"
    ) from error


def _script_statements(step: _Step, statements: list[Statement]) -> None:
    """Write the statements as they are; a body with semicolons behind a DELIMITER of its own."""
    for statement in statements:
        if step.server.write_statement is not None:
            step.server.write_statement(step, statement)
        else:
            step.write(statement.text)


# ------------------------------------------------------------------------------------ looking
# _find_<kind>: what the database has, None when it has none.  _want_<kind>: what the server makes
# of the wanted thing, None when it cannot be said and the name must do.

_SCRATCH = "_alembic_scratch"


def _has_table(database: _Database, table: str, schema: str | None) -> bool:
    return _ask(database, "table", table, table, schema) is not None


def _find_table(step: _Step) -> Definition:
    """Describe the table, which is there, unless its name is that of a view."""
    _need_free_name(step)
    return _table_definition(step, step.table, step.schema)


def _want_table(step: _Step) -> Definition:
    table: sa.Table = step.wanted
    others = [c for c in table.constraints if not isinstance(c, sa.ForeignKeyConstraint)]
    names = {step.database.truncated(str(c.name)) for c in table.constraints if c.name}
    with _scratch(step, *table.columns, *others, **_scratch_options(table.dialect_kwargs)):
        found = _table_definition(step, _SCRATCH, step.server.scratch_schema, names)
    for key in _keys_within(step):
        text = _foreign_key_text(step.database, _wanted_foreign_key(key))
        name = step.database.truncated(str(key.name))
        found |= {f"foreignkey {name}": text} if key.name else {text: ""}
    return found


def _table_definition(
    step: _Step, table: str, schema: str | None, named: set[str] | None = None
) -> Definition:
    """Describe a table: columns, then constraints, by name where they have one, else by text.

    :param named: the names that count; None: each constraint is listed by name and by text, so that
        it is found either way.
    """
    found, wanted = {}, {step.database.case_folded(c.name): c for c in step.wanted.columns}
    for column, definition in _columns(step.database, table, schema).items():
        said = wanted.get(step.database.case_folded(column))
        comment = getattr(said, "comment", None)
        if comment is None or table == _SCRATCH:
            definition = _with_comment(step, definition, comment)
        definition = _as_said(definition, said)
        found[f"column {column}"] = _describe(definition)
    for name, kind, text in _constraints(step, table, schema):
        if name and kind != "primary" and (named is None or name in named):
            found[f"{kind} {name}"] = text
        if kind == "primary" or named is None or name not in named:
            found[text] = ""
    return found


def _find_column(step: _Step) -> Definition | None:
    found = _column(step.database, step.table, str(step.name), step.schema)
    return found if found is None or step.wanted is None else _as_said(found, step.wanted)


def _want_column(step: _Step) -> Definition | None:
    wanted = _as_said(_scratch_column(step, step.wanted), step.wanted)
    return _with_comment(step, wanted, step.wanted.comment)


def _scratch_column(step: _Step, column: sa.Column[Any]) -> Definition:
    """Let the server describe a column, beside the others where an expression may use them."""
    others = _plain_columns(step, without=column.name) if column.computed is not None else []
    with _scratch(step, column, *others):
        made = _columns(step.database, _SCRATCH, step.server.scratch_schema)
    return made[step.database.truncated(column.name)]


def _want_altered_column(step: _Step, found: Definition) -> Definition:
    """Describe the column as the operation asks for it, in the properties that it asks for."""
    operation = step.operation
    default = operation.modify_server_default
    asked = {"type": operation.modify_type, "null": operation.modify_nullable}
    keys = {key for key, value in asked.items() if value is not None}
    keys |= {"default", "computed", "identity", *_COUNTING} if default is not False else set()
    keys |= {"comment"} if operation.modify_comment is not False else set()
    word = _word(step.database, operation.modify_type)
    plain = word is not None and not found.get("collate")
    if default is False and ("type" not in keys or plain):  # nothing to ask the server
        said = {"type": word or "", "null": "NULL" if operation.modify_nullable else "NOT NULL"}
        said |= _with_comment(step, {}, operation.modify_comment or "")
        return {key: value for key, value in said.items() if key in keys}
    column: sa.Column[Any] = sa.Column(
        step.name,
        operation.modify_type or _verbatim(step.database, found["type"]),
        nullable=operation.modify_nullable is not False and not isinstance(default, sa.Identity),
        server_default=None if default is False else default,
        comment=operation.modify_comment or None,
    )
    wanted = _as_said(_scratch_column(step, column), column)
    if wanted.get("collate") or step.server.normal_forms:  # elsewhere a type keeps it
        keys |= {"collate"} if "type" in keys else set()
    if "comment" in keys:
        wanted = _with_comment(step, wanted, operation.modify_comment or "")
    return {key: value for key, value in wanted.items() if key in keys}


def _with_comment(step: _Step, definition: Definition, comment: str | None) -> Definition:
    """Return the definition with the wanted comment; without one where none is asked for."""
    rest = {key: value for key, value in definition.items() if key != "comment"}
    if comment is None or not step.database.dialect.supports_comments:
        return rest
    return rest | {"comment": _comment(comment)}


_COUNTING = ("start", "increment", "minvalue", "maxvalue", "cache", "cycle")  # of an identity


def _as_said(definition: Definition, column: sa.Column[Any] | None) -> Definition:
    """Return the definition without what a revision leaves to the server.

    That is how an identity counts, where it says nothing of it, and how the sequence is called that
    goes with a SERIAL column.
    """
    said = None if column is None else column.identity
    given = {key for key in _COUNTING if getattr(said, key, None) is not None}
    given |= {key for key in _COUNTING if getattr(said, f"no{key}", None)}
    kept = {k: v for k, v in definition.items() if k not in _COUNTING or k in given}
    if column is None or column.server_default is None or _counts_up(column):
        kept["default"] = re.sub(r"(?s)nextval\(.*\)$", "nextval", kept["default"])
    elif (said_moment := _MOMENT.match(str(getattr(column.server_default, "arg", "")))) and (
        re.fullmatch(f"DEFAULT {_DATED}", kept.get("default", ""))
    ):
        kept["default"] = f"DEFAULT '{said_moment[1].lower()}'"
    return kept


# What PostgreSQL reads once, as it makes the column: no two are the same
# (https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES)
_MOMENT = re.compile(r"(?i)\s*'?\s*(now|today|tomorrow|yesterday)\b\s*(\(\s*\))?\s*('.*)?$")
_DATED = r"'\d[\d .:+-]+'"


def _counts_up(column: sa.Column[Any]) -> bool:
    """Tell whether SQLAlchemy writes SERIAL, whatever default the revision gives beside it."""
    table = getattr(column, "table", None)
    return isinstance(table, sa.Table) and table._autoincrement_column is column


def _identity(found: Definition) -> sa.Identity:
    """Return the identity of a column that has one, for Alembic to see what differs."""
    counting: dict[str, Any] = {key: int(found[key].split()[-1]) for key in _COUNTING[:-1]}
    cycle = not found["cycle"].startswith("NO")
    return sa.Identity(always="ALWAYS" in found["identity"], cycle=cycle, **counting)


def _find_index(step: _Step) -> Definition | None:
    found = _index(step.database, step.table or None, str(step.name), step.schema)
    step.is_invalid = (
        found is not None and "invalid" in found and _on(step.database, found, step.table)
    )
    if found is None or (step.verb == "create_index" and step.is_invalid):
        return None
    if step.verb == "drop_index" and step.table and not _on(step.database, found, step.table):
        return None
    if step.verb == "drop_index":
        return found
    found = step.server.index_defined(step.database, found)
    if "constraint" in found:
        found["definition"] = f"CONSTRAINT {found['constraint']} {found['definition']}"
    return found


def _want_index(step: _Step) -> Definition | None:
    on = f"ON {step.database.truncated(step.table)}"
    return {"table": on, "definition": step.server.index_text(step)}


def _find_constraint(step: _Step) -> Definition | None:
    """Find what drop_constraint names: by name, and by type where one is given."""
    database, type_ = step.database, step.operation.constraint_type
    found = _constraint_type(database, step.table, str(step.name), step.schema, type_)
    if found is None and step.server.conventional is not None:
        found = step.server.conventional(step)
    return _of_type(step, found)


def _of_type(step: _Step, found: str | None) -> Definition | None:
    """Return what a drop has found, None when it is about a constraint of another type."""
    if found is None or step.operation.constraint_type not in (None, found):
        return None
    return {"type": found}


def _find_constrained(step: _Step) -> Definition | None:
    """Find a constraint by its name, or by what it says when the revision gives it no name."""
    if step.name is None:
        wanted = _WANT_CONSTRAINT[step.kind](step) or {}
        texts = [text for _, kind, text in _constraints(step) if kind == step.kind]
        same = (text for text in texts if _same(step.server, text, wanted.get("definition", "")))
        return next(({"definition": text} for text in same), None)
    other = _constraint_type(step.database, step.table, step.name, step.schema, step.kind)
    if other is None:
        return None
    if other != step.kind:
        return {"definition": f"a {_TYPES.get(other, other)}"}
    same_kind = [(n, text) for n, kind, text in _constraints(step) if n and kind == step.kind]
    names = {step.database.case_folded(name): text for name, text in same_kind}
    return {"definition": names[step.database.case_folded(step.name)]}


def _find_primary(step: _Step) -> Definition | None:
    """Find the table's primary key, whatever its name: there can be only one."""
    keys = [(name, text) for name, kind, text in _constraints(step) if kind == "primary"]
    for name, text in keys:
        gone = (
            step.server.replaces_key
            and step.batch.makes_key
            and (step.batch.frees_key or _is_replaced(step, name, text))
        )
        return None if gone else {"definition": text}
    return None


def _is_replaced(step: _Step, name: str | None, text: str) -> bool:
    """Tell whether a batch's new primary key is to take the place of the one that is there."""
    if _key_columns(text) == _key_columns(_want_columns(step)["definition"]):
        return bool(step.name) and step.database.case_folded(name) != step.database.case_folded(
            step.name
        )
    dropped = {column.lower() for column in step.batch.drops}
    going = any(column.lower() in dropped for column in _key_columns(text))
    return going or name is None  # which nothing could drop


def _key_columns(text: str) -> set[str]:
    return set(text.removeprefix("PRIMARY KEY (").removesuffix(")").split(", "))


def _want_columns(step: _Step) -> Definition:
    names = [step.database.truncated(str(column.name)) for column in step.wanted.columns]
    if step.kind == "primary":
        return {"definition": f"PRIMARY KEY {in_parentheses(names)}"}
    options = dict(step.wanted.dialect_kwargs)
    if included := options.get("postgresql_include"):
        included = [str(getattr(column, "name", column)) for column in included]
        options["postgresql_include"] = [step.database.truncated(name) for name in included]
    text = _unique_text(names, options)
    deferred = (step.wanted.initially or "").upper() == "DEFERRED"
    return {"definition": text + _deferral(step.wanted.deferrable, deferred)}


def _want_check(step: _Step) -> Definition | None:
    wanted = sa.CheckConstraint(step.wanted.sqltext, name=sa.schema.conv("wanted"))
    try:
        with _scratch(step, *_plain_columns(step), wanted):
            found = _constraints(step, _SCRATCH, step.server.scratch_schema)
    except (sa.exc.CompileError, sa.exc.DBAPIError):
        return None  # a type that SQLAlchemy does not know, or no right to make temporary tables
    late = " NOT VALID" if step.wanted.dialect_kwargs.get("postgresql_not_valid") else ""
    return next({"definition": text + late} for name, _, text in found if name == "wanted")


def _want_exclude(step: _Step) -> Definition | None:
    operation = copy.copy(step.operation)
    operation.table_name, operation.schema, operation._orig_constraint = _SCRATCH, None, None
    with _scratch(step, *_plain_columns(step)):
        step.operations.impl.add_constraint(operation.to_constraint())
        found = _constraints(step, _SCRATCH, step.server.scratch_schema)
    return next({"definition": text} for _, kind, text in found if kind == "exclude")


def _want_foreignkey(step: _Step) -> Definition:
    key = _wanted_foreign_key(step.wanted)
    hidden = step.server.foreign_keys.hidden_schema
    if hidden is not None and key["referred_schema"] is not None:
        key["referred_schema"] = hidden(
            step.database, key["referred_schema"], key["referred_table"]
        )
    late = " NOT VALID" if step.wanted.dialect_kwargs.get("postgresql_not_valid") else ""
    return {"definition": _foreign_key_text(step.database, key) + late}


def _constraints(
    step: _Step, table: str | None = None, schema: str | None = None
) -> list[_Constraint]:
    """Describe every constraint of a table: name, type, text."""
    table, schema = (step.table, step.schema) if table is None else (table, schema)
    return step.server.constraints(step.database, table, schema)


def _inspected_columns(database: _Database, table: str, schema: str | None) -> list[Any]:
    return list(
        sa.inspect(database.connection).get_columns(database.truncated(table), schema=schema)
    )


def _inspected_key(database: _Database, table: str, schema: str | None = None) -> list[str]:
    found = sa.inspect(database.connection).get_pk_constraint(database.truncated(table), schema)
    return list(found["constrained_columns"])


def _find_view(step: _Step) -> Definition | None:
    text = _view_select(step.database, str(step.name), step.schema)
    return None if text is None else {"definition": " ".join(text.split())}


def _want_view(step: _Step) -> Definition | None:
    if not step.server.temporary_views and step.verb != "replace_view":
        return None  # it has no temporary views, and to make a lasting one commits
    text = _wanted_select(step.database, step.wanted)
    return None if text is None else {"definition": " ".join(text.split())}


def _find_enum(step: _Step) -> Definition | None:
    labels = _enum_labels(step.database, str(step.name), step.schema)
    return None if labels is None else {"values": ", ".join(map(literal, labels))}


def _want_enum(step: _Step) -> Definition | None:
    return {"values": ", ".join(map(literal, step.wanted))}


_WANT_CONSTRAINT: dict[str, Callable[[_Step], Definition | None]] = {
    "unique": _want_columns,
    "check": _want_check,
    "foreignkey": _want_foreignkey,
    "primary": _want_columns,
    "exclude": _want_exclude,
}
_FIND: dict[str, Callable[[_Step], Definition | None]] = {
    "table": _find_table,
    "column": _find_column,
    "index": _find_index,
    "view": _find_view,
    "enum": _find_enum,
    "constraint": _find_constraint,
    "unique": _find_constrained,
    "check": _find_constrained,
    "foreignkey": _find_constrained,
    "primary": _find_primary,
    "exclude": _find_constrained,
}
_WANT: dict[str, Callable[[_Step], Definition | None]] = {
    "table": _want_table,
    "column": _want_column,
    "index": _want_index,
    "view": _want_view,
    "enum": _want_enum,
    **_WANT_CONSTRAINT,
}


def _spelled(step: _Step) -> Definition:
    """Describe an index or a constraint as the revision spells it, without asking the server."""
    if step.kind == "index":
        return {"table": f"ON {step.table}", "definition": _compiled_index_text(step)}
    compiler = step.database.dialect.ddl_compiler(step.database.dialect, None)  # type: ignore[arg-type]
    return {"definition": str(compiler.process(step.wanted))}


@contextmanager
def _scratch(step: _Step, *items: Any, **kw: Any) -> Iterator[None]:
    """Make the wanted thing on an empty temporary table, so that the server says what it is.

    The server knows that ``now()`` is ``CURRENT_TIMESTAMP`` and ``'0'`` a number; nobody else does
    so exactly.  Temporary tables commit nothing on any server.
    """
    options = step.server.table_defaults(step) | kw
    table = step.operations.schema_obj.table(
        _SCRATCH, *items, prefixes=["TEMPORARY"], _constraints_included=True, **options
    )
    table.constraints -= table.foreign_key_constraints
    for column in items:  # a copy of MySQL's ENUM forgets its collation
        if isinstance(column, sa.Column):
            table.columns[column.key].type = column.type
    for column in table.columns:  # without its foreign key, a key column would count up by itself
        wanted = getattr(step.wanted, "columns", {}).get(column.name)
        if wanted is not None and wanted.foreign_keys:
            column.autoincrement = False
    with _forgotten(step.database), _called_scratch(step):
        step.database.connection.execute(CreateTable(table))
        yield


@contextmanager
def _called_scratch(step: _Step) -> Iterator[None]:
    """Let an expression that names the table (``"user".state``) mean the scratch table."""

    def rewrite(_1: Any, _2: Any, sql: str, parameters: Any, _3: Any, _4: Any) -> tuple[str, Any]:
        return (
            unqualified(sql, step.table) if sql.lstrip().startswith("CREATE") else sql
        ), parameters

    sa.event.listen(step.database.connection, "before_cursor_execute", rewrite, retval=True)
    try:
        yield
    finally:
        sa.event.remove(step.database.connection, "before_cursor_execute", rewrite)


def _plain_columns(step: _Step, without: str | None = None) -> list[sa.Column[Any]]:
    """Return the columns of the table, with their types in the server's own words."""
    columns = _columns(step.database, step.table, step.schema).items()
    types = {n: f"{c['type']} {c.get('collate', '')}".strip() for n, c in columns}
    return [sa.Column(n, _verbatim(step.database, t)) for n, t in types.items() if n != without]


# ---------------------------------------------------------------------------------- comparing
# Pure: no connection below this line until the dialects.

_TYPES = {
    "unique": "unique constraint",
    "check": "check constraint",
    "foreignkey": "foreign key",
    "primary": "primary key",
    "exclude": "exclusion constraint",
}


def _same(server: _Server, one: str, other: str) -> bool:
    """Compare two descriptions: PostgreSQL's are normal forms, the others' the author's text."""
    if other.endswith(" NOT VALID"):  # wanted so, and validated since
        one, other = one.removesuffix(" NOT VALID"), other.removesuffix(" NOT VALID")
    if moment := re.search(r"(?<=DEFAULT )'(?:now|today|tomorrow|yesterday)'", other):
        one = re.sub(rf"(?<=DEFAULT ){_DATED}", moment[0], one, count=1)
    return one == other or (
        not server.normal_forms and significant_tokens(one) == significant_tokens(other)
    )


def _diff(server: _Server, has: Definition, wants: Definition) -> list[str]:
    """Return the wanted properties in which the two differ."""
    fold = str.lower if server.folds_case else str
    there = {fold(key): value for key, value in has.items()}
    return [
        key
        for key, value in wants.items()
        if fold(key) not in there or not _same(server, there[fold(key)], value)
    ]


def _must_be_given(column: str) -> bool:
    """Tell whether no row can be inserted without a value for a column so described."""
    return "NOT NULL" in column and not re.search("DEFAULT|AUTO_INCREMENT|GENERATED", column)


def _describe(definition: Definition) -> str:
    hidden = ("constraint", "oid")
    return " ".join(value for key, value in definition.items() if value and key not in hidden)


def _describe_parts(definition: Definition, keys: list[str]) -> str:
    parts = [f"{key} {definition.get(key, '(none)')}".strip() for key in keys]
    return "; ".join(parts)


class _Verbatim(sa.types.UserDefinedType[Any]):
    """A type in the server's own words."""

    cache_ok = True

    def __init__(self, text: str) -> None:
        self.text = text

    def get_col_spec(self, **kw: Any) -> str:
        return self.text


def _comment(text: str | None) -> str:
    return f"COMMENT {literal(text)}" if text else ""


def _code(type_: Any) -> str:
    """Return a type as a revision would spell it."""
    module = type(type_).__module__
    prefix = f"sa.dialects.{module.split('.')[2]}" if ".dialects." in module else "sa"
    inner = re.sub(r"(?<![\w.'])([A-Z]\w*)\(", r"sa.\1(", repr(type_).partition("(")[2])
    return f"{prefix}.{type(type_).__name__}({inner}"


def _default_code(default: str) -> str:
    return f"sa.text({default!r})" if default else "None"


def _constraint_code(table: str, constraint: Any, check: str) -> str:
    """Return the verb that makes a constraint.

    :param check: the condition of a check constraint.
    """
    name = str(constraint.name) if constraint.name else None
    columns = [column.name for column in getattr(constraint, "columns", ())]
    if isinstance(constraint, ExcludeConstraint):
        return _exclude_code(table, name, constraint)
    if isinstance(constraint, sa.ForeignKeyConstraint):
        key = _wanted_foreign_key(constraint)
        given = {k: v for k, v in key["options"].items() if v is not None}
        target = f"{key['referred_table']!r}, {columns}, {key['referred_columns']}"
        given |= {"referent_schema": key["referred_schema"]} if key["referred_schema"] else {}
        options = "".join(f", {option}={value!r}" for option, value in given.items())
        return f"helpers.create_foreign_key({name!r}, {table!r}, {target}{options})"
    if isinstance(constraint, sa.CheckConstraint):
        return f"helpers.create_check_constraint({name!r}, {table!r}, {check!r})"
    verb = "primary_key" if isinstance(constraint, sa.PrimaryKeyConstraint) else "unique_constraint"
    return f"helpers.create_{verb}({name!r}, {table!r}, {columns}{_options_code(constraint)})"


def _options_code(constraint: Any) -> str:
    names = ("deferrable", "initially")
    given = {key: getattr(constraint, key) for key in names} | dict(constraint.dialect_kwargs)
    return "".join(f", {key}={value!r}" for key, value in given.items() if value)


def _exclude_code(table: str, name: str | None, constraint: ExcludeConstraint) -> str:
    elements = [(str(expression), op) for expression, _, op in constraint._render_exprs]
    given = ", ".join(f"({expression!r}, {op!r})" for expression, op in elements)
    where = f", where=sa.text({str(constraint.where)!r})" if constraint.where is not None else ""
    using = f", using={constraint.using!r}{where}{_options_code(constraint)}"
    return f"helpers.create_exclude_constraint({name!r}, {table!r}, {given}{using})"


def _unique_text(columns: Iterable[str | None], options: Any) -> str:
    nulls = " NULLS NOT DISTINCT" if options.get("postgresql_nulls_not_distinct") else ""
    included = options.get("postgresql_include")
    include = f" INCLUDE {in_parentheses(str(column) for column in included)}" if included else ""
    return f"UNIQUE{nulls} {in_parentheses(sorted(str(column) for column in columns))}{include}"


def _deferral(deferrable: Any, deferred: bool) -> str:
    text = " DEFERRABLE" if deferrable or deferred else ""
    return text + (" INITIALLY DEFERRED" if deferred else "")


def _wanted_foreign_key(key: sa.ForeignKeyConstraint) -> dict[str, Any]:
    """Return the key in the form in which SQLAlchemy reflects one."""
    referred = key.elements[0].column.table
    names = ("ondelete", "onupdate", "deferrable", "initially", "match")
    return {
        "constrained_columns": list(key.column_keys),
        "referred_schema": referred.schema,
        "referred_table": referred.name,
        "referred_columns": [element.column.name for element in key.elements],
        "options": {name: getattr(key, name) for name in names},
    }


# ... the text of CREATE TABLE and CREATE INDEX, taken apart and put together without loss


# ... the text of a file of SQL, split into its statements


# ----------------------------------------------------------------------------------- dialects
# All that is known of one server: how to ask its catalog, and what must be done its own way.


def _foreign_key_text(database: _Database, key: Any) -> str:
    options = key.get("options", {})
    schema = key["referred_schema"]
    keys = database.server.foreign_keys
    if schema == database.dialect.default_schema_name or keys.stay_in_schema:
        schema = None
    columns, referred = (
        in_parentheses(database.truncated(str(name)) for name in key[names])
        for names in ("constrained_columns", "referred_columns")
    )
    target = qualified(database.truncated(key["referred_table"]), schema)
    text = f"FOREIGN KEY {columns} REFERENCES {target} {referred}"
    for word, action in (("UPDATE", "onupdate"), ("DELETE", "ondelete")):
        verb, *of = re.split(r"\s*(?=\()", options.get(action) or "NO ACTION", maxsplit=1)
        wanted = " ".join([verb.upper(), *of])
        text += "" if wanted in keys.default_actions else f" ON {word} {wanted}"
    if not keys.are_deferrable:
        return text
    if (options.get("match") or "").upper() == "FULL" and keys.match_full:
        text += " MATCH FULL"
    deferred = (options.get("initially") or "").upper() == "DEFERRED"
    return text + _deferral(options.get("deferrable"), deferred)


def _verbatim(database: _Database, type_: str) -> _Verbatim:
    """Return a type in the server's own words, for DDL that the driver looks for ``%`` in."""
    doubled = database.dialect.paramstyle in ("format", "pyformat")
    return _Verbatim(type_.replace("%", "%%") if doubled else type_)


def _unescaped_percent(sql: str, dialect: sa.Dialect) -> str:
    """Return compiled SQL as it is: some drivers have each ``%`` written twice."""
    return sql.replace("%%", "%") if dialect.paramstyle in ("format", "pyformat") else sql


def _type_text(type_: Any, dialect: sa.Dialect) -> str:
    return _unescaped_percent(sa.types.to_instance(type_).compile(dialect=dialect), dialect)


def _word(database: _Database, type_: Any) -> str | None:
    """Return the server's own word for a plain type, None where only the server can tell."""
    words = database.server.canonical_types
    if type_ is None or not words:
        return None
    text = sa.types.to_instance(type_).compile(dialect=database.dialect)
    found = ((re.fullmatch(pattern, text), word) for pattern, word in words.items())
    return next((match.expand(word).lower() for match, word in found if match), None)


def _on(database: _Database, found: Definition, table: str) -> bool:
    """Tell whether an index that was found is on the table of this name."""
    return database.case_folded(found["table"].removeprefix("ON ")) == database.case_folded(table)


_POSTGRESQL = {
    "table": "SELECT relname FROM pg_class WHERE oid = to_regclass(:table)"
    " AND relkind IN ('r', 'p', 'f')",
    "indexable": "SELECT relname FROM pg_class WHERE oid = to_regclass(:table)"
    " AND relkind IN ('r', 'p', 'f', 'm')",
    "relation": "SELECT relname FROM pg_class WHERE oid = to_regclass(:table)",
    "sort": "SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'"
    " WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'"
    " ELSE 'table' END FROM pg_class WHERE oid = to_regclass(:table)",
    "view": "SELECT pg_get_viewdef(oid) FROM pg_class WHERE oid = to_regclass(:table)"
    " AND relkind = 'v'",
    "column": "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table)"
    " AND attname = :name AND attnum > 0 AND NOT attisdropped",
    "columns": "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute"
    " WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped",
    "constraint": "SELECT contype FROM pg_constraint WHERE conrelid = to_regclass(:table)"
    " AND conname = :name",
    "constraint types": "SELECT contype FROM pg_constraint WHERE conrelid = to_regclass(:table)"
    " AND conname = :name",
    "enum": "SELECT 1 FROM pg_type WHERE oid = to_regtype(:table) AND typtype = 'e'",
    "label": "SELECT 1 FROM pg_enum WHERE enumtypid = to_regtype(:table) AND enumlabel = :name",
    "index": "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = to_regclass(:table) AND relname = :name",
    # where the table is found an index of its schema is found too, or what hides it
    "named index": "SELECT to_regclass(:index)",
    "invalid": "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = to_regclass(:table) AND relname = :name AND NOT indisvalid",
    "of type": "",
    "primary": "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'p'",
    "unnamed": "SELECT 1 FROM pg_constraint AS k WHERE conrelid = to_regclass(:table)"
    " AND contype = '{type}' AND (SELECT string_agg(a.attname, ',' ORDER BY u.position)"
    " FROM unnest(k.conkey) WITH ORDINALITY AS u (number, position)"
    " JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number) = :name",
    "partitions": "SELECT array_agg(p.relname::text ORDER BY p.oid) FROM pg_class AS c"
    " LEFT JOIN pg_inherits AS i ON i.inhparent = c.oid LEFT JOIN pg_class AS p"
    " ON p.oid = i.inhrelid WHERE c.oid = to_regclass(:table) AND c.relkind IN ('p', 'I')"
    " GROUP BY c.oid",
    "table comment": "SELECT obj_description(to_regclass(:table), 'pg_class')",
    "labels": "SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e"
    " WHERE e.enumtypid = to_regtype(:table) GROUP BY e.enumtypid",
}
# ALTER TABLE RENAME takes them all: https://www.postgresql.org/docs/current/sql-altertable.html
_POSTGRESQL["renamable"] = _POSTGRESQL["relation"]
_POSTGRESQL_COLUMNS = """
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END AS "null",
       CASE WHEN a.attgenerated = ''
            THEN 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END AS "default",
       'COLLATE ' || quote_ident(c.collname) AS "collate",
       CASE WHEN a.attgenerated <> ''
            THEN 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ')' END AS computed,
       CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                          WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END AS identity,
       'START WITH ' || s.seqstart AS "start", 'INCREMENT BY ' || s.seqincrement AS increment,
       'MINVALUE ' || s.seqmin AS minvalue, 'MAXVALUE ' || s.seqmax AS maxvalue,
       'CACHE ' || s.seqcache AS cache,
       CASE s.seqcycle WHEN true THEN 'CYCLE' WHEN false THEN 'NO CYCLE' END AS cycle,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation AS c ON c.oid = a.attcollation AND a.attcollation <> t.typcollation
LEFT JOIN pg_depend AS o ON o.refobjid = a.attrelid AND o.refobjsubid = a.attnum
 AND o.refclassid = 'pg_class'::regclass AND o.classid = 'pg_class'::regclass AND o.deptype = 'i'
LEFT JOIN pg_sequence AS s ON s.seqrelid = o.objid
WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_POSTGRESQL_CONSTRAINTS = """
SELECT k.conname AS name, k.contype AS type, pg_get_expr(k.conbin, k.conrelid) AS "check",
       pg_get_constraintdef(k.oid) LIKE 'UNIQUE NULLS NOT DISTINCT%' AS nulls_not_distinct,
       CASE WHEN NOT k.convalidated THEN ' NOT VALID' ELSE '' END AS unvalidated,
       CASE WHEN k.contype = 'x' THEN pg_get_constraintdef(k.oid) END AS exclusion,
       ARRAY(SELECT a.attname FROM pg_index AS i
             CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS u (number, position)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
             WHERE i.indexrelid = k.conindid AND u.position > i.indnkeyatts AND k.contype = 'u'
             ORDER BY u.position)::text[] AS include,
       substring(pg_get_constraintdef(k.oid)
                 FROM ' ON DELETE SET [A-Z]+( [(][^)]*[)])') AS of_columns,
       k.confmatchtype = 'f' AS matches_full,
       ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS u (number, position)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
             ORDER BY u.position)::text[] AS columns,
       ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY AS u (number, position)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.number
             ORDER BY u.position)::text[] AS referred_columns,
       r.relname AS referred_table,
       CASE WHEN NOT pg_table_is_visible(r.oid) THEN n.nspname END AS referred_schema,
       k.confupdtype AS onupdate, k.confdeltype AS ondelete, k.condeferrable AS deferrable,
       k.condeferred AS deferred
FROM pg_constraint AS k
LEFT JOIN pg_class AS r ON r.oid = k.confrelid
LEFT JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE k.conrelid = to_regclass(:table) AND k.contype IN ('p', 'u', 'c', 'f', 'x')
ORDER BY k.conname
"""
_POSTGRESQL_COLUMN_KEYS = re.findall(r' AS "?(\w+)"?(?=,|\nFROM)', _POSTGRESQL_COLUMNS)
# What tells all of an ordinary column, at a quarter of what planning the joins above costs.
_POSTGRESQL_COLUMN = """
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END AS "null",
       'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) AS "default",
       (SELECT description FROM pg_description WHERE objoid = a.attrelid
        AND classoid = 'pg_class'::regclass AND objsubid = a.attnum) AS comment,
       (SELECT relkind::text FROM pg_class WHERE oid = a.attrelid) AS sort,
       a.attgenerated = '' AND a.attidentity = ''
       AND a.attcollation IN (0, 100 /* "default" */) AS is_ordinary
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass(:table) AND a.attname = :name
AND a.attnum > 0 AND NOT a.attisdropped
"""
# "constraint" is a subquery with both columns because the catalog has no index on conindid alone
_POSTGRESQL_INDEX = """
SELECT t.relname AS "table", i.indexrelid AS oid, i.indisunique AS "unique", i.indisvalid AS valid,
       (SELECT k.conname FROM pg_constraint AS k WHERE k.conrelid = i.indrelid
        AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) AS "constraint",
       CASE WHEN NOT pg_table_is_visible(c.oid)
            THEN (SELECT nspname FROM pg_namespace WHERE oid = c.relnamespace) END AS hidden_in
FROM pg_class AS c
JOIN pg_index AS i ON i.indexrelid = c.oid
JOIN pg_class AS t ON t.oid = i.indrelid
WHERE """
_POSTGRESQL_INDEX_ON = (
    f"{_POSTGRESQL_INDEX} c.relname = :name AND c.relnamespace ="
    " (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table))"
)
# All there is to know of most indexes: on that table, valid, and not a constraint's.
_POSTGRESQL_INDEX_ORDINARY = """
SELECT indexrelid AS oid, indrelid = to_regclass(:table) AND indisvalid
       AND NOT (indisunique OR indisexclusion) AS is_ordinary
FROM pg_index WHERE indexrelid = to_regclass(:index)
"""
_POSTGRESQL_INDEX_NAMED = f"{_POSTGRESQL_INDEX} c.oid = to_regclass(:index)"
_MYSQL = {
    "table": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE())"
    " AND table_name = :table AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
    "relation": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "sort": "SELECT CASE WHEN table_type IN ('VIEW', 'SEQUENCE') THEN LOWER(table_type)"
    " ELSE 'table' END FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "view": "SELECT view_definition FROM information_schema.views"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "column": "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND column_name = :name",
    "of type": " AND constraint_type = '{}'",
    "primary": "SELECT 1 FROM information_schema.table_constraints"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_type = 'PRIMARY KEY'",
    "unnamed": "SELECT 1 FROM information_schema.table_constraints AS k"
    " WHERE k.table_schema = COALESCE(:schema, DATABASE()) AND k.table_name = :table"
    " AND k.constraint_type = '{kind}'"
    " AND (SELECT GROUP_CONCAT(u.column_name ORDER BY u.ordinal_position)"
    " FROM information_schema.key_column_usage AS u WHERE u.table_schema = k.table_schema"
    " AND u.table_name = k.table_name AND u.constraint_name = k.constraint_name) = :name",
    "table comment": "SELECT table_comment FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "collation": "SELECT table_collation FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "named index": "SELECT index_name FROM information_schema.statistics"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND index_name = :name",
    "index": "SELECT * FROM information_schema.statistics"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND index_name = :name",
    "constraint types": "SELECT GROUP_CONCAT(constraint_type)"
    " FROM information_schema.table_constraints"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name",
    "constraint": "SELECT constraint_type FROM information_schema.table_constraints"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name",
}
_SQLITE = {
    "table": "SELECT name FROM :database.sqlite_master WHERE type = 'table'"
    " AND name = :table COLLATE NOCASE",
    "sql": "SELECT sql FROM :database.sqlite_master WHERE type = 'table'"
    " AND name = :table COLLATE NOCASE",
    "relation": "SELECT name FROM :database.sqlite_master WHERE type IN ('table', 'view')"
    " AND name = :table COLLATE NOCASE",
    "sort": "SELECT type FROM :database.sqlite_master WHERE type IN ('table', 'view')"
    " AND name = :table COLLATE NOCASE",
    "view": "SELECT sql FROM :database.sqlite_master WHERE type = 'view'"
    " AND name = :table COLLATE NOCASE",
    "column": "SELECT name FROM pragma_table_xinfo(:table, :schema)"
    " WHERE name = :name COLLATE NOCASE AND hidden <> 1",
    "named index": "SELECT name FROM :database.sqlite_master WHERE type = 'index'"
    " AND name = :name COLLATE NOCASE AND sql IS NOT NULL",
}
# sqlite_master has no index, and these need none: what they do not know is not there at all.
_SQLITE_KNOWN = {"named index": "pragma_index_xinfo(:name, :schema)"}
_SQLITE_KNOWN |= dict.fromkeys(
    ("table", "relation", "sort", "sql", "view"), "pragma_table_xinfo(:table, :schema)"
)
_SQLITE_INDEX = (
    "SELECT tbl_name, sql FROM"
    " (SELECT 1 WHERE EXISTS (SELECT 1 FROM pragma_index_xinfo(:name, :schema)))"
    " CROSS JOIN :database.sqlite_master"
    " WHERE type = 'index' AND name = :name COLLATE NOCASE AND sql IS NOT NULL"
)


def _ask(database: _Database, what: str, table: str, name: str, schema: str | None) -> Any:
    """Ask the catalog one thing; None when it is not there."""
    return _ask_all(database, [(what, table, name, schema)])[0]


def _ask_all(database: _Database, questions: Sequence[_Question]) -> list[Any]:
    """Ask the catalog several things in one statement; None for each that is not there."""
    return database.server.ask(database, questions) if questions else []


def _question_sql(database: _Database, question: _Question) -> str:
    """Return one question as a SELECT, with its values written into it."""
    catalog = database.server.questions
    return _placed(database, catalog.get(question[0], catalog["table"]), question)


def _placed(database: _Database, sql: str, question: _Question) -> str:
    """Return SQL with the placeholders of a question replaced.

    A revision asks each thing once: to prepare a statement takes longer than to plan it.
    """
    return filled_in(sql, database.server.placeholders(database, question))


def _answers(database: _Database, selects: Iterable[str]) -> list[Any]:
    """Answer questions in one statement."""
    found, _ = database.fetch(f"SELECT {', '.join(f'({sql} LIMIT 1)' for sql in selects)}")
    return list(found[0])


def _ask_in_one(database: _Database, questions: Sequence[_Question]) -> list[Any]:
    """Answer questions in one statement."""
    return _answers(database, [_question_sql(database, question) for question in questions])


def _rows(database: _Database, sql: str, question: _Question) -> list[dict[str, Any]]:
    """Ask the catalog for rows, as mappings."""
    found, names = database.fetch(_placed(database, sql, question))
    return [dict(zip(names, row, strict=True)) for row in found]


def _ask_each(database: _Database, questions: Sequence[Sequence[_Question]]) -> list[list[Any]]:
    """Ask several lists of questions in one statement; return a list of answers for each."""
    answers = iter(_ask_all(database, [question for some in questions for question in some]))
    return [list(itertools.islice(answers, len(some))) for some in questions]


def _columns(database: _Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Describe every column of a table."""
    return database.server.columns(database, table, schema)


def _postgresql_columns(
    database: _Database, table: str, schema: str | None
) -> dict[str, Definition]:
    rows = _rows(database, _POSTGRESQL_COLUMNS, ("columns", table, "", schema))
    return {row["name"]: _postgresql_column(row) for row in rows}


def _sqlite_columns(database: _Database, table: str, schema: str | None) -> dict[str, Definition]:
    columns = _inspected_columns(database, table, schema)
    said = _sqlite_said(database, table, schema)
    found = {column["name"]: _sqlite_column(database, column) for column in columns}
    return {name: column | said.get(name.lower(), {}) for name, column in found.items()}


def _column(database: _Database, table: str, name: str, schema: str | None) -> Definition | None:
    """Describe one column; None when it is not there."""
    if database.server.column is not None:
        return database.server.column(database, table, name, schema)
    columns, wanted = _columns(database, table, schema).items(), database.case_folded(name)
    return next(
        (found for column, found in columns if database.case_folded(column) == wanted), None
    )


def _postgresql_one_column(
    database: _Database, table: str, name: str, schema: str | None
) -> Definition | None:
    rows = _rows(database, _POSTGRESQL_COLUMN, ("column", table, name, schema))
    if not rows:
        return None
    row = rows[0]
    of = {"r": "", "p": "", "f": "", "v": "of a view"}.get(row["sort"], "of no table")
    if not row["is_ordinary"]:
        return _columns(database, table, schema)[database.truncated(name)] | {"of": of}
    said = {key: value for key, value in row.items() if key not in ("is_ordinary", "sort")}
    return _postgresql_column(dict.fromkeys(_POSTGRESQL_COLUMN_KEYS) | said) | {"of": of}


def _postgresql_column(row: dict[str, Any]) -> Definition:
    definition = {key: row[key] or "" for key in row if key != "name"}
    definition["default"] = _postgresql_default(definition["default"], definition["type"])
    definition["comment"] = _comment(definition["comment"])
    return definition


def _postgresql_default(text: str, type_: str) -> str:
    """Return one spelling for ``0``, ``'0'::bigint`` and ``('-0'::integer)::bigint``."""
    constant = r"DEFAULT [(]*(-?[\d.]+|'(?:[^']|'')*'|true|false)((?:::[\w ().,]+|[)])*)"
    literal = re.fullmatch(constant, text)
    if literal is None:
        return text
    value = literal[1]
    if type_ == "boolean" and value.strip("'") in ("t", "true", "f", "false"):
        return f"DEFAULT {'true' if value.strip(chr(39))[0] == 't' else 'false'}"
    if re.match("smallint|integer|bigint|numeric|real|double|money", type_):
        value = value.strip("'")
    return f"DEFAULT {value}"


def _sqlite_column(database: _Database, column: Any) -> Definition:
    default, type_ = column["default"], column["type"]
    default = "" if default is None else _sqlite_default(default)
    return {
        "type": ""
        if isinstance(type_, sa.types.NullType)
        else type_.compile(dialect=database.dialect),
        "null": "NULL" if column["nullable"] else "NOT NULL",
        "default": f"DEFAULT {default}" if default else "",
        "computed": "",
        "comment": "",
        "collate": "",
    }


def _sqlite_said(database: _Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Return what no pragma tells of a column: its COLLATE, and what it is computed from."""
    sql: str | None = _ask(database, "sql", table, "", schema)
    if sql is None or re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I):
        return {}
    items = filter(is_column, parse_create_table(sql).items)
    return {column_name(item): _sqlite_spoken(split_clauses(item)[1:]) for item in items}


def _sqlite_spoken(clauses: list[str]) -> Definition:
    found: Definition = {}
    for tokens in (split_name(clause)[1] for clause in clauses):
        word, end = tokens[0].upper(), closing_parenthesis(tokens)
        if word == "COLLATE" and unquoted(tokens[1]).upper() != "BINARY":
            found["collate"] = f"COLLATE {unquoted(tokens[1]).upper()}"
        if word in ("GENERATED", "AS"):
            text = " ".join(tokens[tokens.index("(") : end + 1])
            stored = " STORED" if "STORED" in map(str.upper, tokens[end:]) else ""
            found["computed"] = f"GENERATED ALWAYS AS {text}{stored}"
    return found


def _sqlite_default(text: str) -> str:
    """Return one spelling for the several that SQLite keeps as the author wrote them."""
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    text = re.sub(r"^'(-?\d+(\.\d+)?)'$", r"\1", text)
    return {"true": "1", "false": "0", "null": ""}.get(text.lower(), text)


def _constraint_type(
    database: _Database, table: str, name: str, schema: str | None, type_: str | None = None
) -> str | None:
    """Return the type of a constraint as Alembic names it, None when it is not there."""
    if "constraint types" not in database.server.questions:
        constraints = database.server.constraints(database, table, schema)
        types = {database.case_folded(found): kind for found, kind, _ in constraints if found}
        return types.get(database.case_folded(name))
    if type_ == "primary":
        name = database.server.primary_key_name or name
    return _type_among(_ask(database, "constraint types", table, name, schema), type_)


def _type_among(answer: str | bytes | None, likely: str | None) -> str | None:
    """Return the type that the catalog answered with; the likely one where it knows several.

    On MariaDB and MySQL a key and a foreign key may have one name.
    """
    text = answer.decode() if isinstance(answer, bytes) else answer or ""
    types = [_CONSTRAINT_TYPES[code] for code in text.split(",") if code in _CONSTRAINT_TYPES]
    return likely if likely in types else next(iter(types), None)


_CONSTRAINT_TYPES = {"u": "unique", "c": "check", "f": "foreignkey", "p": "primary"}
_CONSTRAINT_TYPES |= {"x": "exclude", "UNIQUE": "unique", "CHECK": "check"}
_CONSTRAINT_TYPES |= {"FOREIGN KEY": "foreignkey", "PRIMARY KEY": "primary"}


def _index(
    database: _Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    """Describe an index: its table, its definition; ``invalid``, ``constraint`` where it is so."""
    return database.server.index(database, table, name, schema)


# ...................................................................................... PostgreSQL


@dataclass
class _Known:
    """What needs no look: a table that a transaction has made is its own, until it is committed.

    It has no index but those that were made with it, or noted since.
    """

    of: weakref.ref[sa.Transaction]
    made: dict[tuple[str, str | None], set[str]] = field(default_factory=dict)  # table -> indexes

    def has(self, question: _Question) -> bool:
        """Tell whether the answer is known."""
        what, table, name, schema = question
        indexes = self.made.get((table, schema))
        if indexes is None:
            return False
        return what in ("table", "indexable") or (what == "named index" and name not in indexes)

    def answer(self, question: _Question) -> str | None:
        """Return the answer to a question that it has."""
        return question[1] if question[0] in ("table", "indexable") else None


def _known(database: _Database) -> _Known | None:
    """Return what is known in the transaction that is running."""
    known: _Known | None = database.connection.info.get(_MADE)
    return known if known is not None and known.of() is _transaction(database) else None


def _transaction(database: _Database) -> sa.Transaction | None:
    return database.connection.get_nested_transaction() or database.connection.get_transaction()


def _remember_table(step: _Step) -> None:
    """Remember a table that was made, with its indexes."""
    transaction = _transaction(step.database)
    if transaction is None or step.database.autocommits:
        return
    known = _known(step.database) or _Known(weakref.ref(transaction))
    step.database.connection.info[_MADE] = known
    names = {str(thing.name) for thing in (*step.wanted.constraints, *step.wanted.indexes)}
    known.made[step.table, step.schema] = names


def _remember_index(step: _Step) -> None:
    """Remember an index that was made on such a table."""
    known = _known(step.database)
    if known is not None and (step.table, step.schema) in known.made:
        known.made[step.table, step.schema].add(str(step.name))


def _postgresql_ask(database: _Database, questions: Sequence[_Question]) -> list[Any]:
    """Answer several questions in one statement, or without one what is known."""
    known = _known(database)
    if known is not None and all(map(known.has, questions)):
        return [known.answer(question) for question in questions]
    return _ask_in_one(database, questions)


def _postgresql_placeholders(database: _Database, question: _Question) -> dict[str, str]:
    _, table, name, schema = question
    values = {
        "table": database.quoted(table, schema),
        "name": database.truncated(name),
        "index": database.quoted(database.truncated(name), schema),
    }
    return {key: postgresql_literal(value) for key, value in values.items()}


def _mysql_ask(database: _Database, questions: Sequence[_Question]) -> list[Any]:
    """Answer several questions; a name that nothing can have is not asked for."""
    possible = [q for q in questions if not _mysql_impossible(f"{q[1]}{q[2]}{q[3] or ''}")]
    answers = iter(_ask_in_one(database, possible) if possible else [])
    return [next(answers) if question in possible else None for question in questions]


def _mysql_placeholders(database: _Database, question: _Question) -> dict[str, str]:
    _, table, name, schema = question
    named = {"table": database.literal(table), "name": database.literal(name)}
    return named | {"schema": database.literal(schema) if schema else "NULL"}


def _sqlite_placeholders(database: _Database, question: _Question) -> dict[str, str]:
    _, table, name, schema = question
    values = {"table": table, "name": name, "schema": schema or "main"}
    written = {key: literal(value) for key, value in values.items()}
    return written | {"database": database.quoted(schema or "main")}


def _postgresql_constraints(
    database: _Database, table: str, schema: str | None
) -> list[_Constraint]:
    rows = _rows(database, _POSTGRESQL_CONSTRAINTS, ("constraints", table, "", schema))
    return [_postgresql_constraint(database, row) for row in rows]


def _postgresql_constraint(database: _Database, row: Any) -> _Constraint:
    type_ = row["type"].decode() if isinstance(row["type"], bytes) else row["type"]
    if type_ == "p":
        return row["name"], "primary", f"PRIMARY KEY {in_parentheses(row['columns'])}"
    if type_ == "u":
        options = {f"postgresql_{key}": row[key] for key in ("nulls_not_distinct", "include")}
        text = _unique_text(row["columns"], options)
        return row["name"], "unique", text + _deferral(row["deferrable"], row["deferred"])
    if type_ == "x":
        return row["name"], "exclude", row["exclusion"]
    if type_ == "c":
        return row["name"], "check", f"CHECK ({row['check']}){row['unvalidated']}"
    words = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
    acts = {key: row[key] for key in ("onupdate", "ondelete")}
    acts = {k: v.decode() if isinstance(v, bytes) else v for k, v in acts.items()}
    options = {key: words[value] for key, value in acts.items()}
    options |= {"deferrable": row["deferrable"], "match": "FULL" if row["matches_full"] else None}
    options |= {"initially": "DEFERRED" if row["deferred"] else None}
    options["ondelete"] += row["of_columns"] or ""
    names = ("referred_schema", "referred_table", "referred_columns")
    key = {name: row[name] for name in names} | {"constrained_columns": row["columns"]}
    text = _foreign_key_text(database, key | {"options": options})
    return row["name"], "foreignkey", text + row["unvalidated"]


def _postgresql_index(
    database: _Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    """Look without ``pg_get_indexdef``, which waits for whoever alters the table."""
    question = ("index", table or "", name, schema)
    if table:
        rows = _rows(database, _POSTGRESQL_INDEX_ORDINARY, question)
        if rows and rows[0]["is_ordinary"]:
            return {
                "table": f"ON {database.truncated(table)}",
                "oid": str(rows[0]["oid"]),
                "definition": "",
            }
    rows = _rows(database, _POSTGRESQL_INDEX_ON if table else _POSTGRESQL_INDEX_NAMED, question)
    if not rows:
        return None
    row = rows[0]
    found = {"table": f"ON {row['table']}", "definition": "UNIQUE " if row["unique"] else ""}
    found |= {} if row["valid"] else {"invalid": "INVALID"}
    found |= {key: row[key] for key in ("constraint", "hidden_in") if row[key]}
    return found | {"oid": str(row["oid"])}


def _postgresql_defined(database: _Database, found: Definition) -> Definition:
    """Return an index that was found with its definition, as the server spells it."""
    sql = f"SELECT pg_get_indexdef({found['oid']})"
    text = str(database.run(sql).scalar()).split(" USING ", 1)[1]
    return {"table": found["table"], "definition": f"{found['definition']}USING {text}"} | {
        key: value for key, value in found.items() if key in ("invalid", "constraint")
    }


def _postgresql_index_text(step: _Step) -> str:
    """Let the server say what the wanted index is, on a scratch table with the same columns."""
    operation = copy.copy(step.operation)
    operation.index_name, operation.table_name, operation.schema = (
        "_alembic_scratch_ix",
        _SCRATCH,
        None,
    )
    operation.kw = {k: v for k, v in operation.kw.items() if k != "postgresql_concurrently"}
    with _scratch(step, *_plain_columns(step)):
        step.operations.impl.create_index(operation.to_index(step.operations.migration_context))
        found = _postgresql_index(step.database, None, "_alembic_scratch_ix", "pg_temp")
        assert found is not None
        return _postgresql_defined(step.database, found)["definition"]


def _postgresql_create_index(step: _Step) -> None:
    if not step.operation.kw.get("postgresql_concurrently", False):
        _drop_invalid(step, concurrently=False)
        _any_create_index(step)
        _remember_index(step)
        return
    with _outside_transaction(step):
        _drop_invalid(step, concurrently=True)
        _invoke(step)
        found = _index(step.database, step.table, str(step.name), step.schema)
    if found is None or "invalid" in found:
        _stop(
            UnsafeOperation,
            f"{step.call}: the index was built, and is INVALID.",
            ("an INVALID index, which no query uses", "a valid index"),
            "Stopped, because a build that met duplicates or a lock was not repeated.",
            "alembic upgrade head  # again: drops it and builds it anew",
        )


def _drop_invalid(step: _Step, concurrently: bool) -> None:
    if not step.is_invalid:
        return
    _decide("apply", step, "INVALID after a failed build, dropped to be built again")
    how: dict[str, Any] = {"postgresql_concurrently": True} if concurrently else {}
    drop = ops.DropIndexOp(str(step.name), step.table, schema=step.schema, **how)
    Operations(step.operations.migration_context).invoke(drop)


def _postgresql_script_index(step: _Step) -> None:
    """Write CREATE or DROP INDEX, outside of the transaction where it is CONCURRENTLY.

    What a failed build left is dropped first: IF NOT EXISTS would be content with it.
    """
    concurrently = step.operation.kw.get("postgresql_concurrently", False)
    if step.verb == "create_index" and concurrently:
        drop = step.database.quoted(step.database.truncated(str(step.name)), step.schema)
        step.write_if(_there(step, what="invalid"), f"DROP INDEX {drop}")
    context = step.operations.migration_context
    with context.autocommit_block() if concurrently else nullcontext():
        _script_guarded(step)


def _postgresql_script_label(step: _Step) -> None:
    """Write ADD VALUE outside of the transaction, so that what follows can use the value."""
    with step.operations.migration_context.autocommit_block():
        step.write(_add_label_sql(step))


def _postgresql_script_rename_label(step: _Step) -> None:
    """Write the rename: only the new one there, skip; both or neither, the server's own error."""
    sql = step.server.questions["label"]
    old, new = (_exists(step, sql, str(step.name), value) for value in step.wanted)
    step.write_if(f"{old} OR NOT {new}", _rename_label_sql(step))


def _postgresql_script_view(step: _Step) -> None:
    """Write a replacement that falls back to DROP and CREATE where the columns change."""
    tag, steps = "sql", (_replace_view_sql, _drop_sql, _create_view_sql)
    replace, drop, create = (dollar_quoted(say(step), tag) for say in steps)
    text = (
        f"BEGIN\n  EXECUTE {replace};\nEXCEPTION WHEN invalid_table_definition THEN\n"
        f"  EXECUTE {drop};\n  EXECUTE {create};\nEND"
    )
    step.write(f"DO {dollar_quoted(text, 'alembic')}")


def _sqlite_script_view(step: _Step) -> None:
    step.write(_drop_sql(step))
    step.write(_create_view_sql(step))


def _script_nothing(step: _Step) -> None:
    _decide("skip", step, "this server validates a constraint when it is made")


def _script_as_it_is(step: _Step) -> None:
    """Write a statement that can be run twice."""
    step.write(str(_statement_of(step)))


def _postgresql_drop_index(step: _Step) -> None:
    concurrently = step.operation.kw.get("postgresql_concurrently", False)
    if step.schema is None and step.found and "hidden_in" in step.found:
        step.operation.schema = step.found["hidden_in"]  # by its name alone another would be found
    if concurrently:
        name = str(step.name)
        _need_undivided(step, _ask(step.database, "partitions", name, name, step.operation.schema))
    with _outside_transaction(step) if concurrently else nullcontext():
        _invoke(step)


def _need_undivided(step: _Step, parts: list[str | None] | None) -> None:
    """Refuse, before anything is committed, what cannot be done so to a partitioned table.

    :param parts: the partitions, None for a table that is whole.

    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    if parts is None:
        return
    name = str(step.name) if step.verb == "drop_index" else step.table
    plain = _undivided_code(step, str(step.name), step.table)
    code = [f"{plain}  # without postgresql_concurrently and the like: it locks"]
    if parts[0] is not None and step.verb != "drop_index":
        part = _undivided_code(step, f"{step.name}_{parts[0]}", parts[0])
        code = [f"{part[:-1]}, postgresql_concurrently=True)  # and so for each partition; then"]
        code += [f"{plain}  # which takes those, and is quick"]
    what = "index" if step.verb == "drop_index" else "table"
    _stop(
        UnsafeOperation,
        f"{step.call}: cannot do this concurrently to a partitioned {what}.",
        (f"{name}, partitioned into {', '.join(filter(None, parts)) or 'nothing'}", f"a {what}"),
        "Stopped, because this server can only do it to the partitions.",
        *code,
    )


def _is_for_undivided(step: _Step) -> bool:
    if step.kind == "foreignkey":  # https://www.postgresql.org/docs/18/release-18.html
        late = step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid")
        return bool(late) and (step.database.dialect.server_version_info or ()) < (18,)
    concurrently: bool = getattr(step.operation, "kw", {}).get("postgresql_concurrently", False)
    return step.kind in ("unique", "index") and (step.concurrently or concurrently)


def _undivided_code(step: _Step, name: str, table: str) -> str:
    """Return the verb without what a partitioned table cannot have, for a name and a table."""
    if step.verb == "drop_index":
        code = f"helpers.drop_index({name!r}, {table!r})"
    elif step.kind == "index":
        columns = [getattr(column, "name", None) for column in step.wanted.expressions]
        listed = columns if None not in columns else "[...]"
        unique = ", unique=True" if step.wanted.unique else ""
        code = f"helpers.create_index({name!r}, {table!r}, {listed}{unique})"
    else:
        constraint = copy.copy(step.wanted)
        constraint.name = name
        code = _constraint_code(table, constraint, "")
    return _in_schema(step, code)


def _postgresql_add_constraint(step: _Step) -> None:
    """Add it; concurrently NOT VALID first, because to read all rows takes long."""
    if not step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid"):
        return _any_add_constraint(step)
    step.wanted.dialect_kwargs["postgresql_not_valid"] = True
    with _outside_transaction(step):
        _any_add_constraint(step)
        _postgresql_validate(step)


def _postgresql_validate(step: _Step) -> None:
    try:
        step.database.run(_validate_sql(step))
    except sa.exc.IntegrityError as error:
        names = f"{str(step.name)!r}, {step.table!r}{_schema_code(step.schema)}"
        drop = f"helpers.drop_constraint({names})"
        _stop(
            UnsafeOperation,
            f"{step.call}: some rows do not fulfil it.",
            (" ".join(str(error.orig).split()), "rows that all fulfil it"),
            "Stopped, and left NOT VALID: it holds for what is written from now on, so that an"
            " UPDATE of such a row fails, too, unless it mends it.",
            f"helpers.execute('UPDATE {step.table} SET ...')  # before this line: mend the rows",
            f"# or lift it until then: {drop}",
        )


def _postgresql_add_unique(step: _Step) -> None:
    """Add it; concurrently of an index, which is built, or found, by its own verb."""
    if not step.concurrently:
        return _any_add_constraint(step)
    with _outside_transaction(step):
        step.operations.invoke(_unique_index(step))
        step.database.run(_using_index_sql(step))


def _unique_index(step: _Step) -> ops.CreateIndexOp:
    """Return what makes the index of which a unique constraint is to be made."""
    names = [column.name for column in step.wanted.columns]
    kw = {k: v for k, v in step.wanted.dialect_kwargs.items() if k.startswith("postgresql_")}
    kw |= {"postgresql_concurrently": True}
    name = sa.schema.conv(str(step.name))
    return ops.CreateIndexOp(name, step.table, names, schema=step.schema, unique=True, **kw)


def _using_index_sql(step: _Step) -> str:
    table = step.database.quoted(step.table, step.schema)
    name = step.database.quoted(step.database.truncated(str(step.name)))
    deferred = (step.wanted.initially or "").upper() == "DEFERRED"
    later = _deferral(step.wanted.deferrable, deferred)
    return f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{later}"


def _postgresql_alter_column(step: _Step) -> Any:
    """Alter it; concurrently NOT NULL comes last, when a check has read the rows.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
    """
    if not (step.concurrently and step.operation.modify_nullable is False):
        return _invoke(step)
    rest, alone = _nullable_apart(step)
    if rest.operation.has_changes():
        _invoke(rest)
    with _outside_transaction(step):
        try:
            step.operations.invoke(_not_null_check(step))
        except UnsafeOperation:
            step.operations.invoke(_drop_not_null_check(step))
            _stop(
                UnsafeOperation,
                f"{step.call}: cannot be NOT NULL.",
                (f"rows in which {step.name} is NULL", "none"),
                "Stopped, because only a person knows what they should have.",
                f"helpers.backfill({step.table!r}, {{{step.name!r}: ...}},"
                f" where='{step.name} IS NULL')  # before this line",
            )
        _invoke(alone)
        step.operations.invoke(_drop_not_null_check(step))


def _nullable_apart(step: _Step) -> tuple[_Step, _Step]:
    """Return what an ``alter_column`` asks for without its NOT NULL, and that alone."""
    rest, alone = copy.copy(step), copy.copy(step)
    rest.operation = copy.copy(step.operation)
    rest.operation.modify_nullable = None
    alone.name = step.operation.modify_name or step.name
    alone.operation = ops.AlterColumnOp(
        step.table, str(alone.name), modify_nullable=False, schema=step.schema
    )
    return rest, alone


def _not_null_name(step: _Step) -> str:
    return f"_alembic_not_null_{step.name}"


def _not_null_check(step: _Step) -> ops.CreateCheckConstraintOp:
    """Return what makes the check that reads the rows before NOT NULL does."""
    condition: Any = sa.column(str(step.name)).is_not(None)
    kw: dict[str, Any] = {"schema": step.schema, "postgresql_concurrently": True}
    name = sa.schema.conv(_not_null_name(step))
    return ops.CreateCheckConstraintOp(name, step.table, condition, **kw)


def _drop_not_null_check(step: _Step) -> ops.DropConstraintOp:
    name = sa.schema.conv(_not_null_name(step))
    return ops.DropConstraintOp(name, step.table, "check", schema=step.schema)


def _postgresql_left_over(step: _Step) -> None:
    """Drop the check that a run left which was killed after SET NOT NULL."""
    type_ = _constraint_type(step.database, step.table, _not_null_name(step), step.schema, "check")
    if step.operation.modify_nullable is False and type_ is not None:
        step.operations.invoke(_drop_not_null_check(step))


def _postgresql_add_column(step: _Step) -> None:
    """Add it, unless its rows would each get a value of their own while nobody can use the table.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
    """
    _require_one_default(step)
    _any_add_column(step)


def _postgresql_script_add_column(step: _Step) -> None:
    _require_one_default(step)
    _script_guarded(step)


def _require_one_default(step: _Step) -> None:
    """Refuse to add a column concurrently whose default calls a function, for each row maybe."""
    column = step.wanted
    sql: Any = getattr(column.server_default, "arg", "")
    if not step.concurrently or isinstance(sql, str):
        return
    text = _unescaped_percent(
        str(sql.compile(dialect=step.database.dialect)), step.database.dialect
    )
    if "(" not in text:
        return
    on, name = repr(step.table), repr(str(column.name))
    schema = _schema_code(step.schema)
    code = [
        f"helpers.add_column({on}, sa.Column({name}, {_code(column.type)}){schema})",
        f"helpers.alter_column({on}, {name}, server_default={_default_code(text)}{schema})",
        f"helpers.backfill({on}, {{{name}: {_default_code(text)}}}, where='{column.name} IS NULL'"
        f"{schema})",
    ]
    if not column.nullable:
        code.append(
            f"helpers.alter_column({on}, {name}, nullable=False{schema},"
            " postgresql_concurrently=True)"
        )
    _stop(
        UnsafeOperation,
        f"{step.call}: cannot do this concurrently with a default that calls a function.",
        (f"no column {column.name}", f"{column.name} with DEFAULT {text}"),
        "Stopped, because a default that differs from row to row has the server write the whole"
        " table while nobody can use it.",
        *code,
    )


def _postgresql_resume(step: _Step, found: Definition) -> Definition:
    """Finish what a run that was killed began; return what is there then."""
    if step.kind == "column":
        return found
    whole = found.get("definition", "").removesuffix(" NOT VALID")
    wanted = _WANT[step.kind](step) or {"definition": whole}
    if whole != found.get("definition") and not _diff(step.server, {"definition": whole}, wanted):
        _decide("apply", step, "NOT VALID until now")
        with _outside_transaction(step):
            _postgresql_validate(step)
        return {"definition": whole}
    return found


def _postgresql_script_constraint(step: _Step) -> None:
    """Write it; concurrently NOT VALID, and what validates it, each a transaction of its own."""
    if not step.concurrently or step.wanted.dialect_kwargs.get("postgresql_not_valid"):
        return _script_guarded(step)
    step.wanted.dialect_kwargs["postgresql_not_valid"] = True
    with step.operations.migration_context.autocommit_block():
        _script_guarded(step)
        step.write(_validate_sql(step))


def _postgresql_script_unique(step: _Step) -> None:
    if not step.concurrently:
        return _script_guarded(step)
    step.operations.invoke(_unique_index(step))
    with step.operations.migration_context.autocommit_block():
        step.write_if(f"NOT {_there(step)}", _using_index_sql(step))


def _postgresql_script_alter(step: _Step) -> None:
    if not (step.concurrently and step.operation.modify_nullable is False):
        return _script_alter_column(step)
    rest, alone = _nullable_apart(step)
    if rest.operation.has_changes() or rest.operation.modify_name:
        _script_alter_column(rest)
    [plain] = _plain_sql(alone)
    _script_not_null(alone, _exists(alone, _NULLABLE, step.table, str(alone.name)), plain)


def _postgresql_script_altered(step: _Step) -> None:
    """Write an ALTER; to make an identity, or an end of one, with the guard that it needs."""
    is_identity = _exists(step, _IS_IDENTITY, step.table, str(step.name))
    for sql in _plain_sql(step):
        words = [token.upper() for token in tokenize(sql) if not is_noise(token)]
        if words[-2:] == ["DROP", "IDENTITY"]:
            step.write(f"{sql} IF EXISTS")
        elif "IDENTITY" in words and "GENERATED" in words and "ADD" in words:
            step.write_if(f"NOT {is_identity}", sql)
        elif words[-2:-1] != ["COLUMN"]:  # else nothing of an identity is to change
            step.write(sql)


_IS_IDENTITY = (
    "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :name"
    " AND attidentity <> ''"
)


_NULLABLE = (
    "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :name"
    " AND NOT attnotnull"
)


def _script_not_null(step: _Step, todo: str, plain: str) -> None:
    """Write the steps to NOT NULL, each in a transaction of its own, with their condition.

    :param plain: the last of them, which needs none.
    """
    table, column = (
        step.database.quoted(step.table, step.schema),
        step.database.quoted(str(step.name)),
    )
    alter, check = f"ALTER TABLE {table}", step.database.quoted(_not_null_name(step))
    drop = f"DROP CONSTRAINT IF EXISTS {check}"
    add = f"ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID"
    with step.operations.migration_context.autocommit_block():
        step.write_if(todo, f"{alter} {drop}, {add}")
        step.write_if(todo, f"{alter} VALIDATE CONSTRAINT {check}")
        step.write(plain)
        step.write(f"{alter} {drop}")


@contextmanager
def _outside_transaction(step: _Step, what: str = "do this concurrently") -> Iterator[None]:
    """Open Alembic's autocommit block, for what cannot run in a transaction.

    It asserts when somebody else than Alembic began the transaction: one that only our own look
    began is committed, one that ``env.py`` holds is not ours to commit.
    """
    context = step.operations.migration_context
    if step.database.connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        yield  # the revision opened the block itself
        return
    if getattr(context, "_in_external_transaction", False):
        _stop(
            UnsafeOperation,
            f"{step.call}: cannot {what} inside a transaction.",
            (
                "a transaction that env.py began before context.configure()",
                "none, or Alembic's own",
            ),
            "Stopped, because committing it here would commit what env.py wanted to keep together.",
            "connection.commit()  # in env.py, before context.configure(connection=connection)",
        )
    if getattr(context, "_transaction", None) is None and step.database.connection.in_transaction():
        step.database.connection.commit()
    with context.autocommit_block():
        yield


def _cast_code(step: _Step, column: str, type_: str) -> list[str]:
    """Return the cast that PostgreSQL wants to be told; ``%`` doubled, as the driver reads it."""
    if not step.server.needs_cast:
        return []
    using = f"{step.database.quoted(column)}::{type_}".replace("%", "%%")
    return [f"postgresql_using={using!r}"]


def _postgresql_hidden_schema(database: _Database, schema: str, table: str) -> str | None:
    """Return the schema that a table must be named with, None when the search path finds it."""
    short = postgresql_literal(database.quoted(table))
    long = postgresql_literal(database.quoted(table, schema))
    found, _ = database.fetch(f"SELECT to_regclass({short}) = to_regclass({long})")
    return None if found[0][0] else schema


def _postgresql_create_table(step: _Step) -> sa.Table:
    """Create the table; an enum type that is there already is confirmed, not made twice."""
    table: sa.Table = step.wanted
    kinds: list[Any] = [column.type for column in table.columns]
    enums = {t.name: t for t in kinds if isinstance(t, sa.Enum) and t.native_enum and t.name}
    there = [t for t in enums.values() if _enum_labels(step.database, str(t.name), t.schema)]
    if not there:
        _any_create_table(step)
        _remember_table(step)
        return table
    for type_ in enums.values():
        if not getattr(type_, "create_type", True):
            continue  # it is said to be there; which labels it has is not said, or believed
        named = str(type_.name), type_.schema
        _ensure(
            _step_without_table(step.operations, "create_enum", "enum", *named, list(type_.enums))
        )
    impl: Any = step.operations.impl
    impl.execute(CreateTable(table))
    for index in _by_name(table.indexes):
        impl.create_index(index)
    if table.comment is not None:
        impl.create_table_comment(table)
    for column in table.columns:
        if column.comment is not None:
            impl.create_column_comment(column)
    _remember_table(step)
    return table


def _create_enum_sql(step: _Step) -> str:
    labels = ", ".join(map(postgresql_literal, step.wanted))
    return f"CREATE TYPE {step.database.quoted(str(step.name), step.schema)} AS ENUM ({labels})"


def _enum_labels(database: _Database, name: str, schema: str | None) -> list[str] | None:
    labels: list[str] | None = _ask(database, "labels", name, name, schema)
    return labels


def _view_select(database: _Database, name: str, schema: str | None) -> str | None:
    """Return the SELECT of a view, as the server keeps it."""
    text: str | None = _ask(database, "view", name, name, schema)
    return None if text is None else database.server.view_select(text)


def _sqlite_view_select(text: str) -> str:
    """Return the SELECT of a CREATE VIEW."""
    tokens = tokenize(text)
    return "".join(tokens[[token.upper() for token in tokens].index("AS") + 1 :])


def _postgresql_replace_view(step: _Step) -> None:
    """Replace it; drop and make it anew where PostgreSQL refuses because its columns change."""
    savepoint = step.database.connection.begin_nested()
    try:
        step.database.run(_replace_view_sql(step))
        savepoint.commit()
        return
    except sa.exc.DBAPIError as error:
        savepoint.rollback()
        if getattr(error.orig, "sqlstate", None) not in _CANNOT_REPLACE:
            raise
    savepoint = step.database.connection.begin_nested()
    try:
        step.database.run(_drop_sql(step))
        step.database.run(_create_view_sql(step))
        savepoint.commit()
    except sa.exc.DBAPIError as error:
        savepoint.rollback()
        _stop(
            UnsafeOperation,
            f"{step.call}: the columns of the view change, and other things use it.",
            (" ".join(str(error.orig).split()), "no view that uses this one"),
            "Stopped, because what uses the view would have to be dropped with it.",
            "helpers.drop_view(...)  # what uses it, before this line; create_view it after",
        )


_OF_THE_TYPE = {"postgresql_using"}  # what Alembic refuses without a type

_CANNOT_REPLACE = {"42P16"}  # invalid_table_definition


def _sqlite_replace_view(step: _Step) -> None:
    with _sqlite_atomic(step.database):
        if _find_view(step) is not None:
            step.database.run(_drop_sql(step))
        step.database.run(_create_view_sql(step))


def _wanted_select(database: _Database, definition: str) -> str | None:
    """Return a SELECT as the server would keep it; None where only the name can be compared."""
    temporary = "TEMPORARY " if database.server.temporary_views else ""
    with _forgotten(database, "VIEW"):
        database.run(f"CREATE {temporary}VIEW {_SCRATCH} AS {definition}")
        return _view_select(database, _SCRATCH, database.server.scratch_schema)


def _way_to_enum(step: _Step) -> list[str]:
    """Return code that gives the type its values: one by one, or under another name."""
    name, values = str(step.name), step.wanted
    schema = _schema_code(step.schema)
    found = _enum_labels(step.database, name, step.schema) or []
    if [value for value in values if value in found] != found:
        return [f"helpers.create_enum({name + '_new'!r}, {values!r})  # and alter_column to it"]
    lines = []
    for position, value in enumerate(values):
        if value not in found:
            beside = f"after={values[position - 1]!r}" if position else f"before={found[0]!r}"
            lines.append(f"helpers.add_enum_value({name!r}, {value!r}, {beside}{schema})")
    return lines


@contextmanager
def _forgotten(database: _Database, what: str = "TABLE") -> Iterator[None]:
    """Leave nothing of what is made within, an error included."""
    if database.server.undoes_scratch and not database.autocommits:
        savepoint = database.connection.begin_nested()
        try:
            yield
        finally:
            savepoint.rollback()
        return
    try:
        yield
    finally:
        is_table = database.server.drops_temporary and what == "TABLE"
        temporary = "TEMPORARY " if is_table else ""
        database.run(f"DROP {temporary}{what} IF EXISTS {_SCRATCH}")


_STORAGE = ("row_format", "key_block_size", "tablespace", "directory", "partition", "compress")


def _scratch_options(options: Any) -> dict[str, Any]:
    """Return the options of a table without those of its storage, which temporary ones refuse."""
    return {k: v for k, v in options.items() if not any(word in k for word in _STORAGE)}


# .............................................................................. MariaDB and MySQL


# what InnoDB makes of a TEXT column without a length: 3072 bytes, by the width of a character
_MYSQL_WHOLE = (None, 768, 1024, 3072)


def _mysql_index(
    database: _Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    if not table:
        raise CommandError(
            f"drop_index({name!r}): MariaDB and MySQL keep an index with its table.\n"
            f"Name the table:\n    helpers.drop_index({name!r}, 'its_table')"
        )
    if _mysql_impossible(table + name + (schema or "")):
        return None
    found = _rows(database, _MYSQL["index"], ("index", table, name, schema))
    rows = [{key.lower(): value for key, value in row.items()} for row in found]
    if not rows or name.upper() == "PRIMARY":
        return None
    parts = [
        (database.quoted_if_needed(row["column_name"]) or f"({row.get('expression')})")
        + (f"({row['sub_part']})" if row["sub_part"] not in _MYSQL_WHOLE else "")
        + (" DESC" if row["collation"] == "D" else "")
        for row in sorted(rows, key=lambda row: int(row["seq_in_index"]))
    ]
    prefix = {0: "UNIQUE "}.get(int(rows[0]["non_unique"]), "")
    prefix = {"FULLTEXT": "FULLTEXT ", "SPATIAL": "SPATIAL "}.get(rows[0]["index_type"], prefix)
    return {"table": f"ON {table}", "definition": prefix + in_parentheses(parts)}


def _mysql_table_defaults(step: _Step) -> dict[str, Any]:
    """Return what decides over a column that says nothing of its collation."""
    if not step.table:
        return {}
    found = _ask(step.database, "collation", step.table, "", step.schema)
    return {f"{step.database.dialect.name}_collate": found} if found else {}


def _mysql_impossible(name: str) -> bool:
    """Tell whether no name can be so: https://mariadb.com/kb/en/identifier-names/"""
    return any(ord(char) > 0xFFFF for char in name)


def _mysql_is_temporary(step: _Step) -> bool:
    try:
        table = step.database.quoted(step.table, step.schema)
        row: Any = step.database.run(f"SHOW CREATE TABLE {table}").first()
    except sa.exc.DBAPIError:  # there is none at all
        return False
    return _is_made_temporary(row[1])


def _is_made_temporary(sql: str) -> bool:
    return sql.upper().startswith("CREATE TEMPORARY")


def _mysql_items(database: _Database, table: str, schema: str | None) -> list[str]:
    row: Any = database.run(f"SHOW CREATE TABLE {database.quoted(table, schema)}").first()
    if _is_made_temporary(row[1]) and table != _SCRATCH:
        _hides(f"table {table!r}", table)
    return [item.strip() for item in parse_create_table(_mysql_doubled(row[1])).items]


def _mysql_doubled(sql: str) -> str:
    """Write each quote in a string as two, which MariaDB writes with a backslash in some places."""

    def doubled(match: re.Match[str]) -> str:
        inside = re.sub(
            r"\\(.)", lambda m: "''" if m[1] == "'" else m[0], match[0][1:-1], flags=re.S
        )
        return f"'{inside}'" if match[0][0] == "'" else match[0]

    return re.sub(r"(?s)`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'", doubled, sql)


_MYSQL_STARTS = {"NOT", "NULL", "DEFAULT", "AUTO_INCREMENT", "ON", "COMMENT", "GENERATED", "CHECK"}
_MYSQL_STARTS |= {"INVISIBLE"}


def _mysql_columns(database: _Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Read the columns from SHOW CREATE TABLE, which also knows temporary tables."""
    items = [item for item in _mysql_items(database, table, schema) if item[0] in '`"']
    return {unquoted(tokenize(item)[0]): _mysql_column(item) for item in items}


def _mysql_column(item: str) -> Definition:
    first, *clauses = split_clauses(item, _MYSQL_STARTS)
    said = {clause.split()[0].upper(): clause.strip() for clause in clauses}
    default = said.get("DEFAULT", "").removesuffix("DEFAULT NULL")
    default = " ".join([default, said.get("ON", "")]).strip()
    return {
        "type": first.removeprefix(tokenize(item)[0]).strip(),
        "null": "NOT NULL" if "NOT" in said else "NULL",
        "default": said.get("AUTO_INCREMENT", default),
        "computed": said.get("GENERATED", ""),
        "comment": _comment(_mysql_text(said.get("COMMENT", "").removeprefix("COMMENT "))),
    }


def _mysql_text(literal: str) -> str:
    """Return what a string literal of SHOW CREATE TABLE stands for."""
    escapes = {"n": "\n", "r": "\r", "0": "\0"}
    text = literal[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), text)


def _mysql_constraints(database: _Database, table: str, schema: str | None) -> list[_Constraint]:
    found: list[_Constraint] = []
    for item in _mysql_items(database, table, schema):
        if item[0] in '`"':
            checks = [c for c in split_clauses(item, _MYSQL_STARTS)[1:] if kind_of(c) == "check"]
            column = unquoted(tokenize(item)[0])
            found += [(column, *_described(database, check, [column])[1:]) for check in checks]
        elif kind_of(item) is not None:
            name, kind, text = _described(database, item, [], schema)
            keyed = [token for token in tokenize(item) if not token.isspace()]
            called = unquoted(keyed[2]) if kind == "unique" else name
            found.append((called, kind, text))
    return found


def _mysql_alter_column(step: _Step) -> None:
    """Say the whole column, as MODIFY wants it: what is left out is lost, a check included.

    https://mariadb.com/kb/en/alter-table/#modify-column
    """
    if step.operation.modify_name is not None:
        return _mysql_rename_column(step)
    database, name = step.database, str(step.name)
    items = _mysql_items(database, step.table, step.schema)
    item = next(
        i for i in items if i[0] in '`"' and unquoted(tokenize(i)[0]).lower() == name.lower()
    )
    there = _mysql_there(database, item)
    changed = {k: v for k, v in _mysql_said(step, database.dialect).items() if v is not None}
    if changed.get("default", "").startswith(" GENERATED"):
        changed |= {"null": "", "counts": ""}
    if "type" in changed and "JSON_VALID" in there["check"].upper():
        there["check"] = ""  # which JSON brings along
    table, column = database.quoted(step.table, step.schema), database.quoted(name)
    database.run(f"ALTER TABLE {table} MODIFY {column} {''.join((there | changed).values())}")


def _mysql_there(database: _Database, item: str) -> dict[str, str]:
    """Return what SHOW CREATE TABLE says of a column, in the order in which MODIFY wants it."""
    column, clauses = _mysql_column(item), split_clauses(item, _MYSQL_STARTS)[1:]
    checks = [clause for clause in clauses if kind_of(clause) == "check"]
    comment = next((clause for clause in clauses if clause.startswith("COMMENT ")), "")
    counts = column["default"] == "AUTO_INCREMENT"
    default = column["computed"] or ("" if counts else column["default"])
    text = _mysql_text(comment.strip().removeprefix("COMMENT "))
    return {
        "type": column["type"],
        "null": "" if column["computed"] else f" {column['null']}",
        "default": f" {default}".rstrip(),
        "counts": " AUTO_INCREMENT" if counts else "",
        "hidden": " INVISIBLE" if any(c.startswith("INVISIBLE") for c in clauses) else "",
        "comment": f" {_mysql_comment(database, text)}",
        "check": f" {checks[0].strip()}" if checks else "",
    }


def _mysql_rename_column(step: _Step) -> None:
    """Rename without saying the definition again: MariaDB 10.5.2, MySQL 8."""
    step.database.run(_rename_column_sql(step, str(step.operation.modify_name)))


def _mysql_script_alter(step: _Step) -> None:
    """Write a MODIFY that says the whole column: what the revision does not give, the server adds.

    What is left out of a MODIFY is lost, and a script cannot look; so the statement is put together
    on the server, from what its catalog says of the column at that moment.
    """
    table, name = (
        step.database.quoted(step.table, step.schema),
        step.database.quoted(str(step.name)),
    )
    pieces = [step.database.literal(f"ALTER TABLE {table} MODIFY {name} "), *_mysql_pieces(step)]
    columns = step.server.questions["column"].replace("column_name FROM", "{} FROM", 1)
    asked = f"({_asked(step, columns, step.table, str(step.name))})"
    missing = step.database.literal(f"alembic: there is no column {table}.{name} to alter")
    text = asked.replace("{}", f"CONCAT({', '.join(pieces)})", 1)
    check = _asked(step, _MYSQL_COLUMN_CHECK, step.table, str(step.name))
    step.write("SET @alembic_check = ''")
    step.write_if("VERSION() LIKE '%MariaDB%'", check)  # MySQL's checks are all the table's
    step.write(f"SET @alembic_sql = COALESCE({text}, {missing})")
    _write_prepared(step)


_MYSQL_COLUMN_CHECK = (
    "SELECT CONCAT(' CHECK (', check_clause, ')') INTO @alembic_check"
    " FROM information_schema.check_constraints"
    " WHERE constraint_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name AND level = 'Column'"
)


def _mysql_pieces(step: _Step) -> list[str]:
    """Return the parts of a MODIFY: SQL strings, or what the catalog says of the column."""
    said = _mysql_said(step, step.database.dialect, existing=True)
    is_computed = (said["default"] or "").startswith(" GENERATED")
    if is_computed:
        said |= {"null": "", "counts": ""}
    found = {
        key: _MYSQL_SAYS[key] if text is None else step.database.literal(text)
        for key, text in said.items()
    }
    if said["default"] is None:
        plain = (found.pop(key) for key in ("null", "default", "counts"))
        found["null"] = _MYSQL_GENERATED.format(*plain)
    order = ("type", "null", "default", "counts", "hidden", "comment")
    check = "@alembic_check"
    if step.operation.modify_type is not None:  # JSON brings its own along
        check = "IF(@alembic_check LIKE '%json_valid%', '', @alembic_check)"
    return [found[key] for key in order if key in found] + [check]


def _mysql_said(step: _Step, dialect: sa.Dialect, existing: bool = False) -> dict[str, str | None]:
    """Return the parts of a column that the revision gives, None for each that it does not.

    :param existing: whether to believe its ``existing_*``, where the database cannot be asked.
    """
    operation = step.operation
    type_, nullable = operation.modify_type, operation.modify_nullable
    default, comment = operation.modify_server_default, operation.modify_comment
    counts = operation.kw.get("autoincrement")
    if existing:
        type_ = operation.existing_type if type_ is None else type_
        nullable = operation.existing_nullable if nullable is None else nullable
        default = operation.existing_server_default if default is False else default
        comment = (operation.existing_comment or False) if comment is False else comment
        counts = operation.kw.get("existing_autoincrement") if counts is None else counts
    return {
        "type": None if type_ is None else _type_text(type_, dialect),
        "null": None if nullable is None else (" NULL" if nullable else " NOT NULL"),
        "default": None if default is False else _mysql_default(step.database, step, default),
        "counts": None if counts is None else (" AUTO_INCREMENT" if counts else ""),
        "hidden": None,
        "comment": None
        if comment is False
        else f" {_mysql_comment(step.database, comment)}".rstrip(),
    }


def _mysql_default(database: _Database, step: _Step, default: Any) -> str:
    """Return the DEFAULT of a column, or what it is computed from, as CREATE TABLE has it."""
    column: sa.Column[Any] = sa.Column(step.name, sa.Integer(), server_default=default)
    if isinstance(default, sa.Computed):
        column = sa.Column(step.name, sa.Integer(), default)
    table = step.operations.schema_obj.table(step.table, column)
    text = str(CreateColumn(table.columns[column.key]).compile(dialect=database.dialect))
    clauses = split_clauses(_unescaped_percent(text, database.dialect), _MYSQL_STARTS)[1:]
    wanted = ("DEFAULT", "GENERATED", "ON")  # ON UPDATE is a part of the default's text
    return "".join(f" {c.strip()}" for c in clauses if c.split()[0].upper() in wanted)


def _mysql_comment(database: _Database, comment: Any) -> str:
    return f"COMMENT {database.literal(comment)}" if comment else ""


# What information_schema.columns says of a column, as MODIFY wants it said.  MariaDB's
# column_default is an expression; MySQL's a bare text unless extra says DEFAULT_GENERATED:
# https://mariadb.com/kb/en/information-schema-columns-table/
_MYSQL_SAYS = {
    "type": "column_type, IF(collation_name IS NULL, '',"
    " CONCAT(' CHARACTER SET ', character_set_name, ' COLLATE ', collation_name))",
    "null": "IF(is_nullable = 'NO', ' NOT NULL', ' NULL')",
    "default": "IF(column_default IS NULL OR column_default = 'NULL', '',"
    " CONCAT(' DEFAULT ', IF(VERSION() LIKE '%MariaDB%', column_default,"
    " IF(extra LIKE '%DEFAULT_GENERATED%', CONCAT('(', column_default, ')'),"
    " QUOTE(column_default)))))"
    ", IF(LOCATE('on update', extra) = 0, '',"
    " CONCAT(' ', SUBSTR(extra, LOCATE('on update', extra))))",
    "counts": "IF(extra LIKE '%auto_increment%', ' AUTO_INCREMENT', '')",
    "hidden": "IF(extra LIKE '%INVISIBLE%', ' INVISIBLE', '')",
    "comment": "IF(column_comment = '', '', CONCAT(' COMMENT ', QUOTE(column_comment)))",
}
_MYSQL_GENERATED = (
    "IF(COALESCE(generation_expression, '') = '', CONCAT({}, {}, {}),"
    " CONCAT(' GENERATED ALWAYS AS (', generation_expression,"
    " IF(extra LIKE '%STORED%', ') STORED', ') VIRTUAL')))"
)


def _mysql_script_drop_column(step: _Step) -> None:
    """Write the drop of the foreign and unique keys that use the column, then its own."""
    table = step.database.quoted(step.table, step.schema)
    for drop, name, catalog, condition in _MYSQL_KEYS_OF_COLUMN:
        keys = (
            f"SELECT CONCAT({{}}, GROUP_CONCAT(DISTINCT CONCAT('{drop} `',"
            f" REPLACE({name}, '`', '``'), '`'))) FROM information_schema.{catalog}"
            " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
            f" AND column_name = :name AND {condition}"
        )
        asked = f"({_asked(step, keys, step.table, str(step.name))})"
        asked = asked.replace("{}", step.database.literal(f"ALTER TABLE {table} "), 1)
        step.write(f"SET @alembic_sql = COALESCE({asked}, 'DO 0')")
        _write_prepared(step)
    _script_guarded(step)


# MariaDB does not shorten a unique key of several columns, as it does an index
_MYSQL_KEYS_OF_COLUMN = (
    (
        "DROP FOREIGN KEY",
        "constraint_name",
        "key_column_usage",
        "referenced_table_name IS NOT NULL",
    ),
    ("DROP INDEX", "index_name", "statistics", "non_unique = 0 AND index_name <> 'PRIMARY'"),
)


def _mysql_script_drop_constraint(step: _Step) -> None:
    """Write the drop; of a foreign key, with the index that came with it, unless it is needed."""
    type_ = step.operation.constraint_type
    table, name = (
        step.database.quoted(step.table, step.schema),
        step.database.quoted(str(step.name)),
    )
    if type_ == "primary":
        return step.write_if(_there(step, what="primary"), f"ALTER TABLE {table} DROP PRIMARY KEY")
    drop = {"foreignkey": "FOREIGN KEY", "unique": "INDEX"}.get(type_, "CONSTRAINT")
    if type_ in ("foreignkey", None):
        step.write(f"SET @alembic_key = {_there(step, what='foreignkey')}")
    step.write_if(
        _there(step, what=type_ or "constraint"), f"ALTER TABLE {table} DROP {drop} {name}"
    )
    if type_ in ("foreignkey", None):
        unneeded = _exists(step, _MYSQL_UNNEEDED, step.table, str(step.name))
        step.write_if(f"@alembic_key AND {unneeded}", f"ALTER TABLE {table} DROP INDEX {name}")


# an index of that name whose first column no foreign key needs, of this table or to it
_MYSQL_UNNEEDED = (
    "SELECT 1 FROM information_schema.statistics AS s"
    " WHERE s.table_schema = COALESCE(:schema, DATABASE()) AND s.table_name = :table"
    " AND s.index_name = :name AND s.seq_in_index = 1 AND NOT EXISTS"
    " (SELECT 1 FROM information_schema.key_column_usage AS k"
    " WHERE k.referenced_table_name IS NOT NULL AND k.ordinal_position = 1 AND"
    " ((k.table_schema = s.table_schema AND k.table_name = s.table_name"
    " AND k.column_name = s.column_name) OR (k.referenced_table_schema = s.table_schema"
    " AND k.referenced_table_name = s.table_name AND k.referenced_column_name = s.column_name)))"
)


def _mysql_drop_column(step: _Step) -> None:
    """Drop the keys and checks that use the column first, as the other servers do."""
    name = str(step.name)
    items = _mysql_items(step.database, step.table, step.schema)
    for item in sorted(items, key=lambda item: kind_of(item) != "foreignkey"):
        kind, tokens = kind_of(item), tokenize(inside_parentheses(item))
        used = [unquoted(token).lower() for token in tokens if token[0] in '`"']
        if kind in ("foreignkey", "check", "unique") and name.lower() in used:
            words = [token for token in tokenize(item) if not token.isspace()]
            named = unquoted(words[2]) if kind == "unique" else str(split_name(item)[0])
            drop = ops.DropConstraintOp(named, step.table, kind, schema=step.schema)
            step.operations.invoke(drop)
    _invoke(step)


def _mysql_drop_constraint(step: _Step) -> None:
    """Say the type, which its grammar needs; drop the index that came with a foreign key, too."""
    operation, found = step.operation, step.found
    assert found is not None
    operation.constraint_type = found["type"]
    _invoke(step)
    if found["type"] == "foreignkey" and _index(
        step.database, step.table, str(step.name), step.schema
    ):
        drop = ops.DropIndexOp(str(step.name), step.table, schema=step.schema)
        try:
            Operations(step.operations.migration_context).invoke(drop)
        except sa.exc.OperationalError:
            _decide("skip", step, "its index is needed by another key")


# .......................................................................................... SQLite
# A table is rebuilt from its own CREATE TABLE text with one clause changed: what is not touched
# cannot be lost, be it a collation, an unnamed check, AUTOINCREMENT or a generated column.
# The order of the steps is SQLite's own: https://www.sqlite.org/lang_altertable.html#otheralter


_HIDDEN = "alembic_helpers: tables of this session"  # known since they were last asked for


def _sqlite_is_temporary(step: _Step) -> bool:
    return step.schema is None and step.table.lower() in step.database.connection.info.get(
        _HIDDEN, ()
    )


def _sqlite_ask(database: _Database, questions: Sequence[_Question]) -> list[Any]:
    places = {schema: _sqlite_has_schema(database, schema) for *_, schema in questions}
    possible = [question for question in questions if places[question[3]]]
    if not possible:
        return [None for _ in questions]
    try:
        answers = iter(_sqlite_answers(database, possible, _SQLITE_KNOWN))
    except sa.exc.OperationalError:  # a view whose table is gone has no columns to be known by
        answers = iter(_sqlite_answers(database, possible, {}))
    return [next(answers) if places[schema] else None for *_, schema in questions]


def _sqlite_answers(
    database: _Database, questions: Sequence[_Question], known: dict[str, str]
) -> Sequence[Any]:
    tables = {table for _, table, _, schema in questions if not schema}
    listed = ", ".join(f"lower({literal(table)})" for table in sorted(tables))
    temporary = (
        "SELECT json_group_array(lower(name)) FROM temp.sqlite_master"
        f" WHERE lower(name) IN ({listed})"
    )
    selects = [_sqlite_question(database, question, known) for question in questions]
    *answers, found = _answers(database, [*selects, temporary])
    hidden: set[str] = database.connection.info.setdefault(_HIDDEN, set())
    hidden.difference_update(table.lower() for table in tables)
    hidden.update(json.loads(found))
    return answers


def _sqlite_question(database: _Database, question: _Question, known: dict[str, str]) -> str:
    """Return one question as a SELECT, which is asked only where there is something to find."""
    sql = _question_sql(database, question)
    if question[0] not in known:
        return sql
    exists = _placed(database, known[question[0]], question)
    return f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {exists}) THEN ({sql} LIMIT 1) END"


def _sqlite_has_schema(database: _Database, schema: str | None) -> bool:
    if schema in (None, "main", "temp"):
        return True
    attached = {row[1].lower() for row in database.run("PRAGMA database_list")}
    return str(schema).lower() in attached


def _sqlite_table(step: _Step) -> TableText:
    sql: str = _ask(step.database, "sql", step.table, "", step.schema)
    if re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I):
        _stop(
            UnsafeOperation,
            f"{step.call}: {step.table!r} is a virtual table.",
            (" ".join(sql.split()), "an ordinary table"),
            "Stopped, because only the module behind a virtual table can change it.",
            f"helpers.execute('DROP TABLE {step.table}')  # then CREATE VIRTUAL TABLE anew",
        )
    return parse_create_table(sql)


def _sqlite_constraints(database: _Database, table: str, schema: str | None) -> list[_Constraint]:
    """Describe every constraint of a table, named or not, of the table or of one column."""
    sql = _ask(database, "sql", table, "", schema)
    if sql is None or re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I):
        return []
    found: list[_Constraint] = []
    for item in parse_create_table(sql).items:
        column = [unquoted(split_name(item)[1][0])] if is_column(item) else []
        for clause in split_clauses(item)[1:] if column else [item]:
            if kind_of(clause) is not None:
                found.append(_described(database, clause, column))
    return found


def _described(
    database: _Database, clause: str, column: list[str], schema: str | None = None
) -> _Constraint:
    """Describe one constraint from its text, be it the table's or one column's."""
    name, tokens = split_name(clause)
    kind = str(kind_of(clause))
    if kind == "check":
        return name, kind, " ".join(tokens[: closing_parenthesis(tokens) + 1])
    columns = column or names_in(tokens)
    if kind == "foreignkey":
        reference = _reference(database, tokens, columns)
        reference["referred_schema"] = reference["referred_schema"] or schema
        return name, kind, _foreign_key_text(database, reference)
    text = (
        f"PRIMARY KEY {in_parentheses(columns)}" if kind == "primary" else _unique_text(columns, {})
    )
    return name, kind, text


def _reference(database: _Database, tokens: list[str], columns: list[str]) -> dict[str, Any]:
    words = [token.upper() for token in tokens]
    target = tokens[words.index("REFERENCES") + 1 :]
    actions = " ".join(token.upper() for token in target)
    options: dict[str, Any] = {
        key: next(iter(re.findall(rf"\bON {word} (SET \w+|NO ACTION|\w+)", actions)), None)
        for key, word in (("ondelete", "DELETE"), ("onupdate", "UPDATE"))
    }
    options["deferrable"] = "DEFERRABLE" in actions and "NOT DEFERRABLE" not in actions
    options["initially"] = "DEFERRED" if "INITIALLY DEFERRED" in actions else None
    table, schema = target[0], None
    if target[1:2] == ["."]:
        schema, table = unquoted(target[0]), target[2]
    referred = names_in(target)
    if "(" not in target[:4]:  # SQLite: the primary key of the other table
        referred = _inspected_key(database, unquoted(table))
    return {
        "constrained_columns": columns,
        "referred_schema": schema,
        "referred_table": unquoted(table),
        "referred_columns": referred,
        "options": options,
    }


def _sqlite_index(
    database: _Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    if not _sqlite_has_schema(database, schema):
        return None
    found, _ = database.fetch(_placed(database, _SQLITE_INDEX, ("index", "", name, schema)))
    if not found:
        return None
    on, sql = found[0]
    return {"table": f"ON {on}", "definition": index_definition(sql)}


def _compiled_index_text(step: _Step) -> str:
    sql = str(CreateIndex(step.wanted).compile(dialect=step.database.dialect))
    return index_definition(_unescaped_percent(sql, step.database.dialect))


def _mysql_index_text(step: _Step) -> str:
    """Spell the index as the catalog does: no method, no length that is the whole column's."""
    text = re.sub(r" USING \w+$", "", _compiled_index_text(step))
    for name, column in _columns(step.database, step.table, step.schema).items():
        whole = re.search(r"char\((\d+)\)", column["type"])
        if whole is not None:
            length = rf"(`?{re.escape(name)}`?)\({whole[1]}\)"
            text = re.sub(length, r"\1", text)
    return text


def _sqlite_add_column(step: _Step) -> None:
    """Add it natively where SQLite can: https://www.sqlite.org/lang_altertable.html#altertabaddcol"""
    column = step.wanted
    text = str(CreateColumn(column).compile(dialect=step.database.dialect))
    default = next((c for c in split_clauses(text) if c.upper().startswith("DEFAULT")), "")
    constant = not re.match(r"DEFAULT\s*(\(|CURRENT_)", default, re.I)
    stored = column.computed is not None and column.computed.persisted
    place = _sqlite_place(step)
    if constant and not stored and (column.nullable or default) and place is None:
        step.operations.impl.add_column(step.table, column, schema=step.schema)
        return
    items = _sqlite_table(step).items
    columns = [item for item in items if is_column(item)]
    position = len(columns) if place is None else place
    _sqlite_rebuild(step, [*items[:position], f" {text}", *items[position:]])


def _sqlite_place(step: _Step) -> int | None:
    """Return where a batch's ``insert_before`` or ``insert_after`` puts a column."""
    before, after = (step.operation.kw.get(f"insert_{where}") for where in ("before", "after"))
    if before is None and after is None:
        return None
    position = column_position(_sqlite_table(step).items, str(before or after))
    return position if before is not None else position + 1


def _sqlite_drop_column(step: _Step) -> None:
    """Drop it natively where SQLite can: https://www.sqlite.org/lang_altertable.html#altertabdropcol"""
    name = str(step.name)
    items = _sqlite_table(step).items
    column = items[column_position(items, name)]
    own = {kind_of(clause) for clause in split_clauses(column)[1:]}
    others = [item for item in items if item is not column]
    rest = without_items(items, lambda item: item is column or constraint_uses(item, name))
    rest = [without_checks_on(item, name) for item in rest]
    if any(_sqlite_is_update_of(sql, name) for _, _, sql in _sqlite_belongings(step)):
        _stop(
            UnsafeOperation,
            f"{step.call}: a trigger fires on updates of this column.",
            (f"a trigger AFTER or BEFORE UPDATE OF {name}", "no trigger on the column"),
            "Stopped, because the trigger would stay and never fire again.",
            "helpers.execute('DROP TRIGGER ...')  # before this line",
        )
    used = any(
        constraint_uses(item, name) or without_checks_on(item, name) != item for item in others
    )
    if used or own & {"primary", "unique", "foreignkey"} or _sqlite_in_triggers(step, name):
        _sqlite_rebuild(step, rest)
        return
    try:
        with _sqlite_atomic(step.database):
            for index in _sqlite_indexes_on(step, name):
                step.database.run(f"DROP INDEX {step.database.quoted(index, step.schema)}")
            _invoke(step)
    except sa.exc.OperationalError:  # a comment confuses it; or a view uses the column
        _sqlite_rebuild(step, rest)


def _sqlite_master(step: _Step) -> str:
    return f"{step.database.quoted(step.schema or 'main')}.sqlite_master"


def _sqlite_in_triggers(step: _Step, column: str) -> bool:
    """Tell whether a trigger may use a column; SQLite's own DROP COLUMN does not look well.

    It leaves a trigger that writes to the column, and SQLite 3.40 crashes when that one fires.
    """
    master = _sqlite_master(step)
    rows = step.database.run(f"SELECT sql FROM {master} WHERE type = 'trigger'")
    return any(contains_word(row[0], column) for row in rows)


def _sqlite_is_update_of(sql: str, column: str) -> bool:
    found = re.search(r"(?is)^CREATE\s+TRIGGER.*?\bUPDATE\s+OF\b(.*?)\bON\b", sql)
    return found is not None and contains_word(found[1], column)


def _sqlite_indexes_on(step: _Step, column: str) -> list[str]:
    return [
        name
        for kind, name, sql in _sqlite_belongings(step)
        if kind == "index" and references_column(index_definition(sql), column)
    ]


def _sqlite_index_keeper(step: _Step) -> Callable[[], None]:
    """Note the indexes on a column, to make them anew: a batch's one rebuild would keep them."""
    on = set(_sqlite_indexes_on(step, str(step.name)))
    noted = [(name, sql) for _, name, sql in _sqlite_belongings(step) if name in on]

    def restore() -> None:
        there = {name for _, name, _ in _sqlite_belongings(step)}
        for name, sql in noted:
            if name not in there:
                _sqlite_make_again(step, sql)

    return restore


def _sqlite_belongings(step: _Step) -> list[tuple[str, str, str]]:
    """Return the indexes and triggers of a table: type, name, SQL."""
    master = _sqlite_master(step)
    rows = step.database.run(
        f"SELECT type, name, sql FROM {master} WHERE tbl_name = ? COLLATE NOCASE"
        " AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, rowid",
        (step.table,),
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _sqlite_alter_column(step: _Step) -> None:
    operation = step.operation
    if operation.modify_name is not None:
        _invoke(step)  # RENAME COLUMN also rewrites indexes, triggers and views
        return
    items = _sqlite_table(step).items
    position = column_position(items, str(step.name))
    name, *clauses = split_clauses(items[position])
    default = operation.modify_server_default
    wanted: sa.Column[Any] = sa.Column(
        step.name,
        operation.modify_type or sa.Integer(),
        nullable=operation.modify_nullable is not False,
        server_default=None if default is False else default,
    )
    table = step.operations.schema_obj.table(step.table, wanted)
    text = str(CreateColumn(table.columns[str(step.name)]).compile(dialect=step.database.dialect))
    changed = split_clauses(text)
    if operation.modify_type is not None:
        name = leading_noise(name) + changed[0].strip()
        if any(clause.startswith("COLLATE") for clause in changed):
            clauses = _sqlite_replaced(clauses, changed, ("COLLATE",))
    if operation.modify_nullable is not None:
        clauses = _sqlite_replaced(clauses, changed, ("NOT", "NULL"))
    if operation.modify_server_default is not False:
        clauses = _sqlite_replaced(clauses, changed, ("DEFAULT", "GENERATED", "AS"))
    items[position] = join_clauses([name, *clauses])
    _sqlite_rebuild(step, items)


def _sqlite_replaced(clauses: list[str], changed: list[str], starts: tuple[str, ...]) -> list[str]:
    """Return the clauses with those that begin so taken from the changed definition."""

    def begins(clause: str) -> bool:
        tokens = split_name(clause)[1]
        return bool(tokens) and tokens[0].upper() in starts

    kept = [clause for clause in clauses if not begins(clause)]
    return [*(clause for clause in changed[1:] if begins(clause)), *kept]


def _sqlite_spelled(step: _Step, constraint: Any) -> str:
    part = copy.copy(step)
    part.kind, part.wanted = "constraint", constraint
    return f" {_spelled(part)['definition']}"


def _sqlite_add_constraint(step: _Step) -> None:
    items = _sqlite_table(step).items
    if step.kind == "primary":  # in a batch it takes the place of the one that is there
        items = _sqlite_without(items, lambda clause, _: kind_of(clause) == "primary")
    _sqlite_rebuild(step, [*items, _sqlite_spelled(step, step.wanted)])


def _sqlite_drop_constraint(step: _Step) -> None:
    name = str(step.name).lower()

    def is_it(clause: str, column: list[str]) -> bool:
        named = split_name(clause)[0] or _sqlite_name_by_convention(step, clause, column)
        return (named or "").lower() == name and kind_of(clause) is not None

    items = _sqlite_table(step).items
    rest = _sqlite_without(items, is_it)
    if step.batch.makes_key and _has_key(items) and not _has_key(rest):
        step.batch.frees_key = True  # the batch's new one replaces it: keys refer to it
        return
    _sqlite_rebuild(step, rest)


def _has_key(items: list[str]) -> bool:
    return _sqlite_without(items, lambda clause, _: kind_of(clause) == "primary") != items


def _sqlite_without(items: list[str], is_it: Callable[[str, list[str]], bool]) -> list[str]:
    """Return the items without the constraints that are meant, those in columns too."""

    def without(item: str) -> str:
        column = [unquoted(split_name(item)[1][0])]
        clauses = split_clauses(item)
        kept = clauses[:1] + [clause for clause in clauses[1:] if not is_it(clause, column)]
        return item if kept == clauses else join_clauses(kept)

    rest = without_items(items, lambda item: not is_column(item) and is_it(item, []))
    return [without(item) if is_column(item) else item for item in rest]


def _sqlite_conventional(step: _Step) -> str | None:
    """Return the type of an unnamed constraint that a batch's convention gives the step's name."""
    if step.batch.naming_convention is None or not _has_table(
        step.database, step.table, step.schema
    ):
        return None
    for item in _sqlite_table(step).items:
        column = [unquoted(split_name(item)[1][0])] if is_column(item) else []
        for clause in split_clauses(item)[1:] if column else [item]:
            kind = kind_of(clause)
            if kind and _sqlite_name_by_convention(step, clause, column) == step.name:
                return kind
    return None


def _sqlite_name_by_convention(step: _Step, clause: str, column: list[str]) -> str | None:
    """Return the name that a batch's naming convention gives to an unnamed constraint."""
    name, tokens = split_name(clause)
    kind, convention = kind_of(clause), step.batch.naming_convention
    if name or convention is None or kind in (None, "check"):
        return None
    columns = column or names_in(tokens)
    made: Any
    if kind == "foreignkey":
        key = _reference(step.database, tokens, columns)
        targets = [f"{key['referred_table']}.{referred}" for referred in key["referred_columns"]]
        made = sa.ForeignKeyConstraint(columns, targets)
    else:
        made = {"unique": sa.UniqueConstraint, "primary": sa.PrimaryKeyConstraint}[kind](*columns)
    fields = (sa.Column(c, sa.types.NullType()) for c in columns)
    sa.Table(step.table, sa.MetaData(naming_convention=convention), *fields, made)
    return str(made.name) if made.name else None


def _sqlite_named(step: _Step, items: list[str]) -> list[str]:
    """Write down the names that a batch's convention gives, as Alembic does in a rebuild.

    Without them a revision further up, which drops one by name alone, would find none.
    """
    every = [clause for item in items for clause in (item, *split_clauses(item)[1:])]
    taken = {
        step.database.case_folded(name)
        for name in (split_name(clause)[0] for clause in every)
        if name
    }

    def named(clause: str, column: list[str]) -> str:
        name = _sqlite_name_by_convention(step, clause, column)
        if name is None or step.database.case_folded(name) in taken:
            return clause
        taken.add(step.database.case_folded(name))
        return f"CONSTRAINT {step.database.quoted(name)} {clause.lstrip()}"

    def written(item: str) -> str:
        if not is_column(item):
            return named(item, [])
        head, *clauses = split_clauses(item)
        made = [named(clause, [unquoted(split_name(item)[1][0])]) for clause in clauses]
        return item if made == clauses else join_clauses([head, *made])

    return items if step.batch.naming_convention is None else [written(i) for i in items]


def _sqlite_reshape(step: _Step, order: Sequence[Sequence[str]], options: dict[str, Any]) -> None:
    """Give the table another order of columns, or options, unless it has them."""
    _need_table(step, step.table, step.schema)
    text = _sqlite_table(step)
    items = _sqlite_ordered(text.items, order)
    if options.get("sqlite_autoincrement"):
        items = [_sqlite_counting(items, item) for item in items if not _is_sole_key(items, item)]
    if [item.split() for item in items] == [item.split() for item in text.items]:
        return _decide("skip", step, "already as wanted")
    _decide("apply", step, "rebuilt")
    _sqlite_rebuild(step, items)


def _drop_uncopied(step: _Step, copy: sa.Table) -> None:
    """Drop a table's unnamed unique and foreign keys that a batch's ``copy_from`` lacks.

    Without a name that is how they are dropped; whoever leaves out another has not asked for it.
    """
    if not _has_table(step.database, step.table, step.schema):
        return  # whose verbs say so
    items = _sqlite_table(step).items
    rest = _sqlite_without(items, partial(_is_uncopied, copy))
    if rest != items:
        _decide("apply", step, "unnamed keys are there that copy_from lacks")
        _sqlite_rebuild(step, rest)


def _is_uncopied(copy: sa.Table, clause: str, column: list[str]) -> bool:
    """Tell whether a clause is an unnamed key over columns that this table has without one."""
    name, tokens = split_name(clause)
    kind = kind_of(clause)
    if name or kind not in ("unique", "foreignkey"):
        return False
    keys: list[Any] = [c for c in copy.constraints if _TYPES_OF_KEYS[kind] is type(c)]
    keys += [index for index in copy.indexes if kind == "unique" and index.unique]
    columns = {name.lower() for name in column or names_in(tokens)}
    kept = [{str(c.name).lower() for c in key.columns} for key in keys]
    return columns not in kept and columns <= {str(c.name).lower() for c in copy.columns}


_TYPES_OF_KEYS = {"unique": sa.UniqueConstraint, "foreignkey": sa.ForeignKeyConstraint}


def _sqlite_ordered(items: list[str], order: Sequence[Sequence[str]]) -> list[str]:
    """Return the items with the columns in an order that keeps each of the sequences wanted."""
    columns = [item for item in items if is_column(item)]
    names = [column_name(item) for item in columns]
    wanted = [[name.lower() for name in names_] for names_ in order]
    pairs = [pair for sequence in wanted for pair in itertools.pairwise(sequence)]
    ahead: list[str] = []
    while len(ahead) < len(names):  # the first, in today's order, that waits for no other
        left = [name for name in names if name not in ahead]
        ready = [n for n in left if not any(b == n and a in left for a, b in pairs)]
        if not ready:
            raise CommandError(f"partial_reordering contradicts itself: {list(order)}")
        ahead.append(ready[0])
    return [columns[names.index(name)] for name in ahead] + items[len(columns) :]


def _is_sole_key(items: list[str], item: str) -> bool:
    """Tell whether an item is a primary key of the table over one column."""
    return kind_of(item) == "primary" and len(names_in(split_name(item)[1])) == 1


def _sqlite_counting(items: list[str], item: str) -> str:
    """Return the item with AUTOINCREMENT, if it is the column of the primary key."""
    if not is_column(item) or "AUTOINCREMENT" in item.upper():
        return item
    keys = [names_in(split_name(i)[1])[0].lower() for i in items if _is_sole_key(items, i)]
    clauses = [clause for clause in split_clauses(item) if kind_of(clause) != "primary"]
    if column_name(item) not in keys and clauses == split_clauses(item):
        return item
    return join_clauses([*clauses, "PRIMARY KEY AUTOINCREMENT"])


def _sqlite_rename_table(step: _Step) -> None:
    """Rename it; by way of another name where only the case differs, which SQLite refuses."""
    if step.table.lower() != str(step.name).lower():
        _invoke(step)
        return
    names = [step.table, f"_alembic_tmp_{step.table}", str(step.name)]
    with _sqlite_atomic(step.database):
        for old, new in itertools.pairwise(names):
            table = step.database.quoted(old, step.schema)
            step.database.run(f"ALTER TABLE {table} RENAME TO {step.database.quoted(new)}")


def _sqlite_drop_table(step: _Step) -> None:
    """Drop it, unless SQLite would delete the rows that reference it as well."""
    if step.database.run("PRAGMA foreign_keys").scalar():
        for child in _sqlite_children(step):
            columns = _sqlite_key_columns(step, child)
            if child.lower() != step.table.lower() and _sqlite_refers(step, child, columns):
                _stop(
                    UnsafeOperation,
                    f"{step.call}: rows of {child!r} reference this table.",
                    (
                        f"{child}{in_parentheses(columns)} with values, foreign_keys=ON",
                        "no such rows",
                    ),
                    "Stopped, because SQLite would delete those rows too, or set them to NULL.",
                    f"helpers.drop_table({child!r})  # or drop its foreign key, before this line",
                )
    _invoke(step)


def _sqlite_refers(step: _Step, child: str, columns: list[str]) -> bool:
    database = step.database
    where = " OR ".join(f"{database.quoted(column)} IS NOT NULL" for column in columns)
    sql = f"SELECT 1 FROM {database.quoted(child, step.schema)} WHERE {where} LIMIT 1"
    return database.run(sql).first() is not None


def _sqlite_children(step: _Step) -> list[str]:
    """Return the tables with a foreign key to this one, itself included.

    Only tables whose text has the name are looked into: a name with a quote is spelled in two ways.
    """
    schema = step.schema or "main"
    part = "" if re.search(r'["`\'\]]', step.table) else step.table
    rows = step.database.run(
        f"SELECT DISTINCT m.name FROM {step.database.quoted(schema)}.sqlite_master AS m"
        " CROSS JOIN pragma_foreign_key_list(m.name, ?) AS k"
        " WHERE m.type = 'table' AND m.sql LIKE '%references%'"
        ' AND instr(lower(m.sql), lower(?)) > 0 AND k."table" = ? COLLATE NOCASE',
        (schema, part, step.table),
    )
    return [row[0] for row in rows]


def _sqlite_key_columns(step: _Step, child: str) -> list[str]:
    rows = step.database.run(
        'SELECT "from" FROM pragma_foreign_key_list(?, ?) WHERE "table" = ? COLLATE NOCASE',
        (child, step.schema or "main", step.table),
    )
    return [row[0] for row in rows]


def _sqlite_rebuild(step: _Step, items: list[str]) -> None:
    """Rebuild the table with these items, keeping rows, indexes, triggers and what refers to it."""
    database, run = step.database, step.database.run
    items, tail = _sqlite_named(step, items), _sqlite_table(step).tail
    name = str(_ask(database, "table", step.table, "", step.schema))
    table = database.quoted(name, step.schema)
    temporary = database.quoted(f"_alembic_tmp_{step.table}", step.schema)
    with _sqlite_foreign_keys_off(step, items), _sqlite_atomic(database):
        before = _sqlite_health(step)
        belongings = _sqlite_belongings(step)
        counter = _sqlite_counter(step)
        run(f"DROP TABLE IF EXISTS {temporary}")  # left by a rebuild that died half-way
        _sqlite_try(step, f"CREATE TABLE {temporary} ({','.join(items)}{tail}")
        columns = _sqlite_copied(step, tail)
        run(f"INSERT INTO {temporary} ({columns}) SELECT {columns} FROM {table}")
        legacy = run("PRAGMA legacy_alter_table").scalar()
        run("PRAGMA legacy_alter_table = ON")  # leave what refers to the table as it is
        run(f"DROP TABLE {table}")
        run(f"ALTER TABLE {temporary} RENAME TO {database.quoted(name)}")
        run(f"PRAGMA legacy_alter_table = {legacy}")
        _sqlite_restore(step, belongings, counter)
        _sqlite_compare_health(step, before, _sqlite_health(step))


def _sqlite_try(step: _Step, sql: str) -> None:
    try:
        step.database.run(sql)
    except sa.exc.OperationalError as error:
        _stop(
            UnsafeOperation,
            f"{step.call}: the table cannot be rebuilt: {error.orig}.",
            (" ".join(_sqlite_table(step).items), " ".join(sql.split())),
            "Stopped, because what is left of the table would not work without it.",
            f"helpers.drop_column({step.table!r}, ...)  # what uses it, before this line",
        )


def _sqlite_copied(step: _Step, tail: str) -> str:
    """Return the columns that both tables have and that are not generated, the rowid included."""
    new = {name.lower() for name in _sqlite_plain_columns(step, f"_alembic_tmp_{step.table}")}
    old = _sqlite_plain_columns(step, step.table)
    names = [step.database.quoted(name) for name in old if name.lower() in new]
    taken = {name.lower() for name in old} | new
    free = [name for name in ("rowid", "oid", "_rowid_") if name not in taken]
    has_rowid = "WITHOUT" not in tail.upper()
    return ", ".join([*(free[:1] if has_rowid else []), *names])


def _sqlite_counter(step: _Step) -> int | None:
    """Return the AUTOINCREMENT counter, which a new table would begin again."""
    master = f"{step.database.quoted(step.schema or 'main')}."
    exists = f"SELECT 1 FROM {master}sqlite_master WHERE name = 'sqlite_sequence'"
    if step.database.run(exists).first() is None:
        return None
    sql = f"SELECT seq FROM {master}sqlite_sequence WHERE name = ? COLLATE NOCASE"
    counter: int | None = step.database.run(sql, (step.table,)).scalar()
    return counter


def _sqlite_restore(
    step: _Step, belongings: list[tuple[str, str, str]], counter: int | None
) -> None:
    dropped = str(step.name) if step.verb == "drop_column" else None
    for kind, _, sql in belongings:
        if not (kind == "index" and dropped and references_column(index_definition(sql), dropped)):
            _sqlite_make_again(step, sql)
    if counter is not None:
        sequence = f"{step.database.quoted(step.schema or 'main')}.sqlite_sequence"
        run = step.database.run
        run(f"DELETE FROM {sequence} WHERE name = ? COLLATE NOCASE", (step.table,))
        run(f"INSERT INTO {sequence} (name, seq) VALUES (?, ?)", (step.table, counter))


def _sqlite_make_again(step: _Step, sql: str) -> None:
    """Make an index or trigger from its own text, which does not say in which schema."""
    schema = f"{step.database.quoted(step.schema)}." if step.schema else ""
    head = re.match(r"CREATE\s+(UNIQUE\s+)?(INDEX|TRIGGER)\s+", sql, re.I)
    assert head is not None
    step.database.run(head.group() + schema + sql[head.end() :])


@dataclass
class _SqliteHealth:
    """What a rebuild must not make worse."""

    rows: int
    dangling: Counter[tuple[str, str]]
    broken: dict[str, str]


def _sqlite_health(step: _Step) -> _SqliteHealth:
    run = step.database.run
    schema = step.database.quoted(step.schema or "main")
    rows = run(f"SELECT count(*) FROM {step.database.quoted(step.table, step.schema)}").scalar()
    broken = _sqlite_broken(step)
    dangling: Counter[tuple[str, str]] = Counter()
    for table in {step.table, *_sqlite_children(step)}:
        try:
            found = run(f"PRAGMA {schema}.foreign_key_check({step.database.quoted(table)})")
            dangling.update((row[0], row[2]) for row in found)
        except sa.exc.OperationalError as error:  # a key that references no unique columns
            if not (step.batch.makes_key or _key_follows(step)):
                broken[f"foreign key of {table}"] = str(error.orig)
    return _SqliteHealth(int(rows or 0), dangling, broken)


def _key_follows(step: _Step) -> bool:
    """Tell whether the running revision goes on to make a key of the table, by its source."""
    verbs = ("create_primary_key", "create_unique_constraint", "create_index")
    for call in (call for verb in verbs for call in _calls_in_revision(verb, below=True)):
        tables = [n.value for n in call.args[1:2] if isinstance(n, ast.Constant)]
        if tables in ([], [step.table]):  # a batch names no table
            return True
    return False


def _sqlite_broken(step: _Step) -> dict[str, str]:
    """Return what is wrong with each view and trigger: SQLite says so when it plans their use."""
    broken = {}
    for name, statement in _sqlite_uses(step).items():
        try:
            step.database.run(f"EXPLAIN {statement}").close()
        except sa.exc.OperationalError as error:
            broken[name] = str(error.orig)
    return broken


def _sqlite_uses(step: _Step) -> dict[str, str]:
    """Return a statement that reads each view, and one that fires each trigger."""
    database = step.database
    master = _sqlite_master(step)
    rows = database.run(
        f"SELECT type, name, tbl_name, sql FROM {master} WHERE type IN ('view', 'trigger')"
    ).all()
    views = {name for type_, name, _, _ in rows if type_ == "view"}
    uses = {f"view {v}": f"SELECT * FROM {database.quoted(v, step.schema)}" for v in views}
    for type_, name, on, sql in rows:
        if type_ == "trigger":
            words = [token.upper() for token in tokenize(sql)]
            event = next(word for word in words if word in ("INSERT", "UPDATE", "DELETE"))
            uses[f"trigger {name}"] = _sqlite_firing(step, event, on)
    return uses


def _sqlite_firing(step: _Step, event: str, table: str) -> str:
    name = step.database.quoted(table, step.schema)
    if event == "UPDATE":
        columns = [step.database.quoted(column) for column in _sqlite_plain_columns(step, table)]
        same = ", ".join(f"{column} = {column}" for column in columns)
        return f"UPDATE {name} SET {same}"
    return f"DELETE FROM {name}" if event == "DELETE" else f"INSERT INTO {name} DEFAULT VALUES"


def _sqlite_plain_columns(step: _Step, table: str) -> list[str]:
    """Return the columns that are not generated."""
    sql = "SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0"
    rows = step.database.run(sql, (table, step.schema or "main"))
    return [row[0] for row in rows]


def _sqlite_compare_health(step: _Step, before: _SqliteHealth, after: _SqliteHealth) -> None:
    worse = (after.dangling - before.dangling).items()
    dangling = ", ".join(f"{n} rows of {table} without a row in {p}" for (table, p), n in worse)
    broken = {k: v for k, v in after.broken.items() if k not in before.broken}
    lost = ""
    if after.rows != before.rows:
        lost = f"{after.rows} of {before.rows} rows would be left"
    if broken or dangling or lost:
        _sqlite_unsound(step, broken, dangling, lost)


def _sqlite_unsound(step: _Step, broken: dict[str, str], dangling: str, lost: str) -> NoReturn:
    errors = [f"{name}: {error}" for name, error in sorted(broken.items())]
    _stop(
        UnsafeOperation,
        f"{step.call}: the table would not be sound without it.",
        ("; ".join(filter(None, [*errors, dangling, lost])), "all rows, views and triggers intact"),
        "Stopped, and rolled back: nothing was changed.",
        f"helpers.execute('UPDATE {step.table} SET ...')  # or drop what uses it, before this line",
    )


@contextmanager
def _sqlite_atomic(database: _Database) -> Iterator[None]:
    """Make what is done within all or nothing, whether or not the driver began a transaction."""
    inside = database.in_transaction
    name = "alembic_helpers"
    database.run(f"SAVEPOINT {name}" if inside else "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.run(f"ROLLBACK TO {name}" if inside else "ROLLBACK")
        if inside:
            database.run(f"RELEASE {name}")
        raise
    database.run(f"RELEASE {name}" if inside else "COMMIT")


@contextmanager
def _sqlite_foreign_keys_off(step: _Step, items: list[str]) -> Iterator[None]:
    """Suspend foreign keys, whose actions would empty the children of a table that is rebuilt.

    The pragma is ignored inside a transaction (https://www.sqlite.org/pragma.html#pragma_foreign_keys).
    Where Alembic was told that DDL is transactional, the transaction is not ours to commit: refuse.
    Elsewhere it holds only rows that the driver would have committed before any DDL of old.
    """
    database, run = step.database, step.database.run
    referenced = _sqlite_children(step) or contains_word(",".join(items), step.table)
    if not run("PRAGMA foreign_keys").scalar() or not referenced:
        yield
        return
    if database.in_transaction:
        context = step.operations.migration_context
        if context.impl.transactional_ddl or getattr(context, "_in_external_transaction", False):
            _stop(
                UnsafeOperation,
                f"{step.call}: SQLite must rebuild the table, which other tables reference.",
                (
                    "foreign_keys=ON inside a transaction, where it cannot be suspended",
                    "foreign_keys=OFF",
                ),
                "Stopped, because the rebuild would delete or change the rows that reference it.",
                'connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # in env.py,',
                "connection.commit()  # before context.configure(connection=connection)",
            )
        _decide("apply", step, "commits what came before, to suspend foreign keys")
        run("COMMIT")
    run("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        run("PRAGMA foreign_keys = ON")


def _sqlite_leave_transaction(database: _Database) -> None:
    """Leave a transaction that is open all the same.

    An ``env.py`` by SQLAlchemy's recipe begins one in an autocommit block, too.
    """
    if database.in_transaction:
        database.run("COMMIT")


# lock_not_available, deadlock_detected; lock wait timeout, deadlock; and SQLite's, by its words
_LOCKED = {"55P03", "40P01", 1205, 1213}


def _is_locked(error: sa.exc.DBAPIError) -> bool:
    """Tell whether a statement failed because of what others have locked."""
    cause: Any = error.orig
    first = cause.args[0] if cause.args else None
    first = first.get("C") if isinstance(first, dict) else first  # pg8000's is a dict
    codes = {first, getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None)}
    return bool(codes & _LOCKED) or "database is locked" in str(cause)


# ..................................................................................... all of them


def _no_exclusions(step: _Step) -> NoReturn:
    _stop(
        UnsafeOperation,
        f"{step.call}: this server has no exclusion constraint.",
        (step.server.name, "PostgreSQL"),
        "Stopped, because rows that exclude each other would not be kept out.",
        'if helpers.get_bind().dialect.name == "postgresql":  # or a trigger of your own, here',
    )


def _create_view_sql(step: _Step) -> str:
    name = step.database.quoted(str(step.name), step.schema)
    exists = "IF NOT EXISTS " if step.offline and "create_view" in step.server.if_exists else ""
    return f"CREATE VIEW {exists}{name} AS {step.wanted}"


def _drop_sql(step: _Step) -> str:
    exists = "IF EXISTS " if step.offline else ""
    what = "VIEW" if step.kind == "view" else "TYPE"
    return f"DROP {what} {exists}{step.database.quoted(str(step.name), step.schema)}"


def _replace_view_sql(step: _Step) -> str:
    return _create_view_sql(step).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)


def _add_label_sql(step: _Step) -> str:
    value, before, after = step.wanted
    beside = f" {'BEFORE' if before else 'AFTER'} {postgresql_literal(before or after or '')}"
    place = beside if before or after else ""
    name = step.database.quoted(str(step.name), step.schema)
    return f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {postgresql_literal(value)}{place}"


def _rename_label_sql(step: _Step) -> str:
    old, new = map(postgresql_literal, step.wanted)
    name = step.database.quoted(str(step.name), step.schema)
    return f"ALTER TYPE {name} RENAME VALUE {old} TO {new}"


def _validate_sql(step: _Step) -> str:
    table, name = (
        step.database.quoted(step.table, step.schema),
        step.database.quoted(str(step.name)),
    )
    return f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"


def _any_create_table(step: _Step) -> sa.Table:
    table: sa.Table = step.wanted
    if not step.offline:
        step.operations.impl.create_table(table)
        return table
    indexes, table.indexes = table.indexes, set()  # in a script they are steps of their own
    impl: Any = step.operations.impl
    impl.create_table(table, if_not_exists=True)
    table.indexes = indexes
    return table


def _any_create_index(step: _Step) -> None:
    """Create the index that the step has made of the operation."""
    flag = step.operation.if_not_exists
    step.operations.impl.create_index(
        step.wanted, **({} if flag is None else {"if_not_exists": flag})
    )


def _any_add_constraint(step: _Step) -> None:
    """Add the constraint that the step has made of the operation."""
    step.operations.impl.add_constraint(step.wanted)


def _any_add_column(step: _Step) -> None:
    """Add the column alone: its constraints and indexes are steps of their own."""
    operation, impl, column = step.operation, step.operations.impl, step.wanted
    names = ("if_not_exists", "inline_references", "inline_primary_key")
    flags = {name: getattr(operation, name) for name in names}
    kw = {k: v for k, v in operation.kw.items() if k not in ("insert_before", "insert_after")}
    impl.add_column(step.table, column, schema=step.schema, **flags, **kw)
    dialect = step.database.dialect
    if column.comment is not None and dialect.supports_comments and not dialect.inline_comments:
        impl.create_column_comment(column)


def _sqlite_write_unless(step: _Step, condition: str, sql: str) -> None:
    """Write DML as the body of a temporary trigger: SQLite has no other condition in a script."""
    if re.match(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", sql, re.I) is None:
        _unsupported(
            step.database,
            f"execute({brief(sql)!r}, unless=...)",
            "SQLite can make only an INSERT, UPDATE, DELETE or REPLACE depend on a query",
            "alembic upgrade head  # without --sql, on the database itself",
        )
    step.write("CREATE TEMP TABLE alembic_unless (done INTEGER)")
    body = f"AFTER INSERT ON alembic_unless BEGIN\n  {sql};\nEND"
    step.write(f"CREATE TEMP TRIGGER alembic_execute {body}")
    step.write(f"INSERT INTO alembic_unless SELECT 0 WHERE {condition}")
    step.write("DROP TABLE alembic_unless")  # and the trigger with it


def _write_both_if(step: _Step, condition: str, sql: str, mark: str) -> None:
    # on a line of its own, because the statement may end with a comment
    step.server.write_unless(step, condition, f"{sql}\n;{mark}")


def _mysql_write_both_if(step: _Step, condition: str, sql: str, mark: str) -> None:
    """Write a transaction of the two; only single statements can be PREPAREd."""
    step.write("START TRANSACTION")
    step.write_if(condition, sql)
    step.write_if(condition, mark)
    step.write("COMMIT")


def _postgresql_write_if(step: _Step, condition: str, sql: str) -> None:
    """Write a statement in a DO block, which looks before it runs it."""
    text = f"BEGIN\n  IF {condition} THEN\n    EXECUTE {dollar_quoted(sql)};\n  END IF;\nEND"
    step.write(f"DO {dollar_quoted(text, 'alembic')}")


def _mysql_write_if(step: _Step, condition: str, sql: str) -> None:
    """Write a prepared statement: outside of a procedure there is no block with a condition."""
    step.write(f"SET @alembic_sql = IF({condition}, {step.database.literal(sql)}, 'DO 0')")
    _write_prepared(step)


def _write_prepared(step: _Step) -> None:
    """Write what runs the statement in ``@alembic_sql``."""
    step.write("PREPARE alembic_statement FROM @alembic_sql")
    step.write("EXECUTE alembic_statement")
    step.write("DEALLOCATE PREPARE alembic_statement")


def _mysql_write_statement(step: _Step, statement: Statement) -> None:
    """Write a statement with semicolons inside behind a DELIMITER: it cannot be PREPAREd there.

    https://dev.mysql.com/doc/refman/8.4/en/sql-prepared-statements.html
    """
    if not statement.is_compound:
        return step.write(statement.text)
    mark = next(mark for mark in _DELIMITERS if mark not in statement.text)
    step.context.impl.static_output(f"DELIMITER {mark}\n{statement.text}\n{mark}\nDELIMITER ;")


_DELIMITERS = ["//", "$$", ";;", *(f"//{number}" for number in range(1, 1000))]


# ... in scripts


_STATEMENTS: dict[str, Callable[[_Step], str]] = {
    "create_view": _create_view_sql,
    "drop_view": _drop_sql,
    "replace_view": _replace_view_sql,
}
_OWN_WAY: dict[str, Callable[[_Step], None]] = {
    "replace_view": _replace_view,
    "create_table_comment": _comment_on_table,
    "drop_table_comment": _comment_on_table,
    "validate_constraint": _script_nothing,
}


def _mysql_literal(text: str, has_escapes: bool = True) -> str:
    """Return a literal, as https://mariadb.com/kb/en/sql-mode/#no_backslash_escapes has it read."""
    return literal(text.replace("\\", "\\\\") if has_escapes else text)


def _mysql_has_escapes(dialect: sa.Dialect) -> bool:
    """Tell whether a backslash is an escape, by the sql_mode as the engine found it."""
    return bool(getattr(dialect, "_backslash_escapes", True))


def _mysql_syntax(dialect: sa.Dialect) -> Syntax:
    """Return how this server reads a file, its sql_mode NO_BACKSLASH_ESCAPES included."""
    return replace(MYSQL, has_escapes=_mysql_has_escapes(dialect))


_ACTS: dict[str, Callable[[_Step], Any]] = {
    "create_table": _any_create_table,
    "add_column": _any_add_column,
    "create_index": _any_create_index,
    **{verb: _any_add_constraint for verb, _ in _CONSTRAINT_KINDS.values()},
}
_EVERYWHERE: dict[str, Callable[[_Step], Any]] = {
    "rename_table": _script_rename,
    "alter_column": _script_alter_column,
    "create_table_comment": _script_comment,
    "drop_table_comment": _script_comment,
}
_POSTGRESQL_SERVER = _Server(
    name="postgresql",
    longest_name=63,
    folds_case=False,
    literal=lambda text, dialect: postgresql_literal(text),
    bytes_literal=r"'\x{}'",
    syntax=lambda dialect: POSTGRESQL,
    normal_forms=True,
    canonical_types={
        r"VARCHAR(\(\d{1,6}\))": r"character varying\1",
        r"(NUMERIC\(\d+), (\d+\))": r"\1,\2",
        "(INTEGER|BIGINT|SMALLINT|TEXT|DATE|BOOLEAN|TIMESTAMP WITH(?:OUT)? TIME ZONE)": r"\1",
    },
    foreign_keys=_ForeignKeys(match_full=True, hidden_schema=_postgresql_hidden_schema),
    needs_cast=True,
    questions=_POSTGRESQL,
    ask=_postgresql_ask,
    placeholders=_postgresql_placeholders,
    columns=_postgresql_columns,
    column=_postgresql_one_column,
    constraints=_postgresql_constraints,
    index=_postgresql_index,
    index_defined=_postgresql_defined,
    index_text=_postgresql_index_text,
    undoes_scratch=True,
    verbs={
        "add_enum_value": _add_label,
        "rename_enum_value": _rename_label,
        "validate_constraint": _postgresql_validate_verb,
    },
    acts={
        "create_table": _postgresql_create_table,
        "add_column": _postgresql_add_column,
        "alter_column": _postgresql_alter_column,
        "create_index": _postgresql_create_index,
        "drop_index": _postgresql_drop_index,
        "create_unique_constraint": _postgresql_add_unique,
        "create_check_constraint": _postgresql_add_constraint,
        "create_foreign_key": _postgresql_add_constraint,
        "replace_view": _postgresql_replace_view,
    },
    statements={
        "create_enum": _create_enum_sql,
        "drop_enum": _drop_sql,
        "add_enum_value": _add_label_sql,
        "rename_enum_value": _rename_label_sql,
        "validate_constraint": _validate_sql,
    },
    concurrently=_Concurrently(
        finish=_postgresql_resume,
        drop_leftover=_postgresql_left_over,
        is_for_undivided=_is_for_undivided,
        require_undivided=_need_undivided,
    ),
    # psycopg reads neither 'infinity' nor a date before Christ
    paging=_Paging(
        unpaged=re.compile(r"(?i)real|interval|jsonb?|bit|.*\[\]"),
        as_text=re.compile("(?i)date|timestamp"),
        reads_as_text=True,
    ),
    if_exists=frozenset(
        {
            "create_table",
            "drop_table",
            "add_column",
            "drop_column",
            "create_index",
            "drop_index",
            "drop_constraint",
            "drop_view",
            "drop_enum",
        }
    ),
    scripts=_EVERYWHERE
    | {
        "add_column": _postgresql_script_add_column,
        "alter_column": _postgresql_script_alter,
        "alter_type": _postgresql_script_altered,
        "create_unique_constraint": _postgresql_script_unique,
        "create_check_constraint": _postgresql_script_constraint,
        "create_foreign_key": _postgresql_script_constraint,
        "create_index": _postgresql_script_index,
        "drop_index": _postgresql_script_index,
        "replace_view": _postgresql_script_view,
        "add_enum_value": _postgresql_script_label,
        "rename_enum_value": _postgresql_script_rename_label,
        "validate_constraint": _script_as_it_is,
    },
    write_if=_postgresql_write_if,
    write_unless=_postgresql_write_if,
)
_MYSQL_SERVER = _Server(
    name="mysql",
    mark="`",
    primary_key_name="PRIMARY",
    literal=lambda text, dialect: _mysql_literal(text, _mysql_has_escapes(dialect)),
    syntax=_mysql_syntax,
    canonical_types={
        r"(VARCHAR\(\d{1,4}\)|TEXT|DATE|DATETIME)": r"\1",
        r"NUMERIC(\(\d+), (\d+\))": r"decimal\1,\2",
    },
    counts_up="AUTO_INCREMENT",
    # NO ACTION is RESTRICT, DEFERRABLE is read and forgotten: https://mariadb.com/kb/en/foreign-keys/
    foreign_keys=_ForeignKeys(
        default_actions=frozenset({"NO ACTION", "RESTRICT"}), are_deferrable=False
    ),
    lacks=frozenset({"enum"}),
    commits=_COMMITS,
    questions=_MYSQL,
    ask=_mysql_ask,
    placeholders=_mysql_placeholders,
    columns=_mysql_columns,
    constraints=_mysql_constraints,
    index=_mysql_index,
    index_text=_mysql_index_text,
    drops_temporary=True,
    temporary_views=False,
    table_defaults=_mysql_table_defaults,
    acts={
        "create_exclude_constraint": _no_exclusions,
        "alter_column": _mysql_alter_column,
        "drop_column": _mysql_drop_column,
        "drop_constraint": _mysql_drop_constraint,
    },
    paging=_Paging(unpaged=re.compile(r"(?i)enum|set|float|bit|json"), compares_rows=False),
    if_exists=frozenset({"create_table", "drop_table", "drop_view"}),  # MySQL has no others
    scripts=_EVERYWHERE
    | {
        "alter_type": _mysql_script_alter,
        "drop_column": _mysql_script_drop_column,
        "drop_constraint": _mysql_script_drop_constraint,
        "create_exclude_constraint": _no_exclusions,
        "replace_view": _script_as_it_is,
        "validate_constraint": _script_nothing,
    },
    write_if=_mysql_write_if,
    write_unless=_mysql_write_if,
    write_both_if=_mysql_write_both_if,
    write_statement=_mysql_write_statement,
)
_SQLITE_SERVER = _Server(
    name="sqlite",
    foreign_keys=_ForeignKeys(stay_in_schema=True, referents_first=False),
    lacks=frozenset({"enum", "comment"}),
    replaces_key=True,
    begin="BEGIN IMMEDIATE",
    questions=_SQLITE,
    ask=_sqlite_ask,
    placeholders=_sqlite_placeholders,
    columns=_sqlite_columns,
    constraints=_sqlite_constraints,
    conventional=_sqlite_conventional,
    index=_sqlite_index,
    index_text=_compiled_index_text,
    view_select=_sqlite_view_select,
    is_hidden=_sqlite_is_temporary,
    scratch_schema="temp",
    acts={
        "add_column": _sqlite_add_column,
        "alter_column": _sqlite_alter_column,
        "drop_column": _sqlite_drop_column,
        "drop_table": _sqlite_drop_table,
        "rename_table": _sqlite_rename_table,
        "drop_constraint": _sqlite_drop_constraint,
        "replace_view": _sqlite_replace_view,
        **{verb: _sqlite_add_constraint for verb, _ in _CONSTRAINT_KINDS.values()},
        "create_exclude_constraint": _no_exclusions,
    },
    # https://www.sqlite.org/lang_createtable.html#the_primary_key
    paging=_Paging(keys_may_be_null=True, prepare=_sqlite_leave_transaction),
    batch=_Rebuilding(
        reshape=_sqlite_reshape,
        drop_uncopied=_drop_uncopied,
        index_keeper=_sqlite_index_keeper,
    ),
    if_exists=frozenset(
        {"create_table", "drop_table", "create_index", "drop_index", "create_view", "drop_view"}
    ),
    scripts={
        "create_exclude_constraint": _no_exclusions,
        "replace_view": _sqlite_script_view,
        "validate_constraint": _script_nothing,
    },
    write_unless=_sqlite_write_unless,
)
_SERVERS = {
    "postgresql": _POSTGRESQL_SERVER,
    "mysql": _MYSQL_SERVER,
    "mariadb": _MYSQL_SERVER,
    "sqlite": _SQLITE_SERVER,
}


def _server_of(name: str) -> _Server:
    """Return the server of this name.

    :raises CommandError: it is none of those that are known.
    """
    if name not in _SERVERS:
        raise CommandError(
            f"alembic_helpers knows PostgreSQL, MariaDB, MySQL and SQLite, not {name}"
        )
    return _SERVERS[name]
