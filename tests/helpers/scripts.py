"""Scripts as ``alembic upgrade --sql`` writes them, and the clients of the servers to run them."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations

from tests.databases import Database


def written(database: Database, upgrade: Callable[[], Any], **options: Any) -> str:
    """Return the script of a revision for the server of this database, which is not connected to.

    :param upgrade: the body of the revision's ``upgrade()``.
    :param options: further ones of ``context.configure()``.
    """
    script = io.StringIO()
    opts = {"literal_binds": True, "transactional_ddl": database.name != "mariadb", **options}
    opts |= {"as_sql": True, "output_buffer": script, "transaction_per_migration": True}
    context = MigrationContext.configure(
        url=database.url, dialect_opts={"paramstyle": "named"}, opts=opts
    )
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        upgrade()
    return script.getvalue()


def run_with_client(database: Database, script: str) -> str:
    """Run a script with ``psql``, ``mariadb`` or ``sqlite3``, and return what the client printed.

    :raises AssertionError: the client stopped at an error; the message is what it printed.
    """
    url = database.engine.url
    server = ["-h", url.host, "-P", str(url.port or 3306), "-u", url.username, "-D", url.database]
    commands: dict[str, list[Any]] = {
        "sqlite": ["sqlite3", "-batch", "-bail", url.database],
        "postgresql": ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", _conninfo(database)],
        # Without --binary-mode and the like: as whoever was handed the script types it.
        "mariadb": ["mariadb", "--no-defaults", *server, "--default-character-set=utf8mb4"],
    }
    done = subprocess.run(
        commands[database.name],
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"}
        | ({"MYSQL_PWD": url.password} if url.password else {}),
        timeout=120,
    )
    printed = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"exit status {done.returncode}\n{printed}\n--- of\n{script}"
    return printed


def _conninfo(database: Database) -> str:
    url = database.engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)
