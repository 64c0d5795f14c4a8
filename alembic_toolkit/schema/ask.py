"""Ask a server about its schema, so that it can be told from the statements of a revision."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from alembic_toolkit.database.driver import fetch

# A statement that begins with it is one of ours: whoever listens to statements may skip it.
MARK = "/* alembic_toolkit.snapshot */ "


def ask(connection: sa.Connection, sql: str) -> list[Any]:
    """Fetch rows by a statement that begins with our mark."""
    return fetch(connection, MARK + sql)
