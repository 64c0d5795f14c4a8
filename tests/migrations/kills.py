"""Kill `alembic` after each statement that changes anything, and run the same command again.

``python -m tests.migrations.kills sqlite postgresql mariadb`` takes every revision of the example
down and up, once for each such statement, and says how often it was killed. ``--every 7`` kills
after each seventh statement only, ``--only 0010`` in one revision: so do the tests. ``--server``
kills the database server instead, all its processes, and starts it again on the same files.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.config import main as alembic
from sqlalchemy import Engine, event

from bills.database import REVISION
from tests import databases
from tests.migrations.conftest import REVISIONS, ROOT, History

_READS = ("SELECT", "SHOW", "PRAGMA", "SET", "EXPLAIN")
_LEFT = {
    "postgresql": "SELECT count(*) FROM pg_index WHERE NOT indisvalid",
    "mariadb": "SELECT 0",
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE name LIKE '%alembic_tmp%'",
}
_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="+", choices=databases.NAMES)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", choices=REVISIONS)
    parser.add_argument("--url", help="of an empty database there, for one server")
    parser.add_argument("--server", action="store_true", help="kill that, and not alembic")
    given = parser.parse_args()
    try:
        for name in given.servers:
            kills = kill_everywhere(name, given)
            print(f"{name}: killed {kills} times, 0 wedged", flush=True)
    finally:
        databases.stop_servers()


def kill_everywhere(name: str, given: argparse.Namespace) -> int:
    """Kill in every revision, both ways; return how often that was."""
    program = databases.new_program(name) if given.server else None
    database = databases.new_database(name, program) if not given.url else at(name, given.url)
    os.environ["DATABASE_URL"] = database.url
    history = History(database, Config(str(ROOT / "alembic.ini")))
    killing = Killing(history, given.every, program)
    run("upgrade", "head")
    history.load_samples()
    try:
        pairs = [*zip(REVISIONS[::-1], [*REVISIONS[-2::-1], "base"], strict=True)]
        if given.only:
            pairs = [pair for pair in pairs if pair[0] == given.only]
            run("downgrade", given.only)
        return sum(killing.kill_in(up, down) for up, down in pairs)
    finally:
        database.close()


def at(name: str, url: str) -> databases.Database:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return databases.Database(name, url, engine, lambda: None)


@dataclass
class Killing:
    """What is killed, and when."""

    history: History
    every: int  # so many changes
    program: databases.Program | None  # the server; None: `alembic` itself

    def kill_in(self, up: str, down: str) -> int:
        """Kill in one revision, which the history is at; leave it below."""
        run("downgrade", down)
        below = state(self.history)
        run("upgrade", up)
        above = state(self.history)
        kills, at, more = 0, self.every, {"downgrade": True, "upgrade": True}
        while any(more.values()):
            for command, end, wanted in (("downgrade", down, below), ("upgrade", up, above)):
                more[command] = more[command] and self.is_killed(command, end, at)
                kills += more[command]
                run(command, end)
                found = state(self.history)
                where = f"{command} of {up}, statement {at}"
                assert found == wanted, f"{where}: {differs(found, wanted)}"
            at += self.every
        run("downgrade", down)
        return kills

    def is_killed(self, command: str, end: str, after: int) -> bool:
        """Run a command; say whether it came to so many changes, and was killed there."""
        if self.program is None:
            status, printed = in_a_process(command, end, kill=kill_self, after=after)
            assert status in (0, -signal.SIGKILL), printed
            return status != 0
        kill = partial(databases.kill_all, self.program.pid)
        status, printed = in_a_process(command, end, kill=kill, after=after)
        if self.program.is_running():
            assert status == 0, printed
            return False
        self.program.start()
        assert status == 255, printed
        assert_clear(printed)
        return True


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def assert_clear(printed: str) -> None:
    """Look at what a command printed that lost its database."""
    assert printed.count("FAILED: ") == 1, printed
    assert "Traceback" not in printed, printed
    said = printed.partition("FAILED: ")[2]
    # Before the first revision, there is only its URL to name.
    assert "run the command again" in said or " cannot be used: " in said, printed


def run(*argv: str) -> None:
    status, printed = in_a_process(*argv)
    assert status == 0, printed


def in_a_process(
    *argv: str, kill: Callable[[], Any] = lambda: None, after: int = 0
) -> tuple[int, str]:
    """Run `alembic` in a process of its own, which kills after so many changes.

    Return its status, and what it printed.
    """
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                for stream in (1, 2):
                    os.dup2(printed.fileno(), stream)
                kill_after(after, kill)
                alembic(argv)
                status = 0
            except SystemExit as exit_:
                status = int(exit_.code or 0) % 256
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        printed.seek(0)
        return status, printed.read().decode()


def kill_after(changes: int, kill: Callable[[], Any]) -> None:
    left = [changes]

    @event.listens_for(Engine, "after_cursor_execute")
    def count(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if not statement.lstrip().upper().startswith(_READS):
            left[0] -= 1
            if not left[0]:
                kill()


def state(history: History) -> dict[str, Any]:
    """Return all that must be the same: schema, rows, revision; and nothing left over."""
    name = history.database.name
    left = history.query(_LEFT[history.database.kin]) + (
        history.query(_LOCKS) if name == "postgresql" else []
    )
    beside = []
    if name == "sqlite":
        path = Path(str(history.database.engine.url.database))
        beside = sorted(entry.name for entry in path.parent.iterdir() if entry != path)
    rows = history.rows()
    # Revisions write there when something happened; and what is rolled back uses up ids.
    for table, first in (("audit", 2), ("payments", 1)):
        rows[table] = sorted((row[first:] for row in rows.get(table, ())), key=str)
    return {
        "schema": history.schema(),
        "rows": rows,
        "revision": history.revision(),
        "left": left,
        "beside": beside,
    }


def differs(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    lines = []
    for key, value in found.items():
        if value != wanted[key]:
            if isinstance(value, dict):
                for name in {*value, *wanted[key]}:
                    one, other = value.get(name) or [], wanted[key].get(name) or []
                    if one != other and isinstance(one, list):
                        lines.append(f"{key} {name}: {[row for row in one if row not in other]}")
                        lines.append(f"not {[row for row in other if row not in one]}")
                    elif one != other:
                        lines.append(f"{key} {name}: {one}, not {other}")
            else:
                lines.append(f"{key}: {value} / {wanted[key]}")
    return "\n".join(lines)


assert REVISIONS[-1] == REVISION

if __name__ == "__main__":
    main()
