"""``execute_file``: a file of SQL, statement by statement."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import sqlalchemy as sa
from alembic.util import CommandError

from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.sql.statements import Statement, Unreadable, split_statements
from alembic_toolkit.verbs.running import revision_globals
from alembic_toolkit.verbs.values import Database, Step, log_line


def run_file(step: Step, path: str | os.PathLike[str], encoding: str) -> None:
    where = Path(revision_globals().get("__file__", "")).parent / path
    statements = read_statements(step.database, where, encoding)
    if not statements:
        return log_line("skip", "execute_file", str(path), "no statement in it")
    if step.offline:
        for statement in statements:
            step.server.write_statement(step, statement)
        return
    log_line("apply", "execute_file", str(path), f"{len(statements)} statements")
    step.database.forget()
    for number, statement in enumerate(statements, 1):
        try:
            step.database.run(statement.text).close()
        except sa.exc.DBAPIError as error:
            refuse_failed(step, where, statement, f"{number} of {len(statements)}", error)


def read_statements(database: Database, path: Path, encoding: str) -> list[Statement]:
    try:
        text = path.read_bytes().decode(encoding).removeprefix("\ufeff")
    except OSError as error:
        refuse_file(path, f"cannot be read: {error.strerror}", "put it beside the revision's file")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        why = f"line {line} is not {encoding}"
        refuse_file(path, why, f"helpers.execute_file({path.name!r}, encoding='latin-1')")
    try:
        return list(split_statements(text, database.server.syntax(database.dialect)))
    except Unreadable as error:
        refuse_file(path, f"line {error.line}: {error.problem}", error.way, error.line)


def refuse_file(path: Path, problem: str, way: str, line: int | None = None) -> NoReturn:
    where = f"{path}:{line}" if line else str(path)
    raise CommandError(
        f"execute_file({path.name!r}): {problem}.\n  looked at:       {where}\n"
        f"Stopped before anything was run.\nWhat to do next:\n    # {way}"
    )


def refuse_failed(
    step: Step, path: Path, statement: Statement, number: str, error: sa.exc.DBAPIError
) -> NoReturn:
    """Say which statement of a file the server refused, and what is kept of those before it."""
    kept = (
        "Stopped there: the statements before it are undone with the revision."
        if step.context.impl.transactional_ddl
        else "Stopped there: what the server committed of the statements before it is kept."
    )
    raise CommandError(
        f"execute_file({path.name!r}): statement {number} failed, {path}:{statement.line}.\n"
        f"  database says:   {' '.join(str(error.orig).split())}\n"
        f"  statement:       {brief(statement.text)}\n"
        f"{kept}\nWhat to do next:\n    # correct line {statement.line}, then: alembic upgrade head"
    ) from error
