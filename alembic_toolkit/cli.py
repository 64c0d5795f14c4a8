"""The command ``alembic-toolkit``."""

from __future__ import annotations

import argparse
import configparser
import os
import sys
import traceback
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit import exits, progress
from alembic_toolkit.database.address import dialect_of, without_passwords
from alembic_toolkit.fleet.databases import TIMEOUT, Database, listed, named
from alembic_toolkit.installed import installed
from alembic_toolkit.messages import at, note_typed, printable_lines, shortest, typed
from alembic_toolkit.project import pyproject, since
from alembic_toolkit.project.env import read_config
from alembic_toolkit.prove import results, settings
from alembic_toolkit.usage import (
    FORMATS,
    USAGES,
    Formatter,
    Parser,
    add_between,
    add_config,
    add_databases,
    add_scratch,
    add_timeout,
    positive,
    range_,
    revision,
)

if TYPE_CHECKING:
    from alembic_toolkit.script.parts import Notes

# Each command imports what it alone needs in its own functions: to import everything takes longer
# than most commands.


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, one of those in `exits`."""
    try:
        try:
            return _main(argv)
        finally:
            sys.stdout.flush()  # flush here, where a closed pipe can still be reported
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at exit
        return exits.UNREAD


def _main(argv: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):  # they may not be able to encode a message
        with suppress(AttributeError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = _parsed(argv)
    arguments.alone = argv is None  # the command is the whole program
    exits.listen()
    before = note_typed(f"alembic-toolkit {arguments.command}")
    try:
        return _ended(arguments)
    finally:
        note_typed(before)


def _ended(arguments: argparse.Namespace) -> int:
    """Run a command; turn what ends it into its exit status, and a line that explains it."""
    try:
        status: int = arguments.run(arguments)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as interrupt:
        _say("interrupted")
        return exits.of_interrupt(interrupt)
    except (CommandError, configparser.Error, OSError, ValueError) as error:
        # Our own messages have several lines; for others one is enough.
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
            raise  # a bug of ours
        return _refused(where)
    return status


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; an unknown argument is an error of its command."""
    argv = sys.argv[1:] if argv is None else argv
    arguments, unknown = _parser(argv).parse_known_args(argv)
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return arguments


def _refused(message: str) -> int:
    _say(printable_lines(without_passwords(message)))
    return exits.UNKNOWN


def _say(message: str) -> None:
    print(f"{typed('check')}: {message}", file=sys.stderr)


def _broken(error: Exception) -> str | None:
    """Return a line that names the project's file that raised an error; None if none did."""
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


def check(arguments: argparse.Namespace) -> int:
    """Print problems in the history's files, or one line that says they are sound."""
    from alembic_toolkit.project import checks
    from alembic_toolkit.report.findings import count
    from alembic_toolkit.where.stale import findings

    if arguments.baseline:
        return _compared(arguments)
    config = read_config(Path(arguments.config))
    revisions, found = checks.check(config)
    found += findings(ScriptDirectory.from_config(config), revisions)
    for finding in found:
        print(finding)
    if found:
        print(f"{count(len(found), 'finding')} in {count(len(revisions), 'revision')}")
        return exits.FOUND
    heads = checks.heads(checks.seen(revisions))
    end = f", one head ({heads[0].id})" if heads else ""
    print(f"{count(len(revisions), 'revision')}{end}: sound")
    return exits.FINE


def _compared(arguments: argparse.Namespace) -> int:
    """Print whether a root creates the same schema as the revisions that it replaces."""
    from alembic_toolkit.prove import baseline

    path = Path(arguments.config)
    wanted = settings.read(path)
    urls = arguments.url or wanted.urls or [None]
    same = True
    for found in baseline.compare(path, Path(arguments.baseline), urls, [*wanted.x, *arguments.x]):
        print(printable_lines(found), flush=True)
        same = same and found.is_same
    return exits.of_all([same])


def proven(arguments: argparse.Namespace) -> int:
    """Prove every revision, up, down and up again, and print the report."""
    from alembic_toolkit.project import commit
    from alembic_toolkit.prove.roundtrip import roundtrip
    from alembic_toolkit.report import page
    from alembic_toolkit.report.made import made_now

    path = Path(arguments.config)
    if arguments.html:
        page.refuse_unwritable(Path(arguments.html))
    wanted = _wanted(path, arguments)
    wanted.ask(name for name in settings.ASKED if getattr(arguments, name))
    wanted.ask(settings.THREE if arguments.all else ())
    made = made_now(commit.repository(path.resolve().parent))  # as of the files being read
    report = _proven(path, wanted, roundtrip)
    if arguments.json:
        _print(report, "json")
    else:
        _print(report, arguments.format)
    if arguments.html:
        Path(arguments.html).write_text(page.html(report, made), encoding="utf-8")
    return report.status


def locked(arguments: argparse.Namespace) -> int:
    """Print who waits for each upgrade, and how long; 1 if it is longer than a moment."""
    from alembic_toolkit.prove.roundtrip import locks

    path = Path(arguments.config)
    wanted = _wanted(path, arguments)
    if arguments.old_code or arguments.format == "markdown":
        wanted.ask([results.OLD_CODE])
    report = _proven(path, wanted, locks)
    _print(report, arguments.format)
    return report.status


def _wanted(path: Path, arguments: argparse.Namespace) -> settings.Settings:
    """Return what to prove, from the project's settings and the command line."""
    wanted = settings.read(path)
    wanted.urls = arguments.url or wanted.urls
    wanted.x += arguments.x
    wanted.timeout = arguments.timeout or wanted.timeout
    wanted.only = _chosen(path, arguments)
    wanted.command = typed("roundtrip")
    wanted.alone = arguments.alone
    return wanted


def _proven(path: Path, wanted: settings.Settings, prove: _Prove) -> results.Report:
    if wanted.only is not None and not wanted.only:
        return results.Report(str(path), 0)  # nothing is new
    with progress.Progress() as bar:
        return prove(path, wanted, bar.update)


_Prove = Callable[[Path, settings.Settings, Callable[[str, int, int, str], None]], results.Report]


def _print(report: results.Report, form: str) -> None:
    """Print a report in the requested format."""
    from alembic_toolkit.report import machines, notices, orders, text

    shown = {
        "text": lambda: text.text(report) + "\n",
        "json": lambda: machines.to_json(report, typed("").partition(" ")[2]),
        "github": lambda: notices.github(report),
        "gitlab": lambda: notices.gitlab(report),
        "sarif": lambda: notices.sarif(report, installed()),
        "markdown": lambda: orders.markdown(report),
    }
    print(shown[form](), end="")
    if form != "text":  # machine-readable output does not explain why it is empty
        for one in report.proofs:
            if one.error:
                _refused(f"could not run on {one.database}: {one.error}")


def _chosen(path: Path, arguments: argparse.Namespace) -> frozenset[str] | None:
    """Return the ids of the requested revisions; None for all."""
    is_named = {arguments.since, arguments.revision} != {None}
    ends = getattr(arguments, "start", "base"), getattr(arguments, "end", "heads")
    if ends == ("base", "heads") and not is_named:
        return None  # unread: a history that cannot be read is the command's to explain
    if ends != ("base", "heads") and is_named:
        arguments.parser.error("--from and --to: not allowed with REV|A:B or --since")
    directory = ScriptDirectory.from_config(read_config(path))
    return since.asked(directory, arguments.since, arguments.revision, *ends)


def sql(arguments: argparse.Namespace) -> int:
    """Print one script that brings any database of the history to a revision."""
    from alembic_toolkit.script.write import write

    config = read_config(Path(arguments.config), arguments)
    if arguments.url is not None:
        config.set_main_option("sqlalchemy.url", arguments.url.replace("%", "%%"))
    dialect = arguments.dialect or dialect_of(arguments.url)
    notes = _observed(arguments, dialect) if arguments.locks else {}
    write(
        config,
        sys.stdout,
        dialect,
        arguments.start,
        arguments.end,
        lock_timeout=arguments.lock_timeout,
        is_plain=arguments.plain,
        notes=notes,
    )
    return exits.FINE


def _observed(arguments: argparse.Namespace, dialect: str | None) -> Notes:
    """Return who waits for each upgrade of a script, as observed on a scratch database."""
    from alembic_toolkit.prove import given
    from alembic_toolkit.prove.roundtrip import locks
    from alembic_toolkit.report import waits

    path = Path(arguments.config)
    wanted = settings.read(path)
    wanted.x += arguments.x or []
    wanted.alone = arguments.alone
    directory = ScriptDirectory.from_config(read_config(path))
    wanted.only = since.between(directory, arguments.start, arguments.end)
    with ExitStack() as stack:
        address = stack.enter_context(given.empty(dialect, arguments.scratch))
        wanted.urls = [address] if address else []  # a temporary file
        bar = stack.enter_context(progress.Progress())
        report = locks(path, wanted, bar.update)
    for one in report.proofs:
        if one.error:
            raise CommandError(f"--locks: could not run on {one.database}: {one.error}")
    return waits.waits(report)


def status(arguments: argparse.Namespace) -> int:
    """Print where each database is; 1 unless all are reachable and at head, as applied."""
    from alembic_toolkit.fleet import status as statuses

    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    with progress.Progress() if sys.stderr.isatty() else nullcontext() as bar:
        lines = statuses.status(
            path,
            _databases(arguments),
            x=arguments.x,
            drift=arguments.drift,
            accept=arguments.accept,
            metadata=settings.read(path).metadata if arguments.drift else None,
            scratch=arguments.scratch if arguments.drift else (),
            timeout=arguments.timeout,
            progress=bar.update if bar else lambda *_: None,
        )
    ends = statuses.exit_status(lines)
    if arguments.json:
        _print_json(ends, statuses.findings(lines), databases=statuses.to_json(lines))
    else:
        print(statuses.text(lines))
    return ends


def _print_json(status: int, findings: Iterable[results.Finding], **more: Any) -> None:
    from alembic_toolkit.report.machines import document

    command = typed("").partition(" ")[2]
    print(document(command, status, findings, **more), end="")


def _databases(arguments: argparse.Namespace) -> list[Database]:
    """Return the named databases, else those in ``pyproject.toml``, else env.py's."""
    known = pyproject.databases(Path(arguments.config))
    found = named(arguments.url, known) or [listed(*one) for one in known.items()]
    return found or [Database("")]


def journal(arguments: argparse.Namespace) -> int:
    """Print what ran on each database; 2 if one cannot be read."""
    from alembic_toolkit.fleet import history

    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    found = history.history(path, _databases(arguments), arguments.x, arguments.timeout)
    ends = history.exit_status(found)
    if arguments.json:
        _print_json(ends, [], databases=history.to_json(found))
    else:
        print(history.text(found))
    return ends


def verified(arguments: argparse.Namespace) -> int:
    """Print whether databases have the schema of their revision; 2 if one was not compared."""
    from alembic_toolkit.where import verify

    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    found = verify.verify(path, _databases(arguments), arguments.x, arguments.timeout)
    judged = not any(one.error for one in found)
    ends = exits.of_all((one.is_sound for one in found), judged=judged)
    if arguments.json:
        _print_json(ends, verify.findings(found), databases=verify.to_json(found))
    else:
        print("\n".join(map(printable_lines, found)))
    return ends


def rebased(arguments: argparse.Namespace) -> int:
    """Put a revision after the other head, if no database has run it, and print how."""
    from alembic_toolkit.fleet.applied import applied
    from alembic_toolkit.project import rebase

    path = Path(arguments.config)
    directory = ScriptDirectory.from_config(read_config(path))
    plan = rebase.plan(directory, Path(arguments.file), arguments.onto)
    found = applied(
        path,
        _databases(arguments),
        plan.before.id,
        plan.before.path,
        is_only=not plan.is_twin,
        x=arguments.x,
    )
    if standing := {name: why for name, why in found.items() if why}:
        raise rebase.refused_applied(plan, standing)
    rebase.write(plan)
    print(printable_lines(plan))
    return exits.FINE


def upgrade(arguments: argparse.Namespace) -> int:
    """Upgrade or downgrade databases, and print each result; 1 if one is not there."""
    from alembic_toolkit.fleet import upgrade as upgrades

    path = Path(arguments.config)
    down = arguments.command == "downgrade"
    upgrades.refuse_unknown(path, arguments.revision, down)
    databases = named(arguments.url, pyproject.databases(path))
    width = max(len(one.name) for one in databases)
    with progress.Progress() if sys.stderr.isatty() else nullcontext() as bar:

        def ended(one: upgrades.Upgrade, number: int, all_: int) -> None:
            if bar:
                bar.update("databases", number, all_, one.name)
            elif not arguments.json:  # a log gets each result when it is known
                print(upgrades.line(one, width, arguments.verbose), flush=True)

        report = upgrades.upgrade(
            path,
            databases,
            arguments.revision,
            down=down,
            dry_run=arguments.dry_run,
            x=arguments.x,
            at_once=arguments.jobs,
            ended=ended,
        )
    if report.interrupt is not None:
        _say("interrupted")
    ends = upgrades.exit_status(report)
    if arguments.json:
        _print_json(ends, upgrades.findings(report), **upgrades.to_json(report))
    else:
        left = [one for one in report.upgrades if bar or one.outcome == upgrades.NOT_BEGUN]
        lines = [upgrades.line(one, width, arguments.verbose) for one in left]
        print("\n".join([*lines, upgrades.summary(report)]))
    return ends


def where(arguments: argparse.Namespace) -> int:
    """Print which revision each database is, by its schema; or write the file that tells this."""
    from alembic_toolkit.where import find, text
    from alembic_toolkit.where import write as written
    from alembic_toolkit.where.answer import to_json

    path = Path(arguments.config)
    read_config(path)  # an error in it is reported once, not for each database
    with progress.Progress() if sys.stderr.isatty() else nullcontext() as bar:
        tell = bar.update if bar else lambda *_: None
        if arguments.write:
            made = written.write(path, arguments.scratch, arguments.x, tell)
            print(written.text(made))
            return exits.FINE
        answers = find.find(
            path,
            _databases(arguments),
            x=arguments.x,
            scratches=arguments.scratch,
            timeout=arguments.timeout,
            progress=tell,
        )
    judged = not any(one.error for one in answers)
    ends = exits.of_all((one.is_sound for one in answers), judged=judged)
    if arguments.json:
        _print_json(ends, text.findings(answers), databases=to_json(answers))
    else:
        print(text.text(answers))
    return ends


def adopt(arguments: argparse.Namespace) -> int:
    """Mark databases whose schema is exactly one revision's; 1 if one is refused, 2 if unknown."""
    from alembic_toolkit.where import adopt as adoptions

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
    judged = all(one.is_judged for one in done)
    return exits.of_all((one.is_sound for one in done), judged=judged)


def _parser(argv: Container[str] = USAGES) -> argparse.ArgumentParser:
    """Return the parser, with the options of those commands that a command line can name."""
    parser = Parser(prog="alembic-toolkit", description="Check hand-written Alembic revisions.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {installed()}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, add in _ADD.items():
        words = USAGES[name]
        command = commands.add_parser(name, help=words.short, formatter_class=Formatter)
        command.description, command.epilog = words.does, words.epilog
        command.set_defaults(parser=command)
        if name in argv:
            add(command)
    return parser


def _add_check(command: argparse.ArgumentParser) -> None:
    about = "with --baseline: an empty database, once for each (default: one of SQLite or"
    about += " of a package's PostgreSQL, as the project's own is)"
    add_databases(command, about, default=[])
    about = "compare a root that replaces revisions with them, on real databases"
    command.add_argument("--baseline", metavar="FILE", help=about)
    command.set_defaults(run=check)


def _add_sql(command: argparse.ArgumentParser) -> None:
    from alembic_toolkit.script.parts import DIALECTS, LONGEST

    add_config(command)
    which = command.add_mutually_exclusive_group()
    about = "the server that runs it (default: as env.py says)"
    which.add_argument("--dialect", choices=sorted(DIALECTS), help=about)
    which.add_argument("--url", help="a database of that server; it is not connected to")
    add_between(
        command,
        "the lowest revision that a database stands at (default: %(default)s)",
        "the revision to bring it to (default: %(default)s)",
    )
    about = "write it without guards, for review and for linters; not to be run twice"
    command.add_argument("--plain", action="store_true", help=about)
    about = "say of each statement who waits for it, as seen when it runs on a scratch database"
    command.add_argument("--locks", action="store_true", help=about)
    about = "for --locks: an empty database (default: of SQLite, or of a package's PostgreSQL)"
    command.add_argument("--scratch", metavar="URL", help=about)
    about = "how long a statement waits for a lock (default: as long as the server lets it)"
    seconds = positive(float, at_most=LONGEST)
    command.add_argument("--lock-timeout", type=seconds, metavar="SECONDS", help=about)
    command.add_argument("-x", action="append", metavar="NAME=VALUE", help="handed to env.py")
    command.set_defaults(run=sql)


def _add_roundtrip(command: argparse.ArgumentParser) -> None:
    about = "an empty database, once for each (default: a temporary file of SQLite)"
    add_databases(command, about)
    _add_which(command)
    _add_checks(command)
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="for one step (600)")
    command.add_argument("--json", action="store_true", help="print the report for machines")
    about = "how to print it (default: %(default)s)"
    command.add_argument("--format", choices=FORMATS, default="text", help=about)
    command.add_argument("--html", metavar="FILE", help="write the report as one page, too")
    command.set_defaults(run=proven)


def _add_checks(command: argparse.ArgumentParser) -> None:
    """Add the options for further checks."""
    for name, what in (
        (results.RERUN, "run each step twice, with its mark removed"),
        (results.CRASH, "stop each step after each statement, and run it again"),
        (results.OFFLINE, "run the --sql script of each step instead"),
    ):
        command.add_argument(f"--{name}", action="store_true", dest=name, help=what)
    command.add_argument("--all", action="store_true", help="all three of these")
    about = "say who waits for each upgrade, and how long"
    command.add_argument("--locks", action="store_true", dest=results.LOCKS, help=about)
    about = "say whose code each upgrade breaks: deploy it before, or after"
    command.add_argument("--old-code", action="store_true", dest=results.OLD_CODE, help=about)


def _add_which(command: argparse.ArgumentParser) -> None:
    about = "only this revision, or those from A to B, both included (default: all)"
    which = command.add_mutually_exclusive_group()
    which.add_argument("revision", nargs="?", type=range_, metavar="REV|A:B", help=about)
    about = "only revisions that are new or changed since this commit, branch or tag of Git"
    which.add_argument("--since", metavar="GIT_REF", help=about)


def _add_locks(command: argparse.ArgumentParser) -> None:
    add_databases(command, "an empty database, once for each (default: a file of SQLite)")
    _add_which(command)
    add_between(
        command,
        "only revisions after this one (default: %(default)s)",
        "only revisions up to this one (default: %(default)s)",
    )
    about = "say whose code each upgrade breaks, too; markdown always does"
    command.add_argument("--old-code", action="store_true", help=about)
    about = "how to print it (default: %(default)s)"
    command.add_argument("--format", choices=FORMATS, default="text", help=about)
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="for one step (600)")
    command.set_defaults(run=locked)


_NAMED = "a database, once for each; or its name in pyproject.toml"


def _add_status(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    add_databases(command, about, metavar="[NAME=]URL", default=[])
    command.add_argument("--drift", action="store_true", help="compare with the models, too")
    about = "for --drift: an empty database of the same server, for the models' tables"
    command.add_argument("--scratch", action="append", metavar="URL", default=[], help=about)
    about = "accept the present file of a revision that was edited or deleted after it was applied"
    command.add_argument("--accept", action="append", metavar="REV", default=[], help=about)
    add_timeout(command, TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=status)


def _add_journal(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    add_databases(command, about, metavar="[NAME=]URL", default=[])
    add_timeout(command, TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=journal)


def _add_verify(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    add_databases(command, about, metavar="[NAME=]URL", default=[])
    add_timeout(command, TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=verified)


def _add_rebase(command: argparse.ArgumentParser) -> None:
    about = "a database that must not have run it, once for each; or its name in pyproject.toml"
    about += " (default: all that it names, or the one of env.py)"
    add_databases(command, about, metavar="[NAME=]URL", default=[])
    command.add_argument("file", metavar="FILE", help="of a revision that nothing comes after")
    about = "the revision to put it after (default: the other head)"
    command.add_argument("--onto", type=revision, metavar="REV", help=about)
    command.set_defaults(run=rebased)


def _add_upgrade(command: argparse.ArgumentParser) -> None:
    about = "the revision to bring them to (default: %(default)s)"
    command.add_argument(
        "revision", nargs="?", type=revision, metavar="REVISION", default="head", help=about
    )
    _add_moving(command)


def _add_downgrade(command: argparse.ArgumentParser) -> None:
    about = "the revision to take them back to: an id, base, or -1 for the one before"
    command.add_argument("revision", type=revision, metavar="REVISION", help=about)
    _add_moving(command)


def _add_moving(command: argparse.ArgumentParser) -> None:
    """Add the options that upgrade and downgrade share."""
    from alembic_toolkit.fleet.upgrade import AT_ONCE

    add_databases(command, _NAMED, metavar="[NAME=]URL", required=True)
    about = "write nothing, and say for each database what would run"
    command.add_argument("--dry-run", action="store_true", help=about)
    about = "how many at once (%(default)s)"
    command.add_argument(
        "-j", "--jobs", type=positive(int), metavar="N", default=AT_ONCE, help=about
    )
    about = "show all that revisions log, and not only warnings"
    command.add_argument("-v", "--verbose", action="store_true", help=about)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=upgrade)


def _add_where(command: argparse.ArgumentParser) -> None:
    about = f"{_NAMED} (default: all that it names, or the one of env.py)"
    add_databases(command, about, metavar="[NAME=]URL", default=[])
    about = "write the schemas of all revisions beside env.py, from a run on an empty database"
    command.add_argument("--write", action="store_true", help=about)
    add_scratch(command)
    add_timeout(command, TIMEOUT)
    command.add_argument("--json", action="store_true", help="print it for machines")
    command.set_defaults(run=where)


def _add_adopt(command: argparse.ArgumentParser) -> None:
    add_databases(command, f"{_NAMED} (default: the one of env.py)", default=[])
    about = "the revision to choose if several have the same schema"
    command.add_argument("--revision", type=revision, metavar="REV", help=about)
    add_scratch(command)
    add_timeout(command, TIMEOUT)
    command.set_defaults(run=adopt)


# The function that adds each command's options, in the order of the help.
_ADD: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "check": _add_check,
    "sql": _add_sql,
    "status": _add_status,
    "journal": _add_journal,
    "upgrade": _add_upgrade,
    "downgrade": _add_downgrade,
    "where": _add_where,
    "adopt": _add_adopt,
    "verify": _add_verify,
    "rebase": _add_rebase,
    "roundtrip": _add_roundtrip,
    "locks": _add_locks,
}


if __name__ == "__main__":
    sys.exit(main())
