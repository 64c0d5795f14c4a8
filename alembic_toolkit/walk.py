"""Walk a database through a history, step by step, in one run of the project's own ``env.py``.

Alembic asks a function which steps to run. Here that function is a generator: whatever it does
between two steps, it does where the one is committed and the other has not begun. So ``env.py``
runs once, the revisions are loaded once, and nothing is planned twice.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alembic.ddl.base import AddColumn, ColumnName, RenameTable
from alembic.ddl.mysql import MySQLChangeColumn
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, Enum, event
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.types import TypeEngine

from alembic_toolkit.database.address import same
from alembic_toolkit.project.env import Project, arguments, elsewhere, read_config, told
from alembic_toolkit.rows.forms import form_of
from alembic_toolkit.scratch import Scratch, session_of

Step = RevisionStep | StampStep
Walk = Callable[[MigrationContext], Iterator[Step]]


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
