"""Read SQLite's catalog and the texts of its tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.create_table import (
    TableText,
    column_name,
    first_word,
    index_definition,
    is_column,
    kind_of,
    parse_create_table,
    split_clauses,
    split_name,
)
from alembic_toolkit.sql.quoting import filled_in, literal
from alembic_toolkit.sql.tokens import closing_parenthesis, names_in, tokenize, unquoted
from alembic_toolkit.verbs.ask import ask, ask_in_one, fill_placeholders
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.kinds.constraint import describe_clause, parse_reference
from alembic_toolkit.verbs.values import Constraint, Database, Definition, Question, Step

# sqlite_master has no index: it is read only for names that a pragma knows
IF_KNOWN = "(SELECT 1 WHERE EXISTS (SELECT 1 FROM pragma_table_xinfo(:table, :schema))) CROSS JOIN "
NAMED = f"{IF_KNOWN}:database.sqlite_master WHERE name = :table COLLATE NOCASE AND type"
INDEX = (
    "(SELECT 1 WHERE EXISTS (SELECT 1 FROM pragma_index_xinfo(:name, :schema)))"
    " CROSS JOIN :database.sqlite_master"
    " WHERE type = 'index' AND name = :name COLLATE NOCASE AND sql IS NOT NULL"
)
QUESTIONS = {
    "table": f"SELECT name FROM {NAMED} = 'table'",
    "sql": f"SELECT sql FROM {NAMED} = 'table'",
    "relation": f"SELECT name FROM {NAMED} IN ('table', 'view')",
    "renamed": f"SELECT name FROM {NAMED} IN ('table', 'view')".replace(":table", ":name"),
    "sort": "SELECT CASE WHEN sql LIKE 'CREATE VIRTUAL %' THEN 'virtual table' ELSE type END"
    f" FROM {NAMED} IN ('table', 'view')",
    "view": f"SELECT sql FROM {NAMED} = 'view'",
    "column": "SELECT name FROM pragma_table_xinfo(:table, :schema)"
    " WHERE name = :name COLLATE NOCASE AND hidden <> 1",
    "primary": "SELECT 1 FROM pragma_table_xinfo(:table, :schema) WHERE pk > 0",
    "named index": f"SELECT name FROM {INDEX}",
}
QUESTIONS["constraint"] = QUESTIONS["sql"]  # searched in the table's text
UNGUARDED = {what: sql.replace(IF_KNOWN, "") for what, sql in QUESTIONS.items()}
HIDDEN = "alembic_helpers: tables of this session"  # the key in Connection.info for their names


def fold(name: str) -> str:
    """Return the name in lower case; SQLite folds only ASCII letters.

    https://www.sqlite.org/datatype3.html#collation
    """
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    existing = {schema: has_schema(database, schema) for *_, schema in questions}
    possible = [question for question in questions if existing[question[3]]]
    try:
        answers = iter(answer_all(database, possible, QUESTIONS))
    except sa.exc.OperationalError:  # a view on a missing table has no known columns
        answers = iter(answer_all(database, possible, UNGUARDED))
    found = [next(answers) if existing[schema] else None for *_, schema in questions]
    return [
        type_within(database, text, question[2]) if question[0] == "constraint" else text
        for question, text in zip(questions, found, strict=True)
    ]


def type_within(database: Database, sql: str | None, name: str) -> str | None:
    """Return the type of the constraint with this name in a table's text."""
    fold = database.case_folded
    found = constraints_within(database, items_of(sql))
    return next((kind for own, kind, _ in found if own and fold(own) == fold(name)), None)


def answer_all(
    database: Database, questions: Sequence[Question], catalog: dict[str, str]
) -> list[Any]:
    """Answer several questions, and note which of their tables a temporary one hides."""
    tables = {table for _, table, _, schema in questions if not schema}
    listed = ", ".join(f"lower({literal(table)})" for table in sorted(tables))
    temporary = (
        "SELECT json_group_array(lower(name)) FROM temp.sqlite_master"
        f" WHERE lower(name) IN ({listed})"
    )
    *answers, found = ask_in_one(database, questions, catalog, temporary)
    hidden: set[str] = database.connection.info.setdefault(HIDDEN, set())
    hidden.difference_update(table.lower() for table in tables)
    hidden.update(json.loads(found))
    return answers


def placeholders(database: Database, question: Question) -> dict[str, str]:
    _, table, name, schema = question
    values = {"table": table, "name": name, "schema": schema or "main"}
    written = {key: literal(value) for key, value in values.items()}
    return written | {"database": database.quoted(schema or "main")}


def has_schema(database: Database, schema: str | None) -> bool:
    if not schema or schema in ("main", "temp"):
        return True
    attached = {row[1].lower() for row in database.run("PRAGMA database_list")}
    return str(schema).lower() in attached


def is_hidden(step: Step) -> bool:
    hidden: set[str] = step.database.connection.info.get(HIDDEN, set())
    return not step.schema and step.table.lower() in hidden


def columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    items = filter(is_column, table_items(database, table, schema))
    clauses = {column_name(item): clauses_without_pragma(item) for item in items}
    return {
        column["name"]: define_column(database, column) | clauses.get(column["name"].lower(), {})
        for column in reflected(database, table, schema)
    }


def reflected(database: Database, table: str, schema: str | None) -> list[dict[str, Any]]:
    """Return the pragma's answer: SQLAlchemy also parses the text, and fails on some comments."""
    dialect: Any = database.dialect
    rows = database.run(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?, ?)'
        " WHERE hidden <> 1 ORDER BY cid",
        (table, schema or "main"),
    )
    found = []
    for name, type_, is_required, default, place in rows:
        plain = re.sub(r"\s*\b(GENERATED|ALWAYS)\b", "", type_.upper())
        column = {"name": name, "type": dialect._resolve_type_affinity(plain), "default": default}
        found.append(column | {"nullable": not is_required, "primary_key": place})
    return found


def define_column(database: Database, column: dict[str, Any]) -> Definition:
    type_, default = column["type"], canonical_default(column["default"] or "")
    is_typed = not isinstance(type_, sa.types.NullType)
    return {
        "type": type_.compile(dialect=database.dialect) if is_typed else "",
        "null": "NULL" if column["nullable"] else "NOT NULL",
        "default": f"DEFAULT {default}" if default else "",
        "computed": "",
        "comment": "",
        "collate": "",
    }


def canonical_default(text: str) -> str:
    """Return one spelling for equivalent defaults, which SQLite stores as written."""
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    text = re.sub(r"^'(-?\d+(\.\d+)?)'$", r"\1", text)
    return {"true": "1", "false": "0", "null": ""}.get(text.lower(), text)


def clauses_without_pragma(item: str) -> Definition:
    """Describe column properties that no pragma shows: collation and computed expression."""
    found: Definition = {}
    for clause in split_clauses(item)[1:]:
        _, tokens = split_name(clause)
        word, end = tokens[0].upper(), closing_parenthesis(tokens)
        if word == "COLLATE" and unquoted(tokens[1]).upper() != "BINARY":
            found["collate"] = f"COLLATE {unquoted(tokens[1]).upper()}"
        if word in ("GENERATED", "AS"):
            expression = " ".join(tokens[tokens.index("(") : end + 1])
            stored = " STORED" if "STORED" in map(str.upper, tokens[end:]) else ""
            found["computed"] = f"GENERATED ALWAYS AS {expression}{stored}"
    return found


def table_text(step: Step) -> TableText:
    """Return the text of a table that is to be changed."""
    sql: str = ask(step.database, "sql", step.table, "", step.schema)
    require_ordinary(step, sql)
    return parse_create_table(sql)


def require_ordinary(step: Step, sql: str) -> None:
    """Refuse to change a virtual table."""
    if is_virtual(sql):
        stop(
            UnsafeOperation,
            f"{step.call}: {step.table!r} is a virtual table.",
            (" ".join(sql.split()), "an ordinary table"),
            "Stopped, because only the module behind a virtual table can change it.",
            f"helpers.execute('DROP TABLE {step.table}')  # then CREATE VIRTUAL TABLE again",
        )


def table_items(database: Database, table: str, schema: str | None) -> list[str]:
    """Return the columns and constraints in the text of a table; none of a virtual table."""
    return items_of(ask(database, "sql", table, "", schema))


def items_of(sql: str | None) -> list[str]:
    return [] if sql is None or is_virtual(sql) else parse_create_table(sql).items


def is_virtual(sql: str) -> bool:
    return re.match(r"\s*CREATE\s+VIRTUAL", sql, re.I) is not None


def clauses_of(items: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each constraint of a table, and each clause of a column with the column's name."""
    for item in items:
        if is_column(item):
            column = [unquoted(first_word(item))]
            yield from ((clause, column) for clause in split_clauses(item)[1:])
        else:
            yield item, []


def constraints(database: Database, table: str, schema: str | None) -> list[Constraint]:
    """Describe every constraint of a table, named or not, of the table or of one column."""
    return constraints_within(database, table_items(database, table, schema))


def constraints_within(database: Database, items: list[str]) -> list[Constraint]:
    return [
        describe_clause(database, clause, column)
        for clause, column in clauses_of(items)
        if kind_of(clause) is not None
    ]


def conventional(step: Step) -> str | None:
    """Return the type of an unnamed constraint that a batch's convention gives the step's name."""
    if step.batch.naming_convention is None:
        return None
    for clause, column in clauses_of(table_items(step.database, step.table, step.schema)):
        if name_by_convention(step, clause, column) == step.name:
            return kind_of(clause)
    return None


def name_by_convention(step: Step, clause: str, column: list[str]) -> str | None:
    """Return the name that a batch's naming convention gives an unnamed key.

    :param column: the name of the column whose clause it is; empty for a table's constraint.
    """
    name, tokens = split_name(clause)
    kind, convention = kind_of(clause), step.batch.naming_convention
    if name or convention is None or kind in (None, "check"):
        return None
    columns = column or names_in(tokens)
    made: sa.Constraint
    if kind == "foreignkey":
        key = parse_reference(step.database, tokens, columns)
        targets = [f"{key['referred_table']}.{referred}" for referred in key["referred_columns"]]
        made = sa.ForeignKeyConstraint(columns, targets)
    else:
        type_ = sa.UniqueConstraint if kind == "unique" else sa.PrimaryKeyConstraint
        made = type_(*columns)
    fields = (sa.Column(name, sa.types.NullType()) for name in columns)
    sa.Table(step.table, sa.MetaData(naming_convention=convention), *fields, made)
    return str(made.name) if made.name else None


def index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    if not has_schema(database, schema):
        return None
    sql = f"SELECT tbl_name, sql FROM {INDEX}"
    found, _ = database.fetch(fill_placeholders(database, sql, ("index", "", name, schema)))
    if not found:
        return None
    on, text = found[0]
    return {"table": f"ON {on}", "definition": index_definition(text)}


def view_select(text: str) -> str:
    """Return the SELECT of a CREATE VIEW."""
    tokens = tokenize(text)
    return "".join(tokens[[token.upper() for token in tokens].index("AS") + 1 :])


def master_table(step: Step) -> str:
    return step.database.quoted("sqlite_master", step.schema or "main")


def belongings_of(step: Step) -> list[tuple[str, str, str]]:
    """Return the indexes and triggers of a table: type, name, SQL."""
    rows = step.database.run(
        f"SELECT type, name, sql FROM {master_table(step)} WHERE tbl_name = ? COLLATE NOCASE"
        " AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, rowid",
        (step.table,),
    )
    return [(row[0], row[1], row[2]) for row in rows]


# Only tables whose text contains the name are inspected.
CHILDREN = (
    'SELECT m.name AS child, k."from" AS "column", m.rowid AS number FROM :master AS m'
    " CROSS JOIN pragma_foreign_key_list(m.name, :schema) AS k"
    " WHERE m.type = 'table' AND m.sql LIKE '%references%'"
    ' AND instr(lower(m.sql), lower(:part)) > 0 AND k."table" = :table COLLATE NOCASE'
)


def children_of(step: Step) -> dict[str, list[str]]:
    """Return the tables with a foreign key to this one, including itself: name -> key's columns."""
    names = {"table": step.table, "schema": step.schema or "main", "part": searched_name(step)}
    values = {key: literal(name) for key, name in names.items()} | {"master": master_table(step)}
    children: dict[str, list[str]] = {}
    for name, column, _ in step.database.fetch(filled_in(CHILDREN, values))[0]:
        children.setdefault(name, []).append(column)
    return children


def searched_name(step: Step) -> str:
    """Return the text that a table referring to this one must contain.

    A name with a quote in it is left out, because the text may spell it in two ways.
    """
    return "" if re.search(r'["`\'\]]', step.table) else step.table


def stored_columns(step: Step, table: str, *, generated: bool = False) -> list[str]:
    """Return the columns that are not generated, or all.

    https://www.sqlite.org/pragma.html#pragma_table_xinfo
    """
    kinds = "(0, 2, 3)" if generated else "(0)"
    sql = f"SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden IN {kinds}"
    return [row[0] for row in step.database.run(sql, (table, step.schema or "main"))]
