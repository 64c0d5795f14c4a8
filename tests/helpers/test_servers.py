"""A new server: one value, and nothing else has to be touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.ddl.postgresql import PostgresqlColumnType, PostgresqlImpl, visit_column_type
from alembic.util import CommandError
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.ext.compiler import compiles

import alembic_helpers as helpers
from alembic_toolkit.verbs import servers
from alembic_toolkit.verbs.act import default_create_index
from alembic_toolkit.verbs.servers import mysql, postgresql, sqlite
from alembic_toolkit.verbs.values import Step
from tests.databases import Database
from tests.helpers.scripts import written
from tests.helpers.test_contract import EXPECT, ROWS, Row, spelled
from tests.helpers.vocabulary import assert_applied, assert_skipped, prepare, revision


class Cousin(PGDialect_psycopg):
    """A server that speaks PostgreSQL's SQL under a name of its own, as CockroachDB does."""

    name = "cousin"
    supports_statement_cache = True


class CousinImpl(PostgresqlImpl):
    """What Alembic wants of a dialect that it does not know."""

    __dialect__ = "cousin"


registry.register("cousin.psycopg", __name__, "Cousin")
compiles(PostgresqlColumnType, "cousin")(visit_column_type)  # which Alembic has by dialect, too
made: list[str] = []


def create_index(step: Step) -> None:
    """Create an index in the cousin's own way."""
    made.append(str(step.name))
    default_create_index(step)


COUSIN = replace(
    postgresql.SERVER,
    name="cousin",
    acts={**postgresql.SERVER.acts, "create_index": create_index},
    concurrently=None,
)


@pytest.fixture
def cousin(
    new_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """Give a PostgreSQL database that the verbs know as another server."""
    made.clear()
    monkeypatch.setitem(servers.SERVERS, "cousin", COUSIN)
    database = new_database("postgresql")
    url = sa.make_url(database.url).set(drivername="cousin+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    yield replace(database, url=url.render_as_string(hide_password=False), engine=engine)
    engine.dispose()


CELLS = [
    pytest.param(row, situation, id=f"{row}-{situation}")
    for row in ROWS
    if "postgresql" in row.servers and row.label != "concurrently"
    for situation in row.situations
]


@pytest.mark.parametrize(("row", "situation"), CELLS)
def test_every_verb_keeps_its_contract_on_a_cousin_of_a_server(
    cousin: Database, row: Row, situation: str
) -> None:
    prepare(cousin, *spelled(row.situations[situation], "postgresql"))
    expected = row.elsewhere.get((situation, "postgresql"), row.expected[situation])
    with revision(cousin):
        EXPECT[expected](row.act)


def test_verb_acts_in_the_way_of_the_cousin(cousin: Database) -> None:
    prepare(cousin, "CREATE TABLE bills (id INTEGER PRIMARY KEY, due_on DATE)")
    with revision(cousin):
        assert_applied(lambda: helpers.create_index("ix_due", "bills", ["due_on"]))
        assert_skipped(lambda: helpers.create_index("ix_due", "bills", ["due_on"]))
    assert made == ["ix_due"]


def test_a_script_is_written_for_the_cousin(cousin: Database) -> None:
    script = written(cousin, lambda: helpers.drop_column("bills", "due_on"))
    assert "ALTER TABLE IF EXISTS bills DROP COLUMN IF EXISTS due_on;" in script


def test_an_error_names_the_cousin(cousin: Database) -> None:
    with pytest.raises(helpers.OfflineUnsupported, match="no --sql form of this for cousin"):
        written(cousin, lambda: helpers.table_exists("bills"))


def test_a_server_that_is_not_known_is_refused_in_words(
    cousin: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(servers.SERVERS, "cousin")
    with revision(cousin), pytest.raises(CommandError, match=r"knows PostgreSQL, .* not cousin"):
        helpers.table_exists("bills")


@pytest.mark.parametrize("server", [postgresql.SERVER, mysql.SERVER, sqlite.SERVER])
def test_a_server_lacks_nothing_that_every_server_must_tell(server: Any) -> None:
    missing = {"table", "relation", "sort", "view", "column", "named index"} - {*server.questions}
    assert missing == set()
