"""Deployers in processes of their own: to be many at once, and to be killed."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext

from alembic_toolkit.deployer import lock
from tests.copies import ROOT, environment
from tests.databases import Database
from tests.toolkit.conftest import Project

DEADLINE = 60.0


def start(
    project: Project, *argv: str, module: str = "alembic", **options: Any
) -> subprocess.Popen[str]:
    """Start `alembic`, or another command, on the project."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *argv],
        cwd=project.directory,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        **options,
    )


def many(project: Project, number: int, *argv: str) -> list[tuple[int, str]]:
    """Run `alembic` so many times at once; return the status and the output of each."""
    # Forked from one that has imported everything, so that they all begin in the same moment.
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(number), *argv],
        cwd=project.directory,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=DEADLINE,
    )
    return [(status, printed) for status, printed in json.loads(done.stdout)]


MANY = """
import json, os, sys, tempfile
import psycopg, pymysql, alembic_toolkit.runner
from alembic.config import main
outputs = {}
for _ in range(int(sys.argv[1])):
    output = tempfile.TemporaryFile()
    child = os.fork()
    if child == 0:
        os.dup2(output.fileno(), 1), os.dup2(output.fileno(), 2)
        try:
            main(sys.argv[2:])
        except SystemExit as exit_:
            os._exit(int(exit_.code or 0))
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(70)
        os._exit(0)
    outputs[child] = output
found = []
for child, output in outputs.items():
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    output.seek(0)
    found.append((status, output.read().decode()))
print(json.dumps(found))
"""


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for a process; return its status and what it printed."""
    printed, _ = process.communicate(timeout=DEADLINE)
    return process.returncode, printed


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate(timeout=DEADLINE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


STAYS = """
import pathlib, time
pathlib.Path({flag!r}).touch()
{statement}
time.sleep({seconds})
"""


@contextmanager
def holding(
    project: Project, id_: str, after: str, statement: str = "", seconds: float = 600
) -> Iterator["subprocess.Popen[str]"]:
    """Give a deployer who is in the middle of a revision, and stays there; then let it pass."""
    flag = project.directory / "running"
    project.table(
        id_,
        after,
        upgrade=STAYS.format(flag=str(flag), statement=statement, seconds=seconds),
    )
    process = start(project, "upgrade", "head")
    try:
        until(lambda: flag.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        project.table(id_, after)
        yield process
    finally:
        kill(process)


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Hold the deployers' lock in this process."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        connection.rollback()
        with lock.held(context, 0):
            yield


def journal(
    database: Database, columns: str = "revision, direction, outcome"
) -> list[tuple[Any, ...]]:
    """Return what the journal says, oldest first."""
    with database.engine.connect() as connection:
        query = f"SELECT {columns} FROM alembic_version_history ORDER BY id"
        return [tuple(row) for row in connection.execute(sa.text(query))]
