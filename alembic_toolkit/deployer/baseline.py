"""Roots that replace old revisions: how a command sees a history that has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.util import CommandError, to_tuple

from alembic_toolkit.deployer.refusals import is_walk
from alembic_toolkit.project.baselines import Standing, apply, baselines_of


def stand(environment: EnvironmentContext, heads: Iterable[str] = ()) -> Standing:
    """Make Alembic see the history as a database knows it; return the database's heads there.

    :param heads: the revisions in its version table.
    :raises CommandError: it is somewhere in between, and must first upgrade with an older release.
    """
    wanted = to_tuple(environment.context_opts.get("destination_rev"), default=())
    return apply(environment.script, tuple(heads), map(str, wanted))


def seeing(
    environment: EnvironmentContext, function: Callable[..., Iterable[Any]]
) -> Callable[..., Any]:
    """Wrap the function that computes the steps, so that it starts at the database's revision.

    If the version table must be changed first, that is the first step.
    """
    if is_walk(function):  # it has its own database and view of the history
        return function

    def steps(heads: tuple[str, ...], migration: MigrationContext) -> list[Any]:
        standing = stand(environment, heads)
        found = list(function(standing.heads, migration))
        _refuse_past(environment, found)
        moves = "destination_rev" in environment.context_opts
        return [*(standing.marks if moves else ()), *found]

    return steps


def begin_script(environment: EnvironmentContext) -> None:
    """Make a script start at a replaced revision, for which Alembic would look in the files."""
    context = environment.get_context()
    start = to_tuple(environment.context_opts.get("starting_rev"), default=())
    if baselines_of(environment.script).all_replaced & {*start}:
        context.get_current_heads = partial(tuple, start)  # type: ignore[method-assign]


def _refuse_past(environment: EnvironmentContext, steps: Iterable[Any]) -> None:
    """Refuse to downgrade a root that replaces others, unless the base is named.

    One step down used to be one revision; now it is all of them.
    """
    wanted = str(environment.context_opts.get("destination_rev"))
    roots = baselines_of(environment.script).roots
    down = [step for step in steps if isinstance(step, RevisionStep) and step.is_downgrade]
    for step in down if wanted.rpartition("@")[2] != "base" else ():
        root = roots.get(step.revision.revision)
        if root is not None:
            raise CommandError(
                f"downgrade {wanted}: it would take back {root.id}, which stands for "
                f"{root.replaces[0]} to {root.replaces[-1]}: nothing was run\n"
                f"  found   {root.path}\n"
                f"  wanted  a revision from {root.id} on, or the base by its name\n"
                "Stopped, because one step down is everything here: every table would go.\n"
                "What to do next:\n"
                f"    alembic downgrade {root.id}\n"
                "    alembic downgrade base  # or: if everything is to go"
            )
