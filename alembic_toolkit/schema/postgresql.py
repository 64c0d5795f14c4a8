"""Read the schema of a PostgreSQL database from its catalogs in one statement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from alembic_toolkit.schema.ask import ask
from alembic_toolkit.schema.names import ABOUT_TYPES, DEFINING
from alembic_toolkit.schema.snapshot import Snapshot, Thing, replaced
from alembic_toolkit.sql import normal
from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.quoting import identifier, postgresql_literal

# These settings control how the catalog's functions write names and constants: fix them for one
# statement, and restore them at its end. The branches of a UNION ALL run in order.
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
    """Write the condition that no extension created it; with 'i', nor that it is a range type's."""
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
    """Write a join that uses an index for each row, whatever the planner knows about the catalog.

    The plan is made once, when the catalog is small, and the catalog grows: ``OFFSET 0`` separates
    the rows of one relation from those of all.
    """
    return f"CROSS JOIN LATERAL (SELECT * FROM {catalog} WHERE {condition} OFFSET 0) {alias}"


# What to read: everything, or touched objects only.
_WHOLE = {"relations": "pg_class c", "types": "pg_type t", "routines": "pg_proc p"}
_TOUCHED = {
    "relations": "touched_relations x JOIN pg_class c ON c.oid = x.oid",
    "types": "touched_types x JOIN pg_type t ON t.oid = x.oid",
    "routines": "touched_routines x JOIN pg_proc p ON p.oid = x.oid",
}

# Indexes by their tables, owned sequences by their owners. Partitions and children follow their
# parents. Dependent objects change when an object is renamed ($2): foreign keys, views, defaults,
# checks, the columns of a type; the server records them in pg_depend.
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
# If nothing is renamed, and only relations can have changed.
_TOUCH_RELATIONS = f"""{_TREE}, touched_relations AS MATERIALIZED (
  SELECT oid FROM tree
  UNION SELECT oid FROM named
),"""

_HIGHEST = (
    "CASE seqtypid WHEN 'smallint'::regtype THEN 32767 WHEN 'integer'::regtype THEN 2147483647"
    " ELSE 9223372036854775807 END"
)
_SEQUENCE_OPTIONS = {  # the condition for a non-default value -> how it is written
    "seqtypid <> 'bigint'::regtype": "' AS ' || format_type(seqtypid, NULL)",
    "seqincrement <> 1": "' INCREMENT ' || seqincrement",
    "seqstart <> 1": "' START ' || seqstart",
    "seqmin <> 1": "' MINVALUE ' || seqmin",
    f"seqmax <> {_HIGHEST}": "' MAXVALUE ' || seqmax",
    "seqcache <> 1": "' CACHE ' || seqcache",
    "seqcycle": "' CYCLE'",
}
_SEQUENCE = " || ".join(_with(*option) for option in _SEQUENCE_OPTIONS.items())

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


def _options(array: str, settable: str) -> str:
    """Write the options that users can set, sorted: the server keeps the order of setting."""
    listed = f"(SELECT string_agg(o, ', ' ORDER BY o) FROM unnest({array}) o WHERE {settable})"
    return f"CASE WHEN {array} IS NULL THEN '' ELSE coalesce(' WITH (' || {listed} || ')', '') END"


# The server stores its own data in both: 17.12, 15.20 and others write pg_attver to each column.
# https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-STORAGE-PARAMETERS
_RELATION_OPTIONS = _options("reloptions", "o !~ '^pg_'")  # an access method may have its own
# https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-ATTRIBUTE-OPTION
_COLUMN_OPTIONS = _options("attoptions", "o ~ '^n_distinct(_inherited)?='")
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

# A NOT NULL constraint, alias n: of a domain since PostgreSQL 17, of a column since 18. A name that
# the server chose is ignored, because no verb can restore it.
_NOT_NULL = (
    _with("n.conname !~ '_not_null[0-9]*$'", "' CONSTRAINT ' || quote_ident(n.conname)")
    + " || ' NOT NULL' || "
    + _with("n.connoinherit", "' NO INHERIT'")
    + " || "
    + _with("NOT n.convalidated", "' NOT VALID'")
)

# Each row: kind, schema, group (the table or type), name (NULL: the group's own), definition.
_BRANCHES = [
    f"""
  SELECT {_RELATION_KINDS}, space, name, NULL::text,
    CASE WHEN kind IN ('v', 'm') THEN
      {_RELATION_OPTIONS} || ' AS ' || pg_get_viewdef(r.oid)
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
      || {_RELATION_OPTIONS}
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
    || {_with("attnotnull", _NOT_NULL)}
    || CASE WHEN attgenerated <> '' THEN ' GENERATED ALWAYS AS ('
         || pg_get_expr(adbin, adrelid) || ')' || {_with("attgenerated = 's'", "' STORED'")}
       ELSE coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') END
    || CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
       WHEN 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY' ELSE '' END
    || CASE o.deptype WHEN 'i' THEN {_with("options <> ''", "' (' || ltrim(options) || ')'")}
       WHEN 'a' THEN ' OWNS ' || o.sequence || options ELSE '' END
    || {_with("attstorage <> t.typstorage", _STORAGE)}
    || {_with("attstattarget >= 0", "' STATISTICS ' || attstattarget")}
    || {_COLUMN_OPTIONS}
    || coalesce(' OPTIONS (' || array_to_string(attfdwoptions, ', ') || ')', '')
    || {_comment("d")}
  FROM relations r
  JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 AND NOT attisdropped
  JOIN pg_type t ON t.oid = atttypid
  LEFT JOIN pg_collation c ON c.oid = attcollation AND attcollation <> t.typcollation
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  LEFT JOIN owned o ON o.oid = attrelid AND o.number = attnum
  LEFT JOIN pg_constraint n ON conrelid = attrelid AND contype = 'n' AND conkey[1] = attnum
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
      || {_with("typnotnull", _NOT_NULL)} || coalesce(' DEFAULT ' || typdefault, '')
    WHEN 'r' THEN (SELECT format_type(rngsubtype, NULL) || ' ' || rngsubopc::text
      FROM pg_range WHERE rngtypid = t.oid)
    ELSE '' END || {_comment("d")}
  FROM types t
  LEFT JOIN pg_collation c ON typtype = 'd' AND c.oid = t.typcollation AND collname <> 'default'
  LEFT JOIN pg_constraint n ON n.contypid = t.oid AND n.contype = 'n'
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
_PLAIN = _BRANCHES[:4]  # without triggers, rules and policies

# Catalogs whose entries are enough, without definitions.
_IDENTIFIED = normal.words(
    "pg_collation pg_conversion pg_operator pg_opclass pg_opfamily pg_cast pg_ts_config pg_ts_dict"
    " pg_foreign_data_wrapper pg_foreign_server pg_publication"
)
# Rarely changed objects: read only with the whole schema, which these statements cause.
_OTHERS = [
    "SELECT 'schema', '', 'schema ' || nspname, nspname::text,"
    " coalesce('COMMENT ' || quote_literal((SELECT description FROM pg_description"
    " WHERE objoid = n.oid AND classoid = 'pg_namespace'::regclass AND objsubid = 0)), '')"
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
    # Lower OIDs are the server's own: FirstNormalObjectId in access/transam.h.
    f"SELECT i.type, '', i.type || ' ' || i.identity, i.identity, '' FROM {catalog} o,"
    f" pg_identify_object('{catalog}'::regclass, o.oid, 0) i"
    f" WHERE o.oid >= 16384 AND {_no_member(catalog, 'o.oid')}"
    for catalog in sorted(_IDENTIFIED)
]


def _statement(sources: dict[str, str], touch: str, branches: list[str]) -> str:
    ends = [f"\n  SELECT '', '', '', concat({settings}), ''" for settings in (_SET, _RESET)]
    branches = [ends[0], *branches, ends[1]]
    sql = f"WITH {touch}{_THINGS.format(**sources)}" + "\nUNION ALL ".join(branches)
    return pinned(sql)


@cache  # not at import: it takes longer than importing the module, and other servers do not need it
def _whole_schema() -> str:
    return _statement(_WHOLE, "", [*_BRANCHES, *_OTHERS])


@cache
def _look(name: str) -> str:
    if name == "alembic_toolkit_all":
        return _statement(_TOUCHED, _TOUCH, _BRANCHES)
    relations = _WHOLE | {"relations": _TOUCHED["relations"]}
    branches = _PLAIN if name == "alembic_toolkit_plain" else _OF_RELATIONS
    return _statement(relations, _TOUCH_RELATIONS, branches)


_LOOKS = ("alembic_toolkit_all", "alembic_toolkit_relations", "alembic_toolkit_plain")
_BEYOND_RELATIONS = normal.words("rename domain function procedure aggregate") | {ABOUT_TYPES}
_ROUTINES = ("function", "procedure", "aggregate")
_FIRED = normal.words("trigger rule policy")
_BELONGING = normal.words(
    "column,primary key,unique,check,foreign key,exclusion,index,trigger,rule,policy", ","
)


def take(
    connection: sa.Connection,
    known: Snapshot | None,
    names: frozenset[str],
    ignore: frozenset[str],
) -> Snapshot:
    default = connection.dialect.default_schema_name or "public"
    if known is not None:
        found = _touched(connection, known, names, default, ignore)
        if found is not None:
            return found
    for look in _LOOKS:
        connection.info.pop(look, None)  # DISCARD ALL may have removed it
    snapshot = Snapshot()
    for item in _items(ask(connection, _whole_schema()), default, ignore):
        snapshot.add(*item)
    schemas = {thing.name for thing in snapshot if thing.kind == "schema"} - {default}
    snapshot.spaces = ("", *(f"{schema}." for schema in schemas))
    snapshot.watched = any(thing.kind == "event trigger" for thing in snapshot)
    return snapshot


@cache
def _prefix(schema: str) -> tuple[str, re.Pattern[str]]:
    """Return how the server writes a schema before a name, and a pattern of it."""
    is_plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", schema)
    prefix = (schema if is_plain else identifier('"', schema)) + "."
    return prefix, re.compile(rf'(?<![\w".$]){re.escape(prefix)}')


def _items(
    rows: Iterable[Any], default: str, ignore: frozenset[str]
) -> Iterator[tuple[str, Thing, str]]:
    prefix, qualified = _prefix(default)
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


def _touched(
    connection: sa.Connection,
    known: Snapshot,
    names: frozenset[str],
    default: str,
    ignore: frozenset[str],
) -> Snapshot | None:
    """Return the present state of ``known``; None if everything must be read."""
    if not _names_suffice(known, names):
        return None
    if not names & DEFINING:
        return known.copy()
    asked = set(names)
    if "index" in names and names & {"drop", "alter"}:
        keys = ((space, name) for space in known.spaces for name in names)
        groups = (known.indexes[key] for key in keys if key in known.indexes)
        asked |= {group.partition("\0")[2] for group in groups}
    few = not names & _BEYOND_RELATIONS
    look = "alembic_toolkit_relations" if few else "alembic_toolkit_all"
    if few and not known.fired and not names & _FIRED:
        look = "alembic_toolkit_plain"
    arguments, nothing = "pg_catalog.name[], boolean", "ARRAY[]::pg_catalog.name[], false"
    prepare(connection, look, arguments, _look(look), nothing)
    array = ", ".join(postgresql_literal(name) for name in sorted(asked) if "\0" not in name)
    renamed = "true" if "rename" in names else "false"
    rows = ask(connection, f"EXECUTE {look} (ARRAY[{array}]::pg_catalog.name[], {renamed})")
    items = list(_items(rows, default, ignore))
    ends = ("", "()")
    gone = {f"{space}\0{name}{end}" for space in known.spaces for name in asked for end in ends}
    if few:
        gone = {group for group in gone & known.groups.keys() if _is_relation(known.groups[group])}
    return replaced(known, gone, items)


def _is_relation(things: Iterable[Thing]) -> bool:
    kind = next(iter(things)).kind
    return kind not in ("enum", "domain", "range", "type", *_ROUTINES)


def _names_suffice(known: Snapshot, names: frozenset[str]) -> bool:
    """Tell whether the names are enough, because nothing else can have changed."""
    for name in names:
        for group in (space + "\0" + name for space in known.spaces):
            # A function that is called, replaced or dropped may have any effect.
            if f"{group}()" in known.groups:
                return False
            # Partitions change with their table, and are not named.
            things = known.groups.get(group)
            if things and "drop" in names and any(map(_PARTITIONED, things.values())):
                return False
    return not known.watched


_PARTITIONED = re.compile(r"\bPARTITION BY ").search


def judged(_: Snapshot, things: Mapping[Thing, str]) -> dict[Thing, str]:
    """Return the objects of a schema without properties that the host decides.

    These are the version of an extension, and comments on a schema that existed before.
    """
    found: dict[Thing, str] = {}
    for thing, text in things.items():
        if thing.kind == "extension":
            text = text.partition(" ")[2]
        elif thing.kind == "schema":
            if thing.name == _PUBLIC:
                continue
            text = ""
        found[thing] = text
    return found


_PUBLIC = "public"


# Changing a column's type and back leaves casts in objects that use the column: see `retyped`.
_CAST = re.compile(
    r"(?P<keep>'(?:[^']|'')*')|\s+"
    r"|::(?:character varying|double precision|bit varying|time(?:stamp)? with(?:out)? time zone"
    r'|(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)(?:\(\d+(?:,\d+)?\))?(?:\[\])*'
)
_ALONE = re.compile(r"(?<![\w\"])\(([\w.]+|'(?:[^']|'')*')\)")  # (amount), (0); but not f(0)
_EXPRESSIONS = ("check", "index", "column", "exclusion")


def comparable(thing: Thing, text: str) -> str:
    """Return a definition without casts that depend on the database's history."""
    if thing.kind not in _EXPRESSIONS:
        return text
    plain = _CAST.sub(lambda found: found["keep"] or " " * (found[0][0] != ":"), text)
    return _within_one_pair(_ALONE.sub(r"\1", plain))


def _within_one_pair(text: str) -> str:
    """Reduce nested pairs of parentheses with nothing between them to one pair."""
    opened, pairs = list[int](), dict[int, int]()
    for place, character in enumerate(text):
        if character == "(":
            opened.append(place)
        elif character == ")" and opened:
            pairs[opened.pop()] = place
    twice = [start for start, end in pairs.items() if pairs.get(start + 1) == end - 1]
    gone = {place for start in twice for place in (start, pairs[start])}
    return "".join(one for place, one in enumerate(text) if place not in gone)


# Catalogs are small when a query is planned, and grow: the plan must not scan them. It must not be
# JIT-compiled either, as happens when such a scan, which seems very expensive, is unavoidable.
_PLANNED_WITH = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "jit")


def prepare(connection: sa.Connection, name: str, types: str, sql: str, example: str) -> None:
    """Prepare a query of PostgreSQL's catalogs, once for each connection.

    Planning it for each list of names would cost more than the query; one plan suits all lists.

    :param example: arguments that find nothing.
    """
    if connection.info.get(name):
        return
    there = pinned(f"SELECT 1 FROM pg_prepared_statements WHERE name = '{name}'")
    if not ask(connection, there):
        ask(connection, f"PREPARE {name} ({types}) AS {sql}")
    ask(connection, pinned("SELECT set_config('plan_cache_mode', 'force_generic_plan', false)"))
    values = pinned(", ".join(f"current_setting('{setting}')" for setting in _PLANNED_WITH))
    [before] = ask(connection, f"SELECT {values}")
    _set_planner(connection, ["off"] * len(_PLANNED_WITH))
    ask(connection, f"EXECUTE {name} ({example})")
    _set_planner(connection, before)
    connection.info[name] = True


def _set_planner(connection: sa.Connection, values: Iterable[str]) -> None:
    pairs = zip(_PLANNED_WITH, values, strict=True)
    settings = pinned(", ".join(f"set_config('{name}', '{value}', false)" for name, value in pairs))
    ask(connection, f"SELECT {settings}")
