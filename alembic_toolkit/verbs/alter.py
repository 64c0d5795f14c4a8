"""``alter_column`` and renames: change only what differs."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NoReturn

from alembic.operations import ops

from alembic_toolkit.sql.quoting import qualified
from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.ask import ask, ask_all, inspected_columns
from alembic_toolkit.verbs.compare import described_as, differing_keys
from alembic_toolkit.verbs.errors import MissingParent, SchemaConflict, stop
from alembic_toolkit.verbs.kinds.column import find_column, identity_of, want_altered_column
from alembic_toolkit.verbs.kinds.constraint import find_constrained, want_check
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.require import missing_table, require_table, require_tables
from alembic_toolkit.verbs.scratch import verbatim
from alembic_toolkit.verbs.translate import type_checks
from alembic_toolkit.verbs.values import COUNTING, Definition, Step
from alembic_toolkit.verbs.words import log_done, log_skip, meant


def alter(step: Step) -> None:
    """Alter what differs and rename, as one unit: if it fails, nothing has changed."""
    asked, (renames, step, found) = step, look_at(step)
    if found is None:
        missing_column(step)
    if step.server.require_existing is not None:
        step.server.require_existing(step, found)
    is_rename = not without_name(asked).operation.has_changes() and step is not asked
    if is_rename and not renames and not counts_otherwise(step, found):
        return
    type_ = step.operation.modify_type
    if type_ is not None:
        step.server.bring_types(step, [type_])
    rest = only_differing(step, found)
    added = type_checks(as_renamed(step), type_)
    gone = gone_checks(step, added)
    for check in gone if step.server.rereads_checks else ():
        step.operations.invoke(check)
    if rest is None:
        log_skip(step, "already as wanted")
        if step.concurrently and step.server.concurrently is not None:
            step.server.concurrently.drop_leftover(step)
    else:
        act_on_column(step, rest, found)
    for check in gone if not step.server.rereads_checks else ():
        step.operations.invoke(check)
    for part in added:
        replace_check(part)


def look_at(step: Step) -> tuple[bool, Step, Definition | None]:
    """Return whether to rename, and the step with its column under its present name.

    A rename that is already done is removed from the step; an impossible one is refused.
    """
    operation, name = step.operation, step.operation.modify_name
    if name in (None, step.name) and step.server.column is not None:
        return False, step, find_column(step)
    is_plain = operation.modify_type is None and operation.modify_nullable is None
    table = step.question("renamable" if is_plain else "table")
    names = [str(step.name), name or str(step.name)]
    columns = [step.question("column", name) for name in names]
    has_table, old, new = ask_all(step.database, [table, *columns])
    require_tables(step, [table], [has_table])
    if name in (None, step.name):
        return False, step, None if old is None else find_column(step)
    renames = must_rename(step, old, new, str(step.name), name)
    if not renames:
        log_skip(step, f"is {name} already")
        step = as_renamed(step)
    return renames, step, find_column(step)


def as_renamed(step: Step) -> Step:
    """Return the step as it will be when its rename is done."""
    name = step.operation.modify_name
    return without_name(step if name is None else replace(step, name=name))


def without_name(step: Step) -> Step:
    """Return the step without its rename."""
    if step.operation.modify_name is None:
        return step
    step = replace(step, operation=copy.copy(step.operation))
    step.operation.column_name, step.operation.modify_name = step.name, None
    return step


def gone_checks(step: Step, added: list[Step]) -> list[ops.MigrateOperation]:
    """Return the operations that drop the old type's checks, unless the new type has them."""
    operation = step.operation
    names = {str(check.name) for check in added}
    before = type_checks(step, operation.existing_type if operation.modify_type else None)
    return [c.operation.reverse() for c in before if str(c.name) not in names]


def act_on_column(step: Step, rest: ops.AlterColumnOp, found: Definition) -> None:
    """Alter the column, and log which properties are altered."""
    if found.get("of") and alters_table(rest, found):
        require_table(step)
    if rest.existing_type is not None and step.operation.modify_type is not None:
        rest.existing_type = verbatim(step.database, found["type"])
    step = replace(step, operation=rest, found=found)
    was, renames = f"was {described_as(found)}", rest.modify_name is not None
    act(step, "" if renames else was)
    alters = without_name(step).operation.has_changes() or counts_otherwise(step, found)
    if renames and alters:
        log_done(as_renamed(step), was)


def rename(step: Step) -> None:
    new_name = str(step.name)
    asked = [step.question("renamable"), step.question("renamed", new_name)]
    old, new = ask_all(step.database, asked)
    sort = ask(step.database, "sort", step.table, "", step.schema) if old is new is None else None
    if sort is not None:
        missing_table(step, step.table, step.schema, sort)
    if must_rename(step, old, new, step.table, new_name):
        act(step)
    else:
        log_skip(step, "only the new name is there")


def must_rename(step: Step, old: Any, new: Any, old_name: str, new_name: str) -> bool:
    """Tell whether a rename is still to be done; both names or neither is a conflict.

    :param old, new: what has either name, as the server writes it; None if nothing has it.
    """
    if old is None or new is None:
        if old != new:
            return old is not None
    elif old == new:  # the same object, on a server that ignores case
        return bool(new != new_name)
    is_table = step.kind == "table"
    table, schema = qualified(step.table, step.schema), schema_code(step.schema)
    on = "" if is_table else f"{step.table!r}, "
    becomes = repr(new_name) if is_table else f"new_column_name={new_name!r}"
    found = f"neither {old_name!r} nor {new_name!r}"
    why = "there is nothing to rename"
    call = f"helpers.{'create_table' if is_table else 'add_column'}({on}{new_name!r}, ...{schema})"
    way = [f"{call}  # or see where the database stands: alembic current"]
    if old:
        found = f"both {old_name!r} and {new_name!r}"
        why = "only a person knows which of the two has the current rows"
        way = way_past_both(step, old_name, new_name)
    asked = repr(table) if is_table else f"{table!r}, {old_name!r}"
    stop(
        SchemaConflict,
        f"{step.verb}({asked}, {becomes}): cannot rename.",
        (found, f"{old_name!r} only (to rename), or {new_name!r} only (renamed already)"),
        f"Stopped, because {why}.",
        *way,
    )


def way_past_both(step: Step, old_name: str, new_name: str) -> list[str]:
    """Return code that loses no rows, and that a second run skips."""
    schema, aside = schema_code(step.schema), f"{new_name}_old"
    on, exists, rename = "", "table_exists", f"rename_table({new_name!r}, {aside!r}{schema})"
    if step.kind != "table":
        on, exists = f"{step.table!r}, ", "table_has_column"
        rename = f"alter_column({on}{new_name!r}, new_column_name={aside!r}{schema})"
    elif ask(step.database, "view", new_name, new_name, step.schema) is not None:
        exists, rename = "view_exists", f"drop_view({new_name!r}{schema})"
    elif not has_rows(step, new_name):
        rename = f"drop_table({new_name!r}{schema})  # it has no rows"
    elif not has_rows(step, old_name):
        rename = f"drop_table({old_name!r}{schema})  # it has no rows"
    both = " and ".join(f"helpers.{exists}({on}{name!r}{schema})" for name in (old_name, new_name))
    if exists == "view_exists":
        both = f"helpers.view_exists({new_name!r}{schema})"
    return [
        "# before this line, if the new one is the mistake:",
        f"if {both}:",
        f"    helpers.{rename}",
    ]


def has_rows(step: Step, table: str) -> bool:
    name = step.database.quoted(table, step.schema)
    return bool(step.database.fetch(f"SELECT 1 FROM {name} LIMIT 1")[0])


def missing_column(step: Step) -> NoReturn:
    if step.server.column is not None:
        asked = [step.question("sort"), step.question("columns")]
        sort, names = ask_all(step.database, asked)
        if sort != "table":
            missing_table(step, step.table, step.schema, sort)
    else:
        there = inspected_columns(step.database, step.table, step.schema)
        names = ", ".join(column["name"] for column in there)
    near = meant(str(step.name), names.split(", "))
    stop(
        MissingParent,
        f"{step.call}: there is no such column.{near}",
        (names, str(step.name)),
        "Stopped, because there is nothing to alter.",
        f"helpers.add_column({step.table!r}, sa.Column({step.name!r}, ...)"
        f"{schema_code(step.schema)})  # before this",
    )


def only_differing(step: Step, found: Definition) -> ops.AlterColumnOp | None:
    """Return the operation without properties the column already has; None if nothing is left."""
    rest: Any = copy.copy(step.operation)
    if rest.modify_type is not None:
        rest.modify_type = step.server.kept_type(step, found)
    wanted = want_altered_column(replace(step, operation=rest), found)
    differing = differing_keys(step.server, found, wanted)
    if not {"type", "collate"} & set(differing):
        rest.modify_type = None
        rest.kw = {key: value for key, value in rest.kw.items() if key not in OF_THE_TYPE}
    if "null" not in differing:
        rest.modify_nullable = None
    # a new type takes its default along, or PostgreSQL keeps a default of the old type
    if not {"type", "default", "computed", "identity", *COUNTING} & set(differing):
        rest.modify_server_default = False
    if found.get("identity"):
        rest.existing_server_default = identity_of(found)
    if "comment" not in differing:
        rest.modify_comment = False
    is_needed = differing or rest.modify_name is not None or counts_otherwise(step, found)
    return rest if is_needed else None


def counts_otherwise(step: Step, found: Definition) -> bool:
    """Tell whether the column auto-increments and should not, or the other way round."""
    counts, asked = step.server.counts_up, step.operation.kw.get("autoincrement")
    return None not in (counts, asked) and bool(asked) != (found.get("default") == counts)


OF_THE_TYPE = {"postgresql_using"}  # Alembic refuses these without a type


def alters_table(operation: ops.AlterColumnOp, found: Definition) -> bool:
    """Tell whether only a table can be altered like this: PostgreSQL's views can have defaults."""
    is_given = operation.modify_server_default is not False and found["of"] != "of a view"
    return is_given or operation.modify_type is not None or operation.modify_nullable is not None


def replace_check(step: Step) -> None:
    """Replace the check of the previous type by the check of the new type."""
    found = find_constrained(step)
    wanted = want_check(step) if found is not None else None
    if found is not None and wanted is not None and differing_keys(step.server, found, wanted):
        replace_both = step.server.acts.get("replace_check")
        if replace_both is not None:  # in one statement
            replace_both(step)
            return log_done(step, f"was {described_as(found)}")
        drop = ops.DropConstraintOp(str(step.name), step.table, "check", schema=step.schema)
        step.operations.invoke(drop)
    if found is None or wanted is not None:
        step.operations.invoke(step.operation)
