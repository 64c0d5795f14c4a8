"""PostgreSQL: nothing of our own SQL can be shadowed by what lies in the search path.

Each statement that we send is put into a function whose body the server parses, and whose
dependencies it records, with a schema in front of the path that has a twin of everything in
``pg_catalog``: every function, operator, type and catalog.  A name that is not pinned would be that
of a twin.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import alembic_helpers as helpers
from alembic_toolkit.database import journal, libpq
from alembic_toolkit.database.driver import ask, identifier
from alembic_toolkit.database.errors import blockers
from alembic_toolkit.deployer.lock import _lock
from alembic_toolkit.prove.servers import _POSTGRESQL_CONTENTS, _POSTGRESQL_INITIAL
from alembic_toolkit.rows.servers import server_of as row_server
from alembic_toolkit.rows.tables.look import look
from alembic_toolkit.schema.take import take
from alembic_toolkit.sql.quoting import filled_in
from alembic_toolkit.verbs.refused import SAVEPOINT
from alembic_toolkit.verbs.servers.postgresql.catalog import ANSWERS, QUESTIONS
from tests import databases
from tests.databases import Database
from tests.helpers.test_places import THINGS, VERBS, in_schema
from tests.helpers.vocabulary import prepare, revision
from tests.toolkit.conftest import Project
from tests.toolkit.test_script import script

TWINS = """
CREATE SCHEMA evil;
SET check_function_bodies = off;
DO $do$
DECLARE x record;
BEGIN
  FOR x IN SELECT c.relname FROM pg_class c WHERE relnamespace = 'pg_catalog'::regnamespace
           AND relkind IN ('r', 'v') LOOP
    BEGIN
      EXECUTE format('CREATE VIEW evil.%I AS SELECT * FROM pg_catalog.%I', x.relname, x.relname);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR x IN SELECT p.proname, p.proretset, pg_get_function_identity_arguments(p.oid) AS args,
           pg_get_function_result(p.oid) AS result
           FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace
           AND prokind IN ('f', 'a', 'w') LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
        x.proname, replace(x.args, ' ORDER BY ', ', '), x.result,
        'BEGIN RAISE EXCEPTION ''twin''; END');
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR x IN SELECT o.oprname, o.oprcode, o.oprleft, o.oprright FROM pg_operator o
           WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprcode <> 0 LOOP
    BEGIN
      EXECUTE format('CREATE OPERATOR evil.%s (%s RIGHTARG = %s, FUNCTION = pg_catalog.%I)',
        x.oprname,
        CASE WHEN x.oprleft = 0 THEN '' ELSE format('LEFTARG = %s,', format_type(x.oprleft, NULL))
        END, format_type(x.oprright, NULL),
        (SELECT proname FROM pg_proc WHERE oid = x.oprcode));
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR x IN SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
           AND typtype = 'b' AND typelem = 0 LOOP
    BEGIN
      EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.%I', x.typname, x.typname);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END $do$
"""
PATH = "SET search_path = evil, pg_catalog, public"
# What SQLAlchemy and Alembic ask for themselves: reflection, the version table
OWN_OF_OTHERS = (
    "sqlalchemy/engine/reflection.py",
    "sqlalchemy/dialects/",
    "alembic/runtime/migration.py:_",
    "alembic/ddl/",
)


@contextmanager
def ours() -> Iterator[list[str]]:
    """Collect the statements that come from our own code, with their values in them."""
    statements: list[str] = []
    original, send = psycopg.Cursor.execute, libpq.send

    def sent(session: libpq.Session, sql: str) -> Any:
        statements.append(sql.removeprefix(f"{SAVEPOINT}; "))
        return send(session, sql)

    def execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if not is_others(sys._getframe(1)):
            with psycopg.ClientCursor(cursor.connection) as client:
                statements.append(client.mogrify(query, params) if params else str(query))
        return original(cursor, query, params, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        patch.setattr(libpq, "send", sent)
        yield statements


def is_others(frame: Any) -> bool:
    while frame is not None:
        name = f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
        if any(other in name for other in OWN_OF_OTHERS):
            return True
        if "alembic_toolkit/" in name:
            return False
        frame = frame.f_back
    return True  # the test's own


def conditions(statement: str) -> list[str]:
    """Return the queries in a statement: itself, or what a DO block or a script asks.

    What SQLAlchemy writes of the revision's own tables is not ours to write in another way.
    """
    if re.search(r"\b(FROM|INTO|UPDATE) \W?(bills|users|notes|kept|held)\b", statement):
        return []
    statement = re.sub(r"^\s*(/\*.*?\*/|--[^\n]*\n|\s+)*", "", statement)
    if found := re.match(r"PREPARE \w+ \((.*?)\) AS ", statement):
        statement = statement[found.end() :]
        for number, type_ in enumerate(found[1].split(","), 1):
            statement = statement.replace(f"${number}", f"(NULL::{type_.strip()})")
    if re.match(r"(SELECT|WITH|UPDATE|DELETE|INSERT)\b", statement):
        return [statement]
    return [f"SELECT {asked}" for asked in re.findall(r"(?ms)^\s*IF (.*?) THEN$", statement)]


def twins_in(connection: psycopg.Connection, query: str) -> list[str]:
    """Return what a query would take from the schema in front of the path."""
    connection.execute(PATH)
    connection.execute(
        "CREATE FUNCTION evil.probe_() RETURNS pg_catalog.void LANGUAGE sql"
        f" BEGIN ATOMIC {query.rstrip().rstrip(';')}; END"
    )
    found = connection.execute(
        "SELECT i.identity FROM pg_catalog.pg_depend AS d,"
        " pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0) AS i"
        " WHERE d.objid OPERATOR(pg_catalog.=) 'evil.probe_'::pg_catalog.regproc::pg_catalog.oid"
        " AND i.schema OPERATOR(pg_catalog.=) 'evil'"
    ).fetchall()
    connection.execute("DROP FUNCTION evil.probe_()")
    return [row[0] for row in found]


@pytest.fixture(scope="module")
def shadowed() -> Iterator[Database]:
    database = databases.new_database("postgresql")
    with psycopg.connect(plain_url(database), autocommit=True) as connection:
        connection.execute(TWINS)
    yield database
    database.close()


def plain_url(database: Database) -> str:
    return sa.make_url(database.url).set(drivername="postgresql").render_as_string(False)


def assert_pinned(database: Database, statements: list[str], least: int) -> None:
    """Check that no query of the statements would take anything from the schema of twins."""
    asked = sorted({query for statement in statements for query in conditions(statement)})
    assert len(asked) >= least, f"only {len(asked)} queries were seen"
    with psycopg.connect(plain_url(database), autocommit=True) as connection:
        taken = {query: twins for query in asked if (twins := twins_in(connection, query))}
    assert not taken, "\n\n".join(f"{query}\n  {twins}" for query, twins in taken.items())


def test_the_twins_are_what_a_plain_query_would_take(shadowed: Database) -> None:
    plain = "SELECT quote_ident(relname), 'a' || 1 FROM pg_class WHERE oid = 1 AND relkind IN ('r')"
    plain += " AND relname LIKE 'x' AND CASE relkind WHEN 'r' THEN true END"
    with psycopg.connect(plain_url(shadowed), autocommit=True) as connection:
        found = twins_in(connection, plain)
    text = " ".join(found)
    for name in ("quote_ident", "evil.||", "pg_class", "evil.=", "evil.~~"):
        assert name in text


def test_every_question_is_pinned(shadowed: Database) -> None:
    values = {"table": "'bills'", "name": "'id'", "index": "'ix'"}
    asked = [filled_in(sql.replace("{type}", "u"), values) for sql in QUESTIONS.values() if sql]
    asked += [f"SELECT {filled_in(sql, values)}" for sql in ANSWERS.values() if "{type}" not in sql]
    assert_pinned(shadowed, asked, 40)


@pytest.mark.parametrize("verb", VERBS)
def test_every_look_of_a_verb_is_pinned(shadowed: Database, verb: str) -> None:
    prepare(shadowed, *in_schema("public", *THINGS))
    try:
        with ours() as statements, revision(shadowed):
            for _ in range(2):
                VERBS[verb](None)
            helpers.table_exists("bills")
            helpers.table_has_column("bills", "id")
            helpers.table_has_index("bills", "ix")
            helpers.table_has_constraint("bills", "uq_bills")
            helpers.view_exists("v")
            helpers.enum_exists("mood")
        assert_pinned(shadowed, statements, 6)
    finally:
        prepare(
            shadowed,
            "DROP TABLE IF EXISTS bills, invoices, notes, users",
            "DROP VIEW IF EXISTS v",
            "DROP TYPE IF EXISTS mood",
        )


REVISION = """\
helpers.create_table('kept', sa.Column('id', sa.Integer, primary_key=True),
                     sa.Column('n', sa.Integer), sa.Column('at', sa.DateTime))
helpers.create_index('ix_kept', 'kept', ['n'], postgresql_concurrently=True)
helpers.create_enum('color', ['red'])
helpers.add_enum_value('color', 'blue')
helpers.rename_enum_value('color', 'red', 'rose')
helpers.create_check_constraint('ck', 'kept', 'n > 0', postgresql_concurrently=True)
helpers.alter_column('kept', 'n', nullable=False, postgresql_concurrently=True)
helpers.add_column('kept', sa.Column('u', sa.Uuid, server_default=sa.text('f()')),
                   postgresql_concurrently=True)
helpers.create_view('seen', 'SELECT 1 AS one')
helpers.replace_view('seen', 'SELECT 2 AS two')
helpers.rename_table('kept', 'held')
helpers.execute('SELECT 1', once='this')
helpers.create_exclude_constraint('ex', 'held', ('id', '='), using='btree')
helpers.create_table_comment('held', 'Kept.')
helpers.validate_constraint('ck', 'held')
"""
ONCE = (
    "CREATE TABLE public.alembic_version_once"
    " (revision varchar(200), direction varchar(200), name varchar(200))"
)
HEAD = "import alembic_helpers as helpers\n"


@pytest.fixture
def history(shadowed: Database, tmp_path: Path) -> Iterator[Project]:
    prepare(shadowed, "CREATE FUNCTION f() RETURNS uuid STABLE LANGUAGE sql AS 'SELECT NULL::uuid'")
    project = Project(tmp_path / "project", shadowed.url)
    project.revision("a1", None, REVISION, "helpers.drop_table('held')", HEAD)
    yield project
    prepare(
        shadowed,
        "DROP TABLE IF EXISTS kept, held, alembic_version",
        "DROP TABLE IF EXISTS alembic_version_history, alembic_version_once",
        "DROP VIEW IF EXISTS seen",
        "DROP TYPE IF EXISTS color",
        "DROP FUNCTION f()",
    )


def test_every_statement_of_a_deployment_is_pinned(shadowed: Database, history: Project) -> None:
    with ours() as statements:
        for command in (["upgrade", "head"], ["downgrade", "base"]):
            outcome = history.alembic(*command)
            assert outcome.status == 0, outcome
        with shadowed.engine.connect() as connection:
            blockers(connection, "ALTER TABLE held")
            context = MigrationContext.configure(connection)
            lock = _lock(connection, context)
            assert lock is not None
            assert lock.take()
            assert lock.is_held()
            assert "session" in lock.holder()
            lock.free()
            journal.last(connection)
            journal.edited(connection, ScriptDirectory(str(history.versions.parent)))
    with psycopg.connect(plain_url(shadowed), autocommit=True) as connection:
        connection.execute(ONCE)  # which the last commit of the revision dropped
    assert_pinned(shadowed, statements, 30)


def test_every_look_of_a_proof_is_pinned(shadowed: Database) -> None:
    prepare(
        shadowed,
        "CREATE TYPE color AS ENUM ('red')",
        "CREATE TABLE kept (id SERIAL PRIMARY KEY, c color, m money, at timestamptz, j json)",
    )
    with ours() as statements, shadowed.engine.connect() as connection:
        known = take(connection)
        for names in ({"create", "table", "kept"}, {"alter", "type", "color", "rename"}):
            take(connection, known, frozenset(names))
        look(connection)
        [kept] = look(connection, ["kept"]).values()
        for column in kept.columns:
            text = row_server(connection).selected(identifier(connection, column.name), column)
            ask(connection, f"SELECT {text} FROM public.kept AS k")
        ask(connection, f"SELECT {row_server(connection).setval(kept, kept.columns[0], 5)}")
        for query in (_POSTGRESQL_CONTENTS, _POSTGRESQL_INITIAL):
            ask(connection, query)
        connection.rollback()
    assert_pinned(shadowed, statements, 12)
    prepare(shadowed, "DROP TABLE kept", "DROP TYPE color")


def test_every_condition_of_a_script_is_pinned(shadowed: Database, history: Project) -> None:
    history.revision("a1", None, REVISION.replace("f()", "now()"), "pass", HEAD)
    text = script(history)
    asked = [f"SELECT {found}" for found in re.findall(r"(?ms)^\s*IF (.*?) THEN$", text)]
    asked += re.findall(r"(?s)AS\n(WITH RECURSIVE.*?);", text)
    asked += [f"SELECT 1 WHERE {found}" for found in re.findall(r"\nWHERE (.*?) \\gexec", text)]
    with psycopg.connect(plain_url(shadowed), autocommit=True) as connection:
        connection.execute("CREATE TABLE public.alembic_applied (revision text)")
        connection.execute("CREATE TABLE public.alembic_known (revision text, parent text)")
        connection.execute("CREATE TABLE public.alembic_version (version_num varchar(32))")
        connection.execute(ONCE)
    try:
        assert_pinned(shadowed, [query.replace("pg_temp.", "public.") for query in asked], 10)
    finally:
        prepare(shadowed, "DROP TABLE alembic_applied, alembic_known")
