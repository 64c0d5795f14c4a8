"""Columns: the existing one, the wanted one, and how to resolve a conflict."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.sql.quoting import comment_clause
from alembic_toolkit.verbs.ask import (
    describe_column,
    describe_columns,
    describe_constraints,
    type_text,
)
from alembic_toolkit.verbs.compare import DATED
from alembic_toolkit.verbs.remedy import code_of, schema_code
from alembic_toolkit.verbs.scratch import SCRATCH, NoScratch, plain_columns, scratch_table, verbatim
from alembic_toolkit.verbs.texts import keep_colons
from alembic_toolkit.verbs.values import COUNTING, Database, Definition, Step


def find_column(step: Step) -> Definition | None:
    found = describe_column(step.database, step.table, str(step.name), step.place)
    if found is None or step.wanted is None:
        return found
    return without_server_defaults(found, step.wanted)


def want_column(step: Step) -> Definition | None:
    wanted = without_server_defaults(scratch_column(step, step.wanted), step.wanted)
    return with_comment(step, wanted, step.wanted.comment)


def scratch_column(step: Step, column: sa.Column[Any]) -> Definition:
    """Let the server describe a column, with the other columns that a computed one may use."""
    others = plain_columns(step, without=column.name) if column.computed is not None else []
    try:
        with scratch_table(step, column, *others):
            made = describe_columns(step.database, SCRATCH, step.server.scratch_schema)
    except NoScratch:
        return known_definition(step.database, column)
    return made[step.database.truncated(column.name)]


def known_definition(database: Database, column: sa.Column[Any]) -> Definition:
    """Describe a column without asking the server: no default, and not every type."""
    word = canonical_type(database, column.type)
    known = {"null": "NULL" if column.nullable else "NOT NULL"}
    return known if word is None else known | {"type": word}


def want_altered_column(step: Step, found: Definition) -> Definition:
    """Describe the column as requested, with only the properties that are requested."""
    operation = step.operation
    default = operation.modify_server_default
    asked = {"type": operation.modify_type, "null": operation.modify_nullable}
    keys = {key for key, value in asked.items() if value is not None}
    keys |= {"default", "computed", "identity", *COUNTING} if default is not False else set()
    keys |= {"comment"} if operation.modify_comment is not False else set()
    word = canonical_type(step.database, operation.modify_type)
    plain = word is not None and not found.get("collate")
    if default is False and ("type" not in keys or plain):  # nothing to ask the server
        null = "NULL" if operation.modify_nullable else "NOT NULL"
        known = {"type": word or "", "null": null}
        known |= with_comment(step, {}, operation.modify_comment or "")
        return {key: value for key, value in known.items() if key in keys}
    column: sa.Column[Any] = sa.Column(
        step.name,
        operation.modify_type or verbatim(step.database, found["type"]),
        nullable=operation.modify_nullable is not False and not isinstance(default, sa.Identity),
        server_default=None if default is False else default,
        comment=operation.modify_comment or None,
    )
    wanted = without_server_defaults(scratch_column(step, column), column)
    # SQLite's BINARY can be requested as well, and is written as no collation.
    names_one = wanted.get("collate") or getattr(operation.modify_type, "collation", None)
    if names_one or step.server.normal_forms:  # on other servers a type keeps it
        keys |= {"collate"} if "type" in keys else set()
    if "comment" in keys:
        wanted = with_comment(step, wanted, operation.modify_comment or "")
    if step.limits and "default" not in wanted:  # not worth reporting: the ALTER can be run again
        wanted |= {key: wanted.get(key, "?") for key in ("type", "default")}
    return {key: value for key, value in wanted.items() if key in keys}


def with_comment(step: Step, definition: Definition, comment: str | None) -> Definition:
    """Return the definition with the wanted comment, or without one if none is requested."""
    rest = {key: value for key, value in definition.items() if key != "comment"}
    if comment is None or not step.database.dialect.supports_comments:
        return rest
    return rest | {"comment": comment_clause(step.server.kept_comment(comment))}


def without_server_defaults(definition: Definition, column: sa.Column[Any] | None) -> Definition:
    """Return the definition without properties that the revision leaves to the server.

    The server chooses the options of an identity, unless the revision gives them, and the name of
    a SERIAL column's sequence.
    """
    identity = None if column is None else column.identity
    given = {key for key in COUNTING if getattr(identity, key, None) is not None}
    given |= {key for key in COUNTING if getattr(identity, f"no{key}", None)}
    kept = {k: v for k, v in definition.items() if k not in COUNTING or k in given}
    if "default" not in kept:
        return kept
    if column is None or column.server_default is None or counts_up(column):
        kept["default"] = re.sub(r'(?s)"?nextval"?\(.*\)$', "nextval", kept["default"])
        return kept
    moment = MOMENT.match(str(getattr(column.server_default, "arg", "")))
    if moment and re.fullmatch(f"DEFAULT {DATED}", kept.get("default", "")):
        kept["default"] = f"DEFAULT '{moment[1].lower()}'"
    return kept


# PostgreSQL evaluates these once, when it creates the column, so no two results are the same
# (https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES)
MOMENT = re.compile(r"(?i)\s*'?\s*(now|today|tomorrow|yesterday)\b\s*(\(\s*\))?\s*('.*)?$")


def counts_up(column: sa.Column[Any]) -> bool:
    """Tell whether SQLAlchemy writes SERIAL, whatever default the revision gives."""
    table = getattr(column, "table", None)
    return isinstance(table, sa.Table) and table._autoincrement_column is column


def identity_of(found: Definition) -> sa.Identity:
    """Return a column's identity, if it has one, so that Alembic can see what differs."""
    counting: dict[str, Any] = {key: int(found[key].split()[-1]) for key in COUNTING[:-1]}
    cycle = not found["cycle"].startswith("NO")
    return sa.Identity(always="ALWAYS" in found["identity"], cycle=cycle, **counting)


def canonical_type(database: Database, type_: Any) -> str | None:
    """Return the server's own name for a plain type; None if only the server knows it."""
    words = database.server.canonical_types
    if type_ is None or not words:
        return None
    text = sa.types.to_instance(type_).compile(dialect=database.dialect)
    found = ((re.fullmatch(pattern, text), word) for pattern, word in words.items())
    return next((match.expand(word).lower() for match, word in found if match), None)


def alter_code(step: Step, found: Definition, wanted: Definition, differing: list[str]) -> str:
    """Return the call that alters the column, or renames it if it cannot be altered."""
    column: sa.Column[Any] = step.wanted
    changes: dict[str, Any] = {}
    if "type" in differing:
        changes |= {"modify_type": column.type, **cast_of(step, column.name, wanted["type"])}
    if "null" in differing:
        changes["modify_nullable"] = column.nullable
    counts = step.server.counts_up
    if "default" in differing and counts in (found.get("default"), wanted.get("default")):
        changes["autoincrement"] = wanted.get("default") == counts
    if "default" in differing and counts != wanted.get("default"):
        changes["modify_server_default"] = default_of(wanted)
    if "comment" in differing:
        changes["modify_comment"] = column.comment
    if {"collate", "computed", "identity", *COUNTING} & set(differing) or not changes:
        changes = {"modify_name": f"{column.name}_old"}
    alter = ops.AlterColumnOp(step.table, column.name, schema=step.schema, **changes)
    return code_of(alter)


def key_of_counter(step: Step, wanted: Definition) -> list[str]:
    """Return the call that makes a column a key, which an auto-increment column must be first."""
    counts = step.server.counts_up
    if not counts or wanted.get("default") != counts:
        return []
    keys = [text for _, kind, text in describe_constraints(step) if kind == "primary"]
    key = ops.CreatePrimaryKeyOp(None, step.table, [step.wanted.name], schema=step.schema)
    return [] if keys else [code_of(key)]


def is_aside(code: str) -> bool:
    """Tell whether code renames a column that cannot be altered."""
    return "new_column_name=" in code


def not_aside(step: Step, name: str) -> str:
    """Return code that tells whether that rename is still to be done."""
    aside, schema = f"{name}_old", schema_code(step.schema)
    return f"not helpers.table_has_column({step.table!r}, {aside!r}{schema})"


def add_code(step: Step, wanted: Definition) -> str:
    """Return the call that adds the wanted column."""
    column: sa.Column[Any] = step.wanted._copy()
    if column.computed is None and column.identity is None and "default" in wanted:
        counts = wanted["default"] == step.server.counts_up  # this is no default
        column.server_default = None if counts else default_of(wanted)
    return code_of(ops.AddColumnOp(step.table, column, schema=step.schema))


def default_of(wanted: Definition) -> sa.DefaultClause | None:
    """Return a column's default as the server writes it."""
    default = sa.text(wanted.get("default", "").removeprefix("DEFAULT "))
    keep_colons(default)
    return sa.DefaultClause(default) if default.text else None


def with_collation(step: Step, collation: str) -> Any:
    """Return a column's new type, with the old collation unless it has one of its own."""
    text = type_text(step.operation.modify_type, step.database.dialect)
    if not collation or not can_be_collated(text):
        return step.operation.modify_type
    return verbatim(step.database, f"{text} {collation}")


def can_be_collated(type_: str) -> bool:
    """Tell whether a type is a string type without a collation of its own."""
    return bool(TEXT.match(type_)) and not COLLATED.search(re.sub("'[^']*'", "", type_))


TEXT = re.compile(r"(?i)((var)?char(acter)?|(tiny|medium|long)?text|enum|set|citext)\b")
COLLATED = re.compile(r"(?i)\b(collate|character set|charset|binary|byte|ascii|unicode)\b")


def cast_of(step: Step, column: str, type_: str) -> dict[str, str]:
    """Return the cast that PostgreSQL needs; ``%`` is doubled for the driver."""
    if not step.server.needs_cast:
        return {}
    using = f"{step.database.quoted(column)}::{type_}".replace("%", "%%")
    return {"postgresql_using": using}
