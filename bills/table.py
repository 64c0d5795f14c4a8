"""Lay out text in columns that stay aligned, whatever the text."""

import unicodedata
from collections.abc import Sequence
from decimal import Decimal

Cell = str | int | Decimal | None


def layout(headers: Sequence[str], rows: Sequence[Sequence[Cell]], widest: int = 40) -> str:
    """Return the rows under their headers: numbers to the right, text cut at `widest` columns."""
    cells = [[shorten(show(cell), widest) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(headers, *cells, strict=True)]
    to_right = [
        bool(rows) and all(isinstance(row[i], int | Decimal) for row in rows)
        for i in range(len(headers))
    ]
    lines = [headers, ["-" * wide for wide in widths], *cells]
    return "\n".join("  ".join(map(_pad, line, widths, to_right)).rstrip() for line in lines)


def show(cell: Cell) -> str:
    """Return a cell as text: money with two decimals, nothing for None, no line breaks."""
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return money(cell)
    return printable(str(cell))


def money(amount: Decimal) -> str:
    """Return ``1,234.50``."""
    return f"{amount:,.2f}"


def printable(text: str) -> str:
    """Replace what would move the cursor or end the line with ``?``."""
    return "".join("?" if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}


def width(text: str) -> int:
    """Count the columns that text takes on a terminal: 2 for wide characters, 0 for marks."""
    return sum(map(_columns, text))


def shorten(text: str, widest: int) -> str:
    """Cut text that is too wide, and end it with an ellipsis."""
    if width(text) <= widest:
        return text
    while width(text) > widest - 1:
        text = text[:-1]
    return text + "…"


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _pad(text: str, wide: int, to_right: bool) -> str:
    blank = " " * (wide - width(text))
    return blank + text if to_right else text + blank
