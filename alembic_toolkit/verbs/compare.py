"""Compare two definitions.  Nothing here asks a database."""

from __future__ import annotations

import re

from alembic_toolkit.sql.tokens import significant_tokens
from alembic_toolkit.verbs.values import Definition, Server

DATED = r"'\d[\d .:+-]+'"


def is_same(server: Server, one: str, other: str) -> bool:
    """Compare two descriptions, token by token unless the server normalizes them."""
    if other.endswith(" NOT VALID"):  # it has been validated since
        one, other = one.removesuffix(" NOT VALID"), other.removesuffix(" NOT VALID")
    if moment := re.search(r"(?<=DEFAULT )'(?:now|today|tomorrow|yesterday)'", other):
        one = re.sub(rf"(?<=DEFAULT ){DATED}", moment[0], one, count=1)
    if one == other:
        return True
    if server.normal_forms:
        return server.one_spelling(one) == server.one_spelling(other)
    return significant_tokens(one) == significant_tokens(other)


def differing_keys(server: Server, has: Definition, wants: Definition) -> list[str]:
    """Return the wanted properties in which the two differ."""
    fold = server.fold if server.folds_case else str
    there = {fold(key): value for key, value in has.items()}
    return [
        key
        for key, value in wants.items()
        if fold(key) not in there or not is_same(server, there[fold(key)], value)
    ]


def must_be_given(column: str) -> bool:
    """Tell whether a row can be inserted only with a value for this column."""
    return "NOT NULL" in column and not re.search("DEFAULT|AUTO_INCREMENT|GENERATED", column)


def described_as(definition: Definition) -> str:
    hidden = ("constraint", "oid")
    return " ".join(value for key, value in definition.items() if value and key not in hidden)


def describe_parts(definition: Definition, keys: list[str]) -> str:
    parts = [f"{key} {definition.get(key, '(none)')}".strip() for key in keys]
    return "; ".join(parts)
