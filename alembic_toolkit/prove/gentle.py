"""A second attempt at a revision that fails on generated rows.

A revision that reads rows may rely on what the application writes. The server does not know which
texts have to be JSON; and a revision that refuses rows with a clear error is not faulty.
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
    texts: str | None = None  # the value of every free text; None: no rows at all
    left: list[str | None] = field(default_factory=list)  # what to try next
    failures: list[tuple[BaseException, Running, list[str]]] = field(default_factory=list)

    @property
    def why(self) -> str:
        """Return why the first attempt failed."""
        words = " ".join(str(self.failures[0][0]).split())[:200]
        if self.texts is None:
            return f"it refuses rows such as ours, and is proven without: {words}"
        return f"proven with {self.texts!r} in texts, as it wants JSON there: {words}"


GENTLE = (results.UP, results.DOWN, results.UP_AGAIN)


def progress(failure: tuple[BaseException, Running, list[str]]) -> tuple[int, bool]:
    """Return how far an attempt came; an error of the schema counts more than one of Python."""
    error, running, _ = failure
    check = GENTLE.index(running.check) if running.check in GENTLE else -1
    return check, allowed(error)


def allowed(error: BaseException) -> bool:
    """Return whether a revision fails on what the schema allows: NULL, or a value twice."""
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
    # The revision may want JSON, or labels, in the application's own form, which we do not know.
    own = isinstance(error, json.JSONDecodeError | LookupError)
    return ["{}", "[]", None] if own else ["{}", "[]"]
