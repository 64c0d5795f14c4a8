"""The journal: a table beside the version table that records what ran, when, by whom, with results.

A row is written, and committed, before a revision begins; its end is written in the transaction
that also updates the version table, so that the two cannot differ. A row without an end belongs to
a deployer that is still running or was killed: the next one, which holds the deployers' lock, marks
it as killed.
"""

from __future__ import annotations

import ast
import getpass
import hashlib
import logging
import os
import platform
import re
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.errors import (
    drivers_error,
    is_gone,
    is_lock_error,
    is_read_only,
    message,
    quotes,
    statement,
    values,
    words,
)
from alembic_toolkit.database.same import Same
from alembic_toolkit.database.schemas import schema_beside
from alembic_toolkit.installed import OURS, named
from alembic_toolkit.messages import printable
from alembic_toolkit.sql.masking import masked, masked_words

log = logging.getLogger("alembic_toolkit")

RUNNING, DONE, FAILED, KILLED = "running", "done", "failed", "killed"
MASKED, FULL = "masked", "full"  # how statements in errors are stored
UP, DOWN, STAMP, ACCEPT, ADOPTED = "up", "down", "stamp", "accept", "adopted"


def name_of(version_table: str = "alembic_version") -> str:
    """Return the journal's name, from that of the version table; both are in the same schema."""
    return f"{version_table}_history"


@dataclass(frozen=True)
class Entry:
    """One run of one revision. Times are in UTC, without a time zone."""

    id: int
    revision: str
    direction: str
    started: datetime
    finished: datetime | None
    outcome: str
    error: str | None
    sha256: str | None
    who: str
    versions: str
    retries: int


def table(version_table: str = "alembic_version", schema: str | None = None) -> sa.Table:
    """Return the journal as a table."""
    moment = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
    return sa.Table(
        name_of(version_table),
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("revision", sa.String(255), nullable=False),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("started", moment, nullable=False),
        sa.Column("finished", moment),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("sha256", sa.String(64)),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("versions", sa.String(255), nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        schema=schema,
    )


# Reading it


def last(
    connection: Connection, version_table: str = "alembic_version", schema: str | None = None
) -> Entry | None:
    """Return the newest entry; None if there is none, or no journal."""
    journal = table(version_table, schema_beside(connection, version_table, schema))
    if not inspect(connection).has_table(journal.name, journal.schema):
        return None
    row = connection.execute(sa.select(journal).order_by(journal.c.id.desc()).limit(1)).first()
    return None if row is None else Entry(*row)


def ran(
    connection: Connection, version_table: str = "alembic_version", schema: str | None = None
) -> tuple[str, ...]:
    """Return the revisions that have run, or were found, and have not been downgraded since.

    A stamp proves nothing about the schema: neither it nor any entry before it counts.
    """
    journal = table(version_table, schema_beside(connection, version_table, schema))
    if not inspect(connection).has_table(journal.name, journal.schema):
        return ()
    done = sa.select(journal.c.revision, journal.c.direction)
    done = done.where(Same(journal.c.outcome, DONE)).order_by(journal.c.id)
    found = dict[str, None]()
    for revision, direction in connection.execute(done):
        if direction in (UP, ADOPTED):
            found |= dict.fromkeys(revision.split(", "))
        elif direction == DOWN:
            found.pop(revision, None)
        elif direction != ACCEPT:
            found.clear()
    return tuple(found)


def entries(
    connection: Connection, version_table: str = "alembic_version", schema: str | None = None
) -> list[Entry] | None:
    """Return all entries, newest last; None if there is no journal."""
    journal = table(version_table, schema_beside(connection, version_table, schema))
    if not inspect(connection).has_table(journal.name, journal.schema):
        return None
    return [Entry(*row) for row in connection.execute(sa.select(journal).order_by(journal.c.id))]


def edited(
    connection: Connection,
    directory: ScriptDirectory,
    version_table: str = "alembic_version",
    schema: str | None = None,
    replaced: Collection[str] = (),
) -> list[str]:
    """Return the applied revisions whose files were changed or deleted; oldest first.

    Stamped revisions are not judged, because nobody knows what was applied.

    :param replaced: the revisions that a root replaces, and whose files may be deleted.
    """
    journal = table(version_table, schema_beside(connection, version_table, schema))
    if not inspect(connection).has_table(journal.name, journal.schema):
        return []
    columns = journal.c
    ran = sa.select(columns.revision, columns.direction, columns.sha256)
    ran = ran.where(Same(columns.outcome, DONE), ~Same(columns.direction, STAMP))
    ran = ran.where(~Same(columns.direction, ADOPTED))
    ran = ran.order_by(columns.id)
    newest = {row.revision: (row.direction, row.sha256) for row in connection.execute(ran)}
    newest = {id_: (UP if way == ACCEPT else way, hash_) for id_, (way, hash_) in newest.items()}
    files = {script.revision: script.path for script in directory.walk_revisions()}
    return [
        revision
        for revision, (direction, before) in newest.items()
        if direction == UP and before is not None and revision not in replaced
        if revision not in files or before not in hashes(files[revision])
    ]


def accept(
    connection: Connection,
    directory: ScriptDirectory,
    revision: str,
    version_table: str = "alembic_version",
    schema: str | None = None,
) -> None:
    """Record that a revision's file, as it is now, is what was applied; commit it."""
    files = {script.revision: script.path for script in directory.walk_revisions()}
    values = _at_once(revision, ACCEPT)
    values |= {"sha256": sha256(files[revision]) if revision in files else None}
    connection.execute(table(version_table, schema).insert().values(values))
    connection.commit()


def prepare(
    connection: Connection, version_table: str = "alembic_version", schema: str | None = None
) -> None:
    """Create the journal if it does not exist; a later commit keeps it."""
    table(version_table, schema_beside(connection, version_table, schema)).create(
        connection, checkfirst=True
    )


def adopted(
    connection: Connection,
    revisions: str,
    version_table: str = "alembic_version",
    schema: str | None = None,
) -> None:
    """Record that a database was found to be at these revisions, and marked; commit it."""
    journal = table(version_table, schema_beside(connection, version_table, schema))
    connection.execute(journal.insert().values(_at_once(revisions[:255], ADOPTED)))
    connection.commit()


def _at_once(revision: str, direction: str) -> dict[str, Any]:
    """Return the row for an action that ended when it began."""
    values: dict[str, Any] = {"revision": revision, "direction": direction, "outcome": DONE}
    values |= {"started": _now(), "finished": _now(), "who": who(), "versions": _versions()}
    return values | {"retries": 0}


def sha256(path: str | Path) -> str | None:
    """Return the hash of the executable part of a revision's file; None if it has no file.

    That is its code without comments, docstrings and formatting.
    """
    try:
        source = Path(path).read_bytes()
    except OSError:
        return None
    try:
        code = _code(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):  # for example a compiled file
        return _of_bytes(source)
    return hashlib.sha256(code.encode("utf-8", "backslashreplace")).hexdigest()


def hashes(path: str | Path) -> list[str | None]:
    """Return the hash of a file, and the hash of its full text, which older journals have."""
    try:
        return [sha256(path), _of_bytes(Path(path).read_bytes())]
    except OSError:
        return [None]


def _of_bytes(source: bytes) -> str:
    return hashlib.sha256(source.replace(b"\r\n", b"\n")).hexdigest()


_UNSEEN = {"ctx", "kind", "type_comment", "type_ignores"}


def _code(node: Any) -> str:
    """Return a syntax tree as text, equal on every version of Python, unlike `ast.dump`.

    Later versions have more fields, which are empty for code that earlier ones can read.
    """
    if isinstance(node, list):
        return f"[{','.join(map(_code, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    seen = (
        f"{k}={_code(v)}" for k, v in fields.items() if k not in _UNSEEN and v not in (None, [])
    )
    return f"{type(node).__name__}({','.join(seen)})"


_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


# Writing it


class Journal:
    """Record what one command runs."""

    def __init__(
        self, migration: MigrationContext, connection: Connection, errors: str = MASKED
    ) -> None:
        """Set where to write; see `open`.

        :param errors: whether the statements of failed revisions are kept with their literals.
        """
        self.connection, self.errors = connection, errors
        version_table, schema = migration.version_table, migration.version_table_schema
        self.schema = schema_beside(connection, version_table, schema)
        self.table = table(version_table, self.schema)
        self.is_open = False
        self.row: int | None = None

    def open(self, *, alone: bool, expected: bool) -> None:
        """Create the table if it does not exist; continue without it if that is not allowed.

        :param alone: no other deployer is running, so an entry without an end was killed.
        :param expected: revisions ran before, so the table existed or is new to the project.
        """
        with self._or_without():
            if not self._exists():
                self.table.create(self.connection)
                if expected:
                    missing = "the journal %s was missing, and is created again"
                    log.warning(missing, self.table.fullname)
            elif alone:
                unfinished = Same(self.table.c.outcome, RUNNING)
                ended = self.table.update().where(unfinished).values(outcome=KILLED)
                self.connection.execute(ended)
            self.connection.commit()
            self.is_open = True

    def _exists(self) -> bool:
        return inspect(self.connection).has_table(self.table.name, self.schema)

    def begin(self, step: RevisionStep | StampStep) -> None:
        """Record that a step begins, and commit it; once, however often it is retried."""
        if self.is_open and self.row is None:
            with self._or_without():
                values = described(step) | {"started": _now(), "outcome": RUNNING, "retries": 0}
                written = self.connection.execute(self.table.insert().values(values))
                [self.row] = written.inserted_primary_key or [None]
                self.connection.commit()

    def was_done(self, revision: str, direction: str) -> bool:
        """Tell whether a revision was done in this direction, and not reversed since."""
        columns = self.table.c
        way = sa.select(columns.direction).where(
            Same(columns.revision, revision),
            Same(columns.outcome, DONE),
            sa.or_(Same(columns.direction, UP), Same(columns.direction, DOWN)),
        )
        newest = way.order_by(columns.id.desc()).limit(1)
        return self.connection.scalar(newest) == direction

    def end(self, outcome: str, retries: int = 0, error: str | None = None) -> None:
        """Record how it ended; the caller commits."""
        if self.row is None:
            return
        if not self._exists():
            gone = "the journal %s is gone: the next command creates it again"
            log.warning(gone, self.table.fullname)
            self.row, self.is_open = None, False
        else:
            values = {"outcome": outcome, "finished": _now(), "retries": retries, "error": error}
            ours = Same(self.table.c.id, self.row)
            self.connection.execute(self.table.update().where(ours).values(values))

    def fail(self, error: BaseException, retries: int) -> None:
        """Record that it failed, if still possible, in a separate transaction."""
        if self.row is None or self.connection.closed:
            return
        told = _told(error, self.errors == FULL, self.connection.dialect.loaded_dbapi.Error)[:4000]
        plain = told.encode("ascii", "backslashreplace").decode()  # for other character sets
        for text in (told, plain):
            try:
                self.end(FAILED, retries, text)
                self.connection.commit()
                return
            except (DBAPIError, UnicodeError) as also:
                reason = also
                if self.connection.in_transaction():
                    self.connection.rollback()
                if is_gone(also):
                    break
        log.warning("the journal does not say that it failed: %s", message(reason))

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        """Continue without a journal that cannot be written.

        Exceptions are a lock that can be waited for, and a server that accepts no changes at all.
        """
        try:
            yield
        except DBAPIError as error:
            if is_lock_error(error) or error.connection_invalidated or is_read_only(error):
                raise
            self.connection.rollback()
            self.is_open = False
            log.warning(
                "no journal is kept: %s cannot be written (%s); "
                "let its owner make it, or run with -x journal=no",
                self.table.fullname,
                message(error),
            )


def _told(error: BaseException, full: bool, drivers: type[BaseException]) -> str:
    """Return the text to store for an error, without parameters and literals of statements.

    :param full: keep the statement unchanged.
    :param drivers: the driver's exceptions, because it may have been called directly.
    """
    name, sql = type(error).__name__, statement(error)
    if not isinstance(error, drivers) and (not sql or drivers_error(error) is None):
        text = str(error) if full else _without_values(str(error), values(error))
        return "\n".join(map(printable, f"{name}: {text}".removesuffix(": ").splitlines()))
    said = words(error)
    if not full:
        said, sql = masked_words(said, values(error)), masked(sql, quotes(error))
    return f"{printable(f'{name}: {said}')}\n{printable(' '.join(sql.split()))}".rstrip()


# Words that begin an author's SQL, or a definition.
_SQL = re.compile(r"execute\(|^\s*(statement|database has|revision wants|asked|found):?\s+")


def _without_values(text: str, known: set[str]) -> str:
    """Return a message without literals of its SQL, and without the code in its advice.

    :param known: the values in the statements that caused it.
    """
    lines = []
    for line in masked_words(text.partition("\nWhat to do next:")[0], known).splitlines():
        end = found.end() if (found := _SQL.search(line)) else len(line)
        lines.append(line[:end] + masked(line[end:], "'\""))
    return "\n".join(lines)


def described(step: RevisionStep | StampStep) -> dict[str, Any]:
    """Return the facts about a step that are known before it runs."""
    common = {"who": who(), "versions": _versions()}
    if isinstance(step, RevisionStep):
        direction, id_ = UP if step.is_upgrade else DOWN, step.revision.revision
        hash_ = sha256(step.revision.path)
        return common | {"revision": id_, "direction": direction, "sha256": hash_}
    ends = ", ".join(step.to_revisions) or "base"
    return common | {"revision": ends[:255], "direction": getattr(step, "direction", STAMP)}


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def who() -> str:
    """Return the user and host that run this, as the operating system knows them."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may have no user name
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    # The name comes from the environment, and may be anything: LOGNAME=$'\\xff'.
    return printable(f"{user}@{socket.gethostname()}")[:235] + f" pid {os.getpid()}"


def _versions() -> str:
    packages = named(["alembic", "sqlalchemy", OURS])
    return f"python {platform.python_version()}{packages and f', {packages}'}"
