"""Read what a person typed, or refuse it in one line that says what would do."""

import re
import unicodedata
from datetime import date
from decimal import Decimal


class Refused(Exception):
    """Say in one line what was wrong with what was asked."""


def amount(typed: str) -> Decimal:
    """Read money: digits, and at most two after the point."""
    match = re.fullmatch(r"0*([0-9]*)(?:\.([0-9]+))?", typed.strip())
    if not match or not typed.strip("0. "):
        reason = "is not more than zero" if _is_number(typed) else "is not an amount like 12.50"
    elif len(match[2] or "") > 2:
        reason = "has more than two decimals"
    elif len(match[1]) > 10:
        reason = "is more than 9,999,999,999.99"
    else:
        return Decimal(f"{match[1] or 0}.{match[2] or 0}").quantize(Decimal("0.01"))
    raise Refused(f"amount {typed!r} {reason}")


def day(typed: str) -> date:
    """Read a date: 2026-01-31."""
    try:
        # From Python 3.11 fromisoformat takes more forms, which 3.10 would refuse.
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", typed.strip()):
            return date.fromisoformat(typed.strip())
    except ValueError:
        pass
    raise Refused(f"date {typed!r} is not a day like 2026-01-31")


def text(what: str, typed: str, longest: int) -> str:
    """Read one line of text that fits the column; runs of blanks become one space."""
    line = " ".join(typed.split())
    if not line:
        raise Refused(f"{what} is empty")
    if len(line) > longest:
        raise Refused(f"{what} has {len(line)} characters, more than {longest}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in line):
        raise Refused(f"{what} {typed!r} has a character that is not text")
    return line


def email(typed: str) -> str:
    """Read an e-mail address, without judging it much."""
    address = text("e-mail", typed, 120)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
        raise Refused(f"e-mail {typed!r} is not an address like ada@example.com")
    return address


def number(what: str, typed: str) -> int:
    """Read the number of a row."""
    if not re.fullmatch("[0-9]{1,9}", typed.strip()):
        raise Refused(f"{what} {typed!r} is not the number of a {what}")
    return int(typed)


def _is_number(typed: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", typed.strip()) is not None
