"""How SQLite's catalog is asked, and the text of its tables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.create_table import (
    TableText,
    column_name,
    index_definition,
    is_column,
    kind_of,
    parse_create_table,
    split_clauses,
    split_name,
)
from alembic_toolkit.sql.quoting import literal
from alembic_toolkit.sql.tokens import closing_parenthesis, names_in, tokenize, unquoted
from alembic_toolkit.verbs.ask import (
    ask,
    fill_placeholders,
    has_table,
    inspected_columns,
    question_sql,
    select_answers,
)
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.constraint import describe_clause, parse_reference
from alembic_toolkit.verbs.values import Constraint, Database, Definition, Question, Step

QUESTIONS = {
    "table": "SELECT name FROM :database.sqlite_master WHERE type = 'table'"
    " AND name = :table COLLATE NOCASE",
    "sql": "SELECT sql FROM :database.sqlite_master WHERE type = 'table'"
    " AND name = :table COLLATE NOCASE",
    "relation": "SELECT name FROM :database.sqlite_master WHERE type IN ('table', 'view')"
    " AND name = :table COLLATE NOCASE",
    "sort": "SELECT type FROM :database.sqlite_master WHERE type IN ('table', 'view')"
    " AND name = :table COLLATE NOCASE",
    "view": "SELECT sql FROM :database.sqlite_master WHERE type = 'view'"
    " AND name = :table COLLATE NOCASE",
    "column": "SELECT name FROM pragma_table_xinfo(:table, :schema)"
    " WHERE name = :name COLLATE NOCASE AND hidden <> 1",
    "named index": "SELECT name FROM :database.sqlite_master WHERE type = 'index'"
    " AND name = :name COLLATE NOCASE AND sql IS NOT NULL",
}
# sqlite_master has no index, and these need none: what they do not know is not there at all.
KNOWN_BY = {"named index": "pragma_index_xinfo(:name, :schema)"}
KNOWN_BY |= dict.fromkeys(
    ("table", "relation", "sort", "sql", "view"), "pragma_table_xinfo(:table, :schema)"
)
INDEX = (
    "SELECT tbl_name, sql FROM"
    " (SELECT 1 WHERE EXISTS (SELECT 1 FROM pragma_index_xinfo(:name, :schema)))"
    " CROSS JOIN :database.sqlite_master"
    " WHERE type = 'index' AND name = :name COLLATE NOCASE AND sql IS NOT NULL"
)
HIDDEN = "alembic_helpers: tables of this session"  # known since they were last asked for


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    places = {schema: has_schema(database, schema) for *_, schema in questions}
    possible = [question for question in questions if places[question[3]]]
    if not possible:
        return [None for _ in questions]
    try:
        answers = iter(answer_all(database, possible, KNOWN_BY))
    except sa.exc.OperationalError:  # a view whose table is gone has no columns to be known by
        answers = iter(answer_all(database, possible, {}))
    return [next(answers) if places[schema] else None for *_, schema in questions]


def answer_all(
    database: Database, questions: Sequence[Question], known: dict[str, str]
) -> Sequence[Any]:
    tables = {table for _, table, _, schema in questions if not schema}
    listed = ", ".join(f"lower({literal(table)})" for table in sorted(tables))
    temporary = (
        "SELECT json_group_array(lower(name)) FROM temp.sqlite_master"
        f" WHERE lower(name) IN ({listed})"
    )
    selects = [guarded_question(database, question, known) for question in questions]
    *answers, found = select_answers(database, [*selects, temporary])
    hidden: set[str] = database.connection.info.setdefault(HIDDEN, set())
    hidden.difference_update(table.lower() for table in tables)
    hidden.update(json.loads(found))
    return answers


def guarded_question(database: Database, question: Question, known: dict[str, str]) -> str:
    """Return one question as a SELECT, which is asked only where there is something to find."""
    sql = question_sql(database, question)
    if question[0] not in known:
        return sql
    exists = fill_placeholders(database, known[question[0]], question)
    return f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {exists}) THEN ({sql} LIMIT 1) END"


def placeholders(database: Database, question: Question) -> dict[str, str]:
    _, table, name, schema = question
    values = {"table": table, "name": name, "schema": schema or "main"}
    written = {key: literal(value) for key, value in values.items()}
    return written | {"database": database.quoted(schema or "main")}


def has_schema(database: Database, schema: str | None) -> bool:
    if schema in (None, "main", "temp"):
        return True
    attached = {row[1].lower() for row in database.run("PRAGMA database_list")}
    return str(schema).lower() in attached


def is_hidden(step: Step) -> bool:
    return step.schema is None and step.table.lower() in step.database.connection.info.get(
        HIDDEN, ()
    )


def columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    columns = inspected_columns(database, table, schema)
    said = column_clauses(database, table, schema)
    found = {column["name"]: define_column(database, column) for column in columns}
    return {name: column | said.get(name.lower(), {}) for name, column in found.items()}


def define_column(database: Database, column: Any) -> Definition:
    default, type_ = column["default"], column["type"]
    default = "" if default is None else canonical_default(default)
    return {
        "type": ""
        if isinstance(type_, sa.types.NullType)
        else type_.compile(dialect=database.dialect),
        "null": "NULL" if column["nullable"] else "NOT NULL",
        "default": f"DEFAULT {default}" if default else "",
        "computed": "",
        "comment": "",
        "collate": "",
    }


def canonical_default(text: str) -> str:
    """Return one spelling for the several that SQLite keeps as the author wrote them."""
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    text = re.sub(r"^'(-?\d+(\.\d+)?)'$", r"\1", text)
    return {"true": "1", "false": "0", "null": ""}.get(text.lower(), text)


def column_clauses(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Return what no pragma tells of a column: its COLLATE, and what it is computed from."""
    sql: str | None = ask(database, "sql", table, "", schema)
    if sql is None or re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I):
        return {}
    items = filter(is_column, parse_create_table(sql).items)
    return {column_name(item): parse_clauses(split_clauses(item)[1:]) for item in items}


def parse_clauses(clauses: list[str]) -> Definition:
    found: Definition = {}
    for tokens in (split_name(clause)[1] for clause in clauses):
        word, end = tokens[0].upper(), closing_parenthesis(tokens)
        if word == "COLLATE" and unquoted(tokens[1]).upper() != "BINARY":
            found["collate"] = f"COLLATE {unquoted(tokens[1]).upper()}"
        if word in ("GENERATED", "AS"):
            text = " ".join(tokens[tokens.index("(") : end + 1])
            stored = " STORED" if "STORED" in map(str.upper, tokens[end:]) else ""
            found["computed"] = f"GENERATED ALWAYS AS {text}{stored}"
    return found


def table_text(step: Step) -> TableText:
    sql: str = ask(step.database, "sql", step.table, "", step.schema)
    if re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I):
        stop(
            UnsafeOperation,
            f"{step.call}: {step.table!r} is a virtual table.",
            (" ".join(sql.split()), "an ordinary table"),
            "Stopped, because only the module behind a virtual table can change it.",
            f"helpers.execute('DROP TABLE {step.table}')  # then CREATE VIRTUAL TABLE anew",
        )
    return parse_create_table(sql)


def constraints(database: Database, table: str, schema: str | None) -> list[Constraint]:
    """Describe every constraint of a table, named or not, of the table or of one column."""
    sql = ask(database, "sql", table, "", schema)
    if sql is None or re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I):
        return []
    found: list[Constraint] = []
    for item in parse_create_table(sql).items:
        column = [unquoted(split_name(item)[1][0])] if is_column(item) else []
        for clause in split_clauses(item)[1:] if column else [item]:
            if kind_of(clause) is not None:
                found.append(describe_clause(database, clause, column))
    return found


def conventional(step: Step) -> str | None:
    """Return the type of an unnamed constraint that a batch's convention gives the step's name."""
    if step.batch.naming_convention is None or not has_table(
        step.database, step.table, step.schema
    ):
        return None
    for item in table_text(step).items:
        column = [unquoted(split_name(item)[1][0])] if is_column(item) else []
        for clause in split_clauses(item)[1:] if column else [item]:
            kind = kind_of(clause)
            if kind and name_by_convention(step, clause, column) == step.name:
                return kind
    return None


def name_by_convention(step: Step, clause: str, column: list[str]) -> str | None:
    """Return the name that a batch's naming convention gives to an unnamed constraint."""
    name, tokens = split_name(clause)
    kind, convention = kind_of(clause), step.batch.naming_convention
    if name or convention is None or kind in (None, "check"):
        return None
    columns = column or names_in(tokens)
    made: Any
    if kind == "foreignkey":
        key = parse_reference(step.database, tokens, columns)
        targets = [f"{key['referred_table']}.{referred}" for referred in key["referred_columns"]]
        made = sa.ForeignKeyConstraint(columns, targets)
    else:
        made = {"unique": sa.UniqueConstraint, "primary": sa.PrimaryKeyConstraint}[kind](*columns)
    fields = (sa.Column(c, sa.types.NullType()) for c in columns)
    sa.Table(step.table, sa.MetaData(naming_convention=convention), *fields, made)
    return str(made.name) if made.name else None


def index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    if not has_schema(database, schema):
        return None
    found, _ = database.fetch(fill_placeholders(database, INDEX, ("index", "", name, schema)))
    if not found:
        return None
    on, sql = found[0]
    return {"table": f"ON {on}", "definition": index_definition(sql)}


def master_table(step: Step) -> str:
    return f"{step.database.quoted(step.schema or 'main')}.sqlite_master"


def belongings_of(step: Step) -> list[tuple[str, str, str]]:
    """Return the indexes and triggers of a table: type, name, SQL."""
    master = master_table(step)
    rows = step.database.run(
        f"SELECT type, name, sql FROM {master} WHERE tbl_name = ? COLLATE NOCASE"
        " AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, rowid",
        (step.table,),
    )
    return [(row[0], row[1], row[2]) for row in rows]


def children_of(step: Step) -> list[str]:
    """Return the tables with a foreign key to this one, itself included.

    Only tables whose text has the name are looked into: a name with a quote is spelled in two ways.
    """
    schema = step.schema or "main"
    part = "" if re.search(r'["`\'\]]', step.table) else step.table
    rows = step.database.run(
        f"SELECT DISTINCT m.name FROM {step.database.quoted(schema)}.sqlite_master AS m"
        " CROSS JOIN pragma_foreign_key_list(m.name, ?) AS k"
        " WHERE m.type = 'table' AND m.sql LIKE '%references%'"
        ' AND instr(lower(m.sql), lower(?)) > 0 AND k."table" = ? COLLATE NOCASE',
        (schema, part, step.table),
    )
    return [row[0] for row in rows]


def referring_columns(step: Step, child: str) -> list[str]:
    rows = step.database.run(
        'SELECT "from" FROM pragma_foreign_key_list(?, ?) WHERE "table" = ? COLLATE NOCASE',
        (child, step.schema or "main", step.table),
    )
    return [row[0] for row in rows]


def stored_columns(step: Step, table: str) -> list[str]:
    """Return the columns that are not generated."""
    sql = "SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0"
    rows = step.database.run(sql, (table, step.schema or "main"))
    return [row[0] for row in rows]


def view_select(text: str) -> str:
    """Return the SELECT of a CREATE VIEW."""
    tokens = tokenize(text)
    return "".join(tokens[[token.upper() for token in tokens].index("AS") + 1 :])
