"""``--sql``: each verb's script, run twice by the server's own client, does what the verb does."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from tests.databases import NAMES, Database
from tests.helpers import names
from tests.helpers.conftest import empty
from tests.helpers.scripts import run_with_client, written
from tests.helpers.test_contract import ABSENT, OTHER, ROWS, SAME, Row, bills, spelled, users
from tests.helpers.vocabulary import Act, prepare, revision, snapshot

# SQLite has no IF [NOT] EXISTS for anything else, and no other condition.
GUARDED_BY_SQLITE = {
    "create_table",
    "drop_table",
    "create_index",
    "drop_index",
    "create_view",
    "drop_view",
    "replace_view",
    "validate_constraint",
    "bulk_insert",
    "execute",
    "backfill",
}
NOTHING_ON_SQLITE = {
    "create_enum",
    "drop_enum",
    "add_enum_value",
    "rename_enum_value",
    "create_table_comment",
    "drop_table_comment",
}

NewDatabase = Callable[[str], Database]


def held(database: Database) -> dict[str, str]:
    """Return all that the database holds, without what differs between two that are the same."""
    with database.engine.connect() as connection:
        found = snapshot(connection)
    numbers = re.compile(r"\[page \d+\]|^\d+ (\w) \d+ |AUTO_INCREMENT=\d+ ")
    texts = {key: numbers.sub(r"\1", text) for key, text in found.items()}
    return {_key(key, database): _key(text, database) for key, text in texts.items()}


def _key(text: str, database: Database) -> str:
    same = re.sub(r"'(\d+)'::\w+", r"\1", " ".join(text.split())).replace('"owed"', "owed")
    return same.replace(str(database.engine.url.database), "DATABASE")


def assert_scripted(
    server: str, new_database: NewDatabase, state: list[str], act: Act, plain: bool = False
) -> str:
    """Run the verb online, then its script twice on a database of its own: all must agree.

    :param plain: the script is one for review, and is run once.
    """
    online = new_database(server)
    prepare(online, *state)
    with revision(online):
        act()
    wanted = held(online)
    if plain:  # it keeps no marks
        wanted = {key: text for key, text in wanted.items() if "alembic_version_once" not in key}
    if server == "postgresql":
        empty(online)
    database = new_database(server)
    prepare(database, *state)
    before = held(database)
    script = written(database, act, plain)
    assert_shown(script)
    assert held(database) == before, "writing a script touched the database"
    for _ in range(1 if plain else 2):
        run_with_client(database, script)
        assert held(database) == wanted, script
    return script


def assert_shown(script: str) -> None:
    """Check that a statement that is hidden in a string stands above it as a comment."""
    before = script.partition("PREPARE ")
    assert not before[1] or re.search(r"(?m)^-- [A-Z]+ [A-Z`\w]+", before[0]), script


def assert_offline_unsupported(database: Database, act: Act, call: str) -> None:
    with pytest.raises(helpers.OfflineUnsupported) as raised:
        written(database, act)
    message = str(raised.value)
    assert call in message
    assert "What to do next:\n    " in message


@pytest.mark.parametrize("server", NAMES)
@pytest.mark.parametrize("situation", [ABSENT, SAME, OTHER])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_script_does_what_the_verb_does(
    row: Row, situation: str, server: str, new_database: NewDatabase
) -> None:
    if server not in row.servers or situation not in row.situations:
        pytest.skip(f"{row.verb} has no such cell on {server}")
    expected = row.elsewhere.get((situation, server), row.expected[situation])
    state = spelled(row.situations[situation], server)
    if server == "sqlite" and row.verb not in GUARDED_BY_SQLITE | NOTHING_ON_SQLITE:
        assert_offline_unsupported(new_database(server), row.act, row.verb)
    elif expected in ("applied", "skipped"):
        assert_scripted(server, new_database, state, row.act)
    else:  # what a script cannot see: it leaves the thing alone, or the server refuses
        database = new_database(server)
        prepare(database, *state)
        before = held(database)
        with suppress(AssertionError):
            run_with_client(database, written(database, row.act))
        assert held(database) == before


REPEATED = [pytest.param(name, marks=pytest.mark.long) for name in ("mariadb", "mysql")]
GUARDS = re.compile(r"IF (NOT )?EXISTS|\bDO \$|PREPARE|WHERE NOT|DROP CONSTRAINT IF|_once")


@pytest.mark.parametrize("server", ["postgresql", *REPEATED])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_plain_script_does_what_the_verb_does_where_there_is_need_to(
    row: Row, server: str, new_database: NewDatabase
) -> None:
    if server not in row.servers:
        pytest.skip(f"{row.verb} has no such cell on {server}")
    found = {s: row.elsewhere.get((s, server), row.expected[s]) for s in row.situations}
    situation = next((s for s, expected in found.items() if expected == "applied"), None)
    if situation is None:
        pytest.skip(f"{row.verb} does nothing on {server}")
    if server != "postgresql" and str(row).startswith("drop_constraint (foreignkey"):
        pytest.skip("Alembic leaves the index that came with the key")
    state = spelled(row.situations[situation], server)
    script = assert_scripted(server, new_database, state, row.act, plain=True)
    assert not GUARDS.search(script) or "its type" in script, script


@pytest.mark.parametrize("server", NAMES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.verb.startswith("drop")], ids=str)
def test_script_of_a_drop_is_a_skip_when_the_table_is_gone(
    row: Row, server: str, new_database: NewDatabase
) -> None:
    if server not in row.servers or (server == "sqlite" and row.verb not in GUARDED_BY_SQLITE):
        pytest.skip(f"{row.verb} has no such cell on {server}")
    assert_scripted(server, new_database, [], row.act)


# Hostile names


@pytest.mark.long
@pytest.mark.parametrize("server", NAMES)
@pytest.mark.parametrize("name", names.HOSTILE)
def test_script_is_right_when_names_are_hostile(
    name: str, server: str, new_database: NewDatabase
) -> None:
    if server in ("mariadb", "mysql") and any(ord(char) > 0xFFFF for char in name):
        pytest.skip("MariaDB has no such names")

    def act() -> None:
        helpers.create_table(
            name,
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column(name, sa.String(20), nullable=False, server_default="x"),
        )
        helpers.create_index(f"{name}i", name, [name])
        if server != "sqlite":
            helpers.add_column(name, sa.Column(f"{name}2", sa.Integer()))
            helpers.alter_column(
                name, f"{name}2", nullable=False, existing_type=sa.Integer(), server_default="0"
            )
            helpers.create_unique_constraint(f"{name}u", name, [f"{name}2"])
            helpers.create_table_comment(name, name)
            helpers.drop_index(f"{name}gone", name)
            helpers.drop_column(name, f"{name}gone")
            helpers.drop_constraint(f"{name}gone", name, type_="unique")

    assert_scripted(server, new_database, [], act)


@pytest.mark.long
@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
@pytest.mark.parametrize("name", names.HOSTILE)
def test_script_renames_when_names_are_hostile(
    name: str, server: str, new_database: NewDatabase
) -> None:
    if server in ("mariadb", "mysql") and any(ord(char) > 0xFFFF for char in name):
        pytest.skip("MariaDB has no such names")

    def act() -> None:
        helpers.rename_table("bills", name)
        helpers.alter_column(name, "amount", new_column_name=name)

    assert_scripted(server, new_database, [bills()], act)


HOSTILE_VALUES = [
    "it's",
    'a "quote"',
    "50% off",
    ":name",
    "back\\slash",
    "a;b",
    "$sql$ $alembic$",
    "é☂",
]


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
@pytest.mark.parametrize("value", HOSTILE_VALUES)
def test_script_is_right_when_values_are_hostile(
    value: str, server: str, new_database: NewDatabase
) -> None:
    def act() -> None:
        helpers.add_column(
            "bills",
            sa.Column("a", sa.String(50), server_default=value, nullable=False, comment=value),
        )
        helpers.alter_column("bills", "due_on", comment=value, existing_type=sa.Date())
        text = sa.literal(value).compile(
            dialect=helpers.get_bind().dialect, compile_kwargs={"literal_binds": True}
        )
        if server == "postgresql" or "\\" not in value:
            helpers.create_check_constraint(
                "ck_a", "bills", sa.column("a") != sa.literal_column(str(text).replace("%%", "%"))
            )

    assert_scripted(server, new_database, [bills()], act)


# Columns


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
@pytest.mark.parametrize(
    "change",
    [
        {"nullable": False},
        {"type_": sa.BigInteger()},
        {"server_default": "7"},
        {"server_default": None},
        {"comment": "new"},
        {"comment": None},
        {"new_column_name": "total", "nullable": False},
        {"type_": sa.Numeric(12, 2), "nullable": False, "server_default": sa.text("0")},
    ],
    ids=" and ".join,
)
def test_script_of_alter_column_keeps_what_is_not_altered(
    change: dict[str, Any], server: str, new_database: NewDatabase
) -> None:
    comment = " COMMENT 'it''s'" if server in ("mariadb", "mysql") else ""
    state = [
        f"CREATE TABLE t (id INTEGER, n INTEGER DEFAULT 5{comment})",
        "INSERT INTO t VALUES (1, 2)",
    ]
    if server == "postgresql":
        state.insert(1, "COMMENT ON COLUMN t.n IS 'it''s'")
    script = assert_scripted(
        server, new_database, state, lambda: helpers.alter_column("t", "n", **change)
    )
    assert script


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize(
    "definition",
    [
        "INTEGER AUTO_INCREMENT PRIMARY KEY",
        "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci NOT NULL DEFAULT 'a''b\\\\c'",
        "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
        "INTEGER AS (id + 1) STORED",
        "INTEGER AS (id + 1) VIRTUAL",
        "DATETIME(6) NULL DEFAULT NULL",
        "DECIMAL(10, 3) UNSIGNED NOT NULL DEFAULT 1.500",
        "ENUM('a', 'it''s') NOT NULL DEFAULT 'a'",
        "BIT(3) DEFAULT b'101'",
        "JSON",
        "INTEGER DEFAULT 3 CHECK (n > 0 AND n <> 7)",
        "INTEGER INVISIBLE DEFAULT 3",
    ],
)
def test_script_of_a_comment_keeps_the_rest_of_the_column(
    definition: str, new_database: NewDatabase
) -> None:
    assert_scripted(
        "mariadb",
        new_database,
        [f"CREATE TABLE t (id INTEGER, n {definition})"],
        lambda: helpers.alter_column("t", "n", comment="a new one"),
    )


@pytest.mark.databases("mariadb")  # MySQL's are all the table's
def test_alter_column_keeps_the_check_of_a_column(database: Database) -> None:
    prepare(database, "CREATE TABLE t (n INTEGER CHECK (n > 0), j JSON, k JSON)")
    with revision(database) as connection:
        helpers.alter_column("t", "n", nullable=False)
        helpers.alter_column("t", "j", comment="it's")
        helpers.alter_column("t", "k", type_=sa.Text())
        text = str(connection.exec_driver_sql("SHOW CREATE TABLE t").one())
    assert "NOT NULL CHECK (`n` > 0)" in text
    assert "json_valid(`j`)" in text
    assert "json_valid(`k`)" not in text


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
def test_script_of_alter_column_stops_when_the_column_is_not_there(
    server: str, new_database: NewDatabase
) -> None:
    database = new_database(server)
    prepare(database, bills())
    script = written(
        database,
        lambda: helpers.alter_column("bills", "nil", nullable=False, existing_type=sa.Integer()),
    )
    with pytest.raises(AssertionError, match="nil"):
        run_with_client(database, script)


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
def test_script_of_rename_stops_when_both_names_are_there(
    server: str, new_database: NewDatabase
) -> None:
    database = new_database(server)
    prepare(database, bills(), users())
    script = written(database, lambda: helpers.rename_table("bills", "users"))
    with pytest.raises(AssertionError, match="already exists"):
        run_with_client(database, script)


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
def test_script_of_add_column_adds_its_keys_and_indexes(
    server: str, new_database: NewDatabase
) -> None:
    def act() -> None:
        column: sa.Column[Any] = sa.Column(
            "payer_id",
            sa.Integer(),
            sa.ForeignKey("users.id", name="fk_bills_payer"),
            index=True,
            unique=True,
        )
        helpers.add_column("bills", column)

    assert_scripted(server, new_database, [users(), bills()], act)


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
def test_script_of_an_unnamed_key_looks_at_its_columns(
    server: str, new_database: NewDatabase
) -> None:
    def act() -> None:
        helpers.create_foreign_key(None, "bills", "users", ["user_id"], ["id"])
        helpers.create_unique_constraint(None, "bills", ["due_on", "amount"])

    assert_scripted(server, new_database, [users(), bills()], act)


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
def test_script_of_an_unnamed_check_is_refused(server: str, new_database: NewDatabase) -> None:
    assert_offline_unsupported(
        new_database(server),
        lambda: helpers.create_check_constraint(None, "bills", "amount > 0"),
        "create_check_constraint",
    )


@pytest.mark.databases("mariadb", "mysql")
def test_script_of_drop_column_drops_its_foreign_keys(new_database: NewDatabase) -> None:
    state = [users(), bills("CONSTRAINT `odd``key` FOREIGN KEY (user_id) REFERENCES users (id)")]
    script = written(new_database("mariadb"), lambda: helpers.drop_column("bills", "user_id"))
    database = new_database("mariadb")
    prepare(database, *state)
    for _ in range(2):
        run_with_client(database, script)
    with database.engine.connect() as connection:
        assert "user_id" not in str(connection.exec_driver_sql("SHOW CREATE TABLE bills").one())


@pytest.mark.databases("mariadb", "mysql")
def test_script_of_drop_column_drops_its_unique_keys(new_database: NewDatabase) -> None:
    state = [users(), bills("CONSTRAINT `odd``key` UNIQUE (user_id, due_on)", "UNIQUE (amount)")]
    assert_scripted("mariadb", new_database, state, lambda: helpers.drop_column("bills", "user_id"))


@pytest.mark.databases("mariadb")
def test_script_of_drop_column_keeps_a_check_with_its_name_in_a_string(
    new_database: NewDatabase,
) -> None:
    more = ["CONSTRAINT ck CHECK (note <> 'it''s `amount`\\\\')", "note VARCHAR(20)"]
    state = [users(), bills(*reversed(more), "CONSTRAINT own CHECK (amount > 1)")]
    assert_scripted("mariadb", new_database, state, lambda: helpers.drop_column("bills", "amount"))


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("verb", ["create_view", "replace_view"])
@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
def test_script_of_a_view_has_its_backslashes_as_the_author_means_them(
    verb: str, mode: str, database: Database
) -> None:
    view = "SELECT 'a\\\\q' AS one, 'it''s' AS two"
    script = written(database, lambda: getattr(helpers, verb)("v", view))
    run_with_client(database, f"SET sql_mode = '{mode}';\n{script}")
    with database.engine.connect() as connection:
        one, two = connection.exec_driver_sql("SELECT one, two FROM v").one()
    assert (one, two) == ("a\\\\q" if mode else "a\\q", "it's")


@pytest.mark.parametrize("server", ["mariadb", "mysql"])
@pytest.mark.parametrize("counts", [True, False])
def test_script_of_alter_column_gives_it_a_default_or_lets_it_count(
    server: str, counts: bool, new_database: NewDatabase
) -> None:
    there = "DEFAULT 5" if counts else "AUTO_INCREMENT"
    wanted: dict[str, Any] = {"autoincrement": True} if counts else {"server_default": "5"}
    state = [f"CREATE TABLE bills (id INTEGER NOT NULL {there} PRIMARY KEY)"]
    act = partial(helpers.alter_column, "bills", "id", **wanted)
    assert_scripted(server, new_database, state, act)


IDENTITY = sa.Identity(start=5)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", ["amount", "a %(b)s:'c\\"])
@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("NOT NULL", {"server_default": IDENTITY, "type_": sa.BigInteger}),
        ("GENERATED BY DEFAULT AS IDENTITY (START 5)", {"server_default": None}),
        ("GENERATED BY DEFAULT AS IDENTITY (START 5)", {"server_default": IDENTITY}),
        ("GENERATED ALWAYS AS IDENTITY", {"server_default": sa.Identity(cycle=True)}),
    ],
)
def test_script_of_alter_column_changes_an_identity(
    new_database: NewDatabase, there: str, wanted: dict[str, Any], name: str
) -> None:
    if "IDENTITY" in there:
        was = IDENTITY if "START" in there else sa.Identity(always=True)
        wanted = wanted | {"existing_server_default": was}
    state = [f'CREATE TABLE bills ("{name}" integer {there})']
    act = partial(helpers.alter_column, "bills", name, **wanted)
    assert_scripted("postgresql", new_database, state, act)


# Enums, views, indexes, batches


@pytest.mark.databases("postgresql")
def test_script_of_create_table_makes_its_enum_once(new_database: NewDatabase) -> None:
    def act() -> None:
        for table in ("one", "two"):
            helpers.create_table(table, sa.Column("kind", sa.Enum("a", "b's", name="my kind")))

    assert_scripted("postgresql", new_database, [], act)


@pytest.mark.databases("postgresql")
def test_script_of_a_concurrent_index_leaves_the_transaction(new_database: NewDatabase) -> None:
    def act() -> None:
        helpers.create_index("ix", "bills", ["amount"], postgresql_concurrently=True)

    script = assert_scripted("postgresql", new_database, [bills()], act)
    assert re.search(r"COMMIT;\s+CREATE INDEX CONCURRENTLY IF NOT EXISTS ix .*\s+BEGIN;", script)


@pytest.mark.databases("postgresql")
def test_script_of_an_index_builds_an_invalid_one_again(new_database: NewDatabase) -> None:
    database = new_database("postgresql")
    prepare(
        database,
        bills(),
        "CREATE UNIQUE INDEX ix ON bills (amount)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass",
    )
    how: dict[str, Any] = {"unique": True, "postgresql_concurrently": True}
    script = written(database, lambda: helpers.create_index("ix", "bills", ["amount"], **how))
    run_with_client(database, script)
    with revision(database):
        assert helpers.table_has_index("bills", "ix")


@pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql"])
def test_script_of_a_batch_is_that_of_its_operations(
    server: str, new_database: NewDatabase
) -> None:
    def act() -> None:
        with helpers.batch_alter_table("bills") as batch:
            batch.add_column(sa.Column("paid", sa.Integer()))
            batch.alter_column("due_on", new_column_name="due", existing_type=sa.Date())
            batch.create_index("ix_bills_paid", ["paid"])
            batch.drop_column("amount")

    assert_scripted(server, new_database, [bills()], act)


def test_question_is_refused_in_a_script(database: Database) -> None:
    assert_offline_unsupported(
        database, lambda: helpers.table_has_column("bills", "amount"), "table_has_column"
    )


@pytest.mark.databases("mariadb")
@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
def test_backslashes_of_verbs_mean_the_same_in_a_plain_script(
    database: Database, mode: str
) -> None:
    value = "C:\\new\\"

    def upgrade() -> None:
        column = sa.Column("v", sa.String(50), server_default=value, comment=value)
        helpers.create_table("t", sa.Column("id", sa.Integer), column)
        helpers.add_column("t", sa.Column("w", sa.String(50), server_default=value))
        helpers.alter_column("t", "v", server_default=value, comment=f"{value}x")
        helpers.bulk_insert(
            sa.table("t", sa.column("id", sa.Integer), sa.column("v", sa.String)),
            [{"id": 1, "v": value}],
            key=["id"],
        )
        helpers.execute("INSERT INTO t (id) VALUES (2)", unless="SELECT 1 FROM t WHERE id = 2")

    first = f"SET sql_mode = CONCAT(@@sql_mode, ',{mode}');\n" if mode else ""
    last = "\nCREATE TABLE mode AS SELECT @@sql_mode LIKE '%NO_BACKSLASH%' AS is_theirs;\n"
    run_with_client(database, first + written(database, upgrade) + last)
    with database.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT id, v, w FROM t ORDER BY id")).all() == [
            (1, value, value),
            (2, value, value),
        ]
        assert connection.scalar(sa.text("SELECT is_theirs FROM mode")) == bool(mode)
        comment = "SELECT column_comment FROM information_schema.columns WHERE column_name = 'v'"
        assert f"{value}x" in connection.scalars(sa.text(comment)).all()
