"""What more than one room asks about a server: one value for each.

A fact that one room alone needs stands in the `servers.py` of that room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alembic_toolkit.sql import quoting


@dataclass(frozen=True)
class Facts:
    """Facts about one server; the defaults are those of a server that is not known here."""

    name: str  # of its SQL: MariaDB's is that of MySQL
    title: str  # as people write it
    label: str  # as a report calls its databases
    is_known: bool = True
    is_file: bool = False  # this process opens the database itself
    has_transactional_ddl: bool = False
    error_ends_transaction: bool = False  # but for a savepoint
    literal: Callable[[str], str] = quoting.literal
    mark: str = '"'  # around an identifier
    blockers: str = ""  # the query for those who hold what a statement needs


_POSTGRESQL_BLOCKERS = """
SELECT a.pid, coalesce(a.usename::text, '?'), coalesce(host(a.client_addr), 'this host'),
       coalesce(a.state, 'state hidden'),
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::int, a.query,
       bool_or(l.locktype = 'relation' AND l.granted
               AND strpos(lower(CAST(:statement AS text)), lower(c.relname)) > 0) AS named
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
LEFT JOIN pg_class c ON c.oid = l.relation AND c.relnamespace <> 'pg_catalog'::regnamespace
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
AND (a.xact_start IS NOT NULL OR a.state IS NULL)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY named DESC NULLS LAST, 5 DESC NULLS LAST"""
# Whether a session holds a metadata lock, only a plugin can tell: those that may.
_MYSQL_BLOCKERS = """
SELECT p.id, p.user, p.host, lower(p.command),
       coalesce(timestampdiff(second, t.trx_started, now()), p.time), coalesce(p.info, ''), 0
FROM information_schema.processlist p
LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
WHERE p.db = database() AND p.id <> connection_id()
AND (t.trx_id IS NOT NULL OR p.command = 'Query')
AND coalesce(p.state, '') NOT LIKE 'Waiting for table%' ORDER BY 5 DESC"""

POSTGRESQL = Facts(
    "postgresql",
    "PostgreSQL",
    "postgresql",
    has_transactional_ddl=True,
    error_ends_transaction=True,
    literal=quoting.postgresql_literal,
    blockers=_POSTGRESQL_BLOCKERS,
)
MYSQL = Facts(
    "mysql",
    "MariaDB",
    "mariadb",
    literal=quoting.mysql_literal,
    mark="`",
    blockers=_MYSQL_BLOCKERS,
)
SQLITE = Facts("sqlite", "SQLite", "sqlite", is_file=True, has_transactional_ddl=True)

_BY_DIALECT = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}
DIALECTS = tuple(_BY_DIALECT)


def server_of(dialect: str) -> Facts:
    """Return what is known of the server with this dialect of SQLAlchemy."""
    return _BY_DIALECT.get(dialect) or Facts(dialect, dialect, dialect, is_known=False)
