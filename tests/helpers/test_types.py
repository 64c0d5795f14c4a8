"""Types that a column brings along, and a type that changes together with a default."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    assert_unsafe,
    follow,
    prepare,
    revision,
    rows,
)

pytestmark = pytest.mark.databases("postgresql")


def mood(*values: str) -> Any:
    return sa.Enum(*(values or ("glad", "sad")), name="mood")


class Mood(sa.types.TypeDecorator[str]):
    """An application's own type."""

    impl = sa.Enum
    cache_ok = True

    def __init__(self) -> None:
        super().__init__("glad", "sad", name="mood")


TYPES: dict[str, Callable[[], Any]] = {
    "enum": mood,
    "array": lambda: sa.ARRAY(mood()),
    "own-array": lambda: postgresql.ARRAY(postgresql.ENUM("glad", "sad", name="mood")),
    "decorated": Mood,
    "variant": lambda: sa.String(9).with_variant(
        postgresql.ENUM("glad", "sad", name="mood"), "postgresql"
    ),
    "domain": lambda: postgresql.DOMAIN("mood", sa.Integer(), check=sa.text("VALUE > 0")),
}
DOES: dict[str, Callable[[Any], Callable[[], Any]]] = {
    "create_table": lambda type_: (
        lambda: helpers.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("m", type_())
        )
    ),
    "add_column": lambda type_: lambda: helpers.add_column("bills", sa.Column("m", type_())),
    "alter_column": lambda type_: (
        lambda: helpers.alter_column(
            "bills",
            "n",
            type_=type_(),
            postgresql_using=f"NULL::{sa.types.to_instance(type_()).compile(postgresql.dialect())}",
        )
    ),
}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("verb", DOES)
def test_verb_makes_or_confirms_the_type_that_its_column_brings_along(
    database: Database, verb: str, kind: str, there: bool
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER)")
    if there:
        made = "DOMAIN mood AS INTEGER" if kind == "domain" else "TYPE mood AS ENUM ('glad', 'sad')"
        prepare(database, f"CREATE {made}")
    act = DOES[verb](TYPES[kind])
    with revision(database):
        assert_applied(act)
        assert_skipped(act)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("verb", DOES)
def test_script_makes_the_type_that_its_column_brings_along(
    database: Database, verb: str, kind: str
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER)")
    act = DOES[verb](TYPES[kind])
    script = written(database, act)
    run_with_client(database, script)
    run_with_client(database, script)
    with revision(database):
        assert_skipped(act)


@pytest.mark.parametrize("verb", ["create_table", "add_column", "alter_column"])
def test_verb_refuses_when_the_type_has_other_values(database: Database, verb: str) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER)",
        "CREATE TYPE mood AS ENUM ('glad')",
    )
    with revision(database):
        assert_conflict(DOES[verb](TYPES["array"]), "create_enum")


CHANGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "none": (
        "ref VARCHAR(36) DEFAULT '0'",
        {"type_": sa.Uuid(), "server_default": None, "postgresql_using": "ref::uuid"},
        "None",
    ),
    "restated": (
        "ref VARCHAR(9) DEFAULT 'glad'",
        {"type_": mood(), "server_default": "glad", "postgresql_using": "ref::mood"},
        "'glad'::mood",
    ),
    "other": (
        "ref INTEGER DEFAULT 1",
        {
            "type_": sa.Boolean(),
            "server_default": sa.true(),
            "postgresql_using": "ref::integer <> 0",
            "new_column_name": "ok",
            "nullable": False,
        },
        "true",
    ),
}


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("case", CHANGES)
def test_alter_column_changes_the_type_together_with_its_default(
    database: Database, case: str, offline: bool
) -> None:
    column, changes, default = CHANGES[case]
    prepare(database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, {column})")
    if offline:  # its USING names the old column
        changes = {k: v for k, v in changes.items() if k != "new_column_name"}
    act = partial(helpers.alter_column, "t", "ref", **changes)
    if offline:
        script = written(database, act)
        run_with_client(database, script)
        run_with_client(database, script)
    with revision(database):
        if not offline:
            assert_applied(act)
        assert_skipped(act)
        look = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 't'::regclass"
        assert str((rows(helpers.get_bind(), look) or [(None,)])[0][0]) == default


@pytest.mark.parametrize("case", CHANGES)
def test_alter_column_refuses_when_a_default_that_is_not_mentioned_stands_in_the_way(
    database: Database, case: str
) -> None:
    column, changes, _ = CHANGES[case]
    prepare(
        database,
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, {column})",
    )
    left_out = {k: v for k, v in changes.items() if k in ("type_", "postgresql_using")}
    act = partial(helpers.alter_column, "t", "ref", **left_out)
    with revision(database):
        message = assert_unsafe(act, "its default cannot be one of the new type")
        if case == "restated":  # whose default is one of the new type, when it is said
            follow(message)
            assert_skipped(act)


def test_alter_column_keeps_a_default_that_can_be_cast(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id SERIAL PRIMARY KEY, n INTEGER DEFAULT 7)")
    with revision(database):
        assert_applied(lambda: helpers.alter_column("t", "n", type_=sa.Numeric(9, 2)))
        assert_applied(lambda: helpers.alter_column("t", "id", type_=sa.BigInteger()))
        helpers.execute("INSERT INTO t DEFAULT VALUES")
        assert rows(helpers.get_bind(), "SELECT id, n FROM t") == [(1, 7)]
