"""The schema of each revision, kept in a file beside the history: ``migrations/schemas.json``.

It has a part for each server and major version, because servers write their texts differently. A
part lists, for each revision, what it adds, changes and removes. This also determines the whole
schema at a revision: apply all revisions below it, in the order of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database.journal import sha256
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.schema import moments
from alembic_toolkit.schema.servers import comparable, judge, part_of
from alembic_toolkit.schema.snapshot import Snapshot, Thing, difference

NAME = "schemas.json"
FORMAT = 1
WRITE = "alembic-toolkit where --write"
Changes = Mapping[Thing, str | None]  # the new definition; None: removed


class Step(NamedTuple):
    """The changes by one line of a revision's file."""

    line: int
    number: int  # the number of the step's last statement in the revision
    changes: Changes


@dataclass(frozen=True)
class Made:
    """The changes of one revision to the schema."""

    revision: str
    after: tuple[str, ...]  # its predecessors and dependencies
    file: str  # the beginning of the hash of its file
    statements: int = 0
    commits: bool = False  # each step commits: a crash may leave the revision half done
    rows: tuple[tuple[int, str], ...] = ()  # changes of rows: the line, and its text
    steps: tuple[Step, ...] = ()

    @property
    def changes(self) -> dict[Thing, str | None]:
        """Return the combined changes of all its steps."""
        found: dict[Thing, str | None] = {}
        for step in self.steps:
            found |= step.changes
        return found


@dataclass(frozen=True)
class Part:
    """All revisions of a history on one server, from first to last."""

    server: str  # with its major version: "postgresql 16"
    revisions: dict[str, Made] = field(default_factory=dict)
    beside: frozenset[Thing] = frozenset()  # made by env.py, before any revision

    @cached_property
    def moments(self) -> dict[Thing, str]:
        """Return the objects with the time of a revision's run as a default, in any revision."""
        return {
            thing: text
            for made in self.revisions.values()
            for thing, text in made.changes.items()
            if text is not None and f"'{moments.MOMENT}'" in text
        }

    def below(self, revisions: Iterable[str]) -> set[str]:
        """Return these revisions and all their ancestors.

        :raises KeyError: one is not in the file.
        """
        found, left = set[str](), [*revisions]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self.revisions[one].after
        return found

    def things(self, revisions: Iterable[str]) -> dict[Thing, str]:
        """Return the schema of a database at these revisions; empty if there are none.

        :raises KeyError: one is not in the file.
        """
        found: dict[Thing, str] = {}
        below = self.below(revisions)
        for made in self.revisions.values():
            if made.revision in below:
                apply(found, made.changes)
        return found

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each revision's schema."""
        found, ends, schema, total = dict[str, str](), set[str](), dict[Thing, str](), 0
        for id_, made in self.revisions.items():
            for thing, text in made.changes.items():
                total -= item_hash(thing, schema[thing]) if thing in schema else 0
                total += item_hash(thing, text) if text is not None else 0
            apply(schema, made.changes)
            stands_on_all = ends <= {*made.after}
            ends = {id_} if stands_on_all else (ends - {*made.after}) | {id_}
            found[id_] = _digits(total) if stands_on_all else fingerprint(self.things([id_]))
        return found


def apply(schema: dict[Thing, str], changes: Changes) -> None:
    """Change a schema as a revision does."""
    for thing, text in changes.items():
        if text is None:
            schema.pop(thing, None)
        else:
            schema[thing] = text


def as_snapshot(things: Mapping[Thing, str]) -> Snapshot:
    """Return objects as a snapshot, which can be compared with another."""
    snapshot = Snapshot()
    for thing, text in things.items():
        snapshot.add(thing.owner or thing.name, thing, text)
    return snapshot


def fingerprint(things: Mapping[Thing, str]) -> str:
    """Return a number for a schema, the same for equal schemas in any order."""
    return _digits(sum(item_hash(*item) for item in things.items()))


def _digits(total: int) -> str:
    return f"{total % 2**96:024x}"


def item_hash(thing: Thing, text: str) -> int:
    """Return one object's contribution to a fingerprint."""
    said = json.dumps([*thing, text]).encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:12], "big")


# The schema of a revision


def schema_of(
    connection: Connection, directory: ScriptDirectory, revisions: Iterable[str]
) -> Snapshot:
    """Return the schema of a database at these revisions, according to the history's file.

    Use `differences` to compare it with a database: ``judged(take(connection), connection)``.

    :param connection: selects the server and major version; the file has a part for each.
    :param revisions: the rows of the version table; none for an empty database.
    :raises CommandError: there is no file, or no part for this server in it, or it is older than
     the history; or there is no such revision.
    """
    part = part_for(connection, directory)
    wanted = [*revisions]
    if unknown := [one for one in wanted if one not in part.revisions]:
        raise CommandError(
            f"{shown(directory)} knows no revision {unknown[0]}.\n"
            f"  found   {len(part.revisions)} revisions, up to {[*part.revisions][-1]}\n"
            "Stopped, because nobody knows what that revision makes.\n"
            "What to do next: use the code that has this revision"
        )
    return as_snapshot(part.things(wanted))


def judged(
    snapshot: Snapshot, connection: Connection, ignore: Collection[str] = ()
) -> dict[Thing, str]:
    """Return the objects of a schema as far as revisions define them.

    Names that the server chose, its own defaults and versions of extensions are excluded.

    :param ignore: patterns of tables that others own: ``events_p*``.
    """
    return {
        thing: text
        for thing, text in judge(connection, snapshot).items()
        if not is_ignored(thing, ignore)
    }


def differences(
    connection: Connection, wanted: Mapping[Thing, str], got: Mapping[Thing, str]
) -> list[str]:
    """Return a line for each difference, like `difference`; an empty list if there is none.

    Texts that the server writes differently because of the database's history count as equal.

    :param wanted: the result of `schema_of`.
    :param got: the result of `judged`.
    """
    server = connection.dialect.name
    same = {
        thing: wanted[thing]
        for thing in wanted.keys() & got.keys()
        if comparable(server, thing, wanted[thing])
        == comparable(server, thing, moments.as_wanted(wanted[thing], got[thing]))
    }
    return difference(as_snapshot(wanted), as_snapshot({**got, **same}))


def is_ignored(thing: Thing, ignore: Collection[str]) -> bool:
    """Tell whether an object is a table, view or the like matching a pattern, or belongs to one."""
    table = thing.owner or thing.name
    return any(fnmatchcase(table, pattern) for pattern in ignore)


def part_for(connection: Connection, directory: ScriptDirectory) -> Part:
    """Return the part of the file for a server.

    :raises CommandError: there is none, or it is older than the history.
    """
    parts, name = read(path_of(directory)), part_of(connection)
    if name not in parts:
        raise no_part(name, parts, directory)
    refuse_older(parts[name], directory, files_of(directory))
    return parts[name]


def no_part(name: str, parts: Collection[str], directory: ScriptDirectory) -> CommandError:
    """Return the error for a server that the file does not cover.

    :param parts: the servers that it covers.
    """
    kin = [one for one in parts if one.partition(" ")[0] == name.partition(" ")[0]]
    found = f"only {', '.join(kin or parts)}" if parts else "no such file"
    why = (
        "another major version writes some definitions in another way"
        if kin
        else "nothing says which schema the revisions make there"
    )
    return CommandError(
        f"{shown(directory)} says nothing of {name}.\n"
        f"  found   {found}\n"
        f"  wanted  the schemas of the revisions on {name}\n"
        f"Stopped, because {why}.\n"
        f"What to do next{_with_an_empty_one(name)}:\n"
        f"    {write_command(name)}  # and commit the file"
    )


def older(part: Part, files: Mapping[str, str | Path]) -> str:
    """Return in words how a part is older than the history; empty if it is not.

    :param files: that of each revision.
    """
    hashes = {id_: file_hash(path) for id_, path in files.items()}
    known = part.revisions
    said = {
        "it lacks": [id_ for id_ in hashes if id_ not in known],
        "edited since:": [id_ for id_ in hashes if id_ in known and known[id_].file != hashes[id_]],
        "no file has": [id_ for id_ in known if id_ not in hashes],
    }
    return "; ".join(
        f"{what} {', '.join(sorted(ids)[:5])}{', ...' if len(ids) > 5 else ''}"
        for what, ids in said.items()
        if ids
    )


def files_of(directory: ScriptDirectory) -> dict[str, str | Path]:
    """Return the file of each revision."""
    return {script.revision: script.path for script in directory.walk_revisions()}


def refuse_older(part: Part, directory: ScriptDirectory, files: Mapping[str, str | Path]) -> None:
    """Refuse a part that is older than the history.

    :param files: that of each revision.
    :raises CommandError: it is.
    """
    if said := older(part, files):
        raise CommandError(
            f"{shown(directory)} is older than the history, for {part.server}.\n"
            f"  found   {said}\n"
            "  wanted  each revision as its file is now\n"
            "Stopped, because what it says of these revisions, and of later ones, may be wrong.\n"
            f"What to do next:\n    {write_command(part.server)}  # and commit the file"
        )


def write_command(server: str) -> str:
    """Return the command that writes the part of a server again."""
    return WRITE if _is_file(server) else f"{WRITE} --scratch URL"


def _with_an_empty_one(server: str) -> str:
    return "" if _is_file(server) else ", with an empty database of such a server"


def _is_file(server: str) -> bool:
    return server_of(server.partition(" ")[0]).is_file


def file_hash(path: str | Path) -> str:
    """Return the beginning of the hash of the executable part of a revision's file."""
    return (sha256(path) or "")[:12]


# The file


def path_of(directory: ScriptDirectory) -> Path:
    """Return the path of a history's file: beside ``env.py``."""
    return Path(directory.dir, NAME)


def shown(directory: ScriptDirectory) -> str:
    """Return its path relative to the current directory, if that is shorter."""
    return shortest(path_of(directory))


def shortest(path: Path) -> str:
    """Return a path relative to the current directory, if that is shorter."""
    with suppress(OSError, ValueError):
        return min(os.path.relpath(path), str(path), key=len)
    return str(path)


def read(path: Path) -> dict[str, Part]:
    """Read all parts of a file; none if there is no file.

    :raises CommandError: it cannot be read, or has another format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, this version reads {FORMAT}")
        return {
            server: Part(server, dict(_read_revisions(found)), _read_beside(document, server))
            for server, found in document["servers"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise CommandError(
            f"{path} cannot be read: {' '.join(why.split())}.\n"
            f"What to do next: delete it, and write it again:\n    {WRITE}"
        ) from error


def _read_beside(document: Mapping[str, Any], server: str) -> frozenset[Thing]:
    return frozenset(Thing(*one) for one in document.get("env.py", {}).get(server, ()))


def _read_revisions(found: Mapping[str, Any]) -> Iterator[tuple[str, Made]]:
    for id_, one in found.items():
        steps = tuple(
            Step(
                int(step[0]),
                int(step[1]),
                {Thing(*change[:3]): change[3] if len(change) > 3 else None for change in step[2:]},
            )
            for step in one["steps"]
        )
        rows = tuple((int(line), str(words)) for line, words in one["rows"])
        yield (
            id_,
            Made(
                id_,
                tuple(one["after"]),
                one["file"],
                one["statements"],
                one["commits"],
                rows,
                steps,
            ),
        )


def write(path: Path, parts: Mapping[str, Part]) -> bool:
    """Write all parts, the same bytes for equal parts; return whether the file has changed.

    It is replaced atomically: a concurrent reader gets the old file or the new one.
    """
    text = to_text(parts)
    with suppress(OSError, UnicodeError):
        if path.read_text(encoding="utf-8") == text:
            return False
    other = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with other.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        other.replace(path)
    finally:
        other.unlink(missing_ok=True)
    return True


def to_text(parts: Mapping[str, Part]) -> str:
    """Return the file as text: a line for each thing that a revision changes."""
    servers = ",\n".join(
        f"{_compact(name)}: {{\n{_revisions(parts[name])}\n}}" for name in sorted(parts)
    )
    beside = {name: sorted(parts[name].beside) for name in sorted(parts) if parts[name].beside}
    made = f'"env.py": {_compact(beside)},\n' if beside else ""
    return f'{{"format": {FORMAT},\n{made}"servers": {{\n{servers}\n}}}}\n'


def _revisions(part: Part) -> str:
    prints = part.fingerprints()
    return ",\n".join(
        f" {_compact(id_)}: {_made(made, prints[id_])}" for id_, made in part.revisions.items()
    )


def _made(made: Made, schema: str) -> str:
    head = {
        "after": made.after,
        "file": made.file,
        "schema": schema,
        "statements": made.statements,
        "commits": made.commits,
        "rows": made.rows,
    }
    steps = ",".join(_step(step) for step in made.steps)
    return f'{_compact(head)[:-1]},"steps":[{steps}]}}'


def _step(step: Step) -> str:
    changes = (
        _compact([*thing] if text is None else [*thing, text])
        for thing, text in sorted(step.changes.items(), key=lambda change: change[0])
    )
    return f"\n  [{step.line},{step.number}," + ",".join(f"\n   {one}" for one in changes) + "]"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
