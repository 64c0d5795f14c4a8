"""`alembic-toolkit downgrade`, `--dry-run` and `journal`: many databases."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, current, execute, tables
from tests.toolkit.deployers import journal
from tests.toolkit.fleets import command, made, plain, row, tenants, value


def said(outcome: Outcome, name: str) -> str:
    """Return what is said of a database, without its name."""
    return row(outcome, name).partition("  ")[2].strip()


@pytest.fixture
def two(project: Project, database: Database) -> Project:
    """Return a project of two revisions; the test's database is at the second."""
    project.table("0001")
    project.table("0002", "0001")
    assert command(project, "upgrade", one=database.url).status == 0
    return project


# Downgrade


def test_downgrade_takes_databases_back_and_one_that_fails_stops_no_other(
    two: Project, database: Database, tmp_path: Path
) -> None:
    [(name, url)] = tenants(tmp_path, 1).items()
    assert command(two, "upgrade", "0001", f"--url={name}={url}").status == 0
    outcome = command(two, "downgrade", "0002", f"--url={name}={url}", one=database.url)
    assert outcome.status == 1
    assert said(outcome, name) == "failed"
    assert "Destination 0002 is not a valid downgrade target" in outcome.out
    outcome = command(two, "downgrade", "-1", f"--url={name}={url}", one=database.url)
    assert outcome.status == 0
    assert said(outcome, "one") == "0002 -> 0001"
    assert said(outcome, name) == "0001 -> (none)"
    assert current(database) == ["0001"]
    assert "t_0002" not in tables(database)
    assert journal(database)[-1] == ("0002", "down", "done")
    outcome = command(two, "downgrade", "base", f"--url={name}={url}", one=database.url)
    assert said(outcome, "one") == "0001 -> (none)"
    assert said(outcome, name) == "(none), nothing to do"


@pytest.mark.databases("sqlite")
def test_downgrade_says_which_revision_failed(two: Project, database: Database) -> None:
    two.table("0003", "0002", downgrade="op.execute('no SQL')")
    assert command(two, "upgrade", one=database.url).status == 0
    outcome = command(two, "downgrade", "base", one=database.url)
    assert outcome.status == 1
    assert said(outcome, "one") == "failed"
    assert current(database) == ["0003"]


# What would run


def test_dry_run_says_what_would_run_and_writes_nothing(
    two: Project, database: Database, tmp_path: Path
) -> None:
    two.table("0003", "0002")
    before = tables(database), journal(database)
    outcome = command(two, "upgrade", "--dry-run", one=database.url)
    assert outcome.status == 0
    assert said(outcome, "one") == "0002, 1 revision to be run"
    assert re.search(r"^  0003  \S", outcome.out, re.MULTILINE)
    assert outcome.out.endswith("\n1 to be run; nothing was written\n")
    outcome = command(two, "downgrade", "base", "--dry-run", "--json", one=database.url)
    [one] = json.loads(outcome.out)["databases"]
    assert one["outcome"] == "to be run"
    assert [run["revision"] for run in one["plan"]] == ["0002", "0001"]
    assert (tables(database), journal(database)) == before
    assert current(database) == ["0002"]
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    value(empty, "SELECT 1")
    assert said(command(two, "upgrade", "--dry-run", one=empty), "one").startswith("(none), 3")
    assert made(empty) == set()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("argv", "more", "words"),
    [
        (["upgrade"], {"upgrade": "pass", "downgrade": "pass"}, "is not written yet"),
        (["downgrade", "base"], {"downgrade": "helpers.irreversible('gone')"}, "cannot be taken"),
        (["downgrade", "base"], {"downgrade": "pass"}, "downgrade() is empty"),
    ],
)
def test_dry_run_says_what_would_be_refused(
    project: Project, database: Database, argv: list[str], more: dict[str, str], words: str
) -> None:
    project.table("0001")
    project.revision("0002", "0001", **more, head="import alembic_helpers as helpers")
    assert command(project, "upgrade", "0001", one=database.url).status == 0
    if argv[0] == "downgrade":
        execute(database, "UPDATE alembic_version SET version_num = '0002'")
    outcome = command(project, argv[0], *argv[1:], "--dry-run", one=database.url)
    assert outcome.status == 1
    assert said(outcome, "one") == "would be refused"
    assert words in outcome.out
    assert outcome.out.endswith("\n1 would be refused; nothing was written\n")


@pytest.mark.databases("sqlite")
def test_dry_run_says_when_no_file_has_the_revision(two: Project, database: Database) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '0009'")
    outcome = command(two, "upgrade", "--dry-run", one=database.url)
    assert outcome.status == 1
    assert said(outcome, "one") == "would be refused"
    assert "0009" in outcome.out


# The journal


def test_journal_shows_what_ran_and_why_it_failed_newest_last(
    two: Project, database: Database, tmp_path: Path
) -> None:
    two.table("0003", "0002", upgrade="op.execute('INSERT INTO taken VALUES (1)')")
    assert command(two, "upgrade", one=database.url).status == 1
    changed = sa.text("UPDATE alembic_version_history SET who = :who WHERE revision = '0001'")
    with database.engine.begin() as connection:
        connection.execute(changed, {"who": "\x1b[31mme\nand you"})
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    value(url, "SELECT 1")
    before = journal(database)
    outcome = command(two, "journal", one=database.url, empty=url)
    assert outcome.status == 0
    lines = [line for line in outcome.out.splitlines() if re.match(r"  \d{4}-\d\d-\d\d ", line)]
    shown = [re.split(r"  +", line.strip()) for line in lines]
    assert [cells[1:4] for cells in shown] == [list(entry) for entry in before]
    assert all(re.fullmatch(r"\d+\.\d s", cells[4]) for cells in shown)
    assert "\\x1b[31mme\\nand you" in lines[0]
    assert "\x1b" not in outcome.out
    assert re.search(r"^    \w*Error: .*taken", outcome.out, re.MULTILINE)
    assert "\nempty: there is no journal" in outcome.out
    assert journal(database) == before
    found = json.loads(command(two, "journal", "--json", one=database.url, empty=url).out)
    one, empty = found["databases"]
    assert [entry["revision"] for entry in one["entries"]] == ["0001", "0002", "0003"]
    assert one["entries"][-1]["outcome"] == "failed"
    assert empty["entries"] is None


@pytest.mark.databases("sqlite")
def test_journal_is_that_beside_the_version_table(project: Project, database: Database) -> None:
    project.table("0001")
    plain(project, ", version_table='versions'")
    assert command(project, "upgrade", one=database.url).status == 0
    outcome = command(project, "journal", one=database.url)
    assert (outcome.status, outcome.out.count("\n")) == (0, 1)
    assert "one: there is no journal" in outcome.out


# Status


@pytest.mark.databases("sqlite")
def test_status_names_the_database_that_env_py_names(offline: Project) -> None:
    outcome = command(offline, "status")
    assert outcome.status == 2
    assert "postgresql+psycopg://nobody:***@127.0.0.1:1/none  cannot be used: " in outcome.out
    for name in ("journal", "verify", "where"):
        said = command(offline, name)
        assert "postgresql+psycopg://nobody:***@127.0.0.1:1/none" in said.out, said
        assert "secret" not in said.out


@pytest.mark.databases("sqlite")
def test_status_says_two_heads(two: Project, database: Database) -> None:
    two.table("0003", "0001")
    outcome = command(two, "status", one=database.url)
    assert outcome.status == 1
    assert "\nthe history has several heads: 0002, 0003\n" in outcome.out
    assert command(two, "upgrade", "heads", one=database.url).status == 0
    outcome = command(two, "status", one=database.url)
    assert outcome.status == 0
    assert said(outcome, "one").startswith("0002, 0003 (2 heads)  0 ")
    heads = [one["heads"] for one in json.loads(command(two, "status", "--json").out)["databases"]]
    assert heads == [["0002", "0003"]]


def test_status_compares_a_database_that_is_behind_with_its_own_revision(
    two: Project, database: Database
) -> None:
    models = "import sqlalchemy as sa\nmetadata = sa.MetaData()\n"
    models += "".join(
        f"sa.Table('t_000{n}', metadata, sa.Column('id', sa.Integer, primary_key=True))\n"
        for n in (1, 2, 3)
    )
    env = "from alembic import context\nfrom alembic_toolkit.runner import run\n" + models
    two.write("migrations/env.py", f"{env}\nrun(context, target_metadata=metadata)\n")
    two.table("0003", "0002")
    outcome = command(two, "status", "--drift", one=database.url)
    assert outcome.status == 2
    assert "one, not judged: it is not at head, and the models are those of head" in outcome.out
    assert "alembic-toolkit where --write" in outcome.out
    if database.name != "sqlite":
        return
    assert command(two, "where", "--write").status == 0
    outcome = command(two, "status", "--drift", one=database.url)
    assert outcome.status == 1
    assert re.split(r" {2,}", row(outcome, "one"))[4] == "none"
    execute(database, "ALTER TABLE t_0002 ADD note VARCHAR(9)")
    outcome = command(two, "status", "--drift", one=database.url)
    assert re.split(r" {2,}", row(outcome, "one"))[4] == "1"
    assert "one, compared with what 0002 makes:\n" in outcome.out
