"""The connection that a revision gets while its script is written."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sa
from alembic.runtime.migration import RevisionStep
from alembic.util import CommandError
from sqlalchemy import inspection
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.sql import visitors

from alembic_toolkit.project.revisions import shown
from alembic_toolkit.sql.guarded import Verbatim
from alembic_toolkit.sql.offline import write_statement
from alembic_toolkit.sql.quoting import brief

ASKS = "it asks the database, and a --sql script has none"
WAY = "alembic upgrade head  # without --sql; or use a verb, which looks by itself"


class Asked(CommandError, AttributeError):
    """The error for a revision that queries the database.

    It is also an AttributeError, for code that only tests whether a connection has an attribute.
    """


class Answer:
    """The result of a statement that was written to the script: it has no rows."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def __iter__(self) -> Iterator[Any]:
        raise Asked(ASKS)

    def __bool__(self) -> bool:
        raise Asked(ASKS)

    def __getattr__(self, name: str) -> Any:
        _refuse(name)


class NoDatabase(MockConnection):
    """Alembic's own substitute for a connection, which also accepts values, and returns no rows."""

    def __init__(self, impl: Any) -> None:
        super().__init__(impl.dialect, lambda construct, parameters: None)
        self._impl = impl

    def execute(self, obj: Any, parameters: Any = None, *_: Any, **__: Any) -> Any:
        """Write the statement into the script, once for each set of values."""
        several = [parameters] if isinstance(parameters, Mapping) else parameters or [{}]
        for values in several:
            self._impl._exec(_filled(obj, values) if values else obj)
        return Answer()

    def exec_driver_sql(self, statement: str, parameters: Any = None, *_: Any, **__: Any) -> Any:
        """Write the statement as it is."""
        if parameters:
            raise Asked("only the driver can fill in the values of its SQL")
        write_statement(self._impl, Verbatim(statement.strip()))
        return Answer()

    def __getattr__(self, name: str) -> Any:
        _refuse(name)


def _refuse(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise Asked(ASKS)


@inspection._inspects(NoDatabase)
def _inspected(connection: NoDatabase) -> NoReturn:
    raise Asked(ASKS)


def _filled(construct: Any, values: Mapping[str, Any]) -> Any:
    """Return a statement with its values."""
    if isinstance(construct, sa.TextClause):
        return construct.bindparams(**values)
    named = set()

    def value_of(element: Any, **_: Any) -> Any:
        if not isinstance(element, sa.BindParameter) or element.key not in values:
            return None
        named.add(element.key)
        return _literal(values[element.key], element)

    filled: Any = visitors.replacement_traverse(construct, {}, value_of)
    columns = {
        name: _literal(value, getattr(filled.table.c, name, None))
        for name, value in values.items()
        if name not in named
    }
    return filled.values(columns) if columns else filled


def _literal(value: Any, of: Any) -> Any:
    """Return a value with the type of its column or parameter, or else its own type."""
    typed = None if of is None or isinstance(of.type, sa.types.NullType) else of.type
    return value if isinstance(value, sa.ClauseElement) else sa.literal(value, typed)


def failed(error: Exception, step: RevisionStep, server: str) -> CommandError:
    """Return the error of a revision that cannot be written as SQL, with its line."""
    if isinstance(error, CommandError) and not isinstance(error, Asked):
        return error  # which says all of this itself
    line = _line(error, str(step.revision.path))
    where = f"revision {step.revision.revision} ({shown(Path(step.revision.path))}, line {line})"
    call = brief(linecache.getline(str(step.revision.path), line).strip())
    why, way = str(error) if isinstance(error, Asked) else ASKS, WAY
    if not isinstance(error, Asked) and not _is_of_dialect(error):
        why = f"it failed while the script was written: {type(error).__name__}: {brief(error)}"
        way = f"# correct line {line}; or, if it needs a database: {WAY}"
    return CommandError(
        f"{call}: there is no --sql form of this for {server}, in {where}.\n"
        f"Stopped, because {why}.  Nothing was written.\nWhat to do next:\n    {way}"
    )


def _is_of_dialect(error: Exception) -> bool:
    """Tell whether SQLAlchemy raised it in a query, and not while compiling a statement."""
    files = [Path(f.filename).parts[-3:] for f in traceback.extract_tb(error.__traceback__)]
    writes = any(parts[-1] == "compiler.py" for parts in files)
    return not writes and any({*parts} & {"engine", "dialects"} for parts in files)


def _line(error: Exception, path: str) -> int:
    """Return the last line of a file that an error came through."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return (lines or [0])[-1] or 0
