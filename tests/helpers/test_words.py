"""What the verbs say: where the call is, what was done, which thing, and what may be meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from alembic_toolkit.messages import printable
from tests.databases import Database
from tests.helpers.conftest import Load
from tests.helpers.vocabulary import (
    assert_conflict,
    assert_missing_parent,
    heard,
    outcome_of,
    prepare,
    revision,
    way_on,
)

TABLES = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(40), name VARCHAR(40))",
    "CREATE TABLE bills (id INTEGER PRIMARY KEY, title VARCHAR(40))",
)


# What was done


def test_verbs_say_in_words_what_they_did(database: Database) -> None:
    prepare(database, *TABLES)
    with revision(database), heard() as lines:
        helpers.add_column("bills", sa.Column("due", sa.Date()))
        helpers.create_index("ix_bills_due", "bills", ["due"])
        helpers.create_unique_constraint("uq_bills_title", "bills", ["title"])
        helpers.alter_column("bills", "due", nullable=False, existing_type=sa.Date())
        helpers.alter_column("bills", "title", new_column_name="description")
        helpers.drop_index("ix_bills_due", "bills")
        helpers.drop_constraint("uq_bills_title", "bills", type_="unique")
        helpers.drop_column("bills", "due")
        helpers.create_table("payments", sa.Column("id", sa.Integer(), primary_key=True))
        helpers.rename_table("payments", "paid")
        helpers.create_view("all_bills", "SELECT id FROM bills")
        helpers.drop_view("all_bills")
        helpers.drop_table("paid")
    assert [line.partition(": was ")[0] for line in lines] == [
        "added column bills.due",
        "created index ix_bills_due on bills",
        "created unique constraint uq_bills_title on bills",
        "altered column bills.due",
        "renamed bills.title to description",
        "dropped index ix_bills_due of bills",
        "dropped unique constraint uq_bills_title of bills",
        "dropped column bills.due",
        "created table payments",
        "renamed table payments to paid",
        "created view all_bills",
        "dropped view all_bills",
        "dropped table paid",
    ]
    assert re.search("was .*date.*NULL", lines[3], re.I)


@pytest.mark.databases("postgresql", "mariadb", "mysql", "sqlite")
def test_lines_and_messages_name_the_schema(database: Database, other_schema: str) -> None:
    prepare(database, f"CREATE TABLE {other_schema}.users (id INTEGER PRIMARY KEY, email TEXT)")
    email = sa.Column("email", sa.Integer())
    with revision(database):
        with heard() as lines:
            helpers.add_column("users", sa.Column("age", sa.Integer()), schema=other_schema)
            helpers.create_index("ix_age", "users", ["age"], schema=other_schema)
            helpers.create_index("ix_age", "users", ["age"], schema=other_schema)
            helpers.create_table("t", sa.Column("id", sa.Integer()), schema=other_schema)
        message = assert_conflict(lambda: helpers.add_column("users", email, schema=other_schema))
        missing = assert_missing_parent(
            lambda: helpers.create_index("ix", "usrs", ["id"], schema=other_schema)
        )
        neither = assert_conflict(
            lambda: helpers.alter_column("users", "a", new_column_name="b", schema=other_schema)
        )
    assert lines == [
        f"added column {other_schema}.users.age",
        f"created index ix_age on {other_schema}.users",
        f"skip create_index ix_age on {other_schema}.users: already there, same definition",
        f"created table {other_schema}.t",
    ]
    assert message.startswith(f"add_column('{other_schema}.users', 'email'): ")
    assert f"there is no table '{other_schema}.usrs'. Did you mean 'users'?" in missing
    assert neither.startswith(f"alter_column('{other_schema}.users', 'a', new_column_name='b'): ")
    assert f"schema={other_schema!r}" in "\n".join(way_on(neither))


def test_verb_that_fails_does_not_say_that_it_acted(database: Database) -> None:
    prepare(database, *TABLES, "INSERT INTO users VALUES (1, 'a', 'x'), (2, 'a', 'x')")
    with heard() as lines, pytest.raises(Exception), revision(database):  # noqa: B017, PT011
        helpers.create_unique_constraint("uq_users_email", "users", ["email"])
    assert lines == []


# Where it was asked for


def test_refusal_names_file_and_line_of_the_call(
    database: Database, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database, *TABLES)
    upgrade = load(
        "op.get_bind()\nop.add_column(\n    'bills', sa.Column('title', sa.Integer())\n)"
    )
    monkeypatch.chdir(Path(__file__).parent)  # from where the way to the revision is longer
    with revision(database):
        assert f"{tmp_path}/revision.py:10: add_column(" in assert_conflict(upgrade)
        monkeypatch.chdir(tmp_path)
        assert assert_conflict(upgrade).startswith("revision.py:10: add_column(")


def test_refusal_in_a_batch_names_the_line_of_the_verb(database: Database, load: Load) -> None:
    prepare(database, *TABLES)
    upgrade = load(
        "with op.batch_alter_table('bills') as batch:\n"
        "    batch.add_column(sa.Column('due', sa.Date()))\n"
        "    batch.alter_column('titel', nullable=False, existing_type=sa.String(40))\n"
        "    batch.drop_column('id')"
    )
    with revision(database):
        outcome = outcome_of(upgrade)
    assert "revision.py:11: alter_column('bills', 'titel')" in str(outcome.error)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "call",
    [
        "op.execute('UPDATE users SET id = :x')",
        "op.execute('SELECT 1', once='a', unless='SELECT 1')",
        "op.irreversible('why')",
        "op.execute_file('not_there.sql')",
        "op.backfill('users', {}, where='1')",
        "op.bulk_insert(sa.table('users', sa.column('id')), [{}], key=['id'])",
        "op.bulk_insert(sa.table('none', sa.column('id')), [{'id': 1}], key=['id'])",
        "op.drop_constraint(None, 'users', type_='unique')",
    ],
)
def test_every_refusal_names_file_and_line(call: str, database: Database, load: Load) -> None:
    prepare(database, *TABLES)
    with revision(database):
        outcome = outcome_of(load(f"\n{call}"))
    assert re.match(r"\S*revision\.py:10: ", str(outcome.error)), outcome


# What may be meant

Miss = Callable[[], Any]
NEAR: dict[str, tuple[Miss, str]] = {
    "a table": (lambda: helpers.add_column("bill", sa.Column("n", sa.Integer())), "bills"),
    "a referred table": (
        lambda: helpers.create_foreign_key("fk", "bills", "usres", ["id"], ["id"]),
        "users",
    ),
    "a column": (
        lambda: helpers.alter_column("users", "emial", nullable=False, existing_type=sa.Text()),
        "email",
    ),
    "a column of a backfill": (
        lambda: helpers.backfill("users", {"nmae": "x"}, where="name IS NULL"),
        "name",
    ),
    "a key": (
        lambda: helpers.bulk_insert(
            sa.table("users", sa.column("emall")), [{"emall": "x"}], key=["emall"]
        ),
        "email",
    ),
}


@pytest.mark.parametrize("case", NEAR)
def test_refusal_asks_for_what_is_near(case: str, database: Database) -> None:
    prepare(database, *TABLES)
    miss, near = NEAR[case]
    with revision(database):
        assert f" Did you mean {near!r}?" in assert_missing_parent(miss)


def test_refusal_asks_for_nothing_where_nothing_is_near(database: Database) -> None:
    prepare(database, *TABLES)
    with revision(database):
        message = assert_missing_parent(lambda: helpers.create_index("ix", "quarks", ["id"]))
    assert "Did you mean" not in message


# What reaches the terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é and 漢字", "plain, é and 漢字"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b31m\u202e\u2028", "\\x9b31m\\u202e\\u2028"),
        ("\udc80", "\\udc80"),
    ],
)
def test_printable_escapes_what_a_terminal_obeys(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_messages_and_lines_show_what_is_in_the_database_escaped(database: Database) -> None:
    evil = "\x1b]0;x\x07\nINFO  all is well"
    quoted = database.engine.dialect.identifier_preparer.quote_identifier(evil)
    default = "'" + evil + "'"
    prepare(
        database,
        f"CREATE TABLE users (id INTEGER PRIMARY KEY, n VARCHAR(40) DEFAULT {default})",
        f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY)",
    )
    with revision(database):
        message = assert_conflict(lambda: helpers.add_column("users", sa.Column("n", sa.Text())))
        with heard() as lines:
            helpers.drop_table(evil)
    for line in (*message.splitlines(), *lines):
        assert line.isprintable(), line
    assert not any(line.startswith("INFO") for line in message.splitlines())
