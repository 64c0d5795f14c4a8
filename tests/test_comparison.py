"""The README's table of what Alembic, pytest-alembic and this toolkit do: each row is tried.

A test's docstring is the first cell of its row.  Revisions of plain Alembic and ours differ in one
import; those that pytest-alembic is given pass all of its tests, the experimental one too.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.operations import Operations

from tests.copies import ROOT, Outcome, run
from tests.databases import Database

pytestmark = pytest.mark.long

ENV = """\
from alembic import context
from sqlalchemy import Column, Connection, Integer, MetaData, Table, create_engine

models = MetaData()
Table("bills", models, Column("id", Integer, primary_key=True), Column("amount", Integer))

def migrate(connection):
    context.configure(connection=connection, target_metadata=models)
    with context.begin_transaction():
        context.run_migrations()

given = context.config.attributes.get("connection")
url = context.config.get_main_option("sqlalchemy.url")
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif isinstance(given, Connection):
    migrate(given)
else:
    with (given or create_engine(url)).connect() as connection:
        migrate(connection)
"""

OTHERS_TESTS = """\
import pytest
import sqlalchemy
from pytest_alembic.tests import *
from pytest_alembic.tests.experimental import test_downgrade_leaves_no_trace

@pytest.fixture
def alembic_engine():
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    yield engine
    engine.dispose()

@pytest.fixture
def alembic_config():
    return {"file": "alembic.ini"}
"""

BILLS = 'op.create_table("bills", sa.Column("id", sa.Integer, primary_key=True), AMOUNT)'
BILLS = BILLS.replace("AMOUNT", 'sa.Column("amount", sa.Integer)')
DROP_BILLS = 'op.drop_table("bills")'


@dataclass
class Project:
    """A project as `alembic init` makes it, on one database."""

    directory: Path
    url: str

    def write(self, number: int, up: str, down: str, *, plain: bool) -> None:
        """Write a revision: with `alembic.op`, or with the verbs in its place."""
        before = f'"{number - 1:04}"' if number > 1 else None
        verbs = "from alembic import op" if plain else "import alembic_helpers as op"
        text = f'revision = "{number:04}"\ndown_revision = {before}\n'
        text = f"import sqlalchemy as sa\n{verbs}\n\n{text}"
        text += f"\n\ndef upgrade():\n    {up}\n\n\ndef downgrade():\n    {down}\n"
        path = self.directory / "migrations" / "versions" / f"{number:04}_test.py"
        path.write_text(text, encoding="utf-8")

    def run(self, command: str, status: int | None = 0) -> Outcome:
        outcome = run(command, self.directory, PYTHONPATH=str(ROOT))
        assert status is None or outcome.status == status, outcome.printed
        return outcome

    def passes_pytest_alembic(self) -> None:
        """Assert that all five tests of pytest-alembic that apply pass."""
        (self.directory / "test_others.py").write_text(OTHERS_TESTS, encoding="utf-8")
        command = f"'{sys.executable}' -m pytest -q -p no:cacheprovider test_others.py"
        assert "5 passed" in self.run(command).printed

    def findings(self) -> str:
        """Return what our round trip finds."""
        return self.run("alembic-toolkit roundtrip --url sqlite:///scratch.db", 1).printed


def project(directory: Path, url: str = "sqlite:///test.db") -> Project:
    made = Project(directory, url)
    made.run("alembic init migrations")
    (directory / "migrations" / "env.py").write_text(ENV, encoding="utf-8")
    ini = directory / "alembic.ini"
    text = re.sub("^sqlalchemy.url = .*", "", ini.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ini.write_text(text.replace("[alembic]", f"[alembic]\nsqlalchemy.url = {url}"), "utf-8")
    return made


@pytest.fixture
def scratch(tmp_path: Path) -> Project:
    return project(tmp_path)


@pytest.mark.databases("sqlite", "mysql")
def test_column_there_already(tmp_path: Path, database: Database) -> None:
    """A column is there already."""
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bills (id INTEGER, note VARCHAR(20))"))
    given = project(tmp_path, database.url)
    up = 'op.add_column("bills", sa.Column("note", sa.String(20)){})'
    given.write(1, up.format(", if_not_exists=True"), "pass", plain=True)
    assert "syntax" in given.run("alembic upgrade head", 1).printed
    given.write(1, up.format(""), "pass", plain=False)
    given.run("alembic upgrade head")


@pytest.mark.databases("sqlite", "postgresql")
def test_table_with_another_definition(tmp_path: Path, database: Database) -> None:
    """A table is there with another definition."""
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bills (id INTEGER PRIMARY KEY)"))
    given = project(tmp_path, database.url)
    given.write(1, f"{BILLS[:-1]}, if_not_exists=True)", DROP_BILLS, plain=True)
    given.run("alembic upgrade head")
    assert [column["name"] for column in sa.inspect(database.engine).get_columns("bills")] == ["id"]
    given.run("alembic stamp base")
    given.write(1, BILLS, DROP_BILLS, plain=False)
    assert "another definition" in given.run("alembic upgrade head", None).printed
    database.engine.dispose()


@pytest.mark.databases("sqlite")
def test_constraint_that_is_done(tmp_path: Path, database: Database) -> None:
    """A constraint, an altered column or a rename is done already."""
    for verb in ("create_unique_constraint", "create_check_constraint", "create_foreign_key",
                 "create_primary_key", "alter_column", "rename_table"):  # fmt: skip
        assert "if_not_exists" not in signature(getattr(Operations, verb)).parameters
    given = project(tmp_path, database.url)
    given.write(1, BILLS, DROP_BILLS, plain=True)
    given.run("alembic upgrade head")
    for plain in (True, False):
        given.write(2, 'op.rename_table("bills", "accounts")', "pass", plain=plain)
        if plain:
            given.run("alembic upgrade head")
            given.run("alembic stamp 0001")
            assert "no such table" in given.run("alembic upgrade head", 1).printed
    given.run("alembic upgrade head")


@pytest.mark.databases("postgresql")
def test_index_that_a_failed_build_left(tmp_path: Path, database: Database) -> None:
    """A failed concurrent build left its index INVALID."""
    given = project(tmp_path, database.url)
    valid = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ux_bills'::regclass")
    with database.engine.connect() as connection:
        free = connection.execution_options(isolation_level="AUTOCOMMIT")
        free.execute(sa.text("CREATE TABLE bills (amount INTEGER)"))
        free.execute(sa.text("INSERT INTO bills VALUES (1), (1)"))
        with pytest.raises(sa.exc.IntegrityError):
            free.execute(sa.text("CREATE UNIQUE INDEX CONCURRENTLY ux_bills ON bills (amount)"))
        free.execute(sa.text("DELETE FROM bills"))
        keywords = "unique=True, postgresql_concurrently=True"
        up = f'op.create_index("ux_bills", "bills", ["amount"], {keywords}{{}})'
        block = "with op.get_context().autocommit_block():\n        "
        given.write(1, block + up.format(", if_not_exists=True"), "pass", plain=True)
        given.run("alembic upgrade head")
        assert free.scalar(valid) is False
        given.run("alembic stamp base")
        given.write(1, up.format(""), "pass", plain=False)
        given.run("alembic upgrade head")
        assert free.scalar(valid) is True


def test_script_that_is_run_twice(scratch: Project) -> None:
    """A `--sql` script is run twice."""
    scratch.write(1, f"{BILLS[:-1]}, if_not_exists=True)", DROP_BILLS, plain=True)
    twice = "import sqlite3, sys; script = sys.stdin.read()\n"
    twice += "for _ in range(2): sqlite3.connect('test.db').executescript(script)"
    (scratch.directory / "twice.py").write_text(twice, encoding="utf-8")
    again = f"'{sys.executable}' twice.py"
    outcome = scratch.run(f"alembic upgrade head --sql 2>/dev/null | {again}", 1)
    assert "table alembic_version already exists" in outcome.printed
    (scratch.directory / "test.db").unlink()
    scratch.write(1, BILLS, DROP_BILLS, plain=False)
    scratch.run(f"alembic-toolkit sql --dialect sqlite 2>/dev/null | sed 1d | {again}")


def test_downgrade_that_leaves_a_trigger(scratch: Project) -> None:
    """A downgrade leaves a trigger behind."""
    trigger = "CREATE TRIGGER late AFTER INSERT ON bills BEGIN DELETE FROM bills; END"
    scratch.write(1, BILLS, DROP_BILLS, plain=True)
    scratch.write(2, f'op.execute("{trigger}")', "pass", plain=True)
    scratch.passes_pytest_alembic()
    assert "+ trigger late" in scratch.findings()


def test_downgrade_that_loses_values(scratch: Project) -> None:
    """A revision loses rows or values."""
    scratch.write(1, BILLS, DROP_BILLS, plain=True)
    scratch.write(2, 'op.execute("UPDATE bills SET amount = NULL")', "pass", plain=True)
    scratch.passes_pytest_alembic()
    assert re.search(r"rows survive .*0002", scratch.findings())


def test_upgrade_that_fails_on_rows(scratch: Project) -> None:
    """A revision fails where a table has rows."""
    scratch.write(1, BILLS, DROP_BILLS, plain=True)
    copy = "INSERT INTO bills (id, amount) SELECT id, amount FROM bills"
    scratch.write(2, f'op.execute("{copy}")', 'op.execute("DELETE FROM bills")', plain=True)
    scratch.passes_pytest_alembic()
    assert re.search(r"up .*0002", scratch.findings())
