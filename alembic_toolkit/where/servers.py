"""Facts specific to each server: a ready empty database, and rights to see a schema."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database.address import shown
from alembic_toolkit.database.driver import fetch
from alembic_toolkit.database.servers import is_mariadb, server_of
from alembic_toolkit.prove.given import wheel
from alembic_toolkit.sql.pinned import pinned

DEFAULTS = ("sqlite", "postgresql")


@contextmanager
def default_scratch(dialect: str, version: str = "") -> Iterator[str | None]:
    """Return the URL of an empty database of a server; None if none is available.

    :param dialect: the server's name in SQLAlchemy, or in the file of schemas.
    :param version: the major version; empty for any.
    """
    make = _MAKE.get(server_of(dialect).label)
    if make is None:
        yield None
        return
    with make(version) as address:
        yield address


@contextmanager
def _file(_: str) -> Iterator[str | None]:
    with tempfile.TemporaryDirectory(prefix="where-") as directory:
        yield f"sqlite:///{Path(directory, 'scratch.db')}"


_MAKE: dict[str, Callable[[str], AbstractContextManager[str | None]]] = {
    "sqlite": _file,
    "postgresql": wheel,
}


# Rights


def refuse_without_rights(connection: Connection) -> None:
    """Refuse a user who cannot see the whole schema: parts of it would seem to be missing.

    :raises CommandError: the user cannot see it.
    """
    ask = _RIGHTS.get(server_of(connection.dialect.name).name)
    lack = ask(connection) if ask is not None else None
    if lack is not None:
        raise _refusal(shown(connection.engine.url), lack)


def refuse_closed(name: str, closed: Mapping[str, str], schemas: Collection[str]) -> None:
    """Refuse a user who may not use a schema of the history.

    :param closed: the result of `closed_schemas`.
    :param schemas: those that the history names.
    :raises CommandError: one of them is closed.
    """
    lacking = [schema for schema in closed if schema in schemas]
    if lacking:
        listed, ways = ", ".join(lacking), [closed[schema] for schema in lacking]
        found = f"no USAGE on the schema {listed}, which revisions name"
        raise _refusal(name, (found, f"USAGE on {listed}", "\n    ".join(ways)))


def closed_schemas(connection: Connection) -> dict[str, str]:
    """Return the schemas that the user may not use, and what gives the right."""
    if server_of(connection.dialect.name).name != "postgresql":
        return {}
    query = pinned(
        "SELECT nspname::text, format('GRANT USAGE ON SCHEMA %I TO %I;', nspname, current_user)"
        " FROM pg_namespace WHERE NOT has_schema_privilege(oid, 'USAGE') ORDER BY 1"
    )
    return dict(tuple(row) for row in fetch(connection, query))


def _refusal(name: str, lack: Lack) -> CommandError:
    found, wanted, way = lack
    return CommandError(
        f"{name}: this user cannot see the whole schema.\n"
        f"  found   {found}\n"
        f"  wanted  {wanted}\n"
        "Stopped, because what cannot be seen would be taken for missing.\n"
        f"What to do next, as one who may:\n    {way}"
    )


Lack = tuple[str, str, str]  # what was found, what is needed, and how to get it


def _postgresql_lacks(connection: Connection) -> Lack | None:
    """Tell whether the user may use the first schema of the search path."""
    query = pinned("SELECT current_schema(), current_user, current_setting('search_path')")
    [(schema, user, search_path)] = fetch(connection, query)
    if schema is not None:
        return None
    found = f"{user} may use no schema of the search_path {search_path}"
    return found, "USAGE on the schema", f'GRANT USAGE ON SCHEMA public TO "{user}";'


_NEEDED = ("SELECT", "SHOW VIEW", "TRIGGER")
_GRANT = re.compile(r"GRANT (.*) ON (?:\*|`((?:[^`]|``)*)`|(\w+))\.\* TO ", re.S)


def _mysql_lacks(connection: Connection) -> Lack | None:
    """Tell whether the user can see tables, views and triggers: others are silently omitted.

    https://dev.mysql.com/doc/refman/8.4/en/information-schema-introduction.html
    """
    [(database, user)] = fetch(connection, "SELECT DATABASE(), CURRENT_USER()")
    has = set[str]()
    for row in _mysql_grants(connection):
        match = _GRANT.match(row[0])
        if match and _covers(match[2] or match[3], str(database)):
            has |= {one.strip() for one in re.sub(r"\([^)]*\)", "", match[1]).split(",")}
    missing = [one for one in _NEEDED if one not in has]
    if not missing or has & {"ALL", "ALL PRIVILEGES"}:
        return None
    listed = ", ".join(missing)
    name, _, host = str(user).partition("@")
    way = f"GRANT {listed} ON `{database}`.* TO '{name}'@'{host}';"
    return f"{user} has no {listed} on {database}", ", ".join(_NEEDED), way


def _mysql_grants(connection: Connection) -> list[Any]:
    [(role,)] = fetch(connection, "SELECT CURRENT_ROLE()")
    if is_mariadb(connection.dialect) or not role or str(role).upper() == "NONE":
        return fetch(connection, "SHOW GRANTS")
    return fetch(connection, f"SHOW GRANTS FOR CURRENT_USER() USING {role}")


def _covers(pattern: str | None, database: str) -> bool:
    """Tell whether a grant applies to a database: % and _ in its name are wildcards."""
    if pattern is None:  # of all
        return True
    parts = re.split(r"(\\.|%|_)", pattern.replace("``", "`"))
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(part, re.escape(part.removeprefix("\\"))) for part in parts)
    return re.fullmatch(regex, database, re.I | re.S) is not None


_RIGHTS: dict[str, Callable[[Connection], Lack | None]] = {
    "postgresql": _postgresql_lacks,
    "mysql": _mysql_lacks,
}
