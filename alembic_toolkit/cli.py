"""The command ``alembic-toolkit``."""

from __future__ import annotations

import argparse
import configparser
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from alembic.util import CommandError

from alembic_toolkit import history, roundtrip, script
from alembic_toolkit.prove import Wanted
from alembic_toolkit.walk import read_config

SOUND, FINDINGS, COULD_NOT_RUN = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 sound, 1 findings, 2 it could not run."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (CommandError, configparser.Error, OSError, ValueError) as error:
        print(f"alembic-toolkit: {str(error).strip()}", file=sys.stderr)
        return COULD_NOT_RUN
    return status


def check(arguments: argparse.Namespace) -> int:
    """Print what is wrong in the history's files, or one line that says it is sound."""
    revisions, found = history.check(read_config(Path(arguments.config)))
    for finding in found:
        print(finding)
    if found:
        print(f"{_count(len(found), 'finding')} in {_count(len(revisions), 'revision')}")
        return FINDINGS
    heads = history.heads(revisions)
    end = f", one head ({heads[0].id})" if heads else ""
    print(f"{_count(len(revisions), 'revision')}{end}: sound")
    return SOUND


def proven(arguments: argparse.Namespace) -> int:
    """Prove every revision, up, down and up again, and say what was found."""
    checks = set(roundtrip.ALWAYS)
    checks |= {name for name in roundtrip.ASKED if getattr(arguments, name.replace("-", ""))}
    report = roundtrip.roundtrip(
        Path(arguments.config),
        arguments.url,
        Wanted(frozenset(checks)),
        x=arguments.x,
        timeout=arguments.timeout,
    )
    for finding in report.all_findings():
        print(finding)
    for p in report.proofs:
        print(p.database, p.server, p.seconds, p.error, p.notes, p.checks)
        for r in p.revisions:
            print(r.id, {k: v.status for k, v in r.checks.items()}, r.seconds)
    return report.status


def sql(arguments: argparse.Namespace) -> int:
    """Print one script that brings any database of the history to a revision."""
    config = read_config(Path(arguments.config), arguments)
    if arguments.url is not None:
        config.set_main_option("sqlalchemy.url", arguments.url.replace("%", "%%"))
    dialect = arguments.dialect or script.dialect_of(arguments.url)
    print(script.write(config, dialect, arguments.start, arguments.end), end="")
    return SOUND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alembic-toolkit", description="Check hand-written Alembic revisions."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("check", help="read the revisions, without a database")
    _add_config(command)
    command.set_defaults(run=check)
    command = commands.add_parser("sql", help="print one script that fits any database")
    _add_config(command)
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--dialect",
        choices=sorted(script.DIALECTS),
        help="the server that runs it (default: as env.py says)",
    )
    which.add_argument("--url", help="a database of that server; it is not connected to")
    command.add_argument(
        "--from",
        dest="start",
        metavar="REV",
        default="base",
        help="the lowest revision that a database stands at (default: %(default)s)",
    )
    command.add_argument(
        "--to",
        dest="end",
        metavar="REV",
        default="heads",
        help="the revision to bring it to (default: %(default)s)",
    )
    command.add_argument("-x", action="append", metavar="NAME=VALUE", help="handed to env.py")
    command.set_defaults(run=sql)
    command = commands.add_parser("roundtrip", help="prove every revision, up, down and up again")
    _add_config(command)
    command.add_argument("--url", action="append", default=[])
    command.add_argument("-x", action="append", default=[])
    command.add_argument("--timeout", type=float, default=roundtrip.TIMEOUT)
    for name in roundtrip.ASKED:
        command.add_argument(f"--{name.replace('-', '')}", action="store_true")
    command.set_defaults(run=proven)
    return parser


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=os.environ.get("ALEMBIC_CONFIG") or "alembic.ini",
        help="alembic.ini, or a pyproject.toml with [tool.alembic] (default: %(default)s)",
    )


def _version() -> str:
    try:
        return version("alembic-toolkit")
    except PackageNotFoundError:
        return "(not installed)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
