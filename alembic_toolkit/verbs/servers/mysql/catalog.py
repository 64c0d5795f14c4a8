"""Read the catalogs of MariaDB and MySQL, and SHOW CREATE TABLE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.database.errors import is_refusal, is_unknown
from alembic_toolkit.database.servers import is_mariadb
from alembic_toolkit.sql.create_table import kind_of
from alembic_toolkit.sql.quoting import comment_clause, in_parentheses
from alembic_toolkit.sql.show_create import (
    Column,
    parse_show_create,
    read_column,
    read_part,
    with_doubled_quotes,
    with_lost_characters,
)
from alembic_toolkit.verbs.ask import ask, ask_in_one, ask_rows
from alembic_toolkit.verbs.kinds.constraint import describe_clause
from alembic_toolkit.verbs.kinds.index import compiled_index_text
from alembic_toolkit.verbs.require import refuse_temporary
from alembic_toolkit.verbs.scratch import (
    SCRATCH,
    SCRATCH_KEY,
    NoScratch,
    plain_columns,
    scratch_table,
)
from alembic_toolkit.verbs.servers.mysql.keys import index_clause, with_clauses
from alembic_toolkit.verbs.values import Constraint, Database, Definition, Question, Step

OF_TABLE = "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
QUESTIONS = {
    "table": f"SELECT table_name FROM information_schema.tables {OF_TABLE}"
    " AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
    "relation": f"SELECT table_name FROM information_schema.tables {OF_TABLE}",
    "renamed": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name",
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


def kept_comment(text: str) -> str:
    """Return a comment with a question mark for each character the catalog cannot store.

    It has three bytes for a character, whatever the tables have:
    https://dev.mysql.com/doc/refman/8.4/en/charset-metadata.html
    """
    return "".join(letter if letter <= "\uffff" else "?" for letter in text)


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    """Answer several questions, without asking for impossible names."""
    possible = [q for q in questions if not is_impossible(f"{q[1]}{q[2]}{q[3] or ''}")]
    if (shown := answer_from_text(database, possible)) is not None:
        return [shown.get(question) for question in questions]
    found = ask_in_one(database, possible, QUESTIONS) if possible else []
    pairs = zip(possible, found, strict=True)
    answers = iter(
        [one if is_of_name(database, question, one) else None for question, one in pairs]
    )
    return [next(answers) if question in possible else None for question in questions]


def is_of_name(database: Database, question: Question, found: Any) -> bool:
    """Tell whether the object that was found has the name that was asked for.

    MariaDB ignores accents when it compares names in its catalog, but allows both names.
    """
    fold = database.case_folded
    is_name = question[0] in ("column", "named index") and isinstance(found, str)
    return not is_name or fold(found) == fold(question[2])


# SHOW CREATE TABLE answers these as well. For columns, the catalog takes ten times as long.
IN_TEXT = {kind: kind for kind in ("table", "column", "named index", "primary")}
IN_TEXT |= dict.fromkeys(("constraint", "constraint types"), "constraint types")


def answer_from_text(
    database: Database, questions: Sequence[Question]
) -> dict[Question, str | None] | None:
    """Answer questions about one table from its text; None if only the catalog can tell.

    The server treats ``e`` and ``é`` in names as equal; this function does not.
    """
    asked = {q: IN_TEXT.get(q[0] if q[0] in QUESTIONS else "table", "") for q in questions}
    is_one = len({(table, schema) for _, table, _, schema in questions}) == 1
    if not is_one or not all(asked.values()) or {*asked.values()} == {"table"}:
        return None
    if not all(f"{table}{name}".isascii() for _, table, name, _ in questions):
        return None
    try:
        text = show_create(database, questions[0][1], questions[0][3])
    except sa.exc.DBAPIError as error:
        if not is_refusal(error):
            raise
        return dict.fromkeys(questions) if is_unknown(error) else None
    if not text.startswith("CREATE TABLE") or " SEQUENCE=1" in text:
        return None
    things = things_in(items_of(text))
    things |= {("table", q[2].lower()): q[1] for q in questions}
    return {q: things.get((kind, q[2].lower())) for q, kind in asked.items()}


def things_in(items: list[str]) -> dict[tuple[str, str], str]:
    """Return the objects of a table, by the kind of question and the name in lower case."""
    found: dict[tuple[str, str], str] = {}
    constraints: list[tuple[str, str]] = []
    for item in items:
        kind, name, _ = read_part(item)
        if kind == "column":
            found["column", name.lower()] = name
            if "CHECK" in item and read_column(item).check:
                constraints.append((name, "CHECK"))
        elif kind == "primary key":
            found["primary", ""] = "1"
            constraints.append(("PRIMARY", "PRIMARY KEY"))
        elif kind != "index":
            constraints.append((name, kind.upper()))
        if kind in ("index", "unique", "primary key"):
            found["named index", (name or "PRIMARY").lower()] = name or "PRIMARY"
    for name, type_ in sorted(constraints, key=lambda one: ORDER.index(one[1])):
        before = found.get(("constraint types", name.lower()))
        found["constraint types", name.lower()] = f"{before},{type_}" if before else type_
    return found


ORDER = ["PRIMARY KEY", "UNIQUE", "CHECK", "FOREIGN KEY", ""]  # the catalog's order


def placeholders(database: Database, question: Question) -> dict[str, str]:
    _, table, name, schema = question
    named = {"table": database.literal(table), "name": database.literal(name)}
    return named | {"schema": database.literal(schema) if schema else "NULL"}


def has_escapes(dialect: sa.Dialect) -> bool:
    """Tell whether a backslash is an escape, by the sql_mode that the engine found."""
    return bool(getattr(dialect, "_backslash_escapes", True))


def is_impossible(name: str) -> bool:
    """Tell whether no object can have this name: https://mariadb.com/kb/en/identifier-names/"""
    return any(ord(char) > 0xFFFF for char in name)


# InnoDB's prefix of a TEXT column without a length: 3072 bytes, by the width of a character
WHOLE = (None, 768, 1024, 3072)


def index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    """Check whether it exists; its definition takes longer to query: `index_defined`."""
    if not table or is_impossible(f"{table}{name}{schema or ''}"):
        return None
    question: Question = ("named index", table, name, schema)
    shown = answer_from_text(database, [question])
    if shown is None:
        return index_in_catalog(database, table, name, schema)
    if shown[question] is None or name.upper() == "PRIMARY":
        return None
    return {"table": f"ON {table}", "name": name, "schema": schema or "", "definition": ""}


def index_defined(database: Database, found: Definition) -> Definition:
    """Return an index that was found with its definition."""
    if "name" not in found:
        return found
    table, name = found["table"].removeprefix("ON "), found["name"]
    defined = index_in_catalog(database, table, name, found["schema"] or None)
    return found if defined is None else defined


def index_in_catalog(
    database: Database, table: str, name: str, schema: str | None
) -> Definition | None:
    found = ask_rows(database, QUESTIONS["index"], ("index", table, name, schema))
    rows = [{key.lower(): value for key, value in row.items()} for row in found]
    question = ("named index", table, name, schema)
    rows = [row for row in rows if is_of_name(database, question, row["index_name"])]
    if not rows or name.upper() == "PRIMARY":
        return None
    if any(row.get("expression") for row in rows):
        return index_in(table_items(database, table, schema), table, name)
    parts = [
        (database.quoted_if_needed(row["column_name"]) or f"({row.get('expression')})")
        + (f"({row['sub_part']})" if row["sub_part"] not in WHOLE else "")
        + (" DESC" if row["collation"] == "D" else "")
        for row in sorted(rows, key=lambda row: int(row["seq_in_index"]))
    ]
    prefix = {0: "UNIQUE "}.get(int(rows[0]["non_unique"]), "")
    prefix = {"FULLTEXT": "FULLTEXT ", "SPATIAL": "SPATIAL "}.get(rows[0]["index_type"], prefix)
    return {"table": f"ON {table}", "definition": prefix + in_parentheses(parts)}


def index_in(items: list[str], table: str, name: str) -> Definition | None:
    """Return an index as in SHOW CREATE TABLE, where expressions are as written.

    In the catalog, their strings have another character set, and are escaped once more.
    """
    for part in map(read_part, items):
        if part.kind in ("index", "unique") and part.name.lower() == name.lower():
            prefix = "UNIQUE " if part.kind == "unique" else ""
            return {"table": f"ON {table}", "definition": prefix + part.text}
    return None


def index_text(step: Step) -> str:
    """Return the index as the server shows it: no method, no prefix of the whole column's length.

    Only the server knows how it writes an expression.
    https://dev.mysql.com/doc/refman/8.4/en/create-index.html#create-index-functional-key-parts
    """
    is_plain = all(isinstance(e, sa.Column) for e in step.wanted.expressions)
    if not is_plain and not is_mariadb(step.database.dialect):
        return made_index_text(step)
    text = re.sub(r" USING \w+$", "", compiled_index_text(step))
    for name, column in columns(step.database, step.table, step.schema).items():
        if whole := re.search(r"char\((\d+)\)", column["type"]):
            text = re.sub(rf"(`?{re.escape(name)}`?)\({whole[1]}\)", r"\1", text)
    return text


def made_index_text(step: Step) -> str:
    """Return the server's form of an index on expressions."""
    columns, name = plain_columns(step), str(step.name)
    try:
        with with_clauses(step, [index_clause(step, step.wanted)]), scratch_table(step, *columns):
            items = table_items(step.database, SCRATCH, step.server.scratch_schema)
    except sa.exc.DBAPIError as error:  # an impossible index fails later, on the real table
        raise NoScratch from error
    found = index_in(items, step.table, name)
    return found["definition"] if found is not None else compiled_index_text(step)


def table_defaults(step: Step) -> dict[str, Any]:
    """Return the option that sets the collation of columns without one."""
    if not step.table:
        return {}
    found = ask(step.database, "collation", step.table, "", step.schema)
    return {f"{step.database.dialect.name}_collate": found} if found else {}


def table_items(database: Database, table: str, schema: str | None) -> list[str]:
    text = show_create(database, table, schema)
    if text.upper().startswith("CREATE TEMPORARY") and table != SCRATCH:
        refuse_temporary(f"table {table!r}", table)
    items = items_of(text)
    return [item for item in items if SCRATCH_KEY not in item] if table == SCRATCH else items


EXPRESSIONS = (
    f"SELECT generation_expression AS text FROM information_schema.columns {OF_TABLE}"
    f" UNION SELECT column_default FROM information_schema.columns {OF_TABLE}"
    f" UNION SELECT expression FROM information_schema.statistics {OF_TABLE}"
    " UNION SELECT c.check_clause FROM information_schema.check_constraints AS c"
    " JOIN information_schema.table_constraints AS k"
    " ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name"
    " WHERE k.table_schema = COALESCE(:schema, DATABASE()) AND k.table_name = :table"
)


def items_to_write(step: Step) -> list[str]:
    """Return a table's items for writing them back, with all of their characters.

    They must not be compared: for a scratch table MySQL has only what SHOW CREATE TABLE shows.
    """
    items = table_items(step.database, step.table, step.schema)
    if is_mariadb(step.database.dialect) or not any("????" in item for item in items):
        return items
    rows = ask_rows(step.database, EXPRESSIONS, step.question("expressions"))
    texts = [str(next(iter(row.values()))) for row in rows]
    return [with_lost_characters(item, texts) for item in items]


def show_create(database: Database, table: str, schema: str | None) -> str:
    """Query the text of a table once for each verb, until it acts."""
    sql = f"SHOW CREATE TABLE {database.quoted(table, schema)}"
    if sql not in database.read:
        text = str(database.rows(sql)[0][1])
        if table == SCRATCH:
            return text
        database.read[sql] = text
    return str(database.read[sql])


@lru_cache(maxsize=4)
def _items_of(text: str) -> tuple[str, ...]:
    return tuple(with_doubled_quotes(item) for item in parse_show_create(text).items)


def items_of(text: str) -> list[str]:
    return [*_items_of(text)]


def columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    """Read the columns from SHOW CREATE TABLE, which also works for temporary tables."""
    items = [(read_part(item), item) for item in table_items(database, table, schema)]
    return {part.name: define_column(item) for part, item in items if part.kind == "column"}


# With SQLAlchemy, MySQL stores now(), 0.5 and -1 as expressions, which are equal to the values:
# https://dev.mysql.com/doc/refman/8.4/en/timestamp-initialization.html
MOMENT = re.compile(r"(?i)^DEFAULT \((?:now|current_timestamp)\((\d*)\)\)")
NUMBER = re.compile(r"^DEFAULT \((-?)\(?(\d+(?:\.\d+)?)\)?\)$")


def moment(found: re.Match[str]) -> str:
    return "DEFAULT CURRENT_TIMESTAMP" + (f"({found[1]})" if found[1] not in ("", "0") else "")


def plain_default(column: Column) -> str:
    """Return a column's default, with a value as the server writes it for the column's type."""
    if (found := NUMBER.match(column.default)) is None:
        return MOMENT.sub(moment, column.default)
    places = re.match(r"decimal\(\d+,(\d+)\)", column.type)
    number = f"{Decimal(found[2]):.{places[1]}f}" if places else found[2]
    return f"DEFAULT '{found[1]}{number}'"


def define_column(item: str) -> Definition:
    column = read_column(item)
    return {
        "type": column.type,
        "null": column.null,
        "default": "AUTO_INCREMENT" if column.counts else plain_default(column),
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
            if kind == "check" and item.endswith(" NOT ENFORCED"):
                text += " NOT ENFORCED"
            found.append((part.name if kind == "unique" else name, kind, text))
    return found


def users(step: Step) -> dict[str, tuple[str, str]]:
    """Return the text of each view, and a statement that reads it. A trigger's body tells nothing.

    A view whose table is gone stays: https://mariadb.com/kb/en/drop-table/
    First it asks whether there are any: to read their texts, MariaDB opens every table.
    """
    place = f" FROM {step.database.quoted(step.schema)}" if step.schema else ""
    if not step.database.fetch(f"SHOW FULL TABLES{place} WHERE Table_type = 'VIEW'")[0]:
        return {}
    query = (
        "SELECT table_name AS name, view_definition AS text FROM information_schema.views"
        " WHERE table_schema = COALESCE(:schema, DATABASE())"
    )
    return {
        f"view {row['name']}": (
            row["text"],
            f"SELECT * FROM {step.database.quoted(row['name'], step.schema)} LIMIT 0",
        )
        for row in ask_rows(step.database, query, step.question("view"))
    }
