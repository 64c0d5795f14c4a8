"""The journal of what ran; and databases that refuse: rights, disks, a revision from elsewhere."""

import hashlib
import logging
import os

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_toolkit.database import journal as journals
from tests.databases import Database
from tests.toolkit.conftest import Project, current, execute, rows, tables
from tests.toolkit.deployers import journal

TABLE = "alembic_version_history"


def edited(project: Project, database: Database) -> list[str]:
    directory = ScriptDirectory.from_config(Config(project.directory / "alembic.ini"))
    with database.engine.connect() as connection:
        return journals.edited(connection, directory)


def last(database: Database) -> journals.Entry | None:
    with database.engine.connect() as connection:
        return journals.last(connection)


# Circumstances


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_upgrade_changes_nothing_when_the_user_may_not_create(
    project: Project, database: Database
) -> None:
    project.table("0001")
    with poor(database) as engine:
        project.attributes["connection"] = engine
        message = project.refusal("upgrade", "head")
    assert "cannot be used: " in message
    assert "denied" in message
    assert message.count("\n") == 0
    assert tables(database) == set()


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_upgrade_goes_on_without_a_journal_when_it_may_not_be_made(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    project.revision("0001", upgrade="op.execute('DELETE FROM t')")
    project.table("0002", "0001")
    execute(database, "CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1)")
    execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    with poor(database) as engine:
        project.attributes["connection"] = engine
        assert project.alembic("upgrade", "0001").status == 0
        assert f"no journal is kept: {TABLE} cannot be written" in caplog.text.replace(
            "public.", ""
        )
        assert "-x journal=no" in caplog.text
        message = project.refusal("upgrade", "head")
    assert message.startswith(
        "upgrade of 0002 was stopped by its database; nothing of it is kept\n"
    )
    assert "  asked  CREATE TABLE t_0002" in message
    assert "denied" in message
    assert current(database) == ["0001"]
    assert rows(database, "SELECT id FROM t") == []


class poor:
    """Give an engine of a user who may change rows, and make no table."""

    def __init__(self, database: Database) -> None:
        self.database, self.name = database, f"poor_{os.getpid()}"

    def __enter__(self) -> sa.Engine:
        url = sa.make_url(self.database.url)
        if self.database.name == "postgresql":
            rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
            execute(
                self.database,
                f"CREATE ROLE {self.name} LOGIN",
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
                f"GRANT {rights} TO {self.name}",
            )
        else:
            execute(
                self.database,
                f"CREATE USER {self.name}",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON {url.database}.* TO {self.name}",
            )
        return sa.create_engine(url.set(username=self.name), poolclass=sa.NullPool)

    def __exit__(self, *_: object) -> None:
        if self.database.name == "postgresql":
            execute(self.database, f"DROP OWNED BY {self.name}", f"DROP ROLE {self.name}")
        else:
            execute(self.database, f"DROP USER {self.name}")


@pytest.mark.databases("postgresql")
def test_upgrade_changes_nothing_when_the_database_is_read_only(
    project: Project, database: Database
) -> None:
    project.table("0001")
    url = sa.make_url(database.url).update_query_dict(
        {"options": "-cdefault_transaction_read_only=on"}
    )
    project.attributes["connection"] = sa.create_engine(url, poolclass=sa.NullPool)
    message = project.refusal("upgrade", "head")
    assert "cannot be used: cannot execute CREATE TABLE in a read-only transaction" in message
    assert tables(database) == set()


@pytest.mark.databases("sqlite")
def test_upgrade_keeps_nothing_of_a_revision_when_the_disk_is_full(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    fill = "op.execute('CREATE TABLE large AS SELECT zeroblob(1000000) AS b')"
    project.table("0002", "0001", upgrade=fill)
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")
        connection.rollback()
        project.attributes["connection"] = connection
        message = project.refusal("upgrade", "head")
    assert message.startswith(
        "upgrade of 0002 was stopped by its database; nothing of it is kept\n"
    )
    assert "found  database or disk is full" in message
    assert current(database) == ["0001"]
    assert tables(database) == {"alembic_version", "t_0001"}


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_upgrade_says_so_when_its_session_was_killed(project: Project, database: Database) -> None:
    kill = {
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "mariadb": "KILL (SELECT connection_id())",
    }
    project.table("0001", upgrade=f"op.execute({kill[database.kin]!r})")
    message = project.refusal("upgrade", "head")
    assert message.startswith("upgrade of 0001 lost its database; what was not committed is ")
    if database.name != "mysql":  # which says so at the statement behind it
        assert f"\n  asked  {kill[database.kin]}\n  found  " in message
    assert "When the database answers again, run the command again" in message
    kept = "what else ran of the revision must be undone by hand before"
    assert (kept in message) is (database.kin == "mariadb")
    assert journal(database) == [("0001", "up", "failed")]


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_upgrade_says_so_when_a_statement_was_cancelled(
    project: Project, database: Database
) -> None:
    slow = {
        "postgresql": ("SET LOCAL statement_timeout = 20", "SELECT pg_sleep(60)"),
        "mariadb": ("SET SESSION max_statement_time = 0.02", "SELECT 1 FROM t_0001 WHERE SLEEP(9)"),
        "mysql": ("SET SESSION max_execution_time = 20", "SELECT 1 FROM t_0001 WHERE SLEEP(9)"),
    }
    say = "".join(f"op.execute({sql!r})\n" for sql in slow[database.name])
    project.table("0001", upgrade="op.execute('INSERT INTO t_0001 VALUES (1)')\n" + say)
    message = project.refusal("upgrade", "head")
    kept = {"postgresql": "nothing of it is kept", "mariadb": "what ran before is kept"}
    assert message.startswith(
        f"upgrade of 0001 was stopped by its database; {kept[database.kin]}\n"
    )
    assert slow[database.kin][1] in message
    undone = "what else ran of the revision must be undone by hand before"
    assert (undone in message) is (database.kin == "mariadb")


def test_upgrade_says_what_to_do_when_the_revision_of_the_database_is_unknown(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    execute(database, "UPDATE alembic_version SET version_num = 'by_hand'")
    for command in ("upgrade head", "downgrade base"):
        message = project.refusal(*command.split())
        assert message.startswith("Can't locate revision identified by 'by_hand'")
        assert message.endswith("run: alembic stamp --purge REVISION")
    assert current(database) == ["by_hand"]
    assert len(journal(database)) == 1


def test_upgrade_says_what_to_do_when_a_row_was_added_to_the_version_table(
    project: Project, database: Database
) -> None:
    for id_, after in (("0001", None), ("0002", "0001"), ("0003", "0002")):
        project.table(id_, after)
    assert project.alembic("upgrade", "0002").status == 0
    execute(database, "INSERT INTO alembic_version VALUES ('0001')")
    for command in ("upgrade head", "downgrade base", "stamp head"):
        message = project.refusal(*command.split())
        assert message.startswith(
            "the version table holds 0002, and 0001, which comes before it: nothing was run\n"
        )
        assert message.endswith("run: alembic stamp --purge REVISION")
    assert project.alembic("stamp", "--purge", "0002").status == 0
    assert project.alembic("upgrade", "head").status == 0


# What is written


def test_journal_has_each_run_in_its_order(project: Project, database: Database) -> None:
    first = project.table("0001")
    project.table("0002", "0001", upgrade="1 / 0")
    with pytest.raises(ZeroDivisionError):
        project.alembic("upgrade", "head")
    if database.kin == "mariadb":
        execute(database, "DROP TABLE t_0002")
    project.table("0002", "0001")
    for command in ("upgrade head", "downgrade 0001", "stamp head", "stamp base"):
        assert project.alembic(*command.split()).status == 0
    assert journal(database) == [
        ("0001", "up", "done"),
        ("0002", "up", "failed"),
        ("0002", "up", "done"),
        ("0002", "down", "done"),
        ("0002", "stamp", "done"),
        ("base", "stamp", "done"),
    ]
    errors = journal(database, "error, retries")
    assert errors[1] == ("ZeroDivisionError: division by zero", 0)
    assert {error for error, _ in errors} == {None, errors[1][0]}
    [row, *_] = journal(database, "sha256, who, versions, started, finished")
    assert row[0] == journals.sha256(first)
    assert row[1].endswith(f"pid {os.getpid()}")
    assert f"sqlalchemy {sa.__version__}" in row[2]
    entry = last(database)
    assert entry is not None
    assert (entry.revision, entry.sha256) == ("base", None)
    assert entry.finished is not None
    assert entry.started <= entry.finished


def test_journal_stays_when_the_last_revision_is_taken_down(
    project: Project, database: Database
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert project.alembic("downgrade", "base").status == 0
    assert [row[1] for row in journal(database)] == ["up", "down"]


def test_journal_is_made_again_when_somebody_dropped_it(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert TABLE not in caplog.text
    execute(database, f"DROP TABLE {TABLE}")
    assert project.alembic("downgrade", "base").status == 0
    assert f"the journal {TABLE} was missing, and is created again" in caplog.text.replace(
        "public.", ""
    )
    assert journal(database) == [("0001", "down", "done")]


def test_upgrade_goes_on_when_a_revision_drops_the_journal(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    # As a comparison with the models writes it, in a project that ran without us before.
    project.revision("0001", upgrade=f"op.drop_table('{TABLE}')")
    project.table("0002", "0001")
    assert project.alembic("upgrade", "head").status == 0
    assert current(database) == ["0002"]
    gone = f"{TABLE} is gone: the next command creates it again"
    assert gone in caplog.text.replace("public.", "")
    assert last(database) is None
    assert project.alembic("downgrade", "0001").status == 0
    assert journal(database) == [("0002", "down", "done")]


def test_journal_is_not_kept_when_it_is_not_wanted(project: Project, database: Database) -> None:
    project.table("0001")
    assert project.alembic("-x", "journal=no", "upgrade", "head").status == 0
    assert last(database) is None
    assert edited(project, database) == []


def test_journal_is_beside_the_version_table(project: Project, database: Database) -> None:
    project.table("0001")
    env = project.directory / "migrations" / "env.py"
    env.write_text(env.read_text().replace("run(context", "run(context, version_table='versions'"))
    assert project.alembic("upgrade", "head").status == 0
    with database.engine.connect() as connection:
        entry = journals.last(connection, "versions")
    assert entry is not None
    assert entry.outcome == journals.DONE


# What is read from it


def test_revision_is_edited_when_its_file_is_another_than_what_was_applied(
    project: Project, database: Database
) -> None:
    first = project.table("0001")
    second = project.table("0002", "0001")
    assert project.alembic("upgrade", "head").status == 0
    first.write_bytes(first.read_bytes().replace(b"\n", b"\r\n"))  # as git writes it on Windows
    assert edited(project, database) == []
    # What does not run: comments, docstrings, layout.
    text = first.read_text().replace("Revision 0001.", "Why it is so.").replace("'", '"')
    first.write_text(text.replace("():\n", "(): # so\n\n") + "# a remark\n")
    assert edited(project, database) == []
    second.write_text(second.read_text() + "x = 1\n")
    first.write_text(first.read_text() + "x = 1\n")
    assert edited(project, database) == ["0001", "0002"]
    assert project.alembic("downgrade", "0001").status == 0
    assert edited(project, database) == ["0001"]
    assert project.alembic("upgrade", "head").status == 0
    assert edited(project, database) == ["0001"]


def test_revision_is_not_edited_when_an_older_journal_has_the_hash_of_its_text(
    project: Project, database: Database
) -> None:
    first = project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    text = first.read_bytes()
    execute(database, f"UPDATE {TABLE} SET sha256 = '{hashlib.sha256(text).hexdigest()}'")
    assert edited(project, database) == []
    first.write_bytes(text.replace(b"\n", b"\r\n"))
    assert edited(project, database) == []
    first.write_bytes(text + b"x = 1\n")
    assert edited(project, database) == ["0001"]


def test_check_leaves_the_journal_out(project: Project, database: Database) -> None:
    project.write(
        "migrations/env.py",
        "import sqlalchemy as sa\n"
        "from alembic import context\n"
        "from alembic_toolkit.runner import run\n"
        "run(context, target_metadata=sa.MetaData())\n",
    )
    project.revision("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert "No new upgrade operations" in project.alembic("check").out
    execute(database, "CREATE TABLE other (id INTEGER)")
    assert "remove_table" in project.refusal("check")
    assert logging.getLogger("alembic_toolkit").disabled is False


# What is kept of an error


SECRETS = {
    "a statement": "op.execute(\"CREATE ROLE app PASSWORD 'hunter2' FROB\")",
    "an open string": 'op.execute("SELECT nothing, \'hunter2")',
    "an escaped quote": "op.execute(\"SELECT nothing, 'a\\\\\\\\'hunter2'\")",
    "dollars": "op.execute('SELECT nothing, $x$hunter2$x$')",
    "a comment": "op.execute('SELECT nothing -- hunter2')",
    "a number": "op.execute('SELECT nothing, 712345')",
    "a parameter": "op.get_bind().execute(sa.text('INSERT INTO n VALUES (:a)'), {'a': 'hunter2'})",
    "parameters": "op.get_bind().execute(sa.text('INSERT INTO n VALUES (:a)'), [{'a': 'hunter2'}])",
    "a duplicate": "op.get_bind().execute(sa.text('INSERT INTO u VALUES (:a)'), {'a': 'hunter2'})",
    "a verb": "helpers.execute(\"SELECT nothing, 'hunter2'\")",
    "rows of a verb": "helpers.bulk_insert(sa.table('n', sa.column('a')), [{'a': 'hunter2'}])",
    "a refusal": "helpers.execute(\"UPDATE t SET a = :x, b = 'hunter2'\")",
    "rows in the way": "helpers.create_primary_key('pk', 'd', ['a'])",
}


@pytest.mark.parametrize("name", SECRETS)
def test_journal_keeps_no_value_of_a_failed_revision(
    name: str, project: Project, database: Database
) -> None:
    execute(
        database,
        "CREATE TABLE n (a INTEGER CHECK (a = 5))",
        "CREATE TABLE u (a VARCHAR(20) PRIMARY KEY)",
        "CREATE TABLE d (a VARCHAR(20) NOT NULL)",
        "INSERT INTO u VALUES ('hunter2')",
        "INSERT INTO d VALUES ('hunter2'), ('hunter2')",
    )
    project.revision("0001", upgrade=SECRETS[name], head="import alembic_helpers as helpers")
    project.refusal("upgrade", "head")
    [(outcome, error)] = journal(database, "outcome, error")
    assert outcome == "failed"
    assert "hunter2" not in error
    assert "712345" not in error
    assert len(error) > 20
    assert "parameters" not in error


def test_journal_keeps_the_statement_when_it_is_asked_to(
    project: Project, database: Database
) -> None:
    project.revision("0001", upgrade="op.execute(\"SELECT nothing, 'hunter2'\")")
    project.refusal("-x", "journal_errors=full", "upgrade", "head")
    [(error,)] = journal(database, "error")
    assert error.endswith("\nSELECT nothing, 'hunter2'")
    message = project.refusal("-x", "journal_errors=none", "upgrade", "head")
    assert "'none' is not masked or full" in message


@pytest.mark.parametrize("letters", ["\udc80", "\x00", "\U0001f4a3", "\x1b[2J"])
def test_journal_says_that_it_failed_whatever_letters_the_error_has(
    letters: str, project: Project, database: Database
) -> None:
    project.revision("0001", upgrade=f"raise RuntimeError('the reason ' + {letters!a})")
    with pytest.raises(RuntimeError, match="the reason"):
        project.alembic("upgrade", "head")
    [(outcome, error)] = journal(database, "outcome, error")
    assert (outcome, error[:25]) == ("failed", "RuntimeError: the reason ")
    assert error.isprintable()
