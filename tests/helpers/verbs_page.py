"""Write ``docs/verbs.md`` from what the servers do: each row of the contract's matrix, run.

``python -m tests.helpers.verbs_page`` writes the page; a test compares it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import alembic_helpers as helpers
from tests import databases
from tests.databases import Database
from tests.helpers import test_contract
from tests.helpers.conftest import empty, quick
from tests.helpers.scripts import written
from tests.helpers.test_contract import ABSENT, ORPHAN, OTHER, ROWS, SAME, Row, spelled
from tests.helpers.vocabulary import Act, counted, outcome_of, prepare, revision

PAGE = Path(__file__).parents[2] / "docs" / "verbs.md"
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
NAMES = tuple(TITLES)
SITUATIONS = {
    ABSENT: "not there",
    SAME: "the same is there",
    OTHER: "another is there",
    ORPHAN: "its table is missing",
}
RENAMED = {
    ABSENT: "the old name only",
    SAME: "the new name only",
    OTHER: "both names",
    ORPHAN: "neither name",
}
INTRODUCTION = """\
# Verbs

This page shows what each verb does in each situation, on each server, and the SQL that the server
gets: when the revision runs (`alembic upgrade`), and in a script (`alembic upgrade --sql`). It is
generated: a test runs each call in each situation and compares the page with what happened.

*act*: the database is changed. *skip*: the database is left as it is, and the log says why.
Anything else is the error that is raised, before anything is changed.

MySQL does what MariaDB does, with the same SQL and the same scripts. One word differs in a
database: a check is dropped by `DROP CHECK`, not by `DROP CONSTRAINT`.

Two verbs have no table. `execute_file` runs all of its file each time, and a script gets the file's
statements as they are. `irreversible` always raises `Irreversible`, and no script is written.
"""
# What only looks, or makes nothing that lasts.
LOOKS = re.compile(
    r"\s*(SELECT|SHOW|PRAGMA|EXPLAIN|WITH|SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT)\b|.*_alembic_scratch",
    re.I | re.S,
)

NewDatabase = Callable[[str], Database]


def page(new_database: NewDatabase, names: tuple[str, ...] = NAMES) -> str:
    """Return the page, with what these servers do."""
    sections = [section(row, new_database, names) for row in ROWS if {*row.servers} & {*names}]
    return "\n".join([INTRODUCTION, *sections])


def section(row: Row, new_database: NewDatabase, names: tuple[str, ...]) -> str:
    """Return what one verb does, with one set of arguments."""
    servers = [name for name in names if name in row.servers]
    label = f": {row.label}" if row.label else ""
    lines = [f"## `{row.verb}`{label}", "", "```python", call(row.act), "```", ""]
    lines += table(row, new_database, servers)
    groups: dict[str, list[str]] = {}
    for server in servers:
        text = "\n".join(statements(row, new_database, server))
        groups.setdefault(text, []).append(TITLES[server])
    for text, titles in groups.items():
        lines += ["", f"**{', '.join(titles)}**{text}"]
    return "\n".join([*lines, ""])


def call(act: Act) -> str:
    """Return the call that a row makes, as a revision has it."""
    if isinstance(act, partial):
        given = [repr(argument) for argument in act.args]
        given += [f"{key}={value!r}" for key, value in act.keywords.items() if value is not None]
        return f"helpers.{act.func.__name__}({', '.join(given)})".replace("'", '"')
    source, lambdas = _source()
    body = lambdas[act.__code__.co_firstlineno].body
    first, newline, rest = str(ast.get_source_segment(source, body)).partition("\n")
    return first + newline + textwrap.dedent(rest)


@cache
def _source() -> tuple[str, dict[int, ast.Lambda]]:
    source = Path(test_contract.__file__).read_text(encoding="utf-8")
    nodes = ast.walk(ast.parse(source))
    return source, {node.lineno: node for node in nodes if isinstance(node, ast.Lambda)}


def table(row: Row, new_database: NewDatabase, servers: list[str]) -> list[str]:
    """Return the cells of the outcome table."""
    lines = ["| | " + " | ".join(TITLES[server] for server in servers) + " |"]
    lines += ["|---" * (len(servers) + 1) + "|"]
    situations = RENAMED if "rename" in f"{row.verb} {row.label}" else SITUATIONS
    for situation in row.situations:
        cells = [outcome(row, situation, new_database(server)) for server in servers]
        lines.append(f"| {situations[situation]} | {' | '.join(cells)} |")
    return lines


def outcome(row: Row, situation: str, database: Database) -> str:
    """Run the verb in a situation, and say what came of it."""
    prepare(database, *spelled(row.situations[situation], database.name))
    with revision(database):
        found = outcome_of(row.act)
    if found.error is not None:
        return f"`{type(found.error).__name__}`"
    if "apply" in found.decisions:
        return "act"
    return "skip: " + found.lines[0].partition(": ")[2].replace("|", "\\|")


def statements(row: Row, new_database: NewDatabase, server: str) -> list[str]:
    """Return the SQL that a server gets where the verb acts."""
    acts = [s for s in (ABSENT, SAME, OTHER) if row.expected.get(s) == "applied"]
    if not acts:
        return [": no SQL, in a database or in a script."]
    database = new_database(server)
    prepare(database, *spelled(row.situations[acts[0]], server))
    with revision(database), counted(database.engine) as executed:
        row.act()
    run = [tidy(sql) for sql in executed if not LOOKS.match(sql)]
    lines = [", in a database:", "", "```sql", *run, "```", ""]
    try:
        script = written(new_database(server), row.act)
    except helpers.OfflineUnsupported as error:
        why = re.search("Stopped, because (.*)", str(error))
        assert why is not None
        return [*lines, f"In a script: `OfflineUnsupported`, because {why[1]}"]
    script = tidy(script, "")
    if script == "\n".join(run):
        return [", in a database and in a script:", "", "```sql", *run, "```"]
    return [*lines, "In a script:", "", "```sql", script, "```"]


def tidy(sql: str, end: str = ";") -> str:
    """Return SQL without the white space that only its author's program wanted."""
    text = textwrap.dedent(sql.expandtabs(4)).strip()
    text = text if not end else text.removesuffix(";") + end
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and line not in ("BEGIN;", "COMMIT;"))


def main() -> None:
    """Write the page."""
    kept: dict[str, Any] = {}

    def new(name: str) -> Database:
        if name in kept and name == "postgresql":
            empty(kept[name])
        elif name in kept:
            kept[name].close()
        if name not in kept or name != "postgresql":
            kept[name] = quick(databases.new_database(name))
        database: Database = kept[name]
        return database

    try:
        PAGE.write_text(page(new), encoding="utf-8")
    finally:
        databases.stop_servers()


if __name__ == "__main__":
    main()
