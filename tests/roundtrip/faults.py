# ruff: noqa: E501 – a statement of a revision stays in one line
"""Histories that are wrong in one way each, and what the round trip must say of them.

Each is small: a first revision that everybody shares (users and bills, with all sorts of things on
them), and a second one with the fault. Where a server forgives the fault, it must not be reported
there. ``odd.py`` has the counterpart: what only looks wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alembic_toolkit.prove import results

SQLITE, POSTGRESQL, MARIADB = "sqlite", "postgresql", "mariadb"
ALL = (SQLITE, POSTGRESQL, MARIADB)
SERVERS = (POSTGRESQL, MARIADB)

GRAPH, SELF_CONTAINED = results.GRAPH, results.SELF_CONTAINED
UP, DOWN, UP_AGAIN, ROWS = results.UP, results.DOWN, results.UP_AGAIN, results.ROWS
RERUN, CRASH, OFFLINE = results.RERUN, results.CRASH, results.OFFLINE
MODELS, BASE = results.MODELS, results.BASE

# Every step looks first, so that it can be run again.
FIRST_UP = """\
op.create_table(
    "owners", sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(20)),
    if_not_exists=True,
)
op.create_table(
    "users",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("email", sa.String(80)),
    if_not_exists=True,
)
op.create_table(
    "bills",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("owner_id", sa.Integer, nullable=False),
    sa.Column("title", sa.String(40), nullable=False, server_default="bill"),
    sa.Column("amount", sa.Numeric(12, 2)),
    sa.Column("due", sa.Date),
    sa.Column("payer", sa.Integer),
    sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], "fk_bills_owner", ondelete="CASCADE"),
    sa.UniqueConstraint("owner_id", "title", name="uq_bills_title"),
    sa.CheckConstraint("amount < 100000000", name="ck_bills_amount"),
    if_not_exists=True,
)
op.create_index("ix_bills_due", "bills", ["due"], if_not_exists=True)
"""
FIRST_DOWN = """\
op.drop_table("bills", if_exists=True)
op.drop_table("owners", if_exists=True)
op.drop_table("users", if_exists=True)
"""


@dataclass(frozen=True)
class Case:
    """A history of a few revisions, and what is to be said of it."""

    name: str
    up: str = "pass"  # of revision 0002
    down: str = "pass"
    check: str = ""  # which one fails; none: nothing is wrong
    says: tuple[str, ...] = ()  # each is part of the finding's text
    on: tuple[str, ...] = ALL  # the servers where it shows
    silent: tuple[str, ...] = ()  # those where the same history is right
    revision: str = "0002"
    asked: tuple[str, ...] = ()  # the checks beside those always done
    head: str = ""  # before the functions of 0002
    first: tuple[str, str] = (FIRST_UP, FIRST_DOWN)
    files: dict[str, str] = field(default_factory=dict)  # path: text; beside, or instead of, 0002
    env: str = ""
    unproven: bool = False  # the finding ends the run: no database is touched


def revision(
    id_: str,
    after: str | tuple[str, ...] | None,
    up: str = "pass",
    down: str = "pass",
    head: str = "",
) -> str:
    """Return the text of a revision file."""
    text = f'"""Revision {id_}."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n{head}\n'
    text += f"revision = {id_!r}\ndown_revision = {after!r}\n"
    for name, body in (("upgrade", up), ("downgrade", down)):
        lines = "".join(f"    {line}\n" if line else "\n" for line in body.strip().split("\n"))
        text += f"\n\ndef {name}():\n{lines}"
    return text


def things(id_: str, name: str) -> tuple[str, str]:
    """Return the two bodies of a revision that makes one table, and may be run again."""
    up = f'op.create_table("{name}", sa.Column("id", sa.Integer, primary_key=True))'
    return up, f'op.drop_table("{name}")'


def others(**parents: str | tuple[str, ...] | None) -> dict[str, str]:
    """Return revisions r_<id> that make a table each, by the id of their parents."""
    return {
        f"{id_}.py": revision(id_, after, *things(id_, f"t_{id_}"))
        for id_, after in parents.items()
    }


# The files

UNTOUCHED: list[Case] = [
    Case(
        "two files with one id",
        check=GRAPH,
        says=("0002", "id"),
        files={"0002.py": revision("0002", "0001"), "0002_too.py": revision("0002", "0001")},
    ),
    Case(
        "a parent that is not there",
        check=GRAPH,
        says=("0001x",),
        files={"0002.py": revision("0002", "0001x")},
    ),
    Case(
        "a dependency that is not there",
        check=GRAPH,
        says=("nowhere",),
        files={"0002.py": revision("0002", "0001", head='depends_on = "nowhere"')},
    ),
    Case(
        "a cycle",
        check=GRAPH,
        says=("comes after itself",),
        files={
            "0002.py": revision("0002", "0004"),
            "0003.py": revision("0003", "0002"),
            "0004.py": revision("0004", "0003"),
        },
    ),
    Case(
        "its own parent",
        check=GRAPH,
        says=("comes after itself",),
        files={"0002.py": revision("0002", "0002")},
    ),
    Case(
        "an id that the version table cannot hold",
        check=GRAPH,
        says=("32",),
        revision="0002_add_everything_that_was_asked_for",
        files={"0002.py": revision("0002_add_everything_that_was_asked_for", "0001")},
    ),
    Case(
        "two branches with one label",
        check=GRAPH,
        says=("its branch label one is taken by 0002.py",),
        revision="0003",
        files={
            "0002.py": revision("0002", "0001", head='branch_labels = "one"'),
            "0003.py": revision("0003", "0001", head='branch_labels = ("one",)'),
            "0004.py": revision("0004", ("0002", "0003")),
        },
    ),
    Case(
        "two heads",
        check=GRAPH,
        says=("2 heads", "0002", "0003", "merge"),
        revision="0003",
        files={"0002.py": revision("0002", "0001"), "0003.py": revision("0003", "0001")},
    ),
    Case(
        "two bases, and so two heads",
        check=GRAPH,
        says=("2 heads", "0001", "0002"),
        files={"0002.py": revision("0002", None)},
    ),
]

MODULE = "from sqlalchemy import MetaData\n\nmetadata = MetaData()\n"


def imports(name: str, package: str, head: str = "", up: str = "pass") -> Case:
    """Return a case whose revision imports the application."""
    files = {
        f"../../{package}/__init__.py": "",
        f"../../{package}/models.py": MODULE,
        "0002.py": revision("0002", "0001", up, head=head),
    }
    return Case(name, check=SELF_CONTAINED, says=(package,), files=files)


IMPORTS = [
    imports("import of the application", "shop_one", "import shop_one.models"),
    imports("import from the application", "shop_two", "from shop_two import models"),
    imports("import of a name", "shop_three", "from shop_three.models import metadata as m"),
    imports("import in a function", "shop_four", up="from shop_four.models import metadata"),
    imports(
        "import by a string, in a function",
        "shop_six",
        up='import importlib as tools\ntools.import_module("shop_six.models")',
    ),
    imports(
        "import by a string",
        "shop_five",
        'import importlib\n\nmodels = importlib.import_module("shop_five.models")',
    ),
]

# Up

UPS = [
    Case(
        "up: a connection of when the file was loaded",
        'bind.execute(sa.text("DELETE FROM users WHERE id < 0"))',
        check=UP,
        says=("op.get_bind() in the function",),
        head="bind = op.get_bind()",
    ),
    Case(
        "up: an error that names an object",
        "raise ValueError(object())",
        check=UP,
        says=("ValueError: <object object>",),
    ),
    Case(
        "up: a word misspelt",
        'op.execute("CREATE TABEL x (id INTEGER)")',
        check=UP,
        says=("TABEL",),
    ),
    Case("up: a name that Python does not know", "op.create_tabel('x')", check=UP, says=("tabel",)),
    Case(
        "up: a table that is not there",
        'op.add_column("user", sa.Column("age", sa.Integer))',
        check=UP,
        says=("upgrade() fails", "user"),
    ),
    Case(
        "up: the second statement fails",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))\n'
        'op.execute("INSERT INTO b VALUES (1)")',
        'op.drop_table("a")',
        check=UP,
        says=("b",),
    ),
    Case(
        "up: NOT NULL without a default on rows",
        'op.add_column("users", sa.Column("age", sa.Integer, nullable=False))',
        'with op.batch_alter_table("users") as batch:\n    batch.drop_column("age")',
        check=UP,
        says=("rows", "age", "server_default"),
        on=(SQLITE, POSTGRESQL),
        silent=(MARIADB,),  # it fills in a 0
    ),
    Case(
        "up: NOT NULL over NULLs",
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.alter_column("email", existing_type=sa.String(80), nullable=False)',
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.alter_column("email", existing_type=sa.String(80), nullable=True)',
        check=UP,
        says=("on tables with rows", "email"),
    ),
    Case(
        "up: a unique constraint over duplicates",
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.create_unique_constraint("uq_users_name", ["name"])',
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.drop_constraint("uq_users_name", type_="unique")',
        check=UP,
        says=("on tables with rows", "name"),
    ),
    Case(
        "up: a unique index over duplicates",
        'op.create_index("ix_users_name", "users", ["name"], unique=True)',
        'op.drop_index("ix_users_name", "users")',
        check=UP,
        says=("on tables with rows",),
    ),
    Case(
        "up: a check over rows that break it",
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.create_check_constraint("ck_users_name", sa.text("length(name) > 3"))',
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.drop_constraint("ck_users_name", type_="check")',
        check=UP,
        says=("ck_users_name",),
    ),
    Case(
        "up: texts cast to numbers",
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.alter_column("name", type_=sa.Integer, existing_type=sa.String(40),\n'
        '        existing_nullable=False, postgresql_using="name::integer")',
        'with op.batch_alter_table("users") as batch:\n'
        '    batch.alter_column("name", type_=sa.String(40), existing_type=sa.Integer,\n'
        "        existing_nullable=False)",
        check=UP,
        says=("on tables with rows",),
        on=SERVERS,
    ),
    Case(
        "up: a cast that PostgreSQL does not guess",
        'with op.batch_alter_table("bills") as batch:\n'
        '    batch.alter_column("payer", type_=sa.Date, existing_type=sa.Integer)',
        check=UP,
        says=("payer",),
        on=(POSTGRESQL,),
    ),
    Case(
        "up: a text shortened under longer ones",
        'op.alter_column("users", "name", type_=sa.String(8), existing_type=sa.String(40),\n'
        "    existing_nullable=False)",
        'op.alter_column("users", "name", type_=sa.String(40), existing_type=sa.String(8),\n'
        "    existing_nullable=False)",
        check=UP,
        says=("too long|truncated",),
        on=SERVERS,
    ),
    Case(
        "up: a foreign key to rows that are not there",
        'with op.batch_alter_table("bills") as batch:\n'
        '    batch.create_foreign_key("fk_bills_payer", "users", ["payer"], ["id"])',
        'with op.batch_alter_table("bills") as batch:\n'
        '    batch.drop_constraint("fk_bills_payer", type_="foreignkey")\n'
        'if op.get_context().dialect.name in ("mysql", "mariadb"):  # it made one for the key\n'
        '    op.drop_index("fk_bills_payer", "bills")',
        check=UP,
        says=("on tables with rows",),
    ),
    Case(
        "up: a constraint outside a batch",
        'op.create_unique_constraint("uq_users", "users", ["id", "name"])',
        'op.drop_constraint("uq_users", "users", type_="unique")',
        check=UP,
        says=("batch",),
        on=(SQLITE,),
        silent=SERVERS,
    ),
    Case(
        "up: a type altered outside a batch",
        'op.alter_column("users", "name", type_=sa.Text, existing_nullable=False)',
        'op.alter_column("users", "name", type_=sa.String(40), existing_nullable=False)',
        check=UP,
        says=("ALTER", "batch"),
        on=(SQLITE,),
        silent=SERVERS,
    ),
    Case(
        "up: a text without a length",
        'op.add_column("users", sa.Column("nick", sa.String))',
        'op.drop_column("users", "nick")',
        check=UP,
        says=("VARCHAR",),
        on=(MARIADB,),
        silent=(SQLITE, POSTGRESQL),
    ),
    Case(
        "up: a function of one server",
        "op.execute(\"UPDATE users SET email = CONCAT_WS('', email, NULL)\")",
        check=UP,
        says=("CONCAT_WS",),
        on=(SQLITE,),
    ),
    Case(
        "up: quotes of another server",
        'op.execute("CREATE INDEX ix_name ON users (`name`)")',
        'op.drop_index("ix_name", "users")',
        check=UP,
        says=("`name`",),
        on=(POSTGRESQL,),
        silent=(SQLITE, MARIADB),
    ),
    Case(
        "up: a name of 70 bytes",
        'op.create_index("ix_" + "n" * 67, "users", ["email"])',
        'op.drop_index("ix_" + "n" * 67, "users")',
        check=UP,
        says=("nnn",),
        on=SERVERS,
        silent=(SQLITE,),
    ),
    Case(
        "up: a loop over rows that expects them all to be filled",
        "bind = op.get_bind()\n"
        'for id_, email in bind.execute(sa.text("SELECT id, email FROM users")).all():\n'
        '    bind.execute(sa.text("UPDATE users SET name = name WHERE id = :id"),\n'
        '        {"id": id_, "email": email.lower()})',
        check=UP,
        says=("on tables with rows", "NoneType", "lower", "what copes with the rows"),
        head='irreversible = "nothing is to be taken back"',
    ),
    Case(
        "up: a table that no revision makes",
        'op.add_column("invoices", sa.Column("age", sa.Integer))',
        'op.drop_column("invoices", "age")',
        check=UP,
        says=("with rows and without", "what creates invoices"),
    ),
    Case(
        "up: an enum type made again that an earlier revision has made",
        'op.create_table("moods", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("mood", sa.Enum("good", "bad", name="mood_kind")))',
        'op.drop_table("moods")',
        check=UP,
        says=("run by itself", "mood_kind", "already exists", "create_type=False"),
        on=(POSTGRESQL,),
        silent=(SQLITE, MARIADB),
        first=(
            'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),\n'
            '    sa.Column("mood", sa.Enum("good", "bad", name="mood_kind")))',
            'op.drop_table("users")\n'
            'if op.get_context().dialect.name == "postgresql":\n    op.execute("DROP TYPE mood_kind")',
        ),
    ),
    Case(
        "up: an error caught, after which PostgreSQL does nothing more",
        'try:\n    op.execute("SELECT 1 FROM nowhere")\nexcept Exception:\n    pass',
        check=UP,
        says=("transaction is aborted", 'after it caught: relation "nowhere"'),
        on=(POSTGRESQL,),
        silent=(SQLITE, MARIADB),
    ),
    Case(
        "up: a Session that violates a key",
        "from sqlalchemy.orm import Session\n"
        "session = Session(op.get_bind())\n"
        "session.execute(sa.text(\"INSERT INTO bills (owner_id, title) VALUES (-77, 'x')\"))\n"
        "session.commit()",
        check=UP,
        says=("INSERT INTO bills",),
    ),
]

# Down

ADD_NOTE = 'op.add_column("users", sa.Column("note", sa.String(20)))\n'
DROP_NOTE = 'op.drop_column("users", "note")\n'
BATCH_USERS = 'with op.batch_alter_table("users") as batch:\n    '
BATCH_BILLS = 'with op.batch_alter_table("bills") as batch:\n    '


def left(
    name: str,
    up: str,
    down: str,
    *says: str,
    on: tuple[str, ...] = ALL,
    silent: tuple[str, ...] = (),
) -> Case:
    """Return a case whose downgrade does not bring back the schema."""
    return Case(f"down: {name}", up, down, DOWN, says, on, silent)


def forgets(
    name: str, up: str, *says: str, on: tuple[str, ...] = ALL, silent: tuple[str, ...] = ()
) -> Case:
    """Return a case whose downgrade takes a column back, and forgets the other thing."""
    return left(
        f"forgets {name}",
        ADD_NOTE + up,
        DROP_NOTE,
        "does not bring back the schema",
        *says,
        on=on,
        silent=silent,
    )


TRIGGER = {
    SQLITE: "CREATE TRIGGER tr AFTER DELETE ON bills BEGIN DELETE FROM users WHERE id = -1; END",
    MARIADB: "CREATE TRIGGER tr AFTER DELETE ON bills FOR EACH ROW DELETE FROM users WHERE id = -1",
}
FUNCTION = "CREATE FUNCTION one(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 1 $$"

DOWNS = [
    left("does nothing", ADD_NOTE, "pass", "does nothing", "column users.note"),
    left("does nothing but talk", ADD_NOTE, 'op.execute("SELECT 1")', "column users.note"),
    forgets("a table", 'op.create_table("extra", sa.Column("id", sa.Integer))', "table extra"),
    forgets(
        "a column", 'op.add_column("users", sa.Column("more", sa.Integer))', "column users.more"
    ),
    forgets(
        "an index", 'op.create_index("ix_email", "users", ["email"])', "+ index ix_email on users"
    ),
    forgets(
        "a unique constraint",
        BATCH_USERS + 'batch.create_unique_constraint("uq_mail", ["id", "email"])',
        "unique",
        "uq_mail",
    ),
    forgets(
        "a check",
        BATCH_BILLS + 'batch.create_check_constraint("ck_id", sa.text("payer <> 77"))',
        "check",
        "ck_id",
    ),
    forgets(
        "a foreign key",
        'op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))\n'
        + BATCH_BILLS
        + 'batch.add_column(sa.Column("extra_id", sa.Integer))\n'
        + '    batch.create_foreign_key("fk_extra", "users", ["extra_id"], ["id"])\n'
        + 'op.drop_table("extra")',
        "foreign key",
        "fk_extra",
    ),
    forgets("a view", 'op.execute("CREATE VIEW names AS SELECT name FROM users")', "view names"),
    forgets(
        "a materialized view",
        'op.execute("CREATE MATERIALIZED VIEW names AS SELECT name FROM users")',
        "view names",
        on=(POSTGRESQL,),
    ),
    forgets("a sequence", 'op.execute("CREATE SEQUENCE numbers")', "sequence numbers", on=SERVERS),
    forgets(
        "a trigger (SQLite)", f'op.execute("""{TRIGGER[SQLITE]}""")', "trigger", "tr", on=(SQLITE,)
    ),
    forgets(
        "a trigger (MariaDB)",
        f'op.execute("""{TRIGGER[MARIADB]}""")',
        "trigger",
        "tr",
        on=(MARIADB,),
    ),
    forgets("a function", f'op.execute("""{FUNCTION}""")', "function", "one", on=(POSTGRESQL,)),
    forgets(
        "a function (MariaDB)",
        'op.execute("CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1")',
        "function",
        "one",
        on=(MARIADB,),
    ),
    forgets(
        "a procedure",
        'op.execute("CREATE PROCEDURE nop() SELECT 1")',
        "procedure",
        "nop",
        on=(MARIADB,),
    ),
    left(
        "leaves the function of a trigger",
        'op.execute("""CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN RETURN NEW; END $$""")\n'
        'op.execute("CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()")',
        'op.execute("DROP TRIGGER touch ON users")',
        "function touch",
        on=(POSTGRESQL,),
    ),
    forgets(
        "a domain",
        'op.execute("CREATE DOMAIN cents AS integer CHECK (VALUE >= 0)")',
        "domain cents",
        on=(POSTGRESQL,),
    ),
    forgets(
        "a composite type",
        'op.execute("CREATE TYPE pair AS (a integer, b text)")',
        "pair",
        on=(POSTGRESQL,),
    ),
    forgets(
        "what the planner and the disk know of a column",
        'op.execute("ALTER TABLE users ALTER name SET STATISTICS 500, ALTER email SET STORAGE EXTERNAL")',
        "STATISTICS 500",
        "STORAGE EXTERNAL",
        on=(POSTGRESQL,),
    ),
    forgets("a schema", 'op.execute("CREATE SCHEMA archive")', "schema archive", on=(POSTGRESQL,)),
    forgets(
        "a comment of a table", 'op.create_table_comment("users", "people")', "people", on=SERVERS
    ),
    left(
        "forgets a comment of a column",
        'op.alter_column("users", "email", existing_type=sa.String(80), comment="private")\n'
        + ADD_NOTE,
        DROP_NOTE,
        "users.email",
        "private",
        on=SERVERS,
    ),
    left(
        "leaves an enum type",
        'op.create_table("things", sa.Column("kind", sa.Enum("a", "b", name="kind")))',
        'op.drop_table("things")',
        "kind",
        "does not bring back the schema",
        on=(POSTGRESQL,),
        silent=(SQLITE, MARIADB),
    ),
    left(
        "leaves the enum type of a column",
        'kind = sa.Enum("a", "b", name="kind")\nkind.create(op.get_bind(), checkfirst=True)\n'
        'op.add_column("users", sa.Column("kind", kind))',
        'op.drop_column("users", "kind")',
        "kind",
        on=(POSTGRESQL,),
        silent=(MARIADB,),
    ),
    left(
        "keeps a default",
        BATCH_BILLS
        + 'batch.alter_column("amount", existing_type=sa.Numeric(12, 2), server_default="0")\n'
        + ADD_NOTE,
        DROP_NOTE,
        "bills.amount",
        "0",
    ),
    left(
        "loses a default",
        BATCH_BILLS
        + 'batch.alter_column("title", existing_type=sa.String(40), existing_nullable=False, server_default=None)',
        BATCH_BILLS
        + 'batch.alter_column("title", existing_type=sa.String(40), existing_nullable=False, server_default="Bill")',
        "bills.title",
    ),
    left(
        "does not require again",
        BATCH_USERS
        + 'batch.alter_column("name", existing_type=sa.String(40), nullable=True)\n'
        + ADD_NOTE,
        DROP_NOTE,
        "users.name",
    ),
    left(
        "another length",
        BATCH_USERS + 'batch.alter_column("email", type_=sa.String(120))',
        BATCH_USERS + 'batch.alter_column("email", type_=sa.String(81))',
        "users.email",
        "81",
    ),
    left(
        "another precision",
        BATCH_BILLS + 'batch.alter_column("amount", type_=sa.Numeric(14, 2))',
        BATCH_BILLS + 'batch.alter_column("amount", type_=sa.Numeric(14, 4))',
        "bills.amount",
        "14",
    ),
    left(
        "another type",
        BATCH_USERS + 'batch.alter_column("email", type_=sa.Text)',
        BATCH_USERS + 'batch.alter_column("email", type_=sa.CHAR(80))',
        "users.email",
    ),
    left(
        "a larger integer stays",
        BATCH_BILLS + 'batch.alter_column("payer", type_=sa.BigInteger)\n' + ADD_NOTE,
        DROP_NOTE,
        "bills.payer",
        "bigint|BIGINT",
    ),
    left(
        "another ON DELETE",
        BATCH_BILLS + 'batch.drop_constraint("fk_bills_owner", type_="foreignkey")\n'
        '    batch.create_foreign_key("fk_bills_owner", "owners", ["owner_id"], ["id"])',
        BATCH_BILLS + 'batch.drop_constraint("fk_bills_owner", type_="foreignkey")\n'
        '    batch.create_foreign_key("fk_bills_owner", "owners", ["owner_id"], ["id"], ondelete="RESTRICT")',
        "fk_bills_owner",
        "CASCADE",
    ),
    left(
        "ON DELETE forgotten",
        BATCH_BILLS + 'batch.drop_constraint("fk_bills_owner", type_="foreignkey")',
        BATCH_BILLS + 'batch.create_foreign_key("fk_bills_owner", "owners", ["owner_id"], ["id"])',
        "fk_bills_owner",
        "CASCADE",
    ),
    left(
        "another name of a unique constraint",
        BATCH_BILLS
        + 'batch.create_unique_constraint("uq_new", ["owner_id", "id"])\n'
        + BATCH_BILLS
        + 'batch.drop_constraint("uq_bills_title", type_="unique")',
        BATCH_BILLS
        + 'batch.create_unique_constraint("uq_titles", ["owner_id", "title"])\n'
        + BATCH_BILLS
        + 'batch.drop_constraint("uq_new", type_="unique")',
        "uq_titles",
    ),
    left(
        "another check",
        BATCH_BILLS + 'batch.drop_constraint("ck_bills_amount", type_="check")',
        BATCH_BILLS
        + 'batch.create_check_constraint("ck_bills_amount", sa.text("amount < 200000000"))',
        "ck_bills_amount",
        "200000000",
    ),
    left(
        "an index under another name",
        'op.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_due", "bills", ["due"])',
        "ix_bills_due",
        "ix_due",
    ),
    left(
        "an index over another column",
        'op.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_bills_due", "bills", ["amount"])',
        "ix_bills_due",
        "amount",
    ),
    left(
        "an index that is unique now",
        'op.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_bills_due", "bills", ["due", "id"], unique=True)',
        "ix_bills_due",
        "UNIQUE|unique",
    ),
    left(
        "an index in another order",
        'op.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_bills_due", "bills", [sa.text("due DESC")])',
        "ix_bills_due",
        "DESC",
        on=(SQLITE, POSTGRESQL),
    ),
    left(
        "an index with a predicate",
        'op.drop_index("ix_bills_due", "bills")',
        'where = sa.text("due IS NOT NULL")\nop.create_index("ix_bills_due", "bills", ["due"], postgresql_where=where, sqlite_where=where)',
        "ix_bills_due",
        on=(SQLITE, POSTGRESQL),
        silent=(MARIADB,),
    ),
    left(
        "an index of another method",
        'op.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_bills_due", "bills", ["due"], postgresql_using="hash")',
        "ix_bills_due",
        "hash",
        on=(POSTGRESQL,),
        silent=(SQLITE, MARIADB),
    ),
    left(
        "an index of an expression",
        'op.create_index("ix_lower", "users", [sa.text("lower(email)")])\nop.drop_index("ix_lower", "users")\nop.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_bills_due", "bills", [sa.text("coalesce(due, due)")])',
        "ix_bills_due",
        on=(SQLITE, POSTGRESQL),
    ),
    left(
        "an index with more columns",
        'op.drop_index("ix_bills_due", "bills")',
        'op.create_index("ix_bills_due", "bills", ["due"], postgresql_include=["amount"])',
        "ix_bills_due",
        "INCLUDE",
        on=(POSTGRESQL,),
        silent=(SQLITE, MARIADB),
    ),
    left(
        "an index renamed and left so",
        'op.execute("ALTER INDEX ix_bills_due RENAME TO ix_due")',
        "pass",
        "does nothing",
        "ix_due",
        on=(POSTGRESQL,),
    ),
    left(
        "a collation",
        BATCH_USERS
        + 'batch.alter_column("email", type_=sa.String(80, collation={"sqlite": "NOCASE", "postgresql": "C", "mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin"}[op.get_bind().dialect.name]))\n'
        + ADD_NOTE,
        DROP_NOTE,
        "users.email",
    ),
    left(
        "an identity",
        'op.execute("ALTER TABLE bills ALTER COLUMN id DROP DEFAULT")\nop.execute("ALTER TABLE bills ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (START WITH 1000)")',
        'op.execute("ALTER TABLE bills ALTER COLUMN id DROP IDENTITY")',
        "bills.id",
        on=(POSTGRESQL,),
    ),
    left(
        "an auto-increment lost",
        "pass\n" + 'op.execute("ALTER TABLE users ADD COLUMN k INT")',
        'op.execute("ALTER TABLE bills MODIFY id INT NOT NULL")\nop.execute("ALTER TABLE users DROP COLUMN k")',
        "bills.id",
        "AUTO_INCREMENT|auto_increment",
        on=(MARIADB,),
    ),
    left(
        "drops more than was made",
        ADD_NOTE,
        DROP_NOTE + 'op.drop_index("ix_bills_due", "bills")',
        "- index ix_bills_due on bills",
    ),
    left(
        "drops a table of another revision",
        ADD_NOTE,
        DROP_NOTE + 'op.drop_table("bills")',
        "- table bills",
    ),
    left(
        "a view of before",
        'op.execute("CREATE VIEW names AS SELECT name FROM users")\nop.execute("DROP VIEW names")\nop.execute("CREATE VIEW ids AS SELECT id FROM users")',
        'op.execute("DROP VIEW ids")\nop.execute("CREATE VIEW names AS SELECT name FROM users")',
        "view names",
    ),
    left(
        "deferrable now",
        'op.execute("ALTER TABLE bills ALTER CONSTRAINT fk_bills_owner DEFERRABLE")',
        "pass",
        "fk_bills_owner",
        "DEFERRABLE",
        on=(POSTGRESQL,),
    ),
    left(
        "row level security",
        'op.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")',
        "pass",
        "users",
        on=(POSTGRESQL,),
    ),
    left(
        "a policy",
        'op.execute("CREATE POLICY all_ ON users USING (true)")',
        "pass",
        "users",
        on=(POSTGRESQL,),
    ),
    left(
        "ON UPDATE",
        'op.execute("ALTER TABLE users ADD COLUMN at TIMESTAMP NULL, ADD COLUMN b INT")',
        'op.execute("ALTER TABLE users DROP COLUMN b, MODIFY at TIMESTAMP NULL ON UPDATE CURRENT_TIMESTAMP")',
        "users.at",
        on=(MARIADB,),
    ),
    left(
        "AUTOINCREMENT",
        ADD_NOTE
        + 'op.create_table("auto", sa.Column("id", sa.Integer, primary_key=True), sqlite_autoincrement=True)\nop.drop_table("auto")',
        DROP_NOTE
        + 'with op.batch_alter_table("users", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as batch:\n    pass',
        "users",
        on=(SQLITE,),
    ),
    left(
        "a generated column of another expression",
        'op.execute("ALTER TABLE bills ADD COLUMN g INTEGER GENERATED ALWAYS AS (payer + 1) STORED")',
        'op.execute("ALTER TABLE bills DROP COLUMN g")\nop.execute("ALTER TABLE bills ADD COLUMN g INTEGER GENERATED ALWAYS AS (payer + 2) STORED")',
        "bills.g",
        on=SERVERS,
    ),
    left(
        "another primary key",
        ADD_NOTE,
        DROP_NOTE
        + 'op.execute("ALTER TABLE bills DROP CONSTRAINT bills_pkey, ADD CONSTRAINT bills_pk PRIMARY KEY (id)")',
        "bills_pk",
        on=(POSTGRESQL,),
    ),
    Case(
        "down: raises",
        ADD_NOTE,
        'raise RuntimeError("not now")',
        DOWN,
        ("downgrade() fails", "not now"),
    ),
    Case(
        "down: NotImplementedError, written",
        ADD_NOTE,
        "raise NotImplementedError()",
        DOWN,
        ("downgrade() fails", "irreversible ="),
    ),
    Case(
        "down: NotImplementedError, of Alembic",
        BATCH_USERS + 'batch.create_unique_constraint("uq_m", ["id", "name"])',
        'op.drop_constraint("uq_m", "users", type_="unique")',
        DOWN,
        ("downgrade() fails", "batch"),
        (SQLITE,),
        SERVERS,
    ),
    Case(
        "down: in the wrong order",
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))\n'
        'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("a_id", sa.Integer, sa.ForeignKey("a.id")))',
        'op.drop_table("a")\nop.drop_table("b")',
        DOWN,
        ("downgrade() fails", "reverse order"),
    ),
    Case(
        "down: a misspelt name",
        ADD_NOTE,
        'op.drop_column("users", "notes")',
        DOWN,
        ("downgrade() fails", "notes"),
    ),
    Case(
        "down: the column's index first",
        'op.create_index("ix_n", "users", ["name"])',
        'op.drop_index("ix_n")',
        DOWN,
        ("downgrade() fails",),
        (MARIADB,),
        (SQLITE, POSTGRESQL),
    ),
    Case(
        "down: a name made up when the file is loaded",
        'op.create_index(NAME, "users", ["email"])',
        'op.drop_index(NAME, "users")',
        DOWN,
        ("downgrade() fails", "ix_"),
        head='import uuid\n\nNAME = f"ix_{uuid.uuid4().hex[:8]}"\n',
    ),
    Case(
        "down: what the upgrade remembered",
        "global done\ndone = True\n" + ADD_NOTE,
        "if done:\n    " + DROP_NOTE,
        DOWN,
        ("does nothing", "note"),
        head="done = False\n",
    ),
]

DOWNS_OF_OTHER_FIRSTS = [
    Case(
        "down: keeps a value added to an enum",
        "with op.get_context().autocommit_block():\n    op.execute(\"ALTER TYPE state ADD VALUE 'paid'\")",
        "pass",
        DOWN,
        ("does nothing", "state", "paid"),
        (POSTGRESQL,),
        first=(
            'op.create_table("t", sa.Column("s", sa.Enum("open", "due", name="state")))',
            'op.drop_table("t")\nop.execute("DROP TYPE state")',
        ),
    ),
    Case(
        "down: enum labels in another order",
        'op.execute("DROP TYPE state")',
        "op.execute(\"CREATE TYPE state AS ENUM ('due', 'open')\")",
        DOWN,
        ("state", "due"),
        (POSTGRESQL,),
        first=(
            "op.execute(\"CREATE TYPE state AS ENUM ('open', 'due')\")",
            'op.execute("DROP TYPE state")',
        ),
    ),
    Case(
        "down: an enum of MariaDB keeps its new label",
        "op.execute(\"ALTER TABLE t MODIFY s ENUM('a', 'b', 'c')\")",
        "pass",
        DOWN,
        ("t.s", "'c'"),
        (MARIADB,),
        first=(
            "op.execute(\"CREATE TABLE t (id INT PRIMARY KEY, s ENUM('a', 'b'))\")",
            'op.drop_table("t")',
        ),
    ),
    Case(
        "down: a comment on a schema",
        "op.execute(\"COMMENT ON SCHEMA s IS 'of later'\")",
        "pass",
        DOWN,
        ("schema s", "of later"),
        (POSTGRESQL,),
        first=('op.execute("CREATE SCHEMA s")', 'op.execute("DROP SCHEMA s")'),
    ),
    Case(
        "down: a function's body of later",
        f'op.execute("""{FUNCTION.replace("CREATE", "CREATE OR REPLACE").replace("SELECT 1", "SELECT 2")}""")',
        "pass",
        DOWN,
        ("function one",),
        (POSTGRESQL,),
        first=(f'op.execute("""{FUNCTION}""")', 'op.execute("DROP FUNCTION one")'),
    ),
    Case(
        "down: a view's definition of later",
        'op.execute("DROP VIEW v")\nop.execute("CREATE VIEW v AS SELECT 2 AS n")',
        'op.execute("DROP VIEW v")\nop.execute("CREATE VIEW v AS SELECT 3 AS n")',
        DOWN,
        ("view v",),
        first=('op.execute("CREATE VIEW v AS SELECT 1 AS n")', 'op.execute("DROP VIEW v")'),
    ),
    Case(
        "down: a trigger lost in a batch",
        'op.add_column("users", sa.Column("k", sa.Integer))',
        'with op.batch_alter_table("users") as batch:\n    batch.drop_column("k")',
        DOWN,
        ("trigger", "tr"),
        (SQLITE,),
        first=(
            FIRST_UP + 'op.execute("CREATE TRIGGER tr AFTER INSERT ON users BEGIN SELECT 1; END")',
            FIRST_DOWN,
        ),
    ),
    Case(
        "down: a sequence that starts elsewhere",
        'op.execute("DROP SEQUENCE s")',
        'op.execute("CREATE SEQUENCE s START WITH 7 INCREMENT BY 2")',
        DOWN,
        ("sequence s",),
        SERVERS,
        first=('op.execute("CREATE SEQUENCE s")', 'op.execute("DROP SEQUENCE s")'),
    ),
    Case(
        "down: a domain without its check",
        'op.execute("DROP DOMAIN cents")',
        'op.execute("CREATE DOMAIN cents AS integer")',
        DOWN,
        ("cents_check",),
        (POSTGRESQL,),
        first=(
            'op.execute("CREATE DOMAIN cents AS integer CHECK (VALUE > 0)")',
            'op.execute("DROP DOMAIN cents")',
        ),
    ),
]

# Up again

BY_QUESTION = (
    "for index in sa.inspect(op.get_bind()).get_indexes('users'):\n"
    "    op.drop_index(index['name'], 'users')"
)
# The walk begins anew above 0002, where what that left behind must not be met.
LEFT_IN_A_DATABASE = [
    Case(
        f"down, and anew: {made}",
        f'op.execute("{made}")',
        "pass",
        DOWN,
        (said,),
        (on,),
        files={"0003.py": revision("0003", "0002", *things("0003", "more"))},
    )
    for made, said, on in (
        ("CREATE TYPE spans AS RANGE (subtype = float8)", "was: drop range spans", POSTGRESQL),
        (
            "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
            "drop operator public.===",
            POSTGRESQL,
        ),
        (
            "CREATE COLLATION plain (provider = libc, locale = 'C')",
            "drop collation public.plain",
            POSTGRESQL,
        ),
        (
            "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)",
            "drop text search configuration public.words",
            POSTGRESQL,
        ),
        ("CREATE PUBLICATION news", "drop publication news", POSTGRESQL),
        ("ALTER DATABASE CHARACTER SET latin1", "latin1", MARIADB),
    )
]

AGAIN = [
    Case(
        "up again: a random name",
        'import uuid\nop.create_index(f"ix_{uuid.uuid4().hex[:8]}", "users", ["email"])',
        BY_QUESTION,
        UP_AGAIN,
        ("another schema", "ix_"),
    ),
    Case(
        "up again: a random name, made when loaded",
        'op.create_index(NAME, "users", ["email"])',
        BY_QUESTION,
        UP_AGAIN,
        ("another schema", "ix_"),
        head="import secrets\n\nNAME = 'ix_' + secrets.token_hex(4)\n",
    ),
    Case(
        "up again: a dated name",
        'op.create_index(NAME, "users", ["email"])',
        BY_QUESTION,
        UP_AGAIN,
        ("another schema",),
        head='import datetime\n\nNAME = datetime.datetime.now().strftime("ix_%H%M%S%f")\n',
    ),
    Case(
        "up again: a default of the moment",
        'import time\nop.add_column("users", sa.Column("note", sa.String(40), server_default=str(time.time_ns())))',
        DROP_NOTE,
        UP_AGAIN,
        ("another schema", "note"),
    ),
    Case(
        "up again: a counter that another module keeps",
        'sa.times = getattr(sa, "times", 0) + 1\nop.create_index(f"ix_{sa.times}", "users", ["email"])',
        BY_QUESTION,
        UP_AGAIN,
        ("another schema", "ix_"),
    ),
    Case(
        "up again: only the first time",
        'if not hasattr(sa, "was_here"):\n    sa.was_here = True\n    op.create_index("ix_e", "users", ["email"])',
        BY_QUESTION,
        UP_AGAIN,
        ("another schema", "- index ix_e on users"),
    ),
    Case(
        "up again: a seed row is there already",
        "op.execute(\"INSERT INTO users (id, name) VALUES (7777, 'admin')\")",
        "pass",
        UP_AGAIN,
        ("upgrade() fails when it is run again", "INSERT INTO users"),
    ),
]

# Rows

LOST = [
    Case(
        "rows: cents in a type of whole numbers",
        'with op.batch_alter_table("t") as batch:\n    batch.alter_column("n", type_=sa.Integer, existing_type=sa.Numeric)',
        'with op.batch_alter_table("t") as batch:\n    batch.alter_column("n", type_=sa.Numeric(8, 2), existing_type=sa.Integer)',
        ROWS,
        ("t.n",),
        first=(
            'op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Numeric(8, 2)))',
            'op.drop_table("t")',
        ),
    ),
    Case(
        "rows: a text cut for a shorter type",
        'op.execute("UPDATE users SET name = substr(name, 1, 9)")\n'
        + BATCH_USERS
        + 'batch.alter_column("name", type_=sa.String(9), existing_type=sa.String(40), existing_nullable=False)',
        BATCH_USERS
        + 'batch.alter_column("name", type_=sa.String(40), existing_type=sa.String(9), existing_nullable=False)',
        ROWS,
        ("users.name",),
    ),
    Case(
        "rows: the time of day",
        'op.alter_column("t", "at", type_=sa.Date, existing_type=sa.DateTime)',
        'op.alter_column("t", "at", type_=sa.DateTime, existing_type=sa.Date)',
        ROWS,
        ("t.at", "00:00:00"),
        SERVERS,
        first=(
            'op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.DateTime))',
            'op.drop_table("t")',
        ),
    ),
    Case(
        "rows: a time zone, and back by another",
        "op.execute(\"ALTER TABLE t ALTER at TYPE timestamptz USING at AT TIME ZONE 'Europe/Berlin'\")",
        "op.execute(\"ALTER TABLE t ALTER at TYPE timestamp USING at AT TIME ZONE 'UTC'\")",
        ROWS,
        ("t.at", "22:59"),
        (POSTGRESQL,),
        first=(
            'op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.DateTime))',
            'op.drop_table("t")',
        ),
    ),
    Case(
        "rows: a column dropped, and made anew",
        BATCH_USERS + 'batch.drop_column("email")',
        'op.add_column("users", sa.Column("email", sa.String(80)))',
        ROWS,
        ("downgrade() loses", "users.email", "irreversible ="),
    ),
    Case(
        "rows: a table dropped, and made anew",
        'op.drop_table("log")',
        'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(20)))',
        ROWS,
        ("downgrade() loses", "log"),
        first=(
            'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(20)))',
            'op.drop_table("log")',
        ),
    ),
    Case(
        "rows: cut by an UPDATE",
        'op.execute("UPDATE users SET name = substr(name, 1, 5)")',
        "pass",
        ROWS,
        ("downgrade() loses", "users.name"),
    ),
    Case(
        "rows: lower case, for ever",
        'op.execute("UPDATE users SET email = lower(email)")',
        "pass",
        ROWS,
        ("users.email",),
    ),
    Case(
        "rows: an UPDATE without WHERE",
        "op.execute(\"UPDATE users SET name = 'nobody'\")",
        "pass",
        ROWS,
        ("users.name", "nobody"),
    ),
    Case(
        "rows: through a Session",
        "from sqlalchemy.orm import Session\nwith Session(op.get_bind()) as session:\n    session.execute(sa.text(\"UPDATE users SET name = 'nobody'\"))\n    session.commit()",
        "pass",
        ROWS,
        ("users.name", "nobody"),
    ),
    Case(
        "rows: money rounded",
        'op.execute("UPDATE bills SET amount = round(amount, 0)")',
        "pass",
        ROWS,
        ("bills.amount",),
    ),
    Case(
        "rows: dates moved",
        'op.execute("UPDATE bills SET due = NULL")',
        "pass",
        ROWS,
        ("bills.due", "NULL"),
    ),
    Case(
        "rows: cents divided as integers",
        'op.add_column("bills", sa.Column("cents", sa.BigInteger))\nop.execute("UPDATE bills SET cents = amount * 100")\n'
        + BATCH_BILLS
        + 'batch.drop_constraint("ck_bills_amount", type_="check")\n    batch.drop_column("amount")',
        BATCH_BILLS
        + 'batch.add_column(sa.Column("amount", sa.Numeric(12, 2)))\n    batch.create_check_constraint("ck_bills_amount", sa.text("amount < 100000000"))\nop.execute("UPDATE bills SET amount = cents / 100")\n'
        + BATCH_BILLS
        + 'batch.drop_column("cents")',
        ROWS,
        ("downgrade() loses", "bills.amount"),
        (SQLITE, POSTGRESQL),
        (MARIADB,),
    ),
    Case(
        "rows: empty for NULL, and NULL for empty",
        "op.execute(\"UPDATE users SET email = '' WHERE email IS NULL\")\n"
        + BATCH_USERS
        + 'batch.alter_column("email", existing_type=sa.String(80), nullable=False)',
        BATCH_USERS
        + 'batch.alter_column("email", existing_type=sa.String(80), nullable=True)\nop.execute("UPDATE users SET email = NULL WHERE email = \'\'")',
        ROWS,
        ("users.email", "'' -> NULL"),
    ),
    Case(
        "rows: duplicates deleted",
        'op.execute("DELETE FROM users WHERE id NOT IN (SELECT id FROM (SELECT min(id) AS id FROM users GROUP BY name, email) AS one)")',
        "pass",
        ROWS,
        ("rows of users",),
    ),
    Case("rows: all deleted", 'op.execute("DELETE FROM bills")', "pass", ROWS, ("rows of bills",)),
    Case(
        "rows: TRUNCATE", 'op.execute("TRUNCATE bills")', "pass", ROWS, ("rows of bills",), SERVERS
    ),
    Case(
        "rows: two columns swapped for good",
        'op.execute("UPDATE p SET a = b, b = a")',
        "pass",
        ROWS,
        ("p.a",),
        (SQLITE, POSTGRESQL),
        first=(
            'op.create_table("p", sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.String(20)), sa.Column("b", sa.String(20)))',
            'op.drop_table("p")',
        ),
    ),
    Case(
        "rows: two columns swapped, from left to right",
        'op.execute("UPDATE p SET a = b, b = a")',
        'op.execute("UPDATE p SET a = b, b = a")',
        ROWS,
        ("p.a",),
        (MARIADB,),
        (SQLITE, POSTGRESQL),
        first=(
            'op.create_table("p", sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.String(20)), sa.Column("b", sa.String(20)))',
            'op.drop_table("p")',
        ),
    ),
    Case(
        "rows: names swapped by renames",
        BATCH_BILLS + 'batch.alter_column("payer", new_column_name="x", existing_type=sa.Integer)',
        BATCH_BILLS
        + 'batch.alter_column("x", new_column_name="y", existing_type=sa.Integer)\nop.add_column("bills", sa.Column("payer", sa.Integer))\n'
        + BATCH_BILLS
        + 'batch.drop_column("y")',
        ROWS,
        ("bills.payer",),
    ),
    Case(
        "rows: children emptied by a batch",
        'with op.batch_alter_table("owners", recreate="always") as batch:\n    batch.add_column(sa.Column("note", sa.String(20)))',
        'op.drop_column("owners", "note")',
        ROWS,
        ("upgrade() loses", "rows of bills"),
        (SQLITE,),
        (),
    ),
    Case(
        "rows: a copy that leaves NULLs behind",
        'op.create_table("people", sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(20)))\nop.execute("INSERT INTO people SELECT id, what FROM log WHERE what IS NOT NULL")\nop.drop_table("log")\nop.rename_table("people", "log")',
        "pass",
        ROWS,
        ("loses", "rows of log"),
        (SQLITE, MARIADB),
        first=(
            'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(20)))',
            'op.drop_table("log")',
        ),
    ),
    Case(
        "rows: a seed row doubled",
        "op.execute(\"INSERT INTO kinds (name) VALUES ('rent')\")",
        "pass",
        ROWS,
        ("kinds",),
        first=(
            'op.create_table("kinds", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))',
            'op.drop_table("kinds")',
        ),
    ),
    Case(
        "rows: a seed row doubled in a table without a key",
        "op.execute(\"INSERT INTO kinds (name) VALUES ('rent')\")",
        "pass",
        ROWS,
        ("kinds", "rent"),
        first=(
            'op.create_table("kinds", sa.Column("name", sa.String(20)))',
            'op.drop_table("kinds")',
        ),
    ),
    Case(
        "rows: the downgrade deletes more than the seed",
        "op.execute(\"INSERT INTO kinds (name) VALUES ('rent')\")",
        'op.execute("DELETE FROM kinds")',
        ROWS,
        ("downgrade() loses", "rows of kinds"),
        first=(
            'op.create_table("kinds", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))',
            'op.drop_table("kinds")',
        ),
    ),
    Case(
        "rows: a foreign key set to NULL",
        'op.execute("UPDATE bills SET payer = NULL")',
        "pass",
        ROWS,
        ("bills.payer",),
    ),
    Case(
        "rows: multiplied in the upgrade's copy",
        'op.execute("UPDATE bills SET amount = amount * 2")',
        'op.execute("UPDATE bills SET amount = amount * 2")',
        ROWS,
        ("bills.amount",),
        on=ALL,
    ),
    Case(
        "rows: a column moved to a table, and only some back",
        'op.create_table("mails", sa.Column("user_id", sa.Integer, primary_key=True, autoincrement=False), sa.Column("email", sa.String(80)))\nop.execute("INSERT INTO mails SELECT id, email FROM users WHERE length(email) < 20")\n'
        + BATCH_USERS
        + 'batch.drop_column("email")',
        'op.add_column("users", sa.Column("email", sa.String(80)))\nop.execute("UPDATE users SET email = (SELECT email FROM mails WHERE user_id = users.id)")\nop.drop_table("mails")',
        ROWS,
        ("users.email",),
    ),
]

# Asked for

GUARDED_NOTE = (
    "if not any(c['name'] == 'note' for c in sa.inspect(op.get_bind()).get_columns('users')):\n    "
    + ADD_NOTE
)
GUARDED_NO_NOTE = (
    "if any(c['name'] == 'note' for c in sa.inspect(op.get_bind()).get_columns('users')):\n    "
    + DROP_NOTE
)

RERUNS = [
    Case(
        "re-run: a column",
        ADD_NOTE,
        GUARDED_NO_NOTE,
        RERUN,
        ("upgrade() fails when it is run again", "note", "look first"),
        asked=(RERUN,),
    ),
    Case(
        "re-run: a table",
        'op.create_table("x", sa.Column("id", sa.Integer))',
        'op.drop_table("x", if_exists=True)',
        RERUN,
        ("upgrade() fails when it is run again", "x"),
        asked=(RERUN,),
    ),
    Case(
        "re-run: an index",
        'op.create_index("ix_n", "users", ["name"])',
        'op.drop_index("ix_n", "users", if_exists=True)',
        RERUN,
        ("upgrade() fails", "ix_n"),
        asked=(RERUN,),
    ),
    Case(
        "re-run: the downgrade",
        GUARDED_NOTE,
        DROP_NOTE,
        RERUN,
        ("downgrade() fails when it is run again", "note"),
        asked=(RERUN,),
    ),
    Case(
        "re-run: one more index each time",
        'n = len(sa.inspect(op.get_bind()).get_indexes("users"))\nop.create_index(f"ix_{n}", "users", ["email"])',
        BY_QUESTION,
        RERUN,
        ("changes the schema again", "ix_1"),
        asked=(RERUN,),
    ),
    Case(
        "re-run: rows inserted twice",
        "op.execute(\"INSERT INTO kinds (name) VALUES ('rent')\")",
        "op.execute(\"DELETE FROM kinds WHERE name = 'rent'\")",
        RERUN,
        ("kinds",),
        asked=(RERUN,),
        first=(
            'op.create_table("kinds", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)), if_not_exists=True)',
            'op.drop_table("kinds", if_exists=True)',
        ),
    ),
    Case(
        "re-run: values added twice",
        'op.execute("UPDATE bills SET payer = payer + 10000000")',
        'op.execute("UPDATE bills SET payer = payer - 10000000 WHERE payer > 5000000")',
        RERUN,
        ("upgrade() run a second time", "changes rows again", "bills"),
        asked=(RERUN,),
    ),
    Case(
        "re-run: a rename",
        'op.rename_table("users", "people")',
        'op.rename_table("people", "users")',
        RERUN,
        ("fails when it is run again",),
        asked=(RERUN,),
    ),
]

CRASHES = [
    Case(
        "crash: two tables",
        'op.create_table("a", sa.Column("id", sa.Integer))\nop.create_table("b", sa.Column("id", sa.Integer))',
        'op.drop_table("b")\nop.drop_table("a")',
        CRASH,
        ("run again after a crash, fails", "stopped after statement"),
        (SQLITE, MARIADB),
        (POSTGRESQL,),
        asked=(CRASH,),
    ),
    Case(
        "crash: values changed, and then a table",
        'op.execute("UPDATE bills SET payer = payer * 3")\nop.create_table("a", sa.Column("id", sa.Integer), if_not_exists=True)',
        'op.drop_table("a", if_exists=True)\nop.execute("UPDATE bills SET payer = payer / 3")',
        CRASH,
        ("arrives somewhere else", "bills.payer"),
        (MARIADB,),
        (POSTGRESQL,),
        asked=(CRASH,),
    ),
    Case(
        "crash: a row, and then a table",
        "op.execute(\"INSERT INTO users (name) VALUES ('admin')\")\nop.create_table('a', sa.Column('id', sa.Integer), if_not_exists=True)",
        "op.drop_table('a', if_exists=True)\nop.execute(\"DELETE FROM users WHERE name = 'admin'\")",
        CRASH,
        ("arrives somewhere else", "users"),
        (MARIADB,),
        (POSTGRESQL,),
        asked=(CRASH,),
    ),
    Case(
        "crash: the downgrade",
        'op.create_table("a", sa.Column("id", sa.Integer), if_not_exists=True)\nop.create_table("b", sa.Column("id", sa.Integer), if_not_exists=True)',
        'op.drop_table("b")\nop.drop_table("a")',
        CRASH,
        ("downgrade(), run again after a crash, fails",),
        (SQLITE, MARIADB),
        (POSTGRESQL,),
        asked=(CRASH,),
    ),
    Case(
        "crash: a block that commits",
        'op.create_table("a", sa.Column("id", sa.Integer))\nwith op.get_context().autocommit_block():\n    op.create_index("ix_n", "users", ["name"], postgresql_concurrently=True, if_not_exists=True)',
        'op.drop_index("ix_n", "users", if_exists=True)\nop.drop_table("a", if_exists=True)',
        CRASH,
        ("run again after a crash, fails", '"a"|a'),
        (POSTGRESQL,),
        asked=(CRASH,),
    ),
]

SCRIPTS = [
    Case(
        "offline: asks the database",
        "if 'note' not in [c['name'] for c in sa.inspect(op.get_bind()).get_columns('users')]:\n    "
        + ADD_NOTE,
        DROP_NOTE,
        OFFLINE,
        ("fails when it is written as a script",),
        asked=(OFFLINE,),
    ),
    Case(
        "offline: reads rows",
        'for row in op.get_bind().execute(sa.text("SELECT id FROM users")).all():\n    op.execute(f"UPDATE users SET name = name WHERE id = {row.id}")',
        "pass",
        OFFLINE,
        ("fails when it is written as a script",),
        asked=(OFFLINE,),
        head='irreversible = "it wrote what was there"',
    ),
    Case(
        "offline: leaves something out",
        ADD_NOTE
        + 'if not op.get_context().as_sql:\n    op.create_index("ix_n", "users", ["name"])',
        'op.drop_index("ix_n", "users", if_exists=True)\n' + DROP_NOTE,
        OFFLINE,
        ("another schema", "ix_n"),
        asked=(OFFLINE,),
    ),
    Case(
        "offline: the downgrade leaves something out",
        ADD_NOTE,
        "if not op.get_context().as_sql:\n    " + DROP_NOTE,
        OFFLINE,
        ("downgrade()", "another schema", "note"),
        asked=(OFFLINE,),
    ),
    Case(
        "offline: the order of a set",
        'for name in {"alpha", "beta", "gamma", "delta", "epsilon"}:\n    op.create_index(f"ix_{name}", "users", ["name"])',
        'for name in ["alpha", "beta", "gamma", "delta", "epsilon"]:\n    op.drop_index(f"ix_{name}", "users")',
        OFFLINE,
        ("differs from one process", "sorted("),
        asked=(OFFLINE,),
    ),
    Case(
        "offline: the moment",
        "import time\nop.execute(f\"INSERT INTO users (id, name) VALUES (4711, '{time.time_ns()}')\")",
        'op.execute("DELETE FROM users WHERE id = 4711")',
        OFFLINE,
        ("differs from one process",),
        asked=(OFFLINE,),
    ),
    Case(
        "offline: a script that the server refuses",
        ADD_NOTE
        + "if op.get_context().as_sql:\n    op.execute('ALTER TABLE nowhere ADD COLUMN x INTEGER')",
        DROP_NOTE,
        OFFLINE,
        ("fails", "nowhere"),
        asked=(OFFLINE,),
    ),
]

# At head, and at base

TABLES = """\
metadata = sa.MetaData()
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40), nullable=False){more})
"""
JUST_USERS = (
    'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),\n'
    '    sa.Column("name", sa.String(40), nullable=False))',
    'op.drop_table("users")',
)


def models(name: str, *says: str, more: str = "", text: str = TABLES) -> Case:
    """Return a case whose models want something else than the history makes."""
    return Case(
        f"models: {name}",
        check=MODELS,
        says=says,
        revision="",
        first=JUST_USERS,
        env=text.replace("{more}", more),
    )


HEADS = [
    models(
        "a column that is not there",
        "+ column users.email",
        "helpers.add_column('users'",
        more=', sa.Column("email", sa.String(80))',
    ),
    models(
        "a table that is not there",
        "+ table bills",
        "helpers.create_table('bills'",
        text=TABLES
        + 'sa.Table("bills", metadata, sa.Column("id", sa.Integer, primary_key=True))\n',
    ),
    models(
        "a table too many",
        "- table users",
        "helpers.drop_table('users'",
        text='metadata = sa.MetaData()\nsa.Table("other", metadata, sa.Column("id", sa.Integer))\n',
    ),
    models(
        "another type",
        "~ column users.name: ",
        "sa.Integer()",
        text=TABLES.replace("sa.String(40)", "sa.Integer"),
    ),
    models(
        "another nullability",
        "~ column users.name: NOT NULL -> NULL",
        "nullable=True",
        text=TABLES.replace("nullable=False", "nullable=True"),
    ),
    models(
        "an index that is not there",
        "+ index ix_n on users: (name)",
        more=', sa.Index("ix_n", "name")',
    ),
    Case(
        "base: a table that only a full one gives back",
        'op.create_table("log", sa.Column("id", sa.Integer))',
        'if op.get_bind().scalar(sa.text("SELECT count(*) FROM users")):\n    op.drop_table("log")',
        BASE,
        ("at base, something is left", "log"),
        revision="",
    ),
    Case(
        "base: a view that only a full one gives back",
        'op.execute("CREATE VIEW one AS SELECT 1 AS n")',
        'if op.get_bind().scalar(sa.text("SELECT count(*) FROM users")):\n    op.execute("DROP VIEW one")',
        BASE,
        ("at base, something is left", "view one"),
        revision="",
    ),
]

FOO = (
    'op.create_table("foo", sa.Column("id", sa.Integer, primary_key=True), sa.Column("val", sa.String(20)), sa.Column("n", sa.Integer))\n'
    'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(80)), sa.Column("other", sa.Integer))\n'
)
NO_FOO = 'op.drop_table("log")\nop.drop_table("foo")'
VIEWS = (
    FOO
    + 'op.execute("CREATE VIEW v1 AS SELECT id, val FROM foo")\nop.execute("CREATE VIEW v2 AS SELECT id, val FROM v1")',
    'op.execute("DROP VIEW v2")\nop.execute("DROP VIEW v1")\n' + NO_FOO,
)
FUNCTION = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (what) VALUES ('x'); RETURN NULL; END $$"
TRIGGERS = {
    SQLITE: "CREATE TRIGGER tr AFTER {} ON foo BEGIN INSERT INTO log (what) VALUES ('x'); END",
    MARIADB: "CREATE TRIGGER tr AFTER {} ON foo FOR EACH ROW INSERT INTO log (what) VALUES ('x')",
    POSTGRESQL: "CREATE TRIGGER tr AFTER {} ON foo FOR EACH ROW EXECUTE FUNCTION noted()",
}


def triggered(server: str, event: str) -> tuple[str, str]:
    """Return a first revision whose trigger writes to the table log."""
    function = f'op.execute("""{FUNCTION}""")\n' if server == POSTGRESQL else ""
    up = FOO + function + f'op.execute("""{TRIGGERS[server].format(event)}""")'
    down = 'op.drop_table("foo")\nop.drop_table("log")'
    return up, down + ('\nop.execute("DROP FUNCTION noted()")' if function else "")


def unusable(
    name: str,
    up: str,
    down: str,
    *says: str,
    on: tuple[str, ...] = (SQLITE, MARIADB),
    check: str = UP,
    **more: object,
) -> Case:
    """Return a case whose step breaks what is there and is not named."""
    function = "upgrade()" if check == UP else "downgrade()"
    says = (f"{function} leaves something that can no longer be used", *says)
    return Case(f"unusable: {name}", up, down, check, says, on, **more)  # type: ignore[arg-type]


SAME_FOO = FOO.partition("\n")[0]
UNUSABLE = [
    unusable(
        "a view on a view that is another",
        'op.execute("DROP VIEW v1")\nop.execute("CREATE VIEW v1 AS SELECT n, id FROM foo")',
        'op.execute("DROP VIEW v1")\nop.execute("CREATE VIEW v1 AS SELECT id, val FROM foo")',
        "view v2",
        "drop_view",
        first=VIEWS,
    ),
    unusable(
        "a view on a view that is gone",
        'op.execute("DROP VIEW v1")',
        'op.execute("CREATE VIEW v1 AS SELECT id, val FROM foo")',
        "view v2",
        first=VIEWS,
    ),
    unusable(
        "views on a table that is gone",
        'op.drop_table("foo")',
        SAME_FOO,
        "view v1",
        "view v2",
        first=VIEWS,
        head='irreversible = "its rows"',
    ),
    unusable(
        "a view on a column with another name",
        'op.alter_column("foo", "val", new_column_name="value", existing_type=sa.String(20))',
        'op.alter_column("foo", "value", new_column_name="val", existing_type=sa.String(20))',
        "view v1",
        on=(MARIADB,),
        first=VIEWS,
    ),
    unusable(
        "a view on a table with another name",
        'op.rename_table("foo", "bar")',
        'op.rename_table("bar", "foo")',
        "view v1",
        on=(MARIADB,),
        first=VIEWS,
    ),
    unusable(
        "a view on a column that is gone",
        'op.drop_column("foo", "val")',
        'op.add_column("foo", sa.Column("val", sa.String(20)))',
        "view v1",
        on=(MARIADB,),
        first=VIEWS,
        head='irreversible = "its values"',
    ),
    *[
        unusable(
            f"the trigger after {event} by a column that is gone, {server}",
            'op.drop_column("log", "what")',
            'op.add_column("log", sa.Column("what", sa.String(80)))',
            "trigger tr on foo",
            on=(server,),
            first=triggered(server, event),
            head='irreversible = "its values"',
        )
        for event in ("INSERT", "UPDATE", "DELETE")
        for server in SERVERS
    ],
    *[
        unusable(
            f"the trigger by a table that is gone, {server}",
            'op.drop_table("log")',
            FOO.partition("\n")[2],
            "trigger tr on foo",
            on=(server,),
            first=triggered(server, "INSERT"),
            head='irreversible = "its rows"',
        )
        for server in ALL
    ],
    unusable(
        "a foreign key to what is no key any more",
        'op.drop_index("ux", "foo")',
        'op.create_index("ux", "foo", ["val"], unique=True)',
        "foreign key",
        "on kids",
        "foreign key mismatch",
        on=(SQLITE,),
        first=(
            FOO
            + 'op.create_index("ux", "foo", ["val"], unique=True)\nop.create_table("kids", sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.String(20), sa.ForeignKey("foo.val")))',
            'op.drop_table("kids")\n' + NO_FOO,
        ),
        env='"PRAGMA foreign_keys = ON"',
    ),
    unusable(
        "a function by a column that is gone",
        'op.drop_column("foo", "n")',
        'op.add_column("foo", sa.Column("n", sa.Integer))',
        "function most()",
        "n",
        on=(POSTGRESQL,),
        first=(
            FOO
            + "op.execute(\"CREATE FUNCTION most() RETURNS integer LANGUAGE sql AS 'SELECT max(n) FROM foo'\")",
            'op.execute("DROP FUNCTION most()")\n' + NO_FOO,
        ),
        head='irreversible = "its values"',
    ),
    *[
        unusable(
            f"what calls a function by a column that is gone: {what}",
            'op.drop_column("log", "other")',
            'op.add_column("log", sa.Column("other", sa.Integer))',
            *says,
            on=(POSTGRESQL,),
            first=(
                FOO
                + 'op.execute("CREATE FUNCTION most(n integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT max(other) FROM log); END $$")\n'
                + f'op.execute("ALTER TABLE foo ADD {made}")',
                'op.drop_table("foo")\nop.execute("DROP FUNCTION most(integer)")\nop.drop_table("log")',
            ),
            head='irreversible = "its values"',
        )
        for what, made, says in (
            (
                "a generated column",
                "g integer GENERATED ALWAYS AS (most(n)) STORED",
                ("column g on foo", "other"),
            ),
            (
                "a check",
                "CONSTRAINT ck CHECK (most(n) IS NULL OR most(n) > -9999999)",
                ("check ck on foo", "other"),
            ),
            ("a default", "d integer DEFAULT most(1)", ("column d on foo",)),
        )
    ],
    unusable(
        "the sequence of a key that is wider",
        'op.alter_column("foo", "id", type_=sa.BigInteger, existing_type=sa.Integer)',
        'op.alter_column("foo", "id", type_=sa.Integer, existing_type=sa.BigInteger)',
        "sequence foo_id_seq",
        "ALTER SEQUENCE foo_id_seq AS bigint",
        on=(POSTGRESQL,),
        first=(FOO, NO_FOO),
    ),
    unusable(
        "the sequence of a new key that is wider",
        'op.execute("CREATE TABLE bar (id smallserial PRIMARY KEY)")\n'
        'op.alter_column("bar", "id", type_=sa.BigInteger, existing_type=sa.SmallInteger)',
        'op.drop_table("bar")',
        "sequence bar_id_seq",
        "ALTER SEQUENCE bar_id_seq AS bigint",
        on=(POSTGRESQL,),
        first=(FOO, NO_FOO),
    ),
    *[
        unusable(
            f"the trigger by a column more, {written}",
            'op.add_column("log", sa.Column("why", sa.Integer, nullable=False))',
            'op.drop_column("log", "why")',
            "trigger tr on foo",
            on=(MARIADB,),
            first=(up.replace("log (what) VALUES ('x')", f"log {written}"), down),
        )
        for up, down in (triggered(MARIADB, "DELETE"),)
        for written in ("(what) VALUES ('x')", "VALUES (OLD.id, 'x', 1)")
    ],
]

CHECKED = (
    'op.create_table("items", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0", name="ck"), server_default="1"))',
    'op.drop_table("items")',
)
TO_NUMERIC = 'op.alter_column("items", "n", type_=sa.Numeric(12, 2), existing_type=sa.Integer)\n'
TO_INTEGER = 'op.alter_column("items", "n", type_=sa.Integer, existing_type=sa.Numeric(12, 2))\n'
# Beside the casts that the server writes, something did change
RETYPED = [
    Case(
        "retyped: another check",
        TO_NUMERIC,
        TO_INTEGER
        + 'op.drop_constraint("ck", "items", type_="check")\nop.create_check_constraint("ck", "items", "n >= 0")',
        DOWN,
        ("check ck on items",),
        (POSTGRESQL,),
        first=CHECKED,
    ),
    Case(
        "retyped: another default",
        TO_NUMERIC,
        TO_INTEGER + 'op.alter_column("items", "n", server_default="2", existing_type=sa.Integer)',
        DOWN,
        ("column items.n", "DEFAULT 1 -> ", "DEFAULT 2"),
        (POSTGRESQL,),
        first=CHECKED,
    ),
]

VERBS = "import alembic_helpers as helpers\n"
NOTHING = ("changes nothing", 'empty = "')


def typo(name: str, verb: str, *says: str, of: str = "", on: tuple[str, ...] = ALL) -> Case:
    """Return a case whose upgrade drops what is not there, and whose downgrade is right."""
    says = ("upgrade() drops what is not there", "not there", *says, "if_exists=True")
    return Case(f"idle: {name}", f"helpers.{verb}", "op.get_bind()", UP, says, on, head=VERBS + of)


# A direction that does nothing, or not what it says

IDLE = [
    typo(
        "a column",
        'drop_column("users", "emial")',
        "drop_column('users', 'emial')",
        "did you mean email?",
    ),
    typo("an index", 'drop_index("ix_bills_duo", "bills")', "did you mean ix_bills_due?"),
    typo(
        "an index without its table",
        'drop_index("ix_bills_duo")',
        "did you mean ix_bills_due?",
        on=(SQLITE, POSTGRESQL),
    ),
    typo("a table", 'drop_table("user")', "did you mean users?"),
    typo("a column of no table", 'drop_column("user", "email")', "table user is not there"),
    typo(
        "an index of no table", 'drop_index("ix_bills_due_", "bill")', "did you mean ix_bills_due?"
    ),
    typo(
        "a check",
        'drop_constraint("ck_bills_amont", "bills", type_="check")',
        "did you mean ck_bills_amount?",
    ),
    typo(
        "a foreign key",
        'drop_constraint("fk_bills_ownr", "bills", type_="foreignkey")',
        "did you mean fk_bills_owner?",
    ),
    typo("a view", 'drop_view("v_user")'),
    typo("an enum", 'drop_enum("mood")', on=(POSTGRESQL,)),
    typo(
        "within a batch",
        'drop_table("users_", if_exists=True)\n'
        'with helpers.batch_alter_table("users") as batch:\n    batch.drop_column("emial")',
        "did you mean email?",
    ),
    Case(
        "idle: a typo beside what is right",
        ADD_NOTE + 'helpers.drop_column("users", "emial")',
        DROP_NOTE,
        UP,
        ("upgrade() drops what is not there", "did you mean email?"),
        head=VERBS,
    ),
    Case(
        "idle: a typo in a downgrade",
        ADD_NOTE,
        'helpers.drop_column("users", "note")\nhelpers.drop_index("ix_note", "users")',
        DOWN,
        ("downgrade() drops what is not there", "ix_note"),
        head=VERBS,
    ),
    Case(
        "idle: both directions are empty",
        check=UP,
        says=NOTHING,
        files={"0002.py": revision("0002", "0001")},
    ),
    Case("idle: only a comment", '"""Nothing yet."""', check=UP, says=NOTHING),
    Case(
        "idle: a name that is there already",
        'helpers.alter_column("users", "name", existing_type=sa.String(40), nullable=False)',
        "op.get_bind()",
        UP,
        (*NOTHING, "already as wanted"),
        head=VERBS,
    ),
    Case(
        "idle: what is there already",
        'helpers.create_index("ix_bills_due", "bills", ["due"])',
        "op.get_bind()",
        UP,
        (*NOTHING, "already there, same definition"),
        head=VERBS,
    ),
    Case(
        "idle: an alter_column without anything to alter",
        BATCH_USERS
        + 'batch.alter_column("name", existing_type=sa.String(40), existing_nullable=False)',
        "op.get_bind()",
        UP,
        NOTHING,
        SERVERS,
    ),
    Case(
        "idle: IF EXISTS, and a typo",
        'op.execute("DROP TABLE IF EXISTS user_")',
        "op.get_bind()",
        UP,
        (*NOTHING, "did you mean users?"),
    ),
    Case(
        "idle: only looks at the catalog",
        'if sa.inspect(op.get_bind()).has_table("user"):\n    op.drop_table("user")',
        "op.get_bind()",
        UP,
        NOTHING,
    ),
    Case(
        "idle: a downgrade that leaves rows as they are",
        "op.execute(\"UPDATE users SET email = 'none' WHERE email IS NULL\")",
        "pass",
        DOWN,
        ("downgrade() changes nothing, and upgrade() changed rows", "irreversible"),
    ),
    Case(
        "idle: a downgrade that leaves new rows",
        "op.execute(\"INSERT INTO users (name) SELECT 'admin' FROM (SELECT 1 AS n) AS one WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = 'admin')\")",
        "pass",
        DOWN,
        ("downgrade() changes nothing, and upgrade() changed rows",),
        asked=(RERUN,),
    ),
]

LONG = "a_name_that_is_longer_than_the_sixty_three_bytes_that_postgresql_keeps"


def named(name: str, *columns: str) -> tuple[str, str]:
    """Return the bodies of a first revision that makes a table of this name, without quotes."""
    return (
        f'op.execute("CREATE TABLE {name} ({", ".join(columns)})")',
        f'op.execute("DROP TABLE {name}")',
    )


# Words that a server does not reserve are names.
WORDS = [
    *[
        Case(
            f"words: a column left in a table called {word}",
            f'op.execute("ALTER TABLE {word} ADD COLUMN note integer")',
            'op.execute("SELECT 1")',
            DOWN,
            (f"column {word}.note",),
            on,
            first=named(word, "id integer PRIMARY KEY", "n integer"),
            files={"0003.py": revision("0003", "0002", *things("0003", "later"))},
        )
        for word, on in (
            ("trigger", (POSTGRESQL,)),
            ("view", (POSTGRESQL,)),
            ("key", (POSTGRESQL,)),
            ("update", (POSTGRESQL,)),
            ("insert", (POSTGRESQL,)),
            ("index", (POSTGRESQL,)),
            ("values_", ALL),
        )
    ],
    Case(
        "words: a column dropped from a table called trigger, with a finding after it",
        'op.execute("ALTER TABLE trigger DROP COLUMN n")',
        'op.execute("ALTER TABLE trigger ADD COLUMN n integer NOT NULL")',
        DOWN,
        ("downgrade() fails",),
        (POSTGRESQL,),
        first=named("trigger", "id integer PRIMARY KEY", "n integer NOT NULL"),
        files={"0003.py": revision("0003", "0002", *things("0003", "later"))},
    ),
    Case(
        "words: rows deleted from a table called trigger",
        'op.execute("DELETE FROM trigger")',
        'op.execute("SELECT 1")',
        ROWS,
        ("rows of trigger",),
        (POSTGRESQL,),
        first=named("trigger", "id integer PRIMARY KEY", "n integer"),
    ),
    Case(
        "words: a long name left behind",
        f'op.execute("CREATE INDEX {LONG} ON users (name)")',
        'op.execute("SELECT 1")',
        DOWN,
        (LONG[:63],),
        (POSTGRESQL,),
    ),
]

CASES = [
    *UNUSABLE,
    *RETYPED,
    *IDLE,
    *WORDS,
    *UNTOUCHED,
    *IMPORTS,
    *UPS,
    *DOWNS,
    *DOWNS_OF_OTHER_FIRSTS,
    *LEFT_IN_A_DATABASE,
    *AGAIN,
    *LOST,
    *RERUNS,
    *CRASHES,
    *SCRIPTS,
    *HEADS,
]
