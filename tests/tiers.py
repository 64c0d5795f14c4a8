"""What ``scripts/test --all`` runs: the whole suite, and its parts on other versions.

Each stage runs, whatever became of those before it. The end says in a line each what passed, what
failed, and what there was no server for. Arguments go to pytest, in every stage.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests import databases, servers

# The part of the tests that would notice another version of a server.
VERSIONS = [
    "tests/helpers/test_contract.py",
    "tests/helpers/test_definitions.py",
    "tests/migrations/test_kills.py",
    "tests/migrations/test_roundtrip.py",
    "tests/roundtrip/test_faults.py",
    "tests/toolkit/test_deployers.py",
]
# The part that would notice another version of SQLAlchemy, Alembic or a driver.
FLOORS = [
    "tests/helpers/test_batch.py",
    "tests/helpers/test_contract.py",
    "tests/helpers/test_names.py",
    "tests/helpers/test_parity.py",
    "tests/migrations/test_revisions.py",
    "tests/migrations/test_roundtrip.py",
]
PARALLEL = ["-n", "logical", "--dist", "loadfile"]


@dataclass
class Stage:
    """One session of pytest."""

    name: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    floors: bool = False

    def run(self, more: list[str]) -> bool:
        """Run it, with more arguments; say whether it passed."""
        environment = os.environ | self.environment
        venv = ".venv-floors" if self.floors else ".venv"
        if self.floors and subprocess.call(["scripts/setup"], env=environment | {"FLOORS": "1"}):
            return False
        command = [f"{venv}/bin/python", "-m", "pytest", *PARALLEL, *self.arguments, *more]
        return subprocess.call(command, env=environment) == 0


def main(arguments: list[str]) -> int:
    missing = [name for name in servers.SERVERS if not (servers.HERE / name).is_dir()]
    lines, failed = [], False
    for stage in stages(missing):
        print(f"\n# {stage.name}", flush=True)
        started = time.monotonic()
        passed = stage.run(arguments)
        failed |= not passed
        took = time.monotonic() - started
        lines.append(f"{'passed' if passed else 'FAILED'} in {took:.0f} s: {stage.name}")
    if missing:
        required = sorted({*missing} & databases.required())
        failed |= bool(required)
        names = " ".join(missing)
        lines.append(f"{'FAILED' if required else 'not run'}: {names}: scripts/servers {names}")
    print("", *lines, sep="\n", flush=True)
    return int(failed)


def stages(missing: list[str]) -> Iterator[Stage]:
    """Give what is to be run, in this order."""
    yield Stage("the whole suite", ["--long"])
    for version in servers.SERVERS:
        name = version.partition("-")[0]
        if name != version and version not in missing:
            arguments = ["-k", name, *VERSIONS]
            yield Stage(version, arguments, {"TEST_SERVERS": version})
    yield Stage("the oldest packages that are supported", FLOORS, floors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
