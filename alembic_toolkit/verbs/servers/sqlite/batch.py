"""Batch features that only SQLite has: a new order of columns, options, unnamed keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError

from alembic_toolkit.sql.create_table import (
    column_name,
    is_column,
    join_clauses,
    kind_of,
    split_clauses,
    split_name,
)
from alembic_toolkit.sql.tokens import names_in
from alembic_toolkit.verbs.ask import has_table
from alembic_toolkit.verbs.errors import at_place
from alembic_toolkit.verbs.require import require_table
from alembic_toolkit.verbs.servers.sqlite.act import without_constraints
from alembic_toolkit.verbs.servers.sqlite.catalog import table_text
from alembic_toolkit.verbs.servers.sqlite.rebuild import atomic, foreign_keys_off, rebuild
from alembic_toolkit.verbs.servers.sqlite.survey import survey
from alembic_toolkit.verbs.values import Step
from alembic_toolkit.verbs.words import log_done, log_line, log_skip, subject


def reshape(step: Step, order: Sequence[Sequence[str]], options: dict[str, Any]) -> None:
    """Give the table a new order of columns or an AUTOINCREMENT, unless it has them."""
    require_table(step)
    text = table_text(step)
    items = in_order(text.items, order)
    if options.get("sqlite_autoincrement"):
        items = [with_counter(items, item) for item in items if not is_sole_key(item)]
    if [item.split() for item in items] == [item.split() for item in text.items]:
        return log_skip(step, "already as wanted")
    rebuild(step, items)
    log_done(step)


@contextmanager
def one_act(step: Step) -> Iterator[None]:
    """Do all of a block or nothing, like Alembic, which makes one rebuild of it.

    If ``env.py`` has DDL in its transaction, that transaction keeps the block together.
    """
    is_external = getattr(step.context, "_in_external_transaction", False)
    if step.offline or step.context.impl.transactional_ddl or is_external:
        yield
        return
    suspended: AbstractContextManager[None] = nullcontext()
    if has_table(step.database, step.table, step.schema):
        found = survey(step)
        suspended = foreign_keys_off(step, found.text.items, found)
    with suspended, atomic(step.database):
        yield


def drop_uncopied(step: Step, copy: sa.Table) -> None:
    """Drop a table's unnamed unique and foreign keys that a batch's ``copy_from`` lacks.

    Leaving a key out is how to drop it, since it has no name.  For named keys there is a verb.
    """
    if not has_table(step.database, step.table, step.schema):
        return  # the batch's verbs report that
    items = table_text(step).items
    rest = without_constraints(items, partial(is_uncopied, copy))
    if rest != items:
        rebuild(step, rest)
        log_line(f"dropped the unnamed keys of {subject(step)} that copy_from lacks")


def is_uncopied(copy: sa.Table, clause: str, column: list[str]) -> bool:
    """Tell whether a clause is an unnamed key that the copy's columns do not have."""
    name, tokens = split_name(clause)
    kind = kind_of(clause)
    if name is not None or kind not in KEYS:
        return False
    keys: list[Any] = [c for c in copy.constraints if type(c) is KEYS[kind]]
    keys += [index for index in copy.indexes if kind == "unique" and index.unique]
    columns = {name.lower() for name in column or names_in(tokens)}
    kept = [{c.name.lower() for c in key.columns} for key in keys]
    return columns not in kept and columns <= {c.name.lower() for c in copy.columns}


KEYS: dict[str | None, type] = {
    "unique": sa.UniqueConstraint,
    "foreignkey": sa.ForeignKeyConstraint,
}


def in_order(items: list[str], order: Sequence[Sequence[str]]) -> list[str]:
    """Return the items with their columns in an order that satisfies each wanted sequence."""
    columns = {column_name(item): item for item in items if is_column(item)}
    pairs = [pair for names in order for pair in itertools.pairwise(map(str.lower, names))]
    ordered: list[str] = []
    while len(ordered) < len(columns):  # the first, in the present order, that depends on no other
        left = [name for name in columns if name not in ordered]
        waiting = {later for earlier, later in pairs if earlier in left}
        ready = [name for name in left if name not in waiting]
        if not ready:
            problem = f"partial_reordering contradicts itself: {list(order)}"
            raise CommandError(at_place(problem))
        ordered.append(ready[0])
    return [columns[name] for name in ordered] + items[len(columns) :]


def is_sole_key(item: str) -> bool:
    """Tell whether an item is a table's primary key on a single column."""
    return kind_of(item) == "primary" and len(names_in(split_name(item)[1])) == 1


def with_counter(items: list[str], item: str) -> str:
    """Return the item with AUTOINCREMENT if it is the column of the primary key."""
    if not is_column(item) or "AUTOINCREMENT" in item.upper():
        return item
    keys = [names_in(split_name(key)[1])[0].lower() for key in items if is_sole_key(key)]
    clauses = [clause for clause in split_clauses(item) if kind_of(clause) != "primary"]
    if column_name(item) not in keys and clauses == split_clauses(item):
        return item
    return join_clauses([*clauses, "PRIMARY KEY AUTOINCREMENT"])
