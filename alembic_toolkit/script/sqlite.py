"""For SQLite, which has no IF at all; but a trigger can be made to run what changes rows."""

from __future__ import annotations

import re
from typing import NoReturn

from alembic.util import CommandError

from alembic_toolkit.script.parts import (
    APPLIED,
    STRAY,
    Part,
    Script,
    blocked_condition,
    heading,
    listed,
    mark_statements,
    reason,
    rows,
    stray_condition,
)
from alembic_toolkit.script.readable import readable
from alembic_toolkit.sql.guarded import Guarded
from alembic_toolkit.sql.quoting import literal

_NATIVE = re.compile(
    r"\s*(?:CREATE\s+(?:UNIQUE\s+)?(TABLE|INDEX|VIEW|TRIGGER)\s+IF\s+NOT\s+EXISTS"
    r"|DROP\s+(TABLE|INDEX|VIEW|TRIGGER)\s+IF\s+EXISTS)\s+(.+?)(?=\s*\(|\s+(?:AS|ON|BEFORE|AFTER"
    r"|INSTEAD)\b|$)",
    re.I | re.S,
)
# What plain `op` writes, and SQLite can guard.
_PLAIN = re.compile(
    r"\A\s*(CREATE(?:\s+UNIQUE)?|DROP)\s+(TABLE|INDEX|VIEW|TRIGGER)\s+(?!IF\b)", re.I
)
_ROWS = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.I)


def write(script: Script) -> list[str]:
    known, applied = "temp.alembic_known", "temp.alembic_applied"
    closure = APPLIED.format(first="version_num", versions=script.version_table)
    texts = [
        heading(script, "sqlite3 DATABASE < FILE"),
        ".bail on",
        f"{script.create_version_table};",
        f"DROP TABLE IF EXISTS {known};\nDROP TABLE IF EXISTS {applied};",
        "DROP TABLE IF EXISTS temp.alembic_do;\nDROP TABLE IF EXISTS temp.alembic_stop;",
        f"CREATE TABLE {known} (revision, parent);",
        f"INSERT INTO {known} (revision, parent) VALUES\n  {rows(script.pairs())};",
        f"CREATE TABLE {applied} AS\n{closure};",
        "CREATE TABLE temp.alembic_do (it);\nCREATE TABLE temp.alembic_stop (it);",
    ]
    if script.from_base:
        stray = stray_condition(script, known)
        texts.append(_stop(stray, STRAY))
    beyond = script.beyond()
    if beyond:  # there is no IF: what it has already would be dropped and made again
        ahead = f"EXISTS (SELECT 1 FROM {applied} WHERE revision IN {listed(beyond)})"
        texts.append(_stop(ahead, "this database is beyond the end of this script"))
    gone = set[str]()
    for part in script.parts:
        texts += _part(script, part, applied, gone)
    return texts


def _part(script: Script, part: Part, applied: str, gone: set[str]) -> list[str]:
    there = f"EXISTS (SELECT 1 FROM {applied} WHERE revision = {literal(part.id)})"
    todo = f"NOT {there}" if part.up else there
    texts = [part.comment, "BEGIN IMMEDIATE;"]
    blocked = blocked_condition(script, part, applied)
    if blocked:
        texts.append(_stop(f"{todo} AND {blocked}", reason(part)))
    for _, statements in part.groups:
        texts += [_guarded(part, statement, todo, gone) for statement in statements]
    marks = mark_statements(script, part, applied, todo)
    return [*texts, *(f"{mark};" for mark in marks), "COMMIT;"]


def _guarded(part: Part, statement: str, todo: str, gone: set[str]) -> str:
    if statement.startswith("--"):
        return statement
    if isinstance(statement, Guarded):
        return f"{statement};"
    statement = _PLAIN.sub(_guard, statement)
    native = _NATIVE.match(statement)
    if native:
        name = native[3].strip("\"'`[]").lower()
        if native[2] and native[2].upper() == "TABLE":
            gone.add(name)
        elif native[1] and native[1].upper() == "TABLE" and name in gone:
            why = "it makes a table anew that the script drops, and a later run would drop its rows"
            _refuse(part, statement, why)
        return f"{readable(statement)};"
    if _ROWS.match(statement):
        return _if(todo, "alembic_do", f"  {readable(statement)};")
    _refuse(part, statement, "SQLite has no IF that could skip it in a database that has it")


def _guard(match: re.Match[str]) -> str:
    exists = "IF EXISTS" if match[1].upper() == "DROP" else "IF NOT EXISTS"
    return f"{match[1]} {match[2]} {exists} "


def _refuse(part: Part, statement: str, why: str) -> NoReturn:
    first = " ".join(statement.split())[:80]
    raise CommandError(
        f"revision {part.id} cannot be part of a script for SQLite: {part.path}\n"
        f"  found   {first}\n"
        "  wanted  what SQLite can skip: CREATE … IF NOT EXISTS, DROP … IF EXISTS, or rows\n"
        f"Stopped, because {why}.\n"
        "What to do next:\n    alembic upgrade head  # without --sql, on the database itself"
    )


def _if(condition: str, table: str, body: str) -> str:
    """Return what runs the body of a trigger where the condition holds."""
    return (
        f"CREATE TEMPORARY TRIGGER alembic_step AFTER INSERT ON {table} BEGIN\n{body}\nEND;\n"
        f"INSERT INTO {table} SELECT 1 WHERE {condition};\n"
        "DROP TRIGGER temp.alembic_step;"
    )


def _stop(condition: str, message: str) -> str:
    return _if(condition, "alembic_stop", f"  SELECT RAISE(ABORT, {literal(message)});")
