"""A drop that finds nothing of its name: "not there" must be true."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.conftest import Load
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    follow,
    prepare,
    revision,
)

CONVENTION = {
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(constraint_name)s",
}
METADATA = sa.MetaData(naming_convention=CONVENTION)
USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY)"
TABLE = (
    "CREATE TABLE bills (id INTEGER PRIMARY KEY, user_id INTEGER, code INTEGER, amount INTEGER"
    "{more})"
)
# How the constraint is there, and how its drop calls it.
OTHERWISE: dict[str, tuple[str, Callable[[], Any]]] = {
    "unique": (
        ", UNIQUE (code)",
        lambda: helpers.drop_constraint("uq_bills_code", "bills", type_="unique"),
    ),
    "unique-named": (
        ", CONSTRAINT code_unique UNIQUE (code)",
        lambda: helpers.drop_constraint("uq_bills_code", "bills"),
    ),
    "unique-several": (
        ", UNIQUE (user_id, code)",
        lambda: helpers.drop_constraint("uq_user_id_code", "bills", type_="unique"),
    ),
    "check": (
        ", CHECK (amount > 0)",
        lambda: helpers.drop_constraint("ck_bills_amount_positive", "bills", type_="check"),
    ),
    "check-elsewhere": (
        ", CHECK (amount > 0)",
        lambda: helpers.drop_constraint("positive", "bills", type_="check"),
    ),
    "foreign-key": (
        ", FOREIGN KEY (user_id) REFERENCES users (id)",
        lambda: helpers.drop_constraint("fk_bills_user_id_users", "bills", type_="foreignkey"),
    ),
    "foreign-key-by-table": (
        ", FOREIGN KEY (user_id) REFERENCES users (id)",
        lambda: helpers.drop_constraint("fk_bills_user", "bills", type_="foreignkey"),
    ),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_drop_constraint_refuses_when_it_is_there_by_another_name(
    database: Database, case: str
) -> None:
    more, act = OTHERWISE[case]
    if case == "foreign-key-by-table":
        more = more.replace("user_id)", "user_id)", 1)
    prepare(database, USERS, TABLE.format(more=more))
    with revision(database):
        message = assert_conflict(act, "may be meant")
        follow(message)
        assert_skipped(act)
        follow(message)


# What is there, and a drop that was done before.
AGAIN: dict[str, tuple[str, Callable[[], Any]]] = {
    "unique": (
        ", CONSTRAINT uq_b UNIQUE (code)",
        lambda: helpers.drop_constraint("uq_a", "bills", type_="unique"),
    ),
    "unique-unnamed": (
        ", UNIQUE (code)",
        lambda: helpers.drop_constraint("uq_bills_amount", "bills", type_="unique"),
    ),
    "unique-less": (
        ", UNIQUE (code)",
        lambda: helpers.drop_constraint("uq_bills_code_amount", "bills", type_="unique"),
    ),
    "unique-by-server": (
        ", UNIQUE (code)",
        lambda: helpers.drop_constraint("bills_amount_key", "bills"),
    ),
    "check": (
        ", CONSTRAINT ck_code CHECK (code > 0)",
        lambda: helpers.drop_constraint("positive", "bills", type_="check"),
    ),
    "check-unnamed": (
        ", CHECK (code > 0)",
        lambda: helpers.drop_constraint("ck_bills_amount", "bills", type_="check"),
    ),
    "foreign-key": (
        ", FOREIGN KEY (user_id) REFERENCES users (id)",
        lambda: helpers.drop_constraint("fk_bills_code_kinds", "bills", type_="foreignkey"),
    ),
    "foreign-key-by-table": (
        ", FOREIGN KEY (user_id) REFERENCES users (id)",
        lambda: helpers.drop_constraint("fk_bills_kinds", "bills", type_="foreignkey"),
    ),
    "columns": (
        ", UNIQUE (code), CHECK (code > 0)",
        lambda: helpers.drop_constraint(None, "bills", type_="unique", columns=["amount"]),
    ),
    "other-type": (
        ", UNIQUE (code)",
        lambda: helpers.drop_constraint("uq_bills_code", "bills", type_="foreignkey"),
    ),
}


@pytest.mark.parametrize("case", AGAIN)
def test_drop_constraint_skips_when_only_others_are_there(database: Database, case: str) -> None:
    more, act = AGAIN[case]
    prepare(database, USERS, TABLE.format(more=more))
    with revision(database):
        assert_skipped(act)


def test_drop_constraint_skips_when_the_revision_makes_the_other_one(
    database: Database, load: Load
) -> None:
    prepare(database, TABLE.format(more=", CONSTRAINT uq_code UNIQUE (code)"))
    upgrade = load(
        'op.drop_constraint("uq_code", "bills", type_="unique")\n'
        'op.create_unique_constraint("uq_bills_code", "bills", ["code"])\n'
    )
    with revision(database):
        assert_applied(upgrade)
        assert_skipped(upgrade)


def test_drop_constraint_finds_the_name_that_a_convention_writes(database: Database) -> None:
    prepare(database, TABLE.format(more=""))
    with revision(database, target_metadata=METADATA):
        helpers.create_check_constraint("a", "bills", "amount > 0")
        drop = partial(helpers.drop_constraint, "a", "bills")
        assert_applied(drop)
        assert_skipped(drop)
        helpers.create_check_constraint(helpers.f("b"), "bills", "amount > 0")
        assert_skipped(lambda: helpers.drop_constraint(helpers.f("a"), "bills", type_="check"))
        drop = partial(helpers.drop_constraint, "b", "bills", type_="check")
        assert_applied(drop)
        assert_skipped(drop)


def test_batch_drop_constraint_finds_the_name_that_a_convention_writes(database: Database) -> None:
    prepare(
        database, TABLE.format(more=", CONSTRAINT ck_bills_b CHECK (amount > 0), UNIQUE (code)")
    )
    with revision(database, target_metadata=METADATA):

        def act() -> None:
            batch: Any
            with helpers.batch_alter_table("bills") as batch:
                batch.drop_constraint("ck_bills_b", type_="check")
                batch.drop_constraint(None, type_="unique", columns=["code"])

        assert_applied(act)
        assert_skipped(act)


COLUMNS = {
    "unique": (", UNIQUE (code, user_id)", ["user_id", "code"]),
    "check": (", CHECK (amount > code)", ["amount", "code"]),
    "foreignkey": (", FOREIGN KEY (user_id) REFERENCES users (id)", ["user_id"]),
}


@pytest.mark.parametrize("type_", COLUMNS)
def test_drop_constraint_finds_it_by_its_columns(database: Database, type_: str) -> None:
    more, columns = COLUMNS[type_]
    prepare(database, USERS, TABLE.format(more=more + ", CONSTRAINT other CHECK (id > 0)"))
    drop = partial(helpers.drop_constraint, None, "bills", type_=type_, columns=columns)
    with revision(database):
        assert_applied(drop)
        assert_skipped(drop)
        assert helpers.table_has_constraint("bills", "other")


@pytest.mark.databases("sqlite", "postgresql")
def test_drop_constraint_refuses_when_a_unique_index_has_its_name(database: Database) -> None:
    prepare(database, TABLE.format(more=""), "CREATE UNIQUE INDEX uq_code ON bills (code)")
    drop = partial(helpers.drop_constraint, "uq_code", "bills", type_="unique")
    with revision(database):
        follow(assert_conflict(drop, "the name of an index"))
        assert_skipped(drop)
