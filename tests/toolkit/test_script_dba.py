"""What a script tells whoever runs it, and what it leaves behind, as `alembic upgrade` does."""

from __future__ import annotations

import re
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_toolkit.database import journal
from tests.databases import Database
from tests.helpers.scripts import run_to_the_end, run_with_client
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.test_script import HELPERS, PLAIN_ENV, safe, script, sql

SERVERS = ("postgresql", "mariadb", "mysql", "sqlite")
JOURNAL = "alembic_version_history"


@pytest.fixture
def history(project: Project) -> Project:
    """Return a history of two revisions that every server has scripts for."""
    project.revision("0001", upgrade=safe("t"), downgrade="op.drop_table('t', if_exists=True)")
    insert, delete = "op.execute('INSERT INTO t VALUES (1)')", "op.execute('DELETE FROM t')"
    project.revision("0002", "0001", insert, delete)
    return project


# When, by what, from which commit


def git(project: Project, *arguments: str) -> str:
    name = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    command = ["git", "-C", str(project.directory), *name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.databases("sqlite")
def test_heading_says_when_by_what_and_from_which_commit(
    history: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert "\n-- Written on 1970-01-02 by alembic-toolkit " in script(history)
    assert "from commit" not in script(history)
    git(history, "init", "-q")
    git(history, "add", ".")
    git(history, "commit", "-q", "-m", "x")
    commit = git(history, "rev-parse", "--short=12", "HEAD")
    for text in (script(history), history.alembic("upgrade", "head", "--sql").out):
        assert re.search(rf"(?m)^-- Written on .* from commit {commit}$", text)
    history.revision("0003", "0002", "op.execute('DELETE FROM t')")
    assert f"from commit {commit}, with changes that are not committed\n" in script(history)


@pytest.mark.databases("sqlite")
def test_heading_has_the_day_of_today(history: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = datetime.now(timezone.utc).date()
    [found] = re.findall(r"Written on (\S+) ", script(history))
    assert before <= datetime.fromisoformat(found).date() <= datetime.now(timezone.utc).date()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("value", ["soon", "1e999", "9" * 30])
def test_day_that_is_none_is_refused(
    history: Project, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    outcome = sql(history)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"SOURCE_DATE_EPOCH is {value!r}, which is not a number of seconds" in outcome.err


# How long it waits for a lock

TIMEOUTS = {
    "postgresql": ["SET lock_timeout = '2500ms';"],
    "mysql": ["SET SESSION lock_wait_timeout = 3;", "SET SESSION innodb_lock_wait_timeout = 3;"],
    "sqlite": ["PRAGMA busy_timeout = 2500;"],
}


@pytest.mark.databases(*SERVERS)
def test_script_waits_for_locks_as_long_as_it_was_told(
    history: Project, database: Database
) -> None:
    wanted = TIMEOUTS["mysql" if database.kin == "mariadb" else database.kin]
    asked = history.alembic("-x", "lock_timeout=2.5", "upgrade", "head", "--sql").out
    for text in (script(history, "--lock-timeout", "2.5"), asked):
        lines = text.splitlines()
        assert all(lines.count(line) == 1 for line in wanted)
        assert max(map(lines.index, wanted)) < lines.index("-- Running upgrade (base) -> 0001")
    for _ in range(2):
        run_with_client(database, script(history, "--lock-timeout", "2.5"))
        assert (current(database), rows(database, "SELECT id FROM t")) == (["0002"], [1])
    text = script(history)
    assert not any(line in text for line in wanted)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_wait_that_is_none_is_refused(
    history: Project, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        sql(history, f"--lock-timeout={value}")
    assert raised.value.code == 2


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_script_that_waited_for_a_lock_can_be_run_again(
    history: Project, database: Database
) -> None:
    history.revision("0003", "0002", "op.add_column('t', sa.Column('x', sa.Integer))")
    history.alembic("upgrade", "0002")
    text = script(history, "--lock-timeout", "0.05")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE t SET id = 1")
        connection.exec_driver_sql("SELECT * FROM t")
        assert "lock" in run_to_the_end(database, text).lower()
        assert current(database) == ["0002"]
    for _ in range(2):
        run_with_client(database, text)
        assert current(database) == ["0003"]


@pytest.mark.databases("postgresql")
def test_index_built_concurrently_waits_as_long_as_it_takes(
    project: Project, database: Database
) -> None:
    project.revision("0001", upgrade=safe("t"), head=HELPERS)
    index = "helpers.create_index('ix', 't', ['id'], postgresql_concurrently=True)"
    project.revision("0002", "0001", index, head=HELPERS)
    text = script(project, "--lock-timeout", "1")
    before, after = text.split("SELECT $sql$CREATE INDEX CONCURRENTLY")
    assert before.endswith("SET lock_timeout = 0;\n")
    assert after.partition("\n\n")[0].endswith("SET lock_timeout = '1000ms';")
    for _ in range(2):
        run_with_client(database, text)
        assert current(database) == ["0002"]


# The journal


def entries(database: Database) -> list[tuple[object, ...]]:
    """Return what the journal says of each run, but not when and by whom."""
    wanted = "revision, direction, outcome, error, sha256, versions, retries"
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT {wanted} FROM {JOURNAL} ORDER BY id")
        return [tuple(row) for row in found]


@pytest.mark.databases(*SERVERS)
def test_script_leaves_the_journal_that_an_upgrade_leaves(
    history: Project, database: Database
) -> None:
    history.alembic("upgrade", "head")
    history.alembic("downgrade", "0001")
    wanted = entries(database)
    execute(database, f"DROP TABLE {JOURNAL}", "DROP TABLE alembic_version", "DROP TABLE t")
    before = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(minutes=1)
    for _ in range(2):
        run_with_client(database, script(history))
        assert entries(database) == wanted[:2]
    for _ in range(2):
        run_with_client(database, script(history, "--from", "0002", "--to", "0001"))
        assert entries(database) == wanted
    with database.engine.connect() as connection:
        entry = journal.last(connection)
        assert journal.edited(connection, directory_of(history)) == []
    assert entry is not None
    assert entry.finished is not None
    assert before < entry.started <= entry.finished < before + timedelta(minutes=30)
    assert entry.who.endswith(" by a script")


def directory_of(project: Project) -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(project.directory / "alembic.ini"))


@pytest.mark.databases(*SERVERS)
def test_script_that_must_not_run_writes_no_journal(history: Project, database: Database) -> None:
    execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(database, "INSERT INTO alembic_version VALUES ('zzz')")
    run_to_the_end(database, script(history))
    with database.engine.connect() as connection:
        assert journal.last(connection) is None
    assert tables(database) == {"alembic_version"}


@pytest.mark.databases(*SERVERS)
def test_what_failed_is_not_in_the_journal_as_done(history: Project, database: Database) -> None:
    history.revision("0003", "0002", "op.execute('INSERT INTO t VALUES (1, 2, 3)')")
    run_to_the_end(database, script(history))
    assert [row[0] for row in entries(database)] == ["0001", "0002"]


@pytest.mark.databases(*SERVERS)
def test_script_keeps_no_journal_where_run_keeps_none(history: Project, database: Database) -> None:
    text = history.alembic("-x", "journal=no", "upgrade", "head", "--sql").out
    assert JOURNAL not in text
    env = "from alembic import context\nfrom alembic_toolkit.runner import run\n\n"
    history.write("migrations/env.py", f"{env}run(context, journal=False)\n")
    assert JOURNAL not in script(history)


@pytest.mark.databases("postgresql")
def test_journal_has_when_a_revision_of_several_transactions_began(
    project: Project, database: Database
) -> None:
    project.revision("0001", upgrade=safe("t"), head=HELPERS)
    index = "helpers.create_index('ix', 't', ['id'], postgresql_concurrently=True)\n"
    project.revision("0002", "0001", f"{index}op.execute('SELECT pg_sleep(0.3)')", head=HELPERS)
    run_with_client(database, "SET datestyle = 'SQL, DMY';\n" + script(project))
    with database.engine.connect() as connection:
        entry = journal.last(connection)
    assert entry is not None
    assert entry.finished is not None
    assert timedelta(0) < entry.finished - entry.started < timedelta(minutes=5)


# The statement that a guard hides

HOSTILE = [
    "*/; DROP TABLE t; /*",
    "\nDROP TABLE t;\n",
    "\r\nDROP TABLE t;\r\n\rDROP TABLE t;",
    "\nDELIMITER //\nDROP TABLE t//\n",
    "\n-- x\n#\n/*! DROP TABLE t */ /*M! DROP TABLE t */",
    "\\",
    "\\\n; DROP TABLE t; \\g \\! touch x\n\\q\n",
    "`\"''` /* ' */ -- '",
    "\x1a\x0bDROP TABLE t;\x0c\x85\u2028DROP TABLE t;",
    "😀\n" * 2_000,
]


@pytest.mark.databases("mariadb", "mysql")
def test_no_statement_gets_out_of_its_comment(project: Project, database: Database) -> None:
    values = f"for number, value in enumerate({HOSTILE!r}):\n"
    name = "t`\n; DROP TABLE t; -- \\ '"
    project.revision(
        "0001",
        upgrade="t = helpers.create_table('t', sa.Column('id', sa.Integer),"
        " sa.Column('v', sa.Text))\n"
        f"{values}    op.execute(sa.insert(t).values(id=number, v=value))\n"
        f"{values}    helpers.execute(sa.insert(t).values(id=100 + number, v=value),"
        " unless='SELECT 1 FROM t WHERE id = 100 + %d' % number)\n"
        f"{values}    helpers.execute(sa.insert(t).values(id=200 + number, v=value),"
        " once=str(number))\n"
        f"helpers.add_column('t', sa.Column({name!r}, sa.Integer, comment={HOSTILE[3]!r}))\n"
        f"helpers.alter_column('t', {name!r}, comment={HOSTILE[6]!r})\n",
        head=HELPERS,
    )
    text = script(project)
    for options in ([], ["--comments"], ["--skip-comments", "--force"], ["--binary-mode"]):
        assert run_with_client(database, text, *options) == ""
        assert rows(database, "SELECT v FROM t ORDER BY id") == HOSTILE * 3
        assert tables(database) == {"alembic_version", "alembic_version_once", "t"}


@pytest.mark.databases("mariadb", "mysql")
def test_statements_stand_above_their_guards_as_alembic_writes_them(
    history: Project, database: Database
) -> None:
    body = (
        "op.create_table('u', sa.Column('id', sa.Integer), sa.Column('v', sa.String(9)))\n"
        "op.create_index('ix', 'u', ['v'])\n"
        "op.execute('UPDATE u SET id = 1; DELETE FROM u')\n"
        "op.alter_column('u', 'v', type_=sa.Text(), existing_type=sa.String(9))\n"
        "op.drop_column('u', 'id')\n"
    )
    wanted = [
        ["CREATE TABLE u (", "\tid INTEGER,", "\tv VARCHAR(9)", ")"],
        ["CREATE INDEX ix ON u (v)"],
        ["UPDATE u SET id = 1"],
        ["DELETE FROM u"],
        ["ALTER TABLE u MODIFY v TEXT NULL"],
        ["ALTER TABLE u DROP COLUMN id"],
    ]
    history.revision("0003", "0002", body)
    begin = "SET @alembic_sql = IF(@alembic_todo, '"
    texts = [text.partition(begin)[0].splitlines() for text in script(history).split("\n\n")]
    shown = [[line.removeprefix("-- ") for line in lines] for lines in texts if lines]
    for lines in wanted:
        assert lines in shown
    history.revision("0003", "0002", body.replace("op.", "helpers."), head=HELPERS)
    text = script(history)
    for lines in wanted[1:4] + wanted[5:]:
        assert "\n".join(f"-- {line}" for line in lines) in text
    assert "-- ALTER TABLE `u` MODIFY `v` TEXT\n-- (what it does not name is kept)" in text


# For review


def statements(text: str) -> list[str]:
    """Return the lines of a script that are no comments."""
    lines = text.expandtabs(4).splitlines()  # as Alembic changes them
    return [line for line in lines if line and not line.startswith("--")]


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_plain_script_is_alembics_own(project: Project, database: Database, way: str) -> None:
    project.write("migrations/env.py", PLAIN_ENV.format(url=database.url))
    project.table("0001", upgrade="op.create_index('ix', 't_0001', ['id'], unique=True)")
    project.table("0002", "0001", upgrade='op.execute("INSERT INTO t_0001 VALUES (7)")')
    project.table("0003", "0002")
    ends = ["0001", "0003"] if way == "upgrade" else ["0003", "0001"]
    wanted = project.alembic(way, ":".join(ends), "--sql").out
    plain = script(project, "--plain", "--from", ends[0], "--to", ends[1])
    assert statements(plain) == statements(wanted)
    assert [line for line in wanted.splitlines() if line.startswith("--")] == re.findall(
        "(?m)^-- Running .*", plain
    )


@pytest.mark.databases(*SERVERS)
def test_plain_script_runs_once_from_where_it_starts(project: Project, database: Database) -> None:
    create = "helpers.create_table('t', sa.Column('id', sa.Integer))\n"
    insert = "helpers.execute('INSERT INTO t VALUES (1)', unless='SELECT 1 FROM t')\n"
    project.revision("0001", upgrade=create + insert, head=HELPERS)
    project.revision(
        "0002", "0001", "helpers.add_column('t', sa.Column('v', sa.Integer))", head=HELPERS
    )
    text = script(project, "--plain")
    assert text.startswith("-- Not to be run twice: plain SQL for review, without guards")
    assert "\n-- It is for a database that stands at base, and for no other.\n" in text
    assert f"\n-- {project.versions}" in text
    assert not re.search(f"EXISTS|alembic_todo|DO [$]|{JOURNAL}", text)
    run_with_client(database, text)
    assert current(database) == ["0002"]
    assert rows(database, "SELECT v FROM t WHERE id = 1") == [None]
    with pytest.raises(AssertionError):
        run_with_client(database, text)


@pytest.mark.databases("postgresql")
def test_plain_script_makes_each_type_once(project: Project, database: Database) -> None:
    column = "helpers.add_column('t', sa.Column('v', sa.Enum('a', 'b', name='mood')))\n"
    made = safe("t") + "helpers.create_enum('mood', ['a', 'b'])\n"
    project.revision("0001", upgrade=made + column, head=HELPERS)
    text = script(project, "--plain")
    assert text.count("CREATE TYPE") == 1
    run_with_client(database, text)
    assert current(database) == ["0001"]


@pytest.mark.databases("postgresql")
def test_plain_script_waits_as_long_as_it_was_told(history: Project) -> None:
    text = script(history, "--plain", "--lock-timeout", "2.5")
    assert text.index("SET lock_timeout = '2500ms';") < text.index("-- Running upgrade")


@pytest.mark.databases("postgresql")
def test_nothing_of_a_plain_script_is_written_when_a_revision_cannot_be(project: Project) -> None:
    project.table("0001")
    project.revision("0002", "0001", upgrade="sa.inspect(op.get_bind())")
    outcome = sql(project, "--plain")
    assert (outcome.status, outcome.out) == (2, "")
    assert "there is no --sql form of this for postgresql, in revision 0002" in outcome.err


# Who waits


@pytest.mark.parametrize("plain", [[], ["--plain"]])
def test_script_says_above_each_statement_who_waits_for_it(
    project: Project, database: Database, plain: list[str]
) -> None:
    project.revision("0001", upgrade=safe("t"))
    insert = "op.execute('INSERT INTO t VALUES (1)')"
    online = "if not op.get_context().as_sql:\n    op.create_index('online', 't', ['id'])"
    project.revision("0002", "0001", f"{insert}\nop.create_index('ix', 't', ['id'])\n{online}")
    project.revision("0003", "0002", "op.execute('INSERT INTO t VALUES (2)')")
    wanted = {
        "sqlite": "writers wait for t, while all rows are read",
        "postgresql": "writers wait for t, while all rows are read (SHARE",
        "mariadb": "everybody waits for t, a moment",
        "mysql": "everybody waits for t, a moment",
    }[database.name]
    scratch = ["--scratch", database.url] if database.kin == "mariadb" else []
    text = script(project, "--locks", "--dialect", database.name, *scratch, *plain)
    first, second, third = re.split("(?m)^-- Running .*", text)[1:]
    assert re.search("(?m)^-- Locks, as seen on .*: none on a table that was there before$", first)
    where = re.escape(wanted)
    # Above the statement, which is a string or a comment in some scripts; and at the top what
    # the script does not have.
    statement = r"(EXECUTE \S+?|-- )?CREATE INDEX (IF NOT EXISTS )?ix\b"
    assert re.search(rf"\n *-- Locks: {where}.*\s+{statement}", second)
    assert re.search(rf"(?m)^--   line \d+: CREATE INDEX online .*\n--     {where}", second)
    assert "Locks, as seen on" in third
    run_with_client(database, text)
    assert current(database) == ["0003"]


@pytest.mark.databases("mysql")
def test_script_takes_locks_from_a_scratch_database_that_is_named(
    project: Project, database: Database
) -> None:
    project.revision("0001", upgrade=safe("t"))
    outcome = sql(project, "--locks", "--dialect", "mysql")
    assert (outcome.status, outcome.out) == (2, "")
    assert "there is no scratch database of mysql\ngive an empty one: --locks" in outcome.err
    outcome = sql(project, "--locks", "--dialect", "postgresql", "--scratch", database.url)
    assert outcome.status == 2
    assert "is no database of postgresql" in outcome.err


@pytest.mark.databases("sqlite")
def test_locks_of_a_downgrade_are_refused(history: Project) -> None:
    outcome = sql(history, "--locks", "--dialect", "sqlite", "--from", "0002", "--to", "0001")
    assert (outcome.status, outcome.out) == (2, "")
    assert "no revisions stand between them" in outcome.err
