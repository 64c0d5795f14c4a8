"""What the verbs of a revision left undone, for whoever proves it: kept on their connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

_KEY = "alembic_toolkit: skips"  # under which they are in Connection.info


@dataclass(frozen=True)
class Skip:
    """A verb that changed nothing, and why."""

    call: str  # as far as it tells what it is about
    kind: str  # "column", "index", "constraint", ...
    name: str
    table: str  # as "schema.table" where it names a schema
    reason: str
    is_missing: bool = False  # it was to drop what is not there, and the author did not expect that
    is_of_server: bool = False  # on another server it may do something


def note(connection: Connection, skip: Skip) -> None:
    """Keep what a verb left undone, if somebody listens."""
    heard = connection.info.get(_KEY)
    if heard is not None:
        heard.append(skip)


@contextmanager
def heard(connection: Connection) -> Iterator[list[Skip]]:
    """Give the list of what verbs leave undone on a connection meanwhile."""
    info = connection.info
    info[_KEY] = found = list[Skip]()
    try:
        yield found
    finally:
        info.pop(_KEY, None)
