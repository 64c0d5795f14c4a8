"""End the command `alembic` by Ctrl-C and by SIGTERM as a shell does: by a status, in words.

What they interrupt may be a driver in the middle of an answer, the loop of an asynchronous one, or
what Python runs in between and drops the errors of. None of that is an author's business.
"""

from __future__ import annotations

import _thread
import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alembic.config import Config

_AGAIN = 0.1  # seconds until a signal comes again that Python dropped
received: list[signal.Signals] = []  # by the command that runs


@contextmanager
def interruptible(config: Config) -> Iterator[None]:
    """End the running command by the status of the signal that it gets, without a traceback.

    :raises SystemExit: a signal came.
    """
    # Who calls Alembic from Python, and may hand something to env.py, is interrupted.
    if config.attributes or not getattr(config.cmd_opts, "cmd", ()):
        yield
        return
    signals = _Signals()
    with signals.received_here():
        try:
            yield
        except BaseException as error:
            # Whatever it is, it comes of a connection that was left in the middle of something.
            if not (signals.received or isinstance(error, KeyboardInterrupt)):
                raise
            number = signals.received[0] if signals.received else signal.SIGINT
            raise SystemExit(128 + number) from None


class _Signals:
    """The signals that came, each of which interrupts what runs."""

    def __init__(self) -> None:
        self.received = received
        received.clear()
        self.task: asyncio.Task[Any] | None = None
        self.dropped = sys.unraisablehook

    @contextmanager
    def received_here(self) -> Iterator[None]:
        """Receive them, if this thread can, in the place of Python and of asyncio."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with suppress(RuntimeError):  # no loop runs
            self.task = asyncio.current_task()
        if self.task is not None:  # or asyncio would log its SystemExit as one that nobody saw
            self.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        # What somebody else has set stays; a shell that starts us in the background ignores SIGINT.
        before = {signal.SIGINT: signal.getsignal(signal.SIGINT)}
        if not callable(before[signal.SIGINT]):
            del before[signal.SIGINT]
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            before[signal.SIGTERM] = signal.SIG_DFL
        for number in before:
            signal.signal(number, self._receive)
        self.dropped, sys.unraisablehook = sys.unraisablehook, self._drop
        try:
            yield
        finally:
            sys.unraisablehook = self.dropped
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _: Any) -> None:
        self.received.append(signal.Signals(number))
        if self.task is None:
            raise KeyboardInterrupt
        # An error raised here would end the loop, which the driver needs to roll back.
        self.task.cancel()
        self.task.get_loop().call_soon_threadsafe(lambda: None)  # it may be waiting

    def _drop(self, dropped: Any) -> None:
        """Have a signal come again that came within a destructor, whose errors Python drops."""
        if dropped.exc_type is not KeyboardInterrupt:
            self.dropped(dropped)
            return
        waits = True
        while waits:
            with suppress(KeyboardInterrupt):  # what is raised here would be dropped, too
                again = threading.Timer(_AGAIN, self._send, [self.received[-1]])
                again.daemon = True
                again.start()
                waits = False

    def _send(self, number: signal.Signals) -> None:
        """Have the first thread get a signal, which ends its waiting, too."""
        if signal.getsignal(number) != self._receive:  # the command has ended
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        else:  # Windows
            _thread.interrupt_main(number)
