"""Which reader takes the schema of which server."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.schema import mysql, postgresql, sqlite
from alembic_toolkit.schema.snapshot import Snapshot

# What was known, the names in the statements since then, and the tables that do not count.
Reader = Callable[[Connection, Snapshot | None, frozenset[str], frozenset[str]], Snapshot]

_READERS: dict[str, Reader] = {
    "sqlite": sqlite.take,
    "postgresql": postgresql.take,
    "mysql": mysql.take,
}


def reader_of(dialect: str) -> Reader:
    """Return what takes the schema of a server.

    :raises ValueError: there is no snapshot of this kind of database.
    """
    reader = _READERS.get(servers.server_of(dialect).name)
    if reader is None:
        raise ValueError(f"no snapshot of {dialect}")
    return reader
