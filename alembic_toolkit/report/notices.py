"""Findings in formats that show them beside the lines of a change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Report
from alembic_toolkit.report.findings import findings_of, grouped, plain, rows_of
from alembic_toolkit.report.orders import CODE, first_breaks_of, verdicts_of

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_RULES = {
    results.LOCKS: "A statement has the application wait for longer than a moment.",
    results.OLD_CODE: "Code for the schema below or above a revision fails on the other one.",
    results.UP: "An upgrade cannot be run.",
}


@dataclass(frozen=True)
class Note:
    """A note about one line."""

    check: str
    path: str
    line: int  # at least 1
    text: str  # of several lines; the first says it in short
    is_finding: bool

    @property
    def identity(self) -> str:
        """Return an identity that does not change when the line moves."""
        words = self.text.partition("\n")[0].partition(": ")[2] or self.text
        return hashlib.sha256(f"{self.check}\0{self.path}\0{words}".encode()).hexdigest()


def notes(report: Report) -> list[Note]:
    """Return the findings, each revision's deploy order, and what was not judged."""
    return [*_findings(report), *_orders(report), *_unjudged(report)]


def _findings(report: Report) -> Iterator[Note]:
    for problem in findings_of(report):
        of = problem.finding
        on = f" ({', '.join(problem.databases)})" if problem.databases else ""
        which = "" if of.line or not of.revision else f"{of.revision}: "  # a line says it, too
        lines = [f"{which}{of.problem}{on}"]
        for details in problem.details:
            lines += details
        lines += ["Write:", of.remedy] if of.remedy else []
        yield Note(of.check, of.path, max(of.line, 1), plain("\n".join(lines)), True)


def _orders(report: Report) -> Iterator[Note]:
    for row in rows_of(report):
        lines = {one.order.line for one in row.on.values() if one.order is not None}
        known = {f.finding.check for f in row.problems}
        if not lines or results.OLD_CODE in known:
            continue
        said = [f"deploy order: {verdicts_of(row)}"]
        for one, on, _ in first_breaks_of(row):
            said += [f"{CODE[one.code]} ({', '.join(on)}): {one.statement}", f"  {one.error}"]
        path = row.any.path
        yield Note(results.OLD_CODE, path, max(*lines, 1), plain("\n".join(said)), False)


def _unjudged(report: Report) -> Iterator[Note]:
    for row in rows_of(report):
        whys = grouped(
            ((check, outcome.why), name)
            for name, one in row.on.items()
            for check, outcome in one.checks.items()
            if outcome.status == results.NOT_JUDGED
        )
        for (check, why), names in whys.items():
            text = plain(f"{check}: not judged on {', '.join(names)}: {why}")
            yield Note(check, row.any.path, 1, text, False)


def github(report: Report) -> str:
    """Return commands of a workflow: each shows a note at its line.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    return "".join(
        f"::{'error' if one.is_finding else 'notice'} file={_property(one.path)},line={one.line},"
        f"title={_property(one.check)}::{_escaped(one.text)}\n"
        for one in notes(report)
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def gitlab(report: Report) -> str:
    """Return a report of code quality.

    https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
    """
    known: dict[str, int] = {}
    found = []
    for one in notes(report):
        number = known[one.identity] = known.get(one.identity, 0) + 1
        found.append(
            {
                "description": one.text,
                "check_name": one.check,
                "fingerprint": one.identity if number == 1 else f"{one.identity}-{number}",
                "severity": "major" if one.is_finding else "info",
                "location": {"path": one.path.removeprefix("./"), "lines": {"begin": one.line}},
            }
        )
    return json.dumps(found, indent=1) + "\n"


def sarif(report: Report, version: str) -> str:
    """Return a log of SARIF 2.1.0.

    https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    found = notes(report)
    errors = [f"{one.database}: {one.error}" for one in report.proofs if one.error]
    driver = {
        "name": "alembic-toolkit",
        "version": version,
        "rules": [_rule(check) for check in dict.fromkeys(one.check for one in found)],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "invocations": [
            {
                "executionSuccessful": not errors,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": plain(text)}} for text in errors
                ],
            }
        ],
        "results": [_result(one) for one in found],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(check: str) -> dict[str, Any]:
    return {"id": check, "shortDescription": {"text": _RULES.get(check, check)}}


def _result(one: Note) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": one.path.removeprefix("./").replace(" ", "%20")},
        "region": {"startLine": one.line},
    }
    return {
        "ruleId": one.check,
        "level": "error" if one.is_finding else "note",
        "message": {"text": one.text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"alembicToolkit/v1": one.identity},
    }
