"""Server-specific parts of comparing models with a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alembic_toolkit.database import servers
from alembic_toolkit.drift import mysql, postgresql, sqlite
from alembic_toolkit.schema.snapshot import Snapshot


@dataclass(frozen=True)
class DriftServer:
    """How one server's texts are compared, and how code for its revisions is written."""

    fold: Callable[[str], str] = lambda name: name  # of names of columns, keys and indexes
    fold_table: Callable[[str], str] = lambda name: name
    same: Callable[[str], str] = lambda text: text  # one text for texts that mean the same
    same_type: Callable[[str, str], bool] = lambda old, new: old == new
    # Of a key or an index: what it is, without what belongs to the server's administrator.
    key_text: Callable[[str, str], str] = lambda _, text: text
    schema_is_database: bool = False
    is_attached: bool = False  # a schema is a file
    plain_collation: str = ""  # to be said where no collation is meant
    # The settings of a table that nobody but the models decides.
    table_settings: Callable[[str], str] = lambda text: text
    # SQL that gives a key or an index another name: its kind, table, old and new name.
    rename: Callable[[str, str, str, str], str] = lambda *_: ""
    # What makes the things of a database that tables may need, and models do not make.
    needed: Callable[[Snapshot, set[str]], Iterable[str]] = lambda *_: ()


_SERVERS = {
    "sqlite": DriftServer(
        fold=str.lower,
        fold_table=str.lower,
        is_attached=True,
        plain_collation="BINARY",
        same_type=sqlite.same_type,
    ),
    "postgresql": DriftServer(
        same=postgresql.same,
        plain_collation="default",
        key_text=postgresql.key_text,
        table_settings=postgresql.table_settings,
        rename=postgresql.rename,
        needed=postgresql.needed,
    ),
    "mysql": DriftServer(
        fold=str.lower, schema_is_database=True, rename=mysql.rename, needed=mysql.needed
    ),
}


def server_of(dialect: str) -> DriftServer:
    """Return the server with this dialect of SQLAlchemy."""
    return _SERVERS[servers.server_of(dialect).name]
