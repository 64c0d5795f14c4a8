"""The implementations specific to MariaDB and MySQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.schema import CreateColumn

from alembic_toolkit.database.servers import is_mariadb
from alembic_toolkit.sql.bodies import MYSQL
from alembic_toolkit.sql.create_table import (
    column_name,
    inside_parentheses,
    kind_of,
    split_clauses,
)
from alembic_toolkit.sql.quoting import identifier, unescaped_percent
from alembic_toolkit.sql.show_create import CLAUSES, read_column, read_part
from alembic_toolkit.sql.statements import Syntax
from alembic_toolkit.sql.tokens import tokenize, unquoted
from alembic_toolkit.verbs.act import (
    default_add_column,
    default_add_constraint,
    default_create_index,
    default_create_table,
    rename_column_sql,
)
from alembic_toolkit.verbs.ask import describe_constraints, type_text
from alembic_toolkit.verbs.ensure import drop
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.column import counts_up
from alembic_toolkit.verbs.kinds.constraint import compiled_definition
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.servers.mysql.catalog import has_escapes, items_to_write, table_items
from alembic_toolkit.verbs.servers.mysql.keys import (
    expressions,
    index_clause,
    indexes,
    needed_indexes,
    own_indexes,
    require_no_computed,
    require_uncounted,
    run_alter,
    run_unreferred,
    with_clauses,
)
from alembic_toolkit.verbs.translate import parts_of
from alembic_toolkit.verbs.values import Database, Step, by_name
from alembic_toolkit.verbs.words import log_done, log_line, log_skip

# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/, after white space and
# comments; the server executes a comment that begins with an exclamation mark
COMMITS = re.compile(
    r"""(?: \s | /\*M?!\d* | /\*(?!M?!).*?\*/ | (?:\#|--\s)[^\n]*(?:\n|$) )*
    (?: (?:CREATE|DROP)\b(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY)
      | (?:ALTER|RENAME|TRUNCATE|LOCK|UNLOCK|GRANT|REVOKE|LOAD|OPTIMIZE|REPAIR|CHECK|CACHE|FLUSH
        |RESET|CHANGE|START|STOP|INSTALL|UNINSTALL|IMPORT|COMMIT|ROLLBACK|XA|SHUTDOWN)\b
      | ANALYZE\s+(?:\w+\s+)?TABLE\b | BEGIN\b(?!\s+NOT) | SET\s+PASSWORD\b
      | SET\s+(?:@@)?(?:(?:SESSION|LOCAL|GLOBAL)[.\s]\s*)?autocommit\b )""",
    re.I | re.S | re.X,
)


def syntax(dialect: sa.Dialect) -> Syntax:
    """Return how this server reads a file, its sql_mode NO_BACKSLASH_ESCAPES included."""
    return replace(MYSQL, has_escapes=has_escapes(dialect))


def alter_column(step: Step) -> None:
    """Run a MODIFY with the whole column, because it drops what is left out, even a check.

    It includes a rename, because each statement is committed.
    https://mariadb.com/kb/en/alter-table/#modify-column
    """
    database, name = step.database, str(step.name)
    new_name = step.operation.modify_name
    requested = requested_parts(step)
    changed = {key: part for key, part in requested.items() if part is not None}
    if new_name is not None and not changed:  # a rename keeps the definition: MariaDB 10.5.2
        rename = rename_column_sql(step, str(new_name))
        return run_following(step, rename, following(step, str(new_name)))
    items = items_to_write(step)
    item = next(i for i in items if i[0] in '`"' and column_name(i) == name.lower())
    parts = current_parts(database, item) | changed
    if "type" in changed and "default" not in changed:
        parts["default"] = with_precision(parts["default"], parts["type"])
    if "type" in changed and "JSON_VALID" in parts["check"].upper():
        parts["check"] = ""  # JSON has its own check
    table, column = database.quoted(step.table, step.schema), database.quoted(name)
    alter = f"MODIFY {database.quoted(read_part(item).name)}"  # otherwise the spelling changes
    if new_name is not None:
        alter = f"CHANGE {column} {database.quoted(str(new_name))}"
        parts["check"] = with_renamed(parts["check"], name, str(new_name))
    if "GENERATED" in parts["default"]:  # only MySQL allows NOT NULL here, after it
        require_nullable(step, parts)
        parts["counts"] = parts.pop("null")
    more = {} if new_name is None else following(step, str(new_name))
    run_following(step, f"ALTER TABLE {table} {alter} {''.join(parts.values())}", more)


def require_nullable(step: Step, parts: dict[str, Any]) -> None:
    """Refuse NOT NULL for a generated column on MariaDB, which has no syntax for it.

    https://mariadb.com/kb/en/generated-columns/
    """
    if parts["null"] != " NOT NULL" or not is_mariadb(step.database.dialect):
        return
    condition = f"{step.database.quoted(str(step.name))} IS NOT NULL"
    check = f"{f'ck_{step.table}_{step.name}'!r}, {step.table!r}, {condition!r}"
    stop(
        UnsafeOperation,
        f"{step.call}: MariaDB has no NOT NULL for generated columns.",
        (f"column {step.name}{parts['default']}", "NOT NULL"),
        "Stopped, because the server would refuse the definition.",
        f"helpers.create_check_constraint({check}{schema_code(step.schema)})  # instead",
    )


def with_precision(default: str, type_: str) -> str:
    """Return a time default with its type's number of digits: MySQL accepts no other.

    https://dev.mysql.com/doc/refman/8.4/en/timestamp-initialization.html
    """
    match = re.match(r"(?i)(?:timestamp|datetime)(\(\d\))?", type_)
    if match is None:
        return default
    digits = match[1] or "()"
    return re.sub(r"(?i)\bcurrent_timestamp(\(\d*\))?", f"current_timestamp{digits}", default)


def run_following(step: Step, alter: str, more: dict[str, str]) -> None:
    """Run an ALTER with more clauses, each with a log line for when it is done."""
    step.database.run(", ".join([alter, *more]))
    for line in more.values():
        log_line(line)


def following(step: Step, new_name: str) -> dict[str, str]:
    """Return the clauses that update checks and expression indexes to a column's new name.

    MySQL refuses the new name as long as they use the old one.
    https://dev.mysql.com/doc/refman/8.4/en/create-table-check-constraints.html
    """
    if is_mariadb(step.database.dialect):
        return {}
    items, name = items_to_write(step), str(step.name)
    require_no_computed(step, items)
    clauses = {}
    for part in map(read_part, items):
        if part.kind == "check" and mentions(part.text, name):
            kind, made = "check", f"CONSTRAINT {step.database.quoted(part.name)} CHECK"
        elif any(mentions(text, name) for text in expressions(part)):
            kind, made = "unique", "UNIQUE " * (part.kind == "unique") + "INDEX"
            made += f" {step.database.quoted(part.name)}"
        else:
            continue
        add = f"ADD {made} {with_renamed(part.text, name, new_name)}"
        line = f"{part.kind} {part.name} follows column {name} to its new name {new_name}"
        clauses[f"{drop_clause(step, kind, part.name)}, {add}"] = line
    return clauses


def with_renamed(check: str, name: str, new_name: str) -> str:
    """Return a check in which the column is renamed."""
    tokens = tokenize(check)
    new = identifier("`", new_name)
    return "".join(
        new if t[0] in '`"' and unquoted(t).lower() == name.lower() else t for t in tokens
    )


def current_parts(database: Database, item: str) -> dict[str, str]:
    """Return the parts of a column in SHOW CREATE TABLE, in the order of MODIFY."""
    column = read_column(item)
    return {
        "type": column.type,
        "null": "" if column.generated and column.null == "NULL" else f" {column.null}",
        "default": f" {column.generated or column.default}".rstrip(),
        "counts": " AUTO_INCREMENT" if column.counts else "",
        "hidden": " INVISIBLE" if column.is_invisible else "",
        "comment": comment_part(database, column.comment),
        "check": f" {column.check}".rstrip(),
    }


def requested_parts(step: Step, with_existing: bool = False) -> dict[str, str | None]:
    """Return the column parts that the revision gives; None for each that it does not give.

    :param with_existing: whether ``existing_*`` counts: in a script, which cannot ask.
    """
    operation = step.operation
    type_, nullable = operation.modify_type, operation.modify_nullable
    default, comment = operation.modify_server_default, operation.modify_comment
    counts = operation.kw.get("autoincrement")
    if with_existing:
        type_ = operation.existing_type if type_ is None else type_
        nullable = operation.existing_nullable if nullable is None else nullable
        default = operation.existing_server_default if default is False else default
        comment = (operation.existing_comment or False) if comment is False else comment
        counts = operation.kw.get("existing_autoincrement") if counts is None else counts
    parts: dict[str, str | None] = {  # in the order of MODIFY
        "type": None if type_ is None else type_text(type_, step.database.dialect),
        "null": {None: None, True: " NULL", False: " NOT NULL"}[nullable],
        "default": None if default is False else default_clause(step, default),
        "counts": None if counts is None else " AUTO_INCREMENT" * bool(counts),
        "hidden": None,
        "comment": None if comment is False else comment_part(step.database, comment),
    }
    if isinstance(default, sa.Computed):
        parts |= {"null": "", "counts": ""}
    if "DEFAULT" in (parts["default"] or "") and counts is None:
        parts["counts"] = ""  # a column has one of the two
    if counts and parts["default"] is None:
        parts["default"] = ""
    return parts


def default_clause(step: Step, default: Any) -> str:
    """Return the DEFAULT of a column, or its expression, as CREATE TABLE has it."""
    dialect = step.database.dialect
    column: sa.Column[Any] = sa.Column(step.name, sa.Integer(), server_default=default)
    table = step.operations.schema_obj.table(step.table, column)
    text = str(CreateColumn(table.columns[column.key]).compile(dialect=dialect))
    clauses = split_clauses(unescaped_percent(text, dialect), CLAUSES)[1:]
    wanted = ("DEFAULT", "GENERATED", "ON")  # ON UPDATE is a part of the default's text
    return "".join(f" {c.strip()}" for c in clauses if c.split()[0].upper() in wanted)


def comment_part(database: Database, comment: str | None) -> str:
    return f" COMMENT {database.literal(comment)}" if comment else ""


def drop_index(step: Step) -> None:
    """Drop the index, or skip; refuse a call without the table, which identifies the index."""
    if not step.table:
        stop(
            CommandError,
            f"{step.call}: MariaDB and MySQL keep an index with its table.",
            ("an index of this name in any table, or in several", "one index"),
            "Stopped, because the table is not named.",
            f"helpers.drop_index({step.name!r}, 'its_table')",
        )
    drop(step)


def create_table(step: Step) -> sa.Table:
    """Create the table with its indexes in one statement."""
    table: sa.Table = step.wanted
    clauses = [index_clause(step, index) for index in by_name(table.indexes)]
    if not clauses:
        return default_create_table(step)
    indexes_, table.indexes = table.indexes, set()
    try:
        with with_clauses(step, clauses):
            return default_create_table(step)
    finally:
        table.indexes = indexes_


def add_column(step: Step) -> None:
    """Add the column with its constraints and indexes in one statement.

    An auto-increment column must be a key at once: the primary key, if the table has none.
    """
    if counts_up(step.wanted):
        keys = [kind for _, kind, _ in describe_constraints(step) if kind == "primary"]
        step.operation.inline_primary_key = step.operation.inline_primary_key or not keys
    parts = {
        index_clause(part, part.wanted)
        if part.kind == "index"
        else compiled_definition(part)["definition"]: part
        for part in parts_of(step, created=False)
    }
    with with_clauses(step, list(parts)) if parts else nullcontext():
        default_add_column(step)
    for part in parts.values():
        log_done(part, "made with its column")


def create_index(step: Step) -> None:
    """Create it; in the same ALTER, drop the index that a foreign key used instead."""
    clause = unescaped_percent(index_clause(step, step.wanted), step.database.dialect)
    columns = [getattr(column, "name", "") for column in step.wanted.expressions]
    add_serving(step, clause, columns, default_create_index)


def add_unique(step: Step) -> None:
    clause = compiled_definition(step)["definition"]
    clause = unescaped_percent(clause, step.database.dialect)
    add_serving(step, clause, [c.name for c in step.wanted.columns], default_add_constraint)


def add_serving(step: Step, clause: str, columns: list[str], act: Callable[[Step], None]) -> None:
    """Add an index, and drop the indexes of foreign keys that it makes redundant."""
    items = table_items(step.database, step.table, step.schema)
    needless = own_indexes(items, str(step.name), columns)
    if not needless:
        return act(step)
    drops = [f"DROP INDEX {step.database.quoted(name)}" for name in needless]
    run_alter(step, f"ADD {clause}", *drops)


def drop_listed_index(step: Step) -> None:
    """Drop it; in the same ALTER, create the index that a foreign key then needs."""
    name = str(step.name)
    items = table_items(step.database, step.table, step.schema)
    needed = needed_indexes(step, items, [name])
    drop = f"DROP INDEX {step.database.quoted(name)}"
    run_unreferred(step, items, [name], *needed, drop)


def drop_column(step: Step) -> None:
    """Drop the column with the keys and checks that use it, as the other servers do.

    This is one ALTER: if the server refuses to drop the column, they stay.
    """
    name = str(step.name)
    items = table_items(step.database, step.table, step.schema)
    users = [(kind_of(i) or "index", read_part(i).name) for i in items if uses(i, name)]
    uniques = [key for kind, key in users if kind in ("unique", "index")]
    keys = [key for kind, key in users if kind == "foreignkey"]
    require_no_computed(step, items)
    needed = needed_indexes(step, items, uniques, keys)
    clauses = [drop_clause(step, kind, key) for kind, key in users]
    clauses = [*needed, *clauses, f"DROP COLUMN {step.database.quoted(name)}"]
    run_unreferred(step, items, uniques, *clauses, column=name.lower())
    for kind, key in users:
        verb = "drop_index" if kind == "index" else "drop_constraint"
        dropped = replace(step, verb=verb, kind=kind, name=key)
        log_done(dropped, f"it used column {name}")


def uses(item: str, column: str) -> bool:
    """Tell whether a key, a check or an index expression of a table uses a column.

    An index on the column itself is dropped with it, or continues without it.
    """
    if any(mentions(text, column) for text in expressions(read_part(item))):
        return True
    is_constraint = kind_of(item) in ("foreignkey", "check", "unique")
    return is_constraint and mentions(inside_parentheses(item), column)


def mentions(text: str, column: str) -> bool:
    """Tell whether a text of the server's, where every column is quoted, mentions a column."""
    names = (unquoted(token).lower() for token in tokenize(text) if token[0] in '`"')
    return column.lower() in names


def drop_clause(step: Step, kind: str, name: str) -> str:
    """Return the clause of an ALTER TABLE that drops a constraint."""
    if kind == "primary":
        return "DROP PRIMARY KEY"
    check = "CONSTRAINT" if is_mariadb(step.database.dialect) else "CHECK"
    words = {"foreignkey": "FOREIGN KEY", "unique": "INDEX", "index": "INDEX", "check": check}
    word = words[kind]
    return f"DROP {word} {step.database.quoted(name)}"


def drop_constraint(step: Step) -> None:
    """Drop it by its type, which the grammar needs, and the index created for a foreign key."""
    assert step.found is not None
    type_, name = step.found["type"], str(step.name)
    items = table_items(step.database, step.table, step.schema)
    clause = drop_clause(step, type_, name)
    if type_ in ("unique", "primary"):
        gone = [name if type_ == "unique" else "PRIMARY"]
        require_uncounted(step, items, gone)
        return run_unreferred(step, items, gone, *needed_indexes(step, items, gone), clause)
    if type_ != "foreignkey" or name.lower() not in {i.name.lower() for i in indexes(items)}:
        return run_alter(step, clause)
    with suppress(UnsafeOperation):
        if not needed_indexes(step, items, [name], [name]):
            both = clause, drop_clause(step, "unique", name)
            return run_unreferred(step, items, [name], *both)
    log_skip(step, "its index is needed by another key")
    run_alter(step, clause)


def replace_check(step: Step) -> None:
    """Replace the check of this name."""
    clause = unescaped_percent(compiled_definition(step)["definition"], step.database.dialect)
    run_alter(step, drop_clause(step, "check", str(step.name)), f"ADD {clause}")
