"""Facts about servers that several packages need: one value for each.

A fact that only one package needs is in the `servers.py` of that package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Dialect

from alembic_toolkit.sql import quoting
from alembic_toolkit.sql.pinned import pinned


@dataclass(frozen=True)
class StandbyFacts:
    """How a server shows that it accepts no changes, and which server it follows."""

    sign: str  # the sign as text
    is_one: str  # the query for it
    primary: tuple[str, ...]  # queries for a row about its primary
    at: tuple[int, int] = (0, 1)  # positions of host and port in that row
    probe: str = ""  # a statement that fails if this user may not write, although others may


@dataclass(frozen=True)
class Facts:
    """Facts about one server; the defaults are for an unsupported server."""

    name: str  # the SQL dialect: MariaDB has MySQL's
    title: str  # as people write it
    label: str  # its name in reports
    is_known: bool = True
    is_file: bool = False  # this process opens the database itself
    has_transactional_ddl: bool = False
    error_ends_transaction: bool = False  # unless there is a savepoint
    literal: Callable[[str], str] = quoting.literal
    mark: str = '"'  # around an identifier
    blockers: str = ""  # the query for sessions that block a statement
    place: str = ""  # the query for the schema that a table is or would be in
    elsewhere: str = ""  # the query for a table's schema and that for new ones, if different
    standby: StandbyFacts | None = None


_POSTGRESQL_BLOCKERS = pinned("""
SELECT a.pid, coalesce(a.usename::text, '?'), coalesce(host(a.client_addr), 'this host'),
       coalesce(a.state, 'state hidden'),
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::int, a.query,
       bool_or(l.locktype = 'relation' AND l.granted
               AND strpos(lower((:statement)::text), lower(c.relname::text)) > 0) AS named
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
LEFT JOIN pg_class c ON c.oid = l.relation AND c.relnamespace <> 'pg_catalog'::regnamespace
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
AND (a.xact_start IS NOT NULL OR a.state IS NULL)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY named DESC NULLS LAST, 5 DESC NULLS LAST""")
_POSTGRESQL_PLACE = pinned("""
SELECT coalesce((SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n
                 ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:table)), current_schema())""")
_POSTGRESQL_ELSEWHERE = pinned("""
SELECT n.nspname, current_schema() FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(:table) AND n.nspname <> current_schema()""")
# Whether a session holds a metadata lock, only a plugin can tell on MariaDB: those that may.
_MARIADB_BLOCKERS = """
SELECT p.id, p.user, p.host, lower(p.command),
       coalesce(timestampdiff(second, t.trx_started, now()), p.time), coalesce(p.info, ''), 0
FROM information_schema.processlist p
LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
WHERE p.db = database() AND p.id <> connection_id()
AND (t.trx_id IS NOT NULL OR p.command = 'Query')
AND coalesce(p.state, '') NOT LIKE 'Waiting for table%' ORDER BY 5 DESC"""
# MySQL knows it: https://dev.mysql.com/doc/refman/8.4/en/performance-schema-metadata-locks-table.html
_MYSQL_BLOCKERS = """
SELECT p.id, p.user, p.host, lower(p.command),
       coalesce(timestampdiff(second, t.trx_started, now()), p.time), coalesce(p.info, ''),
       EXISTS (SELECT 1 FROM performance_schema.metadata_locks l
               JOIN performance_schema.threads h ON h.thread_id = l.owner_thread_id
               WHERE h.processlist_id = p.id AND l.object_type = 'TABLE'
               AND l.lock_status = 'GRANTED'
               AND locate(lower(l.object_name), lower(:statement)) > 0) AS named
FROM performance_schema.processlist p
LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
WHERE p.db = database() AND p.id <> connection_id()
AND coalesce(p.state, '') NOT LIKE 'Waiting for table%'
AND (t.trx_id IS NOT NULL OR p.command = 'Query' OR p.id IN
     (SELECT h.processlist_id FROM performance_schema.metadata_locks l
      JOIN performance_schema.threads h ON h.thread_id = l.owner_thread_id
      WHERE l.object_type = 'TABLE' AND l.lock_duration = 'EXPLICIT'))
ORDER BY 7 DESC, 5 DESC"""

# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW
_POSTGRESQL_STANDBY = StandbyFacts(
    "it is in recovery",
    pinned("SELECT pg_is_in_recovery()"),
    (
        pinned("""
SELECT coalesce(r.sender_host, substring(s.setting FROM 'host=''?([^ '']+)')),
       coalesce(r.sender_port::text, substring(s.setting FROM 'port=''?([0-9]+)'))
FROM (SELECT 1 AS one) AS o LEFT JOIN pg_stat_wal_receiver AS r ON true
LEFT JOIN pg_settings AS s ON s.name = 'primary_conninfo'"""),
    ),
)
# https://mariadb.com/kb/en/show-replica-status/, and read_only in
# https://mariadb.com/kb/en/start-transaction/#access-mode
_MYSQL_STANDBY = StandbyFacts(
    "read_only is on",
    "SELECT @@global.read_only NOT IN ('0', 'OFF')",
    ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"),
    at=(1, 3),
    probe="START TRANSACTION READ WRITE",
)

POSTGRESQL = Facts(
    "postgresql",
    "PostgreSQL",
    "postgresql",
    has_transactional_ddl=True,
    error_ends_transaction=True,
    literal=quoting.postgresql_literal,
    blockers=_POSTGRESQL_BLOCKERS,
    place=_POSTGRESQL_PLACE,
    elsewhere=_POSTGRESQL_ELSEWHERE,
    standby=_POSTGRESQL_STANDBY,
)
MYSQL = Facts(
    "mysql",
    "MySQL",
    "mysql",
    literal=quoting.mysql_literal,
    mark="`",
    blockers=_MYSQL_BLOCKERS,
    standby=_MYSQL_STANDBY,
)
MARIADB = replace(MYSQL, title="MariaDB", label="mariadb", blockers=_MARIADB_BLOCKERS)
SQLITE = Facts("sqlite", "SQLite", "sqlite", is_file=True, has_transactional_ddl=True)

_BY_DIALECT = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MARIADB}
DIALECTS = tuple(_BY_DIALECT)


def server_of(dialect: str) -> Facts:
    """Return the facts about the server with this SQLAlchemy dialect."""
    return _BY_DIALECT.get(dialect) or Facts(dialect, dialect, dialect, is_known=False)


def server_behind(connection: Connection) -> Facts:
    """Return the facts about a connection's server: behind mysql:// there may be MariaDB."""
    dialect = connection.dialect
    return MARIADB if is_mariadb(dialect) else server_of(dialect.name)


def is_mariadb(dialect: Dialect) -> bool:
    """Return whether a dialect is MariaDB's, or found MariaDB behind mysql://."""
    return bool(getattr(dialect, "is_mariadb", False))
