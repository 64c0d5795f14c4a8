"""All facts that a rebuild needs about a table and its surroundings, from one statement."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from alembic_toolkit.sql.create_table import TableText, parse_create_table
from alembic_toolkit.sql.quoting import filled_in, literal
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    CHILDREN,
    master_table,
    require_ordinary,
    searched_name,
)
from alembic_toolkit.verbs.values import Step


@dataclass(frozen=True)
class Survey:
    """A table and its surroundings."""

    name: str
    sql: str
    belongings: list[tuple[str, str, str]]  # its indexes and triggers: type, name, SQL
    programs: list[tuple[str, str, str, str]]  # all views and triggers: type, name, table, SQL
    temporary: dict[str, str]  # this session's triggers on it: name -> SQL
    children: dict[str, list[str]]  # tables with a foreign key to it: name -> key's columns
    own_tables: set[str]  # SQLite's own: AUTOINCREMENT counters and statistics
    checks_keys: bool = field(compare=False)

    @property
    def text(self) -> TableText:
        return parse_create_table(self.sql)


# https://www.sqlite.org/pragma.html#pragfunc
QUERY = (
    "SELECT type, name, tbl_name, sql, rowid FROM :master WHERE type IN ('view', 'trigger')"
    " OR tbl_name = :table COLLATE NOCASE"
    " OR name IN ('sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4')"
    " UNION ALL SELECT 'temporary', name, tbl_name, sql, rowid FROM sqlite_temp_master"
    " WHERE type = 'trigger' AND tbl_name = :table COLLATE NOCASE"
    f" UNION ALL SELECT 'child', child, \"column\", NULL, number FROM ({CHILDREN})"
    " UNION ALL SELECT 'setting', foreign_keys, NULL, NULL, 0 FROM pragma_foreign_keys"
)


def survey(step: Step) -> Survey:
    """Return the facts; a virtual table is refused.

    :raises UnsafeOperation: the table is a virtual one.
    """
    names = {"table": step.table, "schema": step.schema or "main", "part": searched_name(step)}
    values = {key: literal(name) for key, name in names.items()} | {"master": master_table(step)}
    rows, _ = step.database.fetch(filled_in(QUERY, values))
    own = step.database.case_folded(step.table)
    children: dict[str, list[str]] = {}
    found, things = list[tuple[str, str]](), list[tuple[int, tuple[str, str, str, str]]]()
    temporary, settings = {}, list[bool]()
    for type_, name, on, sql, number in rows:
        match type_:
            case "child":
                children.setdefault(name, []).append(on)
            case "setting":
                settings.append(bool(int(name)))
            case "temporary" if step.schema != "temp":  # else in the table's own schema
                temporary[name] = re.sub(r"CREATE\s+", "CREATE TEMP ", sql, count=1)
            case "table" if step.database.case_folded(name) == own:
                found.append((name, sql))
            case "index" | "trigger" | "view" | "table":
                things.append((number, (type_, name, on, sql)))
    [(table, sql)] = found
    require_ordinary(step, sql)
    ordered = [thing for _, thing in sorted(things, key=lambda thing: thing[0])]
    belongings = [
        (type_, name, text)
        for type_, name, on, text in ordered
        if type_ in ("index", "trigger") and text and step.database.case_folded(on) == own
    ]
    return Survey(
        table,
        sql,
        sorted(belongings, key=lambda one: one[0]),
        [thing for thing in ordered if thing[0] in ("view", "trigger")],
        temporary,
        children,
        {name for type_, name, _, _ in ordered if type_ == "table"},
        settings == [True],
    )


def require_unchanged(step: Step, found: Survey) -> None:
    """Refuse to continue if another session changed something since the survey."""
    if survey(step) != found:
        stop(
            UnsafeOperation,
            f"{step.call}: the database was changed meanwhile.",
            ("a table, index, view or trigger that was not there before", "no other change"),
            "Stopped, and nothing was changed, because SQLite must rebuild the table.",
            "# run the command again",
        )
