# ruff: noqa: E501 – a statement of a revision stays in one line
"""Revisions, and the order in which each and its code can be deployed, by server."""

from __future__ import annotations

from dataclasses import dataclass

from alembic_toolkit.prove.results import ANY_ORDER, DEPLOY_FIRST, MIGRATE_FIRST, NEITHER

SQLITE, POSTGRESQL, MARIADB, MYSQL = "sqlite", "postgresql", "mariadb", "mysql"
ALL = (SQLITE, POSTGRESQL, MARIADB, MYSQL)

FIRST = """\
op.create_table(
    "users",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("email", sa.String(80)),
)
op.create_table(
    "bills",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", name="fk_bills_user"), nullable=False),
    sa.Column("title", sa.String(40), nullable=False, server_default="bill"),
    sa.Column("amount", sa.Numeric(12, 2)),
    sa.Column("days", sa.Integer, nullable=False, server_default="30"),
    sa.Column("code", sa.String(10)),
)
op.create_table(
    "notes",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("author", sa.Integer),
    sa.Column("body", sa.Text),
    sa.Column("slug", sa.String(60), nullable=False),
    sa.UniqueConstraint("slug", name="uq_notes_slug"),
)
"""


@dataclass(frozen=True)
class Case:
    """Two functions on top of `FIRST`, and the verdicts."""

    name: str
    up: str
    down: str
    on: dict[str, str]
    first: str = ""  # what an earlier revision has made
    head: str = ""  # of the module
    says: tuple[str, ...] = ()  # parts of what breaks

    def __str__(self) -> str:
        return self.name


def sql(*statements: str) -> str:
    return "\n".join(f"op.execute({one!r})" for one in statements)


def batch(table: str, *calls: str) -> str:
    lines = "\n".join(f"    batch_op.{call}" for call in calls)
    return f'with op.batch_alter_table("{table}") as batch_op:\n{lines}'


def everywhere(verdict: str, **others: str) -> dict[str, str]:
    return dict.fromkeys(ALL, verdict) | others


def servers(verdict: str, lite: str | None = None) -> dict[str, str]:
    """Return a verdict of the servers, and SQLite's."""
    found = dict.fromkeys((POSTGRESQL, MARIADB, MYSQL), verdict)
    return found | ({SQLITE: lite} if lite else {})


# The eleven kinds of which it was known what each server says.
KINDS = [
    Case(
        "a nullable column is added",
        'op.add_column("bills", sa.Column("due", sa.Date))',
        batch("bills", 'drop_column("due")'),
        everywhere(MIGRATE_FIRST),
        says=("due",),
    ),
    Case(
        "a required column with a default is added",
        'op.add_column("bills", sa.Column("paid", sa.Integer, nullable=False, server_default="0"))',
        batch("bills", 'drop_column("paid")'),
        everywhere(MIGRATE_FIRST),
    ),
    Case(
        "a required column without a default is added",
        batch("bills", 'add_column(sa.Column("paid", sa.Integer))')
        + '\nop.execute("UPDATE bills SET paid = 0")\n'
        + batch("bills", 'alter_column("paid", existing_type=sa.Integer(), nullable=False)'),
        batch("bills", 'drop_column("paid")'),
        everywhere(NEITHER),
    ),
    Case(
        "a column is dropped",
        batch("bills", 'drop_column("code")'),
        'op.add_column("bills", sa.Column("code", sa.String(10)))',
        everywhere(DEPLOY_FIRST),
        says=("code",),
    ),
    Case(
        "a column is renamed",
        batch("bills", 'alter_column("code", existing_type=sa.String(10), new_column_name="ref")'),
        batch("bills", 'alter_column("ref", existing_type=sa.String(10), new_column_name="code")'),
        everywhere(NEITHER),
    ),
    Case(
        "a table is renamed",
        'op.rename_table("notes", "remarks")',
        'op.rename_table("remarks", "notes")',
        everywhere(NEITHER),
    ),
    Case(
        "a table is renamed, with a view in its place",
        'op.rename_table("notes", "remarks")\n' + sql("CREATE VIEW notes AS SELECT * FROM remarks"),
        sql("DROP VIEW notes") + '\nop.rename_table("remarks", "notes")',
        servers(MIGRATE_FIRST, NEITHER),
        says=("remarks",),
    ),
    Case(
        "a column becomes required",
        sql("UPDATE bills SET code = 'none' WHERE code IS NULL")
        + "\n"
        + batch("bills", 'alter_column("code", existing_type=sa.String(10), nullable=False)'),
        batch("bills", 'alter_column("code", existing_type=sa.String(10), nullable=True)'),
        everywhere(DEPLOY_FIRST),
        says=("NULL|null",),
    ),
    Case(
        "a type becomes narrower",
        sql("UPDATE bills SET code = substr(code, 1, 5)")
        + "\n"
        + batch("bills", 'alter_column("code", existing_type=sa.String(10), type_=sa.String(5))'),
        batch("bills", 'alter_column("code", existing_type=sa.String(5), type_=sa.String(10))'),
        servers(DEPLOY_FIRST, ANY_ORDER),
        says=("too long",),
    ),
    Case(
        "a unique constraint is added",
        batch("users", 'create_unique_constraint("uq_users_email", ["email"])'),
        batch("users", 'drop_constraint("uq_users_email", type_="unique")'),
        {
            SQLITE: MIGRATE_FIRST,
            POSTGRESQL: MIGRATE_FIRST,
            MARIADB: ANY_ORDER,
            MYSQL: ANY_ORDER,
        },
    ),
    Case(
        "a table is dropped",
        'op.drop_table("notes")',
        'op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("author", sa.Integer), sa.Column("body", sa.Text),\n'
        '    sa.Column("slug", sa.String(60), nullable=False),\n'
        '    sa.UniqueConstraint("slug", name="uq_notes_slug"))',
        everywhere(DEPLOY_FIRST),
        says=("notes",),
    ),
]

_STATUS = 'sa.Enum("open", "paid", name="bill_status", native_enum=True)'

# Others, each judged by hand.
OTHERS = [
    Case(
        "a table is created",
        'op.create_table("tags", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))',
        'op.drop_table("tags")',
        everywhere(MIGRATE_FIRST),
        says=("tags",),
    ),
    Case(
        "a table with a foreign key is created",
        'op.create_table("tags", sa.Column("id", sa.Integer, primary_key=True), sa.Column("bill_id", sa.Integer, sa.ForeignKey("bills.id"), nullable=False))',
        'op.drop_table("tags")',
        everywhere(MIGRATE_FIRST),
    ),
    Case(
        "an index is created",
        'op.create_index("ix_bills_days", "bills", ["days"])',
        'op.drop_index("ix_bills_days", "bills")',
        everywhere(ANY_ORDER),
    ),
    Case(
        "only rows are changed",
        sql("UPDATE bills SET days = days + 1"),
        sql("UPDATE bills SET days = days - 1"),
        everywhere(ANY_ORDER),
    ),
    Case(
        "rows are inserted",
        sql("INSERT INTO notes (id, slug) VALUES (77, 'welcome')"),
        sql("DELETE FROM notes WHERE id = 77"),
        everywhere(ANY_ORDER),
    ),
    Case(
        "a default is taken away",
        batch(
            "bills",
            'alter_column("days", existing_type=sa.Integer(), existing_nullable=False, server_default=None)',
        ),
        batch(
            "bills",
            'alter_column("days", existing_type=sa.Integer(), existing_nullable=False, server_default="30")',
        ),
        everywhere(DEPLOY_FIRST),
        says=("days",),
    ),
    Case(
        "a default is given",
        batch(
            "notes",
            'alter_column("slug", existing_type=sa.String(60), existing_nullable=False, server_default="x")',
        ),
        batch(
            "notes",
            'alter_column("slug", existing_type=sa.String(60), existing_nullable=False, server_default=None)',
        ),
        everywhere(MIGRATE_FIRST),
    ),
    Case(
        "a default changes",
        batch(
            "bills",
            'alter_column("days", existing_type=sa.Integer(), existing_nullable=False, server_default="14")',
        ),
        batch(
            "bills",
            'alter_column("days", existing_type=sa.Integer(), existing_nullable=False, server_default="30")',
        ),
        everywhere(ANY_ORDER),
    ),
    Case(
        "a column need not be there any more",
        batch("bills", 'alter_column("user_id", existing_type=sa.Integer(), nullable=True)'),
        sql("UPDATE bills SET user_id = (SELECT MIN(id) FROM users) WHERE user_id IS NULL")
        + "\n"
        + batch("bills", 'alter_column("user_id", existing_type=sa.Integer(), nullable=False)'),
        everywhere(MIGRATE_FIRST),
    ),
    Case(
        "a text becomes longer",
        batch("bills", 'alter_column("code", existing_type=sa.String(10), type_=sa.String(30))'),
        sql("UPDATE bills SET code = substr(code, 1, 10)")
        + "\n"
        + batch("bills", 'alter_column("code", existing_type=sa.String(30), type_=sa.String(10))'),
        servers(MIGRATE_FIRST, ANY_ORDER),
    ),
    Case(
        "an integer becomes wider",
        batch(
            "bills",
            'alter_column("days", existing_type=sa.Integer(), existing_server_default="30", existing_nullable=False, type_=sa.BigInteger())',
        ),
        batch(
            "bills",
            'alter_column("days", existing_type=sa.BigInteger(), existing_server_default="30", existing_nullable=False, type_=sa.Integer())',
        ),
        servers(MIGRATE_FIRST, ANY_ORDER),
        says=("out of range|Out of range",),
    ),
    Case(
        "an amount gets fewer digits",
        sql("UPDATE bills SET amount = 1")
        + "\n"
        + batch(
            "bills",
            'alter_column("amount", existing_type=sa.Numeric(12, 2), type_=sa.Numeric(10, 2))',
        ),
        batch(
            "bills",
            'alter_column("amount", existing_type=sa.Numeric(10, 2), type_=sa.Numeric(12, 2))',
        ),
        servers(DEPLOY_FIRST, ANY_ORDER),
    ),
    Case(
        "a text without a limit gets one",
        sql("UPDATE notes SET body = 'x'")
        + "\n"
        + batch("notes", 'alter_column("body", existing_type=sa.Text(), type_=sa.String(800))'),
        batch("notes", 'alter_column("body", existing_type=sa.String(800), type_=sa.Text())'),
        servers(DEPLOY_FIRST, ANY_ORDER),
    ),
    Case(
        "a foreign key is added",
        sql("UPDATE notes SET author = (SELECT MIN(id) FROM users)")
        + "\n"
        + batch("notes", 'create_foreign_key("fk_notes_author", "users", ["author"], ["id"])'),
        batch("notes", 'drop_constraint("fk_notes_author", type_="foreignkey")'),
        servers(DEPLOY_FIRST, ANY_ORDER),  # nobody has SQLite enforce it
        first="",
        says=("foreign key",),
    ),
    Case(
        "a foreign key that cascades is added",
        batch(
            "notes",
            'create_foreign_key("fk_notes_user", "users", ["user_id"], ["id"], ondelete="CASCADE")',
        ),
        batch("notes", 'drop_constraint("fk_notes_user", type_="foreignkey")'),
        everywhere(ANY_ORDER),
        first='op.add_column("notes", sa.Column("user_id", sa.Integer))',
    ),
    Case(
        "a foreign key that cascades is added, where other numbers are written",
        sql("UPDATE notes SET author = NULL")
        + "\n"
        + batch(
            "notes",
            'create_foreign_key("fk_notes_author", "users", ["author"], ["id"], ondelete="CASCADE")',
        ),
        batch("notes", 'drop_constraint("fk_notes_author", type_="foreignkey")'),
        servers(DEPLOY_FIRST, ANY_ORDER),
    ),
    Case(
        "a foreign key is dropped",
        batch("bills", 'drop_constraint("fk_bills_user", type_="foreignkey")'),
        batch("bills", 'create_foreign_key("fk_bills_user", "users", ["user_id"], ["id"])'),
        servers(MIGRATE_FIRST, ANY_ORDER),
    ),
    Case(
        "a foreign key no longer cascades",
        batch("bills", 'drop_constraint("fk_bills_user", type_="foreignkey")')
        + "\n"
        + batch("bills", 'create_foreign_key("fk_bills_user", "users", ["user_id"], ["id"])'),
        batch("bills", 'drop_constraint("fk_bills_user", type_="foreignkey")')
        + "\n"
        + batch(
            "bills",
            'create_foreign_key("fk_bills_user", "users", ["user_id"], ["id"], ondelete="CASCADE")',
        ),
        servers(DEPLOY_FIRST, ANY_ORDER),
        first=batch("bills", 'drop_constraint("fk_bills_user", type_="foreignkey")')
        + "\n"
        + batch(
            "bills",
            'create_foreign_key("fk_bills_user", "users", ["user_id"], ["id"], ondelete="CASCADE")',
        ),
        says=("DELETE",),
    ),
    Case(
        "a second foreign key to a table cascades no longer",
        batch("notes", 'drop_constraint("fk_notes_user", type_="foreignkey")')
        + "\n"
        + batch("notes", 'create_foreign_key("fk_notes_user", "users", ["user_id"], ["id"])'),
        batch("notes", 'drop_constraint("fk_notes_user", type_="foreignkey")')
        + "\n"
        + batch(
            "notes",
            'create_foreign_key("fk_notes_user", "users", ["user_id"], ["id"], ondelete="CASCADE")',
        ),
        servers(DEPLOY_FIRST, ANY_ORDER),
        first='op.add_column("notes", sa.Column("user_id", sa.Integer))\n'
        + batch(
            "notes",
            'create_foreign_key("fk_notes_user", "users", ["user_id"], ["id"], ondelete="CASCADE")',
        ),
        says=("DELETE",),
    ),
    Case(
        "a check is added that refuses the rows",
        batch("bills", 'create_check_constraint("ck_amount", "amount >= 0")'),
        batch("bills", 'drop_constraint("ck_amount", type_="check")'),
        everywhere(DEPLOY_FIRST),
        says=("ck_amount",),
    ),
    Case(
        "a column becomes required, whatever is there",
        batch("bills", 'alter_column("code", existing_type=sa.String(10), nullable=False)'),
        batch("bills", 'alter_column("code", existing_type=sa.String(10), nullable=True)'),
        everywhere(DEPLOY_FIRST),
        says=("NULL|null",),
    ),
    Case(
        "a required column is dropped",
        batch("notes", 'drop_column("kind")'),
        'op.add_column("notes", sa.Column("kind", sa.Integer))\n'
        + sql("UPDATE notes SET kind = 1")
        + "\n"
        + batch("notes", 'alter_column("kind", existing_type=sa.Integer(), nullable=False)'),
        everywhere(NEITHER),
        first='op.add_column("notes", sa.Column("kind", sa.Integer))\n'
        + sql("UPDATE notes SET kind = 1")
        + "\n"
        + batch("notes", 'alter_column("kind", existing_type=sa.Integer(), nullable=False)'),
    ),
    Case(
        "a check is added",
        sql("UPDATE bills SET amount = 1")
        + "\n"
        + batch("bills", 'create_check_constraint("ck_amount", "amount >= 0")'),
        batch("bills", 'drop_constraint("ck_amount", type_="check")'),
        everywhere(DEPLOY_FIRST),
        says=("ck_amount",),
    ),
    Case(
        "a check is dropped",
        batch("bills", 'drop_constraint("ck_amount", type_="check")'),
        sql("UPDATE bills SET amount = 1")
        + "\n"
        + batch("bills", 'create_check_constraint("ck_amount", "amount >= 0")'),
        everywhere(MIGRATE_FIRST),
        first=sql("UPDATE bills SET amount = 1")
        + "\n"
        + batch("bills", 'create_check_constraint("ck_amount", "amount >= 0")'),
    ),
    Case(
        "a check that all values satisfy is added",
        batch("bills", 'create_check_constraint("ck_amount", "amount < 100000000000")'),
        batch("bills", 'drop_constraint("ck_amount", type_="check")'),
        everywhere(ANY_ORDER),
    ),
    Case(
        "a unique constraint is dropped",
        batch("notes", 'drop_constraint("uq_notes_slug", type_="unique")'),
        batch("notes", 'create_unique_constraint("uq_notes_slug", ["slug"])'),
        {SQLITE: DEPLOY_FIRST, POSTGRESQL: DEPLOY_FIRST, MARIADB: ANY_ORDER, MYSQL: ANY_ORDER},
    ),
    Case(
        "a view is created",
        sql(
            "CREATE VIEW totals AS SELECT user_id, sum(amount) AS total FROM bills GROUP BY user_id"
        ),
        sql("DROP VIEW totals"),
        everywhere(MIGRATE_FIRST),
        says=("totals",),
    ),
    Case(
        "a view is dropped",
        sql("DROP VIEW totals"),
        sql(
            "CREATE VIEW totals AS SELECT user_id, sum(amount) AS total FROM bills GROUP BY user_id"
        ),
        everywhere(DEPLOY_FIRST),
        first=sql(
            "CREATE VIEW totals AS SELECT user_id, sum(amount) AS total FROM bills GROUP BY user_id"
        ),
        says=("totals",),
    ),
    Case(
        "a column of a view is renamed",
        sql(
            "DROP VIEW totals",
            "CREATE VIEW totals AS SELECT user_id, sum(amount) AS total FROM bills GROUP BY user_id",
        ),
        sql(
            "DROP VIEW totals",
            "CREATE VIEW totals AS SELECT user_id, sum(amount) AS owed FROM bills GROUP BY user_id",
        ),
        everywhere(NEITHER),
        first=sql(
            "CREATE VIEW totals AS SELECT user_id, sum(amount) AS owed FROM bills GROUP BY user_id"
        ),
    ),
    Case(
        "a view reads another table, and shows the same",
        sql("DROP VIEW names", "CREATE VIEW names AS SELECT id, name FROM users WHERE id > 0"),
        sql("DROP VIEW names", "CREATE VIEW names AS SELECT id, name FROM users"),
        everywhere(ANY_ORDER),
        first=sql("CREATE VIEW names AS SELECT id, name FROM users"),
    ),
    Case(
        "an enum gets a label",
        sql("ALTER TYPE mood ADD VALUE 'tired'"),
        'raise NotImplementedError("a label stays")',
        {POSTGRESQL: MIGRATE_FIRST},
        first=sql(
            "CREATE TYPE mood AS ENUM ('sad', 'ok')", "ALTER TABLE users ADD COLUMN mood mood"
        ),
        says=("tired",),
    ),
    Case(
        "an enum of a column gets a label",
        sql("ALTER TABLE users MODIFY mood ENUM('sad', 'ok', 'tired')"),
        sql("ALTER TABLE users MODIFY mood ENUM('sad', 'ok')"),
        {MARIADB: MIGRATE_FIRST, MYSQL: MIGRATE_FIRST},
        first=sql("ALTER TABLE users ADD COLUMN mood ENUM('sad', 'ok')"),
    ),
    Case(
        "an enum of a column loses a label",
        sql(
            "UPDATE users SET mood = 'ok' WHERE mood = 'sad'",
            "ALTER TABLE users MODIFY mood ENUM('ok', 'tired')",
        ),
        sql("ALTER TABLE users MODIFY mood ENUM('sad', 'ok', 'tired')"),
        {MARIADB: DEPLOY_FIRST, MYSQL: DEPLOY_FIRST},
        first=sql("ALTER TABLE users ADD COLUMN mood ENUM('sad', 'ok', 'tired')"),
    ),
    Case(
        "a label of an enum is renamed",
        sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
        sql("ALTER TYPE mood RENAME VALUE 'blue' TO 'sad'"),
        {POSTGRESQL: NEITHER},
        first=sql(
            "CREATE TYPE mood AS ENUM ('sad', 'ok')", "ALTER TABLE users ADD COLUMN mood mood"
        ),
    ),
    Case(
        "a text becomes an enum",
        sql(
            "CREATE TYPE mood AS ENUM ('sad', 'ok')",
            "UPDATE bills SET code = 'ok'",
            "ALTER TABLE bills ALTER code TYPE mood USING code::mood",
        ),
        sql("ALTER TABLE bills ALTER code TYPE varchar(10)", "DROP TYPE mood"),
        {POSTGRESQL: DEPLOY_FIRST},
    ),
    Case(
        "a text becomes a number",
        sql(
            "UPDATE bills SET code = '1'",
            "ALTER TABLE bills ALTER code TYPE integer USING code::integer",
        ),
        sql("ALTER TABLE bills ALTER code TYPE varchar(10)"),
        {POSTGRESQL: DEPLOY_FIRST},
    ),
    Case(
        "a column becomes a generated one",
        sql(
            "ALTER TABLE bills DROP COLUMN code",
            "ALTER TABLE bills ADD COLUMN code varchar(40) GENERATED ALWAYS AS (title) STORED",
        ),
        sql("ALTER TABLE bills DROP COLUMN code", "ALTER TABLE bills ADD COLUMN code varchar(10)"),
        servers(DEPLOY_FIRST),
    ),
    Case(
        "a generated column is added",
        sql(
            "ALTER TABLE bills ADD COLUMN twice numeric(12, 2) GENERATED ALWAYS AS (amount * 2) STORED"
        ),
        sql("ALTER TABLE bills DROP COLUMN twice"),
        servers(MIGRATE_FIRST),
    ),
    Case(
        "a generated column is added in a batch",
        batch(
            "bills",
            'add_column(sa.Column("twice", sa.Integer, sa.Computed("days * 2", persisted=False)))',
        ),
        batch("bills", 'drop_column("twice")'),
        {SQLITE: MIGRATE_FIRST},
    ),
    Case(
        "numbers come from the server alone",
        sql("ALTER TABLE users ADD COLUMN n integer GENERATED ALWAYS AS IDENTITY"),
        sql("ALTER TABLE users DROP COLUMN n"),
        {POSTGRESQL: MIGRATE_FIRST},
    ),
    Case(
        "a trigger refuses to delete",
        sql(
            "CREATE TRIGGER keep BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'notes are kept'); END"
        ),
        sql("DROP TRIGGER keep"),
        {SQLITE: DEPLOY_FIRST},
        says=("notes are kept",),
    ),
    Case(
        "a trigger of the server refuses to delete",
        sql(
            "CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'notes are kept'"
        ),
        sql("DROP TRIGGER keep"),
        {MARIADB: DEPLOY_FIRST, MYSQL: DEPLOY_FIRST},
        says=("notes are kept",),
    ),
    Case(
        "a function of a trigger refuses",
        sql(
            "CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'notes are kept'; END $$"
        ),
        sql(
            "CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN old; END $$"
        ),
        {POSTGRESQL: DEPLOY_FIRST},
        first=sql(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN old; END $$",
            "CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION keep()",
        ),
        says=("notes are kept",),
    ),
    Case(
        "a trigger that minds nobody",
        sql("CREATE TRIGGER note AFTER INSERT ON notes BEGIN SELECT 1; END"),
        sql("DROP TRIGGER note"),
        {SQLITE: ANY_ORDER},
    ),
    Case(
        "a table goes into another schema",
        sql("CREATE SCHEMA app", "ALTER TABLE notes SET SCHEMA app"),
        sql("ALTER TABLE app.notes SET SCHEMA public", "DROP SCHEMA app"),
        {POSTGRESQL: NEITHER},
    ),
    Case(
        "a table is renamed, with a view on the columns in its place",
        sql(
            "ALTER TABLE notes RENAME COLUMN body TO text",
            "ALTER TABLE notes RENAME TO remarks",
            "CREATE VIEW notes AS SELECT id, author, text AS body, slug FROM remarks",
        ),
        sql(
            "DROP VIEW notes",
            "ALTER TABLE remarks RENAME TO notes",
            "ALTER TABLE notes RENAME COLUMN text TO body",
        ),
        servers(MIGRATE_FIRST, NEITHER),
    ),
    Case(
        "the case of a column changes",
        sql("ALTER TABLE notes RENAME COLUMN author TO Author"),
        sql("ALTER TABLE notes RENAME COLUMN Author TO author"),
        {SQLITE: ANY_ORDER, MARIADB: ANY_ORDER, MYSQL: ANY_ORDER},
    ),
    Case(
        "a quoted column gets another case",
        sql('ALTER TABLE notes RENAME COLUMN author TO "Author"'),
        sql('ALTER TABLE notes RENAME COLUMN "Author" TO author'),
        {POSTGRESQL: NEITHER},
    ),
    Case(
        "an index is built while others write",
        'with op.get_context().autocommit_block():\n    op.create_index("uq_slug", "users", ["email"], postgresql_concurrently=True)',
        'with op.get_context().autocommit_block():\n    op.drop_index("uq_slug", postgresql_concurrently=True)',
        {POSTGRESQL: ANY_ORDER},
    ),
    Case(
        "a column of a primary key is added",
        sql(
            "ALTER TABLE notes ADD COLUMN part integer NOT NULL DEFAULT 1",
            "ALTER TABLE notes DROP CONSTRAINT notes_pkey",
            "ALTER TABLE notes ADD CONSTRAINT notes_pkey PRIMARY KEY (id, part)",
        ),
        sql(
            "ALTER TABLE notes DROP CONSTRAINT notes_pkey",
            "ALTER TABLE notes DROP COLUMN part",
            "ALTER TABLE notes ADD CONSTRAINT notes_pkey PRIMARY KEY (id)",
        ),
        {POSTGRESQL: NEITHER},
    ),
    Case(
        "a comment is written",
        sql("COMMENT ON COLUMN bills.days IS 'until it is due'"),
        sql("COMMENT ON COLUMN bills.days IS NULL"),
        {POSTGRESQL: ANY_ORDER},
    ),
    Case(
        "a column is dropped for good",
        batch("bills", 'drop_column("code")'),
        'raise NotImplementedError("what it held is gone")',
        everywhere(DEPLOY_FIRST),
    ),
    Case(
        "a required column without a default, for good",
        batch("bills", 'add_column(sa.Column("paid", sa.Integer))')
        + '\nop.execute("UPDATE bills SET paid = 0")\n'
        + batch("bills", 'alter_column("paid", existing_type=sa.Integer(), nullable=False)'),
        'raise NotImplementedError("it stays")',
        everywhere(NEITHER),
    ),
    Case(
        "a table is split",
        'op.create_table("codes", sa.Column("bill_id", sa.Integer, sa.ForeignKey("bills.id", ondelete="CASCADE"), primary_key=True), sa.Column("code", sa.String(10)))\n'
        + sql("INSERT INTO codes (bill_id, code) SELECT id, code FROM bills")
        + "\n"
        + batch("bills", 'drop_column("code")'),
        'op.add_column("bills", sa.Column("code", sa.String(10)))\n'
        + sql("UPDATE bills SET code = (SELECT c.code FROM codes c WHERE c.bill_id = bills.id)")
        + '\nop.drop_table("codes")',
        everywhere(NEITHER),
    ),
]
