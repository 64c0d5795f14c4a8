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
    if isinstance(given, str) and not context.opts.get("target_metadata"):
        module, _, name = given.partition(":")
        given = operator.attrgetter(name)(importlib.import_module(module))
    metadata = context.opts.get("target_metadata") or given
    if not metadata:
        return None, "env.py gives no target_metadata, and pyproject.toml none"
    if not any(one.tables for one in to_tuple(metadata)):
        return None, "the target_metadata that env.py gives has no tables"
    return metadata, ""


def differences(context: MigrationContext, metadata: Any) -> list[str]:
    """Return a line for each difference that Alembic finds between models and database."""
    found = compare_metadata(context, metadata)
    return [line for difference in found for line in _lines(difference)]


def _lines(difference: Any) -> list[str]:
    if isinstance(difference, list):  # several changes of one column
        return [line for part in difference for line in _lines(part)]
    what, *rest = difference
    names = [getattr(part, "name", part) for part in rest if not isinstance(part, dict)]
    shown = ", ".join(str(name) for name in names if name is not None)
    sign = "+" if what.startswith("add") else "-" if what.startswith("remove") else "~"
    return [f"{sign} {what}: {shown}"]
