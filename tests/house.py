"""What the rules of the house look at: who imports whom, what is long, what names a server.

A house is a dict: the text of each of its files by path. So the rules can be tried on small ones.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath

from tests.copies import ROOT

House = dict[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef

TOOLKIT = "alembic_toolkit"
SERVERS = frozenset({"postgresql", "mysql", "mariadb", "sqlite"})
# Files of a room that may ask which server they have.
SINGLE_FILES = {"deployer/lock.py", "database/portrait.py", "database/products.py"}
PARTS = SERVERS | {"postgres", "maria"}  # of a name, in any letters
WRAPPERS = {"dict", "frozenset", "list", "set", "tuple", "MappingProxyType"}


def house(*patterns: str) -> House:
    """Return the files of the repository that match; each pattern must match some."""
    found: House = {}
    for pattern in patterns:
        paths = sorted(path for path in ROOT.glob(pattern) if path.is_file())
        assert paths, f"no file matches {pattern}"
        found |= {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    return found


# Who imports whom


def room_of(path: str) -> str:
    """Return the room of a file: a folder or a file of the toolkit, or what stands beside it."""
    parts = PurePosixPath(path).with_suffix("").parts
    if parts[:2] == ("migrations", "versions"):
        return "migrations/versions"
    return parts[1] if parts[0] == TOOLKIT and len(parts) > 1 else parts[0]


def module_of(path: str) -> str:
    """Return the name by which a file is imported."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: str, source: str, modules: Collection[str] = ()) -> set[str]:
    """Return the modules that a file imports: anywhere in it, and for the type checker too.

    :param modules: those that are known; ``from a import b`` imports ``a.b`` where it is one.
    """
    found: set[str] = set()
    package = module_of(path).split(".")
    package = package if PurePosixPath(path).stem == "__init__" else package[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in modules else base)
    return found


def packages(path: str, source: str) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imported(path, source)}


def arrows(house: House) -> dict[str, set[str]]:
    """Return for each file the files of the house that it imports."""
    modules = {module_of(path): path for path in house}

    def file_of(name: str) -> str | None:
        while name and name not in modules:  # what is imported may be a name in a module
            name = name.rpartition(".")[0]
        return modules.get(name)

    files = {
        path: {file_of(name) for name in imported(path, source, modules)}
        for path, source in house.items()
    }
    return {path: {file for file in found if file} - {path} for path, found in files.items()}


def forbidden(house: House, table: Mapping[str, Collection[str]]) -> set[str]:
    """Return the imports that a table of rooms does not have: ``file -> file``.

    What a room may import is a room, or one file of it: ``prove/results``.
    """
    return {
        f"{path} -> {file}"
        for path, files in arrows(house).items()
        for file in files
        if room_of(file) != room_of(path)
        and not {room_of(file), file.removeprefix(f"{TOOLKIT}/").removesuffix(".py")}
        & {*table.get(room_of(path), ())}
    }


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a way that leads back to where it began, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def rooms(graph: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return which rooms the files of a room import, of the imports of files."""
    found: dict[str, set[str]] = {}
    for path, files in graph.items():
        found.setdefault(room_of(path), set()).update(map(room_of, files))
    return {room: others - {room} for room, others in found.items()}


# How long


def lines(source: str) -> int:
    return len(source.splitlines())


def functions(source: str) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Count the lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def long_functions(house: House, limit: int) -> set[str]:
    return {
        f"{path}: {function.name}: {body_lines(function)} lines"
        for path, source in house.items()
        for function in functions(source)
        if body_lines(function) > limit
    }


# What names a server


def names_servers(expression: ast.expr | None, known: Collection[str] = ()) -> bool:
    """Tell whether it is a server's name, a literal with one in it, or a name for such a thing.

    :param known: the names of this file that stand for a server's name, or for several.
    """
    match expression:
        case ast.Constant(value=str(text)):
            return text.lower() in PARTS
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return any(names_servers(part, known) for part in parts)
        case ast.Dict(keys=keys):
            return any(names_servers(key, known) for key in keys)
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return any(keyword.arg in SERVERS for keyword in keywords)
        case ast.Call(func=ast.Name(id=name), args=[one]) if name in WRAPPERS:
            return names_servers(one, known)
        case ast.BinOp(left=left, right=right):  # {...} | {...}
            return names_servers(left, known) or names_servers(right, known)
        case ast.Starred(value=value) | ast.NamedExpr(value=value):
            return names_servers(value, known)
        case ast.Name(id=name):
            return name in known or (name.isupper() and name.lower() in SERVERS)
        case ast.Attribute(value=value, attr=attribute):
            is_server = attribute.isupper() and attribute.lower() in SERVERS
            return is_server or ast.unparse(expression) in known or names_servers(value)
    return False


def is_table(expression: ast.expr | None) -> bool:
    """Tell whether it is a dict by server, written as one."""
    match expression:
        case ast.Dict():
            return names_servers(expression)
        case ast.Call(func=ast.Name(id="dict"), keywords=[_, *_]):
            return names_servers(expression)
        case ast.Call(func=ast.Name(id=name), args=[one]) if name in WRAPPERS:
            return is_table(one)
        case ast.BinOp(left=left, right=right):
            return is_table(left) or is_table(right)
    return False


def named_servers(source: str) -> tuple[set[str], set[str]]:
    """Return the names for servers' names, and those for dicts by server, of one file.

    A single server's name counts where it is global: within a function it may be anything.
    """
    names: set[str] = set()
    tables: set[str] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        found = {target.id for target in targets if isinstance(target, ast.Name)}
        if node in tree.body or not isinstance(node.value, ast.Constant):
            names |= found if names_servers(node.value, names) else set()
        tables |= found if is_table(node.value) else set()
    return names, tables


def known_names(path: str, house: House) -> tuple[set[str], set[str]]:
    """Return what stands for servers' names, and for dicts by server, in a file: imported too."""
    names, tables = named_servers(house[path])
    files = {module_of(other): other for other in house}
    for node in ast.walk(ast.parse(house[path])):
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        for alias in node.names:
            here = alias.asname or alias.name
            if (module := f"{node.module}.{alias.name}") in files:
                found = named_servers(house[files[module]])
                names |= {f"{here}.{name}" for name in found[0]}
                tables |= {f"{here}.{name}" for name in found[1]}
            elif node.module in files:
                found = named_servers(house[files[node.module]])
                names |= {here} if alias.name in found[0] else set()
                tables |= {here} if alias.name in found[1] else set()
    return names, tables


COMPARISONS = ast.Eq | ast.NotEq | ast.In | ast.NotIn | ast.Is | ast.IsNot


def server_comparisons(path: str, house: House) -> set[str]:
    """Return where a file asks which server it has: ``file:line``.

    By comparing a name with a server's, by ``case``, or by looking into a dict by server.
    """
    names, tables = known_names(path, house)
    found: set[int] = set()
    for node in ast.walk(ast.parse(house[path])):
        match node:
            case ast.Compare(left=left, ops=ops, comparators=others) if any(
                isinstance(operator, COMPARISONS) for operator in ops
            ):
                asks = any(names_servers(part, names | tables) for part in [left, *others])
            case ast.MatchValue(value=value):
                asks = names_servers(value, names)
            case ast.MatchMapping(keys=keys):
                asks = any(names_servers(key, names) for key in keys)
            case ast.Call(func=ast.Attribute(attr="startswith" | "endswith"), args=args):
                asks = any(names_servers(part, names) for part in args)
            case ast.Subscript(value=value) | ast.Attribute(value=value, attr="get" | "pop"):
                asks = is_table(value) or (
                    isinstance(value, ast.Name | ast.Attribute) and ast.unparse(value) in tables
                )
            case _:
                asks = False
        if asks:
            found.add(getattr(node, "lineno", 0))
    return {f"{path}:{line}" for line in found}


def is_room_of_servers(path: str) -> bool:
    """Tell whether a file is about one server, or says which one it is."""
    parts = PurePosixPath(path).parts
    named = parts[-1] in {"postgresql.py", "mysql.py", "sqlite.py", "servers.py"}
    return parts[0] == TOOLKIT and (
        named or parts[1:3] == ("verbs", "servers") or "/".join(parts[1:]) in SINGLE_FILES
    )


# What else


def global_names(source: str) -> set[str]:
    """Return all names that a module has when it was imported."""
    table = symtable.symtable(source, "", "exec")
    return {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
