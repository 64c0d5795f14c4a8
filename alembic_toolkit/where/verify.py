"""Verify that databases have the schema that their revisions produce; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from alembic_toolkit.database.address import shown
from alembic_toolkit.database.own import own_of
from alembic_toolkit.fleet.databases import AT_ONCE, TIMEOUT, Database
from alembic_toolkit.fleet.env import name_of
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Answer, Task, each
from alembic_toolkit.project.baselines import apply, refuse_inside
from alembic_toolkit.project.pyproject import ignored
from alembic_toolkit.prove.results import Finding
from alembic_toolkit.schema.expected import Expected
from alembic_toolkit.schema.within import spaces_of
from alembic_toolkit.where.servers import closed_schemas, refuse_closed, refuse_without_rights


@dataclass
class Verified:
    """The result for one database."""

    name: str
    revisions: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)  # missing (-), extra (+), different (~)
    error: str = ""  # why it was not compared

    @property
    def is_sound(self) -> bool:
        """Return whether it was compared, and matches its revisions."""
        return not self.differences and not self.error

    def __str__(self) -> str:
        """Return the text to show for it."""
        at = ", ".join(self.revisions) or "no revision"
        if self.error:
            first, *more = self.error.splitlines()
            return "\n".join([f"{self.name}: not compared: {first}", *(f"  {o}" for o in more)])
        if not self.differences:
            return f"{self.name}: {at}, with the schema of that revision"
        number = len(self.differences)
        head = f"{self.name}: {at}, and {number} difference{'s' if number > 1 else ''}:"
        return "\n".join([head, *(f"    {line}" for line in self.differences)])


def verify(
    config: Path,
    databases: Sequence[Database],
    x: Iterable[str] = (),
    timeout: float = TIMEOUT,
) -> list[Verified]:
    """Compare each database's schema with that of its revision in ``schemas.json``.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param x: for ``env.py``, as ``alembic -x``.
    :param timeout: seconds for one database to answer.
    """
    tasks = [Task(one, str(config), tuple(x)) for one in databases]
    found = dict[str, list[Verified]]()

    def ended(task: Task, answer: Answer) -> None:
        name = task.database.name
        found[name] = answer.value or [Verified(name_of(task), error=answer.error)]
        for one in found[name]:
            one.error = task.database.concealed(one.error)

    work = partial(_compared, ignored(config))
    each(work, tasks, ended, at_once=AT_ONCE, timeout=timeout)
    return [one for task in tasks for one in found[task.database.name]]


def to_json(found: Iterable[Verified]) -> list[dict[str, Any]]:
    """Return the result for each database for machines."""
    return [vars(one) | {"error": one.error or None, "sound": one.is_sound} for one in found]


def findings(found: Iterable[Verified]) -> list[Finding]:
    """Return the databases whose schema differs from that of their revisions."""
    return [
        Finding("schema", one.name, ", ".join(one.revisions), "", "its schema is another one",
                tuple(one.differences))
        for one in found
        if one.differences
    ]  # fmt: skip


def _compared(ignore: tuple[str, ...], task: Task, answered: Callable[[], None]) -> list[Verified]:
    return look(task, answered, partial(_verified, task.database.name, ignore))


def _verified(name: str, ignore: tuple[str, ...], context: MigrationContext) -> Verified:
    connection, directory = context.connection, context.script
    assert connection is not None
    assert directory is not None
    heads = tuple(sorted(context.get_current_heads()))
    one = Verified(name or shown(connection.engine.url), [*heads])
    try:
        refuse_without_rights(connection)
        standing: Any = apply(directory, heads).heads
        refuse_inside(directory)
        expected = Expected(connection, directory, ignore)
        refuse_closed(one.name, closed_schemas(connection), spaces_of(expected.part))
        one.differences = expected.differences(connection, standing, own_of(context))
    except CommandError as error:
        one.error = str(error)
    return one
