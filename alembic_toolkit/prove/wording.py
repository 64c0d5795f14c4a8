"""The wording of findings: errors, differences, and what to write instead."""

from __future__ import annotations

import ast
import re
import textwrap
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy.exc import (
    DBAPIError,
    ResourceClosedError,
    SQLAlchemyError,
)

from alembic_toolkit.database.errors import is_denied, is_of_rows, message
from alembic_toolkit.project.revisions import is_from_template, last_name
from alembic_toolkit.prove import results
from alembic_toolkit.prove.fallback import Ended
from alembic_toolkit.prove.results import Running

UNENFORCED = """\
one of these: in env.py, what suspends foreign keys while revisions run:
    from alembic_toolkit.runner import run
    run(context, connectable, target_metadata=target_metadata)
or, in the revision, a rebuild that keeps the rows of other tables:
    with helpers.batch_alter_table(...) as batch_op:
or, in env.py, before context.configure(connection=connection):
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.commit()"""
ONLY_UP = "no downgrade was run: downgrades = false, in pyproject.toml"
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
    return _words_of(call.args[0], revision) if call.args else "declared"


def _words_of(argument: ast.expr, revision: Script) -> str:
    """Return the text of an expression in a downgrade, as far as it is known without running it."""
    names = {**vars(revision.module)}
    for node in ast.walk(ast.parse(Path(revision.path).read_bytes())):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names |= {t.id: node.value.value for t in node.targets if isinstance(t, ast.Name)}
    try:
        return str(eval(compile(ast.Expression(argument), revision.path, "eval"), names))
    except Exception:  # it needs what only the function has
        return ast.unparse(argument)


@cache
def refuses(revision: Script) -> ast.Call | None:
    """Return the reason with which a downgrade refuses, if it does.

    It calls ``irreversible(...)``, or raises a ``NotImplementedError`` with words.
    """
    path = Path(revision.path)
    source = path.read_bytes() if path.suffix == ".py" else b""
    if b"irreversible(" not in source and b"NotImplementedError(" not in source:
        return None
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade":
            return next(filter(None, map(_refusal, node.body)), None)
    return None


def _refusal(statement: ast.stmt) -> ast.Call | None:
    match statement:
        case ast.Expr(ast.Call() as call) if last_name(call.func) == "irreversible":
            return call
        case ast.Raise(exc=ast.Call(args=[first, *_]) as call):
            named = last_name(call.func) == "NotImplementedError"
            has_words = not (isinstance(first, ast.Constant) and not str(first.value or "").strip())
            return call if named and has_words and not is_from_template(first) else None
    return None


def declaration(error: BaseException, running: Running, revision: Script) -> str | None:
    """Return why a revision is irreversible, if the error of its downgrade says so.

    The error of a declaration is recognized by its name, because a project may have its own copy.
    Others raise ``NotImplementedError`` for it; Alembic and SQLAlchemy mean something else by that.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    words = str(error).strip().partition("\n")[0]
    if running.up or not words:
        return None
    if "Irreversible" in names:
        return words
    last = [*traceback.extract_tb(error.__traceback__)][-1:]
    here = any(Path(frame.filename).resolve() == Path(revision.path).resolve() for frame in last)
    own = here and not is_from_template(ast.Constant(words))
    return words if isinstance(error, NotImplementedError) and own else None


_WAY_ON = "What to do next:\n"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")  # of an object: another one each time


def error_lines(error: BaseException, path: Path, executed: Sequence[str]) -> list[str]:
    """Return an error's message, its line in the revision, and the statement that failed."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = str(cause.args[-1] if len(cause.args) > 1 else cause)
    words = text.partition(_WAY_ON)[0].strip().splitlines()  # the rest is what is to be written
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
    """Return what to write instead of the failed code."""
    raised = [*traceback.extract_tb(error.__traceback__)][-1:]
    here = any(Path(frame.filename).resolve() == path.resolve() for frame in raised)
    if isinstance(error, Ended):
        return "a step that ends; where it needs more time: timeout, in pyproject.toml"
    if not running.up and raised and raised[0].line.startswith("raise ") and here:
        return TAKE_BACK
    if isinstance(error, CommandError) and _WAY_ON in str(error):
        return textwrap.dedent(str(error).partition(_WAY_ON)[2]).strip()
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
        is_of_order = "foreign key" in str(error).lower()  # a parent goes before its children
        if is_of_rows(error) and not is_of_order:
            return "what makes the rows that are there fit first: an UPDATE, a DELETE, ..."
        return "the reverse of upgrade(), in reverse order"
    return _remedy_up(error, running)


def _remedy_up(error: BaseException, running: Running) -> str:
    type_, table = TYPE_IS_THERE.search(str(error)), _NO_TABLE.search(str(error))
    if type_:
        return f'postgresql.ENUM(..., name="{type_[1]}", create_type=False)  # it is there'
    if table and isinstance(error, DBAPIError):
        name = next(filter(None, table.groups())).rpartition(".")[2]
        return f"before it, what creates {name}: in a new database nothing has"
    # Without made-up rows, too: an earlier revision may have inserted what does not fit.
    of_rows = running.check == results.UP and not running.silent
    if is_of_rows(error) or (of_rows and isinstance(error, DBAPIError)):
        return "what makes the rows that are there fit first: an UPDATE, a server_default, ..."
    if of_rows:
        return "what copes with the rows that are there: NULL, '', a value twice, ..."
    if not isinstance(error, SQLAlchemyError | CommandError):
        return "what Python can run: this fails in any database"
    return "what runs on this server, or a branch on op.get_context().dialect.name"


TYPE_IS_THERE = re.compile(r'type "([^"]+)" already exists')
_NO_TABLE = re.compile(
    r"""relation "([^"]+)" does not exist|no such table: (\S+)|Table '([^']+)' doesn't exist"""
)
ENUM_VALUE = re.compile(r'invalid input value for enum (?:[\w"]+\.)?"?(\w+)"?:')
_NO_EXTENSION = re.compile(
    r'extension "([^"]+)" is not available|extension control file "[^"]*/([^"/]+)[.]control"'
)


def lacking(error: BaseException) -> tuple[str, str]:
    """Return what a server, or its user, lacks for a revision, and what to do; or nothing."""
    if match := _NO_EXTENSION.search(str(error)):
        name = match[1] or match[2]
        return f"it needs the extension {name}, which this server does not have", "that has it"
    if is_denied(error) and isinstance(error, DBAPIError):
        why = f"it needs a right, which this user does not have ({message(error)})"
        return why, "and a user who may do this"
    return "", ""


def undo(left: Sequence[str]) -> str:
    """Return the call that removes a difference."""
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


MOST = 12  # lines of a finding


def shortened(lines: list[str], most: int = MOST) -> list[str]:
    short = [line if len(line) <= 500 else f"{line[:497]}..." for line in lines]
    return short if len(short) <= most else [*short[:most], f"... and {len(short) - most} more"]


def unused(names: set[tuple[str, str]]) -> list[str]:
    """Return a line for each table, or column of a table, of a project's rows that is not there."""
    return [
        f"the rows for {table} do nothing: there is no such table"
        if not column
        else f"the rows for {table} have {column}, which does nothing: there is no such column"
        for table, column in sorted(names)
        if not column or (table, "") not in names
    ]
