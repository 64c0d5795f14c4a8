"""A database that cannot be used is one line that names it, without its password."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

from alembic_toolkit.database import address
from tests.databases import Database
from tests.toolkit.conftest import Project, tables


def refusal(directory: Path, url: str, *argv: str) -> str:
    project = Project(directory / "project", url)
    project.table("0001")
    message = project.refusal(*argv or ("upgrade", "head"))
    assert "\n" not in message
    assert "secret" not in message
    assert "Traceback" not in message
    return message


def test_url_is_named_when_nobody_answers(tmp_path: Path) -> None:
    message = refusal(tmp_path, "postgresql+psycopg://me:secret@127.0.0.1:1/bills?password=secret")
    assert message.startswith("postgresql+psycopg://me:***@127.0.0.1:1/bills cannot be used: ")
    assert "refused" in message


def test_url_is_named_when_nobody_answers_on_mariadb(tmp_path: Path) -> None:
    message = refusal(tmp_path, "mariadb+pymysql://me:secret@127.0.0.1:1/bills")
    assert message.startswith("mariadb+pymysql://me:***@127.0.0.1:1/bills cannot be used: ")
    assert "refused" in message


@pytest.mark.databases("mariadb", "mysql")
def test_url_is_named_when_the_password_is_wrong(tmp_path: Path, database: Database) -> None:
    url = sa.make_url(database.url).set(password="secret")
    message = refusal(tmp_path, url.render_as_string(hide_password=False))
    assert "Access denied" in message


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_url_is_named_when_there_is_no_such_database(tmp_path: Path, database: Database) -> None:
    url = sa.make_url(database.url).set(database="no_such_database")
    message = refusal(tmp_path, url.render_as_string(hide_password=False))
    assert "no_such_database cannot be used" in message


def test_drivers_are_named_when_there_is_none(tmp_path: Path) -> None:
    message = refusal(tmp_path, "postgresql+psycopg2://me:secret@127.0.0.1/bills")
    assert "its driver is not installed (No module named 'psycopg2')" in message
    assert "postgresql+psycopg://" in message


def test_dialects_are_named_when_there_is_no_such_one(tmp_path: Path) -> None:
    message = refusal(tmp_path, "postgres://me:secret@127.0.0.1/bills")
    assert "there is no 'postgres'" in message
    assert "postgresql+psycopg://" in message


@pytest.mark.parametrize(
    "url", ["secret", "sqlite:/secret", "postgresql://me:se@cret@h:x/secret", "x://h:secret/"]
)
def test_url_is_not_repeated_when_it_cannot_be_read(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path, url)
    assert message.startswith("the URL of the database cannot be read; write it like sqlite:///")


@pytest.mark.parametrize("url", ["secret", "postgresql://me:x@secret@h/bills"])
@pytest.mark.parametrize("read", [address.parse, address.parse_known, address.dialect_of])
def test_no_url_is_repeated_whoever_reads_it(read: Callable[[str], object], url: str) -> None:
    with pytest.raises(CommandError, match="cannot be read") as raised:
        read(url)
    assert "secret" not in str(raised.value)


def test_url_with_an_unknown_option_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, "mariadb+pymysql://me:secret@127.0.0.1:1/bills?nonsense=1")
    assert "bills cannot be used: " in message
    assert "unexpected keyword argument 'nonsense'" in message


def test_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"sqlite:///{tmp_path}/nowhere/file.db")
    assert message.endswith("nowhere/file.db cannot be used: unable to open database file")


@pytest.mark.parametrize("command", ["upgrade head", "current", "stamp head"])
def test_file_that_is_no_database_is_named(tmp_path: Path, command: str) -> None:
    path = tmp_path / "file.db"
    path.write_text("not a database, but a text that is longer than a header\n" * 10)
    message = refusal(tmp_path, f"sqlite:///{path}", *command.split())
    assert message == f"sqlite:///{path} cannot be used: file is not a database"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("table", ["other", "alembic_version"])
def test_file_that_is_read_only_is_named(tmp_path: Path, database: Database, table: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {table} (version_num VARCHAR(32))")
    path = quote(database.url.removeprefix("sqlite:///"))
    message = refusal(tmp_path, f"sqlite:///file:{path}?mode=ro&uri=true")
    assert message.endswith("cannot be used: attempt to write a readonly database")
    assert tables(database) == {table}


def test_script_needs_no_driver_and_no_server(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", "postgresql+asyncpg://me:secret@127.0.0.1:1/bills")
    project.table("0001")
    assert "CREATE TABLE t_0001" in project.alembic("upgrade", "head", "--sql").out


def test_script_is_refused_when_there_is_no_such_dialect(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", "postgres://me:secret@127.0.0.1/bills")
    project.table("0001")
    assert "there is no 'postgres'" in project.alembic("upgrade", "head", "--sql").out
