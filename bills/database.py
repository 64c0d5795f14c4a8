"""Open the database, and refuse one whose schema is not the one this code needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, event, exc, make_url
from sqlalchemy.orm import Session

import alembic_toolkit
from alembic_toolkit.readiness import Ready

REVISION = "0014"  # what bills.models describes; the only thing known here of the migrations
DEFAULT_URL = "sqlite:///bills.db"
LONGEST_WAIT = 5  # seconds, for a server to answer when it is connected to
_UPGRADE = "run: alembic upgrade head"


class DatabaseProblem(Exception):
    """Say in one line why the database cannot be used."""


class WrongRevision(DatabaseProblem):
    """Say in one line which revision the database is at; the command that fixes it comes last."""


def url() -> str:
    """Return ``DATABASE_URL``, or the default when it is not set or empty."""
    return os.environ.get("DATABASE_URL") or DEFAULT_URL


@contextmanager
def session(engine: Engine) -> Iterator[Session]:
    """Open one transaction on a database that is at `REVISION`; commit it at the end.

    Raise `WrongRevision` when the database is elsewhere, `DatabaseProblem` when it cannot be used.
    """
    check(engine)
    try:
        with Session(engine) as session, session.begin():
            yield session
    except exc.SQLAlchemyError as error:
        raise _problem_of(engine, error) from error


def make_engine(address: str) -> Engine:
    """Make an engine; raise `DatabaseProblem` for an address or a driver that will not do."""
    parsed = _parse(address)
    try:
        engine = create_engine(parsed, **_options(parsed))
    except exc.NoSuchModuleError:
        raise DatabaseProblem(
            f"DATABASE_URL: there is no {parsed.drivername!r}; it starts with sqlite://, "
            "postgresql+psycopg:// or mariadb+pymysql://"
        ) from None
    except ImportError as error:
        raise DatabaseProblem(
            f"{_shown(parsed)}: the driver is not installed ({error}); install it, or name "
            "another in DATABASE_URL: postgresql+psycopg://, mariadb+pymysql://"
        ) from error
    except (exc.ArgumentError, TypeError, ValueError) as error:
        raise DatabaseProblem(f"{_shown(parsed)}: {_message(error)}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _turn_foreign_keys_on)
    return engine


def check(engine: Engine) -> str:
    """Return in one line that the database is at `REVISION`.

    Raise `WrongRevision` when it is elsewhere, `DatabaseProblem` when it cannot be used.
    """
    try:
        found = alembic_toolkit.ready(engine, at_least=REVISION, at_most=REVISION)
    except TypeError as error:  # a driver that is asynchronous
        raise _problem_of(engine, error) from error
    if found.error is not None:
        raise _problem_of(engine, found.error) from found.error
    if not found:
        raise WrongRevision(f"{_shown(engine.url)} {_problem(found)}")
    return f"{_shown(engine.url)} is at revision {REVISION}"


def _problem(found: Ready) -> str:
    """Return what is wrong with the revision, and the command that fixes it."""
    at, stamp = ", ".join(found.revisions), f"run: alembic stamp --purge {REVISION}"
    stamp = f"once you have checked that its schema is right, {stamp}"
    problems = {
        "empty": f"has no schema yet; {_UPGRADE}",
        "several": f"is at several revisions at once ({at}), this code needs {REVISION}; {stamp}",
        "unknown": f"is at revision {at!r}, unknown to this code ({REVISION}); {stamp}",
        "behind": f"is at revision {at}, this code needs {REVISION}; {_UPGRADE}",
        "ahead": f"is at revision {at}, newer than this code ({REVISION}); "
        f"deploy the newer code, or, from it, run: alembic downgrade {REVISION}",
    }
    return problems[found.state]


def _options(parsed: URL) -> dict[str, Any]:
    """Return what keeps a program alive that lives longer than its connections."""
    if parsed.get_backend_name() == "sqlite":
        return {"poolclass": NullPool}  # the file may be another one the next time
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_driver_name() in _WAITS_FOR_EVER and "connect_timeout" not in parsed.query:
        options["connect_args"] = {"connect_timeout": LONGEST_WAIT}
    return options


_WAITS_FOR_EVER = {"psycopg", "psycopg2"}  # for a server that is silent; PyMySQL: ten seconds


def _problem_of(engine: Engine, error: Exception) -> DatabaseProblem:
    return DatabaseProblem(f"{_shown(engine.url)}: {_message(error)}")


def _turn_foreign_keys_on(connection: Any, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON").close()


def _parse(address: str) -> URL:
    try:
        parsed = make_url(address)
        # An @ in a password cuts it in two, and what follows would be shown as the host.
        if parsed.password is None or "@" not in f"{parsed.host}{parsed.database}":
            return parsed
    except (exc.ArgumentError, ValueError):
        pass
    # The address is not repeated, nor is the cause: there may be a password in them.
    raise DatabaseProblem(
        "DATABASE_URL cannot be read; write it like sqlite:///bills.db or "
        "postgresql+psycopg://user:password@host/name, with @ : / ? % in the password as "
        "%40 %3A %2F %3F %25"
    )


def _shown(url: URL) -> str:
    # The query may hold a password too (?password=…).
    return url.set(query={}).render_as_string(hide_password=True)


def _message(error: Exception) -> str:
    """Return the driver's own words in one line, without the statement and its values."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    words = str(cause.args[-1] if cause.args else cause)  # PyMySQL: (number, words)
    return " ".join(words.partition("\nLINE ")[0].split()) or type(cause).__name__
