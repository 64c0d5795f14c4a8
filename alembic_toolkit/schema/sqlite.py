"""Read the schema of an SQLite database by parsing the authors' texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

import sqlalchemy as sa

from alembic_toolkit.schema.ask import ask
from alembic_toolkit.schema.snapshot import Item, Row, Snapshot, Thing, replaced
from alembic_toolkit.sql import normal
from alembic_toolkit.sql.create_table import (
    column_name,
    first_word,
    is_column,
    kind_of,
    parse_create_table,
    split_clauses,
    split_name,
)
from alembic_toolkit.sql.quoting import identifier, literal
from alembic_toolkit.sql.tokens import (
    code_tokens,
    split_list,
    split_parentheses,
    unquoted,
    without_parentheses,
)


def take(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    """Read the texts, which is cheap; parse those that ``known`` does not contain."""
    # The texts, not the names, tell what changed: that is exact.
    schemas = [row[1] for row in ask(connection, "PRAGMA database_list") if row[1] != "temp"]
    rows = frozenset[Row]().union(*(_rows(connection, schema) for schema in schemas))
    before = known if known is not None else Snapshot()
    changed = {_group(row) for row in rows ^ before.rows}
    if not changed:
        return before.copy()
    # A foreign key without columns refers to another table's primary key.
    changed |= before.implicit
    new = sorted(row for row in rows if row[0] + row[3] in changed and row[3] not in ignore)
    items = [item for row in new for item in _items(row)]
    implicit = {group for group, _, text in items if _IMPLICIT in text}
    if implicit:
        items = _resolved(items, before)
    snapshot = replaced(before, changed, items)
    snapshot.rows, snapshot.implicit = rows, frozenset(implicit)
    return snapshot


def _rows(connection: sa.Connection, schema: str) -> list[Row]:
    # All internal names of SQLite begin with sqlite_; automatic indexes have no text.
    before = "" if schema == "main" else f"{schema}."
    master = identifier('"', schema, "sqlite_master")
    query = (
        f"SELECT {literal(before)}, type, name, tbl_name, sql FROM {master}"
        " WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_'"
    )
    return ask(connection, query)


def _group(row: Row) -> str:
    return row[0] + row[3]


def _items(row: Row) -> list[Item]:
    schema, kind, name, table, sql = row
    group, owner = _group(row), schema + table
    if kind == "table":
        return [
            (group, Thing(part, "" if part == "table" else owner, own or owner), text)
            for part, own, text in _table(sql)
        ]
    text = _other(kind, sql)
    if kind == "view":
        return [(group, Thing(kind, "", owner), text)]
    return [(group, Thing(kind, owner, name), text)]


_IMPLICIT = "\0"  # stands for the unnamed columns of a key


def _resolved(items: list[Item], before: Snapshot) -> list[Item]:
    """Fill in the columns that foreign keys take from their parent's primary key."""
    things = [*before.items(), *((thing, text) for _, thing, text in items)]
    keys = {
        thing.owner.lower(): re.sub(r" (ASC|DESC|AUTOINCREMENT|ON CONFLICT \w+)\b", "", text)
        for thing, text in things
        if thing.kind == "primary key"
    }
    resolved = []
    for group, thing, text in items:
        if thing.kind == "foreign key" and _IMPLICIT in text:
            schema = thing.owner.rpartition(".")[0]
            parent = text.partition(" REFERENCES ")[2].partition(_IMPLICIT)[0].strip('"')
            columns = keys.get(f"{schema}.{parent}".lstrip(".").lower(), "")
            full = text.replace(_IMPLICIT, f" {columns}")
            # An unnamed key has its text for a name.
            thing, text = thing._replace(name=thing.name.replace(text, full)), full
        resolved.append((group, thing, text))
    return resolved


@lru_cache(maxsize=8192)
def _other(kind: str, sql: str) -> str:
    """Write the definition of an index, a trigger or a view."""
    tokens = code_tokens(sql)
    words = [token.lower() for token in tokens]
    if kind == "index":
        inside, rest = split_parentheses(tokens[words.index("on") :])
        unique = "UNIQUE " if "unique" in words[:3] else ""
        where = " WHERE " + normal.text(without_parentheses(rest[1:])) if rest else ""
        return f"{unique}({_indexed(inside)}){where}"
    # After the name, which may be qualified by a schema.
    start = words.index(kind) + 1
    start += 3 if words[start : start + 3] == ["if", "not", "exists"] else 0
    start += 3 if words[start + 1 : start + 2] == ["."] else 1
    return normal.text(tokens[start:], fold=kind == "trigger")


def _indexed(tokens: list[str]) -> str:
    """Write the columns of a key; ascending order is the default."""
    parts = []
    for part in split_list(tokens):
        last = part[-1].lower()
        part = part[:-1] if last in ("asc", "desc") else part
        names = {unquoted(token).lower() for token in part if token[0] in '"`['}
        parts.append(normal.text(part, columns=names) + (" DESC" if last == "desc" else ""))
    return ", ".join(parts)


_Part = tuple[str, str, str]  # kind, name or "", definition


@dataclass
class _Table:
    """The relevant contents of a CREATE TABLE statement."""

    columns: dict[str, str]  # lower case -> as written
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # type, null, default, ...
    parts: list[_Part] = field(default_factory=list)
    key: list[str] = field(default_factory=list)  # columns of the primary key, in lower case
    descending_inline: bool = False

    def add(self, kind: str, name: str | None, text: str) -> None:
        self.parts.append((kind, name or text, text))

    def expression(self, tokens: list[str]) -> str:
        """Write what stands in parentheses."""
        return normal.text(without_parentheses(tokens), columns=self.columns)


_FACTS = ("type", "collate", "null", "generated", "default")


@lru_cache(maxsize=8192)
def _table(sql: str) -> tuple[_Part, ...]:
    """Parse a CREATE TABLE: columns, keys, and the table's own options.

    https://www.sqlite.org/lang_createtable.html
    """
    tokens = code_tokens(sql)
    words = [token.lower() for token in tokens]
    if "virtual" in words[:2]:
        return (("table", "", "VIRTUAL " + normal.text(tokens[words.index("using") :])),)
    text = parse_create_table(sql)
    names = [unquoted(first_word(item)) for item in text.items if is_column(item)]
    table = _Table({name.lower(): name for name in names})
    for item in text.items:
        column, clauses = "", [item]
        if is_column(item):
            column = column_name(item)
            first, *clauses = split_clauses(item)
            kind = normal.text([unquoted(token) for token in code_tokens(first)[1:]]).upper()
            table.facts[column] = {"type": kind.replace(" (", "(")}
        for clause in clauses:
            _read_clause(table, column, clause)
    options = {" ".join(part) for part in split_list(code_tokens(text.tail.lower())[1:])}
    _complete_key(table, options)
    for facts in table.facts.values():
        facts["default"] = _stored(facts.get("default", ""), facts["type"])
    columns = [
        ("column", table.columns[name], " ".join(facts[fact] for fact in _FACTS if facts.get(fact)))
        for name, facts in table.facts.items()
    ]
    return (("table", "", ", ".join(sorted(options)).upper()), *columns, *table.parts)


def _read_clause(table: _Table, column: str, clause: str) -> None:
    """Read one constraint of a column, or of the table; a name may come before it."""
    name, tokens = split_name(clause)
    inside, rest = split_parentheses(tokens)
    kind = kind_of(clause)
    if kind == "primary":
        _read_primary(table, column, name, tokens)
    elif kind == "unique":
        columns = _indexed(inside) if inside else normal.quoted(column)
        table.add("unique", name, f"({columns})" + _conflict(rest))
    elif kind == "check":
        # Keep the parentheses: they distinguish an unnamed check's text from a name.
        table.add("check", name, f"({table.expression(inside)})" + _conflict(rest))
    elif kind == "foreignkey":
        _read_foreign(table, column, name, tokens)
    elif column and tokens:
        table.facts[column] |= _fact(table, tokens)


def _conflict(tokens: list[str]) -> str:
    words = [token.upper() for token in tokens]
    way = words[words.index("CONFLICT") + 1] if "CONFLICT" in words else "ABORT"
    return "" if way == "ABORT" else f" ON CONFLICT {way}"


def _read_primary(table: _Table, column: str, name: str | None, tokens: list[str]) -> None:
    inside, rest = split_parentheses(tokens)
    words = [token.upper() for token in tokens]
    if column:
        table.descending_inline = "DESC" in words
        inside = [normal.quoted(column), "desc"] if "DESC" in words else [normal.quoted(column)]
    inside = [token for token in inside if token.upper() != "AUTOINCREMENT"]
    table.key = [unquoted(part[0]).lower() for part in split_list(inside)]
    counts = " AUTOINCREMENT" if "AUTOINCREMENT" in words else ""
    table.add("primary key", name, f"({_indexed(inside)}){counts}{_conflict(rest)}")


def _read_foreign(table: _Table, column: str, name: str | None, tokens: list[str]) -> None:
    place = [token.upper() for token in tokens].index("REFERENCES")
    columns = normal.quoted(column) if column else _indexed(split_parentheses(tokens)[0])
    parent = normal.quoted(unquoted(tokens[place + 1]).lower())
    # PRAGMA foreign_key_list, and so a rebuild, fills in columns that the author omitted.
    inside, tail = split_parentheses(tokens[place + 2 :])
    target = f" ({_indexed(inside)})" if inside else _IMPLICIT
    rest = " ".join(tail).upper()
    # MATCH is parsed and ignored: https://www.sqlite.org/foreignkeys.html
    actions = dict(re.findall(r"\b(ON (?:DELETE|UPDATE)) (SET \w+|NO ACTION|\w+)", rest))
    if re.search(r"(?<!NOT )DEFERRABLE INITIALLY DEFERRED", rest):
        actions["DEFERRABLE"] = "INITIALLY DEFERRED"
    ways = [f" {what} {how}" for what, how in sorted(actions.items()) if how != "NO ACTION"]
    table.add("foreign key", name, f"({columns}) REFERENCES {parent}{target}{''.join(ways)}")


def _fact(table: _Table, tokens: list[str]) -> dict[str, str]:
    """Return the value of NOT NULL, DEFAULT, COLLATE or GENERATED ALWAYS AS for a column."""
    word, inside = tokens[0].upper(), split_parentheses(tokens)[0]
    if word == "NOT":
        return {"null": "NOT NULL" + _conflict(tokens)}
    if word == "COLLATE":
        collation = unquoted(tokens[1]).upper()
        return {"collate": "" if collation == "BINARY" else f"COLLATE {collation}"}
    if word == "DEFAULT":
        return {"default": f"DEFAULT {_default(table, tokens[1:])}"}
    if word in ("GENERATED", "AS"):
        stored = " STORED" if tokens[-1].upper() == "STORED" else ""
        return {"generated": f"GENERATED ALWAYS AS ({table.expression(inside)}){stored}"}
    return {}


def _default(table: _Table, tokens: list[str]) -> str:
    if tokens[0] == "(":
        return table.expression(tokens)
    if tokens[0] in ("+", "-"):
        return tokens[0] + tokens[1].lower()
    # "text" and unquoted words that are not keywords are strings here.
    is_quoted = tokens[0][0] in '"`['
    return literal(unquoted(tokens[0])) if is_quoted else normal.text(tokens[:1])


_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.I)


def _stored(default: str, type_: str) -> str:
    """Write a default as a column of this type stores it: ``'-1'`` is -1 in a numeric column.

    https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    """
    if not default or default == "DEFAULT null":
        return ""
    value = default.removeprefix("DEFAULT ")
    is_text = len(value) > 1 and value[0] == value[-1] == "'" and value.count("'") == 2
    plain = {"true": "1", "false": "0"}.get(value, value[1:-1].strip() if is_text else value)
    if not _NUMBER.fullmatch(plain):
        return default
    number = Decimal(plain)
    is_whole = number == number.to_integral_value() and abs(number) < 2**63
    keeps = any(word in type_ for word in ("CHAR", "CLOB", "TEXT", "BLOB")) or not type_
    if keeps and "INT" not in type_:
        return default
    return f"DEFAULT {int(number) if is_whole else float(number)}"


def _complete_key(table: _Table, options: set[str]) -> None:
    """Add NOT NULL if a primary key implies it, as in a rebuilt table.

    A key's columns may be NULL unless it is the rowid, or the table has no rowid, or is STRICT.
    https://www.sqlite.org/lang_createtable.html#the_primary_key
    """
    rowid = (
        len(table.key) == 1
        and table.facts.get(table.key[0], {}).get("type") == "INTEGER"
        and not table.descending_inline
    )
    if rowid or options & {"without rowid", "strict"}:
        for column in table.key:
            table.facts.get(column, {}).setdefault("null", "NOT NULL")
    # Synonyms for SQLite and for SQLAlchemy; but INT PRIMARY KEY is not a rowid.
    for column, facts in table.facts.items():
        if table.key != [column]:
            facts["type"] = {"INT": "INTEGER", "BOOL": "BOOLEAN"}.get(facts["type"], facts["type"])
