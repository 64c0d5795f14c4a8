"""What a script must know about its server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alembic_toolkit.script import mysql, postgresql, sqlite
from alembic_toolkit.script.journal import Moments
from alembic_toolkit.script.parts import Script
from alembic_toolkit.sql.bodies import MYSQL, POSTGRESQL, SQLITE
from alembic_toolkit.sql.statements import Syntax


@dataclass(frozen=True)
class ScriptServer:
    """How scripts for one server are written."""

    write: Callable[[Script], Iterator[str]]
    syntax: Syntax
    moments: Moments
    lock_timeout: Callable[[float], str]  # what bounds the wait for a lock, in seconds
    first: str = ""  # the first line, which tells the server's own client to stop at an error
    dual: str = ""  # what a SELECT without a table must be from, if it has a WHERE
    transactional_ddl: bool | None = None  # None: as its dialect says


_MYSQL = ScriptServer(mysql.write, MYSQL, mysql.MOMENTS, mysql.lock_timeout, dual=" FROM DUAL")
_BY_DIALECT = {
    "postgresql": ScriptServer(
        postgresql.write,
        POSTGRESQL,
        postgresql.MOMENTS,
        postgresql.lock_timeout,
        first="\\set ON_ERROR_STOP on",
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": ScriptServer(
        sqlite.write,
        SQLITE,
        sqlite.MOMENTS,
        sqlite.lock_timeout,
        first=".bail on",
        transactional_ddl=True,
    ),
}


def server_of(dialect: str) -> ScriptServer | None:
    """Return how scripts of this dialect are written; None if nothing could skip a statement."""
    return _BY_DIALECT.get(dialect)


def name_here(asked: str, named: str) -> str:
    """Return the dialect's name during an upgrade, if a revision may ask for it.

    A URL that begins with mysql may be MariaDB's, and then the upgrade's dialect is called so.
    """
    both = ("mariadb", "mysql")
    return named if (asked, named) == both else asked
