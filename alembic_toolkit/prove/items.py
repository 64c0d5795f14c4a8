"""The tests of `pytest --roundtrip`: one for each revision and check, from a report's outcomes.

    alembic.ini::0007[postgresql-down]

All databases are proven at the same time, when the first test asks for an outcome.
"""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import graphlib
import inspect
import os
import pickle
import re
import sqlite3
import sys
import types
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.messages import note_typed
from alembic_toolkit.project import baselines, checks, revisions
from alembic_toolkit.project.env import read_config
from alembic_toolkit.prove import results, roundtrip, settings
from alembic_toolkit.prove.results import Finding, Outcome, Proof
from alembic_toolkit.prove.settings import Settings

WHOLE = "history"  # stands for the revisions in the name of a test that is about all of them
# What a project may define in its conftest.py; a suffix of the first names one of several.
ENGINE, METADATA, ROWS = "roundtrip_engine", "roundtrip_metadata", "roundtrip_rows"
_UNUSABLE = (CommandError, configparser.Error, OSError, ValueError)
# The checks in the names of tests: what pytest says of one that fails has 80 columns.
_SHORT = {results.DOWN: "down", results.UP_AGAIN: "again", results.ROWS: "rows"}
_PATIENCE = 24 * 3600.0  # seconds to wait for the worker that proves the same


class Plugin:
    """The part of the plugin that is registered on request."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.path = _path(config)
        config.addinivalue_line("markers", "roundtrip: a test of `pytest --roundtrip`")
        for argument in config.args:
            file, _, test = argument.partition("::")
            # It chooses single tests, or this file.
            if test or Path(config.invocation_params.dir, file).resolve() == self.path:
                return
        config.args.append(str(self.path))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Make the project's fixtures known to tests outside its directory."""
        manager = self.config.pluginmanager
        found = _given({id(plugin): plugin for plugin in manager.get_plugins()}.values())
        manager.register(found, "alembic-toolkit-given")

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        """Collect the configuration file as if it were one with tests."""
        if file_path != self.path:
            return None
        collector: pytest.Collector = History.from_parent(parent, path=file_path)
        return collector

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Report a skipped test with its file, and the others with the finding in short."""
        report = yield
        if isinstance(item, Check) and isinstance(report.longrepr, tuple):
            report.longrepr = (str(item.subject), 1, report.longrepr[2])
        elif isinstance(item, Check) and item.short and report.failed:
            report.longrepr.reprcrash.message = item.short
        return report


def _path(config: pytest.Config) -> Path:
    """Return the named configuration file, or the project's.

    :raises pytest.UsageError: there is none.
    """
    named = config.option.roundtrip_config or os.environ.get("ALEMBIC_CONFIG")
    if named:
        path = Path(config.invocation_params.dir, named).resolve()
        if not path.is_file():
            raise pytest.UsageError(f"--roundtrip: there is no file {path}")
        return path
    for directory in (config.invocation_params.dir, config.rootpath):
        for name in ("alembic.ini", "pyproject.toml"):
            with contextlib.suppress(*_UNUSABLE):
                path = Path(directory, name)
                if path.is_file():
                    read_config(path)
                    return path.resolve()
    raise pytest.UsageError(
        f"--roundtrip: there is no alembic.ini in {config.rootpath}; "
        "name it: --roundtrip-config path/to/alembic.ini"
    )


def _given(plugins: Iterable[object]) -> types.ModuleType:
    """Return what the project's conftest.py defines for a proof, and the required fixtures."""
    found = types.ModuleType("given")
    for plugin in plugins:
        names = [name for name in dir(plugin) if name.startswith((ENGINE, METADATA, ROWS))]
        while names and inspect.ismodule(plugin):
            name = names.pop()
            if hasattr(plugin, name) and not hasattr(found, name):
                fixture = getattr(plugin, name)
                setattr(found, name, fixture)
                if callable(fixture):
                    names += inspect.signature(fixture).parameters
    return found


# Collecting


@dataclass
class Database:
    """One database, or all those that one fixture yields."""

    name: str
    address: str | None = None
    fixture: str = ""


class History(pytest.File):
    """A history, as a file with tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the tests of the files, then of each database."""
        try:
            with _quietly():
                revisions = _revisions(self.path)
                self.settings = settings.read(self.path)
                self.settings.command = "pytest --roundtrip"
                note_typed(self.settings.command)
                option = self.config.option
                further = settings.THREE if option.roundtrip_all else ()
                self.settings.ask([*further, *(option.roundtrip_check or ())])
        except _UNUSABLE as error:
            raise self.CollectError(str(error).strip()) from None
        self.databases = self._databases()
        self.proven = Proven(self.path, self.settings, {one.path for one in revisions.values()})
        checks = self.settings.checks
        for check in (check for check in results.OF_HISTORY if check in checks):
            yield from (self._check(name, one, check) for name, one in revisions.items())
        if results.GRAPH in checks:
            yield self._check(WHOLE, None, results.GRAPH)
        for database in self.databases:
            for name, one in revisions.items():
                for check in (check for check in results.OF_REVISION if check in checks):
                    yield self._check(name, one, check, database)
            for check in (check for check in results.OF_DATABASE if check in checks):
                yield self._check(WHOLE, None, check, database)

    def _check(
        self, name: str, one: Revision | None, check: str, on: Database | None = None
    ) -> Check:
        short = _SHORT.get(check, check)
        shown = f"{name}[{on.name}-{short}]" if on else f"{name}[{short}]"
        made: Check = Check.from_parent(self, name=shown, callobj=_nothing)
        made.revision, made.check, made.database = one, check, on
        made.fixturenames = ["request"]  # and none of the project's autouse fixtures
        made.add_marker("roundtrip")
        made.extra_keyword_matches |= {check, *([Path(one.path).stem] if one else [])}
        return made

    def _databases(self) -> list[Database]:
        """Return those of the command line, else of fixtures, else of pyproject.toml, else one."""
        given = self.config.pluginmanager.get_plugin("alembic-toolkit-given")
        fixtures = [name for name in dir(given) if name.startswith(ENGINE)]
        if fixtures and not self.config.option.roundtrip_url:
            named = {name: name.removeprefix(ENGINE).strip("_") or "engine" for name in fixtures}
            return [Database(named[name], fixture=name) for name in fixtures]
        urls = self.config.option.roundtrip_url or self.settings.urls or [None]
        try:
            names = roundtrip.names(urls)
        except CommandError as error:
            raise self.CollectError(str(error)) from None
        return [Database(name, url) for name, url in zip(names, urls, strict=True)]


@dataclass(frozen=True)
class Revision:
    """The names of one revision."""

    id: str
    path: str


def _revisions(path: Path) -> dict[str, Revision]:
    """Return the revisions by the names of their tests, in the order in which they run."""
    directory = ScriptDirectory.from_config(read_config(path))
    found, unread = revisions.read(directory)
    broken = revisions.broken(directory)
    if broken and not found:
        raise CommandError(str(broken[0]))
    if unread and not broken:  # Alembic knows them: it imports the files
        loaded = [*baselines.seen(directory).walk_revisions()][::-1]
        order = [Revision(script.revision, revisions.shown(Path(script.path))) for script in loaded]
    else:
        order = [Revision(one.id, revisions.shown(one.path)) for one in _sorted(checks.seen(found))]
    ids = Counter(one.id for one in order)
    return {one.id if ids[one.id] == 1 else _full_name(one): one for one in order}


def _full_name(one: Revision) -> str:
    """Return the name of a revision that shares its id with another."""
    return f"{one.id}_{Path(one.path).stem}"


def _sorted(found: list[revisions.Revision]) -> list[revisions.Revision]:
    """Return the older ones first; unsorted, when the graph is broken."""
    by_id = {one.id: one for one in found}
    before = {one.id: (*one.down_revisions, *one.depends_on) for one in found}
    try:
        order = [by_id[id_] for id_ in graphlib.TopologicalSorter(before).static_order()]
    except (graphlib.CycleError, KeyError):
        return found
    return order if len(order) == len(found) else found


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the session's path and warnings filters as they are: an ini file may change them."""
    path = [*sys.path]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path[:] = path


def _nothing(request: Any) -> None:
    """Stand in for the function of a test."""


# Running


class Check(pytest.Function):
    """One check of one revision, or of the whole history."""

    parent: History
    revision: Revision | None
    check: str
    database: Database | None
    short: str = ""  # what is wrong, in the words that fit beside the name

    @property
    def subject(self) -> str | Path:
        return self.revision.path if self.revision else self.parent.path

    def setup(self) -> None:
        """Prove the history, if that is not done yet."""
        super().setup()
        if self.database is not None:
            self.parent.proven.need(self.database, self)

    def runtest(self) -> None:
        """Pass, fail or skip, by the outcome."""
        if self.database is None:
            found = self.parent.proven.of_files(self.check, self.revision)
            if not found:
                return
            known = self.parent.settings.exceptions
            reason = known.get((self.revision.id if self.revision else "", self.check))
            if reason is not None:
                pytest.xfail(f"known exception: {reason}")
            self._fail(found)
        assert self.parent.proven.results is not None
        for one in self.parent.proven.results.proofs[self.database.name]:
            self._judge(one)

    def outcomes(self, one: Proof) -> dict[str, Outcome]:
        """Return what came of the checks of its revision, or of the history, on one database."""
        if self.revision is None:
            return one.checks
        return next((r.checks for r in one.revisions if r.id == self.revision.id), {})

    def _judge(self, one: Proof) -> None:
        """Pass, fail or skip, by the outcome on one database."""
        outcomes = self.outcomes(one)
        outcome = outcomes.get(self.check)
        if outcome is None and one.error:
            self.parent.proven.stop(self, f"could not run on {one.database}: {one.error}")
        if outcome is None:
            # The check that ended it.
            ends = (f"{c}: {o.why}" for c, o in outcomes.items() if o.status != results.PROVEN)
            why = next(ends, "a revision before it has a finding")
            outcome = Outcome(results.NOT_REACHED, why)
        if outcome.status == results.FAULTY:
            id_ = self.revision.id if self.revision else ""
            found = [f for f in one.findings if (f.revision, f.check) == (id_, self.check)]
            self._fail(found, outcome.why)
        if outcome.status == results.EXCEPTED:
            pytest.xfail(f"{outcome.status}: {outcome.why}")
        if outcome.status != results.PROVEN:
            pytest.skip(f"{outcome.status}: {outcome.why}")

    def _fail(self, found: list[Finding], otherwise: str = "") -> NoReturn:
        self.short = _in_short(found[0]) if found else ""
        pytest.fail("\n\n".join(map(_words, found)) or otherwise, pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.parent.path, None, self.name


def _in_short(finding: Finding) -> str:
    """Return a finding on one line, beginning with what is left, lost or raised."""
    problem = _PLACE.sub("", finding.problem)
    tables = (line for line in finding.details if _TABLE.match(line))
    first = next(tables, *finding.details[:1] or [""]).strip()
    if not first or finding.check in _IN_PROBLEM:
        return problem
    return f"{first}: {problem}"


# The checks whose problem, not the first of its details, says what is wrong.
_IN_PROBLEM = (*results.OF_HISTORY, results.LOCKS)
_TABLE = re.compile(r"[+-] table ")  # which stands below its columns
_PLACE = re.compile(r"^line \d+: |^\S+\.py:\d+: ")


def _words(finding: Finding) -> str:
    """Return a finding as text: what is wrong, where, how, and what to write instead."""
    lines = [finding.problem, *(f"    {line}" for line in finding.details)]
    if finding.path:
        lines.insert(1, f"in {finding.path}{f' on {finding.database}' if finding.database else ''}")
    if finding.remedy:
        lines += ["Write instead:", *(f"    {line}" for line in finding.remedy.splitlines())]
    return "\n".join(lines)


# The proof


@dataclass
class Results:
    """The proofs of the databases, by name; another process may have them."""

    proofs: dict[str, list[Proof]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    are_complete: bool = False


class Proven:
    """A proof that is made when a test needs it."""

    def __init__(self, path: Path, wanted: Settings, paths: set[str]) -> None:
        self.path, self.settings, self.paths = path, wanted, paths
        self.results: Results | None = None
        self.files: list[Finding] | None = None

    def of_files(self, check: str, revision: Revision | None) -> list[Finding]:
        """Return the findings in a revision's file; with None, those in no single one."""
        if self.files is None:
            every = dataclasses.replace(self.settings, exceptions={})
            with _quietly():
                self.files = roundtrip.read_files(self.path, every).findings
        if revision is not None:
            return [f for f in self.files if (f.check, f.path) == (check, revision.path)]
        return [f for f in self.files if f.path not in self.paths]

    def need(self, database: Database, item: Check) -> None:
        """Prove the databases of all tests that were chosen; skip or fail without an outcome.

        :param item: the test that asks.
        """
        if self.results is None:
            chosen = [one for one in item.session.items if isinstance(one, Check)]
            needed = {one.database.name for one in chosen if one.database is not None}
            databases = [one for one in item.parent.databases if one.name in needed]
            request: Any = item.funcargs["request"]
            with _shared(request) as results:
                if not results.are_complete:
                    self._prove(databases, request, results)
                    results.are_complete = True
            self.results = results
        if database.name in self.results.skipped:
            pytest.skip(self.results.skipped[database.name])
        if database.name in self.results.errors:
            self.stop(item, self.results.errors[database.name])

    def stop(self, item: Check, error: str) -> NoReturn:
        """Fail the first test of a database that cannot be used, and skip the others.

        Every worker of pytest-xdist has all tests, in the same order: one of them fails it.
        """
        assert item.database is not None
        name = item.database.name
        first = next(filter(partial(self._lacks, name), item.session.items))
        if item is first:
            item.short = re.sub(r"^\S+:/\S+ ", "", _said(error))  # without the URL, which is long
            pytest.fail(error, pytrace=False)
        pytest.skip(f"nothing was run on {name}, see {first.name}: {_said(error)}")

    def _lacks(self, database: str, item: pytest.Item) -> bool:
        """Return whether a test is about a database, and has no outcome on it."""
        if not isinstance(item, Check) or item.database is None or item.database.name != database:
            return False
        assert self.results is not None
        proofs = self.results.proofs.get(database, [])
        return not proofs or any(item.check not in item.outcomes(one) for one in proofs)

    def _prove(
        self, databases: list[Database], request: pytest.FixtureRequest, results: Results
    ) -> None:
        """Prove all databases at the same time."""
        addresses: dict[str, list[str]] = {}
        for one in databases:
            try:
                given = request.getfixturevalue(one.fixture) if one.fixture else one.address
                several = given if isinstance(given, list | tuple) else [given]
                addresses[one.name] = [_url(engine) for engine in several]
            except pytest.skip.Exception as skipped:
                results.skipped[one.name] = str(skipped)
            except Exception as error:
                what = f"{type(error).__name__}: {error}".partition("\n")[0]
                results.errors[one.name] = f"{one.fixture} cannot be had: {what}"
        try:
            wanted = self._wanted(request)
        except _UNUSABLE as error:
            results.errors |= dict.fromkeys(addresses, str(error))
            return
        if addresses:
            self._run(addresses, wanted, results)

    def _wanted(self, request: pytest.FixtureRequest) -> Settings:
        """Return the settings, with what the project's fixtures give."""
        wanted = dataclasses.replace(self.settings)
        given = request.config.pluginmanager.get_plugin("alembic-toolkit-given")
        if hasattr(given, METADATA):
            wanted.metadata = request.getfixturevalue(METADATA)
        if hasattr(given, ROWS):
            wanted.rows = wanted.rows | request.getfixturevalue(ROWS)
        return wanted

    def _run(self, addresses: dict[str, list[str]], wanted: Settings, results: Results) -> None:
        """Prove them together; one by one, if one of them prevents the others from being proven."""
        urls = [url for of_one in addresses.values() for url in of_one]
        wanted = dataclasses.replace(wanted, urls=urls)
        try:
            with _quietly():
                report = roundtrip.roundtrip(self.path, wanted)
        except _UNUSABLE as error:
            if len(addresses) == 1:
                results.errors |= dict.fromkeys(addresses, str(error).strip())
                return
            for name, of_one in addresses.items():
                self._run({name: of_one}, wanted, results)
            return
        proofs = iter(report.proofs)
        for name, of_one in addresses.items():
            results.proofs[name] = [one for _, one in zip(of_one, proofs, strict=False)]
            if not results.proofs[name]:
                why = "nothing was run on a database: the graph of the history has findings"
                results.errors[name] = why


def _said(error: str) -> str:
    """Return the first line of an error."""
    return (error.strip() or "no message").splitlines()[0]


def _url(given: Any) -> str:
    """Return the URL of an engine with its password; a URL, or None, may be given as well."""
    url = getattr(given, "url", given) or "sqlite://"
    return url if isinstance(url, str) else str(url.render_as_string(hide_password=False))


@contextlib.contextmanager
def _shared(request: pytest.FixtureRequest) -> Iterator[Results]:
    """Give the results of another worker of pytest-xdist; if there are none, store this one's.

    They are in a file of SQLite, which is a lock, too, and one that no crash leaves behind.
    """
    if not hasattr(request.config, "workerinput"):
        yield Results()
        return
    directory: Path = request.getfixturevalue("tmp_path_factory").getbasetemp().parent
    path = directory / "roundtrip.db"
    with contextlib.closing(
        sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE IF NOT EXISTS results (pickled BLOB)")
        row = connection.execute("SELECT pickled FROM results").fetchone()
        results = pickle.loads(row[0]) if row else Results()
        yield results
        if not row:
            connection.execute("INSERT INTO results VALUES (?)", (pickle.dumps(results),))
        connection.execute("COMMIT")
