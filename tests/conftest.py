"""Fixtures for all tests, and which of them a session runs."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import databases
from tests.databases import Database

# A test writes a revision twice within a second. Python would run the bytecode of the first one, if
# both have the same length: https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# How a test that is skipped says what this machine lacks; others have no such case.
LACKING = re.compile(r"not on this machine: (.+)|(?=could not import)(.+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")


def pytest_configure(config: pytest.Config) -> None:
    # A misspelt name is an error now, not a test less later.
    databases.required()
    databases.chosen()
    if threading.current_thread() is threading.main_thread():
        # `timeout` and CI end a session with SIGTERM: stop the servers then, as after Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    databases.stop_servers()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("databases")
        names = marker.args if marker else databases.NAMES
        metafunc.parametrize("database", names, indirect=True)


def wants_long(config: pytest.Config) -> bool:
    """Say whether a session was asked for certain tests, or for the long ones too."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return bool(named or config.option.keyword or config.option.markexpr or config.option.long)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out of a session that names none of its tests."""
    if not wants_long(config):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what this machine lacks, and what else was left out."""
    said = Counter(
        match[1] or match[2]
        for report in terminalreporter.getreports("skipped")
        if (match := LACKING.search(str((report.longrepr or [""])[-1])))
    )
    parts = [f"{reason} ({number} tests)" for reason, number in sorted(said.items())]
    if not wants_long(terminalreporter.config):
        parts.append("the long tests: scripts/test --all")
    if parts:
        terminalreporter.write_line(f"Not run: {'; '.join(parts)}")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give the test an empty database, once per server (see the marker ``databases``)."""
    database = databases.new_database(request.param)
    yield database
    database.close()
