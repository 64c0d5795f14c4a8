"""Read a database URL, show it without its password, compare it with a connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

from alembic.util import CommandError, to_tuple
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from alembic_toolkit.database.errors import message
from alembic_toolkit.database.products import look_alike, refused
from alembic_toolkit.database.servers import server_of


def parse(address: URL | str) -> URL:
    """Read a database URL.

    :raises CommandError: it cannot be read; the message does not contain it.
    """
    try:
        url = make_url(address)
        # An @ in a password would split it, and the rest would be shown as the host; so would a
        # / after digits, which are then read as a port.
        is_file = server_of(url.get_backend_name()).is_file
        if "@" not in f"{url.host}{url.database}" or (is_file and url.password is None):
            return url
    except (ArgumentError, ValueError):
        pass
    # The message contains neither the URL nor the cause, because they may contain a password.
    raise CommandError(
        "the URL of the database cannot be read; write it like sqlite:///file.db or "
        "postgresql+psycopg://user:password@host/name, "
        "with @ : / ? % in the password as %40 %3A %2F %3F %25"
    ) from None


def parse_known(address: str) -> URL:
    """Read the URL of a database on a supported server.

    :raises CommandError: it cannot be read, or names another server.
    """
    url = parse(address)
    if not server_of(url.get_backend_name()).is_known:
        raise CommandError(
            f"{url.drivername} is not known here: SQLite, PostgreSQL, MariaDB and MySQL are"
        )
    return url


# An env.py may need an asynchronous driver; the queries and drops here do not.
_SYNCHRONOUS = {"asyncpg": "psycopg", "psycopg_async": "psycopg", "aiosqlite": "pysqlite"}
_SYNCHRONOUS |= {"aiomysql": "pymysql", "asyncmy": "pymysql"}


def dialect_of(url: str | None) -> str | None:
    """Return the dialect in a URL; None if there is none."""
    return None if url is None else parse(url).get_backend_name()


def synchronous(url: URL) -> URL:
    """Return the URL with a driver that needs no event loop."""
    driver = _SYNCHRONOUS.get(url.get_driver_name(), url.get_driver_name())
    return url.set(drivername=f"{url.get_backend_name()}+{driver}")


def shown(url: URL) -> str:
    """Return a URL without possible passwords: its query may contain one as well."""
    return url.set(query={}).render_as_string(hide_password=True)


def without_passwords(text: str) -> str:
    """Return a text without any possible password of a URL in it, even in an invalid URL."""
    text = re.sub(r"(//\S*?\?)\S+", r"\1***", text)
    text = re.sub(
        r"(?i)(\w*(?:password|passwd|pwd|secret|token)\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", text
    )
    # Our own messages use that word as a placeholder for a password.
    return re.sub(r"(:(?!//)|//[^\s/:]*:)(?!password@)\S+@(?=\S)", r"\1***@", text)


def concealed(url: URL, text: str) -> str:
    """Return a text without the passwords of a URL, whether encoded or decoded."""
    options = {key: one for key, one in url.query.items() if _SECRET.search(key)}
    secrets = URL.create("-", password=url.password, query=options)
    return masked(secrets, text)


_SECRET = re.compile("pass|secret|token|key", re.I)


def masked(url: URL, text: str) -> str:
    """Return a driver's message without the parts of a URL it repeats: password and options."""
    options = [one for value in url.query.values() for one in to_tuple(value)]
    for secret in sorted({str(one) for one in (url.password, *options) if one}, key=len)[::-1]:
        for form in (secret, quote_plus(secret), quote(secret)):
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "***", text)
    return text


def same(connection: Connection, ours: URL) -> bool:
    """Return whether a connection uses the database of a URL."""
    theirs = connection.engine.url
    if server_of(ours.get_backend_name()).is_file:
        return Path(str(ours.database)).resolve() == Path(str(theirs.database)).resolve()
    return (ours.host, ours.port, ours.database) == (theirs.host, theirs.port, theirs.database)


def refuse_unreadable(url: URL, error: Exception) -> None:
    """Refuse a look-alike by name if SQLAlchemy could not read its version on connecting.

    :raises CommandError: it is a look-alike.
    """
    said = str(error) if isinstance(error, AssertionError) else ""
    server = server_of(url.get_backend_name())
    if name := look_alike(server.name, said):
        raise refused(shown(url), name, server, said) from error


@contextmanager
def explained(url: URL, errors: type[Exception] = Exception) -> Iterator[None]:
    """Turn errors of this kind, except Alembic's own, into one line that names the database."""
    try:
        yield
    except CommandError:
        raise
    except errors as error:
        refuse_unreadable(url, error)
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
            # Drivers raise errors of any type, such as TypeError for an unknown option.
            reason = masked(url, message(error))
        raise CommandError(f"{shown(url)} cannot be used: {reason}") from error
