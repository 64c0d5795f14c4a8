"""Find the revisions of many databases. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.fleet.databases import AT_ONCE, TIMEOUT, Database
from alembic_toolkit.fleet.env import name_of
from alembic_toolkit.fleet.processes import Answer as Outcome
from alembic_toolkit.fleet.processes import Task, each
from alembic_toolkit.project import checks, pyproject, revisions
from alembic_toolkit.project.env import read_config
from alembic_toolkit.schema import stored
from alembic_toolkit.schema.stored import Part
from alembic_toolkit.schema.within import spaces_of
from alembic_toolkit.where import verdict as kinds
from alembic_toolkit.where.answer import Answer, answer
from alembic_toolkit.where.look import Looking, read
from alembic_toolkit.where.servers import refuse_closed
from alembic_toolkit.where.verdict import Seen
from alembic_toolkit.where.write import Progress, built_at, built_on


@dataclass
class Parts:
    """The changes of all revisions on each server: from the history's file, or from a run."""

    config: Path
    scratches: Sequence[str] = ()
    x: tuple[str, ...] = ()
    progress: Progress = lambda *_: None
    known: dict[str, Part] = field(default_factory=dict)
    files: dict[str, str | Path] = field(init=False)

    def __post_init__(self) -> None:
        """Read the names of the files; build the requested parts."""
        self.directory = ScriptDirectory.from_config(read_config(self.config))
        found, _ = revisions.read(self.directory)
        self.files = {one.id: one.path for one in checks.seen(found)}
        for address in self.scratches:
            part = built_at(self.config, address, self.x, self.progress)
            self.known[part.server] = part

    def of(self, server: str) -> Part:
        """Return the part of a server.

        :raises CommandError: it is older than the history; or there is none, and none can be made.
        """
        if server not in self.known:
            self.known[server] = self._read(server)
        return self.known[server]

    def _read(self, server: str) -> Part:
        parts = stored.read(stored.path_of(self.directory))
        if server in parts:
            stored.refuse_older(parts[server], self.directory, self.files)
            return parts[server]
        name, _, version = server.partition(" ")
        for part in built_on(self.config, name, version, self.x, self.progress):
            if part.server == server:
                return part
        raise stored.no_part(server, parts, self.directory)


def find(
    config: Path,
    databases: Sequence[Database],
    *,
    x: Sequence[str] = (),
    scratches: Sequence[str] = (),
    timeout: float = TIMEOUT,
    progress: Callable[[str, int, int, str], None] = lambda *_: None,
) -> list[Answer]:
    """Find each database's revision by its schema; an inaccessible database becomes an error.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param x: for ``env.py``, as ``alembic -x``.
    :param scratches: URLs of empty databases, on which the schemas are made.
    :param timeout: seconds for one database to answer; reading it may take six times as long.
    :raises CommandError: the history, or a scratch database, cannot be used.
    """
    given = {"x": x, "scratches": scratches, "timeout": timeout, "progress": progress}
    return [one.answer for one in look_at(config, databases, **given)]  # type: ignore[arg-type]


@dataclass
class Found:
    """The facts read from a database, and the conclusion."""

    answer: Answer
    seen: Seen | None = None


def look_at(
    config: Path,
    databases: Sequence[Database],
    *,
    x: Sequence[str] = (),
    scratches: Sequence[str] = (),
    timeout: float = TIMEOUT,
    progress: Callable[[str, int, int, str], None] = lambda *_: None,
) -> list[Found]:
    """Examine every database, as `find` does, and also return the facts."""
    parts = Parts(config, scratches, tuple(x), progress)
    ignore = pyproject.ignored(config)
    tasks = [Looking(one, str(config), tuple(x), ignore=ignore) for one in databases]
    found: dict[str, list[Found]] = {}

    def ended(task: Task, outcome: Outcome) -> None:
        name = task.database.name
        if outcome.error:
            found[name] = [Found(Answer(name_of(task), error=outcome.error))]
        else:
            option = f" --url {name}" if task.database.url else ""
            found[name] = [_answered(one, option, parts) for one in outcome.value]
        progress("databases", len(found), len(tasks), name)

    each(read, tasks, ended, at_once=AT_ONCE, timeout=timeout)
    return [one for task in tasks for one in found[task.database.name]]


def _answered(seen: Seen, option: str, parts: Parts) -> Found:
    seen.option = option
    try:
        part = parts.of(seen.server)
        refuse_closed(seen.name, seen.closed, spaces_of(part))
        found = answer(seen, part, parts.files)
        if seen.inside and found.kind not in (kinds.OTHER, kinds.EQUAL):
            raise CommandError(seen.inside)
        return Found(found, seen)
    except CommandError as error:
        return Found(Answer(seen.name, seen.server, error=str(error), marked=[*seen.marked]), seen)
