"""The database that `run` uses: its argument, or the one in Alembic's configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from configparser import InterpolationError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, NullPool, Pool, StaticPool, engine_from_config

from alembic_toolkit.database.address import explained, parse, same

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    Database = Engine | AsyncEngine | Connection | URL | str

PREFIX = "sqlalchemy."  # the prefix of engine options in alembic.ini
_OF_THE_TEMPLATE = "driver://user:pass@localhost/dbname"


@dataclass(frozen=True)
class Target:
    """A database, and how to connect to it."""

    given: Engine | Connection | URL
    options: Mapping[str, Any] = field(default_factory=dict)  # in alembic.ini: ``sqlalchemy.echo``

    @property
    def url(self) -> URL:
        """Return its URL."""
        return self.given if isinstance(self.given, URL) else self.given.engine.url

    @property
    def is_asynchronous(self) -> bool:
        """Return whether its driver needs an event loop; a given connection already has one."""
        if isinstance(self.given, Engine):
            return self.given.dialect.is_async
        return isinstance(self.given, URL) and bool(self.given.get_dialect().is_async)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Open a connection, or borrow the given one and leave it in no transaction."""
        given = self.given
        if isinstance(given, Connection):
            try:
                yield given
            finally:
                if given.in_transaction():
                    given.rollback()
            return
        with explained(self.url):
            pool, connection = self._open_url(given) if isinstance(given, URL) else _open(given)
        try:
            with connection:
                yield connection
        finally:
            if pool is not None:
                pool.dispose()

    def _open_url(self, url: URL) -> tuple[Pool | None, Connection]:
        configuration = {**self.options, f"{PREFIX}url": url}
        if self.is_asynchronous:
            from sqlalchemy.ext.asyncio import async_engine_from_config as make

            engine = make(configuration, PREFIX, poolclass=NullPool).sync_engine
        else:
            engine = engine_from_config(configuration, PREFIX, poolclass=NullPool)
        return engine.pool, engine.connect()


def _open(engine: Engine) -> tuple[Pool | None, Connection]:
    """Open a connection of an engine; also return the pool created for it."""
    # The sessions of a pool belong to the loop that opened them. StaticPool has only one, which
    # may be an in-memory database.
    if not engine.dialect.is_async or isinstance(engine.pool, StaticPool):
        return None, engine.connect()
    pool: Any = engine.pool.recreate()  # with the engine's arguments and listeners
    return pool, Connection(engine, connection=pool.connect())


def target_of(config: Config, database: Any) -> Target:
    """Return the database to use: that of ``config.attributes``, the argument, or Alembic's.

    :param database: the argument of `run`.
    :raises CommandError: there is none, or it cannot be used.
    """
    given = config.attributes.get("connection") or database
    if isinstance(given, Connection) and isinstance(database, Connection):
        # An event loop in env.py cannot wait for a driver that belongs to another loop.
        given = database if given.dialect.is_async and same(database, given.engine.url) else given
    if given is None or given == "":
        return _configured(config)
    if isinstance(given, URL | str):
        return _of_url(parse(given))
    return Target(_synchronous(given))


def _of_url(url: URL, options: Mapping[str, Any] | None = None) -> Target:
    with explained(url):
        url.get_dialect()
    return Target(url, options or {})


def _synchronous(given: Any) -> Engine | Connection:
    """Return the engine below an asynchronous one.

    :raises CommandError: it is an asynchronous connection, or something else.
    """
    below = given if isinstance(given, Engine) else getattr(given, "sync_engine", None)
    if isinstance(given, Connection):
        return given
    if isinstance(below, Engine) and not hasattr(given, "sync_connection"):
        return below
    kind = type(given).__name__
    code = "run(context, engine)  # or its URL"
    if isinstance(below, Engine):
        code = "await connection.run_sync(lambda synchronous: run(context, synchronous))"
        code += "  # in env.py\n    config.attributes['connection'] = synchronous"
        code += "  # or: in a function that run_sync() calls, and then alembic.command\n    "
        code += "run(context, engine)  # or: the engine itself, or its URL"
    raise CommandError(
        f"run() cannot use an {kind}: nothing was run\n"
        f"  found   {kind}\n"
        "  wanted  a URL; an engine, asynchronous or not; or a synchronous connection\n"
        "Stopped, because it cannot wait for what another event loop has opened.\n"
        f"What to do next:\n    {code}"
    )


# The settings in alembic.ini


def _configured(config: Config) -> Target:
    """Return the database that Alembic's own ``env.py`` would use, with its options."""
    try:
        section = {**config.get_section(config.config_ini_section, {})}
    except InterpolationError as error:
        raise CommandError(
            f"{_place(config)}: {error.option} cannot be read: nothing was run\n"
            "Stopped, because in that file a % begins the name of another option.\n"
            "What to do next, there:\n"
            "    each % as %%, in passwords too: %40, which is @ in a URL, becomes %%40"
        ) from None  # its text may contain a password
    names = {*section, *config.toml_alembic_config}
    found = {n: config.get_alembic_option(n) for n in names if n.startswith(PREFIX)}
    given = str(found.pop(f"{PREFIX}url", None) or "")
    if not given or given == _OF_THE_TEMPLATE:
        raise _unnamed(config, given)
    return _of_url(parse(given), found)


def _place(config: Config) -> str:
    """Return the place where Alembic would have looked."""
    path = config.config_file_name or config.toml_file_name
    section = config.config_ini_section
    return f"{Path(path).name if path else 'alembic.ini'}, [{section}]"


def _unnamed(config: Config, found: str) -> CommandError:
    says = f"sqlalchemy.url = {found}, which Alembic's template has" if found else "no such option"
    place = _place(config)
    return CommandError(
        "no database is named: nothing was run\n"
        f"  found   {says}; and run(context) in env.py\n"
        f"  wanted  sqlalchemy.url in {place}; or run(context, url)\n"
        "What to do next, in that file:\n"
        "    sqlalchemy.url = postgresql+psycopg://user:password@host/name\n"
        "or in env.py:\n"
        '    run(context, os.environ["DATABASE_URL"])'
    )
