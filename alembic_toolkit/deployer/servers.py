"""How each server runs revisions: locks, sessions, transactions."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.database.driver import commits_each, run
from alembic_toolkit.database.online import online
from alembic_toolkit.deployer import copies, sqlite
from alembic_toolkit.deployer.galera import refuse_left
from alembic_toolkit.sql import bodies
from alembic_toolkit.sql.statements import Syntax


@dataclass(frozen=True)
class RunServer:
    """How one server waits for locks and runs transactions."""

    # Session settings to change, each with its initial value.
    settings: Mapping[str, str | None] = field(default_factory=dict)
    show: str = ""  # shows a setting
    change: str = ""
    bound: Callable[[Connection, float], list[str]] = lambda *_: []  # sets the lock timeout
    commits_ddl: bool = False
    syntax: Syntax | None = None  # if the driver accepts several statements
    goes_on_after_failed_commit: bool = False
    holds_transaction: bool = False  # begun by any statement, even one that only reads
    least: float = 0.0  # the shortest possible lock timeout
    holders: str = ""  # the query for tables that others hold: schema and name
    holding: float = math.inf  # the longest to wait while strong locks are held
    refuse_lost: Callable[[Connection], None] = lambda _: None  # even if it reports a lock wait
    wrote: str = ""  # the query for a transaction's writes; NULL: none
    hides_blockers: str = "nobody, by now, or it is hidden"
    # What `run.sqlite` adds.
    transactional_ddl: Callable[[Connection], AbstractContextManager[None]] = lambda _: (
        nullcontext()
    )
    begin_to_write: Callable[[Connection], None] = lambda _: None
    in_transaction: Callable[[Connection], bool] = Connection.in_transaction
    commits_each: Callable[[Connection], bool] = commits_each  # before our own changes
    orphans: Callable[[Connection], Counter[str]] = lambda _: Counter()
    # The table that a statement may copy, its rows, and how it is copied; empty if not copied.
    altered: Callable[[str], str] = lambda _: ""
    rows: Callable[[Connection, str], int] = lambda *_: 0
    copies: Callable[[Connection, str, str], str] = lambda *_: ""
    # a command that does it while others write
    online: Callable[[Connection, str], str] = lambda *_: ""


def _bound_postgresql(connection: Connection, seconds: float) -> list[str]:
    # 0 means no timeout. Settings that end with the transaction affect nobody else on a pooler.
    milliseconds = 0 if seconds == math.inf else max(1, round(1000 * seconds))
    driver = connection.connection.dbapi_connection
    local = "" if getattr(driver, "autocommit", False) else "LOCAL "
    return [f"SET {local}lock_timeout = {milliseconds}"]


_LONGEST = 3600.0  # seconds, if a setting has no value for "no limit"


def _bound_mysql(connection: Connection, seconds: float) -> list[str]:
    # Whole seconds; 0 (no wait) is not possible on MySQL. innodb_lock_wait_timeout is about rows,
    # and does not limit an ALTER, which waits for metadata.
    seconds = min(seconds, _LONGEST)
    least = server_of(connection).least
    return [
        f"SET SESSION lock_wait_timeout = {max(int(least), int(seconds))}",
        f"SET SESSION innodb_lock_wait_timeout = {max(1, int(seconds))}",
    ]


POSTGRESQL = RunServer(
    syntax=bodies.POSTGRESQL,
    # When a client is killed, its backend must not stay in the queue.
    settings={"client_connection_check_interval": "1s", "lock_timeout": None},
    show="SELECT pg_catalog.current_setting('{name}')",
    change="SET {name} = '{value}'",
    bound=_bound_postgresql,
    # In a deadlock with the revision, the other session fails after a second, instead of the
    # revision.
    # https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-DEADLOCK-TIMEOUT
    holding=0.5,
    # https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
    holds_transaction=True,
    wrote="SELECT pg_catalog.txid_current_if_assigned()",
    altered=copies.altered_postgresql,
    rows=copies.rows_postgresql,
    copies=copies.copies_postgresql,
)
MARIADB = RunServer(
    settings={"lock_wait_timeout": None, "innodb_lock_wait_timeout": None},
    show="SELECT @@SESSION.{name}",
    change="SET SESSION {name} = {value}",
    bound=_bound_mysql,
    commits_ddl=True,
    altered=copies.altered_mysql,
    rows=copies.rows_mysql,
    copies=copies.copies_mysql,
    online=online,
    syntax=bodies.MYSQL,
    refuse_lost=refuse_left,
)
# A waiting ALTER blocks everybody behind it, even readers, and MySQL's shortest wait is a second,
# so it is not started as long as somebody holds the table.
# https://dev.mysql.com/doc/refman/8.4/en/performance-schema-metadata-locks-table.html
MYSQL = replace(
    MARIADB,
    least=1.0,
    holders="SELECT l.object_schema, l.object_name FROM performance_schema.metadata_locks AS l"
    " JOIN performance_schema.threads AS t ON t.thread_id = l.owner_thread_id"
    " WHERE l.object_type = 'TABLE' AND l.lock_status = 'GRANTED'"
    " AND t.processlist_id <> CONNECTION_ID()",
)
SQLITE = RunServer(
    settings={"busy_timeout": None},
    show="PRAGMA {name}",
    change="PRAGMA {name} = {value}",
    bound=lambda _, seconds: [f"PRAGMA busy_timeout = {round(1000 * min(seconds, _LONGEST))}"],
    goes_on_after_failed_commit=True,
    hides_blockers="SQLite does not say",
    transactional_ddl=sqlite.transactional_ddl,
    begin_to_write=sqlite.begin_to_write,
    in_transaction=sqlite.in_transaction,
    commits_each=sqlite.commits_each,
    orphans=sqlite.orphans,
    altered=copies.altered_sqlite,
    rows=copies.rows_sqlite,
    copies=copies.copies_sqlite,
)


def server_of(connection: Connection) -> RunServer:
    """Return the server of a connection; an unsupported one keeps its own waiting behavior."""
    mysql = MARIADB if servers.is_mariadb(connection.dialect) else MYSQL
    found = {"postgresql": POSTGRESQL, "mysql": mysql, "sqlite": SQLITE}
    return found.get(servers.server_of(connection.dialect.name).name, RunServer())


def is_held(connection: Connection, statement: str) -> bool:
    """Tell whether another session holds a table that a statement names, if the server shows it.

    A merely similar name counts as well: then the statement waits, as it may anywhere.
    """
    query = server_of(connection).holders
    if not query:
        return False
    words = {word.lower() for word in re.findall(r"[\w$]+", statement)}
    try:
        held = run(connection, query)
    except connection.dialect.loaded_dbapi.Error:  # not every user may query this
        return False
    return any(str(name).lower() in words for _, name in held)
