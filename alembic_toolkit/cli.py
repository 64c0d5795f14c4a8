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
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit import progress
from alembic_toolkit.database.address import dialect_of, without_passwords
from alembic_toolkit.fleet import status as statuses
from alembic_toolkit.fleet import upgrade as upgrades
from alembic_toolkit.fleet.applied import applied
from alembic_toolkit.fleet.databases import Database, listed, named
from alembic_toolkit.messages import at, printable_lines, shortest
from alembic_toolkit.project import baselines, checks, pyproject, rebase, since
from alembic_toolkit.project.env import read_config
from alembic_toolkit.prove import baseline, results, roundtrip, settings
from alembic_toolkit.report import machines, notices, orders, page, text
from alembic_toolkit.report.findings import count
from alembic_toolkit.report.made import made_now
from alembic_toolkit.script.parts import DIALECTS
from alembic_toolkit.script.write import write
from alembic_toolkit.where import adopt as adoptions
from alembic_toolkit.where import find as places
from alembic_toolkit.where import verify
from alembic_toolkit.where import write as written
from alembic_toolkit.where.answer import to_json
from alembic_toolkit.where.text import text as where_text

SOUND, FINDINGS, COULD_NOT_RUN = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 sound, 1 findings, 2 it could not run."""
    for stream in (sys.stdout, sys.stderr):  # which may know fewer letters than a message has
        with suppress(AttributeError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
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
        if isinstance(error, CommandError):
            return _refused(str(error).strip())
        return _refused(_broken(error) or " ".join(str(error).split()))
    except SystemExit as error:
        if error.code:
            raise
        return _refused("a file of the project ended the command by sys.exit()")
    except Exception as error:
        where = _broken(error)
        if where is None:
            raise  # it is ours to mend
        return _refused(where)
    return status


def _refused(message: str) -> int:
    print(f"alembic-toolkit: {printable_lines(without_passwords(message))}", file=sys.stderr)
    return COULD_NOT_RUN


def _broken(error: Exception) -> str | None:
    """Return in a line which file of the project raised an error; None when none did."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):
        return at(f"{shortest(error.filename or '?')}:{error.lineno}", f"SyntaxError: {error.msg}")
    libraries = (sys.prefix, sys.base_prefix, str(Path(__file__).parent), "<")
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if not frame.filename.startswith(libraries):
            return at(f"{shortest(frame.filename)}:{frame.lineno}", said)
    if any(Path(frame.filename).parts[-3:-1] == ("alembic", "script") for frame in frames):
        return f"the history cannot be read ({said}): alembic-toolkit check says where"
    return None


class _Parser(argparse.ArgumentParser):
    """A parser that repeats no password of what it refuses."""

    def error(self, message: str) -> NoReturn:
        super().error(without_passwords(message))


def check(arguments: argparse.Namespace) -> int:
    """Print what is wrong in the history's files, or one line that says it is sound."""
    if arguments.baseline:
        return _compared(arguments)
    config = read_config(Path(arguments.config))
    revisions, found = checks.check(config)
    found += written.findings(ScriptDirectory.from_config(config), revisions)
    for finding in found:
        print(finding)
    if found:
        print(f"{count(len(found), 'finding')} in {count(len(revisions), 'revision')}")
        return FINDINGS
    heads = checks.heads(checks.seen(revisions))
    end = f", one head ({heads[0].id})" if heads else ""
    print(f"{count(len(revisions), 'revision')}{end}: sound")
    return SOUND


def _compared(arguments: argparse.Namespace) -> int:
    """Print whether a root makes what the revisions made that it replaces."""
    path = Path(arguments.config)
    wanted = settings.read(path)
    urls = arguments.url or wanted.urls or [None]
    same = True
    for found in baseline.compare(path, Path(arguments.baseline), urls, [*wanted.x, *arguments.x]):
        print(printable_lines(found), flush=True)
        same = same and found.is_same
    return SOUND if same else FINDINGS


def proven(arguments: argparse.Namespace) -> int:
    """Prove every revision, up, down and up again, and print the report."""
    path = Path(arguments.config)
    if arguments.html:
        _refuse_unwritable(Path(arguments.html))
    wanted = settings.read(path)
    wanted.urls = arguments.url or wanted.urls
    wanted.x += arguments.x
    wanted.timeout = arguments.timeout or wanted.timeout
    wanted.ask(name for name in settings.ASKED if getattr(arguments, name))
    wanted.ask(settings.THREE if arguments.all else ())
    made = made_now(path)  # of the files as they are read
    with progress.Progress() as bar:
        report = roundtrip.roundtrip(path, wanted, bar.update)
    if arguments.json:
        print(machines.to_json(report))
    else:
        _print(report, arguments.format)
    if arguments.html:
        Path(arguments.html).write_text(page.html(report, made), encoding="utf-8")
    return report.status


def locked(arguments: argparse.Namespace) -> int:
    """Print who waits for each upgrade, and how long; 1 when it is longer than a moment."""
    path = Path(arguments.config)
    wanted = settings.read(path)
    wanted.urls = arguments.url or wanted.urls
    wanted.x += arguments.x
    wanted.timeout = arguments.timeout or wanted.timeout
    if arguments.old_code or arguments.format == "markdown":
        wanted.ask([results.OLD_CODE])
    wanted.only = _chosen(path, arguments)
    if wanted.only is not None and not wanted.only:
        report = results.Report(str(path), 0)  # nothing is new
    else:
        with progress.Progress() as bar:
            report = roundtrip.locks(path, wanted, bar.update)
    _print(report, arguments.format)
    return report.status


def _print(report: results.Report, form: str) -> None:
    """Print a report in a form."""
    shown = {
        "text": lambda: text.text(report) + "\n",
        "json": lambda: machines.to_json(report) + "\n",
        "github": lambda: notices.github(report),
        "gitlab": lambda: notices.gitlab(report),
        "sarif": lambda: notices.sarif(report, _version()),
        "markdown": lambda: orders.markdown(report),
    }
    print(shown[form](), end="")
    if form != "text":  # a log for machines does not say why there is nothing in it
        for one in report.proofs:
            if one.error:
                _refused(f"could not run on {one.database}: {one.error}")


_FORMATS = ("text", "json", "github", "gitlab", "sarif", "markdown")


def _chosen(path: Path, arguments: argparse.Namespace) -> frozenset[str] | None:
    """Return the ids of the revisions that are asked for; None: all."""
    directory = ScriptDirectory.from_config(read_config(path))
    if arguments.since is not None:
        return since.since(directory, arguments.since)
    if (arguments.start, arguments.end) != ("base", "heads"):
        return since.between(directory, arguments.start, arguments.end)
    return None


def _refuse_unwritable(page: Path) -> None:
    """Refuse, before a long proof, a file that cannot be written after it.

    :raises OSError: it cannot.
    """
    is_there = page.exists()
    page.open("a").close()
    if not is_there:
        page.unlink()


def sql(arguments: argparse.Namespace) -> int:
    """Print one script that brings any database of the history to a revision."""
    config = read_config(Path(arguments.config), arguments)
    if arguments.url is not None:
        config.set_main_option("sqlalchemy.url", arguments.url.replace("%", "%%"))
    dialect = arguments.dialect or dialect_of(arguments.url)
    write(config, sys.stdout, dialect, arguments.start, arguments.end)
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
            accept=arguments.accept,
            metadata=settings.read(path).metadata if arguments.drift else None,
            scratch=arguments.scratch if arguments.drift else (),
            timeout=arguments.timeout,
            progress=bar.update if bar else lambda *_: None,
        )
    if arguments.json:
        print(json.dumps(statuses.to_json(lines), indent=2))
    else:
        print(statuses.text(lines))
    return SOUND if all(line.is_sound for line in lines) else FINDINGS


def verified(arguments: argparse.Namespace) -> int:
    """Print whether databases have the schema of their revision; 2 if one was not compared."""
    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    known = pyproject.databases(path)
    databases = named(arguments.url, known) or [listed(*one) for one in known.items()]
    found = verify.verify(path, databases or [Database("")], arguments.x, arguments.timeout)
    if arguments.json:
        print(json.dumps({"databases": [vars(one) | {"sound": one.is_sound} for one in found]}))
    else:
        print("\n".join(map(printable_lines, found)))
    if any(one.error for one in found):
        return COULD_NOT_RUN
    return SOUND if all(one.is_sound for one in found) else FINDINGS


def rebased(arguments: argparse.Namespace) -> int:
    """Put a revision after the other head, if no database has run it, and print how."""
    path = Path(arguments.config)
    directory = ScriptDirectory.from_config(read_config(path))
    plan = rebase.plan(directory, Path(arguments.file), arguments.onto)
    known = pyproject.databases(path)
    databases = named(arguments.url, known) or [listed(*one) for one in known.items()]
    found = applied(
        path,
        databases or [Database("")],
        plan.before.id,
        plan.before.path,
        is_only=not plan.is_twin,
        x=arguments.x,
    )
    if standing := {name: why for name, why in found.items() if why}:
        raise rebase.refused_applied(plan, standing)
    rebase.write(plan)
    print(printable_lines(plan))
    return SOUND


def upgrade(arguments: argparse.Namespace) -> int:
    """Upgrade the databases, and print what became of each; 1 when one is not there."""
    path = Path(arguments.config)
    with suppress(ImportError):  # of a revision, until env.py has run
        directory = ScriptDirectory.from_config(read_config(path))
        baselines.apply(directory, (), (arguments.revision,))  # kept files, or the root
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


def where(arguments: argparse.Namespace) -> int:
    """Print which revision each database is, by its schema; or write the file that says so."""
    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    with progress.Progress() if sys.stderr.isatty() else nullcontext() as bar:
        tell = bar.update if bar else lambda *_: None
        if arguments.write:
            made = written.write(path, arguments.scratch, arguments.x, tell)
            print(written.text(made))
            return SOUND
        known = pyproject.databases(path)
        databases = named(arguments.url, known) or [listed(*one) for one in known.items()]
        answers = places.find(
            path,
            databases or [Database("")],
            x=arguments.x,
            scratches=arguments.scratch,
            timeout=arguments.timeout,
            progress=tell,
        )
    print(json.dumps(to_json(answers), indent=2) if arguments.json else where_text(answers))
    if any(one.error for one in answers):
        return COULD_NOT_RUN
    return SOUND if all(one.is_sound for one in answers) else FINDINGS


def adopt(arguments: argparse.Namespace) -> int:
    """Mark databases whose schema is exactly one revision's; 1 if one is refused, 2 if unknown."""
    path = Path(arguments.config)
    read_config(path)
    done = adoptions.adopt(
        path,
        named(arguments.url, pyproject.databases(path)) or [Database("")],
        arguments.revision,
        x=arguments.x,
        scratches=arguments.scratch,
        timeout=arguments.timeout,
    )
    print(adoptions.report(done))
    if not all(one.is_judged for one in done):
        return COULD_NOT_RUN
    return SOUND if all(one.is_sound for one in done) else FINDINGS


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="alembic-toolkit", description="Check hand-written Alembic revisions.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_check(commands.add_parser("check", help="read the revisions, without a database"))
    _add_sql(commands.add_parser("sql", help="print one script that fits any database"))
    _add_status(commands.add_parser("status", help="say where databases are"))
    _add_upgrade(commands.add_parser("upgrade", help="bring many databases to a revision"))
    _add_where(commands.add_parser("where", help="say which revision a schema is"))
    _add_adopt(commands.add_parser("adopt", help="mark a database that is exactly one revision"))
    _add_verify(commands.add_parser("verify", help="compare schemas with what revisions make"))
    _add_rebase(commands.add_parser("rebase", help="put a revision after the other head"))
    _add_roundtrip(
        commands.add_parser("roundtrip", help="prove every revision, in both directions")
    )
    _add_locks(commands.add_parser("locks", help="say who waits for a revision, and how long"))
    return parser


def _add_check(command: argparse.ArgumentParser) -> None:
    about = "with --baseline: an empty database, once for each (default: one of SQLite or"
    about += " of a package's PostgreSQL, as the project's own is)"
    _add_databases(command, about, default=[])
    about = "compare a root that replaces revisions with them, on real databases"
    command.add_argument("--baseline", metavar="FILE", help=about)
    command.set_defaults(run=check)


def _add_sql(command: argparse.ArgumentParser) -> None:
    _add_config(command)
    which = command.add_mutually_exclusive_group()
    about = "the server that runs it (default: as env.py says)"
    which.add_argument("--dialect", choices=sorted(DIALECTS), help=about)
    which.add_argument("--url", help="a database of that server; it is not connected to")
    about = "the lowest revision that a database stands at (default: %(default)s)"
    command.add_argument(
        "--from", dest="start", type=_revision, metavar="REV", default="base", help=about
    )
    about = "the revision to bring it to (default: %(default)s)"
    command.add_argument(
        "--to", dest="end", type=_revision, metavar="REV", default="heads", help=about
    )
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
    about = "say who waits for each upgrade, and how long"
    command.add_argument("--locks", action="store_true", dest=results.LOCKS, help=about)
    about = "say whose code each upgrade breaks: deploy it before, or after"
    command.add_argument("--old-code", action="store_true", dest=results.OLD_CODE, help=about)
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="for one step (600)")
    command.add_argument("--json", action="store_true", help="print the report for machines")
    about = "how to print it (default: %(default)s)"
    command.add_argument("--format", choices=_FORMATS, default="text", help=about)
    command.add_argument("--html", metavar="FILE", help="write the report as one page, too")
    command.set_defaults(run=proven)


def _add_locks(command: argparse.ArgumentParser) -> None:
    _add_databases(command, "an empty database, once for each (default: a file of SQLite)")
    about = "only revisions that are new or changed since this commit, branch or tag of Git"
    command.add_argument("--since", metavar="GIT_REF", help=about)
    about = "only revisions after this one (default: %(default)s)"
    command.add_argument(
        "--from", dest="start", type=_revision, metavar="REV", default="base", help=about
    )
    about = "only revisions up to this one (default: %(default)s)"
    command.add_argument(
        "--to", dest="end", type=_revision, metavar="REV", default="heads", help=about
    )
    about = "say whose code each upgrade breaks, too; markdown always does"
    command.add_argument("--old-code", action="store_true", help=about)
    about = "how to print it (default: %(default)s)"
    command.add_argument("--format", choices=_FORMATS, default="text", help=about)
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="for one step (600)")
    command.set_defaults(run=locked)


_NAMED = "a database, once for each; or its name in pyproject.toml"


def _add_status(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    _add_databases(command, about, metavar="[NAME=]URL", default=[])
    command.add_argument("--drift", action="store_true", help="compare with the models, too")
    about = "for --drift: an empty database of the same server, for the models' tables"
    command.add_argument("--scratch", action="append", metavar="URL", default=[], help=about)
    about = "take the file of a revision, edited or deleted since it was applied, as it is now"
    command.add_argument("--accept", action="append", metavar="REV", default=[], help=about)
    _add_timeout(command, statuses.TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=status)


def _add_timeout(command: argparse.ArgumentParser, default: float) -> None:
    about = "for one database to answer (%(default)g)"
    seconds = _positive(float)
    command.add_argument("--timeout", type=seconds, metavar="SECONDS", default=default, help=about)


def _add_verify(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    _add_databases(command, about, metavar="[NAME=]URL", default=[])
    _add_timeout(command, verify.TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=verified)


def _add_rebase(command: argparse.ArgumentParser) -> None:
    about = "a database that must not have run it, once for each; or its name in pyproject.toml"
    about += " (default: all that it names, or the one of env.py)"
    _add_databases(command, about, metavar="[NAME=]URL", default=[])
    command.add_argument("file", metavar="FILE", help="of a revision that nothing comes after")
    about = "the revision to put it after (default: the other head)"
    command.add_argument("--onto", type=_revision, metavar="REV", help=about)
    command.set_defaults(run=rebased)


def _add_upgrade(command: argparse.ArgumentParser) -> None:
    _add_databases(command, _NAMED, metavar="[NAME=]URL", required=True)
    command.add_argument(
        "revision", nargs="?", type=_revision, metavar="REVISION", default="head", help="(head)"
    )
    about = "how many at once (%(default)s)"
    command.add_argument(
        "-j", "--jobs", type=_positive(int), metavar="N", default=upgrades.AT_ONCE, help=about
    )
    about = "show all that revisions log, and not only warnings"
    command.add_argument("-v", "--verbose", action="store_true", help=about)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=upgrade)


def _add_where(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    _add_databases(command, about, metavar="[NAME=]URL", default=[])
    about = "write the schemas of all revisions beside env.py, from a run on an empty database"
    command.add_argument("--write", action="store_true", help=about)
    _add_scratch(command)
    _add_timeout(command, places.TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=where)


def _add_adopt(command: argparse.ArgumentParser) -> None:
    _add_databases(command, f"{_NAMED} (default: the one of env.py)", default=[])
    about = "which one it is, of several that have the same schema"
    command.add_argument("--revision", type=_revision, metavar="REV", help=about)
    _add_scratch(command)
    _add_timeout(command, places.TIMEOUT)
    command.set_defaults(run=adopt)


def _add_scratch(command: argparse.ArgumentParser) -> None:
    about = "an empty database of the server, on which the revisions are run; once for each server"
    command.add_argument("--scratch", action="append", metavar="URL", default=[], help=about)


def _revision(text: str) -> str:
    if ":" in text:  # Alembic would repeat it, with its password
        raise argparse.ArgumentTypeError("a URL, where a revision belongs; write --url before it")
    return text


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
