"""A revision that runs again: what its own later steps change is no conflict."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import prepare, revision, rows, snapshot

Load = Callable[[str], Callable[[], None]]

HEAD = """\
import sqlalchemy as sa

import alembic_helpers as op

revision, down_revision, TABLE = "0002", "0001", "bills"


def upgrade():
"""
ADDED = 'op.add_column("bills", sa.Column("kind", sa.String(9), {}))\n'
NULL, DEFAULT = ADDED.format(""), ADDED.format('server_default="x"')
ALTER = 'op.alter_column("bills", "kind", existing_type=sa.String(9), {})\n'
NOT_NULL = ALTER.format("nullable=False")

CONVERGING = {
    "not null": NULL + NOT_NULL,
    "default dropped": DEFAULT + ALTER.format("server_default=None"),
    "type": NULL + ALTER.format("type_=sa.String(20)"),
    "keywords": NULL
    + 'op.alter_column(table_name=TABLE, column_name="kind", nullable=False,'
    + " existing_type=sa.String(9))\n",
    "in one batch": """\
with op.batch_alter_table("bills") as batch:
    batch.add_column(sa.Column("kind", sa.String(9)))
    batch.alter_column("kind", existing_type=sa.String(9), nullable=False)
""",
    "in a later batch": NULL
    + """\
with op.batch_alter_table(TABLE, schema=None) as batch:
    batch.alter_column("kind", existing_type=sa.String(9), nullable=False)
""",
    "below the same if": "if op.get_bind():\n" + textwrap.indent(NULL + NOT_NULL, "    "),
}
DIFFERING = {
    "nothing below": NULL,
    "another column": NULL + NOT_NULL.replace("kind", "id"),
    "another property": NULL + ALTER.format("server_default=None"),
    "above": "if op.table_has_column(TABLE, 'kind'):\n    " + NOT_NULL + NULL,
    "perhaps not": NULL + "if not revision:\n    " + NOT_NULL,
}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a revision with this body, and return its upgrade."""

    def load(body: str) -> Callable[[], None]:
        path = tmp_path / "revision.py"
        path.write_text(HEAD + textwrap.indent(body, "    "))
        spec = importlib.util.spec_from_file_location("revision", path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        upgrade: Callable[[], None] = module.upgrade
        return upgrade

    return load


@pytest.mark.parametrize("body", CONVERGING.values(), ids=CONVERGING.keys())
def test_add_column_skips_when_the_revision_itself_alters_the_column_below(
    database: Database, load: Load, body: str
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY)")
    upgrade = load(body)
    with revision(database) as connection:
        upgrade()
        before = snapshot(connection)
    with revision(database) as connection:
        upgrade()
        assert snapshot(connection) == before


@pytest.mark.parametrize("body", DIFFERING.values(), ids=DIFFERING.keys())
def test_add_column_raises_when_nothing_alters_the_column_below(
    database: Database, load: Load, body: str
) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY,"
        " kind VARCHAR(9) DEFAULT 'y' NOT NULL)",
    )
    with revision(database), pytest.raises(helpers.SchemaConflict):
        load(body)()


RENAME = 'op.rename_table("bills", "invoices")\n'
BATCH = """\
with op.batch_alter_table("bills") as batch:
    batch.alter_column("id", new_column_name="number", existing_type=sa.Integer())
    batch.create_unique_constraint("uq", ["number"])
"""
STEPS = {
    "add_column": NULL + RENAME,
    "create_index": 'op.create_index("ix", "bills", ["id"])\n' + RENAME,
    "batch": BATCH + 'op.rename_table(new_table_name="invoices", old_table_name="bills")\n',
}


@pytest.mark.parametrize("body", STEPS.values(), ids=STEPS.keys())
def test_verb_skips_when_the_revision_has_renamed_its_table_below(
    database: Database, load: Load, body: str
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY)")
    upgrade = load(body)
    with revision(database) as connection:
        upgrade()
        before = snapshot(connection)
    with revision(database) as connection:
        upgrade()
        assert snapshot(connection) == before


@pytest.mark.parametrize("body", [RENAME + NULL, NULL, NULL + RENAME.replace("invoices", "other")])
def test_verb_raises_when_its_table_was_renamed_above_or_by_another_revision(
    database: Database, load: Load, body: str
) -> None:
    prepare(database, "CREATE TABLE invoices (id INTEGER NOT NULL PRIMARY KEY)")
    with revision(database), pytest.raises(helpers.MissingParent):
        load(body)()


DROP_KEY = """\
with op.batch_alter_table("bills") as batch:
    batch.drop_constraint("pk", type_="primary")
"""
MAKE_KEY = """\
with op.batch_alter_table("bills") as batch:
    batch.create_unique_constraint("uq", ["id"])
    batch.create_primary_key("pk_bills", ["number"])
"""
ELSEWHERE = 'op.create_index("ix", "parts", ["id"])\n'


def prepare_keys(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER NOT NULL, number INTEGER NOT NULL,"
        " CONSTRAINT pk PRIMARY KEY (id))",
        "CREATE TABLE parts (id INTEGER PRIMARY KEY, bill INTEGER REFERENCES bills (id))",
        "INSERT INTO bills VALUES (1, 2)",
        "INSERT INTO parts VALUES (3, 1)",
    )


@pytest.mark.databases("sqlite")
def test_drop_constraint_acts_when_the_revision_makes_the_key_anew_below(
    database: Database, load: Load
) -> None:
    prepare_keys(database)
    with revision(database) as connection:
        load(DROP_KEY + MAKE_KEY)()
        assert rows(connection, "PRAGMA foreign_key_check") == []
        assert rows(connection, "SELECT * FROM parts") == [(3, 1)]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("body", [DROP_KEY, DROP_KEY + ELSEWHERE])
def test_drop_constraint_refuses_when_keys_refer_to_it_and_none_is_made_below(
    database: Database, load: Load, body: str
) -> None:
    prepare_keys(database)
    with revision(database), pytest.raises(helpers.UnsafeOperation):
        load(body)()
