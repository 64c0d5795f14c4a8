"""What is to be made, table by table, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alembic_toolkit.schema.snapshot import Thing

Things = Mapping[Thing, str]


@dataclass
class Wanted:
    """What a schema lacks of a state, and has otherwise."""

    missing: Things
    changed: Mapping[Thing, tuple[str, str]]  # what is found, and what is wanted
    state: Things  # all that the state has, in the order in which the history makes it
    got: Things = field(default_factory=dict)

    def lacks(self, *kinds: str) -> list[tuple[Thing, str]]:
        """Return what is missing of these kinds, in the order of the history."""
        return [(thing, self.state[thing]) for thing in self._order(self.missing, kinds)]

    def differs(self, *kinds: str) -> list[tuple[Thing, str]]:
        """Return what has another definition, of these kinds, with the one that is wanted."""
        return [(thing, self.state[thing]) for thing in self._order(self.changed, kinds)]

    def _order(self, some: Iterable[Thing], kinds: tuple[str, ...]) -> list[Thing]:
        chosen = {*some}
        return [thing for thing in self.state if thing in chosen and thing.kind in kinds]

    def new_tables(self) -> list[tuple[Thing, str]]:
        """Return the tables that are missing as a whole."""
        return self.lacks("table")

    def of(self, table: str, *kinds: str) -> list[tuple[Thing, str]]:
        """Return what is missing of a table."""
        return [(thing, text) for thing, text in self.lacks(*kinds) if thing.owner == table]

    def old_owners(self, *kinds: str) -> list[str]:
        """Return the tables that are there, and lack something of these kinds."""
        new = {thing.name for thing, _ in self.new_tables()}
        owners = (thing.owner for thing, _ in self.lacks(*kinds))
        return [owner for owner in dict.fromkeys(owners) if owner not in new]


def is_unnamed(thing: Thing) -> bool:
    """Tell whether a constraint has its text for a name."""
    return thing.name.startswith("(")
