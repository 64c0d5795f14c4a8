"""What single revisions do to the rows that they meet."""

from collections.abc import Callable
from decimal import Decimal

import pytest
import sqlalchemy as sa

from alembic_helpers import SchemaConflict

from .conftest import History

At = Callable[[str], History]
BILL = (
    "INSERT INTO bills (user_id, title, amount, paid, due)"
    " VALUES (:user, :title, :amount, :paid, '2025-01-31')"
)


def add_user(history: History, name: str, email: str | None = None) -> None:
    history.execute("INSERT INTO users (name, email) VALUES (:n, :e)", n=name, e=email)


def add_bill(history: History, amount: float, paid: float = 0, user: int = 1) -> None:
    history.execute(BILL, user=user, title="Rent", amount=amount, paid=paid)


def cents(history: History, sql: str) -> list[Decimal]:
    return [Decimal(str(row[0])).quantize(Decimal("0.01")) for row in history.query(sql)]


def test_last_payment_mends_no_such_column(at: At):
    history = at("0001")
    with pytest.raises(sa.exc.DBAPIError):
        history.query("SELECT last_payment FROM bills")
    history.upgrade("0002")
    assert history.query("SELECT last_payment FROM bills") == []


def test_money_keeps_every_cent_when_it_becomes_exact_and_float_again(at: At):
    amounts = [0.01, 0.1, 0.29, 1.15, 19.99, 33.33, 1234567.89, 9999999999.99, 0.1 + 0.2]
    history = at("0005")
    add_user(history, "Ada")
    for amount in amounts:
        add_bill(history, amount)
    wanted = [Decimal(f"{amount:.2f}") for amount in amounts]
    history.upgrade("0006")
    assert [Decimal(str(a)) for (a,) in history.query("SELECT amount FROM bills ORDER BY id")] == (
        wanted
    )
    history.downgrade("0005")
    assert cents(history, "SELECT amount FROM bills ORDER BY id") == wanted


def test_payments_are_split_out_of_paid_and_added_up_again(at: At):
    history = at("0006")
    add_user(history, "Ada")
    for paid in (0, 5.05, 10):
        add_bill(history, 10, paid)
    history.execute("UPDATE bills SET last_payment = '2025-01-07' WHERE id = 2")
    history.upgrade("0008")
    payments = "SELECT bill_id, amount, paid_on FROM payments ORDER BY id"
    assert [(b, float(a), str(on)) for b, a, on in history.query(payments)] == [
        (2, 5.05, "2025-01-07"),
        (3, 10.0, "2025-01-31"),
    ]
    history.execute(
        "INSERT INTO payments (bill_id, amount, paid_on) VALUES (2, 1.01, '2025-02-01')"
    )
    history.downgrade("0006")
    assert cents(history, "SELECT paid FROM bills ORDER BY id") == [
        Decimal("0.00"),
        Decimal("6.06"),
        Decimal("10.00"),
    ]
    history.upgrade("0008")
    assert [(b, float(a), str(on)) for b, a, on in history.query(payments)] == [
        (2, 5.05, "2025-01-07"),
        (3, 10.0, "2025-01-31"),
        (2, 1.01, "2025-02-01"),
    ] or sorted(history.query("SELECT bill_id, COUNT(*) FROM payments GROUP BY bill_id")) == [
        (2, 2),
        (3, 1),
    ]


def test_what_the_older_application_was_paid_meanwhile_becomes_one_payment_more(at: At):
    history = at("0006")
    add_user(history, "Ada")
    add_bill(history, 10, 4)
    history.upgrade("0008")
    history.downgrade("0006")
    history.execute("UPDATE bills SET paid = 9, last_payment = '2025-03-03'")
    history.upgrade("0008")
    assert cents(history, "SELECT amount FROM payments ORDER BY id") == [Decimal(4), Decimal(5)]


def test_email_becomes_unique_over_duplicates_and_the_downgrade_gives_them_back(at: At):
    history = at("0008")
    emails = ["a@example.com", None, "b@example.com", "a@example.com", None, "a@example.com"]
    for email in emails:
        add_user(history, "Ada", email)
    history.upgrade("0009")
    users = "SELECT email FROM users ORDER BY id"
    assert [e for (e,) in history.query(users)] == [*emails[:3], None, None, None]
    assert history.query("SELECT user_id, detail FROM audit ORDER BY id") == [
        (4, "a@example.com"),
        (6, "a@example.com"),
    ]
    with pytest.raises(sa.exc.IntegrityError):
        add_user(history, "Eve", "b@example.com")
    history.downgrade("0008")
    assert [e for (e,) in history.query(users)] == emails
    assert history.query("SELECT * FROM audit") == []


def test_status_is_known_for_paid_bills_and_kept_for_cancelled_ones(at: At):
    history = at("0006")
    add_user(history, "Ada")
    for paid in (0, 5, 10):
        add_bill(history, 10, paid)
    history.upgrade("0010")
    status = "SELECT status FROM bills ORDER BY id"
    assert [s for (s,) in history.query(status)] == ["open", "open", "paid"]
    history.execute("UPDATE bills SET status = 'cancelled' WHERE id = 1")
    history.downgrade("0009")
    history.upgrade("0010")
    assert [s for (s,) in history.query(status)] == ["cancelled", "open", "paid"]
    with pytest.raises(sa.exc.DBAPIError):
        history.execute("UPDATE bills SET status = 'unheard of' WHERE id = 1")


@pytest.mark.databases("postgresql")
def test_invalid_index_is_repaired_when_the_revision_runs_again(at: At):
    history = at("0010")
    add_user(history, "Ada")
    add_bill_at_ten(history)
    add_bill_at_ten(history)
    with (
        history.database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection,
        pytest.raises(sa.exc.IntegrityError),
    ):
        connection.exec_driver_sql(  # a build that fails, over the same column and predicate
            "CREATE UNIQUE INDEX CONCURRENTLY ix_bills_open_due ON bills (due)"
            " WHERE status = 'open'"
        )
    valid = (
        "SELECT indisvalid, indisunique FROM pg_index"
        " WHERE indexrelid = 'ix_bills_open_due'::regclass"
    )
    assert history.query(valid) == [(False, True)]
    history.upgrade("0011")
    assert history.query(valid) == [(True, False)]


def add_bill_at_ten(history: History) -> None:
    history.execute(
        "INSERT INTO bills (user_id, title, amount, due) VALUES (1, 'Rent', 10, '2025-01-31')"
    )


def test_not_null_is_introduced_over_rows_that_have_none(at: At):
    history = at("0013")
    add_user(history, "Ada")
    history.execute(
        "INSERT INTO bills (user_id, description, amount, due) VALUES (1, 'Rent', 10, '2025-01-31')"
    )
    history.upgrade("0014")
    assert str(history.query("SELECT created_on FROM bills")[0][0]) == "2025-01-31"
    with pytest.raises(sa.exc.IntegrityError):
        history.execute("UPDATE bills SET created_on = NULL")


def test_upgrade_stops_and_changes_nothing_when_a_column_is_there_with_another_type(at: At):
    history = at("0001")
    history.execute("ALTER TABLE bills ADD COLUMN last_payment VARCHAR(5)")
    before = history.schema()
    with pytest.raises(SchemaConflict, match=r"add_column\('bills', 'last_payment'\)") as refusal:
        history.upgrade("0002")
    assert "revision wants:" in str(refusal.value)
    assert history.schema() == before
    assert history.revision() == "0001"
