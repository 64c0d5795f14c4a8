"""The verbs for rows, in databases and scripts: ``bulk_insert``, ``execute``, ``irreversible``."""

from __future__ import annotations

import datetime as dt
import enum
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from alembic_toolkit.verbs.data.insert import rounds
from tests.databases import Database, new_database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_missing_parent,
    assert_skipped,
    counted,
    heard,
    outcome_of,
    prepare,
    revision,
    rows,
)

KINDS = "CREATE TABLE kinds (code VARCHAR(50), part INTEGER, name VARCHAR(50))"


def kinds(schema: str | None = None, name: str = "kinds") -> sa.TableClause:
    columns: list[Any] = [sa.column("code", sa.String()), sa.column("part", sa.Integer())]
    return sa.table(name, *columns, sa.column("name", sa.String()), schema=schema)


KINDS_TABLE = kinds()


def held(database: Database, columns: str = "code, name", table: str = "kinds") -> list[Any]:
    with database.engine.connect() as connection:
        return sorted(rows(connection, f"SELECT {columns} FROM {table}"), key=repr)


def script_of(database: Database, act: Any, times: int = 2) -> str:
    """Write the script, run it twice, and return it."""
    script = written(database, act)
    for _ in range(times):
        run_with_client(database, script)
    return script


# bulk_insert, without a key


def test_bulk_insert_is_alembics_own_without_a_key(database: Database) -> None:
    prepare(database, KINDS)
    one: list[dict[str, Any]] = [{"code": "a", "name": "one"}]
    with revision(database):
        helpers.bulk_insert(kinds(), one)
        helpers.bulk_insert(kinds(), one, multiinsert=False)
        with pytest.raises(TypeError, match="List expected"):
            helpers.bulk_insert(kinds(), {"code": "a"})  # type: ignore[arg-type]
    assert held(database) == [("a", "one")] * 2
    assert "WHERE" not in written(database, lambda: helpers.bulk_insert(kinds(), one))


def test_script_of_bulk_insert_writes_values_of_columns_without_a_type(
    database: Database,
) -> None:
    table = sa.table("kinds", sa.column("code"), sa.column("n"), sa.column("gone"))
    values: list[dict[str, Any]] = [
        {"code": None, "n": 1, "gone": None},
        {"code": "it's", "n": 2, "gone": None},
    ]
    script = written(database, lambda: helpers.bulk_insert(table, values))
    assert "'it''s', 2, NULL" in script


# bulk_insert, with a key


def test_bulk_insert_leaves_rows_alone_whose_key_is_there(database: Database) -> None:
    prepare(database, KINDS, "INSERT INTO kinds VALUES ('a', 1, 'kept')")
    new = [{"code": code, "name": f"new {code}"} for code in "abc"]
    with revision(database):
        applied = assert_applied(lambda: helpers.bulk_insert(kinds(), new, key=["code"]))
        assert applied.lines == ["inserted 2 of 3 rows into kinds"]
        skipped = assert_skipped(lambda: helpers.bulk_insert(kinds(), new, key=["code"]))
        assert skipped.lines == ["skip bulk_insert on kinds: all 3 rows are there"]
    assert held(database) == [("a", "kept"), ("b", "new b"), ("c", "new c")]


def test_bulk_insert_inserts_the_first_of_two_rows_with_one_key(database: Database) -> None:
    prepare(database, KINDS)
    new: list[dict[str, Any]] = [
        {"code": "a", "part": 1, "name": "first"},
        {"code": "a", "part": 2, "name": "other part"},
        {"code": "a", "part": 1, "name": "second"},
        {"code": None, "part": None, "name": "null"},
        {"code": None, "part": None, "name": "null again"},
        {"code": None, "part": 1, "name": "half null"},
    ]
    with revision(database):
        assert_applied(lambda: helpers.bulk_insert(kinds(), new, key=["code", "part"]))
        assert_skipped(lambda: helpers.bulk_insert(kinds(), new, key=("code", "part")))
    names = {"first", "other part", "null", "half null"}
    assert {name for _, name in held(database)} == names
    prepare(database, "DELETE FROM kinds")
    script_of(database, lambda: helpers.bulk_insert(kinds(), new, key=["code", "part"]))
    assert {name for _, name in held(database)} == names


def test_bulk_insert_takes_the_servers_word_for_what_is_equal(database: Database) -> None:
    prepare(database, KINDS)
    new: list[dict[str, Any]] = [{"code": code, "name": code} for code in ["a", "A", "á", "a "]]
    with revision(database) as connection:
        equal = [code for code in "Aá" if rows(connection, f"SELECT '{code}' = 'a'")[0][0]]
        pads = rows(connection, "SELECT 'a ' = 'a'")[0][0]  # not in MySQL's newer collations
        helpers.bulk_insert(kinds(), new, key=["code"])
        assert_skipped(lambda: helpers.bulk_insert(kinds(), new, key=["code"]))
    online = held(database)
    assert len(online) == ((1 if pads else 2) if equal else 4)
    prepare(database, "DELETE FROM kinds")
    script_of(database, lambda: helpers.bulk_insert(kinds(), new, key=["code"]))
    assert held(database) == online


def test_bulk_insert_is_a_skip_without_rows(database: Database) -> None:
    prepare(database, KINDS)
    with revision(database):
        assert_skipped(lambda: helpers.bulk_insert(kinds(), [], key=["code"]), "all 0 rows")
    assert "INSERT" not in written(database, lambda: helpers.bulk_insert(kinds(), [], key=["code"]))


def test_bulk_insert_needs_few_round_trips(database: Database) -> None:
    prepare(database, KINDS, "INSERT INTO kinds VALUES ('7', 7, 'kept')")
    new = [{"code": str(n), "part": n, "name": "new"} for n in range(2000)]
    with revision(database), counted(database.engine) as statements:
        helpers.bulk_insert(kinds(), new, key=["code"])
    assert len(statements) <= 2 + 2 * 10
    assert len(held(database)) == 2000
    with revision(database), counted(database.engine) as statements:
        assert_skipped(lambda: helpers.bulk_insert(kinds(), new, key=["code", "part"]), "all 2000")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "keys",
    [
        range(10_000_000, 10_000_200),
        [f"{10_000_000 + n}.25" for n in range(200)],
        [Decimal(f"1234567.{n:03}") for n in range(200)],
        [uuid.UUID(int=n).hex for n in range(200)],
        [dt.datetime(2024, 1, 1) + dt.timedelta(seconds=n) for n in range(200)],
    ],
    ids=["int", "text", "decimal", "uuid", "datetime"],
)
def test_bulk_insert_takes_unlike_keys_at_once(keys: Any, database: Database) -> None:
    prepare(database, "CREATE TABLE things (v BLOB)")
    table = sa.table("things", sa.column("v"))
    new = [{"v": str(key) if isinstance(key, Decimal) else key} for key in keys]
    assert len(rounds([{"v": key} for key in keys], ["v"])) == 1
    with revision(database), counted(database.engine) as statements:
        helpers.bulk_insert(table, new, key=["v"])
    assert len(statements) == 3


def test_bulk_insert_keeps_columns_that_only_some_rows_give(database: Database) -> None:
    prepare(database, KINDS, "INSERT INTO kinds VALUES ('a', 1, 'kept')")
    new: list[dict[str, Any]] = [
        {"code": "a", "name": "there"},
        {"code": "b"},
        {"code": "c", "name": "more"},
        {"code": "d", "part": 4},
    ]
    with revision(database):
        helpers.bulk_insert(kinds(), new, key=["code"])
    found = held(database, "code, part, name")
    assert found == [("a", 1, "kept"), ("b", None, None), ("c", None, "more"), ("d", 4, None)]


def test_bulk_insert_refuses_when_a_key_is_no_column(database: Database) -> None:
    prepare(database, KINDS)
    bad: list[tuple[list[dict[str, Any]], list[str], str]] = [
        ([{"code": "a"}], ["nil"], "no such column in table kinds"),
        ([{"code": "a"}], [], "no column as the key"),
        ([{"code": "a"}, {"name": "b"}], ["code"], "no such column in row 2"),
        ([{"code": "a", "nil": 1}], ["code"], "it has no nil of row 1"),
    ]
    for new, key, match in bad:
        act = partial(helpers.bulk_insert, kinds(), new, key=key)
        with revision(database):
            outcome = outcome_of(act)
        assert match in str(outcome.error)
        assert not outcome.changes
        with pytest.raises(CommandError, match=match):
            written(database, act)


def test_bulk_insert_misses_its_table_and_its_column(database: Database) -> None:
    new = [{"code": "a"}]
    with revision(database):
        assert_missing_parent(lambda: helpers.bulk_insert(kinds(), new, key=["code"]), "kinds")
    prepare(database, "CREATE TABLE kinds (name VARCHAR(50))")
    with revision(database):
        assert_missing_parent(lambda: helpers.bulk_insert(kinds(), new, key=["code"]), "no column")


def test_bulk_insert_works_in_another_schema(database: Database, other_schema: str) -> None:
    with revision(database) as connection:
        name = f"{other_schema}.kinds"
        connection.exec_driver_sql(KINDS.replace("kinds", name))
        new = [{"code": "a", "name": "one"}]
        table = kinds(other_schema)
        helpers.bulk_insert(table, new, key=["code"])
        with heard() as lines:
            helpers.bulk_insert(table, new, key=["code"])
        assert lines == [f"skip bulk_insert on {name}: all 1 rows are there"]
    if database.name != "sqlite":
        script_of(database, lambda: helpers.bulk_insert(table, [{"code": "b"}], key=["code"]))
        assert held(database, "code", name) == [("a",), ("b",)]


class Colour(enum.Enum):
    """What is kept by name."""

    red = 1
    blue = 2


TYPES: list[tuple[Any, Any]] = [
    (sa.Integer(), 2**31 - 1),
    (sa.BigInteger(), -(2**62)),
    (sa.Boolean(), True),
    (sa.Boolean(), False),
    (sa.Numeric(12, 2), Decimal("12.50")),
    (sa.Float(), 1.5),
    (sa.Date(), dt.date(2024, 2, 29)),
    (sa.DateTime(), dt.datetime(2024, 2, 29, 12, 30, 15)),
    (sa.Time(), dt.time(12, 30, 15)),
    (sa.String(20), "it's"),
    (sa.Text(), "lines\nof\ttext"),
    (sa.Enum("a", "b's", name="letters"), "b's"),
    (sa.Enum(Colour, name="colours"), Colour.blue),
    (sa.JSON(), {"a": ["it's", 1, None]}),
    (sa.LargeBinary(), b"\x00\xff'\\"),
    (sa.Uuid(), uuid.UUID(int=7)),
    (sa.String(20), None),
]


@pytest.mark.parametrize(("type_", "value"), TYPES, ids=lambda value: repr(value)[:20])
def test_bulk_insert_writes_values_of_any_type(type_: Any, value: Any, database: Database) -> None:
    table = sa.Table(
        "things",
        sa.MetaData(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("v", type_),
    )
    with revision(database):
        helpers.create_table(
            "things", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("v", type_)
        )
    key = ["id"] if isinstance(type_, (sa.JSON, sa.LargeBinary, sa.Text)) else ["v"]
    key = ["id"] if isinstance(type_, sa.Float) else key
    with revision(database):
        helpers.bulk_insert(table, [{"id": 1, "v": value}], key=key)
        assert_skipped(lambda: helpers.bulk_insert(table, [{"id": 1, "v": value}], key=key))
    prepare(database, "DELETE FROM things")
    script_of(database, lambda: helpers.bulk_insert(table, [{"id": 1, "v": value}], key=key))
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(table)).all() == [(1, value)]


HOSTILE = [
    "it's",
    'a "q"',
    "50% off %s %(x)s",
    ":name ::x",
    "back\\slash",
    "ends\\",
    "a;b",
    "$x$",
    "?",
]
HOSTILE += ["été ☂", "new\nline", "tab\tbed", "-- no", "/* no */", "\\'", "{x}", "[x]", "", " "]


@pytest.mark.parametrize("value", [*HOSTILE, "emoji 🎉"])
def test_bulk_insert_is_right_when_values_are_hostile(value: str, database: Database) -> None:
    name = "ta'b%\\le" if value != "emoji 🎉" else "kinds"
    table = kinds(name=name)
    with revision(database):
        helpers.create_table(
            name,
            sa.Column("code", sa.String(50)),
            sa.Column("part", sa.Integer()),
            sa.Column("name", sa.String(50)),
        )
        new = [{"code": value, "name": value}]
        helpers.bulk_insert(table, new, key=["code"])
        assert_skipped(lambda: helpers.bulk_insert(table, new, key=["code"]))
    with database.engine.begin() as connection:
        assert connection.execute(sa.select(table)).all() == [(value, None, value)]
        connection.execute(sa.delete(table))
    script_of(database, lambda: helpers.bulk_insert(table, new, key=["code"]))
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(table)).all() == [(value, None, value)]


def test_bulk_insert_fills_in_defaults(database: Database) -> None:
    table = sa.Table(
        "kinds",
        sa.MetaData(),
        sa.Column("code", sa.String(50)),
        sa.Column("part", sa.Integer(), default=5),
        sa.Column("name", sa.String(50), default=lambda: "it's"),
    )
    prepare(database, KINDS)
    with revision(database):
        helpers.bulk_insert(table, [{"code": "a"}], key=["code"])
    script_of(
        database, lambda: helpers.bulk_insert(table, [{"code": "b"}, {"code": "c"}], key=["code"])
    )
    found = held(database, "code, part, name")
    assert found == [(code, 5, "it's") for code in "abc"]


def test_bulk_insert_takes_sql_for_a_value(database: Database) -> None:
    prepare(database, KINDS)

    def act() -> None:
        code, name = helpers.inline_literal("a"), sa.func.lower("X")
        new: list[dict[str, Any]] = [{"code": code, "part": sa.text("1 + 1"), "name": name}]
        helpers.bulk_insert(kinds(), [*new, {"code": "b", "part": 3, "name": "y"}], key=["code"])

    with revision(database):
        assert_applied(act)
        assert_skipped(act)
    wanted = [("a", 2, "x"), ("b", 3, "y")]
    assert held(database, "code, part, name") == wanted
    prepare(database, "DELETE FROM kinds")
    script_of(database, act)
    assert held(database, "code, part, name") == wanted


@pytest.mark.databases("postgresql")
def test_script_refuses_a_value_that_cannot_be_written(database: Database) -> None:
    table = sa.table("t", sa.column("a", sa.PickleType()))
    with pytest.raises(helpers.OfflineUnsupported, match=r"bulk_insert") as raised:
        written(database, lambda: helpers.bulk_insert(table, [{"a": {"x": 1}}], key=["a"]))
    assert "What to do next:\n    " in str(raised.value)


# execute


UPDATE = "UPDATE kinds SET name = name || '!' WHERE code = 'a'"
CONCAT = "UPDATE kinds SET name = CONCAT(name, '!') WHERE code = 'a'"
UNLESS = "SELECT 1 FROM kinds WHERE code = 'a' AND name LIKE '%!' -- done;"


def exclaim(database: Database) -> str:
    return CONCAT if database.kin == "mariadb" else UPDATE


def test_execute_is_alembics_own_without_unless(database: Database) -> None:
    prepare(database, KINDS)
    insert = sa.insert(kinds()).values(code="b", name=":x")
    with revision(database), heard() as lines:
        helpers.execute("INSERT INTO kinds (code, name) VALUES ('a', '50% \\:off')")
        helpers.execute(insert, execution_options={"x": 1})
    assert lines == []
    assert held(database) == [("a", "50% :off"), ("b", ":x")]


def test_execute_runs_unless_the_query_finds_a_row(database: Database) -> None:
    prepare(database, KINDS, "INSERT INTO kinds VALUES ('a', 1, 'x')")
    with revision(database):
        done = assert_applied(lambda: helpers.execute(exclaim(database), unless=UNLESS))
        assert done.lines[0].startswith("executed UPDATE kinds SET name = ")
        assert done.lines[0].endswith(" WHERE code = 'a'")
        skip = assert_skipped(lambda: helpers.execute(exclaim(database), unless=UNLESS))
        assert skip.lines[0].endswith(": already done")
        query = sa.select(KINDS_TABLE.c.code).where(KINDS_TABLE.c.name == "x!")
        assert_skipped(lambda: helpers.execute(exclaim(database), unless=query))
    assert held(database) == [("a", "x!")]


def test_script_of_execute_asks_first(database: Database) -> None:
    prepare(database, KINDS, "INSERT INTO kinds VALUES ('a', 1, 'x')")
    script_of(database, lambda: helpers.execute(exclaim(database), unless=UNLESS))
    assert held(database) == [("a", "x!")]
    query = sa.select(KINDS_TABLE.c.code).where(KINDS_TABLE.c.name == "x!!")
    script_of(database, lambda: helpers.execute(exclaim(database), unless=query))
    assert held(database) == [("a", "x!!")]


@pytest.mark.parametrize("value", HOSTILE)
def test_script_of_execute_is_right_when_values_are_hostile(value: str, database: Database) -> None:
    value = value.replace("\t", " ")  # Alembic writes a tab as four spaces
    prepare(database, KINDS)
    table = kinds()
    insert = sa.insert(table).values(code=value, name="x")
    query = sa.select(table.c.name).where(table.c.code == value)
    script_of(database, lambda: helpers.execute(insert, unless=query))
    assert held(database) == [(value, "x")]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO kinds (code) SELECT 'b' WHERE 1 = 1",
        "REPLACE INTO kinds (code) VALUES ('b;')",
        "DELETE FROM kinds WHERE code = 'a'",
        "  update kinds set code = 'b'",
    ],
)
@pytest.mark.databases("sqlite")
def test_script_of_execute_guards_dml_on_sqlite(sql: str, database: Database) -> None:
    prepare(database, KINDS, "CREATE TABLE marks (n INTEGER)", "INSERT INTO marks VALUES (1)")
    prepare(database, "INSERT INTO kinds (code) VALUES ('a')")
    script_of(database, lambda: helpers.execute(sql, unless="SELECT n FROM marks"))
    assert held(database, "code") == [("a",)]
    prepare(database, "DELETE FROM marks")
    script_of(database, lambda: helpers.execute(sql, unless="SELECT n FROM marks"), 1)
    assert held(database, "code") != [("a",)]


def test_a_long_statement_is_shortened_where_it_is_logged(database: Database) -> None:
    prepare(database, KINDS)
    many = f"DELETE FROM kinds\n WHERE part IN ({', '.join(map(str, range(50)))})"
    with revision(database), heard() as lines:
        helpers.execute(many, unless="SELECT 1")
    short = "DELETE FROM kinds WHERE part IN (0, 1, 2, 3, 4, 5, 6, 7, 8,…"
    assert lines == [f"skip execute {short}: already done"]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "sql", ["CREATE TABLE x (n INTEGER)", "WITH a AS (SELECT 1) DELETE FROM kinds", "VACUUM"]
)
def test_script_of_execute_refuses_what_sqlite_cannot_guard(sql: str, database: Database) -> None:
    with pytest.raises(helpers.OfflineUnsupported, match="INSERT, UPDATE, DELETE or REPLACE"):
        written(database, lambda: helpers.execute(sql, unless="SELECT 1"))


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_script_of_execute_guards_ddl(database: Database) -> None:
    catalog = "SELECT 1 FROM information_schema.tables WHERE table_name = 'made'"
    script_of(database, lambda: helpers.execute("CREATE TABLE made (n INT)", unless=catalog))
    assert held(database, "*", "made") == []


OF_PART = sa.table("kinds", sa.column("part"), sa.column("code"))


@contextmanager
def another_copy(database: Database, *statements: str) -> Iterator[None]:
    """Keep the same table elsewhere on the server: in another database, or another schema."""
    if database.name == "postgresql":
        with database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE SCHEMA elsewhere")
            connection.exec_driver_sql("SET LOCAL search_path = elsewhere")
            for statement in statements:
                connection.exec_driver_sql(statement)
        yield
        return
    other = new_database(database.name)
    try:
        prepare(other, *statements)
        yield
    finally:
        other.close()


@pytest.mark.parametrize("way", ["online", "script"])
@pytest.mark.parametrize("needed", [OF_PART, OF_PART.c.part], ids=["table", "column"])
def test_execute_runs_if_what_it_reads_is_there(needed: Any, way: str, database: Database) -> None:
    bare = "CREATE TABLE kinds (code VARCHAR(40) NOT NULL)"
    prepare(database, "CREATE TABLE made (code VARCHAR(40))")
    prepare(database, *([] if needed is OF_PART else [bare]))

    def run() -> None:
        def act() -> None:
            sql = "INSERT INTO made SELECT MAX(part) FROM kinds"
            helpers.execute(sql, if_exists=needed)

        if way == "script":
            script_of(database, act)
        else:
            with revision(database):
                act()

    with another_copy(database, KINDS):
        if (database.name, way) != ("sqlite", "script"):  # which compiles what does not run, too
            run()
        assert held(database, "*", "made") == []
        prepare(database, *(["DROP TABLE kinds"] if needed is not OF_PART else []), KINDS)
        prepare(database, "INSERT INTO kinds VALUES ('a', 1, 'x')")
        run()
        assert set(held(database, "*", "made")) == {("1",)}


def test_execute_says_what_is_not_there(database: Database) -> None:
    with revision(database):
        skip = assert_skipped(lambda: helpers.execute("DELETE FROM kinds", if_exists=OF_PART))
        assert skip.lines == ["skip execute DELETE FROM kinds: table kinds is not there"]
        with pytest.raises(CommandError, match="must be a table, or a column of one"):
            helpers.execute("DELETE FROM kinds", if_exists="kinds")  # type: ignore[arg-type]
        with pytest.raises(CommandError, match="either unless or if_exists, not both"):
            helpers.execute("DELETE FROM kinds", if_exists=OF_PART, unless="SELECT 1")


# irreversible


SOURCE = """
import alembic_helpers as helpers
from alembic_toolkit.verbs.data.insert import rounds
revision = "0007"
down_revision = {below!r}
def downgrade():
    helpers.irreversible("the old passwords were not kept")
"""


@pytest.mark.parametrize(("below", "code"), [("0006", "0006"), (None, "base"), (("a", "b"), "a b")])
def test_irreversible_refuses_and_names_the_way_on(
    below: Any, code: str, database: Database, tmp_path: Path
) -> None:
    names: dict[str, Any] = {"__file__": str(tmp_path / "0007_.py")}
    exec(compile(SOURCE.format(below=below), names["__file__"], "exec"), names)
    with revision(database):
        outcome = outcome_of(names["downgrade"])
    assert isinstance(outcome.error, helpers.Irreversible)
    assert not outcome.changes
    message = str(outcome.error)
    assert re.match(r".*0007_\.py:7: irreversible\(.* in revision 0007\.$", message, re.M)
    assert "Stopped, because the old passwords were not kept." in message
    assert message.endswith(f"    alembic stamp {code}")
    with pytest.raises(helpers.Irreversible):
        written(database, names["downgrade"])
