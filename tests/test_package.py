"""What `pip install` of this repository brings."""

import email
import json
import re
import shutil
import sys
import sysconfig
import tarfile
import textwrap
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import alembic_helpers
from tests.copies import IS_CLONE, ROOT, copy_repository, repository_files, run
from tests.test_adopt import ENGINE, MODELS, blocks

PIP = f"'{sys.executable}' -m pip --quiet --disable-pip-version-check"
STUBS = "alembic_helpers-stubs/__init__.pyi"
VERSIONS = ROOT / "docs" / "versions.md"
Mistake = tuple[str, int, str]  # the file, the line, the kind of mistake


def isolation() -> str:
    """Say whether pip can build with what is installed, or has to download setuptools."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [needed] = re.findall(r'^requires = \["(setuptools[^"]*)"\]$', project, re.MULTILINE)
    try:
        installed = version("setuptools")
    except PackageNotFoundError:
        return ""
    return "--no-build-isolation" if installed in Requirement(needed).specifier else ""


def build(source: str, directory: Path) -> Path:
    """Build the wheel of a directory, or of an archive of the sources."""
    outcome = run(
        f"{PIP} wheel '{source}' --no-deps {isolation()} --wheel-dir '{directory}'", directory
    )
    assert outcome.status == 0, outcome.printed
    [path] = directory.glob("*.whl")
    return path


def contents(wheel: Path) -> dict[str, str]:
    """Return the text of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the repository."""
    directory = tmp_path_factory.mktemp("wheel")
    return build(str(copy_repository(directory / "clone").directory), directory)


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, str]:
    """Return the text of each file of the repository's wheel."""
    return contents(built)


def test_wheel_holds_the_helpers_and_the_toolkit_alone(wheel: dict[str, str]) -> None:
    metadata = f"alembic_toolkit-{alembic_helpers.__version__}.dist-info"
    files = {name for name in wheel if not name.startswith(f"{metadata}/")}
    toolkit = (ROOT / "alembic_toolkit").rglob("*")
    sources = {path for path in toolkit if path.suffix in {".py", ".html", ".json", ".typed"}}
    names = {str(path.relative_to(ROOT)) for path in sources}
    assert {Path(name).suffix for name in names} == {".py", ".html", ".json", ".typed"}
    assert files == {"alembic_helpers.py", STUBS, *names}


def test_wheel_files_are_those_of_the_repository(wheel: dict[str, str]) -> None:
    for name in ("alembic_helpers.py", "alembic_toolkit/runner.py"):
        assert wheel[name] == (ROOT / name).read_text(encoding="utf-8")


def test_wheel_has_the_types_of_the_helpers_where_type_checkers_look(wheel: dict[str, str]) -> None:
    assert (ROOT / STUBS).is_symlink() == IS_CLONE  # nothing is written twice
    assert wheel[STUBS] == wheel["alembic_helpers.py"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the archive of the sources."""
    directory = tmp_path_factory.mktemp("archive")
    copy = copy_repository(directory / "clone")
    code = "from setuptools import build_meta; build_meta.build_sdist('..')"
    outcome = copy.run(f"'{sys.executable}' -c \"{code}\"")
    assert outcome.status == 0, outcome.printed
    [path] = directory.glob("*.tar.gz")
    return path


def test_wheel_of_the_archive_of_the_sources_is_the_same(
    wheel: dict[str, str], archive: Path, tmp_path: Path
) -> None:
    # There, and wherever else no links are to be had, the link is a file.
    assert contents(build(str(archive), tmp_path)) == wheel


def test_archive_of_the_sources_has_what_a_clone_has(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        files = {name.partition("/")[2] for name in opened.getnames()}
        executable = {one.name.partition("/")[2] for one in opened if one.mode & 0o100}
    assert {name for name in repository_files() if (ROOT / name).is_file()} - files == set()
    assert {f"scripts/{path.name}" for path in (ROOT / "scripts").iterdir()} - executable == set()


def test_archive_of_the_sources_has_tests_that_run(archive: Path, tmp_path: Path) -> None:
    assert run(f"tar -xzf '{archive}'", tmp_path).status == 0
    [directory] = tmp_path.iterdir()
    # A test with a database, and one that copies the repository, which is no clone there.
    tests = "tests/bills/test_samples.py tests/test_package.py -k 'sqlite or wheel_files'"
    outcome = run(
        f"'{sys.executable}' -m pytest -q {tests}",
        directory,
        PYTHONPATH=str(directory),
    )
    assert outcome.status == 0, outcome.printed
    assert re.search(r"\d passed", outcome.printed), outcome.printed
    assert "skipped" not in outcome.printed


def test_metadata_say_what_it_is_and_where_it_runs(wheel: dict[str, str]) -> None:
    [text] = [text for name, text in wheel.items() if name.endswith(".dist-info/METADATA")]
    found = email.message_from_string(text)
    assert found["Version"] == alembic_helpers.__version__
    assert found["Author"] == "The alembic-toolkit developers"
    assert found["License-Expression"] == "MIT"
    assert "migrations" in found["Keywords"]
    said = {line.rpartition(" :: ")[2] for line in found.get_all("Classifier", [])}
    named = re.findall(r"^\| Python \| (.*?) \|", VERSIONS.read_text(encoding="utf-8"), re.M)
    assert {*named[0].split(", ")} == {line for line in said if re.fullmatch(r"3\.\d+", line)}
    assert found["Requires-Python"] == f">={named[0].split(', ')[0]}"


def test_wheel_brings_the_command(wheel: dict[str, str]) -> None:
    [name] = [name for name in wheel if name.endswith(".dist-info/entry_points.txt")]
    assert "[console_scripts]\nalembic-toolkit = alembic_toolkit.cli:main\n" in wheel[name]


def test_wheel_brings_the_licence(wheel: dict[str, str]) -> None:
    assert any(Path(name).name == "LICENSE" for name in wheel)


# What a type checker makes of it, where it is installed

RIGHT = {
    "env.py": """\
        from alembic import context

        from alembic_toolkit.runner import run

        run(context, target_metadata=None, lock_timeout="3s")
        """,
    "right.py": '''\
        """A revision without a mistake."""

        import sqlalchemy as sa

        import alembic_helpers as op

        revision = "0002"
        down_revision = "0001"


        def upgrade() -> None:
            bills = op.create_table("bills", sa.Column("id", sa.Integer, primary_key=True))
            op.add_column("bills", sa.Column("paid", sa.Date), if_not_exists=True)
            with op.batch_alter_table("bills", recreate="always") as batch:
                batch.alter_column("paid", nullable=False)
            op.create_index("ix_bills_paid", "bills", ["paid", sa.text("lower(id)")])
            op.create_foreign_key("fk", "bills", "people", ["payer"], ["id"], ondelete="CASCADE")
            op.bulk_insert(sa.table("bills", sa.column("id")), [{"id": 1}], key=["id"])
            op.backfill("bills", {"paid": sa.func.now()}, where="paid IS NULL", pause=0.5)
            op.execute(sa.text("DELETE FROM bills WHERE id = 7"), once="the seventh")
            if op.table_has_column("bills", "paid") and bills is not None:
                print(bills.name)


        def downgrade() -> None:
            try:
                op.drop_table("bills")
            except op.MissingParent as error:
                op.irreversible(str(error))
        ''',
}
# What docs/adopt.md has adopters write: for each kind of project its env.py, and its application.
for _heading in ("Plain Alembic", "FastAPI", "Flask-Migrate", "Several databases"):
    for _name, _block in blocks(_heading):
        if _name.endswith(".py"):
            _kind = _heading.partition(" ")[0].lower().replace("-", "_")
            RIGHT[f"{_kind}_{Path(_name).stem}.py"] = _block.text
# Of FastAPI's the page gives the last line alone.
RIGHT["fastapi_env.py"] = "".join(
    [*RIGHT["plain_env.py"].splitlines(keepends=True)[:-1], RIGHT["fastapi_env.py"]]
)

# Each line that ends with a comment has the mistake that it names.
WRONG = '''\
    """A revision with mistakes."""

    import sqlalchemy as sa

    import alembic_helpers as op
    from alembic_toolkit import rum  # attr-defined
    from alembic_toolkit import run

    revision = "0003"
    down_revision = "0002"


    def upgrade() -> None:
        op.rename_table("bills", "invoices", shema="old")  # call-arg
        op.add_column("bills", "paid DATE")  # arg-type
        op.add_colum("bills", sa.Column("paid", sa.Date))  # attr-defined
        op.drop_constraint()  # call-arg
        op.backfill("bills", {"paid": None}, where=3)  # arg-type
        op.batch_alter_table("bills", recreate="often")  # arg-type
        if op.table_has_column("bills"):  # call-arg
            op.get_bind().exec_driver_sqls("SELECT 1")  # attr-defined
        number: int = op.table_exists("bills") + ""  # operator
        try:
            op.create_enum("kind", values=1)  # arg-type
        except op.SchemaConflict as error:
            error.way_on()  # attr-defined
        except op.SchemaConflicts:  # attr-defined
            run(number)  # arg-type


    def downgrade() -> None:
        op.irreversible(0)  # arg-type
    '''


@pytest.fixture(scope="module")
def user(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, and return a directory with somebody's files."""
    directory = tmp_path_factory.mktemp("user")
    venv.create(directory / "venv", symlinks=True)
    outcome = run(
        f"{PIP} install --no-deps --no-index --ignore-installed --no-compile"
        f" --prefix '{directory / 'venv'}' '{built}'",
        directory,
    )
    assert outcome.status == 0, outcome.printed
    # All that the wheel needs, and mypy, are at hand, but not this clone: that would take more
    # than the name of a directory.
    [packages] = directory.glob("venv/lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    modules = {"myapp/models.py": MODELS, "app/db.py": ENGINE, "wrong.py": WRONG}
    for name, text in (RIGHT | modules).items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return directory


def by_mypy(directory: Path, python: str = "venv/bin/python") -> set[Mistake]:
    outcome = run(
        f"'{python}' -I -m mypy --strict --show-error-codes --hide-error-context --no-pretty"
        f" --no-color-output --cache-dir cache {' '.join(RIGHT)} wrong.py",
        directory,
    )
    found = re.findall(r"(?m)^(\S+?):(\d+): error: .*\[([\w-]+)\]$", outcome.printed)
    assert f"Found {len(found)} errors" in outcome.printed, outcome.printed
    return {(name, int(line), kind) for name, line, kind in found}


def by_mypy_in_an_editable_install(directory: Path) -> set[Mistake]:
    # The clone that scripts/setup has installed, used from somewhere else.
    return by_mypy(directory, sys.executable)


def by_pyright(directory: Path) -> set[Mistake]:
    if shutil.which("node") is None:
        pytest.skip("pyright needs Node.js, and there is none on the PATH")
    outcome = run(
        f"'{sys.executable}' -m pyright --pythonpath venv/bin/python --outputjson"
        f" {' '.join(RIGHT)} wrong.py",
        directory,
        PYRIGHT_PYTHON_IGNORE_WARNINGS="1",
    )
    found = json.loads(outcome.printed)["generalDiagnostics"]
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, KINDS[one.get("rule")])
        for one in found
    }


# What pyright calls the mistakes that are named in WRONG as mypy does.
KINDS = {
    "reportAttributeAccessIssue": "attr-defined",
    "reportArgumentType": "arg-type",
    "reportCallIssue": "call-arg",
    "reportOperatorIssue": "operator",
}


@pytest.fixture(scope="module", params=[by_mypy, by_mypy_in_an_editable_install, by_pyright])
def errors(request: pytest.FixtureRequest, user: Path) -> set[Mistake]:
    """Return what a type checker finds in somebody's files: where, and what kind."""
    found: set[Mistake] = request.param(user)
    return found


@pytest.mark.long
def test_type_checker_has_nothing_to_say_of_what_is_right(errors: set[Mistake]) -> None:
    assert {error for error in errors if error[0] != "wrong.py"} == set()


def test_type_checker_finds_each_mistake_in_a_revision(errors: set[Mistake]) -> None:
    lines = enumerate(textwrap.dedent(WRONG).splitlines(), 1)
    planted = {("wrong.py", number, line.partition("  # ")[2]) for number, line in lines}
    planted = {mistake for mistake in planted if mistake[2]}
    assert planted
    assert {error for error in errors if error[0] == "wrong.py"} == planted
