"""What the server makes of a wanted thing, on an empty temporary table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from alembic_toolkit.sql.tokens import unqualified
from alembic_toolkit.verbs.ask import describe_columns
from alembic_toolkit.verbs.values import Database, Step

SCRATCH = "_alembic_scratch"


@contextmanager
def scratch_table(step: Step, *items: Any, **kw: Any) -> Iterator[None]:
    """Make the wanted thing on an empty temporary table, so that the server says what it is.

    Only the server knows exactly that ``'0'`` is ``0``, or how it writes a check.
    Temporary tables commit nothing on any server.
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
        is_ddl = sql.lstrip().startswith("CREATE")
        return (unqualified(sql, step.table) if is_ddl else sql), parameters

    sa.event.listen(step.database.connection, "before_cursor_execute", rewrite, retval=True)
    try:
        yield
    finally:
        sa.event.remove(step.database.connection, "before_cursor_execute", rewrite)


@contextmanager
def discarded(database: Database, what: str = "TABLE") -> Iterator[None]:
    """Undo what is made within, also after an error."""
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
    """Return the columns of the table, with their types as the server writes them."""
    columns = describe_columns(step.database, step.table, step.schema).items()
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
    """Return a type as the server writes it, for DDL in which the driver looks for ``%``."""
    doubled = database.dialect.paramstyle in ("format", "pyformat")
    return Verbatim(type_.replace("%", "%%") if doubled else type_)
