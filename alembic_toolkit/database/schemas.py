"""The translation of schema names: SQLAlchemy's ``schema_translate_map``, applied everywhere.

SQLAlchemy applies it to statements that it writes from a ``Table``; but Alembic's textual SQL
(``ALTER TABLE``), reflection and our own SQL would use the untranslated name.
https://docs.sqlalchemy.org/en/20/core/connections.html#translation-of-schema-names
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy import text

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.sql.quoting import identifier

Names = Mapping[str | None, str | None]


def translations(connectable: Any) -> Names:
    """Return the schema translations of an engine or a connection.

    :raises CommandError: the translation of a name is itself translated to another name.
    """
    options: Mapping[str, Any] = getattr(
        connectable, "get_execution_options", dict
    )()  # a script has no connection
    names: Names = options.get("schema_translate_map") or {}
    for written, real in names.items():
        if real != written and names.get(real, real) != real:
            raise CommandError(
                f"schema_translate_map puts {real!r} in place of {written!r}, and"
                f" {names[real]!r} in place of {real!r}.\n"
                "Stopped, because nobody can tell a name that is translated from one that is not.\n"
                "What to do next:\n"
                "    schema_translate_map={...}  # in env.py: with no name on both sides"
            )
    return names


def real_schema(connectable: Any, written: str | None) -> str | None:
    """Return the translation of a schema's name; translating it again changes nothing."""
    return translations(connectable).get(written, written)


def written_schema(connectable: Any, real: str | None) -> str | None:
    """Return the name by which a revision refers to a schema."""
    names = translations(connectable)
    if real is None:
        return None
    return next((written for written, found in names.items() if found == real), real)


def with_schemas(operation: Any, name: Callable[[str | None], str | None]) -> Any:
    """Return a copy of one of Alembic's operations with other schema names."""
    operation = copy.copy(operation)
    if hasattr(operation, "schema"):
        operation.schema = name(operation.schema)
    if isinstance(operation, ops.CreateForeignKeyOp):
        schemas = {k: name(operation.kw.get(k)) for k in ("source_schema", "referent_schema")}
        operation.kw = {**operation.kw, **schemas}
    return operation


def schema_beside(connection: Any, version_table: str, written: str | None) -> str | None:
    """Return the schema of a version table, in which our own tables are created.

    On PostgreSQL a search path may lead to a table of the same name in another schema.
    """
    real = real_schema(connection, written)
    query = server_of(connection.dialect.name).place if connection is not None else ""
    if real is not None or not query:
        return real
    table = identifier(server_of(connection.dialect.name).mark, version_table)
    found: str | None = connection.execute(text(query), {"table": table}).scalar()
    return found
