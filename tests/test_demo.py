"""The story that scripts/demo tells, and the same story on the other servers."""

import re
from pathlib import Path

import pytest

from bills.database import REVISION
from tests import recording
from tests.copies import Copy, Outcome, copy_repository
from tests.databases import Database

COMMANDS = [
    "alembic upgrade head",
    "python -m bills sample",
    "python -m bills list | head -6",
    "python -m bills owed | tail -1",
    "alembic downgrade -1",
    'python -m bills list || echo "exit status $?"',
    "alembic upgrade head",
    "python -m bills list | tail -2",
    "alembic downgrade -1",
    "alembic upgrade head",
]
YOUR_TURN = [
    ". .venv/bin/activate",
    "export DATABASE_URL=sqlite:///{directory}/demo.db",
    "python -m bills pay 1 0.01",
    "python -m bills --help",
    "alembic history",
]
REFUSAL = rf"^error: \S+ is at revision \d+, this code needs {REVISION}; run: alembic upgrade head$"

AGAIN = "the demo's picture is not of today's demo: scripts/docs --recording"


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return copy_repository(tmp_path / "clone")


def refusals(outcome: Outcome) -> list[str]:
    return re.findall(REFUSAL, outcome.printed, re.MULTILINE)


def test_demo_tells_the_story_when_run_once_and_again(copy: Copy) -> None:
    before, picture = copy.files(), recording.PICTURE.read_text(encoding="utf-8")
    your_turn = [line.format(directory=copy.directory) for line in YOUR_TURN]
    for _ in ("the first time", "the second time"):
        outcome = copy.run("scripts/demo")
        assert outcome.status == 0, outcome.printed
        assert re.findall(r"^\$ (.*)$", outcome.printed, re.MULTILINE) == COMMANDS + your_turn
        assert len(refusals(outcome)) == 1, outcome.printed
        assert "\nexit status 1\n" in outcome.printed
        assert "\nloaded 24 users, 216 bills, 148 payments, 148 audit\n" in outcome.printed
        assert "\n216 bills, the same as before to the cent.\n" in outcome.printed
        assert recording.shown(outcome.printed) == recording.read(picture), AGAIN
        assert copy.files() == before | {"demo.db"}
    outcome = copy.run(" && ".join(your_turn))
    assert outcome.status == 0, outcome.printed


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_story_is_the_same_on_a_server(copy: Copy, database: Database) -> None:
    def run(command: str, status: int = 0) -> Outcome:
        outcome = copy.run(command, DATABASE_URL=database.url)
        assert outcome.status == status, outcome.printed
        return outcome

    run("alembic upgrade head && python -m bills sample")
    listed = run("python -m bills list")
    run("alembic downgrade -1")
    refused = run("python -m bills list", status=1)
    assert refusals(refused) == refused.printed.splitlines()
    run("alembic upgrade head")
    assert run("python -m bills list") == listed
