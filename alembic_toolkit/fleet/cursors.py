"""Make the drivers' cursors inspect each statement.

SQLAlchemy's events show only the statements that it sends. This also covers statements that an
``env.py`` sends through ``raw_connection()`` or ``connection.connection.cursor()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import Any

Look = Callable[[str], None]
_ours = [0]  # how many of our own statements are running
_SAME_LAYOUT: dict[str, Any] = {"__slots__": ()}  # or an object could not change its class
_PLACES = ("cursor_factory", "cursorclass")  # psycopg and psycopg2; PyMySQL and mysqlclient


def guard(connection: Any, look: Look) -> None:
    """Inspect each statement of a driver's connection before it is sent.

    :param look: raises an error for a statement that must not run.
    """
    places = [place for place in _PLACES if hasattr(connection, place)]
    for place in places:
        with closing(connection.cursor()) as one:
            made: Any = type(one)
            setattr(connection, place, _guarded(made, look))
    if not places:  # SQLAlchemy's adapter for an asynchronous driver; pg8000
        with suppress(TypeError):  # a driver in C
            before: Any = type(connection)
            connection.__class__ = _connecting(before, look)


@contextmanager
def unguarded() -> Iterator[None]:
    """Inspect nothing in the block, which runs our own statements."""
    _ours[0] += 1
    try:
        yield
    finally:
        _ours[0] -= 1


@cache
def _guarded(cursor: Any, look: Look) -> type[Any]:
    """Return such cursors that inspect statements first."""

    def looking(name: str) -> Callable[..., Any]:
        send = getattr(cursor, name)

        def sent(self: Any, statement: Any, *more: Any, **options: Any) -> Any:
            if not _ours[0]:
                look(_text(statement, self))
            return send(self, statement, *more, **options)

        return sent

    names = [name for name in ("execute", "executemany", "stream", "copy") if hasattr(cursor, name)]
    return type(cursor.__name__, (cursor,), _SAME_LAYOUT | {n: looking(n) for n in names})


@cache
def _connecting(connection: Any, look: Look) -> type[Any]:
    """Return such connections whose cursors inspect statements first."""

    def cursor(self: Any, *given: Any, **options: Any) -> Any:
        made = connection.cursor(self, *given, **options)
        before: Any = type(made)
        made.__class__ = _guarded(before, look)
        return made

    return type(connection.__name__, (connection,), _SAME_LAYOUT | {"cursor": cursor})


def _text(statement: Any, cursor: Any) -> str:
    if isinstance(statement, bytes):
        return statement.decode(errors="replace")
    composed = getattr(statement, "as_string", None)  # of psycopg.sql
    return str(composed(cursor) if composed else statement)
