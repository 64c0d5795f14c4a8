"""Scripts as ``alembic upgrade --sql`` writes them, and the clients of the servers to run them."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations

from tests.databases import Database, installed


class PlainScript(io.StringIO):
    """A script for review."""

    is_plain = True


def written(
    database: Database, upgrade: Callable[[], Any], plain: bool = False, **options: Any
) -> str:
    """Return the script of a revision for the server of this database, which is not connected to.

    :param upgrade: the body of the revision's ``upgrade()``.
    :param plain: for review, without guards.
    :param options: further ones of ``context.configure()``.
    """
    script = PlainScript() if plain else io.StringIO()
    opts = {"literal_binds": True, "transactional_ddl": database.kin != "mariadb", **options}
    opts |= {"as_sql": True, "output_buffer": script, "transaction_per_migration": True}
    context = MigrationContext.configure(
        url=database.url, dialect_opts={"paramstyle": "named"}, opts=opts
    )
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        upgrade()
    return script.getvalue()


def run_to_the_end(database: Database, script: str) -> str:
    """Run a script with a client that goes on after an error, and return what it printed."""
    lines = script.splitlines(keepends=True)
    stops = (".bail", "\\set ON_ERROR_STOP")
    return _run(database, "".join(line for line in lines if not line.startswith(stops)), True)[1]


def run_with_client(database: Database, script: str, *options: str) -> str:
    """Run a script with the server's own client, and return what that printed.

    :param options: more of the client's own, ``--comments`` say.
    :raises AssertionError: the client stopped at an error; the message is what it printed.
    """
    status, printed = _run(database, script, False, *options)
    assert status == 0, f"exit status {status}\n{printed}\n--- of\n{script}"
    return printed


def _run(database: Database, script: str, goes_on: bool, *more: str) -> tuple[int, str]:
    url = database.engine.url
    server = ["-h", url.host, "-P", str(url.port or 3306), "-u", url.username, "-D", url.database]
    commands: dict[str, list[Any]] = {
        "sqlite": ["sqlite3", "-batch", url.database],
        "postgresql": ["psql", "-X", "-q", "-d", _conninfo(database)],
        # Without --binary-mode and the like: as whoever was handed the script types it.
        "mariadb": ["mariadb", "--no-defaults", *server, "--default-character-set=utf8mb4"],
        "mysql": [
            installed("mysql", "mysql") or "mysql",
            "--no-defaults",
            *server,
            "--default-character-set=utf8mb4",
        ],
    }
    stops = {"sqlite": ["-bail"], "postgresql": ["-v", "ON_ERROR_STOP=1"], "mariadb": []}
    options = ["--force"] if goes_on and database.kin == "mariadb" else []
    options = options if goes_on else stops[database.kin]
    command, *others = commands[database.name]
    first = others[:1] if database.kin == "mariadb" else []  # --no-defaults must come first
    done = subprocess.run(
        [command, *first, *options, *more, *others[len(first) :]],
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"}
        | ({"MYSQL_PWD": url.password} if url.password else {}),
        timeout=120,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def _conninfo(database: Database) -> str:
    url = database.engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)
