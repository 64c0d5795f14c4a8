"""Compare a database with the schema that its revisions should have created, line by line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.schema.snapshot import Thing, difference
from alembic_toolkit.schema.stored import (
    Part,
    as_snapshot,
    differences,
    is_ignored,
    judged,
    part_for,
    shortest,
)
from alembic_toolkit.schema.stored import shown as shown_file
from alembic_toolkit.schema.take import take
from alembic_toolkit.schema.within import within

MOST = 30  # the maximum number of differences to show


class Expected:
    """A history's schemas in the file of schemas, for a connection's server."""

    def __init__(
        self, connection: Connection, directory: ScriptDirectory, ignore: Collection[str] = ()
    ) -> None:
        """Read the file.

        :param ignore: patterns of tables that no revision creates.
        :raises CommandError: there is none; it does not cover this server and its major version; it
         is older than the history.
        """
        self.directory, self.ignore = directory, ignore
        self.part: Part = part_for(connection, directory)

    def differences(
        self, connection: Connection, heads: Iterable[str], own_tables: Collection[str]
    ) -> list[str]:
        """Return missing, additional and changed objects, each with its revision's line.

        :param heads: the database's revisions.
        :param own_tables: tables that belong to no revision.
        :raises CommandError: the file does not know a revision.
        """
        heads = sorted(heads)
        if unknown := [one for one in heads if one not in self.part.revisions]:
            raise CommandError(
                f"{shown_file(self.directory)} knows no revision {unknown[0]}: nothing was"
                " compared\nWhat to do next: use the code that has this revision"
            )
        seen = judged(take(connection, ignore=own_tables), connection)
        got, _ = within(seen, self.part, self.ignore)
        wanted = {
            thing: text
            for thing, text in self.part.things(heads).items()
            if not is_ignored(thing, self.ignore)
        }
        lines = differences(connection, wanted, got)
        origins = self._origins(lines, wanted, got, heads)
        shown = [f"{line}{origins.get(line, '')}" for line in lines[:MOST]]
        return shown + [f"... and {len(lines) - MOST} more"] * (len(lines) > MOST)

    def _origins(
        self,
        lines: Collection[str],
        wanted: Mapping[Thing, str],
        got: Mapping[Thing, str],
        heads: list[str],
    ) -> dict[str, str]:
        """Return the lines at which missing or changed objects were created."""
        found = {}
        for thing in wanted.keys() | got.keys() if lines else ():
            one, other = (
                as_snapshot({thing: things[thing]} if thing in things else {})
                for things in (wanted, got)
            )
            for line in difference(one, other):
                if line in lines:
                    found[line] = self._origin(thing, heads) if thing in wanted else _NOWHERE
        return found

    def _origin(self, thing: Thing, heads: list[str]) -> str:
        below, made = self.part.below(heads), ""
        for id_, one in self.part.revisions.items():
            for step in one.steps if id_ in below else ():
                if thing in step.changes:
                    made = f"  [{self._place(id_, step.line)}]"
        return made

    def _place(self, revision: str, line: int) -> str:
        script = self.directory.get_revision(revision)
        path = shortest(Path(script.path)) if script is not None else revision
        return f"{path}:{line}" if line else path


_NOWHERE = "  [in no revision]"
