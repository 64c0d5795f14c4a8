"""One matrix: each verb, asked in each situation, on each server."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import NAMES, Database
from tests.helpers.vocabulary import (
    Act,
    assert_applied,
    assert_conflict,
    assert_missing_parent,
    assert_skipped,
    counted,
    follow,
    looks_of,
    outcome_of,
    prepare,
    revision,
    way_on,
)

ABSENT, SAME, OTHER, ORPHAN = "not there", "same there", "other there", "parent missing"
EXPECT: dict[str, Callable[[Act], Any]] = {
    "applied": assert_applied,
    "skipped": assert_skipped,
    "conflict": assert_conflict,
    "missing": assert_missing_parent,
}
CREATE = {ABSENT: "applied", SAME: "skipped", OTHER: "conflict", ORPHAN: "missing"}
DROP = {ABSENT: "skipped", SAME: "applied", OTHER: "applied", ORPHAN: "skipped"}
ALTER = {ABSENT: "missing", SAME: "skipped", OTHER: "applied", ORPHAN: "missing"}
# Here "not there" is: only the old name; "other": both names; "parent missing": neither.
RENAME = {ABSENT: "applied", SAME: "skipped", OTHER: "conflict", ORPHAN: "conflict"}


@dataclass
class Row:
    """A verb with one set of arguments, and the SQL that makes each situation."""

    verb: str
    act: Act
    expected: dict[str, str]
    situations: Mapping[str, Sequence[str]]
    names: Sequence[str]
    servers: Sequence[str] = NAMES
    label: str = ""
    elsewhere: dict[tuple[str, str], str] = field(default_factory=dict)
    looks: int = 2

    def __str__(self) -> str:
        return self.verb + (f" ({self.label})" if self.label else "")


def users() -> str:
    return "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(50))"


def bills(*more: str, key: str = "PRIMARY KEY (id)") -> str:
    columns = ["id INTEGER NOT NULL", "user_id INTEGER", "amount INTEGER NOT NULL", "due_on DATE"]
    return f"CREATE TABLE bills ({', '.join([*columns, *more, *([key] if key else [])])})"


def constraint(definition: str, other: str, key: str = "PRIMARY KEY (id)") -> dict[str, Any]:
    return {
        ABSENT: [users(), bills(key=key)],
        SAME: [users(), bills(definition, key=key)],
        OTHER: [users(), bills(other, key=key)],
        ORPHAN: [users()],
    }


TABLES = {
    ABSENT: [users()],
    SAME: [users(), bills("FOREIGN KEY (user_id) REFERENCES users (id)")],
    OTHER: [users(), "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, amount VARCHAR(5))"],
    ORPHAN: [],
}
COLUMN = constraint("paid BIGINT DEFAULT 0 NOT NULL", "paid VARCHAR(5)")
UNIQUE = constraint(
    "CONSTRAINT uq_bills UNIQUE (user_id, due_on)", "CONSTRAINT uq_bills UNIQUE (due_on)"
)
CHECK = constraint(
    "CONSTRAINT ck_bills CHECK (amount > 0)", "CONSTRAINT ck_bills CHECK (amount > 5)"
)
FOREIGN_KEY = constraint(
    "CONSTRAINT fk_bills FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE",
    "CONSTRAINT fk_bills FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL",
)
PRIMARY_KEY = constraint(
    "CONSTRAINT pk_bills PRIMARY KEY (id)", "CONSTRAINT pk_bills PRIMARY KEY (amount)", key=""
)
INDEX = {
    ABSENT: [bills()],
    SAME: [bills(), "CREATE INDEX ix_bills_due ON bills (due_on)"],
    OTHER: [bills(), "CREATE INDEX ix_bills_due ON bills (amount)"],
    ORPHAN: [],
}
VIEW = {
    ABSENT: [bills()],
    SAME: [bills(), "CREATE VIEW owed AS SELECT id, amount FROM bills"],
    OTHER: [bills(), "CREATE VIEW owed AS SELECT id FROM bills"],
}
ENUM = {
    ABSENT: [],
    SAME: ["CREATE TYPE status AS ENUM ('open', 'paid')"],
    OTHER: ["CREATE TYPE status AS ENUM ('open')"],
}

COMMENT = {
    ABSENT: [bills()],
    SAME: [bills(), "COMMENT it's due"],
    OTHER: [bills(), "COMMENT other"],
    ORPHAN: [],
}
ROW = "INSERT INTO bills (id, amount) VALUES (1, 500)"
ROW_OF = {ABSENT: [bills()], SAME: [bills(), ROW], OTHER: [bills(), ROW.replace("500", "7")]}
NO_ENUMS = ["sqlite", "mariadb"]
UNCHECKED = "ALTER TABLE bills ADD CONSTRAINT ck_bills CHECK (amount > 0) NOT VALID"


ROWS = [
    Row(
        "create_table",
        lambda: helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("user_id", sa.Integer()),
            sa.Column("amount", sa.Integer(), nullable=False),
            sa.Column("due_on", sa.Date()),
            sa.PrimaryKeyConstraint("id"),
            sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        ),
        CREATE,
        TABLES,
        ["bills"],
        elsewhere={(ORPHAN, "sqlite"): "applied"},  # a key may name a table that comes later
    ),
    Row("drop_table", lambda: helpers.drop_table("bills"), DROP, TABLES | {ORPHAN: []}, ["bills"]),
    Row(
        "rename_table",
        lambda: helpers.rename_table("bills", "invoices"),
        RENAME,
        {
            ABSENT: [bills()],
            SAME: [bills().replace("bills", "invoices")],
            OTHER: [bills(), bills().replace("bills", "invoices")],
            ORPHAN: [],
        },
        ["bills", "invoices"],
    ),
    Row(
        "add_column",
        lambda: helpers.add_column(
            "bills", sa.Column("paid", sa.BigInteger(), nullable=False, server_default="0")
        ),
        CREATE,
        COLUMN,
        ["bills", "paid"],
    ),
    Row(
        "drop_column",
        lambda: helpers.drop_column("bills", "paid"),
        DROP,
        COLUMN,
        ["bills", "paid"],
        looks=3,  # the views, which may not work without it
    ),
    Row(
        "alter_column",
        lambda: helpers.alter_column(
            "bills",
            "paid",
            type_=sa.BigInteger(),
            nullable=False,
            server_default="0",
            postgresql_using="paid::bigint",
        ),
        ALTER,
        COLUMN,
        ["bills", "paid"],
    ),
    Row(
        "alter_column",
        lambda: helpers.alter_column("bills", "amount", new_column_name="cents"),
        RENAME | {ORPHAN: "missing"},
        {
            ABSENT: [bills()],
            SAME: [bills().replace("amount", "cents")],
            OTHER: [bills("cents INTEGER")],
            ORPHAN: [],
        },
        ["bills", "amount"],
        label="rename",
        looks=3,  # the views, which may not work without it
    ),
    Row(
        "create_index",
        lambda: helpers.create_index("ix_bills_due", "bills", ["due_on"]),
        CREATE,
        INDEX,
        ["bills", "ix_bills_due"],
    ),
    Row(
        "drop_index",
        lambda: helpers.drop_index("ix_bills_due", "bills"),
        DROP,
        INDEX,
        ["bills", "ix_bills_due"],
    ),
    Row(
        "create_unique_constraint",
        lambda: helpers.create_unique_constraint("uq_bills", "bills", ["user_id", "due_on"]),
        CREATE,
        UNIQUE,
        ["bills", "uq_bills"],
    ),
    Row(
        "create_check_constraint",
        lambda: helpers.create_check_constraint("ck_bills", "bills", "amount > 0"),
        CREATE,
        CHECK,
        ["bills", "ck_bills"],
    ),
    Row(
        "create_foreign_key",
        lambda: helpers.create_foreign_key(
            "fk_bills", "bills", "users", ["user_id"], ["id"], ondelete="CASCADE"
        ),
        CREATE,
        FOREIGN_KEY,
        ["bills", "fk_bills"],
    ),
    Row(
        "create_foreign_key",
        lambda: helpers.create_foreign_key("fk_bills", "bills", "users", ["user_id"], ["id"]),
        {ORPHAN: "missing"},
        {ORPHAN: [bills()]},
        ["bills", "fk_bills", "users"],
        label="no referent",
    ),
    Row(
        "create_primary_key",
        lambda: helpers.create_primary_key("pk_bills", "bills", ["id"]),
        CREATE,
        PRIMARY_KEY,
        ["bills", "pk_bills"],
    ),
    *(
        Row(
            "drop_constraint",
            partial(helpers.drop_constraint, name, "bills", type_=type_),
            DROP,
            situations,
            ["bills", name],
            label=f"{kind}{', typed' if type_ else ''}",
            looks=6,  # for what else may be meant, where none has its name
        )
        for kind, name, situations in [
            ("unique", "uq_bills", UNIQUE),
            ("check", "ck_bills", CHECK),
            ("foreignkey", "fk_bills", FOREIGN_KEY),
        ]
        for type_ in (None, kind)
    ),
    Row(
        "drop_constraint",
        lambda: helpers.drop_constraint("pk_bills", "bills", type_="primary"),
        DROP,
        PRIMARY_KEY,
        ["bills", "pk_bills"],
        label="primary, typed",
        looks=6,
    ),
    Row(
        "create_view",
        lambda: helpers.create_view("owed", "SELECT id, amount FROM bills"),
        CREATE,
        VIEW,
        ["owed"],
        # whose text cannot be compared: by name
        elsewhere={(OTHER, "mariadb"): "skipped", (OTHER, "mysql"): "skipped"},
    ),
    Row("drop_view", lambda: helpers.drop_view("owed"), DROP, VIEW, ["owed"]),
    Row(
        "create_enum",
        lambda: helpers.create_enum("status", ["open", "paid"]),
        CREATE,
        ENUM,
        ["status"],
        servers=["postgresql"],
    ),
    Row(
        "drop_enum",
        lambda: helpers.drop_enum("status"),
        DROP,
        ENUM,
        ["status"],
        servers=["postgresql"],
    ),
    Row(
        "create_enum",
        lambda: helpers.create_enum("status", ["open", "paid"]),
        {ABSENT: "skipped"},
        {ABSENT: []},
        ["status"],
        servers=["sqlite", "mariadb"],
        label="no enums",
    ),
    Row(
        "drop_enum",
        lambda: helpers.drop_enum("status"),
        {ABSENT: "skipped"},
        {ABSENT: []},
        ["status"],
        servers=["sqlite", "mariadb"],
        label="no enums",
    ),
    Row(
        "replace_view",
        lambda: helpers.replace_view("owed", "SELECT id, amount FROM bills"),
        {ABSENT: "applied", SAME: "skipped", OTHER: "applied"},
        VIEW,
        ["owed"],
        looks=4,  # whether there are views, and their texts: they may use it
    ),
    Row(
        "add_enum_value",
        lambda: helpers.add_enum_value("status", "paid", after="open"),
        CREATE,
        {
            ABSENT: ["CREATE TYPE status AS ENUM ('open', 'late')"],
            SAME: ["CREATE TYPE status AS ENUM ('open', 'late', 'paid')"],
            OTHER: ["CREATE TYPE status AS ENUM ('paid', 'open')"],
            ORPHAN: [],
        },
        ["status"],
        servers=["postgresql"],
    ),
    Row(
        "rename_enum_value",
        lambda: helpers.rename_enum_value("status", "open", "due"),
        RENAME | {ORPHAN: "missing"},
        {
            ABSENT: ["CREATE TYPE status AS ENUM ('open')"],
            SAME: ["CREATE TYPE status AS ENUM ('due')"],
            OTHER: ["CREATE TYPE status AS ENUM ('open', 'due')"],
            ORPHAN: [],
        },
        ["status"],
        servers=["postgresql"],
    ),
    *(
        Row(verb, act, {ABSENT: "skipped"}, {ABSENT: []}, ["status"], NO_ENUMS, label="no enums")
        for verb, act in [
            ("add_enum_value", lambda: helpers.add_enum_value("status", "paid")),
            ("rename_enum_value", lambda: helpers.rename_enum_value("status", "a", "b")),
        ]
    ),
    Row(
        "validate_constraint",
        lambda: helpers.validate_constraint("ck_bills", "bills"),
        {ABSENT: "missing", SAME: "skipped", OTHER: "applied", ORPHAN: "missing"},
        CHECK | {OTHER: [*CHECK[ABSENT], UNCHECKED]},
        ["bills", "ck_bills"],
        servers=["postgresql"],
    ),
    Row(
        "validate_constraint",
        lambda: helpers.validate_constraint("ck_bills", "bills"),
        {SAME: "skipped"},
        {SAME: CHECK[SAME]},
        ["bills", "ck_bills"],
        servers=NO_ENUMS,
        label="always valid",
    ),
    Row(
        "create_exclude_constraint",
        lambda: helpers.create_exclude_constraint(
            "ex_bills", "bills", ("amount", "="), using="btree"
        ),
        CREATE,
        constraint(
            "CONSTRAINT ex_bills EXCLUDE USING btree (amount WITH =)",
            "CONSTRAINT ex_bills EXCLUDE USING btree (user_id WITH =)",
        ),
        ["bills", "ex_bills"],
        servers=["postgresql"],
    ),
    Row(
        "create_table_comment",
        lambda: helpers.create_table_comment("bills", "it's due"),
        {ABSENT: "applied", SAME: "skipped", OTHER: "applied", ORPHAN: "missing"},
        COMMENT,
        ["bills"],
        servers=["postgresql", "mariadb"],
    ),
    Row(
        "drop_table_comment",
        lambda: helpers.drop_table_comment("bills"),
        {ABSENT: "skipped", SAME: "applied", ORPHAN: "skipped"},
        {situation: COMMENT[situation] for situation in (ABSENT, SAME, ORPHAN)},
        ["bills"],
        servers=["postgresql", "mariadb"],
    ),
    *(
        Row(
            verb,
            act,
            {ABSENT: "skipped"},
            {ABSENT: [bills()]},
            ["bills"],
            ["sqlite"],
            "no comments",
        )
        for verb, act in [
            ("create_table_comment", lambda: helpers.create_table_comment("bills", "it's due")),
            ("drop_table_comment", lambda: helpers.drop_table_comment("bills")),
        ]
    ),
    Row(
        "bulk_insert",
        lambda: helpers.bulk_insert(
            sa.table("bills", sa.column("id", sa.Integer()), sa.column("amount", sa.Integer())),
            [{"id": 1, "amount": 500}],
            key=["id"],
        ),
        {ABSENT: "applied", SAME: "skipped", OTHER: "skipped", ORPHAN: "missing"},
        ROW_OF | {ORPHAN: []},
        ["bills"],
        label="key",
    ),
    Row(
        "execute",
        lambda: helpers.execute(
            "UPDATE bills SET amount = 500", unless="SELECT 1 FROM bills WHERE amount = 500"
        ),
        {SAME: "skipped", OTHER: "applied"},
        {SAME: ROW_OF[SAME], OTHER: ROW_OF[OTHER]},
        ["bills"],
        label="unless",
    ),
    Row(
        "execute",
        lambda: helpers.execute(
            "UPDATE bills SET amount = 500", if_exists=sa.table("bills", sa.column("amount"))
        ),
        {ORPHAN: "skipped"},
        {ORPHAN: []},
        ["bills"],
        label="if_exists",
    ),
    Row(
        "execute",
        lambda: helpers.execute("UPDATE bills SET amount = amount * 100", once="cents"),
        {OTHER: "applied"},
        {OTHER: ROW_OF[OTHER]},
        ["bills"],
        label="once",
    ),
    Row(
        "backfill",
        lambda: helpers.backfill("bills", {"amount": 500}, where="amount <> 500"),
        {SAME: "skipped", OTHER: "applied", ORPHAN: "missing"},
        {SAME: ROW_OF[SAME], OTHER: ROW_OF[OTHER], ORPHAN: []},
        ["bills"],
    ),
]


# In steps, each of which looks for itself.
CONCURRENTLY: dict[str, Any] = {"servers": ["postgresql"], "label": "concurrently", "looks": 20}
ROWS += [
    Row(
        "create_foreign_key",
        lambda: helpers.create_foreign_key(
            "fk_bills",
            "bills",
            "users",
            ["user_id"],
            ["id"],
            ondelete="CASCADE",
            postgresql_concurrently=True,
        ),
        CREATE,
        FOREIGN_KEY,
        ["bills", "fk_bills"],
        **CONCURRENTLY,
    ),
    Row(
        "create_check_constraint",
        lambda: helpers.create_check_constraint(
            "ck_bills", "bills", "amount > 0", postgresql_concurrently=True
        ),
        CREATE,
        CHECK,
        ["bills", "ck_bills"],
        **CONCURRENTLY,
    ),
    Row(
        "create_unique_constraint",
        lambda: helpers.create_unique_constraint(
            "uq_bills", "bills", ["user_id", "due_on"], postgresql_concurrently=True
        ),
        CREATE,
        UNIQUE,
        ["bills", "uq_bills"],
        **CONCURRENTLY,
    ),
    Row(
        "alter_column",
        lambda: helpers.alter_column("bills", "paid", nullable=False, postgresql_concurrently=True),
        ALTER,
        constraint("paid BIGINT NOT NULL", "paid BIGINT"),
        ["bills", "paid"],
        **CONCURRENTLY,
    ),
]


def cells(*outcomes: str) -> pytest.MarkDecorator:
    """Return the cells of the matrix in which one of these outcomes is expected."""
    found = []
    for row in ROWS:
        for situation, statements in row.situations.items():
            for server in row.servers:
                expected = row.elsewhere.get((situation, server), row.expected[situation])
                if expected in (outcomes or EXPECT):
                    name = f"{row}-{situation}-{server}"
                    found.append(pytest.param((server, statements), row, expected, id=name))
    return pytest.mark.parametrize(("prepared", "row", "expected"), found, indirect=["prepared"])


@pytest.fixture
def prepared(request: pytest.FixtureRequest, new_database: Callable[[str], Database]) -> Database:
    """Give the test a database in the situation of its cell."""
    server, statements = request.param
    database = new_database(server)
    prepare(database, *spelled(statements, server))
    return database


def spelled(statements: Sequence[str], server: str) -> list[str]:
    """Spell the comments of tables as the server wants them."""
    comment = {
        "mariadb": "ALTER TABLE bills COMMENT {}",
        "postgresql": "COMMENT ON TABLE bills IS {}",
    }
    return [
        comment[server].format("'" + text.removeprefix("COMMENT ").replace("'", "''") + "'")
        if text.startswith("COMMENT ")
        else text
        for text in statements
    ]


@cells()
def test_verb_does_what_the_table_says_when_asked(
    prepared: Database, row: Row, expected: str
) -> None:
    with revision(prepared):
        outcome = EXPECT[expected](row.act)
        lines = getattr(outcome, "lines", [])
        assert all(row.verb in line for line in lines if line.startswith("skip")), lines


@cells("applied", "skipped")
def test_verb_skips_when_run_again(prepared: Database, row: Row, expected: str) -> None:
    with revision(prepared):
        row.act()
        assert_skipped(row.act)
    with revision(prepared):
        outcome = assert_skipped(row.act)
        assert all(row.verb in line for line in outcome.lines), outcome


@pytest.mark.parametrize(
    ("prepared", "row", "situation"),
    [
        pytest.param(
            (server, row.situations[situation]), row, situation, id=f"{row}-{situation}-{server}"
        )
        for row in ROWS
        for situation in (ABSENT, ORPHAN)
        if situation in row.situations
        for server in row.servers
    ],
    indirect=["prepared"],
)
def test_verb_looks_at_most_twice_when_the_thing_is_absent(
    prepared: Database, row: Row, situation: str
) -> None:
    with revision(prepared), counted(prepared.engine) as statements:
        try:
            row.act()
        except CommandError:
            return  # which may look for more, to say what is near
    looks = looks_of(prepared.name, statements)
    # on MySQL, also for the checks and indexes that follow a new name
    assert len(looks) <= row.looks + (prepared.name == "mysql"), looks


@cells("conflict", "missing")
def test_message_has_four_parts_when_verb_refuses(
    prepared: Database, row: Row, expected: str
) -> None:
    with revision(prepared):
        message = str(outcome_of(row.act).error)
    asked, has, wants, why, title, *code = message.splitlines()
    assert row.verb in asked
    assert [name for name in row.names if name not in asked] == []
    assert re.match(r"  database has:    \S", has)
    assert re.match(r"  revision wants:  \S", wants)
    assert has.split(":", 1)[1] != wants.split(":", 1)[1]
    assert re.fullmatch(r"Stopped.*\.", why)
    assert title == "What to do next:"
    assert code
    assert [line for line in code if not re.match(r"    +\S", line)] == []


@cells("conflict")
def test_way_on_works_when_pasted(prepared: Database, row: Row, expected: str) -> None:
    with revision(prepared):
        message = str(outcome_of(row.act).error)
        if "neither" in message:
            return  # nobody can say where a table that is nowhere should come from
        follow(message)
        outcome = outcome_of(row.act)
        assert outcome.error is None, outcome


@cells("missing")
def test_way_on_names_what_is_missing_when_parent_is(
    prepared: Database, row: Row, expected: str
) -> None:
    with revision(prepared):
        code = "\n".join(way_on(str(outcome_of(row.act).error)))
    assert any(name in code for name in [*row.names, "users"]), code


PASSED_ON = {  # or a verb with tests of its own
    "batch_alter_table",
    "execute_file",
    "f",
    "get_bind",
    "get_context",
    "implementation_for",
    "inline_literal",
    "invoke",
    "irreversible",
    "register_operation",
    "run_async",
}


def test_every_verb_has_a_row() -> None:
    verbs = {
        name
        for name in helpers.__all__
        if inspect.isfunction(function := getattr(helpers, name))
        and name not in PASSED_ON
        and inspect.signature(function).return_annotation not in (bool, "bool")  # a question
    }
    assert verbs - {row.verb for row in ROWS} == set()


def test_every_public_name_is_there() -> None:
    assert [name for name in helpers.__all__ if not hasattr(helpers, name)] == []
    assert list(helpers.__all__) == sorted(helpers.__all__)


@pytest.mark.parametrize("counts", [True, False])
def test_alter_column_skips_when_the_column_counts_up_as_asked(
    database: Database, counts: bool
) -> None:
    own = " AUTO_INCREMENT" if counts and database.kin == "mariadb" else ""
    prepare(database, f"CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY{own}, n INTEGER)")
    with revision(database):
        assert_skipped(
            lambda: helpers.alter_column(
                "bills", "id", existing_type=sa.Integer(), autoincrement=counts
            )
        )
    if database.kin == "mariadb":
        with revision(database):
            assert_applied(
                lambda: helpers.alter_column(
                    "bills", "id", existing_type=sa.Integer(), autoincrement=not counts
                )
            )


def test_drop_constraint_skips_when_the_name_is_of_another_type(database: Database) -> None:
    prepare(database, *CHECK[SAME])
    with revision(database):
        assert_skipped(lambda: helpers.drop_constraint("ck_bills", "bills", type_="unique"))
        assert_skipped(lambda: helpers.drop_constraint("ck_bills", "bills", type_="foreignkey"))


def test_create_table_way_on_works_when_its_constraints_have_names(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER NOT NULL, amount VARCHAR(5),"
        " CONSTRAINT pk_bills PRIMARY KEY (id), CONSTRAINT uq_bills UNIQUE (amount))",
        "CREATE INDEX ix_bills_amount ON bills (amount)",
    )

    def act() -> None:
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("amount", sa.Integer(), nullable=False, index=True),
            sa.PrimaryKeyConstraint("id", name="pk_bills"),
            sa.UniqueConstraint("amount", name="uq_bills"),
        )

    with revision(database, target_metadata=None):
        follow(assert_conflict(act))
        assert outcome_of(act).error is None
        assert_skipped(act)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    "there", ["'paid', 'open'", "'open', 'late', 'paid'", "'late', 'open', 'paid'", "'paid'"]
)
def test_create_enum_way_on_is_never_empty_when_values_differ(
    database: Database, there: str
) -> None:
    prepare(database, f"CREATE TYPE status AS ENUM ({there})")
    with revision(database):
        message = assert_conflict(lambda: helpers.create_enum("status", ["open", "paid"]))
        assert all(way_on(message))
        assert "status" in "\n".join(way_on(message))


def test_way_on_works_when_the_table_is_in_another_schema(
    database: Database, other_schema: str
) -> None:
    def act() -> None:
        helpers.add_column("bills", sa.Column("paid", sa.Integer()), schema=other_schema)

    with revision(database):
        helpers.create_table("bills", sa.Column("paid", sa.String(5)), schema=other_schema)
        helpers.create_table("bills", sa.Column("paid", sa.String(7)))
        follow(assert_conflict(act))
        assert_skipped(act)
