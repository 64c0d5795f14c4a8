"""What a failed revision leaves in the journal: no value of its statements, however it failed."""

import pytest

from alembic_toolkit.sql.masking import masked, masked_words
from tests.databases import Database
from tests.toolkit.conftest import Project, execute, rows

TABLE = """\
bind = op.get_bind()
t = sa.table('users', sa.column('id', sa.Integer), sa.column('email', sa.String))
"""
FAILURES = {
    "a parameter is missing": r"""
op.get_bind().execute(sa.text('INSERT INTO users VALUES (:a, :b, 1, 1)'), {'a': 'hunter2'})
""",
    "the author's text of it": TABLE
    + r"""try:
    bind.execute(t.insert().values(id=1, email='hunter2'))
except Exception as e:
    raise RuntimeError(f'cannot: {e}')
""",
    "the author's text from it": TABLE
    + r"""try:
    bind.execute(t.insert().values(id=1, email='hunter2'))
except Exception as e:
    raise RuntimeError(f'cannot: {e}') from e
""",
    "the author's text from None": TABLE
    + r"""try:
    bind.execute(t.insert().values(id=1, email='hunter2'))
except Exception as e:
    raise RuntimeError(f'cannot: {e}') from None
""",
    "the author's CommandError": TABLE
    + r"""from alembic.util import CommandError
try:
    bind.execute(t.insert().values(id=1, email='hunter2'))
except Exception as e:
    raise CommandError(f'cannot: {e}')
""",
    "a value with parentheses and quotes": r"""
op.execute("INSERT INTO users (id, email) VALUES (3, 'a) hunter2 for x')")
op.execute('INSERT INTO users (id, email) SELECT 4, email FROM users WHERE id = 3')
""",
    "a statement over several lines": r"""
op.execute("CREATE USER bob\n  IDENTIFIED\nBY\n'hunter2' bogus; ")
""",
    "a flush": r"""from sqlalchemy.orm import Session, declarative_base
Base = declarative_base()
class U(Base):
    __tablename__ = 'users'
    id = sa.Column(sa.Integer, primary_key=True)
    email = sa.Column(sa.String(50))
with Session(op.get_bind()) as s:
    s.add(U(id=1, email='hunter2'))
    s.commit()
""",
    "the driver's own error": r"""c = op.get_bind().connection.cursor()
c.execute("INSERT INTO users (id, email) VALUES (9, 'zz hunter2')")
c.execute("INSERT INTO users (id, email) VALUES (10, 'zz hunter2')")
""",
    "the driver's own syntax error": r"""c = op.get_bind().connection.cursor()
c.execute("CREATE ROLE bob PASSWORD 'hunter2' 'x'")
""",
    "a comment with a quote": r"""
op.execute("# it's\nINSERT INTO users (id, email) VALUES (1, 'hunter2')")
""",
    "a comment in a comment": r"""
op.execute("/* /* ' */ ' */ INSERT INTO users (id, email) VALUES (1, 'hunter2')")
""",
    "double quotes": r"""
op.execute('INSERT INTO users (id, email) VALUES (1, "hunter2")')
""",
    "a value over several lines": r"""
op.execute("INSERT INTO users (id, email) VALUES (1,\n'a\nhunter2\n')")
""",
    "many rows": TABLE
    + r"""
bind.execute(t.insert(), [{'id': 3, 'email': 'hunter21'}, {'id': 1, 'email': 'hunter22'}])
""",
    "a number that is none": r"""
op.execute('UPDATE users SET n = 99999999999999999999999999hunter2')
""",
    "a conflict": r"""
helpers.add_column('users', sa.Column('token', sa.Text(), server_default='hunter2'))
""",
    "unless": r"""
helpers.execute('SELECT 1', unless="SELECT 1 FROM gone WHERE email = 'hunter2 nope'")
""",
    "what COMMIT refuses": r"""op.execute("INSERT INTO child VALUES (1, 'hunter2 gone')")
""",
}


@pytest.mark.parametrize("name", FAILURES)
def test_journal_keeps_no_value_however_a_revision_fails(
    name: str, project: Project, database: Database
) -> None:
    execute(
        database,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(50) UNIQUE, n INTEGER)",
        "CREATE TABLE child (email VARCHAR(50), FOREIGN KEY (email) REFERENCES users (email)"
        f"{' DEFERRABLE INITIALLY DEFERRED' if database.name == 'postgresql' else ''})",
        "INSERT INTO users VALUES (1, 'hunter2', NULL)",
        "ALTER TABLE users ADD token VARCHAR(50)",
    )
    project.revision("0001", upgrade=FAILURES[name], head="import alembic_helpers as helpers")
    try:
        assert project.alembic("upgrade", "head").status != 0
    except Exception as error:
        assert not isinstance(error, AssertionError)  # noqa: PT017
    [told] = rows(database, "SELECT error FROM alembic_version_history")
    assert "hunter2" not in told
    assert "parameters" not in told
    assert len(told) > 20


@pytest.mark.parametrize(
    ("quotes", "sql"),
    [
        ("'\"", "# it's mine\nCREATE USER x IDENTIFIED BY 'hunter2'"),
        ("'\"", "SELECT 1--'\n, 'hunter2'"),
        ("'", "/* /* ' */ ' */ CREATE ROLE x PASSWORD 'hunter2'"),
        ("'\"", 'INSERT INTO t VALUES ("hunter2")'),
        ("'", "SELECT e'it\\'s hunter2', 'hunter2'"),
        ("'", "SELECT -- $$\n 'hunter2', $$ hunter2 $$"),
    ],
)
def test_statement_is_shown_without_values(quotes: str, sql: str) -> None:
    assert "hunter2" not in masked(sql, quotes)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Key (email)=(a) hunter2) already exists", "Key (email)=… already exists"),
        ("Duplicate entry 'it' for hunter2' for key 'x'", "Duplicate entry … for key 'x'"),
        ("Truncated incorrect DOUBLE value: 'a' hunter2'", "Truncated incorrect DOUBLE value: …"),
        ("Incorrect value: 'a' hunter2' for column `n`", "Incorrect value: … for column `n`"),
        ('invalid input syntax for type integer: "a" hunter2"', None),
        ('value "hunter2" is out of range for type integer', None),
        ('invalid input syntax for type json: Token "hunter2" is invalid', None),
        ('time zone "hunter2" not recognized', None),
        ("BIGINT value is out of range in '(4 - hunter2)'", None),
        ('column "email" of relation "t" does not exist', None),
        ("failed\nLINE 1: SELECT 'hunter2'\n               ^", "failed"),
        ("failed\n[SQL: SELECT 'hunter2']\n[parameters: ('hunter2',)]", "failed"),
    ],
)
def test_message_of_a_server_is_shown_without_values(text: str, shown: str | None) -> None:
    found = masked_words(text, set())
    assert "hunter2" not in found
    assert found == shown or shown is None
