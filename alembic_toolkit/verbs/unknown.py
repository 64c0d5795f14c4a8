"""Columns that a verb names and the database does not have, named after the server has refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.quoting import qualified
from alembic_toolkit.verbs.ask import inspected_columns
from alembic_toolkit.verbs.errors import MissingParent, stop
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.values import CONSTRAINED, Step
from alembic_toolkit.verbs.words import meant


def names_columns(step: Step) -> bool:
    """Tell whether a step creates something on columns that it names."""
    if step.verb == "add_column":
        return bool(step.wanted.foreign_keys)
    return step.verb.startswith("create_") and step.kind in CONSTRAINED | {"index"}


def refuse_unknown_columns(step: Step) -> None:
    """Raise the error for the first column that a step names and its table does not have."""
    if not names_columns(step):
        return
    for table, schema, names in named_columns(step):
        there: list[str] = []
        with suppress(sa.exc.SQLAlchemyError):  # no such table, or the transaction has ended
            place = step.database.real_schema(schema)
            there = [str(c["name"]) for c in inspected_columns(step.database, table, place)]
        fold = step.database.case_folded
        known = {fold(name) for name in there}
        name = next((one for one in names if fold(one) not in known), None)
        if there and name is not None:
            stop(
                MissingParent,
                f"{step.call}: there is no column {name!r} in {qualified(table, schema)}."
                f"{meant(name, there)}",
                (", ".join(there), name),
                "Stopped, because there is nothing to build on.",
                f"helpers.add_column({table!r}, sa.Column({name!r}, ...){schema_code(schema)})"
                "  # before this; or correct the name",
            )


def named_columns(step: Step) -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield tables, with their schemas, and the columns that a step names in them."""
    if step.kind == "column":
        keys = [*step.wanted.foreign_keys]
    else:
        parts: Any = step.wanted.expressions if step.kind == "index" else step.wanted.columns
        # Alembic wraps the text of an expression
        columns = [p for p in parts if isinstance(p, sa.Column) and not hasattr(p, "text")]
        yield step.table, step.schema, [str(column.name) for column in columns]
        keys = list(getattr(step.wanted, "elements", ()))
    for key in keys:
        target = key.column
        yield target.table.name, target.table.schema, [str(target.name)]
