"""Prove a history: the files first, then each database in a separate process.

    alembic-toolkit roundtrip --url postgresql+psycopg://postgres@localhost/scratch

The process that walks through the history can hang, or be killed. This process opens each scratch
database before, and empties it afterwards, whatever happens to the other process.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property, partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit import messages
from alembic_toolkit.database.address import concealed, parse_known, shown
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.project import checks, revisions
from alembic_toolkit.project.env import Project, hint, read_config, refuse_another_server
from alembic_toolkit.project.handed import another_driver
from alembic_toolkit.prove import idle, results, wording
from alembic_toolkit.prove.results import Finding, Proof, Report
from alembic_toolkit.prove.scratch import TEMPORARY, Place, Scratch, close, empty, opened, scratch
from alembic_toolkit.prove.settings import Settings, read

_START = 60.0
_NOT_ASKED = "models, base: not judged, because only some revisions were asked for"


@dataclass
class _Running:
    """A process working on one database."""

    scratch: Scratch
    proof: Proof
    start: Callable[[Scratch, _Board], tuple[Any, Pipe]]
    progress: Callable[[str, int, int, str], None] = lambda *_: None
    process: Any = None
    pipe: Any = None
    board: _Board = field(default_factory=lambda: _Board())
    heard: float = 0
    at: str = ""
    step: Place | None = None
    unloadable: frozenset[Path] = frozenset()

    def begin(self) -> None:
        """Start the process, again if a step has ended it."""
        self.board = _Board()
        self.process, self.pipe = self.start(self.scratch, self.board)
        self.heard, self.step, self.at = time.monotonic(), None, ""

    def read(self) -> None:
        """Read where the process is."""
        found = self.board.read()
        if found is None:
            return
        self.heard = time.monotonic()
        self.step, at = found
        if at:
            self.at = at[-1]
            self.progress(self.proof.database, *at)

    def tell(self, unloadable: frozenset[Path]) -> None:
        """Let the process load the history.

        :param unloadable: the files that Alembic cannot load, so that it need not read them all.
        """
        self.unloadable = unloadable
        with suppress(OSError):  # it has ended; that is heard later
            self.pipe.send(unloadable)

    def release(self) -> None:
        """Let the process go on: until then it changes nothing."""
        self.heard = time.monotonic()
        with suppress(OSError):
            self.pipe.send(None)

    def leave(self) -> None:
        """End the process, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.join()

    def end(self, words: str) -> bool:
        """End the process; return False if it is started again, without the step that it ran."""
        self.process.kill()
        self.process.join()
        if self.step is None or self.step in self.scratch.ended:
            self.proof.error = f"{words}{self.after}"
            return True
        self.scratch.ended[self.step] = words
        empty(self.scratch)
        self.begin()
        self.tell(self.unloadable)
        self.release()
        return False

    @property
    def after(self) -> str:
        return f", after {self.at}" if self.at else ""


_At = tuple[int, int, str]  # the steps done, all of them, the revision


class _Board:
    """Where a process writes what it is at, for the one that watches: a message would wake that.

    There are ten steps for each revision.
    """

    def __init__(self) -> None:
        """Take memory that both processes have."""
        self.memory = multiprocessing.get_context("spawn").RawArray("c", _ROOM)
        self.written, self.seen = 0, b""
        self.step: Place | None = None
        self.at: _At | None = None

    def write(self, step: Place | None, at: _At | None = None) -> None:
        self.step, self.at, self.written = step, at or self.at, self.written + 1
        text = pickle.dumps((self.written, self.step, self.at))
        size, self.memory[:_HEAD] = len(text), bytes(_HEAD)  # nothing, until all is there
        if _HEAD + size <= _ROOM:
            self.memory[_HEAD : _HEAD + size] = text
            self.memory[:_HEAD] = size.to_bytes(_HEAD, "big")

    def read(self) -> tuple[Place | None, _At | None] | None:
        """Return what is new, if anything is."""
        size = int.from_bytes(self.memory[:_HEAD], "big")
        text = self.memory[_HEAD : _HEAD + size]
        if not size or text == self.seen:
            return None
        with suppress(Exception):  # half of it is the next one
            _, step, at = pickle.loads(text)
            self.seen = text
            return step, at
        return None


_ROOM, _HEAD = 4096, 4


def roundtrip(
    path: Path,
    settings: Settings | None = None,
    progress: Callable[[str, int, int, str], None] = lambda *_: None,
) -> Report:
    """Prove every revision of a history, on every database at the same time.

    :param path: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param settings: which databases and checks; by default those of ``pyproject.toml``. The URLs
     name empty databases, which are empty again afterwards; without one, the database is a
     temporary file of SQLite.
    :param progress: called with a database's name, the steps done, all of them, the revision.
    :raises CommandError: the history or a database cannot be used; nothing was run.
    """
    begin = time.perf_counter()
    settings = _portable(read(path) if settings is None else settings)
    if settings.only is not None:
        settings = replace(settings, checks=settings.checks - {*results.OF_DATABASE})
    with ExitStack() as stack:
        running, refused = _begun(stack, path, settings, progress)
        files = _Files.read(path)  # while the processes start
        for each in running:
            each.tell(frozenset(one.path for one in files.broken))
        report = _judged(files, settings)
        if not files.is_blocked:
            if refused is not None:
                raise refused
            report.proofs = _work(running, settings.timeout)
            idle.agree(report.proofs)
            _note_stale(report, settings)
    if settings.only is not None:
        _leave(report, settings.only)
        for one in report.proofs:
            one.notes.append(_NOT_ASKED)
    report.seconds = time.perf_counter() - begin
    return report


def locks(
    path: Path,
    settings: Settings,
    progress: Callable[[str, int, int, str], None] = lambda *_: None,
) -> Report:
    """Judge the locks of upgrades, and their old code if requested, and nothing else.

    :param settings: ``only`` has the revisions that are judged; by default all are.
    :raises CommandError: the history or a database cannot be used; nothing was run.
    """
    asked = frozenset({results.LOCKS}) | (settings.checks & {results.OLD_CODE})
    checks = asked | {results.UP}
    wanted = replace(settings, checks=checks, downgrades=False)
    report = roundtrip(path, wanted, progress)
    report.question = sorted(asked)
    for proof in report.proofs:
        needless = (wording.ONLY_UP, _NOT_ASKED)
        proof.notes = [note for note in proof.notes if not note.startswith(needless)]
        ran = {one.id for one in proof.revisions if results.UP in one.seconds}
        # That an upgrade is faulty matters here only where it cannot be run.
        proof.findings = [f for f in proof.findings if f.check in asked
                          or f.revision not in ran]  # fmt: skip
        for one in proof.revisions:
            if one.id in ran:
                one.checks.pop(results.UP, None)
    _forget_times(report)
    return report


def _leave(report: Report, only: Collection[str]) -> None:
    """Keep in a report only results about some revisions, or obstacles to judging them."""
    report.revisions = len(only)
    kept = {"", *only}
    report.findings = [one for one in report.findings if one.revision in kept]
    for proof in report.proofs:
        proof.revisions = [one for one in proof.revisions if one.id in only]
        ends = {outcome.status for one in proof.revisions for outcome in one.checks.values()}
        below = results.UP if results.NOT_REACHED in ends else None
        proof.findings = [f for f in proof.findings if f.revision in kept or f.check == below]
        proof.warnings = [one for one in proof.warnings if one.revision in kept]


def _forget_times(report: Report) -> None:
    """Omit what differs each time, so that the same history prints the same bytes."""
    report.seconds = 0.0
    for proof in report.proofs:
        proof.seconds = 0.0
        if f"/{TEMPORARY}" in proof.url:
            proof.url = "sqlite://"
        for one in proof.revisions:
            one.seconds.clear()


def _note_stale(report: Report, settings: Settings) -> None:
    """Record known exceptions that no longer occur anywhere, or match nothing."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in report.proofs:
        for id_, outcomes in [("", one.checks), *((r.id, r.checks) for r in one.revisions)]:
            for check, outcome in outcomes.items():
                found.setdefault((id_, check), set()).add(outcome.status)
    known = {revision.id for one in report.proofs for revision in one.revisions}
    for id_, check in settings.exceptions:
        if id_ and known and id_ not in known:
            near = "".join(f": {name}?" for name in get_close_matches(id_, known, 1))
            note = f"a known exception does nothing, {check!r}: no file has revision {id_}{near}"
            for one in report.proofs:
                one.notes.append(note)
        if found.get((id_, check)) == {results.PROVEN}:
            about = f"revision {id_}" if id_ else "the whole history"
            note = f"a known exception is none any more, {about}, {check!r}: it is proven now"
            for one in report.proofs:
                one.notes.append(note)


def _portable(settings: Settings) -> Settings:
    """Make metadata fit for another process: without parts that only matter for writing rows.

    :raises CommandError: something else in it cannot be pickled.
    """
    metadata = settings.metadata
    if metadata is None or isinstance(metadata, str):
        return settings
    bare: Any = (
        [_bare(one) for one in metadata] if isinstance(metadata, Sequence) else _bare(metadata)
    )
    try:
        pickle.dumps(bare)
    except Exception as error:
        raise CommandError(
            f"the metadata cannot be handed to the process that compares it: {error}\n"
            "What to do next, in pyproject.toml, so that it is imported there:\n"
            '    [tool.alembic-toolkit.roundtrip]\n    metadata = "package.module:Base.metadata"'
        ) from None
    return replace(settings, metadata=bare)


def _bare(metadata: sa.MetaData) -> sa.MetaData:
    """Copy metadata without Python-side defaults, which are often lambdas."""
    bare = sa.MetaData(schema=metadata.schema, naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        copy = table.to_metadata(bare)
        for column in copy.columns:
            column.onupdate = None
            if not isinstance(column.default, sa.Sequence):
                column.default = None
    return bare


def names(addresses: Sequence[str | None]) -> list[str]:
    """Name each database after its server; the second of a server gets a number.

    :raises CommandError: an address cannot be read, or names another server.
    """
    found: list[str] = []
    for address in addresses:
        label = server_of(parse_known(address or "sqlite://").get_backend_name()).label
        same = sum(name.partition("-")[0] == label for name in found)
        found.append(f"{label}-{same + 1}" if same else label)
    return found


# The files


@dataclass
class _Files:
    """The files of a history, each read once."""

    path: Path
    config: Config
    script: ScriptDirectory
    readable: list[revisions.Revision]
    unread: list[revisions.Finding]

    @classmethod
    def read(cls, path: Path) -> _Files:
        config = read_config(path)
        script = ScriptDirectory.from_config(config)
        return cls(path, config, script, *revisions.read(script))

    @property
    def broken(self) -> list[revisions.Finding]:
        return revisions.unloadable(self.unread)

    @cached_property
    def graph(self) -> list[revisions.Finding]:
        return [] if self.unread else checks.graph(self.readable)

    @property
    def is_blocked(self) -> bool:
        """Return whether the graph cannot be walked.

        What a broken file breaks is left out of it, and several heads are walked to, one by one.
        """
        return not self.broken and bool(self.graph)


def read_files(path: Path, wanted: Settings) -> Report:
    """Make the checks that need only the files.

    :raises CommandError: none is a revision.
    """
    return _judged(_Files.read(path), wanted)


def _judged(files: _Files, wanted: Settings) -> Report:
    readable, script = files.readable, files.script
    if not readable and not files.unread:
        raise checks.nothing_there(script)
    report = Report(str(files.path), len(checks.seen(readable)))
    if files.broken and not readable:
        raise CommandError(str(files.broken[0]))
    found: dict[str, Iterable[revisions.Finding]] = {results.GRAPH: files.broken}
    if not files.unread:
        found[results.GRAPH] = files.graph
        # Several heads are fine where the labels of branches tell them apart.
        if not files.graph and not any(one.branch_labels for one in readable):
            found[results.GRAPH] = checks.several_heads(checks.seen(readable))
    roots = checks.import_roots(files.config)
    imports = checks.application_imports(readable, roots, Path(script.dir))
    found[results.SELF_CONTAINED] = imports
    ids = {revision.path: revision.id for revision in readable}
    for check, findings in found.items():
        for one in findings:
            id_ = ids.get(one.path, "")
            if check in wanted.checks and (id_, check) not in wanted.exceptions:
                problem = f"line {one.line}: {one.problem}" if one.line else one.problem
                place = revisions.shown(one.path)
                report.findings.append(Finding(check, "", id_, place, problem, (), one.remedy))
    return report


# The processes


def _begun(
    stack: ExitStack,
    path: Path,
    settings: Settings,
    progress: Callable[[str, int, int, str], None],
) -> tuple[list[_Running], CommandError | None]:
    """Open each scratch database, and start its process, which waits for our word.

    :param stack: ends the processes, and then empties the databases.
    :return: also the reason if a database cannot be used.
    """
    addresses: Sequence[str | None] = settings.urls or [None]
    running: list[_Running] = []
    try:
        given = [stack.enter_context(scratch(url)) for url in addresses]
        for name, one in zip(names(addresses), given, strict=True):
            start = partial(_start, path, name, settings)
            running.append(_Running(one, Proof(name, shown(one.url)), start, progress))
            stack.callback(running[-1].leave)
            running[-1].begin()
    except CommandError as error:
        return [], error
    return running, None


_OURS: WeakSet[Pipe] = WeakSet()  # this process's ends of pipes


def _start(
    path: Path, name: str, settings: Settings, one: Scratch, board: _Board
) -> tuple[Any, Pipe]:
    context = multiprocessing.get_context(_way(settings))
    ours, theirs = context.Pipe()
    _OURS.add(ours)
    arguments = (path, name, one.address, settings, theirs, board, one.ended)
    process = context.Process(target=_run, args=arguments, daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    return process, ours


def _way(settings: Settings) -> str:
    """Return how to start a process: with nothing of this one in it, or as its copy.

    To import everything once more takes longer than to prove fifty revisions. A copy of a thread's
    locks would never be unlocked, and elsewhere than on Linux a library may keep such locks.
    """
    is_plain = settings.alone and threading.active_count() == 1
    return "fork" if is_plain and sys.platform == "linux" else "spawn"


def _work(running: list[_Running], timeout: float) -> list[Proof]:
    for each in running:
        each.release()
    left = running
    while left:
        wait([each.pipe for each in left], 0.2)
        left = [each for each in left if not _hear(each, timeout)]
    return [each.proof for each in running]


def _hear(one: _Running, timeout: float) -> bool:
    """Receive what a process sends; return whether it has ended."""
    one.read()
    try:
        while one.pipe.poll():
            what, *values = one.pipe.recv()
            one.heard = time.monotonic()
            if what == "session":
                one.scratch.sessions.add(*values)
            else:
                one.read()
                one.proof = values[0]
                return True
    except EOFError:
        one.process.join()
        one.read()
        if one.process.exitcode in (-signal.SIGKILL, -signal.SIGTERM):  # by somebody else
            one.step = None
        return one.end("the process that ran it ended: it was killed, or crashed")
    # Before the first step, a busy machine may need long for all that is imported.
    if time.monotonic() - one.heard > (timeout if one.at or one.step else max(timeout, _START)):
        return one.end(f"a step took longer than {timeout:.0f} seconds")
    return False


def _run(
    path: Path,
    name: str,
    url: str,
    settings: Settings,
    pipe: Pipe,
    board: _Board,
    ended: dict[Place, str],
) -> None:
    """Prove one database, and send the results through the pipe."""
    from alembic_toolkit.prove.prover import prove  # the process that waits does not need it

    _set_up(settings)
    one = opened(parse_known(url))
    one.on_session = lambda session: pipe.send(("session", session))
    one.on_step = board.write
    one.ended = ended
    last = threading.Thread(target=_leave_nothing, args=(one,), daemon=True)
    last.start()
    found = Proof(name, shown(one.url))
    begin, project = time.perf_counter(), None
    try:
        with one.engine.connect() as connection:
            version = connection.exec_driver_sql(one.server.version).scalar_one()
        found.server = one.server.title(version)
        project = Project.load(path, tuple(settings.x), url, unloadable=pipe.recv())
        if not settings.urls:
            command = messages.typed_with_url("roundtrip")
            refuse_another_server(project, one.server.facts.name, command)
        pipe.recv()  # the word to begin
        begin = time.perf_counter()
        prove(project, one, settings, found, lambda *at: board.write(board.step, at))
    except CommandError as error:
        found.error = str(error)
    except BaseException as error:
        place = project.place(error) if project else ""
        text = f"{type(error).__name__}: {error}{place}{hint(error)}"
        found.error = concealed(one.url, text)
    found.notes += filter(None, [another_driver(one.url)])
    found.seconds = time.perf_counter() - begin
    try:
        pipe.send(("done", found))
    except OSError:  # nobody listens any more
        last.join()


def _set_up(settings: Settings) -> None:
    """Make this process fit for the code of a project, whether or not it is a copy."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that watches
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # in a copy of that process, it has a meaning
    messages.note_typed(settings.command)
    logging.disable(logging.CRITICAL)
    gc.freeze()  # what was imported stays
    gc.set_threshold(20_000, 50, 100)  # and so does most of what a long history needs
    warnings.simplefilter("ignore")
    # What revisions and env.py print does not belong into the report.
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    for end in _OURS:  # in a copy: else it would not notice that nobody listens
        end.close()


def _leave_nothing(one: Scratch) -> None:
    """Empty the database if the process that started this one is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        one.on_session = lambda session: None  # nobody listens any more
        one.last = threading.get_ident()  # else the walk would connect again
        try:
            close(one)
        finally:
            os._exit(2)
