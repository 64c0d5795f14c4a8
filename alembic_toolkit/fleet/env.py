"""Run the project's own ``env.py`` on one database of many.

It gets the URL of the database in every way that a round trip uses, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from alembic_toolkit.database import errors
from alembic_toolkit.database.address import synchronous
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.project.env import Project, read_config, run_online


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
        configured(lambda: own(*given, **options), options)

    runs = {"fn": partial(steps, project.directory), "destination_rev": task.revision}
    with _connected(make_url(url)) if url else nullcontext() as connection:
        answered()
        run_online(project, url, configure, connection, **runs)


@contextmanager
def _connected(url: Any) -> Iterator[Connection | None]:
    """Open a connection for ``env.py``; none where only an asynchronous driver is installed."""
    try:
        engine = create_engine(synchronous(url), poolclass=NullPool)
    except (NoSuchModuleError, ImportError) as error:
        if url.get_driver_name() == synchronous(url).get_driver_name():
            raise CommandError(f"its driver cannot be used: {error}") from error
        yield None
        return
    try:
        connection = engine.connect()
    except DBAPIError as error:
        reason = errors.message(error).partition(" Is the server running")[0]
        raise CommandError(f"cannot be reached: {reason}") from error
    with connection:
        yield connection
