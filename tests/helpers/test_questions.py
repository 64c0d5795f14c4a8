"""The questions: True or False about this moment, on the revision's own connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import event

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.names import HOSTILE, usable
from tests.helpers.vocabulary import (
    SQLITE_MODES,
    assert_applied,
    assert_skipped,
    counted,
    difference,
    failing_revision,
    outcome_of,
    prepare,
    quoted,
    revision,
    rows,
    run,
    snapshot,
)

BILLS = "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, amount INTEGER, paid_on DATE)"

# Every question, about a thing that is there when the statements below have run.
THINGS = [
    "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE bills (id INTEGER NOT NULL, amount INTEGER, user_id INTEGER,"
    " CONSTRAINT pk_bills PRIMARY KEY (id), CONSTRAINT uq_bills UNIQUE (amount),"
    " CONSTRAINT ck_bills CHECK (amount > 0),"
    " CONSTRAINT fk_bills FOREIGN KEY (user_id) REFERENCES users (id))",
    "CREATE INDEX ix_bills ON bills (amount)",
    "CREATE VIEW owed AS SELECT id FROM bills",
]
QUESTIONS: dict[str, Callable[..., bool]] = {
    "table": lambda **kw: helpers.table_exists("bills", **kw),
    "column": lambda **kw: helpers.table_has_column("bills", "amount", **kw),
    "index": lambda **kw: helpers.table_has_index("bills", "ix_bills", **kw),
    "unique": lambda **kw: helpers.table_has_constraint("bills", "uq_bills", **kw),
    "unique, typed": lambda **kw: helpers.table_has_constraint("bills", "uq_bills", "unique", **kw),
    "check": lambda **kw: helpers.table_has_constraint("bills", "ck_bills", "check", **kw),
    "foreignkey": lambda **kw: helpers.table_has_constraint(
        "bills", "fk_bills", "foreignkey", **kw
    ),
    "view": lambda **kw: helpers.view_exists("owed", **kw),
}
each_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())


@each_question
def test_question_answers_when_the_thing_is_there_and_when_not(
    database: Database, question: Callable[..., bool]
) -> None:
    with revision(database):
        assert question() is False
    prepare(database, *THINGS)
    with revision(database):
        assert question() is True


@each_question
@pytest.mark.parametrize("schema", ["nowhere", "No Where", "no'wh\"ere", "a%b", ":x"])
def test_question_answers_false_when_schema_is_missing(
    database: Database, question: Callable[..., bool], schema: str
) -> None:
    prepare(database, *THINGS)
    with revision(database) as connection:
        assert question(schema=schema) is False
        assert rows(connection, "SELECT 1") == [(1,)]  # the transaction is still good


@each_question
def test_question_answers_about_the_schema_that_is_given_when_there_are_two(
    database: Database, other_schema: str, question: Callable[..., bool]
) -> None:
    prepare(database, *THINGS)
    with revision(database):
        assert question() is True
        assert question(schema=other_schema) is False
    with database.engine.connect() as connection:
        for statement in reversed(THINGS):
            kind, name = statement.split()[1:3]
            if kind != "INDEX":
                run(connection, f"DROP {kind} {name}")
        connection.commit()
    with revision(database) as connection:
        for statement in THINGS:
            place = quoted(connection, other_schema)
            index_place = f"{place}." if database.name == "sqlite" else ""
            table_place = "" if database.name == "sqlite" else f"{place}."
            statement = statement.replace("TABLE ", f"TABLE {place}.")
            statement = statement.replace("INDEX ", f"INDEX {index_place}")
            statement = statement.replace("VIEW ", f"VIEW {place}.")
            statement = statement.replace(" ON bills", f" ON {table_place}bills")
            statement = statement.replace("FROM ", f"FROM {place}.")
            statement = statement.replace("REFERENCES ", f"REFERENCES {table_place}")
            run(connection, statement)
    with revision(database):
        assert question() is False
        assert question(schema=other_schema) is True


def test_table_has_column_answers_false_when_only_a_longer_name_is_there(
    database: Database,
) -> None:
    prepare(database, BILLS)
    with revision(database):
        assert helpers.table_has_column("bills", "paid") is False
        assert helpers.table_has_column("bills", "paid_on") is True
        assert helpers.table_has_column("bills", "paid_o_") is False
        assert helpers.table_has_column("bills", "%") is False
        assert helpers.table_has_column("bill_", "paid_on") is False
        assert helpers.table_has_column("bills", "") is False
        assert helpers.table_has_column("", "") is False
        assert helpers.table_exists("bill") is False
        assert helpers.table_exists("bil_s") is False


def test_table_has_column_answers_true_when_added_one_line_earlier(database: Database) -> None:
    prepare(database, BILLS)
    with failing_revision(database) as connection:
        assert helpers.table_has_column("bills", "paid") is False
        run(connection, "ALTER TABLE bills ADD COLUMN paid INTEGER")
        assert helpers.table_has_column("bills", "paid") is True
        run(connection, "ALTER TABLE bills RENAME COLUMN paid TO payed")
        assert helpers.table_has_column("bills", "paid") is False
        run(connection, "ALTER TABLE bills DROP COLUMN payed")
        assert helpers.table_has_column("bills", "payed") is False
        run(connection, "CREATE INDEX ix ON bills (amount)")
        assert helpers.table_has_index("bills", "ix") is True
        run(connection, "DROP INDEX ix" + (" ON bills" if database.kin == "mariadb" else ""))
        assert helpers.table_has_index("bills", "ix") is False
        run(connection, "DROP TABLE bills")
        assert helpers.table_has_column("bills", "amount") is False
        assert helpers.table_exists("bills") is False


@pytest.mark.databases("postgresql")
def test_question_answers_about_the_transaction_when_it_is_rolled_back(database: Database) -> None:
    prepare(database, BILLS)
    with revision(database) as connection:
        savepoint = connection.begin_nested()
        run(connection, "ALTER TABLE bills ADD COLUMN paid INTEGER")
        assert helpers.table_has_column("bills", "paid") is True
        savepoint.rollback()
        assert helpers.table_has_column("bills", "paid") is False


def test_question_opens_no_connection(database: Database) -> None:
    prepare(database, *THINGS)
    connects: list[Any] = []
    with revision(database):
        event.listen(database.engine, "connect", lambda *_: connects.append(1))
        event.listen(database.engine, "checkout", lambda *_: connects.append(1))
        event.listen(sa.Engine, "engine_connect", note := lambda *_: connects.append(1))
        try:
            for question in QUESTIONS.values():
                question()
            helpers.enum_exists("status")
        finally:
            event.remove(sa.Engine, "engine_connect", note)
    assert connects == []


@pytest.mark.databases("postgresql")
def test_question_answers_at_once_when_this_transaction_altered_the_table(
    database: Database,
) -> None:
    # A second connection would wait for ever: the column has a default, and we hold the lock.
    prepare(
        database,
        "CREATE TABLE bills (id SERIAL PRIMARY KEY, amount INT DEFAULT 1 CHECK (amount > 0))",
    )
    with revision(database) as connection:
        run(connection, "SET LOCAL statement_timeout = '3s'")
        run(connection, "ALTER TABLE bills ADD COLUMN paid SERIAL")
        run(connection, "CREATE INDEX ix_bills ON bills (amount) WHERE amount > 0")
        assert helpers.table_has_column("bills", "paid") is True
        assert helpers.table_has_index("bills", "ix_bills") is True
        assert_skipped(
            lambda: helpers.create_index(
                "ix_bills", "bills", ["amount"], postgresql_where=sa.text("amount > 0")
            )
        )


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_question_answers_at_once_when_somebody_else_locks_the_table(database: Database) -> None:
    prepare(database, *THINGS)
    with database.engine.connect() as other:
        if database.name == "postgresql":
            run(other, "LOCK TABLE bills IN ACCESS EXCLUSIVE MODE")
        else:
            run(other, "LOCK TABLES bills WRITE")
        with revision(database) as connection:
            limit = (
                "statement_timeout = '3s'"
                if database.name == "postgresql"
                else "lock_wait_timeout = 3"
            )
            run(connection, f"SET {limit}")
            assert helpers.table_exists("bills") is True
            assert helpers.table_has_column("bills", "amount") is True
            assert helpers.table_has_constraint("bills", "ck_bills") is True
            if database.name == "postgresql":  # SHOW INDEX opens the table
                assert helpers.table_has_index("bills", "ix_bills") is True


@pytest.mark.databases("sqlite")
def test_question_answers_when_the_database_is_in_memory() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context):
            run(connection, BILLS)
            assert helpers.table_has_column("bills", "amount") is True
            assert helpers.table_has_column("bills", "amounts") is False
    engine.dispose()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("mode", SQLITE_MODES)
def test_question_answers_in_every_transaction(database: Database, mode: str) -> None:
    prepare(database, BILLS)
    with revision(database, mode) as connection:
        before = snapshot(connection)
        assert helpers.table_has_column("bills", "amount") is True
        helpers.add_column("bills", sa.Column("paid", sa.Integer()))
        assert helpers.table_has_column("bills", "paid") is True
        helpers.drop_column("bills", "paid")
        assert helpers.table_has_column("bills", "paid") is False
        changes = [c for c in difference(before, snapshot(connection)) if "page" not in c]
        assert changes == []


def test_table_has_index_answers_false_when_it_is_a_constraint(database: Database) -> None:
    prepare(database, *THINGS)
    with revision(database):
        # There a unique constraint is a unique index, and nothing tells them apart.
        assert helpers.table_has_index("bills", "uq_bills") is (database.kin == "mariadb")
        assert helpers.table_has_constraint("bills", "ix_bills") is False
        assert helpers.table_has_index("bills", "pk_bills") is False
        assert helpers.table_has_index("bills", "ck_bills") is False
        assert helpers.table_has_index("bills", "PRIMARY") is False


def test_table_has_constraint_answers_false_when_it_is_a_unique_index(database: Database) -> None:
    prepare(database, BILLS, "CREATE UNIQUE INDEX ux ON bills (amount)")
    with revision(database):
        assert helpers.table_has_index("bills", "ux") is True
        assert helpers.table_has_constraint("bills", "ux") is (database.kin == "mariadb")
        assert helpers.table_has_constraint("bills", "ux", "check") is False


def test_table_has_constraint_answers_by_type_when_one_is_given(database: Database) -> None:
    prepare(database, *THINGS)
    types = {"uq_bills": "unique", "ck_bills": "check", "fk_bills": "foreignkey"}
    if database.kin != "mariadb":  # where every primary key is called PRIMARY
        types["pk_bills"] = "primary"
    with revision(database):
        for name, own in types.items():
            for type_ in ("unique", "check", "foreignkey", "primary"):
                answer = helpers.table_has_constraint("bills", name, type_)
                assert answer is (type_ == own), (name, type_)
        if database.kin == "mariadb":
            assert helpers.table_has_constraint("bills", "PRIMARY", "primary") is True


def test_question_answers_false_when_the_thing_belongs_to_another_table(database: Database) -> None:
    prepare(database, *THINGS)
    with revision(database):
        assert helpers.table_has_index("users", "ix_bills") is False
        assert helpers.table_has_constraint("users", "uq_bills") is False
        assert helpers.table_has_column("users", "amount") is False
        assert helpers.table_has_index("nowhere", "ix_bills") is False
        assert helpers.table_has_constraint("nowhere", "uq_bills") is False


def test_table_exists_answers_false_when_it_is_a_view(database: Database) -> None:
    prepare(database, *THINGS)
    with revision(database):
        assert helpers.table_exists("owed") is False
        assert helpers.view_exists("owed") is True
        assert helpers.view_exists("bills") is False
        assert helpers.table_exists("ix_bills") is False
        assert helpers.table_has_index("owed", "ix_bills") is False
        assert helpers.table_has_constraint("owed", "uq_bills") is False


@pytest.mark.databases("sqlite", "mariadb", "mysql")  # PostgreSQL keeps what a view reads
def test_question_answers_when_a_view_lost_its_table(database: Database) -> None:
    prepare(database, *THINGS, "CREATE TABLE gone (id INTEGER)")
    prepare(database, "CREATE VIEW lost AS SELECT id FROM gone", "DROP TABLE gone")
    with revision(database):
        assert helpers.table_exists("lost") is False
        assert helpers.table_has_index("lost", "ix_bills") is False
        assert helpers.view_exists("lost") is True
        helpers.drop_view("lost")
        assert helpers.view_exists("lost") is False


@pytest.mark.databases("postgresql")
def test_table_exists_answers_false_when_it_is_a_sequence_or_a_materialized_view(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE SEQUENCE s",
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
        "CREATE TYPE t AS (a int)",
    )
    with revision(database):
        for name in "smt":
            assert helpers.table_exists(name) is False
            assert helpers.view_exists(name) is False


@pytest.mark.databases("postgresql")
def test_table_exists_answers_true_when_it_is_partitioned(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE p (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9)",
    )
    with revision(database):
        assert helpers.table_exists("p") is True
        assert helpers.table_exists("p1") is True
        assert helpers.table_has_column("p", "id") is True


@pytest.mark.databases("postgresql")
def test_question_answers_as_the_server_would_find_it_when_search_path_is_set(
    database: Database, other_schema: str
) -> None:
    prepare(
        database,
        "CREATE TABLE other.bills (id INT, CONSTRAINT ck CHECK (id > 0))",
        "CREATE INDEX ix ON other.bills (id)",
    )
    with revision(database) as connection:
        assert helpers.table_exists("bills") is False
        run(connection, "SET LOCAL search_path = other, public")
        assert helpers.table_exists("bills") is True
        assert helpers.table_exists("bills", schema="public") is False
        assert helpers.table_has_index("bills", "ix") is True
        assert helpers.table_has_constraint("bills", "ck") is True
        assert_applied(lambda: helpers.add_column("bills", sa.Column("paid", sa.Integer())))
        assert rows(connection, "SELECT paid FROM other.bills") == []


@pytest.mark.databases("postgresql")
def test_question_answers_about_the_right_table_when_index_names_repeat(
    database: Database, other_schema: str
) -> None:
    # The index belongs to its table's schema, wherever the search path leads to.
    prepare(
        database,
        "CREATE TABLE public.users (id INT)",
        "CREATE INDEX ix ON public.users (id)",
        "CREATE TABLE other.bills (id INT)",
        "CREATE INDEX ix ON other.bills (id)",
    )
    with revision(database) as connection:
        run(connection, "SET LOCAL search_path = public, other")
        assert helpers.table_has_index("bills", "ix") is True
        assert_skipped(lambda: helpers.create_index("ix", "bills", ["id"]))
        assert_applied(lambda: helpers.drop_index("ix", "bills", schema="other"))
        assert helpers.table_has_index("bills", "ix", schema="other") is False
        assert helpers.table_has_index("users", "ix") is True


# Names


@pytest.mark.parametrize("name", HOSTILE)
def test_question_answers_when_names_are_hostile(database: Database, name: str) -> None:
    name = usable(database.name, name)
    with revision(database) as connection:
        table = quoted(connection, name)
        for question in (helpers.table_exists, helpers.view_exists, helpers.enum_exists):
            assert question(name) is False
        assert helpers.table_has_column(name, name) is False
        run(
            connection,
            f"CREATE TABLE {table} ({table} INTEGER NOT NULL,"
            f" CONSTRAINT {table} CHECK ({table} > 0))",
        )
        # Two kinds of thing may not share a name everywhere.
        index = quoted(connection, f"i{name}")
        run(connection, f"CREATE INDEX {index} ON {table} ({table})")
        assert helpers.table_exists(name) is True
        assert helpers.table_has_column(name, name) is True
        assert helpers.table_has_index(name, f"i{name}") is True
        assert helpers.table_has_constraint(name, name, "check") is True
        assert helpers.table_exists(f"{name}x") is False
        assert helpers.table_has_column(name, f"{name}x") is False
        assert helpers.table_has_index(name, f"i{name}x") is False
        assert helpers.table_has_constraint(name, f"{name}x") is False
        run(connection, f"DROP TABLE {table}")


def test_table_has_column_follows_the_servers_folding(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER, %s INTEGER)"
        % ("`Amount`" if database.kin == "mariadb" else '"Amount"'),
    )
    folds = database.name != "postgresql"
    with revision(database):
        assert helpers.table_has_column("bills", "Amount") is True
        assert helpers.table_has_column("bills", "amount") is folds
        assert helpers.table_has_column("bills", "AMOUNT") is folds
        act = partial(helpers.add_column, "bills", sa.Column("amount", sa.Integer()))
        (assert_skipped if folds else assert_applied)(act)
        drop = partial(helpers.drop_column, "bills", "AMOUNT")
        (assert_applied if folds else assert_skipped)(drop)


def test_table_has_index_follows_the_servers_folding(database: Database) -> None:
    mark = "`" if database.kin == "mariadb" else '"'
    prepare(
        database,
        f"CREATE TABLE bills (a INTEGER, CONSTRAINT {mark}Ck{mark} CHECK (a > 0))",
        f"CREATE INDEX {mark}Ix{mark} ON bills (a)",
    )
    folds = database.name != "postgresql"
    with revision(database):
        assert helpers.table_has_index("bills", "ix") is folds
        assert helpers.table_has_constraint("bills", "CK") is folds
        assert helpers.table_exists("BILLS") is (database.name == "sqlite")
        (assert_skipped if folds else assert_applied)(
            lambda: helpers.create_index("ix", "bills", ["a"])
        )


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    "name", ["c" * 70, "c" * 62 + "é" + "x" * 9, "é" * 40, "🎉" * 20, "c" * 63, "c" * 64]
)
def test_table_has_column_finds_it_when_the_server_cut_the_name(
    database: Database, name: str
) -> None:
    with revision(database) as connection:
        helpers.create_table("bills", sa.Column("id", sa.Integer()))
        assert_applied(
            lambda: helpers.add_column("bills", sa.Column(name, sa.Integer(), server_default="0"))
        )
        assert helpers.table_has_column("bills", name) is True
        assert_skipped(
            lambda: helpers.add_column("bills", sa.Column(name, sa.Integer(), server_default="0"))
        )
        assert_applied(lambda: helpers.alter_column("bills", name, nullable=False))
        assert_skipped(lambda: helpers.alter_column("bills", name, nullable=False))
        assert_applied(lambda: helpers.drop_column("bills", name))
        assert_skipped(lambda: helpers.drop_column("bills", name))
        run(connection, f'CREATE TABLE "t{name}" (id INT)')
        assert helpers.table_exists(f"t{name}") is True
        assert_skipped(lambda: helpers.create_table(f"t{name}", sa.Column("id", sa.Integer())))


# Cost


QUESTIONS_ABSENT: dict[str, Callable[[], Any]] = {
    name: (lambda question=question: question()) for name, question in QUESTIONS.items()
} | {"enum": lambda: helpers.enum_exists("status")}


@pytest.mark.parametrize("question", QUESTIONS_ABSENT.values(), ids=QUESTIONS_ABSENT.keys())
@pytest.mark.parametrize("there", [[], [BILLS]], ids=["no table", "table"])
def test_question_asks_at_most_twice_when_the_thing_is_absent(
    database: Database, question: Callable[[], Any], there: list[str]
) -> None:
    prepare(database, *there)
    with revision(database), counted(database.engine) as statements:
        question()
    assert len(statements) <= 2, statements


@pytest.mark.databases("postgresql")
def test_question_costs_the_same_when_the_schema_is_large(database: Database) -> None:
    prepare(database, *(f"CREATE TABLE t{n} (id INT)" for n in range(50)), *THINGS)
    with revision(database) as connection, counted(database.engine) as statements:
        for question in QUESTIONS.values():
            question()
        assert len(statements) <= 2 * len(QUESTIONS)
        assert not connection.closed


def test_questions_change_nothing(database: Database) -> None:
    prepare(database, *THINGS)
    with revision(database):

        def ask() -> None:
            for question in QUESTIONS.values():
                question()

        outcome = outcome_of(ask)
        assert (outcome.changes, outcome.lines, outcome.error) == ([], [], None)


def test_question_refuses_when_a_script_is_written(database: Database) -> None:
    context = MigrationContext.configure(
        dialect_name=database.engine.dialect.name, opts={"as_sql": True}
    )
    with Operations.context(context):
        for question in QUESTIONS.values():
            with pytest.raises(helpers.OfflineUnsupported):
                question()


@pytest.mark.parametrize("name", ["🎉", "a" * 300, "", " ", "a\nb", "NUL\x01"])
def test_question_answers_false_when_no_name_like_that_is_possible(
    database: Database, name: str
) -> None:
    prepare(database, BILLS)
    with revision(database) as connection:
        assert helpers.table_exists(name) is False
        assert helpers.view_exists(name) is False
        assert helpers.table_has_column("bills", name) is False
        assert helpers.table_has_index("bills", name) is False
        assert helpers.table_has_constraint("bills", name) is False
        assert helpers.table_has_column(name, "id") is False
        assert helpers.table_exists("bills", schema=name or None) is not bool(name)
        assert rows(connection, "SELECT 1") == [(1,)]
