"""`alembic-toolkit where` and `adopt`: which revision a schema is, and what mends the mark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alembic_toolkit.where import verdict as kinds
from alembic_toolkit.where.making.order import VALUE
from alembic_toolkit.where.write import write
from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, current, execute, rows, tables
from tests.toolkit.fleets import command
from tests.toolkit.test_baseline import delete, stand_at
from tests.toolkit.test_baseline import history as write_roots

sqlite = pytest.mark.databases("sqlite")
committing = pytest.mark.databases("mariadb", "mysql")


@pytest.fixture
def history(project: Project, database: Database) -> Project:
    """Return a project of five revisions, of which the fourth changes rows only."""
    project.table("0001")
    project.revision("0002", "0001", "op.add_column('t_0001', sa.Column('n', sa.String(20)))")
    project.table("0003", "0002", upgrade="op.create_index('ix_n', 't_0001', ['n'])\n")
    project.revision("0004", "0003", "op.execute('UPDATE t_0001 SET n = 1')")
    project.table("0005", "0004")
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    return project


def where(project: Project, database: Database, *argv: str) -> tuple[int, dict[str, Any]]:
    outcome = command(project, "where", "--json", *argv, it=database.url)
    [found] = json.loads(outcome.out)["databases"]
    return outcome.status, found


def adopt(project: Project, database: Database, *argv: str) -> Outcome:
    return command(project, "adopt", *argv, it=database.url)


def test_where_is_right_when_the_mark_is(history: Project, database: Database) -> None:
    history.alembic("upgrade", "0003")
    before = tables(database)
    assert where(history, database) == (0, where(history, database)[1])
    outcome = command(history, "where", it=database.url)
    assert "version table  0003\n  schema         0003, exactly" in outcome.out
    assert "0004 has the same schema: only rows differ" in outcome.out
    assert (tables(database), current(database)) == (before, ["0003"])


def test_where_says_the_revision_when_the_mark_is_another(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    execute(database, "UPDATE alembic_version SET version_num = '0005'")
    status, found = where(history, database)
    assert (status, found["kind"], found["revisions"]) == (1, kinds.OTHER, [["0002"]])
    assert found["todo"] == ["alembic stamp 0002"]
    assert any("changed rows: 0004 (" in note for note in found["notes"])
    execute(database, "UPDATE alembic_version SET version_num = 'f00'")
    _, found = where(history, database)
    assert (found["kind"], found["unknown"]) == (kinds.OTHER, ["f00"])
    assert found["todo"] == ["alembic stamp --purge 0002"]
    assert "FAILED" not in history.alembic("stamp", "--purge", "0002").out
    assert where(history, database)[0] == 0


def test_adopt_marks_what_is_exactly_one_revision(history: Project, database: Database) -> None:
    history.alembic("upgrade", "0002")
    execute(database, "DROP TABLE alembic_version", "DROP TABLE alembic_version_history")
    _, found = where(history, database)
    assert (found["kind"], found["todo"]) == (
        kinds.UNMARKED,
        ["alembic-toolkit adopt --url it"],
    )
    assert "alembic_version" not in tables(database)
    outcome = adopt(history, database)
    assert (outcome.status, outcome.out) == (0, "it: adopted, 0002\n")
    assert current(database) == ["0002"]
    query = "SELECT direction FROM alembic_version_history WHERE revision = '0002'"
    assert rows(database, query) == ["adopted"]
    outcome = adopt(history, database)
    assert (outcome.status, outcome.out) == (0, "it: nothing to do, 0002\n")
    assert history.alembic("upgrade", "head").status == 0
    assert where(history, database)[0] == 0


def test_adopt_refuses_when_several_revisions_have_the_schema(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0004")
    execute(database, "DROP TABLE alembic_version", "DROP TABLE alembic_version_history")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"]) == (kinds.EQUAL, [["0003"], ["0004"]])
    outcome = adopt(history, database)
    assert outcome.status == 1
    assert "--revision, one of 0003, 0004" in outcome.out
    assert adopt(history, database, "--revision=0002").status == 1
    assert "alembic_version" not in tables(database)
    assert adopt(history, database, "--revision=0004").out == "it: adopted, 0004\n"
    assert current(database) == ["0004"]


def test_adopt_believes_the_journal_when_several_revisions_have_the_schema(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0004")
    execute(database, "DROP TABLE alembic_version")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"]) == (kinds.UNMARKED, [["0004"], ["0003"]])
    assert "the journal says 0004" in found["notes"]
    assert adopt(history, database).out == "it: adopted, 0004\n"
    assert current(database) == ["0004"]


def test_where_believes_the_journal_when_all_of_the_last_revision_was_undone(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0005")
    execute(database, "DROP TABLE t_0005")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"][0]) == (kinds.NEAR, ["0005"])
    assert [one["name"] for one in found["missing"]] == ["t_0005"]
    assert "0003, 0004 is just the same, but the journal says 0005" in found["notes"]
    assert "run the SQL above" in found["todo"]
    # A stamp says nothing of a schema.
    history.alembic("stamp", "0002")
    history.alembic("stamp", "0005")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"]) == (kinds.EQUAL, [["0003"], ["0004"]])


def test_where_gives_both_ways_when_nothing_tells_a_stamp_from_a_change_by_hand(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    execute(database, "ALTER TABLE t_0001 DROP COLUMN n", "DROP TABLE alembic_version_history")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"]) == (kinds.OTHER, [["0001"]])
    changed = "or it is 0002, and this was changed by hand: - column t_0001.n"
    assert changed in found["notes"]
    assert found["todo"] == [
        "alembic stamp 0001  # if 0002 has not run here",
        "run the SQL above  # if 0002 has run here",
    ]
    execute(database, *found["sql"])
    assert where(history, database)[0] == 0


def test_where_names_what_the_version_table_says_before_what_is_nearer_by_one_change(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    execute(database, "ALTER TABLE t_0001 DROP COLUMN n", "DROP TABLE alembic_version_history")
    execute(database, "CREATE TABLE other (id INT)")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"]) == (kinds.NEAR, [["0002"], ["0001"]])
    note = "0001 is nearer, but the version table says 0002"
    assert note in found["notes"]
    execute(database, "DROP TABLE alembic_version")
    assert where(history, database)[1]["revisions"][0] == ["0001"]


def test_where_gives_the_sql_of_what_is_missing(history: Project, database: Database) -> None:
    history.alembic("upgrade", "head")
    on = " ON t_0001" if database.kin == "mariadb" else ""
    execute(database, f"DROP INDEX ix_n{on}", "DROP TABLE t_0003", "CREATE TABLE other (id INT)")
    status, found = where(history, database)
    assert (status, found["kind"], found["revisions"]) == (1, kinds.NEAR, [["0005"]])
    missing = [(one["kind"], one["name"], one["revision"]) for one in found["missing"]]
    assert sorted(missing) == [("index", "ix_n", "0003"), ("table", "t_0003", "0003")]
    assert {Path(one["file"]).name for one in found["missing"]} == {"0003_test.py"}
    assert [one["name"] for one in found["extra"]] == ["other"]
    refused = adopt(history, database)
    assert refused.status == 1
    with database.engine.begin() as connection:
        for statement in found["sql"]:
            connection.exec_driver_sql(statement)
    execute(database, "DROP TABLE other")
    assert where(history, database)[0] == 0


def test_tables_that_a_pattern_names_do_not_count(history: Project, database: Database) -> None:
    history.alembic("upgrade", "head")
    execute(database, "CREATE TABLE events_p1 (id INT)", "CREATE TABLE events_p2 (id INT)")
    assert where(history, database)[0] == 1
    history.write("pyproject.toml", '[tool.alembic-toolkit.where]\nignore = ["events_p*"]\n')
    assert where(history, database)[0] == 0


def test_where_knows_another_application(history: Project, database: Database) -> None:
    columns = ", ".join(f"c{number} INT" for number in range(8))
    execute(database, f"CREATE TABLE t_0001 ({columns})", f"CREATE TABLE mine ({columns})")
    status, found = where(history, database)
    assert (status, found["kind"]) == (1, kinds.FOREIGN)
    assert "not this history" in command(history, "where", it=database.url).out
    assert adopt(history, database).status == 1
    assert "alembic_version" not in tables(database)


@committing
def test_where_says_half_way_when_a_revision_was_killed(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.revision(
        "0002",
        "0001",
        "op.add_column('t_0001', sa.Column('a', sa.Integer))\n"
        "op.execute('UPDATE t_0001 SET a = 1')\n"
        "op.add_column('t_0001', sa.Column('b', sa.Integer))\n"
        "op.create_index('ix_a', 't_0001', ['a'])\n",
    )
    write(project.directory / "alembic.ini", [database.url])
    project.alembic("upgrade", "0001")
    done = ["ALTER TABLE t_0001 ADD a INTEGER", "ALTER TABLE t_0001 ADD b INTEGER"]
    for statement, said in zip(done, ["after 1 or 2 of 4", "after 3 of 4"], strict=True):
        execute(database, statement)
        status, found = where(project, database)
        assert (status, found["kind"], found["within"]) == (1, kinds.HALF, "0002")
        assert found["after"] == f"{said} statements"
        assert found["todo"] == ["alembic upgrade head"]
        assert adopt(project, database).status == 1


@committing
def test_where_says_half_way_when_only_rows_are_left_to_change(
    project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.table("0001")
    project.revision(
        "0002",
        "0001",
        "helpers.add_column('t_0001', sa.Column('a', sa.Integer))\n"
        "if 'STOP' in os.environ: raise RuntimeError('stop')\n"
        "helpers.execute('UPDATE t_0001 SET a = 1')\n",
        head="import os\nimport alembic_helpers as helpers",
    )
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    project.alembic("upgrade", "0001")
    monkeypatch.setenv("STOP", "1")
    with pytest.raises(RuntimeError, match="stop"):
        project.alembic("upgrade", "0002")
    monkeypatch.delenv("STOP")
    status, found = where(project, database)
    assert (status, found["kind"], found["within"]) == (1, kinds.HALF, "0002")
    assert (found["after"], found["todo"]) == (
        "after 1 or 2 of 2 statements",
        ["alembic upgrade head"],
    )
    project.alembic("upgrade", "head")
    assert where(project, database)[0] == 0


def test_where_follows_branches(project: Project, database: Database) -> None:
    project.table("0001")
    project.table("000a", "0001")
    project.table("000b", "0001")
    project.table("000c", "000b")
    project.revision("0002", ("000a", "000c"))
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    project.alembic("upgrade", "000a")
    project.alembic("upgrade", "000b")
    status, found = where(project, database)
    assert (status, found["revisions"]) == (0, [["000a", "000b"]])
    execute(database, "DROP TABLE alembic_version")
    assert adopt(project, database).out == "it: adopted, 000a, 000b\n"
    assert current(database) == ["000a", "000b"]
    project.alembic("upgrade", "head")
    execute(database, "DELETE FROM alembic_version")
    assert where(project, database)[1]["revisions"] == [["0002"]]  # a merge does nothing


def test_where_is_refused_when_the_file_is_older_than_the_history(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    history.table("0006", "0005")
    for name in ("where", "adopt"):
        outcome = command(history, name, it=database.url)
        assert outcome.status == 2
        assert "is older than the history" in outcome.out
        assert "it lacks 0006" in outcome.out


@sqlite
def test_where_makes_what_it_needs_when_there_is_no_file(
    history: Project, database: Database
) -> None:
    (history.directory / "migrations" / "schemas.json").unlink()
    history.alembic("upgrade", "0002")
    assert where(history, database)[1]["revisions"] == [["0002"]]
    assert not (history.directory / "migrations" / "schemas.json").exists()


def test_where_names_the_revision_that_one_follows_which_does_nothing_here(
    history: Project, database: Database
) -> None:
    history.revision("0006", "0005", "if op.get_bind().engine.name == 'oracle': op.execute('x')")
    write(history.directory / "alembic.ini", [database.url])
    history.alembic("upgrade", "0005")
    execute(database, "DROP TABLE alembic_version")
    _, found = where(history, database)
    assert (found["kind"], found["revisions"]) == (kinds.UNMARKED, [["0006"]])
    assert "or 0005: what comes after does nothing on this server" in found["notes"]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_where_says_upgrade_when_a_root_has_replaced_the_revision(
    project: Project, database: Database, kept: bool
) -> None:
    write_roots(project)
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    stand_at(project, database, "0004")
    if not kept:
        delete(project)
    _, found = where(project, database)
    assert (found["kind"], found["revisions"], found["marked"]) == (
        kinds.RIGHT,
        [["0005"]],
        ["0004"],
    )
    assert (found["unknown"], found["todo"]) == ([], ["alembic upgrade head"])
    outcome = command(project, "where", it=database.url)
    assert "0004 is 0005 now, which replaces it" in outcome.out
    assert "unknown" not in outcome.out
    assert project.alembic("upgrade", "head").status == 0
    assert where(project, database)[0] == 0


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_where_names_the_way_in_the_midst_of_what_a_root_replaces(
    project: Project, database: Database, kept: bool
) -> None:
    write_roots(project)
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    stand_at(project, database, "0002")
    if not kept:
        delete(project)
    status, found = where(project, database)
    assert status == 2
    assert ("stands before 0004" if kept else "alembic upgrade 0004\n") in found["error"]
    assert adopt(project, database).status == 2


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_where_says_the_revision_when_the_mark_is_a_replaced_one(
    project: Project, database: Database, kept: bool
) -> None:
    write_roots(project)
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    assert project.alembic("upgrade", "head").status == 0
    if not kept:
        delete(project)
    execute(database, "UPDATE alembic_version SET version_num = '0002'")
    _, found = where(project, database)
    assert (found["revisions"], found["unknown"]) == ([["0006"]], [])
    assert found["todo"] == ["alembic stamp --purge 0006"]
    assert project.alembic("stamp", "--purge", "0006").status == 0
    assert where(project, database)[0] == 0


@pytest.fixture(params=["lost", "relaxed"])
def strict(
    request: pytest.FixtureRequest, history: Project, database: Database
) -> tuple[Project, str]:
    """Return a project whose last table has two columns NOT NULL, which the database lacks."""
    made = "op.create_table('t_0006', sa.Column('id', sa.Integer, primary_key=True), "
    made += "sa.Column('n', sa.Integer, nullable=False), "
    made += "sa.Column('m', sa.Integer, nullable=False, server_default='1'))"
    history.revision("0006", "0005", made)
    write(history.directory / "alembic.ini", [database.url])
    history.alembic("upgrade", "0006")
    execute(database, "ALTER TABLE t_0006 DROP COLUMN n", "ALTER TABLE t_0006 DROP COLUMN m")
    if request.param == "relaxed":
        execute(database, *(f"ALTER TABLE t_0006 ADD COLUMN {name} INTEGER" for name in "nm"))
    return history, request.param


def test_where_says_which_columns_need_values_when_they_are_to_be_not_null(
    strict: tuple[Project, str], database: Database
) -> None:
    _, found = where(strict[0], database)
    assert found["revisions"][0] == ["0006"]
    notes = [note for note in found["notes"] if "NOT NULL without a default" in note]
    assert len(notes) == 1
    assert notes[0].startswith("t_0006.n is NOT NULL")
    assert "0006_test.py" in notes[0]
    execute(database, *found["sql"])  # there are no rows
    assert where(strict[0], database)[0] == 0


def test_sql_of_where_runs_over_rows_when_their_value_is_written_into_it(
    strict: tuple[Project, str], database: Database
) -> None:
    execute(database, "INSERT INTO t_0006 (id) VALUES (5)")
    sql = where(strict[0], database)[1]["sql"]
    assert sum(statement.count(VALUE) for statement in sql) == 1
    execute(database, *(statement.replace(VALUE, "7") for statement in sql))
    assert where(strict[0], database)[0] == 0
    assert rows(database, "SELECT n FROM t_0006") == [7]
    assert rows(database, "SELECT m FROM t_0006") == [1]


def test_sql_of_where_loses_nothing_when_it_fails_and_its_rest_is_run(
    strict: tuple[Project, str], database: Database
) -> None:
    execute(database, "INSERT INTO t_0006 (id) VALUES (5)")
    before = tables(database)
    sql = where(strict[0], database)[1]["sql"]
    failed = 0
    # As a client does that goes on after an error, one statement after the other.
    with database.engine.connect() as connection:
        one = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in sql:
            try:
                one.exec_driver_sql(statement)
            except sa.exc.DBAPIError:
                failed += 1
    assert failed
    assert tables(database) == before
    assert rows(database, "SELECT id FROM t_0006") == [5]
    assert where(strict[0], database)[1]["revisions"][0] == ["0006"]


@sqlite
def test_no_scratch_database_is_asked_for_where_a_file_is_made_by_itself(
    history: Project, database: Database
) -> None:
    (history.directory / "migrations" / "schemas.json").unlink()
    history.alembic("upgrade", "0002")
    outcome = command(history, "verify", it=database.url)
    assert outcome.status == 2
    assert "--scratch" not in outcome.out
    assert "What to do next:\n      alembic-toolkit where --write  # and" in outcome.out


@committing
def test_where_asks_for_a_scratch_database_when_there_is_no_file(
    history: Project, database: Database
) -> None:
    (history.directory / "migrations" / "schemas.json").unlink()
    outcome = command(history, "where", it=database.url)
    assert outcome.status == 2
    assert "where --write --scratch URL" in outcome.out


@committing
def test_stamp_is_not_the_only_way_when_a_killed_deploy_may_lack_rows(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.table("0002", "0001", upgrade="op.execute('INSERT INTO t_0002 VALUES (1)')")
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    project.alembic("upgrade", "0001")
    execute(database, "CREATE TABLE t_0002 (id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY)")
    _, found = where(project, database)
    assert (found["kind"], found["revisions"]) == (kinds.OTHER, [["0002"]])
    assert found["todo"] == [
        "alembic stamp 0002  # if 0002 has changed its rows too",
        "alembic upgrade head  # if 0002 was stopped before that",
    ]


@committing
def test_where_is_refused_when_the_user_does_not_see_all(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    url = sa.make_url(database.url)
    user = f"u_{url.database}"[:32]
    execute(
        database,
        f"CREATE USER '{user}'@'%' IDENTIFIED BY ''",
        f"GRANT SELECT ON {url.database}.alembic_version TO '{user}'@'%'",
    )
    try:
        mine = url.set(username=user).render_as_string(hide_password=False)
        outcome = command(history, "where", it=mine)
        assert outcome.status == 2
        assert "this user cannot see the whole schema" in outcome.out
        execute(database, f"GRANT SELECT, SHOW VIEW, TRIGGER ON {url.database}.* TO '{user}'@'%'")
        assert command(history, "where", it=mine).status == 0
    finally:
        execute(database, f"DROP USER '{user}'@'%'")


@pytest.mark.databases("postgresql")
def test_where_is_refused_when_the_user_may_not_use_the_schema(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    url = sa.make_url(database.url)
    user = f"u_{url.database}"
    execute(database, f"CREATE ROLE {user} LOGIN", "REVOKE ALL ON SCHEMA public FROM public")
    try:
        mine = url.set(username=user).render_as_string(hide_password=False)
        outcome = command(history, "where", it=mine)
        assert outcome.status == 2
        assert "this user cannot see the whole schema" in outcome.out
        execute(database, f"GRANT USAGE ON SCHEMA public TO {user}")
        outcome = command(history, "where", it=mine)
        assert outcome.status == 2
        assert "permission denied for table alembic_version" in outcome.out
    finally:
        execute(database, f"DROP OWNED BY {user}", f"DROP ROLE {user}")


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_what_env_py_makes_by_itself_is_no_difference(project: Project, database: Database) -> None:
    code = "CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, n INTEGER UNIQUE)"
    env = f"""
import sqlalchemy as sa
from alembic import context
from sqlalchemy import text
url = context.config.get_main_option("sqlalchemy.url")
engine = sa.create_engine(url, poolclass=sa.NullPool)
with engine.connect() as connection:
    if not sa.inspect(connection).has_table("audit"):
        connection.execute(text({code!r}))
    connection.commit()
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
    project.write("migrations/env.py", env)
    project.table("0001")
    project.revision("0002", "0001", "op.add_column('audit', sa.Column('x', sa.Integer))")
    database.engine.dispose()
    file = write(project.directory / "alembic.ini", [database.url]).path
    assert '"audit"' in file.read_text().partition('"servers"')[0]
    for revision in ("0001", "0002"):
        project.alembic("upgrade", revision)
        assert f"{revision}, exactly" in command(project, "where", it=database.url).out
        assert command(project, "verify", it=database.url).status == 0
    execute(database, "CREATE TABLE another (id INT)")
    assert [one["name"] for one in where(project, database)[1]["extra"]] == ["another"]


@pytest.mark.databases("postgresql")
def test_user_who_may_not_use_a_schema_of_the_history_is_refused(
    project: Project, database: Database
) -> None:
    code = "op.execute('CREATE SCHEMA audit')\nop.execute('CREATE TABLE audit.log (id INT)')\n"
    project.table("0001", upgrade=code)
    database.engine.dispose()
    write(project.directory / "alembic.ini", [database.url])
    project.alembic("upgrade", "head")
    url = sa.make_url(database.url)
    user = f"u_{url.database}"
    execute(
        database,
        f"CREATE ROLE {user} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}",
        "CREATE SCHEMA other",
    )
    try:
        mine = url.set(username=user).render_as_string(hide_password=False)
        for verb in ("where", "verify", "adopt"):
            outcome = command(project, verb, it=mine)
            assert outcome.status == 2, outcome
            assert f"GRANT USAGE ON SCHEMA audit TO {user};" in outcome.out
        execute(database, f"GRANT USAGE ON SCHEMA audit TO {user}")
        assert command(project, "where", it=mine).status == 0
        assert command(project, "verify", it=mine).status == 0
    finally:
        execute(database, f"DROP OWNED BY {user}", f"DROP ROLE {user}")


def test_adopt_writes_once_when_two_do_it_at_the_same_time(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "0002")
    execute(database, "DROP TABLE alembic_version", "DROP TABLE alembic_version_history")
    database.engine.dispose()
    argv = [sys.executable, "-m", "alembic_toolkit.cli", "adopt", f"--url=it={database.url}"]
    argv += ["-c", str(history.directory / "alembic.ini"), "--timeout=100"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate()[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert current(database) == ["0002"]
    assert rows(database, "SELECT direction FROM alembic_version_history") == ["adopted"]
