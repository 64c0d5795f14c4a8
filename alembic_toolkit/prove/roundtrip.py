"""Prove a history: the files first, then each database in a process of its own.

    alembic-toolkit roundtrip --url postgresql+psycopg://postgres@localhost/scratch

The process that walks through the history can hang, or be killed. This one opens each scratch
database before, and empties it after, whatever happens to the other.
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
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.database.address import parse_known, shown
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.project import checks, revisions
from alembic_toolkit.project.env import Project, hint, read_config
from alembic_toolkit.prove import results
from alembic_toolkit.prove.prover import prove
from alembic_toolkit.prove.results import Finding, Proof, Report
from alembic_toolkit.prove.scratch import Scratch, close, opened, scratch
from alembic_toolkit.prove.settings import Settings, read


@dataclass
class _Running:
    """A process at work on one database."""

    scratch: Scratch
    process: Any
    pipe: Pipe
    proof: Proof
    heard: float = field(default_factory=time.monotonic)
    at: str = ""

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
    report = read_files(path, settings)
    if not any(finding.check == results.GRAPH for finding in report.findings):
        addresses: Sequence[str | None] = settings.urls or [None]
        with ExitStack() as stack:
            given = [stack.enter_context(scratch(url)) for url in addresses]
            databases = dict(zip(names(addresses), given, strict=True))
            report.proofs = _work(path, settings, databases, progress)
        _note_stale(report, settings)
    report.seconds = time.perf_counter() - begin
    return report


def _note_stale(report: Report, settings: Settings) -> None:
    """Note which known exceptions are proven everywhere by now, and can go."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in report.proofs:
        for id_, outcomes in [("", one.checks), *((r.id, r.checks) for r in one.revisions)]:
            for check, outcome in outcomes.items():
                found.setdefault((id_, check), set()).add(outcome.status)
    for id_, check in settings.exceptions:
        if found.get((id_, check)) == {results.PROVEN}:
            about = f"revision {id_}" if id_ else "the whole history"
            note = f"a known exception is none any more, {about}, {check!r}: it is proven now"
            for one in report.proofs:
                one.notes.append(note)


def _portable(settings: Settings) -> Settings:
    """Make metadata fit for another process: without what only matters when rows are written.

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
    """Copy metadata without the defaults of Python, which are often a lambda."""
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

    :raises CommandError: one is not Python.
    """
    config = read_config(path)
    script = ScriptDirectory.from_config(config)
    readable, unread = revisions.read(script)
    report = Report(str(path), len(readable))
    for one in unread:
        if "computed" not in one.problem:  # Alembic, which imports the file, knows
            raise CommandError(str(one))
    found: dict[str, Iterable[revisions.Finding]] = {}
    if not unread:
        found[results.GRAPH] = checks.graph(readable)
        # Several heads are fine where the labels of branches tell them apart.
        if not found[results.GRAPH] and not any(one.branch_labels for one in readable):
            found[results.GRAPH] = checks.several_heads(readable)
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
    running: list[_Running] = []
    try:
        for name, one in databases.items():
            ours, theirs = spawn.Pipe()
            arguments = (path, name, one.address, settings, theirs)
            process = spawn.Process(target=_run, args=arguments, daemon=True)
            process.start()
            theirs.close()
            running.append(_Running(one, process, ours, Proof(name, shown(one.url))))
        left = running
        while left:
            wait([each.pipe for each in left], 0.2)
            left = [each for each in left if not _hear(each, settings.timeout, progress)]
    finally:
        for each in running:
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
            elif what == "session":
                one.scratch.sessions.add(*values)
            else:
                one.proof = values[0]
                return True
    except EOFError:
        one.proof.error = f"the process that ran it ended{one.after}: it was killed, or crashed"
        return True
    if time.monotonic() - one.heard > timeout:
        one.process.kill()
        one.proof.error = f"a step took longer than {timeout:.0f} seconds{one.after}"
        return True
    return False


def _run(path: Path, name: str, url: str, settings: Settings, pipe: Pipe) -> None:
    """Prove one database, and send the results through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that watches
    logging.disable(logging.CRITICAL)
    gc.set_threshold(20_000, 50, 100)  # most of what a long history needs stays to the end
    warnings.simplefilter("ignore")
    # What revisions and env.py print does not belong into the report.
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    one = opened(parse_known(url))
    one.on_session = lambda session: pipe.send(("session", session))
    last = threading.Thread(target=_leave_nothing, args=(one,), daemon=True)
    last.start()
    found = Proof(name, shown(one.url))
    begin = time.perf_counter()
    project = None
    try:
        with one.engine.connect() as connection:
            version = connection.exec_driver_sql(one.server.version).scalar_one()
        found.server = one.server.title(version)
        project = Project.load(path, tuple(settings.x), url)
        prove(project, one, settings, found, lambda *at: pipe.send(("at", *at)))
    except CommandError as error:
        found.error = str(error)
    except BaseException as error:
        place = project.place(error) if project else ""
        found.error = f"{type(error).__name__}: {error}{place}{hint(error)}"
    found.seconds = time.perf_counter() - begin
    try:
        pipe.send(("done", found))
    except OSError:  # nobody listens any more
        last.join()


def _leave_nothing(one: Scratch) -> None:
    """Empty the database when the process that started this one is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        one.on_session = lambda session: None  # nobody listens any more
        one.last = threading.get_ident()  # else the walk would connect again
        try:
            close(one)
        finally:
            os._exit(2)
