"""Which revisions are new since a commit of Git, or stand between two revisions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from alembic_toolkit.project import revisions


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
            "it is not known what to judge",
            "alembic history",
        ) from error
    return frozenset(found - low)


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
    """Return the error of a commit that Git does not know here."""
    found = said.splitlines()[0] if said else "no such commit in this clone"
    inside = _says(place, "rev-parse", "--is-inside-work-tree")
    way = _way(reference) if inside else ["alembic-toolkit locks --from REV  # without Git"]
    if _says(place, "rev-parse", "--is-shallow-repository"):
        found += "; the clone is shallow: it has the last commits only"
        way.insert(0, "git fetch --unshallow origin")
    return _refused(
        f"--since {reference}: Git cannot say what is new since then",
        (found, "a commit, a branch or a tag that this clone has, and where the two parted"),
        "a revision that is left out would be taken for harmless",
        *(way or ["git log --oneline  # the commits that there are"]),
    )


def _says(place: Path, *question: str) -> bool:
    """Return whether Git says ``true``."""
    command = ["git", "-C", str(place), *question]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.stdout.strip() == "true"


def _refused(problem: str, shown: tuple[str, str], why: str, *way: str) -> CommandError:
    code = "\n".join(f"    {line}" for line in way)
    return CommandError(
        f"{problem}.\n  found   {shown[0]}\n  wanted  {shown[1]}\n"
        f"Stopped, because {why}.\nWhat to do next:\n{code}"
    )


def _way(reference: str) -> list[str]:
    """Return how a clone gets a commit, whatever branches it was made of."""
    remote, slash, branch = reference.partition("/")
    if not re.fullmatch(r"[\w./][\w./-]*", reference):
        return []  # HEAD~1 is no name: it comes with the commits before it
    if slash and remote in ("origin", "upstream"):
        return [f"git fetch {remote} +{branch}:refs/remotes/{remote}/{branch}"]
    return [
        f"git fetch origin {reference}",
        f"alembic-toolkit locks --since FETCH_HEAD  # which is then {reference}",
    ]
