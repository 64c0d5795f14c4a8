"""Values and names as SQL: literals, identifiers, dollar quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any


def literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def dollar_quoted(text: str, tag: str = "sql") -> str:
    while f"${tag}" in text:  # its second $ could also be formed at the end of the text
        tag += "_"
    return f"${tag}${text}${tag}$" if tag == "sql" else f"${tag}$\n{text}\n${tag}$"


def in_parentheses(names: Iterable[str | None]) -> str:
    return f"({', '.join(str(name) for name in names)})"


def qualified(table: str, schema: str | None) -> str:
    return f"{schema}.{table}" if schema else table


def filled_in(sql: str, values: dict[str, str]) -> str:
    """Return SQL in which ``:table`` and the like are replaced by literals."""
    pieces = [*_pieces(sql)]
    pieces[1::2] = [values[name] for name in pieces[1::2]]
    return "".join(pieces)


@lru_cache(maxsize=256)
def _pieces(sql: str) -> tuple[str, ...]:
    """Return the text before the first placeholder, its name, the text after it, and so on."""
    return tuple(re.split(r"(?<!:):([a-z]+)\b", sql))


def brief(sql: Any, longest: int = 60) -> str:
    text = " ".join(str(sql).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def postgresql_literal(text: str) -> str:
    """Return a literal that means the same whatever ``standard_conforming_strings`` is.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE
    """
    doubled = text.replace("\\", "\\\\")
    return literal(text) if doubled == text else f" E{literal(doubled)}"


def identifier(mark: str, *parts: str | None) -> str:
    """Return a quoted name, qualified by its schema if one is given.

    :param mark: the server's quote character for identifiers.
    """
    return ".".join(f"{mark}{part.replace(mark, mark * 2)}{mark}" for part in parts if part)


def unescaped_percent(sql: str, dialect: Any) -> str:
    """Return compiled SQL unescaped: for some drivers each ``%`` is doubled."""
    return sql.replace("%%", "%") if dialect.paramstyle in ("format", "pyformat") else sql


# The client turns \r\n into \n, and stops at \0: https://mariadb.com/kb/en/mariadb-command-line-client/
_MYSQL_ESCAPES = str.maketrans({"\\": r"\\", "\r": r"\r", "\0": r"\0"})


def mysql_literal(text: str, has_escapes: bool = True) -> str:
    """Return a literal, see https://mariadb.com/kb/en/sql-mode/#no_backslash_escapes."""
    return literal(text.translate(_MYSQL_ESCAPES) if has_escapes else text)


def comment_clause(text: str | None) -> str:
    return f"COMMENT {literal(text)}" if text else ""
