"""The record of what is done of a revision, where a part of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.test_attempts import reading_until_tried

HEAD = "import os\nimport alembic_helpers as helpers\n"
BOOM = 'if os.environ.get("BOOM"):\n    raise RuntimeError("killed")\n'
ADD = "helpers.add_column('bills', sa.Column('{}', sa.Integer))\n"
HUNDRED = "helpers.execute('UPDATE bills SET n = n * 100')\n"
BLOCK = "with helpers.get_context().autocommit_block():\n    "
MARIADB = pytest.mark.databases("mariadb", "mysql")
# Servers where a part of a revision may be kept, and what has it kept
KEEPS = {"mariadb": ADD.format("kept"), "postgresql": BLOCK + ADD.format("kept")}


@pytest.fixture
def bills(project: Project, database: Database) -> Project:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER)")
    execute(database, "INSERT INTO bills VALUES (1, 1)")
    return project


def killed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the revision until it says BOOM."""
    with monkeypatch.context() as patch:
        patch.setenv("BOOM", "1")
        with pytest.raises(RuntimeError, match="killed"):
            project.alembic("upgrade", "head")


def columns(database: Database) -> list[Any]:
    table = "information_schema.columns WHERE table_name = 'bills'"
    schema = {"mariadb": " AND table_schema = DATABASE()"}.get(database.kin, "")
    return rows(database, f"SELECT column_name FROM {table}{schema} ORDER BY ordinal_position")


@pytest.mark.databases("mariadb", "mysql", "postgresql")
def test_run_does_again_what_was_not_kept_and_nothing_else(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = HUNDRED + KEEPS[database.kin] + BOOM + HUNDRED + ADD.format("last")
    bills.revision("a1", upgrade=body, head=HEAD)
    killed(bills, monkeypatch)
    assert rows(database, "SELECT n FROM bills") == [100]
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [10_000]
    assert columns(database) == ["id", "n", "kept", "last"]
    assert (current(database), tables(database)) == (["a1"], {"alembic_version", "bills"})


@MARIADB
@pytest.mark.parametrize("old", ["first", "second"])
def test_run_stops_when_a_call_that_is_done_was_edited(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    body = ADD.format("first") + ADD.format("second") + ADD.format("third") + BOOM
    bills.revision("a1", upgrade=body, head=HEAD)
    killed(bills, monkeypatch)
    bills.revision("a1", upgrade=body.replace(old, "other"), head=HEAD)
    message = bills.refusal("upgrade", "head")
    assert "upgrade() of a1: the file was edited above of where it stopped" in message
    assert f"column={old} Integer()" in message
    assert "column=other Integer()" in message
    assert columns(database) == ["id", "n", "first", "second", "third"]
    delete = message.splitlines()[-1].strip()
    execute(database, delete.replace("%", "%").removesuffix(";"))
    bills.revision("a1", upgrade=body, head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0


@MARIADB
@pytest.mark.parametrize("gone", ["first", "second"])
def test_run_stops_when_a_call_that_is_done_was_taken_out(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    body = ADD.format("first") + ADD.format("second") + BOOM
    bills.revision("a1", upgrade=body + ADD.format("third"), head=HEAD)
    killed(bills, monkeypatch)
    bills.revision("a1", upgrade=body.replace(ADD.format(gone), ""), head=HEAD)
    if gone == "second":  # the last one may be undone: it was only begun
        assert bills.alembic("upgrade", "head").status == 0
    else:
        assert f"column={gone}" in bills.refusal("upgrade", "head")


@MARIADB
def test_run_leaves_no_mark_of_a_step_that_the_run_before_did(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = HUNDRED.replace("')", "', once='cents')")
    down = "op.drop_column('bills', 'last')"
    bills.revision("a1", None, once + ADD.format("last") + BOOM, down, HEAD)
    killed(bills, monkeypatch)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [100]
    assert tables(database) == {"alembic_version", "bills"}
    assert bills.alembic("downgrade", "base").status == 0
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [10_000]


@MARIADB
def test_run_goes_on_when_the_call_that_failed_was_mended(
    bills: Project, database: Database
) -> None:
    execute(database, "INSERT INTO bills VALUES (2, 1)")
    unique = "helpers.create_unique_constraint('uq', 'bills', ['n'])\n"
    bills.revision("a1", upgrade=HUNDRED + ADD.format("first") + unique, head=HEAD)
    assert "uq" in bills.refusal("upgrade", "head")
    mended = "helpers.execute('UPDATE bills SET n = n + id')\n" + unique
    bills.revision("a1", upgrade=HUNDRED + ADD.format("first") + mended, head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills ORDER BY n") == [101, 102]


@MARIADB
def test_run_goes_on_when_a_call_depends_on_what_is_there(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    maybe = "if not helpers.table_exists('new'):\n    helpers.create_table('new', sa.Column('n'))\n"
    maybe = maybe.replace("'n'", "'n', sa.Integer")
    body = ADD.format("first") + maybe + HUNDRED + ADD.format("second") + BOOM
    bills.revision("a1", upgrade=body, head=HEAD)
    killed(bills, monkeypatch)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [100]


@MARIADB
def test_run_makes_again_what_a_session_forgets(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "helpers.execute('SET @factor = 5')\n"
        "helpers.execute('CREATE TEMPORARY TABLE more (n INTEGER)')\n"
        "helpers.execute('INSERT INTO more VALUES (7)')\n"
        + ADD.format("first")
        + BOOM
        + "helpers.execute('UPDATE bills SET n = (SELECT n FROM more) * @factor')\n"
    )
    bills.revision("a1", upgrade=body, head=HEAD)
    killed(bills, monkeypatch)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [35]


@pytest.mark.databases("mariadb", "mysql", "postgresql")
def test_run_tries_again_as_a_whole_when_a_part_is_kept(bills: Project, database: Database) -> None:
    execute(database, "CREATE TABLE other (n INTEGER)")
    later = "helpers.execute('UPDATE bills SET n = n + 1')\n"
    later += "helpers.execute('LOCK TABLE bills IN ACCESS EXCLUSIVE MODE')\n"
    if database.kin == "mariadb":
        later = "helpers.execute('UPDATE bills SET n = n + 1')\n" + ADD.format("later")
    body = HUNDRED + KEEPS[database.kin].replace("'bills'", "'other'") + later
    bills.revision("a1", upgrade=body, head=HEAD)
    with reading_until_tried(database, tries=3):
        assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [101]


@MARIADB
def test_stamp_forgets_what_was_half_done(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bills.revision("a0", head=HEAD)
    bills.revision("a1", "a0", upgrade=HUNDRED + ADD.format("first") + BOOM, head=HEAD)
    killed(bills, monkeypatch)
    assert bills.alembic("stamp", "a0").status == 0
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills") == [10_000]


@MARIADB
def test_run_writes_a_row_before_a_verb_and_changes_it_behind(
    bills: Project, database: Database
) -> None:
    names = [f"c{number}" for number in range(5)]
    bills.revision("a1", upgrade="".join(map(ADD.format, names)), head=HEAD)
    seen: list[str] = []

    def note(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if "alembic_version_once" in statement:
            seen.append(statement.split()[0])

    with database.engine.connect() as connection:
        bills.attributes["connection"] = connection
        event.listen(database.engine, "before_cursor_execute", note)
        assert bills.alembic("upgrade", "head").status == 0
        event.remove(database.engine, "before_cursor_execute", note)
    looks = ["DESCRIBE", "CREATE", "SELECT", "DESCRIBE", "DROP", "DELETE", "COMMIT"]
    rest = [word for word in seen if word not in looks]
    assert rest == ["INSERT", "UPDATE"] * len(names)


@pytest.mark.databases("sqlite", "postgresql")
def test_run_writes_no_record_in_one_transaction(bills: Project, database: Database) -> None:
    bills.revision("a1", upgrade=HUNDRED + ADD.format("first"), head=HEAD)
    seen: list[str] = []

    def note(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        seen.append(statement)

    with database.engine.connect() as connection:
        bills.attributes["connection"] = connection
        event.listen(database.engine, "before_cursor_execute", note)
        assert bills.alembic("upgrade", "head").status == 0
        event.remove(database.engine, "before_cursor_execute", note)
    written = [sql for sql in seen if "alembic_version_once" in sql and "pragma" not in sql.lower()]
    assert not [
        sql for sql in written if sql.split()[0] in ("CREATE", "INSERT", "UPDATE", "DELETE")
    ]
