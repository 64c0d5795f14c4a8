"""Fixtures for all tests."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from tests import databases
from tests.databases import Database


def pytest_configure(config: pytest.Config) -> None:
    databases.required()  # a misspelt name is an error now, not a test less later
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


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give the test an empty database, once per server (see the marker ``databases``)."""
    database = databases.new_database(request.param)
    yield database
    database.close()
