"""Conditions that a rebuild must not make worse: rows, foreign keys, views and triggers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from alembic_toolkit.sql.statements import explained
from alembic_toolkit.sql.tokens import tokenize
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.refused import drop_used_view, key_to_lead_to
from alembic_toolkit.verbs.servers.sqlite.catalog import master_table, stored_columns
from alembic_toolkit.verbs.servers.sqlite.survey import Survey
from alembic_toolkit.verbs.source import key_follows
from alembic_toolkit.verbs.unknown import refuse_unknown_columns
from alembic_toolkit.verbs.values import Step


@dataclass
class Health:
    """The condition of a table and of objects that depend on it."""

    rows: int
    dangling: Counter[tuple[str, str]]  # rows without a parent, by table and parent
    broken: dict[str, str]  # unusable objects, with SQLite's error


def health_of(step: Step, found: Survey) -> Health:
    database = step.database
    rows = database.run(f"SELECT count(*) FROM {database.quoted(step.table, step.schema)}").scalar()
    dangling: Counter[tuple[str, str]] = Counter()
    broken = {}
    for name, statement in statements_using(step, found.programs).items():
        try:  # planning the statement is enough
            database.run(explained(statement)).close()
        except sa.exc.OperationalError as error:
            broken[name] = str(error.orig)
    schema = database.quoted(step.schema or "main")
    for table in dict.fromkeys([step.table, *found.children]):  # in the same order each time
        try:
            lost = database.run(f"PRAGMA {schema}.foreign_key_check({database.quoted(table)})")
            dangling.update((row[0], row[2]) for row in lost)
        except sa.exc.OperationalError as error:  # a foreign key to columns that are not unique
            if not (step.batch.makes_key or key_follows(step)):
                broken[f"foreign key of {table}"] = str(error.orig)
    return Health(int(rows or 0), dangling, broken)


def statements_using(step: Step, programs: Programs) -> dict[str, str]:
    """Return a statement that reads each view, and one that fires each trigger."""
    return {name: statement for name, (_, statement) in described(step, programs).items()}


Programs = Sequence[tuple[str, str, str, str]]


def described(step: Step, programs: Programs) -> dict[str, tuple[str, str]]:
    """Return the text of each view and trigger, and a statement that uses it."""
    found = {}
    for type_, name, on, sql in programs:
        table = step.database.quoted(on, step.schema)
        words = [token.upper() for token in tokenize(sql)]
        event = next((word for word in words if word in ("INSERT", "UPDATE", "DELETE")), "")
        if type_ == "view":
            statement = f"SELECT * FROM {table}"
        elif event == "UPDATE":
            columns = map(step.database.quoted, stored_columns(step, on))
            statement = f"UPDATE {table} SET {', '.join(f'{c} = {c}' for c in columns)}"
        elif event == "INSERT":
            statement = f"INSERT INTO {table} DEFAULT VALUES"
        else:
            statement = f"DELETE FROM {table}"
        found[f"{type_} {name}"] = (sql, statement)
    return found


def users(step: Step) -> dict[str, tuple[str, str]]:
    """Return the text of each view and trigger, and a statement that only plans its use."""
    rows = step.database.run(
        "SELECT type, name, tbl_name, sql"
        f" FROM {master_table(step)} WHERE type IN ('view', 'trigger')"
    ).all()
    programs = [(row[0], row[1], row[2], row[3]) for row in rows]
    return {name: (sql, explained(use)) for name, (sql, use) in described(step, programs).items()}


def compare_health(step: Step, before: Health, after: Health) -> None:
    """Refuse a rebuild if anything is worse after it."""
    broken = sorted(after.broken.keys() - before.broken.keys())
    problems = [f"{name}: {after.broken[name]}" for name in broken]
    dangling = (after.dangling - before.dangling).items()
    if dangling:
        rows = (f"{n} rows of {table} without a row in {parent}" for (table, parent), n in dangling)
        problems.append(", ".join(rows))
    if after.rows != before.rows:
        problems.append(f"{after.rows} of {before.rows} rows would be left")
    if problems:
        refuse_unknown_columns(step)
        stop(
            UnsafeOperation,
            f"{step.call}: the table would not be sound without it.",
            ("; ".join(problems), "all rows, views and triggers intact"),
            "Stopped, and rolled back: nothing was changed.",
            *ways_on(step, broken),
        )


def ways_on(step: Step, broken: list[str]) -> list[str]:
    """Return code for what would be unusable; without that, rows are in the way."""
    ways = []
    for sort, _, name in (one.partition(" ") for one in broken):
        if sort == "view":
            ways.append(drop_used_view(step, name, step.schema))
        elif sort == "trigger":
            sql = f"DROP TRIGGER IF EXISTS {step.database.quoted(name, step.schema)}"
            ways.append(f"helpers.execute({sql!r})  # before this line; and create it again after")
        elif step.kind == "foreignkey":
            ways.append(key_to_lead_to(step))
        else:
            table = name.removeprefix("key of ")
            call = f"helpers.drop_constraint(..., {table!r}, type_='foreignkey')"
            ways.append(f"{call}  # before this line: the one that leads to {step.table}")
    return ways or [f"helpers.execute('UPDATE {step.table} SET ...')  # before this line"]
