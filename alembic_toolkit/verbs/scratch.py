"""Create a wanted object on an empty temporary table, and read the server's description of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import Grouping

from alembic_toolkit.database.errors import is_denied
from alembic_toolkit.database.schemas import translations
from alembic_toolkit.sql.tokens import unqualified
from alembic_toolkit.verbs.ask import describe_columns
from alembic_toolkit.verbs.values import Database, Step

SCRATCH = "_alembic_scratch"
SCRATCH_INDEX = f"{SCRATCH}_ix"
SCRATCH_KEY = f"{SCRATCH}_key"


class NoScratch(Exception):
    """The user has no right to create temporary tables."""


@contextmanager
def scratch_table(step: Step, *items: Any, **kw: Any) -> Iterator[None]:
    """Create the wanted object on an empty temporary table, so that the server describes it.

    Only the server knows for sure that ``'0'`` is ``0``, or how it writes a check.
    Temporary tables commit nothing on any server.

    :raises NoScratch: this user may not create them.
    """
    options = step.server.table_defaults(step) | kw | {"schema": scratch_schema(step)}
    if step.server.requires_key and not any(makes_key(item) for item in items):
        items = (*items, sa.Column(SCRATCH_KEY, sa.Integer, primary_key=True, autoincrement=False))
    table = step.operations.schema_obj.table(
        SCRATCH, *items, prefixes=["TEMPORARY"], _constraints_included=True, **options
    )
    table.constraints -= table.foreign_key_constraints
    for column in items:  # a copy of MySQL's ENUM loses its collation
        if isinstance(column, sa.Column):
            table.columns[column.key].type = column.type
    for column in table.columns:  # without its foreign key, a key column would auto-increment
        wanted = getattr(step.wanted, "columns", {}).get(column.name)
        if wanted is not None and wanted.foreign_keys:
            column.autoincrement = False
        put_in_parentheses(step, column)
    with discarded(step.database), called_scratch(step), where_scratch_is(step):
        try:
            step.database.connection.execute(CreateTable(table))
        except sa.exc.DBAPIError as error:
            if not is_denied(error):
                raise
            step.limits = "; by the catalog alone, for this user may make no temporary table"
            raise NoScratch from error
        yield


def makes_key(item: Any) -> bool:
    """Tell whether a column or a constraint gives its table a primary key."""
    if isinstance(item, sa.PrimaryKeyConstraint):
        return bool(list(item.columns))
    return isinstance(item, sa.Column) and item.primary_key


def put_in_parentheses(step: Step, column: sa.Column[Any]) -> None:
    """Make the server accept any expression as a default, as PostgreSQL does in ALTER TABLE only.

    https://www.postgresql.org/docs/current/sql-expressions.html
    """
    sql: Any = getattr(column.server_default, "arg", None)
    if step.server.normal_forms and isinstance(sql, sa.ClauseElement) and "--" not in str(sql):
        grouped: Any = Grouping  # SQLAlchemy has no types for it
        column.server_default = sa.DefaultClause(grouped(sql))


def scratch_schema(step: Step) -> str | None:
    """Return the schema name in which SQLAlchemy should see the scratch table.

    Without a name it would be in the schema to which None is translated.
    """
    return SCRATCH if translations(step.database.connection) else None


@contextmanager
def where_scratch_is(step: Step) -> Iterator[None]:
    """Translate the scratch table's schema name to where temporary tables are."""
    connection = step.database.connection
    names = translations(connection)
    if not names:
        yield
        return
    is_named = step.server.temporary_schema
    connection.execution_options(schema_translate_map={**names, SCRATCH: is_named})
    try:
        yield
    finally:
        connection.execution_options(schema_translate_map=names)


@contextmanager
def called_scratch(step: Step) -> Iterator[None]:
    """Make an expression that names the table (``"user".state``) refer to the scratch table."""

    def rewrite(_1: Any, _2: Any, sql: str, parameters: Any, _3: Any, _4: Any) -> tuple[str, Any]:
        is_ddl = sql.lstrip().startswith("CREATE")
        return (unqualified(sql, step.table) if is_ddl else sql), parameters

    sa.event.listen(step.database.connection, "before_cursor_execute", rewrite, retval=True)
    try:
        yield
    finally:
        sa.event.remove(step.database.connection, "before_cursor_execute", rewrite)


@contextmanager
def discarded(database: Database, what: str = "TABLE") -> Iterator[None]:
    """Undo everything created in the block, even after an error."""
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
        # a plain DROP commits where other DDL does
        commits = what == "TABLE" and database.server.commits is not None
        temporary = "TEMPORARY " if commits else ""
        database.run(f"DROP {temporary}{what} IF EXISTS {SCRATCH}")


def plain_columns(step: Step, without: str | None = None) -> list[sa.Column[Any]]:
    """Return the table's columns, with their types as the server writes them."""
    columns = describe_columns(step.database, step.table, step.place).items()
    types = {n: f"{c['type']} {c.get('collate', '')}".strip() for n, c in columns}
    return [sa.Column(n, verbatim(step.database, t)) for n, t in types.items() if n != without]


class Verbatim(sa.types.UserDefinedType[Any]):
    """A type as the server writes it."""

    cache_ok = True

    def __init__(self, text: str) -> None:
        self.text = text

    def get_col_spec(self, **kw: Any) -> str:
        return self.text


def verbatim(database: Database, type_: str) -> Verbatim:
    """Return a type as the server writes it, for DDL in which the driver interprets ``%``."""
    doubled = database.dialect.paramstyle in ("format", "pyformat")
    return Verbatim(type_.replace("%", "%%") if doubled else type_)
