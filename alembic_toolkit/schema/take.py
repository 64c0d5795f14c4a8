"""Take the schema of a database: everything, or only what statements can have changed since.

The server's own texts are the definitions wherever it has a canonical one: PostgreSQL's catalog
functions, MariaDB's SHOW CREATE. SQLite keeps what the author wrote, so that is taken apart.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from alembic_toolkit.database.own import IGNORE
from alembic_toolkit.schema.servers import reader_of
from alembic_toolkit.schema.snapshot import Snapshot


def take(
    connection: sa.Connection,
    known: Snapshot | None = None,
    names: Collection[str] | None = None,
    ignore: Collection[str] = IGNORE,
) -> Snapshot:
    """Read the schema of the database; on MariaDB, of the database that the connection uses.

    Without ``known`` or ``names``: all of it. With both: what these names can have changed since
    ``known`` was taken on the same database with the same ``ignore``. That is exact for statements
    that were executed; after a rollback to before ``known``, take the whole.

    :param known: an earlier snapshot; it is not changed.
    :param names: what `names_in` returned for all statements since then.
    :param ignore: tables that do not count, nor anything on them.
    :raises ValueError: there is no snapshot of this kind of database.
    """
    whole = known is None or names is None
    take_schema = reader_of(connection.dialect.name)
    return take_schema(
        connection, None if whole else known, frozenset(names or ()), frozenset(ignore)
    )
