"""End the command `alembic` on Ctrl-C and SIGTERM as a shell does: with a status and a message.

The signal may interrupt a driver in the middle of a response, the event loop of an asynchronous
driver, or code whose errors Python drops. The author need not know about any of this.
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

_AGAIN = 0.1  # seconds before a signal that Python dropped is sent again
received: list[signal.Signals] = []  # by the running command


@contextmanager
def interruptible(config: Config) -> Iterator[None]:
    """End the running command with the status of the signal it receives, without a traceback.

    :raises SystemExit: a signal came.
    """
    # A caller of Alembic from Python, who may pass objects to env.py, gets KeyboardInterrupt.
    if config.attributes or not getattr(config.cmd_opts, "cmd", ()):
        yield
        return
    signals = _Signals()
    with signals.received_here():
        try:
            yield
        except BaseException as error:
            # Any error here results from a connection that was interrupted.
            if not (signals.received or isinstance(error, KeyboardInterrupt)):
                raise
            number = signals.received[0] if signals.received else signal.SIGINT
            raise SystemExit(128 + number) from None


class _Signals:
    """The signals received, each of which interrupts the running code."""

    def __init__(self) -> None:
        self.received = received
        received.clear()
        self.task: asyncio.Task[Any] | None = None
        self.dropped = sys.unraisablehook

    @contextmanager
    def received_here(self) -> Iterator[None]:
        """Receive them, if this thread can, instead of Python and asyncio."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with suppress(RuntimeError):  # no loop runs
            self.task = asyncio.current_task()
        if self.task is not None:  # or asyncio would log an unretrieved SystemExit
            self.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Other handlers are kept; a shell that starts us in the background ignores SIGINT.
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
        """Send a signal again if it came within a destructor, whose errors Python drops."""
        if dropped.exc_type is not KeyboardInterrupt:
            self.dropped(dropped)
            return
        waits = True
        while waits:
            with suppress(KeyboardInterrupt):  # an error raised here would be dropped as well
                again = threading.Timer(_AGAIN, self._send, [self.received[-1]])
                again.daemon = True
                again.start()
                waits = False

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to the main thread, which also ends its waiting."""
        if signal.getsignal(number) != self._receive:  # the command has ended
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        else:  # Windows
            _thread.interrupt_main(number)
