"""What a script must know of the server that it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic_toolkit.script import mysql, postgresql, sqlite
from alembic_toolkit.script.parts import Script


@dataclass(frozen=True)
class Server:
    """How scripts for one server are written."""

    write: Callable[[Script], list[str]]
    dual: str = ""  # what a SELECT without a table must be from, if it has a WHERE
    transactional_ddl: bool | None = None  # None: as its dialect says


_MYSQL = Server(mysql.write, dual=" FROM DUAL")
_BY_DIALECT = {
    "postgresql": Server(postgresql.write),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": Server(sqlite.write, transactional_ddl=True),
}


def server_of(dialect: str) -> Server | None:
    """Return how scripts of this dialect are written; None where nothing would skip a statement."""
    return _BY_DIALECT.get(dialect)
