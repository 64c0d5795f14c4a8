"""``execute_file``: run an SQL file, statement by statement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import sqlalchemy as sa
from alembic.util import CommandError

from alembic_toolkit.messages import printable
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.sql.statements import Statement, Unreadable, split_statements
from alembic_toolkit.verbs.errors import at_place
from alembic_toolkit.verbs.recorded import recorded
from alembic_toolkit.verbs.running import revision_globals
from alembic_toolkit.verbs.values import Database, Step
from alembic_toolkit.verbs.words import log_line


def run_file(step: Step, path: str | os.PathLike[str], encoding: str) -> None:
    where = Path(revision_globals().get("__file__", "")).parent / path
    if step.offline:
        for statement in read_statements(step.database, where, encoding):
            step.server.write_statement(step, statement)
        return
    count = sum(1 for _ in read_statements(step.database, where, encoding))
    if not count:
        return log_line(f"skip execute_file {path}: no statement in it")
    run = partial(run_statements, step, where, encoding, count)
    recorded(step.database.connection, f"execute_file({str(path)!r})", run)


def run_statements(step: Step, where: Path, encoding: str, count: int) -> None:
    path = str(step.name)
    for number, statement in enumerate(read_statements(step.database, where, encoding), 1):
        try:
            step.database.run(statement.text).close()
        except sa.exc.DBAPIError as error:
            refuse_failed(step, where, statement, f"{number} of {count}", error)
    log_line(f"executed {count} statements of {path}")


def read_statements(database: Database, path: Path, encoding: str) -> Iterator[Statement]:
    """Read a file, holding no more than one statement in memory."""
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield from split_statements(file, database.server.syntax(database.dialect))
    except OSError as error:
        refuse_file(path, f"cannot be read: {error.strerror}", "put it beside the revision's file")
    except UnicodeDecodeError:
        why = f"line {_undecodable(path, encoding)} is not {encoding}"
        refuse_file(path, why, f"helpers.execute_file({path.name!r}, encoding='latin-1')")
    except Unreadable as error:
        refuse_file(path, f"line {error.line}: {error.problem}", error.way, error.line)


def _undecodable(path: Path, encoding: str) -> int:
    """Return the undecodable line; a decoder that reads part of the file does not know it."""
    content = path.read_bytes()
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        content = content[: error.start]
    return content.count(b"\n") + 1


def refuse_file(path: Path, problem: str, way: str, line: int | None = None) -> NoReturn:
    where = f"{path}:{line}" if line else str(path)
    raise CommandError(
        f"{at_place(f'execute_file({path.name!r})')}: {problem}.\n  looked at:       {where}\n"
        f"Stopped before anything was run.\nWhat to do next:\n    # {way}"
    )


def refuse_failed(
    step: Step, path: Path, statement: Statement, number: str, error: sa.exc.DBAPIError
) -> NoReturn:
    """Report which statement of a file the server refused, and which earlier ones are kept."""
    kept = (
        "Stopped there: the statements before it are undone with the revision."
        if step.context.impl.transactional_ddl
        else "Stopped there: what the server committed of the statements before it is kept."
    )
    call = f"execute_file({path.name!r})"
    raise CommandError(
        f"{at_place(call)}: statement {number} failed, {path}:{statement.line}.\n"
        f"  database says:   {printable(' '.join(str(error.orig).split()))}\n"
        f"  statement:       {brief(statement.text)}\n"
        f"{kept}\nWhat to do next:\n    # correct line {statement.line}, then: alembic upgrade head"
    ) from error
