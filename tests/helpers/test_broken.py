"""What a verb leaves unusable is said, where the server lets it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

import alembic_helpers as op
from tests.databases import Database
from tests.helpers.vocabulary import prepare, revision

VERBS: dict[str, tuple[Callable[[], object], tuple[str, ...], str]] = {
    "drop_view": (lambda: op.drop_view("v1"), ("sqlite", "mariadb", "mysql"), "v2"),
    "replace_view": (
        lambda: op.replace_view("v1", "SELECT n, id FROM foo"),
        ("sqlite", "mariadb", "mysql"),
        "v2",
    ),
    "drop_table": (lambda: op.drop_table("foo"), ("sqlite", "mariadb", "mysql"), "v1 v2"),
    "drop_column": (lambda: op.drop_column("foo", "val"), ("mariadb", "mysql"), "v1 v2"),
    "rename_table": (lambda: op.rename_table("foo", "bar"), ("mariadb", "mysql"), "v1 v2"),
    "alter_column": (
        lambda: op.alter_column("foo", "val", new_column_name="value", existing_type=sa.String(9)),
        ("mariadb", "mysql"),
        "v1 v2",
    ),
}
MADE = [
    "CREATE TABLE foo (id INTEGER PRIMARY KEY, val VARCHAR(9), n INTEGER)",
    "CREATE VIEW v1 AS SELECT id, val FROM foo",
    "CREATE VIEW v2 AS SELECT id, val FROM v1",
    "CREATE VIEW other AS SELECT 1 AS one",
]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.databases("sqlite", "mariadb", "mysql")
@pytest.mark.parametrize("verb", VERBS)
def test_verb_says_which_views_cannot_be_used_when_the_server_lets_it_break_them(
    database: Database, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(database, *MADE)
    run, on, views = VERBS[verb]
    if database.name not in on:
        pytest.skip("SQLite refuses it, or carries the views along")
    with revision(database):
        run()
    said = warned(caplog)
    assert len(said) == len(views.split())
    name = "v1" if "view" in verb else "foo"
    for line, view in zip(said, views.split(), strict=True):
        assert line.startswith(f"warn {verb} {name}: view {view} cannot be used now: ")


@pytest.mark.databases("sqlite")
def test_drop_table_says_which_triggers_cannot_fire_when_they_write_to_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(
        database,
        *MADE,
        "CREATE TABLE log (what TEXT)",
        "CREATE TRIGGER tr AFTER INSERT ON foo BEGIN INSERT INTO log VALUES ('x'); END",
    )
    with revision(database):
        op.drop_table("log")
    assert warned(caplog) == [
        "warn drop_table log: trigger tr cannot be used now: no such table: main.log"
    ]


def test_verb_says_nothing_when_what_uses_the_table_goes_with_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(database, *MADE)
    with revision(database):
        op.drop_view("v2")
        op.drop_view("v1")
        op.replace_view("other", "SELECT 2 AS one")
        op.drop_column("foo", "val")
        op.drop_table("foo")
    assert warned(caplog) == []
