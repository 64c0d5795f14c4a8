"""SQL as a list of tokens."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
      | (?:[^\W\d]|[^\x00-\x7f])(?:[\w$]|[^\x00-\x7f])* | \d[\w.]* | \s+ | .""",
    re.S | re.X,
)


def tokenize(text: str) -> list[str]:
    return TOKEN.findall(text)


def is_noise(token: str) -> bool:
    return token.isspace() or token.startswith(("--", "/*"))


def unquoted(token: str) -> str:
    """Return an identifier without its quotes."""
    if token[:1] in ('"', "`", "[", "'"):  # SQLite takes a string for a name, where one must be
        quote = token[-1]
        return token[1:-1].replace(quote * 2, quote) if quote != "]" else token[1:-1]
    return token


def significant_tokens(text: str) -> list[str]:
    """Split SQL so that only what means something is left: no white space, case or quotes."""
    words = [
        t if t.startswith("'") else unquoted(t).lower() for t in tokenize(text) if not is_noise(t)
    ]
    return [re.sub(r"^'(-?\d+(\.\d+)?)'$", r"\1", word) for word in words if word != "asc"]


def unqualified(sql: str, table: str) -> str:
    """Return the SQL with the columns of a table named without the table."""
    tokens, kept = tokenize(sql)[::-1], [""]
    while tokens:
        token = tokens.pop()
        name = unquoted(token) if token[:1] in ('"', "`", "[") else token
        if tokens[-1:] == ["."] and name == table and kept[-1] != ".":
            tokens.pop()
        else:
            kept.append(token)
    return "".join(kept)


def contains_word(text: str, name: str) -> bool:
    """Tell whether a name, or a word like it, is anywhere in SQL."""
    tokens = (token for token in tokenize(text) if not is_noise(token) and token[0] != "'")
    return any(unquoted(token).lower() == name.lower() for token in tokens)


def closing_parenthesis(tokens: list[str]) -> int:
    """Return the position of the parenthesis that closes the first one."""
    depth = 0
    for position, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == ")" and depth == 0:
            return position
    return len(tokens)


def names_in(tokens: list[str]) -> list[str]:
    """Return the names in the first parentheses."""
    inside = tokens[tokens.index("(") + 1 : closing_parenthesis(tokens)] if "(" in tokens else []
    starts = [0] + [position + 1 for position, token in enumerate(inside) if token == ","]
    return [unquoted(inside[start]) for start in starts] if inside else []
