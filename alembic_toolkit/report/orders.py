"""The order in which each revision and its code are deployed, for readers."""

from __future__ import annotations

from collections.abc import Iterator

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Breaks, Report
from alembic_toolkit.report.columns import wrap
from alembic_toolkit.report.findings import (
    Row,
    by_status,
    grouped,
    one_line,
    plain,
    rows_of,
)

CODE = {"old": "old code, on the new schema", "new": "new code, on the old schema"}


def verdicts_of(row: Row) -> str:
    """Return the verdict of each database: ``any order on sqlite; ...``; empty if not requested."""
    orders = [(one.order.verdict, name) for name, one in row.on.items() if one.order is not None]
    if len({verdict for verdict, _ in orders}) == 1 and len(orders) == len(row.on):
        return orders[0][0]
    return by_status(orders)


def breaks_of(row: Row) -> dict[Breaks, list[str]]:
    """Return the broken statements; equal ones of several databases once."""
    return grouped(
        (one, name)
        for name, record in row.on.items()
        if record.order is not None
        for one in record.order.breaks
    )


def first_breaks_of(row: Row) -> Iterator[tuple[Breaks, list[str], int]]:
    """Yield for each table the first broken statement, where, and how many more there are."""
    of_table = grouped(((one.code, one.table), (one, on)) for one, on in breaks_of(row).items())
    for [(one, on), *others] in of_table.values():
        yield one, on, len(others)


def text_orders(report: Report, width: int) -> list[str]:
    """Return the lines of a terminal report; revisions that fit any order have none."""
    rows = [(row, verdict) for row in rows_of(report) if (verdict := verdicts_of(row))]
    lines = []
    for row, verdict in rows:
        if verdict == results.ANY_ORDER:
            continue
        lines += wrap(one_line(f"{row.any.id}  {verdict}"), width, "  ")
        if any(problem.finding.check == results.OLD_CODE for problem in row.problems):
            continue  # it is there
        for one, on, others in first_breaks_of(row):
            where = "" if len(report.proofs) == 1 else f" ({', '.join(on)})"
            more = f" [and {others} more: see --format json]" if others else ""
            lines += wrap(one_line(f"{CODE[one.code]}: {one.statement}"), width, "    ", "  ")
            lines += wrap(one_line(f"{one.error}{where}{more}"), width, "      ", "  ")
    others = len(rows) - sum(verdict != results.ANY_ORDER for _, verdict in rows)
    if rows and others:
        lines.append(f"  {others} of {len(rows)} revisions: {results.ANY_ORDER}")
    return ["Deploy order:", *lines] if lines else []


# A comment on a pull request


def markdown(report: Report) -> str:
    """Return a comment for a pull request: a line for each revision, and below it what was seen.

    https://github.github.com/gfm/
    """
    rows = rows_of(report)
    if not rows:
        return "No new revision.\n"
    lines = ["| revision | deploy order | who waits |", "|---|---|---|"]
    for row in rows:
        of = f"`{_cell(row.any.id)}` {_cell(row.any.title)}".strip()
        lines.append(f"| {of} | {_cell(verdicts_of(row)) or _missing(row)} | {_waits(row)} |")
    lines += [line for row in rows for line in _details(row)]
    lines += [
        f"\nCould not run on {_cell(one.database)}: {_cell(one.error.partition(chr(10))[0])}"
        for one in report.proofs
        if one.error
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text that stays in its table cell, and contains no markup."""
    text = one_line(text)
    for letter in "\\`*_<>[]|":
        text = text.replace(letter, f"\\{letter}")
    return text


def _waits(row: Row) -> str:
    """Return who waits for a revision longer than a moment."""
    waits = [
        f"{_cell(problem.finding.problem)} ({_cell(', '.join(problem.databases))})"
        for problem in row.problems
        if problem.finding.check == results.LOCKS
    ]
    outcomes = [one.checks.get(results.LOCKS) for one in row.on.values()]
    if not waits and any(o is not None and o.status == results.PROVEN for o in outcomes):
        return "nobody"
    return "<br>".join(waits) or _missing(row, results.LOCKS)


def _missing(row: Row, check: str = results.OLD_CODE) -> str:
    """Return why there is no verdict; empty if none was requested."""
    outcomes = (one.checks.get(check) for one in row.on.values())
    whys = dict.fromkeys(f"{o.status}: {o.why}" for o in outcomes if o is not None)
    return "<br>".join(map(_cell, whys))


def _details(row: Row) -> Iterator[str]:
    """Yield the observations about a revision, collapsed."""
    items = [
        f"{CODE[one.code]} ({', '.join(on)}): {one.statement}\n    {one.error}"
        for one, on, _ in first_breaks_of(row)
    ]
    for problem in row.problems:
        of = problem.finding
        parts = [detail for details in problem.details for detail in details]
        parts = parts if of.check != results.OLD_CODE else []
        remedy = ["Write:", *of.remedy.splitlines()] if of.remedy else []
        lines = [f"{of.check} ({', '.join(problem.databases)}): {of.problem}", *parts, *remedy]
        items.append("\n    ".join(lines))
    if items:
        text = plain("\n".join(items)).replace("```", "'''")
        yield f"\n<details><summary>{_cell(row.any.id)}</summary>\n\n```text\n{text}\n```\n"
        yield "</details>"
