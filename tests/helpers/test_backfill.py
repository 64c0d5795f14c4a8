"""``backfill``: rows updated page by page, each page committed, none of them twice."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import event

import alembic_helpers as helpers
from alembic_toolkit.verbs.data import backfill
from tests.databases import Database
from tests.helpers.scripts import run_with_client, written
from tests.helpers.vocabulary import (
    SQLITE_MODES,
    Act,
    assert_applied,
    assert_missing_parent,
    assert_skipped,
    assert_unsafe,
    counted,
    failing_revision,
    heard,
    prepare,
    revision,
    rows,
    run,
)
from tests.toolkit.conftest import Project

BILLS = "CREATE TABLE bills (id INTEGER NOT NULL PRIMARY KEY, amount INTEGER, times INTEGER)"


@pytest.fixture
def bills(database: Database) -> Database:
    """Give a database with ten bills, none of which was done."""
    amounts = ", ".join(f"({id_}, {id_ * 10}, NULL)" for id_ in range(1, 11))
    prepare(database, BILLS, f"INSERT INTO bills VALUES {amounts}")
    return database


def held(database: Database, columns: str = "id, times", table: str = "bills") -> list[Any]:
    with database.engine.connect() as connection:
        return sorted(
            rows(connection, f"SELECT {columns} FROM {table}"), key=lambda row: row[0] or 0
        )


def once(table: str = "bills", **options: Any) -> None:
    """Count in each row how often it was done."""
    values = {"times": sa.text("COALESCE(times, 0) + 1")}
    helpers.backfill(table, values, where="times IS NULL", **options)


DONE = [(id_, 1) for id_ in range(1, 11)]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> list[Act]:
    """Give a list of what is to happen between two pages, instead of the pause."""
    acts: list[Act] = []
    monkeypatch.setattr("time.sleep", lambda _: [act() for act in acts])
    return acts


# What it refuses


@pytest.mark.parametrize(
    ("values", "where", "match"),
    [
        ({"times": 1}, None, "no where"),
        ({}, "times IS NULL", "no values"),
        ({"times": sa.text("COALESCE(times, 0) + 1")}, "amount > 0", "still finds after"),
        ({"id": sa.text("id + 100"), "times": 1}, "times IS NULL", "the key that it would change"),
    ],
)
def test_backfill_refuses_when_a_row_could_be_done_twice(
    values: dict[str, Any], where: str | None, match: str, bills: Database
) -> None:
    with revision(bills):
        message = assert_unsafe(lambda: helpers.backfill("bills", values, where=where), match)
    assert "helpers.backfill('bills', {...}, where=" in message


def test_backfill_refuses_when_there_is_no_primary_key(database: Database) -> None:
    prepare(database, "CREATE TABLE bills (id INTEGER, times INTEGER)")
    with revision(database):
        message = assert_unsafe(once, "no primary key on bills")
    assert "once='bills'" in message


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_backfill_refuses_when_the_key_is_not_compared_as_it_is_sorted(database: Database) -> None:
    kinds = {
        "postgresql": ["REAL", "INTERVAL", "INTEGER[]"],
        "mariadb": ["ENUM('z', 'a')", "FLOAT"],
    }
    for number, kind in enumerate(kinds[database.kin]):
        prepare(database, f"CREATE TABLE t{number} (k {kind} PRIMARY KEY, times INTEGER)")
        with revision(database):
            assert_unsafe(partial(once, f"t{number}"), "not compared as they are sorted")


def test_backfill_misses_its_table_and_its_column(bills: Database) -> None:
    with revision(bills):
        assert_missing_parent(lambda: once("nowhere"), "no table 'nowhere'")
        wrong = partial(helpers.backfill, "bills", {"tims": 1}, where="times IS NULL")
        assert_missing_parent(wrong, "tims")


def test_backfill_refuses_when_env_py_began_the_transaction(bills: Database) -> None:
    with bills.engine.connect() as connection:
        run(connection, "SELECT 1")
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context):
            run(connection, "UPDATE bills SET amount = 0")
            assert "env.py" in assert_unsafe(once, "page by page")
        connection.rollback()
    assert held(bills, "amount")[0] == (10,)


# What it does


def test_backfill_acts_and_skips(bills: Database) -> None:
    with revision(bills):
        outcome = assert_applied(once)
        assert outcome.lines == [
            "backfill bills: 10 rows to update",
            "filled 10 rows of bills in 1 pages",
        ]
        assert_skipped(once, "no row is to be done")
    assert held(bills) == DONE


def test_backfill_takes_values_and_expressions(bills: Database) -> None:
    prepare(
        bills,
        "ALTER TABLE bills ADD COLUMN note VARCHAR(20)",
        "ALTER TABLE bills ADD COLUMN due DATE",
    )
    values = {"note": "50% it's :x", "due": None, "times": sa.column("amount") / 10}
    where = sa.and_(sa.column("times").is_(None), sa.column("id") > 2)
    with revision(bills):
        helpers.backfill("bills", values, where=where)
        helpers.backfill(
            "bills", {"times": 0}, where="id < 2 OR times IS NULL AND 10 % 4 = 2 -- all"
        )
    notes = held(bills, "id, times, note")
    assert ("50% it's :x", 3) in {(note, int(times)) for _, times, note in notes}
    assert [(id_, int(times)) for id_, times, _ in notes if id_ in (1, 2, 10)] == [
        (1, 0),
        (2, 0),
        (10, 10),
    ]


def test_backfill_accepts_a_row_that_stays_the_same_when_done_again(bills: Database) -> None:
    prepare(bills, "UPDATE bills SET amount = NULL WHERE id = 1")
    copy = partial(helpers.backfill, "bills", {"times": sa.column("amount")}, where="times IS NULL")
    with revision(bills):
        assert_applied(copy)
    assert held(bills)[:2] == [(1, None), (2, 20)]


def test_backfill_commits_each_page(bills: Database, between: list[Act]) -> None:
    seen: list[int] = []

    def look() -> None:
        prepare(bills, "UPDATE bills SET amount = 0 WHERE id = 1")  # it is not locked any more
        seen.append(sum(times is not None for _, times in held(bills)))

    between.append(look)
    with revision(bills):
        once(batch_size=3)
    assert seen == [3, 6, 9]
    assert held(bills) == DONE


def test_backfill_does_rows_that_come_ahead_meanwhile(bills: Database, between: list[Act]) -> None:
    come = iter([partial(prepare, bills, "INSERT INTO bills (id) VALUES (20)")])
    between.append(lambda: next(come, lambda: None)())
    with revision(bills):
        once(batch_size=3)
    assert held(bills) == [*DONE, (20, 1)]


def test_backfill_skips_what_is_done_without_a_page(bills: Database) -> None:
    prepare(bills, "UPDATE bills SET times = 1 WHERE id < 9")
    with revision(bills), counted(bills.engine) as statements:
        once(batch_size=2)
    assert sum(sql.startswith("UPDATE") for sql in statements) <= 2 + 1 + 1  # two to try it out
    assert held(bills) == DONE


IMPATIENT = {
    "sqlite": "PRAGMA busy_timeout = 10",
    "postgresql": "SET lock_timeout = '10ms'",
    "mariadb": "SET innodb_lock_wait_timeout = 1",  # of MySQL, too
}


def test_backfill_tries_a_page_again_when_its_rows_are_locked(
    bills: Database, between: list[Act]
) -> None:
    assert_tries_again(bills, bills, between)


def assert_tries_again(others: Database, ours: Database, between: list[Act]) -> None:
    """Lock a row after the first page, and let go of it while the second one waits."""
    with others.engine.connect() as other, revision(ours) as connection, heard() as lines:
        run(connection, IMPATIENT[ours.kin])

        def begin() -> None:
            run(other, "UPDATE bills SET amount = 0 WHERE id = 3")

        acts = iter([begin, other.rollback])
        between.append(lambda: next(acts, lambda: None)())
        once(batch_size=2)
    assert [line for line in lines if line.startswith("retry")] == [
        "retry backfill bills: a row is locked, again in 0.1 s"
    ]
    assert held(ours) == DONE


def test_backfill_counts_when_nothing_is_locked_any_more(bills: Database) -> None:
    def write(_connection: Any, _cursor: Any, sql: str, *_more: Any) -> None:
        if "count(" in sql:
            with bills.engine.connect() as other:
                run(other, IMPATIENT[bills.kin])
                run(other, "UPDATE bills SET amount = 2 WHERE id = 1")
                other.commit()

    with revision(bills) as connection:
        run(connection, "UPDATE bills SET amount = 1 WHERE id = 1")  # as any change would, locks
        event.listen(connection, "before_cursor_execute", write)
        once()
    assert held(bills) == DONE
    assert held(bills, "id, amount")[0] == (1, 2)


def test_backfill_gives_up_in_the_end_when_a_row_stays_locked(
    bills: Database, between: list[Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "WAITS", (0,))

    def impatient() -> None:
        with revision(bills) as connection:
            run(connection, IMPATIENT[bills.kin])
            once(batch_size=2)

    with bills.engine.connect() as other:
        between.append(lambda: run(other, "UPDATE bills SET amount = 0 WHERE id = 9"))
        with pytest.raises(sa.exc.DBAPIError):
            impatient()
    assert 0 < sum(times == 1 for _, times in held(bills)) < 10


def through_pg8000(database: Database) -> Database:
    """Reach the database by a driver whose errors hold a dict where others hold a code."""
    url = database.engine.url.set(drivername="postgresql+pg8000")
    return replace(database, engine=sa.create_engine(url, poolclass=sa.NullPool))


@pytest.mark.databases("postgresql")
def test_backfill_says_with_pg8000_what_the_server_says(bills: Database) -> None:
    prepare(bills, "ALTER TABLE bills ADD CONSTRAINT few CHECK (times < 1 OR id < 5)")
    with (
        pytest.raises(sa.exc.DBAPIError, match='violates check constraint "few"'),
        revision(through_pg8000(bills)),
    ):
        once(batch_size=2)
    assert held(bills) == [*DONE[:4], *((id_, None) for id_ in range(5, 11))]


@pytest.mark.databases("postgresql")
def test_backfill_tries_a_page_again_with_pg8000(bills: Database, between: list[Act]) -> None:
    assert_tries_again(bills, through_pg8000(bills), between)


class Killed(Exception):
    """What ends a run in the middle."""


def kill_at(database: Database, number: int) -> Callable[[], None]:
    """Have the client die before this statement; return what undoes it."""
    left = iter(range(number))

    def die(*_: Any) -> None:
        if next(left, None) is None:
            raise Killed

    event.listen(database.engine, "before_cursor_execute", die)
    return lambda: event.remove(database.engine, "before_cursor_execute", die)


def test_backfill_does_no_row_twice_when_killed_at_any_statement(bills: Database) -> None:
    with revision(bills), counted(bills.engine) as statements:
        once(batch_size=4)
    for number in range(len(statements)):
        prepare(bills, "UPDATE bills SET times = NULL")
        revive = kill_at(bills, number)
        with suppress(Killed), revision(bills):
            once(batch_size=4)
        revive()
        with revision(bills):
            once(batch_size=4)
        assert held(bills) == DONE, f"killed at {statements[number]}"


@pytest.mark.parametrize("per_migration", [True, False])
def test_backfill_leaves_a_transaction_to_the_rest_of_the_revision(
    bills: Database, per_migration: bool
) -> None:
    for mode in SQLITE_MODES if bills.name == "sqlite" else ["plain"]:
        prepare(bills, "DELETE FROM bills WHERE id > 10", "UPDATE bills SET times = NULL")
        with failing_revision(bills, mode, transaction_per_migration=per_migration):
            run(helpers.get_bind(), "INSERT INTO bills (id) VALUES (11)")
            once(batch_size=4)
            run(helpers.get_bind(), "INSERT INTO bills (id) VALUES (12)")
        assert held(bills) == [*DONE, (11, 1)], mode


def test_backfill_goes_on_when_the_runner_runs_its_revision_again(
    bills: Database, tmp_path: Path
) -> None:
    """In a revision as ``run`` runs it: on SQLite DDL is transactional, but pages are kept."""
    project = Project(tmp_path / "project", bills.url)
    body = """\
    helpers.add_column("bills", sa.Column("half", sa.Integer))
    values = {"times": sa.text("COALESCE(times, 0) + 1")}
    helpers.backfill("bills", values, where="times IS NULL", batch_size=4)
    helpers.add_column("bills", sa.Column("other", sa.Integer))
    helpers.execute("UPDATE bills SET nothing = 1")
    """
    path = project.revision("a1", None, body, head="import alembic_helpers as helpers")
    assert "nothing" in project.refusal("upgrade", "head")
    assert held(bills) == DONE
    project.write(f"migrations/versions/{path.name}", path.read_text().replace("nothing", "other"))
    assert project.alembic("upgrade", "head").status == 0
    assert held(bills, "id, times, half, other") == [(*row, None, 1) for row in DONE]


# Keys


KEYS: dict[str, tuple[str, list[str]]] = {
    "composite": (
        "a INTEGER NOT NULL, b VARCHAR(20) NOT NULL, c DATE NOT NULL, PRIMARY KEY (b, a, c)",
        [
            f"({a}, '{b}', '2024-0{c}-01')"
            for a in (1, 2, 10)
            for b in ("x", "it''s %", "", "Z")
            for c in (1, 2)
        ],
    ),
    "text": ("k VARCHAR(20) PRIMARY KEY", [f"('{k}')" for k in ("a", "B", "c d", "é", "", "0")]),
    "decimal": ("k NUMERIC(12, 4) PRIMARY KEY", ["(-1.5)", "(0)", "(10.0001)", "(9.9999)"]),
    "time": ("k TIMESTAMP PRIMARY KEY", [f"('2024-01-01 10:00:0{n}')" for n in range(6)]),
}
ENDLESS = ["-infinity", "0044-03-15 BC", "2024-01-01", "infinity"]
ODD_KEYS = {
    "enum": ("k status PRIMARY KEY", ["('open')", "('paid')", "('late')"]),
    "date": ("k DATE PRIMARY KEY", [f"('{k}')" for k in ENDLESS]),
    "timestamp": ("k TIMESTAMP(3) PRIMARY KEY", [f"('{k}')" for k in ENDLESS]),
    "time of a zone": (
        "k TIMESTAMPTZ PRIMARY KEY",
        [f"('{k}')" for k in [*ENDLESS, "2024-01-01 10:00:00.000001+01"]],
    ),
    "composite": (
        "a DATE NOT NULL, b INTEGER NOT NULL, c DATE NOT NULL, PRIMARY KEY (b, a, c)",
        [f"('{a}', 1, '{c}')" for a in ENDLESS for c in ENDLESS],
    ),
    "uuid": (
        "k UUID PRIMARY KEY",
        [f"('00000000-0000-0000-0000-00000000000{n}')" for n in range(5)],
    ),
    "bytes": ("k BYTEA PRIMARY KEY", [r"('\x00')", r"('\xff00')", "('')"]),
}


def check_keys(database: Database, definition: str, keys: list[str]) -> None:
    prepare(database, f"CREATE TABLE things (times INTEGER, {definition})")
    columns = "a, b, c" if definition.startswith("a ") else "k"
    prepare(database, f"INSERT INTO things ({columns}) VALUES {', '.join(keys)}")
    for size in (1, 2, 100):
        prepare(database, "UPDATE things SET times = NULL")
        with revision(database):
            once("things", batch_size=size)
        assert held(database, "times", "things") == [(1,)] * len(keys)


@pytest.mark.parametrize("kind", KEYS)
def test_backfill_goes_by_any_key(kind: str, database: Database) -> None:
    check_keys(database, *KEYS[kind])


@pytest.mark.parametrize("kind", ODD_KEYS)
@pytest.mark.databases("postgresql")
def test_backfill_goes_by_keys_of_types_that_only_postgresql_has(
    kind: str, database: Database
) -> None:
    prepare(database, "CREATE TYPE status AS ENUM ('open', 'late', 'paid')")
    check_keys(database, *ODD_KEYS[kind])


@pytest.mark.databases("postgresql")
def test_backfill_writes_values_that_the_driver_cannot_read(bills: Database) -> None:
    prepare(bills, "ALTER TABLE bills ADD COLUMN due DATE, ADD COLUMN a JSON")
    with revision(bills):
        values = {"due": sa.text("'infinity'"), "a": sa.text("'{}'")}
        helpers.backfill("bills", values, where="amount > 0 AND due IS NULL")
        same = {"due": sa.text("'infinity'"), "a": sa.text("'[]'")}
        helpers.backfill("bills", same, where="due = 'infinity'")
    assert held(bills, "id, due::text, a::text")[0] == (1, "infinity", "[]")


@pytest.mark.databases("sqlite", "mariadb", "mysql")
def test_backfill_finds_columns_as_the_server_folds_their_names(bills: Database) -> None:
    with revision(bills):
        changes_key = partial(helpers.backfill, "bills", {"ID": 1}, where="times IS NULL")
        assert_unsafe(changes_key, "the key that it would change")
        helpers.backfill("bills", {"TIMES": 1}, where="times IS NULL")
    assert held(bills) == DONE


@pytest.mark.databases("sqlite")
def test_backfill_does_rows_whose_key_is_null(database: Database) -> None:
    keys = ["(NULL, 'x', 1)", "(1, NULL, 1)", "(NULL, NULL, NULL)", "(1, 'x', 1)"]
    check_keys(database, "a INTEGER, b TEXT, c INTEGER, PRIMARY KEY (a, b, c)", keys)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("key", ["INT PRIMARY KEY", "INTEGER PRIMARY KEY DESC"])
def test_backfill_does_rows_whose_only_key_is_null(database: Database, key: str) -> None:
    prepare(
        database,
        f"CREATE TABLE things (a {key}, times INTEGER)",
        "INSERT INTO things (a) VALUES (NULL), (1), (NULL)",
    )
    with revision(database):
        helpers.backfill("things", {"times": 1}, where="times IS NULL")
    assert held(database, "times", "things") == [(1,), (1,), (1,)]


@pytest.mark.databases("postgresql", "mariadb", "mysql", "sqlite")
def test_backfill_reads_a_range_of_a_key_of_several_columns(database: Database) -> None:
    """By the server's plan: never the whole table."""
    prepare(
        database,
        "CREATE TABLE things (a INTEGER, b INTEGER, times INTEGER, PRIMARY KEY (a, b))",
        "INSERT INTO things (a, b) VALUES "
        + ", ".join(f"({n // 100}, {n % 100})" for n in range(2000)),
    )
    explain = "EXPLAIN QUERY PLAN " if database.name == "sqlite" else "EXPLAIN "
    plans: list[str] = []

    def note(connection: Any, cursor: Any, sql: str, values: Any, *_: Any) -> None:
        if sql.startswith("UPDATE") and len(values) > 3:
            cursor.execute(explain + sql, values)
            plans.append(str(cursor.fetchall()))

    event.listen(database.engine, "before_cursor_execute", note)
    with revision(database):
        once("things", batch_size=100)
    whole = {"sqlite": "SCAN", "postgresql": "Seq Scan", "mariadb": "'ALL'|'index'"}
    assert plans
    assert not [plan for plan in plans if any(w in plan for w in whole[database.kin].split("|"))]


def test_backfill_works_in_another_schema(database: Database, other_schema: str) -> None:
    with revision(database) as connection:
        run(connection, BILLS.replace("bills", f"{other_schema}.bills"))
        run(connection, f"INSERT INTO {other_schema}.bills (id) VALUES (1)")
        assert_applied(lambda: once(schema=other_schema))
        assert_skipped(lambda: once(schema=other_schema))


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_backfill_draws_a_bar_on_a_terminal(
    bills: Database, monkeypatch: pytest.MonkeyPatch, between: list[Act]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    clock = iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with revision(bills), heard() as lines:
        once(batch_size=5)
    drawn = terminal.getvalue().split("\r")
    assert any(line.startswith("bills [####") and "rows/s, 0:" in line for line in drawn), drawn
    assert drawn[-1] == "\x1b[K"
    assert len(lines) == 2  # at the beginning and the end


def test_backfill_logs_every_few_seconds_elsewhere(
    bills: Database, monkeypatch: pytest.MonkeyPatch, between: list[Act]
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr(backfill, "SHOWN_EVERY", 0)
    with revision(bills), heard() as lines:
        once(batch_size=5)
    wanted = r"backfill bills: 5 of 10 rows in 1 pages, \d+ rows/s, \d:\d\d left"
    assert re.fullmatch(wanted, lines[1])
    assert stderr.getvalue() == ""


def test_pages_shrink_when_they_take_too_long(
    bills: Database, monkeypatch: pytest.MonkeyPatch, between: list[Act]
) -> None:
    clock = iter(range(10_000))  # so that everything takes seconds
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with revision(bills), heard() as lines:
        once(batch_size=4)
    assert lines[-1] == "filled 10 rows of bills in 7 pages"  # one of four rows, then one by one


# Scripts


def test_script_of_backfill_is_one_update(bills: Database) -> None:
    values = {"times": sa.text("COALESCE(times, 0) + 1"), "amount": 7}
    script = written(bills, lambda: helpers.backfill("bills", values, where="times IS NULL"))
    assert script.count("UPDATE") == 1
    for _ in range(2):
        run_with_client(bills, script)
    assert held(bills) == DONE
    with pytest.raises(CommandError, match="no where"):
        written(bills, lambda: helpers.backfill("bills", values))
    with pytest.raises(CommandError, match="no values"):
        written(bills, lambda: helpers.backfill("bills", {}, where="times IS NULL"))
