"""What each server does in its own way with rows: how they are written, read and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.database.driver import ask
from alembic_toolkit.rows.tables import mysql, postgresql, sqlite
from alembic_toolkit.rows.tables.table import Column, Table
from alembic_toolkit.sql import quoting


@dataclass(frozen=True)
class RowServer:
    """How one server has rows written, read and checked."""

    facts: servers.Facts
    look: Callable[[Connection, Collection[str] | None], list[Table]]
    selected: Callable[[str, Column], str]  # a quoted name, in a form that every driver can fetch
    binary: str = "X'{}'"  # a literal of hexadecimal digits
    has_booleans: bool = False
    has_bits: bool = True
    moment: Callable[[str, str], str] = lambda text, _: text  # of a kind, as the server writes it
    casts: bool = False  # a literal has no type by itself
    advances_on_insert: bool = False  # what INSERT returns may call setval()
    # The call that advances the sequence of a column past a number; empty: it has none.
    setval: Callable[[Table, Column, int], str] = lambda *_: ""
    # The statements that defer the checks of foreign keys, and that end it.
    defer: tuple[str, str] = ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1")
    # Returns the first broken reference, where the server checks only at the commit.
    dangling: Callable[[Connection, str], str] = lambda *_: ""


# PostgreSQL


def _select_postgresql(name: str, column: Column) -> str:
    if column.kind in ("integer", "numeric", "float", "boolean", "text", "char", "binary"):
        return f"{name}::numeric" if column.type == "money" else name
    if column.kind == "datetimetz":
        return f"({name} AT TIME ZONE 'UTC')::text"
    return f"{name}::jsonb::text" if column.kind == "json" else f"{name}::text"


def _setval_postgresql(table: Table, column: Column, number: int) -> str:
    match = re.match(r"nextval\(('(?:[^']|'')*'::regclass)", column.default or "")
    of = [quoting.postgresql_literal(part) for part in (table.sql, column.name)]
    sequence = match[1] if match else f"pg_get_serial_sequence({', '.join(of)})"
    return f"setval({sequence}, {number})"


POSTGRESQL = RowServer(
    servers.POSTGRESQL,
    look=postgresql.look,
    selected=_select_postgresql,
    binary=r"'\x{}'",
    has_booleans=True,
    casts=True,
    advances_on_insert=True,
    setval=_setval_postgresql,
    defer=("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS ALL IMMEDIATE"),
)


# MariaDB and MySQL


def _select_mysql(name: str, column: Column) -> str:
    if column.kind in ("date", "datetime", "time"):
        return f"CAST({name} AS CHAR)"
    return f"{name} + 0" if column.kind == "bit" else name


def _moment_mysql(text: str, kind: str) -> str:
    return text[:26].replace("+00:00", "") if kind in ("datetime", "datetimetz") else text


def _setval_mysql(_: Table, column: Column, number: int) -> str:
    match = re.match(r"nextval\((.+)\)$", column.default or "", re.I)
    return f"setval({match[1]}, {number})" if match else ""


MYSQL = RowServer(
    servers.MYSQL,
    look=mysql.look,
    selected=_select_mysql,
    moment=_moment_mysql,
    setval=_setval_mysql,
)


# SQLite


def _moment_sqlite(text: str, kind: str) -> str:
    # As SQLAlchemy writes it.
    return f"{text}.000000" if kind == "datetime" and len(text) == 19 else text


def _dangling_sqlite(connection: Connection, name: str) -> str:
    # https://sqlite.org/pragma.html#pragma_foreign_key_check
    found = ask(connection, f"PRAGMA foreign_key_check({quoting.literal(name)})")
    return f"FOREIGN KEY constraint failed: {found[0][2]}" if found else ""


SQLITE = RowServer(
    servers.SQLITE,
    look=sqlite.look,
    selected=lambda name, _: name,
    has_bits=False,
    moment=_moment_sqlite,
    defer=("PRAGMA defer_foreign_keys = ON", "PRAGMA defer_foreign_keys = OFF"),
    dangling=_dangling_sqlite,
)


def server_of(connection: Connection) -> RowServer:
    """Return the server of a connection."""
    found = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}
    return found[servers.server_of(connection.dialect.name).name]
