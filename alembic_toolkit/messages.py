"""The parts of a message: the place of the author's call, the four parts, terminal-safe text."""

from __future__ import annotations

import dis
import inspect
import os
import re
from collections.abc import Callable
from types import FrameType
from typing import Any

Spot = tuple[str, int]
"""A file and a line."""

_running: list[Spot] = []


_typed = [""]
_URL = {"pytest --roundtrip": "--roundtrip-url"}


def note_typed(command: str) -> str:
    """Note which command was typed, for messages that suggest a next command.

    :returns: the command that was noted before.
    """
    before, _typed[0] = _typed[0], command
    return before


def typed(otherwise: str) -> str:
    """Return the command that was typed, without its options, or a default if none was.

    :param otherwise: the name of the default command.
    """
    return _typed[0] or f"alembic-toolkit {otherwise}"


def typed_with_url(otherwise: str) -> str:
    """Return the command that was typed, with the option that names a database."""
    command = typed(otherwise)
    return f"{command} {_URL.get(command, '--url')}"


def printable(text: object) -> str:
    """Return a text on one line, without control characters for a terminal: ``\\x1b``, ``\\n``."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def printable_lines(text: object) -> str:
    """Return a text of several lines, with each line made printable."""
    return "\n".join(map(printable, str(text).replace("\t", "    ").split("\n")))


def four_parts(problem: str, shown: tuple[str, str], why: str, *way: str) -> str:
    """Return an error's text: what was requested, what is there and wanted, why, what to do.

    :param problem: it begins with the place of the call.
    """
    has, wants = map(printable, shown)
    code = "\n".join(f"    {printable(line)}" for line in way)
    compared = f"  database has:    {has}\n  revision wants:  {wants}"
    return f"{printable(problem)}\n{compared}\n{printable(why)}\nWhat to do next:\n{code}"


# Places


def is_revisions(frame: FrameType) -> bool:
    """Tell whether a function belongs to a revision's file."""
    names = frame.f_globals
    return "down_revision" in names and "revision" in names


def revision_frames() -> list[FrameType]:
    """Return the running functions of the revision, innermost first."""
    found, frame = [], inspect.currentframe()
    while frame is not None:
        names = frame.f_globals
        if "down_revision" in names and "revision" in names:  # `is_revisions`, without its call
            found.append(frame)
        elif frame.f_code.co_name == "run_migrations" and names["__name__"] == _CALLS_REVISIONS:
            break
        frame = frame.f_back
    return found


_CALLS_REVISIONS = "alembic.runtime.migration"


def calls_more(frame: FrameType) -> bool:
    """Tell whether a function has calls behind the one that is running, or is in a loop."""
    return not _CALLS.isdisjoint(frame.f_code.co_code[frame.f_lasti + _INSTRUCTION :: _INSTRUCTION])


_INSTRUCTION = 2  # bytes, of which the first is the operation
_GOES_ON = re.compile("CALL|BACKWARD|JUMP_ABSOLUTE")
_CALLS = {code for name, code in dis.opmap.items() if _GOES_ON.search(name)}


def place() -> str:
    """Return the running call's place, ``versions/0007_x.py:23``; empty outside of revisions."""
    path, line = _spot()
    return f"{shortest(path)}:{line}" if path else ""


def _spot() -> Spot:
    if _running:
        return _running[-1]
    for frame in revision_frames():
        return frame.f_code.co_filename, frame.f_lineno
    return "", 0


def place_of(error: BaseException) -> str:
    """Return the place of the revision's call that an error came from."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if is_revisions(trace.tb_frame):
            found = f"{shortest(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def at(where: str, problem: str) -> str:
    """Return a problem after its place, if there is one."""
    return f"{where}: {problem}" if where else problem


def keep_place(operation: Any) -> None:
    """Remember where an operation that will run later was requested."""
    operation._toolkit_spot = _spot()


def at_place_of(operation: Any, run: Callable[[Any], Any]) -> Any:
    """Run an operation; its calls appear to come from where it was requested, if that is kept."""
    spot: Spot | None = getattr(operation, "_toolkit_spot", None)
    if spot is None:
        return run(operation)
    _running.append(spot)
    try:
        return run(operation)
    finally:
        _running.pop()


def shortest(path: str) -> str:
    """Return the path relative to the working directory, if that is shorter."""
    try:
        return min(os.path.relpath(path), path, key=len)
    except (OSError, ValueError):  # the directory is gone; another drive of Windows
        return path
