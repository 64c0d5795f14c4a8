"""Forty ways in which a database may differ from its models: a small table for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, JSONB, ExcludeConstraint

Parts = Callable[[], list[sa.schema.SchemaItem]]
ALL = ("sqlite", "postgresql", "mariadb", "mysql")
POSTGRESQL, SQLITE, BOTH = ("postgresql",), ("sqlite",), ("sqlite", "postgresql")
SERVERS = ("postgresql", "mariadb", "mysql")


@dataclass
class Difference:
    """A table as a database has it, and as the models have it; and what is to be said of it."""

    name: str
    there: Parts
    models: Parts
    says: tuple[str, ...]  # parts of its line, or of its lines
    servers: tuple[str, ...] = ALL
    lines: int = 1
    by_hand: bool = False  # what is written is a comment: no verb does it


def column(name: str, there: Parts, models: Parts, *says: str, **more: Any) -> Difference:
    """Return a difference of the column ``v``."""
    return Difference(name, there, models, (f"column {name}.v", *says), **more)


def v(*arguments: Any, type_: Any = sa.Integer, **more: Any) -> Parts:
    """Return a table with one more column."""
    return lambda: [sa.Column("v", type_, *arguments, **more)]


def n(*items: Callable[[], sa.schema.SchemaItem]) -> Parts:
    """Return a table with two more columns, and these keys, checks and indexes."""
    columns = [lambda: sa.Column("a", sa.Integer), lambda: sa.Column("b", sa.Integer)]
    return lambda: [one() for one in (*columns, *items)]


def check(text: str, name: str | None = "ck") -> Callable[[], sa.CheckConstraint]:
    return lambda: sa.CheckConstraint(text, name=name)


def unique(*columns: str, name: str | None = "uq") -> Callable[[], sa.UniqueConstraint]:
    return lambda: sa.UniqueConstraint(*columns, name=name)


def key(**more: Any) -> Callable[[], sa.ForeignKeyConstraint]:
    return lambda: sa.ForeignKeyConstraint(["a"], ["parents.id"], **{"name": "fk", **more})


def index(*columns: Any, **more: Any) -> Callable[[], sa.Index]:
    return lambda: sa.Index("ix", *columns, **more)


def text(length: int, **more: Any) -> Parts:
    return v(type_=sa.String(length, **more))


NO = n()
FOUND = [
    column("longer", text(60), text(50), "(60)", "-> ", "(50)"),
    column("another_type", v(type_=sa.DateTime), v(type_=sa.Date), "-> "),
    column("precise", v(type_=sa.Numeric(12, 2)), v(type_=sa.Numeric(10, 2)), "12", "10"),
    column("bigger", v(type_=sa.BigInteger), v(), "-> "),
    column("may_be_null", v(), v(nullable=False), "NULL -> NOT NULL"),
    column("not_null", v(nullable=False), v(), "NOT NULL -> NULL"),
    column(
        "currency",
        v(type_=sa.String(3), server_default="USD"),
        v(type_=sa.String(3), server_default="EUR"),
        "default 'USD' -> 'EUR'",
    ),
    column("no_default", v(), v(server_default="7"), "default none -> ", "7"),
    column("a_default", v(server_default="7"), v(), "default ", "7", " -> none"),
    column(
        "moment",
        v(type_=sa.DateTime),
        v(type_=sa.DateTime, server_default=sa.func.current_timestamp()),
        "default none -> ",
    ),
    column("missing", NO, lambda: [*NO(), *v()()], "+ column"),
    column("extra", lambda: [*NO(), *v()()], NO, "- column"),
    column(
        "computed",
        lambda: [*NO(), sa.Column("v", sa.Integer, sa.Computed("a + 2", persisted=True))],
        lambda: [*NO(), sa.Column("v", sa.Integer, sa.Computed("a + 1", persisted=True))],
        "generated",
        "-> ",
    ),
    column(
        "sorted_c", text(20, collation="C"), text(20), 'collation "C" -> none', servers=POSTGRESQL
    ),
    column(
        "sorted_nocase",
        text(20, collation="NOCASE"),
        text(20),
        "collation NOCASE -> none",
        servers=SQLITE,
    ),
    column(
        "sorted_bin",
        text(20, collation="utf8mb4_bin"),
        text(20),
        "collation utf8mb4_bin -> ",
        servers=("mariadb", "mysql"),
    ),
    column("said", v(comment="old"), v(comment="new"), "comment 'old' -> 'new'", servers=SERVERS),
    column("json_b", v(type_=JSON), v(type_=JSONB), "json -> jsonb", servers=POSTGRESQL),
    column(
        "started",
        lambda: [sa.Column("v", sa.Integer, sa.Identity(start=10))],
        lambda: [sa.Column("v", sa.Integer, sa.Identity(start=1))],
        "identity",
        "START 10",
        servers=POSTGRESQL,
    ),
    column(
        "always",
        lambda: [sa.Column("v", sa.Integer, sa.Identity(always=True))],
        lambda: [sa.Column("v", sa.Integer, sa.Identity())],
        "identity GENERATED ALWAYS",
        servers=POSTGRESQL,
    ),
    Difference("no_check", NO, n(check("a > 0")), ("+ check ck on no_check",)),
    Difference("a_check", n(check("a > 0")), NO, ("- check ck on a_check",)),
    Difference(
        "other_check", n(check("a > 1")), n(check("a >= 0")), ("~ check ck on other_check", "> 1")
    ),
    Difference("nameless", NO, n(check("a <> 5", None)), ("+ check", "on nameless", "5")),
    Difference(
        "bound",
        lambda: v(type_=sa.Enum("a", "b", name="k", native_enum=False, create_constraint=True))(),
        lambda: v(type_=sa.Enum("a", "c", name="k", native_enum=False, create_constraint=True))(),
        ("~ check k on bound", "'b'", "'c'"),
    ),
    Difference("no_unique", NO, n(unique("a")), ("+ unique uq on no_unique: (a)",)),
    Difference("a_unique", n(unique("a")), NO, ("- unique uq on a_unique: (a)",)),
    Difference(
        "other_unique",
        n(unique("a", "b")),
        n(unique("b")),
        ("~ unique uq on other_unique: (a, b) -> (b)",),
    ),
    Difference("no_key", NO, n(key()), ("+ foreign key fk on no_key: (a) REFERENCES parents",)),
    Difference("a_key", n(key()), NO, ("- foreign key fk on a_key",)),
    Difference(
        "on_delete",
        n(key(ondelete="CASCADE")),
        n(key(ondelete="SET NULL")),
        ("~ foreign key fk on on_delete", "CASCADE -> ", "SET NULL"),
    ),
    Difference(
        "on_update",
        n(key()),
        n(key(onupdate="CASCADE")),
        ("~ foreign key fk on on_update", "CASCADE"),
    ),
    Difference(
        "deferred",
        n(key()),
        n(key(deferrable=True, initially="DEFERRED")),
        ("~ foreign key fk on deferred", "DEFERRABLE"),
        BOTH,
    ),
    Difference("no_index", NO, n(index("a")), ("+ index ix on no_index: (a)",)),
    Difference("an_index", n(index("a")), NO, ("- index ix on an_index: (a)",)),
    Difference(
        "other_index", n(index("a")), n(index("b")), ("~ index ix on other_index: (a) -> (b)",)
    ),
    Difference(
        "order", n(index("a", "b")), n(index("b", "a")), ("~ index ix on order: (a, b) -> (b, a)",)
    ),
    Difference(
        "made_unique",
        n(index("a")),
        n(index("a", unique=True)),
        ("on made_unique",),
        lines=1,
        servers=BOTH,
    ),
    Difference(
        "descending",
        n(index("a")),
        n(index(sa.text("a DESC"))),
        ("~ index ix on descending: (a) -> (a DESC)",),
        BOTH,
    ),
    Difference(
        "expression",
        n(index(sa.text("abs(a)"))),
        n(index(sa.text("abs(b)"))),
        ("~ index ix on expression", "abs(a)", "abs(b)"),
        BOTH,
    ),
    Difference(
        "partial",
        n(index("a", postgresql_where=sa.text("b > 1"), sqlite_where=sa.text("b > 1"))),
        n(index("a", postgresql_where=sa.text("b > 0"), sqlite_where=sa.text("b > 0"))),
        ("~ index ix on partial", "b > 1", "b > 0"),
        BOTH,
    ),
    Difference(
        "included",
        n(index("a")),
        n(index("a", postgresql_include=["b"])),
        ("~ index ix on included: (a) -> (a) INCLUDE (b)",),
        POSTGRESQL,
    ),
    Difference(
        "excluded",
        n(lambda: ExcludeConstraint(("a", "="), using="btree", name="ex")),
        n(lambda: ExcludeConstraint(("b", "="), using="btree", name="ex")),
        ("~ exclusion ex on excluded",),
        POSTGRESQL,
    ),
    Difference("another_name", n(unique("a", name="uq_b")), n(unique("a")), ("uq_b -> uq",)),
    Difference(
        "counted",
        lambda: [*NO(), sa.Column("c", sa.Integer, primary_key=True, autoincrement=False)],
        lambda: [*NO(), sa.Column("c", sa.Integer, primary_key=True)],
        ("~ column counted.c",),
        SERVERS,
    ),
    column(
        "label",
        v(type_=sa.Enum("new", "paid", name="state")),
        v(type_=sa.Enum("new", "paid", "overdue", name="state")),
        "overdue",
        servers=("mariadb", "mysql"),
    ),
    Difference(
        "labels",
        v(type_=sa.Enum("new", "paid", name="state")),
        v(type_=sa.Enum("new", "paid", "overdue", name="state")),
        ("~ enum state (labels.v)", "'overdue'"),
        POSTGRESQL,
    ),
    Difference(
        "composed",
        lambda: [*NO(), sa.PrimaryKeyConstraint("a", "b", name="pk")],
        lambda: [*NO(), sa.PrimaryKeyConstraint("b", "a", name="pk")],
        ("~ primary key", "on composed", "(a, b) -> (b, a)"),
    ),
]


def of(server: str) -> list[Difference]:
    """Return the differences that a server can have."""
    return [one for one in FOUND if server in one.servers]


def metadata(server: str, *, models: bool, schema: str | None = None) -> sa.MetaData:
    """Return the tables of all differences, as the models or the database have them."""
    found = sa.MetaData(schema=schema)
    sa.Table("parents", found, sa.Column("id", sa.Integer, primary_key=True))
    for one in of(server):
        parts = (one.models if models else one.there)()
        # A table needs a column that stays.
        sa.Table(one.name, found, sa.Column("stays", sa.Integer), *_named(server, one, parts))
    return found


def _named(
    server: str, one: Difference, parts: list[sa.schema.SchemaItem]
) -> Iterator[sa.schema.SchemaItem]:
    """Yield parts whose names are their tables' own, where a schema has each name once."""
    for part in parts:
        name = getattr(part, "name", None)
        if isinstance(part, sa.Index | sa.Constraint) and isinstance(name, str):
            part.name = own_name(server, one, name)
        yield part


def own_name(server: str, one: Difference, name: str) -> str:
    return f"{name}_{one.name}" if name in ("ix", "uq", "uq_b", "fk", "ck", "ex", "pk") else name


def says(server: str, one: Difference) -> list[str]:
    """Return what is to be said, with the names that the tables have."""
    found = []
    for part in one.says:
        for name in ("ix", "uq_b", "uq", "fk", "ck", "ex"):
            part = part.replace(f" {name} ", f" {name}_{one.name} ")
        if "->" in part and "uq_b" in part:
            part = f"uq_b_{one.name} -> uq_{one.name}"
        found.append(part)
    return found
