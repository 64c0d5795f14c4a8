"""`schemas.json`: the schema of each revision, built, written, read back, and refused when old."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.cli import main
from alembic_toolkit.database.own import own
from alembic_toolkit.project.env import read_config
from alembic_toolkit.schema import stored
from alembic_toolkit.schema.servers import part_of
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import differences, judged, schema_of
from alembic_toolkit.schema.take import take
from alembic_toolkit.where.verdict import Seen, judge
from alembic_toolkit.where.write import text, write
from tests.copies import ROOT
from tests.databases import Database
from tests.toolkit.conftest import Project

sqlite = pytest.mark.databases("sqlite")


def built(project: Project, database: Database) -> stored.Part:
    """Build the part of a server; its database is empty again afterwards."""
    database.engine.dispose()
    [part] = write(project.directory / "alembic.ini", [database.url]).parts
    return part


def directory_of(project: Project) -> ScriptDirectory:
    return ScriptDirectory.from_config(read_config(project.directory / "alembic.ini"))


def written(project: Project) -> Path:
    return project.directory / "migrations" / "schemas.json"


def test_schemas_of_the_example_are_up_to_date(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.engine.connect() as connection:
        server = part_of(connection)
    known = stored.read(ROOT / "migrations" / "schemas.json")
    if server not in known:
        pytest.skip(f"not on this machine: a server of the file: {', '.join(known)}")
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.url)
    database.engine.dispose()
    made = write(tmp_path / "alembic.ini", [database.url])
    assert made.parts == [known[server]], "run alembic-toolkit where --write"
    assert not made.is_new


def test_part_has_each_revision_as_the_database_has_it(
    project: Project, database: Database
) -> None:
    project.table("0001", upgrade="op.create_index('ix_a', 't_0001', ['id'])\n")
    project.revision("0002", "0001", "op.add_column('t_0001', sa.Column('n', sa.String(20)))")
    project.revision("0003", "0002", "op.execute('UPDATE t_0001 SET n = 1')")
    project.revision("0004", "0003", "op.drop_index('ix_a', 't_0001')")
    part = built(project, database)
    assert [*part.revisions] == ["0001", "0002", "0003", "0004"]
    for id_ in part.revisions:
        project.alembic("upgrade", id_)
        with database.engine.connect() as connection:
            got = stored.judged(take(connection, ignore=own()), connection)
            wanted = stored.schema_of(connection, directory_of(project), [id_])
        assert got == wanted
    assert part.revisions["0002"].changes.keys() == {Thing("column", "t_0001", "n")}
    [(line, said)] = part.revisions["0003"].rows
    assert (line, said) == (8, "UPDATE t_0001 SET n = …")
    assert part.things(["0002"]) == part.things(["0003"])
    assert part.revisions["0004"].changes == {Thing("index", "t_0001", "ix_a"): None}
    lines = {thing.kind: step.line for step in part.revisions["0001"].steps for thing in step[2]}
    assert (lines["column"], lines["index"]) == (8, 9)


def test_part_of_branches_holds_what_each_of_them_makes(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.table("000a", "0001")
    project.table("000b", "0001")
    project.revision("0002", ("000a", "000b"))
    part = built(project, database)
    tables = {
        heads: {thing.name for thing in part.things(heads) if thing.kind == "table"}
        for heads in [(), ("000a",), ("000b",), ("000a", "000b"), ("0002",)]
    }
    both = {"t_0001", "t_000a", "t_000b"}
    assert [*tables.values()] == [set(), both - {"t_000b"}, both - {"t_000a"}, both, both]
    prints = part.fingerprints()
    assert prints["000b"] == stored.fingerprint(part.things(["000b"])) != prints["0002"]


@pytest.mark.databases("mariadb", "mysql")
def test_steps_are_those_that_a_crash_may_leave(project: Project, database: Database) -> None:
    project.table(
        "0001",
        upgrade="op.execute('INSERT INTO t_0001 VALUES (1)')\n"
        "op.add_column('t_0001', sa.Column('n', sa.Integer))\n"
        "op.create_index('ix_n', 't_0001', ['n'])\n",
    )
    made = built(project, database).revisions["0001"]
    assert (made.statements, made.commits) == (4, True)
    assert [step.number for step in made.steps] == [1, 3, 4]


@sqlite
def test_file_keeps_other_servers_when_one_is_written(project: Project, database: Database) -> None:
    project.table("0001")
    built(project, database)
    document = json.loads(written(project).read_text())
    document["servers"]["postgresql 16"] = document["servers"]["sqlite 3"]
    written(project).write_text(json.dumps(document))
    project.table("0002", "0001")
    assert write(project.directory / "alembic.ini", [database.url]).stale == ["postgresql 16"]
    parts = stored.read(written(project))
    assert [(name, [*part.revisions]) for name, part in parts.items()] == [
        ("postgresql 16", ["0001"]),
        ("sqlite 3", ["0001", "0002"]),
    ]
    before = written(project).read_bytes()
    assert not write(project.directory / "alembic.ini", [database.url]).is_new
    assert written(project).read_bytes() == before
    assert [path.name for path in written(project).parent.glob(".*")] == []


@sqlite
def test_schema_of_is_refused_when_it_cannot_be_known(project: Project, database: Database) -> None:
    project.table("0001")
    nothing = r"says nothing of sqlite 3(.|\n)*no such file"
    with database.engine.connect() as connection, pytest.raises(CommandError, match=nothing):
        stored.schema_of(connection, directory_of(project), ["0001"])
    built(project, database)
    with database.engine.connect() as connection:
        with pytest.raises(CommandError, match="knows no revision 0007"):
            stored.schema_of(connection, directory_of(project), ["0007"])
        text = written(project).read_text()
        written(project).write_text(text.replace("sqlite 3", "sqlite 2"))
        with pytest.raises(CommandError, match=r"only sqlite 2(.|\n)*another major version"):
            stored.schema_of(connection, directory_of(project), ["0001"])
        written(project).write_text(text)
        project.table("0002", "0001")
        with pytest.raises(CommandError, match=r"older than the history(.|\n)*it lacks 0002"):
            stored.schema_of(connection, directory_of(project), ["0001"])
        written(project).write_text("{")
        with pytest.raises(CommandError, match="cannot be read"):
            stored.schema_of(connection, directory_of(project), ["0001"])


@sqlite
def test_check_says_when_the_file_is_older_than_the_history(
    project: Project, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    project.table("0001")
    built(project, database)
    ini = ["-c", str(project.directory / "alembic.ini")]
    assert main(["check", *ini]) == 0
    project.table("0001", upgrade="op.create_index('ix_a', 't_0001', ['id'])\n")
    project.table("0002", "0001")
    assert main(["check", *ini]) == 1
    said = capsys.readouterr().out
    assert "older than the history, for sqlite 3: it lacks 0002; edited since: 0001" in said
    assert "instead: alembic-toolkit where --write" in said


@sqlite
def test_write_leaves_the_file_alone_when_a_revision_fails(
    project: Project, database: Database
) -> None:
    project.table("0001")
    built(project, database)
    before = written(project).read_bytes()
    project.revision("0002", "0001", "op.drop_table('none')")
    with pytest.raises(sa.exc.OperationalError):
        built(project, database)
    assert written(project).read_bytes() == before


@pytest.mark.databases("postgresql")
def test_casts_that_a_way_down_leaves_are_no_difference(
    project: Project, database: Database
) -> None:
    up = "op.alter_column('t_0001', 'n', type_=sa.Numeric(12, 2))"
    down = "op.alter_column('t_0001', 'n', type_=sa.Integer)"
    project.table(
        "0001",
        upgrade="op.add_column('t_0001', sa.Column('n', sa.Integer))\n"
        "op.create_check_constraint('ck_n', 't_0001', '(n + 1) * 2 > 0')\n",
    )
    project.revision("0002", "0001", up, down)
    built(project, database)
    for command in (["upgrade", "head"], ["downgrade", "0001"]):
        project.alembic(*command)
    with database.engine.connect() as connection:
        wanted = stored.schema_of(connection, directory_of(project), ["0001"])
        got = stored.judged(take(connection, ignore=own()), connection)
        check = Thing("check", "t_0001", "ck_n")
        assert wanted[check] != got[check]
        assert stored.differences(connection, wanted, got) == []
        got[check] = "((n + (1 * 2)) > 0)"
        [line] = stored.differences(connection, wanted, got)
        assert line.startswith("~ check ck_n on t_0001: ")


def test_databases_are_the_same_when_a_default_is_the_moment_of_their_run(
    project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = "datetime.datetime.now({})"
    moments = {
        "at": f"str({clock.format('')})",
        "utc": f"str({clock.format('datetime.timezone.utc')}.replace(tzinfo=None, microsecond=0))",
        "fixed": "'2001-02-03 04:05:06'",
    }
    columns = ", ".join(
        f"sa.Column('{name}', sa.DateTime, server_default=os.environ.get('AT') or {moment})"
        for name, moment in moments.items()
    )
    create = f"op.create_table('t', sa.Column('id', sa.Integer), {columns})"
    project.revision("0001", None, create, head="import datetime, os")
    database.engine.dispose()
    made = write(project.directory / "alembic.ini", [database.url])
    assert {*made.parts[0].moments} == {Thing("column", "t", "at"), Thing("column", "t", "utc")}
    assert text(made).count("is the moment at which its revision ran: it is not compared") == 2
    assert not write(project.directory / "alembic.ini", [database.url]).is_new
    monkeypatch.setenv("AT", "2020-11-30 09:46:13")  # as one that was made on another day
    project.alembic("upgrade", "head")
    with database.engine.connect() as connection:
        wanted = schema_of(connection, directory_of(project), ["0001"])
        got = judged(take(connection, ignore=own("alembic_version")), connection)
        lines = differences(connection, wanted, got)
    assert [line.split(":")[0] for line in lines] == ["~ column t.fixed"]
    found = judge(Seen("it", made.parts[0].server, things=got), made.parts[0])
    assert [*found.difference.changed] == [Thing("column", "t", "fixed")]
