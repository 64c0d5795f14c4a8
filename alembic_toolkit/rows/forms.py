"""Strings of a certain form, which a type of SQLAlchemy or of a project can parse.

For the server a UUID may be a CHAR(32), and a dictionary a VARCHAR. The application never writes a
string that the type cannot parse, so a revision need not handle one.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect, Uuid
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

_DAY, _DAYS = dt.date(1970, 1, 1), 40_000  # to the year 2079

# By name, and by a number that makes each another one.
FORMS: dict[str, Callable[[int], str]] = {
    "uuid": lambda number: str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
    "object": lambda number: f'{{"a": {number}}}',
    "array": lambda number: f"[{number}]",
    "number": str,
    "date": lambda number: f"{_DAY + dt.timedelta(number % _DAYS)}",
    "moment": lambda number: f"{_DAY + dt.timedelta(number % _DAYS)} 23:59:59",
}
_ANY = 'O\'Brien "%s"'


def form_of(type_: TypeEngine[Any], dialect: Dialect) -> str:
    """Return the form that a string must have so that a type can parse it; empty if any."""
    if not isinstance(type_, TypeDecorator | Uuid | UserDefinedType):
        return ""  # no text, or any
    try:
        read = type_.dialect_impl(dialect).result_processor(dialect, None)
    except Exception:  # it is anybody's code
        return ""
    if read is None or _reads(read, _ANY):
        return ""
    return next((name for name, make in FORMS.items() if _reads(read, make(1))), "")


def _reads(read: Callable[[Any], Any], text: str) -> bool:
    try:
        read(text)
    except Exception:
        return False
    return True


def made(form: str, number: int, longest: int | None) -> str:
    """Return a string of a form, the same for the same number; a UUID has no dashes."""
    text = FORMS[form](number)
    short = form == "uuid" and longest is not None and longest < len(text)
    return text.replace("-", "") if short else text


def fits(form: str, longest: int | None) -> bool:
    """Return whether a column is long enough for strings of a form."""
    return longest is None or len(made(form, 100, longest)) <= longest
