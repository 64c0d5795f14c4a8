"""Records every statement that this process sends to a server, and the types in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from alembic.ddl.base import AddColumn, AlterColumn, ColumnName, RenameTable
from alembic.ddl.mysql import MySQLChangeColumn
from sqlalchemy import Connection, Engine, Enum, event
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.types import TypeEngine

from alembic_toolkit.database import marks
from alembic_toolkit.database.address import same
from alembic_toolkit.prove.scratch import Scratch, session_of
from alembic_toolkit.rows.forms import form_of
from alembic_toolkit.sql.quoting import unescaped_percent


@dataclass
class Recorder:
    """Records every statement that this process sends to a server, while it is on."""

    statements: list[str] | None = None
    stop_after: int | None = None  # how many statements until it stops as if it were killed
    killed: bool = False
    failed: str = ""  # the first error of the server
    labels: dict[_Key, tuple[str, ...]] = field(default_factory=dict)
    forms: dict[_Key, str] = field(default_factory=dict)
    marks: list[tuple[str, Any]] = field(default_factory=list)  # written for steps that run once

    @contextmanager
    def on(self) -> Iterator[list[str]]:
        """Record what is executed meanwhile."""
        self.statements, self.failed = [], ""
        # The table may have been there before, made by a script.
        self.marks = [mark for mark in self.marks if mark[0].lstrip().startswith("CREATE")][:1]
        try:
            yield self.statements
        finally:
            self.statements = None

    def note(self, *arguments: Any) -> None:
        """Record one statement that was executed."""
        if self.statements is None:
            return
        self.statements.append(unescaped_percent(arguments[2], arguments[0].dialect))
        if marks.NOTES.match(arguments[2]) and arguments[2:4] not in self.marks:
            self.marks.append(arguments[2:4])
        compiled = getattr(arguments[4], "compiled", None)
        if isinstance(compiled, DDLCompiler):
            self._note_types(compiled)
        if self.stop_after is not None and len(self.statements) >= self.stop_after:
            self.stop_after, self.killed = None, True
            raise Killed

    @property
    def known(self) -> int:
        """Return how many columns' texts are known."""
        return len(self.labels) + len(self.forms)

    def note_failed(self, context: Any) -> None:
        """Record a statement that the server refused: a revision may catch the error."""
        compiled = getattr(context.execution_context, "compiled", None)
        if self.statements is not None and isinstance(compiled, DDLCompiler):
            self._note_types(compiled)
        if str(context.statement).startswith("DESCRIBE"):
            return  # SQLAlchemy asks MariaDB so whether there is a table
        # The text only: the error itself would keep the connection, and its locks.
        self.failed = self.failed or " ".join(str(context.original_exception).split())

    def _note_types(self, compiled: DDLCompiler) -> None:
        """Record types in a statement that the server does not know."""
        types = _types(compiled.statement)
        # An Enum may be just a text on the server.
        plain = {key: getattr(type_, "impl_instance", type_) for key, type_ in types.items()}
        enums = {key: type_ for key, type_ in plain.items() if isinstance(type_, Enum)}
        self.labels |= {key: tuple(type_.enums) for key, type_ in enums.items() if type_.enums}
        forms = {key: form_of(type_, compiled.dialect) for key, type_ in types.items()}
        self.forms |= {key: form for key, form in forms.items() if form}
        renamed = _renamed(compiled.statement)
        if renamed is not None:
            self.labels |= {renamed(key): labels for key, labels in self.labels.items()}
            self.forms |= {renamed(key): form for key, form in self.forms.items()}


_Key = tuple[str, str]  # a table and a column


def _renamed(statement: Any) -> Callable[[_Key], _Key] | None:
    """Return a function that maps a column's table and name to those after a rename."""
    if isinstance(statement, RenameTable):
        old, new = str(statement.table_name), str(statement.new_table_name)
        return lambda key: (new, key[1]) if key[0] == old else key
    if isinstance(statement, ColumnName | MySQLChangeColumn) and statement.newname:
        was = str(statement.table_name), str(statement.column_name)
        now = was[0], str(statement.newname)
        return lambda key: now if key == was else key
    return None


def _types(statement: Any) -> dict[_Key, TypeEngine[Any]]:
    """Return the types of the columns that a statement creates, by table and column."""
    columns = []
    if isinstance(statement, CreateTable):
        name = statement.element.name.removeprefix("_alembic_tmp_")
        columns = [*statement.element.columns]
    elif isinstance(statement, AlterColumn) and getattr(statement, "type_", None) is not None:
        type_ = cast("Any", statement).type_
        return {(str(statement.table_name), str(statement.column_name)): type_}
    elif isinstance(statement, AddColumn):
        name, columns = str(statement.table_name), [statement.column]
    return {(name, column.name): column.type for column in columns}


class Killed(BaseException):
    """Ends a step as a killed process would; no ``except Exception`` may catch it."""


def is_sqlite(connection: Any) -> bool:
    """Return whether a driver's connection, or what adapts one, is to SQLite."""
    return bool({"sqlite3", "aiosqlite"} & {*type(connection).__module__.split(".")})


def enforce(connection: Any, on: bool) -> None:
    """Make SQLite enforce foreign keys, or not."""
    if is_sqlite(connection):
        _pragma(connection, f"foreign_keys = {'ON' if on else 'OFF'}")


def _pragma(connection: Any, what: str) -> Any:
    with closing(connection.cursor()) as cursor:  # which an asynchronous one has, too
        cursor.execute(f"PRAGMA {what}")
        return cursor.fetchone() if cursor.description else None


def enforced(connection: Any) -> bool:
    """Return whether SQLite enforces foreign keys in a session of Python's own driver."""
    return is_sqlite(connection) and bool(_pragma(connection, "foreign_keys")[0])


@contextmanager
def recorder(scratch: Scratch) -> Iterator[Recorder]:
    """Give a recorder of what any engine of this process executes."""
    made = Recorder()

    def prepare(connection: Any, pooled: Any) -> None:
        if scratch.last not in (None, threading.get_ident()):
            raise ConnectionAbortedError("the process that started this one is gone")
        scratch.pooled.add(pooled)
        session = session_of(connection)
        if session is not None and session not in scratch.sessions:
            scratch.sessions.add(session)
            scratch.on_session(session)
        if hasattr(connection, "prepare_threshold"):
            # psycopg would prepare statements, and with its own drop those of snapshots.
            connection.prepare_threshold = None
        enforce(connection, True)
        if is_sqlite(connection):  # a scratch database need not outlive a power cut
            _pragma(connection, "synchronous = OFF")

    def keep(connection: Connection) -> None:
        if not connection.dialect.is_async:  # which only its own loop can close
            scratch.kept.add(connection)

    def keep_session(session: Session, _: Any, connection: Connection) -> None:
        if not connection.dialect.is_async and same(connection, scratch.url):
            scratch.kept.add(session)

    event.listen(Engine, "engine_connect", keep)
    event.listen(Session, "after_begin", keep_session)
    event.listen(Engine, "after_cursor_execute", made.note)
    event.listen(Engine, "handle_error", made.note_failed)
    event.listen(Engine, "connect", prepare)
    try:
        yield made
    finally:
        event.remove(Engine, "engine_connect", keep)
        event.remove(Session, "after_begin", keep_session)
        event.remove(Engine, "after_cursor_execute", made.note)
        event.remove(Engine, "handle_error", made.note_failed)
        event.remove(Engine, "connect", prepare)
