"""Fixtures for the tests of ``alembic_helpers``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests import databases
from tests.databases import Database
from tests.helpers.vocabulary import prepare, revision


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    """Keep one database on PostgreSQL, where making one takes longer than a test here."""
    database = databases.new_database("postgresql")
    yield database
    database.close()


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Database]]:
    """Give an empty database on the server of that name."""
    with ExitStack() as stack:

        def new(name: str) -> Database:
            if name != "postgresql":
                database = databases.new_database(name)
                stack.callback(database.close)
                return database
            kept = request.getfixturevalue("postgresql")
            stack.callback(empty, kept)
            return replace(kept, engine=sa.create_engine(kept.url, poolclass=sa.NullPool))

        yield new


@pytest.fixture
def database(request: pytest.FixtureRequest, new_database: Callable[[str], Database]) -> Database:
    """Give the test an empty database, once per server (see the marker ``databases``)."""
    return new_database(request.param)


def empty(database: Database) -> None:
    """Drop all that a test left on PostgreSQL, sessions first."""
    prepare(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "DROP SCHEMA IF EXISTS other CASCADE",
        "CREATE SCHEMA public",
    )


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    """Open a revision on an empty database: the verbs work, and this is their connection."""
    with revision(database) as connection:
        yield connection


@pytest.fixture
def other_schema(database: Database) -> Iterator[str]:
    """Give the database a second schema, in the way in which its server has them."""
    with ExitStack() as stack:
        if database.name == "sqlite":
            path = f"{database.engine.url.database}-other"

            @event.listens_for(database.engine, "connect")
            def attach(connection: object, _: object) -> None:
                connection.execute("ATTACH ? AS other", (path,))  # type: ignore[attr-defined]

            yield "other"
        elif database.name == "postgresql":
            prepare(database, "CREATE SCHEMA other")
            yield "other"
        else:
            name = f"{database.engine.url.database}_other"
            prepare(database, f"CREATE DATABASE {name}")
            stack.callback(prepare, database, f"DROP DATABASE {name}")
            yield name


@pytest.fixture(scope="module", params=databases.NAMES)
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a whole module one database per server: for grids of many small cases."""
    database = databases.new_database(request.param)
    yield database
    database.close()
