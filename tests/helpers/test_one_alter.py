"""MariaDB and MySQL commit each statement: what a verb does there is one, or looks first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_skipped,
    assert_unsafe,
    counted,
    follow,
    outcome_of,
    prepare,
    revision,
    rows,
)

pytestmark = pytest.mark.databases("mariadb", "mysql")
PARENTS = "CREATE TABLE p (id INTEGER PRIMARY KEY, code INTEGER, UNIQUE KEY uq_code (code))"
BILLS = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, p_id INTEGER, at INTEGER, b INTEGER{more},"
    " CONSTRAINT fk_p FOREIGN KEY (p_id) REFERENCES p (id), UNIQUE KEY uq_p (p_id, at),"
    " CONSTRAINT ck_p CHECK (p_id > 0))"
)
# MySQL lets a key refer to an index that is not unique only where it is told so:
# https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_restrict_fk_on_non_standard_key
TO_ANY_INDEX = "/*!80400 SET restrict_fk_on_non_standard_key = OFF */"
NEEDED = {
    "generated": (", n INTEGER AS (p_id + 1)", ()),
    "referred": (
        ", KEY ix (p_id)",
        ("CREATE TABLE c (q INTEGER, CONSTRAINT fk_c FOREIGN KEY (q) REFERENCES t (p_id))",),
    ),
}


@pytest.mark.parametrize("case", NEEDED)
def test_drop_column_refuses_when_something_else_needs_it(database: Database, case: str) -> None:
    more, others = NEEDED[case]
    prepare(database, TO_ANY_INDEX, PARENTS, BILLS.format(more=more), *others)
    act = partial(helpers.drop_column, "t", "p_id")
    with revision(database):
        follow(assert_unsafe(act, "something else needs it"))
        assert_applied(act)
        assert_skipped(act)


def test_drop_column_takes_its_keys_along_and_leaves_what_others_need(database: Database) -> None:
    prepare(
        database,
        PARENTS,
        BILLS.format(more=", CONSTRAINT fk_b FOREIGN KEY (b) REFERENCES p (id)"),
        "ALTER TABLE t ADD UNIQUE KEY uq_b (b, p_id), DROP INDEX fk_b",
    )
    with revision(database):
        assert_applied(lambda: helpers.drop_column("t", "p_id"))
        text = str(rows(helpers.get_bind(), "SHOW CREATE TABLE t")[0][1])
    assert "fk_p" not in text
    assert "ck_p" not in text
    assert "KEY `fk_b` (`b`)" in text
    assert "CONSTRAINT `fk_b`" in text


INDEXED: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "index": (
        lambda: helpers.create_index("ix", "t", ["p_id", "at"]),
        lambda: helpers.drop_index("ix", "t"),
    ),
    "unique-index": (
        lambda: helpers.create_index("ix", "t", ["p_id", "at"], unique=True),
        lambda: helpers.drop_index("ix", "t"),
    ),
    "unique": (
        lambda: helpers.create_unique_constraint("ix", "t", ["p_id", "at"]),
        lambda: helpers.drop_constraint("ix", "t", type_="unique"),
    ),
    "one-column": (
        lambda: helpers.create_index("ix", "t", ["p_id"]),
        lambda: helpers.drop_index("ix", "t"),
    ),
}


@pytest.mark.parametrize("case", INDEXED)
def test_drop_makes_the_index_that_a_foreign_key_needs(database: Database, case: str) -> None:
    prepare(
        database,
        PARENTS,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, p_id INTEGER, at INTEGER,"
        " CONSTRAINT fk_p FOREIGN KEY (p_id) REFERENCES p (id))",
    )
    up, down = INDEXED[case]

    def look() -> str:
        return str(rows(helpers.get_bind(), "SHOW CREATE TABLE t")[0][1])

    with revision(database):
        before = look()
        up()
        above = look()
        assert_applied(down)
        assert look() == before
        assert_skipped(down)
        up()
        assert look() == above
        down()


@pytest.mark.parametrize("case", INDEXED)
def test_script_of_a_drop_makes_the_index_that_a_foreign_key_needs(
    database: Database, case: str
) -> None:
    prepare(
        database,
        PARENTS,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, p_id INTEGER, at INTEGER,"
        " CONSTRAINT fk_p FOREIGN KEY (p_id) REFERENCES p (id))",
    )
    up, down = INDEXED[case]
    with revision(database):
        up()
    script = written(database, down)
    run_with_client(database, script)
    run_with_client(database, script)
    with revision(database):
        assert_skipped(down)
        assert helpers.table_has_index("t", "fk_p")


def test_script_of_drop_column_takes_its_keys_and_checks_along(database: Database) -> None:
    prepare(database, PARENTS, BILLS.format(more=", CONSTRAINT ck_b CHECK (b > 0)"))
    script = written(database, lambda: helpers.drop_column("t", "p_id"))
    run_with_client(database, script)
    run_with_client(database, script)
    with revision(database):
        text = str(rows(helpers.get_bind(), "SHOW CREATE TABLE t")[0][1])
    assert "ck_b" in text
    assert not any(name in text for name in ("p_id", "fk_p", "uq_p", "ck_p"))


def test_drop_index_refuses_when_the_foreign_key_has_its_name(database: Database) -> None:
    prepare(
        database,
        PARENTS,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, p_id INTEGER,"
        " CONSTRAINT fk_p FOREIGN KEY (p_id) REFERENCES p (id))",
    )
    with revision(database):
        follow(assert_unsafe(lambda: helpers.drop_index("fk_p", "t"), "foreign key fk_p of t"))
        assert not helpers.table_has_index("t", "fk_p")  # it went with its key


def test_drop_constraint_refuses_when_another_table_refers_to_its_columns(
    database: Database,
) -> None:
    prepare(
        database,
        PARENTS,
        "CREATE TABLE t (c INTEGER, CONSTRAINT fk_c FOREIGN KEY (c) REFERENCES p (code))",
    )
    drop = partial(helpers.drop_constraint, "uq_code", "p", type_="unique")
    with revision(database):
        follow(assert_unsafe(drop, "foreign key fk_c of t"))
        assert_applied(drop)


REFERRED: dict[str, tuple[str, Callable[[], Any]]] = {  # what a foreign key refers to, its drop
    "index": ("b INTEGER, KEY ix (b)", lambda: helpers.drop_index("ix", "p")),
    "unique index": ("b INTEGER, UNIQUE KEY ix (b)", lambda: helpers.drop_index("ix", "p")),
    "unique constraint": (
        "b INTEGER, CONSTRAINT ix UNIQUE (b)",
        lambda: helpers.drop_constraint("ix", "p", type_="unique"),
    ),
    "primary key": (
        "b INTEGER PRIMARY KEY",
        lambda: helpers.drop_constraint(None, "p", type_="primary"),
    ),
    "column": ("b INTEGER, a INTEGER, KEY ix (b)", lambda: helpers.drop_column("p", "b")),
}


@pytest.mark.parametrize("checks", [1, 0])
@pytest.mark.parametrize("case", REFERRED)
def test_drop_refuses_and_changes_nothing_when_a_key_refers_to_it(
    database: Database, case: str, checks: int
) -> None:
    columns, act = REFERRED[case]
    prepare(
        database,
        TO_ANY_INDEX,
        f"CREATE TABLE p ({columns})",
        "CREATE TABLE t (c INTEGER, CONSTRAINT fk_c FOREIGN KEY (c) REFERENCES p (b))",
    )
    with revision(database) as connection:
        before = rows(connection, "SHOW CREATE TABLE p")
        connection.execute(sa.text(f"SET foreign_key_checks = {checks}"))
        message = assert_unsafe(act, "foreign key fk_c of t")
        assert rows(connection, "SHOW CREATE TABLE p") == before
        follow(message)
        assert_applied(act)
        connection.execute(sa.text("SET foreign_key_checks = 1"))


@pytest.mark.parametrize("case", REFERRED)
def test_drop_does_not_read_the_keys_of_all_tables_when_none_refers(
    database: Database, case: str
) -> None:
    columns, act = REFERRED[case]
    prepare(database, f"CREATE TABLE p ({columns})")
    with revision(database), counted(database.engine) as statements:
        assert_applied(act)
    assert not [sql for sql in statements if "key_column_usage" in sql]
    assert not [sql for sql in statements if "view_definition" in sql]


def test_drop_constraint_leaves_the_index_when_another_foreign_key_needs_it(
    database: Database,
) -> None:
    prepare(
        database,
        PARENTS,
        "CREATE TABLE t (p_id INTEGER, KEY one (p_id),"
        " CONSTRAINT one FOREIGN KEY (p_id) REFERENCES p (id),"
        " CONSTRAINT two FOREIGN KEY (p_id) REFERENCES p (code))",
    )
    with revision(database):
        assert_applied(lambda: helpers.drop_constraint("one", "t", type_="foreignkey"))
        assert helpers.table_has_index("t", "one")
        assert helpers.table_has_constraint("t", "two")


def test_alter_column_leaves_the_check_when_the_new_type_is_refused(database: Database) -> None:
    kind: Any = sa.Enum("long", "b", name="ck_kind", native_enum=False, create_constraint=True)
    with revision(database):
        helpers.create_table(
            "t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", kind)
        )
        helpers.execute("INSERT INTO t (kind) VALUES ('long')")
        with pytest.raises(sa.exc.DBAPIError):
            helpers.alter_column("t", "kind", type_=sa.String(2), existing_type=kind)
        assert helpers.table_has_constraint("t", "ck_kind")
        helpers.alter_column("t", "kind", type_=sa.String(9), existing_type=kind)
        assert not helpers.table_has_constraint("t", "ck_kind")


def test_create_table_makes_nothing_when_one_of_its_indexes_is_refused(database: Database) -> None:
    def act(prefix: str | None) -> None:
        kind: dict[str, Any] = {f"{database.name}_prefix": prefix}
        helpers.create_table(
            "t",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("a", sa.Text, comment="x, (y"),
            sa.Column("b", sa.String(9), index=True),
            sa.Column("n", sa.Integer, comment="100 %"),
            sa.Index("ix_n", "n", **kind),
            mysql_default_charset="utf8mb4",
        )

    with revision(database):
        with pytest.raises(sa.exc.DBAPIError):
            act("FULLTEXT")
        assert not helpers.table_exists("t")
        assert_applied(lambda: act(None))
        assert_skipped(lambda: act(None))
        assert helpers.table_has_index("t", "ix_n")


def test_add_column_makes_nothing_when_its_foreign_key_is_refused(database: Database) -> None:
    prepare(database, PARENTS, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    key = sa.ForeignKey("p.id", name="fk_p")
    with revision(database):
        with pytest.raises(sa.exc.DBAPIError):
            helpers.add_column("t", sa.Column("p_id", sa.String(9), key))
        assert not helpers.table_has_column("t", "p_id")
        outcome = outcome_of(
            lambda: helpers.add_column(
                "t",
                sa.Column(
                    "p_id",
                    sa.Integer,
                    sa.ForeignKey("p.id", name="fk_p"),
                    unique=True,
                    index=True,
                ),
            )
        )
        assert outcome.error is None
        assert helpers.table_has_constraint("t", "fk_p")
        assert helpers.table_has_index("t", "ix_t_p_id")
