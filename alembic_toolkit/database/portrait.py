"""Identify the server, and refuse one on which locks would not hold.

The server is queried once for each session, in one statement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_toolkit.database.address import shown
from alembic_toolkit.database.driver import greeting, run
from alembic_toolkit.database.products import look_alike, refused
from alembic_toolkit.database.servers import MYSQL, POSTGRESQL, Facts, server_of
from alembic_toolkit.messages import printable

log = logging.getLogger("alembic_toolkit")


@dataclass
class Portrait:
    """A server's version, and the settings that change how it behaves."""

    version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    distributed: tuple[str, ...] = ()  # Citus tables
    members: int = 0  # of a group of servers that replicate each other

    def is_on(self, name: str) -> bool:
        """Return whether a setting exists and is on."""
        return self.settings.get(name, "").upper() in ("ON", "1", "YES", "TRUE")

    @property
    def is_galera(self) -> bool:
        """Return whether this is a node of a Galera cluster, whatever its current size."""
        return self.is_on("wsrep_on") and self.settings.get("wsrep_provider", "none") != "none"


_GREETED = "alembic_toolkit: greeted"
_INFO = "alembic_toolkit: portrait"  # the key in Connection.info
# Variables that a server does not have cause no error here.
_MYSQL_SETTINGS = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'memsql_version',"
    " 'wsrep_on', 'wsrep_provider', 'wsrep_node_name', 'wsrep_OSU_method', 'pxc_strict_mode',"
    " 'group_replication_single_primary_mode')"
)
# https://docs.citusdata.com/en/stable/develop/api_metadata.html
_POSTGRESQL_VERSION = (
    "SELECT pg_catalog.version(), pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NULL"
)
_MEMBERS = (
    "SELECT count(*) FROM performance_schema.replication_group_members"
    " WHERE member_state <> 'OFFLINE'"
)
_DISTRIBUTED = "SELECT logicalrelid::text FROM pg_catalog.pg_dist_partition ORDER BY 1 LIMIT 4"


def portrait(connection: Connection) -> Portrait:
    """Identify the server, once for each session, bypassing SQLAlchemy; roll back at the end.

    Call it outside a transaction. If the server cannot answer, the portrait is empty.
    """
    found: Portrait | None = connection.info.get(_INFO)
    if found is None:
        ask = _ASK.get(server_of(connection.dialect.name).name)
        found = Portrait() if ask is None else _asked(connection, ask)
        connection.info[_INFO] = found
    return found


def _asked(connection: Connection, ask: Callable[[Connection], Portrait]) -> Portrait:
    try:
        return ask(connection)
    except connection.dialect.loaded_dbapi.Error:  # a look-alike may lack the catalog
        connection.connection.rollback()
        return Portrait(str(run(connection, "SELECT version()")[0][0]))
    finally:
        connection.connection.rollback()


def _ask_postgresql(connection: Connection) -> Portrait:
    [(version, is_plain)] = run(connection, _POSTGRESQL_VERSION)
    some = () if is_plain else tuple(row[0] for row in run(connection, _DISTRIBUTED))
    return Portrait(version, distributed=some)


def _ask_mysql(connection: Connection) -> Portrait:
    found = {name.lower(): str(value) for name, value in run(connection, _MYSQL_SETTINGS)}
    said = [found.get("version", ""), found.get("version_comment", "")]
    said += ["MemSQL"] if "memsql_version" in found else []
    members = 1  # as far as is known
    if found.get("group_replication_single_primary_mode") == "OFF":
        with suppress(connection.dialect.loaded_dbapi.Error):  # without the right to query it
            [(members,)] = run(connection, _MEMBERS)
    return Portrait(" ".join(said).strip(), found, members=members)


# By the name of the server; a file has no portrait.
_ASK = {POSTGRESQL.name: _ask_postgresql, MYSQL.name: _ask_mysql}


# Refusals


def refuse_untested(connection: Connection) -> None:
    """Refuse a server that is not what its URL says, or on which locks would not hold.

    Call it outside a transaction.

    :raises CommandError: it is a look-alike, a node in a strict mode, one of several primaries.
    """
    found, where = portrait(connection), shown(connection.engine.url)
    if error := refusal(where, server_of(connection.dialect.name), found):
        raise error
    if found.distributed:
        log.warning(
            "%s has tables that Citus distributes (%s): nobody has tested revisions on them",
            where,
            printable(", ".join(found.distributed)),
        )


def refuse_greeting(connection: Connection) -> None:
    """Refuse a look-alike that identifies itself at connect, without querying it.

    :raises CommandError: it is a look-alike.
    """
    if connection.closed or connection.invalidated or _GREETED in connection.info:
        return
    facts, said = server_of(connection.dialect.name), greeting(connection)
    if name := look_alike(facts.name, said):
        raise refused(shown(connection.engine.url), name, facts, said)
    connection.info[_GREETED] = True


def refusal(where: str, facts: Facts, found: Portrait) -> CommandError | None:
    """Return why nothing must run on a server with this portrait; None if it may.

    :param where: the server's name in the message.
    """
    settings = {name: value.upper() for name, value in found.settings.items()}
    if name := look_alike(facts.name, found.version):
        return refused(where, name, facts, found.version)
    if settings.get("pxc_strict_mode") in ("ENFORCING", "MASTER"):
        return _strict(where, settings["pxc_strict_mode"])
    if found.is_galera and settings.get("wsrep_osu_method") == "RSU":
        return _alone(where)
    if settings.get("group_replication_single_primary_mode") == "OFF" and found.members:
        return _of_several(where)
    return None


def _strict(where: str, mode: str) -> CommandError:
    # https://docs.percona.com/percona-xtradb-cluster/8.0/strict-mode.html
    return CommandError(
        f"{where} is a Percona XtraDB Cluster in its strict mode: nothing is run\n"
        f"  found   pxc_strict_mode = {mode}\n"
        "  wanted  pxc_strict_mode = PERMISSIVE, or DISABLED\n"
        "Stopped, because in that mode it refuses GET_LOCK, which keeps a second deployer out.\n"
        "What to do next, on each node (set it back after the deployment):\n"
        "    SET GLOBAL pxc_strict_mode = 'PERMISSIVE';"
    )


def _alone(where: str) -> CommandError:
    # https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_osu_method
    return CommandError(
        f"{where} is a node that keeps its DDL to itself: nothing is run\n"
        "  found   wsrep_OSU_method = RSU\n"
        "  wanted  wsrep_OSU_method = TOI\n"
        "Stopped, because the other nodes of the cluster would not get the schema.\n"
        "What to do next, on this node:\n"
        "    SET GLOBAL wsrep_OSU_method = 'TOI';"
    )


def _of_several(where: str) -> CommandError:
    # https://dev.mysql.com/doc/refman/8.4/en/group-replication-changing-group-mode.html
    return CommandError(
        f"{where} is in a group replication with several primaries: nothing is run\n"
        "  found   group_replication_single_primary_mode = OFF\n"
        "  wanted  a group with one primary, and a connection to it\n"
        "Stopped, because a lock on one member keeps nobody out on another.\n"
        "What to do next: let one be the primary, deploy to that one, then let all be it again:\n"
        "    SELECT group_replication_switch_to_single_primary_mode();\n"
        "    SELECT group_replication_switch_to_multi_primary_mode();  # when all is deployed"
    )
