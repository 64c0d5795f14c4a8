"""What stands in for the script's file while Alembic writes, and writes it when all is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar

from alembic.runtime.migration import MigrationContext, RevisionStep

from alembic_toolkit.project.baselines import MarkAgain
from alembic_toolkit.script.heading import written
from alembic_toolkit.script.journal import Journal
from alembic_toolkit.script.no_database import NoDatabase, failed
from alembic_toolkit.script.parts import (
    Notes,
    Part,
    Script,
    Spool,
    edges,
    marks,
    part,
    plain_heading,
)
from alembic_toolkit.script.servers import ScriptServer, server_of
from alembic_toolkit.sql.guarded import Single
from alembic_toolkit.sql.offline import write_construct
from alembic_toolkit.sql.statements import first_words, is_comment, terminated

PLAIN = "alembic_toolkit.plain_script"  # in config.attributes: the runner leaves scripts alone


@dataclass
class Writer:
    """What stands in for the script's file while Alembic writes."""

    context: MigrationContext
    server: ScriptServer
    out: Any
    before: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    spool: Spool = field(default_factory=Spool)
    is_stamp: bool = False
    only_marks: bool = False  # at a replaced revision, and nothing comes after the root
    sets_modes: ClassVar[bool] = True  # see `verbs.values.Step.our_mode`
    inside: bool = False
    lock_timeout: float | None = None  # seconds that a statement waits for a lock
    journal: bool = False  # the script writes what it ran into the journal
    notes: Notes = field(default_factory=dict)  # what else to say, as comments
    is_plain: bool = False  # without guards, for review; the verbs ask for it
    written: str = ""

    @classmethod
    def into(cls, context: MigrationContext, server: ScriptServer) -> Writer:
        """Put a writer in the place of the context's output, and of its connection."""
        impl: Any = context.impl
        if isinstance(impl.output_buffer, Writer):
            return impl.output_buffer
        writer = cls(context, server, impl.output_buffer)
        function, execute = context._migrations_fn, impl._exec
        assert function is not None

        def steps(heads: Any, migration: MigrationContext) -> list[Any]:
            return writer.watch(list(function(heads, migration)))

        def as_written(construct: Any, options: Any = None, *values: Any, **kw: Any) -> Any:
            # The rows of the version table are this module's business, and not for one start only.
            table = getattr(construct, "element", getattr(construct, "table", None))
            if table is context._version and not (writer.is_stamp or writer.is_plain):
                return None
            if any(values) or kw.get("multiparams") or kw.get("params"):
                return execute(construct, options, *values, **kw)
            return write_construct(impl, construct)

        context._migrations_fn, impl._exec = steps, as_written
        context.connection = impl.connection = NoDatabase(impl)  # type: ignore[assignment]
        impl.output_buffer = writer
        return writer

    def watch(self, steps: list[Any]) -> list[Any]:
        """Note when the function of each revision begins and ends."""
        ours = [step for step in steps if not isinstance(step, MarkAgain)]
        self.only_marks = bool(steps) and not ours
        self.written = written(self.context.script) if self.context.script else ""
        self.is_stamp = not all(isinstance(step, RevisionStep) for step in ours)
        for step in ours if not self.is_stamp else ():
            step.migration_fn = self._watched(step, step.migration_fn)
        return steps

    def _watched(self, step: RevisionStep, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(**kw: Any) -> None:
            self.parts.append(part(step, self.spool))
            notes = self.notes.get(self.parts[-1].id, {})
            self.parts[-1].notes = {line: [*there] for line, there in notes.items()}
            here = len(self.before)
            self.inside = True
            try:
                function(**kw)
            except Exception as error:
                raise failed(error, step, self.context.dialect.name) from error
            self.inside = False
            if self.is_plain:
                self.before.insert(here, self.parts[-1].origin)

        return run

    def write(self, text: str) -> None:
        """Take one statement, or comment, of Alembic's."""
        text = text.strip()
        words = ["_"] if isinstance(text, Single) else first_words(text, self.server.syntax)
        if words and self.inside:
            for note in self.parts[-1].notes_here():
                (self.before.append if self.is_plain else self.parts[-1].add)(note)
        if self.is_stamp or self.is_plain:
            self.before.append(text)
        elif words in (["BEGIN", ";"], ["COMMIT", ";"]):  # each revision has its own anyway
            if self.inside:  # but one that leaves it, for CREATE INDEX CONCURRENTLY, must
                self.parts[-1].begin(words[0] == "BEGIN")
        elif words or self.inside or not text.startswith("-- Running "):
            (self.parts[-1].add if self.parts else self.before.append)(text.strip("; \n"))

    def flush(self) -> None:
        """Do nothing: what was written is not complete yet."""

    def finish(self) -> None:
        """Write the script, now that all of it is known."""
        for text in self._texts():
            self.out.write(f"{text}\n\n")
        self.before, self.parts = [], []

    def _texts(self) -> Iterator[str]:
        if self.is_stamp or self.is_plain:
            if self.is_plain and self.parts:
                yield plain_heading(self.parts[0], self.written)
            if self.is_plain and self.lock_timeout is not None:
                yield self.server.lock_timeout(self.lock_timeout)
            yield from self.before
            return
        texts: Iterator[str] = iter(())
        script = Script(self.context, self.parts, edges(self.context), self.server.dual)
        script.marks, script.written = marks(self.context), self.written
        script.lock_timeout = self.lock_timeout
        script.journal = Journal(self.context, self.server.moments) if self.journal else None
        if self.only_marks:
            texts = iter(script.mark_again())
        elif self.parts:
            texts = self.server.write(script)
            yield from filter(None, [self.server.first])
        for text in self.before:
            yield text if is_comment(text, self.server.syntax) else terminated(text)
        yield from texts


@contextmanager
def guard(
    context: MigrationContext, lock_timeout: float | None = None, journal: bool = False
) -> Iterator[None]:
    """Have the script that is written within skip each revision that a database has already.

    What is written comes out when the block ends, and nothing of it after an error.  What revisions
    print does not land in it.  On a dialect of which nothing is known, and for a script that only
    stamps, Alembic writes it as usual.

    :param lock_timeout: how many seconds a statement of the script waits for a lock.
    :param journal: whether the script writes what it ran into the journal.
    """
    server, buffer = server_of(context.dialect.name), context.impl.output_buffer
    if isinstance(buffer, Writer):  # somebody else's, who knows nothing of env.py's wishes
        buffer.journal = journal
        if buffer.lock_timeout is None:
            buffer.lock_timeout = lock_timeout
    if server is None or isinstance(buffer, Writer):
        yield
        return
    writer = Writer.into(context, server)
    writer.lock_timeout, writer.journal = lock_timeout, journal
    with redirect_stdout(sys.stderr):
        yield
    writer.finish()
