"""At the isolation levels above read committed, what others changed is met by trying again.

https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
"""

from __future__ import annotations

import threading
import time
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import heard, revision
from tests.toolkit.conftest import Project, execute, rows
from tests.toolkit.deployers import journal, many

pytestmark = pytest.mark.databases("postgresql")
LEVELS = pytest.mark.parametrize("level", ["repeatable read", "serializable"])
BILLS = "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER)"

# Another session changes what this one has read, the first time that the revision runs.
MEANWHILE = """
conn = op.get_bind()
found = conn.execute(sa.text('SELECT sum(n) FROM bills')).scalar()
path = pathlib.Path({flag!r})
if not path.exists():
    path.touch()
    with sa.create_engine({url!r}, poolclass=sa.NullPool).begin() as other:
        other.execute(sa.text({sql!r}))
"""


@pytest.fixture
def bills(project: Project, database: Database) -> Project:
    execute(database, BILLS, "INSERT INTO bills VALUES (1, 1), (2, 1)")
    execute(database, "CREATE TABLE sums (n INTEGER)")
    return project


def isolate(database: Database, level: str) -> None:
    name = database.engine.url.database
    execute(database, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")


def write(project: Project, database: Database, sql: str, then: str) -> None:
    flag = str(project.directory / "flag")
    text = MEANWHILE.format(flag=flag, url=database.url, sql=sql)
    project.revision("0001", upgrade="import pathlib\nimport sqlalchemy as sa\n" + text + then)


def assert_tried_again_once(bills: Project, database: Database) -> None:
    """Change a row that the revision has read, and see that it is done once, on the new one."""
    sql = "UPDATE bills SET n = n + 1 WHERE id = 1"
    write(bills, database, sql, "op.execute('UPDATE bills SET n = n * 100')\n")
    outcome = bills.alembic("upgrade", "head")
    assert outcome.status == 0, outcome
    assert rows(database, "SELECT n FROM bills ORDER BY id") == [200, 100]
    assert journal(database, "outcome, retries") == [("done", 1)]


@LEVELS
def test_revision_is_tried_again_when_another_session_changed_its_rows(
    bills: Project, database: Database, level: str
) -> None:
    isolate(database, level)
    assert_tried_again_once(bills, database)


def test_revision_is_tried_again_when_it_fails_at_its_end(
    bills: Project, database: Database
) -> None:
    isolate(database, "serializable")
    # Each reads what the other writes; the other one ends first.
    other = "UPDATE bills SET n = n + (SELECT count(*) FROM sums) + 1 WHERE id = 1"
    then = "conn.execute(sa.text('INSERT INTO sums VALUES (:n)'), {'n': found})\n"
    write(bills, database, other, then)
    outcome = bills.alembic("upgrade", "head")
    assert outcome.status == 0, outcome
    assert rows(database, "SELECT n FROM sums") == [3]


def test_revision_says_so_when_others_change_its_rows_for_ever(
    bills: Project, database: Database
) -> None:
    isolate(database, "repeatable read")
    change = "UPDATE bills SET n = n + 1"
    write(bills, database, change, "op.execute('UPDATE bills SET n = 0')\npath.unlink()\n")
    path = next(bills.versions.glob("0001*"))
    path.write_text(path.read_text().replace("path.touch()", "pass"))
    message = bills.refusal("-x", "retry_for=0.5", "upgrade", "head")
    assert message.startswith("upgrade of 0001 met changes of other sessions in")
    assert "held by" not in message
    assert message.endswith("What to do next: run the command again.")


@pytest.mark.databases("mariadb")
def test_revision_is_tried_again_when_mariadb_reads_from_a_snapshot(
    bills: Project, database: Database
) -> None:
    url = sa.make_url(database.url)
    url = url.update_query_dict({"init_command": "SET innodb_snapshot_isolation = ON"})
    bills.attributes["connection"] = sa.create_engine(url, poolclass=sa.NullPool)
    assert_tried_again_once(bills, database)


@LEVELS
def test_eight_deployers_end_well(bills: Project, database: Database, level: str) -> None:
    isolate(database, level)
    bills.revision("0001", upgrade="op.execute('UPDATE bills SET n = n * 10')\n")
    bills.revision("0002", "0001", upgrade="op.execute('INSERT INTO sums VALUES (1)')\n")
    assert {status for status, _ in many(bills, 8, "upgrade", "head")} == {0}
    assert rows(database, "SELECT n FROM bills") == [10, 10]
    assert rows(database, "SELECT n FROM sums") == [1]


def wait_until_blocked(database: Database) -> None:
    blocked = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with database.engine.connect() as watcher:
        watcher = watcher.execution_options(isolation_level="AUTOCOMMIT")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not watcher.execute(blocked).scalar():
            time.sleep(0.01)


def fill(
    database: Database, monkeypatch: pytest.MonkeyPatch, act: Any, other: Any, **options: Any
) -> list[str]:
    """Fill all bills. The act is begun in the first pause; the next one lasts as long as the
    other thread. Return what was said of retries."""
    acts = chain([act, lambda: other.join(30)], repeat(lambda: None))
    clock = SimpleNamespace(sleep=lambda _: next(acts)(), monotonic=time.monotonic)
    monkeypatch.setattr("alembic_toolkit.verbs.data.backfill.time", clock)  # not of the watcher
    values = {"n": sa.text("n + 100")}
    with revision(database), heard() as lines:
        helpers.backfill("bills", values, where="n < 100", pause=0, **options)
    assert set(rows(database, "SELECT n FROM bills")) == {101}
    return [line for line in lines if line.startswith("retry")]


@LEVELS
def test_backfill_tries_a_page_again_when_another_session_changed_its_rows(
    bills: Project, database: Database, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(database, level)
    other = database.engine.connect()

    def commit() -> None:
        wait_until_blocked(database)
        other.commit()

    thread = threading.Thread(target=commit)

    def between() -> None:
        other.execute(sa.text("UPDATE bills SET id = id WHERE id = 2"))
        thread.start()

    assert fill(database, monkeypatch, between, thread, batch_size=1) == [
        "retry backfill bills: a row was changed meanwhile, again in 0.1 s"
    ]
    thread.join(30)
    other.close()


def test_backfill_tries_a_page_again_when_it_was_in_a_deadlock(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database, "INSERT INTO bills VALUES (3, 1)")
    other = database.engine.connect()
    other.execute(sa.text("SET deadlock_timeout = '1min'"))  # so that the page is the victim

    def cross() -> None:
        wait_until_blocked(database)
        other.execute(sa.text("UPDATE bills SET id = id WHERE id = 2"))
        other.rollback()

    thread = threading.Thread(target=cross)

    def between() -> None:
        other.execute(sa.text("UPDATE bills SET id = id WHERE id = 3"))
        thread.start()

    monkeypatch.setattr("alembic_toolkit.verbs.data.backfill.FIRST_PAGE", 1)
    assert fill(database, monkeypatch, between, thread, batch_size=2) == [
        "retry backfill bills: a row is locked, again in 0.1 s"
    ]
    thread.join(30)
    other.close()
