"""What a verb leaves of the transaction that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    counted,
    failing_revision,
    outcome_of,
    prepare,
    revision,
    rows,
    run,
)

TABLES = [
    "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE bills (id INTEGER NOT NULL, amount INTEGER, user_id INTEGER, name VARCHAR(20),"
    " CONSTRAINT pk_bills PRIMARY KEY (id), CONSTRAINT uq_bills UNIQUE (amount),"
    " CONSTRAINT ck_bills CHECK (amount > 0),"
    " CONSTRAINT fk_bills FOREIGN KEY (user_id) REFERENCES users (id))",
    "CREATE INDEX ix_bills ON bills (amount)",
    "CREATE VIEW owed AS SELECT id FROM bills",
]


def table(type_: Any) -> None:
    helpers.create_table(
        "bills",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("amount", type_),
        sa.Column("user_id", sa.Integer()),
        sa.Column("name", sa.String(20)),
        sa.PrimaryKeyConstraint("id", name="pk_bills"),
        sa.UniqueConstraint("amount", name="uq_bills"),
        sa.CheckConstraint("amount > 0", name="ck_bills"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_bills"),
        sa.Index("ix_bills", "amount"),
    )


SKIPS: dict[str, Callable[[], Any]] = {
    "create_table": lambda: table(sa.Integer()),
    "add_column": lambda: helpers.add_column("bills", sa.Column("name", sa.String(20))),
    "alter_column": lambda: helpers.alter_column(
        "bills", "name", type_=sa.String(20), nullable=True
    ),
    "create_index": lambda: helpers.create_index("ix_bills", "bills", ["amount"]),
    "create_unique": lambda: helpers.create_unique_constraint("uq_bills", "bills", ["amount"]),
    "create_check": lambda: helpers.create_check_constraint("ck_bills", "bills", "amount > 0"),
    "create_foreign_key": lambda: helpers.create_foreign_key(
        "fk_bills", "bills", "users", ["user_id"], ["id"]
    ),
    "create_primary_key": lambda: helpers.create_primary_key("pk_bills", "bills", ["id"]),
    "create_view": lambda: helpers.create_view("owed", "SELECT id FROM bills"),
    "drop_table": lambda: helpers.drop_table("nowhere"),
    "drop_column": lambda: helpers.drop_column("bills", "nowhere"),
    "drop_index": lambda: helpers.drop_index("nowhere", "bills"),
    "drop_constraint": lambda: helpers.drop_constraint("nowhere", "bills"),
    "drop_view": lambda: helpers.drop_view("nowhere"),
    "drop_enum": lambda: helpers.drop_enum("nowhere"),
    "rename_table": lambda: helpers.rename_table("nowhere", "bills"),
    "rename column": lambda: helpers.alter_column("bills", "nowhere", new_column_name="name"),
}
CONFLICTS: dict[str, Callable[[], Any]] = {
    "create_table": lambda: table(sa.BigInteger()),
    "add_column": lambda: helpers.add_column("bills", sa.Column("name", sa.Integer())),
    "create_index": lambda: helpers.create_index("ix_bills", "bills", ["name"]),
    "create_unique": lambda: helpers.create_unique_constraint("uq_bills", "bills", ["name"]),
    "create_check": lambda: helpers.create_check_constraint("ck_bills", "bills", "amount > 7"),
    "create_foreign_key": lambda: helpers.create_foreign_key(
        "fk_bills", "bills", "users", ["user_id"], ["id"], ondelete="CASCADE"
    ),
    "create_primary_key": lambda: helpers.create_primary_key("pk_bills", "bills", ["amount"]),
    "rename_table": lambda: helpers.rename_table("users", "bills"),
    "rename column": lambda: helpers.alter_column("bills", "name", new_column_name="amount"),
}
PARTIAL: dict[str, Callable[[], Any]] = {
    # the column is new, but what comes with it cannot be
    "reference to a missing table": lambda: helpers.add_column(
        "bills", sa.Column("new", sa.Integer(), sa.ForeignKey("nowhere.id"))
    ),
}


@pytest.mark.parametrize("verb", SKIPS.values(), ids=SKIPS.keys())
def test_verb_leaves_the_transaction_as_it_is_when_it_skips(
    database: Database, verb: Callable[[], Any]
) -> None:
    prepare(database, *TABLES)
    with failing_revision(database) as connection:
        run(connection, "INSERT INTO users VALUES (1)")  # uncommitted
        assert_skipped(verb)
        assert rows(connection, "SELECT id FROM users") == [(1,)]
        assert connection.in_nested_transaction() is False
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT id FROM users") == []  # a skip committed nothing


@pytest.mark.parametrize("verb", CONFLICTS.values(), ids=CONFLICTS.keys())
def test_verb_leaves_the_transaction_as_it_is_when_it_refuses(
    database: Database, verb: Callable[[], Any]
) -> None:
    prepare(database, *TABLES)
    with failing_revision(database) as connection:
        run(connection, "INSERT INTO users VALUES (1)")
        assert_conflict(verb)
        assert rows(connection, "SELECT id FROM users") == [(1,)]
        assert connection.in_nested_transaction() is False
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT id FROM users") == []


@pytest.mark.parametrize("verb", PARTIAL.values(), ids=PARTIAL.keys())
def test_verb_changes_nothing_when_a_part_of_it_is_missing_its_parent(
    database: Database, verb: Callable[[], Any]
) -> None:
    prepare(database, *TABLES)
    with revision(database):
        assert_missing_parent(verb, "nowhere")


def test_add_column_changes_nothing_when_its_index_is_another_one(database: Database) -> None:
    prepare(database, *TABLES, "CREATE INDEX ix_bills_new ON bills (name)")
    with revision(database):
        assert_conflict(
            lambda: helpers.add_column("bills", sa.Column("new", sa.Integer(), index=True))
        )


@pytest.mark.databases("postgresql", "mariadb", "mysql")
@pytest.mark.parametrize("verb", (SKIPS | CONFLICTS).values(), ids=(SKIPS | CONFLICTS).keys())
def test_verb_leaves_nothing_behind_when_the_connection_is_autocommit(
    database: Database, verb: Callable[[], Any]
) -> None:
    prepare(database, *TABLES)
    database.engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with revision(database) as connection:
        outcome = outcome_of(verb)
        assert outcome.changes == []
        assert outcome.error is None or type(outcome.error) is helpers.SchemaConflict, outcome
        assert rows(connection, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("name", ["_alembic_scratch", "_alembic_tmp_bills", "_alembic_scratch_ix"])
@pytest.mark.parametrize(
    "verb", [CONFLICTS["add_column"], SKIPS["create_index"], SKIPS["create_check"]]
)
def test_verb_keeps_a_table_when_it_has_the_name_of_our_scratch(
    database: Database, verb: Callable[[], Any], name: str
) -> None:
    if name.endswith("tmp_bills"):
        pytest.skip("a left-over, which a rebuild drops")
    prepare(
        database, *TABLES, f"CREATE TABLE {name} (keep INTEGER)", f"INSERT INTO {name} VALUES (7)"
    )
    with revision(database) as connection:
        outcome = outcome_of(verb)
        assert outcome.changes == []
        assert rows(connection, f"SELECT keep FROM {name}") == [(7,)]


@pytest.mark.parametrize("type_", ["NoSuchType", "VARCHAR(-1)"])
def test_verb_keeps_a_table_when_the_wanted_type_is_none(database: Database, type_: str) -> None:
    """An error while the scratch table is made must not reach a real table of that name."""

    class Odd(sa.types.UserDefinedType[Any]):
        cache_ok = True

        def get_col_spec(self, **kw: Any) -> str:
            return type_

    prepare(database, *TABLES, "CREATE TABLE _alembic_scratch (keep INTEGER)")
    with revision(database) as connection:
        try:
            helpers.add_column("bills", sa.Column("name", Odd()))
        except (sa.exc.DBAPIError, CommandError):
            pass
        else:
            assert database.name == "sqlite"  # where any word is a type
        assert rows(connection, "SELECT * FROM _alembic_scratch") == []
        assert rows(connection, "SELECT count(*) FROM bills") == [(0,)]  # usable, too


@pytest.mark.databases("postgresql")
def test_verb_acts_when_inside_a_savepoint_of_the_author(database: Database) -> None:
    prepare(database, *TABLES)
    with revision(database) as connection:
        with connection.begin_nested():
            assert_skipped(SKIPS["create_table"])
            assert_conflict(CONFLICTS["add_column"])
            assert_applied(lambda: helpers.add_column("bills", sa.Column("a", sa.Integer())))
        savepoint = connection.begin_nested()
        assert_applied(lambda: helpers.add_column("bills", sa.Column("b", sa.Integer())))
        assert_skipped(lambda: helpers.add_column("bills", sa.Column("b", sa.Integer())))
        savepoint.rollback()
        assert helpers.table_has_column("bills", "a") is True
        assert helpers.table_has_column("bills", "b") is False


@pytest.mark.databases("postgresql")
def test_revision_leaves_nothing_when_it_is_rolled_back(database: Database) -> None:
    prepare(database, *TABLES)
    with failing_revision(database):
        helpers.add_column("bills", sa.Column("a", sa.Integer()))
        helpers.create_index("ix_a", "bills", ["a"])
        helpers.create_check_constraint("ck_a", "bills", "a > 0")
        helpers.drop_view("owed")
    with revision(database):
        assert helpers.table_has_column("bills", "a") is False
        assert helpers.view_exists("owed") is True


@pytest.mark.parametrize("verb", SKIPS.values(), ids=SKIPS.keys())
def test_verb_runs_no_ddl_on_real_tables_when_it_skips(
    database: Database, verb: Callable[[], Any]
) -> None:
    prepare(database, *TABLES)
    with revision(database), counted(database.engine) as statements:
        verb()
    words = ("ALTER", "DROP", "CREATE", "COMMIT", "LOCK", "INSERT", "UPDATE", "DELETE")
    ddl = [s.strip() for s in statements if s.split()[0].upper() in words]
    assert [s for s in ddl if "scratch" not in s] == []


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    "verb", [SKIPS["add_column"], SKIPS["create_index"], SKIPS["create_check"]]
)
def test_verb_takes_no_strong_lock_when_it_skips(
    database: Database, verb: Callable[[], Any]
) -> None:
    """A skip on a busy production table must not stop anybody."""
    prepare(database, *TABLES)
    with revision(database) as connection:
        verb()
        locks = rows(
            connection,
            "SELECT mode FROM pg_locks"
            " WHERE pid = pg_backend_pid() AND relation = 'bills'::regclass",
        )
        assert {mode for (mode,) in locks} <= {"AccessShareLock"}


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("error", "sql"),
    [
        (sa.exc.OperationalError, "SELECT pg_terminate_backend(pg_backend_pid())"),
        (sa.exc.InternalError, "SELECT nothing"),  # which ends the transaction
    ],
)
def test_what_ends_a_look_is_told_as_sqlalchemy_tells_it(
    database: Database, error: type[sa.exc.DBAPIError], sql: str
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)")

    def fail() -> None:
        with revision(database) as connection:
            run(connection, "SELECT 1")
            cursor = connection.connection.cursor()
            with suppress(psycopg.Error):
                cursor.execute(sql)
            helpers.create_index("ix", "bills", ["id"])

    with pytest.raises(error) as told:
        fail()
    assert told.value.connection_invalidated == ("terminate" in sql)
