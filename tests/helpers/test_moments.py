"""A default that is spelled otherwise and means the same is the same."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import prepare, revision

TYPES: dict[str, Any] = {
    "timestamptz": sa.DateTime(timezone=True),
    "timestamp": sa.DateTime(),
    "date": sa.Date(),
    "timetz": sa.Time(timezone=True),
    "time": sa.Time(),
    "text": sa.Text(),
}
NOW = ["now()", "CURRENT_TIMESTAMP", "transaction_timestamp()", "current_timestamp"]
SPELLINGS = [
    ("timestamptz", NOW),
    ("timestamp", NOW),
    ("timestamp", ["LOCALTIMESTAMP", "now()::timestamp", "CURRENT_TIMESTAMP::timestamp"]),
    ("date", ["CURRENT_DATE", "now()::date", "CURRENT_TIMESTAMP::date"]),
    ("timetz", ["CURRENT_TIME", "now()::timetz"]),
    ("time", ["LOCALTIME", "now()::time"]),
    ("text", ["CURRENT_USER", "user", "current_role"]),
    ("text", ["current_schema", "current_schema()"]),
    ("text", ["current_catalog", "current_database()"]),
    ("timestamptz", ["now() + interval '1 day'", "CURRENT_TIMESTAMP + interval '1 day'"]),
]


def column(type_: str, default: Any) -> sa.Column[Any]:
    return sa.Column("a", TYPES[type_], server_default=default)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(("type_", "spelled"), SPELLINGS)
def test_verbs_skip_when_a_default_is_spelled_otherwise(
    database: Database, type_: str, spelled: list[str]
) -> None:
    for there in spelled:
        prepare(database, "DROP TABLE IF EXISTS t", f"CREATE TABLE t (a {type_} DEFAULT {there})")
        for wanted in spelled:
            with revision(database):
                helpers.create_table("t", column(type_, sa.text(wanted)))
                helpers.add_column("t", column(type_, sa.text(wanted)))


@pytest.mark.parametrize("wanted", [sa.func.now(), sa.func.current_timestamp()])
@pytest.mark.parametrize("there", ["CURRENT_TIMESTAMP", "now()"])
def test_moment_of_sqlalchemy_is_that_of_the_server(
    database: Database, there: str, wanted: Any
) -> None:
    if database.name == "sqlite" and there == "now()":
        pytest.skip("SQLite has no now()")
    type_ = "timestamp" if database.kin != "mariadb" else "datetime"
    prepare(database, f"CREATE TABLE t (a {type_} DEFAULT {there})")
    if database.name == "sqlite":
        prepare(database, "DROP TABLE t", "CREATE TABLE t (a DATETIME DEFAULT CURRENT_TIMESTAMP)")
    with revision(database):
        helpers.create_table("t", column("timestamp", wanted))


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("type_", "there", "wanted"),
    [
        ("timestamptz", "now()", "statement_timestamp()"),
        ("timestamptz", "now()", "CURRENT_TIMESTAMP(0)"),
        ("text", "'CURRENT_USER'", "'USER'"),
        ("text", "CURRENT_USER", "SESSION_USER"),
    ],
)
def test_create_table_is_a_conflict_when_a_default_means_something_else(
    database: Database, type_: str, there: str, wanted: str
) -> None:
    prepare(database, f"CREATE TABLE t (a {type_} DEFAULT {there})")
    with pytest.raises(helpers.SchemaConflict), revision(database):
        helpers.create_table("t", column(type_, sa.text(wanted)))
