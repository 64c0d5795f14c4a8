"""The rules of the house: who may import whom, how long a function may be, what is documented."""

from __future__ import annotations

import ast
import os
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STDLIB = sys.stdlib_module_names
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(path: str | Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> set[str]:
    """Return the top-level packages that are imported, but not by a relative import."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def imports_of(*patterns: str) -> dict[str, set[str]]:
    """Return what each file that matches a pattern imports; there must be some file."""
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    assert paths, f"no file matches {' '.join(patterns)}"
    return {str(path.relative_to(ROOT)): imports(parse(path)) for path in paths}


def forbidden(found: dict[str, set[str]], names: set[str]) -> dict[str, set[str]]:
    return {path: packages & names for path, packages in found.items() if packages & names}


def not_allowed(found: dict[str, set[str]], names: set[str]) -> dict[str, set[str]]:
    names = names | STDLIB
    return {path: packages - names for path, packages in found.items() if packages - names}


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Count the lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def version() -> str:
    """Read the version as setuptools does: without importing the file."""
    for node in parse("alembic_helpers.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise AssertionError("alembic_helpers.py has no literal __version__")


# Who imports whom


def test_imports_are_all_found_when_written_differently() -> None:
    source = "import a.b as c\nfrom d.e import f\nfrom . import g\ndef h():\n    import i, j\n"
    assert imports(ast.parse(source)) == {"a", "d", "i", "j"}


def test_helpers_import_only_the_packages_they_are_made_of() -> None:
    allowed = {"sqlalchemy", "alembic", "sqlparse"}
    assert not_allowed(imports_of("alembic_helpers.py"), allowed) == {}


def test_toolkit_works_on_any_history() -> None:
    names = {"alembic_helpers", "bills", "migrations", "tests"}
    assert forbidden(imports_of("alembic_toolkit/**/*.py"), names) == {}


def test_bills_know_nothing_of_migrations() -> None:
    names = {"alembic_helpers", "alembic_toolkit", "migrations", "tests"}
    assert forbidden(imports_of("bills/**/*.py"), names) == {}


def test_revisions_do_not_depend_on_what_moves_on() -> None:
    allowed = {"alembic_helpers", "sqlalchemy"}
    assert not_allowed(imports_of("migrations/versions/*.py"), allowed) == {}


# alembic_helpers.py


def test_helpers_make_no_engine_read_no_url_and_print_nothing() -> None:
    names = {"create_engine", "create_async_engine", "engine_from_config", "make_url"}
    names |= {"environ", "environb", "getenv", "print"}
    used = {
        f"{name} in line {node.lineno}"
        for node in ast.walk(parse("alembic_helpers.py"))
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        for name in [ast.unparse(node).rpartition(".")[2]]
        if name in names
    }
    assert used == set()


def test_helpers_have_no_long_function() -> None:
    long = {
        f"{function.name}: {body_lines(function)} lines"
        for function in functions(parse("alembic_helpers.py"))
        if body_lines(function) > 40
    }
    assert long == set()


def test_helpers_have_short_functions() -> None:
    lengths = [body_lines(function) for function in functions(parse("alembic_helpers.py"))]
    assert statistics.median(lengths) < 10


def test_helpers_have_imperative_docstrings() -> None:
    wrong = []
    for function in parse("alembic_helpers.py").body:
        if isinstance(function, Function) and not function.name.startswith("_"):
            word = re.split(r"\W", ast.get_docstring(function) or "")[0]
            # "Create", not "Creates"; but "Pass" is an order too.
            if not word[:1].isupper() or (word.endswith("s") and not word.endswith("ss")):
                wrong.append(f"{function.name}: {word or 'no docstring'}")
    assert wrong == []


# Scripts and documents


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_a_short_posix_script(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert lines[0] == "#!/bin/sh"
    assert len(lines) <= 25


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_named_in_the_readme(script: Path) -> None:
    assert f"scripts/{script.name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)
    assert headings
    assert headings[0] in {"Unreleased", version()}


def test_floors_are_those_that_pyproject_promises() -> None:
    pattern = r"(sqlalchemy|alembic|sqlparse|PyMySQL|psycopg)(?:\[binary\])?{}([\d.]+)"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = (ROOT / "constraints" / "floors.txt").read_text(encoding="utf-8")
    promised = set(re.findall('"' + pattern.format(">="), project))
    assert len(promised) == 5
    # A package whose floor has no wheel for a newer Python is pinned a second time.
    assert promised <= set(re.findall(pattern.format("=="), pins))
