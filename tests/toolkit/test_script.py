"""Scripts that skip what a database has: one file for all of them, and harmless the second time."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from alembic_toolkit import cli
from alembic_toolkit.script import parts, postgresql
from alembic_toolkit.sql import statements
from tests.databases import Database
from tests.helpers.scripts import run_with_client
from tests.toolkit.conftest import Outcome, Project, current, execute, rows, tables

SERVERS = ("postgresql", "mariadb", "mysql")
PLAIN_ENV = """\
from alembic import context

if not context.is_offline_mode():
    raise SystemExit("a script needs no database")
context.configure(url="{url}", version_table="versions")
with context.begin_transaction():
    context.run_migrations()
"""


def sql(project: Project, *argv: str) -> Outcome:
    """Run `alembic-toolkit sql`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = cli.main(["sql", "-c", str(project.directory / "alembic.ini"), *argv])
    return Outcome(status, out.getvalue(), err.getvalue())


def script(project: Project, *argv: str) -> str:
    outcome = sql(project, *argv)
    assert outcome.status == 0, outcome.err
    return outcome.out


def seed(id_: str) -> str:
    return f"op.execute(\"INSERT INTO seen (id) VALUES ('{id_}')\")\n"


def safe(name: str) -> str:
    return f"op.create_table({name!r}, sa.Column('id', sa.Integer), if_not_exists=True)\n"


@pytest.fixture
def branches(project: Project) -> Project:
    """Return a history that splits, merges and depends; each revision leaves one row in `seen`."""
    make = "op.create_table('seen', sa.Column('id', sa.String(20)))\n"

    def revision(id_: str, after: str | tuple[str, ...] | None, head: str = "") -> None:
        project.revision(
            id_,
            after,
            (make if after is None and id_ == "a1" else "") + seed(id_),
            f"op.execute(\"DELETE FROM seen WHERE id = '{id_}'\")",
            head,
        )

    revision("a1", None)
    revision("b1", "a1")
    revision("c1", "a1")
    revision("b2", "b1")
    revision("c2", "c1", "depends_on = 'b1'")
    revision("m1", ("b2", "c2"))
    revision("m2", "m1")
    return project


# From wherever a database stands


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize(
    "stands", [[], ["a1"], ["b1"], ["c1"], ["b2"], ["b2", "c1"], ["c2"], ["m1"], ["m2"]]
)
def test_one_script_brings_every_database_to_head(
    branches: Project, database: Database, stands: list[str]
) -> None:
    for revision in stands:
        assert branches.alembic("upgrade", revision).status == 0
    upgrade = script(branches)
    for _ in range(2):
        run_with_client(database, upgrade)
        assert current(database) == ["m2"]
        assert sorted(rows(database, "SELECT id FROM seen")) == [
            "a1",
            "b1",
            "b2",
            "c1",
            "c2",
            "m1",
            "m2",
        ]


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize(
    ("stands", "end"),
    [
        *((stands, "a1") for stands in (["a1"], ["b1"], ["b2", "c1"], ["c2"], ["m1"], ["m2"])),
        *((stands, "b1") for stands in (["b1"], ["b2", "c1"], ["m1"], ["m2"])),
        *((stands, "b2") for stands in (["b2", "c1"], ["m1"], ["m2"])),
    ],
)
def test_one_script_takes_every_database_down(
    branches: Project, database: Database, stands: list[str], end: str
) -> None:
    for revision in stands:
        branches.alembic("upgrade", revision)
    assert branches.alembic("downgrade", end).status == 0
    wanted = current(database), sorted(rows(database, "SELECT id FROM seen"))
    for revision in stands:
        branches.alembic("upgrade", revision)
    downgrade = script(branches, "--from", "m2", "--to", end)
    for _ in range(2):
        run_with_client(database, downgrade)
        assert (current(database), sorted(rows(database, "SELECT id FROM seen"))) == wanted


@pytest.mark.databases(*SERVERS)
def test_alembics_own_script_can_be_run_twice(branches: Project, database: Database) -> None:
    upgrade = branches.alembic("upgrade", "base:head", "--sql").out
    downgrade = branches.alembic("downgrade", "head:base", "--sql").out
    for _ in range(2):
        run_with_client(database, upgrade)
        assert current(database) == ["m2"]
        assert len(rows(database, "SELECT id FROM seen")) == 7

    for _ in range(2):
        run_with_client(database, downgrade)
        assert current(database) == []
        assert rows(database, "SELECT id FROM seen") == []


@pytest.mark.databases(*SERVERS)
def test_script_of_the_last_revision_names_few_others(project: Project, database: Database) -> None:
    ids = [f"{number:04}" for number in range(1, 21)]
    for before, id_ in zip([None, *ids], ids, strict=False):
        project.table(id_, before)
    last = script(project, "--from", "0019")
    assert "0018" not in last
    project.alembic("upgrade", "0019")
    for _ in range(2):
        run_with_client(database, last)
        assert current(database) == ["0020"]
        assert "t_0020" in tables(database)


# Where it must not run


@pytest.mark.databases(*SERVERS)
def test_script_stops_when_the_database_is_behind_its_beginning(
    branches: Project, database: Database
) -> None:
    branches.alembic("upgrade", "a1")
    with pytest.raises(AssertionError, match="revision b2 comes after b1, which is not there"):
        run_with_client(database, script(branches, "--from", "b1", "--to", "b2"))
    assert (current(database), rows(database, "SELECT id FROM seen")) == (["a1"], ["a1"])


@pytest.mark.databases(*SERVERS)
def test_script_stops_when_the_database_is_of_another_history(
    branches: Project, database: Database
) -> None:
    branches.alembic("upgrade", "a1")
    execute(database, "UPDATE alembic_version SET version_num = 'zzz'")
    with pytest.raises(AssertionError, match="at a revision that this history does not have"):
        run_with_client(database, script(branches))
    assert (current(database), rows(database, "SELECT id FROM seen")) == (["zzz"], ["a1"])


@pytest.mark.databases(*SERVERS)
def test_downgrade_stops_when_a_later_revision_is_there(
    branches: Project, database: Database
) -> None:
    branches.alembic("upgrade", "m2")
    with pytest.raises(AssertionError, match="m1 cannot be taken back: one that comes after it"):
        run_with_client(database, script(branches, "--from", "m1", "--to", "b2"))
    assert current(database) == ["m2"]


@pytest.mark.databases("postgresql")
def test_script_keeps_nothing_of_a_revision_that_fails(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.table("0002", "0001", upgrade="op.execute('SELECT 1 / 0')")
    with pytest.raises(AssertionError, match="division by zero"):
        run_with_client(database, script(project))
    assert current(database) == ["0001"]
    assert tables(database) == {"alembic_version", "t_0001"}


# What revisions write


@pytest.mark.databases(*SERVERS)
def test_statements_reach_the_server_as_they_were_written(
    project: Project, database: Database
) -> None:
    values = ["it's", 'a "b"', "50%", "$sql$ $alembic$", "; DROP TABLE t", "-- no", "/* no */"]
    values += ["a  b\n  c\t.", "COMMIT;", "é", "# 1", "x\\y", "`", "😀", "  SELECT  1 ,  2 " * 9]
    project.revision(
        "0001",
        upgrade="t = op.create_table('t', sa.Column('id', sa.Integer), sa.Column('v', sa.Text))\n"
        f"for number, value in enumerate({values!r}):\n"
        "    op.execute(sa.insert(t).values(id=number, v=value))",
    )
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT v FROM t ORDER BY id") == values


@pytest.mark.databases(*SERVERS)
def test_several_statements_in_one_text_all_run(project: Project, database: Database) -> None:
    text = "CREATE TABLE t (v VARCHAR(9)); INSERT INTO t VALUES ('a;b'); INSERT INTO t VALUES ('c')"
    project.revision("0001", upgrade=f'op.execute("{text};")')
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT v FROM t ORDER BY v") == ["a;b", "c"]


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize(
    "value", [r"'C:\\'", r"'it\'s; '", r"""'\\"; \\'""", r'"C:\\"', "'a' # it's;\n"]
)
def test_statements_end_where_mariadb_ends_them(
    project: Project, database: Database, value: str
) -> None:
    text = f"CREATE TABLE t (v TEXT); INSERT INTO t VALUES ({value}); INSERT INTO t VALUES ('z')"
    project.revision("0001", upgrade=f"op.execute({text!r})")
    with database.engine.connect() as connection:
        wanted = connection.exec_driver_sql(f"SELECT {value}").scalar()
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT v FROM t WHERE v <> 'z'") == [wanted]
        assert rows(database, "SELECT v FROM t WHERE v = 'z'") == ["z"]


@pytest.mark.databases("postgresql")
def test_what_leaves_the_transaction_is_skipped_too(project: Project, database: Database) -> None:
    project.table("0001")
    project.revision(
        "0002",
        "0001",
        upgrade="op.execute('INSERT INTO t_0001 (id) VALUES (1)')\n"
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE INDEX CONCURRENTLY ix ON t_0001 (id)')\n"
        "op.execute('INSERT INTO t_0001 (id) VALUES (2)')",
    )
    project.revision("0003", "0002", upgrade="op.execute('DROP INDEX ix')")
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t_0001 ORDER BY id") == [1, 2]
        assert rows(database, "SELECT 1 FROM pg_class WHERE relname = 'ix'") == []


@pytest.mark.databases("mysql")
@pytest.mark.parametrize("done", [False, True])
def test_script_stops_before_anything_runs_at_what_mysql_cannot_prepare(
    done: bool, project: Project, database: Database
) -> None:
    project.table("0001")
    trigger = (
        "CREATE DEFINER = CURRENT_USER TRIGGER r BEFORE INSERT ON t_0001 FOR EACH ROW SET @a = 1"
    )
    project.revision("0002", "0001", f"op.execute({trigger!r})\n")
    project.table("0003", "0002")
    text = script(project)
    if done:  # then it is skipped
        assert project.alembic("upgrade", "0002").status == 0
        run_with_client(database, text)
        assert rows(database, "SELECT version_num FROM alembic_version") == ["0003"]
        return
    with pytest.raises(AssertionError, match="0002 has CREATE TRIGGER: on MySQL run upgrade with"):
        run_with_client(database, text)
    assert rows(database, "SELECT version_num FROM alembic_version") == []
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    assert rows(database, tables) == ["alembic_version"]


@pytest.mark.databases("mariadb")
def test_body_of_a_trigger_is_one_statement(project: Project, database: Database) -> None:
    project.table("0001")
    body = "BEGIN SET NEW.id = NEW.id + 1; SET NEW.id = NEW.id + 1; END"
    project.revision(
        "0002",
        "0001",
        upgrade=f"op.execute('CREATE TRIGGER g BEFORE INSERT ON t_0001 FOR EACH ROW {body}')",
    )
    for _ in range(2):
        run_with_client(database, script(project))
    execute(database, "INSERT INTO t_0001 VALUES (1)")
    assert rows(database, "SELECT id FROM t_0001") == [3]


@pytest.mark.databases("mariadb")
def test_body_of_a_trigger_ends_before_what_follows(project: Project, database: Database) -> None:
    body = "BEGIN SET NEW.id = CASE NEW.id WHEN 1 THEN 2 END; SET NEW.id = NEW.id + 1; END"
    trigger = f"CREATE TRIGGER g BEFORE INSERT ON t_0001 FOR EACH ROW {body}"
    text = f"{trigger}; INSERT INTO t_0001 VALUES (1)"
    project.table("0001", upgrade=f"op.execute({text!r})")
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t_0001") == [3]


@pytest.mark.databases(*SERVERS)
def test_callback_of_a_version_is_part_of_its_revision(
    project: Project, database: Database
) -> None:
    project.write(
        "migrations/env.py",
        "from alembic import context\n"
        "from alembic_toolkit.runner import run\n\n"
        "def note(ctx, step, **kw):\n"
        '    ctx.impl.execute("INSERT INTO t_0001 (id) VALUES (%s)"'
        " % int(step.up_revision_id))\n\n"
        "run(context, on_version_apply=note)\n",
    )
    project.table("0001")
    project.table("0002", "0001")
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t_0001 ORDER BY id") == [1, 2]


HELPERS = "import alembic_helpers as helpers"


@pytest.mark.databases(*SERVERS, "sqlite")
def test_data_steps_of_the_helpers_run_once(project: Project, database: Database) -> None:
    project.revision("0001", upgrade=safe("t"), head=HELPERS)
    project.revision(
        "0002",
        "0001",
        "t = sa.table('t', sa.column('id', sa.Integer))\n"
        "helpers.bulk_insert(t, [{'id': 1}, {'id': 2}], key=['id'])\n"
        "helpers.execute('UPDATE t SET id = id * 10', unless='SELECT 1 FROM t WHERE id > 9')",
        head=HELPERS,
    )
    project.revision("0003", "0002", "op.execute('DELETE FROM t WHERE id = 20')")
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t") == [10]


@pytest.mark.databases("postgresql", "mariadb")
def test_body_in_a_file_is_one_statement(project: Project, database: Database) -> None:
    body = {
        "mariadb": "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW\nBEGIN\n"
        "  SET NEW.id = NEW.id + 1;\n  SET NEW.id = NEW.id + 1;\nEND",
        "postgresql": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"
        "  NEW.id := NEW.id + 2;\n  RETURN NEW;\nEND $$;\n"
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    }[database.kin]
    project.write("migrations/versions/g.sql", f"{body};\nINSERT INTO t VALUES (1);\n")
    upgrade = safe("t") + "helpers.execute_file('g.sql')"
    project.revision("0001", upgrade=upgrade, head=HELPERS)
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t") == [3]


# The page


@pytest.mark.databases("postgresql")
def test_each_revision_says_its_id_its_file_and_why(project: Project) -> None:
    path = project.table("0001")
    path.write_text(path.read_text().replace("Revision 0001.", "Say why: $x$ ;\\n'-- and more."))
    lines = script(project).splitlines()
    start = lines.index("-- Running upgrade (base) -> 0001")
    assert lines[start + 1] == f"-- {path}: Say why: $x$ ;"
    assert (
        lines[2]
        == "-- The upgrade from base to 0001, for a database that stands anywhere between them."
    )


@pytest.mark.databases(*SERVERS)
def test_size_grows_linearly_with_the_history(tmp_path: Path, database: Database) -> None:
    sizes = []
    for count in (50, 100):
        project = Project(tmp_path / str(count), database.url)
        ids = [f"{number:04}" for number in range(1, count + 1)]
        for before, id_ in zip([None, *ids], ids, strict=False):
            project.table(id_, before)
        sizes.append(len(script(project)))
    assert sizes[1] < 2.05 * sizes[0]


@pytest.mark.databases("postgresql")
def test_nothing_is_written_when_a_revision_cannot_be(project: Project) -> None:
    project.table("0001")
    project.revision("0002", "0001", upgrade="sa.inspect(op.get_bind())")
    outcome = project.alembic("upgrade", "head", "--sql")
    assert outcome.out.startswith("FAILED: sa.inspect(op.get_bind()): there is no --sql form")
    assert "CREATE TABLE" not in outcome.out


# Which database


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb", "mysql"])
def test_dialect_decides_whatever_env_says(project: Project, dialect: str) -> None:
    project.table("0001")
    written = script(project, "--dialect", dialect)
    assert ("DO $alembic$" in written) == (dialect == "postgresql")
    assert ("PREPARE alembic_statement" in written) == (dialect != "postgresql")


@pytest.mark.databases(*SERVERS)
def test_url_is_only_looked_at(offline: Project, database: Database) -> None:
    offline.table("0001")
    url = database.url.replace(":3", ":1")
    for _ in range(2):
        run_with_client(database, script(offline, "--url", url))
        assert tables(database) == {"alembic_version", "t_0001"}


@pytest.mark.databases(*SERVERS)
def test_env_of_another_project_is_run_as_it_is(project: Project, database: Database) -> None:
    project.write("migrations/env.py", PLAIN_ENV.format(url=database.url))
    project.table("0001")
    project.table("0002", "0001", upgrade='op.execute("INSERT INTO t_0001 VALUES (7)")')
    for _ in range(2):
        run_with_client(database, script(project))
        assert tables(database) == {"versions", "t_0001", "t_0002"}
        assert rows(database, "SELECT version_num FROM versions") == ["0002"]
        assert rows(database, "SELECT id FROM t_0001") == [7]


@pytest.mark.databases("sqlite")
def test_unknown_revision_is_one_line(project: Project) -> None:
    project.table("0001")
    outcome = sql(project, "--to", "nope")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == "alembic-toolkit sql: Can't locate revision identified by 'nope'\n"


@pytest.mark.databases("sqlite")
def test_nothing_to_do_is_a_comment(project: Project) -> None:
    project.table("0001")
    assert script(project, "--from", "0001").startswith("-- Nothing to do")


@pytest.mark.databases("sqlite")
def test_dialect_without_a_guard_is_refused(project: Project) -> None:
    project.table("0001")
    outcome = sql(project, "--url", "mssql+pyodbc://host/name")
    assert outcome.status == 2
    assert "there are no scripts for 'mssql' that skip what is done" in outcome.err


# SQLite


@pytest.mark.databases("sqlite")
def test_sqlite_skips_rows_and_repeats_what_is_harmless(
    project: Project, database: Database
) -> None:
    project.revision("0001", upgrade=safe("t") + "op.execute('INSERT INTO t VALUES (1)')")
    project.revision("0002", "0001", "op.execute('UPDATE t SET id = id * 10')")
    project.revision("0003", "0002", "op.drop_table('gone', if_exists=True)\n" + safe("u"))
    project.alembic("upgrade", "0001")
    for _ in range(2):
        run_with_client(database, script(project))
        assert (current(database), rows(database, "SELECT id FROM t")) == (["0003"], [10])
        assert tables(database) == {"alembic_version", "t", "u"}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE t ADD x", "PRAGMA user_version = 1", "WITH a AS (SELECT 1) DELETE FROM t"],
)
def test_sqlite_refuses_what_it_cannot_skip(project: Project, statement: str) -> None:
    path = project.revision("0001", upgrade=f"op.execute('{statement}')")
    outcome = sql(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"revision 0001 cannot be part of a script for SQLite: {path}" in outcome.err
    assert f"  found   {statement}\n" in outcome.err


@pytest.mark.databases("sqlite")
def test_sqlite_guards_what_plain_alembic_writes(project: Project, database: Database) -> None:
    project.table("0001", upgrade="op.create_index('ix', 't_0001', ['id'], unique=True)")
    project.revision("0002", "0001", "op.drop_index('ix')")
    for _ in range(2):
        run_with_client(database, script(project))
        assert tables(database) == {"alembic_version", "t_0001"}
        assert rows(database, "SELECT name FROM sqlite_master WHERE name = 'ix'") == []


@pytest.mark.databases("sqlite")
def test_sqlite_refuses_a_table_that_is_made_anew(project: Project) -> None:
    project.revision("0001", upgrade=safe("T"))
    project.revision("0002", "0001", "op.drop_table('t', if_exists=True)\n" + safe("T"))
    outcome = sql(project)
    assert (outcome.status, outcome.out) == (2, "")
    assert "it makes a table again that the script drops" in outcome.err


@pytest.mark.databases("sqlite")
def test_sqlite_stops_when_the_database_is_beyond_the_end(
    project: Project, database: Database
) -> None:
    project.revision("0001", upgrade=safe("t"))
    project.revision("0002", "0001", "op.drop_table('t', if_exists=True)")
    project.revision("0003", "0002", safe("t") + "op.execute('INSERT INTO t VALUES (1)')")
    project.alembic("upgrade", "0003")
    with pytest.raises(AssertionError, match="this database is beyond the end of this script"):
        run_with_client(database, script(project, "--to", "0002"))
    assert rows(database, "SELECT id FROM t") == [1]


# Large ones


@pytest.mark.databases(*SERVERS, "sqlite")
@pytest.mark.parametrize("most", [1, 150, 1_000_000])
def test_what_is_too_much_for_memory_is_kept_in_a_file(
    project: Project, database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(parts, "MOST_IN_MEMORY", most)
    monkeypatch.setattr(postgresql, "MOST_IN_BLOCK", most)
    monkeypatch.setattr(statements, "WINDOW", most)
    insert = "INSERT INTO t VALUES ({});\n"
    seed_ = "".join(insert.format(number) for number in range(20))
    project.write("migrations/versions/seed.sql", f"\ufeff{seed_}UPDATE t SET id = id + 1")
    project.revision("0001", upgrade=safe("t") + "helpers.execute_file('seed.sql')", head=HELPERS)
    project.revision(
        "0002",
        "0001",
        "for number in range(50, 60):\n"
        "    helpers.execute('INSERT INTO t VALUES (%s)' % number, once=str(number))",
        head=HELPERS,
    )
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t ORDER BY id") == [*range(1, 21), *range(50, 60)]
