"""Measure ``backfill`` beside a single UPDATE, and kill it on the way: ``scripts/bench backfill``.

``python -m tests.bench.backfill SERVER URL`` is the process that is killed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import NullPool, create_engine, event, text

import alembic_helpers as helpers
from tests import databases
from tests.databases import Database
from tests.helpers.vocabulary import prepare, revision, rows, run

LEAST_RATIO, LONGEST_PAGE, KILLS = 0.5, 0.2, 3
# A new value, how often the row was written, and by which revision of it.
TABLE = "CREATE TABLE many (id INTEGER PRIMARY KEY, amount INTEGER, times INTEGER, version INTEGER)"
NUMBERS = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {})"
    " SELECT n, n, 0, 0 FROM s",
    "postgresql": "SELECT n, n, 0, 0 FROM generate_series(1, {}) AS s (n)",
    "mariadb": "SELECT seq, seq, 0, 0 FROM seq_1_to_{}",
}
VALUES = {"amount": "amount + 1", "times": "times + 1", "version": "1"}
WHERE = "version < 1"


def main() -> None:
    """Run the backfill, and say when it begins."""
    name, url = sys.argv[1:]
    engine = create_engine(url, poolclass=NullPool)
    print("begun", flush=True)
    in_pages(Database(name, url, engine, engine.dispose))


def bench(name: str, given: argparse.Namespace) -> None:
    database = databases.new_database(name)
    try:
        turns = [turn(database, given.rows, bool(n % 2)) for n in range(given.rounds)]
        killed = kill(database, given.rows, min(turn[1] for turn in turns))
    finally:
        database.close()
    one = statistics.median(turn[0] for turn in turns)
    ours = statistics.median(turn[1] for turn in turns)
    ratio = statistics.median(turn[0] / turn[1] for turn in turns)
    pages = [page for turn in turns for page in turn[2]]
    late = sum(page > LONGEST_PAGE for page in pages) / len(turns)
    print(f"{name}: backfill of {given.rows} rows (the bars: speed {LEAST_RATIO} of one UPDATE,")
    print(f"  and no more than one page of each run over {1000 * LONGEST_PAGE:.0f} ms)")
    over = "  over" if ratio < LEAST_RATIO or late > 1 else ""
    print(f"  {'one UPDATE':>12}{'backfill':>10}{'speed':>8}{'pages':>8}{'longest':>10}{'late':>6}")
    shown = f"{len(pages) // len(turns):8}{1000 * max(pages):7.0f} ms{late:6.1f}"
    print(f"  {one:10.2f} s{ours:8.2f} s{ratio:8.2f}{shown}{over}")
    print(f"  {killed}", flush=True)


def turn(database: Database, count: int, is_swapped: bool) -> tuple[float, float, list[float]]:
    """Return the seconds of one UPDATE and of a backfill, and those of its pages."""
    pages: list[float] = []
    ways: list[Callable[[Database], None]] = [at_once, in_pages]
    seconds: dict[Any, float] = {}
    for way in reversed(ways) if is_swapped else ways:
        fill(database, count)
        with timed_updates(database) as pages_of_way:
            begun = time.perf_counter()
            way(database)
            seconds[way] = time.perf_counter() - begun
        pages = pages_of_way if way is in_pages else pages
    return seconds[at_once], seconds[in_pages], pages


@contextmanager
def timed_updates(database: Database) -> Iterator[list[float]]:
    """Collect the seconds of each UPDATE: in a backfill so long its rows are locked."""
    seconds: list[float] = []
    begun: list[float] = []

    def begin(*_: Any) -> None:
        begun[:] = [time.perf_counter()]

    def end(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if statement.startswith("UPDATE many"):
            seconds.append(time.perf_counter() - begun[0])

    event.listen(database.engine, "before_cursor_execute", begin)
    event.listen(database.engine, "after_cursor_execute", end)
    yield seconds
    event.remove(database.engine, "before_cursor_execute", begin)
    event.remove(database.engine, "after_cursor_execute", end)


def fill(database: Database, count: int) -> None:
    """Make the table anew, as a server has it that has been running for long."""
    insert = f"INSERT INTO many {NUMBERS[database.kin].format(count)}"
    prepare(database, "DROP TABLE IF EXISTS many", TABLE, insert)
    if database.kin != "mariadb":
        prepare(database, "ANALYZE many")


def at_once(database: Database) -> None:
    values = ", ".join(f"{column} = {value}" for column, value in VALUES.items())
    with revision(database) as connection:
        run(connection, f"UPDATE many SET {values} WHERE {WHERE}")


def in_pages(database: Database) -> None:
    values = {column: text(value) for column, value in VALUES.items()}
    with revision(database):
        helpers.backfill("many", values, where=WHERE)


def kill(database: Database, count: int, seconds: float) -> str:
    """Kill a backfill three times, let it finish, and say what came of it."""
    fill(database, count)
    command = [sys.executable, "-m", "tests.bench.backfill", database.name, database.url]
    done = []
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds / (KILLS + 1))
        process.kill()
        process.wait()
        process.stdout.close()
        done.append(f"{counted(database, 'version = 1') / count:.0%}")
    in_pages(database)
    right = counted(database, "times = 1 AND version = 1 AND amount = id + 1")
    twice = counted(database, "times > 1")
    return f"killed at {', '.join(done)}: {right} of {count} rows right, {twice} done twice"


def counted(database: Database, where: str) -> int:
    with database.engine.connect() as connection:
        return int(rows(connection, f"SELECT count(*) FROM many WHERE {where}")[0][0])


if __name__ == "__main__":
    main()
