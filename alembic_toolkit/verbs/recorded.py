"""The calls of a revision, in `run`'s record of completed work."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

from alembic_toolkit.database.record import DONE, record_of
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.verbs.values import Step
from alembic_toolkit.verbs.words import log_line, log_skip

T = TypeVar("T")
SAID = "done already, says the record of the run before"
# Session state and plain reads must be repeated each time: SET, SELECT, TEMPORARY.
_KEPT = re.compile(
    r"""(?: \s | /\*.*?\*/ | --[^\n]*(?:\n|$) )*
    (?: (?:CREATE|DROP)\b(?!\s+(?:OR\s+REPLACE\s+|GLOBAL\s+|LOCAL\s+)*TEMP(?:ORARY)?\b)
      | (?:INSERT|UPDATE|DELETE|REPLACE|MERGE|WITH|COPY|LOAD|CALL
        |ALTER|RENAME|TRUNCATE|COMMENT|GRANT|REVOKE|EXECUTE|SET\s+STATEMENT
        |BEGIN\s+NOT\s+ATOMIC)\b
      | DO\s+(?:LANGUAGE\b|[$']) )""",
    re.I | re.S | re.X,
)


def recorded_step(step: Step, act: Callable[[Step], Any]) -> Any:
    """Do a step, unless the record says that an earlier run did it."""

    def skipped() -> Any:
        log_skip(step, SAID)
        return step.wanted if step.verb == "create_table" else None

    connection = step.database.connection
    if record_of(connection) is None:
        return act(step)
    return recorded(connection, call_text(step), lambda: act(step), skipped)


def recorded(
    connection: sa.Connection,
    text: str,
    act: Callable[[], T],
    skipped: Callable[[], T] | None = None,
    shown: str | None = None,
) -> T:
    """Act, unless the record says that an earlier run did; record that it is done.

    :param text: identifies the call; the same each time the revision runs.
    :param skipped: called instead.
    :param shown: the text that the record shows for it.
    """
    record = record_of(connection)
    if record is None or record.is_inside:  # inside another call
        return act()
    if record.enter(text, text if shown is None else shown) == DONE:
        if skipped is not None:
            return skipped()
        verb, _, what = text.partition("(")
        return log_line(f"skip {verb} {brief(what.removesuffix(')'))}: {SAID}")  # type: ignore
    with record.inside():
        return act()


def recorded_sql(connection: sa.Connection, sqltext: Any, act: Callable[[], Any]) -> Any:
    """Run SQL that a second run must not repeat, unless it is already done."""
    text, record = str(sqltext), record_of(connection)
    if record is None or not _KEPT.match(text) or record.is_temporary(text):
        return act()
    recorded(connection, f"execute({text!r})", act, shown=f"execute({masked(text)})")


def masked(sql: str) -> str:
    """Return SQL without its string literals: one may be a password."""
    return re.sub(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$""", "'...'", sql, flags=re.S)


def call_text(step: Step) -> str:
    """Return the call of a verb with its arguments, identical each time."""
    if step.operation is None:
        given = {"name": step.name, "table": step.table, "schema": step.schema}
        given["wanted"] = step.wanted
    else:
        given = {k: v for k, v in vars(step.operation).items() if not k.startswith("_")}
    pairs = (f"{k}={stable(v)}" for k, v in given.items() if is_given(k, v))
    return f"{step.verb}({', '.join(pairs)})"


def is_given(key: str, value: Any) -> bool:
    """Tell whether an argument has an effect."""
    if key == "modify_server_default":
        return value is not False
    is_empty = isinstance(value, str | tuple | list | dict) and not value
    return not (value is None or value is False or is_empty)


def stable(value: Any) -> str:
    """Write a value so that it is the same in the next process."""
    if isinstance(value, str) or value is None:
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k}: {stable(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(stable, value))}]"
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(map(stable, value)))}]"
    if isinstance(value, sa.Column):
        rest = [] if value.nullable else ["NOT NULL"]
        rest += ["PRIMARY KEY"] if value.primary_key else []
        names = ("server_default", "computed", "identity", "comment", "unique", "index")
        given = {name: getattr(value, name) for name in names}
        rest += [f"{k} {stable(v)}" for k, v in given.items() if v is not None and v is not False]
        rest += sorted(str(key._get_colspec()) for key in value.foreign_keys)
        return " ".join([str(value.name), stable(value.type), *rest])
    if isinstance(value, sa.schema.DefaultClause):
        return stable(value.arg)
    if isinstance(value, sa.Computed | sa.CheckConstraint):
        return f"{type(value).__name__} {getattr(value, 'name', '')} {value.sqltext}"
    if isinstance(value, sa.Identity | sa.Sequence):
        return stable({k: v for k, v in vars(value).items() if isinstance(v, int | bool)})
    if isinstance(value, sa.ForeignKeyConstraint):
        keys = [str(e._get_colspec()) for e in value.elements]
        return stable([value.name, value.column_keys, keys, value.ondelete, value.onupdate])
    if isinstance(value, sa.Constraint | sa.Index):
        columns = [str(getattr(c, "name", c)) for c in getattr(value, "_pending_colargs", ())]
        return stable([type(value).__name__, value.name, columns])
    if isinstance(value, sa.ClauseElement):
        return str(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
