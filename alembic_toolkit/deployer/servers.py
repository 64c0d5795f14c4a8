"""What each server does in its own way while revisions run: locks, sessions, transactions."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.database.copying import online
from alembic_toolkit.database.driver import commits_each, run
from alembic_toolkit.deployer import copies, sqlite
from alembic_toolkit.deployer.galera import refuse_left
from alembic_toolkit.sql import bodies
from alembic_toolkit.sql.statements import Syntax


@dataclass(frozen=True)
class RunServer:
    """How one server waits for locks and runs transactions."""

    # Settings of a session that change, each with the value that it gets at once.
    settings: Mapping[str, str | None] = field(default_factory=dict)
    show: str = ""  # a setting
    change: str = ""
    bound: Callable[[Connection, float], list[str]] = lambda *_: []  # so long to wait for a lock
    commits_ddl: bool = False
    syntax: Syntax | None = None  # of a string with several statements, where the driver takes one
    goes_on_after_failed_commit: bool = False
    holds_transaction: bool = False  # from any statement on, one that only reads too
    least: float = 0.0  # the shortest that a statement can be told to wait for others
    holders: str = ""  # the query for the tables that others hold: schema and name
    holding: float = math.inf  # the longest to wait while strong locks are held
    refuse_lost: Callable[[Connection], None] = lambda _: None  # though it says that it waits
    wrote: str = ""  # the query for what a transaction wrote; NULL: nothing
    hides_blockers: str = "nobody, by now, or it is hidden"
    # What `run.sqlite` adds.
    transactional_ddl: Callable[[Connection], AbstractContextManager[None]] = lambda _: (
        nullcontext()
    )
    begin_to_write: Callable[[Connection], None] = lambda _: None
    in_transaction: Callable[[Connection], bool] = Connection.in_transaction
    commits_each: Callable[[Connection], bool] = commits_each  # before anything of ours
    orphans: Callable[[Connection], Counter[str]] = lambda _: Counter()
    # The table that a statement may copy, its rows, and how it is copied; empty: it is not.
    altered: Callable[[str], str] = lambda _: ""
    rows: Callable[[Connection, str], int] = lambda *_: 0
    copies: Callable[[Connection, str, str], str] = lambda *_: ""
    online: Callable[[str], str] = lambda _: ""  # the command that does it while others write


def _bound_postgresql(connection: Connection, seconds: float) -> list[str]:
    # 0 means no timeout. What ends with its transaction reaches nobody else through a pooler.
    milliseconds = 0 if seconds == math.inf else max(1, round(1000 * seconds))
    driver = connection.connection.dbapi_connection
    local = "" if getattr(driver, "autocommit", False) else "LOCAL "
    return [f"SET {local}lock_timeout = {milliseconds}"]


_LONGEST = 3600.0  # seconds, where a setting has no value for "as long as it takes"


def _bound_mysql(connection: Connection, seconds: float) -> list[str]:
    # Whole seconds; 0 does not wait, which MySQL does not know. innodb_lock_wait_timeout is about
    # rows, and does not bound an ALTER: that one waits for metadata.
    seconds = min(seconds, _LONGEST)
    least = server_of(connection).least
    return [
        f"SET SESSION lock_wait_timeout = {max(int(least), int(seconds))}",
        f"SET SESSION innodb_lock_wait_timeout = {max(1, int(seconds))}",
    ]


POSTGRESQL = RunServer(
    syntax=bodies.POSTGRESQL,
    # A killed client must not leave its place in the queue to its backend.
    settings={"client_connection_check_interval": "1s", "lock_timeout": None},
    show="SELECT pg_catalog.current_setting('{name}')",
    change="SET {name} = '{value}'",
    bound=_bound_postgresql,
    # Whoever waits for a lock of ours, and has what we wait for, fails after a second because of
    # the deadlock, instead of the revision.
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
# An ALTER that waits stops everybody behind it, readers too, and MySQL knows no wait of less than a
# second: so it is not begun as long as somebody holds the table.
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
    """Return the server of a connection; one that is not known here waits as it likes."""
    mysql = MARIADB if servers.is_mariadb(connection.dialect) else MYSQL
    found = {"postgresql": POSTGRESQL, "mysql": mysql, "sqlite": SQLITE}
    return found.get(servers.server_of(connection.dialect.name).name, RunServer())


def is_held(connection: Connection, statement: str) -> bool:
    """Tell whether another session holds a table that a statement names, where the server tells.

    A name that is only like one counts, too: then the statement waits, as it may everywhere.
    """
    query = server_of(connection).holders
    if not query:
        return False
    words = {word.lower() for word in re.findall(r"[\w$]+", statement)}
    try:
        held = run(connection, query)
    except connection.dialect.loaded_dbapi.Error:  # not everybody may look
        return False
    return any(str(name).lower() in words for _, name in held)
