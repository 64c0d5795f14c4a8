"""``postgresql_concurrently=True`` for constraints and columns: in steps that block nobody."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import event

import alembic_helpers as helpers
from alembic_toolkit.schema.take import take
from tests.databases import Database
from tests.helpers.conftest import Load, empty
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    Act,
    assert_applied,
    assert_conflict,
    assert_skipped,
    assert_unsafe,
    counted,
    is_act,
    prepare,
    revision,
    rows,
    run,
    way_on,
)

pytestmark = pytest.mark.databases("postgresql")

TABLES = [
    "CREATE TABLE users (id INTEGER PRIMARY KEY)",
    "CREATE TABLE bills (id INTEGER PRIMARY KEY, user_id INTEGER, amount INTEGER)",
    "INSERT INTO users VALUES (1), (2)",
    "INSERT INTO bills VALUES (1, 1, 10), (2, 2, 20), (3, 1, 30)",
]
concurrently: dict[str, Any] = {"postgresql_concurrently": True}


VERBS: dict[str, Act] = {
    "create_foreign_key": lambda: helpers.create_foreign_key(
        "fk_bills", "bills", "users", ["user_id"], ["id"], ondelete="CASCADE", **concurrently
    ),
    "create_check_constraint": lambda: helpers.create_check_constraint(
        "ck_bills", "bills", "amount > 0", **concurrently
    ),
    "create_unique_constraint": lambda: helpers.create_unique_constraint(
        "uq_bills", "bills", ["amount"], deferrable=True, initially="DEFERRED", **concurrently
    ),
    "alter_column": lambda: helpers.alter_column("bills", "amount", nullable=False, **concurrently),
    "alter_column, all of it": lambda: helpers.alter_column(
        "bills",
        "amount",
        type_=sa.BigInteger(),
        nullable=False,
        new_column_name="cents",
        **concurrently,
    ),
    "add_column, all of it": lambda: helpers.add_column(
        "bills",
        sa.Column("paid", sa.Integer(), server_default="0", nullable=False, index=True),
        **concurrently,
    ),
}
ALONE = [verb for verb in VERBS if "all" not in verb]  # those that are nothing but such steps
each_verb = pytest.mark.parametrize("verb", VERBS)


def state(database: Database) -> Any:
    """Return all that the database holds."""
    with database.engine.connect() as connection:
        bills = rows(connection, "SELECT * FROM bills ORDER BY id")
        return take(connection).groups, bills


class Killed(Exception):
    """What ends a run in the middle."""


@contextmanager
def killed_at(database: Database, number: int) -> Any:
    """Have the client die before it changes something for this number of times."""
    left = iter(range(number))

    def die(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if is_act(statement) and next(left, None) is None:
            raise Killed

    event.listen(database.engine, "before_cursor_execute", die)
    with suppress(Killed):
        yield
    event.remove(database.engine, "before_cursor_execute", die)


@each_verb
def test_verb_arrives_when_killed_at_any_statement(verb: str, database: Database) -> None:
    prepare(database, *TABLES)
    with revision(database), counted(database.engine) as statements:
        assert_applied(VERBS[verb])
    wanted, acts = state(database), [sql for sql in statements if is_act(sql)]
    assert len(acts) >= 2
    for number, statement in enumerate(acts):
        empty(database)
        prepare(database, *TABLES)
        with killed_at(database, number), revision(database):
            VERBS[verb]()
        with revision(database):
            VERBS[verb]()
            assert_skipped(VERBS[verb])
        assert state(database) == wanted, f"killed at {statement}"


STRONG = """
SELECT c.relname, l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE c.relname IN ('users', 'bills') AND l.mode ~ 'Exclusive' AND l.mode !~ '^Row'
"""


@pytest.mark.parametrize("verb", ALONE)
def test_verb_holds_no_strong_lock_from_one_statement_to_the_next(
    verb: str, database: Database
) -> None:
    prepare(database, *TABLES)
    seen: list[Any] = []
    with database.engine.connect() as other:

        def look(connection: Any, _: Any, statement: str, *_2: Any) -> None:
            if connection.connection is not other.connection and is_act(statement):
                cursor = other.connection.cursor()
                cursor.execute(STRONG)
                seen.extend((statement, *lock) for lock in cursor.fetchall())

        event.listen(database.engine, "before_cursor_execute", look)
        with revision(database):
            VERBS[verb]()
    assert [held for held in seen if "INDEX" not in held[0]] == []


@each_verb
def test_script_of_verb_arrives_and_is_safe_to_run_twice(verb: str, database: Database) -> None:
    prepare(database, *TABLES)
    script = written(database, VERBS[verb])
    for _ in range(2):
        printed = run_with_client(database, script)
        assert "WARNING" not in printed
    found = state(database)
    empty(database)
    prepare(database, *TABLES)
    with revision(database):
        VERBS[verb]()
    assert found == state(database)


@pytest.mark.parametrize("verb", ALONE)
def test_verb_refuses_when_env_py_began_the_transaction(verb: str, database: Database) -> None:
    prepare(database, *TABLES)
    with database.engine.connect() as connection:
        run(connection, "SELECT 1")
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context):
            assert_unsafe(VERBS[verb], "env.py")


# Rows that are in the way


def test_check_is_left_not_valid_when_a_row_breaks_it(database: Database) -> None:
    prepare(database, *TABLES, "UPDATE bills SET amount = -1 WHERE id = 3")
    verb = VERBS["create_check_constraint"]
    with revision(database), pytest.raises(helpers.UnsafeOperation, match="left NOT VALID") as why:
        verb()
    assert "helpers.drop_constraint('ck_bills', 'bills')" in str(why.value)
    for sql in ("INSERT INTO bills VALUES (4, 1, -1)", "UPDATE bills SET user_id = 1 WHERE id = 3"):
        with database.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
            run(connection, sql)
    prepare(database, "UPDATE bills SET amount = 1 WHERE id = 3")
    with revision(database):
        assert assert_applied(verb).lines[0].startswith("validated ")
        assert_skipped(verb)


def test_alter_column_leaves_nothing_when_a_row_is_null(database: Database) -> None:
    prepare(database, *TABLES, "UPDATE bills SET amount = NULL WHERE id = 3")
    verb = partial(helpers.alter_column, "bills", "amount", nullable=False, **concurrently)
    with revision(database):
        message = assert_unsafe(verb, "cannot be NOT NULL")
        assert "helpers.backfill('bills', {'amount': ...}, where='amount IS NULL')" in message
        helpers.backfill("bills", {"amount": 0}, where="amount IS NULL")
        assert_applied(verb)


def test_unique_constraint_is_made_when_duplicates_are_gone(database: Database) -> None:
    prepare(database, *TABLES, "UPDATE bills SET amount = 10")
    with pytest.raises(sa.exc.IntegrityError), revision(database):
        VERBS["create_unique_constraint"]()
    prepare(database, "UPDATE bills SET amount = id")
    with revision(database):
        assert_applied(VERBS["create_unique_constraint"])
        assert_skipped(VERBS["create_unique_constraint"])


def test_unique_constraint_refuses_when_an_index_of_its_name_is_another(database: Database) -> None:
    prepare(database, *TABLES, "CREATE UNIQUE INDEX uq_bills ON bills (user_id, amount)")
    with revision(database):
        assert_conflict(VERBS["create_unique_constraint"])


def test_unique_constraint_refuses_when_it_has_no_name(database: Database) -> None:
    prepare(database, *TABLES)
    verb = partial(helpers.create_unique_constraint, None, "bills", ["amount"], **concurrently)
    with revision(database):
        assert_unsafe(verb, "without a name")


def token(**kw: Any) -> sa.Column[Any]:
    return sa.Column("token", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), **kw)


@pytest.mark.parametrize("nullable", [True, False])
def test_add_column_refuses_when_rows_would_each_get_a_default_of_their_own(
    nullable: bool, database: Database, load: Load
) -> None:
    prepare(database, *TABLES)
    add = partial(helpers.add_column, "bills", token(nullable=nullable), **concurrently)
    with revision(database), counted(database.engine) as statements:
        message = assert_unsafe(add, "a default that differs from row to row")
    assert not any(map(is_act, statements))
    upgrade = load("\n".join(way_on(message)).replace("helpers.", "op."))
    for _ in range(2):
        with revision(database):
            upgrade()
    with revision(database) as connection:
        found = sa.inspect(connection).get_columns("bills")[-1]
        assert (found["default"], found["nullable"]) == ("gen_random_uuid()", nullable)
        assert len({row[0] for row in rows(connection, "SELECT token FROM bills")}) == 3


def test_add_column_refuses_in_a_script_when_rows_would_each_get_a_default(
    database: Database,
) -> None:
    with pytest.raises(helpers.UnsafeOperation, match="a default that differs from row to row"):
        written(database, partial(helpers.add_column, "bills", token(), **concurrently))


def test_add_column_acts_when_the_default_is_one_for_all_rows(database: Database) -> None:
    prepare(database, *TABLES)
    defaults: dict[str, Any] = {"a": "n/a (none)", "b": sa.text("'x (y)'"), "c": None}
    defaults |= {"d": sa.func.now(), "e": sa.text("(-1)"), "f": sa.text("0::numeric(10,2)")}
    defaults |= {"g": sa.text("lower('X') || 'y'"), "h": sa.text("CURRENT_TIMESTAMP")}
    for name, default in defaults.items():
        column = sa.Column(name, sa.String(60), server_default=default)
        with revision(database):
            assert_applied(partial(helpers.add_column, "bills", column, **concurrently))


def test_add_column_confirms_when_the_column_is_there_with_such_a_default(
    database: Database,
) -> None:
    prepare(database, *TABLES)
    prepare(database, "ALTER TABLE bills ADD COLUMN token UUID DEFAULT gen_random_uuid()")
    with revision(database):
        assert_skipped(partial(helpers.add_column, "bills", token(), **concurrently))
        assert_conflict(partial(helpers.add_column, "bills", token(nullable=False), **concurrently))


# Elsewhere, and in all sorts of places


@pytest.mark.databases("sqlite", "mariadb", "mysql")
@pytest.mark.parametrize("verb", ["create_foreign_key", "create_check_constraint", "create_unique"])
def test_constraint_ignores_the_keyword_when_the_server_has_no_such_thing(
    verb: str, database: Database
) -> None:
    prepare(database, *TABLES)
    act = VERBS.get(verb) or partial(
        helpers.create_unique_constraint, "uq_bills", "bills", ["amount"], **concurrently
    )
    with revision(database):
        assert_applied(act)
        assert_skipped(act)


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_column_ignores_the_keyword_when_the_server_has_no_such_thing(database: Database) -> None:
    prepare(database, *TABLES)
    column = partial(sa.Column, "paid", sa.Integer(), nullable=False, server_default="0")
    for act in (
        lambda: helpers.add_column("bills", column(), **concurrently),
        lambda: helpers.alter_column("bills", "amount", nullable=False, **concurrently),
    ):
        with revision(database):
            assert_applied(act)
            assert_skipped(act)


def test_verbs_act_and_skip_when_schema_is_given_and_names_are_odd(
    database: Database, other_schema: str
) -> None:
    column, name = "it's %(a)s " + "x" * 40, "a % b"
    with revision(database) as connection:
        run(connection, 'CREATE TABLE other."it\'s" (id INT PRIMARY KEY)')
        run(connection, 'INSERT INTO other."it\'s" VALUES (1)')
        table, given = "it's", {"schema": other_schema, **concurrently}
        made = partial(sa.Column, column, sa.Double(), nullable=False, server_default="1")
        for act in (
            lambda: helpers.add_column(table, made(), **given),
            lambda: helpers.create_unique_constraint(name, table, [column], **given),
            lambda: helpers.create_check_constraint(f"{name}_", table, "id % 2 > 0", **given),
        ):
            assert_applied(act)
            assert_skipped(act)


def test_batch_passes_the_keyword_on(database: Database) -> None:
    prepare(database, *TABLES)
    with (
        revision(database),
        counted(database.engine) as statements,
        helpers.batch_alter_table("bills") as batch,
    ):
        batch.create_unique_constraint("uq_bills", ["amount"], **concurrently)
        batch.alter_column("amount", nullable=False, **concurrently)
    assert any("CONCURRENTLY" in sql for sql in statements)
    assert any("VALIDATE" in sql for sql in statements)


UNNAMED: dict[str, Act] = {
    "foreign key": lambda: helpers.create_foreign_key(
        None, "bills", "users", ["user_id"], ["id"], **concurrently
    ),
    "check": lambda: helpers.create_check_constraint(None, "bills", "amount > 0", **concurrently),
    "column with a key": lambda: helpers.add_column(
        "bills", sa.Column("payer", sa.Integer, sa.ForeignKey("users.id")), **concurrently
    ),
    "unique column": lambda: helpers.add_column(
        "bills", sa.Column("token", sa.Uuid(), unique=True), **concurrently
    ),
}


@pytest.mark.parametrize("what", UNNAMED)
def test_verb_refuses_before_its_first_step_when_a_constraint_has_no_name(
    what: str, database: Database
) -> None:
    prepare(database, *TABLES)
    with revision(database):
        assert_unsafe(UNNAMED[what], "without a name")
