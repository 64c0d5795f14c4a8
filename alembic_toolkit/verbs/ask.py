"""Questions to the catalog, several in one statement."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.quoting import filled_in, unescaped_percent
from alembic_toolkit.verbs.values import Constraint, Database, Definition, Question, Step


def ask(database: Database, what: str, table: str, name: str, schema: str | None) -> Any:
    """Ask the catalog about one object; return None if it does not exist."""
    return ask_all(database, [(what, table, name, schema)])[0]


def ask_all(database: Database, questions: Sequence[Question]) -> list[Any]:
    """Ask the catalog about several objects in one statement; None for each missing one."""
    return database.server.ask(database, questions) if questions else []


def ask_each(database: Database, questions: Sequence[Sequence[Question]]) -> list[list[Any]]:
    """Ask several lists of questions in one statement; return a list of answers for each."""
    answers = iter(ask_all(database, [question for some in questions for question in some]))
    return [list(itertools.islice(answers, len(some))) for some in questions]


def fill_placeholders(database: Database, sql: str, question: Question) -> str:
    """Return SQL with its placeholders replaced by the values of a question.

    A revision asks each question once, and preparing a statement takes longer than planning it.
    """
    return filled_in(sql, database.server.placeholders(database, question))


def ask_in_one(
    database: Database, questions: Sequence[Question], catalog: Mapping[str, str], *more: str
) -> list[Any]:
    """Answer questions in one statement, which may select more."""
    filled = (
        fill_placeholders(database, catalog.get(q[0], catalog["table"]), q) for q in questions
    )
    selects = [*filled, *more]
    found = database.rows(f"SELECT {', '.join(f'({sql} LIMIT 1)' for sql in selects)}")
    return list(found[0])


def ask_rows(database: Database, sql: str, question: Question) -> list[dict[str, Any]]:
    """Ask the catalog for rows, as mappings."""
    found, names = database.fetch(fill_placeholders(database, sql, question))
    return [dict(zip(names, row, strict=True)) for row in found]


def has_table(database: Database, table: str, schema: str | None) -> bool:
    return ask(database, "table", table, table, schema) is not None


def describe_columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Describe every column of a table."""
    return database.server.columns(database, table, schema)


def describe_column(
    database: Database, table: str, name: str, schema: str | None
) -> Definition | None:
    """Describe one column; None if it does not exist."""
    if database.server.column is not None:
        return database.server.column(database, table, name, schema)
    columns, wanted = describe_columns(database, table, schema).items(), database.case_folded(name)
    return next(
        (found for column, found in columns if database.case_folded(column) == wanted), None
    )


def describe_index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    """Describe an index: ``table``, ``definition``, and ``invalid`` and ``constraint`` if true."""
    return database.server.index(database, table, name, schema)


def is_on(database: Database, found: Definition, table: str) -> bool:
    """Tell whether an index belongs to the table of this name."""
    return database.case_folded(found["table"].removeprefix("ON ")) == database.case_folded(table)


def describe_constraints(
    step: Step, table: str | None = None, schema: str | None = None
) -> list[Constraint]:
    """Describe every constraint of a table: name, type, text."""
    table, schema = (step.table, step.place) if table is None else (table, schema)
    return step.server.constraints(step.database, table, schema)


def constraint_type(
    database: Database, table: str, name: str, schema: str | None, type_: str | None = None
) -> str | None:
    """Return the type of a constraint as Alembic names it; None if it does not exist."""
    if "constraint types" not in database.server.questions:
        constraints = database.server.constraints(database, table, schema)
        types = {database.case_folded(found): kind for found, kind, _ in constraints if found}
        return types.get(database.case_folded(name))
    if type_ == "primary":
        name = database.server.primary_key_name or name
    return type_among(ask(database, "constraint types", table, name, schema), type_)


def type_among(answer: str | bytes | None, likely: str | None) -> str | None:
    """Return the type in the catalog's answer; the likely one if there are several.

    On MariaDB and MySQL a key and a foreign key may have the same name.
    """
    text = answer.decode() if isinstance(answer, bytes) else answer or ""
    types = [CONSTRAINT_TYPES[code] for code in text.split(",") if code in CONSTRAINT_TYPES]
    return likely if likely in types else next(iter(types), None)


CONSTRAINT_TYPES = {"u": "unique", "c": "check", "f": "foreignkey", "p": "primary"}
CONSTRAINT_TYPES |= {"x": "exclude", "n": "notnull", "UNIQUE": "unique", "CHECK": "check"}
CONSTRAINT_TYPES |= {"FOREIGN KEY": "foreignkey", "PRIMARY KEY": "primary"}


def inspected_columns(database: Database, table: str, schema: str | None) -> list[Any]:
    if database.server.reflected is not None:
        return [*database.server.reflected(database, table, schema)]
    inspector = sa.inspect(database.connection)
    return [*inspector.get_columns(database.truncated(table), schema or None)]


def inspected_key(database: Database, table: str, schema: str | None = None) -> list[str]:
    if database.server.reflected is not None:
        columns = database.server.reflected(database, table, schema)
        parts = sorted((column["primary_key"], column["name"]) for column in columns)
        return [name for place, name in parts if place]
    found = sa.inspect(database.connection).get_pk_constraint(database.truncated(table), schema)
    return list(found["constrained_columns"])


def enum_values(database: Database, name: str, schema: str | None) -> list[str] | None:
    labels: list[str] | None = ask(database, "labels", name, name, schema)
    return labels


def view_select(database: Database, name: str, schema: str | None) -> str | None:
    """Return the SELECT of a view, as the server stores it."""
    text: str | None = ask(database, "view", name, name, schema)
    return None if text is None else database.server.view_select(text)


def type_text(type_: Any, dialect: sa.Dialect) -> str:
    return unescaped_percent(sa.types.to_instance(type_).compile(dialect=dialect), dialect)
