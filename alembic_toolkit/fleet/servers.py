"""How each server is kept from writing while a database is only looked at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event

from alembic_toolkit.database import servers


@dataclass(frozen=True)
class ReadOnly:
    """The statements that keep one server from writing."""

    session: str = ""  # when it is opened
    transaction: str = ""  # when it begins


# For one transaction: what is set for a session stays with it in a pool.
POSTGRESQL = ReadOnly(transaction="SET TRANSACTION READ ONLY")
# DDL ends the transaction there, and then only the session's own setting refuses it.
MYSQL = ReadOnly(transaction="SET SESSION TRANSACTION READ ONLY")
SQLITE = ReadOnly(session="PRAGMA query_only = ON")


def server_of(dialect: str) -> ReadOnly:
    """Return how a server is kept from writing; one that is not known here by standard SQL."""
    found = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}
    return found.get(servers.server_of(dialect).name, POSTGRESQL)


def only_read() -> None:
    """Let nothing write in this process: not even what ``env.py`` does first."""
    event.listen(Engine, "do_connect", _refuse_missing_file)
    event.listen(Engine, "connect", _connected)
    event.listen(Engine, "begin", _begun)


def _refuse_missing_file(dialect: Any, _: Any, arguments: Sequence[Any], __: Any) -> None:
    file = str(arguments[0]) if arguments else ""
    is_path = servers.server_of(dialect.name).is_file and file not in ("", ":memory:")
    if is_path and "file:" not in file and not os.path.isfile(file):  # SQLite would make it
        raise CommandError("there is no such file")


def _connected(driver: Any, _: Any) -> None:
    # The driver alone is known here, not the dialect.
    server = SQLITE if "sqlite" in type(driver).__module__ else ReadOnly()
    if server.session:
        driver.execute(server.session).close()


def _begun(connection: Connection) -> None:
    if statement := server_of(connection.dialect.name).transaction:
        connection.exec_driver_sql(statement)
