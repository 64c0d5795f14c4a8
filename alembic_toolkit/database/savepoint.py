"""Ask the server whether a statement has committed: a commit removes all savepoints.

https://mariadb.com/kb/en/savepoint/
"""

from __future__ import annotations

from sqlalchemy import Connection

from alembic_toolkit.database.driver import run
from alembic_toolkit.database.errors import is_of_savepoint


def make(connection: Connection, name: str) -> None:
    """Create the savepoint, before the statement."""
    run(connection, f"SAVEPOINT {name}")


def is_gone(connection: Connection, name: str) -> bool:
    """Release the savepoint; tell whether the transaction in which it was created has ended.

    :raises Exception: the driver's own error, for anything else.
    """
    try:
        run(connection, f"RELEASE SAVEPOINT {name}")
    except connection.dialect.loaded_dbapi.Error as error:
        if not is_of_savepoint(error):
            raise
        return True
    return False
