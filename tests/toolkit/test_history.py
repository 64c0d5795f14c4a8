"""`alembic-toolkit check`: what is wrong in the files, and what to write instead."""

import importlib.metadata
from pathlib import Path

import pytest

from alembic_toolkit.cli import main
from tests.toolkit.conftest import Project

ROOT = Path(__file__).parents[2]


def findings(project: Project, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the findings, two lines each, without the line that counts them."""
    assert main(["check", "-c", str(project.directory / "alembic.ini")]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    found = [" ".join(pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
    assert last.startswith(f"{len(found)} finding")
    assert all("    instead: " in finding for finding in found)
    return found


def finding(project: Project, capsys: pytest.CaptureFixture[str]) -> str:
    [only] = findings(project, capsys)
    return only


def test_check_says_sound_in_one_line_when_nothing_is_wrong(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("0001")
    offline.table("0002", "0001")
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0
    assert capsys.readouterr().out == "2 revisions, one head (0002): sound\n"


def test_check_says_sound_of_this_repository(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check"]) == 0
    assert capsys.readouterr().out.endswith(": sound\n")


@pytest.mark.parametrize("missing", [False, True])
def test_check_is_refused_when_there_is_no_revision(
    offline: Project, capsys: pytest.CaptureFixture[str], missing: bool
) -> None:
    if missing:
        offline.versions.rmdir()
    for command in ("check", "roundtrip"):
        assert main([command, "-c", str(offline.directory / "alembic.ini")]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "there are no revisions in " in captured.err
        assert ("there is no directory" in captured.err) == missing
        assert "What to do next:" in captured.err


def test_check_imports_no_revision(offline: Project, capsys: pytest.CaptureFixture[str]) -> None:
    offline.revision("0001", head="raise SystemExit('imported')")
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0


# The graph


def test_check_finds_several_heads(offline: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for id_, after in (("0001", None), ("0002a", "0001"), ("0002b", "0001")):
        offline.table(id_, after)
    found = finding(offline, capsys)
    assert "0002b_test.py: 2 heads: 0002a (0002a_test.py), 0002b (0002b_test.py)" in found
    assert 'instead: down_revision = "0002a", so that it comes after the other' in found
    assert 'alembic merge -m "..." 0002a 0002b' in found


def test_check_finds_an_id_that_is_taken(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("0001")
    path = offline.table("0002", "0001")
    (offline.versions / "0003_copy.py").write_bytes(path.read_bytes())
    found = finding(offline, capsys)
    assert "0003_copy.py: its id 0002 is taken by 0002_test.py" in found
    assert 'revision = "0003"' in found


def test_check_finds_an_id_that_no_file_has(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("0001")
    offline.table("0002", "0001")
    offline.table("0003", "00O2")
    found = [line for line in findings(offline, capsys) if "heads" not in line]
    assert len(found) == 1
    assert "0003_test.py: its down_revision 00O2 is in no file" in found[0]
    assert "perhaps 0002" in found[0]


def test_check_takes_the_label_and_the_beginning_of_an_id_in_depends_on(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.revision("abc123", head="branch_labels = ['other']")
    offline.revision("0002", "abc123", head="depends_on = 'abc'")
    offline.revision("0003", "0002", head="depends_on = ('other', 'nothing')")
    assert "its depends_on nothing is in no file" in finding(offline, capsys)


def test_check_finds_a_circle(offline: Project, capsys: pytest.CaptureFixture[str]) -> None:
    offline.table("0001", "0003")
    offline.table("0002", "0001")
    offline.table("0003", "0002")
    offline.table("0004", "0003")
    assert "comes after itself: 0001 -> 0003 -> 0002 -> 0001" in finding(offline, capsys)


def test_check_finds_a_revision_after_itself(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("0001", "0001")
    assert "comes after itself: 0001 -> 0001" in finding(offline, capsys)


def test_check_finds_an_id_that_is_too_long(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("a" * 33)
    assert "has 33 characters, the version table holds 32" in finding(offline, capsys)


def test_check_finds_an_id_that_alembic_refuses(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("2024-05")
    assert "its id '2024-05' means something else to alembic" in finding(offline, capsys)


# The files


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def upgrade(:\n", ":1: does not parse: invalid syntax"),
        ("x = '\0'\n", "null bytes"),
        ("down_revision = None\n", "has no revision id"),
        ("revision = None\ndown_revision = None\n", "has no revision id"),
        ("revision = '1'\n", "has no down_revision"),
        ("revision = '0' + ID\ndown_revision = None", ":1: its revision is computed, not written"),
        ("revision = '1'\ndown_revision = 1\n", ":2: its down_revision is 1, not a text"),
        ("revision = '1'\ndown_revision = ID\n", ":2: its down_revision is computed, not written"),
    ],
)
def test_check_finds_a_file_that_is_no_revision(
    offline: Project, capsys: pytest.CaptureFixture[str], source: str, problem: str
) -> None:
    offline.table("0001")
    offline.write("migrations/versions/0002_test.py", source)
    assert problem in finding(offline, capsys)


def test_check_reads_names_that_have_a_type(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.revision(
        "0001",
        head="from typing import Union\nempty: str = 'yes'",
        upgrade="pass",
        downgrade="pass",
    )
    offline.write(
        "migrations/versions/0002_test.py",
        "revision: str = '0002'\ndown_revision: str | None = '0001'\nbranch_labels = None\n"
        "def upgrade(): op.execute('x')\nasync def downgrade(): op.execute('x')\n",
    )
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0


def test_check_reads_the_directories_that_alembic_reads(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = offline.directory / "alembic.ini"
    here = "%(here)s/migrations"
    more = f"version_locations = {here}/versions:{here}/more\nrecursive_version_locations = true\n"
    ini.write_text(ini.read_text() + more)
    (offline.directory / "migrations/more/2026").mkdir(parents=True)
    offline.table("0001")
    offline.write("migrations/versions/__init__.py", "")
    offline.write("migrations/more/2026/b.py", "def upgrade(:")
    assert "b.py:1: does not parse" in finding(offline, capsys)


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "problem"),
    [
        ("raise NotImplementedError", "pass", "its upgrade() only raises NotImplementedError"),
        (
            "raise NotImplementedError('a')",
            "'b'\nraise NotImplementedError('c')",
            "its upgrade() and downgrade() only raise NotImplementedError",
        ),
        ("op.execute('x')", "raise NotImplementedError()", "its downgrade() only raises"),
        ("pass", "'docstring'\n...", "its upgrade() and downgrade() are both empty"),
        ("op.execute('x')", "pass", "its downgrade() is empty, its upgrade() is not"),
        ("op.execute('x')", "'why'\n...", "its downgrade() is empty, its upgrade() is not"),
    ],
)
def test_check_finds_a_revision_that_is_not_written(
    offline: Project,
    capsys: pytest.CaptureFixture[str],
    upgrade: str,
    downgrade: str,
    problem: str,
) -> None:
    offline.table("0001")
    offline.revision("0002", "0001", upgrade, downgrade)
    assert f"0002_test.py: {problem}" in finding(offline, capsys)


def test_check_finds_a_function_that_is_missing(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.write(
        "migrations/versions/0001.py", "revision, x = 1, 2\nrevision = '1'\ndown_revision = None\n"
    )
    assert "has no upgrade() and no downgrade()" in finding(offline, capsys)


def test_check_takes_an_empty_downgrade_that_is_declared(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.revision("0001", None, "op.execute('x')", "pass", head="irreversible = 'rows are gone'")
    offline.revision("0002", "0001", "op.execute('x')", "pass", head="empty = 'of use in both'")
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0, capsys.readouterr()


def test_check_takes_a_downgrade_that_is_declared_irreversible(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "irreversible = 'the rows are gone'"
    offline.revision("0001", None, "op.execute('x')", "raise NotImplementedError", head=head)
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0


def test_check_takes_a_revision_that_is_declared_empty(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.table("0001")
    offline.revision("0002", "0001", "pass", "pass")
    assert 'where it changes nothing: empty = "why", in the module' in finding(offline, capsys)
    offline.revision("0002", "0001", "pass", "pass", head="empty = 'for the release'")
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0


# Imports


@pytest.mark.parametrize(
    ("layout", "statement"),
    [
        ("bills.py", "import bills"),
        ("bills/models.py", "from bills.models import Base"),
        ("bills/models.py", "def f():\n    import bills.models as m"),
        ("src/bills/models.py", "from bills import models"),
    ],
)
def test_check_finds_a_revision_that_imports_the_application(
    offline: Project, capsys: pytest.CaptureFixture[str], layout: str, statement: str
) -> None:
    path = offline.directory / layout
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    offline.revision("0001", head=statement)
    found = finding(offline, capsys)
    assert "imports bills" in found
    assert "which changes while the revision must not" in found
    assert "sa.table(" in found


def test_check_finds_the_package_that_alembic_ini_lies_in(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.write("__init__.py", "")
    offline.write("models.py", "")
    offline.revision("0001", head="from project.models import Base")
    assert "imports project.models" in finding(offline, capsys)


def test_check_takes_imports_of_what_does_not_move(
    offline: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    offline.write("alembic_helpers.py", "")
    offline.write("migrations/shared.py", "")
    offline.revision(
        "0001",
        head="import json, os.path, pytest, alembic_helpers, sqlparse\n"
        "from sqlalchemy.dialects import postgresql\nfrom migrations import shared\n"
        "import migrations.shared\n",
    )
    assert main(["check", "-c", str(offline.directory / "alembic.ini")]) == 0


# It could not run


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("none.ini", None, "there is no none.ini with an [alembic] section"),
        ("empty.ini", "", "there is no empty.ini with an [alembic] section"),
        ("other.ini", "[other]\n", "there is no other.ini with an [alembic] section"),
        ("broken.ini", "nonsense\n", "no section headers"),
        ("bare.ini", "[alembic]\n", "No 'script_location' key"),
        ("gone.ini", "[alembic]\nscript_location = gone\n", "Path doesn't exist: gone"),
        ("pyproject.toml", "[tool.alembic\n", "Expected"),
    ],
)
def test_check_says_why_in_one_line_when_it_cannot_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str | None,
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    assert main(["check", "-c", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("alembic-toolkit check: ")
    assert captured.err.count("\n") == 1
    assert problem in captured.err


def test_check_reads_pyproject_toml(
    offline: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.table("0001")
    (offline.directory / "alembic.ini").unlink()
    offline.write("pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    assert main(["check", "-c", str(offline.directory / "pyproject.toml")]) == 0
    monkeypatch.chdir(offline.directory)
    assert main(["check"]) == 0


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    try:
        version = importlib.metadata.version("alembic-toolkit")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    assert capsys.readouterr().out == f"alembic-toolkit {version}\n"
