"""Hostile names, through every verb: act, skip, drop, skip."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.names import HOSTILE, SOME, SYNTAX, usable
from tests.helpers.vocabulary import (
    Act,
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    counted,
    follow,
    prepare,
    revision,
    rows,
)


@dataclass
class Names:
    """One hostile name for everything, made unlike where two things may not share one."""

    name: str
    schema: str | None = None

    @property
    def table(self) -> str:
        return f"t{self.name}"

    @property
    def column(self) -> str:
        return self.name

    @property
    def thing(self) -> str:
        return f"x{self.name}"

    @property
    def where(self) -> dict[str, Any]:
        return {"schema": self.schema} if self.schema else {}

    def create(self, *more: sa.Column[int]) -> None:
        helpers.create_table(
            self.table,
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column(self.column, sa.Integer(), nullable=False, server_default="1"),
            *more,
            **self.where,
        )


PAIRS: dict[str, Callable[[Names], tuple[Act, Act]]] = {
    "table": lambda n: (n.create, lambda: helpers.drop_table(n.table, **n.where)),
    "column": lambda n: (
        lambda: helpers.add_column(
            n.table,
            sa.Column(
                n.thing, sa.String(20), nullable=False, server_default=n.name, comment=n.name
            ),
            **n.where,
        ),
        lambda: helpers.drop_column(n.table, n.thing, **n.where),
    ),
    "index": lambda n: (
        lambda: helpers.create_index(n.thing, n.table, [n.column, "id"], **n.where),
        lambda: helpers.drop_index(n.thing, n.table, **n.where),
    ),
    "unique": lambda n: (
        lambda: helpers.create_unique_constraint(n.thing, n.table, [n.column, "id"], **n.where),
        lambda: helpers.drop_constraint(n.thing, n.table, type_="unique", **n.where),
    ),
    "check": lambda n: (
        lambda: helpers.create_check_constraint(
            n.thing, n.table, sa.column(n.column) > 0, **n.where
        ),
        lambda: helpers.drop_constraint(n.thing, n.table, type_="check", **n.where),
    ),
    "foreign key": lambda n: (
        lambda: helpers.create_foreign_key(
            n.thing,
            n.table,
            n.table,
            [n.column],
            ["id"],
            ondelete="CASCADE",
            source_schema=n.schema,
            referent_schema=n.schema,
        ),
        lambda: helpers.drop_constraint(n.thing, n.table, **n.where),
    ),
    "view": lambda n: (
        lambda: helpers.create_view(n.thing, "SELECT 1 AS a", **n.where),
        lambda: helpers.drop_view(n.thing, **n.where),
    ),
}
each_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())


def go_round(names: Names, pair: Callable[[Names], tuple[Act, Act]]) -> None:
    create, drop = pair(names)
    if create != names.create:
        names.create()
    assert_skipped(drop)
    assert_applied(create)
    assert_skipped(create)
    assert_applied(drop)
    assert_skipped(drop)


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_verbs_act_and_skip_when_names_are_hostile(database: Database, name: str) -> None:
    if database.kin == "mariadb" and "\n" in name:
        pytest.skip("SQLAlchemy reads SHOW CREATE TABLE line by line")
    if database.name == "postgresql" and name in SYNTAX:
        pytest.skip("no helper reads SQL there")
    failures = []
    for kind, pair in PAIRS.items():  # one database for all: making one is slow
        with revision(database):
            try:
                go_round(Names(usable(database.name, name)), pair)
            except (AssertionError, Exception) as error:
                failures.append(f"{kind}: {type(error).__name__}: {error}")
        with revision(database):
            helpers.drop_table(Names(usable(database.name, name)).table)
    assert not failures, "\n\n".join(failures)


@each_pair
def test_verbs_act_and_skip_when_schema_is_given(
    database: Database, other_schema: str, pair: Callable[[Names], tuple[Act, Act]]
) -> None:
    with revision(database) as connection:
        Names("Twin").create()  # the same name in the default schema is another table
        before = {table: helpers.table_exists(table) for table in ("tTwin", "xTwin")}
        names = Names("Twin", other_schema)
        if pair is PAIRS["view"]:
            names.create()
        go_round(names, pair)
        assert {table: helpers.table_exists(table) for table in before} == before
        assert rows(connection, "SELECT 1") == [(1,)]


@each_pair
def test_verbs_miss_the_table_when_it_is_in_another_schema(
    database: Database, other_schema: str, pair: Callable[[Names], tuple[Act, Act]]
) -> None:
    if pair in (PAIRS["table"], PAIRS["view"]):
        pytest.skip("has no parent")
    with revision(database):
        Names("Twin").create()
        create, drop = pair(Names("Twin", other_schema))
        assert_missing_parent(create, "tTwin")
        assert_skipped(drop)


@pytest.mark.parametrize("name", SOME)
def test_alter_column_acts_and_skips_when_names_are_hostile(database: Database, name: str) -> None:
    names = Names(usable(database.name, name))
    with revision(database):
        names.create()
        for act in (
            lambda: helpers.alter_column(names.table, names.column, type_=sa.BigInteger()),
            lambda: helpers.alter_column(names.table, names.column, nullable=True),
            lambda: helpers.alter_column(names.table, names.column, server_default=None),
            lambda: helpers.alter_column(names.table, names.column, server_default="7"),
            lambda: helpers.alter_column(names.table, names.column, new_column_name=names.thing),
        ):
            assert_applied(act)
            assert_skipped(act)


@pytest.mark.parametrize("name", SOME)
def test_rename_table_acts_and_skips_when_names_are_hostile(database: Database, name: str) -> None:
    names = Names(usable(database.name, name))
    with revision(database) as connection:
        names.create()
        assert_applied(lambda: helpers.rename_table(names.table, names.thing))
        assert_skipped(lambda: helpers.rename_table(names.table, names.thing))
        names.create()
        assert_conflict(lambda: helpers.rename_table(names.table, names.thing))
        assert rows(connection, "SELECT 1") == [(1,)]


def test_rename_table_acts_when_schema_is_given(database: Database, other_schema: str) -> None:
    with revision(database):
        Names("a").create()
        Names("a", other_schema).create()
        assert_applied(lambda: helpers.rename_table("ta", "tb", schema=other_schema))
        assert_skipped(lambda: helpers.rename_table("ta", "tb", schema=other_schema))
        assert helpers.table_exists("ta") is True
        assert helpers.table_exists("tb") is False
        assert helpers.table_exists("tb", schema=other_schema) is True


def test_alter_column_acts_when_schema_is_given(database: Database, other_schema: str) -> None:
    with revision(database):
        Names("a").create()
        Names("a", other_schema).create()
        for act in (
            lambda: helpers.alter_column("ta", "a", type_=sa.BigInteger(), schema=other_schema),
            lambda: helpers.alter_column("ta", "a", nullable=True, schema=other_schema),
            lambda: helpers.alter_column("ta", "a", new_column_name="b", schema=other_schema),
        ):
            assert_applied(act)
            assert_skipped(act)
        assert helpers.table_has_column("ta", "b") is False
        assert helpers.table_has_column("ta", "a") is True


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_create_foreign_key_acts_when_it_leads_to_another_schema(
    database: Database, other_schema: str
) -> None:
    with revision(database):
        Names("a").create()
        Names("b", other_schema).create()

        def act() -> None:
            helpers.create_foreign_key(
                "fk",
                "ta",
                "tb",
                ["a"],
                ["id"],
                referent_schema=other_schema,
                ondelete="SET DEFAULT" if database.name == "postgresql" else "CASCADE",
            )

        assert_applied(act)
        assert_skipped(act)
        assert_missing_parent(
            lambda: helpers.create_foreign_key("fk2", "ta", "tb", ["a"], ["id"]), "tb"
        )
        helpers.drop_constraint("fk", "ta")  # else the other schema cannot be dropped


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", SOME)
def test_create_enum_acts_and_skips_when_names_are_hostile(database: Database, name: str) -> None:
    values = [name, "it's", "a, b"]
    with revision(database):
        assert_skipped(lambda: helpers.drop_enum(name))
        assert_applied(lambda: helpers.create_enum(name, values))
        assert_skipped(lambda: helpers.create_enum(name, values))
        assert helpers.enum_exists(name) is True
        follow(assert_conflict(lambda: helpers.create_enum(name, [*values, "la'st"])))
        assert_skipped(lambda: helpers.create_enum(name, [*values, "la'st"]))
        assert_applied(lambda: helpers.drop_enum(name))
        assert helpers.enum_exists(name) is False


@pytest.mark.databases("postgresql")
def test_create_enum_acts_when_schema_is_given(database: Database, other_schema: str) -> None:
    with revision(database):
        assert_applied(lambda: helpers.create_enum("status", ["a"], schema=other_schema))
        assert helpers.enum_exists("status") is False
        assert helpers.enum_exists("status", schema=other_schema) is True
        assert_applied(lambda: helpers.create_enum("status", ["a", "b"]))
        follow(
            assert_conflict(lambda: helpers.create_enum("status", ["a", "b"], schema=other_schema))
        )
        assert_skipped(lambda: helpers.create_enum("status", ["a", "b"], schema=other_schema))
        assert_applied(lambda: helpers.drop_enum("status", schema=other_schema))
        assert helpers.enum_exists("status") is True


@pytest.mark.parametrize("name", SOME)
def test_way_on_works_when_names_are_hostile(database: Database, name: str) -> None:
    names = Names(usable(database.name, name))
    with revision(database):
        names.create(sa.Column("other", sa.Integer(), nullable=False, server_default="1"))
        wanted: list[Act] = [
            lambda: helpers.add_column(names.table, sa.Column(names.column, sa.String(9))),
            lambda: helpers.create_index(names.thing, names.table, ["other"]),
            lambda: helpers.create_check_constraint(
                f"c{names.name}", names.table, sa.column("other") > 0
            ),
        ]
        helpers.create_index(names.thing, names.table, ["id"])
        helpers.create_check_constraint(f"c{names.name}", names.table, sa.column("other") > -1)
        for act in wanted:
            follow(assert_conflict(act))
            act()
            assert_skipped(act)


NAMING = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def test_verbs_use_the_naming_convention_when_env_py_has_one(database: Database) -> None:
    """As ``op`` does: ``drop_constraint("positive")`` means ``ck_bills_positive`` then."""
    with revision(database, target_metadata=NAMING):
        helpers.create_table(
            "bills", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("a", sa.Integer())
        )
        pairs: list[tuple[str, Act, Act]] = [
            (
                "ck_bills_positive",
                lambda: helpers.create_check_constraint("positive", "bills", "a > 0"),
                lambda: helpers.drop_constraint("positive", "bills", type_="check"),
            ),
            (
                "uq_bills_a",
                lambda: helpers.create_unique_constraint(None, "bills", ["a"]),
                lambda: helpers.drop_constraint(helpers.f("uq_bills_a"), "bills", type_="unique"),
            ),
            (
                "fk_bills_a_bills",
                lambda: helpers.create_foreign_key(None, "bills", "bills", ["a"], ["id"]),
                lambda: helpers.drop_constraint("fk_bills_a_bills", "bills", type_="foreignkey"),
            ),
            (
                "ck_plain",
                lambda: helpers.create_check_constraint(helpers.f("ck_plain"), "bills", "a > 1"),
                lambda: helpers.drop_constraint(helpers.f("ck_plain"), "bills", type_="check"),
            ),
        ]
        for name, create, drop in pairs:
            assert_skipped(drop)
            assert_applied(create)
            assert helpers.table_has_constraint("bills", name), name
            assert_skipped(create)
            assert_applied(drop)
            assert_skipped(drop)
        index = partial(helpers.create_index, None, "bills", ["a", "id"])
        assert_applied(index)
        assert helpers.table_has_index("bills", "ix_bills_a_id")
        assert_skipped(index)
        assert_applied(lambda: helpers.drop_index("ix_bills_a_id", "bills"))


def test_create_table_uses_the_naming_convention_when_env_py_has_one(database: Database) -> None:
    def act() -> None:
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("a", sa.Integer(), sa.ForeignKey("bills.id"), index=True, unique=True),
            sa.Column("b", sa.Boolean(create_constraint=True, name="b"), unique=True),
            sa.CheckConstraint("a > 0", name="positive"),
        )

    with revision(database, target_metadata=NAMING):
        assert_applied(act)
        assert_skipped(act)
        assert helpers.table_has_constraint("bills", "ck_bills_positive")
        assert helpers.table_has_constraint("bills", "uq_bills_b")


LONG = "a_name_of_many_words_that_a_convention_makes_longer_still"


def test_verbs_skip_when_sqlalchemy_shortens_a_conventional_name(database: Database) -> None:
    def act() -> None:
        helpers.create_table(LONG, sa.Column("id", sa.Integer(), primary_key=True))
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("a", sa.Integer()),
            sa.ForeignKeyConstraint(["a"], [f"{LONG}.id"]),
            sa.CheckConstraint("a > 0", name=LONG),
        )
        helpers.add_column("bills", sa.Column("b", sa.Integer(), sa.ForeignKey(f"{LONG}.id")))
        helpers.create_index(helpers.f(f"ix_bills_b_{LONG}"), "bills", ["b"])
        helpers.create_unique_constraint(helpers.f(f"uq_bills_a_b_{LONG}"), "bills", ["a", "b"])

    def drop() -> None:
        for column in ("a", "b"):
            name = helpers.f(f"fk_bills_{column}_{LONG}")
            helpers.drop_constraint(name, "bills", type_="foreignkey")
        helpers.drop_constraint(helpers.f(f"uq_bills_a_b_{LONG}"), "bills", type_="unique")
        helpers.drop_index(helpers.f(f"ix_bills_b_{LONG}"), "bills")

    with revision(database, target_metadata=NAMING):
        assert_applied(act)
        assert_skipped(act)
        assert helpers.table_has_constraint("bills", helpers.f(f"uq_bills_a_b_{LONG}"))
        assert_applied(drop)
        assert_skipped(drop)
        assert not helpers.table_has_index("bills", helpers.f(f"ix_bills_b_{LONG}"))


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("length", [63, 64, 80])
def test_verbs_act_and_skip_when_the_server_cuts_the_name(database: Database, length: int) -> None:
    name = "é" + "n" * (length - 2)
    with revision(database):
        table = partial(helpers.create_table, name, sa.Column(name, sa.Integer()))
        assert_applied(table)
        assert_skipped(table)
        rename = partial(helpers.rename_table, name, f"b{name}")
        assert_applied(rename)
        assert_skipped(rename)
        drop = partial(helpers.drop_table, f"b{name}")
        assert_applied(drop)
        assert_skipped(drop)


BYTES = "é" * 40  # 80 bytes, of which PostgreSQL keeps 62; SQLAlchemy counts letters


@pytest.mark.databases("postgresql")
def test_verbs_act_and_skip_when_the_server_cuts_the_names_of_everything(
    database: Database,
) -> None:
    table, column = f"t{BYTES}", f"c{BYTES}"
    key = sa.Column("id", sa.Integer(), primary_key=True)
    named = partial(str.__add__, BYTES[:34])
    concurrently: dict[str, Any] = {"postgresql_concurrently": True}
    acts: list[Act] = [
        lambda: helpers.create_table(
            table,
            key,
            sa.Column(column, sa.Integer(), sa.ForeignKey(f"{table}.id"), unique=True, comment="c"),
            sa.Column(f"d{BYTES}", sa.Integer(), sa.ForeignKey(f"{table}.id", name=f"f{BYTES}")),
            sa.UniqueConstraint(column, "id", name=f"u{BYTES}"),
            sa.CheckConstraint(sa.column(column) > 0, name=f"k{BYTES}"),
        ),
        lambda: helpers.create_unique_constraint("uq", table, [column]),
        lambda: helpers.create_unique_constraint("uqc", table, [column, "id"], **concurrently),
        lambda: helpers.create_foreign_key("fk", table, table, [column], ["id"]),
        lambda: helpers.create_foreign_key(named("fk"), table, table, ["id"], [column]),
        lambda: helpers.create_foreign_key("fkc", table, table, [column], ["id"], **concurrently),
        lambda: helpers.create_check_constraint(f"k2{BYTES}", table, sa.column(column) > 0),
        lambda: helpers.create_index(f"ix{BYTES}", table, [column], unique=True),
        lambda: helpers.create_index("ixc", table, [column], unique=True, **concurrently),
        lambda: helpers.add_column(
            table,
            sa.Column(f"e{BYTES}", sa.Integer(), server_default="1", nullable=False),
            postgresql_concurrently=True,
        ),
    ]
    for act in acts:
        with revision(database):
            assert_applied(act)
            assert_skipped(act)
    with revision(database):
        assert helpers.table_has_index(table, f"ix{BYTES}")
        assert_applied(lambda: helpers.drop_index("ixc", table))
        values = {f"e{BYTES}": 2}
        helpers.backfill(table, values, where=sa.column(f"e{BYTES}") != 2)


@pytest.mark.databases("postgresql")
def test_create_primary_key_skips_when_the_server_cuts_the_column(database: Database) -> None:
    with revision(database):
        helpers.create_table("t", sa.Column(BYTES, sa.Integer()))
        act = partial(helpers.create_primary_key, "pk", "t", [BYTES])
        assert_applied(act)
        assert_skipped(act)


# Columns called as something is called in the text of a table or of an index.
WORDS = [
    "key",
    "desc",
    "like",
    "lower",
    "unique",
    "primary",
    "foreign",
    "check",
    "nocase",
    "b",
    "x",
]
WORDY = [
    "CREATE TABLE p (id INT PRIMARY KEY)",
    "CREATE TABLE t (id INT NOT NULL, {columns}, a VARCHAR(20), CONSTRAINT pk PRIMARY KEY (id),"
    " CONSTRAINT uq UNIQUE (a), CONSTRAINT b UNIQUE (a, id),"
    " CONSTRAINT fk FOREIGN KEY (id) REFERENCES p (id) ON DELETE CASCADE,"
    " CONSTRAINT x CHECK (a LIKE 'x%' AND lower(a) = a))",
    "CREATE INDEX ix ON t (a DESC)",
]
WORDY_SQLITE = "CREATE INDEX ix2 ON t (lower(a) COLLATE NOCASE) WHERE a LIKE 'key'"


def test_drop_column_drops_nothing_else_when_its_name_is_a_word_of_sql(database: Database) -> None:
    quote = "`" if database.kin == "mariadb" else '"'
    columns = ", ".join(f"{quote}{word}{quote} INT" for word in WORDS)
    more = [WORDY_SQLITE] if database.name == "sqlite" else []
    prepare(database, *(sql.format(columns=columns) for sql in WORDY), *more)
    with revision(database) as connection:
        wanted = _kept_of(connection)
        for word in WORDS:
            assert_applied(partial(helpers.drop_column, "t", word))
            assert _kept_of(connection) == wanted, word
        assert [c["name"] for c in sa.inspect(connection).get_columns("t")] == ["id", "a"]


def _kept_of(connection: sa.Connection) -> list[str]:
    """Return what there is beside columns, as the inspector says it."""
    found = sa.inspect(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy does not read indexes of expressions
        kept: list[Any] = [found.get_pk_constraint("t"), *found.get_unique_constraints("t")]
        kept += [*found.get_foreign_keys("t"), *found.get_check_constraints("t")]
        kept += found.get_indexes("t")
    if connection.dialect.name == "sqlite":
        kept += rows(connection, "SELECT name, sql FROM sqlite_master WHERE type = 'index'")
    return sorted(map(str, kept))


@pytest.mark.databases("sqlite")
def test_drop_column_takes_along_what_uses_it_when_it_is_a_word_without_quotes(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, key TEXT, desc TEXT, UNIQUE (id, key),"
        " CHECK (key > 'a'), CONSTRAINT kept CHECK (id > 0))",
        "CREATE INDEX ix_desc ON t (desc)",
        "CREATE INDEX ix_id ON t (id DESC)",
    )
    with revision(database) as connection:
        for column in ("key", "desc"):
            assert_applied(partial(helpers.drop_column, "t", column))
        found = sa.inspect(connection)
        assert found.get_unique_constraints("t") == []
        assert [check["name"] for check in found.get_check_constraints("t")] == ["kept"]
        assert [index["name"] for index in found.get_indexes("t")] == ["ix_id"]
        assert found.get_pk_constraint("t")["constrained_columns"] == ["id"]


@pytest.mark.databases("postgresql")
@pytest.mark.skipif(
    sa.__version__.startswith("2.0."), reason="INCLUDE of a constraint came with SQLAlchemy 2.1"
)
@pytest.mark.parametrize("name", [*SOME, "a, b", "par)en", "INCLUDE (id)"])
def test_create_unique_constraint_skips_when_it_includes_a_hostile_name(
    name: str, database: Database
) -> None:
    with revision(database):
        helpers.create_table("t", sa.Column("id", sa.Integer()), sa.Column(name, sa.Integer()))
        act = partial(
            helpers.create_unique_constraint,
            "uq",
            "t",
            ["id"],
            postgresql_include=[sa.column(name)],
        )
        assert_applied(act)
        assert_skipped(act)


def test_verbs_send_no_stray_statement_when_they_skip(database: Database) -> None:
    with revision(database):
        Names("a").create()
        with counted(database.engine) as statements:
            helpers.drop_column("ta", "nowhere")
        assert not [s for s in statements if s.split()[0] in ("ALTER", "DROP", "CREATE")], (
            statements
        )
