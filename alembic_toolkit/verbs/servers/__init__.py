"""The supported servers."""

from __future__ import annotations

from alembic.util import CommandError

from alembic_toolkit.verbs.servers import mysql, postgresql, sqlite
from alembic_toolkit.verbs.values import Server

SERVERS: dict[str, Server] = {  # by the name of the SQLAlchemy dialect
    "postgresql": postgresql.SERVER,
    "mysql": mysql.SERVER,
    "mariadb": mysql.SERVER,
    "sqlite": sqlite.SERVER,
}


def server_of(name: str) -> Server:
    """Return the server of this name.

    :raises CommandError: the server is not supported.
    """
    if name not in SERVERS:
        raise CommandError(
            f"alembic_helpers knows PostgreSQL, MariaDB, MySQL and SQLite, not {name}"
        )
    return SERVERS[name]
