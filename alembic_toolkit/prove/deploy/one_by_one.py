"""Run statements one by one, so that an error undoes one statement and keeps the transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

from alembic_toolkit.database.driver import commits_each, run
from alembic_toolkit.database.errors import is_lost, message
from alembic_toolkit.prove.deploy.code import Use

Failed = dict[str, str]  # statements, and the server's words


def fails(connection: Connection, uses: Sequence[Use]) -> Failed:
    """Run statements, table by table; return those that fail. Nothing is left of them."""
    failed: Failed = {}
    table = ""
    with _undone(connection):
        for use in uses:
            if use.is_alone or table not in ("", use.table):
                run(connection, _BACK)
            table = use.table
            for before in use.needs if use.is_alone else ():
                _error(connection, before)
            if not (error := _error(connection, use.sql)):
                continue
            if not use.parts:
                failed[use.sql] = error
            for part in use.parts:
                run(connection, _PART)
                if error := _error(connection, part):
                    failed[part] = error
                run(connection, _PART_BACK)
    return failed


def fails_alone(connection: Connection, uses: Sequence[Use]) -> Failed:
    """Run statements, each by itself; return those that fail. Nothing is left of them."""
    failed: Failed = {}
    with _undone(connection):
        for use in uses:
            run(connection, _BACK)
            for before in use.needs:
                _error(connection, before)
            if error := _error(connection, use.sql):
                failed[use.sql] = error
    return failed


_BACK = "ROLLBACK TO SAVEPOINT before_code"
_PART, _PART_BACK = "SAVEPOINT before_part", "ROLLBACK TO SAVEPOINT before_part"


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    if not connection.in_transaction():
        connection.begin()
    is_ours = commits_each(connection)
    run(connection, "BEGIN" if is_ours else "SAVEPOINT before_all")
    run(connection, "SAVEPOINT before_code")
    try:
        yield
    finally:
        with suppress(Exception):  # the session is lost: nothing is left of it either
            run(connection, "ROLLBACK" if is_ours else "ROLLBACK TO SAVEPOINT before_all")
            if not is_ours:
                run(connection, "RELEASE SAVEPOINT before_all")


def _error(connection: Connection, sql: str) -> str:
    """Run a statement; return the server's message if it fails."""
    try:
        run(connection, sql)
    except Exception as error:  # the driver's own
        if is_lost(error, connection):
            raise
        return message(error)
    return ""
