"""Read descriptions of a database's tables: in few statements for all, or for named ones."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from alembic_toolkit.database.own import IGNORE
from alembic_toolkit.rows.servers import server_of
from alembic_toolkit.rows.tables.table import Tables


def look(
    connection: Connection,
    names: Collection[str] | None = None,
    ignore: Collection[str] = IGNORE,
) -> Tables:
    """Read descriptions of tables: all of them, or those named ("table", "schema.table")."""
    if names is not None and not names:
        return {}
    found = server_of(connection).look(connection, names)
    return {table.name: table for table in found if table.name not in ignore}
