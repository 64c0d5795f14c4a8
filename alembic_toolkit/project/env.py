"""A project, and how its ``env.py`` gets the database to use."""

from __future__ import annotations

import argparse
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep, StampStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from alembic.util.pyfiles import load_python_file
from sqlalchemy import URL, Connection, Engine, make_url

from alembic_toolkit.database.address import same, shown
from alembic_toolkit.project import checks, revisions

# What env.py may take its database from, beside config.attributes["connection"] and the ini file.
_ARGUMENTS = ("url", "uri", "db_url", "dburl", "database_url", "sqlalchemy.url", "db", "database")
_VARIABLES = (
    "DATABASE_URL DATABASE_URI DB_URL"
    " SQLALCHEMY_DATABASE_URI SQLALCHEMY_URL SQLALCHEMY_DATABASE_URL"
)
_READS = re.compile(r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\()\s*["'](\w+)["']""")


@dataclass
class Project:
    """A history, with its configuration."""

    path: Path
    config: Config
    directory: ScriptDirectory
    x: tuple[str, ...] = ()
    order: list[Script] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, x: tuple[str, ...] = (), url: str = "") -> Project:
        """Load every revision, once; none, where one needs what ``env.py`` does first.

        :param url: of the scratch database, for what the revisions import of the application.
        """
        config = read_config(path)
        project = cls(path, config, ScriptDirectory.from_config(config), x)
        with told(project, url), suppress(Exception):  # load_in_env raises it again
            project.load_revisions()
        return project

    def load_revisions(self) -> None:
        """Load every revision, from the first to the last."""
        self.order = [*self.directory.walk_revisions()][::-1]

    def place(self, error: BaseException) -> str:
        """Return the last line of the project's own files that an error came through."""
        roots = [Path(self.directory.dir), *revisions.locations(self.directory)]
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = Path(frame.filename).resolve()
            if any(path.is_relative_to(root.resolve()) for root in roots):
                return f"\n  {path}, line {frame.lineno}: {frame.line}"
        return ""

    @cached_property
    def enforces(self) -> bool:
        """Return whether any file of the project has SQLite enforce foreign keys.

        By itself SQLite does not, and then what they forbid or cascade does not happen either.
        https://sqlite.org/foreignkeys.html#fk_enable
        """
        return any(_ENFORCES.search(_text(path)) for path in self.sources)

    @property
    def env_path(self) -> Path:
        return Path(self.directory.dir, "env.py")

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Return the environment variables that the project may take a database's URL from."""
        named = _READS.findall(_text(self.env_path))
        likely = [name for name in named if re.search("UR[LI]|DSN|DATABASE|DB", name, re.I)]
        named = [name for path in self.sources for name in _READS.findall(_text(path))]
        likely += [name for name in named if _NAMES_DATABASE.search(name)]
        return tuple(dict.fromkeys([*_VARIABLES.split(), *likely]))

    @cached_property
    def sources(self) -> list[Path]:
        """Return the Python files of the project without its revisions, up to a limit."""
        own = {place.resolve() for place in revisions.locations(self.directory)}
        found: dict[Path, None] = {}
        for root in (Path(self.directory.dir), *checks.import_roots(self.config)):
            for directory, below, names in os.walk(root):
                here = Path(directory).resolve()
                if here in own or "pyvenv.cfg" in names:
                    below.clear()
                    continue
                below[:] = [n for n in below if n not in _NOT_OURS and not n.startswith(".")]
                found.update(dict.fromkeys(here / name for name in names if name.endswith(".py")))
                if len(found) > _MOST_FILES:
                    break
        return [*found][:_MOST_FILES]

    def parents(self, revision: Script) -> tuple[str, ...]:
        """Return what a revision comes after, and depends on."""
        step = RevisionStep(self.directory.revision_map, revision, True)
        return tuple(step.from_revisions)

    def step(self, revision: Script, up: bool, fresh: bool = False) -> RevisionStep:
        """Return the step that runs a revision.

        :param fresh: load its file again, as another process would: what the file computes when it
         is imported (a random name, today's date) is computed again.
        """
        step = _Step(self.directory.revision_map, revision, up)
        if fresh:
            path = Path(revision.path)
            module = load_python_file(str(path.parent), path.name)
            step.migration_fn = module.upgrade if up else module.downgrade
        return step

    def stamp(self, revision: Script, up: bool) -> StampStep:
        """Return the step that marks a revision as run, or as not run, and runs nothing."""
        parents = self.parents(revision)
        branch = len(parents) != 1
        before: Any = parents if branch else parents[0]
        after: Any = (revision.revision,) if branch else revision.revision
        from_, to_ = (before, after) if up else (after, before)
        return StampStep(from_ or None, to_ or None, up, branch, self.directory.revision_map)


class _Step(RevisionStep):
    """A step of Alembic that walks through all revisions below only where it must."""

    def should_delete_branch(self, heads: set[str]) -> bool:
        """Return False for the only head when it comes after exactly one revision."""
        if heads == {self.revision.revision} and len(self.to_revisions) == 1:
            return False
        return super().should_delete_branch(heads)


_ENFORCES = re.compile(r"foreign_keys\W{1,6}(on|1|true|yes)\b", re.I)
_NAMES_DATABASE = re.compile(r"(DATABASE|DB|SQL|POSTGRES|PG|MARIA).*(UR[LI]|DSN)", re.I)
_MOST_FILES = 3000
_NOT_OURS = ("site-packages", "node_modules", "__pycache__")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_config(path: Path, arguments: argparse.Namespace | None = None) -> Config:
    """Read ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.

    :raises CommandError: neither is there, or has such a section.
    """
    # As for `alembic`, one file may complete the other.
    ini = path.with_name("alembic.ini") if path.name == "pyproject.toml" else path
    config = Config(ini, path.with_name("pyproject.toml"), cmd_opts=arguments)
    if not config.file_config.has_section("alembic") and not config.toml_alembic_config:
        raise CommandError(
            f"there is no {path} with an [alembic] section; "
            "name it: alembic-toolkit check -c path/to/alembic.ini"
        )
    return config


def arguments(project: Project, url: str) -> argparse.Namespace:
    """Return the arguments that ``env.py`` would get from Alembic's command line."""
    given = {argument.partition("=")[0] for argument in project.x}
    urls = [f"{name}={url}" for name in _ARGUMENTS if url and name not in given]
    options = {"revision": "heads", "sql": False, "tag": None}
    cmd = (command.upgrade, ["revision"], ["sql", "tag"])  # as CommandLine has it
    return argparse.Namespace(
        x=[*project.x, *urls], config=[str(project.path)], cmd=cmd, raiseerr=True, **options
    )


@contextmanager
def told(project: Project, url: str) -> Iterator[None]:
    """Name the database in the environment."""
    names = project.variables if url else ()
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, url))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def intercepted(environment: EnvironmentContext, configure: Callable[..., None]) -> Iterator[None]:
    """Have ``env.py`` call another function instead of ``context.configure``.

    :param configure: that function; before what ``env.py`` gives, it gets Alembic's own.
    """
    # On the instance: the functions of alembic.context call this object, whatever its class.
    environment.configure = partial(configure, environment.configure)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del environment.configure


def run_env(
    project: Project,
    url: str,
    configure: Callable[..., None],
    attributes: Mapping[str, Any],
    **options: Any,
) -> None:
    """Run ``env.py``, and name the database in every way that it may look at.

    :param url: of the database; empty: the one that ``env.py`` names.
    :param configure: called instead of ``context.configure``, as with `intercepted`.
    :param attributes: further ``config.attributes``.
    :param options: those of Alembic's ``EnvironmentContext``.
    """
    config = read_config(project.path, arguments(project, url))
    if url:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    config.attributes.update(attributes)
    environment = EnvironmentContext(config, project.directory, **options)
    with environment, told(project, url), intercepted(environment, configure):
        project.directory.run_env()


def run_online(
    project: Project,
    url: str,
    configure: Callable[..., None],
    connection: Connection | None,
    **options: Any,
) -> None:
    """Run ``env.py`` as `run_env` does, and refuse that it uses another database.

    :param connection: for ``env.py``; without one it makes its own.
    :raises CommandError: it uses another database, or none.
    """
    attributes = {"connection": connection} if url else {}
    calls = list[bool]()

    def watched(own: Callable[..., None], connection: Any = None, *more: Any, **given: Any) -> None:
        if url and not (isinstance(connection, Connection) and same(connection, make_url(url))):
            raise CommandError(_elsewhere(connection, project, make_url(url)))
        calls.append(True)
        configure(own, connection, *more, **given)

    run_env(project, url, watched, attributes, as_sql=False, **options)
    if not calls:
        raise CommandError("env.py ran, and never called context.configure(connection=...)")


def hint(error: BaseException) -> str:
    """Return what to do about a common error of ``env.py``, or nothing."""
    if "outside of application context" in str(error):
        return (
            "\nWhat to do next, in env.py, where current_app is first used:\n"
            "    from myapp import create_app  # your own\n"
            "    create_app().app_context().push()"
        )
    if "asyncio extension requires an async driver" in str(error):
        return (
            "\nWhat to do next: name the driver that env.py needs, such as "
            "--url sqlite+aiosqlite:///... or postgresql+asyncpg://..."
        )
    return ""


def _elsewhere(connection: Any, project: Project, wanted: URL) -> str:
    """Return the message that ``env.py`` uses another database, with what was tried."""
    found = "no connection"
    if isinstance(connection, Connection):
        found = shown(connection.engine.url)
    elif isinstance(connection, Engine):
        found = "an engine, where a connection must be"
    names = ", ".join(project.variables)
    return (
        f"{project.env_path} does not use the database that it is told to.\n"
        f"  found   {found}\n"
        f"  wanted  {shown(wanted)}\n"
        'Tried: config.attributes["connection"], sqlalchemy.url of the ini file, '
        f"-x {'=, -x '.join(_ARGUMENTS[:3])}=, and in the environment {names}.\n"
        "What to do next, in env.py:\n"
        '    connection = context.config.attributes.get("connection")'
        "  # and the usual engine when it is None"
    )
