"""Show the status of many databases: their revision, its files, the last run.

Nothing is written. Each database is read in a separate process, see `processes`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from alembic_toolkit import exits
from alembic_toolkit.database import journal
from alembic_toolkit.database.address import shown
from alembic_toolkit.database.own import own, own_of
from alembic_toolkit.database.schemas import real_schema
from alembic_toolkit.drift.instead import in_the_models
from alembic_toolkit.fleet.databases import AT_ONCE, TIMEOUT, Database
from alembic_toolkit.fleet.env import name_of
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Answer, Task, each
from alembic_toolkit.fleet.servers import write_again
from alembic_toolkit.messages import printable
from alembic_toolkit.project.baselines import apply, baselines_of, refuse_inside
from alembic_toolkit.project.pyproject import ignored
from alembic_toolkit.prove.results import Finding


@dataclass
class Line:
    """The facts about one database."""

    name: str
    error: str = ""  # why nothing is known
    revisions: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # of these, the ones without a file
    behind: int | None = None  # revisions that an upgrade would run; None: unknown
    heads: list[str] = field(default_factory=list)  # the last revisions of the files
    empty: bool = False  # it has no tables except Alembic's
    # Edited, or deleted, since they were applied; None: there is no journal.
    edited: list[str] | None = None
    deleted: list[str] = field(default_factory=list)  # of these
    through: str = ""  # why an older release must run first
    last: journal.Entry | None = None
    drift: list[str] | None = None  # None: not asked for
    against: str = ""  # the revision it was compared with, if not models
    write: list[str] = field(default_factory=list)  # in a revision, against the drift
    unjudged: str = ""  # parts of the models that were not compared, and why
    looked: Any = field(default=None, repr=False)  # until it is compared

    @property
    def is_judged(self) -> bool:
        """Return whether it could be read, and compared with its models if requested."""
        return not self.error and not (self.drift is None and self.unjudged)

    @property
    def is_sound(self) -> bool:
        """Return whether it is at head, with the files that were applied and the models' tables."""
        faults = self.unknown or self.edited or self.drift
        return self.is_judged and self.behind == 0 and not faults


def exit_status(lines: Sequence[Line]) -> int:
    """Return the exit status of what is known of databases."""
    judged = all(line.is_judged for line in lines)
    return exits.of_all((line.is_sound for line in lines), judged=judged)


def status(
    config: Path,
    databases: Sequence[Database],
    *,
    x: Iterable[str] = (),
    drift: bool = False,
    accept: Iterable[str] = (),
    metadata: Any = None,
    scratch: Sequence[str] = (),
    timeout: float = TIMEOUT,
    progress: Callable[[str, int, int, str], None] = lambda *_: None,
) -> list[Line]:
    """Examine every database, many at the same time; an unreachable one is a line as well.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param x: for ``env.py``, as ``alembic -x``.
    :param drift: also compare with the models.
    :param accept: revisions whose edited or deleted files are accepted as they are now: the journal
     of each database gets a row. Nothing else is ever written.
    :param metadata: ``package.module:name``, if ``env.py`` gives none.
    :param scratch: URLs of empty databases, in which the models' tables are created and dropped:
     one for each server except SQLite, and except PostgreSQL if its package is installed.
    :param timeout: seconds for one database to answer; reading it may take six times as long.
    """
    more: dict[str, Any] = {"drift": drift, "accept": tuple(accept), "metadata": metadata}
    more["scratch"] = tuple(scratch)
    tasks = [Task(one, str(config), tuple(x), **more) for one in databases]
    lines: dict[str, list[Line]] = {}

    def ended(task: Task, answer: Answer) -> None:
        name = task.database.name
        lines[name] = answer.value or [Line(name_of(task), answer.error)]
        for line in lines[name]:
            if line.last is not None and line.last.error:
                error = task.database.concealed(line.last.error)
                line.last = dataclasses.replace(line.last, error=error)
        progress("databases", len(lines), len(tasks), name)

    # One scratch database can be used by one at a time.
    each(_look, tasks, ended, at_once=1 if scratch else AT_ONCE, timeout=timeout)
    return [line for task in tasks for line in lines[task.database.name]]


# In the process of one database


def _look(task: Task, answered: Callable[[], None]) -> list[Line]:
    def see(context: MigrationContext) -> Line:
        if task.accept:
            _accept(task.accept, context)
        return _line(task, context)

    return _compared(look(task, answered, see, writes=bool(task.accept)), task)


def _line(task: Task, context: MigrationContext) -> Line:
    connection, directory = context.connection, context.script
    assert directory is not None
    if connection is None:
        raise CommandError("env.py configures no connection")
    place = context.version_table, context.version_table_schema
    heads = tuple(sorted(context.get_current_heads()))
    line = Line(task.database.name or shown(connection.engine.url), revisions=[*heads])
    _place(line, directory, heads)
    if not heads:
        tables = inspect(connection).get_table_names(real_schema(connection, place[1]))
        line.empty = not {*tables} - {*own(place[0])}
    try:
        line.last = journal.last(connection, *place)
        if line.last is not None:
            replaced = baselines_of(directory).all_replaced
            line.edited = journal.edited(connection, directory, *place, replaced)
            line.deleted = [one for one in line.edited if not _has(directory, one)]
    except DBAPIError:  # it may be for others to read, or a table of theirs by that name
        connection.rollback()
    if task.drift and line.behind == 0:
        _look_at_models(line, context, task.metadata)
    elif task.drift:
        _look_at_schema(line, context, ignored(Path(task.config)))
    return line


def _place(line: Line, directory: ScriptDirectory, heads: tuple[str, ...]) -> None:
    """Record the revisions without files, or how far behind the others are."""
    try:
        standing = apply(directory, heads)
    except CommandError as error:  # it is in the middle of replaced revisions
        line.unknown = [head for head in heads if head in baselines_of(directory).all_replaced]
        if not line.unknown:
            raise
        line.through = str(error)
        return
    line.unknown = [head for head in standing.heads if not _has(directory, head)]
    line.heads = sorted(directory.get_heads())
    if not line.unknown:
        left = directory._upgrade_revs("heads", standing.heads)  # type: ignore[arg-type]
        line.behind = len(left) + len(standing.marks)


def _look_at_models(line: Line, context: MigrationContext, given: Any) -> None:
    # Imported here: who does not ask for drift need not wait for it.
    from alembic_toolkit.drift.judge import look as look_at
    from alembic_toolkit.drift.models import NO_MODELS

    line.looked, line.unjudged = look_at(context, given, own_of(context))
    if line.looked is None and line.unjudged.startswith(NO_MODELS):
        raise CommandError(f"--drift: {line.unjudged}")


def _look_at_schema(line: Line, context: MigrationContext, ignore: tuple[str, ...]) -> None:
    """Compare a database that is not at head with its revision, since the models differ."""
    from alembic_toolkit.schema.expected import Expected

    connection, directory = context.connection, context.script
    assert connection is not None
    assert directory is not None
    behind = "it is not at head, and the models are those of head"
    try:
        standing = apply(directory, tuple(line.revisions)).heads
        refuse_inside(directory)
        expected = Expected(connection, directory, ignore)
        line.drift = expected.differences(connection, standing, own_of(context))
        line.against = ", ".join(line.revisions) or "no revision"
    except CommandError as error:
        line.unjudged = f"{behind}; with its own revision it was not compared:\n{error}"


def _accept(revisions: Sequence[str], context: MigrationContext) -> None:
    """Accept the present files of these revisions.

    :raises CommandError: one is as it was applied; nothing was written.
    """
    connection, directory = context.connection, context.script
    assert connection is not None
    assert directory is not None
    place = context.version_table, context.version_table_schema
    apply(directory, context.get_current_heads())
    edited = journal.edited(connection, directory, *place, baselines_of(directory).all_replaced)
    if others := [one for one in revisions if one not in edited]:
        there = {script.revision for script in directory.walk_revisions()}
        why = (
            "its file has not changed since it was applied"
            if others[0] in there
            else "there is none"
        )
        raise CommandError(
            f"--accept {others[0]}: {why} here.\n"
            f"  found   edited or deleted: {', '.join(edited) or 'none'}\n"
            "  wanted  the id of a revision whose file was edited or deleted\n"
            "Stopped, because there is nothing to accept; nothing was written."
        )
    for revision in revisions:
        journal.accept(connection, directory, revision, *place)


def _has(directory: ScriptDirectory, revision: str) -> bool:
    try:
        return directory.get_revision(revision).revision == revision
    except (CommandError, RevisionError):
        return False


def _compared(lines: list[Line], task: Task) -> list[Line]:
    """Compare the databases with the tables of their models in a scratch database."""
    for line in lines:
        if line.looked is not None:
            from alembic_toolkit.drift.judge import judge
            from alembic_toolkit.prove.given import scratch_for

            write_again()
            with scratch_for(line.looked.context.dialect, task.scratch) as (given, why):
                drift = judge(line.looked, given.engine if given is not None else None, why)
            line.drift, line.write, line.unjudged = drift.lines, drift.code, drift.unjudged
            line.looked = None  # no process can hand it to another
    return lines


# What is shown


def text(lines: Sequence[Line]) -> str:
    """Return one aligned table, and below it what does not fit into a cell."""
    drift = any(line.drift is not None or line.unjudged for line in lines)
    head = ["database", "revision", "behind", "files", *["drift"] * drift, "last run"]
    rows = [[*map(printable, _cells(line, drift))] for line in lines]
    full = [head, *(row for row in rows if len(row) == len(head))]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    widths[0] = max(len(row[0]) for row in [head, *rows])
    # One that cannot be reached has two cells: its name and the error.
    shown = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *rows]]
    several = dict.fromkeys(", ".join(line.heads) for line in lines if len(line.heads) > 1)
    notes = [f"the history has several heads: {heads}" for heads in several]
    notes += [printable(note) for line in lines for note in _notes(line)]
    return "\n".join([*shown, *([""] if notes else []), *notes])


def _cells(line: Line, drift: bool) -> list[str]:
    if line.error:
        return [line.name, line.error.partition("\n")[0].removeprefix(f"{line.name} ")]
    revisions = ", ".join(line.revisions) or ("(empty)" if line.empty else "(none)")
    if line.unknown:
        revisions += " (unknown)"
    elif line.behind == 0 and line.revisions:
        number = len(line.revisions)
        revisions += " (head)" if number == 1 else f" ({number} heads)"
    files = "-" if line.edited is None else "as applied"
    if line.edited:
        edited = [one for one in line.edited if one not in line.deleted]
        both = ("edited", edited), ("deleted", line.deleted)
        files = "; ".join(f"{what}: {_some(ids)}" for what, ids in both if ids)
    unknown = "?" if line.unjudged else "none"
    found = str(len(line.drift or ()) or unknown)
    behind = "?" if line.behind is None else str(line.behind)
    return [line.name, revisions, behind, files, *[found] * drift, _last(line.last)]


def _some(ids: Sequence[str]) -> str:
    return f"{', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''}"


def _last(entry: journal.Entry | None) -> str:
    if entry is None:
        return "-"
    seconds = (entry.finished - entry.started).total_seconds() if entry.finished else 0.0
    took = f" in {seconds:.1f} s" if entry.finished else ""
    when = f"{entry.started:%Y-%m-%d %H:%M:%S} UTC"
    return f"{entry.revision} {entry.direction}, {entry.outcome}{took}, {when}, {entry.who}"


_TO_MODELS = "from the database to the models"


def _notes(line: Line) -> list[str]:
    notes = []
    if more := line.error.partition("\n")[2]:
        notes += [f"{line.name}:", *(f"  {one}" for one in more.splitlines())]
    if line.through:
        notes += [f"{line.name}:", *(f"  {one}" for one in line.through.splitlines())]
    elif line.unknown:
        why = "the code here is older, or from elsewhere"
        notes.append(f"{line.name}: no file here has {', '.join(line.unknown)}: {why}")
    for revision in line.edited or ():
        way_on = f"the file differs from what was applied; if that is intended: --accept {revision}"
        what = "deleted" if revision in line.deleted else "edited"
        notes.append(f"{line.name}: the file of {revision} was {what}: {way_on}")
    if line.last is not None and line.last.error:
        notes.append(f"{line.name}: {line.last.revision} failed: {line.last.error.splitlines()[0]}")
    if line.drift:
        what = f"compared with what {line.against} makes" if line.against else _TO_MODELS
        notes += [f"{line.name}, {what}:"]
        notes += [f"  {one}" for one in line.drift]
    if line.write:
        notes += ["  to write in the next revision:", *(f"    {one}" for one in line.write)]
    if line.drift and not line.against and (instead := in_the_models(line.drift)):
        notes.append("  or, where the database is right, in the models:")
        notes += [f"    {one}" for one in instead]
    if line.unjudged:
        first, *others = line.unjudged.splitlines()
        notes += [f"{line.name}, not judged: {first}", *(f"  {one}" for one in others)]
    return notes


def findings(lines: Sequence[Line]) -> list[Finding]:
    """Return the reasons why databases are not at head, as applied."""
    return [finding for line in lines for finding in _findings(line)]


def _findings(line: Line) -> Iterator[Finding]:
    name = line.name
    for id_ in line.unknown:
        why = tuple(line.through.splitlines()) or ("the code here is older, or from elsewhere",)
        yield Finding("revision", name, id_, "", f"no file here has {id_}", why)
    if line.behind:
        problem = f"it is {line.behind} revision{'s' if line.behind > 1 else ''} behind"
        yield Finding("behind", name, ", ".join(line.revisions), "", problem)
    for id_ in line.edited or ():
        problem = f"its file was {'deleted' if id_ in line.deleted else 'edited'}"
        yield Finding("files", name, id_, "", problem, (), f"if that is meant: --accept {id_}")
    if line.drift:
        compared = f"what {line.against} makes" if line.against else "the models"
        number = len(line.drift)
        problem = f"{number} difference{'s' if number > 1 else ''} from {compared}"
        yield Finding("drift", name, "", "", problem, tuple(line.drift), "\n".join(line.write))


def to_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the facts about each for machines; times are UTC, in ISO 8601."""
    found = []
    for line in lines:
        one: dict[str, Any] = dataclasses.asdict(line) | {"sound": line.is_sound}
        one["error"] = line.error or None
        del one["deleted"], one["through"]  # they are `edited`, or `unknown`, too
        del one["looked"], one["against"]
        one["unjudged"] = line.unjudged or None
        for name in ("started", "finished") if line.last is not None else ():
            moment = one["last"][name]
            one["last"][name] = moment and moment.isoformat() + "Z"
        found.append(one)
    return found
