"""The parts of a message: where the author's call is, the four parts, text fit for a terminal."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

Spot = tuple[str, int]
"""A file and a line."""

_kept: WeakKeyDictionary[Any, Spot] = WeakKeyDictionary()  # of what waits for the end of a batch
_running: list[Spot] = []


_typed = [""]
_URL = {"pytest --roundtrip": "--roundtrip-url"}


def note_typed(command: str) -> str:
    """Note which command was typed, for what tells its reader what to type next.

    :returns: the one that was noted before.
    """
    before, _typed[0] = _typed[0], command
    return before


def typed(otherwise: str) -> str:
    """Return the command that was typed, without its options; another if none was.

    :param otherwise: the name of that one.
    """
    return _typed[0] or f"alembic-toolkit {otherwise}"


def typed_with_url(otherwise: str) -> str:
    """Return the command that was typed, with the option that names a database."""
    command = typed(otherwise)
    return f"{command} {_URL.get(command, '--url')}"


def printable(text: object) -> str:
    """Return a text on one line that no terminal takes for a command: ``\\x1b``, ``\\n``."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def printable_lines(text: object) -> str:
    """Return a text of several lines, each of them printable."""
    return "\n".join(map(printable, str(text).replace("\t", "    ").split("\n")))


def four_parts(problem: str, shown: tuple[str, str], why: str, *way: str) -> str:
    """Return an error's text: what was asked, what is there and is wanted, why, what to do.

    :param problem: it begins with the place of the call.
    """
    has, wants = map(printable, shown)
    code = "\n".join(f"    {printable(line)}" for line in way)
    compared = f"  database has:    {has}\n  revision wants:  {wants}"
    return f"{printable(problem)}\n{compared}\n{printable(why)}\nWhat to do next:\n{code}"


# Places


def is_revisions(frame: FrameType) -> bool:
    """Tell whether a function is one of a revision's file."""
    return "revision" in frame.f_globals and "down_revision" in frame.f_globals


def revision_frames() -> Iterator[FrameType]:
    """Yield the running functions of the revision, innermost first."""
    frame = inspect.currentframe()
    while frame is not None:
        if "down_revision" in frame.f_globals and is_revisions(frame):  # most are not: be quick
            yield frame
        frame = frame.f_back


def place() -> str:
    """Return ``versions/0007_x.py:23``, where the running call is; nothing outside of revisions."""
    path, line = _spot()
    return f"{shortest(path)}:{line}" if path else ""


def _spot() -> Spot:
    if _running:
        return _running[-1]
    for frame in revision_frames():
        return frame.f_code.co_filename, frame.f_lineno
    return "", 0


def place_of(error: BaseException) -> str:
    """Return where the call of a revision is that an error came from."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if is_revisions(trace.tb_frame):
            found = f"{shortest(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def at(where: str, problem: str) -> str:
    """Return a problem behind its place, where there is one."""
    return f"{where}: {problem}" if where else problem


def keep_place(operation: Any) -> None:
    """Remember where an operation was asked for that will run later."""
    _kept[operation] = _spot()


@contextmanager
def at_place_of(operation: Any) -> Iterator[None]:
    """Have what is within be called from where the operation was asked for."""
    _running.append(_kept.get(operation) or _spot())
    try:
        yield
    finally:
        _running.pop()


def shortest(path: str) -> str:
    """Return the path as seen from the working directory, where that is shorter."""
    try:
        return min(os.path.relpath(path), path, key=len)
    except (OSError, ValueError):  # the directory is gone; another drive of Windows
        return path
