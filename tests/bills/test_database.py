"""The application starts only on a database that is at its revision, or says what to do."""

import sqlite3
from pathlib import Path

import pytest

from bills.database import DEFAULT_URL, url
from tests.bills.conftest import Bills, put_at
from tests.databases import Database

COMMANDS = [
    ["list"],
    ["add", "Ada", "Rent", "1", "2026-01-31"],
    ["pay", "1", "1"],
    ["owed"],
    ["sample"],
]


@pytest.fixture(params=COMMANDS, ids=lambda command: command[0])
def command(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param
    return found


def test_list_refuses_when_there_is_no_schema(address: str, bills: Bills) -> None:
    bills("list").assert_refuses(f"{address} has no schema yet; run: alembic upgrade head")


def test_list_refuses_when_the_database_is_at_base(
    database: Database, address: str, bills: Bills
) -> None:
    put_at(database)
    bills("list").assert_refuses(f"{address} has no schema yet; run: alembic upgrade head")


def test_every_command_refuses_when_the_database_is_behind(
    database: Database, address: str, bills: Bills, command: list[str]
) -> None:
    put_at(database, "0013")
    bills(*command).assert_refuses(
        f"{address} is at revision 0013, this code needs 0014; run: alembic upgrade head"
    )


def test_every_command_refuses_when_the_database_is_ahead(
    database: Database, address: str, bills: Bills, command: list[str]
) -> None:
    put_at(database, "0015")
    bills(*command).assert_refuses(
        f"{address} is at revision 0015, newer than this code (0014); "
        "deploy the newer code, or, from it, run: alembic downgrade 0014"
    )


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("revision", ["ae1027a6acf", "14", "00140", "0014x"])
def test_list_refuses_when_the_revision_is_unknown(
    database: Database, address: str, bills: Bills, revision: str
) -> None:
    put_at(database, revision)
    bills("list").assert_refuses(
        f"{address} is at revision '{revision}', unknown to this code (0014); "
        "once you have checked that its schema is right, run: alembic stamp --purge 0014"
    )


def test_list_refuses_when_there_are_several_revisions(
    database: Database, address: str, bills: Bills
) -> None:
    put_at(database, "0014", "0012")
    bills("list").assert_refuses(
        f"{address} is at several revisions at once (0012, 0014), this code needs 0014; "
        "once you have checked that its schema is right, run: alembic stamp --purge 0014"
    )


def test_error_is_one_line_when_a_table_is_missing_at_head(
    database: Database, address: str, bills: Bills
) -> None:
    put_at(database, "0014")
    outcome = bills("owed")
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: {address}: ")
    assert "owed_by_user" in outcome.err
    assert "SELECT" not in outcome.err
    assert outcome.err.count("\n") == 1


def test_url_is_the_default_when_none_is_set_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert url() == DEFAULT_URL == "sqlite:///bills.db"
    monkeypatch.setenv("DATABASE_URL", "")
    assert url() == DEFAULT_URL


def test_list_does_not_create_a_file_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bills: Bills
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    bills("list").assert_refuses("sqlite:///bills.db has no schema yet; run: alembic upgrade head")
    assert list(tmp_path.iterdir()) == []


def test_list_refuses_a_file_that_is_not_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bills: Bills
) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be looked at" * 99)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/notes.txt")
    bills("list").assert_refuses(f"sqlite:///{tmp_path}/notes.txt: file is not a database")


@pytest.mark.parametrize("place", ["", "missing/bills.db"], ids=["directory", "in no directory"])
def test_list_refuses_what_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bills: Bills, place: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/{place}")
    bills("list").assert_refuses(f"sqlite:///{tmp_path}/{place}: unable to open database file")


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
def test_list_refuses_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, bills: Bills, driver: str
) -> None:
    pytest.importorskip(driver.partition("+")[2])
    monkeypatch.setenv("DATABASE_URL", f"{driver}://ada:s3cret@127.0.0.1:1/bills")
    outcome = bills("list")
    assert outcome.status == 1
    assert outcome.err.startswith(f"error: {driver}://ada:***@127.0.0.1:1/bills: ")
    assert "refused" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("sqlite:bills.db", "DATABASE_URL cannot be read"),
        ("s3cret", "DATABASE_URL cannot be read"),
        ("postgresql://ada:s3cret@host:port/bills", "DATABASE_URL cannot be read"),
        ("postgresql://ada:x@s3cret@host/bills", "DATABASE_URL cannot be read"),
        ("postgresql://ada:x@s/s3cret@host/bills", "DATABASE_URL cannot be read"),
        ("postgres://ada:s3cret@host/bills", "DATABASE_URL: there is no 'postgres'"),
        (
            "postgresql+psycopg://127.0.0.1:1/bills?user=ada&password=s3cret",
            "postgresql+psycopg://127.0.0.1:1/bills: ",
        ),
        (
            "postgresql+psycopg2://ada:s3cret@host/bills",
            "postgresql+psycopg2://ada:***@host/bills: the driver is not installed",
        ),
        (
            "mariadb+pymysql://ada:s3cret@127.0.0.1:1/bills?colour=blue",
            "mariadb+pymysql://ada:***@127.0.0.1:1/bills: ",
        ),
        ("sqlite+aiosqlite:///bills.db", "sqlite+aiosqlite:///bills.db: "),
    ],
)
def test_error_is_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bills: Bills, address: str, line: str
) -> None:
    (tmp_path / "bills.db").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", address)
    outcome = bills("list")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(f"error: {line}")
    assert outcome.err.count("\n") == 1
    assert "s3cret" not in outcome.err


def test_error_is_one_line_when_the_file_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bills: Bills
) -> None:
    path = tmp_path / "bills.db"
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}?timeout=0.1")
        bills("list").assert_refuses(f"sqlite:///{path}: database is locked")
    finally:
        other.close()
