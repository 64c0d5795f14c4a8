"""A report for a terminal."""

from __future__ import annotations

import os
import shutil
import sys

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Report
from alembic_toolkit.report.columns import cut, pad, width_of, wrap
from alembic_toolkit.report.findings import (
    REASONED,
    STYLES,
    Problem,
    count,
    duration,
    findings_of,
    notes_of,
    one_line,
    plain,
    reasons_for,
    summary_of,
    warnings_of,
)
from alembic_toolkit.report.orders import text_orders
from alembic_toolkit.report.table import Paint, text_table

_LINES = 24  # for a diff, an error, a list: the rest is in the other reports
_RED = STYLES[results.FAULTY].colour
_IDS = 6  # of the revisions that share a reason


def text(report: Report, width: int | None = None, colour: bool | None = None) -> str:
    """Return the report for a terminal: a table, the findings, the reasons, the verdict.

    :param width: columns to fill; by default those of the terminal, at most 120.
    :param colour: by default on a terminal only, and never with ``NO_COLOR`` (no-color.org).
    """
    width = max(40, width or min(120, shutil.get_terminal_size((100, 24)).columns))
    if colour is None:
        allowed = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        colour = allowed and sys.stdout.isatty()

    def paint(shown: str, code: str) -> str:
        return f"\x1b[{code}m{shown}\x1b[0m" if colour and code else shown

    blocks = [
        _text_databases(report, width),
        text_table(report, width, paint),
        *(_text_finding(one, n, width, paint) for n, one in enumerate(findings_of(report), 1)),
        *(
            _text_finding(one, n, width, paint, "Warning ")
            for n, one in enumerate(warnings_of(report), 1)
        ),
        text_orders(report, width),
        *(_text_reasons(report, status, width) for status in REASONED),
        _text_errors(report, width, paint),
        _text_notes(report, width),
        wrap(one_line(summary_of(report)), width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _text_databases(report: Report, width: int) -> list[str]:
    """Return a line for each database, without its server's version if there is no room."""
    columns = []
    for one in report.proofs:
        findings = [count(len(one.findings), "finding")] if one.findings else []
        times = [duration(one.seconds)] if one.seconds else []
        result = [count(len(one.revisions), "revision"), *findings, *times]
        columns.append((one_line(one.database), one_line(one.server), ", ".join(result)))
    if not columns:
        return []
    names, servers, rest = (max(map(width_of, one)) for one in zip(*columns, strict=True))
    fits = names + servers + rest + 4 <= width
    lines = (
        f"{pad(name, names)}  {pad(server, servers) + '  ' if fits else ''}{end}"
        for name, server, end in columns
    )
    return [part for line in lines for part in wrap(line, width, hang="  ")]


def _text_finding(
    problem: Problem, number: int, width: int, paint: Paint, kind: str = ""
) -> list[str]:
    """Return one finding: where, what, the difference, and what to write.

    :param kind: a word before its number, if it is none.
    """
    of = problem.finding
    on = f" ({', '.join(problem.databases)})" if problem.databases else ""
    head = f"{kind}{number}. {of.check}{on}: {of.revision or 'the whole history'}"
    colour = STYLES[results.WARNED].colour if kind else _RED
    lines = [paint(line, colour) for line in wrap(one_line(head), width, hang="   ")]
    lines += wrap(one_line(of.path), width, "   ") if of.path else []
    lines += _short(wrap(plain(of.problem), width, "   "), _LINES // 2)
    for details, names in problem.details.items():
        if len(problem.details) > 1 and details:
            lines += wrap(one_line(", ".join(names)) + ":", width, "   ")
        lines += _short(
            [line for one in details for line in wrap(plain(one), width, "     ", "  ")]
        )
    if of.remedy:
        # Never wrapped: it is there to be copied.
        lines += ["   Write:", *(f"     {line}".rstrip() for line in plain(of.remedy).split("\n"))]
    return lines


def _text_reasons(report: Report, status: str, width: int) -> list[str]:
    lines = []
    for reason in reasons_for(report, status):
        ids = [id_ for id_ in reason.revisions if id_]
        if len(ids) > _IDS + 1:
            ids = [*ids[:_IDS], f"{len(ids) - _IDS} more"]
        names = ", ".join(ids) or "the whole history"
        where = f"{', '.join(reason.checks)}; {', '.join(reason.databases)}"
        lines += wrap(one_line(f"{names} ({where})"), width, "  ")
        lines += _short(wrap(plain(reason.why or "no reason given"), width, "    "))
    return [f"{REASONED[status]}:", *lines] if lines else []


def _text_errors(report: Report, width: int, paint: Paint) -> list[str]:
    lines = []
    for one in report.proofs:
        if one.error:
            lines.append(paint(cut(one_line(f"Could not run on {one.database}:"), width), _RED))
            error = []
            for line in plain(one.error).splitlines():
                # Code to be pasted is not wrapped.
                error += [f"  {line}"] if line.startswith("    ") else wrap(line, width, "  ")
            lines += _short(error)
    return lines


def _text_notes(report: Report, width: int) -> list[str]:
    lines = []
    for note, names in notes_of(report).items():
        lines += wrap(one_line(f"{note} ({', '.join(names)})"), width, "  ")
    return ["Notes:", *_short(lines)] if lines else []


def _short(lines: list[str], number: int = _LINES) -> list[str]:
    """Return the first lines, and how many more there are."""
    if len(lines) <= number:
        return lines
    indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
    return [*lines[: number - 1], f"{indent}[{len(lines) - number + 1} more lines: see --html]"]
