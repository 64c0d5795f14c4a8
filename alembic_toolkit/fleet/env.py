"""Run the project's own ``env.py`` on one database of many.

The URL of the database is provided in the same ways as in a round trip.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url

from alembic_toolkit.database.address import shown
from alembic_toolkit.database.portrait import refuse_untested
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.project.env import Project, own_url, read_config, run_online
from alembic_toolkit.project.handed import Handed, lend


def name_of(task: Task) -> str:
    """Return a database's name; if env.py names it, its URL without the password."""
    if task.database.name:
        return task.database.name
    path = Path(task.config)
    quiet = io.StringIO()  # discard what env.py prints
    runs: dict[str, Any] = {"fn": lambda *_: (), "destination_rev": "heads"}
    try:
        with redirect_stdout(quiet), redirect_stderr(quiet):
            config = read_config(path)
            project = Project(path, config, ScriptDirectory.from_config(config), task.x)
            url = own_url(project, **runs)
    except (Exception, SystemExit):
        url = None
    return shown(url) if url is not None else "the database of env.py"


def run_env(
    task: Task,
    answered: Callable[[], None],
    steps: Callable[[ScriptDirectory, Any, Any], Any],
    configured: Callable[[Callable[[], None], dict[str, Any]], None],
) -> None:
    """Run ``env.py`` on the database of a task, as ``alembic upgrade`` does.

    :param answered: called when there is a connection, or just before ``env.py`` makes one.
    :param steps: returns the steps to run: Alembic's function without its first argument.
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
