"""Attempts after a failed step: simpler rows, fewer, none; and the checks without that step.

A revision that reads rows may rely on what the application writes. The server does not know which
strings must be JSON; and a revision that refuses rows with a clear error is not faulty. In any
case, everything else is judged with the first rows with which the step succeeds.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import re
import traceback
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from alembic.script import Script
from sqlalchemy.exc import DBAPIError, IntegrityError

from alembic_toolkit.database.errors import is_of_rows
from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Running
from alembic_toolkit.rows.filling import NASTY, NONE, Sort
from alembic_toolkit.rows.tables.table import strings_in

Part = tuple[str, bool]  # a check, and whether it is about upgrade()

# The steps that other rows may help.
DEPENDS_ON_ROWS = (results.UP, results.DOWN, results.UP_AGAIN)


class Ended(Exception):
    """A step that took too long, or ended its process: it is not run again."""


@dataclass(frozen=True)
class Failure:
    """A step that failed, and the rows in the database."""

    error: BaseException
    running: Running
    executed: list[str]
    sort: Sort


@dataclass
class Attempt:
    """How one revision is being proven: with which rows, and without which of its steps."""

    position: int
    sort: Sort = NASTY
    is_gentle_above: bool = False  # rows are of that sort above the revision as well
    left: list[Sort] | None = None  # what to try next
    upgraded: Sort | None = None  # with which the upgrade ran first
    failures: list[Failure] = field(default_factory=list)
    skipped: set[Part] = field(default_factory=set)

    @property
    def above(self) -> Sort:
        """Return the sort of the rows to write after the revision has run."""
        return self.sort if self.is_gentle_above else NASTY

    @property
    def is_first(self) -> bool:
        return not self.failures and not self.skipped

    @property
    def is_probe(self) -> bool:
        """Return whether this only finds out if the rows are to blame."""
        return self.sort is NONE and bool(self.left)

    def failures_of(self, check: str) -> list[Failure]:
        return [failure for failure in self.failures if failure.running.check == check]

    def gentler(self, failure: Failure, sorts: Iterable[Sort]) -> bool:
        """Choose simpler rows; return False if there are no more to try.

        :param sorts: what there is to be tried.
        """
        is_below = failure.running.check == results.UP
        if not (is_below or self.is_gentle_above or self.sort is NASTY):
            self.is_gentle_above = True
            return True
        if self.sort is NONE:
            self.left = [] if is_below else self.left  # it has nothing to do with rows
            return False
        self.left = [*sorts] if self.left is None else self.left
        self.next()
        self.is_gentle_above = not is_below
        return True

    def next(self) -> None:
        """Choose the next sort of rows."""
        assert self.left
        self.sort, *self.left = self.left

    def without(self, check: str, up: bool, asked: Collection[str]) -> int:
        """Omit a step that cannot be judged or observed; return the position to continue at.

        :param asked: the checks that are made.
        """
        parts = {
            results.DOWN: (results.DOWN, False),
            results.UP_AGAIN: (results.DOWN, False),  # its upgrade can be run again all the same
        }
        part = parts.get(check, (check, up))
        is_more = part[0] != results.DOWN or results.RERUN in asked
        if part in (_LAST, (results.UP, True)) or part in self.skipped or not is_more:
            return self.position + 1
        if part[0] not in (results.DOWN, results.RERUN, results.OFFLINE):
            return self.position + 1
        self.skipped.add(part)
        self.sort, self.is_gentle_above, self.left = self.upgraded or NASTY, False, None
        return self.position


_LAST = (results.RERUN, True)


# Which rows to try


LEARNED = Sort("with texts that its new types allow")
PLAIN = Sort("with rows in which nothing is NULL, empty or twice", plain=True)
ONE = Sort("with one row in each table", plain=True, most=1)


def sorts(
    failure: Failure, script: Script, learned: bool, labels: Collection[str] = ()
) -> list[Sort]:
    """Return the rows to try, the nastiest first, none at last.

    :param learned: the failed step tells which texts columns are to hold.
    :param labels: those of an enum that the error names.
    """
    error = failure.error
    if refuses(error, script) or isinstance(error, Ended):
        return [NONE]
    expected = [LEARNED] if learned else []
    expected += [*_expected(failure, script, labels)]
    plain = [replace(one, words=f"{one.words}, and nothing NULL", plain=True) for one in expected]
    gentler = [*expected, PLAIN, *plain, ONE, NONE]
    # An error of another sort may have nothing to do with rows.
    return gentler if is_of_rows(error) else [NONE, *gentler]


def refuses(error: BaseException, script: Script) -> bool:
    """Return whether the revision itself raised an error."""
    last = [*traceback.extract_tb(error.__traceback__)][-1:]
    here = any(Path(frame.filename).resolve() == Path(script.path).resolve() for frame in last)
    return here and any((frame.line or "").startswith("raise ") for frame in last)


def _expected(failure: Failure, script: Script, labels: Collection[str]) -> Iterator[Sort]:
    """Yield rows with values that a revision seems to expect, from its statements and error."""
    error = failure.error
    words = f"{type(error).__name__}: {error}".lower()
    is_server = isinstance(error, DBAPIError)
    named = [*labels, *_members(error, script), *_listed(failure)]
    if named:
        shown = ", ".join(map(repr, named[:3])) + (", ..." if len(named) > 3 else "")
        yield Sort(f"with {shown} in texts", texts=tuple(dict.fromkeys(named)))
    if "json" in words or not is_server:
        yield from (
            Sort(f"with {text!r} in texts, as it wants JSON there", (text,)) for text in _JSON
        )
    if re.search(r"\buuid\b|hexadecimal", words):
        yield Sort("with UUIDs in texts", form="uuid")
    if re.search(r"integer|numeric|double|decimal|float|\bint\b|number", words):
        yield Sort("with numbers in texts", form="number")
    if re.search(r"\b(iso)?dates?\b|isoformat|strptime|time data", words):
        yield Sort("with dates in texts", form="date")
    if re.search(r"\b(date)?time(stamp)?\b|isoformat|strptime", words):
        yield Sort("with moments in texts", form="moment")
    for pattern, texts in _WRITTEN.items():
        if re.search(pattern, words):
            yield Sort(f"with {texts[0]!r} in texts", texts)
    for name, made in _BINARY.items():
        if re.search(name, words):
            yield Sort(f"with bytes of {name.partition('|')[0]}", binary=made)


_JSON = ("{}", "[]")
# By the words of the error: how what it wants is written.
_WRITTEN = {
    r"\bbool": ("true", "false"),
    r"type (inet|cidr)": ("10.0.0.0/8", "192.168.0.0/16"),
    r"ipv4|inet4": ("10.0.0.1", "10.0.0.2"),
    r"macaddr": ("08:00:2b:01:02:03",),
    r"type interval": ("1 day", "2 days"),
    r"array literal": ("{}",),
    r"base64|base 64|incorrect padding|ascii characters": ("QUFB", "QQ=="),
    r"\bxml\b": ("<a/>",),
    r"type point": ("(1,2)",),
    r"non-hexadecimal": ("0a", "0b"),
}
_OBJECT = json.dumps({"a": 1})
# By the words of the error: what can be decompressed or decoded.
_BINARY = {
    "zlib|incorrect header": zlib.compress(_OBJECT.encode()),
    "gzip": gzip.compress(_OBJECT.encode(), mtime=0),
    "bz2|invalid data stream": bz2.compress(_OBJECT.encode()),
    "lzma": lzma.compress(_OBJECT.encode()),
    "pickl|ran out of input|eoferror": pickle.dumps({"a": 1}),
    "UTF-8|utf|decode": _OBJECT.encode(),
}


def _listed(failure: Failure) -> list[str]:
    """Return the strings that the statements allow: in an enum, or in a list."""
    statement = getattr(failure.error, "statement", None) or ""
    sql = " ".join([*failure.executed, statement])
    lists = re.findall(r"\b(?:ENUM|IN)\s*\(((?:'(?:[^']|'')*'|[^()'])*)\)", sql, re.I)
    return [text for one in lists for text in strings_in(one)]


def _members(error: BaseException, script: Script) -> list[str]:
    """Return the values of the Python enum in which an error misses one."""
    match = re.search(r"is not a valid (?:[\w.]+\.)?(\w+)$", str(error))
    found = getattr(script.module, match[1], None) if match else None
    is_enum = isinstance(found, type) and issubclass(found, Enum)
    return [str(one.value) for one in found] if is_enum else []  # type: ignore[union-attr]


# What a failure is worth


def allowed(error: BaseException) -> bool:
    """Return whether a revision fails on values the schema allows: NULL, or duplicates."""
    return isinstance(error, IntegrityError) or "NoneType" in str(error)


def worst(failures: list[Failure]) -> Failure:
    """Return the failure to report: what the schema allows counts more than a form of texts."""
    return next((one for one in failures if allowed(one.error)), failures[0])


def excuse(failures: list[Failure], passed: Sort, script: Script) -> str:
    """Return why failures are no fault, if the revision needs its own rows; empty: they are.

    :param failures: of one check.
    :param passed: the rows with which it does not fail.
    """
    first = failures[0].error
    words = " ".join(str(getattr(first, "orig", None) or first).split())[:200]
    if passed.words.startswith(LEARNED.words):
        return f"proven {passed.words}: {words}"
    # On plain texts it runs: it is NULL, the empty text or a value twice that it cannot have.
    if passed is PLAIN or any(allowed(failure.error) for failure in failures):
        return ""
    if refuses(first, script) and passed is NONE:
        return f"it refuses rows such as ours, and is proven without: {words}"
    if passed.texts or passed.binary is not None or passed.form in ("uuid", "date", "moment"):
        return f"proven {passed.words}: {words}"
    # What fails on plain texts as well, and not on NULL or an empty one, wants another form. A
    # number is what a text may turn out not to be.
    is_own = isinstance(first, ValueError) and passed is NONE and not _OF_NUMBERS.search(words)
    # The revision may want JSON, or labels, in the application's own form, which we do not know.
    if is_own or isinstance(first, _OWN_FORM) or type(first).__module__ in _OWN_MODULES:
        how = "proven without" if passed is NONE else f"proven {passed.words}"
        return f"it refuses rows such as ours, and is {how}: {words}"
    return ""


_OF_NUMBERS = re.compile(r"invalid literal for int|could not convert string to float")
_OWN_FORM = (json.JSONDecodeError, LookupError, UnicodeError, EOFError, OSError)
_OWN_MODULES = ("zlib", "lzma", "_lzma", "gzip", "pickle", "_pickle", "binascii", "struct")
