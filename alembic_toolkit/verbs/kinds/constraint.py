"""Constraints: the existing one, and the wanted one."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.create_table import kind_of, split_name
from alembic_toolkit.sql.quoting import in_parentheses, qualified
from alembic_toolkit.sql.tokens import closing_parenthesis, names_in, unquoted
from alembic_toolkit.verbs.ask import constraint_type, describe_constraints, inspected_key
from alembic_toolkit.verbs.compare import is_same
from alembic_toolkit.verbs.kinds.index import compiled_index_text
from alembic_toolkit.verbs.remedy import wanted_foreign_key
from alembic_toolkit.verbs.scratch import (
    SCRATCH,
    NoScratch,
    plain_columns,
    scratch_schema,
    scratch_table,
)
from alembic_toolkit.verbs.values import LONG_NAMES, Constraint, Database, Definition, Step


def find_constraint(step: Step) -> Definition | None:
    """Find the constraint that drop_constraint names: by name, and by type if given."""
    database, type_ = step.database, step.operation.constraint_type
    found = constraint_type(database, step.table, str(step.name), step.place, type_)
    if found is None and step.server.conventional is not None:
        found = step.server.conventional(step)
    return of_type(step, found)


def of_type(step: Step, found: str | None) -> Definition | None:
    """Return the constraint to drop; None if it is of another type."""
    if found is None or step.operation.constraint_type not in (None, found):
        return None
    return {"type": found}


def find_constrained(step: Step) -> Definition | None:
    """Find a constraint by its name, or by its definition if the revision gives no name."""
    if step.name is None:
        wanted = WANT_CONSTRAINT[step.kind](step) or {}
        texts = [text for _, kind, text in describe_constraints(step) if kind == step.kind]
        same = (text for text in texts if is_same(step.server, text, wanted.get("definition", "")))
        return next(({"definition": text} for text in same), None)
    other = constraint_type(step.database, step.table, step.name, step.place, step.kind)
    if other is None:
        return None
    if other != step.kind:
        return {"definition": f"a {LONG_NAMES.get(other, other)}"}
    fold, found = step.database.case_folded, describe_constraints(step)
    names = {fold(name): text for name, kind, text in found if name and kind == step.kind}
    return {"definition": names[fold(step.name)]}


def find_primary(step: Step) -> Definition | None:
    """Find the table's primary key, whatever its name: there is at most one."""
    keys = [(name, text) for name, kind, text in describe_constraints(step) if kind == "primary"]
    for name, text in keys:
        gone = step.batch.makes_key and (step.batch.frees_key or is_replaced(step, name, text))
        return None if gone else {"definition": text}
    return None


def is_replaced(step: Step, name: str | None, text: str) -> bool:
    """Tell whether a batch's new primary key replaces the existing one."""
    fold = step.database.case_folded
    if set(key_columns(text)) == set(key_columns(want_key(step)["definition"])):
        return bool(step.name) and fold(name) != fold(step.name)
    dropped = {column.lower() for column in step.batch.drops}
    going = any(column.lower() in dropped for column in key_columns(text))
    return going or name is None  # a key without a name cannot be dropped


def key_columns(text: str) -> list[str]:
    """Return the columns of ``PRIMARY KEY (a, b WITHOUT OVERLAPS) INCLUDE (c)``."""
    listed = re.sub(r"( INCLUDE \(.*\))?( DEFERRABLE)?( INITIALLY DEFERRED)?$", "", text)
    names = listed.removeprefix("PRIMARY KEY (").removesuffix(")").split(", ")
    return [name.removesuffix(" WITHOUT OVERLAPS") for name in names]


def want_key(step: Step) -> Definition:
    names = [step.database.truncated(str(column.name)) for column in step.wanted.columns]
    own = f"{step.database.dialect.name}_"
    options = {k: v for k, v in step.wanted.dialect_kwargs.items() if k.startswith(own)}
    if included := options.get("postgresql_include"):
        included = [str(getattr(column, "name", column)) for column in included]
        options["postgresql_include"] = [step.database.truncated(name) for name in included]
    text = primary_text(names, options) if step.kind == "primary" else unique_text(names, options)
    deferred = (step.wanted.initially or "").upper() == "DEFERRED"
    return {"definition": text + deferral(step.wanted.deferrable, deferred)}


def want_check(step: Step) -> Definition | None:
    wanted = sa.CheckConstraint(step.wanted.sqltext, name=sa.schema.conv("wanted"))
    try:
        with scratch_table(step, *plain_columns(step), wanted):
            found = describe_constraints(step, SCRATCH, step.server.scratch_schema)
    except (NoScratch, sa.exc.CompileError, sa.exc.DBAPIError):
        return None  # a type unknown to SQLAlchemy, or no right to create temporary tables
    late = " NOT VALID" if step.wanted.dialect_kwargs.get("postgresql_not_valid") else ""
    return next({"definition": text + late} for name, _, text in found if name == "wanted")


def want_exclude(step: Step) -> Definition | None:
    operation = copy.copy(step.operation)
    operation.table_name, operation._orig_constraint = SCRATCH, None
    operation.schema = scratch_schema(step)
    try:
        with scratch_table(step, *plain_columns(step)):
            step.operations.impl.add_constraint(operation.to_constraint())
            found = describe_constraints(step, SCRATCH, step.server.scratch_schema)
    except NoScratch:
        return None
    return next({"definition": text} for _, kind, text in found if kind == "exclude")


def want_foreignkey(step: Step) -> Definition:
    key = wanted_foreign_key(step.wanted)
    schema, hidden = key["referred_schema"], step.server.foreign_keys.hidden_schema
    if hidden is not None and schema is not None:
        key["referred_schema"] = hidden(step.database, schema, key["referred_table"])
    late = " NOT VALID" if step.wanted.dialect_kwargs.get("postgresql_not_valid") else ""
    return {"definition": foreign_key_text(step.database, key) + late}


def compiled_definition(step: Step) -> Definition:
    """Describe an index or a constraint as SQLAlchemy writes it, without asking the server."""
    if step.kind == "index":
        return {"table": f"ON {step.table}", "definition": compiled_index_text(step)}
    compiler = step.database.dialect.ddl_compiler(step.database.dialect, None)  # type: ignore[arg-type]
    return {"definition": str(compiler.process(step.wanted))}


def describe_clause(
    database: Database, clause: str, column: list[str], schema: str | None = None
) -> Constraint:
    """Describe a constraint of a table, or of one of its columns, from its text.

    :param column: the name of the column that it belongs to, or an empty list.
    """
    name, tokens = split_name(clause)
    kind = str(kind_of(clause))
    if kind == "check":
        return name, kind, " ".join(tokens[: closing_parenthesis(tokens) + 1])
    columns = column or names_in(tokens)
    if kind == "foreignkey":
        reference = parse_reference(database, tokens, columns)
        reference["referred_schema"] = reference["referred_schema"] or schema
        return name, kind, foreign_key_text(database, reference)
    primary = f"PRIMARY KEY {in_parentheses(columns)}"
    return name, kind, primary if kind == "primary" else unique_text(columns, {})


def parse_reference(database: Database, tokens: list[str], columns: list[str]) -> dict[str, Any]:
    """Return a foreign key in the form in which SQLAlchemy reflects it."""
    words = [token.upper() for token in tokens]
    target = tokens[words.index("REFERENCES") + 1 :]
    actions = " ".join(token.upper() for token in target)
    options: dict[str, Any] = {
        key: next(iter(re.findall(rf"\bON {word} (SET \w+|NO ACTION|\w+)", actions)), None)
        for key, word in (("ondelete", "DELETE"), ("onupdate", "UPDATE"))
    }
    options["deferrable"] = "DEFERRABLE" in actions and "NOT DEFERRABLE" not in actions
    options["initially"] = "DEFERRED" if "INITIALLY DEFERRED" in actions else None
    table, schema = target[0], None
    if target[1:2] == ["."]:
        schema, table = unquoted(target[0]), target[2]
    referred = names_in(target)
    if "(" not in target[:4]:  # SQLite: the primary key of the other table
        referred = inspected_key(database, unquoted(table))
    return {
        "constrained_columns": columns,
        "referred_schema": schema,
        "referred_table": unquoted(table),
        "referred_columns": referred,
        "options": options,
    }


def foreign_key_text(database: Database, key: Any) -> str:
    """Describe a foreign key reflected by SQLAlchemy, with the properties the server keeps."""
    options = key.get("options", {})
    schema = key["referred_schema"]
    keys = database.server.foreign_keys
    if schema == database.dialect.default_schema_name or keys.stay_in_schema:
        schema = None
    period: Callable[[list[str]], list[str]] = in_period if key.get("is_temporal") else list
    columns, referred = (
        in_parentheses(period([database.truncated(str(name)) for name in key[names]]))
        for names in ("constrained_columns", "referred_columns")
    )
    target = qualified(database.truncated(key["referred_table"]), schema)
    text = f"FOREIGN KEY {columns} REFERENCES {target} {referred}"
    for word, action in (("UPDATE", "onupdate"), ("DELETE", "ondelete")):
        verb, *of = re.split(r"\s*(?=\()", options.get(action) or "NO ACTION", maxsplit=1)
        wanted = " ".join([verb.upper(), *of])
        text += "" if wanted in keys.default_actions else f" ON {word} {wanted}"
    if not keys.are_deferrable:
        return text
    if (options.get("match") or "").upper() == "FULL" and keys.match_full:
        text += " MATCH FULL"
    deferred = (options.get("initially") or "").upper() == "DEFERRED"
    return text + deferral(options.get("deferrable"), deferred)


def in_period(names: list[str]) -> list[str]:
    """Return the columns of a temporal foreign key, of which the last is a period.

    https://www.postgresql.org/docs/18/sql-createtable.html#SQL-CREATETABLE-PARMS-REFERENCES
    """
    return [*names[:-1], f"PERIOD {names[-1]}"]


def primary_text(columns: Iterable[str | None], options: Any) -> str:
    return f"PRIMARY KEY {in_parentheses(columns)}{include_text(options)}"


def unique_text(columns: Iterable[str | None], options: Any) -> str:
    nulls = " NULLS NOT DISTINCT" if options.get("postgresql_nulls_not_distinct") else ""
    listed = in_parentheses(sorted(str(column) for column in columns))
    return f"UNIQUE{nulls} {listed}{include_text(options)}"


def include_text(options: Any) -> str:
    included = options.get("postgresql_include")
    return f" INCLUDE {in_parentheses(str(column) for column in included)}" if included else ""


def deferral(deferrable: Any, deferred: bool) -> str:
    text = " DEFERRABLE" if deferrable or deferred else ""
    return text + (" INITIALLY DEFERRED" if deferred else "")


WANT_CONSTRAINT: dict[str, Callable[[Step], Definition | None]] = {
    "unique": want_key,
    "check": want_check,
    "foreignkey": want_foreignkey,
    "primary": want_key,
    "exclude": want_exclude,
}
