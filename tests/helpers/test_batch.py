"""``batch_alter_table``: the verbs without the table's name, guarded on every server."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.scripts import written
from tests.helpers.vocabulary import (
    assert_applied,
    assert_skipped,
    prepare,
    revision,
    rows,
    snapshot,
)


def make_bills(database: Database) -> None:
    with revision(database):
        helpers.create_table(
            "users", sa.Column("id", sa.Integer(), primary_key=True), mysql_engine="InnoDB"
        )
        helpers.create_table(
            "bills",
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("title", sa.String(50), nullable=False),
            sa.Column("paid", sa.Float()),
            sa.Column("user_id", sa.Integer()),
            mysql_engine="InnoDB",
        )
    prepare(database, "INSERT INTO bills (id, title, paid) VALUES (1, 'Water', 1.5)")


def alter_much() -> None:
    with helpers.batch_alter_table("bills") as batch:
        batch.add_column(sa.Column("due", sa.Date(), nullable=True))
        batch.alter_column(
            "title", type_=sa.String(80), existing_type=sa.String(50), existing_nullable=False
        )
        batch.drop_column("paid")
        batch.create_index("ix_bills_due", ["due"])
        batch.create_unique_constraint("uq_bills_title", ["title"])
        batch.create_check_constraint("ck_bills_title", "title <> ''")
        batch.create_foreign_key("fk_bills_user", "users", ["user_id"], ["id"])


def test_batch_alter_table_applies_each_operation(database: Database) -> None:
    make_bills(database)
    with revision(database) as connection:
        alter_much()
        assert helpers.table_has_column("bills", "due")
        assert not helpers.table_has_column("bills", "paid")
        assert helpers.table_has_index("bills", "ix_bills_due")
        for name in ("uq_bills_title", "ck_bills_title", "fk_bills_user"):
            assert helpers.table_has_constraint("bills", name)
        assert rows(connection, "SELECT id, title FROM bills") == [(1, "Water")]


def test_batch_alter_table_skips_each_operation_when_run_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    make_bills(database)
    with revision(database):
        alter_much()
    caplog.clear()
    with caplog.at_level("INFO", "alembic.helpers"), revision(database):
        alter_much()
    assert [m.partition(" ")[0] for m in caplog.messages] == ["skip"] * 7, caplog.text


def test_batch_alter_table_raises_when_one_operation_conflicts(database: Database) -> None:
    make_bills(database)
    with (
        revision(database),
        pytest.raises(helpers.SchemaConflict, match="title"),
        helpers.batch_alter_table("bills") as batch,
    ):
        batch.add_column(sa.Column("title", sa.Integer()))


def test_batch_alter_table_changes_nothing_when_its_block_raises(database: Database) -> None:
    make_bills(database)
    with revision(database):
        with (
            pytest.raises(ZeroDivisionError),
            helpers.batch_alter_table("bills") as batch,
        ):
            _ = batch.drop_column("paid") or 1 / 0  # type: ignore[func-returns-value]
        assert helpers.table_has_column("bills", "paid")


def test_batch_alter_table_runs_sql_at_once_and_the_rest_at_its_end(database: Database) -> None:
    make_bills(database)
    with revision(database) as connection:
        with helpers.batch_alter_table("bills") as batch:
            batch.drop_column("paid")
            batch.execute("UPDATE bills SET paid = 2")
            assert rows(connection, "SELECT paid FROM bills") == [(2.0,)]
        assert not helpers.table_has_column("bills", "paid")


def test_batch_alter_table_raises_missing_parent_when_the_table_is_not_there(
    database: Database,
) -> None:
    with (
        revision(database),
        pytest.raises(helpers.MissingParent, match="no table 'nothing'"),
        helpers.batch_alter_table("nothing") as batch,
    ):
        batch.add_column(sa.Column("due", sa.Date()))


def test_batch_alter_table_works_in_another_schema(database: Database, other_schema: str) -> None:
    with revision(database):
        helpers.create_table("t", sa.Column("id", sa.Integer()), schema=other_schema)
        with helpers.batch_alter_table("t", schema=other_schema) as batch:
            batch.add_column(sa.Column("due", sa.Date()))
            batch.alter_column("id", existing_type=sa.Integer(), nullable=False)
        assert helpers.table_has_column("t", "due", schema=other_schema)


def test_batch_alter_table_adds_its_table_args(database: Database) -> None:
    make_bills(database)
    for _ in range(2):
        with revision(database):
            with helpers.batch_alter_table(
                "bills",
                recreate="always",
                table_args=(
                    sa.CheckConstraint("user_id > 0", name="ck_bills_user"),
                    sa.UniqueConstraint("user_id", "title", name="uq_bills"),
                ),
            ):
                pass
            assert helpers.table_has_constraint("bills", "ck_bills_user", type_="check")
            assert helpers.table_has_constraint("bills", "uq_bills", type_="unique")


def test_batch_alter_table_adds_a_foreign_key_of_its_table_args(database: Database) -> None:
    make_bills(database)
    for _ in range(2):
        with revision(database) as connection:
            with helpers.batch_alter_table(
                "bills",
                recreate="always",
                table_args=(sa.ForeignKeyConstraint(["user_id"], ["users.id"]),),
            ):
                pass
            keys = sa.inspect(connection).get_foreign_keys("bills")
            assert [key["referred_table"] for key in keys] == ["users"]


@pytest.mark.parametrize("table_args", [(), (sa.UniqueConstraint("id", name="uq"),)])
def test_batch_add_column_adds_its_foreign_key(database: Database, table_args: Any) -> None:
    prepare(
        database,
        "CREATE TABLE users (id INTEGER PRIMARY KEY)",
        "CREATE TABLE bills (id INTEGER PRIMARY KEY)",
    )

    def act() -> None:
        with helpers.batch_alter_table("bills", table_args=table_args) as batch:
            key = sa.ForeignKey("users.id", name="fk_user", ondelete="CASCADE")
            batch.add_column(sa.Column("user_id", sa.Integer(), key))

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        (key,) = sa.inspect(connection).get_foreign_keys("bills")
        assert (key["name"], key["constrained_columns"]) == ("fk_user", ["user_id"])
        assert key["options"]["ondelete"] == "CASCADE"


@pytest.mark.parametrize("table", ["bills", "nowhere"])
def test_batch_alter_table_skips_its_table_args_when_alembic_would_not_rebuild(
    database: Database, table: str
) -> None:
    make_bills(database)
    with revision(database) as connection:
        before = snapshot(connection)
        unique = sa.UniqueConstraint("user_id", "title", name="uq_bills")
        with helpers.batch_alter_table(table, table_args=(unique,)):
            pass
        assert snapshot(connection) == before


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "unnamed", ["UNIQUE (a, b)", "FOREIGN KEY (a) REFERENCES p (id)", "PRIMARY KEY (a, b)"]
)
def test_batch_alter_table_drops_an_unnamed_constraint_by_its_naming_convention(
    database: Database, unnamed: str
) -> None:
    convention = {
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
    names = {"U": ("uq_t_a_b", "unique"), "F": ("fk_t_a_p", "foreignkey"), "P": ("pk_t", "primary")}
    name, type_ = names[unnamed[0]]
    prepare(
        database,
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        f"CREATE TABLE t (a INTEGER, b INTEGER, CHECK (a > 0), {unnamed})",
    )
    for _ in range(2):
        with revision(database) as connection:
            with helpers.batch_alter_table("t", naming_convention=convention) as batch:
                batch.drop_constraint(name, type_=type_)
            [(sql,)] = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 't'")
            assert unnamed not in sql
            assert "CHECK (a > 0)" in sql


@pytest.mark.databases("sqlite")
def test_batch_alter_table_drops_an_unnamed_key_of_a_column_by_its_naming_convention(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE t (a INTEGER REFERENCES p (id) NOT NULL, b INTEGER UNIQUE)",
    )
    convention = {"fk": "fk_%(table_name)s_%(column_0_name)s", "uq": "uq_%(column_0_name)s"}
    with revision(database) as connection:
        with helpers.batch_alter_table("t", naming_convention=convention) as batch:
            batch.drop_constraint("fk_t_a", type_="foreignkey")
            batch.drop_constraint("uq_b", type_="unique")
        [(sql,)] = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 't'")
        assert "REFERENCES" not in sql
        assert "UNIQUE" not in sql
        assert "NOT NULL" in sql


@pytest.mark.databases("sqlite")
def test_batch_alter_table_names_what_its_naming_convention_names_when_it_rebuilds(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE t (Id INTEGER PRIMARY KEY AUTOINCREMENT, a INTEGER REFERENCES p (id),"
        " b INTEGER, UNIQUE (a, b), FOREIGN KEY (b) REFERENCES p (id), CHECK (a > 0),"
        " CONSTRAINT uq_t_b UNIQUE (b), -- once\n UNIQUE (b))",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO t VALUES (7, 1, 1)",
    )
    convention = {
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s_%(column_0_name)s",
    }

    def act() -> None:
        with helpers.batch_alter_table("t", naming_convention=convention) as batch:
            batch.alter_column("a", existing_type=sa.Integer(), nullable=False)

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        [(sql,)] = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 't'")
        assert 'CONSTRAINT "pk_t_Id" PRIMARY KEY AUTOINCREMENT' in sql
        assert sql.count("uq_t_b") == 1  # a name is given once
        assert rows(connection, "SELECT * FROM t") == [(7, 1, 1)]
    with revision(database) as connection:
        for name in ("fk_t_a_p", "fk_t_b_p", "uq_t_a_b"):
            assert_applied(partial(helpers.drop_constraint, name, "t"))


@pytest.mark.databases("sqlite")
def test_batch_alter_table_orders_the_columns(database: Database) -> None:
    make_bills(database)
    for _ in range(2):
        with revision(database) as connection:
            with helpers.batch_alter_table(
                "bills", recreate="always", partial_reordering=[("user_id", "title")]
            ):
                pass
            names = [
                name for (name,) in rows(connection, "SELECT name FROM pragma_table_info('bills')")
            ]
            assert names == ["id", "paid", "user_id", "title"]
            assert rows(connection, "SELECT id, title, paid FROM bills") == [(1, "Water", 1.5)]


@pytest.mark.databases("sqlite")
def test_batch_alter_table_adds_a_column_where_it_is_wanted(database: Database) -> None:
    make_bills(database)
    with revision(database) as connection:
        with helpers.batch_alter_table("bills", recreate="always") as batch:
            batch.add_column(sa.Column("due", sa.Date()), insert_after="id")
            batch.add_column(sa.Column("kind", sa.Integer()), insert_before="due")
        names = [
            name for (name,) in rows(connection, "SELECT name FROM pragma_table_info('bills')")
        ]
        assert names[:3] == ["id", "kind", "due"]


@pytest.mark.databases("sqlite")
def test_batch_alter_table_gives_a_table_autoincrement(database: Database) -> None:
    make_bills(database)
    for _ in range(2):
        with revision(database) as connection:
            with helpers.batch_alter_table(
                "bills", recreate="always", table_kwargs={"sqlite_autoincrement": True}
            ):
                pass
            [(sql,)] = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 'bills'")
            assert "AUTOINCREMENT" in sql
            assert rows(connection, "SELECT id, title, paid FROM bills") == [(1, "Water", 1.5)]


def test_table_comment_outcomes(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    prepare(database, "CREATE TABLE t (id INTEGER)")
    said = []
    for comment in ("it's 100% \\ :name", "it's 100% \\ :name", "other", None, None):
        caplog.clear()
        with caplog.at_level("INFO", "alembic.helpers"), revision(database):
            if comment is None:
                helpers.drop_table_comment("t", existing_comment="other")
            else:
                helpers.create_table_comment("t", comment)
            found = None
            if database.name != "sqlite":
                found = sa.inspect(helpers.get_bind()).get_table_comment("t")["text"]
            said.append((caplog.messages[-1].split()[0], found))
    if database.name == "sqlite":
        assert said == [("skip", None)] * 5
    else:
        hostile = "it's 100% \\ :name"
        assert said == [
            ("set", hostile),
            ("skip", hostile),
            ("set", "other"),
            ("removed", None),
            ("skip", None),
        ]


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_create_table_comment_raises_missing_parent_when_the_table_is_not_there(
    database: Database,
) -> None:
    with revision(database), pytest.raises(helpers.MissingParent):
        helpers.create_table_comment("nothing", "x")


def test_drop_table_comment_is_skipped_when_the_table_is_not_there(database: Database) -> None:
    with revision(database):
        helpers.drop_table_comment("nothing")


@pytest.mark.databases("postgresql")
def test_create_exclude_constraint_outcomes(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(database, "CREATE TABLE rooms (id INTEGER, during tsrange)")
    said = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO", "alembic.helpers"), revision(database):
            helpers.create_exclude_constraint(
                "ex_rooms", "rooms", ("during", "&&"), where=sa.text("id > 0"), using="gist"
            )
            said.append(caplog.messages[-1].split()[0])
    assert said == ["created", "skip"]
    with revision(database), pytest.raises(helpers.SchemaConflict, match="exclusion constraint"):
        helpers.create_exclude_constraint("ex_rooms", "rooms", ("during", "="), using="gist")
    with revision(database):
        helpers.drop_constraint("ex_rooms", "rooms")
        assert not helpers.table_has_constraint("rooms", "ex_rooms")


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_create_exclude_constraint_is_refused_by_servers_that_have_none(database: Database) -> None:
    prepare(database, "CREATE TABLE rooms (id INTEGER)")
    with revision(database), pytest.raises(helpers.UnsafeOperation, match="exclusion constraint"):
        helpers.create_exclude_constraint("ex_rooms", "rooms", ("id", "="))


def test_invoke_runs_an_operation_object_as_its_verb(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from alembic.operations import ops

    prepare(database, "CREATE TABLE t (id INTEGER)")
    with caplog.at_level("INFO", "alembic.helpers"), revision(database):
        for _ in range(2):
            helpers.invoke(ops.AddColumnOp("t", sa.Column("a", sa.Integer())))
        helpers.invoke(ops.ExecuteSQLOp("INSERT INTO t (a) VALUES (1)"))
    assert [m.split()[0] for m in caplog.messages] == ["added", "skip"]


def test_batch_alter_column_refuses_when_a_column_stands_where_its_name_should(
    database: Database,
) -> None:
    prepare(database, "CREATE TABLE t (a INTEGER)")

    def act() -> None:
        column: Any = sa.Column("a", sa.Integer(), nullable=False)
        with helpers.batch_alter_table("t") as batch:
            batch.alter_column(column)  # Alembic does nothing: nothing is to be altered

    with revision(database), pytest.raises(CommandError, match="asks for nothing"):
        act()


def test_alter_column_drops_the_check_of_the_type_before(database: Database) -> None:
    old = sa.Enum("a", "b", name="ck_t_kind", native_enum=False, create_constraint=True, length=5)
    with revision(database):
        helpers.create_table("t", sa.Column("kind", old))
    for _ in range(2):
        with revision(database):
            helpers.alter_column("t", "kind", type_=sa.String(5), existing_type=old)
            assert not helpers.table_has_constraint("t", "ck_t_kind")


@pytest.mark.databases("sqlite")
def test_batch_create_primary_key_replaces_when_the_one_there_has_no_name(
    database: Database,
) -> None:
    prepare(database, "CREATE TABLE tags (id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL)")

    def act() -> None:
        with helpers.batch_alter_table("tags") as batch:
            batch.create_primary_key("pk_tags", ["id", "owner"])

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        key = sa.inspect(connection).get_pk_constraint("tags")
        assert (key["name"], key["constrained_columns"]) == ("pk_tags", ["id", "owner"])
        with pytest.raises(helpers.SchemaConflict):
            helpers.create_primary_key("pk_other", "tags", ["owner"])


@pytest.mark.databases("sqlite")
def test_batch_create_primary_key_replaces_when_only_name_and_order_are_others(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE tags (id INTEGER NOT NULL, owner INTEGER NOT NULL, CONSTRAINT pk_old"
        " PRIMARY KEY (id, owner))",
    )

    def act() -> None:
        with helpers.batch_alter_table("tags") as batch:
            batch.create_primary_key("pk_tags", ["owner", "id"])

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        key = sa.inspect(connection).get_pk_constraint("tags")
        assert (key["name"], key["constrained_columns"]) == ("pk_tags", ["owner", "id"])
        with (
            pytest.raises(helpers.SchemaConflict),
            helpers.batch_alter_table("tags") as batch,
        ):
            batch.create_primary_key("pk_other", ["owner"])


@pytest.mark.databases("sqlite")
def test_batch_drop_constraint_of_a_key_acts_when_keys_refer_to_it_and_another_follows(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE kinds (id INTEGER NOT NULL, CONSTRAINT pk_old PRIMARY KEY (id))",
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, kind INTEGER REFERENCES kinds (id))",
        "INSERT INTO kinds VALUES (1)",
        "INSERT INTO bills VALUES (1, 1)",
    )

    def act() -> None:
        with helpers.batch_alter_table("kinds") as batch:
            batch.drop_constraint("pk_old", type_="primary")
            batch.create_primary_key("pk_kinds", ["id"])

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        assert sa.inspect(connection).get_pk_constraint("kinds")["name"] == "pk_kinds"
        assert rows(connection, "SELECT kind FROM bills JOIN kinds ON kinds.id = kind") == [(1,)]


@pytest.mark.databases("sqlite")
def test_batch_create_primary_key_acts_when_the_keys_that_refer_to_it_follow(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE kinds (id INTEGER NOT NULL, w INTEGER NOT NULL,"
        " CONSTRAINT pk PRIMARY KEY (id))",
        "CREATE TABLE bills (kind INTEGER, w INTEGER,"
        " CONSTRAINT fk FOREIGN KEY (kind) REFERENCES kinds (id))",
        "INSERT INTO kinds VALUES (1, 2)",
        "INSERT INTO bills VALUES (1, 2)",
    )

    def act() -> None:
        with helpers.batch_alter_table("kinds") as batch:
            batch.drop_constraint("pk", type_="primary")
            batch.create_primary_key("pk", ["w", "id"])
        with helpers.batch_alter_table("bills") as batch:
            batch.drop_constraint("fk", type_="foreignkey")
            batch.create_foreign_key("fk", "kinds", ["w", "kind"], ["w", "id"])

    with revision(database) as connection:
        assert_applied(act)
        assert rows(connection, "PRAGMA foreign_key_check") == []
        assert rows(connection, "SELECT * FROM bills") == [(1, 2)]


@pytest.mark.databases("sqlite")
def test_batch_create_primary_key_renames_when_only_the_name_differs(database: Database) -> None:
    prepare(database, "CREATE TABLE kinds (id INTEGER NOT NULL, CONSTRAINT old PRIMARY KEY (id))")

    def act() -> None:
        with helpers.batch_alter_table("kinds") as batch:
            batch.create_primary_key("pk_kinds", ["id"])

    with revision(database) as connection:
        assert_applied(act)
        assert_skipped(act)
        assert sa.inspect(connection).get_pk_constraint("kinds")["name"] == "pk_kinds"


@pytest.mark.databases("sqlite")
def test_batch_alter_table_keeps_an_index_when_its_column_is_dropped_and_added(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE spans (start INTEGER, stop INTEGER, taken INTEGER AS (stop - start) STORED)",
        "CREATE INDEX ix_spans ON spans (start, taken DESC)",
    )

    with revision(database) as connection:
        with helpers.batch_alter_table("spans") as batch:
            batch.drop_column("taken")
            taken = sa.Computed("stop - start", persisted=False)
            batch.add_column(sa.Column("taken", sa.BigInteger(), taken))
        found = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 'ix_spans'")
        assert found == [("CREATE INDEX ix_spans ON spans (start, taken DESC)",)]


@pytest.mark.databases("sqlite")
def test_batch_alter_table_drops_the_unnamed_keys_that_its_copy_from_lacks(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE p (id INTEGER PRIMARY KEY, q INTEGER)",
        "CREATE TABLE t (a INTEGER REFERENCES p (id), b INTEGER UNIQUE, c INTEGER CHECK (c > 0),"
        " d INTEGER, FOREIGN KEY (d) REFERENCES p (id), CONSTRAINT uq_t_c UNIQUE (c))",
        "INSERT INTO p VALUES (1, 1)",
        "INSERT INTO t VALUES (1, 1, 1, 1)",
    )

    def act(connection: sa.Connection) -> None:
        copy = sa.Table("t", sa.MetaData(), autoload_with=connection)
        unnamed: list[Any] = [c for c in copy.constraints if c.name is None]
        # the only way to be rid of them in Alembic
        copy.constraints -= {c for c in unnamed if c.columns.keys() != ["d"]}
        with helpers.batch_alter_table("t", copy_from=copy) as batch:
            batch.create_foreign_key("fk_t_a", "p", ["a"], ["id"], ondelete="CASCADE")

    with revision(database) as connection:
        act(connection)
        [(sql,)] = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 't'")
        assert "a INTEGER," in sql
        assert "b INTEGER," in sql
        assert sql.count("REFERENCES") == 2
        for kept in ("CHECK (c > 0)", "uq_t_c", "FOREIGN KEY (d)", "fk_t_a", "CASCADE"):
            assert kept in sql
        assert rows(connection, "SELECT * FROM t") == [(1, 1, 1, 1)]
        before = snapshot(connection)
        act(connection)
        assert snapshot(connection) == before


@pytest.mark.databases("sqlite")
def test_batch_alter_table_keeps_unnamed_keys_when_alembic_would_not_rebuild(
    database: Database,
) -> None:
    prepare(database, "CREATE TABLE t (a INTEGER UNIQUE)")
    with revision(database) as connection:
        copy = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer))
        with helpers.batch_alter_table("t", copy_from=copy) as batch:
            batch.add_column(sa.Column("b", sa.Integer))
        [(sql,)] = rows(connection, "SELECT sql FROM sqlite_master WHERE name = 't'")
        assert "UNIQUE" in sql


@pytest.mark.parametrize("type_", ["unique", "foreignkey", "check"])
@pytest.mark.parametrize("in_batch", [False, True])
def test_drop_constraint_refuses_when_it_has_no_name(
    database: Database, in_batch: bool, type_: str
) -> None:
    make_bills(database)
    name: Any = None  # which autogenerate writes

    def act() -> None:
        if not in_batch:
            return helpers.drop_constraint(name, "bills", type_=type_)
        with helpers.batch_alter_table("bills") as batch:
            batch.drop_column("paid")
            batch.drop_constraint(name, type_=type_)

    with revision(database) as connection:
        before = snapshot(connection)
        # some revisions catch the ValueError that Alembic raises for SQLite
        with pytest.raises(ValueError, match="without a name") as raised:
            act()
        assert isinstance(raised.value, helpers.UnsafeOperation)
        assert snapshot(connection) == before
    with pytest.raises(helpers.UnsafeOperation, match="without a name"):
        written(database, act)


@pytest.mark.databases("sqlite")
def test_batch_create_primary_key_replaces_when_the_batch_drops_a_column_of_the_one_there(
    database: Database,
) -> None:
    prepare(
        database,
        "CREATE TABLE t (id TEXT NOT NULL, email TEXT NOT NULL, CONSTRAINT pk_t PRIMARY KEY (id),"
        " CONSTRAINT uq_t UNIQUE (email))",
        "CREATE TABLE c (email TEXT REFERENCES t (email))",
        "INSERT INTO t VALUES ('1', 'a@b.c')",
        "INSERT INTO c VALUES ('a@b.c')",
    )

    def act() -> None:
        with helpers.batch_alter_table("t") as batch:
            batch.drop_constraint("uq_t", type_="unique")
            batch.create_primary_key("pk_t", ["email"])
            batch.drop_column("ID")

    with revision(database) as connection:
        assert_applied(act)
        assert sa.inspect(connection).get_pk_constraint("t")["constrained_columns"] == ["email"]
        assert rows(connection, "SELECT * FROM t") == [("a@b.c",)]
        assert_skipped(act)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("foreign_keys", ["OFF", "ON"])
def test_batch_alter_table_changes_nothing_when_one_of_its_verbs_fails(
    database: Database, foreign_keys: str
) -> None:
    prepare(
        database,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, due DATE, n INTEGER REFERENCES bills (id))",
        "INSERT INTO bills (id) VALUES (1), (2)",
    )

    def act() -> None:
        with helpers.batch_alter_table("bills") as batch:
            batch.add_column(sa.Column("more", sa.Integer()))
            batch.drop_column("n")
            batch.alter_column("due", existing_type=sa.Date(), nullable=False)

    with revision(database) as connection:
        connection.exec_driver_sql(f"PRAGMA foreign_keys = {foreign_keys}")
        with pytest.raises(helpers.DatabaseRefused, match="2 rows in which due is NULL"):
            act()
        names = [column["name"] for column in sa.inspect(connection).get_columns("bills")]
        assert names == ["id", "due", "n"]
        on = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
        assert on == (foreign_keys == "ON")
