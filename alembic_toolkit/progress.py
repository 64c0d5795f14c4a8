"""Show the progress of databases: on a terminal, as one line that is redrawn and finally removed.

A log gets one line for each database when it is done.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import TextIO

_PERIOD = 0.1  # seconds between two drawings: more would only flicker
_NARROW = 20  # the minimum width to assume for a terminal, in columns
_BAR = 20  # columns


@dataclass
class _State:
    """The progress of one database."""

    started: float
    changed: float
    done: int
    total: int
    what: str
    is_logged: bool = False

    @property
    def is_through(self) -> bool:
        return self.done >= self.total

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total) if self.total > 0 else 1.0

    def left(self, now: float) -> float | None:
        """Return the estimated remaining seconds, from the time taken so far."""
        if not self.done or now - self.started < 1:
            return None
        # Nothing is known since the last update, except the time since then.
        pace = (self.changed - self.started) / self.done
        return max(0.0, pace * (self.total - self.done) - (now - self.changed))


class Progress:
    """A line on a terminal that several threads can update::

        with Progress() as progress:
            progress.update("postgresql", 120, 345, "0120_add_due_date")

    Other output to the same terminal is overwritten meanwhile; print after `close`.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = is_terminal(self._stream)
        self._states: dict[str, _State] = {}
        self._shown = ""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._drawer = threading.Thread(target=self._draw_on, daemon=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, database: str, done: int, total: int, what: str = "") -> None:
        """Record that a database has done this many of all steps, and is at `what`."""
        with self._lock:
            now = time.monotonic()
            state = self._states.setdefault(database, _State(now, now, 0, total, what))
            if done != state.done:
                state.changed = now
            state.done, state.total, state.what = done, total, what
            if self._closed.is_set():
                return
            if not self._is_terminal:
                if state.is_through and not state.is_logged:
                    state.is_logged = True
                    took = state.changed - state.started
                    self._write(f"{_printable(database)}: {state.total} done in {took:.1f} s\n")
            elif self._drawer.ident is None:
                self._drawer.start()

    def close(self) -> None:
        """Remove the line; in a log, list the databases that did not finish."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        if self._drawer.ident is not None:
            self._drawer.join()
        if self._shown:
            self._write("\r\x1b[K")
        if not self._is_terminal:
            for database, state in self._states.items():
                if not state.is_through:
                    at = f", at {_printable(state.what)}" if state.what else ""
                    steps = f"stopped after {state.done} of {state.total}"
                    self._write(f"{_printable(database)}: {steps}{at}\n")

    def _draw_on(self) -> None:
        # Not in `update`: during a long step there is no update, but time passes.
        while not self._closed.wait(_PERIOD):
            with self._lock:
                # One column stays free: some terminals wrap a full line.
                width = max(_NARROW, _columns(self._stream)) - 1
                shown = line(self._states, time.monotonic(), width)
                if shown != self._shown:
                    self._shown = shown
                    self._write(f"\r{shown}\x1b[K")

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more (a closed pipe): the work continues.
            self._closed.set()


def line(states: dict[str, _State], now: float, width: int) -> str:
    """Return the line: one database in detail, or several in brief."""
    at_work = {name: state for name, state in states.items() if not state.is_through}
    if not at_work:
        return ""
    lefts = [state.left(now) for state in at_work.values()]
    known = [left for left in lefts if left is not None]
    left = f"{_clock(max(known))} left" if known else ""
    if len(at_work) == 1:
        [(name, state)] = at_work.items()
        return _one(_printable(name), state, left, width)
    shares = [f"{_printable(name)} {state.share:.0%}" for name, state in at_work.items()]
    return _fit(["  ".join(shares), left], width)


def _one(name: str, state: _State, left: str, width: int) -> str:
    count = f"{state.done}/{state.total}"
    filled = "#" * int(state.share * _BAR)
    full = f"{name} [{filled:.<{_BAR}}] {count}"
    head = full if len(full) + len(left) + 2 <= width else f"{name} {count}"
    room = width - len(head) - len(left) - 3
    what = _printable(state.what)
    what = what if len(what) <= room else f"{what[: room - 2]}.." if room > 8 else ""
    return _fit([f"{head} {what}".rstrip(), left], width)


def _fit(parts: list[str], width: int) -> str:
    whole = "  ".join(part for part in parts if part)
    return whole if len(whole) <= width else parts[0][:width]


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    shown = f"{minutes}:{whole % 60:02}"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else shown


def _printable(text: str) -> str:
    # In ASCII, because a character two columns wide would break the line.
    return text.encode("ascii", "backslashreplace").decode().translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(32), 127), "?")


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a line can be redrawn; a process may have no stream at all."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except ValueError:  # it is closed
        return False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
