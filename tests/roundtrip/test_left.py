"""What can still be judged is judged, whatever a revision does to the process or to the history."""

from __future__ import annotations

import json

import pytest

from alembic_toolkit.prove import results
from alembic_toolkit.prove.roundtrip import roundtrip
from alembic_toolkit.prove.settings import Settings
from alembic_toolkit.report.machines import to_json
from tests.roundtrip.test_fallback import ADD, TITLE, faults, notes
from tests.roundtrip.test_projects import History, history, outcome, told

pytestmark = pytest.mark.long

__all__ = ["history"]

sqlite = pytest.mark.databases("sqlite")
postgresql = pytest.mark.databases("postgresql")
servers = pytest.mark.databases("sqlite", "postgresql")


def above(history: History) -> None:
    """Write a revision with a fault in its downgrade."""
    history.revision("0003", "op.add_column('notes', sa.Column('late', sa.Integer))", "pass")


# A step that hangs, or ends the process


@servers
def test_downgrade_that_never_ends_is_a_finding_and_hides_nothing(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, "import time\ntime.sleep(600)")
    above(history)
    found = history.prove(timeout=4)
    assert found.error == ""
    assert faults(found) == {("0002", results.DOWN), ("0003", results.DOWN)}
    assert "0002 down leaves no trace: downgrade() fails | Ended: " in told(found)[0]
    assert "took longer than 4 seconds" in told(found)[0]
    assert "timeout" in found.findings[0].remedy


@postgresql
def test_upgrade_that_the_server_never_ends_is_a_finding(history: History) -> None:
    notes(history, TITLE)
    history.revision("0002", "op.execute('SELECT pg_sleep(600)')", "pass")
    found = history.prove(timeout=4)
    assert found.error == ""
    assert faults(found) == {("0002", results.UP)}
    assert outcome(found, "0001", results.DOWN).status == results.PROVEN


@sqlite
def test_upgrade_that_never_ends_on_rows_is_judged_without(history: History) -> None:
    notes(history, TITLE)
    count = "op.get_bind().scalar(sa.text('SELECT count(*) FROM notes'))"
    history.revision("0002", f"while {count}:\n    pass\n{ADD}", "pass")
    above(history)
    found = history.prove(timeout=4)
    assert faults(found) == {
        ("0002", results.UP),
        ("0002", results.DOWN),
        ("0003", results.DOWN),
    }
    [up] = [f for f in found.findings if f.check == results.UP]
    assert up.details[-1].startswith("it runs with no rows")


@sqlite
@pytest.mark.parametrize("how", ["sys.exit(3)", "os._exit(3)", "os.abort()"])
def test_revision_that_ends_the_process_is_a_finding(history: History, how: str) -> None:
    notes(history, TITLE)
    history.revision("0002", ADD, f"import os, sys\n{how}")
    above(history)
    found = history.prove()
    assert found.error == ""
    assert faults(found) == {("0002", results.DOWN), ("0003", results.DOWN)}


# Branches


@pytest.mark.parametrize("up", ["op.execute('SELECT nothing FROM nowhere')", "1 / 0"])
def test_other_branch_is_judged_when_an_upgrade_never_runs(history: History, up: str) -> None:
    notes(history, TITLE)
    history.revision("0002a", up, "pass", 'branch_labels = ("a",)')
    history.revision("0003a", "op.add_column('notes', sa.Column('a', sa.Integer))", "pass")
    history.last = "0001"
    history.revision("0002b", ADD, "pass")
    found = history.prove()
    assert faults(found) == {("0002a", results.UP), ("0002b", results.DOWN)}
    assert outcome(found, "0003a", results.UP).status == results.NOT_REACHED
    assert found.checks[results.BASE].why == "head cannot be reached"


@sqlite
def test_history_with_two_heads_is_judged_all_the_same(history: History) -> None:
    notes(history, TITLE)
    for id_ in ("0002a", "0002b"):
        history.last = "0001"
        history.revision(id_, f"op.add_column('notes', sa.Column('c{id_}', sa.Integer))", "pass")
    report = roundtrip(history.directory / "alembic.ini", Settings(urls=[history.url]))
    assert [f.check for f in report.findings] == [results.GRAPH]
    assert faults(report.proofs[0]) == {("0002a", results.DOWN), ("0002b", results.DOWN)}
    assert json.loads(to_json(report))["status"] == 1


@postgresql
def test_other_branch_is_judged_when_an_extension_is_missing(history: History) -> None:
    notes(history, TITLE)
    up = "op.execute('CREATE EXTENSION nowhere_to_be_had')"
    history.revision("0002a", up, "pass", 'branch_labels = ("a",)')
    history.last = "0001"
    history.revision("0002b", ADD, "pass")
    found = history.prove()
    assert faults(found) == {("0002b", results.DOWN)}
    assert "nowhere_to_be_had" in found.error


@sqlite
def test_file_without_upgrade_is_a_finding(history: History) -> None:
    notes(history, TITLE)
    history.write("migrations/versions/0002.py", "revision = '0002'\ndown_revision = '0001'\n")
    found = history.prove()
    [line] = told(found)
    assert "there is no upgrade() in 0002.py" in line
    assert outcome(found, "0001", results.DOWN).status == results.PROVEN


# What is broken already


@postgresql
def test_what_a_broken_trigger_is_in_the_way_of_is_not_broken_by_the_next_revision(
    history: History,
) -> None:
    notes(history, TITLE)
    body = "BEGIN NEW.title = NEW.titel; RETURN NEW; END"
    trigger = f"""\
op.execute("CREATE FUNCTION low(t text) RETURNS text LANGUAGE sql AS 'SELECT lower(t)'")
op.execute("CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
op.execute("CREATE TRIGGER touch BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION touch()")
"""
    back = """\
op.execute("DROP TRIGGER touch ON notes")
op.execute("DROP FUNCTION touch()")
op.execute("DROP FUNCTION low(text)")
"""
    history.revision("0002", trigger, back)
    history.revision(
        "0003",
        "op.execute(\"ALTER TABLE notes ADD low text DEFAULT low('A')\")",
        "op.drop_column('notes', 'low')",
    )
    assert faults(history.prove()) == {("0002", results.UP)}


@postgresql
def test_view_of_what_the_application_sets_can_be_used(history: History) -> None:
    notes(history, TITLE)
    view = "CREATE VIEW mine AS SELECT id, current_setting('app.tenant') AS tenant FROM notes"
    history.revision("0002", f'op.execute("{view}")', "op.execute('DROP VIEW mine')")
    assert told(history.prove()) == []


@postgresql
def test_check_of_a_column_that_is_renamed_and_altered_is_the_same(history: History) -> None:
    notes(history, "sa.Column('amount', sa.Integer, sa.CheckConstraint('amount > 0', name='ck'))")
    call = "op.alter_column('notes', {0}, new_column_name={1}, type_={2}, existing_type={3})"
    there = call.format("'amount'", "'total'", "sa.Numeric(12, 2)", "sa.Integer")
    back = call.format("'total'", "'amount'", "sa.Integer", "sa.Numeric(12, 2)")
    history.revision("0002", there, back)
    assert told(history.prove()) == []
