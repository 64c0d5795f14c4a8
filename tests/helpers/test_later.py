"""A revision that runs again: what its own later steps give a column is no conflict."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import prepare, revision, snapshot

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
