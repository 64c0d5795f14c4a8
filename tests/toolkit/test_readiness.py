"""`ready`: whether a database is at a revision that will do, by one query."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import alembic_toolkit
from alembic_toolkit.readiness import Ready
from tests.databases import Database
from tests.toolkit.conftest import execute


def put_at(database: Database, *revisions: str, table: str = "alembic_version") -> None:
    execute(database, f"CREATE TABLE {table} (version_num VARCHAR(32) NOT NULL)")
    for id_ in revisions:
        execute(database, f"INSERT INTO {table} VALUES ('{id_}')")


def asked(database: Any, **options: Any) -> Ready:
    return alembic_toolkit.ready(database, **options)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        ("0011", "behind"),
        ("0012", "ready"),
        ("0013", "ready"),
        ("0014", "ready"),
        ("0015", "ahead"),
        ("9999", "ahead"),
        ("10000", "ahead"),
        ("ae10", "unknown"),
        ("12", "unknown"),
        ("00013", "unknown"),
        ("123456789012", "unknown"),
    ],
)
def test_ready_judges_where_the_database_is(database: Database, at: str, state: str) -> None:
    put_at(database, at)
    found = asked(database.engine, at_least="0012", at_most="0014")
    assert found.state == state
    assert bool(found) == (state == "ready")
    assert found.revisions == (at,)
    assert at in found.reason
    assert "\n" not in found.reason


def test_ready_needs_one_query(database: Database) -> None:
    put_at(database, "0012")
    asked(database.engine, at_least="0012")  # the first connection asks for versions
    statements = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    assert asked(database.engine, at_least="0012")
    assert len(statements) == 1


def test_ready_is_false_when_there_is_nothing(database: Database) -> None:
    found = asked(database.engine, at_least="0012")
    assert (found.state, found.revisions) == ("empty", ())
    put_at(database)
    assert asked(database.engine, at_least="0012").state == "empty"
    execute(database, "INSERT INTO alembic_version VALUES ('0012'), ('0013')")
    found = asked(database.engine, at_least="0012", at_most="0013")
    assert (found.state, found.revisions) == ("several", ("0012", "0013"))


def test_ready_reads_another_table(database: Database) -> None:
    put_at(database, "0012", table="versions")
    assert asked(database.engine, at_least="0012", version_table="versions")
    schema = {"sqlite": "main", "postgresql": "public"}.get(
        database.name, database.engine.url.database
    )
    place = {"version_table": "versions", "version_table_schema": schema}
    assert asked(database.engine, at_least="0012", **place)
    place["version_table_schema"] = "nowhere"
    assert asked(database.engine, at_least="0012", **place).state in ("empty", "unreadable")


def test_ready_leaves_a_transaction_as_it_is(database: Database) -> None:
    execute(database, "CREATE TABLE t (n INTEGER)")
    with database.engine.connect() as connection:
        assert asked(connection, at_least="0012").state == "empty"
        assert not connection.in_transaction()
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        assert asked(connection, at_least="0012").state == "empty"
        connection.execute(sa.text("INSERT INTO t VALUES (2)"))
        connection.commit()
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM t")) == 2


def test_ready_takes_other_ids_in_an_order(database: Database) -> None:
    put_at(database, "3f2a")
    order = ("9bc1", "3f2a", "07de")
    assert asked(database.engine, at_least="9bc1", order=order)
    assert asked(database.engine, at_least="07de", order=order).state == "behind"
    assert asked(database.engine, at_most="9bc1", order=order).state == "ahead"
    assert asked(database.engine, at_least="3f2a", at_most="3f2a")
    assert asked(database.engine, at_least="9bc1", at_most="9bc1").state == "unknown"
    assert asked(database.engine, at_least="9bc1", order=order[::2]).state == "unknown"


@pytest.mark.databases("sqlite")
def test_ready_refuses_what_cannot_be_asked(database: Database) -> None:
    engine = database.engine
    with pytest.raises(ValueError, match="neither at_least nor at_most"):
        asked(engine)
    with pytest.raises(ValueError, match="nothing says what is older or newer than '3f2a'"):
        asked(engine, at_least="3f2a")
    with pytest.raises(ValueError, match="order lacks it"):
        asked(engine, at_least="3f2a", order=("1", "2"))
    with pytest.raises(ValueError, match="at_least='0014' is newer than at_most='0012'"):
        asked(engine, at_least="0014", at_most="0012")
    with pytest.raises(TypeError, match="not str"):
        asked("sqlite://", at_least="0012")


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
def test_ready_is_false_when_nobody_answers(driver: str) -> None:
    pytest.importorskip(driver.partition("+")[2])
    engine = sa.create_engine(f"{driver}://ada:s3cret@127.0.0.1:1/bills")
    found = asked(engine, at_least="0012")
    assert found.state == "unreadable"
    assert "127.0.0.1" in found.reason
    assert "s3cret" not in found.reason
    assert found.error is not None


def test_ready_makes_no_file(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'bills.db'}")
    assert asked(engine, at_least="0012").state == "empty"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.databases("postgresql")
def test_ready_is_called_through_run_sync_with_an_asynchronous_driver(database: Database) -> None:
    put_at(database, "0012")
    url = database.url.replace("+psycopg", "+asyncpg")

    async def main() -> Ready:
        engine = create_async_engine(url)
        with pytest.raises(TypeError, match="run_sync"):
            asked(engine, at_least="0012")
        with pytest.raises(TypeError, match="run_sync"):
            asked(engine.sync_engine, at_least="0012")
        async with engine.connect() as connection:
            with pytest.raises(TypeError, match="run_sync"):
                asked(connection, at_least="0012")
            found = await connection.run_sync(alembic_toolkit.ready, at_least="0012")
        await engine.dispose()
        return found

    assert asyncio.run(main())


def test_toolkit_is_imported_without_what_nobody_asked_for() -> None:
    code = "import sys, alembic_toolkit; print('sqlalchemy' in sys.modules)"
    code += "; alembic_toolkit.ready; print('alembic' in sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.split() == ["False", "False"]
