"""Take the schema of a database as a value, and say how two of them differ.

A snapshot holds what the server knows of tables and all that belongs to them, views, types,
sequences, triggers and routines; not privileges, rows, counters or the order of columns. Two
definitions are equal when the server would treat the things the same.

`take` reads everything, or, with an earlier snapshot and the names that statements since then
contain (`names_in`), only what they can have changed. The server's own texts are the definitions
wherever it has a canonical one: PostgreSQL's catalog functions, MariaDB's SHOW CREATE. SQLite
keeps what the author wrote, so that is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from alembic_toolkit.database.driver import fetch
from alembic_toolkit.database.own import IGNORE


class Thing(NamedTuple):
    """One thing in a database."""

    kind: str
    owner: str  # the table it belongs to, as "schema.table" when not in the default schema
    name: str  # for an unnamed constraint, its text


class Snapshot(dict[Thing, str]):
    """The definition of each thing; and by group what is read together, usually a table."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        super().__init__()
        self.groups: dict[str, dict[Thing, str]] = {}
        self.indexes: dict[tuple[str, str], str] = {}  # PostgreSQL: groups, by schema and name
        self.rows: frozenset[_Row] = frozenset()  # SQLite: the texts as they were
        self.implicit: frozenset[str] = frozenset()  # groups whose text alone does not suffice
        self.spaces: tuple[str, ...] = ("",)  # PostgreSQL: what groups may begin with, by schema
        self.watched = False  # PostgreSQL: DDL fires an event trigger, which may do anything
        self.types: frozenset[tuple[Thing, str]] = frozenset()  # beside the server's own

    def copy(self) -> Snapshot:
        """Return another one that can be changed."""
        other = Snapshot()
        other.update(self)
        other.groups, other.indexes = self.groups.copy(), self.indexes.copy()
        other.rows, other.implicit = self.rows, self.implicit
        other.spaces, other.watched, other.types = self.spaces, self.watched, self.types
        return other

    def __eq__(self, other: object) -> bool:
        """Say whether all things are the same; groups are shared by copies, and few."""
        return (isinstance(other, Snapshot) and self.groups == other.groups) or dict.__eq__(
            self, other
        )

    def add(self, group: str, thing: Thing, definition: str) -> None:
        """Add a thing; a name that occurs twice (SQLite allows it) is told apart by its text."""
        if thing in self:
            thing = thing._replace(name=f"{thing.name} {definition}")
        self[thing] = self.groups.setdefault(group, {})[thing] = definition
        space, separator, _ = group.partition("\0")
        if separator and thing.kind == "index":
            self.indexes[space, thing.name] = group
        if next(iter(self.groups[group])).kind in _TYPES:  # a domain has checks as well
            self.types |= {(thing, definition)}

    def forget(self, group: str) -> None:
        """Remove a group, if it is there."""
        things = self.groups.pop(group, {})
        space = group.partition("\0")[0]
        for thing in things:
            del self[thing]
            if thing.kind == "index":
                self.indexes.pop((space, thing.name), None)
        if self.types:
            self.types -= frozenset(things.items())

    def changed(self, since: Snapshot) -> set[str]:
        """Return the names of the tables and views that are not as they were."""
        ours, theirs = self.groups, since.groups
        groups = {group for group, things in ours.items() if theirs.get(group) is not things}
        groups = {group for group in groups if ours[group] != theirs.get(group)}
        return {group.replace("\0", "") for group in groups | (theirs.keys() - ours.keys())}

    def table(self, name: str) -> frozenset[tuple[Thing, str]]:
        """Return all that decides which rows a table can hold; nothing when it is not there."""
        return frozenset(item for item in self._group(name).items() if _decides(*item))

    def is_programmed(self, name: str) -> bool:
        """Say whether a table may do more with rows than to keep them."""
        return any(thing.kind in ("trigger", "rule") for thing in self._group(name))

    def _group(self, name: str) -> dict[Thing, str]:
        space, _, own = name.rpartition(".")
        groups = map(self.groups.get, (name, f"\0{name}", f"{space}.\0{own}"))
        return next(filter(None, groups), {})


_TYPES = ("enum", "domain")


def _decides(thing: Thing, text: str) -> bool:
    return thing.kind not in ("index", "trigger", "rule", "policy") or text.startswith("UNIQUE")


def take(
    connection: sa.Connection,
    known: Snapshot | None = None,
    names: Collection[str] | None = None,
    ignore: Collection[str] = IGNORE,
) -> Snapshot:
    """Read the schema of the database; on MariaDB, of the database that the connection uses.

    Without ``known`` or ``names``: all of it. With both: what these names can have changed since
    ``known`` was taken on the same database with the same ``ignore``. That is exact for statements
    that were executed; after a rollback to before ``known``, take the whole.

    :param known: an earlier snapshot; it is not changed.
    :param names: what `names_in` returned for all statements since then.
    :param ignore: tables that do not count, nor anything on them.
    :raises ValueError: there is no snapshot of this kind of database.
    """
    server = _SERVERS.get(connection.dialect.name)
    if server is None:
        raise ValueError(f"no snapshot of {connection.dialect.name}")
    whole = known is None or names is None
    return server(connection, None if whole else known, frozenset(names or ()), frozenset(ignore))


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """Return short lines that say what came (+), went (-) and changed (~), in a stable order."""
    lines: list[str] = []
    if before == after:  # as it should be, and much faster
        return lines
    same = _made_by_server(before, after)
    for thing in sorted((before.keys() | after.keys()) - same):
        old, new = before.get(thing), after.get(thing)
        if old is None or new is None:
            sign, text = ("+", new) if old is None else ("-", old)
            lines.append(f"{sign} {_title(thing)}{_definition(thing, text or '')}")
        elif old != new:
            old, new = _parts_that_differ(_line(old) or "(plain)", _line(new) or "(plain)")
            lines.append(f"~ {_title(thing)}: {old} -> {new}")
    return lines


_MADE = ", made by the server for foreign key "


def _made_by_server(before: Snapshot, after: Snapshot) -> set[Thing]:
    """Return the indexes of both that only have another name, which MariaDB chose.

    It depends on how their foreign key was added: https://mariadb.com/kb/en/foreign-keys/
    """
    places: list[dict[tuple[str, str], Thing]] = [
        {
            (thing.owner, text.partition(_MADE)[0]): thing
            for thing in one.keys() - other.keys()
            if thing.kind == "index" and _MADE in (text := one[thing])
        }
        for one, other in ((before, after), (after, before))
    ]
    both = places[0].keys() & places[1].keys()
    return {place[index] for place in places for index in both}


def _line(text: str) -> str:
    return " ".join(text.split())


def _parts_that_differ(old: str, new: str) -> tuple[str, str]:
    """Cut from long texts what they have in common, but for some words around."""
    if max(len(old), len(new)) < 200 or old == new:
        return old, new
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    start, end = max(0, start - 30), max(0, end - 30)
    before, after = "..." if start else "", "..." if end else ""
    old, new = (f"{before}{text[start : len(text) - end]}{after}" for text in (old, new))
    return old, new


def _same(old: str, new: str) -> int:
    """Return how many characters are the same at the beginning of both."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (one, two) in pairs if one != two), min(len(old), len(new)))


def _title(thing: Thing) -> str:
    if thing.kind == "column":
        return f"column {thing.owner}.{thing.name}"
    # An unnamed constraint has its text for a name.
    name = "" if thing.name.startswith("(") else f" {thing.name}"
    return f"{thing.kind}{name} on {thing.owner}" if thing.owner else f"{thing.kind}{name}"


def _definition(thing: Thing, text: str) -> str:
    return f": {_line(text)}" if text else ""


# SQL that has none of these words defines nothing: it only changes rows. (A SELECT may have an
# INTO, or call a function of an extension.)
_DEFINING = frozenset(
    {"create", "alter", "drop", "rename", "comment", "reindex", "refresh", "cluster", "select"}
)


def _words(text: str, separator: str | None = None) -> frozenset[str]:
    return frozenset(text.split(separator))


# The names in statements

_WORDS = r"[^\W\d][\w$#]*|\d+[^\W\d][\w$]*"
_SCAN = re.compile(
    rf"""--[^\n]* | /\*(?!M?!).*?\*/ | /\*M?!\d*
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$) .*? (?P=dollar)
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\[\]'"`]*\])
    | (?P<word>{_WORDS}) | (?P<end>;)""",
    re.S | re.X,
)
# How MariaDB reads it, and PostgreSQL an E'...': a backslash hides a quote; and # is a comment.
_SCAN_ESCAPED = re.compile(
    _SCAN.pattern.replace("(?:[^']|'')*'", r"(?:[^'\\]|\\.|'')*'").replace("--[", r"(?:--|\#)["),
    re.S | re.X,
)
# What changes no schema, or only what it names.
_HARMLESS = _words(
    "select insert update delete with values set reset show explain pragma begin start commit end"
    " savepoint release truncate lock unlock analyze vacuum optimize comment replace merge copy"
    " refresh reindex cluster grant revoke describe desc rename"
)
_CHANGES = frozenset({"create", "alter", "drop"})
# The kinds that these statements may be about, and the words that may stand before the kind.
_KINDS = _words(
    "table view index sequence type domain trigger policy rule function procedure aggregate event"
)
_BEFORE_KIND = _words(
    "or replace temp temporary unlogged global local unique fulltext spatial materialized recursive"
    " constraint online offline ignore foreign virtual algorithm undefined merge temptable"
    " definer current_user sql security invoker"
)
# Reserved everywhere: only as quoted names can these be names.
_RESERVED = _words(
    "add all alter and as asc between by case check column constraint create current_date"
    " current_time current_timestamp default delete desc distinct drop else exists for foreign from"
    " grant group having if in index insert integer int into is join key left like limit not null"
    " on or order primary references select set table then to trigger union unique update using"
    " values varchar varchar2 char numeric decimal when where with cascade restrict bigint smallint"
    " double float auto_increment"
)


def names_in(statements: Iterable[str]) -> frozenset[str] | None:
    """Return the words of SQL that can be names, as written and in lower case.

    Some are keywords; `take` needs a few of those. A short string counts too: SQLite takes one
    for a name, and functions such as PostGIS's ``AddGeometryColumn`` get one. A reserved word in
    quotes is there with its quotes as well.

    :return: None if it cannot be told what a statement changes: ``DO``, ``CALL``, a drop with
     ``CASCADE``, ``ALTER SCHEMA``, and everything that is not known to be harmless.
    """
    found: set[str] = set()
    for statement in statements:
        names = _names_in(statement)
        if names is None:
            return None
        found |= names
    return frozenset(found)


@lru_cache(maxsize=4096)
def _names_in(sql: str) -> frozenset[str] | None:
    found: set[str] = set()
    if sql.startswith(_MARK):
        return frozenset()
    for scan in (_SCAN, _SCAN_ESCAPED) if "\\" in sql or "#" in sql else (_SCAN,):
        words: list[str] = []
        for match in scan.finditer(sql):
            kind, token = match.lastgroup, match.group()
            if kind == "word":
                words.append(token.lower())
                found |= {token, words[-1]}
            elif kind == "end":
                words.append(";")
            elif kind == "quoted" or (kind == "text" and len(token) < 130):
                found |= _unquoted(token)
        if not _tells(words):
            return None
        of_column = words[:2] == ["alter", "table"] and ";" not in words[:-1]
        if "type" in words and not of_column:
            found.add(_ABOUT_TYPES)
    return frozenset(found)


_ABOUT_TYPES = " type"  # stands for a statement about types, and not about a column of another type


def _unquoted(token: str) -> set[str]:
    quote = token[-1]
    name = token[1:-1].replace(quote * 2, quote)
    names = {name, name.lower()}
    names |= {f'"{word}"' for word in names & _RESERVED}
    # 'public.t' in a function's argument
    return names | {part for name in names if "." in name for part in name.split(".")}


def _tells(words: list[str]) -> bool:
    """Say whether the names in statements suffice to know what they change."""
    for place, word in enumerate(words):
        if word == "cascade" and not (place > 1 and words[place - 2] == "on"):
            return False  # a drop; but not ON DELETE CASCADE
        # What owns a sequence, or is in a schema, is not where it was.
        if word in ("owned", "atomic") or words[place : place + 2] == ["set", "schema"]:
            return False
    statements: list[list[str]] = [[]]
    for word in words:
        if word != ";":
            statements[-1].append(word)
        elif _kind(statements[-1]) not in ("trigger", "function", "procedure", "event"):
            statements.append([])  # else the body goes on; more statements after it are rare
    return all(map(_is_plain, filter(None, statements)))


def _is_plain(words: list[str]) -> bool:
    if words[0] in _CHANGES:
        kind = _kind(words)
        return kind in _KINDS and not (kind == "event" and "trigger" in words[:3])
    if words[0] in ("insert", "update", "delete", "with"):
        # Some take a short way: UPDATE pg_attribute, DELETE FROM pg_enum.
        return not any(word.startswith("pg_") for word in words)
    if words[:3] == ["comment", "on", "schema"] or words[:2] == ["rename", "user"]:
        return False
    return words[0] in _HARMLESS


def _kind(words: list[str]) -> str | None:
    """Return which kind of thing a statement creates, alters or drops."""
    if not words or words[0] not in _CHANGES:
        return None
    for word in words[1:12]:
        if word in _KINDS or word not in _BEFORE_KIND:
            return word
    return None


# A statement that begins with it is one of ours: whoever listens to statements may skip it.
_MARK = "/* alembic_toolkit.snapshot */ "


def _query(connection: sa.Connection, sql: str) -> list[Any]:
    return fetch(connection, _MARK + sql)


# PostgreSQL

# The catalog's functions write names and constants as these settings say: fix them for one
# statement, and put them back at its end. The branches of a UNION ALL run in their order.
_SETTINGS = {
    "search_path": "",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
}
_SET = ", ".join(
    f"set_config('alembic_toolkit.{name}', current_setting('{name}'), true),"
    f" set_config('{name}', '{value}', true)"
    for name, value in _SETTINGS.items()
)
_RESET = ", ".join(
    f"set_config('{name}', current_setting('alembic_toolkit.{name}'), true)" for name in _SETTINGS
)

_OWN_SCHEMA = "nspname !~ '^pg_' AND nspname <> 'information_schema'"


def _no_member(catalog: str, oid: str, kinds: str = "'e'") -> str:
    """Write the condition that no extension brought it; with 'i', no range type either."""
    return (
        "NOT EXISTS (SELECT FROM pg_depend"
        f" WHERE classid = '{catalog}'::regclass AND objid = {oid} AND deptype IN ({kinds}))"
    )


def _with(condition: str, text: str) -> str:
    return f"CASE WHEN {condition} THEN {text} ELSE '' END"


def _comment(alias: str) -> str:
    return f"coalesce(' COMMENT ' || quote_literal({alias}.description), '')"


def _describe(alias: str, catalog: str, oid: str, column: str = "0") -> str:
    return (
        f"LEFT JOIN pg_description {alias} ON {alias}.classoid = '{catalog}'::regclass"
        f" AND {alias}.objoid = {oid} AND {alias}.objsubid = {column}"
    )


def _each(catalog: str, alias: str, condition: str) -> str:
    """Write a join that looks each up by its index, whatever the planner thinks of the catalog.

    It plans once, when the catalog is small, for one that grows: ``OFFSET 0`` keeps the rows of
    one relation apart from those of all.
    """
    return f"CROSS JOIN LATERAL (SELECT * FROM {catalog} WHERE {condition} OFFSET 0) {alias}"


# What is read: everything, or what was touched.
_WHOLE = {"relations": "pg_class c", "types": "pg_type t", "routines": "pg_proc p"}
_TOUCHED = {
    "relations": "touched_relations x JOIN pg_class c ON c.oid = x.oid",
    "types": "touched_types x JOIN pg_type t ON t.oid = x.oid",
    "routines": "touched_routines x JOIN pg_proc p ON p.oid = x.oid",
}

# An index by its table, an owned sequence by its owner. Partitions and children follow their
# parents. What depends on a thing follows when it is renamed ($2): foreign keys, views, defaults,
# checks, the columns of a type; the server records it in pg_depend.
_TREE = """
RECURSIVE named AS MATERIALIZED (
  SELECT oid, relkind, reltype FROM pg_class WHERE relname = ANY ($1)
), tree AS (
  SELECT coalesce(i.indrelid, o.refobjid, n.oid) AS oid
  FROM named n
  LEFT JOIN pg_index i ON i.indexrelid = n.oid
  LEFT JOIN pg_depend o ON n.relkind = 'S' AND o.classid = 'pg_class'::regclass AND o.objid = n.oid
    AND o.objsubid = 0 AND o.deptype IN ('a', 'i') AND o.refclassid = 'pg_class'::regclass
  UNION
  SELECT inhrelid FROM tree JOIN pg_inherits ON inhparent = tree.oid
)"""
_TOUCH = f"""{_TREE}, named_types AS MATERIALIZED (
  SELECT oid, typarray FROM pg_type WHERE typname = ANY ($1)
), renamed AS MATERIALIZED (
  SELECT 'pg_class'::regclass AS class, oid FROM tree WHERE $2
  UNION ALL SELECT 'pg_class'::regclass, oid FROM named WHERE $2
  UNION ALL SELECT 'pg_type'::regclass, oid FROM named_types WHERE $2
  UNION ALL SELECT 'pg_type'::regclass, typarray FROM named_types WHERE $2
  UNION ALL SELECT 'pg_type'::regclass, unnest(ARRAY[t.oid, t.typarray])
    FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_type t ON t.oid = c.reltype WHERE $2
), dependent AS MATERIALIZED (
  SELECT DISTINCT d.classid, d.objid FROM renamed
  JOIN pg_depend d ON d.refclassid = renamed.class AND d.refobjid = renamed.oid
), touched_relations AS MATERIALIZED (
  SELECT oid FROM tree
  UNION SELECT oid FROM named
  UNION SELECT coalesce(i.indrelid, d.objid) FROM dependent d
    LEFT JOIN pg_index i ON i.indexrelid = d.objid WHERE d.classid = 'pg_class'::regclass
  UNION SELECT conrelid FROM dependent d JOIN pg_constraint c ON c.oid = d.objid
    WHERE d.classid = 'pg_constraint'::regclass AND conrelid <> 0
  UNION SELECT ev_class FROM dependent d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass
  UNION SELECT adrelid FROM dependent d JOIN pg_attrdef a ON a.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass
  UNION SELECT tgrelid FROM dependent d JOIN pg_trigger t ON t.oid = d.objid
    WHERE d.classid = 'pg_trigger'::regclass
  UNION SELECT polrelid FROM dependent d JOIN pg_policy p ON p.oid = d.objid
    WHERE d.classid = 'pg_policy'::regclass
), touched_types AS MATERIALIZED (
  SELECT oid FROM named_types
  UNION SELECT objid FROM dependent WHERE classid = 'pg_type'::regclass
  UNION SELECT contypid FROM dependent d JOIN pg_constraint c ON c.oid = d.objid
    WHERE d.classid = 'pg_constraint'::regclass AND contypid <> 0
), touched_routines AS MATERIALIZED (
  SELECT oid FROM pg_proc WHERE proname = ANY ($1)
  UNION SELECT objid FROM dependent WHERE classid = 'pg_proc'::regclass
),"""
# Where nothing is renamed, and nothing but relations can have changed.
_TOUCH_RELATIONS = f"""{_TREE}, touched_relations AS MATERIALIZED (
  SELECT oid FROM tree
  UNION SELECT oid FROM named
),"""

_SEQUENCE = (
    _with("seqtypid <> 'bigint'::regtype", "' AS ' || format_type(seqtypid, NULL)")
    + " || "
    + _with("seqincrement <> 1", "' INCREMENT ' || seqincrement")
    + " || "
    + _with("seqstart <> 1", "' START ' || seqstart")
    + " || "
    + _with("seqmin <> 1", "' MINVALUE ' || seqmin")
    + " || "
    + _with(
        "seqmax <> CASE seqtypid WHEN 'smallint'::regtype THEN 32767"
        " WHEN 'integer'::regtype THEN 2147483647 ELSE 9223372036854775807 END",
        "' MAXVALUE ' || seqmax",
    )
    + " || "
    + _with("seqcache <> 1", "' CACHE ' || seqcache")
    + " || "
    + _with("seqcycle", "' CYCLE'")
)

_OWNED = (
    "refclassid = 'pg_class'::regclass AND refobjid = r.oid AND refobjsubid > 0"
    " AND classid = 'pg_class'::regclass AND objsubid = 0 AND deptype IN ('a', 'i')"
)
_THINGS = f"""
relations AS MATERIALIZED (
  SELECT c.oid, nspname AS space, relname AS name, relkind AS kind, relam, relpersistence,
    relreplident, relrowsecurity, relforcerowsecurity, relispopulated, relispartition,
    relpartbound, reloptions, reltablespace, reloftype
  FROM {{relations}} JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND {_OWN_SCHEMA}
  AND {_no_member("pg_class", "c.oid")}
), owned AS MATERIALIZED (
  SELECT r.oid, d.refobjsubid AS number, d.deptype, d.objid::regclass AS sequence,
    {_SEQUENCE} AS options
  FROM relations r {_each("pg_depend", "d", _OWNED)} JOIN pg_sequence q ON q.seqrelid = d.objid
), types AS MATERIALIZED (
  SELECT t.oid, nspname AS space, typname AS name, typtype, typelem, typrelid, typbasetype,
    typtypmod, typnotnull, typdefault, typcollation
  FROM {{types}} JOIN pg_namespace n ON n.oid = typnamespace
  WHERE {_OWN_SCHEMA} AND {_no_member("pg_type", "t.oid")}
), routines AS MATERIALIZED (
  SELECT p.oid, nspname AS space, proname, prokind FROM {{routines}}
  JOIN pg_namespace n ON n.oid = pronamespace
  WHERE {_OWN_SCHEMA} AND {_no_member("pg_proc", "p.oid", "'e', 'i'")}
)"""

_RELATION_KINDS = (
    "CASE kind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'"
    " WHEN 'c' THEN 'composite type' WHEN 'f' THEN 'foreign table' ELSE 'table' END"
)
_OPTIONS = "coalesce(' WITH (' || array_to_string({}, ', ') || ')', '')"
_PARENTS = (
    "(SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)"
    " FROM pg_inherits WHERE inhrelid = r.oid)"
)
_TABLESPACE = (
    "coalesce((SELECT ' TABLESPACE ' || quote_ident(spcname) FROM pg_tablespace"
    " WHERE pg_tablespace.oid = {}), '')"
)

_STORAGE = (
    "' STORAGE ' || CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'"
    " WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END"
)

# Each: kind, schema, group (the table or type), name (NULL: the group's own), definition.
_BRANCHES = [
    f"""
  SELECT {_RELATION_KINDS}, space, name, NULL::text,
    CASE WHEN kind IN ('v', 'm') THEN
      {_OPTIONS.format("reloptions")} || ' AS ' || pg_get_viewdef(r.oid)
      || {_with("kind = 'm' AND NOT relispopulated", "' WITH NO DATA'")}
    WHEN kind = 'S' THEN (SELECT {_SEQUENCE} FROM pg_sequence WHERE seqrelid = r.oid)
    WHEN kind = 'c' THEN (
      SELECT '(' || string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
        || coalesce(' COLLATE ' || quote_ident(o.collname), ''), ', ' ORDER BY attnum) || ')'
      FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
      LEFT JOIN pg_collation o ON o.oid = attcollation AND attcollation <> typcollation
      WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped)
    ELSE
      {_with("relpersistence = 'u'", "' UNLOGGED'")}
      || {_with("reloftype <> 0", "' OF ' || format_type(reloftype, NULL)")}
      || CASE WHEN relispartition
         THEN ' PARTITION OF ' || {_PARENTS} || ' ' || pg_get_expr(relpartbound, r.oid)
         ELSE coalesce(' INHERITS (' || {_PARENTS} || ')', '') END
      || {_with("kind = 'p'", "' PARTITION BY ' || pg_get_partkeydef(r.oid)")}
      || coalesce((SELECT ' USING ' || amname FROM pg_am WHERE pg_am.oid = relam
         AND amname <> 'heap'), '')
      || coalesce((SELECT ' SERVER ' || quote_ident(srvname)
         || coalesce(' OPTIONS (' || array_to_string(ftoptions, ', ') || ')', '')
         FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver
         WHERE ftrelid = r.oid), '')
      || {_OPTIONS.format("reloptions")}
      || {_with("relreplident NOT IN ('d', 'n')", "' REPLICA IDENTITY ' || relreplident::text")}
      || {_with("relrowsecurity", "' ROW LEVEL SECURITY'")}
      || {_with("relforcerowsecurity", "' FORCE ROW LEVEL SECURITY'")}
    END || {_TABLESPACE.format("reltablespace")} || {_comment("d")}
  FROM relations r {_describe("d", "pg_class", "r.oid")}
  WHERE kind <> 'S' OR NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
    AND objid = r.oid AND objsubid = 0 AND deptype IN ('a', 'i')
    AND refclassid = 'pg_class'::regclass OFFSET 0)""",
    f"""
  SELECT 'column', space, r.name, attname::text,
    format_type(atttypid, atttypmod) || coalesce(' COLLATE ' || quote_ident(collname), '')
    || {_with("attnotnull", "' NOT NULL'")}
    || CASE WHEN attgenerated <> '' THEN ' GENERATED ALWAYS AS ('
         || pg_get_expr(adbin, adrelid) || ')' || {_with("attgenerated = 's'", "' STORED'")}
       ELSE coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') END
    || CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
       WHEN 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY' ELSE '' END
    || CASE o.deptype WHEN 'i' THEN {_with("options <> ''", "' (' || ltrim(options) || ')'")}
       WHEN 'a' THEN ' OWNS ' || o.sequence || options ELSE '' END
    || {_with("attstorage <> t.typstorage", _STORAGE)}
    || {_with("attstattarget >= 0", "' STATISTICS ' || attstattarget")}
    || {_OPTIONS.format("attoptions")}
    || coalesce(' OPTIONS (' || array_to_string(attfdwoptions, ', ') || ')', '')
    || {_comment("d")}
  FROM relations r
  JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 AND NOT attisdropped
  JOIN pg_type t ON t.oid = atttypid
  LEFT JOIN pg_collation c ON c.oid = attcollation AND attcollation <> t.typcollation
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  LEFT JOIN owned o ON o.oid = attrelid AND o.number = attnum
  {_describe("d", "pg_class", "attrelid", "attnum")}
  WHERE kind IN ('r', 'p', 'f') OR kind IN ('v', 'm') AND (adbin IS NOT NULL
    OR d.description IS NOT NULL)""",
    f"""
  SELECT CASE contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'c' THEN 'check'
    WHEN 'f' THEN 'foreign key' ELSE 'exclusion' END, space, r.name, conname::text,
    regexp_replace(pg_get_constraintdef(c.oid), '^(PRIMARY KEY|UNIQUE|CHECK|FOREIGN KEY|EXCLUDE) ',
      '')
    || {_with("indisclustered", "' CLUSTER'")}
    || {_with("indisreplident", "' REPLICA IDENTITY'")} || {_comment("d")}
  FROM relations r JOIN pg_constraint c ON conrelid = r.oid
  LEFT JOIN pg_index ON indexrelid = conindid AND contype IN ('p', 'u', 'x')
  {_describe("d", "pg_constraint", "c.oid")}
  WHERE contype IN ('p', 'u', 'c', 'f', 'x') AND NOT (contype = 'f' AND conparentid <> 0)""",
    f"""
  SELECT 'index', space, r.name, i.relname::text,
    {_with("indisunique", "'UNIQUE '")}
    || regexp_replace(
      regexp_replace(pg_get_indexdef(i.oid), '^.*? USING ', ''), '^btree ', '')
    || {_with("NOT indisvalid", "' INVALID'")} || {_with("NOT indisready", "' NOT READY'")}
    || {_with("indisclustered", "' CLUSTER'")}
    || {_with("indisreplident", "' REPLICA IDENTITY'")}
    || {_TABLESPACE.format("i.reltablespace")} || {_comment("d")}
  FROM relations r JOIN pg_index x ON indrelid = r.oid JOIN pg_class i ON i.oid = indexrelid
  {_describe("d", "pg_class", "i.oid")}
  WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = r.oid AND conindid = i.oid
    AND contype IN ('p', 'u', 'x'))""",
    f"""
  SELECT 'trigger', space, r.name, tgname::text,
    regexp_replace(pg_get_triggerdef(t.oid), '^CREATE (CONSTRAINT )?TRIGGER \\S+ ', '\\1')
    || CASE tgenabled WHEN 'D' THEN ' DISABLED' WHEN 'R' THEN ' REPLICA' WHEN 'A' THEN ' ALWAYS'
       ELSE '' END || {_comment("d")}
  FROM relations r {_each("pg_trigger", "t", "tgrelid = r.oid AND NOT tgisinternal")}
  {_describe("d", "pg_trigger", "t.oid")}""",
    f"""
  SELECT 'rule', space, r.name, rulename::text, pg_get_ruledef(u.oid)
    || {_with("ev_enabled <> 'O'", "' ' || ev_enabled::text")} || {_comment("d")}
  FROM relations r {_each("pg_rewrite", "u", "ev_class = r.oid AND rulename <> '_RETURN'")}
  {_describe("d", "pg_rewrite", "u.oid")}""",
    f"""
  SELECT 'policy', space, r.name, polname::text,
    {_with("NOT polpermissive", "'RESTRICTIVE '")}
    || 'FOR ' || CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
       WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
    || ' TO ' || (SELECT string_agg(coalesce(rolname, 'public'), ', ' ORDER BY rolname)
       FROM unnest(polroles) AS role LEFT JOIN pg_roles ON pg_roles.oid = role)
    || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '')
    || coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '')
    || {_comment("d")}
  FROM relations r {_each("pg_policy", "p", "polrelid = r.oid")}
  {_describe("d", "pg_policy", "p.oid")}""",
    f"""
  SELECT CASE typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
    ELSE 'type' END, space, name, NULL,
    CASE typtype
    WHEN 'e' THEN (SELECT '(' || string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
      || ')' FROM pg_enum WHERE enumtypid = t.oid)
    WHEN 'd' THEN format_type(typbasetype, typtypmod)
      || coalesce(' COLLATE ' || quote_ident(collname), '')
      || {_with("typnotnull", "' NOT NULL'")} || coalesce(' DEFAULT ' || typdefault, '')
    WHEN 'r' THEN (SELECT format_type(rngsubtype, NULL) || ' ' || rngsubopc::text
      FROM pg_range WHERE rngtypid = t.oid)
    ELSE '' END || {_comment("d")}
  FROM types t
  LEFT JOIN pg_collation c ON typtype = 'd' AND c.oid = t.typcollation AND collname <> 'default'
  {_describe("d", "pg_type", "t.oid")}
  WHERE typtype IN ('e', 'd', 'r') OR typtype = 'b' AND typelem = 0""",
    f"""
  SELECT 'check', space, name, conname::text,
    regexp_replace(pg_get_constraintdef(c.oid), '^CHECK ', '') || {_comment("d")}
  FROM types t {_each("pg_constraint", "c", "contypid = t.oid AND contype = 'c'")}
  {_describe("d", "pg_constraint", "c.oid")}""",
    f"""
  SELECT CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    space, proname || '()', proname || '(' || pg_get_function_identity_arguments(f.oid) || ')',
    CASE WHEN prokind <> 'a' THEN pg_get_functiondef(f.oid) ELSE (
      SELECT format_type(p.prorettype, NULL) || ' SFUNC ' || aggtransfn || ' STYPE '
        || format_type(aggtranstype, NULL) || ' FINALFUNC ' || aggfinalfn
        || coalesce(' INITCOND ' || quote_literal(agginitval), '')
      FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid WHERE aggfnoid = f.oid)
    END || {_comment("d")}
  FROM routines f {_describe("d", "pg_proc", "f.oid")}""",
]

_OF_RELATIONS = _BRANCHES[:7]

# What statements are rare for: read with the whole only, and these statements make it so.
_OTHERS = [
    "SELECT 'schema', '', 'schema ' || nspname, nspname::text,"
    " coalesce('COMMENT ' || quote_literal(obj_description(n.oid, 'pg_namespace')), '')"
    " FROM pg_namespace n"
    f" WHERE {_OWN_SCHEMA} AND {_no_member('pg_namespace', 'n.oid')}",
    "SELECT 'extension', '', 'extension ' || extname, extname::text,"
    " extversion || ' SCHEMA ' || quote_ident(nspname)"
    " FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname <> 'plpgsql'",
    "SELECT 'event trigger', '', 'event trigger ' || evtname, evtname::text,"
    " evtevent || ' ' || evtfoid::regproc || coalesce(' ' || array_to_string(evttags, ', '), '')"
    f" || ' ' || evtenabled::text FROM pg_event_trigger e"
    f" WHERE {_no_member('pg_event_trigger', 'e.oid')}",
    "SELECT 'statistics', '', 'statistics ' || stxname, stxname::text,"
    f" pg_get_statisticsobjdef(oid) FROM pg_statistic_ext e"
    f" WHERE {_no_member('pg_statistic_ext', 'e.oid')}",
] + [
    # OIDs below are the server's own: FirstNormalObjectId in its access/transam.h.
    f"SELECT i.type, '', i.type || ' ' || i.identity, i.identity, '' FROM {catalog} o,"
    f" pg_identify_object('{catalog}'::regclass, o.oid, 0) i"
    f" WHERE o.oid >= 16384 AND {_no_member(catalog, 'o.oid')}"
    for catalog in (
        "pg_collation",
        "pg_conversion",
        "pg_operator",
        "pg_opclass",
        "pg_opfamily",
        "pg_cast",
        "pg_ts_config",
        "pg_ts_dict",
        "pg_foreign_data_wrapper",
        "pg_foreign_server",
        "pg_publication",
    )
]


def _postgresql_sql(sources: dict[str, str], touch: str, branches: list[str]) -> str:
    ends = [f"\n  SELECT '', '', '', concat({settings}), ''" for settings in (_SET, _RESET)]
    branches = [ends[0], *branches, ends[1]]
    return f"WITH {touch}{_THINGS.format(**sources)}" + "\nUNION ALL ".join(branches)


_POSTGRESQL_WHOLE = _postgresql_sql(_WHOLE, "", [*_BRANCHES, *_OTHERS])
_RELATIONS = _WHOLE | {"relations": _TOUCHED["relations"]}
_POSTGRESQL_LOOKS = {
    "alembic_toolkit_all": _postgresql_sql(_TOUCHED, _TOUCH, _BRANCHES),
    "alembic_toolkit_relations": _postgresql_sql(_RELATIONS, _TOUCH_RELATIONS, _OF_RELATIONS),
}
_BEYOND_RELATIONS = _words("rename domain function procedure aggregate") | {_ABOUT_TYPES}
_ROUTINES = ("function", "procedure", "aggregate")
_BELONGING = _words(
    "column,primary key,unique,check,foreign key,exclusion,index,trigger,rule,policy", ","
)


def _take_postgresql(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    default = connection.dialect.default_schema_name or "public"
    if known is not None:
        found = _touched_postgresql(connection, known, names, default, ignore)
        if found is not None:
            return found
    for look in _POSTGRESQL_LOOKS:
        connection.info.pop(look, None)  # DISCARD ALL may have removed it
    snapshot = Snapshot()
    for item in _postgresql_items(_query(connection, _POSTGRESQL_WHOLE), default, ignore):
        snapshot.add(*item)
    schemas = {thing.name for thing in snapshot if thing.kind == "schema"} - {default}
    snapshot.spaces = ("", *(f"{schema}." for schema in schemas))
    snapshot.watched = any(thing.kind == "event trigger" for thing in snapshot)
    return snapshot


def _postgresql_items(
    rows: Iterable[Any], default: str, ignore: frozenset[str]
) -> Iterator[tuple[str, Thing, str]]:
    plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", default)
    prefix = default + "." if plain else '"' + default.replace('"', '""') + '".'
    qualified = re.compile(rf'(?<![\w".$]){re.escape(prefix)}')
    for kind, space, group, name, definition in rows:
        if not kind or group in ignore:
            continue
        before = "" if space in ("", default) else f"{space}."
        if kind in _BELONGING:
            thing = Thing(kind, before + group, name)
        else:
            thing = Thing(kind, "", before + (group if name is None else name))
        text = definition or ""
        if prefix in text and kind not in _ROUTINES:
            text = qualified.sub("", text)
        yield f"{before}\0{group}", thing, text.strip()


def _touched_postgresql(
    connection: sa.Connection,
    known: Snapshot,
    names: frozenset[str],
    default: str,
    ignore: frozenset[str],
) -> Snapshot | None:
    """Return what became of ``known``; None when it cannot be told without reading everything."""
    if not _postgresql_knows(known, names):
        return None
    if not names & _DEFINING:
        return known.copy()
    asked = {name for name in names if name not in _RESERVED or f'"{name}"' in names}
    if "index" in names and names & {"drop", "alter"}:
        keys = ((space, name) for space in known.spaces for name in names)
        groups = (known.indexes[key] for key in keys if key in known.indexes)
        asked |= {group.partition("\0")[2] for group in groups}
    few = not names & _BEYOND_RELATIONS
    look = "alembic_toolkit_relations" if few else "alembic_toolkit_all"
    arguments, nothing = "name[], boolean", "ARRAY[]::name[], false"
    prepare(connection, look, arguments, _POSTGRESQL_LOOKS[look], nothing)
    array = ", ".join(_postgresql_literal(name) for name in sorted(asked) if "\0" not in name)
    renamed = "true" if "rename" in names else "false"
    rows = _query(connection, f"EXECUTE {look} (ARRAY[{array}]::name[], {renamed})")
    items = list(_postgresql_items(rows, default, ignore))
    # Names are cut to 63 bytes, as the server does.
    cut = {name.encode()[:63].decode(errors="ignore") for name in asked}
    gone = {f"{space}\0{name}{end}" for space in known.spaces for name in cut for end in ("", "()")}
    if few:
        gone = {group for group in gone & known.groups.keys() if _is_relation(known.groups[group])}
    return _replaced(known, gone, items)


def _is_relation(things: Iterable[Thing]) -> bool:
    kind = next(iter(things)).kind
    return kind not in ("enum", "domain", "range", "type", *_ROUTINES)


def _postgresql_knows(known: Snapshot, names: frozenset[str]) -> bool:
    """Say whether nothing happened behind the names' back."""
    for name in names:
        for group in (space + "\0" + name for space in known.spaces):
            # A function that is called, replaced or dropped may do anything.
            if f"{group}()" in known.groups:
                return False
            # Partitions go with their table, and are named nowhere.
            things = known.groups.get(group)
            if things and "drop" in names and any(map(_PARTITIONED, things.values())):
                return False
    return not known.watched


_PARTITIONED = re.compile(r"\bPARTITION BY ").search


# Catalogs are small when a look-up is planned, and grow: the plan must not scan them. Nor be
# compiled, as it is when such a scan, which counts as most expensive, cannot be avoided.
_PLANNED_WITH = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "jit")


def prepare(connection: sa.Connection, name: str, types: str, sql: str, example: str) -> None:
    """Prepare a look-up in PostgreSQL's catalogs, once for each connection.

    Planning it anew for each list of names would cost more than looking; its plan is good for any.

    :param example: arguments that find nothing.
    """
    if connection.info.get(name):
        return
    there = f"SELECT 1 FROM pg_prepared_statements WHERE name = '{name}'"
    if not _query(connection, there):
        _query(connection, f"PREPARE {name} ({types}) AS {sql}")
    _query(connection, "SELECT set_config('plan_cache_mode', 'force_generic_plan', false)")
    values = ", ".join(f"current_setting('{setting}')" for setting in _PLANNED_WITH)
    [before] = _query(connection, f"SELECT {values}")
    _set_planner(connection, ["off"] * len(_PLANNED_WITH))
    _query(connection, f"EXECUTE {name} ({example})")
    _set_planner(connection, before)
    connection.info[name] = True


def _set_planner(connection: sa.Connection, values: Iterable[str]) -> None:
    pairs = zip(_PLANNED_WITH, values, strict=True)
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in pairs)
    _query(connection, f"SELECT {settings}")


def _postgresql_literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _replaced(
    known: Snapshot, gone: Iterable[str], items: Collection[tuple[str, Thing, str]]
) -> Snapshot:
    """Return a copy in which these groups, and those of the items, are what the items say."""
    snapshot = known.copy()
    for group in {*gone, *(group for group, _, _ in items)} & snapshot.groups.keys():
        snapshot.forget(group)
    for item in items:
        snapshot.add(*item)
    return snapshot


# MariaDB and MySQL


def _take_mysql(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    if known is not None and not names & _DEFINING:
        return known.copy()
    gone, tables = set[str](), set[str]()
    if known is None:
        items = _mysql_database(connection)
        tables = {row[0] for row in _query(connection, "SHOW TABLES")}
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
    return _replaced(known or Snapshot(), gone, items)


_Item = tuple[str, Thing, str]
_PROGRAMS = " programs"  # the group of all triggers, routines and events


def _backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


_MYSQL_STRING = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\""
_MYSQL_NAME = re.compile(rf"(?P<keep>{_MYSQL_STRING})|`(\w+)`", re.S)


def _mysql_text(text: str, qualifier: str) -> str:
    """Take out the database's own name, and quotes that only get in a reader's way."""
    text = text.replace(qualifier, "")
    return _MYSQL_NAME.sub(lambda match: match["keep"] or match[2], text) if "`" in text else text


def _mysql_database(connection: sa.Connection) -> list[_Item]:
    query = (
        "SELECT default_collation_name FROM information_schema.schemata"
        " WHERE schema_name = DATABASE()"
    )
    thing = Thing("database", "", "(default)")
    return [(" database", thing, f"COLLATE {row[0]}") for row in _query(connection, query)]


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
        new = [name for name in names if name not in _RESERVED or f'"{name}"' in names]
        listed = ", ".join(_mysql_literal(name) for name in sorted(new))
        query = (
            "SELECT table_name FROM information_schema.tables"
            f" WHERE table_schema = DATABASE() AND table_name IN ({listed or 'NULL'})"
        )
        tables |= {row[0] for row in _query(connection, query)}
    return gone, tables


def _mysql_literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _mysql_table_items(connection: sa.Connection, name: str) -> list[_Item]:
    """Read a table, view or sequence; none when it is not there."""
    try:
        [row] = _query(connection, f"SHOW CREATE TABLE {_backticks(name)}")
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
        [row] = _query(connection, f"SHOW CREATE SEQUENCE {_backticks(name)}")
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
            text = f"{text}{_MADE}{keys[text, name]}"
        yield kind, name, text


def _mysql_programs_touched(known: Snapshot, names: frozenset[str]) -> bool:
    if names & {"trigger", "function", "procedure", "event"}:
        return True
    # Triggers go with their table, also when CREATE OR REPLACE drops it.
    triggers = any(thing.kind == "trigger" for thing in known.groups.get(_PROGRAMS, ()))
    return triggers and bool(names & {"drop", "replace", "rename"})


_DEFINER = re.compile(r"\bDEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ")


def _mysql_programs(connection: sa.Connection) -> Iterator[_Item]:
    triggers = (
        "SELECT event_object_table, trigger_name, action_timing, event_manipulation,"
        " action_statement, action_order FROM information_schema.triggers"
        " WHERE trigger_schema = DATABASE()"
    )
    for table, name, timing, event, statement, order in _query(connection, triggers):
        text = f"{timing} {event} {statement}" + (f" ORDER {order}" if order > 1 else "")
        yield _PROGRAMS, Thing("trigger", table, name), text
    programs = (
        "SELECT routine_type, routine_name FROM information_schema.routines"
        " WHERE routine_schema = DATABASE() UNION ALL SELECT 'EVENT', event_name"
        " FROM information_schema.events WHERE event_schema = DATABASE()"
    )
    for kind, name in _query(connection, programs):
        [row] = _query(connection, f"SHOW CREATE {kind} {_backticks(name)}")
        text = row[3 if kind == "EVENT" else 2] or ""
        # When an event was made is when it starts, unless that was said: not a difference.
        if kind == "EVENT":
            text = re.sub(r" STARTS '[^']*'", "", text, count=1)
        text = _DEFINER.sub("", text, count=1).removeprefix("CREATE ")
        yield _PROGRAMS, Thing(kind.lower(), "", name), text


# SQLite


def _take_sqlite(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    """Read the texts, which is cheap; take apart those that ``known`` did not have."""
    # Not the names but the texts say what changed: that is exact.
    schemas = [row[1] for row in _query(connection, "PRAGMA database_list") if row[1] != "temp"]
    rows = frozenset[_Row]().union(*(_sqlite_rows(connection, schema) for schema in schemas))
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
    snapshot = _replaced(before, changed, items)
    snapshot.rows, snapshot.implicit = rows, frozenset(implicit)
    return snapshot


_Row = tuple[str, str, str, str, str]  # schema and ".", kind, name, table, text


def _sqlite_rows(connection: sa.Connection, schema: str) -> list[_Row]:
    # Every name in SQL of SQLite's own begins with sqlite_; automatic indexes have no text.
    quoted = '"' + schema.replace('"', '""') + '"'
    before = "" if schema == "main" else schema.replace("'", "''") + "."
    query = (
        f"SELECT '{before}', type, name, tbl_name, sql FROM {quoted}.sqlite_master"
        " WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_'"
    )
    return _query(connection, query)


def _sqlite_group(row: _Row) -> str:
    return row[0] + row[3]


def _sqlite_items(row: _Row) -> list[_Item]:
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


def _sqlite_resolved(items: list[_Item], before: Snapshot) -> list[_Item]:
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


_SQLITE_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
    | [^\W\d][\w$]* | [\d.]+(?:e[+-]?\d+)? | ->>|->|\|\||<<|>>|<=|>=|<>|!=|== | .""",
    re.S | re.X | re.I,
)
_SPACED_BEFORE_PARENTHESIS = _words(
    "in and or not check as values references over when then else like between is where from on"
    " select by join using exists case"
)


def _sqlite_tokens(sql: str) -> list[str]:
    return [match[0] for match in _SQLITE_TOKEN.finditer(sql) if not match["skip"]]


def _name(token: str) -> str:
    """Return the name that a token is, without its quotes."""
    if token[0] not in "\"'`[":
        return token
    quote = token[-1]
    return token[1:-1] if quote == "]" else token[1:-1].replace(quote * 2, quote)


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else '"' + name.replace('"', '""') + '"'


def _text(tokens: list[str], fold: bool = True, columns: Collection[str] = ()) -> str:
    """Write tokens in one way, whatever white space, quotes and letter case the author chose."""
    text = ""
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        if token[0] in '"`[':
            name = _name(token)
            token = _quoted(name.lower() if name.lower() in columns else name)
        elif token[0] != "'" and (fold or token.lower() in _RESERVED):
            token = token.lower()
        text += _gap(before, token, tokens[place - 2] if place > 1 else "") + token
    return text


def _gap(before: str, token: str, earlier: str) -> str:
    """Return the white space between two tokens."""
    if not before or before in "(." or token in "),.;":
        return ""
    if token == "(" and (before[0].isalnum() or before[0] in '_"`['):
        return " " if before.lower() in _SPACED_BEFORE_PARENTHESIS else ""
    sign = before in "+-" and (not earlier or not (earlier[-1].isalnum() or earlier[-1] in "_)'\""))
    return "" if sign else " "


def _bare(tokens: list[str]) -> list[str]:
    """Strip parentheses around the whole."""
    while len(tokens) > 2 and tokens[0] == "(" and _closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def _closing(tokens: list[str], start: int) -> int:
    """Return where the parenthesis at ``start`` is closed."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += (tokens[place] == "(") - (tokens[place] == ")")
        if not depth:
            return place
    return len(tokens) - 1


def _listed(tokens: list[str]) -> list[list[str]]:
    """Split at the commas that are in no parentheses."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


@lru_cache(maxsize=8192)
def _sqlite_other(kind: str, sql: str) -> str:
    """Write the definition of an index, a trigger or a view."""
    tokens = _sqlite_tokens(sql)
    words = [token.lower() for token in tokens]
    if kind == "index":
        start = words.index("(", words.index("on"))
        end = _closing(tokens, start)
        unique = "UNIQUE " if "unique" in words[:3] else ""
        where = " WHERE " + _text(_bare(tokens[end + 2 :])) if end + 1 < len(tokens) else ""
        return f"{unique}({_indexed(tokens[start + 1 : end])}){where}"
    # After the name, which may be that of a schema first.
    start = words.index(kind) + 1
    start += 3 if words[start : start + 3] == ["if", "not", "exists"] else 0
    start += 3 if words[start + 1 : start + 2] == ["."] else 1
    return _text(tokens[start:], fold=kind == "trigger")


def _indexed(tokens: list[str]) -> str:
    """Write the columns of a key; ascending is how they are by default."""
    parts = []
    for part in _listed(tokens):
        words = [token.lower() for token in part]
        if words[-1] in ("asc", "desc"):
            part = part[:-1]
        names = {_name(token).lower() for token in part if token[0] in '"`['}
        text = _text(part, columns=names)
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
        self.place = _closing(self.tokens, start) + 1
        return self.tokens[start + 1 : self.place - 1]

    def text(self, tokens: list[str]) -> str:
        """Write an expression."""
        return _text(tokens, columns=self.columns)

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
    tokens = _sqlite_tokens(sql)
    words = [token.lower() for token in tokens]
    if "virtual" in words[:2]:
        return (("table", "", "VIRTUAL " + _text(tokens[words.index("using") :])),)
    start = words.index("(")
    end = _closing(tokens, start)
    options = {" ".join(part) for part in _listed(words[end + 1 :])}
    table = _Table(tokens[: end + 1], tuple(words[: end + 1]))
    table.columns = _column_names(_listed(tokens[start + 1 : end]))
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
    names = [_name(part[0]) for part in parts if part[0].lower() not in _CONSTRAINT]
    return {name.lower(): name for name in names}


def _sqlite_column(table: _Table) -> None:
    column = _name(table.next()).lower()
    start = table.place
    while table.more and table.words[table.place] not in (*_COLUMN_CONSTRAINT, "as"):
        if table.at("("):
            table.enclosed()
        else:
            table.place += 1
    kind = _text([_name(token) for token in table.tokens[start : table.place]]).upper()
    table.facts[column] = {"type": kind.replace(" (", "(")}
    while table.more:
        _sqlite_constraint(table, column)


def _sqlite_constraint(table: _Table, column: str | None) -> None:
    """Read one constraint of a column, or of the table; a name may come before it."""
    name = ""
    if table.skip("constraint"):
        name = _name(table.next())
        if not table.more or table.at("constraint"):
            return  # SQLite allows a name and nothing
    if table.skip("primary", "key"):
        _sqlite_primary(table, column, name)
    elif table.skip("unique"):
        columns = _quoted(column) if column else _indexed(table.enclosed())
        _add(table, "unique", name, f"({columns})" + _conflict(table))
    elif table.skip("check"):
        # The parentheses stay: they tell an unnamed check's text from a name.
        text = f"({table.text(_bare(table.enclosed()))})"
        _add(table, "check", name, text + _conflict(table))
    elif table.skip("foreign", "key"):
        columns = _indexed(table.enclosed())
        table.skip("references")
        _sqlite_foreign(table, name, columns)
    elif table.skip("references"):
        _sqlite_foreign(table, name, _quoted(column or ""))
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
        tokens = [_quoted(column), *order]
    conflict = _conflict(table)
    counts = table.skip("autoincrement") or tokens[-1].lower() == "autoincrement"
    if tokens[-1].lower() == "autoincrement":
        tokens = tokens[:-1]
    table.key = [_name(part[0]).lower() for part in _listed(tokens)]
    text = f"({_indexed(tokens)})" + (" AUTOINCREMENT" if counts else "") + conflict
    _add(table, "primary key", name, text)


def _sqlite_foreign(table: _Table, name: str, columns: str) -> None:
    parent = _quoted(_name(table.next()).lower())
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
        collation = _name(table.next()).upper()
        facts["collate"] = "" if collation == "BINARY" else f"COLLATE {collation}"
    elif table.skip("default"):
        facts["default"] = f"DEFAULT {_sqlite_default(table)}"
    elif table.skip("generated", "always", "as") or table.skip("as"):
        text = table.text(_bare(table.enclosed()))
        stored = " STORED" if table.skip("stored") else ""
        table.skip("virtual")
        facts["generated"] = f"GENERATED ALWAYS AS ({text}){stored}"
    else:
        table.place += 1


def _sqlite_default(table: _Table) -> str:
    if table.at("("):
        return table.text(_bare(table.enclosed()))
    token = table.next()
    if token in ("+", "-"):
        return token + table.next().lower()
    # "text" and unquoted words that are no keywords are strings here.
    return "'" + _name(token).replace("'", "''") + "'" if token[0] in '"`[' else table.text([token])


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


_SERVERS: dict[
    str,
    Callable[
        [sa.Connection, Snapshot | None, frozenset[str], frozenset[str]],
        Snapshot,
    ],
] = {
    "sqlite": _take_sqlite,
    "postgresql": _take_postgresql,
    "mysql": _take_mysql,
    "mariadb": _take_mysql,
}
