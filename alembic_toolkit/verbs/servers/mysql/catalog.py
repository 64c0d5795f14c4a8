"""How the catalogs of MariaDB and MySQL are asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError

from alembic_toolkit.sql.create_table import kind_of, parse_create_table, split_clauses
from alembic_toolkit.sql.quoting import comment_clause, in_parentheses
from alembic_toolkit.sql.tokens import tokenize, unquoted
from alembic_toolkit.verbs.ask import ask, ask_in_one, ask_rows, describe_columns
from alembic_toolkit.verbs.kinds.constraint import describe_clause
from alembic_toolkit.verbs.kinds.index import compiled_index_text
from alembic_toolkit.verbs.require import refuse_temporary
from alembic_toolkit.verbs.scratch import SCRATCH
from alembic_toolkit.verbs.values import Constraint, Database, Definition, Question, Step

QUESTIONS = {
    "table": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE())"
    " AND table_name = :table AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
    "relation": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "sort": "SELECT CASE WHEN table_type IN ('VIEW', 'SEQUENCE') THEN LOWER(table_type)"
    " ELSE 'table' END FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "view": "SELECT view_definition FROM information_schema.views"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "column": "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND column_name = :name",
    "of type": " AND constraint_type = '{}'",
    "primary": "SELECT 1 FROM information_schema.table_constraints"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_type = 'PRIMARY KEY'",
    "unnamed": "SELECT 1 FROM information_schema.table_constraints AS k"
    " WHERE k.table_schema = COALESCE(:schema, DATABASE()) AND k.table_name = :table"
    " AND k.constraint_type = '{kind}'"
    " AND (SELECT GROUP_CONCAT(u.column_name ORDER BY u.ordinal_position)"
    " FROM information_schema.key_column_usage AS u WHERE u.table_schema = k.table_schema"
    " AND u.table_name = k.table_name AND u.constraint_name = k.constraint_name) = :name",
    "table comment": "SELECT table_comment FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "collation": "SELECT table_collation FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table",
    "named index": "SELECT index_name FROM information_schema.statistics"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND index_name = :name",
    "index": "SELECT * FROM information_schema.statistics"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND index_name = :name",
    "constraint types": "SELECT GROUP_CONCAT(constraint_type)"
    " FROM information_schema.table_constraints"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name",
    "constraint": "SELECT constraint_type FROM information_schema.table_constraints"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name",
}


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    """Answer several questions; a name that nothing can have is not asked for."""
    possible = [q for q in questions if not is_impossible(f"{q[1]}{q[2]}{q[3] or ''}")]
    answers = iter(ask_in_one(database, possible) if possible else [])
    return [next(answers) if question in possible else None for question in questions]


def placeholders(database: Database, question: Question) -> dict[str, str]:
    _, table, name, schema = question
    named = {"table": database.literal(table), "name": database.literal(name)}
    return named | {"schema": database.literal(schema) if schema else "NULL"}


def has_escapes(dialect: sa.Dialect) -> bool:
    """Tell whether a backslash is an escape, by the sql_mode as the engine found it."""
    return bool(getattr(dialect, "_backslash_escapes", True))


def is_impossible(name: str) -> bool:
    """Tell whether no name can be so: https://mariadb.com/kb/en/identifier-names/"""
    return any(ord(char) > 0xFFFF for char in name)


# what InnoDB makes of a TEXT column without a length: 3072 bytes, by the width of a character
WHOLE = (None, 768, 1024, 3072)


def index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    if not table:
        raise CommandError(
            f"drop_index({name!r}): MariaDB and MySQL keep an index with its table.\n"
            f"Name the table:\n    helpers.drop_index({name!r}, 'its_table')"
        )
    if is_impossible(table + name + (schema or "")):
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
    """Spell the index as the catalog does: no method, no length that is the whole column's."""
    text = re.sub(r" USING \w+$", "", compiled_index_text(step))
    for name, column in describe_columns(step.database, step.table, step.schema).items():
        whole = re.search(r"char\((\d+)\)", column["type"])
        if whole is not None:
            length = rf"(`?{re.escape(name)}`?)\({whole[1]}\)"
            text = re.sub(length, r"\1", text)
    return text


def table_defaults(step: Step) -> dict[str, Any]:
    """Return what decides over a column that says nothing of its collation."""
    if not step.table:
        return {}
    found = ask(step.database, "collation", step.table, "", step.schema)
    return {f"{step.database.dialect.name}_collate": found} if found else {}


def is_made_temporary(sql: str) -> bool:
    return sql.upper().startswith("CREATE TEMPORARY")


def table_items(database: Database, table: str, schema: str | None) -> list[str]:
    row: Any = database.run(f"SHOW CREATE TABLE {database.quoted(table, schema)}").first()
    if is_made_temporary(row[1]) and table != SCRATCH:
        refuse_temporary(f"table {table!r}", table)
    return [item.strip() for item in parse_create_table(double_quotes(row[1])).items]


def double_quotes(sql: str) -> str:
    """Write each quote in a string as two, which MariaDB writes with a backslash in some places."""

    def doubled(match: re.Match[str]) -> str:
        inside = re.sub(
            r"\\(.)", lambda m: "''" if m[1] == "'" else m[0], match[0][1:-1], flags=re.S
        )
        return f"'{inside}'" if match[0][0] == "'" else match[0]

    return re.sub(r"(?s)`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'", doubled, sql)


STARTS = {"NOT", "NULL", "DEFAULT", "AUTO_INCREMENT", "ON", "COMMENT", "GENERATED", "CHECK"}
STARTS |= {"INVISIBLE"}


def columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Read the columns from SHOW CREATE TABLE, which also knows temporary tables."""
    items = [item for item in table_items(database, table, schema) if item[0] in '`"']
    return {unquoted(tokenize(item)[0]): define_column(item) for item in items}


def define_column(item: str) -> Definition:
    first, *clauses = split_clauses(item, STARTS)
    said = {clause.split()[0].upper(): clause.strip() for clause in clauses}
    default = said.get("DEFAULT", "").removesuffix("DEFAULT NULL")
    default = " ".join([default, said.get("ON", "")]).strip()
    return {
        "type": first.removeprefix(tokenize(item)[0]).strip(),
        "null": "NOT NULL" if "NOT" in said else "NULL",
        "default": said.get("AUTO_INCREMENT", default),
        "computed": said.get("GENERATED", ""),
        "comment": comment_clause(
            text_of_literal(said.get("COMMENT", "").removeprefix("COMMENT "))
        ),
    }


def text_of_literal(literal: str) -> str:
    """Return what a string literal of SHOW CREATE TABLE stands for."""
    escapes = {"n": "\n", "r": "\r", "0": "\0"}
    text = literal[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), text)


def constraints(database: Database, table: str, schema: str | None) -> list[Constraint]:
    found: list[Constraint] = []
    for item in table_items(database, table, schema):
        if item[0] in '`"':
            checks = [c for c in split_clauses(item, STARTS)[1:] if kind_of(c) == "check"]
            column = unquoted(tokenize(item)[0])
            found += [(column, *describe_clause(database, check, [column])[1:]) for check in checks]
        elif kind_of(item) is not None:
            name, kind, text = describe_clause(database, item, [], schema)
            keyed = [token for token in tokenize(item) if not token.isspace()]
            called = unquoted(keyed[2]) if kind == "unique" else name
            found.append((called, kind, text))
    return found


def comment_part(database: Database, comment: Any) -> str:
    return f"COMMENT {database.literal(comment)}" if comment else ""
