"""Judge whose code a revision breaks: old code on the new schema, new code on the old one.

Statements are derived from each schema and run on the other. What fails there counts where it
succeeds on its own: an odd table, whose rows cannot be made up, says nothing of a revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from alembic_toolkit.database.driver import identifier
from alembic_toolkit.database.errors import is_lost
from alembic_toolkit.prove import results
from alembic_toolkit.prove.deploy.code import Schemas, Use, rows_of, shown
from alembic_toolkit.prove.deploy.concerned import Concerned, concerned, views_in
from alembic_toolkit.prove.deploy.declared import declared, judge_declared, line_of
from alembic_toolkit.prove.deploy.one_by_one import Failed
from alembic_toolkit.prove.deploy.servers import runner_of
from alembic_toolkit.prove.fallback import Attempt
from alembic_toolkit.prove.known import Known, Moment
from alembic_toolkit.prove.results import Breaks, Order, Running
from alembic_toolkit.prove.steps import Restart, Steps, Walking
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.rows import differences
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.fill import fill
from alembic_toolkit.rows.filling import NASTY
from alembic_toolkit.rows.read import read
from alembic_toolkit.rows.tables.table import Tables, parents
from alembic_toolkit.rows.write import savepoint, undone
from alembic_toolkit.schema.snapshot import Snapshot, Thing

_VERDICTS = {  # whether old code breaks, and whether new code does
    (False, False): results.ANY_ORDER,
    (False, True): results.MIGRATE_FIRST,
    (True, False): results.DEPLOY_FIRST,
    (True, True): results.NEITHER,
}
_KEPT = "rows of some tables cannot be taken back: their engine knows no transactions"


@dataclass
class _Code:
    """The code for one schema: what it runs, and what of that fails on the other schema."""

    uses: list[Use] = field(default_factory=list)
    failed: Failed = field(default_factory=dict)

    def run(self, connection: Connection, unenforced: str) -> None:
        """Run it on the other schema.

        :param unenforced: the error that does not count; nothing, where all do.
        """
        failed = runner_of(connection).fails(connection, self.uses) if self.uses else {}
        self.failed = {
            sql: error
            for sql, error in failed.items()
            if not unenforced or not error.startswith(unenforced)
        }

    def excuse(self, connection: Connection) -> None:
        """Run what failed on its own schema; if it fails there as well, it does not count."""
        by_sql = {use.sql: use for use in self.uses}
        left = [by_sql.get(sql, Use("", sql)) for sql in self.failed]
        own = runner_of(connection).fails_alone(connection, left) if left else {}
        self.failed = {sql: error for sql, error in self.failed.items() if sql not in own}

    def breaks(self, code: str) -> Iterable[Breaks]:
        """Yield the broken statements: the first one for each table and error."""
        of = {sql: use.table for use in self.uses for sql in (use.sql, *use.parts)}
        told = set()
        for sql, error in self.failed.items():
            if (of[sql], error) not in told:
                told.add((of[sql], error))
                yield Breaks(code, of[sql], shown(sql), error)


@dataclass
class _Trial:
    """The trial of one revision, from its upgrade to the one after its downgrade."""

    concerned: Concerned
    before: Moment
    tables: Tables  # before
    views: dict[str, str]  # before
    old: _Code = field(default_factory=_Code)
    new: _Code = field(default_factory=_Code)
    after: Tables = field(default_factory=dict)
    views_after: dict[str, str] = field(default_factory=dict)
    is_seen: bool = False  # `after` is known
    is_back: bool = False  # the downgrade made the schema as it was


@dataclass
class OldCode:
    """Judges in which order upgrades and code can be deployed, if requested."""

    steps: Steps
    known: Known
    verdicts: Verdicts
    trials: dict[int, _Trial] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # of all views
    selects: dict[str, str] = field(default_factory=dict)  # what reads all columns of each view

    def wants(self, position: int) -> bool:
        """Tell whether a revision must be judged."""
        only = self.verdicts.wanted.only
        is_left = only is None or self.steps.order[position].revision in only
        return is_left and results.OLD_CODE in self.verdicts.wanted.checks

    def begin(self) -> None:
        """Look at the views that are there."""
        if results.OLD_CODE in self.verdicts.wanted.checks:
            self.texts = views_in(self.known.snap)
            with self.steps.aside() as connection:
                self.selects = dict(self._selects(connection, self.texts))

    def migrated(self, position: int, before: Moment, tables: Tables) -> None:
        """Run old code, after an upgrade and before rows are added."""
        if not self.wants(position):
            return
        with self._noting(position), self.steps.aside() as connection:
            seen, old = self.known, self.selects.copy()
            found = concerned(before.snap, seen.snap, (tables, seen.tables), self.texts)
            trial = _Trial(found, before, tables, old)
            if not found:
                return self._judge(position, trial)
            if not self._takes_back(found):
                return self.verdicts.excuse(position, results.OLD_CODE, _KEPT)
            self.trials[position] = trial
            with self._filled(connection, trial) as added:
                rows = rows_of(self._needed(found, tables), before.rows, seen.contents, added)
                schemas = Schemas(connection, tables, self._fresh(connection, found), rows)
                trial.old.uses = self._uses(schemas, found, old)
                trial.old.run(connection, self._unenforced)
            for name in found.views:
                self.selects.pop(name, None)
            self.selects |= dict(self._selects(connection, found.views & self.texts.keys()))

    def filled(self, position: int) -> None:
        """Derive new code, when the tables above have rows."""
        trial = self.trials.get(position)
        if trial is None:
            return
        with self._noting(position), self.steps.aside() as connection:
            trial.after, trial.is_seen = self._fresh(connection, trial.concerned), True
            rows = rows_of(self._needed(trial.concerned, trial.after), self.known.contents)
            schemas = Schemas(connection, trial.after, trial.tables, rows)
            trial.views_after = self.selects.copy()
            trial.new.uses = self._uses(schemas, trial.concerned, self.selects)

    def taken_back(self, position: int) -> None:
        """Run new code on the schema below, and there what failed of old code above."""
        trial = self.trials.get(position)
        if trial is None or self.known.snap != trial.before.snap:
            return
        trial.is_back = True
        with (
            self._noting(position),
            self.steps.aside() as connection,
            self._filled(connection, trial),
        ):
            trial.new.run(connection, self._unenforced)
            trial.old.excuse(connection)

    def again(self, position: int) -> None:
        """Run above what failed of new code below, and judge."""
        trial = self.trials.get(position)
        if trial is None or not trial.is_back:
            return
        with self._noting(position), self.steps.aside() as connection:
            trial.new.excuse(connection)
            self._judge(position, self.trials.pop(position))

    @contextmanager
    def _noting(self, position: int) -> Iterator[None]:
        """Note a revision as not judged where its code cannot be tried: all else goes on."""
        try:
            yield
        except Exception as error:
            if is_lost(error, self.steps.context.connection):
                raise
            self.trials.pop(position, None)
            words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            why = f"its code cannot be tried: {words}"
            self.verdicts.excuse(position, results.OLD_CODE, why)

    def _judge(self, position: int, trial: _Trial) -> None:
        breaks = (*trial.old.breaks("old"), *trial.new.breaks("new"))
        verdict = _VERDICTS[bool(trial.old.failed), bool(trial.new.failed)]
        revision = self.steps.order[position]
        order = Order(verdict, breaks, declared(revision), line_of(Path(revision.path)))
        self.verdicts.proof.revisions[position].order = order
        judge_declared(self.verdicts, revision, position, order)
        self.verdicts.note(position, results.OLD_CODE)

    def _takes_back(self, found: Concerned) -> bool:
        """Tell whether rows written to these tables can be rolled back."""
        named = (Thing("table", "", name) for name in found.tables | found.parents)
        some = Snapshot()
        some.update({t: self.known.snap[t] for t in named if t in self.known.snap})
        return self.steps.scratch.server.takes_back(some)

    @contextmanager
    def _filled(self, connection: Connection, trial: _Trial) -> Iterator[Rows]:
        """Put rows into tables that have none, and take them back: a revision may refuse rows.

        What the revision has just made stays empty.
        """
        tables, contents, left = self.known.tables, self.known.contents, set[str]()
        names = [*trial.concerned.tables, *trial.concerned.parents]
        for name in names:
            if name in tables and name in trial.tables and name not in left:
                left.add(name)
                names += parents(tables, [name])
        bare = sorted(name for name in left if name in contents and not contents[name].rows)
        if not bare:
            yield {}
            return
        with undone(connection):
            fill(connection, tables, bare)
            yield read(connection, {name: tables[name] for name in bare})

    # Without a downgrade

    def left(self) -> dict[int, _Trial]:
        """Return what is still to be judged, and can be: the tables above are known."""
        for position in [p for p, trial in self.trials.items() if not trial.is_seen]:
            del self.trials[position]
        return self.trials

    def upwards(self, start: int) -> Walking:
        """Judge what could not be on a way back: from base on, with the rows that went up.

        :param start: the first that is judged.
        """
        steps, known = self.steps, self.known
        steps.attempt = Attempt(-1)
        for position in range(start):
            if position not in steps.beyond:
                yield from steps.step(Running(position, True, results.OLD_CODE, silent=True))
        sort = steps.passed.get(start, NASTY)
        known.look(None)
        known.read_rows(None)
        known.fill(None, sort=sort)
        for position in range(start, max(self.trials) + 1):
            if position in steps.beyond:
                continue
            if steps.passed.get(position, NASTY) is not sort:
                raise Restart(position)
            before, tables, own = known.now, known.tables, Failed()
            with self._noting(position):
                if position in self.trials:
                    own = self._below(self.trials[position])
            executed = yield from steps.step(Running(position, True, results.OLD_CODE, silent=True))
            known.look(executed)
            known.read_rows(executed)
            with self._noting(position):
                if position in self.trials:
                    self._above(position, self.trials[position], own)
            known.fill(executed, tables, differences.thinned(before.rows, known.contents))
            if sort is not NASTY:
                raise Restart(position + 1)

    def _below(self, trial: _Trial) -> Failed:
        """Run new code; return what of old code fails on its own schema."""
        own = self.known.tables
        needed = self._needed(trial.concerned, own | trial.after)
        rows = rows_of(needed, self.known.contents)
        with self.steps.aside() as connection:
            old = Schemas(connection, own, trial.after, rows)
            trial.old.uses = self._uses(old, trial.concerned, trial.views)
            trial.old.run(connection, "")
            new = Schemas(connection, trial.after, own, rows)
            trial.new.uses = self._uses(new, trial.concerned, trial.views_after)
            trial.new.run(connection, self._unenforced)
        return trial.old.failed

    def _above(self, position: int, trial: _Trial, own: Failed) -> None:
        """Run old code, and what failed of new code below; judge."""
        with self.steps.aside() as connection:
            trial.old.run(connection, self._unenforced)
            trial.old.failed = {s: e for s, e in trial.old.failed.items() if s not in own}
            trial.new.excuse(connection)
        self._judge(position, self.trials.pop(position))

    @property
    def _unenforced(self) -> str:
        """Return the error that only some projects get: those that enforce foreign keys."""
        return "" if self.steps.project.enforces else self.steps.scratch.server.unenforced

    # What code does

    def _uses(self, schemas: Schemas, found: Concerned, selects: dict[str, str]) -> list[Use]:
        views = [Use(name, selects[name]) for name in sorted(found.views & selects.keys())]
        return [
            *schemas.uses(found.tables),
            *schemas.deletes(found.parents),
            *schemas.orphans(found.keys),
            *views,
        ]

    def _selects(self, connection: Connection, views: Iterable[str]) -> Iterable[tuple[str, str]]:
        """Yield a SELECT of all columns of each view that can be read."""
        for name in sorted(views):
            quoted = identifier(connection, *filter(None, name.rpartition(".")[::2]))
            columns = _columns(connection, f"SELECT * FROM {quoted} WHERE 1 = 0")
            if columns:
                names = ", ".join(f"{quoted}.{identifier(connection, one)}" for one in columns)
                yield name, f"SELECT {names} FROM {quoted}"

    def _needed(self, found: Concerned, tables: Tables) -> set[str]:
        """Return the tables whose rows are needed to make up others."""
        names = {*found.tables, *found.parents}
        names |= parents(tables, names)
        return names | parents(tables, names)

    def _fresh(self, connection: Connection, found: Concerned) -> Tables:
        """Return the tables as they are now: a type may have other labels, its tables the same."""
        return self.known.tables | self.known.look_at(
            connection, {*found.tables & self.known.tables.keys()}
        )


def _columns(connection: Connection, sql: str) -> list[str]:
    """Return the columns of a query; none if it cannot run."""
    if not connection.in_transaction():
        connection.begin()
    try:
        with savepoint(connection), closing(connection.connection.cursor()) as cursor:
            cursor.execute(sql)
            return [str(column[0]) for column in cursor.description or ()]
    except Exception as error:  # the driver's own
        if is_lost(error, connection):
            raise
        return []
