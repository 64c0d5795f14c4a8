"""Write ``--sql`` scripts that skip what a database has, so that they can be run twice.

Alembic's own scripts fit one database: the one that stands where the script begins. Here a script
asks the version table first, and each revision of it runs only where it is still missing: one file
brings every database to the same revision, wherever it stands.

`write` makes the whole script of a history; `guard` in `writer` does it for whatever runs revisions
offline.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError, to_tuple
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from alembic_toolkit.project.baselines import apply
from alembic_toolkit.project.engines import refuse_several
from alembic_toolkit.project.env import intercepted
from alembic_toolkit.script.parts import DIALECTS, Notes
from alembic_toolkit.script.servers import ScriptServer, name_here, server_of
from alembic_toolkit.script.writer import Writer


def write(
    config: Config,
    out: TextIO,
    dialect: str | None = None,
    start: str = "base",
    end: str = "heads",
    lock_timeout: float | None = None,
    is_plain: bool = False,
    notes: Notes | None = None,
) -> None:
    """Write the script that brings a database from anywhere between two revisions to the second.

    The project's ``env.py`` runs as for ``alembic upgrade --sql``; no database is connected to.
    What it and the revisions print does not land in the script.

    :param out: what the script is written to, when all of it is known.
    :param dialect: ``postgresql``, ``mariadb``, ``mysql`` or ``sqlite``; by default that of the
     database that ``env.py`` names.
    :param start: the revision below which no database stands.
    :param end: the revision to bring it to; one below ``start`` makes a script of downgrades.
    :param lock_timeout: how many seconds a statement of the script waits for a lock; by default as
     long as the server lets it.
    :param is_plain: write what Alembic would write, without guards, for review: a script for a
     database that stands at ``start``, which cannot be run twice.
    :param notes: what else to say, as comments: by revision and by line of its file, statements
     and who waits for each; line 0 has what is to be said of the revision.
    :raises CommandError: a revision is not known or cannot be written as SQL; the dialect is one
     for which nothing is known that would skip a statement.
    """
    if dialect is not None and server_of(dialect) is None:
        raise CommandError(
            f"there are no scripts for {dialect!r} that skip what is done; "
            f"name one of: {', '.join(DIALECTS)}"
        )
    with redirect_stdout(sys.stderr):  # of what revisions print, too, as soon as they are loaded
        _write(config, out, dialect, (start, end), _Writers(lock_timeout, is_plain, notes or {}))


def _write(
    config: Config,
    out: TextIO,
    dialect: str | None,
    ends: tuple[str, str],
    writers: _Writers,
) -> None:
    start, end = ends
    directory = ScriptDirectory.from_config(config)
    refuse_several(config, directory, getattr(config.cmd_opts, "x", None) or ())
    starts = None if start == "base" else start
    with suppress(ImportError):  # of a revision, until env.py has run
        standing = apply(directory, to_tuple(starts, default=()), (end,))
        starts = standing.heads[0] if starts else None
    below = _is_below(directory, end, starts)
    planned = list[str]()

    def steps(heads: Any, _: MigrationContext) -> list[Any]:
        find: Any = directory._downgrade_revs if below else directory._upgrade_revs
        found = list(find(end, heads))
        planned.extend(step.revision.revision for step in found)
        return found

    environment = EnvironmentContext(
        config, directory, fn=steps, as_sql=True, starting_rev=starts, destination_rev=end
    )
    configured = _configured(environment, dialect, out, writers)
    config.stdout = sys.stderr
    with environment, intercepted(environment, configured):
        _run_env(directory)
    for writer in writers.made if planned else ():
        writer.finish()
    if not planned:
        out.write(f"-- Nothing to do: from {start} to {end} there is no revision.\n")


@dataclass
class _Writers:
    """What stands in for the script's file, once for each time that ``env.py`` configures."""

    lock_timeout: float | None
    is_plain: bool
    notes: Notes
    made: list[Writer] = field(default_factory=list)

    def make(self, context: MigrationContext, server: ScriptServer) -> None:
        writer = Writer.into(context, server)
        writer.lock_timeout, writer.is_plain = self.lock_timeout, self.is_plain
        writer.notes = self.notes
        self.made.append(writer)


def _run_env(directory: ScriptDirectory) -> None:
    try:
        directory.run_env()
    except (CommandError, OSError):
        raise
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        place = f"{last.filename}, line {last.lineno}: {last.line}"
        if isinstance(error, SyntaxError):
            place = f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise CommandError(
            f"no script could be written: {words}\n"
            f"  {place}\n"
            "What to do next:\n    alembic upgrade head --sql  # shows where it comes from"
        ) from error


def _is_below(directory: ScriptDirectory, end: str, start: str | None) -> bool:
    """Tell whether the way to a revision leads downwards."""
    if start is None:
        return False
    if end == "base":
        return True
    try:
        starts = {revision.revision for revision in directory.get_revisions(start) if revision}
        ends = {revision.revision for revision in directory.get_revisions(end) if revision}
        walked = directory.iterate_revisions(tuple(starts), "base")
        below = {revision.revision for revision in walked} - starts
    except RevisionError as error:
        raise CommandError(str(error)) from error
    return bool(ends) and ends <= below


def _configured(
    environment: EnvironmentContext,
    dialect: str | None,
    out: TextIO,
    writers: _Writers,
) -> Callable[..., None]:
    """Return what has whatever ``env.py`` configures write a guarded script for this dialect."""

    def configured(configure: Callable[..., None], *arguments: Any, **options: Any) -> None:
        if dialect is not None:
            named = _named(environment, *arguments, **options)
            names = ("connection", "url", "dialect_name", "transactional_ddl")
            options = {key: value for key, value in options.items() if key not in names}
            arguments, options["dialect_name"] = (), name_here(dialect, named)
            server = server_of(dialect)
            options["transactional_ddl"] = server.transactional_ddl if server else None
        options |= {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
        configure(*arguments, **options | {"output_buffer": out})
        context = environment.get_context()
        if dialect != context.dialect.name and dialect is not None:
            context.dialect.is_mariadb = True  # type: ignore[attr-defined]  # it has both names
        server = server_of(context.dialect.name)
        if server is None:
            raise CommandError(
                f"there are no scripts for {context.dialect.name} that skip what is done; "
                f"name another server: --dialect {', '.join(DIALECTS)}"
            )
        writers.make(context, server)

    return configured


def _named(environment: EnvironmentContext, connection: Any = None, **options: Any) -> str:
    """Return the name of the dialect that ``env.py`` would use."""
    if connection is not None:
        return str(connection.dialect.name)
    url = options.get("url") or environment.config.get_main_option("sqlalchemy.url")
    try:
        return make_url(url).get_backend_name() if url else str(options.get("dialect_name"))
    except ArgumentError:  # a placeholder
        return ""
