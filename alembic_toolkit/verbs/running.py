"""The revision that is running: its connection, its source, its names."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

import alembic.op
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.verbs.errors import Irreversible, OfflineUnsupported
from alembic_toolkit.verbs.values import MADE, Database


def migration_context() -> MigrationContext:
    return alembic.op.get_context()


def current_connection() -> sa.Connection:
    """Return the revision's connection; offline, Alembic's stand-in, which knows the dialect."""
    connection: sa.Connection | None = alembic.op.get_bind()
    assert connection is not None
    return connection


def forget() -> None:
    """Forget what is known of the transaction, which other SQL may have changed."""
    if not migration_context().as_sql:
        current_connection().info.pop(MADE, None)


def revision_frames() -> Iterator[FrameType]:
    """Yield the running functions of the revision, innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        if "revision" in frame.f_globals and "down_revision" in frame.f_globals:
            yield frame
        frame = frame.f_back


def revision_globals() -> dict[str, Any]:
    """Return the globals of the running revision's module, which Alembic does not keep."""
    return next((frame.f_globals for frame in revision_frames()), {})


def in_revision() -> str:
    """Name the revision whose function is running."""
    names = revision_globals()
    return f", in revision {names['revision']} ({names.get('__file__', '?')})" if names else ""


def calls_in_revision(verb: str, below: bool = False) -> Iterator[ast.Call]:
    """Find the calls of a verb in the running functions of the revision.

    :param below: only those below the line that is running.
    """
    for frame in revision_frames():
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(frame.f_code)))
        except (OSError, SyntaxError, TypeError):  # no source, or a string that dedent cuts
            continue
        line = frame.f_lineno - frame.f_code.co_firstlineno + 1 if below else 0
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.lineno > line:
                called = getattr(node.func, "attr", getattr(node.func, "id", None))
                if called == verb:
                    yield node


def direction_of() -> tuple[str, str]:
    """Return the revision that is running, and its direction, ``"up"`` or ``"down"``."""
    frames = list(revision_frames())
    if not frames:
        return "", "up"
    is_down = frames[-1].f_code.co_name.startswith("downgrade")
    return str(frames[-1].f_globals["revision"]), "down" if is_down else "up"


def refuse_script(database: Database, call: str, why: str, *way: str) -> NoReturn:
    """Refuse what a script cannot do, naming the revision; nothing of it was written."""
    code = "\n".join(f"    {line}" for line in way)
    raise OfflineUnsupported(
        f"{call}: there is no --sql form of this for {database.server.name}{in_revision()}.\n"
        f"Stopped, because {why}.\nWhat to do next:\n{code}"
    )


def refuse_irreversible(why: str) -> NoReturn:
    """Refuse to take the running revision back."""
    revision = revision_globals()
    below = revision.get("down_revision") or "base"
    target = below if isinstance(below, str) else " ".join(below)
    raise Irreversible(
        f"irreversible({why!r}): there is no way back{in_revision()}.\n"
        f"Stopped, because {why}.  Nothing was changed.\n"
        "What to do next:\n"
        "    # restore the backup that was made before this revision; or, where its changes may\n"
        "    # stay, or were taken back by hand:\n"
        f"    alembic stamp {target}"
    )
