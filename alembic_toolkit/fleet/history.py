"""Show the journals of many databases: what ran, when, how long, by whom, and why it failed.

Nothing is written. Each database is read in a separate process, see `processes`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext

from alembic_toolkit import exits
from alembic_toolkit.database import journal
from alembic_toolkit.database.address import shown
from alembic_toolkit.fleet.databases import AT_ONCE, TIMEOUT, Database
from alembic_toolkit.fleet.env import name_of
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Answer, Task, each
from alembic_toolkit.messages import printable


@dataclass
class Journal:
    """The journal of one database."""

    name: str
    error: str = ""  # why it cannot be read
    table: str = ""
    entries: list[journal.Entry] | None = None  # the newest last; None: there is no journal


def history(
    config: Path,
    databases: Sequence[Database],
    x: Iterable[str] = (),
    timeout: float = TIMEOUT,
) -> list[Journal]:
    """Read the journal of every database; an unreachable one becomes an entry with an error.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param x: for ``env.py``, as ``alembic -x``.
    :param timeout: seconds for one database to answer.
    """
    tasks = [Task(one, str(config), tuple(x)) for one in databases]
    found: dict[str, list[Journal]] = {}

    def ended(task: Task, answer: Answer) -> None:
        name = task.database.name
        error = answer.error
        read = answer.value or [Journal(name_of(task), error)]
        found[name] = [_concealed(one, task.database) for one in read]

    each(_read, tasks, ended, at_once=AT_ONCE, timeout=timeout)
    return [one for task in tasks for one in found[task.database.name]]


def _concealed(one: Journal, database: Database) -> Journal:
    """Return a journal whose errors contain no password of the database."""
    entries = one.entries and [
        dataclasses.replace(entry, error=entry.error and database.concealed(entry.error))
        for entry in one.entries
    ]
    return dataclasses.replace(one, entries=entries)


def exit_status(journals: Iterable[Journal]) -> int:
    """Return the exit status: whether all journals could be read."""
    return exits.of_all([], judged=not any(one.error for one in journals))


# In the process of one database


def _read(task: Task, answered: Callable[[], None]) -> list[Journal]:
    def see(context: MigrationContext) -> Journal:
        connection = context.connection
        assert connection is not None
        answered()
        place = context.version_table, context.version_table_schema
        name = task.database.name or shown(connection.engine.url)
        table = journal.name_of(context.version_table)
        return Journal(name, "", table, journal.entries(connection, *place))

    return look(task, answered, see)


# What is shown


def text(journals: Sequence[Journal]) -> str:
    """Return a block for each database, with a line for each entry."""
    return "\n\n".join("\n".join(map(printable, _lines(one))) for one in journals)


def _lines(one: Journal) -> list[str]:
    if one.error:
        first, *more = one.error.splitlines()
        return [f"{one.name}: {first}", *(f"  {line}" for line in more)]
    if one.entries is None:
        return [f"{one.name}: there is no journal: env.py runs without it, or nothing ran yet"]
    if not one.entries:
        return [f"{one.name}: {one.table} is empty"]
    rows = [_cells(entry) for entry in one.entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{one.name}:"]
    for entry, row in zip(one.entries, rows, strict=True):
        lines.append(f"  {'  '.join(map(str.ljust, row, widths))}".rstrip())
        lines += [f"    {line}" for line in (entry.error or "").splitlines()]
    return lines


def _cells(entry: journal.Entry) -> list[str]:
    took = entry.finished and f"{(entry.finished - entry.started).total_seconds():.1f} s"
    retries = f", {entry.retries} retries" if entry.retries else ""
    cells = f"{entry.started:%Y-%m-%d %H:%M:%S} UTC", entry.revision, entry.direction
    return [*map(printable, cells), printable(entry.outcome + retries), took or "-",
            printable(entry.who)]  # fmt: skip


def to_json(journals: Sequence[Journal]) -> list[dict[str, Any]]:
    """Return the same for machines; times are UTC, in ISO 8601."""
    return [
        {
            "name": one.name,
            "error": one.error or None,
            "table": one.table or None,
            "entries": one.entries and [*map(_entry, one.entries)],
        }
        for one in journals
    ]


def _entry(entry: journal.Entry) -> dict[str, Any]:
    times = {"started": entry.started, "finished": entry.finished}
    return vars(entry) | {name: at and at.isoformat() + "Z" for name, at in times.items()}
