"""A second attempt at a revision that fails on rows of ours.

A revision that reads what it finds may rely on what the application writes. Where a text has to be
JSON the server does not know; where it refuses what it finds, and says so, that is no fault.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import Script
from sqlalchemy.exc import DBAPIError, IntegrityError

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Running


@dataclass
class Gentle:
    """A second attempt at a revision, with rows that it may have a right to expect."""

    position: int
    texts: str | None = None  # of every free text; None: no rows at all
    left: list[str | None] = field(default_factory=list)  # what to try next
    failures: list[tuple[BaseException, Running, list[str]]] = field(default_factory=list)

    @property
    def why(self) -> str:
        """Say what stood in the way of the first attempt."""
        said = " ".join(str(self.failures[0][0]).split())[:200]
        if self.texts is None:
            return f"it refuses rows such as ours, and is proven without: {said}"
        return f"proven with {self.texts!r} in texts, as it wants JSON there: {said}"


GENTLE = (results.UP, results.DOWN, results.UP_AGAIN)


def reached(failure: tuple[BaseException, Running, list[str]]) -> tuple[int, bool]:
    """Say how far an attempt came; what the schema forbids counts more than what Python does."""
    error, running, _ = failure
    check = GENTLE.index(running.check) if running.check in GENTLE else -1
    return check, allowed(error)


def allowed(error: BaseException) -> bool:
    """Say whether a revision fails on what the schema allows: NULL, or the same value twice."""
    return isinstance(error, IntegrityError) or "NoneType" in str(error)


def attempts(error: BaseException, script: Script) -> list[str | None]:
    """Return what to put into texts instead, None for no rows at all."""
    if isinstance(error, DBAPIError) and "json" not in str(error).lower():
        return []
    last = [*traceback.extract_tb(error.__traceback__)][-1:]
    here = any(Path(frame.filename).resolve() == Path(script.path).resolve() for frame in last)
    refuses = here and any((frame.line or "").startswith("raise ") for frame in last)
    if refuses and not isinstance(error, NotImplementedError):
        return [None]
    # JSON, or labels, of the application's own form may be wanted: that is not known here.
    own = isinstance(error, json.JSONDecodeError | LookupError)
    return ["{}", "[]", None] if own else ["{}", "[]"]
