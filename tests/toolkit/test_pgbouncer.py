"""Through a real PgBouncer, session by session and transaction by transaction."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from tests import databases
from tests.databases import Database
from tests.toolkit.conftest import Project, current, rows, tables
from tests.toolkit.deployers import journal, many

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
pytestmark = [
    pytest.mark.databases("postgresql"),
    pytest.mark.skipif(
        PROGRAM is None, reason="not on this machine: pgbouncer (Debian: apt install pgbouncer)"
    ),
]

INI = """\
[databases]
* = host={server.host} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
"""
CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.execute('CREATE INDEX CONCURRENTLY ix ON t_0001 (id)')
"""
ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@pytest.fixture
def through(database: Database, project: Project) -> Iterator[Callable[..., Project]]:
    """Give a function that has the project connect through a PgBouncer of some mode."""
    server, started = sa.make_url(database.url), []

    def bounce(mode: str, size: int = 5) -> Project:
        assert PROGRAM is not None
        bouncer = databases.new_bouncer(PROGRAM, server, INI, mode=mode, size=size)
        started.append(bouncer)
        url = bouncer.url.set(database=server.database).render_as_string(hide_password=False)
        ini = project.directory / "alembic.ini"
        ini.write_text(ini.read_text(encoding="utf-8").replace(project.url, url), encoding="utf-8")
        project.table("0001")
        project.revision("0002", "0001", upgrade=CONCURRENTLY)
        project.table("0003", "0002")
        return project

    yield bounce
    for bouncer in started:
        databases.kill_all(bouncer.pid)


def test_eight_deployers_succeed_through_sessions(
    through: Callable[..., Project], database: Database
) -> None:
    outcomes = many(through("session"), 8, "upgrade", "head")
    assert [status for status, _ in outcomes] == [0] * 8, outcomes
    assert journal(database) == [(f"000{n}", "up", "done") for n in (1, 2, 3)]
    assert current(database) == ["0003"]


def test_upgrade_waits_for_no_second_session_where_there_is_one(
    through: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alembic_toolkit.deployer.lock.PROBE", 0.2)
    assert through("session", size=1).alembic("upgrade", "head").status == 0


def test_upgrade_runs_nothing_through_transactions_which_can_have_any_session(
    through: Callable[..., Project], database: Database
) -> None:
    project = through("transaction")
    message = project.refusal("upgrade", "head")
    assert message.startswith("the deployers' lock would be that of others, too: ")
    assert "pool_mode = transaction?" in message
    assert "pool_mode = session; or -x deploy_lock=no" in message
    assert tables(database) == set()
    assert rows(database, ADVISORY) == [0]
    assert project.alembic("-x", "deploy_lock=no", "upgrade", "head").status == 0
    assert current(database) == ["0003"]


def test_nobody_gets_through_transactions_when_eight_start_at_once(
    through: Callable[..., Project], database: Database
) -> None:
    outcomes = many(through("transaction"), 8, "-x", "deploy_wait=20", "upgrade", "head")
    assert {status for status, _ in outcomes} == {255}, outcomes
    assert {"Traceback" in printed for _, printed in outcomes} == {False}
    assert tables(database) == set()
