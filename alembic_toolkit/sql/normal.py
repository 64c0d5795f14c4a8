"""One spelling for texts of SQL that mean the same, whatever space, quotes and case they have."""

from __future__ import annotations

import re
from collections.abc import Collection


def words(text: str, separator: str | None = None) -> frozenset[str]:
    return frozenset(text.split(separator))


# Reserved everywhere: only as quoted names can these be names.
RESERVED = words(
    "add all alter and as asc between by case check column constraint create current_date"
    " current_time current_timestamp default delete desc distinct drop else exists for foreign from"
    " grant group having if in index insert integer int into is join key left like limit not null"
    " on or order primary references select set table then to trigger union unique update using"
    " values varchar varchar2 char numeric decimal when where with cascade restrict bigint smallint"
    " double float auto_increment"
)


_SQLITE_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
    | [^\W\d][\w$]* | [\d.]+(?:e[+-]?\d+)? | ->>|->|\|\||<<|>>|<=|>=|<>|!=|== | .""",
    re.S | re.X | re.I,
)
_SPACED_BEFORE_PARENTHESIS = words(
    "in and or not check as values references over when then else like between is where from on"
    " select by join using exists case"
)


def sqlite_tokens(sql: str) -> list[str]:
    return [match[0] for match in _SQLITE_TOKEN.finditer(sql) if not match["skip"]]


def name_of(token: str) -> str:
    """Return the name that a token is, without its quotes."""
    if token[0] not in "\"'`[":
        return token
    quote = token[-1]
    return token[1:-1] if quote == "]" else token[1:-1].replace(quote * 2, quote)


def quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else '"' + name.replace('"', '""') + '"'


def text(tokens: list[str], fold: bool = True, columns: Collection[str] = ()) -> str:
    """Write tokens in one way, whatever white space, quotes and letter case the author chose."""
    text = ""
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        if token[0] in '"`[':
            name = name_of(token)
            token = quoted(name.lower() if name.lower() in columns else name)
        elif token[0] != "'" and (fold or token.lower() in RESERVED):
            token = token.lower()
        text += _gap(before, token, tokens[place - 2] if place > 1 else "") + token
    return text


def _gap(before: str, token: str, earlier: str) -> str:
    """Return the white space between two tokens."""
    if not before or before in "(." or token in "),.;":
        return ""
    if token == "(" and (before[0].isalnum() or before[0] in '_"`['):
        return " " if before.lower() in _SPACED_BEFORE_PARENTHESIS else ""
    sign = before in "+-" and (not earlier or not (earlier[-1].isalnum() or earlier[-1] in "_)'\""))
    return "" if sign else " "


def bare(tokens: list[str]) -> list[str]:
    """Strip parentheses around the whole."""
    while len(tokens) > 2 and tokens[0] == "(" and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def closing(tokens: list[str], start: int) -> int:
    """Return where the parenthesis at ``start`` is closed."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += (tokens[place] == "(") - (tokens[place] == ")")
        if not depth:
            return place
    return len(tokens) - 1


def listed(tokens: list[str]) -> list[list[str]]:
    """Split at the commas that are in no parentheses."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]
