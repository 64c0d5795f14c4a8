"""Find the servers for which ``schemas.json`` is older than the history."""

from __future__ import annotations

from collections.abc import Sequence

from alembic.script import ScriptDirectory

from alembic_toolkit.project import checks
from alembic_toolkit.project.revisions import Finding, Revision
from alembic_toolkit.schema import stored


def findings(directory: ScriptDirectory, revisions: Sequence[Revision]) -> list[Finding]:
    """Return the servers for which the file is older than the history; none if there is no file."""
    path, seen = stored.path_of(directory), checks.seen(revisions)
    files = {one.id: one.path for one in seen}
    return [
        Finding(
            path,
            f"is older than the history, for {name}: {said}",
            f"{stored.write_command(name)}  # and commit the file",
        )
        for name, part in stored.read(path).items()
        if (said := stored.older(part, files))
    ]
