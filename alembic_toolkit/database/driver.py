"""Send SQL to a driver as it is, and fetch rows from it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.sql import quoting


def run(connection: Connection, sql: str) -> list[Any]:
    """Run a statement past SQLAlchemy, its events and its transactions; return the rows.

    Without parameters, so that the driver leaves % alone; errors are the driver's own.
    """
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def fetch(connection: Connection, sql: str) -> list[Any]:
    """Read rows past SQLAlchemy, whose own way takes longer than most looks."""
    if not connection.in_transaction():
        connection.begin()  # as any statement does; whoever commits ends it
    return run(connection, sql)


def ask(connection: Connection, sql: str) -> list[Any]:
    """Run a statement without parameters, whatever characters it holds."""
    # Given no parameters, no driver looks for percent signs.
    result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    rows = list(result.cursor.fetchall()) if result.returns_rows else []
    result.close()
    return rows


def identifier(connection: Connection, *names: str) -> str:
    """Return a name in quotes, qualified by those that it belongs to."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    # For some drivers the preparer doubles percent signs.
    quoted = ".".join(quote(name) for name in names)
    return quoting.unescaped_percent(quoted, connection.dialect)
