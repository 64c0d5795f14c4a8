"""Scratch databases: empty before and after their use.

A database that is not empty is refused, so everything dropped at the end was created in between.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from alembic_toolkit.database.address import explained, parse_known, same, shown, synchronous
from alembic_toolkit.database.driver import ask
from alembic_toolkit.database.portrait import refuse_untested
from alembic_toolkit.database.standby import refuse_standby
from alembic_toolkit.messages import typed_with_url
from alembic_toolkit.prove.servers import Initial, ScratchServer, server_of

# A step: of which revision, whether up, of which check, with which rows.
Place = tuple[str, bool, str, str]
TEMPORARY = "roundtrip-"  # how the directory of a temporary file begins


@dataclass
class Scratch:
    """An empty database: its URL for ``env.py``, and an engine of our own."""

    url: URL
    engine: Engine
    initial: Initial = frozenset()
    sessions: set[int] = field(default_factory=set)  # of the walk, as the server numbers them
    pooled: WeakSet[Any] = field(default_factory=WeakSet)  # the connections of all pools
    kept: WeakSet[Any] = field(default_factory=WeakSet)  # all connections and ORM sessions
    last: int | None = None  # the one thread that may still connect
    on_session: Callable[[int], None] = field(default=lambda session: None)  # for a new one
    on_step: Callable[[Place | None], None] = field(default=lambda place: None)  # before, and after
    ended: dict[Place, str] = field(default_factory=dict)  # the steps that ended the process: how

    @property
    def server(self) -> ScratchServer:
        return server_of(self.url.get_backend_name())

    @property
    def address(self) -> str:
        """Return the URL with its password."""
        return self.url.render_as_string(hide_password=False)


@contextmanager
def scratch(address: str | None) -> Iterator[Scratch]:
    """Give an empty database, and empty it at the end.

    :param address: its URL; None for a temporary file of SQLite.
    :raises CommandError: it cannot be reached, or is not empty.
    """
    with contextlib.ExitStack() as stack:
        url = parse_known("sqlite://" if address is None else address)
        if url.database in (None, "", ":memory:"):
            if not server_of(url.get_backend_name()).facts.is_file:
                raise CommandError(f"{shown(url)} names no database: say which, an empty one")
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY))
            url = parse_known(f"sqlite:///{Path(directory, 'scratch.db')}")
        given = opened(url)
        stack.callback(given.engine.dispose)
        stack.callback(close, given)
        yield given


def opened(url: URL) -> Scratch:
    """Open a database, which must be empty.

    :raises CommandError: it cannot be reached, or is not empty.
    """
    is_file = server_of(url.get_backend_name()).facts.is_file
    if is_file and url.database and not Path(url.database).parent.is_dir():
        raise CommandError(f"{shown(url)} cannot be used: there is no such directory")
    with explained(url):
        found = Scratch(url, sa.create_engine(synchronous(url), poolclass=NullPool))
        with found.engine.connect() as connection:
            refuse_untested(connection)
            way = f"{typed_with_url('roundtrip')} ...  {_ELSEWHERE}"
            refuse_standby(connection, _STANDBY, way)
            things = [one for one in contents(connection) if not _is_empty_mark(connection, one)]
            if found.server.initial:
                rows = ask(connection, found.server.initial)
                found.initial = frozenset((kind, name) for kind, name in rows)
    if things:
        found.engine.dispose()
        raise CommandError(
            f"{shown(url)} is not empty: it has {', '.join(things[:3])}"
            f"{', ...' if len(things) > 3 else ''}\n"
            "Stopped, because what a round trip makes and drops must not meet what is there.\n"
            "What to do next:\n    CREATE DATABASE scratch  # and name that one with --url"
        )
    return found


# Why no database of a standby can be used; the primary's own is no place to try either.
_STANDBY = "a round trip makes and drops everything of a history"
_ELSEWHERE = "# an empty database of a server that can be changed"


def _is_empty_mark(connection: Connection, thing: str) -> bool:
    """Return whether this is a version table without a row, as ``downgrade base`` leaves it."""
    kind, _, name = thing.partition(" ")
    if kind != "table" or name != "alembic_version":
        return False
    return not ask(connection, "SELECT version_num FROM alembic_version")


def contents(connection: Connection) -> list[str]:
    """Return the contents of a database, each with its kind; nothing if it is empty."""
    sql = server_of(connection.dialect.name).contents
    return [f"{kind} {name}" for kind, name in ask(connection, sql)]


def close(given: Scratch) -> None:
    """Leave nothing behind; delete a file."""
    path = given.url.database
    if not given.server.facts.is_file or not path:
        return empty(given)
    given.engine.dispose()
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(path + suffix).unlink()


def empty(given: Scratch) -> None:
    """Drop everything in the database, after ending sessions that may still use it."""
    for one in [*given.pooled]:  # a pool of the project's must not give out an old session
        one.invalidate(soft=True)
    for one in [*given.kept]:  # nor one that it has kept since it was imported
        with contextlib.suppress(Exception):
            _forget(given, one)
    if given.server.facts.is_file:
        return close(given)
    with given.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        # A session of the walk may hold a lock on what is to be dropped.
        for number in given.sessions - {session_of(connection.connection.dbapi_connection)}:
            with contextlib.suppress(DBAPIError):  # it has ended by itself
                connection.exec_driver_sql(given.server.end_session.format(number))
        given.sessions.clear()
        given.server.empty(connection, given.initial)


def _forget(given: Scratch, kept: Connection | Session) -> None:
    """Make somebody's connection open a new session when it is next used."""
    if isinstance(kept, Session):
        kept.close()
    elif same(kept, given.url) and not (kept.closed or kept.invalidated):
        kept.rollback()
        kept.invalidate()


def saved(given: Scratch, connection: Connection) -> sqlite3.Connection | None:
    """Copy an SQLite database into memory; None if it is impossible, or in a transaction."""
    driver = connection.connection.driver_connection
    path = str(given.url.database)
    is_file = given.server.facts.is_file and Path(path).is_file()
    if not is_file or getattr(driver, "in_transaction", True):
        return None
    copy = sqlite3.connect(":memory:")
    with contextlib.closing(sqlite3.connect(path)) as source:
        source.backup(copy)
    return copy


def restore(given: Scratch, copy: sqlite3.Connection) -> None:
    """Copy a `saved` database of SQLite back into an empty one."""
    with contextlib.closing(sqlite3.connect(str(given.url.database))) as target:
        copy.backup(target)


def session_of(connection: object) -> int | None:
    """Return the server's id of a driver connection's session, if it has one."""
    info = getattr(connection, "info", None)  # of psycopg
    if isinstance(getattr(info, "backend_pid", None), int):
        return int(info.backend_pid)  # type: ignore[union-attr]
    itself = getattr(
        connection, "driver_connection", connection
    )  # in an asynchronous one's adapter
    # PyMySQL, mysqlclient, aiomysql; psycopg2; asyncpg
    names = ("thread_id", "get_backend_pid", "get_server_pid")
    number = next((getattr(itself, name) for name in names if hasattr(itself, name)), None)
    return int(number()) if callable(number) else None
