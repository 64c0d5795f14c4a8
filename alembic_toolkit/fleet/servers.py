"""How each server is kept from writing while a database is only read.

Every transaction that SQLAlchemy begins is kept read-only by the server itself until its end, even
if the engine would commit each statement; an SQLite file is opened read-only. So statements that
end such a transaction, or change the mode of the next one, are refused.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event

from alembic_toolkit.database import driver, servers
from alembic_toolkit.fleet import cursors

# With its first query the mode of a transaction is fixed:
# https://www.postgresql.org/docs/current/sql-set-transaction.html
# DDL ends a transaction of MariaDB, and is then refused by the mode of the session. What is set for
# a session of PostgreSQL would stay with it in a pool, and be another client's.
_BEGIN = {
    "postgresql": ("BEGIN READ ONLY", "SELECT 1"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "START TRANSACTION READ ONLY"),
    "sqlite": (),  # see `_only_read`
}
_WITHIN = ("SET TRANSACTION READ ONLY", "SELECT 1")  # where the driver has begun it, and unknown

_READ_ONLY = "default_transaction_read_only"
_MYSQL = ("pymysql", "mysqldb", "aiomysql", "asyncmy")  # drivers
_startup = [True]  # whether a session of PostgreSQL starts with it

_ENDS = re.compile(
    r"(?:^|;)\s*(?:commit|end|abort|begin|start|prepare|execute|call|xa"
    r"|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b",
    re.I,
)
_CHANGES = re.compile(
    r"\b(?:set|set_config|reset|discard)\b.*(?:transaction|read.?only|read.?write|autocommit)",
    re.I | re.S,
)
# Where SQLAlchemy does not look the session is read-only by itself: what would change that.
_GIVES_BACK = re.compile(
    r"\b(?:set|set_config|begin|start)\b.*"
    r"(?:read\s+write|read_only['\"]?\s*(?:=|,|\bto\b)(?!\s*['\"]?(?:on\b|1|true\b)))"
    r"|(?:^|;)\s*(?:prepare|execute|call|begin\s+not|reset|discard)\b",
    re.I | re.S,
)
# Texts of tables, asked for together: `alembic_toolkit.database.driver.fetch_each`
_ONLY_SHOWS = re.compile(
    r"begin not atomic (?:(?:/\*[^*]*\*/ )?show create \w+ `(?:[^`]|``)*`; )+end", re.I
)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*|#[^\n]*", re.S)


def only_read() -> None:
    """Let nothing write in this process, not even the beginning of ``env.py``."""
    for name, heard in _heard().items():
        event.listen(Engine, name, heard)


def write_again() -> None:
    """Allow writes in this process after ``env.py`` has ended: into a scratch database."""
    for name, heard in _heard().items():
        if event.contains(Engine, name, heard):
            event.remove(Engine, name, heard)


def _heard() -> dict[str, Callable[..., Any]]:
    return {
        "do_connect": _only_read,
        "connect": _connected,
        "begin": _begun,
        "before_cursor_execute": _refuse_to_write,
    }


def _only_read(dialect: Any, _: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    if dialect.driver in _MYSQL:
        options.setdefault("init_command", _BEGIN["mysql"][0])
    if servers.server_of(dialect.name).name == "postgresql" and _startup:
        _start_read_only(dialect.driver, options)
    file = str(arguments[0]) if arguments else str(options.get("database", ""))
    is_file = servers.server_of(dialect.name).is_file and file not in ("", ":memory:")
    if is_file and "mode=memory" not in file:
        arguments[:1] = [_read_only_file(file, bool(options.get("uri")))]
        options["uri"] = True


def _start_read_only(driver_name: str, options: dict[str, Any]) -> None:
    """Make a session's transactions read-only from its start, even without SQLAlchemy.

    This is requested when the session starts: a pooler passes later settings on to others.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS
    """
    if driver_name in ("psycopg", "psycopg_async", "psycopg2"):
        given = options.get("options") or ""
        options["options"] = f"{given} -c {_READ_ONLY}=on".strip()
    elif name := {"asyncpg": "server_settings", "pg8000": "startup_params"}.get(driver_name):
        options[name] = {**(options.get(name) or {}), _READ_ONLY: "on"}


def refuses_to_start(error: BaseException) -> bool:
    """Tell whether a pooler or an old driver does not support this; then stop requesting it.

    https://www.pgbouncer.org/config.html#ignore_startup_parameters
    """
    refused = bool(_startup) and re.search(r"startup.param", str(error)) is not None
    if refused:
        _startup.clear()
    return refused


def _read_only_file(file: str, is_uri: bool) -> str:
    """Return a URI by which SQLite opens a file read-only, and creates none.

    No statement can change that: https://www.sqlite.org/uri.html#urimode
    """
    if not is_uri:
        if not os.path.isfile(file):
            raise CommandError("there is no such file")
        return f"file:{quote(os.path.abspath(file))}?mode=ro"
    path, _, query = file.partition("?")
    kept = [one for one in query.split("&") if one and not one.startswith("mode=")]
    return f"{path}?{'&'.join([*kept, 'mode=ro'])}"


def _connected(connection: Any, _: Any) -> None:
    """Make the driver itself begin only read-only transactions: it can be used directly.

    Only the driver is known here, not the dialect; and an engine may have its own way to connect.
    """
    module = type(connection).__module__
    if "sqlite" in module:
        _query_only(connection)
    elif any(name in module for name in _MYSQL):
        _run(connection, _BEGIN["mysql"][0])
    elif hasattr(connection, "set_read_only"):  # psycopg, behind a pooler
        connection.set_read_only(True)
    elif hasattr(connection, "readonly"):  # psycopg2, asyncpg
        connection.readonly = True
    pid = getattr(getattr(connection, "info", None), "backend_pid", None)
    if pid is not None:  # psycopg and psycopg2
        _start_later(connection, pid)
    cursors.guard(connection, _refuse_raw)


def _run(connection: Any, sql: str) -> list[Any]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def _start_later(connection: Any, pid: int) -> None:
    """Make a session read-only as if started so, unless it belongs to a pooler."""
    is_ours = _run(connection, "SELECT pg_catalog.pg_backend_pid()") == [(pid,)]
    if is_ours and _run(connection, f"SHOW {_READ_ONLY}") != [("on",)]:
        _run(connection, f"SET {_READ_ONLY} = on")
        if not connection.autocommit:
            connection.commit()
    elif not connection.autocommit:
        connection.rollback()


def _query_only(connection: Any) -> None:
    """Keep an SQLite connection from writing any file, including attached ones."""
    _run(connection, "PRAGMA query_only = ON")
    run = getattr(connection, "run_async", None)  # where the driver is in a thread of its own
    if run is None:
        connection.set_authorizer(_authorized)
    else:
        run(lambda itself: itself.set_authorizer(_authorized))


def _authorized(action: int, what: str | None, value: str | None, *_: Any) -> int:
    """Deny the statement that would restore the right to write.

    https://www.sqlite.org/c3ref/set_authorizer.html
    """
    takes_back = action == sqlite3.SQLITE_PRAGMA and (what or "").lower() == "query_only"
    return sqlite3.SQLITE_DENY if takes_back and value is not None else sqlite3.SQLITE_OK


def _begun(connection: Connection) -> None:
    name = servers.server_of(connection.dialect.name).name
    statements: Sequence[str] = _BEGIN.get(name, _WITHIN)
    commits = getattr(connection.connection.dbapi_connection, "autocommit", False) is True
    if name == "postgresql" and not commits:  # a server that is not known gets standard SQL
        statements = _WITHIN
    with cursors.unguarded():
        for statement in statements:
            driver.run(connection, statement)


def _refuse_to_write(connection: Connection, _: Any, statement: str, *__: Any) -> None:
    text = _COMMENT.sub(" ", statement).strip()
    is_file = servers.server_of(connection.dialect.name).is_file
    if not is_file and (_ENDS.search(text) or _CHANGES.search(text)):
        raise _refusal(statement)


def _refuse_raw(statement: str) -> None:
    gives_back = _GIVES_BACK.search(_COMMENT.sub(" ", statement))
    if gives_back and not _ONLY_SHOWS.fullmatch(statement):
        raise _refusal(statement)


def _refusal(statement: str) -> CommandError:
    return CommandError(
        "env.py ends the transaction in which nothing can write, or changes its mode.\n"
        f"  asked  {' '.join(statement.split())[:200]}\n"
        "Stopped, because status only looks.\n"
        "What to do next, in env.py:\n"
        "    # run this when revisions run, and not before context.configure()"
    )
