"""A rebuild on SQLite: what goes with a table comes back; a reader in the way changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import outcome_of, prepare, revision, rows, run

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def bills(database: Database) -> Database:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER, m INTEGER)",
        "CREATE TABLE payments (bill INTEGER REFERENCES bills (id) ON DELETE CASCADE)",
        "CREATE INDEX ix_n ON bills (n)",
        "CREATE INDEX ix_m ON bills (m)",
        "INSERT INTO bills VALUES (1, 10, 100), (2, 20, 200), (3, 20, 300)",
        "INSERT INTO payments VALUES (1)",
    )
    return database


def rebuild() -> None:
    helpers.alter_column("bills", "n", type_=sa.BigInteger(), existing_type=sa.Integer())


def test_statistics_are_kept(bills: Database) -> None:
    prepare(bills, "ANALYZE")
    query = "SELECT * FROM sqlite_stat1 ORDER BY tbl, idx"
    with bills.engine.connect() as connection:
        before = rows(connection, query)
    with revision(bills) as connection:
        rebuild()
        assert rows(connection, query) == before
        helpers.drop_column("bills", "m")
        kept = [row for row in before if row[1] != "ix_m"]
        assert rows(connection, query) == kept


@pytest.mark.parametrize("name", ["bills", "main.bills"])
def test_temporary_trigger_is_kept(bills: Database, name: str) -> None:
    with revision(bills) as connection:
        run(connection, "CREATE TEMP TABLE seen (id INTEGER)")
        run(
            connection,
            f"CREATE TEMPORARY TRIGGER t AFTER INSERT ON {name}"
            " BEGIN INSERT INTO seen VALUES (new.id); END",
        )
        rebuild()
        run(connection, "INSERT INTO bills (id) VALUES (9)")
        assert rows(connection, "SELECT id FROM seen") == [(9,)]


def test_temporary_trigger_on_another_table_of_that_name_stays(
    bills: Database, tmp_path: Path
) -> None:
    with bills.engine.connect() as connection:
        run(connection, f"ATTACH '{tmp_path / 'other.db'}' AS other")
    with revision(bills) as connection:
        run(connection, f"ATTACH '{tmp_path / 'other.db'}' AS other")
        run(connection, "CREATE TABLE other.bills (id INTEGER)")
        trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON other.bills BEGIN SELECT 1; END"
        run(connection, trigger)
        rebuild()
        assert rows(connection, "SELECT name FROM sqlite_temp_master") == [("t",)]


@pytest.mark.parametrize("enforced", ["ON", "OFF"])
def test_nothing_is_changed_when_a_reader_is_in_the_way_of_the_commit(
    bills: Database, enforced: str
) -> None:
    reader = sa.create_engine(bills.url, poolclass=sa.NullPool)
    with bills.engine.connect() as connection, reader.connect() as reading:
        run(connection, "PRAGMA busy_timeout = 50")
        run(connection, f"PRAGMA foreign_keys = {enforced}")
        run(reading, "BEGIN")
        rows(reading, "SELECT * FROM bills")
        connection.commit()
        before = rows(connection, "SELECT sql FROM sqlite_master")
        connection.rollback()
        context = MigrationContext.configure(connection)
        with Operations.context(context), pytest.raises(sa.exc.OperationalError, match="locked"):
            rebuild()
        driver = connection.connection.driver_connection
        assert driver is not None
        assert not driver.in_transaction
        assert rows(connection, "PRAGMA foreign_keys") == [(enforced == "ON",)]
        assert rows(connection, "SELECT sql FROM sqlite_master") == before
        reading.rollback()
        with Operations.context(context):
            rebuild()
        assert rows(connection, "SELECT count(*) FROM payments") == [(1,)]


def test_nothing_is_changed_when_another_session_alters_the_table_meanwhile(
    bills: Database,
) -> None:
    other = sa.create_engine(bills.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    intruding = ["ALTER TABLE bills ADD COLUMN late INTEGER"]

    def intrude(*args: Any) -> None:
        if args[2].startswith("BEGIN IMMEDIATE") and intruding:
            with other.connect() as connection:
                run(connection, intruding.pop())

    engine = sa.create_engine(bills.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    sa.event.listen(engine, "before_cursor_execute", intrude)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            message = str(outcome_of(rebuild).error)
            assert "meanwhile" in message
            assert "late" in [c["name"] for c in sa.inspect(connection).get_columns("bills")]
            rebuild()
        assert rows(connection, "SELECT count(late), sum(n) FROM bills") == [(0, 50)]
