"""The exit statuses of every command: the same one for the same thing.

Those of an interrupt are what shells say of a process that a signal ended: 128 and its number.
https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable
from types import FrameType

FINE = 0
FOUND = 1  # a finding; something that was to be done has failed
UNKNOWN = 2  # the command cannot be read, or what it asks cannot be judged
INTERRUPTED = 130  # by Ctrl-C
UNREAD = 141  # who read the output (`| head`) has closed it: SIGPIPE
TERMINATED = 143  # by SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what runs cleans up, as after Ctrl-C."""


def listen() -> None:
    """Have SIGTERM end this process as Ctrl-C does; only the main thread can ask for that."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def of_interrupt(interrupt: KeyboardInterrupt) -> int:
    """Return the status of a command that was interrupted."""
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def of_all(sound: Iterable[bool], *, judged: bool = True) -> int:
    """Return the status of what was asked of several databases.

    :param sound: of each, whether it is as it should be.
    :param judged: whether every one could be judged.
    """
    if not judged:
        return UNKNOWN
    return FINE if all(sound) else FOUND
