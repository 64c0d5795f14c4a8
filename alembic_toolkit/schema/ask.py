"""Query a server about its schema, with statements that differ from those of a revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.database.driver import fetch, fetch_each

# Statements that begin with it are our own, so listeners can skip them.
MARK = "/* alembic_toolkit.snapshot */ "


def ask(connection: sa.Connection, sql: str) -> list[Any]:
    """Fetch rows with a statement that begins with our mark."""
    return fetch(connection, MARK + sql)


def ask_each(connection: sa.Connection, statements: Sequence[str]) -> list[list[Any]]:
    """Fetch the rows of each statement, in few round trips."""
    return fetch_each(connection, [MARK + sql for sql in statements])
