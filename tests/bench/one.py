"""Measure one way through a history, in a process of its own: ``tests.bench.roundtrip`` starts it.

    python -m tests.bench.one unchecked DIRECTORY URL URL

The first database is for the way up with a look back at each revision, the second for the way up
and down again. What Python takes to start is not counted.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

STATEMENTS, MODELS = "statements.pickle", "models.pickle"
SAMPLES = 8  # revisions at which a test that is too slow is run
PYTEST_ALEMBIC = """\
import pytest
from pytest_alembic.tests import {name}
from tests.bench.one import connected

@pytest.fixture
def alembic_engine():
    engine = connected({url!r})
    yield engine
    engine.dispose()

@pytest.fixture
def alembic_config():
    return {{"script_location": {directory!r}}}
"""
_Statement = tuple[int, str | None, Any]  # which database, its text (None: a commit), its values


def main() -> None:
    what, directory, *urls = sys.argv[1:]
    sys.path.insert(0, directory)  # for its models
    ways = {
        "prepare": prepare,
        "floor": floor,
        "unchecked": unchecked,
        "ours": ours,
        "locks": locks,
        "old-code": old_code,
    }
    act = ways.get(what)
    found = act(Path(directory), urls) if act else theirs(what, Path(directory), urls)
    print(json.dumps(found))


def connected(url: str) -> Any:
    """Make an engine whose connections are as those of a round trip."""
    from sqlalchemy import create_engine, event

    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        if url.startswith("sqlite"):
            connection.execute("PRAGMA foreign_keys = ON").close()
        elif url.startswith("postgresql"):
            connection.prepare_threshold = None

    return engine


def locks(directory: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Do the same as `ours`, and observe who waits for what."""
    found = ours(directory, urls, more={"locks"})
    wrong = [line for line in found["wrong"] if " locks: " not in line]
    return found | {"wrong": wrong}  # that others wait is not the matter here


def old_code(directory: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Do the same as `ours`, and run the code of each schema on the next one."""
    found = ours(directory, urls, more={"old-code"})
    return found | {"wrong": [line for line in found["wrong"] if " old-code: " not in line]}


def ours(
    directory: Path, urls: Sequence[str], more: Collection[str] = frozenset()
) -> dict[str, Any]:
    """Prove the history, all of its revisions and base; what the command does, its worker included.

    The models are not compared: no step that the others take has anything to do with them.

    :param more: further checks.
    """
    from alembic_toolkit.prove import results
    from alembic_toolkit.prove.roundtrip import roundtrip
    from alembic_toolkit.prove.settings import ALWAYS, Settings

    begun = time.perf_counter()
    wanted = Settings([urls[0]], ALWAYS - {results.MODELS} | {*more}, alone=True)
    report = roundtrip(directory / "alembic.ini", wanted)
    seconds = time.perf_counter() - begun
    wrong = [f"{f.revision} {f.check}: {f.problem} {f.details}" for f in report.all_findings()]
    wrong += [proof.error for proof in report.proofs if proof.error]
    return {"seconds": seconds, "wrong": wrong}


def unchecked(directory: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Take the same steps through Alembic, which looks at nothing."""
    engines = [connected(url) for url in urls[:2]]
    begun = time.perf_counter()
    _steps(directory, engines)
    return {"seconds": time.perf_counter() - begun}


def _steps(directory: Path, engines: Sequence[Any]) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory

    config = Config(str(directory / "alembic.ini"))
    script = ScriptDirectory.from_config(config)
    order = [*script.walk_revisions()][::-1]
    ways = (
        [(revision, up) for revision in order for up in (True, False, True)],
        [(revision, True) for revision in order] + [(revision, False) for revision in order[::-1]],
    )
    for engine, way in zip(engines, ways, strict=True):
        steps = [RevisionStep(script.revision_map, revision, up) for revision, up in way]

        def run(_1: Any, _2: Any, steps: Any = steps) -> Any:
            return steps

        with engine.connect() as connection:
            config.attributes["connection"] = connection
            with EnvironmentContext(config, script, fn=run):
                script.run_env()


def prepare(directory: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Keep what `floor` needs, the statements; and what head is, for its models."""
    from sqlalchemy import MetaData, event

    statements: list[_Statement] = []
    engines = [connected(url) for url in urls[:2]]
    for number, engine in enumerate(engines):

        def note(*arguments: Any, number: int = number) -> None:
            if _acts(arguments[2]):
                statements.append((number, arguments[2], arguments[3]))

        def commit(_: Any, number: int = number) -> None:
            statements.append((number, None, None))

        event.listen(engine, "before_cursor_execute", note)
        event.listen(engine, "commit", commit)
    _steps(directory, engines)
    metadata = MetaData()
    with engines[0].connect() as connection:
        metadata.reflect(connection)
    metadata.remove(metadata.tables["alembic_version"])
    (directory / STATEMENTS).write_bytes(pickle.dumps(statements))
    (directory / MODELS).write_bytes(pickle.dumps(metadata))
    return {"seconds": 0}


def _acts(statement: str) -> bool:
    return statement.split()[0].upper() not in ("SELECT", "PRAGMA", "SHOW", "DESCRIBE")


def floor(directory: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Send what changes something straight through the driver."""
    statements: list[_Statement] = pickle.loads((directory / STATEMENTS).read_bytes())
    begun = time.perf_counter()
    for number, url in enumerate(urls[:2]):
        connection = connected(url).raw_connection().driver_connection
        for database, statement, values in statements:
            if database == number and statement is None:
                connection.commit()
            elif database == number:
                # As SQLAlchemy has it: None where there are none, so that % is left alone.
                with contextlib.closing(connection.cursor()) as cursor:
                    cursor.execute(*((statement, values) if values else (statement,)))
        connection.close()
    return {"seconds": time.perf_counter() - begun}


# pytest-alembic


def theirs(name: str, directory: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Run one test of pytest-alembic, on one database; "name~" at some revisions only."""
    import pytest

    watching = _Watching()
    sampling = name.endswith("~")
    test = PYTEST_ALEMBIC.format(
        name=name.rstrip("~"), url=urls[0], directory=str(directory / "migrations")
    )
    if "leaves" in name:
        test = test.replace("pytest_alembic.tests", "pytest_alembic.tests.experimental")
    with tempfile.TemporaryDirectory() as place, _sampled(sampling) as samples:
        Path(place, "pytest.ini").write_text("[pytest]\n")
        Path(place, "test_theirs.py").write_text(test)
        arguments = ["-q", "-p", "no:cacheprovider", "-c", f"{place}/pytest.ini", place]
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.main(arguments, plugins=[watching])
    seconds = watching.seconds
    if samples:
        seconds += _integral(samples) - sum(taken for _, taken, _ in samples)
    return {"seconds": seconds, "wrong": watching.failures, "sampled": bool(samples)}


class _Watching:
    """A plugin of pytest: how long it took, and what failed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add up."""
        self.seconds += report.duration
        if report.failed:
            self.failures.append(str(report.longrepr)[-300:])


_Samples = list[tuple[int, float, int]]  # the position of a revision, its seconds, all positions


@contextlib.contextmanager
def _sampled(sampling: bool) -> Iterator[_Samples]:
    """Have the test look at some revisions only."""
    samples: _Samples = []
    if not sampling:
        yield samples
        return
    module = importlib.import_module("pytest_alembic.tests.experimental.downgrade_leaves_no_trace")
    check: Callable[..., None] = module.check_revision_cycle
    seen = iter(range(1_000_000))

    def some(runner: Any, *arguments: Any) -> None:
        position, total = next(seen), len(runner.history.revisions) - 1
        if position in {n * (total - 1) // (SAMPLES - 1) for n in range(SAMPLES)}:
            begun = time.perf_counter()
            check(runner, *arguments)
            samples.append((position, time.perf_counter() - begun, total))

    module.__dict__["check_revision_cycle"] = some
    yield samples


def _integral(samples: _Samples) -> float:
    pairs = itertools.pairwise(samples)
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs) + samples[-1][1]


if __name__ == "__main__":
    os.environ.pop("PYTEST_ADDOPTS", None)
    main()
