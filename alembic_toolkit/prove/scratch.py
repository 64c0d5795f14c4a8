"""Scratch databases: empty when they are handed over, empty again afterwards.

A database that holds anything is refused, so whatever is dropped at the end was made in between.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, NullPool
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from alembic_toolkit.database.address import parse_known, synchronous


@dataclass
class Scratch:
    """An empty database: its URL for ``env.py``, and an engine of our own."""

    url: URL
    engine: Engine
    schemas: frozenset[str] = frozenset()  # PostgreSQL: those that were there
    extensions: frozenset[str] = frozenset()
    made: set[str] = field(default_factory=set)  # MariaDB: databases that revisions created
    collation: str = ""  # MariaDB: the database's own
    sessions: set[int] = field(default_factory=set)  # as the server numbers them, of the walk
    last: int | None = None  # the one thread that may still connect
    tell: Callable[[int], None] = field(default=lambda session: None)  # of a new one

    @property
    def server(self) -> str:
        return {"mysql": "mariadb"}.get(self.engine.dialect.name, self.engine.dialect.name)

    @property
    def shown(self) -> str:
        return self.url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def scratch(address: str | None) -> Iterator[Scratch]:
    """Give an empty database, and empty it at the end.

    :param address: its URL; None for a temporary file of SQLite.
    :raises CommandError: it cannot be reached, or is not empty.
    """
    with contextlib.ExitStack() as stack:
        url = parse_known(address) if address is not None else None
        if url is None or url.database in (None, "", ":memory:"):
            if url is not None and url.get_backend_name() != "sqlite":
                raise CommandError(f"{url!r} names no database: say which, an empty one")
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="roundtrip-"))
            address = f"sqlite:///{Path(directory, 'scratch.db')}"
            url = parse_known(address)
        given = opened(url)
        stack.callback(given.engine.dispose)
        stack.callback(close, given)
        yield given


def opened(url: URL) -> Scratch:
    """Look into a database, which must be empty.

    :raises CommandError: it cannot be reached, or is not empty.
    """
    found = Scratch(url, _engine(synchronous(url)))
    if found.server == "sqlite" and url.database and not Path(url.database).parent.is_dir():
        raise CommandError(f"{found.shown} cannot be used: there is no such directory")
    try:
        with found.engine.connect() as connection:
            things = contents(connection)
            if connection.dialect.name == "postgresql":
                schemas = "SELECT nspname FROM pg_namespace"
                extensions = "SELECT extname FROM pg_extension"
                found.schemas = frozenset(connection.execute(sa.text(schemas)).scalars())
                found.extensions = frozenset(connection.execute(sa.text(extensions)).scalars())
            elif connection.dialect.name != "sqlite":
                found.collation = connection.execute(sa.text(_COLLATION)).scalar_one()
    except (DBAPIError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        words = " ".join(str(cause.args[-1] if cause.args else cause).split())
        raise CommandError(f"{found.shown} cannot be used: {words}") from error
    if things:
        found.engine.dispose()
        raise CommandError(
            f"{found.shown} is not empty: it has {', '.join(things[:3])}"
            f"{', ...' if len(things) > 3 else ''}\n"
            "Stopped, because what a round trip makes and drops must not meet what is there.\n"
            "The way on:\n    CREATE DATABASE scratch  # and name that one with --url"
        )
    return found


def _engine(url: URL) -> Engine:
    try:
        return sa.create_engine(url, poolclass=NullPool)
    except (NoSuchModuleError, ImportError) as error:
        raise CommandError(f"{url.drivername} cannot be used: {error}") from error


def contents(connection: Connection) -> list[str]:
    """Return what a database holds, each with its kind: nothing when it is empty."""
    sql = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}.get(connection.dialect.name, _MARIADB)
    return [f"{kind} {name}" for kind, name, *_ in connection.execute(sa.text(sql))]


_SQLITE = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_MARIADB = """
SELECT IF(table_type = 'VIEW', 'view', IF(table_type = 'SEQUENCE', 'sequence', 'table')), table_name
FROM information_schema.tables WHERE table_schema = DATABASE()
UNION ALL
SELECT LOWER(routine_type), routine_name FROM information_schema.routines
WHERE routine_schema = DATABASE()
UNION ALL
SELECT 'event', event_name FROM information_schema.events WHERE event_schema = DATABASE()
"""
_COLLATION = "SELECT @@collation_database"
# In the order in which they can be dropped, each as DROP wants it named. What an extension owns
# (deptype e), and the sequence of an identity column or the function that makes a range (i), goes
# with its owner and not by itself:
# https://www.postgresql.org/docs/current/catalog-pg-depend.html
_POSTGRESQL = (
    """
WITH n AS (SELECT oid FROM pg_namespace
           WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
     rare AS (
"""
    + "\nUNION ALL ".join(
        f"SELECT {nth} AS nth, '{catalog}'::regclass AS class, oid AS id FROM {catalog}"
        for nth, catalog in [
            (0, "pg_event_trigger"),  # one may refuse what is dropped
            (0, "pg_publication"),
            (4, "pg_operator"),
            (4, "pg_opfamily"),  # with its classes
            (4, "pg_cast"),
            (4, "pg_conversion"),
            (4, "pg_ts_config"),
            (4, "pg_ts_dict"),
            (4, "pg_collation"),
            (4, "pg_foreign_data_wrapper"),  # with its servers
        ]
    )
    + """
),   ours AS (
SELECT 1 AS nth, CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                 WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
       oid::regclass::text AS name, oid, 'pg_class'::regclass AS class
FROM pg_class WHERE relnamespace IN (SELECT oid FROM n) AND relkind IN ('r','p','v','m','S','f')
UNION ALL
SELECT 2, CASE prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END,
       oid::regprocedure::text, oid, 'pg_proc'::regclass
FROM pg_proc WHERE pronamespace IN (SELECT oid FROM n)
UNION ALL
SELECT 3, CASE typtype WHEN 'd' THEN 'domain' ELSE 'type' END, oid::regtype::text, oid,
       'pg_type'::regclass
FROM pg_type AS t WHERE typnamespace IN (SELECT oid FROM n) AND typtype IN ('e', 'd', 'c', 'r')
 AND (typrelid = 0 OR (SELECT relkind FROM pg_class WHERE pg_class.oid = typrelid) = 'c')
UNION ALL
SELECT nth, replace(i.type, '-', ' '), i.identity, id, class
FROM rare, pg_identify_object(class, id, 0) AS i
-- what is below is the server's own: FirstNormalObjectId in its access/transam.h
WHERE id >= 16384 AND i.schema IS DISTINCT FROM 'pg_catalog'
)
SELECT kind, name FROM ours
WHERE NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = class AND d.objid = ours.oid
                   AND (d.deptype = 'e' OR d.deptype = 'i' AND kind IN ('sequence', 'function')))
ORDER BY nth, kind, name
"""
)


def close(given: Scratch) -> None:
    """Leave nothing behind: of SQLite not even the file."""
    path = given.url.database
    if given.server != "sqlite" or not path:
        return empty(given)
    given.engine.dispose()
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(path + suffix).unlink()


def empty(given: Scratch) -> None:
    """Drop all that the database holds, after the sessions that may still hold it."""
    if given.server == "sqlite":
        return close(given)
    with given.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        _end_sessions(connection, given)
        if given.server == "postgresql":
            _empty_postgresql(connection, given)
        else:
            _empty_mariadb(connection, given)


def saved(given: Scratch, connection: Connection) -> sqlite3.Connection | None:
    """Copy a database of SQLite into memory; None where it cannot be, or is in a transaction."""
    driver = connection.connection.driver_connection
    path = str(given.url.database)
    is_file = given.server == "sqlite" and Path(path).is_file()
    if not is_file or getattr(driver, "in_transaction", True):
        return None
    copy = sqlite3.connect(":memory:")
    with contextlib.closing(sqlite3.connect(path)) as source:
        source.backup(copy)
    return copy


def restore(given: Scratch, copy: sqlite3.Connection) -> None:
    """Make an empty database of SQLite what it was when it was `saved`."""
    with contextlib.closing(sqlite3.connect(str(given.url.database))) as target:
        copy.backup(target)


def session_of(connection: object) -> int | None:
    """Return the server's number of the session of a driver's connection, where it tells one."""
    info = getattr(connection, "info", None)  # of psycopg
    if isinstance(getattr(info, "backend_pid", None), int):
        return int(info.backend_pid)  # type: ignore[union-attr]
    ask = getattr(connection, "thread_id", None) or getattr(connection, "get_backend_pid", None)
    return int(ask()) if callable(ask) else None  # PyMySQL, mysqlclient; psycopg2


def _end_sessions(connection: Connection, given: Scratch) -> None:
    """End the sessions of the walk: one may hold a lock on what is to be dropped."""
    sql = "SELECT pg_terminate_backend({})" if given.server == "postgresql" else "KILL {}"
    ours = session_of(connection.connection.dbapi_connection)
    for number in given.sessions - {ours}:
        with contextlib.suppress(DBAPIError):  # it has ended by itself
            connection.exec_driver_sql(sql.format(number))
    given.sessions.clear()


def _empty_postgresql(connection: Connection, given: Scratch) -> None:
    run = connection.exec_driver_sql
    quote = connection.dialect.identifier_preparer.quote_identifier
    for schema in run("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'").scalars().all():
        if schema not in given.schemas:
            run(f"DROP SCHEMA {quote(schema)} CASCADE".replace("%", "%%"))
    for extension in run("SELECT extname FROM pg_extension").scalars().all():
        if extension not in given.extensions:
            run(f"DROP EXTENSION {quote(extension)} CASCADE".replace("%", "%%"))
    found = run(_POSTGRESQL.replace("%", "%%")).all()
    for kind, things in itertools.groupby(found, key=lambda thing: thing[0]):
        names = [name for _, name in things]
        at_once = _AT_ONCE if kind in _LISTED else 1
        for start in range(0, len(names), at_once):
            some = ", ".join(names[start : start + at_once])
            run(f"DROP {kind} IF EXISTS {some} CASCADE".replace("%", "%%"))


_AT_ONCE = 50  # things that are dropped: each takes some of the locks that a server has
# The kinds of which one DROP takes several.
_LISTED = {"view", "materialized view", "sequence", "foreign table", "table"}
_LISTED |= {"aggregate", "procedure", "function", "domain", "type"}


def _empty_mariadb(connection: Connection, given: Scratch) -> None:
    run = connection.exec_driver_sql
    quote = connection.dialect.identifier_preparer.quote_identifier
    run("SET foreign_key_checks = 0")
    for kind, name in run(_MARIADB).all():
        run(f"DROP {kind} IF EXISTS {quote(name)}")
    if run(_COLLATION).scalar_one() != given.collation:
        run(f"ALTER DATABASE COLLATE {given.collation}")
    for database in given.made:
        run(f"DROP DATABASE IF EXISTS {quote(database)}")
    given.made.clear()
