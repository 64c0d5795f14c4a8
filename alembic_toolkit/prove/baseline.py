"""Compare a hand-written root with the revisions that it replaces, on real servers.

Both are run on an empty database, one after the other. The schema, the rows that the revisions
themselves insert, and the next numbers of sequences must be the same; and the root's downgrade must
leave nothing. Values that differ between two runs of the old revisions (a time, a random number)
are not compared, and the report says so.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.database.address import concealed
from alembic_toolkit.database.own import own, own_of
from alembic_toolkit.project import baselines
from alembic_toolkit.project.env import Project, own_drivername, read_config, refuse_another_server
from alembic_toolkit.project.revisions import shown
from alembic_toolkit.prove import wording
from alembic_toolkit.prove.given import wheel
from alembic_toolkit.prove.recorder import recorder
from alembic_toolkit.prove.scratch import Scratch, empty, scratch
from alembic_toolkit.prove.servers import server_of
from alembic_toolkit.prove.walk import Step, load_in_env, walk
from alembic_toolkit.rows.content import Content, Rows
from alembic_toolkit.rows.read import read
from alembic_toolkit.rows.tables.look import look
from alembic_toolkit.schema.snapshot import Snapshot, difference
from alembic_toolkit.schema.stored import as_snapshot, differences, judged
from alembic_toolkit.schema.take import take

_MOST = 5  # rows of a table that are shown


@dataclass
class Compared:
    """The result on one server."""

    server: str
    root: str
    old: tuple[str, ...]  # what it replaces: the first and the last
    made: str = ""  # how much both made
    lines: list[str] = field(default_factory=list)  # from what the old revisions made to the root's
    left: list[str] = field(default_factory=list)  # by the root's downgrade
    notes: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Return whether the root stands for what it replaces."""
        return not self.lines and not self.left

    def __str__(self) -> str:
        """Return what is shown of it."""
        old = " to ".join(dict.fromkeys(self.old))
        lines = [f"{self.server}: {self.root} makes what {old} made: {self.made}"]
        if self.lines:
            number = f"{len(self.lines)} difference{'s' if len(self.lines) > 1 else ''}"
            head = f"{self.server}: {number}, from what {old} made to what {self.root} makes:"
            lines = [head, *(f"    {line}" for line in self.lines)]
        if self.left:
            lines += [f"{self.server}: the downgrade of {self.root} leaves:"]
            lines += [f"    {line}" for line in self.left]
        return "\n".join([*lines, *(f"{self.server}: {note}" for note in self.notes)])


@dataclass(frozen=True)
class _Made:
    """The result of running revisions on an empty database."""

    snap: Snapshot
    rows: Rows
    counters: dict[str, int]


def compare(
    config: Path, file: Path, urls: Sequence[str | None], x: Sequence[str] = ()
) -> Iterator[Compared]:
    """Compare a root with what it replaces, on each of these databases.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param file: the root's.
    :param urls: of empty databases, which are empty again afterwards; None for a temporary file
     of SQLite, or the PostgreSQL of a package, as the project's own server is.
    :raises CommandError: the file replaces nothing; the replaced files are not all there, or do
     not run; a database cannot be used.
    """
    for url in urls:
        with _address(config, tuple(x), url) as address, scratch(address) as one, recorder(one):
            url = url or address
            yield _Comparison(config, file, one, x, given=url is not None).run()


@contextmanager
def _address(config: Path, x: tuple[str, ...], url: str | None) -> Iterator[str | None]:
    """Give a URL, or that of a server which is there for the asking, if it is the project's own."""
    loaded = read_config(config)
    project = Project(config, loaded, ScriptDirectory.from_config(loaded), x)
    known = {} if url else {"fn": lambda *_: (), "destination_rev": "heads"}  # `run` asks for them
    name = "" if url else own_drivername(project, **known).partition("+")[0]
    with wheel() if name and server_of(name).has_wheel else nullcontext(url) as address:
        yield address


class _Comparison:
    """Runs both on one database."""

    def __init__(
        self, config: Path, file: Path, one: Scratch, x: Sequence[str], given: bool
    ) -> None:
        self.scratch = one
        self.project = Project.load(config, tuple(x), one.address)
        if not given:
            command = f"alembic-toolkit check --baseline {shown(file.resolve())} --url"
            refuse_another_server(self.project, one.server.facts.name, command)
        if not self.project.order:
            load_in_env(self.project, one)
        self.root = self._root(file)
        self.node = baselines.node_of(self.root)
        self.tables: tuple[str, ...] = own()

    def _root(self, file: Path) -> Script:
        """Return the revision of a file, which need not be among the others yet."""
        directory = self.project.directory
        found = baselines.with_draft(directory, file)
        if not baselines.node_of(found).replaces:
            raise CommandError(
                f"{shown(file.resolve())} replaces nothing: nothing was run\n"
                f"  found   revision {found.revision} without replaces\n"
                "  wanted  a root, and the ids of the revisions that it stands for\n"
                "What to do next, in that file:\n"
                '    down_revision = None\n    replaces = ("0001", "0002")  # the oldest first'
            )
        return found

    def run(self) -> Compared:
        """Run the old revisions, then the root, up and down."""
        server, number = self.scratch.server, self.node.replaces
        with self.scratch.engine.connect() as connection:
            version = connection.exec_driver_sql(server.version).scalar_one()
        found = Compared(server.title(version), self.root.revision, (number[0], number[-1]))
        nothing = self._look()
        old = self._run_old()
        new = self._run_root(found)
        if new is None:
            return found
        found.left = self._downgrade(nothing, found)
        rows = _differing(old.rows, new.rows)
        if rows:
            rows = self._constant(old, new, found)
        counters = _numbers(old.counters, new.counters)
        found.lines = [*self._schemas(old.snap, new.snap, found), *rows, *counters]
        found.made = _sizes(old)
        return found

    def _schemas(self, old: Snapshot, new: Snapshot, found: Compared) -> list[str]:
        """Return how the schemas differ, but for names that the server made up.

        Nor for casts: a type that was changed leaves them in checks, which no root could write.
        """
        with self.scratch.engine.connect() as connection:
            both = judged(old, connection), judged(new, connection)
            lines = differences(connection, *both)
        every = difference(*map(as_snapshot, both))
        found.notes += [
            f"the same but for casts, which a change of type leaves: {line}"
            for line in every
            if line not in lines
        ]
        return lines

    # The runs, each from an empty database

    def _run_old(self) -> _Made:
        empty(self.scratch)
        directory, last = self.project.directory, self.node.replaces[-1]
        known = baselines.baselines_of(directory)
        there = {*known.nodes}
        if gone := [id_ for id_ in self.node.replaces if id_ not in there]:
            raise CommandError(
                f"{self.root.revision} replaces {', '.join(gone[:5])}, and no file has"
                f" {'it' if len(gone) == 1 else 'them'}: nothing was compared\n"
                "Stopped, because only the files say what they made.\n"
                "What to do next, where they are still there (git log --diff-filter=D -- FILE):\n"
                "    alembic-toolkit check --baseline FILE"
            )
        baselines.apply(directory, (), (last,))
        order = [*directory.iterate_revisions(last, "base")][::-1]
        try:
            self._walk([self.project.step(one, up=True) for one in order])
        except Exception as error:
            raise CommandError(
                f"the revisions that {self.root.revision} replaces do not run: "
                f"{self._said(error)}{self.project.place(error)}"
            ) from error
        return self._made()

    def _run_root(self, found: Compared) -> _Made | None:
        empty(self.scratch)
        baselines.apply(self.project.directory)
        try:
            self._walk([self._step(up=True)])
        except Exception as error:
            found.lines = self._failed("upgrade", error)
            return None
        return self._made()

    def _downgrade(self, nothing: Snapshot, found: Compared) -> list[str]:
        if wording.refuses(self.root) or hasattr(self.root.module, "irreversible"):
            found.notes.append("its downgrade is declared irreversible, and was not run")
            return []
        try:
            self._walk([self._step(up=False)])
        except Exception as error:
            return self._failed("downgrade", error)
        return difference(nothing, self._look())

    def _step(self, up: bool) -> Step:
        one = self.project.directory.get_revision(self.root.revision)  # as Alembic sees it now
        assert one is not None
        return self.project.step(one, up)

    def _walk(self, steps: list[Any]) -> None:
        def begun(context: MigrationContext) -> Iterator[Step]:
            self.tables = own_of(context)
            context.impl.memo.clear()  # the enum types that this process has made before
            yield from steps

        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            with redirect_stdout(StringIO()):
                walk(self.project, self.scratch, begun)
        finally:
            logging.disable(before)

    def _failed(self, what: str, error: Exception) -> list[str]:
        lines = wording.error_lines(error, Path(self.root.path), ())
        lines = [concealed(self.scratch.url, line) for line in lines]
        return [f"its {what} fails: {lines[0]}", *lines[1:]]

    def _said(self, error: Exception) -> str:
        return concealed(self.scratch.url, " ".join(f"{type(error).__name__}: {error}".split()))

    # What they made

    def _look(self) -> Snapshot:
        with self.scratch.engine.connect() as connection:
            return take(connection, ignore=self.tables)

    def _made(self) -> _Made:
        with self.scratch.engine.connect() as connection:
            snap = take(connection, ignore=self.tables)
            rows = read(connection, look(connection, None, self.tables))
            counters = self.scratch.server.counters(connection)
        ours = {name.rpartition(" ")[2].strip('"').split("_id_seq")[0]: name for name in counters}
        for name in self.tables:
            counters.pop(ours.get(name, ""), None)
        return _Made(snap, rows, counters)

    def _constant(self, old: _Made, new: _Made, found: Compared) -> list[str]:
        """Return the differences of rows, but for what each run makes differently.

        The root ran between two runs of the old revisions: a moment of the server's that is the
        same in both is the same in the root's.
        """
        again = self._run_old()
        skipped = {
            name: changing
            for name, content in old.rows.items()
            if name in again.rows and (changing := _changing(content, again.rows[name]))
        }
        found.notes += [
            f"not compared, because they differ in each run: {name}.{', '.join(sorted(columns))}"
            for name, columns in sorted(skipped.items())
        ]
        return _differing(old.rows, new.rows, skipped)


# How they differ


def _changing(one: Content, other: Content) -> set[str]:
    """Return the columns whose values differ between two runs."""
    names = {*one.table.names} & {*other.table.names}
    return {
        name
        for name in names
        if Counter(map(repr, one.values(name))) != Counter(map(repr, other.values(name)))
    }


def _differing(before: Rows, after: Rows, skipped: dict[str, set[str]] | None = None) -> list[str]:
    """Return the rows that only one has: of tables that both have, by the columns of both."""
    lines = []
    for name in sorted(before.keys() & after.keys()):
        names = {*before[name].table.names} & {*after[name].table.names}
        names -= (skipped or {}).get(name, set())
        old, new = (_texts(one[name], sorted(names)) for one in (before, after))
        for sign, found in ("-", old - new), ("+", new - old):
            rows = sorted(found.elements())
            lines += [f"{sign} row of {name}: {row}" for row in rows[:_MOST]]
            if len(rows) > _MOST:
                lines.append(f"{sign} {len(rows) - _MOST} more rows of {name}")
    return lines


def _texts(content: Content, names: list[str]) -> Counter[str]:
    at = [content.index(name) for name in names]
    return Counter(
        ", ".join(f"{name} = {_value(row[n])}" for name, n in zip(names, at, strict=True))
        for row in content.rows
    )


def _value(value: Any) -> str:
    text = str(value) if hasattr(value, "normalize") else repr(value)
    return text if len(text) < 200 else f"{text[:150]}... ({len(text)} characters)"


def _numbers(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the sequences that give another number next; of one that only one has, see there."""
    names = sorted(before.keys() | after.keys())
    pairs = ((name, before.get(name, 1), after.get(name, 1)) for name in names)
    return [f"~ {name}: next is {old} -> {new}" for name, old, new in pairs if old != new]


def _sizes(made: _Made) -> str:
    kinds = Counter(thing.kind for thing in made.snap)
    rows = sum(len(content.rows) for content in made.rows.values())
    wanted = (("table", kinds["table"]), ("index", kinds["index"]), ("row", rows))
    plural = {"index": "indexes"}
    return ", ".join(
        f"{number} {name if number == 1 else plural.get(name, f'{name}s')}"
        for name, number in wanted
    )
