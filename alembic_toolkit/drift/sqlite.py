"""Types that SQLite and SQLAlchemy treat as equal under different names."""

from __future__ import annotations

import re

_SYNONYMS = {"DECIMAL": "NUMERIC", "INT": "INTEGER", "BOOL": "BOOLEAN"}


def same_type(old: str, new: str) -> bool:
    """Tell whether two names stand for the same type."""
    return _plain(old) == _plain(new)


def _plain(type_: str) -> str:
    word, rest = re.match(r"(\w*)(.*)", type_.upper(), re.S).groups()  # type: ignore[union-attr]
    return _SYNONYMS.get(word, word) + re.sub(r"\s", "", rest)
