"""The words in which the tests of ``alembic_helpers`` are written.

``revision`` opens a real connection as an ``env.py`` does.  The ``assert_*`` functions run a verb
inside it and judge it twice: by what it says on the logger ``alembic.helpers``, and by what the
database holds before and after.
"""

from __future__ import annotations

import itertools
import logging
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import event

import alembic_helpers as helpers
from alembic_toolkit.database import libpq
from alembic_toolkit.verbs import values
from alembic_toolkit.verbs.refused import SAVEPOINT
from tests.databases import Database

Act = Callable[[], Any]
Snapshot = dict[str, str]

# What people do to the transactions of their env.py.
SQLITE_MODES = ("plain", "after-dml", "explicit-begin")


# Revisions


@contextmanager
def revision(database: Database, mode: str = "plain", **options: Any) -> Iterator[sa.Connection]:
    """Run what is within as Alembic runs one revision, one transaction each.

    ``plain``: as the driver does it (SQLite commits each DDL statement).  ``after-dml``: a row was
    written earlier in the revision, so that SQLite's driver has begun a transaction.
    ``explicit-begin``: SQLite by the book, with BEGIN of our own and transactional DDL.
    """
    if mode == "explicit-begin":
        begin_explicitly(database.engine)
        options["transactional_ddl"] = True
    if mode == "after-dml":
        prepare(database, "CREATE TABLE written (id INTEGER)")
    options.setdefault("transaction_per_migration", True)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        with (
            context.begin_transaction(),
            context.begin_transaction(_per_migration=True),
            Operations.context(context),
        ):
            if mode == "after-dml":
                run(connection, "INSERT INTO written VALUES (1)")
            yield connection


class _Fails(Exception):
    """What ends a revision that fails."""


@contextmanager
def failing_revision(
    database: Database, mode: str = "plain", **options: Any
) -> Iterator[sa.Connection]:
    """Run what is within as a revision that raises at its end, so that it is rolled back."""
    try:
        with revision(database, mode, **options) as connection:
            yield connection
            raise _Fails
    except _Fails:
        pass


def begin_explicitly(engine: sa.Engine) -> None:
    """Apply SQLAlchemy's recipe for transactions on SQLite that hold DDL, too."""

    @event.listens_for(engine, "connect")
    def no_driver_transactions(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")


def prepare(database: Database, *statements: str) -> None:
    """Run the statements on a connection of their own, and commit."""
    with database.engine.connect() as connection:
        for statement in statements:
            run(connection, statement)
        connection.commit()


def run(connection: sa.Connection, sql: str) -> Any:
    """Run SQL as it stands, ``%`` and ``:name`` too."""
    if connection.dialect.paramstyle in ("format", "pyformat"):
        sql = sql.replace("%", "%%")
    return connection.exec_driver_sql(sql)


def rows(connection: sa.Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in run(connection, sql)]


def quoted(connection: sa.Connection, name: str, schema: str | None = None) -> str:
    """Quote a name as people write it in SQL: without the doubled ``%`` of some drivers."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    text = (f"{quote(schema)}." if schema else "") + quote(name)
    return text.replace("%%", "%") if connection.dialect.paramstyle != "qmark" else text


@contextmanager
def counted(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect the statements that are executed within, looks included, which go to the driver."""
    statements: list[str] = []
    original = psycopg.Cursor.execute

    def note(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        statements.append(statement)

    def execute(cursor: psycopg.Cursor, query: Any, *arguments: Any, **options: Any) -> Any:
        if cursor.connection.info.dbname == engine.url.database:
            statements.append(str(query))
        return original(cursor, query, *arguments, **options)

    def noted(looked: Any, sql: str, read: Any) -> Any:
        statements.append(sql)
        return look(looked, sql, read)

    def sent(session: libpq.Session, sql: str) -> Any:
        if session.itself.info.dbname == engine.url.database:
            first, ahead, look = sql.partition(f"{SAVEPOINT}; ")
            statements.extend([ahead, look] if ahead and not first else [sql])
        return send(session, sql)

    if engine.dialect.driver == "psycopg":
        send = libpq.send
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Cursor, "execute", execute)
            patch.setattr(libpq, "send", sent)
            yield statements
        return
    look = values.Database.look
    event.listen(engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(values.Database, "look", noted)
            yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


_ACTS = "ALTER BEGIN COMMENT COMMIT CREATE DROP INSERT DELETE UPDATE RELEASE ROLLBACK SAVEPOINT DO"


def is_act(statement: str) -> bool:
    """Tell whether a statement changes something, a transaction included; others only look."""
    return statement.split()[0].upper() in _ACTS.split()


def looks_of(server: str, statements: Sequence[str]) -> list[str]:
    """Return the statements that look; on SQLite those before the first act.

    A rebuild there reads the file that it writes, to see that nothing in it was lost.
    """
    if server == "sqlite":
        return [*itertools.takewhile(lambda statement: not is_act(statement), statements)]
    return [statement for statement in statements if not is_act(statement)]


# Judging


@dataclass
class Outcome:
    """What a verb said and did."""

    lines: list[str]
    error: Exception | None
    changes: list[str]

    @property
    def decisions(self) -> set[str]:
        return decisions(self.lines)

    def __str__(self) -> str:
        said = "\n  ".join(self.lines or ["nothing"])
        did = "\n  ".join(self.changes or ["nothing"])
        return f"said:\n  {said}\nchanged:\n  {did}\nraised: {self.error!r}\n{self.error or ''}"


DONE = "added altered committed created dropped executed filled inserted rebuilt removed renamed"
DONE += " replaced set validated"


def decisions(lines: list[str]) -> set[str]:
    """Return what log lines tell: ``apply`` for what was done, or ``skip``, ``retry`` and so on."""
    words = {line.split()[0] for line in lines}
    return {"apply" if word in DONE.split() else word for word in words}


def outcome_of(act: Act) -> Outcome:
    """Run a verb inside the present revision, and watch."""
    bind = helpers.get_bind()
    before = snapshot(bind)
    error = None
    with heard() as lines:
        try:
            act()
        except CommandError as raised:
            error = raised
    return Outcome(lines, error, difference(before, snapshot(bind)))


def assert_applied(act: Act) -> Outcome:
    """Run the verb; it must change the database, and say so."""
    outcome = outcome_of(act)
    assert outcome.error is None, f"raised instead of acting\n{outcome}"
    assert "apply" in outcome.decisions, f"did not say that it acts\n{outcome}"
    assert outcome.changes, f"changed nothing\n{outcome}"
    return outcome


def assert_skipped(act: Act, match: str = "") -> Outcome:
    """Run the verb; it must leave the database alone, and say why."""
    outcome = outcome_of(act)
    assert outcome.error is None, f"raised instead of skipping\n{outcome}"
    assert outcome.decisions == {"skip"}, f"did not say that it skips\n{outcome}"
    assert not outcome.changes, f"changed something\n{outcome}"
    assert re.search(match, "\n".join(outcome.lines)), f"does not say {match!r}\n{outcome}"
    return outcome


def assert_conflict(act: Act, match: str = "") -> str:
    """Run the verb; it must refuse and change nothing.  Return the message."""
    message = _assert_refused(act, helpers.SchemaConflict, match)
    return message


def assert_missing_parent(act: Act, match: str = "") -> str:
    """Run the verb; it must miss its table and change nothing.  Return the message."""
    return _assert_refused(act, helpers.MissingParent, match)


def assert_unsafe(act: Act, match: str = "") -> str:
    """Run the verb; it must find it unsafe and change nothing.  Return the message."""
    return _assert_refused(act, helpers.UnsafeOperation, match)


def _assert_refused(act: Act, kind: type[Exception], match: str) -> str:
    outcome = outcome_of(act)
    assert outcome.error is not None, f"did not refuse\n{outcome}"
    # MissingParent is a SchemaConflict, but not the one that a test of conflicts means.
    assert type(outcome.error) is kind, f"refused for another reason\n{outcome}"
    assert not outcome.changes, f"refused, but changed something\n{outcome}"
    message = str(outcome.error)
    assert re.search(match, message), f"does not say {match!r}\n{outcome}"
    return message


def way_on(message: str) -> list[str]:
    """Return the lines of code with which a message ends."""
    assert "\nWhat to do next:\n" in message, f"no way on in:\n{message}"
    lines = message.split("\nWhat to do next:\n")[1].splitlines()
    assert all(line.startswith("    ") for line in lines), f"not indented as code:\n{message}"
    return [line.strip() for line in lines]


def follow(message: str) -> None:
    """Paste the code of a message into the revision."""
    assert any("helpers." in line for line in way_on(message)), f"nothing to paste in:\n{message}"
    code = message.split("\nWhat to do next:\n")[1]
    exec(textwrap.dedent(code), {"helpers": helpers, "sa": sa} | _dialect_names())


def _dialect_names() -> dict[str, Any]:
    from sqlalchemy.dialects import mysql, postgresql, sqlite

    return {"mysql": mysql, "postgresql": postgresql, "sqlite": sqlite}


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect the log lines of the helpers."""
    lines: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, ear = logging.getLogger("alembic.helpers"), Ear()
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


# What a database holds: one text per thing, rows included


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    changes = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            changes += [f"- {key}: {before[key]}"] if key in before else []
            changes += [f"+ {key}: {after[key]}"] if key in after else []
    return changes


def snapshot(connection: sa.Connection) -> Snapshot:
    """Return all that the database holds, as the transaction of this connection sees it."""
    look = {"postgresql": _postgresql, "mysql": _mysql, "mariadb": _mysql, "sqlite": _sqlite}
    name = {"cousin": "postgresql"}.get(connection.dialect.name, connection.dialect.name)
    return look[name](connection)


_POSTGRESQL = """
WITH n AS (SELECT oid, nspname FROM pg_namespace
           WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')),
     c AS (SELECT pg_class.*, nspname FROM pg_class JOIN n ON n.oid = relnamespace)
SELECT 'relation ' || nspname || '.' || relname,
       concat_ws(' ', oid, relkind, relfilenode, relpersistence, obj_description(oid)) FROM c
UNION ALL
SELECT 'column ' || nspname || '.' || relname || '.' || attname,
       concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
                 attcollation, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
FROM c JOIN pg_attribute ON attrelid = c.oid
LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped AND relkind <> 'i'
UNION ALL
SELECT 'constraint ' || nspname || '.' || relname || '.' || conname,
       pg_get_constraintdef(k.oid) || convalidated
FROM c JOIN pg_constraint AS k ON k.conrelid = c.oid
UNION ALL
SELECT 'index ' || indexrelid::regclass, pg_get_indexdef(indexrelid) || indisvalid
FROM pg_index JOIN c ON c.oid = indexrelid
UNION ALL
SELECT 'view ' || nspname || '.' || relname, pg_get_viewdef(oid) FROM c WHERE relkind = 'v'
UNION ALL
SELECT 'trigger ' || t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t JOIN c ON c.oid = t.tgrelid WHERE NOT tgisinternal
UNION ALL
SELECT 'enum ' || nspname || '.' || typname, string_agg(enumlabel, ', ' ORDER BY enumsortorder)
FROM pg_type JOIN n ON n.oid = typnamespace JOIN pg_enum ON enumtypid = pg_type.oid
GROUP BY nspname, typname
"""
_POSTGRESQL_TABLES = """
SELECT nspname, relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_MYSQL = """
SELECT table_schema, table_name, table_type FROM information_schema.tables
WHERE table_schema IN (DATABASE(), CONCAT(DATABASE(), '_other'))
"""


def _postgresql(connection: sa.Connection) -> Snapshot:
    found = {key: str(value) for key, value in rows(connection, _POSTGRESQL)}
    for schema, table in rows(connection, _POSTGRESQL_TABLES):
        name = quoted(connection, table, schema)
        found[f"rows of {schema}.{table}"] = _contents(connection, f"SELECT * FROM {name}")
    return found


def _mysql(connection: sa.Connection) -> Snapshot:
    found = {}
    for schema, table, kind in rows(connection, _MYSQL):
        name = quoted(connection, table, schema)
        found[f"{schema}.{table}"] = str(rows(connection, f"SHOW CREATE TABLE {name}")[0][1])
        if kind == "BASE TABLE":
            found[f"rows of {schema}.{table}"] = _contents(connection, f"SELECT * FROM {name}")
    triggers = "SELECT trigger_name, action_statement FROM information_schema.triggers"
    where = " WHERE trigger_schema = DATABASE()"
    return found | {f"trigger {name}": text for name, text in rows(connection, triggers + where)}


def _sqlite(connection: sa.Connection) -> Snapshot:
    found = {}
    for schema in ("temp", *(row[1] for row in rows(connection, "PRAGMA database_list"))):
        where = quoted(connection, schema)
        page = "0" if schema == "temp" else "rootpage"
        master = rows(connection, f"SELECT type, name, sql, {page} FROM {where}.sqlite_master")
        for kind, name, sql, root in master:
            if (schema, name) == ("temp", "sqlite_sequence"):
                continue  # stays when a temporary table with AUTOINCREMENT has gone
            found[f"{kind} {schema}.{name}"] = f"{sql} [page {root}]"
            if kind == "table" and not str(sql).upper().startswith("CREATE VIRTUAL"):
                select = f"SELECT * FROM {quoted(connection, name, schema)}"
                found[f"rows of {schema}.{name}"] = _contents(connection, select)
    for pragma in ("foreign_keys", "legacy_alter_table", "defer_foreign_keys"):
        found[f"pragma {pragma}"] = str(rows(connection, f"PRAGMA {pragma}"))
    return found


def _contents(connection: sa.Connection, select: str) -> str:
    return "\n".join(sorted(map(repr, rows(connection, select))))
