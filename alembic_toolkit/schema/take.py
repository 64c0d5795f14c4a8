"""Take a snapshot of a database's schema: everything, or only what statements may have changed.

The server's own texts are the definitions if they are canonical: PostgreSQL's catalog functions,
MariaDB's SHOW CREATE. SQLite stores the author's text, so that is parsed.
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
    """Read the schema of the database; on MariaDB, of the connection's current database.

    Without ``known`` or ``names``, read everything. With both, read what these names can have
    changed since ``known`` was taken on the same database with the same ``ignore``. That is exact
    for executed statements; after a rollback to before ``known``, read everything.

    :param known: an earlier snapshot; it is not changed.
    :param names: the result of `names_in` for all statements since then.
    :param ignore: tables to ignore, with all their parts.
    :raises ValueError: there is no snapshot of this kind of database.
    """
    whole = known is None or names is None
    take_schema = reader_of(connection.dialect.name)
    return take_schema(
        connection, None if whole else known, frozenset(names or ()), frozenset(ignore)
    )
