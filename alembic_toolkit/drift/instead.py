"""The other repair of a difference: in the models, where the database is right."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 20  # lines; all differences are listed anyway


def in_the_models(lines: Iterable[str]) -> list[str]:
    """Return what to add to the models and what to change there, from the lines of a comparison.

    What only the models have is left out: for that a revision is to be written.
    """
    found = [
        f"add {line[2:]}" if line[0] == "-" else f"change {line[2:].partition(': ')[0]}"
        for line in lines
        if line[0] in "-~"
    ]
    found = [*dict.fromkeys(found)]
    more = len(found) - MOST
    return [*found[:MOST], *([f"and {more} more"] if more > 0 else [])]
