"""The command line: read the arguments, run one command, print its outcome."""

import argparse
import re
import sys
from collections.abc import Sequence

from sqlalchemy import Engine

from bills import commands, database, server, web
from bills.models import STATUSES
from bills.read import Refused
from bills.table import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error is one line on stderr and a 1."""
    args = _parser().parse_args(argv)
    try:
        engine = database.make_engine(database.url())
        try:
            args.start(engine, args)
        finally:
            engine.dispose()
    except (Refused, database.DatabaseProblem) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


def _run(engine: Engine, args: argparse.Namespace) -> None:
    with database.session(engine) as session:
        outcome = args.run(session, args)
    print(outcome, flush=True)  # after the commit: what is printed is true


def _serve(engine: Engine, args: argparse.Namespace) -> None:
    with server.listen(web.Site(engine), args.host, args.port) as listening:
        print(f"{listening.address} (Ctrl-C ends it)", flush=True)
        listening.serve_until_stopped()


def _port(typed: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", typed) or int(typed) > 65535:
        raise argparse.ArgumentTypeError(f"{typed!r} is not a number from 0 to 65535")
    return int(typed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bills",
        description="Track bills: who owes what, by when, and what was paid.",
        epilog="The database is DATABASE_URL, or else sqlite:///bills.db.",
    )
    parser.set_defaults(start=_run)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    command = subparsers.add_parser("list", help="list bills, the first due first")
    command.add_argument("--user", metavar="NAME", help="only this user's")
    command.add_argument("--status", choices=STATUSES, help="only these")
    command.set_defaults(run=commands.list_bills)

    command = subparsers.add_parser("add", help="add a bill, and its user if new")
    command.add_argument("user", metavar="USER")
    command.add_argument("description", metavar="DESCRIPTION")
    command.add_argument("amount", metavar="AMOUNT", help="like 12.50")
    command.add_argument("due", metavar="DUE", help="like 2026-01-31")
    command.add_argument("--email", help="of a new user, or to tell two of the same name apart")
    command.set_defaults(run=commands.add)

    command = subparsers.add_parser("pay", help="pay all or a part of a bill")
    command.add_argument("bill", metavar="BILL_ID")
    command.add_argument("amount", metavar="AMOUNT", help="like 12.50")
    command.add_argument("--on", metavar="DATE", help="when it was paid (default: today)")
    command.set_defaults(run=commands.pay)

    command = subparsers.add_parser("owed", help="show what each user owes, and the total")
    command.set_defaults(run=commands.owed)

    command = subparsers.add_parser("sample", help="load sample data into an empty database")
    command.set_defaults(run=commands.sample)

    command = subparsers.add_parser("serve", help="show the bills as a web page")
    command.add_argument("--port", type=_port, default=8000, help="0: any (default: %(default)s)")
    command.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0: all the network (default: %(default)s)"
    )
    command.set_defaults(start=_serve)
    return parser
