"""What SQLite does in its own way: natively where its ``ALTER TABLE`` suffices."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn

from alembic_toolkit.sql.create_table import (
    column_position,
    constraint_uses,
    index_definition,
    is_column,
    join_clauses,
    kind_of,
    leading_noise,
    references_column,
    split_clauses,
    split_name,
    without_checks_on,
    without_items,
)
from alembic_toolkit.sql.quoting import in_parentheses
from alembic_toolkit.sql.tokens import contains_word, unquoted
from alembic_toolkit.verbs.act import run_alembic
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.constraint import compiled_definition
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql, find_view
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    belongings_of,
    children_of,
    master_table,
    name_by_convention,
    referring_columns,
    table_text,
)
from alembic_toolkit.verbs.servers.sqlite.rebuild import atomic, make_again, rebuild
from alembic_toolkit.verbs.values import Database, Step


def replace_view(step: Step) -> None:
    with atomic(step.database):
        if find_view(step) is not None:
            step.database.run(drop_sql(step))
        step.database.run(create_view_sql(step))


def add_column(step: Step) -> None:
    """Add it natively where SQLite can: https://www.sqlite.org/lang_altertable.html#altertabaddcol"""
    column = step.wanted
    text = str(CreateColumn(column).compile(dialect=step.database.dialect))
    default = next((c for c in split_clauses(text) if c.upper().startswith("DEFAULT")), "")
    constant = not re.match(r"DEFAULT\s*(\(|CURRENT_)", default, re.I)
    stored = column.computed is not None and column.computed.persisted
    place = place_of(step)
    if constant and not stored and (column.nullable or default) and place is None:
        step.operations.impl.add_column(step.table, column, schema=step.schema)
        return
    items = table_text(step).items
    columns = [item for item in items if is_column(item)]
    position = len(columns) if place is None else place
    rebuild(step, [*items[:position], f" {text}", *items[position:]])


def place_of(step: Step) -> int | None:
    """Return where a batch's ``insert_before`` or ``insert_after`` puts a column."""
    before, after = (step.operation.kw.get(f"insert_{where}") for where in ("before", "after"))
    if before is None and after is None:
        return None
    position = column_position(table_text(step).items, str(before or after))
    return position if before is not None else position + 1


def drop_column(step: Step) -> None:
    """Drop it natively where SQLite can: https://www.sqlite.org/lang_altertable.html#altertabdropcol"""
    name = str(step.name)
    items = table_text(step).items
    column = items[column_position(items, name)]
    own = {kind_of(clause) for clause in split_clauses(column)[1:]}
    others = [item for item in items if item is not column]
    rest = without_items(items, lambda item: item is column or constraint_uses(item, name))
    rest = [without_checks_on(item, name) for item in rest]
    if any(is_update_of(sql, name) for _, _, sql in belongings_of(step)):
        stop(
            UnsafeOperation,
            f"{step.call}: a trigger fires on updates of this column.",
            (f"a trigger AFTER or BEFORE UPDATE OF {name}", "no trigger on the column"),
            "Stopped, because the trigger would stay and never fire again.",
            "helpers.execute('DROP TRIGGER ...')  # before this line",
        )
    used = any(
        constraint_uses(item, name) or without_checks_on(item, name) != item for item in others
    )
    if used or own & {"primary", "unique", "foreignkey"} or is_in_triggers(step, name):
        rebuild(step, rest)
        return
    try:
        with atomic(step.database):
            for index in indexes_on(step, name):
                step.database.run(f"DROP INDEX {step.database.quoted(index, step.schema)}")
            run_alembic(step)
    except sa.exc.OperationalError:  # a comment confuses it; or a view uses the column
        rebuild(step, rest)


def is_in_triggers(step: Step, column: str) -> bool:
    """Tell whether a trigger may use a column; SQLite's own DROP COLUMN does not look well.

    It leaves a trigger that writes to the column, and SQLite 3.40 crashes when that one fires.
    """
    master = master_table(step)
    rows = step.database.run(f"SELECT sql FROM {master} WHERE type = 'trigger'")
    return any(contains_word(row[0], column) for row in rows)


def is_update_of(sql: str, column: str) -> bool:
    found = re.search(r"(?is)^CREATE\s+TRIGGER.*?\bUPDATE\s+OF\b(.*?)\bON\b", sql)
    return found is not None and contains_word(found[1], column)


def indexes_on(step: Step, column: str) -> list[str]:
    return [
        name
        for kind, name, sql in belongings_of(step)
        if kind == "index" and references_column(index_definition(sql), column)
    ]


def index_keeper(step: Step) -> Callable[[], None]:
    """Note the indexes on a column, to make them anew: a batch's one rebuild would keep them."""
    on = set(indexes_on(step, str(step.name)))
    noted = [(name, sql) for _, name, sql in belongings_of(step) if name in on]

    def restore() -> None:
        there = {name for _, name, _ in belongings_of(step)}
        for name, sql in noted:
            if name not in there:
                make_again(step, sql)

    return restore


def alter_column(step: Step) -> None:
    operation = step.operation
    if operation.modify_name is not None:
        run_alembic(step)  # RENAME COLUMN also rewrites indexes, triggers and views
        return
    items = table_text(step).items
    position = column_position(items, str(step.name))
    name, *clauses = split_clauses(items[position])
    default = operation.modify_server_default
    wanted: sa.Column[Any] = sa.Column(
        step.name,
        operation.modify_type or sa.Integer(),
        nullable=operation.modify_nullable is not False,
        server_default=None if default is False else default,
    )
    table = step.operations.schema_obj.table(step.table, wanted)
    text = str(CreateColumn(table.columns[str(step.name)]).compile(dialect=step.database.dialect))
    changed = split_clauses(text)
    if operation.modify_type is not None:
        name = leading_noise(name) + changed[0].strip()
        if any(clause.startswith("COLLATE") for clause in changed):
            clauses = replace_clauses(clauses, changed, ("COLLATE",))
    if operation.modify_nullable is not None:
        clauses = replace_clauses(clauses, changed, ("NOT", "NULL"))
    if operation.modify_server_default is not False:
        clauses = replace_clauses(clauses, changed, ("DEFAULT", "GENERATED", "AS"))
    items[position] = join_clauses([name, *clauses])
    rebuild(step, items)


def replace_clauses(clauses: list[str], changed: list[str], starts: tuple[str, ...]) -> list[str]:
    """Return the clauses with those that begin so taken from the changed definition."""

    def begins(clause: str) -> bool:
        tokens = split_name(clause)[1]
        return bool(tokens) and tokens[0].upper() in starts

    kept = [clause for clause in clauses if not begins(clause)]
    return [*(clause for clause in changed[1:] if begins(clause)), *kept]


def constraint_clause(step: Step, constraint: Any) -> str:
    part = copy.copy(step)
    part.kind, part.wanted = "constraint", constraint
    return f" {compiled_definition(part)['definition']}"


def add_constraint(step: Step) -> None:
    items = table_text(step).items
    if step.kind == "primary":  # in a batch it takes the place of the one that is there
        items = without_constraints(items, lambda clause, _: kind_of(clause) == "primary")
    rebuild(step, [*items, constraint_clause(step, step.wanted)])


def drop_constraint(step: Step) -> None:
    name = str(step.name).lower()

    def is_it(clause: str, column: list[str]) -> bool:
        named = split_name(clause)[0] or name_by_convention(step, clause, column)
        return (named or "").lower() == name and kind_of(clause) is not None

    items = table_text(step).items
    rest = without_constraints(items, is_it)
    if step.batch.makes_key and has_key(items) and not has_key(rest):
        step.batch.frees_key = True  # the batch's new one replaces it: keys refer to it
        return
    rebuild(step, rest)


def has_key(items: list[str]) -> bool:
    return without_constraints(items, lambda clause, _: kind_of(clause) == "primary") != items


def without_constraints(items: list[str], is_it: Callable[[str, list[str]], bool]) -> list[str]:
    """Return the items without the constraints that are meant, those in columns too."""

    def without(item: str) -> str:
        column = [unquoted(split_name(item)[1][0])]
        clauses = split_clauses(item)
        kept = clauses[:1] + [clause for clause in clauses[1:] if not is_it(clause, column)]
        return item if kept == clauses else join_clauses(kept)

    rest = without_items(items, lambda item: not is_column(item) and is_it(item, []))
    return [without(item) if is_column(item) else item for item in rest]


def rename_table(step: Step) -> None:
    """Rename it; by way of another name where only the case differs, which SQLite refuses."""
    if step.table.lower() != str(step.name).lower():
        run_alembic(step)
        return
    names = [step.table, f"_alembic_tmp_{step.table}", str(step.name)]
    with atomic(step.database):
        for old, new in itertools.pairwise(names):
            table = step.database.quoted(old, step.schema)
            step.database.run(f"ALTER TABLE {table} RENAME TO {step.database.quoted(new)}")


def drop_table(step: Step) -> None:
    """Drop it, unless SQLite would delete the rows that reference it as well."""
    if step.database.run("PRAGMA foreign_keys").scalar():
        for child in children_of(step):
            columns = referring_columns(step, child)
            if child.lower() != step.table.lower() and has_referring_rows(step, child, columns):
                stop(
                    UnsafeOperation,
                    f"{step.call}: rows of {child!r} reference this table.",
                    (
                        f"{child}{in_parentheses(columns)} with values, foreign_keys=ON",
                        "no such rows",
                    ),
                    "Stopped, because SQLite would delete those rows too, or set them to NULL.",
                    f"helpers.drop_table({child!r})  # or drop its foreign key, before this line",
                )
    run_alembic(step)


def has_referring_rows(step: Step, child: str, columns: list[str]) -> bool:
    database = step.database
    where = " OR ".join(f"{database.quoted(column)} IS NOT NULL" for column in columns)
    sql = f"SELECT 1 FROM {database.quoted(child, step.schema)} WHERE {where} LIMIT 1"
    return database.run(sql).first() is not None


def leave_transaction(database: Database) -> None:
    """Leave a transaction that is open all the same.

    An ``env.py`` by SQLAlchemy's recipe begins one in an autocommit block, too.
    """
    if database.in_transaction:
        database.run("COMMIT")
