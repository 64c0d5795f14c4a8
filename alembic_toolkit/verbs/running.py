"""The revision that is running: its connection, its source, its names."""

from __future__ import annotations

from typing import Any, NoReturn

import alembic.op
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.messages import revision_frames
from alembic_toolkit.verbs.errors import Irreversible, OfflineUnsupported, at_place
from alembic_toolkit.verbs.values import Database


def migration_context() -> MigrationContext:
    return alembic.op.get_context()


def current_connection() -> sa.Connection:
    """Return the revision's connection; offline, Alembic's substitute, which knows the dialect."""
    connection: sa.Connection | None = alembic.op.get_bind()
    assert connection is not None
    return connection


def revision_globals() -> dict[str, Any]:
    """Return the globals of the running revision's module, which Alembic does not keep."""
    return next((frame.f_globals for frame in revision_frames()), {})


def in_revision() -> str:
    """Name the revision whose function is running."""
    names = revision_globals()
    return f", in revision {names['revision']}" if names else ""


def direction_of() -> tuple[str, str]:
    """Return the running revision and its direction, ``"up"`` or ``"down"``."""
    frames = list(revision_frames())
    if not frames:
        return "", "up"
    is_down = frames[-1].f_code.co_name.startswith("downgrade")
    return str(frames[-1].f_globals["revision"]), "down" if is_down else "up"


def revision_below() -> str:
    """Return the argument of a stamp for the revisions below the running one."""
    below = revision_globals().get("down_revision") or "base"
    return below if isinstance(below, str) else " ".join(below)


def refuse_script(database: Database, call: str, why: str, *way: str) -> NoReturn:
    """Refuse what a script cannot do, naming the revision; nothing of it has been written."""
    code = "\n".join(f"    {line}" for line in way)
    raise OfflineUnsupported(
        f"{at_place(call)}: there is no --sql form of this for {database.server.name}"
        f"{in_revision()}.\n"
        f"Stopped, because {why}.\nWhat to do next:\n{code}"
    )


def refuse_irreversible(why: str) -> NoReturn:
    """Refuse to downgrade the running revision."""
    raise Irreversible(
        f"{at_place(f'irreversible({why!r})')}: there is no way back{in_revision()}.\n"
        f"Stopped, because {why}.  Nothing was changed.\n"
        "What to do next:\n"
        "    # restore the backup that was made before this revision; or, where its changes may\n"
        "    # stay, or were taken back by hand:\n"
        f"    alembic stamp {revision_below()}"
    )
