"""The words of findings: errors, differences, and what to write instead."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from alembic_toolkit.project.revisions import last_name
from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Running

TAKE_BACK = 'what takes the change back; where nothing can: irreversible = "why", in the module'


def running_name(up: bool) -> str:
    """Return the name of a direction's function."""
    return "upgrade()" if up else "downgrade()"


def declared(revision: Script) -> str | None:
    """Return why a revision is irreversible, if its file declares that."""
    why = getattr(revision.module, "irreversible", None)
    if isinstance(why, str):
        return why
    call = refuses(revision)
    if call is None:
        return None
    argument = call.args[0] if call.args else None
    return str(argument.value) if isinstance(argument, ast.Constant) else "declared"


@cache
def refuses(revision: Script) -> ast.Call | None:
    """Return the call of ``irreversible(...)`` in a downgrade, if there is one."""
    path = Path(revision.path)
    source = path.read_bytes() if path.suffix == ".py" else b""
    if b"irreversible(" not in source:
        return None
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade":
            calls = [s.value for s in node.body if isinstance(s, ast.Expr)]
            for call in calls:
                if isinstance(call, ast.Call) and last_name(call.func) == "irreversible":
                    return call
            return None
    return None


_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")  # of an object: another one each time


def error_lines(error: BaseException, path: Path, executed: Sequence[str]) -> list[str]:
    """Return an error's message, its line in the revision, and the statement that failed."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    words = str(cause.args[-1] if len(cause.args) > 1 else cause).strip().splitlines()
    name = f"{type(error).__name__}: " if not isinstance(error, CommandError) else ""
    words = [_ADDRESS.sub("", line) for line in words[:6]]
    lines = [f"{name}{' '.join(words[:1]) or '(no message)'}", *words[1:]]
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).resolve() == path.resolve():
            lines.append(f"line {frame.lineno}: {frame.line}")
    if isinstance(error, DBAPIError) and error.statement:
        lines.append(f"statement: {' '.join(error.statement.split())[:300]}")
    return lines


def remedy(error: BaseException, running: Running, path: Path) -> str:
    """Return what to write instead of what failed."""
    raised = [*traceback.extract_tb(error.__traceback__)][-1:]
    here = any(Path(frame.filename).resolve() == path.resolve() for frame in raised)
    if isinstance(error, NotImplementedError) and here and not running.up:
        return TAKE_BACK
    no_alter = 'near "ALTER"' in str(error) or 'near "CONSTRAINT"' in str(error)
    if no_alter or isinstance(error, NotImplementedError):
        return "with op.batch_alter_table(...) as batch_op:  # SQLite has no such ALTER"
    if running.check in (results.RERUN, results.CRASH):
        return "steps that look first, so that those that are done are skipped"
    if isinstance(error, ResourceClosedError):
        return "op.get_bind() in the function, not when the file is loaded"
    if running.check == results.OFFLINE:
        return "verbs that look first (if_not_exists=True): a script catches no error"
    if not running.up:
        return "the reverse of upgrade(), in reverse order"
    return _remedy_up(error, running)


def _remedy_up(error: BaseException, running: Running) -> str:
    type_, table = TYPE_IS_THERE.search(str(error)), _NO_TABLE.search(str(error))
    if type_:
        return f'postgresql.ENUM(..., name="{type_[1]}", create_type=False)  # it is there'
    if table and isinstance(error, DBAPIError):
        name = next(filter(None, table.groups())).rpartition(".")[2]
        return f"before it, what creates {name}: in a new database nothing has"
    if running.check == results.UP and not running.silent:
        fits = "what makes the rows that are there fit first: an UPDATE, a server_default, ..."
        copes = "what copes with the rows that are there: NULL, '', a value twice, ..."
        return fits if isinstance(error, DBAPIError) else copes
    return "what runs on this server, or a branch on op.get_context().dialect.name"


TYPE_IS_THERE = re.compile(r'type "([^"]+)" already exists')
_NO_TABLE = re.compile(
    r"""relation "([^"]+)" does not exist|no such table: (\S+)|Table '([^']+)' doesn't exist"""
)
NO_EXTENSION = re.compile(
    r'extension "([^"]+)" is not available|extension control file "[^"]*/([^"/]+)[.]control"'
)


def undo(left: Sequence[str]) -> str:
    """Return what to call so that a difference goes away."""
    verbs = {"+": "drop", "-": "create", "~": "alter"}
    calls = [f"{verbs[line[0]]} {line[2:].partition(':')[0]}" for line in left]
    tables = {call for call in calls if re.match(r"(drop|create) table ", call)}
    calls = [call for call in calls if _of_table(call) not in tables]
    return "; ".join(calls[:3]) + (" ..." if len(calls) > 3 else "")


def _of_table(call: str) -> str:
    """Return the call for the table that a thing belongs to, and comes or goes with."""
    verb, kind, name = [*call.split(" ", 2), ""][:3]
    owner = name.rpartition(".")[0] if kind == "column" else f" {name}".rpartition(" on ")[2]
    return f"{verb} table {owner}" if kind != "table" else ""


def shortened(lines: list[str], most: int = 12) -> list[str]:
    short = [line if len(line) <= 500 else f"{line[:497]}..." for line in lines]
    return short if len(short) <= most else [*short[:most], f"... and {len(short) - most} more"]
