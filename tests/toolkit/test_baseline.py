"""A root with ``replaces``: each database goes on from where it stands, or is told the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alembic_toolkit.project import checks
from alembic_toolkit.project.env import read_config
from tests.databases import Database
from tests.helpers.scripts import run_to_the_end
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.deployers import many
from tests.toolkit.fleets import command

OLD = ["0001", "0002", "0003", "0004"]


def history(project: Project, after: str = "0005") -> None:
    """Write four revisions, a root that replaces them, and one after it."""
    for before, id_ in zip([None, *OLD], OLD, strict=False):
        project.table(id_, before)
    root(project)
    project.table("0006", after)


def root(project: Project, id_: str = "0005", replaced: list[str] = OLD, head: str = "") -> Path:
    tables_ = [one for one in replaced if one.isdigit() and one in OLD]
    create = "".join(
        f"op.create_table('t_{one}', sa.Column('id', sa.Integer, primary_key=True))\n"
        for one in tables_
    )
    drop = "".join(f"op.drop_table('t_{one}')\n" for one in tables_)
    return project.revision(
        id_, None, create or "pass", drop or "pass", head=f"{head}\nreplaces = {tuple(replaced)!r}"
    )


def delete(project: Project, *ids: str) -> None:
    for id_ in ids or OLD:
        (project.versions / f"{id_}_test.py").unlink()


def stand_at(project: Project, database: Database, revision: str) -> None:
    """Bring the database to a replaced revision, by the release that had no root."""
    texts = {path: path.read_text() for path in project.versions.glob("*.py")}
    for id_ in ("0005", "0006"):
        (project.versions / f"{id_}_test.py").unlink()
    assert project.alembic("upgrade", revision).status == 0
    for path, text in texts.items():
        path.write_text(text)


ALL = {f"t_{id_}" for id_ in (*OLD, "0006")} | {"alembic_version"}


def journal(database: Database) -> list[str]:
    query = "SELECT revision, direction, outcome FROM alembic_version_history ORDER BY id"
    with database.engine.connect() as connection:
        return [" ".join(row) for row in connection.exec_driver_sql(query)]


# Where a database stands


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
@pytest.mark.parametrize("after", ["0005", "0004"])
def test_upgrade_runs_the_root_when_the_database_is_empty(
    project: Project, database: Database, kept: bool, after: str
) -> None:
    history(project, after)
    if not kept:
        delete(project)
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0006"]
    assert tables(database) == ALL
    assert journal(database) == ["0005 up done", "0006 up done"]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_upgrade_marks_again_when_the_database_is_at_the_last_replaced_revision(
    project: Project, database: Database, kept: bool
) -> None:
    history(project)
    stand_at(project, database, "0004")
    if not kept:
        delete(project)
    outcome = project.alembic("upgrade", "head")
    assert outcome.status == 0, outcome.out
    assert current(database) == ["0006"]
    assert tables(database) == ALL
    assert journal(database)[-2:] == ["0005 replace done", "0006 up done"]
    assert project.alembic("upgrade", "head").status == 0
    assert len(journal(database)) == 6


@pytest.mark.parametrize("at", OLD[:-1])
def test_upgrade_goes_on_in_between_when_the_files_are_kept(
    project: Project, database: Database, at: str
) -> None:
    history(project)
    stand_at(project, database, at)
    outcome = project.alembic("upgrade", "head")
    assert outcome.status == 0, outcome.out
    assert current(database) == ["0006"]
    assert tables(database) == ALL
    ran = [line.split()[0] for line in journal(database)]
    assert ran == [*OLD, "0006"]


@pytest.mark.parametrize("at", OLD[:-1])
def test_upgrade_names_the_release_in_between_when_the_files_are_deleted(
    project: Project, database: Database, at: str
) -> None:
    history(project)
    stand_at(project, database, at)
    root(project, head="kept_until = '2.4'")
    delete(project)
    before = tables(database), journal(database)
    message = project.refusal("upgrade", "head")
    assert f"{at} is one of the revisions that 0005 replaces" in message
    assert "in release 2.4, which this database must pass through:\n" in message
    assert "    alembic upgrade 0004\n" in message
    assert (tables(database), journal(database)) == before
    assert f"{at} is one of the revisions" in project.refusal("current")


def test_upgrade_goes_on_when_only_older_files_are_deleted(
    project: Project, database: Database
) -> None:
    history(project)
    stand_at(project, database, "0003")
    delete(project, "0001", "0002")
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0006"]
    delete(project, "0003")
    stamped = "UPDATE alembic_version SET version_num = '0002'"
    execute(database, stamped)
    assert "no file here has 0002 to 0003" in project.refusal("upgrade", "head")


def test_journal_names_no_replaced_file_as_deleted(project: Project, database: Database) -> None:
    history(project)
    stand_at(project, database, "0004")
    delete(project)
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("upgrade", "head").err == ""
    outcome = command(project, "status", one=database.url)
    assert outcome.status == 0, outcome.out
    assert "as applied" in outcome.out


def test_status_counts_the_mark_when_the_database_is_at_the_last_replaced_revision(
    project: Project, database: Database
) -> None:
    history(project)
    stand_at(project, database, "0004")
    delete(project)
    outcome = command(project, "status", one=database.url)
    assert outcome.status == 1
    assert "0004 (unknown)" not in outcome.out
    stamped = "UPDATE alembic_version SET version_num = '0002'"
    execute(database, stamped)
    outcome = command(project, "status", one=database.url)
    assert "0002 (unknown)" in outcome.out
    assert "0005 replaces" in outcome.out


# Downwards, stamps, scripts


def test_downgrade_ends_at_the_root_unless_base_is_named(
    project: Project, database: Database
) -> None:
    history(project)
    stand_at(project, database, "0004")
    delete(project)
    assert project.alembic("upgrade", "head").status == 0
    message = project.refusal("downgrade", "-2")
    assert "it would take back 0005, which stands for 0001 to 0004" in message
    assert project.alembic("downgrade", "-1").status == 0
    assert current(database) == ["0005"]
    assert "one step down is everything" in project.refusal("downgrade", "-1")
    assert project.alembic("downgrade", "base").status == 0
    assert tables(database) == {"alembic_version"}


def test_downgrade_goes_below_the_root_when_the_files_are_kept(
    project: Project, database: Database
) -> None:
    history(project)
    assert project.alembic("upgrade", "head").status == 0
    outcome = project.alembic("downgrade", "0002")
    assert outcome.status == 0, outcome.out
    assert current(database) == ["0002"]
    assert tables(database) == {"t_0001", "t_0002", "alembic_version"}
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("downgrade", "0005").status == 0
    assert current(database) == ["0005"]
    assert project.alembic("downgrade", "0003").status == 0
    assert "0004 replace done" in journal(database)
    assert current(database) == ["0003"]


def test_downgrade_names_the_release_when_the_files_are_deleted(
    project: Project, database: Database
) -> None:
    history(project)
    delete(project)
    assert project.alembic("upgrade", "head").status == 0
    assert "0002 is one of the revisions that 0005" in project.refusal("downgrade", "0002")
    assert "0004 is one of the revisions that 0005" in project.refusal("upgrade", "0004")


def test_stamp_and_current_see_the_root(project: Project, database: Database) -> None:
    history(project)
    stand_at(project, database, "0004")
    delete(project)
    assert project.alembic("current").out == "0005\n"
    assert current(database) == ["0004"]
    assert project.alembic("stamp", "head").status == 0
    assert current(database) == ["0006"]
    assert project.alembic("stamp", "--purge", "0005").status == 0
    assert current(database) == ["0005"]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_script_begins_at_the_last_replaced_revision(
    project: Project, database: Database, kept: bool, tmp_path: Path
) -> None:
    history(project)
    stand_at(project, database, "0004")
    if not kept:
        delete(project)
    script = project.alembic("upgrade", "0004:head", "--sql")
    assert script.status == 0, script.out
    run_script(database, script.out)
    assert current(database) == ["0006"]
    run_script(database, script.out)
    assert current(database) == ["0006"]
    assert tables(database) == ALL


@pytest.mark.parametrize("at", ["base", "0004", "0005"])
def test_one_script_fits_each_database(project: Project, database: Database, at: str) -> None:
    history(project)
    if at == "0004":
        stand_at(project, database, "0004")
    elif at == "0005":
        assert project.alembic("upgrade", "0005").status == 0
    delete(project)
    script = command(project, "sql")
    assert script.status == 0, script.err
    run_script(database, script.out)
    assert current(database) == ["0006"]
    assert tables(database) == ALL


def run_script(database: Database, text: str) -> None:
    printed = run_to_the_end(database, text)
    assert "ERROR" not in printed, printed


def test_new_revision_gets_the_next_number_and_the_head(project: Project) -> None:
    history(project)
    outcome = project.alembic("revision", "-m", "more")
    assert outcome.status == 0, outcome.out
    text = (project.versions / "0007_more.py").read_text()
    assert "down_revision = '0006'" in text


# Roots upon roots, branches


def squashed_twice(project: Project) -> None:
    history(project)
    create = "op.create_table('t_0006', sa.Column('id', sa.Integer, primary_key=True))\n"
    for id_ in OLD:
        create += f"op.create_table('t_{id_}', sa.Column('id', sa.Integer, primary_key=True))\n"
    project.revision(
        "0007", None, create, "pass", head="irreversible = 'x'\nreplaces = ('0005', '0006')"
    )
    project.table("0008", "0007")


@pytest.mark.parametrize("at", [None, *OLD, "0005", "0006", "0007"])
def test_upgrade_arrives_from_everywhere_when_a_root_replaces_a_root(
    project: Project, database: Database, at: str | None
) -> None:
    squashed_twice(project)
    assert at is None or project.alembic("upgrade", at).status == 0
    assert at is None or current(database) == [at]
    outcome = project.alembic("upgrade", "head")
    assert outcome.status == 0, outcome.out
    assert current(database) == ["0008"]
    assert tables(database) == ALL | {"t_0008"}


@pytest.mark.databases("sqlite")
def test_upgrade_marks_twice_when_the_first_root_is_kept(
    project: Project, database: Database
) -> None:
    squashed_twice(project)
    assert project.alembic("upgrade", "0004").status == 0
    delete(project)
    assert project.alembic("upgrade", "0006").status == 0
    assert journal(database)[-2:] == ["0005 replace done", "0006 up done"]
    delete(project, "0005", "0006")
    assert project.alembic("upgrade", "head").status == 0
    assert journal(database)[-2:] == ["0007 replace done", "0008 up done"]


@pytest.mark.databases("sqlite")
def test_upgrade_arrives_when_another_branch_depends_on_the_last(
    project: Project, database: Database
) -> None:
    history(project)
    project.revision("x1", None, head="branch_labels = 'x'\ndepends_on = '0004'")
    stand_at(project, database, "0004")
    assert project.alembic("upgrade", "heads").status == 0
    assert current(database) == ["0006", "x1"]
    assert tables(database) == ALL
    assert project.alembic("upgrade", "heads").status == 0


@pytest.mark.databases("sqlite")
def test_two_old_bases_are_replaced_by_one_root(project: Project, database: Database) -> None:
    project.table("0001")
    project.table("0002")
    project.revision("0003", ("0001", "0002"), "pass", "pass")
    project.table("0004", "0003")
    root(project)
    project.table("0006", "0005")
    for at, heads in (("0001", ["0001"]), ("0002", ["0001", "0002"]), ("0004", ["0004"])):
        assert project.alembic("upgrade", at).status == 0
        assert current(database) == heads
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0006"]
    assert journal(database)[-2:] == ["0005 replace done", "0006 up done"]


# What does not fit


def found(project: Project) -> str:
    config = read_config(project.directory / "alembic.ini")
    return "\n".join(map(str, checks.check(config)[1]))


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("after", ["0005", "0004"])
def test_check_finds_nothing_when_the_root_is_right(project: Project, after: str) -> None:
    history(project, after)
    assert found(project) == ""
    if after == "0005":
        delete(project, "0001", "0002")
        assert found(project) == ""
        delete(project, "0003", "0004")
        assert found(project) == ""


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("down_revision = '0004'", "it replaces other revisions, and comes after one"),
        ("replaces = ('0001', '0002', '0003')", "its down_revision is 0003, in the middle"),
        ("replaces = ('0001', '0003', '0004')", "it replaces 0003, and not 0002"),
        ("replaces = ('0002', '0001', '0003', '0004')", "0001 stands behind 0002"),
        ("replaces = ('0001', '0005', '0002', '0003', '0004')", "it replaces itself"),
        ("replaces = ('0001', '0002', '0004', '0003')", "0003 stands behind 0004"),
    ],
)
def test_root_that_does_not_fit_is_found_and_refused(
    project: Project, database: Database, wrong: str, said: str
) -> None:
    history(project)
    if said.startswith("its down_revision"):
        project.table("0004", "0003")
        project.table("0006", "0002")
        said = "its down_revision is 0002, in the middle of what 0005 replaces"
    path = project.versions / "0005_test.py"
    path.write_text(path.read_text() + f"\n{wrong}\n")
    assert said in found(project)
    assert said in project.refusal("upgrade", "head")
    assert tables(database) == set()


@pytest.mark.databases("sqlite")
def test_two_roots_for_one_revision_are_found(project: Project) -> None:
    history(project)
    root(project, "0007", ["0003", "0004"])
    assert "replaces 0003, and so does" in found(project) or "not 0002" in found(project)


@pytest.mark.databases("sqlite")
def test_parent_that_is_deleted_is_found_when_the_root_is_not_named(project: Project) -> None:
    history(project, "0004")
    delete(project)
    assert "its down_revision 0004 is in no file" in found(project)
    assert "0005" in found(project)


# Two at once


def test_two_deployers_mark_once(project: Project, database: Database) -> None:
    history(project)
    stand_at(project, database, "0004")
    delete(project)
    assert [status for status, _ in many(project, 2, "upgrade", "head")] == [0, 0]
    assert journal(database)[-2:] == ["0005 replace done", "0006 up done"]
    assert len(journal(database)) == 6
    assert rows(database, "SELECT COUNT(*) FROM alembic_version") == [1]


@pytest.mark.databases("sqlite")
def test_roundtrip_proves_the_root_and_what_comes_after(
    project: Project, database: Database
) -> None:
    database.engine.connect().close()
    history(project)
    outcome = command(project, "roundtrip", "--json")
    assert outcome.status == 0, outcome.out
    [proof] = json.loads(outcome.out)["proofs"]
    assert [one["id"] for one in proof["revisions"]] == ["0005", "0006"]


@pytest.mark.databases("sqlite")
def test_toolkit_upgrade_marks_again_and_takes_a_kept_revision(
    project: Project, database: Database
) -> None:
    history(project)
    outcome = command(project, "upgrade", "0003", one=database.url)
    assert outcome.status == 0, outcome.out + outcome.err
    assert current(database) == ["0003"]
    assert project.alembic("upgrade", "0004").status == 0
    outcome = command(project, "upgrade", "0005", one=database.url)
    assert outcome.status == 0, outcome.out + outcome.err
    assert "0004 -> 0005" in outcome.out
    outcome = command(project, "upgrade", one=database.url)
    assert "0005 -> 0006" in outcome.out
