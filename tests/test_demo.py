"""The story that scripts/demo tells, and the same story on the other servers."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bills.database import REVISION
from tests import recording
from tests.copies import Copy, Outcome, copy_repository, environment
from tests.databases import Database

COMMANDS = [
    "alembic upgrade head",
    "python -m bills sample",
    "python -m bills list | head -6",
    "python -m bills owed | tail -1",
    "python -m bills serve --port 0 &",
    "python -m bills.probe {site}/",
    "alembic downgrade -1",
    'python -m bills list || echo "exit status $?"',
    "python -m bills.probe {site}/ || true",
    "alembic upgrade head",
    "python -m bills list | tail -2",
    "python -m bills.probe {site}/",
]
YOUR_TURN = [
    ". .venv/bin/activate",
    "export DATABASE_URL=sqlite:///{directory}/demo.db",
    "python -m bills pay 1 0.01",
    "python -m bills --help",
    "alembic history",
    "python -m bills serve",
]
REFUSAL = rf"^error: \S+ is at revision \d+, this code needs {REVISION}; run: alembic upgrade head$"
ANSWER = REFUSAL.replace("error", "503 Service Unavailable")

AGAIN = "the demo's picture is not of today's demo: scripts/docs --recording"


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return copy_repository(tmp_path / "clone")


def refusals(outcome: Outcome) -> list[str]:
    return re.findall(REFUSAL, outcome.printed, re.MULTILINE)


def answers(outcome: Outcome) -> list[str]:
    return re.findall(r"^\d{3} [A-Z][A-Za-z ]+", outcome.printed, re.MULTILINE)


@contextmanager
def served(copy: Copy, database: Database) -> Iterator[str]:
    """Serve the page, and give its address."""
    command = [sys.executable, "-m", "bills", "serve", "--port", "0"]
    env = environment() | {"PYTHONPATH": str(copy.directory), "DATABASE_URL": database.url}
    with subprocess.Popen(
        command, cwd=copy.directory, env=env, stdout=subprocess.PIPE, encoding="utf-8"
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[0]
        finally:
            server.terminate()
    assert server.returncode == 143


def test_demo_tells_the_story_when_run_once_and_again(copy: Copy) -> None:
    before, picture = copy.files(), recording.PICTURE.read_text(encoding="utf-8")
    your_turn = [line.format(directory=copy.directory) for line in YOUR_TURN]
    for _ in ("the first time", "the second time"):
        outcome = copy.run("scripts/demo")
        assert outcome.status == 0, outcome.printed
        typed = re.findall(r"^\$ (.*)$", outcome.printed, re.MULTILINE)
        [site] = {*re.findall(r"http://127\.0\.0\.1:\d+", outcome.printed)}
        assert typed == [line.format(site=site) for line in COMMANDS] + your_turn
        assert len(refusals(outcome)) == 1, outcome.printed
        assert answers(outcome) == ["200 OK", "503 Service Unavailable", "200 OK"]
        assert len(re.findall(ANSWER, outcome.printed, re.MULTILINE)) == 1, outcome.printed
        assert copy.run(f"python -m bills.probe {site}/").status == 1  # nobody is there any more
        assert "\nexit status 1\n" in outcome.printed
        assert "\nloaded 24 users, 216 bills, 148 payments, 148 audit\n" in outcome.printed
        assert "\n216 bills, the same as before to the cent.\n" in outcome.printed
        assert recording.shown(outcome.printed) == recording.read(picture), AGAIN
        assert copy.files() == before | {"demo.db"}
    outcome = copy.run(" && ".join(your_turn[:-1]))  # the last one goes on until Ctrl-C
    assert outcome.status == 0, outcome.printed


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_story_is_the_same_on_a_server(copy: Copy, database: Database) -> None:
    def run(command: str, status: int = 0) -> Outcome:
        outcome = copy.run(command, DATABASE_URL=database.url)
        assert outcome.status == status, outcome.printed
        return outcome

    run("alembic upgrade head && python -m bills sample")
    listed = run("python -m bills list")
    with served(copy, database) as site:
        assert run(f"python -m bills.probe {site}/").printed == "200 OK\n"
        run("alembic downgrade -1")
        refused = run("python -m bills list", status=1)
        assert refusals(refused) == refused.printed.splitlines()
        answered = run(f"python -m bills.probe {site}/", status=1)
        assert re.fullmatch(ANSWER, answered.printed.rstrip())
        run("alembic upgrade head")
        assert run("python -m bills list") == listed
        assert run(f"python -m bills.probe {site}/").printed == "200 OK\n"
