"""Write ``--sql`` scripts that skip what a database has, so that they can be run twice.

Alembic's own scripts fit one database: the one that stands where the script begins. Here a script
asks the version table first, and each revision of it runs only where it is still missing: one file
brings every database to the same revision, wherever it stands.

`write` makes the whole script of a history; `guard` in `writer` does it for whatever runs revisions
offline.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from alembic_toolkit.project.env import intercepted
from alembic_toolkit.script.parts import DIALECTS
from alembic_toolkit.script.servers import server_of
from alembic_toolkit.script.writer import Writer


def write(
    config: Config, dialect: str | None = None, start: str = "base", end: str = "heads"
) -> str:
    """Return the script that brings a database from anywhere between two revisions to the second.

    The project's ``env.py`` runs as for ``alembic upgrade --sql``; no database is connected to.

    :param dialect: ``postgresql``, ``mariadb``, ``mysql`` or ``sqlite``; by default that of the
     database that ``env.py`` names.
    :param start: the revision below which no database stands.
    :param end: the revision to bring it to; one below ``start`` makes a script of downgrades.
    :raises CommandError: a revision is not known or cannot be written as SQL; the dialect is one
     for which nothing is known that would skip a statement.
    """
    if dialect is not None and server_of(dialect) is None:
        raise CommandError(
            f"there are no scripts for {dialect!r} that skip what is done; "
            f"name one of: {', '.join(DIALECTS)}"
        )
    directory = ScriptDirectory.from_config(config)
    starts = None if start == "base" else start
    below = _is_below(directory, end, starts)
    buffer, planned = io.StringIO(), list[str]()

    def steps(heads: Any, _: MigrationContext) -> list[Any]:
        find: Any = directory._downgrade_revs if below else directory._upgrade_revs
        found = list(find(end, heads))
        planned.extend(step.revision.revision for step in found)
        return found

    environment = EnvironmentContext(
        config, directory, fn=steps, as_sql=True, starting_rev=starts, destination_rev=end
    )
    writers = list[Writer]()
    configured = _configured(environment, dialect, buffer, writers)
    with environment, intercepted(environment, configured):
        directory.run_env()
        for writer in writers:
            writer.finish()
    if not planned:
        return f"-- Nothing to do: from {start} to {end} there is no revision.\n"
    return buffer.getvalue()


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
    buffer: io.StringIO,
    writers: list[Writer],
) -> Callable[..., None]:
    """Return what has whatever ``env.py`` configures write a guarded script for this dialect."""

    def configured(configure: Callable[..., None], *arguments: Any, **options: Any) -> None:
        if dialect is not None:
            names = ("connection", "url", "dialect_name", "transactional_ddl")
            options = {key: value for key, value in options.items() if key not in names}
            arguments, options["dialect_name"] = (), dialect
            server = server_of(dialect)
            options["transactional_ddl"] = server.transactional_ddl if server else None
        options |= {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
        configure(*arguments, **options | {"output_buffer": buffer})
        context = environment.get_context()
        server = server_of(context.dialect.name)
        if server is None:
            raise CommandError(
                f"there are no scripts for {context.dialect.name} that skip what is done; "
                f"name another server: --dialect {', '.join(DIALECTS)}"
            )
        writers.append(Writer.into(context, server))

    return configured
