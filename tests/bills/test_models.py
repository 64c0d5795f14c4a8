"""The models say what the schema at head is."""

from decimal import Decimal

import pytest
from sqlalchemy import Enum, Numeric, delete, exc, func, insert, inspect, select, text
from sqlalchemy.orm import Session

from bills.models import STATUSES, Audit, Base, Bill, Money, Payment, User, owed_by_user
from bills.samples import load, rows
from tests.databases import Database


def test_models_build_the_named_parts_of_the_schema(head: Database) -> None:
    look = inspect(head.engine)
    assert {"users", "bills", "payments", "audit"} <= set(look.get_table_names())
    names = {index["name"] for table in Base.metadata.tables for index in look.get_indexes(table)}
    assert {
        "ix_bills_user_id",
        "ix_bills_last_payment",
        "ix_bills_open_due",
        "ix_payments_bill_id",
        "ix_audit_at",
    } <= names
    assert [key["name"] for key in look.get_unique_constraints("users")] == ["uq_users_email"]
    for table, key, action in (
        ("bills", "fk_bills_user_id", "CASCADE"),
        ("payments", "fk_payments_bill_id", "CASCADE"),
        ("audit", "fk_audit_user_id", "SET NULL"),
    ):
        [found] = look.get_foreign_keys(table)
        assert (found["name"], found["options"]["ondelete"]) == (key, action)
    for table in ("bills", "payments"):
        checks = {check["name"] for check in look.get_check_constraints(table)}
        assert f"ck_{table}_amount_positive" in checks


def test_view_is_not_a_table_that_create_all_would_make() -> None:
    assert owed_by_user.name not in Base.metadata.tables


def test_money_is_numeric_12_2() -> None:
    for column in (Bill.__table__.c.amount, Payment.__table__.c.amount):
        assert type(column.type) is Numeric
        assert (column.type.precision, column.type.scale) == (12, 2)


def test_money_comes_back_to_the_cent(head: Database) -> None:
    with Session(head.engine) as session:
        load(session)
        for amount in ("0.01", "0.10", "0.29", "1234567.89", "9999999999.99"):
            session.get_one(Bill, 1).amount = Decimal(amount)
            session.commit()
            found = session.scalars(select(Bill.amount).where(Bill.id == 1)).one()
            assert (type(found), str(found)) == (Decimal, amount)


def test_sum_of_money_is_exact(head: Database) -> None:
    with Session(head.engine) as session:
        load(session)
        found = session.scalar(select(func.sum(Payment.amount)))
    assert found == sum(payment["amount"] for payment in rows()["payments"])


@pytest.mark.databases("postgresql", "sqlite")
def test_index_of_open_bills_is_partial(head: Database) -> None:
    found = {index["name"]: index for index in inspect(head.engine).get_indexes("bills")}
    options = found["ix_bills_open_due"]["dialect_options"]
    assert "open" in str(options[f"{head.name}_where"])


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_status_is_a_native_enum(head: Database) -> None:
    columns = {column["name"]: column for column in inspect(head.engine).get_columns("bills")}
    found = columns["status"]["type"]
    assert isinstance(found, Enum)
    assert tuple(found.enums) == STATUSES


def test_status_is_open_when_none_is_given(head: Database) -> None:
    with head.engine.begin() as connection:
        connection.execute(insert(User), rows()["users"])
        connection.execute(
            insert(Bill),
            {k: v for k, v in rows()["bills"][1].items() if k != "status"},
        )
        assert connection.scalar(select(Bill.status)) == "open"


@pytest.mark.parametrize(
    ("table", "change"), [("bills", "amount = 0"), ("payments", "amount = -1")]
)
def test_amounts_must_be_positive(head: Database, table: str, change: str) -> None:
    with Session(head.engine) as session:
        load(session)
        with pytest.raises(exc.DBAPIError):
            session.execute(text(f"UPDATE {table} SET {change}"))


def test_statuses_are_checked(head: Database) -> None:
    with Session(head.engine) as session:
        load(session)
        with pytest.raises(exc.DBAPIError):
            session.execute(text("UPDATE bills SET status = 'lost'"))


def test_bills_and_payments_go_with_their_user_but_the_audit_stays(head: Database) -> None:
    with Session(head.engine) as session:
        load(session)
        audited = session.scalar(select(func.count(Audit.id)))
        session.execute(delete(User))
        assert session.scalar(select(func.count(Bill.id))) == 0
        assert session.scalar(select(func.count(Payment.id))) == 0
        assert session.scalar(select(func.count(Audit.id))) == audited
        assert session.scalar(select(func.count(Audit.user_id))) == 0


def test_money_prints_as_its_ddl() -> None:
    assert str(Money) == "NUMERIC(12, 2)"
