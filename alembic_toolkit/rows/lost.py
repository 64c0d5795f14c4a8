"""Find the rows and values that a revision lost.

A step (an upgrade, or a downgrade for rows written above it) may not lose what both
schemas can hold: a row, or a value of a column that both have (a column gone and a new one with
its values is a rename; so is a table).

1. NULL may become a value: that is a backfill (0014 of our bills).
2. A value must be equal up to its type: 0.50 is 0.5 (0006), true is 1, '12' is 12. A value may be
   truncated only as far as the new type requires: a string to its length, a number to its last
   digit. If the kind of type changes (string to integer), another value is a conversion; NULL is a
   loss.
3. In a table that the step's own UPDATE or DELETE names, or a child of it, changes by the upgrade
   are intended (0009 moves e-mails to the audit trail): whether the downgrade restores them is
   rule 4. If the statements of a step are unknown, a value may change, but not become NULL or
   shorter, and no row may vanish, unless its values are found elsewhere.
4. After upgrade and downgrade, every earlier row and value is back, including dropped tables and
   columns, even if the change was intended: a revision that cannot restore them must declare itself
   irreversible. Rule 1 applies; of rule 2 only insignificant digits: the last digits of a float,
   fractions of a second, and values other than 0 and 1 of an integer that was made a boolean.
   Truncated strings, cents and times of day are as lost as a dropped column's values.
5. A column that the newer schema lacks, and the downgrade computes again (0008: the sum of the
   payments), is back if at least two different values are back exactly, and the others are neither
   NULL nor damaged copies: generated rows need not be consistent with each other as real ones are.
   If the upgrade created a table and rows were written into it, the column may depend on those:
   then it is enough that not all of its values are equal.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any

from alembic_toolkit.rows.content import Content, Rows
from alembic_toolkit.rows.read import same_json
from alembic_toolkit.rows.tables.table import Column, related, without_strings
from alembic_toolkit.sql.tokens import cut, unquoted


def lost_after_up(before: Rows, after: Rows, deliberate: Collection[str] | None = ()) -> list[str]:
    """Return the rows and values lost by one step, as short lines (rules 1 to 3).

    ``deliberate`` are the tables that the step's own statements change (see `changed_by`), None
    if that is unknown.
    """
    moved = _moves(before, after) if deliberate is None else None
    excused = set[str]()
    if deliberate:
        excused = related({n: c.table for n, c in before.items()}, deliberate)
        folded = {name.lower() for name in excused}
        excused |= {name for name in before if name.lower() in folded}
    lines = []
    changed = (
        item for item in before.items() if item[1].rows and after.get(item[0]) is not item[1]
    )
    for name, content in sorted(changed, key=itemgetter(0)):
        now = _renamed_table(name, content, before, after)
        if now is None or name in excused or now in excused:
            continue
        lines += _compare(content, after[now], moved)
    return lines


def lost_after_down(before: Rows, between: Rows, after: Rows, fed: bool = False) -> list[str]:
    """Return the losses (rule 4): rows before the upgrade, after it, and after both.

    ``fed``: rows were written above into tables that were not there below (rule 5).
    """
    lines = []
    changed = (item for item in before.items() if after.get(item[0]) is not item[1])
    for name, content in sorted(changed, key=itemgetter(0)):
        if name in after:
            now = _renamed_table(name, content, before, between)
            newer = between[now] if now is not None else None
            lines += _compare_back(content, newer, after[name], fed)
        elif content.rows:
            lines.append(f"rows of {name}: {len(content.rows)} before, no such table after")
    return lines


def since(earlier: Rows, now: Rows) -> Rows:
    """Return the rows that were written in between."""
    new = {}
    for name, content in now.items():
        before = earlier.get(name)
        rows = content.rows if before is not content else []
        if rows and before is not None:
            rows = [*(Counter(rows) - Counter(before.rows)).elements()]
        new[name] = Content(content.table, rows)
    return new


_NAME = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[[^\]]+\]|[^\W\d][\w$]*)'
_TABLE = rf"({_NAME}(?:\s*\.\s*{_NAME})?)"
_CHANGE = re.compile(
    r"(?<!\w)(?:(?<!on )(?<!for )(?<!key )UPDATE(?:\s+(?:IGNORE|LOW_PRIORITY|OR\s+\w+))?"
    r"|DELETE\s+FROM|DELETE\s+\w+\s+FROM|TRUNCATE(?:\s+TABLE)?|MERGE\s+INTO|REPLACE\s+INTO"
    rf"|INSERT\s+OR\s+REPLACE\s+INTO)\s+(?:ONLY\s+)?{_TABLE}",
    re.I,
)
_PARTITION = re.compile(
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_TABLE}\s+(?:AT|DE)TACH\s+PARTITION\b", re.I
)
_UNCERTAIN = re.compile(r"^\s*(DO|CALL|EXECUTE|BEGIN\s+NOT|PREPARE)\b", re.I)
_UPSERT = re.compile(rf"INSERT\s+INTO\s+{_TABLE}.*?(?:ON\s+CONFLICT|ON\s+DUPLICATE)", re.I | re.S)


def changed_by(statements: Iterable[str]) -> frozenset[str] | None:
    """Return the tables whose rows these statements change intentionally; None: unknown."""
    found = list[str]()
    for statement in statements:
        plain = re.sub(r"\s+", " ", without_strings(statement)).strip()
        # A function is called for its effects.
        if _UNCERTAIN.match(plain) or re.match(r"SELECT\b(?!.*\bFROM\b).*\w\s*\(", plain, re.I):
            return None
        if re.match(r"(CREATE|ALTER|GRANT|REVOKE|COMMENT)\b", plain, re.I):
            found += _PARTITION.findall(plain)
        else:
            found += _CHANGE.findall(plain) + _UPSERT.findall(plain)
    names = [[*map(unquoted, re.findall(_NAME, name))] for name in found]
    return frozenset(".".join(parts) for name in names for parts in (name, map(cut, name)))


# Renames


def _renamed_table(name: str, content: Content, before: Rows, after: Rows) -> str | None:
    """Return the present name of a table; None if it is gone."""
    if name in after:
        return name
    names = content.table.names
    for other, now in after.items():
        if other not in before and {*now.table.names} >= {*names}:
            positions = [now.index(name) for name in names]
            rows = Counter(tuple(row[at] for at in positions) for row in now.rows)
            if content.rows and not Counter(content.rows) - rows:
                return other
    return None


def _renamed_columns(before: Content, after: Content) -> dict[str, str]:
    """Map the columns that still exist to their present names."""
    old, new = before.table.names, after.table.names
    folded = {name.lower(): name for name in new} | {name: name for name in new}
    present = {name: folded.get(name, folded.get(name.lower())) for name in old}
    same = {name: now for name, now in present.items() if now is not None}
    left = [name for name in new if name not in same.values()]
    for name in old:
        if name in same or not any(value is not None for value in before.values(name)):
            continue
        values = Counter(before.values(name))
        for other in left:
            if not values - Counter(after.values(other)):
                same[name] = other
                left.remove(other)
                break
    return same


# Rows and values


_Pairs = list[tuple[tuple[Any, ...], tuple[Any, ...] | None]]


def _pairs(before: Content, after: Content, same: Mapping[str, str]) -> _Pairs:
    """Pair each row with its later version: by primary key, or by most equal values."""
    key = before.table.primary
    if key and same.keys() >= {*key}:
        now = [same[name] for name in key]
        digits = [
            _digits(before.table.column(a), after.table.column(b))
            for a, b in zip(key, now, strict=True)
        ]
        found = dict(_by_key(after, now, digits))
        pairs: _Pairs = [(row, found.get(values)) for values, row in _by_key(before, key, digits)]
        matches = not pairs or any(row is not None for _, row in pairs)
        if matches or len(after.rows) < len(before.rows):
            return pairs
    return _by_values(before, after, same)


def _by_key(
    content: Content, names: Sequence[str], digits: Sequence[int | None]
) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return each row with its values of these columns, with so many digits of each."""

    def rounded(value: Any, count: int | None) -> str:
        return f"{value:.{count - 1}e}" if count and isinstance(value, Decimal) else _key(value)

    places = [(content.index(name), count) for name, count in zip(names, digits, strict=True)]
    return [(tuple(rounded(row[at], count) for at, count in places), row) for row in content.rows]


def _digits(old: Column | None, new: Column | None) -> int | None:
    """Return how many digits of a float two types have in common; None: all of them."""
    floats = [c.precision or 15 for c in (old, new) if c and c.kind == "float"]
    return min(floats) if floats and old and new and old.type != new.type else None


def _key(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _by_values(before: Content, after: Content, same: Mapping[str, str]) -> _Pairs:
    old = [before.index(name) for name in same]
    new = [after.index(name) for name in same.values()]
    left: dict[Any, list[tuple[Any, ...]]] = {}
    for row in after.rows:
        left.setdefault(tuple(_key(row[at]) for at in new), []).append(row)
    pairs: _Pairs = []
    unpaired = []
    for row in before.rows:
        values = tuple(_key(row[at]) for at in old)
        if left.get(values):
            pairs.append((row, left[values].pop()))
        else:
            unpaired.append((values, row))
    free = [(values, row) for values, rows in left.items() for row in rows]
    least = 1 if before.table.primary else 0
    if len(after.rows) < len(before.rows):
        least = (len(same) + 1) // 2
    return pairs + _by_likeness(unpaired, free, least)


_Keyed = list[tuple[tuple[str, ...], tuple[Any, ...]]]  # values of the common columns, and a row


def _by_likeness(unpaired: _Keyed, free: _Keyed, least: int) -> _Pairs:
    """Pair changed rows with the most similar ones; rows similar to none are gone.

    :param least: how many values must be equal: otherwise a new row could be mistaken for a lost
     one.
    """
    likeness = sorted(
        (
            (sum(a == b != "None" for a, b in zip(one, other, strict=True)), -at, -to)
            for at, (one, _) in enumerate(unpaired)
            for to, (other, _) in enumerate(free)
        ),
        reverse=True,
    )
    found: dict[int, int] = {}
    for alike, at, to in likeness:
        if alike >= least and -at not in found and -to not in found.values():
            found[-at] = -to
    return [
        (row, free[found[at]][1] if at in found else None) for at, (_, row) in enumerate(unpaired)
    ]


def _moves(before: Rows, after: Rows) -> frozenset[str]:
    """Return the values that occur as often as before, in any column."""

    def cells(found: Rows) -> Counter[str]:
        rows = (row for content in found.values() for row in content.rows)
        return Counter(_key(value) for row in rows for value in row if value is not None)

    had, has = cells(before), cells(after)
    return frozenset(value for value, count in had.items() if has[value] >= count)


def _compare(before: Content, after: Content, moved: frozenset[str] | None) -> list[str]:
    """Compare one table before and after a step."""
    name = before.table.name
    same = _renamed_columns(before, after)
    pairs = _pairs(before, after, same)
    gone = [row for row, now in pairs if now is None and not _went(before, row, moved)]
    lines = [_count_line(before, after, len(gone))] if gone else []
    for column, now in same.items():
        old, new = before.table.column(column), after.table.column(now)
        assert old is not None
        assert new is not None
        if old.generated or new.generated or old.volatile:
            continue
        at, to = before.index(column), after.index(now)
        changes = [(row[at], other[to]) for row, other in pairs if other is not None]
        wrong = [
            (was, is_)
            for was, is_ in changes
            if not _held(was, is_, old, new) and not (moved is not None and _mild(was, is_, moved))
        ]
        lines += _value_lines(f"{name}.{column}", wrong)
    return lines


def _went(content: Content, row: tuple[Any, ...], moved: frozenset[str] | None) -> bool:
    """Return whether the values of a row, without its keys, exist elsewhere."""
    if moved is None:
        return False
    keys = {*content.table.references, *content.table.primary}
    cells = zip(content.table.names, row, strict=True)
    texts = [
        value for name, value in cells if name not in keys and isinstance(value, str) and value
    ]
    return bool(texts) and moved.issuperset(texts)


def _mild(was: Any, now: Any, moved: frozenset[str]) -> bool:
    """Return whether a change may be intended, if the statements of a step are unknown."""
    if _key(was) in moved:
        return True
    if now is None:
        return False
    return not (isinstance(was, str) and isinstance(now, str) and was.startswith(now))


def _compare_back(before: Content, between: Content | None, after: Content, fed: bool) -> list[str]:
    """Compare one table before the upgrade and after the downgrade."""
    same = {name: name for name in before.table.names if name in after.table.names}
    pairs = _pairs(before, after, same)
    gone = sum(now is None for _, now in pairs)
    lines = [_count_line(before, after, gone)] if gone else []
    names = _renamed_columns(before, between) if between else {}
    for column in before.table.columns:
        if column.generated or (column.volatile and column.name in same):
            continue
        if column.name not in same:
            lost = [(v, None) for v in before.values(column.name) if v is not None]
            lines += _value_lines(f"{before.table.name}.{column.name}", lost)
            continue
        at, to = before.index(column.name), after.index(column.name)
        changes = [(row[at], now[to]) for row, now in pairs if now is not None]
        newer = between.table.column(names.get(column.name, "")) if between else None
        wrong = [
            (was, now)
            for was, now in changes
            if not _held(was, now, column, column)
            and not (newer is not None and _returned(was, now, column, newer))
        ]
        if newer is None and between is not None and _computed(changes, wrong, fed):
            continue
        lines += _value_lines(f"{before.table.name}.{column.name}", wrong)
    return lines


def _computed(changes: list[tuple[Any, Any]], wrong: list[tuple[Any, Any]], fed: bool) -> bool:
    """Return whether a rebuilt column shows that the downgrade can compute it (rule 5)."""
    right = {_key(was) for was, now in changes if was is not None and (was, now) not in wrong}
    varies = len({_key(now) for _, now in changes}) > 1
    known = len(right) > 1 or (fed and varies)
    return known and not any(now is None or _damaged(was, now) for was, now in wrong)


def _damaged(was: Any, now: Any) -> bool:
    """Return whether a value looks like a damaged copy of another."""
    if isinstance(was, Decimal) and isinstance(now, Decimal):
        return abs(was - now) < 1
    one, two = (re.sub(r"\W", "", _key(value)).casefold() for value in (was, now))
    return not two or (bool(one) and (one.startswith(two) or two.startswith(one)))


def _count_line(before: Content, after: Content, gone: int) -> str:
    counts = f"{len(before.rows)} before, {len(after.rows)} after"
    if len(after.rows) != len(before.rows) - gone:  # others came
        counts += f", {gone} of the former gone"
    return f"rows of {before.table.name}: {counts}"


def _value_lines(name: str, wrong: list[tuple[Any, Any]]) -> list[str]:
    if not wrong:
        return []
    was, now = wrong[0]
    rows = "1 row" if len(wrong) == 1 else f"{len(wrong)} rows"
    return [f"{name}: {_shown(was)} -> {_shown(now)} in {rows}"]


def _shown(value: Any) -> str:
    if value is None:
        return "NULL"
    text = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 48 else f"{text[:30]}... ({len(value)} long)"


# Equal values

_FAMILIES = {
    "number": "integer numeric float boolean year bit",
    "moment": "date datetime datetimetz",
    "text": "text char enum set json uuid",
}
_FAMILY = {kind: family for family, kinds in _FAMILIES.items() for kind in kinds.split()}


def _held(was: Any, now: Any, old: Column, new: Column) -> bool:
    """Return whether a value is another one, converted to a type that may hold less."""
    if was is None or was == now:
        return True
    if now is None:
        return False
    if isinstance(was, Decimal) and isinstance(now, Decimal):
        return _close(was, now, old, new)
    families = _families(old, new)
    if families == {"moment"} and _same_moment(str(was), str(now), old, new):
        return True
    if families in ({"text"}, {"binary"}):
        return _cut_off(_read(was), new) or _same_text(was, now, old, new)
    if families == {"interval"}:
        return _span(str(was)) == _span(str(now))
    return len(families) > 1  # a conversion: another value is its purpose


def _returned(was: Any, now: Any, old: Column, between: Column) -> bool:
    """Return whether a value is back, up to insignificant digits, from another type."""
    if was is None or now is None:
        return was is None
    families = _families(old, between)
    if families <= {"text", "binary"}:
        return _same_text(was, now, old, between)
    if len(families) > 1:
        return bool(_loosely(was) == _loosely(now))
    if families == {"number"}:
        if between.kind == "boolean" and old.kind == "integer" and was not in (0, 1):
            return True
        whole = between.kind not in ("numeric", "float")
        return old.kind == "float" and not whole and _close(was, now, old, between)
    whole = between.kind == "date" and old.kind != "date"
    is_moment = families == {"moment"} and not whole
    return is_moment and _same_moment(str(was), str(now), between, between)


def _families(*columns: Column) -> set[str]:
    return {_FAMILY.get(column.kind, column.kind) for column in columns}


def _loosely(value: Any) -> Any:
    text = _key(value).strip().casefold()
    text = {"true": "1", "t": "1", "false": "0", "f": "0"}.get(text, text)
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _close(was: Decimal, now: Decimal, old: Column, new: Column) -> bool:
    if new.kind == "boolean":
        return was not in (0, 1) or bool(was) == bool(now)
    digits = min((c.precision or 15 for c in (old, new) if c.kind == "float"), default=0)
    if digits and abs(was - now) <= abs(was).scaleb(1 - digits):
        return True
    if new.kind == "integer":
        limit = Decimal(2 ** (new.bits if new.unsigned else new.bits - 1))
    elif new.kind == "numeric" and new.precision:
        limit = Decimal(10) ** (new.precision - (new.scale or 0))
    else:
        return False
    unit = Decimal(1).scaleb(-(new.scale or 0))
    return abs(was) >= limit or (was % unit != 0 and abs(was - now) < unit)


def _read(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _cut_off(was: str, new: Column) -> bool:
    """Return whether a type cannot hold a text."""
    too_long = new.length is not None and len(was) > new.length
    return too_long or (new.kind == "enum" and was not in new.labels)


def _same_text(was: Any, now: Any, old: Column, new: Column) -> bool:
    one, two = _read(was), _read(now)
    if (old.kind == "json") != (new.kind == "json"):
        one, two = _unquoted(one, old), _unquoted(two, new)
    if "char" in (old.kind, new.kind):
        one, two = one.rstrip(" "), two.rstrip(" ")
    if "uuid" in (old.kind, new.kind):
        one, two = (text.replace("-", "").casefold() for text in (one, two))
    if old.kind == "binary" or new.kind == "binary":
        one, two = one.rstrip("\0"), two.rstrip("\0")
    return one == two or (one[:1] in "{[" and two[:1] in "{[" and same_json(one) == same_json(two))


def _unquoted(text: str, column: Column) -> str:
    """Return the text in a JSON string; anything else unchanged."""
    try:
        held = json.loads(text) if column.kind == "json" else None
    except ValueError:
        return text
    return held if isinstance(held, str) else text


_UNITS = {"year": 31104000, "mon": 2592000, "day": 86400}  # as PostgreSQL compares intervals


def _span(text: str) -> Decimal | str:
    """Return the seconds of an interval as PostgreSQL writes it; anything else unchanged."""
    match = re.fullmatch(r"((?:-?\d+ (?:year|mon|day)s? ?)*)([+-]?)([\d:.]*)", text.strip())
    if match is None:
        return text
    words = match[1].split()
    days = sum(
        int(n) * _UNITS[unit.rstrip("s")] for n, unit in zip(words[::2], words[1::2], strict=True)
    )
    time = Decimal(0)
    for part in match[3].split(":"):
        time = time * 60 + Decimal(part or 0)
    return days - time if match[2] == "-" else days + time


def _same_moment(was: str, now: str, old: Column, new: Column) -> bool:
    try:
        one, two = dt.datetime.fromisoformat(_padded(was)), dt.datetime.fromisoformat(_padded(now))
    except ValueError:
        return False
    if new.kind == "date":
        return one.date() == two.date()
    if (one.tzinfo is None) != (two.tzinfo is None):
        one, two = one.replace(tzinfo=None), two.replace(tzinfo=None)
    apart = abs(one - two)
    if "datetimetz" in (old.kind, new.kind) and old.kind != new.kind:
        # The session's time zone: whole quarters of an hour, not a day.
        return apart < dt.timedelta(hours=15) and not apart % dt.timedelta(minutes=15)
    exact = one.microsecond == 0 or (old.precision or 6) <= (new.precision or 6)
    return not apart or (not exact and apart < dt.timedelta(seconds=1))


def _padded(text: str) -> str:
    """Write a fraction of a second with six digits: Python 3.10 parses no others."""
    return re.sub(r"\.(\d{1,6})\d*", lambda m: "." + m.group(1).ljust(6, "0"), text)
