"""Compare a database with its models: the differences, and the code to remove them.

`look` reads the database, `judge` creates the models' tables in an empty one and compares. The
database is not needed between the two, because a snapshot is compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, NullPool

from alembic_toolkit.drift.alembics import Asked, asked
from alembic_toolkit.drift.changes import Change
from alembic_toolkit.drift.compare import Comparison, by_table
from alembic_toolkit.drift.made import Spaces, made
from alembic_toolkit.drift.models import Models, of
from alembic_toolkit.drift.servers import server_of
from alembic_toolkit.drift.write import code
from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.schema.take import take

_ONLY = (
    "compared was what Alembic compares; not checks, server defaults, collations, generated"
    " columns, identities, and expressions and predicates of indexes"
)


@dataclass
class Drift:
    """The differences between a database and its models."""

    lines: list[str] = field(default_factory=list)  # one for each difference
    code: list[str] = field(default_factory=list)  # the code for a revision
    unjudged: str = ""  # what could not be compared, and why


@dataclass
class Looked:
    """The facts about a database and its models."""

    context: MigrationContext
    models: Models
    spaces: Spaces
    snapshot: Snapshot
    asked: Asked
    ignore: Collection[str]


def look(
    context: MigrationContext,
    given: Any = None,
    ignore: Collection[str] = (),
    snapshot: Snapshot | None = None,
) -> tuple[Looked | None, str]:
    """Read a database through ``env.py``'s connection; or say why its models are not compared.

    Models may be incomplete, or a module may fail to import: arbitrary code runs here.

    :param given: metadata, or ``package.module:name``, if ``env.py`` gives none.
    :param ignore: tables that do not count.
    :param snapshot: the schema of the database, if it is known.
    """
    try:
        metadata, why = of(context, given)
        if why:
            return None, why
        connection = context.connection
        assert connection is not None
        server = server_of(connection.dialect.name)
        spaces = Spaces(connection, server.schema_is_database, server.is_attached)
        models = Models(metadata, connection.dialect, server, spaces.name)
        found = asked(context, context.opts.get("target_metadata") or given_(metadata), spaces.name)
        if snapshot is None:
            snapshot = take(connection, ignore=ignore)
        return Looked(context, models, spaces, snapshot, found, ignore), ""
    except Exception as error:
        return None, f"the models cannot be compared: {_words(error)}"


def given_(metadata: tuple[sa.MetaData, ...]) -> Any:
    return metadata[0] if len(metadata) == 1 else metadata


def judge(looked: Looked, engine: Engine | None, why: str = "") -> Drift:
    """Compare a database with what its models create in an empty one.

    :param engine: for the empty database, on the same server; the created objects stay.
    :param why: why there is none; then only Alembic's comparison is used.
    """
    own, noise = list[Change](), set[Any]()
    if engine is not None:
        own_engine = sa.create_engine(engine.url, poolclass=NullPool)
        try:
            own, noise, failed = _compared(looked, own_engine)
            why = _unmade(failed, _elsewhere(looked))
        except Exception as error:
            why = f"the models' tables cannot be made: {_words(error)}"
        finally:
            own_engine.dispose()
    known = {key for change in own for key in change.keys}
    others = [
        change
        for change in looked.asked.changes
        if not change.keys & known
        and _identity(change) not in noise
        and not (own is not None and _is_of_nobody(looked, change))
    ]
    changes = [*by_table([*own, *others])]
    gone = {change.table for change in changes if change.kind == "table" and not change.fact}
    changes = [c for c in changes if c.table not in gone or (c.kind == "table" and not c.fact)]
    unjudged = f"{why}\n{_ONLY}" if why else ""
    lines = [_line(change, looked.models) for change in changes]
    return Drift(lines, _code(changes, looked), unjudged)


def _elsewhere(looked: Looked) -> list[str]:
    """Return the models' tables in other databases: in the empty one there is no place for them."""
    tables, spaces = looked.models.all_tables(), looked.spaces
    return [looked.models.named(table) for table in tables if spaces.is_elsewhere(table.schema)]


def _unmade(failed: Mapping[str, Exception], elsewhere: Collection[str]) -> str:
    """Return which tables of the models are not created, and why; empty if all are."""
    lines = [
        f"table {name} of the models cannot be made: {_words(failed[name])}" for name in failed
    ]
    lines += [
        f"table {name} of the models is in another database than this one" for name in elsewhere
    ]
    return "\n".join([*lines, "of these:"] if lines else [])


def _compared(
    looked: Looked, engine: Engine
) -> tuple[list[Change], set[Any], Mapping[str, Exception]]:
    """Return the differences of two snapshots, and Alembic's on the models' own tables.

    Alembic's reports on a database that the models created themselves are not differences. Tables
    that cannot be created come last; for them there is only Alembic's comparison.
    """
    with made(engine, looked.models, looked.snapshot, looked.spaces) as there:
        connection, fold = there.connection, looked.models.server.fold_table
        wanted = take(connection, ignore=looked.ignore)
        found = Comparison(looked.snapshot, wanted, looked.models, looked.models.server).run()
        found = [change for change in found if _counts(looked, change)]
        noise = set[Any]()
        known = {key for change in found for key in change.keys}
        if any(not change.keys & known for change in looked.asked.changes):
            context = MigrationContext.configure(connection, opts=dict(looked.context.opts))
            metadata = given_(looked.models.metadata)
            again = asked(context, metadata, looked.spaces.name)
            noise = {
                _identity(change)
                for change in again.changes
                if fold(change.table) not in there.failed
            }
    return found, noise, there.failed


def _identity(change: Change) -> tuple[Any, ...]:
    return change.sign, change.kind, change.table, change.name, change.fact, change.old, change.new


def _counts(looked: Looked, change: Change) -> bool:
    """Return whether ``env.py`` wants an object compared, and which property of it differs."""
    answers, models = looked.asked, looked.models
    table = models.table(change.table)
    if table is not None and not answers.wants(
        "table", change.table, change.table.rpartition(".")[2], table
    ):
        return False
    if change.keys & answers.alike:
        return False
    if change.fact == "type" and not looked.context.opts.get("compare_type", True):
        return False
    if change.kind == "column":
        column = models.column(change.table, change.name)
        return answers.wants("column", change.table, change.name, column)
    name = change.wanted or change.name
    return answers.wants(change.kind, change.table, name, _object(models, change, table))


def _object(models: Models, change: Change, table: sa.Table | None) -> Any:
    """Return the models' object for a key or an index, or a similar one."""
    if table is None or change.kind not in ("check", "index", "unique", "foreign key", "exclusion"):
        return None
    fold = models.server.fold
    things = [
        one for _, name, one in models.things(table) if name and fold(name) == fold(change.wanted)
    ]
    if things:
        return things[0]
    if change.sign != "-":
        return None
    copy = table.to_metadata(sa.MetaData())
    if change.kind == "check":
        found: Any = sa.CheckConstraint(sa.text(change.old), name=change.name)
        copy.append_constraint(found)
        return found
    return sa.Index(change.name, *[*copy.columns][:1])


def _is_of_nobody(looked: Looked, change: Change) -> bool:
    """Return whether Alembic misses an object that no model can define.

    That is a table which an extension owns, or a partition, which a job may add.
    """
    if change.sign != "-":
        return False
    text = looked.snapshot.get(Thing("table", "", change.table))
    if text is None and change.kind == "table":
        return not looked.spaces.is_database or "." not in change.table
    return text is not None and "PARTITION OF " in text


def _code(changes: list[Change], looked: Looked) -> list[str]:
    try:
        return code(changes, looked.models, looked.context)
    except Exception as error:  # a type that cannot be written
        return [f"# {_words(error)}"]


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]


# The words

_FACTS = {"null": "", "type": "", "default": "default ", "name": "name "}


def _line(change: Change, models: Models) -> str:
    """Return a difference on one line: from the database to the models."""
    kind, table = change.kind, change.table
    if kind == "table":
        title = f"table {table}{_in_parentheses(models.label(table))}"
        if not change.fact:
            return f"{change.sign} {title}"
        return f"~ {title}: {change.fact} {change.old or 'none'} -> {change.new or 'none'}"
    if kind == "column":
        title = f"column {table}.{change.name}{_in_parentheses(models.label(table, change.name))}"
    else:
        users = models.users_of(change.name.rpartition(".")[2]) if not table else []
        name = f" {change.name}" if change.is_named else ""
        on = f" on {table}{_in_parentheses(models.label(table))}" if table else ""
        title = f"{kind}{name}{on}{_in_parentheses(', '.join(users))}"
    old, new = _sides(change, models)
    if change.sign != "~":
        text = new or old
        return f"{change.sign} {title}" + (f": {text}" if text else "")
    fact = "" if not change.fact else f"{change.fact} "
    fact = _FACTS.get(change.fact, fact) if kind == "column" or change.fact == "name" else fact
    empty = "NULL" if change.fact == "null" else "none"
    return f"~ {title}: {fact}{old or empty} -> {new or empty}"


def _sides(change: Change, models: Models) -> tuple[str, str]:
    """Return both texts on one line, without casts of no interest to a reader."""
    old, new = (_flat(text) for text in (change.old, change.new))
    plain = models.server.same(old), models.server.same(new)
    return plain if plain[0] != plain[1] else (old, new)


def _in_parentheses(text: str) -> str:
    return f" ({text})" if text else ""


def _flat(text: str) -> str:
    return " ".join(text.split())
