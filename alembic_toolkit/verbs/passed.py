"""Tell whether the running revision is already past a step: the effects of its later steps exist.

A revision drops a column and gives its name to another one.  On a second run it finds a column of
that name, which it must not drop.  So the steps on the same objects are compared as stages: before
the first step, after the first step, and so on.  At each stage, certain objects exist and others do
not.  If the database is at a stage after a later step, this step is done.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import sqlalchemy as sa

from alembic_toolkit.database.record import record_of
from alembic_toolkit.verbs.ask import (
    ask_all,
    ask_each,
    describe_constraints,
    describe_index,
    inspected_columns,
    is_on,
    type_text,
)
from alembic_toolkit.verbs.compare import differing_keys
from alembic_toolkit.verbs.conflict import FIND, WANT
from alembic_toolkit.verbs.errors import SchemaConflict, stop
from alembic_toolkit.verbs.running import direction_of, revision_below
from alembic_toolkit.verbs.source import (
    RENAMING,
    VERBS,
    has_words,
    is_read_below,
    later_steps,
    makes_unknown,
)
from alembic_toolkit.verbs.values import HERE, Database, Question, Step

PASSED = "this revision is past this step: its later changes exist"
Thing = Question
"""A kind of thing, its table, its name, its schema: as the catalog is asked for it.

Its names are folded as the server folds them, so that one thing has one spelling.
"""


@dataclass
class Effects:
    """The objects that a step needs, removes and creates."""

    needs: list[Thing] = field(default_factory=list)
    removes: list[Thing] = field(default_factory=list)
    makes: list[Thing] = field(default_factory=list)
    types: list[Thing] = field(default_factory=list)  # the types that columns get

    def folded(self, database: Database) -> Effects:
        """Return the same effects, with names folded as by the server."""

        def fold(things: list[Thing]) -> list[Thing]:
            return [folded(database, thing) for thing in things]

        return Effects(fold(self.needs), fold(self.removes), fold(self.makes), fold(self.types))

    @property
    def all(self) -> set[Thing]:
        return {*self.needs, *self.removes, *self.makes, *self.types}


def folded(database: Database, thing: Thing) -> Thing:
    """Return a thing with its names as the server folds them; those of tables in another way."""
    what, table, name, schema = thing
    is_whole = what in ("relation", "enum")
    fold = database.table_folded
    return what, fold(table), fold(name) if is_whole else database.case_folded(name), schema


def made_here(steps: Iterable[Step]) -> set[str]:
    """Return the names of new objects without a schema: these are looked up in one schema only."""
    names: set[str] = set()
    for step in steps:
        fold = step.database.table_folded
        if step.place == HERE:
            names.add(fold(step.table or step.name))
        if step.verb == "rename_table" and fold(step.table) in names:
            names.add(fold(step.name))
    return names


def effects_of(step: Step, here: Container[str] = ()) -> Effects:
    """Return the objects that a step needs, removes and creates, with folded names.

    :param here: see :func:`made_here`.
    """
    return effects_as_written(step, here).folded(step.database)


def effects_as_written(step: Step, here: Container[str]) -> Effects:
    """Return the objects that a step needs, removes and creates, with names as written."""
    table, name = step.table, str(step.name)

    def place(name: str) -> str | None:
        is_here = step.database.table_folded(name) in here
        return HERE if step.schema is None and is_here else step.schema

    schema = place(table or name)
    own = relation(table, schema)
    if step.kind in ("view", "enum"):
        whole = ("enum", name, name, schema) if step.kind == "enum" else relation(name, schema)
        return Effects(removes=[whole]) if step.verb.startswith("drop") else Effects(makes=[whole])
    if step.verb == "create_table":
        return Effects(makes=[own, *parts_within(step, schema)])
    if step.verb == "drop_table":
        return Effects(removes=[own])
    if step.verb == "rename_table":
        new = relation(name, place(name))
        if step.database.table_folded(name) == step.database.table_folded(table):
            return Effects([own])  # only its case changes
        return Effects(removes=[own], makes=[new])
    thing = part_of(step, schema)
    if step.verb.startswith("drop_") and step.kind != "comment":
        return Effects([own] if step.kind == "column" else [], [thing] if thing else [])
    if step.verb == "alter_column":
        return effects_of_altering(step, schema)
    if step.verb == "validate_constraint":
        return Effects([own, ("constraint types", table, name, schema)])
    if step.verb.startswith(("create_", "add_")) and thing is not None:
        types = types_of(step, step.wanted.type, schema) if step.kind == "column" else []
        makes = [thing, *keys_of(step, schema)]
        return Effects([own, *columns_of(step, schema)], makes=makes, types=types)
    return Effects([own])


def effects_of_altering(step: Step, schema: str | None) -> Effects:
    """Return the effects of altering or renaming a column."""
    table, name, own = step.table, str(step.name), relation(step.table, schema)
    fold = step.database.case_folded
    new, changed = step.operation.modify_name, step.operation.modify_type
    before = types_of(step, step.operation.existing_type, schema)
    column: Thing = ("column", table, name, schema)
    if new is not None and fold(new) != fold(name):
        moved = [column, *before]
        return Effects([own], moved, [(kind, table, new, schema) for kind, *_ in moved])
    if changed is None:
        return Effects([own, column, *before])
    return Effects([own, column], types=types_of(step, changed, schema))


TYPE = "column of type "  # a kind of object: the type that a call gives for a column


def typed(step: Step, type_: Any) -> str:
    """Return a type as its server would report it, without properties that the server adds."""
    text = type_text(type_, step.database.dialect).replace("INTEGER", "INT")
    return re.sub(r"(?<=INT)\(\d+\)| (CHARACTER SET|COLLATE) .*", "", text)


def types_of(step: Step, type_: Any, schema: str | None) -> list[Thing]:
    """Return the type that a step gives for its column, if it gives one.

    A type that this server cannot have is ignored, because ``existing_type`` may be wrong.
    """
    if type_ is None or isinstance(type_, sa.types.NullType):
        return []
    try:
        text = typed(step, type_)
    except sa.exc.CompileError:
        return []
    return [(f"{TYPE}{text}", step.table, str(step.name), schema)]


def relation(name: str, schema: str | None) -> Thing:
    return "relation", name, name, schema


def part_of(step: Step, schema: str | None) -> Thing | None:
    """Return the part of a table that a step is about; None if it has no name."""
    table, name = step.table, step.name
    type_ = getattr(step.operation, "constraint_type", None)
    if step.kind == "primary" or (step.kind == "constraint" and type_ == "primary"):
        return "primary", table, "", schema
    if name is None or step.kind == "comment":
        return None
    what = {"column": "column", "index": "named index"}.get(step.kind, "constraint types")
    return what, table, str(name), schema


def parts_within(step: Step, schema: str | None) -> list[Thing]:
    """Return the parts of a table to create."""
    table = step.table
    found: list[Thing] = [("column", table, c.name, schema) for c in step.wanted.columns]
    if step.wanted.primary_key.columns:
        found.append(("primary", table, "", schema))
    return found


def columns_of(step: Step, schema: str | None) -> list[Thing]:
    """Return the columns that an index or a key needs."""
    columns = getattr(step.wanted, "columns", ()) if step.kind != "column" else ()
    return [("column", step.table, str(column.name), schema) for column in columns]


def keys_of(step: Step, schema: str | None) -> list[Thing]:
    """Return the primary key that a column brings with it."""
    is_key = step.kind == "column" and step.wanted.primary_key
    return [("primary", step.table, "", schema)] if is_key else []


def is_passed(step: Step, *, has_failed: bool = False) -> bool:
    """Tell whether the running revision is already past a later step.

    The database is asked only if a later step reverses this one or removes an object that it needs,
    or if this one cannot be done.
    """
    follows = bool(step.batch.later) or has_words(EITHER)
    return follows and is_past(step, has_failed)


def is_past(step: Step, has_failed: bool) -> bool:
    """Tell the same of a revision in which something follows the step."""
    if step.verb in ("drop_column", "drop_table") and makes_unknown(step):
        gone = effects_of(step).removes
        if done_before(step) and all(existing(step, gone).values()):
            refuse_again(step, "what has its name")
    later = later_steps(step) if has_failed or may_be_reversed(step) else []
    if not later:
        return False
    steps = [step, *later]
    here = made_here(steps)
    effects = [effects_of(one, here) for one in steps]
    reversing = [e for e in effects[1:] if reverses(e, effects[0], step)]
    if not reversing and not has_failed:
        return False
    stages = stages_of(effects)
    found = existing(step, {thing for stage in stages for thing in stage})
    found = with_new_names(step, steps, effects, found)
    few = set().union(*(e.all for e in (effects[0], *reversing)))
    matching = likely(stages, found, few)
    if not matching or max(matching) < 2:
        return False
    own = effects[0]
    if 0 in matching and own.removes:
        was_done = done_before(step)
        if was_done is False:
            return False
        # An object that is renamed to be copied from is not dropped: a second run ends the same.
        is_copied = step.verb == "rename_table" and is_read_below(str(step.name))
        is_anew = not is_copied and is_made_anew(step, own.removes, later, effects)
        if was_done and not is_anew:
            refuse_again(step, later[-1].call)
        return is_anew
    if 0 in matching and done_before(step):
        used = [thing for effect in reversing for thing in effect.removes if thing in own.needs]
        if used and is_made_anew(step, used, later, effects):
            return True  # another object has its name now
        if used:
            refuse_again(step, later[-1].call)
    if has_failed and own.makes and not own.removes and found[own.makes[0]]:
        return is_made_anew(step, own.makes, later, effects)  # it exists, and is another object
    return min(matching) > 1


def may_be_reversed(step: Step) -> bool:
    """Tell whether the revision has verbs that could reverse a step, on any object."""
    if step.batch.later:
        return True
    if step.verb.startswith(("create_", "add_")):  # these remove nothing
        return has_words(TAKING)
    own = effects_of(step)
    if not (own.needs or own.makes):
        return has_words(GIVING) if own.removes else False
    return has_words(EITHER if own.removes else TAKING)


# Names of verbs that remove objects, and of verbs that create them; alter_column can rename
TAKING = frozenset({verb for verb in VERBS if verb.startswith("drop_")} | RENAMING)
GIVING = frozenset(VERBS - TAKING | RENAMING)
EITHER = TAKING | GIVING


def likely(stages: list[Stage], found: Stage, few: set[Thing]) -> list[int]:
    """Return the stages at which the database may be, by all known facts, or by fewer.

    The types in the calls may be wrong, and something else may have changed since.
    """
    untyped = {thing: there for thing, there in found.items() if not thing[0].startswith(TYPE)}
    fewest = {thing: there for thing, there in untyped.items() if thing in few}
    return matches(stages, found) or matches(stages, untyped) or matches(stages, fewest)


def done_before(step: Step) -> bool | None:
    """Tell whether the journal of `run` says that the revision was done; None without a journal."""
    record = record_of(step.database.connection)
    return None if record is None else record.was_done()


def refuse_again(step: Step, last: str) -> NoReturn:
    """Refuse to remove what the same function created, if the database shows no trace of it."""
    revision, direction = direction_of()
    done = f"alembic stamp {revision if direction == 'up' else revision_below()}"
    journal = record_of(step.database.connection)
    stop(
        SchemaConflict,
        f"{step.call}: this may be done already, {last} with it.",
        (
            f"a journal that says that the revision was done, {direction}",
            "to do what looks the same before and after it",
        ),
        "Stopped, because running it again would undo its own work.",
        "# see whether it is done; where it is:",
        done,
        "# where it was undone by hand, have the journal forget it, and run the command again:",
        f"{journal.forgetting() if journal else ''};",
    )


def reverses(later: Effects, own: Effects, step: Step) -> bool:
    """Tell whether a later step reverses a step, or removes an object that it needs."""
    taken = {*own.makes, *own.needs} & {*later.removes}
    tables = {thing[1] for thing in taken if thing[0] == "relation"}
    wanted = step.database.case_folded(str(step.wanted)) if step.verb == "backfill" else ""
    words = set(re.findall(r"\w+", wanted))
    used = {thing for thing in later.removes if thing[0] == "column" and thing[2] in words}
    return bool(taken or tables or used or {*own.removes} & {*later.makes})


Stage = dict[Thing, bool]
ON_COLUMNS = ("named index", "constraint types", "primary")


def stages_of(effects: list[Effects]) -> list[Stage]:
    """Return what exists and what does not, as far as known, before each step and at the end."""
    stages: list[Stage] = [{}]
    for effect in effects:
        for thing in (*effect.needs, *effect.removes):
            note_before(stages, thing, True)
        for thing in effect.makes:
            note_before(stages, thing, False)
        state = dict(stages[-1])
        for thing in effect.removes:
            state[thing] = False
            if thing[0] == "relation":
                state = without_parts(state, thing, effect.makes)
            if thing[0] == "column" and not effect.makes:  # objects on it are dropped or replaced
                state = {
                    k: v for k, v in state.items() if k[0] not in ON_COLUMNS or k[1] != thing[1]
                }
        for _, *column in effect.types:
            state |= {t: False for t in state if t[0].startswith(TYPE) and [*t[1:]] == column}
        state |= dict.fromkeys([*effect.makes, *effect.types], True)
        stages.append(state)
    return stages


def without_parts(state: Stage, gone: Thing, makes: list[Thing]) -> Stage:
    """Return the remaining objects when a table is gone; if it is renamed, its parts follow."""
    parts = [part for part in state if part[0] != "relation" and is_within(part, gone)]
    moved: Stage = {}
    for new in makes:  # an earlier object of this name had other parts
        state = {k: v for k, v in state.items() if k[0] == "relation" or not is_within(k, new)}
        moved |= {(p[0], new[1], p[2], new[3]): state[p] for p in parts}
    return state | dict.fromkeys([gone, *parts], False) | moved


def note_before(stages: list[Stage], thing: Thing, value: bool) -> None:
    """Note what must have been true before the known steps, since the table was created.

    An earlier column of the same name may have had any type, unless a call says which.
    """
    table = relation(thing[1], thing[3])
    is_other_type = not value and thing[0].startswith(TYPE)
    for stage in reversed(stages):
        if thing in stage or (is_other_type and is_of_unknown_type(stage, thing)):
            return
        if stage.get(table) is False and thing != table:
            stage[thing] = False
            return
        stage[thing] = value


def is_of_unknown_type(stage: Stage, thing: Thing) -> bool:
    """Tell whether a column is there, and nothing says of which type."""
    is_there = stage.get(("column", *thing[1:])) is True
    return is_there and not any(
        value and one[0].startswith(TYPE) and one[1:] == thing[1:] for one, value in stage.items()
    )


def is_within(part: Thing, table: Thing) -> bool:
    return part[1] == table[1] and part[3] == table[3]


def matches(stages: list[Stage], found: Stage) -> list[int]:
    """Return the numbers of the stages at which the database may be."""
    return [
        number
        for number, stage in enumerate(stages)
        if all(found[thing] == value for thing, value in stage.items() if thing in found)
    ]


def with_new_names(step: Step, steps: list[Step], effects: list[Effects], found: Stage) -> Stage:
    """Return the existing objects; a renamed table's new name counts only in the same schema.

    An object with the new name in another schema of the search path does not prove the rename.
    """
    asked: dict[Thing, list[Question]] = {}
    for one, effect in zip(steps, effects, strict=True):
        new = effect.makes[0] if one.verb == "rename_table" else None
        if new is not None and new[3] is None and found.get(new):
            beside = ("renamed", one.table, str(one.name), effect.removes[0][3])
            asked[new] = [beside, (*new[:3], HERE)]
    answers = ask_each(step.database, [*asked.values()])
    return found | {new: answer != [None, None] for new, answer in zip(asked, answers, strict=True)}


def existing(step: Step, things: Iterable[Thing]) -> Stage:
    """Ask which objects exist, in one statement if the server's catalog allows it."""
    database, known = step.database, step.server.questions
    asked = [thing for thing in things if thing[0] in known]
    answers = ask_all(database, asked)
    found = {thing: answer is not None for thing, answer in zip(asked, answers, strict=True)}
    if ":table" not in known["named index"]:  # it also finds those of other tables
        for thing in [one for one in asked if one[0] == "named index" and one[1] and found[one]]:
            index = describe_index(database, None, thing[2], thing[3])
            found[thing] = index is not None and is_on(database, index, thing[1])
    found |= {thing: is_of_type(step, thing) for thing in things if thing[0].startswith(TYPE)}
    constraints: dict[tuple[str, str | None], list[Any]] = {}
    for thing in things:
        what, table, name, schema = thing
        if thing in found or what == "enum":
            continue
        if (table, schema) not in constraints:
            is_there = ask_all(database, [("table", table, table, schema)])[0] is not None
            there = describe_constraints(step, table, schema) if is_there else []
            constraints[table, schema] = there
        fold = database.case_folded
        found[thing] = any(
            kind == "primary" if what == "primary" else bool(own) and fold(own) == fold(name)
            for own, kind, _ in constraints[table, schema]
        )
    return found


def is_of_type(step: Step, thing: Thing) -> bool:
    """Tell whether there is a column of this name and type."""
    what, table, name, schema = thing
    if ask_all(step.database, [("column", table, name, schema)])[0] is None:
        return False
    fold = step.database.case_folded
    return any(
        fold(column["name"]) == fold(name) and f"{TYPE}{typed(step, column['type'])}" == what
        for column in inspected_columns(step.database, table, schema)
    )


def is_made_anew(step: Step, gone: list[Thing], later: list[Step], effects: list[Effects]) -> bool:
    """Tell whether the object to remove has the definition that it gets in later lines.

    By names alone, the beginning and the end of the function look the same.
    """
    pairs = zip(later, effects[1:], strict=True)
    makers = [one for one, effect in pairs if {*gone} & {*effect.makes} and one.kind in FIND]
    for one in makers:
        if one.verb == "rename_table" or one.verb == "alter_column" or one.operation is None:
            return False
        found, wanted = FIND[one.kind](one), WANT[one.kind](one)
        if found is None or wanted is None or differing_keys(step.server, found, wanted):
            return False
        columns = [key for key in found if key.startswith("column ")]
        if len(columns) > sum(key.startswith("column ") for key in wanted):
            return False
    return bool(makers)
