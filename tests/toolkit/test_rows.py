"""Rows: what `fill` writes, what `read` finds equal, what a revision lost."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from alembic_toolkit.rows import lost
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.fill import fill
from alembic_toolkit.rows.filling import Filled
from alembic_toolkit.rows.read import read
from alembic_toolkit.rows.tables.look import look
from alembic_toolkit.rows.tables.table import parents, related
from tests.databases import Database

# Fill: tables that make it hard

UGLY = {
    "sqlite": """
        CREATE TABLE "we""ird %s :x" ("id" INTEGER PRIMARY KEY, "a b%" VARCHAR(7) NOT NULL,
          flag BOOLEAN NOT NULL CHECK (flag IN (0, 1)), b BLOB, j JSON, UNIQUE ("a b%", flag));
        CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER NOT NULL REFERENCES tree (id), d DATE,
          t DATETIME, CHECK (d IS NULL OR t IS NULL OR d < t));
        CREATE TABLE pair (a INTEGER NOT NULL, b TEXT NOT NULL, low NUMERIC(6, 2) NOT NULL,
          high NUMERIC(6, 2), PRIMARY KEY (a, b), CHECK (low < high AND low BETWEEN 10 AND 20));
        CREATE TABLE child (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, code CHAR(3) NOT NULL
          CHECK (length(code) = 3 AND code LIKE 'X%'), kind VARCHAR(9) CHECK (kind IN ('k1', 'k2')),
          FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
        CREATE TABLE egg (id INTEGER PRIMARY KEY, hen INTEGER NOT NULL REFERENCES hen (id));
        CREATE TABLE hen (id INTEGER PRIMARY KEY, egg INTEGER NOT NULL REFERENCES egg (id));
        CREATE TABLE nokey (x TEXT, n INTEGER GENERATED ALWAYS AS (length(x)) STORED);
        CREATE UNIQUE INDEX ux ON nokey (lower(x)) WHERE x <> '';
        CREATE TABLE one (only BOOLEAN PRIMARY KEY CHECK (only = 1));
    """,
    "postgresql": """
        CREATE SCHEMA "Odd %s";
        CREATE TYPE "Odd %s".mood AS ENUM ('so', 'it''s', '100%');
        CREATE DOMAIN money_ AS numeric(8, 2) CHECK (VALUE > 0) NOT NULL;
        CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%.%');
        CREATE TABLE "Odd %s"."we""ird :x" (id serial PRIMARY KEY, "a b%" varchar(7) NOT NULL,
          flag boolean NOT NULL, m "Odd %s".mood NOT NULL, ms "Odd %s".mood[], b bytea, j jsonb,
          UNIQUE ("a b%", flag));
        CREATE TABLE tree (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          up bigint NOT NULL REFERENCES tree (id), d date, t timestamptz, i interval,
          CHECK (d < t), CHECK (id > 0));
        CREATE TABLE pair (a integer NOT NULL, b text NOT NULL, low numeric(6, 2) NOT NULL,
          high numeric(6, 2), PRIMARY KEY (a, b), CHECK (low < high AND low BETWEEN 10 AND 20));
        CREATE TABLE child (id uuid PRIMARY KEY, a integer, b text, code char(3) NOT NULL
          CHECK (length(code) = 3 AND code ~ '^X'), price money_, mail mail,
          kind varchar(9) CHECK (kind IN ('k1', 'k2')), net inet NOT NULL, v tsvector, r int4range,
          FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
        CREATE TABLE egg (id integer PRIMARY KEY, hen integer NOT NULL);
        CREATE TABLE hen (id integer PRIMARY KEY, egg integer NOT NULL REFERENCES egg (id)
          DEFERRABLE INITIALLY IMMEDIATE);
        ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen (id) DEFERRABLE;
        CREATE TABLE nokey (x text, n integer GENERATED ALWAYS AS (length(x)) STORED);
        CREATE UNIQUE INDEX ux ON nokey (lower(x)) WHERE x <> '';
        CREATE TABLE one (only_ boolean PRIMARY KEY CHECK (only_));
        CREATE TABLE parts (id integer, d date NOT NULL) PARTITION BY RANGE (d);
        CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
        CREATE TABLE heir (extra text) INHERITS (one);
    """,
    "mariadb": """
        CREATE TABLE `we``ird %s :x` (id INTEGER PRIMARY KEY AUTO_INCREMENT,
          `a b%` VARCHAR(7) NOT NULL, flag BOOLEAN NOT NULL, m ENUM('so', 'it''s', '100%') NOT NULL,
          s SET('a', 'b'), b BLOB, j JSON, bits BIT(3), y YEAR, UNIQUE (`a b%`, flag));
        CREATE TABLE tree (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
          up BIGINT UNSIGNED NOT NULL REFERENCES tree (id), d DATE, t DATETIME(3),
          ts TIMESTAMP NULL,
          CHECK (d < t));
        CREATE TABLE pair (a INTEGER NOT NULL, b VARCHAR(30) NOT NULL, low NUMERIC(6, 2) NOT NULL,
          high NUMERIC(6, 2), PRIMARY KEY (a, b), CHECK (low < high AND low BETWEEN 10 AND 20));
        CREATE TABLE child (id UUID PRIMARY KEY, a INTEGER, b VARCHAR(30), code CHAR(3) NOT NULL
          CHECK (char_length(code) = 3 AND code LIKE 'X%'), old VARCHAR(20) CHARACTER SET latin1,
          kind VARCHAR(9) CHECK (kind IN ('k1', 'k2')), f FLOAT, t TEXT, UNIQUE ut (t(4)),
          FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE);
        CREATE TABLE egg (id INTEGER PRIMARY KEY, hen INTEGER NOT NULL);
        CREATE TABLE hen (id INTEGER PRIMARY KEY, egg INTEGER NOT NULL REFERENCES egg (id));
        ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen (id);
        CREATE TABLE nokey (x TEXT, n INTEGER AS (char_length(x)) STORED);
        CREATE TABLE one (only_ BOOLEAN PRIMARY KEY CHECK (only_ = 1));
        CREATE SEQUENCE seq;
        CREATE TABLE numbered (id INTEGER PRIMARY KEY DEFAULT (nextval(seq)), t VARCHAR(3));
    """,
}
UGLY["mysql"] = UGLY["mariadb"].partition("CREATE SEQUENCE")[0].replace("UUID", "CHAR(36)")


def make(database: Database, script: str) -> None:
    with database.engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(
                    statement.replace("%", "%%") if database.name != "sqlite" else statement
                )


def filled(connection: Connection, **options: Any) -> tuple[Filled, Rows]:
    known = look(connection)
    done = fill(connection, known, **options)
    return done, read(connection, known)


def content(connection: Connection) -> Rows:
    return read(connection, look(connection))


def test_fill_fills_every_table_when_the_schema_is_ugly(database: Database) -> None:
    make(database, UGLY[database.name])
    with database.engine.begin() as connection:
        done, found = filled(connection)
    assert done.failed == {}
    assert all(content.rows for content in found.values())
    assert {name: len(content.rows) for name, content in found.items()} == done.written


CIRCLE = """
    CREATE TABLE owner (id CHAR(9) NOT NULL PRIMARY KEY);
    CREATE TABLE egg (id CHAR(9) NOT NULL PRIMARY KEY, hen CHAR(9) NOT NULL,
      owner CHAR(9) NOT NULL REFERENCES owner (id));
    CREATE TABLE hen (id CHAR(9) NOT NULL PRIMARY KEY,
      egg CHAR(9) NOT NULL REFERENCES egg (id));
    INSERT INTO owner VALUES ('Zo ');
"""


def test_fill_refers_to_what_is_there_when_a_key_ends_with_a_space(database: Database) -> None:
    circle = CIRCLE
    if database.name == "sqlite":
        circle = circle.replace("hen CHAR(9) NOT NULL", "hen CHAR(9) NOT NULL REFERENCES hen (id)")
    make(database, circle)
    with database.engine.begin() as connection:
        if database.name != "sqlite":
            later = " DEFERRABLE" if database.name == "postgresql" else ""
            key = f"FOREIGN KEY (hen) REFERENCES hen (id){later}"
            connection.exec_driver_sql(f"ALTER TABLE egg ADD {key}")
        done, _ = filled(connection)
    assert done.failed == {}


@pytest.mark.databases("sqlite")  # which says at the commit alone what dangles
def test_fill_leaves_no_dangling_key_when_tables_need_each_other(database: Database) -> None:
    make(database, CIRCLE.replace("hen CHAR(9) NOT NULL", "hen CHAR(9) NOT NULL REFERENCES hen"))
    with database.engine.begin() as connection:
        known = look(connection)
        there = read(connection, known)
        there["owner"].rows[:] = [("not there",)]
        done = fill(connection, known, there=there)
        found = content(connection)
    assert done.failed == dict.fromkeys(("egg", "hen"), "FOREIGN KEY constraint failed: owner")
    assert not found["egg"].rows
    assert not found["hen"].rows


TREE = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY, email VARCHAR(30), note VARCHAR(9) NOT NULL);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL, amount NUMERIC(8, 2)
      NOT NULL, ok BOOLEAN NOT NULL, day DATE, other_id INTEGER, CHECK (amount > 0),
      FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE);
"""


def test_fill_is_as_nasty_as_the_schema_allows(database: Database) -> None:
    make(database, TREE)
    with database.engine.begin() as connection:
        _, found = filled(connection)
    parent, child = found["parent"], found["child"]
    for content, name in ((parent, "email"), (child, "day"), (child, "other_id")):
        values = content.values(name)
        assert None in values
        assert len(set(values)) < len(values), f"no duplicate in {name}"
    assert "" in parent.values("note")
    assert max(len(value) for value in parent.values("note")) == 9
    assert set(child.values("parent_id")) == set(parent.values("id"))
    assert set(child.values("ok")) == {0, 1}
    assert any(value * 100 % 100 for value in child.values("amount"))


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("null", ["NULL", "NOT NULL"])
def test_fill_uses_every_label_when_a_column_has_few(database: Database, null: str) -> None:
    make(database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, m ENUM('a', 'b', 'old') {null});\n")
    with database.engine.begin() as connection:
        _, found = filled(connection)
    assert set(found["t"].values("m")) >= {"a", "b", "old"}


def test_fill_writes_the_same_rows_when_the_seed_is_the_same(database: Database) -> None:
    make(database, TREE)
    with database.engine.begin() as connection:
        _, first = filled(connection, seed=7)
        execute_on(connection, "DELETE FROM child", "DELETE FROM parent")
        _, again = filled(connection, seed=7)
    assert again == first


def test_fill_adds_nothing_when_every_column_varies(database: Database) -> None:
    make(database, TREE)
    with database.engine.begin() as connection:
        _, first = filled(connection)
        done, again = filled(connection)
    assert done.written == {}
    assert again == first


def test_fill_adds_rows_when_a_column_is_new(database: Database) -> None:
    make(database, TREE)
    with database.engine.begin() as connection:
        filled(connection)
        execute_on(connection, "ALTER TABLE parent ADD COLUMN extra VARCHAR(5)")
        done, found = filled(connection)
    assert set(done.written) == {"parent"}
    assert len(set(found["parent"].values("extra"))) > 2


def test_fill_says_which_table_it_cannot_fill_when_a_check_holds_for_nothing(
    database: Database,
) -> None:
    make(
        database,
        "CREATE TABLE never (id INTEGER PRIMARY KEY, n INT NOT NULL, CHECK (n < 0 AND n > 0));\n"
        "CREATE TABLE child (id INTEGER PRIMARY KEY, never_id INTEGER NOT NULL,"
        " FOREIGN KEY (never_id) REFERENCES never (id));\n"
        "CREATE TABLE good (id INTEGER PRIMARY KEY);\n",
    )
    with database.engine.begin() as connection:
        done, found = filled(connection)
    assert set(done.failed) == {"never", "child"}
    assert "constraint" in done.failed["never"].lower()
    assert done.failed["child"].startswith("never, which it refers to, cannot be used")
    assert len(found["good"].rows) == 4


def test_fill_takes_a_projects_own_rows_when_they_are_given(database: Database) -> None:
    make(database, TREE)
    own = {"parent": [{"id": 7, "email": "a@example.com", "gone": 1}, {"id": 9, "note": "%s'\\"}]}
    with database.engine.begin() as connection:
        _, found = filled(connection, given=own)
    assert found["parent"].values("id") == [7, 9]
    assert found["parent"].values("email")[0] == "a@example.com"
    assert found["parent"].values("note")[1] == "%s'\\"
    assert set(found["child"].values("parent_id")) == {7, 9}


def test_fill_stays_in_what_an_older_schema_can_hold_when_asked(database: Database) -> None:
    make(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(5) NOT NULL);\n")
    with database.engine.begin() as connection:
        older = look(connection)
        execute_on(connection, "DROP TABLE t")
        execute_on(connection, "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(50))")
        _, found = filled(connection, within=older)
    assert max(len(value) for value in found["t"].values("a")) == 5


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_fill_leaves_numbers_that_a_revision_can_go_on_from(database: Database) -> None:
    serial = "SERIAL" if database.name == "postgresql" else "INTEGER AUTO_INCREMENT"
    make(database, f"CREATE TABLE t (id {serial} PRIMARY KEY, a VARCHAR(5));\n")
    with database.engine.begin() as connection:
        filled(connection)
        execute_on(connection, "INSERT INTO t (a) VALUES ('own')")
        assert content(connection)["t"].values("id") == [1, 2, 3, 4, 5]


def test_look_finds_the_same_when_asked_by_name(database: Database) -> None:
    make(database, UGLY[database.name])
    with database.engine.begin() as connection:
        whole = look(connection)
        assert len(whole) >= 8
        for name, table in whole.items():
            assert look(connection, [name]) == {name: table}
        assert look(connection, list(whole)) == whole
        assert look(connection, ["none"]) == look(connection, []) == {}


def test_related_follows_cascades_to_children(database: Database) -> None:
    make(database, TREE)
    with database.engine.begin() as connection:
        known = look(connection)
    assert related(known, ["parent"]) == {"parent", "child"}
    assert related(known, ["child"]) == {"child"}
    assert parents(known, ["child"]) == {"parent"}


# What is lost


def execute_on(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(sa.text(statement))


def after(database: Database, *steps: tuple[str, ...]) -> list[Rows]:
    """Fill the tables of TREE; return the rows then and after each step."""
    make(database, TREE)
    with database.engine.begin() as connection:
        found = [filled(connection)[1]]
        for statements in steps:
            execute_on(connection, *statements)
            found.append(content(connection))
    return found


def test_nothing_is_lost_when_nothing_changes(database: Database) -> None:
    before, now = after(database, ())
    assert lost.lost_after_up(before, now) == []
    assert lost.lost_after_up(before, now, None) == []
    assert lost.lost_after_down(before, now, now) == []


def test_rows_are_lost_when_a_cascade_takes_them(database: Database) -> None:
    before, now = after(database, ("DELETE FROM parent WHERE id = 1",))
    lines = lost.lost_after_up(before, now)
    assert "rows of parent: 4 before, 3 after" in lines
    assert any(line.startswith("rows of child: 6 before") for line in lines)
    assert lost.lost_after_up(before, now, ["parent"]) == []
    assert len(lost.lost_after_up(before, now, None)) == 2
    assert lost.lost_after_down(before, now, now) == lines


def test_values_are_lost_when_a_column_is_dropped_and_comes_back_empty(database: Database) -> None:
    drop, add = "ALTER TABLE parent DROP COLUMN email", "ALTER TABLE parent ADD email VARCHAR(30)"
    before, up, down = after(database, (drop,), (add,))
    assert lost.lost_after_up(before, up) == []
    [line] = lost.lost_after_down(before, up, down)
    assert line.startswith("parent.email: ")
    assert line.endswith("-> NULL in 3 rows")
    assert lost.lost_after_up(before, down) == [line]


def test_rows_are_lost_when_a_table_is_dropped_and_comes_back_empty(database: Database) -> None:
    again = TREE.strip().split(";\n")[1]
    before, up, down = after(database, ("DROP TABLE child",), (again,))
    assert lost.lost_after_up(before, up) == []
    assert lost.lost_after_down(before, up, down) == ["rows of child: 6 before, 0 after"]


def test_nothing_is_lost_when_things_are_renamed(database: Database) -> None:
    column = "ALTER TABLE child RENAME COLUMN {} TO {}"
    table = "ALTER TABLE child RENAME TO {}"
    name = "day" if database.name == "mysql" else "amount"  # which it keeps for its check
    up = (column.format(name, "sum_"), table.format("children"))
    down = (
        table.format("child").replace("child RENAME", "children RENAME"),
        column.format("sum_", name),
    )
    before, between, now = after(database, up, down)
    assert lost.lost_after_up(before, between) == []
    assert lost.lost_after_down(before, between, now) == []


def test_a_change_is_lost_after_down_only_when_it_was_meant(database: Database) -> None:
    before, up = after(database, ("UPDATE parent SET email = lower(email)",))
    assert lost.lost_after_up(before, up, ["parent"]) == []
    assert lost.lost_after_up(before, up, None) == []
    assert len(lost.lost_after_up(before, up)) == 1
    assert len(lost.lost_after_down(before, up, up)) == 1


def test_a_backfill_is_no_loss(database: Database) -> None:
    before, up = after(database, ("UPDATE parent SET email = 'x' WHERE email IS NULL",))
    assert lost.lost_after_up(before, up) == []
    assert lost.lost_after_down(before, up, up) == []


def test_a_value_that_moves_to_another_table_is_no_loss_on_the_way_up(database: Database) -> None:
    move = (
        "INSERT INTO parent (id, email, note) SELECT id + 100, email, '' FROM parent WHERE id = 1"
    )
    before, up = after(database, (move, "UPDATE parent SET email = NULL WHERE id = 1"))
    assert lost.lost_after_up(before, up, None) == []
    assert len(lost.lost_after_down(before, up, up)) == 1


def test_a_column_that_is_computed_again_is_no_loss_when_it_mostly_agrees(
    database: Database,
) -> None:
    add = ("ALTER TABLE child ADD cents INTEGER", "UPDATE child SET cents = amount * 100")
    contradiction = "UPDATE child SET cents = 77777 WHERE id = 2"
    make(database, TREE.replace("CHECK (amount > 0),", ""))
    back = ("ALTER TABLE child ADD amount NUMERIC(8, 2)", "UPDATE child SET amount = cents / 100.0")
    with database.engine.begin() as connection:
        filled(connection)
        execute_on(connection, *add, contradiction)
        before = content(connection)
        execute_on(connection, "ALTER TABLE child DROP COLUMN amount")
        up = content(connection)
        execute_on(connection, *back)
        down = content(connection)
        execute_on(connection, "UPDATE child SET amount = 1")
        constant = content(connection)
    assert lost.lost_after_down(before, up, down) == []
    assert lost.lost_after_down(before, up, constant) != []


@pytest.mark.databases("postgresql")
def test_a_text_that_becomes_a_json_string_is_no_loss(database: Database) -> None:
    change = "ALTER TABLE parent ALTER note TYPE jsonb USING to_jsonb(note)"
    back = "ALTER TABLE parent ALTER note TYPE VARCHAR(9) USING note #>> '{}'"
    other = change.replace("(note)", "(note || '!'::text)")
    before, up, down, another = after(database, (change,), (back,), (other,))
    assert lost.lost_after_up(before, up) == []
    assert lost.lost_after_down(before, up, down) == []
    assert lost.lost_after_up(before, another) != []


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_what_the_new_type_cannot_hold_is_lost_only_when_the_old_one_is_back(
    database: Database,
) -> None:
    change = {
        "postgresql": "ALTER TABLE parent ALTER note TYPE VARCHAR({0}) USING left(note, {0})",
        "mariadb": "ALTER TABLE parent MODIFY note VARCHAR({0}) NOT NULL",
    }[database.kin]
    cut = "UPDATE parent SET note = left(note, 4)"
    before, up, down = after(database, (cut, change.format(4)), (change.format(9),))
    assert lost.lost_after_up(before, up) == []
    assert lost.lost_after_down(before, up, down) != []
    assert lost.lost_after_up(before, down) != []


@pytest.mark.databases("postgresql", "mariadb", "mysql")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DOUBLE PRECISION", "NUMERIC(12, 2)"),
        ("NUMERIC(12, 2)", "DOUBLE PRECISION"),
        ("NUMERIC(12, 2)", "NUMERIC(12, 4)"),
        ("NUMERIC(12, 2)", "VARCHAR(30)"),
        ("INTEGER", "BIGINT"),
        ("VARCHAR(20)", "TEXT"),
        ("CHAR(20)", "VARCHAR(20)"),
        ("DATE", "TIMESTAMP"),
        ("BOOLEAN", "INTEGER"),
    ],
)
def test_equal_values_are_equal_when_the_type_changes(
    database: Database, old: str, new: str
) -> None:
    if database.kin == "mariadb":
        new = new.replace("TIMESTAMP", "DATETIME")
        up, down = f"ALTER TABLE t MODIFY a {new}", f"ALTER TABLE t MODIFY a {old}"
    else:
        up, down = (
            f"ALTER TABLE t ALTER a TYPE {to} USING a::text::{to}"
            if "BOOLEAN" not in (old, new)
            else f"ALTER TABLE t ALTER a TYPE {to} USING a::{to}"
            for to in (new, old)
        )
    make(database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, a {old});\n")
    with database.engine.begin() as connection:
        before = filled(connection)[1]
        execute_on(connection, up.replace("::", "\\:\\:"))
        between = content(connection)
        execute_on(connection, down.replace("::", "\\:\\:"))
        now = content(connection)
    assert lost.lost_after_up(before, between) == []
    assert lost.lost_after_down(before, between, now) == []


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("old", "new", "to", "back", "wrong"),
    [
        ("BYTEA", "TEXT", "encode(a, 'base64')", "decode(a, 'base64')", "decode('', 'base64')"),
        ("TEXT", "BYTEA", "convert_to(a, 'UTF8')", "convert_from(a, 'UTF8')", "''"),
        ("INTEGER", "BOOLEAN", "a <> 0", "a::integer", "(not a)::integer"),
        ("INTEGER", "BOOLEAN", "a = 1", "a::integer", "1"),
        (
            "INTERVAL",
            "INTEGER",
            "extract(epoch FROM a)",
            "a * interval '1 second'",
            "interval '1h'",
        ),
    ],
)
def test_nothing_is_lost_when_a_conversion_is_taken_back(
    database: Database, old: str, new: str, to: str, back: str, wrong: str
) -> None:
    make(database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, a {old});\n")
    with database.engine.begin() as connection:
        before = filled(connection)[1]
        execute_on(connection, f"ALTER TABLE t ALTER a TYPE {new} USING ({to})".replace(":", "\\:"))
        between = content(connection)
        found = []
        for using in (back, wrong):
            with connection.begin_nested() as attempt:
                change = f"ALTER TABLE t ALTER a TYPE {old} USING ({using})"
                execute_on(connection, change.replace(":", "\\:"))
                found.append(content(connection))
                attempt.rollback()
    assert lost.lost_after_up(before, between) == []
    assert lost.lost_after_down(before, between, found[0]) == []
    assert lost.lost_after_down(before, between, found[1]) != []


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_nothing_is_lost_when_a_float_in_the_key_is_wider(database: Database) -> None:
    change = "MODIFY a DOUBLE" if database.kin == "mariadb" else "ALTER a TYPE DOUBLE PRECISION"
    make(database, "CREATE TABLE t (id INTEGER, a FLOAT(4), b INTEGER, PRIMARY KEY (id, a));\n")
    with database.engine.begin() as connection:
        execute_on(connection, "INSERT INTO t VALUES (1, 12345.7, 1), (1, 0.1, 2), (2, 0, 3)")
        before = content(connection)
        execute_on(connection, f"ALTER TABLE t {change}")
        wider = content(connection)
        execute_on(connection, "DELETE FROM t WHERE b = 2")
        fewer = content(connection)
    assert lost.lost_after_up(before, wider) == []
    assert lost.lost_after_up(before, fewer) == ["rows of t: 3 before, 2 after"]


@pytest.mark.databases("sqlite")
def test_nothing_is_lost_when_bytes_become_a_text_that_is_none(database: Database) -> None:
    make(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, a BLOB);\n")
    with database.engine.begin() as connection:
        before = filled(connection)[1]
        execute_on(connection, "UPDATE t SET a = CAST(a AS TEXT)")
        between = content(connection)
        execute_on(connection, "UPDATE t SET a = CAST(a AS BLOB)")
        after = content(connection)
    assert lost.lost_after_up(before, between) == []
    assert lost.lost_after_down(before, between, after) == []


def test_cents_are_lost_when_an_amount_is_rounded_to_whole(database: Database) -> None:
    before, up = after(database, ("UPDATE child SET amount = round(amount + 0.6, 0)",))
    assert len(lost.lost_after_up(before, up)) == 1


@pytest.mark.databases("sqlite")
def test_values_are_lost_when_sqlite_casts_them_away(database: Database) -> None:
    before, up = after(
        database,
        (
            "UPDATE child SET day = CAST(day AS DATE)",  # 2024-02-29 becomes 2024
            "UPDATE child SET amount = amount * 100 / 100",  # all right where not an integer
            "UPDATE parent SET note = CAST(note AS NUMERIC)",
        ),
    )
    lines = lost.lost_after_up(before, up)
    assert [line.split(":")[0] for line in lines] == ["child.day", "parent.note"]


@pytest.mark.databases("mariadb", "mysql")
def test_a_moment_that_each_update_changes_is_no_loss(database: Database) -> None:
    stamp = "TIMESTAMP NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp()"
    make(database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, at {stamp});\n")
    with database.engine.begin() as connection:
        before = filled(connection)[1]
        execute_on(connection, "UPDATE t SET n = n + 1", "UPDATE t SET n = n - 1")
        now = content(connection)
    assert before != now
    assert lost.lost_after_down(before, now, now) == []


def test_rows_without_a_key_are_told_apart_by_their_values(database: Database) -> None:
    make(database, "CREATE TABLE t (a INTEGER NOT NULL, b VARCHAR(9) NOT NULL);\n")
    with database.engine.begin() as connection:
        before = filled(connection)[1]
        execute_on(connection, "DELETE FROM t WHERE b = ''")
        fewer = content(connection)
        execute_on(connection, "INSERT INTO t VALUES (0, '')")
        back = content(connection)
        execute_on(connection, "UPDATE t SET b = 'else' WHERE a = 0")
        changed = content(connection)
    assert lost.lost_after_up(before, fewer) == ["rows of t: 4 before, 3 after"]
    assert lost.lost_after_down(before, fewer, back) == []
    assert lost.lost_after_down(before, fewer, changed) == ["t.b: '' -> 'else' in 1 row"]


def test_rows_written_above_a_downgrade_must_survive_it(database: Database) -> None:
    make(database, TREE)
    with database.engine.begin() as connection:
        up = content(connection)
        above = filled(connection)[1]
        execute_on(connection, "DELETE FROM child WHERE id > 2")
        down = content(connection)
    written = lost.since(up, above)
    assert lost.lost_after_up(written, down) == ["rows of child: 6 before, 2 after"]


def test_changed_by_names_the_tables_whose_rows_change_on_purpose() -> None:
    changed = lost.changed_by(
        [
            "UPDATE a SET x = 'DELETE FROM no'",
            'DELETE FROM "B b" WHERE 1=1',
            "INSERT INTO new_ SELECT * FROM old",
            "CREATE TABLE t (a INTEGER REFERENCES u ON DELETE CASCADE ON UPDATE CASCADE)",
            "CREATE TRIGGER g AFTER UPDATE ON t BEGIN UPDATE no SET a = 1; END",
            "WITH w AS (SELECT 1) UPDATE s.c SET x = 1",
            "TRUNCATE TABLE `d`",
            "SELECT x FROM t FOR UPDATE",
        ]
    )
    assert changed == frozenset({"a", "B b", "s.c", "d"})
    assert lost.changed_by(["DO $$ BEGIN UPDATE t SET a = 1; END $$"]) is None
    assert lost.changed_by(["SELECT move_everything()"]) is None
