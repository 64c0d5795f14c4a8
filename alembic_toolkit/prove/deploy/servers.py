"""How statements are run on each server, and undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.prove.deploy import one_by_one, postgresql
from alembic_toolkit.prove.deploy.code import Use
from alembic_toolkit.prove.deploy.one_by_one import Failed

_Run = Callable[[Connection, Sequence[Use]], Failed]


@dataclass(frozen=True)
class CodeServer:
    """How one server has statements run; nothing is left of them."""

    fails: _Run = one_by_one.fails  # together, table by table
    fails_alone: _Run = one_by_one.fails_alone


def runner_of(connection: Connection) -> CodeServer:
    """Return how statements are run on the server of a connection."""
    if server_of(connection.dialect.name).error_ends_transaction:
        return CodeServer(postgresql.fails, postgresql.fails_alone)
    return CodeServer()
