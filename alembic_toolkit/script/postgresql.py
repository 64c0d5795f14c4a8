"""For PostgreSQL: a DO block for each transaction, and psql's \\gexec where there must be none."""

from __future__ import annotations

from alembic_toolkit.script.parts import (
    APPLIED,
    STRAY,
    Part,
    Script,
    blocked_condition,
    heading,
    mark_statements,
    reason,
    rows,
    stray_condition,
)
from alembic_toolkit.script.readable import readable
from alembic_toolkit.sql.guarded import Guarded, do_block
from alembic_toolkit.sql.quoting import dollar_quoted, literal


def write(script: Script) -> list[str]:
    known, applied = "pg_temp.alembic_known", "pg_temp.alembic_applied"
    closure = APPLIED.format(first="version_num::text", versions=script.version_table)
    texts = [
        heading(script, "psql -X -v ON_ERROR_STOP=1 -f FILE"),
        "SET client_encoding = 'UTF8';",
        f"{script.create_version_table};",
        f"DROP TABLE IF EXISTS {known}, {applied};",
        "CREATE TEMPORARY TABLE alembic_known (revision TEXT, parent TEXT);",
        f"INSERT INTO {known} (revision, parent) VALUES\n  {rows(script.pairs())};",
        f"CREATE TEMPORARY TABLE alembic_applied AS\n{closure};",
    ]
    if script.from_base:
        stray = stray_condition(script, known)
        texts.append(_do([_stop(stray, STRAY)]))
    for part in script.parts:
        texts += _part(script, part, applied)
    return texts


def _part(script: Script, part: Part, applied: str) -> list[str]:
    there = f"EXISTS (SELECT FROM {applied} WHERE revision = {literal(part.id)})"
    todo, done = (f"NOT {there}", there) if part.up else (there, f"NOT {there}")
    blocked = blocked_condition(script, part, applied)
    stop = [_stop(blocked, reason(part))] if blocked else []
    skip = f"  IF {done} THEN\n    RETURN;\n  END IF;"
    transactional = script.context.impl.transactional_ddl
    texts = [part.comment]
    for position, (in_transaction, statements) in enumerate(part.groups):
        is_last = position == len(part.groups) - 1
        if in_transaction and transactional:
            body = [skip, *(stop if position == 0 else []), *map(_execute, statements)]
            if is_last:
                body += [f"  {mark};" for mark in mark_statements(script, part, applied, "")]
            texts += ["BEGIN;", _do(body), "COMMIT;"]
        else:
            texts += [_alone(statement, todo) for statement in statements]
    if not (part.groups[-1][0] and transactional):
        texts.append(_do([skip, *(f"  {m};" for m in mark_statements(script, part, applied, ""))]))
    return texts


def _do(body: list[str]) -> str:
    return do_block("\n".join(["BEGIN", *body, "END"])) + ";"


def _execute(statement: str) -> str:
    if statement.startswith("--"):
        return f"  {statement}"
    if isinstance(statement, Guarded):
        return f"{statement.block};"
    return f"  EXECUTE {dollar_quoted(readable(statement))};"


def _stop(condition: str, message: str) -> str:
    escaped = literal(message.replace("%", "%%"))
    return f"  IF {condition} THEN\n    RAISE EXCEPTION {escaped};\n  END IF;"


def _alone(statement: str, todo: str) -> str:
    if statement.startswith("--"):
        return statement
    return f"SELECT {dollar_quoted(readable(statement))}\nWHERE {todo} \\gexec"
