"""PostgreSQL's CREATE INDEX CONCURRENTLY, which nothing else in a revision is like."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    assert_unsafe,
    counted,
    failing_revision,
    follow,
    prepare,
    revision,
    rows,
    run,
)

pytestmark = pytest.mark.databases("postgresql")

BILLS = [
    "CREATE TABLE bills (id INT PRIMARY KEY, amount INT, due_on DATE)",
    "INSERT INTO bills VALUES (1, 10, NULL), (2, 10, NULL), (3, 30, NULL)",
]
INDEX = "SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = to_regclass('ix')"
LEFT_OVER = "SELECT relname FROM pg_class WHERE relname LIKE '%ccnew%' OR relname LIKE '%scratch%'"


def create(**kw: Any) -> None:
    options = {"unique": True, "postgresql_concurrently": True} | kw
    helpers.create_index("ix", "bills", ["amount"], **options)


def drop() -> None:
    helpers.drop_index("ix", "bills", postgresql_concurrently=True)


def leave_invalid(database: Database) -> None:
    """Fail a build as a deploy does: duplicates are met, and the index stays, INVALID."""
    with pytest.raises(sa.exc.IntegrityError), revision(database):
        create()
    with database.engine.connect() as connection:
        assert rows(connection, INDEX) == [(False, False)]


@pytest.fixture
def duplicates(database: Database) -> Database:
    prepare(database, *BILLS)
    return database


@pytest.fixture
def clean(duplicates: Database) -> Database:
    prepare(duplicates, "UPDATE bills SET amount = id")
    return duplicates


each_way = pytest.mark.parametrize(
    "per_migration", [True, False], ids=["per migration", "one for all"]
)


def test_create_index_acts_and_skips_when_concurrently(clean: Database) -> None:
    with revision(clean) as connection, counted(clean.engine) as statements:
        create()
        assert any("CONCURRENTLY" in statement for statement in statements)
        assert rows(connection, INDEX) == [(True, True)]
        assert_skipped(create)
        helpers.add_column("bills", sa.Column("after", sa.Integer()))
    with revision(clean):
        assert helpers.table_has_column("bills", "after")
        assert_skipped(create)
        assert_skipped(lambda: create(postgresql_concurrently=False))
        assert_applied(drop)
        assert_skipped(drop)
        assert_applied(lambda: create(postgresql_concurrently=False))
        assert_skipped(create)


@each_way
def test_create_index_commits_what_came_before_when_concurrently(
    clean: Database, per_migration: bool
) -> None:
    with failing_revision(clean, transaction_per_migration=per_migration):
        helpers.add_column("bills", sa.Column("before", sa.Integer()))
        create()
        helpers.add_column("bills", sa.Column("after", sa.Integer()))
    with revision(clean):
        assert helpers.table_has_column("bills", "before") is True
        assert helpers.table_has_index("bills", "ix") is True
        assert helpers.table_has_column("bills", "after") is False


def test_create_index_skip_commits_nothing_when_concurrently(clean: Database) -> None:
    with revision(clean):
        create()
    with failing_revision(clean):
        helpers.add_column("bills", sa.Column("before", sa.Integer()))
        assert_skipped(create)
        assert_skipped(lambda: helpers.drop_index("nowhere", "bills", postgresql_concurrently=True))
    with revision(clean):
        assert helpers.table_has_column("bills", "before") is False


def test_create_index_refuses_when_concurrently_and_another_is_there(clean: Database) -> None:
    prepare(clean, "CREATE INDEX ix ON bills (due_on)")
    with failing_revision(clean):
        helpers.add_column("bills", sa.Column("before", sa.Integer()))
        assert_conflict(create)
        assert_missing_parent(
            lambda: helpers.create_index("ix", "nowhere", ["a"], postgresql_concurrently=True)
        )
    with revision(clean):
        assert helpers.table_has_column("bills", "before") is False


@pytest.mark.parametrize("concurrently", [True, False])
def test_create_index_repairs_it_when_a_failed_build_left_it_invalid(
    duplicates: Database, concurrently: bool
) -> None:
    leave_invalid(duplicates)
    with revision(duplicates):
        assert helpers.table_has_index("bills", "ix") is False
    # Again over duplicates: fails again, and says so.
    with (
        pytest.raises((sa.exc.IntegrityError, CommandError)),
        revision(duplicates),
    ):
        create(postgresql_concurrently=concurrently)
    prepare(duplicates, "UPDATE bills SET amount = id")
    with revision(duplicates) as connection:
        outcome = assert_applied(lambda: create(postgresql_concurrently=concurrently))
        assert "INVALID" in "\n".join(outcome.lines)
        assert rows(connection, INDEX) == [(True, True)]
        assert rows(connection, LEFT_OVER) == []
        assert helpers.table_has_index("bills", "ix") is True
        assert_skipped(create)
        with pytest.raises(sa.exc.IntegrityError):
            run(connection, "INSERT INTO bills VALUES (4, 1, NULL)")


def test_create_index_repairs_it_when_the_invalid_one_was_over_another_column(
    duplicates: Database,
) -> None:
    leave_invalid(duplicates)
    with revision(duplicates):
        act = partial(helpers.create_index, "ix", "bills", ["due_on"])
        assert_applied(act)
        assert_skipped(act)


def test_create_table_repairs_its_index_when_it_is_invalid(duplicates: Database) -> None:
    leave_invalid(duplicates)
    prepare(duplicates, "UPDATE bills SET amount = id")

    def act() -> None:
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("amount", sa.Integer()),
            sa.Column("due_on", sa.Date()),
            sa.Index("ix", "amount", unique=True),
        )

    with revision(duplicates):
        assert_applied(act)
        assert helpers.table_has_index("bills", "ix") is True
        assert_skipped(act)


@pytest.mark.parametrize("concurrently", [True, False])
def test_drop_index_acts_when_it_is_invalid(duplicates: Database, concurrently: bool) -> None:
    leave_invalid(duplicates)
    with revision(duplicates):
        act = partial(helpers.drop_index, "ix", "bills", postgresql_concurrently=concurrently)
        assert_applied(act)
        assert_skipped(act)


def test_drop_index_acts_when_an_earlier_drop_was_interrupted(clean: Database) -> None:
    prepare(clean, "CREATE INDEX ix ON bills (amount)")
    # What a DROP INDEX CONCURRENTLY leaves when it dies in its second step.
    prepare(clean, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass")
    with revision(clean):
        assert helpers.table_has_index("bills", "ix") is False
        assert_applied(drop)
        assert_skipped(drop)


def test_create_index_acts_when_an_earlier_drop_was_interrupted(clean: Database) -> None:
    prepare(clean, "CREATE UNIQUE INDEX ix ON bills (amount)")
    prepare(clean, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass")
    with revision(clean) as connection:
        assert_applied(create)
        assert rows(connection, INDEX) == [(True, True)]


def test_drop_index_commits_what_came_before_when_concurrently(clean: Database) -> None:
    with revision(clean):
        create()
    with failing_revision(clean):
        helpers.add_column("bills", sa.Column("before", sa.Integer()))
        drop()
    with revision(clean):
        assert helpers.table_has_column("bills", "before") is True
        assert helpers.table_has_index("bills", "ix") is False


@contextmanager
def begun_by_env_py(database: Database) -> Any:
    """Open a revision in a transaction that env.py began before ``configure``."""
    with database.engine.connect() as connection:
        run(connection, "SELECT 1")
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context):
            yield connection


@pytest.mark.parametrize("verb", [create, drop], ids=["create", "drop"])
def test_verb_refuses_when_env_py_began_the_transaction(
    clean: Database, verb: Callable[[], None]
) -> None:
    if verb is drop:
        prepare(clean, "CREATE INDEX ix ON bills (amount)")
    with begun_by_env_py(clean) as connection:
        run(connection, "INSERT INTO bills VALUES (9, 9, NULL)")
        message = assert_unsafe(verb, "concurrently")
        assert "env.py" in message
        connection.rollback()
    with clean.engine.connect() as connection:
        assert rows(connection, "SELECT count(*) FROM bills") == [(3,)]


def test_create_index_skips_when_env_py_began_the_transaction_and_it_is_there(
    clean: Database,
) -> None:
    with revision(clean):
        create()
    with begun_by_env_py(clean):
        assert_skipped(create)


def test_create_index_acts_when_env_py_made_the_connection_autocommit(clean: Database) -> None:
    clean.engine = clean.engine.execution_options(isolation_level="AUTOCOMMIT")
    with revision(clean):
        assert_applied(create)
        assert_skipped(create)
        assert_applied(drop)
        assert_skipped(drop)


def test_create_index_keeps_the_settings_when_concurrently(clean: Database) -> None:
    """The session goes on as it was: same isolation level, usable transaction."""
    with revision(clean) as connection:
        level = connection.get_isolation_level()
        create()
        assert connection.get_isolation_level() == level
        helpers.add_column("bills", sa.Column("after", sa.Integer()))
        savepoint = connection.begin_nested()
        run(connection, "INSERT INTO bills VALUES (9, 9, NULL)")
        savepoint.rollback()
        assert rows(connection, "SELECT count(*) FROM bills") == [(3,)]


def test_create_index_acts_when_schema_is_given_and_concurrently(
    clean: Database, other_schema: str
) -> None:
    prepare(
        clean, "CREATE TABLE other.bills (amount INT)", "INSERT INTO other.bills VALUES (1), (1)"
    )
    with pytest.raises(sa.exc.IntegrityError), revision(clean):
        create(schema="other")
    prepare(clean, "TRUNCATE other.bills")
    with revision(clean):
        assert helpers.table_has_index("bills", "ix", schema="other") is False
        assert_applied(lambda: create(schema="other"))
        assert_skipped(lambda: create(schema="other"))
        assert helpers.table_has_index("bills", "ix") is False


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_create_index_ignores_the_keyword_when_the_server_has_no_such_thing(
    database: Database,
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, amount INTEGER)")
    with revision(database):
        assert_applied(create)
        assert_skipped(create)
        assert_applied(drop)
        assert_skipped(drop)


@pytest.mark.databases("postgresql")
def test_concurrent_verbs_act_and_skip_when_the_revision_opened_the_block(
    database: Database,
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER, due DATE)")
    make = partial(
        helpers.create_index, "ix_bills_due", "bills", ["due"], postgresql_concurrently=True
    )
    drop = partial(helpers.drop_index, "ix_bills_due", "bills", postgresql_concurrently=True)
    with revision(database):
        for act in (make, drop):
            with helpers.get_context().autocommit_block():
                assert_applied(act)
                assert_skipped(act)


@pytest.mark.databases("postgresql")
def test_create_index_conflicts_when_an_invalid_one_of_its_name_is_on_another_table(
    duplicates: Database,
) -> None:
    leave_invalid(duplicates)  # or somebody is building it at this moment
    prepare(duplicates, "CREATE TABLE other (amount INTEGER)")
    with duplicates.engine.connect() as connection:
        [(name,)] = rows(
            connection,
            "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE NOT indisvalid",
        )
    with revision(duplicates):
        assert_conflict(lambda: helpers.create_index(name, "other", ["amount"]))


@pytest.mark.databases("postgresql")
def test_drop_index_drops_its_tables_own_when_search_path_has_another_first(
    database: Database,
) -> None:
    prepare(database, "CREATE SCHEMA s1", "CREATE SCHEMA s2")
    for schema, table in (("s1", "q"), ("s2", "r")):
        prepare(database, f"CREATE TABLE {schema}.{table} (a INTEGER)")
        prepare(database, f"CREATE INDEX dup ON {schema}.{table} (a)")
    with revision(database) as connection:
        run(connection, "SET LOCAL search_path = s1, s2")
        helpers.drop_index("dup", "r")
        helpers.drop_index("dup", "r")
    with database.engine.connect() as connection:
        left = rows(connection, "SELECT tablename FROM pg_indexes WHERE indexname = 'dup'")
        assert left == [("q",)]


# Partitioned tables, to which the server does nothing of the kind

PARTED = [
    "CREATE TABLE users (id INT PRIMARY KEY)",
    "CREATE TABLE bills (id INT, due_on INT) PARTITION BY RANGE (id)",
    "CREATE TABLE bills_1 PARTITION OF bills FOR VALUES FROM (0) TO (10)",
    "INSERT INTO users VALUES (1)",
    "INSERT INTO bills VALUES (1, 1)",
]
concurrently: dict[str, Any] = {"postgresql_concurrently": True}
UNPARTED: dict[str, Callable[..., Any]] = {
    "index": partial(helpers.create_index, "ix", "bills", ["due_on"]),
    "unique index": partial(helpers.create_index, "ix", "bills", ["id"], unique=True),
    "unique": partial(helpers.create_unique_constraint, "uq", "bills", ["id", "due_on"]),
    "foreign key": partial(
        helpers.create_foreign_key, "fk", "bills", "users", ["due_on"], ["id"], ondelete="CASCADE"
    ),
}


def takes_late_keys(database: Database) -> bool:
    """Tell whether partitioned tables take a foreign key that is NOT VALID, as PostgreSQL 18 does.

    https://www.postgresql.org/docs/18/release-18.html
    """
    with database.engine.connect() as connection:
        return (connection.dialect.server_version_info or ()) >= (18,)


@pytest.fixture
def no_late_keys(database: Database) -> None:
    if takes_late_keys(database):
        pytest.skip("partitioned tables of this server take a foreign key that is NOT VALID")


def test_create_foreign_key_acts_concurrently_when_partitioned_tables_take_it(
    database: Database,
) -> None:
    if not takes_late_keys(database):
        pytest.skip("partitioned tables take a foreign key NOT VALID since PostgreSQL 18")
    prepare(database, *PARTED)
    act = UNPARTED["foreign key"]
    with revision(database):
        assert_applied(partial(act, **concurrently))
        assert_skipped(partial(act, **concurrently))
        assert_skipped(act)


@pytest.mark.parametrize("verb", UNPARTED)
def test_verb_refuses_before_anything_is_committed_when_the_table_is_partitioned(
    verb: str, database: Database
) -> None:
    if verb == "foreign key" and takes_late_keys(database):
        pytest.skip("this one they take, as the test above shows")
    prepare(database, *PARTED)
    act = UNPARTED[verb]
    with failing_revision(database):
        helpers.add_column("users", sa.Column("before", sa.Integer()))
        message = assert_unsafe(partial(act, **concurrently), "partitioned into bills_1")
    with revision(database):
        assert helpers.table_has_column("users", "before") is False
        follow(message)
        assert_skipped(act)
        assert_skipped(partial(act, **concurrently))


def test_add_column_refuses_when_its_table_is_partitioned_and_a_part_cannot_be_made(
    database: Database,
) -> None:
    prepare(database, *PARTED)
    key = sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id", name="fk_user"))
    dated = sa.Column("paid_on", sa.Date(), index=True)
    for column in (dated,) if takes_late_keys(database) else (key, dated):
        with revision(database):
            add = partial(helpers.add_column, "bills", column)
            assert_unsafe(partial(add, **concurrently), "partitioned into bills_1")
            assert_applied(add)


@pytest.mark.usefixtures("no_late_keys")
def test_create_foreign_key_refuses_when_it_is_not_valid_on_a_partitioned_table(
    database: Database,
) -> None:
    prepare(database, *PARTED, "DROP TABLE bills_1")
    late = partial(UNPARTED["foreign key"], postgresql_not_valid=True)
    with revision(database):
        follow(assert_unsafe(late, "partitioned into nothing"))
        assert_skipped(UNPARTED["foreign key"])


@pytest.mark.usefixtures("no_late_keys")
def test_create_foreign_key_refuses_when_the_partitioned_table_is_in_another_schema(
    database: Database, other_schema: str
) -> None:
    prepare(
        database,
        "CREATE TABLE other.users (id INT PRIMARY KEY)",
        "CREATE TABLE other.bills (id INT, due_on INT) PARTITION BY RANGE (id)",
        "CREATE TABLE other.bills_1 PARTITION OF other.bills FOR VALUES FROM (0) TO (10)",
    )
    where = {"source_schema": other_schema, "referent_schema": other_schema}
    act = partial(UNPARTED["foreign key"], **where)
    with revision(database):
        follow(assert_unsafe(partial(act, **concurrently), "partitioned into bills_1"))
        assert_skipped(act)


def test_drop_index_refuses_when_the_index_is_partitioned(database: Database) -> None:
    prepare(database, *PARTED, "CREATE INDEX ix ON bills (due_on)")
    with revision(database):
        for table in ("bills", None):
            unnamed = partial(helpers.drop_index, "ix", table, **concurrently)
            message = assert_unsafe(unnamed, "to a partitioned index")
        follow(message)
        assert_skipped(unnamed)


def test_verbs_act_concurrently_where_a_partitioned_table_allows_it(database: Database) -> None:
    prepare(database, *PARTED, "ALTER TABLE bills ADD PRIMARY KEY (id)")
    acts: list[Callable[[], Any]] = [
        partial(helpers.create_check_constraint, "ck", "bills", "due_on > 0", **concurrently),
        partial(helpers.alter_column, "bills", "due_on", nullable=False, **concurrently),
        partial(
            helpers.add_column,
            "bills",
            sa.Column("paid", sa.Integer(), server_default="0", nullable=False),
            **concurrently,
        ),
        partial(helpers.create_foreign_key, "fk", "users", "bills", ["id"], ["id"], **concurrently),
    ]
    for act in acts:
        with revision(database):
            assert_applied(act)
            assert_skipped(act)
