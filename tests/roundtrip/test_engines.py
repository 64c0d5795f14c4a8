"""Projects of several databases, as Alembic's template `multidb` makes them."""

from __future__ import annotations

import logging
import shutil
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from alembic_toolkit.cli import main
from alembic_toolkit.project import engines
from tests.toolkit.conftest import Project

pytestmark = pytest.mark.long

REVISION = """\
import sqlalchemy as sa
from alembic import op
revision = {id!r}
down_revision = {after!r}
def upgrade(engine_name):
    globals()["upgrade_%s" % engine_name]()
def downgrade(engine_name):
    globals()["downgrade_%s" % engine_name]()
"""
ONE = """\
def upgrade_{name}():
    op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True))
def downgrade_{name}():
    op.drop_table("{table}")
"""
RUN = """\
from alembic import context
from alembic_toolkit.runner import run

only = context.get_x_argument(as_dictionary=True).get("engine")
for name in (only or context.config.get_main_option("databases")).split(", "):
    url = context.config.get_section_option(name, "sqlalchemy.url")
    run(context, url, engine_name=name)
"""
ONLY = """\
only = context.get_x_argument(as_dictionary=True).get("engine")
db_names = only or config.get_main_option("databases", "")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path / "project")
    shutil.rmtree(made.directory / "migrations")
    ini = made.directory / "alembic.ini"
    ini.unlink()
    command.init(Config(ini), str(made.directory / "migrations"), template="multidb")
    text = ini.read_text().replace("driver://user:pass@localhost/dbname2", "sqlite:///two.db")
    ini.write_text(text.replace("driver://user:pass@localhost/dbname", "sqlite:///one.db"))
    for number in (1, 2):
        text = REVISION.format(id=f"000{number}", after=f"000{number - 1}" if number > 1 else None)
        for name in ("engine1", "engine2"):
            text += ONE.format(name=name, table=f"t{number}_of_{name}")
        made.write(f"migrations/versions/000{number}.py", text)
    monkeypatch.chdir(made.directory)
    return made


def made(path: str) -> set[str]:
    with sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool).connect() as connection:
        return {*sa.inspect(connection).get_table_names()}


def chooses(project: Project) -> None:
    """Write what the refusal says into env.py."""
    env = project.directory / "migrations" / "env.py"
    own = 'db_names = config.get_main_option("databases", "")\n'
    assert own in env.read_text()
    env.write_text(env.read_text().replace(own, ONLY))


def test_command_is_refused_when_no_engine_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for argv in (
        ["sql"],
        ["sql", "--dialect=sqlite"],
        ["roundtrip"],
        ["upgrade", "--url=sqlite:///x.db"],
    ):
        assert main(argv) in (1, 2)
        captured = capsys.readouterr()
        shown = captured.out + captured.err
        assert "runs each revision on several databases." in " ".join(shown.split()), argv
        assert "found   engine1, engine2\n" in shown, argv
        for line in ONLY.splitlines():
            assert line in shown
        assert "-x engine=engine1" in shown
    assert {*project.directory.glob("*.sql")} == set()
    assert made("x.db") == set()


def test_command_is_about_the_engine_that_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    chooses(project)
    assert main(["roundtrip", "-x", "engine=engine2"]) == 0
    assert "2 of 2 revisions: proven on sqlite" in capsys.readouterr().out
    assert main(["sql", "-x", "engine=engine2"]) == 0
    script = capsys.readouterr().out
    assert "t1_of_engine2" in script
    assert "engine1" not in script
    assert main(["upgrade", "--url=sqlite:///new.db", "-x", "engine=engine1"]) == 0
    assert made("new.db") == {"alembic_version", "t1_of_engine1", "t2_of_engine1"}
    assert main(["status", "--url=sqlite:///new.db", "-x", "engine=engine1"]) == 0


def test_status_has_a_line_for_each_engine(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.alembic("upgrade", "0001").status == 0
    assert main(["status"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["sqlite:///one.db", "0001", "1"],
        ["sqlite:///two.db", "0001", "1"],
    ]
    assert project.alembic("upgrade", "head").status == 0
    assert main(["status"]) == 0


def test_status_writes_nothing_in_any_of_them(project: Project) -> None:
    for name in ("one.db", "two.db"):
        (project.directory / name).touch()
    assert main(["status"]) == 1
    assert made("one.db") == made("two.db") == set()


# With `run`


def test_run_is_called_once_for_each_database(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("migrations/env.py", RUN)
    assert project.alembic("upgrade", "head").status == 0
    for path, name in (("one.db", "engine1"), ("two.db", "engine2")):
        own = {"alembic_version", "alembic_version_history"}
        assert made(path) == {f"t1_of_{name}", f"t2_of_{name}", *own}
    assert main(["status"]) == 0
    capsys.readouterr()
    assert project.alembic("downgrade", "0001").status == 0
    assert "t2_of_engine2" not in made("two.db")
    assert main(["roundtrip", "-x", "engine=engine1"]) == 0
    assert main(["sql", "-x", "engine=engine1"]) == 0
    assert "t1_of_engine1" in capsys.readouterr().out


def test_run_is_refused_when_the_revisions_want_the_name_of_an_engine(project: Project) -> None:
    project.write("migrations/env.py", RUN.replace(", engine_name=name", ""))
    message = project.refusal("upgrade", "head")
    assert message.startswith("revision 0001 is for several databases")
    assert "run(context, url, engine_name=name)" in message
    assert made("one.db") == set()


def test_new_revision_has_the_next_number_when_run_is_called_twice(project: Project) -> None:
    project.write("migrations/env.py", RUN)
    ini = project.directory / "alembic.ini"
    ini.write_text(
        ini.read_text().replace("[alembic]\n", "[alembic]\nrevision_environment = true\n")
    )
    assert project.alembic("revision", "-m", "More").status == 0
    assert [path.name for path in project.versions.glob("0003*")] == ["0003_more.py"]
    text = (project.versions / "0003_more.py").read_text()
    assert "def upgrade_engine1()" in text


def test_options_of_one_run_are_not_those_of_the_next(project: Project) -> None:
    env = RUN.replace("engine_name=name)", "engine_name=name, **more.pop())")
    env = env.replace("\nonly", "\nmore = [{}, {'version_table': 'versions_of_one'}]\nonly")
    project.write("migrations/env.py", env)
    assert project.alembic("upgrade", "head").status == 0
    assert "versions_of_one" in made("one.db")
    assert "versions_of_one" not in made("two.db")


def test_engine_is_chosen_by_its_name(project: Project) -> None:
    config = Config(project.directory / "alembic.ini")
    assert engines.names(config) == ["engine1", "engine2"]
    assert engines.chosen(config, ["tenant=a", "engine=engine2"]) == "engine2"
    assert engines.chosen(config, ["engine=engine3"]) is None


# Flask-Migrate's multidb: the application names the engines, the first of which has no name

APPLICATION = """\
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.path.abspath("main.db")
app.config["SQLALCHEMY_BINDS"] = {"users": "sqlite:///" + os.path.abspath("users.db")}
Migrate(app, SQLAlchemy(app))
"""


@pytest.fixture
def flask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    flask_migrate = pytest.importorskip("flask_migrate")
    pytest.importorskip("flask_sqlalchemy")
    directory = tmp_path / "flask"
    versions = directory / "migrations" / "versions"
    versions.mkdir(parents=True)
    (directory / "app_of_test.py").write_text(APPLICATION)
    template = Path(flask_migrate.__file__).parent / "templates" / "flask-multidb"
    shutil.copy(template / "env.py", directory / "migrations")
    shutil.copy(template / "alembic.ini.mako", directory / "migrations" / "alembic.ini")
    text = REVISION.format(id="0001", after=None)
    for name in ("", "users"):
        text += ONE.format(name=name, table=f"t_of_{name}")
    (versions / "0001.py").write_text(text)
    monkeypatch.chdir(directory)
    monkeypatch.setenv("FLASK_APP", "app_of_test.py")
    monkeypatch.setitem(logging.root.__dict__, "handlers", [])  # env.py configures logging
    return directory


@pytest.mark.filterwarnings("ignore:'get_engine' is deprecated:DeprecationWarning")
def test_command_on_engines_of_an_application_works_with_the_code_that_is_shown(
    flask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["-c", "migrations/alembic.ini"]
    assert main(["status", *argv]) == 2
    pushed = capsys.readouterr().out.partition("current_app is first used:\n")[2]
    assert "app_context().push()" in pushed
    assert main(["sql", *argv]) == 2
    shown = capsys.readouterr().err.partition("What to do next")[2].splitlines()[1:-1]
    env = flask / "migrations" / "env.py"
    text = env.read_text()
    for last in ('option(name, "sqlalchemy.url")\n', "get_engine(bind_key=name)\n"):
        assert text.count(last) == 1
        text = text.replace(last, last + "\n".join(shown) + "\n")
    env.write_text(textwrap.dedent(pushed) + text)

    for name in ("", "users"):
        more = [*argv, "-x", f"engine={name}"]
        assert main(["roundtrip", *more]) == 0, capsys.readouterr()
        assert "1 of 1 revision: proven on sqlite" in capsys.readouterr().out
        assert main(["sql", *more]) == 0
        script = capsys.readouterr().out
        assert script.count("CREATE TABLE IF NOT EXISTS t_of_") == 1
        assert f"CREATE TABLE IF NOT EXISTS t_of_{name} " in script
        url = f"--url=sqlite:///of_{name}.db"
        assert main(["upgrade", url, *more]) == 0
        assert made(f"of_{name}.db") == {"alembic_version", f"t_of_{name}"}
        assert main(["status", url, *more]) == 0
    assert made("main.db") == made("users.db") == set()
