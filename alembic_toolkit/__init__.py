"""Run hand-written Alembic revisions safely, and check them; works on anybody's history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic_toolkit.readiness import ready as ready


def __getattr__(name: str) -> Any:
    """Import `ready` when somebody asks for it: a revision must not wait for what it lacks."""
    if name == "ready":
        from alembic_toolkit.readiness import ready

        return ready
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
