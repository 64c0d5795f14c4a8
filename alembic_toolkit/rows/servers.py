"""How each server writes, reads and checks rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.database.driver import ask
from alembic_toolkit.rows.tables import mysql, postgresql, sqlite
from alembic_toolkit.rows.tables.table import Column, Table
from alembic_toolkit.sql import quoting


@dataclass(frozen=True)
class RowServer:
    """How one server writes, reads and checks rows."""

    facts: servers.Facts
    look: Callable[[Connection, Collection[str] | None], list[Table]]
    selected: Callable[[str, Column], str]  # a quoted name, in a form that every driver can fetch
    binary: str = "X'{}'"  # a literal of hexadecimal digits
    has_booleans: bool = False
    has_bits: bool = True
    moment: Callable[[str, str], str] = lambda text, _: text  # of a kind, as the server writes it
    casts: bool = False  # a literal has no type by itself
    advances_on_insert: bool = False  # what INSERT returns may call setval()
    # How far a sequence may be ahead of the rows: a rollback does not reset it.
    ahead: int = 0
    # The call that advances the sequence of a column past a number; empty: it has none.
    setval: Callable[[Table, Column, int], str] = lambda *_: ""
    # The statements that defer the checks of foreign keys, and that end it.
    defer: tuple[str, str] = ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1")
    # The clause after VALUES that inserts or updates, by the key and the columns to be set.
    upsert: Callable[[Sequence[str], Sequence[str]], str] = lambda *_: ""
    names_key: bool = True  # an upsert names the key that it is about
    no_values: str = "DEFAULT VALUES"  # inserts a row of defaults
    # Returns the first broken reference, where the server checks only at the commit.
    dangling: Callable[[Connection, str], str] = lambda *_: ""


def _on_conflict(key: Sequence[str], columns: Sequence[str]) -> str:
    """Write an upsert as PostgreSQL and SQLite have it: https://sqlite.org/lang_upsert.html."""
    values = ", ".join(f"{name} = excluded.{name}" for name in columns)
    action = f"UPDATE SET {values}" if values else "NOTHING"
    return f"ON CONFLICT ({', '.join(key)}) DO {action}"


# PostgreSQL


def _select_postgresql(name: str, column: Column) -> str:
    if column.kind in ("integer", "numeric", "float", "boolean", "text", "char", "binary"):
        return f"{name}::numeric" if column.type == "money" else name
    if column.kind == "datetimetz":
        return f"({name} AT TIME ZONE 'UTC')::pg_catalog.text"
    json = "::pg_catalog.jsonb" if column.kind == "json" else ""
    return f"{name}{json}::pg_catalog.text"


def _setval_postgresql(table: Table, column: Column, number: int) -> str:
    match = re.match(r"""\"?nextval\"?\(('(?:[^']|'')*'::)"?(regclass)""", column.default or "")
    of = [quoting.postgresql_literal(part) for part in (table.sql, column.name)]
    sequence = f"pg_catalog.pg_get_serial_sequence({', '.join(of)})"
    if match:
        sequence = f"{match[1]}pg_catalog.{match[2]}"
    return f"pg_catalog.setval({sequence}, {number})"


POSTGRESQL = RowServer(
    servers.POSTGRESQL,
    look=postgresql.look,
    selected=_select_postgresql,
    binary=r"'\x{}'",
    has_booleans=True,
    casts=True,
    advances_on_insert=True,
    setval=_setval_postgresql,
    upsert=_on_conflict,
    ahead=100_000,
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


def _on_duplicate_key(key: Sequence[str], columns: Sequence[str]) -> str:
    # https://mariadb.com/kb/en/insert-on-duplicate-key-update/
    values = ", ".join(f"{name} = VALUES({name})" for name in columns or key)
    return f"ON DUPLICATE KEY UPDATE {values}"


MYSQL = RowServer(
    servers.MYSQL,
    look=mysql.look,
    selected=_select_mysql,
    moment=_moment_mysql,
    setval=_setval_mysql,
    upsert=_on_duplicate_key,
    names_key=False,
    no_values="() VALUES ()",
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
    upsert=_on_conflict,
    defer=("PRAGMA defer_foreign_keys = ON", "PRAGMA defer_foreign_keys = OFF"),
    dangling=_dangling_sqlite,
)


def server_of(connection: Connection) -> RowServer:
    """Return the server of a connection."""
    found = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}
    return found[servers.server_of(connection.dialect.name).name]
