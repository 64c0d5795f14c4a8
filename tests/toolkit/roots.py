"""An old history with all kinds of things in it, a root in its place, and ways to get that wrong.

Each way is a text of the root, what stands there instead, and a part of the line that says so.
"""

from __future__ import annotations

from tests.toolkit.conftest import Project

SERVERS = ("sqlite", "postgresql", "mariadb", "mysql")

OLD_1 = """
op.create_table("plans", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("code", sa.String(20), nullable=False))
op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("name", sa.String(40), nullable=False, server_default="nobody"),
                sa.Column("mail", sa.String(80)),
                sa.CheckConstraint("length(name) > 1", name="ck_users_name"))
op.execute("INSERT INTO plans (id, code) VALUES (1, 'free'), (2, 'paid')")
op.execute("INSERT INTO users (name) VALUES ('root')")
op.execute("INSERT INTO users (name) VALUES ('guest')")
"""
OLD_2 = """
op.add_column("plans", sa.Column("price", sa.Numeric(10, 2), nullable=False, server_default="0"))
op.create_index("ix_users_mail", "users", ["mail"], unique=True)
op.create_index("ix_plans_code_price", "plans", ["code", "price"])
op.execute("UPDATE plans SET price = 9.5 WHERE id = 2")
with op.batch_alter_table("users") as batch:
    batch.add_column(sa.Column("plan_id", sa.Integer, nullable=True))
    batch.create_foreign_key("fk_users_plan", "plans", ["plan_id"], ["id"], ondelete="SET NULL")
"""
OLD_3 = """
op.create_table("seen", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", name="fk_seen_user"),
                          nullable=False),
                sa.Column("at", sa.DateTime, nullable=False,
                          server_default=sa.text("CURRENT_TIMESTAMP")),
                sa.Column("note", sa.Text, comment="what was seen"),
                sa.UniqueConstraint("user_id", "at", name="uq_seen"),
                comment="who saw what")
op.execute("INSERT INTO seen (user_id, note) VALUES (1, 'made')")
op.execute("CREATE VIEW rich AS SELECT id, code FROM plans WHERE price > 5")
"""
OLD_OWN = {
    "sqlite": """
op.execute("CREATE TABLE words (word VARCHAR(20) COLLATE NOCASE)")
op.execute("CREATE TRIGGER tr_plans AFTER INSERT ON plans BEGIN DELETE FROM seen; END")
op.execute("CREATE INDEX ix_rich ON plans (price) WHERE price > 5")
op.execute("CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
op.execute("INSERT INTO numbered VALUES (1, 'x'), (7, 'y')")
op.execute("DELETE FROM numbered WHERE id > 1")
""",
    "postgresql": """
op.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
op.execute("ALTER TYPE mood ADD VALUE 'odd' BEFORE 'bad'")
op.execute("CREATE TABLE words (word VARCHAR(20) COLLATE \\"C\\", mood mood)")
op.execute("CREATE SEQUENCE numbers START 100 INCREMENT 5")
op.execute("SELECT nextval('numbers')")
op.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$")
op.execute("CREATE TRIGGER tr_plans BEFORE INSERT ON plans FOR EACH ROW EXECUTE FUNCTION f()")
op.execute("CREATE INDEX ix_rich ON plans (price) WHERE price > 5")
op.execute("SELECT setval('plans_id_seq', 2)")
""",
    "mariadb": """
op.execute("CREATE TABLE words (word VARCHAR(20) COLLATE utf8mb4_bin, mood ENUM('good', 'bad'))")
op.execute("ALTER TABLE words MODIFY mood ENUM('good', 'odd', 'bad')")
op.execute("ALTER TABLE users AUTO_INCREMENT = 1000")
op.execute("CREATE TRIGGER tr_plans BEFORE INSERT ON plans FOR EACH ROW SET NEW.price = 1")
""",
}
OLD_OWN["mysql"] = OLD_OWN["mariadb"]

# Another order of columns and statements, and one INSERT for many.
ROOT = """
op.create_table("plans", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("price", sa.Numeric(10, 2), nullable=False, server_default="0"),
                sa.Column("code", sa.String(20), nullable=False))
op.create_index("ix_plans_code_price", "plans", ["code", "price"])
op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("name", sa.String(40), nullable=False, server_default="nobody"),
                sa.Column("mail", sa.String(80)),
                sa.Column("plan_id", sa.Integer),
                sa.CheckConstraint("length(name) > 1", name="ck_users_name"),
                sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_users_plan",
                                        ondelete="SET NULL"))
op.create_index("ix_users_mail", "users", ["mail"], unique=True)
op.create_table("seen", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("user_id", sa.Integer, nullable=False),
                sa.Column("at", sa.DateTime, nullable=False,
                          server_default=sa.text("CURRENT_TIMESTAMP")),
                sa.Column("note", sa.Text, comment="what was seen"),
                sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_seen_user"),
                sa.UniqueConstraint("user_id", "at", name="uq_seen"),
                comment="who saw what")
op.execute("CREATE VIEW rich AS SELECT id, code FROM plans WHERE price > 5")
op.execute("INSERT INTO plans (id, code, price) VALUES (2, 'paid', 9.5), (1, 'free', 0)")
op.execute("INSERT INTO users (name) VALUES ('root'), ('guest')")
op.execute("INSERT INTO seen (user_id, note) VALUES (1, 'made')")
"""
ROOT_OWN = OLD_OWN | {
    "postgresql": """
op.execute("CREATE TYPE mood AS ENUM ('good', 'odd', 'bad')")
op.execute("CREATE TABLE words (word VARCHAR(20) COLLATE \\"C\\", mood mood)")
op.execute("CREATE SEQUENCE numbers START 100 INCREMENT 5")
op.execute("SELECT setval('numbers', 100)")
op.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$")
op.execute("CREATE TRIGGER tr_plans BEFORE INSERT ON plans FOR EACH ROW EXECUTE FUNCTION f()")
op.execute("CREATE INDEX ix_rich ON plans (price) WHERE price > 5")
op.execute("SELECT setval('plans_id_seq', 2)")
""",
}
for _name in ("mariadb", "mysql"):
    ROOT_OWN[_name] = OLD_OWN[_name].replace("ENUM('good', 'bad')", "ENUM('good', 'odd', 'bad')")
    ROOT_OWN[_name] = ROOT_OWN[_name].replace(
        "op.execute(\"ALTER TABLE words MODIFY mood ENUM('good', 'odd', 'bad')\")\n", ""
    )
DOWN = """
op.execute("DROP VIEW IF EXISTS rich")
for name in ("seen", "users", "plans", "words"):
    op.drop_table(name)
"""
DOWN_OWN = {
    "sqlite": "op.drop_table('numbered')\n",
    "postgresql": """
op.execute("DROP FUNCTION f()")
op.execute("DROP SEQUENCE numbers")
op.execute("DROP TYPE mood")
""",
}

_INDEX = 'op.create_index("ix_users_mail", "users", ["mail"], unique=True)\n'
EVERYWHERE = [
    (_INDEX, "", "ix_users_mail"),
    ("unique=True", "unique=False", "ix_users_mail"),
    ("ix_users_mail", "ix_users_email", "ix_users_email"),
    ('["code", "price"]', '["price", "code"]', "ix_plans_code_price"),
    ('["code", "price"]', '["code"]', "ix_plans_code_price"),
    (_INDEX, _INDEX + 'op.create_index("ix_more", "plans", ["price"])\n', "+ index ix_more"),
    (', server_default="nobody"', "", "column users.name"),
    ('server_default="nobody"', 'server_default="none"', "column users.name"),
    ('server_default="0"', 'server_default="1"', "column plans.price"),
    ('"CURRENT_TIMESTAMP"', "\"'2000-01-01'\"", "column seen.at"),
    ("sa.String(40)", "sa.String(41)", "column users.name"),
    ("sa.Numeric(10, 2)", "sa.Numeric(10, 3)", "column plans.price"),
    ('sa.Column("mail", sa.String(80))', 'sa.Column("mail", sa.Text)', "users"),
    ('"code", sa.String(20), nullable=False', '"code", sa.String(20)', "column plans.code"),
    ("length(name) > 1", "length(name) > 2", "ck_users_name"),
    ('name="ck_users_name"', 'name="ck_users_names"', "ck_users_names"),
    ('sa.CheckConstraint("length(name) > 1", name="ck_users_name"),', "", "- check ck_users_name"),
    ('ondelete="SET NULL"', 'ondelete="CASCADE"', "fk_users_plan"),
    ('ondelete="SET NULL"', "", "fk_users_plan"),
    ('name="fk_users_plan"', 'name="fk_plan"', "fk_plan"),
    ('sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_seen_user"),', "", "fk_seen"),
    ('sa.UniqueConstraint("user_id", "at", name="uq_seen"),', "", "uq_seen"),
    ('"user_id", "at", name="uq_seen"', '"at", "user_id", name="uq_seen"', "uq_seen"),
    ('name="uq_seen"', 'name="uq_seen_at"', "uq_seen_at"),
    ('price > 5")', 'price > 6")', "rich"),
    ("SELECT id, code FROM", "SELECT code, id FROM", "rich"),
    ('op.execute("CREATE VIEW rich AS SELECT id, code FROM plans WHERE price > 5")', "", "rich"),
    ("(2, 'paid', 9.5), ", "", "- row of plans: code = 'paid', id = 2"),
    ("9.5", "9.4", "+ row of plans: code = 'paid', id = 2, price = 9.4"),
    ("'paid'", "'Paid'", "+ row of plans: code = 'Paid'"),
    ("(1, 'free', 0)", "(1, 'free', 0), (3, 'more', 0)", "+ row of plans: code = 'more'"),
    ("('root'), ('guest')", "('guest'), ('root')", "row of users"),
    ("(1, 'made')", "(1, NULL)", "+ row of seen: "),
    ("(1, 'made')", "(2, 'made')", "+ row of seen: "),
    ("('root'), ('guest')", "('root'), ('guest'), ('xx')", "+ row of users"),
]
_COMMENTS = [
    ("what was seen", "what is seen", "seen.note"),
    (', comment="what was seen"', "", "seen.note"),
    ("who saw what", "who saw it", "seen"),
]
_WIDER = ('sa.Column("plan_id", sa.Integer)', 'sa.Column("plan_id", sa.BigInteger)', "users")
OWN = {
    "sqlite": [
        _WIDER,
        ("COLLATE NOCASE", "", "words.word"),
        ("DELETE FROM seen;", "DELETE FROM users;", "tr_plans"),
        ("(price) WHERE price > 5", "(price)", "ix_rich"),
        (" AUTOINCREMENT", "", "numbered"),
        ("(7, 'y')", "(8, 'y')", "numbered: next is 8 -> "),
    ],
    "postgresql": [
        *_COMMENTS,
        _WIDER,
        ("'good', 'odd', 'bad'", "'good', 'bad', 'odd'", "mood"),
        ("'good', 'odd', 'bad'", "'good', 'odd', 'bad', 'new'", "mood"),
        ('COLLATE \\"C\\"', "", "words.word"),
        ("setval('numbers', 100)", "setval('numbers', 100, false)", "numbers: next is 105 -> 100"),
        ("INCREMENT 5", "INCREMENT 6", "numbers"),
        ("setval('plans_id_seq', 2)", "1", "plans_id_seq: next is 3 -> 1"),
        ("BEFORE INSERT", "AFTER INSERT", "tr_plans"),
        ("RETURN NEW", "RETURN NULL", "function f"),
        ("(price) WHERE price > 5", "(price)", "ix_rich"),
    ],
    "mariadb": [
        *_COMMENTS,
        ("'good', 'odd', 'bad'", "'good', 'bad', 'odd'", "words.mood"),
        ("COLLATE utf8mb4_bin", "", "words.word"),
        ("AUTO_INCREMENT = 1000", "AUTO_INCREMENT = 999", "users: next is 1000 -> 999"),
        ("SET NEW.price = 1", "SET NEW.price = 2", "tr_plans"),
        ("BEFORE INSERT", "BEFORE UPDATE", "tr_plans"),
    ],
}
OWN["mysql"] = OWN["mariadb"]


def ways(server: str) -> list[tuple[str, str, str]]:
    """Return the ways to get the root wrong on a server."""
    return EVERYWHERE + OWN[server]


def write(project: Project, server: str) -> None:
    """Write the old history, and the root in its place."""
    project.revision("0001", None, OLD_1, "pass", head="irreversible = 'x'")
    project.revision("0002", "0001", OLD_2, "pass", head="irreversible = 'x'")
    project.revision("0003", "0002", OLD_3 + OLD_OWN[server], "pass", head="irreversible = 'x'")
    write_root(project, server)


def write_root(
    project: Project, server: str, before: str = "", after: str = "", text: str = ""
) -> str:
    """Write the root; return its file's path."""
    up = text or ROOT + ROOT_OWN[server]
    assert before in up, before
    down = DOWN + DOWN_OWN.get(server, "")
    path = project.revision(
        "0004",
        None,
        up.replace(before, after) if before else up,
        down,
        head="replaces = ('0001', '0002', '0003')",
    )
    return str(path)


def rounds(server: str) -> list[tuple[str, list[str]]]:
    """Return roots, each wrong in several ways at once, and what is to be said of each."""
    left, found = ways(server), list[tuple[str, list[str]]]()
    while left:
        right = ROOT + ROOT_OWN[server]
        text, said, later, touched = right, list[str](), list[tuple[str, str, str]](), set[str]()
        for before, after, part in left:
            lines = {line for line in right.splitlines() if before.splitlines()[0] in line}
            if before in text and not lines & touched:
                text, touched = text.replace(before, after), touched | lines
                said.append(part)
            else:
                later.append((before, after, part))
        found.append((text, said))
        left = later
    return found
