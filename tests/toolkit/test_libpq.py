"""A look of a verb on PostgreSQL: without a cursor it means what a cursor's statement does."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from alembic_toolkit.database import driver, libpq
from alembic_toolkit.verbs.servers import server_of
from alembic_toolkit.verbs.values import Database as Looking
from tests.databases import Database

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
