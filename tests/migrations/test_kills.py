"""`alembic` killed by the operating system in a revision; in all of them: kills.py here."""

import subprocess
import sys

from tests.copies import environment
from tests.databases import Database

from .conftest import ROOT


def test_command_ends_well_when_it_was_killed_and_is_run_again(database: Database) -> None:
    options = ["--only", "0010", "--every", "9", "--url", database.url]
    # In a process of its own, which has no threads, and can be doubled.
    done = subprocess.run(
        [sys.executable, "-m", "tests.migrations.kills", database.name, *options],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert f"{database.name}: killed " in done.stdout
    assert ", 0 wedged" in done.stdout
    assert "killed 0 times" not in done.stdout
