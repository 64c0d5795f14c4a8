"""Write SQL as a comment, for readers of a script in which a statement is hidden in a string."""

from __future__ import annotations

import re

MOST = 4_000  # characters of a statement; the rest is in the script anyway

# Characters that clients do not print, or may take for the end of a line or of the file.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def commented(sql: str) -> str:
    """Return SQL as lines that each begin with ``--``, which no client or server executes.

    Such a comment ends with its line, whatever it contains: quotes, ``*/``, a DELIMITER.
    https://dev.mysql.com/doc/refman/8.4/en/comments.html
    """
    shown = sql[:MOST]
    lines = [_CONTROL.sub(" ", line).rstrip() for line in shown.splitlines()]
    if len(sql) > MOST:
        lines.append(f"... and {len(sql) - MOST} characters more")
    return "\n".join(f"-- {line}" for line in lines if line)
