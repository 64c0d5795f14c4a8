"""Send SQL through psycopg's connection without a cursor, which takes as long as most of our looks.

https://www.psycopg.org/psycopg3/docs/api/pq.html
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

_IDLE, _IN_TRANSACTION, _ROWS, _DONE = 0, 2, 2, 1  # libpq's names for them are enumerations


def connection_of(connection: Connection) -> Any | None:
    """Return psycopg's connection, if SQL can be sent through it and means what a cursor's does."""
    dialect = connection.dialect
    if dialect.driver != "psycopg" or dialect.is_async:
        return None
    itself: Any = connection.connection.dbapi_connection
    pgconn = itself.pgconn
    if pgconn.pipeline_status:
        return None
    if pgconn.transaction_status == _IN_TRANSACTION or itself.autocommit:
        return itself
    has_begin = itself.isolation_level is None and itself.read_only is itself.deferrable is None
    return itself if has_begin and pgconn.transaction_status == _IDLE else None


def send(itself: Any, sql: str) -> Any:
    """Run statements in one message, with the BEGIN that psycopg would send first.

    :param itself: psycopg's connection, see :func:`connection_of`.
    :returns: the result of the last statement.
    :raises psycopg.Error: the server refused one of them.
    """
    from psycopg import errors, generators

    pgconn = itself.pgconn
    if pgconn.transaction_status == _IDLE and not itself.autocommit:
        sql = f"BEGIN; {sql}"
    encoding = itself.info.encoding
    with itself.lock:
        pgconn.send_query(sql.encode(encoding))
        result = itself.wait(generators.execute(pgconn))[-1]
    if result.status not in (_ROWS, _DONE):
        raise errors.error_from_result(result, encoding=encoding)
    return result


def rows_of(itself: Any, result: Any) -> list[tuple[Any, ...]]:
    """Return a result's rows, in the types that a cursor would return."""
    from psycopg.adapt import Transformer

    reader = Transformer(itself)
    reader.set_pgresult(result)
    found: list[tuple[Any, ...]] = reader.load_rows(0, result.ntuples, tuple)
    return found


def names_of(itself: Any, result: Any) -> list[str]:
    """Return the names of a result's columns."""
    return [result.fname(i).decode(itself.info.encoding) for i in range(result.nfields)]
