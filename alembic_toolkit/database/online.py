"""The command that alters a table of MariaDB or MySQL while others write.

It copies rows with INSERT IGNORE: what the server refuses of a row, it may change in silence.
https://docs.percona.com/percona-toolkit/pt-online-schema-change.html
"""

from __future__ import annotations

import re
import shlex

from sqlalchemy import Connection

from alembic_toolkit.database.copying import NAME, altered_parts, plain, schema_of
from alembic_toolkit.database.driver import run
from alembic_toolkit.sql.quoting import identifier, literal
from alembic_toolkit.sql.tokens import code_tokens, split_list, tokenize, unquoted

TOOL = "pt-online-schema-change"

# What the copy loses, or does not do.
_LOSES = (
    (
        r"\bUNIQUE\b",
        "loses rows for a unique key: add it in a statement of its own, without a copy",
    ),
    (
        r"\bRENAME\s+COLUMN\b",
        "loses the values of a renamed column: rename it in another statement",
    ),
    (r"\bRENAME\b(?!\s+(?:COLUMN|INDEX|KEY)\b)", "does not rename a table"),
    (
        r"\b(?:EXCHANGE|TRUNCATE|DISCARD|IMPORT|CONVERT|DROP)\s+(?:PARTITION|TABLE)\b",
        "does this to the empty copy",
    ),
)
_CHECKED = re.compile(r"\bDROP\s+PRIMARY\s+KEY\b", re.I)
_CHANGES = re.compile(rf"\s*CHANGE\s+(?:COLUMN\s+)?(?:IF\s+EXISTS\s+)?{NAME}\s+{NAME}\s", re.I)
_DROPS = re.compile(
    rf"(\bDROP\s+(?:FOREIGN\s+KEY|CONSTRAINT|CHECK)\s+(?:IF\s+EXISTS\s+)?){NAME}", re.I
)
_TYPED = re.compile(
    rf"\s*(?:MODIFY\s+(?:COLUMN\s+)?(?:IF\s+EXISTS\s+)?{NAME}"
    rf"|CHANGE\s+(?:COLUMN\s+)?(?:IF\s+EXISTS\s+)?{NAME}\s+{NAME})\s+(\w+)\s*(\(.*?\)(?=[^)]*$))?",
    re.I | re.S,
)
_LETTERS = {"CHAR", "VARCHAR", "NCHAR", "NVARCHAR"}
_BYTES = {"BINARY", "VARBINARY"}
_SIZES = {"TINY": 255, "": 65_535, "MEDIUM": 16_777_215}
_SIZED = {f"{size}{of}": most for size, most in _SIZES.items() for of in ("TEXT", "BLOB")}
_KINDS = {"SET", "DATE", "TIME", "DATETIME", "TIMESTAMP", "YEAR"}
_CUTS = (
    f"# {TOOL} changes values that do not fit, where the server refuses them: look for such first"
)
_NOTHING = "  # may find nothing: the next command would cut such values"

# Triggers, foreign keys to itself, keys without NULL, the database.
_FACTS = (
    "SELECT (SELECT COUNT(*) FROM information_schema.triggers"
    " WHERE event_object_schema = {schema} AND event_object_table = {name}),"
    " (SELECT COUNT(*) FROM information_schema.key_column_usage WHERE table_schema = {schema}"
    " AND table_name = {name} AND referenced_table_name = {name}),"
    " (SELECT COUNT(*) FROM (SELECT index_name FROM information_schema.statistics"
    " WHERE table_schema = {schema} AND table_name = {name} AND non_unique = 0"
    " GROUP BY index_name HAVING SUM(nullable = 'YES') = 0) AS k), DATABASE()"
)


def online(connection: Connection, sql: str) -> str:
    """Return the command that alters a table while others write, or a comment why it cannot.

    :return: empty if the statement alters no table.
    """
    name, text = altered_parts(sql)
    if not text:
        return ""
    schema, table = schema_of(name), plain(name)
    place = literal(schema) if schema else "DATABASE()"
    [facts] = run(connection, _FACTS.format(schema=place, name=literal(table)))
    triggers, itself, keys, current = facts
    if why := _why_not(text, table, bool(keys)):
        return f"# {TOOL} {why}"
    clauses = ["".join(part) for part in split_list(tokenize(text))]
    options = ["--alter-foreign-keys-method=auto"]
    options += ["--no-check-alter"] * any(map(_is_checked, clauses))
    options += ["--preserve-triggers"] * bool(triggers)
    options += ["--no-check-foreign-keys"] * bool(itself)
    database = "$DATABASE" if schema in ("", current) else shlex.quote(schema)
    quoted = shlex.quote(table.replace(",", "\\,"))
    alter = f'--alter "{_escaped(_DROPS.sub(_renamed, text))}"'
    command = f"{TOOL} {alter} {' '.join(options)} --execute D={database},t={quoted}"
    return "\n".join([*_looks(clauses, database, table), command])


def _why_not(text: str, table: str, has_key: bool) -> str:
    words = " ".join(token for token in code_tokens(text) if token[0] not in "'\"`")
    for pattern, why in _LOSES:
        if re.search(pattern, words, re.I):
            return why
    if not has_key:
        return "needs a primary key, or a unique key without NULL, which the table has not"
    is_odd = {*"'\\"} & {*table} or "``" in text
    return "cannot handle such a name" if is_odd else ""


def _is_checked(clause: str) -> bool:
    """Return whether the tool asks to be told that a clause is meant."""
    changes = _CHANGES.match(clause)
    is_renamed = changes and unquoted(changes[1]) != unquoted(changes[2])
    return bool(is_renamed or _CHECKED.search(clause))


def _renamed(match: re.Match[str]) -> str:
    """Return a clause with the name that a constraint has in the copy."""
    name = unquoted(match[2])
    new = name[2:] if name.startswith("__") else f"_{name}"
    return f"{match[1]}{identifier('`', new) if match[2] != name else new}"


def _looks(clauses: list[str], database: str, table: str) -> list[str]:
    """Return commands that look for the values that a copy would cut."""
    found = [_unfit(match) for match in map(_TYPED.match, clauses) if match]
    where = " OR ".join(filter(None, (condition for condition, _ in found)))
    lines = [_CUTS] * any(is_told for _, is_told in found)
    if where:
        query = f"SELECT * FROM {identifier('`', table)} WHERE {where} LIMIT 1"
        lines.append(f'mysql {database} -e "{_escaped(query)}"{_NOTHING}')
    return lines


def _unfit(match: re.Match[str]) -> tuple[str, bool]:
    """Return a condition for values that do not fit a type; and whether there is none."""
    column, kind, values = match[1] or match[2], match[4].upper(), match[5] or ""
    if kind in _LETTERS and values:
        return f"CHAR_LENGTH({column}) > {values[1:-1].strip()}", False
    if kind in _BYTES and values:
        return f"LENGTH({column}) > {values[1:-1].strip()}", False
    if kind in _SIZED and not values:
        return f"LENGTH({column}) > {_SIZED[kind]}", False
    if kind == "ENUM":
        return f"{column} NOT IN {values}", False
    return "", kind in _KINDS


def _escaped(text: str) -> str:
    """Return a text within double quotes of a shell."""
    return re.sub(r'([\\"$`])', r"\\\1", text)
