"""Fixtures for the tests of ``alembic_helpers``."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests import databases
from tests.databases import Database
from tests.helpers.vocabulary import prepare

Load = Callable[[str], Callable[[], None]]

HEAD = """\
import sqlalchemy as sa

import alembic_helpers as op

revision, down_revision, TABLE = "0002", "0001", "bills"


def upgrade():
"""


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
                return quick(database)
            kept: Database = request.getfixturevalue("postgresql")
            stack.callback(empty, kept)
            unprepared = {"prepare_threshold": None}  # or a snapshot fails after an ADD COLUMN
            engine = sa.create_engine(kept.url, poolclass=sa.NullPool, connect_args=unprepared)
            return replace(kept, engine=engine)

        yield new


@pytest.fixture
def database(request: pytest.FixtureRequest, new_database: Callable[[str], Database]) -> Database:
    """Give the test an empty database, once per server (see the marker ``databases``)."""
    name: str = request.param
    return new_database(name)


def quick(database: Database) -> Database:
    """Connect to MariaDB without TLS: reading certificates takes longer than most tests."""
    if database.kin != "mariadb":
        return database
    engine = sa.create_engine(
        database.url, poolclass=sa.NullPool, connect_args={"ssl_disabled": True}
    )
    return replace(database, engine=engine)


def empty(database: Database) -> None:
    """Drop all that a test left on PostgreSQL, sessions first, in whatever schema it is."""
    prepare(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        """
        DO $$ DECLARE one name; BEGIN
            FOR one IN SELECT nspname FROM pg_namespace
                WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
            LOOP EXECUTE format('DROP SCHEMA %I CASCADE', one); END LOOP;
        END $$
        """,
        "CREATE SCHEMA public",
        "COMMENT ON SCHEMA public IS 'standard public schema'",  # as a new database has it
    )


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


@pytest.fixture(scope="module")
def kept_servers() -> Iterator[dict[str, Database]]:
    """Keep one database per server for a whole module: for grids of many small cases."""
    kept: dict[str, Database] = {}
    yield kept
    for database in kept.values():
        database.close()


@pytest.fixture(params=databases.NAMES)
def server(request: pytest.FixtureRequest, kept_servers: dict[str, Database]) -> Database:
    """Give the test a database that the tests of its module share."""
    if request.param not in kept_servers:
        kept_servers[request.param] = quick(databases.new_database(request.param))
        database = kept_servers[request.param]
        prepare(database, *request.module.SHARED[database.kin])
    return kept_servers[request.param]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a revision with this body, and return its upgrade."""

    def load(body: str) -> Callable[[], None]:
        path = tmp_path / "revision.py"
        path.write_text(HEAD + textwrap.indent(body, "    "))
        spec = importlib.util.spec_from_file_location("revision", path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        upgrade: Callable[[], None] = module.upgrade
        return upgrade

    return load
