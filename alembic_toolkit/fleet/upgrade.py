"""Upgrade or downgrade many databases, some at the same time, independently of each other.

Each is upgraded in a separate process, see `processes`, by the project's ``env.py``: if that calls
`run`, it waits for other deployers, retries and keeps a journal, as with `alembic upgrade`.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import to_tuple

from alembic_toolkit import exits
from alembic_toolkit.fleet.databases import Database
from alembic_toolkit.fleet.env import run_env
from alembic_toolkit.fleet.plan import Plan, plan, steps_of
from alembic_toolkit.fleet.processes import Answer, Task, each, message
from alembic_toolkit.messages import printable, printable_lines
from alembic_toolkit.project.baselines import apply
from alembic_toolkit.project.env import read_config
from alembic_toolkit.prove.results import Finding

AT_ONCE = 4


@dataclass
class Upgrade:
    """The result for one database."""

    name: str
    outcome: str = ""  # one of those below
    before: list[str] = field(default_factory=list)  # the revisions it was at
    after: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    log: list[dict[str, str]] = field(default_factory=list)  # level and message of each line
    error: str = ""
    plan: list[dict[str, str]] = field(default_factory=list)  # what would run: id and message


DONE, NOTHING, FAILED, NOT_BEGUN = "done", "nothing to do", "failed", "not begun"
PLANNED, REFUSED = "to be run", "would be refused"  # where nothing is to be written


@dataclass
class Report:
    """The results for all databases."""

    upgrades: list[Upgrade]
    interrupt: KeyboardInterrupt | None = None
    dry_run: bool = False

    @property
    def is_sound(self) -> bool:
        """Return whether every database reached the revision, or can reach it."""
        return all(one.outcome in (DONE, NOTHING, PLANNED) for one in self.upgrades)

    @property
    def is_judged(self) -> bool:
        """Return whether every database could be judged without writing."""
        asked = (one.outcome for one in self.upgrades if not one.ran)
        return not (self.dry_run and any(outcome in (FAILED, NOT_BEGUN) for outcome in asked))


def exit_status(report: Report) -> int:
    """Return the exit status for the results."""
    if report.interrupt is not None:
        return exits.of_interrupt(report.interrupt)
    return exits.of_all([report.is_sound], judged=report.is_judged)


def refuse_unknown(path: Path, revision: str, down: bool) -> None:
    """Refuse an unknown revision once, before any database is asked.

    :raises CommandError: no file has this revision.
    """
    with suppress(ImportError):  # raised by a revision, until env.py has run
        directory = ScriptDirectory.from_config(read_config(path))
        apply(directory, (), (revision,))  # kept files, or the root
        if not down:
            directory._upgrade_revs(revision, ())  # type: ignore[arg-type]
        elif not re.search(r"[+-]\d+$", revision):  # relative to a database's revision
            directory.get_revisions(revision)


def upgrade(
    config: Path,
    databases: Sequence[Database],
    revision: str = "head",
    *,
    down: bool = False,
    dry_run: bool = False,
    x: Iterable[str] = (),
    at_once: int = AT_ONCE,
    ended: Callable[[Upgrade, int, int], None] = lambda *_: None,
) -> Report:
    """Upgrade or downgrade every database; one that fails stops no other.

    When interrupted (Ctrl-C, SIGTERM), it begins no others, lets the running ones roll back their
    current revision, and returns the results so far.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param down: downgrade to the revision.
    :param dry_run: write nothing, and say what would run, or why it would be refused.
    :param x: for ``env.py``, as ``alembic -x``.
    :param ended: called with each that has ended, how many have, and how many there are.
    """
    work = plan if dry_run else _upgrade
    tasks = [Task(one, str(config), tuple(x), revision, down) for one in databases]
    found: dict[str, Upgrade] = {}
    report = Report([], dry_run=dry_run)

    def end(task: Task, answer: Answer) -> None:
        one = _one(task, answer)
        one.error = task.database.concealed(answer.error or one.error)
        for entry in one.log:
            entry["message"] = task.database.concealed(entry["message"])
        found[task.database.name] = one
        ended(one, len(found), len(tasks))

    try:
        each(work, tasks, end, at_once=at_once)
    except KeyboardInterrupt as interrupt:
        report.interrupt = interrupt
    for task in tasks:
        name = task.database.name
        report.upgrades.append(found.get(name) or Upgrade(name, NOT_BEGUN))
    return report


def _one(task: Task, answer: Answer) -> Upgrade:
    if isinstance(answer.value, Plan):
        return _planned(task.database.name, answer.value)
    return answer.value or Upgrade(task.database.name, FAILED)


def _planned(name: str, plan: Plan) -> Upgrade:
    one = Upgrade(name, before=plan.before, after=plan.before, plan=plan.runs, error=plan.refused)
    one.outcome = REFUSED if plan.refused else PLANNED if plan.runs else NOTHING
    return one


# In the process of one database


def _upgrade(task: Task, answered: Callable[[], None]) -> Upgrade:
    one = Upgrade(task.database.name)
    planned = list[bool]()

    def steps(directory: ScriptDirectory, heads: Any, _: Any) -> Any:
        if not planned:  # `run` asks again when it has waited for another deployer
            one.before = one.after = sorted(heads)
        planned.append(True)
        return steps_of(directory, task, heads)

    def applied(*, step: Any, heads: Iterable[str], **_: Any) -> None:
        one.after = sorted(heads)
        if step.is_stamp and not one.ran:  # it stood at a revision that has another name now
            new, old = {*step.destination_revision_ids}, {*step.source_revision_ids}
            one.before = sorted({*one.before} - new | old)
        # A try whose commit met a lock is made again.
        one.ran = [id_ for id_ in one.ran if id_ != step.up_revision_id] + [step.up_revision_id]

    def configured(configure: Callable[[], None], options: dict[str, Any]) -> None:
        given = to_tuple(options.get("on_version_apply"), default=())
        options["on_version_apply"] = (*given, applied)
        configure()
        if not planned:
            _listen(one.log)

    try:
        run_env(task, answered, steps, configured)
    except (Exception, KeyboardInterrupt) as error:
        one.outcome, one.error = FAILED, message(error)
        return one
    if not planned:
        one.outcome, one.error = FAILED, "env.py ran, and never called context.run_migrations()"
    else:
        one.outcome = DONE if one.ran else NOTHING
    return one


class _Log(logging.Handler):
    """Collects the logs of revisions, and of Alembic."""

    def __init__(self, log: list[dict[str, str]]) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        self.log.append({"level": record.levelname, "message": record.getMessage()})


def _listen(log: list[dict[str, str]]) -> None:
    # The project's own log configuration has no effect here.
    for name in ("alembic", "alembic_toolkit"):
        logger = logging.getLogger(name)
        logger.addHandler(_Log(log))
        logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    for name, known in logging.root.manager.loggerDict.items():
        if name.startswith("alembic") and isinstance(known, logging.Logger):
            known.disabled = False  # by fileConfig(), in most an env.py


# What is shown


def line(one: Upgrade, width: int = 0, verbose: bool = False) -> str:
    """Return a line with the result for one database, and below it what was logged.

    :param width: of the longest name.
    :param verbose: include everything, not only warnings and errors.
    """
    before, after = (", ".join(ids) or "(none)" for ids in (one.before, one.after))
    outcome = one.outcome
    if outcome == DONE:
        outcome = f"{before} -> {after}"
    elif outcome == NOTHING:
        outcome = f"{after}, {NOTHING}"
    elif outcome == PLANNED:
        outcome = f"{before}, {count(len(one.plan), 'revision')} {PLANNED}"
    elif outcome == FAILED and one.ran:
        outcome = f"{FAILED}, {before} -> {after}"
    logged = (
        f"{entry['level']} {entry['message']}"
        for entry in one.log
        if verbose or entry["level"] not in ("DEBUG", "INFO")
    )
    head = printable(f"{one.name.ljust(width)}  {outcome}")
    runs = [printable(f"  {run['revision']}  {run['message']}") for run in one.plan]
    return "\n".join([head, *runs, *(indent(printable_lines(text), "  ") for text in logged)])


def summary(report: Report) -> str:
    """Return how many databases have each outcome, and the errors."""
    lines = []
    for one in report.upgrades:
        if one.outcome in (FAILED, REFUSED):
            error = one.error.strip().splitlines() or ["no message"]
            lines += [f"{one.name}:", *(f"  {printable(text)}" for text in error[-LAST_LINES:])]
    number = Counter(one.outcome for one in report.upgrades)
    outcomes = (DONE, PLANNED, NOTHING, REFUSED, FAILED, NOT_BEGUN)
    counts = ", ".join(f"{number[name]} {name}" for name in outcomes if number[name])
    end = "; nothing was written" if report.dry_run else ""
    return "\n".join([*lines, *([""] if lines else []), counts + end])


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


LAST_LINES = 12  # of an error


def findings(report: Report) -> list[Finding]:
    """Return the databases that failed, would be refused, or were not begun."""
    found = []
    for one in report.upgrades:
        if one.outcome in (FAILED, REFUSED, NOT_BEGUN):
            first, *more = one.error.strip().splitlines() or [one.outcome]
            at = ", ".join(one.after)
            found.append(Finding(one.outcome, one.name, at, "", first, tuple(more)))
    return found


def to_json(report: Report) -> dict[str, Any]:
    """Return the result for each for machines."""
    found = [vars(one) | {"error": one.error or None} for one in report.upgrades]
    return {"interrupted": report.interrupt is not None, "databases": found}
