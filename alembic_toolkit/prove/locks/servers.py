"""Which observer knows which server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.prove.locks import mysql, postgresql, sqlite


def observer_of(connection: Connection) -> type[Any]:
    """Return what observes the statements of a server."""
    found: dict[str, type[Any]] = {
        "postgresql": postgresql.Observer,
        "mysql": mysql.Observer,
        "sqlite": sqlite.Observer,
    }
    return found[servers.server_of(connection.dialect.name).name]
