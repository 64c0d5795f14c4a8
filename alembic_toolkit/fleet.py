"""Reach many databases through the project's own ``env.py``, each in a process of its own.

`alembic.context` is one for a process, and what waits for a host that does not answer cannot be
called back: a process can be killed. Its ``env.py`` configures what it always does, and is told
which database to use in all the ways that a round trip knows.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, cast

from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from alembic_toolkit.database import errors
from alembic_toolkit.database.address import parse, same, shown, synchronous
from alembic_toolkit.project.env import Project, arguments, elsewhere, read_config, told

GRACE = 10.0  # seconds for a process that is interrupted to roll back
PATIENCE = 6  # times as long as a database may take to answer, its process may work then


@dataclass(frozen=True)
class Database:
    """One database, by the name that its users have for it."""

    name: str
    url: str = ""  # empty: the one that env.py names
    problem: str = ""  # why there is no URL

    def concealed(self, text: str) -> str:
        """Return a text without the passwords of the URL."""
        if not self.url:
            return text
        url = make_url(self.url)
        given = [value for key, value in url.query.items() if "pass" in key.lower()]
        rendered = re.search(r"://[^:@/]*:([^@]*)@", self.url)
        words = {str(word) for word in (url.password, *given, rendered and rendered[1]) if word}
        for word in sorted(words, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "***", text)
        return text


@dataclass(frozen=True)
class Task:
    """What one process is to do."""

    database: Database
    config: str
    x: tuple[str, ...] = ()
    revision: str = "heads"
    drift: bool = False
    metadata: Any = None  # "package.module:name", where env.py gives none
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    directory: str = field(default_factory=os.getcwd)


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    value: Any = None
    error: str = ""


# A function of a module; it calls its second argument when the database has answered.
Work = Callable[[Task, Callable[[], None]], Any]


# Which databases


def named(given: Sequence[str], known: Mapping[str, str]) -> list[Database]:
    """Return the databases of the command line: ``NAME=URL``, a URL, or a name that is known.

    :param known: those of ``pyproject.toml``.
    :raises CommandError: one cannot be read, or two have the same name.
    """
    found = [_named(one, known) for one in given]
    names = [database.name for database in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CommandError(
            f"two databases are called {twice[0]}; give each a name: --url NAME={twice[0]}"
        )
    return found


def _named(text: str, known: Mapping[str, str]) -> Database:
    if text in known:
        return listed(text, known[text])
    pair = re.fullmatch(r"([^:/=\s]+)=(.*)", text, re.DOTALL)
    if not pair and "://" not in text:
        names = f"; pyproject.toml names {', '.join(known)}" if known else ""
        raise CommandError(
            f"--url {text}: neither a URL nor the name of a database{names}\n"
            "write it like --url production=postgresql+psycopg://user:password@host/name"
        )
    address = pair[2] if pair else text
    url = parse(address)
    return Database(pair[1] if pair else shown(url), address)


def listed(name: str, address: str) -> Database:
    """Return a database of ``pyproject.toml``, in whose URL variables stand for secrets."""
    variables = re.findall(r"\$\{?(\w+)\}?", address)
    if missing := [variable for variable in variables if variable not in os.environ]:
        return Database(name, "", f"the environment has no {', '.join(missing)}")
    address = re.sub(r"\$\{?(\w+)\}?", lambda found: os.environ[found[1]], address)
    try:
        parse(address)
    except CommandError as error:
        return Database(name, "", str(error))
    return Database(name, address)


# Their processes


@dataclass
class _Running:
    task: Task
    process: Any
    until: float
    late: str  # what is said of it then


def each(
    work: Work,
    tasks: Sequence[Task],
    ended: Callable[[Task, Answer], None],
    *,
    at_once: int,
    timeout: float | None = None,
) -> None:
    """Do the work for every task, some at once; say of each when it ended.

    Interrupted, it begins no more, interrupts those that run, as Ctrl-C would, and says how they
    ended before it raises ``KeyboardInterrupt`` again. Nothing is left running.

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
    """Return how processes are begun: from one that has imported everything, where there is it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["alembic_toolkit.status", "alembic_toolkit.upgrade"])
    return context


def _hear(
    running: dict[Pipe, _Running], ended: Callable[[Task, Answer], None], timeout: float | None
) -> None:
    """Wait until one has something to say, or its time is over."""
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


def _end(
    pipe: Pipe,
    running: dict[Pipe, _Running],
    ended: Callable[[Task, Answer], None],
    answer: Answer,
) -> None:
    one = running.pop(pipe)
    pipe.close()
    one.process.join(1)
    one.process.kill()  # a thread that an application began may keep it alive; all is done
    one.process.join()
    ended(one.task, Answer(answer.value, one.task.database.concealed(answer.error)))


def _run(work: Work, task: Task, pipe: Pipe) -> None:
    """Do one task; what comes of it goes into the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the first process passes it on
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.chdir(task.directory)
    os.environ.clear()  # that of the process which this one was forked from may be an old one
    os.environ.update(task.environ)
    # What revisions and env.py print would run into what is printed here.
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    try:
        answer = Answer(work(task, lambda: pipe.send(None)))
    except SystemExit as error:
        answer = Answer(error=f"env.py, or a revision, ended the process: exit({error.code!r})")
    except BaseException as error:
        answer = Answer(error=words(error))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is done
    with contextlib.suppress(OSError):  # nobody listens any more
        pipe.send(answer)


def words(error: BaseException) -> str:
    """Return what an error says; of a driver's, the statement that was asked, too."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what it was at is rolled back, or goes on when it is run again"
    if isinstance(error, CommandError):
        return str(error)
    if isinstance(error, DBAPIError) and error.statement:
        sql = " ".join(error.statement.split())
        return f"{errors.words(error)}\n  asked  {sql[:200]}"
    if isinstance(error, DBAPIError):
        return errors.words(error)
    return f"{type(error).__name__}: {error}".strip()


# In such a process


class Enough(BaseException):
    """What ends ``env.py`` when all is known; no ``except Exception`` may stop it."""


def run_env(
    task: Task,
    answered: Callable[[], None],
    steps: Callable[[ScriptDirectory, Any, Any], Any],
    configured: Callable[[EnvironmentContext, Callable[[], None], dict[str, Any]], None],
) -> None:
    """Run ``env.py`` on the database of a task, as ``alembic upgrade`` does.

    :param answered: called when there is a connection, or ``env.py`` is to make it.
    :param steps: returns what to run: Alembic's function, but for its first argument.
    :param configured: called instead of ``configure``, with it and its keywords.
    :raises CommandError: ``env.py`` uses another database.
    """
    url = make_url(task.database.url) if task.database.url else None
    path = Path(task.config)
    config = read_config(path)
    project = Project(path, config, ScriptDirectory.from_config(config), task.x)
    config.cmd_opts = arguments(project, task.database.url)
    calls = list[bool]()

    def fn(heads: Any, context: Any) -> Any:
        return steps(project.directory, heads, context)

    environment = EnvironmentContext(
        config, project.directory, fn=fn, as_sql=False, destination_rev=task.revision
    )
    configure = environment.configure

    def watched(connection: Any = None, *more: Any, **options: Any) -> None:
        calls.append(True)
        if url is not None and not (isinstance(connection, Connection) and same(connection, url)):
            raise CommandError(elsewhere(connection, project, url))
        configured(environment, lambda: configure(connection, *more, **options), options)

    # On the instance: the functions of alembic.context call this object, whatever its class.
    environment.configure = watched  # type: ignore[method-assign]
    with told(project, task.database.url), environment, ExitStack() as stack:
        if url is not None:
            config.set_main_option("sqlalchemy.url", task.database.url.replace("%", "%%"))
            config.attributes["connection"] = stack.enter_context(_connected(url))
        answered()
        project.directory.run_env()
    if not calls:
        raise CommandError("env.py ran, and never called context.configure(connection=...)")


@contextmanager
def _connected(url: Any) -> Iterator[Connection | None]:
    """Open a connection for ``env.py``; none where only an asynchronous driver is installed."""
    try:
        engine = create_engine(synchronous(url), poolclass=NullPool)
    except (NoSuchModuleError, ImportError) as error:
        if url.get_driver_name() == synchronous(url).get_driver_name():
            raise CommandError(f"its driver cannot be used: {error}") from error
        yield None
        return
    try:
        connection = engine.connect()
    except DBAPIError as error:
        said = errors.words(error).partition(" Is the server running")[0]
        raise CommandError(f"cannot be reached: {said}") from error
    with connection:
        yield connection
