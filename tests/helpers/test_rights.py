"""A user who may make no temporary tables, as in many a hardened database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    prepare,
    revision,
)

pytestmark = pytest.mark.databases("postgresql", "mariadb", "mysql")


@pytest.fixture
def poor(database: Database) -> Iterator[Database]:
    """Give the database through a user without that right."""
    url = database.engine.url
    if database.name == "postgresql":
        prepare(
            database,
            "DO 'BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN duplicate_object THEN END'",
            f'REVOKE TEMPORARY ON DATABASE "{url.database}" FROM PUBLIC',
            "GRANT ALL ON SCHEMA public TO poor",
        )
        url = url.set(username="poor")
    else:
        prepare(
            database,
            "DROP USER IF EXISTS poor@'%'",
            "CREATE USER poor@'%'",
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, REFERENCES,"
            f" CREATE VIEW, SHOW VIEW ON `{url.database}`.* TO poor@'%'",
        )
        url = url.set(username="poor", password=None)
    yield replace(database, engine=sa.create_engine(url, poolclass=NullPool))
    if database.kin == "mariadb":
        prepare(database, "DROP USER poor@'%'")


def table(**more: Any) -> None:
    helpers.create_table(
        "bills",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(30), nullable=False, server_default="x", **more),
        sa.Column("n", sa.Integer(), index=True),
        sa.UniqueConstraint("name", name="uq"),
        sa.CheckConstraint("n > 0", name="ck"),
    )


VERBS: dict[str, Callable[[], Any]] = {
    "create_table": table,
    "add_column": lambda: helpers.add_column(
        "bills", sa.Column("at", sa.DateTime(), server_default=sa.func.now(), nullable=False)
    ),
    "create_index": lambda: helpers.create_index("ix", "bills", ["name", "n"]),
    "create_check_constraint": lambda: helpers.create_check_constraint("c2", "bills", "n < 9"),
    "create_unique_constraint": lambda: helpers.create_unique_constraint("u2", "bills", ["n"]),
    "create_view": lambda: helpers.create_view("v", "SELECT id FROM bills"),
}


def test_verbs_confirm_what_is_there_when_there_is_no_right_to_temporary_tables(
    poor: Database,
) -> None:
    with revision(poor):
        for act in VERBS.values():
            assert_applied(act)
    with revision(poor):
        for act in VERBS.values():
            assert_skipped(act)
        said = assert_skipped(VERBS["add_column"]).lines
        assert "may make no temporary table" in "\n".join(said)


def test_alter_column_can_be_run_again_when_there_is_no_right_to_temporary_tables(
    poor: Database,
) -> None:
    with revision(poor):
        table()
        for judge in (assert_applied, assert_skipped):
            judge(lambda: helpers.alter_column("bills", "n", nullable=False))
        for _ in range(2):
            helpers.alter_column("bills", "n", type_=sa.BigInteger(), server_default="5")
            helpers.alter_column("bills", "name", server_default=sa.text("'a'"))


def test_verbs_still_see_what_the_catalog_tells_when_there_is_no_right_to_temporary_tables(
    poor: Database,
) -> None:
    with revision(poor):
        table()
        assert_conflict(
            lambda: helpers.add_column("bills", sa.Column("name", sa.String(30), nullable=True))
        )
        assert_conflict(
            lambda: helpers.add_column("bills", sa.Column("name", sa.String(9), nullable=False))
        )
        assert_conflict(
            lambda: helpers.create_table("bills", sa.Column("other", sa.Integer(), nullable=False))
        )
