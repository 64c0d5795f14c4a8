"""Whatever is wrong with a URL, its password is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alembic_toolkit.cli import main
from alembic_toolkit.database.address import without_passwords
from tests.toolkit.conftest import Project

WRONG = [
    "me:s3cret@127.0.0.1:1/bills",
    "//me:s3cret@127.0.0.1:1/bills",
    "postgresql:me:s3cret@127.0.0.1/bills",
    "postgresql//me:s3cret@127.0.0.1/bills",
    "postgresql+psycopg://me:53/s3cret@127.0.0.1:1/bills",
    "postgresql+psycopg://me:s3@cret@127.0.0.1:1/bills",
    "postgres://me:s3cret@127.0.0.1:1/bills",
    "postgresql+nothing://me:s3cret@127.0.0.1:1/bills",
    "postgresql+psycopg://me:s3cret@127.0.0.1:1/bills?sslmode=s3cret",
    "postgresql+psycopg://me:s3cret@127.0.0.1:1/bills?connect_timeout=s3cret",
    "postgresql+psycopg://me:s3cret@127.0.0.1:1/bills?nothing=s3cret",
    "mariadb+pymysql://me:s3cret@127.0.0.1:1/bills?nothing=s3cret",
    "mariadb+pymysql://me:s3cret@127.0.0.1:1/bills?connect_timeout=s3cret",
    "sqlite:///s3cret.db?nothing=s3cret",
]
COMMANDS = [
    ["status", "--url={}"],
    ["status", "--url=production={}"],
    ["status", "{}"],
    ["upgrade", "--url={}"],
    ["upgrade", "--url=production=sqlite:///none.db", "{}"],
    ["roundtrip", "--url={}"],
    ["sql", "--url={}"],
    ["sql", "--dialect=sqlite", "--to={}"],
    ["check", "{}"],
]


@pytest.mark.parametrize("wrong", WRONG)
def test_password_is_not_shown_when_a_url_is_wrong(
    tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project", "sqlite://")
    project.table("0001")
    monkeypatch.chdir(project.directory)
    for command in COMMANDS:
        argv = [part.format(wrong) for part in command]
        status: Any = None
        try:
            status = main(argv)
        except SystemExit as error:
            status = error.code
        captured = capfd.readouterr()
        shown = (captured.out + captured.err).replace("s3cret.db", "")
        assert status in (0, 1, 2)
        assert "cret" not in shown, argv
        assert "Traceback" not in shown, argv


@pytest.mark.parametrize("wrong", [one for one in WRONG if "://" in one or "@" in one])
def test_alembic_shows_no_password_when_the_url_in_env_py_is_wrong(
    tmp_path: Path, wrong: str
) -> None:
    project = Project(tmp_path / "project", "sqlite://")
    project.table("0001")
    env = "from alembic import context\nfrom alembic_toolkit.runner import run\n"
    env += f"run(context, {wrong!r})"
    project.write("migrations/env.py", env)
    for argv in (["upgrade", "head"], ["upgrade", "head", "--sql"], ["current"]):
        outcome = project.alembic(*argv)
        assert "cret" not in (outcome.out + outcome.err).replace("s3cret.db", ""), outcome.out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me@host/name", "postgresql://me@host/name"),
        ("postgresql://me:a:b@c@host/name", "postgresql://me:***@host/name"),
        ("me:secret@host", "me:***@host"),
        ("postgresql//me@host/name?sslpassword=secret", "postgresql//me@host/name?***"),
        ("host=here password='my secret' user=me", "host=here password=*** user=me"),
        ("postgresql://user:password@host/name", "postgresql://user:password@host/name"),
        ("env.py:12: who@where", "env.py:12: who@where"),
    ],
)
def test_text_is_shown_without_passwords(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
