"""The revisions of a history, read from their files: nothing is imported."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util.pyfiles import coerce_resource_to_filename

# The column version_num is VARCHAR(32):
# https://alembic.sqlalchemy.org/en/latest/api/ddl.html#alembic.ddl.impl.DefaultImpl.version_table_impl
MAX_ID_LENGTH = 32


@dataclass(frozen=True)
class Finding:
    """One problem in one file, and what to write instead."""

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
    """One file of the history, as parsed."""

    path: Path
    tree: ast.Module = field(repr=False)
    id: str
    down_revisions: tuple[str, ...]
    depends_on: tuple[str, ...]
    branch_labels: tuple[str, ...]
    replaces: tuple[str, ...] = ()

    @property
    def may_be_empty(self) -> bool:
        """Return whether the revision makes sense without a statement: a base or a merge."""
        return len(self.down_revisions) != 1


# Reading


def read(script: ScriptDirectory) -> tuple[list[Revision], list[Finding]]:
    """Read every revision file, in the order of their names; also return what cannot be read."""
    found = [read_file(path) for path in revision_files(script)]
    revisions = [one for one in found if isinstance(one, Revision)]
    return revisions, [one for one in found if isinstance(one, Finding)]


def broken(script: ScriptDirectory) -> list[Finding]:
    """Return why Alembic cannot load files; computed values are left to Alembic."""
    return unloadable(read(script)[1])


def unloadable(unread: Iterable[Finding]) -> list[Finding]:
    """Return why Alembic cannot load files, of those that `read` could not."""
    return [one for one in unread if "computed" not in one.problem]


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


_READ = ("revision", "down_revision", "depends_on", "branch_labels", "replaces")


def read_file(path: Path) -> Revision | Finding:
    """Read one file; return the problem if it is not a revision that Alembic can load."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        return Finding(path, f"does not parse: {error.msg}", "valid Python", error.lineno)
    except (OSError, ValueError) as error:
        return Finding(path, f"cannot be read: {error}", "a text file of Python")
    names: dict[str, tuple[str, ...]] = {}
    for name in _READ:
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
    if not defines(tree, "down_revision"):
        remedy = 'down_revision = "...", the id of the revision before it (None for the first)'
        return Finding(path, "has no down_revision", remedy)
    [id_], *others = names.values()
    return Revision(path, tree, id_, *others)


def shown(path: Path) -> str:
    """Return a path as the reader would type it: relative when below the current directory."""
    try:
        return str(path.relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def _literal(tree: ast.Module, name: str) -> tuple[str, ...]:
    """Return the strings assigned to a module-level name.

    :raises ValueError: it is computed; with the line.
    :raises TypeError: it is a number; with the line, too.
    """
    value: ast.expr | None = None
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _defined(node):
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


def _defined(statement: ast.stmt) -> set[str]:
    """Return the names that a statement defines in a module; ``*`` may be any."""
    match statement:
        case ast.Assign():
            return {target.id for target in statement.targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(name)):
            return {name}
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            return {name}
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name for alias in statement.names}
    return set()


def defines(tree: ast.Module, name: str) -> bool:
    return any(_defined(statement) & {name, "*"} for statement in tree.body)


def next_id(ids: Iterable[str]) -> str:
    """Return the number after the highest one, as wide as that; ``0001`` when there is none."""
    last = max(numbers(ids), key=int, default="0000")
    return f"{int(last) + 1:0{len(last)}}"


def numbers(ids: Iterable[str]) -> list[str]:
    """Return the ids that are numbers."""
    # Alembic's own random ids have twelve digits, and some of them no letter.
    return [id_ for id_ in ids if re.fullmatch("[0-9]{1,11}", id_)]


# What is written in them


def placeholder(tree: ast.Module, direction: str) -> str | None:
    """Return the ``raise NotImplementedError`` that is a direction's only statement."""
    match _body(tree, direction):
        case [
            ast.Raise(
                exc=ast.Name("NotImplementedError") | ast.Call(ast.Name("NotImplementedError"))
            ) as only
        ]:
            return ast.unparse(only)
    return None


def is_declared(tree: ast.Module) -> bool:
    """Return whether a downgrade explains that the revision is irreversible."""
    match _body(tree, "downgrade"):
        case [ast.Raise(exc=ast.Call(ast.Name("NotImplementedError"), [words, *_]))]:
            return not is_from_template(words)
    return False


def is_from_template(words: ast.expr) -> bool:
    """Return whether a text is the placeholder of our template."""
    return isinstance(words, ast.Constant) and str(words.value).startswith("write here ")


def is_empty(tree: ast.Module) -> bool:
    """Return whether both directions have no statement, as in Alembic's template.

    A module-level ``empty = "why"`` declares that this is meant.
    """
    both = _body(tree, "upgrade") == _body(tree, "downgrade") == []
    return both and not defines(tree, "empty")


def takes_nothing_back(tree: ast.Module) -> bool:
    """Return whether only the downgrade has no statement, and the module does not say why."""
    declared = defines(tree, "irreversible") or defines(tree, "empty")
    return not declared and _body(tree, "downgrade") == [] != _body(tree, "upgrade")


def _body(tree: ast.Module, name: str) -> list[ast.stmt] | None:
    """Return a function's effective statements; None if it is defined elsewhere."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return [statement for statement in node.body if not _does_nothing(statement)]
    return None


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)  # a docstring, or ...
    return isinstance(statement, ast.Pass)


def last_name(node: ast.expr) -> str:
    """Return a name, or the last part of a dotted one."""
    return ast.unparse(node).rpartition(".")[2]
