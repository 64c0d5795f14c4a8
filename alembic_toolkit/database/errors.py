"""Classify errors of servers: locks, lost sessions, problems for an operator; find blockers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    PendingRollbackError,
    SQLAlchemyError,
    StatementError,
)

from alembic_toolkit.database.servers import server_behind
from alembic_toolkit.messages import printable
from alembic_toolkit.sql.masking import literals

# https://www.postgresql.org/docs/current/errcodes-appendix.html
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_DEADLOCKS = {"40P01", 1213}
# The transaction's snapshot is outdated: at isolation levels above read committed.
# https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
# https://mariadb.com/kb/en/innodb-system-variables/#innodb_snapshot_isolation
_OUTDATED = {"40001", 1020}
_LOCK_ERRORS = {"55P03", 1205, 3572, *_DEADLOCKS, *_OUTDATED}
_SQLITE_BUSY = "database is locked"
# The server or its operator stopped the revision, whatever it does: a traceback would not help.
_OPERATORS = {
    "42501",  # insufficient_privilege
    "25006",  # read_only_sql_transaction
    "53100",  # disk_full
    "57014",  # query_canceled, by statement_timeout or by a person
    1021,  # disk full
    1044,  # access denied to the database
    1114,  # the table is full
    1142,  # a command is denied on a table
    1143,  # on a column
    1227,  # a privilege is missing
    1317,  # a statement was killed
    1290,  # the server runs with --read-only
    1792,  # a read-only transaction
    1836,  # the server is in read-only mode
    1969,  # max_statement_time
    3024,  # max_execution_time, of MySQL
}
# Nothing can be changed: the session, or the server, is read-only.
_READ_ONLY = {"25006", 1290, 1792, 1836}
_DENIED = {"42501", 1044, 1142, 1143, 1227}
# The session has ended; SQLAlchemy knows further disconnections.
NOT_PRIMARY = 1047  # on a Galera cluster
_GONE = {
    "08000",  # connection_exception
    "08003",  # connection_does_not_exist
    "08006",  # connection_failure
    "25P03",  # idle_in_transaction_session_timeout
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P05",  # idle_session_timeout
    NOT_PRIMARY,
    1053,  # shutdown in progress
    1927,  # the connection was killed
    2006,  # the server has gone away
    2013,  # lost during a query
    3169,  # the session was killed, of MySQL
    4031,  # it was idle for too long
}
# A table, a column or a function does not exist.
_UNKNOWN = {"42P01", "42703", "42883", "42704", 1054, 1072, 1146}
_NO_TABLE = {"42P01", "3F000", 1146}
# PostgreSQL's hint here is the intended name. For other errors it may be CASCADE.
_HINTS = _UNKNOWN | {"42804"}
# A name that is already taken.
_TAKEN = {"42P07", "42710", "42723", 1050, 1061, 1826, 3822}
_CANNOT_CREATE = 1005  # MariaDB, with the reason as InnoDB's number: 121 is a name that is taken
# Rows that do not fit, for which PyMySQL raises an operational or programming error: a NULL, a
# truncated or invalid value, a MySQL check.
_UNFIT = {1138, 1265, 1366, 3819}
# Syntax, a second AUTO_INCREMENT, its type.
_DEFINITION = {"42601", 1063, 1064, 1075}
# What a foreign key leads to is not unique, or has another type.
_NO_KEY = {"42830", _CANNOT_CREATE, 1822, 3780, 6125}
_SQLITE_TAKEN = re.compile(r"already exists|there is already")
_SQLITE_OPERATORS = (
    "attempt to write a readonly database",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
)


def code(error: BaseException | None) -> str | int | None:
    """Return the SQLSTATE, or MariaDB's number, of a driver's error."""
    first = error.args[0] if error is not None and error.args else None
    if isinstance(first, int):
        return first  # MariaDB's number: its SQLSTATEs are less precise
    if isinstance(first, dict):  # pg8000
        return str(first.get("C"))
    found = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "errno"))
    return next((one for one in found if isinstance(one, str | int)), None)


def _wrapped(error: BaseException | None) -> DBAPIError | None:
    """Return SQLAlchemy's error that this one is, or was caused by."""
    while error is not None and not isinstance(error, DBAPIError):
        # After a connection is lost, further statements raise this error instead of the first one.
        pending = isinstance(error, PendingRollbackError)
        error = error.__context__ if pending else error.__cause__
    first: BaseException | None = error
    while first is not None and (not isinstance(first, DBAPIError) or is_of_savepoint(first.orig)):
        # A deadlock or a full disk ends the transaction with its savepoints. The missing savepoint
        # that begin_nested() then reports is not the cause.
        first = first.__context__
    return first or error


def is_of_savepoint(error: BaseException | None) -> bool:
    """Return whether a savepoint did not exist."""
    return code(error) in (1305, "3B001") or str(error).startswith("no such savepoint")


def drivers_error(error: BaseException | None) -> BaseException | None:
    """Return the driver's error that this one is, or was caused by."""
    found = _wrapped(error)
    return found.orig if found is not None else None


def is_of_rows(error: BaseException | None) -> bool:
    """Return whether a statement failed because of the contents of rows."""
    found = _wrapped(error)
    return isinstance(found, IntegrityError | DataError) or code(drivers_error(error)) in _UNFIT


def is_of_definition(error: BaseException | None) -> bool:
    """Return whether a definition is refused, whatever the rows are."""
    return code(drivers_error(error)) in _DEFINITION or has_no_key(error)


def has_no_key(error: BaseException | None) -> bool:
    """Return whether a foreign key leads to columns without a unique key, or of other types."""
    found = drivers_error(error)
    return code(found) in _NO_KEY or str(found).startswith("foreign key mismatch")  # SQLite's


def is_lock_error(error: BaseException | None) -> bool:
    """Return whether a lock was not granted, or another session was first: retry it.

    This includes a deadlock that the server ended, and a serialization failure.

    :param error: the driver's error, SQLAlchemy's, or one that was caused by it.
    """
    found = drivers_error(error) or error
    return code(found) in _LOCK_ERRORS or str(found).startswith(_SQLITE_BUSY)


def is_deadlock(error: BaseException | None) -> bool:
    """Return whether the server ended a deadlock with this error."""
    return code(drivers_error(error) or error) in _DEADLOCKS


def is_outdated(error: BaseException | None) -> bool:
    """Return whether others changed what the transaction had read, so that it must be repeated."""
    return code(drivers_error(error) or error) in _OUTDATED


def is_operators(error: BaseException | None) -> bool:
    """Return whether it is a problem for an operator: rights, a full disk, a read-only database."""
    found = drivers_error(error)
    return found is not None and (
        code(found) in _OPERATORS or str(found).startswith(_SQLITE_OPERATORS)
    )


def is_read_only(error: BaseException | None) -> bool:
    """Return whether the session, or its server, accepts no changes."""
    return code(drivers_error(error) or error) in _READ_ONLY


def is_denied(error: BaseException | None) -> bool:
    """Return whether a privilege is missing."""
    return code(drivers_error(error) or error) in _DENIED


def is_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C ended an SQLite statement, whose error hides KeyboardInterrupt."""
    return str(drivers_error(error) or error) == "interrupted"


def is_gone(error: BaseException | None) -> bool:
    """Return whether the database session ended because the server was stopped or killed it."""
    found = _wrapped(error)
    return found is not None and (found.connection_invalidated or code(found.orig) in _GONE)


def is_lost(error: BaseException, connection: Connection) -> bool:
    """Return whether an error of SQLAlchemy or the driver means that the session has ended."""
    dialect = connection.dialect
    if is_gone(error) or (isinstance(error, SQLAlchemyError) and connection.invalidated):
        return True
    if not isinstance(error, dialect.loaded_dbapi.Error | OSError | EOFError):
        return False
    if connection.closed or connection.invalidated:
        return True
    return bool(dialect.is_disconnect(error, connection.connection.driver_connection, None))  # type: ignore[arg-type]


def message(error: BaseException) -> str:
    """Return the message of the driver's error on one line."""
    found = drivers_error(error) or error
    # PyMySQL: (number, message). PostgreSQL's further lines show the statement again.
    said = found.args[-1] if found.args else found
    if isinstance(said, dict):  # pg8000
        said = ": ".join(str(said[part]) for part in "MD" if part in said)
    text = str(said).partition("\nLINE ")[0]
    if code(found) == NOT_PRIMARY:
        text = f"this node has left the primary component of its cluster ({text})"
    nothing = "the connection is closed" if is_gone(error) else type(found).__name__
    return printable(" ".join(text.split())) or nothing


def words(error: BaseException) -> str:
    """Return everything the server reported, on one line: message, details, hint."""
    found = drivers_error(error) or error
    diagnosis = getattr(found, "diag", None)  # psycopg
    detail = getattr(diagnosis, "message_detail", None)
    detail = detail or getattr(found.__cause__, "detail", None)  # asyncpg
    hint = getattr(diagnosis, "message_hint", None) if code(found) in _HINTS else None
    said = getattr(diagnosis, "message_primary", None) or message(error)
    parts = [
        " ".join(part.split()) for part in (said.partition("\nDETAIL:")[0], detail, hint) if part
    ]
    return printable(": ".join(part.rstrip(".") for part in parts).replace("_alembic_tmp_", ""))


def is_refusal(error: BaseException | None) -> bool:
    """Return whether the server refused a statement, not for a lock, and the session continues."""
    found = _wrapped(error)
    passes = is_lock_error(found) or is_gone(found) or is_interrupted(found)
    return found is not None and not passes


def is_unknown(error: BaseException | None) -> bool:
    """Return whether a table, a column or a function does not exist."""
    return code(drivers_error(error) or error) in _UNKNOWN


def is_missing_table(error: BaseException | None) -> bool:
    """Return whether a query names a table, or its schema, that does not exist."""
    found = drivers_error(error) or error
    return code(found) in _NO_TABLE or str(found).startswith("no such table")


def is_taken(error: BaseException | None) -> bool:
    """Return whether a name is already taken."""
    found = drivers_error(error)
    if code(found) == _CANNOT_CREATE:
        return "errno: 121 " in str(found)
    return code(found) in _TAKEN or bool(_SQLITE_TAKEN.search(str(found)))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all errors that led to it, even if hidden by ``from None``."""
    found: list[BaseException | None] = [error]
    for one in found:
        if one is not None:
            yield one
            found += [each for each in (one.__cause__, one.__context__) if each not in found]


def values(error: BaseException) -> set[str]:
    """Return the literal values and the parameters of the statements behind an error."""
    found: set[str] = set()
    for one in chain(error):
        if isinstance(one, StatementError):
            given: Any = one.params or ()
            rows = given if isinstance(given, list) else [given]
            each = (row.values() if isinstance(row, Mapping) else row for row in rows)
            found |= {str(value) for some in each for value in some if value is not None}
            found |= literals(one.statement or "")
    return found


# syntax_error, undefined_column
_NO_NAME = {"42601", "42703"}


def quotes(error: BaseException) -> str:
    """Return the characters that may begin a string in the statement that failed.

    On MariaDB and SQLite also a double quote; on PostgreSQL the author may have meant one.
    """
    found = code(drivers_error(error) or error)
    return "'" if isinstance(found, str) and found not in _NO_NAME else "'\""


def statement(error: BaseException | None) -> str:
    """Return the statement that failed."""
    found = _wrapped(error)
    return (found.statement or "COMMIT") if found is not None else ""


# Blocking sessions


def blockers(connection: Connection, blocked: str) -> list[str]:
    """Return the sessions that hold, or may hold, what a statement needs: a line for each.

    Call it outside a transaction; it leaves none open.

    :param blocked: the statement.
    """
    query = server_behind(connection).blockers
    if not query:
        return []
    values = {"statement": blocked} if ":statement" in query else {}
    try:
        rows: list[Any] = [*connection.execute(text(query), values)]
    except DBAPIError:  # not every user may see other sessions
        rows = []
    finally:
        connection.rollback()
    # If some hold a lock on an object in the statement, the others are omitted.
    rows = [row for row in rows if row[6]] or rows
    lines = []
    for pid, user, host, state, age, running, _ in rows[:3]:
        since = "" if age is None else f" for {age} s"
        running = " ".join((running or "").split())
        running = running if len(running) <= 80 else running[:77] + "..."
        line = f"session {pid}, {user} from {host}, {state}{since}"
        lines.append(printable(f"{line}: {running}" if running else line))
    return lines
