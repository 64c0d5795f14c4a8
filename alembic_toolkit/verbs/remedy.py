"""The next step for the author, as code with the author's own names."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops

from alembic_toolkit.database.schemas import with_schemas, written_schema
from alembic_toolkit.verbs.running import current_connection


def code_of(operation: ops.MigrateOperation) -> str:
    """Return one of Alembic's operations as the call of a verb, on one line."""
    operation = with_schemas(operation, written)
    if isinstance(operation, ops.CreatePrimaryKeyOp):  # Alembic does not render it
        names = f"{operation.constraint_name!r}, {operation.table_name!r}, {[*operation.columns]}"
        schema = f", schema={operation.schema!r}" if operation.schema else ""
        return f"helpers.create_primary_key({names}{schema})"
    with _silent_alembic():
        text = render_python_code(
            ops.UpgradeOps([operation]),
            alembic_module_prefix="helpers.",
            render_item=lambda kind, item, _: item_code(kind, item),
        )
    lines = text.splitlines()[1:-1]  # between two comments
    code = " ".join(line.strip() for line in lines)
    kw = getattr(operation, "kw", {})
    more = [f", {name}={kw[name]!r}" for name in UNRENDERED if kw.get(name) is not None]
    return f"{code[:-1]}{''.join(more)})" if more else code


@contextmanager
def _silent_alembic() -> Iterator[None]:
    """Log nothing of the plugins that Alembic loads, and of the context without a server."""
    loggers = [logging.getLogger(f"alembic.runtime.{name}") for name in ("plugins", "migration")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def item_code(kind: str, item: Any) -> str | Literal[False]:
    """Return an item as a revision would spell it if Alembic renders it differently; else False."""
    if kind == "type":
        return type_code(item)
    default = item.arg if isinstance(item, sa.DefaultClause) else item
    is_text = kind == "server_default" and isinstance(default, str)
    return repr(default) if is_text else False  # Alembic would omit its own quotes


UNRENDERED = ("postgresql_using",)  # keywords that Alembic does not render


def schema_code(schema: str | None) -> str:
    schema = written(schema)
    return f", schema={schema!r}" if schema else ""


def written(schema: str | None) -> str | None:
    """Return the name by which the running revision refers to a schema."""
    return written_schema(current_connection(), schema)


def type_code(type_: Any) -> str:
    """Return a type as a revision would spell it."""
    module = type(type_).__module__
    prefix = f"sa.dialects.{module.split('.')[2]}" if ".dialects." in module else "sa"
    inner = re.sub(r"(?<![\w.'])([A-Z]\w*)\(", r"sa.\1(", repr(type_).partition("(")[2])
    return f"{prefix}.{type(type_).__name__}({inner}"


def wanted_foreign_key(key: sa.ForeignKeyConstraint) -> dict[str, Any]:
    """Return the key in the form in which SQLAlchemy reflects it."""
    referred = key.elements[0].column.table
    names = ("ondelete", "onupdate", "deferrable", "initially", "match")
    return {
        "constrained_columns": list(key.column_keys),
        "referred_schema": referred.schema,
        "referred_table": referred.name,
        "referred_columns": [element.column.name for element in key.elements],
        "options": {name: getattr(key, name) for name in names},
    }
