"""What a page is made of."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

from alembic_toolkit import proof
from alembic_toolkit.report.said import plain

WORDS = {
    proof.PROVEN: ("ok", "\N{CHECK MARK}"),
    proof.FAULTY: ("bad", "\N{MULTIPLICATION X} finding"),
    proof.EXCEPTED: ("odd", "known"),
    proof.DECLARED: ("odd", "declared"),
    proof.NOT_JUDGED: ("odd", "not judged"),
    proof.NOT_REACHED: ("off", "not reached"),
}


def safe(shown: str) -> str:
    return escape(plain(shown))


def anchor(id_: str) -> str:
    """Return the name of a revision's section; a name has no spaces."""
    return "rev-" + re.sub(r"\s", "_", plain(id_))


def link(id_: str) -> str:
    return escape("#" + quote(anchor(id_)))


def classed(shown: str, status: str) -> str:
    return f"<b class={WORDS[status][0]}>{safe(shown)}</b>"
