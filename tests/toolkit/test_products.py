"""What resembles a server is refused by its name, before anything runs.

The versions are what these servers answer, as their documentation and their users show it.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from alembic_toolkit.database import products
from alembic_toolkit.database.portrait import Portrait, refusal
from alembic_toolkit.database.servers import MYSQL, POSTGRESQL
from tests import databases
from tests.databases import Database
from tests.toolkit.conftest import Project, execute, tables
from tests.toolkit.deployers import end, start

pytestmark = pytest.mark.long

LOOK_ALIKES = {
    ("postgresql", "YugabyteDB"): [
        "PostgreSQL 11.2-YB-2.20.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 16.0.6",
        "PostgreSQL 15.12-YB-2026.1.0.1-b0 on x86_64-pc-linux-gnu, compiled by clang, 64-bit",
    ],
    ("postgresql", "CockroachDB"): [
        "CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27 01:53:43, go1.19.10)",
        "CockroachDB OSS v22.2.0 (x86_64-pc-linux-gnu)",
    ],
    ("postgresql", "Amazon Redshift"): [
        "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017"
        " (Red Hat 3.4.2-6.fc3), Redshift 1.0.48805",
    ],
    ("postgresql", "Greenplum"): [
        "PostgreSQL 9.4.24 (Greenplum Database 6.2.1 build commit:d90ac1a1) on x86_64-unknown",
        "PostgreSQL 12.12 (Greenplum Database 7.0.0 build commit:abc) on x86_64",
    ],
    ("postgresql", "Apache Cloudberry"): [
        "PostgreSQL 14.4 (Cloudberry Database 1.6.0 build dev) on x86_64-pc-linux-gnu, compiled by",
    ],
    ("postgresql", "Materialize"): [
        "PostgreSQL 9.5 on x86_64-unknown-linux-gnu (Materialize 26.36.0)",
    ],
    ("postgresql", "RisingWave"): ["PostgreSQL 13.14.0-RisingWave-3.0.2 (391c3a16ef26d0cd)"],
    ("postgresql", "QuestDB"): [
        "PostgreSQL 12.3, compiled by Visual C++ build 1914, 64-bit, QuestDB",
    ],
    ("postgresql", "CrateDB"): ["CrateDB 5.2.3 (built 19ffdf8, Linux 5.10 amd64)"],
    ("postgresql", "CedarDB"): ["PostgreSQL 16.3 compatible CedarDB v2025-08-20"],
    ("postgresql", "openGauss"): [
        "PostgreSQL 9.2.4 (openGauss 2.0.0 build 78689da9) compiled at 2021-03-31 21:04:03",
    ],
    ("mysql", "TiDB"): ["8.0.11-TiDB-v7.5.2-serverless", "5.7.25-TiDB-v4.0.0-beta.2-524-g73fe3c"],
    ("mysql", "Vitess, or PlanetScale"): ["8.0.30-Vitess Version: 8.0.30-Vitess"],
    ("mysql", "SingleStore"): [
        "5.7.32 SingleStoreDB source distribution (compatible; MySQL Enterprise)",
        "5.5.58 MemSQL source distribution (compatible; MySQL Enterprise)",
    ],
    ("mysql", "OceanBase"): ["5.7.25-OceanBase-v4.2.1.0", "5.7.25-OceanBase_CE-v3.1.4"],
    ("mysql", "MatrixOne"): ["8.0.30-MatrixOne-v3.0.6 MatrixOne"],
    ("mysql", "MySQL NDB Cluster"): ["8.0.41-cluster MySQL Cluster Community Server - GPL"],
}
GENUINE = {
    "postgresql": [
        "PostgreSQL 15.14 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 10.2.1, 64-bit",
        "PostgreSQL 17.10 on x86_64-pc-linux-musl, compiled by gcc (Alpine 15.2.0), 64-bit",
        "PostgreSQL 16.8 (Debian 16.8-1.pgdg120+1) on aarch64-unknown-linux-gnu, 64-bit",
        "PostgreSQL 14.4, compiled by Visual C++ build 1914, 64-bit",
    ],
    "mysql": [
        "10.11.19-MariaDB-0+deb12u1 Debian 12",
        "11.8.2-MariaDB-log mariadb.org binary distribution",
        "9.7.0 MySQL Community Server - GPL",
        "8.0.36-28 Percona Server (GPL), Release 28, Revision 47601f19",
        "8.0.32 Source distribution",
        "8.0.36-28.1 Percona XtraDB Cluster (GPL), Release rel28, Revision bfb687f, WSREP 26.1.4.3",
        "8.0.45-google (Google)",
        "8.0.mysql_aurora.3.04.0 Source distribution",
    ],
}
TIDB = "5.7.10-TiDB-v2.1.0"  # an old one, for MariaDB lacks variables that newer ones have


@pytest.mark.parametrize(
    ("server", "name", "version"),
    [(*key, version) for key, versions in LOOK_ALIKES.items() for version in versions],
)
def test_look_alike_is_known_by_its_version(server: str, name: str, version: str) -> None:
    assert products.look_alike(server, version) == name


@pytest.mark.parametrize(
    ("server", "version"), [(key, one) for key, some in GENUINE.items() for one in some]
)
def test_server_is_no_look_alike(server: str, version: str) -> None:
    assert products.look_alike(server, version) == ""


@pytest.mark.parametrize(
    ("settings", "beginning", "way_on"),
    [
        (
            {"wsrep_on": "ON", "wsrep_provider": "g.so", "pxc_strict_mode": "ENFORCING"},
            "db is a Percona XtraDB Cluster in its strict mode: nothing is run\n",
            "SET GLOBAL pxc_strict_mode = 'PERMISSIVE';",
        ),
        (
            {"pxc_strict_mode": "MASTER"},
            "db is a Percona XtraDB Cluster in its strict mode: nothing is run\n",
            "SET GLOBAL pxc_strict_mode = 'PERMISSIVE';",
        ),
        (
            {"wsrep_on": "ON", "wsrep_provider": "g.so", "wsrep_osu_method": "RSU"},
            "db is a node that keeps its DDL to itself: nothing is run\n",
            "SET GLOBAL wsrep_OSU_method = 'TOI';",
        ),
        (
            {"group_replication_single_primary_mode": "OFF"},
            "db is in a group replication with several primaries: nothing is run\n",
            "SELECT group_replication_switch_to_single_primary_mode();",
        ),
    ],
)
def test_cluster_is_refused_when_a_lock_would_not_hold(
    settings: dict[str, str], beginning: str, way_on: str
) -> None:
    error = refusal("db", MYSQL, Portrait("8.0.36 x", settings, members=3))
    assert str(error).startswith(beginning)
    assert way_on in str(error)


@pytest.mark.parametrize(
    "settings",
    [
        {"wsrep_on": "OFF", "wsrep_provider": "none", "wsrep_osu_method": "RSU"},
        {"wsrep_on": "ON", "wsrep_provider": "g.so", "pxc_strict_mode": "PERMISSIVE"},
        {"group_replication_single_primary_mode": "ON"},
        {},
    ],
)
def test_server_is_not_refused_when_its_lock_holds(settings: dict[str, str]) -> None:
    assert refusal("db", MYSQL, Portrait("8.0.36 x", settings, members=3)) is None
    assert refusal("db", POSTGRESQL, Portrait("PostgreSQL 15.1")) is None


def pretend(database: Database, version: str) -> None:
    """Have a PostgreSQL say of itself, in this database, that it is another server."""
    execute(
        database,
        "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE"
        f" AS $$ SELECT '{version}'::text $$",
    )


PRETENDED = [(name, some[0]) for (kind, name), some in LOOK_ALIKES.items() if kind == "postgresql"]


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(("name", "version"), PRETENDED)
def test_upgrade_is_refused_on_a_look_alike(
    project: Project, database: Database, name: str, version: str
) -> None:
    project.table("0001")
    pretend(database, version)
    # In a process of its own: SQLAlchemy, which cannot read some of them, closes no connection.
    status, said = end(start(project, "upgrade", "head"))
    assert status == 255, said
    assert f" is {name}, which is not tested: nothing is run\n" in said
    assert version.split(",")[0] in said
    assert "Traceback" not in said


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("command", ["downgrade base", "stamp head", "current", "check"])
def test_command_is_refused_on_a_look_alike(
    project: Project, database: Database, command: str
) -> None:
    project.table("0001")
    project.have_models()  # which `alembic check` wants
    pretend(database, LOOK_ALIKES["postgresql", "YugabyteDB"][0])
    message = project.refusal(*command.split())
    assert " is YugabyteDB, which is not tested: nothing is run\n" in message
    assert tables(database) == set()


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("pooled", [False, True])
def test_look_alike_is_refused_when_env_py_gives_the_engine(
    project: Project, database: Database, pooled: bool
) -> None:
    project.table("0001")
    pretend(database, LOOK_ALIKES["postgresql", "YugabyteDB"][0])
    pool = {} if pooled else {"poolclass": sa.NullPool}
    engine = project.attributes["connection"] = sa.create_engine(database.url, **pool)
    assert "is YugabyteDB, which is not tested" in project.refusal("upgrade", "head")
    engine.dispose()


@pytest.mark.databases("postgresql")
def test_citus_is_warned_of_when_it_distributes_tables(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert "Citus" not in caplog.text
    execute(
        database,
        "SET allow_system_table_mods = on",
        'CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char")',
        "INSERT INTO pg_catalog.pg_dist_partition VALUES ('t_0001', 'h')",
    )
    assert project.alembic("downgrade", "base").status == 0
    assert "has tables that Citus distributes (t_0001)" in caplog.text


@pytest.fixture
def tidb() -> Iterator[Database]:
    """Return a database on a MariaDB that was started under another version."""
    program = databases.new_program("mariadb")
    databases.kill_all(program.pid)
    program.command.append(f"--version={TIDB}")
    program.url = url = program.url.set(drivername="mysql+pymysql")
    program.start()
    server = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE ours")
    url = url.set(database="ours")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    yield Database("mysql", url.render_as_string(hide_password=False), engine, lambda: None)
    databases.kill_all(program.pid)


PLAIN = """
from alembic import context
import sqlalchemy as sa

url = context.config.get_main_option("sqlalchemy.url")
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_verb_is_refused_on_tidb_under_a_plain_env_py(tidb: Database, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tidb.url)
    project.write("migrations/env.py", PLAIN)
    create = "helpers.create_table('t', sa.Column('id', sa.Integer))"
    project.revision("0001", upgrade=create, head="import alembic_helpers as helpers")
    assert " is TiDB, which is not tested: nothing is run\n" in project.refusal("upgrade", "head")
    assert tables(tidb) <= {"alembic_version"}


def test_upgrade_is_refused_on_tidb(tidb: Database, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tidb.url)
    project.table("0001")
    message = project.refusal("upgrade", "head")
    assert " is TiDB, which is not tested: nothing is run\n" in message
    assert TIDB in message
    assert tables(tidb) == set()


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", ["YugabyteDB", "CockroachDB"])
@pytest.mark.parametrize("env", ["run", "plain"])
@pytest.mark.parametrize("command", ["status", "upgrade", "roundtrip"])
def test_toolkit_is_refused_on_a_look_alike(
    project: Project, database: Database, name: str, env: str, command: str
) -> None:
    project.table("0001")
    if env == "plain":
        project.write("migrations/env.py", PLAIN)
    pretend(database, LOOK_ALIKES["postgresql", name][0])
    process = start(project, command, "--url", database.url, module="alembic_toolkit.cli")
    status, said = end(process)
    assert status in (1, 2), said
    assert f" is {name}, which is not tested: nothing is run" in said
    assert "Traceback" not in said


@pytest.fixture
def group() -> Iterator[Database]:
    """Return a database on a MySQL that is a group of its own, in which all may write."""
    program = databases.new_program("mysql")
    databases.kill_all(program.pid)
    program.command.remove("--skip-log-bin")
    [base] = [one for one in program.command if str(one).startswith("--basedir=")]
    [plugin] = Path(str(base).partition("=")[2]).rglob("group_replication.so")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program.command += [
        *("--server-id=1", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin=bin"),
        *(f"--plugin-dir={plugin.parent}", "--plugin-load-add=group_replication.so"),
        "--group-replication-group-name=aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
        *("--group-replication-start-on-boot=OFF", "--group-replication-single-primary-mode=OFF"),
        "--group-replication-enforce-update-everywhere-checks=ON",
        f"--group-replication-local-address={address}",
        f"--group-replication-group-seeds={address}",
    ]
    program.start()
    database = databases.new_database("mysql", program)
    start_group = "SET GLOBAL group_replication_bootstrap_group = ON", "START GROUP_REPLICATION"
    execute(database, *start_group)
    yield database
    database.engine.dispose()
    databases.kill_all(program.pid)


def test_upgrade_is_refused_when_all_members_of_a_group_may_write(
    group: Database, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project", group.url)
    project.table("0001")
    message = project.refusal("upgrade", "head")
    assert "is in a group replication with several primaries: nothing is run\n" in message
    assert tables(group) == set()
    [way_on] = [one.strip() for one in message.splitlines() if "to_single_primary" in one]
    execute(group, way_on.rstrip(";"))
    assert project.alembic("upgrade", "head").status == 0
    execute(group, "SELECT group_replication_switch_to_multi_primary_mode()")
    assert "several primaries" in project.refusal("downgrade", "base")
    execute(group, "STOP GROUP_REPLICATION", "SET GLOBAL super_read_only = OFF")
    execute(group, "SET GLOBAL read_only = OFF")
    assert project.alembic("downgrade", "base").status == 0
