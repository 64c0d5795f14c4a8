"""Which versions of packages are installed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

OURS = "alembic-toolkit"
NOT = "(not installed)"


def installed(package: str = OURS) -> str:
    """Return the version of a package; `NOT` where only its files are present."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return NOT


def named(packages: Iterable[str]) -> str:
    """Return the packages that are installed, with their versions: "Alembic 1.20.1, …"."""
    found = {package: installed(package.lower()) for package in packages}
    return ", ".join(f"{package} {version}" for package, version in found.items() if version != NOT)
