"""Walk a database through a history, step by step, in one run of the project's own ``env.py``.

Alembic calls a function to get the steps to run. Here that function is a generator, whose own code
runs after one step is committed and before the next one begins. So ``env.py`` runs once, and the
revisions are loaded once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.project.env import Project, run_online
from alembic_toolkit.project.handed import lend
from alembic_toolkit.prove.scratch import Scratch

Step = RevisionStep | StampStep
Walk = Callable[[MigrationContext], Iterator[Step]]


def load_in_env(project: Project, scratch: Scratch) -> None:
    """Load every revision where Alembic does: after ``env.py`` has changed ``sys.path``.

    :raises CommandError: ``env.py`` uses another database.
    """

    def steps(_: MigrationContext) -> Iterator[Step]:
        project.load_what_can_be()
        return iter(())

    walk(project, scratch, steps)


def walk(project: Project, scratch: Scratch, steps: Walk) -> None:
    """Run ``env.py`` on the scratch database, and the steps in it: one transaction for each.

    :raises CommandError: ``env.py`` uses another database.
    """

    def upgrade(_: Any, context: MigrationContext) -> Iterator[Step]:
        # Alembic asks in configure() who commits; `with connection.begin()` may come after that.
        if getattr(context.connection, "_trans_context_manager", None) is not None:
            context._in_external_transaction = True
        return steps(context)

    def configured(
        configure: Callable[..., None], connection: Connection, *more: Any, **options: Any
    ) -> None:
        _refuse_elsewhere(options.get("version_table_schema"), scratch)
        configure(connection, *more, **options | {"transaction_per_migration": True})

    upgrade.is_walk = True  # type: ignore[attr-defined]  # run() must not ask for all steps at once
    options = {"fn": upgrade, "destination_rev": "heads"}
    lend(scratch.url, lambda own: run_online(project, scratch.address, configured, own, **options))


def _refuse_elsewhere(schema: str | None, scratch: Scratch) -> None:
    """Refuse a version table outside the scratch database: it would not be emptied.

    To MariaDB a schema is a database: https://mariadb.com/kb/en/create-database/
    """
    ours = scratch.url.database
    if schema and scratch.server.schema_is_database and schema != ours:
        raise CommandError(
            "env.py has its version table in another database than the scratch one.\n"
            f"  found   {schema}\n"
            f"  wanted  {ours}\n"
            "Stopped, because it would stay there, and the next round trip would believe it.\n"
            "What to do next, in env.py:\n"
            "    version_table_schema=None  # on MariaDB, where a schema is a database"
        )


_TEMPORARY = re.compile(r"\bTEMP(?:ORARY)?\s", re.I)


def temporary(statements: Iterable[str]) -> list[str]:
    """Return the statements that may create temporary tables."""
    return [sql for sql in statements if "TEMP" in sql.upper() and _TEMPORARY.search(sql)]
