"""The exit statuses of all commands: the same status for the same outcome.

Interrupts have the status that shells report for a process ended by a signal: 128 + its number.
https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable
from types import FrameType

FINE = 0
FOUND = 1  # a finding, or something failed
UNKNOWN = 2  # the command is not valid, or its question cannot be answered
INTERRUPTED = 130  # by Ctrl-C
UNREAD = 141  # the reader of the output (`| head`) has closed it: SIGPIPE
TERMINATED = 143  # by SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: running code cleans up, as after Ctrl-C."""


def listen() -> None:
    """Make SIGTERM end this process as Ctrl-C does; only the main thread can request that."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def of_interrupt(interrupt: KeyboardInterrupt) -> int:
    """Return the status of a command that was interrupted."""
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def of_all(sound: Iterable[bool], *, judged: bool = True) -> int:
    """Return the exit status of a command on several databases.

    :param sound: for each database, whether it is as it should be.
    :param judged: whether all of them could be judged.
    """
    if not judged:
        return UNKNOWN
    return FINE if all(sound) else FOUND
