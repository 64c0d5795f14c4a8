"""Server-specific parts of the proof, mostly for emptying a scratch database."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_toolkit.database import servers
from alembic_toolkit.database.driver import ask, identifier
from alembic_toolkit.schema.snapshot import Snapshot
from alembic_toolkit.sql import quoting
from alembic_toolkit.sql.pinned import pinned
from alembic_toolkit.sql.statements import explained

Initial = frozenset[tuple[str, str]]  # what an empty database has: kinds and names


@dataclass(frozen=True)
class ScratchServer:
    """How one server's scratch databases are read and emptied."""

    facts: servers.Facts
    contents: str  # the query for all that a database holds: kinds and names
    version: str  # the query for the server's version
    title: Callable[[str], str]  # the server with that version, as a report shows it
    # Drops what statements left in temporary tables.
    drop_temporary: Callable[[Connection, Iterable[str]], object]
    initial: str = ""  # the query for what an empty database has
    # Drops all but that; a file is deleted instead.
    empty: Callable[[Connection, Initial], None] = lambda *_: None
    end_session: str = "KILL {}"
    schema_is_database: bool = False
    has_wheel: bool = False  # a package of Python carries it
    reads_alike: bool = False  # every version writes the definition of a table in the same way
    unenforced: str = ""  # the error of a foreign key, where they are enforced only on request
    # How it is seen what can be used: see `health`
    plan: Callable[[str], str] | None = None  # a statement's plan has that of what it fires
    validates_routines: bool = False  # when a function is made, its body is read
    # Tells the error of what uses something that is not there, by its code.
    is_broken: Callable[[str | int | None], bool] = lambda _: True
    # Tells whether rows that are written can be taken back, by the schema.
    takes_back: Callable[[Snapshot], bool] = lambda _: True
    # Returns the number that each sequence, or table that numbers its rows, gives next.
    counters: Callable[[Connection], dict[str, int]] = lambda _: {}
    # What lets all rows of a table be deleted: statements that are undone, and a setting.
    before_firing: Callable[[str, Snapshot], list[str]] = lambda *_: []
    without_keys: tuple[str, str] = ("", "")

    def reads(self, view: str) -> str:
        """Write a statement that reads a view."""
        sql = f"SELECT * FROM {view}"
        return self.plan(sql) if self.plan is not None else f"{sql} LIMIT 1"


# PostgreSQL

# In the order in which they can be dropped, each as DROP wants it named. What an extension owns
# (deptype e), and the sequence of an identity column or the function that makes a range (i), goes
# with its owner and not by itself:
# https://www.postgresql.org/docs/current/catalog-pg-depend.html
_POSTGRESQL_RARE = {
    0: "pg_event_trigger pg_publication",  # an event trigger may refuse what is dropped
    # An operator family goes with its classes, a wrapper with its servers.
    4: "pg_operator pg_opfamily pg_cast pg_conversion pg_ts_config pg_ts_dict pg_collation"
    " pg_foreign_data_wrapper",
}
_POSTGRESQL_CONTENTS = pinned(
    """
WITH n AS (SELECT oid FROM pg_namespace
           WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
     rare AS (
"""
    + "\nUNION ALL ".join(
        f"SELECT {nth} AS nth, '{catalog}'::regclass AS class, oid AS id FROM {catalog}"
        for nth, catalogs in _POSTGRESQL_RARE.items()
        for catalog in catalogs.split()
    )
    + """
),   ours AS (
SELECT 1 AS nth, CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                 WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
       oid::regclass::text AS name, oid, 'pg_class'::regclass AS class
FROM pg_class WHERE relnamespace IN (SELECT oid FROM n) AND relkind IN ('r','p','v','m','S','f')
UNION ALL
SELECT 2, CASE prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END,
       oid::regprocedure::text, oid, 'pg_proc'::regclass
FROM pg_proc WHERE pronamespace IN (SELECT oid FROM n)
UNION ALL
SELECT 3, CASE typtype WHEN 'd' THEN 'domain' ELSE 'type' END, oid::regtype::text, oid,
       'pg_type'::regclass
FROM pg_type AS t WHERE typnamespace IN (SELECT oid FROM n) AND typtype IN ('e', 'd', 'c', 'r')
 AND (typrelid = 0 OR (SELECT relkind FROM pg_class WHERE pg_class.oid = typrelid) = 'c')
UNION ALL
SELECT nth, replace(i.type, '-', ' '), i.identity, id, class
FROM rare, pg_identify_object(class, id, 0) AS i
-- what is below is the server's own: FirstNormalObjectId in its access/transam.h
WHERE id >= 16384 AND coalesce(i.schema <> 'pg_catalog', true)
)
SELECT kind, name FROM ours
WHERE NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = class AND d.objid = ours.oid
                   AND (d.deptype = 'e' OR d.deptype = 'i' AND kind IN ('sequence', 'function')))
ORDER BY nth, kind, name
"""
)
_POSTGRESQL_INITIAL = pinned("""
SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'extension', extname FROM pg_extension
""")
_AT_ONCE = 50  # things in one DROP: each takes some of the locks that a server has
# The kinds of which one DROP takes several.
_LISTED = {"view", "materialized view", "sequence", "foreign table", "table"}
_LISTED |= {"aggregate", "procedure", "function", "domain", "type"}


def _empty_postgresql(connection: Connection, initial: Initial) -> None:
    added = {(kind, name) for kind, name in ask(connection, _POSTGRESQL_INITIAL)} - initial
    for kind, name in sorted(added, reverse=True):  # the schemas first
        ask(connection, f"DROP {kind} IF EXISTS {identifier(connection, name)} CASCADE")
    found = ask(connection, _POSTGRESQL_CONTENTS)
    for kind, things in itertools.groupby(found, key=lambda thing: thing[0]):
        names = [name for _, name in things]
        at_once = _AT_ONCE if kind in _LISTED else 1
        for start in range(0, len(names), at_once):
            some = ", ".join(names[start : start + at_once])
            ask(connection, f"DROP {kind} IF EXISTS {some} CASCADE")


def _drop_keys_postgresql(table: str, snapshot: Snapshot) -> list[str]:
    """Write statements that drop the foreign keys referring to a table."""
    name = table.rpartition(".")[2]
    found = [
        thing
        for thing, text in snapshot.items()
        if thing.kind == "foreign key" and _parent(text) == name
    ]
    return [
        f"ALTER TABLE {quoting.identifier(_QUOTE, *thing.owner.rpartition('.')[::2])}"
        f" DROP CONSTRAINT {quoting.identifier(_QUOTE, thing.name)}"
        for thing in found
    ]


_QUOTE = '"'


def _parent(text: str) -> str:
    """Return the table that a foreign key refers to, without its schema."""
    match = re.search(r' REFERENCES (?:(?:"[^"]+"|[\w$]+)\.)?("[^"]+"|[\w$]+)', f" {text}")
    return match[1].strip('"') if match else ""


_POSTGRESQL_SEQUENCES = pinned("""
SELECT oid::regclass::text, seqincrement FROM pg_class JOIN pg_sequence ON seqrelid = oid
WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_')
""")


def _count_postgresql(connection: Connection) -> dict[str, int]:
    # A view of all sequences has no value of one that setval() left to be given next.
    found = {}
    for name, step in ask(connection, _POSTGRESQL_SEQUENCES):
        [(last, is_called)] = ask(connection, f"SELECT last_value, is_called FROM {name}")
        found[f"sequence {name}"] = last + step if is_called else last
    return found


POSTGRESQL = ScratchServer(
    servers.POSTGRESQL,
    has_wheel=True,
    reads_alike=True,  # of tables; texts of views differ
    contents=_POSTGRESQL_CONTENTS,
    version="SELECT pg_catalog.version()",
    title=lambda version: " ".join(version.split()[:2]),
    drop_temporary=lambda connection, _: ask(connection, "DISCARD TEMP"),
    initial=_POSTGRESQL_INITIAL,
    empty=_empty_postgresql,
    end_session="SELECT pg_catalog.pg_terminate_backend({})",
    validates_routines=True,
    # Class 42: syntax error or access rule violation; but not a missing right
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    is_broken=lambda code: str(code).startswith("42") and code != "42501",
    before_firing=_drop_keys_postgresql,
    counters=_count_postgresql,
)


# MariaDB and MySQL

_MYSQL_CONTENTS = """
SELECT IF(table_type = 'VIEW', 'view', IF(table_type = 'SEQUENCE', 'sequence', 'table')), table_name
FROM information_schema.tables WHERE table_schema = DATABASE()
UNION ALL
SELECT LOWER(routine_type), routine_name FROM information_schema.routines
WHERE routine_schema = DATABASE()
UNION ALL
SELECT 'event', event_name FROM information_schema.events WHERE event_schema = DATABASE()
"""
_MYSQL_INITIAL = "SELECT 'collation', @@collation_database"
_TEMPORARY_TABLE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY\s+(?:TABLE|SEQUENCE)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"((?:`[^`]+`|[\w$]+)(?:\.(?:`[^`]+`|[\w$]+))?)",
    re.I,
)


def _empty_mysql(connection: Connection, initial: Initial) -> None:
    ask(connection, "SET foreign_key_checks = 0")
    for kind, name in ask(connection, _MYSQL_CONTENTS):
        ask(connection, f"DROP {kind} IF EXISTS {identifier(connection, name)}")
    for _, collation in initial - {tuple(row) for row in ask(connection, _MYSQL_INITIAL)}:
        ask(connection, f"ALTER DATABASE COLLATE {collation}")


def _drop_temporary_mysql(connection: Connection, statements: Iterable[str]) -> None:
    # MariaDB lists its temporary tables only since 11.2.
    for name in _TEMPORARY_TABLE.findall(" ".join(statements)):
        ask(connection, f"DROP TEMPORARY TABLE IF EXISTS {name}")


_MYSQL_COUNTERS = """
SELECT table_name, auto_increment FROM information_schema.tables
WHERE table_schema = DATABASE() AND auto_increment > 1
"""
_MYSQL_SEQUENCES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE'
"""


def _count_mysql(connection: Connection) -> dict[str, int]:
    if not servers.is_mariadb(connection.dialect):
        # https://dev.mysql.com/doc/refman/8.4/en/information-schema-optimization.html
        ask(connection, "SET SESSION information_schema_stats_expiry = 0")
    found = {f"AUTO_INCREMENT of {name}": int(n) for name, n in ask(connection, _MYSQL_COUNTERS)}
    for (name,) in ask(connection, _MYSQL_SEQUENCES):
        [(number,)] = ask(
            connection, f"SELECT next_not_cached_value FROM {identifier(connection, name)}"
        )
        found[f"sequence {name}"] = int(number)
    return found


MYSQL = ScratchServer(
    servers.MYSQL,
    contents=_MYSQL_CONTENTS,
    version="SELECT version()",
    title=lambda version: (
        f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"
    ),
    drop_temporary=_drop_temporary_mysql,
    initial=_MYSQL_INITIAL,
    empty=_empty_mysql,
    # no such column, table, alias, routine; a view that is not valid; other arguments
    # https://mariadb.com/kb/en/mariadb-error-code-reference/
    is_broken=lambda code: code in (1054, 1146, 1109, 1136, 1305, 1318, 1356, 1364),
    # Other engines know no transactions.
    takes_back=lambda schema: all(
        "ENGINE=InnoDB" in text for thing, text in schema.items() if thing.kind == "table"
    ),
    counters=_count_mysql,
    without_keys=("SET foreign_key_checks = 0", "SET foreign_key_checks = 1"),
    schema_is_database=True,
)


# SQLite

_SQLITE_CONTENTS = (
    "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)


def _drop_temporary_sqlite(connection: Connection, _: Iterable[str]) -> None:
    left = "SELECT type, name FROM sqlite_temp_master WHERE type IN ('table', 'view')"
    for kind, name in ask(connection, left):
        ask(connection, f"DROP {kind} temp.{identifier(connection, name)}")


def _count_sqlite(connection: Connection) -> dict[str, int]:
    # https://sqlite.org/autoinc.html
    if not ask(connection, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
        return {}
    rows = ask(connection, "SELECT name, seq FROM sqlite_sequence WHERE seq > 0")
    return {f"AUTOINCREMENT of {name}": int(last) + 1 for name, last in rows}


SQLITE = ScratchServer(
    servers.SQLITE,
    reads_alike=True,
    contents=_SQLITE_CONTENTS,
    version="SELECT sqlite_version()",
    title=lambda version: f"SQLite {version}",
    drop_temporary=_drop_temporary_sqlite,
    unenforced="FOREIGN KEY constraint failed",
    counters=_count_sqlite,
    plan=explained,
)


def server_of(dialect: str) -> ScratchServer:
    """Return the server with this dialect of SQLAlchemy."""
    found = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}
    return found[servers.server_of(dialect).name]
