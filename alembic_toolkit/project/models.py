"""Compare a database with the models of an application."""

from __future__ import annotations

import importlib
import operator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.util import to_tuple


def of(context: MigrationContext, given: Any = None) -> tuple[Any, str]:
    """Return the metadata that ``env.py`` gives, or else this one; and why there is none.

    :param given: metadata, or ``package.module:name``.
    """
    metadata = context.opts.get("target_metadata") or _imported(given)
    if not metadata:
        return None, "env.py gives no target_metadata, and pyproject.toml none"
    if not any(one.tables for one in to_tuple(metadata)):
        return None, "the target_metadata that env.py gives has no tables"
    return metadata, ""


def differences(context: MigrationContext, metadata: Any) -> list[str]:
    """Say in a line each what Alembic's comparison finds between the models and the database."""
    found = compare_metadata(context, metadata)
    return [line for difference in found for line in _lines(difference)]


def _imported(metadata: Any) -> Any:
    """Return the metadata, where ``package.module:name`` is given instead."""
    if not isinstance(metadata, str):
        return metadata
    module, _, name = metadata.partition(":")
    return operator.attrgetter(name)(importlib.import_module(module))


def _lines(difference: Any) -> list[str]:
    """Say in a line each what Alembic's comparison found between the models and the database."""
    if isinstance(difference, list):  # several changes of one column
        return [line for part in difference for line in _lines(part)]
    what, *rest = difference
    names = [getattr(part, "name", part) for part in rest if not isinstance(part, dict)]
    shown = ", ".join(str(name) for name in names if name is not None)
    sign = "+" if what.startswith("add") else "-" if what.startswith("remove") else "~"
    return [f"{sign} {what}: {shown}"]
