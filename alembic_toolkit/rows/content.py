"""The rows of a table, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alembic_toolkit.rows.tables.table import Table


@dataclass(frozen=True)
class Content:
    """The rows of a table, by value, in the order of its primary key."""

    table: Table
    rows: list[tuple[Any, ...]]

    def index(self, name: str) -> int:
        """Return the position of a column."""
        return self.table.names.index(name)

    def values(self, name: str) -> list[Any]:
        """Return the values of a column, row by row."""
        position = self.index(name)
        return [row[position] for row in self.rows]


Rows = dict[str, Content]
