"""``alter_column`` and renames: what differs, and nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NoReturn

from alembic.operations import ops

from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.ask import ask, ask_all, inspected_columns
from alembic_toolkit.verbs.compare import described_as, differing_keys
from alembic_toolkit.verbs.errors import MissingParent, SchemaConflict, stop
from alembic_toolkit.verbs.kinds.column import find_column, identity_of, want_altered_column
from alembic_toolkit.verbs.kinds.constraint import find_constrained, want_check
from alembic_toolkit.verbs.require import missing_table, require_table, require_tables
from alembic_toolkit.verbs.scratch import verbatim
from alembic_toolkit.verbs.translate import type_checks
from alembic_toolkit.verbs.values import COUNTING, Definition, Step, log_decision


def alter(step: Step) -> None:
    asked = step
    if step.operation.modify_name in (None, step.name) and step.server.column is not None:
        found = find_column(step)
    else:
        step, found = renamed(step)
    if step is not asked and not step.operation.has_changes():
        return
    if found is None:
        missing_column(step)
    rest, type_ = only_differing(step, found), step.operation.modify_type
    for part in type_checks(step, step.operation.existing_type if type_ is not None else None):
        if str(part.name) not in {str(new.name) for new in type_checks(step, type_)}:
            step.operations.invoke(part.operation.reverse())
    if rest is None:
        log_decision("skip", step, "already as wanted")
        if step.concurrently and step.server.concurrently is not None:
            step.server.concurrently.drop_leftover(step)
    else:
        if found.get("of") and alters_table(rest, found):
            require_table(step)
        step.operation = rest
        if step.operation.existing_type is not None and type_ is not None:
            step.operation.existing_type = verbatim(step.database, found["type"])
        log_decision("apply", step, f"was {described_as(found)}")
        act(step)
    for part in type_checks(step, type_):
        replace_check(part)


def renamed(step: Step) -> tuple[Step, Definition | None]:
    """Do the rename that is asked for, and return the step that is left and its column."""
    operation = step.operation
    is_plain = operation.modify_type is None and operation.modify_nullable is None
    table = step.question("renamable" if is_plain else "table")
    names = [str(step.name), step.operation.modify_name or str(step.name)]
    columns = [step.question("column", name) for name in names]
    has_table, old, new = ask_all(step.database, [table, *columns])
    require_tables(step, [table], [has_table])
    rest = rename_column(step, old, new)
    return rest, None if rest is step and old is None else find_column(rest)


def rename_column(step: Step, old: Any, new: Any) -> Step:
    """Do the rename that an ``alter_column`` asks for, and return the step that is left.

    :param old, new: what is there by either name.
    """
    new_name = step.operation.modify_name
    if new_name is None or new_name == step.name:
        return step
    if must_rename(step, old, new, str(step.name), new_name):
        rename = ops.AlterColumnOp(
            step.table, step.operation.column_name, modify_name=new_name, schema=step.schema
        )
        log_decision("apply", step, f"renamed to {new_name}")
        act(replace(step, operation=rename))
    else:
        log_decision("skip", step, f"is {new_name} already")
    rest = replace(step, name=new_name, operation=copy.copy(step.operation))
    rest.operation.column_name, rest.operation.modify_name = new_name, None
    return rest


def rename(step: Step) -> None:
    new_name = str(step.name)
    names = {"renamable": step.table, "relation": new_name}
    old, new = ask_all(step.database, [(what, n, n, step.schema) for what, n in names.items()])
    sort = ask(step.database, "sort", step.table, "", step.schema) if old is new is None else None
    if sort is not None:
        missing_table(step, step.table, step.schema, sort)
    if must_rename(step, old, new, step.table, new_name):
        log_decision("apply", step, "only the old name is there")
        act(step)
    else:
        log_decision("skip", step, "only the new name is there")


def must_rename(step: Step, old: Any, new: Any, old_name: str, new_name: str) -> bool:
    """Tell whether a rename is still to be done; both names or neither is a conflict.

    :param old, new: what is there by either name, as the server writes it; None when nothing is.
    """
    if old is None or new is None:
        if old != new:
            return old is not None
    elif old == new:  # one thing, on a server for which the case of letters does not count
        return bool(new != new_name)
    is_table = step.kind == "table"
    on = "" if is_table else f"{step.table!r}, "
    becomes = repr(new_name) if is_table else f"new_column_name={new_name!r}"
    found = f"neither {old_name!r} nor {new_name!r}"
    why = "there is nothing to rename"
    way = f"helpers.{'create_table' if is_table else 'add_column'}({on}{new_name!r}, ...)"
    way += "  # or see where the database stands: alembic current"
    if old:
        view = ask(step.database, "view", new_name, new_name, step.schema) if is_table else None
        found = f"both {old_name!r} and {new_name!r}"
        why = "only a person knows which of the two has the current rows"
        way = f"helpers.drop_{step.kind if view is None else 'view'}({on}{new_name!r})"
        way += "  # if the new one is the mistake: look into it first"
    stop(
        SchemaConflict,
        f"{step.verb}({on}{old_name!r}, {becomes}): cannot rename.",
        (found, f"{old_name!r} only (to rename), or {new_name!r} only (renamed already)"),
        f"Stopped, because {why}.",
        way,
    )


def missing_column(step: Step) -> NoReturn:
    if step.server.column is not None:
        asked = [step.question("sort"), step.question("columns")]
        sort, names = ask_all(step.database, asked)
        if sort != "table":
            missing_table(step, step.table, step.schema, sort)
    else:
        there = inspected_columns(step.database, step.table, step.schema)
        names = ", ".join(column["name"] for column in there)
    stop(
        MissingParent,
        f"{step.call}: there is no such column.",
        (names, str(step.name)),
        "Stopped, because there is nothing to alter.",
        f"helpers.add_column({step.table!r}, sa.Column({step.name!r}, ...))  # before this",
    )


def only_differing(step: Step, found: Definition) -> ops.AlterColumnOp | None:
    """Return the operation without what the column has already, None when nothing is left."""
    rest: Any = copy.copy(step.operation)
    wanted = want_altered_column(step, found)
    differing = differing_keys(step.server, found, wanted)
    if not {"type", "collate"} & set(differing):
        rest.modify_type = None
        rest.kw = {key: value for key, value in rest.kw.items() if key not in OF_THE_TYPE}
    if "null" not in differing:
        rest.modify_nullable = None
    # a new type takes its default along, or PostgreSQL keeps that as one of the old type
    if not {"type", "default", "computed", "identity", *COUNTING} & set(differing):
        rest.modify_server_default = False
    if found.get("identity"):
        rest.existing_server_default = identity_of(found)
    if "comment" not in differing:
        rest.modify_comment = False
    # whether it is to count up and does not, or not to and does, where it is asked
    counts, asked = step.server.counts_up, step.operation.kw.get("autoincrement")
    other = None not in (counts, asked) and bool(asked) != (found.get("default") == counts)
    return rest if differing or other else None


OF_THE_TYPE = {"postgresql_using"}  # what Alembic refuses without a type


def alters_table(operation: ops.AlterColumnOp, found: Definition) -> bool:
    """Tell whether only a table can be altered so: a view of PostgreSQL can have a default."""
    is_given = operation.modify_server_default is not False and found["of"] != "of a view"
    return is_given or operation.modify_type is not None or operation.modify_nullable is not None


def replace_check(step: Step) -> None:
    """Make a check that goes with a type, instead of the one that went with the type before."""
    found = find_constrained(step)
    wanted = want_check(step) if found is not None else None
    if found is not None and wanted is not None and differing_keys(step.server, found, wanted):
        drop = ops.DropConstraintOp(str(step.name), step.table, "check", schema=step.schema)
        step.operations.invoke(drop)
    if found is None or wanted is not None:
        step.operations.invoke(step.operation)
