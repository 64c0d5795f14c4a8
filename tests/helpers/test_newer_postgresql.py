"""What newer PostgreSQL has of constraints and columns: never taken for the plain thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DATERANGE, INT4RANGE

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    assert_unsafe,
    follow,
    outcome_of,
    revision,
    rows,
    run,
)

pytestmark = pytest.mark.databases("postgresql")

RANGES = "r int4range NOT NULL, d daterange NOT NULL"


@pytest.fixture
def bind(database: Database) -> Iterator[sa.Connection]:
    with revision(database) as connection:
        run(connection, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)")
        yield connection


def require(bind: sa.Connection, version: int) -> None:
    found = bind.dialect.server_version_info or ()
    if found < (version,):
        pytest.skip(f"PostgreSQL {version} has it, and this is {found[0]}")


# version, what is there, and the verb that wants the plain thing
OTHERS: dict[str, tuple[int, str, Callable[[], Any]]] = {
    "check not enforced": (
        18,
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED",
        lambda: helpers.create_check_constraint("c", "t", "a > 0"),
    ),
    "check not valid": (
        15,
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
        lambda: helpers.create_check_constraint("c", "t", "a > 0"),
    ),
    "other check not valid": (
        15,
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1) NOT VALID",
        lambda: helpers.create_check_constraint("c", "t", "a > 0"),
    ),
    "check no inherit": (
        15,
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NO INHERIT",
        lambda: helpers.create_check_constraint("c", "t", "a > 0"),
    ),
    "foreign key not enforced": (
        18,
        "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES t (id) NOT ENFORCED",
        lambda: helpers.create_foreign_key("c", "t", "t", ["a"], ["id"]),
    ),
    "foreign key in time": (
        18,
        f"CREATE TABLE p ({RANGES}, PRIMARY KEY (r, d WITHOUT OVERLAPS));"
        f" CREATE TABLE q ({RANGES},"
        " CONSTRAINT c FOREIGN KEY (r, PERIOD d) REFERENCES p (r, PERIOD d));",
        lambda: helpers.create_foreign_key("c", "q", "p", ["r", "d"], ["r", "d"]),
    ),
    "primary key in time": (
        18,
        f"CREATE TABLE p ({RANGES}, CONSTRAINT c PRIMARY KEY (r, d WITHOUT OVERLAPS))",
        lambda: helpers.create_primary_key("c", "p", ["r", "d"]),
    ),
    "unique in time": (
        18,
        f"CREATE TABLE p ({RANGES}, CONSTRAINT c UNIQUE (r, d WITHOUT OVERLAPS))",
        lambda: helpers.create_unique_constraint("c", "p", ["r", "d"]),
    ),
    "table with a key in time": (
        18,
        f"CREATE TABLE p ({RANGES}, CONSTRAINT c PRIMARY KEY (r, d WITHOUT OVERLAPS))",
        lambda: helpers.create_table(
            "p",
            sa.Column("r", INT4RANGE, nullable=False),
            sa.Column("d", DATERANGE, nullable=False),
            sa.PrimaryKeyConstraint("r", "d", name="c"),
        ),
    ),
    "unique with nulls": (
        15,
        "ALTER TABLE t ADD CONSTRAINT c UNIQUE NULLS NOT DISTINCT (a)",
        lambda: helpers.create_unique_constraint("c", "t", ["a"]),
    ),
    "unique deferrable": (
        15,
        "ALTER TABLE t ADD CONSTRAINT c UNIQUE (a) DEFERRABLE",
        lambda: helpers.create_unique_constraint("c", "t", ["a"]),
    ),
    "primary key deferrable": (
        15,
        "CREATE TABLE p (a INTEGER, CONSTRAINT c PRIMARY KEY (a) DEFERRABLE INITIALLY DEFERRED)",
        lambda: helpers.create_primary_key("c", "p", ["a"]),
    ),
    "primary key with more": (
        15,
        "CREATE TABLE p (a INTEGER, b INTEGER, CONSTRAINT c PRIMARY KEY (a) INCLUDE (b))",
        lambda: helpers.create_primary_key("c", "p", ["a"]),
    ),
    "column not null for new rows": (
        18,
        "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID",
        lambda: helpers.add_column("t", sa.Column("a", sa.Integer, nullable=False)),
    ),
    "check with the name of a not null": (
        18,
        "ALTER TABLE t ADD CONSTRAINT c NOT NULL a",
        lambda: helpers.create_check_constraint("c", "t", "a > 0"),
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_create_conflicts_when_the_server_has_more_of_it(bind: sa.Connection, what: str) -> None:
    version, there, act = OTHERS[what]
    require(bind, version)
    run(bind, there)
    follow(assert_conflict(act))
    if what == "foreign key in time":  # the key that it refers to takes no other
        return
    outcome = outcome_of(act)
    assert outcome.error is None, outcome
    assert_skipped(act)


def test_create_foreign_key_to_a_key_in_time_says_how_to_have_one(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, f"CREATE TABLE p ({RANGES}, PRIMARY KEY (r, d WITHOUT OVERLAPS))")
    run(bind, f"CREATE TABLE q ({RANGES})")
    with pytest.raises(helpers.DatabaseRefused) as raised:
        helpers.create_foreign_key("c", "q", "p", ["r", "d"], ["r", "d"])
    for _ in range(2):
        follow(str(raised.value))
    assert rows(bind, "SELECT conperiod FROM pg_constraint WHERE conname = 'c'") == [(True,)]


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [("VIRTUAL", None, True), ("VIRTUAL", True, False), ("STORED", None, False)],
)
def test_add_column_tells_virtual_from_stored(
    bind: sa.Connection, there: str, wanted: bool | None, same: bool
) -> None:
    require(bind, 18)
    run(bind, f"ALTER TABLE t ADD g INTEGER GENERATED ALWAYS AS (a + 1) {there}")

    def act() -> None:
        helpers.add_column("t", sa.Column("g", sa.Integer, sa.Computed("a + 1", persisted=wanted)))

    if not same:
        follow(assert_conflict(act))
        assert_applied(act)
    assert_skipped(act)


def test_create_index_on_a_virtual_column_says_how_to_have_one(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, "ALTER TABLE t ADD g INTEGER GENERATED ALWAYS AS (a + 1) VIRTUAL")
    with pytest.raises(helpers.DatabaseRefused, match="persisted=True"):
        helpers.create_index("ix", "t", ["g"])


def test_alter_column_validates_a_not_null_for_new_rows(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID")
    outcome = outcome_of(lambda: helpers.alter_column("t", "a", nullable=False))
    assert (outcome.error, outcome.decisions) == (None, {"apply"}), outcome
    assert rows(bind, "SELECT convalidated FROM pg_constraint WHERE conname = 'c'") == [(True,)]
    assert_skipped(lambda: helpers.alter_column("t", "a", nullable=False))


def test_alter_column_takes_a_not_null_for_new_rows_away(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID")
    assert_applied(lambda: helpers.alter_column("t", "a", nullable=True))


def test_alter_column_concurrently_validates_a_not_null_for_new_rows(database: Database) -> None:
    with revision(database) as bind:
        require(bind, 18)
        run(bind, "CREATE TABLE t (a INTEGER)")
        run(bind, "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID")
        helpers.alter_column("t", "a", nullable=False, postgresql_concurrently=True)
        assert rows(bind, "SELECT conname::text, convalidated FROM pg_constraint") >= [("c", True)]
        assert_skipped(lambda: helpers.alter_column("t", "a", nullable=False))


def test_validate_constraint_validates_a_not_null(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID")
    outcome = outcome_of(lambda: helpers.validate_constraint("c", "t"))
    assert (outcome.error, outcome.decisions) == (None, {"apply"}), outcome
    assert_skipped(lambda: helpers.validate_constraint("c", "t"), "valid already")


def test_validate_constraint_refuses_one_that_is_not_enforced(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED")
    message = assert_unsafe(lambda: helpers.validate_constraint("c", "t"), "NOT ENFORCED")
    follow(message)
    assert_missing_parent(lambda: helpers.validate_constraint("c", "t"))


def test_drop_constraint_drops_a_not_null_by_its_name(bind: sa.Connection) -> None:
    require(bind, 18)
    run(bind, "ALTER TABLE t ADD CONSTRAINT c NOT NULL a")
    assert_applied(lambda: helpers.drop_constraint("c", "t"))
    assert_skipped(lambda: helpers.drop_constraint("c", "t"))


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_create_unique_skips_when_an_option_is_another_servers(database: Database) -> None:
    with revision(database) as bind:
        run(bind, "CREATE TABLE t (a INTEGER)")
        kw: dict[str, Any] = {"postgresql_nulls_not_distinct": database.name != "postgresql"}
        assert_applied(lambda: helpers.create_unique_constraint("u", "t", ["a"], **kw))
        assert_skipped(lambda: helpers.create_unique_constraint("u", "t", ["a"], **kw))


@pytest.mark.databases("sqlite", "postgresql", "mariadb", "mysql")
def test_alter_column_says_to_fill_what_a_generated_column_comes_from(database: Database) -> None:
    with revision(database) as bind:
        generated = "g INTEGER GENERATED ALWAYS AS (a + 1) STORED"
        run(bind, f"CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, {generated})")
        run(bind, "INSERT INTO t (id) VALUES (1)")
        kw: dict[str, Any] = {"nullable": False, "existing_type": sa.Integer()}
        outcome = outcome_of(lambda: helpers.alter_column("t", "g", **kw))
        assert outcome.error is not None
        said = "fill what g is computed from: GENERATED"
        if database.name == "mariadb":
            said = "helpers.create_check_constraint('ck_t_g', 't', '`g` IS NOT NULL')  # instead"
        assert said in str(outcome.error), outcome
