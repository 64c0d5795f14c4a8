"""Show the status of many databases: their revision, its files, the last run.

Nothing is written. Each database is looked at in a process of its own, see `processes`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import journal
from alembic_toolkit.database.address import shown
from alembic_toolkit.database.own import own
from alembic_toolkit.fleet.databases import Database
from alembic_toolkit.fleet.env import run_env
from alembic_toolkit.fleet.processes import Answer, Task, each
from alembic_toolkit.fleet.servers import only_read
from alembic_toolkit.project import models

AT_ONCE = 8
TIMEOUT = 10.0  # seconds for a database to answer


@dataclass
class Line:
    """What is known of one database."""

    name: str
    error: str = ""  # why nothing is known
    revisions: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # of these, what no file has
    behind: int | None = None  # revisions that an upgrade would run; None: unknown
    empty: bool = False  # it has no tables but Alembic's
    edited: list[str] | None = None  # edited since they were applied; None: there is no journal
    last: journal.Entry | None = None
    drift: list[str] | None = None  # None: not asked for

    @property
    def is_sound(self) -> bool:
        """Return whether it is at head, with the files that were applied and the models' tables."""
        return self.behind == 0 and not (self.error or self.unknown or self.edited or self.drift)


def status(
    config: Path,
    databases: Sequence[Database],
    *,
    x: Iterable[str] = (),
    drift: bool = False,
    metadata: Any = None,
    timeout: float = TIMEOUT,
    progress: Callable[[str, int, int, str], None] = lambda *_: None,
) -> list[Line]:
    """Look at every database, many at the same time; one that cannot be reached is a line too.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param x: for ``env.py``, as ``alembic -x``.
    :param drift: compare with the models, too.
    :param metadata: ``package.module:name``, where ``env.py`` gives none.
    :param timeout: seconds for one database to answer; it may take six times that to be looked at.
    """
    tasks = [Task(one, str(config), tuple(x), drift=drift, metadata=metadata) for one in databases]
    lines: dict[str, Line] = {}

    def ended(task: Task, answer: Answer) -> None:
        name = task.database.name
        line = lines[name] = answer.value or Line(name or "env.py", answer.error)
        if line.last is not None and line.last.error:
            error = task.database.concealed(line.last.error)
            line.last = dataclasses.replace(line.last, error=error)
        progress("databases", len(lines), len(tasks), name)

    each(_look, tasks, ended, at_once=AT_ONCE, timeout=timeout)
    return [lines[task.database.name] for task in tasks]


# In the process of one database


class _Seen(BaseException):
    """Ends ``env.py`` with what was found out; no ``except Exception`` catches it."""


def _look(task: Task, answered: Callable[[], None]) -> Line:
    only_read()

    def configured(configure: Callable[[], None], _: dict[str, Any]) -> None:
        configure()
        raise _Seen(_line(task, context.get_context()))

    try:
        run_env(task, answered, lambda *_: [], configured)
    except _Seen as seen:
        [line] = seen.args
        return line  # type: ignore[no-any-return]
    raise CommandError("env.py caught what it must not: BaseException")


def _line(task: Task, context: MigrationContext) -> Line:
    connection, directory = context.connection, context.script
    assert directory is not None
    if connection is None:
        raise CommandError("env.py configures no connection")
    place = context.version_table, context.version_table_schema
    heads = tuple(sorted(context.get_current_heads()))
    line = Line(task.database.name or shown(connection.engine.url), revisions=[*heads])
    line.unknown = [head for head in heads if not _has(directory, head)]
    if not line.unknown:
        line.behind = len(directory._upgrade_revs("heads", heads))  # type: ignore[arg-type]
    if not heads:
        tables = inspect(connection).get_table_names(place[1])
        line.empty = not {*tables} - {*own(place[0])}
    try:
        line.last = journal.last(connection, *place)
        if line.last is not None:
            line.edited = journal.edited(connection, directory, *place)
    except DBAPIError:  # it may be for others to read, or a table of theirs by that name
        connection.rollback()
    if task.drift:
        line.drift = _drift(context, task.metadata)
    return line


def _has(directory: ScriptDirectory, revision: str) -> bool:
    try:
        return directory.get_revision(revision).revision == revision
    except (CommandError, RevisionError):
        return False


def _drift(context: MigrationContext, given: Any) -> list[str]:
    metadata, why = models.of(context, given)
    if why:
        raise CommandError(f"--drift: {why}")
    context.opts["include_name"] = journal.hidden(
        context.version_table, context.version_table_schema, context.opts.get("include_name")
    )
    return models.differences(context, metadata)


# What is shown


def text(lines: Sequence[Line]) -> str:
    """Return one aligned table, and below it what does not fit into a cell."""
    drift = any(line.drift is not None for line in lines)
    head = ["database", "revision", "behind", "files", *["drift"] * drift, "last run"]
    rows = [_cells(line, drift) for line in lines]
    full = [head, *(row for row in rows if len(row) == len(head))]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    widths[0] = max(len(row[0]) for row in [head, *rows])
    # One that cannot be reached has two cells: its name and the error.
    shown = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *rows]]
    notes = [note for line in lines for note in _notes(line)]
    return "\n".join([*shown, *([""] if notes else []), *notes])


def _cells(line: Line, drift: bool) -> list[str]:
    if line.error:
        return [line.name, line.error.partition("\n")[0]]
    revisions = ", ".join(line.revisions) or ("(empty)" if line.empty else "(none)")
    if line.unknown:
        revisions += " (unknown)"
    elif line.behind == 0 and line.revisions:
        revisions += " (head)"
    files = "-" if line.edited is None else "as applied"
    if line.edited:
        files = f"edited: {', '.join(line.edited[:3])}{', ...' if len(line.edited) > 3 else ''}"
    found = "-" if line.drift is None else str(len(line.drift) or "none")
    behind = "?" if line.behind is None else str(line.behind)
    return [line.name, revisions, behind, files, *[found] * drift, _last(line.last)]


def _last(entry: journal.Entry | None) -> str:
    if entry is None:
        return "-"
    seconds = (entry.finished - entry.started).total_seconds() if entry.finished else 0.0
    took = f" in {seconds:.1f} s" if entry.finished else ""
    when = f"{entry.started:%Y-%m-%d %H:%M:%S} UTC"
    return f"{entry.revision} {entry.direction}, {entry.outcome}{took}, {when}, {entry.who}"


def _notes(line: Line) -> list[str]:
    notes = []
    if more := line.error.partition("\n")[2]:
        notes += [f"{line.name}:", *(f"  {one}" for one in more.splitlines())]
    if line.unknown:
        why = "the code here is older, or from elsewhere"
        notes.append(f"{line.name}: no file here has {', '.join(line.unknown)}: {why}")
    if line.last is not None and line.last.error:
        notes.append(f"{line.name}: {line.last.revision} failed: {line.last.error.splitlines()[0]}")
    if line.drift:
        notes += [f"{line.name}, from the database to the models:"]
        notes += [f"  {one}" for one in line.drift]
    return notes


def to_json(lines: Sequence[Line]) -> dict[str, Any]:
    """Return the same for machines; times are UTC, in ISO 8601."""
    found = []
    for line in lines:
        one: dict[str, Any] = dataclasses.asdict(line) | {"sound": line.is_sound}
        one["error"] = line.error or None
        for name in ("started", "finished") if line.last is not None else ():
            moment = one["last"][name]
            one["last"][name] = moment and moment.isoformat() + "Z"
        found.append(one)
    return {"databases": found}
