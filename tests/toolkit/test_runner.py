"""`run`: what it refuses, what it leaves when a revision fails, and that it runs the rest."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables

TEMPLATE_BODY = 'raise NotImplementedError("write here what changes")'


# A revision that nobody wrote


def test_upgrade_runs_nothing_when_the_third_revision_is_not_written(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.table("0002", "0001")
    path = project.revision("0003", "0002", upgrade=TEMPLATE_BODY)
    message = project.refusal("upgrade", "head")
    assert message.splitlines() == [
        f"revision 0003 is not written yet: {path}",
        "  found   raise NotImplementedError('write here what changes')",
        "  wanted  statements in upgrade() that make the change",
        "Nothing was run. Write its upgrade(), then run the command again.",
    ]
    assert tables(database) == set()


def test_upgrade_runs_nothing_when_a_revision_is_empty(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.revision("0002", "0001", upgrade='"""Say why."""', downgrade="...")
    assert "0002 is not written yet" in project.refusal("upgrade", "head")
    assert "upgrade() and downgrade() are both empty" in project.refusal("upgrade", "head")
    assert tables(database) == set()


def test_upgrade_stops_short_of_the_revision_that_is_not_written(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.revision("0002", "0001", upgrade=TEMPLATE_BODY)
    assert project.alembic("upgrade", "0001").status == 0
    assert current(database) == ["0001"]
    assert "0002 is not written yet" in project.refusal("upgrade", "+1")
    assert tables(database) == {"alembic_version", "t_0001"}


def test_downgrade_runs_nothing_when_a_later_step_is_not_written(
    project: Project, database: Database
) -> None:
    project.table("0001", downgrade='"""Docstring."""\nraise NotImplementedError')
    project.table("0002", "0001")
    assert project.alembic("upgrade", "head").status == 0
    message = project.refusal("downgrade", "base")
    assert "revision 0001 is not written yet" in message
    assert "statements in downgrade() that take the change back" in message
    assert current(database) == ["0002"]
    assert tables(database) == {"alembic_version", "t_0001", "t_0002"}


def test_upgrade_runs_when_only_the_downgrade_is_not_written(
    project: Project, database: Database
) -> None:
    project.table("0001", downgrade=TEMPLATE_BODY)
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0001"]


def test_upgrade_runs_when_a_base_or_a_merge_is_empty(project: Project, database: Database) -> None:
    project.revision("0001", None, "pass", "pass")
    project.table("0002a", "0001")
    project.table("0002b", "0001")
    project.revision("0003", ("0002a", "0002b"), "pass", "pass")
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0003"]


def test_downgrade_runs_nothing_when_it_is_empty(project: Project, database: Database) -> None:
    project.table("0001")
    project.revision("0002", "0001", downgrade='"""Nothing."""\npass')
    project.table("0003", "0002")
    assert project.alembic("upgrade", "head").status == 0
    message = project.refusal("downgrade", "base")
    assert "revision 0002 is not written yet" in message
    assert "  found   downgrade() is empty\n" in message
    assert message.endswith('    irreversible = "why"')
    assert current(database) == ["0003"]
    for head in ("irreversible = 'why'", "empty = 'nothing to take back'"):
        project.revision("0002", "0001", downgrade="pass", head=head)
        assert project.alembic("downgrade", "0001").status == 0
        assert project.alembic("upgrade", "head").status == 0


def test_upgrade_runs_when_only_the_upgrade_is_empty(project: Project, database: Database) -> None:
    project.revision("0001", upgrade="pass")
    project.table("0002", "0001")
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("downgrade", "base").status == 0
    assert current(database) == []


def test_upgrade_runs_when_an_old_revision_is_empty(project: Project, database: Database) -> None:
    project.table("0001")
    project.revision("0002", "0001", "pass", "pass")
    project.table("0003", "0002")
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("downgrade", "base").status == 0
    assert current(database) == []


def test_upgrade_runs_when_a_revision_is_declared_empty(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.revision("0002", "0001", "pass", "pass", head="empty = 'marks the first release'")
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("downgrade", "0001").status == 0
    assert current(database) == ["0001"]


def test_stamp_writes_the_id_when_the_revision_is_not_written(
    project: Project, database: Database
) -> None:
    project.revision("0001", None, TEMPLATE_BODY, TEMPLATE_BODY)
    assert project.alembic("stamp", "head").status == 0
    assert current(database) == ["0001"]


def test_script_is_not_begun_when_a_revision_is_not_written(offline: Project) -> None:
    offline.table("0001")
    offline.revision("0002", "0001", upgrade=TEMPLATE_BODY)
    outcome = offline.alembic("upgrade", "head", "--sql")
    assert outcome.status != 0
    assert "CREATE" not in outcome.out
    assert outcome.out.startswith("FAILED: revision 0002 is not written yet")


# An id that does not fit


def test_upgrade_runs_nothing_when_an_id_is_too_long(project: Project, database: Database) -> None:
    long = "a" * 33
    project.table("0001")
    project.table(long, "0001")
    message = project.refusal("upgrade", "head")
    assert f"revision id {long} has 33 characters" in message
    assert "alembic_version holds 32" in message
    assert tables(database) == set()


def test_stamp_writes_nothing_when_an_id_is_too_long(project: Project, database: Database) -> None:
    project.table("a" * 33)
    assert "has 33 characters" in project.refusal("stamp", "head")
    assert tables(database) == set()


def test_upgrade_runs_when_the_version_table_was_widened(
    project: Project, database: Database
) -> None:
    long = "a" * 33
    project.table(long)
    execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(64) NOT NULL PRIMARY KEY)")
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == [long]


# A connection in a transaction


def test_run_refuses_when_a_statement_ran_before_it(project: Project, database: Database) -> None:
    project.table("0001")
    with database.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        project.attributes["connection"] = connection
        message = project.refusal("upgrade", "head")
        assert "the connection is in a transaction already" in message
        assert "connection.commit()" in message
        connection.rollback()
    assert tables(database) == set()


def test_run_refuses_when_env_py_says_something_first(project: Project, database: Database) -> None:
    project.table("0001")
    project.write(
        "migrations/env.py",
        "from alembic import context\n"
        "from sqlalchemy import NullPool, create_engine, text\n"
        "from alembic_toolkit.runner import run\n"
        "url = context.config.get_main_option('sqlalchemy.url')\n"
        "engine = create_engine(url, poolclass=NullPool)\n"
        "with engine.connect() as connection:\n"
        "    connection.execute(text('SELECT 1'))\n"
        "    run(context, connection)\n",
    )
    assert "is in a transaction already" in project.refusal("upgrade", "head")
    assert tables(database) == set()


def test_run_keeps_everything_when_the_connection_was_committed(
    project: Project, database: Database
) -> None:
    project.table("0001")
    with database.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        connection.commit()
        project.attributes["connection"] = connection
        assert project.alembic("upgrade", "head").status == 0
        assert not connection.in_transaction()
        assert not connection.closed
    assert current(database) == ["0001"]


# A revision that fails


def test_upgrade_keeps_the_revisions_before_the_one_that_fails(
    project: Project, database: Database
) -> None:
    project.table("0001", upgrade="op.execute('INSERT INTO t_0001 VALUES (1)')")
    project.table("0002", "0001", upgrade="op.execute('INSERT INTO t_0001 VALUES (2)')\n1 / 0")
    with pytest.raises(ZeroDivisionError):
        project.alembic("upgrade", "head")
    assert current(database) == ["0001"]
    assert rows(database, "SELECT id FROM t_0001") == [1]
    if database.kin != "mariadb":  # whose DDL commits at once
        assert tables(database) == {"alembic_version", "t_0001"}


def test_connection_is_in_no_transaction_when_a_revision_failed(
    project: Project, database: Database
) -> None:
    project.table("0001", upgrade="1 / 0")
    with database.engine.connect() as connection:
        project.attributes["connection"] = connection
        with pytest.raises(ZeroDivisionError):
            project.alembic("upgrade", "head")
        assert not connection.in_transaction()


def test_interruption_is_one_for_who_calls_alembic_in_python(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.table("0001", upgrade="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        command.upgrade(Config(project.directory / "alembic.ini"), "head")
    assert "upgrade of 0001 was interrupted; " in caplog.text


def test_error_of_a_statement_has_its_traceback_when_asked_for(project: Project) -> None:
    project.revision("0001", upgrade="op.execute('SELECT nonsense FROM nowhere')")
    message = project.refusal("upgrade", "head")
    assert "0001_test.py:" in message
    assert "alembic --raiseerr" in message
    with pytest.raises(CommandError) as raised:
        project.alembic("--raiseerr", "upgrade", "head")
    assert isinstance(raised.value.__cause__, sa.exc.DBAPIError)
    assert "nowhere" in str(raised.value.__cause__)


def test_error_of_a_file_is_not_taken_for_one_of_the_database(
    project: Project, database: Database
) -> None:
    project.revision("0001", head="import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        project.alembic("upgrade", "head")
    assert tables(database) == set()


def test_autocommit_block_begins_no_transaction(project: Project, database: Database) -> None:
    # All three servers refuse, or undo, this inside a transaction.
    outside = {"sqlite": "VACUUM", "postgresql": "VACUUM", "mariadb": "SELECT 1"}[database.kin]
    project.table(
        "0001",
        upgrade=f"with op.get_context().autocommit_block():\n    op.execute('{outside}')\n"
        "op.create_table('after', sa.Column('id', sa.Integer))\n",
    )
    project.table("0002", "0001")
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0002"]
    assert {"t_0001", "after", "t_0002"} <= tables(database)


# What reaches the database, and how


def test_url_and_engine_are_both_taken(project: Project, database: Database) -> None:
    project.table("0001")
    for target in (database.url, sa.make_url(database.url), database.engine):
        project.attributes["connection"] = target
        assert project.alembic("upgrade", "head").status == 0
        assert current(database) == ["0001"]
        assert project.alembic("downgrade", "base").status == 0
        assert current(database) == []


def test_callback_of_the_caller_is_called_too(project: Project, database: Database) -> None:
    project.table("0001")
    seen: list[str] = []
    project.attributes["seen"] = seen
    project.write(
        "migrations/env.py",
        "from alembic import context\n"
        "from alembic_toolkit.runner import run\n"
        "seen = context.config.attributes['seen']\n"
        "def note(ctx, step, heads, run_args): seen.append(step.up_revision_id)\n"
        "run(context, on_version_apply=note, version_table='versions')\n",
    )
    assert project.alembic("upgrade", "head").status == 0
    assert seen == ["0001"]
    assert "versions" in tables(database)


def test_commands_that_only_look_change_nothing(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("current").out == ""
    assert "0001 (head)" in project.alembic("history", "-i").out
    assert project.alembic("heads").out == "0001 (head)\n"
    assert tables(database) == set()
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("current").out == "0001 (head)\n"
    assert "(current)" in project.alembic("history", "-i").out


def test_version_table_is_kept_when_there_is_no_revision(
    project: Project, database: Database
) -> None:
    assert project.alembic("upgrade", "head").status == 0
    assert tables(database) == {"alembic_version"}


def test_ensure_version_keeps_the_version_table(project: Project, database: Database) -> None:
    assert project.alembic("ensure_version").status == 0
    assert tables(database) == {"alembic_version"}


def test_stamp_with_purge_replaces_an_id_that_is_unknown(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("stamp", "0001").status == 0
    execute(database, "UPDATE alembic_version SET version_num = 'gone'")
    assert "Can't locate revision" in project.refusal("upgrade", "head")
    assert project.alembic("stamp", "--purge", "0001").status == 0
    assert current(database) == ["0001"]


def test_run_is_called_by_alembic_in_python(project: Project, database: Database) -> None:
    project.revision("0001", upgrade=TEMPLATE_BODY)
    config = Config(project.directory / "alembic.ini")
    with pytest.raises(CommandError, match="0001 is not written yet"):
        command.upgrade(config, "head")
    project.table("0001")
    command.upgrade(config, "head")
    assert current(database) == ["0001"]


def test_check_compares_with_the_models(project: Project, database: Database) -> None:
    project.write(
        "migrations/env.py",
        "import sqlalchemy as sa\n"
        "from alembic import context\n"
        "from alembic_toolkit.runner import run\n"
        "metadata = sa.MetaData()\n"
        "sa.Table('t_0001', metadata, sa.Column('id', sa.Integer, primary_key=True))\n"
        "run(context, target_metadata=metadata)\n",
    )
    project.table("0001")
    assert "not up to date" in project.refusal("check")
    assert tables(database) == set()
    assert project.alembic("upgrade", "head").status == 0
    assert "No new upgrade operations" in project.alembic("check").out
    execute(database, "DROP TABLE t_0001")
    assert "add_table" in project.refusal("check")


# Offline


@pytest.mark.parametrize("name", ["sqlite", "postgresql+psycopg", "mariadb+pymysql"])
def test_script_has_a_transaction_for_each_revision(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path / "project", f"{name}://nobody@127.0.0.1:1/none")
    project.table(
        "0001",
        upgrade="op.bulk_insert(sa.table('t_0001', sa.column('id', sa.Integer)), [{'id': 7}])",
    )
    project.table("0002", "0001")
    script = project.alembic("upgrade", "head", "--sql").out
    assert "INSERT INTO t_0001 (id) VALUES (7)" in script
    _, *revisions = script.split("-- Running upgrade ")
    for one in revisions:
        assert len(re.findall("^(BEGIN|BEGIN IMMEDIATE|START TRANSACTION);$", one, re.M)) == 1
        assert len(re.findall("^COMMIT;$|'COMMIT'", one, re.M)) == 1
    assert len(revisions) == 2
    script = project.alembic("downgrade", "0002:0001", "--sql").out
    assert "t_0002" in script.partition("-- Running downgrade 0002 -> 0001")[2]
    assert "t_0001" not in script
