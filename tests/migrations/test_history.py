"""The example's data on its way through the history; revision by revision: test_roundtrip.py."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from bills.database import REVISION
from bills.models import Base
from tests.databases import Database

from .conftest import REVISIONS, History

At = Callable[[str], History]


def test_history_has_one_head_and_it_is_the_one_the_application_needs():
    numbered = [f"{number:04d}" for number in range(1, len(REVISIONS) + 1)]
    assert numbered == REVISIONS
    assert REVISIONS[-1] == REVISION


def test_head_has_the_checks_of_the_models(at: At):
    history = at("head")
    with history.database.engine.connect() as connection:
        checks = {
            (table, check["name"])
            for table in Base.metadata.tables
            for check in sa.inspect(connection).get_check_constraints(table)
        }
    wanted = {
        ("bills", "ck_bills_amount_positive"),
        ("payments", "ck_payments_amount_positive"),
    }
    assert checks - {("bills", "bill_status")} == wanted


@pytest.mark.long
@pytest.mark.parametrize("revision", [r for r in REVISIONS if r >= "0005"])
def test_sample_data_is_the_same_to_the_cent_when_taken_down_and_up_again(at: At, revision: str):
    """From 0005 on there is an audit trail, which keeps what the older schema cannot."""
    history = at("head")
    history.load_samples()
    before = history.rows()
    history.downgrade(revision)
    history.upgrade()
    after = history.rows()
    assert {name: len(rows) for name, rows in after.items()} == {
        name: len(rows) for name, rows in before.items()
    }
    assert after == before


def test_sample_data_is_the_same_when_taken_down_and_up_step_by_step(at: At):
    history = at("head")
    history.load_samples()
    before = history.rows()
    while history.revision() != "0005":
        history.downgrade("-1")
    while history.revision() != REVISION:
        history.upgrade("+1")
    assert history.rows() == before


def test_users_bills_and_their_cents_survive_the_way_down_to_the_first_revision(at: At):
    history = at("head")
    history.load_samples()
    bills = history.query(
        "SELECT id, user_id, description, ROUND(amount, 2), due FROM bills ORDER BY id"
    )
    users = history.query("SELECT id, name, email FROM users ORDER BY id")
    owed = history.query("SELECT user_id, ROUND(owed, 2) FROM owed_by_user ORDER BY user_id")
    history.downgrade("0001")
    history.upgrade()
    assert bills == history.query(
        "SELECT id, user_id, description, ROUND(amount, 2), due FROM bills ORDER BY id"
    )
    assert users == history.query("SELECT id, name, email FROM users ORDER BY id")
    # cancelled bills are open again: the first schema had no place to say so
    again = dict(history.query("SELECT user_id, ROUND(owed, 2) FROM owed_by_user"))
    assert all(again[user] >= amount for user, amount in owed)


def test_whole_history_goes_up_and_down_in_one_go_with_the_sample_data(at: At):
    history = at("head")
    history.load_samples()
    history.downgrade("base")
    assert history.revision() is None
    history.upgrade()
    assert history.revision() == REVISION


@pytest.fixture
def beside(database: Database) -> Iterator[None]:
    """Keep the tables of another copy on the same server, where a look must not find them."""
    name = f"{database.engine.url.database}_beside"
    tables = ("payments (id INT)", "bills (id INT, status INT)")
    kind = "SCHEMA" if database.name == "postgresql" else "DATABASE"
    if database.name == "sqlite":  # which has no server
        yield
        return
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE {kind} {name}")
        for table in tables:
            connection.exec_driver_sql(f"CREATE TABLE {name}.{table}")
    yield
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP {kind} {name}{' CASCADE' * (kind == 'SCHEMA')}")


@pytest.mark.long
@pytest.mark.usefixtures("beside")
def test_each_upgrade_and_downgrade_is_a_skip_when_only_the_version_was_rewound(
    history: History,
):
    """As after a crash between the last statement of a revision and its mark."""
    below = "base"
    for revision in REVISIONS:
        history.upgrade(revision)
        if revision == "0001":
            add_rows_of_the_first_day(history)
        schema, rows = history.schema(), history.rows()
        history.stamp(below)
        history.upgrade(revision)
        assert (history.schema(), history.rows()) == (schema, rows), f"{revision} up"
        history.downgrade("-1")
        schema, rows = history.schema(), history.rows()
        history.stamp(revision)
        history.downgrade("-1")
        assert (history.schema(), history.rows()) == (schema, rows), f"{revision} down"
        history.upgrade(revision)
        if revision == "0001":
            add_rows_of_the_first_day(history)
        below = revision


def add_rows_of_the_first_day(history: History) -> None:
    history.execute("INSERT INTO users (name, email) VALUES ('Ada', 'a@example.com')")
    history.execute("INSERT INTO users (name, email) VALUES ('Bob', 'a@example.com')")
    history.execute("INSERT INTO users (name) VALUES ('Cleo')")
    for user, amount, paid in ((1, 0.1, 0), (1, 19.99, 19.99), (2, 1234567.89, 0.01)):
        history.execute(
            "INSERT INTO bills (user_id, title, amount, paid, due)"
            " VALUES (:user, 'Rent', :amount, :paid, '2025-01-31')",
            user=user,
            amount=amount,
            paid=paid,
        )
