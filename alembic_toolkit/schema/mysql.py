"""Read the schema of a MariaDB or MySQL database from SHOW CREATE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

import sqlalchemy as sa

from alembic_toolkit.schema.ask import ask, ask_each
from alembic_toolkit.schema.names import DEFINING
from alembic_toolkit.schema.snapshot import MADE, Item, Snapshot, Thing, replaced
from alembic_toolkit.sql.quoting import identifier, mysql_literal
from alembic_toolkit.sql.show_create import STRING, Part, parse_show_create, read_part


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
        items = _database(connection)
        tables = {row[0] for row in ask(connection, "SHOW TABLES")}
    else:
        gone, tables = _touched(connection, known, names)
        items = []
    items += _tables_items(connection, sorted(tables - ignore))
    if known is None or _programs_touched(known, names):
        gone.add(_PROGRAMS)
        items += [item for item in _programs(connection) if item[1].owner not in ignore]
    own = connection.dialect.default_schema_name
    qualifier = f"{identifier('`', own)}." if own else ""
    items = [(group, thing, _text(text, qualifier)) for group, thing, text in items]
    return replaced(known or Snapshot(), gone, items)


_PROGRAMS = " programs"  # the group of all triggers, routines and events


# The text of a program may contain strings in double quotes.
_STRING = rf"{STRING}|\"(?:[^\"\\]|\\.|\"\")*\""
_NAME = re.compile(rf"(?P<keep>{_STRING})|`(\w+)`", re.S)


def _text(text: str, qualifier: str) -> str:
    """Remove the database's own name, and quotes that only make the text harder to read."""
    text = text.replace(qualifier, "")
    return _NAME.sub(lambda match: match["keep"] or match[2], text) if "`" in text else text


def _database(connection: sa.Connection) -> list[Item]:
    query = (
        "SELECT default_collation_name FROM information_schema.schemata"
        " WHERE schema_name = DATABASE()"
    )
    thing = Thing("database", "", "(default)")
    return [(" database", thing, f"COLLATE {row[0]}") for row in ask(connection, query)]


def _touched(
    connection: sa.Connection, known: Snapshot, names: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Return which known tables, views and sequences may have changed, and which to read."""
    gone = {group for group in known.groups if group in names or group.lower() in names}
    if names & {"rename", "change"}:
        # References to a table or a column change with its name.
        for thing, text in known.items():
            if thing.kind == "foreign key":
                parent = text.partition(" REFERENCES ")[2].rpartition(" (")[0]
                if parent.strip("`").lower() in names or parent.strip("`") in names:
                    gone.add(thing.owner)
    tables = set(gone)
    if names & {"create", "rename"}:
        listed = ", ".join(mysql_literal(name) for name in sorted(names))
        query = (
            "SELECT table_name FROM information_schema.tables"
            f" WHERE table_schema = DATABASE() AND table_name IN ({listed})"
        )
        tables |= {row[0] for row in ask(connection, query)}
    return gone, tables


def _tables_items(connection: sa.Connection, names: list[str]) -> list[Item]:
    """Read tables, views and sequences; omit those that do not exist."""
    found: list[Item] = []
    sequences: list[str] = []
    for name, sql in _shown(connection, names):
        if sql.startswith("CREATE TEMPORARY"):
            continue
        if not sql.startswith("CREATE TABLE"):
            found.append((name, Thing("view", "", name), _view(sql)))
        elif re.search(r"\) ENGINE=\S+ SEQUENCE=1", sql):
            sequences.append(name)
        else:
            found += [
                (name, Thing(kind, "" if kind == "table" else name, part or name), text)
                for kind, part, text in _table(sql)
            ]
    queries = [f"SHOW CREATE SEQUENCE {identifier('`', name)}" for name in sequences]
    for name, [row] in zip(sequences, ask_each(connection, queries), strict=True):
        found.append((name, Thing("sequence", "", name), row[1].partition("` ")[2]))
    return found


def _shown(connection: sa.Connection, names: list[str]) -> Iterator[tuple[str, str]]:
    """Return the name and the text of each table, view or sequence that exists."""
    queries = [f"SHOW CREATE TABLE {identifier('`', name)}" for name in names]
    try:
        found = ask_each(connection, queries)
    except Exception as error:  # of any driver
        # ER_NO_SUCH_TABLE https://mariadb.com/kb/en/mariadb-error-codes/
        if error.args[:1] != (1146,):
            raise
        if len(names) == 1:
            return
        for name in names:
            yield from _shown(connection, [name])
        return
    for [row] in found:
        yield row[0], row[1]


def _view(sql: str) -> str:
    head, _, query = sql.partition(" AS ")
    algorithm = re.search(r"ALGORITHM=(?!UNDEFINED)\S+ ", head)
    invoker = "SQL SECURITY INVOKER " if "SECURITY INVOKER" in head else ""
    return f"{algorithm[0] if algorithm else ''}{invoker}AS {query}"


_TYPE = re.compile(rf"\w+(?:\((?:{_STRING}|[^()'\"])*\))?", re.S)
_TEXT = re.compile(r"(?:var)?char\b|\w*text\b|enum\b|set\b")
_COUNTER = re.compile(rf"(?P<keep>{_STRING})| AUTO_INCREMENT=\d+", re.S)


@lru_cache(maxsize=8192)
def _table(sql: str) -> tuple[tuple[str, str, str], ...]:
    """Parse SHOW CREATE TABLE: kind, name and definition of each clause."""
    shown = parse_show_create(sql)
    tail = _COUNTER.sub(lambda match: match["keep"] or "", shown.tail[1:])
    collation = re.search(r" COLLATE=(\w+)", tail) or re.search(r" CHARSET=(\w+)", tail)
    parts = [read_part(item) for item in shown.items]
    others = [part.text for part in parts if not part.kind]  # PERIOD FOR SYSTEM_TIME
    found = [_definition(part, collation[1] if collation else "") for part in parts if part.kind]
    return (("table", "", " ".join([tail.strip(), *others])), *_owned(found))


def _column(text: str, collation: str) -> str:
    """Add the collation to each string column: the table's default is only for new ones."""
    if not _TEXT.match(text):
        return text
    match = _TYPE.match(text)
    end = match.end() if match else 0
    rest = re.sub(r"^ CHARACTER SET \w+(?= COLLATE )", "", text[end:])
    given = rest.startswith((" COLLATE ", " CHARACTER SET "))
    return text[:end] + ("" if given else f" COLLATE {collation}") + rest


# Both are other spellings of the default: https://mariadb.com/kb/en/foreign-keys/#constraints
_NO_ACTION = re.compile(r" ON (?:DELETE|UPDATE) (?:NO ACTION|RESTRICT)(?=$| ON )")


def _definition(part: Part, collation: str) -> tuple[str, str, str]:
    kind, name, text = part
    if kind == "column":
        return kind, name, _column(text, collation)
    if kind == "primary key":
        return kind, re.sub(r"`(\w+)`", r"\1", text), text
    return kind, name, _NO_ACTION.sub("", text) if kind == "foreign key" else text


def _owned(found: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Tell whether the server made an index for a foreign key: it has the key's name or column.

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


def _programs_touched(known: Snapshot, names: frozenset[str]) -> bool:
    if names & {"trigger", "function", "procedure", "event"}:
        return True
    # Triggers are dropped with their table, even by CREATE OR REPLACE.
    triggers = any(thing.kind == "trigger" for thing in known.groups.get(_PROGRAMS, ()))
    return triggers and bool(names & {"drop", "replace", "rename"})


_DEFINER = re.compile(r"\bDEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ")


def _programs(connection: sa.Connection) -> Iterator[Item]:
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
    listed = ask(connection, programs)
    queries = [f"SHOW CREATE {kind} {identifier('`', name)}" for kind, name in listed]
    for (kind, name), [row] in zip(listed, ask_each(connection, queries), strict=True):
        text = row[3 if kind == "EVENT" else 2] or ""
        # An event starts when it is created, unless it has its own time: that is not a difference.
        if kind == "EVENT":
            text = re.sub(r" STARTS '[^']*'", "", text, count=1)
        text = _DEFINER.sub("", text, count=1).removeprefix("CREATE ")
        yield _PROGRAMS, Thing(kind.lower(), "", name), text


# The server's own names for nameless keys and checks.
# https://mariadb.com/kb/en/foreign-keys/#constraints
# https://dev.mysql.com/doc/refman/8.4/en/create-table-check-constraints.html
_MADE_UP = {
    "foreign key": re.compile(r".*_ibfk_\d+|\d+"),
    "check": re.compile(r"CONSTRAINT_\d+|.*_chk_\d+"),
}


def judged(snapshot: Snapshot, things: Mapping[Thing, str]) -> dict[Thing, str]:
    """Return a schema's objects without names that the server chose, and without its collation.

    The collation of a new table is that of its database, which its creator chose.
    """
    default = snapshot.get(Thing("database", "", "(default)"), "").removeprefix("COLLATE ")
    of_table = re.compile(rf" DEFAULT CHARSET=\w+ COLLATE={re.escape(default)}\b")
    of_column = re.compile(rf" COLLATE {re.escape(default)}\b")
    found: dict[Thing, str] = {}
    for thing, text in things.items():
        kind, owner, name = thing
        if kind == "database":
            continue
        if kind in ("table", "column"):
            text = (of_table if kind == "table" else of_column).sub("", text, count=1)
        made_up = _MADE_UP.get(kind)
        if MADE in text:
            name = text = text.partition(MADE)[0]
        elif made_up is not None and made_up.fullmatch(name):
            name = text
        found[Thing(kind, owner, name)] = text
    return found
