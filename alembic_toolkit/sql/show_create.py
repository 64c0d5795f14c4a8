"""What MariaDB and MySQL answer to SHOW CREATE TABLE, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from alembic_toolkit.sql.create_table import TableText, split_clauses, split_items
from alembic_toolkit.sql.normal import words
from alembic_toolkit.sql.tokens import tokenize, unquoted

NAME = r'(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")'  # in double quotes by sql_mode ANSI_QUOTES
STRING = r"'(?:[^'\\]|\\.|'')*'"
_PIECE = re.compile(rf"({STRING}|{NAME}|[(),])", re.S)


def parse_show_create(sql: str) -> TableText:
    """Split at the commas between the outer parentheses; the texts stay as they are."""
    text = split_items(_PIECE.split(sql))
    return TableText([item.strip() for item in text.items], text.tail)


def with_doubled_quotes(text: str) -> str:
    """Write each quote in a string as two: in checks and the like it has a backslash."""

    def doubled(match: re.Match[str]) -> str:
        if match[0][0] != "'":
            return match[0]
        return re.sub(r"(?s)(\\[^'])|\\'", lambda escape: escape[1] or "''", match[0])

    return re.sub(rf"(?s){NAME}|{STRING}", doubled, text)


_KEY = re.compile(
    rf"(?:CONSTRAINT (?P<name>{NAME}) )?(?P<kind>PRIMARY KEY|FOREIGN KEY|CHECK|(?:\w+ )?KEY)"
    rf"(?: (?P<key>{NAME}))? (?P<text>.*)",
    re.S,
)
_KINDS = {"PRIMARY KEY": "primary key", "FOREIGN KEY": "foreign key"}
_KINDS |= {"CHECK": "check", "UNIQUE KEY": "unique"}


class Part(NamedTuple):
    """A column, a constraint or an index."""

    kind: str  # "" for what is none of these: PERIOD FOR SYSTEM_TIME
    name: str
    text: str  # what follows the name


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
    """A column; of a clause that it does not have the text is empty."""

    type: str
    null: str  # NOT NULL or NULL
    default: str  # DEFAULT ... ON UPDATE ...
    generated: str
    check: str
    comment: str  # what it stands for
    counts: bool  # AUTO_INCREMENT
    is_invisible: bool


# what a column's clauses begin with
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
    """Return what a string literal stands for."""
    escapes = {"n": "\n", "r": "\r", "0": "\0"}
    text = literal[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), text)
