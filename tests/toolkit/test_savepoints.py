"""Savepoints of a revision, after a part of it was committed: those of the runner are in no way."""

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Project, execute, rows
from tests.toolkit.test_attempts import reading_until_tried

BLOCK = "with op.get_context().autocommit_block():\n    op.execute({})\n"
COMMITTED = {
    "autocommit block": BLOCK.format("'INSERT INTO bills VALUES (7, 7)'"),
    "backfill": "op.backfill('bills', {'n': 1}, where='n IS NULL')\n",
}
COMMITTED_BY_POSTGRESQL = {
    "concurrent index": "op.create_index('ix', 'bills', ['n'], postgresql_concurrently=True)\n",
    "enum value": "op.create_enum('e', ['a'])\nop.add_enum_value('e', 'b')\n",
}
NESTED = {
    "begin_nested": """\
with op.get_bind().begin_nested():
    op.execute('UPDATE bills SET n = n + 1')
""",
    "nested twice": """\
with op.get_bind().begin_nested() as outer:
    with op.get_bind().begin_nested() as inner:
        op.execute('UPDATE bills SET n = n + 50')
        inner.rollback()
    op.execute('UPDATE bills SET n = n + 1')
""",
    "session": """\
from sqlalchemy.orm import Session
with Session(op.get_bind()) as session:
    with session.begin_nested():
        session.execute(sa.text('UPDATE bills SET n = n + 1'))
    session.flush()
    session.commit()
""",
    "by hand": """\
op.execute('SAVEPOINT ours')
op.execute('UPDATE bills SET n = n + 1')
op.execute('RELEASE SAVEPOINT ours')
""",
    "rolled back by hand": """\
op.execute('SAVEPOINT ours')
op.execute('UPDATE bills SET n = n + 50')
op.execute('ROLLBACK TO SAVEPOINT ours')
op.execute('UPDATE bills SET n = n + 1')
""",
    "with a comment before": """\
op.execute('/* mine */ SAVEPOINT ours')
op.execute('UPDATE bills SET n = n + 1')
op.execute('RELEASE SAVEPOINT ours')
""",
}
VERBS = {
    "replace_view": "op.replace_view('v', 'SELECT n FROM bills')\n",
    "default": "op.alter_column('bills', 'n', server_default='3', existing_type=sa.Integer())\n",
    "type": "op.alter_column('bills', 'n', type_=sa.BigInteger(), existing_type=sa.Integer())\n",
    "create_table": "op.create_table('other', sa.Column('n', sa.Integer, server_default='3'))\n",
}
AFTER = "op.execute('SELECT 1')\n"
HEAD = "import alembic_helpers as op"


@pytest.fixture
def bills(project: Project, database: Database) -> Project:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY, n INTEGER)")
    execute(database, "INSERT INTO bills VALUES (1, 1)")
    return project


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("committed", COMMITTED)
def test_savepoint_works_when_a_part_of_the_revision_is_committed(
    bills: Project, database: Database, committed: str, nested: str
) -> None:
    bills.revision("0001", upgrade=COMMITTED[committed] + NESTED[nested], head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills WHERE id = 1") == [2]


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("committed", COMMITTED_BY_POSTGRESQL)
def test_savepoint_works_after_what_postgresql_commits_at_once(
    bills: Project, database: Database, committed: str, nested: str
) -> None:
    upgrade = COMMITTED_BY_POSTGRESQL[committed] + NESTED[nested]
    bills.revision("0001", upgrade=upgrade, head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM bills WHERE id = 1") == [2]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("committed", COMMITTED)
def test_verb_works_when_a_part_of_the_revision_is_committed(
    bills: Project, database: Database, committed: str, verb: str
) -> None:
    bills.revision("0001", upgrade=COMMITTED[committed] + VERBS[verb], head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("verb", VERBS)
def test_verb_works_within_an_autocommit_block(
    bills: Project, database: Database, verb: str
) -> None:
    block = "with op.get_context().autocommit_block():\n    "
    again = "op.replace_view('v', 'SELECT n, id FROM bills')\n    "
    again += "op.replace_view('v', 'SELECT id FROM bills')\n"  # which must drop it
    bills.revision("0001", upgrade=block + VERBS[verb] + "    " + again, head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT id FROM v") == [1]


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    "statement",
    [
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET LOCAL work_mem = '8MB'",
        "COMMIT",
        "BEGIN; COMMIT",
        "LOCK TABLE bills",
        "SAVEPOINT a; UPDATE bills SET n = 1; RELEASE SAVEPOINT a",
        "UPDATE bills SET n = 1; SAVEPOINT a",
    ],
)
def test_statement_about_its_transaction_is_run_as_it_is(
    bills: Project, database: Database, statement: str
) -> None:
    upgrade = COMMITTED["autocommit block"] + f'op.execute("{statement}")\n'
    bills.revision("0001", upgrade=upgrade, head=HEAD)
    assert bills.alembic("upgrade", "head").status == 0


@pytest.mark.databases("postgresql")
def test_first_statement_within_a_savepoint_waits_for_a_lock(
    bills: Project, database: Database
) -> None:
    add = "with op.get_bind().begin_nested():\n    op.execute('ALTER TABLE bills ADD m INTEGER')\n"
    bills.revision("0001", upgrade=COMMITTED["autocommit block"] + add, head=HEAD)
    with reading_until_tried(database):
        assert bills.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT m FROM bills WHERE id = 1") == [None]
