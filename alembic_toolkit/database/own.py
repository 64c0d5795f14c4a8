"""The tables that belong to Alembic and to us, and to no revision."""

from __future__ import annotations

from alembic_toolkit.database import journal, marks


def own(version_table: str = "alembic_version") -> tuple[str, ...]:
    """Return the names of the version table, the journal and the marks."""
    return version_table, journal.name_of(version_table), marks.name_of(version_table)


IGNORE = own()
