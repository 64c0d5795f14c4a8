"""The sample data is the same everywhere, and has what makes trouble in it."""

from collections import Counter
from decimal import Decimal

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bills.models import Base, Bill
from bills.samples import load, rows
from tests.databases import Database

SAMPLE = rows()


def test_rows_are_the_same_every_time() -> None:
    assert rows() == rows()
    # Another number here means that another Python draws other bills.
    assert sum(bill["amount"] for bill in SAMPLE["bills"]) == Decimal("1480933.11")


def test_there_are_enough_rows() -> None:
    assert len(SAMPLE["users"]) >= 20
    assert len(SAMPLE["bills"]) >= 200


def test_names_and_descriptions_hold_what_needs_quoting() -> None:
    for table, column in (("users", "name"), ("bills", "description")):
        texts = {row[column] for row in SAMPLE[table]}
        for character in "'%\"\\":
            assert any(character in text for text in texts), character
        assert any(not text.isascii() for text in texts)


def test_some_users_have_no_email_and_the_others_one_each() -> None:
    emails = [user["email"] for user in SAMPLE["users"]]
    assert None in emails
    known = [email for email in emails if email]
    assert len(known) == len(set(known))


def test_payments_agree_with_the_status_and_the_last_payment() -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for bill in SAMPLE["bills"]:
        payments = [row for row in SAMPLE["payments"] if row["bill_id"] == bill["id"]]
        paid = sum((row["amount"] for row in payments), Decimal(0))
        assert bill["last_payment"] == max((row["paid_on"] for row in payments), default=None)
        if bill["status"] == "paid":
            assert [row["amount"] for row in payments] == [bill["amount"]]
        else:
            assert paid < bill["amount"]
        if bill["status"] == "cancelled":
            assert not payments
        counts[bill["status"], len(payments)] += 1
    assert set(counts) == {("open", 0), ("open", 1), ("open", 2), ("paid", 1), ("cancelled", 0)}
    assert counts["open", 2] == 5


def test_cents_are_odd_and_fit_the_column() -> None:
    for row in SAMPLE["bills"] + SAMPLE["payments"]:
        assert row["amount"] == row["amount"].quantize(Decimal("0.01")) > 0
    assert {bill["amount"] % 1 for bill in SAMPLE["bills"]} > {Decimal("0.01"), Decimal("0.99")}


def test_rows_go_into_the_tables_of_head_as_they_are(head: Database) -> None:
    with head.engine.begin() as connection:
        for name, sample in SAMPLE.items():
            connection.execute(insert(Base.metadata.tables[name]), sample)
        for name, sample in SAMPLE.items():
            table = Base.metadata.tables[name]
            found = connection.execute(select(table).order_by(table.c.id)).mappings()
            assert list(found) == sample


def test_load_gives_the_same_rows_and_lets_the_database_count(head: Database) -> None:
    with Session(head.engine) as session, session.begin():
        counts = load(session)
        session.add(Bill(**{k: v for k, v in SAMPLE["bills"][0].items() if k != "id"}))
    assert counts == {name: len(sample) for name, sample in SAMPLE.items()}
    with head.engine.connect() as connection:
        table = Base.metadata.tables["bills"]
        found = list(connection.execute(select(table).order_by(table.c.id)).mappings())
    assert found[:-1] == SAMPLE["bills"]
