"""Ask the server whether a statement has committed: a commit takes the savepoints with it.

https://mariadb.com/kb/en/savepoint/
"""

from __future__ import annotations

from sqlalchemy import Connection

from alembic_toolkit.database.driver import run
from alembic_toolkit.database.errors import is_of_savepoint


def make(connection: Connection, name: str) -> None:
    """Make the savepoint, before the statement."""
    run(connection, f"SAVEPOINT {name}")


def is_gone(connection: Connection, name: str) -> bool:
    """Release the savepoint; tell whether the transaction in which it was made has ended.

    :raises Exception: the driver's own, for anything else.
    """
    try:
        run(connection, f"RELEASE SAVEPOINT {name}")
    except connection.dialect.loaded_dbapi.Error as error:
        if not is_of_savepoint(error):
            raise
        return True
    return False
