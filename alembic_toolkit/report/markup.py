"""Pieces of HTML that the page and its graph share."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

from alembic_toolkit.report.findings import STYLES, plain


def safe(shown: str) -> str:
    return escape(plain(shown))


def anchor(id_: str) -> str:
    """Return the name of a revision's section; a name has no spaces."""
    return "rev-" + re.sub(r"\s", "_", plain(id_))


def link(id_: str) -> str:
    return escape("#" + quote(anchor(id_)))


def classed(shown: str, status: str) -> str:
    return f"<b class={STYLES[status].kind}>{safe(shown)}</b>"
