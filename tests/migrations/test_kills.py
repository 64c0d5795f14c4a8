"""`alembic`, or the server, killed by the operating system in a revision; in all: kills.py here."""

import subprocess
import sys

import pytest

from tests.copies import environment
from tests.databases import Database

from .conftest import ROOT

pytestmark = pytest.mark.long


def kills(name: str, *options: str) -> None:
    # In a process of its own, which has no threads, and can be doubled.
    done = subprocess.run(
        [sys.executable, "-m", "tests.migrations.kills", name, *options],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert f"{name}: killed " in done.stdout
    assert ", 0 wedged" in done.stdout
    assert "killed 0 times" not in done.stdout


def test_command_ends_well_when_it_was_killed_and_is_run_again(database: Database) -> None:
    kills(database.name, "--only", "0010", "--every", "9", "--url", database.url)


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_command_ends_well_when_the_server_was_killed_and_is_run_again(database: Database) -> None:
    # In a build outside of a transaction, and in DDL that commits the rows before it.
    only = {"postgresql": ("0011", "4"), "mariadb": ("0014", "8")}[database.kin]
    kills(database.name, "--only", only[0], "--every", only[1], "--server")
