"""A key of its own for a table with rows, on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import assert_applied, assert_skipped, prepare, revision, rows

pytestmark = pytest.mark.databases("sqlite")


def add_key() -> None:
    helpers.add_column("bills", sa.Column("id", sa.Integer(), primary_key=True))


def add_identity() -> None:
    helpers.add_column("bills", sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True))


def add_column_and_key() -> None:
    helpers.add_column("bills", sa.Column("id", sa.Integer(), primary_key=True))
    helpers.create_primary_key("pk_bills", "bills", ["id"])


def in_batch() -> None:
    with helpers.batch_alter_table("bills") as batch:
        batch.add_column(sa.Column("id", sa.Integer(), nullable=False))
        batch.create_primary_key("pk_bills", ["id"])


def in_batch_first() -> None:
    with helpers.batch_alter_table("bills") as batch:
        batch.create_primary_key("pk_bills", ["id"])
        batch.add_column(sa.Column("id", sa.Integer(), primary_key=True))


def in_batch_placed() -> None:
    with helpers.batch_alter_table("bills") as batch:
        batch.add_column(sa.Column("id", sa.Integer(), primary_key=True), insert_before="code")
        batch.create_primary_key("pk_bills", ["id"])


ACTS: list[Callable[[], Any]] = [
    add_key,
    add_identity,
    add_column_and_key,
    in_batch,
    in_batch_first,
    in_batch_placed,
]


@pytest.mark.parametrize("act", ACTS)
def test_add_column_numbers_the_rows_when_it_is_the_primary_key(
    database: Database, act: Callable[[], Any]
) -> None:
    prepare(
        database,
        "CREATE TABLE bills (code TEXT UNIQUE)",
        "INSERT INTO bills VALUES ('a'), ('b')",
    )
    with revision(database):
        assert_applied(act)
        assert_skipped(act)
        helpers.execute("INSERT INTO bills (code) VALUES ('c')")
        found = rows(helpers.get_bind(), "SELECT id, code FROM bills ORDER BY id")
        assert found == [(1, "a"), (2, "b"), (3, "c")]


def replace_in_batch() -> None:
    with helpers.batch_alter_table("bills") as batch:
        batch.drop_constraint("pk_code", type_="primary")
        batch.add_column(sa.Column("id", sa.Integer(), nullable=False))
        batch.create_primary_key("pk_bills", ["id"])


def test_batch_numbers_the_rows_when_the_key_is_replaced(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (code TEXT NOT NULL, CONSTRAINT pk_code PRIMARY KEY (code))",
        "INSERT INTO bills VALUES ('a'), ('b')",
    )
    with revision(database):
        assert_applied(replace_in_batch)
        helpers.execute("INSERT INTO bills (code) VALUES ('c')")
        found = rows(helpers.get_bind(), "SELECT id, code FROM bills ORDER BY id")
        assert found == [(1, "a"), (2, "b"), (3, "c")]
