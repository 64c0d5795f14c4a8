"""The types that all of the verbs share: servers, databases, steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.database import driver
from alembic_toolkit.database.schemas import translations
from alembic_toolkit.sql.bodies import SQLITE
from alembic_toolkit.sql.comments import commented
from alembic_toolkit.sql.guarded import Single, Verbatim
from alembic_toolkit.sql.offline import write_statement
from alembic_toolkit.sql.quoting import identifier, literal, qualified
from alembic_toolkit.sql.statements import Statement, Syntax

T = TypeVar("T")

Question = tuple[str, str, str, str | None]
"""What is asked of the catalog, of which table, by which name, in which schema."""
Constraint = tuple[str | None, str, str]
"""A constraint's name, its type as Alembic calls it, and its definition."""
Definition = dict[str, str]
"""What the server says of one thing: property -> text, e.g. ``{"type": "bigint", "null": ""}``."""
HERE = ""
"""In place of a schema, where a look must be: where the server would make a thing without one."""


@dataclass(frozen=True)
class ForeignKeys:
    """Which properties of a foreign key a server keeps, and how it writes them."""

    stay_in_schema: bool = False  # a key cannot refer to another database
    referents_first: bool = True  # the table that a key refers to must exist
    default_actions: frozenset[str] = frozenset({"NO ACTION"})
    are_deferrable: bool = True
    match_full: bool = False
    hidden_schema: Callable[[Database, str, str], str | None] | None = None


@dataclass(frozen=True)
class Concurrently:
    """How a server makes changes in steps that block nobody, each committed."""

    finish: Callable[[Step, Definition], Definition]  # completes what a killed run began
    drop_leftover: Callable[[Step], None]
    is_for_undivided: Callable[[Step], bool]  # impossible for a partitioned table
    require_undivided: Callable[[Step, list[str | None] | None], None]


@dataclass(frozen=True)
class Paging:
    """How a server's primary keys divide a table into pages."""

    unpaged: re.Pattern[str] = re.compile(r"(?!)")  # types whose order cannot define a page
    as_text: re.Pattern[str] = re.compile(r"(?!)")  # types that the driver cannot always read
    compares_rows: bool = True  # reads a range of the key if rows are compared as tuples
    keys_may_be_null: bool = False
    prepare: Callable[[Database], None] | None = None


@dataclass(frozen=True)
class Rebuilding:
    """The features of a batch on a server that rebuilds its tables."""

    reshape: Callable[[Step, Sequence[Sequence[str]], dict[str, Any]], None]
    drop_uncopied: Callable[[Step, sa.Table], None]
    index_keeper: Callable[[Step], Callable[[], None]]
    one_act: Callable[[Step], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Server:
    """Everything the verbs know about one server: facts, and its own implementations."""

    name: str
    # Names and texts
    mark: str = '"'  # around an identifier
    longest_name: int | None = None  # bytes; the server silently truncates a longer name
    folds_case: bool = True  # names that differ only in case are equal
    fold: Callable[[str], str] = str.lower  # makes such names equal
    primary_key_name: str | None = None  # of every primary key, if it cannot be chosen
    literal: Callable[[str, sa.Dialect], str] = lambda text, dialect: literal(text)
    bytes_literal: str = "X'{}'"
    # in a script: SQL that makes the session read our literals correctly, and SQL that undoes it
    modes: tuple[str, str] | None = None
    syntax: Callable[[sa.Dialect], Syntax] = lambda dialect: SQLITE
    kept_comment: Callable[[str], str] = lambda text: text  # as the catalog returns it
    normal_forms: bool = False  # equivalent definitions have equal descriptions
    one_spelling: Callable[[str], str] = lambda text: text  # normalizes the exceptions
    # how a plain type is compiled -> what the server calls it
    canonical_types: Mapping[str, str] = field(default_factory=dict)
    counts_up: str | None = None  # the default by which alter_column turns on auto-increment
    foreign_keys: ForeignKeys = ForeignKeys()
    # Features
    lacks: frozenset[str] = frozenset()  # kinds
    commits: re.Pattern[str] | None = None  # statements that commit earlier changes
    begin: str = "BEGIN"
    needs_cast: bool = False  # a change of type needs an explicit cast of the rows
    # Queries
    questions: Mapping[str, str] = field(default_factory=dict)
    ask: Callable[[Database, Sequence[Question]], list[Any]]
    placeholders: Callable[[Database, Question], dict[str, str]]
    columns: Callable[[Database, str, str | None], dict[str, Definition]]
    column: Callable[[Database, str, str, str | None], Definition | None] | None = None
    # as SQLAlchemy reflects them, each with its position in the primary key
    reflected: Callable[[Database, str, str | None], list[dict[str, Any]]] | None = None
    constraints: Callable[[Database, str, str | None], list[Constraint]]
    conventional: Callable[[Step], str | None] | None = None  # finds one by a naming convention
    index: Callable[[Database, str | None, str, str | None], Definition | None]
    index_defined: Callable[[Database, Definition], Definition] = lambda database, found: found
    index_text: Callable[[Step], str]
    view_select: Callable[[str], str] = lambda text: text
    # Objects that may use a dropped table, if the server allows that: the text, and a statement
    users: Callable[[Step], dict[str, tuple[str, str]]] | None = None
    is_hidden: Callable[[Step], bool] | None = None  # a temporary table hides the step's table
    # refuses false statements of an alter_column about the existing column
    require_existing: Callable[[Step, Definition], None] | None = None
    # the new type of a column, with old properties that a call does not mention
    kept_type: Callable[[Step, Definition], Any] = lambda step, found: step.operation.modify_type
    # creates the types that columns need
    bring_types: Callable[[Step, list[Any]], None] = lambda step, types: None
    adds_whole: bool = False  # adds a column with its keys, checks and indexes in one statement
    rereads_checks: bool = False  # a new type must fit the existing checks
    # Comparing
    scratch_schema: str | None = None
    # foreign keys of any table that refer to the step's: their names and tables
    referring: Callable[[Step], list[tuple[str, str]]] = lambda _: []
    requires_key: bool = False  # for every table, by a server setting
    temporary_schema: str | None = None  # in which CREATE TEMPORARY TABLE may name its table
    undoes_scratch: bool = False  # a savepoint undoes DDL
    temporary_views: bool = True
    table_defaults: Callable[[Step], dict[str, Any]] = lambda step: {}
    # Actions
    verbs: Mapping[str, Callable[[Step], Any]] = field(default_factory=dict)  # check and act
    acts: Mapping[str, Callable[[Step], Any]] = field(default_factory=dict)  # only act
    statements: Mapping[str, Callable[[Step], str]] = field(default_factory=dict)
    concurrently: Concurrently | None = None
    paging: Paging = Paging()
    batch: Rebuilding | None = None
    # Scripts
    if_exists: frozenset[str] = frozenset()  # verbs whose grammar has IF [NOT] EXISTS
    scripts: Mapping[str, Callable[[Step], Any]] = field(default_factory=dict)
    write_if: Callable[[Step, str, str], None] | None = None
    write_unless: Callable[[Step, str, str], None]
    write_both_if: Callable[[Step, str, str, str], None] | None = None
    write_rename_column: Callable[[Step, str, str], None] | None = None
    write_statement: Callable[[Step, Statement], None] = lambda step, it: step.write(
        Single(it.text)
    )


@dataclass(frozen=True)
class Database:
    """The revision's connection, and the server behind it."""

    connection: sa.Connection
    server: Server
    # The results of a verb's queries, cached for the same verb until it acts
    read: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    # Statements to send in the message of the next query: see `Savepoint`
    ahead: list[str] = field(default_factory=list, compare=False, repr=False)

    @property
    def dialect(self) -> sa.Dialect:
        return self.connection.dialect

    @cached_property
    def translations(self) -> Mapping[str | None, str | None]:
        """Return the schemas that stand in place of written ones."""
        return translations(self.connection)

    @property
    def autocommits(self) -> bool:
        return driver.commits_each(self.connection)

    @property
    def in_transaction(self) -> bool:
        """Tell whether the driver is in a transaction, whoever began it."""
        driver = self.connection.connection.driver_connection
        return bool(getattr(driver, "in_transaction", False))

    def run(self, sql: str, parameters: Any = None) -> Any:
        """Run SQL as it is: without parameters, no ``:name`` or ``%`` in it is interpreted."""
        self.read.clear()
        options = {"no_parameters": parameters is None}
        return self.connection.exec_driver_sql(sql, parameters, execution_options=options)

    def fetch(self, sql: str) -> tuple[Sequence[Any], list[str]]:
        """Return rows and the names of their columns."""
        return self.look(sql, driver.look_with_names)

    def rows(self, sql: str) -> Sequence[Any]:
        """Return rows only: some drivers take as long to read the columns' names."""
        return self.look(sql, driver.look)

    def look(self, sql: str, read: Callable[[sa.Connection, str], T]) -> T:
        """Read rows with a function of `driver`; errors are SQLAlchemy's.

        Reading them through SQLAlchemy takes longer than most queries.
        """
        if not self.connection.in_transaction():
            self.connection.begin()  # as any statement does; a later commit ends it
        error: Any = self.dialect.loaded_dbapi.Error
        if self.ahead:
            sql = "; ".join([*self.ahead, sql])
            self.ahead.clear()
        try:
            return read(self.connection, sql)
        except error as raised:
            itself: Any = self.connection.connection
            lost = self.dialect.is_disconnect(raised, itself, None)
            raise sa.exc.DBAPIError.instance(
                sql, None, raised, error, connection_invalidated=lost, dialect=self.dialect
            ) from raised

    def real_schema(self, written: str | None) -> str | None:
        """Return the schema to which a revision's schema name is translated."""
        return self.translations.get(written, written)

    def literal(self, text: str) -> str:
        return self.server.literal(text, self.dialect)

    def quoted(self, name: str, schema: str | None = None) -> str:
        """Quote a name for raw SQL; SQLAlchemy would double a ``%`` in it."""
        return identifier(self.server.mark, schema, name)

    def quoted_if_needed(self, name: str | None) -> str | None:
        """Quote a name unless it is one word."""
        return name if name is None or re.fullmatch(r"\w+", name) else self.quoted(name)

    def truncated(self, name: str) -> str:
        """Return the name as the server stores it."""
        if self.server.longest_name is None:
            return name
        return name.encode()[: self.server.longest_name].decode(errors="ignore")

    def case_folded(self, name: str | None) -> str:
        """Return the name in a form in which two names of one object are equal."""
        return self.server.fold(str(name)) if self.server.folds_case else self.truncated(str(name))

    def table_folded(self, name: str | None) -> str:
        """Return a table's name in a form in which two names of one table are equal.

        MySQL and MariaDB distinguish case if the file system does:
        https://dev.mysql.com/doc/refman/8.4/en/identifier-case-sensitivity.html
        """
        return self.case_folded(name) if getattr(self.dialect, "_casing", 1) else str(name)


@dataclass
class Batch:
    """What the verbs of a batch must know about it."""

    naming_convention: dict[str, str] | None = None
    makes_key: bool = False  # a primary key that the batch creates later
    key: tuple[str, ...] = ()  # its columns
    frees_key: bool = False  # it has dropped the existing one
    drops: frozenset[str] = frozenset()  # the columns that it drops
    is_block: bool = False  # there is one
    later: list[Any] = field(default_factory=list)  # operations still to run


class Entrance(Operations):
    """Alembic's operations on a known database; a subclass guards each operation."""

    def __init__(
        self, context: MigrationContext, database: Database, batch: Batch | None = None
    ) -> None:
        super().__init__(context)
        self.database = database
        self.batch = batch or Batch()
        self.is_acting = False  # the current operation is a part of a verb


@dataclass
class Step:
    """One verb on one object in the database."""

    operations: Entrance
    operation: Any
    verb: str
    kind: str
    name: str | None
    table: str = ""
    schema: str | None = None
    wanted: Any = None
    is_invalid: bool = False  # an index that must be dropped before it is created
    found: Definition | None = None  # the object to drop
    concurrently: bool = False  # on PostgreSQL: in steps that block nobody, each committed
    is_of_new: bool = False  # a part of a table to be created
    limits: str = ""  # limits of the comparison, for the log
    point: Any = None  # the savepoint that was set with the step's first query

    def __post_init__(self) -> None:
        self.database: Database = self.operations.database
        self.schema = self.database.real_schema(self.schema)
        self.server: Server = self.database.server
        self.context: Any = self.operations.migration_context
        self.batch: Batch = self.operations.batch

    @property
    def offline(self) -> bool:
        return bool(self.context.as_sql)

    @property
    def is_plain(self) -> bool:
        """Tell whether the script is one for review, in which nothing is checked."""
        return self.offline and getattr(self.context.impl.output_buffer, "is_plain", False)

    @property
    def call(self) -> str:
        """Return the call, abbreviated to what identifies its object; names with their schema."""
        table = qualified(self.table, self.schema)
        if not self.table or self.kind in ("table", "comment"):
            name = qualified(str(self.name), self.schema) if self.name else table
            return f"{self.verb}({name!r}{'' if self.table else ', ...'})"
        names = (table, self.name) if self.kind == "column" else (self.name, table)
        return f"{self.verb}({names[0]!r}, {names[1]!r})"

    @property
    def place(self) -> str | None:
        """Return the schema in which a query finds the statement's object."""
        is_made = self.is_of_new or self.verb in MAKING
        return HERE if self.schema is None and is_made else self.schema

    @property
    def quoted_table(self) -> str:
        return self.database.quoted(self.table, self.schema)

    def question(self, what: str, name: str | None = None) -> Question:
        """Return a question about the step's table, or about an object of this name in it."""
        return what, self.table, self.table if name is None else name, self.place

    def write(self, sql: str) -> None:
        """Write one statement into the script."""
        with self.our_mode(sql):
            write_statement(self.context.impl, sql)

    def is_written(self, sql: str) -> bool:
        """Tell whether a script for review already contains a statement."""
        written: list[str] = getattr(self.context.impl.output_buffer, "before", [])
        return any(text.rstrip("; \n") == sql for text in written)

    def comment(self, sql: str) -> None:
        """Write a statement as a comment, before the string that contains it."""
        self.context.impl.static_output(commented(sql))

    @contextmanager
    def our_mode(self, sql: str) -> Iterator[None]:
        """Make the script's session read the backslashes in our SQL as intended."""
        impl, modes = self.context.impl, self.server.modes
        knows = getattr(impl.output_buffer, "sets_modes", False)
        if modes is None or knows or "\\" not in sql or isinstance(sql, Verbatim):
            yield
            return
        write_statement(impl, modes[0])
        yield
        write_statement(impl, modes[1])

    def write_if(self, condition: str, sql: str) -> None:
        """Write one statement that the server runs only if the condition is true.

        :param condition: an SQL expression that names no table that may be missing.
        :param sql: one statement without its semicolon.
        """
        if self.is_plain:
            return self.write(sql)
        assert self.server.write_if is not None, f"{self.server.name} has no conditions"
        self.server.write_if(self, condition, sql)


CONSTRAINED = {"constraint", "unique", "check", "foreignkey", "primary", "exclude"}
TABLELESS = {"table", "view", "enum"}
MAKING = {"create_table", "create_view", "replace_view", "create_enum"}  # objects in a schema
LONG_NAMES = {
    "unique": "unique constraint",
    "check": "check constraint",
    "foreignkey": "foreign key",
    "primary": "primary key",
    "exclude": "exclusion constraint",
    "notnull": "not-null constraint",
}
COUNTING = ("start", "increment", "minvalue", "maxvalue", "cache", "cycle")  # identity options


def by_name(things: Iterable[Any]) -> list[Any]:
    return sorted(things, key=lambda thing: str(thing.name))
