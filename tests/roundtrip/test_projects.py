"""What other people's projects are like: their layouts, their env.py, their data migrations."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from alembic_toolkit import proof
from alembic_toolkit.proof import Proof
from alembic_toolkit.roundtrip import roundtrip
from alembic_toolkit.settings import Settings
from tests.databases import Database

INI = "[alembic]\nscript_location = %(here)s/migrations\n"
ENV = """\
from alembic import context
import sqlalchemy as sa

if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"))
else:
    context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
sqlite = pytest.mark.databases("sqlite")


@dataclass
class History:
    """A project on one database."""

    directory: Path
    url: str
    last: str | None = None

    def __post_init__(self) -> None:
        self.write("alembic.ini", INI)
        self.write("migrations/env.py", ENV)

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def revision(self, id_: str, up: str, down: str, head: str = "") -> None:
        """Write a revision after the last one."""
        bodies = "".join(
            f"def {name}():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
            for name, body in (("upgrade", up), ("downgrade", down))
        )
        text = f"import sqlalchemy as sa\nfrom alembic import op\n{textwrap.dedent(head)}\n"
        text += f"revision = {id_!r}\ndown_revision = {self.last!r}\n{bodies}"
        self.write(f"migrations/versions/{id_}.py", text)
        self.last = id_

    def prove(self, **settings: object) -> Proof:
        wanted = Settings(urls=[self.url], **settings)  # type: ignore[arg-type]
        [found] = roundtrip(self.directory / "alembic.ini", wanted).proofs
        return found


@pytest.fixture
def history(tmp_path: Path, database: Database) -> History:
    # SQLAlchemy's engine for the test must not have made the file of SQLite.
    return History(tmp_path / "project", database.url)


def told(found: Proof) -> list[str]:
    """Return a line for each finding."""
    return [
        f"{f.revision} {f.check}: {f.problem} | {' | '.join(f.details)}" for f in found.findings
    ]


def outcome(found: Proof, id_: str, check: str) -> proof.Outcome:
    [record] = [revision for revision in found.revisions if revision.id == id_]
    return record.checks[check]


# env.py


def test_history_is_loaded_when_env_py_makes_its_imports_possible(history: History) -> None:
    history.write("lib/shared_names.py", "TABLE = 'bills'\n")
    path = "import sys\nfrom pathlib import Path\n"
    path += "sys.path.append(str(Path(__file__).parents[1] / 'lib'))\n"
    history.write("migrations/env.py", path + ENV)
    create = "op.create_table(TABLE, sa.Column('id', sa.Integer, primary_key=True))"
    history.revision("0001", create, "op.drop_table(TABLE)", "from shared_names import TABLE")
    found = history.prove(checks=Settings().checks | {proof.OFFLINE})
    assert (found.error, told(found)) == ("", [])
    assert outcome(found, "0001", proof.OFFLINE).status == proof.PROVEN


def test_module_that_is_missing_is_named_with_the_line_that_wants_it(history: History) -> None:
    history.revision("0001", "pass", "pass", "import not_to_be_had")
    error = history.prove().error
    assert "No module named 'not_to_be_had'" in error
    assert "0001.py, line 3: import not_to_be_had" in error


@sqlite
def test_scripts_are_not_judged_when_env_py_writes_none(history: History) -> None:
    online = ENV.replace("if context.is_offline_mode():", "if False:")
    history.write("migrations/env.py", online)
    history.revision("0001", "pass", "pass")
    found = history.prove(checks=Settings().checks | {proof.OFFLINE})
    assert (found.error, told(found)) == ("", [])
    judged = outcome(found, "0001", proof.OFFLINE)
    assert judged.status == proof.NOT_JUDGED
    assert "env.py cannot write a script (--sql): KeyError: 'connection'" in judged.why
