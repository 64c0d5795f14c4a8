"""The schema of a MariaDB or MySQL database, read from what SHOW CREATE says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import sqlalchemy as sa

from alembic_toolkit.schema.ask import ask
from alembic_toolkit.schema.names import DEFINING
from alembic_toolkit.schema.snapshot import MADE, Item, Snapshot, Thing, replaced
from alembic_toolkit.sql import normal


def take(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    if known is not None and not names & DEFINING:
        return known.copy()
    gone, tables = set[str](), set[str]()
    if known is None:
        items = _mysql_database(connection)
        tables = {row[0] for row in ask(connection, "SHOW TABLES")}
    else:
        gone, tables = _mysql_touched(connection, known, names)
        items = []
    for table in sorted(tables - ignore):
        items += _mysql_table_items(connection, table)
    if known is None or _mysql_programs_touched(known, names):
        gone.add(_PROGRAMS)
        items += [item for item in _mysql_programs(connection) if item[1].owner not in ignore]
    qualifier = _backticks(connection.dialect.default_schema_name or "") + "."
    items = [(group, thing, _mysql_text(text, qualifier)) for group, thing, text in items]
    return replaced(known or Snapshot(), gone, items)


_PROGRAMS = " programs"  # the group of all triggers, routines and events


def _backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


_MYSQL_STRING = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\""
_MYSQL_NAME = re.compile(rf"(?P<keep>{_MYSQL_STRING})|`(\w+)`", re.S)


def _mysql_text(text: str, qualifier: str) -> str:
    """Take out the database's own name, and quotes that only get in a reader's way."""
    text = text.replace(qualifier, "")
    return _MYSQL_NAME.sub(lambda match: match["keep"] or match[2], text) if "`" in text else text


def _mysql_database(connection: sa.Connection) -> list[Item]:
    query = (
        "SELECT default_collation_name FROM information_schema.schemata"
        " WHERE schema_name = DATABASE()"
    )
    thing = Thing("database", "", "(default)")
    return [(" database", thing, f"COLLATE {row[0]}") for row in ask(connection, query)]


def _mysql_touched(
    connection: sa.Connection, known: Snapshot, names: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Return which known tables, views and sequences may be others now, and which to read."""
    gone = {group for group in known.groups if group in names or group.lower() in names}
    if names & {"rename", "change"}:
        # What refers to a table or a column follows its new name.
        for thing, text in known.items():
            if thing.kind == "foreign key":
                parent = text.partition(" REFERENCES ")[2].rpartition(" (")[0]
                if parent.strip("`").lower() in names or parent.strip("`") in names:
                    gone.add(thing.owner)
    tables = set(gone)
    if names & {"create", "rename"}:
        new = [name for name in names if name not in normal.RESERVED or f'"{name}"' in names]
        listed = ", ".join(_mysql_literal(name) for name in sorted(new))
        query = (
            "SELECT table_name FROM information_schema.tables"
            f" WHERE table_schema = DATABASE() AND table_name IN ({listed or 'NULL'})"
        )
        tables |= {row[0] for row in ask(connection, query)}
    return gone, tables


def _mysql_literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _mysql_table_items(connection: sa.Connection, name: str) -> list[Item]:
    """Read a table, view or sequence; none when it is not there."""
    try:
        [row] = ask(connection, f"SHOW CREATE TABLE {_backticks(name)}")
    except Exception as error:  # of whichever driver it is
        # ER_NO_SUCH_TABLE https://mariadb.com/kb/en/mariadb-error-codes/
        if error.args[:1] != (1146,):
            raise
        return []
    name, sql = row[0], row[1]
    if sql.startswith("CREATE TEMPORARY"):
        return []
    if not sql.startswith("CREATE TABLE"):
        return [(name, Thing("view", "", name), _mysql_view(sql))]
    if re.search(r"\) ENGINE=\S+ SEQUENCE=1", sql):
        [row] = ask(connection, f"SHOW CREATE SEQUENCE {_backticks(name)}")
        return [(name, Thing("sequence", "", name), row[1].partition("` ")[2])]
    items = [
        (name, Thing(kind, "" if kind == "table" else name, part or name), text)
        for kind, part, text in _mysql_table(sql)
    ]
    return items


def _mysql_view(sql: str) -> str:
    head, _, query = sql.partition(" AS ")
    algorithm = re.search(r"ALGORITHM=(?!UNDEFINED)\S+ ", head)
    invoker = "SQL SECURITY INVOKER " if "SECURITY INVOKER" in head else ""
    return f"{algorithm[0] if algorithm else ''}{invoker}AS {query}"


_MYSQL_PIECE = re.compile(rf"(?P<string>{_MYSQL_STRING}|`(?:[^`]|``)*`)|[(),]", re.S)
_MYSQL_CLAUSE = re.compile(
    r"(?:CONSTRAINT (?P<name>`(?:[^`]|``)*`) )?"
    r"(?P<kind>PRIMARY KEY|FOREIGN KEY|CHECK|UNIQUE KEY|(?:\w+ )?KEY)"
    r"(?: (?P<key>`(?:[^`]|``)*`))? (?P<text>.*)",
    re.S,
)
_MYSQL_TYPE = re.compile(rf"\w+(?:\((?:{_MYSQL_STRING}|[^()'\"])*\))?", re.S)
_MYSQL_TEXT = re.compile(r"(?:var)?char\b|\w*text\b|enum\b|set\b")
_MYSQL_COUNTER = re.compile(rf"(?P<keep>{_MYSQL_STRING})| AUTO_INCREMENT=\d+", re.S)


@lru_cache(maxsize=8192)
def _mysql_table(sql: str) -> tuple[tuple[str, str, str], ...]:
    """Take SHOW CREATE TABLE apart: kind, name and definition of each clause."""
    clauses, tail = _mysql_clauses(sql)
    tail = _MYSQL_COUNTER.sub(lambda match: match["keep"] or "", tail)
    collation = re.search(r" COLLATE=(\w+)", tail) or re.search(r" CHARSET=(\w+)", tail)
    found, options = [], [tail.strip()]
    for clause in clauses:
        if clause.startswith("`"):
            name, _, rest = clause[1:].partition("` ")
            rest = _mysql_column(rest, collation[1] if collation else "")
            found.append(("column", name.replace("``", "`"), rest))
        elif match := _MYSQL_CLAUSE.fullmatch(clause):
            found.append(_mysql_key(match))
        else:
            options.append(clause)  # PERIOD FOR SYSTEM_TIME
    return (("table", "", " ".join(options)), *_mysql_owned(found))


def _mysql_clauses(sql: str) -> tuple[list[str], str]:
    """Split at the commas between the outer parentheses; return what comes after them too."""
    depth, start = 0, 0
    clauses = []
    for match in _MYSQL_PIECE.finditer(sql):
        token = match[0]
        if token == "(":
            depth += 1
            start = match.end() if depth == 1 else start
        elif depth == 1 and token in ",)":
            clauses.append(sql[start : match.start()].strip())
            start = match.end()
        if token == ")":
            depth -= 1
            if not depth:
                break
    return clauses, sql[start:]


def _mysql_column(text: str, collation: str) -> str:
    """Name the collation in each column of text: the table's default is only for new ones."""
    if not _MYSQL_TEXT.match(text):
        return text
    match = _MYSQL_TYPE.match(text)
    end = match.end() if match else 0
    rest = re.sub(r"^ CHARACTER SET \w+(?= COLLATE )", "", text[end:])
    given = rest.startswith((" COLLATE ", " CHARACTER SET "))
    return text[:end] + ("" if given else f" COLLATE {collation}") + rest


# Either is the default, said otherwise: https://mariadb.com/kb/en/foreign-keys/#constraints
_MYSQL_NO_ACTION = re.compile(r" ON (?:DELETE|UPDATE) (?:NO ACTION|RESTRICT)(?=$| ON )")


def _mysql_key(match: re.Match[str]) -> tuple[str, str, str]:
    kind, text = match["kind"], match["text"]
    name = (match["name"] or match["key"] or "")[1:-1].replace("``", "`")
    if kind == "PRIMARY KEY":
        return "primary key", re.sub(r"`(\w+)`", r"\1", text), text
    if kind == "FOREIGN KEY":
        return "foreign key", name, _MYSQL_NO_ACTION.sub("", text)
    if kind == "CHECK":
        return "check", name, text
    if kind == "UNIQUE KEY":
        return "unique", name, text
    return "index", name, f"{kind[:-3]}{text}"  # FULLTEXT, SPATIAL, VECTOR


def _mysql_owned(found: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Tell an index that the server made for a foreign key: it has the key's name or column.

    https://mariadb.com/kb/en/foreign-keys/
    """
    keys = {}
    for kind, name, text in found:
        if kind == "foreign key":
            columns = text.partition(" REFERENCES ")[0]
            keys[columns, name] = name
            if re.search(r"_ibfk_\d+$", name):
                keys[columns, columns.strip("(`)").partition("`")[0]] = name
    for kind, name, text in found:
        if kind == "index" and (text, name) in keys:
            text = f"{text}{MADE}{keys[text, name]}"
        yield kind, name, text


def _mysql_programs_touched(known: Snapshot, names: frozenset[str]) -> bool:
    if names & {"trigger", "function", "procedure", "event"}:
        return True
    # Triggers go with their table, also when CREATE OR REPLACE drops it.
    triggers = any(thing.kind == "trigger" for thing in known.groups.get(_PROGRAMS, ()))
    return triggers and bool(names & {"drop", "replace", "rename"})


_DEFINER = re.compile(r"\bDEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ")


def _mysql_programs(connection: sa.Connection) -> Iterator[Item]:
    triggers = (
        "SELECT event_object_table, trigger_name, action_timing, event_manipulation,"
        " action_statement, action_order FROM information_schema.triggers"
        " WHERE trigger_schema = DATABASE()"
    )
    for table, name, timing, event, statement, order in ask(connection, triggers):
        text = f"{timing} {event} {statement}" + (f" ORDER {order}" if order > 1 else "")
        yield _PROGRAMS, Thing("trigger", table, name), text
    programs = (
        "SELECT routine_type, routine_name FROM information_schema.routines"
        " WHERE routine_schema = DATABASE() UNION ALL SELECT 'EVENT', event_name"
        " FROM information_schema.events WHERE event_schema = DATABASE()"
    )
    for kind, name in ask(connection, programs):
        [row] = ask(connection, f"SHOW CREATE {kind} {_backticks(name)}")
        text = row[3 if kind == "EVENT" else 2] or ""
        # When an event was made is when it starts, unless that was said: not a difference.
        if kind == "EVENT":
            text = re.sub(r" STARTS '[^']*'", "", text, count=1)
        text = _DEFINER.sub("", text, count=1).removeprefix("CREATE ")
        yield _PROGRAMS, Thing(kind.lower(), "", name), text
