"""Run the project's own ``env.py`` on one database of many.

It gets the URL of the database in every way that a round trip uses, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from alembic_toolkit.database import errors
from alembic_toolkit.database.address import same, synchronous
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.project.env import (
    Project,
    arguments,
    elsewhere,
    intercepted,
    read_config,
    told,
)


def run_env(
    task: Task,
    answered: Callable[[], None],
    steps: Callable[[ScriptDirectory, Any, Any], Any],
    configured: Callable[[EnvironmentContext, Callable[[], None], dict[str, Any]], None],
) -> None:
    """Run ``env.py`` on the database of a task, as ``alembic upgrade`` does.

    :param answered: called when there is a connection, or ``env.py`` is to make it.
    :param steps: returns what to run: Alembic's function, but for its first argument.
    :param configured: called instead of ``configure``, with it and its keywords.
    :raises CommandError: ``env.py`` uses another database.
    """
    url = make_url(task.database.url) if task.database.url else None
    path = Path(task.config)
    config = read_config(path)
    project = Project(path, config, ScriptDirectory.from_config(config), task.x)
    config.cmd_opts = arguments(project, task.database.url)
    calls = list[bool]()
    environment = EnvironmentContext(
        config,
        project.directory,
        fn=partial(steps, project.directory),
        as_sql=False,
        destination_rev=task.revision,
    )

    def watched(
        configure: Callable[..., None], connection: Any = None, *more: Any, **options: Any
    ) -> None:
        calls.append(True)
        if url is not None and not (isinstance(connection, Connection) and same(connection, url)):
            raise CommandError(elsewhere(connection, project, url))
        configured(environment, lambda: configure(connection, *more, **options), options)

    with told(project, task.database.url), environment, ExitStack() as stack:
        stack.enter_context(intercepted(environment, watched))
        if url is not None:
            config.set_main_option("sqlalchemy.url", task.database.url.replace("%", "%%"))
            config.attributes["connection"] = stack.enter_context(_connected(url))
        answered()
        project.directory.run_env()
    if not calls:
        raise CommandError("env.py ran, and never called context.configure(connection=...)")


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
