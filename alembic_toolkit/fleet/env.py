"""Run the project's own ``env.py`` on one database of many.

It gets the URL of the database in every way that a round trip uses, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url

from alembic_toolkit.database.portrait import refuse_untested
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.project.env import Project, read_config, run_online
from alembic_toolkit.project.handed import Handed, lend


def run_env(
    task: Task,
    answered: Callable[[], None],
    steps: Callable[[ScriptDirectory, Any, Any], Any],
    configured: Callable[[Callable[[], None], dict[str, Any]], None],
) -> None:
    """Run ``env.py`` on the database of a task, as ``alembic upgrade`` does.

    :param answered: called when there is a connection, or ``env.py`` is to make it.
    :param steps: returns what to run: Alembic's function, but for its first argument.
    :param configured: called instead of ``configure``, with it and its keywords.
    :raises CommandError: ``env.py`` uses another database.
    """
    path, url = Path(task.config), task.database.url
    config = read_config(path)
    project = Project(path, config, ScriptDirectory.from_config(config), task.x)

    def configure(own: Callable[..., None], *given: Any, **options: Any) -> None:
        connection = next(iter(given), options.get("connection"))
        if isinstance(connection, Connection) and not connection.in_transaction():
            refuse_untested(connection)
        configured(lambda: own(*given, **options), options)

    def use(connection: Handed | None) -> None:
        answered()
        run_online(project, url, configure, connection, **runs)

    runs = {"fn": partial(steps, project.directory), "destination_rev": task.revision}
    if url:
        lend(make_url(url), use)
    else:
        use(None)
