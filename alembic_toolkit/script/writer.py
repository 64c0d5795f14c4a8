"""What stands in for the script's file while Alembic writes, and writes it when all is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.schema import DDLElement

from alembic_toolkit.script.parts import Part, Script, edges, part
from alembic_toolkit.script.servers import ScriptServer, server_of

PLAIN = "alembic_toolkit.plain_script"  # in config.attributes: the runner leaves scripts alone


@dataclass
class Writer:
    """What stands in for the script's file while Alembic writes."""

    context: MigrationContext
    server: ScriptServer
    out: Any
    before: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    is_stamp: bool = False
    inside: bool = False

    @classmethod
    def into(cls, context: MigrationContext, server: ScriptServer) -> Writer:
        """Put a writer in the place of the context's output."""
        impl: Any = context.impl
        if isinstance(impl.output_buffer, Writer):
            return impl.output_buffer
        writer = cls(context, server, impl.output_buffer)
        function, execute = context._migrations_fn, impl._exec
        assert function is not None

        def steps(heads: Any, migration: MigrationContext) -> list[Any]:
            return writer.watch(list(function(heads, migration)))

        def as_written(construct: Any, *arguments: Any, **kw: Any) -> Any:
            # The rows of the version table are this module's business, and not for one start only.
            table = getattr(construct, "element", getattr(construct, "table", None))
            if table is context._version and not writer.is_stamp:
                return None
            if any(arguments) or any(kw.values()) or isinstance(construct, str):
                return execute(construct, *arguments, **kw)
            # Alembic would write four spaces for each tab, in values too.
            values = impl.literal_binds and not isinstance(construct, DDLElement)
            options = {"compile_kwargs": {"literal_binds": True}} if values else {}
            text = str(construct.compile(dialect=impl.dialect, **options)).strip()
            return impl.static_output(f"{text}{impl.command_terminator}")

        context._migrations_fn, impl._exec = steps, as_written
        impl.output_buffer = writer
        return writer

    def watch(self, steps: list[Any]) -> list[Any]:
        """Note when the function of each revision begins and ends."""
        self.is_stamp = not all(isinstance(step, RevisionStep) for step in steps)
        for step in steps if not self.is_stamp else ():
            step.migration_fn = self._watched(step, step.migration_fn)
        return steps

    def _watched(self, step: RevisionStep, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(**kw: Any) -> None:
            self.parts.append(part(step))
            self.inside = True
            function(**kw)
            self.inside = False

        return run

    def write(self, text: str) -> None:
        """Take one statement, or comment, of Alembic's."""
        text = text.strip()
        if self.is_stamp:
            self.before.append(text)
        elif text in ("BEGIN;", "COMMIT;"):  # each revision has a transaction of its own anyway
            if self.inside:  # but one that leaves it, for CREATE INDEX CONCURRENTLY, must
                self.parts[-1].begin(text == "BEGIN;")
        elif not text.startswith("-- Running ") or self.inside:
            (self.parts[-1].add if self.parts else self.before.append)(text.strip("; \n"))

    def flush(self) -> None:
        """Do nothing: what was written is not complete yet."""

    def finish(self) -> None:
        """Write the script, now that all of it is known."""
        texts = self.before if self.is_stamp else [f"{text};" for text in self.before]
        if self.parts:
            script = Script(self.context, self.parts, edges(self.context), self.server.dual)
            texts += self.server.write(script)
        for text in texts:
            self.out.write(f"{text}\n\n")
        self.before, self.parts = [], []


@contextmanager
def guard(context: MigrationContext) -> Iterator[None]:
    """Have the script that is written within skip each revision that a database has already.

    What is written comes out when the block ends, and nothing of it after an error. On a dialect of
    which nothing is known, and for a script that only stamps, Alembic writes it as usual.
    """
    server = server_of(context.dialect.name)
    if server is None or isinstance(context.impl.output_buffer, Writer):
        yield
        return
    writer = Writer.into(context, server)
    yield
    writer.finish()
