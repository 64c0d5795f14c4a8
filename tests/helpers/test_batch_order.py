"""A batch makes its columns first, wherever in the block they are added."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import assert_applied, assert_skipped, prepare, revision

new = partial(sa.Column, "due", sa.Integer)
BLOCKS: dict[str, Callable[[Any], object]] = {
    "index": lambda batch: (batch.create_index("ix", ["due"]), batch.add_column(new())),
    "expression": lambda batch: (
        batch.create_index("ix", ["id", sa.text("due DESC")]),
        batch.add_column(new()),
    ),
    "unique": lambda batch: (
        batch.create_unique_constraint("uq", ["id", "due"]),
        batch.add_column(new()),
    ),
    "check": lambda batch: (
        batch.create_check_constraint("ck", "due > 0"),
        batch.add_column(new()),
    ),
    "check-expression": lambda batch: (
        batch.create_check_constraint("ck", sa.column("due") > 0),
        batch.add_column(new()),
    ),
    "key": lambda batch: (
        batch.create_foreign_key("fk", "users", ["due"], ["id"]),
        batch.add_column(new()),
    ),
    "computed": lambda batch: (
        batch.add_column(sa.Column("twice", sa.Integer, sa.Computed("due * 2", persisted=True))),
        batch.add_column(new()),
    ),
    "between": lambda batch: (
        batch.create_index("ix", ["due"]),
        batch.drop_column("other"),
        batch.add_column(sa.Column("later", sa.Integer)),
        batch.create_unique_constraint("uq", ["due", "later"]),
        batch.add_column(new()),
    ),
    "again": lambda batch: (
        batch.create_index("ix", ["other"]),
        batch.drop_column("other"),
        batch.add_column(sa.Column("other", sa.String(9))),
    ),
    "renamed": lambda batch: (
        batch.create_index("ix", ["other"]),
        batch.alter_column("other", new_column_name="another", existing_type=sa.Integer()),
        batch.add_column(new()),
    ),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_batch_makes_its_columns_first_when_they_are_added_further_down(
    database: Database, case: str
) -> None:
    if database.kin == "mariadb" and case == "expression":
        pytest.skip("MariaDB has no index on an expression")
    prepare(
        database,
        "CREATE TABLE users (id INTEGER PRIMARY KEY)",
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, other INTEGER)",
        "INSERT INTO bills (id) VALUES (1)",
    )

    def act() -> None:
        with helpers.batch_alter_table("bills") as batch:
            BLOCKS[case](batch)

    with revision(database):
        assert_applied(act)
        assert helpers.table_has_column("bills", "other" if case == "again" else "id")
        if case not in ("again", "renamed"):  # which have other meanings when they are run again
            assert_skipped(act)
