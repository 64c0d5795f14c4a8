"""A revision that runs again destroys nothing that it made, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.test_once import PLAIN_ENV, tables
from tests.helpers.vocabulary import Act, follow, is_act, outcome_of, prepare, revision
from tests.toolkit.conftest import Project, current

TABLE = (
    'op.create_table("t_new", sa.Column("id", sa.Integer(), primary_key=True),'
    ' sa.Column("c", sa.String(20)))'
)
HEAD = "import alembic_helpers as helpers\nop = helpers"
START = """\
op.create_table("t", sa.Column("id", sa.Integer(), autoincrement=False),
    sa.Column("a", sa.String(20)), sa.Column("b", sa.Integer()),
    sa.PrimaryKeyConstraint("id", name="pk_t"))
op.create_table("t_new", sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("c", sa.String(20)))
op.create_index("ix", "t", ["a"])
op.create_unique_constraint("uq", "t", ["b"])
op.bulk_insert(sa.table("t", sa.column("id"), sa.column("a"), sa.column("b")),
    [{"id": 1, "a": "x", "b": 10}, {"id": 2, "a": "y", "b": 20}])
op.bulk_insert(sa.table("t_new", sa.column("id"), sa.column("c")), [{"id": 7, "c": "z"}])
"""
PARTS = 'sa.table("t", sa.column("id"), sa.column("a"), sa.column("b"))'


TABLES = START.split("op.bulk_insert")[0].rstrip()


@dataclass
class Case:
    """Two functions of a revision."""

    up: str
    down: str
    server: str = ""  # only there
    is_visible: bool = True  # whether its end can be told from its beginning
    down_is_visible: bool = False  # where the end of the upgrade is not


SWAP = (
    'op.alter_column("t", "a", new_column_name="c", {0})\n'
    'op.alter_column("t", "b", new_column_name="a", {1})\n'
    'op.alter_column("t", "c", new_column_name="b", {0})'
)
BIG = "existing_type=sa.BigInteger()"
INT, TEXT = "existing_type=sa.Integer()", "existing_type=sa.String(20)"
CASES = {
    "drop a column, give its name to another": Case(
        f'op.drop_column("t", "a")\nop.alter_column("t", "b", new_column_name="a", {INT})',
        f'op.alter_column("t", "a", new_column_name="b", {INT})\n'
        'op.add_column("t", sa.Column("a", sa.String(20)))',
    ),
    "the same in a batch": Case(
        'with op.batch_alter_table("t") as batch:\n    batch.drop_column("a")\n'
        f'    batch.alter_column("b", new_column_name="a", {INT})',
        'with op.batch_alter_table("t") as batch:\n'
        f'    batch.alter_column("a", new_column_name="b", {INT})\n'
        '    batch.add_column(sa.Column("a", sa.String(20)))',
    ),
    "drop a table, give its name to another": Case(
        'op.drop_table("t")\nop.rename_table("t_new", "t")',
        f'op.rename_table("t", "t_new")\n{START.split("op.create_table")[1]}'.replace(
            '("t", sa', 'op.create_table("t", sa', 1
        ),
    ),
    "another column of the same name": Case(
        'op.drop_column("t", "a")\nop.add_column("t", sa.Column("a", sa.Integer()))',
        'op.drop_column("t", "a")\nop.add_column("t", sa.Column("a", sa.String(20)))',
    ),
    "another table of the same name": Case(
        'op.drop_table("t_new")\n'
        'op.create_table("t_new", sa.Column("x", sa.Integer(), primary_key=True))',
        'op.drop_table("t_new")\nop.create_table("t_new",'
        ' sa.Column("id", sa.Integer(), primary_key=True), sa.Column("c", sa.String(20)))',
    ),
    "another index of the same name": Case(
        'op.drop_index("ix", "t")\nop.create_index("ix", "t", ["b"])',
        'op.drop_index("ix", "t")\nop.create_index("ix", "t", ["a"])',
    ),
    "another constraint of the same name": Case(
        'op.drop_constraint("uq", "t", type_="unique")\n'
        'op.create_unique_constraint("uq", "t", ["id", "b"])',
        'op.drop_constraint("uq", "t", type_="unique")\n'
        'op.create_unique_constraint("uq", "t", ["b"])',
    ),
    "two tables change their names": Case(
        'op.rename_table("t", "t_old")\nop.rename_table("t_new", "t")\n'
        'op.rename_table("t_old", "t_new")',
        'op.rename_table("t", "t_old")\nop.rename_table("t_new", "t")\n'
        'op.rename_table("t_old", "t_new")',
        is_visible=False,
    ),
    "two columns change their names": Case(SWAP.format(TEXT, INT), SWAP.format(INT, TEXT)),
    "two columns of one type change their names": Case(
        SWAP.replace('"a"', '"id"').format(INT, INT),
        SWAP.replace('"a"', '"id"').format(INT, INT),
        is_visible=False,
    ),
    "two columns change their names, and one its type": Case(
        SWAP.format(TEXT, INT)
        + f'\nop.alter_column("t", "a", type_=sa.BigInteger(), {INT})\n'
        + 'op.add_column("t", sa.Column("d", sa.Integer()))',
        f'op.drop_column("t", "d")\nop.alter_column("t", "a", type_=sa.Integer(), {BIG})\n'
        + SWAP.format(INT, TEXT),
    ),
    "alter a column that is dropped": Case(
        'op.drop_constraint("uq", "t", type_="unique")\n'
        f'op.alter_column("t", "b", nullable=True, {INT})\n'
        f'op.alter_column("t", "b", server_default="5", {INT})\nop.drop_column("t", "b")',
        'op.add_column("t", sa.Column("b", sa.Integer()))\n'
        f'op.alter_column("t", "b", server_default="5", {INT})\n'
        f'op.alter_column("t", "b", server_default=None, {INT})\n'
        'op.execute("UPDATE t SET b = id * 10", unless="SELECT 1 FROM t WHERE b = 10")\n'
        'op.create_unique_constraint("uq", "t", ["b"])',
    ),
    "a new column becomes the key": Case(
        'op.drop_constraint("pk_t", "t", type_="primary")\n'
        'op.add_column("t", sa.Column("n", sa.Integer()))\n'
        'op.execute("UPDATE t SET n = b", unless="SELECT 1 FROM t WHERE n = b")\n'
        f'op.alter_column("t", "n", nullable=False, {INT})\n'
        'op.create_primary_key("pk_t", "t", ["n"])',
        'op.drop_constraint("pk_t", "t", type_="primary")\n'
        'op.create_primary_key("pk_t", "t", ["id"])\nop.drop_column("t", "n")',
    ),
    "rename a column, then alter it": Case(
        f'op.alter_column("t", "b", new_column_name="n", {INT})\n'
        f'op.alter_column("t", "n", type_=sa.BigInteger(), {INT})',
        f'op.alter_column("t", "n", type_=sa.Integer(), existing_type=sa.BigInteger())\n'
        f'op.alter_column("t", "n", new_column_name="b", {INT})',
    ),
    "a new table is renamed": Case(
        'op.create_table("one", sa.Column("id", sa.Integer(), primary_key=True))\n'
        'op.create_index("ix_one", "one", ["id"])\n'
        'op.create_table_comment("one", "of one")\n'
        'op.bulk_insert(sa.table("one", sa.column("id")), [{"id": 3}], key=["id"])\n'
        'op.rename_table("one", "two")',
        'op.rename_table("two", "one")\nop.drop_table("one")',
    ),
    "a new table gets a column": Case(
        'op.create_table("one", sa.Column("id", sa.Integer(), primary_key=True))\n'
        'op.add_column("one", sa.Column("n", sa.Integer(), nullable=False))\n'
        'op.create_check_constraint("ck_n", "one", "n > 0")',
        'op.drop_constraint("ck_n", "one", type_="check")\n'
        'op.drop_column("one", "n")\nop.drop_table("one")',
    ),
    "rows are filled from a column that goes": Case(
        'op.add_column("t", sa.Column("n", sa.Integer()))\n'
        'op.backfill("t", {"n": sa.text("b * 2")}, where="n IS NULL AND b IS NOT NULL")\n'
        'op.drop_constraint("uq", "t", type_="unique")\nop.drop_column("t", "b")',
        'op.add_column("t", sa.Column("b", sa.Integer()))\n'
        'op.backfill("t", {"b": sa.text("n / 2")}, where="b IS NULL AND n IS NOT NULL")\n'
        'op.create_unique_constraint("uq", "t", ["b"])\nop.drop_column("t", "n")',
    ),
    "a table is altered, and made anew beside": Case(
        'op.add_column("t", sa.Column("d", sa.String(20)))\n'
        'op.create_index("ix_d", "t", ["d"])\n'
        'op.create_table("t_2", sa.Column("id", sa.String(20), primary_key=True),'
        ' sa.Column("d", sa.String(20)))\n'
        'op.drop_table("t")\nop.rename_table("t_2", "t")',
        f'op.drop_table("t")\n{TABLES}',
    ),
    "a renamed table is dropped, and made anew": Case(
        'op.rename_table("t", "v")\n'
        'op.create_check_constraint("ck_v", "v", "b > 0")\n'
        f'op.alter_column("v", "b", new_column_name="n", {INT})\n'
        'op.drop_table("v")\n'
        'op.create_table("v", sa.Column("x", sa.Integer(), primary_key=True))\n'
        'op.create_index("ix", "v", ["x"])',
        f'op.drop_table("v")\n{TABLES}',
    ),
    "tables that are altered change their names": Case(
        f'op.alter_column("t_new", "c", server_default="k", {TEXT})\n'
        'op.add_column("t", sa.Column("c", sa.Integer()))\n'
        'op.rename_table("t", "t_old")\nop.rename_table("t_new", "t")\n'
        'op.rename_table("t_old", "t_new")',
        f'op.drop_table("t")\nop.drop_table("t_new")\n{TABLES}',
        is_visible=False,
        down_is_visible=True,
    ),
    "a table is made anew as it was, and its rows copied": Case(
        'op.rename_table("t_new", "t_old")\n'
        f"{TABLES.splitlines()[3]}\n{TABLES.splitlines()[4]}\n"
        'op.execute("INSERT INTO t_new SELECT id, c FROM t_old",'
        ' unless="SELECT 1 FROM t_new")\nop.drop_table("t_old")',
        'op.execute("SELECT 1")',
        server="sqlite",
    ),
    "an index goes with its column": Case(
        'op.drop_constraint("uq", "t", type_="unique")\n'
        'op.create_index("ix_b", "t", ["b"])\nop.drop_column("t", "b")',
        'op.add_column("t", sa.Column("b", sa.Integer()))\n'
        'op.create_unique_constraint("uq", "t", ["b"])',
    ),
    "a check that is dropped is validated": Case(
        'op.create_check_constraint("ck", "t", "b > 0", postgresql_not_valid=True)\n'
        'op.validate_constraint("ck", "t")\nop.drop_constraint("ck", "t", type_="check")\n'
        'op.create_check_constraint("ck", "t", "b > 1")',
        'op.drop_constraint("ck", "t", type_="check")',
        server="postgresql",
    ),
}


@pytest.fixture(params=["plain", "run"])
def project(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Project:
    project = Project(tmp_path / "project", database.url)
    if request.param == "plain":
        project.write("migrations/env.py", PLAIN_ENV)
    project.revision("a1", None, START, "pass", HEAD)
    return project


def go(project: Project, database: Database, *argv: str) -> None:
    with database.engine.connect() as connection:
        project.attributes["connection"] = connection
        outcome = project.alembic(*argv)
    assert outcome.status == 0, outcome.out


class Killed(Exception):
    """What ends a run in the middle."""


@contextmanager
def acts(database: Database, kill_at: int = -1) -> Iterator[list[str]]:
    """Collect the statements of revisions that change something; die before this one."""
    seen: list[str] = []

    def note(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if is_act(statement) and "alembic_version_history" not in statement:
            if len(seen) == kill_at:
                raise Killed
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def state(database: Database) -> dict[str, Any]:
    """Return what is in the database: tables, their parts and their rows."""
    found: dict[str, Any] = {}
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in sorted(inspector.get_table_names()):
            if table in ("alembic_version_history", "alembic_version_once"):
                continue
            columns = [
                (c["name"], str(c["type"]), c["nullable"], c["default"], c.get("comment"))
                for c in inspector.get_columns(table)
            ]
            names = ", ".join(sorted(c[0] for c in columns))
            found[table] = (
                sorted(columns),
                inspector.get_pk_constraint(table)["constrained_columns"],
                sorted((i["name"], *i["column_names"]) for i in inspector.get_indexes(table)),
                sorted(
                    (u["name"], *u["column_names"]) for u in inspector.get_unique_constraints(table)
                ),
                sorted(str(c["name"]) for c in inspector.get_check_constraints(table)),
                sorted(connection.exec_driver_sql(f"SELECT {names} FROM {table}").all(), key=str),
            )
            with suppress(NotImplementedError):
                found[table] += (inspector.get_table_comment(table),)
    return found


def rewind(database: Database, revision: str) -> None:
    prepare(database, f"UPDATE alembic_version SET version_num = '{revision}'")


# Both commit each DDL statement: a case is killed with a record on one, and without on the other.
COMMITTING = {"mariadb": 0, "mysql": 1}


def number_of(case: Case) -> int:
    return [*CASES.values()].index(case)


def places(database: Database, statements: int) -> list[int]:
    """Return where to kill: at each statement, and at three on a server that takes all back."""
    if database.name == "postgresql":
        return sorted({0, statements // 2, statements - 1} & {*range(statements)})
    return [*range(statements)]


@pytest.mark.long
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_revision_arrives_where_it_should_when_killed_at_any_statement(
    case: Case, project: Project, database: Database, request: pytest.FixtureRequest
) -> None:
    if case.server not in ("", database.name):
        pytest.skip(f"only on {case.server}")
    kept = "run" in request.node.callspec.id.split("-")
    if database.name in COMMITTING and (COMMITTING[database.name] + number_of(case)) % 2 == kept:
        pytest.skip("tried with the other env.py here, and with this one on the other server")
    project.revision("a2", "a1", case.up, case.down, HEAD)
    go(project, database, "upgrade", "a1")
    ends, statements = {}, {}
    for direction, end in (("upgrade", "a2"), ("downgrade", "a1"), ("upgrade", "a2")):
        with acts(database) as statements[direction]:
            go(project, database, direction, end)
        ends[direction] = state(database)
    go(project, database, "downgrade", "a1")
    unseen = 0 if case.is_visible or kept else 2  # the last ones, where nobody can see what is done
    kills = {way: places(database, len(acts_)) for way, acts_ in statements.items()}
    for number in range(max(map(len, statements.values()))):
        for direction, end in (("upgrade", "a2"), ("downgrade", "a1")):
            at = f"{direction} {number} was not killed"
            if number in kills[direction] and number < len(statements[direction]) - unseen:
                with acts(database, number) as before, suppress(Killed):
                    go(project, database, direction, end)
                at = f"{direction} killed at {statements[direction][number]}, after {before[-1:]}"
            try:
                go(project, database, direction, end)
            except AssertionError as error:
                raise AssertionError(f"{at}\n{error}") from None
            assert state(database) == ends[direction], at
            assert current(database) == [end]


@pytest.mark.parametrize("project", ["plain"], indirect=True)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_revision_changes_nothing_when_its_database_was_rewound_by_hand(
    case: Case, project: Project, database: Database
) -> None:
    if case.server not in ("", database.name):
        pytest.skip(f"only on {case.server}")
    if not case.is_visible:
        pytest.skip("nobody can see that it is done")
    project.revision("a2", "a1", case.up, case.down, HEAD)
    go(project, database, "upgrade", "a1")
    for _ in range(2):
        for direction, end, back in (("upgrade", "a2", "a1"), ("downgrade", "a1", "a2")):
            go(project, database, direction, end)
            before = state(database)
            rewind(database, back)
            go(project, database, direction, end)
            assert state(database) == before


WORKED_OUT = {
    "a function": 'op.drop_column(table(), old("b"))\nop.alter_column(table(),'
    ' old("c"), new_column_name=old("b"), existing_type=sa.Integer())',
    "a function of both": 'replace("t", "a", "b")',
    "a loop behind": 'for name in ["a"]:\n    op.drop_column("t", name)\n'
    'for left, right in {"b": "a"}.items():\n'
    '    op.alter_column("t", left, new_column_name=right, existing_type=sa.Integer())',
    "one loop": 'for left, right in [("b", "a")]:\n    op.drop_column("t", right)\n'
    '    op.alter_column("t", left, new_column_name=right, existing_type=sa.Integer())',
    "assigned behind": 'op.drop_column("t", "a")\nname = old("b")\nother = f"{name[:0]}b"\n'
    'op.alter_column("t", other, new_column_name=name, existing_type=sa.Integer())',
    "by keywords": 'op.drop_column("t", "a")\ntable_ = "t"\nop.alter_column(table_name=table_,'
    ' column_name="b", new_column_name="a", existing_type=sa.Integer())',
    "packed": 'op.drop_column("t", "a")\nnames = ("t", "b")\n'
    'op.alter_column(*names, **{"new_column_name": "a", "existing_type": sa.Integer()})',
    "packed by name": 'op.drop_column("t", "a")\nrest = dict(new_column_name="a",'
    ' existing_type=sa.Integer())\nop.alter_column("t", "b", **rest)',
    "constants": 'op.drop_column(NAMES["table"], NAMES["old"])\nop.alter_column(NAMES["table"],'
    ' "b", new_column_name=NAMES["old"], existing_type=sa.Integer())',
    "text methods": 'op.drop_column("t", "A".lower())\nop.alter_column("T".lower(), "b",'
    ' new_column_name="A".lower(), existing_type=sa.Integer())',
    "tables": 'op.drop_table("t")\nfor one in ("t",):\n    op.rename_table(f"{one}_new", one)',
}
FUNCTIONS = """
NAMES = {"table": "t", "old": "a"}
def table():
    return "T".lower()
def old(name):
    return chr_before(name)
def chr_before(name):
    return {"b": "a", "c": "b"}.get(name)
def replace(table, one, other):
    op.drop_column(table, one)
    op.alter_column(table, other, new_column_name=one, existing_type=sa.Integer())
"""


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("project", ["plain"], indirect=True)
@pytest.mark.parametrize("body", WORKED_OUT.values(), ids=WORKED_OUT.keys())
def test_names_that_are_worked_out_are_known_further_down(
    body: str, project: Project, database: Database
) -> None:
    project.revision("a2", "a1", body, "pass", f"{HEAD}\n{FUNCTIONS}")
    go(project, database, "upgrade", "a2")
    before = state(database)
    rewind(database, "a1")
    go(project, database, "upgrade", "a2")
    assert state(database) == before


RENAMING = {
    "a table": ('op.drop_table("t_new")', "ALTER TABLE t RENAME TO t_new"),
    "a column": ('op.drop_column("t", "a")', "ALTER TABLE t RENAME COLUMN b TO a;"),
}


@pytest.mark.databases("sqlite", "mariadb")
@pytest.mark.parametrize("project", ["plain"], indirect=True)
@pytest.mark.parametrize("case", RENAMING.values(), ids=RENAMING.keys())
def test_what_sql_has_renamed_is_not_dropped_again(
    case: tuple[str, str], project: Project, database: Database
) -> None:
    drop, sql = case
    project.revision("a2", "a1", f"{drop}\nop.get_bind().execute(sa.text({sql!r}))", "pass", HEAD)
    go(project, database, "upgrade", "a2")
    before = state(database)
    rewind(database, "a1")
    project.revision("a2", "a1", f"{drop}\nop.execute({sql!r})", "pass", HEAD)
    with database.engine.connect() as connection:
        project.attributes["connection"] = connection
        assert "the database refused it" in project.refusal("upgrade", "a2")  # the SQL itself
    assert state(database) | {"alembic_version": ()} == before | {"alembic_version": ()}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("project", ["plain", "run"], indirect=True)
@pytest.mark.parametrize(
    "name", ["os.environ.get('COLUMN')", "[c for c in 'b'][0]", "str(set('b').pop())"]
)
def test_name_that_cannot_be_known_does_not_stop_a_first_run(
    name: str, project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMN", "b")
    body = 'op.drop_column("t", "a")\n'
    body += f'op.alter_column("t", {name}, new_column_name="a", existing_type=sa.Integer())'
    project.revision("a2", "a1", body, "pass", f"import os\n{HEAD}")
    go(project, database, "upgrade", "a2")
    before = state(database)
    assert [column[0] for column in before["t"][0]] == ["a", "id"]
    if "history" not in str(tables(database)):
        return  # nothing can tell
    rewind(database, "a1")
    project.attributes.pop("connection")
    assert "this may be done already, what has its name with it" in project.refusal("upgrade", "a2")
    assert state(database) | {"alembic_version": ()} == before | {"alembic_version": ()}


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("project", ["plain", "run"], indirect=True)
def test_table_is_renamed_though_another_schema_of_the_path_has_its_new_name(
    project: Project, database: Database
) -> None:
    name = database.engine.url.database
    prepare(
        database,
        "CREATE SCHEMA one",
        f"ALTER DATABASE {name} SET search_path = one, public",
        "CREATE TABLE public.v (id INTEGER)",
    )
    body = 'op.rename_table("t", "v")\n'
    body += 'op.create_table("t", sa.Column("n", sa.Integer(), primary_key=True))'
    project.revision("a2", "a1", body, "pass", HEAD)
    go(project, database, "upgrade", "a2")
    there = sa.inspect(database.engine)
    assert {"t", "v"} < {*there.get_table_names("one")}
    assert [column["name"] for column in there.get_columns("t", "one")] == ["n"]


@pytest.mark.parametrize("project", ["run"], indirect=True)
def test_run_stops_before_it_alters_what_another_has_the_name_of(
    project: Project, database: Database
) -> None:
    swap = SWAP.replace('"a"', '"id"').format(INT, INT)
    body = f'op.alter_column("t", "b", server_default="5", {INT})\n{swap}'
    project.revision("a2", "a1", body, "pass", HEAD)
    go(project, database, "upgrade", "a2")
    before = state(database)
    rewind(database, "a1")
    project.attributes.pop("connection")
    assert "this may be done already" in project.refusal("upgrade", "a2")
    assert state(database) | {"alembic_version": ()} == before | {"alembic_version": ()}


@pytest.mark.parametrize("project", ["run"], indirect=True)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.is_visible])
def test_run_stops_with_the_choice_when_nothing_shows_what_is_done(
    name: str, project: Project, database: Database
) -> None:
    case = CASES[name]
    project.revision("a2", "a1", case.up, case.down, HEAD)
    go(project, database, "upgrade", "a1")
    directions = [("upgrade", "a2", "a1"), ("downgrade", "a1", "a2")]
    for direction, end, back in directions[: 1 if case.down_is_visible else 2]:
        for way in ("stamp", "forget"):
            go(project, database, direction, end)
            before = state(database)
            rewind(database, back)
            for _ in range(2):
                project.attributes.pop("connection", None)
                message = project.refusal(direction, end)
                assert "this may be done already" in message
                assert state(database) | {"alembic_version": ()} == before | {"alembic_version": ()}
            ways = [line.strip() for line in message.splitlines()]
            if way == "stamp":
                [stamp] = [line for line in ways if line.startswith("alembic ")]
                go(project, database, *stamp.split()[1:])
            else:  # undone by hand: here, by the same statements
                [forget] = [line for line in ways if line.startswith("DELETE ")]
                prepare(database, forget.strip(";"))
                go(project, database, direction, end)
                again = state(database)
                assert again["t"] != before["t"]
                prepare(database, forget.strip(";"))
                rewind(database, back)
                go(project, database, direction, end)
            assert state(database) == before
            assert current(database) == [end]
            if way == "stamp":
                reverse = "downgrade" if direction == "upgrade" else "upgrade"
                go(project, database, reverse, back)


@pytest.mark.parametrize("project", ["run"], indirect=True)
@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (f'op.drop_table("t_new")\n{TABLE}', []),
        (
            'op.drop_column("t_new", "c")\nop.add_column("t_new", sa.Column("c", sa.String(20)))',
            [(7, None)],
        ),
    ],
)
def test_run_makes_the_same_thing_anew_once(
    body: str, wanted: list[Any], project: Project, database: Database
) -> None:
    project.revision("a2", "a1", body, body, HEAD)
    for way, end in (("upgrade", "a2"), ("downgrade", "a1"), ("upgrade", "a2")):
        go(project, database, way, end)
        assert state(database)["t_new"][5] == [(value, id_) for id_, value in wanted]
        prepare(database, "DELETE FROM t_new", "INSERT INTO t_new VALUES (7, 'z')")
    rewind(database, "a1")
    go(project, database, "upgrade", "a2")  # it is there, says the journal
    assert state(database)["t_new"][5] == [("z", 7)]


# What a message says to do next can be done twice

CONFLICTS = {
    "a column that cannot be altered": (
        ["CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER GENERATED ALWAYS AS (1) STORED)"],
        lambda: helpers.add_column(
            "t", sa.Column("a", sa.Integer(), sa.Computed("2 + 3", persisted=True))
        ),
    ),
    "a column of another type": (
        ["CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)"],
        lambda: helpers.add_column("t", sa.Column("a", sa.String(20))),
    ),
    "a column of a table that cannot be altered": (
        ["CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER GENERATED ALWAYS AS (1) STORED)"],
        lambda: helpers.create_table(
            "t",
            sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("a", sa.Integer(), sa.Computed("2 + 3", persisted=True)),
        ),
    ),
    "a column whose new name is taken": (
        ["CREATE TABLE t (a INTEGER, b INTEGER)", "INSERT INTO t VALUES (1, 2)"],
        lambda: helpers.alter_column("t", "a", new_column_name="b", existing_type=sa.Integer()),
    ),
    "a table whose new name is taken": (
        [
            "CREATE TABLE t (a INTEGER)",
            "INSERT INTO t VALUES (1)",
            "CREATE TABLE u (a INTEGER)",
            "INSERT INTO u VALUES (2)",
        ],
        lambda: helpers.rename_table("t", "u"),
    ),
    "a table whose new name an empty one has": (
        ["CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)", "CREATE TABLE u (a INTEGER)"],
        lambda: helpers.rename_table("t", "u"),
    ),
    "an empty table whose new name is taken": (
        ["CREATE TABLE t (a INTEGER)", "CREATE TABLE u (a INTEGER)", "INSERT INTO u VALUES (2)"],
        lambda: helpers.rename_table("t", "u"),
    ),
    "a view whose name a table has": (
        ["CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)"],
        lambda: helpers.create_view("t", "SELECT 1 AS a"),
    ),
    "a table whose name a view has": (
        ["CREATE VIEW t AS SELECT 1 AS a"],
        lambda: helpers.create_table("t", sa.Column("a", sa.Integer())),
    ),
    "a view": (
        ["CREATE VIEW t AS SELECT 1 AS a"],
        lambda: helpers.create_view("t", "SELECT 2 AS a"),
    ),
    "an index": (
        ["CREATE TABLE t (a INTEGER, b INTEGER)", "CREATE INDEX ix ON t (a)"],
        lambda: helpers.create_index("ix", "t", ["b"]),
    ),
    "a constraint": (
        ["CREATE TABLE t (a INTEGER, b INTEGER, CONSTRAINT uq UNIQUE (a))"],
        lambda: helpers.create_unique_constraint("uq", "t", ["a", "b"]),
    ),
    "the value of an enum": (
        ["CREATE TYPE kind AS ENUM ('a', 'b')"],
        lambda: helpers.rename_enum_value("kind", "a", "b"),
    ),
    "the place of a value": (
        ["CREATE TYPE kind AS ENUM ('a', 'b')"],
        lambda: helpers.add_enum_value("kind", "b", before="a"),
    ),
}


@pytest.mark.parametrize(("statements", "act"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_advice_can_be_followed_twice_and_loses_no_row(
    statements: list[str], act: Act, database: Database
) -> None:
    if "TYPE" in statements[0] and database.name != "postgresql":
        pytest.skip("only on PostgreSQL")
    prepare(database, *statements)
    rows_before = counted_rows(state(database))
    with revision(database):
        outcome = outcome_of(act)
    if outcome.error is None:
        pytest.skip("this server does not compare it")
    message = str(outcome.error)
    with revision(database):
        follow(message)
        act()
    first = state(database)
    assert counted_rows(first) == rows_before
    with revision(database):
        follow(message)
        act()
    assert state(database) == first


def counted_rows(found: dict[str, Any]) -> int:
    return sum(len(parts[5]) for parts in found.values())


# What belongs to a verb and is a statement of its own


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_comments_are_completed_when_a_verb_was_killed_before_them(
    database: Database, number: int
) -> None:
    def act() -> None:
        with helpers.get_context().autocommit_block():
            helpers.create_table(
                "t", sa.Column("id", sa.Integer(), comment="of id"), comment="of t"
            )
            helpers.add_column("t", sa.Column("a", sa.Integer(), comment="of a"))

    with acts(database) as statements, revision(database):
        act()
    wanted = state(database)
    comments = [n for n, sql in enumerate(statements) if "COMMENT" in sql.upper()]
    assert len(comments) == 3
    prepare(database, "DROP TABLE t")
    with acts(database, comments[number - 1]), suppress(Killed), revision(database):
        act()
    with revision(database):
        act()
    assert state(database) == wanted


@pytest.mark.databases("postgresql")
def test_another_comment_is_a_conflict(database: Database) -> None:
    prepare(database, "CREATE TABLE t (a INTEGER)", "COMMENT ON COLUMN t.a IS 'other'")
    with revision(database), pytest.raises(helpers.SchemaConflict):
        helpers.add_column("t", sa.Column("a", sa.Integer(), comment="of a"))


# Several schemas in the search path


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("project", ["plain"], indirect=True)
def test_what_other_schemas_have_says_nothing_of_what_is_done(
    project: Project, database: Database
) -> None:
    """A tenant beside `public`, which has the name already that the function ends with."""
    shared = ["CREATE TABLE public.two (id INTEGER PRIMARY KEY)"]
    prepare(database, *shared, "CREATE SCHEMA tenant")

    @event.listens_for(database.engine, "connect")
    def search(connection: Any, _: Any) -> None:
        connection.execute("SET search_path = tenant, public")
        connection.commit()

    body = (
        'op.create_table("one", sa.Column("id", sa.Integer(), primary_key=True),'
        ' sa.Column("n", sa.Integer()))\nop.rename_table("one", "two")\n'
        'op.drop_column("two", "n")'
    )
    project.revision("a2", "a1", body, "pass", HEAD)
    go(project, database, "upgrade", "a2")
    with database.engine.connect() as connection:
        found = sa.inspect(connection)
        assert "two" in found.get_table_names("tenant")
        assert "two" in found.get_table_names("public")
        assert [c["name"] for c in found.get_columns("two", "tenant")] == ["id"]
    before = state(database)
    rewind(database, "a1")
    go(project, database, "upgrade", "a2")
    assert state(database) == before
