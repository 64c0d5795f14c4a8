"""What only SQLite can do in a batch: another order of columns, options, unnamed keys."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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
from alembic_toolkit.verbs.require import require_table
from alembic_toolkit.verbs.servers.sqlite.act import without_constraints
from alembic_toolkit.verbs.servers.sqlite.catalog import table_text
from alembic_toolkit.verbs.servers.sqlite.rebuild import rebuild
from alembic_toolkit.verbs.values import Step, log_decision


def reshape(step: Step, order: Sequence[Sequence[str]], options: dict[str, Any]) -> None:
    """Give the table another order of columns, or options, unless it has them."""
    require_table(step, step.table, step.schema)
    text = table_text(step)
    items = in_order(text.items, order)
    if options.get("sqlite_autoincrement"):
        items = [with_counter(items, item) for item in items if not is_sole_key(items, item)]
    if [item.split() for item in items] == [item.split() for item in text.items]:
        return log_decision("skip", step, "already as wanted")
    log_decision("apply", step, "rebuilt")
    rebuild(step, items)


def drop_uncopied(step: Step, copy: sa.Table) -> None:
    """Drop a table's unnamed unique and foreign keys that a batch's ``copy_from`` lacks.

    Without a name that is how they are dropped; whoever leaves out another has not asked for it.
    """
    if not has_table(step.database, step.table, step.schema):
        return  # whose verbs say so
    items = table_text(step).items
    rest = without_constraints(items, partial(is_uncopied, copy))
    if rest != items:
        log_decision("apply", step, "unnamed keys are there that copy_from lacks")
        rebuild(step, rest)


def is_uncopied(copy: sa.Table, clause: str, column: list[str]) -> bool:
    """Tell whether a clause is an unnamed key over columns that this table has without one."""
    name, tokens = split_name(clause)
    kind = kind_of(clause)
    if name or kind not in ("unique", "foreignkey"):
        return False
    keys: list[Any] = [c for c in copy.constraints if TYPES_OF_KEYS[kind] is type(c)]
    keys += [index for index in copy.indexes if kind == "unique" and index.unique]
    columns = {name.lower() for name in column or names_in(tokens)}
    kept = [{str(c.name).lower() for c in key.columns} for key in keys]
    return columns not in kept and columns <= {str(c.name).lower() for c in copy.columns}


TYPES_OF_KEYS = {"unique": sa.UniqueConstraint, "foreignkey": sa.ForeignKeyConstraint}


def in_order(items: list[str], order: Sequence[Sequence[str]]) -> list[str]:
    """Return the items with the columns in an order that keeps each of the sequences wanted."""
    columns = [item for item in items if is_column(item)]
    names = [column_name(item) for item in columns]
    wanted = [[name.lower() for name in names_] for names_ in order]
    pairs = [pair for sequence in wanted for pair in itertools.pairwise(sequence)]
    ahead: list[str] = []
    while len(ahead) < len(names):  # the first, in today's order, that waits for no other
        left = [name for name in names if name not in ahead]
        ready = [n for n in left if not any(b == n and a in left for a, b in pairs)]
        if not ready:
            raise CommandError(f"partial_reordering contradicts itself: {list(order)}")
        ahead.append(ready[0])
    return [columns[names.index(name)] for name in ahead] + items[len(columns) :]


def is_sole_key(items: list[str], item: str) -> bool:
    """Tell whether an item is a primary key of the table over one column."""
    return kind_of(item) == "primary" and len(names_in(split_name(item)[1])) == 1


def with_counter(items: list[str], item: str) -> str:
    """Return the item with AUTOINCREMENT, if it is the column of the primary key."""
    if not is_column(item) or "AUTOINCREMENT" in item.upper():
        return item
    keys = [names_in(split_name(i)[1])[0].lower() for i in items if is_sole_key(items, i)]
    clauses = [clause for clause in split_clauses(item) if kind_of(clause) != "primary"]
    if column_name(item) not in keys and clauses == split_clauses(item):
        return item
    return join_clauses([*clauses, "PRIMARY KEY AUTOINCREMENT"])
