"""Tell errors of servers apart: locks, lost sessions, what an operator must mend; find blockers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from alembic_toolkit.database.servers import server_of

# https://www.postgresql.org/docs/current/errcodes-appendix.html
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_DEADLOCKS = {"40P01", 1213}
_LOCK_ERRORS = {"55P03", 1205, *_DEADLOCKS}
_SQLITE_BUSY = "database is locked"
# The server or its operator stopped the revision, whatever it does: no traceback explains that.
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
}
# The session has ended; SQLAlchemy knows further disconnections.
_GONE = {
    "08000",  # connection_exception
    "08003",  # connection_does_not_exist
    "08006",  # connection_failure
    "25P03",  # idle_in_transaction_session_timeout
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P05",  # idle_session_timeout
    1053,  # shutdown in progress
    1927,  # the connection was killed
    2006,  # the server has gone away
    2013,  # lost during a query
}
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
        return first  # MariaDB's number: its SQLSTATEs are less exact
    if isinstance(first, dict):  # pg8000
        return str(first.get("C"))
    found = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "errno"))
    return next((one for one in found if isinstance(one, str | int)), None)


def _wrapped(error: BaseException | None) -> DBAPIError | None:
    """Return SQLAlchemy's error that this one is, or was raised for."""
    while error is not None and not isinstance(error, DBAPIError):
        # After a connection was lost, further statements raise this error instead of the first.
        pending = isinstance(error, PendingRollbackError)
        error = error.__context__ if pending else error.__cause__
    return error


def drivers_error(error: BaseException | None) -> BaseException | None:
    """Return the driver's error that this one is, or was raised for."""
    found = _wrapped(error)
    return found.orig if found is not None else None


def is_lock_error(error: BaseException | None) -> bool:
    """Return whether a lock was not granted, or a deadlock ended: a second try may succeed.

    :param error: the driver's, SQLAlchemy's, or one that was raised for it.
    """
    found = drivers_error(error) or error
    return code(found) in _LOCK_ERRORS or str(found).startswith(_SQLITE_BUSY)


def is_deadlock(error: BaseException | None) -> bool:
    """Return whether the server ended a deadlock by this error."""
    return code(drivers_error(error) or error) in _DEADLOCKS


def is_operators(error: BaseException | None) -> bool:
    """Return whether rights, a full disk or a read-only database stopped it, and not its author."""
    found = drivers_error(error)
    return found is not None and (
        code(found) in _OPERATORS or str(found).startswith(_SQLITE_OPERATORS)
    )


def is_gone(error: BaseException | None) -> bool:
    """Return whether the session with the database ended: the server was stopped, or killed it."""
    found = _wrapped(error)
    return found is not None and (found.connection_invalidated or code(found.orig) in _GONE)


def message(error: BaseException) -> str:
    """Return the message of the driver's error in one line."""
    found = drivers_error(error) or error
    # PyMySQL: (number, message). PostgreSQL's further lines show the statement again.
    text = str(found.args[-1] if found.args else found).partition("\nLINE ")[0]
    nothing = "the connection is closed" if is_gone(error) else type(found).__name__
    return " ".join(text.split()) or nothing


def statement(error: BaseException | None) -> str:
    """Return the statement that failed."""
    found = _wrapped(error)
    return (found.statement or "COMMIT") if found is not None else ""


# Who is in the way


def blockers(connection: Connection, blocked: str) -> list[str]:
    """Return the sessions that hold what a statement needs, or may: a line for each.

    Ask outside of a transaction; it is left in none.

    :param blocked: the statement.
    """
    query = server_of(connection.dialect.name).blockers
    if not query:
        return []
    values = {"statement": blocked} if ":statement" in query else {}
    try:
        rows: list[Any] = [*connection.execute(text(query), values)]
    except DBAPIError:  # not everybody may look at other people's sessions
        rows = []
    finally:
        connection.rollback()
    # If some hold a lock on what the statement names, the others are left out.
    rows = [row for row in rows if row[6]] or rows
    lines = []
    for pid, user, host, state, age, running, _ in rows[:3]:
        since = "" if age is None else f" for {age} s"
        running = " ".join((running or "").split())
        running = running if len(running) <= 80 else running[:77] + "..."
        line = f"session {pid}, {user} from {host}, {state}{since}"
        lines.append(f"{line}: {running}" if running else line)
    return lines
