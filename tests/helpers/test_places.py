"""Where things are: ``schema_translate_map``, a search path of several schemas, no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.orm import Session

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    assert_unsafe,
    follow,
    prepare,
    quoted,
    revision,
    rows,
    run,
)

SVC = "svc"  # the name in the revisions, of no schema that is there


@contextmanager
def translated(database: Database, names: dict[str | None, str | None]) -> Iterator[sa.Connection]:
    """Run a revision on an engine with this schema_translate_map."""
    engine = database.engine.execution_options(schema_translate_map=names)
    with revision(replace(database, engine=engine)) as connection:
        yield connection


def in_schema(schema: str, *statements: str) -> list[str]:
    return [statement.replace("{s}", schema) for statement in statements]


THINGS = [
    "CREATE TABLE {s}.users (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE {s}.bills (id INTEGER NOT NULL PRIMARY KEY, amount INTEGER, user_id INTEGER,"
    " CONSTRAINT uq_bills UNIQUE (amount))",
]
Verb = Callable[[str | None], Any]
VERBS: dict[str, Verb] = {  # each applies once on THINGS, and is skipped then
    "create_table": lambda s: helpers.create_table(
        "notes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("parent", sa.Integer(), sa.ForeignKey(f"{s}.notes.id" if s else "notes.id")),
        sa.Column("by", sa.Integer(), sa.ForeignKey(f"{s}.users.id" if s else "users.id")),
        sa.Column("text", sa.String(30), index=True),
        schema=s,
    ),
    "drop_table": lambda s: helpers.drop_table("bills", schema=s),
    "rename_table": lambda s: helpers.rename_table("bills", "invoices", schema=s),
    "add_column": lambda s: helpers.add_column(
        "bills", sa.Column("n", sa.Integer(), server_default="0", index=True), schema=s
    ),
    "drop_column": lambda s: helpers.drop_column("bills", "user_id", schema=s),
    "alter_column": lambda s: helpers.alter_column(
        "bills", "amount", type_=sa.BigInteger(), schema=s
    ),
    "alter_column (rename)": lambda s: helpers.alter_column(
        "bills", "amount", new_column_name="cents", schema=s
    ),
    "alter_column (null)": lambda s: helpers.alter_column(
        "bills", "amount", nullable=False, existing_type=sa.Integer(), schema=s
    ),
    "create_index": lambda s: helpers.create_index("ix", "bills", ["user_id"], schema=s),
    "create_index (concurrently)": lambda s: helpers.create_index(
        "ix", "bills", ["user_id"], schema=s, postgresql_concurrently=True
    ),
    "create_unique_constraint": lambda s: helpers.create_unique_constraint(
        "uq", "bills", ["user_id"], schema=s
    ),
    "create_check_constraint": lambda s: helpers.create_check_constraint(
        "ck", "bills", "amount > 0", schema=s
    ),
    "create_foreign_key": lambda s: helpers.create_foreign_key(
        "fk", "bills", "users", ["user_id"], ["id"], source_schema=s, referent_schema=s
    ),
    "drop_constraint": lambda s: helpers.drop_constraint("uq_bills", "bills", schema=s),
    "create_view": lambda s: helpers.create_view("v", "SELECT 1 AS one", schema=s),
    "create_enum": lambda s: helpers.create_enum("mood", ["sad", "glad"], schema=s),
    "create_table_comment": lambda s: helpers.create_table_comment("bills", "Owed.", schema=s),
    "bulk_insert": lambda s: helpers.bulk_insert(
        sa.table("users", sa.column("id", sa.Integer()), schema=s), [{"id": 1}], key=["id"]
    ),
    "batch": lambda s: batch(s),
}
NOT_ON = {
    "sqlite": {"create_enum", "create_table_comment"},
    "mariadb": {"create_enum"},
    "postgresql": set(),
}
REPEATS = {"mariadb": {"create_view"}}  # compared by name alone, and skipped all the same


def batch(schema: str | None) -> None:
    with helpers.batch_alter_table("bills", schema=schema) as op:
        op.add_column(sa.Column("paid", sa.Date()))


each_verb = pytest.mark.parametrize("verb", VERBS)


@pytest.fixture
def template(database: Database, other_schema: str) -> str:
    """Give the tenant's schema the things; the schema that the revisions name is not there."""
    prepare(database, *in_schema(other_schema, *THINGS))
    return other_schema


@each_verb
@pytest.mark.parametrize("written", [SVC, None])
def test_verb_is_about_the_tenant_when_schemas_are_translated(
    database: Database, template: str, verb: str, written: str | None
) -> None:
    if verb in NOT_ON[database.kin]:
        pytest.skip("not on this server")
    act = VERBS[verb]
    with translated(database, {written: template}):
        assert_applied(lambda: act(written))
        assert_skipped(lambda: act(written))


@each_verb
def test_verb_acts_on_the_tenant_when_the_template_is_done_already(
    database: Database, template: str, verb: str
) -> None:
    if verb in NOT_ON[database.kin]:
        pytest.skip("not on this server")
    default = {"sqlite": "main", "postgresql": "public"}.get(database.kin)
    default = default or str(database.engine.url.database)
    prepare(database, *in_schema(default, *THINGS))
    act = VERBS[verb]
    with revision(database):
        assert_applied(lambda: act(default))
    with translated(database, {default: template}):
        assert_applied(lambda: act(default))
        assert_skipped(lambda: act(default))


def test_question_is_about_the_tenant_when_schemas_are_translated(
    database: Database, template: str
) -> None:
    prepare(database, *in_schema(template, "CREATE VIEW {s}.v AS SELECT 1 AS one"))
    with translated(database, {SVC: template}):
        helpers.create_index("ix", "bills", ["user_id"], schema=SVC)
        for schema in (SVC, template):
            assert helpers.table_exists("bills", schema=schema)
            assert helpers.table_has_column("bills", "amount", schema=schema)
            assert helpers.table_has_index("bills", "ix", schema=schema)
            assert helpers.table_has_constraint("bills", "uq_bills", schema=schema)
            assert helpers.view_exists("v", schema=schema)
        if database.name == "postgresql":
            helpers.create_enum("mood", ["sad"], schema=SVC)
            assert helpers.enum_exists("mood", schema=SVC)


def test_backfill_and_once_are_about_the_tenant_when_schemas_are_translated(
    database: Database, template: str
) -> None:
    prepare(database, *in_schema(template, "INSERT INTO {s}.bills (id) VALUES (1)"))
    with translated(database, {SVC: template, None: template}) as connection:
        helpers.backfill("bills", {"amount": 7}, where="amount IS NULL", schema=SVC)
        found = f"SELECT amount FROM {quoted(connection, 'bills', template)}"
        assert rows(connection, found) == [(7,)]
        add = f"UPDATE {quoted(connection, 'bills', template)} SET amount = amount + 1"
        for _ in range(2):
            helpers.execute(add, once="one more")
        assert rows(connection, found) == [(8,)]


def test_advice_names_the_schema_as_the_revision_does_when_it_is_translated(
    database: Database, template: str
) -> None:
    index = f"CREATE INDEX ix ON {template}.bills (amount)"
    if database.name == "sqlite":
        index = f"CREATE INDEX {template}.ix ON bills (amount)"
    prepare(database, index)
    with translated(database, {SVC: template}):
        message = assert_conflict(
            lambda: helpers.create_index("ix", "bills", ["user_id"], schema=SVC)
        )
        assert f"schema='{SVC}'" in message
        follow(message)
        assert_applied(lambda: helpers.create_index("ix", "bills", ["user_id"], schema=SVC))


def test_verb_refuses_when_a_translated_name_is_translated_again(database: Database) -> None:
    with (
        pytest.raises(CommandError, match="nobody can tell"),
        translated(database, {"a": "b", "b": "a"}),
    ):
        helpers.table_exists("bills", schema="a")


@pytest.mark.databases("postgresql")
def test_create_table_makes_and_confirms_the_tenants_enum_when_schemas_are_translated(
    database: Database, other_schema: str
) -> None:
    def create() -> None:
        helpers.create_table(
            "moods", sa.Column("m", sa.Enum("a", "b", name="mood", schema=SVC)), schema=SVC
        )

    prepare(database, "CREATE TYPE other.mood AS ENUM ('a', 'b')")
    with translated(database, {SVC: other_schema}):
        assert_applied(create)
        assert_skipped(create)


# A search path of several schemas

HERE: dict[str, Callable[[], Any]] = {
    "create_table": lambda: helpers.create_table(
        "users",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(30), index=True),
        sa.Column("mood", sa.Enum("sad", "glad", name="mood")),
    ),
    "create_view": lambda: helpers.create_view("v", "SELECT 1 AS one"),
    "replace_view": lambda: helpers.replace_view("v", "SELECT 1 AS one"),
    "create_enum": lambda: helpers.create_enum("mood", ["sad", "glad"]),
}


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("verb", HERE)
@pytest.mark.parametrize("path", ["other, public", "missing, other, public", "pg_catalog, other"])
def test_create_looks_where_it_would_create_when_the_path_has_several_schemas(
    database: Database, other_schema: str, verb: str, path: str
) -> None:
    if path == "pg_catalog, other":
        path = "other, pg_catalog, public"
    create = HERE[verb]
    with revision(database):
        create()  # in public
    with revision(database) as connection:
        run(connection, f"SET LOCAL search_path = {path}")
        assert_applied(create)
        assert_skipped(create)


@pytest.mark.databases("postgresql")
def test_create_makes_its_own_when_another_schema_of_the_path_has_another_definition(
    database: Database, other_schema: str
) -> None:
    prepare(
        database,
        "CREATE TABLE public.users (other TEXT)",
        "CREATE INDEX ix_users_name ON public.users (other)",
        "CREATE VIEW public.v AS SELECT 2 AS two",
        "CREATE TYPE public.mood AS ENUM ('x')",
    )
    with revision(database) as connection:
        run(connection, "SET LOCAL search_path = other, public")
        for create in HERE.values():
            if create is not HERE["replace_view"]:
                create()
        assert rows(connection, "SELECT relname FROM pg_class WHERE relname = 'ix_users_name'") == [
            ("ix_users_name",),
            ("ix_users_name",),
        ]
        assert helpers.table_has_column("users", "name")  # as the server finds it
        assert_skipped(lambda: helpers.create_index("ix_users_name", "users", ["name"]))
        assert_applied(lambda: helpers.drop_table("users"))
        assert helpers.table_has_column("users", "other")


@pytest.mark.databases("postgresql")
def test_verbs_alter_what_the_server_finds_when_the_path_has_several_schemas(
    database: Database, other_schema: str
) -> None:
    prepare(
        database,
        "CREATE TABLE public.users (id INT)",
        "CREATE TABLE other.ix (id INT)",
        "CREATE TABLE other.people (id INT)",
    )
    with revision(database) as connection:
        run(connection, "SET LOCAL search_path = other, public")
        assert_applied(lambda: helpers.add_column("users", sa.Column("n", sa.Integer())))
        # another's table has the name of the index, but not in the schema of this table
        assert_applied(lambda: helpers.create_index("ix", "users", ["n"]))
        # and the new name is that of another's table
        assert_applied(lambda: helpers.rename_table("users", "people"))
        assert rows(connection, "SELECT n FROM public.people") == []


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", ["users", "Users"])
def test_create_table_refuses_when_a_temporary_one_has_its_name(
    database: Database, name: str
) -> None:
    def create() -> None:
        helpers.create_table(name, sa.Column("id", sa.Integer(), primary_key=True, index=True))

    with revision(database) as connection:
        run(connection, f'CREATE TEMPORARY TABLE "{name}" (id INT)')
        message = assert_unsafe(create, "a temporary table hides it")
        follow(message.replace(f"TABLE {name}", f'TABLE "{name}"'))
        assert_applied(create)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("verb", HERE)
@pytest.mark.parametrize("path", ["missing", "''", "pg_temp, public"])
def test_create_refuses_when_the_path_leads_to_no_schema_that_lasts(
    database: Database, verb: str, path: str
) -> None:
    with revision(database) as connection:
        run(connection, f"SET LOCAL search_path = {path}")
        assert_unsafe(HERE[verb], "no schema to create it in")
        run(connection, "SET LOCAL search_path = public")
        assert_applied(HERE[verb])


# No memory: other SQL may do anything between two verbs


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("way", ["op", "bind", "session"])
def test_verbs_ask_the_database_when_other_sql_ran_in_between(database: Database, way: str) -> None:
    from alembic import op

    def create() -> None:
        helpers.create_table("bills", sa.Column("id", sa.Integer(), primary_key=True))

    with revision(database) as connection:
        create()
        if way == "op":
            op.drop_table("bills")
        elif way == "bind":
            connection.execute(sa.text("DROP TABLE bills"))
        else:
            Session(connection).execute(sa.text("DROP TABLE bills"))
        assert helpers.table_exists("bills") is False
        assert_missing_parent(lambda: helpers.create_index("ix", "bills", ["id"]))
        assert_applied(create)
        connection.exec_driver_sql("CREATE INDEX ix ON bills (id)")
        assert_skipped(lambda: helpers.create_index("ix", "bills", ["id"]))
