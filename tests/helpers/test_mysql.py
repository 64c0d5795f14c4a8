"""What MySQL alone has or lacks: expressions in indexes, checks not enforced, required keys."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from alembic_toolkit.sql.show_create import as_meant
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    heard,
    prepare,
    revision,
)

pytestmark = pytest.mark.databases("mysql")

TABLE = """CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, s VARCHAR(40), j JSON,
 CONSTRAINT ck_a CHECK (a > 0) NOT ENFORCED,
 CONSTRAINT ck_b CHECK (a < 100 AND b > 0 AND s <> 'a`s`''x'),
 INDEX ix ((lower(s))), INDEX iy (a, (s IS NULL)), UNIQUE INDEX iz (b, (a + 1)))"""

EXPRESSIONS = {
    "string": "(concat(s, 'x''y'))",
    "not ascii": "(coalesce(s, 'ä'))",
    "backslash": r"(concat(s, 'a\\b%'))",
    "cast": "(cast(j->'$.a' AS UNSIGNED))",
    "many values": "(cast(j->'$.b' AS UNSIGNED ARRAY))",
    "characters": "(cast(j->>'$.n' AS CHAR(20)))",
    "sum": "(a + 1)",
    "comparison": "((a > 1))",
}


def shown(database: Database) -> str:
    with database.engine.connect() as connection:
        return str(connection.exec_driver_sql("SHOW CREATE TABLE t").one()[1])


@pytest.mark.parametrize("text", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_index_of_an_expression_is_confirmed(text: str, database: Database) -> None:
    prepare(database, "CREATE TABLE t (id INT, a INT, s VARCHAR(40), j JSON)")

    def create(expression: str = text) -> None:
        helpers.create_index("ix", "t", [sa.text(expression.replace(":", "\\:")), "id"])

    with revision(database):
        assert_applied(create)
        assert_skipped(create, "same definition")
        assert_conflict(lambda: create("(a + 2)"))


def test_check_that_is_not_enforced_is_another_one(database: Database) -> None:
    prepare(database, TABLE)
    with revision(database):
        assert_conflict(lambda: helpers.create_check_constraint("ck_a", "t", "a > 0"))


@pytest.mark.parametrize("changes", [{}, {"type_": sa.BigInteger()}], ids=["rename", "and more"])
def test_checks_and_indexes_follow_a_renamed_column(
    changes: dict[str, Any], database: Database
) -> None:
    prepare(database, TABLE)
    with revision(database), heard() as lines:
        helpers.alter_column("t", "a", new_column_name="a2", **changes)
    assert {f"check ck_{x} follows column a to its new name a2" for x in "ab"} < {*lines}
    text = shown(database)
    assert "`a`," not in text
    for part in (
        "CONSTRAINT `ck_a` CHECK ((`a2` > 0)) /*!80016 NOT ENFORCED */",
        "CHECK (((`a2` < 100) and (`b` > 0) and (`s` <> _utf8mb4'a`s`\\'x')))",
        "UNIQUE KEY `iz` (`b`,((`a2` + 1)))",
        "KEY `iy` (`a2`,((`s` is null)))",
    ):
        assert part in text


@pytest.mark.parametrize("way", ["online", "script"])
def test_dropped_column_takes_its_checks_and_indexes_along(way: str, database: Database) -> None:
    prepare(database, TABLE)
    for column in ("s", "b", "a"):
        drop = partial(helpers.drop_column, "t", column)
        if way == "script":
            run_with_client(database, written(database, drop))
        else:
            with revision(database):
                assert_applied(drop)
    assert "KEY `i" not in shown(database)
    assert "CHECK" not in shown(database)


def test_column_under_a_generated_one_is_refused_a_new_name(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id INT PRIMARY KEY, g INT AS (id + 1))")
    with revision(database), pytest.raises(helpers.UnsafeOperation, match="generated column g"):
        helpers.alter_column("t", "id", new_column_name="key_")


SESSIONS = {
    "required key": "SET sql_require_primary_key = 1",
    "generated key": "SET sql_generate_invisible_primary_key = 1",
    "ANSI_QUOTES": "SET sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'",
    "NO_BACKSLASH_ESCAPES": "SET sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'",
    "engine": "SET default_storage_engine = MyISAM",
    "stale statistics": "SET information_schema_stats_expiry = 86400",
}


@pytest.mark.parametrize("setting", SESSIONS.values(), ids=SESSIONS)
def test_everything_is_confirmed_with_any_setting(setting: str, database: Database) -> None:
    def use(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(setting)

    sa.event.listen(database.engine, "connect", use)
    database.engine.dispose()
    columns: list[sa.Column[Any]] = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
    ]
    columns.append(sa.Column("s", sa.String(40), server_default="a\\'b", comment="it's"))

    def act() -> None:
        helpers.create_table("t", *(column._copy() for column in columns))
        helpers.add_column("t", sa.Column("m", sa.Numeric(8, 2), server_default="0"))
        helpers.create_check_constraint("ck", "t", "n > 0 AND s <> 'it'")
        # which MyISAM has not
        parts = ["s"] if "MyISAM" in setting else [sa.text("(concat(s, 'x'))")]
        helpers.create_index("ix", "t", parts)
        helpers.create_unique_constraint("uq", "t", ["n"])
        helpers.alter_column("t", "n", type_=sa.Integer(), nullable=True)

    with revision(database):
        assert_applied(act)
    with revision(database), heard() as lines:
        act()
    assert all(line.startswith("skip") for line in lines), lines


EXPRESSED = """CREATE TABLE t (id INT PRIMARY KEY,
 s VARCHAR(40) DEFAULT (concat('a', 'it''s\\\\b')),
 at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
 g VARCHAR(50) AS (concat(s, 'x''y\\\\')) VIRTUAL)"""


def test_script_of_alter_column_keeps_expressions(database: Database) -> None:
    prepare(database, EXPRESSED)
    before = shown(database)

    def act() -> None:
        helpers.alter_column("t", "s", type_=sa.String(50))
        helpers.alter_column("t", "at", nullable=True)
        helpers.alter_column("t", "g", comment="x")

    run_with_client(database, written(database, act))
    after = shown(database)
    for expression in re.findall(r"\(concat.*\)", before):
        assert expression in after
    assert "`at` timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP," in after
    assert "COMMENT 'x'" in after


LONG = sa.Column("s", sa.Text, server_default="it's")
UNSAFE = sa.Column("s", sa.String(36), server_default=sa.text("(uuid())"))
DEFAULTS: dict[str, tuple[Any, str]] = {
    "create_table": (
        lambda: helpers.create_table("u", sa.Column("id", sa.Integer), LONG._copy()),
        "# of s, instead of this default: server_default=sa.text(\"('it''s')\")",
    ),
    "add_column": (
        lambda: helpers.add_column("t", LONG._copy()),
        "# of s, instead of this default: server_default=sa.text(\"('it''s')\")",
    ),
    "alter_column": (
        lambda: helpers.alter_column("t", "x", server_default=sa.text("'{}'")),
        "# of x, instead of this default: server_default=sa.text(\"('{}')\")",
    ),
    "each row its own": (
        lambda: helpers.add_column("t", UNSAFE._copy()),
        "helpers.alter_column('t', 's', server_default=sa.text('(uuid())'))"
        "  # after this line, where the column is made without it",
    ),
}


@pytest.mark.parametrize(("act", "way"), DEFAULTS.values(), ids=DEFAULTS)
def test_default_that_mysql_refuses_has_a_way_on(act: Any, way: str, database: Database) -> None:
    prepare(database, "CREATE TABLE t (id INT PRIMARY KEY, x TEXT)")
    with revision(database), pytest.raises(helpers.DatabaseRefused) as refused:
        act()
    assert str(refused.value).splitlines()[-1].strip() == way


FOREIGN = """CREATE TABLE t (id INT PRIMARY KEY,
 `größe` VARCHAR(40) DEFAULT (concat('ä☃', 'ß''\\\\')),
 g VARCHAR(50) AS (concat(`größe`, 'ü☃🎉''')) VIRTUAL, a INT, s VARCHAR(9) COMMENT 'ö☃',
 CONSTRAINT ck CHECK (`größe` <> 'ö☃🎉''\\\\x'),
 CONSTRAINT off CHECK (a > 0 AND s <> '☃') NOT ENFORCED,
 INDEX ix ((concat(`größe`, 'ß☃🎉'))),
 UNIQUE INDEX iy (a DESC, s(2), (concat(s, 'é')), (a + 1)) COMMENT 'it''s')"""


def defaults_of(database: Database) -> Any:
    """Insert a row; return what the expressions make of it."""
    prepare(database, "INSERT INTO t (id) VALUES (1)")
    with database.engine.connect() as connection:
        return connection.exec_driver_sql("SELECT `größe`, g FROM t").one()


def test_script_of_alter_column_keeps_what_is_not_ascii(database: Database) -> None:
    prepare(database, FOREIGN)

    def act() -> None:
        helpers.alter_column("t", "größe", nullable=True, type_=sa.String(60))
        helpers.alter_column("t", "g", comment="x")

    for _ in range(2):
        run_with_client(database, written(database, act))
    assert tuple(defaults_of(database)) == ("ä☃ß'\\", "ä☃ß'\\ü☃🎉'")
    assert "COMMENT 'x'" in shown(database)


def test_script_of_drop_column_takes_checks_along_when_its_name_is_not_ascii(
    database: Database,
) -> None:
    prepare(database, FOREIGN, "ALTER TABLE t DROP COLUMN g")
    script = written(database, lambda: helpers.drop_column("t", "größe"))
    for _ in range(2):
        run_with_client(database, script)
    assert "`ck`" not in shown(database)
    assert "größe" not in shown(database)


@pytest.mark.parametrize("column", ["größe", "a", "s"])
def test_script_of_a_rename_does_what_the_verb_does(column: str, database: Database) -> None:
    def act() -> None:
        helpers.alter_column("t", column, new_column_name="nöw")

    prepare(database, FOREIGN, "ALTER TABLE t DROP COLUMN g")
    script = written(database, act)
    for _ in range(2):
        run_with_client(database, script)
    scripted = shown(database).replace("????", "☃")  # what MySQL shows for it
    prepare(database, "DROP TABLE t", FOREIGN.replace("🎉", "☃"), "ALTER TABLE t DROP COLUMN g")
    with revision(database):
        assert_applied(act)
    lines = partial(re.split, ",?\n")
    assert sorted(lines(shown(database))) == sorted(lines(scripted))


# The column's name in its quotes, in strings: of checks, of an index, of a check of others alone.
LOOK_ALIKE = """CREATE TABLE t (id INT PRIMARY KEY, `{0}` INT, s VARCHAR(40), `it's` INT,
 CONSTRAINT ck CHECK (s <> 'it''s {1}\\\\' AND `{0}` > 1 AND `it's` > `{0}`),
 CONSTRAINT other CHECK (s <> '{1}'), INDEX ix ((concat(s, '{1}', `{0}`))),
 INDEX iy ((concat(s, '{1}'))))"""


@pytest.mark.parametrize("column", ["a", "a.b$1\\E x", "ä``'b"])
@pytest.mark.parametrize("way", ["online", "script"])
def test_strings_are_no_columns(way: str, column: str, database: Database) -> None:
    name = column.replace("``", "`")
    string = f"`{column}`".replace("\\", "\\\\").replace("'", "''")
    prepare(database, LOOK_ALIKE.format(column, string))
    before, new = shown(database), r"new$1\Q`"

    def act() -> None:
        helpers.alter_column("t", name, new_column_name=new)

    if way == "script":
        run_with_client(database, written(database, act))
    else:
        with revision(database):
            assert_applied(act)
    strings = partial(re.findall, r"_utf8mb4('(?:\\.|[^'\\])*')")
    after = shown(database)
    assert sorted(strings(before)) == sorted(strings(after))
    renamed = re.sub(r"_utf8mb4'(?:\\.|[^'\\])*'", "", after)
    assert f"`{column}`" not in renamed
    assert renamed.count("new$1") == 4, after

    def drop() -> None:
        helpers.drop_column("t", new)

    if way == "script":
        run_with_client(database, written(database, drop))
    else:
        with revision(database):
            assert_applied(drop)
    left = shown(database)
    assert "`other`" in left
    assert "`iy`" in left
    assert "`ck`" not in left
    assert "`ix`" not in left


@pytest.mark.parametrize("way", ["online", "script"])
def test_generated_column_keeps_and_gets_not_null(way: str, database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE t (id INT PRIMARY KEY, g INT AS (id + 1) STORED NOT NULL, h INT AS (id + 2))",
    )

    def act() -> None:
        helpers.alter_column("t", "g", comment="x")
        helpers.alter_column("t", "h", nullable=False)

    for _ in range(2):
        if way == "script":
            run_with_client(database, written(database, act))
        else:
            with revision(database):
                act()
    text = shown(database)
    assert "`g` int GENERATED ALWAYS AS ((`id` + 1)) STORED NOT NULL COMMENT 'x'" in text
    assert "`h` int GENERATED ALWAYS AS ((`id` + 2)) VIRTUAL NOT NULL" in text


BEYOND = """CREATE TABLE t (id INT PRIMARY KEY,
 a VARCHAR(40) DEFAULT (concat('🎉it''s\\\\', '????')), b VARCHAR(40) DEFAULT '🎉',
 g VARCHAR(99) AS (concat(b, '😀''')) VIRTUAL,
 c VARCHAR(40), CONSTRAINT ck CHECK (c <> '🐘''\\\\ü'),
 UNIQUE INDEX ix ((concat(c, '🎉'))))"""


@pytest.mark.parametrize("way", ["online", "script"])
def test_characters_of_four_bytes_are_kept(way: str, database: Database) -> None:
    prepare(database, BEYOND)

    def act() -> None:
        helpers.alter_column("t", "a", type_=sa.String(60))
        if way == "online":  # INFORMATION_SCHEMA has a question mark for this default
            helpers.alter_column("t", "b", nullable=True, type_=sa.String(60))
        helpers.alter_column("t", "g", type_=sa.String(98))
        helpers.alter_column("t", "c", new_column_name="d")

    for _ in range(2):
        if way == "script":
            run_with_client(database, written(database, act))
        else:
            with revision(database):
                act()
    prepare(database, "INSERT INTO t (id) VALUES (1)")
    catalog = "SELECT {} FROM information_schema.{} WHERE {}_schema = DATABASE()"
    with database.engine.connect() as connection:
        one = connection.exec_driver_sql("SELECT a, b, g FROM t").one()
        query = catalog.format("check_clause", "check_constraints", "constraint")
        check = connection.exec_driver_sql(query).scalar()
        query = catalog.format("expression", "statistics", "table") + " AND index_name = 'ix'"
        index = connection.exec_driver_sql(query).scalar()
    assert tuple(one) == ("🎉it's\\????", "🎉", "🎉😀'")
    assert as_meant(str(check)) == "(`d` <> _utf8mb4'🐘\\'\\\\ü')"
    assert as_meant(str(index)) == "concat(`d`,_utf8mb4'🎉')"


@pytest.mark.databases("mariadb", "mysql")
def test_comment_with_letters_that_the_catalog_cannot_hold_is_the_same(database: Database) -> None:
    column = sa.Column("c", sa.String(20), comment="c 🎉")
    with revision(database):
        table = ("t", sa.Column("id", sa.Integer(), primary_key=True, comment="id 🎉"))
        assert_applied(lambda: helpers.create_table(*table, comment="t 🎉"))
        assert_applied(lambda: helpers.add_column("t", column._copy()))
        assert_skipped(lambda: helpers.create_table(*table, comment="t 🎉"))
        assert_skipped(lambda: helpers.add_column("t", column._copy()))
        assert_skipped(lambda: helpers.create_table_comment("t", "t 🎉"))
        told: dict[str, Any] = {"existing_type": sa.String(20), "existing_comment": "c 🎉"}
        assert_skipped(lambda: helpers.alter_column("t", "c", comment="c 🎉", **told))
        assert_applied(lambda: helpers.alter_column("t", "c", nullable=False, **told))
