"""Names in another case of letters than before: where they are one name, a second run knows it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.test_again import HEAD, INT, START, TEXT, go, rewind, state
from tests.helpers.test_once import PLAIN_ENV
from tests.helpers.vocabulary import assert_applied, assert_skipped, prepare, revision
from tests.toolkit.conftest import Project

FOLDING = pytest.mark.databases("sqlite", "mariadb", "mysql")
BODIES = {
    "drop, rename": f'op.drop_column("t", "A")\n'
    f'op.alter_column("t", "b", new_column_name="a", {INT})',
    "drop, rename in capitals": f'op.drop_column("t", "a")\n'
    f'op.alter_column("t", "B", new_column_name="A", {INT})',
    "drop, add": 'op.drop_column("t", "A")\nop.add_column("t", sa.Column("a", sa.Integer()))',
    "alter, drop": f'op.alter_column("t", "A", server_default="q", {TEXT})\n'
    'op.drop_column("t", "a")',
    "add, alter": 'op.add_column("t_new", sa.Column("N", sa.Integer()))\n'
    'op.execute("UPDATE t_new SET n = id")\n'
    f'op.alter_column("t_new", "n", nullable=False, {INT})',
    "add, key": 'op.drop_constraint("pk_t", "t", type_="primary")\n'
    'op.add_column("t", sa.Column("N", sa.Integer()))\n'
    'op.execute("UPDATE t SET n = id")\n'
    f'op.alter_column("t", "n", nullable=False, {INT})\n'
    'op.create_primary_key("pk_t", "t", ["n"])',
    "swap": f'op.alter_column("t", "A", new_column_name="c", {TEXT})\n'
    f'op.alter_column("t", "B", new_column_name="a", {INT})\n'
    f'op.alter_column("t", "C", new_column_name="b", {TEXT})',
    "index": 'op.drop_index("IX", "t")\nop.create_index("ix", "t", ["b"])',
    "key": 'op.drop_constraint("UQ", "t", type_="unique")\n'
    'op.create_unique_constraint("uq", "t", ["id", "b"])',
    "table": 'op.create_table("one", sa.Column("id", sa.Integer()), sa.Column("N", sa.Integer()))\n'
    f'op.alter_column("one", "n", nullable=False, {INT})',
}
OF_TABLES = {
    "drop, rename": 'op.drop_table("T")\nop.rename_table("t_new", "t")',
    "drop, add": 'op.drop_column("T", "a")\nop.add_column("t", sa.Column("a", sa.Integer()))',
    "another case": f'op.rename_table("t", "T")\nop.drop_column("t", "a")\n'
    f'op.alter_column("T", "B", new_column_name="A", {INT})',
}
LONG = "a" * 63


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    return Project(tmp_path / "project", database.url)


@FOLDING
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_second_run_knows_a_column_in_other_letters(
    body: str, project: Project, database: Database
) -> None:
    run_twice(project, database, body)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("body", OF_TABLES.values(), ids=OF_TABLES.keys())
def test_second_run_knows_a_table_in_other_letters(
    body: str, project: Project, database: Database
) -> None:
    run_twice(project, database, body)


@pytest.mark.databases("postgresql")
def test_second_run_knows_a_name_that_the_server_cuts(project: Project, database: Database) -> None:
    body = f'op.alter_column("t", "a", new_column_name="{LONG}")'
    project.revision("a2", "a1", body, "pass", HEAD)
    body = f'op.drop_column("t", "{LONG}b")\nop.alter_column("t", "b", new_column_name="{LONG}c")'
    run_twice(project, database, body, "a2")


@pytest.mark.databases("sqlite")
def test_letters_beside_ascii_have_a_case_on_sqlite(project: Project, database: Database) -> None:
    body = 'op.add_column("t", sa.Column("Ä", sa.Integer()))\n'
    body += 'op.add_column("t", sa.Column("ä", sa.String(20)))\nop.drop_column("t", "Ä")'
    run_twice(project, database, body)
    assert "ä" in [column[0] for column in state(database)["t"][0]]


def run_twice(project: Project, database: Database, body: str, before: str = "a1") -> None:
    """Run a revision in a plain env.py, rewind the version table, and run it again."""
    project.write("migrations/env.py", PLAIN_ENV)
    project.revision("a1", None, START, "pass", HEAD)
    project.revision("z", before, body, "pass", HEAD)
    go(project, database, "upgrade", "z")
    end = state(database)
    rewind(database, before)
    go(project, database, "upgrade", "z")
    assert state(database) == end


def test_names_that_differ_in_accents_are_two(database: Database) -> None:
    table = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a INTEGER)"
    prepare(database, table, "CREATE INDEX ia ON t (a)")
    with revision(database):
        assert_applied(lambda: helpers.add_column("t", sa.Column("ä", sa.Integer())))
        assert_applied(lambda: helpers.create_index("iä", "t", ["id"]))
        assert_skipped(lambda: helpers.drop_column("t", "á"))
        assert_skipped(lambda: helpers.drop_index("iá", "t"))
