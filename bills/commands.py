"""What a person can do with bills: each command works in one session and returns what to print."""

from argparse import Namespace
from datetime import date, datetime, timezone
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from bills import read, samples
from bills.models import Audit, Bill, Payment, User
from bills.queries import find_bills, find_owed, users_named
from bills.read import Refused
from bills.table import layout, money


def list_bills(session: Session, args: Namespace) -> str:
    """List bills, the first due first."""
    rows = [
        (
            bill.id,
            name,
            bill.description,
            bill.amount,
            paid,
            str(bill.due),
            bill.status,
            str(bill.last_payment or ""),
        )
        for bill, name, paid in find_bills(session, args.user, args.status)
    ]
    if not rows:
        return "no bills"
    headers = ("id", "user", "description", "amount", "paid", "due", "status", "last payment")
    return layout(headers, rows)


def add(session: Session, args: Namespace) -> str:
    """Add a bill, and its user if new."""
    name = read.text("user name", args.user, 80)
    bill = Bill(
        description=read.text("description", args.description, 120),
        amount=read.amount(args.amount),
        due=read.day(args.due),
        created_on=date.today(),
    )
    email = None if args.email is None else read.email(args.email)
    user, known = _user_for(session, name, email)
    bill.user_id = user.id
    session.add(bill)
    session.flush()
    _audit(session, user.id, "add", f"bill {bill.id}: {money(bill.amount)}")
    who = user.name if known else f"{user.name} (new)"
    return f"bill {bill.id}: {who}, {bill.description}, {money(bill.amount)}, due {bill.due}"


def pay(session: Session, args: Namespace) -> str:
    """Pay all or a part of a bill."""
    bill_id = read.number("bill", args.bill)
    amount = read.amount(args.amount)
    day = date.today() if args.on is None else read.day(args.on)
    bill = session.get(Bill, bill_id, with_for_update=True)
    if bill is None:
        raise Refused(f"there is no bill {bill_id}")
    if bill.status != "open":
        raise Refused(f"bill {bill_id} is {bill.status}")
    # Insert before adding up: SQLite has no FOR UPDATE, and takes its lock at the first write.
    session.add(Payment(bill_id=bill_id, amount=amount, paid_on=day))
    session.flush()
    payments = session.scalars(select(Payment.amount).where(Payment.bill_id == bill_id))
    left = bill.amount - sum(payments, Decimal(0))
    if left < 0:
        raise Refused(f"bill {bill_id} has {money(left + amount)} left to pay, not {money(amount)}")
    bill.last_payment = max(day, bill.last_payment or day)
    if not left:
        bill.status = "paid"
    _audit(session, bill.user_id, "pay", f"bill {bill_id}: {money(amount)}")
    rest = f"{money(left)} left" if left else "paid in full"
    return f"bill {bill_id}: {money(amount)} paid on {day}, {rest}"


def owed(session: Session, args: Namespace) -> str:
    """Show what each user owes, the largest sum first, and the total."""
    rows = find_owed(session)
    if not rows:
        return "nobody owes anything"
    return layout(("user", "owed"), [*rows, ("total", sum((row[1] for row in rows), Decimal(0)))])


def sample(session: Session, args: Namespace) -> str:
    """Load the sample data into an empty database."""
    for model, many in ((Bill, "bills"), (User, "users")):
        if session.scalar(select(model.id).limit(1)) is not None:
            raise Refused(f"there are {many} already; the sample data is for an empty database")
    counts = samples.load(session)
    return "loaded " + ", ".join(f"{count} {name}" for name, count in counts.items())


def _user_for(session: Session, name: str, email: str | None) -> tuple[User, bool]:
    """Return the user, and whether they existed before."""
    users = users_named(session, name)
    if email is not None:
        owner = session.scalar(select(User).where(User.email == email))
        if owner is not None and owner.name != name:
            raise Refused(f"{email} is the e-mail of {owner.name!r}")
        if owner is None and users:
            raise Refused(f"there is a user {name!r} already, with another e-mail or none")
        users = [owner] if owner else []
    if len(users) > 1:
        raise Refused(f"there are {len(users)} users named {name!r}; say which with --email")
    if users:
        return users[0], True
    user = User(name=name, email=email)
    session.add(user)
    session.flush()
    return user, False


def _audit(session: Session, user_id: int, action: str, detail: str) -> None:
    # MariaDB keeps whole seconds; no time zone, because the column has none.
    now = datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
    session.add(Audit(at=now, user_id=user_id, action=action, detail=detail))
