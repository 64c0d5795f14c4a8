"""The tables that belong to Alembic and the toolkit, and to no revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alembic.runtime.migration import MigrationContext

from alembic_toolkit.database import journal, marks


def lock_name_of(version_table: str) -> str:
    """Return the name of the table whose row is the deployers' lock, on a cluster."""
    return f"{version_table}_lock"


def own(version_table: str = "alembic_version", schema: str | None = None) -> tuple[str, ...]:
    """Return the names of the version table, the journal, the marks and the lock.

    :param schema: that of the version table, if it has one of its own.
    """
    ours = journal.name_of(version_table), marks.name_of(version_table)
    names = version_table, *ours, lock_name_of(version_table)
    return names if schema is None else (*names, *(f"{schema}.{name}" for name in names))


def own_of(context: MigrationContext) -> tuple[str, ...]:
    """Return the names of these tables for the version table that ``env.py`` configures."""
    return own(context.version_table, context.version_table_schema)


IGNORE = own()


def hidden(version_table: str, schema: str | None, also: Any = None) -> Callable[..., bool]:
    """Return an ``include_name`` that excludes the toolkit's tables from comparisons.

    :param also: the project's own ``include_name``.
    """
    _, *ours = own(version_table)  # Alembic excludes its own

    def include(name: str | None, type_: str, parents: Mapping[str, Any]) -> bool:
        is_ours = type_ == "table" and name in ours
        if is_ours and parents.get("schema_name") == schema:
            return False
        return also is None or bool(also(name, type_, parents))

    return include
