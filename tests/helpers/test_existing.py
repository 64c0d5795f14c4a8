"""What an ``alter_column`` says of the column as it is, and what it does not mention."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.conftest import Load
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_conflict,
    assert_skipped,
    follow,
    outcome_of,
    prepare,
    revision,
    rows,
)

WRONG: dict[str, dict[str, Any]] = {
    "type": {"nullable": False, "existing_type": sa.String(255)},
    "type-acting": {"nullable": True, "existing_type": sa.String(255)},
    "type-comment": {"comment": "x", "existing_type": sa.String(255)},
    "type-rename": {"new_column_name": "title", "existing_type": sa.String(99)},
    "null": {"type_": sa.String(60), "existing_nullable": True},
    "default": {"type_": sa.String(60), "existing_server_default": "y"},
    "comment": {"nullable": True, "existing_type": sa.String(30), "existing_comment": "z"},
}
RIGHT: dict[str, dict[str, Any]] = {
    "type": {"nullable": False, "existing_type": sa.String(30)},
    "given": {"type_": sa.String(60), "existing_type": sa.Text(), "existing_nullable": False},
    "default": {"type_": sa.String(60), "existing_server_default": sa.text("'x'")},
    "nothing": {"type_": sa.String(60)},
    "default-alone": {"server_default": "x", "existing_type": sa.Text()},  # Alembic sets it alone
    "foreign-type": {"nullable": False, "existing_type": sa.dialects.postgresql.TSVECTOR()},
}
TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(30) NOT NULL DEFAULT 'x' COMMENT 'c')"


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("case", WRONG)
def test_alter_column_refuses_when_the_column_is_not_as_the_revision_says(
    database: Database, case: str
) -> None:
    prepare(database, TABLE)
    act = partial(helpers.alter_column, "t", "name", **WRONG[case])
    with revision(database):
        message = assert_conflict(act, "is not as existing_")
        follow(message)
        helpers.alter_column("t", "name", **WRONG[case])
        assert_skipped(act)


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("case", RIGHT)
def test_alter_column_does_not_refuse_when_the_column_is_as_the_revision_says(
    database: Database, case: str
) -> None:
    prepare(database, TABLE)
    with revision(database):
        outcome = outcome_of(partial(helpers.alter_column, "t", "name", **RIGHT[case]))
    assert outcome.error is None, outcome


def test_alter_column_does_not_mind_a_foreign_type_when_the_column_goes_later(
    database: Database, load: Load
) -> None:
    prepare(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(30))")
    foreign = "mysql.MEDIUMTEXT" if database.name == "postgresql" else "postgresql.TSVECTOR"
    kept = f"existing_type=sa.dialects.{foreign}()"
    upgrade = load(
        f"op.alter_column('t', 'name', nullable=False, {kept})\n"
        f"op.alter_column('t', 'name', new_column_name='title', {kept})\n"
        "op.drop_column('t', 'title')"
    )
    with revision(database):
        upgrade()
        assert not helpers.table_has_column("t", "title")


@pytest.mark.databases("mariadb", "mysql")
def test_alter_column_knows_a_type_by_other_words(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, ok BOOL, n INT(11), k ENUM('a', 'b'),"
        " s VARCHAR(255) COLLATE utf8mb4_bin, j JSON, m DECIMAL(12,2), at DATETIME, f DOUBLE)",
    )
    columns: dict[str, Any] = {
        "ok": [sa.Boolean(), mysql.TINYINT(display_width=1)],
        "n": [sa.Integer(), mysql.INTEGER(display_width=11)],
        "k": [sa.Enum("a", "b"), mysql.ENUM("a", "b"), sa.Enum("a", "b", name="kind")],
        "s": [sa.String(255), sa.Unicode(255), mysql.VARCHAR(255, collation="utf8mb4_bin")],
        "j": [sa.JSON(), mysql.JSON()],
        "m": [sa.Numeric(12, 2), mysql.DECIMAL(12, 2)],
        "at": [sa.DateTime(), sa.DateTime(timezone=True)],
        "f": [sa.Double(), mysql.DOUBLE()],
    }
    with revision(database):
        for name, types in columns.items():
            for type_ in types:
                act = partial(helpers.alter_column, "t", name, nullable=True, existing_type=type_)
                assert_skipped(act)


@pytest.mark.databases("mariadb", "mysql")
def test_alter_column_skips_when_the_revision_is_run_again_and_gave_another_type(
    database: Database, load: Load
) -> None:
    prepare(database, TABLE)
    upgrade = load(
        'op.alter_column("t", "name", nullable=True, existing_type=sa.String(30))\n'
        'op.alter_column("t", "name", type_=sa.String(99), existing_type=sa.String(30))\n'
    )
    with revision(database):
        upgrade()
        assert_skipped(upgrade)


@pytest.mark.databases("postgresql", "sqlite")
def test_alter_column_skips_when_what_exists_is_never_written(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(30) NOT NULL)")
    with revision(database):
        assert_skipped(
            lambda: helpers.alter_column("t", "name", nullable=False, existing_type=sa.String(255))
        )


COLLATED = {"sqlite": "NOCASE", "postgresql": '"C"', "mariadb": "utf8mb4_bin"}


def test_alter_column_keeps_the_collation_when_the_type_changes(database: Database) -> None:
    collation = COLLATED[database.kin]
    prepare(
        database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(30) COLLATE {collation})"
    )

    def collated() -> bool:
        look = {
            "sqlite": "SELECT sql FROM sqlite_master",
            "postgresql": "SELECT collation_name FROM information_schema.columns"
            " WHERE table_name = 't' AND column_name = 'name'",
            "mariadb": "SHOW CREATE TABLE t",
        }[database.kin]
        return collation.strip('"') in str(rows(helpers.get_bind(), look))

    with revision(database):
        for type_ in (sa.String(60), sa.Text(), sa.String(40)):
            alter = partial(helpers.alter_column, "t", "name", type_=type_)
            assert_applied(alter)
            assert collated()
            assert_skipped(alter)
        other = {"sqlite": "RTRIM", "postgresql": "POSIX", "mariadb": "utf8mb4_unicode_ci"}
        said = sa.String(40, collation=other[database.kin])
        assert_applied(lambda: helpers.alter_column("t", "name", type_=said))
        assert not collated()
        assert_skipped(lambda: helpers.alter_column("t", "name", type_=said))


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_script_of_alter_column_keeps_the_collation_when_the_type_changes(
    database: Database,
) -> None:
    collation = COLLATED[database.kin]
    prepare(
        database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(30) COLLATE {collation})"
    )
    act = partial(helpers.alter_column, "t", "name", type_=sa.String(60), nullable=False)
    script = written(database, act)
    run_with_client(database, script)
    run_with_client(database, script)
    with revision(database):
        assert_skipped(act)
        column = sa.Column("name", sa.String(60, collation=collation.strip('"')), nullable=False)
        assert_skipped(lambda: helpers.add_column("t", column))


def test_alter_column_keeps_the_key_and_its_counting_when_the_type_changes(
    database: Database,
) -> None:
    with revision(database):
        helpers.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer)
        )
        helpers.execute("INSERT INTO t (n) VALUES (7)")
        alter = lambda: helpers.alter_column("t", "id", type_=sa.BigInteger())  # noqa: E731
        alter()
        assert_skipped(alter)
        helpers.execute("INSERT INTO t (n) VALUES (8)")
        assert rows(helpers.get_bind(), "SELECT id, n FROM t ORDER BY id") == [(1, 7), (2, 8)]
        helpers.create_primary_key("t_pkey", "t", ["id"])  # confirms
        helpers.alter_column("t", "id", type_=sa.Integer())
        helpers.execute("INSERT INTO t (n) VALUES (9)")


@pytest.mark.databases("sqlite")
def test_alter_column_keeps_autoincrement_when_the_type_changes(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER)")
    with revision(database):
        assert_skipped(
            lambda: helpers.alter_column("t", "id", type_=sa.BigInteger()), "stays INTEGER"
        )
        assert_applied(
            lambda: helpers.alter_column("t", "n", type_=sa.BigInteger(), new_column_name="m")
        )


@pytest.mark.databases("mariadb", "mysql")
def test_alter_column_keeps_what_is_not_mentioned(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY,"
        " at TIMESTAMP NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp()"
        " COMMENT 'it''s', g INTEGER AS (id + 1) STORED, h INTEGER NOT NULL DEFAULT 3 INVISIBLE,"
        " c VARCHAR(9) CHECK (c <> 'x'))",
    )
    with revision(database):
        assert_applied(lambda: helpers.alter_column("t", "at", type_=mysql.TIMESTAMP(fsp=6)))
        assert_applied(lambda: helpers.alter_column("t", "g", type_=sa.BigInteger()))
        assert_applied(lambda: helpers.alter_column("t", "h", type_=sa.BigInteger()))
        rename = partial(
            helpers.alter_column, "t", "c", type_=sa.String(20), new_column_name="code"
        )
        assert_applied(rename)
        assert_skipped(rename)
        text = str(rows(helpers.get_bind(), "SHOW CREATE TABLE t")[0][1])
    assert "ON UPDATE current_timestamp(6)" in text.replace("CURRENT_", "current_").replace(
        "TIMESTAMP(", "timestamp("
    )
    assert "COMMENT 'it''s'" in text
    if database.name == "mysql":
        assert "`g` bigint GENERATED ALWAYS AS ((`id` + 1)) STORED" in text
        assert "`h` bigint NOT NULL DEFAULT '3' /*!80023 INVISIBLE */" in text
        assert "CHECK ((`code` <> _utf8mb4'x'))" in text
        return
    assert "`g` bigint(20) GENERATED ALWAYS AS (`id` + 1) STORED" in text
    assert "`h` bigint(20) NOT NULL INVISIBLE DEFAULT 3" in text
    assert "`code` varchar(20) DEFAULT NULL CHECK (`code` <> 'x')" in text


def test_alter_column_changes_nothing_when_what_comes_with_a_rename_fails(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(30))",
        "INSERT INTO t VALUES (1, NULL)",
    )
    with database.engine.connect() as connection:
        connection.rollback()
    act = partial(helpers.alter_column, "t", "name", new_column_name="title", nullable=False)
    with pytest.raises(sa.exc.DBAPIError), revision(database):
        act()
    with revision(database):
        assert helpers.table_has_column("t", "name")
        helpers.execute("UPDATE t SET name = 'x'")
        assert_applied(act)
        assert_skipped(act)


def test_alter_column_leaves_the_check_when_rows_break_the_new_one(database: Database) -> None:
    def kind(*values: str) -> Any:
        return sa.Enum(*values, name="ck_kind", native_enum=False, create_constraint=True, length=9)

    with revision(database):
        helpers.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", kind("a", "b"))
        )
        helpers.execute("INSERT INTO t (kind) VALUES ('b')")
    alter = partial(
        helpers.alter_column, "t", "kind", type_=kind("a"), existing_type=kind("a", "b")
    )
    with pytest.raises(Exception, match=r"(?i)ck_kind"), revision(database):
        alter()
    with revision(database):
        assert helpers.table_has_constraint("t", "ck_kind")
        helpers.execute("UPDATE t SET kind = 'a'")
        assert_applied(alter)
        assert_skipped(alter)
