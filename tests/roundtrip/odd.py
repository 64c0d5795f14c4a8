# ruff: noqa: E501 – a statement of a revision stays in one line
"""Histories that look odd, and are right: nothing may be said of them."""

from __future__ import annotations

from alembic_toolkit.prove import results
from tests.roundtrip.faults import (
    ADD_NOTE,
    ALL,
    BATCH_BILLS,
    BATCH_USERS,
    DROP_NOTE,
    FIRST_DOWN,
    FIRST_UP,
    FOO,
    LONG,
    MARIADB,
    NO_FOO,
    POSTGRESQL,
    SERVERS,
    SQLITE,
    VIEWS,
    Case,
    named,
    others,
    revision,
    things,
    triggered,
)

EVERYTHING = (results.RERUN, results.CRASH, results.OFFLINE)


def odd(
    name: str,
    up: str = "pass",
    down: str = "pass",
    on: tuple[str, ...] = ALL,
    **more: object,
) -> Case:
    """Return a history of which nothing may be said."""
    return Case(name, up, down, on=on, **more)  # type: ignore[arg-type]


DICTIONARY = """\
import json
class Dictionary(sa.types.TypeDecorator):
    impl = sa.String(200)
    cache_ok = True

    def process_result_value(self, value, dialect):
        return json.loads(value)

"""

TABLES = [
    odd(
        "an action that is the default, said",
        'op.drop_constraint("fk", "bills", type_="foreignkey")',
        'op.create_foreign_key("fk", "bills", "users", ["payer"], ["id"], ondelete="NO ACTION")',
        SERVERS,
        first=(
            FIRST_UP + 'op.create_foreign_key("fk", "bills", "users", ["payer"], ["id"])',
            FIRST_DOWN,
        ),
    ),
    odd(
        "unnamed constraints",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("n", sa.Integer, sa.CheckConstraint("n > -9"), unique=True),\n'
        '    sa.Column("o", sa.Integer, sa.ForeignKey("owners.id")), sa.UniqueConstraint("n", "o"))\n',
        'op.drop_table("a")',
    ),
    odd(
        "another order of columns",
        BATCH_BILLS + 'batch.alter_column("payer", new_column_name="by", existing_type=sa.Integer)',
        BATCH_BILLS + 'batch.alter_column("by", new_column_name="payer", existing_type=sa.Integer)',
    ),
    odd(
        "a column that is last afterwards",
        'op.add_column("users", sa.Column("kept", sa.String(80)))\n'
        'op.execute("UPDATE users SET kept = email")\n'
        + BATCH_USERS
        + 'batch.drop_column("email")',
        'op.add_column("users", sa.Column("email", sa.String(80)))\n'
        'op.execute("UPDATE users SET email = kept")\n' + BATCH_USERS + 'batch.drop_column("kept")',
    ),
    odd(
        "defaults spelled another way",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("b", sa.Boolean, server_default=sa.false()),\n'
        '    sa.Column("n", sa.Integer, server_default="0"),\n'
        '    sa.Column("t", sa.DateTime, server_default=sa.func.now()))\n'
        'with op.batch_alter_table("a") as batch:\n'
        '    batch.alter_column("n", existing_type=sa.Integer, server_default=sa.text("0"))',
        'op.drop_table("a")',
    ),
    odd(
        "a default taken away, and given back otherwise",
        BATCH_BILLS + 'batch.alter_column("title", existing_type=sa.String(40),\n'
        "        existing_nullable=False, server_default=None)",
        BATCH_BILLS + 'batch.alter_column("title", existing_type=sa.String(40),\n'
        "        existing_nullable=False, server_default=sa.text(\"'bill'\"))",
    ),
    odd(
        "IF EXISTS",
        ADD_NOTE + 'op.execute("DROP TABLE IF EXISTS nowhere")',
        'op.execute("DROP VIEW IF EXISTS nowhere")\n' + DROP_NOTE,
    ),
    odd(
        "a table without a key",
        'op.create_table("a", sa.Column("n", sa.Integer), sa.Column("s", sa.String(9)))',
        'op.drop_table("a")',
    ),
    odd(
        "a table without a key, altered",
        'with op.batch_alter_table("a") as batch:\n    batch.add_column(sa.Column("k", sa.Integer))',
        'with op.batch_alter_table("a") as batch:\n    batch.drop_column("k")',
        first=(
            'op.create_table("a", sa.Column("n", sa.Integer), sa.Column("s", sa.String(9)))',
            'op.drop_table("a")',
        ),
    ),
    odd(
        "composite, self-referring and circular keys",
        'op.create_table("a", sa.Column("x", sa.Integer, primary_key=True, autoincrement=False),\n'
        '    sa.Column("y", sa.String(9), primary_key=True), sa.Column("b_id", sa.Integer))\n'
        'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("parent", sa.Integer, sa.ForeignKey("b.id", name="fk_b_b")),\n'
        '    sa.Column("x", sa.Integer), sa.Column("y", sa.String(9)),\n'
        '    sa.ForeignKeyConstraint(["x", "y"], ["a.x", "a.y"], "fk_b_a"))\n'
        'with op.batch_alter_table("a") as batch:\n'
        '    batch.create_foreign_key("fk_a_b", "b", ["b_id"], ["id"])',
        'with op.batch_alter_table("a") as batch:\n'
        '    batch.drop_constraint("fk_a_b", type_="foreignkey")\n'
        'op.drop_table("b")\nop.drop_table("a")',
        SERVERS,  # with foreign keys on, SQLite cannot rebuild a table that others refer to
    ),
    odd(
        "types that read only what they wrote",
        ADD_NOTE.replace("users", "sheets")
        + 'op.rename_table("sheets", "pages")\n'
        + 'op.alter_column("pages", "sheet", new_column_name="id", existing_type=sa.CHAR(32), existing_nullable=False)\n'
        + "found = op.get_bind().execute(sa.select(PAGES)).all()\n"
        + "assert all(row.id.version and row.more.keys() for row in found)",
        'op.alter_column("pages", "id", new_column_name="sheet", existing_type=sa.CHAR(32), existing_nullable=False)\n'
        'op.rename_table("pages", "sheets")\n' + DROP_NOTE.replace("users", "sheets"),
        head=DICTIONARY
        + "ID = sa.Uuid(native_uuid=False)\n"
        + 'PAGES = sa.table("pages", sa.column("id", ID), sa.column("more", Dictionary))\n',
        first=(
            DICTIONARY
            + 'op.create_table("sheets", sa.Column("more", Dictionary, nullable=False),\n'
            + '    sa.Column("sheet", sa.Uuid(native_uuid=False), primary_key=True))',
            'op.drop_table("sheets")',
        ),
    ),
    odd(
        "three hundred columns",
        'op.create_table("wide", sa.Column("id", sa.Integer, primary_key=True),\n    *[sa.Column(f"c{n}", sa.Integer) for n in range(300)])',
        'op.drop_table("wide")',
    ),
    odd(
        "names that need quotes",
        'op.create_table("Order \'x\' %s", sa.Column("Primary Key", sa.Integer, primary_key=True),\n'
        '    sa.Column("select", sa.String(9)), sa.Column("a.b", sa.Integer),\n'
        '    sa.Column("Größe", sa.Integer))\n'
        'op.create_index("IX user; --", "Order \'x\' %s", ["select"])',
        'op.drop_index("IX user; --", "Order \'x\' %s")\nop.drop_table("Order \'x\' %s")',
    ),
    odd(
        "JSON, bytes, times and a UUID",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("j", sa.JSON), sa.Column("b", sa.LargeBinary), sa.Column("i", sa.Time),\n'
        '    sa.Column("u", sa.Uuid), sa.Column("f", sa.Float), sa.Column("k", sa.Boolean))',
        'op.drop_table("a")',
    ),
    odd(
        "JSON and arrays altered beside",
        'op.add_column("a", sa.Column("k", sa.Integer))',
        'op.drop_column("a", "k")',
        (POSTGRESQL,),
        first=(
            'op.execute("CREATE TABLE a (id serial PRIMARY KEY, j jsonb, t text[], n numeric[], b bytea)")',
            'op.drop_table("a")',
        ),
    ),
    odd(
        "a generated column",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer),\n'
        '    sa.Column("d", sa.Integer, sa.Computed("n + 1", persisted=True)))',
        'op.drop_table("a")',
    ),
    odd(
        "an identity column",
        'op.create_table("a", sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True))',
        'op.drop_table("a")',
        (POSTGRESQL,),
    ),
    odd(
        "a second schema",
        'op.execute("CREATE SCHEMA archive")\nop.create_table("a", sa.Column("id", sa.Integer, primary_key=True), schema="archive")',
        'op.drop_table("a", schema="archive")\nop.execute("DROP SCHEMA archive")',
        (POSTGRESQL,),
    ),
    odd(
        "a name taken away and given back",
        'op.rename_table("users", "people")',
        'op.rename_table("people", "users")',
    ),
    odd(
        "a rename with its index",
        'op.execute("ALTER INDEX ix_bills_due RENAME TO ix_due")',
        'op.execute("ALTER INDEX ix_due RENAME TO ix_bills_due")',
        (POSTGRESQL,),
    ),
    odd(
        "an enum made by its table, and dropped",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("kind", sa.Enum("x", "y", name="kind")))',
        'op.drop_table("a")\nsa.Enum(name="kind").drop(op.get_bind(), checkfirst=True)',
    ),
    odd(
        "an index built while others work",
        "with op.get_context().autocommit_block():\n"
        '    op.create_index("ix_n", "users", ["name"], postgresql_concurrently=True)',
        "with op.get_context().autocommit_block():\n"
        '    op.drop_index("ix_n", "users", postgresql_concurrently=True)',
    ),
    odd(
        "a view replaced, and put back",
        'op.execute("DROP VIEW v")\nop.execute("CREATE VIEW v AS SELECT id, name, email FROM users")',
        'op.execute("DROP VIEW v")\nop.execute("CREATE VIEW v AS SELECT id, name FROM users")',
        first=(
            FIRST_UP + 'op.execute("CREATE VIEW v AS SELECT id, name FROM users")',
            'op.execute("DROP VIEW v")\n' + FIRST_DOWN,
        ),
    ),
    odd(
        "a view in the way",
        'op.execute("DROP VIEW v")\n'
        + BATCH_USERS
        + 'batch.alter_column("name", type_=sa.String(60),\n'
        "        existing_type=sa.String(40), existing_nullable=False)\n"
        'op.execute("CREATE VIEW v AS SELECT name FROM users")',
        'op.execute("DROP VIEW v")\n'
        + BATCH_USERS
        + 'batch.alter_column("name", type_=sa.String(40),\n'
        "        existing_type=sa.String(60), existing_nullable=False)\n"
        'op.execute("CREATE VIEW v AS SELECT name FROM users")',
        first=(
            FIRST_UP + 'op.execute("CREATE VIEW v AS SELECT name FROM users")',
            'op.execute("DROP VIEW v")\n' + FIRST_DOWN,
        ),
    ),
    odd(
        "a trigger kept",
        ADD_NOTE,
        DROP_NOTE,
        (SQLITE,),
        first=(
            FIRST_UP + 'op.execute("CREATE TRIGGER tr AFTER INSERT ON users BEGIN SELECT 1; END")',
            FIRST_DOWN,
        ),
    ),
    odd(
        "a batch of all sorts",
        BATCH_BILLS
        + 'batch.add_column(sa.Column("note", sa.String(9), server_default="x", nullable=False))\n'
        '    batch.alter_column("amount", type_=sa.Numeric(14, 2), existing_type=sa.Numeric(12, 2))\n'
        '    batch.create_check_constraint("ck_note", sa.text("note <> \'y\'"))\n'
        '    batch.create_index("ix_note", ["note"])',
        BATCH_BILLS
        + 'batch.drop_index("ix_note")\n    batch.drop_constraint("ck_note", type_="check")\n'
        '    batch.alter_column("amount", type_=sa.Numeric(12, 2), existing_type=sa.Numeric(14, 2))\n'
        '    batch.drop_column("note")',
    ),
]

WORDS = [
    *[
        odd(
            f"a name that is cut: {what}",
            f'op.execute("CREATE {what}")',
            f'op.execute("DROP {gone}")',
            (POSTGRESQL,),
            files={"0003.py": revision("0003", "0002", *things("0003", "later"))},
        )
        for what, gone in (
            (f"INDEX {LONG} ON users (name)", f"INDEX {LONG}"),
            (f"TABLE {LONG} (id integer PRIMARY KEY)", f"TABLE {LONG}"),
            (f"VIEW {LONG} AS SELECT 1 AS n", f"VIEW {LONG}"),
            (f"SEQUENCE {LONG}", f"SEQUENCE {LONG}"),
            (f"TYPE {LONG} AS ENUM ('a')", f"TYPE {LONG}"),
            (
                f"FUNCTION {LONG}() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
                f"FUNCTION {LONG}()",
            ),
        )
    ],
    odd(
        "a column with a name that is cut",
        f'op.execute("ALTER TABLE users ADD COLUMN {LONG} integer")',
        f'op.execute("ALTER TABLE users DROP COLUMN {LONG}")',
        (POSTGRESQL,),
    ),
    odd(
        "rows of a table with a name that is cut",
        f'op.execute("ALTER TABLE {LONG} ADD COLUMN m integer")\nop.execute("UPDATE {LONG} SET n = 5")',
        f'op.execute("ALTER TABLE {LONG} DROP COLUMN m")',
        (POSTGRESQL,),
        head='irreversible = "what n was"',
        first=named(LONG, "id integer PRIMARY KEY", "n integer"),
    ),
    *[
        odd(
            f"a table called {word}",
            f'op.execute("ALTER TABLE {word} ADD COLUMN note integer")',
            f'op.execute("ALTER TABLE {word} DROP COLUMN note")',
            (POSTGRESQL,),
            first=named(word, "id integer PRIMARY KEY", "n integer"),
        )
        for word in ("trigger", "function", "type", "owned", "cascade", "comment", "rename")
    ],
]

DATA = [
    odd(
        "temporary tables left to the end of the session",
        'op.execute("CREATE TEMPORARY TABLE kept AS SELECT id FROM users")\nop.execute("UPDATE users SET email = \'x\' WHERE email IS NULL AND id IN (SELECT id FROM kept)")',
        'op.execute("CREATE TEMPORARY TABLE kept AS SELECT id FROM users")',
        asked=(results.RERUN, results.CRASH),
    ),
    odd(
        "a partition let go, and taken back",
        'op.execute("ALTER TABLE t DETACH PARTITION others")',
        'op.execute("ALTER TABLE t ATTACH PARTITION others DEFAULT")',
        (POSTGRESQL,),
        first=(
            'op.execute("CREATE TABLE t (id integer PRIMARY KEY) PARTITION BY RANGE (id)")\nop.execute("CREATE TABLE others PARTITION OF t DEFAULT")',
            'op.drop_table("t")',
        ),
    ),
    odd(
        "numbers multiplied, and divided",
        'op.execute("UPDATE bills SET payer = payer * 2")',
        'op.execute("UPDATE bills SET payer = payer / 2")',
    ),
    odd(
        "a prefix set, and taken away",
        "op.execute(\"UPDATE users SET email = 'm:' || email WHERE length(email) < 70\")",
        "op.execute(\"UPDATE users SET email = substr(email, 3) WHERE email LIKE 'm:%' AND length(email) < 72\")",
        (SQLITE,),
    ),
    odd(
        "seed rows, taken back",
        "op.bulk_insert(sa.table('users', sa.column('name', sa.String)), [{'name': 'admin'}, {'name': 'guest'}])",
        "op.execute(\"DELETE FROM users WHERE name IN ('admin', 'guest')\")",
    ),
    odd(
        "seed rows in a new table",
        'kinds = op.create_table("kinds", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)))\nop.bulk_insert(kinds, [{"name": "rent"}, {"name": "rent"}])',
        'op.drop_table("kinds")',
    ),
    odd(
        "seed rows only where they are missing",
        "op.execute(\"INSERT INTO users (name) SELECT 'admin' FROM (SELECT 1 AS n) AS one WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = 'admin')\")",
        "pass",
        asked=(results.RERUN,),
        head='irreversible = "somebody may use it by then"',
    ),
    odd(
        "values turned round, and a row inserted and taken back",
        'op.execute("UPDATE flags SET is_on = NOT is_on")\nop.execute("INSERT INTO flags (id) VALUES (90000)")',
        'op.execute("DELETE FROM flags WHERE id = 90000")\nop.execute("UPDATE flags SET is_on = NOT is_on")',
        first=(
            'op.create_table("flags", sa.Column("id", sa.Integer, primary_key=True), sa.Column("is_on", sa.Boolean))',
            'op.drop_table("flags")',
        ),
    ),
    odd(
        "NULLs filled for ever",
        "op.execute(\"UPDATE users SET email = 'none' WHERE email IS NULL\")\n"
        + BATCH_USERS
        + 'batch.alter_column("email", existing_type=sa.String(80), nullable=False)',
        BATCH_USERS + 'batch.alter_column("email", existing_type=sa.String(80), nullable=True)',
    ),
    odd(
        "a type that holds more",
        BATCH_BILLS + 'batch.alter_column("payer", type_=sa.BigInteger, existing_type=sa.Integer)',
        BATCH_BILLS + 'batch.alter_column("payer", type_=sa.Integer, existing_type=sa.BigInteger)',
    ),
    odd(
        "a table split, and put together",
        'op.create_table("mails", sa.Column("user_id", sa.Integer, primary_key=True, autoincrement=False), sa.Column("email", sa.String(80)))\nop.execute("INSERT INTO mails SELECT id, email FROM users")\n'
        + BATCH_USERS
        + 'batch.drop_column("email")',
        'op.add_column("users", sa.Column("email", sa.String(80)))\nop.execute("UPDATE users SET email = (SELECT email FROM mails WHERE user_id = users.id)")\nop.drop_table("mails")',
    ),
    odd(
        "through a Session",
        "from sqlalchemy.orm import Session\nwith Session(op.get_bind()) as session:\n    session.execute(sa.text(\"INSERT INTO users (name) VALUES ('admin')\"))\n    session.flush()",
        "op.execute(\"DELETE FROM users WHERE name = 'admin'\")",
    ),
    odd(
        "an SQL file",
        'from pathlib import Path\nfor sql in Path(__file__).with_name("up.sql").read_text().split(";"):\n    if sql.strip():\n        op.execute(sql)',
        'op.execute("DROP TABLE a")\nop.execute("DROP TABLE b")',
        files={
            "up.sql": "CREATE TABLE a (id INTEGER PRIMARY KEY);\n-- and\nCREATE TABLE b (n INTEGER);\n"
        },
    ),
    odd(
        "a raw cursor",
        'cursor = op.get_bind().connection.cursor()\ncursor.execute("CREATE TABLE raw_table (id INTEGER PRIMARY KEY)")\ncursor.close()',
        'op.drop_table("raw_table")',
    ),
    odd(
        "a log that is emptied and dropped",
        'op.execute("DELETE FROM log")\nop.drop_table("log")',
        'raise NotImplementedError("gone")',
        head='irreversible = "nobody reads it"',
        first=(
            'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True))',
            'op.drop_table("log")',
        ),
    ),
    odd(
        "declared in the module",
        BATCH_USERS + 'batch.drop_column("email")',
        'op.add_column("users", sa.Column("email", sa.String(80)))',
        head='irreversible = "the addresses are gone"',
    ),
    odd(
        "declared in the downgrade",
        BATCH_USERS + 'batch.drop_column("email")',
        'helpers.irreversible("the addresses are gone")',
        head="import alembic_helpers as helpers",
    ),
    odd(
        "declared, and something after it",
        BATCH_USERS + 'batch.drop_column("email")',
        "pass",
        head='irreversible = "the addresses are gone"',
        files={"0003.py": revision("0003", "0002", *things("0003", "later"))},
    ),
]

GRAPHS = [
    odd(
        "a branch and a merge",
        files=others(a="0001", b="0001") | {"m.py": revision("m", ("a", "b"))},
    ),
    odd(
        "an empty merge of three",
        files=others(a="0001", b="0001", c="0001") | {"m.py": revision("m", ("a", "b", "c"))},
    ),
    odd(
        "labelled heads",
        files={
            "a.py": revision("a", "0001", *things("a", "t_a"), head='branch_labels = ("one",)'),
            "b.py": revision("b", "0001", *things("b", "t_b"), head='branch_labels = ("two",)'),
        },
    ),
    odd(
        "labelled bases, and a dependency",
        files={
            "a.py": revision(
                "a", None, *things("a", "t_a"), head='branch_labels = ("one",)\ndepends_on = "0001"'
            ),
            "b.py": revision("b", "a", *things("b", "t_b")),
        },
    ),
    odd(
        "a merge that does something",
        files=others(a="0001", b="0001") | {"m.py": revision("m", ("a", "b"), *things("m", "t_m"))},
    ),
    odd(
        "an import for the type checker",
        files={
            "../../shop_seven/__init__.py": "",
            "0002.py": revision(
                "0002",
                "0001",
                *things("0002", "later"),
                head="from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from shop_seven import models",
            ),
        },
    ),
    odd(
        "a revision that does nothing, and says so",
        files={"0002.py": revision("0002", "0001", head='empty = "it only ever made a model"')},
    ),
]

ITEMS = 'op.create_table("items", sa.Column("id", sa.Integer, primary_key=True), {})'


def retyped(
    name: str,
    items: str,
    new: str,
    old: str,
    column: str = "n",
    on: tuple[str, ...] = ALL,
    more: str = "",
) -> Case:
    """Return a history that changes the type of a column, and changes it back."""
    batch = 'with op.batch_alter_table("items") as batch:\n    '
    return odd(
        f"{name}, when the type changes there and back",
        batch + f'batch.alter_column("{column}", type_=sa.{new}, existing_type=sa.{old})',
        batch + f'batch.alter_column("{column}", type_=sa.{old}, existing_type=sa.{new})',
        on,
        first=(ITEMS.format(items) + "\n" + more, 'op.drop_table("items")'),
        head='irreversible = "digits"',
    )


N = 'sa.Column("n", sa.Integer, {})'
CHECK = ', sa.CheckConstraint("{}", name="ck")'
RETYPED = [
    retyped("a check", N.format("") + CHECK.format("n > 0"), "Numeric(12, 2)", "Integer"),
    retyped(
        "a check without a name",
        N.format('sa.CheckConstraint("n > 0")'),
        "Numeric(12, 2)",
        "Integer",
    ),
    retyped(
        "a check and a default",
        N.format('server_default="1"') + CHECK.format("n >= 0 AND n <> 7"),
        "Numeric(12, 2)",
        "Integer",
    ),
    retyped("a default", N.format('server_default="-1", nullable=False'), "BigInteger", "Integer"),
    retyped(
        "a default of another type",
        N.format('server_default="-1", nullable=False'),
        "Numeric(12, 2)",
        "Integer",
    ),
    retyped(
        "a partial unique index",
        N.format(""),
        "Numeric(12, 2)",
        "Integer",
        on=(SQLITE, POSTGRESQL),
        more='op.create_index("ux", "items", ["n"], unique=True, postgresql_where=sa.text("n > 0"), sqlite_where=sa.text("n > 0"))',
    ),
    retyped(
        "an index of an expression",
        N.format(""),
        "Numeric(12, 2)",
        "Integer",
        on=(POSTGRESQL,),
        more='op.create_index("ix", "items", [sa.text("(n + 1)")])\nop.execute("CREATE INDEX ih ON items USING hash (n) WHERE n IS DISTINCT FROM 5")',
    ),
    retyped(
        "a list of texts",
        'sa.Column("kind", sa.String(9), sa.CheckConstraint("kind IN (\'a\', \'b\')", name="ck"), server_default="a")',
        "Text",
        "String(9)",
        "kind",
        on=(SQLITE, POSTGRESQL),
    ),
    odd(
        "a check, a type changed and one column dropped beside it",
        BATCH_BILLS
        + 'batch.alter_column("payer", type_=sa.Numeric(9, 2), existing_type=sa.Integer)\n    batch.add_column(sa.Column("m", sa.Integer))',
        BATCH_BILLS
        + 'batch.alter_column("payer", type_=sa.Integer, existing_type=sa.Numeric(9, 2))\n    batch.drop_column("m")',
        SERVERS,
        head='irreversible = "digits"',
        first=(
            FIRST_UP + 'op.create_check_constraint("ck", "bills", "payer > 0 OR payer IS NULL")',
            FIRST_DOWN,
        ),
    ),
    *[
        odd(
            f"one default, {one} and {two}",
            f'with op.batch_alter_table("a") as batch:\n    batch.alter_column("n", server_default=sa.text("{two}"), existing_type=sa.{type_})',
            f'with op.batch_alter_table("a") as batch:\n    batch.alter_column("n", server_default=sa.text("{one}"), existing_type=sa.{type_})',
            first=(
                f'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.{type_}, server_default=sa.text("{other}")))',
                'op.drop_table("a")',
            ),
        )
        for one, two, other, type_ in (
            ("-1", "5", "'-1'", "Integer"),
            ("'7'", "5", "7", "Integer"),
            ("2", "5", "'2'", "SmallInteger"),
            ("0.5", "5", "'0.50'", "Float"),
            ("1.00", "5", "'1'", "Numeric(8, 2)"),
        )
    ],
]

USED = [
    odd(
        "a view that is made anew",
        'op.execute("DROP VIEW v2")\nop.execute("DROP VIEW v1")\nop.execute("CREATE VIEW v1 AS SELECT n, id FROM foo")\nop.execute("CREATE VIEW v2 AS SELECT n FROM v1")',
        'op.execute("DROP VIEW v2")\nop.execute("DROP VIEW v1")\nop.execute("CREATE VIEW v1 AS SELECT id, val FROM foo")\nop.execute("CREATE VIEW v2 AS SELECT id, val FROM v1")',
        first=VIEWS,
    ),
    odd(
        "a view over rows that it cannot divide",
        'op.execute("CREATE VIEW d AS SELECT 1 / n AS x FROM foo")\nop.add_column("foo", sa.Column("m", sa.Integer))',
        'op.execute("DROP VIEW d")\nop.drop_column("foo", "m")',
        first=VIEWS,
    ),
    *[
        odd(
            f"a trigger that stays, after {event} on {server}",
            'op.add_column("log", sa.Column("more", sa.Integer))\nop.add_column("foo", sa.Column("more", sa.Integer))',
            'op.drop_column("log", "more")\nop.drop_column("foo", "more")',
            (server,),
            first=triggered(server, event),
        )
        for event in ("INSERT", "UPDATE", "DELETE")
        for server in ALL
    ],
    odd(
        "a trigger that forbids",
        'op.add_column("foo", sa.Column("more", sa.Integer))',
        'op.drop_column("foo", "more")',
        (POSTGRESQL,),
        first=(
            FOO
            + "op.execute(\"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never'; END $$\")\n"
            + 'op.execute("CREATE TRIGGER tr BEFORE DELETE OR UPDATE ON foo FOR EACH ROW EXECUTE FUNCTION no()")',
            'op.drop_table("log")\nop.drop_table("foo")\nop.execute("DROP FUNCTION no()")',
        ),
    ),
    *[
        odd(
            f"a trigger on a table that others refer to, {server}",
            'op.add_column("foo", sa.Column("more", sa.Integer))\nop.add_column("kids", sa.Column("more", sa.Integer))',
            'op.drop_column("foo", "more")\nop.drop_column("kids", "more")',
            (server,),
            first=(
                triggered(server, "DELETE")[0]
                + '\nop.create_table("kids", sa.Column("id", sa.Integer, primary_key=True), sa.Column("foo_id", sa.Integer, sa.ForeignKey("foo.id"), nullable=False))',
                'op.drop_table("kids")\n' + triggered(server, "DELETE")[1],
            ),
        )
        for server in ALL
    ],
    odd(
        "a wider key, and its sequence",
        'op.alter_column("foo", "id", type_=sa.BigInteger, existing_type=sa.Integer)\nop.execute("ALTER SEQUENCE foo_id_seq AS bigint")',
        'op.alter_column("foo", "id", type_=sa.Integer, existing_type=sa.BigInteger)\nop.execute("ALTER SEQUENCE foo_id_seq AS integer")',
        (POSTGRESQL,),
        first=(FOO, NO_FOO),
    ),
    odd(
        "a wider key that is an identity",
        'op.alter_column("a", "id", type_=sa.BigInteger, existing_type=sa.Integer)',
        'op.alter_column("a", "id", type_=sa.Integer, existing_type=sa.BigInteger)',
        (POSTGRESQL,),
        first=(
            'op.create_table("a", sa.Column("id", sa.Integer, sa.Identity(), primary_key=True))',
            'op.drop_table("a")',
        ),
    ),
    odd(
        "a function that counts for itself",
        'op.execute("CREATE FUNCTION most() RETURNS integer LANGUAGE sql AS \'SELECT max(n) FROM foo\'")\nop.add_column("foo", sa.Column("more", sa.Integer))',
        'op.execute("DROP FUNCTION most()")\nop.drop_column("foo", "more")',
        (POSTGRESQL,),
        first=(FOO, NO_FOO),
    ),
]

VERBS = "import alembic_helpers as helpers\n"
IDLE = [
    odd(
        "a drop of what may be missing, said by the verbs",
        ADD_NOTE
        + 'helpers.drop_table("user_", if_exists=True)\nhelpers.drop_index("ix_bills_duo", "bills", if_exists=True)\nhelpers.drop_column("users", "emial", if_exists=True)',
        DROP_NOTE,
        head=VERBS,
    ),
    odd(
        "drops of what went with its table",
        'helpers.drop_table("bills")\nhelpers.drop_index("ix_bills_due", "bills")\nhelpers.drop_constraint("fk_bills_owner", "bills", type_="foreignkey")',
        'raise NotImplementedError("gone")',
        head=VERBS + 'irreversible = "gone"',
    ),
    odd(
        "an index that went with its column",
        ADD_NOTE + 'op.create_index("ix_note", "users", ["note"])',
        'helpers.drop_index("ix_note", "users")\nhelpers.drop_column("users", "note")',
        head=VERBS,
    ),
    odd(
        "rows that are not there to be changed",
        "op.execute(\"UPDATE users SET email = 'a' WHERE name = 'nobody has this name'\")",
        "op.execute(\"UPDATE users SET email = 'b' WHERE name = 'nobody has this name'\")",
    ),
    odd(
        "rows that Python finds none to change among",
        'for row in op.get_bind().execute(sa.text("SELECT id, name FROM users")).all():\n    if row.name == "nobody has this name":\n        op.execute(f"DELETE FROM users WHERE id = {row.id}")',
        "pass",
    ),
    odd(
        "a backfill of nothing",
        'helpers.backfill("users", {"email": "a"}, where="name = \'nobody has this name\'")',
        "op.execute(\"UPDATE users SET email = NULL WHERE name = 'nobody has this name'\")",
        head=VERBS,
    ),
    odd(
        "for one server alone",
        'if op.get_bind().dialect.name == "oracle":\n    op.execute("GRANT EVERYTHING TO NOBODY")',
        "pass",
    ),
    odd(
        "an enum where there are none",
        'helpers.create_enum("mood", ["a"])',
        'helpers.drop_enum("mood")',
        head=VERBS,
    ),
    odd(
        "a label of an enum that a server has not",
        'helpers.create_enum("mood", ["a"])\nhelpers.add_enum_value("mood", "b")',
        'helpers.drop_enum("mood")',
        head=VERBS,
    ),
    odd(
        "a type that is the same on some servers",
        'helpers.alter_column("logs", "at", type_=sa.DateTime(timezone=True), existing_type=sa.DateTime())',
        'helpers.alter_column("logs", "at", type_=sa.DateTime(), existing_type=sa.DateTime(timezone=True))',
        head=VERBS,
        first=(
            'op.create_table("logs", sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.DateTime()))',
            'op.drop_table("logs")',
        ),
    ),
    odd(
        "what only some servers have",
        'helpers.create_table_comment("users", "people")',
        'helpers.drop_table_comment("users")',
        head=VERBS,
    ),
    odd(
        "a call of a function",
        "op.execute(\"SELECT setval('s', 7)\")",
        "op.execute(\"SELECT setval('s', 1)\")",
        (POSTGRESQL,),
        first=('op.execute("CREATE SEQUENCE s")', 'op.execute("DROP SEQUENCE s")'),
    ),
    odd(
        "rights",
        'op.execute("GRANT SELECT ON users TO PUBLIC")',
        'op.execute("REVOKE SELECT ON users FROM PUBLIC")',
        (POSTGRESQL,),
    ),
]

GUARDED = [
    odd(
        "everything guarded, and everything asked",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)\nop.create_index("ix_a", "a", ["id"], if_not_exists=True)',
        'op.drop_table("a", if_exists=True)',
        (SQLITE, MARIADB, POSTGRESQL),
        asked=EVERYTHING,
        first=(
            'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)',
            'op.drop_table("b", if_exists=True)',
        ),
    ),
    odd(
        "a row with a moment, written once",
        "import datetime\nnow = datetime.datetime(2025, 1, 1)\nop.execute(f\"INSERT INTO log (at) SELECT '{now}' FROM (SELECT 1 AS n) AS one WHERE NOT EXISTS (SELECT 1 FROM log)\")",
        "op.execute(\"DELETE FROM log WHERE at = '2025-01-01 00:00:00'\")",
        asked=(results.RERUN,),
        first=(
            'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.DateTime), if_not_exists=True)',
            'op.drop_table("log", if_exists=True)',
        ),
    ),
]

CASES = [*TABLES, *WORDS, *RETYPED, *USED, *IDLE, *DATA, *GRAPHS, *GUARDED]
