"""What ends a revision, in words: the server's refusal of any statement, and ``sys.exit``."""

import signal
import time

import pytest
import sqlalchemy as sa

from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.deployers import journal, start, until

HEAD = "import sys\nimport alembic_helpers as helpers"
BIND = "op.get_bind().exec_driver_sql"
STATEMENTS = {
    "Alembic": ("op.execute('UPDATE bills SET nothing = 1')", "nothing"),
    "the verbs": ("helpers.execute('UPDATE bills SET nothing = 1')", "nothing"),
    "the connection": (f"{BIND}('UPDATE bills SET nothing = 1')", "nothing"),
    "wrong SQL": ("op.execute('FROB bills')", "FROB"),
    "duplicates": (f"{BIND}('INSERT INTO bills VALUES (1)')", "1"),
    "rows of Alembic": (
        "op.bulk_insert(sa.table('bills', sa.column('id')), [{'id': 1}])",
        "INSERT INTO bills",
    ),
    "rows of the verbs": (
        "helpers.bulk_insert(sa.table('bills', sa.column('id')), [{'id': 1}])",
        "INSERT INTO bills",
    ),
    "a once step": ("helpers.execute('UPDATE bills SET nothing = 1', once='x')", "nothing"),
    "a condition": ("helpers.execute('SELECT 1', unless='SELECT nothing FROM bills')", "nothing"),
    "a table": ("op.create_table('bills', sa.Column('id', sa.Integer))", "CREATE TABLE bills"),
    "a backfill": (
        "helpers.backfill('bills', {'id2': sa.text('nothing')}, where='id2 IS NULL')",
        "nothing",
    ),
}


@pytest.fixture
def bills(project: Project, database: Database) -> Project:
    """Return a project whose database has a table with a row."""
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, id2 INTEGER)")
    execute(database, "INSERT INTO bills (id) VALUES (1)")
    return project


@pytest.mark.parametrize("name", STATEMENTS)
def test_refused_statement_is_told_in_four_parts(
    name: str, bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, shown = STATEMENTS[name]
    statement = statement.replace("VALUES (1)", "(id) VALUES (1)")
    bills.table("0001")
    bills.revision("0002", "0001", upgrade=statement, head=HEAD)
    monkeypatch.chdir(bills.directory)
    message = bills.refusal("upgrade", "head")
    asked, has, wants, why, title, *code = message.splitlines()
    assert asked.startswith("migrations/versions/0002_test.py:9: ")
    assert "refused" in asked
    assert has.startswith("  database has:    ")
    assert len(has) > 30
    assert wants.startswith("  revision wants:  ")
    assert shown in has + wants
    assert why.startswith("Stopped, because ")
    assert title == "What to do next:"
    assert all(line.startswith("    ") for line in code)
    assert current(database) == ["0001"]
    assert [row[2] for row in journal(database)] == ["done", "failed"]


def test_error_of_python_keeps_its_traceback(bills: Project, database: Database) -> None:
    bills.revision("0001", upgrade="op.execute(missing)")
    with pytest.raises(NameError):
        bills.alembic("upgrade", "head")


@pytest.mark.parametrize("call", ["sys.exit(0)", "sys.exit()", "raise SystemExit", "exit(0)"])
def test_exit_within_a_revision_is_no_success(
    call: str, bills: Project, database: Database
) -> None:
    bills.table("0001")
    bills.revision("0002", "0001", upgrade=f"op.execute('DELETE FROM bills')\n{call}", head=HEAD)
    message = bills.refusal("upgrade", "head")
    assert "0002_test.py:10: upgrade of 0002 ended the command by sys.exit();" in message
    assert current(database) == ["0001"]
    assert rows(database, "SELECT id FROM bills") == [1]
    assert [row[2] for row in journal(database)] == ["done", "failed"]


def test_exit_with_a_status_keeps_it(bills: Project, database: Database) -> None:
    bills.revision("0001", upgrade="sys.exit(3)", head=HEAD)
    assert bills.alembic("upgrade", "head").status == 3
    assert tables(database) >= {"bills"}
    assert current(database) == []


# Interrupted

SLOW = {
    "sqlite": "CREATE TABLE large AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c"
    " WHERE x < 900000000) SELECT sum(x) AS s FROM c",
    "postgresql": "SELECT pg_sleep(60)",
    "mariadb": "SELECT SLEEP(60)",
}


@pytest.mark.long
@pytest.mark.parametrize("call", ["op.execute", "helpers.execute", BIND])
def test_interruption_ends_a_statement(call: str, bills: Project, database: Database) -> None:
    flag = bills.directory / "running"
    touch = (
        f"op.execute('DELETE FROM bills')\nimport pathlib\npathlib.Path({str(flag)!r}).touch()\n"
    )
    bills.revision("0001", upgrade=f"{touch}{call}({SLOW[database.kin]!r})", head=HEAD)
    process = start(
        bills,
        "upgrade",
        "head",
        # a shell that starts us in the background has SIGINT ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until(flag.exists)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert "upgrade of 0001 was interrupted; nothing of it is kept." in printed
    assert journal(database) == [("0001", "up", "failed")]
    assert rows(database, "SELECT id FROM bills") == [1]


@pytest.mark.databases("postgresql")
def test_upgrade_refuses_the_version_table_of_another_schema(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    execute(database, "CREATE SCHEMA tenant")
    url = sa.make_url(database.url).update_query_dict({"options": "-csearch_path=tenant,public"})
    text = url.render_as_string(hide_password=False)
    env = "from alembic import context\nfrom alembic_toolkit.runner import run\n"
    env += f"run(context, {text!r}{{}})"
    project.write("migrations/env.py", env.format(""))
    message = project.refusal("upgrade", "head")
    assert "found   public.alembic_version, and none in tenant" in message
    assert project.alembic("current").status == 0
    project.write("migrations/env.py", env.format(", version_table_schema='public'"))
    assert project.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'tenant'") == [0]
    project.write("migrations/env.py", env.format(", version_table_schema='tenant'"))
    assert project.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT count(*) FROM tenant.t_0001") == [0]
    project.write("migrations/env.py", env.format(""))  # now it is the first one of the path
    assert project.alembic("upgrade", "head").status == 0


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("command", ["current", "check", "upgrade head"])
def test_revision_that_the_database_names_reaches_no_terminal_raw(
    bills: Project, database: Database, command: str
) -> None:
    bills.revision("0001")
    bills.have_models()  # which `alembic check` wants
    assert bills.alembic("upgrade", "head").status == 0
    execute(
        database, "UPDATE alembic_version SET version_num = 'x' || char(27) || '[2J' || char(10)"
    )
    outcome = bills.alembic(*command.split())
    assert outcome.status != 0
    assert "identified by 'x\\x1b[2J\\n'" in outcome.out
    assert "\x1b" not in outcome.out + outcome.err
