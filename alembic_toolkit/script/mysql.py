"""For MariaDB and MySQL: prepared statements, since neither has IF outside procedures.

`@alembic_todo` is 1 if a revision must be run, 0 if not, and NULL after a guard has refused or a
statement has failed: then nothing acts any more, whether or not the client stops at errors
(`--force`).  It is also NULL in a new session, which a client opens after a lost connection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from alembic_toolkit.script.journal import Moments
from alembic_toolkit.script.parts import (
    APPLIED,
    LONGEST,
    STRAY,
    Part,
    Script,
    blocks,
    heading,
    mark_statements,
    reason,
    rows,
    stray_condition,
)
from alembic_toolkit.sql.bodies import MYSQL
from alembic_toolkit.sql.comments import commented
from alembic_toolkit.sql.guarded import RUN_PREPARED, Guarded, Single, Verbatim
from alembic_toolkit.sql.quoting import literal, mysql_literal
from alembic_toolkit.sql.statements import Unreadable, apart, first_words, is_comment

KEY = "id INT AUTO_INCREMENT PRIMARY KEY"  # which a server may require of every table
KNOWN, APPLIED_HERE = "alembic_known", "alembic_applied"
MOMENTS = Moments(
    started="@alembic_started",
    now="UTC_TIMESTAMP(6)",
    who="CONCAT(LEFT(USER(), 235), ' by a script')",
)
FAILED = "SET @alembic_todo = IF(@@error_count, NULL, @alembic_todo);"
# A backslash in what SQLAlchemy or this package wrote is doubled; the author's own text, and the
# bodies that the server keeps with the mode of their session, mean what the server's mode says:
# https://mariadb.com/kb/en/sql-mode/#no_backslash_escapes
OUR_MODE = "SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '');"
THEIR_MODE = "SET sql_mode = @alembic_mode;"


def write(script: Script) -> Iterator[str]:
    """Write the script, text by text."""
    client = "mysql" if script.context.dialect.name == "mysql" else "mariadb"
    yield heading(script, f"{client} DATABASE < FILE")
    yield f"SET NAMES utf8mb4;\nSET @alembic_todo = NULL, @alembic_mode = @@sql_mode;\n{OUR_MODE}"
    if script.lock_timeout is not None:
        yield lock_timeout(script.lock_timeout)
    if not script.needs_version_table:
        yield f"{script.create_version_table};"
    yield f"DROP TEMPORARY TABLE IF EXISTS {KNOWN}, {APPLIED_HERE};"
    columns = "revision VARCHAR(255), parent VARCHAR(255)"
    yield f"CREATE TEMPORARY TABLE {KNOWN} ({KEY}, {columns});"
    yield f"INSERT INTO {KNOWN} (revision, parent) VALUES\n  {rows(script.pairs())};"
    if script.needs_version_table:
        yield _stop(_no_version_table(script), reason(script.parts[0]))
    yield from script.mark_again()
    first = "CAST(version_num AS CHAR(255))"
    closure = APPLIED.format(first=first, versions=script.version_table)
    yield f"CREATE TEMPORARY TABLE {APPLIED_HERE} ({KEY}) AS\n{closure};"
    yield f"SET @alembic_todo = (SELECT COUNT(*) * 0 FROM {APPLIED_HERE});"
    for block in blocks(script, APPLIED_HERE):
        yield _stop(*block)
    if script.from_base:
        yield _stop(stray_condition(script, KNOWN), STRAY)
    for part in script.parts:
        yield from _refusals(part)
    if script.journal:
        yield _shown_if("@alembic_todo IS NOT NULL", script.journal.create)
    for part in script.parts:
        yield from _part(script, part)
    yield THEIR_MODE


def lock_timeout(seconds: float) -> str:
    """Return SQL that limits the wait for each lock: on a table, and on rows.

    Both count whole seconds, of which MySQL knows no fewer than one.
    https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_lock_wait_timeout
    """
    whole = max(1, math.ceil(min(seconds, LONGEST)))
    return (
        f"SET SESSION lock_wait_timeout = {whole};\nSET SESSION innodb_lock_wait_timeout = {whole};"
    )


# What MySQL cannot prepare; MariaDB prepares everything.
# https://dev.mysql.com/doc/refman/8.4/en/sql-prepared-statements.html
_VERBS = ("CREATE", "ALTER", "DROP")
_OTHER_THINGS = {"TABLE", "INDEX", "USER", "EVENT", "VIEW", "DATABASE", "SCHEMA"}
_UNPREPARED_THINGS = {"TRIGGER", "PROCEDURE", "FUNCTION", "ROLE", "SERVER", "TABLESPACE"}
_UNPREPARED = {"ALTER EVENT", "DROP EVENT", "ALTER VIEW", "ALTER DATABASE", "ALTER SCHEMA"}
_UNPREPARED |= {f"{verb} {what}" for verb in _VERBS for what in _UNPREPARED_THINGS}
_UNPREPARED |= {"LOCK", "UNLOCK", "LOAD", "IMPORT", "HANDLER", "SAVEPOINT", "RELEASE", "USE", "XA"}
_UNPREPARED |= {"SIGNAL", "RESIGNAL", "GET"}


def _refusals(part: Part) -> Iterator[str]:
    """Stop on MySQL, before anything runs, if a revision to run contains something unpreparable."""
    texts = (text for statement in part for text in _apart(statement))
    kinds = (kind for text in texts if (kind := _kind(text)) in _UNPREPARED)
    if kind := next(kinds, ""):
        there = f"EXISTS (SELECT 1 FROM {APPLIED_HERE} WHERE revision = {literal(part.id)})"
        yield _stop(
            f"VERSION() NOT LIKE '%MariaDB%' AND {'NOT ' if part.up else ''}{there}",
            # of an error's text the client shows 80 characters
            f"{part.id} has {kind}: on MySQL run upgrade without --sql",
        )


def _kind(statement: str) -> str:
    """Return the kind of a statement, from its first words: ``CREATE TRIGGER``."""
    verb, *words = first_words(statement, MYSQL, 12) or [""]
    if verb not in _VERBS:
        return verb
    things = _OTHER_THINGS | _UNPREPARED_THINGS  # behind OR REPLACE, DEFINER and the like
    return f"{verb} {next((word for word in words if word in things), '')}"


def _no_version_table(script: Script) -> str:
    table = script.context._version
    schema = literal(table.schema) if table.schema else "DATABASE()"
    there = "SELECT 1 FROM information_schema.tables WHERE"
    return f"NOT EXISTS ({there} table_schema = {schema} AND table_name = {literal(table.name)})"


def _part(script: Script, part: Part) -> Iterator[str]:
    there = f"EXISTS (SELECT 1 FROM {APPLIED_HERE} WHERE revision = {literal(part.id)})"
    todo = f"NOT {there}" if part.up else there
    yield part.comment
    yield f"SET @alembic_todo = IF(@alembic_todo IS NULL, NULL, {todo});"
    if script.journal:
        yield f"SET {MOMENTS.started} = {MOMENTS.now};"
    yield "START TRANSACTION;"  # for rows; what creates or alters commits
    for statement in part:
        yield from _guarded(statement)
    for mark in mark_statements(script, part, APPLIED_HERE, "@alembic_todo"):
        yield f"{mark};\n{FAILED}"
    # MySQL cannot prepare a ROLLBACK, but after a COMMIT it does nothing
    yield _shown_if("@alembic_todo IS NOT NULL", "COMMIT")
    yield "ROLLBACK;"


_DELIMITED = re.compile(r"(?s)DELIMITER (\S+)\n(.*)\n\1\nDELIMITER\W*")


def undelimited(statement: str) -> str:
    """Return the statement between two DELIMITERs, which only a client understands."""
    body = _DELIMITED.fullmatch(statement)
    return body[2] if body else statement


def _apart(text: str) -> list[str]:
    """Return the statements of a text, since the server accepts only one at a time."""
    body = undelimited(text)
    try:
        # what stood between two DELIMITERs is one statement, whatever it looks like
        parts = apart(text, MYSQL) if body is text else []
    except Unreadable:  # the server says why
        return [body]
    return parts if len(parts) > 1 else [body]


def _guarded(statement: str) -> Iterator[str]:
    own = isinstance(statement, Verbatim)
    if isinstance(statement, Single):
        yield _shown_if("@alembic_todo", statement, "\\" in statement or _keeps_mode(statement))
    elif is_comment(statement, MYSQL):
        yield statement
    elif statement == RUN_PREPARED[0]:
        yield "SET @alembic_sql = IF(@alembic_todo, @alembic_sql, 'DO 0');"
        yield f"{THEIR_MODE}\n{statement};" if own else f"{statement};"
    elif statement == RUN_PREPARED[1]:
        yield f"{statement};\n{FAILED}" + (f"\n{OUR_MODE}" if own else "")
    elif statement in (RUN_PREPARED[2], "START TRANSACTION"):  # MySQL cannot prepare them
        yield f"{statement};"
    elif isinstance(statement, Guarded):  # what it asks may be there only while it is to do
        yield _if("@alembic_todo", statement)
    else:
        for part in _apart(statement):
            in_their_mode = own and ("\\" in part or _keeps_mode(part))
            yield _shown_if("@alembic_todo", part, in_their_mode)


def _keeps_mode(statement: str) -> bool:
    """Tell whether the server keeps the session's mode with what the statement creates."""
    return first_words(statement, MYSQL, 1)[0] in ("CREATE", "ALTER")


def _shown_if(condition: str, sql: str, in_their_mode: bool = False) -> str:
    """Return a statement under a condition, below its unconditional form."""
    return f"{commented(sql)}\n{_if(condition, sql, in_their_mode)}"


def _if(condition: str, sql: str, in_their_mode: bool = False) -> str:
    prepare, execute, deallocate = (f"{statement};" for statement in RUN_PREPARED)
    run = [prepare, execute, FAILED, deallocate]
    if in_their_mode:
        run = [THEIR_MODE, *run, OUR_MODE]
    return "\n".join((f"SET @alembic_sql = IF({condition}, {mysql_literal(sql)}, 'DO 0');", *run))


def _stop(condition: str, message: str) -> str:
    # a syntax error, which ends the client
    return f"{commented(f'Stop, if so: {message}')}\n{_if(condition, f'alembic: {message}')}"
