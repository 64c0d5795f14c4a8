"""What to do next is true: the code of a refusal, pasted before the call, makes it succeed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import follow, prepare, revision

USERS = (
    "CREATE TABLE users (id INTEGER NOT NULL, email VARCHAR(40) NOT NULL, n INTEGER,"
    " CONSTRAINT pk_users PRIMARY KEY (id))"
)
BARE = "CREATE TABLE users (id INTEGER PRIMARY KEY NOT NULL, email VARCHAR(40) NOT NULL)"
ALL = ("sqlite", "postgresql", "mariadb", "mysql")


@dataclass
class Case:
    """A verb that is refused, and the tables for which it is."""

    before: tuple[str, ...]
    act: Callable[[], Any]
    servers: tuple[str, ...] = ALL
    instead: bool = False  # the code is for this line, not before it


def key() -> None:
    helpers.create_primary_key("pk_email", "users", ["email"])


CASES: dict[str, Case] = {
    "a key of another name": Case((USERS,), key),
    "a key without a name": Case((BARE,), key, ("sqlite",), instead=True),
    "a key without a name, elsewhere": Case((BARE,), key, ("postgresql", "mariadb", "mysql")),
    "an index named as its table": Case(
        (USERS,),
        lambda: helpers.create_index("users", "users", ["n"]),
        ("postgresql", "sqlite"),
        instead=True,
    ),
    "a constraint of another kind": Case(
        (USERS, "ALTER TABLE users ADD CONSTRAINT ck UNIQUE (n)"),
        lambda: helpers.create_check_constraint("ck", "users", "n > 0"),
        ("postgresql", "mariadb", "mysql"),
    ),
    "another index": Case(
        (USERS, "CREATE INDEX ix ON users (email)"),
        lambda: helpers.create_index("ix", "users", ["n"]),
    ),
    "another unique key": Case(
        (USERS, "ALTER TABLE users ADD CONSTRAINT uq UNIQUE (email)"),
        lambda: helpers.create_unique_constraint("uq", "users", ["n"]),
        ("postgresql", "mariadb", "mysql"),
    ),
    "another column": Case(
        (USERS,), lambda: helpers.add_column("users", sa.Column("n", sa.BigInteger()))
    ),
    "another view": Case(
        (USERS, "CREATE VIEW v AS SELECT id FROM users"),
        lambda: helpers.create_view("v", "SELECT id, n FROM users"),
        ("sqlite", "postgresql"),
    ),
    "a view in the place of a table": Case(
        (USERS, "CREATE VIEW v AS SELECT id FROM users"),
        lambda: helpers.create_table("v", sa.Column("id", sa.Integer())),
    ),
    "a view on the column": Case(
        (USERS, "CREATE VIEW v AS SELECT n FROM users"),
        lambda: helpers.alter_column("users", "n", type_=sa.BigInteger()),
        ("postgresql",),
    ),
    "a trigger on the column": Case(
        (
            USERS,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
            "CREATE TRIGGER t AFTER UPDATE OF n ON users FOR EACH ROW EXECUTE FUNCTION f()",
        ),
        lambda: helpers.drop_column("users", "n"),
        ("postgresql",),
    ),
    "a generated column": Case(
        (USERS, "ALTER TABLE users ADD m INTEGER GENERATED ALWAYS AS (n * 2) STORED"),
        lambda: helpers.alter_column("users", "n", type_=sa.BigInteger()),
        ("postgresql",),
    ),
    "a default of another type": Case(
        (USERS, "ALTER TABLE users ALTER email SET DEFAULT 'x'"),
        lambda: helpers.alter_column(
            "users", "email", type_=sa.Integer(), postgresql_using="length(email)"
        ),
        ("postgresql",),
    ),
    "a serial": Case(
        ("CREATE TABLE users (id SERIAL PRIMARY KEY)",),
        lambda: helpers.alter_column("users", "id", server_default=sa.Identity()),
        ("postgresql",),
    ),
    "a foreign key on the column": Case(
        (
            USERS,
            "CREATE TABLE bills (u INTEGER, CONSTRAINT fk FOREIGN KEY (u) REFERENCES users (id))",
        ),
        lambda: helpers.alter_column(
            "users", "id", type_=sa.BigInteger(), existing_type=sa.Integer(), nullable=False
        ),
        ("mariadb", "mysql"),
    ),
    "a foreign key's name": Case(
        (
            USERS,
            "CREATE TABLE bills (u INTEGER, CONSTRAINT fk FOREIGN KEY (u) REFERENCES users (id))",
            "CREATE TABLE other (u INTEGER)",
        ),
        lambda: helpers.create_foreign_key("fk", "other", "users", ["u"], ["id"]),
        ("mariadb", "mysql"),
        instead=True,
    ),
    "no cast": Case(
        (USERS, "INSERT INTO users VALUES (1, '7', 1)"),
        lambda: helpers.alter_column("users", "email", type_=sa.Integer()),
        ("postgresql",),
        instead=True,
    ),
}
COUNTING = "CREATE TABLE t (id INTEGER AUTO_INCREMENT PRIMARY KEY, n INTEGER)"
CASES |= {
    "a key of the column that counts": Case(
        (COUNTING,),
        lambda: helpers.drop_constraint("PRIMARY", "t", type_="primary"),
        ("mariadb", "mysql"),
    ),
    "a column that counts, for another": Case(
        (COUNTING,),
        lambda: helpers.add_column(
            "t", sa.Column("id", sa.Integer, server_default="5", nullable=False)
        ),
        ("mariadb", "mysql"),
    ),
    "a check's name, of the whole database": Case(
        (USERS, "CREATE TABLE other (n INTEGER, CONSTRAINT ck CHECK (n > 0))"),
        lambda: helpers.create_check_constraint("ck", "users", "n > 0"),
        ("mysql",),
        instead=True,
    ),
    "a column that is no key, for one that counts": Case(
        ("CREATE TABLE t (n INTEGER, id INTEGER)",),
        lambda: helpers.add_column("t", sa.Column("id", sa.Integer, primary_key=True)),
        ("mariadb", "mysql"),
    ),
    "a default, for a column that counts": Case(
        ("CREATE TABLE t (n INTEGER, id INTEGER NOT NULL DEFAULT 5 PRIMARY KEY)",),
        lambda: helpers.add_column("t", sa.Column("id", sa.Integer, primary_key=True)),
        ("mariadb", "mysql"),
    ),
    "a table without its key, for one that counts": Case(
        ("CREATE TABLE t (n INTEGER, id INTEGER DEFAULT 5)",),
        lambda: helpers.create_table(
            "t", sa.Column("n", sa.Integer), sa.Column("id", sa.Integer, primary_key=True)
        ),
        ("mariadb", "mysql"),
    ),
    "a table without the column that counts": Case(
        ("CREATE TABLE t (n INTEGER)",),
        lambda: helpers.create_table(
            "t", sa.Column("n", sa.Integer), sa.Column("id", sa.Integer, primary_key=True)
        ),
        ("mariadb", "mysql"),
    ),
    "a generated column in the place of the one that counts": Case(
        ("CREATE TABLE t (n INTEGER, id INTEGER GENERATED ALWAYS AS (n + 1) STORED)",),
        lambda: helpers.create_table(
            "t", sa.Column("n", sa.Integer), sa.Column("id", sa.Integer, primary_key=True)
        ),
        ("mariadb", "mysql"),
    ),
    "a default that is said as SQL": Case(
        (USERS,),
        lambda: helpers.alter_column(
            "users",
            "n",
            type_=sa.BigInteger(),
            existing_type=sa.Integer(),
            existing_server_default=sa.text("(1 + 8)"),
        ),
        ("mariadb", "mysql"),
    ),
    "a default that is said with quotes of its own": Case(
        (USERS,),
        lambda: helpers.alter_column(
            "users",
            "email",
            type_=sa.String(50),
            existing_type=sa.String(40),
            existing_nullable=False,
            existing_server_default="'x'",
        ),
        ("mariadb", "mysql"),
    ),
    "a default that only the new type can have": Case(
        (USERS,),
        lambda: helpers.alter_column(
            "users",
            "n",
            type_=sa.String(40),
            existing_type=sa.String(20),
            existing_server_default="x",
        ),
        ("mariadb", "mysql"),
    ),
    "what counts and is said not to": Case(
        (COUNTING,),
        lambda: helpers.alter_column(
            "t", "id", type_=sa.BigInteger(), existing_server_default="5", existing_nullable=False
        ),
        ("mariadb", "mysql"),
    ),
}
MATRIX = [
    pytest.param(server, name, id=f"{name}-{server}")
    for name, case in CASES.items()
    for server in case.servers
]


@pytest.mark.parametrize(("server", "name"), MATRIX)
def test_advice_makes_the_verb_succeed_twice(
    server: str, name: str, new_database: Callable[[str], Database], caplog: Any
) -> None:
    caplog.set_level("INFO")
    database, case = new_database(server), CASES[name]
    prepare(database, *case.before)
    with pytest.raises(CommandError) as refused, revision(database):
        case.act()
    message = str(refused.value)
    assert "DefaultImpl" not in caplog.text  # the context in which Alembic writes the code
    for _ in range(2):
        with revision(database):
            follow(message)
            if not case.instead:
                case.act()
