"""The object that ``env.py`` gets as its database: both a connection and an engine.

Alembic's cookbook has ``config.attributes["connection"]`` hold a connection, pytest-alembic an
engine, and asynchronous templates await what they do with it.

https://alembic.sqlalchemy.org/en/latest/cookbook.html#connection-sharing
https://pytest-alembic.readthedocs.io/en/latest/setup.html
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from importlib import import_module
from typing import Any

from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine
from sqlalchemy.engine import RootTransaction
from sqlalchemy.exc import NoSuchModuleError

from alembic_toolkit.database.address import masked, refuse_unreadable, synchronous
from alembic_toolkit.database.errors import message


class Handed(Connection):
    """A connection that also has the methods of an engine, each of them awaitable."""

    def connect(self) -> Handed:
        """Open another connection with the same options, as an engine does."""
        opened = Handed(self.engine)
        if options := self.get_execution_options():
            opened.execution_options(**options)
        return opened

    def begin(self) -> RootTransaction:
        """Begin a transaction, ``with`` which this connection is given, as by an engine."""
        before = super().begin()
        self._transaction = begun = _Begun.of(before)
        return begun

    @property
    def sync_engine(self) -> Engine:
        """Return what an asynchronous engine, and its connections, call so."""
        return self.engine

    def dispose(self, close: bool = True) -> _Awaited:
        """Do nothing: there is no pool."""
        return _Awaited(None)

    def __getattr__(self, name: str) -> Any:
        """Return attributes that only an engine has: url, pool, name, ..."""
        if name.startswith("_") or name == "engine":
            raise AttributeError(name)
        return getattr(self.engine, name)

    async def run_sync(self, function: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """Call a function with this connection."""
        return function(self, *given, **more)

    def __await__(self) -> Generator[Any, None, _Async]:
        """Return the connection of ``await engine.connect()``."""
        return _Awaited(_Async(self)).__await__()

    async def __aenter__(self) -> _Async:
        return _Async(self)

    async def __aexit__(self, *error: Any) -> None:
        self.close()


class _Begun(RootTransaction):
    """A transaction that gives its connection ``with ... as``."""

    __slots__ = ()

    @classmethod
    def of(cls, begun: RootTransaction) -> _Begun:
        begun.__class__ = cls  # it has begun already, and the connection knows it
        assert isinstance(begun, cls)
        return begun

    def __enter__(self) -> Any:
        super().__enter__()
        return self.connection

    async def __aenter__(self) -> _Async:
        return _Async(self.__enter__())

    async def __aexit__(self, *error: Any) -> None:
        self.__exit__(*error)

    def __await__(self) -> Generator[Any, None, _Async]:
        return _Awaited(_Async(self)).__await__()


class _Async:
    """A connection, or a transaction, whose methods are awaited."""

    def __init__(self, given: Any) -> None:
        self._given = given

    @property
    def sync_connection(self) -> Any:
        return self._given

    def get_raw_connection(self) -> _Awaited:
        return _Awaited(self._given.connection)

    def aclose(self) -> _Awaited:
        return _Awaited(self._given.close())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._given, name)
        if name == "run_sync" or not callable(found):
            return found

        def called(*arguments: Any, **options: Any) -> _Awaited:
            result = found(*arguments, **options)
            return _Awaited(_Async(result) if isinstance(result, Connection) else result)

        return called

    async def __aenter__(self) -> _Async:
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._given.close()


class _Awaited:
    """A finished result that may be awaited; a context manager remains one."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result
        yield

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    async def __aenter__(self) -> Any:
        entered = self._result.__enter__()
        return _Async(entered) if isinstance(entered, Connection) else entered

    async def __aexit__(self, *error: Any) -> None:
        self._result.__exit__(*error)


# With which driver


def lend(url: URL, use: Callable[[Handed], Any]) -> Any:
    """Open a connection with the project's own driver, and return a function's result for it.

    :raises CommandError: the driver cannot be used, or the database not be reached.
    """

    def lent() -> Any:
        try:
            connection = Handed(_engine(url))
        except CommandError:
            raise
        except (ImportError, NoSuchModuleError) as error:
            raise CommandError(f"its driver cannot be used: {error}") from error
        except Exception as error:  # of an option that a driver does not know, a TypeError
            refuse_unreadable(url, error)
            reason = message(error).partition(" Is the server running")[0]
            raise CommandError(f"cannot be reached: {masked(url, reason)}") from error
        with connection:
            return use(connection)

    return _driven(lent) if is_asynchronous(url) else lent()


def another_driver(url: URL) -> str:
    """Return why a driver other than the URL's is used; empty if it is not."""
    try:
        _own_engine(url)
    except (ImportError, NoSuchModuleError) as error:
        return f"{synchronous(url).get_driver_name()} is used, because {error}"
    return ""


def is_asynchronous(url: URL) -> bool:
    """Return whether the driver that a URL names needs an event loop."""
    return synchronous(url).get_driver_name() != url.get_driver_name()


def _engine(url: URL) -> Engine:
    try:
        return _own_engine(url)
    except (ImportError, NoSuchModuleError):
        return create_engine(synchronous(url), poolclass=NullPool)


def _own_engine(url: URL) -> Engine:
    if not is_asynchronous(url):
        return create_engine(url, poolclass=NullPool)
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url, poolclass=NullPool).sync_engine


def _driven(function: Callable[[], Any]) -> Any:
    """Call a function that may use an asynchronous driver; return what it returns.

    The event loop runs only while that driver is waited for: meanwhile ``env.py`` may run its own.
    """
    try:
        greenlet: Any = import_module("greenlet")
    except ImportError:  # and so no asynchronous driver either
        return function()
    # The name is what SQLAlchemy looks for before it hands over what is to be awaited.
    kind = type("Driven", (greenlet.greenlet,), {"__sqlalchemy_greenlet_provider__": True})
    caller, loop = kind(function, greenlet.getcurrent()), asyncio.new_event_loop()
    try:
        found = caller.switch()
        while not caller.dead:
            try:
                found = _wait(loop, found)
            except BaseException:
                found = caller.throw(*sys.exc_info())
            else:
                found = caller.switch(found)
        return found
    finally:
        loop.close()


def _wait(loop: asyncio.AbstractEventLoop, awaited: Any) -> Any:
    """Wait for a driver; within a function that `asyncio.run` of ``env.py`` has called, too."""
    if asyncio.isfuture(awaited):  # it was made for the loop that asyncio knows here
        loop = awaited.get_loop()
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return loop.run_until_complete(awaited)
    finally:
        asyncio._set_running_loop(outer)
