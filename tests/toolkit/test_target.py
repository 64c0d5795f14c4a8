"""`run(context)` alone: which database and which models it takes from where Alembic has them."""

from __future__ import annotations

import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.runtime.environment import EnvironmentContext

from alembic_toolkit import run
from tests.copies import ROOT, environment
from tests.databases import Database
from tests.toolkit.conftest import INI, Project, current, tables

MODELS = """\
import sqlalchemy as sa
from alembic import context
from alembic_toolkit import run

target_metadata = sa.MetaData()
sa.Table("t_0001", target_metadata, sa.Column("id", sa.Integer, primary_key=True))
"""
sqlite = pytest.mark.databases("sqlite")


def escaped(url: str) -> str:
    return url.replace("%", "%%")


# The database


def test_url_of_the_named_section_is_used(project: Project, database: Database) -> None:
    project.table("0001")
    ini = INI.replace("[alembic]", "[staging]") + f"sqlalchemy.url = {escaped(database.url)}\n"
    project.write("alembic.ini", f"{ini}\n{INI}sqlalchemy.url = sqlite:///no/such/directory.db\n")
    assert "directory.db cannot be used" in project.refusal("upgrade", "head")
    assert project.alembic("-n", "staging", "upgrade", "head").status == 0
    assert current(database) == ["0001"]


def test_other_options_of_the_engine_count(project: Project, database: Database) -> None:
    project.table("0001")
    ini = f"{INI}sqlalchemy.url = {escaped(database.url)}\n"
    project.write("alembic.ini", f"{ini}sqlalchemy.nonsense = 1\n")
    assert "cannot be used: Invalid argument(s) 'nonsense'" in project.refusal("upgrade", "head")
    if database.kin != "sqlite":  # which `run` gives transactions
        project.write("alembic.ini", f"{ini}sqlalchemy.isolation_level = AUTOCOMMIT\n")
        message = project.refusal("upgrade", "head")
        assert "the connection commits each statement by itself" in message
        assert "isolation_level out of alembic.ini" in message
    project.write("alembic.ini", f"{ini}sqlalchemy.isolation_level = SERIALIZABLE\n")
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0001"]


@sqlite
def test_percent_signs_and_other_options_are_read_as_alembic_reads_them(
    project: Project, tmp_path: Path
) -> None:
    project.table("0001")
    url = f"name = a%%2Bb\nsqlalchemy.url = sqlite:///{tmp_path}/%(name)s.db\n"
    project.write("alembic.ini", INI + url)
    assert project.alembic("upgrade", "head").status == 0
    assert Path(str(sa.make_url(f"sqlite:///{tmp_path}/a%2Bb.db").database)).exists()


def test_percent_sign_that_is_not_doubled_is_said_without_the_password(offline: Project) -> None:
    url = "postgresql+psycopg://me:se%40cret@127.0.0.1:1/bills"
    for line in (f"sqlalchemy.url = {url}", f"sqlalchemy.url = {url}%(nowhere)s"):
        offline.write("alembic.ini", f"{INI}{line}\n")
        message = offline.refusal("upgrade", "head")
        assert message.startswith("alembic.ini, [alembic]: sqlalchemy.url cannot be read")
        assert "becomes %%40" in message
        assert "cret" not in message


@sqlite
def test_url_of_pyproject_is_used_when_the_ini_file_has_none(
    project: Project, database: Database
) -> None:
    project.table("0001")
    (project.directory / "alembic.ini").unlink()
    project.write(
        "pyproject.toml",
        '[tool.alembic]\nscript_location = "%(here)s/migrations"\n'
        f'"sqlalchemy.url" = "{database.url}"\n',
    )
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=project.directory,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert current(database) == ["0001"]


@pytest.mark.parametrize("url", ["", "driver://user:pass@localhost/dbname"])
def test_lines_to_paste_are_told_when_there_is_no_url(offline: Project, url: str) -> None:
    offline.table("0001")
    offline.write("alembic.ini", f"{INI}sqlalchemy.url = {url}\n")
    for argv in (["upgrade", "head"], ["upgrade", "head", "--sql"], ["current"]):
        message = offline.refusal(*argv)
        assert message.startswith("no database is named: nothing was run\n  found   ")
        assert "  wanted  sqlalchemy.url in alembic.ini, [alembic]; or run(context, url)" in message
        assert "    sqlalchemy.url = postgresql+psycopg://user:password@host/name\n" in message
        assert 'run(context, os.environ["DATABASE_URL"])' in message
    assert offline.alembic("revision", "-m", "x").status == 0  # which needs none


@pytest.mark.parametrize("given", [1, "engine"])
def test_what_is_no_database_is_refused(offline: Project, given: object) -> None:
    offline.attributes["connection"] = sa.orm.Session() if given == "engine" else given
    message = offline.refusal("upgrade", "head")
    assert message.startswith("run() cannot use an ")
    assert "run(context, engine)" in message


# The models


def test_models_are_the_variable_of_the_module_that_calls_run(project: Project) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    for call in ("run(context)", "def online():\n    run(context)\nonline()"):
        project.write("migrations/env.py", f"{MODELS}{call}\n")
        assert "No new upgrade operations" in project.alembic("check").out
    project.write("migrations/env.py", MODELS.replace("t_0001", "t_0002") + "run(context)\n")
    assert "t_0002" in project.refusal("check")
    given = MODELS.replace("target_metadata", "models") + "run(context, target_metadata=models)\n"
    project.write("migrations/env.py", f"target_metadata = None\n{given}")
    assert "No new upgrade operations" in project.alembic("check").out


def test_models_of_several_databases_are_found_by_the_name(project: Project) -> None:
    project.table("0001")
    models = MODELS.replace("target_metadata", "models")
    models += "target_metadata = {'one': models, 'other': sa.MetaData()}\n"
    project.write("migrations/env.py", models + "run(context)\n")
    assert project.alembic("upgrade", "head").status == 0
    for name, said in (("one", "No new upgrade operations"), ("other", "remove_table")):
        project.write("migrations/env.py", models + f"run(context, engine_name={name!r})\n")
        assert said in project.alembic("check").out


def test_way_is_told_when_check_has_no_models(project: Project) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    message = project.refusal("check")
    assert message.startswith("there are no models to compare with")
    assert "    target_metadata = Base.metadata" in message


# --autogenerate


def test_comparison_is_written_where_it_is_allowed(project: Project, database: Database) -> None:
    project.write("migrations/script.py.mako", MAKO)
    project.write("migrations/env.py", MODELS + "run(context, autogenerate=True)\n")
    assert project.alembic("revision", "--autogenerate", "-m", "First").status == 0
    assert tables(database) == set()  # nothing was written there
    [path] = project.versions.glob("*.py")
    assert path.name == "0001_first.py"
    assert "op.create_table('t_0001'" in path.read_text(encoding="utf-8")
    assert project.alembic("upgrade", "head").status == 0
    assert "No new upgrade operations" in project.alembic("check").out
    assert project.alembic("revision", "--autogenerate", "-m", "Second").status == 0
    second = project.versions / "0002_second.py"
    assert "drop_table" not in second.read_text(encoding="utf-8")  # our own are left alone
    assert current(database) == ["0001"]


MAKO = '''\
"""${message}"""
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

def upgrade():
    ${upgrades if upgrades else "pass"}

def downgrade():
    ${downgrades if downgrades else "pass"}
'''


# What context.configure takes


def test_every_keyword_of_configure_is_documented() -> None:
    known = {*signature(EnvironmentContext.configure).parameters} - {"self", "kw"}
    known |= {*re.findall(r":param (\w+):", EnvironmentContext.configure.__doc__ or "")}
    assert len(known) > 30
    assert known - {*re.findall(r"``(\w+)", run.__doc__ or "")} == {"target_metadata"}


@pytest.mark.parametrize(
    "name", ["connection", "url", "dialect_name", "starting_rev", "as_sql", "fn"]
)
def test_keyword_that_is_not_for_run_is_refused(offline: Project, name: str) -> None:
    offline.table("0001")
    offline.write("migrations/env.py", MODELS + f"run(context, {name}=None)\n")
    for argv in (["upgrade", "head"], ["upgrade", "head", "--sql"], ["revision", "-m", "x"]):
        message = offline.refusal(*argv)
        assert message.startswith(f"run(..., {name}=...) is not possible: nothing was run\n")
        assert "What to do next:\n    " in message


def test_transaction_for_all_revisions_is_refused(project: Project, database: Database) -> None:
    project.table("0001")
    for value, status in (("False", 255), ("True", 0)):
        call = f"run(context, transaction_per_migration={value})\n"
        project.write("migrations/env.py", MODELS + call)
        assert project.alembic("upgrade", "head").status % 256 == status
        assert ("t_0001" in tables(database)) is (status == 0)


@sqlite
def test_keywords_are_handed_on(project: Project, database: Database, tmp_path: Path) -> None:
    project.table("0001")
    script = tmp_path / "script.sql"
    call = f"file = open({str(script)!r}, 'w') if context.is_offline_mode() else None\n"
    call += "seen = lambda name, type_, parents: name != 't_other'\n"
    call += "run(context, output_buffer=file, version_table='v', include_name=seen, tag='x')\n"
    call += "file and file.close()\n"
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t_other (id INTEGER)"))
    project.write("migrations/env.py", MODELS + call)
    assert project.alembic("upgrade", "head").status == 0
    assert {"v", "v_history"} <= tables(database)
    assert "No new upgrade operations" in project.alembic("check").out
    assert project.alembic("upgrade", "head", "--sql").out == ""
    assert "t_0001" in script.read_text(encoding="utf-8")


# The package


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_package_imports_what_is_asked_for() -> None:
    loaded = "import sys; print(*sorted(m for m in sys.modules if m.startswith('alembic')))"
    names = python(f"import alembic_toolkit; {loaded}").split()
    assert names == ["alembic_toolkit"]
    names = python(f"from alembic_toolkit import ready; {loaded}").split()
    assert "alembic_toolkit.runner" not in names
    printed = python(
        "import alembic_toolkit; from alembic_toolkit import run, runner\n"
        "assert run is runner.run\nprint(alembic_toolkit.__version__)"
    )
    assert printed.strip()[0].isdigit()
    with pytest.raises(AssertionError, match="no attribute 'nonsense'"):
        python("import alembic_toolkit; alembic_toolkit.nonsense")


def test_command_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic_toolkit", "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(": sound\n")
