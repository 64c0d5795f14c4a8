"""What is to be made, table by table, and in which order."""

from __future__ import annotations

import re
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


# What a person replaces, where there are rows: as it is, a column NOT NULL refuses it.
VALUE = "NULL /* instead of NULL: the value of the rows */"
_HAS_VALUES = re.compile(r" (?:DEFAULT|GENERATED|OWNS|AUTO_INCREMENT)\b|^GENERATED\b", re.I)


def forbids_null(thing: Thing, wanted: str, found: str = "") -> bool:
    """Tell whether a column is to be NOT NULL, and is not there, or not so, yet."""
    return thing.kind == "column" and "NOT NULL" in wanted and "NOT NULL" not in found


def has_values(text: str) -> bool:
    """Tell whether a column has values by itself, where a row gives it none."""
    return _HAS_VALUES.search(text) is not None


def needs_value(thing: Thing, wanted: str, found: str = "") -> bool:
    """Tell whether rows must be given values, which nobody but a person knows."""
    return forbids_null(thing, wanted, found) and not has_values(wanted)


def is_unnamed(thing: Thing) -> bool:
    """Tell whether a constraint has its text for a name."""
    return thing.name.startswith("(")
