"""SQL for PostgreSQL in which every name refers to ``pg_catalog``, whatever the search path is.

A user who may create objects in a schema of the deployer's search path could replace a function, an
operator or a type in our SQL by another one: the server chooses the best match for the arguments.
https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from alembic_toolkit.sql.normal import words

_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | E?'(?:[^']|'')*' | "(?:[^"]|"")*" | :[a-z]+\b | :: | \$\d
      | [A-Za-z_]\w* | \d[\d.]* | \s+ | \|\| | <> | <= | >= | !~ | ~~ | .""",
    re.S | re.X,
)
# Words of the grammar itself that precede a parenthesis
_NOT_CALLED = words(
    "all and any array as by case check coalesce distinct else except exists extract filter from"
    " greatest having if in into join lateral least limit materialized not on or over overlay"
    " position recursive select some substring then trim union using values when where with"
)
# Types named by the grammar, which are those of pg_catalog
_OF_GRAMMAR = words("int integer bigint smallint boolean numeric timestamp varchar char interval")
_OPERATORS = {"=", "<>", "<", ">", "<=", ">=", "||", "!~", "~", "+", "-", "/"}


@lru_cache(maxsize=256)
def pinned(sql: str) -> str:
    """Return SQL with its functions, operators, types and catalogs qualified by pg_catalog.

    It supports only the syntax of our own SQL, which does not use BETWEEN, USING, NULLIF and IS
    DISTINCT FROM, since these look up operators.  Qualified operators bind as tightly as ``||``, so
    a compound expression to the right of a comparison must be in parentheses.
    """
    return "".join(_pinned(_TOKEN.findall(sql)))


def _pinned(tokens: list[str]) -> Iterator[str]:
    cases: list[str] = []  # the operand of each open CASE, if it has one
    position = 0
    while position < len(tokens):
        token, word = tokens[position], tokens[position].lower()
        position += 1
        if word == "case":
            end = next(p for p in range(position, len(tokens)) if tokens[p].lower() == "when")
            cases.append("".join(_pinned(tokens[position:end])).strip())
            yield f"{token} "
            position = end
        elif word == "when" and cases and cases[-1]:
            yield f"{token} {cases[-1]} {_operator('=')}"
        elif word in ("in", "like", "not"):
            text, position = _membership(tokens, position - 1)
            yield text
        else:
            cases = cases[:-1] if word == "end" else cases
            yield _pinned_token(tokens, position - 1)


def _pinned_token(tokens: list[str], position: int) -> str:
    token = tokens[position]
    if token[0].isalpha() or token[0] == "_":
        return f"pg_catalog.{token}" if _is_of_catalog(tokens, position) else token
    if token in _OPERATORS and not _is_sign(tokens, position):
        return _operator(token)
    if token == "::":
        is_plain = _next(tokens, position).lower() in _OF_GRAMMAR
        return token if is_plain else "::pg_catalog."
    if _CATALOG.fullmatch(token) and _is_class(tokens, position):
        return f"'pg_catalog.{token[1:]}"
    return token


_CATALOG = re.compile(r"'pg_\w+'")


def _membership(tokens: list[str], position: int) -> tuple[str, int]:
    """Return the translation of IN, LIKE or a plain NOT, and where the SQL continues."""
    text = "".join(tokens[position : position + 200])
    found = _MEMBERSHIP.match(text)
    if found is None:
        return tokens[position], position + 1
    end = position
    while len("".join(tokens[position:end])) < found.end():
        end += 1
    is_not, is_like, values = found[1], found[2], found[3]
    if is_like:
        return _operator("!~~" if is_not else "~~"), end
    among = f"{_operator('<>')} ALL (" if is_not else f"{_operator('=')} ANY ("
    if values is None:  # a SELECT
        return among, end
    if re.fullmatch(r"(\s*('\w*'|\d+)\s*,?)+", values):
        listed = ",".join(value.strip().strip("'") for value in values.split(","))
        return f"{among}'{{{listed}}}')", end
    return f"{among}ARRAY[{values}])", end


_MEMBERSHIP = re.compile(r"(?i)(not\s+)?(?:(like)\b|in\s*\((?:\s*(?=select\b)|([^()]*)\)))")


def _operator(symbol: str) -> str:
    return f"OPERATOR(pg_catalog.{symbol})"


def _is_noise(token: str) -> bool:
    return token.isspace() or token.startswith(("--", "/*"))


def _next(tokens: list[str], position: int) -> str:
    return next((token for token in tokens[position + 1 :] if not _is_noise(token)), "")


def _before(tokens: list[str], position: int) -> str:
    earlier = (tokens[p] for p in range(position - 1, -1, -1))
    return next((token for token in earlier if not _is_noise(token)), "")


def _is_sign(tokens: list[str], position: int) -> bool:
    """Tell whether the token is the sign of a number."""
    return tokens[position] == "-" and not re.match(r"[\w)\"']", _before(tokens, position))


def _is_class(tokens: list[str], position: int) -> bool:
    return re.match(r"\s*::\s*regclass\b", "".join(tokens[position + 1 : position + 4])) is not None


def _is_of_catalog(tokens: list[str], position: int) -> bool:
    """Tell whether a word names a called function, or a catalog that is read."""
    word = tokens[position].lower()
    if not re.fullmatch(r"[a-z_]\w*", word) or word in _NOT_CALLED:
        return False
    before = _before(tokens, position).lower()
    if before in (".", "::"):
        return False
    following = _next(tokens, position)
    if following == "(":
        is_alias = before in ("as", ")", "recursive", "into") or (
            before.isalpha() and len(word) == 1
        )
        return not is_alias and word not in _OF_GRAMMAR
    return word.startswith("pg_") and before in ("from", "join", ",") and following != "."
