"""What can be said of a history by reading its files: nothing is imported, no database is touched.

`check` says all of it; the small functions below say one thing each, as a list of `Finding`.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.pyfiles import coerce_resource_to_filename

# The column version_num is VARCHAR(32):
# https://alembic.sqlalchemy.org/en/latest/api/ddl.html#alembic.ddl.impl.DefaultImpl.version_table_impl
MAX_ID_LENGTH = 32

# What means something else on the command line: head+1, branch@head, base:head
_RESERVED = set("@-+:")
_SYMBOLS = {"base", "head", "heads", "current"}
_IMPORTERS = {"import_module", "__import__"}
_SHARED = {"alembic", "alembic_helpers", "sqlalchemy", "sqlparse"} | sys.stdlib_module_names


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in one file, and what to write instead."""

    path: Path
    problem: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        """Return two lines, with the path as seen from the current directory."""
        place = shown(self.path) + (f":{self.line}" if self.line else "")
        return f"{place}: {self.problem}\n    instead: {self.remedy}"


@dataclass(frozen=True)
class Revision:
    """One file of the history, as it is written."""

    path: Path
    tree: ast.Module = field(repr=False)
    id: str
    down_revisions: tuple[str, ...]
    depends_on: tuple[str, ...]
    branch_labels: tuple[str, ...]

    @property
    def may_be_empty(self) -> bool:
        """Say whether the revision has a meaning without any statement: a base or a merge."""
        return len(self.down_revisions) != 1


def check(config: Config) -> tuple[list[Revision], list[Finding]]:
    """Read the history of an Alembic configuration and return it with all that is wrong in it.

    :raises CommandError: there is no ``script_location``, or it names no directory.
    """
    script = ScriptDirectory.from_config(config)
    revisions, found = read(script)
    found += graph(revisions) + several_heads(revisions)
    found += unwritten_revisions(revisions)
    found += application_imports(revisions, import_roots(config), Path(script.dir))
    return revisions, found


# Reading


def read(script: ScriptDirectory) -> tuple[list[Revision], list[Finding]]:
    """Read every revision file, in the order of their names; say which cannot be read."""
    revisions: list[Revision] = []
    found: list[Finding] = []
    for path in revision_files(script):
        outcome = read_file(path)
        if isinstance(outcome, Revision):
            revisions.append(outcome)
        else:
            found.append(outcome)
    return revisions, found


def locations(script: ScriptDirectory) -> list[Path]:
    """Return the directories of the revisions."""
    named = script.version_locations or [os.path.join(script.dir, "versions")]
    return [Path(str(coerce_resource_to_filename(str(name)))) for name in named]


def revision_files(script: ScriptDirectory) -> list[Path]:
    """Return the files that Alembic would load."""
    pattern = "**/*.py" if script.recursive_version_locations else "*.py"
    paths = {
        path.resolve()
        for location in locations(script)
        for path in location.glob(pattern)
        if not path.name.startswith(("__init__", ".#"))
    }
    return sorted(paths)


def read_file(path: Path) -> Revision | Finding:
    """Read one file; return what is wrong when it is not a revision that Alembic can load."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        return Finding(path, f"does not parse: {error.msg}", "valid Python", error.lineno)
    except (OSError, ValueError) as error:
        return Finding(path, f"cannot be read: {error}", "a text file of Python")
    names: dict[str, tuple[str, ...]] = {}
    for name in ("revision", "down_revision", "depends_on", "branch_labels"):
        try:
            names[name] = _literal(tree, name)
        except TypeError as error:
            value, line = error.args
            remedy = f'{name} = "{value}", a text in quotes: alembic takes nothing else'
            return Finding(path, f"its {name} is {value}, not a text", remedy, line)
        except ValueError as error:
            remedy = f'{name} = "...", or None: tools read it without running the file'
            return Finding(path, f"its {name} is computed, not written", remedy, error.args[0])
    if len(names["revision"]) != 1:
        return Finding(path, "has no revision id", 'revision = "...", in a line of its own')
    if not _defines(tree, "down_revision"):
        remedy = 'down_revision = "...", the id of the revision before it (None for the first)'
        return Finding(path, "has no down_revision", remedy)
    return Revision(
        path,
        tree,
        names["revision"][0],
        names["down_revision"],
        names["depends_on"],
        names["branch_labels"],
    )


def shown(path: Path) -> str:
    """Return a path as the reader would type it: relative when below the current directory."""
    try:
        return str(path.relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def _literal(tree: ast.Module, name: str) -> tuple[str, ...]:
    """Return the strings that a module-level name holds.

    :raises ValueError: it is computed; with the line.
    :raises TypeError: it is a number; with the line, too.
    """
    value: ast.expr | None = None
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            value = node.value
    if value is None:
        return ()
    try:
        found = ast.literal_eval(value)
    except ValueError:
        raise ValueError(value.lineno) from None
    if found is None:
        return ()
    ids = tuple(found) if isinstance(found, list | tuple | set) else (found,)
    numbers = [id_ for id_ in ids if isinstance(id_, int | float)]
    if numbers:
        raise TypeError(numbers[0], value.lineno)
    if not all(isinstance(id_, str) for id_ in ids):
        raise ValueError(value.lineno)
    return ids


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _defines(tree: ast.Module, name: str) -> bool:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            if name in _targets(node):
                return True
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == name:
                return True
        elif isinstance(node, ast.Import | ast.ImportFrom) and any(
            (alias.asname or alias.name) in {name, "*"} for alias in node.names
        ):
            return True
    return False


# Ids and their order


def graph(revisions: Sequence[Revision]) -> list[Finding]:
    """Say all that keeps the revisions from being run one after the other."""
    return [
        *duplicate_ids(revisions),
        *unusable_ids(revisions),
        *duplicate_labels(revisions),
        *missing_ids(revisions),
        *cycles(revisions),
    ]


def next_id(ids: Iterable[str]) -> str:
    """Return the number after the highest one, as wide as that; ``0001`` when there is none."""
    # Alembic's own random ids have twelve digits, and some of them no letter.
    numbers = [id_ for id_ in ids if re.fullmatch("[0-9]{1,11}", id_)]
    last = max(numbers, key=int, default="0000")
    return f"{int(last) + 1:0{len(last)}}"


def duplicate_ids(revisions: Sequence[Revision]) -> list[Finding]:
    """Say which revisions have an id that is taken: Alembic runs only one of them."""
    first: dict[str, Revision] = {}
    found = []
    for revision in revisions:
        other = first.setdefault(revision.id, revision)
        if other is not revision:
            problem = f"its id {revision.id} is taken by {other.path.name}"
            remedy = (
                f'revision = "{next_id(known.id for known in revisions)}" and the down_revision '
                "that it comes after; then rename the file"
            )
            found.append(Finding(revision.path, problem, remedy))
    return found


def unusable_ids(revisions: Sequence[Revision]) -> list[Finding]:
    """Say which ids are too long for the version table, or have characters with a meaning."""
    found = []
    for revision in revisions:
        if len(revision.id) > MAX_ID_LENGTH:
            problem = (
                f"its id {revision.id} has {len(revision.id)} characters, "
                f"the version table holds {MAX_ID_LENGTH}"
            )
            found.append(Finding(revision.path, problem, "a shorter id, here and where it is used"))
        if _RESERVED & set(revision.id) or revision.id in _SYMBOLS:
            problem = f"its id {revision.id!r} means something else to alembic"
            found.append(Finding(revision.path, problem, "letters, digits and underscores"))
    return found


def duplicate_labels(revisions: Sequence[Revision]) -> list[Finding]:
    """Say which labels of branches are taken, by another branch or as an id."""
    taken = {revision.id: revision for revision in revisions}
    found = []
    for revision in revisions:
        for label in revision.branch_labels:
            other = taken.setdefault(label, revision)
            if other is not revision or label == revision.id:
                problem = f"its branch label {label} is taken by {other.path.name}"
                found.append(Finding(revision.path, problem, 'branch_labels = "...", another one'))
    return found


def missing_ids(revisions: Sequence[Revision]) -> list[Finding]:
    """Say which revisions come after, or depend on, one that is not there."""
    ids = {revision.id for revision in revisions}
    labels = {label for revision in revisions for label in revision.branch_labels}
    found = []
    for revision in revisions:
        wrong = [("down_revision", id_) for id_ in revision.down_revisions if id_ not in ids]
        for id_ in revision.depends_on:
            # Alembic takes a label, or the beginning of an id, here and only here.
            if id_ not in labels and not any(known.startswith(id_) for known in ids):
                wrong.append(("depends_on", id_))
        for name, id_ in wrong:
            near = difflib.get_close_matches(id_, ids - {revision.id}, n=1, cutoff=0.5)
            remedy = ", perhaps ".join(["the id of a file that is there", *near])
            found.append(Finding(revision.path, f"its {name} {id_} is in no file", remedy))
    return found


def cycles(revisions: Sequence[Revision]) -> list[Finding]:
    """Say which revisions come after themselves."""
    after = {
        revision.id: (*revision.down_revisions, *revision.depends_on) for revision in revisions
    }
    files = {revision.id: revision.path for revision in revisions}
    reported: set[str] = set()
    found = []
    for id_ in after:
        circle = _circle(id_, after)
        if circle and reported.isdisjoint(circle):
            reported.update(circle)
            problem = f"comes after itself: {' -> '.join([*circle, id_])}"
            remedy = "in one of these files, the down_revision that was there before"
            found.append(Finding(files[id_], problem, remedy))
    return found


def _circle(start: str, after: dict[str, tuple[str, ...]]) -> list[str]:
    """Return a way from a revision back to itself, or nothing."""
    came_from: dict[str, str] = {}
    todo = [start]
    while todo:
        here = todo.pop()
        for there in after.get(here, ()):
            if there == start:
                way = [here]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if there not in came_from:
                came_from[there] = here
                todo.append(there)
    return []


def heads(revisions: Sequence[Revision]) -> list[Revision]:
    """Return the revisions that no other one comes after."""
    passed = {id_ for revision in revisions for id_ in revision.down_revisions}
    return [revision for revision in revisions if revision.id not in passed]


def several_heads(revisions: Sequence[Revision]) -> list[Finding]:
    """Say that the history ends in more than one place."""
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


# What is written in them


def placeholder(tree: ast.Module, direction: str) -> str | None:
    """Return the statement that stands for a direction nobody wrote, as in our template, or None.

    That is a single ``raise NotImplementedError``.
    """
    body = _body(tree, direction)
    if body is not None and len(body) == 1 and _is_not_implemented(body[0]):
        return ast.unparse(body[0])
    return None


def is_empty(tree: ast.Module) -> bool:
    """Say whether both directions have no statement, as in the template of Alembic."""
    return _body(tree, "upgrade") == _body(tree, "downgrade") == []


def unwritten_revisions(revisions: Sequence[Revision]) -> list[Finding]:
    """Say which revisions were made from a template and never filled in.

    A module-level ``irreversible = "why"`` stands for the downgrade that cannot be.
    """
    found = []
    for revision in revisions:
        directions = ["upgrade", "downgrade"]
        if _defines(revision.tree, "irreversible"):
            directions.remove("downgrade")
        missing = [name for name in directions if not _defines(revision.tree, name)]
        left = [name for name in directions if placeholder(revision.tree, name)]
        problems = []
        if missing:
            problems.append(f"has no {'() and no '.join(missing)}()")
        if left:
            verb = "raise" if left == directions else "raises"
            problems.append(f"its {'() and '.join(left)}() only {verb} NotImplementedError")
        if is_empty(revision.tree) and not revision.may_be_empty:
            problems.append("its upgrade() and downgrade() are both empty")
        remedy = "the statements that make the change, and those that take it back"
        found += [Finding(revision.path, problem, remedy) for problem in problems]
    return found


def _body(tree: ast.Module, name: str) -> list[ast.stmt] | None:
    """Return the statements of a function that do something; None when it is defined elsewhere."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return [statement for statement in node.body if not _does_nothing(statement)]
    return None


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)  # a docstring, or ...
    return isinstance(statement, ast.Pass)


def _is_not_implemented(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Raise) or statement.exc is None:
        return False
    raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


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
) -> list[Finding]:
    """Say which revisions import the project, whose meaning changes when the project does.

    What lies in the ``environment``, the directory of ``env.py``, is there for the revisions.
    """
    found = []
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
            found.append(Finding(revision.path, problem, remedy, line))
    return found


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
    """Walk over all but what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            node = ast.Module(node.orelse, [])
        yield node
        yield from _run(node)


def last_name(node: ast.expr) -> str:
    """Return what a name, or an attribute of something, is called in the end."""
    return ast.unparse(node).rpartition(".")[2]


def _module_path(name: str, roots: Sequence[Path]) -> Path | None:
    """Return where a module lies below one of the roots; None when it is installed elsewhere."""
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
