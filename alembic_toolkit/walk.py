"""Walk a database through a history, step by step, in one run of the project's own ``env.py``.

Alembic asks a function which steps to run. Here that function is a generator: whatever it does
between two steps, it does where the one is committed and the other has not begun. So ``env.py``
runs once, the revisions are loaded once, and nothing is planned twice.
"""

from __future__ import annotations

import argparse
import os
import re
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.ddl.base import AddColumn, ColumnName, RenameTable
from alembic.ddl.mysql import MySQLChangeColumn
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from alembic.util.pyfiles import load_python_file
from sqlalchemy import URL, Connection, Engine, Enum, event
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.types import TypeEngine

from alembic_toolkit import history
from alembic_toolkit.database.address import same, shown
from alembic_toolkit.forms import form_of
from alembic_toolkit.scratch import Scratch, session_of

Step = RevisionStep | StampStep
Walk = Callable[[MigrationContext], Iterator[Step]]

# What env.py may take its database from, beside config.attributes["connection"] and the ini file.
_ARGUMENTS = ("url", "uri", "db_url", "dburl", "database_url", "sqlalchemy.url", "db", "database")
_VARIABLES = (
    "DATABASE_URL",
    "DATABASE_URI",
    "DB_URL",
    "SQLALCHEMY_DATABASE_URI",
    "SQLALCHEMY_URL",
    "SQLALCHEMY_DATABASE_URL",
)
_READS = re.compile(r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\()\s*["'](\w+)["']""")


@dataclass
class Project:
    """A history, and how its ``env.py`` is told which database to use."""

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
        with told(project, url), suppress(Exception):  # load_in_env says what it is
            project.load_revisions()
        return project

    def load_revisions(self) -> None:
        """Load every revision, from the first to the last."""
        self.order = [*self.directory.walk_revisions()][::-1]

    def place(self, error: BaseException) -> str:
        """Return the last line of the project's own files that an error came through."""
        roots = [Path(self.directory.dir), *history.locations(self.directory)]
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = Path(frame.filename).resolve()
            if any(path.is_relative_to(root.resolve()) for root in roots):
                return f"\n  {path}, line {frame.lineno}: {frame.line}"
        return ""

    @cached_property
    def enforces(self) -> bool:
        """Say whether anything of the project has SQLite enforce foreign keys.

        By itself SQLite does not, and then what they forbid or cascade does not happen either.
        https://sqlite.org/foreignkeys.html#fk_enable
        """
        return any(_ENFORCES.search(_text(path)) for path in self.sources)

    @cached_property
    def variables(self) -> list[str]:
        """Return what settings elsewhere in the project may take a database's URL from."""
        named = [name for path in self.sources for name in _READS.findall(_text(path))]
        return [name for name in named if _NAMES_DATABASE.search(name)]

    @cached_property
    def sources(self) -> list[Path]:
        """Return the Python files of the project, but its revisions."""
        roots = [Path(self.directory.dir), *history.import_roots(self.config)]
        own = {place.resolve() for place in history.locations(self.directory)}
        return [*_sources(roots, own)]

    def parents(self, revision: Script) -> tuple[str, ...]:
        """Return what a revision comes after, and depends on."""
        step = RevisionStep(self.directory.revision_map, revision, True)
        return tuple(step.from_revisions)

    def step(self, revision: Script, up: bool, fresh: bool = False) -> RevisionStep:
        """Return the step that runs a revision.

        :param fresh: load its file anew, as another process would: what it made up when it was
         imported (a random name, today's date) is made up again.
        """
        step = _Step(self.directory.revision_map, revision, up)
        if fresh:
            module = _load(Path(revision.path))
            step.migration_fn = module.upgrade if up else module.downgrade
        return step

    def stamp(self, revision: Script, up: bool) -> StampStep:
        """Return the step that marks a revision as run, or as not run, and runs nothing."""
        parents = self.parents(revision)
        ends = (parents, (revision.revision,)) if up else ((revision.revision,), parents)
        branch = len(parents) != 1
        map_ = self.directory.revision_map
        from_, to_ = (ends[0], ends[1]) if branch else (ends[0][0], ends[1][0])
        return StampStep(from_ or None, to_ or None, up, branch, map_)


def _load(path: Path) -> ModuleType:
    """Load a revision's file as Alembic does, but compile it only once."""
    if path.suffix != ".py":
        return load_python_file(str(path.parent), path.name)
    spec = spec_from_file_location(re.sub(r"\W", "_", path.name), path)
    assert spec is not None
    module = module_from_spec(spec)
    exec(_compiled(path, path.read_bytes()), module.__dict__)
    return module


@lru_cache(maxsize=8)  # it is loaded twice within a few steps
def _compiled(path: Path, text: bytes) -> CodeType:
    return compile(text, path, "exec", dont_inherit=True)


class _Step(RevisionStep):
    """A step of Alembic's, that does not go through all revisions below where it need not."""

    def should_delete_branch(self, heads: set[str]) -> bool:
        """Say no where nothing but this revision is there, and it comes after one other."""
        if heads == {self.revision.revision} and len(self.to_revisions) == 1:
            return False
        return super().should_delete_branch(heads)


_ENFORCES = re.compile(r"foreign_keys\W{1,6}(on|1|true|yes)\b", re.I)
_NAMES_DATABASE = re.compile(r"(DATABASE|DB|SQL|POSTGRES|PG|MARIA).*(UR[LI]|DSN)", re.I)
_MOST_FILES = 3000
_NOT_OURS = ("site-packages", "node_modules", "__pycache__")


def _sources(roots: Iterable[Path], without: Collection[Path]) -> Iterator[Path]:
    """Yield the Python files of a project, its revisions left out; not more than enough."""
    found: dict[Path, None] = {}
    for root in roots:
        for directory, below, names in os.walk(root):
            here = Path(directory).resolve()
            if here in without or "pyvenv.cfg" in names:
                below.clear()
                continue
            below[:] = [n for n in below if n not in _NOT_OURS and not n.startswith(".")]
            found.update(dict.fromkeys(here / name for name in names if name.endswith(".py")))
            if len(found) > _MOST_FILES:
                break
    yield from [*found][:_MOST_FILES]


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


def load_in_env(project: Project, scratch: Scratch) -> None:
    """Load every revision where Alembic does: after what ``env.py`` did to ``sys.path``.

    :raises CommandError: ``env.py`` uses another database, whatever it is told.
    """

    def steps(_: MigrationContext) -> Iterator[Step]:
        project.load_revisions()
        return iter(())

    walk(project, scratch, steps)


def walk(project: Project, scratch: Scratch, steps: Walk) -> None:
    """Run ``env.py`` on the scratch database, and the steps in it.

    :raises CommandError: ``env.py`` uses another database, whatever it is told.
    """

    def upgrade(_: Any, context: MigrationContext) -> Iterator[Step]:
        return steps(context)

    upgrade.is_walk = True  # type: ignore[attr-defined]  # run() must not ask for all steps at once
    url = scratch.url.render_as_string(hide_password=False)
    config = read_config(project.path, arguments(project, url))
    with scratch.engine.connect() as connection, told(project, url):
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        config.attributes["connection"] = connection
        environment = EnvironmentContext(
            config, project.directory, fn=upgrade, as_sql=False, destination_rev="heads"
        )
        with environment, _watched(environment, project, scratch):
            project.directory.run_env()


def arguments(project: Project, url: str) -> argparse.Namespace:
    """Return what the command line would have told ``env.py``."""
    given = {argument.partition("=")[0] for argument in project.x}
    told = [f"{name}={url}" for name in _ARGUMENTS if url and name not in given]
    options = {"revision": "heads", "sql": False, "tag": None}
    cmd = (command.upgrade, ["revision"], ["sql", "tag"])  # as CommandLine has it
    return argparse.Namespace(
        x=[*project.x, *told], config=[str(project.path)], cmd=cmd, raiseerr=True, **options
    )


def variables(project: Project) -> tuple[str, ...]:
    """Return the environment variables that ``env.py`` may take the URL from."""
    named = _READS.findall(_text(Path(project.directory.dir, "env.py")))
    likely = [name for name in named if re.search("UR[LI]|DSN|DATABASE|DB", name, re.I)]
    return tuple(dict.fromkeys([*_VARIABLES, *likely, *project.variables]))


@contextmanager
def told(project: Project, url: str) -> Iterator[None]:
    """Name the scratch database in the environment."""
    names = variables(project) if url else ()
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
def _watched(environment: EnvironmentContext, project: Project, scratch: Scratch) -> Iterator[None]:
    """See to it that ``env.py`` uses the scratch database, one transaction for each revision."""
    configure, calls = environment.configure, list[bool]()

    def configured(connection: Any = None, *arguments: Any, **options: Any) -> None:
        if not isinstance(connection, Connection) or not same(connection, scratch.url):
            raise CommandError(elsewhere(connection, project, scratch.url))
        _refuse_elsewhere(options.get("version_table_schema"), scratch.url)
        calls.append(True)
        configure(connection, *arguments, **options | {"transaction_per_migration": True})

    # On the instance: the functions of alembic.context call this object, whatever its class.
    environment.configure = configured  # type: ignore[method-assign]
    try:
        yield
    finally:
        del environment.configure
    if not calls:
        raise CommandError("env.py ran, and never called context.configure(connection=...)")


def _refuse_elsewhere(schema: str | None, ours: URL) -> None:
    """Refuse a version table that is not in the scratch database, and stays when that is emptied.

    To MariaDB a schema is a database: https://mariadb.com/kb/en/create-database/
    """
    if schema and ours.get_backend_name() in ("mysql", "mariadb") and schema != ours.database:
        raise CommandError(
            "env.py has its version table in another database than the scratch one.\n"
            f"  found   {schema}\n"
            f"  wanted  {ours.database}\n"
            "Stopped, because it would be left behind, and what it says be believed next time.\n"
            "The way on, in env.py:\n"
            "    version_table_schema=None  # on MariaDB, where a schema is a database"
        )


def hint(error: BaseException) -> str:
    """Return what to do about an error that many an ``env.py`` ends with, or nothing."""
    said = str(error)
    if "outside of application context" in said:
        return (
            "\nThe way on, in env.py, where current_app is first used:\n"
            "    from myapp import create_app  # your own\n"
            "    create_app().app_context().push()"
        )
    if "asyncio extension requires an async driver" in said:
        return (
            "\nThe way on: name the driver that env.py needs, such as "
            "--url sqlite+aiosqlite:///... or postgresql+asyncpg://..."
        )
    return ""


def elsewhere(connection: Any, project: Project, wanted: URL) -> str:
    """Say that ``env.py`` uses another database, and what it was told."""
    found = "no connection"
    if isinstance(connection, Connection):
        found = shown(connection.engine.url)
    elif isinstance(connection, Engine):
        found = "an engine, where a connection must be"
    names = ", ".join(variables(project))
    return (
        f"{history_path(project)} does not use the database that it is told to.\n"
        f"  found   {found}\n"
        f"  wanted  {shown(wanted)}\n"
        'Tried: config.attributes["connection"], sqlalchemy.url of the ini file, '
        f"-x {'=, -x '.join(_ARGUMENTS[:3])}=, and in the environment {names}.\n"
        "The way on, in env.py:\n"
        '    connection = context.config.attributes.get("connection")'
        "  # and the usual engine when it is None"
    )


def history_path(project: Project) -> str:
    """Return the path of the project's ``env.py``."""
    return str(Path(project.directory.dir, "env.py"))


# Statements


# How alembic_helpers notes, in the commit of its rows, that a step is done.
_MARK = re.compile(r"\s*(CREATE TABLE|INSERT INTO) \S+_once\W")


_TEMPORARY = re.compile(r"\bTEMP(?:ORARY)?\s", re.I)
_TEMPORARY_TABLE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY\s+(?:TABLE|SEQUENCE)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"((?:`[^`]+`|[\w$]+)(?:\.(?:`[^`]+`|[\w$]+))?)",
    re.I,
)


def temporary(statements: Iterable[str]) -> list[str]:
    """Return the statements that may make temporary tables."""
    return [sql for sql in statements if "TEMP" in sql.upper() and _TEMPORARY.search(sql)]


def forget_temporary(connection: Connection, made: Iterable[str]) -> None:
    """Drop the temporary tables that statements made: another process would not find them."""
    run, server = connection.exec_driver_sql, connection.dialect.name
    if server == "postgresql":
        run("DISCARD TEMP")
    elif server == "sqlite":
        left = run("SELECT type, name FROM sqlite_temp_master WHERE type IN ('table', 'view')")
        for kind, name in left.all():
            quoted = name.replace('"', '""')
            run(f'DROP {kind} temp."{quoted}"')
    else:  # MariaDB lists none before 11.2
        for name in _TEMPORARY_TABLE.findall(" ".join(made)):
            run(f"DROP TEMPORARY TABLE IF EXISTS {name}".replace("%", "%%"))


@dataclass
class Recorder:
    """Every statement that this process sends to a server, while it is listening."""

    statements: list[str] | None = None
    stop_after: int | None = None  # how many statements until it stops as if it were killed
    killed: bool = False
    failed: str = ""  # what the server said when it refused something first
    labels: dict[_Key, tuple[str, ...]] = field(default_factory=dict)
    forms: dict[_Key, str] = field(default_factory=dict)
    marks: list[tuple[str, Any]] = field(default_factory=list)  # that it wrote for steps done once

    @contextmanager
    def on(self) -> Iterator[list[str]]:
        """Listen."""
        self.statements, self.failed = [], ""
        # The table may have been there before, made by a script.
        self.marks = [mark for mark in self.marks if mark[0].lstrip().startswith("CREATE")][:1]
        try:
            yield self.statements
        finally:
            self.statements = None

    def note(self, *arguments: Any) -> None:
        """Take one statement that was executed."""
        if self.statements is None:
            return
        self.statements.append(arguments[2])
        if _MARK.match(arguments[2]) and arguments[2:4] not in self.marks:
            self.marks.append(arguments[2:4])
        compiled = getattr(arguments[4], "compiled", None)
        if isinstance(compiled, DDLCompiler):
            self._note_types(compiled)
        if self.stop_after is not None and len(self.statements) >= self.stop_after:
            self.stop_after, self.killed = None, True
            raise Killed

    def note_failed(self, context: Any) -> None:
        """Take a statement that the server refused: a revision may catch it."""
        # The error itself would keep the connection, and its locks, as long as it is kept.
        self.failed = self.failed or " ".join(str(context.original_exception).split())

    def _note_types(self, compiled: DDLCompiler) -> None:
        """Take what a statement says of types that the server does not know."""
        types = _types(compiled.statement)
        self.labels |= _labels(types)
        forms = {key: form_of(type_, compiled.dialect) for key, type_ in types.items()}
        self.forms |= {key: form for key, form in forms.items() if form}
        renamed = _renamed(compiled.statement)
        if renamed is not None:
            self.labels |= {renamed(key): labels for key, labels in self.labels.items()}
            self.forms |= {renamed(key): form for key, form in self.forms.items()}


_Key = tuple[str, str]  # a table and a column


def _renamed(statement: Any) -> Callable[[_Key], _Key] | None:
    """Return what tells a column's table and name after a statement that renames."""
    if isinstance(statement, RenameTable):
        old, new = str(statement.table_name), str(statement.new_table_name)
        return lambda key: (new, key[1]) if key[0] == old else key
    if isinstance(statement, ColumnName | MySQLChangeColumn) and statement.newname:
        was = str(statement.table_name), str(statement.column_name)
        now = was[0], str(statement.newname)
        return lambda key: now if key == was else key
    return None


def _types(statement: Any) -> dict[_Key, TypeEngine[Any]]:
    """Return the types of the columns that a statement makes, by table and column."""
    columns = []
    if isinstance(statement, CreateTable):
        name = statement.element.name.removeprefix("_alembic_tmp_")
        columns = [*statement.element.columns]
    elif isinstance(statement, AddColumn):
        name, columns = str(statement.table_name), [statement.column]
    return {(name, column.name): column.type for column in columns}


def _labels(types: Mapping[_Key, TypeEngine[Any]]) -> dict[_Key, tuple[str, ...]]:
    """Return what the columns hold that are an Enum to SQLAlchemy, and a text to the server."""
    plain = {key: getattr(type_, "impl_instance", type_) for key, type_ in types.items()}
    return {key: tuple(t.enums) for key, t in plain.items() if isinstance(t, Enum) and t.enums}


class Killed(BaseException):
    """What stands for the end of the process; no ``except Exception`` may stop it."""


def is_sqlite(connection: Any) -> bool:
    """Say whether a driver's connection is one of Python's own driver of SQLite."""
    return type(connection).__module__.partition(".")[0] == "sqlite3"


def enforce(connection: Any, on: bool) -> None:
    """Have SQLite enforce foreign keys, or not."""
    if is_sqlite(connection):
        connection.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}").close()


@contextmanager
def recorder(scratch: Scratch) -> Iterator[Recorder]:
    """Give a recorder of what any engine of this process executes."""
    made = Recorder()

    def prepare(connection: Any, _: Any) -> None:
        if scratch.last not in (None, threading.get_ident()):
            raise ConnectionAbortedError("the process that watches over this one is gone")
        session = session_of(connection)
        if session is not None and session not in scratch.sessions:
            scratch.sessions.add(session)
            scratch.tell(session)
        if hasattr(connection, "prepare_threshold"):
            # psycopg would prepare statements, and with its own drop those of snapshots.
            connection.prepare_threshold = None
        enforce(connection, True)
        if is_sqlite(connection):  # a scratch database need not outlive a power cut
            connection.execute("PRAGMA synchronous = OFF").close()

    event.listen(Engine, "after_cursor_execute", made.note)
    event.listen(Engine, "handle_error", made.note_failed)
    event.listen(Engine, "connect", prepare)
    try:
        yield made
    finally:
        event.remove(Engine, "after_cursor_execute", made.note)
        event.remove(Engine, "handle_error", made.note_failed)
        event.remove(Engine, "connect", prepare)
