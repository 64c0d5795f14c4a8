"""Tell whether a server would copy a table for a statement, and how many rows it has.

Of the table itself, only the server's statistics are read; statements are tried on an empty twin.
If it cannot be determined, the answer is no.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.copying import altered, plain, schema_of, way_of
from alembic_toolkit.database.driver import commits_each, is_idle, run
from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import identifier, literal, postgresql_literal
from alembic_toolkit.sql.tokens import unquoted

_NAME = r"""((?:[\w$]+|"[^"]+"|\[[^\]]+\])(?:\.(?:[\w$]+|"[^"]+"))?)"""

# PostgreSQL

_ALTER = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}(\s+(?!RENAME\b).*)", re.I | re.S
)
_ALWAYS = re.compile(rf"\s*(?:CLUSTER|VACUUM\s*(?:\([^)]*FULL[^)]*\)|FULL))\s+{_NAME}", re.I)
_MOVES = re.compile(r"\bSET\s+(?:LOGGED|UNLOGGED|TABLESPACE)\b", re.I)  # a twin cannot show these
# Of all parts of the table. What a session reports after an ANALYZE that saw its rows already is
# counted twice in `n_live_tup`; there are not more than the file has room for.
_ROWS = pinned("""
WITH RECURSIVE parts AS (
  SELECT to_regclass(:table)::oid AS oid
  UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN parts ON parts.oid = i.inhparent)
SELECT coalesce(sum(greatest(c.reltuples, least(s.n_live_tup,
  CASE WHEN c.relpages > 0 AND c.reltuples > 0 THEN c.reltuples / (c.relpages / greatest(
  pg_relation_size(c.oid) / current_setting('block_size')::float8, 1)) END), 0)), 0)::int8
FROM parts JOIN pg_class AS c ON c.oid = parts.oid AND c.relkind <> 'p'
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
""")
_TWIN = "pg_temp._alembic_twin"
_FILE = pinned("SELECT pg_relation_filenode(to_regclass(':twin'))").replace(":twin", _TWIN)


def altered_postgresql(sql: str) -> str:
    """Return the table that a statement may copy; empty: none."""
    match = _ALTER.match(sql) or _ALWAYS.match(sql)
    return match[1] if match else ""


def rows_postgresql(connection: Connection, name: str) -> int:
    """Return about how many rows a table has, by the server's statistics."""
    found = run(connection, _ROWS.replace(":table", postgresql_literal(name)))
    return int(found[0][0]) if found else 0


def copies_postgresql(connection: Connection, sql: str, name: str) -> str:
    """Return how the server would copy a table; empty if it would not, or it is unknown."""
    match = _ALTER.match(sql)
    if match is None or _MOVES.search(match[2]):
        return "it always writes a new file"
    begin, end = "SAVEPOINT _alembic_twin", "ROLLBACK TO SAVEPOINT _alembic_twin"
    if is_idle(connection) and commits_each(connection):
        begin, end = "BEGIN", "ROLLBACK"
    driver: Any = connection.connection.dbapi_connection
    run(connection, begin)
    try:
        run(connection, f"CREATE TEMPORARY TABLE _alembic_twin (LIKE {name} INCLUDING ALL)")
        before = run(connection, _FILE)
        run(connection, f"ALTER TABLE {_TWIN}{match[2]}")
        is_new = run(connection, _FILE) != before
    except getattr(driver, "Error", Exception):
        is_new = False
    except Exception:  # a driver may hide its errors
        is_new = False
    finally:
        run(connection, end)
    return "it would write a new file" if is_new else ""


# MariaDB and MySQL

_ROWS_MYSQL = (
    "SELECT table_rows FROM information_schema.tables"
    " WHERE table_schema = {schema} AND table_name = {name}"
)


def altered_mysql(sql: str) -> str:
    """Return the table that a statement may copy; empty: none."""
    name, written = altered(sql)
    return name if written is not None else ""


def rows_mysql(connection: Connection, name: str) -> int:
    """Return about how many rows a table has, as the server estimates them."""
    schema = schema_of(name)
    place = {"schema": literal(schema) if schema else "DATABASE()", "name": literal(plain(name))}
    found = run(connection, _ROWS_MYSQL.format(**place))
    return int(found[0][0] or 0) if found else 0


def copies_mysql(connection: Connection, sql: str, _: str) -> str:
    """Return how the server would copy a table; empty if it would not, or it is unknown."""
    with suppress(DBAPIError), connection.engine.connect() as aside:
        aside.detach()  # nobody else may get its settings
        way = way_of(connection, aside, sql)
        return str(way) if way is not None and way.algorithm == "COPY" else ""
    return ""


# SQLite

_COPIES = re.compile(rf"\s*ALTER\s+TABLE\s+{_NAME}\s+DROP\b", re.I)
_REBUILDS = re.compile(
    r"""\s*CREATE\s+TABLE\s+(?:\w+\.|"[^"]+"\.)?(?:_alembic_tmp_(\w+)|"_alembic_tmp_([^"]+)")""",
    re.I,
)


def altered_sqlite(sql: str) -> str:
    """Return the table that a statement copies, or a batch begins to copy; empty: none."""
    if match := _COPIES.match(sql):
        return match[1]
    match = _REBUILDS.match(sql)
    return identifier('"', match[1] or match[2]) if match else ""


def rows_sqlite(connection: Connection, name: str) -> int:
    """Return how many rows a table has: counting them is faster than copying them."""
    quoted = identifier('"', unquoted(name))
    with suppress(Exception):  # there is no such table
        return int(run(connection, f"SELECT count(*) FROM {quoted}")[0][0])
    return 0


def copies_sqlite(connection: Connection, sql: str, _: str) -> str:
    """Return how SQLite copies a table."""
    return "every row is written again"
