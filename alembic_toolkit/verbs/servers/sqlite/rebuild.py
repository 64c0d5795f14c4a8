"""A table rebuilt from its own text with one clause changed.

The rest of the text stays, so nothing in it is lost: a collation, an unnamed check, AUTOINCREMENT.
The order of the steps is SQLite's: https://www.sqlite.org/lang_altertable.html#otheralter
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from alembic_toolkit.sql.create_table import (
    index_definition,
    is_column,
    join_clauses,
    references_column,
    split_clauses,
    split_name,
)
from alembic_toolkit.sql.tokens import contains_word
from alembic_toolkit.verbs.ask import ask
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    belongings_of,
    children_of,
    clauses_of,
    master_table,
    name_by_convention,
    stored_columns,
    table_text,
)
from alembic_toolkit.verbs.servers.sqlite.health import compare_health, health_of
from alembic_toolkit.verbs.values import Database, Step, log_decision


def rebuild(step: Step, items: list[str]) -> None:
    """Rebuild the table with these items, keeping rows, indexes, triggers and what refers to it."""
    database, run = step.database, step.database.run
    items, tail = with_conventional_names(step, items), table_text(step).tail
    name = str(ask(database, "table", step.table, "", step.schema))
    table = database.quoted(name, step.schema)
    temporary = database.quoted(f"_alembic_tmp_{step.table}", step.schema)
    with foreign_keys_off(step, items), atomic(database):
        before = health_of(step)
        belongings = belongings_of(step)
        counter = counter_of(step)
        run(f"DROP TABLE IF EXISTS {temporary}")  # left by a rebuild that died half-way
        try_to_create(step, f"CREATE TABLE {temporary} ({','.join(items)}{tail}")
        columns = copied_columns(step, tail)
        run(f"INSERT INTO {temporary} ({columns}) SELECT {columns} FROM {table}")
        legacy = run("PRAGMA legacy_alter_table").scalar()
        run("PRAGMA legacy_alter_table = ON")  # leave what refers to the table as it is
        run(f"DROP TABLE {table}")
        run(f"ALTER TABLE {temporary} RENAME TO {database.quoted(name)}")
        run(f"PRAGMA legacy_alter_table = {legacy}")
        restore(step, belongings, counter)
        compare_health(step, before, health_of(step))


def with_conventional_names(step: Step, items: list[str]) -> list[str]:
    """Write out the names that a batch's convention gives, as Alembic does in a rebuild.

    A later revision can then drop such a constraint by its name.
    """
    fold = step.database.case_folded
    taken = {fold(name) for clause, _ in clauses_of(items) if (name := split_name(clause)[0])}

    def named(clause: str, column: list[str]) -> str:
        name = name_by_convention(step, clause, column)
        if name is None or fold(name) in taken:
            return clause
        taken.add(fold(name))
        return f"CONSTRAINT {step.database.quoted(name)} {clause.lstrip()}"

    def written(item: str) -> str:
        head, *existing = split_clauses(item)
        clauses = list(itertools.starmap(named, clauses_of([item])))
        if not is_column(item):
            return clauses[0]
        return item if clauses == existing else join_clauses([head, *clauses])

    return items if step.batch.naming_convention is None else [written(item) for item in items]


def try_to_create(step: Step, sql: str) -> None:
    try:
        step.database.run(sql)
    except sa.exc.OperationalError as error:
        stop(
            UnsafeOperation,
            f"{step.call}: the table cannot be rebuilt: {error.orig}.",
            (" ".join(table_text(step).items), " ".join(sql.split())),
            "Stopped, because what is left of the table would not work without it.",
            f"helpers.drop_column({step.table!r}, ...)  # what uses it, before this line",
        )


def copied_columns(step: Step, tail: str) -> str:
    """Return the columns that both tables store, the rowid included."""
    new = {name.lower() for name in stored_columns(step, f"_alembic_tmp_{step.table}")}
    old = stored_columns(step, step.table)
    names = [step.database.quoted(name) for name in old if name.lower() in new]
    taken = {name.lower() for name in old} | new
    free = [name for name in ("rowid", "oid", "_rowid_") if name not in taken]
    has_rowid = "WITHOUT" not in tail.upper()
    return ", ".join([*(free[:1] if has_rowid else []), *names])


def counter_of(step: Step) -> int | None:
    """Return the AUTOINCREMENT counter, which a new table would begin again."""
    exists = f"SELECT 1 FROM {master_table(step)} WHERE name = 'sqlite_sequence'"
    if step.database.run(exists).first() is None:
        return None
    sql = f"SELECT seq FROM {sequence_table(step)} WHERE name = ? COLLATE NOCASE"
    counter: int | None = step.database.run(sql, (step.table,)).scalar()
    return counter


def sequence_table(step: Step) -> str:
    return step.database.quoted("sqlite_sequence", step.schema or "main")


def restore(step: Step, belongings: list[tuple[str, str, str]], counter: int | None) -> None:
    """Make the indexes and triggers again, but those of a dropped column, and set the counter."""
    dropped = str(step.name) if step.verb == "drop_column" else None
    for kind, _, sql in belongings:
        if not (kind == "index" and dropped and references_column(index_definition(sql), dropped)):
            make_again(step, sql)
    if counter is not None:
        run, sequence = step.database.run, sequence_table(step)
        run(f"DELETE FROM {sequence} WHERE name = ? COLLATE NOCASE", (step.table,))
        run(f"INSERT INTO {sequence} (name, seq) VALUES (?, ?)", (step.table, counter))


def make_again(step: Step, sql: str) -> None:
    """Make an index or trigger from its own text, which does not name its schema."""
    schema = f"{step.database.quoted(step.schema)}." if step.schema else ""
    head = re.match(r"CREATE\s+(UNIQUE\s+)?(INDEX|TRIGGER)\s+", sql, re.I)
    assert head is not None
    step.database.run(head.group() + schema + sql[head.end() :])


@contextmanager
def atomic(database: Database) -> Iterator[None]:
    """Do all that is within, or nothing, whether or not the driver began a transaction."""
    is_nested = database.in_transaction
    database.run("SAVEPOINT alembic_helpers" if is_nested else "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.run("ROLLBACK TO alembic_helpers" if is_nested else "ROLLBACK")
        if is_nested:
            database.run("RELEASE alembic_helpers")
        raise
    database.run("RELEASE alembic_helpers" if is_nested else "COMMIT")


@contextmanager
def foreign_keys_off(step: Step, items: list[str]) -> Iterator[None]:
    """Suspend foreign keys, whose actions would empty the children of a table that is rebuilt.

    The pragma is ignored inside a transaction (https://www.sqlite.org/pragma.html#pragma_foreign_keys).
    With ``transactional_ddl`` the transaction is not ours to commit, so the rebuild is refused.
    Without it the transaction holds only rows, which Python's sqlite3 once committed before DDL.
    """
    database, run = step.database, step.database.run
    is_referenced = children_of(step) or contains_word(",".join(items), step.table)
    if not run("PRAGMA foreign_keys").scalar() or not is_referenced:
        yield
        return
    if database.in_transaction:
        is_external = getattr(step.context, "_in_external_transaction", False)
        if step.context.impl.transactional_ddl or is_external:
            has = "foreign_keys=ON inside a transaction, where it cannot be suspended"
            stop(
                UnsafeOperation,
                f"{step.call}: SQLite must rebuild the table, which other tables reference.",
                (has, "foreign_keys=OFF"),
                "Stopped, because the rebuild would delete or change the rows that reference it.",
                'connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # in env.py,',
                "connection.commit()  # before context.configure(connection=connection)",
            )
        log_decision("apply", step, "commits what came before, to suspend foreign keys")
        run("COMMIT")
    run("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        run("PRAGMA foreign_keys = ON")
