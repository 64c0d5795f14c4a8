"""The scripts of this history: what they make, from wherever a database stands, and twice."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from alembic_toolkit import cli
from tests.helpers.scripts import run_with_client

from .conftest import REVISIONS, ROOT, History

SERVERS = pytest.mark.databases("postgresql", "mariadb", "mysql")
HEAD = REVISIONS[-1]
At = Callable[[str], History]


def script(history: History, *argv: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert cli.main(["sql", "-c", str(ROOT / "alembic.ini"), *argv]) == 0
    return out.getvalue()


def fill(history: History) -> None:
    """Put rows into the first schema, as the first days left them."""
    for number, email in enumerate(("a@example.com", "b@example.com", "a@example.com"), start=1):
        history.execute(
            "INSERT INTO users (id, name, email) VALUES (:id, :name, :email)",
            id=number,
            name=f"O'Brien {number} \\ 100%",
            email=email,
        )
        history.execute(
            "INSERT INTO bills (id, user_id, title, amount, paid, due)"
            " VALUES (:id, :id, 'Rent; -- x', 10.1, :paid, '2025-01-31')",
            id=number,
            paid=5.05 * (number - 1),
        )


def held(history: History) -> tuple[Any, ...]:
    """Return schema, revision and rows, without the moments at which rows were written."""
    rows = history.rows()
    if "audit" in rows:
        rows["audit"] = [(row[2:]) for row in rows["audit"]]
    return history.schema(), history.revision(), rows


@SERVERS
@pytest.mark.parametrize("start", ["base", *REVISIONS[::3], HEAD])
def test_one_script_brings_every_database_to_head(at: At, start: str) -> None:
    history = at("0001")
    fill(history)
    if start == "base":
        history.downgrade("base")
    else:
        history.upgrade(start)
    upgrade = script(history)
    run_with_client(history.database, upgrade)
    found = held(history)
    run_with_client(history.database, upgrade)
    assert held(history) == found
    history.downgrade("base" if start == "base" else "0001")
    history.upgrade(HEAD)
    assert held(history) == found


@SERVERS
@pytest.mark.parametrize("end", ["base", "0001", "0006", "0009"])
def test_one_script_takes_every_database_down(at: At, end: str) -> None:
    history = at("0001")
    fill(history)
    history.upgrade(HEAD)
    downgrade = script(history, "--from", HEAD, "--to", end)
    run_with_client(history.database, downgrade)
    found = held(history)
    run_with_client(history.database, downgrade)
    assert held(history) == found
    if end != "base":
        history.upgrade(HEAD)
        history.downgrade(end)
        assert held(history) == found
    else:
        assert found[1:] == (None, {})


@pytest.mark.databases("sqlite")
def test_script_for_sqlite_says_which_revision_cannot_be_part_of_it(history: History) -> None:
    err = io.StringIO()
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(err):
        assert cli.main(["sql", "-c", str(ROOT / "alembic.ini")]) == 2
    assert out.getvalue() == ""
    assert "in revision 0002" in err.getvalue()
    assert "add_column('bills', 'last_payment')" in err.getvalue()


@pytest.mark.databases("sqlite")
def test_script_for_sqlite_can_be_run_twice_where_it_can_be_written(history: History) -> None:
    upgrade = script(history, "--to", "0001")
    for _ in range(2):
        run_with_client(history.database, upgrade)
        assert history.revision() == "0001"
    fill(history)
    rows = history.rows()
    run_with_client(history.database, upgrade)
    assert history.rows() == rows
