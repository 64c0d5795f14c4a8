"""What a script must know of the server that it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic_toolkit.script import mysql, postgresql, sqlite
from alembic_toolkit.script.parts import Script


@dataclass(frozen=True)
class ScriptServer:
    """How scripts for one server are written."""

    write: Callable[[Script], list[str]]
    dual: str = ""  # what a SELECT without a table must be from, if it has a WHERE
    transactional_ddl: bool | None = None  # None: as its dialect says


_MYSQL = ScriptServer(mysql.write, dual=" FROM DUAL")
_BY_DIALECT = {
    "postgresql": ScriptServer(postgresql.write),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": ScriptServer(sqlite.write, transactional_ddl=True),
}


def server_of(dialect: str) -> ScriptServer | None:
    """Return how scripts of this dialect are written; None where nothing would skip a statement."""
    return _BY_DIALECT.get(dialect)
