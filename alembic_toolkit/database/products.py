"""The supported servers, which are tested, and look-alikes, which are refused by name.

A product that speaks a server's protocol may behave differently: if its locks have no effect, two
deployers run at once, and if its DDL commits by itself, it cannot be rolled back. So a product that
reports another name is refused before anything runs, until somebody has tested it. Forks and
services that are the server itself (Aurora, AlloyDB, Percona Server, RDS, ...) are accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alembic.util import CommandError

from alembic_toolkit.database.servers import Facts
from alembic_toolkit.messages import printable

# The servers that the tests run on: README and docs name the same.
TESTED = {
    "postgresql": "PostgreSQL 16, 17 and 18",
    "mysql": "MariaDB 10.11 and 11.8, a Galera cluster of MariaDB 10.11, MySQL 9.7",
}


@dataclass(frozen=True)
class LookAlike:
    """A product that resembles a server, and a part of its version that identifies it."""

    name: str
    sign: str  # a regular expression for its version, ignoring case


# Parts of version() on PostgreSQL look-alikes. Most begin with the version they resemble.
_OF_POSTGRESQL = (
    LookAlike("YugabyteDB", r"-YB-|Yugabyte"),
    LookAlike("CockroachDB", r"Cockroach"),
    LookAlike("Amazon Redshift", r"Redshift"),
    LookAlike("Apache Cloudberry", r"Cloudberry"),
    LookAlike("Greenplum", r"Greenplum|WarehousePG"),
    LookAlike("Materialize", r"Materialize"),
    LookAlike("RisingWave", r"RisingWave"),
    LookAlike("QuestDB", r"QuestDB"),
    LookAlike("CrateDB", r"CrateDB"),
    LookAlike("CedarDB", r"CedarDB"),
    LookAlike("openGauss", r"openGauss|GaussDB"),
    LookAlike("Spanner", r"Spanner"),
)
# VERSION() and version_comment of MySQL look-alikes.
_OF_MYSQL = (
    LookAlike("TiDB", r"TiDB"),
    LookAlike("Vitess, or PlanetScale", r"Vitess|PlanetScale"),
    LookAlike("SingleStore", r"SingleStore|MemSQL"),
    LookAlike("OceanBase", r"OceanBase|OBProxy"),
    LookAlike("MatrixOne", r"MatrixOne"),
    LookAlike("StarRocks", r"StarRocks"),
    LookAlike("Apache Doris", r"\bDoris\b"),
    LookAlike("Dolt", r"\bDolt\b"),
    LookAlike("ClickHouse", r"ClickHouse"),
    LookAlike("MySQL NDB Cluster", r"-cluster\b|MySQL Cluster"),
    LookAlike("PolarDB-X", r"PolarDB-X|-TDDL-"),
    LookAlike("MaxScale", r"MaxScale"),
)
LOOK_ALIKES = {"postgresql": _OF_POSTGRESQL, "mysql": _OF_MYSQL}


def look_alike(server: str, version: str) -> str:
    """Return the name of a look-alike; empty if it is the real server.

    :param server: the server that it resembles: ``Facts.name``.
    :param version: the version that it reports.
    """
    known = LOOK_ALIKES.get(server, ())
    return next((one.name for one in known if re.search(one.sign, version, re.I)), "")


def refused(where: str, name: str, facts: Facts, version: str) -> CommandError:
    """Return the error for a look-alike."""
    return CommandError(
        f"{where} is {name}, which is not tested: nothing is run\n"
        f"  found   {printable(' '.join(version.split()))[:200]}\n"
        f"  wanted  {TESTED[facts.name]}, or a service that is one of these\n"
        "Stopped, because nobody knows there whether a second deployer is kept out, what a\n"
        "transaction takes back, and whether a catalog says what is there.\n"
        'What to do next: deploy to one of these; CONTRIBUTING.md says, under "A fourth server",\n'
        "what it takes to have another one tested."
    )
