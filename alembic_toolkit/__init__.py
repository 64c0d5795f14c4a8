"""Run hand-written Alembic revisions safely, and check them; works with any existing history.

An ``env.py`` calls ``run``; a readiness probe calls ``ready``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["__version__", "ready", "run"]

if TYPE_CHECKING:
    from alembic_toolkit.readiness import ready as ready
    from alembic_toolkit.runner import run as run

    __version__: str
else:
    _WHERE = {"ready": "alembic_toolkit.readiness", "run": "alembic_toolkit.runner"}

    def __getattr__(name: str) -> object:
        """Import names on first use: a probe needs no runner, and a revision needs neither."""
        if name in _WHERE:
            return getattr(import_module(_WHERE[name]), name)
        if name == "__version__":
            return import_module("alembic_toolkit.installed").installed()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
