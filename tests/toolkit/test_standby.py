"""A standby, and a replica: nothing is tried there, and the primary is named where it is known."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

import alembic_helpers as helpers
from alembic_toolkit.prove.roundtrip import roundtrip
from alembic_toolkit.prove.settings import read
from tests.databases import Program, new_program
from tests.toolkit.conftest import Project

TABLE = "op.create_table('bills', sa.Column('id', sa.Integer, primary_key=True))\n"
ADD = "op.add_column('bills', sa.Column('n', sa.Integer))\n"


def project_on(url: sa.URL, directory: Path) -> Project:
    project = Project(directory / "project", url.render_as_string(hide_password=False))
    project.revision("0001", upgrade=TABLE)
    project.revision("0002", "0001", upgrade=ADD)
    return project


def restart(program: Program, *options: str) -> None:
    """Stop a PostgreSQL as one should, and start it with these options as well."""
    assert program.process is not None
    program.process.send_signal(signal.SIGINT)
    program.process.wait(30)
    program.command = [*program.command, *options]
    program.start()


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project on a PostgreSQL that follows another one, and has its first revision."""
    program = new_program("postgresql")
    restart(program, "--wal_level=replica")
    project = project_on(program.url, tmp_path_factory.mktemp("standby"))
    assert project.alembic("upgrade", "0001").status == 0
    engine = sa.create_engine(program.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE ROLE nosy LOGIN IN ROLE pg_read_all_data"))
    (program.directory / "data" / "standby.signal").touch()
    restart(program, "--primary_conninfo=host=10.0.0.7 port=6543 user=u password=secret")
    return project


def test_upgrade_refuses_a_standby_and_names_its_primary(standby: Project) -> None:
    url = sa.make_url(standby.url)
    for command in ("upgrade", "downgrade"):
        message = standby.refusal(command, "head" if command == "upgrade" else "base")
        assert message == (
            f"{url} takes no changes: nothing was run\n"
            "  found   a standby, which follows 10.0.0.7:6543\n"
            "  wanted  a server that can be changed\n"
            "Stopped, because every revision would fail there.\n"
            "What to do next:\n"
            f"    # run the command on its primary: {url.set(host='10.0.0.7', port=6543)}"
        )


def test_upgrade_refuses_a_standby_of_which_it_may_not_see_the_primary(standby: Project) -> None:
    url = sa.make_url(standby.url).set(username="nosy")
    standby.attributes["connection"] = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        message = standby.refusal("upgrade", "head")
    finally:
        del standby.attributes["connection"]
    assert "a standby; this user may not see which server it follows" in message
    assert "# run the command on its primary, which the operator of the database knows" in message


def test_upgrade_has_nothing_to_do_on_a_standby_that_is_at_its_target(standby: Project) -> None:
    assert standby.alembic("upgrade", "0001").status == 0
    assert "0001" in standby.alembic("current").out


def test_roundtrip_refuses_a_standby_in_words(standby: Project) -> None:
    url, ini = sa.make_url(standby.url), standby.directory / "alembic.ini"
    with pytest.raises(CommandError) as refused:
        roundtrip(ini, replace(read(ini), urls=[standby.url]))
    assert str(refused.value) == (
        f"{url} takes no changes: nothing was run\n"
        "  found   a standby, which follows 10.0.0.7:6543\n"
        "  wanted  a server that can be changed\n"
        "Stopped, because a round trip makes and drops everything of a history.\n"
        "What to do next:\n"
        "    alembic-toolkit roundtrip --url ..."
        "  # an empty database of a server that can be changed"
    )


def test_verb_names_the_primary_where_another_env_py_runs_it(standby: Project) -> None:
    engine = sa.create_engine(standby.url, poolclass=sa.NullPool)
    with (
        engine.connect() as connection,
        Operations.context(MigrationContext.configure(connection)),
        pytest.raises(helpers.DatabaseRefused, match=r"on its primary: postgresql.*@10\.0\.0\.7:"),
    ):
        helpers.add_column("bills", sa.Column("n", sa.Integer))


FOLLOW = {
    "mariadb": "CHANGE MASTER TO MASTER_HOST = '10.0.0.7', MASTER_PORT = 6543",
    "mysql": "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '10.0.0.7', SOURCE_PORT = 6543",
}
LOOK = {"mariadb": "REPLICA MONITOR", "mysql": "REPLICATION CLIENT"}


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def replica(request: pytest.FixtureRequest) -> Program:
    """Give a replica with a user who may do anything in a database, and no more."""
    program = new_program(request.param)
    engine = sa.create_engine(program.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in (
            "CREATE DATABASE app",
            "CREATE USER app@'%' IDENTIFIED BY 'a'",
            "GRANT ALL ON app.* TO app@'%'",
            FOLLOW[request.param],
            "SET GLOBAL read_only = 1",
        ):
            connection.execute(sa.text(statement))
    return program


def test_upgrade_refuses_a_replica_on_which_its_user_may_write_nothing(
    replica: Program, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["replica"]
    url = replica.url.set(username="app", password="a", database="app")
    project = project_on(url, tmp_path)
    message = project.refusal("upgrade", "head")
    assert "takes no changes: nothing was run" in message
    assert "  found   a server that takes no changes: read_only is on\n" in message
    engine = sa.create_engine(replica.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"GRANT {LOOK[kind]} ON *.* TO app@'%'"))
    message = project.refusal("upgrade", "head")
    assert "  found   a standby, which follows 10.0.0.7:6543\n" in message
    there = url.set(host="10.0.0.7", port=6543)
    assert message.endswith(f"    # run the command on its primary: {there}")


def test_upgrade_runs_on_a_replica_where_its_user_may_write(
    replica: Program, tmp_path: Path
) -> None:
    project = project_on(replica.url.set(database="app"), tmp_path)
    assert project.alembic("upgrade", "head").status == 0
