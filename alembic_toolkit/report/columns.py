"""Text in the columns of a terminal: measure, cut, pad and wrap it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def width_of(shown: str) -> int:
    """Count the columns that a text takes on a terminal."""
    return sum(map(_column, shown))


def _column(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def pad(shown: str, width: int) -> str:
    return shown + " " * (width - width_of(shown))


def _take(letters: Iterable[str], width: int) -> str:
    taken = ""
    for letter in letters:
        width -= _column(letter)
        if width < 0:
            break
        taken += letter
    return taken


def cut(shown: str, width: int) -> str:
    """Return the text shortened to a width; ids differ at their ends, so the middle is cut."""
    if width_of(shown) <= width:
        return shown
    if width < 8:
        return _take(shown, width)
    tail = _take(reversed(shown), (width - 2) // 2)[::-1]
    return f"{_take(shown, width - 2 - width_of(tail))}..{tail}"


def wrap(shown: str, width: int, indent: str = "", hang: str = "") -> list[str]:
    """Return lines that fit, broken between words; a word longer than a line is cut.

    :param hang: the further indentation of the second line of a long one.
    """
    lines = []
    for line in shown.split("\n"):
        own = indent + " " * min(len(line) - len(line.lstrip()), 8)
        lines += _wrap_line(line.strip(), width, own, own + hang)
    return lines


def _wrap_line(shown: str, width: int, indent: str, following: str) -> list[str]:
    lines, current = [], indent
    for word in shown.split(" "):
        spaced = current + (" " if current.strip() else "") + word
        if width_of(spaced) > width and current.strip():
            lines.append(current)
            spaced = following + word
        current = spaced
        while width_of(current) > width:
            lines.append(_take(current, width))
            current = following + current[len(lines[-1]) :]
    return [*lines, current.rstrip()]
