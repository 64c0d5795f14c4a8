"""What a statement's text says of the rows that it changes, locks, or reads to change others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from alembic_toolkit.prove.locks.seen import tables_in
from alembic_toolkit.prove.statements import read_by
from alembic_toolkit.rows.tables.table import Table
from alembic_toolkit.sql.tokens import code_tokens, is_noise, tokenize, unquoted

_LONGEST = 20_000  # letters that are looked at: after them, there are values
_PART = r"""[\w$]+|"(?:[^"]|"")+"|`(?:[^`]|``)+`"""
_NAME = rf"""(?P<name>(?:{_PART}|\[[^\]]+\])(?:\.(?:{_PART}))*)"""
_CHANGES = re.compile(
    rf"""\b(?P<verb>
      (?<!\bDO\ )(?<!\bKEY\ )(?<!\bFOR\ )(?<!\bON\ )(?<!\bOR\ )(?<!\bBEFORE\ )(?<!\bAFTER\ )
      UPDATE(?=\ (?:(?!;).)*\bSET\b)
    | DELETE(?:\ (?:LOW_PRIORITY|QUICK|IGNORE))*(?:\ [\w$.`*,\ ]+?)?\ FROM
    | INSERT\ (?:\w+\ )*?INTO | REPLACE\ INTO | MERGE\ INTO)
    (?:\ (?:ONLY|LOW_PRIORITY|IGNORE|OR\ \w+))*\ {_NAME}""",
    re.I | re.X,
)
_LOCKS = re.compile(
    rf"\bSELECT\b(?:(?!;).)*?\bFROM {_NAME}(?=(?:(?!;).)*"
    r"\b(?:FOR (?:NO KEY )?UPDATE|FOR SHARE|LOCK IN SHARE MODE)\b)",
    re.I,
)
_SEVERAL = re.compile(r";\s*\S|^(?:DO|CALL|SELECT|WITH)\b", re.I)
# What is kept for later: it changes nothing now.
_KEPT = re.compile(
    r"CREATE (?:OR REPLACE )?(?:DEFINER\S* )?(?:CONSTRAINT )?"
    r"(?:FUNCTION|PROCEDURE|TRIGGER|RULE|EVENT|AGGREGATE|PACKAGE)\b",
    re.I,
)
_VALUE = r"""\(*\s*(?:\w*'|-?\d|[:?$%]|CAST\(|NULL\b)"""
_ONE = rf"""["`\]]?\s*(?:=\s*ANY\b|=\s*\(\s*SELECT\b|(?:=|IN\b|BETWEEN\b)\s*{_VALUE})"""
_ABOVE = rf"""["`\]]?\s*>=?\s*{_VALUE}"""
_BELOW = rf"""["`\]]?\s*<=?\s*{_VALUE}"""
_WHERE = re.compile(r"\bWHERE\b", re.I)
_LIMIT = re.compile(r"\b(?:LIMIT|FETCH\s+(?:FIRST|NEXT))\b", re.I)
_HEAD = re.compile(r"(?:UPDATE\b.*?(?=\bSET\b)|DELETE\b.*?(?=\bWHERE\b|$))", re.I)
_UPSERTS = re.compile(r"\bDO UPDATE\b|\bDUPLICATE KEY UPDATE\b", re.I)


@dataclass(frozen=True)
class Change:
    """A part of a statement that changes rows, or locks them."""

    verb: str  # SELECT: it locks those that it reads
    table: str  # without quotes
    text: str  # from the verb on, in one line, without strings and comments


@lru_cache(maxsize=64)
def in_one_line(sql: str) -> str:
    """Return a statement without comments, with ``'x'`` for each string."""
    tokens = tokenize(sql[:_LONGEST])
    text = "".join("'x'" if t[0] == "'" else " " if is_noise(t) else t for t in tokens)
    return " ".join(text.split())


def changes(sql: str) -> list[Change]:
    """Return what in a statement changes rows: within a block of code, or a WITH, too."""
    text = in_one_line(sql)
    if _KEPT.match(text):
        return []
    return [
        Change(_verb(match), _plain(match["name"]), _up_to_end(text[match.start() :]))
        for pattern in (_CHANGES, _LOCKS)
        for match in pattern.finditer(text)
    ]


def is_several(sql: str) -> bool:
    """Return whether there may be several statements in one: a block of code, or a function's."""
    return _SEVERAL.search(in_one_line(sql)) is not None


def _verb(match: re.Match[str]) -> str:
    return match[0].split()[0].upper()


def _plain(name: str) -> str:
    return ".".join(unquoted(token) for token in code_tokens(name) if token != ".")


def _up_to_end(text: str) -> str:
    """Cut a text where its statement ends, or the parentheses that it stands in."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 0 or (letter == ";" and not depth):
            return text[:position]
    return text


def target(sql: str) -> tuple[str, str]:
    """Return the verb and the table of a statement that changes rows: ``"UPDATE", "bills"``."""
    text = in_one_line(sql)
    if re.match(r"WITH\b", text, re.I):
        at = outside(text)
        found = [m for m in _CHANGES.finditer(text) if at[m.start()] != " "]
        return (_verb(found[-1]), _plain(found[-1]["name"])) if found else ("", "")
    match = _CHANGES.match(text) or _LOCKS.match(text)
    return (_verb(match), _plain(match["name"])) if match else ("", "")


def is_endless(
    sql: str, name: str, tables: Mapping[str, Table], changed: int | None = None
) -> bool:
    """Return whether a statement may change, or lock, any number of a table's rows.

    :param changed: how many it changed, where that is known.
    """
    return any(
        _is_endless(one, tables, changed) for one in changes(sql) if _is_same(one.table, name)
    )


def _is_endless(one: Change, tables: Mapping[str, Table], changed: int | None) -> bool:
    if one.verb in ("INSERT", "REPLACE", "MERGE"):
        upserts = one.verb != "INSERT" or _UPSERTS.search(one.text) is not None
        reads = one.verb == "MERGE" or re.search(r"\bSELECT\b.*\bFROM\b", one.text, re.I)
        return bool(upserts and reads and changed)
    if one.verb == "DELETE" and changed is not None and changed <= 0:
        return False
    return not is_limited(one.text, named(one.table, tables))


def is_limited(text: str, table: Table | None) -> bool:
    """Return whether a part of a statement is about some rows only: by a key, or by a number."""
    where = _WHERE.search(outside(text))
    condition = text[where.end() :] if where else ""
    if _LIMIT.search(condition) or _LIMIT.search(outside(text)):
        return True
    if table is None or not condition:
        return False
    return _limits(_own(condition, text, table), [*_keys(table)])


_QUALIFIED = re.compile(r"""(?<![\w$."`])(["`]?)([\w$]+)\1\.(?=["`\w$])""")


def _own(condition: str, text: str, table: Table) -> str:
    """Return a condition in which only columns of this table have no other table's name."""

    def named_(match: re.Match[str]) -> str:
        name = re.escape(last(table.name))
        alias = rf"""\b{name}["`\]]?\s+(?:AS\s+)?["`]?{re.escape(match[2])}\b"""
        is_own = match[2].lower() == last(table.name).lower() or re.search(alias, text, re.I)
        return "" if is_own else f"{match[2]}$"

    return _QUALIFIED.sub(named_, condition)


def _limits(condition: str, keys: list[tuple[str, ...]]) -> bool:
    either = [*_split(condition, "OR")]
    if len(either) > 1:
        return all(_limits(one, keys) for one in either)
    both = [*_split(condition, "AND")]
    flat = [one for one in both if not one.startswith("(") or outside(one).strip(" ()")]
    if any(all(_is_fixed(column, flat) for column in key) for key in keys):
        return True
    return any(_limits(one[1:-1], keys) for one in both if one not in flat)


def _is_fixed(column: str, parts: list[str]) -> bool:
    one, above, below = (
        any(re.search(rf"(?<![\w$]){re.escape(column)}{p}", part, re.I) for part in parts)
        for p in (_ONE, _ABOVE, _BELOW)
    )
    return one or (above and below)


def _keys(table: Table) -> Iterator[tuple[str, ...]]:
    yield from (key for key in (table.primary, *table.uniques) if key)


def _split(text: str, word: str) -> Iterator[str]:
    """Split a text at a word that is in no parentheses."""
    start = 0
    for match in re.finditer(rf"\b{word}\b", outside(text), re.I):
        yield text[start : match.start()].strip()
        start = match.end()
    yield text[start:].strip()


def outside(text: str) -> str:
    """Blank out what is in parentheses, and keep every position."""
    depth, letters = 0, []
    for letter in text:
        depth -= letter == ")" and depth > 0
        letters.append(" " if depth else letter)
        depth += letter == "("
    return "".join(letters)


def sources(sql: str, tables: Mapping[str, Table]) -> list[Table]:
    """Return the tables of which a statement reads any number of rows to change others."""
    text = in_one_line(sql)
    makes = re.match(r"CREATE (?:TEMP\w* )?TABLE\b", text, re.I) is not None
    start = re.search(r"\bSELECT\b", text, re.I)
    if start is None or not (makes or target(sql)[0] not in ("", "SELECT")):
        return []
    text = text[start.start() :]
    found = {}
    for name in read_by(text):
        table = named(name, tables)
        place = re.search(rf"\b(?:FROM|JOIN)\s+\S*?{re.escape(name)}\b", text, re.I)
        if table is not None and place and not is_limited(_up_to_end(text[place.start() :]), table):
            found[table.name] = table
    return [found[name] for name in sorted(found)]


def joined(sql: str, tables: Mapping[str, Table]) -> list[Table]:
    """Return the tables of which an UPDATE or a DELETE joins any number of rows."""
    text = in_one_line(sql)
    found = (tables[name] for name in _in_head(text, tables))
    return [table for table in found if not is_limited(text, table)]


def is_joined(sql: str, name: str) -> bool:
    """Return whether an UPDATE or a DELETE joins rows of a table."""
    return bool(_in_head(in_one_line(sql), [name]))


def _in_head(text: str, names: Collection[str]) -> list[str]:
    head = _HEAD.match(text)
    several = head and re.search(r"\bJOIN\b|,", outside(head[0]), re.I)
    return tables_in(outside(head[0]), names) if head and several else []


def named(name: str, tables: Mapping[str, Table]) -> Table | None:
    """Return the table that a statement means by a name."""
    by_name = {known.lower(): table for known, table in tables.items()}
    plain = name.lower()
    if found := by_name.get(plain) or by_name.get(plain.rpartition(".")[2]):
        return found
    parts = [unquoted(token) for token in code_tokens(plain) if token != "."]
    return by_name.get(".".join(parts)) or by_name.get(parts[-1] if parts else "")


def says(sql: str, name: str) -> bool:
    """Return whether a statement's text says how it changes a table."""
    return any(_is_same(one.table, name) for one in changes(sql))


def _is_same(name: str, other: str) -> bool:
    return last(name).lower() == last(other).lower()


def split(name: str) -> tuple[str, str]:
    """Return the schema and the name of a table, without their quotes."""
    if '"' not in name and "`" not in name:
        schema, _, plain = name.rpartition(".")
        return schema, plain
    *schemas, plain = [unquoted(token) for token in code_tokens(name) if token != "."]
    return ".".join(schemas), plain


def last(name: str) -> str:
    """Return a name without its schema and its quotes."""
    return split(name)[1]
