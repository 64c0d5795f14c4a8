"""The schema of an SQLite database: the texts of its authors, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

import sqlalchemy as sa

from alembic_toolkit.schema.ask import ask
from alembic_toolkit.schema.snapshot import Item, Row, Snapshot, Thing, replaced
from alembic_toolkit.sql import normal


def take(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    """Read the texts, which is cheap; take apart those that ``known`` did not have."""
    # Not the names but the texts say what changed: that is exact.
    schemas = [row[1] for row in ask(connection, "PRAGMA database_list") if row[1] != "temp"]
    rows = frozenset[Row]().union(*(_sqlite_rows(connection, schema) for schema in schemas))
    before = known if known is not None else Snapshot()
    changed = {_sqlite_group(row) for row in rows ^ before.rows}
    if not changed:
        return before.copy()
    # A foreign key that names no columns means those of the primary key of another table.
    changed |= before.implicit
    new = sorted(row for row in rows if row[0] + row[3] in changed and row[3] not in ignore)
    items = [item for row in new for item in _sqlite_items(row)]
    implicit = {group for group, _, text in items if _IMPLICIT in text}
    if implicit:
        items = _sqlite_resolved(items, before)
    snapshot = replaced(before, changed, items)
    snapshot.rows, snapshot.implicit = rows, frozenset(implicit)
    return snapshot


def _sqlite_rows(connection: sa.Connection, schema: str) -> list[Row]:
    # Every name in SQL of SQLite's own begins with sqlite_; automatic indexes have no text.
    quoted = '"' + schema.replace('"', '""') + '"'
    before = "" if schema == "main" else schema.replace("'", "''") + "."
    query = (
        f"SELECT '{before}', type, name, tbl_name, sql FROM {quoted}.sqlite_master"
        " WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_'"
    )
    return ask(connection, query)


def _sqlite_group(row: Row) -> str:
    return row[0] + row[3]


def _sqlite_items(row: Row) -> list[Item]:
    schema, kind, name, table, sql = row
    group, owner = _sqlite_group(row), schema + table
    if kind == "table":
        return [
            (group, Thing(part, "" if part == "table" else owner, own or owner), text)
            for part, own, text in _sqlite_table(sql)
        ]
    text = _sqlite_other(kind, sql)
    if kind == "view":
        return [(group, Thing(kind, "", owner), text)]
    return [(group, Thing(kind, owner, name), text)]


_IMPLICIT = "\0"  # stands for the columns of a key that are not named


def _sqlite_resolved(items: list[Item], before: Snapshot) -> list[Item]:
    """Name the columns that foreign keys leave to the primary key of their parent."""
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
def _sqlite_other(kind: str, sql: str) -> str:
    """Write the definition of an index, a trigger or a view."""
    tokens = normal.sqlite_tokens(sql)
    words = [token.lower() for token in tokens]
    if kind == "index":
        start = words.index("(", words.index("on"))
        end = normal.closing(tokens, start)
        unique = "UNIQUE " if "unique" in words[:3] else ""
        where = (
            " WHERE " + normal.text(normal.bare(tokens[end + 2 :])) if end + 1 < len(tokens) else ""
        )
        return f"{unique}({_indexed(tokens[start + 1 : end])}){where}"
    # After the name, which may be that of a schema first.
    start = words.index(kind) + 1
    start += 3 if words[start : start + 3] == ["if", "not", "exists"] else 0
    start += 3 if words[start + 1 : start + 2] == ["."] else 1
    return normal.text(tokens[start:], fold=kind == "trigger")


def _indexed(tokens: list[str]) -> str:
    """Write the columns of a key; ascending is how they are by default."""
    parts = []
    for part in normal.listed(tokens):
        words = [token.lower() for token in part]
        if words[-1] in ("asc", "desc"):
            part = part[:-1]
        names = {normal.name_of(token).lower() for token in part if token[0] in '"`['}
        text = normal.text(part, columns=names)
        parts.append(text + (" DESC" if words[-1] == "desc" else ""))
    return ", ".join(parts)


_Part = tuple[str, str, str]  # kind, name or "", definition


@dataclass
class _Table:
    """A CREATE TABLE statement while it is taken apart."""

    tokens: list[str]
    words: tuple[str, ...]  # the tokens in lower case
    place: int = 0
    columns: dict[str, str] = field(default_factory=dict)  # as written, by lower case
    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # type, null, default, ...
    parts: list[_Part] = field(default_factory=list)
    key: list[str] = field(default_factory=list)  # columns of the primary key, in lower case
    descending_inline: bool = False

    def at(self, *words: str) -> bool:
        """Say whether these words, without quotes, come next."""
        return self.words[self.place : self.place + len(words)] == words

    def skip(self, *words: str) -> bool:
        """Step over these words if they come next."""
        if not self.at(*words):
            return False
        self.place += len(words)
        return True

    def next(self) -> str:
        """Return the next token and step over it."""
        self.place += 1
        return self.tokens[self.place - 1]

    def enclosed(self) -> list[str]:
        """Return what is in the parentheses that come next, and step over them."""
        start = self.place
        self.place = normal.closing(self.tokens, start) + 1
        return self.tokens[start + 1 : self.place - 1]

    def text(self, tokens: list[str]) -> str:
        """Write an expression."""
        return normal.text(tokens, columns=self.columns)

    @property
    def more(self) -> bool:
        """Whether the list goes on."""
        return self.place < len(self.tokens) and self.tokens[self.place] not in (",", ")")


_CONSTRAINT = ("constraint", "primary", "unique", "check", "foreign")
_COLUMN_CONSTRAINT = (*_CONSTRAINT, "not", "null", "default", "collate", "references", "generated")


@lru_cache(maxsize=8192)
def _sqlite_table(sql: str) -> tuple[_Part, ...]:
    """Take a CREATE TABLE apart: columns, keys, and what the table itself is.

    https://www.sqlite.org/lang_createtable.html
    """
    tokens = normal.sqlite_tokens(sql)
    words = [token.lower() for token in tokens]
    if "virtual" in words[:2]:
        return (("table", "", "VIRTUAL " + normal.text(tokens[words.index("using") :])),)
    start = words.index("(")
    end = normal.closing(tokens, start)
    options = {" ".join(part) for part in normal.listed(words[end + 1 :])}
    table = _Table(tokens[: end + 1], tuple(words[: end + 1]))
    table.columns = _column_names(normal.listed(tokens[start + 1 : end]))
    table.place = start
    while table.place < end:
        table.place += 1  # "(" or ","
        if table.words[table.place] not in _CONSTRAINT:
            _sqlite_column(table)
        while table.more:
            _sqlite_constraint(table, None)
    _sqlite_key(table, options)
    columns = [
        (
            "column",
            table.columns[name],
            " ".join(filter(None, (facts[f] for f in _FACTS if f in facts))),
        )
        for name, facts in table.facts.items()
    ]
    return (("table", "", ", ".join(sorted(options)).upper()), *columns, *table.parts)


_FACTS = ("type", "collate", "null", "generated", "default")


def _column_names(parts: list[list[str]]) -> dict[str, str]:
    names = [normal.name_of(part[0]) for part in parts if part[0].lower() not in _CONSTRAINT]
    return {name.lower(): name for name in names}


def _sqlite_column(table: _Table) -> None:
    column = normal.name_of(table.next()).lower()
    start = table.place
    while table.more and table.words[table.place] not in (*_COLUMN_CONSTRAINT, "as"):
        if table.at("("):
            table.enclosed()
        else:
            table.place += 1
    kind = normal.text(
        [normal.name_of(token) for token in table.tokens[start : table.place]]
    ).upper()
    table.facts[column] = {"type": kind.replace(" (", "(")}
    while table.more:
        _sqlite_constraint(table, column)


def _sqlite_constraint(table: _Table, column: str | None) -> None:
    """Read one constraint of a column, or of the table; a name may come before it."""
    name = ""
    if table.skip("constraint"):
        name = normal.name_of(table.next())
        if not table.more or table.at("constraint"):
            return  # SQLite allows a name and nothing
    if table.skip("primary", "key"):
        _sqlite_primary(table, column, name)
    elif table.skip("unique"):
        columns = normal.quoted(column) if column else _indexed(table.enclosed())
        _add(table, "unique", name, f"({columns})" + _conflict(table))
    elif table.skip("check"):
        # The parentheses stay: they tell an unnamed check's text from a name.
        text = f"({table.text(normal.bare(table.enclosed()))})"
        _add(table, "check", name, text + _conflict(table))
    elif table.skip("foreign", "key"):
        columns = _indexed(table.enclosed())
        table.skip("references")
        _sqlite_foreign(table, name, columns)
    elif table.skip("references"):
        _sqlite_foreign(table, name, normal.quoted(column or ""))
    elif column is not None:
        _sqlite_fact(table, table.facts[column])
    else:
        table.place += 1


def _add(table: _Table, kind: str, name: str, text: str) -> None:
    table.parts.append((kind, name or text, text))


def _conflict(table: _Table) -> str:
    if not table.skip("on", "conflict"):
        return ""
    resolution = table.next().upper()
    return "" if resolution == "ABORT" else f" ON CONFLICT {resolution}"


def _sqlite_primary(table: _Table, column: str | None, name: str) -> None:
    if column is None:
        tokens = table.enclosed()
    else:
        table.descending_inline = table.at("desc")
        order = [table.next()] if table.at("asc") or table.at("desc") else []
        tokens = [normal.quoted(column), *order]
    conflict = _conflict(table)
    counts = table.skip("autoincrement") or tokens[-1].lower() == "autoincrement"
    if tokens[-1].lower() == "autoincrement":
        tokens = tokens[:-1]
    table.key = [normal.name_of(part[0]).lower() for part in normal.listed(tokens)]
    text = f"({_indexed(tokens)})" + (" AUTOINCREMENT" if counts else "") + conflict
    _add(table, "primary key", name, text)


def _sqlite_foreign(table: _Table, name: str, columns: str) -> None:
    parent = normal.quoted(normal.name_of(table.next()).lower())
    # PRAGMA foreign_key_list, and so a rebuild, names the columns that the author left out.
    target = f"({_indexed(table.enclosed())})" if table.at("(") else _IMPLICIT
    target = target if target == _IMPLICIT else f" {target}"
    tail: dict[str, str] = {}
    while table.more:
        if table.skip("on"):
            event = table.next().upper()
            action = table.next().upper()
            if action in ("SET", "NO"):
                action += " " + table.next().upper()
            tail[f"ON {event}"] = action
        elif table.skip("match"):
            table.next()  # parsed and not obeyed: https://www.sqlite.org/foreignkeys.html
        elif table.skip("not", "deferrable") or table.skip("deferrable"):
            deferrable = table.words[table.place - 2] != "not"
            deferred = table.skip("initially", "deferred")
            table.skip("initially", "immediate")
            tail["DEFERRABLE"] = "INITIALLY DEFERRED" if deferrable and deferred else ""
        else:
            break
    text = f"({columns}) REFERENCES {parent}{target}" + "".join(
        f" {what} {how}" for what, how in sorted(tail.items()) if how not in ("", "NO ACTION")
    )
    _add(table, "foreign key", name, text)


def _sqlite_fact(table: _Table, facts: dict[str, str]) -> None:
    """Read NOT NULL, DEFAULT, COLLATE or GENERATED ALWAYS AS."""
    if table.skip("not", "null"):
        facts["null"] = "NOT NULL" + _conflict(table)
    elif table.skip("null"):
        _conflict(table)
    elif table.skip("collate"):
        collation = normal.name_of(table.next()).upper()
        facts["collate"] = "" if collation == "BINARY" else f"COLLATE {collation}"
    elif table.skip("default"):
        facts["default"] = f"DEFAULT {_sqlite_default(table)}"
    elif table.skip("generated", "always", "as") or table.skip("as"):
        text = table.text(normal.bare(table.enclosed()))
        stored = " STORED" if table.skip("stored") else ""
        table.skip("virtual")
        facts["generated"] = f"GENERATED ALWAYS AS ({text}){stored}"
    else:
        table.place += 1


def _sqlite_default(table: _Table) -> str:
    if table.at("("):
        return table.text(normal.bare(table.enclosed()))
    token = table.next()
    if token in ("+", "-"):
        return token + table.next().lower()
    # "text" and unquoted words that are no keywords are strings here.
    return (
        "'" + normal.name_of(token).replace("'", "''") + "'"
        if token[0] in '"`['
        else table.text([token])
    )


def _sqlite_key(table: _Table, options: set[str]) -> None:
    """Say NOT NULL where a primary key implies it, as a rebuilt table does.

    The columns of a key may be NULL unless it is the rowid, or the table has none, or is STRICT.
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
    # Synonyms, for SQLite and for SQLAlchemy: but INT PRIMARY KEY is no rowid.
    for column, facts in table.facts.items():
        if table.key != [column]:
            facts["type"] = {"INT": "INTEGER", "BOOL": "BOOLEAN"}.get(facts["type"], facts["type"])
