"""A project of its own for each test: an alembic.ini, an env.py that calls `run`, revisions."""

import contextlib
import functools
import io
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import CommandLine, Config

from tests.databases import Database

INI = """\
[alembic]
script_location = %(here)s/migrations
path_separator = os
revision_environment = true
file_template = %%(rev)s_%%(slug)s
"""

ENV = """\
from alembic import context
from alembic_toolkit.runner import run

run(context)
"""

TEMPLATE = '''\
"""${message}"""
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

def upgrade():
    pass

def downgrade():
    pass
'''


@dataclass
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str


@functools.cache
def command_line() -> CommandLine:
    """Return Alembic's parser: building it takes a part of each command."""
    return CommandLine()


@dataclass
class Project:
    """A history in a directory, and the command line run on it."""

    directory: Path
    url: str = "sqlite://"
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.versions.mkdir(parents=True)
        self.write("alembic.ini", INI + f"sqlalchemy.url = {self.url.replace('%', '%%')}\n")
        self.write("migrations/env.py", ENV)
        self.write("migrations/script.py.mako", TEMPLATE)

    @property
    def versions(self) -> Path:
        return self.directory / "migrations" / "versions"

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def have_models(self) -> None:
        """Write models without a table into the present `env.py`."""
        text = (self.directory / "migrations" / "env.py").read_text(encoding="utf-8")
        models = "import sqlalchemy\ntarget_metadata = sqlalchemy.MetaData()\n"
        self.write("migrations/env.py", models + text)

    def revision(
        self,
        id_: str,
        after: str | tuple[str, ...] | None = None,
        upgrade: str = "op.execute('SELECT 1')",
        downgrade: str = "op.execute('SELECT 1')",
        head: str = "",
    ) -> Path:
        """Write a revision whose two functions have these statements."""
        text = f'"""Revision {id_}."""\n'
        text += f"import sqlalchemy as sa\nfrom alembic import op\n{head}\n"
        text += f"revision = {id_!r}\ndown_revision = {after!r}\n"
        for name, body in (("upgrade", upgrade), ("downgrade", downgrade)):
            text += f"def {name}():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        return self.write(f"migrations/versions/{id_}_test.py", text)

    def table(self, id_: str, after: str | None = None, **more: str) -> Path:
        """Write a revision that creates a table `t_<id>` and drops it again."""
        create = f"op.create_table('t_{id_}', sa.Column('id', sa.Integer, primary_key=True))\n"
        return self.revision(
            id_,
            after,
            upgrade=create + more.get("upgrade", ""),
            downgrade=more.get("downgrade", f"op.drop_table('t_{id_}')"),
        )

    def alembic(self, *argv: str) -> Outcome:
        """Run an `alembic` command in this process; what it raises otherwise comes through."""
        command = command_line()
        options = command.parser.parse_args(argv)
        out, err = io.StringIO(), io.StringIO()
        config = Config(
            self.directory / "alembic.ini",
            ini_section=options.name,
            stdout=out,
            cmd_opts=options,
            attributes=dict(self.attributes),
        )
        status: Any = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                command.run_cmd(config, options)
            except SystemExit as exit_:
                status = exit_.code
        return Outcome(status, out.getvalue(), err.getvalue())

    def refusal(self, *argv: str) -> str:
        """Run a command that is refused, and return what it printed."""
        outcome = self.alembic(*argv)
        assert outcome.status not in (0, None)
        assert outcome.out.count("FAILED: ") == 1
        assert outcome.err == ""
        return outcome.out.partition("FAILED: ")[2].rstrip("\n")


@pytest.fixture
def offline(tmp_path: Path) -> Project:
    """Return a project whose database nothing must touch."""
    return Project(tmp_path / "project", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none")


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    """Return a project on the test's database."""
    return Project(tmp_path / "project", database.url)


def tables(database: Database) -> set[str]:
    """Return the names of all tables but the journal."""
    with database.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names()) - {"alembic_version_history"}


def current(database: Database) -> list[str]:
    """Return what the version table says, without Alembic."""
    return rows(database, "SELECT version_num FROM alembic_version ORDER BY version_num")


def rows(database: Database, query: str) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.execute(sa.text(query)).scalars())


def execute(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
