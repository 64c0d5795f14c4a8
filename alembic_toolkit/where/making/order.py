"""The objects to create, table by table, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alembic_toolkit.schema.snapshot import Thing

Things = Mapping[Thing, str]


@dataclass
class Wanted:
    """The missing and different objects of a schema, compared with a state."""

    missing: Things
    changed: Mapping[Thing, tuple[str, str]]  # the found and the wanted definition
    state: Things  # all objects of the state, in the order in which the history creates them
    got: Things = field(default_factory=dict)

    def lacks(self, *kinds: str) -> list[tuple[Thing, str]]:
        """Return the missing objects of these kinds, in the order of the history."""
        return [(thing, self.state[thing]) for thing in self._order(self.missing, kinds)]

    def differs(self, *kinds: str) -> list[tuple[Thing, str]]:
        """Return the different objects of these kinds, with the wanted definitions."""
        return [(thing, self.state[thing]) for thing in self._order(self.changed, kinds)]

    def _order(self, some: Iterable[Thing], kinds: tuple[str, ...]) -> list[Thing]:
        chosen = {*some}
        return [thing for thing in self.state if thing in chosen and thing.kind in kinds]

    def new_tables(self) -> list[tuple[Thing, str]]:
        """Return the tables that are missing entirely."""
        return self.lacks("table")

    def of(self, table: str, *kinds: str) -> list[tuple[Thing, str]]:
        """Return the missing objects of a table."""
        return [(thing, text) for thing, text in self.lacks(*kinds) if thing.owner == table]

    def old_owners(self, *kinds: str) -> list[str]:
        """Return the existing tables that lack objects of these kinds."""
        new = {thing.name for thing, _ in self.new_tables()}
        owners = (thing.owner for thing, _ in self.lacks(*kinds))
        return [owner for owner in dict.fromkeys(owners) if owner not in new]


# A placeholder that a person replaces if there are rows: a NOT NULL column refuses it.
VALUE = "NULL /* instead of NULL: the value of the rows */"
_HAS_VALUES = re.compile(r" (?:DEFAULT|GENERATED|OWNS|AUTO_INCREMENT)\b|^GENERATED\b", re.I)


def forbids_null(thing: Thing, wanted: str, found: str = "") -> bool:
    """Tell whether a column becomes NOT NULL: it is missing, or nullable so far."""
    return thing.kind == "column" and "NOT NULL" in wanted and "NOT NULL" not in found


def has_values(text: str) -> bool:
    """Tell whether a column has values of its own if a row gives none."""
    return _HAS_VALUES.search(text) is not None


def needs_value(thing: Thing, wanted: str, found: str = "") -> bool:
    """Tell whether rows need values that only a person knows."""
    return forbids_null(thing, wanted, found) and not has_values(wanted)


def is_unnamed(thing: Thing) -> bool:
    """Tell whether a constraint is identified by its text."""
    return thing.name.startswith("(")
