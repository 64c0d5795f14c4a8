"""Read the URL of a database, show it without its password, compare it with a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from alembic_toolkit.database.errors import message
from alembic_toolkit.database.servers import server_of


def parse(address: URL | str) -> URL:
    """Read the URL of a database.

    :raises CommandError: it cannot be read; it is not repeated.
    """
    try:
        url = make_url(address)
        # An @ in a password cuts it in two, and what follows would be shown as the host.
        if url.password is None or "@" not in f"{url.host}{url.database}":
            return url
    except (ArgumentError, ValueError):
        pass
    # It is not repeated, and neither is the cause: there may be a password in it.
    raise CommandError(
        "the URL of the database cannot be read; write it like sqlite:///file.db or "
        "postgresql+psycopg://user:password@host/name, "
        "with @ : / ? % in the password as %40 %3A %2F %3F %25"
    ) from None


def parse_known(address: str) -> URL:
    """Read the URL of a database on a server that is known here.

    :raises CommandError: it cannot be read, or names another server.
    """
    url = parse(address)
    if not server_of(url.get_backend_name()).is_known:
        raise CommandError(
            f"{url.drivername} is not known here: SQLite, PostgreSQL, MariaDB and MySQL are"
        )
    return url


# An env.py may want an asynchronous driver; what looks and drops here does not.
_SYNCHRONOUS = {"asyncpg": "psycopg", "psycopg_async": "psycopg", "aiosqlite": "pysqlite"}
_SYNCHRONOUS |= {"aiomysql": "pymysql", "asyncmy": "pymysql"}


def dialect_of(url: str | None) -> str | None:
    """Return the dialect that a URL names; None without one."""
    return None if url is None else parse(url).get_backend_name()


def synchronous(url: URL) -> URL:
    """Return the URL with a driver that needs no event loop."""
    driver = _SYNCHRONOUS.get(url.get_driver_name(), url.get_driver_name())
    return url.set(drivername=f"{url.get_backend_name()}+{driver}")


def shown(url: URL) -> str:
    """Return a URL without what may be a password: its query may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def same(connection: Connection, ours: URL) -> bool:
    """Return whether a connection is to the database of a URL."""
    theirs = connection.engine.url
    if server_of(ours.get_backend_name()).is_file:
        return Path(str(ours.database)).resolve() == Path(str(theirs.database)).resolve()
    return (ours.host, ours.port, ours.database) == (theirs.host, theirs.port, theirs.database)


@contextmanager
def explained(url: URL, errors: type[Exception] = Exception) -> Iterator[None]:
    """Turn errors of this kind, but Alembic's own, into one line that names the database."""
    try:
        yield
    except CommandError:
        raise
    except errors as error:
        if isinstance(error, NoSuchModuleError):
            reason = (
                f"there is no {url.drivername!r}; it starts with sqlite://, "
                "postgresql+psycopg:// or mariadb+pymysql://"
            )
        elif isinstance(error, ImportError):
            reason = (
                f"its driver is not installed ({error}); install it, or name another: "
                "postgresql+psycopg://, mariadb+pymysql://"
            )
        else:
            # Drivers raise what they like: TypeError, say, for an option that they do not know.
            reason = message(error)
        raise CommandError(f"{shown(url)} cannot be used: {reason}") from error
