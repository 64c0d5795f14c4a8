"""What a review found: each was a silent skip, a false conflict, or worse."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    outcome_of,
    prepare,
    revision,
)


def test_create_table_skips_when_its_key_is_also_a_foreign_key(database: Database) -> None:
    def act() -> None:
        key = sa.ForeignKey("parents.id", name="fk_children_id")
        helpers.create_table("children", sa.Column("id", sa.Integer, key, primary_key=True))

    with revision(database):
        helpers.create_table("parents", sa.Column("id", sa.Integer, primary_key=True))
        assert_applied(act)
        assert_skipped(act)


def test_alter_column_replaces_the_check_when_an_enum_gets_a_value(database: Database) -> None:
    def kind(*values: str) -> Any:
        return sa.Enum(*values, name="ck_bills_kind", native_enum=False, create_constraint=True)

    def act() -> None:
        wider, old = kind("a", "b", "c"), kind("a", "b")
        helpers.alter_column("bills", "kind", type_=wider, existing_type=old)

    with revision(database):
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("kind", kind("a", "b")),
        )
        assert_applied(act)
        helpers.execute("INSERT INTO bills (kind) VALUES ('c')")
        assert outcome_of(act).changes == []


@pytest.mark.databases("sqlite")
def test_drop_column_refuses_when_a_view_uses_it_and_another_is_broken(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b TEXT)",
        "CREATE VIEW v AS SELECT id, b FROM bills",
        "CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO bills (b) VALUES (new.b); END",
        "CREATE VIEW stale AS SELECT missing FROM nowhere",
        "CREATE VIEW w AS SELECT a FROM bills",
    )
    with revision(database):
        outcome = outcome_of(lambda: helpers.drop_column("bills", "a"))
    assert isinstance(outcome.error, helpers.UnsafeOperation)
    assert "view w: no such column: a" in str(outcome.error)
    assert outcome.changes == []


@pytest.mark.databases("sqlite")
def test_rename_converges_when_only_the_case_differs(database: Database) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, paid INTEGER)")
    with revision(database):
        assert_applied(lambda: helpers.rename_table("bills", "Bills"))
        assert_skipped(lambda: helpers.rename_table("bills", "Bills"))
        rename = lambda: helpers.alter_column("Bills", "paid", new_column_name="Paid")  # noqa: E731
        assert_applied(rename)
        assert_skipped(rename)


@pytest.mark.databases("mariadb", "mysql")
def test_drop_column_takes_its_keys_along_when_names_have_spaces(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE parents (id INT PRIMARY KEY)",
        "CREATE TABLE bills (id INT PRIMARY KEY, `p id` INT, b INT,"
        " CONSTRAINT `f k` FOREIGN KEY (`p id`) REFERENCES parents (id),"
        " UNIQUE KEY `u q` (`p id`, b))",
    )
    with revision(database):
        assert_applied(lambda: helpers.drop_column("bills", "p id"))
        assert not helpers.table_has_column("bills", "p id")


@pytest.mark.databases("mariadb", "mysql")
def test_drop_constraint_finds_the_foreign_key_when_a_unique_key_has_its_name(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE parents (id INT PRIMARY KEY)",
        "CREATE TABLE bills (id INT PRIMARY KEY, p INT, UNIQUE KEY twin (p),"
        " CONSTRAINT twin FOREIGN KEY (p) REFERENCES parents (id))",
    )
    with revision(database):
        assert helpers.table_has_constraint("bills", "twin", "foreignkey")
        assert helpers.table_has_constraint("bills", "twin", "unique")
        helpers.drop_constraint("twin", "bills", type_="foreignkey")
        assert not helpers.table_has_constraint("bills", "twin", "foreignkey")


@pytest.mark.databases("postgresql")
def test_create_table_acts_when_its_enum_type_is_there(database: Database) -> None:
    prepare(database, "CREATE TYPE mood AS ENUM ('a', 'b')")

    def act(*values: str) -> None:
        helpers.create_table("bills", sa.Column("mood", sa.Enum(*values, name="mood")))

    with revision(database):
        assert_conflict(lambda: act("a", "c"))
        assert_applied(lambda: act("a", "b"))
        assert_skipped(lambda: act("a", "b"))


@pytest.mark.databases("postgresql")
def test_constraint_conflicts_when_it_is_there_but_not_validated(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INT PRIMARY KEY, amount INT)",
        "ALTER TABLE bills ADD CONSTRAINT ck_amount CHECK (amount > 0) NOT VALID",
    )
    with revision(database):
        assert_conflict(
            lambda: helpers.create_check_constraint("ck_amount", "bills", "amount > 0"),
            r"helpers\.validate_constraint\('ck_amount', 'bills'\)",
        )


@pytest.mark.databases("postgresql")
def test_create_index_acts_and_skips_when_it_is_on_a_materialized_view(database: Database) -> None:
    prepare(database, "CREATE MATERIALIZED VIEW sums AS SELECT 1 AS id")
    with revision(database):
        assert_applied(lambda: helpers.create_index("ix_sums", "sums", ["id"]))
        assert_skipped(lambda: helpers.create_index("ix_sums", "sums", ["id"]))


def test_add_column_acts_and_skips_when_the_column_has_a_key(database: Database) -> None:
    def act() -> None:
        helpers.add_column("bills", sa.Column("Paid", sa.Integer, key="paid_key", index=True))

    with revision(database):
        helpers.create_table("bills", sa.Column("id", sa.Integer, primary_key=True))
        assert_applied(act)
        assert_skipped(act)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("default", ["now()", "today", sa.text("'now'::timestamp")])
def test_add_column_skips_when_its_default_is_the_moment_of_its_making(
    database: Database, default: Any
) -> None:
    def column() -> sa.Column[Any]:
        return sa.Column("made", sa.DateTime, server_default=default, nullable=False)

    with revision(database):
        table = partial(helpers.create_table, "bills", sa.Column("id", sa.Integer), column())
        assert_applied(table)
        assert_skipped(table)
        assert_skipped(lambda: helpers.add_column("bills", column()))
        prepared = sa.text("ALTER TABLE bills ALTER made SET DEFAULT CURRENT_TIMESTAMP")
        helpers.get_bind().execute(prepared)
        assert_conflict(lambda: helpers.add_column("bills", column()))
