"""`run(verify=True)` and `verify`: the schema is what the revisions should have made."""

from __future__ import annotations

import json

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.fleets import command

ADD = "op.add_column('t_0001', sa.Column('due', sa.Date))\nop.create_index('ix', 't_0001', ['due'])"
DROP = "op.drop_index('ix', 't_0001')\nwith op.batch_alter_table('t_0001') as batch:\n"
DROP += "    batch.drop_column('due')"


def history(project: Project, database: Database) -> None:
    project.table("0001")
    project.revision("0002", "0001", ADD, DROP)
    project.table("0003", "0002")
    write(project, database)


def write(project: Project, database: Database) -> None:
    scratch = [] if database.name == "sqlite" else ["--scratch", database.url]
    outcome = command(project, "where", "--write", *scratch)
    assert outcome.status == 0, outcome.err


def verified(project: Project, *argv: str) -> tuple[int, str]:
    outcome = project.alembic("-x", "verify=yes", *argv)
    return outcome.status, outcome.out


def test_upgrade_ends_when_the_schema_is_right(project: Project, database: Database) -> None:
    history(project, database)
    assert verified(project, "upgrade", "0002")[0] == 0
    assert verified(project, "upgrade", "head")[0] == 0
    assert verified(project, "downgrade", "0001")[0] == 0
    assert verified(project, "upgrade", "head")[0] == 0
    outcome = command(project, "verify", one=database.url)
    assert outcome.out == "one: 0003, with the schema of that revision\n"
    assert outcome.status == 0


def test_upgrade_fails_when_the_schema_is_another_one(project: Project, database: Database) -> None:
    history(project, database)
    assert project.alembic("upgrade", "0002").status == 0
    drop = "DROP INDEX ix" + (" ON t_0001" if database.kin == "mariadb" else "")
    execute(database, drop, "ALTER TABLE t_0001 ADD COLUMN stray INTEGER")
    message = project.refusal("-x", "verify=yes", "upgrade", "head")
    assert "has another schema than 0003 makes" in message
    assert "- index ix on t_0001: " in message
    line = next(one for one in message.splitlines() if "- index ix" in one)
    path = project.versions / "0002_test.py"
    number = path.read_text().splitlines().index("    op.create_index('ix', 't_0001', ['due'])") + 1
    assert line.endswith(f"0002_test.py:{number}]")
    assert "+ column t_0001.stray: " in message
    assert "[in no revision]" in message
    assert current(database) == ["0002"]
    if database.kin != "mariadb":  # which has committed it
        assert "t_0003" not in tables(database)
    last = "SELECT error FROM alembic_version_history ORDER BY id DESC LIMIT 1"
    [error] = rows(database, last)
    assert "- index ix on t_0001" in error
    outcome = rows(database, last.replace("error", "outcome"))
    assert outcome == ["failed"]
    found = command(project, "verify", one=database.url)
    assert found.status == 1
    assert "one: 0002, and " in found.out
    assert "- index ix on t_0001" in found.out
    assert f"0002_test.py:{number}]" in found.out


def test_verify_writes_nothing_and_says_why_it_cannot(project: Project, database: Database) -> None:
    history(project, database)
    assert project.alembic("upgrade", "head").status == 0
    path = project.directory / "migrations" / "schemas.json"
    before, text = tables(database), path.read_text()
    path.unlink()
    outcome = command(project, "verify", one=database.url)
    assert outcome.status == 2
    assert "one: not compared: " in outcome.out
    assert "no such file" in outcome.out
    refusal = project.refusal("-x", "verify=yes", "downgrade", "0001")
    assert "no such file" in refusal
    assert current(database) == ["0003"]
    document = json.loads(text)
    [(server, part)] = document["servers"].items()
    path.write_text(json.dumps(document | {"servers": {f"{server.split()[0]} 1.1": part}}))
    outcome = command(project, "verify", one=database.url)
    assert outcome.status == 2
    assert "another major version" in outcome.out
    path.write_text(text)
    project.table("0004", "0003")
    outcome = command(project, "verify", "--json", one=database.url)
    assert outcome.status == 2
    assert "is older than the history" in json.loads(outcome.out)["databases"][0]["error"]
    assert tables(database) == before


@pytest.mark.databases("sqlite")
def test_verify_leaves_out_what_no_revision_makes(project: Project, database: Database) -> None:
    history(project, database)
    assert project.alembic("upgrade", "head").status == 0
    execute(database, "CREATE TABLE events_p1 (id INTEGER)")
    assert command(project, "verify").status == 1
    text = '[tool.alembic-toolkit.where]\nignore = ["events_p*"]\n'
    project.write("pyproject.toml", text)
    assert command(project, "verify").status == 0
    project.table("0004", "0003")
    write(project, database)
    assert verified(project, "upgrade", "head")[0] == 0


@pytest.mark.databases("sqlite")
def test_verify_says_that_an_unmarked_database_is_at_no_revision(
    project: Project, database: Database
) -> None:
    history(project, database)
    assert command(project, "verify", one=database.url).status in (0, 2)  # there is no file yet
    execute(database, "CREATE TABLE t_0001 (id INTEGER)")
    outcome = command(project, "verify", one=database.url)
    assert outcome.status == 1
    assert "one: no revision, and " in outcome.out
    assert project.alembic("upgrade", "0001").status != 0
    execute(database, "INSERT INTO alembic_version VALUES ('gone')")
    outcome = command(project, "verify", one=database.url)
    assert outcome.status == 2
    assert "knows no revision gone" in outcome.out


@pytest.mark.databases("sqlite")
def test_mark_is_not_changed_when_the_schema_is_another_one(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    create = "op.create_table('t_0001', sa.Column('id', sa.Integer, primary_key=True),\n"
    create += "    sa.Column('more', sa.Integer))"
    drop = "op.drop_table('t_0001')"
    project.revision("0002", None, create, drop, head="replaces = ('0001',)")
    write(project, database)
    message = project.refusal("-x", "verify=yes", "upgrade", "head")
    assert "after the mark 0002 in place of 0001" in message
    assert "- column t_0001.more" in message
    assert current(database) == ["0001"]
    assert project.alembic("upgrade", "head").status == 0
    assert command(project, "verify").status == 1


@pytest.mark.databases("sqlite")
def test_verify_cannot_compare_in_the_middle_of_what_is_replaced(
    project: Project, database: Database
) -> None:
    project.table("0001")
    project.table("0002", "0001")
    assert project.alembic("upgrade", "0001").status == 0
    create = "op.create_table('t_0001', sa.Column('id', sa.Integer, primary_key=True))\n"
    create += create.replace("0001", "0002")
    project.revision("0003", None, create, "pass", head="replaces = ('0001', '0002')\nempty = ''")
    project.table("0004", "0003")
    write(project, database)
    assert "begins with 0003" in project.refusal("-x", "verify=yes", "upgrade", "head")
    outcome = command(project, "verify")
    assert (outcome.status, "begins with 0003" in outcome.out) == (2, True)
    assert command(project, "check").status == 0  # the file is not older than that history
    assert "is older than the history" not in command(project, "where").out
    assert project.alembic("upgrade", "head").status == 0
    assert command(project, "verify").status == 0
