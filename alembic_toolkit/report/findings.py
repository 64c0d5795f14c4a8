"""Findings, statuses and reasons for all reports, each once for all databases.

Nothing is judged here: see `prove.results`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TypeVar

from alembic_toolkit.messages import printable_lines
from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Finding, Outcome, Report, RevisionProof


@dataclasses.dataclass(frozen=True)
class Style:
    """How a status is shown."""

    mark: str  # on a terminal
    colour: str
    kind: str  # on the page: the class
    label: str


STYLES = {
    results.PROVEN: Style(".", "32", "ok", "\N{CHECK MARK}"),
    results.FAULTY: Style("F", "31;1", "bad", "\N{MULTIPLICATION X} finding"),
    results.WARNED: Style("w", "33", "odd", "warning"),
    results.EXCEPTED: Style("k", "33", "odd", "known"),
    results.DECLARED: Style("d", "33", "odd", "declared"),
    results.NOT_JUDGED: Style("?", "33", "odd", "not judged"),
    results.NOT_REACHED: Style("-", "2", "off", "not reached"),
}
# The worst first: the status of a revision whose checks had several outcomes.
WORST = (*list(STYLES)[1:], results.PROVEN)
# What has a reason that the reader may want to know, and the heading above these reasons.
REASONED = {
    results.EXCEPTED: "Known exceptions",
    results.DECLARED: "Declared irreversible",
    results.NOT_JUDGED: "Not judged",
}


@dataclasses.dataclass
class Problem:
    """One problem, and the databases that have it."""

    finding: Finding
    details: dict[tuple[str, ...], list[str]]  # -> the databases that have these

    @property
    def databases(self) -> list[str]:
        return [name for names in self.details.values() for name in names if name]


@dataclasses.dataclass
class Reason:
    """Why checks have a status: one reason for all databases and revisions that share it."""

    why: str
    checks: tuple[str, ...]
    databases: tuple[str, ...]
    revisions: list[str]


@dataclasses.dataclass
class Row:
    """One revision on all databases."""

    any: RevisionProof
    on: dict[str, RevisionProof]
    problems: list[Problem]

    @property
    def has_problem_of_history(self) -> bool:
        return any(problem.finding.check in results.OF_HISTORY for problem in self.problems)

    def outcome(self, database: str, check: str) -> Outcome | None:
        """Return the outcome of a check; None if it was not requested."""
        if database not in self.on:
            return Outcome(results.NOT_REACHED)
        return self.on[database].checks.get(check)

    def statuses(self) -> set[str]:
        """Return the statuses of all checks on all databases."""
        found = {o.status for one in self.on.values() for o in one.checks.values()}
        return found | ({results.FAULTY} if self.problems else set()) or {results.NOT_REACHED}

    def shown(self) -> list[str]:
        """Return the statuses, worst first; "proven" only if all of them are."""
        found = self.statuses()
        return [s for s in WORST if s in found and (s != results.PROVEN or found == {s})]


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def grouped(pairs: Iterable[tuple[_Key, _Value]]) -> dict[_Key, list[_Value]]:
    """Return the values of each key, in their original order."""
    found: dict[_Key, list[_Value]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def rows_of(report: Report) -> list[Row]:
    """Return the revisions in the order in which they were run."""
    on: dict[str, dict[str, RevisionProof]] = {}
    # The longest first: a database that could not run to its end has only the beginning.
    for one in sorted(report.proofs, key=lambda one: -len(one.revisions)):
        for revision in one.revisions:
            on.setdefault(revision.id, {})[one.database] = revision
    problems = grouped((problem.finding.revision, problem) for problem in findings_of(report))
    return [Row(next(iter(by.values())), by, problems.get(id_, [])) for id_, by in on.items()]


def checks_of(report: Report) -> list[str]:
    """Return the requested checks of revisions."""
    made = {check for one in report.proofs for r in one.revisions for check in r.checks}
    return [check for check in results.OF_REVISION if check in made]


def findings_of(report: Report) -> list[Problem]:
    """Return the findings in the history's order; a problem on several databases counts once."""
    return _problems(report, report.all_findings())


def warnings_of(report: Report) -> list[Problem]:
    """Return the warnings, as `findings_of` returns the findings."""
    return _problems(report, report.all_warnings())


def _problems(report: Report, findings: Iterable[Finding]) -> list[Problem]:
    found: dict[Finding, Problem] = {}
    for finding in findings:
        key = dataclasses.replace(finding, database="", details=())
        one = found.setdefault(key, Problem(finding, {}))
        one.details.setdefault(finding.details, []).append(finding.database)
    shortest_first = sorted(report.proofs, key=lambda one: len(one.revisions))
    ids = [revision.id for one in shortest_first for revision in one.revisions]
    place = {id_: number for number, id_ in enumerate(ids)}
    checks = (*results.CHECKS, results.FOREIGN_KEYS)
    order = {check: number for number, check in enumerate(checks)}

    def position(one: Problem) -> tuple[bool, int, int]:
        check, at = one.finding.check, place.get(one.finding.revision, len(place))
        return check not in results.OF_HISTORY, at, order[check]

    return sorted(found.values(), key=position)


def reasons_for(report: Report, status: str) -> list[Reason]:
    """Return why checks have this status, each reason once."""
    databases = grouped(
        ((id_, outcome.why, check), one.database)
        for one in report.proofs
        for id_, checks in [*((r.id, r.checks) for r in one.revisions), ("", one.checks)]
        for check, outcome in checks.items()
        if outcome.status == status
    )
    checks = grouped(
        ((id_, why, tuple(names)), check) for (id_, why, check), names in databases.items()
    )
    ids = grouped(((why, tuple(of), names), id_) for (id_, why, names), of in checks.items())
    return [Reason(*reason, revisions) for reason, revisions in ids.items()]


def of_database(report: Report) -> list[str]:
    """Return a line for each check that is made once on each database."""
    found = grouped(
        (check, (one.checks[check].status, one.database))
        for check in results.OF_DATABASE
        for one in report.proofs
        if check in one.checks
    )
    return [f"{check}: {by_status(statuses)}" for check, statuses in found.items()]


def by_status(found: Iterable[tuple[str, str]]) -> str:
    """Return each status with the databases that have it: ``proven on sqlite, mariadb; ...``."""
    return "; ".join(f"{status} on {', '.join(on)}" for status, on in grouped(found).items())


def notes_of(report: Report) -> dict[str, list[str]]:
    """Return each note with the databases it was made on."""
    return grouped((note, one.database) for one in report.proofs for note in one.notes)


def verdict_of(report: Report) -> str:
    """Return the overall verdict, without the numbers of each database."""
    stopped = [one.database for one in report.proofs if one.error]
    parts = [f"could not run on {', '.join(stopped)}"] if stopped else []
    problems = findings_of(report)
    if problems:
        parts.append(count(len(problems), "finding"))
    elif not stopped and not report.unanswered:
        parts.append("proven" if report.proofs else "no finding")
    excepted, declared, unjudged = (
        {id_ for reason in reasons_for(report, status) for id_ in reason.revisions}
        for status in (results.EXCEPTED, results.DECLARED, results.NOT_JUDGED)
    )
    unjudged -= {"", *(problem.finding.revision for problem in problems)}
    warnings = warnings_of(report)
    parts += [count(len(warnings), "warning")] if warnings else []
    parts += [count(len(excepted), "known exception")] if excepted else []
    parts += [f"{len(declared)} declared irreversible"] if declared else []
    parts += [f"{len(unjudged)} not wholly judged"] if unjudged else []
    verdict = ", ".join(parts)
    return verdict[0].upper() + verdict[1:]


def summary_of(report: Report) -> str:
    """Return the verdict in one line, with its scope."""
    databases = count(len(report.proofs), "database")
    times = [duration(report.seconds)] if report.seconds else []
    extent = ", ".join([count(report.revisions, "revision"), databases, *times])
    return f"{verdict_of(report)}: {extent}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def plain(text: str) -> str:
    """Return the text without characters that move the cursor, or hide or reverse text."""
    return printable_lines(text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(plain(text).split())
