"""A call that cannot be: Python's, SQLAlchemy's and the server's no, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    follow,
    prepare,
    revision,
    rows,
)

Act = Callable[[], Any]
any_of: Any = helpers  # calls that a type checker refuses, too
USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY NOT NULL, n INTEGER, email VARCHAR(30))"
A = sa.Column("a", sa.Integer())

MISSPELT: dict[str, tuple[Act, str]] = {
    "postgresql_concurrently": (
        lambda: any_of.add_column("users", A, postgresql_concurently=True),
        "postgresql_concurrently",
    ),
    "schema": (lambda: any_of.rename_table("users", "people", shema="crm"), "schema"),
    "type_": (lambda: any_of.drop_constraint("uq", "users", type="unique"), "type_"),
    "existing_comment": (
        lambda: any_of.create_table_comment("users", "c", exisitng_comment="x"),
        "existing_comment",
    ),
    "batch_size": (lambda: any_of.backfill("users", {"n": 1}, batchsize=10), "batch_size"),
    "recreate": (lambda: any_of.batch_alter_table("users", recreat="always"), "recreate"),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_verb_refuses_a_call_when_a_parameter_is_misspelt(name: str) -> None:
    act, meant = MISSPELT[name]
    with pytest.raises(CommandError, match=rf"no keyword \w+\. Did you mean {meant}\?"):
        act()


@pytest.mark.databases("sqlite")
def test_batch_refuses_a_call_when_a_parameter_is_misspelt(database: Database) -> None:
    prepare(database, USERS)

    def act() -> None:
        with helpers.batch_alter_table("users") as batch:
            batch.drop_column("n")
            batch_: Any = batch
            batch_.add_column(A, insert_afte="n")

    with revision(database) as connection:
        with pytest.raises(CommandError, match=r"no keyword insert_afte\. Did you mean insert_aft"):
            act()
        assert "n" in {column["name"] for column in sa.inspect(connection).get_columns("users")}


def test_verb_refuses_a_call_when_an_argument_is_missing() -> None:
    with pytest.raises(CommandError, match="missing a required argument: 'columns'"):
        any_of.create_index("ix", "users")


IMPOSSIBLE: dict[str, tuple[Act, str]] = {
    "a text for a column": (lambda: any_of.add_column("users", "a"), r"sa\.Column\('a'"),
    "a text for a type": (lambda: any_of.alter_column("users", "n", type_="text"), r"sa\.Text\(\)"),
    "a column without a type": (lambda: helpers.add_column("users", sa.Column("a")), "NullType"),
    "a key over no column": (
        lambda: helpers.create_table("x", sa.Column("id", sa.Integer()), sa.UniqueConstraint("i")),
        "no column named 'i'",
    ),
}


@pytest.mark.databases("sqlite", "postgresql", "mariadb", "mysql")
@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_verb_refuses_in_words_when_sqlalchemy_cannot_write_it(
    database: Database, name: str
) -> None:
    act, said = IMPOSSIBLE[name]
    prepare(database, USERS)
    with revision(database), pytest.raises(CommandError, match=said) as caught:
        act()
    assert "What to do next:" in str(caught.value)


LOOKS: dict[str, tuple[Act, tuple[str, ...]]] = {
    "a default": (
        lambda: helpers.add_column("users", sa.Column("n", sa.Integer(), server_default="abc")),
        ("postgresql", "mariadb", "mysql"),
    ),
    "an altered default": (
        lambda: helpers.alter_column("users", "n", server_default="abc"),
        ("postgresql", "mariadb", "mysql"),
    ),
    "a check": (
        lambda: helpers.create_table(
            "users", sa.Column("id", sa.Integer(), primary_key=True), sa.CheckConstraint("nope > 1")
        ),
        ("sqlite", "postgresql", "mariadb", "mysql"),
    ),
    "an index": (
        lambda: helpers.create_index("ix", "users", [sa.text("nope(n)")]),
        ("postgresql",),
    ),
    "a view": (
        lambda: helpers.replace_view("v", "SELEC 1"),
        ("sqlite", "postgresql", "mariadb", "mysql"),
    ),
}


@pytest.mark.databases("sqlite", "postgresql", "mariadb", "mysql")
@pytest.mark.parametrize("name", LOOKS)
def test_verb_refuses_in_words_when_the_server_refuses_the_look(
    database: Database, name: str
) -> None:
    act, servers = LOOKS[name]
    if database.name not in servers:
        pytest.skip("this server says nothing of it, or says it when it acts")
    prepare(database, USERS, "CREATE INDEX ix ON users (n)", "CREATE VIEW v AS SELECT 1 AS a")
    with revision(database), pytest.raises(helpers.DatabaseRefused) as caught:
        act()
    assert "What to do next:" in str(caught.value)
    assert "_alembic_scratch" not in str(caught.value)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("default", "wanted"), [("'7'::character varying", "7"), ("'seven'::text", None)]
)
def test_alter_column_says_a_default_that_can_be_when_its_own_cannot(
    database: Database, default: str, wanted: str | None
) -> None:
    prepare(database, USERS, f"ALTER TABLE users ALTER email SET DEFAULT {default}")

    def act() -> None:
        helpers.alter_column("users", "email", type_=sa.Integer(), postgresql_using="length(email)")

    with revision(database) as connection:
        with pytest.raises(helpers.UnsafeOperation) as caught:
            act()
        follow(str(caught.value))
        select = "SELECT column_default FROM information_schema.columns WHERE column_name = 'email'"
        assert rows(connection, select) == [(wanted,)]


# Names of a convention

CONVENTION = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(constraint_name)s"})


@pytest.mark.databases("sqlite", "postgresql", "mariadb", "mysql")
@pytest.mark.parametrize("there", ["ix_users_n", "n", "ix_users_ix_users_n"])
def test_drop_index_drops_it_when_a_convention_writes_its_name(
    database: Database, there: str
) -> None:
    prepare(database, USERS, f"CREATE INDEX {there} ON users (n)")
    given = "n" if there != "ix_users_ix_users_n" else "ix_users_n"
    with revision(database, target_metadata=CONVENTION) as connection:
        assert_applied(lambda: helpers.drop_index(given, "users"))
        assert sa.inspect(connection).get_indexes("users") == []
        assert_skipped(lambda: helpers.drop_index(given, "users"), "not there")


@pytest.mark.databases("sqlite", "postgresql", "mariadb", "mysql")
def test_create_index_skips_when_a_convention_writes_its_name(database: Database) -> None:
    prepare(database, USERS)
    with revision(database, target_metadata=CONVENTION):
        assert_applied(lambda: helpers.create_index("n", "users", ["n"]))
        assert_skipped(lambda: helpers.create_index("n", "users", ["n"]), "same definition")


# Columns that count, on MariaDB and MySQL


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("counts", [True, False])
def test_create_table_says_how_a_column_counts_when_it_does_not_as_wanted(
    database: Database, counts: bool
) -> None:
    more = "" if counts else " AUTO_INCREMENT"
    prepare(database, f"CREATE TABLE users (id INTEGER PRIMARY KEY{more}, n INTEGER)")

    def act() -> None:
        column = sa.Column("id", sa.Integer(), primary_key=True, autoincrement=counts)
        helpers.create_table("users", column, sa.Column("n", sa.Integer()))

    with revision(database):
        message = assert_conflict(act)
        assert message.count(f"autoincrement={counts}") == 1
        follow(message)
        assert_skipped(act)


@pytest.mark.databases("mariadb", "mysql")
def test_add_column_makes_the_key_when_the_column_counts(database: Database) -> None:
    prepare(database, "CREATE TABLE bills (code INTEGER)", "INSERT INTO bills VALUES (7), (8)")

    def act() -> None:
        helpers.add_column("bills", sa.Column("id", sa.Integer(), primary_key=True))

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        assert_skipped(lambda: helpers.create_primary_key("pk", "bills", ["id"]))
        assert rows(connection, "SELECT id FROM bills ORDER BY id") == [(1,), (2,)]
