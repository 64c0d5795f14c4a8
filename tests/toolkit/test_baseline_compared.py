"""`check --baseline`: a root is compared with what it replaces, and all that differs is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import Database
from tests.toolkit import roots
from tests.toolkit.conftest import Outcome, Project, tables
from tests.toolkit.fleets import command


def check(project: Project, database: Database, path: str, *argv: str) -> Outcome:
    url = [] if database.name == "sqlite" else [f"--url={database.url}"]
    return command(project, "check", "--baseline", path, *url, *argv)


def test_check_finds_nothing_when_the_root_is_right(project: Project, database: Database) -> None:
    roots.write(project, database.name)
    path = roots.write_root(project, database.name)
    outcome = check(project, database, path)
    assert outcome.status == 0, outcome.out + outcome.err
    assert "0004 makes what 0001 to 0003 made: " in outcome.out
    assert tables(database) == set()


def assert_found(project: Project, database: Database, text: str, said: list[str]) -> None:
    outcome = check(project, database, roots.write_root(project, database.name, text=text))
    assert outcome.status == 1, outcome.out + outcome.err
    assert "fails" not in outcome.out
    assert [part for part in said if part not in outcome.out] == [], outcome.out


def test_check_finds_all_that_is_wrong_in_a_root(project: Project, database: Database) -> None:
    roots.write(project, database.name)
    text, said = roots.rounds(database.name)[0]
    assert len(said) > 15
    assert_found(project, database, text, said)


@pytest.mark.long
def test_check_finds_each_way_to_get_a_root_wrong(project: Project, database: Database) -> None:
    roots.write(project, database.name)
    every = roots.rounds(database.name)[1:]
    assert sum(len(said) for _, said in roots.rounds(database.name)) >= 40
    for text, said in every:
        assert_found(project, database, text, said)


@pytest.mark.databases("sqlite")
def test_check_finds_what_the_downgrade_leaves(project: Project, database: Database) -> None:
    roots.write(project, database.name)
    path = Path(roots.write_root(project, database.name))
    path.write_text(path.read_text().replace('"plans", "words"', '"plans"'))
    outcome = check(project, database, str(path))
    assert outcome.status == 1
    assert "the downgrade of 0004 leaves:\n    + column words.word" in outcome.out
    path.write_text(path.read_text().replace("VIEW IF EXISTS rich", "VIEW poor"))
    assert (
        "its downgrade fails: OperationalError: no such view"
        in check(project, database, str(path)).out
    )


@pytest.mark.databases("sqlite")
def test_check_finds_that_the_root_fails(project: Project, database: Database) -> None:
    roots.write(project, database.name)
    path = roots.write_root(project, database.name, "CREATE VIEW rich", "CREATE VEIW rich")
    outcome = check(project, database, path)
    assert outcome.status == 1
    assert "its upgrade fails: OperationalError" in outcome.out
    assert "CREATE VEIW rich AS" in outcome.out


@pytest.mark.databases("sqlite")
def test_check_takes_a_root_that_is_not_in_its_directory_yet(
    project: Project, database: Database, tmp_path: Path
) -> None:
    roots.write(project, database.name)
    path = Path(roots.write_root(project, database.name))
    draft = path.rename(tmp_path / "0004_draft.py")
    outcome = check(project, database, str(draft))
    assert outcome.status == 0, outcome.out + outcome.err


@pytest.mark.databases("sqlite")
def test_check_cannot_compare_when_files_are_missing(project: Project, database: Database) -> None:
    roots.write(project, database.name)
    path = roots.write_root(project, database.name)
    (project.versions / "0002_test.py").unlink()
    outcome = check(project, database, path)
    assert outcome.status == 2
    assert "0004 replaces 0002, and no file has it: nothing was compared" in outcome.err
    other = project.table("0009")
    assert "replaces nothing" in check(project, database, str(other)).err
    assert "no file of a revision" in check(project, database, "nothing.py").err
    project.revision("0002", "0001", "op.execute('SELEC 1')", "pass")
    outcome = check(project, database, path)
    assert outcome.status == 2
    assert "the revisions that 0004 replaces do not run: OperationalError" in outcome.err


@pytest.mark.databases("postgresql")
def test_check_starts_the_server_of_the_project_when_none_is_named(
    project: Project, database: Database
) -> None:
    roots.write(project, database.name)
    path = roots.write_root(project, database.name)
    before = tables(database)
    outcome = command(project, "check", "--baseline", path)
    assert outcome.status == 0, outcome.out + outcome.err
    assert outcome.out.startswith("PostgreSQL ")
    assert tables(database) == before


@pytest.mark.databases("postgresql")
def test_check_says_what_each_run_makes_anew(project: Project, database: Database) -> None:
    random = "sa.text('gen_random_uuid()')"
    column = f"sa.Column('key', sa.Uuid, server_default={random}), sa.Column('n', sa.Integer)"
    seed = "op.execute('INSERT INTO t (n) VALUES (1), (2)')"
    body = f"op.create_table('t', {column})\n{seed}"
    project.revision("0001", None, body, "op.drop_table('t')")
    path = project.revision("0002", None, body, "op.drop_table('t')", head="replaces = ('0001',)")
    outcome = check(project, database, str(path))
    assert outcome.status == 0, outcome.out
    assert "not compared, because they differ in each run: t.key" in outcome.out
    path.write_text(path.read_text().replace("(1), (2)", "(1), (3)"))
    outcome = check(project, database, str(path))
    assert outcome.status == 1
    assert "+ row of t: n = 3" in outcome.out


@pytest.mark.databases("postgresql")
def test_check_says_where_only_casts_differ(project: Project, database: Database) -> None:
    table = "op.create_table('t', sa.Column('n', {}), sa.CheckConstraint('n > 0', name='ck'))"
    old = f"{table.format('sa.Double')}\nop.alter_column('t', 'n', type_=sa.Numeric(12, 2))"
    project.revision("0001", None, old, "op.drop_table('t')")
    new = table.format("sa.Numeric(12, 2)")
    path = project.revision("0002", None, new, "op.drop_table('t')", head="replaces = ('0001',)")
    outcome = check(project, database, str(path))
    assert outcome.status == 0, outcome.out
    assert "the same but for casts, which a change of type leaves: ~ check ck on t" in outcome.out
    path.write_text(path.read_text().replace("n > 0", "n > 1"))
    assert check(project, database, str(path)).status == 1
