"""What to do next, as code with the author's own names."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops


def code_of(operation: ops.MigrateOperation) -> str:
    """Return one of Alembic's operations as the call of a verb, on one line."""
    if isinstance(operation, ops.CreatePrimaryKeyOp):  # which Alembic does not render
        names = f"{operation.constraint_name!r}, {operation.table_name!r}, {[*operation.columns]}"
        return f"helpers.create_primary_key({names}{schema_code(operation.schema)})"
    text = render_python_code(
        ops.UpgradeOps([operation]),
        alembic_module_prefix="helpers.",
        render_item=lambda kind, item, _: type_code(item) if kind == "type" else False,
    )
    lines = text.splitlines()[1:-1]  # between two comments
    code = " ".join(line.strip() for line in lines)
    using = getattr(operation, "kw", {}).get("postgresql_using")  # which Alembic does not render
    return f"{code[:-1]}, postgresql_using={using!r})" if using else code


def schema_code(schema: str | None) -> str:
    return f", schema={schema!r}" if schema else ""


def type_code(type_: Any) -> str:
    """Return a type as a revision would spell it."""
    module = type(type_).__module__
    prefix = f"sa.dialects.{module.split('.')[2]}" if ".dialects." in module else "sa"
    inner = re.sub(r"(?<![\w.'])([A-Z]\w*)\(", r"sa.\1(", repr(type_).partition("(")[2])
    return f"{prefix}.{type(type_).__name__}({inner}"


def wanted_foreign_key(key: sa.ForeignKeyConstraint) -> dict[str, Any]:
    """Return the key in the form in which SQLAlchemy reflects one."""
    referred = key.elements[0].column.table
    names = ("ondelete", "onupdate", "deferrable", "initially", "match")
    return {
        "constrained_columns": list(key.column_keys),
        "referred_schema": referred.schema,
        "referred_table": referred.name,
        "referred_columns": [element.column.name for element in key.elements],
        "options": {name: getattr(key, name) for name in names},
    }
