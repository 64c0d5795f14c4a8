"""Read PostgreSQL's catalog."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import (
    comment_clause,
    filled_in,
    postgresql_literal,
)
from alembic_toolkit.verbs.ask import ask_rows
from alembic_toolkit.verbs.kinds.constraint import (
    deferral,
    foreign_key_text,
    primary_text,
    unique_text,
)
from alembic_toolkit.verbs.scratch import (
    SCRATCH,
    SCRATCH_INDEX,
    plain_columns,
    scratch_schema,
    scratch_table,
)
from alembic_toolkit.verbs.values import HERE, Constraint, Database, Definition, Question, Step

RELATION = "SELECT relname FROM pg_class WHERE oid = to_regclass(:table)"
CONSTRAINT = (
    "SELECT contype FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name"
)
INDEX_OF_TABLE = (
    "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = to_regclass(:table) AND relname = :name"
)
PLAIN_QUESTIONS = {
    "table": f"{RELATION} AND relkind IN ('r', 'p', 'f')",
    "indexable": f"{RELATION} AND relkind IN ('r', 'p', 'f', 'm')",
    "relation": "SELECT to_regclass(:table)",  # without a catalog, planning takes half the time
    # ALTER TABLE RENAME takes them all: https://www.postgresql.org/docs/current/sql-altertable.html
    "renamable": RELATION,
    "sort": "SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'"
    " WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'"
    " ELSE 'table' END FROM pg_class WHERE oid = to_regclass(:table)",
    "view": "SELECT pg_get_viewdef(oid) FROM pg_class WHERE oid = to_regclass(:table)"
    " AND relkind = 'v'",
    "column": "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table)"
    " AND attname = :name AND attnum > 0 AND NOT attisdropped",
    "columns": "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute"
    " WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped",
    "constraint": CONSTRAINT,
    "constraint types": CONSTRAINT,
    "type": "SELECT 1 FROM pg_type WHERE oid = to_regtype(:table)",
    "enum": "SELECT 1 FROM pg_type WHERE oid = to_regtype(:table) AND typtype = 'e'",
    "label": "SELECT 1 FROM pg_enum WHERE enumtypid = to_regtype(:table) AND enumlabel = :name",
    "index": INDEX_OF_TABLE,
    # where the search path finds a table, it finds an index of its schema, or what hides that
    "named index": "SELECT to_regclass(:index)",
    "invalid": f"{INDEX_OF_TABLE} AND NOT indisvalid",
    "of type": "",
    "primary": "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'p'",
    "unnamed": "SELECT 1 FROM pg_constraint AS k WHERE conrelid = to_regclass(:table)"
    " AND contype = '{type}' AND (SELECT string_agg(a.attname, ',' ORDER BY u.position)"
    " FROM unnest(k.conkey) WITH ORDINALITY AS u (number, position)"
    " JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number) = :name",
    "partitions": "SELECT array_agg(p.relname::text ORDER BY p.oid) FROM pg_class AS c"
    " LEFT JOIN pg_inherits AS i ON i.inhparent = c.oid LEFT JOIN pg_class AS p"
    " ON p.oid = i.inhrelid WHERE c.oid = to_regclass(:table) AND c.relkind IN ('p', 'I')"
    " GROUP BY c.oid",
    "table comment": "SELECT description FROM pg_description WHERE objoid = to_regclass(:table)"
    " AND classoid = 'pg_class'::regclass AND objsubid = 0",
    "validity": "SELECT CASE WHEN jsonb_extract_path_text(to_jsonb(k), 'conenforced') = 'false'"
    " THEN 'NOT ENFORCED' WHEN convalidated THEN 'valid' ELSE 'NOT VALID' END"
    " FROM pg_constraint AS k WHERE conrelid = to_regclass(:table) AND conname = :name",
    "labels": "SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e"
    " WHERE e.enumtypid = to_regtype(:table) GROUP BY e.enumtypid",
    # the object with the new name beside the old one, or, without an old one, on the whole path
    "renamed": "SELECT relname FROM pg_class WHERE oid = coalesce((SELECT c.oid FROM pg_class AS o"
    " JOIN pg_class AS c ON c.relnamespace = o.relnamespace"
    " WHERE o.oid = to_regclass(:table) AND c.relname = :name),"
    " CASE WHEN to_regclass(:table) IS NULL THEN to_regclass(:index)::oid END)",
    # why no permanent object can be created through the search path
    "place": "SELECT CASE WHEN current_schema() IS NULL THEN 'none'"
    " WHEN starts_with(current_schema()::text, 'pg_temp_') THEN 'temporary'"
    " WHEN to_regclass(quote_ident(:name))::oid"
    " = to_regclass('pg_temp.' || quote_ident(:name))::oid THEN 'hidden' END",
}
QUESTIONS = {what: pinned(sql) for what, sql in PLAIN_QUESTIONS.items()}
# An index is created in the schema of its table.
QUESTIONS["sort beside"] = QUESTIONS["sort"].replace(
    pinned("to_regclass(:table)"),
    pinned(
        "(SELECT o.oid FROM pg_class AS o WHERE o.relname = :name AND o.relnamespace ="
        " (SELECT t.relnamespace FROM pg_class AS t WHERE t.oid = to_regclass(:table)))"
    ),
)
# https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH
SCHEMA_HERE = pinned("quote_ident(current_schema()::text) || '.' || ")


# The same as expressions without a catalog, and their answers: planning takes longer than running.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-OBJECT
SORT = "(pg_identify_object('pg_class'::regclass, to_regclass(:table), 0)).type"
TABLES = {"table", "foreign table"}
EXPRESSIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "table": (SORT, TABLES.__contains__),
    "indexable": (SORT, {*TABLES, "materialized view"}.__contains__),
    "relation": ("to_regclass(:table)", bool),
    "named index": ("to_regclass(:index)", bool),
    "constraint": (f"({CONSTRAINT})", bool),
    "constraint types": (f"({CONSTRAINT})", bool),
    "place": (PLAIN_QUESTIONS["place"].removeprefix("SELECT "), bool),
    "column": (  # a system column has a number below 0
        "(SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass(:table)"
        " AND attname = :name)",
        lambda number: number is not None and number > 0,
    ),
}
ANSWERS = {what: f"({sql} LIMIT 1)" for what, sql in QUESTIONS.items() if sql}
ANSWERS |= {what: pinned(sql) for what, (sql, _) in EXPRESSIONS.items()}


def answer(database: Database, questions: Sequence[Question]) -> list[Any]:
    asked = [
        filled_in(ANSWERS.get(one[0], ANSWERS["table"]), placeholders(database, one))
        for one in questions
    ]
    found = database.rows(f"SELECT {', '.join(asked)}")[0]
    return [read(one[0], value) for one, value in zip(questions, found, strict=True)]


def read(what: str, found: Any) -> Any:
    """Return the answer to a question; None if there is no such thing."""
    if what not in EXPRESSIONS:
        return found
    return found if EXPRESSIONS[what][1](found) else None


def placeholders(database: Database, question: Question) -> dict[str, str]:
    """Return a table, an index beside it, and a name, as literals."""
    _, table, name, schema = question
    here, short = SCHEMA_HERE if schema == HERE else "", database.truncated(name)
    return {
        "table": f"{here}{postgresql_literal(database.quoted(table, schema))}",
        "index": f"{here}{postgresql_literal(database.quoted(short, schema))}",
        "name": postgresql_literal(short),
    }


# A column can be NOT NULL for new rows only: https://www.postgresql.org/docs/18/release-18.html
OF_NEW_ROWS = (18,)
NULLABILITY = """CASE WHEN NOT a.attnotnull THEN 'NULL'
            WHEN EXISTS (SELECT 1 FROM pg_constraint AS n WHERE n.conrelid = a.attrelid
                         AND n.contype = 'n' AND n.conkey[1] = a.attnum AND NOT n.convalidated)
            THEN 'NOT NULL NOT VALID' ELSE 'NOT NULL' END AS "null\""""
PLAIN_COLUMNS = f"""
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       {NULLABILITY},
       CASE WHEN a.attgenerated = ''
            THEN 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END AS "default",
       'COLLATE ' || quote_ident(c.collname) AS "collate",
       CASE WHEN a.attgenerated <> ''
            THEN 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') '
                 || CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END END AS computed,
       CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                          WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END AS identity,
       'START WITH ' || s.seqstart AS "start", 'INCREMENT BY ' || s.seqincrement AS increment,
       'MINVALUE ' || s.seqmin AS minvalue, 'MAXVALUE ' || s.seqmax AS maxvalue,
       'CACHE ' || s.seqcache AS cache,
       CASE s.seqcycle WHEN true THEN 'CYCLE' WHEN false THEN 'NO CYCLE' END AS cycle,
       (SELECT description FROM pg_description WHERE objoid = a.attrelid
        AND classoid = 'pg_class'::regclass AND objsubid = a.attnum) AS comment
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation AS c ON c.oid = a.attcollation AND a.attcollation <> t.typcollation
LEFT JOIN pg_depend AS o ON o.refobjid = a.attrelid AND o.refobjsubid = a.attnum
 AND o.refclassid = 'pg_class'::regclass AND o.classid = 'pg_class'::regclass AND o.deptype = 'i'
LEFT JOIN pg_sequence AS s ON s.seqrelid = o.objid
WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
COLUMN_KEYS = re.findall(r' AS "?(\w+)"?(?=,|\nFROM)', PLAIN_COLUMNS)
COLUMNS = pinned(PLAIN_COLUMNS)
# All facts about an ordinary column: planning this query takes a quarter of the time.
# The collations are none, and "default".
PLAIN_ORDINARY_COLUMN = f"""
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       {NULLABILITY},
       'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) AS "default",
       (SELECT description FROM pg_description WHERE objoid = a.attrelid
        AND classoid = 'pg_class'::regclass AND objsubid = a.attnum) AS comment,
       {SORT} AS sort,
       a.attgenerated = '' AND a.attidentity = ''
       AND a.attcollation IN (0, 100) AS is_ordinary
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass(:table) AND a.attname = :name
AND a.attnum > 0 AND NOT a.attisdropped
"""
ORDINARY_COLUMN = pinned(PLAIN_ORDINARY_COLUMN)
OLD_NULLABILITY = """CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END AS "null\""""
OLD_ORDINARY_COLUMN = pinned(PLAIN_ORDINARY_COLUMN.replace(NULLABILITY, OLD_NULLABILITY))


def columns(database: Database, table: str, schema: str | None) -> dict[str, Definition]:
    rows = ask_rows(database, COLUMNS, ("columns", table, "", schema))
    return {row["name"]: define_column(row) for row in rows}


def column(database: Database, table: str, name: str, schema: str | None) -> Definition | None:
    is_old = (database.dialect.server_version_info or OF_NEW_ROWS) < OF_NEW_ROWS
    sql = OLD_ORDINARY_COLUMN if is_old else ORDINARY_COLUMN
    rows = ask_rows(database, sql, ("column", table, name, schema))
    if not rows:
        return None
    row = rows[0]
    sort, is_ordinary = row.pop("sort"), row.pop("is_ordinary")
    of = {"table": "", "foreign table": "", "view": "of a view"}.get(sort, "of no table")
    if is_ordinary:
        return define_column(dict.fromkeys(COLUMN_KEYS) | row) | {"of": of}
    return columns(database, table, schema)[row["name"]] | {"of": of}


def define_column(row: dict[str, Any]) -> Definition:
    definition = {key: row[key] or "" for key in row if key != "name"}
    definition["default"] = canonical_default(definition["default"], definition["type"])
    definition["comment"] = comment_clause(definition["comment"])
    return definition


def canonical_default(text: str, type_: str) -> str:
    """Return one spelling for ``0``, ``'0'::bigint`` and ``('-0'::integer)::bigint``."""
    constant = r"DEFAULT [(]*(-?[\d.]+|'(?:[^']|'')*'|true|false)((?:::[\w \"().,]+|[)])*)"
    match = re.fullmatch(constant, text)
    if match is None:
        return text
    value, bare = match[1], match[1].strip("'")
    if type_ == "boolean" and bare in ("t", "true", "f", "false"):
        return f"DEFAULT {'true' if bare[0] == 't' else 'false'}"
    is_number = re.match("smallint|integer|bigint|numeric|real|double|money", type_)
    return f"DEFAULT {bare if is_number else value}"


# Columns missing on older servers are read from the row as JSON.
CONSTRAINTS = pinned("""
SELECT k.conname AS name, k.contype::text AS type, pg_get_expr(k.conbin, k.conrelid) AS "check",
       pg_get_constraintdef(k.oid) LIKE 'UNIQUE NULLS NOT DISTINCT%' AS nulls_not_distinct,
       CASE WHEN k.contype = 'c' AND k.connoinherit THEN ' NO INHERIT' ELSE '' END
       || CASE WHEN jsonb_extract_path_text(to_jsonb(k), 'conenforced') = 'false'
               THEN ' NOT ENFORCED'
               WHEN NOT k.convalidated THEN ' NOT VALID' ELSE '' END AS state,
       CASE WHEN k.contype = 'x' THEN pg_get_constraintdef(k.oid) END AS exclusion,
       jsonb_extract_path_text(to_jsonb(k), 'conperiod') = 'true' AS is_temporal,
       ARRAY(SELECT a.attname FROM pg_index AS i
             CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS u (number, position)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
             WHERE i.indexrelid = k.conindid AND u.position > i.indnkeyatts
             AND k.contype IN ('p', 'u')
             ORDER BY u.position)::text[] AS include,
       substring(pg_get_constraintdef(k.oid)
                 FROM ' ON DELETE SET [A-Z]+( [(][^)]*[)])') AS of_columns,
       k.confmatchtype = 'f' AS matches_full,
       ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS u (number, position)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
             ORDER BY u.position)::text[] AS columns,
       ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY AS u (number, position)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.number
             ORDER BY u.position)::text[] AS referred_columns,
       r.relname AS referred_table,
       CASE WHEN NOT pg_table_is_visible(r.oid) THEN n.nspname END AS referred_schema,
       k.confupdtype::text AS onupdate, k.confdeltype::text AS ondelete,
       k.condeferrable AS deferrable, k.condeferred AS deferred
FROM pg_constraint AS k
LEFT JOIN pg_class AS r ON r.oid = k.confrelid
LEFT JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE k.conrelid = to_regclass(:table) AND k.contype IN ('p', 'u', 'c', 'f', 'x')
ORDER BY k.conname
""")
ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def constraints(database: Database, table: str, schema: str | None) -> list[Constraint]:
    rows = ask_rows(database, CONSTRAINTS, ("constraints", table, "", schema))
    return [(row["name"], *define_constraint(database, row)) for row in rows]


def define_constraint(database: Database, row: dict[str, Any]) -> tuple[str, str]:
    """Return the type of a constraint as Alembic calls it, and its definition."""
    match row["type"]:
        case "p" | "u":
            options = {f"postgresql_{key}": row[key] for key in ("nulls_not_distinct", "include")}
            names, later = row["columns"], deferral(row["deferrable"], row["deferred"])
            if row["is_temporal"]:
                names = [*names[:-1], f"{names[-1]} WITHOUT OVERLAPS"]
            if row["type"] == "p":
                return "primary", primary_text(names, options) + later
            return "unique", unique_text(names, options) + later
        case "x":
            return "exclude", row["exclusion"]
        case "c":
            return "check", f"CHECK ({row['check']}){row['state']}"
    options = {
        "onupdate": ACTIONS[row["onupdate"]],
        "ondelete": ACTIONS[row["ondelete"]] + (row["of_columns"] or ""),
        "deferrable": row["deferrable"],
        "initially": "DEFERRED" if row["deferred"] else None,
        "match": "FULL" if row["matches_full"] else None,
    }
    key = row | {"constrained_columns": row["columns"], "options": options}
    return "foreignkey", foreign_key_text(database, key) + row["state"]


# "constraint" is a subquery with both columns because the catalog has no index on conindid alone
INDEX = """
SELECT t.relname AS "table", i.indexrelid AS oid, i.indisunique AS "unique", i.indisvalid AS valid,
       (SELECT k.conname FROM pg_constraint AS k WHERE k.conrelid = i.indrelid
        AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) AS "constraint",
       CASE WHEN NOT pg_table_is_visible(c.oid)
            THEN (SELECT nspname FROM pg_namespace WHERE oid = c.relnamespace) END AS hidden_in
FROM pg_class AS c
JOIN pg_index AS i ON i.indexrelid = c.oid
JOIN pg_class AS t ON t.oid = i.indrelid
WHERE """
INDEX_NAMED = pinned(f"{INDEX} c.oid = to_regclass(:index)")
INDEX_ON = pinned(
    f"{INDEX} c.relname = :name AND c.relnamespace ="
    " (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table))"
)
# All facts about most indexes: on that table, valid, and not of a constraint.
ORDINARY_INDEX = pinned("""
SELECT indexrelid AS oid, indrelid = to_regclass(:table) AND indisvalid
       AND NOT (indisunique OR indisexclusion) AS is_ordinary
FROM pg_index WHERE indexrelid = to_regclass(:index)
""")


def index(
    database: Database, table: str | None, name: str, schema: str | None
) -> Definition | None:
    """Check without ``pg_get_indexdef``, which waits for sessions that alter the table."""
    question = ("index", table or "", name, schema)
    ordinary = ask_rows(database, ORDINARY_INDEX, question) if table else []
    if table and ordinary and ordinary[0]["is_ordinary"]:
        on, oid = database.truncated(table), ordinary[0]["oid"]
        return {"table": f"ON {on}", "definition": "", "oid": str(oid)}
    rows = ask_rows(database, INDEX_ON if table else INDEX_NAMED, question)
    if not rows:
        return None
    row = rows[0]
    found = {"table": f"ON {row['table']}", "definition": "UNIQUE " if row["unique"] else ""}
    found |= {} if row["valid"] else {"invalid": "INVALID"}
    found |= {key: row[key] for key in ("constraint", "hidden_in") if row[key]}
    return found | {"oid": str(row["oid"])}


def index_defined(database: Database, found: Definition) -> Definition:
    """Return an index with its definition, as the server writes it."""
    sql = str(database.run(f"SELECT pg_catalog.pg_get_indexdef({found['oid']})").scalar())
    _, method = sql.split(" USING ", 1)
    kept = {key: value for key, value in found.items() if key not in ("oid", "hidden_in")}
    return kept | {"definition": f"{found['definition']}USING {method}"}


def index_text(step: Step) -> str:
    """Let the server write the wanted index, created on a scratch table with the same columns."""
    operation = copy.copy(step.operation)
    operation.index_name, operation.table_name = sa.schema.conv(SCRATCH_INDEX), SCRATCH
    operation.schema = scratch_schema(step)
    operation.kw = {k: v for k, v in operation.kw.items() if k != "postgresql_concurrently"}
    with scratch_table(step, *plain_columns(step)):
        step.operations.impl.create_index(operation.to_index(step.context))
        found = index(step.database, None, SCRATCH_INDEX, "pg_temp")
        assert found is not None
        return index_defined(step.database, found)["definition"]


def hidden_schema(database: Database, schema: str, table: str) -> str | None:
    """Return the schema by which a table must be named; None if the search path finds it."""
    short = postgresql_literal(database.quoted(table))
    long = postgresql_literal(database.quoted(table, schema))
    same = pinned("SELECT to_regclass(:short) = to_regclass(:long)")
    found, _ = database.fetch(filled_in(same, {"short": short, "long": long}))
    return None if found[0][0] else schema
