"""What must exist, or must not, before a verb acts."""

from __future__ import annotations

from typing import Any, NoReturn

import sqlalchemy as sa

from alembic_toolkit.sql.quoting import qualified
from alembic_toolkit.verbs.ask import ask, ask_all
from alembic_toolkit.verbs.errors import MissingParent, SchemaConflict, UnsafeOperation, stop
from alembic_toolkit.verbs.refused import renamed
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.translate import parts_of
from alembic_toolkit.verbs.values import CONSTRAINED, HERE, TABLELESS, Question, Step, by_name
from alembic_toolkit.verbs.words import meant


def required_tables(step: Step) -> list[Question]:
    """Return the questions for the tables that must exist: the first is the step's own."""
    what = "indexable" if step.kind == "index" else "table"
    own = [] if step.kind in TABLELESS else [step.question(what)]
    return own + [
        ("table", key.name, key.name, step.database.real_schema(key.schema))
        for key in referents(step)
    ]


def existence_question(step: Step) -> list[Question]:
    """Return the question whether the object exists at all, if one question can tell.

    The answer None means that it does not; any other answer means that more questions are needed.
    """
    what = step.kind
    if step.kind in ("table", "column"):
        name = str(step.name if step.kind == "column" else step.table)
        what = "relation" if step.verb == "create_table" else what
    elif step.kind == "primary":
        what, name = "primary", ""
    elif step.verb == "drop_constraint":
        is_key = step.operation.constraint_type == "primary"
        own = step.server.primary_key_name if is_key else None
        what, name = "constraint types", own or str(step.name)
    elif step.kind in ("view", "enum") or not (step.name and step.table):
        return []  # one query finds them
    else:
        what, name = "named index" if step.kind == "index" else "constraint", str(step.name)
    return [step.question(what, name)] if what in step.server.questions else []


def place_question(step: Step) -> list[Question]:
    """Return the question why no permanent object could be created without a schema name."""
    is_asked = "place" in step.server.questions and step.place == HERE and not step.is_of_new
    name = str(step.table or step.name)
    return [step.question("place", name)] if is_asked else []


def require_place(step: Step, answer: str | None = None) -> None:
    """Refuse to create an object in this session only, or nowhere.

    :param answer: the answer to :func:`place_question`; None if a suitable schema exists.
    """
    if answer is None:
        return
    if answer == "hidden":  # later steps, such as its indexes, would use that one
        refuse_temporary(step.call, str(step.table or step.name))
    has = "a search_path that begins with the session's own temporary schema"
    if answer == "none":
        has = "a search_path without a schema that exists"
    stop(
        UnsafeOperation,
        f"{step.call}: there is no schema to create it in.",
        (has, f"a schema for {step.kind} {step.name or step.table}"),
        "Stopped, because it would be lost when the session ends, or made nowhere.",
        "helpers.execute('SET LOCAL search_path TO ...')  # before this line: a schema that is"
        " there; or name it: schema='...'",
    )


def partition_question(step: Step) -> list[Question]:
    """Return the question for the partitions of a table that must not have any."""
    server = step.server.concurrently
    is_asked = server is not None and server.is_for_undivided(step)
    return [step.question("partitions")] if is_asked else []


def referents(step: Step) -> list[sa.Table]:
    """Return the tables that must exist for the foreign keys to create."""
    if step.kind == "foreignkey":
        return [step.wanted.elements[0].column.table]
    if step.kind != "table" or not step.server.foreign_keys.referents_first:
        return []
    tables = [key.elements[0].column.table for key in by_name(keys_within(step))]
    return [table for table in tables if table is not step.wanted]


def keys_within(step: Step) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys in CREATE TABLE: one with ``use_alter`` is left for later.

    https://docs.sqlalchemy.org/en/20/core/constraints.html#creating-dropping-foreign-key-constraints-via-alter
    """
    later = step.database.dialect.supports_alter
    return [k for k in step.wanted.foreign_key_constraints if not (k.use_alter and later)]


def require_names(step: Step) -> None:
    """Refuse a constraint without a name: a second run could not tell it from others."""
    parts = parts_of(step, created=False) if step.verb == "add_column" else []
    unnamed = [one for one in (step, *parts) if one.name is None and one.kind in CONSTRAINED]
    if unnamed:
        stop(
            UnsafeOperation,
            f"{step.call}: cannot do this concurrently without a name.",
            (f"a {unnamed[0].kind} without a name", "a name, so that it is found when half done"),
            "Stopped, because after a crash the verb could not find its constraint again.",
            f"{unnamed[0].verb}('{step.table}_...', ...)  # name it, or leave out"
            " postgresql_concurrently",
        )


def require_table(step: Step) -> None:
    """Refuse if the step's own table does not exist."""
    asked = [step.question("table")]
    require_tables(step, asked, ask_all(step.database, asked))


def require_tables(step: Step, asked: list[Question], answers: list[Any]) -> None:
    """Refuse if one of the required tables does not exist."""
    pairs = zip(asked, answers, strict=False)
    missing = next((question for question, answer in pairs if answer is None), None)
    if missing is not None:
        _, table, _, schema = missing
        missing_table(step, table, schema, ask(step.database, "sort", table, table, schema))


def missing_table(step: Step, table: str, schema: str | None, sort: str | None) -> NoReturn:
    """Raise the error for a table that does not exist, or that is a view or the like.

    :param sort: the kind of object that has this name; None if nothing has it.
    """
    name = qualified(table, schema)
    if sort is None:
        stop(
            MissingParent,
            f"{step.call}: there is no table {name!r}.{near_table(step, table, schema)}",
            (f"no table {name}", f"table {name}"),
            "Stopped, because there is nothing to build on.",
            f"helpers.create_table({table!r}, ...{schema_code(schema)})  # before this line;"
            " or see: alembic current",
        )
    way = f"helpers.execute('ALTER {sort.upper()} ...')"
    if sort == "view":
        verb = "create" if step.verb == "rename_table" else "replace"
        name_ = str(step.name) if step.verb == "rename_table" else table
        way = f"helpers.{verb}_view({name_!r}, 'SELECT ...'{schema_code(schema)})"
    stop(
        MissingParent,
        f"{step.call}: {name!r} is a {sort}, and no table.",
        (f"{sort} {name}", f"table {name}"),
        f"Stopped, because a {sort} cannot be altered so.",
        f"{way}  # instead of this line, or name the table that it is made of",
    )


def near_table(step: Step, table: str, schema: str | None) -> str:
    """Return a "did you mean" for a table with a similar name, here or in the default schema."""
    inspector = sa.inspect(step.database.connection)
    found = meant(table, [*inspector.get_table_names(schema), *inspector.get_view_names(schema)])
    if found or schema is None:
        return found
    return meant(table, inspector.get_table_names())


def require_free_name(step: Step) -> None:
    """Refuse to create a table or a view if an object of another kind has its name."""
    name = str(step.name or step.table)
    question: Question = ("sort", name, name, step.place)
    if step.kind == "index" and "sort beside" in step.server.questions:
        question = step.question("sort beside", name)
    sort, *place = ask_all(step.database, [question, *place_question(step)])
    require_place(step, *place)
    if sort in (None, step.kind):
        return
    whole = qualified(name, step.schema)
    schema, aside = schema_code(step.schema), f"{name}_old"
    way = [f"helpers.execute('DROP {sort.upper().removeprefix('VIRTUAL ')} ...')"]
    if sort == "view":
        way = [
            f"if helpers.view_exists({name!r}{schema}):",
            f"    helpers.drop_view({name!r}{schema})",
        ]
    if sort == "table":  # nobody has checked its rows
        is_there = f"helpers.table_exists({name!r}{schema})"
        way = [
            f"if {is_there} and not helpers.table_exists({aside!r}{schema}):",
            f"    helpers.rename_table({name!r}, {aside!r}{schema})",
        ]
    way = ["# before this line, if the revision is right:", *way]
    if step.kind == "index":  # its name is easier to change
        way = renamed(step, "")
    called = "an index" if sort == "index" else f"a {sort}"
    stop(
        SchemaConflict,
        f"{step.call}: this is the name of {called}.",
        (f"{sort} {whole}", f"{step.kind} {whole}"),
        "Stopped, because only a person knows which of the two is right.",
        *way,
    )


def refuse_hidden(step: Step) -> None:
    """Refuse to alter a table that a temporary table hides, if the server can tell."""
    if step.server.is_hidden is not None and step.table and step.server.is_hidden(step):
        refuse_temporary(step.call, step.table)


def refuse_temporary(call: str, table: str) -> NoReturn:
    """Refuse to act on a temporary table."""
    stop(
        UnsafeOperation,
        f"{call}: a temporary table hides it.",
        (f"a temporary table {table}, of this session alone", f"table {table}"),
        "Stopped, because the change would be lost when the session ends.",
        f"helpers.execute('DROP TABLE {table}')  # before this line: it finds the temporary one",
    )
