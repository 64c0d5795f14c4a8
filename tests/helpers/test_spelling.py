"""The same thing, spelled otherwise: defaults in any form, names in any case, quoted or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    assert_unsafe,
    prepare,
    revision,
    rows,
    run,
)

DEFAULTS: dict[str, Any] = {
    "now() at time zone 'utc'": sa.DateTime(),
    "1 IN (1, 2)": sa.Boolean(),
    "NOT true": sa.Boolean(),
    "true AND false": sa.Boolean(),
    "1 IS NULL": sa.Boolean(),
    "'a' LIKE 'b'": sa.Boolean(),
    "1 BETWEEN 0 AND 2": sa.Boolean(),
    "current_timestamp -- of the server": sa.DateTime(),
}


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("default", DEFAULTS)
def test_alter_column_takes_any_expression_as_a_default(database: Database, default: str) -> None:
    with revision(database):
        helpers.create_table("bills", sa.Column("c", DEFAULTS[default]))

        def alter() -> None:
            helpers.alter_column("bills", "c", server_default=sa.text(default))

        assert_applied(alter)
        assert_skipped(alter)
        assert_skipped(
            lambda: helpers.add_column(
                "bills", sa.Column("c", DEFAULTS[default], server_default=sa.text(default))
            )
        )


@pytest.mark.databases("postgresql")
def test_verbs_confirm_what_is_there_when_the_server_quotes_all_identifiers(
    database: Database,
) -> None:
    def create() -> None:
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("t", sa.Text(), server_default=sa.text("upper('a')")),
            sa.Column("k", sa.BigInteger(), server_default="5"),
            sa.Column("n", sa.String(9), server_default="x"),
            sa.CheckConstraint("k > 0", name="ck"),
            sa.Index("ix", sa.text("upper(t)")),
        )

    for first, then in (("on", "on"), ("off", "on"), ("on", "off")):
        with revision(database) as connection:
            run(connection, f"SET LOCAL quote_all_identifiers = {first}")
            assert_applied(create)
            run(connection, f"SET LOCAL quote_all_identifiers = {then}")
            assert_skipped(create)
            assert_skipped(
                lambda: helpers.alter_column("bills", "k", server_default=sa.text("'5'::bigint"))
            )
            connection.rollback()


BILLS = "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(30) NOT NULL, n INTEGER)"


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_create_table_confirms_a_column_whose_name_is_in_another_case(database: Database) -> None:
    prepare(database, BILLS)
    with revision(database):
        for name in ("Name", "NAME", "name"):
            assert_skipped(
                lambda name=name: helpers.create_table(  # type: ignore[misc]
                    "bills",
                    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
                    sa.Column(name, sa.String(30), nullable=False),
                )
            )


@pytest.mark.databases("sqlite")
def test_backfill_finds_a_table_whose_name_is_in_another_case(database: Database) -> None:
    prepare(database, BILLS, "INSERT INTO bills (id, name) VALUES (1, 'a')")
    with revision(database) as connection:
        helpers.backfill("BILLS", {"N": 5}, where="N IS NULL")
        assert rows(connection, "SELECT n FROM bills") == [(5,)]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("tail", ["STRICT", "WITHOUT ROWID", "STRICT, WITHOUT ROWID"])
@pytest.mark.parametrize("comment", ["-- of ( all\n", "/* ) */"])
def test_verbs_read_a_generated_column_beside_options_and_a_comment(
    database: Database, tail: str, comment: str
) -> None:
    prepare(
        database,
        f"CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, {comment} n INTEGER,"
        f" g INTEGER GENERATED ALWAYS AS (n * 2) {comment}, s TEXT) {comment} {tail}",
        "INSERT INTO bills (id) VALUES (1)",
    )
    with revision(database) as connection:
        assert_skipped(lambda: helpers.add_column("bills", sa.Column("s", sa.Text())))
        assert_applied(lambda: helpers.alter_column("bills", "s", server_default="x"))
        helpers.backfill("bills", {"n": 4}, where="n IS NULL")
        assert rows(connection, "SELECT g FROM bills") == [(8,)]
        assert_skipped(
            lambda: helpers.create_table(
                "bills",
                sa.Column("id", sa.Integer(), primary_key=True),
                sa.Column("n", sa.Integer()),
                sa.Column("g", sa.Integer(), sa.Computed("n * 2")),
            )
        )


VIRTUAL: dict[str, Callable[[], Any]] = {
    "add_column": lambda: helpers.add_column("words", sa.Column("x", sa.Integer())),
    "alter_column": lambda: helpers.alter_column("words", "title", nullable=False),
    "rename": lambda: helpers.alter_column("words", "title", new_column_name="head"),
    "create_index": lambda: helpers.create_index("ix", "words", ["title"]),
    "create_unique": lambda: helpers.create_unique_constraint("uq", "words", ["title"]),
    "drop_column": lambda: helpers.drop_column("words", "title"),
}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("verb", VIRTUAL)
def test_verb_refuses_in_words_to_change_a_virtual_table(database: Database, verb: str) -> None:
    prepare(database, "CREATE VIRTUAL TABLE words USING fts5(title, body)")
    with revision(database):
        assert_unsafe(VIRTUAL[verb], "is a virtual table")
        assert_conflict(
            lambda: helpers.create_table("words", sa.Column("title", sa.Text())), "virtual table"
        )


@pytest.mark.databases("sqlite")
def test_a_rebuild_names_the_rows_whose_parents_are_not_there(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE users (id INTEGER PRIMARY KEY)",
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, by INTEGER REFERENCES users (id), n INTEGER)",
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO bills VALUES (7, 99, NULL)",
    )
    with revision(database):
        message = assert_unsafe(
            lambda: helpers.alter_column("bills", "n", type_=sa.Text()), "1 of them"
        )
        assert "rowid 7 (no row of users)" in message


@pytest.mark.databases("sqlite", "mariadb")
def test_conflict_tells_of_a_column_that_is_spelled_in_another_case(database: Database) -> None:
    prepare(database, "CREATE TABLE bills (name VARCHAR(9) NOT NULL)")
    with revision(database), pytest.raises(helpers.SchemaConflict) as refused:
        helpers.create_table("bills", sa.Column("Name", sa.String(20), nullable=False))
    assert "(none)" not in str(refused.value)
    assert "helpers.alter_column('bills', 'Name', type_=sa.String(length=20)" in str(refused.value)


@pytest.mark.databases("mariadb", "postgresql")
def test_add_column_numbers_the_rows_when_it_is_an_identity(database: Database) -> None:
    prepare(database, "CREATE TABLE bills (n INTEGER)", "INSERT INTO bills VALUES (5), (6)")
    key = sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True)
    with revision(database) as connection:
        helpers.add_column("bills", key._copy())
        assert rows(connection, "SELECT id FROM bills ORDER BY n") == [(1,), (2,)]
    with revision(database):
        assert_skipped(lambda: helpers.add_column("bills", key._copy()))


@pytest.mark.databases("sqlite", "mariadb", "mysql")
@pytest.mark.parametrize("way", ["online", "script"])
def test_altered_column_keeps_its_name_as_it_is_spelled(way: str, database: Database) -> None:
    if (way, database.name) == ("script", "sqlite"):
        pytest.skip("SQLite has no such script")
    prepare(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, `Am ount` INTEGER)")

    def act() -> None:
        helpers.alter_column("t", "AM OUNT", type_=sa.Text(), nullable=True)
        helpers.alter_column("t", "am ount", server_default=None, comment="owed")

    for _ in range(2):
        if way == "script":
            run_with_client(database, written(database, act))
        else:
            with revision(database):
                act()
    columns = sa.inspect(database.engine).get_columns("t")
    assert [(c["name"], str(c["type"])[:4]) for c in columns[1:]] == [("Am ount", "TEXT")]


@pytest.mark.databases("sqlite")
def test_rebuilt_table_goes_on_counting_when_it_is_spelled_otherwise(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE Bills (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER)",
        "INSERT INTO Bills (id) VALUES (7)",
        "DELETE FROM Bills",
    )
    with revision(database):
        helpers.alter_column("BILLS", "n", type_=sa.Text())
    prepare(database, "INSERT INTO Bills (n) VALUES (1)")
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT id FROM Bills") == [(8,)]
        assert rows(connection, "SELECT name, seq FROM sqlite_sequence") == [("Bills", 8)]
