"""Adopt an unmarked database whose schema is exactly that of one revision.

The database is read twice: first read-only, to find its revision; then, while the deployers' lock
is held, to confirm it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from alembic_toolkit.database import journal
from alembic_toolkit.deployer.lock import held
from alembic_toolkit.deployer.options import Options
from alembic_toolkit.fleet.databases import Database
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Answer as Outcome
from alembic_toolkit.fleet.processes import Task, each
from alembic_toolkit.messages import printable_lines
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.where import verdict as kinds
from alembic_toolkit.where.answer import Answer
from alembic_toolkit.where.find import Found, look_at
from alembic_toolkit.where.look import seen
from alembic_toolkit.where.text import text

DONE, NOTHING, REFUSED = "adopted", "nothing to do", "refused"


@dataclass
class Adopted:
    """The result for one database."""

    name: str
    outcome: str
    revisions: list[str] = field(default_factory=list)
    error: str = ""
    is_judged: bool = True  # otherwise the database's revision is unknown

    @property
    def is_sound(self) -> bool:
        """Return whether its version table says what it is."""
        return self.outcome in (DONE, NOTHING)


@dataclass(frozen=True)
class Adopting(Task):
    """The task of one process."""

    revisions: tuple[str, ...] = ()
    things: Mapping[Thing, str] = field(default_factory=dict)  # the objects it had
    wait: float = 0.0  # seconds to wait for another deployer


def adopt(
    config: Path,
    databases: Sequence[Database],
    revision: str | None = None,
    *,
    x: Sequence[str] = (),
    scratches: Sequence[str] = (),
    timeout: float,
    wait: float | None = None,
) -> list[Adopted]:
    """Write the version table, and a journal row, if the schema is exactly that of one revision.

    Every other database is refused, with the differences: nothing is ever guessed.

    :param revision: the revision to choose if several have the same schema.
    :param scratches: as for `find`.
    :param wait: seconds to wait for another deployer.
    :raises CommandError: the history, or a scratch database, cannot be used.
    """
    found = look_at(config, databases, x=x, scratches=scratches, timeout=timeout)
    if len(found) != len(databases):
        raise CommandError("env.py has several databases: adopt one after the other, by --url")
    wait = Options().deploy_wait if wait is None else wait
    done = {one.name: _judged(there, revision) for one, there in zip(databases, found, strict=True)}
    tasks = [
        Adopting(
            one,
            str(config),
            tuple(x),
            revisions=tuple(done[one.name].revisions),
            things=there.seen.things,
            wait=wait,
        )
        for one, there in zip(databases, found, strict=True)
        if done[one.name].outcome == DONE and there.seen is not None
    ]

    def ended(task: Task, outcome: Outcome) -> None:
        made = done[task.database.name]
        if outcome.error:
            made.outcome, made.error, made.is_judged = REFUSED, outcome.error, False
        else:
            [made.outcome] = outcome.value

    each(_adopt, tasks, ended, at_once=1)
    return [*done.values()]


def _judged(found: Found, revision: str | None) -> Adopted:
    """Return what to do with a database."""
    one = found.answer
    states = [heads for heads in one.revisions if heads]
    if one.error:
        return Adopted(one.name, REFUSED, error=one.error, is_judged=False)
    if not states or one.kind not in (kinds.RIGHT, kinds.UNMARKED, kinds.EQUAL):
        return Adopted(one.name, REFUSED, error=_why(one))
    if one.kind == kinds.RIGHT:
        return Adopted(one.name, NOTHING, one.marked)
    if one.marked:
        return Adopted(one.name, REFUSED, error=_why(one))
    # The first of several is the one in the journal.
    asks = revision is None and one.kind == kinds.UNMARKED
    chosen = states[:1] if asks else [heads for heads in states if revision in (None, *heads)]
    if len(chosen) != 1:
        return Adopted(one.name, REFUSED, error=_why(one, revision))
    return Adopted(one.name, DONE, chosen[0])


def _why(one: Answer, revision: str | None = None) -> str:
    wanted = "a database that nothing marks, and whose schema is exactly one revision's"
    if one.kind == kinds.EQUAL:
        names = ", ".join(" ".join(heads) for heads in one.revisions)
        wanted = f"--revision, one of {names}: they have the same schema"
    elif revision is not None and one.kind == kinds.UNMARKED:
        wanted = f"--revision {' '.join(one.revisions[0])}, or none"
    return f"{text([one])}\n  wanted         {wanted}\nNothing was written: adopt never guesses."


# In the process of one database


def _adopt(task: Task, answered: Callable[[], None]) -> list[str]:
    assert isinstance(task, Adopting)
    return look(task, answered, lambda context: _stamp(task, context), writes=True)


def _stamp(task: Adopting, context: MigrationContext) -> str:
    """Mark a database, if it has not changed.

    :raises CommandError: it has changed, or another deployer does not finish.
    """
    connection, directory = context.connection, context.script
    assert connection is not None
    assert directory is not None
    connection.rollback()
    with held(context, task.wait):
        now = seen(task.database.name, (), context)
        connection.rollback()
        if now.heads == task.revisions:
            return NOTHING  # somebody else has adopted it in the meantime
        if now.heads or now.things != task.things:
            raise CommandError(
                "it has changed in the meantime: nothing was written.\n"
                f"  found   marked {', '.join(now.heads) or 'as nothing'}\n"
                "What to do next:\n    alembic-toolkit where"
            )
        place = context.version_table, context.version_table_schema
        journal.prepare(connection, *place)
        context._ensure_version_table()
        connection.commit()
        for revision in task.revisions:
            context.stamp(directory, revision)
        journal.adopted(connection, ", ".join(task.revisions), *place)
    return DONE


def report(found: Sequence[Adopted]) -> str:
    """Return a line for each database, and below it the reason if it was refused."""
    lines = []
    for one in found:
        if one.outcome == REFUSED:
            lines += [f"{one.name}: {REFUSED}", *(f"  {line}" for line in one.error.splitlines())]
        else:
            lines.append(f"{one.name}: {one.outcome}, {', '.join(one.revisions)}")
    return printable_lines("\n".join(lines))
