"""Check, compare, then act, skip or refuse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.alter import alter, rename
from alembic_toolkit.verbs.ask import ask_all, ask_each, has_table, type_among
from alembic_toolkit.verbs.broken import say_broken
from alembic_toolkit.verbs.comments import comment_on_table, complete_comments, lacking_comments
from alembic_toolkit.verbs.compare import described_as, differing_keys, must_be_given
from alembic_toolkit.verbs.conflict import FIND, WANT, refuse_conflict
from alembic_toolkit.verbs.errors import SchemaConflict
from alembic_toolkit.verbs.kinds.constraint import compiled_definition, of_type
from alembic_toolkit.verbs.kinds.view import find_view, want_view
from alembic_toolkit.verbs.meant import find_index_as_given, find_meant
from alembic_toolkit.verbs.passed import PASSED, is_passed
from alembic_toolkit.verbs.recorded import recorded_step
from alembic_toolkit.verbs.refused import may_be_refused, refused_looks, savepoint_ahead
from alembic_toolkit.verbs.require import (
    existence_question,
    partition_question,
    place_question,
    refuse_hidden,
    require_free_name,
    require_names,
    require_place,
    require_tables,
    required_tables,
)
from alembic_toolkit.verbs.script import skip_validation, write_step
from alembic_toolkit.verbs.source import altered_below, changed_below
from alembic_toolkit.verbs.translate import parts_of
from alembic_toolkit.verbs.values import Definition, Question, Step
from alembic_toolkit.verbs.words import log_skip


def ensure(step: Step) -> Any:
    """Check, compare, then act, skip or refuse; offline, write SQL that does so on the server."""
    if step.concurrently and step.server.concurrently is not None:
        require_names(step)
    if step.offline:
        return write_step(step)
    with refused_looks(step):
        return recorded_step(step, judge)


def judge(step: Step) -> Any:
    """Check and compare; then act, skip or refuse."""
    if step.kind == "enum" and "enum" in step.server.lacks:
        return log_skip(step, "this server has no named enums")
    operations = step.operations
    if operations.is_acting:
        return do(step)
    if is_passed(step):
        return skip_passed(step)
    operations.is_acting = True
    try:
        return do(step)
    except SchemaConflict:
        if is_passed(step, has_failed=True):
            return skip_passed(step)
        raise
    finally:
        operations.is_acting = False


def skip_passed(step: Step) -> Any:
    log_skip(step, PASSED)
    return step.wanted if step.verb == "create_table" else None


def do(step: Step) -> Any:
    """Do a step as its verb requires, and report objects that cannot be used afterwards."""
    with savepoint_ahead(step) if may_be_refused(step) else nullcontext():
        result = look_and_act(step)
    say_broken(step)
    return result


def look_and_act(step: Step) -> Any:
    """Do what a verb requires, or find that it is already done."""
    prefix = step.verb.split("_")[0]
    own = step.server.verbs.get(step.verb, VERBS_WITHOUT_OPERATION.get(step.verb))
    if own is not None:
        return own(step)
    act = {"create": create, "add": create, "drop": drop, "alter": alter, "rename": rename}
    return act[prefix](step)


def create(step: Step) -> Any:
    parts = parts_of(step, created=False)
    asked = [
        [*required_tables(one), *partition_question(one), *existence_question(one)]
        for one in (step, *parts)
    ]
    place = place_question(step) if step.kind != "view" else []  # asked with its name
    answer, own, *others = ask_each(step.database, [place, *asked])
    require_place(step, *answer)
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
    """Refuse, before any change, if a part of a new object would be refused later."""
    require_tables(part, required_tables(part)[1:], answers[1:])  # the first is made with it
    is_absent = not part.name or (existence_question(part) and answers[-1] is None)
    found = None if is_absent else FIND[part.kind](part)
    if found is not None:
        refuse_conflict(part, found, compiled_definition(part), ["definition"])


def confirm(step: Step, found: Definition) -> None:
    """Log that the existing object is the wanted one, or refuse."""
    wanted = WANT[step.kind](step)
    if wanted is None:
        return log_skip(step, f"already there, compared by name{step.limits}")
    differing = differing_keys(step.server, found, wanted)
    later = changed_later(step, [*differing, *(found.keys() - wanted.keys())])
    lacking = lacking_comments(step, found, wanted, differing) if differing else {}
    differing = [key for key in differing if key not in later and key not in lacking]
    fold = step.database.case_folded
    known = {fold(key) for key in wanted}
    extra = [key for key in found if key.startswith("column ") and fold(key) not in known]
    needed = [key for key in extra if must_be_given(found[key]) and key not in later]
    if differing or needed:
        refuse_conflict(step, found, wanted, differing + needed)
    more = f"; it also has {', '.join(extra)}" if extra else ""
    more += f" but {', '.join(sorted(later))}, which this revision alters later" if later else ""
    log_skip(step, f"already there, same definition{more}{step.limits}")
    complete_comments(step, list(lacking.values()))


def changed_later(step: Step, keys: list[str]) -> set[str]:
    """Return the properties that the running revision changes in later lines."""
    if step.kind == "column":
        return {*keys} & altered_below(step, str(step.name)) if keys else set()
    if step.kind != "table" or not keys:
        return set()
    fold, changed = step.database.case_folded, changed_below(step)
    return {key for key in keys if fold(key) in changed}


def drop(step: Step) -> Any:
    asked = [] if step.kind in NAMED_ALONE else existence_question(step)
    looks_first = not asked and step.kind not in NAMED_ALONE
    missing = looks_first and not has_table(step.database, step.table, step.schema)
    found = None if missing else find_to_drop(step, asked)
    if found is None and asked and step.kind != "table":
        missing = not has_table(step.database, step.table, step.schema)
    if found is None and step.kind == "constraint" and not missing:
        found = find_meant(step)
    if found is None and step.kind == "index":
        found = find_index_as_given(step)
    if found is None:
        if step.kind == "table":
            refuse_hidden(step)
        missing = missing or step.kind == "table"
        reason = f"table {step.table} is not there" if missing else "not there"
        return log_skip(step, reason, is_missing=True)
    if "constraint" in found:
        return log_skip(step, f"belongs to constraint {found['constraint']}")
    step.found = found
    act(step)


NAMED_ALONE = {"index", "view", "enum"}  # found by name, without a table


def find_to_drop(step: Step, asked: list[Question]) -> Definition | None:
    """Return the object to drop, from one answer if that suffices."""
    if not asked:
        return FIND[step.kind](step)
    table = [step.question("table")] if step.kind == "column" else []
    answer, *has_table = ask_all(step.database, [*asked, *table])  # views have columns as well
    if answer is not None:
        require_tables(step, table, has_table)
    if step.kind == "constraint":
        return of_type(step, type_among(answer, step.operation.constraint_type))
    return None if answer is None else {}


def replace_view(step: Step) -> None:
    found = find_view(step)
    wanted = want_view(step) if found is not None else None
    if found is not None and wanted is not None and not differing_keys(step.server, found, wanted):
        return log_skip(step, "already there, same definition")
    if found is None:
        require_free_name(step)
    act(step, "there was none" if found is None else f"was {described_as(found)}")


VERBS_WITHOUT_OPERATION: dict[str, Callable[[Step], None]] = {
    "replace_view": replace_view,
    "create_table_comment": comment_on_table,
    "drop_table_comment": comment_on_table,
    "validate_constraint": skip_validation,
}
