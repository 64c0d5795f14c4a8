"""The implementations specific to SQLite: ``ALTER TABLE`` if that suffices, else a rebuild."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
from alembic_toolkit.sql.tokens import code_tokens, contains_word, names_in, tokenize
from alembic_toolkit.verbs.act import default_create_index, rename_column_sql, run_alembic
from alembic_toolkit.verbs.ask import type_text
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.constraint import compiled_definition, describe_clause
from alembic_toolkit.verbs.kinds.view import create_view_sql, drop_sql, find_view
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    belongings_of,
    children_of,
    clauses_of,
    master_table,
    name_by_convention,
    table_text,
)
from alembic_toolkit.verbs.servers.sqlite.rebuild import atomic, make_again, rebuild
from alembic_toolkit.verbs.servers.sqlite.survey import survey
from alembic_toolkit.verbs.values import Database, Definition, Step
from alembic_toolkit.verbs.words import log_skip


@contextmanager
def ordinary_table(step: Step) -> Iterator[None]:
    """Refuse, with a readable error, operations that SQLite supports only on ordinary tables."""
    try:
        yield
    except sa.exc.OperationalError:
        table_text(step)  # refuses a virtual one
        raise


def create_index(step: Step) -> None:
    with ordinary_table(step):
        default_create_index(step)


def add_column(step: Step) -> None:
    """Add it natively if SQLite can: https://www.sqlite.org/lang_altertable.html#altertabaddcol"""
    column = step.wanted
    text = str(CreateColumn(column).compile(dialect=step.database.dialect))
    default = next((c for c in split_clauses(text) if c.upper().startswith("DEFAULT")), "")
    is_constant = not re.match(r"DEFAULT\s*(\(|CURRENT_)", default, re.I)
    is_stored = column.computed is not None and column.computed.persisted
    before, after = (step.operation.kw.get(f"insert_{where}") for where in ("before", "after"))
    is_last = before is None and after is None
    items = table_text(step).items
    numbers = numbers_rows(step, items)
    if numbers:
        text = f"{text} PRIMARY KEY"
        items = without_constraints(items, is_key)
    if is_constant and not numbers and not is_stored and (column.nullable or default) and is_last:
        with ordinary_table(step):
            step.operations.impl.add_column(step.table, column, schema=step.schema)
        return
    if is_last:
        position = sum(map(is_column, items))  # columns precede constraints
    elif before is not None:
        position = column_position(items, str(before))
    else:
        position = column_position(items, str(after)) + 1
    rebuild(step, [*items[:position], f" {text}", *items[position:]])


def numbers_rows(step: Step, items: list[str]) -> bool:
    """Tell whether a new column becomes the primary key, and so numbers the rows.

    Only an INTEGER does: https://www.sqlite.org/lang_createtable.html#rowid
    """
    column, key = step.wanted, step.batch.key
    is_new_key = [name.lower() for name in key] == [column.name.lower()]
    is_free = not has_key(items) or (is_new_key and step.batch.frees_key)
    is_integer = type_text(column.type, step.database.dialect) == "INTEGER"
    # An Identity is not one here: SQLite counts by the key itself.
    is_given = column.server_default is not None and column.identity is None
    return is_free and is_integer and not is_given and (is_new_key or column.primary_key)


def drop_column(step: Step) -> None:
    """Drop it natively if possible: https://www.sqlite.org/lang_altertable.html#altertabdropcol"""
    name = str(step.name)
    items = table_text(step).items
    column = items[column_position(items, name)]
    others = without_items(items, lambda item: item is column)
    rest = without_items(others, lambda item: constraint_uses(item, name))
    rest = [without_checks_on(item, name) for item in rest]
    if any(is_update_of(sql, name) for _, _, sql in belongings_of(step)):
        stop(
            UnsafeOperation,
            f"{step.call}: a trigger fires on updates of this column.",
            (f"a trigger AFTER or BEFORE UPDATE OF {name}", "no trigger on the column"),
            "Stopped, because the trigger would stay and never fire again.",
            "helpers.execute('DROP TRIGGER ...')  # before this line",
        )
    own = {kind_of(clause) for clause in split_clauses(column)[1:]}
    if rest != others or own & {"primary", "unique", "foreignkey"} or is_in_triggers(step, name):
        rebuild(step, rest)
        return
    try:
        with atomic(step.database):
            for index in indexes_on(step, name):
                step.database.run(f"DROP INDEX {step.database.quoted(index, step.schema)}")
            run_alembic(step)
    except sa.exc.OperationalError:  # a comment confuses it, or a view uses the column
        rebuild(step, rest)


def is_update_of(sql: str, column: str) -> bool:
    found = re.search(r"(?is)^CREATE\s+TRIGGER.*?\bUPDATE\s+OF\b(.*?)\bON\b", sql)
    return found is not None and contains_word(found[1], column)


def is_in_triggers(step: Step, column: str) -> bool:
    """Tell whether a trigger may use a column, which SQLite's own DROP COLUMN does not notice.

    A trigger that writes to the column would stay, and SQLite 3.40 crashes when it fires.
    """
    rows = step.database.run(f"SELECT sql FROM {master_table(step)} WHERE type = 'trigger'")
    return any(contains_word(row[0], column) for row in rows)


def indexes_on(step: Step, column: str) -> dict[str, str]:
    """Return the indexes that use a column: name -> SQL."""
    return {
        name: sql
        for kind, name, sql in belongings_of(step)
        if kind == "index" and references_column(index_definition(sql), column)
    }


def index_keeper(step: Step) -> Callable[[], None]:
    """Note the indexes on a column that a batch drops and adds; return how to recreate them.

    In Alembic's own batch, which rebuilds the table only once, they would stay.
    """
    noted = indexes_on(step, str(step.name))

    def restore() -> None:
        existing = {name for _, name, _ in belongings_of(step)}
        for name, sql in noted.items():
            if name not in existing:
                make_again(step, sql)

    return restore


def alter_column(step: Step) -> None:
    if step.operation.modify_name is not None:
        return rename_column(step)
    operation, found = step.operation, survey(step)
    items = found.text.items
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
        new = changed[0].strip()
        type_ = new.removeprefix(tokenize(new)[0])
        name = leading_noise(name) + code_tokens(name)[0] + type_  # keep the spelling of its name
        if any(clause.startswith("COLLATE") for clause in changed):
            clauses = replace_clauses(clauses, changed, ("COLLATE",))
    if operation.modify_nullable is not None:
        clauses = replace_clauses(clauses, changed, ("NOT", "NULL"))
    if operation.modify_server_default is not False:
        clauses = replace_clauses(clauses, changed, ("DEFAULT", "GENERATED", "AS"))
    items[position] = join_clauses([name, *clauses])
    rebuild(step, items, found)


def kept_type(step: Step, found: Definition) -> Any:
    """Return the new type; INTEGER for another integer type if its key auto-increments.

    It holds 64 bits: https://www.sqlite.org/lang_createtable.html#rowid
    """
    type_ = step.operation.modify_type
    text = type_text(type_, step.database.dialect)
    is_other = text.upper() != "INTEGER" and "INT" in text.upper()
    if found["type"] != "INTEGER" or not is_other or not is_rowid(step):
        return type_
    log_skip(step, f"stays INTEGER, which counts up and has 64 bits, and {text} not")
    return sa.Integer()


def is_rowid(step: Step) -> bool:
    """Tell whether an INTEGER column is the whole primary key, and so the rowid."""
    text, name = table_text(step), str(step.name).lower()
    keys = [
        [column.lower() for column in on or names_in(split_name(clause)[1])]
        for clause, on in clauses_of(text.items)
        if kind_of(clause) == "primary"
    ]
    return keys == [[name]] and "WITHOUT" not in text.tail.upper()


def rename_column(step: Step) -> None:
    """Rename it, which also rewrites indexes, triggers and views; then do the other changes.

    If these fail, the old name is restored.
    """
    old, new = str(step.name), str(step.operation.modify_name)
    rest = replace(step, name=new, operation=copy.copy(step.operation))
    rest.operation.column_name, rest.operation.modify_name = new, None
    with ordinary_table(step):
        step.database.run(rename_column_sql(step, new))
    if not rest.operation.has_changes():
        return
    try:
        alter_column(rest)
    except Exception:
        step.database.run(rename_column_sql(rest, old))
        raise


def replace_clauses(clauses: list[str], changed: list[str], starts: tuple[str, ...]) -> list[str]:
    """Replace the clauses that begin with one of the words by those of the changed definition."""

    def begins(clause: str) -> bool:
        _, tokens = split_name(clause)
        return bool(tokens) and tokens[0].upper() in starts

    kept = [clause for clause in clauses if not begins(clause)]
    return [*(clause for clause in changed[1:] if begins(clause)), *kept]


def add_constraint(step: Step) -> None:
    found = survey(step)
    items = found.text.items
    if step.kind == "primary":  # in a batch it replaces the existing one
        items = without_constraints(items, is_key)
    rebuild(step, [*items, f" {compiled_definition(step)['definition']}"], found)


def drop_constraint(step: Step) -> None:
    name = str(step.name).lower()

    def matches(clause: str, column: list[str]) -> bool:
        if step.name is None and kind_of(clause) is not None:  # found by its columns
            kind, text = describe_clause(step.database, clause, column)[1:]
            return {"type": kind, "definition": text} == step.found
        found = split_name(clause)[0] or name_by_convention(step, clause, column) or ""
        return found.lower() == name and kind_of(clause) is not None

    there = survey(step)
    items = there.text.items
    rest = without_constraints(items, matches)
    if step.batch.makes_key and has_key(items) and not has_key(rest):
        step.batch.frees_key = True  # the batch's new key replaces it, for foreign keys refer to it
        return
    rebuild(step, rest, there)


def replace_check(step: Step) -> None:
    """Replace the check of this name."""
    name = str(step.name).lower()

    def matches(clause: str, column: list[str]) -> bool:
        return kind_of(clause) == "check" and (split_name(clause)[0] or "").lower() == name

    found = survey(step)
    items = without_constraints(found.text.items, matches)
    rebuild(step, [*items, f" {compiled_definition(step)['definition']}"], found)


def is_key(clause: str, column: list[str]) -> bool:
    return kind_of(clause) == "primary"


def has_key(items: list[str]) -> bool:
    return any(itertools.starmap(is_key, clauses_of(items)))


def without_constraints(items: list[str], matches: Callable[[str, list[str]], bool]) -> list[str]:
    """Return the items without the matching constraints, be they of a table or a column."""

    def without(item: str) -> str:
        if not is_column(item):
            return item
        clauses = [clause for clause, column in clauses_of([item]) if not matches(clause, column)]
        head, *existing = split_clauses(item)
        return item if clauses == existing else join_clauses([head, *clauses])

    rest = without_items(items, lambda item: not is_column(item) and matches(item, []))
    return [without(item) for item in rest]


def rename_table(step: Step) -> None:
    """Rename it; via a temporary name if only the case differs, which SQLite refuses."""
    if step.table.lower() != str(step.name).lower():
        run_alembic(step)
        return
    names = [step.table, f"_alembic_tmp_{step.table}", str(step.name)]
    with atomic(step.database):
        for old, new in itertools.pairwise(names):
            table = step.database.quoted(old, step.schema)
            step.database.run(f"ALTER TABLE {table} RENAME TO {step.database.quoted(new)}")


def drop_table(step: Step) -> None:
    """Drop it, unless SQLite would also delete the rows that reference it."""
    database = step.database
    children = children_of(step) if database.run("PRAGMA foreign_keys").scalar() else {}
    for child, columns in children.items():
        has_value = " OR ".join(f"{database.quoted(column)} IS NOT NULL" for column in columns)
        rows = f"SELECT 1 FROM {database.quoted(child, step.schema)} WHERE {has_value} LIMIT 1"
        if child.lower() != step.table.lower() and database.run(rows).first() is not None:
            stop(
                UnsafeOperation,
                f"{step.call}: rows of {child!r} reference this table.",
                (f"{child}{in_parentheses(columns)} with values, foreign_keys=ON", "no such rows"),
                "Stopped, because SQLite would delete those rows too, or set them to NULL.",
                f"helpers.drop_table({child!r})  # or drop its foreign key, before this line",
            )
    run_alembic(step)


def replace_view(step: Step) -> None:
    with atomic(step.database):
        if find_view(step) is not None:
            step.database.run(drop_sql(step))
        step.database.run(create_view_sql(step))


def leave_transaction(database: Database) -> None:
    """Commit a transaction that is still open although Alembic has left its own.

    An ``env.py`` that follows SQLAlchemy's recipe begins one even in an autocommit block.
    """
    if database.in_transaction:
        database.run("COMMIT")
