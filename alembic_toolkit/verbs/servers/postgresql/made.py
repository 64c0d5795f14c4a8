"""Tables that the transaction has made: what needs no look."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import sqlalchemy as sa

from alembic_toolkit.verbs.values import MADE, Database, Question, Step


@dataclass
class TransactionCache:
    """What needs no look: a table that a transaction has made is its own, until it is committed.

    It has no index but those that were made with it, or noted since.
    """

    of: weakref.ref[sa.Transaction]
    made: dict[tuple[str, str | None], set[str]] = field(default_factory=dict)  # table -> indexes

    def has(self, question: Question) -> bool:
        """Tell whether the answer is known."""
        what, table, name, schema = question
        indexes = self.made.get((table, schema))
        if indexes is None:
            return False
        return what in ("table", "indexable") or (what == "named index" and name not in indexes)

    def answer(self, question: Question) -> str | None:
        """Return the answer to a question that it has."""
        return question[1] if question[0] in ("table", "indexable") else None


def cache_of(database: Database) -> TransactionCache | None:
    """Return what is known in the transaction that is running."""
    known: TransactionCache | None = database.connection.info.get(MADE)
    return known if known is not None and known.of() is transaction_of(database) else None


def transaction_of(database: Database) -> sa.Transaction | None:
    return database.connection.get_nested_transaction() or database.connection.get_transaction()


def remember_table(step: Step) -> None:
    """Remember a table that was made, with its indexes."""
    transaction = transaction_of(step.database)
    if transaction is None or step.database.autocommits:
        return
    known = cache_of(step.database) or TransactionCache(weakref.ref(transaction))
    step.database.connection.info[MADE] = known
    names = {str(thing.name) for thing in (*step.wanted.constraints, *step.wanted.indexes)}
    known.made[step.table, step.schema] = names


def remember_index(step: Step) -> None:
    """Remember an index that was made on such a table."""
    known = cache_of(step.database)
    if known is not None and (step.table, step.schema) in known.made:
        known.made[step.table, step.schema].add(str(step.name))
