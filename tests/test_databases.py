"""The databases that the other tests run on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from tests import databases
from tests.databases import Database, new_database

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent

USES_DATABASE = """
    def test_connects(database):
        database.engine.connect().close()
"""


def test_database_is_empty_when_new(database: Database) -> None:
    assert inspect(database.engine).get_table_names() == []


def test_database_is_the_server_it_says(database: Database) -> None:
    assert database.engine.dialect.name == database.name


def test_database_url_leads_to_the_same_database(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY)"))
    other = create_engine(database.url)
    try:
        assert inspect(other).get_table_names() == ["t"]
    finally:
        other.dispose()


def test_databases_are_independent_when_on_one_server(database: Database) -> None:
    other = new_database(database.name)
    try:
        with database.engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY)"))
        assert inspect(other.engine).get_table_names() == []
    finally:
        other.close()


def test_close_drops_database_when_a_connection_is_in_a_transaction(database: Database) -> None:
    other = new_database(database.name)
    with other.engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY)"))
    forgotten = other.engine.connect()
    forgotten.execute(text("SELECT * FROM t"))
    started = time.monotonic()
    other.close()
    assert time.monotonic() - started < 5
    forgotten.invalidate()


def test_foreign_keys_are_enforced(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE child (id INTEGER REFERENCES parent (id), PRIMARY KEY (id))")
        )
    with pytest.raises(IntegrityError), database.engine.begin() as connection:
        connection.execute(text("INSERT INTO child VALUES (1)"))


@pytest.mark.databases("postgresql", "sqlite")
def test_marker_restricts_servers(database: Database) -> None:
    assert database.name != "mariadb"


def test_missing_server_skips_with_a_line_that_says_so(session: Session) -> None:
    done = session.run(USES_DATABASE, "-k", "mariadb", PATH="/nonexistent")
    assert done.returncode == 0, done.stdout
    assert "Not run: mariadb: mariadbd is not on the PATH: install it" in done.stdout


def test_missing_server_fails_when_required(session: Session) -> None:
    done = session.run(
        USES_DATABASE, "-k", "mariadb", PATH="/nonexistent", REQUIRE_DATABASES="sqlite,mariadb"
    )
    assert done.returncode == 1, done.stdout
    assert "REQUIRE_DATABASES names mariadb, but mariadbd is not on the PATH" in done.stdout


def test_given_server_that_does_not_answer_says_so(session: Session) -> None:
    url = "postgresql://somebody:secret@127.0.0.1:1/postgres"
    done = session.run(USES_DATABASE, "-k", "postgresql", TEST_POSTGRESQL_URL=url)
    assert "does not answer" in done.stdout
    assert "secret" not in done.stdout


def test_misspelt_server_is_an_error_when_required(session: Session) -> None:
    done = session.run(USES_DATABASE, REQUIRE_DATABASES="sqlite,mysq")
    assert done.returncode == 4
    assert "REQUIRE_DATABASES names mysq: use sqlite, postgresql, mariadb, mysql" in done.stderr


@pytest.mark.parametrize("name", ["postgresql-1", "oracle-23"])
def test_misspelt_version_is_an_error_when_chosen(session: Session, name: str) -> None:
    done = session.run(USES_DATABASE, TEST_SERVERS=name)
    assert done.returncode == 4
    assert f"TEST_SERVERS names {name}, which is not there: run scripts/servers" in done.stderr


@pytest.mark.databases("postgresql", "mariadb")
def test_database_is_of_the_version_that_was_chosen(database: Database) -> None:
    wanted = databases.chosen().get(database.name)
    with database.engine.connect() as connection:
        [version] = connection.scalars(text("SELECT version()"))
    assert wanted is None or wanted.name.partition("-")[2] in version


LONG = """
    import pytest

    @pytest.mark.long
    def test_takes_long():
        pass

    def test_is_quick():
        pass
"""


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("options", "passed"), [((), 1), (("--long",), 2), (("-k", "test"), 2), (("FILE",), 2)], ids=str
)
def test_long_test_runs_when_it_is_asked_for(
    session: Session, options: tuple[str, ...], passed: int, workers: str
) -> None:
    file = f"{session.temporary}/tests_of_session/test_it.py"
    given = [file if option == "FILE" else option for option in options]
    done = session.run(LONG, *given, "-n", workers)
    assert f"{passed} passed" in done.stdout, done.stdout
    assert ("Not run: the long tests: scripts/test --all" in done.stdout) == (passed == 1)


def test_nothing_is_left_when_the_session_ends(session: Session) -> None:
    done = session.run(USES_DATABASE)
    assert done.returncode == 0, done.stdout
    assert session.leftovers() == []
    assert session.servers() == []


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_server_is_left_when_the_session_is_stopped(session: Session, by: str) -> None:
    if by == "SIGKILL" and sys.platform != "linux":
        pytest.skip("only Linux tells a server that its parent was killed")
    process = session.start(
        """
        import time
        import pytest

        @pytest.mark.databases("postgresql")
        def test_waits(database):
            print("READY", flush=True)
            time.sleep(60)
        """,
        "-s",
    )
    assert process.stdout is not None
    assert any("READY" in line for line in process.stdout)
    assert session.servers()
    time.sleep(0.5)  # until it sleeps: a KeyboardInterrupt within a callback is only printed
    process.send_signal(signal.Signals[by])
    process.communicate(timeout=30)
    deadline = time.monotonic() + 15
    while session.servers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session.servers() == []
    assert by == "SIGKILL" or session.leftovers() == []


class Session:
    """Runs pytest on one test file, with a temporary directory of its own."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def start(self, test: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        tests = self.temporary / "tests_of_session"
        tests.mkdir()
        (tests / "test_it.py").write_text(textwrap.dedent(test))
        ours = {"REQUIRE_DATABASES", "TEST_SERVERS"}
        ours |= {f"TEST_{name.upper()}_URL" for name in databases.NAMES}
        inherited = {key: value for key, value in os.environ.items() if key not in ours}
        command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "tests.conftest"]
        return subprocess.Popen(
            [*command, "-o", f"testpaths={tests}", *options],
            cwd=ROOT,
            env=inherited | {"TMPDIR": str(self.temporary)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell that starts us in the background has SIGINT ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, test: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(test, *options, **environment)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def leftovers(self) -> list[Path]:
        return list(self.temporary.glob("databases-*"))

    def servers(self) -> list[str]:
        commands = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        return [command for command in commands if f"{self.temporary}/databases-" in command]


@pytest.fixture
def session() -> Iterator[Session]:
    # Not tmp_path: as root PostgreSQL runs as nobody, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="s-") as name:
        Path(name).chmod(0o755)
        yield Session(Path(name))
