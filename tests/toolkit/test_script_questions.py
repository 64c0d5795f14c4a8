"""A revision that asks, while its script is written: the dialect's name, or the database."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.helpers.scripts import run_with_client
from tests.toolkit.conftest import Project, rows
from tests.toolkit.test_script import HELPERS, PLAIN_ENV, safe, script, sql

DIALECTS = ("postgresql", "mariadb", "mysql", "sqlite")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "asked",
    [
        "op.get_bind().dialect.name",
        "op.get_bind().engine.name",
        "op.get_bind().engine.dialect.name",
        "op.get_context().dialect.name",
        "op.get_context().bind.dialect.name",
        "op.get_context().connection.dialect.name",
        "helpers.get_bind().dialect.name",
    ],
)
def test_name_of_the_dialect_is_that_of_the_script(
    project: Project, dialect: str, asked: str
) -> None:
    project.revision("0001", upgrade=f"op.create_table('is_' + {asked})", head=HELPERS)
    for given in (("--dialect", dialect), ("--url", f"{dialect}://host/name")):
        assert f"is_{dialect}" in script(project, *given)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("driver", ["mysql+pymysql", "mysql"])
def test_mariadb_is_called_as_the_upgrade_calls_it(project: Project, driver: str) -> None:
    """A URL of mysql:// can be MariaDB's, and then a revision sees this name when it runs."""
    project.write("migrations/env.py", PLAIN_ENV.format(url=f"{driver}://host/name"))
    named = "op.create_table(f'is_{dialect.name}_{dialect.is_mariadb}')"
    project.revision("0001", upgrade=f"dialect = op.get_bind().dialect\n{named}")
    assert "is_mysql_True" in script(project, "--dialect", "mariadb")
    assert "is_mysql_False" in script(project, "--dialect", "mysql")
    project.write("migrations/env.py", PLAIN_ENV.format(url="mariadb+pymysql://host/name"))
    assert "is_mariadb_True" in script(project, "--dialect", "mariadb")


QUESTIONS = [
    "sa.inspect(op.get_bind()).get_table_names()",
    "sa.inspect(op.get_bind().engine)",
    "op.get_bind().execute(sa.text('SELECT 1')).scalar()",
    "op.get_bind().execute(sa.select(1)).fetchall()",
    "[*op.get_bind().execute(sa.text('SELECT 1'))]",
    "1 if op.get_bind().execute(sa.text('SELECT 1')) else 2",
    "op.get_bind().execute(sa.text('UPDATE t SET id = 1')).rowcount",
    "op.get_bind().exec_driver_sql('SELECT 1').first()",
    "op.get_bind().scalar(sa.text('SELECT 1'))",
    "op.get_bind().connection",
    "op.get_bind().engine.url.database",
    "op.get_bind().dialect.has_table(op.get_bind(), 't')",
    "op.get_bind().dialect.get_columns(op.get_bind(), 't')",
    "sa.MetaData().reflect(op.get_bind())",
    "sa.Table('t', sa.MetaData(), autoload_with=op.get_bind())",
    "op.get_bind().in_transaction()",
    "op.get_bind().begin_nested()",
    "Session(bind=op.get_bind()).execute(sa.text('SELECT 1')).all()",
    "Session(op.get_bind()).query(sa.column('a')).all()",
]


@pytest.mark.databases("postgresql", "sqlite", "mariadb", "mysql")
@pytest.mark.parametrize("question", QUESTIONS)
def test_question_stops_with_the_revision_and_its_line(project: Project, question: str) -> None:
    project.table("0001")
    head = "from sqlalchemy.orm import Session"
    path = project.revision("0002", "0001", f"pass\n{question}", head=head)
    line = path.read_text().splitlines().index(f"    {question}") + 1
    outcome = sql(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"in revision 0002 ({path}, line {line})" in outcome.err
    assert "because it asks the database, and a --sql script has none." in outcome.err
    assert "What to do next:\n    alembic upgrade head  # without --sql" in outcome.err
    assert "Traceback" not in outcome.err
    assert f"({path}, line {line})" in project.refusal("upgrade", "head", "--sql")


@pytest.mark.databases("sqlite")
def test_question_of_a_helper_function_names_the_line_of_the_revision(project: Project) -> None:
    project.write("migrations/asks.py", "import sqlalchemy as sa\n\ndef ask(b): sa.inspect(b)\n")
    head = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__) + '/..')\n"
    head += "from asks import ask"
    path = project.revision("0001", upgrade="ask(op.get_bind())", head=head)
    line = path.read_text().splitlines().index("    ask(op.get_bind())") + 1
    assert f"({path}, line {line})" in sql(project).err


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("body", ["1 / 0", "raise SystemError('no')", "op.get_bin()", "undefined"])
def test_any_other_error_is_no_traceback(project: Project, body: str) -> None:
    path = project.revision("0001", upgrade=body)
    outcome = sql(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"in revision 0001 ({path}, line 8)" in outcome.err
    assert "it failed while the script was written: " in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("name", ["migrations/env.py", "migrations/versions/0001_test.py"])
@pytest.mark.parametrize("text", ["1 / 0\n", "def (\n"])
def test_error_of_a_file_is_no_traceback(project: Project, name: str, text: str) -> None:
    project.table("0001")
    project.write(name, text)
    outcome = sql(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert name in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.databases("postgresql", "mariadb", "mysql", "sqlite")
def test_what_asks_nothing_is_written(project: Project, database: Database) -> None:
    project.revision(
        "0001",
        upgrade=safe("t")
        + "bind = op.get_bind()\n"
        + "t = sa.table('t', sa.column('id'))\n"
        + "bind.execute(sa.text('INSERT INTO t VALUES (:id)'), {'id': 1}).close()\n"
        + "bind.execute(sa.insert(t), [{'id': 2}, {'id': 3}])\n"
        + "where = t.c.id == sa.bindparam('b')\n"
        + "bind.execute(sa.update(t).where(where), {'b': 3, 'id': 30})\n"
        + "bind.execute(sa.delete(t).where(where), {'b': 2})\n"
        + "bind.exec_driver_sql('INSERT INTO t VALUES (4)')\n"
        + "sa.Table('u', sa.MetaData(), sa.Column('id', sa.Integer)).create(bind)\n"
        + "assert not hasattr(bind, 'nothing')\n",
    )
    run_with_client(database, script(project))
    assert rows(database, "SELECT id FROM t ORDER BY id") == [1, 4, 30]
    assert rows(database, "SELECT id FROM u") == []


# What is printed


@pytest.mark.databases("postgresql", "sqlite")
def test_nothing_that_is_printed_lands_in_a_script(project: Project) -> None:
    env = project.directory / "migrations/env.py"
    env.write_text("print('of env.py')\n" + env.read_text())
    printed = "import sys\nprint('of the module')\n"
    body = "print('of upgrade')\nsys.stdout.write('written')\n" + safe("t")
    project.revision("0001", upgrade=body, head=printed)
    quiet = script(project)
    assert "of " not in quiet.replace("of them", "").replace("of an", "").replace("of this", "")
    assert "written" not in quiet
    said = sql(project).err
    assert ["of upgrade" in said, "of the module" in said, "of env.py" in said] == [True] * 3
    env.write_text(env.read_text().replace("print('of env.py')\n", ""))
    offline = project.alembic("upgrade", "head", "--sql").out
    assert "of upgrade" not in offline
    assert "of the module" not in offline
