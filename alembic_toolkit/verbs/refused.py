"""Turn the server's own refusals into errors with four parts."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NoReturn

from alembic.operations import ops
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alembic_toolkit.database import driver, errors, servers
from alembic_toolkit.database.standby import standby
from alembic_toolkit.messages import calls_more, four_parts, revision_frames
from alembic_toolkit.sql.quoting import brief, in_parentheses, qualified
from alembic_toolkit.verbs.ask import describe_constraints, view_select
from alembic_toolkit.verbs.errors import DatabaseRefused, at_place, refusal
from alembic_toolkit.verbs.kinds.constraint import in_period
from alembic_toolkit.verbs.offending import Rows, offending, reads_rows
from alembic_toolkit.verbs.remedy import code_of, schema_code, wanted_foreign_key
from alembic_toolkit.verbs.scratch import SCRATCH, SCRATCH_INDEX
from alembic_toolkit.verbs.unknown import names_columns, refuse_unknown_columns
from alembic_toolkit.verbs.values import LONG_NAMES, Constraint, Database, Step
from alembic_toolkit.verbs.words import wish

LOOKS_FOR = 3000  # milliseconds, while locks may be held


class Refusing:
    """A block in which the server's refusal becomes a readable error, which `refuse` raises.

    Errors about locks, deadlocks and lost sessions are not changed: they are retried elsewhere.
    """

    def __enter__(self) -> None:
        """Begin the block: a class, because each verb has two, and a generator takes longer."""

    def __exit__(self, type_: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.end()
        elif isinstance(error, DatabaseRefused):
            return
        elif isinstance(error, DBAPIError) and errors.is_refusal(error):
            self.refuse(error)

    def end(self) -> None:
        """Finish the block when nothing was refused."""

    def refuse(self, error: DBAPIError) -> NoReturn:
        raise NotImplementedError


class refusals(Refusing):
    """Turn the server's refusal of a step into an error with four parts."""

    def __init__(self, step: Step) -> None:
        self.step, self.point = step, step.point
        if self.point is None and may_be_refused(step):
            self.point = Savepoint(step.database)
        elif self.point is not None:
            self.point.set()

    def end(self) -> None:
        if self.point is None:
            return
        if is_committed_next(self.step):
            self.point.is_set = False
        else:
            self.point.release()

    def refuse(self, error: DBAPIError) -> NoReturn:
        step = self.step
        with self.point.looking() if self.point is not None else nullcontext():
            refuse_unknown_columns(step)
            is_of_rows = reads_rows(step) and not errors.is_of_definition(error)
            rows = offending(step) if is_of_rows else None
            way = rows.way if rows else way_on(step, error)
        refuse(step, error, rows, way)


class refused_looks(Refusing):
    """Turn the server's refusal of a query, mostly about a wanted definition, into an error."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def refuse(self, error: DBAPIError) -> NoReturn:
        refuse(self.step, error, None, way_on(self.step, error))


def may_be_refused(step: Step) -> bool:
    """Tell whether queries are wanted after a refusal: about rows, or about columns."""
    return (reads_rows(step) or names_columns(step)) and not is_in_steps(step)


def is_committed_next(step: Step) -> bool:
    """Tell whether the revision has no more calls, so that a commit follows, which releases all."""
    if step.batch.later or not step.context.opts.get("transaction_per_migration"):
        return False
    if getattr(step.context, "_in_external_transaction", True):  # begun by env.py
        return False
    frames = revision_frames()
    return bool(frames) and not any(map(calls_more, frames))


@contextmanager
def savepoint_ahead(step: Step) -> Iterator[None]:
    """Set the savepoint that a step may need in the message of its first look, if that can be."""
    database = step.database
    if not driver.sends_several(database.connection):
        yield
        return
    step.point = Savepoint(database, is_ahead=True)
    try:
        yield
    finally:
        step.point.leave()
        step.point = None


def is_in_steps(step: Step) -> bool:
    """Tell whether a step is done concurrently, so that earlier changes are committed."""
    return step.concurrently or bool(
        getattr(step.operation, "kw", {}).get("postgresql_concurrently")
    )


class Savepoint:
    """A savepoint to return to, where an error would end the transaction and block all queries.

    It uses the driver directly, because it is not a statement of the revision.
    """

    def __init__(self, database: Database, is_ahead: bool = False) -> None:
        """Set the savepoint if it is useful.

        :param is_ahead: with the next look.
        """
        facts = servers.server_of(database.dialect.name)
        self.database = database
        self.is_set = (
            facts.error_ends_transaction
            and (is_ahead or database.connection.in_transaction())
            and not database.autocommits
        )
        if self.is_set and is_ahead:
            database.ahead.append(SAVEPOINT)
        else:
            self.run(SAVEPOINT)

    def run(self, sql: str) -> None:
        if self.is_set:
            driver.mark(self.database.connection, sql)

    def set(self) -> None:
        """Set the savepoint now, if no look has done so."""
        if self.database.ahead:
            self.database.ahead.clear()
            self.run(SAVEPOINT)

    def release(self) -> None:
        self.run(f"RELEASE {SAVEPOINT}")
        self.is_set = False

    def leave(self) -> None:
        """Release the savepoint of a step that did nothing."""
        if self.database.ahead:
            self.database.ahead.clear()
        elif self.is_set and driver.goes_on(self.database.connection):
            self.release()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Run queries, for a limited time; afterwards the state is as before the step."""
        self.run(f"ROLLBACK TO {SAVEPOINT}")
        self.run(f"SET LOCAL statement_timeout = {LOOKS_FOR}")
        try:
            yield
        finally:
            self.run(f"ROLLBACK TO {SAVEPOINT}")
            self.release()


SAVEPOINT = "SAVEPOINT alembic_helpers"


def refuse(step: Step, error: DBAPIError, rows: Rows | None, way: list[str]) -> NoReturn:
    said = errors.words(error).replace(SCRATCH_INDEX, str(step.name))
    said = said.replace(SCRATCH, step.table or str(step.name))
    shown = f"{rows.found} ({said})" if rows else said, rows.wanted if rows else wish(step)
    why = rows.why if rows else "Stopped, because the server does not do it."
    problem = at_place(f"{step.call}: the database refused it.")
    raise refusal(error, four_parts(problem, shown, f"{why}{kept(step)}", *way)) from error


def kept(step: Step) -> str:
    """Return what is kept, on a server that commits each statement."""
    if is_in_steps(step) and step.server.concurrently is not None:
        return "  What is committed of it is kept; run again, it goes on from there."
    if step.context.impl.transactional_ddl:
        return ""
    return "  What ran before this line is kept; a verb that runs again looks first."


class refused_sql(Refusing):
    """Turn the server's refusal of the author's own SQL into an error with four parts."""

    def __init__(self, call: str) -> None:
        self.call = call

    def refuse(self, error: DBAPIError) -> NoReturn:
        where = at_place(f"{self.call}: the database refused it.")
        shown = errors.words(error), brief(error.statement, 200)
        why = "Stopped, because the server does not run this statement."
        way = "# fix the statement, or the data that it conflicts with; then run the command again"
        raise refusal(error, four_parts(where, shown, why, way)) from error


# What to do next


def way_on(step: Step, error: DBAPIError) -> list[str]:
    """Return code to write when the server itself refuses."""
    said = errors.words(error)
    if errors.is_read_only(error) and (found := standby(step.database.connection)):
        return [found.way]
    if errors.is_operators(error):
        return ["# ask the database's operator to fix that; then run the command again"]
    if errors.is_taken(error):
        return renamed(step, said)
    if step.kind == "foreignkey" and errors.has_no_key(error):
        return [key_to_lead_to(step)]
    if lines := users_of(step, said):
        return lines
    is_new_key = step.verb == "create_foreign_key"
    if "foreign key" in said.lower() and not is_new_key and (keys := foreign_keys(step, said)):
        return keys
    return ["# change this line, or what it meets in the database; then run the command again"]


def key_to_lead_to(step: Step) -> str:
    """Return code that gives a foreign key the unique key that it must lead to."""
    key = wanted_foreign_key(step.wanted)
    table, columns = key["referred_table"], key["referred_columns"]
    name = f"uq_{table}_{'_'.join(columns)}"
    schema = schema_code(key["referred_schema"])
    call = f"helpers.create_unique_constraint({name!r}, {table!r}, {columns!r}{schema})"
    return f"{call}  # before this line, if there is none; and the types must be equal"


def renamed(step: Step, said: str) -> list[str]:
    """Return the call with another name."""
    made: Any
    if step.verb == "create_index":
        made, attribute = ops.CreateIndexOp.from_index(step.wanted), "index_name"
    elif step.kind in LONG_NAMES:
        made, attribute = ops.AddConstraintOp.from_constraint(step.wanted), "constraint_name"
    else:
        taken = re.search(r"""["'`]([^"'`]+)["'`]""", said)
        name = taken[1] if taken else str(step.name)
        return [f"# in this line, another name than {name!r}: something else has it"]
    setattr(made, attribute, f"{step.name}_{step.table}")
    return [f"{code_of(made)}  # instead of this line: another name"]


def foreign_keys(step: Step, said: str) -> list[str]:
    """Return code to drop the foreign keys in a message, else those of the step's table."""
    found: list[Constraint] = []
    others: list[tuple[str, str]] = []
    with suppress(SQLAlchemyError):  # nothing can be asked: the transaction has ended
        found, others = describe_constraints(step), step.server.referring(step)
    keys = [(name, step.table) for name, kind, _ in found if kind == "foreignkey" and name]
    named = [key for key in [*keys, *others] if f"'{key[0]}'" in said]
    # a table is refused for the keys of others: MariaDB names none
    found_keys = named or (others if step.verb == "drop_table" else keys)
    return [drop_key(name, table, step.schema) for name, table in found_keys]


def drop_key(name: str, table: str, schema: str | None, type_: str = ", type_='foreignkey'") -> str:
    call = f"helpers.drop_constraint({name!r}, {table!r}{type_}{schema_code(schema)})"
    return f"{call}  # before this line; and create it again after it"


def drop_used_view(step: Step, name: str, schema: str | None) -> str:
    where = schema_code(schema)
    select = "SELECT ..."
    with suppress(SQLAlchemyError):  # nothing can be asked: the transaction has ended
        select = " ".join((view_select(step.database, name, schema) or select).split())
    again = f"helpers.create_view({name!r}, {select!r}{where})"
    return f"helpers.drop_view({name!r}{where})  # before this line; and after it: {again}"


def drop_trigger(name: str, table: str) -> str:
    sql = f"DROP TRIGGER IF EXISTS {name} ON {table}"
    return f"helpers.execute({sql!r})  # before this line; and create it again after it"


def drop_generated(step: Step, name: str) -> str:
    call = f"helpers.drop_column({step.table!r}, {name!r}{schema_code(step.schema)})"
    return f"{call}  # before this line; and add it again after it"


def drop_default(step: Step, after: str = "set one again after it") -> str:
    names = f"{step.table!r}, {step.name!r}, server_default=None{schema_code(step.schema)}"
    return f"helpers.alter_column({names})  # before this line; and {after}"


def default_as_expression(step: Step, column: str) -> str:
    """Return a default in parentheses, as MySQL accepts it for any type.

    https://dev.mysql.com/doc/refman/8.4/en/data-type-defaults.html
    """
    made = getattr(step.wanted, "columns", {column: step.wanted})[column]
    operation: Any = step.operation
    default = operation.modify_server_default if made is None else made.server_default
    if default is False:  # it stays
        return drop_default(step, "set it again after it, as an expression in parentheses")
    text = getattr(default, "arg", default)
    text = step.database.literal(text) if isinstance(text, str) else str(text)
    return f"# of {column}, instead of this default: server_default=sa.text({f'({text})'!r})"


def default_afterwards(step: Step) -> str:
    """Return code that gives a new column a default that differs from row to row."""
    default = str(getattr(step.wanted.server_default, "arg", ""))
    names = f"{step.table!r}, {step.name!r}, server_default=sa.text({default!r})"
    call = f"helpers.alter_column({names}{schema_code(step.schema)})"
    return f"{call}  # after this line, where the column is made without it"


def count_on(step: Step) -> str:
    """Return code that lets a new identity continue after the existing rows."""
    table = qualified(step.table, step.schema)
    count = f"SELECT setval(pg_get_serial_sequence('{table}', '{step.name}'), max({step.name}))"
    return f"after it: helpers.execute({f'{count} FROM {table}'!r})"


def with_cast(step: Step, using: str) -> str:
    operation = copy.copy(step.operation)
    operation.kw = {**operation.kw, "postgresql_using": using}
    return f"{code_of(operation)}  # instead of this line"


def named(text: str) -> tuple[str, str | None]:
    """Return the name, and the schema, in a message: ``crm."All"``."""
    parts = [part.strip("\"'`") for part in re.findall(r'"[^"]+"|[^".]+', text.strip("'"))]
    return parts[-1], parts[-2] if len(parts) > 1 else None


def in_time(step: Step) -> str:
    """Return code for a foreign key to a key WITHOUT OVERLAPS, which Alembic does not support.

    https://www.postgresql.org/docs/18/sql-createtable.html#SQL-CREATETABLE-PARMS-REFERENCES
    """
    key, database = wanted_foreign_key(step.wanted), step.database
    columns, referred = (
        in_parentheses(in_period([str(database.quoted_if_needed(name)) for name in key[names]]))
        for names in ("constrained_columns", "referred_columns")
    )
    name = database.quoted(str(step.name))
    target = database.quoted(key["referred_table"], key["referred_schema"])
    table = f"ALTER TABLE {step.quoted_table} ADD CONSTRAINT {name}"
    sql = f"{table} FOREIGN KEY {columns} REFERENCES {target} {referred}"
    there = f"SELECT 1 FROM pg_constraint WHERE conname = {database.literal(str(step.name))}"
    return f"helpers.execute({sql!r}, unless={there!r})  # instead of this line"


# https://www.postgresql.org/docs/18/ddl-generated-columns.html
STORED = "# where the column is added: sa.Computed(..., persisted=True), which can have one"
NAME = r'((?:"[^"]+"|[^\s".]+)(?:\.(?:"[^"]+"|[^\s".]+))?)'
USERS: dict[str, Callable[[Step, str, str], str]] = {
    # PostgreSQL's message
    rf"(?<!materialized )\bview {NAME} depends": lambda step, name, _: drop_used_view(
        step, *named(name)
    ),
    rf"\btrigger {NAME} on table {NAME} depends": lambda _, name, table: drop_trigger(name, table),
    rf"\bconstraint {NAME} on table {NAME} depends": lambda _, name, table: drop_key(
        named(name)[0], *named(table), ""
    ),
    rf"\bby generated column {NAME}": lambda step, name, _: drop_generated(step, named(name)[0]),
    rf"\bcolumn {NAME} of table {NAME} depends": lambda step, name, _: drop_generated(
        step, named(name)[0]
    ),
    r"already has a default value": lambda step, *_: drop_default(step, count_on(step)),
    r"default for column .* cannot be cast": lambda step, *_: drop_default(step),
    r"\"USING ([^\"]+)\"": lambda step, using, _: with_cast(step, using),
    r"on virtual generated columns? ": lambda *_: STORED,
    r"foreign key must use PERIOD": lambda step, *_: in_time(step),
    # the messages of MariaDB and MySQL
    r"column '([^']+)' can't have a default value": lambda step, column, _: default_as_expression(
        step, column
    ),
    r"unsafe because it uses a system function": lambda step, *_: default_afterwards(step),
    r"foreign key constraint '([^']+)' of table '([^']+)'": lambda step, name, table: drop_key(
        name, named(table)[0], step.schema
    ),
}


def users_of(step: Step, said: str) -> list[str]:
    """Return code that removes, for a while, the objects that use the step's object."""
    lines = []
    for pattern, code in USERS.items():
        for found in re.finditer(pattern, said):
            lines.append(code(step, *(*found.groups(), "")[:2]))
    return list(dict.fromkeys(lines))
