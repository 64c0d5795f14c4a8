"""Create the models' tables in an empty database, and read the resulting schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alembic_toolkit.database.driver import ask
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.drift.models import Models, types_within
from alembic_toolkit.schema.snapshot import Snapshot
from alembic_toolkit.sql.quoting import identifier

_MARK = '"'


@dataclass
class Made:
    """A database in which models have created their tables."""

    connection: Connection
    failed: dict[str, Exception] = field(default_factory=dict)  # errors, by table


@contextmanager
def made(engine: Engine, models: Models, database: Snapshot, spaces: Spaces) -> Iterator[Made]:
    """Create everything the models define, in an empty database, and yield the connection.

    What their tables may need and no model makes (extensions, functions of a default, domains) is
    made as the real database has it. If it fails, each table is made by itself. If none can be
    made, the failure is the server's or SQLAlchemy's own.
    """
    found = Made(engine.connect())
    try:
        try:
            _make(spaces.used_by(found.connection), models, database, spaces)
        except SQLAlchemyError as error:
            found.connection.close()
            # CREATE INDEX CONCURRENTLY, which models may ask for, is refused in a transaction.
            is_concurrent = "CONCURRENTLY" in str(error)
            options = {"isolation_level": "AUTOCOMMIT"} if is_concurrent else {}
            found.connection = engine.connect().execution_options(**options)
            own = spaces.used_by(found.connection)
            found.failed = _make(own, models, database, spaces, each=not is_concurrent)
            if len(found.failed) == len(models.tables):
                raise
        yield found
    finally:
        found.connection.close()


class Spaces:
    """The schemas of the models' tables, and their names in a snapshot."""

    def __init__(self, connection: Connection, is_database: bool, is_attached: bool) -> None:
        """Take it from the connection that ``env.py`` uses."""
        options = connection.get_execution_options()
        self.translated: dict[Any, Any] = dict(options.get("schema_translate_map") or {})
        self.default = connection.dialect.default_schema_name
        self.is_database, self.is_attached = is_database, is_attached

    def real(self, schema: str | None) -> str | None:
        found: str | None = self.translated.get(schema, schema)
        return None if found == self.default else found

    def name(self, schema: str | None, table: str) -> str:
        """Return a table's name in a snapshot."""
        real = self.real(schema)
        return table if real is None else f"{real}.{table}"

    def is_elsewhere(self, schema: str | None) -> bool:
        """Return whether a table is in a database other than the compared one."""
        return self.is_database and self.real(schema) is not None

    def used_by(self, connection: Connection) -> Connection:
        """Make a connection to the empty database find schemas as the real one does."""
        translated = {k: self.real(v) for k, v in self.translated.items()}
        if self.is_database:
            translated |= {self.default: None}
        elif not self.is_attached and self.default and self.default != "public":
            name = identifier(_MARK, self.default)
            ask(connection, f"CREATE SCHEMA IF NOT EXISTS {name}")
            ask(connection, f"SET search_path TO {name}, public")
            connection.dialect.default_schema_name = self.default
        if translated:
            connection = connection.execution_options(schema_translate_map=translated)
        return connection


def _make(
    connection: Connection,
    models: Models,
    database: Snapshot,
    spaces: Spaces,
    *,
    each: bool = False,
) -> dict[str, Exception]:
    """Create what tables need, and all tables; or each by itself, and return the failures."""
    _attach(connection, models, spaces)
    own = {*_made_types(models)} | {
        str(s.name) for m in models.metadata for s in m._sequences.values()
    }
    statements = [*models.server.needed(database, own)]
    for _ in range(3):  # one may need another
        statements = [sql for sql in statements if not _tried(connection, sql)]
    for type_ in _types_beside(models):
        type_.create(connection, checkfirst=True)
    if each:
        return _make_each(connection, models, spaces)
    _make_all(connection, models, spaces)
    return {}


def _make_each(connection: Connection, models: Models, spaces: Spaces) -> dict[str, Exception]:
    left = [table for table in models.all_tables() if not spaces.is_elsewhere(table.schema)]
    failed: dict[str, Exception] = {}
    while left:  # one may need another
        failed, again = {}, []
        for table in left:
            try:
                with _taken_back(connection):
                    table.metadata.create_all(connection, tables=[table])
            except SQLAlchemyError as error:
                failed[models.server.fold_table(models.named(table))] = error
                again.append(table)
                if not server_of(connection.dialect.name).has_transactional_ddl:
                    table.drop(connection, checkfirst=True)
        if len(again) == len(left):
            break
        left = again
    return failed


def _make_all(connection: Connection, models: Models, spaces: Spaces) -> None:
    ways = [models.metadata, models.metadata[::-1]]
    for way in ways:  # a key may lead from one metadata to another
        try:
            for metadata in way:
                tables = [t for t in metadata.tables.values() if not spaces.is_elsewhere(t.schema)]
                whole = len(tables) == len(metadata.tables)
                metadata.create_all(connection, tables=None if whole else tables)
            return
        except sa.exc.ArgumentError:
            raise
        except DBAPIError:
            if way is ways[-1] or len(models.metadata) == 1:
                raise
            connection.rollback()


def _attach(connection: Connection, models: Models, spaces: Spaces) -> None:
    """Attach an empty file for each schema, where that is a file."""
    if spaces.is_attached:
        for schema in sorted(
            {real for t in models.all_tables() if (real := spaces.real(t.schema))}
        ):
            if schema not in ("main", "temp"):
                ask(connection, f"ATTACH ':memory:' AS {identifier(_MARK, schema)}")


def _tried(connection: Connection, sql: str) -> bool:
    """Run a statement, and return whether it succeeded; undo it if not."""
    try:
        with _taken_back(connection):
            ask(connection, sql)
    except DBAPIError:
        return False
    return True


def _taken_back(connection: Connection) -> AbstractContextManager[Any]:
    """Undo failures in the block, if the server can."""
    takes_back = server_of(connection.dialect.name).has_transactional_ddl
    return connection.begin_nested() if takes_back and _begins(connection) else nullcontext()


def _begins(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT"


def _named_types(models: Models) -> Iterator[Any]:
    for table in models.all_tables():
        for column in table.columns:
            for type_ in types_within(column.type):
                if isinstance(getattr(type_, "name", None), str):
                    yield type_


def _made_types(models: Models) -> Iterator[str]:
    """Yield the names of the models' own types."""
    for type_ in _named_types(models):
        if hasattr(type_, "create"):
            yield str(type_.name)


def _types_beside(models: Models) -> Iterator[Any]:
    """Yield the models' types that something else creates."""
    for type_ in _named_types(models):
        if getattr(type_, "create_type", True) is False and hasattr(type_, "create"):
            yield type_
