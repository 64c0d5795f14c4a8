"""Refuse, before it starts, a statement for which the server would copy a large table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, event

from alembic_toolkit.deployer.servers import server_of
from alembic_toolkit.messages import at, four_parts, place
from alembic_toolkit.sql.quoting import brief, unescaped_percent
from alembic_toolkit.sql.tokens import from_first_word


@contextmanager
def refused_over(connection: Connection, limit: int) -> Iterator[None]:
    """In the block, refuse statements that copy a table of more rows; 0: no limit."""

    def look(_: Connection, __: Any, sql: str, *more: Any) -> None:
        refuse(connection, sql, limit)

    if not limit:
        yield
        return
    event.listen(connection, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", look)


def refuse(connection: Connection, sql: str, limit: int) -> None:
    """Refuse a statement, if the server would copy a table of more rows for it.

    :raises CommandError: it would; the statement was not run.
    """
    server, sql = server_of(connection), from_first_word(sql)
    name = server.altered(sql)
    rows = server.rows(connection, name) if name else 0
    how = server.copies(connection, sql, name) if rows > limit else ""
    if not how:
        return
    way = ["alembic -x refuse_rewrite_over=0 upgrade head  # when nobody needs the table"]
    if commanded := server.online(connection, unescaped_percent(sql, connection.dialect)):
        way = [
            *commanded.split("\n"),
            "alembic upgrade head  # a verb then says: already there",
            *way,
        ]
    else:
        way = ["alembic-toolkit locks  # says what to write instead", *way]
    raise CommandError(
        four_parts(
            at(place(), f"{brief(sql, 100)}: refused, because the server would copy {name}."),
            (f"about {rows:,} rows in {name}", f"a statement for which {how}"),
            f"Stopped before it began, because of refuse_rewrite_over={limit:,}:"
            " all rows would be copied; the more rows, the longer it takes.",
            *way,
        )
    )
