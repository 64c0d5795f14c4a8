"""The number of a new revision."""

from __future__ import annotations

from collections.abc import Callable

from alembic.operations.ops import MigrationScript
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from alembic_toolkit.project import revisions
from alembic_toolkit.project.baselines import baselines_of


def numbering(environment: EnvironmentContext) -> Callable[..., None]:
    """Return a hook that gives a new revision the next number.

    It keeps the id of ``--rev-id``, and Alembic's own in a history whose ids are no numbers.
    """

    def number(_: MigrationContext, __: object, directives: list[MigrationScript]) -> None:
        given = environment.context_opts["revision_context"].command_args["rev_id"]
        if given and len(given) > revisions.MAX_ID_LENGTH:
            raise CommandError(
                f"--rev-id {given} has {len(given)} characters, "
                f"the version table holds {revisions.MAX_ID_LENGTH}: nothing was written"
            )
        if not given and directives:
            known = {script.revision for script in environment.script.walk_revisions()}
            known |= baselines_of(environment.script).all_replaced
            if not known or revisions.numbers(known):
                directives[0].rev_id = revisions.next_id(known)

    return number
