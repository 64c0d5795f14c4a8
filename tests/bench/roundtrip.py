"""Measure a round trip beside pytest-alembic, the same steps unchecked, and the same DDL alone."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from alembic_toolkit.progress import Progress
from tests import databases
from tests.bench import history

ROOT = Path(__file__).parents[2]
ENV = """\
from contextlib import nullcontext

from alembic import context
from models import metadata
from sqlalchemy import Connection

given = context.config.attributes["connection"]
with nullcontext(given) if isinstance(given, Connection) else given.connect() as connection:
    # A batch drops tables that others refer to.
    if connection.dialect.name == "sqlite" and not connection.in_transaction():
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.commit()
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
"""
MODELS = """\
import pickle
from pathlib import Path

path = Path(__file__).with_name("models.pickle")
metadata = pickle.loads(path.read_bytes()) if path.exists() else None
"""
FLOOR, UNCHECKED, OURS, LOCKS = "floor", "unchecked", "ours", "locks"
OLD_CODE = "old-code"
DEFAULT = (
    "test_single_head_revision",
    "test_upgrade",
    "test_model_definitions_match_ddl",
    "test_up_down_consistency",
)
NO_TRACE = "test_downgrade_leaves_no_trace"
# What is measured, and which runs it is the sum of; the first are repeated.
PARTS = {
    FLOOR: (FLOOR,),
    UNCHECKED: (UNCHECKED,),
    OURS: (OURS,),
    LOCKS: (LOCKS,),
    OLD_CODE: (OLD_CODE,),
    "up_down": ("test_up_down_consistency",),
    "defaults": DEFAULT,
    "no_trace": (NO_TRACE,),
}
TITLES = {
    FLOOR: "the same DDL through the driver",
    UNCHECKED: "the same steps through Alembic",
    OURS: "round trip",
    LOCKS: "round trip with --locks",
    OLD_CODE: "round trip with --old-code",
    "up_down": "pytest-alembic: up_down_consistency",
    "defaults": "pytest-alembic: its four default tests",
    "no_trace": "pytest-alembic: downgrade_leaves_no_trace",
}
_REPEATED = (FLOOR, UNCHECKED, OURS, LOCKS, OLD_CODE)
MOST_RATIO, MOST_GROWTH, LEAST_RATIO, MOST_LOCKS = 1.3, 0.1, 20.0, 1.5
MOST_OLD_CODE = 1.3
SAMPLED_FROM = 300  # revisions, from which on downgrade_leaves_no_trace would take too long


@dataclass
class Found:
    """What was measured on one server: seconds by size and run."""

    seconds: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    sampled: set[tuple[int, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def of(self, size: int, part: str) -> float | None:
        """Return the seconds of a part: the median of each of its runs, added up."""
        runs = [self.seconds[size].get(run) for run in PARTS[part]]
        return None if not all(runs) else sum(statistics.median(run) for run in runs if run)


def bench(name: str, given: argparse.Namespace) -> None:
    """Measure one server, and print what came of it."""
    found = Found()
    runs = list(dict.fromkeys(run for part in given.measure for run in PARTS[part]))
    rounds = {size: given.rounds if size < SAMPLED_FROM else min(given.rounds, 2)
              for size in given.sizes}  # fmt: skip
    total, done = sum(len(runs) * rounds[size] for size in given.sizes), 0
    with Progress() as progress:
        for size in given.sizes:
            directory = _write(size)
            try:
                _measure("prepare", name, directory, size, Found())
                for number in range(rounds[size]):
                    for run in runs[:: -1 if number % 2 else 1]:
                        progress.update(name, done, total, f"{size} revisions, {run}")
                        # The others take so long that noise is no matter.
                        if not number or run in _REPEATED:
                            _measure(run, name, directory, size, found)
                        done += 1
            finally:
                shutil.rmtree(directory)
        progress.update(name, total, total)
    _print(name, given.sizes, given.measure, found)


def _write(size: int) -> Path:
    """Write a history of so many revisions, through plain Alembic."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    made = history.write(directory, size)["plain"].rename(directory / "migrations")
    (made / "env.py").write_text(ENV)
    (directory / "models.py").write_text(MODELS)
    (directory / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    return directory


def _measure(run: str, name: str, directory: Path, size: int, found: Found) -> None:
    if run == NO_TRACE and size >= SAMPLED_FROM:
        run += "~"
    with ExitStack() as stack:
        made = [databases.new_database(name) for _ in range(2)]
        for database in made:
            stack.callback(database.close)
        command = [sys.executable, "-m", "tests.bench.one", run, str(directory)]
        command += [database.url for database in made]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    label = f"{size} revisions, {run.rstrip('~')}"
    if ended.returncode:
        found.wrong.append(f"{label}: {(ended.stderr.strip().splitlines() or ['it ended'])[-1]}")
        if run == "prepare":
            raise SystemExit(ended.stderr)
        return
    said = json.loads(ended.stdout.splitlines()[-1])
    wrong = said.get("wrong", [])
    found.wrong += [f"{label}: {' '.join(line.split())[-200:]}" for line in wrong[:3]]
    if wrong and run not in _REPEATED:
        return  # it did not come to its end
    if said.get("sampled"):
        found.sampled.add((size, run.rstrip("~")))
    found.seconds.setdefault(size, {}).setdefault(run.rstrip("~"), []).append(said["seconds"])


# Printing


def _print(name: str, sizes: Sequence[int], parts: Sequence[str], found: Found) -> None:
    pairs = list(itertools.pairwise(sizes))
    heads = [f"{size:>9}" for size in sizes] + [f"{a}->{b}".rjust(11) for a, b in pairs]
    print(f"{name}: a round trip through so many revisions, seconds, and how they grow")
    print(f"  {'':42}{''.join(heads)}")
    for part in parts:
        times = [found.of(size, part) for size in sizes]
        marks = ["*" if (size, run) in found.sampled else " " for size in sizes
                 for run in PARTS[part][:1]]  # fmt: skip
        shown = [f"{_number(t):>8}{m}" for t, m in zip(times, marks, strict=True)]
        growth = [f"{_number(_growth(found, part, *pair)):>11}" for pair in pairs]
        print(f"  {TITLES[part]:42}{''.join(shown)}{''.join(growth)}")
    _print_ratios(sizes, parts, found)
    _print_growth(pairs, found)
    if found.sampled:
        print("  * run at some revisions only, from the first to the last, and added up")
    for line in dict.fromkeys(found.wrong):
        print(f"  not as it should be: {line}")
    sys.stdout.flush()


def _print_ratios(sizes: Sequence[int], parts: Sequence[str], found: Found) -> None:
    slow = [part for part in ("up_down", "no_trace") if part in parts]
    rows: list[tuple[str, list[str], list[str], float]] = [
        ("round trip / DDL", [OURS], [FLOOR], math.inf),
        ("round trip / steps (the bar: 1.3)", [OURS], [UNCHECKED], MOST_RATIO),
        ("with --locks / without (the bar: 1.5)", [LOCKS], [OURS], MOST_LOCKS),
        ("with --old-code / without (the bar: 1.3)", [OLD_CODE], [OURS], MOST_OLD_CODE),
        ("round trip / up_down_consistency", [OURS], ["up_down"], math.inf),
        ("round trip / default tests", [OURS], ["defaults"], math.inf),
        ("up_down and no_trace / round trip (20)", slow, [OURS], -LEAST_RATIO),
    ]
    for title, above, below, bar in rows:
        ratios = [_ratio(found, size, above, below) for size in sizes]
        if any(ratio is not None for ratio in ratios):
            last = ratios[-1]
            over = last is not None and (last > bar if bar > 0 else last < -bar)
            shown = "".join(f"{_number(ratio):>8} " for ratio in ratios)
            is_whole = all(found.of(sizes[-1], part) for part in above + below)
            judged = "  over" if over else ""
            print(f"  {title:42}{shown}{judged if is_whole else '  of what can run there'}")


def _print_growth(pairs: Sequence[tuple[int, int]], found: Found) -> None:
    for pair in pairs[-1:]:
        ours, plain = (_growth(found, part, *pair) for part in (OURS, UNCHECKED))
        if ours is not None and plain is not None:
            over = "  over" if ours - plain > MOST_GROWTH else ""
            title = f"growth beyond that of the steps, {pair[0]}->{pair[1]} (0.1)"
            print(f"  {title:50}{ours - plain:.2f}{over}")


def _ratio(found: Found, size: int, above: Sequence[str], below: Sequence[str]) -> float | None:
    sums = []
    for parts in (above, below):
        times = [found.of(size, part) for part in parts]
        # Where one cannot run, the others are still slower.
        sums.append(sum(time for time in times if time is not None))
    return sums[0] / sums[1] if all(sums) else None


def _growth(found: Found, part: str, small: int, large: int) -> float | None:
    one, other = found.of(small, part), found.of(large, part)
    return math.log(other / one) / math.log(large / small) if one and other else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
