"""A real browser for the pages: Chromium or Chrome, if there is one on PATH."""

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), "")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr"),
]

BROWSED = pytest.mark.skipif(not BROWSER, reason="not on this machine: chromium")


def browse(directory: Path, address: str, *flags: str) -> str:
    """Return what the browser prints; it may not complain of anything in the page."""
    profile = f"--user-data-dir={directory / 'profile'}"
    command = [BROWSER, *FLAGS, profile, *flags, address]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert [line for line in outcome.stderr.splitlines() if "CONSOLE" in line] == []
    return outcome.stdout
