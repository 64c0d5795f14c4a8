"""The SQL writer of each server."""

from __future__ import annotations

from collections.abc import Callable

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.where.making import mysql, postgresql, sqlite
from alembic_toolkit.where.making.order import Wanted

_MAKERS: dict[str, Callable[[Wanted], list[str]]] = {
    "postgresql": postgresql.make,
    "mysql": mysql.make,
    "sqlite": sqlite.make,
}


def make(server: str, wanted: Wanted) -> list[str]:
    """Return the statements that create missing objects and fix different ones.

    :param server: the server's name in the file of schemas.
    """
    return _MAKERS[server_of(server.partition(" ")[0]).name](wanted)
