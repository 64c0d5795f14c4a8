"""What the server makes of a wanted thing, on an empty temporary table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from alembic_toolkit.sql.tokens import unqualified
from alembic_toolkit.verbs.ask import describe_columns, view_select
from alembic_toolkit.verbs.values import Database, Step

SCRATCH = "_alembic_scratch"


@contextmanager
def scratch_table(step: Step, *items: Any, **kw: Any) -> Iterator[None]:
    """Make the wanted thing on an empty temporary table, so that the server says what it is.

    The server knows that ``now()`` is ``CURRENT_TIMESTAMP`` and ``'0'`` a number; nobody else does
    so exactly.  Temporary tables commit nothing on any server.
    """
    options = step.server.table_defaults(step) | kw
    table = step.operations.schema_obj.table(
        SCRATCH, *items, prefixes=["TEMPORARY"], _constraints_included=True, **options
    )
    table.constraints -= table.foreign_key_constraints
    for column in items:  # a copy of MySQL's ENUM forgets its collation
        if isinstance(column, sa.Column):
            table.columns[column.key].type = column.type
    for column in table.columns:  # without its foreign key, a key column would count up by itself
        wanted = getattr(step.wanted, "columns", {}).get(column.name)
        if wanted is not None and wanted.foreign_keys:
            column.autoincrement = False
    with discarded(step.database), called_scratch(step):
        step.database.connection.execute(CreateTable(table))
        yield


@contextmanager
def called_scratch(step: Step) -> Iterator[None]:
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


@contextmanager
def discarded(database: Database, what: str = "TABLE") -> Iterator[None]:
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
        database.run(f"DROP {temporary}{what} IF EXISTS {SCRATCH}")


def plain_columns(step: Step, without: str | None = None) -> list[sa.Column[Any]]:
    """Return the columns of the table, with their types in the server's own words."""
    columns = describe_columns(step.database, step.table, step.schema).items()
    types = {n: f"{c['type']} {c.get('collate', '')}".strip() for n, c in columns}
    return [sa.Column(n, verbatim(step.database, t)) for n, t in types.items() if n != without]


class Verbatim(sa.types.UserDefinedType[Any]):
    """A type in the server's own words."""

    cache_ok = True

    def __init__(self, text: str) -> None:
        self.text = text

    def get_col_spec(self, **kw: Any) -> str:
        return self.text


def verbatim(database: Database, type_: str) -> Verbatim:
    """Return a type in the server's own words, for DDL that the driver looks for ``%`` in."""
    doubled = database.dialect.paramstyle in ("format", "pyformat")
    return Verbatim(type_.replace("%", "%%") if doubled else type_)


def wanted_select(database: Database, definition: str) -> str | None:
    """Return a SELECT as the server would keep it; None where only the name can be compared."""
    temporary = "TEMPORARY " if database.server.temporary_views else ""
    with discarded(database, "VIEW"):
        database.run(f"CREATE {temporary}VIEW {SCRATCH} AS {definition}")
        return view_select(database, SCRATCH, database.server.scratch_schema)


STORAGE = ("row_format", "key_block_size", "tablespace", "directory", "partition", "compress")


def scratch_options(options: Any) -> dict[str, Any]:
    """Return the options of a table without those of its storage, which temporary ones refuse."""
    return {k: v for k, v in options.items() if not any(word in k for word in STORAGE)}
