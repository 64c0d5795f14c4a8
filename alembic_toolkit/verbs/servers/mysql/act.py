"""What MariaDB and MySQL do in their own way."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations, ops
from sqlalchemy.schema import CreateColumn

from alembic_toolkit.sql.bodies import MYSQL
from alembic_toolkit.sql.create_table import inside_parentheses, kind_of, split_clauses, split_name
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.sql.statements import Syntax
from alembic_toolkit.sql.tokens import tokenize, unquoted
from alembic_toolkit.verbs.act import rename_column_sql, run_alembic
from alembic_toolkit.verbs.ask import describe_index, type_text
from alembic_toolkit.verbs.servers.mysql.catalog import (
    STARTS,
    comment_part,
    define_column,
    has_escapes,
    table_items,
    text_of_literal,
)
from alembic_toolkit.verbs.values import Database, Step, log_decision

# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/, behind comments, of
# which those that begin with an exclamation mark are run
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
    """Say the whole column, as MODIFY wants it: what is left out is lost, a check included.

    https://mariadb.com/kb/en/alter-table/#modify-column
    """
    if step.operation.modify_name is not None:
        return rename_column(step)
    database, name = step.database, str(step.name)
    items = table_items(database, step.table, step.schema)
    item = next(
        i for i in items if i[0] in '`"' and unquoted(tokenize(i)[0]).lower() == name.lower()
    )
    there = current_parts(database, item)
    changed = {k: v for k, v in requested_parts(step, database.dialect).items() if v is not None}
    if changed.get("default", "").startswith(" GENERATED"):
        changed |= {"null": "", "counts": ""}
    if "type" in changed and "JSON_VALID" in there["check"].upper():
        there["check"] = ""  # which JSON brings along
    table, column = database.quoted(step.table, step.schema), database.quoted(name)
    database.run(f"ALTER TABLE {table} MODIFY {column} {''.join((there | changed).values())}")


def current_parts(database: Database, item: str) -> dict[str, str]:
    """Return what SHOW CREATE TABLE says of a column, in the order in which MODIFY wants it."""
    column, clauses = define_column(item), split_clauses(item, STARTS)[1:]
    checks = [clause for clause in clauses if kind_of(clause) == "check"]
    comment = next((clause for clause in clauses if clause.startswith("COMMENT ")), "")
    counts = column["default"] == "AUTO_INCREMENT"
    default = column["computed"] or ("" if counts else column["default"])
    text = text_of_literal(comment.strip().removeprefix("COMMENT "))
    return {
        "type": column["type"],
        "null": "" if column["computed"] else f" {column['null']}",
        "default": f" {default}".rstrip(),
        "counts": " AUTO_INCREMENT" if counts else "",
        "hidden": " INVISIBLE" if any(c.startswith("INVISIBLE") for c in clauses) else "",
        "comment": f" {comment_part(database, text)}",
        "check": f" {checks[0].strip()}" if checks else "",
    }


def rename_column(step: Step) -> None:
    """Rename without saying the definition again: MariaDB 10.5.2, MySQL 8."""
    step.database.run(rename_column_sql(step, str(step.operation.modify_name)))


def requested_parts(
    step: Step, dialect: sa.Dialect, existing: bool = False
) -> dict[str, str | None]:
    """Return the parts of a column that the revision gives, None for each that it does not.

    :param existing: whether to believe its ``existing_*``, where the database cannot be asked.
    """
    operation = step.operation
    type_, nullable = operation.modify_type, operation.modify_nullable
    default, comment = operation.modify_server_default, operation.modify_comment
    counts = operation.kw.get("autoincrement")
    if existing:
        type_ = operation.existing_type if type_ is None else type_
        nullable = operation.existing_nullable if nullable is None else nullable
        default = operation.existing_server_default if default is False else default
        comment = (operation.existing_comment or False) if comment is False else comment
        counts = operation.kw.get("existing_autoincrement") if counts is None else counts
    return {
        "type": None if type_ is None else type_text(type_, dialect),
        "null": None if nullable is None else (" NULL" if nullable else " NOT NULL"),
        "default": None if default is False else default_clause(step.database, step, default),
        "counts": None if counts is None else (" AUTO_INCREMENT" if counts else ""),
        "hidden": None,
        "comment": None
        if comment is False
        else f" {comment_part(step.database, comment)}".rstrip(),
    }


def default_clause(database: Database, step: Step, default: Any) -> str:
    """Return the DEFAULT of a column, or what it is computed from, as CREATE TABLE has it."""
    column: sa.Column[Any] = sa.Column(step.name, sa.Integer(), server_default=default)
    if isinstance(default, sa.Computed):
        column = sa.Column(step.name, sa.Integer(), default)
    table = step.operations.schema_obj.table(step.table, column)
    text = str(CreateColumn(table.columns[column.key]).compile(dialect=database.dialect))
    clauses = split_clauses(unescaped_percent(text, database.dialect), STARTS)[1:]
    wanted = ("DEFAULT", "GENERATED", "ON")  # ON UPDATE is a part of the default's text
    return "".join(f" {c.strip()}" for c in clauses if c.split()[0].upper() in wanted)


def drop_column(step: Step) -> None:
    """Drop the keys and checks that use the column first, as the other servers do."""
    name = str(step.name)
    items = table_items(step.database, step.table, step.schema)
    for item in sorted(items, key=lambda item: kind_of(item) != "foreignkey"):
        kind, tokens = kind_of(item), tokenize(inside_parentheses(item))
        used = [unquoted(token).lower() for token in tokens if token[0] in '`"']
        if kind in ("foreignkey", "check", "unique") and name.lower() in used:
            words = [token for token in tokenize(item) if not token.isspace()]
            named = unquoted(words[2]) if kind == "unique" else str(split_name(item)[0])
            drop = ops.DropConstraintOp(named, step.table, kind, schema=step.schema)
            step.operations.invoke(drop)
    run_alembic(step)


def drop_constraint(step: Step) -> None:
    """Say the type, which its grammar needs; drop the index that came with a foreign key, too."""
    operation, found = step.operation, step.found
    assert found is not None
    operation.constraint_type = found["type"]
    run_alembic(step)
    if found["type"] == "foreignkey" and describe_index(
        step.database, step.table, str(step.name), step.schema
    ):
        drop = ops.DropIndexOp(str(step.name), step.table, schema=step.schema)
        try:
            Operations(step.operations.migration_context).invoke(drop)
        except sa.exc.OperationalError:
            log_decision("skip", step, "its index is needed by another key")
