"""``python -m bills``, as a person or a shell script runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bills.samples import rows
from tests.bills.conftest import ROOT, Bills
from tests.databases import Database


def test_bills_are_added_paid_and_listed(head: Database, python_m_bills: Bills) -> None:
    python_m_bills("add", "Zoë O'Hara", "Rent", "10", "2026-01-31").assert_prints(
        "bill 1: Zoë O'Hara (new), Rent, 10.00, due 2026-01-31"
    )
    assert python_m_bills("pay", "1", "10").status == 0
    assert "Zoë O'Hara" in python_m_bills("list").out
    python_m_bills("pay", "1", "10").assert_refuses("bill 1 is paid")


def test_help_names_the_commands(python_m_bills: Bills) -> None:
    outcome = python_m_bills("--help")
    assert (outcome.status, outcome.err) == (0, "")
    for command in ("list", "add", "pay", "owed", "sample", "DATABASE_URL"):
        assert command in outcome.out


@pytest.mark.parametrize("argv", [[], ["fly"], ["pay", "1"], ["list", "--status", "lost"]])
def test_usage_errors_exit_with_2(python_m_bills: Bills, argv: list[str]) -> None:
    outcome = python_m_bills(*argv)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("usage: python -m bills")


def test_the_default_database_is_a_file_here_and_is_not_created(
    tmp_path: Path, python_m_bills: Bills
) -> None:
    python_m_bills("list", DATABASE_URL="").assert_refuses(
        "sqlite:///bills.db has no schema yet; run: alembic upgrade head"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.databases("sqlite")
def test_a_terminal_without_the_character_gets_an_escape(
    head: Database, python_m_bills: Bills
) -> None:
    python_m_bills("add", "Zoë", "Rent", "10", "2026-01-31")
    outcome = python_m_bills("owed", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert outcome.status == 0
    assert "Zo\\xeb" in outcome.out


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("argv", [["list"], ["owed"]])
def test_a_closed_pipe_gives_no_traceback(
    head: Database, python_m_bills: Bills, argv: list[str]
) -> None:
    python_m_bills("sample")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "bills", *argv],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.databases("sqlite")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line(head: Database, python_m_bills: Bills) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bills", "list"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


@pytest.mark.databases("sqlite")
def test_the_first_line_is_enough_for_head(head: Database, python_m_bills: Bills) -> None:
    python_m_bills("sample")
    script = f'"{sys.executable}" -m bills list | head -n 1'
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(" id  user")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert len(rows()["bills"]) >= 100  # three digits: hence the blank before id
