"""Commands for many databases, run in this process on a project of the test's own."""

import contextlib
import io
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alembic_toolkit import cli
from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project

PLAIN = """\
import sqlalchemy as sa
from alembic import context

given = context.config.attributes.get("connection")
with given or sa.create_engine({url}).connect() as connection:
    context.configure(connection=connection{options})
    with context.begin_transaction():
        context.run_migrations()
"""


def command(project: Project, name: str, *argv: str, **urls: str) -> Outcome:
    """Run `alembic-toolkit`, the databases by their names."""
    given = [f"--url={name}={url}" for name, url in urls.items()]
    out, err = io.StringIO(), io.StringIO()
    config = str(project.directory / "alembic.ini")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([name, "-c", config, *given, *argv])
    return Outcome(code, out.getvalue(), err.getvalue())


def tenants(directory: Path, number: int) -> dict[str, str]:
    """Return the URLs of files that are not there yet."""
    names = [f"tenant{one:02}" for one in range(1, number + 1)]
    return {name: f"sqlite:///{directory / name}.db" for name in names}


def plain(project: Project, options: str = "", url: str = "None") -> None:
    """Give the project an env.py that is not ours."""
    project.write("migrations/env.py", PLAIN.format(options=options, url=url))


def stranger(database: Database, password: str) -> str:
    """Return the URL of somebody whom the server does not know."""
    url = sa.make_url(database.url).set(username="nobody_here", password=password)
    return url.render_as_string(hide_password=False)


def row(outcome: Outcome, name: str) -> str:
    """Return the line of a database, its columns two blanks apart."""
    [found] = [line for line in outcome.out.splitlines() if line.split("  ")[0] == name]
    return found


def made(url: str) -> set[str]:
    """Return the tables of a database."""
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return {*sa.inspect(connection).get_table_names()}


def value(url: str, query: str) -> Any:
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return connection.execute(sa.text(query)).scalar()
