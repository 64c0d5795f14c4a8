"""Work on many databases, each in a separate process.

`alembic.context` is global in a process, and only a process can be killed while it waits for a host
that does not respond.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, cast

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database import errors
from alembic_toolkit.fleet.databases import Database
from alembic_toolkit.project.env import hint

GRACE = 10.0  # seconds for an interrupted process to roll back
PATIENCE = 6  # the process may then work this many times as long as the database may take to answer


@dataclass(frozen=True)
class Task:
    """The task of one process."""

    database: Database
    config: str
    x: tuple[str, ...] = ()
    revision: str = "heads"
    down: bool = False  # a downgrade to the revision
    drift: bool = False
    accept: tuple[str, ...] = ()  # revisions whose present files are accepted
    metadata: Any = None  # "package.module:name", where env.py gives none
    scratch: tuple[str, ...] = ()  # the URLs of empty databases, for the models' tables
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    directory: str = field(default_factory=os.getcwd)


@dataclass(frozen=True)
class Answer:
    """The result of a task."""

    value: Any = None
    error: str = ""


# A function of a module; it calls its second argument when the database has answered.
Work = Callable[[Task, Callable[[], None]], Any]
Ended = Callable[[Task, Answer], None]


@dataclass
class _Running:
    task: Task
    process: Any
    until: float
    late: str  # the error for a late database


def each(
    work: Work,
    tasks: Sequence[Task],
    ended: Ended,
    *,
    at_once: int,
    timeout: float | None = None,
) -> None:
    """Do the work for every task, some at once; report each when it has ended.

    When interrupted, it starts no more tasks, interrupts the running ones as Ctrl-C would, and
    reports their results before it raises ``KeyboardInterrupt`` again. Nothing is left running.

    :param timeout: seconds for each database to answer; then its process is killed, as is one that
     takes `PATIENCE` times as long after that.
    """
    waiting, running = deque(tasks), dict[Pipe, _Running]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                task = waiting.popleft()
                if task.database.problem:
                    ended(task, Answer(error=task.database.problem))
                else:
                    _start(work, task, running, timeout)
            _hear(running, ended, timeout)
    except KeyboardInterrupt:
        for one in running.values():
            one.process.terminate()
            one.until = time.monotonic() + GRACE
            one.late = f"did not end within {GRACE:g} seconds, and was killed"
        while running:
            _hear(running, ended, None)
        raise
    finally:
        for one in running.values():
            one.process.kill()
            one.process.join()


def _start(work: Work, task: Task, running: dict[Pipe, _Running], timeout: float | None) -> None:
    ours, theirs = _context().Pipe(duplex=False)
    process = _context().Process(target=_run, args=(work, task, theirs), daemon=True)
    process.start()
    theirs.close()
    until = time.monotonic() + timeout if timeout else float("inf")
    running[ours] = _Running(task, process, until, f"no answer within {timeout or 0:g} seconds")


def _context() -> Any:
    """Return how to start processes: if possible from one that has imported everything."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.status", f"{__package__}.upgrade"])
    return context


def _hear(running: dict[Pipe, _Running], ended: Ended, timeout: float | None) -> None:
    """Wait until a process reports something, or its time is over."""
    if not running:
        return
    until = min(one.until for one in running.values())
    left = None if until == float("inf") else max(0.0, until - time.monotonic())
    for ready in cast("list[Pipe]", wait([*running], left)):
        try:
            answer = ready.recv()
        except EOFError:
            answer = Answer(error="the process ended before it was done: killed, or crashed")
        if answer is not None:
            _end(ready, running, ended, answer)
        elif timeout is not None:  # the database has answered
            one = running[ready]
            one.until = time.monotonic() + PATIENCE * timeout
            one.late = f"not looked at within {PATIENCE * timeout:g} seconds"
    for pipe, one in [*running.items()]:
        if one.until <= time.monotonic():
            one.process.kill()
            _end(pipe, running, ended, Answer(error=one.late))


def _end(pipe: Pipe, running: dict[Pipe, _Running], ended: Ended, answer: Answer) -> None:
    one = running.pop(pipe)
    pipe.close()
    one.process.join(1)
    one.process.kill()  # a thread of an application may keep it alive; its work is done
    one.process.join()
    ended(one.task, Answer(answer.value, one.task.database.concealed(answer.error)))


def _run(work: Work, task: Task, pipe: Pipe) -> None:
    """Do one task; send the result through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: the first process passes it on
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.chdir(task.directory)
    os.environ.clear()  # the process that this one was forked from may have an old one
    os.environ.update(task.environ)
    # What revisions and env.py print would mix with our own output.
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    try:
        answer = Answer(work(task, lambda: pipe.send(None)))
    except SystemExit as error:
        answer = Answer(error=f"env.py, or a revision, ended the process: exit({error.code!r})")
    except BaseException as error:
        answer = Answer(error=message(error))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is done
    with contextlib.suppress(OSError):  # nobody listens any more
        pipe.send(answer)


def message(error: BaseException) -> str:
    """Return the message of an error, with the statement if it is a driver's."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; its current step is rolled back, or continues when it is run again"
    if isinstance(error, CommandError):
        return str(error)
    if isinstance(error, DBAPIError):
        sql = " ".join((error.statement or "").split())[:200]
        return errors.message(error) + (f"\n  asked  {sql}" if sql else "")
    return f"{type(error).__name__}: {error}".strip() + hint(error)
