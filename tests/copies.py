"""Copies of this repository: its commands are run there, and nothing here is touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
IS_CLONE = (ROOT / ".git").exists()  # and not an archive of the sources

# What is made in a directory that is at work, where no git knows it.
MADE = re.compile(r"\.(venv|venv-floors|servers|.*_cache)|__pycache__|build|dist|.*\.egg-info")

# What would lead a command elsewhere: into another repository, database, environment or log.
ELSEWHERE = ("ALEMBIC_", "COLUMNS", "DATABASE_URL", "FLOORS", "GIT_", "PYTEST_", "PYTHON")


@dataclass
class Outcome:
    """What a command did, and all that it printed, in the order of a terminal."""

    status: int
    printed: str


@dataclass
class Copy:
    """The files of the repository in a directory, with the running environment as its `.venv`."""

    directory: Path

    def run(self, command: str, longest: float = 120, **more: str) -> Outcome:
        """Run a line of shell there, as somebody does who has just made a clone."""
        return run(command, self.directory, longest, **self.variables(), **more)

    def variables(self) -> dict[str, str]:
        """Return what has a command import the copy instead of what is installed."""
        return {"PYTHONPATH": str(self.directory)}

    def files(self) -> set[str]:
        """Return the names of all files, without the environment and Python's caches."""
        names = (path.relative_to(self.directory) for path in self.directory.rglob("*"))
        return {str(name) for name in names if not {".venv", "__pycache__"} & {*name.parts}}


def run(command: str, directory: Path, longest: float = 120, **more: str) -> Outcome:
    """Run a line of shell with the programs of the running interpreter first on the PATH.

    :param longest: the seconds after which it is taken to hang.
    """
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env=environment() | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=longest,
    )
    return Outcome(done.returncode, done.stdout)


def environment() -> dict[str, str]:
    """Return the variables of a fresh terminal."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ELSEWHERE)}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # Python's two streams in the order in which they are written; and should scripts/setup want
    # to install anything here, it finds no Python to do it with.
    more = {"PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHON": "false"}
    return kept | more


def copy_repository(directory: Path) -> Copy:
    """Copy the files that git knows or would add, and link the environment."""
    for name in repository_files():
        if (ROOT / name).is_file():  # deleted perhaps, and not committed yet
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name, follow_symlinks=False)
    _link_environment(directory)
    return Copy(directory)


def repository_files() -> list[str]:
    """Return the names of the files that git knows or would add; of an archive, all in it."""
    if not IS_CLONE:
        made = re.compile(
            r"\.(venv|servers|mypy_cache|ruff_cache)|__pycache__|build|dist|.*egg-info"
        )
        names = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return sorted(str(name) for name in names if not any(map(made.fullmatch, name.parts)))
    # The clone may belong to somebody else, of whom git is wary.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(
        command, cwd=ROOT, env=environment(), check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return [name for name in listed.stdout.split("\0") if name]


def _link_environment(directory: Path) -> None:
    """Give the copy the `.venv` that scripts/setup would make, and leaves alone."""
    venv = directory / ".venv"
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name not in {"bin", "stamp"}:
            (venv / entry.name).symlink_to(entry)
    (venv / "bin").symlink_to(Path(sys.executable).parent)
    # A change of how scripts/setup stamps an environment should be noticed here.
    source = (directory / "scripts" / "setup").read_text(encoding="utf-8")
    expressions = re.findall(r"^wanted=\$\(.*\)$", source, re.MULTILINE)
    assert len(expressions) == 1, "scripts/setup: wanted=$(...) in one line gives the stamp"
    stamp = run(f'{expressions[0]}; echo "$wanted"', directory)
    assert stamp.status == 0, stamp.printed
    (venv / "stamp").write_text(stamp.printed, encoding="utf-8")
