"""What to do next, as code with the author's own names."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from alembic_toolkit.verbs.values import Step


def schema_code(schema: str | None) -> str:
    return f", schema={schema!r}" if schema else ""


def with_schema(step: Step, code: str) -> str:
    """Return a call with the schema of the step's table."""
    source = ", source_" if "create_foreign_key(" in code else ", "
    return f"{code[:-1]}{schema_code(step.schema).replace(', ', source, 1)})"


def type_code(type_: Any) -> str:
    """Return a type as a revision would spell it."""
    module = type(type_).__module__
    prefix = f"sa.dialects.{module.split('.')[2]}" if ".dialects." in module else "sa"
    inner = re.sub(r"(?<![\w.'])([A-Z]\w*)\(", r"sa.\1(", repr(type_).partition("(")[2])
    return f"{prefix}.{type(type_).__name__}({inner}"


def default_code(default: str) -> str:
    return f"sa.text({default!r})" if default else "None"


def constraint_code(table: str, constraint: Any, check: str) -> str:
    """Return the verb that makes a constraint.

    :param check: the condition of a check constraint.
    """
    name = str(constraint.name) if constraint.name else None
    columns = [column.name for column in getattr(constraint, "columns", ())]
    if isinstance(constraint, ExcludeConstraint):
        return exclude_code(table, name, constraint)
    if isinstance(constraint, sa.ForeignKeyConstraint):
        key = wanted_foreign_key(constraint)
        given = {k: v for k, v in key["options"].items() if v is not None}
        target = f"{key['referred_table']!r}, {columns}, {key['referred_columns']}"
        given |= {"referent_schema": key["referred_schema"]} if key["referred_schema"] else {}
        options = "".join(f", {option}={value!r}" for option, value in given.items())
        return f"helpers.create_foreign_key({name!r}, {table!r}, {target}{options})"
    if isinstance(constraint, sa.CheckConstraint):
        return f"helpers.create_check_constraint({name!r}, {table!r}, {check!r})"
    verb = "primary_key" if isinstance(constraint, sa.PrimaryKeyConstraint) else "unique_constraint"
    return f"helpers.create_{verb}({name!r}, {table!r}, {columns}{options_code(constraint)})"


def options_code(constraint: Any) -> str:
    names = ("deferrable", "initially")
    given = {key: getattr(constraint, key) for key in names} | dict(constraint.dialect_kwargs)
    return "".join(f", {key}={value!r}" for key, value in given.items() if value)


def exclude_code(table: str, name: str | None, constraint: ExcludeConstraint) -> str:
    elements = [(str(expression), op) for expression, _, op in constraint._render_exprs]
    given = ", ".join(f"({expression!r}, {op!r})" for expression, op in elements)
    where = f", where=sa.text({str(constraint.where)!r})" if constraint.where is not None else ""
    using = f", using={constraint.using!r}{where}{options_code(constraint)}"
    return f"helpers.create_exclude_constraint({name!r}, {table!r}, {given}{using})"


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
