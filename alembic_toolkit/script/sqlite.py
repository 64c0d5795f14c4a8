"""For SQLite, which has no IF at all; but a trigger can be made to run what changes rows.

What creates or drops is run in every database, with IF [NOT] EXISTS; before it the script looks
whether that changes anything that it should not, and stops (`objects.py`).  Each revision is one
transaction.  A client that goes on after an error comes to the end of it, where a trigger rolls
back what was done since the guard refused or a statement failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NoReturn

from alembic.util import CommandError

from alembic_toolkit.script.journal import Moments
from alembic_toolkit.script.objects import (
    THERE,
    Ddl,
    Things,
    ddl_of,
    is_rows,
    master,
)
from alembic_toolkit.script.parts import (
    APPLIED,
    STRAY,
    Part,
    Script,
    blocks,
    heading,
    listed,
    mark_statements,
    milliseconds,
    reason,
    rows,
    stray_condition,
)
from alembic_toolkit.sql.bodies import SQLITE
from alembic_toolkit.sql.guarded import Guarded, Single
from alembic_toolkit.sql.quoting import literal
from alembic_toolkit.sql.statements import Unreadable, apart, is_comment, terminated
from alembic_toolkit.sql.tokens import tokenize

KNOWN, APPLIED_HERE = "temp.alembic_known", "temp.alembic_applied"
TODO = "(SELECT todo FROM temp.alembic_go)"
BEFORE = "an earlier step of this script did not run"
RETURN = "' || char(13) || '"
_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"  # SQLAlchemy reads microseconds
MOMENTS = Moments(
    started="(SELECT started FROM temp.alembic_go)",
    now=_NOW,
    who="'somebody by a script'",  # SQLite knows no users
)
OURS = ("known", "applied", "do", "go", "there")


def write(script: Script) -> Iterator[str]:
    """Return the script, text by text; refuse, before the first of it, what has no condition."""
    things = Things(
        (number, ddl)
        for number, part in enumerate(script.parts, 1)
        for statement in part
        for sql in _apart(part, statement)
        if (ddl := _looked_at(part, sql))
    )
    if things.anew is not None:
        why = "it makes a table again that the script drops, and a later run would drop its rows"
        number, ddl = things.anew
        _refuse(script.parts[number - 1], ddl.guarded, why)
    return _texts(script, things)


def _looked_at(part: Part, sql: str) -> Ddl | None:
    """Return what a statement makes or drops, None where it needs no look; refuse any other."""
    if isinstance(sql, Guarded) or is_rows(sql) or _is_comment(sql):
        return None
    ddl = ddl_of(sql)
    if ddl is None:
        _refuse(part, sql, "SQLite has no IF that could skip it in a database that has it")
    return ddl


def _texts(script: Script, things: Things) -> Iterator[str]:
    yield heading(script, "sqlite3 DATABASE < FILE")
    if script.lock_timeout is not None:
        yield lock_timeout(script.lock_timeout)
    yield "\n".join(f"DROP TABLE IF EXISTS temp.alembic_{name};" for name in OURS)
    yield "CREATE TABLE temp.alembic_do (it);"
    columns = "-1 AS step, 0 AS passed, 0 AS todo, 0 AS done, NULL AS started"
    yield f"CREATE TABLE temp.alembic_go AS SELECT {columns};"
    yield from _opening(script, sorted({"main", *things.schemas}))
    for number, part in enumerate(script.parts, 1):
        yield from _part(script, part, number, things)


def lock_timeout(seconds: float) -> str:
    """Return what bounds the wait for the one writer of the database."""
    return f"PRAGMA busy_timeout = {milliseconds(seconds)};"


def _opening(script: Script, schemas: list[str]) -> Iterator[str]:
    yield "BEGIN IMMEDIATE;"
    table = script.context._version
    if script.needs_version_table:
        there = f"SELECT 1 FROM sqlite_master WHERE name = {literal(table.name)} COLLATE NOCASE"
        yield _trigger([_stop(f"NOT EXISTS ({there})", reason(script.parts[0]))])
    else:
        yield f"{script.create_version_table};"
    yield from script.mark_again()
    yield f"CREATE TABLE {KNOWN} (revision, parent);"
    yield f"INSERT INTO {KNOWN} (revision, parent) VALUES\n  {rows(script.pairs())};"
    closure = APPLIED.format(first="version_num", versions=script.version_table)
    yield f"CREATE TABLE {APPLIED_HERE} AS\n{closure};"
    looks = (
        f"SELECT {literal(schema)} AS place, type, name FROM {master(schema)}" for schema in schemas
    )
    look = "\nUNION ALL ".join(looks)
    yield f"CREATE TABLE {THERE} AS\n{look};"
    stops = [_stop(*block) for block in blocks(script, APPLIED_HERE)]
    if script.from_base:
        stops.append(_stop(stray_condition(script, KNOWN), STRAY))
    if beyond := script.beyond():  # there is no IF: what it has already would be made again
        ahead = f"EXISTS (SELECT 1 FROM {APPLIED_HERE} WHERE revision IN {listed(beyond)})"
        stops.append(_stop(ahead, "this database is beyond the end of this script"))
    yield _trigger([*stops, "UPDATE alembic_go SET step = 0;"])
    if script.journal:
        yield f"{script.journal.create};"
    yield _kept("(SELECT step FROM alembic_go) IS NOT 0")


def _part(script: Script, part: Part, number: int, things: Things) -> Iterator[str]:
    there = f"EXISTS (SELECT 1 FROM {APPLIED_HERE} WHERE revision = {literal(part.id)})"
    yield part.comment
    yield "BEGIN IMMEDIATE;"
    todo = f"{'NOT ' if part.up else ''}{there}"
    yield f"UPDATE temp.alembic_go SET done = 0, todo = {todo}, started = {_NOW};"
    stops = [_stop(f"(SELECT step FROM alembic_go) IS NOT {number - 1}", BEFORE)]
    stops += [_stop(*one) for one in things.refusals(number, part.id, TODO)]
    yield _trigger([*stops, f"UPDATE alembic_go SET passed = {number};"])
    count = 0
    for statement in part:
        for sql in _apart(part, statement):
            count += is_rows(sql) and not isinstance(sql, Guarded)
            yield _guarded(sql)
    for mark in mark_statements(script, part, APPLIED_HERE, TODO):
        yield f"{mark};"
    held = " AND ".join([f"done = {count}", *things.outcome(number)])
    complete = f"passed IS {number} AND (NOT todo OR ({held}))"
    yield _kept(
        f"NOT EXISTS (SELECT 1 FROM alembic_go WHERE {complete})",
        f"UPDATE alembic_go SET step = {number};",
    )


def _apart(part: Part, text: str) -> list[str]:
    """Return the statements of a text; a comment as it is."""
    if isinstance(text, (Guarded, Single)) or _is_comment(text):
        return [text]
    try:
        return apart(text, SQLITE)
    except Unreadable as error:  # it would swallow the rest of the script
        _refuse(part, text, error.problem)


def _is_comment(sql: str) -> bool:
    return not isinstance(sql, Single) and is_comment(sql, SQLITE)


def _guarded(statement: str) -> str:
    if isinstance(statement, Guarded):
        return terminated(statement if ddl_of(statement) else _with_returns(statement))
    if is_rows(statement):
        body = [
            f"  {terminated(_with_returns(statement))}",
            "UPDATE alembic_go SET done = done + 1;",
        ]
        return _trigger(body, f" SELECT 1 WHERE {TODO}")
    ddl = ddl_of(statement)
    return terminated(ddl.guarded) if ddl else statement  # a comment


def _with_returns(statement: str) -> str:
    """Return a statement whose strings keep the carriage returns that the client leaves out.

    It does so at the ends of lines: those of a file from Windows, say.
    """
    if "\r" not in statement:
        return statement
    return "".join(
        f"({token.replace(chr(13), RETURN)})" if token[0] == "'" and "\r" in token else token
        for token in tokenize(statement)
    )


def _refuse(part: Part, statement: str, why: str) -> NoReturn:
    first = " ".join(statement.split())[:80]
    raise CommandError(
        f"revision {part.id} cannot be part of a script for SQLite: {part.path}\n"
        f"  found   {first}\n"
        "  wanted  what SQLite can skip: CREATE … IF NOT EXISTS, DROP … IF EXISTS, or rows\n"
        f"Stopped, because {why}.\n"
        "What to do next:\n    alembic upgrade head  # without --sql, on the database itself"
    )


def _trigger(body: Iterable[str], values: str = " VALUES (1)") -> str:
    """Return what runs the body of a trigger, as often as there are rows among the values."""
    lines = "\n".join(body)
    return (
        "CREATE TEMPORARY TRIGGER alembic_step AFTER INSERT ON temp.alembic_do BEGIN\n"
        f"{lines}\nEND;\n"
        f"INSERT INTO temp.alembic_do{values};\n"
        "DROP TRIGGER temp.alembic_step;"
    )


def _stop(condition: str, message: str) -> str:
    return f"  SELECT RAISE(ABORT, {literal(message)}) WHERE {condition};"


def _kept(undone: str, *more: str) -> str:
    """Return what commits the transaction, or rolls it back where it is not complete."""
    undo = f"  SELECT RAISE(ROLLBACK, 'nothing of this step was kept') WHERE {undone};"
    return f"{_trigger([undo, *more])}\nCOMMIT;"
