"""Hand-written roots that replace old revisions: ``replaces = ("0001", ..., "0040")``.

A database at the last of them is marked again, as being at the root. One in between continues with
the replaced files if they are kept, or is told which release has them. So each database sees one of
two histories: `Baselines.seen_from` tells which one, and `apply` makes Alembic use it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic.runtime.migration import StampStep
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionMap, tuple_rev_as_scalar
from alembic.util import CommandError, to_tuple


@dataclass(frozen=True)
class Node:
    """A revision's place in the history, as declared in its file."""

    id: str
    parents: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # what it depends on
    replaces: tuple[str, ...] = ()  # oldest first
    path: str = ""
    kept_until: str = ""  # the last release with the replaced files


@dataclass(frozen=True)
class Problem:
    """A problem with a root that replaces others, or with successors of those."""

    id: str  # of the revision whose file has to be changed
    what: str
    remedy: str


@dataclass(frozen=True)
class View:
    """The revisions that a database sees, and the replaced ones."""

    inside: frozenset[str]  # the roots that it does not see, because it needs what they replace
    gone: frozenset[str]
    names: dict[str, str]

    def name(self, id_: str) -> str:
        """Return the revision that replaces this one, or this one itself."""
        passed = set[str]()  # a root that replaces itself is found elsewhere
        while id_ in self.names and id_ not in passed:
            passed.add(id_)
            id_ = self.names[id_]
        return id_


class Baselines:
    """The roots of a history that replace other revisions."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Know the revisions whose files are there."""
        self.nodes = {node.id: node for node in nodes}
        self.roots = {id_: node for id_, node in self.nodes.items() if node.replaces}

    def __bool__(self) -> bool:
        return bool(self.roots)

    def replaced(self, root: str) -> list[str]:
        """Return the revisions a root replaces, oldest first; nested roots are expanded."""
        return [*dict.fromkeys(self._flat(root, ()))]

    def _flat(self, root: str, above: tuple[str, ...]) -> Iterator[str]:
        for id_ in self.roots[root].replaces:
            if id_ in self.roots and id_ not in (*above, root):
                yield from self._flat(id_, (*above, root))
            yield id_

    def ends(self, root: str) -> set[str]:
        """Return the revisions of a database that can be marked as being at the root."""
        found, last = set[str](), self.roots[root].replaces[-1]
        while last not in found:
            found.add(last)
            last = self.roots[last].replaces[-1] if last in self.roots else last
        return found

    @cached_property
    def all_replaced(self) -> frozenset[str]:
        """Return all revisions that some root replaces."""
        return frozenset(id_ for root in self.roots for id_ in self.replaced(root))

    def root_of(self, id_: str) -> Node | None:
        """Return the root that replaces a revision: the outermost one."""
        found = [root for root in self.roots if id_ in self.replaced(root)]
        found.sort(key=lambda root: len(self.replaced(root)))
        return self.roots[found[-1]] if found else None

    def seen_from(self, stands: Iterable[str] = (), wanted: Iterable[str] = ()) -> View:
        """Return the history that a database sees.

        A database in the middle of replaced revisions, or with one as its target, sees those and
        not the root.

        :param stands: the revisions in its version table.
        :param wanted: the target revisions.
        """
        stands, wanted = {*stands}, {*wanted}
        inside = {
            root
            for root in self.roots
            if stands & ({*self.replaced(root)} - self.ends(root))
            or wanted & {*self.replaced(root)}
        }
        gone, names = {*inside}, {root: self.roots[root].replaces[-1] for root in inside}
        for root in self.roots.keys() - inside:
            gone |= {*self.replaced(root)}
        for root in sorted(self.roots.keys() - inside, key=lambda id_: id_ in gone):
            for id_ in self.replaced(root):
                names.setdefault(id_, root)
        return View(frozenset(inside), frozenset(gone), names)

    def missing(self, view: View, stands: Collection[str], wanted: Collection[str]) -> list[str]:
        """Return the missing files that a database in between would need."""
        for root in view.inside:
            replaced = self.replaced(root)
            places = [replaced.index(id_) for id_ in (*stands, *wanted) if id_ in replaced]
            start = min(places) if stands else 0
            left = [id_ for id_ in replaced[start:] if view.name(id_) not in self.nodes]
            if left:
                return left
        return []


# What is wrong


def problems(baselines: Baselines) -> Iterator[Problem]:
    """Find everything that keeps a root from replacing its revisions."""
    for root, node in baselines.roots.items():
        if node.parents or node.needs:
            what = "it replaces other revisions, and comes after one"
            yield Problem(root, what, "down_revision = None, and no depends_on: it is a root")
        elif root in baselines.replaced(root):
            yield Problem(root, "it replaces itself", "replaces = (...), the revisions before it")
        else:
            yield from _of_root(baselines, root)
            yield from _of_others(baselines, root)


def _of_root(baselines: Baselines, root: str) -> Iterator[Problem]:
    replaced, nodes = baselines.replaced(root), baselines.nodes
    for other in baselines.roots.keys() - {root, *replaced}:
        both = [id_ for id_ in replaced if id_ in baselines.replaced(other)]
        if both and root not in baselines.replaced(other):
            yield Problem(root, f"it replaces {both[0]}, and so does {other}", "only one of them")
            return
    place = {id_: number for number, id_ in enumerate(replaced)}
    kept = [nodes[id_] for id_ in replaced if id_ in nodes]
    for node in kept:
        for before in (*node.parents, *_known(baselines, node.needs)):
            if before not in place:
                what = f"it replaces {node.id}, and not {before}, which comes before that"
                yield Problem(root, what, f'"{before}" in replaces, too')
            elif place[before] > place[node.id]:
                what = f"in its replaces {before} stands behind {node.id}, which comes after it"
                yield Problem(root, what, "the oldest first: the last one is where it stands")
    passed = {before for node in kept for before in (*node.parents, *node.needs)}
    passed |= {id_ for node in kept if node.replaces for id_ in node.replaces}
    last = baselines.ends(root)
    for node in kept if len(kept) == len(replaced) else ():  # else a link may be missing
        if node.id not in passed and node.id not in last:
            what = f"it replaces {node.id}, which does not come before the last one, {replaced[-1]}"
            yield Problem(root, what, "one last revision: a merge, written before")


def _of_others(baselines: Baselines, root: str) -> Iterator[Problem]:
    """Find successors of revisions in the middle of the replaced ones."""
    replaced = {*baselines.replaced(root)}
    inside = replaced - baselines.ends(root)
    for node in baselines.nodes.values():
        if node.id in replaced or replaced & {*node.replaces}:
            continue
        for name, ids in ("down_revision", node.parents), ("depends_on", node.needs):
            for id_ in sorted({*ids} & inside):
                what = f"its {name} is {id_}, in the middle of what {root} replaces"
                yield Problem(node.id, what, f'"{root}", or replaces without {id_} and its heirs')


def _known(baselines: Baselines, needs: Iterable[str]) -> list[str]:
    return [id_ for id_ in needs if id_ in baselines.nodes]  # or a label, or part of an id


# As Alembic sees it


class MarkAgain(StampStep):
    """A step that only marks a database, because its revision has another name now."""

    direction = "replace"  # in the journal

    @classmethod
    def of(cls, before: str, after: str, known: RevisionMap) -> MarkAgain:
        """Return the step from one revision to the one that replaces it."""
        return cls(before, after, True, False, known)


@dataclass(frozen=True)
class _Loaded:
    """All revisions of a history, of which a map shows some."""

    scripts: list[Script]
    baselines: Baselines

    @classmethod
    def of(cls, scripts: list[Script]) -> _Loaded:
        return cls(scripts, Baselines(map(node_of, scripts)))


@dataclass(frozen=True)
class Standing:
    """A database's revisions in the history that it sees."""

    heads: tuple[str, ...]  # by the names of that history
    marks: tuple[MarkAgain, ...] = ()  # what must be written into its version table first


def baselines_of(directory: ScriptDirectory) -> Baselines:
    """Return the roots of a history that replace other revisions; load it, if it is not yet."""
    return _loaded(directory).baselines


_NAME = "alembic_toolkit_loaded"  # of an attribute of Alembic's map


def _loaded(directory: ScriptDirectory) -> _Loaded:
    known = directory.revision_map
    if _NAME not in vars(known):
        there: dict[Any, Any] = vars(known).get("_revision_map", {})
        found = [*dict.fromkeys(filter(None, there.values()))] or [*known._generator()]
        if not there:  # it would load the files again
            _show(directory, found)
        vars(directory.revision_map)[_NAME] = _Loaded.of(found)
    loaded: _Loaded = vars(directory.revision_map)[_NAME]
    return loaded


def _show(directory: ScriptDirectory, scripts: list[Script], loaded: _Loaded | None = None) -> None:
    """Make Alembic see these revisions."""
    directory.revision_map = RevisionMap(lambda: scripts)
    if loaded is not None:
        vars(directory.revision_map)[_NAME] = loaded


def node_of(script: Script) -> Node:
    """Return a loaded revision's place in the history.

    :raises CommandError: what it ``replaces`` are no ids.
    """
    given = getattr(script.module, "replaces", None) or ()
    ids = (given,) if isinstance(given, str) else given
    if not isinstance(ids, list | tuple) or not all(isinstance(id_, str) for id_ in ids):
        raise CommandError(
            f"revision {script.revision}: its replaces is {given!r}: nothing was run\n"
            f'What to do next, in {script.path}:\n    replaces = ("0001", "0002")'
            "  # ids, the oldest first"
        )
    parents, needs = (
        tuple(map(str, to_tuple(one, default=())))
        for one in (script.down_revision, script.dependencies)
    )
    until = str(getattr(script.module, "kept_until", "") or "")
    return Node(script.revision, parents, needs, tuple(ids), script.path, until)


def apply(
    directory: ScriptDirectory, stands: Sequence[str] = (), wanted: Iterable[str] = ()
) -> Standing:
    """Make Alembic see the history that a database sees.

    :param stands: what its version table says.
    :param wanted: the revisions that it is to be brought to, as they were typed.
    :raises CommandError: the roots are wrong; or the database is in between, and the files from
     there on are gone.
    """
    known = _loaded(directory)
    baselines = known.baselines
    if not baselines:
        return Standing(tuple(stands))
    for problem in problems(baselines):
        raise _refused(baselines.nodes[problem.id], problem)
    wanted = [id_ for id_ in map(_bare, wanted) if id_ in baselines.all_replaced]
    view = baselines.seen_from(stands, wanted)
    if left := baselines.missing(view, stands, wanted):
        raise in_between(baselines, (*stands, *wanted), left)
    shown = [_shown(one, baselines, view) for one in known.scripts if one.revision not in view.gone]
    _show(directory, shown, known)
    pairs = [(id_, view.name(id_)) for id_ in stands if view.name(id_) != id_]
    marks = [MarkAgain.of(*pair, directory.revision_map) for pair in pairs]
    return Standing(tuple(dict.fromkeys(map(view.name, stands))), tuple(marks))


def with_draft(directory: ScriptDirectory, file: Path) -> Script:
    """Return the revision of a file, and add it to the history if it is not in its directory.

    :raises CommandError: it is no revision.
    """
    known, path = _loaded(directory), file.resolve()
    for script in known.scripts:
        if Path(script.path).resolve() == path:
            return script
    draft = Script._from_path(directory, path) if path.is_file() else None
    if draft is None:
        raise CommandError(f"{file} is no file of a revision")
    if draft.revision in known.baselines.nodes:
        raise CommandError(f"{file}: its id {draft.revision} is taken by another file")
    _show(directory, known.scripts, _Loaded.of([*known.scripts, draft]))
    apply(directory)
    return draft


def seen(directory: ScriptDirectory) -> ScriptDirectory:
    """Make Alembic see the history that a new database sees; return the directory."""
    apply(directory)
    return directory


def refuse_inside(directory: ScriptDirectory) -> None:
    """Refuse to compare a database that uses the replaced revisions.

    :raises CommandError: it sees one of them.
    """
    replaced = baselines_of(directory).all_replaced
    seen_here = replaced and [one.revision for one in directory.walk_revisions()]
    if ours := sorted(replaced & {*seen_here}):
        root = baselines_of(directory).root_of(ours[0])
        assert root is not None
        raise CommandError(
            f"the database stands before {root.replaces[-1]}, the last revision that {root.id}"
            " replaces: its schema cannot be compared\n"
            f"Stopped, because what is known of the history begins with {root.id}.\n"
            "What to do next:\n    alembic upgrade head  # without verify; then compare"
        )


def _bare(revision: str) -> str:
    """Return the id in a typed revision: ``branch@id``, ``id-1``, ``id+2``."""
    bare = revision.rpartition("@")[2]
    for sign in "+-":
        bare = bare.partition(sign)[0] or bare
    return bare


def _shown(script: Script, baselines: Baselines, view: View) -> Script:
    """Return a revision as a database sees it, possibly with other predecessors."""
    one, node = copy.copy(script), node_of(script)
    for name in ("nextrev", "_all_nextrev"):
        vars(one).pop(name, None)
    one.branch_labels = set(one._orig_branch_labels)
    parents = dict.fromkeys(map(view.name, node.parents))
    gone = baselines.all_replaced - baselines.nodes.keys()
    one.down_revision = tuple_rev_as_scalar(tuple(id_ for id_ in parents if id_ not in gone))
    needs = (id_ for id_ in map(view.name, node.needs) if id_ not in gone)
    one.dependencies = tuple_rev_as_scalar(tuple(dict.fromkeys(needs)))
    return one


def _refused(node: Node, problem: Problem) -> CommandError:
    return CommandError(
        f"revision {node.id} does not fit what is replaced: {problem.what}: nothing was run\n"
        f"  found   {node.path}\n"
        f"  wanted  {problem.remedy}\n"
        "Stopped, because nobody could tell which revisions a database has.\n"
        "What to do next:\n    alembic-toolkit check  # once that is fixed"
    )


def in_between(baselines: Baselines, ids: Iterable[str], left: Sequence[str]) -> CommandError:
    """Return the error that a database must first upgrade with an older release.

    :param ids: where it stands, or is to be brought to.
    :param left: the revisions that it needs, and no file has.
    """
    at = next(id_ for id_ in ids if id_ in baselines.all_replaced)
    root = baselines.root_of(at)
    assert root is not None
    last = root.replaces[-1]
    some = left[0] if len(left) == 1 else f"{left[0]} to {left[-1]}"
    release = f"release {root.kept_until}" if root.kept_until else f"the last one with {some}"
    return CommandError(
        f"{at} is one of the revisions that {root.id} replaces, and no file here has {some}:"
        " nothing was run\n"
        f"  found   {at}\n"
        f"  wanted  {last}, the last one that {root.id} replaces, or one after it\n"
        f"Stopped, because {root.id} makes in one step what {root.replaces[0]} to {last} made,"
        " and must not run on a part of it.\n"
        f"What to do next, in {release}, which this database must pass through:\n"
        f"    alembic upgrade {last}\n"
        "then run this command again, with the files that are here."
    )
