"""What a large file of SQL costs: to run it, and to write it into a script (``--sql``)."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import databases
from tests.copies import ROOT, environment

MOST_RATIO, MOST_MEMORY = 2.0, 200  # times as long as running it; megabytes
INI = "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
ENV = (
    "from alembic import context\nfrom alembic_toolkit.runner import run\n\nrun(context, {url!r})\n"
)
REVISION = """
import alembic_helpers as helpers
import sqlalchemy as sa
revision, down_revision = "0001", None
def upgrade():
    helpers.create_table("t", sa.Column("id", sa.Integer), sa.Column("v", sa.Text))
    helpers.execute_file("seed.sql")
"""
ROW = "INSERT INTO t (id, v) VALUES ({}, 'it''s due; -- not yet, {}');\n"
COMMANDS = {
    "run": ["alembic", "upgrade", "head"],
    "write": ["alembic-toolkit", "sql"],
}


def bench(name: str, given: argparse.Namespace) -> None:
    """Print how long both take, their ratio, and how much memory."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        _write(directory, given.megabytes)
        turns = [_turn(name, directory) for _ in range(given.rounds)]
    finally:
        shutil.rmtree(directory)
    bar = f"the bar: {MOST_RATIO} times, {MOST_MEMORY} MB"
    print(f"{name}: a file of SQL of {given.megabytes} MB ({bar})")
    ratio = statistics.median(turn["write"][0] / turn["run"][0] for turn in turns)
    for how in COMMANDS:
        seconds, memory = (statistics.median(turn[how][n] for turn in turns) for n in (0, 1))
        over = "  OVER" if memory > MOST_MEMORY else ""
        print(f"  {how:10}{seconds:8.1f} s{memory:8.0f} MB{over}")
    print(f"  ratio     {ratio:8.2f}{'  OVER' if ratio > MOST_RATIO else ''}", flush=True)


def _write(directory: Path, megabytes: int) -> None:
    versions = directory / "migrations" / "versions"
    versions.mkdir(parents=True)
    (directory / "alembic.ini").write_text(INI)
    (versions / "0001.py").write_text(REVISION)
    with (versions / "seed.sql").open("w") as file:
        size = number = 0
        while size < megabytes * 1_000_000:
            number += 1
            size += file.write(ROW.format(number, "paid " * 20))


def _turn(name: str, directory: Path) -> dict[str, tuple[float, float]]:
    database = databases.new_database(name)
    try:
        (directory / "migrations" / "env.py").write_text(ENV.format(url=database.url))
        return {how: _measured(directory, command) for how, command in COMMANDS.items()}
    finally:
        database.close()


def _measured(directory: Path, command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command took, and its memory at most."""
    program = str(Path(sys.executable).with_name(command[0]))
    begun = time.monotonic()
    with (directory / "out").open("w") as out:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=directory,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=environment() | {"PYTHONPATH": str(ROOT)},
        )
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{command} failed"
    process.returncode = 0
    return time.monotonic() - begun, usage.ru_maxrss / 1024
