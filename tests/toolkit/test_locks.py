"""`alembic-toolkit locks`: which revisions it judges, how it prints that; what `run` refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, execute, rows, tables
from tests.toolkit.machines import sarif

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "alembic_toolkit.cli"]
COLUMN = "op.add_column('t_0001', sa.Column('n', sa.Integer))\n"
INDEX = "op.create_index('ix_n', 't_0001', ['n'])\n"


def locks(project: Project, *argv: str) -> Outcome:
    done = subprocess.run(
        [*COMMAND, "locks", *argv],
        cwd=project.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def git(project: Project, *argv: str) -> str:
    names = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    return subprocess.check_output(
        ["git", *names, *argv], cwd=project.directory, text=True, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def waiting(project: Project) -> Project:
    """Return a project whose second revision has others wait."""
    project.table("0001")
    project.revision("0002", "0001", COLUMN, "op.drop_column('t_0001', 'n')")
    project.revision("0003", "0002", INDEX, "op.drop_index('ix_n', 't_0001')")
    return project


@pytest.fixture
def file(tmp_path: Path) -> Project:
    """Return the same on a file of SQLite, each time a new one."""
    project = Project(tmp_path / "file")
    project.table("0001")
    project.revision("0002", "0001", COLUMN, "op.drop_column('t_0001', 'n')")
    project.revision("0003", "0002", INDEX, "op.drop_index('ix_n', 't_0001')")
    return project


FOUND = "who writes, to any table, waits while all rows of t_0001 are read"


# What is printed


def test_locks_says_who_waits_and_leaves_nothing(waiting: Project, database: Database) -> None:
    outcome = locks(waiting, "--url", database.url)
    assert outcome.status == (0 if database.name in ("mariadb", "mysql") else 1), outcome.err
    assert ("0003_test.py" in outcome.out) == bool(outcome.status)
    assert "0002_test.py" not in outcome.out
    assert tables(database) == set()


def test_locks_prints_the_same_bytes_each_time(waiting: Project, database: Database) -> None:
    found = [locks(waiting, "--url", database.url, "--format", "json") for _ in range(3)]
    assert len({one.out for one in found}) == 1
    assert len({one.status for one in found}) == 1


def test_locks_prints_the_same_bytes_of_a_file_of_its_own(file: Project) -> None:
    for form in ("json", "sarif"):
        assert len({locks(file, "--format", form).out for _ in range(2)}) == 1


def test_locks_prints_the_same_bytes_of_a_rebuilt_parent(
    file: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, key = "sa.Column('id', sa.Integer, primary_key=True)", "sa.ForeignKey('t_0001.id')"
    column = f"sa.Column('t', sa.Integer, {key})"
    made = [f"op.create_table('child_{name}', {one}, {column})" for name in "abcd"]
    file.revision("0004", "0003", "\n".join(made))
    unique = "helpers.create_unique_constraint('uq_n', 't_0001', ['n'])"
    file.revision("0005", "0004", unique, head="import alembic_helpers as helpers")
    found = set()
    for seed in range(4):  # of the order in sets
        monkeypatch.setenv("PYTHONHASHSEED", str(seed))
        found.add(locks(file, "0005", "--format", "json").out)
    assert len(found) == 1
    assert "child_d" in found.pop()


@pytest.mark.databases("mariadb", "mysql")
def test_locks_has_the_very_command_that_copies_online(
    project: Project, database: Database
) -> None:
    others = "sa.Column('code', sa.String(40)), sa.Column('more', sa.String(40))"
    table = f"op.create_table('my table', sa.Column('id', sa.Integer, primary_key=True), {others})"
    project.revision("0001", None, table, "op.drop_table('my table')")
    comment = '50%  of $5 `x` "q" \'s'
    altered = f"type_=sa.{{}}, existing_type=sa.String(40), comment={comment!r}"
    up = f"op.alter_column('my table', 'code', {altered.format('LargeBinary')})\n"
    up += f"helpers.alter_column('my table', 'more', {altered.format('String(5)')})\n"
    at = f"`{database.engine.url.database}`."
    up += f"op.execute('ALTER TABLE {at}`my table` MODIFY more VARCHAR(4) /* a */ -- why')\n"
    project.revision("0002", "0001", up, "pass", "import alembic_helpers as helpers")
    outcome = locks(project, "--url", database.url)
    commands = re.findall(r"^ +(pt-online-schema-change .*)$", outcome.out, re.M)
    assert len(commands) == 3, outcome.out
    execute(database, "CREATE TABLE `my table` (id int PRIMARY KEY, code text, more text)")
    for command in commands:
        told = f"pt-online-schema-change() {{ printf '%s\\n' \"$@\"; }}\n{command}"
        shell = {**os.environ, "DATABASE": str(database.engine.url.database)}
        done = subprocess.run(["bash", "-c", told], env=shell, capture_output=True, text=True)
        words = done.stdout.splitlines()
        assert words[0] == "--alter", done.stderr
        assert words[-1] == f"D={database.engine.url.database},t=my table"
        execute(database, f"ALTER TABLE `my table` {words[1]}")
    comments = rows(
        database,
        "SELECT column_comment FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = 'my table' AND column_name = 'code'",
    )
    assert comments == [comment]


def test_locks_has_one_line_for_github_at_its_line(file: Project) -> None:
    outcome = locks(file, "--format", "github")
    assert outcome.status == 1
    [line] = outcome.out.splitlines()
    head, _, text = line.removeprefix("::").partition("::")
    path = file.versions / "0003_test.py"
    number = path.read_text().splitlines().index(f"    {INDEX.strip()}") + 1
    shown = path.relative_to(file.directory)
    assert head == f"error file={shown},line={number},title=locks"
    assert text.startswith(f"line {number}: {FOUND} (sqlite)%0Astatement: CREATE INDEX ix_n")


def test_locks_shows_a_percent_sign_as_the_server_got_it(
    project: Project, database: Database
) -> None:
    project.table("0001")
    column = "op.add_column('t_0001', sa.Column('n', sa.String(40)))"
    project.revision("0002", "0001", column, "op.drop_column('t_0001', 'n')")
    sql = "UPDATE t_0001 SET n = 'one % two %% three' WHERE n IS NULL OR n <> ''"
    project.revision("0003", "0002", f'op.execute("{sql}")', "pass")
    outcome = locks(project, "--url", database.url)
    assert outcome.status == 1, outcome.out
    assert f"statement: {sql}" in " ".join(outcome.out.split())  # lines end where a terminal does
    report = json.loads(locks(project, "--url", database.url, "--format", "json").out)
    [proof] = report["proofs"]
    assert sql in proof["revisions"][2]["upgrade"]
    assert "%%%" not in str(report)


def test_locks_is_read_by_gitlab(file: Project) -> None:
    [found] = json.loads(locks(file, "--format", "gitlab").out)
    assert {*found} == {"description", "check_name", "fingerprint", "severity", "location"}
    assert found["severity"] in {"info", "minor", "major", "critical", "blocker"}
    assert found["location"]["path"] == "migrations/versions/0003_test.py"
    assert found["location"]["lines"]["begin"] > 1
    # The same finding in another line is the same.
    path = file.versions / "0003_test.py"
    path.write_text(f"# a comment\n{path.read_text()}")
    [moved] = json.loads(locks(file, "--format", "gitlab").out)
    assert moved["fingerprint"] == found["fingerprint"]
    assert moved["location"]["lines"]["begin"] == found["location"]["lines"]["begin"] + 1


def test_locks_is_valid_sarif(file: Project) -> None:
    file.revision("0004", "0003", "raise ValueError('a\\nb')")
    log = json.loads(locks(file, "--format", "sarif").out)
    assert [*sarif().iter_errors(log)] == []
    [run] = log["runs"]
    levels = {(one["ruleId"], one["level"]) for one in run["results"]}
    [up] = (one["message"]["text"] for one in run["results"] if one["ruleId"] == "up")
    assert up.startswith("0004: upgrade() fails")  # no line of its text says which it is
    assert levels == {("locks", "error"), ("up", "error"), ("locks", "note")}
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {"locks", "up"}
    log["runs"][0]["results"][0]["level"] = "dreadful"
    del log["version"]
    assert len([*sarif().iter_errors(log)]) == 2


def test_locks_of_an_upgrade_that_fails_are_not_judged(file: Project) -> None:
    file.revision("0004", "0003", "raise ValueError('no')")
    outcome = locks(file, "--from", "0003")
    assert outcome.status == 1
    assert "1. up (sqlite): 0004" in outcome.out
    assert "'up' stands in the way" in outcome.out


# Which revisions


def test_locks_judges_what_stands_between_two_revisions(file: Project) -> None:
    assert FOUND in locks(file, "--from", "0002", "--to", "0003").out
    outcome = locks(file, "--to", "0002")
    assert (outcome.status, FOUND in outcome.out) == (0, False)
    assert "2 revisions" in outcome.out
    outcome = locks(file, "--from", "0003")
    assert (outcome.status, "0 revisions" in outcome.out) == (0, True)
    outcome = locks(file, "--from", "9999")
    assert (outcome.status, "9999" in outcome.err) == (2, True)


def test_locks_judges_what_is_new_since_a_commit(file: Project) -> None:
    path = file.versions / "0003_test.py"
    text = path.read_text()
    path.unlink()
    git(file, "init", "-q", "-b", "main")
    git(file, "add", ".")
    git(file, "commit", "-qm", "two")
    assert "0 revisions" in locks(file, "--since", "main").out
    path.write_text(text)  # which Git does not track yet
    outcome = locks(file, "--since", "main")
    assert (outcome.status, FOUND in outcome.out) == (1, True)
    assert "1 revision," in outcome.out
    git(file, "checkout", "-qb", "feature")
    git(file, "add", ".")
    git(file, "commit", "-qm", "three")
    assert FOUND in locks(file, "--since", "main").out
    # What others did since is not new here.
    git(file, "checkout", "-q", "main")
    old = file.versions / "0001_test.py"
    old.write_text(f"{old.read_text()}\n# edited\n")
    git(file, "commit", "-qam", "edited")
    git(file, "checkout", "-q", "feature")
    assert "1 revision," in locks(file, "--since", "main").out


def test_locks_says_the_git_command_when_a_commit_is_not_known(
    file: Project, tmp_path: Path
) -> None:
    outcome = locks(file, "--since", "origin/main")
    assert outcome.status == 2
    assert "not a git repository" in outcome.err
    git(file, "init", "-q", "-b", "main")
    git(file, "add", ".")
    git(file, "commit", "-qm", "one")
    outcome = locks(file, "--since", "origin/release")
    assert outcome.status == 2
    assert "--since origin/release" in outcome.err
    assert "    git fetch origin +release:refs/remotes/origin/release" in outcome.err
    assert "    git log --oneline" in locks(file, "--since", "HEAD~9").err
    git(file, "commit", "-qm", "two", "--allow-empty")
    clone = Project(tmp_path / "clones" / "one")
    subprocess.check_call(["rm", "-r", clone.directory])
    source = f"file://{file.directory}"
    subprocess.check_call(["git", "clone", "-q", "--depth=1", source, clone.directory])
    outcome = locks(clone, "--since", "HEAD~1")
    assert outcome.status == 2
    assert "the clone is shallow" in outcome.err
    assert "    git fetch --unshallow origin" in outcome.err


@pytest.mark.parametrize("reference", ["feature", "origin/feature", "v1", "HEAD~1", "HASH"])
def test_locks_says_the_git_command_that_helps(
    file: Project, tmp_path: Path, reference: str
) -> None:
    git(file, "init", "-q", "-b", "main")
    git(file, "add", ".")
    git(file, "commit", "-qm", "one")
    git(file, "branch", "feature")
    git(file, "tag", "-am", "first", "v1")
    reference = reference.replace("HASH", git(file, "rev-parse", "HEAD").strip())
    edited = file.versions / "0003_test.py"
    edited.write_text(f"{edited.read_text()}\n# edited\n")
    git(file, "commit", "-qam", "two")
    clone = Project(tmp_path / "clones" / "one")
    subprocess.check_call(["rm", "-r", clone.directory])
    source = f"file://{file.directory}"
    subprocess.check_call(["git", "clone", "-q", "--depth=1", source, clone.directory])
    outcome = locks(clone, "--since", reference)
    assert outcome.status == 2
    asked = ["--since", reference]
    for line in outcome.err.partition("What to do next:\n")[2].splitlines():
        command, *words = shlex.split(line, comments=True)
        if command == "git":
            git(clone, *words)
        else:
            asked = words[1:]
    found = locks(clone, *asked)
    assert "1 revision," in found.out, found.err
    assert FOUND in found.out


@pytest.mark.parametrize(
    ("asked", "status", "number"),
    [
        (("0003",), 1, "1 revision,"),
        (("0001:0002",), 0, "2 revisions"),
        (("-1:",), 1, "2 revisions"),
        ((":",), 1, "3 revisions"),
        (("9999",), 2, "one of 0001, 0002, 0003"),
        (("0003", "--from", "0002"), 2, "not allowed with REV|A:B"),
        (("--since", "HEAD", "--to", "0002"), 2, "not allowed with REV|A:B or --since"),
    ],
)
def test_locks_judges_the_revisions_that_are_named(
    file: Project, asked: tuple[str, ...], status: int, number: str
) -> None:
    outcome = locks(file, *asked)
    assert outcome.status == status, outcome
    assert number in outcome.out + outcome.err
    assert (FOUND in outcome.out) == (status == 1)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("--from", "none"), "none"),
        (("--to", "none"), "none"),
        (("--from", "0003", "--to", "0002"), "not an ancestor"),
    ],
)
def test_locks_says_which_revisions_there_are(
    file: Project, asked: tuple[str, ...], why: str
) -> None:
    outcome = locks(file, *asked)
    assert outcome.status == 2
    assert why in outcome.err.lower()
    assert "cannot be read" not in outcome.err
    for word in (*asked, "alembic history"):
        assert word in outcome.err


def test_locks_of_a_known_exception_are_no_finding(file: Project) -> None:
    file.write(
        "pyproject.toml",
        "[[tool.alembic-toolkit.roundtrip.exceptions]]\n"
        'revision = "0003"\ncheck = "locks"\nreason = "t_0001 is small"\n',
    )
    outcome = locks(file)
    assert outcome.status == 0
    assert "t_0001 is small" in outcome.out


def test_locks_are_a_check_of_the_round_trip_and_its_page(file: Project) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "alembic_toolkit.cli",
            "roundtrip",
            "--locks",
            "--html",
            "page.html",
        ],
        cwd=file.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert FOUND in done.stdout
    page = (file.directory / "page.html").read_text()
    assert "<th scope=row>locks" in page
    assert "<th>who waits<th>how long" in page
    assert "read from the first row to the last" in page


def test_locks_are_a_test_of_the_plugin(file: Project) -> None:
    command = [sys.executable, "-m", "pytest", "--roundtrip", "alembic.ini", "-q", "-k", "locks"]
    done = subprocess.run(
        [*command, "--roundtrip-check", "locks", "-p", "no:cacheprovider"],
        cwd=file.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "FAILED alembic.ini::0003[sqlite-locks] - " in done.stdout
    assert "1 failed, 2 passed" in done.stdout


@pytest.mark.databases("postgresql")
def test_locks_that_a_role_may_not_see_are_not_judged(waiting: Project, database: Database) -> None:
    role = "DO 'BEGIN CREATE ROLE blind LOGIN; EXCEPTION WHEN duplicate_object THEN END'"
    for sql in (
        role,
        "GRANT ALL ON SCHEMA public TO blind",
        "REVOKE SELECT ON pg_locks FROM PUBLIC",
    ):
        execute(database, sql)
    outcome = locks(waiting, "--url", str(database.engine.url.set(username="blind")))
    said = " ".join(outcome.out.split())
    assert "the server does not let this role look" in said
    assert "permission denied for view pg_locks" in said
    assert "3 not wholly judged" in said
    assert "Proven" not in said
    assert "upgrade() fails" not in said
    assert outcome.status == 2


SCRIPT = "op.get_bind().connection.cursor().executescript('SELECT 1')"


def test_locks_end_with_2_when_a_revision_is_not_judged(file: Project) -> None:
    file.revision("0004", "0003", SCRIPT)
    for form in ("text", "json", "github"):
        outcome = locks(file, "0004", "--format", form)
        assert outcome.status == 2, outcome
        assert "by executescript" in " ".join(outcome.out.split())
    assert json.loads(locks(file, "0004", "--format", "json").out)["status"] == 2
    assert locks(file).status == 1  # others are findings
    assert locks(file, "0002").status == 0
    file.write(
        "pyproject.toml",
        "[[tool.alembic-toolkit.roundtrip.exceptions]]\n"
        'revision = "0004"\ncheck = "locks"\nreason = "t_0001 is small"\n',
    )
    outcome = locks(file, "0004")
    assert (outcome.status, "t_0001 is small" in outcome.out) == (0, True)


# What `run` refuses

COPIES = {
    "sqlite": "ALTER TABLE t_0001 DROP COLUMN n",
    "postgresql": "ALTER TABLE t_0001 ALTER n TYPE bigint",
    "mariadb": "ALTER TABLE t_0001 MODIFY n bigint",
    "mysql": "ALTER TABLE t_0001 MODIFY n bigint",
}


@pytest.fixture
def large(project: Project, database: Database) -> Project:
    """Return a project whose table has 300 rows, and which is to be copied."""
    project.table("0001")
    project.revision("0002", "0001", COLUMN)
    assert project.alembic("upgrade", "head").status == 0
    values = ", ".join(f"({number}, 1)" for number in range(1, 301))
    execute(database, f"INSERT INTO t_0001 (id, n) VALUES {values}")
    if database.name != "sqlite":
        on = "" if database.name == "postgresql" else "TABLE "
        execute(database, f"ANALYZE {on}t_0001")
    project.revision("0003", "0002", f"op.execute({COPIES[database.name]!r})")
    return project


def test_upgrade_refuses_to_copy_a_table_of_more_rows(large: Project, database: Database) -> None:
    message = large.refusal("-x", "refuse_rewrite_over=200", "upgrade", "head")
    first, has, wants, why, *way = message.splitlines()
    path = os.path.relpath(large.versions / "0003_test.py")
    assert first.startswith(min(path, str(large.versions / "0003_test.py"), key=len))
    assert COPIES[database.name] in first
    assert "refused, because the server would copy t_0001" in first
    assert "300 rows in t_0001" in has
    assert "a statement for which" in wants
    assert "refuse_rewrite_over=200" in why
    assert (
        way[-1]
        == "    alembic -x refuse_rewrite_over=0 upgrade head  # when nobody needs the table"
    )
    assert ("pt-online-schema-change" in message) == (database.name in ("mariadb", "mysql"))
    assert rows(database, "SELECT version_num FROM alembic_version") == ["0002"]
    assert tables(database) == {"alembic_version", "t_0001"}


def test_upgrade_copies_a_table_of_fewer_rows_and_of_any_by_default(
    large: Project, database: Database
) -> None:
    assert large.alembic("-x", "refuse_rewrite_over=1_000", "upgrade", "head").status == 0
    assert rows(database, "SELECT version_num FROM alembic_version") == ["0003"]


def test_upgrade_refuses_nothing_that_is_done_in_an_instant(
    large: Project, database: Database
) -> None:
    large.revision("0003", "0002", "op.add_column('t_0001', sa.Column('m', sa.Integer))")
    assert large.alembic("-x", "refuse_rewrite_over=200", "upgrade", "head").status == 0
    assert tables(database) == {"alembic_version", "t_0001"}


def test_upgrade_refuses_what_a_comment_stands_before(large: Project, database: Database) -> None:
    large.revision("0003", "0002", f"op.execute({f'-- why{chr(10)}{COPIES[database.name]}'!r})")
    message = large.refusal("-x", "refuse_rewrite_over=200", "upgrade", "head")
    assert "refused, because the server would copy t_0001" in message
    assert tables(database) == {"alembic_version", "t_0001"}


@pytest.mark.databases("sqlite")
def test_upgrade_counts_rows_whatever_their_keys_are(large: Project, database: Database) -> None:
    execute(database, "DELETE FROM t_0001 WHERE id < 300")
    execute(database, "INSERT INTO t_0001 (id, n) VALUES (5000000000, 1)")
    assert large.alembic("-x", "refuse_rewrite_over=200", "upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
def test_upgrade_counts_rows_once_that_were_just_loaded(large: Project, database: Database) -> None:
    with database.engine.connect() as one:
        for first in (301, 401):  # of the second one it tells the statistics later
            rows_ = ", ".join(f"({number}, 1)" for number in range(first, first + 100))
            one.exec_driver_sql(f"INSERT INTO t_0001 (id, n) VALUES {rows_}")
            one.commit()
        execute(database, "ANALYZE t_0001")
    assert rows(database, "SELECT count(*) FROM t_0001") == [500]
    assert large.alembic("-x", "refuse_rewrite_over=500", "upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
def test_upgrade_counts_the_rows_of_all_partitions(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    execute(database, "CREATE TABLE parted (id int, n int) PARTITION BY RANGE (id)")
    for first in (0, 200):
        of = f"PARTITION OF parted FOR VALUES FROM ({first}) TO ({first + 200})"
        execute(database, f"CREATE TABLE parted_{first} {of}")
    execute(database, "INSERT INTO parted SELECT n, 1 FROM generate_series(0, 399) AS n")
    execute(database, "ANALYZE parted")
    project.revision("0002", "0001", "op.execute('ALTER TABLE parted ALTER n TYPE bigint')")
    message = project.refusal("-x", "refuse_rewrite_over=399", "upgrade", "head")
    assert "400 rows in parted" in message
    assert project.alembic("-x", "refuse_rewrite_over=400", "upgrade", "head").status == 0


def test_upgrade_refuses_a_limit_that_is_no_number(project: Project) -> None:
    project.table("0001")
    message = project.refusal("-x", "refuse_rewrite_over=many", "upgrade", "head")
    assert "'many' is not a number of rows; nothing was run" in message
