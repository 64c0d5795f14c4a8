"""The command ``alembic-toolkit``."""

from __future__ import annotations

import argparse
import configparser
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit import progress
from alembic_toolkit.database.address import dialect_of
from alembic_toolkit.fleet import status as statuses
from alembic_toolkit.fleet import upgrade as upgrades
from alembic_toolkit.fleet.databases import Database, listed, named
from alembic_toolkit.project import checks, pyproject
from alembic_toolkit.project.env import read_config
from alembic_toolkit.prove import results, roundtrip, settings
from alembic_toolkit.report import machines, page, text
from alembic_toolkit.report.findings import count
from alembic_toolkit.script.parts import DIALECTS
from alembic_toolkit.script.write import write

SOUND, FINDINGS, COULD_NOT_RUN = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 sound, 1 findings, 2 it could not run."""
    arguments = _parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: clean up
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        print("alembic-toolkit: interrupted", file=sys.stderr)
        return COULD_NOT_RUN
    except (CommandError, configparser.Error, OSError, ValueError) as error:
        # Our own messages have several lines; of others one is enough.
        ours = isinstance(error, CommandError)
        message = str(error).strip() if ours else " ".join(str(error).split())
        print(f"alembic-toolkit: {message}", file=sys.stderr)
        return COULD_NOT_RUN
    return status


def check(arguments: argparse.Namespace) -> int:
    """Print what is wrong in the history's files, or one line that says it is sound."""
    revisions, found = checks.check(read_config(Path(arguments.config)))
    for finding in found:
        print(finding)
    if found:
        print(f"{count(len(found), 'finding')} in {count(len(revisions), 'revision')}")
        return FINDINGS
    heads = checks.heads(revisions)
    end = f", one head ({heads[0].id})" if heads else ""
    print(f"{count(len(revisions), 'revision')}{end}: sound")
    return SOUND


def proven(arguments: argparse.Namespace) -> int:
    """Prove every revision, up, down and up again, and print the report."""
    path = Path(arguments.config)
    wanted = settings.read(path)
    wanted.urls = arguments.url or wanted.urls
    wanted.x += arguments.x
    wanted.timeout = arguments.timeout or wanted.timeout
    wanted.ask(name for name in settings.ASKED if arguments.all or getattr(arguments, name))
    with progress.Progress() as bar:
        report = roundtrip.roundtrip(path, wanted, bar.update)
    print(machines.to_json(report) if arguments.json else text.text(report))
    if arguments.html:
        Path(arguments.html).write_text(page.html(report), encoding="utf-8")
    return report.status


def sql(arguments: argparse.Namespace) -> int:
    """Print one script that brings any database of the history to a revision."""
    config = read_config(Path(arguments.config), arguments)
    if arguments.url is not None:
        config.set_main_option("sqlalchemy.url", arguments.url.replace("%", "%%"))
    dialect = arguments.dialect or dialect_of(arguments.url)
    print(write(config, dialect, arguments.start, arguments.end), end="")
    return SOUND


def status(arguments: argparse.Namespace) -> int:
    """Print where each database is; 1 when one is not at head, as applied, and to be reached."""
    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    known = pyproject.databases(path)
    found = named(arguments.url, known) or [listed(*one) for one in known.items()]
    with progress.Progress() if sys.stderr.isatty() else nullcontext() as bar:
        lines = statuses.status(
            path,
            found or [Database("")],
            x=arguments.x,
            drift=arguments.drift,
            metadata=settings.read(path).metadata if arguments.drift else None,
            timeout=arguments.timeout,
            progress=bar.update if bar else lambda *_: None,
        )
    if arguments.json:
        print(json.dumps(statuses.to_json(lines), indent=2))
    else:
        print(statuses.text(lines))
    return SOUND if all(line.is_sound for line in lines) else FINDINGS


def upgrade(arguments: argparse.Namespace) -> int:
    """Upgrade the databases, and print what became of each; 1 when one is not there."""
    path = Path(arguments.config)
    with suppress(ImportError):  # of a revision, until env.py has run
        directory = ScriptDirectory.from_config(read_config(path))
        directory._upgrade_revs(arguments.revision, ())  # type: ignore[arg-type]  # is there one?
    databases = named(arguments.url, pyproject.databases(path))
    width = max(len(one.name) for one in databases)
    with progress.Progress() if sys.stderr.isatty() else nullcontext() as bar:

        def ended(one: upgrades.Upgrade, number: int, all_: int) -> None:
            if bar:
                bar.update("databases", number, all_, one.name)
            elif not arguments.json:  # a log gets each when it ends
                print(upgrades.line(one, width, arguments.verbose), flush=True)

        report = upgrades.upgrade(
            path, databases, arguments.revision, x=arguments.x, at_once=arguments.jobs, ended=ended
        )
    if report.interrupted:
        print("alembic-toolkit: interrupted", file=sys.stderr)
    if arguments.json:
        print(json.dumps(upgrades.to_json(report), indent=2))
    else:
        left = [one for one in report.upgrades if bar or one.outcome == upgrades.NOT_BEGUN]
        lines = [upgrades.line(one, width, arguments.verbose) for one in left]
        print("\n".join([*lines, upgrades.summary(report)]))
    return SOUND if report.is_sound else FINDINGS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alembic-toolkit", description="Check hand-written Alembic revisions."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("check", help="read the revisions, without a database")
    _add_config(command)
    command.set_defaults(run=check)
    _add_sql(commands.add_parser("sql", help="print one script that fits any database"))
    _add_status(commands.add_parser("status", help="say where databases are"))
    _add_upgrade(commands.add_parser("upgrade", help="bring many databases to a revision"))
    _add_roundtrip(
        commands.add_parser("roundtrip", help="prove every revision, in both directions")
    )
    return parser


def _add_sql(command: argparse.ArgumentParser) -> None:
    _add_config(command)
    which = command.add_mutually_exclusive_group()
    about = "the server that runs it (default: as env.py says)"
    which.add_argument("--dialect", choices=sorted(DIALECTS), help=about)
    which.add_argument("--url", help="a database of that server; it is not connected to")
    about = "the lowest revision that a database stands at (default: %(default)s)"
    command.add_argument("--from", dest="start", metavar="REV", default="base", help=about)
    about = "the revision to bring it to (default: %(default)s)"
    command.add_argument("--to", dest="end", metavar="REV", default="heads", help=about)
    command.add_argument("-x", action="append", metavar="NAME=VALUE", help="handed to env.py")
    command.set_defaults(run=sql)


def _add_databases(command: argparse.ArgumentParser, about: str, **given: Any) -> None:
    _add_config(command)
    command.add_argument("--url", action="append", help=about, **given)
    command.add_argument("-x", action="append", metavar="NAME=VALUE", default=[], help="for env.py")


def _add_roundtrip(command: argparse.ArgumentParser) -> None:
    about = "an empty database, once for each (default: a temporary file of SQLite)"
    _add_databases(command, about)
    for name, what in (
        (results.RERUN, "run each step twice, its mark taken away"),
        (results.CRASH, "stop each step after each statement, and run it again"),
        (results.OFFLINE, "run the --sql script of each step instead"),
    ):
        command.add_argument(f"--{name}", action="store_true", dest=name, help=what)
    command.add_argument("--all", action="store_true", help="all three of these")
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="for one step (600)")
    command.add_argument("--json", action="store_true", help="print the report for machines")
    command.add_argument("--html", metavar="FILE", help="write the report as one page, too")
    command.set_defaults(run=proven)


_NAMED = "a database, once for each; or its name in pyproject.toml"


def _add_status(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    _add_databases(command, about, metavar="[NAME=]URL", default=[])
    command.add_argument("--drift", action="store_true", help="compare with the models, too")
    about = "for one database to answer (%(default)g)"
    seconds = _positive(float)
    command.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", default=statuses.TIMEOUT, help=about
    )
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=status)


def _add_upgrade(command: argparse.ArgumentParser) -> None:
    _add_databases(command, _NAMED, metavar="[NAME=]URL", required=True)
    command.add_argument("revision", nargs="?", metavar="REVISION", default="head", help="(head)")
    about = "how many at once (%(default)s)"
    command.add_argument(
        "-j", "--jobs", type=_positive(int), metavar="N", default=upgrades.AT_ONCE, help=about
    )
    about = "show all that revisions log, and not only warnings"
    command.add_argument("-v", "--verbose", action="store_true", help=about)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=upgrade)


def _positive(kind: type[Any]) -> Callable[[str], Any]:
    def positive(text: str) -> Any:
        number = kind(text)
        if not 0 < number < math.inf:
            raise ValueError(text)
        return number

    positive.__name__ = kind.__name__  # argparse names it in its error
    return positive


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


if __name__ == "__main__":
    sys.exit(main())
