"""`rebase`: of two revisions that were written at the same time, one is put after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Outcome, Project, current, tables
from tests.toolkit.fleets import command

TEXT = (
    b'\xef\xbb\xbf"""Add x: f\xc3\xbcr Zo\xc3\xab, after 0014.\r\n\r\nRevision ID: 0015\r\n'
    b'Revises: 0014\r\nCreate Date: 0014\r\n"""\r\n'
    b"from alembic import op  # 0015, 0014\r\n"
    b'revision: str = "0015"  # 0015\r\n'
    b"down_revision: str | None = '0014' # 0014\r\n\r\n"
    b"def upgrade():\r\n\top.execute('SELECT 14, 0014, 0015')\r\n"
    b"def downgrade():\n\top.execute('SELECT 0015') \t\r\n\r\n# 0015"
)


def rebase(project: Project, path: Path, *argv: str, **urls: str) -> Outcome:
    return command(project, "rebase", str(path), *argv, **urls)


def two(project: Project) -> Path:
    """Write two revisions of the same number."""
    project.table("0014")
    project.table("0015", "0014")
    path = project.versions / "0015_x.py"
    path.write_bytes(TEXT)
    return path


@pytest.mark.databases("sqlite")
def test_rebase_changes_only_what_says_the_place(project: Project, database: Database) -> None:
    database.engine.connect().close()
    path = two(project)
    path.chmod(0o640)
    outcome = rebase(project, path)
    assert outcome.status == 0, outcome.err
    assert "0015_x.py -> " in outcome.out
    assert outcome.out.endswith("0016_x.py: 0015 after 0014 -> 0016 after 0015\n")
    new = project.versions / "0016_x.py"
    wanted = TEXT.replace(b"Revision ID: 0015", b"Revision ID: 0016")
    wanted = wanted.replace(b"Revises: 0014", b"Revises: 0015")
    wanted = wanted.replace(b'"0015"', b'"0016"').replace(b"'0014'", b"'0015'")
    assert new.read_bytes() == wanted
    assert new.stat().st_mode & 0o777 == 0o640
    assert not path.exists()
    assert len([*project.versions.glob("*.py")]) == 3
    assert command(project, "check").status == 0
    again = rebase(project, new)
    assert again.status == 2
    assert "it comes after the last one already" in again.err


@pytest.mark.databases("sqlite")
def test_rebase_keeps_an_id_that_is_no_number(project: Project, database: Database) -> None:
    database.engine.connect().close()
    project.table("aa11")
    project.table("bb22", "aa11")
    path = project.table("cc33", "aa11")
    before = path.read_text()
    outcome = rebase(project, path)
    assert outcome.status == 0, outcome.err
    assert outcome.out.endswith("cc33_test.py: after aa11 -> after bb22\n")
    assert path.read_text() == before.replace("down_revision = 'aa11'", "down_revision = 'bb22'")


def test_rebase_refuses_what_a_database_has_run(project: Project, database: Database) -> None:
    project.table("0014")
    path = project.table("0015", "0014")
    assert project.alembic("upgrade", "head").status == 0
    other = project.versions / "0015_other.py"
    other.write_text(path.read_text().replace("t_0015", "t_other"))
    text = path.read_bytes()
    outcome = rebase(project, path, one=database.url)
    assert outcome.status == 2
    assert "one has run 0015: its journal says up, done" in outcome.err
    assert path.read_bytes() == text
    other.write_bytes(other.read_bytes() + b"# a comment is not what ran\n")
    outcome = rebase(project, other, one=database.url)  # the journal has the other file's hash
    assert outcome.status == 0, outcome.err
    assert (project.versions / "0016_other.py").exists()
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0016"]
    assert "t_other" in tables(database)


def test_rebase_takes_what_was_taken_back(project: Project, database: Database) -> None:
    project.table("0014")
    path = project.table("0015", "0014")
    assert project.alembic("upgrade", "head").status == 0
    other = project.table("0016", "0014")
    assert "has run 0015" in rebase(project, path).err
    assert rebase(project, other).status == 0
    other.unlink()
    project.table("0016", "0014")
    assert project.alembic("downgrade", "0014").status == 0
    assert rebase(project, path).status == 0
    assert (project.versions / "0017_test.py").exists()
    assert project.alembic("upgrade", "head").status == 0


@pytest.mark.databases("sqlite")
def test_rebase_refuses_what_it_cannot_know(project: Project, database: Database) -> None:
    project.table("0014")
    assert project.alembic("-x", "journal=no", "stamp", "0014").status == 0
    path = two(project)
    gone = rebase(project, path, one="postgresql+psycopg://me:s3cret@127.0.0.1:1/none")
    assert gone.status == 2
    assert "one cannot be asked: cannot be reached" in gone.err
    assert "s3cret" not in gone.err
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0015'")
    outcome = rebase(project, path)
    assert "is at 0015, and its journal does not say which file that is" in outcome.err
    assert path.read_bytes() == TEXT


@pytest.mark.databases("sqlite")
def test_rebase_refuses_what_is_no_leaf_of_two_heads(project: Project, database: Database) -> None:
    database.engine.connect().close()
    path = two(project)
    project.table("0016", "0015")
    outcome = rebase(project, path)
    assert outcome.status == 2
    assert "0016_test.py comes after 0015, and 0015_test.py is that, too" in outcome.err
    outcome = rebase(project, path, "--onto", "0016")
    assert outcome.status == 0, outcome.err
    assert (project.versions / "0017_x.py").exists()
    first = project.versions / "0014_test.py"
    assert "is a root" in rebase(project, first).err
    assert "after it: 0016_test.py" in rebase(project, project.versions / "0015_test.py").err
    project.table("0018", "0014")
    third = project.table("0019", "0014")
    outcome = rebase(project, third)
    assert "besides it, 2 heads: 0017, 0018" in outcome.err
    assert "--onto 0018" in outcome.err
    assert rebase(project, third, "--onto", "0018").status == 0
    assert "is no revision" in rebase(project, project.directory / "alembic.ini").err
