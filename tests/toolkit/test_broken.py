"""Files of a project that are broken: `alembic-toolkit` says in a line what is wrong, and where."""

from collections.abc import Callable

import pytest

from tests.toolkit.conftest import Project
from tests.toolkit.deployers import start

BROKEN = {
    "a syntax error": (
        "migrations/versions/0002_test.py",
        "def (\n",
        "0002_test.py SyntaxError",
    ),
    "a null byte": ("migrations/versions/0002_test.py", "x = '\0'\n", "SyntaxError"),
    "an unknown name": (
        "migrations/versions/0002_test.py",
        "missing\n",
        "0002_test.py NameError",
    ),
    "an exit": ("migrations/versions/0002_test.py", "import sys\nsys.exit(0)\n", "sys.exit()"),
    "a broken down_revision": (
        "migrations/versions/0002_test.py",
        "revision = '2'\ndown_revision = 'nope'\n",
        "nope",
    ),
    "a number for a setting": ("pyproject.toml", "[tool]\nalembic-toolkit = 3\n", "table"),
    "a broken alembic.ini": ("alembic.ini", "alembic\n", "headers"),
}
COMMANDS: dict[str, Callable[[Project], list[str]]] = {
    "sql": lambda _: ["sql", "--dialect", "postgresql"],
    "upgrade": lambda project: ["upgrade", "--url", project.url],
    "check": lambda _: ["check"],
    "roundtrip": lambda _: ["roundtrip"],
    "status": lambda _: ["status"],
}


@pytest.mark.databases("sqlite")
def test_error_of_a_revision_has_its_line_whatever_it_is(project: Project) -> None:
    for error in ("ValueError", "OSError", "KeyError"):
        path = project.revision("0001", None, f"raise {error}('no such thing')")
        process = start(project, "where", "--write", module="alembic_toolkit.cli")
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "0001_test.py:" in printed, printed
        assert f"{error}: " in printed
        path.unlink()


@pytest.mark.long
@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_told_without_a_traceback(name: str, command: str, project: Project) -> None:
    file, text, said = BROKEN[name]
    project.table("0001")
    project.write(file, text)
    process = start(project, *COMMANDS[command](project), module="alembic_toolkit.cli")
    printed, _ = process.communicate(timeout=60)
    assert "Traceback" not in printed, printed
    if command in ("sql", "upgrade") and (name != "a number for a setting" or command == "upgrade"):
        assert process.returncode in (1, 2), printed
        assert [word for word in said.split() if word not in printed] == [], printed
    assert process.returncode in (0, 1, 2), printed
