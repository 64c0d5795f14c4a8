"""Read the toolkit's section of ``pyproject.toml``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from alembic.util import CommandError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which Alembic brings along there


def databases(config: Path) -> dict[str, str]:
    """Read the databases of the project, by their names: URLs, with variables in them.

    :raises CommandError: they cannot be read.
    """
    path, document = read_document(config)
    found = document.get("databases", {})
    if not isinstance(found, dict) or not all(isinstance(url, str) for url in found.values()):
        raise CommandError(
            f"{path}: [tool.alembic-toolkit.databases] names databases\n"
            'write it like production = "$PRODUCTION_URL"'
        )
    return found


def ignored(config: Path) -> tuple[str, ...]:
    """Read the patterns of tables that no revision creates, such as a job's partitions.

    :raises CommandError: they cannot be read.
    """
    path, document = read_document(config)
    found = document.get("where", {})
    patterns = found.get("ignore", []) if isinstance(found, dict) else None
    known = isinstance(found, dict) and {*found} <= {"ignore"}
    if not known or not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise CommandError(
            f"{path}: [tool.alembic-toolkit.where] has ignore alone, a list of patterns\n"
            'write it like ignore = ["events_p*", "audit.*"]'
        )
    return tuple(patterns)


def read_document(config: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the nearest ``pyproject.toml`` above an ``alembic.ini``, and our part of it."""
    files = (directory / "pyproject.toml" for directory in config.absolute().parents)
    path = next((path for path in files if path.is_file()), None)
    if path is None:
        return None, {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    tool = document.get("tool", {})
    ours = tool.get("alembic-toolkit", {}) if isinstance(tool, dict) else tool
    if not isinstance(ours, dict):
        raise CommandError(f"{path}: [tool.alembic-toolkit] is no table, but {ours!r}")
    return path, ours
