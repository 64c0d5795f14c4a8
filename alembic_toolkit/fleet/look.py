"""Examine a database as its ``env.py`` configures it, and run nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.fleet.env import run_env
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.fleet.servers import only_read, refuses_to_start
from alembic_toolkit.project.engines import has_several
from alembic_toolkit.project.env import read_config

Found = TypeVar("Found")


class _Seen(BaseException):
    """Ends ``env.py`` with the result; no ``except Exception`` catches it."""


def look(
    task: Task,
    answered: Callable[[], None],
    see: Callable[[MigrationContext], Found],
    writes: bool = False,
) -> list[Found]:
    """Return a function's result for one database, or for each that ``env.py`` has by itself.

    :param writes: let it write; otherwise nothing can, not even the beginning of ``env.py``.
    """
    if not writes:
        only_read()
    config = read_config(Path(task.config))
    # Its own databases, one after the other: no step is run, and nothing can write.
    goes_on = not task.database.url and has_several(ScriptDirectory.from_config(config))
    found = list[Found]()

    def configured(configure: Callable[[], None], options: dict[str, Any]) -> None:
        options["dont_mutate"] = True  # or Alembic would create its version table
        configure()
        found.append(see(context.get_context()))
        if not goes_on:
            raise _Seen

    try:
        run_env(task, answered, lambda *_: [], configured)
    except _Seen:
        return found
    except Exception as error:
        if not refuses_to_start(error):
            raise
        return look(task, answered, see, writes)
    if goes_on:
        return found
    raise CommandError("env.py caught what it must not: BaseException")
