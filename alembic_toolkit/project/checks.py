"""Problems in the files of a history: nothing is imported, no database is used.

`check` finds all of it; each of the small functions below finds one kind of it.
"""

from __future__ import annotations

import ast
import difflib
import graphlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.project.baselines import Baselines, Node, problems
from alembic_toolkit.project.revisions import (
    MAX_ID_LENGTH,
    Finding,
    Revision,
    defines,
    is_declared,
    is_empty,
    last_name,
    locations,
    next_id,
    placeholder,
    read,
    shown,
    takes_nothing_back,
)

# What means something else on the command line: head+1, branch@head, base:head
_RESERVED = set("@-+:")
_SYMBOLS = {"base", "head", "heads", "current"}
_IMPORTERS = {"import_module", "__import__"}
_SHARED = {"alembic", "alembic_helpers", "sqlalchemy", "sqlparse"} | sys.stdlib_module_names


def check(config: Config) -> tuple[list[Revision], list[Finding]]:
    """Read the history of an Alembic configuration, and return it with all of its problems.

    :raises CommandError: there is no ``script_location``, or it names no directory; or there are no
     revisions.
    """
    script = ScriptDirectory.from_config(config)
    revisions, found = read(script)
    if not revisions and not found:
        raise nothing_there(script)
    found += graph(revisions) + several_heads(seen(revisions))
    found += unwritten_revisions(revisions)
    found += application_imports(revisions, import_roots(config), Path(script.dir))
    return revisions, found


def nothing_there(script: ScriptDirectory) -> CommandError:
    """Return the error for a history without revisions."""
    places = locations(script)
    missing = [place for place in places if not place.is_dir()]
    found = f"there is no directory {shown(missing[0])}" if missing else "no file of a revision"
    return CommandError(
        f"there are no revisions in {', '.join(shown(place) for place in places)}.\n"
        f"  found   {found}\n"
        "  wanted  revisions, such as 0001_create_users.py\n"
        "Stopped, because there is nothing to check or to prove.\n"
        "What to do next:\n"
        '    alembic revision -m "..."  # or, in the ini file, version_locations = their directory'
    )


# Ids and their order


def graph(revisions: Sequence[Revision]) -> list[Finding]:
    """Return everything that prevents the revisions from running in sequence."""
    return [
        *duplicate_ids(revisions),
        *unusable_ids(revisions),
        *duplicate_labels(revisions),
        *missing_ids(revisions),
        *cycles(revisions),
        *unfit_roots(revisions),
    ]


def duplicate_ids(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find revisions with duplicate ids: Alembic runs only one of them."""
    first: dict[str, Revision] = {}
    for revision in revisions:
        other = first.setdefault(revision.id, revision)
        if other is not revision:
            problem = f"its id {revision.id} is taken by {other.path.name}"
            remedy = (
                f'revision = "{next_id(known.id for known in revisions)}" and the down_revision '
                "that it comes after; then rename the file"
            )
            yield Finding(revision.path, problem, remedy)


def unusable_ids(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find ids that are too long for the version table, or have a meaning in Alembic."""
    for revision in revisions:
        if len(revision.id) > MAX_ID_LENGTH:
            problem = (
                f"its id {revision.id} has {len(revision.id)} characters, "
                f"the version table holds {MAX_ID_LENGTH}"
            )
            yield Finding(revision.path, problem, "a shorter id, here and where it is used")
        if _RESERVED & set(revision.id) or revision.id in _SYMBOLS:
            problem = f"its id {revision.id!r} means something else to alembic"
            yield Finding(revision.path, problem, "letters, digits and underscores")


def duplicate_labels(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find branch labels that are also used by another branch or as an id."""
    taken = {revision.id: revision for revision in revisions}
    for revision in revisions:
        for label in revision.branch_labels:
            other = taken.setdefault(label, revision)
            if other is not revision or label == revision.id:
                problem = f"its branch label {label} is taken by {other.path.name}"
                yield Finding(revision.path, problem, 'branch_labels = "...", another one')


def missing_ids(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find revisions that come after, or depend on, one that does not exist."""
    ids = {revision.id for revision in revisions}
    replaced = {id_: one for one in revisions for id_ in one.replaces}
    labels = {label for revision in revisions for label in revision.branch_labels}
    for revision in revisions:
        if revision.id in replaced:  # the files before it may be gone
            continue
        wrong = [("down_revision", id_) for id_ in revision.down_revisions if id_ not in ids]
        for id_ in revision.depends_on:
            # Alembic takes a label, or the beginning of an id, here and only here.
            if id_ not in labels and not any(known.startswith(id_) for known in ids):
                wrong.append(("depends_on", id_))
        for name, id_ in wrong:
            near = difflib.get_close_matches(id_, ids - {revision.id}, n=1, cutoff=0.5)
            if id_ in replaced:
                near = [f"{replaced[id_].id}, which replaces it"]
            remedy = ", perhaps ".join(["the id of a file that is there", *near])
            yield Finding(revision.path, f"its {name} {id_} is in no file", remedy)


def cycles(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find revisions that come after themselves."""
    after = {one.id: (*one.down_revisions, *one.depends_on) for one in revisions}
    files = {revision.id: revision.path for revision in revisions}
    while True:
        try:
            graphlib.TopologicalSorter(after).prepare()
            return
        except graphlib.CycleError as error:
            circle = error.args[1][:0:-1]  # each one comes after the next
        at = circle.index(next(id_ for id_ in after if id_ in circle))
        circle = circle[at:] + circle[:at]
        problem = f"comes after itself: {' -> '.join([*circle, circle[0]])}"
        remedy = "in one of these files, the down_revision that was there before"
        yield Finding(files[circle[0]], problem, remedy)
        after = {id_: others for id_, others in after.items() if id_ not in circle}


def unfit_roots(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find roots that do not match the revisions that they replace."""
    files = {revision.id: revision.path for revision in revisions}
    for problem in problems(_baselines(revisions)):
        yield Finding(files[problem.id], problem.what, problem.remedy)


def _baselines(revisions: Sequence[Revision]) -> Baselines:
    return Baselines(
        Node(one.id, one.down_revisions, one.depends_on, one.replaces) for one in revisions
    )


def seen(revisions: Sequence[Revision]) -> list[Revision]:
    """Return the history that a new database sees, without replaced revisions."""
    view = _baselines(revisions).seen_from()
    return [
        replace(one, down_revisions=tuple(map(view.name, one.down_revisions)))
        for one in revisions
        if one.id not in view.gone
    ]


def heads(revisions: Sequence[Revision]) -> list[Revision]:
    """Return the revisions that no other comes after."""
    passed = {id_ for revision in revisions for id_ in revision.down_revisions}
    return [revision for revision in revisions if revision.id not in passed]


def several_heads(revisions: Sequence[Revision]) -> list[Finding]:
    """Report a history with more than one head."""
    ends = heads(revisions)
    if len({revision.id for revision in ends}) < 2:
        return []
    *others, last = ends
    names = ", ".join(f"{revision.id} ({revision.path.name})" for revision in ends)
    remedy = (
        f'down_revision = "{others[-1].id}", so that it comes after the other; or run: '
        f'alembic merge -m "..." {" ".join(revision.id for revision in ends)}'
    )
    return [Finding(last.path, f"{len(ends)} heads: {names}", remedy)]


def unwritten_revisions(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Find revisions that were made from a template and never filled in.

    A module-level ``irreversible = "why"`` stands for an impossible downgrade, and
    ``empty = "why"`` for a revision that changes nothing.
    """
    remedy = "the statements that make the change, and those that take it back"
    for revision in revisions:
        directions = ["upgrade", "downgrade"]
        if defines(revision.tree, "irreversible"):
            directions.remove("downgrade")
        missing = [name for name in directions if not defines(revision.tree, name)]
        left = [name for name in directions if placeholder(revision.tree, name)]
        if left == ["downgrade"] and is_declared(revision.tree):
            left = []
        problems = []
        if missing:
            problems.append(f"has no {'() and no '.join(missing)}()")
        if left:
            verb = "raise" if left == directions else "raises"
            problems.append(f"its {'() and '.join(left)}() only {verb} NotImplementedError")
        if is_empty(revision.tree) and not revision.may_be_empty:
            declared = f'{remedy}; where it changes nothing: empty = "why", in the module'
            yield Finding(revision.path, "its upgrade() and downgrade() are both empty", declared)
        if takes_nothing_back(revision.tree) and not (missing or left):
            declared = 'the statements that take the change back, or irreversible = "why"'
            yield Finding(revision.path, "its downgrade() is empty, its upgrade() is not", declared)
        yield from (Finding(revision.path, problem, remedy) for problem in problems)


# What they import


def import_roots(config: Config) -> list[Path]:
    """Return the directories that hold the project's own packages."""
    given = config.config_file_name or config.toml_file_name or "alembic.ini"
    home = Path(given).absolute().parent
    roots = [home, home / "src"]
    # An alembic.ini inside the package: the package is above.
    while (home / "__init__.py").exists():
        home = home.parent
        roots.append(home)
    roots += [Path(path).absolute() for path in config.get_prepend_sys_paths_list() or ()]
    return list(dict.fromkeys(path.resolve() for path in roots))


def application_imports(
    revisions: Sequence[Revision], roots: Sequence[Path], environment: Path
) -> Iterator[Finding]:
    """Find revisions that import the project, whose meaning changes when the project does.

    What is in the ``environment``, the directory of ``env.py``, is there for the revisions.
    """
    for revision in revisions:
        for name, line in _imports(revision.tree):
            where = _module_path(name, roots)
            if where is None or where.is_relative_to(environment.resolve()):
                continue
            problem = f"imports {name} ({shown(where)}), which changes while the revision must not"
            remedy = (
                "a copy of what it needs: the literal value, or "
                'sa.table("...", sa.column("...")) for a model'
            )
            yield Finding(revision.path, problem, remedy, line)


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Call) and last_name(node.func) in _IMPORTERS:
            constants = [a for a in node.args[:1] if isinstance(a, ast.Constant)]
            names = [c.value for c in constants if isinstance(c.value, str)]
        else:
            continue
        for name in names:
            if name.partition(".")[0] not in _SHARED and name not in seen:
                seen.add(name)
                yield name, node.lineno


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk over all statements except those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            node = ast.Module(node.orelse, [])
        yield node
        yield from _run(node)


def _module_path(name: str, roots: Sequence[Path]) -> Path | None:
    """Return the path of a module below one of the roots; None if it is installed elsewhere."""
    first, *rest = name.split(".")
    for root in roots:
        top = root / first
        if top.with_suffix(".py").is_file():
            return top.with_suffix(".py")
        # Without an __init__.py it may be a namespace package, or just a directory of data.
        if top.is_dir() and next(top.glob("**/*.py"), None):
            below = top.joinpath(*rest)
            return below if below.exists() else below.with_suffix(".py")
    return None
