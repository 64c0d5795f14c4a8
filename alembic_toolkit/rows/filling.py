"""The state of `fill` while it works, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from alembic_toolkit.rows.tables.table import Tables


@dataclass
class Filled:
    """The result of `fill`: rows written by table, and why a table has none."""

    written: dict[str, int] = field(default_factory=dict)
    returned: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)  # if the server does
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sort:
    """The rows that `fill` makes up: as nasty as the schema allows, or simpler ones."""

    words: str  # "with rows that ..."
    texts: tuple[str, ...] = ()  # values of strings that need not be unique
    form: str = ""  # the form of all strings, from `forms`
    binary: bytes | None = None  # the value of binary columns
    plain: bool = False  # no NULLs, no empty values, no duplicates
    most: int | None = None  # rows of a table


NASTY = Sort("with rows as nasty as the schema allows")
NONE = Sort("with no rows", most=0)
Row = dict[str, Any]


@dataclass
class Filling:
    """The state of `fill` while it works."""

    connection: Connection
    tables: Tables
    seed: int
    given: Mapping[str, Sequence[Mapping[str, Any]]]
    sort: Sort = NASTY
    rows: dict[str, list[Row]] = field(default_factory=dict)  # all rows so far, by table
    filled: Filled = field(default_factory=Filled)
    advanced: set[str] = field(default_factory=set)  # tables whose sequences are past these rows
