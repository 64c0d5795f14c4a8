"""Send SQL to a driver unchanged, and fetch rows from it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.database import libpq
from alembic_toolkit.database.servers import is_mariadb
from alembic_toolkit.sql import quoting


def run(connection: Connection, sql: str) -> list[Any]:
    """Run a statement bypassing SQLAlchemy, its events and its transactions; return the rows.

    It has no parameters, so that the driver does not interpret %; errors are the driver's own.
    """
    with closing(connection.connection.cursor()) as cursor:
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        except Exception:
            raise
        except BaseException:  # as SQLAlchemy does: the next statement would get this answer
            connection.invalidate()
            raise


def fetch(connection: Connection, sql: str) -> list[Any]:
    """Read rows bypassing SQLAlchemy, which takes longer than most queries."""
    if not connection.in_transaction():
        connection.begin()  # as any statement does; a later commit ends it
    return run(connection, sql)


def look(connection: Connection, sql: str) -> list[Any]:
    """Read the rows of a query that only looks, in the transaction; errors are the driver's own."""
    session = libpq.session_of(connection)
    if session is not None:
        return libpq.rows_of(session, libpq.send(session, sql))
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def look_with_names(connection: Connection, sql: str) -> tuple[list[Any], list[str]]:
    """Do the same as :func:`look`; return the names of the columns, too."""
    session = libpq.session_of(connection)
    if session is not None:
        result = libpq.send(session, sql)
        return libpq.rows_of(session, result), libpq.names_of(session, result)
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()), [column[0] for column in cursor.description]


def sends_several(connection: Connection) -> bool:
    """Tell whether `look` may be given statements to run before the query, in the same message."""
    return libpq.session_of(connection) is not None


def goes_on(connection: Connection) -> bool:
    """Tell whether a transaction takes statements, of a driver that sends several at once."""
    if connection.closed or connection.invalidated:
        return False
    itself: Any = connection.connection.dbapi_connection
    return int(itself.pgconn.transaction_status) == libpq.IN_TRANSACTION


def mark(connection: Connection, sql: str) -> None:
    """Set, release or return to a savepoint, which is no statement of the revision."""
    session = libpq.session_of(connection)
    if session is not None:
        libpq.send(session, sql)
        return
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)


AT_ONCE = 1000  # statements in one round trip


def fetch_each(connection: Connection, statements: Sequence[str]) -> list[list[Any]]:
    """Read the rows of several statements, on MariaDB and MySQL in as few round trips as possible.

    Each must return rows. They have no parameters; errors are the driver's own.
    """
    found: list[list[Any]] = []
    for start in range(0, len(statements), AT_ONCE):
        some = statements[start : start + AT_ONCE]
        found += _at_once(connection, some) or [fetch(connection, one) for one in some]
    return found


def _at_once(connection: Connection, statements: Sequence[str]) -> list[list[Any]]:
    """Return the rows of statements that are sent together; nothing if that cannot be done."""
    if connection.dialect.driver != "pymysql" or len(statements) < 2:
        return []
    sent, itself = "; ".join(statements), connection.connection.driver_connection
    with suppress(Exception):  # each statement by itself tells which one failed, and why
        if is_mariadb(connection.dialect):  # https://mariadb.com/kb/en/begin-end/
            return _results(connection, f"BEGIN NOT ATOMIC {sent}; END", len(statements))
        with _several_statements(itself):
            return _results(connection, sent, len(statements))
    return []


def _results(connection: Connection, sql: str, number: int) -> list[list[Any]]:
    if not connection.in_transaction():
        connection.begin()  # as any statement does; a later commit ends it
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)
        found = [list(cursor.fetchall())]
        while len(found) < number and cursor.nextset():
            found.append(list(cursor.fetchall()))
        return found if len(found) == number else []


@contextmanager
def _several_statements(itself: Any) -> Iterator[None]:
    """Let PyMySQL's connection send several statements at once, in the block.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_set_option.html
    """
    set_option, on, off, may_always = 0x1B, 0, 1, 1 << 16
    if itself.client_flag & may_always:
        yield
        return
    itself._execute_command(set_option, struct.pack("<H", on))
    itself._read_packet()
    try:
        yield
    finally:
        itself._execute_command(set_option, struct.pack("<H", off))
        itself._read_packet()


def commits_each(connection: Connection) -> bool:
    """Tell whether each statement is now committed by itself, according to the driver.

    The connection's options do not tell: the engine, the URL's parameters or the author's code may
    have set the driver to do so, and an explicit BEGIN may suspend it.
    """
    one: Any = connection.connection.dbapi_connection
    if callable(ask := getattr(one, "get_autocommit", None)):  # drivers of MariaDB and MySQL
        return bool(ask())
    itself = getattr(one, "driver_connection", None) or connection.connection.driver_connection
    if getattr(itself, "in_transaction", False) is True:
        return False
    if isinstance(autocommit := getattr(one, "autocommit", None), bool):
        return autocommit
    # sqlite3 without `autocommit`, or with its "legacy" value, -1, begins where this is not None.
    # https://docs.python.org/3/library/sqlite3.html#sqlite3.Connection.isolation_level
    return getattr(one, "isolation_level", "") is None


def is_idle(connection: Connection) -> bool:
    """Tell whether the driver knows that it is in no transaction; False if it does not tell.

    SQLAlchemy does not notice a commit by the driver itself, or one within a statement.
    """
    itself: Any = connection.connection.driver_connection
    for ask in _IN_TRANSACTION:
        with suppress(AttributeError, TypeError):
            return not ask(itself)
    return False


_IN_TRANSACTION: tuple[Callable[[Any], Any], ...] = (
    lambda itself: int(itself.info.transaction_status),  # psycopg, psycopg2
    lambda itself: itself.is_in_transaction(),  # asyncpg
    lambda itself: itself._in_transaction,  # pg8000
    lambda itself: itself.in_transaction,  # sqlite3, aiosqlite
    lambda itself: itself.server_status & 1,  # PyMySQL and its kin: SERVER_STATUS_IN_TRANS
)


_VERSIONS = "server_version", "crdb_version"  # also on PostgreSQL look-alikes


def greeting(connection: Connection) -> str:
    """Return the version that the server reported at connect; empty if unknown."""
    itself: Any = connection.connection.driver_connection
    for ask in _GREETINGS:
        with suppress(AttributeError, TypeError):
            return " ".join(str(one) for one in ask(itself) if one)
    return ""


_GREETINGS: tuple[Callable[[Any], tuple[Any, ...]], ...] = (
    lambda itself: tuple(map(itself.info.parameter_status, _VERSIONS)),  # psycopg, psycopg2
    lambda itself: tuple(getattr(itself.get_settings(), one, "") for one in _VERSIONS),  # asyncpg
    lambda itself: tuple(itself.parameter_statuses.get(one) for one in _VERSIONS),  # pg8000
    lambda itself: (itself.get_server_info(),),  # PyMySQL and its kin
)


def ask(connection: Connection, sql: str) -> list[Any]:
    """Run a statement without parameters, whatever characters it contains."""
    # Without parameters, no driver interprets percent signs.
    result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    rows = list(result.cursor.fetchall()) if result.returns_rows else []
    result.close()
    return rows


def identifier(connection: Connection, *names: str) -> str:
    """Return a quoted name, qualified by the names it belongs to."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    # For some drivers the preparer doubles percent signs.
    quoted = ".".join(quote(name) for name in names)
    return quoting.unescaped_percent(quoted, connection.dialect)
