"""Commands that start in no time: a shell finds them first on its PATH, and they are forked.

Each is the real command, in a process, directory and environment of its own. But that process is
forked from one that has imported Alembic, SQLAlchemy and the toolkit already, which is most of what
a short command does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NoReturn

COMMANDS = ("alembic", "alembic-toolkit", "flask")
LOADED = ["alembic.command", "alembic_toolkit.cli", "alembic_toolkit.runner", "alembic_helpers"]
LOADED += ["sqlalchemy.ext.asyncio", "psycopg", "asyncpg", "aiosqlite", "flask_migrate"]
LOADED += ["flask_sqlalchemy", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql"]
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([{command!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.recv(8) or 1))
"""


@contextmanager
def commands(directory: Path) -> Iterator[Path]:
    """Start the process to fork from; give the directory that is to be first on the PATH."""
    bin_, address = directory / "bin", str(directory / "socket")
    bin_.mkdir()
    for command in COMMANDS:
        text = CLIENT.format(python=sys.executable, address=address, command=command)
        (bin_ / command).write_text(text, encoding="utf-8")
        (bin_ / command).chmod(0o755)
    started = [sys.executable, "-c", "from tests import forked; forked.serve()", address]
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(started, cwd=root, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield bin_
        finally:
            server.terminate()


def serve() -> NoReturn:
    """Fork a process for each command that is asked for."""
    for name in LOADED:
        import_module(name)
    scripts = {one.name: one for one in entry_points(group="console_scripts")}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _become(connection, scripts)
            connection.close()


def _become(connection: socket.socket, scripts: dict[str, EntryPoint]) -> NoReturn:
    """Be the command that was asked for, and say its exit status."""
    size, files, *_ = socket.recv_fds(connection, 8, 3)
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += connection.recv(1 << 16)
    command, arguments, directory, environment = json.loads(asked)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv[:] = [command, *arguments]
    sys.path[:] = [*filter(None, environment.get("PYTHONPATH", "").split(":")), *sys.path]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    status = _status(scripts[command].load())
    sys.stdout.flush()
    connection.sendall(str(status).encode())
    os._exit(0)


def _status(main: Callable[[], Any]) -> int:
    try:
        found = main()
    except SystemExit as error:
        found = error.code
    except BaseException:
        traceback.print_exc()
        return 1
    if isinstance(found, str):
        print(found, file=sys.stderr)
        return 1
    return int(found or 0) % 256
