"""What is asked of the tables, for the command line and for the page."""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bills import read
from bills.models import STATUSES, Bill, Payment, User, owed_by_user
from bills.read import Refused

Listed = tuple[Bill, str, Decimal]  # a bill, the name of its user, what was paid


def find_bills(
    session: Session,
    user: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Listed]:
    """Return bills, the first due first; raise `Refused` for an unknown user or status."""
    paid = select(func.sum(Payment.amount)).where(Payment.bill_id == Bill.id).scalar_subquery()
    query = select(Bill, User.name, paid).join(User, User.id == Bill.user_id)
    if user is not None:
        users = users_named(session, read.text("user name", user, 80))
        if not users:
            raise Refused(f"there is no user named {user!r}")
        query = query.where(Bill.user_id.in_([one.id for one in users]))
    if status is not None:
        if status not in STATUSES:
            raise Refused(f"status {status!r} is not one of: {', '.join(STATUSES)}")
        query = query.where(Bill.status == status)
    query = query.order_by(Bill.due, Bill.id).limit(limit).offset(offset or None)
    return [(bill, name, paid or Decimal(0)) for bill, name, paid in session.execute(query)]


def users_named(session: Session, name: str) -> Sequence[User]:
    """Return the users of exactly this name: to MariaDB, Zoë and zoe are the same; not here."""
    found = session.scalars(select(User).where(User.name == name).order_by(User.id))
    return [user for user in found if user.name == name]


def find_owed(session: Session) -> list[tuple[str, Decimal]]:
    """Return what each user owes who owes something, the largest sum first."""
    view = owed_by_user.c
    query = select(view.name, view.owed).order_by(view.owed.desc(), view.name, view.user_id)
    return [(name, owed) for name, owed in session.execute(query)]
