"""Marks of statements that run once, in a table that alembic_helpers keeps by the version table.

They exist while a revision is half done, so that a second run can continue it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script.revision import RevisionError
from sqlalchemy import Column, MetaData, String, Table, inspect, select

from alembic_toolkit.database.same import Same
from alembic_toolkit.database.schemas import schema_beside

# SQL by which alembic_helpers marks a step as done, in its commit; and deletes the mark.
NOTES = re.compile(r"\s*(CREATE TABLE|INSERT INTO) \S+_once\W")
FORGETS = re.compile(r"DELETE FROM \S+_once\W")


def name_of(version_table: str) -> str:
    """Return the name of the table of marks."""
    return f"{version_table}_once"


COLUMNS = ("revision", "direction", "name")
LENGTH = 200  # maximum length of a name
BEGUN = ", begun"  # after the direction: the statement may have committed by itself


def table_of(migration: MigrationContext) -> Table:
    """Return the table of marks, in the schema of the version table."""
    columns = [Column(name, String(LENGTH), primary_key=True) for name in COLUMNS]
    options = {"engine": "InnoDB", "collate": "utf8mb4_bin"}
    kw: dict[str, Any] = {f"{d}_{k}": v for d in ("mysql", "mariadb") for k, v in options.items()}
    name, version_table = name_of(migration.version_table), migration.version_table
    connection = None if migration.as_sql else migration.connection
    schema = schema_beside(connection, version_table, migration.version_table_schema)
    return Table(name, MetaData(), *columns, schema=schema, **kw)


def forget_stale(migration: MigrationContext, steps: Sequence[RevisionStep | StampStep]) -> None:
    """Delete the marks of upgrades that would resume on a changed database.

    They stopped above a revision that is about to be downgraded, and must then start from scratch.
    """
    connection, marks = migration.connection, table_of(migration)
    gone = {s.revision.revision for s in steps if isinstance(s, RevisionStep) and s.is_downgrade}
    if not gone or connection is None:
        return
    if inspect(connection).has_table(marks.name, marks.schema):
        is_up = Same(marks.c.direction, "up") | Same(marks.c.direction, f"up{BEGUN}")
        upgrades = select(marks.c.revision).where(is_up)
        for revision in connection.scalars(upgrades).all():
            if gone & _before(migration, revision):
                connection.execute(marks.delete().where(Same(marks.c.revision, revision)))
    connection.commit()


def _before(migration: MigrationContext, revision: str) -> set[str]:
    """Return the predecessors of a revision; none for an unknown one."""
    try:
        assert migration.script is not None
        return {found.revision for found in migration.script.iterate_revisions(revision, "base")}
    except RevisionError:
        return set()
