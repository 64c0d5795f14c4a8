"""A lock that holds on all nodes of a Galera cluster, where ``GET_LOCK`` holds on one node only.

It is a row that a second session has changed in a transaction that stays open. Streaming
replication sends the change to all nodes at once, where it locks the row as well. If two sessions
try at the same moment, certification lets one of them succeed. The lock is released when the
transaction ends: by a rollback, when its client is gone, or when its node leaves the cluster.
https://mariadb.com/kb/en/using-streaming-replication-for-large-transactions/
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ExceptionContext,
    Integer,
    MetaData,
    String,
    Table,
    event,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from alembic_toolkit.database import errors
from alembic_toolkit.database.address import shown
from alembic_toolkit.database.driver import run
from alembic_toolkit.database.journal import who
from alembic_toolkit.database.own import lock_name_of
from alembic_toolkit.database.portrait import portrait
from alembic_toolkit.database.schemas import schema_beside

log = logging.getLogger("alembic_toolkit")

_ROW = 1  # the only one
_LONGEST = 255  # characters that describe the holder
_CAUSAL = 7  # before it reads or writes, a session waits for what other nodes have committed
# For the session that holds the row. It is idle as long as the revisions run.
_SETTINGS = {
    "wsrep_trx_fragment_unit": "'statements'",
    "wsrep_trx_fragment_size": "1",
    "wsrep_sync_wait": str(_CAUSAL),
    "wait_timeout": "2147483",
    "lock_wait_timeout": "10",
}
_NO_VARIABLE = 1193
_AT_ONCE = ("0", "1")  # seconds; MySQL has no 0
_NEVER = {"idle_transaction_timeout": "0", "idle_write_transaction_timeout": "0"}  # on MariaDB


def is_node(connection: Connection) -> bool:
    """Return whether the server is a node of a cluster, whatever its current size."""
    return portrait(connection).is_galera


@contextmanager
def causal(connection: Connection) -> Iterator[None]:
    """Make a connection see, from its next statement on, what was committed on other nodes.

    Nothing changes if there is no cluster. The connection must be in no transaction.
    """
    if not is_node(connection):
        yield
        return
    refuse_left(connection)
    [(before,)] = run(connection, "SELECT @@SESSION.wsrep_sync_wait")
    run(connection, f"SET SESSION wsrep_sync_wait = {int(before) | _CAUSAL}")
    connection.connection.rollback()
    event.listen(connection.engine, "handle_error", _end_session)
    try:
        yield
    finally:
        event.remove(connection.engine, "handle_error", _end_session)
        _restore(connection, f"SET SESSION wsrep_sync_wait = {before}")


def _restore(connection: Connection, setting: str) -> None:
    """Restore the settings; give up a lost session before a pool rolls it back."""
    if connection.closed or connection.invalidated:
        return
    try:
        run(connection, setting)
        connection.connection.rollback()
    except Exception:
        connection.invalidate()


def _end_session(context: ExceptionContext) -> None:
    """Make SQLAlchemy give up a session on a disconnected node, which cannot roll back."""
    if errors.code(context.original_exception) == errors.NOT_PRIMARY:
        context.is_disconnect = True


def refuse_left(connection: Connection) -> None:
    """Refuse a node that has left the primary component of its cluster.

    On such a node some statements wait in vain for the other nodes, which looks like a lock.

    :raises CommandError: the node has left it.
    """
    if not is_node(connection):
        return
    if dict(run(connection, "SHOW STATUS LIKE 'wsrep_ready'")).get("wsrep_ready") != "OFF":
        return
    connection.invalidate()  # it cannot be rolled back
    raise CommandError(
        f"{shown(connection.engine.url)} was lost: it is a node that has left its cluster\n"
        "  found   wsrep_ready = OFF\n"
        "  wanted  a node of the primary component\n"
        "What was not committed is rolled back.\n"
        "What to do next: when the node is back, or with the URL of another one, run the command\n"
        "again."
    )


class Row:
    """The row that a second session keeps locked on all nodes."""

    def __init__(self, connection: Connection, migration: MigrationContext) -> None:
        """Set where the row is; see `take`."""
        self.connection, place = connection, migration.version_table
        schema = schema_beside(connection, place, migration.version_table_schema)
        self.table = Table(
            lock_name_of(place),
            MetaData(),
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("holder", String(_LONGEST), nullable=False),
            schema=schema,
            mysql_engine="InnoDB",
            mariadb_engine="InnoDB",
        )
        self.session: Connection | None = None
        self.is_made = False
        self.value = ""  # our value, while we hold it

    def take(self) -> bool:
        """Try to lock the row; return whether it was free.

        :raises CommandError: the table does not exist and cannot be created.
        """
        session = self._open()
        value = f"{self._holder()} #{secrets.token_hex(4)}"
        update = self.table.update().where(self.table.c.id == _ROW).values(holder=value)
        try:
            self._make(session)
            changed = session.execute(update).rowcount
        except DBAPIError as error:
            self._roll_back()
            if not _is_refused(error):
                raise
            return False
        if not changed:  # another session is inserting the row
            self.is_made = False
            self._roll_back()
            return False
        self.value = value
        return True

    def is_held(self) -> bool:
        """Return whether the transaction that changed the row is still open."""
        if self.session is None or not self.value:
            return False
        try:
            return bool(self.session.scalar(self._query()) == self.value)
        except Exception:  # the session or its node is gone, or another node won
            return False

    def holder(self) -> str:
        """Return who has locked the row; empty if nobody has."""
        session = self._open()
        try:
            # Uncommitted changes are on all nodes already.
            session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
            found: str = session.scalar(self._query()) or ""
        except DBAPIError:
            found = ""
        self._roll_back()
        return found.rpartition(" #")[0]

    def free(self) -> None:
        """End the session, and so the transaction."""
        session, self.session, self.value = self.session, None, ""
        if session is not None:
            engine = session.engine
            with suppress(Exception):
                session.rollback()
            with suppress(Exception):
                session.invalidate()
                session.close()
            engine.dispose()

    def _query(self) -> Any:
        return select(self.table.c.holder).where(self.table.c.id == _ROW)

    def _holder(self) -> str:
        since = datetime.now(timezone.utc)
        node = portrait(self.connection).settings.get("wsrep_node_name", "?")
        return f"{who()[:150]} on node {node[:40]} since {since:%Y-%m-%d %H:%M:%S} UTC"

    def _roll_back(self) -> None:
        self.value = ""
        if self.session is not None:
            try:
                self.session.rollback()
            except DBAPIError:
                self.free()

    def _open(self) -> Connection:
        """Return the second session; connect it on first use, in the same way as the first one."""
        if self.session is None or self.session.closed or self.session.invalidated:
            given = self.connection.engine
            engine = Engine(given.pool.recreate(), given.dialect, given.url)
            session = engine.connect()
            self.session = session.execution_options(isolation_level="REPEATABLE READ")
            _prepare(session)
        return self.session

    def _make(self, session: Connection) -> None:
        """Create the table and its row if missing, as others may be doing."""
        if self.is_made:
            return
        try:
            there = session.scalar(select(self.table.c.id).where(self.table.c.id == _ROW))
        except DBAPIError as error:
            if not errors.is_unknown(error):
                raise
            there = None
            self._create(session)
        session.rollback()
        if there is None:
            session.execute(self.table.insert().prefix_with("IGNORE").values(id=_ROW, holder=""))
        session.commit()
        self.is_made = True

    def _create(self, session: Connection) -> None:
        create = CreateTable(self.table, if_not_exists=True)
        try:
            session.execute(create)
        except DBAPIError as error:
            if not errors.is_denied(error):
                raise
            sql = " ".join(str(create.compile(dialect=session.dialect)).split())
            raise CommandError(
                f"no lock can be made that holds on all nodes: {errors.message(error)}\n"
                f"  found   no table {self.table.fullname}\n"
                "  wanted  a row in it, which a deployer keeps locked\n"
                "Stopped, because another deployer, on another node, could run the same.\n"
                "What to do next: let somebody who may run\n"
                f"    {sql};\n"
                f"    GRANT SELECT, INSERT, UPDATE ON {self.table.fullname} TO ...;\n"
                "or -x deploy_lock=no, when nobody else can be deploying."
            ) from error


def _prepare(session: Connection) -> None:
    """Set up the session that will hold the row."""
    try:
        for name, value in _SETTINGS.items():
            session.exec_driver_sql(f"SET SESSION {name} = {value}")
    except DBAPIError as error:
        if errors.code(error.orig) != _NO_VARIABLE:
            raise
        raise CommandError(
            "no lock can be made that holds on all nodes: nothing is run\n"
            f"  found   {errors.message(error)}\n"
            "  wanted  Galera 4, which has streaming replication: MariaDB 10.4 or MySQL 8.0\n"
            "Stopped, because another deployer, on another node, could run the same.\n"
            "What to do next: -x deploy_lock=no, when nobody else can be deploying."
        ) from error
    for seconds in _AT_ONCE:
        with suppress(DBAPIError):
            session.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {seconds}")
            break
    for name, value in _NEVER.items():
        with suppress(DBAPIError):
            session.exec_driver_sql(f"SET SESSION {name} = {value}")
    session.commit()


def _is_refused(error: DBAPIError) -> bool:
    """Return whether another session has the row, or was first (one is a deadlock victim)."""
    return errors.is_lock_error(error) or errors.is_taken(error) or errors.code(error.orig) == 1020
