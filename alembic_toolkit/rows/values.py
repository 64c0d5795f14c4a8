"""Values for a column: nasty, but fair, since a correct revision must be able to handle them.

- Texts and UUIDs begin with their table, or are made of it: two tables may become one.
- Texts: the longest allowed, the empty one, one with quotes, ``%``, backslash and other alphabets.
- Integers stop at 2^21 for 32 bits and at 2^53 for 64: cents made of them still fit, and a float
  holds them. A column called ``..._id`` that is no foreign key gets small ones: it may become one.
- Amounts have odd cents and no more digits than a float holds (15), and two fewer before the point
  than allowed: they may be added and multiplied. Floats are cents too: a float column may become
  exact, and a tenth of a cent, once rounded, may break the very check that held for it.
- Dates: a leap day, the epoch, an hour that clocks show twice. Both truth values, each enum label.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from alembic_toolkit.rows.forms import made
from alembic_toolkit.rows.tables.table import Column

UNSET = object()  # leave it to the default


@lru_cache(maxsize=4096)
def candidates(column: Column) -> Sequence[Any]:
    """Return values for a column, the nastiest first; none if its type is unknown."""
    if make := _CANDIDATES.get(column.kind):
        return make(column)
    known = _BY_NAME.get(re.split(r"[ (]", column.type.lower())[0].strip('"'))
    if known is None and not column.nullable and column.default is None:
        return ["", "0", "{}"]  # guesses
    return list(known or ())


_TEXT = 'O\'Brien "%s" 100% \\ :x; -- '
_WIDE = "Zoë 日本 😀 "


def _texts(column: Column) -> list[Any]:
    if column.labels:  # the application keeps to them, though the server does not
        return list(column.labels)
    if column.form:
        return [_formed(column, number) for number in range(3)]
    longest = min(column.length or 300, 4000)
    text = _own(column, longest) + (_TEXT if column.ascii else _TEXT + _WIDE)
    long = (text * (longest // len(text) + 1))[: longest - 1] + "."
    return list(dict.fromkeys([long, "", text.strip()[:longest].strip()]))


def _own(column: Column, longest: int) -> str:
    """Return the prefix for a table's strings: its name, or a hash if that is long."""
    if not column.of:
        return ""
    name = column.of.rpartition(".")[2]
    is_short = len(name) < longest // 2 and (name.isascii() or not column.ascii)
    return f"{name} " if is_short else f"{_number(column):x}"[: max(longest - 2, 1)] + " "


def _number(column: Column) -> int:
    """Return a number that few tables share."""
    return zlib.crc32(column.of.encode()) % 0xFFFF if column.of else 0


def _formed(column: Column, number: int) -> str:
    """Return a string of the column's form, different in each table."""
    other = made(column.form, number + 100 * _number(column), column.length)
    fits = column.length is None or len(other) <= column.length
    return other if fits else made(column.form, number, column.length)


def _integers(column: Column) -> list[Any]:
    if re.search(r"(^|_)id$", column.name, re.I):
        return [1, 2, 3]
    most = {8: 100, 16: 127}.get(column.bits, 2 ** max(column.bits - 11, 7) - 1)
    return [most, 0, 1] if column.unsigned else [most, 0, -1, 1]


def _numerics(column: Column) -> list[Any]:
    if column.precision is None:
        return [Decimal("12345678.91"), Decimal("0.01"), Decimal("-19.99"), Decimal(0)]
    scale = column.scale or 0
    before = max(column.precision - scale - 2, min(column.precision - scale, 1))
    before = max(min(before, 15 - scale), 0)
    unit = Decimal(1).scaleb(-scale)
    digits = "123456789123456"[:before] or "0"
    most = Decimal(digits) + (1 - 9 * unit if scale else 0)
    less = min(Decimal("19.99"), most).quantize(unit)
    return [most, unit, Decimal(0)] if column.unsigned else [most, unit, -less, Decimal(0)]


def _binaries(column: Column) -> list[Any]:
    if column.sample is not None:
        return [column.sample]
    longest = min(column.length or 300, 4000)
    own = _own(column, longest).encode()[:longest]
    return [
        own + (b"\x00\xff'\\%" * longest)[: max(longest - len(own) - 1, 0)] + b"\x01",
        b"",
        own + b"a",
    ]


def _arrays(column: Column) -> list[Any]:
    assert column.element is not None
    values = [text_of(value) for value in candidates(column.element)[:2]]
    quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    return ["{" + ",".join([*quoted, "NULL"]) + "}", "{}", "{" + ",".join(quoted[:1]) + "}"]


_DATETIMES = ["2024-02-29 23:59:59", "2024-10-27 02:30:00", "1970-01-02 00:00:01"]


def _of(column: Column) -> str:
    return f"{column.of}.{column.name}"


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


_CANDIDATES: dict[str, Callable[[Column], list[Any]]] = {
    "text": _texts,
    "char": _texts,
    "integer": _integers,
    "numeric": _numerics,
    "float": lambda _: [Decimal("12345.67"), Decimal("0.1"), Decimal("-19.99"), Decimal(0)],
    "boolean": lambda _: [True, False],
    "date": lambda _: ["2024-02-29", "1970-01-01", "1999-12-31"],
    "datetime": lambda _: list(_DATETIMES),
    "datetimetz": lambda _: [moment + "+05:45" for moment in _DATETIMES],
    "time": lambda _: ["23:59:59", "00:00:00", "02:30:00"],
    "interval": lambda _: ["1 mon 2 days 03:04:05", "-1 day", "0"],
    "year": lambda _: [2024, 1970, 1999],
    "json": lambda column: [*column.labels] or ['{"a": [1, null, "Zo\u00eb"]}', "{}", "[]"],
    "uuid": lambda column: [_uuid(f"{_of(column)} {number}") for number in range(3)],
    "binary": _binaries,
    "enum": lambda column: list(column.labels),
    "set": lambda column: [",".join(column.labels), "", column.labels[0]],
    "bit": lambda column: [digit * (column.length or 8) for digit in "10"],
    "array": _arrays,
}

# https://www.postgresql.org/docs/current/datatype.html
_BY_NAME: dict[str, Sequence[str]] = {
    "inet": ["10.0.0.1/8", "::1"],
    "cidr": ["10.0.0.0/8", "192.168.0.0/16"],
    "inet4": ["10.0.0.1", "127.0.0.1"],
    "inet6": ["::1", "fe80::1"],
    "macaddr": ["08:00:2b:01:02:03", "08:00:2b:01:02:04"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"],
    "tsvector": ["a b", ""],
    "tsquery": ["a & b", "a"],
    "xml": ["<a/>", "<b/>"],
    "point": ["(1,2)", "(0,0)"],
    "box": ["((1,2),(0,0))"],
    "circle": ["<(0,0),1>"],
    **dict.fromkeys(("int4range", "int8range", "numrange"), ("[1,5)", "empty")),
    **dict.fromkeys(("daterange", "tsrange", "tstzrange"), ("[2024-02-29,2024-03-01)", "empty")),
    "hstore": ["a=>1", ""],
    "ltree": ["a.b", ""],
    "oid": ["1", "2"],
    "name": ["a", "b"],
}


def series(column: Column, start: int) -> Iterator[Any]:
    """Return values for a column that must be unique: enough to get past those already used."""
    make = None if column.labels else _NUMBERED.get(column.kind)
    return (make(column, n) for n in range(1, start + 12)) if make else iter(candidates(column))


def _numbered_text(column: Column, number: int) -> str:
    if column.form:
        return _formed(column, number)
    # The number first: MariaDB's keys may hold only the beginning of a text.
    long = str(_texts(replace(column, labels=()))[0])
    return f"{number}{long}"[: len(long)]


def _numbered_bytes(column: Column, number: int) -> bytes:
    longest = column.length or 300
    # As for texts: the number first, and the table.
    return f"{number} {_own(column, longest)}".encode()[:longest].ljust(column.length or 1, b"\x01")


def _moment(_: Column, number: int) -> str:
    return f"{dt.datetime(2024, 2, 29) + dt.timedelta(number)}"


_NUMBERED: dict[str, Callable[[Column, int], Any]] = {
    **dict.fromkeys(("integer", "numeric", "float"), lambda _, n: n),
    **dict.fromkeys(("text", "char"), _numbered_text),
    "uuid": lambda column, n: _uuid(f"{_of(column)}/{n}"),
    "date": lambda column, n: _moment(column, n)[:10],
    **dict.fromkeys(("datetime", "datetimetz"), _moment),
    "time": lambda _, n: f"01:{n // 60 % 60:02}:{n % 60:02}",
    "binary": lambda column, n: _numbered_bytes(column, n),
    "year": lambda _, n: 1970 + n,
    "interval": lambda _, n: f"{n} days",
    "json": lambda _, n: f'{{"a": {n}}}',
}


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(getattr(value, "value", value))
