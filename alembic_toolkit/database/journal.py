"""The journal: a table beside the version table that says what ran, when, by whom, how it ended.

A row is written, and committed, before a revision begins; its end is written in the transaction
that also moves the version table, so that the two cannot differ. A row that has no end is that of a
deployer who still runs, or was killed: the next one, who holds the deployers' lock, notes that.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import marks
from alembic_toolkit.database.errors import is_lock_error, message

log = logging.getLogger("alembic_toolkit")

RUNNING, DONE, FAILED, KILLED = "running", "done", "failed", "killed"
UP, DOWN, STAMP = "up", "down", "stamp"


def name_of(version_table: str = "alembic_version") -> str:
    """Return the journal's name beside a version table; it is in the same schema."""
    return f"{version_table}_history"


@dataclass(frozen=True)
class Entry:
    """One run of one revision. Times are UTC, and have no zone."""

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
    """Return the newest entry; None when there is none, or no journal."""
    journal = table(version_table, schema)
    if not inspect(connection).has_table(journal.name, schema):
        return None
    row = connection.execute(sa.select(journal).order_by(journal.c.id.desc()).limit(1)).first()
    return None if row is None else Entry(*row)


def edited(
    connection: Connection,
    directory: ScriptDirectory,
    version_table: str = "alembic_version",
    schema: str | None = None,
) -> list[str]:
    """Return the revisions that are applied and whose file changed, or gone; oldest first.

    One that was only stamped is not judged: nobody knows what was applied.
    """
    journal = table(version_table, schema)
    if not inspect(connection).has_table(journal.name, schema):
        return []
    columns = journal.c
    ran = sa.select(columns.revision, columns.direction, columns.sha256)
    ran = ran.where(columns.outcome == DONE, columns.direction != STAMP).order_by(columns.id)
    newest = {row.revision: (row.direction, row.sha256) for row in connection.execute(ran)}
    files = {script.revision: script.path for script in directory.walk_revisions()}
    return [
        revision
        for revision, (direction, before) in newest.items()
        if direction == UP and before is not None
        if revision not in files or before != sha256(files[revision])
    ]


def sha256(path: str | Path) -> str | None:
    """Return the hash of a revision's file, whatever ends its lines; None when it has none."""
    try:
        text = Path(path).read_bytes()
    except OSError:
        return None
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


# Writing it


class Journal:
    """Write down what one command runs."""

    def __init__(self, migration: MigrationContext, connection: Connection) -> None:
        """Know where to write; see `open`."""
        self.connection = connection
        self.table = table(migration.version_table, migration.version_table_schema)
        self.schema = migration.version_table_schema
        self.is_open = False
        self.row: int | None = None

    def open(self, *, alone: bool, expected: bool) -> None:
        """Make the table when it is not there; go on without it where that is not allowed.

        :param alone: no other deployer is running: what has no end was killed.
        :param expected: revisions ran before, so that it was there, or is new to the project.
        """
        with self._or_without():
            if not self._exists():
                self.table.create(self.connection)
                if expected:
                    missing = "the journal %s was missing, and is created again"
                    log.warning(missing, self.table.fullname)
            elif alone:
                unfinished = self.table.c.outcome == RUNNING
                ended = self.table.update().where(unfinished).values(outcome=KILLED)
                self.connection.execute(ended)
            self.connection.commit()
            self.is_open = True

    def _exists(self) -> bool:
        return inspect(self.connection).has_table(self.table.name, self.schema)

    def begin(self, step: RevisionStep | StampStep) -> None:
        """Write that a step begins, and commit it; once, however often it is then tried."""
        if self.is_open and self.row is None:
            with self._or_without():
                values = _described(step) | {"started": _now(), "outcome": RUNNING, "retries": 0}
                written = self.connection.execute(self.table.insert().values(values))
                [self.row] = written.inserted_primary_key or [None]
                self.connection.commit()

    def end(self, outcome: str, retries: int = 0, error: str | None = None) -> None:
        """Write how it ended; the commit is that of the caller."""
        if self.row is None:
            return
        if not self._exists():
            gone = "the journal %s is gone: the next command creates it again"
            log.warning(gone, self.table.fullname)
            self.row, self.is_open = None, False
        else:
            values = {"outcome": outcome, "finished": _now(), "retries": retries, "error": error}
            ours = self.table.c.id == self.row
            self.connection.execute(self.table.update().where(ours).values(values))

    def fail(self, error: BaseException, retries: int) -> None:
        """Write that it failed, where that is still possible, in a transaction of its own."""
        if self.row is None or self.connection.closed:
            return
        try:
            self.end(FAILED, retries, f"{type(error).__name__}: {error}"[:4000])
            self.connection.commit()
        except DBAPIError as also:
            log.warning("the journal does not say that it failed: %s", message(also))
            if self.connection.in_transaction():
                self.connection.rollback()

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        """Go on without a journal that cannot be written, but for a lock that can be waited for."""
        try:
            yield
        except DBAPIError as error:
            if is_lock_error(error) or error.connection_invalidated:
                raise
            self.connection.rollback()
            self.is_open = False
            log.warning(
                "no journal is kept: %s cannot be written (%s); "
                "let its owner make it, or run with -x journal=no",
                self.table.fullname,
                message(error),
            )


def hidden(version_table: str, schema: str | None, also: Any = None) -> Callable[..., bool]:
    """Return an ``include_name`` that leaves journal and marks out of comparisons.

    :param also: the project's.
    """

    def include(name: str | None, type_: str, parents: Mapping[str, Any]) -> bool:
        ours = type_ == "table" and name in (name_of(version_table), marks.name_of(version_table))
        if ours and parents.get("schema_name") == schema:
            return False
        return also is None or bool(also(name, type_, parents))

    return include


def _described(step: RevisionStep | StampStep) -> dict[str, Any]:
    """Return what is known of a step before it runs."""
    common = {"who": who(), "versions": _versions()}
    if isinstance(step, RevisionStep):
        direction, id_ = UP if step.is_upgrade else DOWN, step.revision.revision
        hash_ = sha256(step.revision.path)
        return common | {"revision": id_, "direction": direction, "sha256": hash_}
    ends = ", ".join(step.to_revisions) or "base"
    return common | {"revision": ends[:255], "direction": STAMP}


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def who() -> str:
    """Return who runs this, and where, as the operating system knows them."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container, or a service of Windows, has no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"[:255]


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in ("alembic", "sqlalchemy", "alembic-toolkit"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
