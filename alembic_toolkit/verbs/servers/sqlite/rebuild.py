"""Rebuild a table from its own text with one clause changed.

The rest of the text is kept, so no collation, unnamed check or AUTOINCREMENT is lost.
The order of the steps is SQLite's: https://www.sqlite.org/lang_altertable.html#otheralter
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.create_table import (
    column_name,
    index_definition,
    is_column,
    join_clauses,
    references_column,
    split_clauses,
    split_name,
)
from alembic_toolkit.sql.tokens import contains_word
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    belongings_of,
    clauses_of,
    name_by_convention,
    stored_columns,
)
from alembic_toolkit.verbs.servers.sqlite.health import compare_health, health_of
from alembic_toolkit.verbs.servers.sqlite.survey import (
    Survey,
    require_unchanged,
    survey,
)
from alembic_toolkit.verbs.values import Database, Step
from alembic_toolkit.verbs.words import log_line


def rebuild(step: Step, items: list[str], found: Survey | None = None) -> None:
    """Rebuild the table with these items; keep rows, indexes, triggers and references to it.

    :param found: the survey of the table, if there is one already.
    """
    database, found = step.database, found or survey(step)
    items, tail = with_conventional_names(step, items), found.text.tail
    with foreign_keys_off(step, items, found):
        is_kept = database.in_transaction  # if so, nobody can change anything
        with atomic(database):
            if not is_kept:
                require_unchanged(step, found)
            build_anew(step, items, tail, found)


def build_anew(step: Step, items: list[str], tail: str, found: Survey) -> None:
    """Create the table with these items under another name; replace the old table by it."""
    database, run = step.database, step.database.run
    table = database.quoted(found.name, step.schema)
    temporary = database.quoted(f"_alembic_tmp_{step.table}", step.schema)
    before, belongings = health_of(step, found), Belongings(step, found)
    run(f"DROP TABLE IF EXISTS {temporary}")  # left behind by a rebuild that was killed
    try_to_create(step, f"CREATE TABLE {temporary} ({','.join(items)}{tail}", found)
    columns = copied_columns(step, tail)
    with dangling_in_words(step, found.name):
        run(f"INSERT INTO {temporary} ({columns}) SELECT {columns} FROM {table}")
    with references_left_alone(database):
        run(f"DROP TABLE {table}")
        run(f"ALTER TABLE {temporary} RENAME TO {database.quoted(found.name)}")
    belongings.restore(step)
    compare_health(step, before, health_of(step, survey(step)))


def with_conventional_names(step: Step, items: list[str]) -> list[str]:
    """Write out the names that a batch's naming convention gives, as Alembic does in a rebuild.

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


@contextmanager
def dangling_in_words(step: Step, table: str) -> Iterator[None]:
    """Refuse, with a readable error, to copy rows without parents, which SQLite checks."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        if "FOREIGN KEY" not in str(error.orig):
            raise
        schema = step.database.quoted(step.schema or "main")
        check = f"PRAGMA {schema}.foreign_key_check({step.database.quoted(table)})"
        rows = step.database.run(check).all()
        keys = ", ".join(f"rowid {row[1]} (no row of {row[2]})" for row in rows[:3])
        stop(
            UnsafeOperation,
            f"{step.call}: rows of {table} refer to rows that are not there.",
            (f"{len(rows)} of them: {keys or 'under the new key'}", "a parent for each row"),
            "Stopped, and rolled back: SQLite must rebuild the table, and would not take them.",
            f"helpers.execute('UPDATE {table} SET ... = NULL WHERE ...')"
            "  # before this line: correct or delete them",
        )


def try_to_create(step: Step, sql: str, found: Survey) -> None:
    try:
        step.database.run(sql)
    except sa.exc.OperationalError as error:
        if not step.verb.startswith("drop_"):
            raise  # about what this step adds
        gone = str(step.name)
        others = [i for i in found.text.items if not is_column(i) or column_name(i) != gone]
        users = [item for item in others if references_column(item, gone)]
        names = [repr(column_name(item)) for item in users if is_column(item)] or ["..."]
        stop(
            UnsafeOperation,
            f"{step.call}: the table cannot be rebuilt: {error.orig}.",
            ("; ".join(" ".join(item.split()) for item in users or others), "nothing that uses it"),
            "Stopped, because the rest of the table would not work without it.",
            *(
                f"helpers.drop_column({step.table!r}, {name})  # what uses it, before this line"
                for name in names
            ),
        )


def copied_columns(step: Step, tail: str) -> str:
    """Return the columns that both tables store, including the rowid.

    A column that is no longer generated keeps its values.
    """
    new = {name.lower() for name in stored_columns(step, f"_alembic_tmp_{step.table}")}
    old = stored_columns(step, step.table, generated=True)
    names = [step.database.quoted(name) for name in old if name.lower() in new]
    taken = {name.lower() for name in old} | new
    free = [name for name in ("rowid", "oid", "_rowid_") if name not in taken]
    has_rowid = "WITHOUT" not in tail.upper()
    return ", ".join([*(free[:1] if has_rowid else []), *names])


class Belongings:
    """Objects that SQLite drops with a table, and a rebuild recreates."""

    def __init__(self, step: Step, found: Survey) -> None:
        self.table, self.made, self.temporary = found.name, found.belongings, found.temporary
        self.counter = counter_of(step) if "sqlite_sequence" in found.own_tables else None
        self.statistics = statistics_of(step, found.own_tables - {"sqlite_sequence"})

    def restore(self, step: Step) -> None:
        """Recreate indexes and triggers, except those of a dropped column, and their statistics."""
        dropped = str(step.name) if step.verb == "drop_column" else None
        for kind, _, sql in self.made:
            gone = kind == "index" and dropped is not None
            if not (gone and references_column(index_definition(sql), str(dropped))):
                make_again(step, sql)
        there = temporary_triggers(step) if self.temporary else set()
        for name in self.temporary.keys() - there:
            step.database.run(self.temporary[name])
        run = step.database.run
        if self.counter is not None:
            sequence = sequence_table(step)
            # SQLite looks for the exact spelling of the table's name.
            run(f"DELETE FROM {sequence} WHERE name = ? COLLATE NOCASE", (step.table,))
            run(f"INSERT INTO {sequence} (name, seq) VALUES (?, ?)", (self.table, self.counter))
        if not self.statistics:
            return
        kept = {name for kind, name, _ in belongings_of(step) if kind == "index"}
        for table, row in self.statistics:
            if row[1] is None or row[1] in kept:
                run(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in row)})", row)


def temporary_triggers(step: Step) -> set[str]:
    """Return the triggers of this session on the table."""
    rows = step.database.run(
        "SELECT name FROM sqlite_temp_master"
        " WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE",
        (step.table,),
    )
    return {*rows.scalars()}


def statistics_of(step: Step, tables: set[str]) -> list[tuple[str, Any]]:
    """Return the statistics of ANALYZE for the table: their table, and the rows.

    https://www.sqlite.org/fileformat2.html#the_sqlite_stat1_table
    """
    names = [step.database.quoted(name, step.schema or "main") for name in sorted(tables)]
    read = "SELECT * FROM {} WHERE tbl = ? COLLATE NOCASE"
    return [
        (name, tuple(row))
        for name in names
        for row in step.database.run(read.format(name), (step.table,)).all()
    ]


def counter_of(step: Step) -> int | None:
    """Return the AUTOINCREMENT counter, which a new table would start again."""
    sql = f"SELECT seq FROM {sequence_table(step)} WHERE name = ? COLLATE NOCASE"
    counter: int | None = step.database.run(sql, (step.table,)).scalar()
    return counter


def sequence_table(step: Step) -> str:
    return step.database.quoted("sqlite_sequence", step.schema or "main")


def make_again(step: Step, sql: str) -> None:
    """Recreate an index or trigger from its own text, which does not name its schema."""
    schema = f"{step.database.quoted(step.schema)}." if step.schema else ""
    head = re.match(r"CREATE\s+(UNIQUE\s+)?(INDEX|TRIGGER)\s+", sql, re.I)
    assert head is not None
    step.database.run(head.group() + schema + sql[head.end() :])


@contextmanager
def atomic(database: Database) -> Iterator[None]:
    """Do all of the block or nothing, whether or not the driver began a transaction."""
    is_nested = database.in_transaction
    database.run("SAVEPOINT alembic_helpers" if is_nested else "BEGIN IMMEDIATE")
    try:
        yield
        database.run("RELEASE alembic_helpers" if is_nested else "COMMIT")
    except BaseException:  # a COMMIT that meets a reader leaves the transaction open
        database.run("ROLLBACK TO alembic_helpers" if is_nested else "ROLLBACK")
        if is_nested:
            database.run("RELEASE alembic_helpers")
        raise


@contextmanager
def references_left_alone(database: Database) -> Iterator[None]:
    """Make a rename leave references to the table unchanged.

    https://www.sqlite.org/pragma.html#pragma_legacy_alter_table
    """
    legacy = database.run("PRAGMA legacy_alter_table").scalar()
    database.run("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        database.run(f"PRAGMA legacy_alter_table = {legacy}")


@contextmanager
def foreign_keys_off(step: Step, items: list[str], found: Survey) -> Iterator[None]:
    """Suspend foreign keys, whose actions would empty the children of a rebuilt table.

    The pragma is ignored inside a transaction (https://www.sqlite.org/pragma.html#pragma_foreign_keys).
    With ``transactional_ddl`` it must not be committed here, so the rebuild is refused.
    Without it the transaction holds only rows, which Python's sqlite3 once committed before DDL.
    """
    database, run = step.database, step.database.run
    is_referenced = found.children or contains_word(",".join(items), step.table)
    if not found.checks_keys or not is_referenced:
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
        run("COMMIT")
        log_line("committed what came before, to suspend foreign keys")
    run("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        run("PRAGMA foreign_keys = ON")
