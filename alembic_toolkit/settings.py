"""What a project says in ``pyproject.toml``: of its databases, and of its round trip::

[tool.alembic-toolkit.databases]         # for status and upgrade; variables are replaced
production = "$PRODUCTION_URL"

[tool.alembic-toolkit.roundtrip]
urls = ["sqlite:///scratch.db"]          # empty databases
checks = ["re-run", "crash", "offline"]  # beside those that are always done
metadata = "bills.models:Base.metadata"  # where env.py gives none
x = ["tenant=test"]                      # for env.py
timeout = 600                            # seconds for one step

[[tool.alembic-toolkit.roundtrip.exceptions]]
revision = "0004"
check = "rows survive"
reason = "nobody ever wrote a remark"

[tool.alembic-toolkit.roundtrip.rows]
bills = [{id = 1, user_id = 1, title = "Rent", amount = 10, due = 2025-01-31}]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.util import CommandError

from alembic_toolkit import proof

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which Alembic brings along there

ASKED = (proof.RERUN, proof.CRASH, proof.OFFLINE)  # the others are always done
ALWAYS = frozenset(proof.CHECKS) - {*ASKED}
TIMEOUT = 600.0


@dataclass
class Settings:
    """One project's wishes."""

    urls: list[str] = field(default_factory=list)
    checks: frozenset[str] = ALWAYS
    exceptions: dict[tuple[str, str], str] = field(default_factory=dict)  # revision, check: reason
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    metadata: Any = None  # MetaData, or "package.module:name"
    x: list[str] = field(default_factory=list)
    timeout: float = TIMEOUT

    def ask(self, checks: Iterable[str]) -> None:
        """Want further checks.

        :raises CommandError: there is no such check.
        """
        checks = list(checks)
        unknown = [check for check in checks if check not in proof.CHECKS]
        if unknown:
            known = ", ".join(f'"{check}"' for check in proof.CHECKS)
            raise CommandError(f"there is no check {unknown[0]!r}; there are {known}")
        self.checks |= {*checks}


def read(config: Path) -> Settings:
    """Read the settings of the project that an ``alembic.ini`` belongs to.

    :raises CommandError: they cannot be read, or one of them is not known.
    """
    path, document = _document(config)
    return _settings(path, dict(document.get("roundtrip", {}))) if path else Settings()


def databases(config: Path) -> dict[str, str]:
    """Read the databases of the project, by their names: URLs, with variables in them.

    :raises CommandError: they cannot be read.
    """
    path, document = _document(config)
    found = document.get("databases", {})
    if not isinstance(found, dict) or not all(isinstance(url, str) for url in found.values()):
        raise CommandError(
            f"{path}: [tool.alembic-toolkit.databases] names databases\n"
            'write it like production = "$PRODUCTION_URL"'
        )
    return found


def _document(config: Path) -> tuple[Path | None, dict[str, Any]]:
    path = _file(config)
    if path is None:
        return None, {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    return path, document.get("tool", {}).get("alembic-toolkit", {})


def _file(config: Path) -> Path | None:
    """Return the nearest pyproject.toml, from the directory of the ini file upwards."""
    for directory in (config.absolute().parent, *config.absolute().parent.parents):
        path = directory / "pyproject.toml"
        if path.is_file():
            return path
    return None


def _settings(path: Path, found: dict[str, Any]) -> Settings:
    settings = Settings()
    where = f"{path}: [tool.alembic-toolkit.roundtrip]"
    settings.ask(found.pop("checks", []))
    for exception in found.pop("exceptions", []):
        missing = {"revision", "check", "reason"} - {*exception}
        if missing:
            raise CommandError(f"{where}: an exception has no {', '.join(sorted(missing))}")
        settings.ask([exception["check"]] if exception["check"] not in proof.CHECKS else [])
        key = str(exception["revision"]), exception["check"]
        settings.exceptions[key] = str(exception["reason"])
    for name in ("urls", "rows", "metadata", "x", "timeout"):
        if name in found:
            setattr(settings, name, found.pop(name))
    if found:
        raise CommandError(f"{where} has {', '.join(found)}, which means nothing here")
    return settings
