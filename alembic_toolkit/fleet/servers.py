"""How each server is kept from writing while a database is only looked at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event

from alembic_toolkit.database import servers

# When a transaction begins: what is set for a session stays with it in a pool.
_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    # DDL ends the transaction there, and then only the session's own setting refuses it.
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "sqlite": "",  # see `_connected`
}


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
    if "sqlite" in type(driver).__module__:
        driver.execute("PRAGMA query_only = ON").close()


def _begun(connection: Connection) -> None:
    # A server that is not known here is given standard SQL.
    name = servers.server_of(connection.dialect.name).name
    if statement := _READ_ONLY.get(name, "SET TRANSACTION READ ONLY"):
        connection.exec_driver_sql(statement)
