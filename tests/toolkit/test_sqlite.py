"""`run` on SQLite: all of a revision or nothing, and no row without its parent."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.databases("sqlite")

# A parent with two children, and one row that was an orphan already.
FAMILY = (
    "CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER"
    " REFERENCES parents (id) ON DELETE CASCADE)",
    "INSERT INTO parents VALUES (1, 'a')",
    "INSERT INTO children VALUES (1, 1), (2, 1)",
)
ORPHAN = ("PRAGMA foreign_keys = OFF", "INSERT INTO children VALUES (3, 99)")
REBUILD = """
with op.batch_alter_table("parents", recreate="always") as batch:
    batch.drop_column("name")
"""


def orphan(database: Database) -> None:
    with database.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        for statement in ORPHAN:
            driver.execute(statement)
        driver.commit()


def impatient_engine(database: Database) -> sa.Engine:
    return sa.create_engine(database.url, poolclass=sa.NullPool, connect_args={"timeout": 0.01})


def schema(database: Database) -> list[Any]:
    return rows(database, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")


# Atomic


def test_schema_is_that_of_before_when_a_revision_fails_half_way(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    before = schema(database)
    project.table("0001", upgrade=REBUILD + "op.execute('DELETE FROM children')\n1 / 0")
    with pytest.raises(ZeroDivisionError):
        project.alembic("upgrade", "head")
    assert [text for text in schema(database) if "alembic_version" not in text] == before
    assert rows(database, "SELECT id FROM children") == [1, 2]


def test_schema_is_that_of_before_when_a_revision_is_killed_half_way(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    before = schema(database)
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    path = project.table("0001", upgrade=REBUILD + kill)
    process = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=project.directory,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert [text for text in schema(database) if "alembic_version" not in text] == before
    path.write_text(path.read_text(encoding="utf-8").replace(kill.splitlines()[1], "pass"))
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0001"]


def test_revision_begins_with_the_write_lock(project: Project, database: Database) -> None:
    project.table("0001")
    execute(database, "CREATE TABLE other (id INTEGER)")
    with database.engine.connect() as writer:
        writer.exec_driver_sql("INSERT INTO other VALUES (1)")
        project.attributes["connection"] = impatient_engine(database)
        assert "database is locked" in project.refusal("-x", "retry_for=0.3", "upgrade", "head")
        writer.rollback()
    assert tables(database) == {"other"}


def test_upgrade_takes_no_lock_when_there_is_nothing_to_do(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    with database.engine.connect() as writer:
        writer.exec_driver_sql("INSERT INTO t_0001 VALUES (1)")
        project.attributes["connection"] = impatient_engine(database)
        assert project.alembic("upgrade", "head").status == 0
        assert project.alembic("current").out == "0001 (head)\n"


def test_engine_that_begins_itself_is_left_to_it(project: Project, database: Database) -> None:
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html: the recipe, before Python 3.12
    engine = sa.create_engine(database.url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def no_driver_transactions(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    project.attributes["connection"] = engine
    project.table("0001")
    project.table("0002", "0001", upgrade="1 / 0")
    with pytest.raises(ZeroDivisionError):
        project.alembic("upgrade", "head")
    assert tables(database) == {"alembic_version", "t_0001"}
    engine.dispose()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the driver has no such mode")
@pytest.mark.parametrize("autocommit", [False, True])
def test_revision_is_atomic_when_the_driver_has_transactions_of_its_own(
    project: Project, database: Database, autocommit: bool
) -> None:
    engine = sa.create_engine(database.url, connect_args={"autocommit": autocommit})
    project.table("0001")
    project.table("0002", "0001", upgrade="1 / 0")
    with engine.connect() as connection:
        project.attributes["connection"] = connection
        with pytest.raises(ZeroDivisionError):
            project.alembic("upgrade", "head")
        driver: Any = connection.connection.dbapi_connection
        assert driver.autocommit is autocommit
    assert tables(database) == {"alembic_version", "t_0001"}
    assert current(database) == ["0001"]
    engine.dispose()


def test_database_in_memory_is_kept_when_it_comes_as_a_connection(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.table("0001")
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        project.attributes["connection"] = connection
        assert project.alembic("upgrade", "head").status == 0
        assert sa.inspect(connection).has_table("t_0001")
    engine.dispose()


# Foreign keys


def test_children_stay_when_their_parent_is_rebuilt(project: Project, database: Database) -> None:
    execute(database, *FAMILY)
    project.attributes["connection"] = database.engine  # which enforces foreign keys
    project.revision("0001", upgrade=REBUILD)
    assert project.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT id FROM children") == [1, 2]


@pytest.mark.parametrize("body", ["pass", "1 / 0"])
@pytest.mark.parametrize("enforced", [0, 1])
def test_connection_is_as_it_was_when_the_revisions_have_run_or_failed(
    project: Project, database: Database, enforced: int, body: str
) -> None:
    project.table("0001", upgrade=body)
    with database.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.execute(f"PRAGMA foreign_keys = {enforced}")
        driver.isolation_level = "DEFERRED"
        project.attributes["connection"] = connection
        if body == "pass":
            assert project.alembic("upgrade", "head").status == 0
        else:
            with pytest.raises(ZeroDivisionError):
                project.alembic("upgrade", "head")
        assert driver.execute("PRAGMA foreign_keys").fetchone() == (enforced,)
        assert driver.isolation_level == "DEFERRED"
        assert not driver.in_transaction
        connection.exec_driver_sql("SELECT 1")
        assert not driver.in_transaction  # nothing begins with BEGIN IMMEDIATE any more


def test_revision_is_rolled_back_when_it_leaves_orphans(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    project.table("0001")
    project.revision("0002", "0001", upgrade="op.execute('DELETE FROM parents')")
    message = project.refusal("upgrade", "head")
    assert message.splitlines() == [
        "revision 0002 breaks foreign keys, so its upgrade() was rolled back:",
        "  children -> parents: 2 rows",
        "Fix or delete these rows in upgrade(), or keep the rows that they refer to.",
    ]
    assert current(database) == ["0001"]
    assert rows(database, "SELECT id FROM parents") == [1]


def test_downgrade_is_rolled_back_when_it_leaves_orphans(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    project.revision("0001", downgrade="op.execute('DELETE FROM parents')")
    assert project.alembic("upgrade", "head").status == 0
    assert "its downgrade() was rolled back" in project.refusal("downgrade", "base")
    assert current(database) == ["0001"]


def test_revision_runs_when_the_orphans_were_there_before(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    orphan(database)
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0


def test_revision_is_rolled_back_when_it_adds_to_the_orphans_of_before(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    orphan(database)
    project.revision("0001", upgrade="op.execute('INSERT INTO children VALUES (4, 98)')")
    assert "children -> parents: 1 row\n" in project.refusal("upgrade", "head")
    assert rows(database, "SELECT id FROM children") == [1, 2, 3]


def test_revision_is_rolled_back_when_its_foreign_key_matches_no_key(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY)
    project.revision(
        "0001",
        upgrade="op.execute('CREATE TABLE toys (child_name TEXT REFERENCES parents (name))')",
    )
    assert 'foreign key mismatch - "toys" referencing "parents"' in project.refusal(
        "upgrade", "head"
    )
    assert "toys" not in tables(database)


def test_revision_runs_when_a_foreign_key_was_wrong_before(
    project: Project, database: Database
) -> None:
    execute(database, *FAMILY, "CREATE TABLE toys (child_name TEXT REFERENCES parents (name))")
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0


def test_run_refuses_when_the_driver_is_in_a_transaction(
    project: Project, database: Database
) -> None:
    project.table("0001")
    with database.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.execute("BEGIN")
        driver.execute("CREATE TABLE other (id INTEGER)")
        project.attributes["connection"] = connection
        assert "is in a transaction already" in project.refusal("upgrade", "head")
        driver.commit()
    assert tables(database) == {"other"}
