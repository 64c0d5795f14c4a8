"""What a rebuild must not make worse: rows, foreign keys, views and triggers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NoReturn

import sqlalchemy as sa

from alembic_toolkit.sql.tokens import tokenize
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.servers.sqlite.catalog import children_of, master_table, stored_columns
from alembic_toolkit.verbs.source import key_follows
from alembic_toolkit.verbs.values import Step


@dataclass
class Health:
    """What a rebuild must not make worse."""

    rows: int
    dangling: Counter[tuple[str, str]]
    broken: dict[str, str]


def health_of(step: Step) -> Health:
    run = step.database.run
    schema = step.database.quoted(step.schema or "main")
    rows = run(f"SELECT count(*) FROM {step.database.quoted(step.table, step.schema)}").scalar()
    broken = broken_things(step)
    dangling: Counter[tuple[str, str]] = Counter()
    for table in {step.table, *children_of(step)}:
        try:
            found = run(f"PRAGMA {schema}.foreign_key_check({step.database.quoted(table)})")
            dangling.update((row[0], row[2]) for row in found)
        except sa.exc.OperationalError as error:  # a key that references no unique columns
            if not (step.batch.makes_key or key_follows(step)):
                broken[f"foreign key of {table}"] = str(error.orig)
    return Health(int(rows or 0), dangling, broken)


def broken_things(step: Step) -> dict[str, str]:
    """Return what is wrong with each view and trigger: SQLite says so when it plans their use."""
    broken = {}
    for name, statement in statements_using(step).items():
        try:
            step.database.run(f"EXPLAIN {statement}").close()
        except sa.exc.OperationalError as error:
            broken[name] = str(error.orig)
    return broken


def statements_using(step: Step) -> dict[str, str]:
    """Return a statement that reads each view, and one that fires each trigger."""
    database = step.database
    master = master_table(step)
    rows = database.run(
        f"SELECT type, name, tbl_name, sql FROM {master} WHERE type IN ('view', 'trigger')"
    ).all()
    views = {name for type_, name, _, _ in rows if type_ == "view"}
    uses = {f"view {v}": f"SELECT * FROM {database.quoted(v, step.schema)}" for v in views}
    for type_, name, on, sql in rows:
        if type_ == "trigger":
            words = [token.upper() for token in tokenize(sql)]
            event = next(word for word in words if word in ("INSERT", "UPDATE", "DELETE"))
            uses[f"trigger {name}"] = firing_statement(step, event, on)
    return uses


def firing_statement(step: Step, event: str, table: str) -> str:
    name = step.database.quoted(table, step.schema)
    if event == "UPDATE":
        columns = [step.database.quoted(column) for column in stored_columns(step, table)]
        same = ", ".join(f"{column} = {column}" for column in columns)
        return f"UPDATE {name} SET {same}"
    return f"DELETE FROM {name}" if event == "DELETE" else f"INSERT INTO {name} DEFAULT VALUES"


def compare_health(step: Step, before: Health, after: Health) -> None:
    worse = (after.dangling - before.dangling).items()
    dangling = ", ".join(f"{n} rows of {table} without a row in {p}" for (table, p), n in worse)
    broken = {k: v for k, v in after.broken.items() if k not in before.broken}
    lost = ""
    if after.rows != before.rows:
        lost = f"{after.rows} of {before.rows} rows would be left"
    if broken or dangling or lost:
        refuse_unsound(step, broken, dangling, lost)


def refuse_unsound(step: Step, broken: dict[str, str], dangling: str, lost: str) -> NoReturn:
    errors = [f"{name}: {error}" for name, error in sorted(broken.items())]
    stop(
        UnsafeOperation,
        f"{step.call}: the table would not be sound without it.",
        ("; ".join(filter(None, [*errors, dangling, lost])), "all rows, views and triggers intact"),
        "Stopped, and rolled back: nothing was changed.",
        f"helpers.execute('UPDATE {step.table} SET ...')  # or drop what uses it, before this line",
    )
