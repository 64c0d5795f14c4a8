"""Write ``docs/demo.svg``, a picture of what ``scripts/demo`` prints.

``scripts/docs --recording`` runs it.
"""

from __future__ import annotations

import re
import tempfile
from html import escape, unescape
from pathlib import Path

from tests.copies import ROOT, copy_repository

PICTURE = ROOT / "docs" / "demo.svg"
BEGINS, ENDS = "# Sample data:", "# Your turn:"  # the part of the demo that is shown
LEFT_OUT = re.compile(r"INFO  (Context impl|Will assume) ")
# What differs from machine to machine.
MASKS = {r"sqlite:///\S*/demo\.db": "sqlite:////home/me/demo.db", r"\d+\.\d+ m?s\b": "0.1 s"}
MASKS[r"(?<=127\.0\.0\.1:)\d+"] = "8000"  # the page takes any free port
# Commands, headings, refusals, and all else; the longest line that has room.
COLOURS = {"$ ": "#7ee787", "# ": "#8b949e", "error: ": "#ffa198", "": "#e6edf3"}
WIDTH, LEADING, MARGIN, LONGEST = 1120, 17, 16, 138


def shown(printed: str) -> list[str]:
    """Return the lines that the picture has of what a demo printed."""
    text = printed[printed.index(BEGINS) : printed.index(ENDS)].rstrip()
    for pattern, put in MASKS.items():
        text = re.sub(pattern, put, text)
    return [line[:LONGEST].rstrip() for line in text.splitlines() if not LEFT_OUT.match(line)]


def read(picture: str) -> list[str]:
    """Return the lines that a picture has."""
    return [unescape(text) for text in re.findall(r"<text [^>]*>(.*)</text>", picture)]


def draw(lines: list[str]) -> str:
    """Return a picture of the lines."""
    height = LEADING * len(lines) + 2 * MARGIN
    rows = []
    for y, line in enumerate(lines):
        colour = next(value for start, value in COLOURS.items() if line.startswith(start))
        place = f'x="{MARGIN}" y="{MARGIN + LEADING * y + 12}" fill="{colour}" xml:space="preserve"'
        rows.append(f"<text {place}>{escape(line, quote=False)}</text>\n")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"\n'
        '  font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n{"".join(rows)}</svg>\n'
    )


def write() -> None:
    """Run the demo in a copy of the repository, and write its picture."""
    with tempfile.TemporaryDirectory() as directory:
        outcome = copy_repository(Path(directory) / "clone").run("scripts/demo")
    assert outcome.status == 0, outcome.printed
    PICTURE.write_text(draw(shown(outcome.printed)), encoding="utf-8")


if __name__ == "__main__":
    write()
