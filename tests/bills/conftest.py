"""A database at head, and the command line run against it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from bills.cli import main
from bills.database import REVISION
from bills.models import Base
from tests.databases import Database

ROOT = Path(__file__).parents[2]

OWED_BY_USER = """
CREATE VIEW owed_by_user AS
SELECT users.id AS user_id, users.name AS name, SUM(bills.amount - COALESCE(paid.amount, 0)) AS owed
FROM users
JOIN bills ON bills.user_id = users.id
LEFT JOIN (SELECT bill_id, SUM(amount) AS amount FROM payments GROUP BY bill_id) AS paid
ON paid.bill_id = bills.id
WHERE bills.status = 'open'
GROUP BY users.id, users.name
HAVING SUM(bills.amount - COALESCE(paid.amount, 0)) > 0
"""


@dataclass
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str

    def assert_prints(self, *lines: str) -> None:
        assert (self.status, self.err) == (0, "")
        assert self.out.splitlines() == list(lines)

    def assert_refuses(self, line: str) -> None:
        assert (self.status, self.out, self.err) == (1, "", f"error: {line}\n")


Bills = Callable[..., Outcome]


@pytest.fixture
def address(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point DATABASE_URL to the empty database; return how messages name it."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database.engine.url.set(query={}).render_as_string()


@pytest.fixture
def head(database: Database, address: str) -> Database:
    """Build the schema from the models: the tests of the migrations prove that it is head's."""
    with database.engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(text(OWED_BY_USER))
    put_at(database, REVISION)
    return database


def put_at(database: Database, *revisions: str) -> None:
    """Write the version table by hand."""
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        for revision in revisions:
            connection.execute(
                text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision}
            )


@pytest.fixture
def bills(capsys: pytest.CaptureFixture[str]) -> Bills:
    """Run the command line in this process."""

    def run(*argv: str) -> Outcome:
        status = main(argv)
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return run


@pytest.fixture
def python_m_bills(tmp_path: Path) -> Bills:
    """Run ``python -m bills`` as a person does, in an empty directory."""

    def run(*argv: str, **environment: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "bills", *argv],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **environment},
            capture_output=True,
            encoding="utf-8",
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
