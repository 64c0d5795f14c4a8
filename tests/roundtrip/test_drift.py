"""A database is what its models make, or each difference is named with what to write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import alembic_helpers as helpers
from alembic_toolkit.drift.judge import Drift, judge, look
from alembic_toolkit.prove.scratch import scratch
from tests.databases import Database, new_database
from tests.roundtrip import planted

Judge = Callable[..., Drift]


@pytest.fixture
def judged(database: Database) -> Iterator[Judge]:
    """Return what judges the database by models, in an empty one of the same server."""
    empty = new_database(database.name)

    def judge_(*models: Any, **opts: Any) -> Drift:
        metadata = models[0] if len(models) == 1 else models
        with database.engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"target_metadata": metadata, **opts}
            )
            looked, why = look(context)
            if looked is None:
                return Drift(unjudged=why)
            with scratch(empty.url) as given:  # which is empty again at the end
                return judge(looked, given.engine)

    yield judge_
    empty.close()


def create(database: Database, metadata: sa.MetaData, *sql: str) -> None:
    with database.engine.begin() as connection:
        metadata.create_all(connection)
        for statement in sql:
            connection.exec_driver_sql(statement)


def execute(database: Database, *sql: str) -> None:
    create(database, sa.MetaData(), *sql)


# What is found


def test_forty_differences_are_each_named_once(database: Database, judged: Judge) -> None:
    create(database, planted.metadata(database.name, models=False))
    found = judged(planted.metadata(database.name, models=True))
    assert found.unjudged == ""
    left = [*found.lines]
    for one in planted.of(database.name):
        parts = planted.says(database.name, one)
        lines = [line for line in left if all(part in spaced(line) for part in parts)]
        assert len(lines) == one.lines, (one.name, parts, found.lines)
        left = [line for line in left if line not in lines]
    assert left == []


def spaced(line: str) -> str:
    """Return a line with a space behind each comma, which some servers leave out."""
    return re.sub(r",(?! )", ", ", line)


def test_what_is_written_makes_it_so(database: Database, judged: Judge) -> None:
    models = planted.metadata(database.name, models=True)
    create(database, planted.metadata(database.name, models=False))
    code = "\n".join(judged(models).code)
    with database.engine.connect() as connection:
        if database.name == "postgresql":
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            exec(code, {"helpers": helpers, "sa": sa, "postgresql": sa.dialects.postgresql})
        connection.commit()
    assert judged(models).lines == []


def test_what_the_models_made_is_no_difference(database: Database, judged: Judge) -> None:
    for models in (True, False):
        metadata = planted.metadata(database.name, models=models)
        create(database, metadata)
        found = judged(metadata)
        assert (found.lines, found.code, found.unjudged) == ([], [], "")
        clear_all(database, metadata)


def clear_all(database: Database, metadata: sa.MetaData) -> None:
    with database.engine.begin() as connection:
        metadata.drop_all(connection)


# What is no difference


def test_names_that_the_server_chose_are_no_difference(database: Database, judged: Judge) -> None:
    said, silent = sa.MetaData(), sa.MetaData()
    for metadata, named in ((said, True), (silent, False)):
        name = (lambda text: text) if named else (lambda _: None)
        sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
        sa.Table(
            "bills",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("user", sa.Integer, sa.ForeignKey("users.id", name=name("fk_user"))),
            sa.Column("number", sa.Integer),
            sa.CheckConstraint("number > 0", name=name("ck_number")),
            sa.UniqueConstraint("number", name=name("uq_number")),
        )
    create(database, said)
    assert judged(silent).lines == []
    clear_all(database, said)
    create(database, silent)
    assert len(judged(said).lines) == 3  # which the models do say


def test_what_models_cannot_know_is_no_difference(database: Database, judged: Judge) -> None:
    metadata = sa.MetaData()
    sa.Table("bills", metadata, sa.Column("id", sa.Integer, primary_key=True))
    more = {
        "sqlite": ["CREATE TRIGGER tr AFTER INSERT ON bills BEGIN SELECT 1; END"],
        "postgresql": [
            "CREATE FUNCTION fn() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON bills FOR EACH ROW EXECUTE FUNCTION fn()",
            "CREATE SEQUENCE beside",
            "CREATE TYPE beside_too AS ENUM ('a')",
            "ALTER TABLE bills ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE bills SET (fillfactor = 70)",
            "ALTER TABLE bills CLUSTER ON bills_pkey",
            "ALTER TABLE bills ALTER id SET STATISTICS 50",
        ],
    }
    always = ["CREATE VIEW paid AS SELECT id FROM bills"]
    mysql = ["CREATE TRIGGER tr BEFORE INSERT ON bills FOR EACH ROW SET @x = 1"]
    create(database, metadata, *always, *more.get(database.name, mysql))
    found = judged(metadata)
    assert (found.lines, found.unjudged) == ([], "")


@pytest.mark.databases("postgresql")
def test_partitions_and_casts_of_the_server_are_no_difference(
    database: Database, judged: Judge
) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "days",
        metadata,
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0"), server_default="1"),
        sa.Column("name", sa.String(20), server_default="x"),
        sa.Column("made", sa.DateTime, server_default=sa.func.now()),
        sa.Index("ix_n", "n", postgresql_where=sa.text("n > 5 AND name IN ('a', 'b')")),
        postgresql_partition_by="RANGE (day)",
    )
    create(
        database,
        metadata,
        "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "ALTER TABLE days ALTER n TYPE numeric",
        "ALTER TABLE days ALTER n TYPE integer",
        "ALTER TABLE days ALTER made SET DEFAULT CURRENT_TIMESTAMP",
    )
    found = judged(metadata)
    assert (found.lines, found.unjudged) == ([], "")


@pytest.mark.databases("mariadb", "mysql")
def test_index_of_a_foreign_key_is_no_difference(database: Database, judged: Judge) -> None:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
    user = sa.Column("user", sa.Integer, sa.ForeignKey("users.id"))
    sa.Table("bills", metadata, sa.Column("id", sa.Integer, primary_key=True), user)
    before = sa.MetaData()
    sa.Table("users", before, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "bills",
        before,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user", sa.Integer),
    )
    create(database, before, "ALTER TABLE bills ADD FOREIGN KEY (user) REFERENCES users (id)")
    assert judged(metadata).lines == []
    execute(database, "CREATE INDEX ix_user ON bills (user)")
    assert judged(metadata).lines == ["- index ix_user on bills: (user)"]


# What env.py says


def some(**more: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = {"v": sa.Integer, **more}
    sa.Table(
        "some",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, type_) for name, type_ in columns.items()),
    )
    return metadata


UNWANTED = ("column", "check_constraint")


@pytest.mark.parametrize(
    "opts",
    [
        {"include_object": lambda one, name, type_, *_: name != "some"},
        {"include_name": lambda name, type_, _: name != "some"},
        {
            "include_object": lambda one, name, type_, *_: (
                type_ not in ("column", "check_constraint")
            )
        },
        {"include_object": lambda one, name, type_, *_: name not in ("v", "w", "ck")},
        {
            "compare_type": lambda *_: False,
            "compare_server_default": lambda *_: False,
            "include_object": lambda one, name, type_, *_: name not in ("w", "ck"),
        },
    ],
)
@pytest.mark.databases("sqlite", "postgresql")
def test_what_env_py_leaves_out_is_no_difference(
    database: Database, judged: Judge, opts: dict[str, Any]
) -> None:
    made = some(v=sa.String(5), w=sa.Integer)
    made.tables["some"].append_constraint(sa.CheckConstraint("id > 0", name="ck"))
    create(database, made)
    assert len(judged(some()).lines) == 3
    assert judged(some(), **opts).lines == []


# What cannot be judged


@pytest.mark.databases("sqlite", "postgresql")
def test_models_that_cannot_be_made_are_not_judged(database: Database, judged: Judge) -> None:
    create(database, some())
    metadata = some(w=sa.Integer)
    metadata.tables["some"].append_column(
        sa.Column("bad", sa.Integer, server_default=sa.text("no("))
    )
    found = judged(metadata)
    assert found.unjudged.startswith("the models' tables cannot be made: ")
    assert [line for line in found.lines if "some.w" in line]  # Alembic says that much
    incomplete = some()
    column = sa.Column("user", sa.Integer, sa.ForeignKey("users.id"))
    incomplete.tables["some"].append_column(column)
    found = judged(incomplete)
    assert "users" in found.unjudged
    assert found.lines == []


def test_tables_that_can_be_made_are_judged_when_one_cannot(
    database: Database, judged: Judge
) -> None:
    def metadata(default: str, **bad: Any) -> sa.MetaData:
        found = some()
        parent = sa.ForeignKey("parent.id", name="fk_child")
        sa.Table("child", found, sa.Column("id", sa.Integer, parent, primary_key=True))
        column = sa.Column("n", sa.Integer, server_default=default)
        sa.Table("parent", found, sa.Column("id", sa.Integer, primary_key=True), column)
        columns = [sa.Column(name, sa.Integer, **given) for name, given in bad.items()]
        sa.Table("bad", found, sa.Column("id", sa.Integer, primary_key=True), *columns)
        return found

    create(database, metadata("1"))
    wanted = metadata("2", b={"server_default": sa.text("no(")}, c={})
    wanted.tables["bad"].append_column(sa.Column("d", sa.Integer))
    found = judged(wanted)
    assert found.unjudged.startswith("table bad of the models cannot be made: ")
    assert found.unjudged.count("cannot be made") == 1
    assert [line for line in found.lines if "parent.n" in line and "default" in line]
    assert sorted(re.findall(r"bad\.(\w)", " ".join(found.lines))) == ["b", "c", "d"]
    assert len(found.lines) == 4


@pytest.mark.databases("mariadb", "mysql")
def test_table_of_another_database_is_said_not_to_be_compared_wholly(
    database: Database, judged: Judge
) -> None:
    metadata = sa.MetaData()
    for name, schema in (("here", None), ("there", "information_schema")):
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), schema=schema)
    execute(database, "CREATE TABLE here (id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY)")
    found = judged(metadata)
    said = "table information_schema.there of the models is in another database than this one\nof"
    assert found.unjudged.startswith(said)
    assert "compared was what Alembic compares" in found.unjudged


@pytest.mark.databases("postgresql")
def test_what_tables_need_is_taken_from_the_database(database: Database, judged: Judge) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "bills",
        metadata,
        sa.Column("id", sa.Integer, server_default=sa.text("next_number()"), primary_key=True),
        sa.Column("kind", sa.Enum("a", "b", name="kind", create_type=False)),
        schema="apart",
    )
    execute(
        database,
        "CREATE SCHEMA apart",
        "CREATE FUNCTION next_number() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE kind AS ENUM ('a', 'b', 'c')",
        "CREATE TABLE apart.bills (id integer DEFAULT next_number() PRIMARY KEY, kind kind)",
    )
    found = judged(metadata, include_schemas=True)
    assert found.unjudged == ""
    [line] = found.lines
    assert "enum kind (apart.bills.kind): ('a', 'b', 'c') -> ('a', 'b')" in line


# Names


class Base(DeclarativeBase):
    """The classes of these tests."""

    metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})


class Odd(Base):
    """A class whose table and columns have odd names."""

    __tablename__ = 'Odd "Names"'
    id: Mapped[int] = mapped_column(primary_key=True)
    money: Mapped[str] = mapped_column("Cur.rency", sa.String(3), server_default="EUR", unique=True)


def test_class_and_attribute_are_named(database: Database, judged: Judge) -> None:
    made = sa.MetaData(naming_convention=Base.metadata.naming_convention)
    sa.Table(
        'Odd "Names"',
        made,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("Cur.rency", sa.String(3), server_default="USD", nullable=False, unique=True),
    )
    other = some()
    create(database, made)
    create(database, other)
    [line] = judged(Base.metadata, other).lines
    assert "(Odd.money): default 'USD' -> 'EUR'" in line


# Once


@pytest.mark.databases("sqlite", "mariadb")
def test_difference_that_alembic_sees_too_is_said_once(database: Database, judged: Judge) -> None:
    create(database, some(w=sa.Integer))
    execute(database, "CREATE INDEX ix ON some (v)", "CREATE TABLE other (id INTEGER)")
    models = some()
    models.tables["some"].c.v.nullable = False
    assert sorted(judged(models).lines) == [
        "- column some.w: " + ("INTEGER" if database.name == "sqlite" else "int(11) DEFAULT NULL"),
        "- index ix on some: (v)",
        "- table other",
        "~ column some.v: NULL -> NOT NULL",
    ]
