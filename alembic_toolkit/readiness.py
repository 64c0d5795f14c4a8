"""Tell whether a database is at a revision that an application works with: see `ready`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, column, select, table

from alembic_toolkit.database.errors import is_missing_table, message
from alembic_toolkit.database.servers import server_of

READY = "ready"
BEHIND = "behind"  # older than at_least
AHEAD = "ahead"  # newer than at_most
EMPTY = "empty"  # no version table, or nothing in it
SEVERAL = "several"  # revisions at once
UNKNOWN = "unknown"  # a revision that cannot be put in order
UNREADABLE = "unreadable"  # it does not respond, or this user may not read it


@dataclass(frozen=True)
class Ready:
    """Whether a database is ready (its truth value), and why."""

    state: str  # one of the constants above
    reason: str  # in one line, without a password
    revisions: tuple[str, ...] = ()  # those in the version table
    error: Exception | None = None  # if the database cannot be read

    def __bool__(self) -> bool:
        return self.state == READY


def ready(
    database: Engine | Connection,
    *,
    at_least: str | None = None,
    at_most: str | None = None,
    order: Sequence[str] = (),
    version_table: str = "alembic_version",
    version_table_schema: str | None = None,
) -> Ready:
    """Tell whether a database is at a revision that this application works with.

    For readiness probes and application startup: it makes one query, and needs neither ``env.py``
    nor the revision files. Problems with the database are never raised; the returned value
    describes them. With an asynchronous driver, write
    ``await connection.run_sync(ready, at_least="0012")``.

    Revisions are ordered by their numbers, such as ``0012`` and ``0014``. Other ids have no order:
    list them in ``order``, or give the same id as ``at_least`` and ``at_most``. A database is not
    ready if this cannot be decided: its id is unknown, or it is at several revisions at once.

    :param database: an engine; or a connection, whose transaction is left as it was.
    :param at_least: the oldest revision that is acceptable.
    :param at_most: the newest revision that is acceptable.
    :param order: the known revisions, oldest first, if their ids are not numbers.
    :param version_table: as in ``env.py``.
    :param version_table_schema: as in ``env.py``.
    :raises TypeError: the database is neither an engine nor a connection, or it is asynchronous.
    :raises ValueError: neither bound is given, or the two cannot be ordered.
    """
    _refuse_asynchronous(database)
    place = _order(at_least, at_most, order)
    url = database.engine.url
    shown = url.set(query={}).render_as_string(hide_password=True)
    if isinstance(database, Engine) and _is_missing_file(database):
        return Ready(EMPTY, f"{shown} is not there yet")
    versions = table(version_table, column("version_num"), schema=version_table_schema)
    try:
        with (
            database.connect()
            if isinstance(database, Engine)
            else nullcontext(database) as connection
        ):
            found = tuple(sorted(_read(connection, select(versions.c.version_num))))
    except Exception as error:  # drivers raise errors of any type
        if is_missing_table(error):
            return Ready(EMPTY, f"{shown} has no table {version_table} yet")
        return Ready(UNREADABLE, f"{shown} cannot be read: {message(error)}", (), error)
    return _judged(shown, found, at_least, at_most, place)


def _refuse_asynchronous(database: Any) -> None:
    if isinstance(database, Engine | Connection) and not database.dialect.is_async:
        return
    if isinstance(database, Connection):  # the one that run_sync passes
        return
    kind = type(database).__name__
    if "Async" in kind or getattr(getattr(database, "dialect", None), "is_async", False):
        raise TypeError(
            f"ready() is given an {kind}, whose queries must be awaited; write: "
            "async with engine.connect() as connection: "
            "await connection.run_sync(ready, at_least=...)"
        )
    raise TypeError(f"ready() takes an engine or a connection of SQLAlchemy, not {kind}")


def _read(connection: Connection, query: Any) -> list[str]:
    """Read a column, and leave the connection's transaction as it was."""
    if not connection.in_transaction():
        try:
            return [*connection.scalars(query)]
        finally:
            connection.rollback()
    with connection.begin_nested():  # an error would end the transaction of PostgreSQL
        return [*connection.scalars(query)]


def _is_missing_file(engine: Engine) -> bool:
    """Tell whether connecting would create an empty file."""
    name = engine.url.database
    if not server_of(engine.dialect.name).is_file or not name or name.startswith(":memory:"):
        return False
    is_uri = name.startswith("file:")
    return not is_uri and Path(name).parent.is_dir() and not Path(name).exists()


# The order


def _order(
    at_least: str | None, at_most: str | None, order: Sequence[str]
) -> Callable[[str, str], int | None]:
    """Return a function that compares the ages of two revisions; it returns None if unknown."""
    if at_least is None and at_most is None:
        raise ValueError("ready() is told neither at_least nor at_most")

    def place(one: str, other: str) -> int | None:
        if one == other:
            return 0
        if one in order and other in order:
            return order.index(one) - order.index(other)
        short, long = sorted((one, other), key=len)
        alike = len(short) == len(long) or not long.startswith("0")
        if not order and alike and _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other):
            return int(one) - int(other)
        return None

    for bound in (at_least, at_most):
        if at_least != at_most and bound is not None and place(bound, _next(bound, order)) is None:
            way = "name the ids in order=(...), the oldest first" if not order else "order lacks it"
            raise ValueError(f"nothing says what is older or newer than {bound!r}: {way}")
    if at_least is not None and at_most is not None and (place(at_least, at_most) or 0) > 0:
        raise ValueError(f"at_least={at_least!r} is newer than at_most={at_most!r}")
    return place


_NUMBER = re.compile(r"[0-9]{1,11}")  # Alembic's own random ids have twelve digits


def _next(bound: str, order: Sequence[str]) -> str:
    """Return an id other than this one, to see whether this one can be ordered."""
    others = [id_ for id_ in order if id_ != bound]
    return others[0] if others else "0" * len(bound)


def _judged(
    shown: str,
    found: tuple[str, ...],
    at_least: str | None,
    at_most: str | None,
    place: Callable[[str, str], int | None],
) -> Ready:
    if not found:
        return Ready(EMPTY, f"{shown} is at no revision yet")
    if len(found) > 1:
        ids = ", ".join(found)
        return Ready(SEVERAL, f"{shown} is at several revisions at once: {ids}", found)
    [at] = found
    for bound, state, sign, words in (
        (at_least, BEHIND, -1, "older than"),
        (at_most, AHEAD, 1, "newer than"),
    ):
        way = 0 if bound is None else place(at, bound)
        if way is None:
            return Ready(UNKNOWN, f"{shown} is at {at!r}, which is not known here", found)
        if way * sign > 0:
            return Ready(state, f"{shown} is at {at}, {words} {bound}", found)
    return Ready(READY, f"{shown} is at {at}", found)
