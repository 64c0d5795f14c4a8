"""Run a function that may wait for an asynchronous driver, from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from importlib import import_module
from typing import Any

from alembic.util import CommandError


def in_loop(function: Callable[[], None]) -> None:
    """Call a function in an event loop, where asynchronous drivers can be awaited.

    If a loop is already running in this thread (somebody calls Alembic from a coroutine), it cannot
    continue before the function ends. In that case the function runs in another thread, in its own
    loop.

    :raises CommandError: the package ``greenlet``, which SQLAlchemy needs for this, is missing.
    """
    try:
        import_module("greenlet")
    except ImportError as error:
        raise CommandError(
            "the driver is asynchronous, and the package greenlet, with which SQLAlchemy waits for"
            f" it, cannot be imported ({error}): nothing was run\n"
            "What to do next:\n    pip install greenlet"
        ) from error
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(_spawned(function))
    else:
        _Elsewhere(function).run()


async def _spawned(function: Callable[[], None]) -> None:
    # As AsyncConnection.run_sync() does:
    # https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#running-synchronous-methods
    from sqlalchemy.util import greenlet_spawn

    await greenlet_spawn(function)


class _Elsewhere:
    """A function that runs in another thread's loop while this thread waits."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[Any] | None = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Wait for it, and raise its error; Ctrl-C here interrupts it there."""
        context = copy_context()
        thread = threading.Thread(target=context.run, args=[self._in_thread], name="alembic")
        thread.start()
        try:
            self.ended.wait()  # an interrupted join() treats the thread as ended
        except BaseException:
            self._cancel()
            self.ended.wait()
            raise
        if self.error is not None:
            raise self.error

    def _in_thread(self) -> None:
        try:
            asyncio.run(self._noted())
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    async def _noted(self) -> None:
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        await _spawned(self.function)

    def _cancel(self) -> None:
        if self.loop is not None and self.task is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.task.cancel)
