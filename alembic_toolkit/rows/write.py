"""Insert rows; refused rows leave the transaction unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import ask, fetch, identifier
from alembic_toolkit.rows.filling import Filling, Row
from alembic_toolkit.rows.read import by_value, every_column
from alembic_toolkit.rows.servers import RowServer, server_of
from alembic_toolkit.rows.tables.table import Column, ForeignKey, Table
from alembic_toolkit.rows.values import UNSET, text_of


def literal_of(server: RowServer, value: Any, column: Column | None) -> str:
    """Write a value as a literal for the server."""
    kind = column.kind if column else "other"
    if value is None or value is UNSET:
        return "NULL"
    if isinstance(value, bytes | bytearray | memoryview):
        return server.binary.format(bytes(value).hex())
    if kind == "boolean" and not server.has_booleans and str(value) in ("True", "1", "False", "0"):
        return "1" if str(value) in ("True", "1") else "0"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float | Decimal):
        return text_of(value)
    text = text_of(value)
    if kind == "bit" and server.has_bits:
        return f"B{server.facts.literal(text)}"
    return server.facts.literal(server.moment(text, kind))


def insert(filling: Filling, table: Table, rows: list[Row], put_off: set[str]) -> None:
    """Insert planned rows together, or one by one after an error; keep those that succeeded."""
    existing = filling.rows[table.name][: -len(rows)]
    rows_ = [{k: None if k in put_off else v for k, v in row.items()} for row in rows]
    done = rows
    try:
        _insert_rows(filling, table, rows_)
    except DBAPIError as error:
        done, why = [], reason(error)
        for row, planned in zip(rows_, rows, strict=True):
            try:
                _insert_rows(filling, table, [row])
                done.append(planned)
            except DBAPIError as again:
                why = reason(again)
        if not done and not existing:
            filling.filled.failed[table.name] = why
    filling.rows[table.name] = existing + done
    if done:
        filling.filled.written[table.name] = len(done)


def _insert_rows(filling: Filling, table: Table, rows: list[Row]) -> None:
    connection, server = filling.connection, server_of(filling.connection)
    columns = [c for c in table.columns if any(r.get(c.name, UNSET) is not UNSET for r in rows)]
    names = ", ".join(identifier(connection, column.name) for column in columns)
    values = ", ".join(
        "(" + ", ".join(literal_of(server, row.get(c.name), c) for c in columns) + ")"
        for row in rows
    )
    always = " OVERRIDING SYSTEM VALUE" if any(c.always for c in columns) else ""
    sql = f"INSERT INTO {table.sql} ({names}){always} VALUES {values}"
    if not connection.dialect.insert_returning:
        with savepoint(connection):
            ask(connection, sql)
        return
    # each once, whatever the number of rows: it is a subquery
    calls = [f"(SELECT {c})" for c in _setvals(filling, table)] if server.advances_on_insert else []
    returning = ", ".join([every_column(connection, table), *calls])
    with savepoint(connection):
        answer = _answer(connection, f"{sql} RETURNING {returning}")
    if calls:
        filling.advanced.add(table.name)
    returned = [row[: len(table.columns) or 1] for row in answer]
    filling.filled.returned.setdefault(table.name, []).extend(by_value(table, returned))


def _answer(connection: Connection, sql: str) -> list[Any]:
    """Run a statement past SQLAlchemy where one that fails can be run again, for its error."""
    if is_alone(connection):
        with suppress(Exception):
            return fetch(connection, sql)
    return ask(connection, sql)


def update(filling: Filling, table: Table, rows: list[Row], key: ForeignKey) -> None:
    """Set the foreign keys that were NULL until their parents existed."""
    connection, server = filling.connection, server_of(filling.connection)
    filling.filled.returned.pop(table.name, None)

    def equal(row: Row, name: str) -> str:
        value = literal_of(server, row[name], table.column(name))
        return f"{identifier(connection, name)} = {value}"

    for row in rows:
        values = ", ".join(equal(row, name) for name in key.columns)
        where = " AND ".join(equal(row, name) for name in table.primary)
        if where and row[key.columns[0]] is not None:
            try:
                with savepoint(connection):
                    ask(connection, f"UPDATE {table.sql} SET {values} WHERE {where}")
            except DBAPIError as error:
                filling.filled.failed.setdefault(table.name, reason(error))


@contextmanager
def savepoint(connection: Connection, needed: bool | None = None) -> Iterator[None]:
    """Keep a failed statement from ending the transaction, as it would on PostgreSQL.

    :param needed: for several statements that must be done all or none.
    """
    by_itself = is_alone(connection)
    if needed is None:
        needed = server_of(connection).facts.error_ends_transaction and not by_itself
    if not needed:
        yield
        return
    begin, undo, end = _TRANSACTION if by_itself else _SAVEPOINT
    ask(connection, begin)
    try:
        yield
    except BaseException:
        ask(connection, undo)
        raise
    finally:
        ask(connection, end)


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Undo everything done in the block, whatever happens there."""
    begin, undo, end = _TRANSACTION if is_alone(connection) else _SAVEPOINT
    ask(connection, begin)
    try:
        yield
    finally:
        ask(connection, undo)
        ask(connection, end)


_SAVEPOINT = (
    "SAVEPOINT before_rows",
    "ROLLBACK TO SAVEPOINT before_rows",
    "RELEASE SAVEPOINT before_rows",
)
_TRANSACTION = ("BEGIN", "ROLLBACK", "COMMIT")  # after a ROLLBACK it only warns


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Make PostgreSQL run each statement by itself: BEGIN and COMMIT are messages to it as well.

    Within a transaction, and with other drivers, nothing changes.
    """
    driver: Any = connection.connection.dbapi_connection  # of an asynchronous one, its adapter
    if connection.dialect.driver not in _PSYCOPG or driver.autocommit or not _is_idle(driver):
        yield
        return
    driver.autocommit = True
    try:
        yield
    finally:
        if not _is_idle(driver):  # after an error within BEGIN
            driver.rollback()
        driver.autocommit = False


_PSYCOPG = ("psycopg", "psycopg2")


def _is_idle(driver: Any) -> bool:
    return int(driver.info.transaction_status) == 0  # of libpq: PQTRANS_IDLE


def is_alone(connection: Connection) -> bool:
    """Return whether the next statement runs in no transaction."""
    driver: Any = connection.connection.dbapi_connection  # of an asynchronous one, its adapter
    return connection.dialect.driver in _PSYCOPG and driver.autocommit and _is_idle(driver)


@contextmanager
def deferred(connection: Connection) -> Iterator[None]:
    """Check foreign keys that form a cycle only after all of its rows are inserted."""
    before, after = server_of(connection).defer
    ask(connection, before)
    try:
        yield
    finally:
        ask(connection, after)


def advance(filling: Filling, names: Iterable[str]) -> None:
    """Advance the sequences past the inserted numbers, if they are not yet."""
    left = [n for n in names if n in filling.filled.written and n not in filling.advanced]
    calls = [call for name in left for call in _setvals(filling, filling.tables[name])]
    for start in range(0, len(calls), 500):
        ask(filling.connection, f"SELECT {', '.join(calls[start : start + 500])}")


def _setvals(filling: Filling, table: Table) -> Iterator[str]:
    """Yield the calls that advance a table's sequences past the inserted numbers."""
    server = server_of(filling.connection)
    for column in table.columns:
        numbers = [int(row[column.name]) for row in filling.rows[table.name] if column.serial]
        if numbers and (call := server.setval(table, column, max(numbers))):
            yield call


def reason(error: DBAPIError) -> str:
    """Return the first line of the server's message."""
    args = error.orig.args if error.orig else ()
    message = args[1] if len(args) > 1 and isinstance(args[0], int) else error.orig
    return " ".join(str(message).split("\n")[0].split())
