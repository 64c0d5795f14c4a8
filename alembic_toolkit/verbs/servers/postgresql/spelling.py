"""Descriptions in PostgreSQL's catalog that keep the author's spelling of equal expressions."""

from __future__ import annotations

import re

# https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT
# https://www.postgresql.org/docs/current/functions-info.html
SAME = {
    r"CURRENT_TIMESTAMP(?!\()|transaction_timestamp\(\)": "now()",
    r"CURRENT_DATE": "(now())::date",
    r"LOCALTIMESTAMP(?!\()": "(now())::timestamp without time zone",
    r"CURRENT_TIME(?!\()": "(now())::time with time zone",
    r"LOCALTIME(?!\()": "(now())::time without time zone",
    r"CURRENT_ROLE|USER": "CURRENT_USER",
    r"CURRENT_CATALOG": "current_database()",
    r"CURRENT_SCHEMA(?!\()": '"current_schema"()',
}
WORDS = re.compile("|".join(rf"(?<![\w$.])(?P<w{n}>{p})(?![\w$])" for n, p in enumerate(SAME)))
QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")


def one_spelling(text: str) -> str:
    """Return a description in which each of these has one spelling."""
    meant = list(SAME.values())
    pieces = QUOTED.split(text)
    for place in range(0, len(pieces), 2):
        pieces[place] = WORDS.sub(lambda m: meant[int(str(m.lastgroup)[1:])], pieces[place])
    return "".join(pieces)
