"""What other people's projects are like: their layouts, their env.py, their data migrations."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from alembic_toolkit.cli import main
from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Proof
from alembic_toolkit.prove.roundtrip import roundtrip
from alembic_toolkit.prove.settings import Settings
from tests.databases import Database

pytestmark = pytest.mark.long

INI = "[alembic]\nscript_location = %(here)s/migrations\n"
ENV = """\
from alembic import context
import sqlalchemy as sa

if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"))
else:
    context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
MEANT = 'empty = "nothing but a mark"'  # of a revision that changes nothing
sqlite = pytest.mark.databases("sqlite")


@dataclass
class History:
    """A project on one database."""

    directory: Path
    url: str
    last: str | None = None

    def __post_init__(self) -> None:
        self.write("alembic.ini", INI)
        self.write("migrations/env.py", ENV)

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def revision(self, id_: str, up: str, down: str, head: str = "") -> None:
        """Write a revision after the last one."""
        bodies = "".join(
            f"def {name}():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
            for name, body in (("upgrade", up), ("downgrade", down))
        )
        text = f"import sqlalchemy as sa\nfrom alembic import op\n{textwrap.dedent(head)}\n"
        text += f"revision = {id_!r}\ndown_revision = {self.last!r}\n{bodies}"
        self.write(f"migrations/versions/{id_}.py", text)
        self.last = id_

    def prove(self, **settings: object) -> Proof:
        wanted = Settings(urls=[self.url], **settings)  # type: ignore[arg-type]
        [found] = roundtrip(self.directory / "alembic.ini", wanted).proofs
        return found


@pytest.fixture
def history(tmp_path: Path, database: Database) -> History:
    # SQLAlchemy's engine for the test must not have made the file of SQLite.
    return History(tmp_path / "project", database.url)


def told(found: Proof) -> list[str]:
    """Return a line for each finding."""
    return [
        f"{f.revision} {f.check}: {f.problem} | {' | '.join(f.details)}" for f in found.findings
    ]


def outcome(found: Proof, id_: str, check: str) -> results.Outcome:
    [record] = [revision for revision in found.revisions if revision.id == id_]
    return record.checks[check]


# env.py


def test_history_is_loaded_when_env_py_makes_its_imports_possible(history: History) -> None:
    history.write("lib/shared_names.py", "TABLE = 'bills'\n")
    path = "import sys\nfrom pathlib import Path\n"
    path += "sys.path.append(str(Path(__file__).parents[1] / 'lib'))\n"
    history.write("migrations/env.py", path + ENV)
    create = "op.create_table(TABLE, sa.Column('id', sa.Integer, primary_key=True))"
    history.revision("0001", create, "op.drop_table(TABLE)", "from shared_names import TABLE")
    found = history.prove(checks=Settings().checks | {results.OFFLINE})
    assert (found.error, told(found)) == ("", [])
    assert outcome(found, "0001", results.OFFLINE).status == results.PROVEN


def test_module_that_is_missing_is_named_with_the_line_that_wants_it(history: History) -> None:
    history.revision("0001", "pass", "pass", "import not_to_be_had")
    error = history.prove().error
    assert "No module named 'not_to_be_had'" in error
    assert "0001.py, line 3: import not_to_be_had" in error


@sqlite
def test_scripts_are_not_judged_when_env_py_writes_none(history: History) -> None:
    online = ENV.replace("if context.is_offline_mode():", "if False:")
    history.write("migrations/env.py", online)
    history.revision("0001", "pass", "pass", MEANT)
    found = history.prove(checks=Settings().checks | {results.OFFLINE})
    assert (found.error, told(found)) == ("", [])
    judged = outcome(found, "0001", results.OFFLINE)
    assert judged.status == results.NOT_JUDGED
    assert "env.py cannot write a script (--sql): KeyError: 'connection'" in judged.why


OWN_ENGINE = """\
from alembic import context
from sqlalchemy import create_engine

{how}
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
BILLS = "op.create_table('bills', sa.Column('id', sa.Integer, primary_key=True))"


@sqlite
@pytest.mark.parametrize(
    "how",
    [
        "url = context.get_x_argument(as_dictionary=True)['uri']",
        "assert context.config.cmd_opts.cmd[0].__name__ == 'upgrade'\n"
        "assert context.config.cmd_opts.revision == 'heads'\n"
        "url = context.config.get_main_option('sqlalchemy.url')",
    ],
    ids=["a -x argument", "as of the command line"],
)
def test_env_py_is_told_the_url(history: History, how: str) -> None:
    history.write("migrations/env.py", OWN_ENGINE.format(how=how))
    history.revision("0001", BILLS, "op.drop_table('bills')")
    found = history.prove()
    assert (found.error, told(found)) == ("", [])


@sqlite
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            "raise RuntimeError('Working outside of application context.')",
            "app.app_context().push()",
        ),
        ("import shared.nothing", "env.py, line 4: import shared.nothing"),
        (
            "from sqlalchemy.ext.asyncio import create_async_engine\n"
            "create_async_engine(context.config.get_main_option('sqlalchemy.url'))",
            "--url sqlite+aiosqlite:///",
        ),
    ],
    ids=["Flask", "another directory", "asynchronous"],
)
def test_env_py_that_cannot_run_is_told_the_way_on(history: History, how: str, words: str) -> None:
    history.write("migrations/env.py", OWN_ENGINE.format(how=how))
    history.revision("0001", BILLS, "op.drop_table('bills')")
    assert words in history.prove().error


@pytest.mark.databases("mariadb", "mysql")
def test_version_table_in_another_database_is_refused(history: History) -> None:
    env = ENV.replace('["connection"])', '["connection"], version_table_schema="mysql")')
    history.write("migrations/env.py", env)
    history.revision("0001", BILLS, "op.drop_table('bills')")
    error = history.prove().error
    assert "found   mysql" in error
    assert "version_table_schema=None" in error


@sqlite
def test_file_is_named_where_there_are_several_directories(history: History) -> None:
    places = "version_locations = %(here)s/one %(here)s/two\npath_separator = space\n"
    history.write("alembic.ini", INI + places)
    history.write("one/0001.py", "revision = '0001'\ndown_revision = None\n" + EMPTY)
    history.write("two/0002.py", "revision = '0002'\ndown_revision = '0001'\n" + EMPTY + "1 / 0\n")
    found = history.prove()
    assert told(found)[0].endswith("ZeroDivisionError: division by zero | line 7: 1 / 0")
    assert found.findings[0].path.endswith("two/0002.py")


@sqlite
def test_revisions_below_are_not_run_for_each_finding(history: History) -> None:
    history.write("runs.txt", "")
    head = "from pathlib import Path"
    note = f"with open({str(history.directory / 'runs.txt')!r}, 'a') as f:\n    f.write('x')\n"
    history.revision("0001", note + BILLS, "op.drop_table('bills')", head)
    for number in range(2, 9):
        column = f"op.add_column('bills', sa.Column('n{number}', sa.Integer))"
        history.revision(f"000{number}", column, "pass")
    found = history.prove()
    assert len(told(found)) == 7
    assert outcome(found, "0008", results.DOWN).status == results.FAULTY
    assert found.checks[results.BASE].status == results.PROVEN
    # Up and up again, above the first finding, up to head and up to what can be taken back.
    assert len((history.directory / "runs.txt").read_text()) == 5


EMPTY = """\
def upgrade():
    pass
def downgrade():
    pass
"""


def users_and_notes(history: History, **more: str) -> None:
    history.revision(
        "0001",
        """\
        op.create_table(
            "users",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("email", sa.String(80)),
            sa.Column("settings", sa.Text, nullable=False),
            sa.Column("kind", sa.Enum("PERSON", "ROBOT", name="kind"), nullable=False),
            sa.UniqueConstraint("email", name="uq_users_email"),
            sa.CheckConstraint("id < 900", name="ck_users_id"),
        )
        op.create_table(
            "notes",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE")),
        )
        """,
        "op.drop_table('notes')\nop.drop_table('users')",
    )


# SQLite's foreign keys


def warned(found: Proof) -> list[str]:
    """Return a line for each warning."""
    return [
        f"{w.revision} {w.check}: {w.problem} | {' | '.join(w.details)}" for w in found.warnings
    ]


def batch_of_users(history: History) -> None:
    users_and_notes(history)
    history.revision(
        "0002",
        "with op.batch_alter_table('users', recreate='always') as batch:\n"
        "    batch.add_column(sa.Column('age', sa.Integer))",
        "op.drop_column('users', 'age')",
    )


LOSES = "upgrade() loses rows or values that both schemas can hold, only with PRAGMA foreign_keys"


@sqlite
def test_cascade_of_a_batch_is_a_warning_where_nothing_turns_foreign_keys_on(
    history: History,
) -> None:
    batch_of_users(history)
    history.write(
        "app/words.py", '"""PRAGMA foreign_keys=ON is not for us."""\n# foreign_keys=ON\n'
    )
    found = history.prove()
    assert told(found) == []
    [line] = warned(found)
    assert line.startswith(f"0002 foreign keys: {LOSES} = ON | rows of notes: ")
    assert "nothing in this project, turns it on" in line
    assert "foreign_keys = OFF" in found.warnings[0].remedy
    assert outcome(found, "0002", results.ROWS).status == results.WARNED
    assert outcome(found, "0002", results.DOWN).status == results.PROVEN


OFF = """\
connection = context.config.attributes["connection"]
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.commit()
    context.configure(connection=connection)"""


@sqlite
@pytest.mark.parametrize("way", ["run", "verbs", "pragma"])
def test_way_on_that_a_cascade_is_told_helps(history: History, way: str) -> None:
    batch_of_users(history)
    if way == "verbs":
        revision = history.directory / "migrations/versions/0002.py"
        verbs = revision.read_text().replace(
            "from alembic import op", "import alembic_helpers as op"
        )
        revision.write_text(verbs)
    env = "from alembic import context\nfrom alembic_toolkit.runner import run\nrun(context)\n"
    if way == "pragma":
        configure = 'context.configure(connection=context.config.attributes["connection"])'
        env = ENV.replace(configure, OFF)
    if way != "verbs":
        history.write("migrations/env.py", env)
    found = history.prove()
    assert (told(found), warned(found), found.error) == ([], [], "")
    assert outcome(found, "0002", results.ROWS).status == results.PROVEN


@sqlite
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app/db.py", '\nSETUP = "PRAGMA foreign_keys=ON"\n'),
        ("app/setup.sql", "-- by hand: PRAGMA foreign_keys = ON\nPRAGMA foreign_keys = ON;\n"),
        ("settings.toml", "# foreign_keys = true\npragmas = { foreign_keys = true }\n"),
        ("settings.yaml", "pragmas:\n  foreign_keys: 1\n"),
    ],
)
def test_cascade_of_a_batch_is_a_finding_where_the_project_turns_foreign_keys_on(
    history: History, name: str, text: str
) -> None:
    batch_of_users(history)
    history.write(name, text)
    found = history.prove()
    [line] = told(found)
    assert line.startswith(f"0002 rows survive: {LOSES} = ON | rows of notes: ")
    assert re.search(rf"PRAGMA foreign_keys = ON: \S*{name}, line 2 turns it on", line)
    assert warned(found) == []
    assert outcome(found, "0002", results.DOWN).status == results.PROVEN


@sqlite
@pytest.mark.parametrize("enforced", [False, True])
def test_batch_that_foreign_keys_forbid_is_a_finding_where_the_project_enforces_them(
    history: History, enforced: bool
) -> None:
    history.revision(
        "0001",
        "op.create_table('users', sa.Column('id', sa.Integer, primary_key=True))\n"
        "op.create_table('notes', sa.Column('user_id', sa.Integer, sa.ForeignKey('users.id')))",
        "op.drop_table('notes')\nop.drop_table('users')",
    )
    history.revision(
        "0002",
        "with op.batch_alter_table('users', recreate='always') as batch:\n"
        "    batch.add_column(sa.Column('age', sa.Integer))",
        "op.drop_column('users', 'age')",
    )
    if enforced:
        history.write("app/database.py", 'SETUP = "PRAGMA foreign_keys=ON"\n')
    found = history.prove()
    assert bool(told(found)) == enforced
    status = results.FAULTY if enforced else results.WARNED
    assert outcome(found, "0002", results.UP).status == status
    if not enforced:
        assert outcome(found, "0002", results.DOWN).status == results.PROVEN


# Rows that a revision may expect


def read_users(each: str) -> str:
    select = "rows = op.get_bind().execute(sa.text('SELECT id, settings, kind FROM users')).all()\n"
    return f"{select}for row in rows:\n    {each}\n"


@sqlite
def test_text_that_is_an_enum_to_sqlalchemy_holds_its_labels(history: History) -> None:
    users_and_notes(history)
    history.revision("0002", read_users("assert row.kind in ('PERSON', 'ROBOT')"), "pass")
    assert told(history.prove()) == []


@sqlite
def test_text_that_must_be_json_is_not_judged_with_other_text(history: History) -> None:
    users_and_notes(history)
    history.revision("0002", read_users("json.loads(row.settings).get('a')"), "pass", "import json")
    found = history.prove()
    judged = outcome(found, "0002", results.UP)
    assert (told(found), judged.status) == ([], results.NOT_JUDGED)
    assert judged.why.startswith("proven with '{}' in texts, as it wants JSON there: ")
    assert outcome(found, "0002", results.DOWN).status == results.PROVEN
    assert outcome(found, "0001", results.UP).status == results.PROVEN


def test_json_that_must_be_a_list_is_not_judged_with_other_json(history: History) -> None:
    keys = "op.create_table('grains', sa.Column('keys', sa.JSON, nullable=False),"
    keys += " sa.Column('id', sa.Integer, primary_key=True))"
    history.revision("0001", keys, "op.drop_table('grains')")
    up = "grains = sa.table('grains', sa.column('keys', sa.JSON))\n"
    up += "for row in op.get_bind().execute(sa.select(grains)):\n    row.keys + []"
    history.revision("0002", up, "pass")
    found = history.prove()
    judged = outcome(found, "0002", results.UP)
    assert (told(found), judged.status) == ([], results.NOT_JUDGED)
    assert judged.why.startswith("proven with '[]' in texts, as it wants JSON there: ")


@sqlite
def test_text_that_has_a_form_of_its_own_is_not_judged(history: History) -> None:
    users_and_notes(history)
    up = read_users("json.loads(row.settings)['name']")
    history.revision("0002", up, "pass", "import json")
    found = history.prove()
    judged = outcome(found, "0002", results.UP)
    assert (told(found), judged.status) == ([], results.NOT_JUDGED)
    assert judged.why.startswith("it refuses rows such as ours, and is proven without: ")


@sqlite
def test_null_is_a_finding_where_the_schema_allows_it(history: History) -> None:
    create = "op.create_table('logs', sa.Column('id', sa.Integer, primary_key=True),"
    create += " sa.Column('text', sa.Text))"
    history.revision("0001", create, "op.drop_table('logs')")
    select = "rows = op.get_bind().execute(sa.text('SELECT text FROM logs')).all()\n"
    history.revision(
        "0002", f"{select}[json.loads(row.text) for row in rows]", "pass", "import json"
    )
    [line] = told(history.prove())
    assert "0002 up: upgrade() fails on tables with rows" in line


@sqlite
def test_revision_that_refuses_what_it_finds_is_proven_without_rows(history: History) -> None:
    users_and_notes(history)
    refuse = "if op.get_bind().scalar(sa.text('SELECT count(*) FROM users')) > 1:\n"
    refuse += "    raise RuntimeError('there are too many users')\n"
    up = f"{refuse}op.add_column('users', sa.Column('age', sa.Integer))"
    history.revision("0002", up, "op.drop_column('users', 'age')")
    history.revision("0003", "pass", f"if True:\n{textwrap.indent(refuse, '    ')}", MEANT)
    history.revision("0004", "pass", "op.get_bind()\nraise RuntimeError('there is no way')", MEANT)
    found = history.prove()
    [line] = told(found)
    assert line.startswith("0004 down leaves no trace: downgrade() fails | RuntimeError: there is")
    for id_, check in (("0002", results.UP), ("0003", results.DOWN)):
        judged = outcome(found, id_, check)
        assert judged.status == results.NOT_JUDGED
        assert judged.why.endswith("is proven without: there are too many users")
    assert outcome(found, "0002", results.DOWN).status == results.PROVEN


def test_rows_written_above_keep_to_what_the_downgrade_makes_again(history: History) -> None:
    users_and_notes(history)
    history.revision(
        "0002",
        """\
        with op.batch_alter_table("users") as batch:
            batch.add_column(sa.Column("name", sa.String(9)))
            batch.drop_constraint("uq_users_email", type_="unique")
            batch.drop_constraint("ck_users_id", type_="check")
        """,
        """\
        with op.batch_alter_table("users") as batch:
            batch.create_check_constraint("ck_users_id", "id < 900")
            batch.create_unique_constraint("uq_users_email", ["email"])
            batch.drop_column("name")
        """,
    )
    found = told(history.prove())  # on SQLite the batch empties notes, which is another matter
    assert [line for line in found if "0002" in line and "notes" not in line] == []


@sqlite
def test_column_made_again_from_a_new_table_may_tell_of_its_rows(history: History) -> None:
    users = "'users', sa.Column('id', sa.Integer, primary_key=True),"
    history.revision(
        "0001",
        f"op.create_table({users} sa.Column('notes', sa.Integer, server_default='0'))",
        "op.drop_table('users')",
    )
    history.revision(
        "0002",
        """\
        op.create_table(
            "notes",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        )
        op.drop_column("users", "notes")
        """,
        """\
        op.add_column("users", sa.Column("notes", sa.Integer, server_default="0"))
        op.execute("UPDATE users SET notes = 7 + id + "
                   "(SELECT count(*) FROM notes WHERE user_id = users.id)")
        op.drop_table("notes")
        """,
    )
    assert told(history.prove()) == []


# Models


@sqlite
def test_models_are_not_judged_when_there_are_none(history: History) -> None:
    env = ENV.replace('["connection"])', '["connection"], target_metadata=sa.MetaData())')
    history.write("migrations/env.py", env)
    users_and_notes(history)
    found = history.prove()
    why = "the target_metadata that env.py gives has no tables"
    assert found.checks[results.MODELS] == results.Outcome(results.NOT_JUDGED, why)
    assert told(found) == []


@sqlite
def test_models_are_judged_when_the_last_revision_has_a_finding(history: History) -> None:
    metadata = "sa.MetaData()\nsa.Table('users', metadata, sa.Column('id', sa.Integer))\n"
    env = ENV.replace('["connection"])', '["connection"], target_metadata=metadata)')
    history.write(
        "migrations/env.py", env.replace("if context", f"metadata = {metadata}if context")
    )
    history.revision("0001", "op.create_table('logs', sa.Column('id', sa.Integer))", "pass")
    assert any("models: at head" in line for line in told(history.prove()))


# Words


@sqlite
def test_upgrade_that_fails_without_rows_too_is_said_to(history: History) -> None:
    users_and_notes(history)
    history.revision("0002", "op.drop_table('missing')", "pass")
    history.revision("0003", "pass", "pass", MEANT)
    [line] = told(history.prove())
    assert line.startswith("0002 up: upgrade() fails, with rows and without | OperationalError: no")


@sqlite
def test_downgrade_that_is_not_there_is_named_so_and_the_walk_goes_on(history: History) -> None:
    users_and_notes(history)
    text = "revision = '0002'\ndown_revision = '0001'\n"
    text += f"{MEANT}\ndef upgrade():\n    pass\n"
    history.write("migrations/versions/0002.py", text)
    history.last = "0002"
    history.revision("0003", "pass", "pass", MEANT)
    found = history.prove()
    assert told(found) == ["0002 down leaves no trace: there is no downgrade() | "]
    assert outcome(found, "0003", results.DOWN).status == results.PROVEN


# Settings that do nothing


@sqlite
def test_settings_that_do_nothing_are_named(history: History) -> None:
    users_and_notes(history)
    exceptions = {("0010", results.ROWS): "why", ("", results.MODELS): "why"}
    rows = {"users": [{"id": 7, "emial": "a"}], "user": [{"id": 7}]}
    notes = history.prove(exceptions=exceptions, rows=rows).notes
    assert (
        "a known exception does nothing, 'rows survive': no file has revision 0010: 0001?" in notes
    )
    assert "the rows for user do nothing: there is no such table" in notes
    assert "the rows for users have emial, which does nothing: there is no such column" in notes
    assert len(notes) == 3


@sqlite
def test_page_that_cannot_be_written_is_refused_before_the_proof(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    note = f"open({str(history.directory / 'ran')!r}, 'w').close()"
    history.revision("0001", note, "pass")
    config = str(history.directory / "alembic.ini")
    for page in (history.directory / "none" / "page.html", history.directory):
        assert main(["roundtrip", "-c", config, f"--html={page}"]) == 2
        assert str(page) in capsys.readouterr().err
    assert not (history.directory / "ran").exists()


# What a server makes by itself


@pytest.mark.databases("mariadb", "mysql")
def test_index_made_for_a_foreign_key_is_the_same_whatever_it_is_called(history: History) -> None:
    users_and_notes(history)
    history.revision(
        "0002",
        "op.drop_constraint('notes_ibfk_1', 'notes', type_='foreignkey')\n"
        "op.drop_index('user_id', 'notes')",
        """\
        op.create_foreign_key(
            "notes_ibfk_1", "notes", "users", ["user_id"], ["id"], ondelete="CASCADE"
        )
        """,
    )
    assert [line for line in told(history.prove()) if "index" in line] == []


# Where the URL comes from


@sqlite
@pytest.mark.parametrize("way", ["argument", "variable", "settings"])
def test_url_of_the_scratch_database_is_told_online_and_for_scripts(
    history: History, way: str
) -> None:
    read = {
        "argument": "url = context.get_x_argument(as_dictionary=True)['db_url']",
        "variable": "import os\nurl = os.environ['OUR_DATABASE']",
        "settings": "from settings_of_app import url",
    }[way]
    path = "import sys\nfrom pathlib import Path\nsys.path.append(str(Path(__file__).parents[1]))\n"
    given = 'context.config.attributes["connection"]'
    env = ENV.replace('context.config.get_main_option("sqlalchemy.url")', "url")
    env = env.replace(given, "sa.create_engine(url).connect()")
    history.write("migrations/env.py", env.replace("if context", f"{path}{read}\nif context"))
    history.write("settings_of_app.py", "import os\nurl = os.environ['APP_PG_DSN']\n")
    head = f"{path}from settings_of_app import url" if way == "settings" else ""
    history.revision("0001", "pass", "pass", f"{head}\n{MEANT}")
    found = history.prove(checks=Settings().checks | {results.OFFLINE})
    assert (found.error, told(found)) == ("", [])
    assert outcome(found, "0001", results.OFFLINE).status == results.PROVEN


@pytest.mark.databases("postgresql")
def test_rows_are_written_when_the_driver_is_asynchronous(history: History) -> None:
    pytest.importorskip("asyncpg")
    pytest.importorskip("greenlet")
    head = "import asyncio\nfrom sqlalchemy.ext.asyncio import create_async_engine\n"
    env = f"""\
{head}from alembic import context

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    url = context.config.get_main_option("sqlalchemy.url")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""
    history.write("migrations/env.py", env)
    history.url = history.url.replace("+psycopg", "+asyncpg").partition("?")[0]
    users_and_notes(history)
    found = history.prove()
    assert (found.error, found.notes) == ("", [])
