"""The tables as this version of the application needs them.

The migrations build them, and their tests prove that they do; `bills.database.REVISION` says
which revision that is.
"""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Enum,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    UniqueConstraint,
    column,
    table,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

STATUSES = ("open", "paid", "cancelled")

# SQLite keeps these as 8-byte floats, which hold 15 digits: twelve come back to the cent.
Money = Numeric(12, 2)


class Base(DeclarativeBase):
    """Hold the metadata of every table below."""


class User(Base):
    """Somebody who owes money. Names may repeat; e-mail addresses may not."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("email", name="uq_users_email"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str | None] = mapped_column(String(120))


class Bill(Base):
    """What a user owes for one thing."""

    __tablename__ = "bills"
    __table_args__ = (
        CheckConstraint("amount > 0", name="ck_bills_amount_positive"),
        # MariaDB has no partial index: there it holds every bill.
        Index(
            "ix_bills_open_due",
            "due",
            postgresql_where=text("status = 'open'"),
            sqlite_where=text("status = 'open'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", name="fk_bills_user_id", ondelete="CASCADE"), index=True
    )
    description: Mapped[str] = mapped_column(String(120))
    amount: Mapped[Decimal] = mapped_column(Money)
    due: Mapped[date]
    created_on: Mapped[date]
    last_payment: Mapped[date | None] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(
        Enum(*STATUSES, name="bill_status", create_constraint=True), server_default="open"
    )


class Payment(Base):
    """Money paid towards a bill, the whole or a part of it."""

    __tablename__ = "payments"
    __table_args__ = (CheckConstraint("amount > 0", name="ck_payments_amount_positive"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    bill_id: Mapped[int] = mapped_column(
        ForeignKey("bills.id", name="fk_payments_bill_id", ondelete="CASCADE"), index=True
    )
    amount: Mapped[Decimal] = mapped_column(Money)
    paid_on: Mapped[date]


class Audit(Base):
    """What was done, when (UTC) and for whom. It outlives the user."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", name="fk_audit_user_id", ondelete="SET NULL")
    )
    action: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(String(200))


# A view: what is left to pay of the open bills, for each user who owes something. It is not in
# Base.metadata, because create_all would make a table of it.
owed_by_user = table(
    "owed_by_user",
    column("user_id", Integer),
    column("name", String),
    column("owed", Money),
)
