"""A Galera cluster of three nodes on loopback: MariaDB, ``libgalera_smm.so`` and rsync."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

PLACES = ("/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib64/galera", "/usr/lib")
LIBRARY = next(filter(Path.is_file, (Path(one, "libgalera_smm.so") for one in PLACES)), None)
_PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
PROGRAM = shutil.which("mariadbd", path=_PATH)
INSTALL = shutil.which("mariadb-install-db", path=_PATH)
MISSING = ", ".join(
    name
    for name, found in {
        "libgalera_smm.so (apt install galera-4)": LIBRARY,
        "mariadbd (apt install mariadb-server)": PROGRAM and INSTALL,
        "rsync": shutil.which("rsync"),
    }.items()
    if not found
)
READY = 120.0


@dataclass
class Node:
    """One of the servers: a process on a directory of its own."""

    name: str
    directory: Path
    port: int
    group_port: int
    state_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> sa.URL:
        return sa.URL.create("mariadb+pymysql", "root", None, "127.0.0.1", self.port)

    def install(self) -> None:
        """Make its data directory."""
        assert INSTALL is not None
        options = [
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--tmpdir={self.directory}",
        ]
        options += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.directory.mkdir()
        if user := _user():
            os.chown(self.directory, user["user"], user["group"])
        with Path(self.directory, "install").open("wb") as log:
            command = [INSTALL, *options]
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self.directory, **user)

    def start(self, members: Sequence[Node] = ()) -> Node:
        """Start it, in a cluster with these members; the first one founds it."""
        assert PROGRAM is not None
        others = ",".join(f"127.0.0.1:{member.group_port}" for member in members)
        here, group = self.directory, f"127.0.0.1:{self.group_port}"
        quickly = "evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S"
        options = [
            *("--no-defaults", f"--datadir={here / 'data'}", f"--tmpdir={here}"),
            f"--port={self.port}",
            *("--bind-address=127.0.0.1", f"--socket={here / 's'}", f"--pid-file={here / 'pid'}"),
            *("--skip-name-resolve", "--binlog-format=ROW", "--max-connections=200"),
            *("--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=0"),
            *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M"),
            *("--character-set-server=utf8mb4", "--innodb-flush-method=nosync"),
            *("--wsrep-on=ON", f"--wsrep-provider={LIBRARY}", "--wsrep-cluster-name=tests"),
            *(f"--wsrep-cluster-address=gcomm://{others}", f"--wsrep-node-name={self.name}"),
            *("--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync"),
            f"--wsrep-sst-receive-address=127.0.0.1:{self.state_port}",
            f"--wsrep-provider-options=base_port={self.group_port};"
            f"gmcast.listen_addr=tcp://{group};ist.recv_addr=127.0.0.1:{self.state_port + 1};"
            f"gcache.size=32M;{quickly}",
        ]
        with Path(here, "log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=here,
                start_new_session=True,  # with the programs of its state transfer
                **_user(),
            )
        deadline = time.monotonic() + READY
        while not self.is_ready():
            said = Path(here, "log").read_text(errors="replace")[-3000:]
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        return self

    def is_ready(self) -> bool:
        """Return whether it answers, as a synced member of the primary component."""
        with suppress(pymysql.Error):
            return self.status("wsrep_local_state_comment") == "Synced"
        return False

    def run(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements, each committed by itself; return the rows of the last one."""
        # Past SQLAlchemy, which begins with a ROLLBACK: a node without the others refuses that.
        given = {"host": "127.0.0.1", "port": self.port, "user": "root", "database": database}
        with closing(pymysql.connect(**given, autocommit=True)) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def status(self, name: str) -> str:
        """Return a variable of its status."""
        return str(dict(self.run(f"SHOW STATUS LIKE '{name}'")).get(name))

    def isolate(self, *, alone: bool = True) -> None:
        """Cut it from the others, or let it back; its process and its clients stay."""
        self.run(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(alone)}'")

    def kill(self) -> None:
        """End its process at once."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def _user() -> dict[str, Any]:
    """Return as whom it runs: rsync, which brings a node its data, does not write as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def nodes(number: int = 3) -> Iterator[list[Node]]:
    """Start a cluster, and end it."""
    with tempfile.TemporaryDirectory(prefix="galera-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        made = [Node(f"n{one}", directory / f"n{one}", *_free_ports()) for one in range(number)]
        try:
            for node in made:
                node.install()
            for place, node in enumerate(made):
                node.start(made[:place])
            yield made
        finally:
            for node in made:
                node.kill()


def _free_ports() -> tuple[int, int, int]:
    """Return a port for clients, one for the group, and one for its state with a free one above."""
    while True:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            for each in (one, two, three):
                each.bind(("127.0.0.1", 0))
            ports = tuple(each.getsockname()[1] for each in (one, two, three))
            with suppress(OSError, OverflowError), socket.socket() as above:
                above.bind(("127.0.0.1", ports[2] + 1))
                return ports[0], ports[1], ports[2]
