"""Run the steps of a history on a scratch database, and track the current one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Connection

from alembic_toolkit.database.own import own_of
from alembic_toolkit.database.skips import Skip, heard
from alembic_toolkit.project.env import Project
from alembic_toolkit.prove import results
from alembic_toolkit.prove.fallback import Attempt, Ended
from alembic_toolkit.prove.recorder import Recorder, enforce, enforced
from alembic_toolkit.prove.results import Proof, Running
from alembic_toolkit.prove.scratch import Scratch, saved
from alembic_toolkit.prove.walk import Step, temporary, walk
from alembic_toolkit.rows.filling import Sort
from alembic_toolkit.rows.write import alone

Walking = Generator[Step, None, None]


class Restart(Exception):
    """Start again on a fresh database, at the position given as its argument."""

    def __init__(self, position: int) -> None:
        """Note where."""
        super().__init__(position)
        self.position = position


@dataclass
class Loose:
    """Problems in one direction of a revision when SQLite enforces foreign keys."""

    check: str
    lines: list[str]  # what was lost, or the error


@dataclass
class Steps:
    """Runs the steps of a history on one database."""

    project: Project
    scratch: Scratch
    recorder: Recorder
    proof: Proof
    context: Any = None
    running: Running | None = None
    is_inside: bool = False  # a step is running
    is_aside: bool = False  # between two steps, `aside` gives the connection
    executed: list[str] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)  # what verbs of the step left undone
    attempt: Attempt = field(default_factory=lambda: Attempt(-1))
    passed: dict[int, Sort] = field(default_factory=dict)  # the rows with which a revision ran
    both_ways: set[int] = field(default_factory=set)  # what goes up and down with these rows
    beyond: set[int] = field(default_factory=set)  # what cannot be reached: it stands on a failure
    learned: int = 0  # texts that were known when the step at hand began
    # What runs without foreign keys, by position and direction.
    loose: dict[tuple[int, bool], Loose] = field(default_factory=dict)
    is_enforced: bool = False  # SQLite's foreign keys, when the walk began
    saved: tuple[int, Any] | None = None  # how many revisions a copy of the database has

    @property
    def order(self) -> list[Script]:
        return self.project.order

    def go_on(self, steps: Callable[[], Walking]) -> None:
        """Continue where the database is."""

        def begun(context: MigrationContext) -> Walking:
            self.context = context
            self.is_enforced = enforced(self.context.connection.connection.dbapi_connection)
            yield from steps()
            self.running = None  # what fails now is none of them

        self.running, self.is_inside = None, False
        walk(self.project, self.scratch, begun)

    def step(self, running: Running, fresh: bool = False) -> Generator[Step, None, list[str]]:
        """Run a step; return the statements that it executed, without the version table's."""
        self.running, self.is_inside = running, True
        rows = self.attempt.sort.words if self.attempt.position == running.position else ""
        place = (self.order[running.position].revision, running.up, running.check, rows)
        if place in self.scratch.ended:
            raise Ended(self.scratch.ended[place])
        if self.loose and self.is_enforced:  # else env.py decides
            driver = self.context.connection.connection.dbapi_connection
            enforce(driver, (running.position, running.up) not in self.loose)
        self.learned = self.recorder.known
        record = self.proof.revisions[running.position]
        begin = time.perf_counter()
        if fresh or not running.silent:
            # Alembic remembers the enum types that this process created. A new process remembers
            # none, and creates all of them.
            self.context.impl.memo.clear()
        with self.recorder.on() as executed, heard(self.context.connection) as self.skips:
            self.executed = executed
            self.scratch.on_step(place)
            yield self.project.step(self.order[running.position], running.up, fresh)
            self.scratch.on_step(None)
        self.is_inside = False
        if made := temporary(executed):
            with self.aside() as connection:
                self.scratch.server.drop_temporary(connection, made)
        if not running.silent:
            record.seconds[running.check] = time.perf_counter() - begin
        marks = re.compile(
            rf"(INSERT INTO|UPDATE|DELETE FROM) \W?(\w+\W?\.\W?)?{self.version_table}\b"
        )
        return [sql for sql in executed if not marks.match(sql)]

    def at(self, position: int) -> Attempt:
        """Return how a revision is being proven."""
        if self.attempt.position != position:
            self.attempt = Attempt(position)
        return self.attempt

    def loosen(self, running: Running, check: str, lines: list[str]) -> bool:
        """Run a step without SQLite's foreign keys; return False if that is not possible.

        :param lines: what went wrong with them.
        """
        key = (running.position, running.up)
        if not (self.is_enforced and self.scratch.server.unenforced) or key in self.loose:
            return False
        self.loose[key] = Loose(check, lines)
        return True

    def lose(self, position: int) -> list[int]:
        """Give up a revision that cannot run; return its successors."""
        lost, after = {self.order[position].revision}, []
        for later in range(position + 1, len(self.order)):
            if lost & {*self.project.parents(self.order[later])}:
                lost.add(self.order[later].revision)
                after.append(later)
        self.beyond |= {position, *after}
        return after

    def stamp(self, position: int, up: bool) -> Walking:
        yield self.project.stamp(self.order[position], up)

    def lead(self, position: int) -> Walking:
        """Go up to a revision on empty tables; on SQLite, from the copy saved last."""
        for before in range(self.saved[0] if self.saved else 0, position):
            if before in self.beyond:
                continue
            yield from self.step(Running(before, True, results.UP, silent=True))
        if position and not self.context.version_table_schema:
            copy = saved(self.scratch, self.context.connection)
            self.saved = (position, copy) if copy else self.saved

    @property
    def version_table(self) -> str:
        return str(self.context.version_table)

    @property
    def own_tables(self) -> tuple[str, ...]:
        """Return the tables that belong to no revision: versions, and marks of unfinished steps."""
        return own_of(self.context)

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """Yield the walk's connection, between two steps; leave it in no transaction.

        Nested calls share one transaction: each transaction costs a message to the server.
        """
        connection: Connection = self.context.connection
        outer, self.is_aside = self.is_aside, True
        try:
            with nullcontext() if outer else alone(connection):
                yield connection
        finally:
            self.is_aside = outer
        if not outer and not self.context._in_external_transaction:
            connection.commit()  # before the first step, it creates Alembic's version table
