"""Look, compare, then act, skip or refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.alter import alter, rename
from alembic_toolkit.verbs.ask import ask_all, ask_each, has_table, type_among
from alembic_toolkit.verbs.compare import described_as, differing_keys, must_be_given
from alembic_toolkit.verbs.conflict import FIND, WANT, refuse_conflict
from alembic_toolkit.verbs.errors import MissingParent
from alembic_toolkit.verbs.kinds.constraint import compiled_definition, of_type
from alembic_toolkit.verbs.kinds.view import find_view, want_view
from alembic_toolkit.verbs.require import (
    existence_question,
    partition_question,
    refuse_hidden,
    require_free_name,
    require_names,
    require_tables,
    required_tables,
)
from alembic_toolkit.verbs.script import skip_validation, write_step
from alembic_toolkit.verbs.source import altered_below, renamed_below
from alembic_toolkit.verbs.translate import parts_of
from alembic_toolkit.verbs.values import Definition, Question, Step, log_decision


def ensure(step: Step) -> Any:
    """Look, compare, then act, skip or refuse; offline, write what does so on the server."""
    if step.concurrently and step.server.concurrently is not None:
        require_names(step)
    if step.offline:
        return write_step(step)
    if step.verb not in ("create_table", "create_index"):
        step.database.forget()
    prefix = step.verb.split("_")[0]
    if step.kind == "enum" and "enum" in step.server.lacks:
        return log_decision("skip", step, "this server has no named enums")
    own = step.server.verbs.get(step.verb, VERBS_WITHOUT_OPERATION.get(step.verb))
    if own is not None:
        return own(step)
    act = {"create": create, "add": create, "drop": drop, "alter": alter, "rename": rename}
    try:
        return act[prefix](step)
    except MissingParent:
        name = renamed_below(step)
        if name is None:
            raise
        log_decision(
            "skip", step, f"table {step.table} is {name} already, as this revision has it later"
        )


def create(step: Step) -> Any:
    parts = parts_of(step, created=False)
    asked = [
        [*required_tables(one), *partition_question(one), *existence_question(one)]
        for one in (step, *parts)
    ]
    own, *others = ask_each(step.database, asked)
    require_tables(step, required_tables(step), own)
    found = None if existence_question(step) and own[-1] is None else FIND[step.kind](step)
    if found is None:
        if step.kind == "view" or (step.kind == "index" and own[-1] is not None):
            require_free_name(step)
        for part, answers in zip(parts, others, strict=True):
            check_part(part, answers)
        for one, answers in zip((step, *parts), (own, *others), strict=True):
            if partition_question(one) and step.server.concurrently is not None:
                step.server.concurrently.require_undivided(one, answers[len(required_tables(one))])
        log_decision("apply", step, "not there")
        result = act(step)
    else:
        if step.concurrently and step.server.concurrently is not None:
            found = step.server.concurrently.finish(step, found)
        confirm(step, found)
        result = step.wanted if step.kind == "table" else None
    for part in parts_of(step, created=found is None):
        ensure(part)
    return result


def check_part(part: Step, answers: list[Any]) -> None:
    """Refuse, before anything is changed, what a part of a new thing would refuse after it."""
    require_tables(part, required_tables(part)[1:], answers[1:])  # the first is made with the part
    is_absent = not part.name or (existence_question(part) and answers[-1] is None)
    found = None if is_absent else FIND[part.kind](part)
    if found is not None:
        refuse_conflict(part, found, compiled_definition(part), ["definition"])


def confirm(step: Step, found: Definition) -> None:
    """Log that what is there is what is wanted, or refuse."""
    wanted = WANT[step.kind](step)
    if wanted is None:
        return log_decision("skip", step, "already there, compared by name")
    differing = differing_keys(step.server, found, wanted)
    later = set(differing) & altered_below(step) if differing and step.kind == "column" else set()
    differing = [key for key in differing if key not in later]
    extra = [key for key in found if key.startswith("column ") and key not in wanted]
    needed = [key for key in extra if must_be_given(found[key])]
    if differing or needed:
        refuse_conflict(step, found, wanted, differing + needed)
    more = f"; it also has {', '.join(extra)}" if extra else ""
    more += f" but {', '.join(sorted(later))}, which this revision alters later" if later else ""
    log_decision("skip", step, f"already there, same definition{more}")


def drop(step: Step) -> Any:
    asked = [] if step.kind in NAMED_ALONE else existence_question(step)
    looks_first = not asked and step.kind not in NAMED_ALONE
    missing = looks_first and not has_table(step.database, step.table, step.schema)
    found = None if missing else find_to_drop(step, asked)
    if found is None:
        if step.kind == "table":
            refuse_hidden(step)
        missing = missing or step.kind == "table"
        missing = missing or (bool(asked) and not has_table(step.database, step.table, step.schema))
        return log_decision(
            "skip", step, f"table {step.table} is not there" if missing else "not there"
        )
    if "constraint" in found:
        return log_decision("skip", step, f"belongs to constraint {found['constraint']}")
    log_decision("apply", step, "there")
    step.found = found
    act(step)


NAMED_ALONE = {"index", "view", "enum"}  # one look finds them, without their table


def find_to_drop(step: Step, asked: list[Question]) -> Definition | None:
    """Return what is to be dropped, as far as the answer tells: what is there has a table."""
    if not asked:
        return FIND[step.kind](step)
    table = [("table", step.table, step.table, step.schema)] if step.kind == "column" else []
    answer, *has_table = ask_all(step.database, [*asked, *table])  # a view has columns, too
    if answer is not None:
        require_tables(step, table, has_table)
    if step.kind == "constraint":
        return of_type(step, type_among(answer, step.operation.constraint_type))
    return None if answer is None else {}


def replace_view(step: Step) -> None:
    found = find_view(step)
    wanted = want_view(step) if found is not None else None
    if found is not None and wanted is not None and not differing_keys(step.server, found, wanted):
        return log_decision("skip", step, "already there, same definition")
    if found is None:
        require_free_name(step)
    log_decision("apply", step, "not there" if found is None else f"was {described_as(found)}")
    act(step)


def comment_on_table(step: Step) -> None:
    """Make the table's comment what is asked for: text, or none."""
    wanted = getattr(step.operation, "comment", None)
    if not step.database.dialect.supports_comments:
        return log_decision("skip", step, "this server has no comments")
    table = ("table", step.table, step.table, step.schema)
    comment = ("table comment", step.table, "", step.schema)
    has_table, found = ask_all(step.database, [table, comment])
    if wanted is None and has_table is None:
        return log_decision("skip", step, f"table {step.table} is not there")
    require_tables(step, [table], [has_table])
    if (found or None) == (wanted or None):
        return log_decision("skip", step, "already as wanted")
    log_decision("apply", step, f"was {found!r}" if found else "had none")
    act(step)


VERBS_WITHOUT_OPERATION: dict[str, Callable[[Step], None]] = {
    "replace_view": replace_view,
    "create_table_comment": comment_on_table,
    "drop_table_comment": comment_on_table,
    "validate_constraint": skip_validation,
}
