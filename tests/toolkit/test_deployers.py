"""One deployer at a time, however many there are, and whatever becomes of them."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.deployers import holding, journal, kill, locked, many, start, until

# What ran twice would be doubled: a seed without a key, and on MariaDB a DDL that commits it.
SEED = "op.execute('INSERT INTO t_0001 (id) SELECT count(*) + 1 FROM t_0001')\n"
DDL = "op.create_table('more', sa.Column('id', sa.Integer))\n"
CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.create_index('ix', 't_0001', ['id'], postgresql_concurrently=True)
"""


def write_history(project: Project) -> None:
    project.table("0001")
    project.revision("0002", "0001", upgrade=SEED + DDL)
    project.revision("0003", "0002", upgrade=CONCURRENTLY)


# Refused, killed, lost


def test_upgrade_names_the_holder_when_another_deployer_does_not_end(
    project: Project, database: Database
) -> None:
    project.table("0001")
    with holding(project, "0002", "0001"):
        message = project.refusal("-x", "deploy_wait=0.2", "upgrade", "head")
    assert message.startswith("another deployer holds the lock, after 0.2 s: nothing was run\n")
    assert " pid " in message
    assert database.name == "sqlite" or "held by  session " in message
    assert "up 0002 since 2" in message or database.name == "sqlite"
    assert message.endswith("with -x deploy_wait=0.4.")


def test_next_deployer_is_not_blocked_when_the_holder_was_killed(
    project: Project, database: Database
) -> None:
    project.table("0001")
    with holding(project, "0002", "0001") as process:
        kill(process)
        if database.kin == "mariadb":  # whose DDL stays
            until(lambda: not in_the_middle(database))
            execute(database, "DROP TABLE t_0002")
        outcome = project.alembic("-x", "deploy_wait=30", "upgrade", "head")
    assert outcome.status == 0, outcome.out
    assert current(database) == ["0002"]
    assert journal(database) == [
        ("0001", "up", "done"),
        ("0002", "up", "killed"),
        ("0002", "up", "done"),
    ]


def in_the_middle(database: Database) -> bool:
    query = "SELECT count(*) FROM information_schema.processlist WHERE db = database()"
    return rows(database, query) != [1]


@pytest.mark.databases("postgresql")
def test_next_deployer_is_not_blocked_when_the_holder_was_killed_in_a_long_statement(
    project: Project, database: Database
) -> None:
    project.table("0001")
    statement = "op.execute('SELECT pg_sleep(600)')"
    with holding(project, "0002", "0001", statement) as process:
        kill(process)
        outcome = project.alembic("-x", "deploy_wait=30", "upgrade", "head")
    assert outcome.status == 0, outcome.out


def test_deployer_that_waits_is_killed_without_a_trace(
    project: Project, database: Database
) -> None:
    project.table("0001")
    with holding(project, "0002", "0001") as process:
        waiter = start(project, "upgrade", "head")
        assert waiter.stdout is not None
        said = waiter.stdout.readline()
        while "waiting for another deployer" not in said:
            assert said, "it did not wait"
            said = waiter.stdout.readline()
        kill(waiter)
        kill(process)
        if database.kin == "mariadb":
            until(lambda: not in_the_middle(database))
            execute(database, "DROP TABLE t_0002")
        assert project.alembic("-x", "deploy_wait=30", "upgrade", "head").status == 0
    assert current(database) == ["0002"]


@pytest.mark.parametrize("command", ["upgrade head", "downgrade base", "stamp base"])
def test_command_waits_when_another_deployer_holds_the_lock(
    project: Project, database: Database, command: str
) -> None:
    project.table("0001")
    project.table("0002", "0001")
    assert project.alembic("upgrade", "0001").status == 0
    with locked(database):
        message = project.refusal("-x", "deploy_wait=0", *command.split())
        assert message.startswith("another deployer holds the lock")
        assert current(database) == ["0001"]
    assert project.alembic("-x", "deploy_wait=0", *command.split()).status == 0


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_revision_is_refused_when_the_session_lost_the_lock(
    project: Project, database: Database
) -> None:
    lose = {
        "postgresql": "op.execute('SELECT pg_advisory_unlock_all()')",
        "mariadb": "op.execute('SELECT RELEASE_ALL_LOCKS()')",
    }
    project.table("0001", upgrade=lose[database.kin])
    project.table("0002", "0001")
    message = project.refusal("upgrade", "head")
    assert "this session does not hold it" in message
    assert "pool_mode = session; or -x deploy_lock=no" in message
    assert current(database) == ["0001"]
    assert tables(database) == {"alembic_version", "t_0001"}


@pytest.mark.databases("sqlite")
def test_upgrade_runs_nothing_when_no_file_can_be_made_beside_the_database(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert database.engine.url.database is not None
    Path(f"{database.engine.url.database}-deploy").mkdir()
    message = project.refusal("upgrade", "head")
    assert message.startswith("no lock against other deployers can be made beside the database")
    assert "-x deploy_lock=no" in message
    assert tables(database) == set()
    assert project.alembic("-x", "deploy_lock=no", "upgrade", "head").status == 0


@pytest.mark.databases("sqlite")
def test_upgrade_says_so_when_the_system_has_no_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As on Windows, where a service has no name either.
    def nameless() -> str:
        raise ModuleNotFoundError("No module named 'pwd'")

    monkeypatch.setattr("alembic_toolkit.deployer.lockfile.fcntl", None)
    monkeypatch.setattr("getpass.getuser", nameless)
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    [line] = caplog.messages
    assert line.startswith("nothing keeps a second deployer out: ")
    assert "-x deploy_lock=no" in line


# At peace


def test_every_deployer_succeeds_and_each_revision_runs_once_when_eight_start_at_once(
    project: Project, database: Database
) -> None:
    write_history(project)
    outcomes = many(project, 8, "upgrade", "head")
    assert [status for status, _ in outcomes] == [0] * 8, outcomes
    assert rows(database, "SELECT id FROM t_0001") == [1]
    assert journal(database) == [(f"000{n}", "up", "done") for n in (1, 2, 3)]
    assert current(database) == ["0003"]


def test_command_takes_no_lock_when_there_is_nothing_to_run(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    with locked(database):
        for command in ("upgrade head", "current", "history -i"):
            assert project.alembic("-x", "deploy_wait=0", *command.split()).status == 0


def test_lock_is_free_when_a_revision_failed(project: Project, database: Database) -> None:
    project.table("0001", upgrade="1 / 0")
    with database.engine.connect() as connection:
        project.attributes["connection"] = connection
        with pytest.raises(ZeroDivisionError):
            project.alembic("upgrade", "head")
        with locked(database):
            assert not connection.closed


@pytest.mark.databases("sqlite")
def test_nothing_is_left_beside_the_database(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert database.engine.url.database is not None
    path = Path(database.engine.url.database)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.databases("sqlite")
def test_database_in_memory_needs_no_lock(project: Project) -> None:
    project.table("0001")
    project.attributes["connection"] = sa.create_engine("sqlite://")
    assert project.alembic("upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
def test_schemas_of_one_database_have_a_lock_each(project: Project, database: Database) -> None:
    project.table("0001")
    execute(database, "CREATE SCHEMA tenant")
    url = sa.make_url(database.url).update_query_dict({"options": "-csearch_path=tenant"})
    with locked(database):
        project.attributes["connection"] = sa.create_engine(url, poolclass=sa.NullPool)
        assert project.alembic("-x", "deploy_wait=0", "upgrade", "head").status == 0
