"""The rules of the house: who may import whom, how long a function may be, what is documented."""

from __future__ import annotations

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.copies import ROOT
from tests.house import (
    TOOLKIT,
    House,
    arrows,
    body_lines,
    circle,
    forbidden,
    functions,
    global_names,
    house,
    imported,
    is_room_of_servers,
    lines,
    long_functions,
    packages,
    room_of,
    rooms,
    server_comparisons,
)

STDLIB = sys.stdlib_module_names
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())

FACE = house("alembic_helpers.py")
PRODUCT = FACE | house(f"{TOOLKIT}/**/*.py")
HOUSE = PRODUCT | house("bills/**/*.py", "migrations/**/*.py")

# Which room may import which, from the ground up: a folder or a file of alembic_toolkit, or what
# stands beside it; one file of a room is named by its path. The number is the floor.
TABLE: dict[str, tuple[int, set[str]]] = {
    "sql": (1, set()),
    "database": (1, {"sql", "messages", "installed"}),
    "progress": (1, set()),
    "messages": (1, set()),
    "exits": (1, set()),
    "installed": (1, set()),
    "usage": (2, {"exits", "database"}),
    "readiness": (2, {"database"}),
    "__init__": (4, {"readiness", "runner", "installed"}),
    "bills": (4, {"readiness", "__init__"}),
    "project": (2, {"database", "messages"}),
    "verbs": (2, {"sql", "database", "progress", "messages"}),
    "schema": (2, {"sql", "database"}),
    "alembic_helpers": (3, {"verbs"}),
    "rows": (3, {"schema", "sql", "database"}),
    "script": (3, {"project", "database/journal", "sql", "messages", "installed"}),
    "drift": (3, {"schema", "database", "sql"}),
    "fleet": (
        4,
        {"drift", "prove", "deployer", "schema", "project", "database", "messages", "exits"},
    ),
    "deployer": (3, {"project", "database", "sql", "schema", "messages"}),
    "prove": (
        4,
        {"drift", "rows", "schema", "script", "project", "database", "sql", "messages", "exits"},
    ),
    "where": (
        5,
        {"prove", "rows", "fleet", "deployer", "schema", "project", "database", "sql", "messages"},
    ),
    "runner": (4, {"deployer", "script", "project", "database"}),
    "migrations": (5, {"runner", "bills"}),
    "migrations/versions": (5, {"alembic_helpers"}),
    "plugin": (5, {"prove"}),
    "report": (
        5,
        {"prove/results", "prove/statements", "exits", "progress", "messages", "installed"},
    ),
    "__main__": (6, {"cli"}),
    "cli": (
        6,
        {"sql", "database", "progress", "project", "verbs", "schema", "rows", "script", "fleet"}
        | {"deployer", "prove", "runner", "plugin", "report", "messages", "where", "exits"}
        | {"usage", "installed"},
    ),
}
MAY_IMPORT = {room: others for room, (_, others) in TABLE.items()}

# What revisions are run with: these rooms and the face know no package but two.
BEHIND_THE_FACE = {
    "sql",
    "database",
    "progress",
    "messages",
    "installed",
    "verbs",
    "alembic_helpers",
}

# The file of verbs/ that may know the servers: the entrance, which stands above them.
ABOVE_SERVERS = {f"{TOOLKIT}/verbs/operations.py"}
SERVERS = f"{TOOLKIT}/verbs/servers/"


def not_allowed(house: House, names: set[str]) -> dict[str, set[str]]:
    """Return the packages that files import beside those named and Python's own."""
    found = {path: packages(path, source) - names - STDLIB for path, source in house.items()}
    return {path: others for path, others in found.items() if others}


def assert_none(found: Iterable[str]) -> None:
    """Fail with all that was found, a line for each."""
    if said := "\n".join(sorted(found)):
        pytest.fail(f"found:\n{said}", pytrace=False)


def version() -> str:
    """Read the version as setuptools does: without importing the file."""
    for node in ast.parse(FACE["alembic_helpers.py"]).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise AssertionError("alembic_helpers.py has no literal __version__")


# How the rules read, tried on small houses

SMALL = {
    "alembic_helpers.py": "from alembic_toolkit.verbs import act\n",
    "alembic_toolkit/__init__.py": "",
    "alembic_toolkit/cli.py": "def main():\n    from alembic_toolkit import verbs\n",
    "alembic_toolkit/sql/__init__.py": "",
    "alembic_toolkit/sql/tokens.py": "import re\n",
    "alembic_toolkit/verbs/__init__.py": "",
    "alembic_toolkit/verbs/act.py": "from alembic_toolkit.sql.tokens import words\n",
    "alembic_toolkit/verbs/servers/__init__.py": "import alembic_toolkit.verbs.act as act\n",
}


def small(**files: str) -> House:
    """Return the small house with other files in it: ``sql__tokens`` of the toolkit."""
    return SMALL | {f"{TOOLKIT}/{name.replace('__', '/')}.py": text for name, text in files.items()}


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import a.b as c", {"a.b"}),
        ("from a import b, c", {"a.b", "a"}),
        ("from a import *", {"a"}),
        ("def f():\n    import a, d.e", {"a", "d.e"}),
        ("if TYPE_CHECKING:\n    from a.b import T", {"a.b"}),
        ("try:\n    import a\nexcept ImportError:\n    class C:\n        import d", {"a", "d"}),
        ("from . import c, d", {"p.q", "p.q.d"}),
        ("from .d import e", {"p.q.d"}),
        ("from ..f import g", {"p.f"}),
    ],
)
def test_imports_are_all_found_when_written_differently(source: str, modules: set[str]) -> None:
    known = {"a", "a.b", "p.q.d", "p.q"}
    assert imported("p/q/r.py", source, known) == modules
    if source.startswith("from ."):
        assert imported("p/q/__init__.py", source, known) == modules
    assert imported("p/q/r.py", "import_a = 'import a'  # import a", known) == set()


def test_files_are_found_by_what_is_imported() -> None:
    assert arrows(SMALL) == {path: set() for path in SMALL} | {
        "alembic_helpers.py": {"alembic_toolkit/verbs/act.py"},
        "alembic_toolkit/cli.py": {"alembic_toolkit/verbs/__init__.py"},
        "alembic_toolkit/verbs/act.py": {"alembic_toolkit/sql/tokens.py"},
        "alembic_toolkit/verbs/servers/__init__.py": {"alembic_toolkit/verbs/act.py"},
    }
    # A name that no file has is looked for in what there is of its path.
    wrong = arrows(small(cli="import alembic_toolkit.gone.x"))
    assert wrong["alembic_toolkit/cli.py"] == {"alembic_toolkit/__init__.py"}


def test_rooms_are_folders_and_files() -> None:
    assert {path: room_of(path) for path in SMALL} == {
        "alembic_helpers.py": "alembic_helpers",
        "alembic_toolkit/__init__.py": "__init__",
        "alembic_toolkit/cli.py": "cli",
        "alembic_toolkit/sql/__init__.py": "sql",
        "alembic_toolkit/sql/tokens.py": "sql",
        "alembic_toolkit/verbs/__init__.py": "verbs",
        "alembic_toolkit/verbs/act.py": "verbs",
        "alembic_toolkit/verbs/servers/__init__.py": "verbs",
    }
    assert room_of("migrations/versions/0001.py") == "migrations/versions"
    assert room_of("migrations/env.py") == "migrations"
    assert room_of("bills/cli.py") == "bills"


def test_forbidden_imports_are_found() -> None:
    assert forbidden(SMALL, MAY_IMPORT) == set()
    assert forbidden(SMALL, {}) == {
        "alembic_helpers.py -> alembic_toolkit/verbs/act.py",
        "alembic_toolkit/cli.py -> alembic_toolkit/verbs/__init__.py",
        "alembic_toolkit/verbs/act.py -> alembic_toolkit/sql/tokens.py",
    }
    up = small(sql__tokens="def f():\n    from alembic_toolkit.verbs import act\n")
    assert forbidden(up, MAY_IMPORT) == {
        "alembic_toolkit/sql/tokens.py -> alembic_toolkit/verbs/act.py"
    }
    part = small(report="from alembic_toolkit.prove.results import A", prove__results="")
    assert forbidden(part, MAY_IMPORT) == set()
    whole = small(
        report="from alembic_toolkit.prove import walk", prove__walk="", prove__results=""
    )
    assert forbidden(whole, MAY_IMPORT) == {
        "alembic_toolkit/report.py -> alembic_toolkit/prove/walk.py"
    }
    unknown = small(sql__tokens="import alembic_toolkit.attic", attic="")
    assert forbidden(unknown, MAY_IMPORT) == {
        "alembic_toolkit/sql/tokens.py -> alembic_toolkit/attic.py"
    }
    assert forbidden(small(sql__tokens="import alembic_helpers"), MAY_IMPORT) == {
        "alembic_toolkit/sql/tokens.py -> alembic_helpers.py"
    }


def test_circles_are_found() -> None:
    assert circle(arrows(SMALL)) == []
    back = small(sql__tokens="def f():\n    import alembic_toolkit.verbs.servers\n")
    found = circle(arrows(back))
    assert (found[0], len(found)) == (found[-1], 4)
    assert set(found) == {
        "alembic_toolkit/sql/tokens.py",
        "alembic_toolkit/verbs/act.py",
        "alembic_toolkit/verbs/servers/__init__.py",
    }
    # Two rooms, whose files make no circle.
    apart = small(sql__quoting="import alembic_toolkit.verbs.servers")
    assert circle(arrows(apart)) == []
    assert set(circle(rooms(arrows(apart)))) == {"sql", "verbs"}


@pytest.mark.parametrize(
    "source",
    [
        'if name == "sqlite": pass',
        'x = a if "mysql" != name else b',
        'name in ("postgresql", other)',
        'name not in {"mysql": 1}',
        '"mariadb" in name',
        'name in frozenset({"mysql", "mariadb"})',
        'def f(name):\n    return "sqlite" == name',
        'match name:\n    case "a" | "sqlite": pass',
        'match name:\n    case {"mysql": x}: pass',
        '{"mysql": 1}[name]',
        '{"mysql": 1, "other": 2}.get(name)',
        "dict(mysql=1, sqlite=2)[name]",
        'WAYS: dict[str, int] = {"mysql": 1}\ndef f(x):\n    return WAYS[x]',
        'WAYS = {"mysql": 1} | {"sqlite": 2}\nWAYS.get(x, 0)',
        'def f(x):\n    ways = {"mysql": 1}\n    return ways[x]',
        'def f(x):\n    ours = ("mysql", "mariadb")\n    return x in ours',
        'WAYS = MappingProxyType({"mysql": 1})\nx in WAYS',
        'OURS = "mysql"\nx == OURS',
        'OURS = ("mysql", "mariadb")\nx in OURS',
        'OURS = {"mysql"}\nALL = OURS | {"x"}\nx in ALL',
        "from alembic_toolkit.facts import OURS\nx in OURS",
        "from alembic_toolkit.facts import WAYS as ways\nways[x]",
        "from alembic_toolkit import facts\nfacts.WAYS.get(x)",
        "from alembic_toolkit import facts\nx == facts.ONE",
        'x.startswith("maria")',
        '"postgres" in x',
        'x == "MariaDB"',
        "from alembic_toolkit import servers\nx is servers.POSTGRESQL",
        "from alembic_toolkit.servers import MYSQL\nx == MYSQL.name",
        'WAYS = {"mysql": 1}\nWAYS.pop(x)',
    ],
)
def test_questions_which_server_it_is_are_found(source: str) -> None:
    facts = 'OURS = {"mysql"}\nWAYS = {"mysql": 1}\nONE = "mysql"\n'
    house = {"alembic_toolkit/a.py": source, "alembic_toolkit/facts.py": facts}
    found = server_comparisons("alembic_toolkit/a.py", house)
    last = source.count("\n") + 1
    assert found == {f"alembic_toolkit/a.py:{last}"}


@pytest.mark.parametrize(
    "source",
    [
        'x == "sqlite3" or x == "postgresql+psycopg"',
        'f("sqlite") == x or x in f("sqlite")',
        'Server(name="mysql")',
        'WAYS = {"mysql": 1}\nfor way in WAYS.values(): pass',
        'OURS = "mysql"\nprint(OURS)',
        'def f():\n    name = "mysql"\ndef g(name):\n    return name == "x"',
        'step.server.ways["mysql_engine"]',
        "table.kwargs.get(name)",
        'EMPTY = {}\nEMPTY["mysql"] = 1',
        "from alembic_toolkit.other.servers import WAYS\nWAYS[x]",
    ],
)
def test_what_only_names_a_server_is_no_question(source: str) -> None:
    assert server_comparisons("alembic_toolkit/a.py", {"alembic_toolkit/a.py": source}) == set()


def test_rooms_of_servers_are_few() -> None:
    paths = {
        "alembic_toolkit/verbs/servers/__init__.py": True,
        "alembic_toolkit/verbs/servers/mysql/act.py": True,
        "alembic_toolkit/schema/mysql.py": True,
        "alembic_toolkit/rows/tables/sqlite.py": True,
        "alembic_toolkit/schema/servers.py": True,
        "alembic_toolkit/deployer/lock.py": True,
        "alembic_toolkit/database/portrait.py": True,
        "alembic_toolkit/database/products.py": True,
        "alembic_toolkit/database/errors.py": False,
        "alembic_toolkit/verbs/kinds/column.py": False,
        "alembic_toolkit/prove/lock.py": False,
        "alembic_toolkit/servers/act.py": False,
        "alembic_helpers.py": False,
        "bills/sqlite.py": False,
    }
    assert {path: is_room_of_servers(path) for path in paths} == paths


def test_bodies_are_counted_without_signature_and_docstring() -> None:
    source = 'def f(\n    a,\n):\n    """Say.\n\n    More.\n    """\n    a = 1\n\n    return a\n'
    [function] = functions(source)
    assert body_lines(function) == 3
    assert body_lines(next(functions("def f():\n    'Only say.'"))) == 0
    method = (
        "class C:\n    async def f(self):\n        if 1:\n            def g():\n                2\n"
    )
    assert long_functions({"a.py": method}, 2) == {"a.py: f: 3 lines"}
    assert long_functions({"a.py": method}, 3) == set()


def test_globals_are_all_found() -> None:
    source = "import a.b, c as d\nfrom e import f as revision\nif 1:\n    down_revision: int = 2\n"
    source += (
        "def g():\n    inner = 1\nclass H: attribute = 1\nfor i in []: pass\nprint(only_read)\n"
    )
    assert global_names(source) == {"a", "d", "revision", "down_revision", "g", "H", "i"}


def test_other_packages_are_found() -> None:
    small = {"a.py": "import os.path, sqlalchemy.orm\ndef f():\n    from yaml.x import load"}
    assert not_allowed(small, {"sqlalchemy"}) == {"a.py": {"yaml"}}
    assert not_allowed(small, {"sqlalchemy", "yaml"}) == {}


# Who imports whom


def test_table_of_rooms_leads_only_down() -> None:
    assert circle(MAY_IMPORT) == []
    for room, (floor, others) in TABLE.items():
        assert all(TABLE[other.partition("/")[0]][0] <= floor for other in others), room


def test_house_has_the_rooms_of_the_table() -> None:
    assert_none({room_of(path) for path in HOUSE} ^ {*TABLE})


def test_rooms_import_what_they_may() -> None:
    assert_none(forbidden(HOUSE, MAY_IMPORT))


def test_no_files_and_no_rooms_import_each_other() -> None:
    found = arrows(HOUSE)
    assert circle(found) == []
    assert circle(rooms(found)) == []


def test_general_verbs_do_not_know_the_servers() -> None:
    knowing = {
        f"{path} -> {file}"
        for path, files in arrows(PRODUCT).items()
        for file in files
        if file.startswith(SERVERS) and not path.startswith(SERVERS)
    }
    assert_none(line for line in knowing if line.split(" -> ")[0] not in ABOVE_SERVERS)


def test_nothing_imports_the_tests() -> None:
    found = {path: packages(path, source) & {"tests", "scripts"} for path, source in HOUSE.items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_what_runs_revisions_needs_only_the_packages_it_is_made_of() -> None:
    behind = {path: source for path, source in PRODUCT.items() if room_of(path) in BEHIND_THE_FACE}
    assert not_allowed(behind, {"sqlalchemy", "alembic", TOOLKIT}) == {}


def test_revisions_do_not_depend_on_what_moves_on() -> None:
    revisions = house("migrations/versions/*.py")
    assert not_allowed(revisions, {"alembic_helpers", "sqlalchemy"}) == {}


@pytest.mark.parametrize(
    ("module", "needless"),
    {
        "alembic_helpers": {"prove", "report", "fleet", "deployer", "runner"},
        f"{TOOLKIT}.runner": {"prove", "report", "fleet", "schema", "rows", "verbs"},
        # Each command imports what it needs beside this.
        f"{TOOLKIT}.cli": {"report", "where", "drift", "schema", "rows", "script", "deployer"},
    }.items(),
)
def test_what_starts_often_imports_little(module: str, needless: set[str]) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    loaded = {room_of(name.replace(".", "/")) for name in json.loads(printed)}
    assert room_of(module.replace(".", "/")) in loaded
    assert loaded & needless == set()


def test_folders_say_what_they_are() -> None:
    folders = {str(Path(path).parent) for path in PRODUCT if path.startswith(TOOLKIT)}
    first = {folder: PRODUCT.get(f"{folder}/__init__.py", "") for folder in folders}
    assert_none(folder for folder, text in first.items() if not ast.get_docstring(ast.parse(text)))


# What names a server


@pytest.mark.parametrize("path", [path for path in PRODUCT if not is_room_of_servers(path)])
def test_only_the_rooms_of_servers_ask_which_server_it_is(path: str) -> None:
    general = {path: text for path, text in PRODUCT.items() if not is_room_of_servers(path)}
    assert_none(server_comparisons(path, general))


# How long


def test_files_are_short() -> None:
    lengths = {path: lines(source) for path, source in HOUSE.items()}
    assert_none(
        f"{path}: {length} lines"
        for path, length in lengths.items()
        if length > (1000 if path in FACE else 700)
    )
    # Those that only say what a folder is would make it easy.
    assert statistics.median(length for length in lengths.values() if length > 1) <= 250


def test_functions_are_short() -> None:
    assert_none(long_functions(HOUSE, 40))


# What stands in files


def test_no_module_looks_like_a_revision() -> None:
    # A frame that has both is taken for the running revision.
    others = {path: text for path, text in HOUSE.items() if room_of(path) != "migrations/versions"}
    both = {"revision", "down_revision"}
    assert_none(path for path, source in others.items() if both <= global_names(source))
    assert all(both <= global_names(HOUSE[path]) for path in HOUSE.keys() - others.keys())


def test_verbs_make_no_engine_read_no_url_and_print_nothing() -> None:
    names = {"create_engine", "create_async_engine", "engine_from_config", "make_url"}
    names |= {"environ", "environb", "getenv", "print"}
    used = {
        f"{path}:{getattr(node, 'lineno', 0)}: {name}"
        for path, source in PRODUCT.items()
        if room_of(path) in {"verbs", "alembic_helpers"}
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        for name in [ast.unparse(node).rpartition(".")[2]]
        if name in names
    }
    assert_none(used)


def test_helpers_have_imperative_docstrings() -> None:
    wrong = []
    for function in ast.parse(FACE["alembic_helpers.py"]).body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            word = re.split(r"\W", ast.get_docstring(function) or "")[0]
            # "Create", not "Creates"; but "Pass" is an order too.
            if not word[:1].isupper() or (word.endswith("s") and not word.endswith("ss")):
                wrong.append(f"{function.name}: {word or 'no docstring'}")
    assert_none(wrong)


# Scripts and documents


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_a_short_posix_script(script: Path) -> None:
    text = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert text[0] == "#!/bin/sh"
    assert len(text) <= 25


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_named_where_its_users_look(script: Path) -> None:
    pages = [ROOT / "docs" / "start.md", ROOT / "CONTRIBUTING.md"]
    assert any(f"scripts/{script.name}" in page.read_text(encoding="utf-8") for page in pages)


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
