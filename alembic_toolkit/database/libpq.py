"""Send SQL through psycopg's connection without a cursor, which takes as long as most of our looks.

https://www.psycopg.org/psycopg3/docs/api/pq.html
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection

_IDLE, IN_TRANSACTION, _ROWS, _DONE = 0, 2, 2, 1  # libpq's names for them are enumerations


class Session(NamedTuple):
    """psycopg's connection, and the module `psycopg`, which need not be installed."""

    itself: Any
    psycopg: Any


def session_of(connection: Connection) -> Session | None:
    """Return psycopg's connection, if SQL can be sent through it and means what a cursor's does."""
    dialect = connection.dialect
    if dialect.driver != "psycopg" or dialect.is_async:
        return None
    itself: Any = connection.connection.dbapi_connection
    pgconn = itself.pgconn
    if pgconn.pipeline_status:
        return None
    is_begun = pgconn.transaction_status == IN_TRANSACTION or itself.autocommit
    if is_begun or (pgconn.transaction_status == _IDLE and _begins_plainly(itself)):
        return Session(itself, dialect.loaded_dbapi)
    return None


def _begins_plainly(itself: Any) -> bool:
    """Tell whether psycopg would begin a transaction with BEGIN alone."""
    return itself.isolation_level is None and itself.read_only is None and itself.deferrable is None


def send(session: Session, sql: str) -> Any:
    """Run statements in one message, with the BEGIN that psycopg would send first.

    :returns: the result of the last statement.
    :raises psycopg.Error: the server refused one of them.
    """
    itself, psycopg = session
    pgconn, encoding = itself.pgconn, itself.info.encoding
    if pgconn.transaction_status == _IDLE and not itself.autocommit:
        sql = f"BEGIN; {sql}"
    with itself.lock:
        pgconn.send_query(sql.encode(encoding))
        result = itself.wait(psycopg.generators.execute(pgconn))[-1]
    if result.status not in (_ROWS, _DONE):
        raise psycopg.errors.error_from_result(result, encoding=encoding)
    return result


def rows_of(session: Session, result: Any) -> list[tuple[Any, ...]]:
    """Return a result's rows, in the types that a cursor would return."""
    reader = session.psycopg.adapt.Transformer(session.itself)
    reader.set_pgresult(result)
    found: list[tuple[Any, ...]] = reader.load_rows(0, result.ntuples, tuple)
    return found


def names_of(session: Session, result: Any) -> list[str]:
    """Return the names of a result's columns."""
    encoding = session.itself.info.encoding
    return [result.fname(i).decode(encoding) for i in range(result.nfields)]
