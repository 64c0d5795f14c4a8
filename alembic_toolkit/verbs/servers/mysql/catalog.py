"""What the catalogs of MariaDB and MySQL tell, and SHOW CREATE TABLE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.create_table import kind_of
from alembic_toolkit.sql.quoting import comment_clause, in_parentheses
from alembic_toolkit.sql.show_create import (
    parse_show_create,
    read_column,
    read_part,
    with_doubled_quotes,
)
from alembic_toolkit.verbs.ask import ask, ask_in_one, ask_rows
from alembic_toolkit.verbs.kinds.constraint import describe_clause
from alembic_toolkit.verbs.kinds.index import compiled_index_text
from alembic_toolkit.verbs.require import refuse_temporary
from alembic_toolkit.verbs.scratch import SCRATCH
from alembic_toolkit.verbs.values import Constraint, Database, Definition, Question, Step

OF_TABLE = "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
QUESTIONS = {
    "table": f"SELECT table_name FROM information_schema.tables {OF_TABLE}"
    " AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
    "relation": f"SELECT table_name FROM information_schema.tables {OF_TABLE}",
    "sort": "SELECT CASE WHEN table_type IN ('VIEW', 'SEQUENCE') THEN LOWER(table_type)"
    f" ELSE 'table' END FROM information_schema.tables {OF_TABLE}",
    "view": f"SELECT view_definition FROM information_schema.views {OF_TABLE}",
    "column": f"SELECT column_name FROM information_schema.columns {OF_TABLE}"
    " AND column_name = :name",
    "of type": " AND constraint_type = '{}'",
    "primary": f"SELECT 1 FROM information_schema.table_constraints {OF_TABLE}"
    " AND constraint_type = 'PRIMARY KEY'",
    "unnamed": "SELECT 1 FROM information_schema.table_constraints AS k"
    " WHERE k.table_schema = COALESCE(:schema, DATABASE()) AND k.table_name = :table"
    " AND k.constraint_type = '{kind}'"
    " AND (SELECT GROUP_CONCAT(u.column_name ORDER BY u.ordinal_position)"
    " FROM information_schema.key_column_usage AS u WHERE u.table_schema = k.table_schema"
    " AND u.table_name = k.table_name AND u.constraint_name = k.constraint_name) = :name",
    "table comment": f"SELECT table_comment FROM information_schema.tables {OF_TABLE}",
    "collation": f"SELECT table_collation FROM information_schema.tables {OF_TABLE}",
    "named index": f"SELECT index_name FROM information_schema.statistics {OF_TABLE}"
    " AND index_name = :name",
    "index": f"SELECT * FROM information_schema.statistics {OF_TABLE} AND index_name = :name",
    "constraint types": "SELECT GROUP_CONCAT(constraint_type)"
    f" FROM information_schema.table_constraints {OF_TABLE} AND constraint_name = :name",
    "constraint": f"SELECT constraint_type FROM information_schema.table_constraints {OF_TABLE}"
    " AND constraint_name = :name",
}


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    """Answer several questions, without asking for a name that nothing can have."""
    possible = [q for q in questions if not is_impossible(f"{q[1]}{q[2]}{q[3] or ''}")]
    answers = iter(ask_in_one(database, possible, QUESTIONS) if possible else [])
    return [next(answers) if question in possible else None for question in questions]


def placeholders(database: Database, question: Question) -> dict[str, str]:
    _, table, name, schema = question
    named = {"table": database.literal(table), "name": database.literal(name)}
    return named | {"schema": database.literal(schema) if schema else "NULL"}


def has_escapes(dialect: sa.Dialect) -> bool:
    """Tell whether a backslash is an escape, by the sql_mode as the engine found it."""
    return bool(getattr(dialect, "_backslash_escapes", True))


def is_impossible(name: str) -> bool:
    """Tell whether nothing can be called so: https://mariadb.com/kb/en/identifier-names/"""
    return any(ord(char) > 0xFFFF for char in name)


# what InnoDB makes of a TEXT column without a length: 3072 bytes, by the width of a character
WHOLE = (None, 768, 1024, 3072)


def index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    if not table or is_impossible(f"{table}{name}{schema or ''}"):
        return None
    found = ask_rows(database, QUESTIONS["index"], ("index", table, name, schema))
    rows = [{key.lower(): value for key, value in row.items()} for row in found]
    if not rows or name.upper() == "PRIMARY":
        return None
    parts = [
        (database.quoted_if_needed(row["column_name"]) or f"({row.get('expression')})")
        + (f"({row['sub_part']})" if row["sub_part"] not in WHOLE else "")
        + (" DESC" if row["collation"] == "D" else "")
        for row in sorted(rows, key=lambda row: int(row["seq_in_index"]))
    ]
    prefix = {0: "UNIQUE "}.get(int(rows[0]["non_unique"]), "")
    prefix = {"FULLTEXT": "FULLTEXT ", "SPATIAL": "SPATIAL "}.get(rows[0]["index_type"], prefix)
    return {"table": f"ON {table}", "definition": prefix + in_parentheses(parts)}


def index_text(step: Step) -> str:
    """Return the index as the catalog has it: no method, no length that is the whole column's."""
    text = re.sub(r" USING \w+$", "", compiled_index_text(step))
    for name, column in columns(step.database, step.table, step.schema).items():
        if whole := re.search(r"char\((\d+)\)", column["type"]):
            text = re.sub(rf"(`?{re.escape(name)}`?)\({whole[1]}\)", r"\1", text)
    return text


def table_defaults(step: Step) -> dict[str, Any]:
    """Return the option that decides the collation of a column without one."""
    if not step.table:
        return {}
    found = ask(step.database, "collation", step.table, "", step.schema)
    return {f"{step.database.dialect.name}_collate": found} if found else {}


def table_items(database: Database, table: str, schema: str | None) -> list[str]:
    row: Any = database.run(f"SHOW CREATE TABLE {database.quoted(table, schema)}").first()
    if row[1].upper().startswith("CREATE TEMPORARY") and table != SCRATCH:
        refuse_temporary(f"table {table!r}", table)
    return [with_doubled_quotes(item) for item in parse_show_create(row[1]).items]


def columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Read the columns from SHOW CREATE TABLE, which also knows temporary tables."""
    items = [(read_part(item), item) for item in table_items(database, table, schema)]
    return {part.name: define_column(item) for part, item in items if part.kind == "column"}


def define_column(item: str) -> Definition:
    column = read_column(item)
    return {
        "type": column.type,
        "null": column.null,
        "default": "AUTO_INCREMENT" if column.counts else column.default,
        "computed": column.generated,
        "comment": comment_clause(column.comment),
    }


def constraints(database: Database, table: str, schema: str | None) -> list[Constraint]:
    found: list[Constraint] = []
    for item in table_items(database, table, schema):
        part = read_part(item)
        if part.kind == "column" and (check := read_column(item).check):
            found.append((part.name, *describe_clause(database, check, [part.name])[1:]))
        elif kind_of(item) is not None:
            name, kind, text = describe_clause(database, item, [], schema)
            found.append((part.name if kind == "unique" else name, kind, text))
    return found
