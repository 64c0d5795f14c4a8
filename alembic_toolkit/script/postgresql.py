"""For PostgreSQL: DO blocks in transactions, and psql's \\gexec where no transaction is allowed.

Each transaction first checks that the previous one was committed, and records its own end:
`alembic.step` is a session setting that a rollback reverts.  So nothing acts after a guard has
refused or a statement has failed, whether or not the client stops at errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from alembic_toolkit.script.journal import Moments
from alembic_toolkit.script.parts import (
    APPLIED,
    STRAY,
    Group,
    Part,
    Script,
    blocks,
    heading,
    mark_statements,
    milliseconds,
    reason,
    rows,
    stray_condition,
)
from alembic_toolkit.sql.bodies import POSTGRESQL
from alembic_toolkit.sql.guarded import Guarded, Single, do_block
from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import dollar_quoted, literal
from alembic_toolkit.sql.statements import is_comment

KNOWN, APPLIED_HERE = "pg_temp.alembic_known", "pg_temp.alembic_applied"
# How much goes into one DO block: the server holds all of it in its memory, several times.
MOST_IN_BLOCK = 1_000_000  # characters
# When the revision began, in words that every DateStyle reads the same.
_NOW = "timezone('UTC', clock_timestamp())"
_NOTE_START = pinned(
    f"set_config('alembic.started', to_char({_NOW}, 'YYYY-MM-DD HH24:MI:SS.US'), false)"
)
MOMENTS = Moments(
    started="current_setting('alembic.started')::timestamp",
    now=_NOW,
    who="left(session_user || '@' || coalesce(host(inet_client_addr()), 'local'), 235)"
    " || ' by a script'",
)
FAILED = "\\if :ERROR\nSET alembic.step = 'failed';\n\\endif"


def write(script: Script) -> Iterator[str]:
    """Write the script, text by text."""
    yield heading(script, "psql -X -f FILE")
    yield "SET client_encoding = 'UTF8';\nSET alembic.step = '';"
    if script.lock_timeout is not None:
        yield lock_timeout(script.lock_timeout)
    yield f"DROP TABLE IF EXISTS {KNOWN}, {APPLIED_HERE};"  # those of an earlier script
    yield from _opening(script)
    steps = Steps()
    for part in script.parts:
        yield from _part(script, part, steps)


class Steps:
    """Counts the transactions of a script."""

    def __init__(self) -> None:
        self.last = 0

    @property
    def reached(self) -> str:
        """Return the condition that the last transaction was committed."""
        return pinned(f"current_setting('alembic.step', true) = '{self.last}'")

    @property
    def check(self) -> str:
        return _stop(f"({self.reached}) IS NOT TRUE", "an earlier step of this script did not run")

    def transaction(self, blocks: Iterable[str]) -> Iterator[str]:
        self.last += 1
        yield "BEGIN;"
        yield from blocks
        yield f"SET alembic.step = '{self.last}';\nCOMMIT;"


def _opening(script: Script) -> Iterator[str]:
    yield "BEGIN;"
    if script.needs_version_table:
        missing = pinned(f"to_regclass({literal(script.version_table)}) IS NULL")
        yield _do([_stop(missing, reason(script.parts[0]))])
    else:
        yield f"{script.create_version_table};"
    yield from script.mark_again(pinned)
    columns = "revision pg_catalog.text, parent pg_catalog.text"
    yield f"CREATE TEMPORARY TABLE alembic_known ({columns});"
    yield f"INSERT INTO {KNOWN} (revision, parent) VALUES\n  {rows(script.pairs())};"
    closure = pinned(APPLIED.format(first="version_num::text", versions=script.version_table))
    yield f"CREATE TEMPORARY TABLE alembic_applied AS\n{closure};"
    found = blocks(script, APPLIED_HERE)
    stops = [_stop(pinned(condition), message) for condition, message in found]
    if script.from_base:
        stops.append(_stop(pinned(stray_condition(script, KNOWN)), STRAY))
    if stops:
        yield _do(stops)
    if script.journal:
        yield f"{script.journal.create};"
    yield "SET alembic.step = '0';\nCOMMIT;"


def _part(script: Script, part: Part, steps: Steps) -> Iterator[str]:
    is_part = pinned(f"revision = {literal(part.id)}")
    there = f"EXISTS (SELECT FROM {APPLIED_HERE} WHERE {is_part})"
    todo, done = (f"NOT {there}", there) if part.up else (there, f"NOT {there}")
    skip = f"  IF {done} THEN\n    RETURN;\n  END IF;"
    marks = [f"  {pinned(mark)};" for mark in mark_statements(script, part, APPLIED_HERE, "")]
    transactional = script.context.impl.transactional_ddl
    yield part.comment
    if script.journal:
        yield _do([f"  PERFORM {_NOTE_START};"])
    for group in part.groups:
        if group.in_transaction and transactional:
            last = marks if group is part.groups[-1] else []
            yield from steps.transaction(_blocks(group, [steps.check, skip], skip, last))
        else:
            for statement in group:
                yield from _unbounded(script, _alone(statement, f"{todo} AND {steps.reached}"))
    if not (part.groups[-1].in_transaction and transactional):
        yield from steps.transaction([_do([steps.check, skip, *marks])])


def _blocks(group: Group, first: list[str], skip: str, last: list[str]) -> Iterator[str]:
    body, size = first, 0
    for statement in group:
        if size > MOST_IN_BLOCK:
            yield _do(body)
            body, size = [skip], 0
        body.append(_execute(statement))
        size += len(statement)
    yield _do([*body, *last])


def _do(body: list[str]) -> str:
    return do_block("\n".join(["BEGIN", *body, "END"])) + ";"


def _is_comment(statement: str) -> bool:
    return not isinstance(statement, Single) and is_comment(statement, POSTGRESQL)


def _execute(statement: str) -> str:
    if _is_comment(statement):
        return f"  {statement}"
    if isinstance(statement, Guarded) and statement.block:
        return f"{statement.block};"
    return f"  EXECUTE {dollar_quoted(statement)};"


def _stop(condition: str, message: str) -> str:
    escaped = literal(message.replace("%", "%%"))
    return f"  IF {condition} THEN\n    RAISE EXCEPTION {escaped};\n  END IF;"


def lock_timeout(seconds: float) -> str:
    """Return SQL that limits the wait for each lock."""
    return f"SET lock_timeout = '{milliseconds(seconds)}ms';"


_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.I)


def _unbounded(script: Script, texts: Iterable[str]) -> Iterator[str]:
    """Let a CONCURRENTLY statement wait for older transactions: it blocks nobody meanwhile.

    https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    """
    for text in texts:
        if script.lock_timeout is not None and _CONCURRENTLY.search(text):
            yield f"SET lock_timeout = 0;\n{text}\n{lock_timeout(script.lock_timeout)}"
        else:
            yield text


def _alone(statement: str, condition: str) -> Iterator[str]:
    if _is_comment(statement):
        yield statement
    else:
        yield f"SELECT {dollar_quoted(statement)}\nWHERE {condition} \\gexec\n{FAILED}"
