"""Put one of two concurrently written revisions after the other.

Only its ``down_revision``, its number, the name of its file and the two lines that Alembic's
template has in the docstring change; every other byte stays.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.project import checks
from alembic_toolkit.project.revisions import Finding, Revision, next_id, read, read_file, shown


@dataclass(frozen=True)
class Plan:
    """The planned change of a revision's file."""

    before: Revision
    id: str
    parent: str
    path: Path
    content: bytes
    is_twin: bool  # another file has its id, too

    def __str__(self) -> str:
        """Return the change in one line."""
        names = dict.fromkeys((shown(self.before.path), shown(self.path)))
        old, new = f"after {self.before.down_revisions[0]}", f"after {self.parent}"
        if self.id != self.before.id:
            old, new = f"{self.before.id} {old}", f"{self.id} {new}"
        return f"{' -> '.join(names)}: {old} -> {new}"


def plan(directory: ScriptDirectory, file: Path, onto: str | None = None) -> Plan:
    """Return how to put a revision after the other head; nothing is written.

    :param onto: the id of the revision to put it after, where there are several.
    :raises CommandError: it is no leaf, or there are not two heads.
    """
    path = file.resolve()
    known, unread = read(directory)
    ours = next((one for one in known if one.path == path), None)
    if ours is None:
        raise _not_one(file, unread)
    others = [one for one in known if one is not ours]
    twins = [one for one in others if one.id == ours.id]
    if len(ours.down_revisions) != 1:
        what = "joins several revisions" if ours.down_revisions else "is a root"
        raise _refused(ours, f"{what}", "a revision after one other", "there is nothing to move")
    after = [one for one in others if ours.id in (*one.down_revisions, *one.depends_on)]
    if after and not (twins and onto):
        raise _no_leaf(ours, after, twins)
    parent = _parent(ours, others, twins, onto)
    id_ = _id(ours, others, twins)
    new = path.with_name(_name(path.name, ours.id, id_))
    if new != path and new.exists():
        raise _refused(ours, f"{shown(new)} is there", "a name that is free", "it would be lost")
    content = rewritten(path.read_bytes(), ours, id_, parent)
    return Plan(ours, id_, parent, new, content, bool(twins))


def write(planned: Plan) -> None:
    """Write the file under its new name, and remove the old one."""
    path = planned.before.path
    draft = planned.path.with_name(f".#{planned.path.name}")  # which Alembic passes over
    draft.write_bytes(planned.content)
    shutil.copymode(path, draft)
    os.replace(draft, planned.path)
    if planned.path != path:
        path.unlink()


def _parent(
    ours: Revision, others: Sequence[Revision], twins: Sequence[Revision], onto: str | None
) -> str:
    heads = [one.id for one in checks.heads(checks.seen(others))]
    if onto is not None:
        if onto not in {one.id for one in others}:
            raise _refused(ours, f"--onto {onto}", "the id of another file", "no file has it")
        return onto
    if len(heads) > 1:
        names = ", ".join(heads)
        way = f"alembic-toolkit rebase {shown(ours.path)} --onto {heads[-1]}"
        raise _refused(
            ours, f"besides it, {len(heads)} heads: {names}", "one", "which one is not said", way
        )
    if heads[0] in ours.down_revisions and not twins:
        raise _refused(ours, "one head", "two heads", "it comes after the last one already")
    return heads[0]


def _id(ours: Revision, others: Sequence[Revision], twins: Sequence[Revision]) -> str:
    """Return the next number; an id that is none stays, and need not be changed."""
    if not re.fullmatch("[0-9]{1,11}", ours.id):
        if twins:
            what = f"{twins[0].path.name} has its id {ours.id}"
            raise _refused(ours, what, "an id of its own", "it is no number that has a next one")
        return ours.id
    return next_id(id_ for one in others for id_ in (one.id, *one.replaces))


def _name(name: str, before: str, after: str) -> str:
    return re.sub(rf"^{re.escape(before)}(?![0-9A-Za-z])", after, name)


# The text


def rewritten(source: bytes, ours: Revision, id_: str, parent: str) -> bytes:
    """Return a revision's file with another id and parent."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    text = source.decode(encoding)
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    new = {"revision": id_, "down_revision": parent}
    old = {"revision": ours.id, "down_revision": ours.down_revisions[0]}
    for node in ours.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in new.keys() & {one.id for one in targets if isinstance(one, ast.Name)}:
                _replace(lines, node.value, old[name], new[name])
    first = ours.tree.body[0]
    if ast.get_docstring(ours.tree, clean=False) is not None:
        for number in range(first.lineno - 1, first.end_lineno or first.lineno):
            for title, name in ("Revision ID:", "revision"), ("Revises:", "down_revision"):
                pattern = rf"^({title}[ \t]*){re.escape(old[name])}(?=[ \t]*[\r\n])"
                lines[number] = re.sub(pattern, rf"\g<1>{new[name]}", lines[number])
    return "".join(lines).encode(encoding)


def _replace(lines: list[str], value: ast.expr, old: str, new: str) -> None:
    """Replace the text of an id, in the quotes that it has."""
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and node.value == old:
            line = lines[node.lineno - 1].encode()
            start, end = node.col_offset, node.end_col_offset or 0
            text = line[start:end].replace(old.encode(), new.encode())
            lines[node.lineno - 1] = (line[:start] + text + line[end:]).decode()
            return


# Refusals


def _refused(ours: Revision, found: str, wanted: str, why: str, way: str = "") -> CommandError:
    way = way or "alembic-toolkit check"
    return CommandError(
        f"{shown(ours.path)} stays as it is: nothing was written\n"
        f"  found   {found}\n"
        f"  wanted  {wanted}\n"
        f"Stopped, because {why}.\n"
        f"What to do next:\n    {way}"
    )


def refused_applied(planned: Plan, found: dict[str, str]) -> CommandError:
    """Return the error that databases have run the revision, or cannot be asked.

    :param found: why, by database.
    """
    ours = planned.before
    lines = "".join(f"  found   {name} {why}\n" for name, why in found.items())
    return CommandError(
        f"{shown(ours.path)} stays as it is: nothing was written\n"
        f"{lines}"
        "  wanted  a revision that no database has run\n"
        "Stopped, because a database that has it would not know it under another number,"
        " or after another revision.\n"
        "What to do next, there, and then run this command again; or join the two heads:\n"
        f"    alembic downgrade {ours.down_revisions[0]}\n"
        '    alembic merge -m "..." heads'
    )


def _no_leaf(ours: Revision, after: Sequence[Revision], twins: Sequence[Revision]) -> CommandError:
    names = ", ".join(one.path.name for one in after)
    if twins:
        also = f"{after[0].path.name} comes after {ours.id}, and {twins[0].path.name} is that, too"
        onto = next(one.id for one in after)
        way = f"alembic-toolkit rebase {shown(ours.path)} --onto {onto}"
        why = f"nobody but you knows whether it comes after this one or {twins[0].path.name}"
        return _refused(ours, also, "a revision that nothing comes after", why, way)
    why = "those would come after what is no longer there"
    way = f"alembic-toolkit rebase {shown(after[-1].path)}  # or: alembic merge heads"
    return _refused(ours, f"after it: {names}", "a revision that nothing comes after", why, way)


def _not_one(file: Path, unread: Sequence[Finding]) -> CommandError:
    for finding in unread:
        if finding.path == file.resolve():
            return CommandError(str(finding))
    again = read_file(file.resolve()) if file.is_file() else None
    why = "is in no directory of the history" if isinstance(again, Revision) else "is no revision"
    return CommandError(
        f"{file} {why}: nothing was written\n"
        "What to do next:\n    alembic-toolkit rebase versions/0015_x.py  # a file of the history"
    )
