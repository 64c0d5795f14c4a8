"""Skipped verbs of a revision, collected on the connection for a proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

_KEY = "alembic_toolkit: skips"  # the key in Connection.info


@dataclass(frozen=True)
class Skip:
    """A verb that changed nothing, and why."""

    call: str  # abbreviated to what identifies its object
    kind: str  # "column", "index", "constraint", ...
    name: str
    table: str  # as "schema.table" if it names a schema
    reason: str
    is_missing: bool = False  # the object to drop does not exist, unexpectedly
    is_of_server: bool = False  # on another server it may act


def note(connection: Connection, skip: Skip) -> None:
    """Keep a skip, if there is a listener."""
    heard = connection.info.get(_KEY)
    if heard is not None:
        heard.append(skip)


@contextmanager
def heard(connection: Connection) -> Iterator[list[Skip]]:
    """Return a list that collects the skips on a connection during the block."""
    info = connection.info
    info[_KEY] = found = list[Skip]()
    try:
        yield found
    finally:
        info.pop(_KEY, None)
