"""SQL as the author wrote it: a colon in DDL is a colon, and a parameter has a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from alembic_toolkit.verbs.errors import DatabaseRefused
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    Act,
    assert_applied,
    assert_conflict,
    assert_skipped,
    follow,
    outcome_of,
    prepare,
    revision,
    snapshot,
)

TABLE = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, s VARCHAR(50))"
COLONS = "':b :tada: a:b ::int :1 %(x)s %s'"  # the words of a condition, and of a default


def computed(database: Database) -> Any:
    joined = f"concat(s, {COLONS})" if database.kin == "mariadb" else f"s || {COLONS}"
    return sa.Computed(joined, persisted=database.name == "postgresql")


def colons(database: Database) -> dict[str, Act]:
    """Return every verb that takes SQL and writes DDL."""
    where: dict[str, Any] = {
        f"{server}_where": f"s <> {COLONS}" for server in ("postgresql", "sqlite")
    }
    keyed: dict[str, Any] = {key: sa.text(text) for key, text in where.items()}
    expressions: list[Any] = ["s"] if database.kin == "mariadb" else [sa.text(f"(s || {COLONS})")]
    return {
        "check": lambda: helpers.create_check_constraint("ck", "t", f"s <> {COLONS}"),
        "check as text": lambda: helpers.create_check_constraint(
            "ck2", "t", sa.text(f"s <> {COLONS}")
        ),
        "default": lambda: helpers.add_column(
            "t", sa.Column("d", sa.String(50), server_default=sa.text(COLONS))
        ),
        "altered default": lambda: helpers.alter_column(
            "t", "s", server_default=sa.text(COLONS), existing_type=sa.String(50)
        ),
        "check of a column": lambda: helpers.create_table(
            "t3", sa.Column("s", sa.String(50), sa.CheckConstraint(f"s <> {COLONS}"))
        ),
        "index": lambda: helpers.create_index("ix", "t", expressions, **keyed),
        "index of strings": lambda: helpers.create_index("ix2", "t", ["s"], **where),
        "index concurrently": lambda: helpers.create_index(
            "ix3", "t", expressions, **where, postgresql_concurrently=True
        ),
        "computed": lambda: helpers.add_column(
            "t", sa.Column("g", sa.String(90), computed(database))
        ),
        "table": lambda: helpers.create_table(
            "t2",
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("s", sa.String(50), server_default=sa.text(COLONS)),
            sa.Column("g", sa.String(90), computed(database)),
            sa.CheckConstraint(f"s <> {COLONS}", name="ck_t2"),
            sa.Index("ix_t2", "s", **keyed),
        ),
    }


def test_verbs_write_a_colon_as_it_is(database: Database) -> None:
    prepare(database, TABLE)
    with revision(database) as connection:
        for act in colons(database).values():
            assert_applied(act)
            assert_skipped(act)
        found = "\n".join(snapshot(connection).values())
    assert "NULL :tada" not in found
    assert "'NULL" not in found
    assert found.count(":b :tada: a:b ::int :1 %(x)s %s") >= 6


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_script_writes_a_colon_as_it_is(database: Database) -> None:
    prepare(database, TABLE)

    def upgrade() -> None:
        for act in colons(database).values():
            act()

    script = written(database, upgrade)
    for _ in range(2):
        run_with_client(database, script)
    with revision(database):
        for act in colons(database).values():
            assert_skipped(act)


@pytest.mark.databases("postgresql")
def test_create_exclude_constraint_writes_a_colon_as_it_is(database: Database) -> None:
    prepare(database, TABLE)

    def act() -> None:
        helpers.create_exclude_constraint(
            "ex", "t", (sa.column("id"), "="), using="btree", where=f"s <> {COLONS}"
        )

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        assert "':b :tada" in snapshot(connection)["constraint public.t.ex"]


UPDATE = "UPDATE t SET s = ':b'"
UNBOUND: dict[str, Callable[[], Any]] = {
    "execute": lambda: helpers.execute(UPDATE),
    "text": lambda: helpers.execute(sa.text(UPDATE)),
    "operation": lambda: helpers.invoke(helpers_op(UPDATE)),
    "unless": lambda: helpers.execute("UPDATE t SET id = 2", unless="SELECT 1 WHERE ':b' = 'a'"),
    "once": lambda: helpers.execute(UPDATE, once="mark"),
    "where": lambda: helpers.backfill("t", {"s": "a"}, where="s <> ':b'"),
    "value": lambda: helpers.backfill("t", {"s": sa.text("':b'")}, where="s <> 'a'"),
    "row": lambda: helpers.bulk_insert(
        sa.table("t", sa.column("id"), sa.column("s")),
        [{"id": 5, "s": sa.text("':b'")}],
        key=["id"],
    ),
}


def helpers_op(sql: str) -> Any:
    from alembic.operations import ops

    return ops.ExecuteSQLOp(sql)


@pytest.mark.parametrize("verb", UNBOUND)
def test_data_verbs_refuse_a_parameter_without_a_value(verb: str, database: Database) -> None:
    """In a script it would be NULL, and the rows with it."""
    prepare(database, TABLE, "INSERT INTO t VALUES (1, 'x')")
    with revision(database):
        outcome = outcome_of(UNBOUND[verb])
        assert isinstance(outcome.error, CommandError), outcome
        assert not outcome.changes, outcome
        assert ":b is a parameter, and has no value" in str(outcome.error)
    with pytest.raises(CommandError, match=":b is a parameter"):
        written(database, UNBOUND[verb])


def test_data_verbs_take_what_the_refusal_says(database: Database) -> None:
    prepare(database, TABLE, "INSERT INTO t VALUES (1, 'x')")

    def upgrade() -> None:
        helpers.execute(r"UPDATE t SET s = '\:b' WHERE s = 'x'")
        helpers.execute(sa.text("UPDATE t SET s = :c WHERE s = :b").bindparams(b=":b", c=":c"))

    run_with_client(database, written(database, upgrade))
    with revision(database) as connection:
        assert connection.exec_driver_sql("SELECT s FROM t").scalar() == ":c"
        upgrade()


# Backslashes, which are no characters of their own where the server was told so

NASTY = "b\\' \\\\ :n %s '; DROP TABLE victim; --\\"
VICTIM = "CREATE TABLE victim (id INTEGER)"
LABELS = [NASTY[:40], "a\\"]
BACKSLASHES: dict[str, Act] = {
    "default": lambda: helpers.add_column(
        "t", sa.Column("d", sa.String(90), server_default=NASTY, comment=NASTY)
    ),
    "altered": lambda: helpers.alter_column(
        "t", "s", server_default=NASTY, comment=NASTY, existing_type=sa.String(50)
    ),
    "table comment": lambda: helpers.create_table_comment("t", NASTY),
    "check": lambda: helpers.create_check_constraint("ck", "t", sa.column("s") != NASTY),
    "table": lambda: helpers.create_table(
        "t2\\",
        sa.Column("id\\", sa.Integer(), primary_key=True, comment=NASTY),
        sa.Column("s", sa.String(90), server_default=NASTY),
        comment=NASTY,
    ),
}
POSTGRESQL: dict[str, Act] = {
    "index": lambda: helpers.create_index(
        "ix", "t", ["s"], postgresql_where=sa.column("s") != NASTY
    ),
    "enum": lambda: helpers.create_enum("e", LABELS),
    "value": lambda: helpers.add_enum_value("e", "z\\", after="a\\"),
    "renamed value": lambda: helpers.rename_enum_value("e", "z\\", "y\\'"),
    "enum of a column": lambda: helpers.add_column(
        "t", sa.Column("e", sa.Enum(*LABELS, "y\\'", name="e", create_type=False))
    ),
}


def told(database: Database, *statements: str) -> Database:
    """Return the database with an engine that was never connected before it was told so."""
    prepare(database, TABLE, VICTIM, *statements)
    engine = sa.create_engine(database.url, poolclass=sa.NullPool)
    return replace(database, engine=engine)


@pytest.mark.databases("postgresql")
def test_verbs_write_a_backslash_as_it_is_when_the_server_would_escape(database: Database) -> None:
    name = database.engine.url.database
    off = f'ALTER DATABASE "{name}" SET standard_conforming_strings = off'
    quiet = f'ALTER DATABASE "{name}" SET escape_string_warning = off'
    escaping = told(database, off, quiet)
    try:
        with revision(escaping):
            for act in (BACKSLASHES | POSTGRESQL).values():
                assert_applied(act)
                assert_skipped(act)
            assert_applied(lambda: helpers.drop_table_comment("t"))
    finally:
        prepare(database, f'ALTER DATABASE "{name}" RESET ALL')
    with revision(database) as connection:  # as others see it
        for name in ("default", "altered", "check", "table", "index", "renamed value"):
            assert_skipped((BACKSLASHES | POSTGRESQL)[name])
        assert sa.inspect(connection).has_table("victim")
        assert comment_of(connection, "d") == NASTY


def comment_of(connection: sa.Connection, name: str) -> Any:
    columns = sa.inspect(connection).get_columns("t")
    return next(column["comment"] for column in columns if column["name"] == name)


@pytest.mark.databases("mariadb", "mysql")
def test_verbs_write_a_backslash_as_it_is_when_the_server_has_no_escapes(
    database: Database,
) -> None:
    prepare(database, TABLE, VICTIM)
    engine = sa.create_engine(
        database.url,
        poolclass=sa.NullPool,
        connect_args={"sql_mode": "NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES"},
    )
    with revision(replace(database, engine=engine)) as connection:
        for name, act in BACKSLASHES.items():
            if (database.name, name) == ("mysql", "check"):
                # MySQL writes the quote with a backslash of its own, and cannot read that again
                with pytest.raises(DatabaseRefused, match="error in your SQL syntax"):
                    act()
            else:
                assert_applied(act)
        assert comment_of(connection, "d") == NASTY
    with revision(database) as connection:
        assert comment_of(connection, "s") == NASTY
        assert sa.inspect(connection).has_table("victim")


@pytest.mark.parametrize("verb", ["create_table", "add_column"])
def test_code_in_a_message_keeps_the_colons_of_a_default(verb: str, database: Database) -> None:
    prepare(database, "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, s VARCHAR(20) DEFAULT 'x')")
    column = partial(sa.Column, "s", sa.String(20), server_default='{"a":1, "b"::c}')
    key = partial(sa.Column, "id", sa.Integer, primary_key=True, autoincrement=False)
    acts: dict[str, Act] = {
        "create_table": lambda: helpers.create_table("t", key(), column()),
        "add_column": lambda: helpers.add_column("t", column()),
    }
    with revision(database):
        follow(assert_conflict(acts[verb]))
        assert_skipped(acts[verb])


def test_code_in_a_message_names_a_key_by_its_column(database: Database) -> None:
    prepare(database, "CREATE TABLE t (code INTEGER NOT NULL)")
    column = partial(sa.Column, "code", sa.Integer, key="k", primary_key=True, autoincrement=False)
    with revision(database):
        follow(assert_conflict(lambda: helpers.create_table("t", column())))
        assert_skipped(lambda: helpers.create_table("t", column()))
