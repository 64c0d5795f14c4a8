"""What MariaDB and MySQL do in their own way."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations, ops
from alembic.util import CommandError
from sqlalchemy.schema import CreateColumn

from alembic_toolkit.sql.bodies import MYSQL
from alembic_toolkit.sql.create_table import (
    column_name,
    inside_parentheses,
    kind_of,
    split_clauses,
)
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.sql.show_create import CLAUSES, read_column, read_part
from alembic_toolkit.sql.statements import Syntax
from alembic_toolkit.sql.tokens import tokenize, unquoted
from alembic_toolkit.verbs.act import rename_column_sql, run_alembic
from alembic_toolkit.verbs.ask import describe_index, type_text
from alembic_toolkit.verbs.ensure import drop
from alembic_toolkit.verbs.errors import stop
from alembic_toolkit.verbs.servers.mysql.catalog import has_escapes, table_items
from alembic_toolkit.verbs.values import Database, Step, log_decision

# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/, behind white space and
# comments; the server runs what is in a comment that begins with an exclamation mark
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
    """Give MODIFY the whole column, because it drops what is left out, a check included.

    https://mariadb.com/kb/en/alter-table/#modify-column
    """
    database, name = step.database, str(step.name)
    if step.operation.modify_name is not None:  # a rename keeps the definition: MariaDB 10.5.2
        database.run(rename_column_sql(step, str(step.operation.modify_name)))
        return
    items = table_items(database, step.table, step.schema)
    item = next(i for i in items if i[0] in '`"' and column_name(i) == name.lower())
    requested = requested_parts(step)
    changed = {key: part for key, part in requested.items() if part is not None}
    parts = current_parts(database, item) | changed
    if "type" in changed and "JSON_VALID" in parts["check"].upper():
        parts["check"] = ""  # JSON brings it along
    table, column = database.quoted(step.table, step.schema), database.quoted(name)
    database.run(f"ALTER TABLE {table} MODIFY {column} {''.join(parts.values())}")


def current_parts(database: Database, item: str) -> dict[str, str]:
    """Return the parts of a column in SHOW CREATE TABLE, in the order of MODIFY."""
    column = read_column(item)
    return {
        "type": column.type,
        "null": "" if column.generated else f" {column.null}",
        "default": f" {column.generated or column.default}".rstrip(),
        "counts": " AUTO_INCREMENT" if column.counts else "",
        "hidden": " INVISIBLE" if column.is_invisible else "",
        "comment": comment_part(database, column.comment),
        "check": f" {column.check}".rstrip(),
    }


def requested_parts(step: Step, with_existing: bool = False) -> dict[str, str | None]:
    """Return the parts of a column that the revision gives; None for each that it does not give.

    :param with_existing: whether ``existing_*`` counts, in a script, which cannot look.
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
    """Drop the index, or skip; refuse one without its table, by which alone it is known."""
    if not step.table:
        stop(
            CommandError,
            f"{step.call}: MariaDB and MySQL keep an index with its table.",
            ("an index of this name in any table, or in several", "one index"),
            "Stopped, because the table is not named.",
            f"helpers.drop_index({step.name!r}, 'its_table')",
        )
    drop(step)


def drop_column(step: Step) -> None:
    """Drop the keys and checks that use the column first, as the other servers do."""
    name = str(step.name).lower()
    items = table_items(step.database, step.table, step.schema)
    for item in sorted(items, key=lambda item: kind_of(item) != "foreignkey"):
        kind, tokens = kind_of(item), tokenize(inside_parentheses(item))
        used = [unquoted(token).lower() for token in tokens if token[0] in '`"']
        if kind in ("foreignkey", "check", "unique") and name in used:
            named = read_part(item).name
            gone = ops.DropConstraintOp(named, step.table, kind, schema=step.schema)
            step.operations.invoke(gone)
    run_alembic(step)


def drop_constraint(step: Step) -> None:
    """Drop it by its type, which the grammar needs, and the index that came with a foreign key."""
    assert step.found is not None
    type_, name = step.found["type"], str(step.name)
    step.operation.constraint_type = type_
    run_alembic(step)
    if type_ == "foreignkey" and describe_index(step.database, step.table, name, step.schema):
        try:
            Operations(step.context).invoke(ops.DropIndexOp(name, step.table, schema=step.schema))
        except sa.exc.OperationalError:
            log_decision("skip", step, "its index is needed by another key")
