"""The record of a revision's verbs: which of them ran before, if a part of it was committed.

If DDL commits by itself, a revision that was killed is half done, and is run again from its start.
Each call of a verb has a row in the table of marks, written before the verb acts, so that the DDL's
own commit keeps it. A call that was followed by others, or that is marked as done, is skipped; the
last one, which was only begun, is judged by inspecting the database.

In a transaction nothing is written, unless it is committed in the middle of the revision.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import marks
from alembic_toolkit.database.driver import commits_each, run
from alembic_toolkit.database.errors import is_gone, is_lock_error, message
from alembic_toolkit.database.journal import Journal, sha256
from alembic_toolkit.database.same import Begins, Same
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.sql.quoting import literal

log = logging.getLogger("alembic_toolkit")

_INFO = "alembic_toolkit: record"  # the key in Connection.info
NEW, BEGUN, DONE = "new", "begun", "done"
_PREFIX = "verb "
_ROW = re.compile(r"verb (\d+), (begun|done): (.*) #(\w{8})", re.S)
_LONGEST = marks.LENGTH - len("verb 10000, begun:  #12345678")
_TABLE = re.compile(r"\bTEMP(?:ORARY)?\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:\W?\w+\W?\.)?\W?(\w+)")
_TARGET = re.compile(r"(?:\w+\s+)*?(?:INTO|FROM|UPDATE|TABLE)\s+(?:\W?\w+\W?\.)?\W?(\w+)")


@dataclass
class Call:
    """One call of a verb: its position among the calls of its function, and its content."""

    position: int
    text: str
    hash: str
    is_done: bool = False
    stored: str = ""  # the text of its row, if already written

    @property
    def row(self) -> str:
        state = DONE if self.is_done else BEGUN
        return f"{_PREFIX}{self.position}, {state}: {self.text} #{self.hash}"


def record_of(connection: Connection) -> Record | None:
    """Return the record that `run` keeps of the revision on this connection, if any."""
    is_lost = connection.closed or connection.invalidated
    return None if is_lost else connection.info.get(_INFO)


def forget(migration: MigrationContext) -> None:
    """Forget half-done work: a stamp defines where the database is."""
    connection, table = migration.connection, marks.table_of(migration)
    if connection is not None:
        if inspect(connection).has_table(table.name, table.schema):
            connection.execute(table.delete().where(Begins(table.c.name, _PREFIX)))
        connection.commit()


class Record:
    """The completed work of the running revision."""

    def __init__(self, migration: MigrationContext, connection: Connection) -> None:
        """Start with an empty record; see `kept`."""
        self.connection, self.marks = connection, marks.table_of(migration)
        self.server = server_of(connection.dialect.name)
        self.is_on = False
        self.was_there = self.exists = False  # the table: at the start, and now
        self.is_running = False  # a revision
        self.is_inside = False  # one of its calls
        self.must_commit = self.has_committed = False  # the call commits: so must its row
        self.revision = self.direction = ""
        self.file = Call(0, "the file", "")
        self.is_edited = False  # the file was edited since the last run
        self.past: list[Call] = []  # calls of the last run
        self.at = 0  # how many of these were passed
        self.calls: list[Call] = []  # calls of this run
        self.call: Call | None = None  # the one that was entered
        self.temporary: set[str] = set()  # temporary tables that the session has created
        self.journal: Journal | None = None

    # One command

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Give the verbs access to the record; drop the table at the end if it is empty."""
        self.exists = inspect(self.connection).has_table(self.marks.name, self.marks.schema)
        self.connection.rollback()
        self.was_there = self.exists
        self._make_beforehand()
        self.is_on, self.connection.info[_INFO] = True, self
        try:
            yield
            self._drop_empty()
        except BaseException:
            if not (self.was_there or self.connection.closed or self.connection.invalidated):
                with suppress(Exception):
                    self.connection.rollback()
                    self._drop_empty()
            raise
        finally:
            with suppress(Exception):  # the connection may be gone
                self.connection.info.pop(_INFO, None)

    def _make_beforehand(self) -> None:
        """Create the table if its CREATE would later commit a revision's uncommitted work."""
        if self.exists or self.server.has_transactional_ddl:
            return
        with suppress(DBAPIError):  # no right to do it: see `_write`
            self.marks.create(self.connection, checkfirst=True)
            self.exists = True
        self.connection.rollback()

    def _drop_empty(self) -> None:
        if not self.exists:
            return
        with suppress(DBAPIError):  # it exists the next time
            if self.connection.execute(select(self.marks).limit(1)).first() is None:
                self.marks.drop(self.connection, checkfirst=True)
            self.connection.commit()

    # One revision

    def begin(self, step: RevisionStep) -> None:
        """Read what was done of a revision."""
        again, self.revision = self.revision == step.revision.revision, step.revision.revision
        self.direction = "up" if step.is_upgrade else "down"
        self.file = Call(0, "the file", (sha256(step.revision.path) or "0" * 8)[:8], True)
        self.past, self.calls, self.at, self.temporary = [], [], 0, set()
        self.is_inside, self.is_running, self.is_edited = False, self.is_on, False
        if self.exists and (self.was_there or again):
            self._read()

    def _read(self) -> None:
        found = self.connection.scalars(select(self.marks.c.name).where(*self._ours())).all()
        calls = [
            Call(int(m[1]), m[3], m[4], m[2] == DONE, m[0]) for m in map(_ROW.fullmatch, found) if m
        ]
        for call in sorted(calls, key=lambda call: call.position):
            if call.position:
                self.past.append(call)
            else:
                self.is_edited = call.hash != self.file.hash
                self.file.stored = call.stored
        for call in self.past[:-1]:
            call.is_done = True  # otherwise the next one would not have begun

    def _ours(self) -> list[Any]:
        columns = self.marks.c
        return [
            Same(columns.revision, self.revision),
            Same(columns.direction, self.direction),
            Begins(columns.name, _PREFIX),
        ]

    def stop(self) -> None:
        """Stop recording a failed revision: work that is not committed was not done."""
        self.is_running = False

    def end(self) -> None:
        """Forget a completed revision, in the transaction that writes its version."""
        was, self.is_running = self.is_running, False
        if not was:
            return
        self._refuse_edited(self.past[self.at :], "the end of the function")
        if self.past or self.file.stored:
            # In both directions, including the marks of `once` that this run did not read.
            ours = Same(self.marks.c.revision, self.revision)
            self.connection.execute(self.marks.delete().where(ours))

    # One call

    def enter(self, text: str, shown: str) -> str:
        """Tell whether a call is DONE, was only BEGUN, or is NEW.

        :param text: the text that identifies the call.
        :param shown: the text that messages show for it.
        :raises CommandError: the file was edited above the place where the last run stopped.
        """
        self.call = None
        if not self.is_running:
            return NEW
        hash_ = hashlib.sha256(text.encode()).hexdigest()[:8]
        shown = " ".join(shown.split())[:_LONGEST].strip()
        left = self.past[self.at :]
        same = next((i for i, call in enumerate(left) if call.hash == hash_), None)
        self._refuse_edited(left[:same], shown)
        if same is not None:
            self.at += same + 1
            if left[same].is_done:
                return DONE
            self.call = left[same]
            self.calls.append(self.call)
            return BEGUN
        if any(call.is_done for call in left):
            return NEW  # a conditional call: it checks the database, as usual
        if left:  # it failed, and was replaced by another call
            self._delete(left.pop())
            self.past.pop()
        position = max((call.position for call in (*self.past, *self.calls)), default=0) + 1
        self.call = Call(position, shown, hash_)
        self.calls.append(self.call)
        self._write_at_once()
        return NEW

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Mark the entered call as done, unless the block raises."""
        call, self.is_inside, self.must_commit = self.call, True, False
        try:
            yield
        finally:
            self.is_inside = False
        if call is not None:
            call.is_done = True
            self._write_at_once()
            if self.must_commit and call.text.startswith("execute"):  # verbs check the database
                run(self.connection, "COMMIT")
                self.has_committed = True

    def took_commit(self) -> bool:
        """Tell, once, whether the commit that ended the transaction was the record's own."""
        was, self.has_committed = self.has_committed, False
        return was

    def was_done(self) -> bool | None:
        """Tell whether the journal says that the revision was done; None without a journal."""
        if self.journal is None or not self.journal.is_open or not self.is_running:
            return None
        return self.journal.was_done(self.revision, self.direction)

    def forgetting(self) -> str:
        """Return a function that makes the journal forget the revision."""
        table = "" if self.journal is None else self.journal.table.fullname
        ours = f"revision = {literal(self.revision)} AND direction = {literal(self.direction)}"
        return f"DELETE FROM {table} WHERE {ours}"

    def is_temporary(self, sql: str) -> bool:
        """Tell whether a statement writes to a table that a second run will not find."""
        target = _TARGET.match(sql.strip().upper()) if self.temporary else None
        return target is not None and target[1] in self.temporary

    def note_temporary(self, sql: str) -> None:
        """Note the table that a statement creates for this session only."""
        self.temporary |= {*_TABLE.findall(sql.upper())}

    # Its rows

    def _write_at_once(self) -> None:
        if not self.server.has_transactional_ddl or commits_each(self.connection):
            self.write()

    def write(self) -> None:
        """Write pending rows: the next commit keeps them."""
        unwritten = [call for call in self.calls if call.stored != call.row]
        if not self.is_running or not self.is_on or not unwritten:
            return
        was, self.is_inside = self.is_inside, True
        try:
            self._write(unwritten)
        except DBAPIError as error:
            if is_lock_error(error) or is_gone(error):
                raise
            self.is_on = self.is_running = False
            self.connection.info.pop(_INFO, None)  # nobody must rely on it
            log.warning("no record is kept of what is done of a revision: %s", message(error))
        finally:
            self.is_inside = was

    def _write(self, calls: list[Call]) -> None:
        if not self.exists:
            transacted = self.server.has_transactional_ddl and self.connection.in_transaction()
            with self.connection.begin_nested() if transacted else nullcontext():
                self.marks.create(self.connection, checkfirst=True)
            self.exists = True
        if self.file.stored != self.file.row:
            self._delete(self.file)
            calls = [self.file, *calls]
        common = {"revision": self.revision, "direction": self.direction}
        if new := [common | {"name": call.row} for call in calls if not call.stored]:
            self.connection.execute(self.marks.insert(), new)
        for call in calls:
            if call.stored:
                ours = [*self._ours(), Same(self.marks.c.name, call.stored)]
                self.connection.execute(self.marks.update().where(*ours).values(name=call.row))
            call.stored = call.row

    def _delete(self, call: Call) -> None:
        if call.stored:
            ours = [*self._ours(), Same(self.marks.c.name, call.stored)]
            self.connection.execute(self.marks.delete().where(*ours))
            call.stored = ""

    def _refuse_edited(self, passed: list[Call], called: str) -> None:
        """Refuse to continue with a file that was edited within its completed part."""
        done = [call for call in passed if call.is_done]
        if not self.is_edited or not done:
            return
        function = {"up": "upgrade()", "down": "downgrade()"}[self.direction]
        delete = (
            f"DELETE FROM {self.marks.fullname} WHERE revision = {literal(self.revision)}"
            f" AND name LIKE '{_PREFIX}%'"
        )
        raise CommandError(
            f"{function} of {self.revision}: the file was edited above of where it stopped.\n"
            f"  database has:    {done[0].text}, done as call {done[0].position}\n"
            f"  revision wants:  {called}, in its place\n"
            "Stopped, because completed work cannot be changed afterwards.\n"
            "What to do next:\n"
            "    # write it as it was, run the command again, and change it in a new revision;\n"
            "    # or have the function begin again, where what it did was undone by hand:\n"
            f"    {delete};"
        )
