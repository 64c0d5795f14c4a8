"""Scripts (``--sql``): each statement is written so that the server skips it if already done."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql import offline
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.sql.tokens import code_tokens, unquoted
from alembic_toolkit.verbs.act import ACTS, rename_column_sql, run_alembic, statement_of
from alembic_toolkit.verbs.ask import fill_placeholders, type_text
from alembic_toolkit.verbs.meant import named, other_names
from alembic_toolkit.verbs.running import refuse_script
from alembic_toolkit.verbs.scratch import verbatim
from alembic_toolkit.verbs.translate import parts_of, step_of, type_checks
from alembic_toolkit.verbs.values import CONSTRAINED, HERE, Database, Step
from alembic_toolkit.verbs.words import log_skip


def write_step(step: Step) -> Any:
    """Write the step into the script, so that the server skips it if it is already done."""
    if step.kind in step.server.lacks:
        return log_skip(step, f"this server has no {step.kind}s of this sort")
    write = step.server.scripts.get(step.verb, write_guarded)
    if step.verb == "drop_constraint":
        require_name(step)
        for name in other_names(step) if not step.is_plain else ():
            write(named(step, name))
    write(step)
    return step.wanted if step.kind == "table" else None


def require_name(step: Step) -> None:
    """Refuse to drop in a script an object that only a query of the database can find."""
    if step.name is None and getattr(step.operation, "kw", {}).get("columns"):
        refuse_script(
            step.database,
            step.call,
            "without its name only a look at the database can find it",
            "alembic upgrade head  # without --sql; or give its name",
        )


def write_guarded(step: Step) -> None:
    """Write Alembic's SQL, with IF [NOT] EXISTS or under a condition."""
    if step.verb in step.server.if_exists:
        write_native(step)
    elif step.server.write_if is None and not step.is_plain:
        refuse_script(
            step.database,
            step.call,
            "SQLite has no IF [NOT] EXISTS for it, so it could not be run twice",
            "alembic upgrade head  # without --sql, on the database itself",
        )
    else:
        there = "" if step.is_plain else exists_condition(step)
        for sql in plain_sql(step):
            step.write_if(there if step.verb.startswith("drop") else f"NOT {there}", sql)
    if step.kind in ("table", "column") and step.wanted is not None:
        for part in parts_of(step, created=False):
            write_step(part)


def write_native(step: Step) -> None:
    """Write the statements of a verb that the server can guard by itself."""
    if step.is_plain:
        return write_as_it_is(step)
    step.operation = copy.copy(step.operation)
    if step.operation is not None:
        flag = "if_exists" if step.verb.startswith("drop") else "if_not_exists"
        setattr(step.operation, flag, True)
    for sql in plain_sql(step):
        type_ = re.match(r"CREATE (?:TYPE|DOMAIN) (.+?) AS ", sql)
        if type_ is not None:  # it must precede its table
            step.write_if(f"NOT {type_condition(step, type_[1])}", sql)
        elif step.verb in ("drop_column", "drop_constraint"):
            step.write(sql.replace("ALTER TABLE ", "ALTER TABLE IF EXISTS ", 1))
        else:
            step.write(sql)


def type_condition(step: Step, name: str) -> str:
    """Return the condition that a type exists where CREATE would create it.

    :param name: the name as SQLAlchemy writes it.
    """
    parts = [unquoted(token) for token in code_tokens(name) if token != "."]
    schema = parts[0] if len(parts) > 1 else HERE
    question = ("type", parts[-1], parts[-1], schema)
    return f"EXISTS ({fill_placeholders(step.database, step.server.questions['type'], question)})"


def plain_sql(step: Step) -> list[str]:
    """Return the statements that Alembic would write, without their semicolons."""
    sql = statement_of(step)
    if sql is not None:
        return [sql]
    return captured(step, lambda: ACTS.get(step.verb, run_alembic)(step))


def captured(step: Step, act: Callable[[], Any]) -> list[str]:
    """Collect the statements that Alembic writes in the block, and keep them out of the script."""
    impl = step.context.impl
    buffer, impl.output_buffer = impl.output_buffer, Statements()
    impl.output_buffer.is_plain = getattr(buffer, "is_plain", False)
    try:
        with offline.verbatim(impl):
            act()
        written: Statements = impl.output_buffer
    finally:
        impl.output_buffer = buffer
    return [*written]


class Statements(list[str]):
    """Alembic's output, statement by statement."""

    sets_modes = True  # the writer of these does it
    is_plain = False

    def write(self, text: str) -> None:
        self.append(text.strip().removesuffix(";").strip())

    def flush(self) -> None:
        """Do nothing: a list is written at once."""


def compiled(database: Database, statement: Any, call: str) -> str:
    """Return SQL with literal values, or refuse a value that has no literal form."""
    try:
        return with_values(statement, database.dialect)
    except (sa.exc.CompileError, NotImplementedError, TypeError, ValueError) as error:
        why = str(error).split(" (Background")[0]
        way = "alembic upgrade head  # without --sql; or write the value as sa.text(...)"
        refuse_script(database, call, f"SQLAlchemy cannot write it: {why}", way)


def with_values(statement: Any, dialect: sa.Dialect) -> str:
    options: Any = {"literal_binds": True}
    sql = statement.compile(dialect=dialect, compile_kwargs=options)
    return unescaped_percent(str(sql), dialect)


def exists_condition(step: Step, name: str | None = None, what: str | None = None) -> str:
    """Return the SQL condition that the step's object exists, as an online run checks it."""
    what = what or step.kind
    name = step.name if name is None else name
    if what in CONSTRAINED:
        return constraint_condition(step, what, name)
    catalog = step.server.questions
    sql = catalog.get(what, catalog["table"])
    return condition(step, sql, step.table or str(name), str(name))


def condition(step: Step, sql: str, table: str, name: str) -> str:
    """Return a catalog question as a condition, with literal values."""
    return f"EXISTS ({filled_question(step, sql, table, name)})"


def filled_question(step: Step, sql: str, table: str, name: str) -> str:
    return fill_placeholders(step.database, sql, ("script", table, name, step.place))


def constraint_condition(step: Step, kind: str, name: str | None) -> str:
    """Return the condition for a constraint: by its name, else by its columns."""
    catalog = step.server.questions
    if kind == "primary":
        return condition(step, catalog["primary"], step.table, "")
    if name is not None:
        typed = "" if kind == "constraint" else catalog["of type"].format(TYPE_CODES[kind])
        return condition(step, catalog["constraint"] + typed, step.table, name)
    columns = [column.name for column in getattr(step.wanted, "columns", ())]
    if kind not in ("unique", "foreignkey"):
        refuse_script(
            step.database,
            step.call,
            "without a name nobody can tell whether it is there",
            f"helpers.{step.verb}('ck_{step.table}_...', ...)  # name it",
        )
    sql = catalog["unnamed"].replace("{type}", TYPE_CODES[kind].replace(" ", "_")[:1].lower())
    sql = sql.replace("{kind}", TYPE_CODES[kind])
    return condition(step, sql, step.table, ",".join(str(column) for column in columns))


TYPE_CODES = {"unique": "UNIQUE", "check": "CHECK", "foreignkey": "FOREIGN KEY"}
TYPE_CODES |= {"primary": "PRIMARY KEY", "exclude": "EXCLUDE"}


def write_rename(step: Step) -> None:
    """Write a rename that is skipped if only the new name exists.

    If both exist, or neither, the server reports its own error.
    """
    old = exists_condition(step, step.table, "renamable")
    new = exists_condition(step, str(step.name), "renamed")
    for sql in plain_sql(step):
        step.write_if(f"{old} OR NOT {new}", sql)


def write_comment(step: Step) -> None:
    """Write a comment, which can be run twice; guarded if its table may be gone."""
    for sql in plain_sql(step):
        if step.verb == "drop_table_comment":
            step.write_if(exists_condition(step, step.table, "table"), sql)
        else:
            step.write(sql)


def write_alter_column(step: Step) -> None:
    """Write an ALTER, which can be run twice, after a guarded rename."""
    operation = step.operation
    new_name = operation.modify_name
    if new_name is not None and new_name != step.name:
        old, new = exists_condition(step), exists_condition(step, new_name)
        own = None if step.is_plain else step.server.write_rename_column
        rename = own or write_rename_column
        rename(step, new_name, f"{old} OR NOT {new}")
        operation = copy.copy(operation)
        operation.column_name, operation.modify_name = new_name, None
        step = replace(step, name=new_name, operation=operation)
        if not operation.has_changes():
            return
    type_, existing = operation.modify_type, operation.existing_type
    added = type_checks(step, type_)
    gone = type_checks(step, existing if type_ is not None else None)
    for check in gone:
        if str(check.name) not in {str(new.name) for new in added}:
            write_step(step_of(step.operations, check.operation.reverse()))
    step.server.scripts.get("alter_type", write_altered)(without_type_checks(step))
    for check in added:
        write_step(check)


def without_type_checks(step: Step) -> Step:
    """Return the step with types that create no checks: the checks are separate steps."""
    operation, database = copy.copy(step.operation), step.database
    for attribute in ("modify_type", "existing_type"):
        type_ = getattr(operation, attribute)
        if type_ is not None and type_checks(step, type_):
            setattr(operation, attribute, verbatim(database, type_text(type_, database.dialect)))
    return replace(step, operation=operation)


def write_rename_column(step: Step, new_name: str, condition: str) -> None:
    step.write_if(condition, rename_column_sql(step, new_name))


def write_altered(step: Step) -> None:
    for sql in plain_sql(step):
        step.write(sql)


def skip_validation(step: Step) -> None:
    log_skip(step, "this server validates a constraint when it is made")


def write_as_it_is(step: Step) -> None:
    """Write Alembic's SQL unchanged: for a script for review, or if it can be run twice."""
    for sql in plain_sql(step):
        step.write(sql)


def write_both_if(step: Step, condition: str, sql: str, mark: str) -> None:
    # the mark is on a separate line, because the statement may end with a comment
    step.server.write_unless(step, condition, f"{sql}\n;{mark}")


COMMON_SCRIPTS: dict[str, Callable[[Step], Any]] = {
    "rename_table": write_rename,
    "alter_column": write_alter_column,
    "create_table_comment": write_comment,
    "drop_table_comment": write_comment,
}
