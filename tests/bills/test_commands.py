"""What each command does, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bills.cli import main
from bills.database import session as open_session
from bills.models import Audit, Bill, Payment, User
from bills.samples import rows
from bills.table import width
from tests.bills.conftest import Bills
from tests.databases import Database

pytestmark = pytest.mark.usefixtures("head")


# list


def test_list_says_so_when_there_are_no_bills(bills: Bills) -> None:
    bills("list").assert_prints("no bills")


def test_list_shows_bills_by_due_date(bills: Bills) -> None:
    bills("add", "Zoë O'Hara", "Gas, 100%", "1234.5", "2026-02-28")
    bills("add", "山田", "Rent", "7", "2026-01-31")
    bills("pay", "1", "34.50", "--on", "2026-02-01")
    bills("list").assert_prints(
        "id  user        description    amount   paid  due         status  last payment",
        "--  ----------  -----------  --------  -----  ----------  ------  ------------",
        " 2  山田        Rent             7.00   0.00  2026-01-31  open",
        " 1  Zoë O'Hara  Gas, 100%    1,234.50  34.50  2026-02-28  open    2026-02-01",
    )


def test_list_shows_only_the_user_and_the_status_asked_for(bills: Bills) -> None:
    for name in ("Ada", "Bob"):
        bills("add", name, f"Rent of {name}", "10", "2026-01-31")
        bills("add", name, f"Gas of {name}", "10", "2026-02-28")
    bills("pay", "1", "10")
    shown = bills("list", "--user", "Ada").out
    assert "Ada" in shown
    assert "Bob" not in shown
    shown = bills("list", "--user", "Ada", "--status", "paid").out
    assert "Rent of Ada" in shown
    assert "Gas of Ada" not in shown
    bills("list", "--status", "cancelled").assert_prints("no bills")


def test_list_refuses_a_user_it_does_not_know(bills: Bills) -> None:
    bills("add", "Zoë", "Rent", "10", "2026-01-31")
    # zoe is the same as Zoë to MariaDB's collation
    bills("list", "--user", "zoe").assert_refuses("there is no user named 'zoe'")


def test_list_keeps_every_bill_of_the_sample_on_one_aligned_line(bills: Bills) -> None:
    bills("sample")
    [header, rule, *lines] = bills("list").out.splitlines()
    assert len(lines) == len(rows()["bills"])
    # The status starts in the same column of every line, wide characters counted twice.
    at = header.index("status")
    for line in lines:
        before = next(i for i in range(len(line)) if width(line[:i]) == at)
        assert line[before:].split()[0] in ("open", "paid", "cancelled")
    assert set(rule) == {"-", " "}


# add


def test_add_makes_the_user_when_new(head: Database, bills: Bills) -> None:
    bills("add", "Ada", "Rent", "1000", "2026-01-31", "--email", "ada@example.com").assert_prints(
        "bill 1: Ada (new), Rent, 1,000.00, due 2026-01-31"
    )
    bills("add", "Ada", "Gas", "0.01", "2026-01-31").assert_prints(
        "bill 2: Ada, Gas, 0.01, due 2026-01-31"
    )
    with Session(head.engine) as session:
        [user] = session.scalars(select(User))
        assert (user.name, user.email) == ("Ada", "ada@example.com")
        [rent, gas] = session.scalars(select(Bill).order_by(Bill.id))
        assert (rent.amount, rent.status, rent.last_payment) == (Decimal(1000), "open", None)
        assert gas.created_on == date.today()
        [audit, _] = session.scalars(select(Audit).order_by(Audit.id))
        assert (audit.user_id, audit.action) == (user.id, "add")


def test_add_finds_the_user_by_email_when_names_repeat(head: Database, bills: Bills) -> None:
    with Session(head.engine) as session, session.begin():
        session.add_all([User(name="Ada", email=f"{name}@example.com") for name in "ab"])
    bills("add", "Ada", "Rent", "1", "2026-01-31").assert_refuses(
        "there are 2 users named 'Ada'; say which with --email"
    )
    bills("add", "Ada", "Rent", "1", "2026-01-31", "--email", "b@example.com").assert_prints(
        "bill 1: Ada, Rent, 1.00, due 2026-01-31"
    )
    with Session(head.engine) as session:
        owner = select(User.email).join(Bill, Bill.user_id == User.id)
        assert session.scalars(owner).all() == ["b@example.com"]


def test_add_refuses_the_email_of_another_user(bills: Bills) -> None:
    bills("add", "Ada", "Rent", "1", "2026-01-31", "--email", "a@example.com")
    bills("add", "Bob", "Rent", "1", "2026-01-31", "--email", "a@example.com").assert_refuses(
        "a@example.com is the e-mail of 'Ada'"
    )


def test_add_refuses_to_guess_whether_another_email_is_another_user(bills: Bills) -> None:
    bills("add", "Ada", "Rent", "1", "2026-01-31")
    bills("add", "Ada", "Rent", "1", "2026-01-31", "--email", "a@example.com").assert_refuses(
        "there is a user 'Ada' already, with another e-mail or none"
    )


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("abc", "is not an amount like 12.50"),
        ("", "is not an amount like 12.50"),
        (".", "is not an amount like 12.50"),
        ("5.", "is not an amount like 12.50"),
        ("1e3", "is not an amount like 12.50"),
        ("NaN", "is not an amount like 12.50"),
        ("Infinity", "is not an amount like 12.50"),
        ("1_000", "is not an amount like 12.50"),
        ("1,50", "is not an amount like 12.50"),
        ("١٢", "is not an amount like 12.50"),
        ("1.005", "has more than two decimals"),
        ("0", "is not more than zero"),
        ("0.00", "is not more than zero"),
        ("-3", "is not more than zero"),
        ("-3.50", "is not more than zero"),
        ("10000000000", "is more than 9,999,999,999.99"),
    ],
)
def test_add_and_pay_refuse_a_bad_amount(bills: Bills, typed: str, reason: str) -> None:
    line = f"amount {typed!r} {reason}"
    bills("add", "Ada", "Rent", typed, "2026-01-31").assert_refuses(line)
    bills("pay", "1", typed).assert_refuses(line)
    bills("list").assert_prints("no bills")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("9999999999.99", "9,999,999,999.99"), ("0.01", "0.01"), (".5", "0.50"), ("007.1", "7.10")],
)
def test_add_takes_an_amount_to_the_cent(bills: Bills, typed: str, shown: str) -> None:
    bills("add", "Ada", "Rent", typed, "2026-01-31").assert_prints(
        f"bill 1: Ada (new), Rent, {shown}, due 2026-01-31"
    )


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "typed", ["soon", "2026-02-30", "31.01.2026", "20260131", "2026-W01-1", ""]
)
def test_add_and_pay_refuse_a_bad_date(bills: Bills, typed: str) -> None:
    line = f"date {typed!r} is not a day like 2026-01-31"
    bills("add", "Ada", "Rent", "1", typed).assert_refuses(line)
    bills("pay", "1", "1", f"--on={typed}").assert_refuses(line)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("name", "description", "email", "line"),
    [
        ("", "Rent", "a@b", "user name is empty"),
        ("Ada", " \t ", "a@b", "description is empty"),
        ("Ada", "Rent", "", "e-mail is empty"),
        ("é" * 81, "Rent", "a@b", "user name has 81 characters, more than 80"),
        ("Ada", "山" * 121, "a@b", "description has 121 characters, more than 120"),
        ("Ada", "Rent", "a@b" + "c" * 118, "e-mail has 121 characters, more than 120"),
        ("Ada", "Rent", "ada", "e-mail 'ada' is not an address like ada@example.com"),
        ("A\x1bda", "Rent", "a@b", "user name 'A\\x1bda' has a character that is not text"),
        ("Ada", "\udcff", "a@b", "description '\\udcff' has a character that is not text"),
    ],
)
def test_add_refuses_bad_text(
    bills: Bills, name: str, description: str, email: str, line: str
) -> None:
    bills("add", name, description, "1", "2026-01-31", "--email", email).assert_refuses(line)


def test_add_takes_text_as_long_as_the_columns(bills: Bills) -> None:
    name, description, email = "é" * 80, "山" * 120, "a@" + "b" * 118
    bills("add", name, description, "1", "2026-01-31", "--email", email).assert_prints(
        f"bill 1: {name} (new), {description}, 1.00, due 2026-01-31"
    )


def test_add_keeps_text_as_it_was_typed(head: Database, bills: Bills) -> None:
    name, description = "Robert'); DROP TABLE users;--", '100% %s %(a)s :b \\ " 🎂 NULL'
    bills("add", name, description, "1", "2026-01-31")
    with Session(head.engine) as session:
        assert session.scalars(select(User.name)).all() == [name]
        assert session.scalars(select(Bill.description)).all() == [description]


# pay


def test_pay_takes_a_part_then_the_rest(head: Database, bills: Bills) -> None:
    bills("add", "Ada", "Rent", "0.30", "2026-01-31")
    bills("pay", "1", "0.10", "--on", "2026-01-10").assert_prints(
        "bill 1: 0.10 paid on 2026-01-10, 0.20 left"
    )
    # 0.1 + 0.2 is not 0.3 for floats
    bills("pay", "1", "0.20", "--on", "2026-01-09").assert_prints(
        "bill 1: 0.20 paid on 2026-01-09, paid in full"
    )
    with Session(head.engine) as session:
        bill = session.get_one(Bill, 1)
        assert (bill.status, bill.last_payment) == ("paid", date(2026, 1, 10))
        amounts = session.scalars(select(Payment.amount).order_by(Payment.id)).all()
        assert amounts == [Decimal("0.10"), Decimal("0.20")]


def test_pay_is_today_unless_told(bills: Bills) -> None:
    bills("add", "Ada", "Rent", "2", "2026-01-31")
    bills("pay", "1", "1").assert_prints(f"bill 1: 1.00 paid on {date.today()}, 1.00 left")


def test_pay_writes_the_audit(head: Database, bills: Bills) -> None:
    bills("add", "Ada", "Rent", "2000", "2026-01-31")
    bills("pay", "1", "1500")
    with Session(head.engine) as session:
        audit = session.scalars(select(Audit).order_by(Audit.id.desc())).first()
        assert audit is not None
        assert (audit.user_id, audit.action, audit.detail) == (1, "pay", "bill 1: 1,500.00")
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        assert now - timedelta(minutes=1) < audit.at <= now


def test_pay_refuses_more_than_is_left_and_changes_nothing(head: Database, bills: Bills) -> None:
    bills("add", "Ada", "Rent", "2000", "2026-01-31")
    bills("pay", "1", "999.99")
    before = bills("list").out
    bills("pay", "1", "1000.02").assert_refuses("bill 1 has 1,000.01 left to pay, not 1,000.02")
    assert bills("list").out == before
    with Session(head.engine) as session:
        assert session.scalar(select(func.count(Payment.id))) == 1


@pytest.mark.parametrize("status", ["paid", "cancelled"])
def test_pay_refuses_a_bill_that_is_not_open(head: Database, bills: Bills, status: str) -> None:
    bills("add", "Ada", "Rent", "1", "2026-01-31")
    with head.engine.begin() as connection:
        connection.execute(text(f"UPDATE bills SET status = '{status}'"))
    bills("pay", "1", "1").assert_refuses(f"bill 1 is {status}")


def test_pay_refuses_an_unknown_bill(bills: Bills) -> None:
    bills("pay", "7", "1").assert_refuses("there is no bill 7")
    bills("pay", "x", "1").assert_refuses("bill 'x' is not the number of a bill")
    bills("pay", "9" * 30, "1").assert_refuses(f"bill '{'9' * 30}' is not the number of a bill")


def test_pay_takes_the_money_once_when_eight_pay_at_once(head: Database, bills: Bills) -> None:
    bills("add", "Ada", "Rent", "10", "2026-01-31")
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(main, [["pay", "1", "10"]] * 8))
    assert sorted(statuses) == [0] + [1] * 7
    with Session(head.engine) as session:
        assert session.scalar(select(func.sum(Payment.amount))) == 10


# owed


def test_owed_says_so_when_nobody_owes(bills: Bills) -> None:
    bills("owed").assert_prints("nobody owes anything")


def test_owed_adds_up_what_is_left_of_open_bills(head: Database, bills: Bills) -> None:
    for name, amount in (
        ("Ada", "0.30"),
        ("Ada", "1000"),
        ("Bob", "5"),
        ("Zoë", "7"),
        ("Zoë", "1"),
    ):
        bills("add", name, "Rent", amount, "2026-01-31")
    bills("pay", "1", "0.10")
    bills("pay", "2", "250")
    bills("pay", "3", "5")
    with head.engine.begin() as connection:
        connection.execute(text("UPDATE bills SET status = 'cancelled' WHERE id = 5"))
    bills("owed").assert_prints(
        "user     owed",
        "-----  ------",
        "Ada    750.20",
        "Zoë      7.00",
        "total  757.20",
    )


def test_owed_agrees_with_the_sample(bills: Bills) -> None:
    bills("sample")
    sample = rows()
    still_open = {bill["id"] for bill in sample["bills"] if bill["status"] == "open"}
    owed = sum(bill["amount"] for bill in sample["bills"] if bill["id"] in still_open)
    paid = sum(pay["amount"] for pay in sample["payments"] if pay["bill_id"] in still_open)
    assert bills("owed").out.split()[-1] == f"{owed - paid:,.2f}"


# sample


def test_sample_says_what_it_loaded_and_refuses_a_second_time(bills: Bills) -> None:
    counts = {name: len(sample) for name, sample in rows().items()}
    bills("sample").assert_prints(
        "loaded " + ", ".join(f"{count} {name}" for name, count in counts.items())
    )
    before = bills("list").out
    bills("sample").assert_refuses(
        "there are bills already; the sample data is for an empty database"
    )
    assert bills("list").out == before


def test_add_and_pay_go_on_after_the_sample(bills: Bills) -> None:
    bills("sample")
    next_id = len(rows()["bills"]) + 1
    assert bills("add", "Ada Lovelace", "Rent", "1", "2026-01-31").status == 0
    assert bills("pay", str(next_id), "1").status == 0


# all


def test_nothing_is_kept_when_a_command_fails(head: Database) -> None:
    def fail() -> None:
        with open_session(head.engine) as session:
            session.add(User(name="Ada", email=None))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with Session(head.engine) as session:
        assert session.scalar(select(func.count(User.id))) == 0
