"""Find which rows a statement can change, from its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alembic_toolkit.rows.tables.table import without_strings

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
    """Return a statement that names only the table whose rows it changes, if it is one table."""
    match = _ONE_TABLE.match(sql)
    return f"INSERT INTO {match[1]}" if match else sql


# What changes nothing, or only what was not there yet; a call of a function may do anything.
_GUARDED = re.compile(
    r"\s*(?:DROP|CREATE)\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|VIEW|SEQUENCE|TYPE|SCHEMA|EXTENSION|TRIGGER"
    r"|MATERIALIZED\s+VIEW|FUNCTION|PROCEDURE|EVENT)\s+(?:CONCURRENTLY\s+)?IF\s+(?:NOT\s+)?EXISTS\b"
    r"|\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?\S+\s+(?:DROP|ADD)\s+(?:\w+\s+)?IF\s+(?:NOT\s+)?EXISTS\b",
    re.I,
)
# What the database's owner may have made before any revision.
_GIVEN = re.compile(r"\s*CREATE\s+(?:EXTENSION|SCHEMA)\s+IF\s+NOT\s+EXISTS\b", re.I)
# What stays in a file of SQLite: https://sqlite.org/pragma.html
_KEPT = re.compile(
    r"\s*PRAGMA\s+(?:user_version|application_id|journal_mode|auto_vacuum|page_size|encoding)\s*[=(]",
    re.I,
)
_ENDS = re.compile(r"\s*(COMMIT|ROLLBACK|DESC|DESCRIBE)\b", re.I)
_CALLS = re.compile(r"\s*SELECT\b(?!.*\bFROM\b).*?\b(\w+)\s*\(", re.I | re.S)
_LOOKING = re.compile(
    r"set_config|current_\w+|version|database|schema|\w*advisory\w*|\w+_lock|coalesce|count|exists"
    r"|array|cast|connection_id|pg_backend_pid|sqlite_version|pg_get_\w+|format_type|to_reg\w+|has_\w+",
    re.I,
)
_ROWS = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE|COPY|LOAD"
    r"|WITH\b.*\b(?:INSERT|UPDATE|DELETE|MERGE)\b)\b",
    re.I | re.S,
)
_FROM = re.compile(r"\b(?:FROM|JOIN|ONLY)\s+([\w.\"`\[\]]+)", re.I)


def acts(sql: str) -> bool:
    """Return whether a statement may change something, as far as its text shows."""
    if _GIVEN.match(sql) or _KEPT.match(sql):
        return True
    if "_alembic_scratch" in sql or _GUARDED.match(sql):
        return False
    call = _CALLS.match(without_strings(sql))
    if LOOKS.match(sql) or _ENDS.match(sql):
        return call is not None and not _LOOKING.fullmatch(call[1])
    return True


def only_looks(sql: str) -> bool:
    """Return whether a statement only queries, or only begins and ends transactions.

    Determining a definition on a temporary table of the verbs counts as a query.
    """
    return not acts(sql) and ("_alembic_scratch" in sql or not _GUARDED.match(sql))


_REBUILT = re.compile(r"_alembic_tmp_(\w+)")
_OF_REBUILD = r"\s*(?:DROP\s+TABLE\s+{0}|CREATE\s+(?:UNIQUE\s+)?INDEX\s.*?\bON\s+{0})\b"


def not_rebuilding(executed: Sequence[str]) -> list[str]:
    """Omit the statements by which a batch on SQLite rebuilds a table, with its rows."""
    names = {name for sql in executed for name in _REBUILT.findall(sql)}
    parts = [
        re.compile(_OF_REBUILD.format(f'[\\w.\\"]*{re.escape(n)}'), re.I | re.S) for n in names
    ]
    kept = (sql for sql in executed if not _REBUILT.search(sql))
    return [sql for sql in kept if not any(part.match(sql) for part in parts)]


def changes_rows(sql: str) -> bool:
    """Return whether a statement is one that changes rows."""
    return _ROWS.match(sql) is not None


def read_by(sql: str) -> list[str]:
    """Return the names of the tables that a query reads, in lower case, without their schema."""
    if not LOOKS.match(sql):
        return []
    return [
        name.rpartition(".")[2].strip('"`[]').lower()
        for name in _FROM.findall(without_strings(sql))
    ]
