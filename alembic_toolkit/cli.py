"""The command ``alembic-toolkit``."""

from __future__ import annotations

import argparse
import configparser
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from alembic.config import Config
from alembic.util import CommandError

from alembic_toolkit import history

SOUND, FINDINGS, COULD_NOT_RUN = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 sound, 1 findings, 2 it could not run."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (CommandError, configparser.Error, OSError, ValueError) as error:
        print(f"alembic-toolkit: {' '.join(str(error).split())}", file=sys.stderr)
        return COULD_NOT_RUN
    return status


def check(arguments: argparse.Namespace) -> int:
    """Print what is wrong in the history's files, or one line that says it is sound."""
    revisions, found = history.check(_config(Path(arguments.config)))
    for finding in found:
        print(finding)
    if found:
        print(f"{_count(len(found), 'finding')} in {_count(len(revisions), 'revision')}")
        return FINDINGS
    heads = history.heads(revisions)
    end = f", one head ({heads[0].id})" if heads else ""
    print(f"{_count(len(revisions), 'revision')}{end}: sound")
    return SOUND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alembic-toolkit", description="Check hand-written Alembic revisions."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("check", help="read the revisions, without a database")
    command.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=os.environ.get("ALEMBIC_CONFIG") or "alembic.ini",
        help="alembic.ini, or a pyproject.toml with [tool.alembic] (default: %(default)s)",
    )
    command.set_defaults(run=check)
    return parser


def _config(path: Path) -> Config:
    # As for `alembic`, one file may complete the other.
    ini = path.with_name("alembic.ini") if path.name == "pyproject.toml" else path
    config = Config(ini, path.with_name("pyproject.toml"))
    if not config.file_config.has_section("alembic") and not config.toml_alembic_config:
        raise CommandError(
            f"there is no {path} with an [alembic] section; "
            "name it: alembic-toolkit check -c path/to/alembic.ini"
        )
    return config


def _version() -> str:
    try:
        return version("alembic-toolkit")
    except PackageNotFoundError:
        return "(not installed)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
