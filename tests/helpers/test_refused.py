"""What the server itself refuses: in four parts, with the rows that are in the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import difference, heard, prepare, revision, snapshot

Act = Callable[[], Any]
USERS = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(40), age VARCHAR(40), n INTEGER)",
    "CREATE TABLE bills (id INTEGER PRIMARY KEY, user_id INTEGER, amount INTEGER)",
    "INSERT INTO users VALUES (1, 'a', '7', 1), (2, 'a', 'x', 70000), (3, 'b', 'old', 3),"
    " (4, NULL, '9', 4), (5, NULL, '9', 5)",
    "INSERT INTO bills VALUES (1, 1, 5), (2, 77, -1), (3, 78, -2), (4, NULL, 1), (5, 1, 5),"
    " (6, 1, 5)",
    "CREATE TABLE kinds (code VARCHAR(9) NOT NULL, size INTEGER)",
    "INSERT INTO kinds VALUES ('a', 1), ('a', 2), ('b', 1), ('b', NULL)",
)


@dataclass
class Case:
    """A verb that the rows are in the way of."""

    act: Act
    found: str
    wanted: str
    servers: tuple[str, ...] = ("sqlite", "postgresql", "mariadb", "mysql")
    mend: str = ""


def alter(name: str, **more: Any) -> Act:
    return lambda: helpers.alter_column("users", name, **more)


ROWS: dict[str, Case] = {
    "nulls under NOT NULL": Case(
        alter("email", nullable=False, existing_type=sa.String(40)),
        "2 rows in which email is NULL: id = 4, 5",
        "email NOT NULL",
        mend="UPDATE users SET email = '-' WHERE email IS NULL",
    ),
    "no value for a new column": Case(
        lambda: helpers.add_column("users", sa.Column("born", sa.Date(), nullable=False)),
        "5 rows, which have no born: id = 1, 2, 3",
        "born NOT NULL, without a default",
        ("sqlite", "postgresql"),  # MariaDB writes a value of its own, which is none
    ),
    "duplicates under a unique key": Case(
        lambda: helpers.create_unique_constraint("uq", "users", ["email"]),
        "2 rows in which email is one value that another row has: email = 'a'; the first: id = 1",
        "each email once",
    ),
    "duplicates under a unique index": Case(
        lambda: helpers.create_index("uq", "bills", ["user_id", "amount"], unique=True),
        "3 rows in which user_id, amount is one value that another row has:"
        " user_id, amount = (1, 5); the first: id = 1, 5, 6",
        "each user_id, amount once",
        mend="DELETE FROM bills WHERE id > 4",
    ),
    "duplicates under a primary key": Case(
        lambda: helpers.create_primary_key("pk_kinds", "kinds", ["code"]),
        "4 rows in which code is a value that another row has: code = 'a', 'b'; the first:"
        " (code, size) = ('a', 1), ('a', 2)",
        "each code once",
        mend="DELETE FROM kinds",
    ),
    "nulls under a primary key": Case(
        lambda: helpers.create_primary_key("pk_kinds", "kinds", ["code", "size"]),
        "1 row in which size is NULL: (size, code) = (None, 'b')",
        "size NOT NULL",
        ("postgresql", "mariadb", "mysql"),
        mend="DELETE FROM kinds",
    ),
    "duplicates of an expression": Case(
        lambda: helpers.create_index("uq", "users", [sa.text("lower(age)")], unique=True),
        "2 rows in which lower(age) is one value that another row has: lower(age) = '9'",
        "each lower(age) once",
        ("sqlite", "postgresql"),
    ),
    "a bad check": Case(
        lambda: helpers.create_check_constraint("ck", "bills", "amount > 0"),
        "2 rows that violate it: id = 2, 3",
        "CHECK (amount > 0)",
        mend="UPDATE bills SET amount = 1 WHERE NOT (amount > 0)",
    ),
    "orphans": Case(
        lambda: helpers.create_foreign_key("fk", "bills", "users", ["user_id"], ["id"]),
        "2 rows whose user_id is in no row of users: id = 2, 3",
        "(user_id) REFERENCES users (id)",
        ("postgresql", "mariadb", "mysql"),
        mend="UPDATE bills SET user_id = 1 WHERE user_id > 70",
    ),
    "too long": Case(
        alter("age", type_=sa.String(2), existing_type=sa.String(40)),
        "1 row whose age does not fit: id = 3",
        "age VARCHAR(2)",
        ("postgresql", "mariadb", "mysql"),
        mend="UPDATE users SET age = '1'",
    ),
    "a bad cast": Case(
        alter(
            "age",
            type_=sa.Integer(),
            existing_type=sa.String(40),
            postgresql_using="age::integer",
        ),
        "2 rows whose age does not fit: id = 2, 3",
        "age INTEGER",
        ("postgresql", "mariadb", "mysql"),
        mend="UPDATE users SET age = '1'",
    ),
    "out of range": Case(
        alter("n", type_=sa.SmallInteger(), existing_type=sa.Integer()),
        "1 row whose n does not fit: id = 2",
        "n SMALLINT",
        ("postgresql", "mariadb", "mysql"),
        mend="UPDATE users SET n = 1",
    ),
}
MATRIX = [
    pytest.param(server, name, id=f"{name}-{server}")
    for name in ROWS
    for server in ROWS[name].servers
]


@pytest.mark.parametrize(("server", "name"), MATRIX)
def test_refusal_counts_the_rows_in_the_way(
    server: str, name: str, new_database: Callable[[str], Database]
) -> None:
    database, case = new_database(server), ROWS[name]
    prepare(database, *USERS)
    with revision(database) as connection, heard() as lines:
        before = snapshot(connection)
        with pytest.raises(helpers.DatabaseRefused) as refused:
            case.act()
        message = str(refused.value)
        assert difference(before, snapshot(connection)) == []  # and the transaction goes on
    asked, has, wants, why, title, *code = message.splitlines()
    assert asked.endswith(": the database refused it.")
    assert has.startswith(f"  database has:    {case.found}"), has
    assert re.search(r" \(.*\w.*\)$", has), has  # what the server said
    assert wants == f"  revision wants:  {case.wanted}"
    assert why.startswith("Stopped, because ")
    assert title == "What to do next:"
    assert code
    assert "_alembic_tmp_" not in message
    assert lines == []
    assert isinstance(refused.value, sa.exc.DBAPIError)
    assert isinstance(refused.value.__cause__, sa.exc.DBAPIError)
    if case.mend:
        prepare(database, case.mend)
        with revision(database):
            case.act()
            case.act()


UNKNOWN: dict[str, tuple[Act, str, str]] = {
    "of an index": (
        lambda: helpers.create_index("ix", "users", ["emial"]),
        "no column 'emial' in users. Did you mean 'email'?",
        "id, email, age, n",
    ),
    "of a unique key": (
        lambda: helpers.create_unique_constraint("uq", "bills", ["id", "amout"]),
        "no column 'amout' in bills. Did you mean 'amount'?",
        "id, user_id, amount",
    ),
    "of a foreign key": (
        lambda: helpers.create_foreign_key("fk", "bills", "users", ["usr_id"], ["id"]),
        "no column 'usr_id' in bills. Did you mean 'user_id'?",
        "id, user_id, amount",
    ),
    "a foreign key leads to": (
        lambda: helpers.create_foreign_key("fk", "bills", "users", ["user_id"], ["idd"]),
        "no column 'idd' in users. Did you mean 'id'?",
        "id, email, age, n",
    ),
    "a new column leads to": (
        lambda: helpers.add_column(
            "bills", sa.Column("by", sa.Integer(), sa.ForeignKey("users.idd"))
        ),
        "no column 'idd' in users. Did you mean 'id'?",
        "id, email, age, n",
    ),
    "of rows": (
        lambda: helpers.bulk_insert(
            sa.table("users", sa.column("id"), sa.column("emial")),
            [{"id": 9, "emial": "z"}],
            key=["id"],
        ),
        "there is no such column. Did you mean 'email'?",
        "no column emial in users",
    ),
}


def test_column_that_is_not_there_is_named_with_a_suggestion(database: Database) -> None:
    prepare(database, *USERS)
    for act, problem, has in UNKNOWN.values():
        with revision(database):
            with pytest.raises(helpers.MissingParent) as refused:
                act()
            first, second, *_ = str(refused.value).splitlines()
            assert first.endswith(problem)
            assert second == f"  database has:    {has}"
            assert helpers.table_exists("users")  # the transaction goes on


@pytest.mark.databases("sqlite")
def test_check_of_an_unknown_column_advises_to_drop_nothing(database: Database) -> None:
    prepare(database, *USERS)
    with revision(database), pytest.raises(helpers.DatabaseRefused) as refused:
        helpers.create_check_constraint("ck", "bills", "amont > 0")
    assert "no such column: amont" in str(refused.value)
    assert "drop_column" not in str(refused.value)


@pytest.mark.databases("mariadb", "mysql")
def test_dropped_table_is_refused_with_the_keys_of_others(database: Database) -> None:
    child = "CREATE TABLE kids (id INTEGER, CONSTRAINT fk_u FOREIGN KEY (id) REFERENCES users (id))"
    prepare(database, *USERS, child)
    with revision(database), pytest.raises(helpers.DatabaseRefused) as refused:
        helpers.drop_table("users")
    assert "helpers.drop_constraint('fk_u', 'kids', type_='foreignkey')" in str(refused.value)


def test_foreign_key_to_what_is_not_unique_is_told_what_to_make_unique(database: Database) -> None:
    orphans = ["DELETE FROM bills"] if database.name == "sqlite" else []  # it looks at them first
    prepare(database, *USERS, *orphans)
    with (
        revision(database),
        pytest.raises((helpers.DatabaseRefused, helpers.UnsafeOperation)) as refused,
    ):
        helpers.create_foreign_key("fk", "bills", "users", ["amount"], ["n"])
    message = str(refused.value)
    assert "create_unique_constraint('uq_users_n', 'users', ['n'])  # before" in message
    assert " in no row of users" not in message  # no row is at fault


def test_rows_are_not_blamed_for_a_definition(database: Database) -> None:
    prepare(database, *USERS)
    with revision(database), pytest.raises(helpers.DatabaseRefused) as refused:
        helpers.create_index("ix", "users", [sa.text("nope nope")], unique=True)
    assert "no column" not in str(refused.value)
    assert " rows" not in str(refused.value)


@pytest.mark.databases("sqlite")
def test_what_needs_a_dropped_column_is_named_with_the_way_on(database: Database) -> None:
    prepare(
        database,
        *USERS,
        "ALTER TABLE users ADD COLUMN twice INTEGER GENERATED ALWAYS AS (n * 2)",
        "CREATE VIEW v AS SELECT amount FROM bills",
    )
    ways = {("users", "n"): "helpers.drop_column('users', 'twice')"}
    ways["bills", "amount"] = "helpers.drop_view('v')  # before this line; and after it: "
    for (table, column), way in ways.items():
        with revision(database), pytest.raises(helpers.UnsafeOperation) as refused:
            helpers.drop_column(table, column)
        assert way in str(refused.value)
        assert "UPDATE" not in str(refused.value)
