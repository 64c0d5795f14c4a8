"""How long requests wait when a revision adds a column to a table that a long SELECT holds."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from tests import databases
from tests.copies import ROOT, environment
from tests.databases import Database

HELD, RATE, CLIENTS = 8.0, 20.0, 4  # seconds; requests a second of each client
INI = "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
REVISION = """
revision, down_revision = "0001", None
import sqlalchemy as sa
from alembic import op
def upgrade():
    op.add_column("bills", sa.Column("note", sa.Integer))
"""
ENV = {
    "plain": """
from alembic import context
from sqlalchemy import create_engine
with create_engine({url!r}).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
    "run()": """
from alembic import context
from alembic_toolkit.runner import run
run(context, {url!r})
""",
}


def bench(name: str, given: argparse.Namespace) -> None:
    """Print, for plain Alembic and for ours, the longest that a request waited."""
    if name == "sqlite":
        return  # whose writers stop no reader
    print(f"{name}: a SELECT holds bills for {HELD:g} s, a revision adds a column; seconds")
    print(f"  {'':10}{'worst wait':>11}{'failed':>8}{'requests':>10}{'revision':>10}")
    for which in ENV:
        worst, failed, requests, took = _measure(name, which)
        print(f"  {which:10}{worst:11.3f}{failed:8}{requests:10}{took:10.1f}", flush=True)


def _measure(name: str, which: str) -> tuple[float, int, int, float]:
    database = databases.new_database(name)
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with database.engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE bills (id INTEGER PRIMARY KEY)"))
        _write(directory, ENV[which].format(url=database.url))
        with _traffic(database) as (waits, failures), _held(database):
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "alembic", "upgrade", "head"],
                cwd=directory,
                env=environment() | {"PYTHONPATH": str(ROOT)},
                stderr=subprocess.DEVNULL,
                check=True,
            )
            took = time.monotonic() - begun
        return max(waits), len(failures), len(waits), took
    finally:
        database.close()
        shutil.rmtree(directory)


def _write(directory: Path, env: str) -> None:
    (directory / "migrations" / "versions").mkdir(parents=True)
    (directory / "alembic.ini").write_text(INI)
    (directory / "migrations" / "env.py").write_text(env)
    (directory / "migrations" / "versions" / "0001_note.py").write_text(REVISION)


@contextmanager
def _held(database: Database) -> Iterator[None]:
    """Hold the table for a while, whatever is done meanwhile."""
    begun = threading.Event()

    def hold() -> None:
        with database.engine.connect() as connection:
            connection.execute(sa.text("SELECT count(*) FROM bills"))
            begun.set()
            time.sleep(HELD)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield
    thread.join()


@contextmanager
def _traffic(database: Database) -> Iterator[tuple[list[float], list[Exception]]]:
    """Read and write at a steady rate; give how long each request waited, and what failed."""
    waits, failures, stop = list[float](), list[Exception](), threading.Event()

    def client(number: int) -> None:
        with database.engine.connect() as connection:
            for request in range(1_000_000):
                begun = time.monotonic()
                try:
                    if request % 4 == 0:
                        id_ = number * 1_000_000 + request
                        connection.execute(sa.text(f"INSERT INTO bills (id) VALUES ({id_})"))
                    connection.execute(sa.text("SELECT count(id) FROM bills"))
                    connection.commit()
                except Exception as error:
                    failures.append(error)
                    connection.rollback()
                waits.append(time.monotonic() - begun)
                if stop.wait(1 / RATE):
                    return

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield waits, failures
    finally:
        stop.set()
        for thread in threads:
            thread.join()
