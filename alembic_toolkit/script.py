"""Write ``--sql`` scripts that skip what a database has, so that they can be run twice.

Alembic's own scripts fit one database: the one that stands where the script begins. Here a script
asks the version table first, and each revision of it runs only where it is still missing: one file
brings every database to the same revision, wherever it stands.

`guard` does it for whatever runs revisions offline; `write` makes the whole script of a history.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import sqlparse
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.schema import CreateTable, DDLElement

from alembic_toolkit.project.revisions import shown

# The name of a dialect, and the server whose SQL it speaks.
DIALECTS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite"}


def write(
    config: Config, dialect: str | None = None, start: str = "base", end: str = "heads"
) -> str:
    """Return the script that brings a database from anywhere between two revisions to the second.

    The project's ``env.py`` runs as for ``alembic upgrade --sql``; no database is connected to.

    :param dialect: ``postgresql``, ``mariadb``, ``mysql`` or ``sqlite``; by default that of the
     database that ``env.py`` names.
    :param start: the revision below which no database stands.
    :param end: the revision to bring it to; one below ``start`` makes a script of downgrades.
    :raises CommandError: a revision is not known or cannot be written as SQL; the dialect is one
     for which nothing is known that would skip a statement.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise CommandError(
            f"there are no scripts for {dialect!r} that skip what is done; "
            f"name one of: {', '.join(DIALECTS)}"
        )
    directory = ScriptDirectory.from_config(config)
    starts = None if start == "base" else start
    below = _is_below(directory, end, starts)
    buffer, planned = io.StringIO(), list[str]()

    def steps(heads: Any, _: MigrationContext) -> list[Any]:
        find: Any = directory._downgrade_revs if below else directory._upgrade_revs
        found = list(find(end, heads))
        planned.extend(step.revision.revision for step in found)
        return found

    environment = EnvironmentContext(
        config, directory, fn=steps, as_sql=True, starting_rev=starts, destination_rev=end
    )
    with environment, _configured(environment, dialect, buffer) as writers:
        directory.run_env()
        for writer in writers:
            writer.finish()
    if not planned:
        return f"-- Nothing to do: from {start} to {end} there is no revision.\n"
    return buffer.getvalue()


def _is_below(directory: ScriptDirectory, end: str, start: str | None) -> bool:
    """Say whether the way to a revision leads downwards."""
    if start is None:
        return False
    if end == "base":
        return True
    try:
        starts = {revision.revision for revision in directory.get_revisions(start) if revision}
        ends = {revision.revision for revision in directory.get_revisions(end) if revision}
        walked = directory.iterate_revisions(tuple(starts), "base")
        below = {revision.revision for revision in walked} - starts
    except RevisionError as error:
        raise CommandError(str(error)) from error
    return bool(ends) and ends <= below


@contextmanager
def _configured(
    environment: EnvironmentContext, dialect: str | None, buffer: io.StringIO
) -> Iterator[list[_Writer]]:
    """Have whatever ``env.py`` configures write a guarded script for this dialect."""
    configure, writers = environment.configure, list[_Writer]()

    def configured(*arguments: Any, **options: Any) -> None:
        if dialect is not None:
            names = ("connection", "url", "dialect_name", "transactional_ddl")
            options = {key: value for key, value in options.items() if key not in names}
            arguments, options["dialect_name"] = (), dialect
            options["transactional_ddl"] = True if dialect == "sqlite" else None
        options |= {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
        configure(*arguments, **options | {"output_buffer": buffer})
        context = environment.get_context()
        if context.dialect.name not in DIALECTS:
            raise CommandError(
                f"there are no scripts for {context.dialect.name} that skip what is done; "
                f"name another server: --dialect {', '.join(DIALECTS)}"
            )
        writers.append(_Writer.into(context))

    # On the instance: the functions of alembic.context call this object, whatever its class.
    environment.configure = configured  # type: ignore[method-assign]
    try:
        yield writers
    finally:
        del environment.configure


@contextmanager
def guard(context: MigrationContext) -> Iterator[None]:
    """Have the script that is written within skip each revision that a database has already.

    What is written comes out when the block ends, and nothing of it after an error. On a dialect of
    which nothing is known, and for a script that only stamps, Alembic writes it as ever.
    """
    if context.dialect.name not in DIALECTS or isinstance(context.impl.output_buffer, _Writer):
        yield
        return
    writer = _Writer.into(context)
    yield
    writer.finish()


# What Alembic writes, taken apart by revision


@dataclass
class _Part:
    """One revision of the script: its statements, in groups of one transaction or of none."""

    step: RevisionStep
    path: str
    title: str
    groups: list[tuple[bool, list[str]]] = field(default_factory=lambda: [(True, [])])

    @property
    def id(self) -> str:
        return str(self.step.revision.revision)

    @property
    def up(self) -> bool:
        return bool(self.step.is_upgrade)

    @property
    def parents(self) -> tuple[str, ...]:
        ids = self.step.from_revisions if self.up else self.step.to_revisions
        return tuple(str(id_) for id_ in ids)

    @property
    def comment(self) -> str:
        way = f"{', '.join(self.parents) or '(base)'} -> {self.id}"
        if not self.up:
            way = f"{self.id} -> {', '.join(self.parents) or '(base)'}"
        title = f": {self.title}" if self.title else ""
        return f"-- Running {'upgrade' if self.up else 'downgrade'} {way}\n-- {self.path}{title}"

    def begin(self, in_transaction: bool) -> None:
        if self.groups[-1] == (in_transaction, []):
            return
        self.groups.append((in_transaction, []))

    def add(self, statement: str) -> None:
        self.groups[-1][1].append(statement)


@dataclass
class _Writer:
    """What stands in for the script's file while Alembic writes."""

    context: MigrationContext
    out: Any
    before: list[str] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=list)
    is_stamp: bool = False
    inside: bool = False

    @classmethod
    def into(cls, context: MigrationContext) -> _Writer:
        """Put a writer in the place of the context's output."""
        impl: Any = context.impl
        if isinstance(impl.output_buffer, _Writer):
            return impl.output_buffer
        writer = cls(context, impl.output_buffer)
        function, execute = context._migrations_fn, impl._exec
        assert function is not None

        def steps(heads: Any, migration: MigrationContext) -> list[Any]:
            return writer.watch(list(function(heads, migration)))

        def as_written(construct: Any, *arguments: Any, **kw: Any) -> Any:
            # The rows of the version table are this module's business, and not for one start only.
            table = getattr(construct, "element", getattr(construct, "table", None))
            if table is context._version and not writer.is_stamp:
                return None
            if any(arguments) or any(kw.values()) or isinstance(construct, str):
                return execute(construct, *arguments, **kw)
            # Alembic would write four spaces for each tab, in values too.
            values = impl.literal_binds and not isinstance(construct, DDLElement)
            options = {"compile_kwargs": {"literal_binds": True}} if values else {}
            text = str(construct.compile(dialect=impl.dialect, **options)).strip()
            return impl.static_output(f"{text}{impl.command_terminator}")

        context._migrations_fn, impl._exec = steps, as_written
        impl.output_buffer = writer
        return writer

    def watch(self, steps: list[Any]) -> list[Any]:
        """Note when the function of each revision begins and ends."""
        self.is_stamp = not all(isinstance(step, RevisionStep) for step in steps)
        for step in steps if not self.is_stamp else ():
            step.migration_fn = self._watched(step, step.migration_fn)
        return steps

    def _watched(self, step: RevisionStep, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(**kw: Any) -> None:
            self.parts.append(_part(step))
            self.inside = True
            function(**kw)
            self.inside = False

        return run

    def write(self, text: str) -> None:
        """Take one statement, or comment, of Alembic's."""
        text = text.strip()
        if self.is_stamp:
            self.before.append(text)
        elif text in ("BEGIN;", "COMMIT;"):  # each revision has a transaction of its own anyway
            if self.inside:  # but one that leaves it, for CREATE INDEX CONCURRENTLY, must
                self.parts[-1].begin(text == "BEGIN;")
        elif not text.startswith("-- Running ") or self.inside:
            (self.parts[-1].add if self.parts else self.before.append)(text.rstrip("; \n"))

    def flush(self) -> None:
        """Do nothing: what was written is not complete yet."""

    def finish(self) -> None:
        """Write the script, now that all of it is known."""
        texts = self.before if self.is_stamp else [f"{text};" for text in self.before]
        if self.parts:
            script = _Script(self.context, self.parts, _edges(self.context))
            texts += _SERVERS[script.server](script)
        for text in texts:
            self.out.write(f"{text}\n\n")
        self.before, self.parts = [], []


def _part(step: RevisionStep) -> _Part:
    # Of the docstring one line, and nothing that could end a comment.
    title = " ".join(str(step.revision.doc or "").split("\n")[0].split())
    return _Part(step, shown(Path(step.revision.path)), title)


# What a script knows of the history


@dataclass
class _Script:
    """The parts of a script, and which revision comes after which in the whole history."""

    context: MigrationContext
    parts: list[_Part]
    edges: dict[str, tuple[str, ...]]

    @property
    def server(self) -> str:
        return DIALECTS[self.context.dialect.name]

    @property
    def dual(self) -> str:
        return " FROM DUAL" if self.server == "mysql" else ""

    @property
    def version_table(self) -> str:
        return str(self.context.dialect.identifier_preparer.format_table(self.context._version))

    @property
    def create_version_table(self) -> str:
        create = CreateTable(self.context._version, if_not_exists=True)
        text = str(create.compile(dialect=self.context.dialect)).replace("\t", "    ")
        return _readable(text)

    def children(self) -> dict[str, list[str]]:
        """Return, for each revision, those that come right after it."""
        after: dict[str, list[str]] = {id_: [] for id_ in self.edges}
        for id_, parents in self.edges.items():
            for parent in parents:
                after[parent].append(id_)
        return after

    def known(self) -> dict[str, tuple[str, ...]]:
        """Return the part of the history that a database of this script may stand in.

        That is what the script begins above, and all that comes after it: few revisions for a
        script of the last one, all of them for one from base.
        """
        begins = {parent for part in self.parts for parent in part.parents}
        begins -= {part.id for part in self.parts if part.up}
        if self.from_base:
            return self.edges
        found, todo, children = set[str](), sorted(begins), self.children()
        while todo:
            id_ = todo.pop()
            if id_ not in found:
                found.add(id_)
                todo += children[id_]
        return {
            id_: tuple(parent for parent in parents if parent in found)
            for id_, parents in self.edges.items()
            if id_ in found
        }

    @property
    def from_base(self) -> bool:
        return any(not part.parents for part in self.parts)

    def pairs(self) -> list[tuple[str, str]]:
        """Return what is known as pairs of a revision and one before it, '' before the first."""
        known = self.known().items()
        return [(id_, parent) for id_, parents in known for parent in parents or ("",)]

    def beyond(self) -> list[str]:
        """Return the revisions that come right after the last ones of an upgrade."""
        ours = {part.id for part in self.parts}
        children = self.children()
        return sorted({child for id_ in ours for child in children[id_]} - ours)


def _edges(context: MigrationContext) -> dict[str, tuple[str, ...]]:
    """Return which revisions each one comes after, those that it depends on included."""
    directory = context.script
    assert directory is not None
    revisions = [*directory.walk_revisions()][::-1]
    steps = [RevisionStep(directory.revision_map, revision, True) for revision in revisions]
    return {step.revision.revision: tuple(step.from_revisions) for step in steps}


def _listed(ids: Iterable[str]) -> str:
    return f"({', '.join(map(_literal, ids))})"


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _rows(pairs: list[tuple[str, str]]) -> str:
    """Return the VALUES of an INSERT, some to a line."""
    values = [_listed(pair) for pair in pairs]
    lines = [", ".join(values[start : start + 4]) for start in range(0, len(values), 4)]
    return ",\n  ".join(lines)


def _reason(part: _Part) -> str:
    """Say why a revision cannot be run on a database that lacks what is before it."""
    if part.up:
        return f"revision {part.id} comes after {', '.join(part.parents)}, which is not there"
    return f"revision {part.id} cannot be taken back: one that comes after it is there"


_STRAY = "this database is at a revision that this history does not have"


def _stray(script: _Script, known: str) -> str:
    """Return a condition: the version table names a revision that is not known."""
    unknown = f"version_num NOT IN (SELECT revision FROM {known})"
    return f"EXISTS (SELECT 1 FROM {script.version_table} WHERE {unknown})"


# How each server finds out what it has: all that comes before what its version table says.
_APPLIED = """\
WITH RECURSIVE applied (revision) AS (
  SELECT {first} FROM {versions}
  UNION
  SELECT known.parent FROM alembic_known AS known
  JOIN applied ON applied.revision = known.revision
)
SELECT revision FROM applied WHERE revision <> ''"""


def _blocked(script: _Script, part: _Part, applied: str) -> str | None:
    """Return a condition: this revision must not run here yet; None when there is none."""
    if part.up:
        if not part.parents:
            return None
        there = f"SELECT COUNT(*) FROM {applied} WHERE revision IN {_listed(part.parents)}"
        return f"({there}) < {len(set(part.parents))}"
    children = script.children()[part.id]
    if not children:
        return None
    return f"EXISTS (SELECT 1 FROM {applied} WHERE revision IN {_listed(sorted(children))})"


def _marks(script: _Script, part: _Part, applied: str, todo: str) -> list[str]:
    """Return the statements that note that a revision was run, each with its condition.

    :param todo: a condition, or an empty text where it is known to hold.
    """
    versions, also = script.version_table, f" AND {todo}" if todo else ""
    ours = _literal(part.id)
    one = f"SELECT {ours}{script.dual} WHERE {todo}" if todo else f"VALUES ({ours})"
    if part.up:
        gone = f"DELETE FROM {versions} WHERE version_num IN {_listed(part.parents)}{also}"
        return [
            *([gone] if part.parents else []),
            f"INSERT INTO {versions} (version_num) {one}",
            f"INSERT INTO {applied} (revision) {one}",
        ]
    marks = [f"DELETE FROM {versions} WHERE version_num = {ours}{also}"]
    for parent in part.parents:
        others = sorted(set(script.children()[parent]) - {part.id})
        heads = [todo] if todo else []
        if others:
            there = f"SELECT 1 FROM {applied} WHERE revision IN {_listed(others)}"
            heads.append(f"NOT EXISTS ({there})")
        where = f" WHERE {' AND '.join(heads)}" if heads else ""
        select = f"SELECT {_literal(parent)}{script.dual}{where}"
        marks.append(f"INSERT INTO {versions} (version_num) {select}")
    return [*marks, f"DELETE FROM {applied} WHERE revision = {ours}{also}"]


# Readable statements

_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`)""")
_QUERIES = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def _readable(sql: str) -> str:
    """Break a long statement into lines, where it is certain that nothing but that changes."""
    # A backslash, a # and a dollar quote mean one thing here and another there.
    if re.search(r"[\\#$]|--", sql):
        return sql
    pieces = _QUOTED.split(sql)
    pieces[::2] = [re.sub(r" +(?=\n)", "", p.replace("\t", "    ")) for p in pieces[::2]]
    plain = "".join(pieces).strip()
    if len(plain) < 80 or not plain.upper().startswith(_QUERIES):
        return plain
    try:
        broken = sqlparse.format(plain, reindent=True)
    except sqlparse.exceptions.SQLParseError:  # more than 10,000 words
        return plain
    return broken if _essence(broken) == _essence(plain) else plain


def _essence(sql: str) -> list[str]:
    pieces = _QUOTED.split(sql)
    pieces[::2] = ["".join(piece.split()) for piece in pieces[::2]]
    return pieces


def _dollar_quoted(text: str, tag: str) -> str:
    while f"${tag}" in text:
        tag += "_"
    return f"${tag}${text}${tag}$"


# PostgreSQL: a DO block for each transaction, and psql's \gexec where there must be none


def _postgresql(script: _Script) -> list[str]:
    known, applied = "pg_temp.alembic_known", "pg_temp.alembic_applied"
    closure = _APPLIED.format(first="version_num::text", versions=script.version_table)
    texts = [
        _heading(script, "psql -X -v ON_ERROR_STOP=1 -f FILE"),
        "SET client_encoding = 'UTF8';",
        f"{script.create_version_table};",
        f"DROP TABLE IF EXISTS {known}, {applied};",
        "CREATE TEMPORARY TABLE alembic_known (revision TEXT, parent TEXT);",
        f"INSERT INTO {known} (revision, parent) VALUES\n  {_rows(script.pairs())};",
        f"CREATE TEMPORARY TABLE alembic_applied AS\n{closure};",
    ]
    if script.from_base:
        stray = _stray(script, known)
        texts.append(_postgresql_do([_postgresql_stop(stray, _STRAY)]))
    for part in script.parts:
        texts += _postgresql_part(script, part, applied)
    return texts


def _postgresql_part(script: _Script, part: _Part, applied: str) -> list[str]:
    there = f"EXISTS (SELECT FROM {applied} WHERE revision = {_literal(part.id)})"
    todo, done = (f"NOT {there}", there) if part.up else (there, f"NOT {there}")
    blocked = _blocked(script, part, applied)
    stop = [_postgresql_stop(blocked, _reason(part))] if blocked else []
    skip = f"  IF {done} THEN\n    RETURN;\n  END IF;"
    transactional = script.context.impl.transactional_ddl
    texts = [part.comment]
    for position, (in_transaction, statements) in enumerate(part.groups):
        is_last = position == len(part.groups) - 1
        if in_transaction and transactional:
            body = [skip, *(stop if position == 0 else []), *map(_postgresql_execute, statements)]
            if is_last:
                body += [f"  {mark};" for mark in _marks(script, part, applied, "")]
            texts += ["BEGIN;", _postgresql_do(body), "COMMIT;"]
        else:
            texts += [_postgresql_alone(statement, todo) for statement in statements]
    if not (part.groups[-1][0] and transactional):
        texts.append(
            _postgresql_do([skip, *(f"  {m};" for m in _marks(script, part, applied, ""))])
        )
    return texts


def _postgresql_do(body: list[str]) -> str:
    text = "\n".join(["", "BEGIN", *body, "END", ""])
    return f"DO {_dollar_quoted(text, 'alembic')};"


def _postgresql_execute(statement: str) -> str:
    if statement.startswith("--"):
        return f"  {statement}"
    block = _POSTGRESQL_BLOCK.fullmatch(statement)
    if block:  # guarded already: a block within ours
        return f"{block[2]};"
    return f"  EXECUTE {_dollar_quoted(_readable(statement), 'sql')};"


_POSTGRESQL_BLOCK = re.compile(r"(?s)DO (\$alembic_*\$)\n(BEGIN\n.*\nEND)\n\1")


def _postgresql_stop(condition: str, message: str) -> str:
    escaped = _literal(message.replace("%", "%%"))
    return f"  IF {condition} THEN\n    RAISE EXCEPTION {escaped};\n  END IF;"


def _postgresql_alone(statement: str, todo: str) -> str:
    if statement.startswith("--"):
        return statement
    return f"SELECT {_dollar_quoted(_readable(statement), 'sql')}\nWHERE {todo} \\gexec"


def _heading(script: _Script, command: str) -> str:
    first, last = script.parts[0], script.parts[-1]
    way = "upgrade" if first.up else "downgrade"
    begin = ", ".join(first.parents) or "base" if first.up else first.id
    end = last.id if last.up else ", ".join(last.parents) or "base"
    return (
        f"-- The {way} from {begin} to {end}, for a database that stands anywhere between them.\n"
        "-- What a database has already is skipped, so the script can be run twice.\n"
        f"-- To run it: {command}"
    )


# MariaDB and MySQL: prepared statements, as neither has IF outside of a procedure

_PREPARED = (
    "PREPARE alembic_statement FROM @alembic_sql;\n"
    "EXECUTE alembic_statement;\n"
    "DEALLOCATE PREPARE alembic_statement;"
)
# How alembic_helpers writes a guarded statement; it looks at the catalog only.  What begins a
# transaction is no harm, and MySQL could not prepare it.
_HALF_DONE = (
    "SET @alembic_",
    "EXECUTE alembic_statement",
    "DEALLOCATE PREPARE alembic_statement",
    "START TRANSACTION",
)


def _mysql(script: _Script) -> list[str]:
    known, applied = "alembic_known", "alembic_applied"
    first = "CAST(version_num AS CHAR(255))"
    closure = _APPLIED.format(first=first, versions=script.version_table)
    texts = [
        _heading(script, "mariadb DATABASE < FILE"),
        "SET NAMES utf8mb4;",
        f"{script.create_version_table};",
        f"DROP TEMPORARY TABLE IF EXISTS {known}, {applied};",
        f"CREATE TEMPORARY TABLE {known} (revision VARCHAR(255), parent VARCHAR(255));",
        f"INSERT INTO {known} (revision, parent) VALUES\n  {_rows(script.pairs())};",
        f"CREATE TEMPORARY TABLE {applied} AS\n{closure};",
    ]
    if script.from_base:
        stray = _stray(script, known)
        texts.append(_mysql_stop(stray, _STRAY))
    for part in script.parts:
        texts += _mysql_part(script, part, applied)
    return texts


def _mysql_part(script: _Script, part: _Part, applied: str) -> list[str]:
    there = f"EXISTS (SELECT 1 FROM {applied} WHERE revision = {_literal(part.id)})"
    texts = [part.comment, f"SET @alembic_todo = {'NOT ' if part.up else ''}{there};"]
    blocked = _blocked(script, part, applied)
    if blocked:
        texts.append(_mysql_stop(f"@alembic_todo AND {blocked}", _reason(part)))
    texts.append("START TRANSACTION;")  # for rows; what creates or alters commits
    for _, statements in part.groups:
        for statement in statements:
            texts += _mysql_guarded(statement)
    marks = _marks(script, part, applied, "@alembic_todo")
    return [*texts, *(f"{mark};" for mark in marks), "COMMIT;"]


_MYSQL_BODY = re.compile(
    r"\s*(BEGIN\b|CREATE\s+(OR\s+REPLACE\s+)?(DEFINER\s*=\s*\S+\s+)?(AGGREGATE\s+)?"
    r"(TRIGGER|PROCEDURE|FUNCTION|EVENT|PACKAGE)\b)",
    re.I,
)


_DELIMITED = re.compile(r"(?s)DELIMITER (\S+)\n(.*)\n\1\nDELIMITER\W*")


def undelimited(statement: str) -> str:
    """Return the statement that stands between two DELIMITERs, which only a client knows."""
    body = _DELIMITED.fullmatch(statement)
    return body[2] if body else statement


def _mysql_guarded(statement: str) -> list[str]:
    statement = undelimited(statement)
    if statement.startswith(("--", *_HALF_DONE)):
        return [statement if statement.startswith("--") else f"{statement};"]
    if statement.startswith("PREPARE alembic_statement"):
        return ["SET @alembic_sql = IF(@alembic_todo, @alembic_sql, 'DO 0');", f"{statement};"]
    statements = [statement]
    if ";" in statement and not _MYSQL_BODY.match(statement):
        statements = [part.rstrip(";") for part in sqlparse.split(statement)]
    return [_mysql_if("@alembic_todo", _readable(part)) for part in statements]


def _mysql_if(condition: str, sql: str) -> str:
    return f"SET @alembic_sql = IF({condition}, {_mysql_literal(sql)}, 'DO 0');\n{_PREPARED}"


def _mysql_stop(condition: str, message: str) -> str:
    return _mysql_if(condition, f"alembic: {message}")  # a syntax error, which ends the client


def _mysql_literal(text: str) -> str:
    return _literal(text.replace("\\", "\\\\"))


# SQLite: no IF at all, but a trigger can be made to run what changes rows

_SQLITE_NATIVE = re.compile(
    r"\s*(?:CREATE\s+(?:UNIQUE\s+)?(TABLE|INDEX|VIEW|TRIGGER)\s+IF\s+NOT\s+EXISTS"
    r"|DROP\s+(TABLE|INDEX|VIEW|TRIGGER)\s+IF\s+EXISTS)\s+(.+?)(?=\s*\(|\s+(?:AS|ON|BEFORE|AFTER"
    r"|INSTEAD)\b|$)",
    re.I | re.S,
)
# What plain `op` writes, and SQLite can guard.
_SQLITE_PLAIN = re.compile(
    r"\A\s*(CREATE(?:\s+UNIQUE)?|DROP)\s+(TABLE|INDEX|VIEW|TRIGGER)\s+(?!IF\b)", re.I
)
# How alembic_helpers makes rows depend on a query: nothing of it lasts.
_SQLITE_OWN = re.compile(r"CREATE TEMP (TABLE|TRIGGER) alembic_|DROP TABLE alembic_unless")
_SQLITE_ROWS = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.I)


def _sqlite(script: _Script) -> list[str]:
    known, applied = "temp.alembic_known", "temp.alembic_applied"
    closure = _APPLIED.format(first="version_num", versions=script.version_table)
    texts = [
        _heading(script, "sqlite3 DATABASE < FILE"),
        ".bail on",
        f"{script.create_version_table};",
        f"DROP TABLE IF EXISTS {known};\nDROP TABLE IF EXISTS {applied};",
        "DROP TABLE IF EXISTS temp.alembic_do;\nDROP TABLE IF EXISTS temp.alembic_stop;",
        f"CREATE TABLE {known} (revision, parent);",
        f"INSERT INTO {known} (revision, parent) VALUES\n  {_rows(script.pairs())};",
        f"CREATE TABLE {applied} AS\n{closure};",
        "CREATE TABLE temp.alembic_do (it);\nCREATE TABLE temp.alembic_stop (it);",
    ]
    if script.from_base:
        stray = _stray(script, known)
        texts.append(_sqlite_stop(stray, _STRAY))
    beyond = script.beyond()
    if beyond:  # there is no IF: what it has already would be dropped and made again
        ahead = f"EXISTS (SELECT 1 FROM {applied} WHERE revision IN {_listed(beyond)})"
        texts.append(_sqlite_stop(ahead, "this database is beyond the end of this script"))
    gone = set[str]()
    for part in script.parts:
        texts += _sqlite_part(script, part, applied, gone)
    return texts


def _sqlite_part(script: _Script, part: _Part, applied: str, gone: set[str]) -> list[str]:
    there = f"EXISTS (SELECT 1 FROM {applied} WHERE revision = {_literal(part.id)})"
    todo = f"NOT {there}" if part.up else there
    texts = [part.comment, "BEGIN IMMEDIATE;"]
    blocked = _blocked(script, part, applied)
    if blocked:
        texts.append(_sqlite_stop(f"{todo} AND {blocked}", _reason(part)))
    for _, statements in part.groups:
        texts += [_sqlite_guarded(part, statement, todo, gone) for statement in statements]
    marks = _marks(script, part, applied, todo)
    return [*texts, *(f"{mark};" for mark in marks), "COMMIT;"]


def _sqlite_guarded(part: _Part, statement: str, todo: str, gone: set[str]) -> str:
    if statement.startswith("--") or _SQLITE_OWN.match(statement):
        return statement if statement.startswith("--") else f"{statement};"
    statement = _SQLITE_PLAIN.sub(_sqlite_guard, statement)
    native = _SQLITE_NATIVE.match(statement)
    if native:
        name = native[3].strip("\"'`[]").lower()
        if native[2] and native[2].upper() == "TABLE":
            gone.add(name)
        elif native[1] and native[1].upper() == "TABLE" and name in gone:
            why = "it makes a table anew that the script drops, and a later run would drop its rows"
            _sqlite_refuse(part, statement, why)
        return f"{_readable(statement)};"
    if _SQLITE_ROWS.match(statement):
        return _sqlite_if(todo, "alembic_do", f"  {_readable(statement)};")
    _sqlite_refuse(part, statement, "SQLite has no IF that could skip it in a database that has it")


def _sqlite_guard(match: re.Match[str]) -> str:
    exists = "IF EXISTS" if match[1].upper() == "DROP" else "IF NOT EXISTS"
    return f"{match[1]} {match[2]} {exists} "


def _sqlite_refuse(part: _Part, statement: str, why: str) -> NoReturn:
    first = " ".join(statement.split())[:80]
    raise CommandError(
        f"revision {part.id} cannot be part of a script for SQLite: {part.path}\n"
        f"  found   {first}\n"
        "  wanted  what SQLite can skip: CREATE … IF NOT EXISTS, DROP … IF EXISTS, or rows\n"
        f"Stopped, because {why}.\n"
        "The way on:\n    alembic upgrade head  # without --sql, on the database itself"
    )


def _sqlite_if(condition: str, table: str, body: str) -> str:
    """Return what runs the body of a trigger where the condition holds."""
    return (
        f"CREATE TEMPORARY TRIGGER alembic_step AFTER INSERT ON {table} BEGIN\n{body}\nEND;\n"
        f"INSERT INTO {table} SELECT 1 WHERE {condition};\n"
        "DROP TRIGGER temp.alembic_step;"
    )


def _sqlite_stop(condition: str, message: str) -> str:
    return _sqlite_if(condition, "alembic_stop", f"  SELECT RAISE(ABORT, {_literal(message)});")


_SERVERS: dict[str, Callable[[_Script], list[str]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}
