"""The words of the command line: the arguments, and the help text of each command."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from alembic_toolkit import exits
from alembic_toolkit.database.address import without_passwords


@dataclass(frozen=True)
class Usage:
    """The words of one command."""

    short: str  # in the list of all commands
    does: str  # sentences
    examples: tuple[str, ...]
    fine: str
    found: str = ""  # empty: this status cannot occur
    unknown: str = "the command cannot be run like this, or cannot judge"
    statuses: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        told = {exits.FINE: self.fine, exits.FOUND: self.found, exits.UNKNOWN: self.unknown}
        told |= {exits.INTERRUPTED: "Ctrl-C", exits.TERMINATED: "SIGTERM"}
        told |= {exits.UNREAD: "nobody reads its output any more"}
        object.__setattr__(self, "statuses", {n: what for n, what in told.items() if what})

    @property
    def epilog(self) -> str:
        """Return the text below the options."""
        ends = (f"  {number:<4} {what}" for number, what in self.statuses.items())
        examples = (f"  {line}" for line in self.examples)
        return "\n".join(["examples:", *examples, "", "exit status:", *ends])


_DATABASE = "--url postgresql+psycopg://me@localhost/bills"
_SCRATCH = "--url postgresql+psycopg://me@localhost/scratch"

FORMATS = ("text", "json", "github", "gitlab", "sarif", "markdown")

USAGES = {
    "check": Usage(
        "read the revisions, without a database",
        "Read the files of the history and say what is wrong in them. No database is touched, "
        "except with --baseline.",
        (
            "alembic-toolkit check",
            "alembic-toolkit check --baseline migrations/versions/0020_root.py",
        ),
        "the history is sound; the root makes what the revisions made",
        "a finding",
    ),
    "sql": Usage(
        "print one script that fits any database",
        "Print an SQL script that brings any database of the history to a revision. "
        "It connects to nothing.",
        (
            "alembic-toolkit sql --dialect postgresql > upgrade.sql",
            "alembic-toolkit sql --dialect mysql --from 0005 --to 0007",
        ),
        "the script is printed",
    ),
    "status": Usage(
        "say where databases are",
        "Say which revision each database is at, and whether the files are as they were applied. "
        "Only --accept writes.",
        (
            "alembic-toolkit status",
            f"alembic-toolkit status {_DATABASE} --drift",
        ),
        "every database is at head, as applied",
        "one is behind, or differs",
        "one cannot be reached, or its drift cannot be judged",
    ),
    "journal": Usage(
        "show what ran on databases",
        "Show what ran on each database: when, how long, by whom, and why it failed; "
        "the newest last. Nothing is written.",
        (
            "alembic-toolkit journal",
            f"alembic-toolkit journal {_DATABASE} --json",
        ),
        "each journal is shown; a database without one says so",
        unknown="one cannot be read",
    ),
    "upgrade": Usage(
        "bring many databases to a revision",
        "Upgrade many databases, some at the same time. One that fails stops no other.",
        (
            "alembic-toolkit upgrade --url one=sqlite:///one.db --url two=sqlite:///two.db",
            f"alembic-toolkit upgrade 0007 {_DATABASE} --dry-run",
        ),
        "each database is at the target; with --dry-run: each can be read, nothing is refused",
        "one failed, or would be refused",
    ),
    "downgrade": Usage(
        "take many databases back to a revision",
        "Downgrade many databases, some at the same time. One that fails stops no other.",
        (
            f"alembic-toolkit downgrade -1 {_DATABASE} --dry-run",
            "alembic-toolkit downgrade 0006 --url one=sqlite:///one.db --url two=sqlite:///two.db",
        ),
        "each database is at the target; with --dry-run: each can be read, nothing is refused",
        "one failed, or would be refused",
    ),
    "where": Usage(
        "say which revision a schema is",
        "Say which revision each database is, by its schema. Nothing is written there; "
        "--write makes the file that this is told by.",
        (
            "alembic-toolkit where --write",
            f"alembic-toolkit where {_DATABASE}",
        ),
        "each schema is what its version table says; the file is written",
        "one is not",
        "one cannot be judged",
    ),
    "adopt": Usage(
        "mark a database that matches one revision",
        "Write the version of a database whose schema is exactly one revision's, "
        "so that upgrades continue from there.",
        (
            f"alembic-toolkit adopt {_DATABASE}",
            f"alembic-toolkit adopt {_DATABASE} --revision 0007",
        ),
        "each database is marked, or was already",
        "one has another schema",
        "one cannot be judged",
    ),
    "verify": Usage(
        "compare schemas with what revisions make",
        "Compare the schema of each database with what its revision makes. Nothing is written.",
        (
            "alembic-toolkit verify",
            f"alembic-toolkit verify {_DATABASE} --json",
        ),
        "each database has the schema of its revision",
        "one has another",
        "one cannot be compared",
    ),
    "rebase": Usage(
        "put a revision after the other head",
        "Put a revision after the other head, in its file, if no database has run it.",
        (
            "alembic-toolkit rebase migrations/versions/0015_add_payer.py",
            "alembic-toolkit rebase migrations/versions/0015_add_payer.py --onto 0014",
        ),
        "the file is written",
        unknown="it is refused: a database has run it, or cannot be asked",
    ),
    "roundtrip": Usage(
        "prove every revision, in both directions",
        "Run every revision up, down and up again on an empty database with rows in it, "
        "and say what is left behind or lost.",
        (
            "alembic-toolkit roundtrip",
            f"alembic-toolkit roundtrip head {_SCRATCH}",
            "alembic-toolkit roundtrip 0005:0007 --all --html roundtrip.html",
            "alembic-toolkit roundtrip --since origin/main",
        ),
        "proven",
        "a finding",
        "it could not run",
    ),
    "locks": Usage(
        "say who waits for a revision, and how long",
        "Run every upgrade on an empty database, and say who would wait for it, and how long.",
        (
            f"alembic-toolkit locks {_SCRATCH}",
            "alembic-toolkit locks --since origin/main --format github",
        ),
        "nobody waits longer than a moment",
        "somebody does",
        "it could not run, or a revision could not be judged, and nobody is known to wait",
    ),
}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows the examples as they are typed, and wraps the sentences above them."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser whose errors repeat no password, and which reads ``-3:`` as ``head-3:``."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._negative_number_matcher = re.compile(r"-\d+(:.*)?")

    def error(self, message: str) -> NoReturn:
        super().error(without_passwords(message))


def revision(text: str) -> str:
    if ":" in text:  # Alembic would print it, with its password
        raise argparse.ArgumentTypeError("a URL, where a revision belongs; write --url before it")
    return text


def range_(text: str) -> str:
    if "://" in text:  # an error would print it, with its password
        raise argparse.ArgumentTypeError("a URL, where a revision belongs; write --url before it")
    return text


def positive(kind: type[Any], at_most: float = math.inf) -> Callable[[str], Any]:
    def positive(text: str) -> Any:
        number = kind(text)
        if not 0 < number <= at_most or number == math.inf:
            limit = "" if at_most == math.inf else f" and at most {at_most:g}"
            raise argparse.ArgumentTypeError(f"{text} is not above 0{limit}")
        return number

    positive.__name__ = kind.__name__  # argparse uses this name in its error
    return positive


def add_scratch(command: argparse.ArgumentParser) -> None:
    about = "an empty database of the server, on which the revisions are run; once for each server"
    command.add_argument("--scratch", action="append", metavar="URL", default=[], help=about)


def add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=os.environ.get("ALEMBIC_CONFIG") or "alembic.ini",
        help="alembic.ini, or a pyproject.toml with [tool.alembic] (default: %(default)s)",
    )


def add_databases(command: argparse.ArgumentParser, about: str, **given: Any) -> None:
    add_config(command)
    command.add_argument("--url", action="append", help=about, **given)
    command.add_argument("-x", action="append", metavar="NAME=VALUE", default=[], help="for env.py")


def add_between(command: argparse.ArgumentParser, lowest: str, highest: str) -> None:
    for name, dest, default, about in (
        ("--from", "start", "base", lowest),
        ("--to", "end", "heads", highest),
    ):
        command.add_argument(
            name, dest=dest, type=revision, metavar="REV", default=default, help=about
        )


def add_timeout(command: argparse.ArgumentParser, default: float) -> None:
    about = "for one database to answer (%(default)g)"
    seconds = positive(float)
    command.add_argument("--timeout", type=seconds, metavar="SECONDS", default=default, help=about)
