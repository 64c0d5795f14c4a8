"""What is seen of one statement: the tables that it locks, reads, copies."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from alembic_toolkit.prove.results import (
    COPIED,
    DEPLOYERS,
    END,
    EVERYBODY,
    MOMENT,
    NOBODY,
    READ,
    WRITERS,
)
from alembic_toolkit.prove.scratch import Scratch
from alembic_toolkit.rows.tables.table import Tables

WHO = (NOBODY, DEPLOYERS, WRITERS, EVERYBODY)  # the fewest first
HOW = (MOMENT, READ, COPIED, END)


@dataclass(frozen=True)
class Use:
    """What a statement does to one table that was there before the revision."""

    table: str
    who: str = NOBODY
    how: str = MOMENT
    observed: str = ""
    is_long: bool = False  # it takes the longer, the more rows there are
    is_kept: bool = False  # the lock stays until the transaction ends
    command: str = ""  # that does the same while others write, or a comment why there is none

    @property
    def blocks(self) -> bool:
        """Return whether the application waits."""
        return self.who in (WRITERS, EVERYBODY)

    @property
    def is_finding(self) -> bool:
        """Return whether it waits for longer than a moment."""
        return self.blocks and self.how != MOMENT


@dataclass(frozen=True)
class Seen:
    """One statement that ran."""

    sql: str
    path: str
    line: int
    transaction: str  # which one; empty: it committed by itself
    uses: list[Use] = field(default_factory=list)
    times: int = 1  # how often it ran: once for each set of values
    freed: frozenset[str] = frozenset()  # tables whose lock was given up before it, to a savepoint


@dataclass
class Observing:
    """What the observer of every server has: what it looks at in one step, and what it has seen."""

    scratch: Scratch
    tables: Tables
    own: tuple[str, ...]
    unseen: list[str]
    rows: Mapping[str, int]
    transaction: str = ""
    freed: set[str] = field(default_factory=set)  # tables whose lock a savepoint gave up

    def probe(self, connection: Connection) -> None:
        """Fail where this role may not look."""


def tables_in(sql: str, tables: Collection[str]) -> list[str]:
    """Return the tables that a statement names anywhere."""
    words = {word.lower() for word in re.findall(r"[\w$]+", sql)}
    return sorted(name for name in tables if name.rpartition(".")[2].lower() in words)
