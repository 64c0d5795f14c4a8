"""One deployer at a time on three nodes of a Galera cluster, whatever becomes of a node."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext

from alembic_toolkit.database.own import lock_name_of
from alembic_toolkit.deployer import lock
from alembic_toolkit.schema.take import take
from tests.copies import ROOT, environment
from tests.toolkit import cluster
from tests.toolkit.cluster import Node
from tests.toolkit.conftest import Project
from tests.toolkit.deployers import DEADLINE, MANY, STAYS, end, start, until

Hold = Callable[..., "subprocess.Popen[str]"]
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(cluster.MISSING), reason=f"no Galera here: {cluster.MISSING}"),
]

TIMES = int(os.environ.get("GALERA_TIMES", "20"))
ENV = """\
import os
from alembic import context
from alembic_toolkit.runner import run

run(context, os.environ["NODE"])
"""
# What ran twice would be doubled; what ran twice at once, too.
SEED = "op.execute('INSERT INTO t_0001 (id, v) VALUES (1, 1)')\n"
ADD = "op.add_column('t_0001', sa.Column('w', sa.Integer))\n"
TENFOLD = "op.execute('UPDATE t_0001 SET v = v * 10')\n" + ADD
ADDED = "op.execute('UPDATE t_0001 SET v = v + 1')\n"
JOURNAL = "SELECT revision, outcome FROM alembic_version_history ORDER BY id"


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    with cluster.nodes() as found:
        yield found


@pytest.fixture
def base(nodes: list[Node]) -> Iterator[str]:
    """Return an empty database on a cluster with all its nodes."""
    first = nodes[0]
    name = f"d{time.monotonic_ns()}"
    for node in nodes:
        if node.process is None:
            node.start([one for one in nodes if one.process is not None])
    until(lambda: all(node.is_ready() for node in nodes))
    until(lambda: {node.status("wsrep_cluster_size") for node in nodes} == {"3"})
    first.run(f"CREATE DATABASE {name}")
    yield name
    first.run(f"DROP DATABASE {name}")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.write("migrations/env.py", ENV)
    columns = "sa.Column('id', sa.Integer, primary_key=True), sa.Column('v', sa.Integer)"
    create = f"op.create_table('t_0001', {columns})\n"
    project.revision("0001", None, upgrade=create + SEED)
    project.revision("0002", "0001", upgrade=TENFOLD)
    project.revision("0003", "0002", upgrade=ADDED)
    return project


def url(node: Node, base: str) -> str:
    return node.url.set(database=base).render_as_string(hide_password=False)


EACH = "for url in json.loads(sys.argv[1]):\n    os.environ['NODE'] = url"


def many(project: Project, urls: Sequence[str], *argv: str) -> list[tuple[int, str]]:
    """Run `alembic` at once for each of these addresses."""
    code = MANY.replace("for _ in range(int(sys.argv[1])):", EACH)
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(urls), *argv],
        cwd=project.directory,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=2 * DEADLINE,
    )
    return [(status, said) for status, said in json.loads(done.stdout)]


def rows(node: Node, base: str, query: str) -> list[tuple[object, ...]]:
    return node.run("SET SESSION wsrep_sync_wait = 7", query, database=base)


@pytest.mark.parametrize("number", range(TIMES))
def test_every_deployer_succeeds_when_eight_start_at_once_on_three_nodes(
    nodes: list[Node], base: str, project: Project, number: int
) -> None:
    urls = [url(nodes[place % 3], base) for place in range(8)]
    outcomes = many(project, urls, "upgrade", "head")
    assert [status for status, _ in outcomes] == [0] * 8, outcomes
    for node in nodes:
        assert rows(node, base, "SELECT v FROM t_0001") == [(11,)]
        assert rows(node, base, "SELECT version_num FROM alembic_version") == [("0003",)]
        assert rows(node, base, JOURNAL) == [(f"000{n}", "done") for n in (1, 2, 3)]


def alembic(
    monkeypatch: pytest.MonkeyPatch, project: Project, node: Node, base: str, *argv: str
) -> str:
    """Run a command on a node, which succeeds; return what it printed."""
    monkeypatch.setenv("NODE", url(node, base))
    outcome = project.alembic(*argv)
    assert outcome.status == 0, outcome.out
    return outcome.out


@pytest.fixture
def holding(project: Project, monkeypatch: pytest.MonkeyPatch, base: str) -> Iterator[Hold]:
    """Give a function that starts a deployer on a node, who stays in the middle of 0002."""
    started: list[subprocess.Popen[str]] = []

    def hold(node: Node, seconds: float = 600, statement: str = "") -> "subprocess.Popen[str]":
        flag = project.directory / "running"
        stays = STAYS.format(flag=str(flag), statement=statement, seconds=seconds)
        project.revision("0002", "0001", upgrade=stays + TENFOLD)
        monkeypatch.setenv("NODE", url(node, base))
        process = start(project, "upgrade", "head")
        started.append(process)
        until(lambda: flag.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        project.revision("0002", "0001", upgrade=TENFOLD)
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def seconds_to_deploy(
    monkeypatch: pytest.MonkeyPatch, project: Project, node: Node, base: str
) -> float:
    begun = time.monotonic()
    alembic(monkeypatch, project, node, base, "-x", "deploy_wait=60", "upgrade", "head")
    return time.monotonic() - begun


def test_deployer_on_another_node_says_who_holds_the_lock(
    nodes: list[Node], base: str, project: Project, holding: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = holding(nodes[0])
    for node in nodes:
        monkeypatch.setenv("NODE", url(node, base))
        message = project.refusal("-x", "deploy_wait=0.5", "upgrade", "head")
        assert message.startswith("another deployer holds the lock, after 0.5 s: nothing was run")
        assert f" pid {holder.pid} on node n0 since 2" in message
        assert "it runs up 0002 since 2" in message
        assert project.alembic("current").out == "0001\n"


def test_lock_is_free_on_all_nodes_when_the_holder_was_killed(
    nodes: list[Node], base: str, project: Project, holding: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding(nodes[0]).send_signal(signal.SIGKILL)
    assert seconds_to_deploy(monkeypatch, project, nodes[1], base) < 10
    assert rows(nodes[2], base, "SELECT v FROM t_0001") == [(11,)]
    ran = [("0001", "done"), ("0002", "killed"), ("0002", "done"), ("0003", "done")]
    assert rows(nodes[2], base, JOURNAL) == ran


def test_lock_is_free_when_the_node_of_the_holder_was_killed(
    nodes: list[Node], base: str, project: Project, holding: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = holding(nodes[2], seconds=5)
    nodes[2].kill()
    assert seconds_to_deploy(monkeypatch, project, nodes[1], base) < 40
    status, said = end(holder)
    assert status == 255, said
    assert "Traceback" not in said
    assert "run the command again" in said
    assert rows(nodes[0], base, "SELECT v FROM t_0001") == [(11,)]


def test_partitioned_node_is_lost_in_words_and_another_one_deploys(
    nodes: list[Node], base: str, project: Project, holding: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = holding(nodes[2], seconds=10)
    nodes[2].isolate()
    try:
        assert seconds_to_deploy(monkeypatch, project, nodes[1], base) < 40
        status, said = end(holder)
        assert status == 255, said
        assert "Traceback" not in said, said
        assert "cluster" in said
        assert "run the command" in said
        monkeypatch.setenv("NODE", url(nodes[2], base))
        message = project.refusal("upgrade", "head")
        assert "has left" in message
        assert "cluster" in message
    finally:
        nodes[2].isolate(alone=False)
    assert rows(nodes[0], base, "SELECT v FROM t_0001") == [(11,)]
    assert rows(nodes[0], base, "SELECT version_num FROM alembic_version") == [("0003",)]


@pytest.mark.parametrize("when", ["before a revision", "within a revision"])
def test_nothing_more_is_run_when_the_session_with_the_lock_was_killed(
    nodes: list[Node],
    base: str,
    project: Project,
    holding: Hold,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    sessions = (
        "SELECT t.trx_mysql_thread_id FROM information_schema.innodb_trx AS t"
        " JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id"
        f" WHERE p.db = '{base}' AND p.command = 'Sleep'"
    )
    kill = (
        "import sqlalchemy\n"
        "bind = op.get_bind()\n"
        f"other = sqlalchemy.create_engine(bind.engine.url).connect()\n"
        f'for (number,) in other.exec_driver_sql("{sessions}").all():\n'
        "    if number != bind.connection.thread_id():\n"
        "        other.exec_driver_sql(f'KILL {number}')\n"
    )
    if when == "before a revision":
        kill = "with op.get_context().autocommit_block():\n" + "".join(
            f"    {line}\n" for line in kill.splitlines()
        )
    project.revision("0002", "0001", upgrade=kill + ADDED)
    monkeypatch.setenv("NODE", url(nodes[0], base))
    message = project.refusal("upgrade", "head")
    assert message.startswith("the deployers' lock was lost: nothing more is run\n")
    assert rows(nodes[1], base, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert rows(nodes[1], base, "SELECT v FROM t_0001") == [(1,)]
    alembic(monkeypatch, project, nodes[2], base, "upgrade", "0001")


def test_deployer_sees_at_once_what_was_committed_on_another_node(
    nodes: list[Node], base: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.revision("0002", "0001", upgrade=ADDED)
    alembic(monkeypatch, project, nodes[0], base, "upgrade", "0001")
    for _ in range(10):
        alembic(monkeypatch, project, nodes[0], base, "upgrade", "+1")
        alembic(monkeypatch, project, nodes[1], base, "downgrade", "-1")
        out = alembic(monkeypatch, project, nodes[2], base, "current")
        assert out == "0001\n"


def test_lock_is_no_part_of_a_schema(
    nodes: list[Node], base: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    alembic(monkeypatch, project, nodes[0], base, "upgrade", "head")
    engine = sa.create_engine(url(nodes[0], base), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert sa.inspect(connection).has_table(lock_name_of("alembic_version"))
        assert {one.name for one in take(connection) if one.kind == "table"} == {"t_0001"}


def test_lock_is_refused_with_the_statement_to_run_when_its_table_cannot_be_made(
    nodes: list[Node], base: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"u{base[-8:]}"
    grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {base}.* TO {user}@'%'"
    nodes[0].run(f"CREATE USER {user}@'%'", grant)
    monkeypatch.setenv("NODE", url(nodes[0], base).replace("root@", f"{user}@"))
    message = project.refusal("upgrade", "head")
    assert message.startswith("no lock can be made that holds on all nodes: ")
    assert "CREATE TABLE IF NOT EXISTS alembic_version_lock (" in message
    nodes[0].run(message.split("\n    ")[1].rstrip(";"), database=base)
    nodes[0].run(f"GRANT CREATE, ALTER, DROP ON {base}.* TO {user}@'%'")
    assert project.alembic("upgrade", "head").status == 0


def test_lock_holds_for_many_who_try_at_once(nodes: list[Node], base: str) -> None:
    engines = [sa.create_engine(url(nodes[n % 3], base), poolclass=sa.NullPool) for n in range(6)]
    connections = [engine.connect() for engine in engines]
    try:
        contexts = [MigrationContext.configure(one) for one in connections]
        for one in connections:
            one.rollback()
        locks = [lock._lock(c, m) for c, m in zip(connections, contexts, strict=True)]
        for round_ in range(10):
            taken = [one for one in locks if one is not None and one.take()]
            for one in connections:
                one.rollback()
            assert len(taken) == 1, round_
            assert taken[0].is_held()
            taken[0].free()
    finally:
        for one in connections:
            one.close()


def test_lock_that_the_revision_gave_away_is_lost(
    nodes: list[Node], base: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.revision("0002", "0001", upgrade="op.execute('SELECT RELEASE_ALL_LOCKS()')")
    monkeypatch.setenv("NODE", url(nodes[1], base))
    message = project.refusal("upgrade", "head")
    assert message.startswith("the deployers' lock was taken, and this session does not hold it")
    assert rows(nodes[0], base, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_node_that_keeps_its_ddl_to_itself_is_refused(
    nodes: list[Node], base: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE", url(nodes[1], base))
    nodes[1].run("SET GLOBAL wsrep_OSU_method = 'RSU'")
    try:
        message = project.refusal("upgrade", "head")
    finally:
        nodes[1].run("SET GLOBAL wsrep_OSU_method = 'TOI'")
    assert "is a node that keeps its DDL to itself: nothing is run" in message
    assert project.alembic("upgrade", "head").status == 0
