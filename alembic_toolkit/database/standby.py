"""A server that takes no changes, a standby or a replica; and which server is its primary."""

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
    """What is known of a server that takes no changes."""

    found: str  # a standby, which follows 10.0.0.1:5432
    way: str  # what to do, as a comment in code


def standby(connection: Connection) -> Standby | None:
    """Return what is known of the server where it takes no changes, else None.

    Ask when nothing has been written: a transaction that has failed is rolled back.
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
        with suppress(connection.dialect.loaded_dbapi.Error):  # no right, or no such word
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
    """Return what is known of the server where this user can change nothing on it.

    A user with more rights may write to a replica of MariaDB or MySQL. Call it outside of a
    transaction; it leaves none.
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
    """Refuse a server on which this user can change nothing: a standby, or a replica.

    Call it outside of a transaction; it leaves none.

    :param why: what the command would do there in vain.
    :param way: what to do, where it is not to run the command on the primary.
    :raises CommandError: naming the primary where it is known.
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
