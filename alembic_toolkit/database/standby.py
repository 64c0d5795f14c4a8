"""Standbys and replicas, which accept no changes; and which server is their primary."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database.address import shown
from alembic_toolkit.database.driver import fetch, run
from alembic_toolkit.database.servers import StandbyFacts, server_of
from alembic_toolkit.messages import printable


@dataclass(frozen=True)
class Standby:
    """Facts about a server that accepts no changes."""

    found: str  # a standby, which follows 10.0.0.1:5432
    way: str  # what to do, as a comment in code


def standby(connection: Connection) -> Standby | None:
    """Return the facts about the server if it accepts no changes, else None.

    Call it before anything is written: a failed transaction is rolled back.
    """
    facts = server_of(connection.dialect.name).standby
    if facts is None:
        return None
    with suppress(connection.dialect.loaded_dbapi.Error):
        return _described(connection, facts)
    with suppress(connection.dialect.loaded_dbapi.Error):
        run(connection, "ROLLBACK")
        return _described(connection, facts)
    return None


def _described(connection: Connection, facts: StandbyFacts) -> Standby | None:
    if not fetch(connection, facts.is_one)[0][0]:
        return None
    for query in facts.primary:
        with suppress(connection.dialect.loaded_dbapi.Error):  # no right, or unknown syntax
            for row in fetch(connection, query):
                host, port = (row[place] for place in facts.at)
                return _following(connection, host, port)
    return Standby(
        f"a server that takes no changes: {facts.sign}",
        "# run the command on the server that takes changes; or have its operator change that",
    )


def _following(connection: Connection, host: str | None, port: str | int | None) -> Standby:
    if not host:
        return Standby(
            "a standby; this user may not see which server it follows",
            "# run the command on its primary, which the operator of the database knows",
        )
    there = connection.engine.url.set(host=str(host), port=int(port) if port else None)
    return Standby(
        printable(f"a standby, which follows {host}{f':{port}' if port else ''}"),
        f"# run the command on its primary: {shown(there)}",
    )


def refused_standby(connection: Connection) -> Standby | None:
    """Return the facts about the server if this user cannot change anything on it.

    A user with more rights may write to a replica of MariaDB or MySQL. Call it outside a
    transaction; it leaves none open.
    """
    facts = server_of(connection.dialect.name).standby
    found = standby(connection)
    try:
        if facts is None or found is None or not facts.probe:
            return found
        run(connection, "ROLLBACK")
        run(connection, facts.probe)
        return None
    except connection.dialect.loaded_dbapi.Error:
        return found
    finally:
        connection.rollback()


def refuse_standby(
    connection: Connection, why: str = "every revision would fail there", way: str = ""
) -> None:
    """Refuse a server on which this user cannot change anything: a standby or a replica.

    Call it outside a transaction; it leaves none open.

    :param why: what the command would attempt there in vain.
    :param way: what to do, if it is not to run the command on the primary.
    :raises CommandError: it is one; the message names the primary if it is known.
    """
    found = refused_standby(connection)
    if found is not None:
        raise CommandError(
            f"{shown(connection.engine.url)} takes no changes: nothing was run\n"
            f"  found   {found.found}\n"
            "  wanted  a server that can be changed\n"
            f"Stopped, because {why}.\n"
            f"What to do next:\n    {way or found.way}"
        )
