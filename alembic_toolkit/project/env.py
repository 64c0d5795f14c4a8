"""A project, and how its ``env.py`` gets the database to use."""

from __future__ import annotations

import argparse
import ast
import os
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep, StampStep
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionMap
from alembic.util import CommandError, to_tuple
from alembic.util.pyfiles import load_python_file
from sqlalchemy import URL, Connection, Engine, make_url

from alembic_toolkit.database.address import same, shown
from alembic_toolkit.database.servers import server_of
from alembic_toolkit.messages import typed
from alembic_toolkit.project import baselines, checks, engines, revisions

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
    beyond: list[Script] = field(default_factory=list)  # those after a file that is left out
    failed: dict[Path, Exception] = field(default_factory=dict)  # the files that no import survives
    unloadable: frozenset[Path] | None = None  # for Alembic; None: not known yet

    @classmethod
    def load(
        cls,
        path: Path,
        x: tuple[str, ...] = (),
        url: str = "",
        unloadable: frozenset[Path] | None = None,
    ) -> Project:
        """Load every revision, once; none if one needs the beginning of ``env.py``.

        :param url: of the scratch database, for what the revisions import of the application.
        :param unloadable: the files that Alembic cannot load, if they have been read already.
        """
        config = read_config(path)
        project = cls(path, config, ScriptDirectory.from_config(config), x, unloadable=unloadable)
        with told(project, url), suppress(Exception):  # load_in_env raises it again
            project.load_revisions()
        return project

    def load_revisions(self) -> None:
        """Load every revision, from the first to the last.

        A file that is none, and what comes after it, is left out: the others can be proven.
        """
        if broken := self._broken():
            self.directory.revision_map = RevisionMap(lambda: self._whole(broken))
        order = [*baselines.seen(self.directory).walk_revisions()][::-1]
        for one in order:
            _refuse_without_upgrade(one)
        self.order = order

    def load_what_can_be(self) -> None:
        """Load the revisions whose files can be imported, and record the others.

        :raises Exception: none can.
        """
        try:
            self.load_revisions()
        except Exception as error:
            broken = self._broken()
            self.directory.revision_map = RevisionMap(lambda: self._whole(broken, self.failed))
            self.order = [*baselines.seen(self.directory).walk_revisions()][::-1]
            if not self.order:
                raise error from None

    def _broken(self) -> frozenset[Path]:
        if self.unloadable is None:
            return frozenset(one.path for one in revisions.broken(self.directory))
        return self.unloadable

    def _whole(
        self, broken: Collection[Path], failed: dict[Path, Exception] | None = None
    ) -> list[Script]:
        """Return the revisions below those that are left out.

        :param failed: gets the errors of files; without it they are raised.
        """
        found: list[Script] = []
        for path in revisions.revision_files(self.directory):
            if path in broken:
                continue
            try:
                script = Script._from_path(self.directory, path)
                _refuse_without_upgrade(script)
            except Exception as error:
                if failed is None:
                    raise
                failed[path] = error
            else:
                found += [script] if script is not None else []
        self.beyond = []
        while after := [one for one in found if not _stands_on(one, found)]:
            self.beyond += after
            found = [one for one in found if one not in after]
        return found

    def place(self, error: BaseException) -> str:
        """Return the last line of the project's own files that an error came through."""
        roots = [Path(self.directory.dir), *revisions.locations(self.directory)]
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = Path(frame.filename).resolve()
            if any(path.is_relative_to(root.resolve()) for root in roots):
                return f"\n  {path}, line {frame.lineno}: {frame.line}"
        return ""

    @cached_property
    def enforces(self) -> str:
        """Return where the project makes SQLite enforce foreign keys; empty if nowhere.

        By itself SQLite does not, and then what they forbid or cascade does not happen either.
        https://sqlite.org/foreignkeys.html#fk_enable
        """
        for path in [*self.sources, *self._files(_SETTINGS)]:
            text = _text(path)
            match = _ENFORCES.search(text) and _ENFORCES.search(_without_words(text, path.suffix))
            if match:
                line = match.string.count("\n", 0, match.start()) + 1
                return f"{revisions.shown(path)}, line {line}"
        return ""

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
        return self._files((".py",))

    def _files(self, suffixes: tuple[str, ...]) -> list[Path]:
        own = {place.resolve() for place in revisions.locations(self.directory)}
        found: dict[Path, None] = {}
        for root in (Path(self.directory.dir), *checks.import_roots(self.config)):
            for directory, below, names in os.walk(root):
                here = Path(directory).resolve()
                if here in own or "pyvenv.cfg" in names:
                    below.clear()
                    continue
                below[:] = [n for n in below if n not in _NOT_OURS and not n.startswith(".")]
                found.update(
                    dict.fromkeys(here / name for name in names if name.endswith(suffixes))
                )
                if len(found) > _MOST_FILES:
                    break
        return [*found][:_MOST_FILES]

    def parents(self, revision: Script) -> tuple[str, ...]:
        """Return a revision's predecessors and dependencies."""
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
            module = _loaded(path)
            step.migration_fn = module.upgrade if up else module.downgrade
        return step

    def stamp(self, revision: Script, up: bool) -> StampStep:
        """Return the step that marks a revision as run or not run, without running anything."""
        parents = self.parents(revision)
        branch = len(parents) != 1
        before: Any = parents if branch else parents[0]
        after: Any = (revision.revision,) if branch else revision.revision
        from_, to_ = (before, after) if up else (after, before)
        return StampStep(from_ or None, to_ or None, up, branch, self.directory.revision_map)


def _loaded(path: Path) -> ModuleType:
    """Load a revision's file as Alembic does, but compile the same text only once."""
    if path.suffix != ".py" or not path.exists():
        return load_python_file(str(path.parent), path.name)
    name = re.sub(r"\W", "_", path.name)
    loader = _Loader(name, str(path))
    module = module_from_spec(cast("ModuleSpec", spec_from_loader(name, loader)))
    loader.exec_module(module)
    return module


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return _compiled(self.path, self.get_data(self.path))


@lru_cache(maxsize=16)
def _compiled(path: str, source: bytes) -> CodeType:
    return compile(source, path, "exec", dont_inherit=True)


def _refuse_without_upgrade(script: Script | None) -> None:
    if script is not None and not callable(getattr(script.module, "upgrade", None)):
        raise AttributeError(f"there is no upgrade() in {Path(script.path).name}")


def _stands_on(one: Script, others: list[Script]) -> bool:
    """Return whether a revision's predecessors and dependencies are all present."""
    ids = {other.revision for other in others}
    labels = {label for other in others for label in to_tuple(other.branch_labels, default=())}
    needed = to_tuple(one.dependencies, default=())
    there = (n in labels or any(id_.startswith(n) for id_ in ids) for n in needed)
    return ids >= {*to_tuple(one.down_revision, default=())} and all(there)


class _Step(RevisionStep):
    """A step of Alembic that walks through all revisions below only where it must."""

    def should_delete_branch(self, heads: set[str]) -> bool:
        """Return False for the only head when it comes after exactly one revision."""
        if heads == {self.revision.revision} and len(self.to_revisions) == 1:
            return False
        return super().should_delete_branch(heads)


_ENFORCES = re.compile(r"foreign_keys\W{1,6}(on|1|true|yes)\b", re.I)
_COMMENT = re.compile(r"^[ \t]*#.*$|(?<=\s)#\s[^\"'\n]*$", re.M)
_REMARK = re.compile(r"^[ \t]*(#|;|--|//).*$|\s(#|--|//)\s.*$", re.M)
_SETTINGS = (".toml", ".ini", ".cfg", ".conf", ".env", ".json", ".yaml", ".yml", ".sql")
_NAMES_DATABASE = re.compile(r"(DATABASE|DB|SQL|POSTGRES|PG|MARIA).*(UR[LI]|DSN)", re.I)
_MOST_FILES = 3000
_NOT_OURS = ("site-packages", "node_modules", "__pycache__")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _without_words(text: str, suffix: str) -> str:
    """Return a file without comments and docstrings, each line where it was."""
    if suffix != ".py":
        return _REMARK.sub("", text)
    lines = _COMMENT.sub("", text).split("\n")
    with suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                end = node.end_lineno or node.lineno
                lines[node.lineno - 1 : end] = [""] * (end - node.lineno + 1)
    return "\n".join(lines)


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
            f"name it: {typed('check')} -c path/to/alembic.ini"
        )
    if not config.get_alembic_option("script_location") and path.with_name("env.py").is_file():
        _as_flask_migrate(config, path)
    return config


def _as_flask_migrate(config: Config, path: Path) -> None:
    """Read an ``alembic.ini`` beside its ``env.py`` as Flask-Migrate does.

    That is the directory of the history, and imports are found from the current one.
    https://github.com/miguelgrinberg/Flask-Migrate/blob/main/src/flask_migrate/__init__.py
    """
    config.set_main_option("script_location", str(path.absolute().parent).replace("%", "%%"))
    if not config.get_alembic_option("prepend_sys_path"):
        config.set_main_option("prepend_sys_path", ".")
        config.set_main_option("path_separator", config.get_main_option("path_separator") or "os")


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
    """Provide the database in the environment."""
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
    """Run ``env.py``, providing the database in every way that it may read.

    :param url: of the database; empty: the one that ``env.py`` names.
    :param configure: called instead of ``context.configure``, as with `intercepted`.
    :param attributes: further ``config.attributes``.
    :param options: those of Alembic's ``EnvironmentContext``.
    """
    config = read_config(project.path, arguments(project, url))
    if url:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        if one := engines.chosen(config, project.x):
            config.set_section_option(one, "sqlalchemy.url", url.replace("%", "%%"))
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
    """Run ``env.py`` as `run_env` does, and refuse the use of another database.

    :param connection: for ``env.py``; without one it makes its own.
    :raises CommandError: it uses another database, or none.
    """
    if url:
        engines.refuse_several(project.config, project.directory, project.x)
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


def refuse_another_server(project: Project, given: str, command: str) -> None:
    """Refuse to prove a history on another server than its own, if none was named.

    :param given: the server that is used then.
    :param command: what to type, up to the URL.
    """
    name = own_drivername(project)
    own = server_of(name.partition("+")[0])
    if own.is_known and own.name != given:
        raise CommandError(
            f"no database is named, and the project's own is one of {own.title}.\n"
            f"  found   a temporary file of {server_of(given).title}\n"
            f"  wanted  an empty database of {own.title}, such as CREATE DATABASE scratch makes\n"
            "Stopped, because what is proven on one server need not work on another.\n"
            "What to do next:\n"
            f"    {command} {name}://user:password@host/scratch"
        )


class _Asked(BaseException):
    """Ends ``env.py`` after it has named its database."""

    def __init__(self, url: Any, dialect_name: str | None) -> None:
        super().__init__()
        self.url = make_url(url) if url else None
        self.drivername = dialect_name or (self.url.drivername if self.url else "")


def own_drivername(project: Project, **options: Any) -> str:
    """Return the dialect and driver that ``env.py`` gives for scripts, if any.

    :param options: as `own_url` takes them.
    """
    found = _asked(project, options)
    return found.drivername if found is not None else ""


def own_url(project: Project, **options: Any) -> URL | None:
    """Return the database URL that ``env.py`` gives for scripts, if any.

    It connects to nothing: https://alembic.sqlalchemy.org/en/latest/offline.html

    :param options: of a command; `run` asks for its function.
    """
    found = _asked(project, options)
    return found.url if found is not None else None


def _asked(project: Project, options: dict[str, Any]) -> _Asked | None:
    def configure(
        _: Any,
        connection: Any = None,
        url: Any = None,
        dialect_name: str | None = None,
        **__: Any,
    ) -> None:
        raise _Asked(url, dialect_name)

    if engines.has_several(project.directory):  # it may write files
        one = engines.chosen(project.config, project.x)
        section = project.config.get_section(one or "") or {}  # Flask-Migrate's has none
        url = section.get("sqlalchemy.url", "")
        return _Asked(url, None) if "://" in url else None
    try:
        run_env(project, "", configure, {}, as_sql=True, **options)
    except _Asked as asked:
        return asked
    except Exception:
        return None
    return None


def hint(error: BaseException) -> str:
    """Return advice about a common error of ``env.py``, or an empty text."""
    if "outside of application context" in str(error):
        return (
            "\nWhat to do next, in env.py, where current_app is first used:\n"
            "    import os\n"
            "    from flask import has_app_context\n"
            "    from flask.cli import ScriptInfo  # finds the application as `flask db` does\n"
            "    if not has_app_context():\n"
            "        app = ScriptInfo(os.environ.get('FLASK_APP')).load_app()\n"
            "        app.app_context().push()"
        )
    if "asyncio extension requires an async driver" in str(error):
        return (
            "\nWhat to do next: name the driver that env.py needs, such as "
            "--url sqlite+aiosqlite:///... or postgresql+asyncpg://..."
        )
    return ""


def _elsewhere(connection: Any, project: Project, wanted: URL) -> str:
    """Return the message that ``env.py`` uses another database, with the ways that were tried."""
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
