"""The pytest plugin: one test for each revision and check.

    pytest --roundtrip

Its modules are imported only when the option is given.
"""

from __future__ import annotations

import pytest

# Those of `prove/settings.py`, which is imported only when a proof is requested.
CHECKS = ("re-run", "crash", "offline", "locks", "old-code")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; without the first one, the others have no effect."""
    group = parser.getgroup("alembic-toolkit", "proof of Alembic revisions (alembic-toolkit)")
    group.addoption(
        "--roundtrip",
        action="store_true",
        help="prove every Alembic revision, up, down and up again: a test for each check",
    )
    group.addoption(
        "--roundtrip-config",
        metavar="FILE",
        help="alembic.ini, or a pyproject.toml with [tool.alembic] (default: the project's)",
    )
    group.addoption(
        "--roundtrip-url",
        action="append",
        metavar="URL",
        help="an empty database, once for each (default: a temporary file of SQLite)",
    )
    group.addoption(
        "--roundtrip-check",
        action="append",
        metavar="NAME",
        choices=CHECKS,
        help=f"make a further check, once for each: {', '.join(CHECKS)}",
    )
    group.addoption("--roundtrip-all", action="store_true", help="make the first three of these")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Make pytest load the project's ``conftest.py``, even if only the proof is to run."""
    known = early_config.known_args_namespace
    if known.roundtrip and known.file_or_dir:
        root = early_config.rootpath
        parts = early_config.getini("testpaths")
        paths = [path for part in parts for path in sorted(root.glob(part))]
        known.file_or_dir += [str(path) for path in paths or [root]]


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin in the session, if it is requested."""
    if config.option.roundtrip:
        from alembic_toolkit.prove import items

        config.pluginmanager.register(items.Plugin(config), "alembic-toolkit-roundtrip")
