"""What can be told from a statement of the rows that it changes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection

# Statements that change no rows; and those that change none of other tables than they name. Not
# where several are sent at once.
KEEPS = re.compile(
    r"\s*(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX|COMMENT|PRAGMA)\b(?!.*;\s*\S)", re.I | re.S
)
SPARES_OTHERS = re.compile(
    r"\s*(CREATE|ALTER|SELECT|SHOW|INSERT\s+INTO(?!.*\b(CONFLICT|DUPLICATE)\b))\b(?!.*;\s*\S)",
    re.I | re.S,
)
# And those that change the rows of one table alone, whatever else they name.
_ONE_TABLE = re.compile(
    r"""\s*(?:(?:CREATE|ALTER)\s+TABLE(?!.*\b(?:RENAME|PARTITION)\b)
    |INSERT\s+INTO(?!.*\b(?:CONFLICT|DUPLICATE|UPDATE|DELETE)\b))
    (?:\s+IF\s+(?:NOT\s+)?EXISTS)?(?:\s+ONLY)?\s+((?:[\w.$]|"[^"]+"|`[^`]+`)+)(?!.*;\s*\S)""",
    re.I | re.S | re.X,
)
LOOKS = re.compile(r"\s*(SELECT|SHOW|PRAGMA|EXPLAIN|BEGIN|SAVEPOINT|RELEASE|SET)\b", re.I)


def about(sql: str) -> str:
    """Return of a statement only which table it is about, where no other's rows can change."""
    match = _ONE_TABLE.match(sql)
    return f"INSERT INTO {match[1]}" if match else sql


def run_script(connection: Connection, statements: Sequence[str]) -> None:
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    for statement in statements:
        if not statement.startswith("--"):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
