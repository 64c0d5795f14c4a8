"""What a verb is given: a keyword that means nothing, a text for a list, nothing to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import outcome_of, prepare, revision

TABLE = "CREATE TABLE bills (id INTEGER PRIMARY KEY, due INTEGER, d INTEGER, u INTEGER, e INTEGER)"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "alter": (lambda: helpers.alter_column("bills", "due", nulable=False), "mean nullable"),
    "alter-other": (lambda: helpers.alter_column("bills", "due", index=True), "no keyword index"),
    "existing": (
        lambda: helpers.alter_column("bills", "due", existing_typ=sa.Integer(), nullable=True),
        "mean existing_type",
    ),
    "index": (
        lambda: helpers.create_index("ix", "bills", ["due"], postgresql_concurently=True),
        "mean postgresql_concurrently",
    ),
    "prefix": (
        lambda: helpers.create_index("ix", "bills", ["due"], postgres_concurrently=True),
        "mean postgresql_concurrently",
    ),
    "drop-index": (
        lambda: helpers.drop_index("ix", "bills", postgres_concurrently=True),
        "mean postgresql_concurrently",
    ),
    "using": (
        lambda: helpers.alter_column("bills", "due", type_=sa.Text(), postgresql_usin="due::text"),
        "mean postgresql_using",
    ),
    "drop-column": (
        lambda: helpers.drop_column("bills", "due", mssql_drop_chek=True),
        "mean mssql_drop_check",
    ),
    "drop-table": (lambda: helpers.drop_table("bills", casdade=True), "no keyword casdade"),
    "unique": (
        lambda: helpers.create_unique_constraint("uq", "bills", ["due"], defferrable=True),
        "mean deferrable",
    ),
    "check": (
        lambda: helpers.create_check_constraint("ck", "bills", "due > 0", postgresql_notvalid=True),
        "mean postgresql_not_valid",
    ),
    "table": (
        lambda: helpers.create_table("t", sa.Column("id", sa.Integer), coment="x"),
        "mean comment",
    ),
    "nothing": (lambda: helpers.alter_column("bills", "due"), "asks for nothing"),
    "nothing-existing": (
        lambda: helpers.alter_column("bills", "due", existing_nullable=False),
        "mean nullable=",
    ),
    "list": (lambda: helpers.create_index("ix", "bills", "due"), r"mean \['due'\]"),
    "expression": (
        lambda: helpers.create_index("ix", "bills", sa.text("abs(due)")),  # type: ignore[arg-type]
        r"mean \[sa.text\('abs\(due\)'\)\]",
    ),
    "list-unique": (
        lambda: helpers.create_unique_constraint("uq", "bills", "due"),
        r"mean \['due'\]",
    ),
    "list-key": (
        lambda: helpers.create_primary_key("pk", "bills", "due"),  # type: ignore[arg-type]
        r"mean \['due'\]",
    ),
    "list-foreign": (
        lambda: helpers.create_foreign_key("fk", "bills", "bills", "due", ["id"]),  # type: ignore[arg-type]
        r"mean \['due'\]",
    ),
    "list-enum": (lambda: helpers.create_enum("mood", "glad"), r"mean \['glad'\]"),
    "list-rows": (
        lambda: helpers.bulk_insert(sa.table("bills", sa.column("id")), [{"id": 1}], key="id"),
        r"mean \['id'\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_verb_refuses_when_an_argument_means_nothing(database: Database, case: str) -> None:
    prepare(database, TABLE)
    act, match = REFUSED[case]
    with revision(database):
        outcome = outcome_of(act)
    assert isinstance(outcome.error, CommandError), outcome
    assert not outcome.changes, outcome
    message = " ".join(str(outcome.error).split())
    assert "What to do next: " in message
    assert re.search(match, message), outcome


def test_batch_refuses_before_all_of_its_block_when_a_keyword_means_nothing(
    database: Database,
) -> None:
    prepare(database, TABLE)

    def act() -> None:
        with helpers.batch_alter_table("bills") as batch:
            batch.drop_column("e")
            batch.alter_column("due", nulable=False)

    with revision(database):
        outcome = outcome_of(act)
    assert "Did you mean nullable?" in str(outcome.error)
    assert not outcome.changes


def test_verb_acts_when_a_keyword_is_another_servers(database: Database) -> None:
    prepare(database, TABLE)
    with revision(database):
        options: Any = {
            "postgresql_using": "btree",
            "mysql_length": {"due": 10},
            "mssql_clustered": False,
            "oracle_compress": False,
        }
        if database.kin == "mariadb":  # which would use it
            del options["mysql_length"]
        helpers.create_index("ix", "bills", ["due"], **options)
        helpers.alter_column("bills", "d", type_=sa.Text(), mssql_drop_check=True)
        helpers.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), mysql_engine="InnoDB", comment="t"
        )
        helpers.create_unique_constraint("uq", "t", ["id"], deferrable=None)
        helpers.drop_column("bills", "e", mssql_drop_default=True)
        helpers.alter_column("bills", "u", nullable=True, snowflake_anything=1)
        assert helpers.table_has_index("bills", "ix")
