"""Check, after each revision, that the schema is what the revision should produce."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database.address import shown
from alembic_toolkit.database.own import own_of
from alembic_toolkit.project.baselines import refuse_inside
from alembic_toolkit.project.pyproject import ignored


class Verification:
    """Compares the schema with ``schemas.json``, within the transaction of a revision."""

    def __init__(self, environment: EnvironmentContext, connection: Connection) -> None:
        """Read the file of schemas.

        :raises CommandError: it does not cover this server, or is older than the history.
        """
        from alembic_toolkit.schema.expected import Expected  # few commands need it

        self.context, self.connection = environment.get_context(), connection
        config = environment.config
        given = config.config_file_name or config.toml_file_name or "alembic.ini"
        refuse_inside(environment.script)
        self.expected = Expected(connection, environment.script, ignored(Path(given)))

    def __call__(self, name: str, heads: Iterable[str]) -> None:
        """Compare after a revision has run.

        :param name: the revision that has run.
        :param heads: the database's revisions after it.
        :raises CommandError: the schema differs.
        """
        heads = sorted(heads)
        tables = own_of(self.context)
        lines = self.expected.differences(self.connection, heads, tables)
        if lines:
            differing = "\n".join(f"    {line}" for line in lines)
            raise CommandError(
                f"after {name} {shown(self.connection.engine.url)} has another schema than"
                f" {', '.join(heads)} makes (-), or more (+):\n{differing}\n"
                "Stopped, because what comes after it counts on that schema.\n"
                "What to do next: fix that, by hand or in a revision; "
                "or run without -x verify=yes"
            )
