"""Measure what the verbs cost: ``scripts/bench --help``.

Every number is a median of repetitions that take turns, because machines are noisy: a ratio holds
where a time does not.
"""

from __future__ import annotations

import argparse
import gc
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import Engine, NullPool, create_engine, event

from tests import databases
from tests.bench import backfill, history, roundtrip, seed, traffic
from tests.helpers.test_contract import ABSENT, ROWS, SAME, spelled
from tests.helpers.test_questions import QUESTIONS, THINGS
from tests.helpers.vocabulary import counted, is_act, looks_of, prepare

MOST_LOOKS, MOST_GROWTH = 2, 1.5
MOST_RATIOS = {"postgresql": 1.1}  # times plain op; elsewhere:
MOST_RATIO = 1.3
SMALL = 10


def main() -> None:
    given = _arguments()
    logging.disable()  # what is said is not what is measured
    try:
        for name in given.servers:
            try:
                databases.new_database(name).close()  # or say at once that there is none
                for part in given.parts:
                    PARTS[part](name, given)
            except pytest.skip.Exception as error:
                print(f"{name}: not measured: {error.msg}")
    finally:
        databases.stop_servers()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = ", ".join([*databases.NAMES, *PARTS])
    parser.add_argument("names", nargs="*", metavar="server|part", help=f"{names} (all)")
    parser.add_argument("--revisions", type=int, default=1000, help="in the history (1000)")
    parser.add_argument("--tables", type=int, default=1000, help="in the large database (1000)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="repetitions of a history or backfill (3)"
    )
    parser.add_argument("--calls", type=int, default=15, help="repetitions of each verb (15)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="to backfill (1000000)")
    parser.add_argument("--megabytes", type=int, default=20, help="of a file of SQL (20)")
    sizes = "revisions of the histories that make a round trip (50,200,1000)"
    parser.add_argument("--sizes", type=_sizes, default="50,200,1000", help=sizes)
    measures = list(roundtrip.PARTS)
    text = f"what is measured of a round trip: {','.join(measures)} (all)"
    parser.add_argument("--measure", default=",".join(measures), help=text)
    given = parser.parse_args()
    given.servers = [name for name in given.names if name in databases.NAMES]
    given.servers = given.servers or list(databases.NAMES)
    given.parts = [name for name in given.names if name in PARTS] or list(PARTS)
    given.measure = given.measure.split(",")
    unknown = {*given.names} - {*databases.NAMES, *PARTS} | {*given.measure} - {*measures}
    if unknown:
        parser.error(f"no such server or part: {', '.join(sorted(unknown))}")
    return given


def _sizes(text: str) -> list[int]:
    return sorted(int(size) for size in text.split(","))


def _bench_verbs(name: str, given: argparse.Namespace) -> None:
    if given.revisions:
        _print_history(name, given)
    if given.tables:
        _print_looks(name, given)


PARTS = {
    "verbs": _bench_verbs,
    "roundtrip": roundtrip.bench,
    "backfill": backfill.bench,
    "traffic": traffic.bench,
    "seed": seed.bench,
}


# A long history


def _print_history(name: str, given: argparse.Namespace) -> None:
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        histories = history.write(directory, given.revisions)
        turns = _turns(name, histories, given.rounds)
    finally:
        shutil.rmtree(directory)
    bar = MOST_RATIOS.get(name, MOST_RATIO)
    print(f"{name}: {given.revisions} revisions, seconds (the bar: {bar} times plain op)")
    print(f"  {'':10}{'plain op':>10}{'helpers':>10}{'ratio':>8}")
    for direction in ("upgrade", "downgrade"):
        plain = [turn["plain", direction] for turn in turns]
        ours = [turn["helpers", direction] for turn in turns]
        ratio = statistics.median(b / a for a, b in zip(plain, ours, strict=True))
        times = f"{statistics.median(plain):10.2f}{statistics.median(ours):10.2f}"
        print(f"  {direction:10}{times}{ratio:8.2f}{_over(ratio > bar)}", flush=True)


def _turns(
    name: str, histories: dict[str, Path], rounds: int
) -> list[dict[tuple[str, str], float]]:
    """Run each history up and down, one after the other, so many times."""
    turns = []
    for round_ in range(rounds):
        turn: dict[tuple[str, str], float] = {}
        for which, directory in sorted(histories.items(), reverse=bool(round_ % 2)):
            _progress(f"{name}: history {round_ + 1} of {rounds}, {which}")
            turn |= {(which, key): value for key, value in _up_and_down(name, directory).items()}
        turns.append(turn)
    _progress("")
    return turns


def _up_and_down(name: str, directory: Path) -> dict[str, float]:
    database = databases.new_database(name)
    config = Config()
    config.set_main_option("script_location", str(directory))
    try:
        engine = create_engine(database.url, poolclass=NullPool)  # as an env.py makes it
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            return {
                "upgrade": _seconds(lambda: command.upgrade(config, "head")),
                "downgrade": _seconds(lambda: command.downgrade(config, "base")),
            }
    finally:
        database.close()


def _seconds(act: Callable[[], Any]) -> float:
    gc.collect()
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


# Looks, in a small database and in a large one


def _print_looks(name: str, given: argparse.Namespace) -> None:
    with ExitStack() as stack:
        sides = [stack.enter_context(_side(name, size)) for size in (SMALL, given.tables)]
        for there, title in ((False, "absent"), (True, "there already")):
            bar = f" (the bar: {MOST_LOOKS} looks, growth {MOST_GROWTH})" if not there else ""
            print(
                f"{name}: {title}; looks, milliseconds with {SMALL} and {given.tables} tables{bar}"
            )
            print(f"  {'':42}{'looks':>6}{'small':>8}{'large':>8}{'growth':>8}")
            for label, statements, act in _cases(name, there):
                _progress(f"{name}: {label}")
                looks, small, large = _measured(sides, statements, act, given.calls, there)
                growth = large / small
                over = _over(not there and (looks > MOST_LOOKS or growth > MOST_GROWTH))
                _progress("")
                times = f"{small:8.2f}{large:8.2f}{growth:8.2f}"
                print(f"  {label:42}{looks:6}{times}{over}", flush=True)


def _cases(name: str, there: bool) -> Iterator[tuple[str, Sequence[str], Callable[[], Any]]]:
    for label, question in QUESTIONS.items():
        yield f"question: {label}", THINGS if there else [], question
    situation = SAME if there else ABSENT
    for row in ROWS:
        statements = row.situations.get(situation)
        is_wanted = not there or row.expected.get(SAME) == "skipped"
        if statements is not None and name in row.servers and is_wanted:
            yield str(row), spelled(statements, name), row.act


@contextmanager
def _side(name: str, tables: int) -> Iterator[databases.Database]:
    """Give a database with so many tables, each with an index and a key."""
    database = databases.new_database(name)
    try:
        prepare(
            database,
            *(
                f"CREATE TABLE filler{n} (id INTEGER NOT NULL PRIMARY KEY, amount INTEGER,"
                f" CONSTRAINT ck_filler{n} CHECK (amount > 0),"
                f" CONSTRAINT uq_filler{n} UNIQUE (amount, id))"
                for n in range(tables)
            ),
        )
        yield database
    finally:
        database.close()


def _measured(
    sides: list[databases.Database],
    statements: Sequence[str],
    act: Callable[[], Any],
    calls: int,
    there: bool,
) -> tuple[int, float, float]:
    """Return the number of looks, and the median times on each side, whose calls take turns."""
    times: list[list[float]] = [[] for _ in sides]
    with ExitStack() as stack:
        for database in sides:
            _clear(database)
            prepare(database, *statements)
            stack.callback(_clear, database)
        revisions = [stack.enter_context(_revision(database, there)) for database in sides]
        looks = []  # counted while all warms up
        for (context, engine), database in zip(
            revisions, sides, strict=True
        ):  # to warm up, and count
            with counted(engine) as statements:
                _call(context, act)
            looks.append(len(looks_of(database.name, statements)))
        count = max(looks)
        for _ in range(calls):
            for (context, _engine), taken in zip(revisions, times, strict=True):
                taken.append(_seconds_of(context, act))
    small, large = (1000 * statistics.median(taken) for taken in times)
    return count, small, large


def _call(context: MigrationContext, act: Callable[[], Any]) -> None:
    with Operations.context(context), suppress(CommandError):
        act()


def _seconds_of(context: MigrationContext, act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    _call(context, act)
    return time.perf_counter() - begun


@contextmanager
def _revision(
    database: databases.Database, there: bool
) -> Iterator[tuple[MigrationContext, Engine]]:
    """Open a revision in which nothing is run that would change the database.

    So it can be repeated, and what the server takes to make a thing is not counted.
    """

    def skip(_1: Any, statement: str, *_2: Any) -> bool:
        return is_act(statement) and not there

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with context.begin_transaction(_per_migration=True):
            event.listen(database.engine, "do_execute", skip)
            event.listen(database.engine, "do_execute_no_params", skip)
            try:
                yield context, database.engine
            finally:
                event.remove(database.engine, "do_execute", skip)
                event.remove(database.engine, "do_execute_no_params", skip)


def _clear(database: databases.Database) -> None:
    things = ["VIEW owed", "TABLE bills", "TABLE invoices", "TABLE users"]
    things += ["TYPE status"] if database.name == "postgresql" else []
    prepare(database, *(f"DROP {thing.replace(' ', ' IF EXISTS ')}" for thing in things))


# Printing


def _over(is_over: bool) -> str:
    return "  over" if is_over else ""


def _progress(text: str) -> None:
    """Say on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
