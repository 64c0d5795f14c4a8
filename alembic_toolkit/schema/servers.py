"""The schema reader for each server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.schema import mysql, postgresql, sqlite
from alembic_toolkit.schema.snapshot import Snapshot, Thing

# The known snapshot, the names in the statements since then, and the ignored tables.
Reader = Callable[[Connection, Snapshot | None, frozenset[str], frozenset[str]], Snapshot]

_READERS: dict[str, Reader] = {
    "sqlite": sqlite.take,
    "postgresql": postgresql.take,
    "mysql": mysql.take,
}


def reader_of(dialect: str) -> Reader:
    """Return the function that reads a server's schema.

    :raises ValueError: there is no snapshot of this kind of database.
    """
    reader = _READERS.get(servers.server_of(dialect).name)
    if reader is None:
        raise ValueError(f"no snapshot of {dialect}")
    return reader


def casts_anew(dialect: str) -> bool:
    """Return whether a server rewrites an expression when its column's type changes."""
    return servers.server_of(dialect).name == "postgresql"


def part_of(connection: Connection) -> str:
    """Return a server and its major version, as far as its texts depend on it: postgresql 16.

    Versions of MariaDB and MySQL have two numbers: 10.11, 9.7.
    """
    server = servers.server_behind(connection)
    numbers = {"postgresql": 1, "sqlite": 1}.get(server.label, 2)
    version = connection.dialect.server_version_info or ()
    return f"{server.label} {'.'.join(str(one) for one in version[:numbers])}"


_Judge = Callable[[Snapshot, Mapping[Thing, str]], Mapping[Thing, str]]
_JUDGES: dict[str, _Judge] = {
    "postgresql": postgresql.judged,
    "mysql": mysql.judged,
}


def judge(
    connection: Connection, snapshot: Snapshot, some: Mapping[Thing, str] | None = None
) -> Mapping[Thing, str]:
    """Return the objects of a schema without properties that the server or its host chose.

    :param some: the objects to return; all of them by default.
    """
    judged = _JUDGES.get(servers.server_of(connection.dialect.name).name)
    things = snapshot if some is None else some
    return things if judged is None else judged(snapshot, things)


_COMPARABLE: dict[str, Callable[[Thing, str], str]] = {"postgresql": postgresql.comparable}


def comparable(server: str, thing: Thing, text: str) -> str:
    """Return a definition in a form that does not depend on the database's history.

    :param server: the name of its dialect, or of its part in the file of schemas.
    """
    way = _COMPARABLE.get(servers.server_of(server.partition(" ")[0]).name)
    return text if way is None else way(thing, text)
