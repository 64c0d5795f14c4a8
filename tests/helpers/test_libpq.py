"""A look of a verb on PostgreSQL: without a cursor it means what a cursor's statement does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

import alembic_helpers as helpers
from alembic_helpers import MissingParent, SchemaConflict
from alembic_toolkit.database import driver, libpq
from alembic_toolkit.verbs.servers import server_of
from alembic_toolkit.verbs.values import Database as Looking
from tests.databases import Database
from tests.helpers.conftest import Load

pytestmark = pytest.mark.databases("postgresql")
VALUES = (
    "SELECT 1 AS one, true AS yes, 'ä %s :x'::text AS \"odd %\", NULL AS nothing,"
    " ARRAY['a', NULL, 'b'] AS names, 'x'::\"char\" AS letter, 1.50 AS exact,"
    " to_regclass('pg_class') AS relation, 'f'::name AS name, '{\"a\": 1}'::jsonb AS json"
)


def connected(database: Database, **options: Any) -> sa.Connection:
    return sa.create_engine(database.url, poolclass=sa.NullPool, **options).connect()


def looking(connection: sa.Connection) -> Looking:
    return Looking(connection, server_of("postgresql"))


def status(connection: sa.Connection) -> str:
    itself: Any = connection.connection.driver_connection
    return str(itself.info.transaction_status.name)


def test_a_look_is_sent_without_a_cursor(database: Database) -> None:
    with connected(database) as connection:
        assert libpq.session_of(connection) is not None


def test_a_look_returns_what_a_cursor_returns(database: Database) -> None:
    with connected(database) as connection:
        cursor = connection.connection.cursor()
        cursor.execute(VALUES)
        expected = cursor.fetchall(), [column[0] for column in cursor.description]
        assert looking(connection).fetch(VALUES) == expected
        assert looking(connection).rows(VALUES) == expected[0]


def test_a_look_begins_the_transaction(database: Database) -> None:
    with connected(database) as connection:
        assert looking(connection).rows("SELECT 1") == [(1,)]
        assert status(connection) == "INTRANS"
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        connection.rollback()
        assert looking(connection).rows("SELECT to_regclass('t')") == [(None,)]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_a_look_begins_at_the_level_of_the_engine(level: str, database: Database) -> None:
    with connected(database, isolation_level=level) as connection:
        assert looking(connection).rows("SHOW transaction_isolation") == [(level.lower(),)]


def test_a_look_begins_as_the_connection_says(database: Database) -> None:
    with connected(database) as connection:
        itself: Any = connection.connection.driver_connection
        itself.read_only = True
        assert looking(connection).rows("SHOW transaction_read_only") == [("on",)]


def test_a_look_begins_nothing_where_each_statement_commits(database: Database) -> None:
    with connected(database, isolation_level="AUTOCOMMIT") as connection:
        assert looking(connection).rows("SELECT 1") == [(1,)]
        assert status(connection) == "IDLE"


def test_a_look_within_a_pipeline_uses_a_cursor(database: Database) -> None:
    with connected(database) as connection:
        itself: Any = connection.connection.driver_connection
        with itself.pipeline():
            assert libpq.session_of(connection) is None
            assert looking(connection).rows("SELECT 1") == [(1,)]


def test_what_the_server_refuses_is_the_error_of_sqlalchemy(database: Database) -> None:
    with connected(database) as connection:
        with pytest.raises(sa.exc.ProgrammingError, match="nowhere") as caught:
            looking(connection).rows("SELECT * FROM nowhere")
        assert getattr(caught.value.orig, "sqlstate", None) == "42P01"
        assert status(connection) == "INERROR"
        connection.rollback()
        assert looking(connection).rows("SELECT 1") == [(1,)]


def test_an_encoding_of_the_client_is_kept(database: Database) -> None:
    with connected(database, connect_args={"client_encoding": "latin1"}) as connection:
        rows, names = looking(connection).fetch("SELECT 'ä' AS \"ö\", length('ä')")
    assert (rows, names) == ([("ä", 1)], ["ö", "length"])


def test_a_session_that_ended_is_lost(database: Database) -> None:
    with connected(database) as connection, connected(database) as other:
        [(pid,)] = looking(connection).rows("SELECT pg_backend_pid()")
        driver.look(other, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(sa.exc.DBAPIError) as caught:
            looking(connection).rows("SELECT 1")
        assert caught.value.connection_invalidated
        connection.invalidate()


def test_ctrl_c_ends_a_look(database: Database) -> None:
    with connected(database) as connection:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            looking(connection).rows("SELECT pg_sleep(60)")
        assert time.monotonic() - begun < 30
        connection.rollback()
        assert looking(connection).rows("SELECT 1") == [(1,)]


@contextmanager
def verbs_on(connection: sa.Connection, **options: Any) -> Iterator[None]:
    with Operations.context(MigrationContext.configure(connection, opts=options)):
        yield


def messages_of(connection: sa.Connection, act: Callable[[], Any], **options: Any) -> list[str]:
    """Return what is sent past SQLAlchemy while a verb runs."""
    sent: list[str] = []
    send = libpq.send

    def noted(session: libpq.Session, sql: str) -> Any:
        sent.append(sql.split()[0] if sql.startswith("RELEASE") else sql)
        return send(session, sql)

    with pytest.MonkeyPatch.context() as patch, verbs_on(connection, **options):
        patch.setattr(libpq, "send", noted)
        act()
    return sent


def test_a_savepoint_is_set_with_the_look_and_released(database: Database) -> None:
    def act() -> None:
        helpers.create_unique_constraint("uq", "t", ["id"])

    with connected(database) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        look, release = messages_of(connection, act)
        assert look.startswith("SAVEPOINT alembic_helpers; SELECT ")
        assert release == "RELEASE"
        *looks, release = messages_of(connection, act)  # which finds nothing to do
        assert sum(look.startswith("SAVEPOINT") for look in looks) == 1
        assert release == "RELEASE"
        connection.commit()
        assert status(connection) == "IDLE"


def test_a_savepoint_is_released_when_a_verb_refuses(database: Database) -> None:
    with connected(database) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER, CONSTRAINT uq CHECK (id > 0))")
        with verbs_on(connection):
            with pytest.raises(SchemaConflict):
                helpers.create_unique_constraint("uq", "t", ["id"])
            with pytest.raises(MissingParent):
                helpers.create_unique_constraint("uq2", "nowhere", ["id"])
        with pytest.raises(sa.exc.DBAPIError, match="does not exist"):
            connection.exec_driver_sql("RELEASE SAVEPOINT alembic_helpers")


def test_a_savepoint_of_the_author_is_kept(database: Database) -> None:
    with connected(database) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER, a INTEGER)")
        with verbs_on(connection):
            for name in ("ix_1", "ix_2"):
                with connection.begin_nested() as nested:
                    helpers.create_index(name, "t", ["id", "a"], unique=True)
                    if name == "ix_2":
                        nested.rollback()
        names = connection.exec_driver_sql("SELECT relname FROM pg_class WHERE relname ~ '^ix_'")
        assert [*names.scalars()] == ["ix_1"]


RELEASED = {
    "the last call": ("op.create_index('ix', 't', ['id'], unique=True)\n", 0),
    "a call follows": ("op.create_index('ix', 't', ['id'], unique=True)\nstr()\n", 1),
    "in a loop": ("for n in 'abc':\n    op.create_index(f'ix_{n}', 't', ['id'], unique=True)\n", 3),
}


@pytest.mark.parametrize(("body", "times"), RELEASED.values(), ids=RELEASED)
@pytest.mark.parametrize(
    ("per_migration", "is_begun"), [(True, False), (False, False), (True, True)]
)
def test_the_savepoint_of_a_revisions_last_call_is_left_to_the_commit(
    per_migration: bool, is_begun: bool, body: str, times: int, database: Database, load: Load
) -> None:
    upgrade = load(body)
    with connected(database) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        if not is_begun:  # by env.py, for all revisions
            connection.commit()
        is_last = per_migration and not is_begun
        sent = messages_of(connection, upgrade, transaction_per_migration=per_migration)
        assert sent.count("RELEASE") == (times if is_last else max(times, 1))
        connection.commit()
        assert status(connection) == "IDLE"
        connection.exec_driver_sql("SELECT 1")
        with pytest.raises(sa.exc.DBAPIError, match="does not exist"):
            connection.exec_driver_sql("RELEASE SAVEPOINT alembic_helpers")
