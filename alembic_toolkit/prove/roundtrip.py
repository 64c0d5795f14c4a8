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
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import sqlalchemy as sa
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
    start: Callable[[Scratch], tuple[Any, Pipe]]
    process: Any = None
    pipe: Any = None
    heard: float = 0
    at: str = ""
    step: Place | None = None

    def begin(self) -> None:
        """Start the process, again if a step has ended it."""
        self.process, self.pipe = self.start(self.scratch)
        self.heard, self.step, self.at = time.monotonic(), None, ""

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
        return False

    @property
    def after(self) -> str:
        return f", after {self.at}" if self.at else ""


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
    report = read_files(path, settings)
    if not _is_blocked(path):
        addresses: Sequence[str | None] = settings.urls or [None]
        with ExitStack() as stack:
            given = [stack.enter_context(scratch(url)) for url in addresses]
            databases = dict(zip(names(addresses), given, strict=True))
            report.proofs = _work(path, settings, databases, progress)
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


def _is_blocked(path: Path) -> bool:
    """Return whether the graph cannot be walked.

    What a broken file breaks is left out of it, and several heads are walked to, one by one.
    """
    script = ScriptDirectory.from_config(read_config(path))
    readable, unread = revisions.read(script)
    return not unread and not revisions.broken(script) and bool(checks.graph(readable))


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


def read_files(path: Path, wanted: Settings) -> Report:
    """Make the checks that need only the files.

    :raises CommandError: none is a revision.
    """
    config = read_config(path)
    script = ScriptDirectory.from_config(config)
    readable, unread = revisions.read(script)
    if not readable and not unread:
        raise checks.nothing_there(script)
    report = Report(str(path), len(checks.seen(readable)))
    broken = revisions.broken(script)
    if broken and not readable:
        raise CommandError(str(broken[0]))
    found: dict[str, Iterable[revisions.Finding]] = {results.GRAPH: broken}
    if not unread:
        found[results.GRAPH] = checks.graph(readable)
        # Several heads are fine where the labels of branches tell them apart.
        if not found[results.GRAPH] and not any(one.branch_labels for one in readable):
            found[results.GRAPH] = checks.several_heads(checks.seen(readable))
    roots = checks.import_roots(config)
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


def _work(
    path: Path,
    settings: Settings,
    databases: dict[str, Scratch],
    progress: Callable[[str, int, int, str], None],
) -> list[Proof]:
    spawn = multiprocessing.get_context("spawn")  # nothing of this process is in the new one

    def start(name: str, one: Scratch) -> tuple[Any, Pipe]:
        ours, theirs = spawn.Pipe()
        arguments = (path, name, one.address, settings, theirs, one.ended)
        process = spawn.Process(target=_run, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return process, ours

    running: list[_Running] = []
    try:
        for name, one in databases.items():
            running.append(_Running(one, Proof(name, shown(one.url)), partial(start, name)))
            running[-1].begin()
        left = running
        while left:
            wait([each.pipe for each in left], 0.2)
            left = [each for each in left if not _hear(each, settings.timeout, progress)]
    finally:
        for each in running:
            if each.process is not None:
                each.process.kill()
                each.process.join()
    return [each.proof for each in running]


def _hear(one: _Running, timeout: float, progress: Callable[[str, int, int, str], None]) -> bool:
    """Receive what a process sends; return whether it has ended."""
    try:
        while one.pipe.poll():
            what, *values = one.pipe.recv()
            one.heard = time.monotonic()
            if what == "at":
                one.at = values[-1]
                progress(one.proof.database, *values)
            elif what == "step":
                one.step = values[0]
            elif what == "session":
                one.scratch.sessions.add(*values)
            else:
                one.proof = values[0]
                return True
    except EOFError:
        one.process.join()
        if one.process.exitcode in (-signal.SIGKILL, -signal.SIGTERM):  # by somebody else
            one.step = None
        return one.end("the process that ran it ended: it was killed, or crashed")
    # Before the first step, a busy machine may need long for all that is imported.
    if time.monotonic() - one.heard > (timeout if one.at or one.step else max(timeout, _START)):
        return one.end(f"a step took longer than {timeout:.0f} seconds")
    return False


def _run(
    path: Path, name: str, url: str, settings: Settings, pipe: Pipe, ended: dict[Place, str]
) -> None:
    """Prove one database, and send the results through the pipe."""
    from alembic_toolkit.prove.prover import prove  # the process that waits does not need it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that watches
    messages.note_typed(settings.command)
    logging.disable(logging.CRITICAL)
    gc.set_threshold(20_000, 50, 100)  # most of what a long history needs stays to the end
    warnings.simplefilter("ignore")
    # What revisions and env.py print does not belong into the report.
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    one = opened(parse_known(url))
    one.on_session = lambda session: pipe.send(("session", session))
    one.on_step = lambda place: pipe.send(("step", place))
    one.ended = ended
    last = threading.Thread(target=_leave_nothing, args=(one,), daemon=True)
    last.start()
    found = Proof(name, shown(one.url))
    begin, project = time.perf_counter(), None
    try:
        with one.engine.connect() as connection:
            version = connection.exec_driver_sql(one.server.version).scalar_one()
        found.server = one.server.title(version)
        project = Project.load(path, tuple(settings.x), url)
        if not settings.urls:
            command = messages.typed_with_url("roundtrip")
            refuse_another_server(project, one.server.facts.name, command)
        prove(project, one, settings, found, lambda *at: pipe.send(("at", *at)))
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
