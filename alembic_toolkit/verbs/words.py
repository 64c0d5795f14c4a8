"""The wording of the verbs: one log line for each decision, qualified names, suggestions."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from typing import Any

from alembic_toolkit.database.skips import Skip, note
from alembic_toolkit.messages import printable
from alembic_toolkit.sql.quoting import qualified
from alembic_toolkit.verbs.values import LONG_NAMES, Step

log = logging.getLogger("alembic.helpers")

PAST = {"add": "added", "alter": "altered", "create": "created", "drop": "dropped"}
PAST |= {"rename": "renamed", "replace": "replaced", "validate": "validated"}
PAST |= {"rebuild": "rebuilt", "remove": "removed"}


def log_line(line: str) -> None:
    """Log a line; its text from the database is made safe for a terminal."""
    log.info("%s", printable(line))


def log_skip(step: Step, reason: str, is_missing: bool = False) -> None:
    """Log that nothing had to be done: ``skip create_index ix on crm.bills: already there``.

    :param is_missing: the object to drop does not exist.
    """
    if not step.offline:
        note(step.database.connection, _skip(step, reason, is_missing))
    log_line(f"skip {step.verb} {subject(step)}: {reason}")


def _skip(step: Step, reason: str, is_missing: bool) -> Skip:
    """Return the record of a skip for a round trip."""
    expected = getattr(step.operation, "if_exists", False)
    # Types that are equal on this server may differ on another.
    has_type = getattr(step.operation, "modify_type", None) is not None
    is_of_server = has_type or reason.startswith("this server ")
    table, name = (
        qualified(step.table, step.schema),
        str(step.table if step.name is None else step.name),
    )
    is_missing = is_missing and not expected
    return Skip(step.call, step.kind, name, table, reason, is_missing, is_of_server)


def log_done(step: Step, more: str = "") -> None:
    """Log a change after it is made: ``added column crm.bills.due``."""
    if log.isEnabledFor(logging.INFO):
        log_line(f"{done(step)}: {more}" if more else done(step))


def subject(step: Step) -> str:
    """Return the object of a step, as in the log lines of skips."""
    table = qualified(step.table, step.schema) if step.table else ""
    if table and step.kind in ("table", "comment"):
        return table
    name = "(unnamed)" if step.name is None else str(step.name)
    return f"{name} on {table}" if table else qualified(name, step.schema)


def done(step: Step) -> str:
    """Return the change a step made: ``created index ix_bills_due on crm.bills``."""
    verb, rest = phrase(step)
    return f"{PAST.get(verb, verb)} {rest}"


def wish(step: Step) -> str:
    """Return the change a step intends: ``to create index ix_bills_due on crm.bills``."""
    return f"to {' '.join(phrase(step))}"


def phrase(step: Step) -> tuple[str, str]:
    """Return a step as a phrase: its verb, and the rest."""
    table = qualified(step.table or str(step.name), step.schema)
    match step.verb:
        case "rename_table":
            return "rename", f"table {table} to {step.name}"
        case "create_table_comment":
            return "set", f"the comment of table {table}"
        case "drop_table_comment":
            return "remove", f"the comment of table {table}"
        case "bulk_insert":
            return "insert", f"rows into {table}"
        case "batch_alter_table":
            return "rebuild", f"table {table}"
        case "add_enum_value":
            return "add", f"value {step.wanted[0]!r} to enum {table}"
        case "rename_enum_value":
            return "rename", f"value {step.wanted[0]!r} of enum {table} to {step.wanted[1]!r}"
    renamed = getattr(step.operation, "modify_name", None)
    if step.kind == "column" and renamed:
        return "rename", f"{table}.{step.name} to {renamed}"
    verb = step.verb.partition("_")[0]
    if step.kind == "column":
        return verb, f"column {table}.{step.name}"
    if not step.table or step.kind == "table":
        return verb, f"{step.kind} {table}"
    sort = (step.found or {}).get("type", step.kind)
    name = "without a name" if step.name is None else step.name
    return verb, f"{LONG_NAMES.get(sort, sort)} {name} {'of' if verb == 'drop' else 'on'} {table}"


def meant(name: str, there: Iterable[Any]) -> str:
    """Return a "did you mean" for a name that does not exist, if a similar one does."""
    folded = {str(other).lower(): str(other) for other in there}
    near = difflib.get_close_matches(name.lower(), folded, n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(folded[one]) for one in near)}?" if near else ""
