"""The steps of an upgrade or a downgrade of a database; nothing is written."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.database.standby import standby
from alembic_toolkit.deployer.refusals import refuse_steps
from alembic_toolkit.fleet.look import look
from alembic_toolkit.fleet.processes import Task
from alembic_toolkit.project.baselines import apply
from alembic_toolkit.prove import wording


@dataclass
class Plan:
    """The steps that would run on one database."""

    before: list[str] = field(default_factory=list)  # the revisions it is at
    runs: list[dict[str, str]] = field(default_factory=list)  # revision and message of each
    refused: str = ""  # why nothing would


def plan(task: Task, answered: Callable[[], None]) -> Plan:
    """Return the steps that would run on a database, from its version table and the files."""
    [found] = look(task, answered, partial(_plan, task))
    return found


def steps_of(directory: ScriptDirectory, task: Task, heads: Any) -> Any:
    """Return the steps with which Alembic brings a database to the revision of a task."""
    find = directory._downgrade_revs if task.down else directory._upgrade_revs
    return find(task.revision, heads)


def _plan(task: Task, context: MigrationContext) -> Plan:
    directory, connection = context.script, context.connection
    assert directory is not None
    assert connection is not None
    heads = context.get_current_heads()
    found = Plan(sorted(heads))
    try:
        standing = apply(directory, heads, (task.revision,))
        steps = steps_of(directory, task, standing.heads)
        found.runs = [_said(step) for step in (*standing.marks, *steps)]
        if task.down:
            _refuse_irreversible(steps)
        if "alembic_toolkit.runner" in sys.modules:  # env.py calls `run`, which refuses these
            refuse_steps(steps, context)
        if found.runs:
            _refuse_standby(connection)
    except CommandError as error:
        found.refused, found.runs = str(error), []
    return found


def _said(step: RevisionStep | StampStep) -> dict[str, str]:
    """Return the revision of a step, and its message."""
    if isinstance(step, RevisionStep):
        script = step.revision
        return {"revision": script.revision, "message": " ".join((script.doc or "").split())}
    return {"revision": ", ".join(step.to_revisions), "message": "(its mark alone)"}


def _refuse_irreversible(steps: Sequence[RevisionStep | StampStep]) -> None:
    """Refuse revisions that declare themselves irreversible."""
    for step in steps:
        if isinstance(step, RevisionStep) and (call := wording.refuses(step.revision)):
            raise CommandError(
                f"revision {step.revision.revision} cannot be taken back: {ast.unparse(call)}"
            )


def _refuse_standby(connection: Connection) -> None:
    """Refuse a standby, which refuses changes of every user; for others this is unknown."""
    facts = server_of(connection.dialect.name).standby
    found = standby(connection) if facts is not None and not facts.probe else None
    if found is not None:
        raise CommandError(f"it takes no changes: {found.found}\nWhat to do next:\n    {found.way}")
