"""Send SQL to a driver as it is, and fetch rows from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection


def fetch(connection: Connection, sql: str) -> list[Any]:
    """Read rows through the driver itself: SQLAlchemy's way to them takes longer than most looks.

    Without parameters, so that the driver leaves % alone; errors are the driver's own.
    """
    if not connection.in_transaction():
        connection.begin()  # as any statement does; whoever commits ends it
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


def ask(connection: Connection, sql: str) -> list[Any]:
    """Run a statement without parameters, whatever characters it holds."""
    if connection.dialect.paramstyle in ("format", "pyformat"):
        sql = sql.replace("%", "%%")
    result = connection.exec_driver_sql(sql)
    rows = list(result.cursor.fetchall()) if result.returns_rows else []
    result.close()
    return rows


def identifier(connection: Connection, *names: str) -> str:
    quote = connection.dialect.identifier_preparer.quote_identifier
    # The preparer doubles percent signs for such drivers, and so does ask.
    percent = connection.dialect.paramstyle in ("format", "pyformat")
    quoted = ".".join(quote(name) for name in names)
    return quoted.replace("%%", "%") if percent else quoted
