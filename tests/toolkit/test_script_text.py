"""What an author wrote reaches the server byte for byte, in a quoting that cannot end early."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.helpers.scripts import run_with_client
from tests.toolkit.conftest import Project, current, rows, tables
from tests.toolkit.test_script import HELPERS, safe, script

SERVERS = ("postgresql", "mariadb", "mysql", "sqlite")
COMMENTED = [
    "-- cents\nUPDATE t SET id = id * 100",
    "/* cents */ UPDATE t SET id = id * 100",
    "-- one\n-- two\n/* it's */\nUPDATE t SET id = id * 100;",
    "UPDATE t SET id = id * 100 -- cents",
    "UPDATE t SET id = id * 100; -- it's done;",
    "UPDATE t SET id = id * 100 --",
    "UPDATE\tt SET -- it's\n id = id * 100\n\n-- end",
    "-- Running upgrade 1 -> 2\nUPDATE t SET id = id * 100",
]


def times(project: Project, text: str, call: str) -> None:
    insert = "op.execute('INSERT INTO t VALUES (1)')\n"
    project.revision("0001", upgrade=safe("t") + insert, head=HELPERS)
    call = call.format(repr(text))
    project.revision(
        "0002", "0001", f"{call}\nop.execute('INSERT INTO t VALUES (7)')", head=HELPERS
    )


@pytest.mark.long
@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize(
    "call",
    [
        "op.execute({})",
        "helpers.execute({})",
        "helpers.execute({}, unless='SELECT 1 FROM t WHERE id = 100')",
        "helpers.execute({}, once='cents')",
        "op.execute(sa.text({}))",
        "op.get_bind().execute(sa.text({}))",
        "op.get_bind().exec_driver_sql({})",
    ],
)
@pytest.mark.parametrize("text", COMMENTED)
def test_statement_with_comments_is_one_and_runs_once(
    project: Project, database: Database, text: str, call: str
) -> None:
    times(project, text.rstrip(";") if "once" in call or "unless" in call else text, call)
    for _ in range(2):
        run_with_client(database, script(project))
        assert (current(database), rows(database, "SELECT id FROM t ORDER BY id")) == (
            ["0002"],
            [7, 100],
        )


@pytest.mark.databases(*SERVERS)
def test_comment_of_its_own_is_no_statement(project: Project, database: Database) -> None:
    times(project, "-- nothing; it's /* only\n/* a comment */ -- no more", "op.execute({})")
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t ORDER BY id") == [1, 7]


@pytest.mark.databases(*SERVERS)
def test_file_whose_statements_have_comments_runs_once(
    project: Project, database: Database
) -> None:
    project.write("migrations/versions/f.sql", ";\n".join([*COMMENTED[:2], "-- no more"]))
    times(project, "f.sql", "helpers.execute_file({})")
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT id FROM t ORDER BY id") == [7, 10_000]


@pytest.mark.databases(*SERVERS)
@pytest.mark.parametrize(
    "value", ["a\tb", "\t", "a  \n\t b", "-- a\t", "/* ' */\t/* '' */", "%%\t%"]
)
def test_no_byte_of_a_value_is_changed(project: Project, database: Database, value: str) -> None:
    quoted = value.replace("'", "''")
    text = f"INSERT /* ' */ INTO t VALUES (2, '{quoted}') /* ' */"
    column = "sa.Column('id', sa.Integer), sa.Column('v', sa.String(50), server_default={0!r})"
    made = "t = helpers.create_table('t', " + column.format(value) + ")\n"
    project.revision(
        "0001",
        upgrade=made
        + "op.execute('INSERT INTO t (id) VALUES (1)')\n"
        + f"op.execute({text!r})\n"
        + f"op.execute(sa.insert(t).values(id=3, v={value!r}))\n"
        + f"helpers.bulk_insert(t, [{{'id': 4, 'v': {value!r}}}], key=['id'])\n"
        + f"op.bulk_insert(t, [{{'id': 5, 'v': {value!r}}}])\n"
        + f"helpers.execute({text.replace('(2,', '(6,')!r})\n"
        + f"helpers.execute({text.replace('(2,', '(7,')!r}, once='seven')\n"
        + f"op.get_bind().execute(sa.insert(t), [{{'id': 8, 'v': {value!r}}}])\n"
        + "op.get_bind().execute(sa.text('INSERT INTO t VALUES (:id, :v)'),"
        + f" {{'id': 9, 'v': {value!r}}})\n",
        head=HELPERS,
    )
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT v FROM t ORDER BY id") == [value] * 9


NAMES = ["t$", "t$sql", "t$sql$", "t$sql_", "t$alembic", "t$alembic$", "$sql$", "t$$", "t$s"]


@pytest.mark.long
@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "call",
    [
        "op.rename_table('t', {0!r})",
        "helpers.rename_table('t', {0!r})",
        "op.create_table({0!r}, sa.Column('id', sa.Integer))",
        "helpers.create_table({0!r}, sa.Column('id', sa.Integer))",
        "helpers.create_view({0!r}, 'SELECT 1 AS id')",
        "helpers.replace_view({0!r}, 'SELECT 1 AS id')",
        "op.execute('ALTER TABLE t RENAME TO \"{0}\"')",
        "op.execute('ALTER TABLE t RENAME TO x{0}')",
    ],
)
def test_no_name_ends_the_quoting(
    project: Project, database: Database, name: str, call: str
) -> None:
    project.revision("0001", upgrade=safe("t"), head=HELPERS)
    project.revision("0002", "0001", call.format(name), head=HELPERS)
    run_with_client(database, script(project))
    run_with_client(database, script(project))
    found = tables(database) | {*rows(database, "SELECT viewname FROM pg_views")}
    assert (f"x{name}" if "TO x" in call else name) in found


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", NAMES)
def test_no_name_ends_the_quoting_outside_of_a_transaction(
    project: Project, database: Database, name: str
) -> None:
    project.revision("0001", upgrade=safe("t"), head=HELPERS)
    index = f"helpers.create_index({name!r}, 't', ['id'], postgresql_concurrently=True)"
    project.revision("0002", "0001", index, head=HELPERS)
    run_with_client(database, script(project))
    run_with_client(database, script(project))
    assert rows(database, "SELECT indexname FROM pg_indexes WHERE tablename = 't'") == [name]


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
def test_backslashes_mean_the_same_in_every_mode(
    project: Project, database: Database, mode: str
) -> None:
    value = r"C:\new\table\'" if not mode else r"C:\new\table\\"
    raw = r"'C:\new'" if mode else r"'C:\\new'"
    body = f"BEGIN SET NEW.w = {raw}; SET NEW.w = CONCAT(NEW.w, {raw}); END"
    trigger = f"CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW {body}"
    triggered = database.name == "mariadb"  # a script of MySQL's cannot guard one
    insert = f"INSERT INTO t (id, v) VALUES ({{}}, {raw})"
    column = f"sa.Column('v', sa.String(50), server_default={value!r}, comment={value!r})"
    project.revision(
        "0001",
        upgrade=f"t = helpers.create_table('t', sa.Column('id', sa.Integer), {column},"
        " sa.Column('w', sa.String(50)))\n"
        "op.execute('INSERT INTO t (id) VALUES (1)')\n"
        f"op.execute(sa.insert(t).values(id=2, v={value!r}))\n"
        f"helpers.bulk_insert(t, [{{'id': 3, 'v': {value!r}}}], key=['id'])\n"
        f"helpers.alter_column('t', 'v', server_default={value!r}, comment={value!r})\n"
        "op.execute('INSERT INTO t (id) VALUES (4)')\n"
        f"op.execute({insert.format(5)!r})\n"
        f"helpers.execute({insert.format(6)!r}, once='six')\n"
        f"helpers.execute({insert.format(7)!r}, unless='SELECT 1 FROM t WHERE id = 7')\n"
        + (f"op.execute({trigger!r})\nop.execute('UPDATE t SET id = id')\n" if triggered else ""),
        head=HELPERS,
    )
    first = f"SET sql_mode = CONCAT(@@sql_mode, ',{mode}');\n" if mode else ""
    for _ in range(2):
        run_with_client(database, first + script(project))
        assert rows(database, "SELECT v FROM t ORDER BY id") == [value] * 4 + [r"C:\new"] * 3
        assert {*rows(database, "SELECT w FROM t")} == {r"C:\new" * 2 if triggered else None}
        comment = "SELECT column_comment FROM information_schema.columns WHERE column_name = 'v'"
        assert value in rows(database, comment)


@pytest.mark.databases(*SERVERS)
def test_carriage_return_in_a_value_is_kept_by_every_client(
    project: Project, database: Database
) -> None:
    value = "one\r\ntwo\rthree\r\n"
    whole = f"it's {value}"
    insert = f"INSERT INTO t (id, v) VALUES ({{}}, 'it''s {value}' || '')"
    if database.kin == "mariadb":
        insert = insert.replace(" || ''", "")
    project.write("migrations/versions/f.sql", "")
    path = project.versions / "f.sql"
    path.write_bytes(f"{insert.format(3)};\r\n{insert.format(4)};\r\n".encode())
    project.revision(
        "0001",
        upgrade="t = helpers.create_table('t', sa.Column('id', sa.Integer), "
        "sa.Column('v', sa.Text))\n"
        f"op.execute({insert.format(1)!r})\n"
        f"helpers.execute({insert.format(2)!r}, once='two')\n"
        "helpers.execute_file('f.sql')\n"
        f"op.execute(sa.insert(t).values(id=5, v={whole!r}))\n"
        f"helpers.bulk_insert(t, [{{'id': 6, 'v': {whole!r}}}], key=['id'])\n",
        head=HELPERS,
    )
    for _ in range(2):
        run_with_client(database, script(project))
        assert rows(database, "SELECT v FROM t ORDER BY id") == [whole] * 6
