"""For MariaDB and MySQL: prepared statements, as neither has IF outside of a procedure."""

from __future__ import annotations

import re

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
from alembic_toolkit.sql.bodies import MYSQL
from alembic_toolkit.sql.guarded import RUN_PREPARED, Guarded
from alembic_toolkit.sql.quoting import literal, mysql_literal
from alembic_toolkit.sql.statements import Reader, Unreadable


def write(script: Script) -> list[str]:
    known, applied = "alembic_known", "alembic_applied"
    first = "CAST(version_num AS CHAR(255))"
    closure = APPLIED.format(first=first, versions=script.version_table)
    texts = [
        heading(script, "mariadb DATABASE < FILE"),
        "SET NAMES utf8mb4;",
        f"{script.create_version_table};",
        f"DROP TEMPORARY TABLE IF EXISTS {known}, {applied};",
        f"CREATE TEMPORARY TABLE {known} (revision VARCHAR(255), parent VARCHAR(255));",
        f"INSERT INTO {known} (revision, parent) VALUES\n  {rows(script.pairs())};",
        f"CREATE TEMPORARY TABLE {applied} AS\n{closure};",
    ]
    if script.from_base:
        stray = stray_condition(script, known)
        texts.append(_stop(stray, STRAY))
    for part in script.parts:
        texts += _part(script, part, applied)
    return texts


def _part(script: Script, part: Part, applied: str) -> list[str]:
    there = f"EXISTS (SELECT 1 FROM {applied} WHERE revision = {literal(part.id)})"
    texts = [part.comment, f"SET @alembic_todo = {'NOT ' if part.up else ''}{there};"]
    blocked = blocked_condition(script, part, applied)
    if blocked:
        texts.append(_stop(f"@alembic_todo AND {blocked}", reason(part)))
    texts.append("START TRANSACTION;")  # for rows; what creates or alters commits
    for _, statements in part.groups:
        for statement in statements:
            texts += _guarded(statement)
    marks = mark_statements(script, part, applied, "@alembic_todo")
    return [*texts, *(f"{mark};" for mark in marks), "COMMIT;"]


_DELIMITED = re.compile(r"(?s)DELIMITER (\S+)\n(.*)\n\1\nDELIMITER\W*")


def undelimited(statement: str) -> str:
    """Return the statement that stands between two DELIMITERs, which only a client knows."""
    body = _DELIMITED.fullmatch(statement)
    return body[2] if body else statement


def _apart(text: str) -> list[str]:
    """Return the statements of a text, in which the server would take only one."""
    body = undelimited(text)
    reader, parts = Reader(body, MYSQL), list[str]()
    try:
        # what stood between two DELIMITERs is one statement, whatever it looks like
        while body is text and (place := reader.statement()):
            parts.append(text[place[0] : place[1]])
    except Unreadable:  # the server says why
        return [body]
    return parts if len(parts) > 1 else [body]


def _guarded(statement: str) -> list[str]:
    if statement.startswith("--"):
        return [statement]
    if statement == RUN_PREPARED[0]:
        return ["SET @alembic_sql = IF(@alembic_todo, @alembic_sql, 'DO 0');", f"{statement};"]
    # What begins a transaction is no harm, and MySQL could not prepare it.
    if isinstance(statement, Guarded) or statement.startswith("START TRANSACTION"):
        return [f"{statement};"]
    return [_if("@alembic_todo", readable(part)) for part in _apart(statement)]


def _if(condition: str, sql: str) -> str:
    body = f"SET @alembic_sql = IF({condition}, {mysql_literal(sql)}, 'DO 0')"
    return "\n".join(f"{statement};" for statement in (body, *RUN_PREPARED))


def _stop(condition: str, message: str) -> str:
    return _if(condition, f"alembic: {message}")  # a syntax error, which ends the client
