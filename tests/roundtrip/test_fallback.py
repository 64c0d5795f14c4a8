"""A failure hides nothing else: gentler rows, fewer or none are tried, and the rest is judged."""

from __future__ import annotations

import re
import textwrap

import pytest

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Proof
from alembic_toolkit.prove.settings import Settings
from tests.roundtrip.test_projects import ENV, MEANT, History, history, outcome, told

pytestmark = pytest.mark.long

__all__ = ["history"]

sqlite = pytest.mark.databases("sqlite")
postgresql = pytest.mark.databases("postgresql")
servers = pytest.mark.databases("postgresql", "mariadb", "mysql")
ALL = Settings().checks | {results.RERUN}


def notes(history: History, *columns: str) -> None:
    """Write a first revision, whose table has these columns."""
    more = ", ".join(["sa.Column('id', sa.Integer, primary_key=True)", *columns])
    history.revision("0001", f"op.create_table('notes', {more})", "op.drop_table('notes')")


TITLE = "sa.Column('title', sa.String(40))"
REQUIRE = "with op.batch_alter_table('notes') as batch:\n"
REQUIRE += "    batch.alter_column('title', nullable=False, existing_type=sa.String(40))\n"
ADD = "op.add_column('notes', sa.Column('age', sa.Integer))\n"


def faults(found: Proof) -> set[tuple[str, str]]:
    return {(f.revision, f.check) for f in found.findings}


# Up, and what it may hide


def test_downgrade_that_does_nothing_is_found_when_the_upgrade_fails_on_rows(
    history: History,
) -> None:
    notes(history, TITLE)
    history.revision("0002", REQUIRE + ADD, "pass")
    found = history.prove()
    assert faults(found) == {("0002", results.UP), ("0002", results.DOWN)}
    [up] = [f for f in found.findings if f.check == results.UP]
    assert up.details[-1] == (
        "it runs with rows in which nothing is NULL, empty or twice, and the rest is judged on that"
    )


def test_downgrade_is_judged_when_the_upgrade_has_a_known_exception(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", REQUIRE + ADD, "pass")
    found = history.prove(exceptions={("0002", results.UP): "there is no NULL"})
    assert faults(found) == {("0002", results.DOWN)}
    assert outcome(found, "0002", results.UP).status == results.EXCEPTED


@sqlite
def test_rows_are_judged_on_those_with_which_the_upgrade_runs(history: History) -> None:
    notes(history, TITLE, "sa.Column('kind', sa.Integer, server_default='7')")
    lost = REQUIRE + "op.drop_column('notes', 'kind')"
    history.revision("0002", lost, "op.add_column('notes', sa.Column('kind', sa.Integer))")
    lines = told(history.prove())
    assert any("0002 up: upgrade() fails on tables with rows" in line for line in lines)
    assert any("0002 rows survive: downgrade() loses rows" in line for line in lines)


def test_value_that_is_there_twice_hides_nothing(history: History) -> None:
    notes(history, TITLE)
    unique = "op.create_index('uq', 'notes', ['title'], unique=True)\n"
    history.revision("0002", unique + ADD, "op.drop_index('uq', 'notes')")
    assert faults(history.prove()) == {("0002", results.UP), ("0002", results.DOWN)}


@sqlite
def test_upgrade_that_runs_only_without_rows_is_judged_without(history: History) -> None:
    notes(history, TITLE)
    up = "if op.get_bind().scalar(sa.text('SELECT count(*) FROM notes')):\n    1 / 0\n"
    history.revision("0002", up + ADD, "pass")
    found = history.prove()
    assert faults(found) == {("0002", results.UP), ("0002", results.DOWN)}
    [up_] = [f for f in found.findings if f.check == results.UP]
    assert up_.details[-1].startswith("it runs with no rows")
    assert outcome(found, "0002", results.ROWS).status == results.NOT_JUDGED


@sqlite
def test_one_row_is_enough_for_the_rest(history: History) -> None:
    notes(history, TITLE)
    up = "if op.get_bind().scalar(sa.text('SELECT count(*) FROM notes')) > 1:\n    1 / 0\n"
    history.revision("0002", up + ADD, "op.drop_column('notes', 'age')")
    found = history.prove()
    [line] = told(found)
    assert line.endswith("it runs with one row in each table, and the rest is judged on that")
    assert outcome(found, "0002", results.ROWS).status == results.PROVEN


@sqlite
def test_nothing_is_proven_when_the_upgrade_never_runs(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", "1 / 0", "pass")
    found = history.prove(checks=ALL)
    [line] = [line for line in told(found) if line.startswith("0002")]
    assert line.startswith("0002 up: upgrade() fails, with rows and without")
    for check in (results.DOWN, results.UP_AGAIN, results.ROWS, results.RERUN):
        judged = outcome(found, "0002", check)
        assert judged.status == results.NOT_JUDGED
        assert judged.why.startswith("'up' stands in the way: upgrade() fails, with rows and")


# Down, and what it may hide


def test_rows_that_the_history_inserts_are_to_be_made_fit(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", "op.execute('INSERT INTO notes (id) VALUES (7)')", "pass")
    history.revision("0003", REQUIRE, "pass")
    found = history.prove()
    [up] = [f for f in found.findings if (f.revision, f.check) == ("0003", results.UP)]
    assert "an UPDATE" in up.remedy
    assert "dialect" not in up.remedy


@sqlite
def test_downgrade_that_fails_on_rows_is_judged_with_others(history: History) -> None:
    notes(history, TITLE)
    nullable = REQUIRE.replace("nullable=False", "nullable=True")
    history.revision("0002", ADD, f"{REQUIRE}op.drop_column('notes', 'age')\n{nullable}")
    found = history.prove()
    [line] = told(found)
    assert line.startswith("0002 down leaves no trace: downgrade() fails on tables with rows")
    assert outcome(found, "0002", results.UP_AGAIN).status == results.PROVEN


@sqlite
@pytest.mark.parametrize("down", ["pass", "1 / 0"])
def test_upgrade_is_run_again_when_it_cannot_be_taken_back(history: History, down: str) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, down)
    history.revision("0003", "pass", "pass", MEANT)
    found = history.prove(checks=ALL)
    again = {("0002", results.DOWN), ("0002", results.RERUN)}
    assert {one for one in faults(found) if one[0] == "0002"} == again
    assert outcome(found, "0002", results.UP).status == results.PROVEN
    assert outcome(found, "0002", results.UP_AGAIN).status == results.NOT_JUDGED
    assert outcome(found, "0003", results.DOWN).status == results.PROVEN


@sqlite
def test_rows_that_a_downgrade_loses_are_found_beside_what_it_leaves(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, "op.execute('DELETE FROM notes')")
    found = history.prove()
    assert faults(found) == {("0002", results.DOWN), ("0002", results.ROWS)}


# Run again, and what it may hide


@sqlite
def test_downgrade_that_cannot_be_run_again_hides_no_other_check(history: History) -> None:
    notes(history, TITLE)
    up = f"{ADD}op.execute(\"INSERT INTO notes (title) VALUES ('x')\")"
    history.revision("0002", up, "op.drop_column('notes', 'age')")
    found = history.prove(checks=ALL)
    checks = [(f.check, f.problem) for f in found.findings if f.revision == "0002"]
    assert (results.RERUN, "downgrade() fails when it is run again") in checks
    assert (results.RERUN, "upgrade() fails when it is run again") in checks
    assert any(check == results.ROWS for check, _ in checks)
    assert outcome(found, "0002", results.UP_AGAIN).status == results.PROVEN


# What a revision expects


ENUM = "op.execute(\"CREATE TYPE mood AS ENUM ('good', 'bad')\")\n"
CAST = "op.execute('ALTER TABLE notes ALTER title TYPE {0} USING title::{0}')\n"


@postgresql
@pytest.mark.parametrize("type_", ["mood", "uuid"])
def test_texts_that_a_cast_cannot_read_are_not_judged(history: History, type_: str) -> None:
    notes(history, TITLE)
    up = (ENUM if type_ == "mood" else "") + CAST.format(type_)
    history.revision("0002", up + ADD, "op.execute('ALTER TABLE notes ALTER title TYPE text')")
    found = history.prove()
    assert faults(found) == {("0002", results.DOWN)}
    judged = outcome(found, "0002", results.UP)
    assert judged.status == results.NOT_JUDGED
    words = "'good', 'bad' in texts" if type_ == "mood" else "UUIDs in texts"
    assert judged.why.startswith(f"proven with {words}: ")


@postgresql
def test_labels_of_an_enum_that_was_there_before_are_known(history: History) -> None:
    history.revision("0000", ENUM, "op.execute('DROP TYPE mood')")
    notes_ = f"op.create_table('notes', sa.Column('id', sa.Integer, primary_key=True), {TITLE})"
    history.revision("0001", notes_, "op.drop_table('notes')")
    back = "op.execute('ALTER TABLE notes ALTER title TYPE varchar(40) USING title::text')"
    history.revision("0002", CAST.format("mood"), back)
    found = history.prove()
    assert told(found) == []
    assert outcome(found, "0002", results.ROWS).status == results.PROVEN


@pytest.mark.databases("sqlite", "postgresql", "mariadb", "mysql")
def test_texts_that_become_an_enum_hold_its_labels(history: History) -> None:
    notes(history, TITLE)
    kind = "sa.Enum('good', 'bad', name='mood', create_constraint=True)"
    up = f"mood = {kind}\nmood.create(op.get_bind(), checkfirst=True)\n"
    up += "with op.batch_alter_table('notes') as batch:\n"
    up += "    batch.alter_column('title', type_=mood, existing_type=sa.String(40),"
    up += " postgresql_using='title::mood')\n"
    history.revision("0002", up + ADD, "op.drop_column('notes', 'age')")
    found = history.prove()
    assert (("0002", results.UP) in faults(found), found.error) == (False, "")
    assert ("0002", results.DOWN) in faults(found)
    assert outcome(found, "0002", results.UP).status in (results.NOT_JUDGED, results.PROVEN)


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("module", ["zlib", "gzip", "lzma"])
def test_bytes_that_a_revision_decompresses_are_not_judged(history: History, module: str) -> None:
    notes(history, "sa.Column('data', sa.LargeBinary, nullable=False)")
    read = "for data in op.get_bind().scalars(sa.text('SELECT data FROM notes')).all():\n"
    history.revision(
        "0002", f"{read}    {module}.decompress(bytes(data))\n{ADD}", "pass", f"import {module}"
    )
    found = history.prove()
    assert faults(found) == {("0002", results.DOWN)}
    judged = outcome(found, "0002", results.UP)
    assert judged.status == results.NOT_JUDGED
    assert judged.why.startswith(f"proven with bytes of {module}: ")


@sqlite
def test_ids_that_are_uuids_to_the_revision_are_not_judged(history: History) -> None:
    create = "op.create_table('notes', sa.Column('id', sa.String(36), primary_key=True))"
    history.revision("0001", create, "op.drop_table('notes')")
    read = "for id_ in op.get_bind().scalars(sa.text('SELECT id FROM notes')).all():\n"
    history.revision("0002", f"{read}    uuid.UUID(id_)\n{ADD}", "pass", "import uuid")
    found = history.prove()
    assert faults(found) == {("0002", results.DOWN)}
    assert outcome(found, "0002", results.UP).why.startswith("proven with UUIDs in texts: ")


def test_two_tables_can_become_one(history: History) -> None:
    tables = ("users", "customers")
    columns = "sa.Column('id', sa.Integer, primary_key=True),"
    columns += "sa.Column('email', sa.String(40), unique=True), sa.Column('code', sa.String(5)),"
    columns += "sa.Column('token', sa.Uuid, nullable=False, unique=True)"
    up = "\n".join(f"op.create_table('{name}', {columns})" for name in tables)
    history.revision("0001", up, "\n".join(f"op.drop_table('{name}')" for name in tables))
    keys = (
        "sa.Column('email', sa.String(40), unique=True), sa.Column('token', sa.Uuid, unique=True)"
    )
    merge = f"op.create_table('people', {keys})\n"
    for name in tables:
        merge += f"op.execute('INSERT INTO people SELECT email, token FROM {name}')\n"
    history.revision("0002", merge, "op.drop_table('people')")
    assert told(history.prove()) == []


CONTEXT = "from alembic import context"
# Rows that are gone


@sqlite
def test_rows_that_went_are_not_taken_for_those_written_since(history: History) -> None:
    notes(history, TITLE)
    up = "op.execute('DELETE FROM notes WHERE id > 1')\n"
    history.revision("0002", up + ADD, "op.drop_column('notes', 'age')")
    [line] = told(history.prove())
    assert re.match(r"0002 rows survive: downgrade\(\) .* \| rows of notes: \d+ before", line)
    assert " -> " not in line


# Declared


NOT_SUPPORTED = "Downgrade to 0001 is not supported"


@sqlite
@pytest.mark.parametrize(
    "down",
    [
        f"raise NotImplementedError('{NOT_SUPPORTED}')",
        f"op.get_bind()\nraise NotImplementedError('{NOT_SUPPORTED}')",
        f"if op.get_bind():\n    raise NotImplementedError('{NOT_SUPPORTED}')",
        "name = '0001'\nraise NotImplementedError(f'Downgrade to {name} is not supported')",
    ],
)
def test_words_of_a_not_implemented_error_declare(history: History, down: str) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, down)
    found = history.prove(checks=ALL - {results.RERUN})
    assert told(found) == []
    judged = outcome(found, "0002", results.DOWN)
    assert judged.status == results.DECLARED
    assert "is not supported" in judged.why


@sqlite
@pytest.mark.parametrize("words", ["", "'write here how to take it back: helpers.drop_table(...)'"])
def test_not_implemented_error_without_words_of_its_own_is_a_finding(
    history: History, words: str
) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, f"raise NotImplementedError({words})")
    assert faults(history.prove()) == {("0002", results.DOWN)}


@sqlite
def test_declared_revision_is_run_again(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, f"raise NotImplementedError('{NOT_SUPPORTED}')")
    found = history.prove(checks=ALL)
    assert ("0002", results.RERUN) in faults(found)


@sqlite
def test_script_and_crash_of_an_upgrade_are_judged_without_its_downgrade(history: History) -> None:
    key = "sa.Column('id', sa.Integer, primary_key=True)"
    twice = "".join(f"op.create_table('{n}', {key}{{}})\n" for n in ("a", "b"))
    first = twice.format(*[", if_not_exists=True"] * 2)
    history.revision("0001", first, "op.drop_table('a', if_exists=True)\nop.drop_table('b')")
    other = "name = 'c' if context.is_offline_mode() else 'd'\n"
    other += "op.add_column('a', sa.Column(name, sa.Integer))"
    history.revision("0002", other, f"raise NotImplementedError('{NOT_SUPPORTED}')", CONTEXT)
    history.revision(
        "0003", twice.format("", "").replace("'b'", "'e'").replace("'a'", "'f'"), "1/0"
    )
    history.revision(
        "0004", "op.create_table('g', sa.Column('id', sa.Integer), if_not_exists=True)", "1 / 0"
    )
    checks = Settings().checks | {results.OFFLINE, results.CRASH}
    for downgrades in (True, False):
        found = history.prove(checks=checks, downgrades=downgrades)
        assert {one for one in faults(found) if one[1] != results.DOWN and one[0] > "0001"} == {
            ("0002", results.OFFLINE),
            # On SQLite, where plain DDL is not rolled back.
            ("0002", results.CRASH),
            ("0003", results.CRASH),
        }
        status = results.NOT_JUDGED if downgrades else results.PROVEN
        assert outcome(found, "0004", results.CRASH).status == status
        assert outcome(found, "0003", results.OFFLINE).status == status


@sqlite
def test_history_that_never_goes_down_is_proven_upwards(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, "pass")
    history.revision("0003", REQUIRE, "1 / 0")
    found = history.prove(downgrades=False)
    assert faults(found) == {("0003", results.UP)}
    assert found.notes == ["no downgrade was run: downgrades = false, in pyproject.toml"]
    assert {*found.revisions[1].checks} == {results.UP, results.ROWS}
    assert outcome(found, "0002", results.ROWS).status == results.PROVEN
    assert [*found.checks] == [results.MODELS]


@sqlite
def test_upgrade_is_run_again_in_a_history_that_never_goes_down(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, "pass")
    found = history.prove(downgrades=False, checks=ALL)
    assert ("0002", results.RERUN) in faults(found)
    assert {f.problem for f in found.findings} == {"upgrade() fails when it is run again"}


# What cannot be read


@sqlite
def test_file_that_is_no_python_leaves_what_is_below_it(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, "op.drop_column('notes', 'age')")
    history.revision("0003", "pass", "pass", "def broken(:")
    history.revision("0004", "pass", "pass", MEANT)
    found = history.prove()
    assert found.error == ""
    assert outcome(found, "0002", results.DOWN).status == results.PROVEN
    assert outcome(found, "0004", results.UP).status == results.NOT_REACHED
    assert found.checks[results.MODELS].status == results.NOT_JUDGED


@sqlite
def test_file_that_cannot_be_imported_is_a_finding(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", "pass", "pass", "import not_to_be_had")
    history.revision("0003", "pass", "pass", MEANT)
    found = history.prove()
    assert (faults(found), found.error) == ({("0002", results.UP)}, "")
    assert "No module named 'not_to_be_had'" in told(found)[0]
    assert outcome(found, "0001", results.DOWN).status == results.PROVEN
    assert outcome(found, "0003", results.UP).status == results.NOT_REACHED


@sqlite
@pytest.mark.parametrize(
    "models",
    [
        "sa.Table('bills', metadata, sa.Column('user', sa.ForeignKey('users.id')))",
        "metadata = 7",
    ],
)
def test_models_that_are_incomplete_are_not_judged(history: History, models: str) -> None:
    env = ENV.replace('["connection"])', '["connection"], target_metadata=metadata)')
    start = f"metadata = sa.MetaData()\n{models}\n"
    history.write(
        "migrations/env.py", textwrap.dedent(env).replace("if context", f"{start}if context", 1)
    )
    notes(history, TITLE)
    found = history.prove()
    assert (told(found), found.error) == ([], "")
    judged = found.checks[results.MODELS]
    assert judged.status == results.NOT_JUDGED
    assert judged.why.startswith("the models cannot be compared: ")


# Forms that only the revision knows


def read_each(code: str) -> str:
    """Return a revision's code that reads each title in Python."""
    return f"""\
for title in op.get_bind().scalars(sa.text("SELECT title FROM notes WHERE title IS NOT NULL")):
    {code}
"""


@sqlite
@pytest.mark.parametrize(
    "code",
    [
        "import datetime; datetime.date.fromisoformat(title)",
        "import datetime; datetime.datetime.strptime(title, '%Y-%m-%d %H:%M:%S')",
        "import base64; base64.b64decode(title, validate=True)",
        "user, host = title.split('@')",
        "import ipaddress; ipaddress.ip_address(title)",
        "bytes.fromhex(title)",
        "import uuid; uuid.UUID(title)",
    ],
)
def test_text_of_a_form_that_python_reads_hides_nothing(history: History, code: str) -> None:
    notes(history, TITLE)
    history.revision("0002", read_each(code) + ADD, "pass")
    found = history.prove()
    assert faults(found) == {("0002", results.DOWN)}
    assert outcome(found, "0002", results.UP).status == results.NOT_JUDGED


@postgresql
@pytest.mark.parametrize("type_", ["date", "timestamp", "boolean", "inet", "cidr", "text[]"])
def test_text_cast_to_a_type_hides_nothing(history: History, type_: str) -> None:
    notes(history, "sa.Column('title', sa.Text)")
    up = f"op.execute('ALTER TABLE notes ALTER title TYPE {type_} USING title::{type_}')\n"
    history.revision("0002", up, "op.execute('ALTER TABLE notes ALTER title TYPE text')\n" + ADD)
    found = history.prove()
    assert ("0002", results.DOWN) in faults(found)
    assert ("0002", results.UP) not in faults(found)
    assert outcome(found, "0002", results.UP).status == results.NOT_JUDGED


@sqlite
def test_error_of_the_project_says_time_without_an_end(history: History) -> None:
    notes(history, TITLE)
    up = "if op.get_bind().scalar(sa.text('SELECT count(*) FROM notes WHERE title IS NULL')):\n"
    history.revision("0002", f"{up}    raise RuntimeError('some time')\n{ADD}", "pass")
    found = history.prove()
    assert found.error == ""
    assert ("0002", results.DOWN) in faults(found)


@pytest.mark.databases("sqlite", "postgresql")
def test_bytes_differ_from_table_to_table(history: History) -> None:
    made = "sa.Column('hash', sa.LargeBinary(32), unique=True)"
    table = f"op.create_table(name, sa.Column('id', sa.Integer, primary_key=True), {made})"
    each = "for name in ('staff', 'guests'):\n    "
    history.revision("0001", each + table, each + "op.drop_table(name)")
    copy = "op.execute(f'INSERT INTO people (hash) SELECT hash FROM {name}')"
    history.revision("0002", f"name = 'people'\n{table}\n{each}{copy}", "op.drop_table('people')")
    assert told(history.prove()) == []


# What a refusal says


@sqlite
@pytest.mark.parametrize(
    ("down", "why"),
    [
        ("message = 'one way only'\nraise NotImplementedError(message)", "one way only"),
        ("raise NotImplementedError(f'no way below {revision}')", "no way below 0002"),
        ("raise NotImplementedError('never ' 'back') from None", "never back"),
    ],
)
def test_words_of_a_refusal_are_shown(history: History, down: str, why: str) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, down)
    found = history.prove()
    assert outcome(found, "0002", results.DOWN) == results.Outcome(results.DECLARED, why)


@sqlite
@pytest.mark.parametrize("down", ["raise NotImplementedError('')", "raise RuntimeError('no')"])
def test_refusal_that_declares_nothing_is_told_how_to(history: History, down: str) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, down)
    [finding] = history.prove().findings
    assert "irreversible" in finding.remedy
