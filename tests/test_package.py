"""What `pip install` of this repository brings."""

import re
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import alembic_helpers
from tests.copies import ROOT, copy_repository


def isolation() -> str:
    """Say whether pip can build with what is installed, or has to download setuptools."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [needed] = re.findall(r'^requires = \["(setuptools[^"]*)"\]$', project, re.MULTILINE)
    try:
        installed = version("setuptools")
    except PackageNotFoundError:
        return ""
    return "--no-build-isolation" if installed in Requirement(needed).specifier else ""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build the wheel; return the text of each file in it."""
    directory = tmp_path_factory.mktemp("wheel")
    copy = copy_repository(directory / "clone")
    outcome = copy.run(
        f"'{sys.executable}' -m pip wheel . --no-deps {isolation()} --wheel-dir '{directory}'"
        " --quiet --disable-pip-version-check"
    )
    assert outcome.status == 0, outcome.printed
    [path] = directory.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_wheel_holds_the_helpers_and_the_toolkit_alone(wheel: dict[str, str]) -> None:
    metadata = f"alembic_toolkit-{alembic_helpers.__version__}.dist-info"
    files = {name for name in wheel if not name.startswith(f"{metadata}/")}
    toolkit = (ROOT / "alembic_toolkit").rglob("*.py")
    sources = {"alembic_helpers.py", *(str(path.relative_to(ROOT)) for path in toolkit)}
    assert files == {*sources, "alembic_toolkit/report/page.html", "alembic_toolkit/py.typed"}


def test_wheel_files_are_those_of_the_repository(wheel: dict[str, str]) -> None:
    for name in ("alembic_helpers.py", "alembic_toolkit/runner.py"):
        assert wheel[name] == (ROOT / name).read_text(encoding="utf-8")


def test_wheel_brings_the_command(wheel: dict[str, str]) -> None:
    [name] = [name for name in wheel if name.endswith(".dist-info/entry_points.txt")]
    assert "[console_scripts]\nalembic-toolkit = alembic_toolkit.cli:main\n" in wheel[name]


def test_wheel_brings_the_licence(wheel: dict[str, str]) -> None:
    assert any(Path(name).name == "LICENSE" for name in wheel)
