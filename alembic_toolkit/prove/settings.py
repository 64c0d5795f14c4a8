"""The settings of a project in ``pyproject.toml``: its databases, and its round trip::

[tool.alembic-toolkit.databases]         # for status and upgrade; variables are replaced
production = "$PRODUCTION_URL"

[tool.alembic-toolkit.where]
ignore = ["events_p*"]                   # tables that no revision makes

[tool.alembic-toolkit.roundtrip]
urls = ["sqlite:///scratch.db"]          # empty databases
checks = ["re-run", "crash", "offline"]  # beside those that are always done
metadata = "bills.models:Base.metadata"  # where env.py gives none
x = ["tenant=test"]                      # for env.py
timeout = 600                            # seconds for one step
downgrades = false                       # this history never goes down (by default it may)

[[tool.alembic-toolkit.roundtrip.exceptions]]
revision = "0004"
check = "rows survive"
reason = "nobody ever wrote a remark"

[tool.alembic-toolkit.roundtrip.rows]
bills = [{id = 1, user_id = 1, title = "Rent", amount = 10, due = 2025-01-31}]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.util import CommandError

from alembic_toolkit.project.pyproject import read_document
from alembic_toolkit.prove import results

THREE = (results.RERUN, results.CRASH, results.OFFLINE)  # of whether a revision is right
ASKED = (*THREE, results.LOCKS, results.OLD_CODE)  # the others are always done
ALWAYS = frozenset(results.CHECKS) - {*ASKED}
OF_DOWNGRADES = frozenset({results.DOWN, results.UP_AGAIN, results.BASE})
TIMEOUT = 600.0
_NOTHING = "which means nothing here"


@dataclass
class Settings:
    """A project's settings for its round trip."""

    urls: list[str] = field(default_factory=list)
    checks: frozenset[str] = ALWAYS
    exceptions: dict[tuple[str, str], str] = field(default_factory=dict)  # revision, check: reason
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    metadata: Any = None  # MetaData, or "package.module:name"
    x: list[str] = field(default_factory=list)
    timeout: float = TIMEOUT
    downgrades: bool = True
    only: frozenset[str] | None = None  # the ids of the revisions that are judged
    command: str = ""  # that was typed
    alone: bool = False  # a command is the whole program: nothing of the project is loaded there

    def __post_init__(self) -> None:
        """Leave out what is about downgrades where there are none."""
        if not self.downgrades:
            self.checks -= OF_DOWNGRADES

    def ask(self, checks: Iterable[str]) -> None:
        """Make further checks.

        :raises CommandError: there is no such check.
        """
        checks = list(checks)
        unknown = [check for check in checks if check not in results.CHECKS]
        if unknown:
            known = ", ".join(f'"{check}"' for check in results.CHECKS)
            raise CommandError(f"there is no check {unknown[0]!r}; there are {known}")
        self.checks |= {*checks}
        self.checks -= frozenset() if self.downgrades else OF_DOWNGRADES


def read(config: Path) -> Settings:
    """Read the settings of the project that an ``alembic.ini`` belongs to.

    :raises CommandError: they cannot be read, or one of them is not known.
    """
    path, document = read_document(config)
    where = f"{path}: [tool.alembic-toolkit.roundtrip]"
    given = document.get("roundtrip", {})
    if not isinstance(given, dict):
        raise CommandError(f"{where} is no table, but {given!r}")
    found: dict[str, Any] = {**given}
    settings = Settings(downgrades=found.pop("downgrades", True))
    if not isinstance(settings.downgrades, bool):
        raise CommandError(f"{where}: downgrades is true or false, without quotes")
    settings.ask(found.pop("checks", []))
    for exception in found.pop("exceptions", []):
        missing = {"revision", "check", "reason"} - {*exception}
        if missing:
            raise CommandError(f"{where}: an exception has no {', '.join(sorted(missing))}")
        settings.ask([exception["check"]] if exception["check"] not in results.CHECKS else [])
        if more := {*exception} - {"revision", "check", "reason"}:
            raise CommandError(f"{where}: an exception has {', '.join(sorted(more))}, {_NOTHING}")
        key = str(exception["revision"]), exception["check"]
        settings.exceptions[key] = str(exception["reason"])
    for name in ("urls", "rows", "metadata", "x", "timeout"):
        if name in found:
            setattr(settings, name, found.pop(name))
    if found:
        raise CommandError(f"{where} has {', '.join(found)}, {_NOTHING}")
    if others := {*document} - {"roundtrip", "databases", "where"}:
        raise CommandError(
            f"{path}: [tool.alembic-toolkit] has {', '.join(sorted(others))}, {_NOTHING}"
        )
    return settings
