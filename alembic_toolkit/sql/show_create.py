"""Parse the output of SHOW CREATE TABLE on MariaDB and MySQL."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from alembic_toolkit.sql.create_table import TableText, split_clauses, split_items
from alembic_toolkit.sql.normal import words
from alembic_toolkit.sql.tokens import tokenize, unquoted

NAME = r'(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")'  # in double quotes by sql_mode ANSI_QUOTES
STRING = r"'(?:[^'\\]|\\.|'')*'"
_PIECE = re.compile(rf"({STRING}|{NAME}|[(),])", re.S)


def parse_show_create(sql: str) -> TableText:
    """Split at the commas within the outer parentheses; the texts are not changed."""
    text = split_items(_PIECE.split(sql))
    return TableText([without_versions(item.strip()) for item in text.items], text.tail)


_VERSION = re.compile(rf"(?P<keep>{STRING}|{NAME})|/\*!\d+ (?P<text>.*?) ?\*/", re.S)


def without_versions(item: str) -> str:
    """Remove the comment around what only newer servers know: ``/*!80016 NOT ENFORCED */``."""
    return _VERSION.sub(lambda m: m["keep"] or m["text"], item) if "/*!" in item else item


def with_doubled_quotes(text: str) -> str:
    """Write each quote in a string as two: in checks and the like it has a backslash."""

    def doubled(match: re.Match[str]) -> str:
        if match[0][0] != "'":
            return match[0]
        return re.sub(r"(?s)(\\[^'])|\\'", lambda escape: escape[1] or "''", match[0])

    return re.sub(rf"(?s){NAME}|{STRING}", doubled, text)


def as_meant(expression: str) -> str:
    """Return an expression, which MySQL shows escaped as in a string, each byte as a character."""
    with suppress(UnicodeError):  # not a byte: this server shows characters unchanged
        expression = expression.encode("latin-1").decode()
    return re.sub(r"\\([\\'])", r"\1", expression)


_BEYOND = re.compile("[\U00010000-\U0010ffff]")


def with_lost_characters(item: str, expressions: list[str]) -> str:
    """Restore the characters that MySQL's SHOW CREATE TABLE shows as question marks.

    These are four-byte characters in expressions of checks, defaults, generated columns, indexes.

    :param expressions: the expressions in INFORMATION_SCHEMA.
    """
    for text in map(as_meant, expressions):
        meant = with_doubled_quotes(text)
        item = item.replace(_BEYOND.sub("????", meant), meant)
    return item


_KEY = re.compile(
    rf"(?:CONSTRAINT (?P<name>{NAME}) )?(?P<kind>PRIMARY KEY|FOREIGN KEY|CHECK|(?:\w+ )?KEY)"
    rf"(?: (?P<key>{NAME}))? (?P<text>.*)",
    re.S,
)
_KINDS = {"PRIMARY KEY": "primary key", "FOREIGN KEY": "foreign key"}
_KINDS |= {"CHECK": "check", "UNIQUE KEY": "unique"}


class Part(NamedTuple):
    """A column, a constraint or an index."""

    kind: str  # "" for anything else: PERIOD FOR SYSTEM_TIME
    name: str
    text: str  # the text after the name


def read_part(item: str) -> Part:
    if column := re.match(rf"({NAME}) (.*)", item, re.S):
        return Part("column", unquoted(column[1]), column[2])
    match = _KEY.fullmatch(item)
    if match is None:
        return Part("", "", item)
    kind, name = match["kind"], unquoted(match["name"] or match["key"] or "")
    if kind in _KINDS:
        return Part(_KINDS[kind], name, match["text"])
    return Part("index", name, f"{kind[:-3]}{match['text']}")  # FULLTEXT, SPATIAL, VECTOR


@dataclass(frozen=True)
class Column:
    """A column; the text of a missing clause is empty."""

    type: str
    null: str  # NOT NULL or NULL
    default: str  # DEFAULT ... ON UPDATE ...
    generated: str
    check: str
    comment: str  # its unquoted value
    counts: bool  # AUTO_INCREMENT
    is_invisible: bool


# words that begin a column's clauses
CLAUSES = words("NOT NULL DEFAULT AUTO_INCREMENT ON COMMENT GENERATED CHECK INVISIBLE")


def read_column(item: str) -> Column:
    first, *clauses = split_clauses(with_doubled_quotes(item), CLAUSES)
    found = {clause.split()[0].upper(): clause.strip() for clause in clauses}
    default = found.get("DEFAULT", "").removesuffix("DEFAULT NULL")
    return Column(
        type=first.removeprefix(tokenize(first)[0]).strip(),
        null="NOT NULL" if "NOT" in found else "NULL",
        default=f"{default} {found.get('ON', '')}".strip(),
        generated=found.get("GENERATED", ""),
        check=found.get("CHECK", ""),
        comment=value_of(found.get("COMMENT", "").removeprefix("COMMENT ")),
        counts="AUTO_INCREMENT" in found,
        is_invisible="INVISIBLE" in found,
    )


def value_of(literal: str) -> str:
    """Return the value of a string literal."""
    escapes = {"n": "\n", "r": "\r", "0": "\0"}
    text = literal[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), text)
