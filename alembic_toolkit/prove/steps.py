"""The steps of a history, run on a scratch database: which one is at hand, what it executes."""

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

from alembic_toolkit.database.own import own
from alembic_toolkit.project.env import Project
from alembic_toolkit.prove import results
from alembic_toolkit.prove.recorder import Recorder, enforce
from alembic_toolkit.prove.results import Proof, Running
from alembic_toolkit.prove.scratch import Scratch, saved
from alembic_toolkit.prove.walk import Step, temporary, walk
from alembic_toolkit.rows.write import alone

Walking = Generator[Step, None, None]


class Restart(Exception):
    """Start again above the revision at hand, on a fresh database."""


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
    loose: dict[int, str] = field(default_factory=dict)  # the check that foreign keys made fail
    saved: tuple[int, Any] | None = None  # how many revisions a copy of the database has

    @property
    def order(self) -> list[Script]:
        return self.project.order

    def go_on(self, steps: Callable[[], Walking]) -> None:
        """Continue where the database is."""

        def begun(context: MigrationContext) -> Walking:
            self.context = context
            yield from steps()

        self.running, self.is_inside = None, False
        walk(self.project, self.scratch, begun)

    def step(self, running: Running, fresh: bool = False) -> Generator[Step, None, list[str]]:
        """Run a step; return the statements that it executed, without the version table's."""
        self.running, self.is_inside = running, True
        if self.loose:  # else env.py decides
            driver = self.context.connection.connection.driver_connection
            enforce(driver, running.position not in self.loose)
        record = self.proof.revisions[running.position]
        begin = time.perf_counter()
        if fresh or not running.silent:
            # Alembic remembers the enum types that this process created. A new process remembers
            # none, and creates all of them.
            self.context.impl.memo.clear()
        with self.recorder.on() as executed:
            self.executed = executed
            yield self.project.step(self.order[running.position], running.up, fresh)
        self.is_inside = False
        if made := temporary(executed):
            with self.aside() as connection:
                self.scratch.server.drop_temporary(connection, made)
        if not running.silent:
            record.seconds[running.check] = time.perf_counter() - begin
        marks = re.compile(rf"(INSERT INTO|UPDATE|DELETE FROM) \W?{self.version_table}\b")
        return [sql for sql in executed if not marks.match(sql)]

    def stamp(self, position: int, up: bool) -> Walking:
        yield self.project.stamp(self.order[position], up)

    def lead(self, position: int) -> Walking:
        """Go up to a revision on empty tables; on SQLite, from the copy saved last."""
        for before in range(self.saved[0] if self.saved else 0, position):
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
        return own(self.version_table)

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """Give the connection of the walk, between two steps; leave it in no transaction.

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
