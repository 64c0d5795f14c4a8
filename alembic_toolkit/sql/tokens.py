"""SQL as a list of tokens."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?(?:\*/|\Z) | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*`
      | \[[^\]]*\] | (?:[^\W\d]|[^\x00-\x7f])(?:[\w$]|[^\x00-\x7f])*
      | \.?\d(?:[\d.]*[eE][+-]\d+|[\w.]*) | \s+ | ->> | -> | \|\| | << | >> | [<>!=]= | <> | .""",
    re.S | re.X,
)


def tokenize(text: str) -> list[str]:
    return TOKEN.findall(text)


def is_noise(token: str) -> bool:
    return token.isspace() or token.startswith(("--", "/*"))


def code_tokens(text: str) -> list[str]:
    """Split SQL into tokens, without white space and comments."""
    return [token for token in tokenize(text) if not is_noise(token)]


def from_first_word(sql: str) -> str:
    """Return a statement without leading white space and comments."""
    if not sql.lstrip().startswith(("--", "/*")):
        return sql.lstrip()
    tokens = tokenize(sql)
    first = next((n for n, token in enumerate(tokens) if not is_noise(token)), len(tokens))
    return "".join(tokens[first:])


def unquoted(token: str) -> str:
    """Return an identifier without its quotes."""
    if token[:1] in ('"', "`", "[", "'"):  # SQLite accepts a string where a name is required
        quote = token[-1]
        return token[1:-1].replace(quote * 2, quote) if quote != "]" else token[1:-1]
    return token


def cut(name: str) -> str:
    """Return a name as PostgreSQL truncates it; other servers refuse a name of that length.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
    """
    return name.encode()[:63].decode(errors="ignore") if len(name) > 15 else name


def significant_tokens(text: str) -> list[str]:
    """Split SQL into meaningful tokens, ignoring white space, case and quotes."""
    words = [t if t.startswith("'") else unquoted(t).lower() for t in code_tokens(text)]
    return [re.sub(r"^'(-?\d+(\.\d+)?)'$", r"\1", word) for word in words if word != "asc"]


def unqualified(sql: str, table: str) -> str:
    """Return SQL in which a table's columns are not qualified by the table."""
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
    """Tell whether a name, or a similar word, occurs anywhere in SQL."""
    tokens = (token for token in code_tokens(text) if token[0] != "'")
    return any(unquoted(token).lower() == name.lower() for token in tokens)


def closing_parenthesis(tokens: list[str]) -> int:
    """Return the position of the parenthesis that closes the first one."""
    depth = 0
    for position, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == ")" and depth == 0:
            return position
    return len(tokens)


def split_parentheses(tokens: list[str]) -> tuple[list[str], list[str]]:
    """Return the content of the first parentheses and the rest; all of it, if there are none."""
    if "(" not in tokens:
        return [], tokens
    end = closing_parenthesis(tokens)
    return tokens[tokens.index("(") + 1 : end], tokens[end + 1 :]


def without_parentheses(tokens: list[str]) -> list[str]:
    """Strip parentheses around the whole text."""
    while len(tokens) > 2 and tokens[0] == "(" and closing_parenthesis(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def split_list(tokens: list[str]) -> list[list[str]]:
    """Split at the commas that are not in parentheses."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def names_in(tokens: list[str]) -> list[str]:
    """Return the names in the first parentheses."""
    return [unquoted(part[0]) for part in split_list(split_parentheses(tokens)[0])]
