"""Tables that the transaction has made, which need no look."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.verbs.ask import ask_in_one
from alembic_toolkit.verbs.servers.postgresql.catalog import QUESTIONS
from alembic_toolkit.verbs.values import MADE, Database, Question, Step

Tables = dict[tuple[str, str | None], set[str]]
"""Names and schemas of tables, with the names of their indexes."""


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    """Answer questions in one statement, or without one about tables that the transaction made.

    Until it is committed nobody else changes such a table: it has the indexes that were made with
    it, those that were noted since, and no others.
    """
    made = tables_made(database)
    answers: list[str | None] = []
    for what, table, name, schema in questions:
        if (table, schema) in made and what in ("table", "indexable"):
            answers.append(table)
        elif what == "named index" and name not in made.get((table, schema), {name}):
            answers.append(None)
        else:
            return ask_in_one(database, questions, QUESTIONS)
    return answers


def remember_table(step: Step) -> None:
    """Remember a table that was made, with its indexes."""
    transaction = transaction_of(step.database)
    if transaction is not None and not step.database.autocommits:
        names = {str(thing.name) for thing in (*step.wanted.constraints, *step.wanted.indexes)}
        made = tables_made(step.database) | {(step.table, step.schema): names}
        step.database.connection.info[MADE] = weakref.ref(transaction), made


def remember_index(step: Step) -> None:
    """Remember an index that was made on such a table."""
    tables_made(step.database).get((step.table, step.schema), set()).add(str(step.name))


def tables_made(database: Database) -> Tables:
    """Return what is known in the transaction that is running."""
    known: tuple[weakref.ref[sa.Transaction], Tables] | None = database.connection.info.get(MADE)
    return known[1] if known is not None and known[0]() is transaction_of(database) else {}


def transaction_of(database: Database) -> sa.Transaction | None:
    return database.connection.get_nested_transaction() or database.connection.get_transaction()
