"""Find the constraint that a drop may mean if none has its name: "not there" must be true."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import NoReturn

import sqlalchemy as sa

from alembic_toolkit.sql.normal import words
from alembic_toolkit.sql.tokens import code_tokens, contains_word, names_in
from alembic_toolkit.verbs.ask import (
    describe_columns,
    describe_constraints,
    describe_index,
    is_on,
)
from alembic_toolkit.verbs.errors import SchemaConflict, stop
from alembic_toolkit.verbs.kinds.constraint import find_constraint
from alembic_toolkit.verbs.kinds.index import find_index
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.source import later_steps
from alembic_toolkit.verbs.values import LONG_NAMES, Definition, Step

TYPES = ("check", "unique", "foreignkey", "primary")


@dataclass(frozen=True)
class Candidate:
    """An existing constraint."""

    name: str | None
    kind: str
    text: str
    columns: list[str]

    @property
    def shown(self) -> str:
        return f"{self.text} {'without a name' if self.name is None else f'named {self.name}'}"


def find_meant(step: Step) -> Definition | None:
    """Find the constraint to drop by its columns, or by another name that it may have.

    A naming convention changes names, but not those of ``f()`` and of ``metadata.create_all()``; so
    a name is also looked up as it is given.

    :raises SchemaConflict: there is another constraint that may be the one that is meant.
    """
    columns = getattr(step.operation, "kw", {}).get("columns")
    if columns is not None:
        return find_by_columns(step, columns)
    for name in other_names(step):
        one = named(step, name)
        found = find_constraint(one)
        if found is not None:
            step.name, step.operation = one.name, one.operation
            return found
    refuse_unique_index(step)
    likely = [one for one in candidates(step) if is_likely(step, one)]
    if likely:
        refuse_others(step, likely)
    return None


def find_index_as_given(step: Step) -> Definition | None:
    """Find an index by the given name, if a naming convention changes that name."""
    name = str(step.operation.index_name)
    if name == step.name:
        return None
    one = copy.copy(step)
    one.name = name
    found = find_index(one)
    if found is not None:
        step.name, step.operation = name, copy.copy(step.operation)
        step.operation.index_name = sa.schema.conv(name)
    return found


def named(step: Step, name: str | None) -> Step:
    """Return the step that drops a constraint of exactly this name."""
    step = copy.copy(step)
    step.name, step.operation = name, copy.copy(step.operation)
    step.operation.constraint_name = None if name is None else sa.schema.conv(name)
    return step


def other_names(step: Step) -> list[str]:
    """Return the constraint's other possible names, with and without the naming convention."""
    given, operation = step.operation.constraint_name, step.operation
    if given is None or isinstance(given, sa.schema.conv):
        return []
    objects, names = step.operations.schema_obj, [str(given)]
    for type_ in [operation.constraint_type] if operation.constraint_type else TYPES:
        try:
            made = objects.generic_constraint(given, step.table, type_, schema=step.schema)
        except (sa.exc.ArgumentError, IndexError, KeyError, TypeError):
            continue  # a convention that uses the columns, which a drop does not know
        names.append(str(made.name))
    return [name for name in dict.fromkeys(names) if name != step.name]


def candidates(step: Step) -> list[Candidate]:
    """Return the table's constraints of the type that is to be dropped."""
    type_ = step.operation.constraint_type
    there = [
        one
        for one in describe_constraints(step)
        if one[1] == type_ or (type_ is None and one[1] != "primary")
    ]
    columns = list(describe_columns(step.database, step.table, step.schema)) if there else []
    return [
        Candidate(name, kind, text, columns_of(kind, text, columns)) for name, kind, text in there
    ]


def columns_of(kind: str, text: str, columns: list[str]) -> list[str]:
    """Return the columns of a constraint."""
    if kind in ("check", "exclude"):
        return [column for column in columns if contains_word(text, column)]
    return names_in(code_tokens(text))


def find_by_columns(step: Step, columns: list[str]) -> Definition | None:
    """Find a constraint by its type and its columns, whatever its name."""
    wanted = {step.database.case_folded(column) for column in columns}
    found = [
        one
        for one in candidates(step)
        if {step.database.case_folded(column) for column in one.columns} == wanted
    ]
    own = [one for one in found if one.name is not None and one.name == step.name]
    if len(own or found) > 1:
        refuse_others(step, own or found)
    for one in own or found:
        step.name, step.operation = one.name, named(step, one.name).operation
        return {"type": one.kind, "definition": one.text}
    return None


# parts of a name that stand for the kind, not for the columns
KIND_WORDS = words(
    "u uq uk uc uniq unique key k fk fkey foreign ck chk c check cc constraint con cons pk pkey"
    " primary ix idx index ibfk excl ex"
)


def words_of(*names: str) -> set[str]:
    return {word for name in names for word in re.findall(r"[^\W_]+", name.lower())}


def is_likely(step: Step, one: Candidate) -> bool:
    """Tell whether a constraint may be the one that is meant, under another name.

    On a second run, a drop finds other constraints of its kind, which are not meant.  So the words
    of its name count: the columns, and for a foreign key the table that it refers to.
    """
    if is_made_here(step, one):
        return False
    if one.kind == "primary":
        return not step.batch.makes_key
    known = KIND_WORDS | words_of(step.table)
    said = words_of(str(step.operation.constraint_name)) - known
    own = words_of(*one.columns) - known
    if one.kind == "foreignkey":
        target = words_of(one.text.split(" REFERENCES ")[1].split(" (")[0].split(".")[-1])
        said, own = said - {"id"}, own - {"id"}
        return bool(said) and said <= own | target and said - target in (own - target, set())
    if one.kind == "unique" and said == own:
        return bool(own) or is_automatic(step, one)
    if not is_automatic(step, one):
        return False
    if one.kind == "check" and own and own <= said:
        return True
    everywhere = words_of(*describe_columns(step.database, step.table, step.schema))
    return step.operation.constraint_type is not None and not said & everywhere


def is_automatic(step: Step, one: Candidate) -> bool:
    """Tell whether a constraint has no name, or one that the server chose."""
    table, name = re.escape(step.table), one.name
    by_server = (
        rf"{table}_(\w+_)?(key|check|fkey|excl)\d*|{table}_(ibfk|chk)_\d+|CONSTRAINT_\d+"
        rf"|({'|'.join(map(re.escape, one.columns)) or '(?!)'})(_\d+)?"
    )
    return name is None or re.fullmatch(by_server, name, re.I) is not None


CREATING = {
    "unique": "create_unique_constraint",
    "check": "create_check_constraint",
    "foreignkey": "create_foreign_key",
    "primary": "create_primary_key",
}


def is_made_here(step: Step, one: Candidate) -> bool:
    """Tell whether the running function of the revision creates the constraint later."""
    makers = [s for s in later_steps(step) if s.verb == CREATING.get(one.kind)]
    return any(
        one.kind == "primary" or s.name is None or one.name is None or str(s.name) in one.name
        for s in makers
    )


def refuse_unique_index(step: Step) -> None:
    """Refuse to skip a unique index that has this name: it would stay in force."""
    if step.operation.constraint_type not in (None, "unique") or step.name is None:
        return
    found = describe_index(step.database, step.table, str(step.name), step.schema)
    if found is None or "constraint" in found or not is_on(step.database, found, step.table):
        return
    if found["definition"].startswith("UNIQUE"):
        names = f"{step.name!r}, {step.table!r}{schema_code(step.schema)}"
        stop(
            SchemaConflict,
            f"{step.call}: this is the name of an index.",
            (f"unique index {step.name}", f"unique constraint {step.name}"),
            "Stopped, because the index would stay in force.",
            f"helpers.drop_index({names})  # in place of this line",
        )


def refuse_others(step: Step, others: list[Candidate]) -> NoReturn:
    given = step.operation.constraint_name
    type_ = step.operation.constraint_type
    lines = []
    for one in others:
        name = one.name if len(others) > 1 and one.name is not None else given
        what = f"{None if name is None else str(name)!r}, {step.table!r}, type_={one.kind!r}"
        lines.append(
            f"helpers.drop_constraint({what}, columns={one.columns!r}{schema_code(step.schema)})"
        )
    kind = LONG_NAMES.get(str(type_), "constraint")
    stop(
        SchemaConflict,
        f"{step.call}: there is no {kind} of this name, but one that may be meant.",
        ("; ".join(one.shown for one in others), f"no {kind} {given}"),
        "Stopped, because it would stay in force.",
        f"{lines[0]}  # in place of this line: it goes by the columns",
        *(f"{line}  # or this one" for line in lines[1:]),
    )
