"""`where` on schemas that were changed by hand: which revision it names first.

The schemas are those of the example's history on each server; the changes are made in them.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from alembic_toolkit.schema import stored
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import Part
from alembic_toolkit.where.states import Compared, State
from alembic_toolkit.where.verdict import Seen, judge

PARTS = stored.read(Path(__file__).parents[2] / "migrations" / "schemas.json")
TRIALS = 25
Things = dict[Thing, str]


def changed(things: Things, random_: random.Random, number: int) -> Things:
    """Return a schema in which somebody has added, dropped or altered something."""
    chosen = random_.choice(sorted(things))
    table = chosen.owner or chosen.name
    way = random_.choice(["drop", "drop", "alter", "add column", "add index", "add table"])
    if way == "drop":
        return {thing: text for thing, text in things.items() if not goes(thing, text, chosen)}
    if way == "alter":
        columns = sorted(thing for thing in things if thing.kind == "column")
        return {**things, random_.choice(columns): "text DEFAULT 'changed'"} if columns else things
    if way == "add table":
        new = Thing("column", f"extra{number}", "id")
        return {**things, Thing("table", "", f"extra{number}"): "", new: "integer"}
    kind = way.removeprefix("add ")
    return {**things, Thing(kind, table, f"extra{number}"): "(id)" * (kind == "index")}


def goes(thing: Thing, text: str, dropped: Thing) -> bool:
    """Tell whether a thing is gone when another one is dropped."""
    if thing == dropped or (dropped.kind == "table" and thing.owner == dropped.name):
        return True
    words = {*re.findall(r"\w+", text)}
    if dropped.kind == "table":
        return thing.kind in ("view", "foreign key") and dropped.name in words
    is_of = thing.owner == dropped.owner and thing.kind != "column"
    return dropped.kind == "column" and is_of and dropped.name in words


def changes(compared: Compared, revision: str) -> int:
    """Count what differs from a revision; a table as a whole is one."""
    found = compared.difference(State((revision,) if revision else ()))
    gone = {thing.name for thing in found.missing if thing.kind == "table"}
    made = {thing.name for thing in found.extra if thing.kind == "table"}
    missing = [thing for thing in found.missing if thing.owner not in gone]
    missing = [one for one in missing if not compared._follows(one, found.missing, gone)]
    extra = [thing for thing in found.extra if thing.owner not in made]
    return len(missing) + len(extra) + len(found.changed)


def is_named_first(part: Part, revision: str, things: Things, how: str) -> bool:
    """Tell whether a revision is named first, or one with the same schema."""
    heads = () if how == "unmarked" else (revision,)
    ran = (revision,) if how == "journal" else ()
    seen = Seen("it", part.server, bool(heads), heads, heads, ran=ran, things=things)
    found = judge(seen, part)
    if part.things(found.state.heads) == part.things([revision]):
        return True
    compared = Compared(part, things)
    first = ",".join(found.state.heads)
    # Else the damage must have brought the schema as near to the one that is named.
    assert changes(compared, first) <= changes(compared, revision), (revision, first, things)
    return False


@pytest.mark.parametrize("server", sorted(PARTS))
@pytest.mark.parametrize("number", [1, 2, 4])
def test_where_names_the_nearest_revision_first_when_some_things_were_changed(
    server: str, number: int
) -> None:
    part, random_ = PARTS[server], random.Random(f"{server} {number}")
    first = dict.fromkeys(["unmarked", "marked", "journal"], 0)
    for _ in range(TRIALS):
        revision = random_.choice([*part.revisions])
        things = part.things([revision])
        for one in range(number):
            things = changed(things, random_, one)
        for how in first:
            first[how] += is_named_first(part, revision, things, how)
    assert first["unmarked"] <= first["marked"] <= first["journal"]
    assert first["journal"] >= (TRIALS if number < 4 else TRIALS - 1)
