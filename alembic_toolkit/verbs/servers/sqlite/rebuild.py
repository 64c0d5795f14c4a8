"""A table rebuilt from its own text with one clause changed.

What is not touched cannot be lost, be it a collation, an unnamed check, AUTOINCREMENT or a
generated column.  The order of the steps is SQLite's: https://www.sqlite.org/lang_altertable.html#otheralter
"""

from __future__ import annotations

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
from alembic_toolkit.sql.tokens import contains_word, unquoted
from alembic_toolkit.verbs.ask import ask
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    belongings_of,
    children_of,
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
    """Write down the names that a batch's convention gives, as Alembic does in a rebuild.

    Without them a revision further up, which drops one by name alone, would find none.
    """
    every = [clause for item in items for clause in (item, *split_clauses(item)[1:])]
    taken = {
        step.database.case_folded(name)
        for name in (split_name(clause)[0] for clause in every)
        if name
    }

    def named(clause: str, column: list[str]) -> str:
        name = name_by_convention(step, clause, column)
        if name is None or step.database.case_folded(name) in taken:
            return clause
        taken.add(step.database.case_folded(name))
        return f"CONSTRAINT {step.database.quoted(name)} {clause.lstrip()}"

    def written(item: str) -> str:
        if not is_column(item):
            return named(item, [])
        head, *clauses = split_clauses(item)
        made = [named(clause, [unquoted(split_name(item)[1][0])]) for clause in clauses]
        return item if made == clauses else join_clauses([head, *made])

    return items if step.batch.naming_convention is None else [written(i) for i in items]


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
    """Return the columns that both tables have and that are not generated, the rowid included."""
    new = {name.lower() for name in stored_columns(step, f"_alembic_tmp_{step.table}")}
    old = stored_columns(step, step.table)
    names = [step.database.quoted(name) for name in old if name.lower() in new]
    taken = {name.lower() for name in old} | new
    free = [name for name in ("rowid", "oid", "_rowid_") if name not in taken]
    has_rowid = "WITHOUT" not in tail.upper()
    return ", ".join([*(free[:1] if has_rowid else []), *names])


def counter_of(step: Step) -> int | None:
    """Return the AUTOINCREMENT counter, which a new table would begin again."""
    master = f"{step.database.quoted(step.schema or 'main')}."
    exists = f"SELECT 1 FROM {master}sqlite_master WHERE name = 'sqlite_sequence'"
    if step.database.run(exists).first() is None:
        return None
    sql = f"SELECT seq FROM {master}sqlite_sequence WHERE name = ? COLLATE NOCASE"
    counter: int | None = step.database.run(sql, (step.table,)).scalar()
    return counter


def restore(step: Step, belongings: list[tuple[str, str, str]], counter: int | None) -> None:
    dropped = str(step.name) if step.verb == "drop_column" else None
    for kind, _, sql in belongings:
        if not (kind == "index" and dropped and references_column(index_definition(sql), dropped)):
            make_again(step, sql)
    if counter is not None:
        sequence = f"{step.database.quoted(step.schema or 'main')}.sqlite_sequence"
        run = step.database.run
        run(f"DELETE FROM {sequence} WHERE name = ? COLLATE NOCASE", (step.table,))
        run(f"INSERT INTO {sequence} (name, seq) VALUES (?, ?)", (step.table, counter))


def make_again(step: Step, sql: str) -> None:
    """Make an index or trigger from its own text, which does not say in which schema."""
    schema = f"{step.database.quoted(step.schema)}." if step.schema else ""
    head = re.match(r"CREATE\s+(UNIQUE\s+)?(INDEX|TRIGGER)\s+", sql, re.I)
    assert head is not None
    step.database.run(head.group() + schema + sql[head.end() :])


@contextmanager
def atomic(database: Database) -> Iterator[None]:
    """Make what is done within all or nothing, whether or not the driver began a transaction."""
    inside = database.in_transaction
    name = "alembic_helpers"
    database.run(f"SAVEPOINT {name}" if inside else "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.run(f"ROLLBACK TO {name}" if inside else "ROLLBACK")
        if inside:
            database.run(f"RELEASE {name}")
        raise
    database.run(f"RELEASE {name}" if inside else "COMMIT")


@contextmanager
def foreign_keys_off(step: Step, items: list[str]) -> Iterator[None]:
    """Suspend foreign keys, whose actions would empty the children of a table that is rebuilt.

    The pragma is ignored inside a transaction (https://www.sqlite.org/pragma.html#pragma_foreign_keys).
    Where Alembic was told that DDL is transactional, the transaction is not ours to commit: refuse.
    Elsewhere it holds only rows that the driver would have committed before any DDL of old.
    """
    database, run = step.database, step.database.run
    referenced = children_of(step) or contains_word(",".join(items), step.table)
    if not run("PRAGMA foreign_keys").scalar() or not referenced:
        yield
        return
    if database.in_transaction:
        context = step.operations.migration_context
        if context.impl.transactional_ddl or getattr(context, "_in_external_transaction", False):
            stop(
                UnsafeOperation,
                f"{step.call}: SQLite must rebuild the table, which other tables reference.",
                (
                    "foreign_keys=ON inside a transaction, where it cannot be suspended",
                    "foreign_keys=OFF",
                ),
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
