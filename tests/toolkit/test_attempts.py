"""Locks that others hold: a revision waits for none of them long, and gets through when it can."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from alembic_toolkit.deployer.retries import Attempts
from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows
from tests.toolkit.deployers import journal, until

SERVERS = pytest.mark.databases("postgresql", "mariadb", "mysql")
ADD = "op.add_column('bills', sa.Column('note', sa.Integer))\n"
ADD_OTHER = "op.add_column('other', sa.Column('note', sa.Integer))\n"
MULTIPLY = "op.execute('UPDATE counts SET n = n * 100')\n"
BLOCK = "with op.get_context().autocommit_block():\n"


@pytest.fixture
def bills(project: Project, database: Database) -> Project:
    """Return a project whose database has a table that is in use."""
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)")
    execute(database, "CREATE TABLE other (id INTEGER PRIMARY KEY)")
    execute(database, "CREATE TABLE counts (n INTEGER)", "INSERT INTO counts VALUES (1)")
    return project


def lock_of(database: Database) -> str:
    """Return a statement after which a transaction is in the way of an ALTER."""
    if database.name == "sqlite":
        return "INSERT INTO bills VALUES (99)"
    return "SELECT count(*) FROM bills"


@contextmanager
def reading(database: Database) -> Iterator[sa.Connection]:
    """Hold `bills`, as a long report does."""
    with database.engine.connect() as connection:
        connection.execute(sa.text(lock_of(database)))
        yield connection
        connection.rollback()


@contextmanager
def reading_until_tried(database: Database, tries: int = 2) -> Iterator[None]:
    """Hold `bills` until a deployer has met that lock so many times."""
    begun, tried = threading.Event(), threading.Semaphore(0)

    def read() -> None:
        with reading(database):
            begun.set()
            for _ in range(tries):
                tried.acquire(timeout=30)

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(30)
    with telling(tried.release):
        yield
    thread.join()


@contextmanager
def telling(tell: Callable[[], object]) -> Iterator[None]:
    """Tell of each pause between two tries, in which nothing of the revision is locked."""
    pause = Attempts._pause

    def told(self: Attempts, *arguments: Any) -> None:
        tell()
        pause(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attempts, "_pause", told)
        yield


# No lock to be had


def test_upgrade_changes_nothing_and_names_who_is_in_the_way(
    bills: Project, database: Database
) -> None:
    bills.revision("0001", upgrade=MULTIPLY + ADD if database.kin != "mariadb" else ADD)
    with reading(database) as connection:
        session = {
            "postgresql": "SELECT pg_backend_pid()",
            "mariadb": "SELECT connection_id()",
            "sqlite": "SELECT 1",
        }[database.kin]
        pid = connection.scalar(sa.text(session))
        message = bills.refusal("-x", "retry_for=0.4", "upgrade", "head")
    assert "got no lock in" in message
    if database.name != "sqlite":  # which does not know
        assert message.startswith("upgrade of 0001 got no lock in")
        assert "asked    ALTER TABLE bills ADD COLUMN note INTEGER" in message
        assert f"held by  session {pid}, " in message
        assert journal(database) == [("0001", "up", "failed")]
        assert rows(database, "SELECT version_num FROM alembic_version") == []
    assert rows(database, "SELECT n FROM counts") == [1]


@pytest.mark.databases("postgresql")
def test_upgrade_stops_when_a_part_is_kept_and_another_lock_is_held_already(
    bills: Project, database: Database
) -> None:
    block = BLOCK + "    op.execute('CREATE INDEX CONCURRENTLY ix ON other (id)')\n"
    bills.revision("0001", upgrade=block + ADD_OTHER + ADD)
    with reading(database):
        message = bills.refusal("-x", "lock_timeout=0.2", "upgrade", "head")
    assert "what ran before this statement is kept, so it cannot be run again as a whole" in message
    assert "goes on behind\nthe last verb of alembic_helpers that was done" in message
    assert rows(database, "SELECT 1 FROM pg_class WHERE relname = 'ix'") == [1]


def test_error_that_is_no_lock_is_not_tried_again(bills: Project, database: Database) -> None:
    bills.revision("0001", upgrade="op.execute('SELECT nonsense FROM bills')")
    assert "nonsense" in bills.refusal("upgrade", "head")
    assert journal(database, "outcome, retries") == [("failed", 0)]


# A lock that is let go


def test_upgrade_runs_each_step_once_when_the_lock_is_let_go(
    bills: Project, database: Database
) -> None:
    # On MariaDB the ALTER commits the UPDATE before it waits: that must not be run again.
    bills.revision("0001", upgrade=MULTIPLY + ADD)
    with reading_until_tried(database):
        assert bills.alembic("upgrade", "head").status == 0
    assert current(database) == ["0001"]
    assert rows(database, "SELECT n FROM counts") == [100]
    [(outcome, retries)] = journal(database, "outcome, retries")
    assert outcome == "done"
    assert retries > 0 or database.name == "sqlite"  # which waits before it begins


@SERVERS
def test_step_is_not_run_twice_when_its_author_committed_it(
    bills: Project, database: Database
) -> None:
    commit = "op.execute('COMMIT')\n"
    bills.revision("0001", upgrade=MULTIPLY + commit + ADD + MULTIPLY + commit + ADD_OTHER)
    with reading_until_tried(database):
        assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [10000]
    assert current(database) == ["0001"]


@pytest.mark.databases("postgresql")
def test_step_is_not_run_twice_when_a_query_did_it(bills: Project, database: Database) -> None:
    bump = "CREATE FUNCTION bump() RETURNS void LANGUAGE sql AS 'UPDATE counts SET n = n * 100'"
    execute(database, bump)
    kept = f"op.execute('SELECT bump()')\n{BLOCK}    pass\n"
    bills.revision("0001", upgrade=kept + ADD)
    with reading_until_tried(database):
        assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [100]


@SERVERS
def test_application_works_when_a_revision_waits_for_its_table(
    bills: Project, database: Database
) -> None:
    bills.revision("0001", upgrade=ADD)
    stop, failures, served = threading.Event(), list[BaseException](), [0]

    def requests() -> None:
        while not stop.is_set():
            try:
                with database.engine.begin() as connection:
                    connection.execute(sa.text("SELECT id FROM bills"))
                    connection.execute(sa.text("UPDATE counts SET n = n + 1"))
                served[0] += 1
            except BaseException as error:
                failures.append(error)
            time.sleep(0.01)

    application = threading.Thread(target=requests)
    application.start()
    with reading_until_tried(database, tries=13):
        before = served[0]
        assert bills.alembic("upgrade", "head").status == 0
    stop.set()
    application.join()
    assert failures == []
    assert served[0] > before
    assert current(database) == ["0001"]


@pytest.mark.databases("mysql")
def test_alter_is_not_begun_as_long_as_it_would_stall_readers(
    bills: Project, database: Database
) -> None:
    """As MySQL can only be told to wait a whole second, and everybody waits behind it."""
    begun = "SHOW GLOBAL STATUS LIKE 'Com_alter_table'"
    bills.revision("0001", upgrade=ADD)
    before = count(database, begun)
    with reading_until_tried(database, tries=9):
        assert bills.alembic("upgrade", "head").status == 0
    assert current(database) == ["0001"]
    assert count(database, begun) == before + 1


def count(database: Database, status: str) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql(status).one()[1])


@pytest.mark.databases("mysql")
def test_upgrade_names_the_session_that_holds_the_table_on_mysql(
    bills: Project, database: Database
) -> None:
    bills.revision("0001", upgrade=ADD)
    with database.engine.connect() as idle, reading(database) as holder:
        idle.execute(sa.text("SELECT count(*) FROM other"))
        id_ = holder.scalar(sa.text("SELECT connection_id()"))
        message = bills.refusal("-x", "retry_for=1", "upgrade", "head")
    assert f"held by  session {id_}, root from " in message
    assert message.count("session ") == 1


@SERVERS
def test_nothing_stays_locked_when_a_revision_waits(bills: Project, database: Database) -> None:
    bills.revision("0001", upgrade=ADD_OTHER + ADD)
    if database.kin == "mariadb":  # which has kept that by now
        bills.revision("0001", upgrade=ADD)
    seen = list[int]()

    def look() -> None:
        with database.engine.connect() as connection:
            seen.extend(connection.execute(sa.text("SELECT id FROM other FOR UPDATE")).scalars())

    execute(database, "INSERT INTO other VALUES (7)")
    with reading_until_tried(database, tries=3), telling(look):
        assert bills.alembic("upgrade", "head").status == 0
    assert set(seen) == {7}


@pytest.mark.databases("postgresql")
def test_statement_alone_is_tried_again_in_an_autocommit_block_and_after_it(
    bills: Project, database: Database
) -> None:
    kept = MULTIPLY + BLOCK + "    op.execute('ALTER TABLE bills ADD COLUMN first INTEGER')\n"
    bills.revision("0001", upgrade=kept)
    bills.revision("0002", "0001", upgrade=MULTIPLY + BLOCK + "    pass\n" + ADD)
    for revision in ("0001", "0002"):
        with reading_until_tried(database):
            assert bills.alembic("upgrade", revision).status == 0
    assert rows(database, "SELECT n FROM counts") == [10000]


@pytest.mark.databases("postgresql")
def test_index_is_valid_when_its_build_waits_for_an_old_transaction(
    bills: Project, database: Database
) -> None:
    block = BLOCK + "    op.execute('CREATE INDEX CONCURRENTLY ix ON bills (id)')\n"
    bills.revision("0001", upgrade=block)
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted"
    begun = threading.Event()

    def old() -> None:
        with database.engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO bills VALUES (99)"))
            begun.set()
            until(lambda: rows(database, waits) == [1])
            time.sleep(0.3)  # more than any timeout here

    thread = threading.Thread(target=old)
    thread.start()
    begun.wait(30)
    assert bills.alembic("-x", "lock_timeout=0.01", "upgrade", "head").status == 0
    thread.join()
    assert rows(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass") == [
        True
    ]


# Settings of the session

SHOW = {
    "postgresql": "SELECT current_setting('lock_timeout')",
    "mariadb": "SELECT @@SESSION.lock_wait_timeout",
    "sqlite": "PRAGMA busy_timeout",
}


def test_settings_of_the_connection_are_as_before(bills: Project, database: Database) -> None:
    bills.revision("0001", upgrade=ADD)
    bills.revision("0002", "0001", upgrade="1 / 0")
    with database.engine.connect() as connection:
        before = connection.exec_driver_sql(SHOW[database.kin]).scalar()
        connection.rollback()
        bills.attributes["connection"] = connection
        assert bills.alembic("upgrade", "0001").status == 0
        with pytest.raises(ZeroDivisionError):
            bills.alembic("upgrade", "head")
        assert connection.exec_driver_sql(SHOW[database.kin]).scalar() == before


@pytest.mark.databases("postgresql")
def test_timeout_holds_in_the_block_and_after_it_and_after_a_rollback(
    bills: Project, database: Database
) -> None:
    # DO is no query: it may want any lock.
    check = (
        "DO $$ BEGIN IF current_setting('lock_timeout') = '0'"
        " THEN RAISE EXCEPTION 'no timeout'; END IF; END $$"
    )
    say = f"op.execute({check!r})\n"
    bills.revision("0001", upgrade=f"{say}{BLOCK}    {say}{say}")
    bills.revision("0002", "0001", upgrade=say + ADD + say)
    with reading_until_tried(database):
        assert bills.alembic("upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
def test_timeout_of_a_transaction_ends_with_it(bills: Project) -> None:
    # Behind a pooler the session may then be that of a request, which would fail.
    look = "cursor = op.get_bind().connection.cursor()\ncursor.execute('SHOW lock_timeout')\n"
    look += "assert cursor.fetchone() == ('0',)\n"
    block = BLOCK + "".join(f"    {line}\n" for line in look.splitlines())
    bills.revision("0001", upgrade=ADD + ADD_OTHER + block)
    assert bills.alembic("upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
def test_timeout_that_a_revision_sets_is_left_alone(bills: Project) -> None:
    check = (
        "DO $$ BEGIN IF current_setting('lock_timeout') <> '7s'"
        " THEN RAISE EXCEPTION 'another timeout'; END IF; END $$"
    )
    own = f"op.execute(\"SET LOCAL lock_timeout = '7s'\")\nop.execute({check!r})\n"
    bills.revision("0001", upgrade=own)
    assert bills.alembic("upgrade", "head").status == 0


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lock_timout", "lock_timeout"),
        ("lock-timeout", "lock_timeout"),
        ("Retry_For", "retry_for"),
        ("jurnal", "journal"),
    ],
)
@pytest.mark.databases("sqlite")
def test_option_is_refused_when_its_name_is_misspelt(
    project: Project, database: Database, name: str, meant: str
) -> None:
    project.table("0001")
    message = project.refusal("-x", f"{name}=1", "upgrade", "head")
    assert message.startswith(f"-x {name}=...: did you mean {meant}? nothing was run\n")
    assert "the options, and what they are by default: deploy_lock=yes" in message
    env = project.directory / "migrations" / "env.py"
    env.write_text(env.read_text().replace("run(context", f"run(context, **{{{name!r}: 1}}"))
    message = project.refusal("upgrade", "head")
    assert message.startswith(f"run({name}=...): did you mean {meant}? nothing was run\n")
    assert rows(database, "SELECT name FROM sqlite_master") == []


@pytest.mark.databases("sqlite")
def test_option_of_the_project_is_its_own(project: Project) -> None:
    project.table("0001")
    assert project.alembic("-x", "tenant=7", "-x", "deploy_log=x", "upgrade", "head").status == 0


@pytest.mark.parametrize(
    "value", ["lock_timeout=soon", "retry_for=-1", "journal=perhaps", "deploy_wait=nan"]
)
@pytest.mark.databases("sqlite")
def test_option_is_refused_when_its_value_is_none(project: Project, value: str) -> None:
    project.table("0001")
    message = project.refusal("-x", value, "upgrade", "head")
    name, _, wrong = value.partition("=")
    assert message.startswith(f"-x {name}=...: {wrong!r} is not ")
    assert "deploy_lock=yes, deploy_wait=600, lock_timeout=2, retry_for=300" in message


# Deadlocks

UPDATES = "op.execute('UPDATE counts SET n = n + 1')\nop.execute('UPDATE bills SET note = 1')\n"


def victims(database: Database) -> dict[str, str]:
    """Return what makes an application's session outlive a deadlock, and who else must give way."""
    return {
        "postgresql": "SET LOCAL deadlock_timeout = '60s'",
        # InnoDB rolls back who changed fewer rows.
        "mariadb": "INSERT INTO other WITH RECURSIVE s (n) AS"
        " (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 500) SELECT n FROM s",
    }


NESTED = "op.execute('UPDATE counts SET n = n + 1')\nwith op.get_bind().begin_nested():\n"
NESTED += "    op.execute('UPDATE bills SET note = 1')\n"


@SERVERS
@pytest.mark.parametrize("updates", [UPDATES, NESTED], ids=["plain", "nested"])
def test_revision_runs_again_when_it_was_the_victim_of_a_deadlock(
    updates: str, bills: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    execute(
        database, "ALTER TABLE bills ADD COLUMN note INTEGER", "INSERT INTO bills VALUES (1, 0)"
    )
    bills.revision("0001", upgrade=updates)
    begun = threading.Event()

    def application() -> None:
        with database.engine.begin() as connection:
            connection.execute(sa.text(victims(database)[database.kin]))
            connection.execute(sa.text("UPDATE bills SET note = 2"))
            begun.set()
            until(lambda: waits(database))
            connection.execute(sa.text("UPDATE counts SET n = n * 10"))

    thread = threading.Thread(target=application)
    thread.start()
    begun.wait(30)
    assert bills.alembic("-x", "lock_timeout=30", "upgrade", "head").status == 0
    thread.join()
    assert rows(database, "SELECT n FROM counts") == [11]
    assert rows(database, "SELECT note FROM bills") == [1]
    assert "a deadlock with another session, try 1: UPDATE bills" in caplog.text
    assert journal(database, "outcome, retries") == [("done", 1)]


def waits(database: Database) -> bool:
    """Say whether a session waits for a row that another has changed."""
    # InnoDB renews this view only when nobody has read it for 0.1 s.
    # https://dev.mysql.com/doc/refman/5.7/en/innodb-information-schema-internal-data.html
    time.sleep(0.15)
    query = {
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
        "mariadb": "SELECT count(*) FROM information_schema.innodb_trx"
        " WHERE trx_state = 'LOCK WAIT'",
    }
    return rows(database, query[database.kin]) > [0]


@pytest.mark.databases("postgresql")
def test_application_is_not_the_victim_when_it_locks_in_the_other_order(
    bills: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as a wait gets in the end, with a lock on the first table held meanwhile.
    monkeypatch.setattr("alembic_toolkit.deployer.retries.AT_ONCE", 0)
    monkeypatch.setattr("alembic_toolkit.deployer.retries.FIRST", 2.0)
    # The application waits first, so that it would be the first to look for a deadlock.
    bills.revision("0001", upgrade=f"{ADD}op.execute('SELECT pg_sleep(0.3)')\n{ADD_OTHER}")
    strong = "SELECT count(*) FROM pg_locks WHERE relation = 'bills'::regclass AND granted"
    strong += " AND mode = 'AccessExclusiveLock'"
    begun, failures = threading.Event(), list[BaseException]()

    def application() -> None:
        with database.engine.connect() as connection:
            connection.execute(sa.text("SELECT id FROM other"))
            begun.set()
            until(lambda: rows(database, strong) == [1])
            try:
                connection.execute(sa.text("SELECT id FROM bills"))
            except sa.exc.DBAPIError as error:
                failures.append(error)

    thread = threading.Thread(target=application)
    thread.start()
    begun.wait(30)
    assert bills.alembic("upgrade", "head").status == 0
    thread.join()
    assert failures == []


def test_retry_is_one_line_and_says_what_is_done_again(
    bills: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    verbs = "helpers.add_column('other', sa.Column('n', sa.Integer))\n" + (
        "helpers.add_column('bills', sa.Column('note', sa.Integer))\n"
    )
    if database.kin == "mariadb":  # where each verb is kept, and only the second is tried again
        verbs = "op.execute('UPDATE bills SET id = id')\n" + verbs.partition("\n")[2]
    bills.revision("0001", upgrade=verbs, head="import alembic_helpers as helpers")
    caplog.set_level("INFO", "alembic.helpers")
    with reading_until_tried(database, tries=4):
        assert bills.alembic("upgrade", "head").status == 0
    said = [r.getMessage() for r in caplog.records if r.name == "alembic.helpers"]
    assert said == (["added column other.n"] * (database.kin != "mariadb")) + [
        "added column bills.note"
    ]
    retries = [r.getMessage() for r in caplog.records if ", try " in r.getMessage()]
    assert all("\n" not in line for line in retries)
    if database.name == "postgresql":
        assert len(retries) == 1
        assert "upgrade of 0001 is run again from its start" in retries[0]
        assert "another engine, a file, an HTTP call) is done again, too" in retries[0]
