"""Find revisions that are new since a Git commit, or lie between two revisions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError, to_tuple

from alembic_toolkit.messages import typed
from alembic_toolkit.project import revisions
from alembic_toolkit.project.commit import git


def asked(
    directory: ScriptDirectory, reference: str | None, name: str | None, start: str, end: str
) -> frozenset[str] | None:
    """Return the ids of the revisions that a command names in one of three ways; None if all.

    :raises CommandError: as `since`, `chosen` and `between`.
    """
    if reference is not None:
        ids = since(directory, reference)
    elif name is not None:
        ids = chosen(directory, name)
    else:
        ids = between(directory, start, end)
    return None if ids == {one.revision for one in directory.walk_revisions()} else ids


def between(directory: ScriptDirectory, start: str, end: str) -> frozenset[str]:
    """Return the ids of the revisions after ``start``, up to ``end``.

    :raises CommandError: there is no such revision, or no way from one to the other.
    """
    if start == end:
        return frozenset()
    try:
        found = {one.revision for one in directory.iterate_revisions(end, start)}
        low = {one.revision for one in directory.get_revisions(start)} if start != "base" else set()
    except (CommandError, RevisionError) as error:
        raise _refused(
            f"--from {start} --to {end}: no revisions stand between them",
            (str(error), "two revisions of this history, the second one above the first"),
            "it is unknown which revisions to judge",
            "alembic history",
        ) from error
    return frozenset(found - low)


def chosen(directory: ScriptDirectory, name: str) -> frozenset[str]:
    """Return the ids of one revision, or of those from ``A`` to ``B`` where that is ``A:B``.

    Both are included, as in ``alembic history -r A:B``; without ``A`` it begins at the first one,
    without ``B`` it ends at head. A name is what Alembic takes: an id or the beginning of one,
    ``head``, ``base``, ``head-2``, ``-2``, ``branch@head``.

    :raises CommandError: there is no such revision; it says which there are.
    """
    start, colon, end = name.partition(":")
    if not colon:
        if not (ids := _ids(directory, name)):
            raise _unknown_name(directory, name, "it is below the first revision")
        return frozenset(ids)
    low, high = _ids(directory, start or "base"), _ids(directory, end or "heads")
    known = directory.revision_map
    above = {*known._get_descendant_nodes(known.get_revisions(low))} if low else None
    below = known._get_ancestor_nodes(known.get_revisions(high))
    found = {one.revision for one in below if above is None or one in above}
    if not found:
        why = f"{end or 'head'} does not come after {start}"
        raise _unknown_name(directory, name, why, "no revisions stand between these two")
    return frozenset(found)


def _ids(directory: ScriptDirectory, name: str) -> tuple[str, ...]:
    """Return the ids that a name stands for; none for ``base``."""
    try:
        return tuple(one.revision for one in directory.get_revisions(name))
    except (CommandError, RevisionError, AssertionError) as error:  # or it counts from another
        steps = re.fullmatch(r"(.*)([+-])(\d+)", name)
        if not steps:
            raise _unknown_name(directory, name, str(error)) from error
    up = steps[2] == "+"
    ids = _ids(directory, steps[1] or ("base" if up else "head"))
    for _ in range(int(steps[3])):
        ids = _next(directory, ids, name, up=up)
    return ids


def _next(
    directory: ScriptDirectory, ids: tuple[str, ...], name: str, *, up: bool
) -> tuple[str, ...]:
    """Return the next revision above or below."""
    scripts = [one for one in directory.get_revisions(ids) if one is not None]
    if up and not ids:
        found: Iterable[str] = directory.get_bases()
    elif up:
        found = scripts[0].nextrev if scripts else ()
    else:
        found = to_tuple(scripts[0].down_revision, default=()) if scripts else ()
    if len(scripts) > 1 or len({*found}) != 1:
        raise _unknown_name(directory, name, "a step of it leads nowhere, or to several revisions")
    return tuple(found)


def _unknown_name(
    directory: ScriptDirectory, name: str, said: str, what: str = "no such revision here"
) -> CommandError:
    order = [one.revision for one in directory.walk_revisions()][::-1]
    some = order if len(order) <= _SHOWN else [*order[:3], "...", *order[-3:]]
    return _refused(
        f"{name}: {what}",
        (" ".join(said.split()) or "none", f"one of {', '.join(some) or '(there is none)'}"),
        "it is unknown which revisions to judge",
        "alembic history",
    )


_SHOWN = 12  # ids, in an error


def since(directory: ScriptDirectory, reference: str) -> frozenset[str]:
    """Return the ids of the revisions whose files are new or changed since a commit.

    That commit is the one where the branches parted. What Git does not track yet is new.

    :raises CommandError: Git cannot tell.
    """
    places = [place.resolve() for place in revisions.locations(directory)]
    root = Path(_git(places[0], reference, "rev-parse", "--show-toplevel").strip())
    _git(root, reference, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}")
    base = _git(root, reference, "merge-base", reference, "HEAD").strip()
    changed = _git(root, reference, "diff", "-z", "--name-only", "--diff-filter=d", base)
    new = _git(root, reference, "ls-files", "-z", "--others", "--exclude-standard")
    paths = {(root / name).resolve() for name in (changed + new).split("\0") if name}
    readable, _ = revisions.read(directory)
    return frozenset(one.id for one in readable if one.path.resolve() in paths)


def _git(place: Path, reference: str, *arguments: str) -> str:
    """Run Git.

    :raises CommandError: it fails; what to type is in the message.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(place), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        done = subprocess.CompletedProcess([], 1, "", "git is not installed")
    if done.returncode:
        raise _unknown(place, reference, done.stderr.strip())
    return done.stdout


def _unknown(place: Path, reference: str, said: str) -> CommandError:
    """Return the error for a commit that Git does not know here."""
    found = said.splitlines()[0] if said else "no such commit in this clone"
    inside = _says(place, "rev-parse", "--is-inside-work-tree")
    way = _way(reference) if inside else [f"{_part('REV')}  # without Git"]
    if _says(place, "rev-parse", "--is-shallow-repository"):
        found += "; the clone is shallow: it has the last commits only"
        way.insert(0, "git fetch --unshallow origin")
    return _refused(
        f"--since {reference}: Git cannot say what is new since then",
        (found, "a commit, a branch or a tag that this clone has, and where the two parted"),
        "a revision that is left out would be taken for harmless",
        *(way or ["git log --oneline  # the commits that there are"]),
    )


def _part(revision: str) -> str:
    """Return what to type instead, with a revision for the commit."""
    command = typed("locks")
    is_range = command.endswith("roundtrip")  # which begins with the revision that it names
    return f"{command} {revision}:head" if is_range else f"{command} --from {revision}"


def _says(place: Path, *question: str) -> bool:
    """Return whether Git prints ``true``."""
    return git(place, *question) == "true"


def _refused(problem: str, shown: tuple[str, str], why: str, *way: str) -> CommandError:
    code = "\n".join(f"    {line}" for line in way)
    return CommandError(
        f"{problem}.\n  found   {shown[0]}\n  wanted  {shown[1]}\n"
        f"Stopped, because {why}.\nWhat to do next:\n{code}"
    )


def _way(reference: str) -> list[str]:
    """Return how a clone can fetch a commit, whatever branches it was cloned with."""
    remote, slash, branch = reference.partition("/")
    if not re.fullmatch(r"[\w./][\w./-]*", reference):
        return []  # HEAD~1 is no name: it comes with the commits before it
    if slash and remote in ("origin", "upstream"):
        return [f"git fetch {remote} +{branch}:refs/remotes/{remote}/{branch}"]
    return [
        f"git fetch origin {reference}",
        f"{typed('locks')} --since FETCH_HEAD  # which is then {reference}",
    ]
