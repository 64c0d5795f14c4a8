"""Watch each statement of a revision: before it runs, and after it.

SQLAlchemy's events tell of what goes through it. What a revision sends through a cursor of the
driver's own passes them by, so that the drivers' connections give out cursors that tell as well.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event

from alembic_toolkit.messages import place
from alembic_toolkit.prove.locks.seen import Seen, Use
from alembic_toolkit.prove.locks.servers import observer_of
from alembic_toolkit.prove.results import END
from alembic_toolkit.prove.scratch import Scratch
from alembic_toolkit.prove.statements import LOOKS, acts, read_by
from alembic_toolkit.rows.tables.table import Tables
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.sql.tokens import from_first_word

_ELSEWHERE = "it opens a connection of its own: what that one locks is not seen"
_CATALOGS = ("pg_catalog", "information_schema", "sqlite_master")
_ENDS = re.compile(r"\s*(COMMIT|ROLLBACK|DESC|DESCRIBE|RESET|DISCARD)\b", re.I)
_ENDS_TRANSACTION = re.compile(r"\s*(?:COMMIT|ROLLBACK(?!.*\bTO\b)|BEGIN|START)\b", re.I)
_BLOCK = re.compile(r"\s*BEGIN\s+NOT\s+ATOMIC\b", re.I)
_LOCKS_ROWS = re.compile(
    r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b|\bFOR\s+SHARE\b|\bLOCK\s+IN\s+SHARE\s+MODE\b", re.I
)
_NO_LOOK = "the server does not let this role look ({})"
_PAST = "it sends rows or a script by {}: what that locks is not seen"
_PAGES = "alembic_toolkit.verbs.data.backfill"
# Methods of drivers' cursors that send more than a statement.
_SENDS = ("copy", "copy_expert", "copy_from", "copy_to", "executescript")


@dataclass
class Watch:
    """Notes what the statements of one step lock, while it is on."""

    scratch: Scratch
    seen: list[Seen] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)  # what cannot be judged: why
    observer: Any = None
    connection: Connection | None = None  # the walk's, while a step is watched
    is_busy: bool = False  # a statement runs that is watched already, or it is one of ours
    is_opening: bool = False  # SQLAlchemy opens a connection: of that, it tells
    refusal: str | None = None  # why the server cannot be asked; None: not tried yet
    _token: Any = None

    @contextmanager
    def on(
        self,
        connection: Connection,
        tables: Tables,
        own: tuple[str, ...],
        rows: Mapping[str, int],
    ) -> Iterator[None]:
        """Watch what is executed within the block.

        :param tables: those that are there before.
        :param own: those that belong to no revision.
        :param rows: how many each table has.
        """
        self.seen, self.unseen = [], []
        self.observer = observer_of(connection)(self.scratch, tables, own, self.unseen, rows)
        with self._ours():
            self._begin(connection)
        self.connection = None if self.refusal else connection
        try:
            yield
        finally:
            self.connection, self._token, self.is_busy = None, None, False
            with self._ours():
                self.observer.end(connection)

    def _begin(self, connection: Connection) -> None:
        """Begin to observe, or note that the server does not let this role look."""
        try:
            if self.refusal is None:
                self.observer.probe(connection)
            self.observer.begin(connection)
            self.refusal = self.refusal or ""
        except Exception as error:
            connection.connection.dbapi_connection.rollback()  # type: ignore[union-attr]
            self.refusal = _NO_LOOK.format(_brief(error))
        if self.refusal:
            self.note(self.refusal)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        before, self.is_busy = self.is_busy, True
        try:
            yield
        finally:
            self.is_busy = before

    def begin(self, sql: str, values: Any, times: int = 1, *, is_escaped: bool) -> None:
        """Look before a statement runs.

        :param times: for how many sets of values it runs.
        :param is_escaped: each ``%`` in it is doubled, if this driver wants that.
        """
        assert self.connection is not None
        self._token = None
        sql = from_first_word(sql)
        if _ENDS_TRANSACTION.match(sql) and not self.is_busy:
            self.observer.transaction = ""  # the next statement is in another one
        if self.is_busy or not self._matters(sql):
            return
        self.is_busy = True
        path, _, line = place().rpartition(":")
        try:
            before = self.observer.before(self.connection, sql, values)
        except CommandError:
            raise
        except Exception as error:
            self.note(_brief(error))
            self.is_busy = False
            return
        shown = unescaped_percent(sql, self.connection.dialect) if is_escaped else sql
        self._token = shown, path, int(line or 0), times, before

    def end(self, rows: int | None, failed: bool = False) -> None:
        """Look after it ran."""
        if self._token is None or self.connection is None:
            return
        (shown, path, line, times, before), self._token = self._token, None
        try:
            uses: list[Use] = self.observer.after(self.connection, shown, before, rows, failed)
            transaction = self.observer.transaction
            if any(use.how == END for use in uses) and _in_pages():
                uses = [one for one in uses if one.how != END]
            if uses and not failed:
                freed = frozenset(self.observer.freed)
                self.observer.freed.clear()
                self.seen.append(Seen(shown, path, line, transaction, uses, times, freed))
        except Exception as error:
            self.note(_brief(error))
        finally:
            self.is_busy = False
        self._finish(failed)

    def _finish(self, failed: bool) -> None:
        """End what was begun to look; what is refused then, is the revision's own error."""
        with self._ours():
            self.observer.finish(self.connection, failed)

    def note(self, why: str) -> None:
        """Note what cannot be judged."""
        if why not in self.unseen:
            self.unseen.append(why)

    def _matters(self, sql: str) -> bool:
        if "_alembic_scratch" in sql or _ENDS.match(sql):
            return False
        if not LOOKS.match(sql):
            return True
        if _BLOCK.match(sql) or (_LOCKS_ROWS.search(sql) and read_by(sql)):
            return True
        if any(name in sql for name in _CATALOGS):
            return False
        return acts(sql) or bool(self.observer.holds and read_by(sql))

    # What SQLAlchemy tells

    def executing(self, connection: Connection, _: Any, sql: str, values: Any, *more: Any) -> None:
        """Take a statement that is to be executed."""
        if self.connection is None or self.is_busy:
            return
        if not self._is_ours(connection.connection.dbapi_connection):
            self.note(_ELSEWHERE)
            return
        is_many = bool(more[-1:] == (True,)) and isinstance(values, list)
        self.begin(sql, values, len(values) if is_many else 1, is_escaped=True)

    def executed(self, connection: Connection, cursor: Any, sql: str, *more: Any) -> None:
        """Take a statement that was executed."""
        if self.connection is not None and self._token is not None:
            self.end(getattr(cursor, "rowcount", None))

    def failed(self, context: Any) -> None:
        """Take a statement that the server refused."""
        if self.connection is not None and self._token is not None:
            self.end(None, failed=True)

    def _is_ours(self, driver: Any) -> bool:
        ours = self.connection.connection.dbapi_connection if self.connection else None
        return driver is ours or getattr(ours, "driver_connection", ours) is driver

    # What the driver's own cursors tell

    def raw(
        self,
        cursor: Any,
        execute: Callable[..., Any],
        sql: Any,
        *values: Any,
        is_many: bool = False,
        **more: Any,
    ) -> Any:
        """Execute a statement of the driver's own."""
        ours = self.connection is not None and not self.is_busy and isinstance(sql, str)
        if not ours or not self._is_ours(getattr(cursor, "connection", None)):
            return execute(sql, *values, **more)
        several = values[0] if is_many and values else ()
        times = len(several) if isinstance(several, list | tuple) and several else 1
        given = values[0] if values else None
        self.begin(sql, given, times, is_escaped=given is not None)
        try:
            result = execute(sql, *values, **more)
        except Exception:
            self.end(None, failed=True)
            raise
        self.end(getattr(cursor, "rowcount", None))
        return result


@contextmanager
def watching(scratch: Scratch) -> Iterator[Watch]:
    """Give a watch over what any engine of this process executes."""
    made = Watch(scratch)

    def connect(connection: Any, _: Any) -> None:
        made.is_opening = False
        # psycopg and psycopg2; PyMySQL and mysqlclient
        for name in ("cursor_factory", "cursorclass"):
            kind = getattr(connection, name, None)
            if isinstance(kind, type):
                setattr(connection, name, _watched(kind, made))

    def opening(_: Any, __: Any, ___: Any, options: dict[str, Any]) -> None:
        made.is_opening = True
        if scratch.server.facts.is_file and "factory" not in options:
            options["factory"] = _watched_file(made)

    heard = (
        ("before_cursor_execute", made.executing),
        ("after_cursor_execute", made.executed),
        ("handle_error", made.failed),
        ("connect", connect),
        ("do_connect", opening),
    )
    for name, function in heard:
        event.listen(Engine, name, function)
    try:
        with _opened_elsewhere(scratch, made):
            yield made
    finally:
        for name, function in heard:
            event.remove(Engine, name, function)


@contextmanager
def _opened_elsewhere(scratch: Scratch, watch: Watch) -> Iterator[None]:
    """Notice a connection that a revision opens by the driver itself."""
    driver = scratch.engine.dialect.loaded_dbapi
    package = sys.modules[driver.__name__.partition(".")[0]]
    places = {id(one): one for one in (driver, package) if "connect" in vars(one)}.values()
    before = [(one, vars(one)["connect"]) for one in places]

    def noticing(connect: Callable[..., Any]) -> Callable[..., Any]:
        def connecting(*values: Any, **more: Any) -> Any:
            if watch.connection is not None and not (watch.is_busy or watch.is_opening):
                watch.note(_ELSEWHERE)
            return connect(*values, **more)

        return connecting

    for one, connect in before:
        setattr(one, "connect", noticing(connect))  # noqa: B010
    try:
        yield
    finally:
        for one, connect in before:
            setattr(one, "connect", connect)  # noqa: B010


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def _watched(kind: type[Any], watch: Watch) -> type[Any]:
    """Return a class of cursors that tell what they execute."""

    class Watched(kind):  # type: ignore[misc]
        def execute(self, sql: Any, *values: Any, **more: Any) -> Any:
            return watch.raw(self, super().execute, sql, *values, **more)

        def executemany(self, sql: Any, *values: Any, **more: Any) -> Any:
            return watch.raw(self, super().executemany, sql, *values, is_many=True, **more)

    for name in _SENDS:
        if hasattr(kind, name):
            setattr(Watched, name, _noted(getattr(kind, name), watch))
    Watched.__name__ = kind.__name__
    return Watched


def _noted(send: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """Return a method that says that what it sends is not seen."""

    def sending(self: Any, *values: Any, **more: Any) -> Any:
        if watch.connection is not None and not watch.is_busy:
            watch.note(_PAST.format(send.__name__))
        return send(self, *values, **more)

    return sending


def _in_pages() -> bool:
    """Return whether `backfill` is running: each page of rows is committed."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == _PAGES:
            return True
        frame = frame.f_back
    return False


def _watched_file(watch: Watch) -> type[Any]:
    """Return a class of SQLite's connections that give out such cursors."""
    import sqlite3

    cursors = _watched(sqlite3.Cursor, watch)

    class Opened(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(factory or cursors)

        def execute(self, sql: str, *values: Any) -> Any:
            return self.cursor().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> Any:
            return self.cursor().executemany(sql, *values)

        def executescript(self, sql: str) -> Any:
            return self.cursor().executescript(sql)

    return Opened
