"""What `fill` knows while it works, and what it says at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.rows.tables.table import Tables


@dataclass
class Filled:
    """What `fill` did: rows written by table, and why a table has none."""

    written: dict[str, int] = field(default_factory=dict)
    returned: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)  # where it says them
    failed: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Say which tables could not be filled, and why."""
        return [f"no rows in {name}: {why}" for name, why in sorted(self.failed.items())]


Row = dict[str, Any]


@dataclass
class Filling:
    """What `fill` knows while it works."""

    connection: Connection
    tables: Tables
    seed: int
    per_table: int
    given: Mapping[str, Sequence[Mapping[str, Any]]]
    rows: dict[str, list[Row]] = field(default_factory=dict)  # what is there, by table
    filled: Filled = field(default_factory=Filled)
    advanced: set[str] = field(default_factory=set)  # whose sequences go on after these rows
