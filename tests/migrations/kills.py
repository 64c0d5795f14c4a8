"""Kill `alembic` after each statement that changes anything, and run the same command again.

``python -m tests.migrations.kills sqlite postgresql mariadb`` takes every revision of the example
down and up, once for each such statement, and says how often it was killed. ``--every 7`` kills
after each seventh statement only, ``--only 0010`` in one revision: so do the tests.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
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
    given = parser.parse_args()
    try:
        for name in given.servers:
            kills = kill_everywhere(name, given.every, given.only, given.url)
            print(f"{name}: killed {kills} times, 0 wedged", flush=True)
    finally:
        databases.stop_servers()


def kill_everywhere(name: str, every: int, only: str | None, url: str | None) -> int:
    """Kill in every revision, both ways; return how often that was."""
    if url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        database = databases.Database(name, url, engine, lambda: None)
    else:
        database = databases.new_database(name)
    os.environ["DATABASE_URL"] = database.url
    history = History(database, Config(str(ROOT / "alembic.ini")))
    in_a_process(history.upgrade)
    in_a_process(history.load_samples)
    try:
        pairs = [*zip(REVISIONS[::-1], [*REVISIONS[-2::-1], "base"], strict=True)]
        if only:
            pairs = [pair for pair in pairs if pair[0] == only]
            in_a_process(lambda: history.downgrade(only))
        return sum(kill_in(history, up, down, every) for up, down in pairs)
    finally:
        database.close()


def kill_in(history: History, up: str, down: str, every: int) -> int:
    """Kill in one revision, which the history is at; leave it below."""
    in_a_process(lambda: history.downgrade(down))
    below = state(history)
    in_a_process(lambda: history.upgrade(up))
    above = state(history)
    kills, at, more = 0, every, {"up": True, "down": True}
    while any(more.values()):
        for direction, act, wanted in (
            ("down", lambda: history.downgrade(down), below),
            ("up", lambda: history.upgrade(up), above),
        ):
            killed = more[direction] and in_a_process(act, at)
            more[direction] = killed
            kills += killed
            in_a_process(act)
            found = state(history)
            assert found == wanted, f"{up} {direction}, statement {at}: {differs(found, wanted)}"
        at += every
    in_a_process(lambda: history.downgrade(down))
    return kills


def in_a_process(act: Callable[[], Any], kill_after: int = 0) -> bool:
    """Act in a process of its own; say whether it was killed, after so many changes."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            if kill_after:
                kill_self(kill_after)
            act()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    assert kill_after or status == 0
    return status != 0


def kill_self(after: int) -> None:
    left = [after]

    @event.listens_for(Engine, "after_cursor_execute")
    def count(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if not statement.lstrip().upper().startswith(_READS):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)


def state(history: History) -> dict[str, Any]:
    """Return all that must be the same: schema, rows, revision; and nothing left over."""
    name = history.database.name
    left = history.query(_LEFT[name]) + (history.query(_LOCKS) if name == "postgresql" else [])
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
