"""One difference between a database and its models, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# The identity of a difference: a kind, its table, a name or columns, a fact.
Key = tuple[str, str, str, str]
# On MariaDB and MySQL a unique constraint is an index; Alembic shows it as either.
_GROUPS = {"unique": "index"}


@dataclass(frozen=True)
class Change:
    """A change that would make the database match the models."""

    sign: str  # "+" only the models have it, "-" only the database, "~" they differ
    kind: str  # table, column, index, check, ...
    table: str  # as snapshots name it
    name: str = ""  # of the column, key, ...; its text if it has no name
    fact: str = ""  # which fact of a column differs, or "name"
    old: str = ""
    new: str = ""
    keys: frozenset[Key] = frozenset()
    operation: Any = None  # Alembic's operation that makes the change
    wanted: str = ""  # its name in the models' database

    @property
    def is_named(self) -> bool:
        """Return whether the database has a name for it, and not only its text."""
        return bool(self.name) and not self.name.startswith("(")


def keys(
    kind: str, table: str, names: Iterable[str], columns: Iterable[str] = (), fact: str = ""
) -> frozenset[Key]:
    """Return the identities of a difference: each name of the object, and its columns."""
    group = _GROUPS.get(kind, kind)
    table = table.lower()
    ways = {name.lower() for name in names if name}
    listed = ",".join(sorted(column.lower() for column in columns))
    return frozenset((group, table, way, fact) for way in ways | ({f"({listed})"} - {"()"}))
