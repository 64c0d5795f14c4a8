"""docs/adopt.md, as somebody does it who adopts the toolkit: each file is written, each line typed.

A block is the file that the paragraph above it names last; a block of ``console`` is typed, and
what it shows must come out, as in tests/test_documents.py. The project is what Alembic's own
template or Flask-Migrate writes, with a revision that its own ``env.py`` has run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from tests import forked
from tests.copies import ROOT, Outcome, environment, run
from tests.databases import Database
from tests.test_documents import Block, commands, matches

pytestmark = pytest.mark.long

PAGE = ROOT / "docs" / "adopt.md"
MODELS = """\
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)


METADATA = {"engine1": Base.metadata, "engine2": sa.MetaData()}
sa.Table("others", METADATA["engine2"], sa.Column("id", sa.Integer, primary_key=True))
"""
CREATE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'
FLASK = """\
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)
Migrate(app, db)


class Note(db.Model):
    __tablename__ = "notes"
    id = db.Column(db.Integer, primary_key=True)
"""


def blocks(heading: str) -> list[tuple[str, Block]]:
    """Return the blocks of a section, each with the file that is named above it.

    What stands before a block is kept in the place of its fence.
    """
    text = PAGE.read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.M)
    [found] = [one for one in section if one.startswith(f"{heading}\n")]
    before = text[: text.index(f"## {found}")].count("\n")
    pieces = re.split(r"^```(.*)\n((?:.*\n)*?)```$", found, flags=re.M)
    line, named = before + 1, []
    for prose, language, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=False):
        line += prose.count("\n") + 1
        files = re.findall(r"`([\w./-]+\.(?:py|sh|ya?ml|txt))`", prose)
        named.append(
            (files[-1] if files else "", Block("docs/adopt.md", line, prose, language, body))
        )
        line += body.count("\n")
    return named


@dataclass
class Adopter:
    """Somebody with a project, and the page."""

    directory: Path
    url: str
    commands: Path  # first on the PATH
    variables: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)  # the files that the page has given

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def type(self, command: str) -> Outcome:
        roots = f"{self.directory}:{ROOT}"
        path = f"{self.commands}{os.pathsep}{environment()['PATH']}"
        more = {"PYTHONPATH": roots, "DATABASE_URL": self.url, "PATH": path, **self.variables}
        return run(command, self.directory, 120, **more)

    def succeed(self, command: str) -> str:
        outcome = self.type(command)
        assert outcome.status == 0, f"$ {command}\n{outcome.printed}"
        return outcome.printed

    def init(self, template: str) -> None:
        """Begin as Alembic does, with a revision that its own env.py runs."""
        self.succeed(f"alembic init -t {template} migrations")
        ini = (self.directory / "alembic.ini").read_text(encoding="utf-8")
        url = self.url.replace("%", "%%")
        self.write("alembic.ini", re.sub("(?m)^(sqlalchemy.url =).*", rf"\1 {url}", ini))
        self.write("myapp/models.py", MODELS)
        self.succeed("alembic revision --rev-id 0001 -m 'Create notes'")
        [path] = (self.directory / "migrations" / "versions").glob("*.py")
        text = path.read_text(encoding="utf-8")
        for verb in (CREATE.format("notes"), "op.drop_table('notes')"):
            text = text.replace("\n    pass\n", f"\n    {verb}\n", 1)
        path.write_text(text, encoding="utf-8")
        self.succeed("alembic upgrade head")

    def follow(self, heading: str) -> None:
        """Write the files of a section, and type its lines."""
        for name, block in blocks(heading):
            if block.language == "console":
                for line, command, expected in commands(block):
                    outcome = self.type(command)
                    said = f"{block.page}:{line}: $ {command}\n{outcome.printed}"
                    assert outcome.status == 0, said
                    assert not expected or matches(expected, plain(outcome.printed)), said
            else:
                self.take(name, block)

    def take(self, name: str, block: Block) -> None:
        """Write a file, or its new last line."""
        assert name, f"{block}: no file is named above it"
        text = block.text
        if "Replace the last line of" in " ".join(block.fence.split()):
            lines = (self.directory / name).read_text(encoding="utf-8").splitlines(keepends=True)
            text = "".join([*lines[:-1], text])
        self.write(name, text)
        self.read.append(name)

    def goes_down_and_up(self, alembic: str = "alembic") -> None:
        """See the steps of the revision, its journal, and the script of both."""
        assert "0001 (head)" in self.succeed(f"{alembic} current")
        assert "notes" in self.tables()
        self.succeed(f"{alembic} downgrade base")
        assert "notes" not in self.tables()
        self.succeed(f"{alembic} upgrade head")
        assert {"notes", "alembic_version_history"} <= self.tables()
        assert "notes" in self.succeed(f"{alembic} upgrade base:head --sql")

    def tables(self) -> set[str]:
        url = sa.make_url(self.url)
        driver = {"asyncpg": "psycopg", "aiosqlite": "pysqlite"}.get(url.get_driver_name())
        if driver is not None:
            url = url.set(drivername=f"{url.get_backend_name()}+{driver}")
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        return {*sa.inspect(engine).get_table_names()}


def plain(printed: str) -> str:
    """Return what was printed without what is logged on the way."""
    return re.sub(r"(?m)^(INFO|DEBUG) .*\n", "", printed)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with forked.commands(tmp_path_factory.mktemp("forked")) as directory:
        yield directory


@pytest.fixture
def adopter(tmp_path: Path, database: Database, quick: Path) -> Adopter:
    (tmp_path / "project").mkdir()
    return Adopter(tmp_path / "project", database.url, quick)


def asynchronous(url: str) -> str:
    found = sa.make_url(url)
    driver = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}[found.get_backend_name()]
    found = found.set(drivername=f"{found.get_backend_name()}+{driver}", query={})
    return found.render_as_string(hide_password=False)


sqlite = pytest.mark.databases("sqlite")
postgresql = pytest.mark.databases("postgresql")


@sqlite
@pytest.mark.parametrize("template", ["generic", "async", "pyproject", "pyproject_async"])
def test_plain_alembic(adopter: Adopter, template: str) -> None:
    if template.endswith("async"):
        adopter.url = asynchronous(adopter.url)
    adopter.init(template)
    adopter.variables["DATABASE_URL"] = ""  # the ini file names it
    adopter.follow("Plain Alembic")
    assert adopter.read == ["migrations/env.py"]
    assert "CREATE" in (adopter.directory / "upgrade.sql").read_text(encoding="utf-8")
    adopter.goes_down_and_up()
    assert adopter.type("alembic revision --autogenerate -m x").status != 0


@postgresql
def test_fastapi(adopter: Adopter) -> None:
    adopter.url = asynchronous(adopter.url)
    adopter.init("async")
    for name, block in blocks("Plain Alembic"):
        if name:
            adopter.take(name, block)
    adopter.write("app/db.py", ENGINE)
    adopter.follow("FastAPI")
    assert adopter.read == ["migrations/env.py", "migrations/env.py", "app/main.py"]
    assert "No new upgrade operations" in adopter.succeed("alembic check")
    adopter.goes_down_and_up()
    adopter.write("ask.py", ASK)
    assert adopter.succeed("python ask.py").splitlines() == READY


ENGINE = """\
import os
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=2)
"""
# What Uvicorn does with an application, without Uvicorn.
ASK = """\
import asyncio

from alembic import command
from alembic.config import Config

from app.main import app


async def ask():
    said = []

    async def send(message):
        said.append(message.get("status") or message.get("body"))

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/ready", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    print(*said)


async def application():
    await ask()
    await asyncio.to_thread(command.downgrade, Config("alembic.ini"), "base")
    await ask()
    await asyncio.to_thread(command.upgrade, Config("alembic.ini"), "head")
    await ask()
    command.downgrade(Config("alembic.ini"), "base")  # within the loop
    await ask()


asyncio.run(application())
"""
READY = [
    '200 b\'{"state":"ready"}\'',
    '503 b\'{"state":"empty"}\'',
    '200 b\'{"state":"ready"}\'',
    '503 b\'{"state":"empty"}\'',
]


@sqlite
def test_flask_migrate(adopter: Adopter) -> None:
    adopter.write("wsgi.py", FLASK)
    adopter.succeed("flask db init")
    adopter.follow("Flask-Migrate")
    assert "Proven: 1 revision" in adopter.succeed(
        "alembic-toolkit roundtrip -c migrations/alembic.ini"
    )
    printed = adopter.succeed("flask db migrate -m again")
    assert printed.count("Generating") == 0
    assert "[flask_migrate] No changes in schema detected." in printed
    adopter.goes_down_and_up("flask db")


@sqlite
def test_several_databases(adopter: Adopter) -> None:
    adopter.succeed("alembic init -t multidb migrations")
    ini = (adopter.directory / "alembic.ini").read_text(encoding="utf-8")
    for name in ("engine1", "engine2"):
        url = f"sqlite:///{adopter.directory}/{name}.db"
        ini = re.sub(rf"(?m)(^\[{name}\]\nsqlalchemy.url =).*", rf"\1 {url}", ini)
    adopter.write("alembic.ini", ini)
    adopter.write("myapp/models.py", MODELS)
    adopter.succeed("alembic revision --rev-id 0001 -m 'Create notes'")
    [path] = (adopter.directory / "migrations" / "versions").glob("*.py")
    text = path.read_text(encoding="utf-8")
    for table in ("notes", "others"):
        for verb in (CREATE.format(table), f"op.drop_table('{table}')"):
            text = text.replace("\n    pass\n", f"\n    {verb}\n", 1)
    path.write_text(text, encoding="utf-8")
    adopter.succeed("alembic upgrade head")
    adopter.succeed("alembic downgrade base")
    adopter.follow("Several databases")
    for name, table in (("engine1", "notes"), ("engine2", "others")):
        script = (adopter.directory / f"{name}.sql").read_text(encoding="utf-8")
        assert re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(notes|others)", script) == [table]
        adopter.url = f"sqlite:///{adopter.directory}/{name}.db"
        assert table in adopter.tables()
    refused = adopter.type("alembic-toolkit roundtrip")
    assert refused.status == 2
    assert "-x engine=engine1" in refused.printed
    adopter.succeed("alembic downgrade base")
    assert "others" not in adopter.tables()


# Containers, and continuous integration


@pytest.fixture
def adopted(adopter: Adopter) -> Adopter:
    """Return a project that has adopted the toolkit, and an empty database."""
    adopter.init("generic")
    for name, block in blocks("Plain Alembic"):
        if name:
            adopter.write(name, block.text)
    adopter.succeed("alembic downgrade base")
    engine = sa.create_engine(adopter.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for table in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"DROP TABLE {table}")
    return adopter


@postgresql
def test_docker_and_kubernetes(adopted: Adopter) -> None:
    adopted.follow("Docker")
    (adopted.directory / "entrypoint.sh").chmod(0o755)
    started = [
        subprocess.Popen(
            [str(adopted.directory / "entrypoint.sh"), "alembic", "current"],
            cwd=adopted.directory,
            env=environment() | {"PYTHONPATH": str(ROOT), "DATABASE_URL": adopted.url},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    assert [one.communicate(timeout=120)[0] for one in started] == ["0001 (head)\n"] * 2
    assert [one.returncode for one in started] == [0, 0]
    adopted.follow("Kubernetes")
    text = (adopted.directory / "deployment.yaml").read_text(encoding="utf-8")
    pod = yaml.safe_load(text)
    adopted.succeed("alembic downgrade base")
    [migrate], [app] = pod["initContainers"], pod["containers"]
    adopted.succeed(shlex.join(migrate["command"]))
    assert "notes" in adopted.tables()
    probed = app["readinessProbe"]["httpGet"]["path"]
    [main] = [block.text for name, block in blocks("FastAPI") if name == "app/main.py"]
    assert f'@app.get("{probed}")' in main


def lines_of(adopter: Adopter, heading: str) -> list[str]:
    """Return what a server for continuous integration would run."""
    adopter.follow(heading)
    document = yaml.safe_load((adopter.directory / adopter.read[-1]).read_text(encoding="utf-8"))
    if heading == "GitLab":
        job = document["migrations"]
        assert job["variables"]["DATABASE_URL"].startswith("postgresql+psycopg://")
        return list(job["script"])
    job = document["jobs"]["migrations"]
    assert job["env"]["DATABASE_URL"].startswith("postgresql+psycopg://")
    assert True in document  # what YAML 1.1 makes of the key `on`
    return [step["run"] for step in job["steps"] if "run" in step]


@postgresql
@pytest.mark.parametrize("heading", ["GitHub", "GitLab"])
def test_continuous_integration(adopted: Adopter, heading: str) -> None:
    lines = lines_of(adopted, heading)
    assert lines.pop(0) == "pip install -r requirements.txt"  # which would fetch it from elsewhere
    for line in lines:
        adopted.succeed(line)
    assert "notes" in adopted.tables()
    # A revision that leaves something behind fails there.
    [path] = (adopted.directory / "migrations" / "versions").glob("*.py")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("op.drop_table('notes')", "op.execute('SELECT 1')"), "utf-8")
    engine = sa.create_engine(adopted.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE notes, alembic_version, alembic_version_history")
    [proof] = [line for line in lines if "roundtrip" in line]
    found = adopted.type(proof)
    assert found.status == 1
    report = adopted.directory / "roundtrip.json"
    text = found.printed if heading == "GitHub" else report.read_text(encoding="utf-8")
    assert "0001_create_notes.py" in text


def test_page_is_short_and_names_what_is_installed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n") <= 250
    found = re.search(r"Add `([\w-]+)\[(\w+)\]`", text)
    assert found is not None
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'name = "{found[1]}"\n' in project
    assert f"\n{found[2]} = [" in project
