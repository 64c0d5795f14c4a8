"""Code for revisions on MariaDB and MySQL, and what their tables may need."""

from __future__ import annotations

from collections.abc import Iterator

from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.sql.quoting import identifier

MARK = "`"  # around a name


def rename(kind: str, table: str, old: str, new: str) -> str:
    if kind not in ("index", "unique"):
        return ""
    names = [identifier(MARK, name) for name in (old, new)]
    return f"ALTER TABLE {identifier(MARK, table)} RENAME INDEX {names[0]} TO {names[1]}"


def needed(database: Snapshot, _: set[str]) -> Iterator[str]:
    """Yield SQL that gives new tables the collation of a database."""
    if collation := database.get(Thing("database", "", "(default)")):
        yield f"ALTER DATABASE {collation}"
