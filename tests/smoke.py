"""Try what is installed, and nothing of this repository: ``python smoke.py 0.1.0``.

It begins a project as a user does, and takes its first revision up, down, up again and around. It
needs nothing but Python and the package; scripts/release runs it where there is no more.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ENV = """\
from alembic import context

from alembic_toolkit.runner import run

run(context, "sqlite:///smoke.db", target_metadata=None)
"""
REVISION = '''\
"""Create notes."""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0001"
down_revision = None


def upgrade() -> None:
    helpers.create_table(
        "notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String(80))
    )
    helpers.create_index("ix_notes_text", "notes", ["text"])


def downgrade() -> None:
    helpers.drop_table("notes")
'''
COMMANDS = [
    "alembic upgrade head",
    "alembic downgrade base",
    "alembic upgrade head",
    "alembic current",
    "alembic-toolkit check",
    "alembic-toolkit status --url sqlite:///smoke.db",
    "alembic-toolkit roundtrip --html page.html",
]


def main(wanted: str) -> int:
    """Run all; return 0 if each command did, otherwise 1 after what it printed."""
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        if version("alembic-toolkit") != wanted:
            print(f"smoke: {version('alembic-toolkit')} is installed, and not {wanted}")
            return 1
        for number, command in enumerate(["alembic init migrations", *COMMANDS]):
            program, *arguments = command.split()
            done = subprocess.run(
                [scripts / program, *arguments],
                cwd=project,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
            if done.returncode:
                print(f"smoke: $ {command}\n{done.stdout}exit status {done.returncode}")
                return 1
            if not number:
                (project / "migrations" / "env.py").write_text(ENV)
                (project / "migrations" / "versions" / "0001_create_notes.py").write_text(REVISION)
        size = (project / "page.html").stat().st_size
    print(f"smoke: {wanted} works ({len(COMMANDS)} commands, a page of {size // 1024} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
