"""A revision that runs again: what its own later steps change is no conflict."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import alembic_helpers as helpers
from alembic_toolkit.verbs import source
from tests.databases import Database
from tests.helpers.conftest import Load
from tests.helpers.vocabulary import counted, prepare, revision, rows, snapshot

ADDED = 'op.add_column("bills", sa.Column("kind", sa.String(9), {}))\n'
NULL, DEFAULT = ADDED.format(""), ADDED.format('server_default="x"')
ALTER = 'op.alter_column("bills", "kind", existing_type=sa.String(9), {})\n'
NOT_NULL = ALTER.format("nullable=False")

CONVERGING = {
    "not null": NULL + NOT_NULL,
    "default dropped": DEFAULT + ALTER.format("server_default=None"),
    "type": NULL + ALTER.format("type_=sa.String(20)"),
    "keywords": NULL
    + 'op.alter_column(table_name=TABLE, column_name="kind", nullable=False,'
    + " existing_type=sa.String(9))\n",
    "in one batch": """\
with op.batch_alter_table("bills") as batch:
    batch.add_column(sa.Column("kind", sa.String(9)))
    batch.alter_column("kind", existing_type=sa.String(9), nullable=False)
""",
    "in a later batch": NULL
    + """\
with op.batch_alter_table(TABLE, schema=None) as batch:
    batch.alter_column("kind", existing_type=sa.String(9), nullable=False)
""",
    "below the same if": "if op.get_bind():\n" + textwrap.indent(NULL + NOT_NULL, "    "),
}
DIFFERING = {
    "nothing below": NULL,
    "another column": NULL + NOT_NULL.replace("kind", "id"),
    "another property": NULL + ALTER.format("server_default=None"),
    "above": "if op.table_has_column(TABLE, 'kind'):\n    " + NOT_NULL + NULL,
    "perhaps not": NULL + "if not revision:\n    " + NOT_NULL,
}


@pytest.mark.parametrize("body", CONVERGING.values(), ids=CONVERGING.keys())
def test_add_column_skips_when_the_revision_itself_alters_the_column_below(
    database: Database, load: Load, body: str
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY)")
    upgrade = load(body)
    with revision(database) as connection:
        upgrade()
        before = snapshot(connection)
    with revision(database) as connection:
        upgrade()
        assert snapshot(connection) == before


@pytest.mark.parametrize("body", DIFFERING.values(), ids=DIFFERING.keys())
def test_add_column_raises_when_nothing_alters_the_column_below(
    database: Database, load: Load, body: str
) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY,"
        " kind VARCHAR(9) DEFAULT 'y' NOT NULL)",
    )
    with revision(database), pytest.raises(helpers.SchemaConflict):
        load(body)()


RENAME = 'op.rename_table("bills", "invoices")\n'
BATCH = """\
with op.batch_alter_table("bills") as batch:
    batch.alter_column("id", new_column_name="number", existing_type=sa.Integer())
    batch.create_unique_constraint("uq", ["number"])
"""
STEPS = {
    "add_column": NULL + RENAME,
    "create_index": 'op.create_index("ix", "bills", ["id"])\n' + RENAME,
    "batch": BATCH + 'op.rename_table(new_table_name="invoices", old_table_name="bills")\n',
}


@pytest.mark.parametrize("body", STEPS.values(), ids=STEPS.keys())
def test_verb_skips_when_the_revision_has_renamed_its_table_below(
    database: Database, load: Load, body: str
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY)")
    upgrade = load(body)
    with revision(database) as connection:
        upgrade()
        before = snapshot(connection)
    with revision(database) as connection:
        upgrade()
        assert snapshot(connection) == before


@pytest.mark.parametrize("body", [RENAME + NULL, NULL, NULL + RENAME.replace("invoices", "other")])
def test_verb_raises_when_its_table_was_renamed_above_or_by_another_revision(
    database: Database, load: Load, body: str
) -> None:
    prepare(database, "CREATE TABLE invoices (id INTEGER NOT NULL PRIMARY KEY)")
    with revision(database), pytest.raises(helpers.MissingParent):
        load(body)()


DROP_KEY = """\
with op.batch_alter_table("bills") as batch:
    batch.drop_constraint("pk", type_="primary")
"""
MAKE_KEY = """\
with op.batch_alter_table("bills") as batch:
    batch.create_unique_constraint("uq", ["id"])
    batch.create_primary_key("pk_bills", ["number"])
"""
ELSEWHERE = 'op.create_index("ix", "parts", ["id"])\n'


def prepare_keys(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER NOT NULL, number INTEGER NOT NULL,"
        " CONSTRAINT pk PRIMARY KEY (id))",
        "CREATE TABLE parts (id INTEGER PRIMARY KEY, bill INTEGER REFERENCES bills (id))",
        "INSERT INTO bills VALUES (1, 2)",
        "INSERT INTO parts VALUES (3, 1)",
    )


@pytest.mark.databases("sqlite")
def test_drop_constraint_acts_when_the_revision_makes_the_key_anew_below(
    database: Database, load: Load
) -> None:
    prepare_keys(database)
    with revision(database) as connection:
        load(DROP_KEY + MAKE_KEY)()
        assert rows(connection, "PRAGMA foreign_key_check") == []
        assert rows(connection, "SELECT * FROM parts") == [(3, 1)]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("body", [DROP_KEY, DROP_KEY + ELSEWHERE])
def test_drop_constraint_refuses_when_keys_refer_to_it_and_none_is_made_below(
    database: Database, load: Load, body: str
) -> None:
    prepare_keys(database)
    with revision(database), pytest.raises(helpers.UnsafeOperation):
        load(body)()


# A table's look answers for what the revision names below it

TABLE = """\
op.create_table("bills", sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("kind", sa.String(9)), sa.UniqueConstraint("kind", name="uq_kind"){})
"""
INDEX = 'op.create_index("ix_kind", "bills", ["kind"])\n'
MORE = 'op.create_index("ix_more", "bills", ["kind", "id"])\n'
RAW = '"CREATE INDEX ix_kind ON bills (kind)"'
GOES_ON = {
    "the index is made twice": TABLE.format("") + INDEX + INDEX,
    "by the table, too": TABLE.format(', sa.Index("ix_kind", "kind")') + INDEX,
    "by execute": TABLE.format("") + f"op.execute({RAW})\n" + INDEX,
    "by the connection": TABLE.format("") + f"op.get_bind().exec_driver_sql({RAW})\n" + INDEX,
    "by a file": TABLE.format("") + "op.execute_file(TABLE + '.sql')\n" + INDEX,
    "the table is dropped": TABLE.format("")
    + "op.drop_table('bills')\n"
    + TABLE.format("")
    + INDEX,
    "the table is renamed": TABLE.format("")
    + "op.rename_table('bills', 'invoices')\n"
    + INDEX.replace('"bills"', '"invoices"')
    + TABLE.format("").replace("uq_kind", "uq_other")
    + INDEX.replace("ix_kind", "ix_other"),
}
IN_SAVEPOINTS = {
    "a savepoint is rolled back": "for rolled in (True, False):\n"
    + "    nested = op.get_bind().begin_nested()\n"
    + textwrap.indent(TABLE.format("") + INDEX, "    ")
    + "    nested.rollback() if rolled else nested.commit()\n",
    "the table is dropped in a savepoint": TABLE.format("")
    + "with op.get_context().bind.begin_nested():\n    op.drop_table('bills')\n"
    + TABLE.format("")
    + INDEX,
}


@pytest.mark.parametrize("body", GOES_ON.values(), ids=GOES_ON.keys())
def test_an_index_of_a_new_table_is_looked_for_where_the_revision_may_have_changed_it(
    database: Database, load: Load, body: str, tmp_path: Path
) -> None:
    (tmp_path / "bills.sql").write_text(f"{RAW[1:-1]};")
    with revision(database) as connection:
        load(body)()
        made = str(snapshot(connection))
    assert "ix_kind" in made or "ix_other" in made


@pytest.mark.databases("sqlite", "postgresql")  # MariaDB ends them with the first DDL
@pytest.mark.parametrize("body", IN_SAVEPOINTS.values(), ids=IN_SAVEPOINTS.keys())
def test_an_index_of_a_new_table_is_looked_for_after_a_savepoint(
    database: Database, load: Load, body: str
) -> None:
    with revision(database) as connection:
        load(body)()
        assert "ix_kind" in str(snapshot(connection))


@pytest.mark.databases("postgresql")
def test_an_index_of_a_new_table_conflicts_with_its_constraint(
    database: Database, load: Load
) -> None:
    with revision(database), pytest.raises(helpers.SchemaConflict):
        load(TABLE.format("") + INDEX.replace("ix_kind", "uq_kind"))()


@pytest.mark.parametrize("name", ["ix_taken", "taken", "bills"], ids=["index", "table", "itself"])
@pytest.mark.databases("postgresql")
def test_an_index_of_a_new_table_is_refused_when_another_thing_has_its_name(
    database: Database, load: Load, name: str
) -> None:
    prepare(database, "CREATE TABLE taken (id INTEGER)", "CREATE INDEX ix_taken ON taken (id)")
    body = TABLE.format("") + INDEX.replace("ix_kind", name)
    with pytest.raises(helpers.SchemaConflict), revision(database):
        load(body)()


@pytest.mark.databases("postgresql")
def test_each_verb_takes_one_look_after_a_new_table(database: Database, load: Load) -> None:
    others = TABLE.format(', sa.ForeignKeyConstraint(["id"], ["bills.id"], name="fk")')
    others = others.replace('"bills",', '"others",').replace("uq_kind", "uq_other")
    upgrade = load(TABLE.format("") + INDEX + MORE + others)
    with revision(database), counted(database.engine) as statements:
        upgrade()
    verbs = 4  # two tables, two indexes
    assert sum(statement.startswith("SELECT") for statement in statements) == verbs


@pytest.mark.databases("postgresql")
def test_an_index_is_looked_for_once_its_table_is_committed(database: Database, load: Load) -> None:
    body = TABLE.format("") + "with op.get_context().autocommit_block():\n    pass\n" + INDEX
    upgrade = load(body)
    with revision(database), counted(database.engine) as statements:
        upgrade()
    assert sum(statement.startswith("SELECT") for statement in statements) == 2


ANEW = {
    "a column": 'op.add_column("bills", sa.Column("n", sa.Integer()))\n'
    'op.{}\nop.drop_column("bills", "b")\n'
    'op.alter_column("bills", "n", new_column_name="b", existing_type=sa.Integer())\n',
    "by a rename": 'op.alter_column("bills", "b", new_column_name="c",'
    " existing_type=sa.Integer())\n"
    'op.add_column("bills", sa.Column("n", sa.Integer()))\n'
    'op.{}\nop.alter_column("bills", "n", new_column_name="b", existing_type=sa.Integer())\n',
}
FILLS = [
    'execute("UPDATE bills SET n = {0} * 2")',
    'backfill("bills", {{"n": sa.text("{0} * 2")}}, where="n IS NULL")',
]


@pytest.mark.parametrize("body", ANEW.values(), ids=ANEW.keys())
@pytest.mark.parametrize("fill", FILLS, ids=["execute", "backfill"])
def test_a_first_run_makes_a_column_anew_under_its_name(
    database: Database, load: Load, body: str, fill: str
) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, b INTEGER)",
        "INSERT INTO bills VALUES (1, 10), (2, 20)",
    )
    upgrade = load(body.format(fill.format("c" if '_name="c"' in body else "b")))
    with revision(database):
        upgrade()
    with revision(database) as connection:
        assert rows(connection, "SELECT id, b FROM bills ORDER BY id") == [(1, 20), (2, 40)]


def test_a_function_with_nothing_below_the_call_is_not_parsed(
    database: Database, load: Load
) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, kind INTEGER)")
    alone, followed = (
        load('op.drop_column("bills", "kind")\n' + more) for more in ("", "str(1)\n")
    )
    parsed = []
    for upgrade in (alone, followed):
        before = source.function_of.cache_info().misses
        with revision(database):
            upgrade()
        parsed.append(source.function_of.cache_info().misses - before)
    assert parsed == [0, 1]
