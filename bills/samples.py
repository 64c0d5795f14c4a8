"""Sample data, the same on every machine and on every day.

`rows` returns it as plain values, so that a test of a migration can insert it at any revision, with
the columns of that revision; `load` puts it into a database that is at head.
"""

import random
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from bills.models import Audit, Base, Bill, Payment, User

Row = dict[str, Any]

_USERS: list[tuple[str, str | None]] = [
    ("Ada Lovelace", "ada@example.com"),
    ("Siobhán O'Brien", "siobhan.obrien@example.com"),
    ("Zoë Müller-Lüdenscheidt", "zoe@example.de"),
    ("山田太郎", "taro@example.jp"),
    ("Дмитрий Иванов", "dmitri@example.com"),
    ("José Nuñez", None),
    ("Nguyễn Thị Ánh", "anh@example.vn"),
    ("Ólafur Þórðarson", "olafur@example.is"),
    ("محمد علي", None),
    ("Łukasz Żółć", "lukasz@example.pl"),
    ('D\'Angelo "Dee" Brown', "dee@example.com"),
    ("100% Cotton Ltd", "accounts@cotton.example"),
    ("Robert'); DROP TABLE users;--", "bobby@example.com"),
    ("Ελένη Παπαδοπούλου", "eleni@example.gr"),
    ("김민수", "minsu@example.kr"),
    ("Åse Bjørnsdatter", None),
    ("Jean-Luc d'Arcy", "jl+bills@example.fr"),
    ("O", "o@example.com"),
    ("NULL", "null@example.com"),
    ("Back\\slash & Sons", "sons@example.com"),
    ("Márta Erdős", "marta@example.hu"),
    ("İpek Şahin", "ipek@example.tr"),
    ("🌻 Sunflower Café", None),
    ("Wolfeschlegelsteinhausenbergerdorff Hubert Blaine senior", "hubert@example.com"),
]

_DESCRIPTIONS = [
    "Rent",
    "Electricity",
    "Water & sewage",
    "Gas, 2nd quarter",
    "Phone; mobile",
    "Plumber's visit",
    "Children's swimming lessons",
    "Café Zoë: coffee beans",
    "Crème brûlée for the office",
    "100% wool jumper",
    "Deposit (50%) on the piano",
    "5%s fee",
    "Insurance: the car",
    "Dentist",
    "Vet, for O'Malley the cat",
    "本 (books)",
    "Билеты в театр",
    'Screen, 27"',
    "Path C:\\temp cleaned",
    "Colon :name and %(name)s",
    "Subscription -- yearly",
    "Straße und Garten GmbH",
    "A long description of what was done to the roof, the gutters and the two chimneys in March",
    "🎂 Birthday cake",
]

_BILLS = 216
_AMOUNTS = {
    1: Decimal("0.01"),
    2: Decimal("0.10"),
    3: Decimal("19.99"),
    4: Decimal("1234567.89"),
    5: Decimal("33.33"),
}
_TWO_PAYMENTS = {5, 41, 77, 113, 149}


def rows() -> dict[str, list[Row]]:
    """Return the sample data: for each table, parents first, its rows with the columns of head.

    Ids count from 1, money is `Decimal`, dates are `date` and `datetime`. Every paid bill has
    exactly one payment; some open bills have one and five have two; cancelled ones have none.

    At an earlier revision, leave out the columns that it does not have, and fill those that it has
    instead. On PostgreSQL, inserting ids does not advance the sequences: give later rows ids, too.

        for name, sample in rows().items():
            connection.execute(insert(metadata.tables[name]), sample)
    """
    rng = random.Random(20250101)
    data: dict[str, list[Row]] = {"users": [], "bills": [], "payments": [], "audit": []}
    for user_id, (name, email) in enumerate(_USERS, 1):
        data["users"].append({"id": user_id, "name": name, "email": email})
    for bill_id in range(1, _BILLS + 1):
        bill = _bill(rng, bill_id)
        data["bills"].append(bill)
        for amount, paid_on in _payments(rng, bill):
            _pay(data, bill, amount, paid_on)
    return data


def load(session: Session) -> dict[str, int]:
    """Insert the sample data and return how many rows each table got.

    The database gives the ids, so that its sequences know them.
    """
    data = rows()
    users = _insert(session, User, data["users"], {})
    bills = _insert(session, Bill, data["bills"], {"user_id": users})
    _insert(session, Payment, data["payments"], {"bill_id": bills})
    _insert(session, Audit, data["audit"], {"user_id": users})
    return {name: len(sample) for name, sample in data.items()}


def _bill(rng: random.Random, bill_id: int) -> Row:
    cents = rng.randint(101, 250_000)
    created_on = date(2025, 1, 1) + timedelta(days=rng.randrange(300))
    return {
        "id": bill_id,
        # The last user never had a bill.
        "user_id": rng.randrange(len(_USERS) - 1) + 1,
        "description": rng.choice(_DESCRIPTIONS),
        "amount": _AMOUNTS.get(bill_id, Decimal(cents).scaleb(-2)),
        "due": created_on + timedelta(days=rng.choice((0, 14, 30, 90))),
        "created_on": created_on,
        "last_payment": None,
        "status": ("open", "open", "paid", "paid", "cancelled", "open")[bill_id % 6],
    }


def _payments(rng: random.Random, bill: Row) -> list[tuple[Decimal, date]]:
    amount, paid_on = bill["amount"], bill["created_on"] + timedelta(days=rng.randrange(60))
    if bill["status"] == "paid":
        return [(amount, paid_on)]
    third = (amount / 3).quantize(Decimal("0.01"))
    if bill["status"] != "open" or not third or bill["id"] % 6 == 0:
        return []
    if bill["id"] in _TWO_PAYMENTS:
        return [(third, paid_on), (third, paid_on + timedelta(days=9))]
    return [(third, paid_on)]


def _pay(data: dict[str, list[Row]], bill: Row, amount: Decimal, paid_on: date) -> None:
    number = len(data["payments"]) + 1
    data["payments"].append(
        {"id": number, "bill_id": bill["id"], "amount": amount, "paid_on": paid_on}
    )
    data["audit"].append(
        {
            "id": number,
            "at": datetime.combine(paid_on, time(9, number % 60)),
            # A third of them came by bank transfer, which nobody typed.
            "user_id": bill["user_id"] if number % 3 else None,
            "action": "pay",
            "detail": f"bill {bill['id']}: {amount:,.2f}",
        }
    )
    bill["last_payment"] = paid_on


def _insert(
    session: Session, model: type[Base], sample: list[Row], parents: dict[str, dict[int, int]]
) -> dict[int, int]:
    """Insert rows without their ids; return the id that each one got."""
    made: dict[int, Any] = {}
    for row in sample:
        values = {name: value for name, value in row.items() if name != "id"}
        for name, ids in parents.items():
            values[name] = ids.get(values[name])
        made[row["id"]] = model(**values)
    session.add_all(made.values())
    session.flush()
    return {old: new.id for old, new in made.items()}
