"""What each server does in its own way while revisions run: locks, sessions, transactions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.run import sqlite


@dataclass(frozen=True)
class RunServer:
    """How one server waits for locks and runs transactions."""

    # Settings of a session that change, each with the value that it gets at once.
    settings: Mapping[str, str | None] = field(default_factory=dict)
    show: str = ""  # a setting
    change: str = ""
    bound: Callable[[Connection, float], list[str]] = lambda *_: []  # so long to wait for a lock
    commits_ddl: bool = False
    goes_on_after_failed_commit: bool = False
    holding: float = math.inf  # the longest to wait while strong locks are held
    wrote: str = ""  # the query for what a transaction wrote; NULL: nothing
    hides_blockers: str = "nobody, by now, or it is hidden"
    # What `run.sqlite` adds.
    transactional_ddl: Callable[[Connection], AbstractContextManager[None]] = lambda _: (
        nullcontext()
    )
    begin_to_write: Callable[[Connection], None] = lambda _: None
    in_transaction: Callable[[Connection], bool] = Connection.in_transaction
    orphans: Callable[[Connection], Counter[str]] = lambda _: Counter()


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
    least = 0 if getattr(connection.dialect, "is_mariadb", False) else 1
    return [
        f"SET SESSION lock_wait_timeout = {max(least, int(seconds))}",
        f"SET SESSION innodb_lock_wait_timeout = {max(1, int(seconds))}",
    ]


POSTGRESQL = RunServer(
    # A killed client must not leave its place in the queue to its backend.
    settings={"client_connection_check_interval": "1s", "lock_timeout": None},
    show="SELECT current_setting('{name}')",
    change="SET {name} = '{value}'",
    bound=_bound_postgresql,
    # Whoever waits for a lock of ours, and has what we wait for, fails after a second because of
    # the deadlock, instead of the revision.
    # https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-DEADLOCK-TIMEOUT
    holding=0.5,
    # https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
    wrote="SELECT txid_current_if_assigned()",
)
MYSQL = RunServer(
    settings={"lock_wait_timeout": None, "innodb_lock_wait_timeout": None},
    show="SELECT @@SESSION.{name}",
    change="SET SESSION {name} = {value}",
    bound=_bound_mysql,
    commits_ddl=True,
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
    orphans=sqlite.orphans,
)


def server_of(connection: Connection) -> RunServer:
    """Return the server of a connection; one that is not known here waits as it likes."""
    found = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}
    return found.get(servers.server_of(connection.dialect.name).name, RunServer())
