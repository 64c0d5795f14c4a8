"""Determine whether a server would copy a table for a statement, using an empty twin of the table.

Rules of thumb do not work: with utf8mb4, 31 characters become 100 instantly, 32 do not.
https://mariadb.com/kb/en/innodb-online-ddl-overview/
https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.driver import ask, run
from alembic_toolkit.sql.quoting import identifier, literal
from alembic_toolkit.sql.tokens import code_tokens, is_noise, tokenize, unquoted

NAME = r"((?:[\w$]+|`(?:[^`]|``)+`)(?:\.(?:[\w$]+|`(?:[^`]|``)+`))?)"
_ALTER = re.compile(
    rf"\s*ALTER\s+(?:ONLINE\s+|IGNORE\s+)*TABLE\s+(?:IF\s+EXISTS\s+)?{NAME}\s+(.*)", re.I | re.S
)
_INDEX = re.compile(
    rf"\s*(CREATE\s+(?:UNIQUE\s+|FULLTEXT\s+|SPATIAL\s+)?INDEX\s+.*?\s+ON\s+){NAME}(\s*\(.*)",
    re.I | re.S,
)
_RENAMES = re.compile(r"RENAME\s+(?!COLUMN|INDEX|KEY)", re.I)
_PARTITION = re.compile(r"[A-Z]+\s+PARTITION\b", re.I)
_ASKS = re.compile(r",?\s*\b(?:ALGORITHM|LOCK)\s*=?\s*(?:DEFAULT|INSTANT|NOCOPY|INPLACE|COPY|NONE"
                   r"|SHARED|EXCLUSIVE)\b", re.I)  # fmt: skip
_ASKED = re.compile(r"\b(ALGORITHM|LOCK)\s*=?\s*(DEFAULT|INSTANT|NOCOPY|INPLACE|COPY|NONE|SHARED"
                    r"|EXCLUSIVE)\b", re.I)  # fmt: skip
_ALIKE = {"NOCOPY": ("INSTANT", "INPLACE"), "INPLACE": ("INSTANT",)}
TWIN = "_alembic_twin"
_REFUSED = (1845, 1846)  # ER_ALTER_OPERATION_NOT_SUPPORTED, and the same with a reason
_CASCADES = (
    "SELECT 1 FROM information_schema.referential_constraints WHERE constraint_schema = {schema}"
    " AND table_name = {name} AND NOT (delete_rule IN ('RESTRICT', 'NO ACTION')"
    " AND update_rule IN ('RESTRICT', 'NO ACTION')) LIMIT 1"
)
_SECONDS = 2  # to wait for a session that holds the table
_SESSION = "SELECT @@foreign_key_checks, @@sql_mode"


@dataclass(frozen=True)
class Way:
    """How MariaDB or MySQL alters a table."""

    algorithm: str
    lock: str  # what others cannot do meanwhile; empty if it takes no time

    @property
    def copies(self) -> bool:
        """Return whether all rows are copied, and nobody can write meanwhile."""
        return self.algorithm == "COPY" and self.lock != "NONE"

    def __str__(self) -> str:
        """Return it in the syntax of a statement."""
        lock = f", LOCK={self.lock}" if self.lock else ""
        return f"ALGORITHM={self.algorithm}{lock}"


# The best first. MariaDB 11.2 copies without a lock.
WAYS = (
    Way("INSTANT", ""),
    Way("INPLACE", "NONE"),
    Way("INPLACE", "SHARED"),
    Way("COPY", "NONE"),
    Way("COPY", "SHARED"),
)


def altered(sql: str) -> tuple[str, Callable[[str, Way], str] | None]:
    """Return the table that a statement alters, and what writes it for another table and way.

    :return: an empty name for any other statement; no function if there is nothing to ask.
    """
    if match := _ALTER.match(sql):
        name, rest = match[1], _ASKS.sub("", _bare(match[2])).strip()
        if _RENAMES.match(rest):
            return name, None
        if _PARTITION.match(rest):  # which nothing may follow
            return name, lambda twin, way: f"ALTER TABLE {twin} {way}, {rest}"
        return name, lambda twin, way: f"ALTER TABLE {twin} {rest}, {way}"
    if match := _INDEX.match(sql):
        before, name, rest = match[1], match[2], _ASKS.sub("", _bare(match[3])).strip()
        return name, lambda twin, way: f"{before}{twin} {rest} {str(way).replace(',', '')}"
    return "", None


def plain(name: str) -> str:
    """Return a name without quotes and schema."""
    return unquoted(code_tokens(name)[-1]) if name else ""


def schema_of(name: str) -> str:
    """Return the schema of a name, without quotes; empty if it has none."""
    return unquoted(code_tokens(name)[0]) if len(code_tokens(name)) > 1 else ""


def way_of(connection: Connection, aside: Connection, sql: str) -> Way | None:
    """Return how the server would run a statement that alters a table; None if unknown.

    :param connection: the one that will run it, whose settings matter.
    :param aside: another one of the same database, in which a table is made and dropped; its
     settings are changed.
    """
    name, written = altered(sql)
    if not name or written is None:
        return None
    schema = schema_of(name)
    twin = f"{identifier('`', schema)}.{TWIN}" if schema else TWIN
    [(checks, mode)] = run(connection, _SESSION)
    try:
        settings = f"foreign_key_checks = {int(checks)}, sql_mode = '{mode}'"
        ask(aside, f"SET SESSION lock_wait_timeout = {_SECONDS}, {settings}")
        ask(aside, f"DROP TABLE IF EXISTS {twin}")
        ask(aside, f"CREATE TABLE {twin} LIKE {name}")
        ways = _allowed(sql)
        way = next((way for way in ways if _is_taken(aside, written(twin, way))), None)
        # The twin has no foreign keys, and those that change rows prevent an online copy.
        return WAYS[-1] if way == WAYS[-2] and _cascades(aside, schema, name) else way
    except DBAPIError:
        return None
    finally:
        with suppress(DBAPIError):
            ask(aside, f"DROP TABLE IF EXISTS {twin}")


def asked(sql: str) -> dict[str, str]:
    """Return the options that a statement itself specifies: ``{"LOCK": "SHARED"}``."""
    found = {what.upper(): how.upper() for what, how in _ASKED.findall(sql)}
    return {what: how for what, how in found.items() if how != "DEFAULT"}


def _allowed(sql: str) -> list[Way]:
    """Return the ways that a statement allows the server to choose, best first."""
    wanted = asked(sql)
    algorithm, lock = wanted.get("ALGORITHM"), wanted.get("LOCK")
    alike = {algorithm, *_ALIKE.get(algorithm or "", ())}
    ways = [way for way in WAYS if algorithm is None or way.algorithm in alike]
    if lock in (None, "NONE"):
        return ways
    stricter = {"SHARED": ("", "NONE"), "EXCLUSIVE": ("", "NONE", "SHARED")}[lock]
    return list(dict.fromkeys(replace(w, lock=lock) if w.lock in stricter else w
                              for w in ways if w.algorithm != "INSTANT"))  # fmt: skip


def _cascades(aside: Connection, schema: str, name: str) -> bool:
    place = literal(schema) if schema else "DATABASE()"
    return bool(ask(aside, _CASCADES.format(schema=place, name=literal(plain(name)))))


def _is_taken(aside: Connection, sql: str) -> bool:
    """Return whether the server accepts a statement in this way.

    :raises DBAPIError: it cannot run it at all.
    """
    try:
        ask(aside, sql)
    except DBAPIError as error:
        if error.orig is not None and error.orig.args and error.orig.args[0] in _REFUSED:
            return False
        raise
    return True


_CREATES = re.compile(
    rf"\s*CREATE\s+(UNIQUE\s+|FULLTEXT\s+|SPATIAL\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?{NAME}"
    rf"\s+ON\s+{NAME}\s*(\(.*)",
    re.I | re.S,
)


def altered_parts(sql: str) -> tuple[str, str]:
    """Return the table that a statement alters, and what ``ALTER TABLE`` says of it."""
    if match := _CREATES.match(sql):
        return match[3], f"ADD {(match[1] or '').upper()}INDEX {match[2]} {_bare(match[4])}"
    match = _ALTER.match(sql)
    return (match[1], _bare(match[2])) if match else ("", "")


def _bare(text: str) -> str:
    """Return a statement on one line, without comments; strings are not changed."""
    tokens = [" " if is_noise(token) else token for token in tokenize(text)]
    blanks = [n for n, token in enumerate(tokens) if token == " " and tokens[n - 1] == " "]
    kept = [token for n, token in enumerate(tokens) if n not in {*blanks}]
    return "".join(kept).strip(" ;")
