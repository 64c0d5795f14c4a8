"""The tables in a database that are Alembic's and ours, and no revision's."""

from __future__ import annotations

from alembic_toolkit.database import journal, marks


def own(version_table: str = "alembic_version") -> tuple[str, ...]:
    """Return the tables that say how far a database is: versions, journal, marks."""
    return version_table, journal.name_of(version_table), marks.name_of(version_table)


IGNORE = own()
