"""SQLite, whose ALTER TABLE is small: what the verbs rebuild, they rebuild without a loss."""

# ruff: noqa: E501  # SQL as people write it

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import (
    Act,
    assert_applied,
    assert_conflict,
    assert_skipped,
    assert_unsafe,
    difference,
    failing_revision,
    outcome_of,
    prepare,
    quoted,
    revision,
    rows,
    run,
    snapshot,
)

pytestmark = pytest.mark.databases("sqlite")

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"
BILLS = """CREATE TABLE bills (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key, (really)
  name TEXT COLLATE NOCASE NOT NULL ON CONFLICT IGNORE DEFAULT ('a' || ')'),
  amount NUMERIC(12, 2) DEFAULT 0 CHECK (amount >= 0),
  user_id INTEGER REFERENCES users ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
  "check" TEXT,
  total NUMERIC AS (amount * 2) VIRTUAL,
  stored INTEGER GENERATED ALWAYS AS (amount + 1) STORED,
  parent_id INTEGER REFERENCES bills (id) ON DELETE CASCADE,
  old TEXT CONSTRAINT uq_old UNIQUE ON CONFLICT IGNORE /* comment, with ( parens */,
  plain TEXT,
  CHECK (name <> 'x, (y)'),
  CONSTRAINT ck_bills CHECK (length(name) < 100),
  UNIQUE (name, amount) ON CONFLICT REPLACE
)"""
RICH = [
    USERS,
    BILLS,
    "CREATE TABLE cascades (bill_id INTEGER REFERENCES bills ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE nulls (bill_id INTEGER REFERENCES bills (id) ON DELETE SET NULL)",
    "CREATE TABLE restricts (bill_id INTEGER NOT NULL REFERENCES bills (id) ON DELETE RESTRICT)",
    "CREATE TABLE defaults (bill_id INTEGER DEFAULT 2 REFERENCES bills (id) ON DELETE SET DEFAULT)",
    "CREATE TABLE grandchildren (bill_id INTEGER, FOREIGN KEY (bill_id) REFERENCES bills (id))",
    "CREATE INDEX ix_partial ON bills (amount) WHERE amount > 1",
    "CREATE INDEX ix_expression ON bills (lower(name), amount + 1)",
    "CREATE UNIQUE INDEX ix_desc ON bills (name COLLATE BINARY DESC, id ASC)",
    "CREATE TABLE log (what TEXT)",
    "CREATE TRIGGER inserted AFTER INSERT ON bills BEGIN"
    " INSERT INTO log VALUES ('insert; ' || new.name); UPDATE log SET what = what; END",
    "CREATE TRIGGER deleted BEFORE DELETE ON bills WHEN old.amount > 0 BEGIN"
    " INSERT INTO log VALUES (CASE old.name WHEN 'a' THEN 1 ELSE 2 END); END",
    "CREATE TRIGGER elsewhere AFTER INSERT ON users BEGIN UPDATE bills SET amount = 1; END",
    "CREATE VIEW owed AS SELECT bills.id, users.name FROM bills JOIN users ON user_id = users.id",
    "CREATE VIEW owed_twice AS SELECT * FROM owed",
    "INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob')",
    "INSERT INTO bills (id, name, amount, user_id, parent_id, old) VALUES"
    " (1, 'rent', 10, 1, NULL, 'a'), (2, 'Gas', 2.5, 2, 1, 'b'), (7, 'tax', 'much', 1, 2, NULL)",
    "INSERT INTO bills (id, name) VALUES (99, 'gone')",
    "DELETE FROM bills WHERE id = 99",
    *(
        f"INSERT INTO {child} VALUES (1), (2), (2), (7)"
        for child in ("cascades", "nulls", "restricts", "defaults", "grandchildren")
    ),
    "DELETE FROM log",
]

# Verbs that cannot be done by SQLite's own ALTER TABLE, and the clauses that they are to change.
REBUILDS: dict[str, tuple[Act, list[str]]] = {
    "drop_column (unique)": (
        lambda: helpers.drop_column("bills", "old"),
        [" old TEXT CONSTRAINT uq_old UNIQUE ON CONFLICT IGNORE"],
    ),
    "drop_column (with reference)": (
        lambda: helpers.drop_column("bills", "parent_id"),
        [" parent_id INTEGER REFERENCES bills (id) ON DELETE CASCADE,"],
    ),
    "drop_constraint (check)": (
        lambda: helpers.drop_constraint("ck_bills", "bills"),
        ["CONSTRAINT ck_bills CHECK (length(name) < 100),"],
    ),
    "drop_constraint (unique, in a column)": (
        lambda: helpers.drop_constraint("uq_old", "bills", type_="unique"),
        ["CONSTRAINT uq_old UNIQUE ON CONFLICT IGNORE"],
    ),
    "create_unique_constraint": (
        lambda: helpers.create_unique_constraint("uq_new", "bills", ["amount", "user_id"]),
        [],
    ),
    "create_check_constraint": (
        lambda: helpers.create_check_constraint("ck_new", "bills", "id > 0"),
        [],
    ),
    "create_foreign_key": (
        lambda: helpers.create_foreign_key(
            "fk_new", "bills", "users", ["parent_id"], ["id"], ondelete="SET NULL"
        ),
        [],
    ),
    "alter_column (default)": (
        lambda: helpers.alter_column("bills", "check", server_default="new"),
        [' "check" TEXT'],
    ),
    "alter_column (type)": (
        lambda: helpers.alter_column("bills", "plain", type_=sa.String(50)),
        ["plain TEXT"],
    ),
    "alter_column (not null)": (
        lambda: helpers.alter_column("bills", "amount", nullable=False),
        ["amount NUMERIC(12, 2) DEFAULT 0"],
    ),
    "add_column (default that is an expression)": (
        lambda: helpers.add_column(
            "bills", sa.Column("made", sa.DateTime(), server_default=sa.func.now())
        ),
        [],
    ),
}
NATIVE: dict[str, tuple[Act, list[str]]] = {
    "drop_column": (lambda: helpers.drop_column("bills", "plain"), [" plain TEXT,"]),
    "add_column": (
        lambda: helpers.add_column("bills", sa.Column("more", sa.Integer(), server_default="0")),
        [],
    ),
}
each_rebuild = pytest.mark.parametrize(("act", "changed"), REBUILDS.values(), ids=REBUILDS.keys())
each_change = pytest.mark.parametrize(
    ("act", "changed"), (NATIVE | REBUILDS).values(), ids=(NATIVE | REBUILDS).keys()
)
each_mode = pytest.mark.parametrize("mode", ["plain", "after-dml"])


def words(sql: str) -> str:
    return re.sub(r"\s+", " ", sql)


def table_sql(connection: sa.Connection, table: str = "bills") -> str:
    return str(rows(connection, f"SELECT sql FROM sqlite_master WHERE name = '{table}'")[0][0])


def clauses(sql: str) -> list[str]:
    """Return the lines of a CREATE TABLE, each of which is one clause here."""
    return [words(line).strip() for line in sql.splitlines()[1:-1]]


def belongings(connection: sa.Connection, *, but: str = "bills") -> list[tuple[Any, ...]]:
    sql = f"SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> '{but}' AND sql IS NOT NULL"
    return sorted(rows(connection, sql))


def contents(connection: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of all tables, of bills only the columns that every verb here keeps."""
    tables = ["users", "cascades", "nulls", "restricts", "defaults", "grandchildren", "log"]
    found = {table: rows(connection, f"SELECT rowid, * FROM {table}") for table in tables}
    columns = 'id, name, amount, typeof(amount), user_id, "check", total, stored'
    found["bills"] = rows(connection, f"SELECT {columns} FROM bills ORDER BY id")
    found["owed"] = sorted(rows(connection, "SELECT * FROM owed_twice"))
    found["sqlite_sequence"] = rows(connection, "SELECT * FROM sqlite_sequence")
    return found


def assert_sound(connection: sa.Connection) -> None:
    assert rows(connection, "PRAGMA integrity_check") == [("ok",)]
    assert rows(connection, "PRAGMA foreign_key_check") == []
    assert rows(connection, "PRAGMA foreign_keys") == [(1,)]
    assert rows(connection, "PRAGMA legacy_alter_table") == [(0,)]
    assert [name for _, name, *_ in belongings(connection) if "alembic" in name] == []


def refused(act: Act) -> Exception:
    """Run a verb that must fail, by whatever error, and change nothing."""
    before = snapshot(helpers.get_bind())
    with pytest.raises((sa.exc.DBAPIError, CommandError)) as raised:
        act()
    assert difference(before, snapshot(helpers.get_bind())) == []
    return raised.value


# Nothing is lost


@each_mode
@each_change
def test_verb_keeps_everything_when_table_is_rich(
    database: Database, act: Act, changed: list[str], mode: str
) -> None:
    prepare(database, *RICH)
    with database.engine.connect() as connection:
        rows_before, others_before = contents(connection), belongings(connection)
    with revision(database, mode):
        assert_applied(act)
    with revision(database) as connection:
        written = [("table", "written", "written", "CREATE TABLE written (id INTEGER)")]
        others = [other for other in belongings(connection) if other not in written]
        assert others == others_before
        assert contents(connection) == rows_before
        text = table_sql(connection)
        touched = [
            clause for clause in clauses(BILLS) if any(words(c).strip() in clause for c in changed)
        ]
        kept = [clause for clause in clauses(BILLS) if clause not in touched]
        assert len(kept) >= len(clauses(BILLS)) - 1
        assert [c for c in kept if c.rstrip(",") not in words(text)] == []
        assert_sound(connection)
        if mode == "after-dml":
            assert rows(connection, "SELECT * FROM written") == [(1,)]
        assert_skipped(act)


@each_change
def test_verb_leaves_what_works_working_when_table_is_rich(
    database: Database, act: Act, changed: list[str]
) -> None:
    prepare(database, *RICH)
    with revision(database) as connection:
        act()
        run(connection, "INSERT INTO bills (name, amount) VALUES ('new', 5)")
        assert rows(connection, "SELECT max(id), max(stored) FROM bills WHERE name = 'new'") == [
            (100, 6)
        ]
        assert ("insert; new",) in rows(connection, "SELECT what FROM log")
        for statement in [
            "INSERT INTO bills (name, amount) VALUES ('less', -1)",
            "INSERT INTO bills (name) VALUES ('x, (y)')",
            "INSERT INTO restricts VALUES (1234)",
            "DELETE FROM bills WHERE id = 1",
        ]:
            with pytest.raises(sa.exc.IntegrityError):
                run(connection, statement)
        run(connection, "DELETE FROM restricts")
        run(connection, "DELETE FROM grandchildren")
        run(connection, "DELETE FROM bills WHERE id = 7")
        assert rows(connection, "SELECT count(*) FROM cascades WHERE bill_id = 7") == [(0,)]
        assert rows(connection, "SELECT count(*) FROM nulls WHERE bill_id IS NULL") == [(1,)]
        assert ("2",) in rows(connection, "SELECT what FROM log")
        plan = rows(connection, "EXPLAIN QUERY PLAN SELECT 1 FROM bills WHERE lower(name) = 'a'")
        assert "ix_expression" in str(plan)


@each_rebuild
def test_verb_refuses_when_children_could_not_be_kept(
    database: Database, act: Act, changed: list[str]
) -> None:
    prepare(database, *RICH)
    with revision(database, "explicit-begin") as connection:
        message = assert_unsafe(act, "bills")
        assert "PRAGMA foreign_keys" in message
        assert_sound(connection)


@pytest.mark.parametrize(("act", "changed"), NATIVE.values(), ids=NATIVE.keys())
def test_verb_acts_when_begun_explicitly_and_no_rebuild_is_needed(
    database: Database, act: Act, changed: list[str]
) -> None:
    prepare(database, *RICH)
    with revision(database, "explicit-begin") as connection:
        before = contents(connection)
        assert_applied(act)
        assert contents(connection) == before
        assert_sound(connection)


@each_rebuild
def test_verb_acts_when_begun_explicitly_with_foreign_keys_off(
    database: Database, act: Act, changed: list[str]
) -> None:
    prepare(database, *RICH)

    @sa.event.listens_for(database.engine, "connect")
    def off(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys=OFF")

    with database.engine.connect() as connection:
        before = contents(connection), belongings(connection), snapshot(connection)
    with failing_revision(database, "explicit-begin") as connection:
        assert_applied(act)
        assert (contents(connection), belongings(connection)) == before[:2]
        assert rows(connection, "PRAGMA foreign_key_check") == []
    with database.engine.connect() as connection:
        assert difference(before[2], snapshot(connection)) == []


def test_verb_acts_when_begun_explicitly_and_nothing_refers_to_the_table(
    database: Database,
) -> None:
    prepare(database, USERS, "INSERT INTO users VALUES (1, 'Ann')")
    with revision(database, "explicit-begin") as connection:
        assert_applied(lambda: helpers.create_check_constraint("ck", "users", "name <> ''"))
        assert rows(connection, "SELECT * FROM users") == [(1, "Ann")]
    with revision(database):
        assert_skipped(lambda: helpers.create_check_constraint("ck", "users", "name <> ''"))


@each_mode
def test_drop_table_refuses_when_rows_of_another_table_would_go_too(
    database: Database, mode: str
) -> None:
    prepare(database, *RICH)
    with revision(database, mode) as connection:
        assert_unsafe(lambda: helpers.drop_table("bills"), "cascades|nulls|restricts|defaults")
        assert_sound(connection)


def test_drop_table_acts_when_only_itself_is_referenced(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree ON DELETE CASCADE)",
        "INSERT INTO tree VALUES (1, NULL), (2, 1)",
    )
    with revision(database):
        assert_applied(lambda: helpers.drop_table("tree"))


def test_rename_table_keeps_children_when_they_reference_it(database: Database) -> None:
    prepare(database, *RICH)
    with revision(database) as connection:
        assert_applied(lambda: helpers.rename_table("bills", "invoices"))
        assert rows(connection, "SELECT count(*) FROM cascades") == [(4,)]
        assert 'REFERENCES "invoices"' in table_sql(connection, "cascades")
        assert rows(connection, "SELECT count(*) FROM owed") == [(3,)]


@pytest.mark.parametrize(
    "definition",
    [
        "(id INTEGER NOT NULL PRIMARY KEY, n INT, t TEXT CONSTRAINT ck CHECK (t <> '')) STRICT",
        "(id TEXT PRIMARY KEY DESC, n INT, t TEXT CONSTRAINT ck CHECK (t <> '')) WITHOUT ROWID",
        "(id TEXT, n INT, t TEXT CONSTRAINT ck CHECK (t <> ''), PRIMARY KEY (t, id)) STRICT, WITHOUT ROWID",
        "(id INTEGER PRIMARY KEY DESC, n INT, t TEXT CONSTRAINT ck CHECK (t <> ''))",
        "(id, n INT, t, CONSTRAINT ck CHECK (t <> ''))",
        "(id, n INT, t, CONSTRAINT ck CHECK (t <> '')) -- not WITHOUT rowids\n",
    ],
)
def test_drop_constraint_keeps_the_kind_of_table_when_rebuilt(
    database: Database, definition: str
) -> None:
    prepare(
        database,
        f"CREATE TABLE bills {definition}",
        "INSERT INTO bills (id, n, t) VALUES (3, 3, 'x'), (1, 1, 'y'), (2, 2, 'z')",
        "DELETE FROM bills WHERE n = 1",
    )
    has_rowid = "WITHOUT ROWID" not in definition
    query = f"SELECT {'rowid, ' if has_rowid else ''}* FROM bills ORDER BY n"
    with revision(database) as connection:
        before = rows(connection, query)
        tail = table_sql(connection).rsplit(")", 1)[1]
        assert_applied(lambda: helpers.drop_constraint("ck", "bills"))
        assert rows(connection, query) == before
        assert table_sql(connection).rsplit(")", 1)[1] == tail
        run(connection, "INSERT INTO bills (id, n, t) VALUES (9, 9, '')")


def test_create_check_constraint_keeps_the_spelling_of_the_table_when_asked_in_another(
    database: Database,
) -> None:
    prepare(
        database, 'CREATE TABLE "Bills" (id INTEGER PRIMARY KEY, up INTEGER REFERENCES "Bills")'
    )
    with revision(database) as connection:
        assert_applied(lambda: helpers.create_check_constraint("ck", "bills", "id > 0"))
        assert rows(connection, "SELECT name FROM sqlite_master WHERE sql LIKE '%CK%'") == [
            ("Bills",)
        ]
        assert_skipped(lambda: helpers.create_check_constraint("CK", "BILLS", "ID > 0"))


def test_alter_column_keeps_generated_columns_when_they_use_it(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, amount INTEGER, tax AS (amount / 5),"
        " total INTEGER GENERATED ALWAYS AS (amount + amount / 5) STORED NOT NULL UNIQUE)",
        "INSERT INTO bills (amount) VALUES (10), (20)",
    )
    with revision(database) as connection:
        assert_applied(lambda: helpers.alter_column("bills", "amount", type_=sa.Numeric(12, 2)))
        assert rows(connection, "SELECT tax, total FROM bills") == [(2, 12), (4, 24)]
        assert "STORED NOT NULL UNIQUE" in table_sql(connection)


@pytest.mark.parametrize("persisted", [True, False])
def test_add_column_acts_when_it_is_generated(database: Database, persisted: bool) -> None:
    def act() -> None:
        column = sa.Column("twice", sa.Integer(), sa.Computed("amount + 2", persisted=persisted))
        helpers.add_column("bills", column)

    prepare(database, *RICH)
    with revision(database) as connection:
        assert_applied(act)
        assert rows(connection, "SELECT twice FROM bills WHERE id < 3") == [(12,), (4.5,)]
        assert_skipped(act)


@pytest.mark.parametrize("mode", ["plain", "after-dml", "explicit-begin"])
def test_add_column_with_reference_acts_when_rows_are_there(database: Database, mode: str) -> None:
    prepare(
        database,
        USERS,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY)",
        "INSERT INTO bills VALUES (1)",
    )

    def act() -> None:
        column = sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id", ondelete="CASCADE"))
        helpers.add_column("bills", column)

    with revision(database, mode) as connection:
        assert_applied(act)
        assert rows(connection, "SELECT * FROM bills") == [(1, None)]
    with revision(database) as connection:
        assert_skipped(act)
        keys = rows(
            connection, 'SELECT "table", "from", on_delete FROM pragma_foreign_key_list(\'bills\')'
        )
        assert keys == [("users", "user_id", "CASCADE")]
        with pytest.raises(sa.exc.IntegrityError):
            run(connection, "INSERT INTO bills VALUES (2, 2)")


@pytest.mark.parametrize("unique", [True, None])
def test_add_column_makes_its_unique_and_index_when_asked(database: Database, unique: bool) -> None:
    prepare(database, USERS, "INSERT INTO users VALUES (1, 'Ann')")

    def act() -> None:
        helpers.add_column(
            "users", sa.Column("email", sa.String(), unique=unique, index=not unique)
        )

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        indexes = rows(connection, "SELECT \"unique\" FROM pragma_index_list('users')")
        assert indexes == [(int(bool(unique)),)]


# What stands in the way


@each_rebuild
def test_verb_acts_when_a_temporary_table_was_left_over(
    database: Database, act: Act, changed: list[str]
) -> None:
    prepare(
        database,
        *RICH,
        "CREATE TABLE _alembic_tmp_bills (id INTEGER PRIMARY KEY, up REFERENCES users)",
        "INSERT INTO _alembic_tmp_bills VALUES (1, 1)",
    )
    with revision(database) as connection:
        before = contents(connection)
        assert_applied(act)
        assert contents(connection) == before
        assert_sound(connection)


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("CREATE VIEW uses AS SELECT plain FROM bills", "plain"),
        ("CREATE VIEW uses AS SELECT old FROM bills", "old"),
        ("CREATE VIEW uses AS SELECT b.old AS x FROM bills AS b WHERE id IN (SELECT 1)", "old"),
        ("CREATE TRIGGER uses AFTER UPDATE OF plain ON bills BEGIN SELECT 1; END", "plain"),
        ("CREATE TRIGGER uses AFTER DELETE ON bills BEGIN SELECT old.old; END", "old"),
        ("CREATE TRIGGER uses AFTER DELETE ON bills BEGIN SELECT old.plain; END", "plain"),
        ("CREATE TRIGGER uses AFTER INSERT ON users BEGIN UPDATE bills SET old = 1; END", "old"),
        (
            "CREATE TRIGGER uses AFTER INSERT ON users BEGIN UPDATE bills SET plain = 1; END",
            "plain",
        ),
        ("CREATE TABLE child (c TEXT REFERENCES bills (old) ON DELETE CASCADE)", "old"),
    ],
)
@pytest.mark.parametrize("mode", ["plain", "after-dml", "explicit-begin"])
def test_drop_column_refuses_when_something_uses_the_column(
    database: Database, statement: str, column: str, mode: str
) -> None:
    prepare(database, *RICH, statement)
    with revision(database, mode) as connection:
        assert_unsafe(lambda: helpers.drop_column("bills", column), "drop_column")
        assert_sound(connection)


def test_drop_column_refuses_when_a_generated_column_uses_it(database: Database) -> None:
    prepare(database, *RICH)
    with revision(database) as connection:
        assert_unsafe(lambda: helpers.drop_column("bills", "amount"), "drop_column")
        assert_sound(connection)


def test_drop_column_refuses_when_it_is_the_only_one(database: Database) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER)")
    with revision(database):
        refused(lambda: helpers.drop_column("bills", "id"))


def test_drop_column_takes_its_indexes_and_constraints_when_they_use_it(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, a INT CHECK (b > 0), b INT CHECK (b > 1), c INT,"
        " UNIQUE (a, b), CHECK (a < b), CHECK (a <> 'b'), UNIQUE (a, c))",
        "CREATE INDEX ix_b ON bills (b)",
        "CREATE INDEX ix_where ON bills (a) WHERE b > 0",
        "CREATE INDEX ix_a ON bills (a) WHERE a <> 'b'",
        "INSERT INTO bills (a, b, c) VALUES ('1', 2, 3)",
    )
    with revision(database) as connection:
        assert_applied(lambda: helpers.drop_column("bills", "b"))
        text = words(table_sql(connection))
        assert "UNIQUE (a, c)" in text
        assert "CHECK (a <> 'b')" in text
        assert text.count("CHECK") == 1
        assert text.count("UNIQUE") == 1
        assert [name for kind, name, *_ in belongings(connection) if kind == "index"] == ["ix_a"]
        assert rows(connection, "SELECT * FROM bills") == [(1, 1, 3)]
        assert_skipped(lambda: helpers.drop_column("bills", "b"))


def test_drop_constraint_refuses_when_a_child_needs_the_unique_columns(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, code TEXT, CONSTRAINT uq UNIQUE (code))",
        "CREATE TABLE child (code TEXT REFERENCES bills (code) ON DELETE CASCADE)",
        "INSERT INTO bills VALUES (1, 'a')",
        "INSERT INTO child VALUES ('a')",
    )
    with revision(database):
        assert_unsafe(lambda: helpers.drop_constraint("uq", "bills"))


# Errors half-way


ERRORS: dict[str, Act] = {
    "NOT NULL over NULLs": lambda: helpers.alter_column("bills", "parent_id", nullable=False),
    "unique over duplicates": lambda: helpers.create_unique_constraint("uq", "bills", ["user_id"]),
    "check over other values": lambda: helpers.create_check_constraint("ck", "bills", "id < 5"),
    "reference to nowhere": lambda: helpers.create_foreign_key(
        "fk", "bills", "users", ["id"], ["id"]
    ),
    "check that is no SQL": lambda: helpers.create_check_constraint("ck", "bills", "id >"),
    "check of no column": lambda: helpers.create_check_constraint("ck", "bills", "nowhere > 1"),
    "unique of no column": lambda: helpers.create_unique_constraint("uq", "bills", ["nowhere"]),
    "new column without a value": lambda: helpers.add_column(
        "bills", sa.Column("new", sa.Integer(), nullable=False)
    ),
}


@pytest.mark.parametrize("act", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("mode", ["plain", "after-dml"])
def test_verb_changes_nothing_when_rows_are_against_it(
    database: Database, act: Act, mode: str
) -> None:
    prepare(database, *RICH)
    with revision(database, mode) as connection:
        refused(act)
        assert_sound(connection)
        assert_applied(lambda: helpers.create_check_constraint("ck_later", "bills", "id > 0"))
        assert_sound(connection)


@pytest.mark.parametrize("act", ERRORS.values(), ids=ERRORS.keys())
def test_verb_changes_nothing_when_begun_explicitly_and_rows_are_against_it(
    database: Database, act: Act
) -> None:
    table = BILLS.replace("REFERENCES bills (id) ON DELETE CASCADE", "")
    alone = [table if s == BILLS else s for s in RICH]
    alone = [s for s in alone if "REFERENCES bills" not in s and "bill_id" not in s]
    alone = [
        s
        for s in alone
        if not re.match(r"INSERT INTO (cascades|nulls|restricts|defaults|grand)", s)
    ]
    prepare(database, *alone)
    with revision(database, "explicit-begin") as connection:
        refused(act)
        assert_sound(connection)


CRASH = """
import json, os, shutil, sys
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import revision, rows, snapshot

path, verb = sys.argv[1:]
REBUILDS = {
    "create_check_constraint": lambda: helpers.create_check_constraint("ck", "bills", "id > 0"),
    "drop_column": lambda: helpers.drop_column("bills", "old"),
    "add_column": lambda: helpers.add_column("bills", sa.Column(
        "user_id", sa.Integer(), sa.ForeignKey("users.id"), unique=True)),
}

def at(path):
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    sa.event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA foreign_keys=ON"))
    return Database("sqlite", str(engine.url), engine, lambda: None)

def upgrade(path, kill_at=None, kill_in_copy=False):
    count = 0
    def tick(sql):
        nonlocal count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), 9)
    with revision(at(path)) as connection:
        driver = connection.connection.driver_connection
        if kill_in_copy:
            driver.set_progress_handler(lambda: os.kill(os.getpid(), 9), 10000)
        driver.set_trace_callback(tick)
        REBUILDS[verb]()
        driver.set_trace_callback(None)
    return count

def state(path):
    with at(path).engine.connect() as connection:
        found = snapshot(connection)
        assert rows(connection, "PRAGMA foreign_key_check") == []
        assert rows(connection, "PRAGMA integrity_check") == [("ok",)]
        return {k: v.split(" [page ")[0] for k, v in found.items()}

shutil.copy(path, path + "-whole")
statements = upgrade(path + "-whole")
wanted, findings, died = state(path + "-whole"), [], 0
for kill_at in [*range(1, statements + 1), None]:
    copy = f"{path}-{kill_at}"
    shutil.copy(path, copy)
    child = os.fork()
    if child == 0:
        upgrade(copy, kill_at, kill_in_copy=kill_at is None)
        os._exit(0)
    died += os.waitpid(child, 0)[1] == 9
    try:
        upgrade(copy)
        if state(copy) != wanted:
            findings.append([kill_at, "another schema or other rows"])
    except Exception as error:
        findings.append([kill_at, repr(error)[:400]])
print(json.dumps({"statements": statements, "died": died, "findings": findings}))
"""


@pytest.mark.long
@pytest.mark.parametrize("verb", ["create_check_constraint", "drop_column", "add_column"])
def test_verb_finishes_when_run_again_after_kill(database: Database, verb: str) -> None:
    prepare(
        database,
        USERS,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, old TEXT UNIQUE)",
        "CREATE TABLE child (bill_id INTEGER REFERENCES bills ON DELETE CASCADE)",
        "CREATE INDEX ix_name ON bills (lower(name)) WHERE id > 10",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " INSERT INTO bills SELECT i, 'bill ' || i, i FROM n",
        "INSERT INTO child SELECT id FROM bills WHERE id % 10 = 0",
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CRASH, str(database.engine.url.database), verb],
        capture_output=True,
        text=True,
        cwd=Path(helpers.__file__).parent,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["findings"] == []
    assert result["died"] >= result["statements"] > 5


# Texts as people write them


ODD: dict[str, str] = {
    "one line": "CREATE TABLE bills(id INTEGER PRIMARY KEY,a TEXT CONSTRAINT ck CHECK(a<>''),b INT DEFAULT 1)",
    "comments": """CREATE TABLE bills ( -- it's (a, table
        id INTEGER PRIMARY KEY, /* key, ) */ a TEXT -- the "a"
        CONSTRAINT ck /* named */ CHECK (a <> '') -- last, (
        , b INT DEFAULT 1 -- b
        )""",
    "quoted keywords": """CREATE TABLE bills (id INTEGER PRIMARY KEY, "check" TEXT, [primary] INT,
        `unique` TEXT, "constraint" INT, "foreign" INT, a TEXT, b INT DEFAULT 1,
        CONSTRAINT ck CHECK (a <> "check" OR [primary] IS `unique`))""",
    "brackets": "CREATE TABLE [bills] ([id] INTEGER PRIMARY KEY, [a] [TEXT] CONSTRAINT [ck] CHECK ([a] <> ''),"
    " [b] INT DEFAULT 1, [c, (d] TEXT)",
    "backticks": "CREATE TABLE `bills` (`id` INTEGER PRIMARY KEY, `a` TEXT, `b` INT DEFAULT 1, `x``y` INT,"
    " CONSTRAINT `ck` CHECK (`a` <> ''))",
    "names in single quotes": "CREATE TABLE 'bills' ('id' INTEGER PRIMARY KEY, 'a' TEXT, 'b' INT DEFAULT 1,"
    " CONSTRAINT 'ck' CHECK (a <> ''))",
    "no commas between constraints": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT, b INT DEFAULT 1,"
    " CHECK (b <> 7) CONSTRAINT ck CHECK (a <> '') CONSTRAINT uq UNIQUE (a, b))",
    "strings": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT CHECK (a <> 'CHECK (x), ('), b INT DEFAULT 1,"
    " CONSTRAINT ck CHECK (a <> 'it''s, (' AND a NOT IN (')', '--', '/*', '\"', '[')))",
    "defaults": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT DEFAULT ((('x' || ('(' || ',')))), b INT"
    " DEFAULT -1, c DEFAULT +1.5e-3, d DEFAULT x'00ff', e DEFAULT \"str\", f DEFAULT NULL"
    " COLLATE nocase, g DEFAULT TRUE, h DEFAULT CURRENT_TIMESTAMP, i DEFAULT 'a, ''b'')', CONSTRAINT ck CHECK (a <> ''))",
    "types": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a VARCHAR (10) , b UNSIGNED BIG INT DEFAULT 1,"
    " c DECIMAL(10 , -2), d, e \"double (x)\", f, CONSTRAINT ck CHECK (a <> ''))",
    "references": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT REFERENCES bills(a) ON DELETE SET DEFAULT"
    " ON UPDATE NO ACTION MATCH FULL NOT DEFERRABLE INITIALLY IMMEDIATE UNIQUE ON CONFLICT FAIL, b INT"
    " DEFAULT 1 NULL REFERENCES other DEFERRABLE, CONSTRAINT ck CHECK (a <> ''), FOREIGN KEY (b) REFERENCES"
    " other ON DELETE SET NULL)",
    "generated": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT, b INT DEFAULT 1, c INT AS (b + 1), d GENERATED"
    " ALWAYS AS (length(a)) STORED CHECK (d < 99) NOT NULL, CONSTRAINT ck CHECK (a <> ''))",
    "nameless names": "CREATE TABLE bills (id INTEGER CONSTRAINT pk PRIMARY KEY ASC ON CONFLICT ABORT, a TEXT"
    " CONSTRAINT nn NOT NULL CONSTRAINT ck CHECK (a <> '') COLLATE nocase, b INT CONSTRAINT df DEFAULT 1)",
    "lower case": "create table bills (id integer primary key, a text constraint ck check (a <> '') collate"
    " nocase, b int default 1 check (b in (1, 2, 3)), unique (b, id))",
    "unreserved words": "CREATE TABLE bills (id INTEGER PRIMARY KEY, key INT, action TEXT, generated INT, always INT,"
    " a TEXT, b INT DEFAULT 1, conflict INT, CONSTRAINT ck CHECK (a <> '' OR key IS NOT action))",
    "tabs and returns": "CREATE TABLE bills\t(\r\n\tid\tINTEGER\tPRIMARY\tKEY\r\n,\ta\tTEXT\tCONSTRAINT\tck\tCHECK\t(a\t<>\t'')"
    "\r\n,\tb\tINT\tDEFAULT\t1\r\n)",
    "added later": "CREATE TABLE bills (id INTEGER PRIMARY KEY, CONSTRAINT ck CHECK (id > 0))",
    "schema and condition": "CREATE TABLE IF NOT EXISTS main . bills (id INTEGER PRIMARY KEY, a TEXT, b INT DEFAULT 1,"
    " CONSTRAINT ck CHECK (a <> ''))",
    "comma in a comment": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT CONSTRAINT ck CHECK (a <> ''),"
    " /* now, b */ b INT DEFAULT 1 -- the last, (b)\n)",
    "as select": "CREATE TABLE bills AS SELECT 1 AS id, 'x' AS a, 1 AS b, 2 AS \"c, (d\"",
    "unicode": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT CHECK (a <> 'é, ('), b INT DEFAULT 1, größe INT,"
    " \"☃\" INT, CONSTRAINT ck CHECK (a <> '🎉'))",
    "dollar and at": "CREATE TABLE bills (id INTEGER PRIMARY KEY, a TEXT, b INT DEFAULT 1, x$y INT,"
    " CONSTRAINT ck CHECK (a <> '$1' OR x$y = 1))",
}


@pytest.fixture(params=ODD.keys())
def odd(request: pytest.FixtureRequest, database: Database) -> Database:
    prepare(
        database, "CREATE TABLE other (id INTEGER PRIMARY KEY)", "INSERT INTO other VALUES (1), (2)"
    )
    prepare(database, ODD[request.param])
    if request.param == "added later":
        prepare(
            database,
            "ALTER TABLE bills ADD COLUMN a TEXT CHECK (a <> 'q')",
            "ALTER TABLE bills ADD b INT DEFAULT 1",
        )
    if request.param == "as select":
        prepare(database, "DELETE FROM bills")
    prepare(
        database,
        "CREATE INDEX ix ON bills (a DESC) WHERE b > 0",
        "CREATE TABLE child (bill_id INTEGER)"
        if request.param == "as select"
        else "CREATE TABLE child (bill_id INTEGER REFERENCES bills ON DELETE CASCADE)",
        "INSERT INTO bills (id, a, b) VALUES (1, 'one', 1), (2, NULL, 2)"
        if "nn NOT NULL" not in ODD[request.param] and "STORED" not in ODD[request.param]
        else "INSERT INTO bills (id, a, b) VALUES (1, 'one', 1), (2, 'two', 2)",
        *(["INSERT INTO child VALUES (1), (2)"] if request.param != "as select" else []),
    )
    if "REFERENCES bills(a)" in ODD[request.param]:
        prepare(database, "UPDATE bills SET a = 'one' WHERE id = 1")
    return database


def shape(connection: sa.Connection, without: str = "") -> dict[str, Any]:
    """Say what SQLite itself understood of the table."""
    found: dict[str, Any] = {
        "columns": [
            row[1:] for row in rows(connection, "PRAGMA table_xinfo('bills')") if row[1] != without
        ],
        "references": sorted(
            row[2:] for row in rows(connection, "PRAGMA foreign_key_list('bills')")
        ),
        "indexes": sorted(
            (row[2:], tuple(rows(connection, f"PRAGMA index_xinfo({quoted(connection, row[1])})")))
            for row in rows(connection, "PRAGMA index_list('bills')")
        ),
        "children": rows(connection, "SELECT * FROM child"),
        "checks": len(re.findall(r"\bCHECK\b\s*\(", table_sql(connection), re.I)),
    }
    names = [row[0] for row in found["columns"]]
    listed = ", ".join(quoted(connection, name) for name in names)
    found["rows"] = rows(connection, f"SELECT {listed} FROM bills ORDER BY id")
    return found


def test_drop_constraint_finds_it_when_the_text_is_odd(odd: Database) -> None:
    with revision(odd) as connection:
        before = shape(connection)
        has = "ck" in table_sql(connection)
        assert helpers.table_has_constraint("bills", "ck") is has
        if has:
            assert_applied(lambda: helpers.drop_constraint("ck", "bills"))
            before["checks"] -= 1
        assert shape(connection) == before
        assert helpers.table_has_constraint("bills", "ck") is False
        assert_skipped(lambda: helpers.drop_constraint("ck", "bills"))


def test_create_unique_constraint_adds_only_that_when_the_text_is_odd(odd: Database) -> None:
    with revision(odd) as connection:
        before = shape(connection)
        assert_applied(lambda: helpers.create_unique_constraint("uq_odd", "bills", ["id", "b"]))
        after = shape(connection)
        assert len(after.pop("indexes")) == len(before.pop("indexes")) + 1
        assert after == before
        assert_skipped(lambda: helpers.create_unique_constraint("uq_odd", "bills", ["id", "b"]))
        assert_applied(lambda: helpers.drop_constraint("uq_odd", "bills"))
        assert_skipped(lambda: helpers.drop_constraint("uq_odd", "bills"))


def test_alter_column_changes_only_that_when_the_text_is_odd(odd: Database) -> None:
    with revision(odd) as connection:
        before = shape(connection)
        type_, old = sa.Numeric(9, 3), next(c for c in before["columns"] if c[0] == "b")
        assert_applied(
            lambda: helpers.alter_column(
                "bills", "b", type_=type_, nullable=False, server_default="5"
            )
        )
        after = shape(connection)
        new = ("b", "NUMERIC(9, 3)", 1, "'5'", *old[4:])
        assert [c for c in after["columns"] if c[0] == "b"] == [new]
        before["columns"] = [new if c == old else c for c in before["columns"]]
        assert after == before
        assert_skipped(
            lambda: helpers.alter_column(
                "bills", "b", type_=type_, nullable=False, server_default="5"
            )
        )


def test_alter_column_keeps_what_was_not_asked_when_the_text_is_odd(odd: Database) -> None:
    with revision(odd) as connection:
        before = shape(connection)
        old = next(c for c in before["columns"] if c[0] == "b")
        assert_applied(lambda: helpers.alter_column("bills", "b", nullable=False))
        before["columns"] = [(*c[:2], 1, *c[3:]) if c == old else c for c in before["columns"]]
        assert shape(connection) == before
        assert_applied(lambda: helpers.alter_column("bills", "b", nullable=True))
        before["columns"] = [(*c[:2], 0, *c[3:]) if c[0] == "b" else c for c in before["columns"]]
        assert shape(connection) == before


def test_drop_column_takes_only_that_when_the_text_is_odd(odd: Database) -> None:
    with revision(odd) as connection:
        if "(b + 1)" in table_sql(connection):
            assert_unsafe(lambda: helpers.drop_column("bills", "b"))
            return
        before = shape(connection, without="b")
        assert_applied(lambda: helpers.drop_column("bills", "b"))
        after = shape(connection)
        for key in ("rows", "children"):
            assert after[key] == before[key]
        assert [c[:4] for c in after["columns"]] == [c[:4] for c in before["columns"]]
        assert_skipped(lambda: helpers.drop_column("bills", "b"))


def test_add_column_adds_only_that_when_the_text_is_odd(odd: Database) -> None:
    def act() -> None:
        helpers.add_column("bills", sa.Column("new", sa.DateTime(), server_default=sa.func.now()))

    with revision(odd) as connection:
        before = shape(connection, without="new")
        assert_applied(act)
        assert shape(connection, without="new") == before
        assert_skipped(act)


def test_alter_column_keeps_comments_when_they_stand_before_and_behind(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, -- the key\n"
        "  /* how much */ amount /* roughly */ INT, -- in cents\n  paid INT -- not yet\n)",
    )
    with revision(database) as connection:
        helpers.alter_column("bills", "amount", type_=sa.Numeric(12, 2), nullable=False)
        text = table_sql(connection)
        for comment in ("-- the key\n", "/* how much */", "-- in cents\n", "-- not yet\n"):
            assert comment in text


def test_verb_refuses_when_the_table_is_virtual(database: Database) -> None:
    prepare(
        database, "CREATE VIRTUAL TABLE notes USING fts5 (a, b)", "INSERT INTO notes VALUES (1, 2)"
    )
    verbs: list[Callable[[], Any]] = [
        lambda: helpers.drop_column("notes", "a"),
        lambda: helpers.add_column("notes", sa.Column("c", sa.Text())),
        lambda: helpers.alter_column("notes", "a", nullable=False),
        lambda: helpers.create_check_constraint("ck", "notes", "a > 0"),
    ]
    with revision(database):
        assert helpers.table_exists("notes")
        assert helpers.table_has_column("notes", "a")
        assert not helpers.table_has_constraint("notes", "ck")
        for verb in verbs:
            refused(verb)
        assert_skipped(lambda: helpers.drop_constraint("ck", "notes"))
        assert_applied(lambda: helpers.drop_table("notes"))


@each_rebuild
def test_verb_works_in_an_attached_database_when_schema_is_given(
    database: Database, other_schema: str, act: Act, changed: list[str]
) -> None:
    # The same table in both: the one in main must stay as it is.
    prepare(database, *RICH)
    there = [
        re.sub(
            r"^(CREATE (?:UNIQUE )?(?:TABLE|VIEW|INDEX|TRIGGER)|INSERT INTO|DELETE FROM) ",
            r"\1 other.",
            s,
        )
        for s in RICH
    ]
    prepare(database, *there)
    verb, arguments = recorded(act)
    with revision(database) as connection:
        key = "source_schema" if verb is helpers.create_foreign_key else "schema"
        more = {"referent_schema": "other"} if key == "source_schema" else {}
        outcome = assert_applied(
            lambda: verb(*arguments[0], **arguments[1], **{key: "other"}, **more)
        )
        assert [c for c in outcome.changes if " main." in c.split(":")[0]] == []
        assert rows(connection, "SELECT count(*) FROM other.cascades") == [(4,)]
        assert rows(connection, "SELECT count(*) FROM other.nulls WHERE bill_id IS NULL") == [(0,)]
        kept = rows(
            connection,
            "SELECT count(*) FROM other.sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL",
        )
        assert kept == rows(
            connection,
            "SELECT count(*) FROM main.sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL",
        )
        assert_skipped(lambda: verb(*arguments[0], **arguments[1], **{key: "other"}, **more))


def recorded(act: Act) -> tuple[Any, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the verb that an act would call, and its arguments."""
    calls: list[Any] = []
    real = helpers

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kw: calls.append((getattr(real, name), (args, kw)))

    code: Any = act
    scope = code.__globals__
    kept = scope["helpers"]
    scope["helpers"] = Recorder()
    try:
        act()
    finally:
        scope["helpers"] = kept
    return calls[0]  # type: ignore[no-any-return]


def test_conflict_way_on_works_when_the_constraint_sits_in_a_column(database: Database) -> None:
    prepare(database, *RICH)
    with revision(database) as connection:
        before = contents(connection)
        assert_conflict(lambda: helpers.create_check_constraint("uq_old", "bills", "id > 0"))
        helpers.drop_constraint("uq_old", "bills", type_="unique")
        assert (
            outcome_of(lambda: helpers.create_check_constraint("uq_old", "bills", "id > 0")).error
            is None
        )
        assert contents(connection) == before


@pytest.mark.parametrize("default", ["7", None])
@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_column_that_is_generated_no_more_keeps_its_values(
    kind: str, default: str | None, database: Database
) -> None:
    prepare(
        database,
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, g INTEGER AS (id + 1) {kind})",
        "INSERT INTO t (id) VALUES (1), (5)",
    )
    with revision(database) as connection:
        helpers.alter_column("t", "g", server_default=default)
        assert rows(connection, "SELECT id, g FROM t") == [(1, 2), (5, 6)]
