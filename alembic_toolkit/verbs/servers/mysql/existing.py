"""What an ``alter_column`` states about the existing column, and what it keeps."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from alembic_toolkit.sql.create_table import column_name
from alembic_toolkit.sql.show_create import read_column
from alembic_toolkit.verbs.ask import type_text
from alembic_toolkit.verbs.compare import describe_parts, differing_keys
from alembic_toolkit.verbs.errors import SchemaConflict, stop
from alembic_toolkit.verbs.kinds.column import (
    COLLATED,
    canonical_type,
    scratch_column,
    with_collation,
)
from alembic_toolkit.verbs.remedy import code_of
from alembic_toolkit.verbs.scratch import verbatim
from alembic_toolkit.verbs.servers.mysql.catalog import table_items
from alembic_toolkit.verbs.source import altered_below, altered_by
from alembic_toolkit.verbs.values import Definition, Step

COLLATION = re.compile(r"(?i)( CHARACTER SET \w+)?( COLLATE \w+)?$")


def kept_type(step: Step, found: Definition) -> Any:
    match = COLLATION.search(found["type"])
    kept = with_collation(step, match[0].strip() if match else "")
    return step.operation.modify_type if is_json(step, kept) else kept


def is_json(step: Step, kept: Any) -> bool:
    """Tell whether the collation to keep is the one that MariaDB's JSON implies."""
    if kept is step.operation.modify_type:
        return False
    items = table_items(step.database, step.table, step.schema)
    name = str(step.name).lower()
    item = next(i for i in items if i[0] in '`"' and column_name(i) == name)
    return "JSON_VALID" in read_column(item).check.upper()


def require_existing(step: Step, found: Definition) -> None:
    """Refuse false ``existing_*`` values, if Alembic would write them.

    Alembic's MODIFY contains what the revision states about the column; ours keeps what exists.
    """
    said = said_of(step) if writes_whole(step) else {}
    known = {"type": "existing_type", "null": "existing_nullable"}
    known |= {"default": "existing_server_default", "comment": "existing_comment"}
    altered = altered_below(step, str(step.name)) | altered_by(step.operation)
    said = {key: value for key, value in said.items() if key not in altered}
    try:
        said = {k: v for k, v in said.items() if not is_so(step, found, k, v)}
    except sa.exc.CompileError:
        return  # a type that this server cannot have: Alembic could not write it either
    wanted = wanted_of(step, found, said) if said else None
    if wanted is None:
        return
    has = comparable(found, said.get("type"), step)
    differing = differing_keys(step.server, has, wanted)
    if not differing:
        return
    name = str(step.name)
    changes: dict[str, Any] = {CHANGES[key]: said[key] for key in differing}
    if "default" in differing:  # perhaps only the new type can have it
        changes.setdefault("modify_type", step.operation.modify_type)
    alter = ops.AlterColumnOp(step.table, name, schema=step.schema, **changes)
    words = " and ".join(known[key] for key in differing)
    way = [f"{code_of(alter)}  # before this line, if the revision is right"]
    leave = f"# or leave out {words}, if the database is"
    if found.get("computed"):  # the server does not alter it to a stored value
        way, leave = [], f"# leave out {words}"
    stop(
        SchemaConflict,
        f"{step.call}: the column is not as {words} says.",
        (describe_parts(found, differing), describe_parts(wanted, differing)),
        "Stopped, because Alembic would write that into the column, and a verb changes only what"
        " it is asked to.",
        *way,
        leave,
    )


CHANGES = {"type": "modify_type", "null": "modify_nullable", "default": "modify_server_default"}
CHANGES |= {"comment": "modify_comment"}


def is_so(step: Step, found: Definition, key: str, value: Any) -> bool:
    """Tell whether a statement about the column is obviously true, without asking the server."""
    if key == "null":
        return found["null"] == ("NULL" if value else "NOT NULL")
    word = canonical_type(step.database, value) if key == "type" else None
    return word is not None and word == COLLATION.sub("", found["type"])


def writes_whole(step: Step) -> bool:
    """Tell whether Alembic would write the whole column; most defaults it sets separately."""
    operation = step.operation
    given = operation.modify_type, operation.modify_nullable, operation.kw.get("autoincrement")
    if any(part is not None for part in given) or operation.modify_comment is not False:
        return True
    type_ = operation.existing_type
    is_date = type_ is not None and sa.types.to_instance(type_)._type_affinity is sa.DateTime
    has_default = isinstance(operation.modify_server_default, str | sa.ClauseElement)
    return operation.modify_name is not None or (is_date and has_default)


def said_of(step: Step) -> dict[str, Any]:
    """Return the properties that the call states and does not change."""
    operation, said = step.operation, {}
    if operation.modify_type is None and operation.existing_type is not None:
        said["type"] = operation.existing_type
    if operation.modify_nullable is None and operation.existing_nullable is not None:
        said["null"] = operation.existing_nullable
    default = operation.existing_server_default
    is_said = isinstance(default, str | sa.ClauseElement | sa.DefaultClause)
    if operation.modify_server_default is False and is_said:
        # Alembic renders no other one as code.
        is_bare = isinstance(default, sa.ClauseElement)
        said["default"] = sa.DefaultClause(default) if is_bare else default
    if operation.modify_comment is False and operation.existing_comment is not None:
        said["comment"] = operation.existing_comment
    return said


def wanted_of(step: Step, found: Definition, said: dict[str, Any]) -> Definition | None:
    """Return the server's form of the properties that the call states.

    None for a type that this server cannot have: Alembic could not write it either.
    """
    there, new = verbatim(step.database, found["type"]), step.operation.modify_type
    for type_ in [said["type"]] if "type" in said else [there, new]:
        column: sa.Column[Any] = sa.Column(
            step.name,
            type_,
            nullable=said.get("null", True),
            server_default=said.get("default"),
            comment=said.get("comment"),
            autoincrement=False,
        )
        # A default that only the new type can have differs from the existing one.
        with suppress(sa.exc.CompileError, sa.exc.DBAPIError):
            made = comparable(scratch_column(step, column), said.get("type"), step)
            return {key: value for key, value in made.items() if key in said}
    return None


def comparable(definition: Definition, type_: Any, step: Step) -> Definition:
    """Return the definition, without a string's collation if the type does not give it."""
    if type_ is None or COLLATED.search(type_text(type_, step.database.dialect)):
        return definition
    return definition | {"type": COLLATION.sub("", definition["type"])}
