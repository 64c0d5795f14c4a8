"""The objects of a database by which a history is judged, without those that others own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from alembic_toolkit.schema.moments import as_wanted
from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.schema.stored import Part, is_ignored

_GIVEN = ("extension", "schema", "event trigger", "foreign-data wrapper", "server", "publication")


def within(
    things: Mapping[Thing, str], part: Part, ignore: Collection[str] = ()
) -> tuple[dict[Thing, str], list[str]]:
    """Return the objects to judge a history by, and the schemas that are excluded.

    Schemas that no revision names belong to somebody else, and so do extensions. What ``env.py``
    makes by itself belongs to no revision.
    """
    named, spaces = _named(part), spaces_of(part)
    tables = {thing.name for thing in part.beside if not thing.owner}
    ours = {
        thing: as_wanted(part.moments.get(thing), text)
        for thing, text in things.items()
        if thing in named
        or (
            _space(thing) in spaces
            and thing.kind not in _GIVEN
            and thing not in part.beside
            and thing.owner not in tables
        )
        if not is_ignored(thing, ignore)
    }
    return ours, sorted({_space(thing) for thing in things} - spaces)


def spaces_of(part: Part) -> set[str]:
    """Return the schemas that revisions name; an empty name stands for the default one."""
    return {_space(thing) for thing in _named(part)} | {""}


def _named(part: Part) -> set[Thing]:
    return {thing for made in part.revisions.values() for step in made.steps for thing in step[2]}


def _space(thing: Thing) -> str:
    name = thing.owner or thing.name.partition("(")[0]
    return thing.name if thing.kind == "schema" else name.rpartition(".")[0]
